//! The vocabulary: definitions, runs, tasks, schedules. Times are milliseconds since the Unix epoch.

use plenum_access::Actor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::action::Waiting;

/// A stored workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Definition {
    /// `nightly-check`, or `<plugin-id>.<name>` for a plugin's own.
    pub name: String,
    /// Counts from 1; every save of another text makes a new one. A run stays on the version that it started with.
    pub version: i64,
    /// The plugin that brought it, if one did.
    pub owner: Option<String>,
    /// `document.title`, else the name.
    pub title: String,
    /// `document.summary`.
    pub summary: Option<String>,
    /// The text as it was saved, YAML or JSON.
    pub source: String,
    /// `input.schema`'s document, for a form.
    pub input_schema: Option<Value>,
    /// When it was first saved.
    pub created_at: i64,
    /// When this version was saved.
    pub updated_at: i64,
    /// Who saved this version.
    pub updated_by: String,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Something is being done.
    Running,
    /// It waits for time to pass, or for its turn.
    Waiting,
    /// Ended well.
    Succeeded,
    /// Ended by an error that nothing caught.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

impl RunStatus {
    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }
    /// By name.
    pub fn from_name(name: &str) -> Option<RunStatus> {
        [RunStatus::Running, RunStatus::Waiting, RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled]
            .into_iter()
            .find(|s| s.name() == name)
    }
    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        !matches!(self, RunStatus::Running | RunStatus::Waiting)
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Known but not begun.
    Pending,
    /// At work.
    Running,
    /// Waits; `waiting` says for what.
    Waiting,
    /// Ended well.
    Succeeded,
    /// Ended by an error (which an enclosing `try` may have caught).
    Failed,
    /// Its `if` was false.
    Skipped,
    /// No longer wanted: run cancelled, race lost, time-out of what contains it.
    Cancelled,
}

impl TaskStatus {
    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            TaskStatus::Pending => "pending",
            TaskStatus::Running => "running",
            TaskStatus::Waiting => "waiting",
            TaskStatus::Succeeded => "succeeded",
            TaskStatus::Failed => "failed",
            TaskStatus::Skipped => "skipped",
            TaskStatus::Cancelled => "cancelled",
        }
    }
    /// By name.
    pub fn from_name(name: &str) -> Option<TaskStatus> {
        use TaskStatus::{Cancelled, Failed, Pending, Running, Skipped, Succeeded, Waiting};
        [Pending, Running, Waiting, Succeeded, Failed, Skipped, Cancelled].into_iter().find(|s| s.name() == name)
    }
}

/// One execution of one task: each iteration and each retry is one of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Grows in the order of beginning; unique within the run.
    pub id: u64,
    /// The enclosing task's `id`.
    pub parent: Option<u64>,
    /// JSON pointer into the definition: `/do/0/plan`.
    pub pointer: String,
    /// The same with iterations: `/do/1/each[3]/do/0/check`.
    pub path: String,
    /// The task's name.
    pub name: String,
    /// `call`, `set`, `for`, ...
    pub kind: String,
    /// What a `call` calls.
    pub action: Option<String>,
    /// Where it stands.
    pub status: TaskStatus,
    /// Counts from 1; grows when an enclosing `try` tries again.
    pub attempt: u32,
    /// After `input.from`; for a call, its evaluated arguments. Values above 64 KiB are shown shortened.
    pub input: Value,
    /// What came in before `input.from`, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Value>,
    /// After `output.as`.
    pub output: Value,
    /// The Serverless Workflow error: `{type, status, title, detail, instance}`.
    pub error: Option<Value>,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
}

/// One execution of a workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Id.
    pub id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The version that it runs.
    pub version: i64,
    /// Where it stands.
    pub status: RunStatus,
    /// Who started it, in words.
    pub started_by: String,
    /// Who started it, to act as.
    pub actor: Actor,
    /// What started it: `user`, `plugin/<id>`, `schedule/<id>`.
    pub origin: Option<String>,
    /// The caller's key, if it gave one.
    pub key: Option<String>,
    /// When it was accepted.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// How long it took, or takes.
    pub duration_ms: i64,
    /// What it was started with.
    pub input: Value,
    /// What it ended with.
    pub output: Value,
    /// Why it failed: `{type, status, title, detail, instance}`.
    pub error: Option<Value>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    /// Its tasks, in the order of beginning; the first 1,000 ([`crate::Workflows::tasks`] has the rest). Empty in lists.
    pub tasks: Vec<Task>,
    /// How many tasks there are.
    pub task_count: i64,
    /// It failed, and its failed task can be retried or skipped.
    pub can_go_on: bool,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In one of these states.
    pub status: Vec<RunStatus>,
    /// Whose workflow, id or key contains this.
    pub search: Option<String>,
    /// From the answer before.
    pub cursor: Option<String>,
    /// 1 to 500; 0 means 50.
    pub limit: u32,
}

/// Which definitions or schedules to list, by name.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Whose name contains this.
    pub search: Option<String>,
    /// From the answer before.
    pub cursor: Option<String>,
    /// 1 to 500; 0 means 50.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// Where the next part begins; `None` at the end.
    pub next_cursor: Option<String>,
    /// How many there are in all parts.
    pub total: i64,
}

/// What a schedule starts.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A workflow, by name.
    Workflow(String),
    /// An action, by name: runs as a workflow of one task, so that it is durable and visible like any other.
    Action(String),
}

/// What a schedule is made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// Unique for its owner.
    pub name: String,
    /// Five fields (minute hour day month weekday), or six with seconds first.
    pub cron: String,
    /// IANA name, `Europe/Berlin`.
    pub timezone: String,
    /// What it starts.
    pub target: Target,
    /// With which input.
    #[serde(default)]
    pub input: Value,
    /// Whether it fires.
    pub enabled: bool,
    /// The plugin that it belongs to; a plugin principal may leave it out.
    #[serde(default)]
    pub owner_plugin: Option<String>,
}

/// What may be changed in a schedule; `None` leaves as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulePatch {
    /// A new name.
    pub name: Option<String>,
    /// A new cron expression.
    pub cron: Option<String>,
    /// A new time zone.
    pub timezone: Option<String>,
    /// Another input.
    pub input: Option<Value>,
    /// On or off.
    pub enabled: Option<bool>,
}

/// A stored schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Schedule {
    /// Id.
    pub id: String,
    /// What it was made from.
    #[serde(flatten)]
    pub spec: ScheduleSpec,
    /// Who made it, in words: its runs act as that.
    pub created_by: String,
    /// When it was made.
    pub created_at: i64,
    /// When it fires next; `None` when disabled or when the expression has no further time.
    pub next_at: Option<i64>,
    /// When it fired last (the planned time).
    pub last_at: Option<i64>,
    /// The run that the last firing started.
    pub last_run: Option<String>,
    /// Why the last firing started none.
    pub last_error: Option<String>,
}
