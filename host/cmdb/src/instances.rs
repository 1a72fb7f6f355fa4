//! Instances: list, read, create, change, delete; each change with history, audit and event.

use plenum_access::Principal;
use plenum_store::events::{NewEvent, emit};
use plenum_store::{By, Change, Document, Query, StoreError, Tx};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::model::{Model, collection};
use crate::scope::{sees_a_part, shown, shown_changes};
use crate::sources::claims::{How, Word};
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
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        let query = self.with_links(who, &m, query).await?;
        self.may_ask(who, &m, &query).await?;
        let page = self.docs.query(&collection(model), &query).await?;
        Ok(InstancePage {
            items: page.items.into_iter().map(|d| shown(who, &m, instance(&m, d))).collect(),
            next_cursor: page.next_cursor,
            total: page.total,
        })
    }

    /// A page of a model's instances as they were at a moment, in milliseconds since the Unix epoch: by today's model.
    pub async fn list_at(&self, who: &Principal, model: &str, query: &Query, at: i64) -> Result<InstancePage, CmdbError> {
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        let query = self.with_links(who, &m, query).await?;
        self.may_ask(who, &m, &query).await?;
        let page = self.docs.query_at(&collection(model), &query, at).await?;
        Ok(InstancePage {
            items: page.items.into_iter().map(|d| shown(who, &m, instance(&m, d))).collect(),
            next_cursor: page.next_cursor,
            total: page.total,
        })
    }

    /// One instance as it was at a moment.
    pub async fn get_at(&self, who: &Principal, model: &str, id: &str, at: i64) -> Result<Instance, CmdbError> {
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        match self.docs.get_at(&collection(model), id, at).await? {
            Some(d) => Ok(shown(who, &m, instance(&m, d))),
            None => Err(CmdbError::NotFound(format!("there was no {model} {id} at that time"))),
        }
    }

    /// How many instances a filter matches, and whether an index serves it.
    pub async fn preview(&self, who: &Principal, model: &str, filter: &str) -> Result<Preview, CmdbError> {
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        let query = self.with_links(who, &m, &Query { filter: Some(filter.to_owned()), ..Query::default() }).await?;
        self.may_ask(who, &m, &query).await?;
        let fields = match filter.trim() {
            "" => Vec::new(),
            f => self.checked(who, &m, f).await?.fields(),
        };
        let unindexed = fields.into_iter().filter(|f| m.attribute(f).is_some_and(|a| !a.indexed)).collect();
        Ok(Preview { count: self.docs.count_of(&collection(model), &query).await?, unindexed })
    }

    /// One instance.
    pub async fn get(&self, who: &Principal, model: &str, id: &str) -> Result<Instance, CmdbError> {
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        let d = self.docs.get(&collection(model), id).await?;
        Ok(shown(who, &m, instance(&m, d.ok_or_else(|| missing(model, id))?)))
    }

    /// Several instances by id; those that are gone are left out.
    pub async fn get_many(&self, who: &Principal, model: &str, ids: &[String]) -> Result<Vec<Instance>, CmdbError> {
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        Ok(self.docs.get_many(&collection(model), ids).await?.into_iter().map(|d| shown(who, &m, instance(&m, d))).collect())
    }

    /// Creates an instance.
    pub async fn create(&self, who: &Principal, model: &str, attributes: Json, why: Option<&str>) -> Result<Instance, CmdbError> {
        self.may_set(who, model, attributes.as_object().into_iter().flat_map(Map::keys)).await?;
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        let attributes = without_nulls(m.with_defaults(attributes));
        m.check_instance(&attributes)?;
        let made = self.make_in(&mut tx, who, &m, attributes, why).await?;
        tx.commit().await?;
        Ok(shown(who, &m, made))
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
        self.may_set(who, model, patch.as_object().into_iter().flat_map(Map::keys)).await?;
        let Json::Object(patch) = patch else {
            return Err(CmdbError::InvalidInstance {
                pointer: String::new(),
                message: "the change of an instance is a JSON object".into(),
            });
        };
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        crate::bulk::may_edit(who, &m, patch.keys())?;
        let after = self.write_in(&mut tx, who, &m, id, patch, expected, why).await?;
        tx.commit().await?;
        Ok(shown(who, &m, after))
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
        if let Json::Object(o) = &mut data {
            o.extend(patch);
        }
        let data = without_nulls(data);
        m.check_instance(&data)?;
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
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        self.delete_in(&mut tx, who, &m, id, expected, why).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(crate) async fn delete_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        id: &str,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<(), CmdbError> {
        let actor = who.actor().to_string();
        let gone = self.docs.delete(tx, &collection(&m.name), id, expected, By { actor: &actor, why }).await?;
        let gone = gone.ok_or_else(|| missing(&m.name, id))?;
        tx.execute("DELETE FROM cmdb_associations WHERE from_id = ?", plenum_store::params![id]).await?;
        tx.execute("DELETE FROM cmdb_associations WHERE to_id = ?", plenum_store::params![id]).await?;
        tx.execute("DELETE FROM cmdb_claims WHERE record = ?", plenum_store::params![id]).await?;
        self.tell(tx, who, "deleted", m, id, &m.label(&gone.data, id), Some(&gone.data), None).await?;
        Ok(())
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
        self.may_read(who, model).await?;
        let m = self.stored(model).await?.model;
        Ok(shown_changes(who, &m, self.docs.history(&collection(model), id, before_seq, limit).await?))
    }

    /// Free text over the models that the caller may read: at most `limit` of each.
    pub async fn search(&self, who: &Principal, text: &str, limit: u32) -> Result<Vec<Instance>, CmdbError> {
        let mut out = Vec::new();
        // Free text is looked for in all attributes.
        if sees_a_part(who) {
            return Ok(out);
        }
        for m in self.models(who).await? {
            let query = Query {
                search: Some(text.to_owned()),
                limit: limit.clamp(1, 20),
                sort: Some(("updated_at".into(), true)),
                ..Query::default()
            };
            let page = self.docs.query(&collection(&m.model.name), &query).await?;
            out.extend(page.items.into_iter().map(|d| instance(&m.model, d)));
        }
        Ok(out)
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
        emit(tx, NewEvent { kind: format!("plenum.cmdb.instance.{what}"), source: "/cmdb".into(), subject: target, data }).await
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
