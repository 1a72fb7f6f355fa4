//! What goes on by itself: records that their source no longer mentions are marked, then archived; new rules of precedence reach old records.

use std::collections::BTreeMap;

use plenum_access::Principal;
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{Tx, now_ms, params};
use serde_json::{Map, Value as Json, json};

use super::AGENT;
use super::claims::{How, Word};
use super::precedence::by_people;
use crate::model::collection;
use crate::{Cmdb, CmdbError};

/// Records of one transaction.
const BATCH: u32 = 200;
/// Decided reviews are kept this long. What was rejected stays, or the source would ask again.
const KEEP_REVIEWS_MS: i64 = 90 * 86_400_000;
const WHO: Principal = Principal::System("reconciliation");

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records marked as vanished from a source.
    pub vanished: u64,
    /// Records archived.
    pub archived: u64,
    /// Records whose values changed because a source withdrew, or a rule of precedence changed.
    pub changed: u64,
}

impl Cmdb {
    /// One round, at a given time. Run it from time to time.
    pub async fn sweep_sources(&self, now: i64) -> Result<Swept, CmdbError> {
        let mut done = Swept::default();
        self.known.forget();
        self.hear_agents(now).await?;
        let settings = self.settings().await?;
        for r in self.db.fetch_all("SELECT DISTINCT source FROM cmdb_claims ORDER BY source LIMIT 500", &[]).await? {
            let source = r.text("source")?;
            let spec = settings.spec(&source);
            if let Some(after) = spec.vanish_after_s {
                done.vanished += self.vanish(&source, now - after * 1000, now).await?;
            }
            if let Some(after) = spec.archive_after_s {
                let (archived, changed) = self.archive(&source, now - after * 1000).await?;
                done.archived += archived;
                done.changed += changed;
            }
        }
        done.changed += self.reapply(500).await?;
        let old = "DELETE FROM cmdb_reviews WHERE state IN ('accepted', 'merged') AND updated_at < ?";
        self.db.execute(old, params![now - KEEP_REVIEWS_MS]).await?;
        Ok(done)
    }

    /// An agent that is connected and has nothing new to say is not silent: its records are as fresh as the connection.
    async fn hear_agents(&self, now: i64) -> Result<(), CmdbError> {
        let Some(stale) = self.settings().await?.spec(AGENT).stale_after_s else { return Ok(()) };
        let mut after = String::new();
        loop {
            let sql = "SELECT record, model FROM cmdb_claims WHERE source = ? AND last_seen < ? AND record > ? ORDER BY record LIMIT ?";
            let rows = self.db.fetch_all(sql, params![AGENT, now - stale * 500, &after, i64::from(BATCH)]).await?;
            let mut by_model: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for r in &rows {
                after = r.text("record")?;
                by_model.entry(r.text("model")?).or_default().push(after.clone());
            }
            let mut live: Vec<String> = Vec::new();
            let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let text = |d: &plenum_store::Document, k: &str| d.data.get(k).and_then(Json::as_str).map(str::to_owned);
            for (model, ids) in &by_model {
                for d in self.docs.get_many(&collection(model), ids).await? {
                    match (model.as_str(), text(&d, "status").as_deref(), text(&d, "host_id")) {
                        ("host", Some("online"), _) => live.push(d.id),
                        ("host", ..) => {}
                        (_, Some("running"), Some(host)) => by_host.entry(host).or_default().push(d.id),
                        _ => {}
                    }
                }
            }
            let hosts: Vec<String> = by_host.keys().cloned().collect();
            for d in self.docs.get_many(&collection("host"), &hosts).await? {
                if text(&d, "status").as_deref() == Some("online") {
                    live.extend(by_host.remove(&d.id).unwrap_or_default());
                }
            }
            let mut tx = self.db.begin().await?;
            for id in &live {
                let heard = "UPDATE cmdb_claims SET last_seen = ?, vanished_at = NULL WHERE record = ? AND source = ?";
                tx.execute(heard, params![now, id, AGENT]).await?;
            }
            tx.commit().await?;
            if rows.len() < BATCH as usize {
                return Ok(());
            }
        }
    }

    async fn vanish(&self, source: &str, before: i64, now: i64) -> Result<u64, CmdbError> {
        let mut tx = self.db.begin().await?;
        let mark = "UPDATE cmdb_claims SET vanished_at = ? WHERE source = ? AND last_seen < ? AND vanished_at IS NULL";
        let n = tx.execute(mark, params![now, source, before]).await?;
        if n > 0 {
            let data = json!({"source": source, "records": n});
            let event =
                NewEvent { kind: "plenum.cmdb.source.vanished".into(), source: "/cmdb".into(), subject: format!("source/{source}"), data };
            emit_later(&mut tx, event)?;
        }
        tx.commit().await?;
        Ok(n)
    }

    async fn archive(&self, source: &str, before: i64) -> Result<(u64, u64), CmdbError> {
        let (mut archived, mut changed) = (0, 0);
        let mut after = String::new();
        loop {
            let sql = "SELECT record, model FROM cmdb_claims WHERE source = ? AND vanished_at < ? AND record > ? ORDER BY record LIMIT ?";
            let rows = self.db.fetch_all(sql, params![source, before, &after, i64::from(BATCH)]).await?;
            for r in &rows {
                let (id, model) = (r.text("record")?, r.text("model")?);
                match self.archive_one(source, &model, &id, before).await {
                    Ok(true) => archived += 1,
                    Ok(false) => changed += 1,
                    // One record that cannot go must not keep the others.
                    Err(error) => tracing::warn!(source, model, id, %error, "a record that vanished cannot be archived"),
                }
                after = id;
            }
            if rows.len() < BATCH as usize {
                return Ok((archived, changed));
            }
        }
    }

    async fn archive_one(&self, source: &str, model: &str, id: &str, before: i64) -> Result<bool, CmdbError> {
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        let there = self.docs.get_in(&mut tx, &collection(model), id).await?.is_some();
        let rows = self.claims_in(&mut tx, id).await?;
        // It may have been seen again since the list was made.
        let Some(own) = rows.get(source).filter(|r| r.vanished_at.is_some_and(|v| v < before)) else { return Ok(false) };
        let known = rows.iter().any(|(s, r)| s != source && !by_people(s) && r.vanished_at.is_none());
        let forget = "DELETE FROM cmdb_claims WHERE record = ? AND source = ?";
        if !there {
            tx.execute(forget, params![id, source]).await?;
        } else if known {
            let says: Map<String, Json> = own.claims.keys().map(|k| (k.clone(), Json::Null)).collect();
            let why = format!("{source} no longer has it");
            self.say_in(&mut tx, &WHO, &m, id, rows, Word::of(source, How::Reported), says, None, Some(&why)).await?;
            tx.execute(forget, params![id, source]).await?;
        } else {
            self.delete_in(
                &mut tx,
                &WHO,
                None,
                &m,
                id,
                None,
                Some(&format!("archived: {source} no longer has it, nor has any other system")),
            )
            .await?;
        }
        tx.commit().await?;
        Ok(there && !known)
    }

    /// Notes that records of a model (`*`: of all) have to be looked at again.
    pub(super) async fn note_reapply(&self, tx: &mut Tx, model: &str) -> Result<(), CmdbError> {
        let models: Vec<String> = if model == "*" {
            let rows = tx.fetch_all("SELECT name FROM cmdb_models ORDER BY name LIMIT 1000", &[]).await?;
            rows.iter().map(|r| r.text("name")).collect::<Result<_, _>>()?
        } else {
            vec![model.to_owned()]
        };
        for m in models {
            tx.execute(
                "INSERT INTO cmdb_quality_work (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                params![format!("precedence/{m}"), json!({"after": ""})],
            )
            .await?;
        }
        Ok(())
    }

    /// Brings records in line with rules that changed: at most so many batches; answers how many records changed.
    pub(super) async fn reapply(&self, batches: usize) -> Result<u64, CmdbError> {
        let mut changed = 0;
        for _ in 0..batches {
            let sql = "SELECT name, value FROM cmdb_quality_work WHERE name LIKE 'precedence/%' ORDER BY name LIMIT 1";
            let Some(row) = self.db.fetch_optional(sql, &[]).await? else { return Ok(changed) };
            let (name, value) = (row.text("name")?, row.json("value")?);
            let model = name.trim_start_matches("precedence/").to_owned();
            let after = value.get("after").and_then(Json::as_str).unwrap_or_default();
            let sql = "SELECT DISTINCT record FROM cmdb_claims WHERE model = ? AND record > ? ORDER BY record LIMIT ?";
            let rows = self.db.fetch_all(sql, params![&model, after, i64::from(BATCH)]).await?;
            let ids: Vec<String> = rows.iter().map(|r| r.text("record")).collect::<Result<_, _>>()?;
            let mut tx = self.db.begin().await?;
            if let Ok(m) = self.stored_in(&mut tx, &model).await {
                for id in &ids {
                    let before = tx.savepoint().await?;
                    match self.again_by_rules(&mut tx, &m.model, id).await {
                        Ok(c) => {
                            changed += u64::from(c);
                            tx.release(before).await?;
                        }
                        Err(e) if super::claims::of_the_row(&e) => {
                            tx.back_to(before).await?;
                            tracing::warn!(model, id, error = %e, "a record cannot follow the new rules of precedence");
                        }
                        Err(e) => return Err(e),
                    }
                }
            }
            match ids.last().filter(|_| ids.len() == BATCH as usize) {
                Some(last) => {
                    tx.execute("UPDATE cmdb_quality_work SET value = ? WHERE name = ?", params![json!({"after": last}), &name]).await?;
                }
                None => {
                    tx.execute("DELETE FROM cmdb_quality_work WHERE name = ?", params![&name]).await?;
                }
            }
            tx.commit().await?;
        }
        Ok(changed)
    }

    /// Lets every source say again what it said, so that today's rules decide.
    async fn again_by_rules(&self, tx: &mut Tx, m: &crate::Model, id: &str) -> Result<bool, CmdbError> {
        let Some(before) = self.docs.get_in(tx, &collection(&m.name), id).await? else { return Ok(false) };
        let rows = self.claims_in(tx, id).await?;
        let mut version = before.version;
        let mut data = before.data;
        for (source, row) in rows {
            let says: Map<String, Json> = row
                .claims
                .iter()
                .map(|(k, c)| (k.clone(), c.value.clone().or_else(|| data.get(k).cloned()).unwrap_or(Json::Null)))
                .filter(|(_, v)| !v.is_null())
                .collect();
            let rows = self.claims_in(tx, id).await?;
            let word = Word { digest: row.digest.as_deref(), now: row.last_seen, ..Word::of(&source, How::Reported) };
            let after = self.say_in(tx, &WHO, m, id, rows, word, says, None, Some("rules of precedence changed")).await?;
            version = after.version;
            data = after.attributes;
            if row.vanished_at.is_some() {
                let still = "UPDATE cmdb_claims SET vanished_at = ? WHERE record = ? AND source = ?";
                tx.execute(still, params![row.vanished_at, id, &source]).await?;
            }
        }
        Ok(version != before.version)
    }

    /// Sweeps now.
    pub async fn sweep_sources_now(&self) -> Result<Swept, CmdbError> {
        self.sweep_sources(now_ms()).await
    }
}
