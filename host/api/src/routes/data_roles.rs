//! Data roles: which records people see and change.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use plenum_access::{DataRole, StoredDataRole};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cmdb::if_match;
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path};
use crate::list::Page;

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_data_roles, create_data_role)).routes(routes!(update_data_role, delete_data_role))
}

/// A data role: rules over records, and the people they are for. The role `everyone` is everybody's.
#[derive(Debug, Serialize, ToSchema)]
pub struct DataRoleJson {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    role: StoredDataRole,
}

/// All data roles, by name.
#[utoipa::path(get, path = "/data-roles", tag = "access", responses((status = 200, body = Page<DataRoleJson>)))]
async fn list_data_roles(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<DataRoleJson>>> {
    let items: Vec<_> = app.access.data_roles(&who).await?.into_iter().map(|role| DataRoleJson { role }).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Define a data role.
#[utoipa::path(post, path = "/data-roles", tag = "access", request_body = Object,
    responses((status = 201, body = DataRoleJson), (status = 422, body = Problem)))]
async fn create_data_role(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(role): JsonBody<DataRole>,
) -> ApiResult<(StatusCode, Json<DataRoleJson>)> {
    Ok((StatusCode::CREATED, Json(DataRoleJson { role: app.cmdb.put_data_role(&who, role, Some(0)).await? })))
}

/// Change a data role and its members. With `If-Match`, only if that is still its version.
#[utoipa::path(put, path = "/data-roles/{name}", tag = "access", request_body = Object, params(("name" = String, Path)),
    responses((status = 200, body = DataRoleJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn update_data_role(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(role): JsonBody<DataRole>,
) -> ApiResult<Json<DataRoleJson>> {
    if role.name != name {
        let detail = format!("the path names the role {name} and the body {}; a role keeps its name", role.name);
        return Err(ApiError::bad_request("access.invalid", detail).at("/name"));
    }
    Ok(Json(DataRoleJson { role: app.cmdb.put_data_role(&who, role, if_match(&headers)?).await? }))
}

/// Delete a data role. Its members are then narrowed by their other data roles, and by nothing when they have none.
#[utoipa::path(delete, path = "/data-roles/{name}", tag = "access", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn delete_data_role(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.access.delete_data_role(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
