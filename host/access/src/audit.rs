//! The audit log: every refusal and every write, with who, on whose behalf, what, before and after.

use plenum_store::{LaterTable, StoreError, Tx, Value, now_ms, params};
use serde::Serialize;

use crate::{Access, Actor, Denied, Principal, Touches};

/// One line of the audit log.
#[derive(Debug, Clone, Serialize)]
pub struct AuditEntry {
    /// Grows with time; the cursor of the list.
    pub seq: i64,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Who, in words: `plugin inspection-center for alice`.
    pub actor: String,
    /// `<domain>.<thing>.<verb>`, or the permission that was refused.
    pub action: String,
    /// What it was done to, `host/0197...`.
    pub target: String,
    /// False for a refusal.
    pub allowed: bool,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The record before, for a write.
    pub before: serde_json::Value,
    /// The record after, for a write.
    pub after: serde_json::Value,
}

/// Which lines to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Lines older than this `seq`.
    pub before_seq: Option<i64>,
    /// Lines of this exact target.
    pub target: Option<String>,
    /// Lines whose action starts so.
    pub action_prefix: Option<String>,
    /// Lines whose actor is named so.
    pub actor: Option<String>,
    /// At most 500.
    pub limit: u32,
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn insert(
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    target: &str,
    allowed: bool,
    reason: Option<&str>,
    before: Option<&serde_json::Value>,
    after: Option<&serde_json::Value>,
) -> Result<(), StoreError> {
    let actor_json = serde_json::to_value(actor).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let values = params![now_ms(), actor.to_string(), actor_json, action, target, allowed, reason, before.cloned(), after.cloned()];
    tx.insert_later(&TABLE, values);
    Ok(())
}

static TABLE: LaterTable = LaterTable {
    insert: "INSERT INTO audit_log (at, actor, actor_json, action, target, allowed, reason, before, after) VALUES ",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
    row_postgres: "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "",
    delete: "",
    first_postgres: "",
};

impl Access {
    pub(crate) async fn record_refusal(&self, who: &Principal, denied: &Denied, touches: Touches<'_>) -> Result<(), StoreError> {
        let target: Vec<String> = touches.iter().filter(|t| !crate::grant::is_promise(t)).map(|(k, v)| format!("{k}/{v}")).collect();
        let mut tx = self.db().begin().await?;
        insert(&mut tx, &who.actor(), denied.permission.name(), &target.join(" "), false, Some(&denied.reason), None, None)?;
        tx.commit().await
    }

    /// Lists the audit log, newest first. The caller checks [`crate::Permission::AuditRead`].
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let mut sql = String::from("SELECT seq, at, actor, action, target, allowed, reason, before, after FROM audit_log WHERE 1 = 1");
        let mut values: Vec<Value> = Vec::new();
        if let Some(seq) = query.before_seq {
            sql.push_str(" AND seq < ?");
            values.push(seq.into());
        }
        if let Some(target) = &query.target {
            sql.push_str(" AND target = ?");
            values.push(target.into());
        }
        if let Some(prefix) = &query.action_prefix {
            // A range, not LIKE: it needs no escaping.
            sql.push_str(&format!(" AND {}", plenum_store::sql::prefix_sql(self.db().dialect(), "action")));
            values.extend(plenum_store::sql::prefix_values(prefix));
        }
        if let Some(actor) = &query.actor {
            sql.push_str(" AND actor = ?");
            values.push(actor.into());
        }
        sql.push_str(" ORDER BY seq DESC LIMIT ?");
        values.push(i64::from(query.limit.clamp(1, 500)).into());
        let rows = self.db().fetch_all(&sql, &values).await?;
        rows.iter()
            .map(|r| {
                Ok(AuditEntry {
                    seq: r.int("seq")?,
                    at: r.int("at")?,
                    actor: r.text("actor")?,
                    action: r.text("action")?,
                    target: r.text("target")?,
                    allowed: r.bool("allowed")?,
                    reason: r.opt_text("reason")?,
                    before: r.json("before")?,
                    after: r.json("after")?,
                })
            })
            .collect()
    }
}
