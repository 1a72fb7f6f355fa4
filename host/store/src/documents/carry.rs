//! Documents on their way out of a database and into another: as they are, with their ids, versions and times.

use super::check::{Prepared, check_id, duplicate, prepare};
use super::{CollectionSpec, Document, DocumentError, Documents, MAX_PAGE, decode, document};
use crate::params;
use crate::sql::Tx;

impl Documents {
    /// What the collections `<prefix>...` are, in the order of their names, as the transaction sees them.
    pub async fn specs_in(&self, tx: &mut Tx, prefix: &str) -> Result<Vec<CollectionSpec>, DocumentError> {
        let mut specs = Vec::new();
        // In the same order on both databases, whatever its language.
        let mut names = self.collections_in(tx, prefix).await?;
        names.sort();
        for name in names {
            let row = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![&name]).await?;
            specs.push(decode(row, &name)?.spec);
        }
        Ok(specs)
    }

    /// As [`Documents::walk_in`]; a page also ends where it comes to more than `most` bytes, after one document at least.
    pub async fn walk_within(
        &self,
        tx: &mut Tx,
        collection: &str,
        after: Option<&str>,
        limit: u32,
        most: i64,
    ) -> Result<Vec<Document>, DocumentError> {
        let table = self.table_in(tx, collection).await?;
        let sql = format!("SELECT id, version, created_at, updated_at, data, bytes FROM {table} WHERE id > ? ORDER BY id LIMIT ?");
        let rows = tx.fetch_within(&sql, params![after.unwrap_or_default(), limit.clamp(1, MAX_PAGE)], most).await?;
        Ok(rows.iter().map(document).collect::<Result<_, _>>()?)
    }

    /// How many documents a collection has, as the transaction sees it; 0 when there is no such collection.
    pub async fn count_in(&self, tx: &mut Tx, collection: &str) -> Result<u64, DocumentError> {
        let table = match self.table_in(tx, collection).await {
            Ok(table) => table,
            Err(DocumentError::NoCollection(_)) => return Ok(0),
            Err(e) => return Err(e),
        };
        let row = tx.fetch_optional(&format!("SELECT COUNT(*) AS n FROM {table}"), &[]).await?;
        Ok(u64::try_from(row.map(|r| r.int("n")).transpose()?.unwrap_or(0)).unwrap_or(0))
    }

    /// Puts documents into a collection as they were elsewhere: checked as every write is, with their versions and times, without
    /// history. Answers their bytes; an error says which of them it is.
    pub async fn put_back(&self, tx: &mut Tx, collection: &str, documents: Vec<Document>) -> Result<i64, (usize, DocumentError)> {
        let row = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![collection]).await;
        let c = row.map_err(DocumentError::from).and_then(|row| decode(row, collection)).map_err(|e| (0, e))?;
        let sql =
            format!("INSERT INTO {} (id, version, created_at, updated_at, bytes, search, data) VALUES (?, ?, ?, ?, ?, ?, ?)", c.table);
        let mut sum = 0_i64;
        for (i, d) in documents.into_iter().enumerate() {
            check_id(&d.id).map_err(|e| (i, e))?;
            let Prepared { data, bytes, search } = prepare(&c.spec, d.data).map_err(|e| (i, e))?;
            let values = params![&d.id, d.version, d.created_at, d.updated_at, bytes, search, data];
            tx.execute(&sql, values).await.map_err(|e| (i, duplicate(&c, e)))?;
            sum = sum.saturating_add(bytes);
        }
        Ok(sum)
    }
}
