//! Models, instances, associations, filters.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plenum_cmdb::{Change, CmdbError, Direction, Instance, Model, Related, StoredModel};
use plenum_store::{DocumentError, FilterError, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{ListQuery, Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_models, create_model))
        .routes(routes!(get_model, update_model, delete_model))
        .routes(routes!(list_instances, create_instance))
        .routes(routes!(get_instance, update_instance, delete_instance))
        .routes(routes!(instance_history))
        .routes(routes!(instance_related))
        .routes(routes!(check_filter))
}

impl From<CmdbError> for ApiError {
    fn from(e: CmdbError) -> Self {
        let code = e.code();
        let detail = e.to_string();
        match e {
            CmdbError::Access(a) => a.into(),
            CmdbError::NoModel { .. } | CmdbError::NotFound(_) => ApiError::not_found(code, detail),
            CmdbError::InvalidModel { pointer, .. } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The model is not valid", detail).at(pointer)
            }
            CmdbError::InvalidInstance { pointer, .. } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "A value is not valid", detail).at(format!("/attributes{pointer}"))
            }
            CmdbError::NeedsApproval(_) => ApiError::new(StatusCode::CONFLICT, code, "Needs approval", detail),
            CmdbError::InUse(_) => ApiError::new(StatusCode::CONFLICT, code, "Still in use", detail),
            CmdbError::FeedGone(_) => ApiError::new(StatusCode::GONE, code, "No longer kept", detail),
            CmdbError::Document(d) => document_error(d, code),
        }
    }
}

/// What the store says of a document, a query or a filter.
pub(crate) fn document_error(e: DocumentError, code: &str) -> ApiError {
    let detail = e.to_string();
    match e {
        DocumentError::Filter(_) => ApiError::bad_request(code, detail).at("/filter"),
        DocumentError::Query(_) => ApiError::bad_request(code, detail),
        DocumentError::NoCollection(_) => ApiError::not_found(code, detail),
        DocumentError::Invalid { pointer, .. } => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "A value is not valid", detail).at(pointer)
        }
        DocumentError::Duplicate { fields } => ApiError::new(StatusCode::CONFLICT, code, "Already there", detail)
            .at(fields.first().map(|f| format!("/attributes/{f}")).unwrap_or_default()),
        DocumentError::Store(StoreError::Conflict { .. }) => ApiError::new(StatusCode::CONFLICT, code, "Changed by somebody else", detail),
        DocumentError::Store(s) => s.into(),
    }
}

/// A model with the number of its instances.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelJson {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    model: Model,
    version: i64,
    builtin: bool,
    /// How many instances it has.
    count: i64,
}

/// A record.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceJson {
    pub(super) id: String,
    pub(super) model: String,
    /// What people call it.
    pub(super) label: String,
    pub(super) version: i64,
    #[schema(value_type = Object)]
    pub(super) attributes: Value,
    pub(super) created_at: String,
    pub(super) updated_at: String,
}

/// A new record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInstance {
    #[schema(value_type = Object)]
    attributes: Value,
    /// Why, for the history: a ticket, a message.
    why: Option<String>,
}

/// Changes of a record: null removes an attribute, what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceChange {
    #[schema(value_type = Object)]
    attributes: Value,
    /// The version that the change was made from.
    version: Option<i64>,
    /// Why, for the history: a ticket, a message.
    why: Option<String>,
}

/// One change of a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeJson {
    seq: i64,
    version: i64,
    at: String,
    actor: String,
    why: Option<String>,
    #[schema(value_type = Object)]
    before: Value,
    #[schema(value_type = Object)]
    after: Value,
}

/// A linked record.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelatedJson {
    association: String,
    kind: String,
    /// `forward`: the asked record is the source; `backward`: it is the destination.
    direction: String,
    model: String,
    id: String,
    label: String,
    /// What is known of the link.
    #[schema(value_type = Object)]
    attributes: Value,
}

/// A filter to be checked.
#[derive(Deserialize, ToSchema)]
pub struct FilterCheck {
    model: String,
    filter: String,
}

/// What a filter matches, or what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilterAnswer {
    ok: bool,
    count: Option<i64>,
    /// Attributes that it compares and no index serves.
    unindexed: Vec<String>,
    error: Option<FilterProblem>,
}

/// What is wrong with a filter.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilterProblem {
    code: String,
    message: String,
    /// Offset in characters.
    position: Option<usize>,
    /// What was probably meant.
    hint: Option<String>,
}

/// Page of a history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

async fn model_json(app: &App, who: &plenum_access::Principal, m: StoredModel) -> ApiResult<ModelJson> {
    let count = app.cmdb.model_count(who, &m.model.name).await?;
    Ok(ModelJson { model: m.model, version: m.version, builtin: m.builtin, count })
}

pub(super) fn instance_json(i: Instance) -> InstanceJson {
    InstanceJson {
        id: i.id,
        model: i.model,
        label: i.label,
        version: i.version,
        attributes: i.attributes,
        created_at: rfc3339(i.created_at),
        updated_at: rfc3339(i.updated_at),
    }
}

fn with_etag(status: StatusCode, i: Instance) -> Response {
    let etag = HeaderValue::from_str(&format!("\"{}\"", i.version));
    let mut response = (status, Json(instance_json(i))).into_response();
    if let Ok(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// The version in `If-Match`; `*` and absence mean any.
pub(super) fn if_match(headers: &HeaderMap) -> ApiResult<Option<i64>> {
    let Some(v) = headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok()).filter(|v| *v != "*") else { return Ok(None) };
    match v.trim_start_matches("W/").trim_matches('"').parse() {
        Ok(n) => Ok(Some(n)),
        Err(_) => Err(ApiError::bad_request("request.if_match", "If-Match carries the ETag of the record, a number in quotes")),
    }
}

/// All models.
#[utoipa::path(get, path = "/cmdb/models", tag = "cmdb", responses((status = 200, body = Page<ModelJson>)))]
async fn list_models(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<ModelJson>>> {
    let mut items = Vec::new();
    for m in app.cmdb.models(&who).await? {
        items.push(model_json(&app, &who, m).await?);
    }
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Create a model.
#[utoipa::path(post, path = "/cmdb/models", tag = "cmdb", request_body = Object, responses((status = 201, body = ModelJson), (status = 422, body = Problem)))]
async fn create_model(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(model): JsonBody<Model>,
) -> ApiResult<(StatusCode, Json<ModelJson>)> {
    let made = app.cmdb.create_model(&who, model).await?;
    Ok((StatusCode::CREATED, Json(model_json(&app, &who, made).await?)))
}

/// One model.
#[utoipa::path(get, path = "/cmdb/models/{model}", tag = "cmdb", params(("model" = String, Path)), responses((status = 200, body = ModelJson), (status = 404, body = Problem)))]
async fn get_model(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<Json<ModelJson>> {
    let m = app.cmdb.model(&who, &name).await?;
    Ok(Json(model_json(&app, &who, m).await?))
}

/// Change a model. With `If-Match`, only if that is still its version.
#[utoipa::path(put, path = "/cmdb/models/{model}", tag = "cmdb", request_body = Object, params(("model" = String, Path)),
    responses((status = 200, body = ModelJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn update_model(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(model): JsonBody<Model>,
) -> ApiResult<Json<ModelJson>> {
    if model.name != name {
        return Err(ApiError::bad_request(
            "cmdb.invalid_model",
            format!("the path names the model {name} and the body {}; a model keeps its name", model.name),
        )
        .at("/name"));
    }
    let m = app.cmdb.update_model(&who, model, if_match(&headers)?).await?;
    Ok(Json(model_json(&app, &who, m).await?))
}

/// Delete a model that has no instances.
#[utoipa::path(delete, path = "/cmdb/models/{model}", tag = "cmdb", params(("model" = String, Path)), responses((status = 204), (status = 409, body = Problem)))]
async fn delete_model(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.delete_model(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a list asks of the CMDB.
pub(super) fn query(q: &ListQuery) -> plenum_cmdb::Query {
    let sort = q.sort.as_deref().filter(|s| !s.is_empty()).map(|s| match s.strip_prefix('-') {
        Some(f) => (f.to_owned(), true),
        None => (s.to_owned(), false),
    });
    plenum_cmdb::Query {
        filter: ListQuery::non_empty(&q.filter),
        search: ListQuery::non_empty(&q.search),
        sort,
        cursor: ListQuery::non_empty(&q.cursor),
        limit: q.limit(),
        with_total: true,
        ..plenum_cmdb::Query::default()
    }
}

/// A moment in the past.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PastQuery {
    /// As it was at this time (RFC 3339), by its history.
    at: Option<String>,
}

/// Milliseconds since the Unix epoch of a time in a query.
pub(super) fn time(text: &str) -> ApiResult<i64> {
    // A plus that was not encoded arrives as a space.
    let text = text.trim().replace(' ', "+");
    plenum_store::filter::time_ms(&text).ok_or_else(|| ApiError::bad_request("request.time", "`at` is a time such as 2026-01-31T08:00:00Z"))
}

/// A page of a model's records.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances", tag = "cmdb", params(("model" = String, Path), ListQuery, PastQuery),
    responses((status = 200, body = Page<InstanceJson>), (status = 400, body = Problem)))]
async fn list_instances(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    Query(q): Query<ListQuery>,
    Query(past): Query<PastQuery>,
) -> ApiResult<Json<Page<InstanceJson>>> {
    let page = match ListQuery::non_empty(&past.at) {
        None => app.cmdb.list(&who, &model, &query(&q)).await?,
        Some(at) => app.cmdb.list_at(&who, &model, &query(&q), time(&at)?).await?,
    };
    Ok(Json(Page { items: page.items.into_iter().map(instance_json).collect(), next_cursor: page.next_cursor, total: page.total }))
}

/// Create a record.
#[utoipa::path(post, path = "/cmdb/models/{model}/instances", tag = "cmdb", request_body = NewInstance, params(("model" = String, Path)),
    responses((status = 201, body = InstanceJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn create_instance(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    JsonBody(body): JsonBody<NewInstance>,
) -> ApiResult<Response> {
    let made = app.cmdb.create(&who, &model, body.attributes, body.why.as_deref()).await?;
    Ok(with_etag(StatusCode::CREATED, made))
}

/// One record.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path), PastQuery),
    responses((status = 200, body = InstanceJson), (status = 404, body = Problem)))]
async fn get_instance(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    Query(past): Query<PastQuery>,
) -> ApiResult<Response> {
    let found = match ListQuery::non_empty(&past.at) {
        None => app.cmdb.get(&who, &model, &id).await?,
        Some(at) => app.cmdb.get_at(&who, &model, &id, time(&at)?).await?,
    };
    Ok(with_etag(StatusCode::OK, found))
}

/// Change a record. With `If-Match` or `version`, only if that is still its version.
#[utoipa::path(patch, path = "/cmdb/models/{model}/instances/{id}", tag = "cmdb", request_body = InstanceChange,
    params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = InstanceJson), (status = 409, body = Problem), (status = 412, body = Problem), (status = 422, body = Problem)))]
async fn update_instance(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<InstanceChange>,
) -> ApiResult<Response> {
    let by_header = if_match(&headers)?;
    let after = app.cmdb.update(&who, &model, &id, body.attributes, by_header.or(body.version), body.why.as_deref()).await;
    Ok(with_etag(StatusCode::OK, after.map_err(|e| precondition(e, by_header))?))
}

/// A conflict is 412 for those who asked by `If-Match` (RFC 9110).
fn precondition(e: CmdbError, by_header: Option<i64>) -> ApiError {
    if by_header.is_some() && e.code() == "cmdb.conflict" {
        return ApiError::new(StatusCode::PRECONDITION_FAILED, "cmdb.conflict", "Changed by somebody else", e.to_string());
    }
    e.into()
}

/// Delete a record and its associations.
#[utoipa::path(delete, path = "/cmdb/models/{model}/instances/{id}", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 412, body = Problem)))]
async fn delete_instance(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let by_header = if_match(&headers)?;
    app.cmdb.delete(&who, &model, &id, by_header, None).await.map_err(|e| precondition(e, by_header))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes of a record, newest first.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}/history", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path), HistoryQuery),
    responses((status = 200, body = Page<ChangeJson>)))]
async fn instance_history(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    Query(q): Query<HistoryQuery>,
) -> ApiResult<Json<Page<ChangeJson>>> {
    let before = q
        .cursor
        .as_deref()
        .map(|c| c.parse::<i64>().map_err(|_| ApiError::bad_request("request.cursor", "`cursor` is the `next_cursor` of an earlier page")))
        .transpose()?;
    let limit = q.limit.unwrap_or(crate::list::DEFAULT_LIMIT).clamp(1, crate::list::MAX_LIMIT);
    let changes = app.cmdb.history(&who, &model, &id, before, limit).await?;
    let next_cursor = if changes.len() < limit as usize { None } else { changes.last().map(|c| c.seq.to_string()) };
    Ok(Json(Page { items: changes.into_iter().map(change_json).collect(), next_cursor, total: None }))
}

fn change_json(c: Change) -> ChangeJson {
    ChangeJson { seq: c.seq, version: c.version, at: rfc3339(c.at), actor: c.actor, why: c.why, before: c.before, after: c.after }
}

/// What a record is linked with, both ways.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}/related", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = Page<RelatedJson>)))]
async fn instance_related(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
) -> ApiResult<Json<Page<RelatedJson>>> {
    let items: Vec<_> = app.cmdb.related(&who, &model, &id).await?.into_iter().map(related_json).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

fn related_json(r: Related) -> RelatedJson {
    let direction = if r.direction == Direction::Forward { "forward" } else { "backward" };
    RelatedJson {
        association: r.association,
        kind: r.kind,
        direction: direction.to_owned(),
        model: r.model,
        id: r.id,
        label: r.label,
        attributes: r.attributes,
    }
}

/// Check a filter as it is being typed: how many records it matches, or what is wrong and where.
#[utoipa::path(post, path = "/cmdb/filter/check", tag = "cmdb", request_body = FilterCheck, responses((status = 200, body = FilterAnswer), (status = 404, body = Problem)))]
async fn check_filter(State(app): State<App>, Caller(who): Caller, JsonBody(b): JsonBody<FilterCheck>) -> ApiResult<Json<FilterAnswer>> {
    match app.cmdb.preview(&who, &b.model, &b.filter).await {
        Ok(p) => Ok(Json(FilterAnswer { ok: true, count: Some(p.count), unindexed: p.unindexed, error: None })),
        Err(CmdbError::Document(DocumentError::Filter(e))) => {
            Ok(Json(FilterAnswer { ok: false, count: None, unindexed: Vec::new(), error: Some(filter_problem(e)) }))
        }
        Err(e) => Err(e.into()),
    }
}

fn filter_problem(e: FilterError) -> FilterProblem {
    FilterProblem { code: e.code.to_owned(), message: e.message, position: e.position, hint: e.hint }
}
