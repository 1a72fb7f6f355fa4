//! The platform in memory, for native tests of a plugin's logic.
//!
//! ```
//! use plenum_sdk::{Router, Request, Result, Json, cmdb, testing::Fake};
//!
//! fn count(_: &Request) -> Result<Json<u64>> {
//!     Ok(Json(cmdb::query("host").filter("os_id == 'debian'").count()?))
//! }
//!
//! let fake = Fake::new();
//! fake.instance("host", serde_json::json!({ "hostname": "web1", "os_id": "debian" }));
//! assert_eq!(Router::new().get("/count", count).handle(Request::get("/count")).body, b"1");
//! ```
//!
//! With [`Fake::with_manifest`] it holds the plugin to its `plugin.toml`, as the host does: permissions, collections, unique keys, defaults
//! of settings. Use it wherever a plugin has one.

pub(crate) mod backend;
mod filter;
mod manifest;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::cmdb::{Instance, Related};
use crate::context::User;
use crate::events::Event;
use crate::jobs::{Execution, Request, TargetResult};
use crate::log::Level;
use crate::metrics::Kind;
use crate::notify::Message;
use crate::outgoing::Outgoing;
use crate::store::Document;
use crate::workflow::Run;
use crate::workflow::schedules::Schedule;
use crate::{Result, Timestamp};

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Its fields, or null.
    pub fields: Value,
}

/// What the next job will have done, by node.
#[derive(Debug, Clone, Default)]
pub struct Job {
    results: Vec<(TargetResult, String, String)>,
}

impl Job {
    /// On no node.
    pub fn new() -> Job {
        Job::default()
    }

    /// A node whose script ended with this code and printed this.
    #[must_use]
    pub fn target(self, node_id: &str, node_name: &str, exit_code: i32, stdout: &str) -> Job {
        let result = TargetResult {
            node_id: node_id.to_owned(),
            node_name: node_name.to_owned(),
            status: if exit_code == 0 { "succeeded" } else { "failed" }.to_owned(),
            reason: (exit_code != 0).then(|| format!("the script ended with {exit_code}")),
            exit_code: Some(exit_code),
            duration_ms: Some(1),
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: 0,
            truncated_bytes: 0,
        };
        self.result(result, stdout, "")
    }

    /// A node whose script did not come to an end: `lost`, `timed_out`, `rejected`...
    #[must_use]
    pub fn unreached(self, node_id: &str, node_name: &str, status: &str, reason: &str) -> Job {
        let result = TargetResult {
            node_id: node_id.to_owned(),
            node_name: node_name.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            exit_code: None,
            duration_ms: None,
            stdout_bytes: 0,
            stderr_bytes: 0,
            truncated_bytes: 0,
        };
        self.result(result, "", "")
    }

    /// A node, with everything said.
    #[must_use]
    pub fn result(mut self, result: TargetResult, stdout: &str, stderr: &str) -> Job {
        self.results.push((result, stdout.to_owned(), stderr.to_owned()));
        self
    }
}

type OnJob = Arc<dyn Fn(&Request) -> Job + Send + Sync>;
type OnCall = Arc<dyn Fn(&str, &str, &Value) -> Result<Value> + Send + Sync>;
type OnRequest = Arc<dyn Fn(&str, &str, &[u8]) -> Result<(u16, String)> + Send + Sync>;

/// What a plugin counted: the kind of the figure, its name, labels, value.
pub type Counted = (Kind, String, Vec<(String, String)>, f64);

struct Executed {
    execution: Execution,
    key: Option<String>,
    results: Vec<(TargetResult, String, String)>,
}

struct State {
    now: Timestamp,
    ids: u64,
    user: Option<User>,
    key: Option<String>,
    settings: Value,
    denied: BTreeSet<String>,
    manifest: Option<manifest::Manifest>,
    models: BTreeMap<String, BTreeSet<String>>,
    instances: Vec<Instance>,
    related: Vec<((String, String), Related)>,
    collections: BTreeMap<String, BTreeMap<String, Document>>,
    keyvalue: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    secrets: BTreeMap<String, String>,
    on_call: Option<OnCall>,
    on_request: Option<OnRequest>,
    outgoing: Vec<Outgoing>,
    calls: Vec<(String, Value)>,
    jobs: VecDeque<Job>,
    on_job: Option<OnJob>,
    requests: Vec<Request>,
    executions: Vec<Executed>,
    runs: Vec<(Option<String>, Run)>,
    schedules: BTreeMap<String, Schedule>,
    next_times: Vec<String>,
    events: Vec<Event>,
    figures: Vec<Counted>,
    notifications: Vec<Message>,
    log: Vec<Line>,
}

impl Default for State {
    fn default() -> State {
        State {
            // A fixed time: tests that depend on the day they run on fail on some other day.
            now: Timestamp(1_767_225_600_000),
            ids: 0,
            user: Some(User { id: "user-1".into(), name: "alice".into(), role: "operator".into() }),
            key: None,
            settings: serde_json::json!({}),
            denied: BTreeSet::new(),
            manifest: None,
            models: BTreeMap::new(),
            instances: Vec::new(),
            related: Vec::new(),
            collections: BTreeMap::new(),
            keyvalue: BTreeMap::new(),
            secrets: BTreeMap::new(),
            on_call: None,
            on_request: None,
            outgoing: Vec::new(),
            calls: Vec::new(),
            jobs: VecDeque::new(),
            on_job: None,
            requests: Vec::new(),
            executions: Vec::new(),
            runs: Vec::new(),
            schedules: BTreeMap::new(),
            next_times: Vec::new(),
            events: Vec::new(),
            figures: Vec::new(),
            notifications: Vec::new(),
            log: Vec::new(),
        }
    }
}

impl State {
    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}-{}", self.ids)
    }
}

thread_local! {
    static STATE: RefCell<Arc<Mutex<State>>> = RefCell::default();
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    let state = STATE.with(|s| s.borrow().clone());
    // A test that failed half-way leaves what it had done; the next look at it is that test's own output.
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    f(&mut state)
}

/// The platform in memory, for the thread that made it and until it is dropped. Each test has its own thread, so tests do not meet.
///
/// At first: alice, an operator, calls; the time is 2026-01-01T00:00:00Z; all permissions are granted; nothing is stored.
pub struct Fake(());

/// The platform of a [`Fake`], to be used by other threads too: see [`Fake::share`].
#[derive(Clone)]
pub struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// Makes it this thread's platform until the answer is dropped.
    pub fn enter(&self) -> Fake {
        STATE.with(|s| *s.borrow_mut() = self.0.clone());
        Fake(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Default for Fake {
    fn default() -> Fake {
        Fake::new()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        STATE.with(|s| *s.borrow_mut() = Arc::default());
    }
}

impl Fake {
    /// Empty.
    pub fn new() -> Fake {
        STATE.with(|s| *s.borrow_mut() = Arc::default());
        Fake(())
    }

    /// Empty, and as strict as the host about what `plugin.toml` says: pass its text, `include_str!("../plugin.toml")`. Only permissions that it
    /// asks for are granted, only collections that it declares are there, with their kinds of fields and unique keys, and settings have its
    /// defaults.
    ///
    /// # Panics
    /// If the text is not a manifest: the test could not mean anything.
    #[allow(clippy::panic)]
    pub fn with_manifest(plugin_toml: &str) -> Fake {
        let fake = Fake::new();
        match manifest::Manifest::read(plugin_toml) {
            Ok(m) => with(|s| {
                s.settings = m.defaults();
                s.manifest = Some(m);
            }),
            Err(e) => panic!("plugin.toml: {e}"),
        }
        fake
    }

    /// For other threads, as those of a small web server that shows the plugin's page while it is worked on.
    pub fn share(&self) -> Shared {
        Shared(STATE.with(|s| s.borrow().clone()))
    }

    /// Names the attributes of a model: a filter with any other is then refused, as the host does. A model that was not named has whatever
    /// its records have.
    pub fn model(&self, name: &str, attributes: &[&str]) {
        with(|s| s.models.insert(name.to_owned(), attributes.iter().map(|a| (*a).to_owned()).collect()));
    }

    /// Who calls; none for a schedule or an event that nobody started.
    pub fn user(&self, user: Option<(&str, &str)>) {
        with(|s| s.user = user.map(|(name, role)| User { id: name.into(), name: name.into(), role: role.into() }));
    }

    /// The call's idempotency key, as an action of a workflow has one.
    pub fn key(&self, key: &str) {
        with(|s| s.key = Some(key.to_owned()));
    }

    /// The plugin's settings.
    pub fn settings(&self, settings: Value) {
        with(|s| s.settings = settings);
    }

    /// Changes some of the plugin's settings, and leaves the others.
    pub fn setting(&self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        with(|s| {
            if let Some(settings) = s.settings.as_object_mut() {
                settings.insert(name.to_owned(), value);
            }
        });
    }

    /// A secret setting.
    pub fn secret(&self, name: &str, value: &str) {
        with(|s| s.secrets.insert(name.to_owned(), value.to_owned()));
    }

    /// Says what actions of other plugins answer, by plugin, action and input. Without it, none is there.
    pub fn on_call(&self, f: impl Fn(&str, &str, &Value) -> Result<Value> + Send + Sync + 'static) {
        with(|s| s.on_call = Some(Arc::new(f)));
    }

    /// Actions of other plugins that were called, in order: `tls-watch.check`, and the input.
    pub fn calls(&self) -> Vec<(String, Value)> {
        with(|s| s.calls.clone())
    }

    /// Says what the outside answers, by method, address and body: a status and a text. Without it, nobody does.
    pub fn on_request(&self, f: impl Fn(&str, &str, &[u8]) -> Result<(u16, String)> + Send + Sync + 'static) {
        with(|s| s.on_request = Some(Arc::new(f)));
    }

    /// Requests to the outside that were sent, in order, as `GET https://...`.
    pub fn outgoing(&self) -> Vec<String> {
        with(|s| s.outgoing.iter().map(|r| format!("{} {}", r.method, r.url)).collect())
    }

    /// What is in a bucket of keys and values.
    pub fn bucket(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        with(|s| s.keyvalue.get(name).cloned().unwrap_or_default())
    }

    /// Sets the clock.
    pub fn at(&self, now: Timestamp) {
        with(|s| s.now = now);
    }

    /// Lets time pass.
    pub fn advance(&self, ms: u64) {
        with(|s| s.now = s.now.plus_millis(ms));
    }

    /// Takes a permission away, `cmdb.write`: what needs it fails with status 403.
    pub fn deny(&self, permission: &str) {
        with(|s| s.denied.insert(permission.to_owned()));
    }

    /// Puts a record into the CMDB; answers its id.
    pub fn instance(&self, model: &str, attributes: Value) -> String {
        with(|s| backend::new_instance(s, model, attributes).id)
    }

    /// Links two records by (model, id), from the first to the second.
    pub fn link(&self, kind: &str, from: (&str, &str), to: (&str, &str)) {
        with(|s| {
            let association = s.id("association");
            for (a, b, forward) in [(from, to, true), (to, from, false)] {
                let label = s.instances.iter().find(|i| i.model == b.0 && i.id == b.1).map_or_else(String::new, |i| i.label.clone());
                let related =
                    Related { association: association.clone(), kind: kind.into(), forward, model: b.0.into(), id: b.1.into(), label };
                s.related.push(((a.0.to_owned(), a.1.to_owned()), related));
            }
        });
    }

    /// Says what the next job will have done; several are taken in order. A job that was not said goes to [`Fake::on_job`], and fails to
    /// start without that.
    pub fn job(&self, job: Job) {
        with(|s| s.jobs.push_back(job));
    }

    /// Says what jobs do by what is asked: a test can run the script, or answer for each node of the request.
    ///
    /// ```
    /// # use plenum_sdk::{jobs::{self, Script, Targets}, testing::{Fake, Job}};
    /// let fake = Fake::new();
    /// fake.on_job(|request| request.targets.nodes.iter().fold(Job::new(), |job, n| job.target(&n.node_id, &n.node_id, 0, "fine")));
    /// let done = jobs::run(&jobs::Request::new("Check", Script::sh("true"), Targets::nodes(["n1", "n2"])))?;
    /// assert_eq!(done.succeeded, 2);
    /// # Ok::<(), plenum_sdk::Error>(())
    /// ```
    pub fn on_job(&self, f: impl Fn(&Request) -> Job + Send + Sync + 'static) {
        with(|s| s.on_job = Some(Arc::new(f)));
    }

    /// What was asked to be run, in order.
    pub fn requests(&self) -> Vec<Request> {
        with(|s| s.requests.clone())
    }

    /// Runs of workflows that were started, in order.
    pub fn runs(&self) -> Vec<Run> {
        with(|s| s.runs.iter().map(|(_, r)| r.clone()).collect())
    }

    /// Ends a run: its output, or what went wrong.
    pub fn finish_run(&self, id: &str, end: std::result::Result<Value, &str>) {
        with(|s| {
            let now = s.now;
            for (_, run) in s.runs.iter_mut().filter(|(_, r)| r.id == id) {
                run.finished_at = Some(now);
                match &end {
                    Ok(output) => (run.status, run.output) = ("succeeded".into(), Some(output.clone())),
                    Err(e) => (run.status, run.error) = ("failed".into(), Some((*e).to_owned())),
                }
            }
        });
    }

    /// Schedules that the plugin made, by name.
    pub fn schedules(&self) -> Vec<Schedule> {
        with(|s| s.schedules.values().cloned().collect())
    }

    /// Says what the next times of any cron expression are: the fake computes none, it only refuses what cannot be one.
    pub fn next_times(&self, times: &[&str]) {
        with(|s| s.next_times = times.iter().map(|t| (*t).to_owned()).collect());
    }

    /// What the plugin counted.
    pub fn figures(&self) -> Vec<Counted> {
        with(|s| s.figures.clone())
    }

    /// What people were told.
    pub fn notifications(&self) -> Vec<Message> {
        with(|s| s.notifications.clone())
    }

    /// Events that were published, in order.
    pub fn events(&self) -> Vec<Event> {
        with(|s| s.events.clone())
    }

    /// The log, in order.
    pub fn log(&self) -> Vec<Line> {
        with(|s| s.log.clone())
    }

    /// Records of a collection, by id.
    pub fn collection(&self, name: &str) -> Vec<Document> {
        with(|s| s.collections.get(name).map(|c| c.values().cloned().collect()).unwrap_or_default())
    }
}
