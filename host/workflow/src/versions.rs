//! Earlier texts of a workflow: what a run runs, and what changed since.

use plenum_access::{Permission, Principal};
use plenum_store::params;

use crate::error::WorkflowError;
use crate::model::Page;
use crate::service::{Workflows, page, page_size};

/// One version of a workflow's text.
#[derive(Debug, Clone)]
pub struct Version {
    /// Counts from 1.
    pub version: i64,
    /// When it was saved.
    pub created_at: i64,
    /// The text as it was saved; empty in lists.
    pub source: String,
}

impl Workflows {
    /// Versions of a workflow, the newest first. They outlive the workflow, for its runs.
    pub async fn versions(&self, who: &Principal, name: &str, before: Option<i64>, limit: u32) -> Result<Page<Version>, WorkflowError> {
        self.allow(who, Permission::WorkflowRead, name).await?;
        let total = self.count("SELECT COUNT(*) AS n FROM workflow_versions WHERE name = ?", &[name.into()]).await?;
        if total == 0 {
            return Err(WorkflowError::NotFound(format!("workflow {name}")));
        }
        let limit = page_size(limit);
        let rows = self
            .engine
            .db
            .fetch_all(
                "SELECT version, created_at FROM workflow_versions WHERE name = ? AND version < ? ORDER BY version DESC LIMIT ?",
                params![name, before.unwrap_or(i64::MAX), limit + 1],
            )
            .await?;
        let items = rows
            .iter()
            .map(|r| Ok(Version { version: r.int("version")?, created_at: r.int("created_at")?, source: String::new() }))
            .collect::<Result<Vec<_>, plenum_store::StoreError>>()?;
        Ok(page(items, limit, total, |v| v.version.to_string()))
    }

    /// One version with its text.
    pub async fn version(&self, who: &Principal, name: &str, version: i64) -> Result<Version, WorkflowError> {
        self.allow(who, Permission::WorkflowRead, name).await?;
        let row = self
            .engine
            .db
            .fetch_optional(
                "SELECT version, created_at, source FROM workflow_versions WHERE name = ? AND version = ?",
                params![name, version],
            )
            .await?
            .ok_or_else(|| WorkflowError::NotFound(format!("version {version} of workflow {name}")))?;
        Ok(Version { version: row.int("version")?, created_at: row.int("created_at")?, source: row.text("source")? })
    }
}
