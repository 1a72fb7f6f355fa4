//! What jobs refuse or fail at.

use plenum_access::AccessError;

use plenum_store::StoreError;

/// An error of the job service.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The check said no.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The CMDB could not resolve the targets.
    #[error("{message}")]
    Cmdb {
        /// The CMDB's own code.
        code: &'static str,
        /// The CMDB's own words.
        message: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such thing, or one that the caller may not see.
    #[error("there is no {what} {id}; it may have been removed, or the id is mistyped")]
    NotFound {
        /// `execution`, `node`, ...
        what: &'static str,
        /// As asked.
        id: String,
    },
    /// A field of a request is wrong.
    #[error("{field}: {message}")]
    Invalid {
        /// Stable code.
        code: &'static str,
        /// JSON pointer into the request.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The targets come to nothing.
    #[error("no target: {0}")]
    NoTargets(String),
    /// The idempotency key was used for another request.
    #[error("key {key:?} already stands for execution {execution} with another request; use a new key for a new request")]
    KeyConflict {
        /// The key.
        key: String,
        /// What it stands for.
        execution: String,
    },
    /// Too much at once.
    #[error("{0} executions are not finished yet, and no more are taken; wait for some to end or cancel them")]
    Busy(usize),
    /// The execution is over.
    #[error("execution {0} is finished; there is nothing left to cancel")]
    AlreadyFinished(String),
    /// An enrolment was refused.
    #[error("{0}")]
    Enrolment(String),
    /// A rule blocks the script.
    #[error("the script is not run: {}", .0.iter().map(|f| format!("line {}: {} ({})", f.line, f.title.to_lowercase(), f.rule)).collect::<Vec<_>>().join("; "))]
    Blocked(Vec<crate::safety::Finding>),
    /// The execution does not wait for approval.
    #[error("execution {0} does not wait for approval (any more); look at it again")]
    NotWaiting(String),
    /// What was looked at is not what would run.
    #[error("what would run is not what was looked at; open execution {0} again and decide about what is there")]
    ApprovalChanged(String),
    /// The node is not connected.
    #[error("node {0} is offline; the request needs its agent: start it, then repeat")]
    NodeOffline(String),
    /// The node was revoked.
    #[error("node {0} is revoked; enrol the machine again with a new token")]
    NodeRevoked(String),
    /// The certificate authority's files cannot be used.
    #[error("certificate authority: {0}")]
    Ca(String),
    /// The agent port failed.
    #[error("agent port: {0}")]
    Server(String),
    /// The service is shutting down.
    #[error("the host is shutting down; repeat the request when it is back")]
    ShuttingDown,
}

impl JobsError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            JobsError::Access(e) => e.code(),
            JobsError::Store(_) => "jobs.database",
            JobsError::Cmdb { code, .. } => code,
            JobsError::NotFound { what: "node", .. } => "jobs.unknown_node",
            JobsError::NotFound { what: "policy", .. } => "jobs.unknown_policy",
            JobsError::NotFound { what: "rule", .. } => "jobs.unknown_rule",
            JobsError::NotFound { .. } => "jobs.unknown_execution",
            JobsError::Invalid { code, .. } => code,
            JobsError::NoTargets(_) => "jobs.no_targets",
            JobsError::KeyConflict { .. } => "jobs.key_conflict",
            JobsError::Busy(_) => "jobs.busy",
            JobsError::AlreadyFinished(_) => "jobs.already_finished",
            JobsError::Enrolment(_) => "jobs.enrolment_refused",
            JobsError::Blocked(_) => "jobs.script_blocked",
            JobsError::NotWaiting(_) => "jobs.not_waiting",
            JobsError::ApprovalChanged(_) => "jobs.approval_changed",
            JobsError::NodeOffline(_) => "jobs.node_offline",
            JobsError::NodeRevoked(_) => "jobs.node_revoked",
            JobsError::Ca(_) => "jobs.ca",
            JobsError::Server(_) => "jobs.server",
            JobsError::ShuttingDown => "jobs.shutting_down",
        }
    }

    pub(crate) fn invalid(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> JobsError {
        JobsError::Invalid { code, field: field.into(), message: message.into() }
    }
}
