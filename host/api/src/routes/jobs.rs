//! Executions: run, watch, read, cancel.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event as SseEvent, KeepAlive};
use futures::{Stream, StreamExt};
use plenum_jobs::{
    Execution, ExecutionQuery, ExecutionStatus, OutputStream, PlannedTarget, ResultQuery, RunRequest, Summary, TargetResult, TargetStatus,
    Targets, WatchCursor, WatchEvent, WatchScope, plan,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::jobs_safety::{ExecutionApprovalJson, FindingJson};
use super::jobs_types::{EarlierTargetsJson, ProgressJson, StrategyJson, UnmatchedJson};
use super::nodes::word;
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query, decode};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, run))
        .routes(routes!(get))
        .routes(routes!(results))
        .routes(routes!(output))
        .routes(routes!(stream))
        .routes(routes!(cancel))
        .routes(routes!(preview))
}

/// A script and its interpreter.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptJson {
    /// `bash`, `sh` or `python3`.
    language: String,
    content: String,
}

/// One run of a script on its targets.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExecutionJson {
    id: String,
    name: String,
    /// `waiting_approval`, `running`, `succeeded`, `partial`, `failed` or `cancelled`.
    status: &'static str,
    script: ScriptJson,
    args: Vec<String>,
    /// Names; values are never shown.
    env: Vec<String>,
    user: Option<String>,
    cwd: Option<String>,
    timeout_s: u32,
    wait_s: u32,
    /// 0: all at once.
    concurrency: u32,
    output_limit: u64,
    strategy: StrategyJson,
    progress: ProgressJson,
    created_by: String,
    plugin: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    duration_ms: Option<i64>,
    origin: Option<String>,
    cancelled_by: Option<String>,
    /// The execution that it repeats.
    retry_of: Option<String>,
    summary: SummaryJson,
    /// What the rules found in its script, worst first.
    findings: Vec<FindingJson>,
    /// Whether it was to be approved by another person, and by whom it was.
    approval: Option<ExecutionApprovalJson>,
}

/// Targets by status.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct SummaryJson {
    total: u64,
    pending: u64,
    waiting: u64,
    running: u64,
    succeeded: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    lost: u64,
    rejected: u64,
}

impl From<Summary> for SummaryJson {
    fn from(s: Summary) -> Self {
        SummaryJson {
            total: s.total,
            pending: s.pending,
            waiting: s.waiting,
            running: s.running,
            succeeded: s.succeeded,
            failed: s.failed,
            timed_out: s.timed_out,
            cancelled: s.cancelled,
            lost: s.lost,
            rejected: s.rejected,
        }
    }
}

impl From<Execution> for ExecutionJson {
    fn from(e: Execution) -> Self {
        ExecutionJson {
            id: e.id,
            name: e.name,
            status: e.status.as_str(),
            script: ScriptJson { language: e.script.language.as_str().to_owned(), content: e.script.content },
            args: e.args,
            env: e.env,
            user: e.user,
            cwd: e.cwd,
            timeout_s: e.timeout_s,
            wait_s: e.wait_s,
            concurrency: e.concurrency,
            output_limit: e.output_limit,
            strategy: e.strategy.into(),
            progress: e.progress.into(),
            created_by: e.created_by,
            plugin: e.plugin,
            created_at: rfc3339(e.created_at),
            started_at: e.started_at.map(rfc3339),
            finished_at: e.finished_at.map(rfc3339),
            duration_ms: e.duration_ms,
            origin: e.origin,
            cancelled_by: e.cancelled_by,
            retry_of: e.retry_of,
            summary: e.summary.into(),
            findings: e.findings.into_iter().map(FindingJson::from).collect(),
            approval: e.approval.map(ExecutionApprovalJson::from),
        }
    }
}

/// A CMDB instance.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceRefJson {
    model: String,
    id: String,
}

fn refs(list: Vec<plenum_jobs::InstanceRef>) -> Vec<InstanceRefJson> {
    list.into_iter().map(|i| InstanceRefJson { model: i.model, id: i.id }).collect()
}

/// What came of one target.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetJson {
    node_id: String,
    node_name: String,
    /// The CMDB instances that led to this target.
    instances: Vec<InstanceRefJson>,
    /// `pending`, `waiting`, `running`, `succeeded`, `failed`, `timed_out`, `cancelled`, `lost` or `rejected`.
    status: &'static str,
    waiting_for: Option<String>,
    waiting_since: Option<String>,
    /// When it is given up, if it waits for its agent or its batch's turn comes then.
    waiting_until: Option<String>,
    /// Its batch; counts from 1.
    batch: u32,
    /// Whose fault it was: `offline`, `agent`, `account`, `timeout`, `script`, `output_lost`, `person`, `stopped` or `unknown`.
    fault: Option<&'static str>,
    /// SHA-256 over what it printed, when it has ended: who printed the same has the same.
    output_hash: Option<String>,
    exit_code: Option<i64>,
    signal: Option<i64>,
    /// Stable code of what went wrong.
    code: Option<String>,
    /// What went wrong and what to do.
    message: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    duration_ms: Option<i64>,
    /// First bytes, when `head` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    stdout_bytes: i64,
    stderr_bytes: i64,
    truncated_bytes: i64,
    /// Names of this target's own environment variables.
    env: Vec<String>,
    /// What the script says of itself: the JSON of its last line `PLENUM_RESULT=...`, at most 64 KiB.
    result: Option<serde_json::Value>,
    /// Why that could not be taken.
    result_error: Option<String>,
}

impl From<TargetResult> for TargetJson {
    fn from(t: TargetResult) -> Self {
        TargetJson {
            node_id: t.node_id,
            node_name: t.node_name,
            instances: refs(t.instances),
            status: t.status.as_str(),
            waiting_for: t.waiting_for,
            waiting_since: t.waiting_since.map(rfc3339),
            waiting_until: t.waiting_until.map(rfc3339),
            batch: t.batch,
            fault: t.fault.map(|f| f.as_str()),
            output_hash: t.output_hash,
            exit_code: t.exit_code,
            signal: t.signal,
            code: t.code,
            message: t.message,
            started_at: t.started_at.map(rfc3339),
            finished_at: t.finished_at.map(rfc3339),
            duration_ms: t.duration_ms,
            stdout: t.stdout,
            stderr: t.stderr,
            stdout_bytes: t.stdout_bytes,
            stderr_bytes: t.stderr_bytes,
            truncated_bytes: t.truncated_bytes,
            env: t.env,
            result: t.result,
            result_error: t.result_error,
        }
    }
}

/// Which executions, newest first.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExecutionsQuery {
    /// `waiting_approval`, `running`, `succeeded`, `partial`, `failed` or `cancelled`.
    status: Option<String>,
    /// Text in the name, the maker or the origin.
    search: Option<String>,
    /// What it belongs to, `workflow-run/<id>`.
    origin: Option<String>,
    /// With a target on this node.
    node_id: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

/// Executions, newest first.
#[utoipa::path(get, path = "/jobs/executions", tag = "jobs", params(ExecutionsQuery), responses((status = 200, body = Page<ExecutionJson>)))]
async fn list(State(app): State<App>, Caller(who): Caller, Query(q): Query<ExecutionsQuery>) -> ApiResult<Json<Page<ExecutionJson>>> {
    let query = ExecutionQuery {
        status: word(q.status, "status", ExecutionStatus::parse)?,
        search: q.search,
        origin: q.origin,
        node_id: q.node_id,
        cursor: q.cursor,
        limit: q.limit.unwrap_or(50).clamp(1, 500),
    };
    let page = app.jobs.executions(&who, &query).await?;
    let items = page.items.into_iter().map(ExecutionJson::from).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor, total: i64::try_from(page.total).ok() }))
}

/// Targets by a CMDB filter.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterTargetsJson {
    /// `host`, or a model whose instances run on hosts.
    model: String,
    /// CEL over the model's attributes; empty means all.
    #[serde(default)]
    cel: String,
}

/// A node, with environment of its own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeTargetJson {
    node_id: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// Where to run. The kinds add up.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TargetsJson {
    filter: Option<FilterTargetsJson>,
    instances: Vec<InstanceRefJson>,
    nodes: Vec<NodeTargetJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier: Option<EarlierTargetsJson>,
    /// Names and addresses, as people paste them: of nodes, and of hosts in the CMDB. At most 5000.
    addresses: Vec<String>,
    /// Run although some of the addresses lead to no node.
    skip_unmatched: bool,
}

/// What to run, where and how.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunJson {
    #[serde(default)]
    name: String,
    script: ScriptJson,
    #[serde(default)]
    args: Vec<String>,
    /// Values are shown nowhere, and removed when the execution ends.
    #[serde(default)]
    env: BTreeMap<String, String>,
    user: Option<String>,
    cwd: Option<String>,
    /// Seconds until a target's script is killed; 3600 when absent.
    timeout_s: Option<u32>,
    /// Seconds that a target may wait for its agent, from the start of its batch; 0: it fails at once; `timeout_s` when absent.
    wait_s: Option<u32>,
    targets: TargetsJson,
    /// Most targets at once; all when absent.
    concurrency: Option<u32>,
    /// Batches, pauses, how many failures are borne, and the time limit of the whole.
    #[serde(default)]
    strategy: StrategyJson,
    /// Bytes kept of each target's output; 4 MiB when absent.
    output_limit: Option<u64>,
    /// A second request with the same key answers with the first one's execution.
    key: Option<String>,
    /// The execution that it repeats, perhaps changed: the two are linked.
    retry_of: Option<String>,
}

/// The domain's type from the API's: they have the same words, and the domain's checks come with it.
pub(super) fn convert<T: serde::de::DeserializeOwned>(body: &impl Serialize) -> ApiResult<T> {
    decode(&serde_json::to_vec(body).map_err(ApiError::internal)?)
}

/// Runs a script.
#[utoipa::path(post, path = "/jobs/executions", tag = "jobs", request_body = RunJson, responses((status = 201, body = ExecutionJson), (status = 422, body = Problem)))]
async fn run(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<RunJson>,
) -> ApiResult<(StatusCode, Json<ExecutionJson>)> {
    let request: RunRequest = convert(&body)?;
    Ok((StatusCode::CREATED, Json(app.jobs.run(&who, request).await?.into())))
}

/// One execution.
#[utoipa::path(get, path = "/jobs/executions/{id}", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = ExecutionJson), (status = 404, body = Problem)))]
async fn get(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ExecutionJson>> {
    Ok(Json(app.jobs.execution(&who, &id).await?.into()))
}

/// Which results, in the order of the targets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ResultsQuery {
    /// Only with this status.
    status: Option<String>,
    /// Only of this node.
    node_id: Option<String>,
    /// Only with this exit code.
    exit_code: Option<i64>,
    /// Only with this code of what went wrong.
    code: Option<String>,
    /// Only those that printed this.
    output_hash: Option<String>,
    /// Text in the node's name.
    search: Option<String>,
    /// Bytes of each stream to include; none when absent.
    head: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

/// What came of the targets.
#[utoipa::path(get, path = "/jobs/executions/{id}/results", tag = "jobs", params(("id" = String, Path), ResultsQuery), responses((status = 200, body = Page<TargetJson>)))]
async fn results(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<ResultsQuery>,
) -> ApiResult<Json<Page<TargetJson>>> {
    let query = ResultQuery {
        status: word(q.status, "status", TargetStatus::parse)?,
        node_id: q.node_id,
        exit_code: q.exit_code,
        code: q.code,
        output_hash: q.output_hash,
        search: q.search,
        cursor: q.cursor,
        limit: q.limit.unwrap_or(50).clamp(1, 500),
        head_bytes: q.head.unwrap_or(0).min(64 * 1024),
    };
    let page = app.jobs.results(&who, &id, &query).await?;
    let items = page.items.into_iter().map(TargetJson::from).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor, total: i64::try_from(page.total).ok() }))
}

/// Which piece of output.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OutputQuery {
    /// `stdout` (when absent) or `stderr`.
    stream: Option<String>,
    /// In bytes; 0 when absent.
    offset: Option<u64>,
    /// Bytes: 65536 when absent, 1048576 at the most.
    limit: Option<u32>,
}

/// A piece of output.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutputJson {
    offset: u64,
    /// Bytes that are no UTF-8 are shown as U+FFFD.
    text: String,
    next_offset: u64,
    /// True when the target has ended and this is all.
    end: bool,
    truncated_bytes: i64,
}

/// A piece of a target's output.
#[utoipa::path(get, path = "/jobs/executions/{id}/results/{node_id}/output", tag = "jobs", params(("id" = String, Path), ("node_id" = String, Path), OutputQuery), responses((status = 200, body = OutputJson)))]
async fn output(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, node_id)): Path<(String, String)>,
    Query(q): Query<OutputQuery>,
) -> ApiResult<Json<OutputJson>> {
    let stream = word(q.stream, "stream", OutputStream::parse)?.unwrap_or(OutputStream::Stdout);
    let page = app.jobs.output(&who, &id, &node_id, stream, q.offset.unwrap_or(0), q.limit.unwrap_or(0)).await?;
    // A character that the end of the piece cuts is left for the next one; at the very end there is no next one.
    let cut = if page.end { page.data.len() } else { plan::whole_chars(&page.data) };
    let cut = if cut == 0 { page.data.len() } else { cut };
    let text = plan::lossy(page.data.get(..cut).unwrap_or_default());
    Ok(Json(OutputJson {
        offset: page.offset,
        text,
        next_offset: page.offset + cut as u64,
        end: page.end,
        truncated_bytes: page.truncated_bytes,
    }))
}

/// How to cancel.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CancelQuery {
    /// Without waiting for agents: what they have counts as lost, and those that are away are told to end it when they are back.
    #[serde(default)]
    force: bool,
}

/// Cancels what has not ended.
#[utoipa::path(post, path = "/jobs/executions/{id}/cancel", tag = "jobs", params(("id" = String, Path), CancelQuery), responses((status = 200, body = ExecutionJson), (status = 409, body = Problem)))]
async fn cancel(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<CancelQuery>,
) -> ApiResult<Json<ExecutionJson>> {
    let ended = if q.force { app.jobs.force_cancel(&who, &id).await } else { app.jobs.cancel(&who, &id).await };
    Ok(Json(ended?.into()))
}

/// `<output>-<rev>`: where a watcher stands.
fn cursor(headers: &HeaderMap) -> WatchCursor {
    let id = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.split_once('-'));
    id.and_then(|(o, r)| Some(WatchCursor { output: o.parse().ok()?, rev: r.parse().ok()? })).unwrap_or_default()
}

/// What a watcher wants to hear of, besides the execution itself.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Ids of at most 500 nodes, separated by commas: `target` messages of these only. All when absent, none when empty.
    nodes: Option<String>,
    /// The same for `output` messages.
    output: Option<String>,
}

/// An execution as it happens: `output`, `target` and `execution` messages, and `end` when there is no more. Resumes from `Last-Event-ID`.
#[utoipa::path(get, path = "/jobs/executions/{id}/stream", tag = "jobs", params(("id" = String, Path), StreamQuery), responses((status = 200, content_type = "text/event-stream", body = String)))]
async fn stream(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<StreamQuery>,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let list = |text: Option<String>| text.map(|t| t.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect());
    let scope = WatchScope { nodes: list(q.nodes), output: list(q.output) };
    let events = app.jobs.watch_output(&who, &id, cursor(&headers), scope).await?;
    // Bytes of a character that a piece cuts are held until the next piece of the same stream.
    let mut held: HashMap<(String, &'static str), Vec<u8>> = HashMap::new();
    let messages = events.take_until(app.shutdown.clone().cancelled_owned()).filter_map(move |item| {
        let message = match item {
            Err(error) => {
                // The client connects again and resumes.
                tracing::warn!(%error, "the stream of an execution failed");
                None
            }
            Ok((at, event)) => {
                let sse = SseEvent::default().id(format!("{}-{}", at.output, at.rev));
                match event {
                    WatchEvent::Output { node_id, stream, offset, data } => {
                        let rest = held.entry((node_id.clone(), stream.as_str())).or_default();
                        let offset = offset.saturating_sub(rest.len() as u64);
                        rest.extend_from_slice(&data);
                        let cut = plan::whole_chars(rest);
                        let text = plan::lossy(rest.get(..cut).unwrap_or_default());
                        rest.drain(..cut);
                        let json = serde_json::json!({"node_id": node_id, "stream": stream.as_str(), "offset": offset, "text": text});
                        sse.event("output").json_data(json).ok()
                    }
                    WatchEvent::Target(t) => sse.event("target").json_data(TargetJson::from(*t)).ok(),
                    WatchEvent::Execution(e) => sse.event("execution").json_data(ExecutionJson::from(*e)).ok(),
                }
            }
        };
        std::future::ready(message.map(Ok))
    });
    // Without this word a browser would connect again for ever to an execution that is over.
    let end = futures::stream::once(std::future::ready(Ok(SseEvent::default().event("end").data("{}"))));
    Ok(Sse::new(messages.chain(end)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// Targets to look at.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    targets: TargetsJson,
}

/// One target before it runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlannedTargetJson {
    node_id: String,
    node_name: String,
    /// `online` or `offline`.
    state: &'static str,
    instances: Vec<InstanceRefJson>,
}

impl From<PlannedTarget> for PlannedTargetJson {
    fn from(t: PlannedTarget) -> Self {
        PlannedTargetJson { node_id: t.node_id, node_name: t.node_name, state: t.state.as_str(), instances: refs(t.instances) }
    }
}

/// An instance that cannot be a target.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnreachableJson {
    instance: InstanceRefJson,
    label: String,
    reason: String,
}

/// What targets come to.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewJson {
    total: usize,
    /// The first 50.
    items: Vec<PlannedTargetJson>,
    /// Matching instances without a node, at most 50.
    unreachable: Vec<UnreachableJson>,
    /// Names and addresses that lead to no node or to several, at most 500.
    unmatched: Vec<UnmatchedJson>,
    unmatched_total: usize,
}

/// What targets come to, before anything runs.
#[utoipa::path(post, path = "/jobs/targets/preview", tag = "jobs", request_body = PreviewRequest, responses((status = 200, body = PreviewJson)))]
async fn preview(State(app): State<App>, Caller(who): Caller, JsonBody(body): JsonBody<PreviewRequest>) -> ApiResult<Json<PreviewJson>> {
    let targets: Targets = convert(&body.targets)?;
    let p = app.jobs.preview(&who, &targets).await?;
    let unreachable = p.unreachable.into_iter();
    Ok(Json(PreviewJson {
        total: p.total,
        items: p.items.into_iter().map(PlannedTargetJson::from).collect(),
        unreachable: unreachable
            .map(|u| UnreachableJson {
                instance: InstanceRefJson { model: u.instance.model, id: u.instance.id },
                label: u.label,
                reason: u.reason,
            })
            .collect(),
        unmatched: p.unmatched.into_iter().map(UnmatchedJson::from).collect(),
        unmatched_total: p.unmatched_total,
    }))
}
