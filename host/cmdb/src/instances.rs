//! Instances: list, read, create, change, delete; each change with history, audit and event.

use std::collections::BTreeSet;

use plenum_access::{DataScope, Permission, Principal};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{By, Change, Document, DocumentError, Query, StoreError, Tx};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::model::{Model, collection};
use crate::requests::{Act, touched};
use crate::sources::claims::{How, Word};
use crate::view::{View, keys, strip_change};
use crate::{Cmdb, CmdbError};

/// A record of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its model.
    pub model: String,
    /// What people call it.
    pub label: String,
    /// Counts from 1 with every change.
    pub version: i64,
    /// What is known.
    pub attributes: Json,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
}

/// A page of instances.
#[derive(Debug, Clone)]
pub struct InstancePage {
    /// The rows.
    pub items: Vec<Instance>,
    /// For the next page.
    pub next_cursor: Option<String>,
    /// All matches, when asked for.
    pub total: Option<i64>,
}

/// What a filter matches.
#[derive(Debug, Clone)]
pub struct Preview {
    /// How many.
    pub count: i64,
    /// Attributes that the filter compares and no index serves.
    pub unindexed: Vec<String>,
}

/// The record of an instance that was read whole.
fn document(i: &Instance) -> Document {
    Document { id: i.id.clone(), version: i.version, data: i.attributes.clone(), created_at: i.created_at, updated_at: i.updated_at }
}

pub(crate) fn instance(model: &Model, d: Document) -> Instance {
    Instance {
        label: model.label(&d.data, &d.id),
        model: model.name.clone(),
        id: d.id,
        version: d.version,
        attributes: d.data,
        created_at: d.created_at,
        updated_at: d.updated_at,
    }
}

impl Cmdb {
    /// A page of a model's instances.
    pub async fn list(&self, who: &Principal, model: &str, query: &Query) -> Result<InstancePage, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        self.page(who, &view, query, None).await
    }

    /// A page of a model's instances as they were at a moment, in milliseconds since the Unix epoch: by today's model.
    pub async fn list_at(&self, who: &Principal, model: &str, query: &Query, at: i64) -> Result<InstancePage, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        self.page(who, &view, query, Some(at)).await
    }

    /// One instance as it was at a moment.
    pub async fn get_at(&self, who: &Principal, model: &str, id: &str, at: i64) -> Result<Instance, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        match self.docs.get_at(&collection(model), id, at).await? {
            Some(d) if view.sees(&d) => Ok(view.show(d)),
            _ => Err(CmdbError::NotFound(format!("there was no {model} {id} at that time"))),
        }
    }

    /// How many instances a filter matches, and whether an index serves it.
    pub async fn preview(&self, who: &Principal, model: &str, filter: &str) -> Result<Preview, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        let query = Query { filter: Some(filter.to_owned()).filter(|f| !f.trim().is_empty()), ..Query::default() };
        let query = self.with_links(who, &view.model, &query).await?;
        if view.is_whole() || view.checked(&query).is_ok() {
            self.may_ask(who, &view.model, &query).await?;
        }
        let fields = match filter.trim() {
            "" => Vec::new(),
            _ => view.checked(&query)?.map(|f| f.fields()).unwrap_or_default(),
        };
        let unindexed = fields.into_iter().filter(|f| view.model.attribute(f).is_some_and(|a| !a.indexed)).collect();
        Ok(Preview { count: self.docs.count_of(&collection(model), &view.narrow(&query)?).await?, unindexed })
    }

    /// One instance.
    pub async fn get(&self, who: &Principal, model: &str, id: &str) -> Result<Instance, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        Ok(view.show(self.seen(&view, id).await?))
    }

    /// Several instances by id; those that are gone are left out.
    pub async fn get_many(&self, who: &Principal, model: &str, ids: &[String]) -> Result<Vec<Instance>, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        let found = self.docs.get_many(&collection(model), ids).await?;
        Ok(found.into_iter().filter(|d| view.sees(d)).map(|d| view.show(d)).collect())
    }

    /// Creates an instance.
    pub async fn create(&self, who: &Principal, model: &str, attributes: Json, why: Option<&str>) -> Result<Instance, CmdbError> {
        self.may_set(who, model, keys(&attributes)).await?;
        let view = self.view(who, Permission::CmdbWrite, model).await?;
        let mut tx = self.db.begin().await?;
        let view = view.with(self.stored_in(&mut tx, model).await?.model);
        let made = self.create_in(&mut tx, who, &view, attributes, why).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Creates an instance within what the caller may change; answers what the caller sees of it.
    pub(crate) async fn create_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        view: &View,
        attributes: Json,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        view.must_know(keys(&attributes))?;
        let attributes = without_nulls(view.model.with_defaults(attributes));
        view.model.check_instance(&attributes).map_err(|e| view.discreet(e))?;
        let made = self.make_in(tx, who, &view.model, attributes, why).await.map_err(|e| view.discreet(e))?;
        if !view.is_whole() {
            view.must_still_change(&document(&made))?;
        }
        Ok(view.show_instance(made))
    }

    /// A new instance by a direct write, with where its values come from.
    pub(crate) async fn make_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        attributes: Json,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        let made = self.insert_in(tx, who, m, attributes, why).await?;
        self.born_in(tx, m, &made, Word::of(&self.source_of(who), How::Written)).await?;
        Ok(made)
    }

    pub(crate) async fn insert_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        attributes: Json,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        self.gate_in(tx, who, m, Act::Create, &touched(&attributes), &attributes).await?;
        self.check_references(tx, m, &attributes, None).await?;
        let actor = who.actor().to_string();
        let d = self.docs.insert(tx, &collection(&m.name), None, attributes, By { actor: &actor, why }).await?;
        let made = instance(m, d);
        self.tell(tx, who, "created", m, &made.id, &made.label, None, Some(&made.attributes)).await?;
        Ok(made)
    }

    /// Changes an instance: the keys of `patch` replace its attributes, null removes (RFC 7396 at the top level).
    pub async fn update(
        &self,
        who: &Principal,
        model: &str,
        id: &str,
        patch: Json,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        self.may_set(who, model, keys(&patch)).await?;
        let view = self.view(who, Permission::CmdbWrite, model).await?;
        let Json::Object(patch) = patch else {
            return Err(CmdbError::InvalidInstance {
                pointer: String::new(),
                message: "the change of an instance is a JSON object".into(),
            });
        };
        let mut tx = self.db.begin().await?;
        let view = view.with(self.stored_in(&mut tx, model).await?.model);
        let after = self.change_in(&mut tx, who, &view, id, patch, expected, why).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Changes an instance within what the caller may change, before and after; answers what the caller sees of it.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn change_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        view: &View,
        id: &str,
        patch: Map<String, Json>,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        self.may_change_in(tx, view, id).await?;
        view.must_know(patch.keys())?;
        crate::bulk::may_edit(who, &view.model, patch.keys())?;
        let after = self.write_in(tx, who, &view.model, id, patch, expected, why).await.map_err(|e| view.discreet(e))?;
        if !view.is_whole() {
            view.must_still_change(&document(&after))?;
        }
        Ok(view.show_instance(after))
    }

    /// Refuses a record that the caller may not change.
    pub(crate) async fn may_change_in(&self, tx: &mut Tx, view: &View, id: &str) -> Result<(), CmdbError> {
        if view.is_whole() {
            return Ok(());
        }
        let before = self.docs.get_in(tx, &collection(&view.model.name), id).await?.ok_or_else(|| missing(&view.model.name, id))?;
        view.must_change(&before)
    }

    /// Whether the instances are there that changed references name.
    async fn check_references(&self, tx: &mut Tx, m: &Model, after: &Json, before: Option<&Json>) -> Result<(), CmdbError> {
        for a in m.attributes.iter().filter(|a| a.kind.refers()) {
            let Some(value) = after.get(&a.name).filter(|v| before.and_then(|b| b.get(&a.name)) != Some(*v)) else { continue };
            let target = a.target.as_deref().unwrap_or_default();
            let ids: BTreeSet<&str> = match value {
                Json::Array(l) => l.iter().filter_map(Json::as_str).collect(),
                v => v.as_str().into_iter().collect(),
            };
            for id in ids {
                let found = match self.docs.ids_in(tx, &collection(target), &format!("id == {}", json!(id)), 1).await {
                    // The model may have been deleted since.
                    Err(DocumentError::NoCollection(_)) => Vec::new(),
                    other => other?,
                };
                if found.is_empty() {
                    let message = format!("{} has to be the id of a {target}, and there is no {target} {id}", a.name);
                    return Err(CmdbError::InvalidInstance { pointer: format!("/{}", a.name), message });
                }
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn patch_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        id: &str,
        patch: Map<String, Json>,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        let name = collection(&m.name);
        let before = self.docs.get_in(tx, &name, id).await?.ok_or_else(|| missing(&m.name, id))?;
        let mut data = before.data.clone();
        // What is as it was is no change.
        let differs: Vec<&str> =
            patch.iter().filter(|(k, v)| before.data.get(*k).unwrap_or(&Json::Null) != *v).map(|(k, _)| k.as_str()).collect();
        if !differs.is_empty() {
            self.gate_in(tx, who, m, Act::Update, &differs, &before.data).await?;
        }
        if let Json::Object(o) = &mut data {
            o.extend(patch);
        }
        let data = without_nulls(data);
        m.check_instance(&data)?;
        self.check_references(tx, m, &data, Some(&before.data)).await?;
        let actor = who.actor().to_string();
        let after = self.docs.update(tx, &name, id, data, expected, By { actor: &actor, why }).await?;
        let changed = after.version != before.version;
        let after = instance(m, after);
        if changed {
            self.tell(tx, who, "updated", m, id, &after.label, Some(&before.data), Some(&after.attributes)).await?;
        }
        Ok(after)
    }

    /// Deletes an instance and its associations.
    pub async fn delete(&self, who: &Principal, model: &str, id: &str, expected: Option<i64>, why: Option<&str>) -> Result<(), CmdbError> {
        self.may_set_all(who, model).await?;
        let view = self.view(who, Permission::CmdbWrite, model).await?;
        let scope = self.scope(who).await?;
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        self.may_change_in(&mut tx, &view.with(m.clone()), id).await?;
        self.delete_in(&mut tx, who, scope.as_deref(), &m, id, expected, why).await?;
        tx.commit().await?;
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn delete_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        scope: Option<&DataScope>,
        m: &Model,
        id: &str,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<(), CmdbError> {
        let actor = who.actor().to_string();
        let gone = self.docs.delete(tx, &collection(&m.name), id, expected, By { actor: &actor, why }).await?;
        let gone = gone.ok_or_else(|| missing(&m.name, id))?;
        self.gate_in(tx, who, m, Act::Delete, &[], &gone.data).await?;
        let label = m.label(&gone.data, id);
        let along = self.unlink_in(tx, &m.name, id, &label).await?;
        tx.execute("DELETE FROM cmdb_claims WHERE record = ?", plenum_store::params![id]).await?;
        tx.execute("DELETE FROM cmdb_secrets WHERE record = ?", plenum_store::params![id]).await?;
        self.tell(tx, who, "deleted", m, id, &label, Some(&gone.data), None).await?;
        self.cascade_in(tx, who, scope, along, why).await
    }

    /// Changes of an instance, newest first.
    pub async fn history(
        &self,
        who: &Principal,
        model: &str,
        id: &str,
        before_seq: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Change>, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        if !view.is_whole() && self.last_known(&view, id).await?.is_none() {
            return Ok(Vec::new());
        }
        let changes = self.docs.history(&collection(model), id, before_seq, limit).await?;
        Ok(changes.into_iter().map(|c| strip_change(&view, c)).collect())
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn tell(
        &self,
        tx: &mut Tx,
        who: &Principal,
        what: &str,
        m: &Model,
        id: &str,
        label: &str,
        before: Option<&Json>,
        after: Option<&Json>,
    ) -> Result<(), StoreError> {
        match after {
            Some(after) => crate::search::index_in(tx, m, id, after),
            None => crate::search::forget_in(tx, id),
        }
        let target = format!("{}/{id}", m.name);
        let verb = what.trim_end_matches('d');
        self.access.audit(tx, who, &format!("cmdb.instance.{verb}"), &target, before, after).await?;
        let changed: Vec<&str> = match (before.and_then(Json::as_object), after.and_then(Json::as_object)) {
            (Some(b), Some(a)) => {
                b.keys().chain(a.keys().filter(|k| !b.contains_key(*k))).filter(|k| b.get(*k) != a.get(*k)).map(String::as_str).collect()
            }
            _ => Vec::new(),
        };
        let data = json!({"model": m.name, "id": id, "label": label, "changed": changed, "by": who.actor().to_string()});
        emit_later(tx, NewEvent { kind: format!("plenum.cmdb.instance.{what}"), source: "/cmdb".into(), subject: target, data })
    }
}

pub(crate) fn missing(model: &str, id: &str) -> CmdbError {
    CmdbError::NotFound(format!("there is no {model} {id}; it may have been deleted"))
}

pub(crate) fn without_nulls(mut v: Json) -> Json {
    if let Json::Object(o) = &mut v {
        o.retain(|_, v| !v.is_null());
    }
    v
}
