//! `plenum:cmdb`: models, instances and associations. Permissions `cmdb.read` and `cmdb.write`, scoped by models, which the CMDB checks.

use plenum_cmdb::{Attribute, Bulk, BulkAction, BulkRow, CmdbError, Direction, GraphQuery, Query, RowOutcome, Walk};
use plenum_store::{DocumentError, StoreError};

use super::{MAX_PAGE_BYTES, bad_json, error, ms};
use crate::bindings::plenum::cmdb::{associations as wit_associations, instances as wit, models as wit_models};
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;

/// Changes of one answer.
const MAX_CHANGES: usize = 100;
/// Changes that are read at once: each holds a record twice.
const CHANGES_AT_ONCE: u32 = 4;

pub(crate) fn cmdb_status(e: &CmdbError) -> u16 {
    match e {
        CmdbError::Access(plenum_access::AccessError::Denied(_)) => 403,
        CmdbError::NoModel { .. } | CmdbError::NotFound(_) => 404,
        CmdbError::InvalidModel { .. } | CmdbError::InvalidInstance { .. } => 422,
        CmdbError::InUse(_) | CmdbError::NeedsApproval(_) => 409,
        CmdbError::FeedGone(_) => 410,
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

/// What is not there is no error to who asks for it.
fn found<T>(answer: Result<T, CmdbError>) -> Result<Option<T>, Error> {
    match answer {
        Ok(v) => Ok(Some(v)),
        Err(CmdbError::NotFound(_)) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

fn instance(i: plenum_cmdb::Instance) -> wit::Instance {
    wit::Instance {
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

/// Numbers of the contract have no sign, those of the database have.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn rules(a: &Attribute) -> wit_models::Rules {
    let name = serde_json::to_value(a.kind).ok();
    wit_models::Rules {
        name: a.name.clone(),
        title: a.title.0.clone().into_iter().collect(),
        kind: name.as_ref().and_then(|k| k.as_str()).unwrap_or("json").to_owned(),
        unit: a.unit.clone(),
        required: a.required,
        options: a.options.clone(),
        pattern: a.pattern.clone(),
        min: a.min,
        max: a.max,
        default: a.default.as_ref().map(ToString::to_string),
    }
}

fn model(stored: plenum_cmdb::StoredModel) -> wit_models::Model {
    let m = stored.model;
    let attribute = |a: &Attribute| wit_models::Attribute {
        rules: rules(a),
        indexed: a.indexed,
        editable: a.editable,
        section: a.section.clone(),
        columns: a.columns.iter().map(rules).collect(),
    };
    wit_models::Model {
        attributes: m.attributes.iter().map(attribute).collect(),
        name: m.name,
        title: m.title.0.into_iter().collect(),
        group: m.group,
        display: m.display,
        unique: m.unique,
        version: ms(stored.version),
        builtin: stored.builtin,
    }
}

impl wit_models::Host for CallState {
    async fn names(&mut self) -> Result<Vec<String>, Error> {
        let _span = self.span("plenum:cmdb/models.names");
        let models = self.services.cmdb.models(&self.info.who).await.map_err(failed)?;
        Ok(models.into_iter().map(|m| m.model.name).collect())
    }

    async fn get(&mut self, name: String) -> Result<Option<wit_models::Model>, Error> {
        let _span = self.span("plenum:cmdb/models.get");
        match self.services.cmdb.model(&self.info.who, &name).await {
            Ok(m) => Ok(Some(model(m))),
            Err(CmdbError::NoModel { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }
}

fn change(c: plenum_store::Change) -> wit::Change {
    let text = |v: serde_json::Value| (!v.is_null()).then(|| v.to_string());
    wit::Change {
        seq: ms(c.seq),
        version: ms(c.version),
        at: ms(c.at),
        actor: c.actor,
        why: c.why,
        before: text(c.before),
        after: text(c.after),
    }
}

fn row(r: plenum_cmdb::RowResult) -> wit::RowResult {
    let attribute = match &r.error {
        Some(CmdbError::InvalidInstance { pointer, .. }) => pointer.split('/').nth(1).filter(|a| !a.is_empty()).map(str::to_owned),
        Some(CmdbError::Document(DocumentError::Duplicate { fields })) => fields.first().cloned(),
        _ => None,
    };
    let outcome = match r.outcome {
        RowOutcome::Created => wit::RowOutcome::Created,
        RowOutcome::Updated => wit::RowOutcome::Updated,
        RowOutcome::Unchanged => wit::RowOutcome::Unchanged,
        RowOutcome::Deleted => wit::RowOutcome::Deleted,
        RowOutcome::Failed => wit::RowOutcome::Failed,
    };
    wit::RowResult { outcome, id: r.id, error: r.error.map(failed), attribute }
}

impl wit::Host for CallState {
    async fn query_instances(&mut self, q: wit::Query) -> Result<wit::Page, Error> {
        let _span = self.span("plenum:cmdb/instances.query-instances");
        let query = Query {
            filter: Some(q.filter),
            search: Some(q.search).filter(|s| !s.trim().is_empty()),
            sort: sort(&q.sort),
            cursor: q.cursor,
            limit: q.limit.clamp(1, 1000),
            with_total: q.total,
            most_bytes: Some(MAX_PAGE_BYTES),
            ..Query::default()
        };
        let (cmdb, who) = (&self.services.cmdb, &self.info.who);
        let page = match q.at {
            None => cmdb.list(who, &q.model, &query).await,
            Some(at) => cmdb.list_at(who, &q.model, &query, signed(at)).await,
        };
        let page = page.map_err(failed)?;
        Ok(wit::Page { items: page.items.into_iter().map(instance).collect(), next_cursor: page.next_cursor, total: page.total.map(ms) })
    }

    async fn count(&mut self, model: String, filter: String) -> Result<u64, Error> {
        let _span = self.span("plenum:cmdb/instances.count");
        Ok(ms(self.services.cmdb.preview(&self.info.who, &model, &filter).await.map_err(failed)?.count))
    }

    async fn get(&mut self, model: String, id: String, at: Option<u64>) -> Result<Option<wit::Instance>, Error> {
        let _span = self.span("plenum:cmdb/instances.get");
        let (cmdb, who) = (&self.services.cmdb, &self.info.who);
        let answer = match at {
            None => cmdb.get(who, &model, &id).await,
            Some(at) => cmdb.get_at(who, &model, &id, signed(at)).await,
        };
        Ok(found(answer)?.map(instance))
    }

    async fn history(&mut self, model: String, id: String, before: Option<u64>, limit: u32) -> Result<Vec<wit::Change>, Error> {
        let _span = self.span("plenum:cmdb/instances.history");
        let most = (limit as usize).clamp(1, MAX_CHANGES);
        let (mut out, mut bytes, mut before) = (Vec::new(), 0, before.map(signed));
        while out.len() < most && bytes < MAX_PAGE_BYTES as usize {
            let some = self.services.cmdb.history(&self.info.who, &model, &id, before, CHANGES_AT_ONCE).await.map_err(failed)?;
            let last = some.len() < CHANGES_AT_ONCE as usize;
            before = some.last().map(|c| c.seq);
            for c in some.into_iter().map(change) {
                bytes += c.before.as_ref().map_or(0, String::len) + c.after.as_ref().map_or(0, String::len);
                out.push(c);
            }
            if last {
                break;
            }
        }
        out.truncate(most);
        Ok(out)
    }

    async fn create(&mut self, model: String, attributes: String, why: Option<String>) -> Result<wit::Instance, Error> {
        let _span = self.span("plenum:cmdb/instances.create");
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
    ) -> Result<wit::Instance, Error> {
        let _span = self.span("plenum:cmdb/instances.update");
        let patch = serde_json::from_str(&patch).map_err(|e| bad_json("patch", &e))?;
        let cmdb = &self.services.cmdb;
        cmdb.update(&self.info.who, &model, &id, patch, version.map(signed), why.as_deref()).await.map(instance).map_err(failed)
    }

    async fn delete(&mut self, model: String, id: String, version: Option<u64>, why: Option<String>) -> Result<(), Error> {
        let _span = self.span("plenum:cmdb/instances.delete");
        self.services.cmdb.delete(&self.info.who, &model, &id, version.map(signed), why.as_deref()).await.map_err(failed)
    }

    async fn write_bulk(&mut self, b: wit::Bulk) -> Result<wit::BulkResult, Error> {
        let _span = self.span("plenum:cmdb/instances.write-bulk");
        let action = match b.action {
            wit::BulkAction::Create => BulkAction::Create,
            wit::BulkAction::Update => BulkAction::Update,
            wit::BulkAction::Upsert => BulkAction::Upsert,
            wit::BulkAction::Delete => BulkAction::Delete,
        };
        let read = |(i, r): (usize, wit::BulkRow)| {
            let attributes = serde_json::from_str(&r.attributes).map_err(|e| bad_json(&format!("attributes of row {i}"), &e))?;
            Ok(BulkRow { id: r.id, attributes, version: r.version.map(signed) })
        };
        let rows = b.rows.into_iter().enumerate().map(read).collect::<Result<Vec<_>, Error>>()?;
        let bulk = Bulk { action, key: b.key, rows, all: b.all, dry_run: b.dry_run, why: b.why };
        let done = self.services.cmdb.bulk(&self.info.who, &b.model, bulk).await.map_err(failed)?;
        Ok(wit::BulkResult { kept: done.kept, rows: done.rows.into_iter().map(row).collect() })
    }

    async fn restore(&mut self, model: String, id: String, version: Option<u64>, why: Option<String>) -> Result<wit::Instance, Error> {
        let _span = self.span("plenum:cmdb/instances.restore");
        let cmdb = &self.services.cmdb;
        cmdb.restore(&self.info.who, &model, &id, version.map(signed), why.as_deref()).await.map(instance).map_err(failed)
    }
}

fn association(a: plenum_cmdb::Association) -> wit_associations::Association {
    let end = |(model, id)| wit_associations::End { model, id };
    wit_associations::Association { id: a.id, kind: a.kind, source: end(a.from), destination: end(a.to) }
}

impl wit_associations::Host for CallState {
    async fn related_instances(&mut self, model: String, id: String) -> Result<Vec<wit_associations::Related>, Error> {
        let _span = self.span("plenum:cmdb/associations.related-instances");
        let found = self.services.cmdb.related(&self.info.who, &model, &id).await.map_err(failed)?;
        let related = |r: plenum_cmdb::Related| wit_associations::Related {
            association: r.association,
            kind: r.kind,
            forward: r.direction == Direction::Forward,
            model: r.model,
            id: r.id,
            label: r.label,
        };
        Ok(found.into_iter().map(related).collect())
    }

    async fn walk_graph(&mut self, q: wit_associations::GraphQuery) -> Result<wit_associations::Graph, Error> {
        let _span = self.span("plenum:cmdb/associations.walk-graph");
        let walk = match q.walk {
            wit_associations::Walk::Around => Walk::Around,
            wit_associations::Walk::Impact => Walk::Impact,
            wit_associations::Walk::Needs => Walk::Needs,
        };
        // The CMDB takes 0 for as many as may be.
        let query = GraphQuery { walk, depth: q.depth, kinds: q.kinds, limit: q.limit.max(1) as usize };
        let found = self.services.cmdb.graph(&self.info.who, &q.start.model, &q.start.id, &query).await.map_err(failed)?;
        let node = |n: plenum_cmdb::GraphNode| wit_associations::Node { model: n.model, id: n.id, label: n.label, depth: n.depth };
        Ok(wit_associations::Graph {
            nodes: found.nodes.into_iter().map(node).collect(),
            edges: found.edges.into_iter().map(association).collect(),
            truncated: found.truncated,
        })
    }

    async fn associate(
        &mut self,
        kind: String,
        source: wit_associations::End,
        destination: wit_associations::End,
    ) -> Result<wit_associations::Association, Error> {
        let _span = self.span("plenum:cmdb/associations.associate");
        let (from, to) = ((source.model.as_str(), source.id.as_str()), (destination.model.as_str(), destination.id.as_str()));
        self.services.cmdb.associate(&self.info.who, &kind, from, to).await.map(association).map_err(failed)
    }

    async fn dissociate(&mut self, id: String) -> Result<(), Error> {
        let _span = self.span("plenum:cmdb/associations.dissociate");
        self.services.cmdb.dissociate(&self.info.who, &id).await.map_err(failed)
    }
}

impl crate::bindings::plenum::types::types::Host for CallState {}
