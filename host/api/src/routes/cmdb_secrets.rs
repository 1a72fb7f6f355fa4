//! Secret attributes of records: which are set, setting them, and revealing one with a reason.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plenum_cmdb::secrets::SecretState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_secrets)).routes(routes!(set_secret, delete_secret)).routes(routes!(reveal_secret))
}

/// Whether a secret attribute has a value.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretJson {
    attribute: String,
    set: bool,
    set_by: Option<String>,
    set_at: Option<String>,
}

/// A new value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    value: String,
}

/// Why it has to be seen.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealSecret {
    /// Kept in the audit log.
    reason: String,
}

/// A value.
#[derive(Serialize, ToSchema)]
pub struct RevealedJson {
    value: String,
}

fn secret_json(s: SecretState) -> SecretJson {
    SecretJson { attribute: s.attribute, set: s.set, set_by: s.set_by, set_at: s.set_at.map(rfc3339) }
}

/// Which secret attributes of a record have values. The values themselves are never listed.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}/secrets", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = Page<SecretJson>), (status = 404, body = Problem)))]
async fn list_secrets(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
) -> ApiResult<Json<Page<SecretJson>>> {
    let items = app.cmdb.secrets_of(&who, &model, &id).await?.into_iter().map(secret_json).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// Set a secret attribute, or replace its value.
#[utoipa::path(put, path = "/cmdb/models/{model}/instances/{id}/secrets/{attribute}", tag = "cmdb", request_body = NewSecret,
    params(("model" = String, Path), ("id" = String, Path), ("attribute" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn set_secret(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id, attribute)): Path<(String, String, String)>,
    JsonBody(b): JsonBody<NewSecret>,
) -> ApiResult<StatusCode> {
    app.cmdb.set_secret(&who, &model, &id, &attribute, Some(&b.value)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take the value of a secret attribute away.
#[utoipa::path(delete, path = "/cmdb/models/{model}/instances/{id}/secrets/{attribute}", tag = "cmdb",
    params(("model" = String, Path), ("id" = String, Path), ("attribute" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn delete_secret(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id, attribute)): Path<(String, String, String)>,
) -> ApiResult<StatusCode> {
    app.cmdb.set_secret(&who, &model, &id, &attribute, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reveal one value, with a reason that the audit log keeps.
#[utoipa::path(post, path = "/cmdb/models/{model}/instances/{id}/secrets/{attribute}/reveal", tag = "cmdb", request_body = RevealSecret,
    params(("model" = String, Path), ("id" = String, Path), ("attribute" = String, Path)),
    responses((status = 200, body = RevealedJson), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn reveal_secret(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id, attribute)): Path<(String, String, String)>,
    JsonBody(b): JsonBody<RevealSecret>,
) -> ApiResult<Response> {
    let value = app.cmdb.reveal_secret(&who, &model, &id, &attribute, &b.reason).await?;
    let mut response = Json(RevealedJson { value }).into_response();
    // No cache on the way keeps it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
