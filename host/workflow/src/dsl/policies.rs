//! The parts of a definition that say what happens when things go wrong or take long: `catch`, `retry`, errors, time-outs.

use serde_json::Value;

use super::duration::{DurationSpec, millis};
use super::parse::{Parser, step};
use super::{Backoff, Catch, Retry, Template};
use crate::expr::inner;

impl Parser<'_> {
    pub(super) fn catch(&mut self, v: &Value, pointer: &str, scope: &[String], depth: usize) -> Option<Catch> {
        let c = self.object(v, pointer, "`catch`")?;
        self.only(c, pointer, &["errors", "as", "when", "exceptWhen", "retry", "do"]);
        let variable = self.variable(c.get("as"), &step(pointer, "as"), "error");
        let mut within = scope.to_vec();
        within.push(variable.clone());
        let mut with = Vec::new();
        if let Some(e) = c.get("errors") {
            let at = step(pointer, "errors");
            if let Some(e) = self.object(e, &at, "`errors`") {
                self.only(e, &at, &["with"]);
                if let Some(w) = e.get("with")
                    && let Some(w) = self.object(w, &step(&at, "with"), "`with`")
                {
                    self.only(w, &step(&at, "with"), &["type", "status", "title", "detail", "details", "instance"]);
                    for (k, v) in w {
                        let t = self.template(v, &step(&step(&at, "with"), k), scope);
                        // The schema says `details`, the error itself has `detail`.
                        with.push((if k == "details" { "detail".to_owned() } else { k.clone() }, t));
                    }
                }
            }
        }
        let when = c.get("when").and_then(|w| self.expression(w, &step(pointer, "when"), &within));
        let except_when = c.get("exceptWhen").and_then(|w| self.expression(w, &step(pointer, "exceptWhen"), &within));
        let retry = match c.get("retry") {
            None => None,
            Some(Value::String(name)) => match self.retries.get(name).cloned() {
                Some(r) => self.retry(&r, &step("/use/retries", name), &within),
                None => {
                    self.problem(&step(pointer, "retry"), format!("there is no retry policy `{name}` under use.retries"));
                    None
                }
            },
            Some(r) => self.retry(r, &step(pointer, "retry"), &within),
        };
        let handler = c.get("do").is_some();
        if let Some(tasks) = c.get("do") {
            self.list(tasks, &step(pointer, "do"), &within, depth + 1, true);
        }
        Some(Catch { with, variable, when, except_when, retry, handler })
    }

    pub(super) fn retry(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Option<Retry> {
        let r = self.object(v, pointer, "`retry`")?;
        self.only(r, pointer, &["when", "exceptWhen", "delay", "backoff", "limit", "jitter"]);
        // A reusable policy is checked where it stands, and again where it is used: only there is the error's variable known.
        let standing = pointer.starts_with("/use/") && scope.is_empty();
        let expression = |p: &mut Self, key: &str| {
            r.get(key).and_then(|w| if standing { inner_or_self(w) } else { p.expression(w, &step(pointer, key), scope) })
        };
        let when = expression(self, "when");
        let except_when = expression(self, "exceptWhen");
        let delay = r.get("delay").and_then(|d| self.duration(d, &step(pointer, "delay"), scope));
        let mut backoff = Backoff::Constant;
        if let Some(b) = r.get("backoff") {
            let at = step(pointer, "backoff");
            let b = self.object(b, &at, "`backoff`")?;
            self.only(b, &at, &["constant", "linear", "exponential"]);
            backoff = if b.contains_key("exponential") {
                Backoff::Exponential
            } else if b.contains_key("linear") {
                Backoff::Linear
            } else {
                Backoff::Constant
            };
        }
        let jitter = match r.get("jitter") {
            None => None,
            Some(j) => {
                let at = step(pointer, "jitter");
                let j = self.object(j, &at, "`jitter`")?;
                self.only(j, &at, &["from", "to"]);
                let (Some(from), Some(to)) = (j.get("from"), j.get("to")) else {
                    self.problem(&at, "`jitter` needs `from` and `to`");
                    return None;
                };
                Some((self.duration(from, &step(&at, "from"), scope)?, self.duration(to, &step(&at, "to"), scope)?))
            }
        };
        let (mut count, mut attempt_duration, mut duration) = (None, None, None);
        if let Some(l) = r.get("limit") {
            let at = step(pointer, "limit");
            let l = self.object(l, &at, "`limit`")?;
            self.only(l, &at, &["attempt", "duration"]);
            duration = l.get("duration").and_then(|d| self.duration(d, &step(&at, "duration"), scope));
            if let Some(a) = l.get("attempt") {
                let at = step(&at, "attempt");
                let a = self.object(a, &at, "`attempt`")?;
                self.only(a, &at, &["count", "duration"]);
                if let Some(c) = a.get("count") {
                    count = c.as_u64().and_then(|c| u32::try_from(c).ok());
                    if count.is_none() {
                        self.problem(&step(&at, "count"), "`count` is a whole number that is not negative");
                    }
                }
                attempt_duration = a.get("duration").and_then(|d| self.duration(d, &step(&at, "duration"), scope));
            }
        }
        Some(Retry { when, except_when, delay, backoff, jitter, count, attempt_duration, duration })
    }

    pub(super) fn error(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Template {
        self.error_shape(v, pointer);
        self.template(v, pointer, scope)
    }

    pub(super) fn error_shape(&mut self, v: &Value, pointer: &str) {
        if let Some(o) = self.object(v, pointer, "an error") {
            self.only(o, pointer, &["type", "status", "title", "detail", "instance"]);
            for field in ["type", "status"] {
                if !o.contains_key(field) {
                    self.problem(&step(pointer, field), format!("`{field}` is required in an error"));
                }
            }
            if o.get("status").is_some_and(|s| s.as_i64().is_none() && s.as_str().and_then(inner).is_none()) {
                self.problem(&step(pointer, "status"), "`status` is a whole number");
            }
        }
    }

    pub(super) fn timeout(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Option<DurationSpec> {
        match v {
            Value::String(name) => match self.timeouts.get(name).cloned() {
                Some(t) => self.timeout(&t, &step("/use/timeouts", name), scope),
                None => {
                    self.problem(pointer, format!("there is no timeout `{name}` under use.timeouts"));
                    None
                }
            },
            v => {
                let o = self.object(v, pointer, "`timeout`")?;
                self.only(o, pointer, &["after"]);
                match o.get("after") {
                    Some(d) => self.duration(d, &step(pointer, "after"), scope),
                    None => {
                        self.problem(&step(pointer, "after"), "`after` is required");
                        None
                    }
                }
            }
        }
    }

    pub(super) fn duration(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Option<DurationSpec> {
        if v.as_str().and_then(inner).is_some() {
            return self.expression(v, pointer, scope).map(DurationSpec::Expr);
        }
        match millis(v) {
            Ok(ms) => Some(DurationSpec::Fixed(ms)),
            Err(message) => {
                self.problem(pointer, message);
                None
            }
        }
    }
}

fn inner_or_self(v: &Value) -> Option<String> {
    let s = v.as_str()?;
    Some(inner(s).unwrap_or(s).to_owned())
}
