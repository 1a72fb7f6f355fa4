//! Kinds of associations, and the associations themselves.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use plenum_cmdb::{Association, CmdbError, Kind, StoredKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
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
    OpenApiRouter::new()
        .routes(routes!(association_kinds, create_kind))
        .routes(routes!(update_kind, delete_kind))
        .routes(routes!(create_association))
        .routes(routes!(update_association, delete_association))
}

/// One end of an association.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct End {
    model: String,
    id: String,
}

/// An association.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssociationJson {
    id: String,
    kind: String,
    from: End,
    to: End,
    /// What is known of the link, by the attributes of its kind.
    #[schema(value_type = Object)]
    attributes: Value,
}

/// A new association.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAssociation {
    kind: String,
    from: End,
    to: End,
    /// Attributes of the link.
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
}

/// Changed attributes of an association.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssociationChange {
    /// Those that change; null removes one.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
}

/// A kind of association: what it is called on both ends, what it links and how many, what a deletion does, what is known of each link.
#[derive(Debug, Serialize, ToSchema)]
pub struct KindJson {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    kind: Kind,
    version: i64,
    /// Whether it came with Plenum.
    builtin: bool,
    /// Whether a source has at most one destination.
    single: bool,
}

fn kind_json(k: StoredKind) -> KindJson {
    KindJson { single: k.kind.cardinality.one_destination(), kind: k.kind, version: k.version, builtin: k.builtin }
}

fn association_json(a: Association) -> AssociationJson {
    let end = |(model, id)| End { model, id };
    AssociationJson { id: a.id, kind: a.kind, from: end(a.from), to: end(a.to), attributes: a.attributes }
}

/// The pointer is into the association, not into a record's attributes.
fn association_error(e: CmdbError) -> ApiError {
    match e {
        CmdbError::InvalidInstance { pointer, message } => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "cmdb.invalid_association", "The association is not valid", message).at(pointer)
        }
        e => e.into(),
    }
}

/// The kinds of associations.
#[utoipa::path(get, path = "/cmdb/association-kinds", tag = "cmdb", responses((status = 200, body = Page<KindJson>)))]
async fn association_kinds(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<KindJson>>> {
    let items: Vec<_> = app.cmdb.kinds(&who).await?.into_iter().map(kind_json).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Define a kind of association.
#[utoipa::path(post, path = "/cmdb/association-kinds", tag = "cmdb", request_body = Object,
    responses((status = 201, body = KindJson), (status = 422, body = Problem)))]
async fn create_kind(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(kind): JsonBody<Kind>,
) -> ApiResult<(StatusCode, Json<KindJson>)> {
    Ok((StatusCode::CREATED, Json(kind_json(app.cmdb.create_kind(&who, kind).await?))))
}

/// Change a kind of association. Refused when associations would break it. With `If-Match`, only if that is still its version.
#[utoipa::path(put, path = "/cmdb/association-kinds/{kind}", tag = "cmdb", request_body = Object, params(("kind" = String, Path)),
    responses((status = 200, body = KindJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn update_kind(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(kind): JsonBody<Kind>,
) -> ApiResult<Json<KindJson>> {
    if kind.name != name {
        let detail = format!("the path names the kind {name} and the body {}; a kind keeps its name", kind.name);
        return Err(ApiError::bad_request("cmdb.invalid_model", detail).at("/name"));
    }
    Ok(Json(kind_json(app.cmdb.update_kind(&who, kind, if_match(&headers)?).await?)))
}

/// Delete a kind of association that has no associations.
#[utoipa::path(delete, path = "/cmdb/association-kinds/{kind}", tag = "cmdb", params(("kind" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete_kind(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.delete_kind(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Link two records.
#[utoipa::path(post, path = "/cmdb/associations", tag = "cmdb", request_body = NewAssociation,
    responses((status = 201, body = AssociationJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn create_association(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(b): JsonBody<NewAssociation>,
) -> ApiResult<(StatusCode, Json<AssociationJson>)> {
    let (from, to) = ((b.from.model.as_str(), b.from.id.as_str()), (b.to.model.as_str(), b.to.id.as_str()));
    let made = app.cmdb.associate_with(&who, &b.kind, from, to, Value::Object(b.attributes)).await.map_err(association_error)?;
    Ok((StatusCode::CREATED, Json(association_json(made))))
}

/// Change the attributes of an association.
#[utoipa::path(patch, path = "/cmdb/associations/{id}", tag = "cmdb", request_body = AssociationChange, params(("id" = String, Path)),
    responses((status = 200, body = AssociationJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn update_association(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<AssociationChange>,
) -> ApiResult<Json<AssociationJson>> {
    Ok(Json(association_json(app.cmdb.update_association(&who, &id, b.attributes).await.map_err(association_error)?)))
}

/// Remove a link.
#[utoipa::path(delete, path = "/cmdb/associations/{id}", tag = "cmdb", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn delete_association(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.dissociate(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
