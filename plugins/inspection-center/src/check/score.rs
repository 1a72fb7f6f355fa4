//! One number for a target and for a report.
//!
//! A target starts at 100. Each check of it that found something takes away by its worst level: **20** for Fatal, **5** for Warning,
//! **1** for Notification; it never falls below 0. How many rows of one check are wrong does not matter: twelve full
//! disks are one check. Checks that were skipped, do not apply or could not be evaluated take nothing away and are counted beside the score.
//!
//! A report's score is the mean over its targets that could be inspected, rounded down, so that 100 means that nothing was found anywhere.
//! Targets that could not be inspected have no score; the report shows how many they are beside its own.

use serde::{Deserialize, Serialize};

use super::grade::{CheckResult, Status};
use super::template::Level;

/// What a finding takes from a target's 100.
pub fn weight(level: Level) -> u32 {
    match level {
        Level::Fatal => 20,
        Level::Warning => 5,
        Level::Notification => 1,
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Checks whose worst finding is Fatal.
    pub fatal: u32,
    /// Checks whose worst finding is Warning.
    pub warning: u32,
    /// Checks whose worst finding is Notification.
    pub notification: u32,
    /// Checks that found nothing wrong.
    pub ok: u32,
    /// Checks that could not be made, and said why.
    pub skipped: u32,
    /// Checks that do not concern the target.
    pub not_applicable: u32,
    /// Checks whose command or answer failed, or took too long.
    pub error: u32,
}

impl Counts {
    /// Counts results.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a CheckResult>) -> Self {
        let mut counts = Self::default();
        for result in results {
            counts.count(result.status);
        }
        counts
    }

    /// Counts one.
    pub fn count(&mut self, status: Status) {
        *match status {
            Status::Fatal => &mut self.fatal,
            Status::Warning => &mut self.warning,
            Status::Notification => &mut self.notification,
            Status::Ok => &mut self.ok,
            Status::Skipped => &mut self.skipped,
            Status::NotApplicable => &mut self.not_applicable,
            Status::Error => &mut self.error,
        } += 1;
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.fatal += other.fatal;
        self.warning += other.warning;
        self.notification += other.notification;
        self.ok += other.ok;
        self.skipped += other.skipped;
        self.not_applicable += other.not_applicable;
        self.error += other.error;
    }

    /// Checks that were judged.
    pub fn judged(&self) -> u32 {
        self.fatal + self.warning + self.notification + self.ok
    }

    /// A target's score; none when nothing could be judged.
    pub fn score(&self) -> Option<u32> {
        if self.judged() == 0 {
            return None;
        }
        let lost =
            self.fatal * weight(Level::Fatal) + self.warning * weight(Level::Warning) + self.notification * weight(Level::Notification);
        Some(100_u32.saturating_sub(lost))
    }
}

/// A mean that can be added up over batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mean {
    /// The targets' scores together.
    pub sum: u64,
    /// How many targets have one.
    pub targets: u64,
}

impl Mean {
    /// Takes in a target.
    pub fn push(&mut self, score: Option<u32>) {
        if let Some(score) = score {
            self.sum += u64::from(score);
            self.targets += 1;
        }
    }

    /// Takes in another mean.
    pub fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.targets += other.targets;
    }

    /// The mean, rounded down.
    pub fn value(self) -> Option<u64> {
        self.sum.checked_div(self.targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_weigh_and_the_floor_is_zero() {
        let score = |fatal, warning, notification| Counts { fatal, warning, notification, ok: 5, ..Counts::default() }.score();
        assert_eq!(score(0, 0, 0), Some(100));
        assert_eq!(score(1, 2, 3), Some(67));
        assert_eq!(score(6, 0, 0), Some(0));
        assert_eq!(Counts { skipped: 3, error: 1, ..Counts::default() }.score(), None);
    }

    #[test]
    fn a_report_is_the_mean_of_what_could_be_inspected_rounded_down() {
        let mut mean = Mean::default();
        mean.push(Some(100));
        mean.push(Some(99));
        mean.push(None);
        assert_eq!(mean.value(), Some(99));
        assert_eq!(Mean::default().value(), None);
    }
}
