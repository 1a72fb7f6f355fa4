//! Cuts a script into words, operators and redirections, as a shell would, and never fails: what is unfinished ends with the text.
//!
//! A shell runs everything that stands before a syntax error, so a reader that gives up at the first one would miss what had run by then. It
//! also reads what people have half typed, and what plugins send, so it is plain safe code whose work is bounded by the length of the text.

use std::collections::VecDeque;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Characters as they are after unquoting.
    Text { text: String, quoted: bool },
    /// `$name`, `${name...}`; `rest` is what follows the name within the braces.
    Var { name: String, rest: String, quoted: bool },
    /// `$(...)` or backticks: its text, where that starts, and whether offsets in it are offsets in the script.
    Command { text: String, at: usize, exact: bool, quoted: bool },
    /// `<(...)` or `>(...)`.
    Process { text: String, at: usize },
    /// `$((...))`: a number, in whose text commands may stand.
    Number { text: String, at: usize },
    /// `(a b c)` of an assignment.
    Array(Vec<Word>),
}

/// A word, before anything in it is expanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub parts: Vec<Part>,
    pub at: usize,
    pub end: usize,
}

impl Word {
    /// The text of a word that is plain and unquoted: only such a word is a keyword.
    pub fn plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }
}

/// What follows `<<`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    pub body: String,
    pub at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;`, `|`, `(`, ...
    Op(&'static str),
    /// The target is the next word, unless it is a here-document.
    Redirect {
        op: &'static str,
        heredoc: Option<Heredoc>,
    },
    Newline,
    End,
}

pub(super) struct Lexer<'a> {
    src: &'a str,
    bytes: &'a [u8],
    pos: usize,
    /// Where to go on after the line with `<<`: behind the here-documents.
    after_line: Option<usize>,
    /// Where a quote or bracket opens that nothing closes.
    pub unclosed: Option<usize>,
    /// Arrays within arrays, which no shell has.
    arrays: usize,
    ahead: VecDeque<(Token, usize)>,
}

const OPERATORS: &[&str] = &[";;&", ";;", ";&", "&&", "||", "|&", ";", "|", "(", ")"];
const REDIRECTS: &[&str] = &["&>>", "<<<", "<<-", "&>", ">>", "<<", ">&", "<&", ">|", "<>", "<", ">"];

fn is_name(b: u8) -> bool {
    b == b'_' || b.is_ascii_alphanumeric()
}

/// Whether it ends an unquoted word.
fn ends_word(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')
}

impl<'a> Lexer<'a> {
    pub fn new(src: &'a str) -> Lexer<'a> {
        Lexer { src, bytes: src.as_bytes(), pos: 0, after_line: None, unclosed: None, arrays: 0, ahead: VecDeque::new() }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.src.get(from..to.min(self.src.len())).unwrap_or_default()
    }

    /// Where the next token starts, or a little before.
    pub fn position(&self) -> usize {
        self.pos
    }

    pub fn peek(&mut self) -> Token {
        if self.ahead.is_empty() {
            let token = self.read();
            self.ahead.push_back((token, self.pos));
        }
        self.ahead.front().map_or(Token::End, |(t, _)| t.clone())
    }

    pub fn next(&mut self) -> Token {
        match self.ahead.pop_front() {
            Some((token, _)) => token,
            None => self.read(),
        }
    }

    /// Skips to behind the `))` of an arithmetic command whose first bracket is read; answers its text and where that starts.
    pub fn skip_arithmetic(&mut self) -> (String, usize) {
        self.ahead.clear();
        let answer = self.bracketed(self.pos);
        // The second bracket.
        self.pos = (self.pos + usize::from(self.byte(self.pos) == Some(b')'))).min(self.src.len());
        answer
    }

    /// What is expanded in a text that is no word: the body of a here-document, what follows the name in `${...}`.
    pub fn loose(src: &'a str) -> Vec<Part> {
        let mut lexer = Lexer::new(src);
        let (mut parts, mut text) = (Vec::new(), String::new());
        while let Some(c) = lexer.src.get(lexer.pos..).and_then(|r| r.chars().next()) {
            let special = match c {
                '$' | '`' => lexer.dollar(true),
                '\\' if matches!(lexer.byte(lexer.pos + 1), Some(b'$' | b'`' | b'\\')) => {
                    lexer.pos += 1;
                    None
                }
                _ => None,
            };
            match special {
                Some(part) => {
                    if !text.is_empty() {
                        parts.push(Part::Text { text: std::mem::take(&mut text), quoted: true });
                    }
                    parts.push(part);
                }
                None => {
                    let c = lexer.src.get(lexer.pos..).and_then(|r| r.chars().next()).unwrap_or(c);
                    text.push(c);
                    lexer.pos += c.len_utf8();
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text { text, quoted: true });
        }
        parts
    }

    fn read(&mut self) -> Token {
        loop {
            match self.byte(self.pos) {
                None => return Token::End,
                Some(b' ' | b'\t' | b'\r') => self.pos += 1,
                Some(b'\\') if self.byte(self.pos + 1) == Some(b'\n') => self.pos += 2,
                Some(b'#') => {
                    self.pos = self.slice(self.pos, self.src.len()).find('\n').map_or(self.src.len(), |n| self.pos + n);
                }
                Some(b'\n') => {
                    self.pos = self.after_line.take().unwrap_or(self.pos + 1);
                    return Token::Newline;
                }
                Some(_) => break,
            }
        }
        let rest = self.slice(self.pos, self.src.len());
        // A number right before a redirection says which descriptor.
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = rest.get(digits..).unwrap_or_default();
        let process = after.starts_with("<(") || after.starts_with(">(");
        if (digits == 0 || after.starts_with(['<', '>']))
            && !process
            && let Some(op) = REDIRECTS.iter().find(|op| after.starts_with(**op))
        {
            self.pos += digits + op.len();
            let heredoc = matches!(*op, "<<" | "<<-").then(|| self.heredoc(*op == "<<-"));
            return Token::Redirect { op, heredoc };
        }
        if !process && let Some(op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            self.pos += op.len();
            return Token::Op(op);
        }
        if rest.starts_with('&') {
            self.pos += 1;
            return Token::Op("&");
        }
        Token::Word(self.word())
    }

    fn word(&mut self) -> Word {
        let at = self.pos;
        let mut parts = Vec::new();
        let mut text = String::new();
        let flush = |parts: &mut Vec<Part>, text: &mut String| {
            if !text.is_empty() {
                parts.push(Part::Text { text: std::mem::take(text), quoted: false });
            }
        };
        while let Some(b) = self.byte(self.pos) {
            match b {
                b'<' | b'>' if self.byte(self.pos + 1) == Some(b'(') && parts.is_empty() && text.is_empty() => {
                    let (inner, start) = self.bracketed(self.pos + 2);
                    parts.push(Part::Process { text: inner, at: start });
                }
                // `!(a|b)` and its like are patterns.
                b'(' if text.ends_with(['?', '*', '+', '@', '!']) => {
                    let from = self.pos;
                    let _ = self.bracketed(self.pos + 1);
                    text.push_str(self.slice(from, self.pos));
                }
                b'(' if self.arrays == 0 && text.ends_with('=') && parts.is_empty() && text.bytes().next().is_some_and(is_name) => {
                    flush(&mut parts, &mut text);
                    self.pos += 1;
                    self.arrays += 1;
                    parts.push(Part::Array(self.array()));
                    self.arrays -= 1;
                }
                b if ends_word(b) => break,
                b'\\' => match self.src.get(self.pos + 1..).and_then(|r| r.chars().next()) {
                    Some('\n') => self.pos += 2,
                    Some(c) => {
                        flush(&mut parts, &mut text);
                        parts.push(Part::Text { text: c.to_string(), quoted: true });
                        self.pos += 1 + c.len_utf8();
                    }
                    None => self.pos += 1,
                },
                b'\'' => {
                    flush(&mut parts, &mut text);
                    parts.push(Part::Text { text: self.single(), quoted: true });
                }
                b'"' => {
                    flush(&mut parts, &mut text);
                    self.double(&mut parts);
                }
                b'$' | b'`' => {
                    flush(&mut parts, &mut text);
                    match self.dollar(false) {
                        Some(part) => parts.push(part),
                        None => {
                            text.push('$');
                            self.pos += 1;
                        }
                    }
                }
                _ => {
                    let Some(c) = self.src.get(self.pos..).and_then(|r| r.chars().next()) else { break };
                    text.push(c);
                    self.pos += c.len_utf8();
                }
            }
        }
        flush(&mut parts, &mut text);
        if self.pos == at {
            // Nothing above took it: never stand still.
            self.pos += 1;
        }
        Word { parts, at, end: self.pos }
    }

    fn array(&mut self) -> Vec<Word> {
        let mut out = Vec::new();
        loop {
            match self.read() {
                Token::Word(w) => out.push(w),
                Token::Op(")") | Token::End => return out,
                _ => {}
            }
        }
    }

    fn single(&mut self) -> String {
        let from = self.pos + 1;
        match self.slice(from, self.src.len()).find('\'') {
            Some(n) => {
                self.pos = from + n + 1;
                self.slice(from, from + n).to_owned()
            }
            None => {
                self.unclosed.get_or_insert(self.pos);
                self.pos = self.src.len();
                self.slice(from, self.src.len()).to_owned()
            }
        }
    }

    fn double(&mut self, parts: &mut Vec<Part>) {
        let opened = self.pos;
        self.pos += 1;
        let mut text = String::new();
        let before = parts.len();
        let flush = |parts: &mut Vec<Part>, text: &mut String| {
            if !text.is_empty() {
                parts.push(Part::Text { text: std::mem::take(text), quoted: true });
            }
        };
        loop {
            let Some(c) = self.src.get(self.pos..).and_then(|r| r.chars().next()) else {
                self.unclosed.get_or_insert(opened);
                break;
            };
            match c {
                '"' => {
                    self.pos += 1;
                    break;
                }
                '\\' => {
                    match self.byte(self.pos + 1) {
                        Some(b'\n') => {}
                        Some(b @ (b'$' | b'"' | b'\\' | b'`')) => text.push(char::from(b)),
                        _ => {
                            text.push('\\');
                            self.pos += 1;
                            continue;
                        }
                    }
                    self.pos += 2;
                }
                '$' | '`' => {
                    flush(parts, &mut text);
                    match self.dollar(true) {
                        Some(part) => parts.push(part),
                        None => {
                            text.push('$');
                            self.pos += 1;
                        }
                    }
                }
                c => {
                    text.push(c);
                    self.pos += c.len_utf8();
                }
            }
        }
        flush(parts, &mut text);
        if parts.len() == before {
            parts.push(Part::Text { text: String::new(), quoted: true });
        }
    }

    /// What starts with `$` or a backtick; none when it is the character itself.
    fn dollar(&mut self, quoted: bool) -> Option<Part> {
        if self.byte(self.pos) == Some(b'`') {
            return Some(self.backticks(quoted));
        }
        let rest = self.slice(self.pos + 1, self.src.len());
        if rest.starts_with("((") {
            // Arithmetic, unless it turns out to be a command whose first word is in brackets.
            let (inner, at) = self.bracketed(self.pos + 2);
            if close(&inner, 1).is_some_and(|end| end + 1 == inner.len()) {
                return Some(Part::Number { text: inner, at });
            }
            return Some(Part::Command { text: inner, at, exact: true, quoted });
        }
        if rest.starts_with('(') {
            let (text, at) = self.bracketed(self.pos + 2);
            return Some(Part::Command { text, at, exact: true, quoted });
        }
        if rest.starts_with('{') {
            let inner = self.braces();
            let name: String = match inner.strip_prefix(['!', '#']) {
                Some(tail) if !tail.is_empty() => format!("{}{tail}", inner.chars().next().unwrap_or_default()),
                _ => {
                    let n = inner.bytes().take_while(|b| is_name(*b)).count();
                    inner.get(..n.max(usize::from(n == 0 && !inner.is_empty() && inner.is_char_boundary(1)))).unwrap_or_default().to_owned()
                }
            };
            let rest = inner.get(name.len()..).unwrap_or_default().to_owned();
            return Some(Part::Var { name, rest, quoted });
        }
        if !quoted && rest.starts_with('\'') {
            self.pos += 1;
            return Some(self.ansi());
        }
        if !quoted && rest.starts_with('"') {
            // `$"..."` is translated text: as the text itself.
            self.pos += 1;
            let mut parts = Vec::new();
            self.double(&mut parts);
            let text = parts.iter().map(|p| if let Part::Text { text, .. } = p { text.as_str() } else { "\u{fffc}" }).collect();
            return Some(Part::Text { text, quoted: true });
        }
        let n = match rest.bytes().next() {
            Some(b) if b.is_ascii_digit() || matches!(b, b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-') => 1,
            Some(b) if is_name(b) => rest.bytes().take_while(|b| is_name(*b)).count(),
            _ => return None,
        };
        self.pos += 1 + n;
        Some(Part::Var { name: rest.get(..n).unwrap_or_default().to_owned(), rest: String::new(), quoted })
    }

    /// `$'...'` with its escapes.
    fn ansi(&mut self) -> Part {
        let opened = self.pos;
        self.pos += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            let Some(c) = self.src.get(self.pos..).and_then(|r| r.chars().next()) else {
                self.unclosed.get_or_insert(opened);
                break;
            };
            self.pos += c.len_utf8();
            if c == '\'' {
                break;
            }
            if c != '\\' {
                out.extend_from_slice(c.to_string().as_bytes());
                continue;
            }
            let rest = self.slice(self.pos, self.src.len());
            let (bytes, used) = escape(rest);
            out.extend_from_slice(&bytes);
            self.pos += used;
        }
        Part::Text { text: String::from_utf8_lossy(&out).into_owned(), quoted: true }
    }

    fn backticks(&mut self, quoted: bool) -> Part {
        let opened = self.pos;
        self.pos += 1;
        let at = self.pos;
        let (mut text, mut exact) = (String::new(), true);
        loop {
            let Some(c) = self.src.get(self.pos..).and_then(|r| r.chars().next()) else {
                self.unclosed.get_or_insert(opened);
                break;
            };
            self.pos += c.len_utf8();
            match c {
                '`' => break,
                '\\' if matches!(self.byte(self.pos), Some(b'`' | b'\\' | b'$')) => {
                    exact = false;
                    text.push(char::from(self.byte(self.pos).unwrap_or(b'\\')));
                    self.pos += 1;
                }
                c => text.push(c),
            }
        }
        Part::Command { text, at, exact, quoted }
    }

    /// The text within `${...}`.
    fn braces(&mut self) -> &'a str {
        let from = self.pos + 2;
        let (mut depth, mut at) = (1_usize, from);
        while let Some(b) = self.byte(at) {
            match b {
                b'\\' => at += 1,
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        if self.byte(at).is_none() {
            self.unclosed.get_or_insert(self.pos);
        }
        self.pos = (at + 1).min(self.src.len());
        self.slice(from, at)
    }

    /// The text from `from` to the bracket that closes it, and `from`; goes on behind the bracket.
    fn bracketed(&mut self, from: usize) -> (String, usize) {
        let end = close(self.src, from);
        if end.is_none() {
            self.unclosed.get_or_insert(from.saturating_sub(1));
        }
        let end = end.unwrap_or(self.src.len());
        self.pos = (end + 1).min(self.src.len());
        (self.slice(from, end).to_owned(), from)
    }

    /// The word that ends a here-document: nothing in it is expanded.
    fn delimiter(&mut self) -> String {
        let mut end = String::new();
        let mut quote = None;
        while let Some(c) = self.src.get(self.pos..).and_then(|r| r.chars().next()) {
            match (quote, c) {
                (None, c) if c.is_ascii() && ends_word(c as u8) => break,
                (_, '\n') => break,
                (None, '\'' | '"') => quote = Some(c),
                (Some(q), c) if q == c => quote = None,
                (None, '\\') => {}
                (_, c) => end.push(c),
            }
            self.pos += c.len_utf8();
        }
        end
    }

    fn heredoc(&mut self, tabs: bool) -> Heredoc {
        while matches!(self.byte(self.pos), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
        let end = self.delimiter();
        let start = match self.after_line {
            Some(at) => at,
            None => line_end(self.bytes, self.pos) + 1,
        };
        let (body_end, next) = heredoc_end(self.src, start, &end, tabs);
        self.after_line = Some(next);
        Heredoc { body: self.slice(start, body_end).to_owned(), at: start }
    }
}

/// Where a here-document's text ends, and where the script goes on.
fn heredoc_end(src: &str, start: usize, end: &str, tabs: bool) -> (usize, usize) {
    let mut at = start.min(src.len());
    for line in src.get(at..).unwrap_or_default().split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let bare = if tabs { bare.trim_start_matches('\t') } else { bare };
        if bare == end {
            return (at, at + line.len());
        }
        at += line.len();
    }
    (src.len(), src.len())
}

/// The end of the line of `at`, leaving out ends of lines within quotes.
fn line_end(bytes: &[u8], mut at: usize) -> usize {
    let mut quote = None;
    while let Some(&b) = bytes.get(at) {
        match (quote, b) {
            (None, b'\n') => return at,
            (None, b'#') if at == 0 || bytes.get(at - 1).is_some_and(|p| p.is_ascii_whitespace()) => {
                return bytes.get(at..).and_then(|r| r.iter().position(|b| *b == b'\n')).map_or(bytes.len(), |n| at + n);
            }
            (None | Some(b'"'), b'\\') => at += 1,
            (None, b'\'' | b'"') => quote = Some(b),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The bracket that closes the one before `from`: past quotes, comments, here-documents, and the brackets of `case`.
fn close(src: &str, from: usize) -> Option<usize> {
    let bytes = src.as_bytes();
    let mut open = vec![b'('];
    let mut at = from;
    let mut resume: Option<usize> = None;
    let at_word = |at: usize| at == from || bytes.get(at - 1).is_some_and(|b| ends_word(*b));
    while let Some(&b) = bytes.get(at) {
        match b {
            b'\\' => at += 1,
            b'\'' => at = find(bytes, at + 1, b'\'')?,
            b'"' => at = quoted_end(bytes, at + 1)?,
            b'`' => at = find(bytes, at + 1, b'`')?,
            b'#' if at_word(at) => at = find(bytes, at, b'\n').map_or(bytes.len(), |n| n - 1),
            b'\n' => {
                if let Some(next) = resume.take() {
                    at = next - 1;
                }
            }
            b'<' if src.get(at..).is_some_and(|r| r.starts_with("<<") && !r.starts_with("<<<")) => {
                let mut inner = Lexer::new(src);
                inner.pos = at + 2;
                inner.after_line = resume;
                let tabs = bytes.get(inner.pos) == Some(&b'-');
                inner.pos += usize::from(tabs);
                // A number shifted left is no here-document.
                if bytes.get(inner.pos).is_some_and(|b| !b.is_ascii_digit()) {
                    inner.heredoc(tabs);
                    resume = inner.after_line.filter(|n| *n > at);
                }
                at += 1;
            }
            b'(' => open.push(b'('),
            b')' => match open.last() {
                // Closes a pattern of `case`.
                Some(b'c') => {}
                _ => {
                    open.pop();
                    if open.is_empty() {
                        return Some(at);
                    }
                }
            },
            b'c' if at_word(at) && keyword(bytes, at, b"case") => open.push(b'c'),
            b'e' if at_word(at) && keyword(bytes, at, b"esac") && open.last() == Some(&b'c') => {
                open.pop();
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn keyword(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    bytes.get(at..at + word.len()) == Some(word) && bytes.get(at + word.len()).is_none_or(|b| ends_word(*b))
}

fn find(bytes: &[u8], from: usize, what: u8) -> Option<usize> {
    bytes.get(from..)?.iter().position(|b| *b == what).map(|n| from + n)
}

/// The `"` that closes, past escapes and the quotes of commands within.
fn quoted_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'\\' => at += 1,
            b'$' if bytes.get(at + 1) == Some(&b'(') => {
                depth += 1;
                at += 1;
            }
            b')' if depth > 0 => depth -= 1,
            b'"' if depth == 0 => return Some(at),
            b'"' => at = find(bytes, at + 1, b'"')?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// What a backslash and what follows it stand for in `$'...'`, `echo -e` and `printf`, and how many bytes that takes.
pub(super) fn escape(rest: &str) -> (Vec<u8>, usize) {
    let number = |from: usize, most: usize, radix: u32| {
        let digits: String = rest.get(from..).unwrap_or_default().chars().take(most).take_while(|c| c.is_digit(radix)).collect();
        (u32::from_str_radix(&digits, radix).ok(), from + digits.len())
    };
    let byte = |v: Option<u32>| v.and_then(|v| u8::try_from(v & 0xff).ok()).into_iter().collect();
    match rest.chars().next() {
        Some('n') => (vec![b'\n'], 1),
        Some('t') => (vec![b'\t'], 1),
        Some('r') => (vec![b'\r'], 1),
        Some('a' | 'b' | 'e' | 'E' | 'f' | 'v') => (Vec::new(), 1),
        Some('x') => {
            let (v, used) = number(1, 2, 16);
            (byte(v), used)
        }
        Some(c @ ('u' | 'U')) => {
            let (v, used) = number(1, if c == 'u' { 4 } else { 8 }, 16);
            (v.and_then(char::from_u32).map(|c| c.to_string().into_bytes()).unwrap_or_default(), used)
        }
        Some('0') => {
            let (v, used) = number(0, 4, 8);
            (byte(v), used)
        }
        Some('1'..='7') => {
            let (v, used) = number(0, 3, 8);
            (byte(v), used)
        }
        Some(c) => (c.to_string().into_bytes(), c.len_utf8()),
        None => (vec![b'\\'], 0),
    }
}
