//! Calls that the engine answers itself: begun in the transaction that writes the state which asks, taken back in the one that no
//! longer does. So they need no table of deaths of their own.

use super::*;
use crate::service::Workflows;
use plenum_store::Tx;

/// Runs within runs.
const MAX_DEPTH: i64 = 16;

/// What is done for a parked call, decided before the transaction.
pub(super) enum Plan {
    /// Answered at once.
    Answer(Result<Value, Value>),
    /// Another run.
    Run { who: Box<Principal>, workflow: String, version: i64, input: Value, wait: bool },
    /// A lock.
    Lock { name: String, permits: i64 },
    /// A question to people.
    Ask(Box<crate::approvals::Spec>),
    /// A lock goes back.
    Unlock { name: String },
    /// A place in a queue that moves at a certain pace.
    Rate { name: String, limit: i64, per: i64 },
}

fn refused(e: WorkflowError) -> Result<Plan, WorkflowError> {
    match e {
        WorkflowError::Store(e) => Err(e.into()),
        e => Ok(Plan::Answer(Err(action_error(ActionError::new(e.code(), e.status(), "Refused", e.to_string()))))),
    }
}

fn wrong(what: &str) -> Plan {
    Plan::Answer(Err(action_error(ActionError::new("workflow.invalid_argument", 422, "The input is not valid", what))))
}

pub(super) fn answer_text(answer: &Result<Value, Value>) -> String {
    match answer {
        Ok(v) => json!({ "ok": v }),
        Err(e) => json!({ "error": e }),
    }
    .to_string()
}

fn answer_of(text: &str) -> Result<Result<Value, Value>, StoreError> {
    let mut v: Value = serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("an answer: {e}")))?;
    Ok(match v.get_mut("ok").map(Value::take) {
        Some(v) => Ok(v),
        None => Err(v.get_mut("error").map(Value::take).unwrap_or_default()),
    })
}

/// A name of a lock or rate.
fn name_of(input: &Value) -> Option<String> {
    input.get("name").and_then(Value::as_str).map(str::trim).filter(|n| !n.is_empty() && n.len() <= 200).map(str::to_owned)
}

impl Driven {
    /// The parked calls that are known, and those answered while this run was not in memory.
    pub(super) async fn answers(&mut self) -> Result<(), WorkflowError> {
        let sql = "SELECT key, answer FROM workflow_parked WHERE run_id = ?";
        let rows = self.engine.db.fetch_all(sql, params![&self.info.id]).await?;
        let mut answered = Vec::new();
        self.parked.clear();
        for row in rows {
            let key = row.text("key")?;
            if let Some(a) = row.opt_text("answer")? {
                answered.push((key.clone(), answer_of(&a)?));
            }
            self.parked.insert(key);
        }
        for (key, result) in answered {
            self.advance(Event::Result { key, result }).await?;
        }
        Ok(())
    }

    /// What is to be done for the parked calls that the next state asks for and the last one did not.
    pub(super) async fn plan(&self, state: &State) -> Result<Vec<(Call, Plan)>, WorkflowError> {
        let mut plans = Vec::new();
        for call in state.parked() {
            if !self.parked.contains(&call.key) {
                let plan = self.plan_one(&call).await?;
                plans.push((call, plan));
            }
        }
        Ok(plans)
    }

    async fn plan_one(&self, call: &Call) -> Result<Plan, WorkflowError> {
        let who = match self.engine.host.principal(&self.actor).await {
            Ok(w) => w,
            Err(e) => return Ok(Plan::Answer(Err(action_error(e)))),
        };
        let input = &call.input;
        let number = |key: &str, default: i64| input.get(key).map_or(Some(default), Value::as_i64);
        match call.action.as_str() {
            crate::dsl::run::SUB_FLOW => match self.plan_run(who, input).await {
                Ok(p) => Ok(p),
                Err(e) => refused(e),
            },
            "approval" => Ok(match crate::approvals::Spec::read(input) {
                Ok(spec) => Plan::Ask(Box::new(spec)),
                Err(why) => wrong(&why),
            }),
            "lock" | "unlock" | "rate" => {
                let Some(name) = name_of(input) else { return Ok(wrong("`name` with 1 to 200 characters is required")) };
                Ok(match call.action.as_str() {
                    "unlock" => Plan::Unlock { name },
                    "lock" => match number("permits", 1) {
                        Some(permits) if (1..=10_000).contains(&permits) => Plan::Lock { name, permits },
                        _ => wrong("`permits` is a number from 1 to 10,000"),
                    },
                    _ => {
                        let per = input.get("per").map_or(Ok(1_000), crate::dsl::duration::millis);
                        match (number("limit", 1), per) {
                            (Some(limit), Ok(per)) if (1..=10_000).contains(&limit) && (1..=86_400_000).contains(&per) => {
                                Plan::Rate { name, limit, per }
                            }
                            _ => wrong("`limit` is a number from 1 to 10,000, `per` a duration of at most a day"),
                        }
                    }
                })
            }
            other => Ok(wrong(&format!("the engine has no function {other}"))),
        }
    }

    /// Which version of which workflow a `run.workflow` means.
    async fn plan_run(&self, who: Principal, input: &Value) -> Result<Plan, WorkflowError> {
        let text = |key: &str| input.get(key).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name, wanted) = (text("namespace"), text("name"), text("version"));
        if self.depth >= MAX_DEPTH {
            let message = format!("runs are nested in runs {MAX_DEPTH} deep already; a workflow that runs itself needs an end");
            return Err(WorkflowError::Conflict(message));
        }
        let service = Workflows { engine: self.engine.clone() };
        // A plugin's own workflows are in the namespace of its id.
        let mut found = None;
        for candidate in [format!("{namespace}.{name}"), name.to_owned()] {
            let row = self.engine.db.fetch_optional("SELECT version FROM workflow_definitions WHERE name = ?", params![&candidate]).await?;
            if let Some(row) = row {
                found = Some((candidate, row.int("version")?));
                break;
            }
        }
        let Some((workflow, newest)) = found else {
            return Err(WorkflowError::NotFound(format!("workflow {name} (namespace {namespace})")));
        };
        service.allow(&who, plenum_access::Permission::WorkflowRun, &workflow).await?;
        let mut version = None;
        // The newest text with that version; a hundred are enough to look at.
        for v in (newest.saturating_sub(99).max(1)..=newest).rev() {
            match self.engine.workflow(&workflow, v).await {
                Ok(w) if wanted == "latest" || w.version == wanted => {
                    version = Some(v);
                    break;
                }
                Ok(_) | Err(WorkflowError::NotFound(_) | WorkflowError::Invalid(_)) => {}
                Err(e) => return Err(e),
            }
        }
        let version =
            version.ok_or_else(|| WorkflowError::NotFound(format!("version {wanted} of workflow {workflow}; `latest` is the newest")))?;
        let data = input.get("input").cloned().unwrap_or_default();
        service.check_input(&workflow, version, &data).await?;
        let wait = input.get("await").and_then(Value::as_bool).unwrap_or(true);
        Ok(Plan::Run { who: Box::new(who), workflow, version, input: data, wait })
    }

    /// Carries out the plans, and takes back what is no longer asked for, within the transaction of the state.
    pub(super) async fn park(
        &mut self,
        tx: &mut Tx,
        state: &State,
        plans: Vec<(Call, Plan)>,
        pokes: &mut Vec<String>,
    ) -> Result<(), WorkflowError> {
        let wanted: HashSet<String> = state.parked().into_iter().map(|c| c.key).collect();
        let gone: Vec<String> = self.parked.iter().filter(|k| !wanted.contains(*k)).cloned().collect();
        let id = self.info.id.clone();
        for key in gone {
            let row = tx.fetch_optional("SELECT kind, answer FROM workflow_parked WHERE key = ?", params![&key]).await?;
            let Some(row) = row else { continue };
            if row.opt_text("answer")?.is_none() {
                match row.text("kind")?.as_str() {
                    "workflow.run" => {
                        let why = format!("run {id}, which waited for it, ended or went on without it");
                        let sql = "SELECT id FROM workflow_runs WHERE parent_key = ? AND finished_at IS NULL";
                        for child in tx.fetch_all(sql, params![&key]).await? {
                            let child = child.text("id")?;
                            let sql = "UPDATE workflow_runs SET cancel = ?, wake_at = 0 WHERE id = ? AND cancel IS NULL";
                            tx.execute(sql, params![&why, &child]).await?;
                            pokes.push(child);
                        }
                    }
                    "lock" => super::locks::release(tx, &id, Some(&key), None, pokes).await?,
                    "approval" => crate::approvals::withdraw(tx, &key).await?,
                    _ => {}
                }
            }
            tx.execute("DELETE FROM workflow_parked WHERE key = ?", params![&key]).await?;
        }
        for (call, plan) in plans {
            let mut due = None;
            let answer = match plan {
                Plan::Answer(a) => Some(a),
                Plan::Run { who, workflow, version, input, wait } => {
                    let service = Workflows { engine: self.engine.clone() };
                    let key = format!("sub/{}", call.key);
                    let origin = format!("run/{id}");
                    let (child, _) = service.insert_run(tx, &who, &workflow, version, &input, Some(&key), &origin).await?;
                    let parent_key = wait.then_some(call.key.clone());
                    let sql = "UPDATE workflow_runs SET parent_key = ?, parent_run = ?, depth = ? WHERE id = ?";
                    tx.execute(sql, params![parent_key, &id, self.depth + 1, &child]).await?;
                    pokes.push(child.clone());
                    (!wait).then(|| Ok(json!({ "run": child })))
                }
                Plan::Ask(spec) => {
                    due = crate::approvals::ask(tx, &call.key, &id, &self.name, &call.path, &spec).await?;
                    None
                }
                Plan::Lock { name, permits } => super::locks::take(tx, &id, &call.key, &name, permits).await?,
                Plan::Unlock { name } => {
                    super::locks::release(tx, &id, None, Some(&name), pokes).await?;
                    Some(Ok(json!({})))
                }
                Plan::Rate { name, limit, per } => {
                    let at = super::locks::slot(tx, &name, limit, per).await?;
                    due = Some(at);
                    (at <= now_ms()).then(|| Ok(json!({})))
                }
            };
            let answer = answer.map(|a| answer_text(&a));
            if answer.is_some() {
                due = None;
            }
            let task = i64::try_from(call.id).unwrap_or(i64::MAX);
            tx.execute(
                "INSERT INTO workflow_parked (key, run_id, kind, task, body, since, due_at, answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                params![&call.key, &id, &call.action, task, call.input.to_string(), now_ms(), due, answer.clone()],
            )
            .await?;
            if answer.is_some() {
                self.answered = true;
            }
        }
        if state.outcome.is_some() && self.locks {
            super::locks::release(tx, &id, None, None, pokes).await?;
        }
        Ok(())
    }

    /// Tells the run that waits for this one how it ended.
    pub(super) async fn tell_parent(
        &self,
        tx: &mut Tx,
        outcome: &crate::interp::Outcome,
        pokes: &mut Vec<String>,
    ) -> Result<(), WorkflowError> {
        let Some((key, run)) = &self.parent else { return Ok(()) };
        let answer = match outcome.status {
            RunStatus::Succeeded => Ok(outcome.output.clone()),
            _ => {
                let mut e = outcome.error.clone().unwrap_or_else(|| failure("runtime", 500, "The run failed", ""));
                if let Some(o) = e.as_object_mut() {
                    // Where it failed is a place in the other definition; here it is the task that asked.
                    o.remove("instance");
                    let detail = o.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned();
                    o.insert("detail".into(), format!("{detail} (run {})", self.info.id).into());
                }
                Err(e)
            }
        };
        answer_parked(tx, key, run, &answer, pokes).await?;
        Ok(())
    }
}

/// Answers a parked call, if nobody has, and has its run go on.
pub(crate) async fn answer_parked(
    tx: &mut Tx,
    key: &str,
    run: &str,
    answer: &Result<Value, Value>,
    pokes: &mut Vec<String>,
) -> Result<bool, StoreError> {
    let sql = "UPDATE workflow_parked SET answer = ?, due_at = NULL WHERE key = ? AND answer IS NULL";
    if tx.execute(sql, params![answer_text(answer), key]).await? != 1 {
        return Ok(false);
    }
    tx.execute("UPDATE workflow_runs SET wake_at = 0 WHERE id = ? AND finished_at IS NULL", params![run]).await?;
    pokes.push(run.to_owned());
    Ok(true)
}

impl Engine {
    /// Does what parked calls want done by now; answers when the next one does.
    pub(super) async fn due_parked(self: &Arc<Self>) -> Result<Option<i64>, WorkflowError> {
        let sql = "SELECT key, run_id, kind FROM workflow_parked WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT 200";
        for row in self.db.fetch_all(sql, params![now_ms()]).await? {
            let (key, run, kind) = (row.text("key")?, row.text("run_id")?, row.text("kind")?);
            if kind == "rate" {
                let mut tx = self.db.begin().await?;
                let mut pokes = Vec::new();
                answer_parked(&mut tx, &key, &run, &Ok(json!({})), &mut pokes).await?;
                tx.commit().await?;
                pokes.iter().for_each(|r| self.poke(r));
            } else if kind == "approval" {
                self.approval_due(&key, &run).await?;
            }
        }
        let row = self.db.fetch_optional("SELECT MIN(due_at) AS at FROM workflow_parked WHERE due_at IS NOT NULL", &[]).await?;
        Ok(row.map(|r| r.opt_int("at")).transpose()?.flatten())
    }
}
