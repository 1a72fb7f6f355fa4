//! Installed plugins, requests into them, their pages' files.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bytes::Bytes;
use plenum_access::Permission;
use plenum_runtime::logs::{Level, Line, LogQuery as LinesWanted};
use plenum_runtime::package::{Manifest, PageKind};
use plenum_runtime::{Installed, RuntimeError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::{Page, rfc3339};

/// Largest body of a request into a plugin.
const MAX_PLUGIN_BODY: usize = 8 * 1024 * 1024;

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(installed, install))
        .routes(routes!(plugin, uninstall))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(get_settings, put_settings))
        .routes(routes!(logs))
        .routes(routes!(call_action))
        .routes(routes!(plugin_icon))
        .route("/plugins/{id}/http", any(http_root))
        // The path of a plugin's own root; `{*path}` matches no empty rest.
        .route("/plugins/{id}/http/", any(http_root))
        .route("/plugins/{id}/http/{*path}", any(http))
}

/// Files of plugins' pages: public by digest, outside of the API.
pub fn files() -> Router<App> {
    Router::new().route("/plugins/{id}/{digest}/{*path}", get(file))
}

impl From<RuntimeError> for ApiError {
    fn from(e: RuntimeError) -> Self {
        match e {
            RuntimeError::Access(a) => a.into(),
            RuntimeError::Store(s) => s.into(),
            RuntimeError::Secret(s) => ApiError::internal(s),
            RuntimeError::Internal(m) => ApiError::internal(m),
            e => {
                let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let title = match &e {
                    RuntimeError::NotFound(_) => "Not found",
                    RuntimeError::Signature(_) => "The signature does not allow it",
                    RuntimeError::Ungranted(_) => "The component imports what it was not granted",
                    RuntimeError::Fetch(_) => "The package cannot be fetched",
                    RuntimeError::Requires(_) => "Plugins need each other",
                    RuntimeError::Busy { .. } => "The plugin is busy",
                    RuntimeError::Throttled { .. } => "The plugin used up a budget",
                    RuntimeError::Quarantined { .. } => "The plugin is quarantined",
                    RuntimeError::RolledBack { .. } => "The new version failed",
                    RuntimeError::CpuBudget { .. }
                    | RuntimeError::WallTime { .. }
                    | RuntimeError::Memory { .. }
                    | RuntimeError::Limit { .. } => "The plugin exceeded a limit",
                    RuntimeError::Trap { .. } | RuntimeError::Plugin { .. } => "The plugin failed",
                    RuntimeError::State(_) => "Not in this state",
                    _ => "The request is not valid",
                };
                let code = e.code().to_owned();
                let problem = ApiError::new(status, &code, title, e.to_string());
                match &e {
                    e if e.retry_after().is_some() => problem.retry_after(e.retry_after().unwrap_or(1)),
                    RuntimeError::Workflow(plenum_workflow::WorkflowError::Invalid(problems)) => {
                        problem.with_errors(problems.iter().map(|p| (p.pointer.clone(), p.message.clone())))
                    }
                    _ => problem,
                }
            }
        }
    }
}

/// A permission that a plugin asks for.
#[derive(Debug, Serialize, ToSchema)]
pub struct PermissionJson {
    name: String,
    /// Lists by scope key; an absent key allows all of that kind.
    #[schema(value_type = Object)]
    scope: Value,
    /// By language.
    #[schema(value_type = Object)]
    reason: Value,
}

/// A page of a plugin.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageJson {
    id: String,
    #[schema(value_type = Object)]
    title: Value,
    /// `framed` or `declared`.
    kind: &'static str,
    /// Where its entry file is.
    url: String,
    icon: Option<String>,
}

/// An installed plugin.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginJson {
    id: String,
    #[schema(value_type = Object)]
    name: Value,
    #[schema(value_type = Object)]
    description: Value,
    publisher: Option<String>,
    version: String,
    digest: String,
    /// `active`, `disabled`, `compiling`, `failed`, `quarantined`.
    status: String,
    status_reason: Option<String>,
    icon_url: Option<String>,
    pages: Vec<PageJson>,
    /// What it asks for.
    permissions: Vec<PermissionJson>,
    /// What it was granted: scopes by permission.
    #[schema(value_type = Object)]
    granted: Value,
    #[schema(value_type = Object)]
    signature: Value,
    actions: Vec<String>,
    installed_at: String,
    installed_by: String,
    #[schema(value_type = Option<Object>)]
    limits: Option<Value>,
    #[schema(value_type = Option<Object>)]
    stats: Option<Value>,
}

/// What to install.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallRequest {
    id: String,
    /// The newest when absent.
    version: Option<String>,
    /// Names of the permissions to grant, of those that it asks for.
    permissions: Vec<String>,
}

/// How to uninstall.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UninstallQuery {
    /// Also delete what it stored.
    #[serde(default)]
    delete_data: bool,
}

/// Which lines of a log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// `debug`, `info`, `warn` or `error`, and what is graver.
    level: Option<String>,
    /// Text of the message or the fields, or the id of a call.
    search: Option<String>,
    /// Those of one call.
    call: Option<String>,
    /// From this time on, RFC 3339.
    since: Option<String>,
    /// Before this time, RFC 3339.
    until: Option<String>,
    /// 200 when absent, 2,000 at the most.
    limit: Option<usize>,
}

/// A line of a plugin's log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogLine {
    at: String,
    level: String,
    /// The call that wrote it.
    call: String,
    message: String,
    #[schema(value_type = Object)]
    fields: Value,
}

pub(super) fn value<T: Serialize>(v: &T) -> Value {
    serde_json::to_value(v).unwrap_or(Value::Null)
}

pub(super) fn permissions(m: &Manifest) -> Vec<PermissionJson> {
    m.permissions.iter().map(|p| PermissionJson { name: p.name.clone(), scope: value(&p.scope), reason: value(&p.reason) }).collect()
}

pub(super) fn plugin_json(i: Installed) -> PluginJson {
    let m = i.manifest.as_ref();
    let short: String = i.digest.trim_start_matches("sha256:").chars().take(12).collect();
    let base = format!("/plugins/{}/{short}", i.id);
    PluginJson {
        name: m.map_or_else(|| json!({"en": i.id}), |m| value(&m.name)),
        description: m.map_or(Value::Null, |m| value(&m.description)),
        publisher: m.map(|m| m.publisher.clone()),
        pages: m
            .map(|m| {
                let page = |p: &plenum_runtime::package::PageSpec| PageJson {
                    id: p.id.clone(),
                    title: value(&p.title),
                    kind: if p.kind == PageKind::Framed { "framed" } else { "declared" },
                    url: format!("{base}/{}", p.entry),
                    icon: p.icon.as_ref().map(|i| format!("{base}/{i}")),
                };
                m.pages.iter().map(page).collect()
            })
            .unwrap_or_default(),
        permissions: m.map(permissions).unwrap_or_default(),
        actions: m.map(|m| m.actions.iter().map(|a| a.name.clone()).collect()).unwrap_or_default(),
        icon_url: m.and_then(|m| m.icon.as_ref()).map(|_| format!("/api/v1/plugins/{}/icon", i.id)),
        status: value(&i.status).as_str().unwrap_or_default().to_owned(),
        status_reason: i.status_reason,
        granted: value(&i.granted),
        signature: i.signature,
        installed_at: rfc3339(i.installed_at),
        installed_by: i.installed_by,
        limits: i.limits.map(|l| {
            json!({"memory_mb": l.memory_bytes >> 20, "cpu_ms": l.cpu.as_millis(), "wall_ms": l.wall.as_millis(), "concurrency": l.concurrency, "queue": l.queue})
        }),
        stats: i.stats.as_ref().map(value),
        id: i.id,
        version: i.version,
        digest: i.digest,
    }
}

pub(super) fn page<T>(items: Vec<T>) -> Json<Page<T>> {
    let total = i64::try_from(items.len()).ok();
    Json(Page { items, next_cursor: None, total })
}

/// The icon of an installed plugin.
#[utoipa::path(get, path = "/plugins/{id}/icon", tag = "plugins", params(("id" = String, Path)), responses((status = 200), (status = 404, body = Problem)))]
async fn plugin_icon(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Response> {
    app.access.require(&who, Permission::PluginsRead, &[]).await?;
    let (name, bytes) = app
        .plugins
        .icon(&id)
        .ok_or_else(|| ApiError::not_found("plugin.not_found", format!("the plugin {id} has no icon, or is not active")))?;
    Ok(image(&name, bytes))
}

/// An image of a stranger: shown as an image and nothing else.
pub(super) fn image(name: &str, bytes: Bytes) -> Response {
    let mut r = Response::new(Body::from(bytes));
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(mime(name)));
    r.headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"));
    r.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"));
    r
}

/// What is installed.
#[utoipa::path(get, path = "/plugins", tag = "plugins", responses((status = 200, body = Page<PluginJson>)))]
async fn installed(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<PluginJson>>> {
    Ok(page(app.plugins.installed(&who).await?.into_iter().map(plugin_json).collect()))
}

/// Install a package of the catalog, or upgrade to it.
#[utoipa::path(post, path = "/plugins", tag = "plugins", request_body = InstallRequest,
    responses((status = 201, body = PluginJson), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn install(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(b): JsonBody<InstallRequest>,
) -> ApiResult<(StatusCode, Json<PluginJson>)> {
    let made = app.plugins.install(&who, &b.id, b.version.as_deref(), &b.permissions).await?;
    Ok((StatusCode::CREATED, Json(plugin_json(made))))
}

/// One installed plugin.
#[utoipa::path(get, path = "/plugins/{id}", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = PluginJson), (status = 404, body = Problem)))]
async fn plugin(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<PluginJson>> {
    Ok(Json(plugin_json(app.plugins.plugin(&who, &id).await?)))
}

/// Uninstall a plugin, keeping or deleting what it stored.
#[utoipa::path(delete, path = "/plugins/{id}", tag = "plugins", params(("id" = String, Path), UninstallQuery), responses((status = 204), (status = 404, body = Problem)))]
async fn uninstall(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<UninstallQuery>,
) -> ApiResult<StatusCode> {
    app.plugins.uninstall(&who, &id, q.delete_data).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switch a plugin on.
#[utoipa::path(post, path = "/plugins/{id}/enable", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = PluginJson), (status = 404, body = Problem)))]
async fn enable(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<PluginJson>> {
    Ok(Json(plugin_json(app.plugins.enable(&who, &id).await?)))
}

/// Switch a plugin off; its data stays.
#[utoipa::path(post, path = "/plugins/{id}/disable", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = PluginJson), (status = 404, body = Problem)))]
async fn disable(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<PluginJson>> {
    Ok(Json(plugin_json(app.plugins.disable(&who, &id).await?)))
}

/// The settings of a plugin: what there is to set, and the values. A secret shows only whether it is set.
#[utoipa::path(get, path = "/plugins/{id}/settings", tag = "plugins", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
async fn get_settings(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let (specs, values) = app.plugins.settings(&who, &id).await?;
    Ok(Json(json!({"settings": specs, "values": values})))
}

/// Change settings: null goes back to the default, what is absent stays.
#[utoipa::path(put, path = "/plugins/{id}/settings", tag = "plugins", request_body = Object, params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 422, body = Problem)))]
async fn put_settings(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<Value>,
) -> ApiResult<Json<Value>> {
    app.plugins.set_settings(&who, &id, change).await?;
    let (specs, values) = app.plugins.settings(&who, &id).await?;
    Ok(Json(json!({"settings": specs, "values": values})))
}

/// The newest lines of a plugin's log first.
#[utoipa::path(get, path = "/plugins/{id}/logs", tag = "plugins", params(("id" = String, Path), LogQuery), responses((status = 200, body = Page<LogLine>), (status = 404, body = Problem)))]
async fn logs(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<LogQuery>,
) -> ApiResult<Json<Page<LogLine>>> {
    let level = match q.level.as_deref() {
        None | Some("" | "debug") => Level::Debug,
        Some("info") => Level::Info,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some(other) => {
            return Err(ApiError::bad_request("request.query", format!("there is no level {other:?}; use debug, info, warn or error")));
        }
    };
    let time = |text: Option<&String>, name: &str| match text.filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(t) => chrono::DateTime::parse_from_rfc3339(t)
            .map(|t| Some(t.timestamp_millis()))
            .map_err(|e| ApiError::bad_request("request.query", format!("{name} {t:?} is no time such as 2026-01-31T08:00:00Z: {e}"))),
    };
    let wanted = LinesWanted {
        level,
        since: time(q.since.as_ref(), "since")?,
        until: time(q.until.as_ref(), "until")?,
        search: q.search.unwrap_or_default(),
        call: q.call.filter(|c| !c.is_empty()),
        limit: q.limit.unwrap_or(200),
    };
    let lines = app.plugins.logs(&who, &id, &wanted).await?;
    Ok(page(lines.into_iter().map(log_line).collect()))
}

pub(super) fn log_line(l: Line) -> LogLine {
    LogLine {
        at: rfc3339(l.at),
        level: value(&l.level).as_str().unwrap_or_default().to_owned(),
        call: l.call,
        message: l.message,
        fields: l.fields,
    }
}

/// Call an action of a plugin with a JSON input that fits its schema. `Idempotency-Key` has it done once.
#[utoipa::path(post, path = "/plugins/{id}/actions/{action}", tag = "plugins", request_body = Object, params(("id" = String, Path), ("action" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn call_action(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(input): JsonBody<Value>,
) -> ApiResult<Json<Value>> {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).map(str::to_owned);
    Ok(Json(app.plugins.call_action(&who, &id, &action, &input, key).await?))
}

async fn http_root(app: State<App>, caller: Caller, Path(id): Path<String>, request: Request<Body>) -> ApiResult<Response> {
    forward(app, caller, id, request).await
}

async fn http(app: State<App>, caller: Caller, Path((id, _)): Path<(String, String)>, request: Request<Body>) -> ApiResult<Response> {
    forward(app, caller, id, request).await
}

/// Hands a request to a plugin, under the path that remains after `.../http`.
async fn forward(State(app): State<App>, Caller(who): Caller, id: String, request: Request<Body>) -> ApiResult<Response> {
    let (mut parts, body) = request.into_parts();
    let too_large = |_| {
        let detail = format!("a request into a plugin has at most {MAX_PLUGIN_BODY} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", "The request's body is too large", detail)
    };
    let body = axum::body::to_bytes(body, MAX_PLUGIN_BODY).await.map_err(too_large)?;
    // The path as it was sent, encoded: what a plugin decodes is its own business.
    let whole = parts.uri.path();
    let prefix = format!("/plugins/{id}/http");
    let rest = whole.find(&prefix).and_then(|i| whole.get(i + prefix.len()..)).filter(|r| !r.is_empty()).unwrap_or("/");
    let inner = match parts.uri.query() {
        Some(q) => format!("{rest}?{q}"),
        None => rest.to_owned(),
    };
    parts.uri = inner.parse::<Uri>().map_err(|e| ApiError::bad_request("request.path", format!("the path {inner:?} is not valid: {e}")))?;
    let head = parts.method == Method::HEAD;
    let answer = app.plugins.handle_http(&who, &id, Request::from_parts(parts, body)).await?;
    let (mut parts, body) = answer.into_parts();
    // What a plugin answers is data for its page. Opened by itself it must not run as a page of the portal's origin.
    parts.headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    );
    parts.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(Response::from_parts(parts, if head { Body::empty() } else { Body::new(body) }))
}

/// A file of a plugin's page. It runs in a sandbox without an origin: its policy names the one folder that it may load from, and
/// there is no network but the bridge.
async fn file(State(app): State<App>, Path((id, digest, path)): Path<(String, String, String)>, headers: HeaderMap) -> Response {
    let bytes = match app.plugins.file(&id, &digest, &path) {
        Ok(b) => b,
        Err(e) => return ApiError::from(e).into_response(),
    };
    let mut response = Response::new(Body::from(bytes));
    let h = response.headers_mut();
    h.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime(&path)));
    h.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    h.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    h.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    let host = headers
        .get(header::HOST)
        .and_then(|v| v.to_str().ok())
        .filter(|v| v.chars().all(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(c)));
    let scheme = if app.info.https { "https" } else { "http" };
    let base = format!("{scheme}://{}/plugins/{id}/{digest}/", host.unwrap_or("localhost"));
    let policy = format!(
        "sandbox allow-scripts allow-downloads allow-forms allow-modals; default-src 'none'; script-src {base}; style-src {base} 'unsafe-inline'; \
         img-src {base} data: blob:; font-src {base} data:; connect-src {base}; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    );
    if let Ok(v) = HeaderValue::from_str(&policy) {
        h.insert(header::CONTENT_SECURITY_POLICY, v);
    }
    response
}

fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" | "md" | "yaml" | "yml" | "toml" | "csv" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
