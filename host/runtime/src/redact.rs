//! What a call was given, for the administrator who looks at why it failed: shortened, and without what is secret.

use http::{Method, Uri};
use serde_json::Value as Json;

use crate::stats::MAX_INPUT;

/// In the place of a secret.
const HIDDEN: &str = "***";
/// A name that holds one of these names a secret.
const SECRET: &[&str] =
    &["password", "passwd", "passphrase", "secret", "token", "apikey", "api_key", "api-key", "credential", "authorization", "private"];
/// What is longer is not looked into: it is cut anyway, and its end may be in the middle of a secret.
const MAX_READ: usize = 256 << 10;

fn secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|s| name.contains(s)) || matches!(name.as_str(), "key" | "pwd" | "pin" | "otp")
}

fn hide(v: &mut Json) {
    match v {
        Json::Object(o) => {
            for (name, v) in o {
                if secret(name) && !v.is_null() {
                    *v = Json::String(HIDDEN.to_owned());
                } else {
                    hide(v);
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

fn pairs(text: &str) -> String {
    let pair = |p: &str| match p.split_once('=') {
        Some((name, _)) if secret(name) => format!("{name}={HIDDEN}"),
        _ => p.to_owned(),
    };
    text.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_INPUT) {
        None => text,
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
    }
}

/// JSON without what its names say is secret.
pub fn json(v: &Json) -> String {
    let mut v = v.clone();
    hide(&mut v);
    cut(v.to_string())
}

/// A request, its path and body; headers are not kept, since most of what is secret is there.
pub fn request(method: &Method, uri: &Uri, body: &[u8], known: &[String]) -> String {
    let query = uri.query().map(|q| format!("?{}", pairs(q))).unwrap_or_default();
    let head = format!("{method} {}{query}", uri.path());
    let text = match std::str::from_utf8(body) {
        _ if body.is_empty() => return cut(head),
        _ if body.len() > MAX_READ => format!("({} bytes)", body.len()),
        Err(_) => format!("({} bytes that are no text)", body.len()),
        Ok(text) => match serde_json::from_str::<Json>(text) {
            Ok(v) => json(&v),
            Err(_) if text.contains('=') && !text.contains('\n') => pairs(text),
            // Text of another kind may hold anything under any name.
            Err(_) => text.to_owned(),
        },
    };
    cut(without(format!("{head}\n\n{text}"), known))
}

/// Without values that are known to be secret, wherever they stand.
pub fn without(mut text: String, known: &[String]) -> String {
    for k in known.iter().filter(|k| k.len() >= 4) {
        text = text.replace(k.as_str(), HIDDEN);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_their_names_or_values_tell() {
        let uri: Uri = "/hosts/7?page=2&access_token=abc".parse().unwrap();
        let body =
            br#"{"name": "web", "db": {"Password": "hunter2", "key": 7, "rows": [{"apiKey": "x"}]}, "note": "has s3cret-value in it"}"#;
        let said = request(&Method::POST, &uri, body, &["s3cret-value".to_owned()]);
        assert!(said.starts_with("POST /hosts/7?page=2&access_token=***\n\n"), "{said}");
        for leaked in ["hunter2", "abc", "\"x\"", ":7", "s3cret-value"] {
            assert!(!said.contains(leaked), "{leaked} in {said}");
        }
        assert!(said.contains("\"name\":\"web\"") && said.contains("has *** in it"), "{said}");
        assert_eq!(request(&Method::GET, &"/x".parse().unwrap(), b"", &[]), "GET /x");
        assert!(request(&Method::POST, &"/x".parse().unwrap(), b"user=olga&pwd=abc", &[]).ends_with("user=olga&pwd=***"));
        assert!(request(&Method::POST, &"/x".parse().unwrap(), &[0xff, 0xfe], &[]).contains("2 bytes"));
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = "x".repeat(3 * MAX_INPUT);
        assert!(request(&Method::POST, &"/x".parse().unwrap(), long.as_bytes(), &[]).chars().count() <= MAX_INPUT + 3);
        assert!(json(&Json::String(long)).chars().count() <= MAX_INPUT + 3);
        let huge = vec![b'x'; MAX_READ + 1];
        assert!(request(&Method::POST, &"/x".parse().unwrap(), &huge, &[]).contains("(262145 bytes)"));
    }
}
