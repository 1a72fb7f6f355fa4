//! What a person decides on: records of sources that no rule, or more than one record, answers to.

use plenum_access::{Permission, Principal};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{Row, StoreError, Tx, new_id, now_ms, params};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::claims::{How, Word};
use super::submit::{Outcome, SourceRecord, Submitted, digest};
use super::{identify, invalid};
use crate::model::{Model, collection};
use crate::{Cmdb, CmdbError, decode};

/// Most items that wait: a source that is let in wrongly must not fill the database.
const MAX_OPEN: i64 = 50_000;

/// What an item is read from.
const COLUMNS: &str =
    "id, source, model, external_id, attributes, reason, candidates, state, record, note, decided_by, created_at, updated_at";

/// A record of a source that waits for a person, or was decided on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// Who reports it.
    pub source: String,
    /// As what.
    pub model: String,
    /// What the source calls it.
    pub external_id: Option<String>,
    /// What the source says.
    pub attributes: Json,
    /// `new`: no rule recognises it. `ambiguous`: several records answer to it. `taken`: the record that answers is another one of the source.
    pub reason: String,
    /// The records that it could be; the first is proposed.
    pub candidates: Vec<String>,
    /// `open`, `accepted`, `merged`, `rejected`.
    pub state: String,
    /// The record that it became.
    pub record: Option<String>,
    /// Why it was decided so.
    pub note: Option<String>,
    /// By whom.
    pub decided_by: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
}

/// A page of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewPage {
    /// The newest first, of the models that the caller may read.
    pub items: Vec<Review>,
    /// For the next page.
    pub next_cursor: Option<String>,
    /// How many wait in all.
    pub open: i64,
}

/// Which of them.
#[derive(Debug, Clone, Default)]
pub struct ReviewQuery {
    /// One state; all when absent.
    pub state: Option<String>,
    /// One source.
    pub source: Option<String>,
    /// The id where the page before ended.
    pub cursor: Option<String>,
    /// Rows, at most 500.
    pub limit: u32,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A record of its own.
    Accept,
    /// It is this record.
    Merge {
        /// Which.
        record: String,
    },
    /// It is left out, also when the source reports it again.
    Reject,
    /// It waits again.
    Reopen,
}

impl Cmdb {
    /// Puts a source's record into the queue, or brings the item that is there up to date.
    pub(super) async fn hold_in(
        &self,
        tx: &mut Tx,
        source: &str,
        m: &Model,
        r: &SourceRecord,
        reason: &str,
        candidates: Vec<String>,
    ) -> Result<Submitted, CmdbError> {
        let identity = match &r.external_id {
            Some(e) => e.clone(),
            None => digest(&json!(
                identify::rules(m).iter().map(|rule| rule.iter().map(|k| r.attributes.get(k)).collect::<Vec<_>>()).collect::<Vec<_>>()
            )),
        };
        let found = tx
            .fetch_optional(
                "SELECT id, state FROM cmdb_reviews WHERE source = ? AND model = ? AND identity = ?",
                params![source, &m.name, &identity],
            )
            .await?;
        let held = |outcome, id: &str| Submitted { outcome, id: None, review: Some(id.to_owned()), error: None };
        if let Some(row) = found {
            let (id, state) = (row.text("id")?, row.text("state")?);
            if state == "rejected" {
                return Ok(held(Outcome::Ignored, &id));
            }
            tx.execute(
                "UPDATE cmdb_reviews SET attributes = ?, reason = ?, candidates = ?, state = 'open', updated_at = ? WHERE id = ?",
                params![json!(r.attributes), reason, json!(candidates), now_ms(), &id],
            )
            .await?;
            return Ok(held(Outcome::Held, &id));
        }
        let open = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_reviews WHERE state = 'open'", &[]).await?;
        if open.map(|r| r.int("n")).transpose()?.unwrap_or(0) >= MAX_OPEN {
            return Err(CmdbError::InUse(format!("{MAX_OPEN} records of sources wait for a decision already; decide on some first")));
        }
        let id = new_id();
        let now = now_ms();
        tx.execute(
            "INSERT INTO cmdb_reviews (id, source, model, identity, external_id, attributes, reason, candidates, state, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)",
            params![&id, source, &m.name, &identity, r.external_id.clone(), json!(r.attributes), reason, json!(candidates), now, now],
        )
        .await?;
        let data = json!({"source": source, "model": m.name, "external_id": r.external_id, "reason": reason});
        emit_later(
            tx,
            NewEvent { kind: "plenum.cmdb.review.opened".into(), source: "/cmdb".into(), subject: format!("review/{id}"), data },
        )?;
        Ok(held(Outcome::Held, &id))
    }

    /// A page of the queue.
    pub async fn reviews(&self, who: &Principal, q: &ReviewQuery) -> Result<ReviewPage, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let limit = q.limit.clamp(1, 500);
        let mut sql = format!("SELECT {COLUMNS} FROM cmdb_reviews WHERE created_at >= 0");
        let mut values: Vec<plenum_store::Value> = Vec::new();
        for (term, value) in [("state = ?", &q.state), ("source = ?", &q.source), ("id < ?", &q.cursor)] {
            if let Some(v) = value {
                sql.push_str(&format!(" AND {term}"));
                values.push(v.into());
            }
        }
        sql.push_str(" ORDER BY id DESC LIMIT ?");
        values.push(limit.into());
        let rows = self.db.fetch_all(&sql, &values).await?;
        let open = self.db.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_reviews WHERE state = 'open'", &[]).await?;
        let next_cursor = if rows.len() < limit as usize { None } else { rows.last().map(|r| r.text("id")).transpose()? };
        let mut items = Vec::with_capacity(rows.len());
        for r in &rows {
            let item = review(r)?;
            if self.access.check(who, Permission::CmdbRead, &[("models", &item.model)]).is_ok() {
                items.push(item);
            }
        }
        Ok(ReviewPage { items, next_cursor, open: open.map(|r| r.int("n")).transpose()?.unwrap_or(0) })
    }

    /// One item.
    pub async fn review(&self, who: &Principal, id: &str) -> Result<Review, CmdbError> {
        let row = self.db.fetch_optional(&format!("SELECT {COLUMNS} FROM cmdb_reviews WHERE id = ?"), params![id]).await?;
        let item = review(&row.ok_or_else(|| no_review(id))?)?;
        self.access.require(who, Permission::CmdbRead, &[("models", &item.model)]).await?;
        Ok(item)
    }

    /// Decides on an item. What it becomes, the decision and its audit entry are one transaction.
    pub async fn decide_review(&self, who: &Principal, id: &str, decision: Decision, note: Option<&str>) -> Result<Review, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[]).await?;
        let model = self.review(who, id).await?.model;
        self.access.require(who, Permission::CmdbWrite, &[("models", &model)]).await?;
        if note.is_some_and(|n| n.chars().count() > 2000) {
            return Err(invalid("/note", "a note has at most 2,000 characters".into()));
        }
        let _one = self.reconciling.lock().await;
        let mut tx = self.db.begin().await?;
        let lock = if tx.dialect() == plenum_store::Dialect::Postgres { " FOR UPDATE" } else { "" };
        let row = tx.fetch_optional(&format!("SELECT {COLUMNS} FROM cmdb_reviews WHERE id = ?{lock}"), params![id]).await?;
        let before = review(&row.ok_or_else(|| no_review(id))?)?;
        let fits = if decision == Decision::Reopen { before.state == "rejected" } else { before.state == "open" };
        if !fits {
            let by = before.decided_by.as_deref().unwrap_or("somebody");
            return Err(CmdbError::InUse(format!("{by} has decided on it already: it is {}", before.state)));
        }
        let m = self.stored_in(&mut tx, &model).await?.model;
        let attributes: Map<String, Json> = decode(before.attributes.clone())?;
        let r = SourceRecord { model: model.clone(), external_id: before.external_id.clone(), attributes, complete: false };
        let word = Word { external_id: r.external_id.as_deref(), ..Word::of(&before.source, How::Reported) };
        let why = note.map_or_else(|| format!("review {id}"), |n| format!("review {id}: {n}"));
        let (state, record) = match &decision {
            Decision::Accept => ("accepted", Some(self.take_new_in(&mut tx, who, &m, &r.attributes, word, &why).await?)),
            Decision::Merge { record } => {
                if self.docs.get_in(&mut tx, &collection(&model), record).await?.is_none() {
                    return Err(crate::instances::missing(&model, record));
                }
                let rows = self.claims_in(&mut tx, record).await?;
                self.say_in(&mut tx, who, &m, record, rows, word, r.attributes.clone(), None, Some(&why)).await?;
                ("merged", Some(record.clone()))
            }
            Decision::Reject => ("rejected", None),
            Decision::Reopen => ("open", None),
        };
        let by = if state == "open" { None } else { Some(who.actor().to_string()) };
        tx.execute(
            "UPDATE cmdb_reviews SET state = ?, record = ?, note = ?, decided_by = ?, updated_at = ? WHERE id = ?",
            params![state, record.clone(), note, by.clone(), now_ms(), id],
        )
        .await?;
        let after = json!({"state": state, "record": record, "note": note});
        self.access
            .audit(&mut tx, who, "cmdb.review.decide", &format!("review/{id}"), Some(&json!({"state": before.state})), Some(&after))
            .await?;
        let data = json!({"source": before.source, "model": model, "state": state, "record": record, "by": who.actor().to_string()});
        emit_later(
            &mut tx,
            NewEvent { kind: "plenum.cmdb.review.decided".into(), source: "/cmdb".into(), subject: format!("review/{id}"), data },
        )?;
        tx.commit().await?;
        self.review(who, id).await
    }
}

fn no_review(id: &str) -> CmdbError {
    CmdbError::NotFound(format!("there is no review {id}; what was decided is dropped after 90 days"))
}

fn review(r: &Row) -> Result<Review, StoreError> {
    Ok(Review {
        id: r.text("id")?,
        source: r.text("source")?,
        model: r.text("model")?,
        external_id: r.opt_text("external_id")?,
        attributes: r.json("attributes")?,
        reason: r.text("reason")?,
        candidates: decode(r.json("candidates")?)?,
        state: r.text("state")?,
        record: r.opt_text("record")?,
        note: r.opt_text("note")?,
        decided_by: r.opt_text("decided_by")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}
