//! `plenum:cmdb/instances`: permissions `cmdb.read` and `cmdb.write`, scoped by models.

use plenum_cmdb::{CmdbError, Direction, Query};
use plenum_store::{DocumentError, StoreError};

use super::{bad_json, error, ms};
use crate::bindings::plenum::cmdb::instances::{Host, Instance, Page, Query as WitQuery, Related};
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;

pub(crate) fn cmdb_status(e: &CmdbError) -> u16 {
    match e {
        CmdbError::Access(plenum_access::AccessError::Denied(_)) => 403,
        CmdbError::NoModel { .. } | CmdbError::NotFound(_) => 404,
        CmdbError::InvalidModel { .. } | CmdbError::InvalidInstance { .. } => 422,
        CmdbError::InUse(_) => 409,
        CmdbError::Document(d) => document_status(d),
        CmdbError::Access(_) => 500,
    }
}

pub(crate) fn document_status(e: &DocumentError) -> u16 {
    match e {
        DocumentError::Filter(_) | DocumentError::Query(_) => 400,
        DocumentError::NoCollection(_) => 404,
        DocumentError::Invalid { .. } => 422,
        DocumentError::Duplicate { .. } | DocumentError::Store(StoreError::Conflict { .. }) => 409,
        DocumentError::Store(_) => 500,
    }
}

fn failed(e: CmdbError) -> Error {
    error(e.code(), cmdb_status(&e), &e)
}

fn instance(i: plenum_cmdb::Instance) -> Instance {
    Instance {
        id: i.id,
        model: i.model,
        label: i.label,
        version: ms(i.version),
        attributes: i.attributes.to_string(),
        created_at: ms(i.created_at),
        updated_at: ms(i.updated_at),
    }
}

pub(crate) fn sort(text: &str) -> Option<(String, bool)> {
    match text.strip_prefix('-') {
        _ if text.is_empty() => None,
        Some(field) => Some((field.to_owned(), true)),
        None => Some((text.to_owned(), false)),
    }
}

impl Host for CallState {
    async fn query_instances(&mut self, q: WitQuery) -> Result<Page, Error> {
        let query = Query {
            filter: Some(q.filter),
            search: None,
            sort: sort(&q.sort),
            cursor: q.cursor,
            limit: q.limit.clamp(1, 1000),
            with_total: true,
            most_bytes: Some(super::MAX_PAGE_BYTES),
        };
        let page = self.services.cmdb.list(&self.info.who, &q.model, &query).await.map_err(failed)?;
        Ok(Page {
            items: page.items.into_iter().map(instance).collect(),
            next_cursor: page.next_cursor,
            total: ms(page.total.unwrap_or(0)),
        })
    }

    async fn get(&mut self, model: String, id: String) -> Result<Option<Instance>, Error> {
        match self.services.cmdb.get(&self.info.who, &model, &id).await {
            Ok(i) => Ok(Some(instance(i))),
            Err(CmdbError::NotFound(_)) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    async fn create(&mut self, model: String, attributes: String, why: Option<String>) -> Result<Instance, Error> {
        let attributes = serde_json::from_str(&attributes).map_err(|e| bad_json("attributes", &e))?;
        self.services.cmdb.create(&self.info.who, &model, attributes, why.as_deref()).await.map(instance).map_err(failed)
    }

    async fn update(
        &mut self,
        model: String,
        id: String,
        patch: String,
        version: Option<u64>,
        why: Option<String>,
    ) -> Result<Instance, Error> {
        let patch = serde_json::from_str(&patch).map_err(|e| bad_json("patch", &e))?;
        let version = version.map(|v| i64::try_from(v).unwrap_or(i64::MAX));
        self.services.cmdb.update(&self.info.who, &model, &id, patch, version, why.as_deref()).await.map(instance).map_err(failed)
    }

    async fn delete(&mut self, model: String, id: String) -> Result<(), Error> {
        self.services.cmdb.delete(&self.info.who, &model, &id, None, None).await.map_err(failed)
    }

    async fn related_instances(&mut self, model: String, id: String) -> Result<Vec<Related>, Error> {
        let found = self.services.cmdb.related(&self.info.who, &model, &id).await.map_err(failed)?;
        Ok(found
            .into_iter()
            .map(|r| Related {
                association: r.association,
                kind: r.kind,
                forward: r.direction == Direction::Forward,
                model: r.model,
                id: r.id,
                label: r.label,
            })
            .collect())
    }
}

impl crate::bindings::plenum::types::types::Host for CallState {}
