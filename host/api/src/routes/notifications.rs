//! What plugins told the person who asks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_runtime::{Notification, NotificationQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, Path, Query};
use crate::list::rfc3339;

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read_all)).routes(routes!(read))
}

/// Which notifications.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only those that were not read.
    unread: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 100 [default: 20].
    limit: Option<u32>,
}

/// What somebody was told.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotificationJson {
    id: String,
    /// Who tells it.
    plugin: String,
    /// `info`, `success`, `warning`, `error`.
    level: String,
    title: String,
    body: String,
    /// A path of the portal.
    link: Option<String>,
    at: String,
    read_at: Option<String>,
}

/// A page of notifications, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotificationsJson {
    items: Vec<NotificationJson>,
    next_cursor: Option<String>,
    /// All that were not read.
    unread: i64,
}

fn notification(n: Notification) -> NotificationJson {
    let Notification { seq, plugin, level, title, body, link, at, read_at } = n;
    NotificationJson { id: seq.to_string(), plugin, level, title, body, link, at: rfc3339(at), read_at: read_at.map(rfc3339) }
}

fn number(text: &str, what: &str) -> ApiResult<i64> {
    text.parse().map_err(|_| ApiError::bad_request("request.query", format!("{what} {text:?} is not one of these notifications")))
}

/// What plugins told the caller, newest first. They are kept for 90 days.
#[utoipa::path(get, path = "/notifications", tag = "access", params(ListQuery), responses((status = 200, body = NotificationsJson)))]
async fn list(State(app): State<App>, Caller(who): Caller, Query(q): Query<ListQuery>) -> ApiResult<Json<NotificationsJson>> {
    let before = q.cursor.as_deref().filter(|c| !c.is_empty()).map(|c| number(c, "the cursor")).transpose()?;
    let query = NotificationQuery { unread: q.unread.unwrap_or(false), before, limit: q.limit.unwrap_or(20) };
    let found = app.plugins.notifications(&who, &query).await?;
    Ok(Json(NotificationsJson {
        items: found.items.into_iter().map(notification).collect(),
        next_cursor: found.next.map(|n| n.to_string()),
        unread: found.unread,
    }))
}

/// The caller has read all of them.
#[utoipa::path(post, path = "/notifications/read", tag = "access", responses((status = 204)))]
async fn read_all(State(app): State<App>, Caller(who): Caller) -> ApiResult<StatusCode> {
    app.plugins.read_notifications(&who, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller has read one.
#[utoipa::path(post, path = "/notifications/{id}/read", tag = "access", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn read(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.plugins.read_notifications(&who, Some(number(&id, "the id")?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
