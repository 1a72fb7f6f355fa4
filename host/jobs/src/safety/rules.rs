//! What rules are: data, of which some come with the platform and others are an administrator's.

use plenum_access::Role;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::Level;
use crate::JobsError;
use crate::model::Language;

/// Longest expression.
const MAX_EXPRESSION: usize = 1000;
/// What an expression may take when it is compiled. The engine's time is linear in the text whatever the expression is.
const EXPRESSION_BYTES: usize = 2 * 1024 * 1024;
const MAX_WORDS: usize = 50;

/// A command, as a shell would run it: all parts that are given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommandPattern {
    /// Its name without directory, with `*` for any characters; any of these. Empty: any command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Options that must all be there; of each, one of the spellings `r|R|recursive`. Single letters also count in `-rf`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// An expression over one of its other words, a path with `..` and double slashes taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operand: Option<String>,
    /// An expression over all of its words, joined by blanks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// An expression over a file that its output is sent to with `>` or `>>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// For what runs a text: the commands that the text comes from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs_text_of: Vec<String>,
}

/// What a rule looks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Pattern {
    /// In the text of scripts.
    Expression {
        /// A regular expression; `(?i)` at its start makes capital and small letters alike.
        expression: String,
    },
    /// In the commands of shell scripts, and in those that scripts of other languages hand to a shell.
    Command {
        /// The commands: any of these.
        commands: Vec<CommandPattern>,
    },
    /// What no pattern says and the platform knows how to find.
    BuiltIn,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Id: a word for those that come with the platform.
    pub id: String,
    /// Comes with the platform: its pattern and texts are not changed, the rest is.
    pub built_in: bool,
    /// What it is called.
    pub title: String,
    /// What follows from a finding.
    pub level: Level,
    /// Whether it counts.
    pub enabled: bool,
    /// Languages of scripts that it looks at; empty: all that its pattern fits.
    pub languages: Vec<Language>,
    /// What it looks for.
    pub pattern: Pattern,
    /// Why that is dangerous.
    pub why: String,
    /// What to do instead.
    pub advice: String,
    /// Counts for people of these roles only; empty: for everybody. For what no person does it always counts.
    pub roles: Vec<Role>,
    /// Counts when one of the targets is a host with this (CEL); empty: wherever it runs.
    pub targets: String,
    /// The least role that may approve.
    pub approver: Role,
    /// Raised with each change; 0: as it came.
    pub version: i64,
    /// When it was changed last.
    pub updated_at: Option<i64>,
    /// By whom.
    pub updated_by: Option<String>,
}

/// A rule as somebody wants it. Of one that comes with the platform, `level`, `enabled`, `roles`, `targets` and `approver` are taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDraft {
    /// What it is called.
    #[serde(default)]
    pub title: String,
    /// What follows from a finding.
    pub level: Level,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Languages.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// What it looks for.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// What to do.
    #[serde(default)]
    pub advice: String,
    /// For whom.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Where.
    #[serde(default)]
    pub targets: String,
    /// Who may approve.
    #[serde(default = "operator")]
    pub approver: Role,
}

fn yes() -> bool {
    true
}

fn operator() -> Role {
    Role::Operator
}

fn invalid(field: impl Into<String>, message: impl Into<String>) -> JobsError {
    JobsError::invalid("jobs.bad_rule", field, message)
}

fn expression(field: &str, text: &str) -> Result<Regex, JobsError> {
    if text.is_empty() || text.len() > MAX_EXPRESSION {
        return Err(invalid(field, format!("an expression has 1 to {MAX_EXPRESSION} bytes")));
    }
    let built = RegexBuilder::new(text).size_limit(EXPRESSION_BYTES).dfa_size_limit(4 * EXPRESSION_BYTES).multi_line(true).build();
    let regex = built.map_err(|e| invalid(field, format!("no regular expression: {e}")))?;
    if regex.is_match("") {
        return Err(invalid(field, "it finds something in every text, also in an empty one; make it narrower"));
    }
    Ok(regex)
}

impl RuleDraft {
    pub(super) fn check(&self) -> Result<(), JobsError> {
        let text = |field: &str, value: &str, least: usize, most: usize| {
            if value.trim().len() < least || value.len() > most {
                return Err(invalid(field, format!("{least} to {most} bytes are wanted")));
            }
            Ok(())
        };
        text("/title", &self.title, 1, 100)?;
        text("/why", &self.why, 1, 1000)?;
        text("/advice", &self.advice, 0, 1000)?;
        match &self.pattern {
            None | Some(Pattern::BuiltIn) => Err(invalid("/pattern", "say what to look for: an expression, or commands")),
            Some(pattern) => Compiled::pattern(pattern).map(|_| ()),
        }
    }
}

/// One command pattern, ready.
#[derive(Debug, Clone)]
pub(crate) struct CompiledCommand {
    pattern: CommandPattern,
    operand: Option<Regex>,
    line: Option<Regex>,
    writes: Option<Regex>,
}

/// A rule, ready.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub rule: Rule,
    pub expression: Option<Regex>,
    pub commands: Vec<CompiledCommand>,
}

/// A command as patterns see it.
#[derive(Debug, Default)]
pub(super) struct Seen<'a> {
    pub name: &'a str,
    /// All words after the name.
    pub words: &'a [String],
    /// What its output is sent to.
    pub writes: &'a [String],
    /// The directory, when it is known.
    pub cwd: Option<&'a str>,
    /// What the text that it runs comes from.
    pub runs_text_of: &'a [String],
}

impl Compiled {
    pub fn new(rule: Rule) -> Result<Compiled, JobsError> {
        let (expression, commands) = Compiled::pattern(&rule.pattern)?;
        Ok(Compiled { rule, expression, commands })
    }

    fn pattern(pattern: &Pattern) -> Result<(Option<Regex>, Vec<CompiledCommand>), JobsError> {
        match pattern {
            Pattern::BuiltIn => Ok((None, Vec::new())),
            Pattern::Expression { expression: text } => Ok((Some(expression("/pattern/expression", text)?), Vec::new())),
            Pattern::Command { commands } => {
                if commands.is_empty() || commands.len() > MAX_WORDS {
                    return Err(invalid("/pattern/commands", format!("1 to {MAX_WORDS} commands are wanted")));
                }
                let ready = commands.iter().enumerate().map(|(i, c)| CompiledCommand::new(c, &format!("/pattern/commands/{i}")));
                Ok((None, ready.collect::<Result<_, _>>()?))
            }
        }
    }

    /// Whether it looks at scripts of a language.
    pub fn fits(&self, language: Option<Language>) -> bool {
        self.rule.languages.is_empty() || language.is_none_or(|l| self.rule.languages.contains(&l))
    }

    pub(super) fn sees(&self, seen: &Seen<'_>) -> bool {
        self.commands.iter().any(|c| c.pattern.runs_text_of.is_empty() && c.sees(seen))
    }

    /// Of the patterns that are about where a text comes from that is run.
    pub(super) fn runs_text(&self, seen: &Seen<'_>) -> bool {
        self.commands.iter().any(|c| !c.pattern.runs_text_of.is_empty() && c.sees(seen))
    }
}

impl CompiledCommand {
    fn new(pattern: &CommandPattern, at: &str) -> Result<CompiledCommand, JobsError> {
        let lists = [("names", &pattern.names), ("options", &pattern.options), ("runs_text_of", &pattern.runs_text_of)];
        for (field, list) in lists {
            if list.len() > MAX_WORDS || list.iter().any(|w| w.trim().is_empty() || w.len() > 100) {
                return Err(invalid(format!("{at}/{field}"), format!("at most {MAX_WORDS} words of 1 to 100 bytes")));
            }
        }
        if *pattern == CommandPattern::default() {
            return Err(invalid(at, "every command would fit; name some, or say what they are given"));
        }
        let one = |field: &str, text: &Option<String>| text.as_deref().map(|t| expression(&format!("{at}/{field}"), t)).transpose();
        Ok(CompiledCommand {
            operand: one("operand", &pattern.operand)?,
            line: one("line", &pattern.line)?,
            writes: one("writes", &pattern.writes)?,
            pattern: pattern.clone(),
        })
    }

    fn sees(&self, seen: &Seen<'_>) -> bool {
        let p = &self.pattern;
        if !p.names.is_empty() && !p.names.iter().any(|n| named(n, seen.name)) {
            return false;
        }
        if !p.runs_text_of.is_empty() && !p.runs_text_of.iter().any(|n| seen.runs_text_of.iter().any(|from| named(n, from))) {
            return false;
        }
        if !p.options.iter().all(|group| has_option(group, seen.words)) {
            return false;
        }
        if let Some(e) = &self.writes
            && !seen.writes.iter().any(|w| e.is_match(&path(w, seen.cwd)))
        {
            return false;
        }
        if let Some(e) = &self.line
            && !e.is_match(&seen.words.join(" "))
        {
            return false;
        }
        if let Some(e) = &self.operand {
            let mut all = false;
            let fits = seen.words.iter().any(|w| {
                let operand = all || !w.starts_with('-') || w == "-";
                all |= w == "--";
                operand && (e.is_match(&path(w, seen.cwd)) || w.split_once('=').is_some_and(|(_, v)| e.is_match(&path(v, seen.cwd))))
            });
            if !fits {
                return false;
            }
        }
        true
    }
}

/// A name with `*` for any characters.
fn named(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            if tail.contains('*') { (0..=rest.len()).any(|n| rest.get(n..).is_some_and(|r| named(tail, r))) } else { rest.ends_with(tail) }
        }),
    }
}

fn has_option(group: &str, words: &[String]) -> bool {
    let mut letters = group.split('|').filter(|s| s.chars().count() == 1);
    let spelled: Vec<&str> = group.split('|').filter(|s| s.len() > 1).collect();
    let short = |w: &str, l: &str| w.strip_prefix('-').is_some_and(|r| !r.starts_with('-') && r.contains(l));
    let long = |w: &str, s: &str| {
        let single = w.strip_prefix('-').is_some_and(|r| r == s);
        // GNU programs take the beginning of an option for the whole of it.
        let double = w.strip_prefix("--").map(|r| r.split('=').next().unwrap_or_default());
        single || double.is_some_and(|r| r == s || (r.len() >= 3 && s.starts_with(r)))
    };
    let before = || words.iter().take_while(|w| *w != "--");
    letters.any(|l| before().any(|w| short(w, l))) || spelled.iter().any(|s| before().any(|w| long(w, s)))
}

/// A path without what leads nowhere: `//`, `.`, `..`. A relative one within the directory, when that is known.
fn path(word: &str, cwd: Option<&str>) -> String {
    let whole = match cwd {
        Some(dir) if !word.starts_with(['/', '~', '-', super::UNKNOWN]) && !word.contains("://") => format!("{dir}/{word}"),
        _ => word.to_owned(),
    };
    if !whole.starts_with('/') {
        return whole;
    }
    let mut out: Vec<&str> = Vec::new();
    for step in whole.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            step => out.push(step),
        }
    }
    format!("/{}", out.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn names_options_paths() {
        assert!(named("mkfs*", "mkfs.ext4") && named("mkfs*", "mkfs") && named("*fs*", "mkfs.x") && !named("mkfs", "mkfs.ext4"));
        let words = |t: &str| t.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(has_option("r|R|recursive", &words("-fr /")) && has_option("r|recursive", &words("--recur /")));
        assert!(!has_option("r|recursive", &words("-- -r")) && has_option("delete", &words("/ -delete")));
        assert_eq!(path("/tmp/..//./etc/", None), "/etc");
        assert_eq!(path("*", Some("/")), "/*");
        assert_eq!(path("../..", Some("/a/b")), "/");
        assert_eq!(path("*", None), "*");
    }

    #[test]
    fn patterns_are_bounded() {
        let bad = |p: serde_json::Value| Compiled::pattern(&serde_json::from_value(p).unwrap()).is_err();
        assert!(bad(serde_json::json!({"kind": "expression", "expression": ".*"})));
        assert!(bad(serde_json::json!({"kind": "expression", "expression": "(\\w{1000}){1000}"})));
        assert!(bad(serde_json::json!({"kind": "expression", "expression": "("})));
        assert!(bad(serde_json::json!({"kind": "command", "commands": [{}]})));
        assert!(!bad(serde_json::json!({"kind": "command", "commands": [{"names": ["rm"]}]})));
    }
}
