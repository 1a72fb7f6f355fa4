//! What a step writes: state, task records, events and audit, in one transaction.

use super::*;

/// A run in memory.
pub(super) struct Driven {
    pub engine: Arc<Engine>,
    pub info: Arc<RunInfo>,
    pub name: String,
    pub actor: Actor,
    pub workflow: Option<Arc<Workflow>>,
    pub state: State,
    pub rev: i64,
    /// What running calls said they wait for.
    pub waits: HashMap<u64, Waiting>,
    /// What the step that is written next obeys.
    pub order: Option<Order>,
    /// Keys of the parked calls that are stored.
    pub parked: HashSet<String>,
    /// One of them may have an answer.
    pub answered: bool,
    /// It may have locks.
    pub locks: bool,
    /// Who listens for what, as it is stored; `None` when that is not known.
    pub ears: Option<Vec<(u64, Vec<String>)>>,
    /// The parked call, and its run, that wait for this one.
    pub parent: Option<(String, String)>,
    /// How many runs are around it.
    pub depth: i64,
    /// The event that it was woken for last.
    pub nudge: i64,
    /// All events up to here have to be looked at.
    pub latest: i64,
    /// Something woke it since it was written.
    pub nudged: bool,
}

impl Driven {
    /// Does what operators ordered meanwhile, in their order.
    pub(super) async fn obey(&mut self) -> Result<(), WorkflowError> {
        let rows =
            self.engine.db.fetch_all("SELECT body FROM workflow_orders WHERE run_id = ? ORDER BY id", params![&self.info.id]).await?;
        for row in rows {
            let order: Order = serde_json::from_str(&row.text("body")?).map_err(|e| StoreError::Corrupt(format!("an order: {e}")))?;
            self.order = Some(order.clone());
            self.advance(Event::Operate(order)).await?;
        }
        Ok(())
    }

    /// Performs an event and all that follows from it, writing each step.
    pub(super) async fn advance(&mut self, event: Event) -> Result<(), WorkflowError> {
        let mut event = Some(event);
        while let Some(e) = event.take() {
            let (state, step) = match self.workflow.clone() {
                None => {
                    let mut state = std::mem::take(&mut self.state);
                    if let Event::Kill(error) = e {
                        state.outcome = Some(crate::interp::Outcome { status: RunStatus::Failed, output: Value::Null, error: Some(error) });
                    }
                    (state, Step::default())
                }
                Some(workflow) => {
                    let (jq, info, mut state) = (self.engine.jq.clone(), self.info.clone(), self.state.clone());
                    // Expressions take processor time, so not on the runtime's own threads.
                    tokio::task::spawn_blocking(move || {
                        let step = state.step(World { workflow: &workflow, jq: &jq, run: &info, now: now_ms() }, e);
                        (state, step)
                    })
                    .await
                    .map_err(|e| StoreError::Corrupt(format!("the interpreter failed: {e}")))?
                }
            };
            let text = serde_json::to_string(&state).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            if text.len() > MAX_STATE && state.outcome.is_none() {
                let detail = format!(
                    "the state of the run is {} bytes, the limit is {MAX_STATE}; keep data in a collection or the CMDB and pass its id",
                    text.len()
                );
                event = Some(Event::Kill(failure("runtime", 413, "Too much data", &detail)));
                self.write(&step, &self.state.clone(), serde_json::to_string(&self.state).map_err(|e| StoreError::Corrupt(e.to_string()))?)
                    .await?;
                continue;
            }
            let more = step.more;
            let (state, text) = match (state.outcome.is_some(), text.len() > MAX_STATE) {
                (true, true) => {
                    let mut state = state;
                    state.forget();
                    (state, String::new())
                }
                _ => (state, text),
            };
            self.write(&step, &state, text).await?;
            self.state = state;
            if more && self.state.outcome.is_none() {
                event = Some(Event::Tick);
            }
        }
        Ok(())
    }

    /// State, task records, events and audit: one transaction.
    async fn write(&mut self, step: &Step, state: &State, text: String) -> Result<(), WorkflowError> {
        let engine = self.engine.clone();
        if engine.dies(Point::BeforeCommit) {
            return Err(WorkflowError::Stopped);
        }
        let now = now_ms();
        let calls = state.calls();
        let sleeping = state.sleeping();
        let listening = !state.listens().is_empty();
        let live: HashSet<u64> = calls.iter().map(|c| c.id).collect();
        self.waits.retain(|id, _| live.contains(id));
        let (status, waiting, wake_at) = match (&state.outcome, &sleeping) {
            (Some(o), _) => (o.status, None, None),
            (None, Some(w)) if w.paused => (RunStatus::Waiting, Some(w.clone()), state.next_timer()),
            // Who begins to listen has to look once at what came before: due until it has, or a death in between would miss that.
            (None, Some(w)) if listening => (RunStatus::Waiting, Some(w.clone()), Some(0)),
            (None, Some(w)) => (RunStatus::Waiting, Some(w.clone()), state.next_timer()),
            (None, None) => (RunStatus::Running, state.paused().or_else(|| self.waits.values().next().cloned()), Some(0)),
        };
        let waiting = waiting.map(|w| serde_json::to_string(&w)).transpose().map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let (output, error) = match &state.outcome {
            Some(o) => (Some(o.output.to_string()), o.error.as_ref().map(Value::to_string)),
            None => (None, None),
        };
        let finished = state.outcome.is_some();
        let plans = self.plan(state).await?;
        let id = &self.info.id.clone();
        let mut pokes = Vec::new();
        let mut tx = engine.db.begin().await?;
        let order = self.order.take();
        if let Some(o) = &order {
            tx.execute("DELETE FROM workflow_orders WHERE id = ?", params![&o.id]).await?;
            if let Some(why) = &step.refused {
                let data = json!({ "run": id, "workflow": self.name, "verb": o.verb.name(), "reason": why });
                events::emit(&mut tx, event("plenum.workflow.run.order_refused", id, data)).await?;
            }
        }
        if finished {
            tx.execute("DELETE FROM workflow_orders WHERE run_id = ?", params![id]).await?;
        }
        self.locks |= plans.iter().any(|(c, _)| c.action == "lock");
        if !plans.is_empty() || !self.parked.is_empty() || (finished && self.locks) {
            self.park(&mut tx, state, plans, &mut pokes).await?;
        }
        let ears = state.ears();
        if self.ears.as_ref() != Some(&ears) {
            tx.execute("DELETE FROM workflow_listens WHERE run_id = ?", params![id]).await?;
            for (task, kinds) in &ears {
                let task = i64::try_from(*task).unwrap_or(i64::MAX);
                let any = [String::new()];
                for kind in if kinds.is_empty() { &any[..] } else { kinds } {
                    tx.execute("INSERT INTO workflow_listens (run_id, task, kind) VALUES (?, ?, ?)", params![id, task, kind]).await?;
                }
            }
        }
        let changed = tx
            .execute(
                // A cancellation, an order, an answer or an event that came meanwhile keeps the run due.
                "UPDATE workflow_runs SET state = ?, status = ?, waiting = ?, output = ?, error = ?, finished_at = ?, rev = rev + 1,
                 wake_at = CASE WHEN ? = 1 OR (cancel IS NULL AND (nudge IS NULL OR nudge <= ?) AND NOT EXISTS (SELECT 1 FROM workflow_orders o WHERE o.run_id = workflow_runs.id)
                 AND NOT EXISTS (SELECT 1 FROM workflow_parked p WHERE p.run_id = workflow_runs.id AND p.answer IS NOT NULL)) THEN ? ELSE 0 END WHERE id = ? AND rev = ?",
                params![
                    if finished && !state.can_go_on() { None } else { Some(text) },
                    status.name(),
                    waiting,
                    output,
                    error,
                    finished.then_some(now),
                    finished,
                    self.nudge,
                    wake_at,
                    id,
                    self.rev
                ],
            )
            .await?;
        if changed != 1 {
            return Err(StoreError::Conflict { what: format!("run {id}"), expected: self.rev, found: self.rev + 1 }.into());
        }
        for task in step.tasks.values() {
            sql::put_task(&mut tx, id, &shown(task)).await?;
        }
        if !step.tasks.is_empty() {
            self.task_event(&mut tx, step.tasks.values()).await?;
        }
        if let Some(o) = &state.outcome {
            let data = json!({ "run": id, "workflow": self.name, "status": o.status, "error": o.error.as_ref().map(|e| json!({
                "type": e.get("type"), "title": e.get("title"), "status": e.get("status"), "instance": e.get("instance")
            })) });
            events::emit(&mut tx, event("plenum.workflow.run.finished", id, data)).await?;
            let after = json!({ "workflow": self.name, "status": o.status });
            engine
                .access
                .audit(&mut tx, &Principal::System("workflow"), "workflow.run.finish", &format!("run/{id}"), None, Some(&after))
                .await?;
            self.tell_parent(&mut tx, o, &mut pokes).await?;
            if let Some(crate::dsl::Start::After(ms)) = self.workflow.as_ref().and_then(|w| w.start.as_ref()) {
                let sql = "UPDATE workflow_starts SET next_at = ? WHERE workflow = ? AND kind = 'after' AND next_at IS NULL";
                tx.execute(sql, params![now + ms, &self.name]).await?;
            }
            let (ended, id) = (engine.ended.clone(), id.clone());
            tx.after_commit(move || {
                let _ = ended.send(id);
            });
        }
        let parked: HashSet<String> = state.parked().into_iter().map(|c| c.key).collect();
        tx.commit().await?;
        self.rev += 1;
        (self.parked, self.ears, self.nudged) = (parked, Some(ears), listening);
        for run in pokes {
            engine.poke(&run);
        }
        if engine.dies(Point::AfterCommit) {
            return Err(WorkflowError::Stopped);
        }
        Ok(())
    }

    /// Leaves memory without a step, after having been woken for nothing: then it is due no more.
    pub(super) async fn settle(&mut self) -> Result<(), WorkflowError> {
        if !self.nudged {
            return Ok(());
        }
        self.engine
            .db
            .execute(
                "UPDATE workflow_runs SET wake_at = ? WHERE id = ? AND rev = ? AND cancel IS NULL AND (nudge IS NULL OR nudge <= ?)
                 AND NOT EXISTS (SELECT 1 FROM workflow_orders o WHERE o.run_id = workflow_runs.id)
                 AND NOT EXISTS (SELECT 1 FROM workflow_parked p WHERE p.run_id = workflow_runs.id AND p.answer IS NOT NULL)",
                params![self.state.next_timer(), &self.info.id, self.rev, self.nudge],
            )
            .await?;
        Ok(())
    }

    async fn task_event(&self, tx: &mut plenum_store::Tx, tasks: impl ExactSizeIterator<Item = &Task>) -> Result<(), StoreError> {
        let total = tasks.len();
        let named: Vec<Value> = tasks
            .take(EVENT_TASKS)
            .map(|t| json!({ "id": t.id, "pointer": shorten(&t.pointer, 500), "path": shorten(&t.path, 500), "name": shorten(&t.name, 200), "status": t.status, "attempt": t.attempt }))
            .collect();
        let data = json!({ "run": self.info.id, "workflow": self.name, "tasks": named, "more": total.saturating_sub(EVENT_TASKS) });
        events::emit(tx, event("plenum.workflow.task.changed", &self.info.id, data)).await
    }

    /// Writes what running calls say they wait for. Not part of the state: after a restart they say it again.
    pub(super) async fn report(&mut self, news: HashMap<u64, Waiting>) -> Result<(), WorkflowError> {
        let live: HashSet<u64> = self.state.calls().iter().map(|c| c.id).collect();
        let id = self.info.id.clone();
        let mut tx = self.engine.db.begin().await?;
        let mut changed = Vec::new();
        for (task, mut waiting) in news {
            if !live.contains(&task) {
                continue;
            }
            waiting.reason = shorten(&waiting.reason, 500);
            let row = tx
                .fetch_optional(
                    "SELECT record FROM workflow_tasks WHERE run_id = ? AND id = ?",
                    params![&id, i64::try_from(task).unwrap_or(0)],
                )
                .await?;
            let Some(row) = row else { continue };
            let mut record = sql::task(&row)?;
            record.status = TaskStatus::Waiting;
            record.waiting = Some(waiting.clone());
            sql::put_task(&mut tx, &id, &record).await?;
            self.waits.insert(task, waiting);
            changed.push(record);
        }
        if changed.is_empty() {
            return Ok(());
        }
        let waiting = self.waits.values().next().map(serde_json::to_string).transpose().map_err(|e| StoreError::Corrupt(e.to_string()))?;
        tx.execute("UPDATE workflow_runs SET waiting = ? WHERE id = ? AND rev = ?", params![waiting, &id, self.rev]).await?;
        self.task_event(&mut tx, changed.iter()).await?;
        tx.commit().await?;
        Ok(())
    }
}
