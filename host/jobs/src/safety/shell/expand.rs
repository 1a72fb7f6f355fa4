//! What words come to: variables, substitutions, braces, splitting.

use super::lexer::{Lexer, Part, Word};
use super::walk::{Command, Script};
use super::{Input, MOST_PIECES, MOST_VALUE, MOST_VALUES, Reader, UNKNOWN, Value};

/// A word's text while it is put together: whether blanks in the last piece separate words.
type Way = Vec<(Value, bool)>;

impl Reader<'_, '_> {
    /// The ways that a word can go, each with the words that it becomes.
    pub(super) fn expand(&mut self, script: &Script, w: &Word) -> Vec<Vec<Value>> {
        let mut ways: Vec<Way> = vec![Vec::new()];
        let mut quoted = false;
        for (i, p) in w.parts.iter().enumerate() {
            let (values, splits) = self.part(script, p);
            quoted |= matches!(p, Part::Text { quoted: true, .. });
            if i >= MOST_PIECES {
                continue;
            }
            if let [v] = values.as_slice() {
                ways.iter_mut().for_each(|way| way.push((v.clone(), splits)));
                continue;
            }
            let mut next = Vec::new();
            for way in &ways {
                for v in &values {
                    if next.len() < MOST_VALUES {
                        let mut way = way.clone();
                        way.push((v.clone(), splits));
                        next.push(way);
                    }
                }
            }
            ways = next;
        }
        let braces = w.parts.iter().all(|p| matches!(p, Part::Text { quoted: false, .. }));
        ways.into_iter()
            .map(|way| {
                let words = fields(way, quoted);
                if braces { words.into_iter().flat_map(|v| braced(&v.text).into_iter().map(Value::known)).collect() } else { words }
            })
            .collect()
    }

    /// One text for a word that is not split, as in assignments; each way that it can go.
    pub(super) fn joined(&mut self, script: &Script, w: &Word) -> Vec<Value> {
        if let [.., Part::Array(words)] = w.parts.as_slice() {
            let mut all = Value::default();
            for word in words.iter().take(MOST_PIECES) {
                for v in self.expand(script, word).into_iter().next().unwrap_or_default() {
                    if !all.text.is_empty() {
                        all.text.push(' ');
                    }
                    append(&mut all, &v);
                }
            }
            return vec![all];
        }
        let mut ways = vec![Value::default()];
        for (i, p) in w.parts.iter().enumerate() {
            let (values, _) = self.part(script, p);
            if i >= MOST_PIECES {
                continue;
            }
            if let [v] = values.as_slice() {
                ways.iter_mut().for_each(|way| append(way, v));
                continue;
            }
            ways = ways
                .iter()
                .flat_map(|way| {
                    values.iter().map(move |v| {
                        let mut way = way.clone();
                        append(&mut way, v);
                        way
                    })
                })
                .take(MOST_VALUES)
                .collect();
        }
        ways
    }

    /// The values of a piece, and whether blanks in them separate words.
    fn part(&mut self, script: &Script, p: &Part) -> (Vec<Value>, bool) {
        match p {
            Part::Text { text, .. } => (vec![Value::known(text.clone())], false),
            Part::Number { text, at } => {
                self.loose(script, text, *at);
                (vec![Value::unknown()], false)
            }
            Part::Command { text, at, exact, quoted } => {
                let inner = script.within(text, *at, *exact, None);
                let args = self.args.clone();
                let out = self.script(&inner, &Input::default());
                self.args = args;
                let text = out.text.unwrap_or_else(|| UNKNOWN.to_string());
                (vec![Value { text: text.trim_end_matches('\n').to_owned(), from: out.from }], !quoted)
            }
            Part::Process { text, at } => {
                let inner = script.within(text, *at, true, None);
                let out = self.script(&inner, &Input::default());
                let name = format!("/dev/fd/plenum-{}", self.processes.len());
                let value = Value { text: name, from: out.from.clone() };
                self.processes.push(out);
                (vec![value], false)
            }
            Part::Array(_) => (vec![Value::unknown()], false),
            Part::Var { name, rest, quoted } => (self.variable(script, name, rest), !quoted),
        }
    }

    fn variable(&mut self, script: &Script, name: &str, rest: &str) -> Vec<Value> {
        // `${a:-${b:-...}}` can be as deep as somebody likes.
        if rest.is_empty() {
            return self.value_of(script, name, rest);
        }
        if !self.goes_on(script, 0) {
            return vec![Value::unknown()];
        }
        self.depth += 1;
        let values = self.value_of(script, name, rest);
        self.depth -= 1;
        values
    }

    fn value_of(&mut self, script: &Script, name: &str, rest: &str) -> Vec<Value> {
        let values = match name {
            "@" | "*" => self.args.as_ref().map(|a| {
                let mut all = Value::default();
                for (i, v) in a.iter().enumerate() {
                    if i > 0 {
                        all.text.push(' ');
                    }
                    append(&mut all, v);
                }
                vec![all]
            }),
            n if n.bytes().all(|b| b.is_ascii_digit()) && n != "0" => {
                self.args.as_ref().map(|a| n.parse::<usize>().ok().and_then(|i| a.get(i - 1)).cloned().into_iter().collect::<Vec<_>>())
            }
            // `${!name}`: the variable that another one names.
            n if n.starts_with('!') => {
                let named = self.vars.get(n.trim_start_matches('!')).cloned();
                named.map(|list| {
                    list.iter().flat_map(|v| self.vars.get(&v.text).cloned().unwrap_or_else(|| vec![Value::unknown()])).collect()
                })
            }
            n => {
                let mut list = self.vars.get(n).cloned().unwrap_or_default();
                list.extend(self.branches.get(n).cloned().unwrap_or_default());
                list.dedup();
                list.truncate(MOST_VALUES);
                (!list.is_empty()).then_some(list)
            }
        };
        // The index of an array.
        let rest = if rest.starts_with('[') { rest.split_once(']').map_or("", |(_, r)| r) } else { rest };
        let known = values.unwrap_or_default();
        let otherwise = |reader: &mut Self, text: &str| {
            let parts = Lexer::loose(text);
            let word = Word { parts, at: 0, end: 0 };
            let script = script.within(text, 0, false, None);
            reader.joined(&script, &word)
        };
        let unknown = || if known.is_empty() { vec![Value::unknown()] } else { known.clone() };
        if rest.is_empty() {
            return unknown();
        }
        if let Some(word) = rest
            .strip_prefix(":-")
            .or_else(|| rest.strip_prefix('-'))
            .or_else(|| rest.strip_prefix(":="))
            .or_else(|| rest.strip_prefix('='))
        {
            let other = otherwise(self, word);
            // Without a value of its own it may have one that the environment gives.
            let mut all = if known.is_empty() { vec![Value::unknown()] } else { known.clone() };
            all.extend(other);
            all.truncate(MOST_VALUES);
            return all;
        }
        if let Some(word) = rest.strip_prefix(":+").or_else(|| rest.strip_prefix('+')) {
            return otherwise(self, word);
        }
        if rest.starts_with(":?") || rest.starts_with('?') {
            return unknown();
        }
        if let Some((from, length)) = slice(rest) {
            let cut = |v: &Value| {
                if !v.is_known() {
                    return Value { text: UNKNOWN.to_string(), from: v.from.clone() };
                }
                let skip = v.text.chars().skip(from);
                Value { text: length.map_or_else(|| skip.clone().collect(), |n| skip.clone().take(n).collect()), from: v.from.clone() }
            };
            return unknown().iter().map(cut).collect();
        }
        let case: Option<fn(&str) -> String> = match rest {
            ",," => Some(|t| t.to_lowercase()),
            "^^" => Some(|t| t.to_uppercase()),
            _ => None,
        };
        if let Some(change) = case {
            return unknown().iter().map(|v| Value { text: change(&v.text), from: v.from.clone() }).collect();
        }
        if let Some((all, what, with)) = replacement(rest) {
            let change = |v: &Value| Value {
                text: if all { v.text.replace(what, with) } else { v.text.replacen(what, with, 1) },
                from: v.from.clone(),
            };
            return unknown().iter().map(change).collect();
        }
        // Patterns of other kinds: something of it is left, and nobody knows what. Commands in them run.
        self.loose(script, rest, 0);
        let from = known.iter().flat_map(|v| v.from.clone()).collect();
        vec![Value { text: UNKNOWN.to_string(), from }]
    }

    /// Reads the commands in a text that is no command itself.
    pub(super) fn loose(&mut self, script: &Script, text: &str, at: usize) {
        self.text += text.len();
        if !self.goes_on(script, at) {
            return;
        }
        self.depth += 1;
        for p in Lexer::loose(text) {
            if let Part::Command { .. } | Part::Number { .. } = &p {
                let inner = script.within(text, at, false, None);
                self.part(&inner, &p);
            }
        }
        self.depth -= 1;
    }

    /// A here-document's text as the command gets it.
    pub(super) fn heredoc(&mut self, script: &Script, body: &str, at: usize) -> Option<String> {
        let parts = Lexer::loose(body);
        let word = Word { parts, at, end: at };
        let inner = script.within(body, at, false, None);
        let ways = self.joined(&inner, &word);
        ways.into_iter().next().map(|v| v.text)
    }

    /// Gives a variable its values. Within a branch or loop it may keep the old ones.
    pub(super) fn assign(&mut self, name: &str, mut values: Vec<Value>, more: bool, branch: bool) {
        if self.vars.len() > 5000 {
            return;
        }
        let before = self.vars.get(name).cloned().unwrap_or_default();
        if more {
            values = before.iter().flat_map(|b| values.iter().map(move |v| joined(b, v))).take(MOST_VALUES).collect();
        }
        for v in &mut values {
            if v.text.len() > MOST_VALUE {
                v.text = UNKNOWN.to_string();
            }
            v.from.truncate(20);
        }
        if branch {
            let kept = self.branches.entry(name.to_owned()).or_default();
            for v in &values {
                if kept.len() < MOST_VALUES && !kept.contains(v) {
                    kept.push(v.clone());
                }
            }
            values.extend(before.into_iter().filter(|b| b.is_known()));
            values.dedup();
        }
        values.truncate(MOST_VALUES);
        self.vars.insert(name.to_owned(), values);
    }

    /// What only opens a file, `> file`.
    pub(super) fn redirects_only(&mut self, script: &Script, command: &Command) {
        self.command(
            script,
            &Command { redirects: command.redirects.clone(), at: command.at, ..Command::default() },
            Input::default(),
            false,
        );
    }
}

fn append(to: &mut Value, more: &Value) {
    if to.text.len() + more.text.len() > MOST_VALUE {
        to.text = UNKNOWN.to_string();
    } else {
        to.text.push_str(&more.text);
    }
    for f in &more.from {
        if to.from.len() < 20 && !to.from.contains(f) {
            to.from.push(f.clone());
        }
    }
}

fn joined(a: &Value, b: &Value) -> Value {
    let mut out = a.clone();
    append(&mut out, b);
    out
}

/// Puts pieces together to words.
fn fields(way: Way, quoted: bool) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    let mut open: Option<Value> = None;
    for (v, splits) in way {
        if !splits {
            append(open.get_or_insert_default(), &v);
            continue;
        }
        let starts = v.text.starts_with(char::is_whitespace);
        let ends = v.text.ends_with(char::is_whitespace);
        if starts && let Some(done) = open.take() {
            out.push(done);
        }
        for (i, piece) in v.text.split_whitespace().enumerate() {
            if i > 0
                && let Some(done) = open.take()
            {
                out.push(done);
            }
            append(open.get_or_insert_default(), &Value { text: piece.to_owned(), from: v.from.clone() });
        }
        if ends && let Some(done) = open.take() {
            out.push(done);
        }
    }
    out.extend(open);
    if out.is_empty() && quoted {
        out.push(Value::default());
    }
    out
}

/// `{a,b}` and its like in an unquoted word. A word without is itself.
fn braced(text: &str) -> Vec<String> {
    let mut out = vec![text.to_owned()];
    for _ in 0..4 {
        let mut next = Vec::new();
        let mut changed = false;
        for t in &out {
            match brace(t) {
                Some((head, choices, tail)) if next.len() + choices.len() <= 64 => {
                    changed = true;
                    next.extend(choices.iter().map(|c| format!("{head}{c}{tail}")));
                }
                _ => next.push(t.clone()),
            }
        }
        out = next;
        if !changed {
            break;
        }
    }
    out
}

/// The first innermost `{a,b}`.
fn brace(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let mut from = None;
    for (i, c) in text.char_indices() {
        match c {
            '{' => from = Some(i),
            '}' => {
                if let Some(start) = from.take() {
                    let inner = text.get(start + 1..i)?;
                    if inner.contains(',') {
                        return Some((text.get(..start)?, inner.split(',').collect(), text.get(i + 1..)?));
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// `:2` and `:0:3`.
fn slice(rest: &str) -> Option<(usize, Option<usize>)> {
    let mut numbers = rest.strip_prefix(':')?.split(':');
    let from = numbers.next()?.trim().parse().ok()?;
    match numbers.next() {
        None => Some((from, None)),
        Some(n) => Some((from, Some(n.trim().parse().ok()?))),
    }
}

/// `/what/with` and `//what/with` without patterns.
fn replacement(rest: &str) -> Option<(bool, &str, &str)> {
    let (all, rest) = match rest.strip_prefix("//") {
        Some(r) => (true, r),
        None => (false, rest.strip_prefix('/')?),
    };
    let (what, with) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |t: &str| !t.contains(['*', '?', '[', '$', '`', '\\', '#', '%']);
    (plain(what) && plain(with) && !what.is_empty()).then_some((all, what, with))
}
