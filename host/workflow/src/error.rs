//! What the workflow service refuses or fails at.

use plenum_access::{AccessError, Denied};
use plenum_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::action::ActionError;

/// One thing wrong in a definition, where it is.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer into the definition, `/do/0/plan/call`.
    pub pointer: String,
    /// What is wrong there and what to do.
    pub message: String,
}

/// An error of the workflow service.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// The check said no.
    #[error("{0}")]
    Denied(Denied),
    /// The definition does not hold.
    #[error("the workflow has {} problem(s), the first at {}: {}", .0.len(), .0.first().map_or("/", |p| p.pointer.as_str()), .0.first().map_or("", |p| p.message.as_str()))]
    Invalid(Vec<Problem>),
    /// There is no such thing, or the caller may not know of it.
    #[error("there is no {0}; list what there is, or check the spelling")]
    NotFound(String),
    /// The input of a run does not match the workflow's `input.schema`.
    #[error("the input does not match the workflow's input.schema: {0}")]
    Input(String),
    /// A name, cron expression, time zone or the like is wrong.
    #[error("{field}: {message}")]
    Argument {
        /// Which field.
        field: &'static str,
        /// What is wrong with it and what to do.
        message: String,
    },
    /// The thing exists already, changed meanwhile, or belongs to somebody else.
    #[error("{0}")]
    Conflict(String),
    /// Something is larger than the limit.
    #[error("{what} is {size} bytes, the limit is {limit}; pass a reference instead of the data")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Who started it can no longer act.
    #[error("{0}")]
    Principal(ActionError),
    /// The host is shutting down.
    #[error("the host is shutting down; try again when it is back")]
    Stopped,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WorkflowError {
    /// Stable code for the API.
    pub fn code(&self) -> &'static str {
        match self {
            WorkflowError::Denied(_) => "access.denied",
            WorkflowError::Invalid(_) => "workflow.invalid_definition",
            WorkflowError::NotFound(_) => "workflow.not_found",
            WorkflowError::Input(_) => "workflow.invalid_input",
            WorkflowError::Argument { .. } => "workflow.invalid_argument",
            WorkflowError::Conflict(_) => "workflow.conflict",
            WorkflowError::TooLarge { .. } => "workflow.too_large",
            WorkflowError::Principal(_) => "workflow.principal",
            WorkflowError::Stopped => "workflow.stopped",
            WorkflowError::Store(StoreError::Conflict { .. } | StoreError::Unique(_)) => "workflow.conflict",
            WorkflowError::Store(_) => "store.failed",
        }
    }

    /// The HTTP status that fits, for both doors.
    pub fn status(&self) -> u16 {
        match self {
            WorkflowError::Denied(_) | WorkflowError::Principal(_) => 403,
            WorkflowError::Invalid(_) | WorkflowError::Input(_) | WorkflowError::Argument { .. } => 422,
            WorkflowError::NotFound(_) => 404,
            WorkflowError::Conflict(_) | WorkflowError::Store(StoreError::Conflict { .. } | StoreError::Unique(_)) => 409,
            WorkflowError::TooLarge { .. } => 413,
            WorkflowError::Stopped => 503,
            WorkflowError::Store(_) => 500,
        }
    }
}

impl From<AccessError> for WorkflowError {
    fn from(e: AccessError) -> Self {
        match e {
            AccessError::Denied(d) => WorkflowError::Denied(d),
            AccessError::Store(e) => WorkflowError::Store(e),
            // The check answers nothing else.
            e => WorkflowError::Store(StoreError::Corrupt(e.to_string())),
        }
    }
}
