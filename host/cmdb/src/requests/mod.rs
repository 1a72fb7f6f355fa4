//! Change requests: what somebody wants done to records, the word of those whom rules name, and the write-back.
//!
//! - [`rules`]: which changes need approval, and the gate in front of every write.
//! - [`decide`]: the votes.
//! - [`apply`]: what was approved, written in one transaction, or nothing of it.
//!
//! What is approved is what runs: every vote is for a hash over what is asked and the versions of the records, and it is checked again before
//! anything is written. A request acts as who made it, with the rights of that moment.

mod apply;
mod decide;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};

use plenum_access::{Actor, Permission, Principal};
use plenum_store::events::{NewEvent, emit};
use plenum_store::{Document, Row, StoreError, Tx, Value, new_id, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::instances::{missing, without_nulls};
use crate::model::collection;
use crate::sources::invalid;
use crate::view::{View, keys};
use crate::{Cmdb, CmdbError, decode};
pub use apply::Due;
pub use rules::{Act, ChangeRule};

/// Most records of one request.
const MAX_ITEMS: usize = 500;
/// Largest request, as JSON text.
const MAX_BYTES: usize = 1024 * 1024;

/// What is wanted of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What is done.
    pub act: Act,
    /// The record's model.
    pub model: String,
    /// The record; absent of one that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Attributes: of a new record all, of a changed one those that change (null takes one away).
    #[serde(default)]
    pub attributes: Map<String, Json>,
    /// The version that the change was made from; the present one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// A request as it is made.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// In a few words.
    pub title: String,
    /// Why.
    pub reason: Option<String>,
    /// A ticket.
    pub ticket: Option<String>,
    /// What is wanted.
    pub items: Vec<Wanted>,
    /// The workflow that does the work, before anything is written.
    pub workflow: Option<String>,
    /// What it is started with; beside it, it gets the request as `change`.
    pub input: Json,
    /// Asked again with the same key, the request that is there is answered.
    pub key: Option<String>,
}

/// One record's part of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// What is wanted.
    #[serde(flatten)]
    pub wanted: Wanted,
    /// What people call the record.
    pub label: String,
    /// What the touched attributes were when it was asked.
    pub before: Json,
}

/// Whose word is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// The rule that asks for it.
    pub rule: String,
    /// One of these: `user:<name>`, `role:<role>`.
    pub approvers: Vec<String>,
}

/// A word that was given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vote {
    /// For which rule.
    pub rule: String,
    /// Who.
    pub voter: String,
    /// Yes or no.
    pub approve: bool,
    /// In the voter's words.
    pub comment: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Spec {
    reason: Option<String>,
    ticket: Option<String>,
    items: Vec<Item>,
    workflow: Option<String>,
    input: Json,
    needs: Vec<Need>,
    #[serde(default)]
    records: Vec<String>,
}

/// A change that was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct ChangeRequest {
    /// Its id; the history of the records that it wrote names it.
    pub id: String,
    /// `open` (needs approval), `approved`, `running` (its workflow), `done`, `rejected`, `withdrawn`, `conflict`, `failed`.
    pub state: String,
    /// In a few words.
    pub title: String,
    /// Why.
    pub reason: Option<String>,
    /// A ticket.
    pub ticket: Option<String>,
    /// What is wanted.
    pub items: Vec<Item>,
    /// The workflow that does the work.
    pub workflow: Option<String>,
    /// Its run.
    pub run: Option<String>,
    /// Whose word is needed.
    pub needs: Vec<Need>,
    /// Words that were given.
    pub votes: Vec<Vote>,
    /// Over what is asked and the versions of the records: a vote names it.
    pub hash: String,
    /// Who asked.
    pub requested_by: String,
    /// Whether the caller may vote now.
    pub mine: bool,
    /// Where it stopped.
    pub error: Option<String>,
    /// Records that it made or changed.
    pub records: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
}

/// Which requests, the newest first.
#[derive(Debug, Clone, Default)]
pub struct ChangeQuery {
    /// In one of these states; any when empty.
    pub states: Vec<String>,
    /// About one record.
    pub record: Option<String>,
    /// Only those that wait for the caller's word.
    pub mine: bool,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Rows: 1 to 200; 50 when 0.
    pub limit: u32,
}

const COLUMNS: &str = "id, state, title, spec, hash, actor, requested_by, run, error, created_at, updated_at";

struct Stored {
    shown: ChangeRequest,
    spec: Spec,
    actor: Actor,
}

fn read(r: &Row) -> Result<Stored, CmdbError> {
    let spec: Spec = decode(r.json("spec")?)?;
    let shown = ChangeRequest {
        id: r.text("id")?,
        state: r.text("state")?,
        title: r.text("title")?,
        reason: spec.reason.clone(),
        ticket: spec.ticket.clone(),
        items: spec.items.clone(),
        workflow: spec.workflow.clone(),
        run: r.opt_text("run")?,
        needs: spec.needs.clone(),
        votes: Vec::new(),
        hash: r.text("hash")?,
        requested_by: r.text("requested_by")?,
        mine: false,
        error: r.opt_text("error")?,
        records: spec.records.clone(),
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    };
    Ok(Stored { shown, spec, actor: decode(r.json("actor")?)? })
}

impl Spec {
    /// Over everything that is done, and to which versions.
    fn hash(&self) -> String {
        let what: Vec<&Wanted> = self.items.iter().map(|i| &i.wanted).collect();
        hex::encode(Sha256::digest(json!([what, self.workflow, self.input]).to_string()))
    }
}

impl Cmdb {
    /// Asks for a change of records. One that no rule guards is done at once, or by its workflow.
    pub async fn request_change(&self, who: &Principal, draft: Draft) -> Result<ChangeRequest, CmdbError> {
        if let Some(key) = &draft.key {
            let sql = format!("SELECT {COLUMNS} FROM cmdb_change_requests WHERE request_key = ?");
            if let Some(r) = self.db.fetch_optional(&sql, params![key]).await? {
                let found = read(&r)?;
                if found.actor != who.actor() {
                    return Err(CmdbError::InUse("another caller has a request with this key; choose another".into()));
                }
                return self.change_request(who, &found.shown.id).await;
            }
        }
        let words = |at: &str, text: Option<&str>, most: usize| match text {
            Some(t) if t.chars().count() > most => Err(invalid(at, format!("at most {most} characters"))),
            _ => Ok(()),
        };
        words("/title", Some(&draft.title), 200)?;
        words("/reason", draft.reason.as_deref(), 4000)?;
        words("/ticket", draft.ticket.as_deref(), 200)?;
        words("/workflow", draft.workflow.as_deref(), 200)?;
        words("/key", draft.key.as_deref(), 200)?;
        if draft.title.trim().is_empty() {
            return Err(invalid("/title", "say in a few words what is wanted".into()));
        }
        if draft.items.is_empty() || draft.items.len() > MAX_ITEMS {
            return Err(invalid("/items", format!("a request is about 1 to {MAX_ITEMS} records, this about {}", draft.items.len())));
        }
        let views = self.views_of(who, &draft.items).await?;
        let id = new_id();
        let mut tx = self.db.begin().await?;
        let made = self.prepare(&mut tx, who, &views, draft).await;
        let (spec, title, key) = match made {
            Ok(made) => made,
            Err(e) => {
                tx.rollback().await?;
                return Err(e);
            }
        };
        let state = if spec.needs.is_empty() { "approved" } else { "open" };
        let now = now_ms();
        tx.execute(
            "INSERT INTO cmdb_change_requests (id, state, title, spec, hash, actor, requested_by, request_key, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![&id, state, &title, json!(spec), spec.hash(), json!(who.actor()), who.actor().to_string(), key, now, now],
        )
        .await?;
        self.note_records(&mut tx, &id, spec.items.iter().filter_map(|i| i.wanted.id.as_deref())).await?;
        self.tell_change(&mut tx, who, "requested", &id, &title, state).await?;
        tx.commit().await?;
        if state == "approved" {
            if spec.workflow.is_none() {
                self.apply_change(who, &id).await?;
            } else {
                self.changes_wanted.notify_one();
            }
        }
        self.change_request(who, &id).await
    }

    /// What the caller sees of the models, asked before a transaction begins.
    async fn views_of(&self, who: &Principal, items: &[Wanted]) -> Result<BTreeMap<String, View>, CmdbError> {
        let mut views = BTreeMap::new();
        for item in items {
            if item.act == Act::Delete {
                self.may_set_all(who, &item.model).await?;
            } else {
                self.may_set(who, &item.model, item.attributes.keys()).await?;
            }
            if !views.contains_key(&item.model) {
                views.insert(item.model.clone(), self.view(who, Permission::CmdbWrite, &item.model).await?);
            }
        }
        Ok(views)
    }

    async fn prepare(
        &self,
        tx: &mut Tx,
        who: &Principal,
        views: &BTreeMap<String, View>,
        draft: Draft,
    ) -> Result<(Spec, String, Option<String>), CmdbError> {
        let mut items = Vec::with_capacity(draft.items.len());
        let mut seen = BTreeSet::new();
        for (i, w) in draft.items.into_iter().enumerate() {
            let view = views.get(&w.model).ok_or_else(|| CmdbError::NoModel { name: w.model.clone(), hint: None })?;
            if let Some(id) = &w.id
                && !seen.insert((w.model.clone(), id.clone()))
            {
                return Err(invalid(&format!("/items/{i}"), format!("{} {id} is there twice", w.model)));
            }
            let item = self.prepare_one(tx, who, view, w).await.map_err(|e| match e {
                CmdbError::InvalidInstance { pointer, message } => {
                    CmdbError::InvalidInstance { pointer: format!("/items/{i}/attributes{pointer}"), message }
                }
                e => e,
            })?;
            items.push(item);
        }
        let mut spec = Spec {
            reason: draft.reason,
            ticket: draft.ticket,
            items,
            workflow: draft.workflow.filter(|w| !w.trim().is_empty()),
            input: if draft.input.is_object() { draft.input } else { json!({}) },
            needs: Vec::new(),
            records: Vec::new(),
        };
        spec.needs = self.needs_in(tx, views, &spec.items).await?;
        if json!(spec).to_string().len() > MAX_BYTES {
            return Err(invalid("/items", format!("a request has at most {MAX_BYTES} bytes; make several")));
        }
        Ok((spec, draft.title.trim().to_owned(), draft.key))
    }

    /// Checks what is wanted as the write will, and keeps what is there now.
    async fn prepare_one(&self, tx: &mut Tx, who: &Principal, view: &View, mut w: Wanted) -> Result<Item, CmdbError> {
        let m = &view.model;
        view.must_know(w.attributes.keys())?;
        if w.act == Act::Create {
            w.id = None;
            w.version = None;
            let full = without_nulls(m.with_defaults(Json::Object(w.attributes.clone())));
            m.check_instance(&full).map_err(|e| view.discreet(e))?;
            return Ok(Item { label: m.label(&full, "new"), before: json!({}), wanted: w });
        }
        let id = w.id.clone().ok_or_else(|| invalid("", format!("which {}? name its id", m.name)))?;
        let d = self.docs.get_in(tx, &collection(&m.name), &id).await?.ok_or_else(|| missing(&m.name, &id))?;
        view.must_change(&d)?;
        if let Some(expected) = w.version.filter(|v| *v != d.version) {
            return Err(StoreError::Conflict { what: format!("{}/{id}", m.name), expected, found: d.version }.into());
        }
        w.version = Some(d.version);
        let mut before = d.data.clone();
        if w.act == Act::Update {
            crate::bulk::may_edit(who, m, w.attributes.keys())?;
            let mut after = d.data.clone();
            if let Json::Object(o) = &mut after {
                o.extend(w.attributes.clone());
            }
            m.check_instance(&without_nulls(after)).map_err(|e| view.discreet(e))?;
            if let Json::Object(o) = &mut before {
                o.retain(|k, _| w.attributes.contains_key(k));
            }
        } else {
            w.attributes.clear();
        }
        view.strip(&mut before);
        Ok(Item { label: view.show(d).label, before, wanted: w })
    }

    /// Whose word these changes need.
    async fn needs_in(&self, tx: &mut Tx, views: &BTreeMap<String, View>, items: &[Item]) -> Result<Vec<Need>, CmdbError> {
        let rules = self.guards_in(tx).await?;
        let mut counts = vec![0_usize; rules.len()];
        for item in items {
            let w = &item.wanted;
            let Some(view) = views.get(&w.model) else { continue };
            let record = match &w.id {
                Some(id) => self.docs.get_in(tx, &collection(&w.model), id).await?.map(|d| d.data).unwrap_or_default(),
                None => without_nulls(view.model.with_defaults(Json::Object(w.attributes.clone()))),
            };
            let touched: Vec<&str> = w.attributes.keys().map(String::as_str).collect();
            for (rule, n) in rules.iter().zip(counts.iter_mut()) {
                *n += usize::from(rule.guards(&view.model, w.act, &touched, &record));
            }
        }
        let hit = rules.iter().zip(counts).filter(|(r, n)| *n >= r.at_least);
        Ok(hit.map(|(r, _)| Need { rule: r.name.clone(), approvers: r.approvers.clone() }).collect())
    }

    async fn note_records<'a>(&self, tx: &mut Tx, id: &str, records: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
        for r in records {
            let sql = "INSERT INTO cmdb_change_records (request, record) VALUES (?, ?) ON CONFLICT (request, record) DO NOTHING";
            tx.execute(sql, params![id, r]).await?;
        }
        Ok(())
    }

    async fn tell_change(&self, tx: &mut Tx, who: &Principal, what: &str, id: &str, title: &str, state: &str) -> Result<(), StoreError> {
        let target = format!("change-request/{id}");
        self.access.audit(tx, who, &format!("cmdb.change.{what}"), &target, None, Some(&json!({"state": state}))).await?;
        let data = json!({"id": id, "title": title, "state": state, "by": who.actor().to_string()});
        emit(tx, NewEvent { kind: format!("plenum.cmdb.change.{what}"), source: "/cmdb".into(), subject: target, data }).await
    }

    async fn stored_change(&self, id: &str) -> Result<Stored, CmdbError> {
        let sql = format!("SELECT {COLUMNS} FROM cmdb_change_requests WHERE id = ?");
        match self.db.fetch_optional(&sql, params![id]).await? {
            Some(r) => read(&r),
            None => Err(no_request(id)),
        }
    }

    /// As [`Cmdb::stored_change`], held until the transaction ends.
    async fn stored_change_in(&self, tx: &mut Tx, id: &str) -> Result<Stored, CmdbError> {
        let lock = if tx.dialect() == plenum_store::Dialect::Postgres { " FOR UPDATE" } else { "" };
        let sql = format!("SELECT {COLUMNS} FROM cmdb_change_requests WHERE id = ?{lock}");
        match tx.fetch_optional(&sql, params![id]).await? {
            Some(r) => read(&r),
            None => Err(no_request(id)),
        }
    }

    /// One request, as far as the caller sees its records.
    pub async fn change_request(&self, who: &Principal, id: &str) -> Result<ChangeRequest, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[plenum_access::KEEPS_TO_ATTRIBUTES, plenum_access::KEEPS_TO_RECORDS]).await?;
        let stored = self.stored_change(id).await?;
        let mut views = BTreeMap::new();
        self.shown(who, stored, &mut views).await?.ok_or_else(|| no_request(id))
    }

    /// Requests, as far as the caller sees their records.
    pub async fn change_requests(&self, who: &Principal, q: &ChangeQuery) -> Result<(Vec<ChangeRequest>, Option<String>), CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[plenum_access::KEEPS_TO_ATTRIBUTES, plenum_access::KEEPS_TO_RECORDS]).await?;
        let limit = if q.limit == 0 { 50 } else { q.limit.min(200) } as usize;
        let mut sql = format!("SELECT {COLUMNS} FROM cmdb_change_requests WHERE 1 = 1");
        let mut values: Vec<Value> = Vec::new();
        let open = ["open".to_owned()];
        let states: &[String] = if q.mine { &open } else { q.states.get(..q.states.len().min(10)).unwrap_or_default() };
        if !states.is_empty() {
            sql.push_str(&format!(" AND state IN ({})", vec!["?"; states.len()].join(", ")));
            values.extend(states.iter().map(Value::from));
        }
        if let Some(r) = &q.record {
            sql.push_str(" AND id IN (SELECT request FROM cmdb_change_records WHERE record = ?)");
            values.push(Value::from(r));
        }
        let (mut out, mut cursor, mut views) = (Vec::new(), q.cursor.clone(), BTreeMap::new());
        // Of many that the caller does not see, some are looked through for one page.
        for _ in 0..5 {
            let mut values = values.clone();
            let mut sql = sql.clone();
            if let Some(c) = &cursor {
                sql.push_str(" AND id < ?");
                values.push(Value::from(c));
            }
            sql.push_str(" ORDER BY id DESC LIMIT ?");
            values.push((limit as i64).into());
            let rows = self.db.fetch_all(&sql, &values).await?;
            for r in &rows {
                let stored = read(r)?;
                cursor = Some(stored.shown.id.clone());
                out.extend(self.shown(who, stored, &mut views).await?.filter(|c| !q.mine || c.mine));
                if out.len() == limit {
                    return Ok((out, cursor));
                }
            }
            if rows.len() < limit {
                return Ok((out, None));
            }
        }
        Ok((out, cursor))
    }

    /// A request without what is hidden from the caller; none when the caller has nothing to do with it and sees a part of its records only.
    async fn shown(
        &self,
        who: &Principal,
        stored: Stored,
        views: &mut BTreeMap<String, Option<View>>,
    ) -> Result<Option<ChangeRequest>, CmdbError> {
        let mut c = stored.shown;
        let own = stored.actor == who.actor();
        let rows = self
            .db
            .fetch_all("SELECT rule, voter, approve, comment, at FROM cmdb_change_votes WHERE request = ? ORDER BY at", params![&c.id])
            .await?;
        for r in &rows {
            c.votes.push(Vote {
                rule: r.text("rule")?,
                voter: r.text("voter")?,
                approve: r.bool("approve")?,
                comment: r.opt_text("comment")?,
                at: r.int("at")?,
            });
        }
        // Who was asked still sees what it was after the answer.
        let asked = matches!(who, Principal::User(u) if c.needs.iter().any(|n| rules::named(&n.approvers, u)));
        let open = matches!(who, Principal::User(u) if asked && self.asks(&c, u));
        for item in &mut c.items {
            let name = &item.wanted.model;
            if !views.contains_key(name) {
                let view = match self.view(who, Permission::CmdbRead, name).await {
                    Ok(v) => Some(v),
                    Err(CmdbError::NoModel { .. } | CmdbError::Access(_)) => None,
                    Err(e) => return Err(e),
                };
                views.insert(name.clone(), view);
            }
            let Some(view) = views.get(name).and_then(Option::as_ref) else { return Ok(None) };
            if !view.is_whole() && !own && !asked {
                let d = match &item.wanted.id {
                    Some(id) => self.docs.get(&collection(name), id).await?,
                    None => Some(Document {
                        id: String::new(),
                        version: 0,
                        data: Json::Object(item.wanted.attributes.clone()),
                        created_at: c.created_at,
                        updated_at: c.created_at,
                    }),
                };
                if !d.is_some_and(|d| view.sees(&d)) {
                    return Ok(None);
                }
            }
            let mut attributes = Json::Object(std::mem::take(&mut item.wanted.attributes));
            view.strip(&mut attributes);
            view.strip(&mut item.before);
            if let Json::Object(o) = attributes {
                item.wanted.attributes = o;
            }
        }
        c.mine = c.state == "open" && open && !own;
        Ok(Some(c))
    }
}

fn no_request(id: &str) -> CmdbError {
    CmdbError::NotFound(format!("there is no change request {id}"))
}

/// What an update touches.
pub(crate) fn touched(patch: &Json) -> Vec<&str> {
    keys(patch).map(String::as_str).collect()
}
