//! The word of those whom rules name: for what they saw, and not by who asked.

use plenum_access::{AccessError, Denied, Permission, Principal, UserPrincipal};
use plenum_store::{StoreError, now_ms, params};
use serde_json::json;

use super::{ChangeRequest, Wanted};
use crate::sources::invalid;
use crate::{Cmdb, CmdbError};

impl Cmdb {
    /// Whether one of the rules of a request asks somebody who has not answered.
    pub(super) fn asks(&self, c: &ChangeRequest, u: &UserPrincipal) -> bool {
        c.needs.iter().any(|n| holds(&n.approvers, u) && !c.votes.iter().any(|v| v.rule == n.rule))
    }

    /// Approves or rejects a request, for every rule that asks the caller. `hash` is that of what the caller saw.
    pub async fn decide_change(
        &self,
        who: &Principal,
        id: &str,
        approve: bool,
        hash: &str,
        comment: Option<&str>,
    ) -> Result<ChangeRequest, CmdbError> {
        let Principal::User(u) = who else {
            return Err(denied("a change is approved by people; sign in as yourself".into()));
        };
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        if comment.is_some_and(|c| c.chars().count() > 2000) {
            return Err(invalid("/comment", "a comment has at most 2,000 characters".into()));
        }
        // Seen as a whole, or not at all.
        self.change_request(who, id).await?;
        let mut tx = self.db.begin().await?;
        let stored = self.stored_change_in(&mut tx, id).await?;
        let c = stored.shown;
        if c.state != "open" {
            return Err(CmdbError::InUse(format!("the change request {id} is {}, and waits for nobody's word", c.state)));
        }
        if c.hash != hash {
            let what = format!("change-request/{id}: what it asks is not what you saw; look again");
            return Err(StoreError::Conflict { what, expected: 0, found: 1 }.into());
        }
        let mine: Vec<&str> = c.needs.iter().filter(|n| holds(&n.approvers, u)).map(|n| n.rule.as_str()).collect();
        if mine.is_empty() || stored.actor == who.actor() {
            let reason = if mine.is_empty() { "no rule of this change asks you" } else { "nobody approves what they asked for themselves" };
            tx.rollback().await?;
            let denied = Denied { permission: Permission::CmdbWrite, reason: reason.to_owned() };
            return Err(self.access.refuse(who, denied, &[("models", "*")]).await.into());
        }
        for rule in &mine {
            tx.execute(
                "INSERT INTO cmdb_change_votes (request, rule, voter, approve, comment, hash, at) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (request, rule) DO NOTHING",
                params![id, *rule, &u.name, approve, comment, hash, now_ms()],
            )
            .await?;
        }
        let sql = "SELECT COUNT(*) AS n FROM cmdb_change_votes WHERE request = ? AND approve = 1 AND hash = ?";
        let yes = tx.fetch_optional(sql, params![id, hash]).await?.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        let state = match approve {
            false => "rejected",
            true if usize::try_from(yes).is_ok_and(|n| n >= c.needs.len()) => "approved",
            true => "open",
        };
        let sql = "UPDATE cmdb_change_requests SET state = ?, updated_at = ? WHERE id = ?";
        tx.execute(sql, params![state, now_ms(), id]).await?;
        let what = if approve { "approved" } else { "rejected" };
        self.tell_change(&mut tx, who, what, id, &c.title, state).await?;
        tx.commit().await?;
        if state == "approved" {
            self.changes_wanted.notify_one();
        }
        self.change_request(who, id).await
    }

    /// Takes a request back that has not begun.
    pub async fn withdraw_change(&self, who: &Principal, id: &str) -> Result<ChangeRequest, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let c = self.change_request(who, id).await?;
        let mut tx = self.db.begin().await?;
        let stored = self.stored_change_in(&mut tx, id).await?;
        if stored.actor != who.actor() && self.access.check(who, Permission::CmdbModel, &[]).is_err() {
            return Err(denied("who asked for it takes it back, or an administrator".into()));
        }
        if !matches!(stored.shown.state.as_str(), "open" | "conflict") {
            return Err(CmdbError::InUse(format!("the change request {id} is {} and cannot be taken back", stored.shown.state)));
        }
        tx.execute("UPDATE cmdb_change_requests SET state = 'withdrawn', updated_at = ? WHERE id = ?", params![now_ms(), id]).await?;
        self.tell_change(&mut tx, who, "withdrawn", id, &c.title, "withdrawn").await?;
        tx.commit().await?;
        self.change_request(who, id).await
    }

    /// Asks again for what records that changed in between held back: from what they are now, with no word given yet.
    pub async fn renew_change(&self, who: &Principal, id: &str) -> Result<ChangeRequest, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let stored = self.stored_change(id).await?;
        if stored.actor != who.actor() {
            return Err(denied("who asked for it asks again".into()));
        }
        if stored.shown.state != "conflict" {
            return Err(CmdbError::InUse(format!(
                "the change request {id} is {}: only one that records held back is asked again",
                stored.shown.state
            )));
        }
        let items: Vec<Wanted> = stored.spec.items.iter().map(|i| Wanted { version: None, ..i.wanted.clone() }).collect();
        let views = self.views_of(who, &items).await?;
        let mut tx = self.db.begin().await?;
        let held = self.stored_change_in(&mut tx, id).await?;
        if held.shown.state != "conflict" {
            return Err(CmdbError::InUse(format!("the change request {id} is {} by now", held.shown.state)));
        }
        let draft = super::Draft {
            title: stored.shown.title.clone(),
            reason: stored.spec.reason.clone(),
            ticket: stored.spec.ticket.clone(),
            items,
            workflow: stored.spec.workflow.clone(),
            input: stored.spec.input.clone(),
            key: None,
        };
        let (spec, title, _) = self.prepare(&mut tx, who, &views, draft).await?;
        let state = if spec.needs.is_empty() { "approved" } else { "open" };
        tx.execute("DELETE FROM cmdb_change_votes WHERE request = ?", params![id]).await?;
        let sql = "UPDATE cmdb_change_requests SET state = ?, spec = ?, hash = ?, run = NULL, error = NULL, updated_at = ? WHERE id = ?";
        tx.execute(sql, params![state, json!(spec), spec.hash(), now_ms(), id]).await?;
        self.tell_change(&mut tx, who, "requested", id, &title, state).await?;
        tx.commit().await?;
        if state == "approved" {
            self.changes_wanted.notify_one();
        }
        self.change_request(who, id).await
    }
}

fn holds(approvers: &[String], u: &UserPrincipal) -> bool {
    super::rules::named(approvers, u)
}

fn denied(reason: String) -> CmdbError {
    AccessError::Denied(Denied { permission: Permission::CmdbWrite, reason }).into()
}
