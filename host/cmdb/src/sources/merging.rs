//! Duplicates made one.

use plenum_access::{Permission, Principal};
use plenum_store::params;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::invalid;
use crate::associations::{COLUMNS, read};
use crate::instances::{Instance, missing};
use crate::model::collection;
use crate::{Cmdb, CmdbError};

/// Most duplicates of one call.
const MAX_OTHERS: usize = 20;
/// Most associations that move.
const MAX_LINKS: i64 = 5000;

/// What merging did, or would.
#[derive(Debug, Clone, Serialize)]
pub struct Merged {
    /// The record that stays.
    pub record: Instance,
    /// What it gets from the others.
    pub gained: Map<String, Json>,
    /// What the others had otherwise, and which is gone with them (the history keeps it): attribute, and their values.
    pub lost: Map<String, Json>,
    /// Associations that moved.
    pub moved: usize,
}

impl Cmdb {
    /// Makes duplicates one: the record that stays gets what it lacks, the others' associations and their sources' names; the others are deleted.
    pub async fn merge_records(
        &self,
        who: &Principal,
        model: &str,
        keep: &str,
        others: &[String],
        dry_run: bool,
        why: Option<&str>,
    ) -> Result<Merged, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[("models", model)]).await?;
        if others.is_empty() || others.len() > MAX_OTHERS || others.iter().any(|o| o == keep) {
            return Err(invalid("/others", format!("name 1 to {MAX_OTHERS} other records that become one with {keep}")));
        }
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        let name = collection(model);
        let before = self.docs.get_in(&mut tx, &name, keep).await?.ok_or_else(|| missing(model, keep))?;
        let mut gained: Map<String, Json> = Map::new();
        let mut lost: Map<String, Json> = Map::new();
        let mut links = Vec::new();
        let mut sources = Vec::new();
        let reason = format!("merged into {keep}{}", why.map(|w| format!(": {w}")).unwrap_or_default());
        for other in others {
            let d = self.docs.get_in(&mut tx, &name, other).await?.ok_or_else(|| missing(model, other))?;
            for (k, v) in d.data.as_object().into_iter().flatten() {
                match before.data.get(k).or_else(|| gained.get(k)) {
                    None => {
                        gained.insert(k.clone(), v.clone());
                    }
                    Some(has) if has != v => {
                        if let Json::Array(values) = lost.entry(k.clone()).or_insert_with(|| json!([])) {
                            values.push(v.clone());
                        }
                    }
                    Some(_) => {}
                }
            }
            let rows = tx
                .fetch_all(
                    &format!(
                        "SELECT {COLUMNS} FROM cmdb_associations WHERE from_id = ?
                         UNION ALL SELECT {COLUMNS} FROM cmdb_associations WHERE to_id = ? ORDER BY 1 LIMIT ?"
                    ),
                    params![other, other, MAX_LINKS],
                )
                .await?;
            for r in &rows {
                links.push(read(r)?);
            }
            sources.extend(self.claims_in(&mut tx, other).await?);
            // They move: what a kind says of deletions is not meant.
            tx.execute("DELETE FROM cmdb_associations WHERE from_id = ?", params![other]).await?;
            tx.execute("DELETE FROM cmdb_associations WHERE to_id = ?", params![other]).await?;
            // First, or a unique value could not move.
            self.delete_in(&mut tx, who, None, &m, other, None, Some(&reason)).await?;
        }
        let reason = format!("merged with {}{}", others.join(", "), why.map(|w| format!(": {w}")).unwrap_or_default());
        let record = self.patch_in(&mut tx, who, &m, keep, gained.clone(), None, Some(&reason)).await?;
        let own = self.claims_in(&mut tx, keep).await?;
        for (source, row) in sources {
            // The source finds its record under its own name again.
            if let (Some(external), false) = (row.external_id, own.contains_key(&source)) {
                tx.execute(
                    "INSERT INTO cmdb_claims (record, source, model, external_id, claims, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)
                     ON CONFLICT DO NOTHING",
                    params![keep, &source, model, external, json!({}), row.first_seen, row.last_seen],
                )
                .await?;
            }
        }
        let mut moved = 0;
        let ours = |id: &String| if others.contains(id) { keep.to_owned() } else { id.clone() };
        for a in links {
            let (from, to) = (ours(&a.from.1), ours(&a.to.1));
            let k = self.kind_in(&mut tx, &a.kind).await?;
            let (from, to) = ((a.from.0.as_str(), from.as_str()), (a.to.0.as_str(), to.as_str()));
            if from == to {
                continue;
            }
            match self.taken(&mut tx, &k, from, to).await {
                // The record that stays has the one link that the kind allows.
                Err(CmdbError::InUse(_)) => continue,
                other => other?,
            }
            self.associate_in(&mut tx, who, &k, from, to, a.attributes).await?;
            moved += 1;
        }
        self.access
            .audit(&mut tx, who, "cmdb.instance.merge", &format!("{model}/{keep}"), Some(&json!(others)), Some(&json!(gained)))
            .await?;
        if dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(Merged { record, gained, lost, moved })
    }
}
