//! The interpreter: (state, event) → state. No I/O, no clock, no chance of its own.
//!
//! What the world has to do is read off the state: [`State::calls`] and [`State::next_timer`]. So nothing is lost between a
//! decision and its execution: whatever the stored state asks for is asked for again after a restart, with the same key.

mod catch;
mod data;
pub(crate) mod hear;
mod park;
mod step;
mod verbs;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use data::{See, size as size_of};
pub(crate) use hear::Hearing;
use verbs::{Hold, Kept};
pub(crate) use verbs::{Order, Verb};

use crate::dsl::{Then, Workflow};
use crate::expr::Jq;
use crate::model::{RunStatus, Task, Waiting};

/// Most task executions of one run. An endless loop ends here.
pub const MAX_STEPS: u64 = 100_000;
/// Most transitions in one step of the engine; then the state is stored and the next step begins.
const BATCH: usize = 500;
/// Most frames at a time: forks within forks.
const MAX_FRAMES: usize = 5_000;
const MAX_DEPTH: usize = 128;
/// Largest output of a task, input and output of a run.
pub const MAX_VALUE: usize = 1 << 20;
/// Largest `$context`.
pub const MAX_CONTEXT: usize = 4 << 20;

/// What stays the same during a run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The run's id.
    pub id: String,
    /// What it was started with.
    pub input: Value,
    /// When.
    pub started_at: i64,
    /// The event that was the newest then: what came later is heard.
    pub heard: i64,
}

/// All that a step needs besides the state.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The definition.
    pub workflow: &'a Workflow,
    /// Evaluates expressions.
    pub jq: &'a Jq,
    /// The run.
    pub run: &'a RunInfo,
    /// Milliseconds since the Unix epoch.
    pub now: i64,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run begins.
    Start,
    /// Time has passed, or the step before was cut short.
    Tick,
    /// A call has ended.
    Result {
        /// Its key.
        key: String,
        /// Its output, or a Serverless Workflow error.
        result: Result<Value, Value>,
    },
    /// An event has come that a task may listen for.
    Heard {
        /// The task's id.
        task: u64,
        /// The event's place in the order of events.
        seq: i64,
        /// The event.
        event: Value,
    },
    /// Somebody wants the run to end.
    Cancel {
        /// Why, in words.
        why: String,
    },
    /// The engine cannot go on with the run.
    Kill(Value),
    /// An operator moves it.
    Operate(Order),
}

/// A call that the state asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Idempotency key.
    pub key: String,
    /// The task's id.
    pub id: u64,
    /// The task's path.
    pub path: String,
    /// Attempt of the task.
    pub attempt: u32,
    /// Action.
    pub action: String,
    /// Input.
    pub input: Value,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Outcome {
    /// Succeeded, failed or cancelled.
    pub status: RunStatus,
    /// The output, when it succeeded.
    pub output: Value,
    /// The error, when it failed.
    pub error: Option<Value>,
}

/// Where a run stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct State {
    /// `$context`.
    #[serde(default)]
    context: Value,
    frames: BTreeMap<u64, Frame>,
    next_id: u64,
    steps: u64,
    /// The last event that a `listen` of the run has consumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard: Option<i64>,
    /// Of the run as a whole.
    deadline: Option<i64>,
    /// What was left when the step was cut short.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    ops: VecDeque<Op>,
    /// What operators hold back: frames, and 0 for all of the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    holds: BTreeMap<u64, Hold>,
    /// Results of what is held back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    results: BTreeMap<u64, Result<Value, Value>>,
    /// How it stood before each error that is being unwound, by the task that failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    faults: BTreeMap<u64, Kept>,
    /// How it stood before the error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<Box<Kept>>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// One task, or one list of tasks, that has begun and not ended.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct Frame {
    parent: Option<u64>,
    /// Of the task, or of the list.
    pointer: String,
    path: String,
    /// Which branch of the fork it is.
    #[serde(default)]
    slot: usize,
    /// Before `input.from`.
    raw: Value,
    /// After it.
    #[serde(default)]
    input: Value,
    /// Variables that its tasks see: of `for` and `catch`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    vars: Map<String, Value>,
    attempt: u32,
    started_at: i64,
    /// When it times out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<i64>,
    /// An operator's input.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbs::given")]
    given: Option<Value>,
    body: Body,
}

/// A task is begun once more by an operator.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Again {
    attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbs::given")]
    given: Option<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Body {
    /// A list of tasks, one after another.
    List { at: usize },
    /// A task that has just begun.
    New,
    /// `do`, or the call of a function: waits for its only child.
    Block,
    /// Waits for an action.
    Call { key: String, action: String, args: Value },
    /// Waits for time.
    Wait { until: i64 },
    /// Waits for events, or is busy with one.
    Listen { hearing: Hearing, after: i64, kinds: Vec<String>, busy: bool, done: bool, number: u64 },
    /// In an iteration.
    For { items: Vec<Value>, at: usize },
    /// Waits for branches.
    Fork { outputs: Vec<Option<Value>>, left: usize },
    /// In an attempt, between attempts, or in the handler.
    Try { phase: Phase, attempt: u32, since: i64 },
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Trying,
    Pausing {
        until: i64,
        reason: String,
        #[serde(default)]
        since: i64,
    },
    Handling,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    /// Begins a task.
    Enter {
        parent: u64,
        pointer: String,
        path: String,
        slot: usize,
        raw: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Again>,
    },
    /// A child of `to` has ended.
    Leave { to: Option<u64>, slot: usize, output: Value, then: Then },
    /// A child of `to` has failed.
    Fault {
        to: Option<u64>,
        slot: usize,
        error: Value,
        /// The task that failed first.
        #[serde(default)]
        origin: u64,
    },
    /// The next iteration of a loop, with the output of the last one.
    Iterate { id: u64, current: Value },
}

/// What one step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Tasks that began, changed or ended, by id.
    pub tasks: BTreeMap<u64, Task>,
    /// The step was cut short: send [`Event::Tick`].
    pub more: bool,
    /// Why an order was not obeyed.
    pub refused: Option<String>,
}

impl State {
    /// Calls that are to be under way.
    pub fn calls(&self) -> Vec<Call> {
        self.pending(false)
    }

    /// When the state wants an [`Event::Tick`].
    pub fn next_timer(&self) -> Option<i64> {
        if self.all_held() || self.outcome.is_some() {
            return None;
        }
        if !self.ops.is_empty() {
            return Some(0);
        }
        let own = |f: &Frame| match &f.body {
            Body::Wait { until } | Body::Try { phase: Phase::Pausing { until, .. }, .. } => Some(*until),
            _ => None,
        };
        let free = self.frames.iter().filter(|(id, _)| self.holds.is_empty() || !self.held(**id));
        free.flat_map(|(_, f)| [f.deadline, own(f)]).chain([self.deadline]).flatten().min()
    }

    /// What the run waits for, when nothing but time or an operator moves it on.
    pub fn sleeping(&self) -> Option<Waiting> {
        if !self.calls().is_empty() || (!self.ops.is_empty() && !self.all_held()) {
            return None;
        }
        let waiting = |reason: String, since: i64, until: i64| Waiting { reason, since, until: Some(until), paused: false };
        let free = self.frames.iter().filter(|(id, _)| self.holds.is_empty() || !self.held(**id));
        free.filter_map(|(_, f)| match &f.body {
            Body::Wait { until } => Some(waiting(format!("time, in {}", f.pointer), f.started_at, *until)),
            Body::Try { phase: Phase::Pausing { until, reason, since }, .. } => Some(waiting(reason.clone(), *since, *until)),
            Body::Listen { kinds, busy: false, .. } => {
                Some(Waiting { reason: hear::waits_for(kinds), since: f.started_at, until: f.deadline, paused: false })
            }
            Body::Call { action, args, .. } => Some(State::parked_wait(action, args, f.started_at, f.deadline)),
            _ => None,
        })
        .min_by_key(|w| w.until)
        .or_else(|| self.paused())
    }

    /// Performs one event. The same state, world and event give the same result.
    pub fn step(&mut self, world: World<'_>, event: Event) -> Step {
        step::step(self, world, event)
    }
}
