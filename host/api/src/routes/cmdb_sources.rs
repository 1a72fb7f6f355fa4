//! Sources of the CMDB: who says what of a record, whose word counts, records of other systems, and what a person decides on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_cmdb::sources::claims::{AttributeSources, RecordSource, RecordSources};
use plenum_cmdb::sources::precedence::Rule;
use plenum_cmdb::sources::review::{Decision, Review, ReviewQuery};
use plenum_cmdb::sources::submit::{Outcome, SourceRecord, Submission};
use plenum_cmdb::sources::{Source, SourceSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cmdb::{InstanceJson, instance_json};
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{DEFAULT_LIMIT, ListQuery, MAX_LIMIT, Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_sources))
        .routes(routes!(put_source, delete_source))
        .routes(routes!(submit_records))
        .routes(routes!(list_precedence, put_precedence))
        .routes(routes!(record_sources))
        .routes(routes!(withdraw))
        .routes(routes!(merge))
        .routes(routes!(list_reviews))
        .routes(routes!(decide))
}

/// A source with what is known of it.
#[derive(Serialize, ToSchema)]
pub struct SourceJson {
    name: String,
    /// Its settings: `title`, `stale_after_s`, `vanish_after_s`, `archive_after_s`, `on_new`.
    #[schema(value_type = Object)]
    settings: SourceSpec,
    /// Whether an administrator named it.
    named: bool,
    /// Records of which it says something.
    records: i64,
    /// Of those, how many it has not mentioned for longer than it should.
    stale: i64,
    /// Of those, how many are no longer there.
    vanished: i64,
    last_seen: Option<String>,
}

/// All sources: those that are always there, those that were named, those that said something.
#[utoipa::path(get, path = "/cmdb/sources", tag = "cmdb", responses((status = 200, body = Page<SourceJson>)))]
async fn list_sources(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<SourceJson>>> {
    let json = |s: Source| SourceJson {
        name: s.name,
        settings: s.spec,
        named: s.named,
        records: s.records,
        stale: s.stale,
        vanished: s.vanished,
        last_seen: s.last_seen.map(rfc3339),
    };
    let items: Vec<_> = app.cmdb.sources(&who).await?.into_iter().map(json).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Name a source, or say how one is treated.
#[utoipa::path(put, path = "/cmdb/sources/{source}", tag = "cmdb", request_body = Object, params(("source" = String, Path)),
    responses((status = 204), (status = 422, body = Problem)))]
async fn put_source(
    State(app): State<App>,
    Caller(who): Caller,
    Path(source): Path<String>,
    JsonBody(spec): JsonBody<SourceSpec>,
) -> ApiResult<StatusCode> {
    app.cmdb.put_source(&who, &source, spec).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a source that was named, once it says nothing any more; of the others, their settings.
#[utoipa::path(delete, path = "/cmdb/sources/{source}", tag = "cmdb", params(("source" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete_source(State(app): State<App>, Caller(who): Caller, Path(source): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.delete_source(&who, &source).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a source sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmissionBody {
    /// Records that are there; with those that are gone at most 1,000.
    #[serde(default)]
    records: Vec<SourceRecordBody>,
    /// Records that are no longer there.
    #[serde(default)]
    gone: Vec<GoneBody>,
    /// Only say what would be.
    #[serde(default)]
    dry_run: bool,
}

/// A record as a source has it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRecordBody {
    model: String,
    /// What the source calls it.
    external_id: Option<String>,
    /// What the source says; null takes back what it said before.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// Whether what it said before and does not repeat is taken back.
    #[serde(default)]
    complete: bool,
}

/// A record that is no longer there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoneBody {
    model: String,
    external_id: String,
}

/// What became of a record.
#[derive(Serialize, ToSchema)]
pub struct SubmittedJson {
    /// `created`, `updated`, `unchanged`, `held`, `ignored`, `gone`, `failed`.
    #[schema(value_type = String)]
    outcome: Outcome,
    id: Option<String>,
    /// What a person decides on, of one that is held or ignored.
    review: Option<String>,
    code: Option<String>,
    /// What is wrong and what would be right.
    detail: Option<String>,
}

/// Send what a source has: each record is recognised, made, or held for a person. Answers stand in the order sent.
#[utoipa::path(post, path = "/cmdb/sources/{source}/records", tag = "cmdb", request_body = SubmissionBody, params(("source" = String, Path)),
    responses((status = 200, body = Page<SubmittedJson>), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn submit_records(
    State(app): State<App>,
    Caller(who): Caller,
    Path(source): Path<String>,
    JsonBody(b): JsonBody<SubmissionBody>,
) -> ApiResult<Json<Page<SubmittedJson>>> {
    let record =
        |r: SourceRecordBody| SourceRecord { model: r.model, external_id: r.external_id, attributes: r.attributes, complete: r.complete };
    let submission = Submission {
        records: b.records.into_iter().map(record).collect(),
        gone: b.gone.into_iter().map(|g| (g.model, g.external_id)).collect(),
        dry_run: b.dry_run,
    };
    let done = app.cmdb.submit(&who, &source, submission).await?;
    let items = done
        .into_iter()
        .map(|s| SubmittedJson {
            outcome: s.outcome,
            id: s.id,
            review: s.review,
            code: s.error.as_ref().map(|e| e.code().to_owned()),
            detail: s.error.map(|e| e.to_string()),
        })
        .collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// Whose word counts for an attribute.
#[derive(Serialize, ToSchema)]
pub struct PrecedenceJson {
    /// A model, or `*`.
    model: String,
    /// An attribute, or `*`.
    attribute: String,
    /// The strongest first: a source, `plugin:*`, `*`, or several with `|` between.
    ranks: Vec<String>,
}

/// Whose word counts: what was set. Without a rule people decide, except on what discovery writes.
#[utoipa::path(get, path = "/cmdb/precedence", tag = "cmdb", responses((status = 200, body = Page<PrecedenceJson>)))]
async fn list_precedence(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<PrecedenceJson>>> {
    let json = |r: Rule| PrecedenceJson { model: r.model, attribute: r.attribute, ranks: r.ranks };
    let items = app.cmdb.precedence(&who).await?.into_iter().map(json).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// Say whose word counts for a model and attribute (`*` is any). No ranks remove the rule. Records follow.
#[utoipa::path(put, path = "/cmdb/precedence", tag = "cmdb", request_body = Object, responses((status = 204), (status = 422, body = Problem)))]
async fn put_precedence(State(app): State<App>, Caller(who): Caller, JsonBody(rule): JsonBody<Rule>) -> ApiResult<StatusCode> {
    app.cmdb.put_precedence(&who, rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a record's values come from.
#[derive(Serialize, ToSchema)]
pub struct RecordSourcesJson {
    sources: Vec<RecordSourceJson>,
    attributes: Vec<AttributeSourcesJson>,
}

/// A source that knows the record.
#[derive(Serialize, ToSchema)]
pub struct RecordSourceJson {
    source: String,
    /// What it calls the record.
    external_id: Option<String>,
    first_seen: String,
    last_seen: String,
    stale: bool,
    vanished_at: Option<String>,
}

/// What is said of an attribute.
#[derive(Serialize, ToSchema)]
pub struct AttributeSourcesJson {
    attribute: String,
    /// Whether the sources contradict each other.
    conflict: bool,
    /// The one that counts first.
    values: Vec<SourceValueJson>,
}

/// What one source says.
#[derive(Serialize, ToSchema)]
pub struct SourceValueJson {
    source: String,
    /// Null: that there is none.
    #[schema(value_type = Object)]
    value: Value,
    /// Since when.
    at: String,
    /// Whether the record has it.
    counts: bool,
    stale: bool,
}

/// Where a record's values come from: every source's word, and whose counts.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}/sources", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = RecordSourcesJson), (status = 404, body = Problem)))]
async fn record_sources(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
) -> ApiResult<Json<RecordSourcesJson>> {
    let RecordSources { sources, attributes } = app.cmdb.record_sources(&who, &model, &id).await?;
    let source = |s: RecordSource| RecordSourceJson {
        source: s.source,
        external_id: s.external_id,
        first_seen: rfc3339(s.first_seen),
        last_seen: rfc3339(s.last_seen),
        stale: s.stale,
        vanished_at: s.vanished_at.map(rfc3339),
    };
    let attribute = |a: AttributeSources| AttributeSourcesJson {
        attribute: a.attribute,
        conflict: a.conflict,
        values: a
            .values
            .into_iter()
            .map(|v| SourceValueJson { source: v.source, value: v.value, at: rfc3339(v.at), counts: v.counts, stale: v.stale })
            .collect(),
    };
    Ok(Json(RecordSourcesJson {
        sources: sources.into_iter().map(source).collect(),
        attributes: attributes.into_iter().map(attribute).collect(),
    }))
}

/// What is taken back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WithdrawQuery {
    /// One attribute; all when absent.
    attribute: Option<String>,
    /// Why, for the history.
    why: Option<String>,
}

/// Take back what a source says of a record: the next source's values take their place.
#[utoipa::path(delete, path = "/cmdb/models/{model}/instances/{id}/sources/{source}", tag = "cmdb",
    params(("model" = String, Path), ("id" = String, Path), ("source" = String, Path), WithdrawQuery),
    responses((status = 200, body = InstanceJson), (status = 404, body = Problem)))]
async fn withdraw(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id, source)): Path<(String, String, String)>,
    Query(q): Query<WithdrawQuery>,
) -> ApiResult<Json<InstanceJson>> {
    let attribute = ListQuery::non_empty(&q.attribute);
    let after = app.cmdb.withdraw(&who, &model, &id, &source, attribute.as_deref(), q.why.as_deref()).await?;
    Ok(Json(instance_json(after)))
}

/// Duplicates of a record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeBody {
    /// The other records, 20 at most: they are deleted.
    others: Vec<String>,
    /// Only say what would be.
    #[serde(default)]
    dry_run: bool,
    /// Why, for the history.
    why: Option<String>,
}

/// What merging did, or would.
#[derive(Serialize, ToSchema)]
pub struct MergedJson {
    record: InstanceJson,
    /// What it gets from the others.
    #[schema(value_type = Object)]
    gained: Map<String, Value>,
    /// What the others had otherwise.
    #[schema(value_type = Object)]
    lost: Map<String, Value>,
    /// Associations that move.
    moved: usize,
}

/// Make duplicates one: the record gets what it lacks, the others' associations and their names in other systems; the others are deleted.
#[utoipa::path(post, path = "/cmdb/models/{model}/instances/{id}/merge", tag = "cmdb", request_body = MergeBody,
    params(("model" = String, Path), ("id" = String, Path)), responses((status = 200, body = MergedJson), (status = 404, body = Problem)))]
async fn merge(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    JsonBody(b): JsonBody<MergeBody>,
) -> ApiResult<Json<MergedJson>> {
    let m = app.cmdb.merge_records(&who, &model, &id, &b.others, b.dry_run, b.why.as_deref()).await?;
    Ok(Json(MergedJson { record: instance_json(m.record), gained: m.gained, lost: m.lost, moved: m.moved }))
}

/// Which of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReviewsQuery {
    /// `open`, `accepted`, `merged`, `rejected`; all when absent.
    state: Option<String>,
    /// One source.
    source: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

/// A record of a source that waits for a person, or was decided on.
#[derive(Serialize, ToSchema)]
pub struct ReviewJson {
    id: String,
    source: String,
    model: String,
    external_id: Option<String>,
    /// What the source says.
    #[schema(value_type = Object)]
    attributes: Value,
    /// `new`: no rule recognises it. `ambiguous`: several records answer to it. `taken`: the one that answers is another record of the source.
    reason: String,
    /// The records that it could be; the first is proposed.
    candidates: Vec<String>,
    /// `open`, `accepted`, `merged`, `rejected`.
    state: String,
    /// The record that it became.
    record: Option<String>,
    note: Option<String>,
    decided_by: Option<String>,
    created_at: String,
    updated_at: String,
}

fn review_json(r: Review) -> ReviewJson {
    ReviewJson {
        id: r.id,
        source: r.source,
        model: r.model,
        external_id: r.external_id,
        attributes: r.attributes,
        reason: r.reason,
        candidates: r.candidates,
        state: r.state,
        record: r.record,
        note: r.note,
        decided_by: r.decided_by,
        created_at: rfc3339(r.created_at),
        updated_at: rfc3339(r.updated_at),
    }
}

/// Records of sources that wait for a person, the newest first. `total` is how many are open in all.
#[utoipa::path(get, path = "/cmdb/reviews", tag = "cmdb", params(ReviewsQuery), responses((status = 200, body = Page<ReviewJson>)))]
async fn list_reviews(State(app): State<App>, Caller(who): Caller, Query(q): Query<ReviewsQuery>) -> ApiResult<Json<Page<ReviewJson>>> {
    let limit = q.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let query = ReviewQuery {
        state: ListQuery::non_empty(&q.state),
        source: ListQuery::non_empty(&q.source),
        cursor: ListQuery::non_empty(&q.cursor),
        limit,
    };
    let page = app.cmdb.reviews(&who, &query).await?;
    let items = page.items.into_iter().map(review_json).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor, total: Some(page.open) }))
}

/// What a person decides.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// `accept` (a record of its own), `merge` (it is `record`), `reject`, `reopen`.
    decision: String,
    /// The record that it is.
    record: Option<String>,
    /// Why.
    note: Option<String>,
}

/// Decide on a record that waits.
#[utoipa::path(post, path = "/cmdb/reviews/{id}/decision", tag = "cmdb", request_body = DecisionBody, params(("id" = String, Path)),
    responses((status = 200, body = ReviewJson), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn decide(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<DecisionBody>,
) -> ApiResult<Json<ReviewJson>> {
    let decision = match (b.decision.as_str(), b.record) {
        ("accept", None) => Decision::Accept,
        ("merge", Some(record)) => Decision::Merge { record },
        ("reject", None) => Decision::Reject,
        ("reopen", None) => Decision::Reopen,
        _ => {
            let detail = "`decision` is accept, reject or reopen, or merge with the `record` that it is";
            return Err(crate::ApiError::bad_request("cmdb.decision", detail).at("/decision"));
        }
    };
    Ok(Json(review_json(app.cmdb.decide_review(&who, &id, decision, b.note.as_deref()).await?)))
}
