//! What starts by the definition's own `schedule`. Its runs act as who saved that version.

use std::sync::Arc;

use plenum_access::{Actor, Permission, Principal};
use plenum_store::{Events, Row, StoreError, Tx, now_ms, params};
use serde_json::{Value, json};

use crate::cron::Plan;
use crate::dsl::{Start, Workflow};
use crate::engine::Engine;
use crate::engine::hear::{concerns, is_own, may_hear};
use crate::error::WorkflowError;
use crate::interp::{Hearing, RunInfo, See, State, World};
use crate::schedules::MISFIRE_MS;
use crate::service::Workflows;

type Result<T> = std::result::Result<T, WorkflowError>;

fn first(start: &Start, now: i64) -> Option<i64> {
    match start {
        Start::Cron(c) => Plan::parse(c, "UTC").ok().and_then(|p| p.next(now)),
        Start::Every(ms) | Start::After(ms) => Some(now + ms),
        Start::On(_) => None,
    }
}

fn kind(start: &Start) -> &'static str {
    match start {
        Start::Cron(_) => "cron",
        Start::Every(_) => "every",
        Start::After(_) => "after",
        Start::On(_) => "on",
    }
}

fn corrupt(what: &str, e: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {e}"))
}

impl Workflows {
    /// Keeps what the definition's `schedule` says, in the transaction that saves it.
    pub(crate) async fn put_start(
        &self,
        tx: &mut Tx,
        who: &Principal,
        name: &str,
        version: i64,
        owner: Option<&str>,
        parsed: &Workflow,
    ) -> Result<()> {
        self.drop_start(tx, name).await?;
        let Some(start) = &parsed.start else { return Ok(()) };
        let actor = match owner {
            Some(id) => Actor::Plugin { id: id.to_owned(), on_behalf: None },
            None => who.actor(),
        };
        let actor = serde_json::to_value(&actor).map_err(|e| corrupt("actor", e))?;
        tx.execute(
            "INSERT INTO workflow_starts (workflow, version, kind, actor, next_at, heard) VALUES (?, ?, ?, ?, ?, (SELECT COALESCE(MAX(seq), 0) FROM events))",
            params![name, version, kind(start), actor, first(start, now_ms())],
        )
        .await?;
        if let Start::On(l) = start {
            for k in l.kinds().unwrap_or_default() {
                tx.execute("INSERT INTO workflow_start_kinds (workflow, kind) VALUES (?, ?)", params![name, k]).await?;
            }
        }
        let engine = self.engine.clone();
        tx.after_commit(move || engine.wake.notify_one());
        Ok(())
    }

    /// Forgets it.
    pub(crate) async fn drop_start(&self, tx: &mut Tx, name: &str) -> Result<()> {
        tx.execute("DELETE FROM workflow_start_kinds WHERE workflow = ?", params![name]).await?;
        tx.execute("DELETE FROM workflow_starts WHERE workflow = ?", params![name]).await?;
        Ok(())
    }
}

const COLUMNS: &str = "SELECT workflow, version, kind, actor, next_at, heard, hearing FROM workflow_starts";

struct Stored {
    workflow: String,
    version: i64,
    actor: Actor,
    next_at: Option<i64>,
    heard: i64,
    hearing: Hearing,
}

fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored {
        workflow: row.text("workflow")?,
        version: row.int("version")?,
        actor: serde_json::from_value(row.json("actor")?).map_err(|e| corrupt("actor", e))?,
        next_at: row.opt_int("next_at")?,
        heard: row.int("heard")?,
        hearing: match row.opt_text("hearing")? {
            Some(t) => serde_json::from_str(&t).map_err(|e| corrupt("hearing", e))?,
            None => Hearing::default(),
        },
    })
}

impl Engine {
    /// Fires what is due; answers when the next one is.
    pub(crate) async fn fire_starts(self: &Arc<Self>) -> Result<Option<i64>> {
        let now = now_ms();
        let sql = format!("{COLUMNS} WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT 200");
        for row in self.db.fetch_all(&sql, params![now]).await? {
            self.fire_start(stored(&row)?, now).await?;
        }
        let row = self.db.fetch_optional("SELECT MIN(next_at) AS at FROM workflow_starts WHERE next_at IS NOT NULL", &[]).await?;
        Ok(row.map(|r| r.opt_int("at")).transpose()?.flatten())
    }

    /// Who acts, if it may still start and the input is one that the workflow takes.
    async fn may_start(self: &Arc<Self>, s: &Stored, input: &Value) -> Result<Principal> {
        let who = self.host.principal(&s.actor).await.map_err(WorkflowError::Principal)?;
        let service = Workflows { engine: self.clone() };
        service.allow(&who, Permission::WorkflowRun, &s.workflow).await?;
        service.check_input(&s.workflow, s.version, input).await?;
        Ok(who)
    }

    async fn fire_start(self: &Arc<Self>, s: Stored, now: i64) -> Result<()> {
        let Some(due) = s.next_at else { return Ok(()) };
        let workflow = match self.workflow(&s.workflow, s.version).await {
            Ok(w) => Some(w),
            Err(WorkflowError::Store(e)) => return Err(e.into()),
            Err(_) => None,
        };
        let start = workflow.as_ref().and_then(|w| w.start.clone());
        let (next, planned) = match &start {
            Some(Start::Cron(c)) => {
                let plan = Plan::parse(c, "UTC")?;
                (plan.next(now), plan.last(now).filter(|p| *p > due).unwrap_or(due))
            }
            Some(Start::Every(ms)) => {
                let missed = (now - due).div_euclid(*ms);
                (Some(due + (missed + 1) * ms), due + missed * ms)
            }
            _ => (None, due),
        };
        let input = json!({});
        let ready = if now - planned > MISFIRE_MS && !matches!(start, Some(Start::After(_))) {
            let minutes = (now - planned) / 60_000;
            Err(WorkflowError::Conflict(format!("missed by {minutes} minutes, more than an hour: left out")))
        } else {
            self.may_start(&s, &input).await
        };
        if let Err(WorkflowError::Store(e)) = ready {
            return Err(e.into());
        }
        // What could not begin has no end after which the next one would come.
        let next = match (&start, &ready) {
            (Some(Start::After(ms)), Err(_)) => Some(now + ms),
            _ => next,
        };
        let mut tx = self.db.begin().await?;
        let sql = "UPDATE workflow_starts SET next_at = ?, last_at = ? WHERE workflow = ? AND version = ? AND next_at = ?";
        if tx.execute(sql, params![next, planned, &s.workflow, s.version, due]).await? != 1 {
            return Ok(());
        }
        self.begin_start(&mut tx, &s, ready, &input, &format!("start/{}/{planned}", s.version)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn begin_start(self: &Arc<Self>, tx: &mut Tx, s: &Stored, ready: Result<Principal>, input: &Value, key: &str) -> Result<()> {
        let (run, error) = match ready {
            Ok(who) => {
                let service = Workflows { engine: self.clone() };
                let (run, _) = service.insert_run(tx, &who, &s.workflow, s.version, input, Some(key), "schedule").await?;
                let engine = self.clone();
                tx.after_commit(move || engine.wake.notify_one());
                (Some(run), None)
            }
            Err(e) => (None, Some(crate::expr::shorten(&e.to_string(), 500))),
        };
        let sql = "UPDATE workflow_starts SET last_run = COALESCE(?, last_run), last_error = ? WHERE workflow = ?";
        tx.execute(sql, params![run, error, &s.workflow]).await?;
        Ok(())
    }

    /// Hears the events that may start the workflow.
    pub(crate) async fn start_on(self: &Arc<Self>, name: &str, upto: i64) -> Result<()> {
        let Some(row) = self.db.fetch_optional(&format!("{COLUMNS} WHERE workflow = ?"), params![name]).await? else { return Ok(()) };
        let mut s = stored(&row)?;
        let workflow = self.workflow(name, s.version).await?;
        let Some(Start::On(listen)) = workflow.start.clone() else { return Ok(()) };
        let kinds = listen.kinds().unwrap_or_default();
        let events = Events::new(self.db.clone());
        while s.heard < upto {
            let found = events.read(s.heard, 200, &kinds).await?;
            let Some(last) = found.last().map(|e| e.seq) else { break };
            for event in found {
                // A workflow that its own end starts would never end.
                let itself = is_own(&event.kind) && event.data.get("workflow").and_then(Value::as_str) == Some(name);
                if itself || !concerns(&event, &kinds, "") {
                    continue;
                }
                let who = self.host.principal(&s.actor).await;
                if let Ok(who) = &who
                    && !may_hear(&self.access, who, &event.kind)
                {
                    continue;
                }
                let (jq, w, l, mut hearing, cloud) =
                    (self.jq.clone(), workflow.clone(), listen.clone(), s.hearing.clone(), event.cloud_event());
                let heard = tokio::task::spawn_blocking(move || {
                    let run = RunInfo { id: String::new(), input: Value::Null, started_at: 0, heard: 0 };
                    let world = World { workflow: &w, jq: &jq, run: &run, now: now_ms() };
                    let heard = State::default().hear(world, &l, &mut hearing, &cloud, See::default());
                    (heard, hearing)
                });
                let (heard, hearing) = heard.await.map_err(|e| corrupt("the interpreter failed", e))?;
                let Ok(heard) = heard else { continue };
                if heard.item.is_none() && !heard.done {
                    continue;
                }
                let input = Value::Array(hearing.events.clone());
                let ready = if heard.done { Some(self.may_start(&s, &input).await) } else { None };
                if let Some(Err(WorkflowError::Store(e))) = ready {
                    return Err(e.into());
                }
                let mut tx = self.db.begin().await?;
                let kept = if heard.done { None } else { Some(serde_json::to_string(&hearing).map_err(|e| corrupt("hearing", e))?) };
                let sql = "UPDATE workflow_starts SET heard = ?, hearing = ? WHERE workflow = ? AND version = ? AND heard = ?";
                if tx.execute(sql, params![event.seq, kept, name, s.version, s.heard]).await? != 1 {
                    // Another host was faster, or the definition changed.
                    return Ok(());
                }
                s.heard = event.seq;
                if let Some(ready) = ready {
                    self.begin_start(&mut tx, &s, ready, &input, &format!("event/{}", event.id)).await?;
                    s.hearing = Hearing::default();
                } else {
                    s.hearing = hearing;
                }
                tx.commit().await?;
            }
            let sql = "UPDATE workflow_starts SET heard = ? WHERE workflow = ? AND version = ? AND heard = ?";
            if last > s.heard && self.db.execute(sql, params![last, name, s.version, s.heard]).await? != 1 {
                return Ok(());
            }
            s.heard = last;
        }
        Ok(())
    }
}
