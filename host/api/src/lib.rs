//! The HTTP door: routes, OpenAPI, sessions, live events, the portal's files. Thin: rules live in the domains.

pub mod error;
pub mod extract;
pub mod list;
mod portal;
pub mod routes;
mod security;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use plenum_access::Access;
use plenum_cmdb::Cmdb;
use plenum_jobs::Jobs;
use plenum_runtime::Plugins;
use plenum_store::{Db, Events};
use plenum_workflow::Workflows;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

pub use error::{ApiError, ApiResult, Problem};

/// Largest body of a request that has no limit of its own.
pub const MAX_BODY: usize = 2 * 1024 * 1024;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The database, for readiness.
    pub db: Db,
    /// Users, sessions, the one check.
    pub access: Access,
    /// The outbox.
    pub events: Events,
    /// Models and instances.
    pub cmdb: Cmdb,
    /// Nodes and executions.
    pub jobs: Jobs,
    /// Definitions, runs, schedules.
    pub workflows: Workflows,
    /// Catalog and installed plugins.
    pub plugins: Plugins,
    /// What the API says of the host itself.
    pub info: Arc<HostInfo>,
    /// Ends the streams when the host stops.
    pub shutdown: CancellationToken,
}

/// What the API says of the host itself.
#[derive(Debug)]
pub struct HostInfo {
    /// Version of this build.
    pub version: &'static str,
    /// When the process started.
    pub started: Instant,
    /// Whether the portal is reached over HTTPS: the session cookie then carries `Secure`.
    pub https: bool,
    /// Where agents dial to, as shown in the enrolment command.
    pub agent_address: String,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Plenum", description = "The HTTP API of a Plenum host. Errors are RFC 9457 problem details; lists answer `items`, `next_cursor` and `total`."),
    tags(
        (name = "access", description = "Sessions, users, tokens, audit"),
        (name = "cmdb", description = "Models, instances, associations"),
        (name = "nodes", description = "Managed machines and their agents"),
        (name = "jobs", description = "Executions and their results"),
        (name = "workflows", description = "Definitions, runs, schedules"),
        (name = "plugins", description = "Catalog and installed plugins"),
        (name = "system", description = "The host itself"),
    )
)]
struct ApiDoc;

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(ApiDoc::openapi()).nest("/api/v1", routes::router())
}

/// The OpenAPI 3.1 document of all routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut doc = api().into_openapi();
    doc.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = doc.components.get_or_insert_default();
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(extract::SESSION_COOKIE, "Set by POST /api/v1/session"))),
    );
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token, `plt_...`")).build()),
    );
    doc
}

/// The whole HTTP service of the host.
pub fn router(app: App) -> Router {
    let (routes, _) = api().split_for_parts();
    // Live streams must not sit in a compressor's buffer.
    let compress = CompressionLayer::new().compress_when(DefaultPredicate::new().and(NotForContentType::new("text/event-stream")));
    routes
        .merge(routes::system::probes())
        .merge(routes::plugins::files())
        .fallback(portal::serve)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn(security::headers))
        .layer(compress)
        .with_state(app)
}
