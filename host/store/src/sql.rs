//! One small SQL layer over SQLite and PostgreSQL.
//!
//! Domains write each statement once, with `?` for parameters; this module renders the placeholders for the database at
//! hand and moves values in and out. What differs between the two databases stays visible through [`Db::dialect`].
//!
//! Column types are kept to a set both share: `BIGINT` (integers, booleans as 0/1, milliseconds since the Unix epoch), `DOUBLE
//! PRECISION`, `TEXT`, `BLOB`/`BYTEA`, and JSON (`TEXT` on SQLite, `JSONB` on PostgreSQL). In migrations the words
//! `{{json}}`, `{{blob}}` and `{{serial}}` stand for the dialect's own spelling.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Column, Connection as _, Postgres, Row as _, Sqlite, Transaction, TypeInfo};

use crate::error::StoreError;
use crate::later::Later;

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded SQLite, in WAL mode.
    Sqlite,
    /// PostgreSQL 14 or newer.
    Postgres,
}

/// A value bound to a `?`. `None` is a typed NULL, because PostgreSQL wants to know the type even of nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `BIGINT`.
    Int(Option<i64>),
    /// `DOUBLE PRECISION`.
    Real(Option<f64>),
    /// `TEXT`.
    Text(Option<String>),
    /// `BLOB` / `BYTEA`.
    Blob(Option<Vec<u8>>),
    /// JSON: `TEXT` on SQLite, `JSONB` on PostgreSQL.
    Json(Option<serde_json::Value>),
}

impl Value {
    /// A JSON value.
    pub fn json(v: &serde_json::Value) -> Value {
        Value::Json(Some(v.clone()))
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Int(Some(v))
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Value::Int(Some(v.into()))
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Value::Int(Some(v.into()))
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Int(Some(v.into()))
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Real(Some(v))
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(Some(v.to_owned()))
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(Some(v))
    }
}
impl From<&String> for Value {
    fn from(v: &String) -> Self {
        Value::Text(Some(v.clone()))
    }
}
impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Self {
        Value::Blob(Some(v))
    }
}
impl From<serde_json::Value> for Value {
    fn from(v: serde_json::Value) -> Self {
        Value::Json(Some(v))
    }
}
impl From<Option<i64>> for Value {
    fn from(v: Option<i64>) -> Self {
        Value::Int(v)
    }
}
impl From<Option<f64>> for Value {
    fn from(v: Option<f64>) -> Self {
        Value::Real(v)
    }
}
impl From<Option<String>> for Value {
    fn from(v: Option<String>) -> Self {
        Value::Text(v)
    }
}
impl From<Option<&str>> for Value {
    fn from(v: Option<&str>) -> Self {
        Value::Text(v.map(str::to_owned))
    }
}
impl From<Option<serde_json::Value>> for Value {
    fn from(v: Option<serde_json::Value>) -> Self {
        Value::Json(v)
    }
}

/// Builds a parameter list: `params![id, now, &name]`.
#[macro_export]
macro_rules! params {
    ($($v:expr),* $(,)?) => { &[$($crate::Value::from($v)),*][..] };
}

/// One row of an answer, read by column name or position.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $opt:ident, $ty:ty) => {
        $(#[$doc])*
        /// An error if the column is absent, NULL or of another type.
        pub fn $name(&self, column: &str) -> Result<$ty, StoreError> {
            self.$opt(column)?.ok_or_else(|| StoreError::Corrupt(format!("column {column} is NULL")))
        }
        $(#[$doc])*
        /// NULL becomes `None`.
        pub fn $opt(&self, column: &str) -> Result<Option<$ty>, StoreError> {
            Ok(match self {
                Row::Sqlite(r) => r.try_get::<Option<$ty>, _>(column)?,
                Row::Postgres(r) => r.try_get::<Option<$ty>, _>(column)?,
            })
        }
    };
}

impl Row {
    getter!(
        #[doc = "Reads a `BIGINT` column."]
        int,
        opt_int,
        i64
    );
    getter!(
        #[doc = "Reads a `DOUBLE PRECISION` column."]
        real,
        opt_real,
        f64
    );
    getter!(
        #[doc = "Reads a `TEXT` column."]
        text,
        opt_text,
        String
    );
    getter!(
        #[doc = "Reads a `BLOB`/`BYTEA` column."]
        blob,
        opt_blob,
        Vec<u8>
    );

    /// Reads a `BIGINT` column that holds 0 or 1.
    pub fn bool(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    /// Reads a JSON column; NULL becomes `Value::Null`.
    pub fn json(&self, column: &str) -> Result<serde_json::Value, StoreError> {
        Ok(match self {
            Row::Sqlite(r) => match r.try_get::<Option<String>, _>(column)? {
                None => serde_json::Value::Null,
                Some(s) => serde_json::from_str(&s).map_err(|e| StoreError::Corrupt(format!("column {column}: {e}")))?,
            },
            Row::Postgres(r) => r.try_get::<Option<serde_json::Value>, _>(column)?.unwrap_or(serde_json::Value::Null),
        })
    }

    /// Reads an integer or real column (an aggregate, say) as a number, whatever the database made of it.
    pub fn number(&self, column: &str) -> Result<Option<f64>, StoreError> {
        Ok(match self {
            Row::Sqlite(r) => match r.try_get::<Option<f64>, _>(column) {
                Ok(v) => v,
                Err(_) => r.try_get::<Option<i64>, _>(column)?.map(|v| v as f64),
            },
            Row::Postgres(r) => match r.try_get::<Option<f64>, _>(column) {
                Ok(v) => v,
                Err(_) => r.try_get::<Option<i64>, _>(column)?.map(|v| v as f64),
            },
        })
    }

    /// The names of the columns, in order, with the database's type names.
    pub fn columns(&self) -> Vec<(String, String)> {
        match self {
            Row::Sqlite(r) => r.columns().iter().map(|c| (c.name().to_owned(), c.type_info().name().to_owned())).collect(),
            Row::Postgres(r) => r.columns().iter().map(|c| (c.name().to_owned(), c.type_info().name().to_owned())).collect(),
        }
    }
}

/// A condition that `column` starts with a text; binds that text twice: see [`prefix_values`]. By code points on both databases: a
/// range in a language's collation, as PostgreSQL may have by default, does not mean prefix.
pub fn prefix_sql(dialect: Dialect, column: &str) -> String {
    let by_bytes = if dialect == Dialect::Postgres { " COLLATE \"C\"" } else { "" };
    format!("({column}{by_bytes} >= ? AND {column}{by_bytes} < ?)")
}

/// The two values that [`prefix_sql`] binds.
pub fn prefix_values(prefix: &str) -> [Value; 2] {
    [prefix.into(), format!("{prefix}\u{10FFFF}").into()]
}

/// Replaces `?` outside of quotes by `$1`, `$2`, ... for PostgreSQL. JSONB's own `?` operator is therefore not available; use
/// `jsonb_exists`.
pub(crate) fn placeholders(dialect: Dialect, sql: &str) -> String {
    if dialect == Dialect::Sqlite {
        return sql.to_owned();
    }
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut n, mut quote) = (0, None);
    for c in sql.chars() {
        match (quote, c) {
            (None, '?') => {
                n += 1;
                out.push('$');
                out.push_str(&n.to_string());
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), _) if q == c => quote = None,
            _ => {}
        }
        out.push(c);
    }
    out
}

macro_rules! bind_all {
    ($query:expr, $params:expr, sqlite) => {{
        let mut q = $query;
        for p in $params {
            q = match p.clone() {
                Value::Int(v) => q.bind(v),
                Value::Real(v) => q.bind(v),
                Value::Text(v) => q.bind(v),
                Value::Blob(v) => q.bind(v),
                Value::Json(v) => q.bind(v.map(|v| v.to_string())),
            };
        }
        q
    }};
    ($query:expr, $params:expr, postgres) => {{
        let mut q = $query;
        for p in $params {
            q = match p.clone() {
                Value::Int(v) => q.bind(v),
                Value::Real(v) => q.bind(v),
                Value::Text(v) => q.bind(v),
                Value::Blob(v) => q.bind(v),
                Value::Json(v) => q.bind(v),
            };
        }
        q
    }};
}

/// The database: cheap to clone, shared by all domains.
#[derive(Debug, Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    /// SQLite allows one writer at a time. A pool of one makes writers queue in the pool, in order, instead of failing with
    /// SQLITE_BUSY.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres {
        pool: PgPool,
    },
}

impl Db {
    /// Opens `sqlite:<path>` (created when absent) or `postgres://...`. Does not migrate.
    pub async fn open(url: &str) -> Result<Db, StoreError> {
        let inner = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url)?;
            let pool = PgPoolOptions::new()
                .max_connections(20)
                .acquire_timeout(Duration::from_secs(10))
                .connect_with(options)
                .await
                .map_err(StoreError::Connect)?;
            Inner::Postgres { pool }
        } else if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // NORMAL could lose the last commits on power failure; what was accepted must not be lost.
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(10))
                .statement_cache_capacity(256)
                .pragma("cache_size", "-8192")
                .pragma("temp_store", "memory")
                // What is blanked or deleted (a job's secret environment) leaves the page that it stood on, at no more writes.
                .pragma("secure_delete", "fast");
            let write = SqlitePoolOptions::new()
                .max_connections(1)
                // SQLite itself rolls back when the disk is full, and the driver, whose own ROLLBACK then fails, believes the transaction open for
                // ever: such a connection would refuse every write until the host is restarted.
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
                .acquire_timeout(Duration::from_secs(30))
                .connect_with(options.clone())
                .await
                .map_err(StoreError::Connect)?;
            let read = SqlitePoolOptions::new()
                .max_connections(4)
                .min_connections(1)
                .acquire_timeout(Duration::from_secs(30))
                .connect_with(options.read_only(true).create_if_missing(false))
                .await
                .map_err(StoreError::Connect)?;
            Inner::Sqlite { write, read }
        } else {
            return Err(StoreError::Url);
        };
        Ok(Db { inner: Arc::new(inner) })
    }

    /// Which database answers.
    pub fn dialect(&self) -> Dialect {
        match &*self.inner {
            Inner::Sqlite { .. } => Dialect::Sqlite,
            Inner::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Tells this open database from others of the process.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// One statement without a transaction around it (CREATE DATABASE).
    #[cfg(feature = "testing")]
    pub(crate) async fn execute_outside(&self, sql: &str) -> Result<(), StoreError> {
        let text = AssertSqlSafe(sql.to_owned());
        match &*self.inner {
            Inner::Sqlite { write, .. } => {
                sqlx::raw_sql(text).execute(write).await?;
            }
            Inner::Postgres { pool } => {
                sqlx::raw_sql(text).execute(pool).await?;
            }
        }
        Ok(())
    }

    /// Begins a write transaction. On SQLite it holds the one writer, so nothing slow (network, plugins) may happen before
    /// [`Tx::commit`]. Dropping it rolls back; so does a caller that goes away before it has begun (a browser that left its page).
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx {
            inner: match &*self.inner {
                Inner::Sqlite { write, .. } => TxInner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
                Inner::Postgres { pool } => {
                    let pool = pool.clone();
                    // The driver counts a transaction once BEGIN is answered: a caller dropped in between would give the connection back with
                    // one that nobody ends. In a task of its own it is always counted, and rolled back when nobody takes it.
                    TxInner::Postgres(to_its_end(async move { pool.begin().await }).await?)
                }
            },
            after_commit: Vec::new(),
            later: Vec::new(),
            database: self.identity(),
        })
    }

    /// Begins a transaction that only reads, all of it as it is now, whatever is written meanwhile. It stops no writer, but holds a
    /// connection: nothing slow may happen in it either.
    pub async fn begin_read(&self) -> Result<Tx, StoreError> {
        Ok(Tx {
            inner: match &*self.inner {
                Inner::Sqlite { read, .. } => TxInner::Sqlite(read.begin().await?),
                Inner::Postgres { pool } => TxInner::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?),
            },
            after_commit: Vec::new(),
            later: Vec::new(),
            database: self.identity(),
        })
    }

    /// Rows of a read-only statement, outside any transaction.
    pub async fn fetch_all(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let text = AssertSqlSafe(placeholders(self.dialect(), sql));
        Ok(match &*self.inner {
            Inner::Sqlite { read, .. } => {
                bind_all!(sqlx::query::<Sqlite>(text), params, sqlite).fetch_all(read).await?.into_iter().map(Row::Sqlite).collect()
            }
            Inner::Postgres { pool } => {
                bind_all!(sqlx::query::<Postgres>(text), params, postgres).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The same, row by row until their column `bytes` comes to more than `most`: what is large is never all in memory. At least one row, if
    /// there is one. Answers too whether rows were left.
    pub async fn fetch_within(&self, sql: &str, params: &[Value], most: i64) -> Result<(Vec<Row>, bool), StoreError> {
        let text = AssertSqlSafe(placeholders(self.dialect(), sql));
        match &*self.inner {
            Inner::Sqlite { read, .. } => {
                let rows = bind_all!(sqlx::query::<Sqlite>(text), params, sqlite).fetch(read);
                within(rows.map_ok(Row::Sqlite), most).await
            }
            Inner::Postgres { pool } => {
                let rows = bind_all!(sqlx::query::<Postgres>(text), params, postgres).fetch(pool);
                within(rows.map_ok(Row::Postgres), most).await
            }
        }
    }

    /// The first row of a read-only statement, if any.
    pub async fn fetch_optional(&self, sql: &str, params: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(sql, params).await?.into_iter().next())
    }

    /// One write statement in a transaction of its own; answers the number of rows it changed.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let n = tx.execute(sql, params).await?;
        tx.commit().await?;
        Ok(n)
    }

    /// Closes all connections after the running statements; SQLite checkpoints its WAL.
    pub async fn close(&self) {
        match &*self.inner {
            Inner::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Inner::Postgres { pool } => pool.close().await,
        }
    }
}

/// Runs `work` to its end, whether or not its caller still waits.
async fn to_its_end<T: Send + 'static, E: Into<StoreError> + Send + 'static>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(done) => done.map_err(Into::into),
        // The runtime is shutting down, or the driver panicked.
        Err(e) => Err(StoreError::Database(sqlx::Error::Io(std::io::Error::other(e)))),
    }
}

async fn within(mut rows: impl Stream<Item = Result<Row, sqlx::Error>> + Unpin, most: i64) -> Result<(Vec<Row>, bool), StoreError> {
    let (mut kept, mut size) = (Vec::new(), 0_i64);
    while let Some(row) = rows.try_next().await? {
        size = size.saturating_add(row.int("bytes")?);
        if size > most && !kept.is_empty() {
            return Ok((kept, true));
        }
        kept.push(row);
    }
    Ok((kept, false))
}

type AfterCommit = Box<dyn FnOnce() + Send>;

/// A write transaction. A change, its history, its audit entry and its event go into one.
pub struct Tx {
    inner: TxInner,
    after_commit: Vec<AfterCommit>,
    pub(crate) later: Vec<Later>,
    database: usize,
}

enum TxInner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

impl Tx {
    /// Which database answers.
    pub fn dialect(&self) -> Dialect {
        match &self.inner {
            TxInner::Sqlite(_) => Dialect::Sqlite,
            TxInner::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn database(&self) -> usize {
        self.database
    }

    /// Executes a statement; answers the number of rows it changed.
    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let text = AssertSqlSafe(placeholders(self.dialect(), sql));
        Ok(match &mut self.inner {
            TxInner::Sqlite(tx) => bind_all!(sqlx::query::<Sqlite>(text), params, sqlite).execute(&mut **tx).await?.rows_affected(),
            TxInner::Postgres(tx) => bind_all!(sqlx::query::<Postgres>(text), params, postgres).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Executes several statements separated by semicolons, without parameters (migrations, DDL).
    pub async fn execute_script(&mut self, sql: &str) -> Result<(), StoreError> {
        let text = AssertSqlSafe(sql.to_owned());
        match &mut self.inner {
            TxInner::Sqlite(tx) => {
                sqlx::raw_sql(text).execute(&mut **tx).await?;
            }
            TxInner::Postgres(tx) => {
                sqlx::raw_sql(text).execute(&mut **tx).await?;
            }
        }
        Ok(())
    }

    /// Rows of a statement, seeing this transaction's own changes.
    pub async fn fetch_all(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let text = AssertSqlSafe(placeholders(self.dialect(), sql));
        Ok(match &mut self.inner {
            TxInner::Sqlite(tx) => {
                bind_all!(sqlx::query::<Sqlite>(text), params, sqlite).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            TxInner::Postgres(tx) => bind_all!(sqlx::query::<Postgres>(text), params, postgres)
                .fetch_all(&mut **tx)
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        })
    }

    /// The same, row by row until their column `bytes` comes to more than `most`; at least one row, if there is one.
    pub async fn fetch_within(&mut self, sql: &str, params: &[Value], most: i64) -> Result<Vec<Row>, StoreError> {
        let text = AssertSqlSafe(placeholders(self.dialect(), sql));
        let (rows, _) = match &mut self.inner {
            TxInner::Sqlite(tx) => {
                let rows = bind_all!(sqlx::query::<Sqlite>(text), params, sqlite).fetch(&mut **tx);
                within(rows.map_ok(Row::Sqlite), most).await?
            }
            TxInner::Postgres(tx) => {
                let rows = bind_all!(sqlx::query::<Postgres>(text), params, postgres).fetch(&mut **tx);
                within(rows.map_ok(Row::Postgres), most).await?
            }
        };
        Ok(rows)
    }

    /// The first row of a statement, if any.
    pub async fn fetch_optional(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(sql, params).await?.into_iter().next())
    }

    /// Runs `f` once this transaction has committed, and never if it does not: for waking those who wait for what it wrote.
    pub fn after_commit(&mut self, f: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(f));
    }

    /// Writes what was put by ([`Tx::insert_later`]), commits, then runs what [`Tx::after_commit`] collected: also for a caller that goes away meanwhile, or what was committed would be
    /// told to nobody.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        to_its_end(async move {
            self.settle().await?;
            let Tx { inner, after_commit, .. } = self;
            match inner {
                TxInner::Sqlite(tx) => tx.commit().await?,
                TxInner::Postgres(tx) => tx.commit().await?,
            }
            for f in after_commit {
                f();
            }
            Ok::<(), StoreError>(())
        })
        .await
    }

    /// Rolls back. Dropping does the same, later.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.rollback().await?,
            TxInner::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn placeholders_are_numbered_outside_quotes() {
        let sql = "SELECT '?' , \"a?\" FROM t WHERE a = ? AND b = ?";
        assert_eq!(placeholders(Dialect::Postgres, sql), "SELECT '?' , \"a?\" FROM t WHERE a = $1 AND b = $2");
        assert_eq!(placeholders(Dialect::Sqlite, sql), sql);
    }

    crate::both_databases! {
        async fn a_caller_that_leaves_in_begin_leaves_no_transaction(db: Db) {
            // Looks from a connection of its own: the one that was given back would be busy with looking.
            let mut watcher = match db.dialect() {
                Dialect::Postgres => Some(db.begin().await.unwrap()),
                Dialect::Sqlite => None,
            };
            for polls in (0..6000).step_by(30) {
                // Polled a number of times, and left: at each of the places where it waits.
                let mut begin = Box::pin(db.begin());
                for _ in 0..polls {
                    if futures::poll!(&mut begin).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(begin);
                // What was dropped is rolled back in the background.
                let end = std::time::Instant::now() + Duration::from_secs(20);
                while let Some(watcher) = &mut watcher {
                    watcher.execute("SELECT pg_stat_clear_snapshot()", &[]).await.unwrap();
                    let sql = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
                    if watcher.fetch_optional(sql, &[]).await.unwrap().unwrap().int("n").unwrap() == 0 {
                        break;
                    }
                    assert!(std::time::Instant::now() < end, "after {polls} polls a transaction stays open");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            db.begin().await.unwrap().commit().await.unwrap();
        }

        async fn what_is_committed_is_told_though_nobody_waits(db: Db) {
            use std::sync::atomic::{AtomicU32, Ordering};
            let mut tx = db.begin().await.unwrap();
            tx.execute_script("CREATE TABLE told (n BIGINT)").await.unwrap();
            tx.commit().await.unwrap();
            let told = Arc::new(AtomicU32::new(0));
            for n in 0..100_i64 {
                let mut tx = db.begin().await.unwrap();
                tx.execute("INSERT INTO told (n) VALUES (?)", crate::params![n]).await.unwrap();
                let counter = told.clone();
                tx.after_commit(move || {
                    counter.fetch_add(1, Ordering::SeqCst);
                });
                let _ = tokio::time::timeout(Duration::from_micros(n.unsigned_abs() * 11), tx.commit()).await;
            }
            let end = std::time::Instant::now() + Duration::from_secs(20);
            loop {
                let stored = db.fetch_optional("SELECT COUNT(*) AS n FROM told", &[]).await.unwrap().unwrap().int("n").unwrap();
                if stored == 100 && told.load(Ordering::SeqCst) == 100 {
                    break;
                }
                assert!(std::time::Instant::now() < end, "{stored} stored, {} told", told.load(Ordering::SeqCst));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
