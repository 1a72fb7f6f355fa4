//! Versions of workflows, figures over runs, rehearsals.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use plenum_workflow::{Mock, Rehearsal, Spread, Stats, StatsQuery, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::workflows::TaskJson;
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{ListQuery, Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_versions))
        .routes(routes!(get_version))
        .routes(routes!(run_statistics))
        .routes(routes!(rehearse))
}

/// One version of a workflow's text.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowVersionJson {
    version: i64,
    created_at: String,
    /// As it was saved; absent in lists.
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
}

impl From<Version> for WorkflowVersionJson {
    fn from(v: Version) -> Self {
        WorkflowVersionJson { version: v.version, created_at: rfc3339(v.created_at), source: v.source }
    }
}

/// Versions of a workflow, the newest first. They stay when the workflow is deleted, for its runs.
#[utoipa::path(get, path = "/workflows/{name}/versions", tag = "workflows", params(("name" = String, Path), ListQuery),
    responses((status = 200, body = Page<WorkflowVersionJson>), (status = 404, body = Problem)))]
async fn list_versions(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(q): Query<ListQuery>,
) -> ApiResult<Json<Page<WorkflowVersionJson>>> {
    let before = match ListQuery::non_empty(&q.cursor) {
        None => None,
        Some(c) => Some(c.parse().map_err(|_| {
            ApiError::bad_request("workflow.invalid_argument", "not a cursor; send `next_cursor` of the page before").at("/cursor")
        })?),
    };
    let p = app.workflows.versions(&who, &name, before, q.limit()).await?;
    Ok(Json(Page { items: p.items.into_iter().map(Into::into).collect(), next_cursor: p.next_cursor, total: Some(p.total) }))
}

/// One version of a workflow, with its text.
#[utoipa::path(get, path = "/workflows/{name}/versions/{version}", tag = "workflows", params(("name" = String, Path), ("version" = i64, Path)),
    responses((status = 200, body = WorkflowVersionJson), (status = 404, body = Problem)))]
async fn get_version(
    State(app): State<App>,
    Caller(who): Caller,
    Path((name, version)): Path<(String, i64)>,
) -> ApiResult<Json<WorkflowVersionJson>> {
    Ok(Json(app.workflows.version(&who, &name, version).await?.into()))
}

/// Over which runs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct StatisticsQuery {
    /// Of this workflow.
    workflow: Option<String>,
    /// Started at this time (RFC 3339) or later; 7 days before `to` when absent, 92 days before it at the most.
    from: Option<String>,
    /// Started before this time; now when absent.
    to: Option<String>,
}

/// Durations in milliseconds, by nearest rank.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpreadJson {
    p50: i64,
    p90: i64,
    p95: i64,
    p99: i64,
    max: i64,
}

impl From<Spread> for SpreadJson {
    fn from(s: Spread) -> Self {
        SpreadJson { p50: s.p50, p90: s.p90, p95: s.p95, p99: s.p99, max: s.max }
    }
}

/// Runs that started in one part of the span.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsBucket {
    at: String,
    succeeded: i64,
    failed: i64,
    /// Cancelled, or not at their end.
    others: i64,
    /// Median duration of those that succeeded, in milliseconds.
    p50: Option<i64>,
}

/// Runs of one workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowStatistics {
    workflow: String,
    runs: i64,
    failed: i64,
    /// Of those that succeeded.
    durations: Option<SpreadJson>,
}

/// Why runs failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureCause {
    workflow: String,
    /// The error's type.
    r#type: String,
    title: String,
    /// Pointer of the task that failed.
    instance: String,
    runs: i64,
    last_run: String,
    last_at: String,
}

/// Executions of one task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskStatistics {
    workflow: String,
    pointer: String,
    name: String,
    /// What it calls, else its kind.
    what: String,
    count: i64,
    failed: i64,
    durations: SpreadJson,
    /// All durations together, in milliseconds.
    total_ms: i64,
}

/// Figures over the runs of a span of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunStatistics {
    from: String,
    to: String,
    /// Runs that were counted.
    runs: i64,
    /// There are more than 20,000; the newest are counted.
    more: bool,
    by_status: BTreeMap<&'static str, i64>,
    /// Of those that succeeded.
    durations: Option<SpreadJson>,
    buckets: Vec<StatisticsBucket>,
    /// The 20 with the most runs.
    workflows: Vec<WorkflowStatistics>,
    /// The 20 most frequent.
    causes: Vec<FailureCause>,
    /// The 20 tasks that took the most time in all, over the newest 300 runs and at most 20,000 executions.
    tasks: Vec<TaskStatistics>,
    /// Runs whose tasks were looked at.
    task_runs: i64,
}

impl RunStatistics {
    fn new(q: &StatsQuery, s: Stats) -> RunStatistics {
        RunStatistics {
            from: rfc3339(q.from),
            to: rfc3339(q.to),
            runs: s.runs,
            more: s.more,
            by_status: s.by_status.into_iter().map(|(s, n)| (s.name(), n)).collect(),
            durations: s.durations.map(Into::into),
            buckets: s
                .buckets
                .into_iter()
                .map(|b| StatisticsBucket { at: rfc3339(b.at), succeeded: b.succeeded, failed: b.failed, others: b.others, p50: b.p50 })
                .collect(),
            workflows: s
                .workflows
                .into_iter()
                .map(|w| WorkflowStatistics {
                    workflow: w.workflow,
                    runs: w.runs,
                    failed: w.failed,
                    durations: w.durations.map(Into::into),
                })
                .collect(),
            causes: s
                .causes
                .into_iter()
                .map(|c| FailureCause {
                    workflow: c.workflow,
                    r#type: c.kind,
                    title: c.title,
                    instance: c.instance,
                    runs: c.runs,
                    last_run: c.last_run,
                    last_at: rfc3339(c.last_at),
                })
                .collect(),
            tasks: s
                .tasks
                .into_iter()
                .map(|t| TaskStatistics {
                    workflow: t.workflow,
                    pointer: t.pointer,
                    name: t.name,
                    what: t.what,
                    count: t.count,
                    failed: t.failed,
                    durations: t.durations.into(),
                    total_ms: t.total,
                })
                .collect(),
            task_runs: s.task_runs,
        }
    }
}

const DAY_MS: i64 = 86_400_000;

fn time(text: &Option<String>, field: &str) -> ApiResult<Option<i64>> {
    let Some(text) = ListQuery::non_empty(text) else { return Ok(None) };
    chrono::DateTime::parse_from_rfc3339(&text)
        .map(|t| Some(t.timestamp_millis()))
        .map_err(|_| ApiError::bad_request("workflow.invalid_argument", "not a time; write 2026-01-31T00:00:00Z").at(format!("/{field}")))
}

/// How runs ended, how long they took, why they failed, and which tasks took the most time.
#[utoipa::path(get, path = "/runs/statistics", tag = "workflows", params(StatisticsQuery),
    responses((status = 200, body = RunStatistics), (status = 400, body = Problem), (status = 422, body = Problem)))]
async fn run_statistics(State(app): State<App>, Caller(who): Caller, Query(q): Query<StatisticsQuery>) -> ApiResult<Json<RunStatistics>> {
    let to = time(&q.to, "to")?.unwrap_or_else(plenum_store::now_ms);
    let from = time(&q.from, "from")?.unwrap_or(to - 7 * DAY_MS);
    let query = StatsQuery { workflow: ListQuery::non_empty(&q.workflow), from, to };
    let stats = app.workflows.statistics(&who, &query).await?;
    Ok(Json(RunStatistics::new(&query, stats)))
}

/// What a call answers in a rehearsal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MockJson {
    /// Its output; of a `listen`, the event or the list of events that come.
    #[serde(default)]
    output: Option<Value>,
    /// Or the error that it fails with: `type`, `status`, `title`, `detail`.
    #[serde(default)]
    error: Option<Value>,
}

/// What to rehearse.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRehearsal {
    /// A Serverless Workflow DSL 1.0 definition, YAML or JSON.
    source: String,
    #[serde(default)]
    input: Value,
    /// Answers, by the pointer of the task or the name of the action. What has none answers null.
    #[serde(default)]
    answers: BTreeMap<String, MockJson>,
}

/// How a rehearsal went.
#[derive(Debug, Serialize, ToSchema)]
pub struct RehearsalJson {
    /// `succeeded`, `failed`, or `waiting` when it could not go on.
    status: &'static str,
    /// In the order of beginning, 2,000 at the most. Values above 16 KiB are shown shortened.
    tasks: Vec<TaskJson>,
    output: Value,
    error: Value,
    /// Why it went no further.
    stopped: Option<String>,
    /// Pointers of tasks that had no answer.
    unanswered: Vec<String>,
}

impl From<Rehearsal> for RehearsalJson {
    fn from(r: Rehearsal) -> Self {
        RehearsalJson {
            status: r.status.name(),
            tasks: r.tasks.into_iter().map(|t| TaskJson::with(t, Vec::new())).collect(),
            output: r.output,
            error: r.error.unwrap_or_default(),
            stopped: r.stopped,
            unanswered: r.unanswered,
        }
    }
}

/// Run a definition with given answers in place of calls. Nothing is called, nothing is stored, time that has to pass is skipped.
#[utoipa::path(post, path = "/runs/rehearsal", tag = "workflows", request_body = NewRehearsal,
    responses((status = 200, body = RehearsalJson), (status = 422, body = Problem)))]
async fn rehearse(State(app): State<App>, Caller(who): Caller, JsonBody(b): JsonBody<NewRehearsal>) -> ApiResult<Json<RehearsalJson>> {
    let mocks = b.answers.into_iter().map(|(k, m)| (k, Mock { output: m.output, error: m.error })).collect();
    Ok(Json(app.workflows.rehearse(&who, &b.source, b.input, mocks).await?.into()))
}
