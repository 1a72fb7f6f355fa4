//! `wasi:http/outgoing-handler`.

use crate::bindings::outgoing::wasi::http::outgoing_handler::handle;
use crate::bindings::outgoing::wasi::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use crate::bindings::outgoing::wasi::io::streams::StreamError;
use crate::outgoing::{Outgoing, Parts};
use crate::{Error, Result};

type Received = (u16, Vec<(String, String)>, Vec<u8>);

pub(crate) fn outgoing(r: &Outgoing, to: &Parts) -> Result<Received> {
    crate::bindings::outgoing::__link_custom_section_describing_imports();
    let wrong = |what: &str| Error::new(422, "outgoing.request", format!("{what} of the request to {} is not valid", to.authority));
    let fields = Fields::new();
    for (name, value) in &r.headers {
        fields.append(name, value.as_bytes()).map_err(|_| wrong(&format!("the header {name}")))?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match r.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| wrong("the method"))?;
    request.set_scheme(Some(&if to.https { Scheme::Https } else { Scheme::Http })).map_err(|()| wrong("the scheme"))?;
    request.set_authority(Some(&to.authority)).map_err(|()| wrong("the host"))?;
    request.set_path_with_query(Some(&to.path)).map_err(|()| wrong("the path"))?;
    let body = request.body().map_err(|()| wrong("the body"))?;
    // On its way before its body is written: nobody would read that otherwise.
    let waiting = handle(request, None).map_err(|e| failed(&e, to))?;
    send(body, &r.body);
    waiting.subscribe().block();
    match waiting.get() {
        Some(Ok(Ok(answer))) => receive(&answer, to),
        Some(Ok(Err(e))) => Err(failed(&e, to)),
        Some(Err(())) | None => Err(failed(&ErrorCode::InternalError(None), to)),
    }
}

/// One that is not taken is no error yet: who refuses early says why in the answer.
fn send(body: OutgoingBody, bytes: &[u8]) {
    if let Ok(stream) = body.write() {
        for part in bytes.chunks(4096) {
            if stream.blocking_write_and_flush(part).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

fn receive(answer: &IncomingResponse, to: &Parts) -> Result<Received> {
    let broken = || Error::new(502, "outgoing.failed", format!("the answer of {} broke off", to.authority));
    let fields = answer.headers();
    let headers = fields.entries().into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
    let body = answer.consume().map_err(|()| broken())?;
    let stream = body.stream().map_err(|()| broken())?;
    let mut out = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(part) => out.extend(part),
            Err(StreamError::Closed) => return Ok((answer.status(), headers, out)),
            Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
        }
    }
}

fn failed(e: &ErrorCode, to: &Parts) -> Error {
    if matches!(e, ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited) {
        let message =
            format!("the host refused the request to {}: the plugin's log has the line of plugin.toml that would allow it", to.authority);
        return Error::forbidden("outgoing.denied", message);
    }
    Error::new(502, "outgoing.failed", format!("{} was not reached: {e:?}", to.authority))
}
