//! Events for those who listen. Each run reads the outbox itself, from where it stands; what is here only wakes those whom an event
//! may concern. So an event is missed by nobody: who subscribes looks once after having said so, and what comes later finds the
//! subscription.

use super::*;
use plenum_access::Permission;
use plenum_store::Events;
use plenum_store::events::Event as Stored;

/// Where the waker stands, over all hosts.
const CURSOR: &str = "workflow-events";
/// Events that one look takes.
const BATCH: u32 = 500;

/// The engine's own news, of which each step makes some: heard only by who names them.
pub(crate) fn is_own(kind: &str) -> bool {
    kind.starts_with("plenum.workflow.")
}

impl Engine {
    /// Wakes runs that listen, and starts what an event starts, until the engine stops.
    pub(crate) async fn hear(self: Arc<Self>) {
        let events = Events::new(self.db.clone());
        let mut at = None;
        while !self.stop.is_cancelled() {
            // Taken before looking, so that nothing falls between.
            let mut listener = events.listen();
            let looked = async {
                let from = match at {
                    Some(at) => at,
                    None => events.cursor(CURSOR).await?,
                };
                self.wake_listeners(&events, from).await
            };
            match looked.await {
                Ok((to, more)) => {
                    at = Some(to);
                    if more {
                        continue;
                    }
                }
                Err(e) => tracing::error!(error = %e, "the workflow engine cannot read events; it tries again"),
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = listener.changed() => {}
            }
        }
    }

    /// Looks at the events after `from`; answers up to where, and whether there are more.
    async fn wake_listeners(self: &Arc<Self>, events: &Events, from: i64) -> Result<(i64, bool), WorkflowError> {
        let somebody = "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM workflow_listens) OR EXISTS (SELECT 1 FROM workflow_start_kinds)";
        let latest = events.latest().await?;
        if latest <= from {
            return Ok((from, false));
        }
        if self.db.fetch_optional(somebody, &[]).await?.is_none() {
            // Who subscribes from now on looks at what came before by itself.
            events.advance(CURSOR, latest).await?;
            return Ok((latest, false));
        }
        let found = events.read(from, BATCH, &[]).await?;
        let Some(last) = found.last().map(|e| e.seq) else { return Ok((from, false)) };
        let mut kinds: Vec<String> = found.iter().map(|e| e.kind.clone()).collect();
        kinds.sort();
        kinds.dedup();
        let foreign = kinds.iter().any(|k| !is_own(k));
        for some in kinds.chunks(200) {
            let marks = vec!["?"; some.len()].join(", ");
            let mut values: Vec<plenum_store::Value> = some.iter().map(|k| k.as_str().into()).collect();
            let starts =
                self.db.fetch_all(&format!("SELECT DISTINCT workflow FROM workflow_start_kinds WHERE kind IN ({marks})"), &values).await?;
            for row in starts {
                self.start_on(&row.text("workflow")?, last).await?;
            }
            values.push((if foreign { "" } else { "-" }).into());
            let rows =
                self.db.fetch_all(&format!("SELECT DISTINCT run_id FROM workflow_listens WHERE kind IN ({marks}, ?)"), &values).await?;
            for row in rows {
                let run = row.text("run_id")?;
                let sql =
                    "UPDATE workflow_runs SET nudge = ?, wake_at = 0 WHERE id = ? AND finished_at IS NULL AND (nudge IS NULL OR nudge < ?)";
                self.db.execute(sql, params![last, &run, last]).await?;
                self.poke(&run);
            }
        }
        events.advance(CURSOR, last).await?;
        Ok((last, found.len() == BATCH as usize))
    }
}

/// Whether `who` may hear of it; for a plugin, what its grant says.
pub(crate) fn may_hear(access: &Access, who: &Principal, kind: &str) -> bool {
    access.check(who, Permission::EventsRead, &[("types", kind)]).is_ok()
}

/// Whether an event may be meant at all, before any expression is asked.
pub(crate) fn concerns(event: &Stored, kinds: &[String], run: &str) -> bool {
    let named = if kinds.is_empty() { !is_own(&event.kind) } else { kinds.contains(&event.kind) };
    // Each step of a run makes news of it: hearing them would never end.
    named && !(is_own(&event.kind) && event.data.get("run").and_then(Value::as_str) == Some(run))
}

impl Driven {
    /// Hears what there is. `scanned` says up to where each task has looked. Answers whether anything was heard.
    pub(super) async fn listen(&mut self, scanned: &mut HashMap<u64, i64>) -> Result<bool, WorkflowError> {
        let subscriptions = self.state.listens();
        scanned.retain(|id, _| subscriptions.iter().any(|s| s.id == *id));
        let events = Events::new(self.engine.db.clone());
        for s in subscriptions {
            let mut at = scanned.get(&s.id).copied().unwrap_or(i64::MIN).max(s.after);
            if scanned.contains_key(&s.id) && at >= self.latest {
                continue;
            }
            let mut who = None;
            loop {
                let found = events.read(at, 200, &s.kinds).await?;
                let Some(last) = found.last().map(|e| e.seq) else { break };
                for event in found {
                    if !concerns(&event, &s.kinds, &self.info.id) {
                        continue;
                    }
                    let who = match &who {
                        Some(w) => w,
                        None => match self.engine.host.principal(&self.actor).await {
                            Ok(w) => who.insert(w),
                            Err(e) => {
                                self.advance(Event::Kill(action_error(e))).await?;
                                return Ok(true);
                            }
                        },
                    };
                    if !may_hear(&self.engine.access, who, &event.kind) {
                        continue;
                    }
                    self.advance(Event::Heard { task: s.id, seq: event.seq, event: event.cloud_event() }).await?;
                    // What it did may have changed everything.
                    return Ok(true);
                }
                at = last;
            }
            scanned.insert(s.id, at.max(self.latest));
        }
        Ok(false)
    }
}
