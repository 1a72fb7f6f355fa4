//! What a plugin does, as it does it: its log live, its last calls part by part, the figures that it counts itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event as SseEvent, KeepAlive};
use axum::response::{IntoResponse, Sse};
use futures::{Stream, StreamExt};
use plenum_runtime::logs::LogNews;
use plenum_runtime::{CallTrace, Figure};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::plugins::{log_line, page};
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, Path};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow)).routes(routes!(traces)).routes(routes!(figures)).routes(routes!(prometheus))
}

/// Lines of a plugin's log as they are written: `lines` messages, each a JSON list. `missed` says that there was more than could be sent: read
/// the log then. Nothing that was written before is sent.
#[utoipa::path(get, path = "/plugins/{id}/logs/stream", tag = "plugins", params(("id" = String, Path)), responses((status = 200, content_type = "text/event-stream", body = String), (status = 404, body = Problem)))]
async fn follow(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> ApiResult<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let news = app.plugins.follow_logs(&who, &id).await?.take_until(app.shutdown.clone().cancelled_owned());
    let messages = news.filter_map(|n| {
        let message = match n {
            LogNews::Lines(lines) => {
                let lines: Vec<_> = lines.iter().cloned().map(log_line).collect();
                SseEvent::default().event("lines").json_data(lines).ok()
            }
            LogNews::Missed => SseEvent::default().event("missed").json_data(json!({})).ok(),
        };
        std::future::ready(message.map(Ok))
    });
    // What was said first: the client knows that it hears everything from here on.
    let begin = futures::stream::once(std::future::ready(Ok(SseEvent::default().event("open").data("{}"))));
    Ok(Sse::new(begin.chain(messages)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// A part of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpanJson {
    /// `plenum:cmdb/instances.get`, `GET https://api.example.com`.
    name: String,
    /// Microseconds after the call's beginning.
    start_us: u64,
    duration_us: u64,
    /// What went wrong, for a request to the outside.
    error: Option<String>,
}

/// A call, part by part.
#[derive(Debug, Serialize, ToSchema)]
pub struct TraceJson {
    /// The call; the log has its lines under this id.
    call: String,
    version: String,
    /// `action plan`, `GET /x`.
    what: String,
    at: String,
    duration_us: u64,
    /// Of computing.
    cpu_us: u64,
    /// Why it failed, when it did.
    error: Option<String>,
    spans: Vec<SpanJson>,
    /// Parts that were not kept.
    more_spans: u64,
}

fn trace_json(t: &CallTrace) -> TraceJson {
    let span = |s: &plenum_runtime::Span| SpanJson {
        name: s.name.clone(),
        start_us: s.start_us,
        duration_us: s.duration_us,
        error: s.error.clone(),
    };
    TraceJson {
        call: t.call.clone(),
        version: t.version.clone(),
        what: t.what.clone(),
        at: rfc3339(t.at),
        duration_us: t.duration_us,
        cpu_us: t.cpu_us,
        error: t.error.clone(),
        spans: t.spans.iter().map(span).collect(),
        more_spans: t.more_spans,
    }
}

/// The last calls of a plugin, newest first: what each asked of the host, of other plugins and of the outside, and how long that took.
#[utoipa::path(get, path = "/plugins/{id}/traces", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = Page<TraceJson>), (status = 404, body = Problem)))]
async fn traces(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<Page<TraceJson>>> {
    let items = app.plugins.traces(&who, &id).await?;
    Ok(page(items.iter().map(|t| trace_json(t)).collect()))
}

/// A figure with one set of labels.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesJson {
    labels: BTreeMap<String, String>,
    /// Of a counter or a gauge; of a histogram the sum of its values.
    value: f64,
    /// Values of a histogram.
    count: Option<u64>,
}

/// A figure that a plugin counts itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct FigureJson {
    name: String,
    /// `counter`, `gauge`, `histogram`.
    kind: &'static str,
    series: Vec<SeriesJson>,
}

fn figure_json(f: Figure) -> FigureJson {
    let series = f.series.into_iter().map(|s| SeriesJson { labels: s.labels, value: s.value, count: s.count });
    FigureJson { name: f.name, kind: f.kind.as_str(), series: series.collect() }
}

/// What a plugin counts itself, since the host's start.
#[utoipa::path(get, path = "/plugins/{id}/figures", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = Page<FigureJson>), (status = 404, body = Problem)))]
async fn figures(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<Page<FigureJson>>> {
    Ok(page(app.plugins.figures(&who, &id).await?.into_iter().map(figure_json).collect()))
}

/// For Prometheus, with an API token: what the host counts of plugins (`plenum_plugins_...`), and what they count themselves
/// (`plenum_plugin_<name>{plugin="<id>"}`).
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, content_type = "text/plain", body = String)))]
async fn prometheus(State(app): State<App>, Caller(who): Caller) -> ApiResult<impl IntoResponse> {
    let text = app.plugins.prometheus(&who).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
