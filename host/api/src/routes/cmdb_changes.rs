//! Change requests on records, the word of those whom rules name, and the rules.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_cmdb::requests::{Act, ChangeQuery, ChangeRequest, ChangeRule, Draft, Item, Need, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_requests, make_request))
        .routes(routes!(get_request))
        .routes(routes!(decide_request))
        .routes(routes!(withdraw_request))
        .routes(routes!(renew_request))
        .routes(routes!(list_rules))
        .routes(routes!(put_rule, delete_rule))
}

/// What is wanted of one record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedJson {
    /// `create`, `update`, `delete`.
    #[schema(value_type = String)]
    act: Act,
    model: String,
    /// The record; absent of one that is made.
    id: Option<String>,
    /// Of a new record all attributes, of a changed one those that change; null takes one away.
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// The version that the change was made from; the present one when absent.
    version: Option<i64>,
}

/// A request as it is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChangeRequest {
    /// In a few words.
    title: String,
    /// Why.
    reason: Option<String>,
    ticket: Option<String>,
    /// At most 500.
    items: Vec<WantedJson>,
    /// The workflow that does the work before anything is written.
    workflow: Option<String>,
    /// What it is started with; it gets the request as `change` beside it.
    #[serde(default)]
    #[schema(value_type = Object)]
    input: Value,
}

/// One record's part of a request.
#[derive(Serialize, ToSchema)]
pub struct ItemJson {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    item: Item,
}

/// A word that was given.
#[derive(Serialize, ToSchema)]
pub struct VoteJson {
    rule: String,
    voter: String,
    approve: bool,
    comment: Option<String>,
    at: String,
}

/// A change that was asked for.
#[derive(Serialize, ToSchema)]
pub struct ChangeRequestJson {
    id: String,
    /// `open` (needs approval), `approved`, `running` (its workflow), `done`, `rejected`, `withdrawn`, `conflict`, `failed`.
    state: String,
    title: String,
    reason: Option<String>,
    ticket: Option<String>,
    /// What is wanted, with what the touched attributes were (`before`).
    items: Vec<ItemJson>,
    workflow: Option<String>,
    /// The workflow's run.
    run: Option<String>,
    /// Whose word is needed: `rule`, `approvers`.
    #[schema(value_type = Vec<Object>)]
    needs: Vec<Need>,
    votes: Vec<VoteJson>,
    /// Of what is asked: a decision names it.
    hash: String,
    requested_by: String,
    /// Whether it waits for your word.
    mine: bool,
    /// Where it stopped.
    error: Option<String>,
    /// Records that it made or changed.
    records: Vec<String>,
    created_at: String,
    updated_at: String,
}

fn request_json(c: ChangeRequest) -> ChangeRequestJson {
    ChangeRequestJson {
        id: c.id,
        state: c.state,
        title: c.title,
        reason: c.reason,
        ticket: c.ticket,
        items: c.items.into_iter().map(|item| ItemJson { item }).collect(),
        workflow: c.workflow,
        run: c.run,
        needs: c.needs,
        votes: c
            .votes
            .into_iter()
            .map(|v| VoteJson { rule: v.rule, voter: v.voter, approve: v.approve, comment: v.comment, at: rfc3339(v.at) })
            .collect(),
        hash: c.hash,
        requested_by: c.requested_by,
        mine: c.mine,
        error: c.error,
        records: c.records,
        created_at: rfc3339(c.created_at),
        updated_at: rfc3339(c.updated_at),
    }
}

/// Which requests.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RequestsQuery {
    /// States, separated by commas; any when absent.
    state: Option<String>,
    /// About this record.
    record: Option<String>,
    /// Only those that wait for your word.
    #[serde(default)]
    mine: bool,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows: 50 when absent, 200 at the most.
    limit: Option<u32>,
}

/// Change requests, the newest first.
#[utoipa::path(get, path = "/cmdb/change-requests", tag = "cmdb", params(RequestsQuery), responses((status = 200, body = Page<ChangeRequestJson>)))]
async fn list_requests(
    State(app): State<App>,
    Caller(who): Caller,
    Query(q): Query<RequestsQuery>,
) -> ApiResult<Json<Page<ChangeRequestJson>>> {
    let states = q.state.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let cursor = q.cursor.filter(|c| !c.is_empty());
    let query = ChangeQuery { states, record: q.record.filter(|r| !r.is_empty()), mine: q.mine, cursor, limit: q.limit.unwrap_or(50) };
    let (items, next_cursor) = app.cmdb.change_requests(&who, &query).await?;
    Ok(Json(Page { items: items.into_iter().map(request_json).collect(), next_cursor, total: None }))
}

/// Ask for a change of records. What no rule guards is done at once, or by its workflow.
#[utoipa::path(post, path = "/cmdb/change-requests", tag = "cmdb", request_body = NewChangeRequest,
    responses((status = 201, body = ChangeRequestJson), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn make_request(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(b): JsonBody<NewChangeRequest>,
) -> ApiResult<(StatusCode, Json<ChangeRequestJson>)> {
    let items = b.items.into_iter().map(|w| Wanted { act: w.act, model: w.model, id: w.id, attributes: w.attributes, version: w.version });
    let draft = Draft {
        title: b.title,
        reason: b.reason,
        ticket: b.ticket,
        items: items.collect(),
        workflow: b.workflow,
        input: b.input,
        key: None,
    };
    Ok((StatusCode::CREATED, Json(request_json(app.cmdb.request_change(&who, draft).await?))))
}

/// One change request.
#[utoipa::path(get, path = "/cmdb/change-requests/{id}", tag = "cmdb", params(("id" = String, Path)),
    responses((status = 200, body = ChangeRequestJson), (status = 404, body = Problem)))]
async fn get_request(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ChangeRequestJson>> {
    Ok(Json(request_json(app.cmdb.change_request(&who, &id).await?)))
}

/// A decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeDecision {
    approve: bool,
    /// That of the request as you saw it.
    hash: String,
    comment: Option<String>,
}

/// Approve or reject a change, for every rule that asks you. What is approved is what runs.
#[utoipa::path(post, path = "/cmdb/change-requests/{id}/decide", tag = "cmdb", request_body = ChangeDecision, params(("id" = String, Path)),
    responses((status = 200, body = ChangeRequestJson), (status = 403, body = Problem), (status = 409, body = Problem)))]
async fn decide_request(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<ChangeDecision>,
) -> ApiResult<Json<ChangeRequestJson>> {
    Ok(Json(request_json(app.cmdb.decide_change(&who, &id, b.approve, &b.hash, b.comment.as_deref()).await?)))
}

/// Take a request back that has not begun.
#[utoipa::path(post, path = "/cmdb/change-requests/{id}/withdraw", tag = "cmdb", params(("id" = String, Path)),
    responses((status = 200, body = ChangeRequestJson), (status = 409, body = Problem)))]
async fn withdraw_request(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ChangeRequestJson>> {
    Ok(Json(request_json(app.cmdb.withdraw_change(&who, &id).await?)))
}

/// Ask again for what records that changed in between held back, from what they are now.
#[utoipa::path(post, path = "/cmdb/change-requests/{id}/renew", tag = "cmdb", params(("id" = String, Path)),
    responses((status = 200, body = ChangeRequestJson), (status = 409, body = Problem)))]
async fn renew_request(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<ChangeRequestJson>> {
    Ok(Json(request_json(app.cmdb.renew_change(&who, &id).await?)))
}

/// A rule.
#[derive(Serialize, ToSchema)]
pub struct ChangeRuleJson {
    /// `name`, `title`, `models`, `acts`, `attributes`, `filter`, `at_least`, `approvers`, `enabled`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    rule: ChangeRule,
}

/// Which changes need approval, and whose.
#[utoipa::path(get, path = "/cmdb/change-rules", tag = "cmdb", responses((status = 200, body = Page<ChangeRuleJson>)))]
async fn list_rules(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<ChangeRuleJson>>> {
    let items = app.cmdb.change_rules(&who).await?.into_iter().map(|rule| ChangeRuleJson { rule }).collect();
    Ok(Json(Page { items, next_cursor: None, total: None }))
}

/// Make or change a rule.
#[utoipa::path(put, path = "/cmdb/change-rules/{rule}", tag = "cmdb", request_body = Object, params(("rule" = String, Path)),
    responses((status = 204), (status = 422, body = Problem)))]
async fn put_rule(
    State(app): State<App>,
    Caller(who): Caller,
    Path(name): Path<String>,
    JsonBody(mut rule): JsonBody<ChangeRule>,
) -> ApiResult<StatusCode> {
    rule.name = name;
    app.cmdb.put_change_rule(&who, rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a rule.
#[utoipa::path(delete, path = "/cmdb/change-rules/{rule}", tag = "cmdb", params(("rule" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn delete_rule(State(app): State<App>, Caller(who): Caller, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.cmdb.delete_change_rule(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
