//! Runs of workflows: the plugin's own, and those that its permission `workflow.run` names. And the plugin's schedules.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, Timestamp, backend};

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// `<plugin>.<name>` for a plugin's workflow.
    pub workflow: String,
    /// `running`, `waiting`, `succeeded`, `failed`, `cancelled`.
    pub status: String,
    /// What it was started with.
    pub input: Value,
    /// None until it succeeds.
    pub output: Option<Value>,
    /// What went wrong.
    pub error: Option<String>,
    /// What it waits for.
    pub waiting: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Run {
    /// Whether it will not change any more.
    pub fn finished(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "failed" | "cancelled")
    }

    /// Its output as one type; none until it succeeds.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        Ok(self.output.clone().map(serde_json::from_value).transpose()?)
    }
}

/// Starts a workflow. Asked again with the same key, answers the run that is there.
pub fn start(workflow: &str, input: &impl Serialize, key: Option<&str>) -> Result<Run> {
    backend::runs_start(workflow, &serde_json::to_value(input)?, key)
}

/// One run; none when there is none.
pub fn get(id: &str) -> Result<Option<Run>> {
    backend::runs_get(id)
}

/// Cancels a run.
pub fn cancel(id: &str) -> Result<()> {
    backend::runs_cancel(id)
}

/// The plugin's schedules, by a name of its own choosing. Takes the permission `workflow.run`.
pub mod schedules {
    use super::*;

    /// A schedule.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Schedule {
        /// Of the plugin's choosing.
        pub name: String,
        /// Five fields, `0 6 * * 1-5`.
        pub cron: String,
        /// IANA time zone, `Asia/Shanghai`.
        pub timezone: String,
        /// A workflow of the plugin.
        pub workflow: String,
        /// Its input.
        pub input: Value,
        /// Whether it starts anything.
        pub enabled: bool,
    }

    /// Makes or replaces the schedule of this name.
    pub fn put(schedule: &Schedule) -> Result<()> {
        backend::schedules_put(schedule)
    }

    /// All schedules of the plugin.
    pub fn list() -> Result<Vec<Schedule>> {
        backend::schedules_list()
    }

    /// Removes a schedule; none there is fine.
    pub fn delete(name: &str) -> Result<()> {
        backend::schedules_delete(name)
    }

    /// The next times of a cron expression, RFC 3339 with offset; at most 20.
    pub fn next_times(cron: &str, timezone: &str, count: u32) -> Result<Vec<String>> {
        backend::schedules_next_times(cron, timezone, count)
    }
}
