//! The operator's hands on a run and its tasks. Each needs a reason; the answer is the run as it was when the order was accepted.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_access::Principal;
use plenum_workflow::Act;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::workflows::RunJson;
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(pause_run))
        .routes(routes!(resume_run))
        .routes(routes!(pause_task))
        .routes(routes!(resume_task))
        .routes(routes!(retry_task))
        .routes(routes!(skip_task))
        .routes(routes!(fail_task))
        .routes(routes!(jump_to_task))
        .routes(routes!(restart_from_task))
}

/// A null that was sent is a value.
fn sent<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// 1 to 500 characters; stands in the audit log.
    reason: String,
}

/// Why, and with which input.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithInput {
    /// 1 to 500 characters; stands in the audit log.
    reason: String,
    /// Instead of the input that it had; for a call, its arguments.
    #[serde(default, deserialize_with = "sent")]
    input: Option<Value>,
}

/// Why, and with which output.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithOutput {
    /// 1 to 500 characters; stands in the audit log.
    reason: String,
    /// What the task answers; without one, its input.
    #[serde(default, deserialize_with = "sent")]
    output: Option<Value>,
}

/// Why, and with what the new run begins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// 1 to 500 characters; stands in the audit log.
    reason: String,
    /// Instead of the input that the task had.
    #[serde(default, deserialize_with = "sent")]
    input: Option<Value>,
    /// `$context` of the new run; empty when absent.
    context: Option<Value>,
}

type Accepted = ApiResult<(StatusCode, Json<RunJson>)>;

async fn operate(app: &App, who: &Principal, run: &str, task: Option<u64>, act: Act, reason: &str) -> Accepted {
    let run = app.workflows.operate(who, run, task, act, reason).await?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}

/// Hold a run back: nothing new begins; what is under way ends, and its result is kept.
#[utoipa::path(post, path = "/runs/{id}/pause", tag = "workflows", params(("id" = String, Path)), request_body = Reason,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn pause_run(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>, JsonBody(b): JsonBody<Reason>) -> Accepted {
    operate(&app, &who, &id, None, Act::Pause, &b.reason).await
}

/// Let a run that is held back go on.
#[utoipa::path(post, path = "/runs/{id}/resume", tag = "workflows", params(("id" = String, Path)), request_body = Reason,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn resume_run(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>, JsonBody(b): JsonBody<Reason>) -> Accepted {
    operate(&app, &who, &id, None, Act::Resume, &b.reason).await
}

/// Hold a task back, with all that it contains.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/pause", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = Reason,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn pause_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<Reason>,
) -> Accepted {
    operate(&app, &who, &id, Some(task), Act::Pause, &b.reason).await
}

/// Let a task that is held back go on.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/resume", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = Reason,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn resume_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<Reason>,
) -> Accepted {
    operate(&app, &who, &id, Some(task), Act::Resume, &b.reason).await
}

/// Begin a task again: one that runs or waits, or the one that made the run fail. The run then goes on from there.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/retry", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = WithInput,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn retry_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<WithInput>,
) -> Accepted {
    operate(&app, &who, &id, Some(task), Act::Retry { input: b.input }, &b.reason).await
}

/// Let a task count as done: one that runs or waits, or the one that made the run fail. The run then goes on behind it.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/skip", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = WithOutput,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn skip_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<WithOutput>,
) -> Accepted {
    operate(&app, &who, &id, Some(task), Act::Skip { output: b.output }, &b.reason).await
}

/// Let a task that runs or waits fail. An enclosing `try` may catch it.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/fail", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = Reason,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn fail_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<Reason>,
) -> Accepted {
    operate(&app, &who, &id, Some(task), Act::Fail, &b.reason).await
}

/// Go back to a task that was done, of a list that is still under way. What came after it is dropped and done again.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/jump", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = WithInput,
    responses((status = 202, body = RunJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn jump_to_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<WithInput>,
) -> Accepted {
    operate(&app, &who, &id, Some(task), Act::Jump { input: b.input }, &b.reason).await
}

/// Start a new run of the same version that begins at a task of the first level. Answers the new run.
#[utoipa::path(post, path = "/runs/{id}/tasks/{task}/restart", tag = "workflows", params(("id" = String, Path), ("task" = u64, Path)), request_body = Restart,
    responses((status = 201, body = RunJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn restart_from_task(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, task)): Path<(String, u64)>,
    JsonBody(b): JsonBody<Restart>,
) -> Accepted {
    let run = app.workflows.restart(&who, &id, task, b.input, b.context, &b.reason).await?;
    Ok((StatusCode::CREATED, Json(run.into())))
}
