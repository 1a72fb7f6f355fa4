//! The plugin's two doors (HTTP requests and actions) and its way to the platform.

use serde_json::Value;

use crate::bindings::exports::plenum::plugin::actions::Guest as Actions;
use crate::bindings::exports::wasi::http::incoming_handler::Guest as Incoming;
use crate::bindings::plenum::cmdb::instances;
use crate::bindings::plenum::jobs::executions;
use crate::bindings::plenum::log::log;
use crate::bindings::plenum::store::documents;
use crate::bindings::plenum::types::types::Error;
use crate::bindings::plenum::workflow::{runs, schedules};
use crate::bindings::wasi::clocks::wall_clock;
use crate::bindings::wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
use crate::bindings::wasi::io::streams::StreamError;
use crate::bindings::wasi::random::random;
use crate::error::Failure;
use crate::http;
use crate::ports::{Doc, Instance, NodeResult, Page, Platform, Query, Run};

/// Requests have drafts and templates in them, nothing larger.
const MAX_BODY: usize = 1024 * 1024;
/// Bytes that one read of a job's output may ask for.
const OUTPUT_STEP: u32 = 1024 * 1024;
/// Records that one write may hold, and their bytes together: a call's arguments are bounded by the host.
const WRITES: usize = 500;

struct Host;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.status, &error.code, error.message)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let places = failure.errors.iter().map(|problem| format!("; {}: {}", problem.pointer, problem.message)).collect::<String>();
        Self { code: failure.code, message: failure.detail + &places, status: failure.status }
    }
}

fn doc(found: documents::Document) -> Result<Doc, Failure> {
    Ok(Doc { version: i64::try_from(found.version).unwrap_or(i64::MAX), data: serde_json::from_str(&found.data)?, id: found.id })
}

fn run(found: runs::Run) -> Run {
    // What a run waits for names the job by its id, the only word of that form.
    let execution = found
        .waiting
        .as_deref()
        .and_then(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(|word| is_uuid(word)).map(str::to_owned));
    Run { id: found.id, status: found.status, error: found.error, execution }
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

impl Platform for Host {
    fn now_ms(&self) -> i64 {
        let now = wall_clock::now();
        i64::try_from(now.seconds).unwrap_or(0) * 1000 + i64::from(now.nanoseconds / 1_000_000)
    }

    fn random_id(&self) -> String {
        random::get_random_bytes(16).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn put(&self, collection: &str, id: &str, data: Value, expected: Option<i64>) -> Result<Doc, Failure> {
        let expected = match expected {
            None => documents::Expectation::Any,
            Some(0) => documents::Expectation::Absent,
            Some(version) => documents::Expectation::Version(u64::try_from(version).unwrap_or(0)),
        };
        let write = documents::Write { collection: collection.to_owned(), id: id.to_owned(), data: Some(data.to_string()), expected };
        let versions = documents::apply(&[write])?;
        let version = versions.first().copied().unwrap_or(0);
        Ok(Doc { id: id.to_owned(), version: i64::try_from(version).unwrap_or(i64::MAX), data })
    }

    fn put_many(&self, records: Vec<(&str, String, Value)>) -> Result<(), Failure> {
        let writes: Vec<_> = records
            .into_iter()
            .map(|(collection, id, data)| documents::Write {
                collection: collection.to_owned(),
                id,
                data: Some(data.to_string()),
                expected: documents::Expectation::Any,
            })
            .collect();
        for chunk in writes.chunks(WRITES) {
            documents::apply(chunk)?;
        }
        Ok(())
    }

    fn get(&self, collection: &str, id: &str) -> Result<Option<Doc>, Failure> {
        documents::get(collection, id)?.map(doc).transpose()
    }

    fn query(&self, collection: &str, query: &Query) -> Result<Page<Doc>, Failure> {
        let page = documents::query_documents(&documents::Query {
            collection: collection.to_owned(),
            filter: query.filter.clone(),
            sort: query.order.clone(),
            cursor: query.cursor.clone(),
            limit: query.limit,
        })?;
        let items = page.items.into_iter().map(doc).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: page.next_cursor, total: Some(page.total) })
    }

    fn delete(&self, collection: &str, id: &str) -> Result<(), Failure> {
        let write =
            documents::Write { collection: collection.to_owned(), id: id.to_owned(), data: None, expected: documents::Expectation::Any };
        documents::apply(&[write])?;
        Ok(())
    }

    fn cmdb(&self, model: &str, filter: &str, cursor: Option<String>, limit: u32) -> Result<Page<Instance>, Failure> {
        let query = instances::Query { model: model.to_owned(), filter: filter.to_owned(), sort: String::new(), cursor, limit };
        let page = instances::query_instances(&query)?;
        let mut items = Vec::with_capacity(page.items.len());
        for found in page.items {
            items.push(Instance { id: found.id, label: found.label, attributes: serde_json::from_str(&found.attributes)? });
        }
        Ok(Page { items, next_cursor: page.next_cursor, total: Some(page.total) })
    }

    fn job_results(&self, execution: &str, cursor: Option<String>, limit: u32) -> Result<Page<NodeResult>, Failure> {
        let page = executions::results(execution, cursor.as_deref(), limit)?;
        let items = page
            .items
            .into_iter()
            .map(|result| NodeResult {
                node_id: result.node_id,
                status: result.status,
                reason: result.reason,
                exit_code: result.exit_code.map(i64::from),
                truncated_bytes: result.truncated_bytes,
            })
            .collect();
        Ok(Page { items, next_cursor: page.next_cursor, total: None })
    }

    fn job_output(&self, execution: &str, node: &str, limit: u64) -> Result<String, Failure> {
        let mut out = Vec::new();
        loop {
            let at = u64::try_from(out.len()).unwrap_or(u64::MAX);
            let part = executions::output(execution, node, executions::OutputStream::Stdout, at, OUTPUT_STEP)?;
            let short = part.len() < usize::try_from(OUTPUT_STEP).unwrap_or(usize::MAX);
            out.extend(part);
            if short || at >= limit {
                return Ok(String::from_utf8_lossy(&out).into_owned());
            }
        }
    }

    fn run_start(&self, workflow: &str, input: Value, key: &str) -> Result<Run, Failure> {
        Ok(run(runs::start(&format!("inspection-center.{workflow}"), &input.to_string(), Some(key))?))
    }

    fn run_get(&self, id: &str) -> Result<Option<Run>, Failure> {
        Ok(runs::get(id)?.map(run))
    }

    fn run_cancel(&self, id: &str) -> Result<(), Failure> {
        Ok(runs::cancel(id)?)
    }

    fn schedule_put(&self, name: &str, cron: &str, timezone: &str, workflow: &str, input: Value, enabled: bool) -> Result<(), Failure> {
        Ok(schedules::put(&schedules::Schedule {
            name: name.to_owned(),
            cron: cron.to_owned(),
            timezone: timezone.to_owned(),
            workflow: workflow.to_owned(),
            input: input.to_string(),
            enabled,
        })?)
    }

    fn schedule_delete(&self, name: &str) -> Result<(), Failure> {
        Ok(schedules::delete(name)?)
    }

    fn next_times(&self, cron: &str, timezone: &str, count: u32) -> Result<Vec<String>, Failure> {
        Ok(schedules::next_times(cron, timezone, count)?)
    }

    fn log(&self, text: &str) {
        log::write(log::Level::Error, text, "");
    }
}

struct Plugin;

impl Actions for Plugin {
    fn call(name: String, input: String) -> Result<String, Error> {
        let input = serde_json::from_str(&input).map_err(Failure::from)?;
        Ok(http::action(&Host, &name, input)?.to_string())
    }
}

impl Incoming for Plugin {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = match read(&request) {
            Ok(request) => http::handle(&Host, &request),
            Err(failure) => http::problem(&failure),
        };
        respond(answer, out);
    }
}

fn read(request: &IncomingRequest) -> Result<http::Request, Failure> {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let method = match request.method() {
        Method::Get | Method::Head => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        _ => return Err(Failure::new(405, "inspection.method", "use GET, POST, PUT or DELETE")),
    };
    let headers = request.headers();
    let header =
        |name: &str| headers.get(name).into_iter().next().map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default();
    let name = header("x-plenum-user-name");
    Ok(http::Request {
        method: method.to_owned(),
        path: http::decode(path, false),
        query: query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (http::decode(name, true), http::decode(value, true)))
            .collect(),
        user: if name.is_empty() { header("x-plenum-user") } else { name },
        locale: header("x-plenum-locale"),
        role: header("x-plenum-role"),
        body: body(request)?,
    })
}

fn body(request: &IncomingRequest) -> Result<Vec<u8>, Failure> {
    let broken = || Failure::new(400, "inspection.body", "the request's body could not be read: send it again");
    let body = request.consume().map_err(|()| broken())?;
    let stream = body.stream().map_err(|()| broken())?;
    let mut out = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(part) => out.extend(part),
            Err(StreamError::Closed) => return Ok(out),
            Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
        }
        if out.len() > MAX_BODY {
            return Err(Failure::new(413, "inspection.body", format!("the body is larger than {MAX_BODY} bytes")));
        }
    }
}

fn respond(answer: http::Response, out: ResponseOutparam) {
    let headers = Fields::new();
    // Fresh fields of fixed names: neither can be refused.
    let _ = headers.set("content-type", &[answer.content_type.as_bytes().to_vec()]);
    if let Some(name) = &answer.file_name {
        let _ = headers.set("content-disposition", &[format!("attachment; filename=\"{name}\"").into_bytes()]);
    }
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(answer.status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        for part in answer.body.chunks(4096) {
            // The caller has gone: nobody is left to tell.
            if stream.blocking_write_and_flush(part).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

crate::bindings::export!(Plugin with_types_in crate::bindings);
