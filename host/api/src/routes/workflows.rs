//! Definitions, runs, schedules, actions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_workflow::{
    ActionInfo, Definition, Problem as DefinitionProblem, Run, RunQuery, RunStatus, Schedule, SchedulePatch, ScheduleSpec, Target, Task,
    Waiting, WorkflowError,
};
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
        .routes(routes!(list_workflows, create_workflow))
        .routes(routes!(validate))
        .routes(routes!(get_workflow, update_workflow, delete_workflow))
        .routes(routes!(start_run))
        .routes(routes!(list_runs))
        .routes(routes!(get_run))
        .routes(routes!(run_tasks))
        .routes(routes!(cancel_run))
        .merge(super::run_acts::router())
        .merge(super::approvals::router())
        .routes(routes!(list_schedules, create_schedule))
        .routes(routes!(preview_schedule))
        .routes(routes!(get_schedule, update_schedule, delete_schedule))
        .routes(routes!(list_actions))
}

impl From<WorkflowError> for ApiError {
    fn from(e: WorkflowError) -> Self {
        let (code, detail) = (e.code(), e.to_string());
        let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match e {
            WorkflowError::Store(s) => s.into(),
            WorkflowError::Denied(_) => ApiError::new(status, code, "Not allowed", detail),
            WorkflowError::NotFound(_) => ApiError::not_found(code, detail),
            WorkflowError::Invalid(problems) => ApiError::new(status, code, "The workflow is not valid", detail)
                .at("/source")
                .with_errors(problems.into_iter().map(|p| (p.pointer, p.message))),
            WorkflowError::Input(_) => ApiError::new(status, code, "The input does not fit", detail).at("/input"),
            WorkflowError::Argument { field, message } => {
                ApiError::new(status, code, "A value is not valid", message).at(format!("/{field}"))
            }
            WorkflowError::Conflict(_) => ApiError::new(status, code, "It conflicts with what is there", detail),
            WorkflowError::TooLarge { .. } => ApiError::new(status, code, "Too large", detail),
            WorkflowError::Principal(_) => ApiError::new(status, code, "Who it acts for may not", detail),
            WorkflowError::Stopped => ApiError::new(status, code, "Shutting down", detail).retry_after(5),
        }
    }
}

/// A stored workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowJson {
    name: String,
    /// Grows with every save of another text.
    version: i64,
    /// The plugin that brought it.
    owner: Option<String>,
    title: String,
    summary: Option<String>,
    /// YAML or JSON, as it was saved.
    source: String,
    /// JSON Schema of the input, for a form.
    input_schema: Value,
    created_at: String,
    updated_at: String,
    updated_by: String,
}

impl From<Definition> for WorkflowJson {
    fn from(d: Definition) -> Self {
        WorkflowJson {
            name: d.name,
            version: d.version,
            owner: d.owner,
            title: d.title,
            summary: d.summary,
            source: d.source,
            input_schema: d.input_schema.unwrap_or_default(),
            created_at: rfc3339(d.created_at),
            updated_at: rfc3339(d.updated_at),
            updated_by: d.updated_by,
        }
    }
}

/// A new workflow.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkflow {
    name: String,
    /// A Serverless Workflow DSL 1.0 definition, YAML or JSON.
    source: String,
}

/// The text of a workflow.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSource {
    /// A Serverless Workflow DSL 1.0 definition, YAML or JSON.
    source: String,
}

/// One thing wrong in a definition.
#[derive(Debug, Serialize, ToSchema)]
pub struct DefinitionProblemJson {
    /// JSON pointer into the definition.
    pointer: String,
    message: String,
}

impl From<DefinitionProblem> for DefinitionProblemJson {
    fn from(p: DefinitionProblem) -> Self {
        DefinitionProblemJson { pointer: p.pointer, message: p.message }
    }
}

/// Whether a definition holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationJson {
    ok: bool,
    errors: Vec<DefinitionProblemJson>,
    title: Option<String>,
    input_schema: Value,
}

/// What something waits for.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingJson {
    reason: String,
    since: String,
    until: Option<String>,
    /// An operator holds it back; only an operator lets it go on.
    paused: bool,
    /// Who may move it on: whoever has this permission.
    permission: &'static str,
}

impl From<Waiting> for WaitingJson {
    fn from(w: Waiting) -> Self {
        WaitingJson { reason: w.reason, since: rfc3339(w.since), until: w.until.map(rfc3339), paused: w.paused, permission: "workflow.run" }
    }
}

/// One execution of one task: each iteration and each retry is one of its own.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskJson {
    /// Unique within the run, in the order of beginning.
    id: u64,
    /// The enclosing task.
    parent: Option<u64>,
    /// JSON pointer into the definition.
    pointer: String,
    /// The same with iterations: `/do/1/each[3]/do/0/check`.
    path: String,
    name: String,
    /// `call`, `set`, `for`, ...
    kind: String,
    /// What a call calls.
    action: Option<String>,
    /// `pending`, `running`, `waiting`, `succeeded`, `failed`, `skipped`, `cancelled`.
    status: &'static str,
    attempt: u32,
    input: Value,
    output: Value,
    /// `{type, status, title, detail, instance}`.
    error: Value,
    started_at: String,
    finished_at: Option<String>,
    duration_ms: Option<i64>,
    waiting: Option<WaitingJson>,
    /// What an operator may do with it now: `pause`, `resume`, `retry`, `skip`, `fail`, `jump`, `restart`.
    acts: Vec<&'static str>,
}

impl TaskJson {
    pub(super) fn new(run: &Run, t: Task) -> Self {
        let acts = plenum_workflow::allowed_acts(run, &t);
        TaskJson::with(t, acts)
    }

    pub(super) fn with(t: Task, acts: Vec<&'static str>) -> Self {
        TaskJson {
            id: t.id,
            parent: t.parent,
            pointer: t.pointer,
            path: t.path,
            name: t.name,
            kind: t.kind,
            action: t.action,
            status: t.status.name(),
            attempt: t.attempt,
            input: t.input,
            output: t.output,
            error: t.error.unwrap_or_default(),
            started_at: rfc3339(t.started_at),
            finished_at: t.finished_at.map(rfc3339),
            duration_ms: t.finished_at.map(|f| f - t.started_at),
            waiting: t.waiting.map(Into::into),
            acts,
        }
    }
}

/// One execution of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunJson {
    id: String,
    workflow: String,
    version: i64,
    /// `running`, `waiting`, `succeeded`, `failed`, `cancelled`.
    status: &'static str,
    started_by: String,
    /// `user`, `plugin/<id>`, `schedule/<id>`.
    origin: Option<String>,
    key: Option<String>,
    started_at: String,
    finished_at: Option<String>,
    duration_ms: i64,
    input: Value,
    output: Value,
    /// `{type, status, title, detail, instance}`.
    error: Value,
    waiting: Option<WaitingJson>,
    /// The first 1,000; empty in lists.
    tasks: Vec<TaskJson>,
    task_count: i64,
    /// What an operator may do with it now: `pause` or `resume`, and `cancel`.
    acts: Vec<&'static str>,
}

impl From<Run> for RunJson {
    fn from(mut r: Run) -> Self {
        let acts = match (r.status.is_final(), r.waiting.as_ref().is_some_and(|w| w.paused)) {
            (true, _) => Vec::new(),
            (false, true) => vec!["resume", "cancel"],
            (false, false) => vec!["pause", "cancel"],
        };
        let tasks = std::mem::take(&mut r.tasks).into_iter().map(|t| TaskJson::new(&r, t)).collect();
        RunJson {
            id: r.id,
            workflow: r.workflow,
            version: r.version,
            status: r.status.name(),
            started_by: r.started_by,
            origin: r.origin,
            key: r.key,
            started_at: rfc3339(r.started_at),
            finished_at: r.finished_at.map(rfc3339),
            duration_ms: r.duration_ms,
            input: r.input,
            output: r.output,
            error: r.error.unwrap_or_default(),
            waiting: r.waiting.map(Into::into),
            tasks,
            task_count: r.task_count,
            acts,
        }
    }
}

/// How to start a run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    #[serde(default)]
    input: Value,
    /// With a key that was used before for this workflow, the answer is that run.
    key: Option<String>,
}

/// Why a run is cancelled.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    reason: Option<String>,
}

/// Which runs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct RunsQuery {
    /// Of this workflow.
    workflow: Option<String>,
    /// One state or several, separated by commas.
    status: Option<String>,
    /// Part of the workflow's name, the id, the key or who started it.
    search: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

/// Which tasks of a run.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct TasksQuery {
    /// Tasks with an `id` above this one.
    after: u64,
    /// Rows: 500 when absent, 1,000 at the most.
    limit: Option<u32>,
}

/// What a schedule starts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetJson {
    /// `workflow` or `action`.
    kind: TargetKind,
    name: String,
}

/// What kind of thing a schedule starts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A workflow.
    Workflow,
    /// An action, as a workflow of one task.
    Action,
}

impl From<Target> for TargetJson {
    fn from(t: Target) -> Self {
        match t {
            Target::Workflow(name) => TargetJson { kind: TargetKind::Workflow, name },
            Target::Action(name) => TargetJson { kind: TargetKind::Action, name },
        }
    }
}

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleJson {
    id: String,
    name: String,
    cron: String,
    timezone: String,
    target: TargetJson,
    input: Value,
    enabled: bool,
    owner_plugin: Option<String>,
    /// Its runs act as that.
    created_by: String,
    created_at: String,
    next_at: Option<String>,
    last_at: Option<String>,
    /// The run that it started last.
    last_run: Option<String>,
    /// Why the last firing started none.
    last_error: Option<String>,
}

impl From<Schedule> for ScheduleJson {
    fn from(s: Schedule) -> Self {
        ScheduleJson {
            id: s.id,
            name: s.spec.name,
            cron: s.spec.cron,
            timezone: s.spec.timezone,
            target: s.spec.target.into(),
            input: s.spec.input,
            enabled: s.spec.enabled,
            owner_plugin: s.spec.owner_plugin,
            created_by: s.created_by,
            created_at: rfc3339(s.created_at),
            next_at: s.next_at.map(rfc3339),
            last_at: s.last_at.map(rfc3339),
            last_run: s.last_run,
            last_error: s.last_error,
        }
    }
}

/// A new schedule. Its runs act as who makes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    name: String,
    /// minute hour day month weekday, with seconds first if there are six fields.
    cron: String,
    /// IANA name.
    timezone: String,
    target: TargetJson,
    #[serde(default)]
    input: Value,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// Changes of a schedule; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleChange {
    name: Option<String>,
    cron: Option<String>,
    timezone: Option<String>,
    input: Option<Value>,
    enabled: Option<bool>,
}

/// A cron expression to try.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CronQuery {
    cron: String,
    timezone: String,
}

/// The next times of a cron expression.
#[derive(Debug, Serialize, ToSchema)]
pub struct CronTimes {
    times: Vec<String>,
}

/// Something that a workflow can call.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionJson {
    name: String,
    /// Text, or texts by language.
    title: Value,
    /// Text, or texts by language.
    description: Value,
    input_schema: Value,
    output_schema: Value,
}

impl From<ActionInfo> for ActionJson {
    fn from(a: ActionInfo) -> Self {
        ActionJson {
            name: a.name,
            title: a.title,
            description: a.description,
            input_schema: a.input_schema.unwrap_or_default(),
            output_schema: a.output_schema.unwrap_or_default(),
        }
    }
}

fn list(q: &ListQuery) -> plenum_workflow::ListQuery {
    plenum_workflow::ListQuery { search: ListQuery::non_empty(&q.search), cursor: ListQuery::non_empty(&q.cursor), limit: q.limit() }
}

fn page<T, J: From<T>>(p: plenum_workflow::Page<T>) -> Json<Page<J>> {
    Json(Page { items: p.items.into_iter().map(Into::into).collect(), next_cursor: p.next_cursor, total: Some(p.total) })
}

/// Workflows by name.
#[utoipa::path(get, path = "/workflows", tag = "workflows", params(ListQuery), responses((status = 200, body = Page<WorkflowJson>)))]
async fn list_workflows(State(app): State<App>, Caller(who): Caller, Query(q): Query<ListQuery>) -> ApiResult<Json<Page<WorkflowJson>>> {
    Ok(page(app.workflows.definitions(&who, &list(&q)).await?))
}

/// Create a workflow. 422 lists all that is wrong, each with its JSON pointer into the definition.
#[utoipa::path(post, path = "/workflows", tag = "workflows", request_body = NewWorkflow,
    responses((status = 201, body = WorkflowJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn create_workflow(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(b): JsonBody<NewWorkflow>,
) -> ApiResult<(StatusCode, Json<WorkflowJson>)> {
    match app.workflows.definition(&who, &b.name).await {
        Ok(_) => return Err(WorkflowError::Conflict(format!("there is a workflow {}; change it, or choose another name", b.name)).into()),
        Err(WorkflowError::NotFound(_)) => {}
        Err(e) => return Err(e.into()),
    }
    let d = app.workflows.save_definition(&who, &b.name, &b.source, None).await?;
    Ok((StatusCode::CREATED, Json(d.into())))
}

/// Check a definition without saving it.
#[utoipa::path(post, path = "/workflows/validate", tag = "workflows", request_body = WorkflowSource, responses((status = 200, body = ValidationJson)))]
async fn validate(State(app): State<App>, Caller(_who): Caller, JsonBody(b): JsonBody<WorkflowSource>) -> Json<ValidationJson> {
    Json(match app.workflows.validate(&b.source).await {
        Ok(c) => ValidationJson { ok: true, errors: Vec::new(), title: Some(c.title), input_schema: c.input_schema.unwrap_or_default() },
        Err(p) => ValidationJson { ok: false, errors: p.into_iter().map(Into::into).collect(), title: None, input_schema: Value::Null },
    })
}

/// One workflow.
#[utoipa::path(get, path = "/workflows/{name}", tag = "workflows", params(("name" = String, Path)),
    responses((status = 200, body = WorkflowJson), (status = 404, body = Problem)))]
async fn get_workflow(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<Json<WorkflowJson>> {
    Ok(Json(app.workflows.definition(&who, &name).await?.into()))
}

/// Save another text of a workflow, as a new version. Runs stay on theirs.
#[utoipa::path(put, path = "/workflows/{name}", tag = "workflows", params(("name" = String, Path)), request_body = WorkflowSource,
    responses((status = 200, body = WorkflowJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn update_workflow(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    JsonBody(b): JsonBody<WorkflowSource>,
) -> ApiResult<Json<WorkflowJson>> {
    app.workflows.definition(&who, &name).await?;
    Ok(Json(app.workflows.save_definition(&who, &name, &b.source, None).await?.into()))
}

/// Delete a workflow. Its runs stay and go on.
#[utoipa::path(delete, path = "/workflows/{name}", tag = "workflows", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete_workflow(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.workflows.delete_definition(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start a run.
#[utoipa::path(post, path = "/workflows/{name}/runs", tag = "workflows", params(("name" = String, Path)), request_body = NewRun,
    responses((status = 201, body = RunJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn start_run(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    JsonBody(b): JsonBody<NewRun>,
) -> ApiResult<(StatusCode, Json<RunJson>)> {
    let run = app.workflows.start(&who, &name, b.input, b.key.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(run.into())))
}

/// Runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "workflows", params(RunsQuery), responses((status = 200, body = Page<RunJson>), (status = 400, body = Problem)))]
async fn list_runs(State(app): State<App>, Caller(who): Caller, Query(q): Query<RunsQuery>) -> ApiResult<Json<Page<RunJson>>> {
    let mut status = Vec::new();
    for name in q.status.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()) {
        status.push(RunStatus::from_name(name).ok_or_else(|| {
            ApiError::bad_request(
                "workflow.invalid_argument",
                format!("there is no status `{name}`; there are running, waiting, succeeded, failed, cancelled"),
            )
            .at("/status")
        })?);
    }
    let query = RunQuery {
        workflow: ListQuery::non_empty(&q.workflow),
        status,
        search: ListQuery::non_empty(&q.search),
        cursor: ListQuery::non_empty(&q.cursor),
        limit: q.limit.unwrap_or(0),
    };
    Ok(page(app.workflows.runs(&who, &query).await?))
}

/// One run with its tasks.
#[utoipa::path(get, path = "/runs/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 200, body = RunJson), (status = 404, body = Problem)))]
async fn get_run(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<RunJson>> {
    Ok(Json(app.workflows.run(&who, &id).await?.into()))
}

/// Tasks of a run, in the order of beginning.
#[utoipa::path(get, path = "/runs/{id}/tasks", tag = "workflows", params(("id" = String, Path), TasksQuery),
    responses((status = 200, body = Page<TaskJson>), (status = 404, body = Problem)))]
async fn run_tasks(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<TasksQuery>,
) -> ApiResult<Json<Page<TaskJson>>> {
    let limit = q.limit.unwrap_or(500).clamp(1, 1000);
    let (run, tasks) = app.workflows.tasks(&who, &id, q.after, limit).await?;
    let next_cursor = if tasks.len() == limit as usize { tasks.last().map(|t| t.id.to_string()) } else { None };
    Ok(Json(Page { items: tasks.into_iter().map(|t| TaskJson::new(&run, t)).collect(), next_cursor, total: None }))
}

/// Cancel a run: its calls are told to stop, then it ends.
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "workflows", params(("id" = String, Path)), request_body = Option<Cancellation>,
    responses((status = 202, body = RunJson), (status = 404, body = Problem)))]
async fn cancel_run(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    body: axum::body::Bytes,
) -> ApiResult<(StatusCode, Json<RunJson>)> {
    // The body is optional: a client that has nothing to say sends none.
    let reason = if body.is_empty() {
        None
    } else {
        let c: Cancellation = serde_json::from_slice(&body)
            .map_err(|e| ApiError::bad_request("request.body", format!("{e}; send {{\"reason\": \"..\"}} or nothing")))?;
        c.reason
    };
    let run = app.workflows.cancel(&who, &id, reason.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}

/// Schedules by name.
#[utoipa::path(get, path = "/schedules", tag = "workflows", params(ListQuery), responses((status = 200, body = Page<ScheduleJson>)))]
async fn list_schedules(State(app): State<App>, Caller(who): Caller, Query(q): Query<ListQuery>) -> ApiResult<Json<Page<ScheduleJson>>> {
    Ok(page(app.workflows.schedules(&who, &list(&q)).await?))
}

/// Create a schedule.
#[utoipa::path(post, path = "/schedules", tag = "workflows", request_body = NewSchedule,
    responses((status = 201, body = ScheduleJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn create_schedule(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(b): JsonBody<NewSchedule>,
) -> ApiResult<(StatusCode, Json<ScheduleJson>)> {
    let target = match b.target.kind {
        TargetKind::Workflow => Target::Workflow(b.target.name),
        TargetKind::Action => Target::Action(b.target.name),
    };
    let spec =
        ScheduleSpec { name: b.name, cron: b.cron, timezone: b.timezone, target, input: b.input, enabled: b.enabled, owner_plugin: None };
    Ok((StatusCode::CREATED, Json(app.workflows.create_schedule(&who, spec).await?.into())))
}

/// The next five times of a cron expression.
#[utoipa::path(post, path = "/schedules/preview", tag = "workflows", request_body = CronQuery, responses((status = 200, body = CronTimes), (status = 422, body = Problem)))]
async fn preview_schedule(State(_app): State<App>, Caller(_who): Caller, JsonBody(b): JsonBody<CronQuery>) -> ApiResult<Json<CronTimes>> {
    let times = plenum_workflow::next_times(&b.cron, &b.timezone, plenum_store::now_ms(), 5)?;
    Ok(Json(CronTimes { times: times.into_iter().map(rfc3339).collect() }))
}

/// One schedule.
#[utoipa::path(get, path = "/schedules/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 200, body = ScheduleJson), (status = 404, body = Problem)))]
async fn get_schedule(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ScheduleJson>> {
    Ok(Json(app.workflows.schedule(&who, &id).await?.into()))
}

/// Change a schedule. From then on its runs act as the caller.
#[utoipa::path(patch, path = "/schedules/{id}", tag = "workflows", params(("id" = String, Path)), request_body = ScheduleChange,
    responses((status = 200, body = ScheduleJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn update_schedule(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<ScheduleChange>,
) -> ApiResult<Json<ScheduleJson>> {
    let patch = SchedulePatch { name: b.name, cron: b.cron, timezone: b.timezone, input: b.input, enabled: b.enabled };
    Ok(Json(app.workflows.update_schedule(&who, &id, patch).await?.into()))
}

/// Delete a schedule. Runs that it started go on.
#[utoipa::path(delete, path = "/schedules/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn delete_schedule(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.workflows.delete_schedule(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What workflows can call: the host's own actions and those of installed plugins.
#[utoipa::path(get, path = "/actions", tag = "workflows", responses((status = 200, body = Page<ActionJson>)))]
async fn list_actions(State(app): State<App>, Caller(_who): Caller) -> Json<Page<ActionJson>> {
    let items: Vec<ActionJson> = app.workflows.actions().into_iter().map(Into::into).collect();
    let total = i64::try_from(items.len()).ok();
    Json(Page { items, next_cursor: None, total })
}
