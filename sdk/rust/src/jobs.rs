//! Scripts on nodes. Running takes the permission `jobs.run`, reading `jobs.read`; a plugin reads its own executions.
//!
//! ```
//! # use plenum_sdk::{jobs::{self, Script, Targets}, testing::{Fake, Job}};
//! # let fake = Fake::new();
//! # fake.job(Job::new().target("n1", "web1", 0, "up 3 days"));
//! let started = jobs::run(&jobs::Request::new("Uptime", Script::sh("uptime"), Targets::filter("host", "env == \"prod\"")).timeout_s(30))?;
//! let results = jobs::results(&started.id, None, 500)?;
//! assert_eq!(jobs::output_text(&started.id, &results.items[0].node_id, jobs::Stream::Stdout, 65536)?, "up 3 days");
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Page, Result, Timestamp, backend};

/// A script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// `bash`, `sh` or `python3`.
    pub language: String,
    /// Its text.
    pub content: String,
}

impl Script {
    /// For `sh`.
    pub fn sh(content: impl Into<String>) -> Script {
        Script { language: "sh".into(), content: content.into() }
    }

    /// For `bash`.
    pub fn bash(content: impl Into<String>) -> Script {
        Script { language: "bash".into(), content: content.into() }
    }

    /// For `python3`.
    pub fn python3(content: impl Into<String>) -> Script {
        Script { language: "python3".into(), content: content.into() }
    }
}

/// Where a script runs. What is said adds up; a node is taken once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// CMDB records that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<TargetFilter>,
    /// CMDB records by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<TargetInstance>,
    /// Nodes by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<TargetNode>,
}

/// CMDB records that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFilter {
    /// Name of the model.
    pub model: String,
    /// CEL over its attributes; empty for all.
    pub cel: String,
}

/// One CMDB record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetInstance {
    /// Name of the model.
    pub model: String,
    /// Its id.
    pub id: String,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetNode {
    /// Its id.
    pub node_id: String,
    /// Environment on this node, over that of the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl Targets {
    /// Records of a model that match a CEL expression; empty for all.
    pub fn filter(model: &str, cel: impl Into<String>) -> Targets {
        Targets { filter: Some(TargetFilter { model: model.to_owned(), cel: cel.into() }), ..Targets::default() }
    }

    /// Nodes by id.
    pub fn nodes<I: IntoIterator<Item = S>, S: Into<String>>(ids: I) -> Targets {
        let nodes = ids.into_iter().map(|id| TargetNode { node_id: id.into(), ..TargetNode::default() }).collect();
        Targets { nodes, ..Targets::default() }
    }

    /// Records by model and id.
    pub fn instances<'a>(instances: impl IntoIterator<Item = (&'a str, &'a str)>) -> Targets {
        let instances = instances.into_iter().map(|(model, id)| TargetInstance { model: model.into(), id: id.into() }).collect();
        Targets { instances, ..Targets::default() }
    }
}

/// What to run, where and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// For people, `Restart nginx`.
    pub name: String,
    /// The script.
    pub script: Script,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment; values may be secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Operating system user; none means the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; none means the user's home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Seconds until a target's script is killed; none means 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
    /// Seconds that a target may wait for its agent to come online; none means as long as `timeout_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u32>,
    /// Where.
    pub targets: Targets,
    /// Most targets at once; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Bytes of output kept for each target; none means 4 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u64>,
    /// Asked again with the same key, the platform answers the execution that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Request {
    /// A script on targets, with the platform's defaults.
    pub fn new(name: impl Into<String>, script: Script, targets: Targets) -> Request {
        Request {
            name: name.into(),
            script,
            args: Vec::new(),
            env: BTreeMap::new(),
            user: None,
            cwd: None,
            timeout_s: None,
            wait_s: None,
            targets,
            concurrency: None,
            output_limit: None,
            key: None,
        }
    }

    /// Seconds until a target's script is killed.
    #[must_use]
    pub fn timeout_s(mut self, seconds: u32) -> Request {
        self.timeout_s = Some(seconds);
        self
    }

    /// Seconds that a target may wait for its agent to come online.
    #[must_use]
    pub fn wait_s(mut self, seconds: u32) -> Request {
        self.wait_s = Some(seconds);
        self
    }

    /// Bytes of output kept for each target.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Request {
        self.output_limit = Some(bytes);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Request {
        self.args.push(arg.into());
        self
    }

    /// Runs once for each key. In an action take it from [`crate::context::Call::idempotency_key`].
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Request {
        self.key = Some(key.into());
        self
    }
}

/// One run of a script on many nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Execution {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// `running`, `succeeded`, `partial`, `failed`, `cancelled`.
    pub status: String,
    /// Nodes.
    pub total: u32,
    /// Nodes that did not start.
    pub pending: u32,
    /// Nodes where it runs.
    pub running: u32,
    /// Nodes where it went well.
    pub succeeded: u32,
    /// Nodes where it did not.
    pub failed: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the last node ended.
    pub finished_at: Option<Timestamp>,
}

/// What became of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TargetResult {
    /// The node.
    pub node_id: String,
    /// What people call it.
    pub node_name: String,
    /// `pending`, `waiting`, `running`, `succeeded`, `failed`, `timed_out`, `cancelled`, `lost`, `rejected`.
    pub status: String,
    /// What it waits for, or why it failed.
    pub reason: Option<String>,
    /// Of the script.
    pub exit_code: Option<i32>,
    /// Of the script.
    pub duration_ms: Option<u64>,
    /// Bytes that it printed.
    pub stdout_bytes: u64,
    /// Bytes that it printed as errors.
    pub stderr_bytes: u64,
    /// Output that was not kept.
    pub truncated_bytes: u64,
}

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What the script printed.
    Stdout,
    /// What it printed as errors.
    Stderr,
}

/// Starts a script; it goes on after the call.
pub fn run(request: &Request) -> Result<Execution> {
    backend::jobs_run(request)
}

/// One execution; none when there is none.
pub fn get(id: &str) -> Result<Option<Execution>> {
    backend::jobs_get(id)
}

/// Results, a page of at most 500 nodes.
pub fn results(id: &str, cursor: Option<&str>, limit: u32) -> Result<Page<TargetResult>> {
    backend::jobs_results(id, cursor, limit)
}

/// All results, page by page.
pub fn all_results(id: &str) -> Result<Vec<TargetResult>> {
    let (mut out, mut cursor) = (Vec::new(), None);
    loop {
        let page = results(id, cursor.as_deref(), 500)?;
        out.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(out);
        }
    }
}

/// Output of one node from an offset, at most `limit` bytes (1 MiB).
pub fn output(id: &str, node_id: &str, stream: Stream, offset: u64, limit: u32) -> Result<Vec<u8>> {
    backend::jobs_output(id, node_id, stream, offset, limit)
}

/// Output of one node from its start, at most `most` bytes; what is not UTF-8 is replaced.
pub fn output_text(id: &str, node_id: &str, stream: Stream, most: usize) -> Result<String> {
    let mut out = Vec::new();
    while out.len() < most {
        let ask = u32::try_from((most - out.len()).min(1 << 20)).unwrap_or(1 << 20);
        let part = output(id, node_id, stream, out.len() as u64, ask)?;
        // The platform answers as much as it has: less than was asked for is the end, and one question less for each target.
        let end = part.len() < ask as usize;
        out.extend(part);
        if end {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Cancels what has not finished.
pub fn cancel(id: &str) -> Result<()> {
    backend::jobs_cancel(id)
}
