//! Named locks and paces, over all runs. A lock goes back when its run ends, however it ends.

use super::park::answer_parked;
use super::*;
use plenum_store::{Dialect, Tx, new_id};

/// One at a time looks at locks: on PostgreSQL two transactions would not see each other's.
async fn alone(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        tx.execute("SELECT pg_advisory_xact_lock(7305803)", &[]).await?;
    }
    Ok(())
}

/// Longest chain of runs that wait for each other's locks that is looked at.
const CHAIN: usize = 100;

/// Takes the lock, or a place in its queue: then there is no answer yet. A run that has it already has it.
pub(super) async fn take(
    tx: &mut Tx,
    run: &str,
    key: &str,
    name: &str,
    permits: i64,
) -> Result<Option<Result<Value, Value>>, WorkflowError> {
    alone(tx).await?;
    if tx
        .fetch_optional("SELECT 1 AS one FROM workflow_locks WHERE name = ? AND run_id = ? AND held = 1", params![name, run])
        .await?
        .is_some()
    {
        return Ok(Some(Ok(json!({ "name": name }))));
    }
    let row = tx
        .fetch_optional(
            "SELECT COUNT(*) AS n, CAST(COALESCE(SUM(held), 0) AS BIGINT) AS held FROM workflow_locks WHERE name = ?",
            params![name],
        )
        .await?;
    let (all, held) = match row {
        Some(r) => (r.int("n")?, r.int("held")?),
        None => (0, 0),
    };
    // Who comes later does not pass those who wait.
    let free = held < permits && all == held;
    if !free {
        // Would its holder wait for this run, directly or through others, both would wait for ever.
        let mut seen: Vec<String> = Vec::new();
        let mut look: Vec<String> = holders(tx, name).await?;
        while let Some(other) = look.pop() {
            if other == run {
                let detail =
                    format!("the lock {name} is held by a run that waits for a lock of this run; take locks in the same order everywhere");
                return Ok(Some(Err(failure("runtime", 409, "A circle of locks", &detail))));
            }
            if seen.len() >= CHAIN || seen.contains(&other) {
                continue;
            }
            for row in tx.fetch_all("SELECT name FROM workflow_locks WHERE run_id = ? AND held = 0", params![&other]).await? {
                look.extend(holders(tx, &row.text("name")?).await?);
            }
            seen.push(other);
        }
    }
    tx.execute(
        "INSERT INTO workflow_locks (id, name, run_id, key, permits, held, since) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![new_id(), name, run, key, permits, free, now_ms()],
    )
    .await?;
    Ok(free.then(|| Ok(json!({ "name": name }))))
}

async fn holders(tx: &mut Tx, name: &str) -> Result<Vec<String>, StoreError> {
    let rows = tx.fetch_all("SELECT run_id FROM workflow_locks WHERE name = ? AND held = 1 LIMIT 100", params![name]).await?;
    rows.iter().map(|r| r.text("run_id")).collect()
}

/// Gives back what the run has (of one call, of one name, or all), and hands it on to who waits longest.
pub(super) async fn release(
    tx: &mut Tx,
    run: &str,
    key: Option<&str>,
    name: Option<&str>,
    pokes: &mut Vec<String>,
) -> Result<(), WorkflowError> {
    alone(tx).await?;
    let rows = tx
        .fetch_all(
            "SELECT DISTINCT name FROM workflow_locks WHERE run_id = ? AND (? IS NULL OR key = ?) AND (? IS NULL OR name = ?)",
            params![run, key, key, name, name],
        )
        .await?;
    tx.execute(
        "DELETE FROM workflow_locks WHERE run_id = ? AND (? IS NULL OR key = ?) AND (? IS NULL OR name = ?)",
        params![run, key, key, name, name],
    )
    .await?;
    for row in rows {
        let name = row.text("name")?;
        loop {
            let held = holders(tx, &name).await?.len();
            let next = tx
                .fetch_optional(
                    "SELECT id, run_id, key, permits FROM workflow_locks WHERE name = ? AND held = 0 ORDER BY id LIMIT 1",
                    params![&name],
                )
                .await?;
            let Some(next) = next else { break };
            if i64::try_from(held).unwrap_or(i64::MAX) >= next.int("permits")? {
                break;
            }
            tx.execute("UPDATE workflow_locks SET held = 1, since = ? WHERE id = ?", params![now_ms(), next.text("id")?]).await?;
            answer_parked(tx, &next.text("key")?, &next.text("run_id")?, &Ok(json!({ "name": name })), pokes).await?;
        }
    }
    Ok(())
}

/// The time of the next place in a queue of which `limit` go on within `per` milliseconds.
pub(super) async fn slot(tx: &mut Tx, name: &str, limit: i64, per: i64) -> Result<i64, WorkflowError> {
    alone(tx).await?;
    let now = now_ms();
    let gap = (per / limit).max(1);
    let row = tx.fetch_optional("SELECT next_at FROM workflow_rates WHERE name = ?", params![name]).await?;
    let next = row.map(|r| r.int("next_at")).transpose()?.unwrap_or(0);
    // What was not used may be used up at once, as long as `limit` is not passed within `per`.
    let at = next.max(now - per + gap);
    let sql = "INSERT INTO workflow_rates (name, next_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at";
    tx.execute(sql, params![name, at + gap]).await?;
    Ok(at.max(now))
}
