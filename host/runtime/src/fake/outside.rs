//! The outside of the fake host: what the plugin asks of it is answered by the fixtures, as far as its grant reaches.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::{Value as Json, json};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::value::{bytes_json, json_bytes};
use super::world::{HostCall, World};
use crate::outgoing::{Rules, Sent};

/// The hooks of one call.
pub(super) struct FakeOutside(pub Arc<Mutex<World>>);

fn fits(pattern: &str, request: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => request.starts_with(prefix),
        None => pattern == request,
    }
}

impl WasiHttpHooks for FakeOutside {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        fut: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        drop(fut);
        let world = self.0.clone();
        let (parts, body) = request.into_parts();
        let asked = format!("{} {}", parts.method, parts.uri);
        // Its place among the calls is that of its beginning; its body comes later.
        let place = {
            let mut w = world.lock().unwrap_or_else(PoisonError::into_inner);
            w.made.push(HostCall { call: "outside".into(), args: json!({ "request": asked }), error: None });
            w.made.len() - 1
        };
        Box::new(async move {
            let sent = body.collect().await.map(|b| b.to_bytes());
            let mut w = world.lock().unwrap_or_else(PoisonError::into_inner);
            let (sent, error) = match sent {
                Ok(sent) => (sent, None),
                Err(e) => (Bytes::new(), Some(e)),
            };
            let answer = match error {
                Some(e) => Err(e),
                None => answered(&w, &parts.uri, &asked),
            };
            if let Some(HostCall { args, error, .. }) = w.made.get_mut(place) {
                if !sent.is_empty() {
                    let body = serde_json::from_slice(&sent).unwrap_or_else(|_| bytes_json(sent.to_vec()));
                    if let Some(args) = args.as_object_mut() {
                        args.insert("body".into(), body);
                    }
                }
                *error = answer.as_ref().err().map(ToString::to_string);
            }
            let body = |b: Bytes| Full::new(b).map_err(|e: std::convert::Infallible| -> Error { match e {} }).boxed_unsync();
            let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            answer.map(|r| (r.map(body), io))
        })
    }
}

fn answered(w: &World, uri: &http::Uri, asked: &str) -> Result<http::Response<Bytes>, Error> {
    let granted = Rules::of(&w.grant).is_some_and(|r| r.reaches(uri).is_ok());
    if !granted {
        return Err(Error::HttpRequestDenied);
    }
    let Some(o) = w.outside.iter().find(|o| fits(&o.request, asked)) else { return Err(Error::DestinationNotFound) };
    match o.fails.as_deref() {
        None => {}
        Some("timeout") => return Err(Error::ConnectionReadTimeout),
        Some("dns") => return Err(Error::DestinationNotFound),
        Some(_) => return Err(Error::ConnectionRefused),
    }
    let mut response = http::Response::builder().status(o.status);
    if matches!(o.body, Json::Object(_) | Json::Array(_)) && !o.headers.keys().any(|k| k.eq_ignore_ascii_case("content-type")) {
        response = response.header(http::header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in &o.headers {
        response = response.header(name, value);
    }
    response.body(Bytes::from(json_bytes(&o.body))).map_err(|_| Error::ConfigurationError)
}
