//! What a template is: the vocabulary of checks.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A text in the two languages of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese; falls back to English where it is empty.
    pub zh: String,
}

impl Text {
    /// The same words in both languages, for what has no translation (a name, a command's own words).
    pub fn same(text: impl Into<String>) -> Self {
        let en = text.into();
        Self { zh: en.clone(), en }
    }

    /// Two languages at once.
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// The text for a locale such as `zh-CN`.
    pub fn get(&self, locale: &str) -> &str {
        if locale.starts_with("zh") && !self.zh.is_empty() { &self.zh } else { &self.en }
    }

    /// Nothing in either language.
    pub fn is_empty(&self) -> bool {
        self.en.is_empty() && self.zh.is_empty()
    }
}

impl<'de> Deserialize<'de> for Text {
    /// A plain string is accepted too: who writes a template for one team writes one language.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Both {
            en: String,
            #[serde(default)]
            zh: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Both(Both),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::One(text)) => Ok(Self::same(text)),
            Ok(Either::Both(Both { en, zh })) => Ok(Self { en, zh }),
            Err(_) => Err(serde::de::Error::custom("a text is a string or {en: ..., zh: ...}")),
        }
    }
}

/// How bad a finding is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is broken or will be soon: act now.
    Fatal,
    /// Needs work this week.
    Warning,
    /// Worth knowing.
    Notification,
}

impl Level {
    /// Every level, worst first.
    pub const ALL: [Self; 3] = [Self::Fatal, Self::Warning, Self::Notification];

    /// The word in data and CSS classes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Warning => "warning",
            Self::Notification => "notification",
        }
    }
}

/// A set of checks for one kind of target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// `[a-z0-9-]`, unique.
    pub id: String,
    /// Raised by who edits it.
    #[serde(default = "one")]
    pub version: u32,
    /// Shown in lists.
    pub title: Text,
    /// What it looks at, for whom.
    #[serde(default)]
    pub description: Text,
    /// The CMDB model that its targets are instances of.
    pub model: String,
    /// Groups of checks, in the order of display.
    #[serde(default)]
    pub categories: Vec<Category>,
    /// Shell functions that every command of this template may use.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prelude: String,
    /// The checks, in the order of display.
    pub checks: Vec<Check>,
}

/// A group of checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Named by [`Check::category`].
    pub id: String,
    /// Shown as the group's head.
    pub title: Text,
}

/// One question to a machine, how to ask it and how to judge the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `[a-z0-9-]`, unique in its template; the identity by which reports are compared.
    pub id: String,
    /// A category of the template.
    #[serde(default)]
    pub category: String,
    /// Shown in lists.
    pub title: Text,
    /// What is looked at and why it matters.
    #[serde(default)]
    pub description: Text,
    /// What to do about a finding.
    #[serde(default)]
    pub advice: Text,
    /// Off by default, to be switched on in an inspection.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// Seconds until the command and its children are killed.
    #[serde(default = "ten")]
    pub timeout: u32,
    /// Exit codes that mean the command worked.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub accept_exit: Vec<i32>,
    /// Bash, read only.
    pub command: String,
    /// How its output becomes rows.
    pub parse: Parser,
    /// The column that names a row in findings (`/var`), so that rows can be compared between reports.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// One line that says what was measured, shown when all is well too: `{free_percent} % free`.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub value: Text,
    /// What the user may set; the command sees each as `$P_<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// When a row becomes a finding. The worst that holds counts.
    pub thresholds: Vec<Threshold>,
}

/// An input of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// `[a-z0-9_]`.
    pub name: String,
    /// Shown beside the field.
    pub title: Text,
    /// Used when an inspection says nothing.
    #[serde(default)]
    pub default: String,
    /// A regular expression that a value must match as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pattern: String,
}

/// How a command's output becomes rows of named values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Parser {
    /// The first number of the output, or of the pattern's first group: one row, `value`.
    Number {
        /// Where to look; its first group is the number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern: Option<String>,
    },
    /// Named groups of a regular expression, matched line by line: a row for each matching line.
    Regex {
        /// With at least one `(?<name>...)`.
        pattern: String,
    },
    /// Columns: a row for each line. The last column takes the rest of its line.
    Table {
        /// Names, left to right.
        columns: Vec<String>,
        /// White space when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<String>,
        /// Head lines to leave out.
        #[serde(default, skip_serializing_if = "is_default")]
        skip: usize,
    },
    /// Counts lines that are not empty: the row `count`, and each line as an item for evidence.
    Lines {
        /// Counts only lines that match.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        matching: Option<String>,
    },
    /// `name=value` or `name: value` lines: one row.
    KeyValue {
        /// `=` when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<String>,
    },
    /// The exit code: one row, `exit_code`.
    ExitCode,
}

/// When a row becomes a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Names it where an inspection sets another value; the level's word when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// How bad.
    pub level: Level,
    /// The value that is compared.
    pub field: String,
    /// The comparison.
    pub op: Op,
    /// What it is compared with: a number, a text, or for `in` a list.
    pub value: Value,
    /// Other conditions that must hold too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub and: Vec<Condition>,
    /// What the report says; `{field}` is replaced by the row's value.
    pub message: Text,
}

impl Threshold {
    /// Its name within the check.
    pub fn name(&self) -> &str {
        if self.id.is_empty() { self.level.as_str() } else { &self.id }
    }
}

/// One more condition of a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The value that is compared.
    pub field: String,
    /// The comparison.
    pub op: Op,
    /// What it is compared with.
    pub value: Value,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Greater.
    #[serde(rename = ">")]
    Gt,
    /// Greater or equal.
    #[serde(rename = ">=")]
    Ge,
    /// Less.
    #[serde(rename = "<")]
    Lt,
    /// Less or equal.
    #[serde(rename = "<=")]
    Le,
    /// Equal.
    #[serde(rename = "==")]
    Eq,
    /// Different.
    #[serde(rename = "!=")]
    Ne,
    /// Is one of a list.
    #[serde(rename = "in")]
    In,
    /// Is none of a list.
    #[serde(rename = "not_in")]
    NotIn,
    /// The text contains.
    #[serde(rename = "contains")]
    Contains,
    /// The text does not contain.
    #[serde(rename = "not_contains")]
    NotContains,
}

impl Op {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Contains => "contains",
            Self::NotContains => "not_contains",
        }
    }
}

fn one() -> u32 {
    1
}
fn ten() -> u32 {
    10
}
fn yes() -> bool {
    true
}
fn zero() -> Vec<i32> {
    vec![0]
}
fn is_zero(codes: &[i32]) -> bool {
    codes == [0]
}
fn is_true(value: &bool) -> bool {
    *value
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
