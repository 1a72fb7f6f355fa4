//! The service: definitions and runs. Every door goes through here.

use std::sync::Arc;

use plenum_access::{Access, Permission, Principal};
use plenum_store::{Db, Events, Tx, Value as Sql, events, new_id, now_ms, params};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::action::{ActionHost, ActionInfo};
use crate::dsl::{self, Known, Workflow};
use crate::engine::{Engine, EngineConfig, event};
use crate::error::{Problem, WorkflowError};
use crate::interp::{MAX_VALUE, size_of};
use crate::model::{Definition, ListQuery, Page, Run, RunQuery, RunStatus, Task};
use crate::sql;

/// Tasks that [`Workflows::run`] carries.
const TASKS: u32 = 1000;
type Result<T> = std::result::Result<T, WorkflowError>;

/// Workflows, their runs and schedules. Cheap to clone.
#[derive(Clone)]
pub struct Workflows {
    pub(crate) engine: Arc<Engine>,
}

impl std::fmt::Debug for Workflows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workflows")
    }
}

/// What a definition is, after validation.
#[derive(Debug, Clone)]
pub struct Checked {
    /// `document.name`.
    pub name: String,
    /// `document.title`, else the name.
    pub title: String,
    /// `document.summary`.
    pub summary: Option<String>,
    /// `input.schema`'s document.
    pub input_schema: Option<Value>,
}

struct HostActions(Arc<dyn ActionHost>);

impl Known for HostActions {
    fn has_action(&self, name: &str) -> bool {
        crate::catalog::own(name).is_some() || self.0.describe(name).is_some()
    }
    fn actions(&self) -> Vec<String> {
        crate::catalog::all().into_iter().chain(self.0.list()).map(|a| a.name).collect()
    }
}

/// The plugin that a workflow's name belongs to: `a` of `a.b`, and of `action/a.b`, an action that a schedule runs.
fn owner_of(workflow: &str) -> Option<&str> {
    workflow.strip_prefix("action/").unwrap_or(workflow).split_once('.').map(|(p, _)| p)
}

impl Workflows {
    /// On an opened and migrated database. Nothing runs until [`Workflows::start_engine`].
    pub fn new(db: Db, access: Access, _events: Events, host: Arc<dyn ActionHost>) -> Workflows {
        Workflows::with_config(db, access, host, EngineConfig::default())
    }

    /// The same with other bounds.
    pub fn with_config(db: Db, access: Access, host: Arc<dyn ActionHost>, config: EngineConfig) -> Workflows {
        Workflows { engine: Arc::new(Engine::new(db, access, host, config, None)) }
    }

    /// Goes on with the runs that were under way and begins to fire schedules, until `shutdown`. Runs are then left as they
    /// are stored. [`Workflows::stopped`] says when all has ended.
    pub fn start_engine(&self, shutdown: CancellationToken) {
        let engine = self.engine.clone();
        self.engine.tracker.spawn(async move {
            let stop = engine.stop.clone();
            tokio::select! {
                () = shutdown.cancelled() => stop.cancel(),
                () = stop.cancelled() => {}
            }
        });
        self.engine.tracker.spawn(self.engine.clone().schedule());
        self.engine.tracker.spawn(self.engine.clone().hear());
        self.engine.tracker.close();
    }

    /// Returns when the engine has ended all that it had begun.
    pub async fn stopped(&self) {
        self.engine.tracker.wait().await;
    }

    /// Whether `who` may do `permission` with this workflow. A plugin needs no grant for its own; what the user behind it may not
    /// do, it may not do for that user.
    pub(crate) async fn allow(&self, who: &Principal, permission: Permission, workflow: &str) -> Result<()> {
        if let Principal::Plugin(p) = who
            && owner_of(workflow) == Some(p.id.as_str())
        {
            if let Some(u) = &p.on_behalf {
                self.engine.access.require(&Principal::User(u.clone()), permission, &[]).await?;
            }
            return Ok(());
        }
        Ok(self.engine.access.require(who, permission, &[("workflows", workflow)]).await?)
    }

    /// For a list: the prefix that a plugin without a grant for all is limited to.
    pub(crate) async fn visible(&self, who: &Principal) -> Result<Option<String>> {
        match who {
            Principal::Plugin(p) if self.engine.access.check(who, Permission::WorkflowRead, &[("workflows", "*")]).is_err() => {
                Ok(Some(format!("{}.", p.id)))
            }
            _ => {
                self.engine.access.require(who, Permission::WorkflowRead, &[]).await?;
                Ok(None)
            }
        }
    }

    /// What can be called.
    pub fn actions(&self) -> Vec<ActionInfo> {
        crate::catalog::all().into_iter().chain(self.engine.host.list()).collect()
    }

    /// Checks a definition without saving it: all problems with their JSON pointers.
    pub async fn validate(&self, source: &str) -> std::result::Result<Checked, Vec<Problem>> {
        let w = self.parse(source.to_owned()).await?;
        let title = w.title.clone().unwrap_or_else(|| w.name.clone());
        Ok(Checked { title, name: w.name, summary: w.summary, input_schema: w.input.schema.map(|s| s.document) })
    }

    async fn parse(&self, source: String) -> std::result::Result<Workflow, Vec<Problem>> {
        let (jq, known) = (self.engine.jq.clone(), HostActions(self.engine.host.clone()));
        tokio::task::spawn_blocking(move || {
            let value = crate::yaml::read(&source).map_err(|p| vec![p])?;
            dsl::parse(&value, Some(&known), &jq)
        })
        .await
        .unwrap_or_else(|e| Err(vec![Problem { pointer: String::new(), message: format!("the definition cannot be checked: {e}") }]))
    }

    /// Saves a definition under `name`, as a new version unless the text is the same. A plugin's own are named `<plugin>.<name>`.
    pub async fn save_definition(&self, who: &Principal, name: &str, source: &str, owner: Option<&str>) -> Result<Definition> {
        self.allow(who, Permission::WorkflowWrite, name).await?;
        check_name(name, owner)?;
        if let Principal::Plugin(p) = who
            && owner != Some(p.id.as_str())
        {
            return Err(WorkflowError::Argument {
                field: "name",
                message: format!("plugin {} saves only workflows of its own, named {}.<name>", p.id, p.id),
            });
        }
        let parsed = self.parse(source.to_owned()).await.map_err(WorkflowError::Invalid)?;
        if parsed.start.is_some() {
            // Who has it start by itself has it run.
            self.allow(who, Permission::WorkflowRun, name).await?;
        }
        let now = now_ms();
        let by = who.actor().to_string();
        let mut tx = self.engine.db.begin().await?;
        let before = tx
            .fetch_optional(&format!("{} WHERE d.name = ?", sql::DEFINITION), params![name])
            .await?
            .map(|r| sql::definition(&r))
            .transpose()?;
        if let Some(b) = &before {
            if b.owner.as_deref() != owner {
                let whose = b.owner.as_ref().map_or("people".into(), |o| format!("plugin {o}"));
                return Err(WorkflowError::Conflict(format!("the workflow {name} belongs to {whose}; save yours under another name")));
            }
            if b.source == source {
                return Ok(b.clone());
            }
        }
        // Versions of a deleted namesake stay, for their runs.
        let row = tx.fetch_optional("SELECT MAX(version) AS v FROM workflow_versions WHERE name = ?", params![name]).await?;
        let version = row.map(|r| r.opt_int("v")).transpose()?.flatten().unwrap_or(0) + 1;
        tx.execute(
            "INSERT INTO workflow_versions (name, version, source, created_at) VALUES (?, ?, ?, ?)",
            params![name, version, source, now],
        )
        .await?;
        let title = parsed.title.clone().unwrap_or_else(|| name.to_owned());
        let schema = parsed.input.schema.as_ref().map(|s| s.document.to_string());
        tx.execute(
            "INSERT INTO workflow_definitions (name, version, owner, title, summary, input_schema, created_at, updated_at, updated_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, title = excluded.title, summary = excluded.summary, input_schema = excluded.input_schema,
             updated_at = excluded.updated_at, updated_by = excluded.updated_by",
            params![name, version, owner, title, parsed.summary.clone(), schema, now, now, by],
        )
        .await?;
        let after = json!({ "version": version, "source": source });
        let verb = if before.is_some() { "update" } else { "create" };
        let old = before.map(|b| json!({ "version": b.version, "source": b.source }));
        self.engine
            .access
            .audit(&mut tx, who, &format!("workflow.definition.{verb}"), &format!("workflow/{name}"), old.as_ref(), Some(&after))
            .await?;
        self.definition_event(&mut tx, name, verb, Some(version)).await?;
        self.put_start(&mut tx, who, name, version, owner, &parsed).await?;
        let row = tx.fetch_optional(&format!("{} WHERE d.name = ?", sql::DEFINITION), params![name]).await?;
        let saved = sql::definition(&row.ok_or_else(|| WorkflowError::NotFound(format!("workflow {name}")))?)?;
        tx.commit().await?;
        Ok(saved)
    }

    async fn definition_event(&self, tx: &mut Tx, name: &str, verb: &str, version: Option<i64>) -> Result<()> {
        let e = plenum_store::NewEvent {
            kind: format!("plenum.workflow.definition.{verb}d"),
            source: "/workflow".into(),
            subject: format!("workflow/{name}"),
            data: json!({ "workflow": name, "version": version }),
        };
        Ok(events::emit(tx, e).await?)
    }

    /// A definition by name.
    pub async fn definition(&self, who: &Principal, name: &str) -> Result<Definition> {
        self.allow(who, Permission::WorkflowRead, name).await?;
        let row = self.engine.db.fetch_optional(&format!("{} WHERE d.name = ?", sql::DEFINITION), params![name]).await?;
        Ok(sql::definition(&row.ok_or_else(|| WorkflowError::NotFound(format!("workflow {name}")))?)?)
    }

    /// Definitions by name.
    pub async fn definitions(&self, who: &Principal, query: &ListQuery) -> Result<Page<Definition>> {
        let mut cond = Cond::default();
        if let Some(prefix) = self.visible(who).await? {
            cond.prefix("d.name", &prefix);
        }
        if let Some(s) = &query.search {
            cond.add(
                "(LOWER(d.name) LIKE ? ESCAPE '\\' OR LOWER(d.title) LIKE ? ESCAPE '\\')",
                vec![sql::like(s).into(), sql::like(s).into()],
            );
        }
        let total = self.count(&format!("SELECT COUNT(*) AS n FROM workflow_definitions d{}", cond.sql()), &cond.values).await?;
        if let Some(c) = &query.cursor {
            cond.add("d.name > ?", vec![c.into()]);
        }
        let limit = page_size(query.limit);
        cond.values.push((limit + 1).into());
        let rows = self.engine.db.fetch_all(&format!("{}{} ORDER BY d.name LIMIT ?", sql::DEFINITION, cond.sql()), &cond.values).await?;
        let items = rows.iter().map(sql::definition).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(page(items, limit, total, |d| d.name.clone()))
    }

    pub(crate) async fn count(&self, sql: &str, values: &[Sql]) -> Result<i64> {
        Ok(self.engine.db.fetch_optional(sql, values).await?.map(|r| r.int("n")).transpose()?.unwrap_or(0))
    }

    /// Deletes a definition. Its runs go on and stay; its schedules stop.
    pub async fn delete_definition(&self, who: &Principal, name: &str) -> Result<()> {
        self.allow(who, Permission::WorkflowWrite, name).await?;
        let mut tx = self.engine.db.begin().await?;
        let before = tx
            .fetch_optional(&format!("{} WHERE d.name = ?", sql::DEFINITION), params![name])
            .await?
            .map(|r| sql::definition(&r))
            .transpose()?;
        let before = before.ok_or_else(|| WorkflowError::NotFound(format!("workflow {name}")))?;
        if let (Some(owner), Principal::User(_)) = (&before.owner, who) {
            return Err(WorkflowError::Conflict(format!(
                "the workflow {name} belongs to plugin {owner}; it goes when the plugin is uninstalled"
            )));
        }
        self.remove(&mut tx, who, &before).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn remove(&self, tx: &mut Tx, who: &Principal, d: &Definition) -> Result<()> {
        tx.execute("DELETE FROM workflow_definitions WHERE name = ?", params![&d.name]).await?;
        let old = json!({ "version": d.version, "source": d.source });
        self.engine.access.audit(tx, who, "workflow.definition.delete", &format!("workflow/{}", d.name), Some(&old), None).await?;
        self.drop_start(tx, &d.name).await?;
        self.definition_event(tx, &d.name, "delete", None).await
    }

    /// A plugin is uninstalled: its definitions and schedules go, its runs are cancelled.
    pub async fn delete_owned(&self, who: &Principal, owner: &str) -> Result<()> {
        self.engine.access.require(who, Permission::PluginsManage, &[]).await?;
        let mut tx = self.engine.db.begin().await?;
        let rows = tx.fetch_all(&format!("{} WHERE d.owner = ?", sql::DEFINITION), params![owner]).await?;
        for row in &rows {
            self.remove(&mut tx, who, &sql::definition(row)?).await?;
        }
        let schedules = tx.execute("DELETE FROM workflow_schedules WHERE owner = ?", params![owner]).await?;
        let mut cond = Cond::default();
        cond.prefix("workflow", &format!("{owner}."));
        let rows = tx.fetch_all(&format!("SELECT id FROM workflow_runs{} AND finished_at IS NULL", cond.sql()), &cond.values).await?;
        let mut stopped = Vec::new();
        for row in rows {
            let id = row.text("id")?;
            let why = format!("plugin {owner} was uninstalled");
            tx.execute("UPDATE workflow_runs SET cancel = ?, wake_at = 0 WHERE id = ? AND cancel IS NULL", params![why, &id]).await?;
            stopped.push(id);
        }
        let after = json!({ "schedules": schedules, "runs_cancelled": stopped.len() });
        self.engine.access.audit(&mut tx, who, "workflow.owned.delete", &format!("plugin/{owner}"), None, Some(&after)).await?;
        tx.commit().await?;
        for id in stopped {
            self.engine.poke(&id);
        }
        Ok(())
    }

    /// Starts a run. With a `key` that was used before for this workflow, answers that run instead.
    pub async fn start(&self, who: &Principal, name: &str, input: Value, key: Option<&str>) -> Result<Run> {
        let origin = match who {
            Principal::User(_) => "user".to_owned(),
            Principal::Plugin(p) => format!("plugin/{}", p.id),
            Principal::Agent { .. } => "agent".to_owned(),
            Principal::System(part) => (*part).to_owned(),
        };
        self.allow(who, Permission::WorkflowRun, name).await?;
        if key.is_some_and(|k| k.is_empty() || k.len() > 200) {
            return Err(WorkflowError::Argument { field: "key", message: "a key has 1 to 200 characters".into() });
        }
        let row = self.engine.db.fetch_optional("SELECT version FROM workflow_definitions WHERE name = ?", params![name]).await?;
        let version = row.ok_or_else(|| WorkflowError::NotFound(format!("workflow {name}")))?.int("version")?;
        self.check_input(name, version, &input).await?;
        let mut tx = self.engine.db.begin().await?;
        let (id, _) = self.insert_run(&mut tx, who, name, version, &input, key, &origin).await?;
        tx.commit().await?;
        self.engine.wake.notify_one();
        self.load(&id, false).await
    }

    pub(crate) async fn check_input(&self, name: &str, version: i64, input: &Value) -> Result<()> {
        let size = size_of(input);
        if size > MAX_VALUE {
            return Err(WorkflowError::TooLarge { what: "the input of the run", size, limit: MAX_VALUE });
        }
        let workflow = self.engine.workflow(name, version).await?;
        match workflow.input.schema.as_ref().and_then(|s| s.problem(input)) {
            Some(p) => Err(WorkflowError::Input(p)),
            None => Ok(()),
        }
    }

    /// Inserts the run, or finds the one of the same key; the flag says that it is new.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn insert_run(
        &self,
        tx: &mut Tx,
        who: &Principal,
        name: &str,
        version: i64,
        input: &Value,
        key: Option<&str>,
        origin: &str,
    ) -> Result<(String, bool)> {
        let (id, now, actor) = (new_id(), now_ms(), who.actor());
        let actor_json = serde_json::to_value(&actor).map_err(|e| plenum_store::StoreError::Corrupt(e.to_string()))?;
        let inserted = tx
            .execute(
                "INSERT INTO workflow_runs (id, workflow, version, status, actor, started_by, origin, run_key, started_at, input, waiting, wake_at, heard)
                 VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(seq), 0) FROM events))
                 ON CONFLICT (workflow, run_key) DO NOTHING",
                params![
                    &id,
                    name,
                    version,
                    actor_json,
                    actor.to_string(),
                    origin,
                    key,
                    now,
                    input.to_string(),
                    json!({ "reason": "its turn", "since": now }).to_string(),
                    now
                ],
            )
            .await?;
        if inserted == 0 {
            let row = tx.fetch_optional("SELECT id FROM workflow_runs WHERE workflow = ? AND run_key = ?", params![name, key]).await?;
            return Ok((row.ok_or_else(|| WorkflowError::Conflict("the run of this key vanished; try again".into()))?.text("id")?, false));
        }
        let after = json!({ "workflow": name, "version": version, "origin": origin, "key": key });
        self.engine.access.audit(tx, who, "workflow.run.start", &format!("run/{id}"), None, Some(&after)).await?;
        let data = json!({ "run": id, "workflow": name, "version": version, "origin": origin, "started_by": actor.to_string() });
        events::emit(tx, event("plenum.workflow.run.started", &id, data)).await?;
        Ok((id, true))
    }

    pub(crate) async fn load(&self, id: &str, tasks: bool) -> Result<Run> {
        let row =
            self.engine.db.fetch_optional(&format!("SELECT {} FROM workflow_runs WHERE id = ?", sql::RUN_COLUMNS), params![id]).await?;
        let mut run = sql::run(&row.ok_or_else(|| WorkflowError::NotFound(format!("run {id}")))?)?;
        if tasks {
            run.tasks = self.load_tasks(id, 0, TASKS).await?;
        }
        Ok(run)
    }

    async fn load_tasks(&self, run: &str, after: u64, limit: u32) -> Result<Vec<Task>> {
        let rows = self
            .engine
            .db
            .fetch_all(
                "SELECT record FROM workflow_tasks WHERE run_id = ? AND id > ? ORDER BY id LIMIT ?",
                params![run, i64::try_from(after).unwrap_or(i64::MAX), i64::from(limit.clamp(1, TASKS))],
            )
            .await?;
        Ok(rows.iter().map(sql::task).collect::<std::result::Result<Vec<_>, _>>()?)
    }

    /// A run with its tasks.
    pub async fn run(&self, who: &Principal, id: &str) -> Result<Run> {
        let run = self.load(id, true).await?;
        self.allow(who, Permission::WorkflowRead, &run.workflow).await?;
        Ok(run)
    }

    /// The run without its tasks, and those of its tasks with an id above `after`, in the order of beginning; at most 1,000.
    pub async fn tasks(&self, who: &Principal, run: &str, after: u64, limit: u32) -> Result<(Run, Vec<Task>)> {
        let found = self.load(run, false).await?;
        self.allow(who, Permission::WorkflowRead, &found.workflow).await?;
        let tasks = self.load_tasks(run, after, limit).await?;
        Ok((found, tasks))
    }

    /// Runs, newest first.
    pub async fn runs(&self, who: &Principal, query: &RunQuery) -> Result<Page<Run>> {
        let mut cond = Cond::default();
        if let Some(prefix) = self.visible(who).await? {
            cond.prefix("workflow", &prefix);
        }
        if let Some(w) = &query.workflow {
            cond.add("workflow = ?", vec![w.into()]);
        }
        if !query.status.is_empty() {
            let marks = vec!["?"; query.status.len()].join(", ");
            cond.add(&format!("status IN ({marks})"), query.status.iter().map(|s| s.name().into()).collect());
        }
        if let Some(s) = &query.search {
            let l: Sql = sql::like(s).into();
            cond.add("(LOWER(workflow) LIKE ? ESCAPE '\\' OR id LIKE ? ESCAPE '\\' OR LOWER(run_key) LIKE ? ESCAPE '\\' OR LOWER(started_by) LIKE ? ESCAPE '\\')", vec![l.clone(), l.clone(), l.clone(), l]);
        }
        let total = self.count(&format!("SELECT COUNT(*) AS n FROM workflow_runs{}", cond.sql()), &cond.values).await?;
        if let Some(c) = &query.cursor {
            cond.add("id < ?", vec![c.into()]);
        }
        let limit = page_size(query.limit);
        cond.values.push((limit + 1).into());
        // Ids sort by time of making.
        let rows = self
            .engine
            .db
            .fetch_all(&format!("SELECT {} FROM workflow_runs{} ORDER BY id DESC LIMIT ?", sql::RUN_COLUMNS, cond.sql()), &cond.values)
            .await?;
        let items = rows.iter().map(sql::run).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(page(items, limit, total, |r| r.id.clone()))
    }

    /// Ends a run: calls under way are told to stop, then the run is cancelled. A run that has ended stays as it is.
    pub async fn cancel(&self, who: &Principal, id: &str, why: Option<&str>) -> Result<Run> {
        let run = self.load(id, false).await?;
        self.allow(who, Permission::WorkflowRun, &run.workflow).await?;
        if run.status.is_final() {
            return self.load(id, true).await;
        }
        let why = format!("cancelled by {}{}", who.actor(), why.map(|w| format!(": {}", crate::expr::shorten(w, 500))).unwrap_or_default());
        let mut tx = self.engine.db.begin().await?;
        let n = tx
            .execute(
                "UPDATE workflow_runs SET cancel = ?, wake_at = 0 WHERE id = ? AND finished_at IS NULL AND cancel IS NULL",
                params![&why, id],
            )
            .await?;
        if n == 1 {
            let after = json!({ "reason": why });
            self.engine.access.audit(&mut tx, who, "workflow.run.cancel", &format!("run/{id}"), None, Some(&after)).await?;
        }
        tx.commit().await?;
        self.engine.poke(id);
        self.load(id, true).await
    }

    /// Returns when the run has ended.
    pub async fn wait(&self, who: &Principal, id: &str) -> Result<Run> {
        let mut ended = self.engine.ended.subscribe();
        loop {
            let run = self.load(id, false).await?;
            self.allow(who, Permission::WorkflowRead, &run.workflow).await?;
            if run.status.is_final() {
                return self.load(id, true).await;
            }
            loop {
                tokio::select! {
                    () = self.engine.stop.cancelled() => return Err(WorkflowError::Stopped),
                    r = ended.recv() => match r {
                        Ok(done) if done != id => {}
                        // Ended, or the channel ran over: look.
                        _ => break,
                    }
                }
            }
        }
    }

    /// How many runs are in each state.
    pub async fn counts(&self, who: &Principal) -> Result<Vec<(RunStatus, i64)>> {
        self.engine.access.require(who, Permission::WorkflowRead, &[]).await?;
        let rows = self.engine.db.fetch_all("SELECT status, COUNT(*) AS n FROM workflow_runs GROUP BY status", &[]).await?;
        rows.iter().map(|r| Ok((RunStatus::from_name(&r.text("status")?).unwrap_or(RunStatus::Running), r.int("n")?))).collect()
    }
}

fn check_name(name: &str, owner: Option<&str>) -> Result<()> {
    let wrong = |message: String| Err(WorkflowError::Argument { field: "name", message });
    let own = match owner {
        Some(o) => match name.strip_prefix(o).and_then(|n| n.strip_prefix('.')) {
            Some(n) => n,
            None => return wrong(format!("a workflow of plugin {o} is named {o}.<name>")),
        },
        None => name,
    };
    // The API has a route of this name beside the workflows.
    if name == "validate" {
        return wrong("`validate` is taken; choose another name".into());
    }
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if own.is_empty() || own.len() > 64 || !own.chars().all(good) || own.starts_with('-') {
        return wrong(format!(
            "`{}` is no name: write lower-case letters, digits and hyphens, 64 at the most",
            crate::expr::shorten(name, 80)
        ));
    }
    Ok(())
}

/// Conditions of a list.
#[derive(Default)]
pub(crate) struct Cond {
    parts: Vec<String>,
    pub values: Vec<Sql>,
}

impl Cond {
    pub(crate) fn add(&mut self, sql: &str, values: Vec<Sql>) {
        self.parts.push(sql.to_owned());
        self.values.extend(values);
    }
    pub(crate) fn prefix(&mut self, column: &str, prefix: &str) {
        self.add(&format!("SUBSTR({column}, 1, {}) = ?", prefix.chars().count()), vec![prefix.into()]);
    }
    pub(crate) fn sql(&self) -> String {
        if self.parts.is_empty() { " WHERE 1 = 1".to_owned() } else { format!(" WHERE {}", self.parts.join(" AND ")) }
    }
}

pub(crate) fn page_size(limit: u32) -> i64 {
    if limit == 0 { 50 } else { i64::from(limit.min(500)) }
}

pub(crate) fn page<T>(mut items: Vec<T>, limit: i64, total: i64, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(cursor) } else { None };
    Page { items, next_cursor, total }
}
