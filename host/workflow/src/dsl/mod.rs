//! A definition, parsed once into types whose fields are all read.

pub mod duration;
pub mod hear;
mod http;
pub mod parse;
mod policies;
pub mod run;
pub mod schedule;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

pub use duration::DurationSpec;
pub use hear::Listen;
pub use http::OUTSIDE;
pub(crate) use http::{expand, is_literal, masked, unmasked};
pub use parse::{Known, parse};
pub use schedule::Start;

/// Prefix of the standard error types.
pub const ERRORS: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// A parsed workflow. Tasks are found by their JSON pointer, which is also what a run's state names them by.
#[derive(Debug)]
pub struct Workflow {
    /// The whole definition, for `$workflow.definition`.
    pub source: Value,
    /// `document.name`.
    pub name: String,
    /// `document.version`.
    pub version: String,
    /// `document.title`.
    pub title: Option<String>,
    /// `document.summary`.
    pub summary: Option<String>,
    /// `input`.
    pub input: Flow,
    /// `output`.
    pub output: Flow,
    /// `timeout`.
    pub timeout: Option<DurationSpec>,
    /// `schedule`
    pub start: Option<Start>,
    /// All tasks by pointer.
    pub tasks: HashMap<String, Arc<Task>>,
    /// All lists of tasks by pointer (`/do`, `/do/0/x/try`): the pointers of their tasks, in order.
    pub lists: HashMap<String, Arc<Vec<String>>>,
    /// `use.functions`: the task's pointer by name.
    pub functions: HashMap<String, String>,
}

/// A transformation and a check of data: `input.from`/`schema`, `output.as`/`schema`, `export.as`/`schema`.
#[derive(Debug, Default, Clone)]
pub struct Flow {
    /// `from` or `as`.
    pub expr: Option<Template>,
    /// `schema.document`, compiled.
    pub schema: Option<Schema>,
}

/// A compiled JSON Schema with its document.
#[derive(Clone)]
pub struct Schema {
    /// The document.
    pub document: Value,
    /// Compiled.
    pub validator: Arc<jsonschema::Validator>,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// What is wrong with `value`, if anything.
    pub fn problem(&self, value: &Value) -> Option<String> {
        let mut errors = self.validator.iter_errors(value);
        let first = errors.next()?;
        let more = errors.take(99).count();
        let at = first.instance_path().to_string();
        let text = crate::expr::shorten(&first.to_string(), 400);
        Some(format!(
            "{text} at {}{}",
            if at.is_empty() { "/" } else { &at },
            if more > 0 { format!(" (and {more} more)") } else { String::new() }
        ))
    }
}

/// A JSON value with expressions in it.
#[derive(Debug, Clone)]
pub enum Template {
    /// No expression within.
    Literal(Value),
    /// A jq program.
    Expr(String),
    /// A list with expressions in it.
    List(Vec<Template>),
    /// An object with expressions in it.
    Object(Vec<(String, Template)>),
}

/// Where to go after a task.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// To the next one.
    Continue,
    /// Out of the list; in a loop, on to the next item.
    Exit,
    /// The run ends.
    End,
    /// To a task of the same list.
    Task(String),
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// JSON pointer: `/do/0/plan`.
    pub pointer: String,
    /// Its name.
    pub name: String,
    /// Its definition, for `$task.definition`.
    pub source: Value,
    /// `if`.
    pub condition: Option<String>,
    /// `input`.
    pub input: Flow,
    /// `output`.
    pub output: Flow,
    /// `export`.
    pub export: Flow,
    /// `timeout`.
    pub timeout: Option<DurationSpec>,
    /// `then`.
    pub then: Then,
    /// What it does.
    pub kind: Kind,
}

/// What a task does. Lists are named by their pointers.
#[derive(Debug)]
pub enum Kind {
    /// `do`
    Do,
    /// `set`
    Set(Template),
    /// `call` of an action.
    Call {
        /// The action's name.
        action: String,
        /// Its input; without it the task's input.
        with: Option<Template>,
    },
    /// `call` of a function of `use.functions`.
    Function {
        /// Pointer of the function's task.
        pointer: String,
        /// Its input; without it the task's input.
        with: Option<Template>,
    },
    /// `run`: another workflow, or a process on nodes.
    Run {
        /// The action that does it.
        action: String,
        /// Its input.
        with: Template,
    },
    /// `listen`
    Listen(Box<Listen>),
    /// `emit`: the event's attributes.
    Emit(Template),
    /// `for`
    For {
        /// Variable of the item.
        each: String,
        /// Variable of the index.
        at: String,
        /// The collection.
        collection: String,
        /// Goes on while this is true.
        condition: Option<String>,
    },
    /// `fork`
    Fork {
        /// The first to end wins.
        compete: bool,
    },
    /// `switch`
    Switch(Vec<(Option<String>, Then)>),
    /// `try`
    Try(Box<Catch>),
    /// `wait`
    Wait(DurationSpec),
    /// `raise`
    Raise(Template),
}

impl Kind {
    /// As shown.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Do => "do",
            Kind::Set(_) => "set",
            Kind::Call { .. } | Kind::Function { .. } => "call",
            Kind::Run { .. } => "run",
            Kind::Listen(_) => "listen",
            Kind::Emit(_) => "emit",
            Kind::For { .. } => "for",
            Kind::Fork { .. } => "fork",
            Kind::Switch(_) => "switch",
            Kind::Try(_) => "try",
            Kind::Wait(_) => "wait",
            Kind::Raise(_) => "raise",
        }
    }
}

/// `catch`
#[derive(Debug)]
pub struct Catch {
    /// `errors.with`: properties that must be equal.
    pub with: Vec<(String, Template)>,
    /// `as`
    pub variable: String,
    /// `when`
    pub when: Option<String>,
    /// `exceptWhen`
    pub except_when: Option<String>,
    /// `retry`
    pub retry: Option<Retry>,
    /// `do` is present.
    pub handler: bool,
}

/// `retry`
#[derive(Debug, Clone)]
pub struct Retry {
    /// `when`
    pub when: Option<String>,
    /// `exceptWhen`
    pub except_when: Option<String>,
    /// `delay`
    pub delay: Option<DurationSpec>,
    /// `backoff`
    pub backoff: Backoff,
    /// `jitter.from`, `jitter.to`
    pub jitter: Option<(DurationSpec, DurationSpec)>,
    /// `limit.attempt.count`
    pub count: Option<u32>,
    /// `limit.attempt.duration`
    pub attempt_duration: Option<DurationSpec>,
    /// `limit.duration`
    pub duration: Option<DurationSpec>,
}

/// How the delay grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// It does not.
    Constant,
    /// By itself with each attempt.
    Linear,
    /// Twofold with each attempt.
    Exponential,
}
