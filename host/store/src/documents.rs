//! Collections of JSON records: a schema, a version for optimistic locking, indexed fields, unique keys, history.
//!
//! CMDB instances and plugin collections are the same thing here. Each collection has a table of its own with expression
//! indexes on the fields that its spec names, spelled exactly as [`crate::filter`] spells comparisons, so that they serve them.
//! All writes take the caller's transaction: the change, its history, its audit entry and its event are one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::filter::{FieldKind, Filter, FilterError, Schema, field_sql, nearest, normal_time, valid_name};
use crate::sql::{Db, Dialect, Row, Tx, Value};
use crate::{StoreError, new_id, now_ms, params};

/// Largest document, as JSON text.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Most rows of a page.
pub const MAX_PAGE: u32 = 1000;
/// What free-text search sees of a document, in bytes.
const SEARCH_BYTES: usize = 16 * 1024;

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
    known: Arc<RwLock<HashMap<String, Arc<Collection>>>>,
}

#[derive(Debug)]
struct Collection {
    table: String,
    spec: CollectionSpec,
}

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

    /// Makes the collection, or brings an existing one to this spec.
    pub async fn define(&self, tx: &mut Tx, spec: &CollectionSpec) -> Result<(), DocumentError> {
        check_spec(spec)?;
        let json = serde_json::to_value(spec).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let existing = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![&spec.name]).await?;
        let d = tx.dialect();
        let table = match &existing {
            Some(row) if row.json("spec")? == json => return Ok(()),
            Some(row) => row.text("table_name")?,
            None => {
                let table = format!("d_{}", uuid::Uuid::new_v4().simple());
                let json_type = if d == Dialect::Sqlite { "TEXT" } else { "JSONB" };
                tx.execute_script(&format!(
                    "CREATE TABLE {table} (id TEXT PRIMARY KEY, version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, \
                     bytes BIGINT NOT NULL, search TEXT NOT NULL, data {json_type} NOT NULL);
                     CREATE INDEX {table}_updated ON {table}(updated_at, id)"
                ))
                .await?;
                table
            }
        };
        if let Some(row) = existing {
            let old: CollectionSpec = serde_json::from_value(row.json("spec")?).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            for name in index_names(&table, &old).into_iter().map(|(n, _, _)| n) {
                tx.execute_script(&format!("DROP INDEX IF EXISTS {name}")).await?;
            }
            tx.execute("UPDATE collections SET spec = ? WHERE name = ?", params![json, &spec.name]).await?;
        } else {
            tx.execute(
                "INSERT INTO collections (name, table_name, spec, created_at) VALUES (?, ?, ?, ?)",
                params![&spec.name, &table, json, now_ms()],
            )
            .await?;
        }
        for (name, fields, unique) in index_names(&table, spec) {
            let mut columns: Vec<String> = Vec::new();
            for f in &fields {
                if let Some(field) = spec.schema.field(f) {
                    columns.push(format!("({})", field_sql(d, "data", f, &field.kind)));
                }
            }
            if !unique {
                columns.push("id".to_owned());
            }
            let word = if unique { "UNIQUE " } else { "" };
            tx.execute_script(&format!("CREATE {word}INDEX {name} ON {table} ({})", columns.join(", "))).await.map_err(|e| match e {
                StoreError::Unique(_) => DocumentError::Duplicate { fields },
                e => e.into(),
            })?;
        }
        // Not put into `known` here: the transaction may still roll back.
        let known = self.known.clone();
        let name = spec.name.clone();
        tx.after_commit(move || {
            known.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&spec.name);
        Ok(())
    }

    /// Deletes a collection with its documents and their history.
    pub async fn drop_collection(&self, tx: &mut Tx, name: &str) -> Result<(), DocumentError> {
        let Some(row) = tx.fetch_optional("SELECT table_name FROM collections WHERE name = ?", params![name]).await? else { return Ok(()) };
        tx.execute_script(&format!("DROP TABLE {}", row.text("table_name")?)).await?;
        tx.execute("DELETE FROM collections WHERE name = ?", params![name]).await?;
        tx.execute("DELETE FROM document_history WHERE collection = ?", params![name]).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    /// The names of the collections that start with `prefix`.
    pub async fn collections(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let rows = self
            .db
            .fetch_all(
                "SELECT name FROM collections WHERE name >= ? AND name < ? ORDER BY name",
                params![prefix, format!("{prefix}\u{10FFFF}")],
            )
            .await?;
        rows.iter().map(|r| r.text("name")).collect()
    }

    /// Bytes of all documents in the collections that start with `prefix`.
    pub async fn usage(&self, prefix: &str) -> Result<i64, StoreError> {
        let rows = self
            .db
            .fetch_all("SELECT table_name FROM collections WHERE name >= ? AND name < ?", params![prefix, format!("{prefix}\u{10FFFF}")])
            .await?;
        let mut sum = 0;
        for r in &rows {
            let row = self
                .db
                .fetch_optional(&format!("SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS n FROM {}", r.text("table_name")?), &[])
                .await?;
            sum += row.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        }
        Ok(sum)
    }

    async fn collection(&self, name: &str) -> Result<Arc<Collection>, DocumentError> {
        if let Some(c) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(c.clone());
        }
        let row = self.db.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![name]).await?;
        let c = Arc::new(decode(row, name)?);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), c.clone());
        Ok(c)
    }

    /// As the transaction sees it, for collections that it made itself.
    async fn collection_in(&self, tx: &mut Tx, name: &str) -> Result<Arc<Collection>, DocumentError> {
        if let Some(c) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(c.clone());
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
        let (data, bytes, search) = prepare(&c.spec, data)?;
        let now = now_ms();
        let d = Document { id: id.map_or_else(new_id, str::to_owned), version: 1, data, created_at: now, updated_at: now };
        tx.execute(
            &format!("INSERT INTO {} (id, version, created_at, updated_at, bytes, search, data) VALUES (?, 1, ?, ?, ?, ?, ?)", c.table),
            params![&d.id, now, now, bytes, search, d.data.clone()],
        )
        .await
        .map_err(|e| duplicate(&c, e))?;
        self.keep(tx, &c, &d.id, 1, by, None, Some(&d.data)).await?;
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
        let (data, bytes, search) = prepare(&c.spec, data)?;
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
        self.keep(tx, &c, id, after.version, by, Some(&before.data), Some(&after.data)).await?;
        Ok(after)
    }

    /// Changes a document without history and version: for values that move all the time, such as a disk's use.
    pub async fn touch(&self, tx: &mut Tx, collection: &str, id: &str, data: Json) -> Result<(), DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let (data, bytes, search) = prepare(&c.spec, data)?;
        tx.execute(
            &format!("UPDATE {} SET updated_at = ?, bytes = ?, search = ?, data = ? WHERE id = ?", c.table),
            params![now_ms(), bytes, search, data, id],
        )
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
        self.keep(tx, &c, id, before.version + 1, by, Some(&before.data), None).await?;
        Ok(Some(before))
    }

    #[allow(clippy::too_many_arguments)]
    async fn keep(
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
        tx.execute(
            "INSERT INTO document_history (collection, document, version, at, actor, why, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![&c.spec.name, id, version, now_ms(), by.actor, by.why, before.cloned(), after.cloned()],
        )
        .await?;
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
        rows.iter()
            .map(|r| {
                Ok(Change {
                    seq: r.int("seq")?,
                    version: r.int("version")?,
                    at: r.int("at")?,
                    actor: r.text("actor")?,
                    why: r.opt_text("why")?,
                    before: r.json("before")?,
                    after: r.json("after")?,
                })
            })
            .collect()
    }

    /// A page of documents.
    pub async fn query(&self, collection: &str, query: &Query) -> Result<Page, DocumentError> {
        let c = self.collection(collection).await?;
        let d = self.db.dialect();
        let (condition, values) = conditions(&c, d, query)?;
        let total = if query.with_total {
            let row = self.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM {} WHERE {condition}", c.table), &values).await?;
            row.map(|r| r.int("n")).transpose()?
        } else {
            None
        };
        let limit = if query.limit == 0 { 50 } else { query.limit.min(MAX_PAGE) };
        let (sort, down) = match &query.sort {
            Some((field, down)) => (Some(sort_sql(&c, d, field)?), *down),
            None => (None, false),
        };
        let mut sql = format!(
            "SELECT id, version, created_at, updated_at, data{} FROM {} WHERE {condition}",
            sort.as_ref().map(|s| format!(", {s} AS sort_key")).unwrap_or_default(),
            c.table
        );
        let mut values = values;
        if let Some(cursor) = &query.cursor {
            after_cursor(&mut sql, &mut values, cursor, query, sort.as_deref(), down)?;
        }
        let direction = if down { "DESC" } else { "ASC" };
        match &sort {
            Some(s) => {
                sql.push_str(&format!(" ORDER BY {s} {direction} NULLS {}, id {direction} LIMIT ?", if down { "FIRST" } else { "LAST" }))
            }
            None => sql.push_str(" ORDER BY id LIMIT ?"),
        }
        values.push(i64::from(limit + 1).into());
        let rows = self.db.fetch_all(&sql, &values).await?;
        let more = rows.len() > limit as usize;
        let rows = rows.get(..rows.len().min(limit as usize)).unwrap_or_default();
        let items: Vec<Document> = rows.iter().map(document).collect::<Result<_, _>>()?;
        let next_cursor = match (more, rows.last(), items.last()) {
            (true, Some(row), Some(item)) => {
                let key = match &query.sort {
                    Some((field, _)) => sort_value(&c, row, field)?,
                    None => Json::Null,
                };
                Some(hex::encode(serde_json::json!([query.sort, key, item.id]).to_string()))
            }
            _ => None,
        };
        Ok(Page { items, next_cursor, total })
    }

    /// How many documents match.
    pub async fn count(&self, collection: &str, filter: Option<&str>) -> Result<i64, DocumentError> {
        let c = self.collection(collection).await?;
        let query = Query { filter: filter.map(str::to_owned), ..Query::default() };
        let (condition, values) = conditions(&c, self.db.dialect(), &query)?;
        let row = self.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM {} WHERE {condition}", c.table), &values).await?;
        Ok(row.map(|r| r.int("n")).transpose()?.unwrap_or(0))
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

/// Name, fields, whether unique.
fn index_names(table: &str, spec: &CollectionSpec) -> Vec<(String, Vec<String>, bool)> {
    let plain = spec.indexed.iter().enumerate().map(|(i, f)| (format!("{table}_i{i}"), vec![f.clone()], false));
    let unique = spec.unique.iter().enumerate().map(|(i, f)| (format!("{table}_u{i}"), f.clone(), true));
    plain.chain(unique).collect()
}

fn check_spec(spec: &CollectionSpec) -> Result<(), DocumentError> {
    let bad = |m: String| Err(DocumentError::Query(m));
    if spec.indexed.len() > 32 || spec.unique.len() > 8 || spec.schema.fields.len() > 500 {
        return bad(format!("collection {} has more than 500 fields, 32 indexes or 8 unique keys", spec.name));
    }
    for f in &spec.schema.fields {
        if !valid_name(&f.name) {
            return bad(format!("{:?} cannot be a field: use a letter, then letters, digits and underscores, 64 at most", f.name));
        }
    }
    for f in spec.indexed.iter().chain(spec.unique.iter().flatten()) {
        match spec.schema.field(f).map(|f| &f.kind) {
            None => return bad(format!("collection {} has an index on {f}, which is not among its fields", spec.name)),
            Some(FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json) => {
                return bad(format!("collection {} has an index on {f}, which holds no single value", spec.name));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Checks and normalises a record; answers it with its size and its searchable text.
fn prepare(spec: &CollectionSpec, mut data: Json) -> Result<(Json, i64, String), DocumentError> {
    let Some(object) = data.as_object_mut() else {
        return Err(DocumentError::Invalid { pointer: String::new(), message: "a record is a JSON object".into() });
    };
    // Null and absent mean the same; stored is only what is there.
    object.retain(|_, v| !v.is_null());
    for f in &spec.schema.fields {
        if let Some(v) = object.get_mut(&f.name) {
            check_kind(&f.kind, v, &format!("/{}", f.name))?;
        }
    }
    let text = data.to_string();
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::Invalid {
            pointer: String::new(),
            message: format!("a record has at most {MAX_DOCUMENT_BYTES} bytes, this has {}", text.len()),
        });
    }
    if text.contains("\\u0000") {
        return Err(DocumentError::Invalid { pointer: String::new(), message: "a text cannot hold the character NUL".into() });
    }
    let mut search = String::new();
    collect_text(&data, &mut search);
    Ok((data, i64::try_from(text.len()).unwrap_or(i64::MAX), search))
}

fn check_kind(kind: &FieldKind, v: &mut Json, pointer: &str) -> Result<(), DocumentError> {
    let wrong = |what: &str| Err(DocumentError::Invalid { pointer: pointer.to_owned(), message: format!("{pointer} has to be {what}") });
    match kind {
        FieldKind::Json => Ok(()),
        FieldKind::Text if v.is_string() => Ok(()),
        FieldKind::Text => wrong("text"),
        FieldKind::Integer if v.is_i64() => Ok(()),
        FieldKind::Integer => wrong("a whole number of 64 bits"),
        FieldKind::Decimal if v.is_number() => Ok(()),
        FieldKind::Decimal => wrong("a number"),
        FieldKind::Boolean if v.is_boolean() => Ok(()),
        FieldKind::Boolean => wrong("true or false"),
        FieldKind::Timestamp => match v.as_str().and_then(normal_time) {
            Some(t) => {
                *v = Json::String(t);
                Ok(())
            }
            None => wrong("a time such as 2026-01-31T08:00:00Z"),
        },
        FieldKind::List(kind) => match v.as_array_mut() {
            Some(list) => list.iter_mut().enumerate().try_for_each(|(i, v)| check_kind(kind, v, &format!("{pointer}/{i}"))),
            None => wrong("a list"),
        },
        FieldKind::Table(fields) => match v.as_array_mut() {
            Some(rows) => {
                for (i, row) in rows.iter_mut().enumerate() {
                    let at = format!("{pointer}/{i}");
                    let Some(row) = row.as_object_mut() else {
                        return Err(DocumentError::Invalid { message: format!("{at} has to be a record"), pointer: at });
                    };
                    row.retain(|_, v| !v.is_null());
                    for f in fields {
                        if let Some(v) = row.get_mut(&f.name) {
                            check_kind(&f.kind, v, &format!("{at}/{}", f.name))?;
                        }
                    }
                }
                Ok(())
            }
            None => wrong("a list of records"),
        },
    }
}

fn collect_text(v: &Json, out: &mut String) {
    if out.len() >= SEARCH_BYTES {
        return;
    }
    match v {
        Json::String(s) => {
            out.extend(s.chars().take(1000).flat_map(char::to_lowercase));
            out.push('\n');
        }
        Json::Number(n) => {
            out.push_str(&n.to_string());
            out.push('\n');
        }
        Json::Array(a) => a.iter().for_each(|v| collect_text(v, out)),
        Json::Object(o) => o.values().for_each(|v| collect_text(v, out)),
        Json::Null | Json::Bool(_) => {}
    }
}

fn duplicate(c: &Collection, e: StoreError) -> DocumentError {
    if let StoreError::Unique(message) = &e {
        // SQLite names the index, PostgreSQL the constraint: both carry the index's name.
        for (name, fields, unique) in index_names(&c.table, &c.spec) {
            if unique && message.contains(&name) {
                return DocumentError::Duplicate { fields };
            }
        }
        return DocumentError::Duplicate { fields: vec!["id".into()] };
    }
    e.into()
}

fn conditions(c: &Collection, d: Dialect, query: &Query) -> Result<(String, Vec<Value>), DocumentError> {
    let (mut sql, mut values) = match query.filter.as_deref().map(str::trim).filter(|f| !f.is_empty()) {
        Some(source) => Filter::parse(source, &c.spec.schema)?.to_sql(d, "data")?,
        None => ("1 = 1".to_owned(), Vec::new()),
    };
    if let Some(text) = query.search.as_deref().map(str::trim).filter(|s| !s.is_empty()) {
        for word in text.split_whitespace().take(8) {
            sql.push_str(if d == Dialect::Sqlite { " AND instr(search, ?) > 0" } else { " AND strpos(search, ?) > 0" });
            values.push(word.to_lowercase().into());
        }
    }
    Ok((sql, values))
}

fn sort_sql(c: &Collection, d: Dialect, field: &str) -> Result<String, DocumentError> {
    if c.spec.schema.field(field).is_none() && matches!(field, "id" | "version" | "created_at" | "updated_at") {
        return Ok(field.to_owned());
    }
    match c.spec.schema.field(field) {
        Some(f) if !matches!(f.kind, FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json) => {
            Ok(field_sql(d, "data", field, &f.kind))
        }
        Some(_) => Err(DocumentError::Query(format!("records cannot be sorted by {field}: it holds no single value"))),
        None => {
            let hint = nearest(field, c.spec.schema.names()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            Err(DocumentError::Query(format!("records cannot be sorted by {field}: there is no such field{hint}")))
        }
    }
}

/// The sort key of a row as JSON, for the cursor.
fn sort_value(c: &Collection, row: &Row, field: &str) -> Result<Json, StoreError> {
    if c.spec.schema.field(field).is_some() {
        return Ok(row.json("data")?.get(field).cloned().unwrap_or(Json::Null));
    }
    if matches!(field, "version" | "created_at" | "updated_at") {
        return Ok(row.int(field)?.into());
    }
    if field == "id" {
        return Ok(row.text("id")?.into());
    }
    Err(StoreError::Corrupt(format!("sort field {field}")))
}

fn after_cursor(
    sql: &mut String,
    values: &mut Vec<Value>,
    cursor: &str,
    query: &Query,
    sort: Option<&str>,
    down: bool,
) -> Result<(), DocumentError> {
    let bad = || DocumentError::Query("`cursor` is the `next_cursor` of an earlier page with the same sort".into());
    let text = hex::decode(cursor).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
    let (sorted, key, id): (Option<(String, bool)>, Json, String) = serde_json::from_str(&text).map_err(|_| bad())?;
    if sorted != query.sort {
        return Err(bad());
    }
    let Some(s) = sort else {
        sql.push_str(" AND id > ?");
        values.push(id.into());
        return Ok(());
    };
    let key: Option<Value> = match key {
        Json::Null => None,
        Json::String(t) => Some(t.into()),
        Json::Bool(b) => Some(b.into()),
        Json::Number(n) => Some(n.as_i64().map_or_else(|| Value::Real(n.as_f64()), Value::from)),
        _ => return Err(bad()),
    };
    // PostgreSQL's booleans are not integers.
    let mark =
        if matches!(query.sort.as_ref().map(|_| &key), Some(Some(Value::Int(_)))) && s.ends_with("::boolean)") { "(? = 1)" } else { "?" };
    match (key, down) {
        (None, false) => sql.push_str(&format!(" AND ({s} IS NULL AND id > ?)")),
        (None, true) => sql.push_str(&format!(" AND ({s} IS NOT NULL OR id < ?)")),
        (Some(k), false) => {
            sql.push_str(&format!(" AND ({s} > {mark} OR {s} IS NULL OR ({s} = {mark} AND id > ?))"));
            values.extend([k.clone(), k]);
        }
        (Some(k), true) => {
            sql.push_str(&format!(" AND ({s} < {mark} OR ({s} = {mark} AND id < ?))"));
            values.extend([k.clone(), k]);
        }
    }
    values.push(id.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use serde_json::json;

    use super::*;
    use crate::filter::Field;

    const BY: By<'_> = By { actor: "test", why: Some("because") };

    fn spec(indexed: &[&str], unique: &[&str]) -> CollectionSpec {
        CollectionSpec {
            name: "t".into(),
            schema: Schema::new(vec![
                Field::new("name", FieldKind::Text),
                Field::new("n", FieldKind::Integer),
                Field::new("up", FieldKind::Boolean),
                Field::new("at", FieldKind::Timestamp),
            ]),
            indexed: indexed.iter().map(|s| (*s).to_owned()).collect(),
            unique: unique.iter().map(|s| vec![(*s).to_owned()]).collect(),
            history: true,
        }
    }

    async fn fill(db: &Db, docs: &Documents, spec: &CollectionSpec, records: Vec<Json>) {
        let mut tx = db.begin().await.unwrap();
        docs.define(&mut tx, spec).await.unwrap();
        for r in records {
            docs.insert(&mut tx, "t", None, r, BY).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    crate::both_databases! {
        async fn pages_show_each_record_once_in_order(db: Db) {
            let docs = Documents::new(db.clone());
            let records = (0..53).map(|i| json!({"n": if i % 5 == 0 { None } else { Some(i % 7) }, "up": i % 3 == 0})).collect();
            fill(&db, &docs, &spec(&["n"], &[]), records).await;
            for (field, down) in [("n", false), ("n", true), ("up", false), ("up", true), ("created_at", true), ("id", false)] {
                let mut q = Query { sort: Some((field.into(), down)), limit: 7, with_total: true, ..Query::default() };
                let mut seen: Vec<Document> = Vec::new();
                loop {
                    let page = docs.query("t", &q).await.unwrap();
                    assert_eq!(page.total, Some(53));
                    seen.extend(page.items);
                    q.cursor = page.next_cursor;
                    if q.cursor.is_none() {
                        break;
                    }
                }
                let mut ids: Vec<_> = seen.iter().map(|d| d.id.clone()).collect();
                ids.sort();
                ids.dedup();
                assert_eq!(ids.len(), 53, "{field} {down}");
                if field == "n" {
                    let keys: Vec<i64> = seen.iter().map(|d| d.data["n"].as_i64().unwrap_or(99)).collect();
                    let mut sorted = keys.clone();
                    sorted.sort();
                    if down {
                        sorted.reverse();
                    }
                    assert_eq!(keys, sorted);
                }
            }
            let wrong = Query { sort: Some(("n".into(), false)), cursor: Some("zz".into()), ..Query::default() };
            assert!(matches!(docs.query("t", &wrong).await, Err(DocumentError::Query(_))));
            let e = docs.query("t", &Query { sort: Some(("nn".into(), false)), ..Query::default() }).await.unwrap_err().to_string();
            assert!(e.contains("did you mean n?"), "{e}");
        }

        async fn a_stale_version_changes_nothing(db: Db) {
            let docs = Documents::new(db.clone());
            fill(&db, &docs, &spec(&[], &[]), vec![json!({"name": "a"})]).await;
            let d = docs.query("t", &Query::default()).await.unwrap().items.remove(0);
            let mut tx = db.begin().await.unwrap();
            let after = docs.update(&mut tx, "t", &d.id, json!({"name": "b"}), Some(1), BY).await.unwrap();
            assert_eq!(after.version, 2);
            let same = docs.update(&mut tx, "t", &d.id, json!({"name": "b"}), Some(2), BY).await.unwrap();
            assert_eq!(same.version, 2, "an equal record makes no version");
            let e = docs.update(&mut tx, "t", &d.id, json!({"name": "c"}), Some(1), BY).await.unwrap_err();
            assert!(matches!(e, DocumentError::Store(StoreError::Conflict { expected: 1, found: 2, .. })), "{e}");
            docs.delete(&mut tx, "t", &d.id, None, BY).await.unwrap();
            tx.commit().await.unwrap();
            let h = docs.history("t", &d.id, None, 10).await.unwrap();
            assert_eq!(h.iter().map(|c| (c.before["name"].as_str(), c.after["name"].as_str())).collect::<Vec<_>>(),
                [(Some("b"), None), (Some("a"), Some("b")), (None, Some("a"))]);
            assert_eq!(h[0].why.as_deref(), Some("because"));
        }

        async fn a_unique_key_is_named(db: Db) {
            let docs = Documents::new(db.clone());
            fill(&db, &docs, &spec(&[], &["name"]), vec![json!({"name": "a"}), json!({"n": 1}), json!({"n": 2})]).await;
            let mut tx = db.begin().await.unwrap();
            let e = docs.insert(&mut tx, "t", None, json!({"name": "a"}), BY).await.unwrap_err();
            assert!(matches!(&e, DocumentError::Duplicate { fields } if fields == &["name"]), "{e}");
        }

        async fn a_new_index_keeps_the_records_and_serves(db: Db) {
            let docs = Documents::new(db.clone());
            fill(&db, &docs, &spec(&[], &[]), (0..50).map(|i| json!({"name": format!("h{i}"), "n": i})).collect()).await;
            fill(&db, &docs, &spec(&["name", "n"], &["name"]), vec![]).await;
            assert_eq!(docs.count("t", Some("name == \"h7\"")).await.unwrap(), 1);
            assert_eq!(docs.count("t", None).await.unwrap(), 50);
            if db.dialect() == Dialect::Sqlite {
                let table = db.fetch_optional("SELECT table_name FROM collections WHERE name = 't'", &[]).await.unwrap().unwrap().text("table_name").unwrap();
                let (sql, values) = Filter::parse("n == 7", &spec(&[], &[]).schema).unwrap().to_sql(Dialect::Sqlite, "data").unwrap();
                let plan = db.fetch_all(&format!("EXPLAIN QUERY PLAN SELECT id FROM {table} WHERE {sql}"), &values).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|r| r.text("detail").unwrap()).collect();
                assert!(plan.iter().any(|p| p.contains("USING") && p.contains("INDEX")), "{plan:?}");
            }
        }

        async fn records_are_checked_and_normalised(db: Db) {
            let docs = Documents::new(db.clone());
            fill(&db, &docs, &spec(&[], &[]), vec![]).await;
            let mut tx = db.begin().await.unwrap();
            let d = docs.insert(&mut tx, "t", None, json!({"at": "2026-01-31T10:00:00+02:00", "n": null, "other": {"x": 1}}), BY).await.unwrap();
            assert_eq!(d.data, json!({"at": "2026-01-31T08:00:00.000Z", "other": {"x": 1}}));
            for (bad, pointer) in [(json!({"n": "1"}), "/n"), (json!({"at": "noon"}), "/at"), (json!([1]), ""), (json!({"name": "a\u{0}"}), "")] {
                let e = docs.insert(&mut tx, "t", None, bad, BY).await.unwrap_err();
                assert!(matches!(&e, DocumentError::Invalid { pointer: p, .. } if p == pointer), "{e:?}");
            }
            let large = json!({"name": "x".repeat(MAX_DOCUMENT_BYTES)});
            assert!(docs.insert(&mut tx, "t", None, large, BY).await.is_err());
        }

        async fn search_finds_all_words_ignoring_case(db: Db) {
            let docs = Documents::new(db.clone());
            fill(&db, &docs, &spec(&[], &[]), vec![json!({"name": "Web Server ÄÖ 100%"}), json!({"name": "database", "tags": ["WEB"]})]).await;
            let found = async |s: &str| docs.query("t", &Query { search: Some(s.into()), ..Query::default() }).await.unwrap().items.len();
            assert_eq!((found("web").await, found("web server").await, found("äö 100%").await, found("x").await), (2, 1, 1, 0));
        }
    }
}
