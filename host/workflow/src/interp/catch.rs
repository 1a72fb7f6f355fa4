//! What a `try` does with an error: let it pass, try again later, or handle it.

use serde_json::{Map, Value};

use super::data::{See, hash};
use super::step::{Error, Stepper};
use super::{Body, Frame, Phase};
use crate::dsl::{Backoff, Catch, ERRORS, Kind, Retry};
use crate::model::{TaskStatus, Waiting};

/// Longest pause between attempts, however the backoff grows.
const MAX_PAUSE: i64 = 86_400_000;
const MAX_ATTEMPTS: u32 = 10_000;

enum Decision {
    Escalate,
    Retry { until: i64, reason: String },
    Handle,
}

/// The name of a standard error. The specification's own documents write it with two prefixes.
fn standard(kind: &str) -> &str {
    kind.strip_prefix(ERRORS).or_else(|| kind.strip_prefix("https://serverlessworkflow.io/dsl/errors/types/")).unwrap_or(kind)
}

impl Stepper<'_> {
    pub(super) fn catch(&mut self, id: u64, error: Value, origin: u64) {
        let Some(frame) = self.state.frames.get(&id).cloned() else { return };
        let Some(task) = self.w.workflow.tasks.get(&frame.pointer).cloned() else { return };
        let (Kind::Try(catch), Body::Try { attempt, since, .. }) = (&task.kind, &frame.body) else { return };
        let mut vars = self.state.scope(frame.parent);
        vars.insert(catch.variable.clone(), error.clone());
        let see = See { task: Some((&task, &frame)), input: Some(&frame.input), vars: Some(&vars), ..See::default() };
        match self.decide(catch, &frame, see, &error, *attempt, *since) {
            Err(e) => self.fail(id, e),
            Ok(Decision::Escalate) => self.unwind(id, error, origin),
            Ok(Decision::Retry { until, reason }) => {
                self.state.faults.remove(&origin);
                let now = self.w.now;
                self.become_(
                    id,
                    Body::Try { phase: Phase::Pausing { until, reason: reason.clone(), since: now }, attempt: *attempt, since: *since },
                );
                let waiting = Waiting { reason, since: now, until: Some(until), paused: false };
                self.note(id, TaskStatus::Waiting, None, None, Some(waiting));
            }
            Ok(Decision::Handle) if catch.handler => {
                self.state.faults.remove(&origin);
                self.become_(id, Body::Try { phase: Phase::Handling, attempt: *attempt, since: *since });
                let mut own = Map::new();
                own.insert(catch.variable.clone(), error);
                let (pointer, path) = (format!("{}/catch/do", frame.pointer), format!("{}/catch/do", frame.path));
                self.list(Some(id), pointer, path, frame.input, own, frame.attempt, None);
            }
            Ok(Decision::Handle) => {
                self.state.faults.remove(&origin);
                self.complete(id, frame.input, None);
            }
        }
    }

    fn decide(&self, catch: &Catch, frame: &Frame, see: See<'_>, error: &Value, attempt: u32, since: i64) -> Result<Decision, Error> {
        let w = self.w;
        for (property, wanted) in &catch.with {
            let wanted = self.state.fill(w, wanted, &frame.input, see)?;
            let same = match (error.get(property), &wanted) {
                (Some(Value::String(a)), Value::String(b)) if property == "type" => standard(a) == standard(b),
                (a, b) => a.unwrap_or(&Value::Null) == b,
            };
            if !same {
                return Ok(Decision::Escalate);
            }
        }
        if let Some(e) = &catch.when
            && !self.state.truth(w, e, &frame.input, see)?
        {
            return Ok(Decision::Escalate);
        }
        if let Some(e) = &catch.except_when
            && self.state.truth(w, e, &frame.input, see)?
        {
            return Ok(Decision::Escalate);
        }
        let Some(retry) = &catch.retry else { return Ok(Decision::Handle) };
        let given_up = if catch.handler { Decision::Handle } else { Decision::Escalate };
        if let Some(e) = &retry.when
            && !self.state.truth(w, e, &frame.input, see)?
        {
            return Ok(given_up);
        }
        if let Some(e) = &retry.except_when
            && self.state.truth(w, e, &frame.input, see)?
        {
            return Ok(given_up);
        }
        if attempt > retry.count.unwrap_or(MAX_ATTEMPTS).min(MAX_ATTEMPTS) {
            return Ok(given_up);
        }
        let until = w.now + self.pause(retry, frame, see, attempt)?;
        if let Some(d) = &retry.duration
            && until - since > self.state.millis(w, d, &frame.input, see)?
        {
            return Ok(given_up);
        }
        let of = retry.count.map(|c| format!(" of {c}")).unwrap_or_default();
        let title = error.get("title").and_then(Value::as_str).unwrap_or("an error");
        Ok(Decision::Retry { until, reason: format!("retry {attempt}{of} after: {}", crate::expr::shorten(title, 200)) })
    }

    fn pause(&self, retry: &Retry, frame: &Frame, see: See<'_>, attempt: u32) -> Result<i64, Error> {
        let base = match &retry.delay {
            Some(d) => self.state.millis(self.w, d, &frame.input, see)?,
            None => 0,
        };
        let grown = match retry.backoff {
            Backoff::Constant => base,
            Backoff::Linear => base.saturating_mul(i64::from(attempt)),
            Backoff::Exponential => base.saturating_mul(1i64.checked_shl(attempt.saturating_sub(1)).filter(|n| *n > 0).unwrap_or(i64::MAX)),
        };
        let jitter = match &retry.jitter {
            None => 0,
            Some((from, to)) => {
                let from = self.state.millis(self.w, from, &frame.input, see)?;
                let to = self.state.millis(self.w, to, &frame.input, see)?.max(from);
                // Chance that repeats: the same state must give the same step.
                let h = hash(&[&self.w.run.id, &frame.path, &attempt.to_string(), "jitter"]);
                let n = u64::from_str_radix(h.get(..15).unwrap_or("0"), 16).unwrap_or(0);
                from + i64::try_from(n % (u64::try_from(to - from).unwrap_or(0) + 1)).unwrap_or(0)
            }
        };
        Ok(grown.saturating_add(jitter).clamp(0, MAX_PAUSE))
    }
}
