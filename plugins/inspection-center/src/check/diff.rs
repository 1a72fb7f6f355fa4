//! What changed since the last time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::grade::{CheckResult, Status};
use super::template::{Level, Text};

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Was not there.
    New,
    /// Was there, at a milder level.
    Worse,
    /// Was there, at a harder level.
    Better,
    /// Was there, is no more.
    Gone,
}

/// A finding that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// The check's id.
    pub check: String,
    /// The row's label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What became of it.
    pub change: Change,
    /// Its level before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Level>,
    /// Its level now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Level>,
    /// What it says (or said).
    pub message: Text,
}

/// How many findings changed how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Were not there.
    pub new: u32,
    /// Are harder.
    pub worse: u32,
    /// Are milder.
    pub better: u32,
    /// Are no more.
    pub gone: u32,
}

impl ChangeCounts {
    /// Counts changes.
    pub fn of(changes: &[Changed]) -> Self {
        let count = |kind| u32::try_from(changes.iter().filter(|changed| changed.change == kind).count()).unwrap_or(u32::MAX);
        Self { new: count(Change::New), worse: count(Change::Worse), better: count(Change::Better), gone: count(Change::Gone) }
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.new += other.new;
        self.worse += other.worse;
        self.better += other.better;
        self.gone += other.gone;
    }
}

/// Compares a target's results with its last ones. A check that could not be evaluated now proves nothing about its
/// old findings: they are not "gone". A check that was not evaluated then makes its findings new.
pub fn compare(before: &[CheckResult], after: &[CheckResult]) -> Vec<Changed> {
    let mut out = Vec::new();
    for now in after {
        if !judged(now.status) {
            continue;
        }
        let then = before.iter().find(|result| result.check == now.check);
        let old: BTreeMap<&str, _> = then.iter().flat_map(|then| &then.items).map(|item| (item.label.as_str(), item)).collect();
        let new: BTreeMap<&str, _> = now.items.iter().map(|item| (item.label.as_str(), item)).collect();
        for item in &now.items {
            let (change, was) = match old.get(item.label.as_str()) {
                // Rows beyond what the old report kept may have been there already.
                None if then.is_some_and(|then| then.more > 0) => continue,
                None => (Change::New, None),
                Some(was) if item.level < was.level => (Change::Worse, Some(was.level)),
                Some(was) if item.level > was.level => (Change::Better, Some(was.level)),
                Some(_) => continue,
            };
            out.push(Changed {
                check: now.check.clone(),
                label: item.label.clone(),
                change,
                before: was,
                after: Some(item.level),
                message: item.message.clone(),
            });
        }
        if now.more > 0 {
            continue;
        }
        for item in then.iter().flat_map(|then| &then.items).filter(|item| !new.contains_key(item.label.as_str())) {
            out.push(Changed {
                check: now.check.clone(),
                label: item.label.clone(),
                change: Change::Gone,
                before: Some(item.level),
                after: None,
                message: item.message.clone(),
            });
        }
    }
    out
}

fn judged(status: Status) -> bool {
    status == Status::Ok || status.level().is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::super::grade::Item;
    use super::*;

    fn result(status: Status, items: &[(&str, Level)]) -> CheckResult {
        let items = items.iter().map(|(label, level)| Item { label: (*label).into(), level: *level, message: Text::same("m") }).collect();
        CheckResult { check: "disk".into(), status, value: Text::default(), items, more: 0, duration_ms: 0 }
    }

    #[test]
    fn new_worse_better_gone() {
        let before =
            result(Status::Fatal, &[("/", Level::Warning), ("/a", Level::Fatal), ("/b", Level::Warning), ("/same", Level::Warning)]);
        let after =
            result(Status::Fatal, &[("/", Level::Fatal), ("/a", Level::Notification), ("/new", Level::Warning), ("/same", Level::Warning)]);
        let changes = compare(&[before], &[after]);
        assert_eq!(ChangeCounts::of(&changes), ChangeCounts { new: 1, worse: 1, better: 1, gone: 1 });
        assert_eq!((changes[0].before, changes[0].after), (Some(Level::Warning), Some(Level::Fatal)));
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_gone() {
        let before = [result(Status::Fatal, &[("/", Level::Fatal)])];
        assert!(compare(&before, &[result(Status::Error, &[])]).is_empty());
        assert!(compare(&before, &[result(Status::Skipped, &[])]).is_empty());
        assert_eq!(compare(&before, &[result(Status::Ok, &[])])[0].change, Change::Gone);
        assert_eq!(compare(&[result(Status::Error, &[])], &before)[0].change, Change::New);
    }
}
