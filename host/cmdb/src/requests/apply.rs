//! What was approved, written in one transaction, or nothing of it; and its workflow's way there.

use plenum_access::{Actor, Permission, Principal};
use plenum_store::{DocumentError, StoreError, Tx, now_ms, params};
use serde_json::{Value as Json, json};

use super::{Act, COLUMNS, ChangeRequest, Stored, read};
use crate::{Cmdb, CmdbError};

/// A request that is to go on, and as whom.
#[derive(Debug, Clone)]
pub struct Due {
    /// The request.
    pub id: String,
    /// `approved`: it is to begin; `running`: its workflow is under way.
    pub state: String,
    /// As whom.
    pub actor: Actor,
    /// The workflow, and what it is started with.
    pub workflow: Option<(String, Json)>,
    /// Its run.
    pub run: Option<String>,
    /// How often it was begun: a run's key.
    pub hash: String,
}

impl Cmdb {
    /// Returns when requests may be to go on.
    pub async fn changes_wanted(&self) {
        self.changes_wanted.notified().await;
    }

    /// Requests that are approved or whose workflow is under way, the oldest first.
    pub async fn changes_due(&self) -> Result<Vec<Due>, CmdbError> {
        let sql = format!("SELECT {COLUMNS} FROM cmdb_change_requests WHERE state IN ('approved', 'running') ORDER BY id LIMIT 200");
        let mut out = Vec::new();
        for r in self.db.fetch_all(&sql, &[]).await? {
            let Stored { shown, spec, actor } = read(&r)?;
            let workflow = spec.workflow.clone().map(|w| {
                let mut input = spec.input.clone();
                if let Json::Object(o) = &mut input {
                    let change =
                        json!({"id": shown.id, "title": shown.title, "reason": spec.reason, "ticket": spec.ticket, "items": spec.items});
                    o.insert("change".into(), change);
                }
                (w, input)
            });
            out.push(Due { id: shown.id, state: shown.state, actor, workflow, run: shown.run, hash: shown.hash });
        }
        Ok(out)
    }

    /// Its workflow is under way.
    pub async fn change_runs(&self, id: &str, run: &str) -> Result<(), CmdbError> {
        let sql = "UPDATE cmdb_change_requests SET state = 'running', run = ?, updated_at = ? WHERE id = ? AND state = 'approved'";
        self.db.execute(sql, params![run, now_ms(), id]).await?;
        Ok(())
    }

    /// It stopped, and nothing was written: `error` says where.
    pub async fn change_failed(&self, id: &str, error: &str) -> Result<(), CmdbError> {
        let mut tx = self.db.begin().await?;
        self.end(&mut tx, id, "failed", Some(error)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn end(&self, tx: &mut Tx, id: &str, state: &str, error: Option<&str>) -> Result<(), CmdbError> {
        let stored = self.stored_change_in(tx, id).await?;
        let sql = "UPDATE cmdb_change_requests SET state = ?, error = ?, updated_at = ? WHERE id = ? AND state IN ('approved', 'running')";
        let error: Option<String> = error.map(|e| e.chars().take(2000).collect());
        if tx.execute(sql, params![state, error.as_deref(), now_ms(), id]).await? > 0 {
            self.tell_change(tx, &Principal::System("change requests"), state, id, &stored.shown.title, state).await?;
        }
        Ok(())
    }

    /// Writes what was approved, as who asked for it. What stands in the way is kept with the request; only what the host can do nothing about is
    /// an error here.
    pub async fn apply_change(&self, who: &Principal, id: &str) -> Result<(), CmdbError> {
        match self.write_change(who, id).await {
            Ok(()) => Ok(()),
            Err(e) => {
                let (state, error) = match &e {
                    CmdbError::Document(DocumentError::Store(StoreError::Conflict { what, expected, found })) => (
                        "conflict",
                        format!(
                            "{what} changed in between (version {found}, asked for {expected}); nothing was written: look again and ask again"
                        ),
                    ),
                    CmdbError::NotFound(what) => ("conflict", format!("{what}; nothing was written: look again and ask again")),
                    CmdbError::Document(DocumentError::Store(_)) => return Err(e),
                    e => ("failed", format!("nothing was written: {e}")),
                };
                let mut tx = self.db.begin().await?;
                self.end(&mut tx, id, state, Some(&error)).await?;
                tx.commit().await?;
                Ok(())
            }
        }
    }

    async fn write_change(&self, who: &Principal, id: &str) -> Result<(), CmdbError> {
        let first = self.stored_change(id).await?;
        if first.actor != who.actor() {
            return Err(CmdbError::InUse("a change is made as who asked for it".into()));
        }
        let wanted: Vec<_> = first.spec.items.iter().map(|i| i.wanted.clone()).collect();
        let views = self.views_of(who, &wanted).await?;
        let scope = self.scope(who).await?;
        // The gate lets through what was approved.
        let me = Cmdb { approved: true, at_once: wanted.len(), ..self.clone() };
        let why = format!("change request {id}");
        let mut tx = self.db.begin().await?;
        let Stored { shown, mut spec, .. } = self.stored_change_in(&mut tx, id).await?;
        if !matches!(shown.state.as_str(), "approved" | "running") {
            return Err(CmdbError::InUse(format!("the change request {id} is {}", shown.state)));
        }
        if spec.hash() != shown.hash || first.shown.hash != shown.hash {
            return Err(CmdbError::InUse("what would be written is not what was approved".into()));
        }
        let sql = "SELECT COUNT(*) AS n FROM cmdb_change_votes WHERE request = ? AND approve = 1 AND hash = ?";
        let yes = tx.fetch_optional(sql, params![id, &shown.hash]).await?.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        // A rule that was made since counts too: what it guards has its word, or is not written.
        let needs = self.needs_in(&mut tx, &views, &spec.items).await?;
        if usize::try_from(yes).is_ok_and(|n| n < spec.needs.len()) || needs.iter().any(|n| !spec.needs.iter().any(|o| o.rule == n.rule)) {
            return Err(CmdbError::InUse(
                "rules were made since it was approved, and nobody gave the word that they ask for: ask again".into(),
            ));
        }
        let mut records = Vec::new();
        for item in &spec.items {
            let w = &item.wanted;
            let view = views.get(&w.model).ok_or_else(|| CmdbError::NoModel { name: w.model.clone(), hint: None })?;
            let view = view.clone().with(self.stored_in(&mut tx, &w.model).await?.model);
            let record = match (w.act, &w.id) {
                (Act::Create, _) => me.create_in(&mut tx, who, &view, Json::Object(w.attributes.clone()), Some(&why)).await?.id,
                (Act::Update, Some(record)) => {
                    me.change_in(&mut tx, who, &view, record, w.attributes.clone(), w.version, Some(&why)).await?.id
                }
                (Act::Delete, Some(record)) => {
                    me.may_change_in(&mut tx, &view, record).await?;
                    me.delete_in(&mut tx, who, scope.as_deref(), &view.model, record, w.version, Some(&why)).await?;
                    record.clone()
                }
                (_, None) => return Err(CmdbError::NotFound("a record of the request has no id".into())),
            };
            records.push(record);
        }
        self.note_records(&mut tx, id, records.iter().map(String::as_str)).await?;
        spec.records = records;
        let sql = "UPDATE cmdb_change_requests SET state = 'done', spec = ?, error = NULL, updated_at = ? WHERE id = ?";
        tx.execute(sql, params![json!(spec), now_ms(), id]).await?;
        self.tell_change(&mut tx, who, "done", id, &shown.title, "done").await?;
        tx.commit().await?;
        Ok(())
    }

    /// The request that a caller waits for, while it goes on: none while it is not over.
    pub async fn change_ended(&self, who: &Principal, id: &str) -> Result<Option<ChangeRequest>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[plenum_access::KEEPS_TO_ATTRIBUTES, plenum_access::KEEPS_TO_RECORDS]).await?;
        let c = self.change_request(who, id).await?;
        Ok(Some(c).filter(|c| !matches!(c.state.as_str(), "open" | "approved" | "running")))
    }
}
