//! Rows become findings.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::frame::{Ended, Frame, RawCheck};
use super::parse::{self, Row};
use super::template::{Check, Level, Op, Template, Text, Threshold};

/// Findings of one check that a report keeps; the rest are counted.
pub const MAX_ITEMS: usize = 20;
/// Bytes of a command's output that a report keeps as evidence.
pub const MAX_EVIDENCE: usize = 4096;
/// Bytes of a command's complaints that a report keeps.
const MAX_STDERR: usize = 1024;
/// Longest word that a finding quotes from a machine.
const MAX_QUOTED: usize = 200;

/// How a check ended on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A Fatal finding.
    Fatal,
    /// A Warning at worst.
    Warning,
    /// A Notification at worst.
    Notification,
    /// The command failed, took too long, or its output could not be read.
    Error,
    /// Could not be made, for a reason that the command gave.
    Skipped,
    /// Does not concern this target.
    NotApplicable,
    /// Nothing found.
    Ok,
}

impl Status {
    /// The level of a finding, if it is one.
    pub fn level(self) -> Option<Level> {
        match self {
            Self::Fatal => Some(Level::Fatal),
            Self::Warning => Some(Level::Warning),
            Self::Notification => Some(Level::Notification),
            _ => None,
        }
    }
}

impl From<Level> for Status {
    fn from(level: Level) -> Self {
        match level {
            Level::Fatal => Self::Fatal,
            Level::Warning => Self::Warning,
            Level::Notification => Self::Notification,
        }
    }
}

/// One row that crossed a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Names the row; empty for a check with one row.
    pub label: String,
    /// How bad.
    pub level: Level,
    /// What to say about it.
    pub message: Text,
}

/// What a check found on a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's id.
    pub check: String,
    /// How it ended.
    pub status: Status,
    /// What was measured, or why it could not be.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub value: Text,
    /// The rows that crossed a threshold, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// How many more did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
    /// How long the command took.
    pub duration_ms: u64,
}

/// The command's own words, kept apart from results so that lists stay small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The check's id.
    pub check: String,
    /// The exit code.
    pub exit_code: i32,
    /// The output's head.
    pub stdout: String,
    /// The complaints' head.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// There was more than is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Judges every check of a template on one target. A check that the answer does not mention is an error, never left out.
pub fn target(template: &Template, frame: &Frame) -> (Vec<CheckResult>, Vec<Evidence>) {
    let mut results = Vec::with_capacity(template.checks.len());
    let mut evidence = Vec::with_capacity(template.checks.len());
    for check in &template.checks {
        match frame.checks.iter().find(|raw| raw.id == check.id) {
            Some(raw) => {
                results.push(judge(check, raw));
                evidence.push(evidence_of(raw));
            }
            None => {
                results.push(ended(check, Status::Error, Text::new("the answer does not mention this check", "返回结果中没有该检查项"), 0))
            }
        }
    }
    (results, evidence)
}

/// Judges one check.
pub fn judge(check: &Check, raw: &RawCheck) -> CheckResult {
    let out = |status, text| ended(check, status, text, raw.duration_ms);
    match raw.ended {
        Ended::TimedOut => {
            return out(
                Status::Error,
                Text::new(format!("stopped after {} seconds", check.timeout), format!("超过 {} 秒，已终止", check.timeout)),
            );
        }
        Ended::NotRun => {
            return out(Status::Error, Text::new("not run: the time for the whole target was over", "未执行：该目标的总时间已用完"));
        }
        Ended::Done => {}
    }
    let why = || {
        let text = if raw.why.is_empty() { raw.stdout.lines().next().unwrap_or_default() } else { raw.why.as_str() };
        Text::same(quoted(text.trim()))
    };
    match raw.exit_code {
        77 => return out(Status::Skipped, why()),
        78 => return out(Status::NotApplicable, why()),
        // 128 + SIGXFSZ: the driver's limit on a check's output.
        153 => return out(Status::Error, Text::new("printed more than is allowed and was stopped", "输出超过上限，已终止")),
        code if !check.accept_exit.contains(&code) && !matches!(check.parse, super::template::Parser::ExitCode) => {
            let said = quoted(raw.stderr.trim().lines().last().unwrap_or_default());
            return out(
                Status::Error,
                Text::new(format!("the command ended with exit code {code}: {said}"), format!("命令退出码为 {code}：{said}")),
            );
        }
        _ => {}
    }
    let rows = match parse::parse(&check.parse, &raw.stdout, raw.exit_code) {
        Ok(rows) => rows,
        Err(message) => {
            return out(Status::Error, Text::new(format!("the output could not be read: {message}"), format!("无法解析输出：{message}")));
        }
    };
    let mut items: Vec<Item> = rows.rows.iter().filter_map(|row| finding(check, row)).collect();
    items.sort_by(|a, b| (a.level, &a.label).cmp(&(b.level, &b.label)));
    let status = items.first().map_or(Status::Ok, |item| item.level.into());
    let more = items.len().saturating_sub(MAX_ITEMS) + rows.more;
    items.truncate(MAX_ITEMS);
    let value = match (check.value.is_empty(), rows.rows.as_slice()) {
        (false, [row]) => fill(&check.value, row),
        (false, []) | (true, _) => Text::default(),
        (false, rows) => {
            let all: Vec<Text> = rows.iter().take(3).map(|row| fill(&check.value, row)).collect();
            let more = if rows.len() > 3 { " …" } else { "" };
            let join = |pick: fn(&Text) -> &str, by| all.iter().map(pick).collect::<Vec<_>>().join(by) + more;
            Text::new(join(|text| &text.en, "; "), join(|text| &text.zh, "；"))
        }
    };
    CheckResult {
        check: check.id.clone(),
        status,
        value,
        items,
        more: u32::try_from(more).unwrap_or(u32::MAX),
        duration_ms: raw.duration_ms,
    }
}

fn ended(check: &Check, status: Status, value: Text, duration_ms: u64) -> CheckResult {
    CheckResult { check: check.id.clone(), status, value, items: Vec::new(), more: 0, duration_ms }
}

/// The worst threshold that holds for a row.
fn finding(check: &Check, row: &Row) -> Option<Item> {
    let threshold = check.thresholds.iter().filter(|threshold| holds(threshold, row)).min_by_key(|threshold| threshold.level)?;
    let label = if check.label.is_empty() { String::new() } else { row.get(&check.label).map(plain).unwrap_or_default() };
    Some(Item { label: quoted(&label), level: threshold.level, message: fill(&threshold.message, row) })
}

fn holds(threshold: &Threshold, row: &Row) -> bool {
    compare(row.get(&threshold.field), threshold.op, &threshold.value)
        && threshold.and.iter().all(|condition| compare(row.get(&condition.field), condition.op, &condition.value))
}

/// A missing value is below no threshold and above none: a field that a machine does not report is no finding.
fn compare(left: Option<&Value>, op: Op, right: &Value) -> bool {
    let Some(left) = left else { return false };
    let numbers = || Some((left.as_f64()?, right.as_f64()?));
    let ordered = |test: fn(f64, f64) -> bool| numbers().is_some_and(|(a, b)| test(a, b));
    match op {
        Op::Gt => ordered(|a, b| a > b),
        Op::Ge => ordered(|a, b| a >= b),
        Op::Lt => ordered(|a, b| a < b),
        Op::Le => ordered(|a, b| a <= b),
        Op::Eq => same(left, right),
        Op::Ne => !same(left, right),
        Op::In => right.as_array().is_some_and(|list| list.iter().any(|item| same(left, item))),
        Op::NotIn => right.as_array().is_some_and(|list| !list.iter().any(|item| same(left, item))),
        Op::Contains => plain(left).contains(&plain(right)),
        Op::NotContains => !plain(left).contains(&plain(right)),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < f64::EPSILON,
        _ => plain(left) == plain(right),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Replaces `{field}`; a name that the row lacks becomes a dash.
fn fill(text: &Text, row: &Row) -> Text {
    Text { en: fill_one(&text.en, row), zh: fill_one(&text.zh, row) }
}

fn fill_one(text: &str, row: &Row) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}').and_then(|(name, tail)| Some((row.get(name)?, tail))) {
            Some((value, tail)) => {
                out.push_str(&quoted(&plain(value)));
                rest = tail;
            }
            None => match after.split_once('}') {
                Some((name, tail)) if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                    out.push('–');
                    rest = tail;
                }
                _ => {
                    out.push('{');
                    rest = after;
                }
            },
        }
    }
    out.push_str(rest);
    out
}

fn quoted(text: &str) -> String {
    cut(text, MAX_QUOTED).0
}

fn evidence_of(raw: &RawCheck) -> Evidence {
    let (stdout, cut_out) = cut(&raw.stdout, MAX_EVIDENCE);
    let (stderr, cut_err) = cut(&raw.stderr, MAX_STDERR);
    Evidence { check: raw.id.clone(), exit_code: raw.exit_code, stdout, stderr, truncated: cut_out || cut_err }
}

/// Cuts at a character and drops what a terminal would obey; a report is shown to people.
fn cut(text: &str, limit: usize) -> (String, bool) {
    let mut out = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        if out.len() + c.len_utf8() > limit {
            return (out, true);
        }
        if !c.is_control() || c == '\n' || c == '\t' {
            out.push(c);
        }
    }
    (out, false)
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
