//! Pools, migrations, documents, filters and the event outbox, on SQLite and PostgreSQL alike.
//!
//! Knows nothing of the domains above it. See `docs/architecture.md`.

pub mod error;
pub mod migrate;
pub mod sql;

pub use error::StoreError;
pub use migrate::Migration;
pub use sql::{Db, Dialect, Row, Tx, Value};

/// Milliseconds since the Unix epoch: the unit of every time in the database.
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A new identifier: UUIDv7 in its usual text form, so that ids sort by time of making.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
