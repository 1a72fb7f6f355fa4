//! Migrations: each crate brings its own ordered set; all are applied at start, in one transaction.

use crate::sql::{Db, Dialect};
use crate::{StoreError, now_ms, params};

/// One step of a crate's schema. Published steps never change; a later one corrects them.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The crate's short name, `store`, `cmdb`, ...
    pub set: &'static str,
    /// Counts from 1 within the set.
    pub version: i64,
    /// SQL for both dialects; see [`crate::sql`] for `{{json}}`, `{{blob}}` and `{{serial}}`. What only one of them has stands between a line
    /// `-- only sqlite` or `-- only postgres` and a line `-- both`.
    pub sql: &'static str,
}

/// Renders the dialect's own spelling.
pub fn render(dialect: Dialect, sql: &str) -> String {
    let (json, blob, serial, bytes) = match dialect {
        Dialect::Sqlite => ("TEXT", "BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT", ""),
        Dialect::Postgres => ("JSONB", "BYTEA", "BIGSERIAL PRIMARY KEY", " COLLATE \"C\""),
    };
    let sql = only(dialect, sql);
    // A column in an index that is compared with the ids of documents, which are ordered by bytes.
    let sql = sql.replace("{{bytes}}", bytes);
    sql.replace("{{json}}", json).replace("{{blob}}", blob).replace("{{serial}}", serial)
}

/// Drops the parts that are for the other database: from a line `-- only sqlite` or `-- only postgres` to the line `-- both`.
fn only(dialect: Dialect, sql: &str) -> String {
    let ours = if dialect == Dialect::Sqlite { "sqlite" } else { "postgres" };
    let mut keep = true;
    let mut out = String::with_capacity(sql.len());
    for line in sql.lines() {
        match (line.strip_prefix("-- only "), line) {
            (Some(whose), _) => keep = whose.trim() == ours,
            (None, "-- both") => keep = true,
            _ if keep => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    out
}

impl Db {
    /// Applies what is missing of `sets`, in their order. Several hosts may start at once: on PostgreSQL they take turns.
    pub async fn migrate(&self, sets: &[&[Migration]]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if self.dialect() == Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock(7305801)", &[]).await?;
        }
        tx.execute_script(
            "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT NOT NULL, version BIGINT NOT NULL, applied_at BIGINT NOT NULL, PRIMARY KEY (name, version))",
        )
        .await?;
        // A newer version may have changed what this one would read and write: better not to start than to damage it.
        for row in tx.fetch_all("SELECT name, MAX(version) AS version FROM schema_migrations GROUP BY name ORDER BY name", &[]).await? {
            let (name, found) = (row.text("name")?, row.int("version")?);
            let known = sets.iter().copied().flatten().filter(|m| m.set == name).map(|m| m.version).max();
            if known.is_some_and(|known| found > known) {
                return Err(StoreError::Newer { name, found, known: known.unwrap_or(0) });
            }
        }
        for m in sets.iter().copied().flatten() {
            let done = tx
                .fetch_optional("SELECT 1 AS one FROM schema_migrations WHERE name = ? AND version = ?", params![m.set, m.version])
                .await?;
            if done.is_some() {
                continue;
            }
            tx.execute_script(&render(self.dialect(), m.sql))
                .await
                .map_err(|e| StoreError::Migration { name: format!("{}/{}", m.set, m.version), source: Box::new(e) })?;
            tx.execute("INSERT INTO schema_migrations (name, version, applied_at) VALUES (?, ?, ?)", params![m.set, m.version, now_ms()])
                .await?;
        }
        tx.commit().await
    }
}
