//! Decisions of people: a run asks, those whom it names answer, each in a seat of their own.
//!
//! Who may answer is what the workflow says, not a role: a viewer can be asked. A run's question is answered by people only, signed
//! in as themselves; every answer and every delegation is audited.

use plenum_access::{Permission, Principal, Role, UserPrincipal};
use plenum_store::{Row, StoreError, Tx, Value as Sql, events, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::action::ActionError;
use crate::engine::Engine;
use crate::engine::event;
use crate::engine::park::answer_parked;
use crate::error::WorkflowError;
use crate::interp::size_of;
use crate::model::Page;
use crate::service::{Cond, Workflows, page, page_size};

type Result<T> = std::result::Result<T, WorkflowError>;

const MAX_SEATS: usize = 50;
const MAX_DATA: usize = 64 * 1024;

/// How seats decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The first answer.
    #[default]
    Any,
    /// All have to approve; one refusal is enough to reject.
    All,
    /// A share of them has to approve.
    Share,
    /// All, one after another.
    InTurn,
}

/// What a run asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    title: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    approvers: Vec<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    share: Option<f64>,
    #[serde(default)]
    form: Option<Value>,
    #[serde(default)]
    deadline: Option<Value>,
    #[serde(default)]
    escalate_to: Vec<String>,
}

/// One seat, and its vote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seat {
    /// `user:<name>` or `role:<role>`.
    pub holder: String,
    /// Who answered.
    pub voter: Option<String>,
    /// `approve` or `reject`.
    pub decision: Option<String>,
    /// In the voter's words.
    pub comment: Option<String>,
    /// What the form was filled in with.
    pub data: Value,
    /// When.
    pub at: Option<i64>,
}

/// A question that a run asks people.
#[derive(Debug, Clone, Serialize)]
pub struct Approval {
    /// Id.
    pub id: String,
    /// The run.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// The task's path.
    pub task: String,
    /// What is asked.
    pub title: String,
    /// More about it.
    pub text: Option<String>,
    /// How seats decide.
    pub mode: Mode,
    /// The share that has to approve, for `share`.
    pub share: Option<f64>,
    /// JSON Schema of what an answer carries.
    pub form: Option<Value>,
    /// `open`, `approved`, `rejected`, `expired` or `withdrawn`.
    pub status: String,
    /// It was not answered in time and went to others.
    pub escalated: bool,
    /// When it was asked.
    pub created_at: i64,
    /// Until when an answer is waited for.
    pub due_at: Option<i64>,
    /// When it was decided.
    pub ended_at: Option<i64>,
    /// Those who are asked, in their order.
    pub seats: Vec<Seat>,
    /// Who asks may answer now.
    pub mine: bool,
}

/// Which approvals to list, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct ApprovalQuery {
    /// Those that wait for the caller; otherwise all of workflows that the caller may read.
    pub mine: bool,
    /// With one of these states; open ones when empty.
    pub status: Vec<String>,
    /// From the answer before.
    pub cursor: Option<String>,
    /// 1 to 500; 0 means 50.
    pub limit: u32,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// What the form was filled in with.
    pub data: Value,
}

fn wrong(field: &'static str, message: impl Into<String>) -> WorkflowError {
    WorkflowError::Argument { field, message: message.into() }
}

/// The names under which somebody can hold a seat.
fn holds(u: &UserPrincipal) -> Vec<String> {
    let roles = [Role::Viewer, Role::Operator, Role::Administrator].into_iter().filter(|r| *r <= u.role);
    std::iter::once(format!("user:{}", u.name)).chain(roles.map(|r| format!("role:{}", r.name()))).collect()
}

fn person(who: &Principal) -> Result<&UserPrincipal> {
    match who {
        Principal::User(u) => Ok(u),
        _ => Err(wrong("who", "a question to people is answered by people; sign in as yourself")),
    }
}

impl Spec {
    /// What a task asks, or what is wrong with it.
    pub(crate) fn read(input: &Value) -> std::result::Result<Spec, String> {
        let spec: Spec = serde_json::from_value(input.clone()).map_err(|e| e.to_string())?;
        if spec.title.trim().is_empty() || spec.title.len() > 300 {
            return Err("`title` has 1 to 300 characters".into());
        }
        if spec.approvers.is_empty() || spec.approvers.len() > MAX_SEATS || spec.escalate_to.len() > MAX_SEATS {
            return Err(format!("`approvers` names 1 to {MAX_SEATS}"));
        }
        for a in spec.approvers.iter().chain(&spec.escalate_to) {
            let known = match a.split_once(':') {
                Some(("user", n)) => !n.is_empty(),
                Some(("role", r)) => Role::from_name(r).is_some(),
                _ => false,
            };
            if !known {
                return Err(format!(
                    "`{}` is nobody; write user:<name> or role:<viewer|operator|administrator>",
                    crate::expr::shorten(a, 80)
                ));
            }
        }
        if spec.mode == Mode::Share && !spec.share.is_some_and(|s| s > 0.0 && s <= 1.0) {
            return Err("`share` is a number above 0 and at most 1".into());
        }
        if let Some(d) = &spec.deadline {
            crate::dsl::duration::millis(d)?;
        }
        if let Some(f) = &spec.form {
            jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .build(f)
                .map_err(|e| format!("`form` is no JSON Schema: {e}"))?;
        }
        Ok(spec)
    }

    fn due(&self, now: i64) -> Option<i64> {
        self.deadline.as_ref().and_then(|d| crate::dsl::duration::millis(d).ok()).map(|ms| now.saturating_add(ms))
    }

    /// How it stands after these votes; `None` while it is open.
    fn verdict(&self, seats: &[Seat]) -> Option<&'static str> {
        let count = |d: &str| seats.iter().filter(|s| s.decision.as_deref() == Some(d)).count();
        let (yes, no, all) = (count("approve"), count("reject"), seats.len());
        let (approved, rejected) = match self.mode {
            Mode::Any => (yes > 0, no > 0),
            Mode::All | Mode::InTurn => (yes == all, no > 0),
            Mode::Share => {
                let needed = (self.share.unwrap_or(1.0) * all as f64 - 1e-9).ceil() as usize;
                (yes >= needed.max(1), all - no < needed.max(1))
            }
        };
        if approved {
            Some("approved")
        } else if rejected {
            Some("rejected")
        } else {
            None
        }
    }
}

/// Asks, within the transaction of the step that asks; answers until when.
pub(crate) async fn ask(tx: &mut Tx, key: &str, run: &str, workflow: &str, task: &str, spec: &Spec) -> Result<Option<i64>> {
    let now = now_ms();
    let due = spec.due(now);
    let body = serde_json::to_string(spec).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let turn = if spec.mode == Mode::InTurn { 0 } else { -1 };
    tx.execute(
        "INSERT INTO workflow_approvals (key, run_id, workflow, task, title, spec, status, turn, escalated, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?, 'open', ?, 0, ?, ?)",
        params![key, run, workflow, task, &spec.title, body, turn, now, due],
    )
    .await?;
    seat(tx, key, &spec.approvers).await?;
    let data =
        json!({ "approval": key, "run": run, "workflow": workflow, "title": spec.title, "approvers": spec.approvers, "due_at": due });
    events::emit(tx, event("plenum.workflow.approval.requested", run, data)).await?;
    Ok(due)
}

async fn seat(tx: &mut Tx, key: &str, holders: &[String]) -> Result<()> {
    for (n, holder) in holders.iter().enumerate() {
        let n = i64::try_from(n).unwrap_or(0);
        tx.execute("INSERT INTO workflow_seats (key, seat, holder) VALUES (?, ?, ?)", params![key, n, holder]).await?;
    }
    Ok(())
}

/// Nobody waits for it any more.
pub(crate) async fn withdraw(tx: &mut Tx, key: &str) -> Result<()> {
    tx.execute(
        "UPDATE workflow_approvals SET status = 'withdrawn', ended_at = ? WHERE key = ? AND status = 'open'",
        params![now_ms(), key],
    )
    .await?;
    Ok(())
}

fn seat_of(row: &Row) -> std::result::Result<Seat, StoreError> {
    Ok(Seat {
        holder: row.text("holder")?,
        voter: row.opt_text("voter")?,
        decision: row.opt_text("decision")?,
        comment: row.opt_text("comment")?,
        data: crate::sql::json(row, "data")?,
        at: row.opt_int("at")?,
    })
}

const SEATS: &str = "SELECT key, seat, holder, voter, decision, comment, data, at FROM workflow_seats";
const COLUMNS: &str =
    "SELECT key, run_id, workflow, task, title, spec, status, turn, escalated, created_at, due_at, ended_at FROM workflow_approvals";

fn spec_of(row: &Row) -> std::result::Result<Spec, StoreError> {
    serde_json::from_str(&row.text("spec")?).map_err(|e| StoreError::Corrupt(format!("an approval: {e}")))
}

/// The seat in which `u` may answer now.
fn free_seat(seats: &[Seat], turn: i64, u: &UserPrincipal) -> Option<usize> {
    let names = holds(u);
    if seats.iter().any(|s| s.voter.as_deref() == Some(u.name.as_str())) {
        // One voice a person, however many seats would be open to it.
        return None;
    }
    let free = |(n, s): &(usize, &Seat)| s.decision.is_none() && names.contains(&s.holder) && (turn < 0 || usize::try_from(turn) == Ok(*n));
    // A seat of one's own before one that others could take.
    let mine = seats.iter().enumerate().filter(free);
    mine.min_by_key(|(_, s)| s.holder.starts_with("role:")).map(|(n, _)| n)
}

fn approval(row: &Row, seats: Vec<Seat>, who: &Principal) -> std::result::Result<Approval, StoreError> {
    let (spec, status, turn) = (spec_of(row)?, row.text("status")?, row.int("turn")?);
    let mine = status == "open" && matches!(who, Principal::User(u) if free_seat(&seats, turn, u).is_some());
    Ok(Approval {
        id: row.text("key")?,
        run: row.text("run_id")?,
        workflow: row.text("workflow")?,
        task: row.text("task")?,
        title: spec.title,
        text: spec.text,
        mode: spec.mode,
        share: spec.share,
        form: spec.form,
        status,
        escalated: row.bool("escalated")?,
        created_at: row.int("created_at")?,
        due_at: row.opt_int("due_at")?,
        ended_at: row.opt_int("ended_at")?,
        seats,
        mine,
    })
}

impl Workflows {
    /// Questions to people.
    pub async fn approvals(&self, who: &Principal, query: &ApprovalQuery) -> Result<Page<Approval>> {
        let mut cond = Cond::default();
        let open = ["open".to_owned()];
        let status: &[String] = if query.status.is_empty() { &open } else { &query.status };
        cond.add(&format!("status IN ({})", vec!["?"; status.len()].join(", ")), status.iter().map(|s| s.as_str().into()).collect());
        if query.mine {
            let u = person(who)?;
            let names: Vec<Sql> = holds(u).into_iter().map(Sql::from).collect();
            let marks = vec!["?"; names.len()].join(", ");
            cond.add(
                &format!(
                    "EXISTS (SELECT 1 FROM workflow_seats s WHERE s.key = workflow_approvals.key AND s.holder IN ({marks}) AND s.decision IS NULL AND (turn < 0 OR s.seat = turn))"
                ),
                names,
            );
            cond.add(
                "NOT EXISTS (SELECT 1 FROM workflow_seats s WHERE s.key = workflow_approvals.key AND s.voter = ?)",
                vec![u.name.as_str().into()],
            );
        } else if let Some(prefix) = self.visible(who).await? {
            cond.prefix("workflow", &prefix);
        }
        let total = self.count(&format!("SELECT COUNT(*) AS n FROM workflow_approvals{}", cond.sql()), &cond.values).await?;
        if let Some((at, key)) =
            query.cursor.as_deref().and_then(|c| c.split_once('.')).and_then(|(a, k)| Some((a.parse::<i64>().ok()?, k)))
        {
            cond.add("(created_at > ? OR (created_at = ? AND key > ?))", vec![at.into(), at.into(), key.into()]);
        }
        let limit = page_size(query.limit);
        cond.values.push((limit + 1).into());
        let rows = self.engine.db.fetch_all(&format!("{COLUMNS}{} ORDER BY created_at, key LIMIT ?", cond.sql()), &cond.values).await?;
        let mut seats: std::collections::HashMap<String, Vec<Seat>> = std::collections::HashMap::new();
        let keys: Vec<Sql> = rows.iter().map(|r| r.text("key").map(Sql::from)).collect::<std::result::Result<_, _>>()?;
        if !keys.is_empty() {
            let marks = vec!["?"; keys.len()].join(", ");
            for row in self.engine.db.fetch_all(&format!("{SEATS} WHERE key IN ({marks}) ORDER BY key, seat"), &keys).await? {
                seats.entry(row.text("key")?).or_default().push(seat_of(&row)?);
            }
        }
        let mut items = Vec::new();
        for row in &rows {
            let own = seats.remove(&row.text("key")?).unwrap_or_default();
            items.push(approval(row, own, who)?);
        }
        Ok(page(items, limit, total, |a| format!("{}.{}", a.created_at, a.id)))
    }

    /// One of them. Seen by those who are asked, and by who may read the workflow.
    pub async fn approval(&self, who: &Principal, id: &str) -> Result<Approval> {
        let row = self.engine.db.fetch_optional(&format!("{COLUMNS} WHERE key = ?"), params![id]).await?;
        let row = row.ok_or_else(|| WorkflowError::NotFound(format!("approval {id}")))?;
        let rows = self.engine.db.fetch_all(&format!("{SEATS} WHERE key = ? ORDER BY seat"), params![id]).await?;
        let seats = rows.iter().map(seat_of).collect::<std::result::Result<Vec<_>, _>>()?;
        let found = approval(&row, seats, who)?;
        let asked = matches!(who, Principal::User(u) if found.seats.iter().any(|s| holds(u).contains(&s.holder) || s.voter.as_ref() == Some(&u.name)));
        if !asked {
            self.allow(who, Permission::WorkflowRead, &found.workflow).await?;
        }
        Ok(found)
    }

    /// Answers a question in the caller's seat.
    pub async fn decide(&self, who: &Principal, id: &str, answer: Answer) -> Result<Approval> {
        let u = person(who)?.clone();
        // Says at once that there is none, or that one may not know of it.
        self.approval(who, id).await?;
        let comment = answer.comment.as_deref().map(str::trim).filter(|c| !c.is_empty()).map(|c| crate::expr::shorten(c, 2_000));
        let size = size_of(&answer.data);
        if size > MAX_DATA {
            return Err(WorkflowError::TooLarge { what: "what the form was filled in with", size, limit: MAX_DATA });
        }
        let mut tx = self.engine.db.begin().await?;
        // Its row first, so that two answers come one after the other.
        tx.execute("UPDATE workflow_approvals SET status = status WHERE key = ?", params![id]).await?;
        let row = tx.fetch_optional(&format!("{COLUMNS} WHERE key = ?"), params![id]).await?;
        let row = row.ok_or_else(|| WorkflowError::NotFound(format!("approval {id}")))?;
        let (spec, status, turn, run) = (spec_of(&row)?, row.text("status")?, row.int("turn")?, row.text("run_id")?);
        if status != "open" {
            return Err(WorkflowError::Conflict(format!("this was {status} already; look at the run {run}")));
        }
        let rows = tx.fetch_all(&format!("{SEATS} WHERE key = ? ORDER BY seat"), params![id]).await?;
        let mut seats = rows.iter().map(seat_of).collect::<std::result::Result<Vec<_>, _>>()?;
        let Some(n) = free_seat(&seats, turn, &u) else {
            return Err(WorkflowError::Conflict(
                "it does not wait for you: you have answered, it is another's turn, or you are not asked".into(),
            ));
        };
        if answer.approve
            && let Some(form) = &spec.form
        {
            let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(form);
            let validator = validator.map_err(|e| StoreError::Corrupt(format!("the form of an approval: {e}")))?;
            if let Some(e) = validator.iter_errors(&answer.data).next() {
                return Err(WorkflowError::Input(format!("{} at {}", crate::expr::shorten(&e.to_string(), 300), e.instance_path())));
            }
        }
        let (now, word) = (now_ms(), if answer.approve { "approve" } else { "reject" });
        let seat = Seat {
            voter: Some(u.name.clone()),
            decision: Some(word.into()),
            comment: comment.clone(),
            data: answer.data.clone(),
            at: Some(now),
            ..seats.get(n).cloned().ok_or_else(|| WorkflowError::NotFound("seat".into()))?
        };
        tx.execute(
            "UPDATE workflow_seats SET voter = ?, decision = ?, comment = ?, data = ?, at = ? WHERE key = ? AND seat = ?",
            params![&u.name, word, comment.clone(), answer.data.to_string(), now, id, i64::try_from(n).unwrap_or(0)],
        )
        .await?;
        if let Some(s) = seats.get_mut(n) {
            *s = seat;
        }
        let mut pokes = Vec::new();
        let verdict = spec.verdict(&seats);
        match verdict {
            Some(v) => {
                tx.execute("UPDATE workflow_approvals SET status = ?, ended_at = ? WHERE key = ?", params![v, now, id]).await?;
                let votes: Vec<Value> = seats
                    .iter()
                    .filter(|s| s.decision.is_some())
                    .map(|s| json!({ "by": s.voter, "decision": s.decision, "comment": s.comment, "data": s.data, "at": s.at }))
                    .collect();
                let output = json!({ "decision": v, "votes": votes, "data": answer.data });
                answer_parked(&mut tx, id, &run, &Ok(output), &mut pokes).await?;
            }
            None if turn >= 0 => {
                tx.execute("UPDATE workflow_approvals SET turn = turn + 1 WHERE key = ?", params![id]).await?;
            }
            None => {}
        }
        let after = json!({ "decision": word, "comment": comment, "title": spec.title, "verdict": verdict });
        self.engine.access.audit(&mut tx, who, "workflow.approval.decide", &format!("approval/{id}"), None, Some(&after)).await?;
        let data = json!({ "approval": id, "run": run, "workflow": row.text("workflow")?, "by": u.name, "decision": word, "status": verdict.unwrap_or("open") });
        events::emit(&mut tx, event("plenum.workflow.approval.answered", &run, data)).await?;
        tx.commit().await?;
        pokes.iter().for_each(|r| self.engine.poke(r));
        self.approval(who, id).await
    }

    /// Hands one's seat to another person; an administrator hands on anybody's, by its holder.
    pub async fn delegate(&self, who: &Principal, id: &str, to: &str, holder: Option<&str>, reason: &str) -> Result<Approval> {
        let u = person(who)?.clone();
        let reason = crate::verbs::reason_of(reason)?;
        let found = self.approval(who, id).await?;
        match self.engine.access.user_named(to).await? {
            Some(t) if !t.disabled => {}
            _ => return Err(wrong("to", format!("there is no person {} with an open account", crate::expr::shorten(to, 80)))),
        }
        let names = holds(&u);
        let seat = found.seats.iter().position(|s| {
            s.decision.is_none()
                && match holder {
                    Some(h) => s.holder == h && (names.contains(&s.holder) || u.role >= Role::Administrator),
                    None => names.contains(&s.holder),
                }
        });
        let Some(n) = seat else {
            return Err(WorkflowError::Conflict("you have no open seat there to hand on".into()));
        };
        let to = format!("user:{to}");
        if found.seats.iter().any(|s| s.holder == to) {
            return Err(WorkflowError::Conflict(format!("{to} is asked already")));
        }
        let before = found.seats.get(n).map(|s| s.holder.clone()).unwrap_or_default();
        let mut tx = self.engine.db.begin().await?;
        let sql = "UPDATE workflow_seats SET holder = ? WHERE key = ? AND seat = ? AND decision IS NULL AND holder = ?
             AND EXISTS (SELECT 1 FROM workflow_approvals a WHERE a.key = workflow_seats.key AND a.status = 'open')";
        if tx.execute(sql, params![&to, id, i64::try_from(n).unwrap_or(0), &before]).await? != 1 {
            return Err(WorkflowError::Conflict("it was answered just now; look at it again".into()));
        }
        let (old, new) = (json!({ "holder": before }), json!({ "holder": to, "reason": reason }));
        self.engine.access.audit(&mut tx, who, "workflow.approval.delegate", &format!("approval/{id}"), Some(&old), Some(&new)).await?;
        let data = json!({ "approval": id, "run": found.run, "workflow": found.workflow, "from": before, "to": to, "by": u.name });
        events::emit(&mut tx, event("plenum.workflow.approval.delegated", &found.run, data)).await?;
        tx.commit().await?;
        self.approval(who, id).await
    }
}

impl Engine {
    /// An approval's time is over: it goes to others once, then the task fails.
    pub(crate) async fn approval_due(&self, key: &str, run: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute("UPDATE workflow_approvals SET status = status WHERE key = ?", params![key]).await?;
        let Some(row) = tx.fetch_optional(&format!("{COLUMNS} WHERE key = ? AND status = 'open'"), params![key]).await? else {
            return Ok(());
        };
        let (mut spec, now) = (spec_of(&row)?, now_ms());
        if row.opt_int("due_at")?.is_none_or(|d| d > now) {
            return Ok(());
        }
        let data =
            json!({ "approval": key, "run": run, "workflow": row.text("workflow")?, "title": spec.title, "approvers": spec.escalate_to });
        let mut pokes = Vec::new();
        if !spec.escalate_to.is_empty() && !row.bool("escalated")? {
            // Whoever of them answers first decides: it is late already.
            spec.mode = Mode::Any;
            let due = spec.due(now);
            let body = serde_json::to_string(&spec).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            tx.execute(
                "UPDATE workflow_approvals SET escalated = 1, turn = -1, spec = ?, due_at = ? WHERE key = ?",
                params![body, due, key],
            )
            .await?;
            tx.execute("DELETE FROM workflow_seats WHERE key = ? AND decision IS NULL", params![key]).await?;
            let row = tx.fetch_optional("SELECT COALESCE(MAX(seat), -1) AS n FROM workflow_seats WHERE key = ?", params![key]).await?;
            let from = row.map(|r| r.int("n")).transpose()?.unwrap_or(-1) + 1;
            for (n, holder) in (from..).zip(&spec.escalate_to) {
                tx.execute("INSERT INTO workflow_seats (key, seat, holder) VALUES (?, ?, ?)", params![key, n, holder]).await?;
            }
            tx.execute("UPDATE workflow_parked SET due_at = ? WHERE key = ?", params![due, key]).await?;
            events::emit(&mut tx, event("plenum.workflow.approval.escalated", run, data)).await?;
        } else {
            tx.execute("UPDATE workflow_approvals SET status = 'expired', ended_at = ? WHERE key = ?", params![now, key]).await?;
            let e = ActionError::new(
                "workflow.approval_expired",
                408,
                "Nobody decided in time",
                format!("`{}` was not answered until its deadline", spec.title),
            );
            answer_parked(&mut tx, key, run, &Err(crate::engine::action_error(e)), &mut pokes).await?;
            events::emit(&mut tx, event("plenum.workflow.approval.expired", run, data)).await?;
        }
        tx.commit().await?;
        pokes.iter().for_each(|r| self.poke(r));
        Ok(())
    }
}
