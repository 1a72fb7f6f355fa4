//! Behaviour through `Workflows`, on both databases, and of the interpreter alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod approvals;
mod chaos;
mod engine;
mod insight;
mod language;
mod listen;
mod nested;
mod verbs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use plenum_access::{Access, Actor, Principal, Role, UserPrincipal};
use plenum_store::Db;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine::{Crash, Engine, EngineConfig};
use crate::{ActionContext, ActionError, ActionHost, ActionInfo, Workflows};

/// An action host for tests: honours keys as hosts must, and can be told how to behave.
#[derive(Default)]
pub(crate) struct Fake {
    /// What was done, by key: the answer is repeated for a key that is known.
    pub done: Mutex<HashMap<String, Value>>,
    /// Side effects in order: `(task path without attempts, input)`.
    pub effects: Mutex<Vec<(String, Value)>>,
    /// Users that are disabled.
    pub disabled: Mutex<Vec<String>>,
    /// Calls of `flaky` so far.
    pub failures: Mutex<u32>,
    /// Calls that saw their cancellation.
    pub cancelled: Mutex<Vec<String>>,
}

pub(crate) const ACTIONS: &[&str] =
    &["echo", "add", "fail", "flaky", "hang", "big", "panics", "event.publish", "my-plugin.plan", "job.process"];

#[async_trait]
impl ActionHost for Fake {
    fn describe(&self, name: &str) -> Option<ActionInfo> {
        ACTIONS.contains(&name).then(|| ActionInfo {
            name: name.into(),
            title: json!(name),
            description: json!(""),
            input_schema: None,
            output_schema: None,
        })
    }
    fn list(&self) -> Vec<ActionInfo> {
        ACTIONS.iter().filter_map(|n| self.describe(n)).collect()
    }
    async fn principal(&self, actor: &Actor) -> Result<Principal, ActionError> {
        match actor {
            Actor::User(u) if self.disabled.lock().unwrap().contains(&u.name) => {
                Err(ActionError::new("access.disabled", 403, "Disabled", format!("{} is disabled", u.name)))
            }
            Actor::User(u) => Ok(Principal::User(u.clone())),
            Actor::Plugin { id, .. } => Ok(plugin(id)),
            _ => Ok(Principal::System("test")),
        }
    }
    async fn call(&self, ctx: ActionContext, name: &str, input: Value) -> Result<Value, ActionError> {
        if let Some(v) = self.done.lock().unwrap().get(&ctx.key) {
            return Ok(v.clone());
        }
        let output = match name {
            "add" => json!(input["a"].as_i64().unwrap() + input["b"].as_i64().unwrap()),
            "fail" => return Err(ActionError::new("test.fail", input["status"].as_u64().unwrap_or(500) as u16, "It failed", "as asked")),
            "flaky" => {
                let mut n = self.failures.lock().unwrap();
                *n += 1;
                if u64::from(*n) <= input["times"].as_u64().unwrap() {
                    return Err(ActionError::new("test.flaky", 503, "Not yet", "try again").retryable());
                }
                json!({ "after": *n })
            }
            "hang" => {
                ctx.waiting.waiting("the end of days", None);
                ctx.cancel.cancelled().await;
                self.cancelled.lock().unwrap().push(ctx.task);
                return Err(ActionError::new("test.cancelled", 499, "Cancelled", ""));
            }
            "big" => json!("x".repeat(2 << 20)),
            "panics" => panic!("on purpose"),
            _ => input.clone(),
        };
        self.effects.lock().unwrap().push((ctx.task, input));
        self.done.lock().unwrap().insert(ctx.key, output.clone());
        Ok(output)
    }
}

pub(crate) fn plugin(id: &str) -> Principal {
    Principal::Plugin(plenum_access::PluginPrincipal { id: id.into(), grant: Arc::default(), on_behalf: None })
}

pub(crate) fn user(name: &str, role: Role) -> Principal {
    Principal::User(UserPrincipal { id: name.into(), name: name.into(), role })
}

pub(crate) fn operator() -> Principal {
    user("olga", Role::Operator)
}

pub(crate) struct House {
    pub workflows: Workflows,
    pub host: Arc<Fake>,
    pub stop: CancellationToken,
}

impl House {
    pub(crate) fn open(db: &Db) -> House {
        House::with(db, Arc::default(), None)
    }
    pub(crate) fn with(db: &Db, host: Arc<Fake>, crash: Option<Crash>) -> House {
        let engine = Engine::new(db.clone(), Access::new(db.clone()), host.clone(), EngineConfig::default(), crash);
        let workflows = Workflows { engine: Arc::new(engine) };
        let stop = CancellationToken::new();
        workflows.start_engine(stop.clone());
        House { workflows, host, stop }
    }
    pub(crate) fn bounded(db: &Db, config: EngineConfig) -> House {
        let host: Arc<Fake> = Arc::default();
        let workflows = Workflows::with_config(db.clone(), Access::new(db.clone()), host.clone(), config);
        let stop = CancellationToken::new();
        workflows.start_engine(stop.clone());
        House { workflows, host, stop }
    }
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.workflows.stopped().await;
    }
}

/// The head that every definition needs.
pub(crate) fn flow(body: &str) -> String {
    format!("document: {{dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}}\n{body}")
}
