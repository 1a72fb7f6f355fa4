//! Is this script dangerous? Rules that warn, ask for another person's approval, or refuse, before an execution starts.
//!
//! [`Look`] has the script and what is known of how it will run; [`look`] reads it: shell scripts as a shell would (`shell`), other
//! languages by expressions and by the commands that they hand to a shell (`foreign`). What it finds are [`Finding`]s, with the place and what
//! to do. It runs nothing, and what it cannot know it says: a script that evaluates what it has downloaded is found by the rule that such a
//! thing cannot be looked at.

mod approval;
mod check;
mod foreign;
mod rules;
mod shell;
mod starter;
mod store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::model::Language;

pub use approval::{Approval, ApprovalQuery, Decision};
pub(crate) use approval::{MOST_WAITING, digest, person, stored as stored_approval};
pub(crate) use check::Asked;
pub use check::{CheckRequest, Verdict};
pub(crate) use rules::Compiled;
pub use rules::{CommandPattern, Pattern, Rule, RuleDraft};
pub(crate) use store::Rules;

/// Stands for text that is not known before the script runs.
pub(crate) const UNKNOWN: char = '\u{fffc}';
/// Findings of one script.
const MOST_FINDINGS: usize = 100;

/// What a rule does with a script that it finds something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is told, and runs.
    Warn,
    /// It waits for another person's approval.
    Approve,
    /// It does not run.
    Block,
}

impl Level {
    /// The word in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Warn => "warn",
            Level::Approve => "approve",
            Level::Block => "block",
        }
    }

    /// By word.
    pub fn parse(text: &str) -> Option<Level> {
        [Level::Warn, Level::Approve, Level::Block].into_iter().find(|l| l.as_str() == text)
    }
}

/// Something in a script that a rule looks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// What the rule is called.
    pub title: String,
    /// What follows from it.
    pub level: Level,
    /// Where: counts from 1.
    pub line: u32,
    /// Counts characters from 1.
    pub column: u32,
    /// The line of the script, shortened.
    pub excerpt: String,
    /// Why that is dangerous.
    pub why: String,
    /// What to do instead.
    pub advice: String,
    /// What it was seen through: `sh -c`, `base64 -d`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
}

/// A script and what is known of how it will run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look<'a> {
    pub language: Option<Language>,
    pub script: &'a str,
    pub args: &'a [String],
    /// Variables, with each value that they have on some target.
    pub env: BTreeMap<String, Vec<String>>,
    pub cwd: Option<&'a str>,
}

/// Where in a script something stands, and what led there.
#[derive(Debug, Clone)]
struct Place {
    at: usize,
    through: Vec<String>,
}

/// What was found so far.
struct Found<'a> {
    script: &'a str,
    rules: &'a [Compiled],
    out: Vec<Finding>,
    /// What is there already, so that the same thing again costs nothing.
    seen: HashSet<(String, usize)>,
    /// Nothing is noted: somebody reads for the first time.
    quiet: bool,
}

impl Found<'_> {
    fn add(&mut self, rule: &Rule, place: &Place) {
        if self.quiet || self.out.len() >= MOST_FINDINGS || !self.seen.insert((rule.id.clone(), place.at)) {
            return;
        }
        let (line, column, excerpt) = spot(self.script, place.at);
        // The same thing at the same place, found by several ways, is one finding: the plainest way is told.
        if self.out.iter().any(|f| f.rule == rule.id && f.line == line && f.column == column) {
            return;
        }
        self.out.push(Finding {
            rule: rule.id.clone(),
            title: rule.title.clone(),
            level: rule.level,
            line,
            column,
            excerpt,
            why: rule.why.clone(),
            advice: rule.advice.clone(),
            through: place.through.clone(),
        });
    }

    /// By a rule that is found by its id, since no pattern could say it.
    fn add_named(&mut self, id: &str, place: &Place) {
        let rules = self.rules;
        if let Some(c) = rules.iter().find(|c| c.rule.id == id) {
            self.add(&c.rule, place);
        }
    }

    /// Expressions over a text. `place` says where it stands, when that is not where it is in the script.
    fn expressions(&mut self, language: Option<Language>, text: &str, place: Option<&Place>) {
        let rules = self.rules;
        for c in rules.iter().filter(|c| c.fits(language)) {
            let Some(expression) = &c.expression else { continue };
            for m in expression.find_iter(text).take(20) {
                let own = Place { at: m.start(), through: Vec::new() };
                self.add(&c.rule, place.unwrap_or(&own));
            }
        }
    }
}

/// Line, column and text of a line.
fn spot(script: &str, at: usize) -> (u32, u32, String) {
    let mut at = at.min(script.len());
    while !script.is_char_boundary(at) {
        at -= 1;
    }
    let before = script.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    let text = script.get(start..).unwrap_or_default().lines().next().unwrap_or_default().trim();
    let excerpt: String = text.chars().take(160).collect();
    let excerpt = if excerpt.len() < text.len() { format!("{excerpt}…") } else { excerpt };
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX), excerpt)
}

/// What the rules find, worst first, then by place. Work and memory are bounded by the script's length and by fixed numbers.
pub(crate) fn look(what: &Look<'_>, rules: &[Compiled]) -> Vec<Finding> {
    let mut found = Found { script: what.script, rules, out: Vec::new(), seen: HashSet::new(), quiet: false };
    found.expressions(what.language, what.script, None);
    match what.language {
        None | Some(Language::Bash | Language::Sh) => shell::look(what, &mut found),
        Some(language) => foreign::look(language, what, &mut found),
    }
    let mut out = found.out;
    out.sort_by(|a, b| b.level.cmp(&a.level).then((a.line, a.column, &a.rule).cmp(&(b.line, b.column, &b.rule))));
    out
}
