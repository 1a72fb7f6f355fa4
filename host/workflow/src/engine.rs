//! The engine: performs what runs' states ask for, and writes every step in one transaction.
//!
//! One scheduler looks for runs that are due and drives each in a task of its own, all owned by one tracker. A driven run holds
//! its state in memory; what is stored is always a state from which another process could go on. A run that only waits for
//! time leaves memory until then.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plenum_access::{Access, Actor, Principal};
use plenum_store::{Db, NewEvent, StoreError, events, now_ms, params};
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::{ActionContext, ActionError, ActionHost, WaitReporter, Waiting};
use crate::dsl::{self, ERRORS, Workflow};
use crate::error::WorkflowError;
use crate::expr::{Jq, shorten};
use crate::interp::{Call, Event, MAX_VALUE, Order, RunInfo, State, Step, World};
use crate::model::{RunStatus, Task, TaskStatus};
use crate::sql;

/// Bounds of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Runs that are in memory at a time; others wait for their turn.
    pub active_runs: usize,
    /// Calls of actions at a time, of all runs together.
    pub calls: usize,
    /// Calls at a time of one run: one wide fork must not take all.
    pub calls_per_run: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig { active_runs: 512, calls: 256, calls_per_run: 32 }
    }
}

/// A run whose state grows beyond this fails: it would slow every step.
const MAX_STATE: usize = 16 << 20;
/// How long a cancelled run waits for its calls to end by themselves.
const CANCEL_GRACE: Duration = Duration::from_secs(10);
/// Runs that sleep longer than this leave memory.
const KEEP_MS: i64 = 2_000;
/// A task's record shows at most this much of a value.
const MAX_SHOWN: usize = 64 * 1024;
/// Runs that one look at the database takes up.
const SWEEP: usize = 200;
/// Tasks named in one event.
const EVENT_TASKS: usize = 50;

/// Where a test may let the engine die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    BeforeCommit,
    AfterCommit,
    BeforeCall,
    AfterCall,
}

pub(crate) type Crash = Arc<dyn Fn(Point) -> bool + Send + Sync>;

pub(crate) struct Engine {
    pub db: Db,
    pub access: Access,
    pub host: Arc<dyn ActionHost>,
    pub jq: Jq,
    pub config: EngineConfig,
    pub stop: CancellationToken,
    pub tracker: TaskTracker,
    pub wake: Notify,
    pub ended: broadcast::Sender<String>,
    pub parsed: Mutex<HashMap<(String, i64), Arc<Workflow>>>,
    pub crash: Option<Crash>,
    pub dead: AtomicBool,
    active: Mutex<HashMap<String, Arc<Notify>>>,
    runs: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(crate) fn new(db: Db, access: Access, host: Arc<dyn ActionHost>, config: EngineConfig, crash: Option<Crash>) -> Engine {
        Engine {
            db,
            access,
            host,
            jq: Jq::new(),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
            wake: Notify::new(),
            ended: broadcast::channel(1024).0,
            parsed: Mutex::default(),
            crash,
            dead: AtomicBool::new(false),
            active: Mutex::default(),
            runs: Arc::new(Semaphore::new(config.active_runs)),
            calls: Arc::new(Semaphore::new(config.calls)),
            config,
        }
    }

    /// Whether a test wants the engine dead from here on: nothing is written or called any more.
    fn dies(&self, at: Point) -> bool {
        if let Some(crash) = &self.crash
            && !self.dead.load(Ordering::SeqCst)
            && crash(at)
        {
            self.dead.store(true, Ordering::SeqCst);
            self.stop.cancel();
        }
        self.dead.load(Ordering::SeqCst)
    }

    /// Tells a driven run, or the scheduler, that something changed.
    pub(crate) fn poke(&self, run: &str) {
        match lock(&self.active).get(run) {
            Some(n) => n.notify_one(),
            None => self.wake.notify_one(),
        }
    }

    /// The parsed definition of a stored version.
    pub(crate) async fn workflow(&self, name: &str, version: i64) -> Result<Arc<Workflow>, WorkflowError> {
        let key = (name.to_owned(), version);
        if let Some(w) = lock(&self.parsed).get(&key) {
            return Ok(w.clone());
        }
        let row =
            self.db.fetch_optional("SELECT source FROM workflow_versions WHERE name = ? AND version = ?", params![name, version]).await?;
        let source = row.ok_or_else(|| WorkflowError::NotFound(format!("version {version} of workflow {name}")))?.text("source")?;
        let jq = self.jq.clone();
        let parsed = tokio::task::spawn_blocking(move || {
            let value = crate::yaml::read(&source).map_err(|p| vec![p])?;
            dsl::parse(&value, None, &jq)
        })
        .await
        .map_err(|e| StoreError::Corrupt(e.to_string()))?
        .map_err(WorkflowError::Invalid)?;
        let parsed = Arc::new(parsed);
        let mut cache = lock(&self.parsed);
        if cache.len() > 500 {
            cache.clear();
        }
        cache.insert(key, parsed.clone());
        Ok(parsed)
    }

    /// Looks for what is due until the engine stops.
    pub(crate) async fn schedule(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let next = match self.sweep().await {
                Ok(next) => next,
                Err(e) => {
                    tracing::error!(error = %e, "the workflow engine cannot read what is due; it tries again");
                    Some(now_ms() + 1000)
                }
            };
            // A minute at most, in case the clock was set.
            let pause = next.map_or(60_000, |n| (n - now_ms()).clamp(0, 60_000));
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(u64::try_from(pause).unwrap_or(0))) => {}
            }
        }
    }

    /// Starts what is due; answers when the next thing will be.
    async fn sweep(self: &Arc<Self>) -> Result<Option<i64>, WorkflowError> {
        let next_schedule = self.fire_schedules().await?;
        let now = now_ms();
        let free = self.runs.available_permits();
        if free > 0 {
            let busy: HashSet<String> = lock(&self.active).keys().cloned().collect();
            let mut started = 0;
            let take = free.min(SWEEP);
            let limit = i64::try_from(busy.len() + take).unwrap_or(i64::MAX);
            let rows = self
                .db
                .fetch_all(
                    "SELECT id FROM workflow_runs WHERE wake_at IS NOT NULL AND wake_at <= ? ORDER BY wake_at, id LIMIT ?",
                    params![now, limit],
                )
                .await?;
            for row in rows {
                let id = row.text("id")?;
                if busy.contains(&id) {
                    continue;
                }
                let Ok(permit) = self.runs.clone().try_acquire_owned() else { break };
                let poke = Arc::new(Notify::new());
                lock(&self.active).insert(id.clone(), poke.clone());
                self.tracker.spawn(self.clone().drive(id, poke, permit));
                started += 1;
            }
            if started == take {
                // There may be more.
                return Ok(Some(now));
            }
        }
        let row = self.db.fetch_optional("SELECT MIN(wake_at) AS at FROM workflow_runs WHERE wake_at > ?", params![now]).await?;
        let next_run = row.map(|r| r.opt_int("at")).transpose()?.flatten();
        Ok([next_schedule, next_run].into_iter().flatten().min())
    }

    /// Drives one run until it ends, sleeps or the engine stops.
    async fn drive(self: Arc<Self>, id: String, poke: Arc<Notify>, permit: OwnedSemaphorePermit) {
        if let Err(e) = self.clone().go(&id, &poke).await
            && !self.stop.is_cancelled()
        {
            tracing::error!(run = id, error = %e, "a step of a run could not be written; it is repeated");
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        lock(&self.active).remove(&id);
        drop(permit);
        // It may be due again already: a cancellation that came between the last write and now.
        self.wake.notify_one();
    }

    async fn go(self: Arc<Self>, id: &str, poke: &Notify) -> Result<(), WorkflowError> {
        let sql = "SELECT workflow, version, actor, input, started_at, state, rev, cancel, finished_at FROM workflow_runs WHERE id = ?";
        let Some(row) = self.db.fetch_optional(sql, params![id]).await? else { return Ok(()) };
        if row.opt_int("finished_at")?.is_some() {
            return Ok(());
        }
        let actor: Actor = serde_json::from_value(row.json("actor")?).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let state = row.opt_text("state")?;
        let mut run = Driven {
            info: Arc::new(RunInfo { id: id.to_owned(), input: sql::json(&row, "input")?, started_at: row.int("started_at")? }),
            name: row.text("workflow")?,
            actor,
            state: match state {
                None => State::default(),
                Some(s) => serde_json::from_str(&s).map_err(|e| StoreError::Corrupt(format!("state of run {id}: {e}")))?,
            },
            rev: row.int("rev")?,
            waits: HashMap::new(),
            engine: self.clone(),
            workflow: None,
            order: None,
        };
        match self.workflow(&run.name, row.int("version")?).await {
            Ok(w) => run.workflow = Some(w),
            Err(WorkflowError::Store(e)) => return Err(e.into()),
            Err(e) => {
                return run.advance(Event::Kill(failure("configuration", 400, "The definition cannot be read", &e.to_string()))).await;
            }
        }
        let mut cancel = row.opt_text("cancel")?;
        run.obey().await?;
        if !run.state.begun() && cancel.is_none() {
            run.advance(Event::Start).await?;
        }
        let mut calls: JoinSet<(String, Result<Value, Value>)> = JoinSet::new();
        let mut under_way: HashMap<String, (Id, CancellationToken)> = HashMap::new();
        let reports: Arc<Mutex<HashMap<u64, Waiting>>> = Arc::default();
        let reported = Arc::new(Notify::new());
        let mut quiet_until = tokio::time::Instant::now();
        loop {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if run.state.outcome.is_some() {
                for (_, token) in under_way.values() {
                    token.cancel();
                }
                drain(&mut calls).await;
                return Ok(());
            }
            let wanted = run.state.calls();
            let keys: HashSet<&str> = wanted.iter().map(|c| c.key.as_str()).collect();
            for (key, (_, token)) in &under_way {
                if !keys.contains(key.as_str()) {
                    token.cancel();
                }
            }
            for call in &wanted {
                if under_way.len() >= self.config.calls_per_run {
                    break;
                }
                if under_way.contains_key(&call.key) {
                    continue;
                }
                let token = CancellationToken::new();
                if cancel.is_some() {
                    token.cancel();
                }
                let (reports, reported, task) = (reports.clone(), reported.clone(), call.id);
                let reporter = WaitReporter::new(move |w| {
                    lock(&reports).insert(task, w);
                    reported.notify_one();
                });
                let handle = calls.spawn(self.clone().perform(id.to_owned(), run.actor.clone(), call.clone(), reporter, token.clone()));
                under_way.insert(call.key.clone(), (handle.id(), token));
            }
            if let Some(why) = cancel.take() {
                for (_, token) in under_way.values() {
                    token.cancel();
                }
                tokio::select! {
                    () = drain(&mut calls) => {}
                    () = self.stop.cancelled() => return Ok(()),
                }
                run.advance(Event::Cancel { why }).await?;
                continue;
            }
            let timer = run.state.next_timer();
            let now = now_ms();
            if under_way.is_empty() {
                match timer {
                    // Only an operator moves it on.
                    None if run.state.paused().is_some() => return Ok(()),
                    None => {
                        run.advance(Event::Kill(failure(
                            "runtime",
                            500,
                            "The run is stuck",
                            "nothing is left that could move it on; report this as a bug",
                        )))
                        .await?;
                        continue;
                    }
                    // Leaves memory; `wake_at` is stored.
                    Some(at) if at > now + KEEP_MS => return Ok(()),
                    Some(_) => {}
                }
            }
            let pause = timer.map_or(Duration::from_secs(3600), |at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0)));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                Some(done) = calls.join_next_with_id() => {
                    let (key, result) = match done {
                        Ok((_, r)) => r,
                        Err(e) => {
                            let key = under_way.iter().find(|(_, (i, _))| *i == e.id()).map(|(k, _)| k.clone()).unwrap_or_default();
                            (key, Err(failure("runtime", 500, "The action failed inside the host", "the host's log has the reason")))
                        }
                    };
                    under_way.remove(&key);
                    if self.dies(Point::AfterCall) {
                        return Ok(());
                    }
                    run.advance(Event::Result { key, result }).await?;
                }
                () = poke.notified() => {
                    let row = self.db.fetch_optional("SELECT cancel FROM workflow_runs WHERE id = ?", params![id]).await?;
                    cancel = row.map(|r| r.opt_text("cancel")).transpose()?.flatten();
                    run.obey().await?;
                }
                () = async { tokio::time::sleep_until(quiet_until).await; reported.notified().await } => {
                    let news = std::mem::take(&mut *lock(&reports));
                    run.report(news).await?;
                    // A chatty action must not write a hundred times a second.
                    quiet_until = tokio::time::Instant::now() + Duration::from_millis(250);
                }
                () = tokio::time::sleep(pause) => run.advance(Event::Tick).await?,
            }
        }
    }

    /// Performs one call. Its errors become Serverless Workflow errors.
    async fn perform(
        self: Arc<Self>,
        run: String,
        actor: Actor,
        call: Call,
        waiting: WaitReporter,
        cancel: CancellationToken,
    ) -> (String, Result<Value, Value>) {
        let key = call.key.clone();
        let result = async {
            let _permit =
                self.calls.acquire().await.map_err(|_| ActionError::new("workflow.stopped", 503, "Stopped", "the engine has stopped"))?;
            let who = self.host.principal(&actor).await?;
            if self.dies(Point::BeforeCall) {
                return std::future::pending().await;
            }
            let ctx = ActionContext { who, key: call.key, run_id: run, task: call.path, attempt: call.attempt, waiting, cancel };
            self.host.call(ctx, &call.action, call.input).await
        }
        .await;
        let result = match result {
            Ok(v) => {
                let n = crate::interp::size_of(&v);
                if n > MAX_VALUE {
                    let detail = format!(
                        "{} answered about {n} bytes, the limit is {MAX_VALUE}; ask for less, or have it stored and pass the id",
                        call.action
                    );
                    Err(failure("runtime", 413, "Too much data", &detail))
                } else {
                    Ok(v)
                }
            }
            Err(e) => Err(action_error(e)),
        };
        (key, result)
    }
}

async fn drain(calls: &mut JoinSet<(String, Result<Value, Value>)>) {
    let all = async { while calls.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(CANCEL_GRACE, all).await;
    calls.shutdown().await;
}

fn failure(kind: &str, status: u16, title: &str, detail: &str) -> Value {
    json!({ "type": format!("{ERRORS}{kind}"), "status": status, "title": title, "detail": detail })
}

/// The standard error that fits, with the action's own code beside it.
fn action_error(e: ActionError) -> Value {
    let kind = match e.status {
        // Whatever another server answers is trouble with that server, not with the caller.
        _ if e.code.starts_with("http.") => "communication",
        400 | 422 => "validation",
        401 => "authentication",
        403 => "authorization",
        408 | 504 => "timeout",
        429 | 502 | 503 => "communication",
        _ => "runtime",
    };
    json!({ "type": format!("{ERRORS}{kind}"), "status": e.status, "title": e.title, "detail": e.detail, "code": e.code, "retryable": e.retryable })
}

struct Driven {
    engine: Arc<Engine>,
    info: Arc<RunInfo>,
    name: String,
    actor: Actor,
    workflow: Option<Arc<Workflow>>,
    state: State,
    rev: i64,
    /// What running calls said they wait for.
    waits: HashMap<u64, Waiting>,
    /// What the step that is written next obeys.
    order: Option<Order>,
}

impl Driven {
    /// Does what operators ordered meanwhile, in their order.
    async fn obey(&mut self) -> Result<(), WorkflowError> {
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
    async fn advance(&mut self, event: Event) -> Result<(), WorkflowError> {
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
        let id = &self.info.id;
        let now = now_ms();
        let calls = state.calls();
        let sleeping = state.sleeping();
        let live: HashSet<u64> = calls.iter().map(|c| c.id).collect();
        self.waits.retain(|id, _| live.contains(id));
        let (status, waiting, wake_at) = match (&state.outcome, &sleeping) {
            (Some(o), _) => (o.status, None, None),
            (None, Some(w)) if w.paused => (RunStatus::Waiting, Some(w.clone()), state.next_timer()),
            (None, Some(w)) => (RunStatus::Waiting, Some(w.clone()), state.next_timer().or(Some(0))),
            (None, None) => (RunStatus::Running, state.paused().or_else(|| self.waits.values().next().cloned()), Some(0)),
        };
        let waiting = waiting.map(|w| serde_json::to_string(&w)).transpose().map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let (output, error) = match &state.outcome {
            Some(o) => (Some(o.output.to_string()), o.error.as_ref().map(Value::to_string)),
            None => (None, None),
        };
        let finished = state.outcome.is_some();
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
        let changed = tx
            .execute(
                // A cancellation or an order that came meanwhile keeps the run due.
                "UPDATE workflow_runs SET state = ?, status = ?, waiting = ?, output = ?, error = ?, finished_at = ?, rev = rev + 1,
                 wake_at = CASE WHEN ? = 1 OR (cancel IS NULL AND NOT EXISTS (SELECT 1 FROM workflow_orders o WHERE o.run_id = workflow_runs.id)) THEN ? ELSE 0 END WHERE id = ? AND rev = ?",
                params![
                    if finished && !state.can_go_on() { None } else { Some(text) },
                    status.name(),
                    waiting,
                    output,
                    error,
                    finished.then_some(now),
                    finished,
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
            let (ended, id) = (engine.ended.clone(), id.clone());
            tx.after_commit(move || {
                let _ = ended.send(id);
            });
        }
        tx.commit().await?;
        self.rev += 1;
        if engine.dies(Point::AfterCommit) {
            return Err(WorkflowError::Stopped);
        }
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
    async fn report(&mut self, news: HashMap<u64, Waiting>) -> Result<(), WorkflowError> {
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

pub(crate) fn event(kind: &str, run: &str, data: Value) -> NewEvent {
    NewEvent { kind: kind.into(), source: "/workflow".into(), subject: format!("run/{run}"), data }
}

/// The record with its large values cut.
fn shown(task: &Task) -> Task {
    let cut = |v: &Value| {
        if crate::interp::size_of(v) <= MAX_SHOWN {
            return v.clone();
        }
        let text = v.to_string();
        json!({ "shortened": shorten(&text, 4096) })
    };
    Task { input: cut(&task.input), raw: task.raw.as_ref().map(cut), output: cut(&task.output), ..task.clone() }
}
