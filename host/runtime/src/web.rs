//! `call: http` and `call: openapi` of workflows: one request through the gate, its answer as the task's output.
//!
//! Redirects are answers and are not followed: the language says whether they are errors. A plugin's run goes through the plugin's own
//! gate and grant; a person's run reaches the public internet and the networks that the configuration names.

mod openapi;

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use plenum_access::Principal;
use plenum_workflow::{ActionContext, ActionError};
use serde_json::{Map, Value as Json, json};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::outgoing::{Gate, PATIENCE};
use crate::service::Plugins;

/// A task's output has this bound too.
const MOST: usize = 1 << 20;
/// Descriptions of APIs are larger than answers.
const MOST_DOCUMENT: usize = 4 << 20;

struct Answer {
    status: u16,
    headers: Map<String, Json>,
    body: Bytes,
}

impl Answer {
    fn content(&self) -> Json {
        let kind = self.headers.get("content-type").and_then(Json::as_str).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let text = || match std::str::from_utf8(&self.body) {
            Ok(t) => Json::String(t.to_owned()),
            Err(_) => self.raw(),
        };
        if self.body.is_empty() {
            Json::Null
        } else if kind == "application/json" || kind.ends_with("+json") {
            serde_json::from_slice(&self.body).unwrap_or_else(|_| text())
        } else {
            text()
        }
    }

    fn raw(&self) -> Json {
        Json::String(base64::engine::general_purpose::STANDARD.encode(&self.body))
    }
}

/// What is asked.
struct Question {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    body: Option<(Bytes, &'static str)>,
}

fn bad(detail: impl Into<String>) -> ActionError {
    ActionError::new("outgoing.invalid", 400, "The request cannot be made", detail)
}

fn text(v: &Json) -> Option<String> {
    match v {
        Json::String(s) => Some(s.clone()),
        Json::Number(_) | Json::Bool(_) => Some(v.to_string()),
        _ => None,
    }
}

/// Adds `key=value` to an address.
fn with_query(uri: &mut String, key: &str, value: &str) {
    // A fragment is never sent; what is added must stand before it.
    if let Some(at) = uri.find('#') {
        uri.truncate(at);
    }
    uri.push(if uri.contains('?') { '&' } else { '?' });
    uri.push_str(&escape(key));
    uri.push('=');
    uri.push_str(&escape(value));
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn authorization(a: &Json) -> Result<Option<String>, ActionError> {
    let get =
        |at: &str| a.pointer(at).and_then(Json::as_str).map(str::to_owned).ok_or_else(|| bad(format!("authentication: {at} is not text")));
    if a.is_null() {
        return Ok(None);
    }
    if a.get("bearer").is_some() {
        return Ok(Some(format!("Bearer {}", get("/bearer/token")?)));
    }
    let (name, password) = (get("/basic/username")?, get("/basic/password")?);
    Ok(Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))))
}

async fn send(gate: &Gate, q: &Question, most: usize) -> Result<Answer, ActionError> {
    let uri: ::http::Uri = q.uri.parse().map_err(|e| bad(format!("{} is no address: {e}", short(&q.uri))))?;
    let method =
        ::http::Method::from_bytes(q.method.to_ascii_uppercase().as_bytes()).map_err(|_| bad(format!("{} is no method", q.method)))?;
    let host = uri.authority().map(|a| a.as_str().to_owned()).unwrap_or_default();
    let mut request = ::http::Request::builder().method(method).uri(uri).header("host", host).header("user-agent", "plenum");
    let has = |name: &str| q.headers.iter().any(|(k, _)| k.eq_ignore_ascii_case(name));
    if !has("accept") {
        request = request.header("accept", "application/json, */*;q=0.5");
    }
    if let Some((_, kind)) = &q.body
        && !has("content-type")
    {
        request = request.header("content-type", *kind);
    }
    for (k, v) in &q.headers {
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&k.to_ascii_lowercase().as_str()) {
            return Err(bad(format!("the header {k} is set by the platform")));
        }
        request = request.header(k, v);
    }
    let bytes = q.body.as_ref().map(|(b, _)| b.clone()).unwrap_or_default();
    if !bytes.is_empty() {
        request = request.header("content-length", bytes.len());
    }
    let body: WasiBody = Full::new(bytes).map_err(|e: std::convert::Infallible| -> Error { match e {} }).boxed_unsync();
    let request = request.body(body).map_err(|e| bad(e.to_string()))?;
    let sent = gate.send(request, None).await;
    let (response, io) = sent.map_err(|r| match r.error {
        Error::HttpRequestDenied | Error::DestinationIpProhibited => ActionError::new(
            "outgoing.refused",
            403,
            "The address may not be reached",
            format!("{}; networks for workflows stand in the host's configuration", r.reason),
        ),
        Error::ConnectionLimitReached => ActionError::new("outgoing.rate", 429, "Too many requests", r.reason).retryable(),
        Error::ConnectionTimeout | Error::ConnectionReadTimeout | Error::DnsTimeout => {
            ActionError::new("outgoing.timeout", 504, "No answer in time", r.reason).retryable()
        }
        _ => ActionError::new("http.connection", 502, "The server cannot be reached", r.reason).retryable(),
    })?;
    let (parts, body) = response.into_parts();
    let mut headers = Map::new();
    for (k, v) in &parts.headers {
        headers.insert(k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned().into());
    }
    let read = async {
        let mut all = bytes::BytesMut::new();
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| ActionError::new("http.answer", 502, "The answer broke off", e.to_string()).retryable())?;
            if let Some(d) = frame.data_ref() {
                if all.len() + d.len() > most {
                    return Err(ActionError::new(
                        "outgoing.too_large",
                        413,
                        "Too much data",
                        format!("{} answers more than {most} bytes; ask for less", short(&q.uri)),
                    ));
                }
                all.extend_from_slice(d);
            }
        }
        Ok(all.freeze())
    };
    // Who reads the answer also drives the connection.
    let mut io = std::pin::pin!(Box::into_pin(io));
    let mut read = std::pin::pin!(read);
    let body = tokio::select! {
        biased;
        body = &mut read => body?,
        _ = &mut io => read.await?,
    };
    Ok(Answer { status: parts.status.as_u16(), headers, body })
}

fn short(uri: &str) -> String {
    // What follows the path may hold secrets.
    let plain = uri.split(['?', '#']).next().unwrap_or_default();
    plain.chars().take(200).collect()
}

fn strings(v: Option<&Json>, what: &str) -> Result<Vec<(String, String)>, ActionError> {
    let mut out = Vec::new();
    match v {
        None | Some(Json::Null) => {}
        Some(Json::Object(o)) => {
            for (k, v) in o {
                match v {
                    Json::Null => {}
                    Json::Array(items) => {
                        for i in items {
                            out.push((k.clone(), text(i).ok_or_else(|| bad(format!("{what}.{k} holds more than text and numbers")))?));
                        }
                    }
                    v => out.push((k.clone(), text(v).ok_or_else(|| bad(format!("{what}.{k} is neither text nor number")))?)),
                }
            }
        }
        Some(_) => return Err(bad(format!("{what} is not an object"))),
    }
    Ok(out)
}

fn question(input: &Json) -> Result<Question, ActionError> {
    let uri = input.pointer("/endpoint/uri").and_then(Json::as_str).ok_or_else(|| bad("endpoint.uri is not text"))?;
    let mut q = Question {
        method: input.get("method").and_then(Json::as_str).ok_or_else(|| bad("method is not text"))?.to_owned(),
        uri: uri.to_owned(),
        headers: strings(input.get("headers"), "headers")?,
        body: None,
    };
    for (k, v) in strings(input.get("query"), "query")? {
        with_query(&mut q.uri, &k, &v);
    }
    q.body = match input.get("body") {
        None | Some(Json::Null) => None,
        Some(Json::String(s)) => Some((Bytes::from(s.clone()), "text/plain; charset=utf-8")),
        Some(v) => Some((Bytes::from(v.to_string()), "application/json")),
    };
    if let Some(a) = authorization(input.pointer("/endpoint/authentication").unwrap_or(&Json::Null))? {
        q.headers.push(("authorization".into(), a));
    }
    Ok(q)
}

/// What the task asked for of the answer; an error when the server refused.
fn output(input: &Json, q: &Question, a: &Answer) -> Result<Json, ActionError> {
    let redirect = input.get("redirect").and_then(Json::as_bool).unwrap_or(false);
    let good = (200..300).contains(&a.status) || (redirect && (300..400).contains(&a.status));
    if !good {
        let said = match a.content() {
            Json::Null => String::new(),
            Json::String(s) => format!(": {}", s.chars().take(300).collect::<String>()),
            v => format!(": {}", v.to_string().chars().take(300).collect::<String>()),
        };
        let reason = ::http::StatusCode::from_u16(a.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("an error");
        let detail = format!("{} {} answered {} {reason}{said}", q.method.to_ascii_uppercase(), short(&q.uri), a.status);
        let e = ActionError::new("http.status", a.status, reason, detail);
        return Err(if a.status >= 500 || a.status == 429 || a.status == 408 { e.retryable() } else { e });
    }
    Ok(match input.get("output").and_then(Json::as_str) {
        Some("raw") => a.raw(),
        Some("response") => {
            let shown = q.headers.iter().filter(|(k, _)| !k.eq_ignore_ascii_case("authorization") && !k.eq_ignore_ascii_case("cookie"));
            let headers: Map<String, Json> = shown.map(|(k, v)| (k.clone(), v.clone().into())).collect();
            json!({"request": {"method": q.method, "uri": q.uri, "headers": headers}, "statusCode": a.status, "headers": a.headers, "content": a.content()})
        }
        _ => a.content(),
    })
}

impl Plugins {
    pub(crate) async fn web(&self, ctx: &ActionContext, name: &str, input: &Json) -> Result<Json, ActionError> {
        let gate = match &ctx.who {
            Principal::Plugin(p) => {
                let gone =
                    || ActionError::new("plugin.not_active", 409, "The plugin is not active", format!("the plugin {} is not active", p.id));
                let plugin = self.loaded(&p.id).ok_or_else(gone)?;
                let resolver = self.services().resolver.clone();
                Gate { rules: plugin.outgoing.clone(), life: plugin.life.clone(), resolver, patience: PATIENCE }
            }
            _ => self.services().outside.clone(),
        };
        let work = async {
            let mut q = match name {
                "http" => question(input)?,
                _ => openapi::question(&gate, input).await?,
            };
            // A server that knows the header does the work once, however often a crash repeats the request.
            if !["get", "head", "options"].contains(&q.method.to_ascii_lowercase().as_str())
                && !q.headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("idempotency-key"))
            {
                q.headers.push(("idempotency-key".into(), ctx.key.clone()));
            }
            let answer = send(&gate, &q, MOST).await?;
            output(input, &q, &answer)
        };
        tokio::select! {
            r = work => r,
            () = ctx.cancel.cancelled() => Err(ActionError::new("action.cancelled", 499, "Cancelled", "the request was given up with its task")),
        }
    }
}
