//! What a few commands print, where that follows from their words: the ones that scripts hide other commands with.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::lexer::escape;
use super::{MOST_VALUE, UNKNOWN};

/// What is decoded need not be padded as it should.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// The output of a command with these words and this input; none when it is not known.
pub(super) fn output(name: &str, words: &[String], input: Option<&str>) -> Option<String> {
    let known = words.iter().all(|w| !w.contains(UNKNOWN));
    let plain = || words.iter().filter(|w| !w.starts_with('-')).count();
    let text = match name {
        "echo" => echo(words)?,
        "printf" if known => printf(words)?,
        "cat" | "tee" if plain() == 0 => input?.to_owned(),
        "rev" if plain() == 0 => input?.lines().map(|l| format!("{}\n", l.chars().rev().collect::<String>())).collect(),
        "base64" if decodes(words) && plain() == 0 => {
            let bare: String = input?.chars().filter(|c| !c.is_whitespace()).collect();
            String::from_utf8(LENIENT.decode(bare).ok()?).ok()?
        }
        "openssl" if words.iter().any(|w| w == "-d") && words.iter().any(|w| w == "base64" || w == "-base64" || w == "-a") => {
            let bare: String = input?.chars().filter(|c| !c.is_whitespace()).collect();
            String::from_utf8(LENIENT.decode(bare).ok()?).ok()?
        }
        "xxd" if words.iter().any(|w| w.starts_with('-') && w.contains('r')) => {
            let bare: String = input?.chars().filter(|c| !c.is_whitespace()).collect();
            String::from_utf8(hex::decode(bare).ok()?).ok()?
        }
        "tr" if known => tr(words, input?)?,
        _ => return None,
    };
    (text.len() <= MOST_VALUE).then_some(text)
}

fn decodes(words: &[String]) -> bool {
    words.iter().any(|w| {
        matches!(w.as_str(), "-d" | "-D" | "--decode" | "-di" | "-id") || (w.starts_with("--d") && "--decode".starts_with(w.as_str()))
    })
}

fn echo(words: &[String]) -> Option<String> {
    let (mut words, mut line, mut escapes) = (words, true, false);
    while let Some((first, rest)) = words.split_first() {
        let flags = first.strip_prefix('-').filter(|f| !f.is_empty() && f.chars().all(|c| matches!(c, 'n' | 'e' | 'E')));
        let Some(flags) = flags else { break };
        line &= !flags.contains('n');
        escapes |= flags.contains('e');
        words = rest;
    }
    let mut text = words.join(" ");
    if escapes {
        text = unescaped(&text);
    }
    if line {
        text.push('\n');
    }
    Some(text)
}

fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '\\' {
            let (bytes, used) = escape(rest);
            out.extend_from_slice(&bytes);
            rest = rest.get(used..).unwrap_or_default();
        } else {
            out.extend_from_slice(c.to_string().as_bytes());
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `printf` with `%s` and `%b` alone.
fn printf(words: &[String]) -> Option<String> {
    let (format, args) = match words.split_first() {
        Some((dashes, rest)) if dashes == "--" => rest.split_first()?,
        Some(all) => all,
        None => return None,
    };
    let mut args = args.iter();
    let mut out = String::new();
    // The format is used again until the words are used up.
    for _ in 0..1000 {
        let before = args.len();
        let mut chars = unescaped(format).chars().collect::<Vec<_>>().into_iter();
        while let Some(c) = chars.next() {
            match c {
                '%' => match chars.next()? {
                    's' | 'b' => out.push_str(&args.next().map_or_else(String::new, |a| unescaped(a))),
                    'c' => out.extend(args.next().and_then(|a| a.chars().next())),
                    'd' | 'i' => out.push_str(args.next().map_or("0", String::as_str)),
                    '%' => out.push('%'),
                    _ => return None,
                },
                c => out.push(c),
            }
        }
        if args.len() == 0 || args.len() == before {
            return Some(out);
        }
    }
    None
}

/// `tr SET1 SET2` and `tr -d SET` with plain sets and ranges.
fn tr(words: &[String], input: &str) -> Option<String> {
    let set = |text: &str| -> Option<Vec<char>> {
        let chars: Vec<char> = text.chars().collect();
        if text.contains(['[', '\\']) {
            return None;
        }
        let mut out = Vec::new();
        let mut i = 0;
        while let Some(&c) = chars.get(i) {
            match (chars.get(i + 1), chars.get(i + 2)) {
                (Some('-'), Some(&end)) if c <= end => {
                    out.extend(c..=end);
                    i += 3;
                }
                _ => {
                    out.push(c);
                    i += 1;
                }
            }
            if out.len() > 1000 {
                return None;
            }
        }
        Some(out)
    };
    match words {
        [delete, what] if delete == "-d" => {
            let gone = set(what)?;
            Some(input.chars().filter(|c| !gone.contains(c)).collect())
        }
        [from, to] if !from.starts_with('-') => {
            let (from, to) = (set(from)?, set(to)?);
            let change = |c: char| match from.iter().position(|f| *f == c) {
                Some(i) => to.get(i).or(to.last()).copied().unwrap_or(c),
                None => c,
            };
            Some(input.chars().map(change).collect())
        }
        _ => None,
    }
}
