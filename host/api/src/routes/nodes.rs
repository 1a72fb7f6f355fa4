//! Nodes, their agents, and the tokens that enrol them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_access::AccessError;
use plenum_jobs::{JobsError, Node, NodeQuery, NodeState, TokenInfo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_nodes))
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(get_node, rename_node, revoke_node))
        .routes(routes!(collect))
}

impl From<JobsError> for ApiError {
    fn from(e: JobsError) -> Self {
        let (code, detail) = (e.code(), e.to_string());
        let conflict = |title: &str| ApiError::new(StatusCode::CONFLICT, code, title, detail.clone());
        match e {
            JobsError::Access(AccessError::Store(s)) | JobsError::Store(s) => s.into(),
            JobsError::Access(a) => a.into(),
            JobsError::NotFound { .. } => ApiError::not_found(code, detail),
            JobsError::Invalid { field, message, .. } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "A value is not valid", message).at(field)
            }
            JobsError::Blocked(findings) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "A rule blocks the script", detail)
                .at("/script/content")
                .with_errors(findings.into_iter().map(|f| {
                    let advice = if f.advice.is_empty() { String::new() } else { format!(" {}", f.advice) };
                    (
                        "/script/content".to_owned(),
                        format!("line {}, column {}: {} ({}). {}{advice}", f.line, f.column, f.title, f.rule, f.why),
                    )
                })),
            JobsError::NotWaiting(_) => conflict("It does not wait"),
            JobsError::ApprovalChanged(_) => conflict("It has changed"),
            JobsError::Cmdb { .. } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The targets cannot be resolved", detail).at("/targets")
            }
            JobsError::NoTargets(_) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "No target", detail).at("/targets"),
            JobsError::KeyConflict { .. } => conflict("The key is taken").at("/key"),
            JobsError::AlreadyFinished(_) => conflict("Already finished"),
            JobsError::NodeOffline(_) => conflict("The node is offline"),
            JobsError::NodeRevoked(_) => conflict("The node is revoked"),
            JobsError::Enrolment(_) => ApiError::new(StatusCode::FORBIDDEN, code, "Enrolment refused", detail),
            JobsError::Busy(_) | JobsError::ShuttingDown => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, "Not now", detail).retry_after(5)
            }
            JobsError::Ca(_) | JobsError::Server(_) => ApiError::internal(detail),
        }
    }
}

/// A managed machine.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeJson {
    id: String,
    name: String,
    /// `online`, `offline` or `revoked`.
    state: &'static str,
    state_since: String,
    host_instance_id: Option<String>,
    address: Option<String>,
    agent_version: String,
    enrolled_at: String,
    last_seen_at: Option<String>,
    /// Targets that are sent to it and not ended.
    running: u32,
    load_1m: Option<f64>,
}

impl From<Node> for NodeJson {
    fn from(n: Node) -> Self {
        NodeJson {
            id: n.id,
            name: n.name,
            state: n.state.as_str(),
            state_since: rfc3339(n.state_since),
            host_instance_id: n.host_instance_id,
            address: n.address,
            agent_version: n.agent_version,
            enrolled_at: rfc3339(n.enrolled_at),
            last_seen_at: n.last_seen_at.map(rfc3339),
            running: n.running,
            load_1m: n.load_1m,
        }
    }
}

/// Which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NodesQuery {
    /// `online`, `offline` or `revoked`.
    state: Option<String>,
    /// Text in the name, host name or address.
    search: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

/// Reads one of a few words.
pub(super) fn word<T>(value: Option<String>, name: &str, parse: impl Fn(&str) -> Option<T>) -> ApiResult<Option<T>> {
    match value.as_deref().map(str::trim).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(v) => parse(v).map(Some).ok_or_else(|| ApiError::bad_request("request.query", format!("{name}: {v:?} is none of its values"))),
    }
}

/// Nodes by name.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(NodesQuery), responses((status = 200, body = Page<NodeJson>)))]
async fn list_nodes(State(app): State<App>, Caller(who): Caller, Query(q): Query<NodesQuery>) -> ApiResult<Json<Page<NodeJson>>> {
    let query = NodeQuery {
        state: word(q.state, "state", NodeState::parse)?,
        search: q.search,
        cursor: q.cursor,
        limit: q.limit.unwrap_or(50).clamp(1, 500),
    };
    let page = app.jobs.nodes(&who, &query).await?;
    let items = page.items.into_iter().map(NodeJson::from).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor, total: i64::try_from(page.total).ok() }))
}

/// One node.
#[utoipa::path(get, path = "/nodes/{id}", tag = "nodes", params(("id" = String, Path)), responses((status = 200, body = NodeJson), (status = 404, body = Problem)))]
async fn get_node(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<NodeJson>> {
    Ok(Json(app.jobs.node(&who, &id).await?.into()))
}

/// What can be changed of a node.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePatch {
    name: String,
}

/// Gives a node another name.
#[utoipa::path(patch, path = "/nodes/{id}", tag = "nodes", params(("id" = String, Path)), request_body = NodePatch, responses((status = 200, body = NodeJson)))]
async fn rename_node(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(p): JsonBody<NodePatch>,
) -> ApiResult<Json<NodeJson>> {
    Ok(Json(app.jobs.rename(&who, &id, &p.name).await?.into()))
}

/// Revokes a node: its certificates are refused from now on, and its connection ends.
#[utoipa::path(delete, path = "/nodes/{id}", tag = "nodes", params(("id" = String, Path)), responses((status = 200, body = NodeJson)))]
async fn revoke_node(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<NodeJson>> {
    Ok(Json(app.jobs.revoke(&who, &id).await?.into()))
}

/// Asks a node's agent to look at its machine now.
#[utoipa::path(post, path = "/nodes/{id}/collect", tag = "nodes", params(("id" = String, Path)), responses((status = 202), (status = 409, body = Problem)))]
async fn collect(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.jobs.collect(&who, &id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// An enrolment token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnrolmentTokenJson {
    id: String,
    created_by: String,
    created_at: String,
    expires_at: String,
    used_at: Option<String>,
    /// The node that it enrolled.
    node_id: Option<String>,
}

impl From<TokenInfo> for EnrolmentTokenJson {
    fn from(t: TokenInfo) -> Self {
        EnrolmentTokenJson {
            id: t.id,
            created_by: t.created_by,
            created_at: rfc3339(t.created_at),
            expires_at: rfc3339(t.expires_at),
            used_at: t.used_at.map(rfc3339),
            node_id: t.node_id,
        }
    }
}

/// Enrolment tokens, newest first.
#[utoipa::path(get, path = "/nodes/enrolment-tokens", tag = "nodes", responses((status = 200, body = Page<EnrolmentTokenJson>)))]
async fn list_tokens(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<EnrolmentTokenJson>>> {
    let items: Vec<EnrolmentTokenJson> = app.jobs.enrolment_tokens(&who).await?.into_iter().map(EnrolmentTokenJson::from).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// What a new token is for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewEnrolmentToken {
    /// Seconds until it expires; an hour when absent, a week at the most.
    ttl_s: Option<u32>,
}

/// A new token. Its text is answered here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedEnrolmentToken {
    id: String,
    token: String,
    expires_at: String,
    /// To be run on the machine that is to be enrolled.
    command: String,
}

/// Makes a token that enrols one machine, once.
#[utoipa::path(post, path = "/nodes/enrolment-tokens", tag = "nodes", request_body = NewEnrolmentToken, responses((status = 201, body = CreatedEnrolmentToken)))]
async fn create_token(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<NewEnrolmentToken>,
) -> ApiResult<(StatusCode, Json<CreatedEnrolmentToken>)> {
    let t = app.jobs.create_enrolment_token(&who, body.ttl_s).await?;
    let command = app.jobs.enrolment_command(&t.token);
    Ok((StatusCode::CREATED, Json(CreatedEnrolmentToken { id: t.id, token: t.token, expires_at: rfc3339(t.expires_at), command })))
}
