//! Plugins: packages, catalog, grants, the WebAssembly engine and the host side of the contract in `wit/`.
//!
//! Thin where it meets a domain: each host interface turns the contract's types into a domain's and back; the rules stay there.

mod atoms;
mod bindings;
mod call;
mod catalog;
mod dispatch;
mod engine;
pub mod error;
mod http;
mod install;
mod interfaces;
pub mod logs;
mod meter;
mod outgoing;
pub mod package;
mod plugin;
mod service;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use plenum_access::Access;
use plenum_cmdb::Cmdb;
use plenum_jobs::Jobs;
use plenum_store::{Db, Documents, Events, Migration, StoreError};
use plenum_workflow::Workflows;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use call::{Limits, StatsSummary};
pub use catalog::CatalogEntry;
pub use error::RuntimeError;
pub use service::{Installed, Plugins, RuntimeConfig, Status};

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[Migration { set: "runtime", version: 1, sql: include_str!("../migrations/1.sql") }];

/// The services that host interfaces and atoms use.
pub struct Services {
    pub(crate) db: Db,
    pub(crate) docs: Documents,
    pub(crate) access: Access,
    pub(crate) events: Events,
    pub(crate) cmdb: Cmdb,
    pub(crate) jobs: Jobs,
    pub(crate) logs: logs::Logs,
    pub(crate) quota: Quota,
    pub(crate) tasks: TaskTracker,
    /// Places in the pool of the engine, for the calls of all plugins.
    pub(crate) pool: Arc<Semaphore>,
    /// Set once, right after: workflows call actions and actions start workflows.
    workflows: OnceLock<Workflows>,
}

impl Services {
    pub(crate) fn workflows(&self) -> Result<&Workflows, RuntimeError> {
        self.workflows.get().ok_or_else(|| RuntimeError::State("the host is still starting; try again in a moment".into()))
    }
}

/// How much each plugin stores, asked of the database at most once in a while: summing is not free.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    known: Mutex<HashMap<String, (Instant, bool)>>,
}

impl Quota {
    pub(crate) async fn exceeded(&self, docs: &Documents, plugin: &str) -> Result<bool, StoreError> {
        const FRESH: Duration = Duration::from_secs(10);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(plugin).copied();
        if let Some((at, exceeded)) = known
            && at.elapsed() < FRESH
        {
            return Ok(exceeded);
        }
        let exceeded = docs.usage(&format!("plugin/{plugin}/")).await? > plugin::STORE_QUOTA;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(plugin.to_owned(), (Instant::now(), exceeded));
        Ok(exceeded)
    }
}

pub(crate) fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
