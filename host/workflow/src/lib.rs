//! Durable workflows in the CNCF Serverless Workflow DSL 1.0.
//!
//! The interpreter is pure: it maps a run's state and one event to the next state. What is to be done in the world (calls,
//! timers) is read off the state, and carries an idempotency key. The engine performs it, and writes state, task records,
//! events and audit in one transaction for each step. So what was accepted is finished or reported, whatever dies between.

pub mod action;
pub mod approvals;
mod catalog;
mod cron;
pub mod dsl;
mod engine;
pub mod error;
pub mod expr;
pub mod interp;
pub mod model;
pub mod rehearsal;
mod schedules;
mod service;
mod sql;
mod starts;
pub mod stats;
mod verbs;
pub mod versions;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use action::{ActionContext, ActionError, ActionHost, ActionInfo, WaitReporter, Waiting};
pub use cron::next_times;
pub use engine::EngineConfig;
pub use error::{Problem, WorkflowError};
pub use model::{Definition, ListQuery, Page, Run, RunQuery, RunStatus, Schedule, SchedulePatch, ScheduleSpec, Target, Task, TaskStatus};
pub use rehearsal::{Mock, Rehearsal};
pub use schedules::MISFIRE_MS;
pub use service::{Checked, Workflows};
pub use stats::{Spread, Stats, StatsQuery};
pub use verbs::{Act, allowed_acts};
pub use versions::Version;

use plenum_store::Migration;

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration { set: "workflow", version: 1, sql: include_str!("../migrations/1.sql") },
    Migration { set: "workflow", version: 2, sql: include_str!("../migrations/2.sql") },
    Migration { set: "workflow", version: 3, sql: include_str!("../migrations/3.sql") },
    Migration { set: "workflow", version: 4, sql: include_str!("../migrations/4.sql") },
];
