//! `call: http` and `call: openapi`: the shape of `with`, checked when saved, and addresses with `{variables}`.

use serde_json::{Map, Value};

use super::Template;
use super::parse::{Parser, step};
use crate::expr::inner;

/// Calls of the language itself that an action of the same name performs.
pub const OUTSIDE: &[&str] = &["http", "openapi"];

impl Parser<'_> {
    /// `with` of such a call. `endpoint` becomes an object and named authentications are put in their place.
    pub(super) fn outside(&mut self, call: &str, with: Option<&Value>, pointer: &str, scope: &[String]) -> Option<Template> {
        let Some(with) = with else {
            let needs = if call == "http" { "`method` and `endpoint`" } else { "`document` and `operationId`" };
            self.problem(pointer, format!("`call: {call}` needs `with` with {needs}"));
            return None;
        };
        let mut w = self.object(with, pointer, "`with`")?.clone();
        let (allowed, required): (&[&str], &[&str]) = match call {
            "http" => (&["method", "endpoint", "headers", "query", "body", "output", "redirect"], &["method", "endpoint"]),
            _ => (&["document", "operationId", "parameters", "authentication", "output", "redirect"], &["document", "operationId"]),
        };
        self.only(&w, pointer, allowed);
        for field in required.iter().filter(|f| !w.contains_key(**f)) {
            self.problem(&step(pointer, field), format!("`{field}` is required"));
        }
        if let Some(o) = w.get("output")
            && !["content", "response", "raw"].iter().any(|k| o == k)
        {
            self.problem(&step(pointer, "output"), "`output` is content, response or raw");
        }
        if w.get("redirect").is_some_and(|r| !r.is_boolean()) {
            self.problem(&step(pointer, "redirect"), "`redirect` is true or false");
        }
        for field in ["headers", "query", "parameters"] {
            if let Some(v) = w.get(field)
                && !v.is_object()
                && v.as_str().and_then(inner).is_none()
            {
                self.problem(&step(pointer, field), format!("`{field}` is an object, or an expression that yields one"));
            }
        }
        if let Some(e) = w.get("endpoint").cloned() {
            let e = self.endpoint(&e, &step(pointer, "endpoint"));
            w.insert("endpoint".into(), e);
        }
        if let Some(d) = w.get("document").cloned() {
            let at = step(pointer, "document");
            if let Some(d) = self.object(&d, &at, "`document`") {
                self.only(d, &at, &["name", "endpoint"]);
                match d.get("endpoint") {
                    Some(e) => {
                        let e = self.endpoint(e, &step(&at, "endpoint"));
                        w.insert("document".into(), Value::Object(Map::from_iter([("endpoint".to_owned(), e)])));
                    }
                    None => self.problem(&step(&at, "endpoint"), "`endpoint` is required"),
                }
            }
        }
        if let Some(a) = w.get("authentication").cloned() {
            let a = self.authentication(&a, &step(pointer, "authentication"));
            w.insert("authentication".into(), a);
        }
        Some(self.template(&Value::Object(w), pointer, scope))
    }

    fn endpoint(&mut self, v: &Value, pointer: &str) -> Value {
        let mut out = Map::new();
        match v {
            Value::String(_) => {
                out.insert("uri".into(), v.clone());
            }
            Value::Object(o) => {
                self.only(o, pointer, &["uri", "authentication"]);
                match o.get("uri") {
                    Some(uri @ Value::String(_)) => {
                        out.insert("uri".into(), uri.clone());
                    }
                    _ => self.problem(&step(pointer, "uri"), "`uri` is required and is text"),
                }
                if let Some(a) = o.get("authentication") {
                    out.insert("authentication".into(), self.authentication(a, &step(pointer, "authentication")));
                }
            }
            _ => self.problem(pointer, "an endpoint is an address, or an object with `uri`"),
        }
        let literal = out.get("uri").and_then(Value::as_str).filter(|u| inner(u).is_none());
        if let Some(uri) = literal
            && !uri.starts_with("http://")
            && !uri.starts_with("https://")
            && !uri.starts_with('{')
        {
            self.problem(pointer, "the address begins with http:// or https://");
        }
        Value::Object(out)
    }

    pub(super) fn authentication(&mut self, v: &Value, pointer: &str) -> Value {
        let name = v.as_str().or_else(|| v.get("use").and_then(Value::as_str));
        if let Some(name) = name {
            return match self.authentications.get(name).cloned() {
                Some(a) => a,
                None => {
                    self.problem(pointer, format!("there is no authentication `{name}` under use.authentications"));
                    Value::Null
                }
            };
        }
        let Some(o) = self.object(v, pointer, "`authentication`") else { return Value::Null };
        let fields = match o.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["basic"] => ("basic", &["username", "password"] as &[&str]),
            ["bearer"] => ("bearer", &["token"] as &[&str]),
            _ => {
                self.problem(pointer, "authentications here are `basic` with username and password, and `bearer` with token");
                return Value::Null;
            }
        };
        let at = step(pointer, fields.0);
        if let Some(a) = o.get(fields.0)
            && let Some(a) = self.object(a, &at, "it")
        {
            if a.contains_key("use") {
                self.problem(
                    &step(&at, "use"),
                    "secrets of `use.secrets` are not supported; take the value from the input or from $context",
                );
                return Value::Null;
            }
            self.only(a, &at, fields.1);
            for f in fields.1.iter().filter(|f| !a.contains_key(**f)) {
                self.problem(&step(&at, f), format!("`{f}` is required"));
            }
        }
        v.clone()
    }
}

/// Whether the address at `path` stands in the definition as it is, not as an expression.
pub(crate) fn is_literal(template: &Template, path: &[&str]) -> bool {
    match (template, path) {
        (Template::Literal(_), _) => true,
        (Template::Object(items), [first, rest @ ..]) => items.iter().any(|(k, t)| k == first && is_literal(t, rest)),
        _ => false,
    }
}

/// Puts values of `from` into `{name}`, `{?a,b}`, `{&a}` and `{+path}` (RFC 6570).
pub(crate) fn expand(uri: &str, from: &Value) -> Result<String, String> {
    let mut out = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((inside, left)) = after.split_once('}') else {
            return Err(format!("the address has a {{ without }}: {}", crate::expr::shorten(uri, 200)));
        };
        rest = left;
        let (operator, names) = match inside.chars().next() {
            Some(c @ ('?' | '&' | '+')) => (Some(c), inside.get(1..).unwrap_or_default()),
            _ => (None, inside),
        };
        for (i, name) in names.split(',').map(str::trim).enumerate() {
            let text = match from.get(name) {
                Some(Value::String(s)) => s.clone(),
                Some(v @ (Value::Number(_) | Value::Bool(_))) => v.to_string(),
                Some(Value::Array(_) | Value::Object(_)) => return Err(format!("`{name}` in the address is not a text or number")),
                Some(Value::Null) | None => return Err(format!("the input has no `{name}`, which the address needs")),
            };
            match (operator, i) {
                (Some('?'), 0) => out.push('?'),
                (Some('?' | '&'), _) => out.push('&'),
                (_, 0) => {}
                _ => out.push(','),
            }
            if matches!(operator, Some('?' | '&')) {
                out.push_str(name);
                out.push('=');
            }
            escape(&text, operator == Some('+'), &mut out);
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn escape(text: &str, reserved: bool, out: &mut String) {
    for b in text.bytes() {
        let plain = b.is_ascii_alphanumeric() || b"-._~".contains(&b) || (reserved && b":/?#[]@!$&'()*+,;=".contains(&b));
        if plain {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
}

/// The arguments of a call as people may see them: without what authenticates it.
pub(crate) fn masked(args: &Value) -> Value {
    const SECRET: &[&str] = &["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"];
    let mut out = args.clone();
    for at in ["/endpoint/authentication", "/document/endpoint/authentication", "/authentication"] {
        if let Some(a) = out.pointer_mut(at).filter(|a| !a.is_null()) {
            *a = Value::String("(hidden)".into());
        }
    }
    for at in ["/headers", "/parameters"] {
        for (k, v) in out.pointer_mut(at).and_then(Value::as_object_mut).into_iter().flatten() {
            if SECRET.contains(&k.to_ascii_lowercase().as_str()) {
                *v = Value::String("(hidden)".into());
            }
        }
    }
    out
}

/// What somebody made of masked arguments: what is still hidden is as it was.
pub(crate) fn unmasked(given: &Value, args: &Value) -> Value {
    match (given, args) {
        (Value::String(s), _) if s == "(hidden)" => args.clone(),
        (Value::Object(g), Value::Object(a)) => g.iter().map(|(k, v)| (k.clone(), unmasked(v, a.get(k).unwrap_or(&Value::Null)))).collect(),
        _ => given.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_filled_and_escaped() {
        let v = json!({"id": 7, "name": "a b/ä", "path": "x/y z"});
        for (uri, wanted) in [
            ("https://h/p/{id}", "https://h/p/7"),
            ("https://h/{name}?q={id}", "https://h/a%20b%2F%C3%A4?q=7"),
            ("https://h/{+path}{?id,name}{&id}", "https://h/x/y%20z?id=7&name=a%20b%2F%C3%A4&id=7"),
            ("https://h/", "https://h/"),
        ] {
            assert_eq!(expand(uri, &v).unwrap(), wanted);
        }
        assert!(expand("https://h/{nobody}", &v).unwrap_err().contains("nobody"));
        assert!(expand("https://h/{id", &v).is_err());
    }

    #[test]
    fn credentials_are_hidden() {
        let args = json!({"endpoint": {"uri": "https://h", "authentication": {"basic": {"username": "u", "password": "geheim"}}}, "headers": {"Authorization": "geheim", "accept": "x"}});
        let shown = masked(&args);
        assert!(!shown.to_string().contains("geheim"), "{shown}");
        assert_eq!(shown["headers"]["accept"], "x");
    }
}
