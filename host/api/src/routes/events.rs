//! Live events: server-sent CloudEvents, resumable by `Last-Event-ID`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as SseEvent, KeepAlive};
use futures::Stream;
use plenum_access::Permission;
use plenum_store::{Event, Events};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::ApiResult;
use crate::extract::{Caller, Query};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Comma-separated starts of event types, `plenum.job.,plenum.node.`; all when absent.
    types: Option<String>,
}

struct Feed {
    events: Events,
    cmdb: plenum_cmdb::Cmdb,
    who: plenum_access::Principal,
    listener: plenum_store::events::Listener,
    after: i64,
    kinds: Vec<String>,
    ready: VecDeque<Event>,
    stop: CancellationToken,
}

/// Events as they happen. Each message is a CloudEvent in JSON; its id resumes the stream after a broken connection.
#[utoipa::path(get, path = "/events/stream", tag = "system", params(StreamQuery), responses((status = 200, content_type = "text/event-stream", body = String)))]
async fn stream(
    State(app): State<App>,
    Caller(who): Caller,
    Query(q): Query<StreamQuery>,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    app.access.require(&who, Permission::EventsRead, &[]).await?;
    let kinds: Vec<String> =
        q.types.unwrap_or_default().split(',').map(str::trim).filter(|t| !t.is_empty()).take(50).map(str::to_owned).collect();
    let listener = app.events.listen();
    let resumed = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<i64>().ok());
    let after = match resumed {
        Some(seq) => seq,
        None => app.events.latest().await?,
    };
    let state = Feed {
        events: app.events.clone(),
        cmdb: app.cmdb.clone(),
        who,
        listener,
        after,
        kinds,
        ready: VecDeque::new(),
        stop: app.shutdown.clone(),
    };
    let stream = futures::stream::unfold(state, |mut s| async move {
        loop {
            if let Some(e) = s.ready.pop_front() {
                s.after = e.seq;
                // Asked for each event anew: roles change while a stream is open.
                let e = match s.cmdb.hears(&s.who, e).await {
                    Ok(Some(e)) => e,
                    Ok(None) => continue,
                    Err(e) => {
                        tracing::warn!(error = %e, "an event stream ends");
                        return None;
                    }
                };
                let message = SseEvent::default().id(e.seq.to_string()).data(e.cloud_event().to_string());
                return Some((Ok(message), s));
            }
            match s.events.read(s.after, 200, &s.kinds).await {
                Ok(found) if !found.is_empty() => {
                    s.ready = found.into();
                    continue;
                }
                Ok(_) => {}
                // The client connects again and resumes.
                Err(e) => {
                    tracing::warn!(error = %e, "an event stream ends");
                    return None;
                }
            }
            tokio::select! {
                () = s.listener.changed() => {}
                () = s.stop.cancelled() => return None,
            }
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}
