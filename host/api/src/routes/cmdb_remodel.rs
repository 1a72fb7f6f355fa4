//! Changes of models that are safe: a dry run, the change itself, what was removed and how it comes back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use plenum_cmdb::Model;
use plenum_cmdb::remodel::{ModelChange, Proposal, Removed, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cmdb::if_match;
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(propose, list_changes))
        .routes(routes!(get_change, cancel_change))
        .routes(routes!(list_removed))
        .routes(routes!(restore))
}

/// A model as it should be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelProposal {
    #[schema(value_type = Object)]
    model: Model,
    /// Whether it only says what would be.
    #[serde(default)]
    dry_run: bool,
    /// What becomes of values that do not fit: `refuse` (when absent) refuses the change, `mend` takes them out and fills missing ones
    /// with the attribute's default.
    #[serde(default)]
    misfits: Misfits,
}

/// What becomes of values that do not fit.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Misfits {
    /// They refuse the change.
    #[default]
    Refuse,
    /// They are taken out, and missing ones filled with the default.
    Mend,
}

/// How an attribute comes back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeRestore {
    /// Whether it only says what would be.
    #[serde(default)]
    dry_run: bool,
    /// As with a change.
    #[serde(default)]
    misfits: Misfits,
}

/// A change of a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelChangeJson {
    id: String,
    model: String,
    /// `waiting`, `running`, `checked` (a dry run that is over), `refused`, `done`, `failed`, `cancelled`.
    state: String,
    dry_run: bool,
    mend: bool,
    /// What it does to the records: `records`, `checked`, `rewritten`, `broken`, and by attribute `converted`, `removed`, `restored` and
    /// `problems`: `rule`, `count`, `mend` and the first `examples`.
    #[schema(value_type = Object)]
    report: Report,
    started_by: String,
    created_at: String,
    finished_at: Option<String>,
    /// Why it was refused or failed.
    error: Option<String>,
}

/// An attribute that a model no longer has.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemovedJson {
    /// As it was.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    attribute: Value,
    removed_by: String,
    removed_at: String,
    /// Values that are kept of it.
    values: i64,
}

fn change_json(c: ModelChange) -> ModelChangeJson {
    ModelChangeJson {
        id: c.id,
        model: c.model,
        state: c.state,
        dry_run: c.dry_run,
        mend: c.mend,
        report: c.report,
        started_by: c.started_by,
        created_at: rfc3339(c.created_at),
        finished_at: c.finished_at.map(rfc3339),
        error: c.error,
    }
}

fn removed_json(r: Removed) -> RemovedJson {
    let attribute = serde_json::to_value(&r.attribute).unwrap_or_default();
    RemovedJson { attribute, removed_by: r.removed_by, removed_at: rfc3339(r.removed_at), values: r.values }
}

/// 202 while it is not over.
fn answer(c: ModelChange) -> (StatusCode, Json<ModelChangeJson>) {
    let status = if c.finished_at.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(change_json(c)))
}

/// Change a model, or say what the change would do: which records break which rule, which values become others. A model of at most 2,000
/// records is changed at once; a larger one in the background (202), while everybody goes on reading and writing. With `If-Match`, only if
/// that is still its version.
#[utoipa::path(post, path = "/cmdb/models/{model}/changes", tag = "cmdb", request_body = ModelProposal, params(("model" = String, Path)),
    responses((status = 200, body = ModelChangeJson), (status = 202, body = ModelChangeJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn propose(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(b): JsonBody<ModelProposal>,
) -> ApiResult<(StatusCode, Json<ModelChangeJson>)> {
    if b.model.name != name {
        let detail = format!("the path names the model {name} and the body {}; a model keeps its name", b.model.name);
        return Err(ApiError::bad_request("cmdb.invalid_model", detail).at("/model/name"));
    }
    let p = Proposal { model: b.model, expected: if_match(&headers)?, dry_run: b.dry_run, mend: b.misfits == Misfits::Mend };
    Ok(answer(app.cmdb.propose_model(&who, p).await?))
}

/// The newest changes of a model and dry runs of it.
#[utoipa::path(get, path = "/cmdb/models/{model}/changes", tag = "cmdb", params(("model" = String, Path)), responses((status = 200, body = Page<ModelChangeJson>)))]
async fn list_changes(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<Json<Page<ModelChangeJson>>> {
    let items = app.cmdb.model_changes(&who, &name).await?.into_iter().map(change_json).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// One change of a model, with how far it is.
#[utoipa::path(get, path = "/cmdb/model-changes/{id}", tag = "cmdb", params(("id" = String, Path)),
    responses((status = 200, body = ModelChangeJson), (status = 404, body = Problem)))]
async fn get_change(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ModelChangeJson>> {
    Ok(Json(change_json(app.cmdb.model_change(&who, &id).await?)))
}

/// Stop a change that has not taken effect yet. Nothing of it stays.
#[utoipa::path(delete, path = "/cmdb/model-changes/{id}", tag = "cmdb", params(("id" = String, Path)),
    responses((status = 200, body = ModelChangeJson), (status = 409, body = Problem)))]
async fn cancel_change(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ModelChangeJson>> {
    Ok(Json(change_json(app.cmdb.cancel_model_change(&who, &id).await?)))
}

/// Attributes that a model no longer has: the history of its records may speak of them.
#[utoipa::path(get, path = "/cmdb/models/{model}/removed", tag = "cmdb", params(("model" = String, Path)), responses((status = 200, body = Page<RemovedJson>)))]
async fn list_removed(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<Json<Page<RemovedJson>>> {
    let items = app.cmdb.removed_attributes(&who, &name).await?.into_iter().map(removed_json).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// Bring back an attribute that was removed, with the values that were kept.
#[utoipa::path(post, path = "/cmdb/models/{model}/removed/{attribute}/restore", tag = "cmdb", request_body = AttributeRestore,
    params(("model" = String, Path), ("attribute" = String, Path)),
    responses((status = 200, body = ModelChangeJson), (status = 202, body = ModelChangeJson), (status = 404, body = Problem)))]
async fn restore(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, attribute)): Path<(String, String)>,
    JsonBody(b): JsonBody<AttributeRestore>,
) -> ApiResult<(StatusCode, Json<ModelChangeJson>)> {
    Ok(answer(app.cmdb.restore_attribute(&who, &model, &attribute, b.dry_run, b.misfits == Misfits::Mend).await?))
}
