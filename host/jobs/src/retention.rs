//! What becomes of executions that nobody will look at again.

use plenum_store::{Value, now_ms, params};

use crate::{Jobs, JobsError};

/// Executions that one transaction deletes. An execution can have thousands of targets with megabytes of output each, and nobody
/// else writes while SQLite deletes them.
const BATCH: i64 = 10;

impl Jobs {
    /// Deletes executions that finished longer ago than [`crate::JobsConfig::keep`], with results and output, oldest first. Their
    /// keys are free again afterwards. Returns how many were deleted.
    pub async fn prune(&self) -> Result<u64, JobsError> {
        let inner = &self.inner;
        let before = now_ms() - i64::try_from(inner.config.keep.as_millis()).unwrap_or(i64::MAX);
        let mut deleted = 0;
        loop {
            let old = "SELECT id FROM job_executions WHERE finished_at < ? ORDER BY finished_at LIMIT ?";
            let rows = inner.db.fetch_all(old, params![before, BATCH]).await?;
            if rows.is_empty() || inner.stop.is_cancelled() {
                return Ok(deleted);
            }
            let ids = rows.iter().map(|r| Ok(Value::from(r.text("id")?))).collect::<Result<Vec<_>, plenum_store::StoreError>>()?;
            let marks = vec!["?"; ids.len()].join(", ");
            let mut tx = inner.db.begin().await?;
            for (table, column) in [("job_output", "execution_id"), ("job_targets", "execution_id"), ("job_executions", "id")] {
                let n = tx.execute(&format!("DELETE FROM {table} WHERE {column} IN ({marks})"), &ids).await?;
                deleted += if table == "job_executions" { n } else { 0 };
            }
            tx.commit().await?;
        }
    }
}
