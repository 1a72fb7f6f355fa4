//! Documents as they were: read from their history.

use super::check::{Prepared, duplicate, prepare};
use super::{By, Change, Document, DocumentError, Documents, Page, Query, document};
use crate::sql::Value;
use crate::{Tx, now_ms, params};

/// The last change of each document until a moment, as if it were the collection's table. Two parameters: collection, moment.
const AT: &str = "(SELECT h.document AS id, h.version AS version, h.at AS updated_at, h.after AS data, '' AS search, \
    CAST(length(CAST(h.after AS TEXT)) AS BIGINT) AS bytes, \
    (SELECT MIN(f.at) FROM document_history f WHERE f.collection = h.collection AND f.document = h.document) AS created_at \
    FROM document_history h JOIN (SELECT MAX(seq) AS seq FROM document_history WHERE collection = ? AND at <= ? GROUP BY document) l \
    ON l.seq = h.seq WHERE h.after IS NOT NULL) AS past";
/// What [`AT`] is called.
pub(super) const ROW: &str = "past";

impl Documents {
    /// A page of a collection as it was at `at`, in milliseconds since the Unix epoch. Only of collections that keep their history; what was
    /// [touched](Documents::touch) since is as it was written last before. Free text is not searched in the past.
    pub async fn query_at(&self, collection: &str, query: &Query, at: i64) -> Result<Page, DocumentError> {
        let c = self.collection(collection).await?;
        if query.links.is_some() {
            return Err(DocumentError::Query(
                "the past of linked records is not known: a filter of the past looks at the record's own fields".into(),
            ));
        }
        if query.search.as_deref().is_some_and(|s| !s.trim().is_empty()) {
            return Err(DocumentError::Query("free text is not searched in the past: use a filter".into()));
        }
        self.page_of(&c, AT, vec![collection.into(), at.into()], query).await
    }

    /// One document as it was at `at`.
    pub async fn get_at(&self, collection: &str, id: &str, at: i64) -> Result<Option<Document>, DocumentError> {
        let row = self
            .db
            .fetch_optional(
                "SELECT document AS id, version, at AS updated_at, after AS data,
                 (SELECT MIN(f.at) FROM document_history f WHERE f.collection = h.collection AND f.document = h.document) AS created_at
                 FROM document_history h WHERE collection = ? AND document = ? AND at <= ? ORDER BY seq DESC LIMIT 1",
                params![collection, id, at],
            )
            .await?;
        match row {
            Some(r) if !r.json("data")?.is_null() => Ok(Some(document(&r)?)),
            _ => Ok(None),
        }
    }

    /// The change that made a version of a document; the last one when `version` is absent.
    pub async fn change_in(&self, tx: &mut Tx, collection: &str, id: &str, version: Option<i64>) -> Result<Option<Change>, DocumentError> {
        tx.settle().await?;
        let row = tx
            .fetch_optional(
                "SELECT seq, version, at, actor, why, before, after FROM document_history
                 WHERE collection = ? AND document = ? AND version = COALESCE(?, version) ORDER BY seq DESC LIMIT 1",
                params![collection, id, Value::Int(version)],
            )
            .await?;
        Ok(row.as_ref().map(super::change).transpose()?)
    }

    /// Puts a deleted document back under its id; its versions go on counting after `version`.
    pub async fn revive(
        &self,
        tx: &mut Tx,
        collection: &str,
        id: &str,
        data: serde_json::Value,
        version: i64,
        by: By<'_>,
    ) -> Result<Document, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let Prepared { data, bytes, search } = prepare(&c.spec, data)?;
        let now = now_ms();
        let d = Document { id: id.to_owned(), version: version + 1, data, created_at: now, updated_at: now };
        tx.execute(
            &format!("INSERT INTO {} (id, version, created_at, updated_at, bytes, search, data) VALUES (?, ?, ?, ?, ?, ?, ?)", c.table),
            params![&d.id, d.version, now, now, bytes, search, d.data.clone()],
        )
        .await
        .map_err(|e| duplicate(&c, e))?;
        self.keep(tx, &c, id, d.version, by, None, Some(&d.data))?;
        Ok(d)
    }
}
