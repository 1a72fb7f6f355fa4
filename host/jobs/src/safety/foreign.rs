//! Scripts that are no shell scripts: what they hand to a shell is read as one, and what they compute and then run is said.
//!
//! They are not parsed. Calls that run commands are found by their names, and only what is written right there is known.

use std::sync::LazyLock;

use regex::Regex;

use super::{Found, Look, Place, UNKNOWN, shell};
use crate::model::Language;

#[allow(clippy::expect_used)]
fn fixed(expression: &str) -> Regex {
    Regex::new(expression).expect("a fixed expression")
}

static PYTHON_CALLS: LazyLock<Regex> = LazyLock::new(|| {
    fixed(
        r"\b(?:os\.(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?)|(?:subprocess|sp)\.(?:run|call|check_call|check_output|Popen|getoutput|getstatusoutput)|asyncio\.create_subprocess_(?:shell|exec)|pty\.spawn|(?:check_call|check_output|Popen))\s*\(",
    )
});
static PYTHON_TEXT: LazyLock<Regex> = LazyLock::new(|| fixed(r"(?:^|[^.\w])(?:exec|eval|compile|__import__)\s*\(\s*[^'\x22\s]"));
static OTHER_CALLS: LazyLock<Regex> =
    LazyLock::new(|| fixed(r"\b(?:system|exec|execSync|spawnSync|shell_exec|passthru|popen|io\.popen|os\.execute)\s*\(?\s*"));
static OTHER_TEXT: LazyLock<Regex> = LazyLock::new(|| fixed(r"(?i)(?:\beval\s*[($]|Invoke-Expression|\biex\b)"));
static BACKTICKS: LazyLock<Regex> = LazyLock::new(|| fixed(r"`([^`\n]{1,2000})`|\bqx\s*[{(/]([^})/\n]{1,2000})[})/]"));

/// Calls that are looked at.
const MOST_CALLS: usize = 500;

/// Looks at a whole script.
pub(super) fn look(language: Language, what: &Look<'_>, found: &mut Found<'_>) {
    texts(Some(language), what.script, None, &[], found);
}

/// Looks at a program that stands in another script; `place` is where that counts as.
pub(super) fn snippet(language: Option<Language>, text: &str, place: &Place, found: &mut Found<'_>) {
    if let Some(language) = language {
        found.expressions(Some(language), text, Some(place));
    }
    texts(language, text, Some(place.at), &place.through, found);
}

fn texts(language: Option<Language>, text: &str, at: Option<usize>, through: &[String], found: &mut Found<'_>) {
    let place = |offset: usize, label: &str| {
        let mut chain = through.to_vec();
        chain.push(label.to_owned());
        Place { at: at.unwrap_or(offset), through: chain }
    };
    let python = language == Some(Language::Python3);
    let calls: &Regex = if python { &PYTHON_CALLS } else { &OTHER_CALLS };
    for m in calls.find_iter(text).take(MOST_CALLS) {
        let label = m.as_str().trim_end_matches(['(', ' ', '\t']);
        let call = place(m.start(), label);
        match argument(text.get(m.end()..).unwrap_or_default(), python) {
            Some(command) => shell::within(&Look::default(), &command, call, found),
            None => found.add_named("unseen-text", &Place { at: call.at, through: through.to_vec() }),
        }
    }
    let computed: &Regex = if python { &PYTHON_TEXT } else { &OTHER_TEXT };
    for m in computed.find_iter(text).take(MOST_CALLS) {
        let skip = m.as_str().len() - m.as_str().trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_').len();
        found.add_named("unseen-text", &Place { at: at.unwrap_or(m.start() + skip), through: through.to_vec() });
    }
    if !python {
        for m in BACKTICKS.captures_iter(text).take(MOST_CALLS) {
            if let Some(command) = m.get(1).or_else(|| m.get(2)) {
                shell::within(&Look::default(), command.as_str(), place(command.start(), "`"), found);
            }
        }
    }
}

/// The command in the arguments of a call: one text, or a list of words. None when what is run is not written there.
fn argument(rest: &str, python: bool) -> Option<String> {
    let rest = rest.trim_start();
    let list = rest.starts_with(['[', '(']);
    let mut rest = if list { rest.get(1..)? } else { rest };
    let mut words = Vec::new();
    loop {
        rest = rest.trim_start();
        if list && rest.starts_with([']', ')']) {
            break;
        }
        match literal(rest, python) {
            Some((text, after)) => {
                words.push(text);
                rest = after;
            }
            None if words.is_empty() => return None,
            None => {
                // A word that is computed.
                words.push(UNKNOWN.to_string());
                let end = rest.find([',', ']', ')', '\n']).unwrap_or(rest.len());
                rest = rest.get(end..).unwrap_or_default();
            }
        }
        rest = rest.trim_start();
        // `"a" + b`: what follows is part of the text.
        if let Some(more) = rest.strip_prefix(['+', '.', '%']).filter(|_| !list) {
            let next = literal(more.trim_start(), python);
            let last = words.last_mut()?;
            match next {
                Some((text, after)) => {
                    last.push_str(&text);
                    rest = after.trim_start();
                }
                None => last.push(UNKNOWN),
            }
        }
        match rest.strip_prefix(',') {
            Some(more) if list || !python => rest = more,
            _ => break,
        }
        if words.len() > 1000 {
            break;
        }
    }
    if list || words.len() > 1 {
        let quoted = |w: &String| if w.contains(UNKNOWN) { w.clone() } else { format!("'{}'", w.replace('\'', "'\\''")) };
        return Some(words.iter().map(quoted).collect::<Vec<_>>().join(" "));
    }
    words.into_iter().next()
}

/// A text in quotes at the start, and what follows it.
fn literal(rest: &str, python: bool) -> Option<(String, &str)> {
    let prefix = rest.chars().take_while(|c| matches!(c, 'r' | 'R' | 'b' | 'B' | 'f' | 'F' | 'u' | 'U')).count();
    let format = python && rest.get(..prefix)?.contains(['f', 'F']);
    let body = rest.get(if python { prefix } else { 0 }..)?;
    let quote = body.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let (open, close) = if python && body.starts_with(&triple) { (3, triple) } else { (1, quote.to_string()) };
    let inner = body.get(open..)?;
    let mut out = String::new();
    let mut at = 0;
    while let Some(c) = inner.get(at..).and_then(|r| r.chars().next()) {
        if inner.get(at..).is_some_and(|r| r.starts_with(&close)) {
            return Some((out, inner.get(at + close.len()..)?));
        }
        at += c.len_utf8();
        match c {
            '\\' => {
                let next = inner.get(at..).and_then(|r| r.chars().next())?;
                at += next.len_utf8();
                match next {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    next => out.push(next),
                }
            }
            '{' if format => {
                let end = inner.get(at..).and_then(|r| r.find('}'))?;
                at += end + 1;
                out.push(UNKNOWN);
            }
            '$' | '@' if !python && quote == '"' => {
                let name = inner
                    .get(at..)
                    .map_or(0, |r| r.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'{' | b'}')).count());
                at += name;
                out.push(if name > 0 { UNKNOWN } else { c });
            }
            c => out.push(c),
        }
    }
    None
}
