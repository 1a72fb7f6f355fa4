//! Data quality of the CMDB: rules, runs, scores with their trend, what was found, and what a click mends.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_cmdb::health::repair::Repair;
use plenum_cmdb::health::rules::HealthRule;
use plenum_cmdb::health::{Finding, FindingQuery, HealthRun, Score};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{DEFAULT_LIMIT, ListQuery, MAX_LIMIT, Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(trend))
        .routes(routes!(start_run))
        .routes(routes!(list_rules))
        .routes(routes!(put_rule, delete_rule))
        .routes(routes!(list_findings))
        .routes(routes!(record_health))
        .routes(routes!(repair))
}

/// A run over all records.
#[derive(Serialize, ToSchema)]
pub struct HealthRunJson {
    id: String,
    /// `waiting`, `running`, `done`, `failed`.
    state: String,
    started_by: String,
    created_at: String,
    finished_at: Option<String>,
    /// Records looked at so far.
    records: i64,
    error: Option<String>,
}

fn run_json(r: HealthRun) -> HealthRunJson {
    HealthRunJson {
        id: r.id,
        state: r.state,
        started_by: r.started_by,
        created_at: rfc3339(r.created_at),
        finished_at: r.finished_at.map(rfc3339),
        records: r.records,
        error: r.error,
    }
}

/// A score of a day.
#[derive(Serialize, ToSchema)]
pub struct ScoreJson {
    /// `all`, `model`, `team`, `business`.
    scope: String,
    /// The model, or the id of the team or business application; empty for all.
    name: String,
    /// What people call it.
    label: String,
    /// `2026-01-31`.
    day: String,
    /// 0 to 100.
    score: f64,
    /// Of how many records.
    records: i64,
}

fn score_json(s: Score) -> ScoreJson {
    ScoreJson { scope: s.scope, name: s.name, label: s.label, day: s.day, score: (s.score * 10.0).round() / 10.0, records: s.records }
}

/// How the data does.
#[derive(Serialize, ToSchema)]
pub struct HealthJson {
    /// The newest run; null before the first.
    run: Option<HealthRunJson>,
    /// The newest scores, the worst first in each scope.
    scores: Vec<ScoreJson>,
}

/// How the data does: the newest run and its scores.
#[utoipa::path(get, path = "/cmdb/health", tag = "cmdb", responses((status = 200, body = HealthJson)))]
async fn overview(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<HealthJson>> {
    let run = app.cmdb.health_run(&who).await?.map(run_json);
    let scores = app.cmdb.health_scores(&who).await?.into_iter().map(score_json).collect();
    Ok(Json(HealthJson { run, scores }))
}

/// Of what.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TrendQuery {
    /// `all` (when absent), `model`, `team`, `business`.
    scope: Option<String>,
    /// The model, or the id of the team or business application.
    name: Option<String>,
    /// Days: 90 when absent, 400 at the most.
    days: Option<u32>,
}

/// Scores day by day, the oldest first.
#[utoipa::path(get, path = "/cmdb/health/trend", tag = "cmdb", params(TrendQuery), responses((status = 200, body = Page<ScoreJson>)))]
async fn trend(State(app): State<App>, Caller(who): Caller, Query(q): Query<TrendQuery>) -> ApiResult<Json<Page<ScoreJson>>> {
    let scope = q.scope.as_deref().unwrap_or("all");
    let found = app.cmdb.health_trend(&who, scope, q.name.as_deref().unwrap_or_default(), q.days.unwrap_or(90)).await?;
    Ok(Json(Page { items: found.into_iter().map(score_json).collect(), next_cursor: None, total: None }))
}

/// Ask all rules of all records now. While a run is under way, that one is answered.
#[utoipa::path(post, path = "/cmdb/health/runs", tag = "cmdb", responses((status = 202, body = HealthRunJson)))]
async fn start_run(State(app): State<App>, Caller(who): Caller) -> ApiResult<(StatusCode, Json<HealthRunJson>)> {
    Ok((StatusCode::ACCEPTED, Json(run_json(app.cmdb.want_health_run(&who).await?))))
}

/// A rule with how it did.
#[derive(Serialize, ToSchema)]
pub struct HealthRuleJson {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    rule: HealthRule,
    /// Whether it came with Plenum.
    builtin: bool,
    /// Records that break it, by the last run.
    findings: i64,
}

/// All rules.
#[utoipa::path(get, path = "/cmdb/health/rules", tag = "cmdb", responses((status = 200, body = Page<HealthRuleJson>)))]
async fn list_rules(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<HealthRuleJson>>> {
    let rules = app.cmdb.health_rules(&who).await?;
    let items: Vec<_> = rules.into_iter().map(|r| HealthRuleJson { rule: r.rule, builtin: r.builtin, findings: r.findings }).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Make or change a rule. It counts from the next run on.
#[utoipa::path(put, path = "/cmdb/health/rules/{rule}", tag = "cmdb", request_body = Object, params(("rule" = String, Path)),
    responses((status = 204), (status = 422, body = Problem)))]
async fn put_rule(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(rule): JsonBody<HealthRule>,
) -> ApiResult<StatusCode> {
    if rule.id != id {
        let detail = format!("the path names the rule {id} and the body {}; a rule keeps its name", rule.id);
        return Err(crate::ApiError::bad_request("cmdb.health_rule", detail).at("/id"));
    }
    app.cmdb.put_health_rule(&who, rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a rule that did not come with Plenum.
#[utoipa::path(delete, path = "/cmdb/health/rules/{rule}", tag = "cmdb", params(("rule" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete_rule(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.delete_health_rule(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which findings.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FindingsQuery {
    /// Of one rule.
    rule: Option<String>,
    /// Of one model.
    model: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

/// A record that breaks a rule.
#[derive(Serialize, ToSchema)]
pub struct FindingJson {
    rule: String,
    model: String,
    record: String,
    label: String,
    /// Who should mend it: the record's owner, the id of its team, or the rule's owner.
    owner: Option<String>,
    /// What is wrong: `lacks`, `attributes`, `value`, `expected`, `association`, `sources`, `days`, and `repairable`.
    #[schema(value_type = Object)]
    detail: Value,
    /// Since which run.
    since: String,
}

fn finding_json(f: Finding) -> FindingJson {
    FindingJson {
        rule: f.rule,
        model: f.model,
        record: f.record,
        label: f.label,
        owner: f.owner,
        detail: f.detail,
        since: rfc3339(f.since),
    }
}

/// What is wrong, by the last run.
#[utoipa::path(get, path = "/cmdb/health/findings", tag = "cmdb", params(FindingsQuery), responses((status = 200, body = Page<FindingJson>)))]
async fn list_findings(State(app): State<App>, Caller(who): Caller, Query(q): Query<FindingsQuery>) -> ApiResult<Json<Page<FindingJson>>> {
    let query = FindingQuery {
        rule: ListQuery::non_empty(&q.rule),
        model: ListQuery::non_empty(&q.model),
        cursor: ListQuery::non_empty(&q.cursor),
        limit: q.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT),
    };
    let (found, next_cursor) = app.cmdb.health_findings(&who, &query).await?;
    Ok(Json(Page { items: found.into_iter().map(finding_json).collect(), next_cursor, total: None }))
}

/// How a record does.
#[derive(Serialize, ToSchema)]
pub struct RecordHealthJson {
    /// 0 to 100; null before the first run that saw it.
    score: Option<i64>,
    findings: Vec<FindingJson>,
}

/// How a record does, by the last run.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}/health", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = RecordHealthJson)))]
async fn record_health(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
) -> ApiResult<Json<RecordHealthJson>> {
    let h = app.cmdb.record_health(&who, &model, &id).await?;
    Ok(Json(RecordHealthJson { score: h.score, findings: h.findings.into_iter().map(finding_json).collect() }))
}

/// What is mended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairBody {
    rule: String,
    record: String,
    /// Only say what would be.
    #[serde(default)]
    dry_run: bool,
}

/// What a repair does, or did.
#[derive(Serialize, ToSchema)]
pub struct RepairJson {
    /// The attributes that change, as they were.
    #[schema(value_type = Object)]
    before: Map<String, Value>,
    /// As they are then.
    #[schema(value_type = Object)]
    after: Map<String, Value>,
    /// The record that becomes one with it, and is deleted.
    merged: Option<String>,
}

/// Mend what a rule found, where only one thing can be meant.
#[utoipa::path(post, path = "/cmdb/health/repair", tag = "cmdb", request_body = RepairBody,
    responses((status = 200, body = RepairJson), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn repair(State(app): State<App>, Caller(who): Caller, JsonBody(b): JsonBody<RepairBody>) -> ApiResult<Json<RepairJson>> {
    let Repair { before, after, merged } = app.cmdb.repair(&who, &b.rule, &b.record, b.dry_run).await?;
    Ok(Json(RepairJson { before, after, merged }))
}
