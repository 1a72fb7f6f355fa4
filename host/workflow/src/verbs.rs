//! The operator's hands on a run and its tasks. Each order has a reason, is audited, and is done by the engine in the step that takes
//! it away, so that it is done once whatever dies.

use plenum_access::{Permission, Principal};
use plenum_store::{StoreError, events, new_id, now_ms, params};
use serde_json::{Value, json};

use crate::engine::event;
use crate::error::WorkflowError;
use crate::interp::{Event, Order, RunInfo, State, Verb, World};
use crate::model::{Run, Task, TaskStatus};
use crate::service::Workflows;
use crate::sql;

type Result<T> = std::result::Result<T, WorkflowError>;

/// What an operator does.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Nothing new begins; what is under way ends, and its result is kept until it goes on.
    Pause,
    /// Lets it go on.
    Resume,
    /// Begins the task again; for a call, `input` replaces its arguments.
    Retry {
        /// Instead of the input that it had.
        input: Option<Value>,
    },
    /// The task counts as done.
    Skip {
        /// Its output; without one, its input.
        output: Option<Value>,
    },
    /// The task fails; an enclosing `try` may catch it.
    Fail,
    /// Back to this task, which was done already; what came after it in its list is dropped.
    Jump {
        /// Instead of the input that it had.
        input: Option<Value>,
    },
}

/// What may be tried with a task as it stands, by the API's names. The engine has the last word.
pub fn allowed_acts(run: &Run, task: &Task) -> Vec<&'static str> {
    let live = matches!(task.status, TaskStatus::Running | TaskStatus::Waiting);
    let paused = task.waiting.as_ref().is_some_and(|w| w.paused);
    let mut acts = Vec::new();
    if !run.status.is_final() && live {
        acts.extend([if paused { "resume" } else { "pause" }, "retry", "skip", "fail"]);
    }
    if run.can_go_on && task.status == TaskStatus::Failed {
        acts.extend(["retry", "skip"]);
    }
    if (run.can_go_on || !run.status.is_final()) && !live {
        acts.push("jump");
    }
    if first_level(&task.pointer) {
        acts.push("restart");
    }
    acts
}

fn first_level(pointer: &str) -> bool {
    pointer.strip_prefix("/do/").is_some_and(|p| p.split('/').count() == 2)
}

pub(crate) fn reason_of(reason: &str) -> Result<String> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        let message = "say why, in 1 to 500 characters; it stands in the audit log".into();
        return Err(WorkflowError::Argument { field: "reason", message });
    }
    Ok(reason.to_owned())
}

/// The input with which a task began.
fn input_of(task: &Task) -> Result<Value> {
    let v = task.raw.as_ref().unwrap_or(&task.input);
    if v.as_object().is_some_and(|o| o.len() == 1 && o.contains_key("shortened")) {
        let message = format!("the input of {} was too large to be kept; give one", task.name);
        return Err(WorkflowError::Argument { field: "input", message });
    }
    Ok(v.clone())
}

impl Workflows {
    async fn task(&self, run: &str, id: u64) -> Result<Task> {
        let found = i64::try_from(id).unwrap_or(i64::MAX);
        let row =
            self.engine.db.fetch_optional("SELECT record FROM workflow_tasks WHERE run_id = ? AND id = ?", params![run, found]).await?;
        Ok(sql::task(&row.ok_or_else(|| WorkflowError::NotFound(format!("task {id} in run {run}")))?)?)
    }

    /// Moves a run (without `task`: pause and resume) or a task of it. Answers when the order is written; the engine does it at once,
    /// or when it is back.
    pub async fn operate(&self, who: &Principal, id: &str, task: Option<u64>, act: Act, reason: &str) -> Result<Run> {
        let run = self.load(id, false).await?;
        self.allow(who, Permission::WorkflowRun, &run.workflow).await?;
        let reason = reason_of(reason)?;
        let record = match task {
            Some(t) => Some(self.task(id, t).await?),
            None => None,
        };
        let needs = || WorkflowError::Argument { field: "task", message: "this is done to a task; name one".into() };
        let target = task.ok_or_else(needs);
        let verb = match act {
            Act::Pause => Verb::Pause { task },
            Act::Resume => Verb::Resume { task },
            Act::Retry { input } => Verb::Retry { task: target?, input },
            Act::Skip { output } => Verb::Skip { task: target?, output },
            Act::Fail => Verb::Fail { task: target? },
            Act::Jump { input } => {
                let t = record.as_ref().ok_or_else(needs)?;
                let input = input.map_or_else(|| input_of(t), Ok)?;
                Verb::Jump { pointer: t.pointer.clone(), path: t.path.clone(), input, attempt: t.attempt }
            }
        };
        let order = Order { id: new_id(), verb, by: who.actor().to_string(), reason, at: now_ms() };
        self.try_out(&run, &order).await?;
        let place = record.as_ref().map(|t| t.path.clone());
        self.write_order(who, &run, &order, place).await?;
        self.engine.poke(id);
        self.load(id, true).await
    }

    /// Does it in memory, to answer at once what cannot be done.
    async fn try_out(&self, run: &Run, order: &Order) -> Result<()> {
        let row = self.engine.db.fetch_optional("SELECT state FROM workflow_runs WHERE id = ?", params![&run.id]).await?;
        let text = row.map(|r| r.opt_text("state")).transpose()?.flatten();
        let mut state: State = match text {
            Some(t) => serde_json::from_str(&t).map_err(|e| StoreError::Corrupt(format!("state of run {}: {e}", run.id)))?,
            None if run.status.is_final() => {
                return Err(WorkflowError::Conflict("the run has ended; restart it from a task of the first level as a new run".into()));
            }
            None => State::default(),
        };
        let workflow = self.engine.workflow(&run.workflow, run.version).await?;
        let (jq, order) = (self.engine.jq.clone(), order.clone());
        let info = RunInfo { id: run.id.clone(), input: run.input.clone(), started_at: run.started_at, heard: 0 };
        let step = tokio::task::spawn_blocking(move || {
            state.step(World { workflow: &workflow, jq: &jq, run: &info, now: now_ms() }, Event::Operate(order))
        });
        match step.await.map_err(|e| StoreError::Corrupt(format!("the interpreter failed: {e}")))?.refused {
            Some(why) => Err(WorkflowError::Conflict(why)),
            None => Ok(()),
        }
    }

    async fn write_order(&self, who: &Principal, run: &Run, order: &Order, place: Option<String>) -> Result<()> {
        let body = serde_json::to_string(order).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let mut tx = self.engine.db.begin().await?;
        // A failed run that is taken up again is under way from here on.
        let n = tx
            .execute(
                "UPDATE workflow_runs SET wake_at = 0, status = CASE WHEN finished_at IS NULL THEN status ELSE 'running' END, finished_at = NULL, error = NULL
                 WHERE id = ? AND cancel IS NULL AND (finished_at IS NULL OR state IS NOT NULL)",
                params![&run.id],
            )
            .await?;
        if n != 1 {
            return Err(WorkflowError::Conflict("the run ends just now; look at it again".into()));
        }
        tx.execute("INSERT INTO workflow_orders (id, run_id, body) VALUES (?, ?, ?)", params![&order.id, &run.id, body]).await?;
        let verb = order.verb.name();
        let mut after = json!({ "reason": order.reason, "task": place });
        if let (Verb::Retry { input: Some(v), .. } | Verb::Skip { output: Some(v), .. }, Some(o)) = (&order.verb, after.as_object_mut()) {
            let shown = if crate::interp::size_of(v) > 4096 {
                json!({ "shortened": crate::expr::shorten(&v.to_string(), 1000) })
            } else {
                v.clone()
            };
            o.insert("given".into(), shown);
        }
        let resource = format!("run/{}", run.id);
        let before = json!({ "status": run.status });
        self.engine.access.audit(&mut tx, who, &format!("workflow.run.{verb}"), &resource, Some(&before), Some(&after)).await?;
        let data = json!({ "run": run.id, "workflow": run.workflow, "verb": verb, "task": place, "by": order.by, "reason": order.reason });
        events::emit(&mut tx, event("plenum.workflow.run.ordered", &run.id, data)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A new run of the same version that begins at a task of the first level, with the input that the task had. `$context` is
    /// `context`; without one it is empty.
    pub async fn restart(
        &self,
        who: &Principal,
        id: &str,
        task: u64,
        input: Option<Value>,
        context: Option<Value>,
        reason: &str,
    ) -> Result<Run> {
        let run = self.load(id, false).await?;
        self.allow(who, Permission::WorkflowRun, &run.workflow).await?;
        let reason = reason_of(reason)?;
        let record = self.task(id, task).await?;
        if !first_level(&record.pointer) {
            let message = format!("{} stands within another task; restart from the task of the first level that contains it", record.name);
            return Err(WorkflowError::Argument { field: "task", message });
        }
        let input = input.map_or_else(|| input_of(&record), Ok)?;
        for (what, v) in [("the input of the task", &input), ("$context", context.as_ref().unwrap_or(&Value::Null))] {
            let size = crate::interp::size_of(v);
            if size > crate::interp::MAX_VALUE {
                return Err(WorkflowError::TooLarge { what, size, limit: crate::interp::MAX_VALUE });
            }
        }
        let verb = Verb::Begin { pointer: record.pointer.clone(), input, context: context.unwrap_or_default() };
        let order = Order { id: new_id(), verb, by: who.actor().to_string(), reason: reason.clone(), at: now_ms() };
        let body = serde_json::to_string(&order).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let mut tx = self.engine.db.begin().await?;
        let origin = format!("run/{id}");
        let (new, _) = self.insert_run(&mut tx, who, &run.workflow, run.version, &run.input, None, &origin).await?;
        tx.execute("INSERT INTO workflow_orders (id, run_id, body) VALUES (?, ?, ?)", params![&order.id, &new, body]).await?;
        let after = json!({ "reason": reason, "task": record.path, "run": new });
        self.engine.access.audit(&mut tx, who, "workflow.run.restart", &origin, None, Some(&after)).await?;
        tx.commit().await?;
        self.engine.wake.notify_one();
        self.load(&new, true).await
    }
}
