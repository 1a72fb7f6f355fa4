//! What would make a deep tree is refused before the parser sees it: parser, checks and drop all recurse, and a stack that
//! overflows ends the whole process, not the one request.
//!
//! The scan must see the source as the parser's lexer does, or text could hide what follows it. So what the two might read
//! differently (raw and triple-quoted texts, comments, a text that is not closed, an unknown escape) is refused too.

use super::parse::error;
use super::{FilterError, MAX_FILTER_DEPTH};

/// Most links of all chains that enclose each other, `a.b.c` having two.
const MAX_LINKS: usize = MAX_FILTER_DEPTH * 2;

/// Refuses a source whose tree would be deep. Brackets nest; chains such as `a.b.c`, `- - 1` or `1 + 1 + 1` are as deep as they
/// are long; `&&`, `||` and commas begin anew, since the parser balances them.
pub(super) fn check(source: &str) -> Result<(), FilterError> {
    let chars: Vec<char> = source.chars().collect();
    // Links of the chain at each level of brackets, the innermost last.
    let mut links = vec![0_usize];
    let (mut depth, mut at, mut before) = (0_usize, 0, ' ');
    while let Some(c) = chars.get(at).copied() {
        let next = chars.get(at + 1).copied();
        match c {
            '"' | '\'' => {
                if is_word(before) {
                    return Err(unsupported("raw texts and bytes; write a plain text with escapes", at));
                }
                at = text_end(&chars, at)?;
                if chars.get(at + 1) == Some(&c) {
                    return Err(unsupported("triple quotes; write a plain text with escapes", at));
                }
            }
            '`' => return Err(unsupported("backticks", at)),
            '/' if next == Some('/') => return Err(unsupported("comments", at)),
            '(' | '[' | '{' => {
                links.push(0);
                depth += 1;
            }
            ')' | ']' | '}' => {
                // `a[1][2]` goes on as a chain of the level outside; a bracket that was not opened is the parser's to name.
                if links.len() > 1 {
                    depth -= links.pop().unwrap_or_default() + 1;
                }
                one_more(&mut links, &mut depth);
            }
            ',' => begin_anew(&mut links, &mut depth),
            '&' | '|' if c == before => begin_anew(&mut links, &mut depth),
            '.' | '!' | '-' | '+' | '*' | '/' | '%' | '<' | '>' | '=' | '?' | ':' => one_more(&mut links, &mut depth),
            'i' if next == Some('n') && !is_word(before) && !chars.get(at + 2).copied().is_some_and(is_word) => {
                one_more(&mut links, &mut depth);
            }
            _ => {}
        }
        before = c;
        at += 1;
        if links.len() > MAX_FILTER_DEPTH + 1 || depth > MAX_LINKS {
            return Err(error("filter.too_large", format!("a filter nests at most {MAX_FILTER_DEPTH} deep"), Some(at - 1)));
        }
    }
    Ok(())
}

fn one_more(links: &mut [usize], depth: &mut usize) {
    if let Some(n) = links.last_mut() {
        *n += 1;
        *depth += 1;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn begin_anew(links: &mut [usize], depth: &mut usize) {
    if let Some(n) = links.last_mut() {
        *depth -= std::mem::take(n);
    }
}

fn unsupported(what: &str, at: usize) -> FilterError {
    error("filter.unsupported", format!("a filter has no {what}"), Some(at))
}

/// The place of the quote that ends the text which begins at `start`.
fn text_end(chars: &[char], start: usize) -> Result<usize, FilterError> {
    let open = || error("filter.syntax", "the filter is not valid CEL: a text is not closed on its line".to_owned(), Some(start));
    let quote = chars.get(start).copied();
    let mut at = start + 1;
    loop {
        match chars.get(at) {
            None | Some('\n' | '\r') => return Err(open()),
            Some('\\') => at += escape_length(chars.get(at + 1..).unwrap_or_default()).ok_or_else(|| bad_escape(at))?,
            c if c.copied() == quote => return Ok(at),
            Some(_) => at += 1,
        }
    }
}

fn bad_escape(at: usize) -> FilterError {
    error("filter.syntax", "the filter is not valid CEL: unknown escape in a text; a backslash is written \\\\".to_owned(), Some(at))
}

/// Characters of an escape with its backslash; `None` when CEL has no such escape.
fn escape_length(after: &[char]) -> Option<usize> {
    let digits = |from: usize, n: usize, radix: u32| after.get(from..from + n).is_some_and(|d| d.iter().all(|c| c.is_digit(radix)));
    match after.first()? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '?' | '"' | '\'' | '`' => Some(2),
        'x' | 'X' if digits(1, 2, 16) => Some(4),
        'u' if digits(1, 4, 16) => Some(6),
        'U' if digits(1, 8, 16) => Some(10),
        '0'..='3' if digits(1, 2, 8) => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::super::{Field, FieldKind, Filter, MAX_FILTER_BYTES, Schema};

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("up", FieldKind::Boolean),
            Field::new("n", FieldKind::Integer),
            Field::new("extra", FieldKind::Json),
            Field::new("tags", FieldKind::List(Box::new(FieldKind::Text))),
        ])
    }

    /// On a stack half as large as a worker's of the host, whose overflow would abort the test process.
    fn survives(source: String) {
        let t = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
            let _ = Filter::parse(&source, &schema());
        });
        t.unwrap().join().unwrap();
    }

    #[test]
    fn no_source_overflows_the_stack() {
        const PIECES: &[&str] = &[
            ".a",
            "!",
            "-",
            "- ",
            "up?",
            "up:",
            "up ? up : ",
            "[\"a\"]",
            "+1",
            "==1",
            "<n",
            "&&up",
            "||up",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            "'",
            "\"",
            "\\",
            "r'\\'",
            "'''",
            "'\\q",
            "//",
            "\n",
            "`",
            " in ",
            "tags.exists(x,",
            "size(",
            "has(extra.",
            "n.f()",
            "\u{1F600}",
            "0x",
            "1.e5",
            "/",
            "%",
            "null",
            "\0",
        ];
        for hide in ["", "r'\\' == ", "'''", "'\\q ", "'\n", "// '\n", "'", "b\"\\\" == ", "\"\"\"\"", "`"] {
            for piece in PIECES {
                survives(format!("{hide}extra{}", piece.repeat((MAX_FILTER_BYTES - 20) / piece.len())));
            }
        }
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let some = proptest::collection::vec((proptest::sample::select(PIECES), 1..400_usize), 1..12);
        for _ in 0..300 {
            let pieces = some.new_tree(&mut runner).unwrap().current();
            let source: String = pieces.iter().map(|(p, n)| p.repeat(*n)).collect();
            survives(source.chars().take(MAX_FILTER_BYTES / 4).collect());
        }
    }

    #[test]
    fn what_people_write_passes() {
        let long = (0..40).map(|i| format!("n == {i}.5 && \"it's \\\"{i}\\\" \\\\\" in tags")).collect::<Vec<_>>().join(" || ");
        let list = format!("n in [{}]", (0..500).map(|n| format!("-{n}")).collect::<Vec<_>>().join(", "));
        for source in [&long, &list, "tags.exists(t, t.startsWith('a/b') && (t != \"//\" || !(n > -1)))", "extra.a[\"b\"].c == 'x'"] {
            Filter::parse(source, &schema()).unwrap();
        }
    }
}
