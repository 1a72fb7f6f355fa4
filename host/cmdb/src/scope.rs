//! How far a plugin's grant reaches within a model: which attributes it reads, and which it writes.
//!
//! What it may not read is absent from every answer, and no filter, order or search can ask for it. People are narrowed by data roles: see `view`.

use plenum_access::{ATTRIBUTES, Denied, KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS, Permission, Principal, Scope};
use plenum_store::{Filter, Query};
use serde_json::{Map, Value as Json};

use crate::bulk::{Bulk, BulkAction};
use crate::model::{Model, StoredModel};
use crate::{Cmdb, CmdbError};

/// What limits the caller's view. Who may write and not read sees of what it wrote only what it may write.
pub(crate) fn limit(who: &Principal) -> Option<&Scope> {
    let granted = &who.plugin()?.grant.permissions;
    let scope = granted.get(Permission::CmdbRead.name()).or_else(|| granted.get(Permission::CmdbWrite.name()))?;
    scope.0.contains_key(ATTRIBUTES).then_some(scope)
}

/// Whether the caller sees only some attributes of records.
pub fn sees_a_part(who: &Principal) -> bool {
    limit(who).is_some()
}

fn name(model: &str, attribute: &str) -> String {
    format!("{model}.{attribute}")
}

pub(crate) fn trim(scope: &Scope, m: &Model, attributes: &mut Json) {
    if let Json::Object(o) = attributes {
        o.retain(|k, _| scope.allows(ATTRIBUTES, &name(&m.name, k)));
    }
}

pub(crate) fn shown_model(who: &Principal, mut stored: StoredModel) -> StoredModel {
    if let Some(scope) = limit(who) {
        let m = &mut stored.model;
        let of = m.name.clone();
        m.attributes.retain(|a| scope.allows(ATTRIBUTES, &name(&of, &a.name)));
        m.unique.retain(|set| set.iter().all(|a| scope.allows(ATTRIBUTES, &name(&of, a))));
        m.identification.retain(|set| set.iter().all(|a| scope.allows(ATTRIBUTES, &name(&of, a))));
    }
    stored
}

impl Cmdb {
    /// Whether the caller may read a model, without a word in the audit log.
    pub(crate) fn sees(&self, who: &Principal, model: &str) -> bool {
        self.access.check(who, Permission::CmdbRead, &[("models", model), KEEPS_TO_ATTRIBUTES]).is_ok()
    }

    /// Whether a query looks only at what the caller may read: else its matches would tell what its answer leaves out.
    pub(crate) async fn may_ask(&self, who: &Principal, m: &Model, query: &Query) -> Result<(), CmdbError> {
        if !sees_a_part(who) {
            return Ok(());
        }
        if query.search.as_deref().is_some_and(|s| !s.trim().is_empty()) {
            let reason = "free text is looked for in all attributes, and the plugin's grant names some of them: use a filter".to_owned();
            let denied = Denied { permission: Permission::CmdbRead, reason };
            return Err(self.access.refuse(who, denied, &[("models", &m.name)]).await.into());
        }
        let mut asked: Vec<String> = query.sort.iter().map(|(field, _)| field.clone()).collect();
        if let Some(f) = query.filter.as_deref().filter(|f| !f.trim().is_empty()) {
            let parsed = match &query.links {
                Some(links) => Filter::parse_linked(f, &m.spec().schema, links),
                None => Filter::parse(f, &m.spec().schema),
            };
            asked.extend(parsed.map_err(plenum_store::DocumentError::Filter)?.fields());
        }
        let asked = asked.iter().map(|f| f.split('.').next().unwrap_or(f));
        // What is no attribute, as a record's age, is no secret.
        self.may(who, Permission::CmdbRead, m, asked.filter(|f| m.attribute(f).is_some())).await
    }

    pub(crate) async fn may(
        &self,
        who: &Principal,
        permission: Permission,
        m: &Model,
        attributes: impl Iterator<Item = &str>,
    ) -> Result<(), CmdbError> {
        let names: Vec<String> = attributes.map(|a| name(&m.name, a)).collect();
        let mut touches = vec![("models", m.name.as_str()), KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS];
        touches.extend(names.iter().map(|n| (ATTRIBUTES, n.as_str())));
        Ok(self.access.require(who, permission, &touches).await?)
    }

    /// Whether the caller may write these attributes of a model's records. Asked before the transaction: a refusal is written in one of its own.
    pub(crate) async fn may_set<'a>(
        &self,
        who: &Principal,
        model: &str,
        attributes: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), CmdbError> {
        let names: Vec<String> = attributes.into_iter().map(|a| name(model, a)).collect();
        let mut touches = vec![("models", model), KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS];
        // Where the grant names none, all are within it, and the refusal of a model need not list them.
        let limited = who
            .plugin()
            .is_some_and(|p| p.grant.permissions.get(Permission::CmdbWrite.name()).is_some_and(|scope| scope.0.contains_key(ATTRIBUTES)));
        if limited {
            touches.extend(names.iter().map(|n| (ATTRIBUTES, n.as_str())));
        }
        Ok(self.access.require(who, Permission::CmdbWrite, &touches).await?)
    }

    /// Whether the caller may write all of a model's records: who deletes one deletes every attribute of it.
    pub(crate) async fn may_set_all(&self, who: &Principal, model: &str) -> Result<(), CmdbError> {
        self.may_set(who, model, [&"*".to_owned()]).await
    }

    /// Whether the caller may do this to many records.
    pub(crate) async fn may_bulk(&self, who: &Principal, m: &str, bulk: &Bulk) -> Result<(), CmdbError> {
        if bulk.action == BulkAction::Delete {
            return self.may_set_all(who, m).await;
        }
        // By its key a row finds its record, and does not change it.
        let finds = |k: &&String| bulk.action == BulkAction::Update && bulk.key.contains(*k);
        let mut names: Vec<&String> =
            bulk.rows.iter().flat_map(|r: &crate::BulkRow| Map::keys(&r.attributes)).filter(|k| !finds(k)).collect();
        names.sort_unstable();
        names.dedup();
        self.may_set(who, m, names).await?;
        if sees_a_part(who) && bulk.action != BulkAction::Create {
            let m = self.stored(m).await?.model;
            let read = self.may(who, Permission::CmdbRead, &m, bulk.key.iter().map(String::as_str));
            return read.await;
        }
        Ok(())
    }
}
