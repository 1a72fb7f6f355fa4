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

pub(crate) mod backend;
mod filter;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use serde_json::Value;

use crate::Timestamp;
use crate::cmdb::{Instance, Related};
use crate::context::User;
use crate::events::Event;
use crate::jobs::{Execution, Request, TargetResult};
use crate::log::Level;
use crate::store::Document;
use crate::workflow::Run;
use crate::workflow::schedules::Schedule;

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
    instances: Vec<Instance>,
    related: Vec<((String, String), Related)>,
    collections: BTreeMap<String, BTreeMap<String, Document>>,
    jobs: VecDeque<Job>,
    requests: Vec<Request>,
    executions: Vec<Executed>,
    runs: Vec<(Option<String>, Run)>,
    schedules: BTreeMap<String, Schedule>,
    next_times: Vec<String>,
    events: Vec<Event>,
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
            instances: Vec::new(),
            related: Vec::new(),
            collections: BTreeMap::new(),
            jobs: VecDeque::new(),
            requests: Vec::new(),
            executions: Vec::new(),
            runs: Vec::new(),
            schedules: BTreeMap::new(),
            next_times: Vec::new(),
            events: Vec::new(),
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
    static STATE: RefCell<Rc<RefCell<State>>> = RefCell::default();
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    let state = STATE.with(|s| s.borrow().clone());
    let mut state = state.borrow_mut();
    f(&mut state)
}

/// The platform in memory, for the thread that made it and until it is dropped. Each test has its own thread, so tests do not meet.
///
/// At first: alice, an operator, calls; the time is 2026-01-01T00:00:00Z; all permissions are granted; nothing is stored.
#[derive(Debug)]
pub struct Fake(());

impl Default for Fake {
    fn default() -> Fake {
        Fake::new()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        STATE.with(|s| *s.borrow_mut() = Rc::default());
    }
}

impl Fake {
    /// Empty.
    pub fn new() -> Fake {
        STATE.with(|s| *s.borrow_mut() = Rc::default());
        Fake(())
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

    /// Says what the next job will have done; several are taken in order. A job that was not said fails to start.
    pub fn job(&self, job: Job) {
        with(|s| s.jobs.push_back(job));
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

    /// Says what the next times of any cron expression are: the fake computes none.
    pub fn next_times(&self, times: &[&str]) {
        with(|s| s.next_times = times.iter().map(|t| (*t).to_owned()).collect());
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
