//! What a case says that is there before: read from files, so every field has its words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

/// What there is before the plugin is called.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fixtures {
    /// RFC 3339: the time, which stands still but for `advance_s` of a step. 2026-01-01T00:00:00Z when absent.
    pub now: Option<String>,
    /// Where random numbers begin.
    pub seed: u64,
    /// The person who asks: `olga:administrator`, `olga`, or `nobody`. alice, an operator, when absent.
    pub user: Option<String>,
    /// Settings of the plugin, secret ones too.
    pub settings: BTreeMap<String, Json>,
    /// Permissions that were not granted, of those that the plugin asks for.
    pub deny: Vec<String>,
    /// Records by model. `id` is an id, and not an attribute.
    pub cmdb: BTreeMap<String, Vec<Json>>,
    /// Links between them.
    pub links: Vec<Link>,
    /// Records of the plugin's collections: by name, then by id.
    pub store: BTreeMap<String, BTreeMap<String, Json>>,
    /// Values by key, by bucket.
    pub keyvalue: BTreeMap<String, BTreeMap<String, Json>>,
    /// What the jobs do that the plugin starts, the first one first.
    pub jobs: Vec<Job>,
    /// What the outside answers: the first that fits.
    pub outside: Vec<Outside>,
    /// What actions of other plugins answer, `tls-watch.check`.
    pub actions: BTreeMap<String, Json>,
    /// Answers in the place of the fakes': the first that fits.
    pub answers: Vec<Answer>,
}

/// A link between records.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// `runs_on`.
    pub kind: String,
    /// `postgresql/postgresql-1`.
    pub from: String,
    /// `host/host-1`.
    pub to: String,
}

/// What a job does, node by node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its nodes.
    pub targets: Vec<Target>,
}

/// What becomes of a node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its id.
    pub node: String,
    /// Its name; the id when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Of the script.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// `lost`, `timed_out`, ...; by the exit code when absent.
    #[serde(default)]
    pub status: Option<String>,
    /// Why it is so.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the script printed.
    #[serde(default)]
    pub stdout: String,
    /// What it printed as errors.
    #[serde(default)]
    pub stderr: String,
}

/// What the outside answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// `GET https://api.example.com/hosts`; a trailing `*` fits what begins so.
    pub request: String,
    /// Its status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body: text, or JSON.
    #[serde(default)]
    pub body: Json,
    /// `refused`, `timeout`, `dns`: it does not arrive.
    #[serde(default)]
    pub fails: Option<String>,
}

fn ok() -> u16 {
    200
}

/// An answer in the place of a fake's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// `plenum:cmdb/instances.get`.
    pub call: String,
    /// What its arguments have to hold; all calls fit when absent.
    #[serde(default)]
    pub args: Option<Json>,
    /// What it answers.
    #[serde(default)]
    pub answer: Option<Json>,
    /// Or its error.
    #[serde(default)]
    pub error: Option<FixtureError>,
    /// So many times; always when absent.
    #[serde(default)]
    pub times: Option<u32>,
}

/// An error of the contract.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixtureError {
    /// `store.conflict`.
    pub code: String,
    /// In words.
    #[serde(default)]
    pub message: String,
    /// HTTP's number.
    #[serde(default = "conflict")]
    pub status: u16,
}

fn conflict() -> u16 {
    409
}
