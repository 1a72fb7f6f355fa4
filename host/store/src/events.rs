//! The outbox: a change writes its CloudEvent in the same transaction; subscribers read from here, each with a cursor.
//!
//! `seq` grows in the order of commits, so that a reader who has seen `seq` has seen all before it. SQLite has one writer; on
//! PostgreSQL an advisory lock, held from the first event of a transaction to its commit, gives the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::later::LaterTable;
use crate::sql::{Db, Dialect, Row, Tx, Value, prefix_sql, prefix_values};
use crate::{StoreError, new_id, now_ms, params};

/// An event to be written. CloudEvents 1.0 names: `kind` is its `type`.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// `plenum.<domain>.<thing>.<what happened>`, past tense: `plenum.cmdb.instance.updated`.
    pub kind: String,
    /// Who says so: `/cmdb`, `/plugins/inspection-center`.
    pub source: String,
    /// What it is about: `host/0197...`.
    pub subject: String,
    /// What a subscriber needs to decide whether it cares. Never a secret.
    pub data: serde_json::Value,
}

/// An event that was written.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Its place in the order of commits.
    pub seq: i64,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `subject`.
    pub subject: String,
    /// Milliseconds since the Unix epoch.
    pub time: i64,
    /// CloudEvents `data`.
    pub data: serde_json::Value,
}

impl Event {
    /// The CloudEvents 1.0 JSON form.
    pub fn cloud_event(&self) -> serde_json::Value {
        let time =
            chrono::DateTime::from_timestamp_millis(self.time).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        serde_json::json!({
            "specversion": "1.0", "id": self.id, "type": self.kind, "source": self.source, "subject": self.subject, "time": time,
            "datacontenttype": "application/json", "data": self.data, "sequence": self.seq.to_string(),
        })
    }
}

/// Largest `data` of an event, as JSON text.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// Events older than this are dropped by [`Events::prune`],
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// and so are those beyond this many.
pub const RETENTION_ROWS: i64 = 1_000_000;

const LOCK: &str = "SELECT pg_advisory_xact_lock(7305802)";

/// Wakes the waiters of this process. One for each database, found by its identity, so that a transaction need not carry it.
fn wakers() -> &'static Mutex<HashMap<usize, Arc<watch::Sender<u64>>>> {
    static WAKERS: OnceLock<Mutex<HashMap<usize, Arc<watch::Sender<u64>>>>> = OnceLock::new();
    WAKERS.get_or_init(Mutex::default)
}

fn waker(key: usize) -> Arc<watch::Sender<u64>> {
    let mut map = wakers().lock().unwrap_or_else(PoisonError::into_inner);
    map.entry(key).or_insert_with(|| Arc::new(watch::Sender::new(0))).clone()
}

/// Writes an event within the transaction of the change that it tells of.
pub async fn emit(tx: &mut Tx, event: NewEvent) -> Result<(), StoreError> {
    let values = row_of(event)?;
    if tx.dialect() == Dialect::Postgres {
        tx.execute(LOCK, &[]).await?;
    }
    tx.execute(&format!("{}{}", TABLE.insert, TABLE.row), &values).await?;
    wake_after(tx);
    Ok(())
}

/// The same at the very end of the transaction, with others in one statement: for those who write many. Its place among events is after those
/// that the transaction emits at once.
pub fn emit_later(tx: &mut Tx, event: NewEvent) -> Result<(), StoreError> {
    let values = row_of(event)?;
    tx.insert_later(&TABLE, &values);
    wake_after(tx);
    Ok(())
}

static TABLE: LaterTable = LaterTable {
    insert: "INSERT INTO events (id, kind, source, subject, time, data) VALUES ",
    row: "(?, ?, ?, ?, ?, ?)",
    row_postgres: "(?, ?, ?, ?, ?, ?)",
    tail: "",
    delete: "",
    first_postgres: LOCK,
};

fn row_of(event: NewEvent) -> Result<Vec<Value>, StoreError> {
    if event.data.to_string().len() > MAX_EVENT_BYTES {
        return Err(StoreError::TooLarge(format!(
            "the event {} of {} has more than {MAX_EVENT_BYTES} bytes of data",
            event.kind, event.subject
        )));
    }
    Ok(params![new_id(), event.kind, event.source, event.subject, now_ms(), event.data].to_vec())
}

fn wake_after(tx: &mut Tx) {
    let waker = waker(tx.database());
    tx.after_commit(move || waker.send_modify(|n| *n += 1));
}

/// Reads the outbox. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    db: Db,
    waker: Arc<watch::Sender<u64>>,
}

impl Events {
    /// On an opened and migrated database.
    pub fn new(db: Db) -> Events {
        Events { waker: waker(db.identity()), db }
    }

    /// Up to `limit` (at most 1,000) events after `after`, oldest first; of kinds that start with one of `kinds`, or all when
    /// that is empty.
    pub async fn read(&self, after: i64, limit: u32, kinds: &[String]) -> Result<Vec<Event>, StoreError> {
        let mut sql = "SELECT seq, id, kind, source, subject, time, data FROM events WHERE seq > ?".to_owned();
        let mut values: Vec<Value> = vec![after.into()];
        if !kinds.is_empty() {
            let one = prefix_sql(self.db.dialect(), "kind");
            sql.push_str(&format!(" AND ({})", vec![one; kinds.len()].join(" OR ")));
            values.extend(kinds.iter().flat_map(|k| prefix_values(k)));
        }
        sql.push_str(" ORDER BY seq LIMIT ?");
        values.push(limit.clamp(1, 1000).into());
        self.db.fetch_all(&sql, &values).await?.iter().map(event).collect()
    }

    /// The `seq` of the newest event, 0 when there is none.
    pub async fn latest(&self) -> Result<i64, StoreError> {
        let row = self.db.fetch_optional("SELECT MAX(seq) AS seq FROM events", &[]).await?;
        Ok(row.map(|r| r.opt_int("seq")).transpose()?.flatten().unwrap_or(0))
    }

    /// The `seq` before the oldest kept event: a cursor below it has missed something.
    pub async fn horizon(&self) -> Result<i64, StoreError> {
        let row = self.db.fetch_optional("SELECT MIN(seq) AS seq FROM events", &[]).await?;
        Ok(row.map(|r| r.opt_int("seq")).transpose()?.flatten().map_or(0, |s| s - 1))
    }

    /// A handle that notices new events. Take it before reading, so that nothing falls between.
    pub fn listen(&self) -> Listener {
        let mut changed = self.waker.subscribe();
        changed.mark_unchanged();
        Listener { changed, shared: self.db.dialect() == Dialect::Postgres }
    }

    /// Waits until there is an event after `after`, or `timeout` is over; answers whether there is one.
    pub async fn wait(&self, after: i64, timeout: Duration) -> Result<bool, StoreError> {
        let mut listener = self.listen();
        let end = tokio::time::Instant::now() + timeout;
        loop {
            if self.latest().await? > after {
                return Ok(true);
            }
            if tokio::time::timeout_at(end, listener.changed()).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// Where the durable subscriber `name` is; a new one starts at the newest event.
    pub async fn cursor(&self, name: &str) -> Result<i64, StoreError> {
        if let Some(row) = self.db.fetch_optional("SELECT seq FROM event_cursors WHERE name = ?", params![name]).await? {
            return row.int("seq");
        }
        let latest = self.latest().await?;
        self.db
            .execute(
                "INSERT INTO event_cursors (name, seq, updated_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
                params![name, latest, now_ms()],
            )
            .await?;
        Ok(latest)
    }

    /// Remembers that the subscriber `name` has handled everything up to `seq`.
    pub async fn advance(&self, name: &str, seq: i64) -> Result<(), StoreError> {
        self.db
            .execute(
                "INSERT INTO event_cursors (name, seq, updated_at) VALUES (?, ?, ?)
                 ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at WHERE event_cursors.seq < excluded.seq",
                params![name, seq, now_ms()],
            )
            .await?;
        Ok(())
    }

    /// Forgets a subscriber.
    pub async fn forget(&self, name: &str) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM event_cursors WHERE name = ?", params![name]).await?;
        Ok(())
    }

    /// Drops what is past retention. Run it from time to time. The newest event stays, however old: without it nobody could tell a cursor that
    /// has seen all from one that has missed something.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let oldest = now_ms() - i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
        let latest = self.latest().await?;
        let sql = "DELETE FROM events WHERE (time < ? OR seq <= ?) AND seq < ?";
        self.db.execute(sql, params![oldest, latest - RETENTION_ROWS, latest]).await
    }
}

/// Notices new events; see [`Events::listen`].
#[derive(Debug)]
pub struct Listener {
    changed: watch::Receiver<u64>,
    /// Another process may write to the same database: then also wake by the clock.
    shared: bool,
}

impl Listener {
    /// Returns when there may be new events.
    pub async fn changed(&mut self) {
        let by_clock = if self.shared { Duration::from_millis(500) } else { Duration::from_secs(5) };
        let _ = tokio::time::timeout(by_clock, self.changed.changed()).await;
    }
}

fn event(r: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        seq: r.int("seq")?,
        id: r.text("id")?,
        kind: r.text("kind")?,
        source: r.text("source")?,
        subject: r.text("subject")?,
        time: r.int("time")?,
        data: r.json("data")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tick(n: i64) -> NewEvent {
        NewEvent {
            kind: format!("plenum.test.{}", if n % 2 == 0 { "even" } else { "odd" }),
            source: "/test".into(),
            subject: n.to_string(),
            data: n.into(),
        }
    }

    crate::both_databases! {
        async fn a_rolled_back_change_leaves_no_event(db: Db) {
            let events = Events::new(db.clone());
            let mut tx = db.begin().await.unwrap();
            emit(&mut tx, tick(1)).await.unwrap();
            tx.rollback().await.unwrap();
            assert!(events.read(0, 10, &[]).await.unwrap().is_empty());
        }

        async fn readers_miss_nothing_under_concurrent_writers(db: Db) {
            let events = Events::new(db.clone());
            let mut writers = tokio::task::JoinSet::new();
            for w in 0..8 {
                let db = db.clone();
                writers.spawn(async move {
                    for n in 0..10 {
                        let mut tx = db.begin().await.unwrap();
                        emit(&mut tx, tick(w * 100 + n)).await.unwrap();
                        tx.commit().await.unwrap();
                    }
                });
            }
            let (mut seen, mut after) = (Vec::new(), 0);
            while seen.len() < 80 {
                assert!(events.wait(after, Duration::from_secs(30)).await.unwrap());
                for e in events.read(after, 7, &[]).await.unwrap() {
                    after = e.seq;
                    seen.push(e.subject);
                }
            }
            writers.join_all().await;
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 80);
            let odd = events.read(0, 1000, &["plenum.test.odd".into()]).await.unwrap();
            assert_eq!(odd.len(), 40);
        }

        async fn a_prefix_is_no_matter_of_language(db: Db) {
            let mut tx = db.begin().await.unwrap();
            for kind in ["plenum.job.done", "plenum.jobs", "plenumjob.x", "Plenum.job.x", "plenum.job-x", "plenum.jobß"] {
                emit(&mut tx, NewEvent { kind: kind.into(), ..tick(1) }).await.unwrap();
            }
            tx.commit().await.unwrap();
            let found = Events::new(db.clone()).read(0, 10, &["plenum.job.".into()]).await.unwrap();
            assert_eq!(found.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["plenum.job.done"]);
        }

        async fn cursors_only_move_forward(db: Db) {
            let events = Events::new(db.clone());
            assert_eq!(events.cursor("a").await.unwrap(), 0);
            events.advance("a", 7).await.unwrap();
            events.advance("a", 3).await.unwrap();
            assert_eq!(events.cursor("a").await.unwrap(), 7);
        }
    }
}
