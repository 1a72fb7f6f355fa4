//! A plugin's data as a file, out of the host and in.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use plenum_runtime::{DATA_MEDIA_TYPE, ImportOptions, ImportReport};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, Path, Query};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export, import))
}

/// What goes out.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// Also the settings, but for those that are secret.
    #[serde(default)]
    settings: bool,
}

/// How it comes in.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Check the whole file and answer what would be done, and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Also take the settings of the file.
    #[serde(default)]
    settings: bool,
}

/// A collection of an import.
#[derive(Debug, Serialize, ToSchema)]
pub struct DataCollectionJson {
    /// Its name within the plugin; `~keyvalue` holds keys and values.
    name: String,
    /// Records of the file.
    records: u64,
    /// Records that there were before, which are no longer there.
    replaces: u64,
}

/// What an import did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DataImportJson {
    plugin: String,
    /// Whether it was only tried.
    dry_run: bool,
    /// The version of the plugin that the data come from.
    version: String,
    /// The version that is installed here.
    installed_version: String,
    exported_at: String,
    collections: Vec<DataCollectionJson>,
    /// All records of the file.
    records: u64,
    /// All records that they replace.
    replaces: u64,
    /// Names of the settings that are taken.
    settings: Vec<String>,
    /// What to know before it is done.
    warnings: Vec<String>,
}

impl From<ImportReport> for DataImportJson {
    fn from(r: ImportReport) -> Self {
        let collection =
            |c: plenum_runtime::ImportedCollection| DataCollectionJson { name: c.name, records: c.records, replaces: c.replaces };
        DataImportJson {
            plugin: r.plugin,
            dry_run: r.dry_run,
            version: r.version,
            installed_version: r.installed_version,
            exported_at: r.exported_at,
            collections: r.collections.into_iter().map(collection).collect(),
            records: r.records,
            replaces: r.replaces,
            settings: r.settings,
            warnings: r.warnings,
        }
    }
}

/// All that a plugin stored, as one file: a first line that says whose data they are, then one record a line, then a line that ends it.
/// Never what is secret.
#[utoipa::path(get, path = "/plugins/{id}/data", tag = "plugins", params(("id" = String, Path), ExportQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn export(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>, Query(q): Query<ExportQuery>) -> ApiResult<Response> {
    let e = app.plugins.export_data(&who, &id, q.settings).await?;
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(e.file, 1 << 16)));
    let h = response.headers_mut();
    h.insert(header::CONTENT_TYPE, HeaderValue::from_static(DATA_MEDIA_TYPE));
    h.insert(header::CONTENT_LENGTH, HeaderValue::from(e.bytes));
    if let Ok(v) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", e.name)) {
        h.insert(header::CONTENT_DISPOSITION, v);
    }
    Ok(response)
}

/// Put the data of such a file in the place of all that the plugin stored: all of it, or nothing when anything in it is wrong.
#[utoipa::path(post, path = "/plugins/{id}/data", tag = "plugins", params(("id" = String, Path), ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = DataImportJson), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem)))]
async fn import(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<ImportQuery>,
    body: Body,
) -> ApiResult<Json<DataImportJson>> {
    let mut upload = app.plugins.receive_data(&who, &id).await?;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let broken = |e| {
            ApiError::new(StatusCode::BAD_REQUEST, "request.body", "The request's body is not valid", format!("the file ended early: {e}"))
        };
        upload.write(&piece.map_err(broken)?).await?;
    }
    let options = ImportOptions { dry_run: q.dry_run, settings: q.settings };
    Ok(Json(app.plugins.import_data(&who, &id, upload, options).await?.into()))
}
