//! Rules of attributes beyond their kind: patterns, bounds, defaults, and texts with a form.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use crate::CmdbError;
use crate::model::{Attribute, AttributeKind, Model, check_value};

/// Longest pattern.
const MAX_PATTERN: usize = 500;
/// Bytes that a compiled pattern may take: it bounds what compiling costs, and matching is linear.
const PATTERN_SIZE: usize = 256 << 10;
/// Compiled patterns that are kept.
const KEPT: usize = 256;

/// Longest schema, in bytes.
const MAX_SCHEMA: usize = 16 << 10;

static SCHEMAS: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> = LazyLock::new(Mutex::default);
static PATTERNS: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// A pattern, compiled once.
fn compiled(pattern: &str) -> Result<Regex, String> {
    if let Some(r) = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(r.clone());
    }
    let made = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build().map_err(|e| e.to_string())?;
    let mut kept = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), made.clone());
    Ok(made)
}

/// Whether the rules of an attribute make sense.
pub(crate) fn check_rules(a: &Attribute, at: &str) -> Result<(), CmdbError> {
    let bad = |key: &str, message: String| Err(CmdbError::InvalidModel { pointer: format!("{at}/{key}"), message });
    let texts = matches!(a.kind, AttributeKind::Text | AttributeKind::LongText);
    let numbers = matches!(a.kind, AttributeKind::Integer | AttributeKind::Decimal);
    if let Some(p) = &a.pattern {
        if !texts {
            return bad("pattern", format!("{}: only text has a pattern", a.name));
        }
        if p.len() > MAX_PATTERN {
            return bad("pattern", format!("{}: a pattern has at most {MAX_PATTERN} characters", a.name));
        }
        if let Err(e) = compiled(p) {
            return bad("pattern", format!("{}: the pattern is not a regular expression: {e}", a.name));
        }
    }
    for (key, bound) in [("min", a.min), ("max", a.max)] {
        match bound {
            Some(_) if !texts && !numbers => return bad(key, format!("{}: only numbers have bounds, and texts a length", a.name)),
            Some(b) if !b.is_finite() || (texts && (b < 0.0 || b.fract() != 0.0)) => {
                return bad(key, format!("{}: a length is a whole number", a.name));
            }
            _ => {}
        }
    }
    if let (Some(min), Some(max)) = (a.min, a.max)
        && min > max
    {
        return bad("min", format!("{}: min is larger than max", a.name));
    }
    if let Some(schema) = &a.schema {
        if a.kind != AttributeKind::Json {
            return bad("schema", format!("{}: only json has a schema", a.name));
        }
        if schema.to_string().len() > MAX_SCHEMA {
            return bad("schema", format!("{}: a schema has at most {MAX_SCHEMA} bytes", a.name));
        }
        if let Err(e) = validator(schema) {
            return bad("schema", format!("{}: the schema is no JSON Schema: {e}", a.name));
        }
    }
    if let Some(d) = &a.default
        && let Err(CmdbError::InvalidInstance { message, .. }) = check_value(a, d, "")
    {
        return bad("default", format!("the default does not fit: {message}"));
    }
    Ok(())
}

/// A schema, compiled once. It reads nothing from elsewhere.
fn validator(schema: &Json) -> Result<Arc<jsonschema::Validator>, String> {
    let text = schema.to_string();
    if let Some(v) = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner).get(&text) {
        return Ok(v.clone());
    }
    let made = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(schema).map_err(|e| e.to_string())?;
    let made = Arc::new(made);
    let mut kept = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(text, made.clone());
    Ok(made)
}

/// A JSON value against its schema, where it has one; says the first place that does not fit.
pub(crate) fn fits_schema(a: &Attribute, v: &Json) -> Result<(), String> {
    let Some(schema) = &a.schema else { return Ok(()) };
    match validator(schema)?.iter_errors(v).next() {
        None => Ok(()),
        Some(e) => {
            let mut what: String = e.to_string().chars().take(300).collect();
            let at = e.instance_path().to_string();
            if !at.is_empty() {
                what = format!("{what} at {at}");
            }
            Err(format!("JSON that fits its schema: {what}"))
        }
    }
}

/// A value of the right kind against the attribute's rules; says what it would have to be.
pub(crate) fn keeps(a: &Attribute, v: &Json) -> Result<(), String> {
    if let (Some(p), Some(s)) = (&a.pattern, v.as_str())
        && !compiled(p)?.is_match(s)
    {
        return Err(format!("text that matches {p}"));
    }
    let (measure, what) = match v {
        Json::String(s) if matches!(a.kind, AttributeKind::Text | AttributeKind::LongText) => (s.chars().count() as f64, " characters"),
        Json::Number(n) => (n.as_f64().unwrap_or_default(), ""),
        _ => return Ok(()),
    };
    if a.min.is_some_and(|m| measure < m) {
        return Err(format!("at least {}{what}", a.min.unwrap_or_default()));
    }
    if a.max.is_some_and(|m| measure > m) {
        return Err(format!("at most {}{what}", a.max.unwrap_or_default()));
    }
    Ok(())
}

/// Texts that have a form: what is wrong, in words, or nothing.
pub(crate) fn formed(kind: AttributeKind, text: &str) -> Result<(), &'static str> {
    let prefix = |text: &str| {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits = bits.parse::<u8>().ok().filter(|b| bits.len() == b.to_string().len())?;
        let (value, width) = match address {
            IpAddr::V4(a) => (u128::from(u32::from(a)) << 96, 32),
            IpAddr::V6(a) => (u128::from(a), 128),
        };
        let host = if bits == 0 { u128::MAX } else { u128::MAX.checked_shr(bits.into()).unwrap_or(0) };
        Some(bits <= width && value & host == 0)
    };
    let ok = match kind {
        AttributeKind::Date => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() && text.len() == 10,
        AttributeKind::Ip => text.parse::<IpAddr>().is_ok(),
        AttributeKind::Cidr => prefix(text) == Some(true),
        AttributeKind::Mac => {
            text.len() == 17
                && text.split(':').count() == 6
                && text.split(':').all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
        }
        AttributeKind::Url => {
            ["http://", "https://"].iter().any(|s| text.strip_prefix(s).is_some_and(|r| !r.is_empty() && !r.starts_with('/')))
                && text.len() <= 2048
                && !text.contains(char::is_whitespace)
        }
        _ => true,
    };
    if ok {
        return Ok(());
    }
    Err(match kind {
        AttributeKind::Date => "a date such as 2026-01-31",
        AttributeKind::Ip => "an IP address",
        AttributeKind::Cidr => "a network such as 10.1.0.0/16, with no bits set behind its prefix",
        AttributeKind::Mac => "a MAC address such as 52:54:00:12:34:56",
        _ => "an address that begins with http:// or https://",
    })
}

impl Model {
    /// A new instance's attributes with the defaults of those that are absent.
    pub(crate) fn with_defaults(&self, mut attributes: Json) -> Json {
        if let Some(o) = attributes.as_object_mut() {
            for a in &self.attributes {
                if let Some(d) = &a.default
                    && !o.contains_key(&a.name)
                {
                    o.insert(a.name.clone(), d.clone());
                }
            }
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms() {
        use AttributeKind::{Cidr, Date, Ip, Mac, Url};
        for (kind, good, bad) in [
            (Date, vec!["2026-02-28"], vec!["2026-02-30", "2026-2-1", "today", "2026-02-28T00:00:00Z"]),
            (Ip, vec!["10.0.0.1", "::1", "fe80::1"], vec!["10.0.0.256", "010.0.0.1", "host", ""]),
            (
                Cidr,
                vec!["10.1.0.0/16", "0.0.0.0/0", "10.0.0.1/32", "2001:db8::/32"],
                vec!["10.1.2.3/16", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/016", "::/129"],
            ),
            (Mac, vec!["52:54:00:12:34:56"], vec!["52-54-00-12-34-56", "52:54:00:12:34", "zz:54:00:12:34:56"]),
            (Url, vec!["https://a.example/x?y"], vec!["ftp://a", "https://", "http:///x", "https://a b", "javascript:alert(1)"]),
        ] {
            for t in good {
                assert!(formed(kind, t).is_ok(), "{kind:?} {t}");
            }
            for t in bad {
                assert!(formed(kind, t).is_err(), "{kind:?} {t}");
            }
        }
    }

    #[test]
    fn a_pattern_that_explodes_is_refused() {
        let a: Attribute =
            serde_json::from_value(serde_json::json!({"name": "a", "kind": "text", "pattern": "(a{1,100}){1,100}{1,100}"})).unwrap();
        assert!(matches!(check_rules(&a, ""), Err(CmdbError::InvalidModel { .. })));
        // What kills other engines is linear here.
        let a: Attribute = serde_json::from_value(serde_json::json!({"name": "a", "kind": "text", "pattern": "^(a+)+$"})).unwrap();
        assert!(check_rules(&a, "").is_ok());
        assert!(keeps(&a, &format!("{}!", "a".repeat(1000)).into()).is_err());
    }
}
