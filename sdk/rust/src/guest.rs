//! What [`crate::plugin!`] calls; not for plugins.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::decode;
use crate::{Event, Result, Timestamp};

/// What a plugin does at the turns of its life; each is optional.
pub trait Lifecycle {
    /// After it was installed, before it becomes active.
    fn install(&self) -> Result<()> {
        Ok(())
    }

    /// After an upgrade from another version, before the new one becomes active.
    fn upgrade(&self, from: &str) -> Result<()> {
        let _ = from;
        Ok(())
    }

    /// Before it is uninstalled.
    fn uninstall(&self) -> Result<()> {
        Ok(())
    }
}

/// Carries an action out: its input and output are JSON text.
pub fn action<I: DeserializeOwned, O: Serialize>(f: impl Fn(I) -> Result<O>, input: &str) -> Result<String> {
    Ok(serde_json::to_string(&f(decode(input.as_bytes())?)?)?)
}

/// Says which actions there are.
pub fn no_action(name: &str, known: &[&str]) -> crate::Error {
    crate::Error::not_found("plugin.no_action", format!("there is no action {name:?}; there are: {}", known.join(", ")))
}

/// Hands an event over.
pub fn event(f: impl Fn(Event) -> Result<()>, event: &str) -> Result<()> {
    f(decode(event.as_bytes())?)
}

/// Checks the type of a schedule's function.
pub fn schedule(f: impl Fn(&str, Timestamp) -> Result<()>, id: &str, due: u64) -> Result<()> {
    f(id, Timestamp(due))
}

#[cfg(target_family = "wasm")]
pub use wasm::*;

#[cfg(target_family = "wasm")]
mod wasm {
    use std::sync::Once;

    use crate::bindings::http::wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
    use crate::bindings::http::wasi::io::streams::StreamError;
    use crate::bindings::imports;
    use crate::log::{Level, write};
    use crate::{Error, IntoResponse, Request, Response, Result, Router};

    /// As the contract's error.
    pub type WireError = imports::plenum::types::types::Error;

    impl From<Error> for WireError {
        fn from(e: Error) -> WireError {
            WireError { message: e.line(), code: e.code, status: e.status }
        }
    }

    impl From<WireError> for Error {
        fn from(e: WireError) -> Error {
            Error::new(e.status, e.code, e.message)
        }
    }

    /// Once for each instance: a panic would else end in `unreachable`, without its message or place.
    pub fn start() {
        static START: Once = Once::new();
        START.call_once(|| {
            imports::__link_custom_section_describing_imports();
            std::panic::set_hook(Box::new(|info| {
                let place = info.location().map(|l| format!(" at {}:{}:{}", l.file(), l.line(), l.column())).unwrap_or_default();
                let message = info.payload_as_str().unwrap_or("a value that is no text");
                write(Level::Error, &format!("panicked{place}: {message}"), &serde_json::Value::Null);
            }));
        });
    }

    /// Requests have drafts and small files in them, nothing larger.
    const MAX_BODY: usize = 8 << 20;

    /// Answers a request.
    pub fn serve(router: impl FnOnce() -> Router, request: IncomingRequest, out: ResponseOutparam) {
        start();
        let answer = match read(&request) {
            Ok(request) => router().handle(request),
            Err(e) => e.into_response(),
        };
        respond(answer, out);
    }

    fn read(request: &IncomingRequest) -> Result<Request> {
        let method = match request.method() {
            Method::Get => "GET".to_owned(),
            Method::Head => "HEAD".to_owned(),
            Method::Post => "POST".to_owned(),
            Method::Put => "PUT".to_owned(),
            Method::Delete => "DELETE".to_owned(),
            Method::Connect => "CONNECT".to_owned(),
            Method::Options => "OPTIONS".to_owned(),
            Method::Trace => "TRACE".to_owned(),
            Method::Patch => "PATCH".to_owned(),
            Method::Other(name) => name,
        };
        let mut out = Request::new(&method, &request.path_with_query().unwrap_or_default());
        let headers = request.headers();
        for (name, value) in headers.entries() {
            let value = String::from_utf8_lossy(&value).into_owned();
            out.headers.entry(name.to_ascii_lowercase()).and_modify(|v| *v = format!("{v}, {value}")).or_insert(value);
        }
        out.body = body(request)?;
        Ok(out)
    }

    fn body(request: &IncomingRequest) -> Result<Vec<u8>> {
        let broken = || Error::bad_request("request.body", "the request's body could not be read: send it again");
        let body = request.consume().map_err(|()| broken())?;
        let stream = body.stream().map_err(|()| broken())?;
        let mut out = Vec::new();
        loop {
            match stream.blocking_read(64 * 1024) {
                Ok(part) => out.extend(part),
                Err(StreamError::Closed) => return Ok(out),
                Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
            }
            if out.len() > MAX_BODY {
                return Err(Error::new(413, "request.body", format!("the body is larger than {MAX_BODY} bytes")));
            }
        }
    }

    fn respond(answer: Response, out: ResponseOutparam) {
        let fields = Fields::new();
        for (name, value) in &answer.headers {
            if fields.append(name, value.as_bytes()).is_err() {
                write(Level::Warn, &format!("the header {name} was not sent: its name or value is not valid"), &serde_json::Value::Null);
            }
        }
        let response = OutgoingResponse::new(fields);
        if response.set_status_code(answer.status).is_err() {
            write(Level::Error, &format!("{} is not an HTTP status; 200 was sent", answer.status), &serde_json::Value::Null);
        }
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            for part in answer.body.chunks(4096) {
                // The caller has gone: nobody is left to tell.
                if stream.blocking_write_and_flush(part).is_err() {
                    return;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}
