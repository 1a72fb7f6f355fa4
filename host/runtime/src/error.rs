//! What the runtime refuses or fails at.

use plenum_access::AccessError;
use plenum_store::{DocumentError, StoreError};
use plenum_workflow::WorkflowError;

use crate::package::PackageError;

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The check said no.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no such plugin, package, action or file.
    #[error("{0}")]
    NotFound(String),
    /// A value breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// An action's input does not fit its schema.
    #[error("{0}")]
    Input(String),
    /// The state does not allow it.
    #[error("{0}")]
    State(String),
    /// The package cannot be used.
    #[error("{0}")]
    Package(String),
    /// The package cannot be read.
    #[error(transparent)]
    Archive(#[from] PackageError),
    /// The package's signature does not allow it.
    #[error("{0}")]
    Signature(String),
    /// A package or an index cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] crate::package::fetch::FetchError),
    /// What it requires, or who requires it, does not allow it.
    #[error("{0}")]
    Requires(String),
    /// The component cannot be used.
    #[error("{0}")]
    Component(String),
    /// Compiling the component took more than it may.
    #[error("{0}")]
    CompileLimit(String),
    /// A file of a plugin's data cannot be taken.
    #[error("{message}")]
    Data {
        /// Stable code.
        code: &'static str,
        /// The HTTP status that fits.
        status: u16,
        /// What is wrong, and where.
        message: String,
    },
    /// The component imports what the grant does not cover.
    #[error("the component imports what it was not granted: {}", .0.join("; "))]
    Ungranted(Vec<String>),
    /// More calls at once than the plugin may have.
    #[error("the plugin {plugin} is busy: its queue is full; try again in a moment")]
    Busy {
        /// The plugin.
        plugin: String,
    },
    /// A budget of the plugin is used up for now.
    #[error("{message}; try again in {retry_after_s} s")]
    Throttled {
        /// Stable code of the budget.
        code: &'static str,
        /// Which.
        message: String,
        /// When there is some again.
        retry_after_s: u64,
    },
    /// The plugin failed again and again, and is left alone for a while.
    #[error(
        "the plugin {plugin} is quarantined: {reason}; it is tried again in {retry_after_s} s, or when an administrator lifts the quarantine"
    )]
    Quarantined {
        /// The plugin.
        plugin: String,
        /// What happened.
        reason: String,
        /// When it is tried again.
        retry_after_s: u64,
    },
    /// A new version failed and the one before is back.
    #[error("{plugin} {to} failed and was rolled back to {from}, with its data as it was: {reason}")]
    RolledBack {
        /// The plugin.
        plugin: String,
        /// The version that is back.
        from: String,
        /// The version that failed.
        to: String,
        /// What failed.
        reason: String,
    },
    /// The plugin used up its CPU time.
    #[error(
        "the plugin {plugin} computed longer than the {limit_ms} ms that a call may (call {call}); its author can ask for more under [limits] cpu_ms, or do the work in a workflow"
    )]
    CpuBudget {
        /// The plugin.
        plugin: String,
        /// The call.
        call: String,
        /// The limit.
        limit_ms: u64,
    },
    /// The plugin took too long by the clock.
    #[error(
        "the plugin {plugin} did not answer within {limit_ms} ms (call {call}); its author can ask for more under [limits] wall_ms, or do the work in a workflow"
    )]
    WallTime {
        /// The plugin.
        plugin: String,
        /// The call.
        call: String,
        /// The limit.
        limit_ms: u64,
    },
    /// The plugin wanted more memory than it may have.
    #[error(
        "the plugin {plugin} needed more than the {limit_mb} MiB that a call may have (call {call}); its author can ask for more under [limits] memory_mb, or work in smaller pages"
    )]
    Memory {
        /// The plugin.
        plugin: String,
        /// The call.
        call: String,
        /// The limit.
        limit_mb: usize,
    },
    /// The plugin wanted more of something else than it may have.
    #[error(
        "the plugin {plugin} {what} (call {call}); its author can do with less at once, or an administrator allow more under [plugins.limits] {key}"
    )]
    Limit {
        /// The plugin.
        plugin: String,
        /// The call.
        call: String,
        /// Stable code of the limit.
        code: &'static str,
        /// Its key in the host's configuration.
        key: &'static str,
        /// What it did.
        what: String,
    },
    /// The plugin failed.
    #[error("the plugin {plugin} failed (call {call}); its log has the reason")]
    Trap {
        /// The plugin.
        plugin: String,
        /// The call.
        call: String,
    },
    /// The plugin answered with an error of its own.
    #[error("{message}")]
    Plugin {
        /// Its code.
        code: String,
        /// Its status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// A workflow of the plugin is not valid.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// The store of documents refused.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Secret(#[from] plenum_store::secrets::SecretsError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that should not fail did.
    #[error("{0}")]
    Internal(String),
}

impl RuntimeError {
    /// Stable code.
    pub fn code(&self) -> &str {
        match self {
            RuntimeError::Access(e) => e.code(),
            RuntimeError::NotFound(_) => "plugin.not_found",
            RuntimeError::Invalid(_) => "plugin.invalid",
            RuntimeError::Input(_) => "plugin.input",
            RuntimeError::State(_) => "plugin.state",
            RuntimeError::Package(_) => "plugin.package",
            RuntimeError::Archive(e) => e.code(),
            RuntimeError::Signature(_) => "plugin.signature",
            RuntimeError::Fetch(e) => e.code(),
            RuntimeError::Requires(_) => "plugin.requires",
            RuntimeError::Component(_) => "plugin.component",
            RuntimeError::CompileLimit(_) => "plugin.compile_limit",
            RuntimeError::Ungranted(_) => "plugin.ungranted_import",
            RuntimeError::Busy { .. } => "plugin.busy",
            RuntimeError::Throttled { code, .. } | RuntimeError::Data { code, .. } => code,
            RuntimeError::Quarantined { .. } => "plugin.quarantined",
            RuntimeError::RolledBack { .. } => "plugin.rolled_back",
            RuntimeError::CpuBudget { .. } => "plugin.cpu_budget",
            RuntimeError::WallTime { .. } => "plugin.wall_time",
            RuntimeError::Memory { .. } => "plugin.memory",
            RuntimeError::Limit { code, .. } => code,
            RuntimeError::Trap { .. } => "plugin.trap",
            RuntimeError::Plugin { code, .. } => code,
            RuntimeError::Workflow(e) => e.code(),
            RuntimeError::Document(_) => "plugin.store",
            RuntimeError::Secret(_) => "plugin.secret",
            RuntimeError::Store(_) => "store.failed",
            RuntimeError::Internal(_) => "internal",
        }
    }

    /// Seconds after which it is worth to try again.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            RuntimeError::Busy { .. } => Some(1),
            RuntimeError::Throttled { retry_after_s, .. } | RuntimeError::Quarantined { retry_after_s, .. } => Some(*retry_after_s),
            _ => None,
        }
    }

    /// The HTTP status that fits.
    pub fn status(&self) -> u16 {
        match self {
            RuntimeError::Access(AccessError::Denied(_)) => 403,
            RuntimeError::NotFound(_) => 404,
            RuntimeError::Invalid(_)
            | RuntimeError::Input(_)
            | RuntimeError::Package(_)
            | RuntimeError::Archive(_)
            | RuntimeError::Component(_)
            | RuntimeError::CompileLimit(_)
            | RuntimeError::RolledBack { .. }
            | RuntimeError::Ungranted(_) => 422,
            RuntimeError::Fetch(crate::package::fetch::FetchError::Package(_)) => 422,
            RuntimeError::Fetch(_) => 502,
            RuntimeError::State(_) | RuntimeError::Requires(_) => 409,
            RuntimeError::Signature(_) => 403,
            RuntimeError::Busy { .. } | RuntimeError::Throttled { .. } => 429,
            RuntimeError::Quarantined { .. } => 503,
            RuntimeError::CpuBudget { .. } | RuntimeError::Memory { .. } | RuntimeError::Limit { .. } | RuntimeError::Trap { .. } => 502,
            RuntimeError::WallTime { .. } => 504,
            RuntimeError::Plugin { status, .. } | RuntimeError::Data { status, .. } => *status,
            RuntimeError::Workflow(e) => e.status(),
            RuntimeError::Document(e) => crate::interfaces::document_status(e),
            RuntimeError::Access(_) | RuntimeError::Secret(_) | RuntimeError::Store(_) | RuntimeError::Internal(_) => 500,
        }
    }
}
