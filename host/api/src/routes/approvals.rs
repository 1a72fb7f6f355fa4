//! Questions that runs ask people: my tasks, answers, delegation.

use axum::Json;
use axum::extract::State;
use plenum_workflow::approvals::{Answer, Approval, ApprovalQuery, Mode, Seat};
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
    OpenApiRouter::new().routes(routes!(list_approvals)).routes(routes!(get_approval)).routes(routes!(decide)).routes(routes!(delegate))
}

/// One of those who are asked, and the answer.
#[derive(Serialize, ToSchema)]
pub struct SeatJson {
    /// `user:<name>` or `role:<role>`.
    holder: String,
    voter: Option<String>,
    /// `approve`, `reject`.
    decision: Option<String>,
    comment: Option<String>,
    data: Value,
    at: Option<String>,
}

/// A question that a run asks people.
#[derive(Serialize, ToSchema)]
pub struct ApprovalJson {
    id: String,
    run: String,
    workflow: String,
    task: String,
    title: String,
    text: Option<String>,
    /// `any`, `all`, `share`, `in_turn`.
    mode: &'static str,
    share: Option<f64>,
    /// JSON Schema of what an answer carries.
    form: Option<Value>,
    /// `open`, `approved`, `rejected`, `expired`, `withdrawn`.
    status: String,
    /// It was not answered in time and went to others.
    escalated: bool,
    created_at: String,
    due_at: Option<String>,
    ended_at: Option<String>,
    seats: Vec<SeatJson>,
    /// You may answer now.
    mine: bool,
}

impl From<Seat> for SeatJson {
    fn from(s: Seat) -> Self {
        SeatJson { holder: s.holder, voter: s.voter, decision: s.decision, comment: s.comment, data: s.data, at: s.at.map(rfc3339) }
    }
}

impl From<Approval> for ApprovalJson {
    fn from(a: Approval) -> Self {
        ApprovalJson {
            id: a.id,
            run: a.run,
            workflow: a.workflow,
            task: a.task,
            title: a.title,
            text: a.text,
            mode: match a.mode {
                Mode::Any => "any",
                Mode::All => "all",
                Mode::Share => "share",
                Mode::InTurn => "in_turn",
            },
            share: a.share,
            form: a.form,
            status: a.status,
            escalated: a.escalated,
            created_at: rfc3339(a.created_at),
            due_at: a.due_at.map(rfc3339),
            ended_at: a.ended_at.map(rfc3339),
            seats: a.seats.into_iter().map(Into::into).collect(),
            mine: a.mine,
        }
    }
}

/// Which approvals.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ApprovalsQuery {
    /// `mine` (by default): those that wait for you. `all`: those of workflows that you may read.
    scope: Option<String>,
    /// Several with commas: `open` (by default), `approved`, `rejected`, `expired`, `withdrawn`.
    status: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// 1 to 500; 50 by default.
    limit: Option<u32>,
}

/// An answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// `approve` or `reject`.
    decision: String,
    /// Why; others see it.
    comment: Option<String>,
    /// What the form was filled in with.
    #[serde(default)]
    data: Value,
}

/// To whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// The login name of another person.
    to: String,
    /// Whose seat, `user:<name>`: for administrators. Otherwise one's own.
    holder: Option<String>,
    /// 1 to 500 characters; stands in the audit log.
    reason: String,
}

const STATES: &[&str] = &["open", "approved", "rejected", "expired", "withdrawn"];

fn bad(at: &str, detail: String) -> ApiError {
    ApiError::bad_request("workflow.invalid_argument", detail).at(at)
}

/// Questions to people, the oldest first; by default those that wait for you.
#[utoipa::path(get, path = "/approvals", tag = "workflows", params(ApprovalsQuery), responses((status = 200, body = Page<ApprovalJson>), (status = 400, body = Problem)))]
async fn list_approvals(
    State(app): State<App>,
    Caller(who): Caller,
    Query(q): Query<ApprovalsQuery>,
) -> ApiResult<Json<Page<ApprovalJson>>> {
    let mine = match q.scope.as_deref().unwrap_or("mine") {
        "mine" => true,
        "all" => false,
        other => return Err(bad("/scope", format!("there is no scope `{other}`; there are mine and all"))),
    };
    let mut status = Vec::new();
    for name in q.status.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()) {
        if !STATES.contains(&name) {
            return Err(bad("/status", format!("there is no status `{name}`; there are {}", STATES.join(", "))));
        }
        status.push(name.to_owned());
    }
    let query = ApprovalQuery { mine, status, cursor: ListQuery::non_empty(&q.cursor), limit: q.limit.unwrap_or(0) };
    let found = app.workflows.approvals(&who, &query).await?;
    Ok(Json(Page { items: found.items.into_iter().map(Into::into).collect(), next_cursor: found.next_cursor, total: Some(found.total) }))
}

/// One question, with the answers.
#[utoipa::path(get, path = "/approvals/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 200, body = ApprovalJson), (status = 404, body = Problem)))]
async fn get_approval(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ApprovalJson>> {
    Ok(Json(app.workflows.approval(&who, &id).await?.into()))
}

/// Answer a question that waits for you.
#[utoipa::path(post, path = "/approvals/{id}/decide", tag = "workflows", params(("id" = String, Path)), request_body = Decision,
    responses((status = 200, body = ApprovalJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn decide(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<Decision>,
) -> ApiResult<Json<ApprovalJson>> {
    let approve = match b.decision.as_str() {
        "approve" => true,
        "reject" => false,
        other => return Err(bad("/decision", format!("`{other}` is no decision; approve or reject"))),
    };
    Ok(Json(app.workflows.decide(&who, &id, Answer { approve, comment: b.comment, data: b.data }).await?.into()))
}

/// Hand your seat to another person.
#[utoipa::path(post, path = "/approvals/{id}/delegate", tag = "workflows", params(("id" = String, Path)), request_body = Delegation,
    responses((status = 200, body = ApprovalJson), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn delegate(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<Delegation>,
) -> ApiResult<Json<ApprovalJson>> {
    Ok(Json(app.workflows.delegate(&who, &id, &b.to, b.holder.as_deref(), &b.reason).await?.into()))
}
