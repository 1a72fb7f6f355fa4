//! What each source says of a record, and how a word of one changes it.
//!
//! The record itself holds the values that count. Beside it, a row for each source says which of them are its own, and keeps the values that
//! lost. A value that a person wrote and nobody contradicts needs no row: most records have none.

use std::collections::{BTreeMap, BTreeSet};

use plenum_access::{Permission, Principal};
use plenum_store::{Document, DocumentError, StoreError, Tx, now_ms, params};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json, json};

use super::precedence::{Precedence, Said, presumed};
use super::{MANUAL, Settings, invalid};
use crate::facts::still_value;
use crate::instances::{Instance, instance, missing};
use crate::model::{Model, collection};
use crate::{Cmdb, CmdbError, decode};

/// What a source says of one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) at: i64,
    /// Absent where the record holds this source's value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    pub(crate) value: Option<Json>,
}

/// A null is a value here: that there is none.
fn some<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(d).map(Some)
}

pub(crate) type Claims = BTreeMap<String, Claim>;

/// A source's row beside a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SourceRow {
    pub(crate) external_id: Option<String>,
    pub(crate) claims: Claims,
    pub(crate) digest: Option<String>,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) vanished_at: Option<i64>,
}

pub(crate) type Rows = BTreeMap<String, SourceRow>;

/// What kind of word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// An act: it is the newest word even when it says what it said before. Null says that there is none.
    Written,
    /// A report, which comes again and again: only what it says otherwise than before is new, so two that contradict each other do not swing. Null
    /// withdraws.
    Reported,
}

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) source: &'a str,
    pub(crate) how: How,
    pub(crate) now: i64,
    /// What the source itself calls the record.
    pub(crate) external_id: Option<&'a str>,
    /// Of the whole report, to know it again.
    pub(crate) digest: Option<&'a str>,
}

impl<'a> Word<'a> {
    pub(crate) fn of(source: &'a str, how: How) -> Word<'a> {
        Word { source, how, now: now_ms(), external_id: None, digest: None }
    }
}

/// What follows from a word.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decided {
    /// What changes in the record.
    pub(crate) patch: Map<String, Json>,
    /// Claims of the sources whose rows change.
    pub(crate) claims: BTreeMap<String, Claims>,
}

/// Decides what a record has after a word, by attribute. Pure.
pub(crate) fn decide(
    p: &Precedence,
    m: &Model,
    before: &Json,
    since: i64,
    rows: &Rows,
    word: Word<'_>,
    says: &Map<String, Json>,
) -> Decided {
    let mut out = Decided::default();
    let mut claims: BTreeMap<String, Claims> = rows.iter().map(|(s, r)| (s.clone(), r.claims.clone())).collect();
    for (name, value) in says {
        let Some(a) = m.attribute(name) else {
            // The check of the whole record names it.
            out.patch.insert(name.clone(), value.clone());
            continue;
        };
        let has = before.get(name).cloned().unwrap_or(Json::Null);
        let mut said: BTreeMap<String, Said> = BTreeMap::new();
        let mut held = false;
        for (source, own) in &claims {
            if let Some(c) = own.get(name) {
                held |= c.value.is_none();
                said.insert(source.clone(), Said { at: c.at, value: c.value.clone().unwrap_or_else(|| has.clone()) });
            }
        }
        if !held && !has.is_null() {
            said.insert(presumed(a).to_owned(), Said { at: since, value: has.clone() });
        }
        speak(m, &mut said, word, name, value);
        let winner = p.winner(&m.name, a, &said).map(|(s, x)| (s.clone(), x.value.clone()));
        for own in claims.values_mut() {
            own.remove(name);
        }
        // What a person alone says needs no note.
        let alone = said.len() == 1 && said.contains_key(MANUAL) && presumed(a) == MANUAL;
        if !alone {
            for (source, x) in said {
                let wins = winner.as_ref().is_some_and(|(w, _)| *w == source);
                let claim = Claim { at: x.at, value: if wins { None } else { Some(x.value) } };
                claims.entry(source).or_default().insert(name.clone(), claim);
            }
        }
        let value = match winner {
            Some((_, v)) => v,
            // What every record has to have stays when its last source withdraws.
            None if a.required => has.clone(),
            None => Json::Null,
        };
        if value != has {
            out.patch.insert(name.clone(), value);
        }
    }
    out.claims = claims.into_iter().filter(|(s, c)| rows.get(s).map_or(!c.is_empty(), |r| r.claims != *c)).collect();
    out
}

fn speak(m: &Model, said: &mut BTreeMap<String, Said>, word: Word<'_>, name: &str, value: &Json) {
    let others = said.keys().any(|s| s != word.source);
    if value.is_null() && (word.how == How::Reported || !others) {
        said.remove(word.source);
        return;
    }
    let at = match (word.how, said.get(word.source)) {
        (How::Reported, Some(x)) if still_value(m, name, &x.value) == still_value(m, name, value) => x.at,
        (How::Reported, _) => word.now,
        // Newer than all that was said, also within the same millisecond.
        (How::Written, _) => said.values().map(|x| x.at + 1).chain([word.now]).max().unwrap_or(word.now),
    };
    said.insert(word.source.to_owned(), Said { at, value: value.clone() });
}

/// What one source says of an attribute, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceValue {
    /// The source.
    pub source: String,
    /// Its value; null: that there is none.
    pub value: Json,
    /// Since when, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Whether the record has it.
    pub counts: bool,
    /// Whether the source has not mentioned the record for longer than it should.
    pub stale: bool,
}

/// What is said of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttributeSources {
    /// The attribute.
    pub attribute: String,
    /// The one that counts first.
    pub values: Vec<SourceValue>,
    /// Whether they contradict each other.
    pub conflict: bool,
}

/// A source that knows a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordSource {
    /// The source.
    pub source: String,
    /// What it calls the record.
    pub external_id: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub first_seen: i64,
    /// Milliseconds since the Unix epoch.
    pub last_seen: i64,
    /// Whether that is longer ago than it should be.
    pub stale: bool,
    /// When the record was no longer there.
    pub vanished_at: Option<i64>,
}

/// Where a record's values come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordSources {
    /// Who knows it.
    pub sources: Vec<RecordSource>,
    /// By attribute, in the model's order; those without a value and without a word are absent.
    pub attributes: Vec<AttributeSources>,
}

impl Settings {
    pub(crate) fn stale(&self, source: &str, last_seen: i64, now: i64) -> bool {
        self.spec(source).stale_after_s.is_some_and(|s| last_seen < now - s * 1000)
    }
}

impl Cmdb {
    pub(crate) async fn claims_in(&self, tx: &mut Tx, record: &str) -> Result<Rows, CmdbError> {
        let rows = tx
            .fetch_all(
                "SELECT source, external_id, claims, digest, first_seen, last_seen, vanished_at FROM cmdb_claims WHERE record = ? ORDER BY source",
                params![record],
            )
            .await?;
        rows.iter().map(row).collect()
    }

    /// A direct write: as the caller's source says it, beside what others say.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn write_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        id: &str,
        patch: Map<String, Json>,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        let source = self.source_of(who);
        if tx.dialect() == plenum_store::Dialect::Postgres {
            // Held first: of two who write at once, the second decides by what the first said.
            self.docs.get_in(tx, &collection(&m.name), id).await?;
        }
        let rows = self.claims_in(tx, id).await?;
        if rows.is_empty() && source == MANUAL {
            return self.patch_in(tx, who, m, id, patch, expected, why).await;
        }
        self.say_in(tx, who, m, id, rows, Word::of(&source, How::Written), patch, expected, why).await
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn say_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        id: &str,
        rows: Rows,
        word: Word<'_>,
        says: Map<String, Json>,
        expected: Option<i64>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        // Also what loses has to be something that could win later.
        for (name, value) in says.iter().filter(|(_, v)| !v.is_null()) {
            if let Some(a) = m.attribute(name) {
                crate::model::check_value(a, value, &format!("/{name}"))?;
            }
        }
        let settings = self.settings().await?;
        let before = self.docs.get_in(tx, &collection(&m.name), id).await?.ok_or_else(|| missing(&m.name, id))?;
        let decided = decide(&settings.precedence, m, &before.data, before.updated_at, &rows, word, &says);
        let after = if decided.patch.is_empty() && expected.is_none_or(|e| e == before.version) {
            instance(m, before)
        } else {
            self.patch_in(tx, who, m, id, decided.patch.clone(), expected, why).await?
        };
        self.keep_in(tx, m, id, &rows, word, decided.claims).await?;
        Ok(after)
    }

    /// Writes the rows of the sources whose claims changed, and that `word`'s source was heard.
    pub(crate) async fn keep_in(
        &self,
        tx: &mut Tx,
        m: &Model,
        id: &str,
        rows: &Rows,
        word: Word<'_>,
        mut changed: BTreeMap<String, Claims>,
    ) -> Result<(), CmdbError> {
        let own = rows.get(word.source);
        if word.how == How::Reported || changed.contains_key(word.source) {
            let claims = changed.remove(word.source).or_else(|| own.map(|r| r.claims.clone())).unwrap_or_default();
            let known = own.is_some_and(|r| r.external_id.is_some()) || word.external_id.is_some();
            if claims.is_empty() && !known {
                tx.execute("DELETE FROM cmdb_claims WHERE record = ? AND source = ?", params![id, word.source]).await?;
            } else {
                self.row_in(tx, m, id, word, &claims).await?;
            }
        }
        for (source, claims) in changed {
            match rows.get(&source) {
                Some(r) if claims.is_empty() && r.external_id.is_none() => {
                    tx.execute("DELETE FROM cmdb_claims WHERE record = ? AND source = ?", params![id, &source]).await?;
                }
                Some(_) => {
                    tx.execute("UPDATE cmdb_claims SET claims = ? WHERE record = ? AND source = ?", params![json!(claims), id, &source])
                        .await?;
                }
                None => self.row_in(tx, m, id, Word::of(&source, How::Written), &claims).await?,
            }
        }
        Ok(())
    }

    async fn row_in(&self, tx: &mut Tx, m: &Model, id: &str, word: Word<'_>, claims: &Claims) -> Result<(), CmdbError> {
        let done = tx
            .execute(
                "INSERT INTO cmdb_claims (record, source, model, external_id, claims, digest, first_seen, last_seen, vanished_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)
                 ON CONFLICT (record, source) DO UPDATE SET claims = excluded.claims, external_id = COALESCE(excluded.external_id, cmdb_claims.external_id),
                 digest = excluded.digest, last_seen = excluded.last_seen, vanished_at = NULL",
                params![id, word.source, &m.name, word.external_id, json!(claims), word.digest, word.now, word.now],
            )
            .await;
        match done {
            Err(StoreError::Unique(_)) => {
                let external = word.external_id.unwrap_or_default();
                Err(CmdbError::InUse(format!("{} already has another {} under {external}", word.source, m.name)))
            }
            other => Ok(other.map(|_| ())?),
        }
    }

    /// Notes where a new record's values come from, as far as that is not plain.
    pub(crate) async fn born_in(&self, tx: &mut Tx, m: &Model, made: &Instance, word: Word<'_>) -> Result<(), CmdbError> {
        let claims: Claims = made
            .attributes
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| word.source != MANUAL || m.attribute(k).is_some_and(|a| presumed(a) != MANUAL))
            .map(|(k, _)| (k.clone(), Claim { at: word.now, value: None }))
            .collect();
        if claims.is_empty() && word.external_id.is_none() {
            return Ok(());
        }
        self.row_in(tx, m, &made.id, word, &claims).await
    }

    /// Where a record's values come from: every source's word, and whose counts.
    pub async fn record_sources(&self, who: &Principal, model: &str, id: &str) -> Result<RecordSources, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[("models", model)]).await?;
        let m = self.stored(model).await?.model;
        let settings = self.settings().await?;
        let d = self.docs.get(&collection(model), id).await?.ok_or_else(|| missing(model, id))?;
        let rows = self
            .db
            .fetch_all(
                "SELECT source, external_id, claims, digest, first_seen, last_seen, vanished_at FROM cmdb_claims WHERE record = ? ORDER BY source",
                params![id],
            )
            .await?;
        let rows: Rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        let since = self.since(&d, model).await?;
        let now = now_ms();
        let stale = |s: &str| rows.get(s).is_some_and(|r| settings.stale(s, r.last_seen, now));
        let mut attributes = Vec::new();
        for a in &m.attributes {
            let has = d.data.get(&a.name).cloned().unwrap_or(Json::Null);
            let mut values: Vec<SourceValue> = Vec::new();
            for (source, r) in &rows {
                if let Some(c) = r.claims.get(&a.name) {
                    let counts = c.value.is_none();
                    let value = c.value.clone().unwrap_or_else(|| has.clone());
                    values.push(SourceValue { source: source.clone(), value, at: c.at, counts, stale: stale(source) });
                }
            }
            if !has.is_null() && !values.iter().any(|v| v.counts) {
                let (source, at) = (presumed(a), since.get(&a.name).copied().unwrap_or(d.created_at));
                values.push(SourceValue { source: source.to_owned(), value: has, at, counts: true, stale: stale(source) });
            }
            values.sort_by(|x, y| y.counts.cmp(&x.counts).then_with(|| y.at.cmp(&x.at)));
            let first = values.first().map(|v| still_value(&m, &a.name, &v.value));
            let conflict = values.iter().skip(1).any(|v| Some(still_value(&m, &a.name, &v.value)) != first);
            if !values.is_empty() {
                attributes.push(AttributeSources { attribute: a.name.clone(), values, conflict });
            }
        }
        let sources = rows
            .into_iter()
            .map(|(source, r)| RecordSource {
                stale: settings.stale(&source, r.last_seen, now),
                source,
                external_id: r.external_id,
                first_seen: r.first_seen,
                last_seen: r.last_seen,
                vanished_at: r.vanished_at,
            })
            .collect();
        Ok(RecordSources { sources, attributes })
    }

    /// When each attribute got the value that it has, by the record's newest 500 changes.
    async fn since(&self, d: &Document, model: &str) -> Result<BTreeMap<String, i64>, CmdbError> {
        let mut out = BTreeMap::new();
        for c in self.docs.history(&collection(model), &d.id, None, 500).await? {
            for (k, v) in c.after.as_object().into_iter().flatten() {
                if c.before.get(k) != Some(v) && !out.contains_key(k) {
                    out.insert(k.clone(), c.at);
                }
            }
        }
        Ok(out)
    }

    /// Takes back what a source says of a record: of one attribute, or of all. The next one's values take their place.
    pub async fn withdraw(
        &self,
        who: &Principal,
        model: &str,
        id: &str,
        source: &str,
        attribute: Option<&str>,
        why: Option<&str>,
    ) -> Result<Instance, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[("models", model)]).await?;
        if let Principal::Plugin(p) = who
            && source != format!("plugin:{}", p.id)
        {
            return Err(invalid("/source", format!("the plugin {} takes back only what it said itself", p.id)));
        }
        let mut tx = self.db.begin().await?;
        let m = self.stored_in(&mut tx, model).await?.model;
        self.docs.get_in(&mut tx, &collection(model), id).await?.ok_or_else(|| missing(model, id))?;
        let rows = self.claims_in(&mut tx, id).await?;
        let says: BTreeSet<String> = match (rows.get(source), attribute) {
            (Some(r), None) => r.claims.keys().cloned().collect(),
            (Some(r), Some(a)) if r.claims.contains_key(a) => BTreeSet::from([a.to_owned()]),
            _ => BTreeSet::new(),
        };
        if says.is_empty() {
            return Err(CmdbError::NotFound(format!("the source {source} has nothing on record about that; /sources lists who has")));
        }
        let before = json!({"source": source, "attributes": says});
        let says = says.into_iter().map(|k| (k, Json::Null)).collect();
        let after = self.say_in(&mut tx, who, &m, id, rows, Word::of(source, How::Reported), says, None, why).await?;
        if attribute.is_none() {
            tx.execute("DELETE FROM cmdb_claims WHERE record = ? AND source = ?", params![id, source]).await?;
        }
        self.access.audit(&mut tx, who, "cmdb.source.withdraw", &format!("{model}/{id}"), Some(&before), None).await?;
        tx.commit().await?;
        Ok(after)
    }
}

fn row(r: &plenum_store::Row) -> Result<(String, SourceRow), CmdbError> {
    Ok((
        r.text("source")?,
        SourceRow {
            external_id: r.opt_text("external_id")?,
            claims: decode(r.json("claims")?)?,
            digest: r.opt_text("digest")?,
            first_seen: r.int("first_seen")?,
            last_seen: r.int("last_seen")?,
            vanished_at: r.opt_int("vanished_at")?,
        },
    ))
}

/// Whether an error is a row's own, so that the others go on.
pub(crate) fn of_the_row(e: &CmdbError) -> bool {
    !matches!(e, CmdbError::Document(DocumentError::Store(s)) if !matches!(s, StoreError::Conflict { .. }))
}
