//! One step: events become operations on frames, until nothing is left but waiting.

use serde_json::{Map, Value};

use super::data::{See, error, hash, rfc3339, size};
use super::park::is_parked;
use super::verbs::revives;
use super::{
    Again, BATCH, Body, Event, Frame, MAX_CONTEXT, MAX_DEPTH, MAX_FRAMES, MAX_STEPS, MAX_VALUE, Op, Outcome, Phase, State, Step, World,
};
use crate::dsl::{Flow, Kind, OUTSIDE, Task as Definition, Then, expand, is_literal, masked, unmasked};
use crate::model::{RunStatus, Task, TaskStatus, Waiting};

pub(super) fn step(state: &mut State, world: World<'_>, event: Event) -> Step {
    let mut s = Stepper { state, w: world, out: Step::default() };
    if s.state.outcome.as_ref().is_some_and(|o| !revives(&event, o.status)) {
        return s.out;
    }
    match event {
        Event::Start => s.start(),
        Event::Tick => s.timers(),
        Event::Result { key, result } => s.result(&key, result),
        Event::Heard { task, seq, event } => s.heard(task, seq, &event),
        Event::Cancel { why } => {
            s.drop_children(None);
            s.state.ops.clear();
            s.end(RunStatus::Cancelled, Value::Null, Some(error("runtime", 500, "Cancelled", why)));
        }
        Event::Operate(order) => s.out.refused = s.order(&order).err(),
        Event::Kill(error) => {
            s.drop_children(None);
            s.state.ops.clear();
            s.end(RunStatus::Failed, Value::Null, Some(error));
        }
    }
    for _ in 0..BATCH {
        if s.state.all_held() {
            break;
        }
        let Some(op) = s.state.ops.pop_front() else { break };
        s.perform(op);
    }
    s.out.more = !s.state.ops.is_empty() && !s.state.all_held();
    if s.state.ops.is_empty() {
        // Whatever was unwound has been caught, or its race was lost.
        s.state.faults.clear();
    }
    s.out
}

pub(super) struct Stepper<'a> {
    pub(super) state: &'a mut State,
    pub(super) w: World<'a>,
    out: Step,
}

pub(super) type Error = Value;

impl Stepper<'_> {
    fn start(&mut self) {
        let w = self.w;
        let prepared = (|| {
            let raw = &w.run.input;
            check(&w.workflow.input, raw, "input")?;
            let input = match &w.workflow.input.expr {
                Some(t) => self.state.fill(w, t, raw, See::default())?,
                None => raw.clone(),
            };
            if let Some(t) = &w.workflow.timeout {
                self.state.deadline = Some(w.now + self.state.millis(w, t, &input, See { input: Some(&input), ..See::default() })?);
            }
            Ok(input)
        })();
        match prepared {
            Ok(input) => self.list(None, "/do".into(), "/do".into(), input, Map::new(), 1, None),
            Err(e) => self.end(RunStatus::Failed, Value::Null, Some(e)),
        }
    }

    pub(super) fn timers(&mut self) {
        let now = self.w.now;
        if self.state.all_held() {
            return;
        }
        if self.state.deadline.is_some_and(|d| d <= now) {
            self.drop_children(None);
            self.state.ops.clear();
            let e = error("timeout", 408, "The workflow took too long", "the time-out of the workflow has passed");
            return self.end(RunStatus::Failed, Value::Null, Some(e));
        }
        let ids: Vec<u64> = self.state.frames.keys().copied().collect();
        for id in ids {
            // A time-out of what contains it may have removed it in this loop.
            let Some(f) = self.state.frames.get(&id) else { continue };
            if !self.state.holds.is_empty() && self.state.held(id) {
                continue;
            }
            if f.deadline.is_some_and(|d| d <= now) {
                let e = error("timeout", 408, "The task took too long", format!("the time-out of {} has passed", f.pointer));
                self.fail(id, e);
                continue;
            }
            match f.body {
                Body::Wait { until } if until <= now => {
                    let output = f.input.clone();
                    self.complete(id, output, None);
                }
                Body::Try { phase: Phase::Pausing { until, .. }, .. } if until <= now => self.attempt(id),
                _ => {}
            }
        }
    }

    fn result(&mut self, key: &str, result: Result<Value, Value>) {
        // A result that nobody waits for any more is of no use: its task was cancelled.
        let id = self.state.frames.iter().find(|(_, f)| matches!(&f.body, Body::Call { key: k, .. } if k == key)).map(|(id, _)| *id);
        if let Some(id) = id {
            if self.state.held(id) {
                self.state.results.insert(id, result);
                return;
            }
            self.ended(id, result);
        }
    }

    /// The call of frame `id` has ended.
    pub(super) fn ended(&mut self, id: u64, result: Result<Value, Value>) {
        match result {
            Ok(output) => {
                // The output of `emit` is the event.
                let event = self.state.frames.get(&id).and_then(|f| match (&f.body, self.w.workflow.tasks.get(&f.pointer)?.as_ref()) {
                    (Body::Call { args, .. }, Definition { kind: Kind::Emit(_), .. }) => Some(args.clone()),
                    _ => None,
                });
                self.complete(id, event.unwrap_or(output), None);
            }
            Err(error) => self.fail(id, error),
        }
    }

    fn end(&mut self, status: RunStatus, output: Value, error: Option<Value>) {
        self.state.holds.clear();
        self.state.results.clear();
        self.state.faults.clear();
        self.state.outcome = Some(Outcome { status, output, error });
    }

    fn perform(&mut self, op: Op) {
        match op {
            Op::Enter { parent, pointer, path, slot, raw, again } => self.enter(parent, pointer, path, slot, raw, again),
            Op::Leave { to, slot, output, then } => self.leave(to, slot, output, then),
            Op::Fault { to, error, origin, .. } => self.fault(to, error, origin),
            Op::Iterate { id, current } => self.iterate(id, current),
        }
    }

    fn insert(&mut self, frame: Frame) -> u64 {
        self.state.next_id += 1;
        let id = self.state.next_id;
        self.state.frames.insert(id, frame);
        id
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn list(
        &mut self,
        parent: Option<u64>,
        pointer: String,
        path: String,
        raw: Value,
        vars: Map<String, Value>,
        attempt: u32,
        deadline: Option<i64>,
    ) {
        let frame = Frame {
            parent,
            pointer,
            path,
            slot: 0,
            raw: Value::Null,
            input: Value::Null,
            vars,
            attempt,
            started_at: self.w.now,
            deadline,
            given: None,
            body: Body::List { at: 0 },
        };
        let id = self.insert(frame);
        self.at(id, 0, raw);
    }

    /// Goes to the task at `index` of list `id`, or leaves the list behind its last one.
    pub(super) fn at(&mut self, id: u64, index: usize, value: Value) {
        let Some(f) = self.state.frames.get_mut(&id) else { return };
        let next = self.w.workflow.lists.get(&f.pointer).and_then(|l| l.get(index)).cloned();
        match next {
            Some(pointer) => {
                f.body = Body::List { at: index };
                let path = format!("{}{}", f.path, pointer.strip_prefix(&f.pointer).unwrap_or(&pointer));
                self.state.ops.push_back(Op::Enter { parent: id, pointer, path, slot: 0, raw: value, again: None });
            }
            None => {
                let to = f.parent;
                self.state.frames.remove(&id);
                self.state.ops.push_back(Op::Leave { to, slot: 0, output: value, then: Then::Continue });
            }
        }
    }

    fn depth(&self, id: u64) -> usize {
        let (mut n, mut at) = (0, Some(id));
        while let Some(f) = at.and_then(|id| self.state.frames.get(&id)) {
            n += 1;
            at = f.parent;
        }
        n
    }

    fn enter(&mut self, parent: u64, pointer: String, path: String, slot: usize, raw: Value, again: Option<Again>) {
        let attempt = match self.state.frames.get(&parent) {
            Some(f) => f.attempt,
            // What contains it was cancelled while this waited in the queue.
            None => return,
        };
        let (attempt, given) = again.map_or((attempt, None), |a| (a.attempt, a.given));
        let frame = Frame {
            parent: Some(parent),
            pointer: pointer.clone(),
            path,
            slot,
            input: raw.clone(),
            raw,
            vars: Map::new(),
            attempt,
            started_at: self.w.now,
            deadline: None,
            given,
            body: Body::New,
        };
        let id = self.insert(frame);
        self.state.steps += 1;
        if self.state.steps > MAX_STEPS {
            self.drop_children(None);
            self.state.ops.clear();
            let e = error(
                "runtime",
                500,
                "Too many tasks",
                format!("the run began {MAX_STEPS} tasks; it probably loops. Give the loop an end, or split the work into several runs"),
            );
            return self.end(RunStatus::Failed, Value::Null, Some(e));
        }
        let Some(task) = self.w.workflow.tasks.get(&pointer).cloned() else {
            return self.fail(id, error("configuration", 400, "No such task", format!("the definition has no task {pointer}")));
        };
        if self.depth(id) > MAX_DEPTH || self.state.frames.len() > MAX_FRAMES {
            return self.fail(
                id,
                error("runtime", 500, "Nested too deeply", "functions call each other without end, or forks are nested too widely"),
            );
        }
        match self.begin(id, &task) {
            Ok(()) => {}
            Err(e) => self.fail(id, e),
        }
    }

    fn begin(&mut self, id: u64, task: &Definition) -> Result<(), Error> {
        let w = self.w;
        let Some(frame) = self.state.frames.get(&id).cloned() else { return Ok(()) };
        let vars = self.state.scope(frame.parent);
        let see = See { task: Some((task, &frame)), vars: Some(&vars), ..See::default() };
        if let Some(c) = &task.condition
            && !self.state.truth(w, c, &frame.raw, See { input: Some(&frame.raw), ..see })?
        {
            self.note(id, TaskStatus::Skipped, Some(frame.raw.clone()), None, None);
            self.state.frames.remove(&id);
            self.state.ops.push_back(Op::Leave { to: frame.parent, slot: frame.slot, output: frame.raw, then: Then::Continue });
            return Ok(());
        }
        check(&task.input, &frame.raw, "input")?;
        let input = match &task.input.expr {
            Some(t) => self.state.fill(w, t, &frame.raw, see)?,
            None => frame.raw.clone(),
        };
        let input = match (&frame.given, &task.kind) {
            // A call's input is its arguments: they take their place below.
            (Some(g), kind) if !matches!(kind, Kind::Call { .. } | Kind::Run { .. } | Kind::Emit(_)) => g.clone(),
            _ => input,
        };
        let see = See { input: Some(&input), ..see };
        let deadline = match &task.timeout {
            Some(t) => Some(w.now + self.state.millis(w, t, &input, see)?),
            None => None,
        };
        if let Some(f) = self.state.frames.get_mut(&id) {
            f.input = input.clone();
            f.deadline = deadline;
        }
        let child = |key: &str| (format!("{}/{key}", task.pointer), format!("{}/{key}", frame.path));
        match &task.kind {
            Kind::Set(t) => {
                let output = self.state.fill(w, t, &input, see)?;
                self.complete(id, output, None);
            }
            Kind::Raise(t) => {
                let mut e = self.state.fill(w, t, &input, see)?;
                // An expression within quotes may have made a text of it.
                let status = e.get("status").and_then(Value::as_str).and_then(|s| s.parse::<i64>().ok());
                if let (Some(s), Some(o)) = (status, e.as_object_mut()) {
                    o.insert("status".into(), s.into());
                }
                return Err(e);
            }
            Kind::Switch(cases) => {
                let mut then = None;
                for (when, to) in cases {
                    match when {
                        Some(e) if self.state.truth(w, e, &input, see)? => {
                            then = Some(to.clone());
                            break;
                        }
                        Some(_) => {}
                        // The default counts only if no other matches, wherever it stands.
                        None => {}
                    }
                }
                let then = then.or_else(|| cases.iter().find(|(w, _)| w.is_none()).map(|(_, t)| t.clone()));
                self.complete(id, input, then);
            }
            Kind::Wait(d) => {
                let until = w.now + self.state.millis(w, d, &input, see)?;
                self.become_(id, Body::Wait { until });
                let waiting = Waiting { reason: "time".into(), since: w.now, until: Some(until), paused: false };
                self.note(id, TaskStatus::Waiting, None, None, Some(waiting));
            }
            Kind::Call { action, with } => {
                let mut args = match with {
                    Some(t) => self.state.fill(w, t, &input, see)?,
                    None => input.clone(),
                };
                if let Some(t) = with.as_ref().filter(|_| OUTSIDE.contains(&action.as_str())) {
                    for path in [&["endpoint", "uri"] as &[&str], &["document", "endpoint", "uri"]] {
                        // What an expression made is an address already.
                        let uri = args.pointer_mut(&format!("/{}", path.join("/"))).filter(|_| is_literal(t, path));
                        if let Some(Value::String(uri)) = uri {
                            *uri = expand(uri, &input).map_err(|m| error("expression", 400, "The address cannot be filled in", m))?;
                        }
                    }
                }
                if let Some(given) = &frame.given {
                    args = unmasked(given, &args);
                }
                self.call(id, action.clone(), args)?;
            }
            Kind::Run { action, with } => {
                let mut args = match &frame.given {
                    Some(g) => g.clone(),
                    None => self.state.fill(w, with, &input, see)?,
                };
                if let Some(o) = args.as_object_mut().filter(|_| action == crate::dsl::run::SUB_FLOW) {
                    o.entry("input").or_insert(input);
                }
                self.call(id, action.clone(), args)?;
            }
            Kind::Listen(l) => self.listen(id, l),
            Kind::Emit(t) => {
                let mut event = match &frame.given {
                    Some(g) => g.clone(),
                    None => self.state.fill(w, t, &input, see)?,
                };
                if let Some(e) = event.as_object_mut() {
                    // Made from what stays the same when the step is repeated.
                    let key = hash(&[&w.run.id, &frame.path, &frame.attempt.to_string(), &id.to_string(), "event"]);
                    e.entry("id").or_insert_with(|| key.into());
                    e.entry("specversion").or_insert_with(|| "1.0".into());
                    e.entry("time").or_insert_with(|| rfc3339(w.now).into());
                }
                self.call(id, "event.publish".into(), event)?;
            }
            Kind::Do => {
                self.become_(id, Body::Block);
                self.note(id, TaskStatus::Running, None, None, None);
                let (pointer, path) = child("do");
                self.list(Some(id), pointer, path, input, Map::new(), frame.attempt, None);
            }
            Kind::Function { pointer, with } => {
                let args = match with {
                    Some(t) => self.state.fill(w, t, &input, see)?,
                    None => input,
                };
                self.become_(id, Body::Block);
                self.note(id, TaskStatus::Running, None, None, None);
                let path = format!("{}/call", frame.path);
                self.state.ops.push_back(Op::Enter { parent: id, pointer: pointer.clone(), path, slot: 0, raw: args, again: None });
            }
            Kind::For { collection, .. } => {
                let items = match self.state.eval(w, collection, &input, see)? {
                    Value::Array(a) => a,
                    Value::Null => Vec::new(),
                    other => {
                        let kind = match other {
                            Value::Object(_) => "an object",
                            Value::String(_) => "a text",
                            _ => "a number or boolean",
                        };
                        return Err(error("expression", 400, "Not a list", format!("`for.in` yields {kind} where a list is needed")));
                    }
                };
                self.become_(id, Body::For { items, at: 0 });
                self.note(id, TaskStatus::Running, None, None, None);
                self.state.ops.push_back(Op::Iterate { id, current: input });
            }
            Kind::Fork { .. } => {
                let (pointer, path) = child("fork/branches");
                let branches = w.workflow.lists.get(&pointer).cloned().unwrap_or_default();
                self.become_(id, Body::Fork { outputs: vec![None; branches.len()], left: branches.len() });
                self.note(id, TaskStatus::Running, None, None, None);
                for (slot, branch) in branches.iter().enumerate() {
                    let path = format!("{path}{}", branch.strip_prefix(&pointer).unwrap_or(branch));
                    self.state.ops.push_back(Op::Enter {
                        parent: id,
                        pointer: branch.clone(),
                        path,
                        slot,
                        raw: input.clone(),
                        again: None,
                    });
                }
            }
            Kind::Try(_) => {
                self.become_(id, Body::Try { phase: Phase::Trying, attempt: 0, since: w.now });
                self.attempt(id);
            }
        }
        Ok(())
    }

    pub(super) fn become_(&mut self, id: u64, body: Body) {
        if let Some(f) = self.state.frames.get_mut(&id) {
            f.body = body;
        }
    }

    fn call(&mut self, id: u64, action: String, args: Value) -> Result<(), Error> {
        limit(&args, MAX_VALUE, "the input of the call")?;
        let Some(f) = self.state.frames.get_mut(&id) else { return Ok(()) };
        // The id grows with every task execution, so that a repeated task is another call; it is stored before the call is made, so
        // that a restart repeats the same one.
        let key = hash(&[&self.w.run.id, &f.path, &f.attempt.to_string(), &id.to_string()]);
        let waiting = is_parked(&action).then(|| State::parked_wait(&action, &args, self.w.now, f.deadline));
        f.body = Body::Call { key, action, args };
        let status = if waiting.is_some() { TaskStatus::Waiting } else { TaskStatus::Running };
        self.note(id, status, None, None, waiting);
        Ok(())
    }

    /// Begins the next attempt of a `try`.
    fn attempt(&mut self, id: u64) {
        let w = self.w;
        let Some(f) = self.state.frames.get_mut(&id) else { return };
        let Body::Try { phase, attempt, .. } = &mut f.body else { return };
        *phase = Phase::Trying;
        *attempt += 1;
        let attempt = *attempt;
        let (pointer, path, input) = (format!("{}/try", f.pointer), format!("{}/try", f.path), f.input.clone());
        let path = if attempt > 1 { format!("{path}[{attempt}]") } else { path };
        self.note(id, TaskStatus::Running, None, None, None);
        let deadline = self.w.workflow.tasks.get(pointer.strip_suffix("/try").unwrap_or(&pointer)).and_then(|t| match &t.kind {
            Kind::Try(c) => c.retry.as_ref().and_then(|r| r.attempt_duration.clone()),
            _ => None,
        });
        let deadline = match deadline.map(|d| self.state.millis(w, &d, &input, See { input: Some(&input), ..See::default() })).transpose() {
            Ok(d) => d.map(|ms| w.now + ms),
            Err(e) => return self.fail(id, e),
        };
        self.list(Some(id), pointer, path, input, Map::new(), attempt, deadline);
    }

    /// The next iteration, or the end of the loop.
    fn iterate(&mut self, id: u64, current: Value) {
        let Some(f) = self.state.frames.get(&id) else { return };
        let Some(task) = self.w.workflow.tasks.get(&f.pointer).cloned() else { return };
        let (Body::For { items, at }, Kind::For { each, at: index, condition, .. }) = (&f.body, &task.kind) else { return };
        let Some(item) = items.get(*at).cloned() else { return self.complete(id, current, None) };
        let n = *at;
        let mut vars = Map::new();
        vars.insert(each.clone(), item);
        vars.insert(index.clone(), n.into());
        if let Some(c) = condition {
            let mut scope = self.state.scope(f.parent);
            scope.extend(vars.clone());
            let see = See { task: Some((&task, f)), input: Some(&current), vars: Some(&scope), ..See::default() };
            match self.state.truth(self.w, c, &current, see) {
                Ok(true) => {}
                Ok(false) => return self.complete(id, current, None),
                Err(e) => return self.fail(id, e),
            }
        }
        let (pointer, path, attempt) = (format!("{}/do", f.pointer), format!("{}[{n}]/do", f.path), f.attempt);
        self.list(Some(id), pointer, path, current, vars, attempt, None);
    }

    /// The task of frame `id` has made `raw`.
    pub(super) fn complete(&mut self, id: u64, raw: Value, then: Option<Then>) {
        let w = self.w;
        let Some(frame) = self.state.frames.get(&id).cloned() else { return };
        let Some(task) = w.workflow.tasks.get(&frame.pointer).cloned() else { return };
        let finished = (|| {
            let vars = self.state.scope(frame.parent);
            let see =
                See { task: Some((&task, &frame)), input: Some(&frame.input), raw_output: Some(&raw), vars: Some(&vars), output: None };
            let output = match &task.output.expr {
                Some(t) => self.state.fill(w, t, &raw, see)?,
                None => raw.clone(),
            };
            check(&task.output, &output, "output")?;
            limit(&output, MAX_VALUE, "the output of the task")?;
            let mut context = None;
            if let Some(t) = &task.export.expr {
                let c = self.state.fill(w, t, &output, See { output: Some(&output), ..see })?;
                check(&task.export, &c, "export")?;
                limit(&c, MAX_CONTEXT, "$context")?;
                context = Some(c);
            }
            Ok((output, context))
        })();
        match finished {
            Err(e) => self.fail(id, e),
            Ok((output, context)) => {
                if let Some(c) = context {
                    self.state.context = c;
                }
                self.note(id, TaskStatus::Succeeded, Some(output.clone()), None, None);
                self.drop_children(Some(id));
                self.remove(id);
                let then = then.unwrap_or_else(|| task.then.clone());
                self.state.ops.push_back(Op::Leave { to: frame.parent, slot: frame.slot, output, then });
            }
        }
    }

    /// The task (or list) of frame `id` has failed.
    pub(super) fn fail(&mut self, id: u64, error: Value) {
        // So that an operator can take the run up again where it stood.
        let kept = self.state.keep();
        self.state.faults.insert(id, kept);
        self.unwind(id, error, id);
    }

    /// An error passes through frame `id`.
    pub(super) fn unwind(&mut self, id: u64, mut error: Value, origin: u64) {
        let Some(f) = self.state.frames.get(&id) else { return };
        if let Some(o) = error.as_object_mut()
            && !o.contains_key("instance")
        {
            o.insert("instance".into(), f.pointer.clone().into());
        }
        let (to, slot, is_list) = (f.parent, f.slot, matches!(f.body, Body::List { .. }));
        if !is_list {
            self.note(id, TaskStatus::Failed, None, Some(error.clone()), None);
        }
        self.drop_children(Some(id));
        self.remove(id);
        self.state.ops.push_back(Op::Fault { to, slot, error, origin });
    }

    /// A child of `to` has ended well.
    fn leave(&mut self, to: Option<u64>, slot: usize, output: Value, then: Then) {
        if to.is_some_and(|id| !self.state.frames.contains_key(&id)) {
            // What contained it is gone; nobody asks for its output.
            return;
        }
        if then == Then::End || to.is_none() {
            return self.finish(output);
        }
        let Some(id) = to else { return };
        let Some(f) = self.state.frames.get_mut(&id) else { return };
        match &mut f.body {
            Body::List { at } => {
                let next = match then {
                    Then::Continue => *at + 1,
                    Then::Exit | Then::End => usize::MAX,
                    Then::Task(name) => {
                        let list = self.w.workflow.lists.get(&f.pointer).cloned().unwrap_or_default();
                        let found = list.iter().position(|p| self.w.workflow.tasks.get(p).is_some_and(|t| t.name == name));
                        match found {
                            Some(i) => i,
                            None => {
                                return self.fail(
                                    id,
                                    error("configuration", 400, "No such task", format!("`then` names {name}, which this list has not")),
                                );
                            }
                        }
                    }
                };
                self.at(id, next, output);
            }
            Body::For { at, .. } => {
                *at += 1;
                self.iterate(id, output);
            }
            Body::Listen { .. } => self.each_heard(id, output),
            Body::Fork { outputs, left } => {
                let compete = matches!(self.w.workflow.tasks.get(&f.pointer).map(|t| &t.kind), Some(Kind::Fork { compete: true }));
                if compete {
                    return self.complete(id, output, None);
                }
                if let Some(o) = outputs.get_mut(slot) {
                    *o = Some(output);
                }
                *left = left.saturating_sub(1);
                if *left == 0 {
                    let all = outputs.iter_mut().map(|o| o.take().unwrap_or(Value::Null)).collect();
                    self.complete(id, Value::Array(all), None);
                }
            }
            _ => self.complete(id, output, None),
        }
    }

    /// A child of `to` has failed.
    fn fault(&mut self, to: Option<u64>, error: Value, origin: u64) {
        let Some(id) = to else {
            let kept = self.state.faults.remove(&origin);
            self.drop_children(None);
            self.state.ops.clear();
            self.end(RunStatus::Failed, Value::Null, Some(error));
            self.state.kept = kept.map(Box::new);
            return;
        };
        let Some(f) = self.state.frames.get_mut(&id) else { return };
        match &mut f.body {
            Body::Try { phase: Phase::Trying, .. } => self.catch(id, error, origin),
            // A race is lost only when nobody is left who could win it.
            Body::Fork { left, .. }
                if matches!(self.w.workflow.tasks.get(&f.pointer).map(|t| &t.kind), Some(Kind::Fork { compete: true })) =>
            {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.unwind(id, error, origin);
                } else {
                    self.state.faults.remove(&origin);
                }
            }
            _ => self.unwind(id, error, origin),
        }
    }

    fn finish(&mut self, output: Value) {
        let w = self.w;
        self.drop_children(None);
        self.state.ops.clear();
        let result = (|| {
            let output = match &w.workflow.output.expr {
                Some(t) => self.state.fill(w, t, &output, See::default())?,
                None => output,
            };
            check(&w.workflow.output, &output, "output")?;
            limit(&output, MAX_VALUE, "the output of the workflow")?;
            Ok(output)
        })();
        match result {
            Ok(output) => self.end(RunStatus::Succeeded, output, None),
            Err(e) => self.end(RunStatus::Failed, Value::Null, Some(e)),
        }
    }

    /// Removes all that is below `id` (everything, for `None`); its unfinished tasks count as cancelled.
    pub(super) fn drop_children(&mut self, id: Option<u64>) {
        let mut gone: Vec<u64> = Vec::new();
        // Children have larger ids than their parents, so one pass in order finds whole trees.
        for (child, f) in &self.state.frames {
            let below = match id {
                None => true,
                Some(id) => f.parent == Some(id) || f.parent.is_some_and(|p| gone.binary_search(&p).is_ok()),
            };
            if below {
                gone.push(*child);
            }
        }
        for child in gone {
            if !matches!(self.state.frames.get(&child).map(|f| &f.body), Some(Body::List { .. })) {
                self.note(child, TaskStatus::Cancelled, None, None, None);
            }
            self.remove(child);
        }
    }

    pub(super) fn note(&mut self, id: u64, status: TaskStatus, output: Option<Value>, error: Option<Value>, waiting: Option<Waiting>) {
        let Some(f) = self.state.frames.get(&id) else { return };
        let task = self.w.workflow.tasks.get(&f.pointer);
        // Lists are no tasks: the parent that people see is the task around them.
        let mut parent = f.parent;
        while let Some(p) = parent.and_then(|p| self.state.frames.get(&p)) {
            if !matches!(p.body, Body::List { .. }) {
                break;
            }
            parent = p.parent;
        }
        let (action, input) = match &f.body {
            Body::Call { action, args, .. } if OUTSIDE.contains(&action.as_str()) => (Some(action.clone()), masked(args)),
            Body::Call { action, args, .. } => (Some(action.clone()), args.clone()),
            _ => (None, f.input.clone()),
        };
        let attempt = match &f.body {
            Body::Try { attempt, .. } => (*attempt).max(1),
            _ => f.attempt,
        };
        let ended = matches!(status, TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Skipped | TaskStatus::Cancelled);
        self.out.tasks.insert(
            id,
            Task {
                id,
                parent,
                pointer: f.pointer.clone(),
                path: f.path.clone(),
                name: task.map_or_else(String::new, |t| t.name.clone()),
                kind: task.map_or("call", |t| t.kind.name()).to_owned(),
                action,
                status,
                attempt,
                raw: (f.raw != input).then(|| f.raw.clone()),
                input,
                output: output.unwrap_or(Value::Null),
                error,
                started_at: f.started_at,
                finished_at: ended.then_some(self.w.now),
                waiting,
            },
        );
    }
}

pub(super) fn check(flow: &Flow, value: &Value, what: &str) -> Result<(), Error> {
    match flow.schema.as_ref().and_then(|s| s.problem(value)) {
        None => Ok(()),
        Some(p) => Err(error("validation", 400, &format!("The {what} does not match its schema"), p)),
    }
}

pub(super) fn limit(value: &Value, max: usize, what: &str) -> Result<(), Error> {
    let n = size(value);
    if n > max {
        Err(error(
            "runtime",
            413,
            "Too much data",
            format!("{what} is about {n} bytes, the limit is {max}; keep data in a collection or the CMDB and pass its id"),
        ))
    } else {
        Ok(())
    }
}
