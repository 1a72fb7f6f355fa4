//! Changes of models that are safe: what they would do is said before, values are converted or named, and what goes can come back.
//!
//! - [`convert`]: a value of one kind as one of another; pure.
//! - [`check`]: a record against the model as it will be, and the report over all; pure.
//! - [`run`]: the change as a task: records are looked at and made ready in batches, and all take effect in one transaction.

pub mod check;
mod convert;
mod run;

use plenum_access::{AccessError, Denied, Permission, Principal};
use plenum_store::{Row, StoreError, Tx, new_id, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::model::{Attribute, Model, collection};
use crate::{Cmdb, CmdbError, builtin, check_targets, decode};
pub use check::{AttributeReport, Example, Report, RuleReport};

/// A model with more records is looked at in the background.
const AT_ONCE: i64 = 2000;
/// Changes that are kept of what ended.
const KEPT: i64 = 200;
/// What is wanted or under way.
const OPEN: &str = "state IN ('waiting', 'running')";

/// A wanted change of a model.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The model as it should be.
    pub model: Model,
    /// The version that it was made from.
    pub expected: Option<i64>,
    /// Whether it only says what would be.
    pub dry_run: bool,
    /// Whether values that do not fit are taken out, and missing ones filled with the default. Otherwise they refuse the change.
    pub mend: bool,
}

/// What is stored of a proposal.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Spec {
    after: Model,
    version: i64,
    mend: bool,
    /// Attributes that come back, and the change that took them.
    #[serde(default)]
    restore: Vec<(Attribute, String)>,
}

/// A change of a model, wanted, under way or over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelChange {
    /// Its id; the history of the records that it wrote names it.
    pub id: String,
    /// The model.
    pub model: String,
    /// `waiting`, `running`, `checked` (a dry run that is over), `refused`, `done`, `failed`, `cancelled`.
    pub state: String,
    /// Whether it only says what would be.
    pub dry_run: bool,
    /// Whether values that do not fit are taken out.
    pub mend: bool,
    /// What it does to the records.
    pub report: Report,
    /// Who wanted it.
    pub started_by: String,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub finished_at: Option<i64>,
    /// Why it was refused or failed.
    pub error: Option<String>,
}

/// An attribute that a model no longer has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Removed {
    /// As it was.
    #[serde(flatten)]
    pub attribute: Attribute,
    /// Who removed it.
    pub removed_by: String,
    /// Milliseconds since the Unix epoch.
    pub removed_at: i64,
    /// Values that are kept of it.
    pub values: i64,
}

const COLUMNS: &str = "id, model, state, dry_run, spec, report, started_by, created_at, finished_at, error";

fn read(r: &Row) -> Result<ModelChange, CmdbError> {
    let spec: Spec = decode(r.json("spec")?)?;
    Ok(ModelChange {
        id: r.text("id")?,
        model: r.text("model")?,
        state: r.text("state")?,
        dry_run: r.bool("dry_run")?,
        mend: spec.mend,
        report: decode(r.json("report")?)?,
        started_by: r.text("started_by")?,
        created_at: r.int("created_at")?,
        finished_at: r.opt_int("finished_at")?,
        error: r.opt_text("error")?,
    })
}

impl Cmdb {
    /// A change of a model touches records that a data role may hide: who is narrowed cannot ask for one.
    async fn may_remodel(&self, who: &Principal, model: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[("models", model)]).await?;
        let (_, view) = self.stored_view(who, Permission::CmdbModel, model).await?;
        if view.is_whole() && !crate::scope::sees_a_part(who) {
            return Ok(());
        }
        let reason = format!(
            "your data roles or your grant show you a part of {model}, and a change of a model concerns all of it; ask an administrator"
        );
        Err(AccessError::Denied(Denied { permission: Permission::CmdbModel, reason }).into())
    }

    /// Wants a change of a model, or to know what it would do. A small model is changed at once; a large one in the background, by
    /// [`Cmdb::tend_model_changes`].
    pub async fn propose_model(&self, who: &Principal, p: Proposal) -> Result<ModelChange, CmdbError> {
        self.propose(who, p, Vec::new()).await
    }

    /// Brings back an attribute that was removed, with the values that were kept.
    pub async fn restore_attribute(
        &self,
        who: &Principal,
        model: &str,
        attribute: &str,
        dry_run: bool,
        mend: bool,
    ) -> Result<ModelChange, CmdbError> {
        self.may_remodel(who, model).await?;
        let stored = self.stored(model).await?;
        let sql = "SELECT spec, change_id FROM cmdb_removed_attributes WHERE model = ? AND attribute = ?";
        let Some(r) = self.db.fetch_optional(sql, params![model, attribute]).await? else {
            return Err(CmdbError::NotFound(format!("the model {model} had no attribute {attribute} that was removed")));
        };
        let a: Attribute = decode(r.json("spec")?)?;
        if stored.model.attribute(attribute).is_some() {
            let message = format!("the model {model} has a new attribute {attribute}; remove that one first");
            return Err(CmdbError::InvalidModel { pointer: "/attributes".into(), message });
        }
        let mut m = stored.model;
        m.attributes.push(a.clone());
        let proposal = Proposal { model: m, expected: Some(stored.version), dry_run, mend };
        self.propose(who, proposal, vec![(a, r.text("change_id")?)]).await
    }

    async fn propose(&self, who: &Principal, p: Proposal, restore: Vec<(Attribute, String)>) -> Result<ModelChange, CmdbError> {
        let name = p.model.name.clone();
        self.may_remodel(who, &name).await?;
        p.model.check()?;
        let id = new_id();
        let mut tx = self.db.begin().await?;
        let before = self.stored_in(&mut tx, &name).await?;
        if let Some(expected) = p.expected
            && expected != before.version
        {
            return Err(StoreError::Conflict { what: format!("model {name}"), expected, found: before.version }.into());
        }
        if before.builtin {
            builtin::check_extension(&p.model)?;
        }
        check_targets(&mut tx, &p.model).await?;
        crate::secrets::keeps_secrets(&before.model, &p.model)?;
        let sql = format!("SELECT id FROM cmdb_model_changes WHERE model = ? AND dry_run = 0 AND {OPEN} LIMIT 1");
        if !p.dry_run
            && let Some(r) = tx.fetch_optional(&sql, params![&name]).await?
        {
            let other = r.text("id")?;
            return Err(CmdbError::InUse(format!("the change {other} of the model {name} is under way; wait for it, or cancel it")));
        }
        let count = self.docs.count_in(&mut tx, &collection(&name)).await?;
        let report = Report { records: i64::try_from(count).unwrap_or(i64::MAX), ..Report::default() };
        let spec = Spec { after: p.model.clone(), version: before.version, mend: p.mend, restore };
        let now = now_ms();
        let encoded = serde_json::to_value(&spec).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        tx.execute(
            "INSERT INTO cmdb_model_changes (id, model, state, dry_run, spec, report, position, started_by, created_at, updated_at)
             VALUES (?, ?, 'waiting', ?, ?, ?, '', ?, ?, ?)",
            params![&id, &name, p.dry_run, encoded, json!(report), who.actor().to_string(), now, now],
        )
        .await?;
        let old = "DELETE FROM cmdb_model_changes WHERE finished_at IS NOT NULL AND id NOT IN \
                   (SELECT id FROM cmdb_model_changes ORDER BY id DESC LIMIT ?)";
        tx.execute(old, params![KEPT]).await?;
        let what = if p.dry_run { "cmdb.model.dry_run" } else { "cmdb.model.change" };
        self.access.audit(&mut tx, who, what, &format!("model/{name}"), Some(&json!(before.model)), Some(&json!(p.model))).await?;
        tx.commit().await?;
        if report.records <= AT_ONCE {
            self.run_model_change(&id).await?;
        } else {
            self.remodel_wanted.notify_one();
        }
        self.known_change(&id).await
    }

    async fn known_change(&self, id: &str) -> Result<ModelChange, CmdbError> {
        let sql = format!("SELECT {COLUMNS} FROM cmdb_model_changes WHERE id = ?");
        match self.db.fetch_optional(&sql, params![id]).await? {
            Some(r) => read(&r),
            None => Err(CmdbError::NotFound(format!("there is no change {id} of a model"))),
        }
    }

    /// One change of a model.
    pub async fn model_change(&self, who: &Principal, id: &str) -> Result<ModelChange, CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        let change = self.known_change(id).await?;
        self.may_remodel(who, &change.model).await?;
        Ok(change)
    }

    /// The newest changes of a model, at most 50.
    pub async fn model_changes(&self, who: &Principal, model: &str) -> Result<Vec<ModelChange>, CmdbError> {
        self.may_remodel(who, model).await?;
        let sql = format!("SELECT {COLUMNS} FROM cmdb_model_changes WHERE model = ? ORDER BY id DESC LIMIT 50");
        self.db.fetch_all(&sql, params![model]).await?.iter().map(read).collect()
    }

    /// Stops a change that has not taken effect yet. Nothing of it stays.
    pub async fn cancel_model_change(&self, who: &Principal, id: &str) -> Result<ModelChange, CmdbError> {
        let change = self.model_change(who, id).await?;
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "UPDATE cmdb_model_changes SET state = 'cancelled', finished_at = ?, updated_at = ? WHERE id = ? AND {OPEN} AND position <> 'indexing'"
        );
        if tx.execute(&sql, params![now_ms(), now_ms(), id]).await? == 0 {
            return Err(CmdbError::InUse(format!("the change {id} has taken effect or is over: it is {}", change.state)));
        }
        self.drop_ready(&mut tx, id).await?;
        self.access.audit(&mut tx, who, "cmdb.model.change_cancel", &format!("model/{}", change.model), None, None).await?;
        tx.commit().await?;
        self.known_change(id).await
    }

    /// What the model had and has no longer: the history of its records may speak of it.
    pub async fn removed_attributes(&self, who: &Principal, model: &str) -> Result<Vec<Removed>, CmdbError> {
        let (_, view) = self.stored_view(who, Permission::CmdbRead, model).await?;
        let sql = "SELECT a.spec, a.removed_by, a.removed_at, (SELECT COUNT(*) FROM cmdb_removed_values v
                   WHERE v.change_id = a.change_id AND v.attribute = a.attribute) AS n
                   FROM cmdb_removed_attributes a WHERE a.model = ? ORDER BY a.attribute LIMIT 500";
        let mut out = Vec::new();
        for r in self.db.fetch_all(sql, params![model]).await? {
            let attribute: Attribute = decode(r.json("spec")?)?;
            if view.hides(&attribute.name) || view.model.attribute(&attribute.name).is_some() || !view.grants(&attribute.name) {
                continue;
            }
            out.push(Removed { attribute, removed_by: r.text("removed_by")?, removed_at: r.int("removed_at")?, values: r.int("n")? });
        }
        Ok(out)
    }

    /// Takes out of a record as it was what its model no longer has.
    pub(crate) async fn without_removed(&self, tx: &mut Tx, m: &Model, then: &mut Json) -> Result<(), CmdbError> {
        let rows = tx.fetch_all("SELECT attribute FROM cmdb_removed_attributes WHERE model = ? LIMIT 500", params![&m.name]).await?;
        let Some(o) = then.as_object_mut() else { return Ok(()) };
        for r in &rows {
            let name = r.text("attribute")?;
            if m.attribute(&name).is_none() {
                o.remove(&name);
            }
        }
        Ok(())
    }

    /// What is kept beside a model that goes.
    pub(crate) async fn forget_changes(&self, tx: &mut Tx, model: &str) -> Result<(), CmdbError> {
        let sql = "DELETE FROM cmdb_removed_values WHERE change_id IN (SELECT change_id FROM cmdb_removed_attributes WHERE model = ?)";
        tx.execute(sql, params![model]).await?;
        tx.execute("DELETE FROM cmdb_removed_attributes WHERE model = ?", params![model]).await?;
        tx.execute("DELETE FROM cmdb_model_changes WHERE model = ?", params![model]).await?;
        Ok(())
    }

    async fn drop_ready(&self, tx: &mut Tx, id: &str) -> Result<(), CmdbError> {
        self.docs.drop_ready(tx, id).await?;
        tx.execute("DELETE FROM cmdb_removed_values WHERE change_id = ?", params![id]).await?;
        Ok(())
    }

    /// Returns when a change of a model may be wanted.
    pub async fn model_change_wanted(&self) {
        self.remodel_wanted.notified().await;
    }
}
