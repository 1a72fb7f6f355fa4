//! Expressions within a run: which variables they see, and errors as data.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Frame, State, World};
use crate::dsl::{DurationSpec, ERRORS, Task, Template};
use crate::expr::ExprError;

/// A Serverless Workflow error.
pub(crate) fn error(kind: &str, status: u16, title: &str, detail: impl Into<String>) -> Value {
    json!({ "type": format!("{ERRORS}{kind}"), "status": status, "title": title, "detail": detail.into() })
}

/// Sixteen bytes of a hash, as text: an idempotency key, or a source of repeatable chance.
pub(crate) fn hash(parts: &[&str]) -> String {
    let mut h = Sha256::new();
    for p in parts {
        h.update((p.len() as u64).to_le_bytes());
        h.update(p.as_bytes());
    }
    hex::encode(h.finalize().get(..16).unwrap_or_default())
}

/// About how long `v` is as JSON.
pub(crate) fn size(v: &Value) -> usize {
    match v {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(s) => s.len() + 2,
        Value::Array(a) => 2 + a.iter().map(|v| size(v) + 1).sum::<usize>(),
        Value::Object(o) => 2 + o.iter().map(|(k, v)| k.len() + 4 + size(v)).sum::<usize>(),
    }
}

pub(super) fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)).unwrap_or_default()
}

fn time(ms: i64) -> Value {
    json!({ "iso8601": rfc3339(ms), "epoch": { "seconds": ms.div_euclid(1000), "milliseconds": ms } })
}

/// The variables of one evaluation.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct See<'a> {
    /// The task and its frame.
    pub task: Option<(&'a Task, &'a Frame)>,
    /// `$input`.
    pub input: Option<&'a Value>,
    /// `$output`.
    pub output: Option<&'a Value>,
    /// `$task.output`.
    pub raw_output: Option<&'a Value>,
    /// Variables of `for` and `catch`.
    pub vars: Option<&'a Map<String, Value>>,
}

impl State {
    /// Variables that are visible in frame `id`, the innermost winning.
    pub(super) fn scope(&self, id: Option<u64>) -> Map<String, Value> {
        let mut all = Map::new();
        let mut at = id;
        while let Some(frame) = at.and_then(|id| self.frames.get(&id)) {
            for (k, v) in &frame.vars {
                if !all.contains_key(k) {
                    all.insert(k.clone(), v.clone());
                }
            }
            at = frame.parent;
        }
        all
    }

    pub(super) fn eval(&self, w: World<'_>, source: &str, on: &Value, see: See<'_>) -> Result<Value, Value> {
        let mut own: Vec<(&str, Value)> = Vec::new();
        if source.contains("$task") {
            own.push(("task", see.task.map_or(Value::Null, |(t, f)| {
                json!({ "name": t.name, "reference": t.pointer, "definition": t.source, "input": f.raw, "output": see.raw_output, "startedAt": time(f.started_at) })
            })));
        }
        if source.contains("$workflow") {
            own.push((
                "workflow",
                json!({ "id": w.run.id, "definition": w.workflow.source, "input": w.run.input, "startedAt": time(w.run.started_at) }),
            ));
        }
        if source.contains("$runtime") {
            own.push(("runtime", json!({ "name": "plenum", "version": env!("CARGO_PKG_VERSION"), "metadata": {} })));
        }
        let null = Value::Null;
        let mut vars: Vec<(&str, &Value)> = own.iter().map(|(k, v)| (*k, v)).collect();
        vars.push(("context", &self.context));
        vars.push(("input", see.input.unwrap_or(&null)));
        vars.push(("output", see.output.unwrap_or(&null)));
        if let Some(scope) = see.vars {
            vars.extend(scope.iter().map(|(k, v)| (k.as_str(), v)));
        }
        w.jq.eval(source, on, &vars).map_err(|e| {
            let title = match e {
                ExprError::Syntax { .. } => "Not a jq expression",
                ExprError::Failed(_) => "The expression failed",
                ExprError::Limit(_) => "The expression was stopped",
            };
            error("expression", 400, title, format!("{e} in `{}`", crate::expr::shorten(source, 200)))
        })
    }

    pub(super) fn truth(&self, w: World<'_>, source: &str, on: &Value, see: See<'_>) -> Result<bool, Value> {
        // As in jq: everything but false and null is true.
        Ok(!matches!(self.eval(w, source, on, see)?, Value::Null | Value::Bool(false)))
    }

    pub(super) fn fill(&self, w: World<'_>, template: &Template, on: &Value, see: See<'_>) -> Result<Value, Value> {
        Ok(match template {
            Template::Literal(v) => v.clone(),
            Template::Expr(e) => self.eval(w, e, on, see)?,
            Template::List(items) => Value::Array(items.iter().map(|t| self.fill(w, t, on, see)).collect::<Result<_, _>>()?),
            Template::Object(items) => {
                Value::Object(items.iter().map(|(k, t)| Ok((k.clone(), self.fill(w, t, on, see)?))).collect::<Result<_, Value>>()?)
            }
        })
    }

    pub(super) fn millis(&self, w: World<'_>, d: &DurationSpec, on: &Value, see: See<'_>) -> Result<i64, Value> {
        match d {
            DurationSpec::Fixed(ms) => Ok(*ms),
            DurationSpec::Expr(e) => {
                let v = self.eval(w, e, on, see)?;
                crate::dsl::duration::millis(&v)
                    .map_err(|m| error("expression", 400, "Not a duration", format!("{m} (from `{}`)", crate::expr::shorten(e, 100))))
            }
        }
    }
}
