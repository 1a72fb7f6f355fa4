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

mod drive;
pub(crate) mod hear;
mod locks;
pub(crate) mod park;
mod write;

use write::Driven;

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
        let next_schedule = [self.fire_schedules().await?, self.fire_starts().await?, self.due_parked().await?].into_iter().flatten().min();
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

fn failure(kind: &str, status: u16, title: &str, detail: &str) -> Value {
    json!({ "type": format!("{ERRORS}{kind}"), "status": status, "title": title, "detail": detail })
}

/// The standard error that fits, with the action's own code beside it.
pub(crate) fn action_error(e: ActionError) -> Value {
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
