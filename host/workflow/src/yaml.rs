//! Reads YAML or JSON that a stranger wrote: bounded in length, depth and number of nodes, without aliases.
//!
//! An alias can make a text of a kilobyte into a document of gigabytes, so anchors and aliases are refused instead of counted.

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::Problem;

/// Longest text of a definition.
pub const MAX_TEXT: usize = 512 * 1024;
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 50_000;

/// The text as a JSON value.
pub fn read(text: &str) -> Result<Value, Problem> {
    let problem = |message: String| Problem { pointer: String::new(), message };
    if text.len() > MAX_TEXT {
        return Err(problem(format!("the definition is {} bytes, the limit is {MAX_TEXT}", text.len())));
    }
    if let Some(line) = find_alias(text) {
        return Err(problem(format!(
            "line {line} uses a YAML anchor or alias; write the value out, or use `use.functions`, `use.retries` and the like"
        )));
    }
    let nodes = std::cell::Cell::new(0);
    let seed = Bounded { depth: 0, nodes: &nodes };
    let value = if text.trim_start().starts_with('{') {
        let mut de = serde_json::Deserializer::from_str(text);
        seed.deserialize(&mut de).and_then(|v| de.end().map(|()| v)).map_err(|e| problem(format!("not JSON: {e}")))?
    } else {
        seed.deserialize(serde_norway::Deserializer::from_str(text)).map_err(|e| problem(format!("not YAML: {e}")))?
    };
    Ok(value)
}

/// The line of the first `&anchor` or `*alias` that stands where a YAML value may begin, outside of quotes, comments and block
/// scalars. Errs to the side of finding one: only plain text that begins with `&` or `*` must be quoted, as YAML wants anyway.
fn find_alias(text: &str) -> Option<usize> {
    if text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return None;
    }
    let mut block: Option<usize> = None;
    let mut quote: Option<char> = None;
    for (n, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if let Some(b) = block {
            if line.trim().is_empty() || indent > b {
                continue;
            }
            block = None;
        }
        let mut begins = true;
        let mut chars = line.chars().peekable();
        let mut previous = ' ';
        while let Some(c) = chars.next() {
            if let Some(q) = quote {
                if c == '\\' && q == '"' {
                    chars.next();
                } else if c == q {
                    if q == '\'' && chars.peek() == Some(&'\'') {
                        chars.next();
                    } else {
                        quote = None;
                    }
                }
                begins = false;
                previous = c;
                continue;
            }
            match c {
                ' ' | '\t' => {}
                '#' if previous == ' ' || previous == '\t' => break,
                '"' | '\'' if begins => quote = Some(c),
                '&' | '*' if begins && chars.peek().is_some_and(|c| !c.is_whitespace()) => return Some(n + 1),
                ':' if chars.peek().is_none_or(|c| c.is_whitespace()) => {
                    begins = true;
                    previous = c;
                    continue;
                }
                '[' | '{' | ',' => {
                    begins = true;
                    previous = c;
                    continue;
                }
                '-' | '?' if begins && chars.peek().is_none_or(|c| c.is_whitespace()) => {}
                // A tag does not end the place where an anchor may stand.
                '!' if begins => {
                    while chars.peek().is_some_and(|c| !c.is_whitespace()) {
                        chars.next();
                    }
                }
                '|' | '>' if begins => {
                    block = Some(indent);
                    break;
                }
                _ => begins = false,
            }
            previous = c;
        }
    }
    None
}

#[derive(Clone, Copy)]
struct Bounded<'a> {
    depth: usize,
    nodes: &'a std::cell::Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(format!("nested deeper than {MAX_DEPTH} levels; split the workflow")));
        }
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > MAX_NODES {
            return Err(D::Error::custom(format!("more than {MAX_NODES} values; split the workflow")));
        }
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(v).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: serde::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        self.deserialize(d)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element_seed(Bounded { depth: self.depth + 1, nodes: self.nodes })? {
            out.push(v);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = serde_json::Map::new();
        while let Some(key) = map.next_key_seed(Bounded { depth: self.depth + 1, nodes: self.nodes })? {
            let key = match key {
                Value::String(s) => s,
                Value::Number(n) => n.to_string(),
                Value::Bool(b) => b.to_string(),
                _ => return Err(A::Error::custom("a key must be plain text")),
            };
            let value = map.next_value_seed(Bounded { depth: self.depth + 1, nodes: self.nodes })?;
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("YAML tags (!name) have no meaning here; leave them out"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn reads_yaml_and_json_alike() {
        let yaml = read("a: 1\nb: [x, 'y & z', \"*\"]\nc: |\n  &not an anchor\nd: ${ .a * 2 } # * comment\n").unwrap();
        assert_eq!(yaml, serde_json::json!({"a": 1, "b": ["x", "y & z", "*"], "c": "&not an anchor\n", "d": "${ .a * 2 }"}));
        assert_eq!(read("{\"a\": \"*x\"}").unwrap(), serde_json::json!({"a": "*x"}));
    }

    #[test]
    fn billion_laughs_is_refused() {
        let bomb = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b]\n";
        assert!(read(bomb).unwrap_err().message.contains("line 1"));
        assert!(read("x: {y: *a}").unwrap_err().message.contains("alias"));
        assert!(read("- ? &a x\n  : y").is_err());
        assert!(read("a: !!str &x y\nb: *x").is_err());
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read(&format!("a: {}{}", "[".repeat(100), "]".repeat(100))).unwrap_err().message.contains("deep"));
        assert!(read(&format!("a: [{}]", "1,".repeat(60_000))).unwrap_err().message.contains("values"));
        assert!(read("a: 1\na: 2").is_err());
        assert!(read("a: !foo {b: 1}").is_err());
        assert!(read(&"x".repeat(MAX_TEXT + 1)).is_err());
    }
}
