//! Rules for scripts, and another person's approval.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_access::Role;
use plenum_jobs::safety::{Approval, ApprovalQuery, CheckRequest, Decision, Finding, Rule, RuleDraft, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::jobs::{ExecutionJson, ScriptJson, TargetsJson, convert};
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(check))
        .routes(routes!(list_rules, create_rule))
        .routes(routes!(change_rule, delete_rule))
        .routes(routes!(waiting))
        .routes(routes!(approve))
        .routes(routes!(refuse))
}

/// Something in a script that a rule looks for.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingJson {
    /// The rule's id.
    rule: String,
    title: String,
    /// `warn`, `approve` or `block`.
    level: &'static str,
    /// Counts from 1.
    line: u32,
    /// Counts characters from 1.
    column: u32,
    /// The line, shortened.
    excerpt: String,
    why: String,
    advice: String,
    /// What it was seen through: `sh -c`, `echo | base64 | sh`, ...
    through: Vec<String>,
}

impl From<Finding> for FindingJson {
    fn from(f: Finding) -> Self {
        FindingJson {
            rule: f.rule,
            title: f.title,
            level: f.level.as_str(),
            line: f.line,
            column: f.column,
            excerpt: f.excerpt,
            why: f.why,
            advice: f.advice,
            through: f.through,
        }
    }
}

/// Another person's approval: asked for, and perhaps given.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExecutionApprovalJson {
    /// SHA-256 over script, arguments, names of the environment, account, limits and targets: what is approved is what runs.
    digest: String,
    since: String,
    until: String,
    /// The least role that may approve: `operator` or `administrator`.
    approver: &'static str,
    /// The user behind the request, who may not approve it.
    asker: Option<String>,
    /// `approved`, `refused` or `expired`; null while it waits.
    decision: Option<&'static str>,
    decided_by: Option<String>,
    decided_at: Option<String>,
    note: Option<String>,
}

impl From<Approval> for ExecutionApprovalJson {
    fn from(a: Approval) -> Self {
        ExecutionApprovalJson {
            digest: a.digest,
            since: rfc3339(a.since),
            until: rfc3339(a.until),
            approver: a.approver.name(),
            asker: a.asker,
            decision: a.decision.map(|d| match d {
                Decision::Approved => "approved",
                Decision::Refused => "refused",
                Decision::Expired => "expired",
            }),
            decided_by: a.decided_by,
            decided_at: a.decided_at.map(rfc3339),
            note: a.note,
        }
    }
}

/// A script that somebody thinks of running.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckJson {
    script: ScriptJson,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    cwd: Option<String>,
    /// Where; without it rules for some targets count.
    #[serde(default)]
    targets: Option<TargetsJson>,
}

/// What the rules say.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictJson {
    /// The worst of the findings, `warn`, `approve` or `block`; null when there are none.
    level: Option<&'static str>,
    /// Worst first; at most 100.
    findings: Vec<FindingJson>,
}

impl From<Verdict> for VerdictJson {
    fn from(v: Verdict) -> Self {
        VerdictJson { level: v.level.map(|l| l.as_str()), findings: v.findings.into_iter().map(FindingJson::from).collect() }
    }
}

/// What the rules say of a script, before it runs. Nothing is kept.
#[utoipa::path(post, path = "/jobs/scripts/check", tag = "jobs", request_body = CheckJson, responses((status = 200, body = VerdictJson), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn check(State(app): State<App>, Caller(who): Caller, JsonBody(body): JsonBody<CheckJson>) -> ApiResult<Json<VerdictJson>> {
    let request: CheckRequest = convert(&body)?;
    Ok(Json(app.jobs.check_script(&who, request).await?.into()))
}

/// A rule for scripts.
#[derive(Debug, Serialize, ToSchema)]
pub struct SafetyRuleJson {
    /// A word for those that come with the platform.
    id: String,
    /// Comes with the platform: its level, who it is for and whether it counts can be changed, the rest not.
    built_in: bool,
    title: String,
    /// `warn`, `approve` or `block`.
    level: &'static str,
    enabled: bool,
    /// `bash`, `sh`, `python3`, ...; empty: all.
    languages: Vec<&'static str>,
    /// `{"kind": "expression", "expression": ...}`, `{"kind": "command", "commands": [...]}` or `{"kind": "built_in"}`.
    #[schema(value_type = Object)]
    pattern: Value,
    why: String,
    advice: String,
    /// Counts for people of these roles only; empty: for everybody.
    roles: Vec<&'static str>,
    /// Counts when one of the targets is a host with this (CEL); empty: everywhere.
    targets: String,
    /// The least role that may approve.
    approver: &'static str,
    /// 0: as it came with the platform.
    version: i64,
    updated_at: Option<String>,
    updated_by: Option<String>,
}

fn rule(r: Rule) -> ApiResult<SafetyRuleJson> {
    Ok(SafetyRuleJson {
        pattern: serde_json::to_value(&r.pattern).map_err(ApiError::internal)?,
        id: r.id,
        built_in: r.built_in,
        title: r.title,
        level: r.level.as_str(),
        enabled: r.enabled,
        languages: r.languages.into_iter().map(|l| l.as_str()).collect(),
        why: r.why,
        advice: r.advice,
        roles: r.roles.into_iter().map(Role::name).collect(),
        targets: r.targets,
        approver: r.approver.name(),
        version: r.version,
        updated_at: r.updated_at.map(rfc3339),
        updated_by: r.updated_by,
    })
}

/// A rule as somebody wants it. Of one that comes with the platform `level`, `enabled`, `roles`, `targets` and `approver` are taken.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SafetyRuleBody {
    #[serde(default)]
    title: String,
    /// `warn`, `approve` or `block`.
    level: String,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    languages: Vec<String>,
    /// `{"kind": "expression", "expression": "a regular expression"}`, or `{"kind": "command", "commands": [{"names", "options", "operand", "line",
    /// "writes", "runs_text_of"}]}`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pattern: Option<Value>,
    #[serde(default)]
    why: String,
    #[serde(default)]
    advice: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    targets: String,
    /// `operator` or `administrator`.
    #[serde(default = "operator")]
    approver: String,
    /// The version that was read, for a change; without it whatever is there is overwritten.
    #[serde(default, skip_serializing)]
    version: Option<i64>,
}

fn yes() -> bool {
    true
}

fn operator() -> String {
    "operator".to_owned()
}

/// The rules for scripts: those that come with the platform first.
#[utoipa::path(get, path = "/jobs/rules", tag = "jobs", responses((status = 200, body = Page<SafetyRuleJson>), (status = 403, body = Problem)))]
async fn list_rules(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<SafetyRuleJson>>> {
    let items = app.jobs.safety_rules(&who).await?.into_iter().map(rule).collect::<ApiResult<Vec<_>>>()?;
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Makes a rule.
#[utoipa::path(post, path = "/jobs/rules", tag = "jobs", request_body = SafetyRuleBody, responses((status = 201, body = SafetyRuleJson), (status = 422, body = Problem)))]
async fn create_rule(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<SafetyRuleBody>,
) -> ApiResult<(StatusCode, Json<SafetyRuleJson>)> {
    let draft: RuleDraft = convert(&body)?;
    Ok((StatusCode::CREATED, Json(rule(app.jobs.save_safety_rule(&who, None, draft, None).await?)?)))
}

/// Changes a rule. It counts for what starts from then on.
#[utoipa::path(put, path = "/jobs/rules/{id}", tag = "jobs", params(("id" = String, Path)), request_body = SafetyRuleBody, responses((status = 200, body = SafetyRuleJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn change_rule(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<SafetyRuleBody>,
) -> ApiResult<Json<SafetyRuleJson>> {
    let draft: RuleDraft = convert(&body)?;
    Ok(Json(rule(app.jobs.save_safety_rule(&who, Some(&id), draft, body.version).await?)?))
}

/// Removes a rule; one that comes with the platform is as it came again.
#[utoipa::path(delete, path = "/jobs/rules/{id}", tag = "jobs", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn delete_rule(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.jobs.delete_safety_rule(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which executions that wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitingQuery {
    /// Only those that the caller may decide.
    #[serde(default)]
    mine: bool,
    /// Rows: 50 when absent, 200 at the most.
    limit: Option<u32>,
}

/// Executions that wait for another person's approval, oldest first.
#[utoipa::path(get, path = "/jobs/approvals", tag = "jobs", params(WaitingQuery), responses((status = 200, body = Page<ExecutionJson>)))]
async fn waiting(State(app): State<App>, Caller(who): Caller, Query(q): Query<WaitingQuery>) -> ApiResult<Json<Page<ExecutionJson>>> {
    let query = ApprovalQuery { mine: q.mine, limit: q.limit.unwrap_or(50).clamp(1, 200) };
    let page = app.jobs.waiting_approvals(&who, &query).await?;
    let items = page.items.into_iter().map(ExecutionJson::from).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor, total: i64::try_from(page.total).ok() }))
}

/// Yes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveBody {
    /// The `approval.digest` of the execution as it was looked at.
    digest: String,
    #[serde(default)]
    note: Option<String>,
}

/// No.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefuseBody {
    /// Why; shown with the execution.
    note: Option<String>,
}

/// Lets an execution run that waits. Not for the one who asked; refused when what would run is not what was looked at.
#[utoipa::path(post, path = "/jobs/executions/{id}/approve", tag = "jobs", params(("id" = String, Path)), request_body = ApproveBody, responses((status = 200, body = ExecutionJson), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn approve(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<ApproveBody>,
) -> ApiResult<Json<ExecutionJson>> {
    Ok(Json(app.jobs.approve(&who, &id, &body.digest, body.note).await?.into()))
}

/// Says no to an execution that waits: it ends without having begun.
#[utoipa::path(post, path = "/jobs/executions/{id}/refuse", tag = "jobs", params(("id" = String, Path)), request_body = RefuseBody, responses((status = 200, body = ExecutionJson), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn refuse(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<RefuseBody>,
) -> ApiResult<Json<ExecutionJson>> {
    Ok(Json(app.jobs.refuse(&who, &id, body.note).await?.into()))
}
