//! What can be installed: the catalogs, merged; versions, changelogs, images; and where the catalogs stand.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use plenum_runtime::catalog::{Offer, Search, newer, offers};
use plenum_runtime::package::Trust;
use plenum_runtime::{CatalogEntry, CatalogStatus, Installed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::plugins::{PermissionJson, image, page, permissions, value};
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, Path, Query};
use crate::list::{ListQuery, Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(catalog))
        .routes(routes!(catalog_categories))
        .routes(routes!(catalog_entry))
        .routes(routes!(catalog_icon))
        .routes(routes!(catalog_screenshot))
        .routes(routes!(catalogs))
        .routes(routes!(refresh_catalogs))
}

/// Which plugins of the catalog.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CatalogQuery {
    /// All of these words in id, name, description, publisher or category.
    search: Option<String>,
    /// A category.
    category: Option<String>,
    /// A publisher.
    publisher: Option<String>,
    /// `trusted`, `unknown_publisher`, `unsigned` or `modified`.
    state: Option<String>,
    /// Whether pre-releases are offered too: `true`.
    #[serde(default)]
    prereleases: bool,
}

/// Which version.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// The one that would be installed when absent.
    version: Option<String>,
}

/// One version of a plugin in the catalog.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogVersionJson {
    version: String,
    digest: String,
    /// Bytes.
    size: u64,
    /// The plugin API that it needs.
    api: String,
    /// Whether it is chosen only when it is asked for.
    prerelease: bool,
    /// `trusted`, `unknown_publisher`, `unsigned`, `modified`.
    #[schema(value_type = String)]
    state: Value,
    /// Why it cannot be installed here.
    problem: Option<String>,
    /// Names of the catalogs that have it.
    catalogs: Vec<String>,
}

/// A plugin of the catalog: the version that would be installed, and which others there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogJson {
    /// Absent when the package cannot be read: `problem` then says why.
    id: Option<String>,
    file: String,
    #[schema(value_type = Object)]
    name: Value,
    #[schema(value_type = Object)]
    description: Value,
    version: Option<String>,
    publisher: Option<String>,
    license: Option<String>,
    categories: Vec<String>,
    icon_url: Option<String>,
    /// state: `trusted`, `unknown_publisher`, `unsigned`, `modified`; key_id; publisher as the host's configuration names it; reason why
    /// it is not trusted; origin; signers: key_id, publisher and standing (`good`, `expired`, `revoked`, `out_of_scope`, `unknown_key`,
    /// `broken`) of each signature.
    #[schema(value_type = Object)]
    signature: Value,
    permissions: Vec<PermissionJson>,
    /// The plugin API that it needs.
    api: Option<String>,
    /// Bytes.
    size: u64,
    digest: String,
    /// Why it cannot be installed here.
    problem: Option<String>,
    /// The installed version, if it is.
    installed: Option<String>,
    /// Whether a newer version than the installed one can be installed.
    upgrade: bool,
    /// Names of the catalogs that have it.
    catalogs: Vec<String>,
    /// Plugins that it needs: versions by id.
    #[schema(value_type = Object)]
    requires: Value,
    /// Markdown, its start; only where one plugin is asked for.
    changelog: Option<String>,
    /// Addresses of images.
    screenshots: Vec<String>,
    /// All versions, newest first.
    versions: Vec<CatalogVersionJson>,
}

/// Where a catalog stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogSourceJson {
    name: String,
    /// A folder, `https://...` or `oci://...`.
    source: String,
    /// `folder`, `web`, `registry`.
    kind: &'static str,
    /// What is wrong with it, and what to do; what it had before is still shown.
    problem: Option<String>,
    /// How many packages it has.
    packages: usize,
    /// Of its signed index; absent for a folder without one.
    serial: Option<u64>,
    /// Who signed its index.
    publisher: Option<String>,
    /// When its index ends.
    expires_at: Option<String>,
    /// When it was last asked.
    tried_at: Option<String>,
    /// When it last answered well.
    fetched_at: Option<String>,
}

/// How often each category is there.
#[derive(Debug, Serialize, ToSchema)]
pub struct CategoryJson {
    name: String,
    plugins: usize,
}

fn version_json(e: &CatalogEntry) -> Option<CatalogVersionJson> {
    let m = e.manifest.as_ref()?;
    Some(CatalogVersionJson {
        version: m.version.to_string(),
        digest: e.digest.clone(),
        size: e.size,
        api: m.api.to_string(),
        prerelease: !m.version.pre.is_empty(),
        state: value(&e.signature.state),
        problem: e.problem.clone(),
        catalogs: e.catalogs.clone(),
    })
}

fn catalog_json(o: Offer, installed: &[Installed], whole: bool) -> CatalogJson {
    let e = o.best;
    let m = e.manifest.as_ref();
    let here = m.and_then(|m| installed.iter().find(|i| i.id == m.id)).map(|i| i.version.clone());
    // The address holds the version: what a browser keeps of one is not shown for another.
    let address = |what: &str| m.map(|m| format!("/api/v1/catalog/{}/{what}?version={}", m.id, m.version.to_string().replace('+', "%2B")));
    CatalogJson {
        id: m.map(|m| m.id.clone()),
        name: m.map_or_else(|| json!({"en": e.file}), |m| value(&m.name)),
        description: m.map_or(Value::Null, |m| value(&m.description)),
        version: m.map(|m| m.version.to_string()),
        publisher: m.map(|m| m.publisher.clone()),
        license: m.and_then(|m| m.license.clone()),
        categories: m.map(|m| m.categories.clone()).unwrap_or_default(),
        icon_url: m.filter(|m| m.icon.is_some()).and_then(|_| address("icon")),
        signature: value(&e.signature),
        permissions: m.map(permissions).unwrap_or_default(),
        api: m.map(|m| m.api.to_string()),
        size: e.size,
        digest: e.digest.clone(),
        upgrade: e.problem.is_none() && m.zip(here.as_ref()).is_some_and(|(m, here)| newer(m, here)),
        problem: e.problem.clone(),
        installed: here,
        catalogs: e.catalogs.clone(),
        requires: m.map_or_else(|| json!({}), |m| value(&m.requires)),
        changelog: e.changelog.clone().filter(|_| whole),
        screenshots: m.map(|m| (0..m.screenshots.len()).filter_map(|i| address(&format!("screenshots/{i}"))).collect()).unwrap_or_default(),
        versions: o.versions.iter().filter_map(version_json).collect(),
        file: e.file,
    }
}

fn source_json(s: CatalogStatus) -> CatalogSourceJson {
    CatalogSourceJson {
        name: s.name,
        source: s.source,
        kind: s.kind,
        problem: s.problem,
        packages: s.packages,
        serial: s.serial,
        publisher: s.publisher,
        expires_at: s.expires_at.map(rfc3339),
        tried_at: s.tried_at.map(rfc3339),
        fetched_at: s.fetched_at.map(rfc3339),
    }
}

fn missing(id: &str) -> ApiError {
    ApiError::not_found("plugin.not_found", format!("the catalog has no package {id}"))
}

async fn one(app: &App, who: &plenum_access::Principal, id: &str, version: Option<&str>) -> ApiResult<Offer> {
    let mut entries = app.plugins.catalog(who).await?;
    entries.retain(|e| e.manifest.as_ref().is_some_and(|m| m.id == id));
    let mut offer = offers(entries, &Search::default()).pop().ok_or_else(|| missing(id))?;
    if let Some(v) = version {
        let found = offer.versions.iter().find(|e| e.manifest.as_ref().is_some_and(|m| m.version.to_string() == v));
        offer.best = found.cloned().ok_or_else(|| missing(&format!("{id} {v}")))?;
    }
    Ok(offer)
}

/// The plugins that the catalogs offer: one entry for each plugin, and one for each package that cannot be read.
#[utoipa::path(get, path = "/catalog", tag = "plugins", params(CatalogQuery), responses((status = 200, body = Page<CatalogJson>)))]
async fn catalog(State(app): State<App>, Caller(who): Caller, Query(q): Query<CatalogQuery>) -> ApiResult<Json<Page<CatalogJson>>> {
    let state = match q.state.as_deref() {
        None | Some("") => None,
        Some("trusted") => Some(Trust::Trusted),
        Some("unknown_publisher") => Some(Trust::UnknownPublisher),
        Some("unsigned") => Some(Trust::Unsigned),
        Some("modified") => Some(Trust::Modified),
        Some(other) => {
            let known = "use trusted, unknown_publisher, unsigned or modified";
            return Err(ApiError::bad_request("request.query", format!("there is no state {other:?}; {known}")));
        }
    };
    let search = Search {
        text: ListQuery::non_empty(&q.search),
        category: ListQuery::non_empty(&q.category),
        publisher: ListQuery::non_empty(&q.publisher),
        state,
        prereleases: q.prereleases,
    };
    let installed = app.plugins.installed(&who).await?;
    let found = offers(app.plugins.catalog(&who).await?, &search);
    Ok(page(found.into_iter().map(|o| catalog_json(o, &installed, false)).collect()))
}

/// The categories of what the catalogs offer.
#[utoipa::path(get, path = "/catalog-categories", tag = "plugins", responses((status = 200, body = Page<CategoryJson>)))]
async fn catalog_categories(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<CategoryJson>>> {
    let mut counted: std::collections::BTreeMap<String, usize> = Default::default();
    for o in offers(app.plugins.catalog(&who).await?, &Search::default()) {
        for c in o.best.manifest.iter().flat_map(|m| &m.categories) {
            *counted.entry(c.clone()).or_default() += 1;
        }
    }
    Ok(page(counted.into_iter().map(|(name, plugins)| CategoryJson { name, plugins }).collect()))
}

/// One plugin of the catalog, with its changelog, in the version that would be installed or in the one that is asked for.
#[utoipa::path(get, path = "/catalog/{id}", tag = "plugins", params(("id" = String, Path), VersionQuery), responses((status = 200, body = CatalogJson), (status = 404, body = Problem)))]
async fn catalog_entry(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<VersionQuery>,
) -> ApiResult<Json<CatalogJson>> {
    let installed = app.plugins.installed(&who).await?;
    Ok(Json(catalog_json(one(&app, &who, &id, q.version.as_deref()).await?, &installed, true)))
}

async fn shown(app: &App, who: &plenum_access::Principal, id: &str, q: VersionQuery, which: Option<usize>) -> ApiResult<Response> {
    let e = one(app, who, id, q.version.as_deref()).await?.best;
    let m = e.manifest.as_ref().ok_or_else(|| missing(id))?;
    let name = match which {
        None => m.icon.as_ref(),
        Some(n) => m.screenshots.get(n),
    };
    let name = name.ok_or_else(|| missing(&format!("{id} with this image")))?;
    let bytes = app.plugins.catalog_media(&e, name).await?.ok_or_else(|| missing(&format!("{id} with this image")))?;
    Ok(image(name, bytes.into()))
}

/// The icon of a package in the catalog.
#[utoipa::path(get, path = "/catalog/{id}/icon", tag = "plugins", params(("id" = String, Path), VersionQuery), responses((status = 200), (status = 404, body = Problem)))]
async fn catalog_icon(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<VersionQuery>,
) -> ApiResult<Response> {
    shown(&app, &who, &id, q, None).await
}

/// A screenshot of a package in the catalog, counted from 0.
#[utoipa::path(get, path = "/catalog/{id}/screenshots/{number}", tag = "plugins", params(("id" = String, Path), ("number" = usize, Path), VersionQuery), responses((status = 200), (status = 404, body = Problem)))]
async fn catalog_screenshot(
    State(app): State<App>,
    Caller(who): Caller,
    Path((id, number)): Path<(String, usize)>,
    Query(q): Query<VersionQuery>,
) -> ApiResult<Response> {
    shown(&app, &who, &id, q, Some(number)).await
}

/// The catalogs, and what is wrong with those that cannot be used.
#[utoipa::path(get, path = "/catalogs", tag = "plugins", responses((status = 200, body = Page<CatalogSourceJson>)))]
async fn catalogs(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<CatalogSourceJson>>> {
    Ok(page(app.plugins.catalogs(&who).await?.into_iter().map(source_json).collect()))
}

/// Ask all catalogs for newer packages, now.
#[utoipa::path(post, path = "/catalogs/refresh", tag = "plugins", responses((status = 200, body = Page<CatalogSourceJson>), (status = 403, body = Problem)))]
async fn refresh_catalogs(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<CatalogSourceJson>>> {
    Ok(page(app.plugins.refresh_catalogs(&who).await?.into_iter().map(source_json).collect()))
}
