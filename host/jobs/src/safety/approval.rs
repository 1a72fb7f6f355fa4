//! Another person's word before a script runs: what was looked at is what runs, or nothing does.

use plenum_access::{Actor, Denied, Permission, Principal, Role};
use plenum_store::events::{NewEvent, emit};
use plenum_store::{Row, StoreError, Tx, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::model::{Execution, ExecutionStatus, Page};
use crate::writer::{Cmd, blank};
use crate::{Inner, Jobs, JobsError, sql};

/// Executions that may wait for approval at once.
pub(crate) const MOST_WAITING: u64 = 1000;
/// Longest note of a decision.
const MAX_NOTE: usize = 2000;

/// What somebody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run.
    Approved,
    /// It may not.
    Refused,
    /// Nobody said anything in time.
    Expired,
}

/// An execution's approval: asked for, and perhaps given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// SHA-256 over what is approved: script, arguments, names of the environment, account, directory, limits, and the targets in their batches.
    pub digest: String,
    /// Since when it waits.
    pub since: i64,
    /// When it is given up.
    pub until: i64,
    /// The least role that may approve.
    pub approver: Role,
    /// The person behind the request, who may not approve it.
    pub asker: Option<String>,
    /// What was said.
    pub decision: Option<Decision>,
    /// By whom.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<i64>,
    /// In their words.
    pub note: Option<String>,
}

/// Which executions wait.
#[derive(Debug, Clone, Default)]
pub struct ApprovalQuery {
    /// Only those that the caller may decide.
    pub mine: bool,
    /// At most 200; 0 means 50.
    pub limit: u32,
}

/// What is approved, as it stands in the database: whoever approves one thing cannot have another one run.
pub(crate) async fn digest(tx: &mut Tx, id: &str) -> Result<String, JobsError> {
    let row = tx.fetch_optional(&format!("SELECT {} FROM job_executions WHERE id = ?", sql::EXECUTION), params![id]).await?;
    let row = row.ok_or_else(|| JobsError::NotFound { what: "execution", id: id.to_owned() })?;
    let e = sql::execution(&row)?;
    let mut hash = Sha256::new();
    let head = json!({"id": id, "language": e.script.language, "script": e.script.content, "args": e.args, "env": e.env, "user": e.user, "cwd": e.cwd,
        "timeout_s": e.timeout_s, "wait_s": e.wait_s, "concurrency": e.concurrency, "strategy": e.strategy});
    hash.update(head.to_string());
    for r in tx.fetch_all("SELECT node_id, batch, env FROM job_targets WHERE execution_id = ? ORDER BY ordinal", params![id]).await? {
        let names: Vec<String> = r.json("env")?.as_object().into_iter().flatten().map(|(n, _)| n.clone()).collect();
        hash.update(json!([r.text("node_id")?, r.int("batch")?, names]).to_string());
    }
    Ok(hex::encode(hash.finalize()))
}

/// What is stored of it.
pub(crate) fn stored(r: &Row) -> Result<Option<Approval>, StoreError> {
    let Some(text) = r.opt_text("approval")? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| StoreError::Corrupt(format!("approval of an execution: {e}")))
}

/// The person behind an actor.
pub(crate) fn person(actor: &Actor) -> Option<String> {
    match actor {
        Actor::User(u) => Some(u.id.clone()),
        Actor::Plugin { on_behalf, .. } => on_behalf.as_ref().map(|u| u.id.clone()),
        _ => None,
    }
}

impl Inner {
    /// Whether `who` may decide; the reason when not.
    fn may_decide(&self, who: &Principal, approval: &Approval) -> Result<(), String> {
        let Principal::User(user) = who else {
            return Err("only a person approves; a plugin or the platform itself does not".to_owned());
        };
        if approval.asker.as_deref() == Some(user.id.as_str()) {
            return Err("you asked for it yourself: another person has to approve it".to_owned());
        }
        if user.role < approval.approver {
            return Err(format!(
                "{} is {}, and a rule that found something asks for the role {}",
                user.name,
                user.role.name(),
                approval.approver.name()
            ));
        }
        Ok(())
    }

    /// Ends an execution that has not begun: its targets count as cancelled.
    pub(crate) async fn end_unbegun(&self, tx: &mut Tx, e: &Execution, code: &str, message: &str) -> Result<(), JobsError> {
        let now = now_ms();
        let total = i64::try_from(e.summary.total).unwrap_or(i64::MAX);
        // Watchers go by this number, so each target has its own.
        let rev = self.revs.fetch_add(total + 1, std::sync::atomic::Ordering::Relaxed);
        tx.execute(
            "UPDATE job_targets SET status = 'cancelled', waiting_for = NULL, waiting_since = NULL, finished_at = ?, code = ?, message = ?, rev = ? + ordinal
             WHERE execution_id = ? AND status IN ('pending', 'waiting')",
            params![now, code, message, rev, &e.id],
        )
        .await?;
        let row = tx.fetch_optional("SELECT env FROM job_executions WHERE id = ?", params![&e.id]).await?;
        let env = row.map(|r| r.json("env")).transpose()?.map(|v| blank(&v)).unwrap_or_else(|| json!({}));
        tx.execute("UPDATE job_executions SET status = 'cancelled', finished_at = ?, env = ? WHERE id = ?", params![now, env, &e.id])
            .await?;
        for r in tx.fetch_all("SELECT node_id, env FROM job_targets WHERE execution_id = ?", params![&e.id]).await? {
            let own = r.json("env")?;
            if own.as_object().is_some_and(|o| o.values().any(|v| !v.is_null())) {
                let sql = "UPDATE job_targets SET env = ? WHERE execution_id = ? AND node_id = ?";
                tx.execute(sql, params![blank(&own), &e.id, r.text("node_id")?]).await?;
            }
        }
        let summary = json!({"total": e.summary.total, "cancelled": e.summary.total});
        let data = json!({"execution_id": e.id, "name": e.name, "status": "cancelled", "summary": summary, "origin": e.origin, "plugin": e.plugin,
            "duration_ms": now - e.created_at, "reason": code});
        let subject = format!("execution/{}", e.id);
        emit(tx, NewEvent { kind: "plenum.job.execution.finished".into(), source: "/jobs".into(), subject, data }).await?;
        let hub = self.hub.clone();
        tx.after_commit(move || hub.nudge());
        Ok(())
    }

    async fn decided(
        &self,
        tx: &mut Tx,
        id: &str,
        mut approval: Approval,
        decision: Decision,
        by: Option<String>,
        note: Option<String>,
    ) -> Result<(), JobsError> {
        approval.decision = Some(decision);
        approval.decided_by = by;
        approval.decided_at = Some(now_ms());
        approval.note = note.filter(|n| !n.trim().is_empty());
        let text = serde_json::to_string(&approval).map_err(|e| JobsError::Server(e.to_string()))?;
        // Whoever comes first decides: nobody else finds it waiting.
        let sql = "UPDATE job_executions SET approval = ?, approval_until = NULL WHERE id = ? AND status = 'waiting_approval' AND approval_until IS NOT NULL";
        if tx.execute(sql, params![text, id]).await? == 0 {
            return Err(JobsError::NotWaiting(id.to_owned()));
        }
        Ok(())
    }

    /// Gives up what nobody has decided in time, and what lost its environment meanwhile.
    pub(crate) async fn expire_approvals(&self, now: i64) -> Result<(), JobsError> {
        let rows = self
            .db
            .fetch_all("SELECT id FROM job_executions WHERE approval_until < ? OR (status = 'waiting_approval' AND cancelled_by IS NOT NULL) LIMIT 50", params![now])
            .await?;
        for r in rows {
            let id = r.text("id")?;
            let Some(e) = sql::find_execution(&self.db, &id).await? else { continue };
            let Some(approval) = e.approval.clone().filter(|_| e.status == ExecutionStatus::WaitingApproval) else { continue };
            let mut tx = self.db.begin().await?;
            match self.decided(&mut tx, &id, approval, Decision::Expired, None, None).await {
                Ok(()) => {}
                Err(JobsError::NotWaiting(_)) => continue,
                Err(e) => return Err(e),
            }
            self.end_unbegun(&mut tx, &e, "jobs.approval_expired", "not started: nobody approved it in time; ask again").await?;
            let who = Principal::System("jobs");
            self.access.audit(&mut tx, &who, "jobs.execution.approval_expired", &format!("execution/{id}"), None, None).await?;
            tx.commit().await?;
        }
        self.next_expiry().await
    }

    /// Notes when there is something to give up next.
    pub(crate) async fn next_expiry(&self) -> Result<(), JobsError> {
        let row = self.db.fetch_optional("SELECT MIN(approval_until) AS next FROM job_executions", &[]).await?;
        let next = row.map(|r| r.opt_int("next")).transpose()?.flatten().unwrap_or(i64::MAX);
        self.expiry.store(next, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

impl Jobs {
    async fn waiting(&self, who: &Principal, id: &str, note: Option<&str>) -> Result<(Execution, Approval), JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsRun, &[]).await?;
        let e = inner.visible(who, id).await?;
        if note.is_some_and(|n| n.len() > MAX_NOTE || n.contains('\0')) {
            return Err(JobsError::invalid("jobs.too_long", "/note", format!("a note has at most {MAX_NOTE} bytes")));
        }
        let approval = e.approval.clone().filter(|_| e.status == ExecutionStatus::WaitingApproval);
        let approval = approval.ok_or_else(|| JobsError::NotWaiting(id.to_owned()))?;
        if let Err(reason) = inner.may_decide(who, &approval) {
            let denied = Denied { permission: Permission::JobsRun, reason };
            return Err(inner.access.refuse(who, denied, &[("executions", id)]).await.into());
        }
        Ok((e, approval))
    }

    /// Lets an execution run that waits for approval. `digest` is that of what was looked at.
    pub async fn approve(&self, who: &Principal, id: &str, seen: &str, note: Option<String>) -> Result<Execution, JobsError> {
        let inner = &self.inner;
        let (e, approval) = self.waiting(who, id, note.as_deref()).await?;
        if approval.until < now_ms() {
            return Err(JobsError::NotWaiting(id.to_owned()));
        }
        let rows = inner.db.fetch_all("SELECT node_id FROM job_targets WHERE execution_id = ?", params![id]).await?;
        let nodes = rows.iter().map(|r| r.text("node_id")).collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = inner.inventory.out_of_reach(who, &nodes).await?.first() {
            let reason =
                format!("your data roles let you run nothing on {first}, which is among the targets; somebody else has to approve it");
            return Err(inner.access.refuse(who, Denied { permission: Permission::JobsRun, reason }, &[("executions", id)]).await.into());
        }
        let mut tx = inner.db.begin().await?;
        let now = now_ms();
        let is = digest(&mut tx, id).await?;
        if is != approval.digest || seen != approval.digest {
            return Err(JobsError::ApprovalChanged(id.to_owned()));
        }
        let by = who.actor().to_string();
        inner.decided(&mut tx, id, approval.clone(), Decision::Approved, Some(by.clone()), note).await?;
        tx.execute("UPDATE job_executions SET status = 'running', approved_at = ?, batch_since = ? WHERE id = ?", params![now, now, id])
            .await?;
        let rev = inner.revs.fetch_add(i64::try_from(e.summary.total).unwrap_or(0) + 1, std::sync::atomic::Ordering::Relaxed);
        tx.execute(
            "UPDATE job_targets SET waiting_for = NULL, waiting_since = NULL, rev = ? + ordinal WHERE execution_id = ?",
            params![rev, id],
        )
        .await?;
        let after = json!({"digest": approval.digest, "approved_by": by, "targets": e.summary.total});
        inner.access.audit(&mut tx, who, "jobs.execution.approve", &format!("execution/{id}"), None, Some(&after)).await?;
        let data = json!({"execution_id": id, "name": e.name, "total": e.summary.total, "origin": e.origin, "plugin": e.plugin, "approved_by": by});
        let subject = format!("execution/{id}");
        emit(&mut tx, NewEvent { kind: "plenum.job.execution.started".into(), source: "/jobs".into(), subject, data }).await?;
        let actives = sql::active(&mut tx, &inner.config.secrets, Some(id)).await?;
        let (hub, decisions) = (inner.hub.clone(), inner.decisions.clone());
        tx.after_commit(move || {
            for active in actives {
                for c in hub.register(active).into_cmds() {
                    let _: Result<(), tokio::sync::mpsc::error::SendError<Cmd>> = decisions.send(c);
                }
            }
        });
        tx.commit().await?;
        inner.next_expiry().await?;
        self.find(id).await
    }

    /// Says no to an execution that waits for approval.
    pub async fn refuse(&self, who: &Principal, id: &str, note: Option<String>) -> Result<Execution, JobsError> {
        let inner = &self.inner;
        let (e, approval) = self.waiting(who, id, note.as_deref()).await?;
        let by = who.actor().to_string();
        let mut tx = inner.db.begin().await?;
        inner.decided(&mut tx, id, approval, Decision::Refused, Some(by.clone()), note.clone()).await?;
        let message = match note.as_deref().map(str::trim).filter(|n| !n.is_empty()) {
            Some(note) => format!("not started: {by} refused it: {note}"),
            None => format!("not started: {by} refused it"),
        };
        inner.end_unbegun(&mut tx, &e, "jobs.approval_refused", &message).await?;
        let after = json!({"refused_by": by, "note": note});
        inner.access.audit(&mut tx, who, "jobs.execution.refuse", &format!("execution/{id}"), None, Some(&after)).await?;
        tx.commit().await?;
        inner.next_expiry().await?;
        self.find(id).await
    }

    /// Executions that wait for approval, oldest first.
    pub async fn waiting_approvals(&self, who: &Principal, q: &ApprovalQuery) -> Result<Page<Execution>, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsRead, &[]).await?;
        let limit = if q.limit == 0 { 50 } else { q.limit.min(200) } as usize;
        let own = Inner::own_only(who);
        // Scripts are long: only those of the page are read.
        let sql = "SELECT id, plugin, approval FROM job_executions WHERE status = 'waiting_approval' ORDER BY id LIMIT ?";
        let may_run = inner.access.check(who, Permission::JobsRun, &[]).is_ok();
        let mut ids = Vec::new();
        for r in inner.db.fetch_all(sql, params![i64::try_from(MOST_WAITING).unwrap_or(i64::MAX)]).await? {
            let visible = own.is_none() || r.opt_text("plugin")? == own;
            let mine = !q.mine || (may_run && stored(&r)?.is_some_and(|a| inner.may_decide(who, &a).is_ok()));
            if visible && mine {
                ids.push(r.text("id")?);
            }
        }
        let total = ids.len() as u64;
        let mut items = Vec::new();
        for id in ids.iter().take(limit) {
            items.extend(sql::find_execution(&inner.db, id).await?);
        }
        Ok(Page { items, next_cursor: None, total })
    }

    /// How many executions wait for approval, of which `who` may decide how many.
    pub async fn waiting_approval_count(&self, who: &Principal) -> Result<u64, JobsError> {
        Ok(self.waiting_approvals(who, &ApprovalQuery { mine: true, limit: 1 }).await?.total)
    }
}
