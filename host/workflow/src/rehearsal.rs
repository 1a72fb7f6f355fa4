//! A rehearsal: a definition run by the interpreter alone, with given answers in place of calls. Nothing is called and nothing is
//! stored; time that has to pass is skipped. So an author sees the data at each task before anything is real.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plenum_access::{Permission, Principal};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::dsl::{self, ERRORS, Workflow};
use crate::error::{Problem, WorkflowError};
use crate::expr::{Jq, shorten};
use crate::interp::{Call, Event, MAX_VALUE, RunInfo, State, World, size_of};
use crate::model::{RunStatus, Task, TaskStatus};
use crate::service::Workflows;

/// Tasks of one rehearsal: more is no longer looked through by a person.
const MAX_TASKS: usize = 2_000;
/// Answers, events and jumps in time.
const MAX_ROUNDS: usize = 10_000;
const MAX_TIME: Duration = Duration::from_secs(3);
/// A larger value is shown shortened, so that a loop over large values makes no giant answer.
const SHOWN: usize = 16 << 10;
/// They compute, so that many at once would take the processors from runs that are real.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What a call answers in a rehearsal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mock {
    /// Its output; of a `listen`, the event or the list of events that come.
    #[serde(default)]
    pub output: Option<Value>,
    /// Or the error that it fails with: `type`, `status`, `title`, `detail`.
    #[serde(default)]
    pub error: Option<Value>,
}

/// How a rehearsal went.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// `Waiting` when it could not go on.
    pub status: RunStatus,
    /// In the order of beginning.
    pub tasks: Vec<Task>,
    /// What the run would answer.
    pub output: Value,
    /// What it would fail with.
    pub error: Option<Value>,
    /// Why it went no further.
    pub stopped: Option<String>,
    /// Tasks whose answers were not given; they answered null.
    pub unanswered: Vec<String>,
}

impl Workflows {
    /// Rehearses a definition. Answers are found by the pointer of the task, else by the name of the action.
    pub async fn rehearse(
        &self,
        who: &Principal,
        source: &str,
        input: Value,
        mocks: BTreeMap<String, Mock>,
    ) -> Result<Rehearsal, WorkflowError> {
        self.engine.access.require(who, Permission::WorkflowWrite, &[]).await?;
        let size = size_of(&input);
        if size > MAX_VALUE {
            return Err(WorkflowError::TooLarge { what: "the input of the run", size, limit: MAX_VALUE });
        }
        self.validate(source).await.map_err(WorkflowError::Invalid)?;
        let _turn = AT_ONCE.acquire().await.map_err(|_| WorkflowError::Stopped)?;
        let (source, jq) = (source.to_owned(), self.engine.jq.clone());
        let failed = |message: String| WorkflowError::Invalid(vec![Problem { pointer: String::new(), message }]);
        tokio::task::spawn_blocking(move || {
            let value = crate::yaml::read(&source).map_err(|p| WorkflowError::Invalid(vec![p]))?;
            let workflow = dsl::parse(&value, None, &jq).map_err(WorkflowError::Invalid)?;
            Ok(rehearse(&workflow, &jq, input, &mocks, plenum_store::now_ms()))
        })
        .await
        .unwrap_or_else(|e| Err(failed(format!("the definition cannot be rehearsed: {e}"))))
    }
}

/// The rehearsal itself: no I/O.
pub(crate) fn rehearse(workflow: &Workflow, jq: &Jq, input: Value, mocks: &BTreeMap<String, Mock>, now: i64) -> Rehearsal {
    let run = RunInfo { id: "rehearsal".into(), input, started_at: now, heard: 0 };
    let (mut state, mut clock, mut event) = (State::default(), now, Event::Start);
    let mut tasks: BTreeMap<u64, Task> = BTreeMap::new();
    let mut unanswered: Vec<String> = Vec::new();
    let mut told: BTreeMap<u64, usize> = BTreeMap::new();
    let (begun, mut seq) = (Instant::now(), 0);
    for round in 0.. {
        let step = state.step(World { workflow, jq, run: &run, now: clock }, event);
        tasks.extend(step.tasks.into_iter().map(|(id, t)| (id, shown(t))));
        let stopped = if state.outcome.is_some() {
            None
        } else if tasks.len() > MAX_TASKS {
            Some(format!("it began more than {MAX_TASKS} tasks"))
        } else if round >= MAX_ROUNDS || begun.elapsed() > MAX_TIME {
            Some(format!("it took longer than {} seconds", MAX_TIME.as_secs()))
        } else if step.more {
            event = Event::Tick;
            continue;
        } else if let Some(call) = state.calls().into_iter().chain(state.parked()).next() {
            event = answer(&call, tasks.get(&call.id).map(|t| t.pointer.as_str()), mocks, &mut unanswered);
            continue;
        } else if let Some((task, heard)) = next_event(&tasks, mocks, &mut told) {
            seq += 1;
            event = Event::Heard { task, seq, event: heard };
            continue;
        } else if let Some(at) = state.next_timer() {
            clock = clock.max(at);
            event = Event::Tick;
            continue;
        } else {
            Some("it waits for an event; give the events that come as the answer of the task that listens".to_owned())
        };
        let (status, output, error) = match &state.outcome {
            Some(o) => (o.status, cut(o.output.clone()), o.error.clone()),
            None => (RunStatus::Waiting, Value::Null, None),
        };
        return Rehearsal { status, tasks: tasks.into_values().take(MAX_TASKS).collect(), output, error, stopped, unanswered };
    }
    // The loop ends by itself: its rounds are bounded.
    Rehearsal { status: RunStatus::Waiting, tasks: Vec::new(), output: Value::Null, error: None, stopped: None, unanswered }
}

fn answer(call: &Call, pointer: Option<&str>, mocks: &BTreeMap<String, Mock>, unanswered: &mut Vec<String>) -> Event {
    let mock = pointer.and_then(|p| mocks.get(p)).or_else(|| mocks.get(&call.action));
    let result = match mock {
        Some(Mock { error: Some(e), .. }) => {
            let text = |key: &str, default: &str| e.get(key).and_then(Value::as_str).unwrap_or(default).to_owned();
            let status = e.get("status").and_then(Value::as_u64).unwrap_or(500);
            Err(
                json!({ "type": text("type", &format!("{ERRORS}runtime")), "status": status, "title": text("title", "Rehearsed"), "detail": text("detail", "as the rehearsal says") }),
            )
        }
        Some(m) => Ok(m.output.clone().unwrap_or(Value::Null)),
        None => {
            let known = pointer.unwrap_or_default().to_owned();
            if !unanswered.contains(&known) {
                unanswered.push(known);
            }
            Ok(Value::Null)
        }
    };
    Event::Result { key: call.key.clone(), result }
}

/// The next event for a task that listens, of those that were given for it.
fn next_event(tasks: &BTreeMap<u64, Task>, mocks: &BTreeMap<String, Mock>, told: &mut BTreeMap<u64, usize>) -> Option<(u64, Value)> {
    for t in tasks.values().filter(|t| t.kind == "listen" && matches!(t.status, TaskStatus::Waiting | TaskStatus::Running)) {
        let Some(given) = mocks.get(&t.pointer).and_then(|m| m.output.as_ref()) else { continue };
        let n = told.entry(t.id).or_default();
        let event = match given {
            Value::Array(all) => all.get(*n),
            one => (*n == 0).then_some(one),
        };
        if let Some(e) = event {
            *n += 1;
            return Some((t.id, e.clone()));
        }
    }
    None
}

fn cut(v: Value) -> Value {
    if size_of(&v) > SHOWN { Value::String(shorten(&v.to_string(), 2_000)) } else { v }
}

fn shown(mut t: Task) -> Task {
    t.input = cut(t.input);
    t.output = cut(t.output);
    t.raw = t.raw.map(cut);
    t
}
