//! What can be mended by one click, because only one thing can be meant: a value of a list in another spelling, a default that is missing, a
//! duplicate that contradicts in nothing.

use plenum_access::{Permission, Principal};
use plenum_store::params;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::check::{defaults_for, mended};
use super::rules::{Check, folded};
use crate::model::collection;
use crate::{Cmdb, CmdbError};

/// What a repair does, or did.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// The attributes that change, as they were.
    pub before: Map<String, Json>,
    /// As they are then.
    pub after: Map<String, Json>,
    /// The record that becomes one with it, and is deleted.
    pub merged: Option<String>,
}

/// Records that are looked at for the other one of a pair.
const MAX_TWINS: u32 = 50;

impl Cmdb {
    /// Mends what a rule found at a record, or only says how. Refused where a person has to decide.
    pub async fn repair(&self, who: &Principal, rule_id: &str, record: &str, dry_run: bool) -> Result<Repair, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[]).await?;
        let finding = self.finding_of(rule_id, record).await?;
        self.access.require(who, Permission::CmdbWrite, &[("models", &finding.model)]).await?;
        let rule = self.rule_of(rule_id).await?;
        let m = self.stored(&finding.model).await?.model;
        let d = self.docs.get(&collection(&m.name), record).await?.ok_or_else(|| crate::instances::missing(&m.name, record))?;
        let why = format!("data quality: {rule_id}");
        let by_hand = |what: &str| Err(CmdbError::InUse(format!("this is for a person to decide: {what}")));
        let done = match &rule.check {
            Check::Standard { attribute, one_of, .. } => match d.data.get(attribute).and_then(|v| mended(one_of, v)) {
                Some(v) => {
                    let after = Map::from_iter([(attribute.clone(), Json::String(v))]);
                    self.mend(who, &m.name, &d, after, &why, dry_run).await?
                }
                None => return by_hand("no allowed value is the same in another spelling"),
            },
            Check::Completeness { .. } => {
                let names: Vec<String> = finding
                    .detail
                    .get("attributes")
                    .and_then(Json::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(|v| v.as_str().map(str::to_owned))
                    .collect();
                let after = defaults_for(&m, &names, &d.data);
                if after.is_empty() {
                    return by_hand("the model has no default for what is missing");
                }
                self.mend(who, &m.name, &d, after, &why, dry_run).await?
            }
            Check::Duplicate { attributes } => {
                let mut twins = Vec::new();
                let mut terms = Vec::new();
                for a in attributes {
                    // Spelled alike: another spelling is a question of its own.
                    let v = d.data.get(a).cloned().unwrap_or(Json::Null);
                    terms.push(format!("{a} == {v}"));
                }
                let query = plenum_store::Query { filter: Some(terms.join(" && ")), limit: MAX_TWINS, ..plenum_store::Query::default() };
                for t in self.docs.query(&collection(&m.name), &query).await?.items {
                    if t.id != d.id && attributes.iter().all(|a| folded(t.data.get(a)) == folded(d.data.get(a))) {
                        twins.push(t);
                    }
                }
                let [twin] = twins.as_slice() else { return by_hand("there is not exactly one other record, spelled alike") };
                // The older one stays: what refers to a record by its id refers to that more likely.
                let (keep, gone) = if twin.id < d.id { (twin, &d) } else { (&d, twin) };
                let look = self.merge_records(who, &m.name, &keep.id, std::slice::from_ref(&gone.id), true, Some(&why)).await?;
                if let Some(k) = look.lost.keys().next() {
                    return by_hand(&format!("the two contradict each other in {k}"));
                }
                if !dry_run {
                    self.merge_records(who, &m.name, &keep.id, std::slice::from_ref(&gone.id), false, Some(&why)).await?;
                    self.db.execute("DELETE FROM cmdb_health_findings WHERE record = ?", params![&gone.id]).await?;
                    self.db.execute("DELETE FROM cmdb_health_findings WHERE rule = ? AND record = ?", params![rule_id, &keep.id]).await?;
                }
                let before = look.gained.keys().map(|k| (k.clone(), Json::Null)).collect();
                return Ok(Repair { before, after: look.gained, merged: Some(gone.id.clone()) });
            }
            _ => return by_hand("nothing that could be written would be right for certain"),
        };
        if !dry_run {
            self.db.execute("DELETE FROM cmdb_health_findings WHERE rule = ? AND record = ?", params![rule_id, record]).await?;
        }
        Ok(done)
    }

    async fn mend(
        &self,
        who: &Principal,
        model: &str,
        d: &plenum_store::Document,
        after: Map<String, Json>,
        why: &str,
        dry_run: bool,
    ) -> Result<Repair, CmdbError> {
        let before = after.keys().map(|k| (k.clone(), d.data.get(k).cloned().unwrap_or(Json::Null))).collect();
        if !dry_run {
            self.update(who, model, &d.id, Json::Object(after.clone()), Some(d.version), Some(why)).await?;
        }
        Ok(Repair { before, after, merged: None })
    }
}
