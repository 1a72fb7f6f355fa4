//! Pools, migrations, documents, filters and the event outbox, on SQLite and PostgreSQL alike.
//!
//! Knows nothing of the domains above it. See `docs/architecture.md`.

pub mod documents;
pub mod error;
pub mod events;
pub mod filter;
pub mod later;
pub mod migrate;
pub mod secrets;
pub mod sql;
#[cfg(feature = "testing")]
#[allow(clippy::expect_used, clippy::panic)]
pub mod testing;

pub use documents::{
    Aggregate, Bucket, By, Change, CollectionSpec, Document, DocumentError, Documents, Group, Measure, Page, Query, Rewritten,
};
pub use error::StoreError;
pub use events::{Event, Events, NewEvent};
pub use filter::{Field, FieldKind, Filter, FilterError, Schema};
pub use later::{LaterTable, Savepoint};
pub use migrate::Migration;
pub use sql::{Db, Dialect, Row, Tx, Value};

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration { set: "store", version: 1, sql: include_str!("../migrations/1.sql") },
    Migration { set: "store", version: 2, sql: include_str!("../migrations/2.sql") },
    Migration { set: "store_rewrite", version: 1, sql: include_str!("../migrations/rewrite_1.sql") },
];

/// Milliseconds since the Unix epoch: the unit of every time in the database.
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A new identifier: UUIDv7 in its usual text form, so that ids sort by time of making.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
