//! Durable workflows in the CNCF Serverless Workflow DSL 1.0.
//!
//! The interpreter is pure: it maps a run's state and one event to the next state. What is to be done in the world (calls,
//! timers) is read off the state, and carries an idempotency key. The engine performs it, and writes state, task records,
//! events and audit in one transaction for each step. So what was accepted is finished or reported, whatever dies between.

pub mod action;
pub mod dsl;
pub mod error;
pub mod expr;
pub mod interp;
pub mod model;
pub mod yaml;

pub use action::{ActionContext, ActionError, ActionHost, ActionInfo, WaitReporter, Waiting};
pub use error::{Problem, WorkflowError};
pub use model::{
    Definition, ListQuery, Page, Run, RunQuery, RunStatus, Schedule, SchedulePatch, ScheduleSpec,
    Target, Task, TaskStatus,
};

// Signatures that the runtime and api engineers code against (bodies follow):
// impl Workflows {
//   pub fn new(db: Db, access: Access, events: Events, host: Arc<dyn ActionHost>) -> Workflows
//   pub async fn start_engine(&self, shutdown: CancellationToken) -> Result<EngineHandle, WorkflowError>   // recovers runs, schedules
//   pub fn validate(&self, source: &str) -> Result<Checked, Vec<Problem>>
//   pub async fn save_definition(&self, who: &Principal, name: &str, source: &str, owner: Option<&str>) -> Result<Definition, WorkflowError>
//   pub async fn definitions(&self, who, &ListQuery) -> Result<Page<Definition>, _>;  definition(who, name); delete_definition(who, name)
//   pub async fn delete_owned(&self, who, owner: &str) -> Result<(), _>     // uninstall: definitions and schedules of a plugin
//   pub async fn start(&self, who, name: &str, input: Value, key: Option<&str>) -> Result<Run, _>
//   pub async fn runs(&self, who, &RunQuery) -> Result<Page<Run>, _>;  run(who, id) -> Run;  tasks(who, run, after: u64, limit: u32) -> Vec<Task>
//   pub async fn cancel(&self, who, id, why: Option<&str>) -> Result<Run, _>;   wait(id) -> Run (ends when the run ends)
//   pub async fn create_schedule(&self, who, ScheduleSpec) / put_schedule (by owner+name) / update_schedule(who,id,SchedulePatch) / schedules(who,&ListQuery) / schedule(who,id) / delete_schedule(who,id)
//   pub fn next_times(cron, tz, from_ms, n) -> Result<Vec<i64>, _>
//   pub fn actions(&self) -> Vec<ActionInfo>
// }
