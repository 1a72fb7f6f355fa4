//! A platform in memory, for tests and for working on the page without a host: records in maps, scripts run by this machine's bash.
//!
//! It understands the few forms of filters that this plugin writes and simple ones of people: comparisons, `in`, `contains`, `startsWith`, joined by `&&`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::error::Failure;
use crate::http;
use crate::ports::{Doc, Instance, NodeResult, Page, Platform, Query, Run};

#[derive(Default)]
struct Inner {
    docs: BTreeMap<(String, String), (i64, Value)>,
    jobs: BTreeMap<String, Vec<(NodeResult, String)>>,
    runs: BTreeMap<String, (Run, Value)>,
    schedules: BTreeMap<String, Value>,
    counter: u64,
}

/// What a node does with a script.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Runs it with bash.
    Runs,
    /// Ends with this status and these words.
    Ends(&'static str, &'static str),
    /// Succeeds and prints this.
    Prints(String),
}

/// The platform in memory.
pub struct Local {
    inner: Mutex<Inner>,
    /// The CMDB.
    pub instances: Mutex<Vec<(String, Instance)>>,
    /// What nodes do; running the script when absent.
    pub nodes: Mutex<BTreeMap<String, Behaviour>>,
    /// Milliseconds since 1970.
    pub clock: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Local {
    /// With a clock that goes on by a second at each look.
    pub fn new() -> Self {
        let ticks = std::sync::atomic::AtomicI64::new(1_795_418_158_000);
        Self::with_clock(Box::new(move || ticks.fetch_add(1000, std::sync::atomic::Ordering::Relaxed)))
    }

    /// With a clock.
    pub fn with_clock(clock: Box<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { inner: Mutex::default(), instances: Mutex::default(), nodes: Mutex::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an instance.
    pub fn add(&self, model: &str, id: &str, label: &str, attributes: Value) {
        let instance = Instance { id: id.into(), label: label.into(), attributes };
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).push((model.into(), instance));
    }

    /// How many records a collection has.
    pub fn count(&self, collection: &str) -> usize {
        self.lock().docs.keys().filter(|(name, _)| name == collection).count()
    }

    /// Schedules by name.
    pub fn schedules(&self) -> BTreeMap<String, Value> {
        self.lock().schedules.clone()
    }

    /// A run that a schedule would have started.
    pub fn fire(&self, input: Value) -> Result<String, Failure> {
        let id = self.random_id();
        Ok(self.run_start(crate::inspections::WORKFLOW, input, &id)?.id)
    }

    /// Does what the workflow does. `twice`: each action is called twice with the same input, as after a crash.
    pub fn pump(&self, run: &str, twice: bool) -> Result<Value, Failure> {
        let input = self.lock().runs.get(run).map(|(_, input)| input.clone()).ok_or_else(|| Failure::missing("run", run))?;
        let call = |name: &str, input: Value| {
            if twice {
                http::action(self, name, input.clone())?;
            }
            http::action(self, name, input)
        };
        let outcome = (|| {
            let plan = call("plan", json!({ "inspection": input["inspection"], "report": input["report"], "run": run }))?;
            let report = plan["report"].clone();
            for batch in plan["batches"].as_array().into_iter().flatten() {
                let request = call("batch", json!({ "report": report, "batch": batch }))?;
                let execution = if request["run"] == true { Some(self.job(run, &request)) } else { None };
                call("grade", json!({ "report": report, "batch": batch, "execution": execution, "error": null }))?;
            }
            call("finish", json!({ "report": report }))
        })();
        if let Some((run, _)) = self.lock().runs.get_mut(run) {
            run.execution = None;
            run.status = if outcome.is_ok() { "succeeded".into() } else { "failed".into() };
            run.error = outcome.as_ref().err().map(|failure: &Failure| failure.detail.clone());
        }
        outcome
    }

    fn job(&self, run: &str, request: &Value) -> String {
        let id = self.random_id();
        let nodes: Vec<Value> = request["targets"]["nodes"].as_array().cloned().unwrap_or_default();
        let waiting = |node: &Value| {
            (NodeResult { node_id: words(&node["node_id"]), status: "running".into(), ..NodeResult::default() }, String::new())
        };
        {
            let mut inner = self.lock();
            inner.jobs.insert(id.clone(), nodes.iter().map(waiting).collect());
            if let Some((run, _)) = inner.runs.get_mut(run) {
                run.execution = Some(id.clone());
            }
        }
        for (at, node) in nodes.iter().enumerate() {
            let behaviour = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).get(&words(&node["node_id"])).cloned();
            let (status, reason, output) = match behaviour.unwrap_or(Behaviour::Runs) {
                Behaviour::Ends(status, reason) => (status, Some(reason.to_owned()), String::new()),
                Behaviour::Prints(text) => ("succeeded", None, text),
                Behaviour::Runs => {
                    let mut command = Command::new("bash");
                    command.arg("-c").arg(words(&request["script"]["content"]));
                    for (name, value) in node["env"].as_object().into_iter().flatten() {
                        command.env(name, words(value));
                    }
                    match command.output() {
                        Ok(out) => ("succeeded", None, String::from_utf8_lossy(&out.stdout).into_owned()),
                        Err(error) => ("failed", Some(error.to_string()), String::new()),
                    }
                }
            };
            if let Some(slot) = self.lock().jobs.get_mut(&id).and_then(|results| results.get_mut(at)) {
                slot.0.status = status.into();
                slot.0.reason = reason;
                slot.1 = output;
            }
        }
        id
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Platform for Local {
    fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    fn random_id(&self) -> String {
        let mut inner = self.lock();
        inner.counter += 1;
        // Spread, so that the first sixteen characters differ too; nobody attacks a test.
        format!("{:016x}{:016x}", inner.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15), inner.counter)
    }

    fn put(&self, collection: &str, id: &str, data: Value, expected: Option<i64>) -> Result<Doc, Failure> {
        let mut inner = self.lock();
        let key = (collection.to_owned(), id.to_owned());
        let version = inner.docs.get(&key).map_or(0, |(version, _)| *version);
        if expected.is_some_and(|expected| expected != version) {
            return Err(Failure::new(
                409,
                "store.version",
                format!("{collection}/{id} has changed meanwhile (version {version}): load it again"),
            ));
        }
        if collection == "inspections" && inner.docs.iter().any(|((c, i), (_, d))| c == collection && i != id && d["name"] == data["name"])
        {
            return Err(Failure::new(409, "store.unique", "another record has this name"));
        }
        inner.docs.insert(key, (version + 1, data.clone()));
        Ok(Doc { id: id.to_owned(), version: version + 1, data })
    }

    fn put_many(&self, records: Vec<(&str, String, Value)>) -> Result<(), Failure> {
        for (collection, id, data) in records {
            self.put(collection, &id, data, None)?;
        }
        Ok(())
    }

    fn get(&self, collection: &str, id: &str) -> Result<Option<Doc>, Failure> {
        let found = self.lock().docs.get(&(collection.to_owned(), id.to_owned())).cloned();
        Ok(found.map(|(version, data)| Doc { id: id.to_owned(), version, data }))
    }

    fn query(&self, collection: &str, query: &Query) -> Result<Page<Doc>, Failure> {
        let mut found = Vec::new();
        for ((name, id), (version, data)) in &self.lock().docs {
            if name == collection && matches(&query.filter, data, None)? {
                found.push(Doc { id: id.clone(), version: *version, data: data.clone() });
            }
        }
        let (field, descending) = query.order.strip_prefix('-').map_or((query.order.as_str(), false), |field| (field, true));
        found.sort_by(|a, b| {
            let order = a.data[field].as_f64().partial_cmp(&b.data[field].as_f64()).unwrap_or(std::cmp::Ordering::Equal);
            if descending { order.reverse() } else { order }
        });
        Ok(page(found, query.cursor.as_deref(), query.limit))
    }

    fn delete(&self, collection: &str, id: &str) -> Result<(), Failure> {
        self.lock().docs.remove(&(collection.to_owned(), id.to_owned()));
        Ok(())
    }

    fn cmdb(&self, model: &str, filter: &str, cursor: Option<String>, limit: u32) -> Result<Page<Instance>, Failure> {
        let all = self.instances.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known: BTreeSet<String> =
            all.iter().filter(|(m, _)| m == model).filter_map(|(_, i)| i.attributes.as_object()).flat_map(|o| o.keys().cloned()).collect();
        let mut found = Vec::new();
        for (_, instance) in all.into_iter().filter(|(m, _)| m == model) {
            if matches(filter, &instance.attributes, Some(&known))? {
                found.push(instance);
            }
        }
        Ok(page(found, cursor.as_deref(), limit))
    }

    fn job_results(&self, execution: &str, cursor: Option<String>, limit: u32) -> Result<Page<NodeResult>, Failure> {
        let results = self.lock().jobs.get(execution).cloned().ok_or_else(|| Failure::missing("execution", execution))?;
        Ok(page(results.into_iter().map(|(result, _)| result).collect(), cursor.as_deref(), limit))
    }

    fn job_output(&self, execution: &str, node: &str, _limit: u64) -> Result<String, Failure> {
        let results = self.lock().jobs.get(execution).cloned().unwrap_or_default();
        results
            .into_iter()
            .find(|(result, _)| result.node_id == node)
            .map(|(_, output)| output)
            .ok_or_else(|| Failure::missing("output", node))
    }

    fn run_start(&self, _workflow: &str, input: Value, key: &str) -> Result<Run, Failure> {
        let run = Run { id: format!("run-{key}"), status: "running".into(), ..Run::default() };
        self.lock().runs.entry(run.id.clone()).or_insert_with(|| (run.clone(), input));
        Ok(run)
    }

    fn run_get(&self, id: &str) -> Result<Option<Run>, Failure> {
        Ok(self.lock().runs.get(id).map(|(run, _)| run.clone()))
    }

    fn run_cancel(&self, id: &str) -> Result<(), Failure> {
        if let Some((run, _)) = self.lock().runs.get_mut(id) {
            run.status = "cancelled".into();
        }
        Ok(())
    }

    fn schedule_put(&self, name: &str, cron: &str, timezone: &str, workflow: &str, input: Value, enabled: bool) -> Result<(), Failure> {
        let schedule = json!({ "cron": cron, "timezone": timezone, "workflow": workflow, "input": input, "enabled": enabled });
        self.lock().schedules.insert(name.to_owned(), schedule);
        Ok(())
    }

    fn schedule_delete(&self, name: &str) -> Result<(), Failure> {
        self.lock().schedules.remove(name);
        Ok(())
    }

    fn next_times(&self, cron: &str, timezone: &str, count: u32) -> Result<Vec<String>, Failure> {
        if cron.split_whitespace().count() != 5 {
            return Err(Failure::new(
                422,
                "workflow.cron",
                format!("{cron:?} is not a cron line: five fields are needed, such as \"0 6 * * *\""),
            ));
        }
        if timezone.is_empty() {
            return Err(Failure::new(422, "workflow.timezone", "name a time zone, such as Europe/Berlin"));
        }
        Ok((1..=count).map(|day| format!("2026-11-{:02}T06:00:00Z", 23 + day)).collect())
    }

    fn log(&self, text: &str) {
        eprintln!("{text}");
    }
}

fn page<T>(all: Vec<T>, cursor: Option<&str>, limit: u32) -> Page<T> {
    let total = all.len();
    let from: usize = cursor.and_then(|text| text.parse().ok()).unwrap_or(0);
    let to = from + usize::try_from(limit.max(1)).unwrap_or(1);
    let items = all.into_iter().skip(from).take(to - from).collect();
    Page { items, next_cursor: (to < total).then(|| to.to_string()), total: Some(u64::try_from(total).unwrap_or(u64::MAX)) }
}

fn matches(filter: &str, data: &Value, known: Option<&BTreeSet<String>>) -> Result<bool, Failure> {
    let mut all = true;
    for term in filter.split("&&").map(str::trim).filter(|term| !term.is_empty()) {
        all &= term_holds(term, data, known)?;
    }
    Ok(all)
}

fn term_holds(term: &str, data: &Value, known: Option<&BTreeSet<String>>) -> Result<bool, Failure> {
    let bad = || Failure::new(422, "cmdb.filter", format!("{term:?} is not understood: compare an attribute, such as os_id == \"debian\""));
    let field = |name: &str| -> Result<Value, Failure> {
        let name = name.trim();
        if let Some(known) = known.filter(|known| !known.contains(name)) {
            let near = known.iter().find(|other| other.starts_with(name.get(..2).unwrap_or(name)));
            let hint = near.map(|near| format!(": did you mean {near}?")).unwrap_or_default();
            return Err(Failure::new(422, "cmdb.unknown_attribute", format!("there is no attribute {name:?}{hint}")));
        }
        Ok(data[name].clone())
    };
    let literal = |text: &str| serde_json::from_str::<Value>(text.trim()).map_err(|_| bad());
    for method in ["contains", "startsWith"] {
        if let Some((name, rest)) = term.split_once(&format!(".{method}(")) {
            let argument = literal(rest.strip_suffix(')').ok_or_else(bad)?)?;
            let (value, argument) = (words(&field(name)?), words(&argument));
            return Ok(if method == "contains" { value.contains(&argument) } else { value.starts_with(&argument) });
        }
    }
    for op in ["==", "!=", ">=", "<=", ">", "<"] {
        if let Some((name, value)) = term.split_once(op) {
            let (left, right) = (field(name)?, literal(value)?);
            let order = left.as_f64().zip(right.as_f64()).and_then(|(a, b)| a.partial_cmp(&b));
            return Ok(match op {
                "==" => left == right,
                "!=" => left != right,
                ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
                "<=" => order.is_some_and(std::cmp::Ordering::is_le),
                ">" => order.is_some_and(std::cmp::Ordering::is_gt),
                _ => order.is_some_and(std::cmp::Ordering::is_lt),
            });
        }
    }
    if let Some((name, list)) = term.split_once(" in ") {
        let value = field(name)?;
        return Ok(literal(list)?.as_array().is_some_and(|list| list.contains(&value)));
    }
    Err(bad())
}
