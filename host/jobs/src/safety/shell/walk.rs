//! From words to commands: pipes, functions, loops, branches.

use std::sync::Arc;

use super::lexer::{Heredoc, Lexer, Part, Token, Word};
use super::{Input, Place, Reader, Value};

/// A text that is read, and how places in it are places in the script.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub text: Arc<str>,
    /// Where it starts in the script, or, when `fixed`, where all of it counts as.
    pub base: usize,
    pub fixed: bool,
    pub through: Vec<String>,
}

impl Script {
    pub fn place(&self, at: usize) -> Place {
        Place { at: if self.fixed { self.base } else { self.base + at }, through: self.through.clone() }
    }

    /// A text within this one that stands at `at`; not `exact`: it is not there as it is read.
    pub fn within(&self, text: &str, at: usize, exact: bool, through: Option<&str>) -> Script {
        let mut chain = self.through.clone();
        chain.extend(through.map(str::to_owned));
        Script { text: text.into(), base: self.place(at).at, fixed: self.fixed || !exact, through: chain }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Redirect {
    pub op: &'static str,
    pub target: Option<Word>,
    pub heredoc: Option<Heredoc>,
}

/// A command before its words are expanded.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub assigns: Vec<(String, bool, Word)>,
    pub words: Vec<Word>,
    pub redirects: Vec<Redirect>,
    pub at: usize,
}

impl Command {
    fn is_empty(&self) -> bool {
        self.assigns.is_empty() && self.words.is_empty() && self.redirects.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Group,
    Subshell,
    Branch,
    Loop,
    Case,
}

/// A compound command that is open.
struct Frame {
    kind: Kind,
    input: Input,
    names: Vec<String>,
    /// The pipe that it is part of.
    outer: Option<Input>,
    pattern: bool,
    /// The function whose body it is, and where that starts.
    function: Option<(String, usize)>,
}

/// Where the reading of one text stands.
struct State<'l> {
    lexer: Lexer<'l>,
    frames: Vec<Frame>,
    command: Command,
    /// What the command before a `|` puts out.
    pipe: Option<Input>,
    /// What the compound command that was closed just now puts out.
    closed: Option<Input>,
    function: Option<(String, usize)>,
    names: Vec<String>,
    last: Option<String>,
    count: usize,
}

impl Reader<'_, '_> {
    /// Reads a text; answers the names of its commands, and its output when it is one command whose output is known.
    pub(super) fn script(&mut self, script: &Script, input: &Input) -> Input {
        self.text += script.text.len();
        if !self.goes_on(script, 0) {
            return Input { from: vec!["?".to_owned()], text: None, at: None };
        }
        self.depth += 1;
        let text = script.text.clone();
        let mut s = State {
            lexer: Lexer::new(&text),
            frames: Vec::new(),
            command: Command::default(),
            pipe: None,
            closed: None,
            function: None,
            names: Vec::new(),
            last: None,
            count: 0,
        };
        loop {
            let at = s.lexer.position();
            match s.lexer.next() {
                Token::End => break,
                Token::Word(w) => self.word(script, input, &mut s, w),
                Token::Redirect { op, heredoc } => {
                    if s.command.is_empty() {
                        s.command.at = at;
                    }
                    let target = match (&heredoc, s.lexer.peek()) {
                        (None, Token::Word(_)) => match s.lexer.next() {
                            Token::Word(w) => Some(w),
                            _ => None,
                        },
                        _ => None,
                    };
                    s.command.redirects.push(Redirect { op, target, heredoc });
                }
                Token::Op("|" | "|&") if !in_pattern(&s) => self.finish(script, input, &mut s, true, false),
                Token::Op("(") => self.open(script, input, &mut s),
                Token::Op(")") => {
                    self.finish(script, input, &mut s, false, false);
                    match s.frames.last_mut() {
                        Some(f) if f.kind == Kind::Case => f.pattern = false,
                        Some(f) if f.kind == Kind::Subshell => self.close(script, &mut s),
                        _ => {}
                    }
                }
                Token::Op(op) => {
                    self.finish(script, input, &mut s, false, op == "&");
                    if op.starts_with(";;") || op == ";&" {
                        s.frames.last_mut().filter(|f| f.kind == Kind::Case).into_iter().for_each(|f| f.pattern = true);
                    }
                }
                Token::Newline => self.finish(script, input, &mut s, false, false),
            }
        }
        self.finish(script, input, &mut s, false, false);
        while !s.frames.is_empty() {
            self.close(script, &mut s);
        }
        if let Some(at) = s.lexer.unclosed {
            self.tell("unseen-unclosed", script, at);
        }
        self.depth -= 1;
        let text = s.last.filter(|_| s.count == 1);
        Input { from: s.names, text, at: None }
    }

    fn word(&mut self, script: &Script, input: &Input, s: &mut State<'_>, w: Word) {
        if in_pattern(s) {
            if w.plain() == Some("esac") {
                self.close(script, s);
            }
            return;
        }
        if s.command.words.is_empty() && s.command.assigns.is_empty() {
            if s.command.redirects.is_empty() {
                s.command.at = w.at;
                if let Some(keyword) = w.plain()
                    && self.keyword(script, input, s, keyword)
                {
                    return;
                }
            }
            s.closed = None;
        }
        if s.command.words.is_empty()
            && let Some((name, more, value)) = assignment(&w)
        {
            s.command.assigns.push((name, more, value));
            return;
        }
        s.command.words.push(w);
    }

    /// Whether a word was a keyword, and is done with.
    fn keyword(&mut self, script: &Script, input: &Input, s: &mut State<'_>, word: &str) -> bool {
        match word {
            "if" => self.push(input, s, Kind::Branch),
            "while" | "until" => self.push(input, s, Kind::Loop),
            "then" | "do" | "else" | "elif" | "!" | "coproc" => {}
            "fi" | "done" | "esac" | "}" => self.close(script, s),
            "{" => self.push(input, s, Kind::Group),
            "for" | "select" => {
                if let Token::Op("(") = s.lexer.peek() {
                    s.lexer.next();
                    let (text, at) = s.lexer.skip_arithmetic();
                    self.loose(script, &text, at);
                } else {
                    self.each(script, s);
                }
                self.push(input, s, Kind::Loop);
            }
            "case" => {
                if let Token::Word(w) = s.lexer.next() {
                    self.expand(script, &w);
                }
                while s.lexer.peek() == Token::Newline {
                    s.lexer.next();
                }
                if matches!(s.lexer.peek(), Token::Word(w) if w.plain() == Some("in")) {
                    s.lexer.next();
                }
                self.push(input, s, Kind::Case);
                s.frames.last_mut().into_iter().for_each(|f| f.pattern = true);
            }
            "function" => {
                if let Token::Word(w) = s.lexer.next() {
                    if s.lexer.peek() == Token::Op("(") {
                        s.lexer.next();
                        s.lexer.next();
                    }
                    s.function = w.plain().map(|n| (n.to_owned(), s.lexer.position()));
                }
            }
            "[[" => loop {
                match s.lexer.next() {
                    Token::Word(w) if w.plain() == Some("]]") => break,
                    Token::Word(w) => {
                        self.expand(script, &w);
                    }
                    Token::End => break,
                    _ => {}
                }
            },
            _ => return false,
        }
        true
    }

    /// `for NAME in WORDS`.
    fn each(&mut self, script: &Script, s: &mut State<'_>) {
        let Token::Word(name) = s.lexer.next() else { return };
        while s.lexer.peek() == Token::Newline {
            s.lexer.next();
        }
        let mut values = vec![Value::unknown()];
        if matches!(s.lexer.peek(), Token::Word(w) if w.plain() == Some("in")) {
            s.lexer.next();
            values.clear();
            while let Token::Word(w) = s.lexer.peek() {
                s.lexer.next();
                values.extend(self.expand(script, &w).into_iter().flatten());
            }
        } else if let Some(args) = &self.args {
            values = args.clone();
        }
        if let Some(name) = name.plain() {
            self.assign(name, values, false, false);
        }
    }

    fn push(&mut self, input: &Input, s: &mut State<'_>, kind: Kind) {
        let around = s.frames.last().map_or_else(|| input.clone(), |f| f.input.clone());
        let outer = s.pipe.take();
        let own = outer.clone().unwrap_or(around);
        s.closed = None;
        s.frames.push(Frame { kind, input: own, names: Vec::new(), outer, pattern: false, function: s.function.take() });
    }

    fn open(&mut self, script: &Script, input: &Input, s: &mut State<'_>) {
        if in_pattern(s) {
            return;
        }
        // NAME () begins a function.
        if let [w] = s.command.words.as_slice()
            && s.command.assigns.is_empty()
            && s.lexer.peek() == Token::Op(")")
        {
            let name = w.plain().map(str::to_owned);
            s.lexer.next();
            s.function = name.map(|n| (n, s.lexer.position()));
            s.command = Command::default();
            return;
        }
        if s.command.is_empty() {
            let at = s.lexer.position();
            if script.text.get(at..at + 1) == Some("(") && s.lexer.peek() == Token::Op("(") {
                // `((`: arithmetic, where commands can stand in `$(...)` only. Two subshells are written `( (`.
                let (text, at) = s.lexer.skip_arithmetic();
                self.loose(script, &text, at);
                return;
            }
            self.push(input, s, Kind::Subshell);
            return;
        }
        // No shell takes this; what follows is read on, as commands.
        self.finish(script, input, s, false, false);
    }

    fn close(&mut self, script: &Script, s: &mut State<'_>) {
        let Some(f) = s.frames.pop() else { return };
        if let Some((name, from)) = f.function {
            // The body with its closing bracket: reading it again opens and closes it.
            let body = script.text.get(from..s.lexer.position()).unwrap_or_default().to_owned();
            let own =
                Script { text: body.as_str().into(), base: script.place(from).at, fixed: script.fixed, through: script.through.clone() };
            if self.functions.len() < 1000 {
                self.functions.insert(name, (own, s.lexer.position()));
            }
            return;
        }
        let mut names = f.names;
        names.truncate(100);
        s.pipe = f.outer;
        match s.frames.last_mut() {
            Some(outer) => outer.names.extend(names.iter().cloned()),
            None => s.names.extend(names.iter().cloned()),
        }
        s.count += 2;
        s.closed = Some(Input { from: names, text: None, at: None });
    }

    /// Runs the command that is collected, if there is one.
    fn finish(&mut self, script: &Script, input: &Input, s: &mut State<'_>, piped: bool, background: bool) {
        let command = std::mem::take(&mut s.command);
        if in_pattern(s) {
            return;
        }
        let before = s.pipe.take();
        if command.is_empty() {
            s.pipe = s.closed.take().filter(|_| piped);
            return;
        }
        if let Some(closed) = s.closed.take().filter(|_| command.words.is_empty() && command.assigns.is_empty()) {
            // `{ ...; } > file`.
            self.redirects_only(script, &command);
            s.pipe = Some(closed).filter(|_| piped);
            return;
        }
        let bombs = s.frames.iter().filter_map(|f| f.function.as_ref()).map(|(n, _)| n.clone()).collect::<Vec<_>>();
        let multiplies = piped || background || before.is_some();
        if multiplies && command.words.first().is_some_and(|w| calls_itself(w, &bombs)) {
            self.tell("fork-bomb", script, command.at);
        }
        let around = s.frames.last().map_or(input, |f| &f.input).clone();
        let branch = s.frames.iter().any(|f| matches!(f.kind, Kind::Branch | Kind::Loop | Kind::Case) || f.function.is_some());
        let unknown_args = s.frames.iter().any(|f| f.function.is_some());
        let kept = if unknown_args { std::mem::take(&mut self.args) } else { None };
        let out = self.command(script, &command, before.unwrap_or(around), branch);
        if unknown_args {
            self.args = kept;
        }
        match s.frames.last_mut() {
            Some(f) if f.names.len() < 100 => f.names.extend(out.from.iter().cloned()),
            Some(_) => {}
            None if s.names.len() < 100 => s.names.extend(out.from.iter().cloned()),
            None => {}
        }
        if piped {
            s.pipe = Some(out);
        } else {
            s.count += 1;
            s.last = out.text;
        }
    }
}

fn in_pattern(s: &State<'_>) -> bool {
    s.frames.last().is_some_and(|f| f.kind == Kind::Case && f.pattern)
}

fn calls_itself(word: &Word, functions: &[String]) -> bool {
    match word.parts.as_slice() {
        [Part::Var { name, rest, .. }] => name == "0" && rest.is_empty(),
        [Part::Text { text, .. }] => functions.contains(text),
        _ => false,
    }
}

/// `NAME=value` and `NAME+=value`.
fn assignment(w: &Word) -> Option<(String, bool, Word)> {
    let Some(Part::Text { text, quoted: false }) = w.parts.first() else { return None };
    let (name, value) = text.split_once('=')?;
    let (name, more) = name.strip_suffix('+').map_or((name, false), |n| (n, true));
    let name = name.split('[').next().unwrap_or(name);
    let good = name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
    if name.is_empty() || !good {
        return None;
    }
    let mut parts = vec![Part::Text { text: value.to_owned(), quoted: true }];
    parts.extend(w.parts.iter().skip(1).cloned());
    Some((name.to_owned(), more, Word { parts, at: w.at, end: w.end }))
}
