//! The host itself: probes and the OpenAPI document.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use plenum_store::Dialect;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::ApiResult;
use crate::extract::Caller;

/// The routes of this file below `/api/v1`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(system)).route("/openapi.json", get(document))
}

/// Probes for whatever supervises the host; they say nothing that a stranger should not know.
pub fn probes() -> Router<App> {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}

/// What this host is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SystemInfo {
    /// Version of the host.
    version: &'static str,
    /// `sqlite` or `postgresql`.
    database: &'static str,
    /// Seconds since the host started.
    uptime_s: u64,
    /// Where agents dial to.
    agent_address: String,
}

/// What this host is: version, database, uptime.
#[utoipa::path(get, path = "/system", tag = "system", responses((status = 200, body = SystemInfo)))]
async fn system(State(app): State<App>, _: Caller) -> ApiResult<Json<SystemInfo>> {
    Ok(Json(SystemInfo {
        version: app.info.version,
        database: match app.db.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgresql",
        },
        uptime_s: app.info.started.elapsed().as_secs(),
        agent_address: app.info.agent_address.clone(),
    }))
}

async fn document(_: Caller) -> Response {
    // Made once: it is the same for the life of the process, and large.
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| crate::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

async fn ready(State(app): State<App>) -> Response {
    match app.db.fetch_optional("SELECT 1 AS one", &[]).await {
        Ok(_) => (StatusCode::OK, "ready\n").into_response(),
        Err(e) => {
            tracing::warn!(error = %e, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}
