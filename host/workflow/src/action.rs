//! What the engine calls: the host's atoms and the plugins' actions, behind one trait.

use std::sync::Arc;

use async_trait::async_trait;
use plenum_access::{Actor, Principal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What can be called, for validation and for the portal's catalog of actions.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ActionInfo {
    /// `cmdb.query`, `job.run`, `<plugin-id>.<action>`.
    pub name: String,
    /// A string, or an object of strings by language (`{"en": .., "zh": ..}`).
    pub title: Value,
    /// A string, or an object of strings by language.
    pub description: Value,
    /// JSON Schema 2020-12 of the input.
    pub input_schema: Option<Value>,
    /// JSON Schema 2020-12 of the output.
    pub output_schema: Option<Value>,
}

/// How an action failed. In a run it becomes a Serverless Workflow error that `catch` can match: its `type` is the standard one
/// that fits the status (validation, authorization, timeout, communication, runtime); `code` and `retryable` stand beside it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct ActionError {
    /// Stable code, `jobs.no_targets`. Those that begin with `http.` become communication errors.
    pub code: String,
    /// HTTP-like status: 400 bad input, 403 refused, 404 unknown, 409 conflict, 5xx failure.
    pub status: u16,
    /// What went wrong in few words.
    pub title: String,
    /// Where, and what to do.
    pub detail: String,
    /// Whether the same call may succeed later.
    #[serde(default)]
    pub retryable: bool,
}

impl ActionError {
    /// A failure that trying again does not mend.
    pub fn new(code: impl Into<String>, status: u16, title: impl Into<String>, detail: impl Into<String>) -> ActionError {
        ActionError { code: code.into(), status, title: title.into(), detail: detail.into(), retryable: false }
    }

    /// The same, but worth another try.
    pub fn retryable(mut self) -> ActionError {
        self.retryable = true;
        self
    }
}

/// What a task that has not finished waits for.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Waiting {
    /// In words: `job 0197.. runs on 3 of 20 targets`.
    pub reason: String,
    /// Milliseconds since the Unix epoch.
    pub since: i64,
    /// When it will go on by itself, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// An operator holds it back; only an operator lets it go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Lets a long action say what it waits for; the task shows it. Cheap to clone.
#[derive(Clone)]
pub struct WaitReporter(Arc<dyn Fn(Waiting) + Send + Sync>);

impl WaitReporter {
    /// Reports to `f`.
    pub fn new(f: impl Fn(Waiting) + Send + Sync + 'static) -> WaitReporter {
        WaitReporter(Arc::new(f))
    }

    /// Reports to nobody.
    pub fn none() -> WaitReporter {
        WaitReporter::new(|_| {})
    }

    /// Says what is waited for, from now on. A later report replaces it.
    pub fn waiting(&self, reason: impl Into<String>, until: Option<i64>) {
        (self.0)(Waiting { reason: reason.into(), since: plenum_store::now_ms(), until, paused: false });
    }
}

impl std::fmt::Debug for WaitReporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitReporter")
    }
}

/// What comes along with one call.
#[derive(Debug, Clone)]
pub struct ActionContext {
    /// As whom: the run's starter, resolved anew for this call.
    pub who: Principal,
    /// Idempotency key: the same after a restart, another for each attempt.
    pub key: String,
    /// The run.
    pub run_id: String,
    /// The task's path within the run, iterations included: `/do/1/each[3]/do/0/check`.
    pub task: String,
    /// Counts from 1.
    pub attempt: u32,
    /// Where to say what is waited for.
    pub waiting: WaitReporter,
    /// Cancelled when the task is no longer wanted (run cancelled, time-out, lost race). A host checks it before it begins:
    /// after a crash a cancelled call may be repeated, already cancelled, only so that what it had begun can be ended.
    pub cancel: CancellationToken,
}

/// What can be called. The plugin runtime implements it.
#[async_trait]
pub trait ActionHost: Send + Sync + 'static {
    /// What is known of an action, if there is one of that name.
    fn describe(&self, name: &str) -> Option<ActionInfo>;
    /// All of them.
    fn list(&self) -> Vec<ActionInfo>;
    /// Re-resolves a stored actor: the user must still be enabled and the role is read anew; a plugin must still be active
    /// and its grant is the one of now.
    async fn principal(&self, actor: &Actor) -> Result<Principal, ActionError>;
    /// May take long (a job): then it reports what it waits for. Called again with the same key after a restart: must be
    /// idempotent by key.
    async fn call(&self, ctx: ActionContext, name: &str, input: Value) -> Result<Value, ActionError>;
}
