//! Many documents written anew at once, for a collection whose spec changes: they are made ready in batches, each a short transaction of its
//! own, and take the place of what is there in one. Until then everybody reads what was.

use serde_json::Value as Json;

use super::check::{Prepared, duplicate, prepare};
use super::{By, CollectionSpec, Document, DocumentError, Documents, MAX_PAGE, document};
use crate::filter::FieldKind;
use crate::sql::{Dialect, Tx, Value};
use crate::{StoreError, now_ms, params};

/// Rows of one statement: each has six values, and SQLite takes 32,766 of them.
const ROWS: usize = 500;

/// A document as it will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    id: String,
    version: i64,
    bytes: i64,
    search: String,
    data: Json,
}

impl Rewritten {
    /// Checks what a document will hold against the spec that its collection will have.
    pub fn of(spec: &CollectionSpec, before: &Document, data: Json) -> Result<Rewritten, DocumentError> {
        let Prepared { data, bytes, search } = prepare(spec, data)?;
        Ok(Rewritten { id: before.id.clone(), version: before.version, bytes, search, data })
    }
}

impl Documents {
    /// What the collection can be in the transaction of [`Documents::take_over`], when it cannot be `next` at once. PostgreSQL puts rows that
    /// the same transaction replaced into a new index too, and of their old values an index over numbers can make none: such indexes are made
    /// by defining the collection once more, in the next transaction.
    pub fn before_indexes(&self, old: &CollectionSpec, next: &CollectionSpec) -> Option<CollectionSpec> {
        let casts = |f: &String| {
            let kind = |s: &CollectionSpec| s.schema.field(f).map(|f| f.kind.clone());
            let numbers = |k: &Option<FieldKind>| matches!(k, Some(FieldKind::Integer | FieldKind::Decimal | FieldKind::Boolean));
            numbers(&kind(next)) && kind(old) != kind(next)
        };
        let mut first = next.clone();
        first.indexed.retain(|f| !casts(f));
        first.unique.retain(|u| !u.iter().any(casts));
        (self.db.dialect() == Dialect::Postgres && first != *next).then_some(first)
    }

    /// Documents that were written at or after `since` (milliseconds since the Unix epoch), in the order of their ids, after `after`; but for those
    /// that the rewrite has ready as they are now.
    pub async fn written_since_in(
        &self,
        tx: &mut Tx,
        collection: &str,
        rewrite: &str,
        since: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Document>, DocumentError> {
        let table = self.table_in(tx, collection).await?;
        let sql = format!(
            "SELECT id, version, created_at, updated_at, data FROM {table} WHERE updated_at >= ? AND id > ? AND NOT EXISTS
             (SELECT 1 FROM document_rewrites r WHERE r.rewrite = ? AND r.document = {table}.id AND r.version = {table}.version)
             ORDER BY id LIMIT ?"
        );
        let rows = tx.fetch_all(&sql, params![since, after, rewrite, limit.clamp(1, MAX_PAGE)]).await?;
        Ok(rows.iter().map(document).collect::<Result<_, _>>()?)
    }

    /// Keeps documents as they will be, under the name of a rewrite. One that was kept before is replaced.
    pub async fn make_ready(&self, tx: &mut Tx, rewrite: &str, rows: &[Rewritten]) -> Result<(), StoreError> {
        for some in rows.chunks(ROWS) {
            let marks = vec!["(?, ?, ?, ?, ?, ?)"; some.len()].join(", ");
            let values: Vec<Value> = some
                .iter()
                .flat_map(|r| {
                    [
                        Value::from(rewrite),
                        Value::from(&r.id),
                        r.version.into(),
                        r.bytes.into(),
                        Value::from(&r.search),
                        Value::json(&r.data),
                    ]
                })
                .collect();
            let sql = format!(
                "INSERT INTO document_rewrites (rewrite, document, version, bytes, search, data) VALUES {marks}
                 ON CONFLICT (rewrite, document) DO UPDATE SET version = excluded.version, bytes = excluded.bytes,
                 search = excluded.search, data = excluded.data"
            );
            tx.execute(&sql, &values).await?;
        }
        Ok(())
    }

    /// Forgets what a rewrite kept.
    pub async fn drop_ready(&self, tx: &mut Tx, rewrite: &str) -> Result<(), StoreError> {
        tx.execute("DELETE FROM document_rewrites WHERE rewrite = ?", params![rewrite]).await?;
        Ok(())
    }

    /// Forgets what a rewrite kept of one document.
    pub async fn drop_ready_of(&self, tx: &mut Tx, rewrite: &str, document: &str) -> Result<(), StoreError> {
        tx.execute("DELETE FROM document_rewrites WHERE rewrite = ? AND document = ?", params![rewrite, document]).await?;
        Ok(())
    }

    /// Puts what was made ready in the place of what is there, with history; documents whose version is another by now stay as they are.
    /// Answers how many were written. Define the collection by its new spec in the same transaction.
    pub async fn take_over(
        &self,
        tx: &mut Tx,
        collection: &str,
        rewrite: &str,
        next: &CollectionSpec,
        by: By<'_>,
    ) -> Result<u64, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let table = self.table_in(tx, collection).await?;
        for (name, fields, _) in super::define::index_names(&table, &c.spec) {
            // What held a number is going to hold something of which the index could make none.
            if fields.iter().any(|f| leaves_numbers(&c.spec, next, f)) {
                tx.execute_script(&format!("DROP INDEX IF EXISTS {name}")).await?;
            }
        }
        let now = now_ms();
        if c.spec.history {
            let sql = format!(
                "INSERT INTO document_history (collection, document, version, at, actor, why, before, after)
                 SELECT CAST(? AS TEXT), d.id, d.version + 1, CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS TEXT), d.data, r.data
                 FROM document_rewrites r JOIN {table} d ON d.id = r.document AND d.version = r.version WHERE r.rewrite = ? ORDER BY d.id"
            );
            tx.execute(&sql, params![collection, now, by.actor, by.why, rewrite]).await?;
        }
        let sql = format!(
            "UPDATE {table} SET version = {table}.version + 1, updated_at = ?, bytes = r.bytes, search = r.search, data = r.data
             FROM document_rewrites r WHERE r.rewrite = ? AND r.document = {table}.id AND r.version = {table}.version"
        );
        let n = tx.execute(&sql, params![now, rewrite]).await.map_err(|e| duplicate(&c, e))?;
        self.drop_ready(tx, rewrite).await?;
        Ok(n)
    }
}

fn leaves_numbers(old: &CollectionSpec, next: &CollectionSpec, field: &str) -> bool {
    use FieldKind::{Boolean, Decimal, Integer};
    let kind = |s: &CollectionSpec| s.schema.field(field).map(|f| f.kind.clone());
    match (kind(old), kind(next)) {
        (Some(Integer | Decimal), Some(Integer | Decimal) | None) | (Some(Boolean), Some(Boolean) | None) => false,
        (Some(Integer | Decimal | Boolean), Some(_)) => true,
        _ => false,
    }
}
