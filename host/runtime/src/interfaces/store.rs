//! `plenum:store/documents`: the plugin's own collections, `plugin/<id>/<name>`. Permission `store`; a quota bounds them.

use plenum_access::{AccessError, Permission};
use plenum_store::{Aggregate, Bucket, By, Document as StoredDocument, DocumentError, Measure, Query, StoreError};

use super::cmdb::{document_status, sort};
use super::{MAX_PAGE_BYTES, bad_json, error, ms};
use crate::bindings::plenum::store::documents::{
    Aggregation, Bucket as WitBucket, Document, Expectation, Group, Host, MeasureKind, Page, Query as WitQuery, Write,
};
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;
use crate::plugin::collection;

/// Most writes of one call of `apply`.
const MAX_WRITES: usize = 500;

fn failed(e: DocumentError) -> Error {
    let code = match &e {
        DocumentError::Filter(f) => f.code,
        DocumentError::NoCollection(_) => "store.no_collection",
        DocumentError::Invalid { .. } => "store.invalid",
        DocumentError::Duplicate { .. } => "store.duplicate",
        DocumentError::Query(_) => "store.query",
        DocumentError::Store(StoreError::Conflict { .. }) => "store.conflict",
        DocumentError::Store(_) => "store.failed",
    };
    let status = document_status(&e);
    match &e {
        DocumentError::NoCollection(name) => {
            let name = name.rsplit('/').next().unwrap_or(name);
            error(code, status, format!("the plugin has no collection {name}; declare it under [[collections]] in plugin.toml"))
        }
        e => error(code, status, e),
    }
}

fn document(d: StoredDocument) -> Document {
    Document { id: d.id, version: ms(d.version), data: d.data.to_string(), created_at: ms(d.created_at), updated_at: ms(d.updated_at) }
}

impl CallState {
    async fn require_store(&mut self) -> Result<(), Error> {
        self.services.access.require(&self.info.who, Permission::Store, &[]).await.map_err(|e| match e {
            AccessError::Denied(d) => error("access.denied", 403, d.reason),
            e => error(e.code(), 500, e),
        })
    }

    async fn apply_all(&mut self, writes: Vec<Write>) -> Result<Vec<u64>, Error> {
        let services = self.services.clone();
        let actor = self.info.who.actor().to_string();
        let by = By { actor: &actor, why: None };
        let life = self.plugin.life.clone();
        let limit = life.limits.document_bytes;
        if let Some((w, size)) = writes.iter().map(|w| (w, w.data.as_ref().map_or(0, String::len))).find(|(_, size)| *size > limit) {
            let message = format!("{}/{} has {size} bytes; a record may have {limit}: keep what is large in several", w.collection, w.id);
            return Err(error("store.document_too_large", 413, message));
        }
        // While the plugin's records are migrated or brought back, nobody else writes to them.
        let _write = if self.info.migrates { None } else { Some(life.writes.read().await) };
        let bytes: usize = writes.iter().filter_map(|w| w.data.as_ref()).map(String::len).sum();
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if bytes > 0 && !life.room(&services.docs, bytes).await.map_err(|e| failed(e.into()))? {
            let message = format!(
                "the plugin would store more than the {} MiB that it may; delete what is no longer needed",
                life.limits.store_bytes >> 20
            );
            return Err(error("store.quota", 413, message));
        }
        let mut tx = services.db.begin().await.map_err(|e| failed(e.into()))?;
        let mut versions = Vec::with_capacity(writes.len());
        for w in writes {
            if w.id.is_empty() || w.id.len() > 200 {
                return Err(error("store.invalid", 422, "a record's id has 1 to 200 bytes"));
            }
            let name = collection(&self.plugin.id, &w.collection);
            let expected = match w.expected {
                Expectation::Any => None,
                Expectation::Absent => Some(0),
                Expectation::Version(v) => Some(i64::try_from(v).unwrap_or(i64::MAX)),
            };
            let before = services.docs.reserve_in(&mut tx, &name, &w.id).await.map_err(failed)?;
            let found = before.as_ref().map_or(0, |d| d.version);
            if let Some(expected) = expected
                && expected != found
            {
                return Err(failed(StoreError::Conflict { what: format!("{}/{}", w.collection, w.id), expected, found }.into()));
            }
            let version = match (w.data, before) {
                (None, _) => {
                    services.docs.delete(&mut tx, &name, &w.id, None, by).await.map_err(failed)?;
                    0
                }
                (Some(data), before) => {
                    let data = serde_json::from_str(&data).map_err(|e| bad_json("data", &e))?;
                    match before {
                        None => services.docs.insert(&mut tx, &name, Some(&w.id), data, by).await.map_err(failed)?.version,
                        Some(_) => services.docs.update(&mut tx, &name, &w.id, data, None, by).await.map_err(failed)?.version,
                    }
                }
            };
            versions.push(ms(version));
        }
        tx.commit().await.map_err(|e| failed(e.into()))?;
        Ok(versions)
    }
}

impl Host for CallState {
    async fn get(&mut self, name: String, id: String) -> Result<Option<Document>, Error> {
        let _span = self.span("plenum:store/documents.get");
        self.require_store().await?;
        let found = self.services.docs.get(&collection(&self.plugin.id, &name), &id).await.map_err(failed)?;
        Ok(found.map(document))
    }

    async fn apply(&mut self, writes: Vec<Write>) -> Result<Vec<u64>, Error> {
        let _span = self.span("plenum:store/documents.apply");
        self.require_store().await?;
        if writes.len() > MAX_WRITES {
            return Err(error("store.too_many", 422, format!("at most {MAX_WRITES} records are written at once, not {}", writes.len())));
        }
        self.apply_all(writes).await
    }

    async fn query_documents(&mut self, q: WitQuery) -> Result<Page, Error> {
        let _span = self.span("plenum:store/documents.query-documents");
        self.require_store().await?;
        let query = Query {
            filter: Some(q.filter),
            search: None,
            sort: sort(&q.sort),
            cursor: q.cursor,
            limit: q.limit.clamp(1, 1000),
            with_total: true,
            most_bytes: Some(MAX_PAGE_BYTES),
            ..Query::default()
        };
        let page = self.services.docs.query(&collection(&self.plugin.id, &q.collection), &query).await.map_err(failed)?;
        Ok(Page {
            items: page.items.into_iter().map(document).collect(),
            next_cursor: page.next_cursor,
            total: ms(page.total.unwrap_or(0)),
        })
    }

    async fn count(&mut self, name: String, filter: String) -> Result<u64, Error> {
        let _span = self.span("plenum:store/documents.count");
        self.require_store().await?;
        let filter = Some(filter.as_str()).filter(|f| !f.trim().is_empty());
        Ok(ms(self.services.docs.count(&collection(&self.plugin.id, &name), filter).await.map_err(failed)?))
    }

    async fn aggregate(&mut self, a: Aggregation) -> Result<Vec<Group>, Error> {
        let _span = self.span("plenum:store/documents.aggregate");
        self.require_store().await?;
        let span = |b| match b {
            WitBucket::Minute => Bucket::Minute,
            WitBucket::Hour => Bucket::Hour,
            WitBucket::Day => Bucket::Day,
            WitBucket::Month => Bucket::Month,
            WitBucket::Year => Bucket::Year,
        };
        let kind = |k| match k {
            MeasureKind::Count => Measure::Count,
            MeasureKind::Sum => Measure::Sum,
            MeasureKind::Avg => Measure::Avg,
            MeasureKind::Min => Measure::Min,
            MeasureKind::Max => Measure::Max,
        };
        let wanted = Aggregate {
            filter: Some(a.filter),
            groups: a.groups.into_iter().map(|g| (g.field, g.bucket.map(span))).collect(),
            measures: a.measures.into_iter().map(|m| (kind(m.kind), m.field)).collect(),
            limit: a.limit,
            ..Aggregate::default()
        };
        let groups = self.services.docs.aggregate(&collection(&self.plugin.id, &a.collection), &wanted).await.map_err(failed)?;
        let texts = |values: Vec<serde_json::Value>| values.iter().map(serde_json::Value::to_string).collect();
        Ok(groups.into_iter().map(|g| Group { keys: texts(g.keys), values: texts(g.values) }).collect())
    }
}
