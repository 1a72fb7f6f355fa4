//! Typed links between instances.

use std::collections::HashMap;

use plenum_access::{AccessError, DataScope, KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS, Permission, Principal};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{By, Row, StoreError, Tx, new_id, now_ms, params};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::instances::{missing, without_nulls};
use crate::kinds::{Kind, OnDelete};
use crate::model::{check_object, collection};
use crate::view::View;
use crate::{Cmdb, CmdbError};

/// The columns of [`read`].
pub(crate) const COLUMNS: &str = "id, kind, from_model, from_id, to_model, to_id, attributes";
/// Records that one deletion takes with it, at most.
const MAX_CASCADE: usize = 1000;
/// Links that come back with a restored record, at most.
const MAX_RELINKED: i64 = 1000;

/// A stored link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Association {
    /// Its id.
    pub id: String,
    /// Name of its kind.
    pub kind: String,
    /// Model and id of the source.
    pub from: (String, String),
    /// Model and id of the destination.
    pub to: (String, String),
    /// What is known of the link.
    #[serde(default, skip_serializing_if = "empty")]
    pub attributes: Json,
}

fn empty(v: &Json) -> bool {
    v.as_object().is_none_or(Map::is_empty)
}

/// Which end of the link the asked instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It is the source.
    Forward,
    /// It is the destination.
    Backward,
}

/// A linked instance, as seen from the other end.
#[derive(Debug, Clone, Serialize)]
pub struct Related {
    /// The link's id.
    pub association: String,
    /// Name of its kind.
    pub kind: String,
    /// Which end the asked instance is.
    pub direction: Direction,
    /// Model of the other instance.
    pub model: String,
    /// Id of the other instance.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// What is known of the link.
    pub attributes: Json,
}

pub(crate) fn attributes_of(r: &Row) -> Result<Json, StoreError> {
    Ok(match r.json("attributes")? {
        Json::Null => Json::Object(Map::new()),
        v => v,
    })
}

pub(crate) fn read(r: &Row) -> Result<Association, StoreError> {
    Ok(Association {
        id: r.text("id")?,
        kind: r.text("kind")?,
        from: (r.text("from_model")?, r.text("from_id")?),
        to: (r.text("to_model")?, r.text("to_id")?),
        attributes: attributes_of(r)?,
    })
}

impl Kind {
    /// Checks the attributes of a link.
    pub(crate) fn check_link(&self, attributes: &Json) -> Result<(), CmdbError> {
        check_object(&format!("an association of {}", self.name), &self.attributes, attributes).map_err(|e| match e {
            CmdbError::InvalidInstance { pointer, message } => {
                CmdbError::InvalidInstance { pointer: format!("/attributes{pointer}"), message }
            }
            e => e,
        })
    }

    fn with_defaults(&self, mut attributes: Json) -> Json {
        if let Json::Object(o) = &mut attributes {
            for a in &self.attributes {
                if let Some(d) = &a.default
                    && !o.contains_key(&a.name)
                {
                    o.insert(a.name.clone(), d.clone());
                }
            }
        }
        without_nulls(attributes)
    }

    /// What holds the cardinality in the database.
    fn ones(&self, from: &str, to: &str) -> (Option<String>, Option<String>) {
        let key = |one: bool, id: &str| one.then(|| format!("{}/{id}", self.name));
        (key(self.cardinality.one_destination(), from), key(self.cardinality.one_source(), to))
    }
}

impl Cmdb {
    /// Links two instances. Linking them again answers the link that is there.
    pub async fn associate(
        &self,
        who: &Principal,
        kind_name: &str,
        from: (&str, &str),
        to: (&str, &str),
    ) -> Result<Association, CmdbError> {
        self.associate_with(who, kind_name, from, to, Json::Object(Map::new())).await
    }

    /// [`Cmdb::associate`] with attributes of the link; a link that is there gets those.
    pub async fn associate_with(
        &self,
        who: &Principal,
        kind_name: &str,
        from: (&str, &str),
        to: (&str, &str),
        attributes: Json,
    ) -> Result<Association, CmdbError> {
        self.access
            .require(who, Permission::CmdbWrite, &[("models", from.0), ("models", to.0), KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS])
            .await?;
        if from == to {
            return Err(invalid("/to", "an instance is not associated with itself".into()));
        }
        let scope = self.scope(who).await?;
        let mut tx = self.db.begin().await?;
        let k = self.kind_in(&mut tx, kind_name).await?;
        if !k.links(from.0, to.0) {
            let message = format!("{kind_name} does not link {} with {}; it links {}", from.0, to.0, k.pairs_in_words());
            return Err(invalid("/kind", message));
        }
        // In one order, whichever way the link goes: two who link the same pair both ways at once must not wait for each other.
        let ends = if from <= to { [from, to] } else { [to, from] };
        for (model, id) in ends {
            self.end_in(&mut tx, scope.as_deref(), model, id).await?;
        }
        let a = self.associate_in(&mut tx, who, &k, from, to, attributes).await?;
        tx.commit().await?;
        Ok(a)
    }

    /// An end of a link that is to be made, changed or removed: a record that the caller may change.
    async fn end_in(&self, tx: &mut Tx, scope: Option<&DataScope>, model: &str, id: &str) -> Result<(), CmdbError> {
        let m = match self.stored_in(tx, model).await {
            Err(CmdbError::NoModel { name, .. }) if scope.is_some() => return Err(CmdbError::NoModel { name, hint: None }),
            other => other?.model,
        };
        let view = View::of(m, scope).ok_or_else(|| CmdbError::NoModel { name: model.to_owned(), hint: None })?;
        match self.docs.get_in(tx, &collection(model), id).await? {
            Some(d) => view.must_change(&d),
            None => Err(missing(model, id)),
        }
    }

    /// Says who has the one link already that a kind allows, if somebody has.
    pub(crate) async fn taken(&self, tx: &mut Tx, k: &Kind, from: (&str, &str), to: (&str, &str)) -> Result<(), CmdbError> {
        let (one_from, one_to) = k.ones(from.1, to.1);
        for (column, key) in [("one_from", one_from), ("one_to", one_to)] {
            let Some(key) = key else { continue };
            let other = tx.fetch_optional(&format!("SELECT {COLUMNS} FROM cmdb_associations WHERE {column} = ?"), params![key]).await?;
            if let Some(o) = other {
                let o = read(&o)?;
                let (once, end) = if column == "one_from" { (from, "one destination") } else { (to, "one source") };
                let message = format!(
                    "{}/{} already {} {}/{}; by {} {}/{} has at most {end}: remove that first",
                    o.from.0,
                    o.from.1,
                    k.says(),
                    o.to.0,
                    o.to.1,
                    k.name,
                    once.0,
                    once.1
                );
                return Err(CmdbError::InUse(message));
            }
        }
        Ok(())
    }

    pub(crate) async fn associate_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        k: &Kind,
        from: (&str, &str),
        to: (&str, &str),
        attributes: Json,
    ) -> Result<Association, CmdbError> {
        let sql = format!("SELECT {COLUMNS} FROM cmdb_associations WHERE kind = ? AND from_id = ? AND to_id = ?");
        if let Some(r) = tx.fetch_optional(&sql, params![&k.name, from.1, to.1]).await? {
            let found = read(&r)?;
            return match attributes {
                Json::Object(o) if o.is_empty() => Ok(found),
                Json::Object(o) => self.patch_link(tx, who, k, found, o).await,
                _ => Err(invalid("/attributes", "the attributes of an association are a JSON object".into())),
            };
        }
        self.taken(tx, k, from, to).await?;
        let attributes = k.with_defaults(attributes);
        k.check_link(&attributes)?;
        let a = Association {
            id: new_id(),
            kind: k.name.clone(),
            from: (from.0.to_owned(), from.1.to_owned()),
            to: (to.0.to_owned(), to.1.to_owned()),
            attributes,
        };
        self.put_link(tx, k, &a, now_ms(), &who.actor().to_string()).await?;
        self.tell_association(tx, who, "created", None, &a).await?;
        Ok(a)
    }

    /// Writes a new link. Of two who write at once what only one may have, the database lets one.
    async fn put_link(&self, tx: &mut Tx, k: &Kind, a: &Association, at: i64, by: &str) -> Result<(), CmdbError> {
        let (one_from, one_to) = k.ones(&a.from.1, &a.to.1);
        tx.execute(
            "INSERT INTO cmdb_associations (id, kind, from_model, from_id, to_model, to_id, created_at, created_by, attributes, one_from, one_to)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![&a.id, &a.kind, &a.from.0, &a.from.1, &a.to.0, &a.to.1, at, by, a.attributes.clone(), one_from, one_to],
        )
        .await
        .map_err(|e| match e {
            StoreError::Unique(_) => CmdbError::InUse(format!(
                "{}/{} or {}/{} was just linked by {}, which it may be only once; read it again",
                a.from.0, a.from.1, a.to.0, a.to.1, k.name
            )),
            e => e.into(),
        })?;
        Ok(())
    }

    async fn patch_link(
        &self,
        tx: &mut Tx,
        who: &Principal,
        k: &Kind,
        before: Association,
        patch: Map<String, Json>,
    ) -> Result<Association, CmdbError> {
        let mut attributes = before.attributes.clone();
        if let Json::Object(o) = &mut attributes {
            o.extend(patch);
        }
        let attributes = without_nulls(attributes);
        if attributes == before.attributes {
            return Ok(before);
        }
        k.check_link(&attributes)?;
        let after = Association { attributes, ..before.clone() };
        tx.execute("UPDATE cmdb_associations SET attributes = ? WHERE id = ?", params![after.attributes.clone(), &after.id]).await?;
        self.tell_association(tx, who, "updated", Some(&before), &after).await?;
        Ok(after)
    }

    /// Changes the attributes of a link: those of `patch` replace, null removes.
    pub async fn update_association(&self, who: &Principal, id: &str, patch: Map<String, Json>) -> Result<Association, CmdbError> {
        let scope = self.scope(who).await?;
        let mut tx = self.db.begin().await?;
        let a = match self.link_for(&mut tx, who, scope.as_deref(), id).await {
            Ok(a) => a,
            Err(e) => {
                tx.rollback().await?;
                return Err(self.refusal(who, e).await);
            }
        };
        let k = self.kind_in(&mut tx, &a.kind).await?;
        let after = self.patch_link(&mut tx, who, &k, a, patch).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// The link, if the caller may write both its ends.
    async fn link_for(&self, tx: &mut Tx, who: &Principal, scope: Option<&DataScope>, id: &str) -> Result<Association, CmdbError> {
        self.access.check(who, Permission::CmdbWrite, &[KEEPS_TO_ATTRIBUTES]).map_err(AccessError::Denied)?;
        let row = tx.fetch_optional(&format!("SELECT {COLUMNS} FROM cmdb_associations WHERE id = ?"), params![id]).await?;
        let Some(a) = row.as_ref().map(read).transpose()? else {
            return Err(CmdbError::NotFound(format!("there is no association {id}")));
        };
        self.access
            .check(who, Permission::CmdbWrite, &[("models", &a.from.0), ("models", &a.to.0), KEEPS_TO_ATTRIBUTES])
            .map_err(AccessError::Denied)?;
        for (model, end) in [&a.from, &a.to] {
            match self.end_in(tx, scope, model, end).await {
                // A link to what is not seen is not there.
                Err(CmdbError::NotFound(_) | CmdbError::NoModel { .. }) if scope.is_some() => {
                    return Err(CmdbError::NotFound(format!("there is no association {id}")));
                }
                other => other?,
            }
        }
        Ok(a)
    }

    /// A refusal is written in a transaction of its own, and SQLite has one writer: so after the one that found it has ended.
    pub(crate) async fn refusal(&self, who: &Principal, e: CmdbError) -> CmdbError {
        match e {
            CmdbError::Access(AccessError::Denied(d)) => self.access.refuse(who, d, &[]).await.into(),
            e => e,
        }
    }

    /// Makes a service run on this host and no other, as discovery sees it.
    pub(crate) async fn runs_on_in(&self, tx: &mut Tx, who: &Principal, service: (&str, &str), host: &str) -> Result<(), CmdbError> {
        let k = self.kind_in(tx, "runs_on").await?;
        let sql = format!("SELECT {COLUMNS} FROM cmdb_associations WHERE kind = ? AND from_id = ? AND to_id <> ?");
        for r in &tx.fetch_all(&sql, params![&k.name, service.1, host]).await? {
            self.remove_link(tx, who, &read(r)?).await?;
        }
        self.associate_in(tx, who, &k, service, ("host", host), Json::Object(Map::new())).await?;
        Ok(())
    }

    pub(crate) async fn remove_link(&self, tx: &mut Tx, who: &Principal, a: &Association) -> Result<(), CmdbError> {
        tx.execute("DELETE FROM cmdb_associations WHERE id = ?", params![&a.id]).await?;
        Ok(self.tell_association(tx, who, "deleted", Some(a), a).await?)
    }

    /// Removes a link.
    pub async fn dissociate(&self, who: &Principal, id: &str) -> Result<(), CmdbError> {
        let scope = self.scope(who).await?;
        let mut tx = self.db.begin().await?;
        match self.link_for(&mut tx, who, scope.as_deref(), id).await {
            Ok(a) => self.remove_link(&mut tx, who, &a).await?,
            Err(e) => {
                tx.rollback().await?;
                return Err(self.refusal(who, e).await);
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// What becomes of the links of a record that was just deleted, by the rules of their kinds: answers the records that go with it.
    pub(crate) async fn unlink_in(&self, tx: &mut Tx, model: &str, id: &str, label: &str) -> Result<Vec<(String, String)>, CmdbError> {
        let mut along = Vec::new();
        for (own, other, is_source) in [("from", "to", true), ("to", "from", false)] {
            let kinds = tx
                .fetch_all(
                    &format!("SELECT kind, COUNT(*) AS n FROM cmdb_associations WHERE {own}_id = ? GROUP BY kind ORDER BY kind"),
                    params![id],
                )
                .await?;
            for r in &kinds {
                let (name, n) = (r.text("kind")?, r.int("n")?);
                let k = self.kind_in(tx, &name).await?;
                match if is_source { k.on_delete.source } else { k.on_delete.destination } {
                    OnDelete::Unlink => {}
                    OnDelete::Keep => {
                        tx.execute(
                            &format!(
                                "INSERT INTO cmdb_kept_associations (id, kind, from_model, from_id, to_model, to_id, created_at, created_by, attributes)
                                 SELECT id, kind, from_model, from_id, to_model, to_id, created_at, created_by, attributes
                                 FROM cmdb_associations WHERE {own}_id = ? AND kind = ?"
                            ),
                            params![id, &name],
                        )
                        .await?;
                    }
                    OnDelete::Refuse => {
                        let message = format!(
                            "{label} ({model}/{id}) has {n} associations of {name}, which keep it from being deleted: remove them first"
                        );
                        return Err(CmdbError::InUse(message));
                    }
                    OnDelete::Cascade => {
                        let sql = format!(
                            "SELECT {other}_model AS model, {other}_id AS id FROM cmdb_associations WHERE {own}_id = ? AND kind = ? LIMIT ?"
                        );
                        let most = i64::try_from(MAX_CASCADE).unwrap_or(i64::MAX) + 1;
                        for r in &tx.fetch_all(&sql, params![id, &name, most]).await? {
                            along.push((r.text("model")?, r.text("id")?));
                        }
                    }
                }
            }
            tx.execute(&format!("DELETE FROM cmdb_associations WHERE {own}_id = ?"), params![id]).await?;
        }
        Ok(along)
    }

    /// Deletes what goes with a deleted record, and what goes with that.
    pub(crate) async fn cascade_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        scope: Option<&DataScope>,
        mut along: Vec<(String, String)>,
        why: Option<&str>,
    ) -> Result<(), CmdbError> {
        let mut gone = 0;
        while let Some((model, id)) = along.pop() {
            self.access.check(who, Permission::CmdbWrite, &[("models", &model)]).map_err(AccessError::Denied)?;
            let m = self.stored_in(tx, &model).await?.model;
            let refused = || CmdbError::InUse("records that you may not delete would be deleted with it; ask an administrator".into());
            let view = View::of(m.clone(), scope).ok_or_else(refused)?;
            if !view.is_whole() && self.docs.get_in(tx, &collection(&model), &id).await?.is_some_and(|d| !view.changes(&d)) {
                return Err(refused());
            }
            let actor = who.actor().to_string();
            // Two ways may lead to it.
            let Some(d) = self.docs.delete(tx, &collection(&model), &id, None, By { actor: &actor, why }).await? else { continue };
            gone += 1;
            self.gate_in(tx, who, &m, crate::requests::Act::Delete, &[], &d.data).await?;
            tx.execute("DELETE FROM cmdb_secrets WHERE record = ?", params![&id]).await?;
            let label = m.label(&d.data, &id);
            along.extend(self.unlink_in(tx, &model, &id, &label).await?);
            if gone + along.len() > MAX_CASCADE {
                let message = format!("more than {MAX_CASCADE} records would be deleted with it by its associations; delete them in parts");
                return Err(CmdbError::InUse(message));
            }
            self.tell(tx, who, "deleted", &m, &id, &label, Some(&d.data), None).await?;
        }
        Ok(())
    }

    /// Brings back the links that were put by when a record was deleted, as far as both ends are there and nothing took their place.
    pub(crate) async fn relink_in(&self, tx: &mut Tx, who: &Principal, id: &str) -> Result<(), CmdbError> {
        let sql = format!(
            "SELECT {COLUMNS}, created_at, created_by FROM cmdb_kept_associations WHERE from_id = ?
             UNION ALL SELECT {COLUMNS}, created_at, created_by FROM cmdb_kept_associations WHERE to_id = ? LIMIT ?"
        );
        for r in &tx.fetch_all(&sql, params![id, id, MAX_RELINKED]).await? {
            let a = read(r)?;
            let other = if a.from.1 == id { &a.to } else { &a.from };
            if self.docs.get_in(tx, &collection(&other.0), &other.1).await?.is_none() {
                continue;
            }
            tx.execute("DELETE FROM cmdb_kept_associations WHERE id = ?", params![&a.id]).await?;
            let k = self.kind_in(tx, &a.kind).await?;
            let there = tx
                .fetch_optional(
                    "SELECT 1 AS one FROM cmdb_associations WHERE kind = ? AND from_id = ? AND to_id = ?",
                    params![&a.kind, &a.from.1, &a.to.1],
                )
                .await?;
            let (from, to) = ((a.from.0.as_str(), a.from.1.as_str()), (a.to.0.as_str(), a.to.1.as_str()));
            // The kind may have changed since.
            if there.is_some() || !k.links(from.0, to.0) || k.check_link(&a.attributes).is_err() {
                continue;
            }
            match self.taken(tx, &k, from, to).await {
                Ok(()) => {}
                Err(CmdbError::InUse(_)) => continue,
                Err(e) => return Err(e),
            }
            self.put_link(tx, &k, &a, r.int("created_at")?, &r.text("created_by")?).await?;
            self.tell_association(tx, who, "created", None, &a).await?;
        }
        Ok(())
    }

    /// What an instance is linked with, both ways; at most 1,000, of the models that the caller may read.
    pub async fn related(&self, who: &Principal, model: &str, id: &str) -> Result<Vec<Related>, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        self.seen(&view, id).await?;
        let rows = self
            .db
            .fetch_all(
                &format!(
                    "SELECT {COLUMNS} FROM cmdb_associations WHERE from_id = ?
                     UNION ALL SELECT {COLUMNS} FROM cmdb_associations WHERE to_id = ? LIMIT 1000"
                ),
                params![id, id],
            )
            .await?;
        let mut out = Vec::with_capacity(rows.len());
        let mut by_model: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
        for r in &rows {
            let a = read(r)?;
            let (direction, other) = if a.from.1 == id { (Direction::Forward, a.to) } else { (Direction::Backward, a.from) };
            if !self.sees(who, &other.0) {
                continue;
            }
            by_model.entry(other.0.clone()).or_default().push(other.1.clone());
            out.push(Related {
                association: a.id,
                kind: a.kind,
                direction,
                model: other.0,
                label: other.1.clone(),
                id: other.1,
                attributes: a.attributes,
            });
        }
        let scope = self.scope(who).await?;
        let mut labels = HashMap::new();
        for (model, ids) in by_model {
            for (id, label) in self.labels(who, scope.as_deref(), &model, &ids).await? {
                labels.insert((model.clone(), id), label);
            }
        }
        // What the caller does not see is not there.
        out.retain_mut(|r| match labels.get(&(r.model.clone(), r.id.clone())) {
            Some(label) => {
                r.label.clone_from(label);
                true
            }
            None => false,
        });
        out.sort_by(|a, b| (&a.kind, &a.model, &a.label).cmp(&(&b.kind, &b.model, &b.label)));
        Ok(out)
    }

    /// What those of the records are called that the caller sees.
    pub(crate) async fn labels(
        &self,
        who: &Principal,
        scope: Option<&DataScope>,
        model: &str,
        ids: &[String],
    ) -> Result<HashMap<String, String>, CmdbError> {
        let Some(view) = View::of(self.stored(model).await?.model, scope).map(|v| v.granted(who)) else { return Ok(HashMap::new()) };
        let mut out = HashMap::new();
        for some in ids.chunks(400) {
            let found = self.docs.get_many(&collection(model), some).await?;
            out.extend(found.into_iter().filter(|d| view.sees(d)).map(|d| view.show(d)).map(|i| (i.id, i.label)));
        }
        Ok(out)
    }

    pub(crate) async fn tell_association(
        &self,
        tx: &mut Tx,
        who: &Principal,
        what: &str,
        before: Option<&Association>,
        a: &Association,
    ) -> Result<(), StoreError> {
        let target = format!("association/{}", a.id);
        let (before, after) = (before.map(|b| json!(b)), if what == "deleted" { None } else { Some(json!(a)) });
        let verb = what.trim_end_matches('d');
        self.access.audit(tx, who, &format!("cmdb.association.{verb}"), &target, before.as_ref(), after.as_ref()).await?;
        let data = json!({"kind": a.kind, "from": {"model": a.from.0, "id": a.from.1}, "to": {"model": a.to.0, "id": a.to.1}});
        emit_later(tx, NewEvent { kind: format!("plenum.cmdb.association.{what}"), source: "/cmdb".into(), subject: target, data })
    }
}

fn invalid(pointer: &str, message: String) -> CmdbError {
    CmdbError::InvalidInstance { pointer: pointer.to_owned(), message }
}
