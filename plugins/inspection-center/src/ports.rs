//! What the Inspection Center needs from the platform, in its own words, so that its rules can be tried without one.
//! `guest.rs` speaks to the real one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Failure;

/// A stored record.
#[derive(Debug, Clone)]
pub struct Doc {
    /// Given by whoever stored it.
    pub id: String,
    /// Raised with each change.
    pub version: i64,
    /// Its fields.
    pub data: Value,
}

/// What to look for in a collection.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// CEL over the record's fields.
    pub filter: String,
    /// A field; `-` before it for the other direction.
    pub order: String,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Records a page.
    pub limit: u32,
}

/// One page of anything.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next begins.
    pub next_cursor: Option<String>,
    /// How many there are in all, where that is known.
    pub total: Option<u64>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next_cursor: None, total: None }
    }
}

/// A CMDB instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// Its attributes.
    #[serde(default)]
    pub attributes: Value,
}

/// What a job did on one node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NodeResult {
    /// The node.
    pub node_id: String,
    /// pending, waiting, running, succeeded, failed, timed_out, cancelled, lost or rejected.
    pub status: String,
    /// Why it waits or failed, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// The script's exit code.
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// Output that the agent or the host did not keep.
    #[serde(default)]
    pub truncated_bytes: u64,
}

/// A workflow run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// running, waiting, succeeded, failed or cancelled.
    pub status: String,
    /// What went wrong, in words.
    #[serde(default)]
    pub error: Option<String>,
    /// The job that it waits for now.
    #[serde(default)]
    pub execution: Option<String>,
}

/// The platform.
pub trait Platform {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;
    /// Thirty-two characters that nobody can guess.
    fn random_id(&self) -> String;
    /// Stores a record under an id. `expected`: the version that it must have; 0 for "must not be there"; `None` to replace whatever is there.
    fn put(&self, collection: &str, id: &str, data: Value, expected: Option<i64>) -> Result<Doc, Failure>;
    /// Stores many, all or none of them.
    fn put_many(&self, records: Vec<(&str, String, Value)>) -> Result<(), Failure>;
    /// A record.
    fn get(&self, collection: &str, id: &str) -> Result<Option<Doc>, Failure>;
    /// Records that match.
    fn query(&self, collection: &str, query: &Query) -> Result<Page<Doc>, Failure>;
    /// Removes a record; none there is fine.
    fn delete(&self, collection: &str, id: &str) -> Result<(), Failure>;
    /// CMDB instances.
    fn cmdb(&self, model: &str, filter: &str, cursor: Option<String>, limit: u32) -> Result<Page<Instance>, Failure>;
    /// What a job did, a page of nodes.
    fn job_results(&self, execution: &str, cursor: Option<String>, limit: u32) -> Result<Page<NodeResult>, Failure>;
    /// All that a node's script printed, at most `limit` bytes.
    fn job_output(&self, execution: &str, node: &str, limit: u64) -> Result<String, Failure>;
    /// Starts a workflow of this plugin, once for each key.
    fn run_start(&self, workflow: &str, input: Value, key: &str) -> Result<Run, Failure>;
    /// A run.
    fn run_get(&self, id: &str) -> Result<Option<Run>, Failure>;
    /// Stops a run.
    fn run_cancel(&self, id: &str) -> Result<(), Failure>;
    /// Makes or changes the schedule of that name: it starts a workflow of this plugin with `input`.
    fn schedule_put(&self, name: &str, cron: &str, timezone: &str, workflow: &str, input: Value, enabled: bool) -> Result<(), Failure>;
    /// Removes a schedule; none there is fine.
    fn schedule_delete(&self, name: &str) -> Result<(), Failure>;
    /// The next times of a cron line, RFC 3339.
    fn next_times(&self, cron: &str, timezone: &str, count: u32) -> Result<Vec<String>, Failure>;
    /// A line in the plugin's log.
    fn log(&self, text: &str);
}
