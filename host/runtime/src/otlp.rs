//! Traces to a collector: OTLP over HTTP, as JSON. Bounded: when the collector is slow or away, traces are dropped and counted, and no call
//! waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::trace::CallTrace;

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// The collector, `http://collector:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// Headers of each request, such as a token's.
    pub headers: Vec<(String, String)>,
}

/// Traces that wait to be sent.
const QUEUE: usize = 2_048;
/// Traces of one request.
const BATCH: usize = 200;
/// How long a trace waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// Longest that a request takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the collector.
#[derive(Debug, Clone)]
pub struct Exporter {
    queue: mpsc::Sender<Arc<CallTrace>>,
    dropped: Arc<AtomicU64>,
}

impl Exporter {
    /// Begins; the future sends, until it is told to stop.
    pub fn new(to: TraceExport) -> Result<(Exporter, impl Future<Output = ()> + Send + use<>, CancellationToken), String> {
        let url = format!("{}/v1/traces", to.endpoint.trim_end_matches('/'));
        url.parse::<reqwest::Url>().map_err(|e| format!("{:?} is no address: {e}", to.endpoint))?;
        let mut headers = reqwest::header::HeaderMap::new();
        for (name, value) in &to.headers {
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
            let value =
                reqwest::header::HeaderValue::from_str(value).map_err(|_| format!("the value of the header {name} cannot be sent"))?;
            headers.insert(name, value);
        }
        let client = reqwest::Client::builder().timeout(PATIENCE).default_headers(headers).build().map_err(|e| e.to_string())?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let exporter = Exporter { queue, dropped: Arc::default() };
        let sending = send_all(client, url, waiting, stop.clone(), exporter.dropped.clone());
        Ok((exporter, sending, stop))
    }

    /// Sends one, if there is room.
    pub fn send(&self, trace: Arc<CallTrace>) {
        if self.queue.try_send(trace).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn send_all(
    client: reqwest::Client,
    url: String,
    mut waiting: mpsc::Receiver<Arc<CallTrace>>,
    stop: CancellationToken,
    dropped: Arc<AtomicU64>,
) {
    let mut well = true;
    loop {
        let mut batch = Vec::new();
        let first = tokio::select! {
            t = waiting.recv() => t,
            () = stop.cancelled() => waiting.try_recv().ok(),
        };
        let Some(first) = first else { return };
        batch.push(first);
        // Those that come within a moment go along.
        let gather = async {
            while batch.len() < BATCH {
                match waiting.recv().await {
                    Some(t) => batch.push(t),
                    None => break,
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(LINGER, gather) => {}
            () = stop.cancelled() => {}
        }
        let sent = client.post(&url).json(&body(&batch)).send().await.and_then(reqwest::Response::error_for_status);
        match sent {
            Ok(_) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                if !well || lost > 0 {
                    tracing::info!(lost, "traces of plugins reach their collector again");
                }
                well = true;
            }
            Err(e) => {
                dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                // Once, and not each second for as long as it is away.
                if std::mem::take(&mut well) {
                    tracing::warn!(error = %e.without_url(), "traces of plugins do not reach their collector and are dropped until they do");
                }
            }
        }
    }
}

fn attribute(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A trace's id: that of the call.
fn trace_id(call: &str) -> String {
    let hex: String = call.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{hex:0>32}").chars().take(32).collect()
}

/// Spans of one trace are told apart by their number; the end of the call's id tells traces apart.
fn span_id(trace: &str, n: usize) -> String {
    format!("{}{n:04x}", trace.get(20..32).unwrap_or("000000000001"))
}

fn nanos(ms: i64, us: u64) -> String {
    let ns = i128::from(ms) * 1_000_000 + i128::from(us) * 1_000;
    ns.max(0).to_string()
}

fn status(error: Option<&String>) -> Json {
    error.map_or_else(|| json!({ "code": 1 }), |e| json!({ "code": 2, "message": e }))
}

/// The request's body: [OTLP/JSON](https://opentelemetry.io/docs/specs/otlp/).
fn body(traces: &[Arc<CallTrace>]) -> Json {
    let mut spans = Vec::new();
    for t in traces {
        let trace = trace_id(&t.call);
        let root = span_id(&trace, 0);
        spans.push(json!({
            "traceId": trace, "spanId": root, "name": format!("{} {}", t.plugin, t.what), "kind": 2,
            "startTimeUnixNano": nanos(t.at, 0), "endTimeUnixNano": nanos(t.at, t.duration_us), "status": status(t.error.as_ref()),
            "attributes": [
                attribute("plenum.plugin", &t.plugin), attribute("plenum.plugin.version", &t.version), attribute("plenum.call", &t.call),
                { "key": "plenum.cpu_us", "value": { "intValue": t.cpu_us.to_string() } },
            ],
        }));
        for (n, s) in t.spans.iter().enumerate() {
            spans.push(json!({
                "traceId": trace, "spanId": span_id(&trace, n + 1), "parentSpanId": root, "name": s.name, "kind": 3,
                "startTimeUnixNano": nanos(t.at, s.start_us), "endTimeUnixNano": nanos(t.at, s.start_us + s.duration_us),
                "status": status(s.error.as_ref()), "attributes": [],
            }));
        }
    }
    json!({ "resourceSpans": [{
        "resource": { "attributes": [attribute("service.name", "plenum"), attribute("service.version", env!("CARGO_PKG_VERSION"))] },
        "scopeSpans": [{ "scope": { "name": "plenum.plugins" }, "spans": spans }],
    }] })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::trace::Span;

    fn trace(n: u32) -> Arc<CallTrace> {
        Arc::new(CallTrace {
            call: format!("0197c0de-0000-7000-8000-0000000000{n:02}"),
            plugin: "demo".into(),
            version: "0.1.0".into(),
            what: "action go".into(),
            at: 1_767_225_600_000,
            duration_us: 2_500,
            cpu_us: 300,
            error: None,
            spans: vec![Span { name: "plenum:log/log.write".into(), start_us: 10, duration_us: 5, error: Some("no".into()) }],
            more_spans: 0,
        })
    }

    /// Reads one request with a body; answers it.
    async fn collect(listener: &tokio::net::TcpListener) -> (String, Json) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        loop {
            let mut piece = [0; 8192];
            let n = stream.read(&mut piece).await.unwrap();
            all.extend_from_slice(&piece[..n]);
            let text = String::from_utf8_lossy(&all).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(json) = serde_json::from_str(body)
            {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await.unwrap();
                return (head.to_lowercase(), json);
            }
        }
    }

    #[tokio::test]
    async fn traces_reach_a_collector_as_otlp() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let to = TraceExport { endpoint, headers: vec![("x-scope".into(), "ops".into())] };
        let (exporter, sending, stop) = Exporter::new(to).unwrap();
        exporter.send(trace(1));
        exporter.send(trace(2));
        let task = tokio::spawn(sending);
        let (head, json) = collect(&listener).await;
        assert!(head.starts_with("post /v1/traces ") && head.contains("x-scope: ops") && head.contains("application/json"), "{head}");
        let spans = json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 4);
        let (root, part) = (&spans[0], &spans[1]);
        assert_eq!(root["traceId"], "0197c0de000070008000000000000001");
        assert_eq!((root["spanId"].as_str().unwrap().len(), &part["parentSpanId"]), (16, &root["spanId"]));
        assert_eq!((&root["startTimeUnixNano"], &root["endTimeUnixNano"]), (&json!("1767225600000000000"), &json!("1767225600002500000")));
        assert_eq!(part["status"], json!({ "code": 2, "message": "no" }));
        let ids: std::collections::BTreeSet<&str> = spans.iter().filter_map(|s| s["spanId"].as_str()).collect();
        assert_eq!(ids.len(), 4);
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_collector_that_is_away_holds_nobody_up() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (exporter, sending, stop) = Exporter::new(TraceExport { endpoint: "http://127.0.0.1:1".into(), headers: Vec::new() }).unwrap();
        for _ in 0..(QUEUE + 10) {
            exporter.send(trace(1));
        }
        assert_eq!(exporter.dropped.load(Ordering::Relaxed), 10);
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), sending).await.unwrap();
        assert!(Exporter::new(TraceExport { endpoint: "collector".into(), headers: Vec::new() }).is_err());
    }
}
