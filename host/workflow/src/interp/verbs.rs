//! What an operator orders: (state, order) → state like everything else, so that an order survives what a result survives.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::data::{error, hash, size};
use super::step::Stepper;
use super::{Again, Body, Event, Frame, MAX_VALUE, Op, Phase, State};
use crate::dsl::{Kind, Then};
use crate::model::{RunStatus, TaskStatus, Waiting};

/// What is ordered. Tasks are named by the ids of their records, which are those of their frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Nothing new begins in the run, or in the task; what is under way ends, and its result is kept.
    Pause { task: Option<u64> },
    /// It goes on.
    Resume { task: Option<u64> },
    /// The task begins again, perhaps with another input (for a call: other arguments).
    Retry {
        task: u64,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        input: Option<Value>,
    },
    /// The task counts as done with this output; without one, with its input.
    Skip {
        task: u64,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        output: Option<Value>,
    },
    /// The task fails, as if by itself: an enclosing `try` may catch it.
    Fail { task: u64 },
    /// Back to a task that was done: what came after it in its list is dropped.
    Jump { pointer: String, path: String, input: Value, attempt: u32 },
    /// The run begins at this task of the first level. Only before anything else.
    Begin { pointer: String, input: Value, context: Value },
}

/// A null that somebody gave is not the absence of a value.
pub(super) fn given<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

impl Verb {
    /// As shown and audited.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Pause { .. } => "pause",
            Verb::Resume { .. } => "resume",
            Verb::Retry { .. } => "retry",
            Verb::Skip { .. } => "skip",
            Verb::Fail { .. } => "fail",
            Verb::Jump { .. } => "jump",
            Verb::Begin { .. } => "restart",
        }
    }
}

/// An order: who wants what, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Id.
    pub id: String,
    /// What.
    pub verb: Verb,
    /// Who, in words.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: i64,
}

/// What is held back, by whom and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Hold {
    reason: String,
    since: i64,
}

/// The run as it stood before an error began to unwind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    frames: std::collections::BTreeMap<u64, Frame>,
    ops: std::collections::VecDeque<Op>,
    context: Value,
}

impl State {
    /// Whether anything has been done.
    pub fn begun(&self) -> bool {
        self.next_id > 0 || self.outcome.is_some()
    }

    /// Whether a failed run can be taken up again.
    pub fn can_go_on(&self) -> bool {
        self.kept.is_some()
    }

    /// Forgets what a failed run could be taken up from.
    pub fn forget(&mut self) {
        self.kept = None;
    }

    /// Whether all of the run is held back.
    pub(super) fn all_held(&self) -> bool {
        self.holds.contains_key(&0)
    }

    /// Whether anything is held back.
    pub fn paused(&self) -> Option<Waiting> {
        let (_, h) = self.holds.iter().next()?;
        Some(Waiting { reason: h.reason.clone(), since: h.since, until: None, paused: true })
    }

    /// Whether the frame, or what contains it, is held back.
    pub(super) fn held(&self, id: u64) -> bool {
        let mut at = Some(id);
        while let Some(i) = at {
            if self.holds.contains_key(&i) {
                return true;
            }
            at = self.frames.get(&i).and_then(|f| f.parent);
        }
        self.all_held()
    }

    pub(super) fn keep(&self) -> Kept {
        Kept { frames: self.frames.clone(), ops: self.ops.clone(), context: self.context.clone() }
    }
}

const ENDED: &str = "the run has ended; restart it from a task of the first level as a new run";

impl Stepper<'_> {
    /// Obeys, or says why not; then nothing has changed.
    pub(super) fn order(&mut self, o: &Order) -> Result<(), String> {
        let target = match &o.verb {
            Verb::Retry { task, .. } | Verb::Skip { task, .. } | Verb::Fail { task } => Some(*task),
            Verb::Pause { task } | Verb::Resume { task } => *task,
            Verb::Jump { .. } | Verb::Begin { .. } => None,
        };
        let frames = match (&self.state.outcome, &self.state.kept) {
            (None, _) => &self.state.frames,
            (Some(_), Some(kept)) if matches!(o.verb, Verb::Retry { .. } | Verb::Skip { .. } | Verb::Jump { .. }) => &kept.frames,
            (Some(_), Some(_)) => return Err("the run has failed; retry or skip the task that failed, or jump back".into()),
            (Some(_), None) => return Err(ENDED.into()),
        };
        if let Some(id) = target
            && !frames.get(&id).is_some_and(|f| !matches!(f.body, Body::List { .. }))
        {
            return Err(format!("task {id} is not under way; only a task that runs, waits or made the run fail can be moved"));
        }
        let value = match &o.verb {
            Verb::Retry { input: Some(v), .. } | Verb::Skip { output: Some(v), .. } | Verb::Jump { input: v, .. } => Some(v),
            _ => None,
        };
        if value.is_some_and(|v| size(v) > MAX_VALUE) {
            return Err(format!("the value is larger than {MAX_VALUE} bytes"));
        }
        match &o.verb {
            Verb::Pause { task } => {
                let id = task.unwrap_or(0);
                if self.state.holds.contains_key(&id) {
                    return Err("it is paused already".into());
                }
                let hold = Hold { reason: format!("paused by {}: {}", o.by, o.reason), since: self.w.now };
                self.state.holds.insert(id, hold);
                self.show(id);
                Ok(())
            }
            Verb::Resume { task } => {
                let id = task.unwrap_or(0);
                if self.state.holds.remove(&id).is_none() {
                    return Err("it is not paused".into());
                }
                self.show(id);
                let ready: Vec<u64> = self.state.results.keys().copied().filter(|id| !self.state.held(*id)).collect();
                for id in ready {
                    if let Some(result) = self.state.results.remove(&id) {
                        self.ended(id, result);
                    }
                }
                self.timers();
                Ok(())
            }
            Verb::Retry { task, input } => {
                let failed = self.state.outcome.is_some();
                self.revive(Some(*task));
                let Some(f) = self.state.frames.get(task).cloned() else { return Ok(()) };
                let Some(parent) = f.parent else { return Err("this task cannot be repeated by itself".into()) };
                self.drop_children(Some(*task));
                // One that has failed keeps its record: it says why.
                if !failed {
                    self.note(*task, TaskStatus::Cancelled, None, None, None);
                }
                self.remove(*task);
                let again = Again { attempt: f.attempt + 1, given: input.clone() };
                let call = self
                    .w
                    .workflow
                    .tasks
                    .get(&f.pointer)
                    .is_some_and(|t| matches!(t.kind, Kind::Call { .. } | Kind::Run { .. } | Kind::Emit(_)));
                // The arguments of a call are not what its `if` looks at; any other input is.
                let raw = input.clone().filter(|_| !call).unwrap_or(f.raw);
                self.state.ops.push_back(Op::Enter { parent, pointer: f.pointer, path: f.path, slot: f.slot, raw, again: Some(again) });
                Ok(())
            }
            Verb::Skip { task, output } => {
                self.revive(Some(*task));
                let Some(f) = self.state.frames.get(task).cloned() else { return Ok(()) };
                let output = output.clone().unwrap_or_else(|| f.raw.clone());
                let then = self.w.workflow.tasks.get(&f.pointer).map_or(Then::Continue, |t| t.then.clone());
                self.drop_children(Some(*task));
                self.note(*task, TaskStatus::Skipped, Some(output.clone()), None, None);
                self.remove(*task);
                self.state.ops.push_back(Op::Leave { to: f.parent, slot: f.slot, output, then });
                Ok(())
            }
            Verb::Fail { task } => {
                let e = error("runtime", 500, "Failed by hand", format!("{} let it fail: {}", o.by, o.reason));
                self.fail(*task, e);
                Ok(())
            }
            Verb::Jump { pointer, path, input, attempt } => {
                let list = self.w.workflow.lists.iter().find_map(|(l, tasks)| Some((l, tasks.iter().position(|t| t == pointer)?)));
                let Some((list, index)) = list else { return Err(format!("the definition has no task {pointer}")) };
                let at = pointer.strip_prefix(list.as_str()).and_then(|end| path.strip_suffix(end));
                let found =
                    frames.iter().find(|(_, f)| matches!(f.body, Body::List { .. }) && Some(f.path.as_str()) == at).map(|(id, _)| *id);
                let Some(id) = found else {
                    return Err(
                        "what contains that task is not under way any more; jump to a task around it, or restart as a new run".into()
                    );
                };
                self.revive(None);
                self.drop_children(Some(id));
                self.become_(id, Body::List { at: index });
                let again = Again { attempt: attempt + 1, given: None };
                let (pointer, path) = (pointer.clone(), path.clone());
                self.state.ops.push_back(Op::Enter { parent: id, pointer, path, slot: 0, raw: input.clone(), again: Some(again) });
                Ok(())
            }
            Verb::Begin { pointer, input, context } => {
                if self.state.begun() {
                    return Err("the run has begun".into());
                }
                let index = self.w.workflow.lists.get("/do").and_then(|l| l.iter().position(|t| t == pointer));
                let Some(index) = index else { return Err(format!("{pointer} is no task of the first level")) };
                self.state.context = context.clone();
                self.list_at(index, input.clone());
                Ok(())
            }
        }
    }

    /// Brings a failed run back to where it stood before the error.
    fn revive(&mut self, target: Option<u64>) {
        if self.state.outcome.is_none() {
            return;
        }
        let Some(kept) = self.state.kept.take() else { return };
        self.state.outcome = None;
        self.state.frames = kept.frames;
        self.state.ops = kept.ops;
        self.state.context = kept.context;
        let now = self.w.now;
        // Time-outs that have passed would end it again at once: the operator's hand lifts them.
        self.state.deadline = self.state.deadline.filter(|d| *d > now);
        let ids: Vec<u64> = self.state.frames.keys().copied().collect();
        for id in ids {
            self.state.next_id += 1;
            let fresh = self.state.next_id.to_string();
            let Some(f) = self.state.frames.get_mut(&id) else { continue };
            f.deadline = f.deadline.filter(|d| *d > now);
            // Calls beside the failed one were given up with the run: made again, they are other calls.
            if let Body::Call { key, .. } = &mut f.body
                && Some(id) != target
            {
                *key = hash(&[&self.w.run.id, &f.path, &f.attempt.to_string(), &fresh]);
            }
            if Some(id) != target {
                self.show(id);
            }
        }
    }

    /// Writes the task's record anew, as it stands.
    fn show(&mut self, id: u64) {
        let Some(f) = self.state.frames.get(&id) else { return };
        let waiting = match (self.state.holds.get(&id), &f.body) {
            (Some(h), _) => Some(Waiting { reason: h.reason.clone(), since: h.since, until: None, paused: true }),
            (None, Body::List { .. } | Body::New) => return,
            (None, Body::Wait { until }) => {
                Some(Waiting { reason: "time".into(), since: f.started_at, until: Some(*until), paused: false })
            }
            (None, Body::Try { phase: Phase::Pausing { until, reason, since }, .. }) => {
                Some(Waiting { reason: reason.clone(), since: *since, until: Some(*until), paused: false })
            }
            (None, Body::Listen { kinds, busy: false, .. }) => {
                Some(Waiting { reason: super::hear::waits_for(kinds), since: f.started_at, until: f.deadline, paused: false })
            }
            (None, Body::Call { action, args, .. }) if super::park::is_parked(action) => {
                Some(super::State::parked_wait(action, args, f.started_at, f.deadline))
            }
            _ => None,
        };
        let status = if waiting.is_some() { TaskStatus::Waiting } else { TaskStatus::Running };
        self.note(id, status, None, None, waiting);
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.state.frames.remove(&id);
        self.state.holds.remove(&id);
        self.state.results.remove(&id);
    }

    /// The first level, from its task number `index` on.
    fn list_at(&mut self, index: usize, input: Value) {
        self.list(None, "/do".into(), "/do".into(), Value::Null, Map::new(), 1, None);
        self.state.ops.clear();
        if let Some(id) = self.state.frames.keys().next_back().copied() {
            self.at(id, index, input);
        }
    }
}

/// Whether the event is one that a run which has ended still listens to.
pub(super) fn revives(event: &Event, status: RunStatus) -> bool {
    matches!(event, Event::Operate(_)) && status == RunStatus::Failed
}
