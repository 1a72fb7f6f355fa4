//! The real platform.

use serde_json::{Map, Value};

use crate::aggregate::{Group, Kind, Raw, Span};
use crate::bindings::imports::plenum::cmdb::instances;
use crate::bindings::imports::plenum::events::publisher;
use crate::bindings::imports::plenum::jobs::executions;
use crate::bindings::imports::plenum::log::log as wire_log;
use crate::bindings::imports::plenum::metrics::figures;
use crate::bindings::imports::plenum::notify::notifications;
use crate::bindings::imports::plenum::plugin::{calls, context, secrets};
use crate::bindings::imports::plenum::store::documents;
use crate::bindings::imports::plenum::workflow::{runs, schedules};
use crate::bindings::imports::wasi::clocks::wall_clock;
use crate::bindings::imports::wasi::keyvalue::{atomics, batch, store as keyvalue};
use crate::bindings::imports::wasi::random::random as wire_random;
use crate::cmdb::{Instance, Query, Related};
use crate::context::{Call, User};
use crate::jobs::{Execution, Request, Stream, TargetResult};
use crate::log::Level;
use crate::metrics::Kind as FigureKind;
use crate::notify::Message;
use crate::store::{Document, Expected, RawQuery, Write};
use crate::workflow::Run;
use crate::workflow::schedules::Schedule;
use crate::{Error, Page, Result, Timestamp};

fn object(text: &str) -> Result<Map<String, Value>> {
    Ok(serde_json::from_str(text)?)
}

fn instance(i: instances::Instance) -> Result<Instance> {
    Ok(Instance {
        attributes: object(&i.attributes)?,
        id: i.id,
        model: i.model,
        label: i.label,
        version: i.version,
        created_at: Timestamp(i.created_at),
        updated_at: Timestamp(i.updated_at),
    })
}

pub(crate) fn cmdb_query(q: &Query) -> Result<Page<Instance>> {
    let page = instances::query_instances(&instances::Query {
        model: q.model.clone(),
        filter: q.filter.clone(),
        sort: q.sort.clone(),
        cursor: q.cursor.clone(),
        limit: q.limit,
    })?;
    let items = page.items.into_iter().map(instance).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: Some(page.total) })
}

pub(crate) fn cmdb_get(model: &str, id: &str) -> Result<Option<Instance>> {
    instances::get(model, id)?.map(instance).transpose()
}

pub(crate) fn cmdb_create(model: &str, attributes: &Value, why: Option<&str>) -> Result<Instance> {
    instance(instances::create(model, &attributes.to_string(), why)?)
}

pub(crate) fn cmdb_update(model: &str, id: &str, patch: &Value, version: Option<u64>, why: Option<&str>) -> Result<Instance> {
    instance(instances::update(model, id, &patch.to_string(), version, why)?)
}

pub(crate) fn cmdb_delete(model: &str, id: &str) -> Result<()> {
    Ok(instances::delete(model, id)?)
}

pub(crate) fn cmdb_related(model: &str, id: &str) -> Result<Vec<Related>> {
    let found = instances::related_instances(model, id)?.into_iter();
    Ok(found
        .map(|r| Related { association: r.association, kind: r.kind, forward: r.forward, model: r.model, id: r.id, label: r.label })
        .collect())
}

fn execution(e: executions::Execution) -> Execution {
    Execution {
        id: e.id,
        name: e.name,
        status: e.status,
        total: e.total,
        pending: e.pending,
        running: e.running,
        succeeded: e.succeeded,
        failed: e.failed,
        created_at: Timestamp(e.created_at),
        finished_at: e.finished_at.map(Timestamp),
    }
}

pub(crate) fn jobs_run(request: &Request) -> Result<Execution> {
    Ok(execution(executions::run(&serde_json::to_string(request)?)?))
}

pub(crate) fn jobs_get(id: &str) -> Result<Option<Execution>> {
    Ok(executions::get(id)?.map(execution))
}

pub(crate) fn jobs_results(id: &str, cursor: Option<&str>, limit: u32) -> Result<Page<TargetResult>> {
    let page = executions::results(id, cursor, limit)?;
    let items = page.items.into_iter().map(|t| TargetResult {
        node_id: t.node_id,
        node_name: t.node_name,
        status: t.status,
        reason: t.reason,
        exit_code: t.exit_code,
        duration_ms: t.duration_ms,
        stdout_bytes: t.stdout_bytes,
        stderr_bytes: t.stderr_bytes,
        truncated_bytes: t.truncated_bytes,
    });
    Ok(Page { items: items.collect(), next_cursor: page.next_cursor, total: None })
}

pub(crate) fn jobs_output(id: &str, node_id: &str, stream: Stream, offset: u64, limit: u32) -> Result<Vec<u8>> {
    let stream = match stream {
        Stream::Stdout => executions::OutputStream::Stdout,
        Stream::Stderr => executions::OutputStream::Stderr,
    };
    Ok(executions::output(id, node_id, stream, offset, limit)?)
}

pub(crate) fn jobs_cancel(id: &str) -> Result<()> {
    Ok(executions::cancel(id)?)
}

fn run(r: runs::Run) -> Result<Run> {
    Ok(Run {
        input: serde_json::from_str(&r.input)?,
        output: r.output.as_deref().map(serde_json::from_str).transpose()?,
        id: r.id,
        workflow: r.workflow,
        status: r.status,
        error: r.error,
        waiting: r.waiting,
        started_at: Timestamp(r.started_at),
        finished_at: r.finished_at.map(Timestamp),
    })
}

pub(crate) fn runs_start(workflow: &str, input: &Value, key: Option<&str>) -> Result<Run> {
    run(runs::start(workflow, &input.to_string(), key)?)
}

pub(crate) fn runs_get(id: &str) -> Result<Option<Run>> {
    runs::get(id)?.map(run).transpose()
}

pub(crate) fn runs_cancel(id: &str) -> Result<()> {
    Ok(runs::cancel(id)?)
}

pub(crate) fn schedules_put(s: &Schedule) -> Result<()> {
    Ok(schedules::put(&schedules::Schedule {
        name: s.name.clone(),
        cron: s.cron.clone(),
        timezone: s.timezone.clone(),
        workflow: s.workflow.clone(),
        input: s.input.to_string(),
        enabled: s.enabled,
    })?)
}

pub(crate) fn schedules_list() -> Result<Vec<Schedule>> {
    let all = schedules::list()?.into_iter();
    all.map(|s| {
        let input = serde_json::from_str(&s.input)?;
        Ok(Schedule { name: s.name, cron: s.cron, timezone: s.timezone, workflow: s.workflow, input, enabled: s.enabled })
    })
    .collect()
}

pub(crate) fn schedules_delete(name: &str) -> Result<()> {
    Ok(schedules::delete(name)?)
}

pub(crate) fn schedules_next_times(cron: &str, timezone: &str, count: u32) -> Result<Vec<String>> {
    Ok(schedules::next_times(cron, timezone, count)?)
}

fn document(d: documents::Document) -> Result<Document> {
    Ok(Document {
        data: serde_json::from_str(&d.data)?,
        id: d.id,
        version: d.version,
        created_at: Timestamp(d.created_at),
        updated_at: Timestamp(d.updated_at),
    })
}

pub(crate) fn store_get(collection: &str, id: &str) -> Result<Option<Document>> {
    documents::get(collection, id)?.map(document).transpose()
}

pub(crate) fn store_apply(writes: &[Write]) -> Result<Vec<u64>> {
    let writes: Vec<documents::Write> = writes
        .iter()
        .map(|w| documents::Write {
            collection: w.collection.clone(),
            id: w.id.clone(),
            data: w.data.as_ref().map(Value::to_string),
            expected: match w.expected {
                Expected::Any => documents::Expectation::Any,
                Expected::Absent => documents::Expectation::Absent,
                Expected::Version(v) => documents::Expectation::Version(v),
            },
        })
        .collect();
    Ok(documents::apply(&writes)?)
}

pub(crate) fn store_query(q: &RawQuery) -> Result<Page<Document>> {
    let page = documents::query_documents(&documents::Query {
        collection: q.collection.clone(),
        filter: q.filter.clone(),
        sort: q.sort.clone(),
        cursor: q.cursor.clone(),
        limit: q.limit,
    })?;
    let items = page.items.into_iter().map(document).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: Some(page.total) })
}

pub(crate) fn store_count(collection: &str, filter: &str) -> Result<u64> {
    Ok(documents::count(collection, filter)?)
}

pub(crate) fn store_aggregate(a: &Raw) -> Result<Vec<Group>> {
    let span = |s: Span| match s {
        Span::Minute => documents::Bucket::Minute,
        Span::Hour => documents::Bucket::Hour,
        Span::Day => documents::Bucket::Day,
        Span::Month => documents::Bucket::Month,
        Span::Year => documents::Bucket::Year,
    };
    let kind = |k: Kind| match k {
        Kind::Count => documents::MeasureKind::Count,
        Kind::Sum => documents::MeasureKind::Sum,
        Kind::Avg => documents::MeasureKind::Avg,
        Kind::Min => documents::MeasureKind::Min,
        Kind::Max => documents::MeasureKind::Max,
    };
    let groups = documents::aggregate(&documents::Aggregation {
        collection: a.collection.clone(),
        filter: a.filter.clone(),
        groups: a.groups.iter().map(|(field, s)| documents::Grouping { field: field.clone(), bucket: s.map(span) }).collect(),
        measures: a.measures.iter().map(|(k, field)| documents::Measure { kind: kind(*k), field: field.clone() }).collect(),
        limit: a.limit,
    })?;
    let values = |texts: Vec<String>| texts.iter().map(|t| Ok(serde_json::from_str(t)?)).collect::<Result<Vec<Value>>>();
    groups.into_iter().map(|g| Ok(Group { keys: values(g.keys)?, values: values(g.values)? })).collect()
}

fn kv_error(e: keyvalue::Error) -> Error {
    match e {
        keyvalue::Error::NoSuchStore => {
            Error::new(422, "keyvalue.bucket", "a bucket's name has 0 to 60 of a-z, 0-9, hyphen and underscore")
        }
        keyvalue::Error::AccessDenied => Error::forbidden("access.denied", "the permission store was not granted"),
        keyvalue::Error::Other(message) => Error::new(422, "keyvalue.refused", message),
    }
}

pub(crate) type Bucket = keyvalue::Bucket;

pub(crate) fn kv_open(name: &str) -> Result<Bucket> {
    keyvalue::open(name).map_err(kv_error)
}

pub(crate) fn kv_get(b: &Bucket, key: &str) -> Result<Option<Vec<u8>>> {
    b.get(key).map_err(kv_error)
}

pub(crate) fn kv_set(b: &Bucket, key: &str, value: &[u8]) -> Result<()> {
    b.set(key, value).map_err(kv_error)
}

pub(crate) fn kv_delete(b: &Bucket, key: &str) -> Result<()> {
    b.delete(key).map_err(kv_error)
}

pub(crate) fn kv_exists(b: &Bucket, key: &str) -> Result<bool> {
    b.exists(key).map_err(kv_error)
}

pub(crate) fn kv_keys(b: &Bucket, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>)> {
    let page = b.list_keys(cursor).map_err(kv_error)?;
    Ok((page.keys, page.cursor))
}

pub(crate) fn kv_increment(b: &Bucket, key: &str, by: u64) -> Result<u64> {
    atomics::increment(b, key, by).map_err(kv_error)
}

pub(crate) fn kv_get_many(b: &Bucket, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    let found = batch::get_many(b, keys).map_err(kv_error)?;
    Ok(found.into_iter().map(|f| f.map(|(_, value)| value)).collect())
}

pub(crate) fn kv_set_many(b: &Bucket, values: &[(String, Vec<u8>)]) -> Result<()> {
    batch::set_many(b, values).map_err(kv_error)
}

pub(crate) fn kv_delete_many(b: &Bucket, keys: &[String]) -> Result<()> {
    batch::delete_many(b, keys).map_err(kv_error)
}

pub(crate) fn plugins_call(plugin: &str, action: &str, input: &Value) -> Result<Value> {
    Ok(serde_json::from_str(&calls::call(plugin, action, &input.to_string())?)?)
}

pub(crate) fn secret(name: &str) -> Option<String> {
    secrets::get(name)
}

pub(crate) fn publish(kind: &str, subject: &str, data: &Value) -> Result<()> {
    Ok(publisher::publish(kind, subject, &data.to_string())?)
}

pub(crate) fn figure(kind: FigureKind, name: &str, labels: &[(&str, &str)], value: f64) -> Result<()> {
    let labels: Vec<(String, String)> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    match kind {
        FigureKind::Counter => figures::add(name, &labels, value)?,
        FigureKind::Gauge => figures::set(name, &labels, value)?,
        FigureKind::Histogram => figures::observe(name, &labels, value)?,
    }
    Ok(())
}

pub(crate) fn notify(m: &Message) -> Result<u32> {
    use crate::notify::Level;
    let level = match m.level {
        Level::Info => notifications::Level::Info,
        Level::Success => notifications::Level::Success,
        Level::Warning => notifications::Level::Warning,
        Level::Error => notifications::Level::Error,
    };
    Ok(notifications::send(&notifications::Message {
        users: m.users.clone(),
        roles: m.roles.clone(),
        level,
        title: m.title.clone(),
        body: m.body.clone(),
        link: m.link.clone(),
        key: m.key.clone(),
    })?)
}

pub(crate) fn log(level: Level, message: &str, fields: &Value) {
    let level = match level {
        Level::Debug => wire_log::Level::Debug,
        Level::Info => wire_log::Level::Info,
        Level::Warn => wire_log::Level::Warn,
        Level::Error => wire_log::Level::Error,
    };
    let fields = if fields.is_null() { String::new() } else { fields.to_string() };
    wire_log::write(level, message, &fields);
}

pub(crate) fn call() -> Call {
    let c = context::current();
    Call {
        id: c.id,
        plugin: c.plugin,
        version: c.version,
        user: c.user.map(|u| User { id: u.id, name: u.name, role: u.role }),
        idempotency_key: c.idempotency_key,
    }
}

pub(crate) fn settings() -> Value {
    serde_json::from_str(&context::settings()).unwrap_or_default()
}

pub(crate) fn now() -> Timestamp {
    let t = wall_clock::now();
    Timestamp(t.seconds.saturating_mul(1000).saturating_add(u64::from(t.nanoseconds / 1_000_000)))
}

pub(crate) fn random(count: usize) -> Vec<u8> {
    wire_random::get_random_bytes(count as u64)
}
