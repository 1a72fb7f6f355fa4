//! What nodes' agents measure, and how they are told to work.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use plenum_jobs::{NodeMetrics, NodePolicy, PolicyDraft, PolicySettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
        .routes(routes!(metrics))
        .routes(routes!(settings))
        .routes(routes!(list_policies, create_policy))
        .routes(routes!(change_policy, delete_policy))
}

/// Which values.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricsQuery {
    /// Only metrics whose name starts so.
    prefix: Option<String>,
    /// Values at the most: 2,000 when absent, 10,000 at the most; 0 for none.
    limit: Option<usize>,
}

/// A metric's last value.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricJson {
    name: String,
    /// Its labels, an object of texts.
    labels: Value,
    /// `counter`, `gauge` or `untyped`.
    kind: &'static str,
    /// None where it is infinite.
    value: Option<f64>,
}

/// How a check ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckJson {
    name: String,
    kind: String,
    target: String,
    ok: bool,
    /// What was found.
    message: String,
    at: String,
}

/// The last half hour: lists of the same length, null where nothing is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricHistoryJson {
    /// When, milliseconds since 1970, by the node's clock.
    times: Vec<i64>,
    /// Share of the processors that was busy, 0 to 1.
    cpu: Vec<Option<f32>>,
    /// Share of the memory that was not available, 0 to 1.
    memory: Vec<Option<f32>>,
    /// Share that was used of the fullest file system, 0 to 1.
    disk: Vec<Option<f32>>,
    /// Bytes a second.
    disk_read: Vec<Option<f32>>,
    /// Bytes a second.
    disk_write: Vec<Option<f32>>,
    /// Bytes a second, without the loopback.
    network_in: Vec<Option<f32>>,
    /// Bytes a second, without the loopback.
    network_out: Vec<Option<f32>>,
    load_1m: Vec<Option<f32>>,
}

/// The last values of a node's metrics. Kept in memory: a host that was restarted has none until the agent's next batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeMetricsJson {
    /// When the last batch came; none when there was none since the host started.
    received_at: Option<String>,
    history: MetricHistoryJson,
    checks: Vec<CheckJson>,
    /// By name and labels, in the names that Prometheus' node_exporter uses.
    values: Vec<MetricJson>,
    /// How many values there are, shown or not.
    total: usize,
    /// Batches that the agent had to drop for want of disk, since the host started.
    dropped_batches: u64,
}

impl NodeMetricsJson {
    fn new(found: Option<NodeMetrics>, q: &MetricsQuery) -> NodeMetricsJson {
        let received_at = found.as_ref().map(|f| rfc3339(f.received_at));
        let found = found.unwrap_or(NodeMetrics { received_at: 0, values: vec![], checks: vec![], points: vec![], dropped_batches: 0 });
        let list = |of: fn(&plenum_jobs::Point) -> f32| found.points.iter().map(|p| Some(of(p)).filter(|v| v.is_finite())).collect();
        let history = MetricHistoryJson {
            times: found.points.iter().map(|p| p.at_ms).collect(),
            cpu: list(|p| p.cpu),
            memory: list(|p| p.memory),
            disk: list(|p| p.disk),
            disk_read: list(|p| p.disk_read),
            disk_write: list(|p| p.disk_write),
            network_in: list(|p| p.network_in),
            network_out: list(|p| p.network_out),
            load_1m: list(|p| p.load_1m),
        };
        let prefix = q.prefix.as_deref().unwrap_or_default();
        let mut values: Vec<MetricJson> = found
            .values
            .into_iter()
            .filter(|v| v.name.starts_with(prefix))
            .map(|v| MetricJson {
                name: v.name,
                labels: v.labels.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
                kind: v.kind,
                value: Some(v.value).filter(|v| v.is_finite()),
            })
            .collect();
        let total = values.len();
        values.truncate(q.limit.unwrap_or(2000).min(10_000));
        let check = |c: plenum_jobs::CheckState| CheckJson {
            name: c.name,
            kind: c.kind,
            target: c.target,
            ok: c.ok,
            message: c.message,
            at: rfc3339(c.at_ms),
        };
        let checks = found.checks.into_iter().map(check).collect();
        NodeMetricsJson { received_at, history, checks, values, total, dropped_batches: found.dropped_batches }
    }
}

/// The last values of a node's metrics, its checks, and the last half hour of what matters most.
#[utoipa::path(get, path = "/nodes/{id}/metrics", tag = "nodes", params(("id" = String, Path), MetricsQuery),
    responses((status = 200, body = NodeMetricsJson), (status = 404, body = Problem)))]
async fn metrics(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<MetricsQuery>,
) -> ApiResult<Json<NodeMetricsJson>> {
    Ok(Json(NodeMetricsJson::new(app.jobs.node_metrics(&who, &id).await?, &q)))
}

/// What holds for a node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeSettingsJson {
    /// As in a policy, with the usual values where no policy decides.
    settings: Value,
    /// Names of the policies that fit the node; of two that decide the same the later one counts.
    policies: Vec<String>,
}

/// How a node's agent is told to work, and by which policies.
#[utoipa::path(get, path = "/nodes/{id}/settings", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = NodeSettingsJson), (status = 404, body = Problem)))]
async fn settings(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<NodeSettingsJson>> {
    let found = app.jobs.node_settings(&who, &id).await?;
    Ok(Json(NodeSettingsJson { settings: json(&found.settings)?, policies: found.policies }))
}

fn json(settings: &PolicySettings) -> ApiResult<Value> {
    serde_json::to_value(settings).map_err(|e| ApiError::internal(e.to_string()))
}

/// How agents of some nodes are to work.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodePolicyJson {
    id: String,
    name: String,
    /// Patterns of node names, with `*` and `?`, separated by commas.
    nodes: String,
    /// Of two policies that decide the same the one with the higher place counts.
    place: i64,
    /// `metrics_s`, `metrics_send_s`, `scrapes`, `checks`.
    settings: Value,
    version: i64,
    updated_at: String,
    updated_by: String,
}

fn policy(p: NodePolicy) -> ApiResult<NodePolicyJson> {
    Ok(NodePolicyJson {
        settings: json(&p.settings)?,
        id: p.id,
        name: p.name,
        nodes: p.nodes,
        place: p.place,
        version: p.version,
        updated_at: rfc3339(p.updated_at),
        updated_by: p.updated_by,
    })
}

/// A policy as somebody wants it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    name: String,
    /// Patterns of node names, with `*` and `?`, separated by commas.
    nodes: String,
    #[serde(default)]
    place: i64,
    /// `metrics_s` (seconds between looks, 0 for none), `metrics_send_s` (seconds between batches), `scrapes` (`name`, `url`, `timeout_s`,
    /// `max_samples`), `checks` (`name`, `kind`, `target`, `least`). What is left out others decide.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Value,
    /// The version that was read, for a change; without it whatever is there is overwritten.
    #[serde(default)]
    version: Option<i64>,
}

impl PolicyBody {
    fn draft(self) -> ApiResult<(PolicyDraft, Option<i64>)> {
        let settings = if self.settings.is_null() { Value::Object(Default::default()) } else { self.settings };
        let settings = serde_json::from_value(settings).map_err(|e| {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "jobs.bad_policy", "A value is not valid", format!("settings: {e}"))
                .at("/settings")
        })?;
        Ok((PolicyDraft { name: self.name, nodes: self.nodes, place: self.place, settings }, self.version))
    }
}

/// Policies for agents, in the order in which they count.
#[utoipa::path(get, path = "/node-policies", tag = "nodes", responses((status = 200, body = Page<NodePolicyJson>)))]
async fn list_policies(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<NodePolicyJson>>> {
    let items = app.jobs.node_policies(&who).await?.into_iter().map(policy).collect::<ApiResult<Vec<_>>>()?;
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Makes a policy. Agents that it fits are told at once.
#[utoipa::path(post, path = "/node-policies", tag = "nodes", request_body = PolicyBody,
    responses((status = 201, body = NodePolicyJson), (status = 422, body = Problem)))]
async fn create_policy(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<PolicyBody>,
) -> ApiResult<(StatusCode, Json<NodePolicyJson>)> {
    let (draft, _) = body.draft()?;
    Ok((StatusCode::CREATED, Json(policy(app.jobs.save_node_policy(&who, None, draft, None).await?)?)))
}

/// Changes a policy. Agents are told at once.
#[utoipa::path(put, path = "/node-policies/{id}", tag = "nodes", params(("id" = String, Path)), request_body = PolicyBody,
    responses((status = 200, body = NodePolicyJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn change_policy(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<PolicyBody>,
) -> ApiResult<Json<NodePolicyJson>> {
    let (draft, version) = body.draft()?;
    Ok(Json(policy(app.jobs.save_node_policy(&who, Some(&id), draft, version).await?)?))
}

/// Removes a policy. Agents are told at once.
#[utoipa::path(delete, path = "/node-policies/{id}", tag = "nodes", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn delete_policy(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.jobs.delete_node_policy(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
