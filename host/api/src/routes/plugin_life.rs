//! The life of an installed plugin: what it uses, what it failed at, its versions, its grant, its quarantine.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use plenum_runtime::{Metrics, PermissionChange, PermissionUse, Trap, TrapReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::plugins::{LogLine, PluginJson, log_line, plugin_json, value};
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(metrics))
        .routes(routes!(traps))
        .routes(routes!(permission_uses, set_permissions))
        .routes(routes!(versions))
        .routes(routes!(upgrade_plan, upgrade))
        .routes(routes!(rollback))
        .routes(routes!(release))
}

/// What a plugin uses, beside what it may use. Numbers count from the host's start; percentiles are those of the last five to ten
/// minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsJson {
    calls: u64,
    /// Calls that failed.
    errors: u64,
    /// Calls that were not let in: a full queue, a spent budget, quarantine.
    refused: u64,
    /// Calls that are under way.
    running: usize,
    /// Calls that wait for a place.
    queued: usize,
    queue_peak: usize,
    queue_limit: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    cpu_ms: u64,
    /// What is left of a minute's CPU time.
    cpu_left_ms: u64,
    cpu_per_minute_ms: u64,
    /// Largest memory of one call.
    memory_peak_bytes: u64,
    storage_bytes: i64,
    storage_limit_bytes: u64,
    document_limit_bytes: u64,
    /// Requests to the outside.
    outgoing: u64,
    /// Requests to the outside that the gate refused.
    outgoing_refused: u64,
    outgoing_per_minute: u32,
    outgoing_left: u64,
    log_lines_per_minute: u32,
    log_lines_left: u64,
    /// Lines of its log that were not kept.
    log_dropped: u64,
    /// Most entries that the tables of one call had.
    table_peak: u64,
    table_limit: u64,
    /// Resources that one call may hold at once.
    handle_limit: u64,
    /// What one call of the host may take from the plugin.
    copied_limit_bytes: u64,
    /// Random numbers of one request.
    random_limit_bytes: u64,
    /// Headers of one request or answer that it makes.
    header_limit_bytes: u64,
    /// Calls that were stopped, by the code of the reason: `plugin.cpu_budget`, `plugin.handles`, `plugin.trap`.
    stopped: BTreeMap<String, u64>,
    /// Why it is quarantined; null when it is not.
    quarantine: Option<String>,
    /// Seconds until it is tried again.
    quarantine_retry_after_s: Option<u64>,
}

impl From<Metrics> for MetricsJson {
    fn from(m: Metrics) -> Self {
        let s = m.stats;
        MetricsJson {
            calls: s.calls,
            errors: s.errors,
            refused: s.refused,
            running: s.running,
            queued: s.queued,
            queue_peak: s.queue_peak,
            queue_limit: m.queue_limit,
            p50_ms: s.p50_ms,
            p95_ms: s.p95_ms,
            p99_ms: s.p99_ms,
            cpu_ms: s.cpu_ms,
            cpu_left_ms: m.cpu_left_ms,
            cpu_per_minute_ms: m.cpu_per_minute_ms,
            memory_peak_bytes: s.memory_peak_bytes,
            storage_bytes: m.storage_bytes,
            storage_limit_bytes: m.storage_limit_bytes,
            document_limit_bytes: m.document_limit_bytes,
            outgoing: s.outgoing,
            outgoing_refused: s.outgoing_refused,
            outgoing_per_minute: m.outgoing_per_minute,
            outgoing_left: m.outgoing_left,
            log_lines_per_minute: m.log_lines_per_minute,
            log_lines_left: m.log_lines_left,
            log_dropped: s.log_dropped,
            table_peak: s.table_peak,
            table_limit: m.table_limit,
            handle_limit: m.handle_limit,
            copied_limit_bytes: m.copied_limit_bytes,
            random_limit_bytes: m.random_limit_bytes,
            header_limit_bytes: m.header_limit_bytes,
            stopped: s.stopped,
            quarantine: m.quarantine,
            quarantine_retry_after_s: m.quarantine_retry_after_s,
        }
    }
}

/// A call that trapped or exceeded a limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrapJson {
    at: String,
    /// The call; also the `call` of its log lines.
    call: String,
    /// Version of the plugin.
    version: String,
    /// `action plan`, `GET /x`.
    what: String,
    /// `plugin.trap`, `plugin.memory`, `plugin.cpu_budget`, `plugin.wall_time`.
    code: String,
    message: String,
    /// WebAssembly's frames, with lines of the source where the component carries them.
    backtrace: String,
    /// What it was called with, at most 4 KiB; null for HTTP.
    input: Option<String>,
    /// The lines of the call, oldest first.
    log: Vec<LogLine>,
}

impl From<TrapReport> for TrapJson {
    fn from(r: TrapReport) -> Self {
        let Trap { at, call, version, what, code, message, backtrace, input } = r.trap;
        TrapJson { at: rfc3339(at), call, version, what, code, message, backtrace, input, log: r.log.into_iter().map(log_line).collect() }
    }
}

/// A permission that a plugin asks for or has, and how it uses it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PermissionUseJson {
    name: String,
    /// Why it asks, by language.
    #[schema(value_type = Object)]
    reason: Value,
    /// How far it asks to reach: lists by scope key; null when it does not ask any more.
    #[schema(value_type = Option<Object>)]
    asked: Option<Value>,
    /// How far it reaches; null when it is not granted.
    #[schema(value_type = Option<Object>)]
    granted: Option<Value>,
    /// Whether it asks for more than it has: it waits for an administrator.
    pending: bool,
    /// Checks that were passed, ever.
    uses: i64,
    /// Null when it was never used.
    last_used_at: Option<String>,
    /// Checks that were not passed.
    refusals: i64,
    last_refused_at: Option<String>,
}

impl From<PermissionUse> for PermissionUseJson {
    fn from(p: PermissionUse) -> Self {
        PermissionUseJson {
            reason: value(&p.reason),
            asked: p.asked.as_ref().map(value),
            granted: p.granted.as_ref().map(value),
            pending: p.pending,
            uses: p.usage.uses,
            last_used_at: p.usage.last_used.map(rfc3339),
            refusals: p.usage.refusals,
            last_refused_at: p.usage.last_refused.map(rfc3339),
            name: p.name,
        }
    }
}

/// What to grant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// Names of the permissions to grant, of those that it asks for; all others are taken back.
    permissions: Vec<String>,
}

/// A change of what is installed.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionJson {
    version: String,
    digest: String,
    /// `installed`, `upgraded`, `rolled_back`, `failed`, `uninstalled`.
    change: String,
    /// Why it failed.
    reason: Option<String>,
    at: String,
    by: String,
}

/// What was installed when.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionsJson {
    /// The newest change first; at most 200.
    items: Vec<VersionJson>,
    /// The version that a rollback brings back; null when there is none.
    previous: Option<String>,
}

/// Which version to upgrade to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UpgradeQuery {
    /// The newest of the catalog when absent.
    version: Option<String>,
}

/// How a permission differs between the installed and the new version.
#[derive(Debug, Serialize, ToSchema)]
pub struct PermissionChangeJson {
    name: String,
    /// `added`, `removed`, `changed`, `same`.
    change: String,
    /// The old version's scope.
    #[schema(value_type = Option<Object>)]
    from: Option<Value>,
    /// The new version's scope.
    #[schema(value_type = Option<Object>)]
    to: Option<Value>,
    /// What is granted now.
    #[schema(value_type = Option<Object>)]
    granted: Option<Value>,
    /// Whether the new version asks for more than is granted.
    needs_grant: bool,
    /// Why the new version asks, by language.
    #[schema(value_type = Object)]
    reason: Value,
}

impl From<PermissionChange> for PermissionChangeJson {
    fn from(p: PermissionChange) -> Self {
        PermissionChangeJson {
            change: value(&p.change).as_str().unwrap_or_default().to_owned(),
            from: p.from.as_ref().map(value),
            to: p.to.as_ref().map(value),
            granted: p.granted.as_ref().map(value),
            needs_grant: p.needs_grant,
            reason: value(&p.reason),
            name: p.name,
        }
    }
}

/// What an upgrade would change.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpgradePlanJson {
    /// The installed version.
    from: String,
    /// The new one.
    to: String,
    permissions: Vec<PermissionChangeJson>,
    /// Whether something waits for an administrator.
    needs_grant: bool,
}

/// How to upgrade.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The newest of the catalog when absent.
    version: Option<String>,
    /// Names of the permissions to grant. When absent it keeps what it had; what is new then waits.
    permissions: Option<Vec<String>>,
}

/// What becomes of the records at a rollback.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RollbackData {
    /// They stay as they are now.
    #[default]
    Keep,
    /// They go back to what they were before the upgrade; what was written since is lost.
    Restore,
}

/// How to roll back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// `keep` when absent.
    #[serde(default)]
    data: RollbackData,
}

/// What a plugin uses and of how much.
#[utoipa::path(get, path = "/plugins/{id}/metrics", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = MetricsJson), (status = 404, body = Problem)))]
async fn metrics(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<MetricsJson>> {
    Ok(Json(app.plugins.metrics(&who, &id).await?.into()))
}

/// The last calls that trapped or exceeded a limit, newest first, each with backtrace, input and the log of the call.
#[utoipa::path(get, path = "/plugins/{id}/traps", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = Page<TrapJson>), (status = 404, body = Problem)))]
async fn traps(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<Page<TrapJson>>> {
    let items: Vec<TrapJson> = app.plugins.traps(&who, &id).await?.into_iter().map(Into::into).collect();
    Ok(Json(Page { total: i64::try_from(items.len()).ok(), items, next_cursor: None }))
}

/// What a plugin asks for, what it was granted, and when it used each last.
#[utoipa::path(get, path = "/plugins/{id}/permissions", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = Page<PermissionUseJson>), (status = 404, body = Problem)))]
async fn permission_uses(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<Page<PermissionUseJson>>> {
    let items: Vec<PermissionUseJson> = app.plugins.permission_uses(&who, &id).await?.into_iter().map(Into::into).collect();
    Ok(Json(Page { total: i64::try_from(items.len()).ok(), items, next_cursor: None }))
}

/// Grant an installed plugin these permissions and no others, from its next call on.
#[utoipa::path(put, path = "/plugins/{id}/permissions", tag = "plugins", request_body = GrantRequest, params(("id" = String, Path)),
    responses((status = 200, body = PluginJson), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn set_permissions(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<GrantRequest>,
) -> ApiResult<Json<PluginJson>> {
    Ok(Json(plugin_json(app.plugins.set_grant(&who, &id, &b.permissions).await?)))
}

/// What was installed when, by whom, and what failed.
#[utoipa::path(get, path = "/plugins/{id}/versions", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = VersionsJson)))]
async fn versions(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<VersionsJson>> {
    let (all, previous) = app.plugins.versions(&who, &id).await?;
    let items = all
        .into_iter()
        .map(|v| VersionJson { version: v.version, digest: v.digest, change: v.change, reason: v.reason, at: rfc3339(v.at), by: v.actor })
        .collect();
    Ok(Json(VersionsJson { items, previous }))
}

/// What an upgrade would change: added, removed and changed permissions, and what waits for an administrator.
#[utoipa::path(get, path = "/plugins/{id}/upgrade", tag = "plugins", params(("id" = String, Path), UpgradeQuery), responses((status = 200, body = UpgradePlanJson), (status = 404, body = Problem)))]
async fn upgrade_plan(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<UpgradeQuery>,
) -> ApiResult<Json<UpgradePlanJson>> {
    let plan = app.plugins.upgrade_plan(&who, &id, q.version.as_deref()).await?;
    let permissions = plan.permissions.into_iter().map(Into::into).collect();
    Ok(Json(UpgradePlanJson { from: plan.from, to: plan.to, permissions, needs_grant: plan.needs_grant }))
}

/// Upgrade without a dropped request. A version that fails to migrate its records, is not well or cannot be activated is rolled back at
/// once: 422 `plugin.rolled_back` says why.
#[utoipa::path(post, path = "/plugins/{id}/upgrade", tag = "plugins", request_body = UpgradeRequest, params(("id" = String, Path)),
    responses((status = 200, body = PluginJson), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn upgrade(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<UpgradeRequest>,
) -> ApiResult<Json<PluginJson>> {
    let version = b.version.as_deref();
    let made = match &b.permissions {
        Some(names) => app.plugins.install(&who, &id, version, names).await?,
        None => app.plugins.upgrade(&who, &id, version).await?,
    };
    Ok(Json(plugin_json(made)))
}

/// Go back to the version before.
#[utoipa::path(post, path = "/plugins/{id}/rollback", tag = "plugins", request_body = RollbackRequest, params(("id" = String, Path)),
    responses((status = 200, body = PluginJson), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn rollback(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(b): JsonBody<RollbackRequest>,
) -> ApiResult<Json<PluginJson>> {
    let restore = matches!(b.data, RollbackData::Restore);
    Ok(Json(plugin_json(app.plugins.rollback(&who, &id, restore).await?)))
}

/// Lift a plugin's quarantine.
#[utoipa::path(post, path = "/plugins/{id}/release", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = PluginJson), (status = 404, body = Problem)))]
async fn release(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<PluginJson>> {
    app.plugins.release(&who, &id).await?;
    Ok(Json(plugin_json(app.plugins.plugin(&who, &id).await?)))
}
