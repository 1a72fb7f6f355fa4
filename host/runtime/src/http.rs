//! HTTP into a plugin: one instance answers one request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use plenum_access::UserPrincipal;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::call::{CallInfo, Input, store};
use crate::life::Visit;
use crate::plugin::{Loaded, outcome_of};
use crate::{RuntimeError, Services};

/// Headers that end at the host.
const STRIPPED: &[&str] = &[
    "cookie",
    "authorization",
    "proxy-authorization",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "host",
];

/// Headers of the answer that are the host's own business.
const STRIPPED_BACK: &[&str] = &[
    "set-cookie",
    "content-security-policy",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "service-worker-allowed",
    "clear-site-data",
    "strict-transport-security",
    "connection",
    "transfer-encoding",
];

pub(crate) fn forwarded(from: &HeaderMap, user: Option<&UserPrincipal>) -> HeaderMap {
    let mut out = HeaderMap::new();
    for (name, value) in from {
        if !STRIPPED.contains(&name.as_str()) && !name.as_str().starts_with("x-plenum-") {
            out.append(name.clone(), value.clone());
        }
    }
    out.insert(http::header::HOST, HeaderValue::from_static("plenum"));
    let mut put = |name: &'static str, value: &str| {
        if let Ok(v) = HeaderValue::from_str(value) {
            out.insert(HeaderName::from_static(name), v);
        }
    };
    if let Some(u) = user {
        put("x-plenum-user", &u.id);
        put("x-plenum-user-name", &u.name);
        put("x-plenum-role", u.role.name());
    }
    if let Some(locale) = from.get(http::header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()) {
        put("x-plenum-locale", if locale.trim_start().to_ascii_lowercase().starts_with("zh") { "zh-CN" } else { "en" });
    }
    out
}

impl Loaded {
    /// Answers a request; its URI is the path within the plugin. The answer's body streams while the instance still runs.
    pub async fn http(
        self: &Arc<Self>,
        services: &Arc<Services>,
        visit: Visit,
        request: Request<Bytes>,
        user: Option<UserPrincipal>,
    ) -> Result<Response<HyperOutgoingBody>, RuntimeError> {
        let Some(pre) = self.code.as_ref().and_then(|c| c.http.clone()) else {
            return Err(RuntimeError::NotFound(format!("the plugin {} answers no HTTP requests", self.id)));
        };
        let place = self.gate.enter(&self.life, self.limits.wall, &services.pool).await?;
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let what = format!("{} {}", parts.method, parts.uri.path());
        let input = Input::Request(parts.method.clone(), parts.uri.clone(), body.clone());
        parts.headers = forwarded(&parts.headers, user.as_ref());
        if let Ok(uri) = format!("http://plenum{}", parts.uri.path_and_query().map_or("/", |p| p.as_str())).parse() {
            parts.uri = uri;
        }
        // The body is whole already: reading it cannot fail.
        let body = http_body_util::Full::new(body).map_err(|e: std::convert::Infallible| -> wasmtime_wasi_http::Error { match e {} });
        let mut store = store(self, services, CallInfo { input, ..self.info(what, user, None) });
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let failed = |e: wasmtime::Error| RuntimeError::Internal(format!("{e:#}"));
        let incoming = store.data_mut().http().new_incoming_request(Scheme::Http, Request::from_parts(parts, body)).map_err(failed)?;
        let out = store.data_mut().http().new_response_outparam(sender).map_err(failed)?;
        let (plugin, told) = (self.clone(), services.clone());
        let cut = Arc::new(AtomicBool::new(false));
        let stopped = cut.clone();
        // Owned by the tracker of the service: it goes on after the head is sent, and the host waits for it when it stops.
        let task = services.tasks.spawn(async move {
            // In this order, so that the place is free only when the store is gone.
            let _place = place;
            let mut store = store;
            let meter = store.data().meter.clone();
            let work = async {
                let proxy = pre.instantiate_async(&mut store).await?;
                proxy.wasi_http_incoming_handler().call_handle(&mut store, incoming, out).await
            };
            let outcome = tokio::time::timeout(plugin.limits.wall, meter.run(work)).await;
            let result = match outcome {
                Ok(Ok(())) => Ok(()),
                Ok(Err(trap)) => Err(plugin.trapped(&mut store, &trap)),
                Err(_) => Err(plugin.timed_out(&mut store)),
            };
            // Before the store goes, and with it the body's other end: who reads must not take what is there for all.
            stopped.store(result.is_err(), Ordering::Release);
            plugin.life.stats.finished(started, result.is_ok());
            visit.ended(&told, outcome_of(result.as_ref().err()));
            result
        });
        match receiver.await {
            Ok(Ok(response)) => Ok(cleaned(response).map(|body| Whole { body, cut }.boxed_unsync())),
            Ok(Err(code)) => Err(RuntimeError::Plugin {
                code: "plugin.http".into(),
                status: 502,
                message: format!("the plugin {} failed to answer: {code:?}", self.id),
            }),
            Err(_) => match task.await {
                Ok(Err(e)) => Err(e),
                _ => Err(RuntimeError::Plugin {
                    code: "plugin.no_answer".into(),
                    status: 502,
                    message: format!("the plugin {} ended without an answer", self.id),
                }),
            },
        }
    }
}

/// A body that ends in an error when the call that wrote it was stopped: the connection then breaks off, and nobody takes a part of the
/// answer for the whole.
struct Whole {
    body: HyperOutgoingBody,
    cut: Arc<AtomicBool>,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None if self.cut.swap(false, Ordering::AcqRel) => Poll::Ready(Some(Err(wasmtime_wasi_http::Error::HttpResponseIncomplete))),
            frame => Poll::Ready(frame),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

fn cleaned(mut response: Response<HyperOutgoingBody>) -> Response<HyperOutgoingBody> {
    for name in STRIPPED_BACK {
        response.headers_mut().remove(*name);
    }
    response
}
