//! An execution again, on some of its targets, and the chain that comes of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::jobs::{ExecutionJson, convert};
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(retry)).routes(routes!(chain))
}

/// What of an execution is to be run again. Without statuses and nodes: all that did not succeed.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryJson {
    /// Targets that ended so: `failed`, `timed_out`, `lost`, `rejected`, `cancelled`, `succeeded`.
    statuses: Vec<String>,
    /// And these nodes.
    nodes: Vec<String>,
    /// The environment again: its values are not kept.
    env: BTreeMap<String, String>,
    /// A second request with the same key answers with the first one's execution.
    key: Option<String>,
}

/// Runs the same script again on targets that did not succeed, or on chosen ones, as a linked execution.
#[utoipa::path(post, path = "/jobs/executions/{id}/retry", tag = "jobs", params(("id" = String, Path)), request_body = RetryJson, responses((status = 201, body = ExecutionJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn retry(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<RetryJson>,
) -> ApiResult<(StatusCode, Json<ExecutionJson>)> {
    Ok((StatusCode::CREATED, Json(app.jobs.retry(&who, &id, convert(&body)?).await?.into())))
}

/// Executions that repeat each other.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChainJson {
    /// Oldest first, at most 100.
    items: Vec<ExecutionJson>,
}

/// The executions that repeat each other, with this one among them.
#[utoipa::path(get, path = "/jobs/executions/{id}/chain", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = ChainJson), (status = 404, body = Problem)))]
async fn chain(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ChainJson>> {
    let items = app.jobs.chain(&who, &id).await?;
    Ok(Json(ChainJson { items: items.into_iter().map(ExecutionJson::from).collect() }))
}
