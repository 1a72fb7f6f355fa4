//! The executions that the agent holds: accepts them once, runs a bounded number at a time, keeps what they report until the host has it.
//!
//! The engine knows nothing of connections. It offers what is to be said ([`Engine::pump`]) and takes what is told ([`Engine::run`],
//! [`Engine::cancel`], [`Engine::acknowledge`]); scripts run on whether or not anybody listens.

mod pump;
mod recover;

pub(crate) use recover::kill_left;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plenum_agent_protocol::v1::agent_message::Body;
use plenum_agent_protocol::v1::{Accepted, FinishStatus, Finished, HeldExecution, HeldState, Run, Started};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::AgentError;
use crate::faults;
use crate::journal::Journal;
use crate::runner;
use crate::spool::{Folder, Tail};
use crate::state::{StateDir, failed};

/// What bounds an agent.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Scripts that run at the same time; shared between the agents of a simulated fleet.
    pub slots: Arc<Semaphore>,
    /// Executions that may wait for a slot; more are refused with the reason.
    pub max_queued: usize,
    /// Bytes of output on the disk that the host has not acknowledged; beyond it output is counted and dropped.
    pub max_spool_bytes: u64,
    /// Bytes of metrics on the disk that the host has not acknowledged; beyond it the oldest go.
    pub max_metrics_bytes: u64,
    /// What a script gets between SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    /// The program that answers to `supervise`: this one.
    pub supervisor: PathBuf,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(10)),
            max_queued: 1000,
            max_spool_bytes: 256 * 1024 * 1024,
            max_metrics_bytes: 8 * 1024 * 1024,
            kill_grace: Duration::from_secs(2),
            // Survives the file's replacement by an upgrade, which a path would not.
            supervisor: PathBuf::from("/proc/self/exe"),
        }
    }
}

/// The executions of one agent. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) limits: Limits,
    spool: PathBuf,
    journal: Mutex<Journal>,
    held: Mutex<Held>,
    changed: Notify,
    pub(crate) spool_bytes: AtomicU64,
    pub(crate) shutdown: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Held {
    executions: HashMap<String, Arc<Execution>>,
    keys: HashMap<String, String>,
    queued: usize,
    running: usize,
    // Executions with something to say, each once, in turn: one that floods does not silence the others.
    ready: VecDeque<String>,
    in_ready: HashSet<String>,
    // For the connection of this moment only; what is lost with it the host asks for again.
    direct: VecDeque<Body>,
}

/// One execution, until its end is acknowledged.
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) folder: Folder,
    pub(crate) cancel: CancellationToken,
    progress: Mutex<Progress>,
}

#[derive(Clone, Default)]
pub(crate) struct Progress {
    started: Option<Started>,
    finished: Option<Finished>,
    pub(crate) tail: Tail,
    acked_seq: u64,
    // Raised to make the pump say everything again.
    generation: u64,
}

/// No code panics while it holds one of these, so a poisoned lock holds good data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970 UTC.
#[must_use]
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

impl Execution {
    fn new(id: &str, key: &str, folder: Folder) -> Self {
        Self { id: id.to_owned(), key: key.to_owned(), folder, cancel: CancellationToken::new(), progress: Mutex::default() }
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }
}

/// A `Finished` for something that was not started, or is not known to have ended.
pub(crate) fn without_process(execution_id: &str, status: FinishStatus, code: &str, error: impl Into<String>) -> Finished {
    Finished {
        execution_id: execution_id.to_owned(),
        status: status.into(),
        error_code: code.to_owned(),
        error: error.into(),
        finished_ms: now_ms(),
        ..Finished::default()
    }
}

impl Engine {
    /// Opens the state directory's spool and journal, and settles what a former agent left: finished executions wait for their
    /// acknowledgement, running ones are reported as interrupted (and what is left of them is killed), queued ones are queued again.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn open(state: &StateDir, limits: Limits) -> Result<Self, AgentError> {
        let path = state.root().join("journal");
        let journal = Journal::open(&path, now_ms()).map_err(|e| failed("open", &path, e))?;
        let engine = Self(Arc::new(Inner {
            limits,
            spool: state.root().join("spool"),
            journal: Mutex::new(journal),
            held: Mutex::default(),
            changed: Notify::new(),
            spool_bytes: AtomicU64::new(0),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }));
        recover::recover(&engine);
        Ok(engine)
    }

    /// Takes a `Run`. Never fails: what is wrong becomes a `Finished`.
    pub fn run(&self, mut run: Run) {
        if run.key.is_empty() {
            run.key.clone_from(&run.execution_id);
        }
        let refusal = match self.accept(&run) {
            Ok(None) => return,
            Ok(Some(execution)) => return self.start(execution, run),
            Err(refusal) => refusal,
        };
        self.say(Body::Finished(*refusal));
    }

    /// `None` when it is known already and has been answered.
    fn accept(&self, run: &Run) -> Result<Option<Arc<Execution>>, Box<Finished>> {
        let id = run.execution_id.as_str();
        let reject = |code: &str, error: String| Err(Box::new(without_process(id, FinishStatus::Rejected, code, error)));
        let mut held = lock(&self.0.held);
        if let Some(execution) = held.executions.get(id).cloned() {
            execution.progress().generation += 1;
            held.direct.push_back(accepted(id, false));
            held.mark_ready(id);
            drop(held);
            self.0.changed.notify_one();
            return Ok(None);
        }
        let used_by = held.keys.get(&run.key).cloned().map(|execution_id| crate::journal::Known { execution_id, outcome: None });
        match used_by.or_else(|| lock(&self.0.journal).get(&run.key)) {
            Some(known) if known.execution_id != id => {
                return reject(
                    "agent.key_used",
                    format!("key {:?} has run as execution {}: a key runs once, use a new one", run.key, known.execution_id),
                );
            }
            Some(crate::journal::Known { outcome: Some(outcome), .. }) => return Err(Box::new(outcome)),
            Some(_) => {
                return Err(Box::new(without_process(
                    id,
                    FinishStatus::Interrupted,
                    "agent.outcome_lost",
                    "it was started once, and how it ended is not known",
                )));
            }
            None => {}
        }
        if held.queued >= self.0.limits.max_queued {
            return reject(
                "agent.queue_full",
                format!("{} executions wait on this node already: try again when some are done", held.queued),
            );
        }
        let folder = Folder::of(&self.0.spool, id);
        if let Err(error) = faults::step("spool.run", || folder.create(run)) {
            folder.remove();
            return reject("agent.disk", format!("the agent cannot write to its state directory ({error}): free space there"));
        }
        let execution = Arc::new(Execution::new(id, &run.key, folder));
        let queued = self.0.limits.slots.available_permits() == 0;
        held.add(&execution);
        held.direct.push_back(accepted(id, queued));
        drop(held);
        self.0.changed.notify_one();
        Ok(Some(execution))
    }

    fn start(&self, execution: Arc<Execution>, run: Run) {
        lock(&self.0.held).queued += 1;
        let engine = self.clone();
        self.0.tasks.spawn(async move { engine.execute(&execution, run).await });
    }

    async fn execute(&self, execution: &Execution, run: Run) {
        let slot = tokio::select! {
            biased;
            () = self.0.shutdown.cancelled() => None,
            () = execution.cancel.cancelled() => None,
            slot = self.0.limits.slots.clone().acquire_owned() => slot.ok(),
        };
        lock(&self.0.held).queued -= 1;
        if slot.is_none() {
            // Stopping: it stays in the spool and is queued again by the next agent.
            if execution.cancel.is_cancelled() {
                self.finish(
                    execution,
                    without_process(&execution.id, FinishStatus::Cancelled, "agent.cancelled", "cancelled before it was started"),
                );
            }
            return;
        }
        // Before the process, on the disk: an agent that dies from here on will not run it again.
        let journalled = faults::step("journal.starting", || lock(&self.0.journal).starting(&execution.key, &execution.id, now_ms()));
        if let Err(error) = journalled {
            let error = format!(
                "the agent cannot write its journal ({error}), and does not run what it could not remember: free space in its state directory"
            );
            return self.finish(execution, without_process(&execution.id, FinishStatus::Rejected, "agent.disk", error));
        }
        lock(&self.0.held).running += 1;
        let finished = runner::run(self, execution, run).await;
        lock(&self.0.held).running -= 1;
        self.finish(execution, finished);
    }

    pub(crate) fn started(&self, execution: &Execution, pid: u32, started_ms: i64) {
        execution.progress().started = Some(Started { execution_id: execution.id.clone(), pid, started_ms });
        self.ready(&execution.id);
    }

    /// Records an end; it is told until it is acknowledged.
    pub(crate) fn finish(&self, execution: &Execution, mut finished: Finished) {
        finished.last_seq = execution.progress().tail.seq;
        if let Err(error) = faults::step("spool.finished", || execution.folder.finish(&finished)) {
            // It is still in memory and is still told; only a crash before the acknowledgement would make it "interrupted".
            tracing::warn!(execution = execution.id, %error, "cannot write an outcome to the spool");
        }
        let journalled = faults::step("journal.finished", || lock(&self.0.journal).finished(&execution.key, &finished, now_ms()));
        if let Err(error) = journalled {
            tracing::warn!(execution = execution.id, %error, "cannot write an outcome to the journal");
        }
        execution.progress().finished = Some(finished);
        self.ready(&execution.id);
    }

    /// Ends an execution, running or queued. Unknown ones are ignored.
    pub fn cancel(&self, execution_id: &str) {
        if let Some(execution) = lock(&self.0.held).executions.get(execution_id) {
            execution.cancel.cancel();
        }
    }

    /// The host has stored output up to `seq`, and the end when `finished`.
    pub fn acknowledge(&self, execution_id: &str, seq: u64, finished: bool) {
        let mut held = lock(&self.0.held);
        let Some(execution) = held.executions.get(execution_id).cloned() else { return };
        {
            let mut progress = execution.progress();
            progress.acked_seq = progress.acked_seq.max(seq.min(progress.tail.seq));
            // An acknowledgement of an end that has not come yet would lose it.
            if !finished || progress.finished.is_none() {
                return;
            }
            self.0.spool_bytes.fetch_sub(progress.tail.length, Ordering::Relaxed);
        }
        held.remove(&execution);
        drop(held);
        faults::step("forget", || execution.folder.remove());
    }

    /// What [`plenum_agent_protocol::v1::Hello`] lists.
    #[must_use]
    pub fn held(&self) -> Vec<HeldExecution> {
        let held = lock(&self.0.held);
        let state = |progress: &Progress| match progress {
            Progress { finished: Some(_), .. } => HeldState::Finished,
            Progress { started: Some(_), .. } => HeldState::Running,
            _ => HeldState::Queued,
        };
        let describe =
            |e: &Arc<Execution>| HeldExecution { execution_id: e.id.clone(), key: e.key.clone(), state: state(&e.progress()).into() };
        held.executions.values().map(describe).collect()
    }

    /// Running, queued.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        let held = lock(&self.0.held);
        (u32::try_from(held.running).unwrap_or(u32::MAX), u32::try_from(held.queued).unwrap_or(u32::MAX))
    }

    /// Bytes of output on the disk that wait for the host.
    #[must_use]
    pub fn spooled_bytes(&self) -> u64 {
        self.0.spool_bytes.load(Ordering::Relaxed)
    }

    /// Ends what runs (it is reported as interrupted) and waits until that is on the disk.
    pub async fn shutdown(&self) {
        self.0.shutdown.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn ready(&self, execution_id: &str) {
        lock(&self.0.held).mark_ready(execution_id);
        self.0.changed.notify_one();
    }

    /// Says something on the connection of this moment. Dropped when the host has not read for long: heartbeats must not fill memory.
    pub(crate) fn say(&self, body: Body) {
        let mut held = lock(&self.0.held);
        if held.direct.len() < 10_000 {
            held.direct.push_back(body);
        }
        drop(held);
        self.0.changed.notify_one();
    }
}

fn accepted(execution_id: &str, queued: bool) -> Body {
    Body::Accepted(Accepted { execution_id: execution_id.to_owned(), queued })
}

impl Held {
    fn add(&mut self, execution: &Arc<Execution>) {
        self.executions.insert(execution.id.clone(), execution.clone());
        self.keys.insert(execution.key.clone(), execution.id.clone());
    }

    fn remove(&mut self, execution: &Execution) {
        self.executions.remove(&execution.id);
        self.keys.remove(&execution.key);
    }

    fn mark_ready(&mut self, execution_id: &str) {
        if self.executions.contains_key(execution_id) && self.in_ready.insert(execution_id.to_owned()) {
            self.ready.push_back(execution_id.to_owned());
        }
    }
}
