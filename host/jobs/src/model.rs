//! The words of the domain: what is asked, what runs, what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::plan::fault::Fault;
pub use crate::plan::strategy::Strategy;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),* }
        impl $name {
            /// The word in the API and the database.
            pub fn as_str(self) -> &'static str { match self { $($name::$variant => $text),* } }
            /// By word.
            pub fn parse(text: &str) -> Option<$name> { match text { $($text => Some($name::$variant),)* _ => None } }
        }
    };
}

words! {
    /// What interprets a script.
    Language {
        /// GNU bash.
        Bash = "bash",
        /// The POSIX shell.
        Sh = "sh",
        /// Python 3.
        Python3 = "python3",
    }
}

words! {
    /// Where an execution stands.
    ExecutionStatus {
        /// A rule found something in its script, and another person has to approve it before it begins.
        WaitingApproval = "waiting_approval",
        /// At least one target has not ended.
        Running = "running",
        /// All targets succeeded.
        Succeeded = "succeeded",
        /// Some targets succeeded, some did not.
        Partial = "partial",
        /// No target succeeded.
        Failed = "failed",
        /// It was cancelled before all targets had ended.
        Cancelled = "cancelled",
    }
}

words! {
    /// Where one target of an execution stands.
    TargetStatus {
        /// Not yet sent to the agent, or sent and not yet started.
        Pending = "pending",
        /// Cannot go on yet; `waiting_for` says why.
        Waiting = "waiting",
        /// The script runs.
        Running = "running",
        /// Exit code 0.
        Succeeded = "succeeded",
        /// Another exit code, or ended by a signal.
        Failed = "failed",
        /// Killed after the time limit.
        TimedOut = "timed_out",
        /// Cancelled before or while it ran.
        Cancelled = "cancelled",
        /// Its end is unknown: the agent or its machine went away.
        Lost = "lost",
        /// The agent refused to start it.
        Rejected = "rejected",
    }
}

words! {
    /// Where a node stands.
    NodeState {
        /// Its agent is connected.
        Online = "online",
        /// Its agent is not connected.
        Offline = "offline",
        /// Its certificates are no longer accepted.
        Revoked = "revoked",
    }
}

words! {
    /// Which of a script's outputs.
    OutputStream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
    }
}

impl TargetStatus {
    /// Whether nothing more will come.
    pub fn is_final(self) -> bool {
        !matches!(self, TargetStatus::Pending | TargetStatus::Waiting | TargetStatus::Running)
    }

    /// Whether it ended, and not as was hoped. A cancelled one did nothing wrong.
    pub fn is_failure(self) -> bool {
        matches!(self, TargetStatus::Failed | TargetStatus::TimedOut | TargetStatus::Lost | TargetStatus::Rejected)
    }
}

impl ExecutionStatus {
    /// Whether all targets have ended.
    pub fn is_final(self) -> bool {
        !matches!(self, ExecutionStatus::Running | ExecutionStatus::WaitingApproval)
    }
}

/// A script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its interpreter.
    pub language: Language,
    /// Its text.
    pub content: String,
}

/// Targets by a CMDB filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterTargets {
    /// `host`, or a model whose instances run on hosts.
    pub model: String,
    /// CEL over the model's attributes; empty means all.
    #[serde(default)]
    pub cel: String,
}

/// A CMDB instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct InstanceRef {
    /// The model's name.
    pub model: String,
    /// The instance's id.
    pub id: String,
}

/// A node, with environment of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTarget {
    /// The node's id.
    pub node_id: String,
    /// Added to the execution's environment for this target; wins over it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// Targets of an earlier execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierTargets {
    /// The execution.
    pub execution: String,
    /// Those that ended so.
    #[serde(default)]
    pub statuses: Vec<TargetStatus>,
    /// And these nodes of it, however they ended.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// Where to run. The kinds add up; a node that several lead to is one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    /// By filter.
    pub filter: Option<FilterTargets>,
    /// By instance.
    pub instances: Vec<InstanceRef>,
    /// By node.
    pub nodes: Vec<NodeTarget>,
    /// By how they fared in an earlier execution.
    // Left out when empty: see `RunRequest::strategy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierTargets>,
    /// By names and addresses, as people paste them: of nodes, and of hosts in the CMDB.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Run although some of the addresses lead to no node. Without it such a request is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_unmatched: bool,
}

/// What to run, where and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// For people, `Restart nginx`. Empty: `Script`.
    #[serde(default)]
    pub name: String,
    /// The script.
    pub script: Script,
    /// Arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment. Values may be secrets: they are shown nowhere, and removed from the database when the execution ends.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Operating system user; none means the agent's own.
    #[serde(default)]
    pub user: Option<String>,
    /// Working directory; none means the user's home.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Seconds until a target's script is killed; none means 3600.
    #[serde(default)]
    pub timeout_s: Option<u32>,
    /// Seconds that a target may wait for its agent to come online, from the start of its batch; 0: it fails at once; none means as long as
    /// `timeout_s`.
    #[serde(default)]
    pub wait_s: Option<u32>,
    /// Where.
    pub targets: Targets,
    /// Most targets at once; none means all.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Batches, pauses, how many failures are borne, and the time limit of the whole.
    // Left out when it says nothing: what a key stands for is a digest of this, and requests of before there were strategies stay the same.
    #[serde(default, skip_serializing_if = "Strategy::is_plain")]
    pub strategy: Strategy,
    /// Bytes of output kept for each target; none means 4 MiB.
    #[serde(default)]
    pub output_limit: Option<u64>,
    /// A second request with the same key answers with the first one's execution.
    #[serde(default)]
    pub key: Option<String>,
    /// What it belongs to, `workflow-run/<id>`.
    #[serde(default)]
    pub origin: Option<String>,
    /// The execution that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
}

impl RunRequest {
    /// A script, and nothing else said.
    pub fn of(script: Script) -> RunRequest {
        RunRequest {
            name: String::new(),
            script,
            args: Vec::new(),
            env: BTreeMap::new(),
            user: None,
            cwd: None,
            timeout_s: None,
            wait_s: None,
            targets: Targets::default(),
            concurrency: None,
            strategy: Strategy::default(),
            output_limit: None,
            key: None,
            origin: None,
            retry_of: None,
        }
    }
}

/// What of an execution is to be run again. Without statuses and nodes: all that did not succeed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryRequest {
    /// Targets that ended so.
    pub statuses: Vec<TargetStatus>,
    /// And these nodes.
    pub nodes: Vec<String>,
    /// The environment again: its values are not kept.
    pub env: BTreeMap<String, String>,
    /// A second request with the same key answers with the first one's execution.
    pub key: Option<String>,
}

/// Targets by status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Summary {
    pub total: u64,
    pub pending: u64,
    pub waiting: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub cancelled: u64,
    pub lost: u64,
    pub rejected: u64,
}

/// One run of a script on its targets. Times in milliseconds since 1970 UTC.
#[derive(Debug, Clone, Serialize)]
pub struct Execution {
    /// Id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// The script.
    pub script: Script,
    /// Arguments.
    pub args: Vec<String>,
    /// Names of the environment variables; never their values.
    pub env: Vec<String>,
    /// Operating system user.
    pub user: Option<String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Seconds until a target's script is killed.
    pub timeout_s: u32,
    /// Seconds that a target may wait for its agent.
    pub wait_s: u32,
    /// Most targets at once; 0 means all.
    pub concurrency: u32,
    /// Bytes of output kept for each target.
    pub output_limit: u64,
    /// How it goes through its targets.
    pub strategy: Strategy,
    /// Where it stands in that.
    pub progress: Progress,
    /// Who, in words.
    pub created_by: String,
    /// The plugin that made it.
    pub plugin: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When its first target was sent.
    pub started_at: Option<i64>,
    /// When its last target ended.
    pub finished_at: Option<i64>,
    /// From making to end.
    pub duration_ms: Option<i64>,
    /// What it belongs to.
    pub origin: Option<String>,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
    /// The execution that it repeats.
    pub retry_of: Option<String>,
    /// Its targets by status.
    pub summary: Summary,
    /// What the rules found in its script, worst first.
    pub findings: Vec<crate::safety::Finding>,
    /// Whether it was to be approved, and by whom it was.
    pub approval: Option<crate::safety::Approval>,
}

/// How far an execution is in its strategy. Times in milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The batch that is under way, or begins after the pause; counts from 1.
    pub batch: u32,
    /// How many there are.
    pub batches: u32,
    /// When the batch began, or the pause before it.
    pub since: i64,
    /// When the pause ends; none when there is none.
    pub resume_at: Option<i64>,
    /// Until when targets of this batch wait for their agents.
    pub wait_until: i64,
    /// When all is ended.
    pub deadline: Option<i64>,
    /// When it was stopped.
    pub stopped_at: Option<i64>,
    /// `jobs.stopped`: too many failures. `jobs.total_timeout`: it took too long.
    pub stop_code: Option<String>,
    /// Why it was stopped, for a person.
    pub stop_reason: Option<String>,
}

/// What came of one target.
#[derive(Debug, Clone, Serialize)]
pub struct TargetResult {
    /// The node.
    pub node_id: String,
    /// Its name when the execution was made.
    pub node_name: String,
    /// The CMDB instances that led to this target.
    pub instances: Vec<InstanceRef>,
    /// Where it stands.
    pub status: TargetStatus,
    /// What it waits for, for a person.
    pub waiting_for: Option<String>,
    /// Since when.
    pub waiting_since: Option<i64>,
    /// Until when, if it is given up then.
    pub waiting_until: Option<i64>,
    /// Its batch; counts from 1.
    pub batch: u32,
    /// Whose fault it was that it did not succeed.
    pub fault: Option<Fault>,
    /// SHA-256 over what it printed, when it has ended.
    pub output_hash: Option<String>,
    /// Exit code.
    pub exit_code: Option<i64>,
    /// Signal that ended it.
    pub signal: Option<i64>,
    /// Stable code of what went wrong.
    pub code: Option<String>,
    /// What went wrong and what to do.
    pub message: Option<String>,
    /// When its process started.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// From start of the process to its end.
    pub duration_ms: Option<i64>,
    /// First bytes of standard output, if asked for.
    pub stdout: Option<String>,
    /// First bytes of standard error, if asked for.
    pub stderr: Option<String>,
    /// Bytes written to standard output, kept or not.
    pub stdout_bytes: i64,
    /// Bytes written to standard error, kept or not.
    pub stderr_bytes: i64,
    /// Bytes beyond the limit, counted and dropped.
    pub truncated_bytes: i64,
    /// Names of this target's own environment variables.
    pub env: Vec<String>,
    /// What the script says of itself: the JSON of its last line `PLENUM_RESULT=...`.
    pub result: Option<serde_json::Value>,
    /// Why that could not be taken.
    pub result_error: Option<String>,
}

/// Which results to list, in the order of the targets.
#[derive(Debug, Clone, Default)]
pub struct ResultQuery {
    /// Only with this status.
    pub status: Option<TargetStatus>,
    /// Only of this node.
    pub node_id: Option<String>,
    /// Only with this exit code.
    pub exit_code: Option<i64>,
    /// Only with this code of what went wrong.
    pub code: Option<String>,
    /// Only those that printed this.
    pub output_hash: Option<String>,
    /// Text in the node's name.
    pub search: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most 1000; 0 means 100.
    pub limit: u32,
    /// Bytes of each stream to include.
    pub head_bytes: u32,
}

/// Which executions to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct ExecutionQuery {
    /// Only with this status.
    pub status: Option<ExecutionStatus>,
    /// Text in the name, the maker or the origin.
    pub search: Option<String>,
    /// Of this origin.
    pub origin: Option<String>,
    /// With a target on this node.
    pub node_id: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most 500; 0 means 50.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
    /// How many there are over all pages.
    pub total: u64,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPage {
    /// Where `data` starts.
    pub offset: u64,
    /// The bytes.
    pub data: Vec<u8>,
    /// Where to go on.
    pub next_offset: u64,
    /// True when the target has ended and this is all.
    pub end: bool,
    /// Bytes beyond the limit.
    pub truncated_bytes: i64,
}

/// A managed machine.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Id, also in its certificates.
    pub id: String,
    /// For people; the host name at first.
    pub name: String,
    /// Where it stands.
    pub state: NodeState,
    /// Since when.
    pub state_since: i64,
    /// Its instance of the CMDB model `host`.
    pub host_instance_id: Option<String>,
    /// Where its agent dialled from last.
    pub address: Option<String>,
    /// Version of its agent.
    pub agent_version: String,
    /// When it was enrolled.
    pub enrolled_at: i64,
    /// When its agent was heard last.
    pub last_seen_at: Option<i64>,
    /// Targets that are sent to it and not ended.
    pub running: u32,
    /// Load average of the last minute, while online.
    pub load_1m: Option<f64>,
}

/// Which nodes to list, by name.
#[derive(Debug, Clone, Default)]
pub struct NodeQuery {
    /// Only in this state.
    pub state: Option<NodeState>,
    /// Text in the name, host name or address.
    pub search: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most 1000; 0 means 50.
    pub limit: u32,
}

/// A new enrolment token; its text is shown once.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Id.
    pub id: String,
    /// `<secret>.<SHA-256 of the CA certificate>`.
    pub token: String,
    /// When it stops to be valid.
    pub expires_at: i64,
}

/// An enrolment token as listed: without its secret.
#[derive(Debug, Clone, Serialize)]
pub struct TokenInfo {
    /// Id.
    pub id: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: i64,
    /// When it stops to be valid.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
    /// The node that it enrolled.
    pub node_id: Option<String>,
}

/// One target before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTarget {
    /// The node.
    pub node_id: String,
    /// Its name.
    pub node_name: String,
    /// Where it stands.
    pub state: NodeState,
    /// The CMDB instances that led to it.
    pub instances: Vec<InstanceRef>,
    /// Environment of its own.
    #[serde(skip)]
    pub env: BTreeMap<String, String>,
}

/// An instance that cannot be a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// The instance.
    pub instance: InstanceRef,
    /// Its label.
    pub label: String,
    /// Why.
    pub reason: String,
}

/// A pasted name or address that leads to no node, or to several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// As pasted.
    pub text: String,
    /// Why.
    pub reason: String,
}

/// What targets come to.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// How many nodes.
    pub total: usize,
    /// The first 50.
    pub items: Vec<PlannedTarget>,
    /// Instances that match and have no node, at most 50.
    pub unreachable: Vec<Unreachable>,
    /// Pasted names and addresses that lead to no node, at most 500.
    pub unmatched: Vec<Unmatched>,
    /// How many of those there are.
    pub unmatched_total: usize,
}

/// Targets that ended the same way and printed the same.
#[derive(Debug, Clone, Serialize)]
pub struct ResultGroup {
    /// Where they stand.
    pub status: TargetStatus,
    /// Whose fault it was.
    pub fault: Option<Fault>,
    /// Exit code.
    pub exit_code: Option<i64>,
    /// Signal that ended them.
    pub signal: Option<i64>,
    /// Stable code of what went wrong.
    pub code: Option<String>,
    /// SHA-256 over what each printed; none when it did not end by itself.
    pub output_hash: Option<String>,
    /// How many they are.
    pub count: u64,
    /// One of them.
    pub node_id: String,
    /// Its name.
    pub node_name: String,
    /// Bytes of standard output of each.
    pub stdout_bytes: i64,
    /// Bytes of standard error of each.
    pub stderr_bytes: i64,
}

/// All targets as groups.
#[derive(Debug, Clone, Serialize)]
pub struct Groups {
    /// The largest 200.
    pub items: Vec<ResultGroup>,
    /// Targets of other groups.
    pub others: u64,
}

/// A line that holds what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatchedLine {
    /// Counts from 1.
    pub number: u64,
    /// The line; of a long one what stands around the match.
    pub text: String,
}

/// Lines of one stream of a target.
#[derive(Debug, Clone, Serialize)]
pub struct OutputMatch {
    /// The node.
    pub node_id: String,
    /// Its name.
    pub node_name: String,
    /// Which stream.
    pub stream: OutputStream,
    /// The first lines.
    pub lines: Vec<MatchedLine>,
    /// How many there are.
    pub count: u64,
}

/// A page of a search in output.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OutputMatches {
    /// What matches.
    pub items: Vec<OutputMatch>,
    /// Targets that were searched for this page.
    pub searched: u64,
    /// Where to go on; none at the end.
    pub next_cursor: Option<String>,
}

/// What a watcher wants to hear of, besides the execution itself.
#[derive(Debug, Clone, Default)]
pub struct WatchScope {
    /// Changes of these targets; none: of all.
    pub nodes: Option<Vec<String>>,
    /// Output of these targets; none: of all.
    pub output: Option<Vec<String>>,
}

/// What a watcher of an execution sees, in order. After a gap in the connection it goes on from its cursor.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// Output was stored.
    Output {
        /// The node.
        node_id: String,
        /// Which stream.
        stream: OutputStream,
        /// Where `data` starts.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// A target changed.
    Target(Box<TargetResult>),
    /// The execution as of now; the last event when it is finished.
    Execution(Box<Execution>),
}

/// Where a watcher stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchCursor {
    /// Position in the output.
    pub output: i64,
    /// Position in the changes of targets.
    pub rev: i64,
}
