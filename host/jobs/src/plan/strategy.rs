//! In which order and how far an execution goes: batches, and how many failures it bears.

use serde::{Deserialize, Serialize};

use crate::JobsError;

/// Longest pause between two batches: a day.
pub const MAX_PAUSE_S: u32 = 24 * 3600;
/// Longest time limit of a whole execution: a month.
pub const MAX_TOTAL_S: u32 = 30 * 24 * 3600;
const MAX_STEPS: usize = 100;

/// How an execution goes through its targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Strategy {
    /// Sizes of the batches, `1 10% +5 *2`: so many targets, a share of all of them, so many more than the batch before, so many times
    /// the batch before. The last one repeats. Empty: one batch of all.
    pub batches: String,
    /// Seconds between the end of a batch and the start of the next.
    pub pause_s: u32,
    /// Failures that are borne, `3` or `5%` of all targets: with one more, nothing further is started. None: all are.
    pub tolerate: Option<String>,
    /// Seconds until the whole execution is ended, whatever has not ended by itself. None: no such limit.
    pub total_timeout_s: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Count(u64),
    Share(u64),
    Plus(u64),
    Times(u64),
}

impl Step {
    /// The size of a batch of `total` targets after one of `before`; of the first batch `+n` and `*n` are `n`.
    fn size(self, total: u64, before: Option<u64>) -> u64 {
        let size = match (self, before) {
            (Step::Count(n), _) | (Step::Plus(n) | Step::Times(n), None) => n,
            (Step::Share(p), _) => total.saturating_mul(p).div_ceil(100),
            (Step::Plus(n), Some(b)) => b.saturating_add(n),
            (Step::Times(n), Some(b)) => b.saturating_mul(n),
        };
        size.max(1)
    }
}

fn number(text: &str, most: u64) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| (1..=most).contains(n))
}

fn step(word: &str) -> Option<Step> {
    const MOST: u64 = 1_000_000;
    if let Some(n) = word.strip_prefix('+') {
        return number(n, MOST).map(Step::Plus);
    }
    if let Some(n) = word.strip_prefix('*') {
        return number(n, MOST).map(Step::Times);
    }
    if let Some(n) = word.strip_suffix('%') {
        return number(n, 100).map(Step::Share);
    }
    number(word, MOST).map(Step::Count)
}

fn steps(text: &str) -> Result<Vec<Step>, JobsError> {
    let words: Vec<&str> = text.split([' ', ',', '\t', '\n']).filter(|w| !w.is_empty()).collect();
    if words.len() > MAX_STEPS {
        return Err(JobsError::invalid(
            "jobs.bad_batches",
            "/strategy/batches",
            format!("{} sizes, and {MAX_STEPS} is the most", words.len()),
        ));
    }
    let one = |word: &&str| {
        step(word).ok_or_else(|| {
            let hint = format!("{word:?} is no size of a batch; write a number from 1 (`5`), a share from 1% to 100% (`10%`), `+5` for five more than before or `*2` for twice as many");
            JobsError::invalid("jobs.bad_batches", "/strategy/batches", hint)
        })
    };
    words.iter().map(one).collect()
}

/// Sizes of the batches that `total` targets make.
pub fn batches(text: &str, total: usize) -> Result<Vec<usize>, JobsError> {
    let steps = steps(text)?;
    let all = u64::try_from(total).unwrap_or(u64::MAX);
    let (mut out, mut left, mut before) = (Vec::new(), all, None);
    while left > 0 {
        let step = steps.get(out.len()).or(steps.last()).copied().unwrap_or(Step::Share(100));
        let wanted = step.size(all, before);
        let size = wanted.min(left);
        before = Some(size);
        left -= size;
        out.push(usize::try_from(size).unwrap_or(usize::MAX));
    }
    Ok(out)
}

/// How many failures are borne; none means all.
pub fn tolerated(text: Option<&str>, total: usize) -> Result<Option<u64>, JobsError> {
    let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) else { return Ok(None) };
    let all = u64::try_from(total).unwrap_or(u64::MAX);
    let bad = || {
        let hint = format!("{text:?} is no number of failures; write a number (`0`: stop at the first) or a share of all targets (`5%`)");
        JobsError::invalid("jobs.bad_tolerance", "/strategy/tolerate", hint)
    };
    let digits = |t: &str| if !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()) { t.parse::<u64>().ok() } else { None };
    match text.strip_suffix('%') {
        // Rounded down: of ten targets 5% bear none.
        Some(p) => digits(p).filter(|p| *p <= 100).map(|p| Some(all.saturating_mul(p) / 100)).ok_or_else(bad),
        None => digits(text).map(Some).ok_or_else(bad),
    }
}

impl Strategy {
    /// Whether it says anything: without it all targets are one batch.
    pub fn is_plain(&self) -> bool {
        *self == Strategy::default()
    }

    /// Refuses what could not be kept.
    pub fn check(&self) -> Result<(), JobsError> {
        if self.batches.len() > 1000 {
            return Err(JobsError::invalid("jobs.bad_batches", "/strategy/batches", "longer than 1000 bytes"));
        }
        steps(&self.batches)?;
        tolerated(self.tolerate.as_deref(), 1)?;
        if self.pause_s > MAX_PAUSE_S {
            return Err(JobsError::invalid(
                "jobs.out_of_range",
                "/strategy/pause_s",
                format!("{} is not between 0 and {MAX_PAUSE_S}", self.pause_s),
            ));
        }
        match self.total_timeout_s {
            Some(t) if !(1..=MAX_TOTAL_S).contains(&t) => {
                Err(JobsError::invalid("jobs.out_of_range", "/strategy/total_timeout_s", format!("{t} is not between 1 and {MAX_TOTAL_S}")))
            }
            _ => Ok(()),
        }
    }
}

/// Why nothing further is started, once `failures` are more than what is borne.
pub fn too_many_failures(failures: u64, tolerated: Option<u64>) -> Option<String> {
    let most = tolerated?;
    (failures > most).then(|| format!("{failures} targets failed, and {most} are tolerated"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn batches_of_targets() {
        let table: &[(&str, usize, &[usize])] = &[
            ("", 7, &[7]),
            ("1", 4, &[1, 1, 1, 1]),
            ("10", 4, &[4]),
            ("1 2 3", 9, &[1, 2, 3, 3]),
            ("25%", 16, &[4, 4, 4, 4]),
            ("10%", 16, &[2, 2, 2, 2, 2, 2, 2, 2]),
            ("10% 20%", 10, &[1, 2, 2, 2, 2, 1]),
            ("1 10%", 10, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
            ("1 100%", 10, &[1, 9]),
            ("1%", 3, &[1, 1, 1]),
            ("+2", 12, &[2, 4, 6]),
            ("1 +2", 16, &[1, 3, 5, 7]),
            ("*2", 14, &[2, 4, 8]),
            ("1 *2", 10, &[1, 2, 4, 3]),
            ("1, 10%, +10, *2", 100, &[1, 10, 20, 40, 29]),
            ("5 +5 5", 25, &[5, 10, 5, 5]),
            ("*1", 2, &[1, 1]),
            ("100%", 0, &[]),
        ];
        for (text, total, expected) in table {
            let got = batches(text, *total).unwrap();
            assert_eq!(&got, expected, "{text} of {total}");
            assert_eq!(got.iter().sum::<usize>(), *total);
        }
        for bad in
            ["0", "0%", "101%", "+0", "*0", "-1", "2.0%", "test", "1 x", "1%%", "+", "*", "%", "+-1", "1 00", "9999999999999999999999"]
        {
            assert_eq!(batches(bad, 10).unwrap_err().code(), "jobs.bad_batches", "{bad}");
        }
        // Nothing overflows, and one batch takes at least one.
        assert_eq!(batches("1000000 *1000000", 50_000).unwrap(), [50_000]);
        assert_eq!(batches("1 *1000000 *1000000", 50_000).unwrap(), [1, 49_999]);
        assert_eq!(batches("1", 50_000).unwrap().len(), 50_000);
    }

    #[test]
    fn failures_that_are_borne() {
        let table: &[(Option<&str>, usize, Option<u64>)] = &[
            (None, 10, None),
            (Some(" "), 10, None),
            (Some("0"), 10, Some(0)),
            (Some("3"), 10, Some(3)),
            (Some("5%"), 10, Some(0)),
            (Some("5%"), 100, Some(5)),
            (Some("100%"), 7, Some(7)),
        ];
        for (text, total, expected) in table {
            assert_eq!(tolerated(*text, *total).unwrap(), *expected, "{text:?} of {total}");
        }
        for bad in ["x", "-1", "101%", "%", "1.5", "+1"] {
            assert_eq!(tolerated(Some(bad), 10).unwrap_err().code(), "jobs.bad_tolerance", "{bad}");
        }
        assert_eq!(too_many_failures(3, Some(3)), None);
        assert_eq!(too_many_failures(9, None), None);
        assert_eq!(too_many_failures(1, Some(0)).unwrap(), "1 targets failed, and 0 are tolerated");
    }
}
