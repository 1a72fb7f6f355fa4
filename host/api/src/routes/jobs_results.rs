//! Results of an execution as groups, searched, and as a file.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use plenum_jobs::{OutputMatch, ResultGroup};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Caller, Path, Query};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(groups)).routes(routes!(search)).routes(routes!(download))
}

/// Targets that ended the same way and printed the same.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultGroupJson {
    status: &'static str,
    /// Whose fault it was.
    fault: Option<&'static str>,
    exit_code: Option<i64>,
    signal: Option<i64>,
    code: Option<String>,
    /// SHA-256 over what each printed.
    output_hash: Option<String>,
    count: u64,
    /// One of them.
    node_id: String,
    node_name: String,
    stdout_bytes: i64,
    stderr_bytes: i64,
}

impl From<ResultGroup> for ResultGroupJson {
    fn from(g: ResultGroup) -> Self {
        ResultGroupJson {
            status: g.status.as_str(),
            fault: g.fault.map(|f| f.as_str()),
            exit_code: g.exit_code,
            signal: g.signal,
            code: g.code,
            output_hash: g.output_hash,
            count: g.count,
            node_id: g.node_id,
            node_name: g.node_name,
            stdout_bytes: g.stdout_bytes,
            stderr_bytes: g.stderr_bytes,
        }
    }
}

/// All targets as groups.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupsJson {
    /// The largest 200.
    items: Vec<ResultGroupJson>,
    /// Targets of other groups.
    others: u64,
}

/// Targets by status, exit code and identical output, largest group first.
#[utoipa::path(get, path = "/jobs/executions/{id}/groups", tag = "jobs", params(("id" = String, Path)), responses((status = 200, body = GroupsJson), (status = 404, body = Problem)))]
async fn groups(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Json<GroupsJson>> {
    let g = app.jobs.groups(&who, &id).await?;
    Ok(Json(GroupsJson { items: g.items.into_iter().map(ResultGroupJson::from).collect(), others: g.others }))
}

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// 1 to 200 bytes of text; case does not matter.
    search: String,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A line that holds what was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchedLineJson {
    /// Counts from 1.
    number: u64,
    text: String,
}

/// Lines of one stream of a target.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutputMatchJson {
    node_id: String,
    node_name: String,
    stream: &'static str,
    /// The first three.
    lines: Vec<MatchedLineJson>,
    /// How many there are.
    count: u64,
}

impl From<OutputMatch> for OutputMatchJson {
    fn from(m: OutputMatch) -> Self {
        OutputMatchJson {
            node_id: m.node_id,
            node_name: m.node_name,
            stream: m.stream.as_str(),
            lines: m.lines.into_iter().map(|l| MatchedLineJson { number: l.number, text: l.text }).collect(),
            count: m.count,
        }
    }
}

/// A page of a search in output.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutputMatchesJson {
    items: Vec<OutputMatchJson>,
    /// Targets that were searched for this page.
    searched: u64,
    /// A page reads at most 500 targets and some 16 MiB: it may be empty and still have a next one.
    next_cursor: Option<String>,
}

/// Lines of output that hold a text.
#[utoipa::path(get, path = "/jobs/executions/{id}/search", tag = "jobs", params(("id" = String, Path), SearchQuery), responses((status = 200, body = OutputMatchesJson), (status = 422, body = Problem)))]
async fn search(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Query(q): Query<SearchQuery>,
) -> ApiResult<Json<OutputMatchesJson>> {
    let m = app.jobs.search_output(&who, &id, &q.search, q.cursor.as_deref()).await?;
    let items = m.items.into_iter().map(OutputMatchJson::from).collect();
    Ok(Json(OutputMatchesJson { items, searched: m.searched, next_cursor: m.next_cursor }))
}

/// An execution with all results and outputs as a tar.
#[utoipa::path(get, path = "/jobs/executions/{id}/download", tag = "jobs", params(("id" = String, Path)), responses((status = 200, content_type = "application/x-tar", body = Vec<u8>), (status = 404, body = Problem)))]
async fn download(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<Response> {
    let stream = app.jobs.download(&who, &id).await?;
    let body = Body::from_stream(stream.map(|piece| piece.map_err(|e| std::io::Error::other(e.to_string()))));
    let mut response = body.into_response();
    let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    if let Ok(v) = HeaderValue::from_str(&format!("attachment; filename=\"job-{name}.tar\"")) {
        headers.insert(header::CONTENT_DISPOSITION, v);
    }
    Ok(response)
}
