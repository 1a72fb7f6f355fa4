//! Schedules: what starts by the clock.
//!
//! A firing and the schedule's next time are one transaction, and the run's key is made of schedule and planned time: so one
//! planned time starts one run, whatever dies and however many hosts look. Missed times (the host was off) are not made up
//! one by one: the last of them fires once if it is less than [`MISFIRE_MS`] ago, otherwise it is noted and left out.

use plenum_access::{Actor, Permission, Principal};
use plenum_store::{StoreError, events, new_id, now_ms, params};
use serde_json::{Value, json};

use crate::cron::Plan;
use crate::engine::Engine;
use crate::error::WorkflowError;
use crate::interp::{MAX_VALUE, size_of};
use crate::model::{ListQuery, Page, Schedule, SchedulePatch, ScheduleSpec, Target};
use crate::service::{Cond, Workflows, page, page_size};
use crate::sql;

/// A missed time fires late up to this long: one hour.
pub const MISFIRE_MS: i64 = 3_600_000;
type Result<T> = std::result::Result<T, WorkflowError>;

impl Target {
    /// The workflow that a run of this target has: an action runs as a workflow of one task.
    pub(crate) fn workflow(&self) -> String {
        match self {
            Target::Workflow(w) => w.clone(),
            Target::Action(a) => format!("action/{a}"),
        }
    }
}

/// The definition that runs a single action.
fn single(action: &str) -> String {
    json!({
        "document": { "dsl": "1.0.3", "namespace": "plenum", "name": "action", "version": "1.0.0", "title": action },
        "do": [{ "call": { "call": action } }]
    })
    .to_string()
}

impl Workflows {
    /// May `who` have `target` run?
    async fn allow_target(&self, who: &Principal, target: &Target) -> Result<()> {
        match (target, who) {
            (Target::Action(a), Principal::Plugin(p)) if a.split_once('.').is_none_or(|(owner, _)| owner != p.id) => {
                let message = format!("plugin {} schedules its own actions and workflows only; wrap {a} in a workflow of the plugin", p.id);
                Err(WorkflowError::Argument { field: "target", message })
            }
            _ => self.allow(who, Permission::WorkflowRun, &target.workflow()).await,
        }
    }

    async fn check(&self, who: &Principal, spec: &mut ScheduleSpec) -> Result<Plan> {
        if let Principal::Plugin(p) = who {
            if spec.owner_plugin.as_ref().is_some_and(|o| *o != p.id) {
                return Err(WorkflowError::Argument { field: "owner_plugin", message: "a plugin makes schedules of its own only".into() });
            }
            spec.owner_plugin = Some(p.id.clone());
        }
        let name = spec.name.trim();
        if name.is_empty() || name.len() > 100 {
            return Err(WorkflowError::Argument { field: "name", message: "a name has 1 to 100 characters".into() });
        }
        spec.name = name.to_owned();
        let size = size_of(&spec.input);
        if size > MAX_VALUE {
            return Err(WorkflowError::TooLarge { what: "the input of the schedule", size, limit: MAX_VALUE });
        }
        self.allow_target(who, &spec.target).await?;
        match &spec.target {
            Target::Workflow(w) => {
                let row = self.engine.db.fetch_optional("SELECT version FROM workflow_definitions WHERE name = ?", params![w]).await?;
                let version = row.ok_or_else(|| WorkflowError::NotFound(format!("workflow {w}")))?.int("version")?;
                self.check_input(w, version, &spec.input).await?;
            }
            Target::Action(a) => {
                if crate::dsl::OUTSIDE.contains(&a.as_str()) {
                    return Err(WorkflowError::Argument {
                        field: "target",
                        message: format!("{a} is called by workflows only; schedule a workflow with `call: {a}`"),
                    });
                }
                if self.engine.host.describe(a).is_none() {
                    return Err(WorkflowError::NotFound(format!("action {a}")));
                }
            }
        }
        Plan::parse(&spec.cron, &spec.timezone)
    }

    /// Makes a schedule. Its runs act as `who`, with the role or grant of then.
    pub async fn create_schedule(&self, who: &Principal, spec: ScheduleSpec) -> Result<Schedule> {
        self.write_schedule(who, spec, false).await
    }

    /// Makes a schedule, or changes the one of the same owner and name.
    pub async fn put_schedule(&self, who: &Principal, spec: ScheduleSpec) -> Result<Schedule> {
        self.write_schedule(who, spec, true).await
    }

    async fn write_schedule(&self, who: &Principal, mut spec: ScheduleSpec, replace: bool) -> Result<Schedule> {
        let plan = self.check(who, &mut spec).await?;
        // A plugin's schedule acts as the plugin, also when an administrator installs it or a user's request makes it.
        let actor = match &spec.owner_plugin {
            Some(id) => Actor::Plugin { id: id.clone(), on_behalf: None },
            None => who.actor(),
        };
        let owner = spec.owner_plugin.clone().unwrap_or_default();
        let next = if spec.enabled { plan.next(now_ms()) } else { None };
        let mut tx = self.engine.db.begin().await?;
        let before = tx.fetch_optional(&format!("{} WHERE owner = ? AND name = ?", sql::SCHEDULE), params![&owner, &spec.name]).await?;
        let before = before.map(|r| sql::schedule(&r)).transpose()?.map(|(s, _)| s);
        if before.is_some() && !replace {
            return Err(WorkflowError::Conflict(format!("there is a schedule named {}; change it, or choose another name", spec.name)));
        }
        // Written anew with the same times, it keeps its next firing: an upgrade must not skip one that is due.
        let next = match &before {
            Some(b) if b.spec.cron == spec.cron && b.spec.timezone == spec.timezone && b.spec.enabled && spec.enabled => b.next_at.or(next),
            _ => next,
        };
        let id = before.as_ref().map_or_else(new_id, |b| b.id.clone());
        let target = serde_json::to_value(&spec.target).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let actor_json = serde_json::to_value(&actor).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        tx.execute(
            "INSERT INTO workflow_schedules (id, name, owner, cron, timezone, target, input, enabled, actor, created_by, created_at, next_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (owner, name) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, target = excluded.target, input = excluded.input,
             enabled = excluded.enabled, actor = excluded.actor, created_by = excluded.created_by, next_at = excluded.next_at",
            params![&id, &spec.name, &owner, &spec.cron, &spec.timezone, target, spec.input.to_string(), spec.enabled, actor_json, actor.to_string(), now_ms(), next],
        )
        .await?;
        let schedule = self.audit_schedule(&mut tx, who, &id, before.as_ref(), if before.is_some() { "update" } else { "create" }).await?;
        tx.commit().await?;
        self.engine.wake.notify_one();
        Ok(schedule)
    }

    async fn audit_schedule(
        &self,
        tx: &mut plenum_store::Tx,
        who: &Principal,
        id: &str,
        before: Option<&Schedule>,
        verb: &str,
    ) -> Result<Schedule> {
        let row = tx.fetch_optional(&format!("{} WHERE id = ?", sql::SCHEDULE), params![id]).await?;
        let (schedule, _) = sql::schedule(&row.ok_or_else(|| WorkflowError::NotFound(format!("schedule {id}")))?)?;
        let old = before.map(brief);
        self.engine
            .access
            .audit(tx, who, &format!("workflow.schedule.{verb}"), &format!("schedule/{id}"), old.as_ref(), Some(&brief(&schedule)))
            .await?;
        events::emit(tx, event(&format!("{verb}d"), &schedule, json!({}))).await?;
        Ok(schedule)
    }

    /// Changes a schedule. From then on its runs act as `who`, who answers for what it does; a plugin's stays the plugin's.
    pub async fn update_schedule(&self, who: &Principal, id: &str, patch: SchedulePatch) -> Result<Schedule> {
        let before = self.own_schedule(who, id, Permission::WorkflowRun).await?;
        let mut spec = before.spec.clone();
        let SchedulePatch { name, cron, timezone, input, enabled } = patch;
        spec.name = name.unwrap_or(spec.name);
        spec.cron = cron.unwrap_or(spec.cron);
        spec.timezone = timezone.unwrap_or(spec.timezone);
        spec.input = input.unwrap_or(spec.input);
        spec.enabled = enabled.unwrap_or(spec.enabled);
        let plan = self.check(who, &mut spec).await?;
        let next = if spec.enabled { plan.next(now_ms()) } else { None };
        let actor = match &spec.owner_plugin {
            Some(p) => Actor::Plugin { id: p.clone(), on_behalf: None },
            None => who.actor(),
        };
        let actor_json = serde_json::to_value(&actor).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let mut tx = self.engine.db.begin().await?;
        tx.execute(
            "UPDATE workflow_schedules SET name = ?, cron = ?, timezone = ?, input = ?, enabled = ?, next_at = ?, actor = ?, created_by = ? WHERE id = ?",
            params![&spec.name, &spec.cron, &spec.timezone, spec.input.to_string(), spec.enabled, next, actor_json, actor.to_string(), id],
        )
        .await?;
        let schedule = self.audit_schedule(&mut tx, who, id, Some(&before), "update").await?;
        tx.commit().await?;
        self.engine.wake.notify_one();
        Ok(schedule)
    }

    async fn own_schedule(&self, who: &Principal, id: &str, permission: Permission) -> Result<Schedule> {
        let row = self.engine.db.fetch_optional(&format!("{} WHERE id = ?", sql::SCHEDULE), params![id]).await?;
        let missing = || WorkflowError::NotFound(format!("schedule {id}"));
        let (schedule, _) = sql::schedule(&row.ok_or_else(missing)?)?;
        if let Principal::Plugin(p) = who
            && schedule.spec.owner_plugin.as_deref() != Some(p.id.as_str())
        {
            return Err(missing());
        }
        self.allow(who, permission, &schedule.spec.target.workflow()).await?;
        Ok(schedule)
    }

    /// A schedule by id.
    pub async fn schedule(&self, who: &Principal, id: &str) -> Result<Schedule> {
        self.own_schedule(who, id, Permission::WorkflowRead).await
    }

    /// Schedules by name; a plugin sees its own.
    pub async fn schedules(&self, who: &Principal, query: &ListQuery) -> Result<Page<Schedule>> {
        let mut cond = Cond::default();
        match who {
            Principal::Plugin(p) => cond.add("owner = ?", vec![p.id.as_str().into()]),
            _ => {
                self.visible(who).await?;
            }
        }
        if let Some(s) = &query.search {
            cond.add("LOWER(name) LIKE ? ESCAPE '\\'", vec![sql::like(s).into()]);
        }
        let total = self.count(&format!("SELECT COUNT(*) AS n FROM workflow_schedules{}", cond.sql()), &cond.values).await?;
        if let Some((name, id)) = query.cursor.as_deref().and_then(|c| c.rsplit_once('\n')) {
            cond.add("(name > ? OR (name = ? AND id > ?))", vec![name.into(), name.into(), id.into()]);
        }
        let limit = page_size(query.limit);
        cond.values.push((limit + 1).into());
        let rows = self.engine.db.fetch_all(&format!("{}{} ORDER BY name, id LIMIT ?", sql::SCHEDULE, cond.sql()), &cond.values).await?;
        let items = rows.iter().map(|r| sql::schedule(r).map(|(s, _)| s)).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(page(items, limit, total, |s| format!("{}\n{}", s.spec.name, s.id)))
    }

    /// Deletes a schedule; runs that it started go on.
    pub async fn delete_schedule(&self, who: &Principal, id: &str) -> Result<()> {
        let before = self.own_schedule(who, id, Permission::WorkflowRun).await?;
        let mut tx = self.engine.db.begin().await?;
        tx.execute("DELETE FROM workflow_schedules WHERE id = ?", params![id]).await?;
        self.engine.access.audit(&mut tx, who, "workflow.schedule.delete", &format!("schedule/{id}"), Some(&brief(&before)), None).await?;
        events::emit(&mut tx, event("deleted", &before, json!({}))).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn brief(s: &Schedule) -> Value {
    json!({ "name": s.spec.name, "cron": s.spec.cron, "timezone": s.spec.timezone, "target": s.spec.target, "enabled": s.spec.enabled })
}

fn event(verb: &str, s: &Schedule, more: Value) -> plenum_store::NewEvent {
    let mut data = json!({ "schedule": s.id, "name": s.spec.name, "target": s.spec.target, "owner_plugin": s.spec.owner_plugin });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    plenum_store::NewEvent {
        kind: format!("plenum.workflow.schedule.{verb}"),
        source: "/workflow".into(),
        subject: format!("schedule/{}", s.id),
        data,
    }
}

impl Engine {
    /// Fires what is due; answers when the next one is.
    pub(crate) async fn fire_schedules(self: &std::sync::Arc<Self>) -> Result<Option<i64>> {
        let now = now_ms();
        let rows = self
            .db
            .fetch_all(&format!("{} WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT 200", sql::SCHEDULE), params![now])
            .await?;
        for row in &rows {
            let (schedule, actor) = sql::schedule(row)?;
            self.fire(&schedule, &actor, now).await?;
        }
        let row = self.db.fetch_optional("SELECT MIN(next_at) AS at FROM workflow_schedules WHERE next_at IS NOT NULL", &[]).await?;
        Ok(row.map(|r| r.opt_int("at")).transpose()?.flatten())
    }

    async fn fire(self: &std::sync::Arc<Self>, s: &Schedule, actor: &Actor, now: i64) -> Result<()> {
        let Some(due) = s.next_at else { return Ok(()) };
        let plan = Plan::parse(&s.spec.cron, &s.spec.timezone);
        let next = plan.as_ref().ok().and_then(|p| p.next(now));
        let planned = plan.as_ref().ok().and_then(|p| p.last(now)).filter(|p| *p > due).unwrap_or(due);
        let service = Workflows { engine: self.clone() };
        // Everything that may be slow or refuse comes before the transaction.
        let ready = async {
            plan?;
            if now - planned > MISFIRE_MS {
                return Err(WorkflowError::Conflict(format!(
                    "missed by {} minutes, more than an hour: left out",
                    (now - planned) / 60_000
                )));
            }
            let who = self.host.principal(actor).await.map_err(WorkflowError::Principal)?;
            service.allow_target(&who, &s.spec.target).await?;
            let name = s.spec.target.workflow();
            let version = match &s.spec.target {
                Target::Action(_) => 1,
                Target::Workflow(w) => {
                    let row = self.db.fetch_optional("SELECT version FROM workflow_definitions WHERE name = ?", params![w]).await?;
                    let version = row.ok_or_else(|| WorkflowError::NotFound(format!("workflow {w}")))?.int("version")?;
                    service.check_input(w, version, &s.spec.input).await?;
                    version
                }
            };
            Ok((who, name, version))
        }
        .await;
        if let Err(WorkflowError::Store(e)) = ready {
            return Err(e.into());
        }
        let mut tx = self.db.begin().await?;
        let taken = tx
            .execute(
                "UPDATE workflow_schedules SET next_at = ?, last_at = ? WHERE id = ? AND next_at = ?",
                params![next, planned, &s.id, due],
            )
            .await?;
        if taken != 1 {
            return Ok(());
        }
        let (run, error) = match ready {
            Ok((who, name, version)) => {
                if let Target::Action(a) = &s.spec.target {
                    tx.execute(
                        "INSERT INTO workflow_versions (name, version, source, created_at) VALUES (?, 1, ?, ?) ON CONFLICT (name, version) DO NOTHING",
                        params![&name, single(a), now],
                    )
                    .await?;
                }
                let key = format!("schedule/{}/{planned}", s.id);
                let (run, _) =
                    service.insert_run(&mut tx, &who, &name, version, &s.spec.input, Some(&key), &format!("schedule/{}", s.id)).await?;
                (Some(run), None)
            }
            Err(e) => (None, Some(e.to_string())),
        };
        // The last run stays named when a firing started none.
        tx.execute(
            "UPDATE workflow_schedules SET last_run = COALESCE(?, last_run), last_error = ? WHERE id = ?",
            params![run.clone(), error.clone(), &s.id],
        )
        .await?;
        let verb = if run.is_some() { "fired" } else { "failed" };
        events::emit(&mut tx, event(verb, s, json!({ "planned_at": planned, "run": run, "error": error }))).await?;
        tx.commit().await?;
        Ok(())
    }
}
