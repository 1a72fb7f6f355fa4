//! Questions about many records: a query with expansion, facets, aggregates, plans; groups and kept filters.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_cmdb::{Expanded, KeptFilter, NamedGroup, StoredGroup, query as ask};
use plenum_store::{Aggregate, DocumentError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cmdb::{InstanceJson, instance_json, query};
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{ListQuery, Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(query_instances))
        .routes(routes!(facets))
        .routes(routes!(aggregate))
        .routes(routes!(explain))
        .routes(routes!(list_groups))
        .routes(routes!(get_group, put_group, delete_group))
        .routes(routes!(group_members))
        .routes(routes!(list_filters, keep_filter))
        .routes(routes!(forget_filter))
}

/// Which records, and what of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct QueryBody {
    /// A CEL expression over the record, the records that associations lead to, and groups.
    filter: Option<String>,
    /// Free text.
    search: Option<String>,
    /// A field; a leading `-` sorts downwards.
    sort: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 50 when absent, 500 at the most.
    limit: Option<u32>,
    /// Attributes that are shown, `hostname`, and `runs_on.hostname` of what is expanded; all when empty.
    fields: Vec<String>,
    /// Associations whose records are shown: `runs_on`, `depends_on.runs_on`; three deep at the most.
    expand: Vec<String>,
}

/// A record with those behind its associations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExpandedJson {
    #[serde(flatten)]
    instance: InstanceJson,
    /// By the name of the association: records like this one.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Value::is_null")]
    links: Value,
    /// Associations behind which there are more records than are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more: Vec<String>,
}

fn expanded_json(e: Expanded) -> ExpandedJson {
    let links = if e.links.is_empty() {
        Value::Null
    } else {
        let below = |l: Vec<Expanded>| l.into_iter().map(|e| serde_json::json!(expanded_json(e))).collect::<Vec<_>>();
        Value::Object(e.links.into_iter().map(|(name, l)| (name, Value::Array(below(l)))).collect())
    };
    ExpandedJson { instance: instance_json(e.instance), links, more: e.more }
}

/// Ask for records: as the list, with the choice of fields and with what associations lead to.
#[utoipa::path(post, path = "/cmdb/models/{model}/query", tag = "cmdb", request_body = QueryBody, params(("model" = String, Path)),
    responses((status = 200, body = Page<ExpandedJson>), (status = 400, body = Problem)))]
async fn query_instances(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    JsonBody(b): JsonBody<QueryBody>,
) -> ApiResult<Json<Page<ExpandedJson>>> {
    let shape = app.cmdb.shape(&b.fields, &b.expand).await?;
    let q = ListQuery { filter: b.filter, search: b.search, sort: b.sort, cursor: b.cursor, limit: b.limit };
    let page = app.cmdb.list(&who, &model, &query(&q)).await?;
    let items = app.cmdb.expand(&who, &model, page.items, &shape).await?;
    Ok(Json(Page { items: items.into_iter().map(expanded_json).collect(), next_cursor: page.next_cursor, total: page.total }))
}

/// Which attributes are counted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FacetQuery {
    /// Attributes, by commas.
    fields: String,
    /// Values of each: 10 when absent, 100 at the most.
    top: Option<u32>,
}

/// How many records there are, and with which values.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetsJson {
    /// Records that match.
    total: i64,
    /// Each `{field, values: [{value, count}], others}`.
    #[schema(value_type = Vec<Object>)]
    facets: Vec<plenum_cmdb::Facet>,
}

/// The most frequent values of some attributes among the records that match.
#[utoipa::path(get, path = "/cmdb/models/{model}/facets", tag = "cmdb", params(("model" = String, Path), ListQuery, FacetQuery),
    responses((status = 200, body = FacetsJson), (status = 400, body = Problem)))]
async fn facets(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    Query(q): Query<ListQuery>,
    Query(f): Query<FacetQuery>,
) -> ApiResult<Json<FacetsJson>> {
    let fields: Vec<String> = f.fields.split(',').map(str::trim).filter(|f| !f.is_empty()).map(str::to_owned).collect();
    let found = app.cmdb.facets(&who, &model, &query(&q), &fields, f.top.unwrap_or(10)).await?;
    Ok(Json(FacetsJson { total: found.total, facets: found.facets }))
}

/// What records are grouped by.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupBy {
    field: String,
    /// For a time: `minute`, `hour`, `day`, `month` or `year`, in UTC.
    bucket: Option<String>,
}

/// What is computed of each group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureOf {
    /// `count`, `sum`, `avg`, `min` or `max`.
    measure: String,
    /// Of which attribute; a count needs none.
    field: Option<String>,
}

/// An aggregation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateBody {
    filter: Option<String>,
    search: Option<String>,
    /// Up to 8; without any, all records are one group.
    #[serde(default)]
    group_by: Vec<GroupBy>,
    /// 1 to 16; the number of records when absent.
    #[serde(default)]
    measures: Vec<MeasureOf>,
    /// Groups: 100 when absent, 1,000 at the most.
    limit: Option<u32>,
    /// The groups with the greatest first measure first, instead of by their keys.
    #[serde(default)]
    most_first: bool,
}

/// A group of records.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupJson {
    /// In the order of `group_by`.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Value>,
    /// In the order of `measures`.
    #[schema(value_type = Vec<Object>)]
    values: Vec<Value>,
}

/// Count, sum, mean, least and greatest values by groups.
#[utoipa::path(post, path = "/cmdb/models/{model}/aggregate", tag = "cmdb", request_body = AggregateBody, params(("model" = String, Path)),
    responses((status = 200, body = Page<GroupJson>), (status = 400, body = Problem)))]
async fn aggregate(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    JsonBody(b): JsonBody<AggregateBody>,
) -> ApiResult<Json<Page<GroupJson>>> {
    let unknown = |at: &str, name: &str, known: &str| {
        ApiError::bad_request("cmdb.query", format!("{name:?} is not known; use one of {known}")).at(at.to_owned())
    };
    let mut groups = Vec::new();
    for (i, g) in b.group_by.into_iter().enumerate() {
        let bucket = match g.bucket.as_deref() {
            None => None,
            Some(n) => Some(ask::bucket(n).ok_or_else(|| unknown(&format!("/group_by/{i}/bucket"), n, "minute, hour, day, month, year"))?),
        };
        groups.push((g.field, bucket));
    }
    let mut measures = Vec::new();
    for (i, m) in b.measures.into_iter().enumerate() {
        let measure =
            ask::measure(&m.measure).ok_or_else(|| unknown(&format!("/measures/{i}/measure"), &m.measure, "count, sum, avg, min, max"))?;
        measures.push((measure, m.field));
    }
    if measures.is_empty() {
        measures.push((plenum_store::Measure::Count, None));
    }
    let limit = b.limit.unwrap_or(100);
    let wanted =
        Aggregate { filter: b.filter, search: b.search, groups, measures, limit, most_first: b.most_first, ..Aggregate::default() };
    let found = app.cmdb.aggregate(&who, &model, &wanted).await?;
    let items = found.into_iter().map(|g| GroupJson { keys: g.keys, values: g.values }).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// How a query is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainJson {
    /// What is read: `{model, index}`; no index: all of it. No model: the associations.
    #[schema(value_type = Vec<Object>)]
    steps: Value,
    /// Whether every record of the model is read.
    scans: bool,
    /// About how many records the model has.
    records: i64,
    /// Whether that is many enough to be felt.
    slow: bool,
    /// What the database says, line by line.
    plan: Vec<String>,
}

/// How the database finds what a filter asks for: by which index, or by reading all.
#[utoipa::path(get, path = "/cmdb/models/{model}/explain", tag = "cmdb", params(("model" = String, Path), ListQuery),
    responses((status = 200, body = ExplainJson), (status = 400, body = Problem)))]
async fn explain(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    Query(q): Query<ListQuery>,
) -> ApiResult<Json<ExplainJson>> {
    let e = app.cmdb.explain(&who, &model, &query(&q)).await?;
    Ok(Json(ExplainJson { steps: serde_json::json!(e.steps), scans: e.scans, records: e.records, slow: e.slow, plan: e.plan }))
}

/// A group of records.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedGroupJson {
    name: String,
    #[schema(value_type = Object)]
    title: Value,
    model: String,
    filter: String,
    version: i64,
    updated_at: String,
    updated_by: String,
}

fn group_json(g: StoredGroup) -> NamedGroupJson {
    NamedGroupJson {
        name: g.group.name,
        title: serde_json::json!(g.group.title),
        model: g.group.model,
        filter: g.group.filter,
        version: g.version,
        updated_at: rfc3339(g.updated_at),
        updated_by: g.updated_by,
    }
}

/// Of which model.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfModel {
    /// A model.
    model: Option<String>,
}

/// What a group becomes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupBody {
    /// Shown to people: a text, or one by language.
    #[schema(value_type = Object)]
    #[serde(default)]
    title: plenum_cmdb::Text,
    model: String,
    filter: String,
    /// The version that the change was made from; 0: only if there is no such group.
    version: Option<i64>,
}

/// Groups of records, by name.
#[utoipa::path(get, path = "/cmdb/groups", tag = "cmdb", params(OfModel), responses((status = 200, body = Page<NamedGroupJson>)))]
async fn list_groups(State(app): State<App>, Caller(who): Caller, Query(q): Query<OfModel>) -> ApiResult<Json<Page<NamedGroupJson>>> {
    let items: Vec<_> = app.cmdb.groups(&who, q.model.as_deref()).await?.into_iter().map(group_json).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// One group.
#[utoipa::path(get, path = "/cmdb/groups/{name}", tag = "cmdb", params(("name" = String, Path)), responses((status = 200, body = NamedGroupJson), (status = 404, body = Problem)))]
async fn get_group(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<Json<NamedGroupJson>> {
    Ok(Json(group_json(app.cmdb.group(&who, &name).await?)))
}

/// Make a group, or change it.
#[utoipa::path(put, path = "/cmdb/groups/{name}", tag = "cmdb", request_body = GroupBody, params(("name" = String, Path)),
    responses((status = 200, body = NamedGroupJson), (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn put_group(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    JsonBody(b): JsonBody<GroupBody>,
) -> ApiResult<Json<NamedGroupJson>> {
    let group = NamedGroup { name, title: b.title, model: b.model, filter: b.filter };
    Ok(Json(group_json(app.cmdb.put_group(&who, group, b.version).await?)))
}

/// Delete a group that no other names. Records stay.
#[utoipa::path(delete, path = "/cmdb/groups/{name}", tag = "cmdb", params(("name" = String, Path)), responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete_group(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.delete_group(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The records of a group.
#[utoipa::path(get, path = "/cmdb/groups/{name}/instances", tag = "cmdb", params(("name" = String, Path), ListQuery),
    responses((status = 200, body = Page<InstanceJson>), (status = 404, body = Problem)))]
async fn group_members(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(q): Query<ListQuery>,
) -> ApiResult<Json<Page<InstanceJson>>> {
    let page = app.cmdb.members(&who, &name, &query(&q)).await?;
    Ok(Json(Page { items: page.items.into_iter().map(instance_json).collect(), next_cursor: page.next_cursor, total: page.total }))
}

/// A filter that a person keeps.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilterJson {
    id: String,
    model: String,
    name: String,
    filter: String,
    shared: bool,
    owner: String,
    /// Whether it is the caller's own.
    mine: bool,
    updated_at: String,
}

fn filter_json(f: KeptFilter) -> FilterJson {
    FilterJson {
        id: f.id,
        model: f.model,
        name: f.name,
        filter: f.filter,
        shared: f.shared,
        owner: f.owner,
        mine: f.mine,
        updated_at: rfc3339(f.updated_at),
    }
}

/// A filter to be kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterBody {
    name: String,
    filter: String,
    /// Whether all see it: needs `cmdb.write`.
    #[serde(default)]
    shared: bool,
}

/// The filters over a model that the caller keeps, and those that others share.
#[utoipa::path(get, path = "/cmdb/models/{model}/filters", tag = "cmdb", params(("model" = String, Path)), responses((status = 200, body = Page<FilterJson>)))]
async fn list_filters(State(app): State<App>, Caller(who): Caller, Path(model): Path<String>) -> ApiResult<Json<Page<FilterJson>>> {
    let items: Vec<_> = app.cmdb.kept_filters(&who, &model).await?.into_iter().map(filter_json).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Keep a filter; one's own of the same name is replaced.
#[utoipa::path(post, path = "/cmdb/models/{model}/filters", tag = "cmdb", request_body = FilterBody, params(("model" = String, Path)),
    responses((status = 200, body = FilterJson), (status = 400, body = Problem)))]
async fn keep_filter(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    JsonBody(b): JsonBody<FilterBody>,
) -> ApiResult<Json<FilterJson>> {
    if b.filter.trim().is_empty() {
        return Err(plenum_cmdb::CmdbError::Document(DocumentError::Query("there is no filter to keep: it is empty".into())).into());
    }
    Ok(Json(filter_json(app.cmdb.keep_filter(&who, &model, &b.name, &b.filter, b.shared).await?)))
}

/// Forget a kept filter.
#[utoipa::path(delete, path = "/cmdb/filters/{id}", tag = "cmdb", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn forget_filter(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.forget_filter(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
