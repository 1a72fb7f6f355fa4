//! Records of other systems, taken in bulk: recognised and brought in line, made, or held for a person.

use std::collections::BTreeMap;

use plenum_access::{Permission, Principal};
use plenum_store::{Tx, now_ms, params};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::claims::{How, Word, of_the_row};
use super::identify::Found;
use super::{AGENT, IMPORT, MANUAL, OnNew, Settings, invalid};
use crate::instances::without_nulls;
use crate::model::{Model, collection};
use crate::{Cmdb, CmdbError};

/// Most records of one call, those that are gone among them.
pub const MAX_RECORDS: usize = 1000;
/// Longest name that a source may have for a record.
const MAX_EXTERNAL: usize = 500;
/// How exactly it is known when a source last spoke of a record that is as it was.
const HEARD_MS: i64 = 3_600_000;

/// A record as a source has it.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    /// Its model.
    pub model: String,
    /// What the source calls it: it is recognised by this first.
    pub external_id: Option<String>,
    /// What the source says; null takes back what it said before.
    pub attributes: Map<String, Json>,
    /// Whether that is all it says: what it said before and does not repeat is taken back.
    pub complete: bool,
}

/// What a source sends.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// Records that are there.
    pub records: Vec<SourceRecord>,
    /// Records that are no longer there: model, and what the source calls them.
    pub gone: Vec<(String, String)>,
    /// Whether it only says what would be.
    pub dry_run: bool,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A record was made.
    Created,
    /// A record changed.
    Updated,
    /// The record is as it was; what the source says may still be kept beside what counts.
    Unchanged,
    /// It waits for a person.
    Held,
    /// A person or a rule said to leave it out.
    Ignored,
    /// It is marked as vanished.
    Gone,
    /// Nothing happened: see the error.
    Failed,
}

/// A record's result, in the order sent: those that are there, then those that are gone.
#[derive(Debug)]
pub struct Submitted {
    /// What became of it.
    pub outcome: Outcome,
    /// The record.
    pub id: Option<String>,
    /// What a person decides on.
    pub review: Option<String>,
    /// Why it failed.
    pub error: Option<CmdbError>,
}

impl Submitted {
    fn of(outcome: Outcome, id: &str) -> Submitted {
        Submitted { outcome, id: Some(id.to_owned()), review: None, error: None }
    }
}

impl Cmdb {
    /// Takes what a source says. Each record stands for itself; all are one transaction.
    pub async fn submit(&self, who: &Principal, source: &str, s: Submission) -> Result<Vec<Submitted>, CmdbError> {
        let n = s.records.len() + s.gone.len();
        if n > MAX_RECORDS {
            return Err(invalid("/records", format!("one call has at most {MAX_RECORDS} records, this has {n}; send several")));
        }
        let settings = self.settings().await?;
        may_speak(who, source, &settings)?;
        let models: std::collections::BTreeSet<&str> =
            s.records.iter().map(|r| r.model.as_str()).chain(s.gone.iter().map(|(m, _)| m.as_str())).collect();
        for model in &models {
            self.access.require(who, Permission::CmdbWrite, &[("models", model)]).await?;
        }
        // Looking and writing belong together, or two reports at once make two records; agents' facts wait here too.
        let _one = self.reconciling.lock().await;
        let mut tx = self.db.begin().await?;
        if tx.dialect() == plenum_store::Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock(7305804)", &[]).await?;
        }
        let mut known: BTreeMap<&str, Model> = BTreeMap::new();
        for model in models {
            known.insert(model, self.stored_in(&mut tx, model).await?.model);
        }
        let mut out = Vec::with_capacity(n);
        for r in &s.records {
            let Some(m) = known.get(r.model.as_str()) else { continue };
            let before = tx.savepoint().await?;
            let done = self.take_in(&mut tx, who, source, &settings, m, r).await;
            if let Err(e) = &done {
                if !of_the_row(e) {
                    return Err(done.err().unwrap_or_else(|| CmdbError::NotFound(String::new())));
                }
                tx.back_to(before).await?;
            } else {
                tx.release(before).await?;
            }
            out.push(done.unwrap_or_else(|e| Submitted { outcome: Outcome::Failed, id: None, review: None, error: Some(e) }));
        }
        for (model, external_id) in &s.gone {
            out.push(self.gone_in(&mut tx, source, model, external_id).await?);
        }
        if s.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(out)
    }

    async fn take_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        source: &str,
        settings: &Settings,
        m: &Model,
        r: &SourceRecord,
    ) -> Result<Submitted, CmdbError> {
        check(m, r)?;
        let digest = digest(&json!([r.complete, r.attributes]));
        let word = Word { external_id: r.external_id.as_deref(), digest: Some(&digest), ..Word::of(source, How::Reported) };
        if let Some(external) = &r.external_id
            && let Some(row) = tx
                .fetch_optional(
                    "SELECT record, digest, last_seen, vanished_at FROM cmdb_claims WHERE source = ? AND model = ? AND external_id = ?",
                    params![source, &m.name, external],
                )
                .await?
        {
            let id = row.text("record")?;
            let same = row.opt_text("digest")?.as_deref() == Some(&digest) && row.opt_int("vanished_at")?.is_none();
            return self.again_in(tx, who, m, &id, word, r, same.then_some(row.int("last_seen")?)).await;
        }
        match self.identify_in(tx, m, &r.attributes).await? {
            Found::One(id) => {
                let rows = self.claims_in(tx, &id).await?;
                let own = rows.get(source);
                if let (Some(known), Some(now)) = (own.and_then(|o| o.external_id.as_ref()), &r.external_id)
                    && known != now
                {
                    // Two of the source's records would be one of ours.
                    return self.hold_in(tx, source, m, r, "taken", vec![id]).await;
                }
                let same = own.filter(|o| o.digest.as_deref() == Some(&digest) && o.vanished_at.is_none());
                let same = same.filter(|o| r.external_id.is_none() || o.external_id.is_some()).map(|o| o.last_seen);
                self.again_in(tx, who, m, &id, word, r, same).await
            }
            Found::Many(_, ids) => self.hold_in(tx, source, m, r, "ambiguous", ids).await,
            Found::None => match settings.spec(source).on_new {
                OnNew::Ignore => Ok(Submitted { outcome: Outcome::Ignored, id: None, review: None, error: None }),
                OnNew::Review => self.hold_in(tx, source, m, r, "new", Vec::new()).await,
                OnNew::Create => {
                    let made = self.take_new_in(tx, who, m, &r.attributes, word, &format!("reported by {source}")).await?;
                    Ok(Submitted::of(Outcome::Created, &made))
                }
            },
        }
    }

    pub(super) async fn take_new_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        attributes: &Map<String, Json>,
        word: Word<'_>,
        why: &str,
    ) -> Result<String, CmdbError> {
        let attributes = without_nulls(m.with_defaults(Json::Object(attributes.clone())));
        m.check_instance(&attributes)?;
        let made = self.insert_in(tx, who, m, attributes, Some(why)).await?;
        self.born_in(tx, m, &made, word).await?;
        Ok(made.id)
    }

    /// A record that is known. `same`: when the source last said exactly this.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn again_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        id: &str,
        word: Word<'_>,
        r: &SourceRecord,
        same: Option<i64>,
    ) -> Result<Submitted, CmdbError> {
        if let Some(last) = same {
            if last < word.now - HEARD_MS {
                let heard = "UPDATE cmdb_claims SET last_seen = ? WHERE record = ? AND source = ?";
                tx.execute(heard, params![word.now, id, word.source]).await?;
            }
            return Ok(Submitted::of(Outcome::Unchanged, id));
        }
        let before = self.docs.get_in(tx, &collection(&m.name), id).await?.map_or(0, |d| d.version);
        let rows = self.claims_in(tx, id).await?;
        let mut says = r.attributes.clone();
        if r.complete {
            for k in rows.get(word.source).into_iter().flat_map(|o| o.claims.keys()) {
                says.entry(k.clone()).or_insert(Json::Null);
            }
        }
        let why = format!("reported by {}", word.source);
        let after = self.say_in(tx, who, m, id, rows, word, says, None, Some(&why)).await?;
        Ok(Submitted::of(if after.version == before { Outcome::Unchanged } else { Outcome::Updated }, id))
    }

    async fn gone_in(&self, tx: &mut Tx, source: &str, model: &str, external_id: &str) -> Result<Submitted, CmdbError> {
        let key = params![source, model, external_id];
        let sql = "SELECT record FROM cmdb_claims WHERE source = ? AND model = ? AND external_id = ?";
        let Some(row) = tx.fetch_optional(sql, key).await? else {
            let error = CmdbError::NotFound(format!("{source} never had a {model} under {external_id}"));
            return Ok(Submitted { outcome: Outcome::Failed, id: None, review: None, error: Some(error) });
        };
        let id = row.text("record")?;
        let mark = "UPDATE cmdb_claims SET vanished_at = ? WHERE record = ? AND source = ? AND vanished_at IS NULL";
        tx.execute(mark, params![now_ms(), &id, source]).await?;
        Ok(Submitted::of(Outcome::Gone, &id))
    }
}

fn may_speak(who: &Principal, source: &str, settings: &Settings) -> Result<(), CmdbError> {
    let refuse = |message: String| Err(CmdbError::NotFound(message));
    match who {
        Principal::Plugin(p) if source == format!("plugin:{}", p.id) => Ok(()),
        Principal::Plugin(p) => refuse(format!("the plugin {} speaks as plugin:{} and as nobody else", p.id, p.id)),
        _ if [MANUAL, AGENT].contains(&source) || source.starts_with("plugin:") => refuse(format!(
            "records are not sent as {source}: that is who it is, not what is said; have an administrator name a source of your own"
        )),
        _ if source == IMPORT || settings.named(source) => Ok(()),
        _ => refuse(format!("there is no source {source}; an administrator names it first, under Inventory, Sources")),
    }
}

fn check(m: &Model, r: &SourceRecord) -> Result<(), CmdbError> {
    if r.external_id.as_ref().is_some_and(|e| e.trim().is_empty() || e.len() > MAX_EXTERNAL) {
        return Err(invalid("/external_id", format!("external_id is 1 to {MAX_EXTERNAL} characters, or absent")));
    }
    for (name, value) in &r.attributes {
        let Some(a) = m.attribute(name) else {
            let hint = plenum_store::filter::nearest(name, m.attributes.iter().map(|a| a.name.as_str()));
            let hint = hint.map(|h| format!("; did you mean {h}?")).unwrap_or_default();
            return Err(invalid(&format!("/{name}"), format!("the model {} has no attribute {name}{hint}", m.name)));
        };
        if !value.is_null() {
            crate::model::check_value(a, value, &format!("/{name}"))?;
        }
    }
    Ok(())
}

/// SHA-256 of a value whose keys are in order.
pub(crate) fn digest(v: &Json) -> String {
    fn ordered(v: &Json) -> Json {
        match v {
            Json::Object(o) => {
                let sorted: BTreeMap<&String, Json> = o.iter().map(|(k, v)| (k, ordered(v))).collect();
                json!(sorted)
            }
            Json::Array(a) => Json::Array(a.iter().map(ordered).collect()),
            v => v.clone(),
        }
    }
    hex::encode(Sha256::digest(ordered(v).to_string()))
}
