//! What can go wrong in the store.

/// An error of the store. Domains wrap it; at the API it becomes a 500, except [`StoreError::Conflict`] and
/// [`StoreError::Unique`], which a caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database URL has another form than `sqlite:<path>` or `postgres://user@host/database`.
    #[error("the database URL is neither sqlite:<path> nor postgres://user:password@host/database; correct PLENUM_DATABASE_URL")]
    Url,
    /// The database did not answer at start.
    #[error("the database cannot be opened: {0}; check that it runs and that PLENUM_DATABASE_URL names it")]
    Connect(#[source] sqlx::Error),
    /// The record was changed by somebody else since it was read.
    #[error(
        "{what} was changed by somebody else since it was read (expected version {expected}, found {found}); read it again and repeat the change"
    )]
    Conflict {
        /// What was to be written, in words.
        what: String,
        /// The version that the caller had read.
        expected: i64,
        /// The version that is stored.
        found: i64,
    },
    /// A unique key is taken.
    #[error("{0}")]
    Unique(String),
    /// A value is over its bound.
    #[error("{0}")]
    TooLarge(String),
    /// Stored data is not what this code wrote.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// A migration failed.
    #[error("migration {name} failed: {source}")]
    Migration {
        /// `<set>/<version>`.
        name: String,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
    /// A newer version of this program has made or changed the schema.
    #[error(
        "the database was used by a newer version (its schema has {name}/{found}, this version knows {name}/{known}); nothing was changed: start that version again, or restore the backup made before the upgrade"
    )]
    Newer {
        /// The crate whose schema it is.
        name: String,
        /// What is there.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// There is no room for what was to be written.
    #[error("the disk of the database is full, so nothing of this was stored; free space there, then do it again")]
    Full,
    /// The database refused a statement.
    #[error("database: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(e: sqlx::Error) -> Self {
        if let sqlx::Error::Database(d) = &e {
            if d.is_unique_violation() {
                return StoreError::Unique(d.message().to_owned());
            }
            // SQLITE_FULL, SQLITE_IOERR_SHMSIZE (no room for the file beside the log); PostgreSQL's disk_full.
            if matches!(d.code().as_deref(), Some("13" | "4874" | "53100")) {
                return StoreError::Full;
            }
        }
        StoreError::Database(e)
    }
}
