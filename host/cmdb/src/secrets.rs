//! Secret attributes: written, shown as set or not set, and revealed one at a time to those who may, with a reason that is kept.
//!
//! A value never stands in its record. It is sealed in a table of its own, so that lists, filters, sorting, search, exports, history, events and
//! plugins cannot have it, whatever they do with records.

use plenum_access::{Permission, Principal};
use plenum_store::events::{NewEvent, emit};
use plenum_store::secrets::{Secrets, SecretsError};
use plenum_store::{StoreError, Tx, now_ms, params};
use serde::Serialize;
use serde_json::json;

use crate::model::{Attribute, AttributeKind, Model, collection};
use crate::view::View;
use crate::{Cmdb, CmdbError};

/// Longest value, in characters: a key file fits.
const MAX_SECRET: usize = 16 * 1024;
/// Shortest and longest reason.
const REASON: std::ops::RangeInclusive<usize> = 3..=500;
/// Values that are sealed anew in one transaction.
const BATCH: i64 = 200;

/// Whether a secret attribute of a record has a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretState {
    /// The attribute.
    pub attribute: String,
    /// Whether it has one.
    pub set: bool,
    /// Who set it last.
    pub set_by: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub set_at: Option<i64>,
}

impl Cmdb {
    /// The same, with the keys that seal secret attributes. Without them none can be set.
    pub fn with_secrets(self, secrets: Secrets) -> Cmdb {
        Cmdb { secrets: Some(secrets), ..self }
    }

    /// Seals anew what an older key sealed.
    pub async fn reseal_secrets(&self) -> Result<(), CmdbError> {
        let Some(secrets) = &self.secrets else { return Ok(()) };
        let mine = format!("v1.{}.", secrets.key_id());
        let mut after = (String::new(), String::new());
        loop {
            let mut tx = self.db.begin().await?;
            let sql = "SELECT model, record, attribute, sealed FROM cmdb_secrets WHERE record > ? OR (record = ? AND attribute > ?)
                       ORDER BY record, attribute LIMIT ?";
            let rows = tx.fetch_all(sql, params![&after.0, &after.0, &after.1, BATCH]).await?;
            for r in &rows {
                let (model, record, attribute, sealed) = (r.text("model")?, r.text("record")?, r.text("attribute")?, r.text("sealed")?);
                if !sealed.starts_with(&mine) {
                    let at = context(&model, &record, &attribute);
                    let anew = secrets.open(&at, &sealed).and_then(|plain| secrets.seal(&at, &plain)).map_err(broken)?;
                    let sql = "UPDATE cmdb_secrets SET sealed = ? WHERE record = ? AND attribute = ?";
                    tx.execute(sql, params![anew, &record, &attribute]).await?;
                }
                after = (record, attribute);
            }
            tx.commit().await?;
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    /// Which secret attributes of a record have values.
    pub async fn secrets_of(&self, who: &Principal, model: &str, id: &str) -> Result<Vec<SecretState>, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        self.seen(&view, id).await?;
        let rows = self.db.fetch_all("SELECT attribute, set_by, set_at FROM cmdb_secrets WHERE record = ?", params![id]).await?;
        let mut out = Vec::new();
        for a in view.model.attributes.iter().filter(|a| a.kind == AttributeKind::Secret && !view.hides(&a.name) && view.grants(&a.name)) {
            let mut state = SecretState { attribute: a.name.clone(), set: false, set_by: None, set_at: None };
            for r in &rows {
                if r.text("attribute")? == a.name {
                    state = SecretState { set: true, set_by: Some(r.text("set_by")?), set_at: Some(r.int("set_at")?), ..state };
                }
            }
            out.push(state);
        }
        Ok(out)
    }

    /// Sets a secret attribute, or takes its value away.
    pub async fn set_secret(&self, who: &Principal, model: &str, id: &str, attribute: &str, value: Option<&str>) -> Result<(), CmdbError> {
        self.may_set(who, model, [&attribute.to_owned()]).await?;
        let view = self.view(who, Permission::CmdbWrite, model).await?;
        let a = secret(&view, attribute)?.clone();
        crate::bulk::may_edit(who, &view.model, [&a.name])?;
        if let Some(v) = value {
            let n = v.chars().count();
            if v.is_empty() || n > MAX_SECRET {
                return Err(invalid(
                    attribute,
                    format!("{attribute} has to be text of 1 to {MAX_SECRET} characters; to take it away, delete it"),
                ));
            }
        }
        let keys = self.secrets.as_ref().ok_or_else(no_keys)?;
        let mut tx = self.db.begin().await?;
        self.stored_in(&mut tx, model).await?;
        let d = self.docs.get_in(&mut tx, &collection(model), id).await?.filter(|d| view.sees(d));
        let d = d.ok_or_else(|| crate::instances::missing(model, id))?;
        view.must_change(&d)?;
        let had = tx.fetch_optional("SELECT 1 AS one FROM cmdb_secrets WHERE record = ? AND attribute = ?", params![id, attribute]).await?;
        let what = match (value, had.is_some()) {
            (Some(_), false) => "set",
            (Some(_), true) => "rotated",
            (None, true) => "removed",
            (None, false) => return Ok(()),
        };
        match value {
            Some(v) => {
                let sealed = keys.seal(&context(model, id, attribute), v).map_err(broken)?;
                tx.execute(
                    "INSERT INTO cmdb_secrets (model, record, attribute, sealed, set_by, set_at) VALUES (?, ?, ?, ?, ?, ?)
                     ON CONFLICT (record, attribute) DO UPDATE SET sealed = excluded.sealed, set_by = excluded.set_by, set_at = excluded.set_at",
                    params![model, id, attribute, sealed, who.actor().to_string(), now_ms()],
                )
                .await?;
            }
            None => {
                tx.execute("DELETE FROM cmdb_secrets WHERE record = ? AND attribute = ?", params![id, attribute]).await?;
            }
        }
        self.tell_secret(&mut tx, who, what, model, id, attribute, None).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Reveals one value, with a reason. That it was revealed, to whom and why is in the audit log before anybody sees it.
    pub async fn reveal_secret(&self, who: &Principal, model: &str, id: &str, attribute: &str, reason: &str) -> Result<String, CmdbError> {
        self.access.require(who, Permission::CmdbSecret, &[("models", model)]).await?;
        let view = self.view(who, Permission::CmdbRead, model).await?;
        secret(&view, attribute)?;
        if !REASON.contains(&reason.trim().chars().count()) {
            return Err(invalid(
                "reason",
                format!("say in {} to {} characters why {attribute} has to be seen", REASON.start(), REASON.end()),
            ));
        }
        self.seen(&view, id).await?;
        let keys = self.secrets.as_ref().ok_or_else(no_keys)?;
        let row =
            self.db.fetch_optional("SELECT sealed FROM cmdb_secrets WHERE record = ? AND attribute = ?", params![id, attribute]).await?;
        let Some(row) = row else { return Err(CmdbError::NotFound(format!("{attribute} of {model} {id} is not set"))) };
        let plain = keys.open(&context(model, id, attribute), &row.text("sealed")?).map_err(broken)?;
        let mut tx = self.db.begin().await?;
        self.tell_secret(&mut tx, who, "revealed", model, id, attribute, Some(reason.trim())).await?;
        tx.commit().await?;
        Ok(plain)
    }

    #[allow(clippy::too_many_arguments)]
    async fn tell_secret(
        &self,
        tx: &mut Tx,
        who: &Principal,
        what: &str,
        model: &str,
        id: &str,
        attribute: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let target = format!("{model}/{id}");
        let said = json!({"attribute": attribute, "reason": reason});
        self.access.audit(tx, who, &format!("cmdb.secret.{what}"), &target, None, Some(&said)).await?;
        let data = json!({"model": model, "id": id, "attribute": attribute, "by": who.actor().to_string()});
        emit(tx, NewEvent { kind: format!("plenum.cmdb.secret.{what}"), source: "/cmdb".into(), subject: target, data }).await
    }
}

/// What a sealed value belongs to.
fn context(model: &str, record: &str, attribute: &str) -> String {
    format!("cmdb/{model}/{record}/{attribute}")
}

fn secret<'a>(view: &'a View, attribute: &str) -> Result<&'a Attribute, CmdbError> {
    let known = view.model.attribute(attribute).filter(|a| !view.hides(&a.name) && view.grants(&a.name));
    match known {
        Some(a) if a.kind == AttributeKind::Secret => Ok(a),
        Some(_) => Err(invalid(attribute, format!("{attribute} is no secret: it is read and written with its record"))),
        None => Err(invalid(attribute, format!("the model {} has no attribute {attribute}", view.model.name))),
    }
}

/// Whether an attribute would become a secret, or cease to be one: neither can be done to what has values.
pub(crate) fn keeps_secrets(before: &Model, after: &Model) -> Result<(), CmdbError> {
    for (i, a) in after.attributes.iter().enumerate() {
        let Some(b) = before.attribute(&a.name) else { continue };
        if (a.kind == AttributeKind::Secret) != (b.kind == AttributeKind::Secret) {
            let message = format!(
                "{} cannot become a secret or cease to be one: its history would tell, or its value be told; add an attribute of another name",
                a.name
            );
            return Err(CmdbError::InvalidModel { pointer: format!("/attributes/{i}/kind"), message });
        }
    }
    Ok(())
}

fn invalid(at: &str, message: String) -> CmdbError {
    CmdbError::InvalidInstance { pointer: format!("/{at}"), message }
}

fn no_keys() -> CmdbError {
    CmdbError::InUse("this host has no key for secrets: start it with one, see the operator's guide".into())
}

fn broken(e: SecretsError) -> CmdbError {
    match e {
        SecretsError::Store(e) => e.into(),
        e => StoreError::Corrupt(e.to_string()).into(),
    }
}
