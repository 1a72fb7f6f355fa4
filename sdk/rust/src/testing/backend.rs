//! What the SDK's modules call on targets other than WebAssembly.

use serde_json::{Map, Value};

use super::filter::{Filter, compare, sort_by};
use super::{Executed, Line, State, with};
use crate::aggregate::{Group, Kind, Raw, Span};
use crate::cmdb::{Instance, Query, Related};
use crate::context::Call;
use crate::events::Event;
use crate::jobs::{Execution, Request, Stream, TargetResult};
use crate::log::Level;
use crate::metrics::Kind as FigureKind;
use crate::notify::Message;
use crate::outgoing::{Outgoing, Parts};
use crate::store::{Document, Expected, RawQuery, Write};
use crate::workflow::Run;
use crate::workflow::schedules::Schedule;
use crate::{Error, Page, Result, Timestamp};

fn allowed(s: &State, permission: &str) -> Result<()> {
    if s.denied.contains(permission) {
        return Err(Error::forbidden("access.denied", format!("the permission {permission} was not granted")));
    }
    match &s.manifest {
        Some(m) => m.asks(permission),
        None => Ok(()),
    }
}

fn gone(what: &str, id: &str) -> Error {
    Error::not_found("not_found", format!("there is no {what} {id:?}"))
}

fn page<T>(items: Vec<T>, cursor: Option<&str>, limit: u32) -> Result<Page<T>> {
    let from: usize =
        cursor.map_or(Ok(0), str::parse).map_err(|_| Error::bad_request("request.cursor", "the cursor is not one of these pages"))?;
    let (total, limit) = (items.len(), limit.clamp(1, 1000) as usize);
    let next_cursor = (from + limit < total).then(|| (from + limit).to_string());
    Ok(Page { items: items.into_iter().skip(from).take(limit).collect(), next_cursor, total: Some(total as u64) })
}

fn object(value: &Value) -> Result<Map<String, Value>> {
    value.as_object().cloned().ok_or_else(|| Error::new(422, "request.object", "this must be a JSON object"))
}

pub(super) fn new_instance(s: &mut State, model: &str, attributes: Value) -> Instance {
    let attributes = attributes.as_object().cloned().unwrap_or_default();
    let label = ["hostname", "name"].iter().find_map(|k| attributes.get(*k)?.as_str()).unwrap_or_default().to_owned();
    let (id, now) = (s.id(model), s.now);
    let i = Instance { id, model: model.to_owned(), label, version: 1, attributes, created_at: now, updated_at: now };
    s.instances.push(i.clone());
    i
}

pub(crate) fn cmdb_query(q: &Query) -> Result<Page<Instance>> {
    let filter = Filter::parse(&q.filter)?;
    with(|s| {
        allowed(s, "cmdb.read")?;
        if let Some(known) = s.models.get(&q.model) {
            filter.check(known)?;
        }
        let mut found: Vec<_> = s.instances.iter().filter(|i| i.model == q.model && filter.matches(&i.attributes)).cloned().collect();
        sort_by(&mut found, &q.sort, |i, f| i.attributes.get(f).cloned().unwrap_or_default());
        page(found, q.cursor.as_deref(), q.limit)
    })
}

pub(crate) fn cmdb_get(model: &str, id: &str) -> Result<Option<Instance>> {
    with(|s| {
        allowed(s, "cmdb.read")?;
        Ok(s.instances.iter().find(|i| i.model == model && i.id == id).cloned())
    })
}

pub(crate) fn cmdb_create(model: &str, attributes: &Value, _why: Option<&str>) -> Result<Instance> {
    let attributes = object(attributes)?;
    with(|s| {
        allowed(s, "cmdb.write")?;
        Ok(new_instance(s, model, Value::Object(attributes)))
    })
}

pub(crate) fn cmdb_update(model: &str, id: &str, patch: &Value, version: Option<u64>, _why: Option<&str>) -> Result<Instance> {
    let patch = object(patch)?;
    with(|s| {
        allowed(s, "cmdb.write")?;
        let now = s.now;
        let i = s.instances.iter_mut().find(|i| i.model == model && i.id == id).ok_or_else(|| gone(model, id))?;
        if version.is_some_and(|v| v != i.version) {
            return Err(Error::conflict("store.conflict", format!("{model}/{id} has version {} by now", i.version)));
        }
        for (k, v) in patch {
            if v.is_null() {
                i.attributes.remove(&k);
            } else {
                i.attributes.insert(k, v);
            }
        }
        (i.version, i.updated_at) = (i.version + 1, now);
        Ok(i.clone())
    })
}

pub(crate) fn cmdb_delete(model: &str, id: &str) -> Result<()> {
    with(|s| {
        allowed(s, "cmdb.write")?;
        let before = s.instances.len();
        s.instances.retain(|i| i.model != model || i.id != id);
        s.related.retain(|((m, i), r)| (m != model || i != id) && (r.model != model || r.id != id));
        if s.instances.len() == before { Err(gone(model, id)) } else { Ok(()) }
    })
}

pub(crate) fn cmdb_related(model: &str, id: &str) -> Result<Vec<Related>> {
    with(|s| {
        allowed(s, "cmdb.read")?;
        Ok(s.related.iter().filter(|((m, i), _)| m == model && i == id).map(|(_, r)| r.clone()).collect())
    })
}

pub(crate) fn jobs_run(request: &Request) -> Result<Execution> {
    let there = with(|s| {
        allowed(s, "jobs.run")?;
        let by_key = |k: &String| s.executions.iter().find(|e| e.key.as_ref() == Some(k)).map(|e| e.execution.clone());
        Ok::<_, Error>(request.key.as_ref().and_then(by_key))
    })?;
    if let Some(there) = there {
        return Ok(there);
    }
    // Outside of the lock: what a test says may take long, and use the platform.
    let job = match with(|s| (s.jobs.pop_front(), s.on_job.clone())) {
        (Some(job), _) => job,
        (None, Some(on_job)) => on_job(request),
        (None, None) => {
            return Err(Error::new(
                422,
                "jobs.no_targets",
                format!("no job was expected, and {:?} was asked for; say what it does with Fake::job or Fake::on_job", request.name),
            ));
        }
    };
    with(|s| {
        let count = |ok: bool| job.results.iter().filter(|(r, _, _)| (r.status == "succeeded") == ok).count() as u32;
        let (succeeded, failed) = (count(true), count(false));
        let status = match (succeeded, failed) {
            (_, 0) => "succeeded",
            (0, _) => "failed",
            _ => "partial",
        };
        let execution = Execution {
            id: s.id("execution"),
            name: request.name.clone(),
            status: status.to_owned(),
            total: succeeded + failed,
            pending: 0,
            running: 0,
            succeeded,
            failed,
            created_at: s.now,
            finished_at: Some(s.now),
        };
        s.requests.push(request.clone());
        s.executions.push(Executed { execution: execution.clone(), key: request.key.clone(), results: job.results });
        Ok(execution)
    })
}

pub(crate) fn jobs_get(id: &str) -> Result<Option<Execution>> {
    with(|s| {
        allowed(s, "jobs.read")?;
        Ok(s.executions.iter().find(|e| e.execution.id == id).map(|e| e.execution.clone()))
    })
}

fn executed<'a>(s: &'a State, id: &str) -> Result<&'a Executed> {
    allowed(s, "jobs.read")?;
    s.executions.iter().find(|e| e.execution.id == id).ok_or_else(|| gone("execution", id))
}

pub(crate) fn jobs_results(id: &str, cursor: Option<&str>, limit: u32) -> Result<Page<TargetResult>> {
    with(|s| page(executed(s, id)?.results.iter().map(|(r, _, _)| r.clone()).collect(), cursor, limit.clamp(1, 500)))
}

pub(crate) fn jobs_output(id: &str, node_id: &str, stream: Stream, offset: u64, limit: u32) -> Result<Vec<u8>> {
    with(|s| {
        let found = executed(s, id)?.results.iter().find(|(r, _, _)| r.node_id == node_id).ok_or_else(|| gone("node", node_id))?;
        let text = if stream == Stream::Stdout { &found.1 } else { &found.2 };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(text.bytes().skip(from).take(limit.clamp(1, 1 << 20) as usize).collect())
    })
}

pub(crate) fn jobs_cancel(id: &str) -> Result<()> {
    with(|s| {
        allowed(s, "jobs.run")?;
        let found = s.executions.iter_mut().find(|e| e.execution.id == id).ok_or_else(|| gone("execution", id))?;
        found.execution.status = "cancelled".into();
        Ok(())
    })
}

pub(crate) fn runs_start(workflow: &str, input: &Value, key: Option<&str>) -> Result<Run> {
    with(|s| {
        allowed(s, "workflow.run")?;
        if let Some((_, there)) = key.and_then(|k| s.runs.iter().find(|(other, r)| other.as_deref() == Some(k) && r.workflow == workflow)) {
            return Ok(there.clone());
        }
        let run = Run {
            id: s.id("run"),
            workflow: workflow.to_owned(),
            status: "running".into(),
            input: input.clone(),
            output: None,
            error: None,
            waiting: None,
            started_at: s.now,
            finished_at: None,
        };
        s.runs.push((key.map(str::to_owned), run.clone()));
        Ok(run)
    })
}

pub(crate) fn runs_get(id: &str) -> Result<Option<Run>> {
    with(|s| {
        allowed(s, "workflow.read")?;
        Ok(s.runs.iter().find(|(_, r)| r.id == id).map(|(_, r)| r.clone()))
    })
}

pub(crate) fn runs_cancel(id: &str) -> Result<()> {
    with(|s| {
        allowed(s, "workflow.run")?;
        let now = s.now;
        let (_, run) = s.runs.iter_mut().find(|(_, r)| r.id == id).ok_or_else(|| gone("run", id))?;
        (run.status, run.finished_at) = ("cancelled".into(), Some(now));
        Ok(())
    })
}

pub(crate) fn schedules_put(schedule: &Schedule) -> Result<()> {
    cron_line(&schedule.cron, &schedule.timezone)?;
    with(|s| {
        allowed(s, "workflow.run")?;
        s.schedules.insert(schedule.name.clone(), schedule.clone());
        Ok(())
    })
}

pub(crate) fn schedules_list() -> Result<Vec<Schedule>> {
    with(|s| {
        allowed(s, "workflow.run")?;
        Ok(s.schedules.values().cloned().collect())
    })
}

pub(crate) fn schedules_delete(name: &str) -> Result<()> {
    with(|s| {
        allowed(s, "workflow.run")?;
        s.schedules.remove(name);
        Ok(())
    })
}

/// What can be told without a calendar.
fn cron_line(cron: &str, timezone: &str) -> Result<()> {
    let field = |f: &str| {
        f.chars().all(|c| c.is_ascii_alphanumeric() || "*,-/?#".contains(c))
            && f.contains(|c: char| c == '*' || c == '?' || c.is_ascii_digit())
    };
    if cron.split_whitespace().count() != 5 || !cron.split_whitespace().take(3).all(field) {
        return Err(Error::new(422, "schedule.cron", format!("{cron:?} is not a cron expression of five fields, such as \"0 6 * * 1-5\"")));
    }
    if timezone.is_empty() || timezone.contains(char::is_whitespace) {
        return Err(Error::new(422, "schedule.timezone", format!("{timezone:?} is not a time zone, such as Europe/Berlin")));
    }
    Ok(())
}

pub(crate) fn schedules_next_times(cron: &str, timezone: &str, count: u32) -> Result<Vec<String>> {
    cron_line(cron, timezone)?;
    with(|s| {
        allowed(s, "workflow.run")?;
        Ok(s.next_times.iter().take(count.min(20) as usize).cloned().collect())
    })
}

pub(crate) fn store_get(collection: &str, id: &str) -> Result<Option<Document>> {
    with(|s| {
        allowed(s, "store")?;
        known(s, collection)?;
        Ok(s.collections.get(collection).and_then(|c| c.get(id)).cloned())
    })
}

pub(crate) fn store_apply(writes: &[Write]) -> Result<Vec<u64>> {
    with(|s| {
        allowed(s, "store")?;
        if writes.len() > 500 {
            return Err(Error::new(422, "store.too_many", format!("at most 500 records are written at once, not {}", writes.len())));
        }
        // All or none: a copy is changed, and kept when every write went well.
        let mut all = s.collections.clone();
        let mut versions = Vec::with_capacity(writes.len());
        for w in writes {
            if w.id.is_empty() || w.id.len() > 200 {
                return Err(Error::new(422, "store.invalid", "a record's id has 1 to 200 bytes"));
            }
            let data = match &w.data {
                Some(data) => Some(checked(s, &w.collection, object(data)?)?),
                None => {
                    known(s, &w.collection)?;
                    None
                }
            };
            let records = all.entry(w.collection.clone()).or_default();
            let (found, created_at) = records.get(&w.id).map_or((0, s.now), |d| (d.version, d.created_at));
            let expected = match w.expected {
                Expected::Any => found,
                Expected::Absent => 0,
                Expected::Version(v) => v,
            };
            if expected != found {
                let what = format!("{}/{}", w.collection, w.id);
                return Err(Error::conflict("store.conflict", format!("{what} has version {found} by now, not {expected}")));
            }
            match data {
                Some(data) => {
                    if let Some(m) = &s.manifest {
                        m.unique(&w.collection, &w.id, &data, records.values())?;
                    }
                    let d = Document { id: w.id.clone(), version: found + 1, data: Value::Object(data), created_at, updated_at: s.now };
                    records.insert(w.id.clone(), d);
                    versions.push(found + 1);
                }
                None => {
                    records.remove(&w.id);
                    versions.push(0);
                }
            }
        }
        s.collections = all;
        Ok(versions)
    })
}

fn known(s: &State, collection: &str) -> Result<()> {
    s.manifest.as_ref().map_or(Ok(()), |m| m.collection(collection).map(|_| ()))
}

fn checked(s: &State, collection: &str, mut data: Map<String, Value>) -> Result<Map<String, Value>> {
    // Null and absent mean the same; stored is only what is there.
    data.retain(|_, v| !v.is_null());
    if let Some(m) = &s.manifest {
        m.fits(collection, &data)?;
    }
    Ok(data)
}

fn matching(s: &State, collection: &str, filter: &str) -> Result<Vec<Document>> {
    allowed(s, "store")?;
    known(s, collection)?;
    let filter = Filter::parse(filter)?;
    if let Some(m) = &s.manifest {
        filter.check(&m.collection(collection)?.names())?;
    }
    let records = s.collections.get(collection).into_iter().flat_map(|c| c.values());
    Ok(records.filter(|d| d.data.as_object().is_some_and(|o| filter.matches(o))).cloned().collect())
}

pub(crate) fn store_query(q: &RawQuery) -> Result<Page<Document>> {
    with(|s| {
        let mut found = matching(s, &q.collection, &q.filter)?;
        if let Some(m) = &s.manifest {
            m.sortable(&q.collection, &q.sort)?;
        }
        sort_by(&mut found, &q.sort, |d, f| d.data.get(f).cloned().unwrap_or_default());
        page(found, q.cursor.as_deref(), q.limit)
    })
}

pub(crate) fn store_count(collection: &str, filter: &str) -> Result<u64> {
    with(|s| Ok(matching(s, collection, filter)?.len() as u64))
}

pub(crate) fn store_aggregate(a: &Raw) -> Result<Vec<Group>> {
    let refused = |message: String| Err(Error::new(422, "store.query", message));
    if a.groups.len() > 8 || a.measures.is_empty() || a.measures.len() > 16 {
        return refused("an aggregation has up to 8 groups and 1 to 16 measures".into());
    }
    with(|s| {
        let found = matching(s, &a.collection, &a.filter)?;
        if let Some(m) = &s.manifest {
            for field in a.groups.iter().map(|(f, _)| f).chain(a.measures.iter().filter_map(|(_, f)| f.as_ref())) {
                m.sortable(&a.collection, field)?;
            }
        }
        if let Some((kind, _)) = a.measures.iter().find(|(k, f)| *k != Kind::Count && f.is_none()) {
            return refused(format!("{kind:?} is that of a field: name it"));
        }
        let key = |d: &Document, (name, span): &(String, Option<Span>)| {
            let value = of_document(d, name);
            match (span, value.as_str()) {
                // Times are UTC in RFC 3339: the start of the text is the span.
                (Some(span), Some(text)) => Value::from(text.get(..span_length(*span)).unwrap_or(text)),
                _ => value,
            }
        };
        let mut groups: Vec<(Vec<Value>, Vec<&Document>)> = Vec::new();
        for d in &found {
            let keys: Vec<Value> = a.groups.iter().map(|g| key(d, g)).collect();
            match groups.iter_mut().find(|(k, _)| *k == keys) {
                Some((_, members)) => members.push(d),
                None => groups.push((keys, vec![d])),
            }
        }
        if a.groups.is_empty() && groups.is_empty() {
            groups.push((Vec::new(), Vec::new()));
        }
        // Those without a value last.
        let order = |x: &Value, y: &Value| x.is_null().cmp(&y.is_null()).then_with(|| compare(x, y));
        groups.sort_by(|(x, _), (y, _)| x.iter().zip(y).map(|(x, y)| order(x, y)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal));
        groups.truncate(a.limit.clamp(1, 1000) as usize);
        let computed = |(keys, members): (Vec<Value>, Vec<&Document>)| {
            let values = a.measures.iter().map(|(k, f)| measured(*k, f.as_deref(), &members)).collect();
            Group { keys, values }
        };
        Ok(groups.into_iter().map(computed).collect())
    })
}

fn span_length(span: Span) -> usize {
    match span {
        Span::Minute => 16,
        Span::Hour => 13,
        Span::Day => 10,
        Span::Month => 7,
        Span::Year => 4,
    }
}

fn of_document(d: &Document, field: &str) -> Value {
    match field {
        "id" => Value::from(d.id.clone()),
        "version" => Value::from(d.version),
        "created_at" => Value::from(d.created_at.to_string()),
        "updated_at" => Value::from(d.updated_at.to_string()),
        field => d.data.get(field).cloned().unwrap_or_default(),
    }
}

fn measured(kind: Kind, field: Option<&str>, members: &[&Document]) -> Value {
    let Some(field) = field else { return Value::from(members.len()) };
    let values: Vec<Value> = members.iter().map(|d| of_document(d, field)).filter(|v| !v.is_null()).collect();
    let number = |n: f64| if n.fract() == 0.0 && n.abs() < 9e15 { Value::from(n as i64) } else { Value::from(n) };
    let sum = || values.iter().filter_map(Value::as_f64).sum::<f64>();
    match kind {
        Kind::Count => Value::from(values.len()),
        _ if values.is_empty() => Value::Null,
        Kind::Sum => number(sum()),
        Kind::Avg => number(sum() / values.len() as f64),
        Kind::Min => values.iter().min_by(|a, b| compare(a, b)).cloned().unwrap_or_default(),
        Kind::Max => values.iter().max_by(|a, b| compare(a, b)).cloned().unwrap_or_default(),
    }
}

/// An open bucket: its name.
pub(crate) type Bucket = String;

pub(crate) fn kv_open(name: &str) -> Result<Bucket> {
    with(|s| {
        allowed(s, "store")?;
        if name.len() > 60 || !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c)) {
            return Err(Error::new(422, "keyvalue.bucket", "a bucket's name has 0 to 60 of a-z, 0-9, hyphen and underscore"));
        }
        Ok(name.to_owned())
    })
}

fn kv<T>(keys: &[&str], f: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
    let refused = |message: &str| Err(Error::new(422, "keyvalue.refused", message));
    if keys.len() > 500 {
        return refused("at most 500 keys at once");
    }
    if keys.iter().any(|k| k.is_empty() || k.len() > 120 || k.contains('\0')) {
        return refused("a key has 1 to 120 bytes, none of them NUL");
    }
    with(|s| {
        allowed(s, "store")?;
        f(s)
    })
}

pub(crate) fn kv_get(b: &Bucket, key: &str) -> Result<Option<Vec<u8>>> {
    kv(&[key], |s| Ok(s.keyvalue.get(b).and_then(|v| v.get(key)).cloned()))
}

pub(crate) fn kv_set(b: &Bucket, key: &str, value: &[u8]) -> Result<()> {
    kv_set_many(b, &[(key.to_owned(), value.to_vec())])
}

pub(crate) fn kv_delete(b: &Bucket, key: &str) -> Result<()> {
    kv_delete_many(b, &[key.to_owned()])
}

pub(crate) fn kv_exists(b: &Bucket, key: &str) -> Result<bool> {
    Ok(kv_get(b, key)?.is_some())
}

pub(crate) fn kv_keys(b: &Bucket, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>)> {
    let skip = cursor.unwrap_or(0);
    let page: Vec<String> =
        kv(&[], |s| Ok(s.keyvalue.get(b).into_iter().flat_map(|v| v.keys()).skip(skip as usize).take(1000).cloned().collect()))?;
    let next = (page.len() == 1000).then(|| skip + 1000);
    Ok((page, next))
}

pub(crate) fn kv_increment(b: &Bucket, key: &str, by: u64) -> Result<u64> {
    let refused = |message: String| Error::new(422, "keyvalue.refused", message);
    kv(&[key], |s| {
        let values = s.keyvalue.entry(b.clone()).or_default();
        let now = match values.get(key) {
            None => 0,
            Some(v) => std::str::from_utf8(v)
                .ok()
                .and_then(|t| t.parse::<u64>().ok())
                .ok_or_else(|| refused(format!("the value of {key} is no number")))?,
        };
        let sum = now.checked_add(by).ok_or_else(|| refused(format!("the number at {key} would be too large")))?;
        values.insert(key.to_owned(), sum.to_string().into_bytes());
        Ok(sum)
    })
}

pub(crate) fn kv_get_many(b: &Bucket, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    kv(&names, |s| Ok(names.iter().map(|k| s.keyvalue.get(b).and_then(|v| v.get(*k)).cloned()).collect()))
}

pub(crate) fn kv_set_many(b: &Bucket, values: &[(String, Vec<u8>)]) -> Result<()> {
    let names: Vec<&str> = values.iter().map(|(k, _)| k.as_str()).collect();
    if let Some((key, value)) = values.iter().find(|(_, v)| v.len() > 700 << 10) {
        let message = format!("the value of {key} has {} bytes; a value has at most {}", value.len(), 700 << 10);
        return Err(Error::new(422, "keyvalue.refused", message));
    }
    kv(&names, |s| {
        s.keyvalue.entry(b.clone()).or_default().extend(values.iter().cloned());
        Ok(())
    })
}

pub(crate) fn kv_delete_many(b: &Bucket, keys: &[String]) -> Result<()> {
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    kv(&names, |s| {
        if let Some(values) = s.keyvalue.get_mut(b) {
            values.retain(|k, _| !names.contains(&k.as_str()));
        }
        Ok(())
    })
}

pub(crate) fn plugins_call(plugin: &str, action: &str, input: &Value) -> Result<Value> {
    let on_call = with(|s| {
        allowed(s, "plugins.use")?;
        s.calls.push((format!("{plugin}.{action}"), input.clone()));
        Ok::<_, Error>(s.on_call.clone())
    })?;
    // Outside of the lock: what a test says may use the platform.
    match on_call {
        Some(f) => f(plugin, action, input),
        None => Err(Error::not_found("plugin.not_found", format!("nobody answers {plugin}.{action}; say what it does with Fake::on_call"))),
    }
}

/// Status, headers and body.
type Answer = (u16, Vec<(String, String)>, Vec<u8>);

pub(crate) fn outgoing(r: &Outgoing, _to: &Parts) -> Result<Answer> {
    let on_request = with(|s| {
        allowed(s, "http.outgoing")?;
        s.outgoing.push(r.clone());
        Ok::<_, Error>(s.on_request.clone())
    })?;
    match on_request {
        Some(f) => f(&r.method, &r.url, &r.body).map(|(status, text)| (status, Vec::new(), text.into_bytes())),
        None => Err(Error::new(502, "outgoing.failed", format!("nobody answers {}; say what it does with Fake::on_request", r.url))),
    }
}

pub(crate) fn secret(name: &str) -> Option<String> {
    with(|s| s.secrets.get(name).cloned())
}

pub(crate) fn publish(kind: &str, subject: &str, data: &Value) -> Result<()> {
    with(|s| {
        allowed(s, "events.publish")?;
        if kind.is_empty() || kind.starts_with("plenum.") {
            return Err(Error::new(
                422,
                "plugin.invalid",
                format!("{kind:?} cannot be the type of a plugin's event: plenum. is the platform's own"),
            ));
        }
        let (id, time, source) = (s.id("event"), s.now.to_string(), format!("/plugins/{}", plugin(s).0));
        s.events.push(Event { id, kind: kind.into(), source, subject: subject.into(), time, data: data.clone() });
        Ok(())
    })
}

pub(crate) fn figure(kind: FigureKind, name: &str, labels: &[(&str, &str)], value: f64) -> Result<()> {
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    with(|s| s.figures.push((kind, name.to_owned(), labels, value)));
    Ok(())
}

pub(crate) fn notify(m: &Message) -> Result<u32> {
    with(|s| {
        allowed(s, "notify.send")?;
        s.notifications.push(m.clone());
        Ok((m.users.len() + m.roles.len()) as u32)
    })
}

pub(crate) fn log(level: Level, message: &str, fields: &Value) {
    with(|s| s.log.push(Line { level, message: message.to_owned(), fields: fields.clone() }));
}

fn plugin(s: &State) -> (String, String) {
    s.manifest.as_ref().map_or_else(|| ("fake".into(), "0.0.0".into()), |m| (m.id.clone(), m.version.clone()))
}

pub(crate) fn call() -> Call {
    with(|s| {
        let (plugin, version) = plugin(s);
        Call { id: "call-1".into(), plugin, version, user: s.user.clone(), idempotency_key: s.key.clone() }
    })
}

pub(crate) fn settings() -> Value {
    with(|s| s.settings.clone())
}

pub(crate) fn now() -> Timestamp {
    with(|s| s.now)
}

/// Not random at all, but never twice the same, and no part of it either: tests are to be repeatable, and plugins cut ids short.
pub(crate) fn random(count: usize) -> Vec<u8> {
    with(|s| {
        s.ids += 1;
        // SplitMix64, seeded by how many times it was asked.
        let mut state = s.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        words.flat_map(u64::to_be_bytes).take(count).collect()
    })
}
