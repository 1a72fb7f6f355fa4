//! Plugins: packages, catalog, grants, the WebAssembly engine and the host side of the contract in `wit/`.
//!
//! Thin where it meets a domain: each host interface turns the contract's types into a domain's and back; the rules stay there.

mod address;
mod atoms;
mod bindings;
mod breaker;
mod bucket;
mod call;
pub mod catalog;
mod changes;
pub mod compile;
mod data;
mod data_file;
mod dispatch;
mod engine;
pub mod error;
pub mod fake;
mod figures;
mod http;
mod install;
mod interfaces;
mod life;
pub mod logs;
mod meter;
mod notify;
mod otlp;
mod outgoing;
pub mod package;
mod plugin;
mod printed;
mod process;
mod redact;
mod secrets;
mod service;
mod stats;
#[cfg(test)]
mod tests;
mod trace;
mod upgrade;
mod watch;
mod web;

use std::sync::{Arc, OnceLock, Weak};

use plenum_access::Access;
use plenum_cmdb::Cmdb;
use plenum_jobs::Jobs;
use plenum_store::{Db, Documents, Events, Migration};
use plenum_workflow::Workflows;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use breaker::Quarantine;
pub use call::Limits;
pub use catalog::{CatalogEntry, CatalogSpec, CatalogStatus};
pub use data::{Export, ImportOptions, ImportReport, ImportedCollection, Upload};
pub use data_file::MEDIA_TYPE as DATA_MEDIA_TYPE;
pub use error::RuntimeError;
pub use figures::{Figure, FigureKind, Series};
pub use life::HostLimits;
pub use notify::{Notification, NotificationPage, NotificationQuery};
pub use otlp::TraceExport;
pub use secrets::forget_secret_settings;
pub use service::{Installed, Plugins, RuntimeConfig, Status};
pub use stats::{StatsSummary, Trap, Use};
pub use trace::{CallTrace, Span};
pub use upgrade::{PermissionChange, UpgradePlan, Version};
pub use watch::{Metrics, PermissionUse, TrapReport};

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration { set: "runtime", version: 1, sql: include_str!("../migrations/1.sql") },
    Migration { set: "runtime", version: 2, sql: include_str!("../migrations/2.sql") },
    Migration { set: "notifications", version: 1, sql: include_str!("../migrations/notifications_1.sql") },
];

/// The services that host interfaces and atoms use.
pub struct Services {
    pub(crate) db: Db,
    pub(crate) docs: Documents,
    pub(crate) access: Access,
    pub(crate) events: Events,
    pub(crate) cmdb: Cmdb,
    pub(crate) jobs: Jobs,
    pub(crate) logs: logs::Logs,
    pub(crate) tasks: TaskTracker,
    pub(crate) resolver: Arc<dyn outgoing::Resolve>,
    /// The gate of people's workflows.
    pub(crate) outside: outgoing::Gate,
    /// Places in the pool of the engine, for the calls of all plugins.
    pub(crate) pool: Arc<Semaphore>,
    /// Where traces go, if anywhere.
    pub(crate) exporter: Option<otlp::Exporter>,
    /// Set once, right after: workflows call actions and actions start workflows.
    workflows: OnceLock<Workflows>,
    /// Set once, right after: plugins call each other. Weak, or neither would ever go.
    plugins: OnceLock<Weak<service::Inner>>,
}

impl Services {
    /// A call has ended.
    pub(crate) fn traced(&self, life: &life::Life, trace: CallTrace) {
        let trace = Arc::new(trace);
        if let Some(e) = &self.exporter {
            e.send(trace.clone());
        }
        life.traces.keep(trace);
    }

    pub(crate) fn plugins(&self) -> Result<Plugins, RuntimeError> {
        let inner = self.plugins.get().and_then(Weak::upgrade);
        inner.map(|inner| Plugins { inner }).ok_or_else(|| RuntimeError::State("the host is stopping; try again in a moment".into()))
    }

    pub(crate) fn workflows(&self) -> Result<&Workflows, RuntimeError> {
        self.workflows.get().ok_or_else(|| RuntimeError::State("the host is still starting; try again in a moment".into()))
    }
}

pub(crate) fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
