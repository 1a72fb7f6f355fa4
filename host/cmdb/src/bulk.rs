//! Many instances in one call: made, changed, put (made or changed), deleted; and brought back.

use std::collections::BTreeSet;

use plenum_access::{DataScope, Permission, Principal};
use plenum_store::{By, Document, Tx};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::instances::{Instance, instance, missing};
use crate::model::{Model, collection};
use crate::view::View;
use crate::{Cmdb, CmdbError};

/// Most rows of one call.
pub const MAX_ROWS: usize = 5000;

/// What becomes of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Made; a row whose unique attributes are taken fails.
    Create,
    /// Changed; a row that finds no instance fails.
    Update,
    /// Changed where there is one, made otherwise.
    Upsert,
    /// Deleted, with their associations.
    Delete,
}

/// Many rows.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// What becomes of them.
    pub action: BulkAction,
    /// Attributes that together tell which instance a row means, where it has no id. `created` needs none.
    pub key: Vec<String>,
    /// At most [`MAX_ROWS`].
    pub rows: Vec<BulkRow>,
    /// Whether one failure undoes all rows.
    pub all: bool,
    /// Whether it only says what would be.
    pub dry_run: bool,
    /// For the history.
    pub why: Option<String>,
}

/// One row.
#[derive(Debug, Clone, Default)]
pub struct BulkRow {
    /// The instance, where it is known.
    pub id: Option<String>,
    /// Its attributes; null removes one.
    pub attributes: Map<String, Json>,
    /// The version that the change was made from.
    pub version: Option<i64>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// An instance was made.
    Created,
    /// Attributes changed.
    Updated,
    /// It was so already.
    Unchanged,
    /// The instance is gone.
    Deleted,
    /// Nothing happened: see the error.
    Failed,
}

/// A row's result, in the order of the rows.
#[derive(Debug)]
pub struct RowResult {
    /// What became of it.
    pub outcome: RowOutcome,
    /// The instance, when there is one.
    pub id: Option<String>,
    /// What people call it.
    pub label: Option<String>,
    /// Why it failed.
    pub error: Option<CmdbError>,
}

/// What became of all.
#[derive(Debug)]
pub struct BulkResult {
    /// One for each row.
    pub rows: Vec<RowResult>,
    /// Whether anything was kept: not of a dry run, nor of all-or-nothing with a failure.
    pub kept: bool,
}

impl BulkResult {
    /// How many rows ended so.
    pub fn count(&self, outcome: RowOutcome) -> usize {
        self.rows.iter().filter(|r| r.outcome == outcome).count()
    }
}

impl Cmdb {
    /// Many instances of one model, in one transaction. A row that fails leaves nothing of itself; the others stay unless `all` is set.
    pub async fn bulk(&self, who: &Principal, model: &str, bulk: Bulk) -> Result<BulkResult, CmdbError> {
        if bulk.rows.len() <= MAX_ROWS {
            self.may_bulk(who, model, &bulk).await?;
        }
        let view = self.view(who, Permission::CmdbWrite, model).await?;
        let scope = self.scope(who).await?;
        if bulk.rows.len() > MAX_ROWS {
            return Err(invalid("", format!("one call has at most {MAX_ROWS} rows, this has {}; send several", bulk.rows.len())));
        }
        let mut tx = self.db.begin().await?;
        let view = view.with(self.stored_in(&mut tx, model).await?.model);
        for name in &bulk.key {
            if view.model.attribute(name).is_none() || view.hides(name) {
                tx.rollback().await?;
                return Err(invalid("", format!("the key names {name}, and the model {model} has no such attribute")));
            }
        }
        let mut rows = Vec::with_capacity(bulk.rows.len());
        let me = Cmdb { at_once: bulk.rows.len(), ..self.clone() };
        for row in &bulk.rows {
            // What a row wrote before it failed is undone without the rows before it.
            let before = tx.savepoint().await?;
            let done = me.one(&mut tx, who, (&view, scope.as_deref()), &bulk, row).await;
            if let Err(e) = &done {
                if matches!(e, CmdbError::Document(plenum_store::DocumentError::Store(s)) if !matches!(s, plenum_store::StoreError::Conflict { .. }))
                {
                    // The database failed, not the row.
                    return Err(done.err().unwrap_or_else(|| missing(model, "")));
                }
                tx.back_to(before).await?;
            } else {
                tx.release(before).await?;
            }
            rows.push(match done {
                Ok((outcome, i)) => RowResult { outcome, id: Some(i.id), label: Some(i.label), error: None },
                Err(e) => RowResult { outcome: RowOutcome::Failed, id: row.id.clone(), label: None, error: Some(e) },
            });
        }
        let failed = rows.iter().any(|r| r.outcome == RowOutcome::Failed);
        let kept = !(bulk.dry_run || failed && bulk.all);
        if kept {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(BulkResult { rows, kept })
    }

    async fn one(
        &self,
        tx: &mut Tx,
        who: &Principal,
        (view, scope): (&View, Option<&DataScope>),
        bulk: &Bulk,
        row: &BulkRow,
    ) -> Result<(RowOutcome, Instance), CmdbError> {
        let m = &view.model;
        let found = match (&row.id, bulk.action) {
            (_, BulkAction::Create) => None,
            (Some(id), _) => Some(id.clone()),
            (None, _) => self.find(tx, view, &bulk.key, &row.attributes).await?,
        };
        let why = bulk.why.as_deref();
        match (bulk.action, found) {
            (BulkAction::Delete, Some(id)) => {
                let name = collection(&m.name);
                let gone = self.docs.get_in(tx, &name, &id).await?.ok_or_else(|| missing(&m.name, &id))?;
                view.must_change(&gone)?;
                self.delete_in(tx, who, scope, m, &id, row.version, why).await?;
                Ok((RowOutcome::Deleted, view.show(gone)))
            }
            (BulkAction::Update | BulkAction::Upsert, Some(id)) => {
                let before = self.docs.get_in(tx, &collection(&m.name), &id).await?.ok_or_else(|| missing(&m.name, &id))?;
                view.must_change(&before)?;
                view.must_know(row.attributes.keys())?;
                // What is as it was is no change: an exported table comes back with what discovery wrote.
                let mut patch = row.attributes.clone();
                patch.retain(|k, v| before.data.get(k).unwrap_or(&Json::Null) != v);
                let after = self.change_in(tx, who, view, &id, patch, row.version, why).await?;
                let outcome = if after.version == before.version { RowOutcome::Unchanged } else { RowOutcome::Updated };
                Ok((outcome, after))
            }
            (BulkAction::Create | BulkAction::Upsert, None) => {
                Ok((RowOutcome::Created, self.create_in(tx, who, view, Json::Object(row.attributes.clone()), why).await?))
            }
            (BulkAction::Create, Some(_)) | (BulkAction::Update | BulkAction::Delete, None) => {
                let said: Vec<String> = bulk.key.iter().map(|k| format!("{k} {}", row.attributes.get(k).unwrap_or(&Json::Null))).collect();
                Err(match said.as_slice() {
                    [] => invalid("/id", "the row needs an id, or the call a key".into()),
                    said => CmdbError::NotFound(format!("there is no {} with {}", m.name, said.join(" and "))),
                })
            }
        }
    }

    /// The instance that a row means by its key attributes.
    async fn find(&self, tx: &mut Tx, view: &View, key: &[String], row: &Map<String, Json>) -> Result<Option<String>, CmdbError> {
        if key.is_empty() {
            return Ok(None);
        }
        let mut terms = Vec::with_capacity(key.len());
        for name in key {
            match row.get(name) {
                None | Some(Json::Null) => return Err(invalid(&format!("/{name}"), format!("{name} is in the key, so the row needs it"))),
                Some(Json::Array(_) | Json::Object(_)) => {
                    return Err(invalid(&format!("/{name}"), format!("{name} holds no single value and cannot be in a key")));
                }
                Some(v) => terms.push(format!("{name} == {v}")),
            }
        }
        let query = view.narrow(&plenum_store::Query { filter: Some(terms.join(" && ")), ..Default::default() })?;
        let ids = self.docs.ids_in(tx, &collection(&view.model.name), query.filter.as_deref().unwrap_or_default(), 2).await?;
        match ids.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(id.clone())),
            _ => Err(CmdbError::InUse(format!("several instances have {}: name the one by its id", terms.join(" and ")))),
        }
    }

    /// Whether the caller may write a model's instances; a refusal is in the audit log.
    pub async fn may_write(&self, who: &Principal, model: &str) -> Result<(), CmdbError> {
        self.view(who, Permission::CmdbWrite, model).await.map(|_| ())
    }

    /// Brings an instance back as one of its versions had it: a deleted one under its id, one that is there by a change. Without
    /// `version`, a deleted one as it was last. Of its associations those come back whose kind keeps them.
    pub async fn restore(
        &self,
        who: &Principal,
        model: &str,
        id: &str,
        version: Option<i64>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        self.may_set_all(who, model).await?;
        let view = self.view(who, Permission::CmdbWrite, model).await?;
        let name = collection(model);
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        let view = view.with(m.clone());
        let now = self.docs.get_in(&mut tx, &name, id).await?;
        let last = self.docs.change_in(&mut tx, &name, id, None).await?.ok_or_else(|| missing(model, id))?;
        // What it is now, or was until it was deleted, has to be in reach.
        view.must_change(&match &now {
            Some(now) => now.clone(),
            None => {
                Document { id: id.to_owned(), version: last.version, data: last.before.clone(), created_at: last.at, updated_at: last.at }
            }
        })?;
        let mut then = match version {
            Some(v) => match self.docs.change_in(&mut tx, &name, id, Some(v)).await? {
                Some(change) if !change.after.is_null() => change.after,
                Some(_) => return Err(invalid("/version", format!("version {v} of {id} is its deletion; name the one before"))),
                None => return Err(CmdbError::NotFound(format!("{id} has no version {v}; its history lists them"))),
            },
            None if now.is_none() => last.before,
            None => return Err(invalid("/version", format!("{id} is not deleted; name the version that it should be again"))),
        };
        // The model may have changed since: of a removed attribute the values stay in the history.
        self.without_removed(&mut tx, &m, &mut then).await?;
        m.check_instance(&then)?;
        let back = match now {
            Some(now) => {
                let mut patch: Map<String, Json> =
                    now.data.as_object().into_iter().flatten().map(|(k, _)| (k.clone(), Json::Null)).collect();
                patch.extend(then.as_object().cloned().unwrap_or_default());
                patch.retain(|k, v| now.data.get(k).unwrap_or(&Json::Null) != v);
                // What discovery writes it would write again.
                patch.retain(|k, _| m.attribute(k).is_none_or(|a| a.editable) && !view.hides(k));
                self.write_in(&mut tx, who, &m, id, patch, None, why).await?
            }
            None => {
                self.gate_in(&mut tx, who, &m, crate::requests::Act::Create, &crate::requests::touched(&then), &then).await?;
                let actor = who.actor().to_string();
                let d = self.docs.revive(&mut tx, &name, id, then, last.version, By { actor: &actor, why }).await?;
                let made = instance(&m, d);
                self.tell(&mut tx, who, "created", &m, id, &made.label, None, Some(&made.attributes)).await?;
                self.relink_in(&mut tx, who, id).await?;
                made
            }
        };
        if !view.is_whole() {
            let d = self.docs.get_in(&mut tx, &name, id).await?.ok_or_else(|| missing(model, id))?;
            view.must_still_change(&d)?;
        }
        tx.commit().await?;
        Ok(view.show_instance(back))
    }
}

/// Refuses changes by hand of what discovery writes.
pub(crate) fn may_edit<'a>(who: &Principal, m: &Model, keys: impl IntoIterator<Item = &'a String>) -> Result<(), CmdbError> {
    if matches!(who, Principal::System(_) | Principal::Agent { .. }) {
        return Ok(());
    }
    let keys: BTreeSet<&str> = keys.into_iter().map(String::as_str).collect();
    match m.attributes.iter().find(|a| !a.editable && keys.contains(a.name.as_str())) {
        Some(a) => Err(invalid(&format!("/{}", a.name), format!("{} is written by discovery and cannot be changed by hand", a.name))),
        None => Ok(()),
    }
}

fn invalid(pointer: &str, message: String) -> CmdbError {
    CmdbError::InvalidInstance { pointer: pointer.to_owned(), message }
}
