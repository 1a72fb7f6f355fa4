//! Calls that the engine itself answers, some day: another run, a person's decision, a lock. A run that waits for nothing else leaves
//! memory; what answers wakes it.

use serde_json::Value;

use super::{Body, Call, State};
use crate::model::Waiting;

/// The engine's own actions.
const PARKED: &[&str] = &["workflow.run", "approval", "lock", "unlock", "rate"];

pub(super) fn is_parked(action: &str) -> bool {
    PARKED.contains(&action)
}

pub(super) fn reason(action: &str, args: &Value) -> String {
    let text = |key: &str| crate::expr::shorten(args.get(key).and_then(Value::as_str).unwrap_or("?"), 200);
    match action {
        "workflow.run" => format!("the end of the run of {}", text("name")),
        "approval" => format!("a decision: {}", text("title")),
        "lock" => format!("the lock {}", text("name")),
        "rate" => format!("its turn at {}", text("name")),
        other => format!("an answer of {other}"),
    }
}

impl State {
    /// Calls that the engine answers itself.
    pub fn parked(&self) -> Vec<Call> {
        if self.outcome.is_some() {
            return Vec::new();
        }
        self.pending(true)
    }

    /// What a parked call waits for.
    pub(super) fn parked_wait(action: &str, args: &Value, since: i64, until: Option<i64>) -> Waiting {
        Waiting { reason: reason(action, args), since, until, paused: false }
    }

    pub(super) fn pending(&self, parked: bool) -> Vec<Call> {
        self.frames
            .iter()
            .filter(|(id, _)| !self.results.contains_key(id))
            .filter_map(|(id, f)| match &f.body {
                Body::Call { key, action, args } if is_parked(action) == parked => Some(Call {
                    key: key.clone(),
                    id: *id,
                    path: f.path.clone(),
                    attempt: f.attempt,
                    action: action.clone(),
                    input: args.clone(),
                }),
                _ => None,
            })
            .collect()
    }
}
