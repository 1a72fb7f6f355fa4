//! Many records at once: bulk writes, export, import; and what stands around a record.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use plenum_access::Principal;
use plenum_cmdb::table::{self, Column, SYSTEM_COLUMNS, cell};
use plenum_cmdb::{Bulk, BulkAction, BulkResult, BulkRow, CmdbError, Graph, GraphQuery, Instance, Model, RowOutcome, Walk};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cmdb::{InstanceJson, instance_json, time};
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, JsonBody, Path, Query};
use crate::list::ListQuery;

/// Largest file that is imported.
const MAX_FILE: usize = 16 << 20;
/// Rows of a file whose rows stand for themselves.
const MAX_ROWS: usize = 20_000;
/// Rows that are written together, when each row stands for itself.
const TOGETHER: usize = 500;
/// Rows of an answer's report.
const MAX_REPORT: usize = 1_000;

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    let files = OpenApiRouter::new().routes(routes!(import)).layer(DefaultBodyLimit::max(MAX_FILE));
    OpenApiRouter::new().routes(routes!(bulk)).routes(routes!(export)).routes(routes!(graph)).routes(routes!(restore)).merge(files)
}

/// Many rows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkBody {
    /// `create`, `update`, `upsert` or `delete`.
    #[schema(value_type = String)]
    action: BulkAction,
    /// Attributes that tell which record a row without id means.
    #[serde(default)]
    key: Vec<String>,
    /// Whether one failure undoes all; otherwise each row stands for itself.
    #[serde(default)]
    all: bool,
    /// Only say what would be.
    #[serde(default)]
    dry_run: bool,
    /// Why, for the history: a ticket, a message.
    why: Option<String>,
    /// At most 5,000.
    rows: Vec<RowBody>,
}

/// One row.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RowBody {
    id: Option<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// The version that the change was made from.
    version: Option<i64>,
}

/// What became of the rows.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BulkAnswer {
    /// Whether anything was kept: not of a dry run, nor of all-or-nothing with a failure.
    kept: bool,
    created: usize,
    updated: usize,
    unchanged: usize,
    deleted: usize,
    failed: usize,
    /// One for each row. Of a file the first 1,000 that failed, or when none did, the first 1,000.
    rows: Vec<RowAnswer>,
}

/// What became of a row.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RowAnswer {
    /// Counts from 0; of a file, the line on which the row begins.
    row: usize,
    /// `created`, `updated`, `unchanged`, `deleted`, `failed`.
    #[schema(value_type = String)]
    outcome: RowOutcome,
    id: Option<String>,
    label: Option<String>,
    /// The attribute that is wrong, where it is one.
    attribute: Option<String>,
    code: Option<String>,
    /// What is wrong and what would be right.
    detail: Option<String>,
}

impl BulkAnswer {
    fn count(&mut self, outcome: RowOutcome) {
        *match outcome {
            RowOutcome::Created => &mut self.created,
            RowOutcome::Updated => &mut self.updated,
            RowOutcome::Unchanged => &mut self.unchanged,
            RowOutcome::Deleted => &mut self.deleted,
            RowOutcome::Failed => &mut self.failed,
        } += 1;
    }

    fn add(&mut self, done: BulkResult, at: impl Fn(usize) -> usize) {
        self.kept |= done.kept;
        for (i, r) in done.rows.into_iter().enumerate() {
            self.count(r.outcome);
            let attribute = match &r.error {
                Some(CmdbError::InvalidInstance { pointer, .. }) => pointer.split('/').nth(1).filter(|a| !a.is_empty()).map(str::to_owned),
                Some(CmdbError::Document(plenum_store::DocumentError::Duplicate { fields })) => fields.first().cloned(),
                _ => None,
            };
            let code = r.error.as_ref().map(|e| e.code().to_owned());
            self.rows.push(RowAnswer {
                row: at(i),
                outcome: r.outcome,
                id: r.id,
                label: r.label,
                attribute,
                code,
                detail: r.error.map(|e| e.to_string()),
            });
        }
    }
}

/// Create, change, put or delete many records: in one transaction, in which each row stands for itself unless `all` is set.
#[utoipa::path(post, path = "/cmdb/models/{model}/bulk", tag = "cmdb", request_body = BulkBody, params(("model" = String, Path)),
    responses((status = 200, body = BulkAnswer), (status = 422, body = Problem)))]
async fn bulk(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    JsonBody(b): JsonBody<BulkBody>,
) -> ApiResult<Json<BulkAnswer>> {
    let rows = b.rows.into_iter().map(|r| BulkRow { id: r.id, attributes: r.attributes, version: r.version }).collect();
    let bulk = Bulk { action: b.action, key: b.key, rows, all: b.all, dry_run: b.dry_run, why: b.why };
    let mut answer = BulkAnswer::default();
    answer.add(app.cmdb.bulk(&who, &model, bulk).await?, |i| i);
    Ok(Json(answer))
}

/// What to export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `csv` (when absent) or `json`.
    format: Option<String>,
    /// A CEL expression over the attributes.
    filter: Option<String>,
    /// Free text.
    search: Option<String>,
    /// An attribute; a leading `-` sorts downwards.
    sort: Option<String>,
    /// The records as they were at this time (RFC 3339).
    at: Option<String>,
}

/// All records that match, as a file. CSV comes back by import: see there.
#[utoipa::path(get, path = "/cmdb/models/{model}/export", tag = "cmdb", params(("model" = String, Path), ExportQuery),
    responses((status = 200, description = "The file", content_type = "text/csv"), (status = 400, body = Problem)))]
async fn export(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    Query(q): Query<ExportQuery>,
) -> ApiResult<Response> {
    let csv = match q.format.as_deref() {
        None | Some("" | "csv") => true,
        Some("json") => false,
        Some(other) => return Err(ApiError::bad_request("cmdb.format", format!("there is no format {other}; use csv or json"))),
    };
    let at = q.at.as_deref().filter(|t| !t.is_empty()).map(time).transpose()?;
    let m = app.cmdb.model(&who, &model).await?.model;
    let list = ListQuery { filter: q.filter, search: q.search, sort: q.sort, ..ListQuery::default() };
    let query = plenum_cmdb::Query { limit: 1000, with_total: false, ..super::cmdb::query(&list) };
    // The first page before the answer begins, so that a wrong filter is an error and no torn file.
    let first = page(&app, &who, &model, &query, at).await?;
    let name = format!("{model}.{}", if csv { "csv" } else { "json" });
    let state = Exporting { app, who, model: m, query, at, csv, first: true, next: Some(first) };
    let stream = futures::stream::try_unfold(state, |mut s| async move {
        let Some(page) = s.next.take() else { return Ok(None) };
        let bytes = s.write(&page)?;
        if let Some(cursor) = page.next_cursor {
            s.query.cursor = Some(cursor);
            s.next = Some(
                self::page(&s.app, &s.who, &s.model.name, &s.query, s.at)
                    .await
                    .map_err(|e| std::io::Error::other(e.problem().detail.clone()))?,
            );
        }
        Ok::<_, std::io::Error>(Some((Bytes::from(bytes), s)))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let kind = if csv { "text/csv; charset=utf-8" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(v) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, v);
    }
    Ok(response)
}

async fn page(
    app: &App,
    who: &Principal,
    model: &str,
    query: &plenum_cmdb::Query,
    at: Option<i64>,
) -> ApiResult<plenum_cmdb::InstancePage> {
    Ok(match at {
        None => app.cmdb.list(who, model, query).await?,
        Some(at) => app.cmdb.list_at(who, model, query, at).await?,
    })
}

struct Exporting {
    app: App,
    who: Principal,
    model: Model,
    query: plenum_cmdb::Query,
    at: Option<i64>,
    csv: bool,
    first: bool,
    next: Option<plenum_cmdb::InstancePage>,
}

impl Exporting {
    /// Attributes that records hold.
    fn columns(&self) -> impl Iterator<Item = &plenum_cmdb::Attribute> {
        self.model.attributes.iter().filter(|a| a.kind != plenum_cmdb::AttributeKind::Secret)
    }

    /// A page of the file; with its head before the first, and its end after the last.
    fn write(&mut self, page: &plenum_cmdb::InstancePage) -> std::io::Result<Vec<u8>> {
        let first = std::mem::take(&mut self.first);
        let last = page.next_cursor.is_none();
        if self.csv {
            let mut out = csv::Writer::from_writer(Vec::new());
            if first {
                out.write_record(
                    SYSTEM_COLUMNS
                        .iter()
                        .copied()
                        .take(1)
                        .chain(self.columns().map(|a| a.name.as_str()))
                        .chain(SYSTEM_COLUMNS.iter().copied().skip(1)),
                )?;
            }
            for i in &page.items {
                let InstanceJson { id, version, created_at, updated_at, .. } = instance_json(i.clone());
                out.write_field(&id)?;
                for a in self.columns() {
                    out.write_field(cell(i.attributes.get(&a.name)).as_ref())?;
                }
                out.write_record([version.to_string(), created_at, updated_at])?;
            }
            return out.into_inner().map_err(|e| std::io::Error::other(e.to_string()));
        }
        let mut out = if first { b"[\n".to_vec() } else { Vec::new() };
        for (n, i) in page.items.iter().enumerate() {
            serde_json::to_writer(&mut out, &instance_json(i.clone()))?;
            out.extend_from_slice(if last && n + 1 == page.items.len() { b"\n" } else { b",\n" });
        }
        if last {
            out.extend_from_slice(b"]\n");
        }
        Ok(out)
    }
}

/// How a file is read.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// `upsert` (when absent), `create` or `update`.
    action: Option<String>,
    /// Attributes, with commas between, that tell which record a row without id means.
    key: Option<String>,
    /// `true`: one failure undoes all. Otherwise each row stands for itself.
    all: Option<bool>,
    /// `true`: only say what would be.
    dry_run: Option<bool>,
    /// Why, for the history: a ticket, a message.
    why: Option<String>,
}

/// A CSV file of records, at most 16 MiB and 20,000 rows (5,000 with `all`). The first line names attributes, by name or title; `id` names a record. Commas,
/// semicolons and tabs are understood. An empty cell says nothing. Asked with `Accept: text/csv`, it answers the file with a column of errors.
#[utoipa::path(post, path = "/cmdb/models/{model}/import", tag = "cmdb", request_body(content = String, content_type = "text/csv"), params(("model" = String, Path), ImportQuery),
    responses((status = 200, body = BulkAnswer), (status = 422, body = Problem)))]
async fn import(
    State(app): State<App>,
    Caller(who): Caller,
    Path(model): Path<String>,
    Query(q): Query<ImportQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> ApiResult<Response> {
    app.cmdb.may_write(&who, &model).await?;
    let body = body?;
    let m = app.cmdb.model(&who, &model).await?.model;
    let action = match q.action.as_deref() {
        None | Some("" | "upsert") => BulkAction::Upsert,
        Some("create") => BulkAction::Create,
        Some("update") => BulkAction::Update,
        Some(o) => return Err(ApiError::bad_request("cmdb.import", format!("there is no action {o}; use upsert, create or update"))),
    };
    let key: Vec<String> = q.key.iter().flat_map(|k| k.split(',')).map(str::trim).filter(|k| !k.is_empty()).map(str::to_owned).collect();
    let (all, dry_run) = (q.all.unwrap_or(false), q.dry_run.unwrap_or(false));
    let file = File::read(&m, &body)?;
    if action == BulkAction::Upsert && key.is_empty() && !file.columns.contains(&Column::Id) {
        let unique: Vec<String> = m.unique.iter().map(|u| u.join(",")).collect();
        let such = if unique.is_empty() { String::new() } else { format!(", such as {}", unique.join(" or ")) };
        return Err(wrong(format!(
            "which record does a row mean? Name the attributes in `key`{such}; or give the file a column id; or say action=create"
        )));
    }
    if all && file.rows.len() > plenum_cmdb::MAX_ROWS {
        return Err(wrong(format!("all or nothing is for at most {} rows, and the file has {}", plenum_cmdb::MAX_ROWS, file.rows.len())));
    }
    let answer = file.write(&app, &who, &model, Bulk { action, key, rows: Vec::new(), all, dry_run, why: q.why }).await?;
    let wants = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if wants.starts_with("text/csv") {
        return file.with_errors(&answer.rows);
    }
    let mut answer = answer;
    if answer.failed > 0 {
        answer.rows.retain(|r| r.outcome == RowOutcome::Failed);
    }
    answer.rows.truncate(MAX_REPORT);
    Ok(Json(answer).into_response())
}

fn wrong(detail: String) -> ApiError {
    ApiError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "cmdb.import", "The file cannot be imported", detail)
}

/// A row as read, or what is wrong with its cells.
type Read = Result<BulkRow, table::BadCells>;

struct File {
    delimiter: u8,
    headings: Vec<String>,
    columns: Vec<Column>,
    /// Line, cells, what they mean.
    rows: Vec<(usize, csv::StringRecord, Read)>,
}

impl File {
    fn read(m: &Model, body: &[u8]) -> ApiResult<File> {
        let text = std::str::from_utf8(body)
            .map_err(|e| wrong(format!("the file is not UTF-8 (at byte {}): save it as \"CSV UTF-8\"", e.valid_up_to())))?;
        let head = text.lines().next().unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|d| head.bytes().filter(|b| b == d).count()).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
        let headings: Vec<String> = reader.headers().map_err(|e| wrong(e.to_string()))?.iter().map(str::to_owned).collect();
        if headings.iter().all(|h| h.trim().is_empty()) {
            return Err(wrong("the file is empty; its first line names the attributes".into()));
        }
        let columns = table::columns(m, headings.iter().map(String::as_str)).map_err(wrong)?;
        let (mut rows, mut counted, mut line) = (Vec::new(), 0, 1);
        for record in reader.into_records() {
            let record = record.map_err(|e| wrong(e.to_string()))?;
            if record.iter().all(|c| c.trim().is_empty()) {
                continue;
            }
            if rows.len() == MAX_ROWS {
                return Err(wrong(format!("a file has at most {MAX_ROWS} rows; split it")));
            }
            // The reader's own count is behind where lines end in two bytes.
            let mut at = record.position().map_or(counted, |p| usize::try_from(p.byte()).unwrap_or(counted));
            at += text.bytes().skip(at).take_while(|b| matches!(b, b'\r' | b'\n')).count();
            line += text.bytes().skip(counted).take(at.saturating_sub(counted)).filter(|b| *b == b'\n').count();
            counted = at;
            let read = if record.len() == columns.len() {
                table::row(m, &columns, record.iter()).map(|(id, attributes)| BulkRow { id, attributes, version: None })
            } else {
                Err(vec![(0, format!("the row has {} cells, and the first line {}", record.len(), columns.len()))])
            };
            rows.push((line, record, read));
        }
        Ok(File { delimiter, headings, columns, rows })
    }

    /// Rows whose cells cannot be read fail; the others are written, together or in groups.
    async fn write(&self, app: &App, who: &Principal, model: &str, how: Bulk) -> ApiResult<BulkAnswer> {
        let mut answer = BulkAnswer::default();
        for (line, _, read) in &self.rows {
            let Err(cells) = read else { continue };
            answer.count(RowOutcome::Failed);
            let attribute = cells.first().and_then(|(at, _)| self.headings.get(*at)).cloned();
            let detail = cells.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ");
            let code = Some("cmdb.invalid_instance".to_owned());
            answer.rows.push(RowAnswer {
                row: *line,
                outcome: RowOutcome::Failed,
                id: None,
                label: None,
                attribute,
                code,
                detail: Some(detail),
            });
        }
        let dry_run = how.dry_run || (how.all && answer.failed > 0);
        let good: Vec<(usize, &BulkRow)> = self.rows.iter().filter_map(|(line, _, read)| Some((*line, read.as_ref().ok()?))).collect();
        let together = if how.all { plenum_cmdb::MAX_ROWS } else { TOGETHER };
        for some in good.chunks(together) {
            let rows = some.iter().map(|(_, r)| (*r).clone()).collect();
            let import = app.cmdb.from_source(plenum_cmdb::sources::IMPORT);
            let done = import.bulk(who, model, Bulk { rows, dry_run, ..how.clone() }).await?;
            answer.add(done, |i| some.get(i).map_or(0, |(line, _)| *line));
        }
        answer.rows.sort_by_key(|r| r.row);
        Ok(answer)
    }

    fn with_errors(&self, answers: &[RowAnswer]) -> ApiResult<Response> {
        let mut out = csv::WriterBuilder::new().delimiter(self.delimiter).flexible(true).from_writer(Vec::new());
        out.write_record(self.headings.iter().map(String::as_str).chain(["error"])).map_err(ApiError::internal)?;
        let errors: std::collections::HashMap<usize, &str> = answers.iter().filter_map(|a| Some((a.row, a.detail.as_deref()?))).collect();
        for (line, record, _) in &self.rows {
            out.write_record(record.iter().chain([errors.get(line).copied().unwrap_or_default()])).map_err(ApiError::internal)?;
        }
        let bytes = out.into_inner().map_err(ApiError::internal)?;
        Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], bytes).into_response())
    }
}

/// How far to look.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GraphParams {
    /// `around` (when absent): all associations, both ways. `impact`: what fails when the record fails. `needs`: what it needs.
    walk: Option<String>,
    /// Associations between the record and the furthest: 2 when absent, 6 at the most.
    depth: Option<u32>,
    /// Kinds to follow, with commas between; all when absent.
    kinds: Option<String>,
    /// Most records: 500 when absent, 2,000 at the most.
    limit: Option<usize>,
}

/// A piece of the map.
#[derive(Debug, Serialize, ToSchema)]
pub struct GraphJson {
    /// The nearest first; the one that was asked for is the first: model, id, label, depth.
    #[schema(value_type = Vec<Object>)]
    nodes: Vec<plenum_cmdb::GraphNode>,
    /// Between them: id, kind, from and to, each `[model, id]`.
    #[schema(value_type = Vec<Object>)]
    edges: Vec<plenum_cmdb::Edge>,
    /// Whether there is more than the limit let in.
    truncated: bool,
}

/// The records around one; what falls with it; what it needs.
#[utoipa::path(get, path = "/cmdb/models/{model}/instances/{id}/graph", tag = "cmdb", params(("model" = String, Path), ("id" = String, Path), GraphParams),
    responses((status = 200, body = GraphJson), (status = 404, body = Problem)))]
async fn graph(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    Query(q): Query<GraphParams>,
) -> ApiResult<Json<GraphJson>> {
    let walk = match q.walk.as_deref() {
        None | Some("" | "around") => Walk::Around,
        Some("impact") => Walk::Impact,
        Some("needs") => Walk::Needs,
        Some(o) => return Err(ApiError::bad_request("cmdb.walk", format!("there is no walk {o}; use around, impact or needs"))),
    };
    let kinds = q.kinds.iter().flat_map(|k| k.split(',')).map(str::trim).filter(|k| !k.is_empty()).map(str::to_owned).collect();
    let query = GraphQuery { walk, depth: q.depth.unwrap_or(2), kinds, limit: q.limit.unwrap_or(500) };
    let Graph { nodes, edges, truncated } = app.cmdb.graph(&who, &model, &id, &query).await?;
    Ok(Json(GraphJson { nodes, edges, truncated }))
}

/// What it should be again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreBody {
    /// The version; of a deleted record, the last when absent.
    version: Option<i64>,
    /// Why, for the history: a ticket, a message.
    why: Option<String>,
}

/// Bring a record back as one of its versions had it, a deleted one too. Its associations do not come back, and what discovery writes stays.
#[utoipa::path(post, path = "/cmdb/models/{model}/instances/{id}/restore", tag = "cmdb", request_body = RestoreBody, params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = InstanceJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn restore(
    State(app): State<App>,
    Caller(who): Caller,
    Path((model, id)): Path<(String, String)>,
    JsonBody(b): JsonBody<RestoreBody>,
) -> ApiResult<Json<InstanceJson>> {
    let back: Instance = app.cmdb.restore(&who, &model, &id, b.version, b.why.as_deref()).await?;
    Ok(Json(instance_json(back)))
}
