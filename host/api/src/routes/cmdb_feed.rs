//! The change feed of the CMDB: pages with a wait, and server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as SseEvent, KeepAlive};
use futures::Stream;
use plenum_cmdb::{FeedQuery, feed};
use plenum_store::Event;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, Query};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(stream))
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedParams {
    /// Kinds, by commas: `instance.updated`, `association.*`; all when absent.
    kinds: Option<String>,
    /// Models, by commas; all that the caller may read when absent.
    models: Option<String>,
    /// Attributes, by commas: of changes only those of one of them.
    fields: Option<String>,
    /// `cursor` of the answer before; `start`: the oldest change that is kept. Absent: from now on.
    cursor: Option<String>,
}

/// How much, and how long to wait for it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitParams {
    /// Changes of an answer: 100 when absent, 500 at the most.
    limit: Option<usize>,
    /// Seconds to wait when there is nothing yet: 0 when absent, 60 at the most.
    wait: Option<u64>,
}

/// Some changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedJson {
    /// CloudEvents, the oldest first.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
    /// Send it as `cursor` to go on.
    cursor: String,
    /// Whether there is more at once.
    more: bool,
    /// How long changes are kept: `{days, events}`. A cursor that is older is refused with 410.
    #[schema(value_type = Object)]
    kept: Value,
}

fn query(p: &FeedParams) -> FeedQuery {
    let list = |v: &Option<String>| {
        v.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()).take(50).map(str::to_owned).collect()
    };
    FeedQuery { kinds: list(&p.kinds), models: list(&p.models), fields: list(&p.fields) }
}

async fn begin(app: &App, who: &plenum_access::Principal, cursor: Option<&str>) -> ApiResult<i64> {
    match cursor.map(str::trim).filter(|c| !c.is_empty()) {
        None => Ok(app.cmdb.feed_now(who).await?),
        Some("start") => Ok(app.cmdb.feed_start(who).await?),
        Some(c) => match c.parse::<i64>() {
            Ok(n) if n >= 0 => Ok(n),
            _ => Err(ApiError::bad_request("request.cursor", "`cursor` is the `cursor` of an earlier answer, or `start`")),
        },
    }
}

/// What changed, in the order in which it was committed. Going on from the cursor gives every change once.
#[utoipa::path(get, path = "/cmdb/feed", tag = "cmdb", params(FeedParams, WaitParams),
    responses((status = 200, body = FeedJson), (status = 400, body = Problem), (status = 410, body = Problem)))]
async fn read(
    State(app): State<App>,
    Caller(who): Caller,
    Query(p): Query<FeedParams>,
    Query(w): Query<WaitParams>,
) -> ApiResult<Json<FeedJson>> {
    let after = begin(&app, &who, p.cursor.as_deref()).await?;
    let wait = Duration::from_secs(w.wait.unwrap_or(0));
    let asked = query(&p);
    let found = app.cmdb.feed_wait(&who, &asked, after, w.limit.unwrap_or(100), wait);
    // A host that ends does not wait for those who wait.
    let page = tokio::select! {
        page = found => page?,
        () = app.shutdown.cancelled() => app.cmdb.feed(&who, &asked, after, w.limit.unwrap_or(100)).await?,
    };
    let (kept, most) = feed::KEPT;
    Ok(Json(FeedJson {
        events: page.events.iter().map(Event::cloud_event).collect(),
        cursor: page.cursor.to_string(),
        more: page.more,
        kept: json!({"days": kept.as_secs() / 86_400, "events": most}),
    }))
}

struct Open {
    app: App,
    who: plenum_access::Principal,
    query: FeedQuery,
    listener: plenum_store::events::Listener,
    after: i64,
    ready: VecDeque<Event>,
}

/// The same as server-sent events: each message is a CloudEvent, and its id resumes the feed after a broken connection.
#[utoipa::path(get, path = "/cmdb/feed/stream", tag = "cmdb", params(FeedParams),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 410, body = Problem)))]
async fn stream(
    State(app): State<App>,
    Caller(who): Caller,
    Query(p): Query<FeedParams>,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let listener = app.cmdb.feed_listen();
    let asked = query(&p);
    let after = begin(&app, &who, resumed.as_deref().or(p.cursor.as_deref())).await?;
    // What is wrong with the cursor is an answer, not a stream that ends.
    app.cmdb.feed(&who, &asked, after, 1).await?;
    let open = Open { app, who, query: asked, listener, after, ready: VecDeque::new() };
    let stream = futures::stream::unfold(open, |mut o| async move {
        loop {
            if let Some(e) = o.ready.pop_front() {
                return Some((Ok(SseEvent::default().id(e.seq.to_string()).data(e.cloud_event().to_string())), o));
            }
            match o.app.cmdb.feed(&o.who, &o.query, o.after, 200).await {
                Ok(page) => {
                    o.after = page.cursor;
                    o.ready = page.events.into();
                    if page.more || !o.ready.is_empty() {
                        continue;
                    }
                }
                // The client connects again, resumes, and is told what is wrong.
                Err(e) => {
                    tracing::warn!(error = %e, "a change feed ends");
                    return None;
                }
            }
            tokio::select! {
                () = o.listener.changed() => {}
                () = o.app.shutdown.cancelled() => return None,
            }
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}
