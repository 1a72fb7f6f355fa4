//! What a text is found by: terms of records and of questions. Pure, and the same for both databases.
//!
//! A text is cut at white space; each piece is found from each of its words' beginnings on: `db-prod-01` by `db-prod-01`, `prod-01` and `01`,
//! so what begins one of them finds it. Chinese has no spaces: there each character begins a word. Signs within a piece all count the same.
//! Names (label, unique keys, id) are found from the middle of their words too.

use serde_json::Value as Json;

use crate::facts::{VOLATILE, VOLATILE_SERVICE};
use crate::model::{Attribute, AttributeKind, Model};

/// Stands for every sign, and before what is no plain term. Two bytes, none of which the databases take for a separator.
const SIGN: char = '·';
/// Longest term, in characters; what is longer is found by its beginning.
const LONGEST: usize = 32;
/// Longest term that begins with a character which is a word of its own.
const LONGEST_CJK: usize = 8;
/// Least characters of a name that are found from the middle of a word.
const LEAST_INSIDE: usize = 3;
/// Most terms of a record.
const MOST_TERMS: usize = 400;
/// Most characters of one value.
const MOST_CHARS: usize = 2000;
/// Most words of a question.
pub(crate) const MOST_WORDS: usize = 8;

/// Whether a character is a word of its own: Chinese, Japanese and Korean writing has no spaces.
fn alone(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// A text as it is compared: lower case, signs all the same.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .take(MOST_CHARS)
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() || c.is_whitespace() { c } else { SIGN })
        .collect()
}

fn cut(piece: &str) -> &str {
    let most = if piece.starts_with(alone) { LONGEST_CJK } else { LONGEST };
    let end = piece.char_indices().nth(most).map_or(piece.len(), |(i, _)| i);
    piece.get(..end).unwrap_or(piece).trim_end_matches(SIGN)
}

/// Hands out each place of a plain text where something can be found, with what stands there to the end of its piece, and whether a word begins
/// there.
fn places(plain: &str, mut each: impl FnMut(usize, &str, bool)) {
    for piece in plain.split_whitespace() {
        let at = piece.as_ptr() as usize - plain.as_ptr() as usize;
        let mut before: Option<char> = None;
        for (i, c) in piece.char_indices() {
            let begins = alone(c) || before.is_none_or(|b| !b.is_alphanumeric() || alone(b));
            if c.is_alphanumeric() {
                each(at + i, piece.get(i..).unwrap_or_default(), begins);
            }
            before = Some(c);
        }
    }
}

/// The words of a question, as they are looked for. Words that are signs only say nothing.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for piece in plain(text).split_whitespace() {
        // A sign at the end says that the word ends there: `10.2.` is not `10.20`.
        let piece = piece.trim_start_matches(SIGN);
        let most = if piece.starts_with(alone) { LONGEST_CJK } else { LONGEST };
        let word: String = piece.chars().take(most).collect();
        if !word.is_empty() && !out.contains(&word) {
            out.push(word);
        }
    }
    out.truncate(MOST_WORDS);
    out
}

/// How well a word is found in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// The value is the word.
    Whole,
    /// It begins with it.
    Begins,
    /// It is somewhere in it.
    Inside,
}

/// Where a word stands in a plain value, by the rules of the terms; `name` where it is found from the middle of words too.
pub(crate) fn find(plain: &str, word: &str, name: bool) -> Option<(How, usize)> {
    let mut found: Option<usize> = None;
    places(plain, |at, rest, begins| {
        if found.is_none() && (begins || name && rest.chars().nth(LEAST_INSIDE - 1).is_some()) && cut(rest).starts_with(word) {
            found = Some(at);
        }
    });
    let at = found?;
    let whole = plain.trim_matches(|c: char| c == SIGN || c.is_whitespace());
    let first = plain.find(|c: char| c.is_alphanumeric());
    Some((
        if whole == word {
            How::Whole
        } else if first == Some(at) {
            How::Begins
        } else {
            How::Inside
        },
        at,
    ))
}

/// The term of a name's part.
pub(crate) fn name_term(word: &str) -> String {
    format!("{SIGN}{word}")
}

/// The term that the records of a model have.
pub(crate) fn model_term(model: &str) -> String {
    format!("{SIGN}{SIGN}{}", plain(model))
}

/// Whether an attribute is one that records are called or known by.
pub(crate) fn names(m: &Model, attribute: &str) -> bool {
    m.display == attribute || m.unique.iter().flatten().any(|u| u == attribute)
}

/// The texts of an attribute's value that are found. Times and truth values are not looked for by words, nor what moves all the time.
pub(crate) fn texts(m: &Model, a: &Attribute, value: &Json, mut each: impl FnMut(&str)) {
    if !searchable(a) || m.name != "host" && VOLATILE_SERVICE.contains(&a.name.as_str()) {
        return;
    }
    let moving: Vec<&str> = VOLATILE.iter().filter(|(t, _)| *t == a.name).map(|(_, c)| *c).collect();
    walk(value, &moving, &mut each);
}

fn searchable(a: &Attribute) -> bool {
    !matches!(a.kind, AttributeKind::Timestamp | AttributeKind::Boolean | AttributeKind::Secret)
}

fn walk(v: &Json, moving: &[&str], each: &mut impl FnMut(&str)) {
    match v {
        Json::String(s) => each(s),
        Json::Number(n) => each(&n.to_string()),
        Json::Array(l) => l.iter().for_each(|v| walk(v, moving, each)),
        Json::Object(o) => o.iter().filter(|(k, _)| !moving.contains(&k.as_str())).for_each(|(_, v)| walk(v, moving, each)),
        Json::Null | Json::Bool(_) => {}
    }
}

/// All terms of a record, each once, with spaces between them. Names first: what is too much is left out at the end.
pub(crate) fn of_record(m: &Model, id: &str, label: &str, attributes: &Json) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut out = model_term(&m.name);
    let mut push = |term: &str, name: bool| {
        let term = cut(term);
        if seen.len() >= MOST_TERMS || term.is_empty() {
            return;
        }
        let term = if name { name_term(term) } else { term.to_owned() };
        if !seen.contains(&term) {
            out.push(' ');
            out.push_str(&term);
            seen.insert(term);
        }
    };
    push(&plain(id), true);
    // Whoever has no name is called by the id, which is found by its beginning.
    let label = if label == id { String::new() } else { plain(label) };
    places(&label, |_, rest, begins| {
        if begins || rest.chars().nth(LEAST_INSIDE - 1).is_some() {
            push(rest, true);
        }
    });
    for round in [true, false] {
        for a in m.attributes.iter().filter(|a| names(m, &a.name) == round) {
            let Some(value) = attributes.get(&a.name) else { continue };
            texts(m, a, value, |text| {
                places(&plain(text), |_, rest, begins| {
                    if begins || round && rest.chars().nth(LEAST_INSIDE - 1).is_some() {
                        push(rest, round);
                    }
                });
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_are_found_where_the_terms_say() {
        let all = |text: &str, name: bool| {
            let mut out = Vec::new();
            places(&plain(text), |_, rest, begins| {
                if begins || name && rest.chars().count() >= LEAST_INSIDE {
                    out.push(cut(rest).to_owned());
                }
            });
            out
        };
        assert_eq!(all("DB-prod-01", false), ["db·prod·01", "prod·01", "01"]);
        assert_eq!(all("10.2.3.4/24", false), ["10·2·3·4·24", "2·3·4·24", "3·4·24", "4·24", "24"]);
        assert_eq!(all("支付web系统", false), ["支付web系统", "付web系统", "web系统", "系统", "统"]);
        assert_eq!(all("web1", true), ["web1", "eb1"]);
        assert_eq!(words("  PROD-01 10.2. /var/log -- 数据库 prod-01"), ["prod·01", "10·2·", "var·log", "数据库"]);
    }

    /// What the database finds by terms is what `find` finds in the value, or lists and counts would differ.
    #[test]
    fn terms_and_values_agree() {
        let values = [
            "db-prod-01.example.com",
            "10.2.3.4",
            "支付系统 数据库 01",
            "a@b.c d",
            "--x--",
            "Straße 5",
            "a_very_long_name_that_goes_on_and_on_for_more_than_a_term",
            "数据库主机集群服务器一号",
        ];
        let questions = [
            "db",
            "prod-01",
            "rod",
            "od",
            "10.2.",
            "2.3",
            "10.20",
            "支付",
            "据库",
            "统 数",
            "b.c",
            "x",
            "strasse",
            "straße",
            "a_very_long_name_that_goes_on_and_on_for_less",
            "数据库主机集群服务器二号",
            "example.com",
            "m",
        ];
        for value in values {
            for question in questions {
                for word in words(question) {
                    for name in [true, false] {
                        let mut by_terms = false;
                        places(&plain(value), |_, rest, begins| {
                            if begins || name && rest.chars().count() >= LEAST_INSIDE {
                                by_terms |= cut(rest).starts_with(&word);
                            }
                        });
                        assert_eq!(find(&plain(value), &word, name).is_some(), by_terms, "{word} in {value}, name {name}");
                    }
                }
            }
        }
        assert_eq!(find(&plain("Web"), "web", false).unwrap().0, How::Whole);
        assert_eq!(find(&plain("Web-1"), "web", false).unwrap().0, How::Begins);
        assert_eq!(find(&plain("a web"), "web", false).unwrap(), (How::Inside, 2));
    }
}
