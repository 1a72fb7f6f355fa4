//! What a `listen` does with an event: whether it is meant, whether that was the last one, and what follows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::data::See;
use super::step::{Error, Stepper, check, limit};
use super::{Body, MAX_CONTEXT, MAX_VALUE, State, World};
use crate::dsl::hear::{EventFilter, Listen, Mode, Read, Strategy, Until};
use crate::dsl::{Kind, Template};
use crate::model::{TaskStatus, Waiting};

/// Events that one `listen` keeps. With `foreach` the oldest are forgotten, otherwise it fails.
const MAX_HEARD: usize = 1_000;

/// How far a strategy has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hearing {
    /// Which filters of an `all` have matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    matched: Vec<bool>,
    /// The same of `until`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    until: Vec<bool>,
    /// What the first event said, or what was expected.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    correlation: Map<String, Value>,
    /// What was consumed, as `read` says; with `foreach`, the outputs of the iterations.
    pub events: Vec<Value>,
}

/// What became of an event.
pub(crate) struct Heard {
    /// It was meant, and is this, as `read` says.
    pub item: Option<Value>,
    /// Nothing more is waited for.
    pub done: bool,
}

impl State {
    /// Whether an attribute is what the filter says. An expression sees the attribute; what is not a boolean is compared.
    fn attribute(&self, w: World<'_>, wanted: &Template, value: &Value, see: See<'_>) -> Result<bool, Error> {
        Ok(match wanted {
            Template::Expr(_) => match self.fill(w, wanted, value, see) {
                Ok(Value::Bool(b)) => b,
                Ok(Value::Null) => false,
                Ok(other) => other == *value,
                // An expression that does not fit this event's shape (`.a > 1` of a text) is no reason to fail: it is another event.
                Err(_) => false,
            },
            t => self.fill(w, t, value, see)? == *value,
        })
    }

    fn matches(
        &self,
        w: World<'_>,
        filter: &EventFilter,
        event: &Value,
        see: See<'_>,
        known: &mut Map<String, Value>,
    ) -> Result<bool, Error> {
        for (name, wanted) in &filter.with {
            if !self.attribute(w, wanted, event.get(name).unwrap_or(&Value::Null), see)? {
                return Ok(false);
            }
        }
        let mut news = Vec::new();
        for (name, from, expect) in &filter.correlate {
            let Ok(value) = self.eval(w, from, event, see) else { return Ok(false) };
            if value.is_null() {
                return Ok(false);
            }
            let expected = match (expect, known.get(name)) {
                (Some(t), _) => Some(self.fill(w, t, see.input.unwrap_or(&Value::Null), see)?),
                (None, k) => k.cloned(),
            };
            match expected {
                Some(e) if e != value => return Ok(false),
                Some(_) => {}
                None => news.push((name.clone(), value)),
            }
        }
        known.extend(news);
        Ok(true)
    }

    /// Whether the event satisfies the strategy's next filter, and whether it is the last.
    fn satisfies(
        &self,
        w: World<'_>,
        s: &Strategy,
        event: &Value,
        see: See<'_>,
        matched: &mut Vec<bool>,
        known: &mut Map<String, Value>,
    ) -> Result<(bool, bool), Error> {
        if s.filters.is_empty() {
            return Ok((true, true));
        }
        if s.mode != Mode::All {
            for f in &s.filters {
                if self.matches(w, f, event, see, known)? {
                    return Ok((true, true));
                }
            }
            return Ok((false, false));
        }
        matched.resize(s.filters.len(), false);
        for (f, done) in s.filters.iter().zip(matched.iter_mut()).filter(|(_, done)| !**done) {
            if self.matches(w, f, event, see, known)? {
                *done = true;
                return Ok((true, matched.iter().all(|m| *m)));
            }
        }
        Ok((false, false))
    }

    /// What an event means for a `listen` that has come as far as `hearing`.
    pub(crate) fn hear(&self, w: World<'_>, l: &Listen, hearing: &mut Hearing, event: &Value, see: See<'_>) -> Result<Heard, Error> {
        let (item, enough) = self.satisfies(w, &l.to, event, see, &mut hearing.matched, &mut hearing.correlation)?;
        let item = item.then(|| match l.read {
            Read::Data => event.get("data").cloned().unwrap_or(Value::Null),
            Read::Envelope => event.clone(),
        });
        if let Some(i) = &item {
            if l.each.is_some() && hearing.events.len() >= MAX_HEARD {
                hearing.events.remove(0);
            }
            hearing.events.push(i.clone());
        }
        let done = match &l.until {
            None => enough,
            Some(Until::Expr(e)) if item.is_some() => {
                let all = Value::Array(hearing.events.clone());
                self.truth(w, e, &all, see)?
            }
            Some(Until::Expr(_)) => false,
            Some(Until::Events(s)) => {
                let mut known = hearing.correlation.clone();
                self.satisfies(w, s, event, see, &mut hearing.until, &mut known)?.1
            }
        };
        Ok(Heard { item, done })
    }
}

/// A task that listens, for the engine to look what there is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subscription {
    /// The task's id.
    pub id: u64,
    /// It has heard all up to here.
    pub after: i64,
    /// Types of events; empty for any.
    pub kinds: Vec<String>,
}

impl State {
    /// Who listens for what, busy or not.
    pub(crate) fn ears(&self) -> Vec<(u64, Vec<String>)> {
        if self.outcome.is_some() {
            return Vec::new();
        }
        let ears = self.frames.iter().filter_map(|(id, f)| match &f.body {
            Body::Listen { kinds, .. } => Some((*id, kinds.clone())),
            _ => None,
        });
        ears.collect()
    }

    /// Who listens. One that is busy with an event hears the next when it is done with it.
    pub(crate) fn listens(&self) -> Vec<Subscription> {
        if self.outcome.is_some() {
            return Vec::new();
        }
        self.frames
            .iter()
            .filter_map(|(id, f)| match &f.body {
                Body::Listen { after, kinds, busy: false, .. } if self.holds.is_empty() || !self.held(*id) => {
                    Some(Subscription { id: *id, after: *after, kinds: kinds.clone() })
                }
                _ => None,
            })
            .collect()
    }
}

pub(super) fn waits_for(kinds: &[String]) -> String {
    if kinds.is_empty() { "any event".into() } else { crate::expr::shorten(&format!("an event: {}", kinds.join(", ")), 300) }
}

impl Stepper<'_> {
    pub(super) fn listen(&mut self, id: u64, l: &Listen) {
        let kinds = l.kinds().unwrap_or_default();
        let reason = waits_for(&kinds);
        let after = self.state.heard.unwrap_or(self.w.run.heard);
        self.become_(id, Body::Listen { hearing: Hearing::default(), after, kinds, busy: false, done: false, number: 0 });
        let until = self.state.frames.get(&id).and_then(|f| f.deadline);
        self.note(id, TaskStatus::Waiting, None, None, Some(Waiting { reason, since: self.w.now, until, paused: false }));
    }

    /// An event has come; or there was none up to `seq`.
    pub(super) fn heard(&mut self, id: u64, seq: i64, event: &Value) {
        let Some(frame) = self.state.frames.get(&id).cloned() else { return };
        let Some(task) = self.w.workflow.tasks.get(&frame.pointer).cloned() else { return };
        let (Kind::Listen(l), Body::Listen { mut hearing, after, kinds, busy: false, done: false, number }) =
            (&task.kind, frame.body.clone())
        else {
            return;
        };
        if seq <= after {
            return;
        }
        let vars = self.state.scope(frame.parent);
        let see = See { task: Some((&task, &frame)), input: Some(&frame.input), vars: Some(&vars), ..See::default() };
        let heard = match self.state.hear(self.w, l, &mut hearing, event, see) {
            Ok(h) => h,
            Err(e) => return self.fail(id, e),
        };
        let consumed = heard.item.is_some() || heard.done;
        if consumed {
            // The next `listen` of the run goes on behind it.
            self.state.heard = Some(self.state.heard.unwrap_or(seq).max(seq));
        }
        match (&l.each, heard.item) {
            (Some(each), Some(item)) => {
                let mut own = Map::new();
                own.insert(each.item.clone(), item.clone());
                own.insert(each.at.clone(), number.into());
                self.become_(id, Body::Listen { hearing, after: seq, kinds, busy: true, done: heard.done, number: number + 1 });
                self.note(id, TaskStatus::Running, None, None, None);
                let (pointer, path) = (format!("{}/foreach/do", frame.pointer), format!("{}[{number}]/foreach/do", frame.path));
                self.list(Some(id), pointer, path, item, own, frame.attempt, None);
            }
            _ if heard.done => self.complete(id, Value::Array(hearing.events), None),
            _ => {
                let n = hearing.events.len();
                if n > MAX_HEARD {
                    let e = super::data::error(
                        "runtime",
                        413,
                        "Too many events",
                        format!(
                            "more than {MAX_HEARD} events came before the listen ended; give it `until`, or handle them one by one with `foreach`"
                        ),
                    );
                    return self.fail(id, e);
                }
                if let Err(e) = limit(&Value::Array(hearing.events.clone()), MAX_VALUE, "the list of events") {
                    return self.fail(id, e);
                }
                self.become_(id, Body::Listen { hearing, after: seq, kinds, busy: false, done: false, number });
            }
        }
    }

    /// The iteration of a `foreach` has ended.
    pub(super) fn each_heard(&mut self, id: u64, output: Value) {
        let Some(frame) = self.state.frames.get(&id).cloned() else { return };
        let Some(task) = self.w.workflow.tasks.get(&frame.pointer).cloned() else { return };
        let (Kind::Listen(l), Body::Listen { mut hearing, after, kinds, done, number, .. }) = (&task.kind, frame.body.clone()) else {
            return;
        };
        let Some(each) = &l.each else { return };
        let w = self.w;
        let ended = (|| {
            let vars = self.state.scope(frame.parent);
            let see = See { task: Some((&task, &frame)), input: Some(&frame.input), vars: Some(&vars), ..See::default() };
            let output = match &each.output.expr {
                Some(t) => self.state.fill(w, t, &output, see)?,
                None => output,
            };
            check(&each.output, &output, "output")?;
            let context = match &each.export.expr {
                Some(t) => {
                    let c = self.state.fill(w, t, &output, See { output: Some(&output), ..see })?;
                    check(&each.export, &c, "export")?;
                    limit(&c, MAX_CONTEXT, "$context")?;
                    Some(c)
                }
                None => None,
            };
            Ok((output, context))
        })();
        match ended {
            Err(e) => self.fail(id, e),
            Ok((output, context)) => {
                if let Some(c) = context {
                    self.state.context = c;
                }
                // The event makes room for what came of it.
                if let Some(last) = hearing.events.last_mut() {
                    *last = output;
                }
                while super::size_of(&Value::Array(hearing.events.clone())) > MAX_VALUE / 2 && hearing.events.len() > 1 {
                    hearing.events.remove(0);
                }
                if done {
                    return self.complete(id, Value::Array(hearing.events), None);
                }
                let reason = waits_for(&kinds);
                self.become_(id, Body::Listen { hearing, after, kinds, busy: false, done: false, number });
                let waiting = Waiting { reason, since: self.w.now, until: frame.deadline, paused: false };
                self.note(id, TaskStatus::Waiting, None, None, Some(waiting));
            }
        }
    }
}
