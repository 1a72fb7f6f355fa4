//! Collections of JSON records: a schema, a version for optimistic locking, indexed fields, unique keys, history.
//!
//! CMDB instances and plugin collections are the same thing here. Each collection has a table of its own with expression
//! indexes on the fields that its spec names, spelled exactly as [`crate::filter`] spells comparisons, so that they serve them.
//! All writes take the caller's transaction: the change, its history, its audit entry and its event are one.

mod aggregate;
mod carry;
mod check;
mod define;
mod explain;
mod links;
mod past;
mod query;
mod rewrite;
mod snapshot;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregate, Bucket, Group, MAX_GROUPS, Measure};
pub use explain::{Plan, PlanStep};
pub use links::Surrounding;
pub use rewrite::Rewritten;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::filter::{FilterError, Links, Schema};
use crate::later::LaterTable;
use crate::sql::{Db, Dialect, Row, Tx, Value};
use crate::{StoreError, new_id, now_ms, params};
use check::{Prepared, check_id, duplicate, prepare};

/// Largest document, as JSON text.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Most rows of a page.
pub const MAX_PAGE: u32 = 1000;
/// How long a collection's spec is believed without asking again: another host may have changed it.
const BELIEVED: Duration = Duration::from_secs(2);

/// What a collection is. Defining it again with another spec changes its indexes; the documents stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionSpec {
    /// `cmdb/host`, `plugin/inspection-center/reports`.
    pub name: String,
    /// The fields that filters and sorting may use. Documents may hold others.
    pub schema: Schema,
    /// Fields with an index.
    #[serde(default)]
    pub indexed: Vec<String>,
    /// Field sets that are unique; a set with a null in it is not compared.
    #[serde(default)]
    pub unique: Vec<Vec<String>>,
    /// Whether changes are kept.
    #[serde(default)]
    pub history: bool,
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// Counts from 1 with every change.
    pub version: i64,
    /// The record.
    pub data: Json,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
}

/// Which documents, in which order.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// CEL over the collection's schema.
    pub filter: Option<String>,
    /// What the filter may look at beside the document itself: needed only by one that follows links or names another.
    pub links: Option<Arc<Links>>,
    /// Free text, found anywhere in the document's texts, ignoring case.
    pub search: Option<String>,
    /// A field and whether downwards; by id (age) when absent. Nulls come last upwards and first downwards.
    pub sort: Option<(String, bool)>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Rows: at most [`MAX_PAGE`]; 50 when 0.
    pub limit: u32,
    /// Whether to count all matches.
    pub with_total: bool,
    /// Most bytes of a page, whatever its rows: it ends earlier then, after one record at least. Not for pages of the past.
    pub most_bytes: Option<i64>,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The rows.
    pub items: Vec<Document>,
    /// For the next page.
    pub next_cursor: Option<String>,
    /// All matches, when asked for.
    pub total: Option<i64>,
}

/// One change of a document.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Order of changes.
    pub seq: i64,
    /// The version it made.
    pub version: i64,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Who, in words.
    pub actor: String,
    /// Why: a ticket, a run, a message.
    pub why: Option<String>,
    /// Null when it was created.
    pub before: Json,
    /// Null when it was deleted.
    pub after: Json,
}

/// What a query or a write can fail at.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There is no such collection.
    #[error("there is no collection {0}")]
    NoCollection(String),
    /// A value breaks the schema.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the record.
        pointer: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A unique key is taken.
    #[error("another record already has the same {}", .fields.join(" and "))]
    Duplicate {
        /// The fields of the key.
        fields: Vec<String>,
    },
    /// The sort field, the cursor or the spec is not valid.
    #[error("{0}")]
    Query(String),
    /// The database failed, or the version conflicts.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The collections of a database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Documents {
    db: Db,
    known: Arc<RwLock<Known>>,
}

/// By name, with the time of asking.
type Known = HashMap<String, (Instant, Arc<Collection>)>;

#[derive(Debug)]
struct Collection {
    table: String,
    spec: CollectionSpec,
}

/// Nobody reads it before the transaction ends, but for [`Documents::change_in`].
static HISTORY: LaterTable = LaterTable {
    insert: "INSERT INTO document_history (collection, document, version, at, actor, why, before, after) VALUES ",
    row: "(?, ?, ?, ?, ?, ?, ?, ?)",
    row_postgres: "(?, ?, ?, ?, ?, ?, ?, ?)",
    tail: "",
    delete: "",
    first_postgres: "",
};

/// Who changes a document and why, for its history.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who, in words.
    pub actor: &'a str,
    /// Why.
    pub why: Option<&'a str>,
}

impl Documents {
    /// On an opened and migrated database.
    pub fn new(db: Db) -> Documents {
        Documents { db, known: Arc::default() }
    }

    fn believed(&self, name: &str) -> Option<Arc<Collection>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, c)| c.clone())
    }

    fn forget(&self, name: &str) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    async fn collection(&self, name: &str) -> Result<Arc<Collection>, DocumentError> {
        if let Some(c) = self.believed(name) {
            return Ok(c);
        }
        let row = self.db.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![name]).await?;
        let c = Arc::new(decode(row, name)?);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), (Instant::now(), c.clone()));
        Ok(c)
    }

    /// As the transaction sees it, for collections that it made itself.
    async fn collection_in(&self, tx: &mut Tx, name: &str) -> Result<Arc<Collection>, DocumentError> {
        if let Some(c) = self.believed(name) {
            return Ok(c);
        }
        let row = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![name]).await?;
        Ok(Arc::new(decode(row, name)?))
    }

    /// The schema of a collection.
    pub async fn schema(&self, collection: &str) -> Result<Schema, DocumentError> {
        Ok(self.collection(collection).await?.spec.schema.clone())
    }

    /// One document.
    pub async fn get(&self, collection: &str, id: &str) -> Result<Option<Document>, DocumentError> {
        let c = self.collection(collection).await?;
        let row = self
            .db
            .fetch_optional(&format!("SELECT id, version, created_at, updated_at, data FROM {} WHERE id = ?", c.table), params![id])
            .await?;
        Ok(row.as_ref().map(document).transpose()?)
    }

    /// One document, as the transaction sees it; on PostgreSQL locked until its end.
    pub async fn get_in(&self, tx: &mut Tx, collection: &str, id: &str) -> Result<Option<Document>, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let lock = if tx.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
        let row = tx
            .fetch_optional(&format!("SELECT id, version, created_at, updated_at, data FROM {} WHERE id = ?{lock}", c.table), params![id])
            .await?;
        Ok(row.as_ref().map(document).transpose()?)
    }

    /// As [`Documents::get_in`], for a write that makes the document when there is none: of two who find none, the second waits for the first
    /// and then finds it.
    pub async fn reserve_in(&self, tx: &mut Tx, collection: &str, id: &str) -> Result<Option<Document>, DocumentError> {
        let found = self.get_in(tx, collection, id).await?;
        // SQLite has one writer.
        if found.is_some() || tx.dialect() == Dialect::Sqlite {
            return Ok(found);
        }
        tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 7305807))", params![format!("{collection}/{id}")]).await?;
        self.get_in(tx, collection, id).await
    }

    /// Documents in the order of their ids, after `after`, as the transaction sees them: to walk through a whole collection.
    pub async fn walk_in(&self, tx: &mut Tx, collection: &str, after: Option<&str>, limit: u32) -> Result<Vec<Document>, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let rows = tx
            .fetch_all(
                &format!("SELECT id, version, created_at, updated_at, data FROM {} WHERE id > ? ORDER BY id LIMIT ?", c.table),
                params![after.unwrap_or_default(), limit.clamp(1, MAX_PAGE)],
            )
            .await?;
        Ok(rows.iter().map(document).collect::<Result<_, _>>()?)
    }

    /// The same, unless they come to more than `most` bytes: then nothing, and nothing of it was read.
    pub async fn get_many_within(&self, collection: &str, ids: &[String], most: i64) -> Result<Option<Vec<Document>>, DocumentError> {
        if ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let c = self.collection(collection).await?;
        let ids: Vec<Value> = ids.iter().take(MAX_PAGE as usize).map(Value::from).collect();
        let marks = vec!["?"; ids.len()].join(", ");
        let sql = format!("SELECT id, version, created_at, updated_at, data, bytes FROM {} WHERE id IN ({marks})", c.table);
        let (rows, more) = self.db.fetch_within(&sql, &ids, most).await?;
        Ok(if more { None } else { Some(rows.iter().map(document).collect::<Result<_, _>>()?) })
    }

    /// Several documents by id, in no particular order; at most [`MAX_PAGE`].
    pub async fn get_many(&self, collection: &str, ids: &[String]) -> Result<Vec<Document>, DocumentError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let c = self.collection(collection).await?;
        let ids: Vec<Value> = ids.iter().take(MAX_PAGE as usize).map(Value::from).collect();
        let marks = vec!["?"; ids.len()].join(", ");
        let rows = self
            .db
            .fetch_all(&format!("SELECT id, version, created_at, updated_at, data FROM {} WHERE id IN ({marks})", c.table), &ids)
            .await?;
        Ok(rows.iter().map(document).collect::<Result<_, _>>()?)
    }

    /// Puts in a new document. `id` is made when absent.
    pub async fn insert(&self, tx: &mut Tx, collection: &str, id: Option<&str>, data: Json, by: By<'_>) -> Result<Document, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        id.map_or(Ok(()), check_id)?;
        let Prepared { data, bytes, search } = prepare(&c.spec, data)?;
        let now = now_ms();
        let d = Document { id: id.map_or_else(new_id, str::to_owned), version: 1, data, created_at: now, updated_at: now };
        tx.execute(
            &format!("INSERT INTO {} (id, version, created_at, updated_at, bytes, search, data) VALUES (?, 1, ?, ?, ?, ?, ?)", c.table),
            params![&d.id, now, now, bytes, search, d.data.clone()],
        )
        .await
        .map_err(|e| duplicate(&c, e))?;
        self.keep(tx, &c, &d.id, 1, by, None, Some(&d.data))?;
        Ok(d)
    }

    /// Replaces a document. With `expected`, only if that is still its version. An equal document is left as it is.
    pub async fn update(
        &self,
        tx: &mut Tx,
        collection: &str,
        id: &str,
        data: Json,
        expected: Option<i64>,
        by: By<'_>,
    ) -> Result<Document, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let before = self
            .get_in(tx, collection, id)
            .await?
            .ok_or_else(|| DocumentError::Query(format!("there is no record {id} in {collection}; it may have been deleted")))?;
        if let Some(expected) = expected
            && expected != before.version
        {
            return Err(StoreError::Conflict { what: format!("{collection}/{id}"), expected, found: before.version }.into());
        }
        let Prepared { data, bytes, search } = prepare(&c.spec, data)?;
        if data == before.data {
            return Ok(before);
        }
        let after = Document { version: before.version + 1, updated_at: now_ms().max(before.updated_at), data, ..before.clone() };
        tx.execute(
            &format!("UPDATE {} SET version = ?, updated_at = ?, bytes = ?, search = ?, data = ? WHERE id = ?", c.table),
            params![after.version, after.updated_at, bytes, search, after.data.clone(), id],
        )
        .await
        .map_err(|e| duplicate(&c, e))?;
        self.keep(tx, &c, id, after.version, by, Some(&before.data), Some(&after.data))?;
        Ok(after)
    }

    /// Changes a document without history, version and `updated_at`: for values that move all the time, such as a disk's use, or
    /// what changed last could no longer be seen.
    pub async fn touch(&self, tx: &mut Tx, collection: &str, id: &str, data: Json) -> Result<(), DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let Prepared { data, bytes, search } = prepare(&c.spec, data)?;
        tx.execute(&format!("UPDATE {} SET bytes = ?, search = ?, data = ? WHERE id = ?", c.table), params![bytes, search, data, id])
            .await
            .map_err(|e| duplicate(&c, e))?;
        Ok(())
    }

    /// Deletes a document; answers it, or `None` when there was none.
    pub async fn delete(
        &self,
        tx: &mut Tx,
        collection: &str,
        id: &str,
        expected: Option<i64>,
        by: By<'_>,
    ) -> Result<Option<Document>, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let Some(before) = self.get_in(tx, collection, id).await? else { return Ok(None) };
        if let Some(expected) = expected
            && expected != before.version
        {
            return Err(StoreError::Conflict { what: format!("{collection}/{id}"), expected, found: before.version }.into());
        }
        tx.execute(&format!("DELETE FROM {} WHERE id = ?", c.table), params![id]).await?;
        self.keep(tx, &c, id, before.version + 1, by, Some(&before.data), None)?;
        Ok(Some(before))
    }

    #[allow(clippy::too_many_arguments)]
    fn keep(
        &self,
        tx: &mut Tx,
        c: &Collection,
        id: &str,
        version: i64,
        by: By<'_>,
        before: Option<&Json>,
        after: Option<&Json>,
    ) -> Result<(), StoreError> {
        if !c.spec.history {
            return Ok(());
        }
        let at = now_ms();
        tx.insert_later(&HISTORY, params![&c.spec.name, id, version, at, by.actor, by.why, before.cloned(), after.cloned()]);
        Ok(())
    }

    /// Changes of a document, newest first, older than `before_seq`; at most 500.
    pub async fn history(&self, collection: &str, id: &str, before_seq: Option<i64>, limit: u32) -> Result<Vec<Change>, StoreError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT seq, version, at, actor, why, before, after FROM document_history WHERE collection = ? AND document = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
                params![collection, id, before_seq.unwrap_or(i64::MAX), limit.clamp(1, 500)],
            )
            .await?;
        rows.iter().map(change).collect()
    }
}

fn decode(row: Option<Row>, name: &str) -> Result<Collection, DocumentError> {
    let row = row.ok_or_else(|| DocumentError::NoCollection(name.to_owned()))?;
    let spec = serde_json::from_value(row.json("spec")?).map_err(|e| StoreError::Corrupt(format!("collection {name}: {e}")))?;
    Ok(Collection { table: row.text("table_name")?, spec })
}

fn document(r: &Row) -> Result<Document, StoreError> {
    Ok(Document {
        id: r.text("id")?,
        version: r.int("version")?,
        data: r.json("data")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

fn change(r: &Row) -> Result<Change, StoreError> {
    Ok(Change {
        seq: r.int("seq")?,
        version: r.int("version")?,
        at: r.int("at")?,
        actor: r.text("actor")?,
        why: r.opt_text("why")?,
        before: r.json("before")?,
        after: r.json("after")?,
    })
}
