//! Reads a shell script as a shell would, as far as that goes without running it.
//!
//! `lexer` cuts it into words, `walk` finds the commands and follows pipes, functions and loops, `expand` works out what words come to, `invoke`
//! says what a command does with its words: whether a rule sees it, and what it runs in turn (`sudo`, `sh -c`, `xargs`, `find -exec`, ...).
//! A value that several ways lead to is all of them at once; one that nobody can know is [`UNKNOWN`], and it is told where that is run.

mod expand;
mod invoke;
mod lexer;
mod outputs;
mod walk;

use std::collections::{BTreeMap, HashMap};

use super::{Found, Look, Place, UNKNOWN};
use walk::Script;

/// How deep commands within commands are followed.
const MOST_DEPTH: usize = 20;
/// Commands that are looked at in one script. Functions and loops within each other would make more of a short one.
const MOST_COMMANDS: u32 = 20_000;
/// Values that a variable is known to have at once, and ways that one command can go.
const MOST_VALUES: usize = 8;
/// Pieces of one word, and words of one command. Beyond that what is run in them still counts, and no more.
const MOST_PIECES: usize = 500;
const MOST_WORDS: usize = 5000;
/// Longest value.
const MOST_VALUE: usize = 64 * 1024;
/// Bytes of text that are read again, as `eval` and substitutions do.
const MOST_TEXT: usize = 8 * 1024 * 1024;

/// What a word comes to, and the commands whose output that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Value {
    text: String,
    from: Vec<String>,
}

impl Value {
    fn known(text: impl Into<String>) -> Value {
        Value { text: text.into(), from: Vec::new() }
    }

    fn unknown() -> Value {
        Value::known(UNKNOWN)
    }

    fn is_known(&self) -> bool {
        !self.text.contains(UNKNOWN)
    }
}

/// What stands at a command's standard input.
#[derive(Debug, Clone, Default)]
struct Input {
    /// Commands that it comes from.
    from: Vec<String>,
    /// The text, when it is known.
    text: Option<String>,
    /// Where the text stands in the script.
    at: Option<usize>,
}

/// The reader: what it has learned of the script so far.
struct Reader<'f, 's> {
    found: &'f mut Found<'s>,
    vars: HashMap<String, Vec<Value>>,
    /// What variables are given within loops and branches, as the first reading found it: a loop's end comes before its beginning.
    branches: HashMap<String, Vec<Value>>,
    functions: BTreeMap<String, (Script, usize)>,
    aliases: BTreeMap<String, String>,
    /// `$1`, `$2`, ...; none: nobody knows.
    args: Option<Vec<Value>>,
    cwd: Option<String>,
    /// What `<(...)` stands for, by the name that it is given here.
    processes: Vec<Input>,
    /// Functions that are being read.
    calls: Vec<String>,
    commands: u32,
    text: usize,
    depth: usize,
    too_much: bool,
}

/// Reads a shell script.
pub(super) fn look(what: &Look<'_>, found: &mut Found<'_>) {
    let args = (!what.args.is_empty()).then(|| what.args.iter().map(Value::known).collect());
    read(what, what.script, None, args, found);
}

/// Reads what a script of another language hands to a shell.
pub(super) fn within(what: &Look<'_>, text: &str, place: Place, found: &mut Found<'_>) {
    read(what, text, Some(place), None, found);
}

fn read(what: &Look<'_>, text: &str, place: Option<Place>, args: Option<Vec<Value>>, found: &mut Found<'_>) {
    let env: HashMap<String, Vec<Value>> = what
        .env
        .iter()
        .map(|(name, values)| {
            let known = values.len() <= MOST_VALUES && values.iter().all(|v| v.len() <= MOST_VALUE);
            (name.clone(), if known { values.iter().map(Value::known).collect() } else { vec![Value::unknown()] })
        })
        .collect();
    let script = match &place {
        None => Script { text: text.into(), base: 0, fixed: false, through: Vec::new() },
        Some(p) => Script { text: text.into(), base: p.at, fixed: true, through: p.through.clone() },
    };
    let mut branches = HashMap::new();
    for first in [true, false] {
        // What the first reading finds, the second finds too, and knows more.
        found.quiet = first;
        let mut reader = Reader {
            found: &mut *found,
            vars: env.clone(),
            branches,
            functions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            args: args.clone(),
            cwd: what.cwd.map(str::to_owned),
            processes: Vec::new(),
            calls: Vec::new(),
            commands: 0,
            text: 0,
            depth: 0,
            too_much: false,
        };
        reader.script(&script, &Input::default());
        branches = std::mem::take(&mut reader.branches);
    }
}

impl Reader<'_, '_> {
    /// By a rule of the platform's own.
    fn tell(&mut self, id: &str, script: &Script, at: usize) {
        self.found.add_named(id, &script.place(at));
    }

    /// Whether there is work left to do; says once when there is not.
    fn goes_on(&mut self, script: &Script, at: usize) -> bool {
        let more = self.depth < MOST_DEPTH && self.commands < MOST_COMMANDS && self.text < MOST_TEXT;
        if !more && !self.too_much {
            self.too_much = true;
            self.tell("unseen-too-much", script, at);
        }
        more
    }
}
