//! An inspection without a host, on `plenum_sdk::testing::Fake`: for tests and for working on the page.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code)]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use inspection_center::{flow, routes};
use plenum_sdk::jobs::{self, TargetResult};
use plenum_sdk::testing::{Fake, Job};
use plenum_sdk::{Error, Request, Result, workflow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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

/// A platform with some machines.
pub struct Fleet {
    pub fake: Fake,
    /// What nodes do; running the script when absent.
    pub nodes: Arc<Mutex<BTreeMap<String, Behaviour>>>,
}

impl Fleet {
    /// `count` connected Debian machines.
    pub fn new(count: u32) -> Fleet {
        let fake = Fake::with_manifest(include_str!("../../plugin.toml"));
        fake.user(Some(("ada", "operator")));
        fake.model("host", &["hostname", "node_id", "os_id", "status", "env", "memory_bytes", "cpu_count", "addresses"]);
        fake.next_times(&[
            "2026-01-01T06:00:00Z",
            "2026-01-02T06:00:00Z",
            "2026-01-03T06:00:00Z",
            "2026-01-04T06:00:00Z",
            "2026-01-05T06:00:00Z",
        ]);
        let nodes: Arc<Mutex<BTreeMap<String, Behaviour>>> = Arc::default();
        let behaviours = nodes.clone();
        fake.on_job(move |request| {
            request.targets.nodes.iter().fold(Job::new(), |job, node| {
                let behaviour = behaviours.lock().unwrap().get(&node.node_id).cloned().unwrap_or(Behaviour::Runs);
                let id = node.node_id.as_str();
                match behaviour {
                    Behaviour::Ends(status, reason) => job.unreached(id, id, status, reason),
                    Behaviour::Prints(text) => job.target(id, id, 0, &text),
                    Behaviour::Runs => {
                        let out = Command::new("bash").arg("-c").arg(&request.script.content).envs(&node.env).output().unwrap();
                        job.target(id, id, out.status.code().unwrap_or(-1), &String::from_utf8_lossy(&out.stdout))
                    }
                }
            })
        });
        let fleet = Fleet { fake, nodes };
        for at in 0..count {
            fleet.machine(&format!("host-{at}"), json!({ "node_id": format!("n{at}"), "os_id": "debian", "status": "online" }));
        }
        fleet
    }

    /// Adds a machine.
    pub fn machine(&self, name: &str, mut attributes: Value) {
        attributes["hostname"] = name.into();
        self.fake.instance("host", attributes);
    }

    /// Says what a node does.
    pub fn node(&self, id: &str, behaviour: Behaviour) {
        self.nodes.lock().unwrap().insert(id.to_owned(), behaviour);
    }

    /// How many records a collection has.
    pub fn count(&self, collection: &str) -> usize {
        self.fake.collection(collection).len()
    }
}

/// A request of the page.
pub fn call(method: &str, path: &str, body: Value) -> (u16, Value) {
    call_as("operator", method, path, body)
}

/// A request of the page by somebody of this role.
pub fn call_as(role: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::new(method, path).with_json(&body).with_header("x-plenum-locale", "en").as_user("ada", role);
    let response = routes::router().handle(request);
    (response.status, serde_json::from_slice(&response.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&response.body))))
}

/// Does what the workflow does. `twice`: each action is called twice with the same input, as after a crash.
pub fn pump(fake: &Fake, run: &str, twice: bool) -> Result<Value> {
    fake.advance(1_000);
    let input = workflow::get(run)?.ok_or_else(|| Error::not_found("run", run))?.input;
    let inspection = input["inspection"].clone();
    let outcome = (|| {
        let plan = act(flow::plan, json!({ "inspection": inspection, "report": input["report"], "run": run }), twice)?;
        let report = plan["report"].clone();
        for wave in plan["waves"].as_array().unwrap() {
            let request = act(flow::ask, json!({ "report": report, "wave": wave["wave"] }), twice)?;
            let job: jobs::Request = serde_json::from_value(request.clone())?;
            let execution = if request["run"] == true { Some(jobs::run(&job)?.id) } else { None };
            for batch in wave["batches"].as_array().unwrap() {
                act(flow::grade, json!({ "report": report, "batch": batch, "execution": execution, "error": null }), twice)?;
            }
        }
        act(flow::finish, json!({ "report": report }), twice)
    })();
    fake.finish_run(run, outcome.as_ref().map(Clone::clone).map_err(|e| e.message.as_str()));
    outcome
}

fn act<I: DeserializeOwned, O: Serialize>(action: fn(I) -> Result<O>, input: Value, twice: bool) -> Result<Value> {
    if twice {
        action(serde_json::from_value(input.clone())?)?;
    }
    Ok(serde_json::to_value(action(serde_json::from_value(input)?)?)?)
}

/// A node's answer that is not final, for looking at progress.
pub fn running(node: &str) -> TargetResult {
    TargetResult { node_id: node.into(), node_name: node.into(), status: "running".into(), ..TargetResult::default() }
}
