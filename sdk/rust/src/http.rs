//! Requests and responses.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::User;
use crate::error::decode;
use crate::{Error, Result};

/// A request to one of the plugin's routes. In tests it is made with [`Request::get`] and the like.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A request by method and target, `/things?limit=3`.
    pub fn new(method: &str, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name, true), percent_decode(value, true))
        });
        Request { method: method.to_ascii_uppercase(), path: path.to_owned(), query: pairs.collect(), ..Request::default() }
    }

    /// GET.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// POST with a JSON body.
    pub fn post(target: &str, body: &impl Serialize) -> Request {
        Request::new("POST", target).with_json(body)
    }

    /// PUT with a JSON body.
    pub fn put(target: &str, body: &impl Serialize) -> Request {
        Request::new("PUT", target).with_json(body)
    }

    /// DELETE.
    pub fn delete(target: &str) -> Request {
        Request::new("DELETE", target)
    }

    /// With a JSON body.
    #[must_use]
    pub fn with_json(mut self, body: &impl Serialize) -> Request {
        self.body = serde_json::to_vec(body).unwrap_or_default();
        self.with_header("content-type", "application/json")
    }

    /// With a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        self.headers.insert(name.to_ascii_lowercase(), value.to_owned());
        self
    }

    /// `GET`, `POST`, ...
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Path within the plugin, as it was sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A header; several of one name are joined with commas.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// A part of the path that the route names, `{id}`.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.params.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let text = text.ok_or_else(|| Error::internal("plugin.route", format!("the route has no part {{{name}}}")))?;
        text.parse().map_err(|_| Error::new(404, "request.path", format!("{text:?} in the address cannot be a {name}")))
    }

    /// A part of the query; none when it is absent or empty.
    pub fn query<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let text = self.query.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
        text.map(|t| t.parse().map_err(|_| Error::invalid(format!("/{name}"), format!("{t:?} cannot be a {name}")))).transpose()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as JSON; what is wrong with it becomes an error with the field's place.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        decode(&self.body)
    }

    /// The person who asks; the host vouches for it.
    pub fn user(&self) -> Option<User> {
        let id = self.header("x-plenum-user")?;
        let text = |name| self.header(name).unwrap_or_default().to_owned();
        Some(User { id: id.to_owned(), name: text("x-plenum-user-name"), role: text("x-plenum-role") })
    }

    /// The person who asks, if they may change things; else an error with status 403.
    pub fn writer(&self) -> Result<User> {
        match self.user() {
            Some(user) if user.may_write() => Ok(user),
            Some(user) => Err(Error::forbidden(
                "plugin.read_only",
                format!("{} is a {} and may look, not change; ask an operator", user.name, user.role),
            )),
            None => Err(Error::forbidden("plugin.no_user", "this is only for a signed-in person")),
        }
    }

    /// `en` or `zh-CN`: the language of whoever asks.
    pub fn locale(&self) -> &str {
        self.header("x-plenum-locale").unwrap_or("en")
    }

    /// As that person: for tests.
    #[must_use]
    pub fn as_user(self, name: &str, role: &str) -> Request {
        self.with_header("x-plenum-user", name).with_header("x-plenum-user-name", name).with_header("x-plenum-role", role)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP's number.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// It.
    pub body: Vec<u8>,
}

impl Response {
    /// Without a body.
    pub fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 204.
    pub fn no_content() -> Response {
        Response::new(204)
    }

    /// With this body.
    pub fn with(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response { body: body.into(), ..Response::new(status).header("content-type", content_type) }
    }

    /// JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Result<Response> {
        Ok(Response::with(status, "application/json", serde_json::to_vec(value)?))
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::with(200, "text/plain; charset=utf-8", text.into())
    }

    /// A file to save.
    pub fn download(name: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' }).collect();
        Response::with(200, content_type, body).header("content-disposition", &format!("attachment; filename=\"{safe}\""))
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// The value of a header.
    pub fn get_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as JSON: for tests.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode(&self.body)
    }
}

/// What a handler may answer.
pub trait IntoResponse {
    /// As a response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::no_content()
    }
}

/// A value to be sent as JSON with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(200, &self.0).unwrap_or_else(IntoResponse::into_response)
    }
}

/// A value with a status, `(201, Json(thing))`.
impl<R: IntoResponse> IntoResponse for (u16, R) {
    fn into_response(self) -> Response {
        self.1.into_response().status(self.0)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status >= 500 {
            crate::log::write(crate::log::Level::Error, &self.line(), &serde_json::json!({ "code": self.code }));
        }
        Response::with(self.status, "application/problem+json", self.problem().to_string())
    }
}

impl<T: IntoResponse> IntoResponse for Result<T> {
    fn into_response(self) -> Response {
        match self {
            Ok(answer) => answer.into_response(),
            Err(e) => e.into_response(),
        }
    }
}

/// `%41` and, in queries, `+`. A broken escape stays as it is.
pub(crate) fn percent_decode(text: &str, query: bool) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let escaped = text.get(at..at + 2).filter(|h| byte == b'%' && h.bytes().all(|b| b.is_ascii_hexdigit()));
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 2;
            }
            None if byte == b'+' && query => out.push(b' '),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
