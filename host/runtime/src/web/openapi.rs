//! From an OpenAPI document (2.0 and 3.x) and an operation's id to a request.

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::{MOST_DOCUMENT, Question, authorization, bad, escape, send, short, text, with_query};
use crate::outgoing::Gate;
use plenum_workflow::ActionError;

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];

pub(super) async fn question(gate: &Gate, input: &Json) -> Result<Question, ActionError> {
    let get = |at: &str| input.pointer(at).and_then(Json::as_str);
    let at = get("/document/endpoint/uri").ok_or_else(|| bad("document.endpoint is not an address"))?;
    let mut ask = Question { method: "get".into(), uri: at.to_owned(), headers: Vec::new(), body: None };
    if let Some(a) = authorization(input.pointer("/document/endpoint/authentication").unwrap_or(&Json::Null))? {
        ask.headers.push(("authorization".into(), a));
    }
    let found = send(gate, &ask, MOST_DOCUMENT).await?;
    if found.status != 200 {
        let detail = format!("{} answered {} where the OpenAPI document was expected", short(at), found.status);
        return Err(ActionError::new("http.document", found.status, "No OpenAPI document", detail));
    }
    let text = String::from_utf8_lossy(&found.body);
    let document: Json = match serde_json::from_str(&text) {
        Ok(d) => d,
        Err(_) => plenum_workflow::yaml::read(&text).map_err(|p| bad(format!("{} is neither JSON nor YAML: {}", short(at), p.message)))?,
    };
    let operation = get("/operationId").ok_or_else(|| bad("operationId is not text"))?;
    let empty = Json::Object(Map::new());
    let mut q = build(&document, at, operation, input.get("parameters").unwrap_or(&empty))?;
    if let Some(a) = authorization(input.get("authentication").unwrap_or(&Json::Null))? {
        q.headers.push(("authorization".into(), a));
    }
    Ok(q)
}

/// Follows a reference within the document.
fn resolve<'d>(document: &'d Json, v: &'d Json) -> &'d Json {
    let target = v.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix('#'));
    target.and_then(|p| document.pointer(p)).unwrap_or(v)
}

fn base(document: &Json, at: &str) -> Result<String, ActionError> {
    let (scheme, rest) = at.split_once("://").ok_or_else(|| bad("the document's address has no scheme"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let get = |p: &str| document.pointer(p).and_then(Json::as_str);
    if document.get("swagger").is_some() {
        let offered: Vec<&str> = document.get("schemes").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let scheme = if offered.contains(&"https") && scheme == "https" {
            "https"
        } else {
            offered.iter().find(|s| **s == scheme).or(offered.first()).copied().unwrap_or(scheme)
        };
        return Ok(format!("{scheme}://{}{}", get("/host").unwrap_or(host), get("/basePath").unwrap_or("").trim_end_matches('/')));
    }
    let mut url = get("/servers/0/url").unwrap_or("/").to_owned();
    for (name, v) in document.pointer("/servers/0/variables").and_then(Json::as_object).into_iter().flatten() {
        url = url.replace(&format!("{{{name}}}"), v.get("default").and_then(Json::as_str).unwrap_or_default());
    }
    let url = url.trim_end_matches('/');
    Ok(if url.contains("://") {
        url.to_owned()
    } else if url.is_empty() || url.starts_with('/') {
        format!("{scheme}://{host}{url}")
    } else {
        let folder = at.rsplit_once('/').map_or(at, |(f, _)| f);
        format!("{folder}/{url}")
    })
}

fn build(document: &Json, at: &str, operation: &str, given: &Json) -> Result<Question, ActionError> {
    let paths = document.get("paths").and_then(Json::as_object).ok_or_else(|| bad("the OpenAPI document has no paths"))?;
    let mut found = None;
    let mut known = Vec::new();
    for (path, item) in paths {
        let item = resolve(document, item);
        for method in METHODS {
            let Some(op) = item.get(*method) else { continue };
            match op.get("operationId").and_then(Json::as_str) {
                Some(id) if id == operation => found = Some((path, item, *method, op)),
                Some(id) => known.push(id),
                None => {}
            }
        }
    }
    let (path, item, method, op) = found.ok_or_else(|| {
        known.truncate(20);
        ActionError::new(
            "openapi.operation",
            400,
            "No such operation",
            format!("the document has no operation {operation}; it has {}", known.join(", ")),
        )
    })?;
    let mut given = given.as_object().cloned().ok_or_else(|| bad("parameters is not an object"))?;
    let mut q = Question { method: method.to_owned(), uri: String::new(), headers: Vec::new(), body: None };
    let mut path = path.clone();
    let mut query = Vec::new();
    let mut form = Vec::new();
    let listed = [item.get("parameters"), op.get("parameters")].into_iter().flatten().filter_map(Json::as_array).flatten();
    for p in listed.map(|p| resolve(document, p)) {
        let (Some(name), Some(place)) = (p.get("name").and_then(Json::as_str), p.get("in").and_then(Json::as_str)) else { continue };
        let value = match given.remove(name) {
            None | Some(Json::Null) if p.get("required").and_then(Json::as_bool) == Some(true) => {
                return Err(bad(format!("the operation {operation} needs the parameter {name} ({place})")));
            }
            None | Some(Json::Null) => continue,
            Some(v) => v,
        };
        if place == "body" {
            q.body = Some((Bytes::from(value.to_string()), "application/json"));
            continue;
        }
        let values = match value {
            Json::Array(a) => a,
            v => vec![v],
        };
        let plain = values.iter().map(text).collect::<Option<Vec<String>>>();
        let values = plain.ok_or_else(|| bad(format!("the parameter {name} is neither text, number nor a list of them")))?;
        match place {
            "path" => path = path.replace(&format!("{{{name}}}"), &values.iter().map(|v| escape(v)).collect::<Vec<_>>().join(",")),
            "query" => query.extend(values.into_iter().map(|v| (name.to_owned(), v))),
            "header" => q.headers.push((name.to_owned(), values.join(","))),
            "cookie" => q.headers.push(("cookie".into(), format!("{name}={}", values.join(",")))),
            "formData" => form.extend(values.into_iter().map(|v| format!("{}={}", escape(name), escape(&v)))),
            other => return Err(bad(format!("the parameter {name} stands in {other}, which is unknown"))),
        }
    }
    if !form.is_empty() {
        q.body = Some((Bytes::from(form.join("&")), "application/x-www-form-urlencoded"));
    }
    if op.get("requestBody").is_some() {
        // What is no parameter makes up the body.
        if !given.is_empty() {
            q.body = Some((Bytes::from(Json::Object(std::mem::take(&mut given)).to_string()), "application/json"));
        }
    }
    if let Some(name) = given.keys().next() {
        return Err(bad(format!("the operation {operation} has no parameter {name}")));
    }
    q.uri = format!("{}{path}", base(document, at)?);
    for (k, v) in query {
        with_query(&mut q.uri, &k, &v);
    }
    Ok(q)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn both_generations_make_requests() {
        let v3 = json!({"openapi": "3.1.0", "servers": [{"url": "https://{zone}.example.com/v3/", "variables": {"zone": {"default": "eu"}}}],
            "components": {"parameters": {"Id": {"name": "id", "in": "path", "required": true}}},
            "paths": {"/pet/{id}": {"parameters": [{"$ref": "#/components/parameters/Id"}], "put": {"operationId": "change", "requestBody": {},
                "parameters": [{"name": "dry", "in": "query"}, {"name": "x-who", "in": "header"}]}}}});
        let q = build(&v3, "https://docs.example.com/a.json", "change", &json!({"id": "a/b", "dry": true, "x-who": "me", "name": "Rex"}))
            .unwrap();
        assert_eq!((q.method.as_str(), q.uri.as_str()), ("put", "https://eu.example.com/v3/pet/a%2Fb?dry=true"));
        assert_eq!(q.headers, [("x-who".to_owned(), "me".to_owned())]);
        assert_eq!(q.body.unwrap().0, r#"{"name":"Rex"}"#);
        let v2 = json!({"swagger": "2.0", "basePath": "/v2", "paths": {"/find": {"get": {"operationId": "find", "parameters": [{"name": "s", "in": "query", "required": true}]}}}});
        let q = build(&v2, "http://h:81/swagger.json", "find", &json!({"s": ["a", "b"]})).unwrap();
        assert_eq!(q.uri, "http://h:81/v2/find?s=a&s=b");
        for (op, given, word) in
            [("find", json!({}), "needs"), ("find", json!({"s": 1, "t": 2}), "no parameter t"), ("fnd", json!({}), "find")]
        {
            let e = build(&v2, "http://h/s.json", op, &given).map(|_| ()).unwrap_err();
            assert!(e.detail.contains(word), "{e}");
        }
    }
}
