//! Queries. Rows to types and back, both dialects.

use plenum_access::Actor;
use plenum_store::{Row, StoreError, Tx, params};
use serde_json::Value;

use crate::model::{Definition, Run, RunStatus, Schedule, ScheduleSpec, Target, Task};

pub(crate) const RUN_COLUMNS: &str = "id, workflow, version, status, actor, started_by, origin, run_key, started_at, finished_at, input, output, error, waiting, \
     (SELECT COUNT(*) FROM workflow_tasks t WHERE t.run_id = workflow_runs.id) AS task_count, \
     CAST(CASE WHEN state IS NOT NULL AND finished_at IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS can_go_on";

fn corrupt(what: &str) -> impl Fn(serde_json::Error) -> StoreError + '_ {
    move |e| StoreError::Corrupt(format!("{what}: {e}"))
}

pub(crate) fn json(row: &Row, column: &str) -> Result<Value, StoreError> {
    match row.opt_text(column)? {
        None => Ok(Value::Null),
        Some(t) => serde_json::from_str(&t).map_err(corrupt(column)),
    }
}

pub(crate) fn run(row: &Row) -> Result<Run, StoreError> {
    let status = row.text("status")?;
    let (started_at, finished_at) = (row.int("started_at")?, row.opt_int("finished_at")?);
    let error = json(row, "error")?;
    Ok(Run {
        id: row.text("id")?,
        workflow: row.text("workflow")?,
        version: row.int("version")?,
        status: RunStatus::from_name(&status).ok_or_else(|| StoreError::Corrupt(format!("run status {status}")))?,
        started_by: row.text("started_by")?,
        actor: serde_json::from_value::<Actor>(row.json("actor")?).map_err(corrupt("actor"))?,
        origin: row.opt_text("origin")?,
        key: row.opt_text("run_key")?,
        started_at,
        finished_at,
        duration_ms: finished_at.unwrap_or_else(plenum_store::now_ms) - started_at,
        input: json(row, "input")?,
        output: json(row, "output")?,
        error: (!error.is_null()).then_some(error),
        waiting: serde_json::from_value(json(row, "waiting")?).map_err(corrupt("waiting"))?,
        tasks: Vec::new(),
        task_count: row.int("task_count")?,
        can_go_on: row.int("can_go_on")? == 1,
    })
}

pub(crate) fn task(row: &Row) -> Result<Task, StoreError> {
    serde_json::from_str(&row.text("record")?).map_err(corrupt("task"))
}

pub(crate) async fn put_task(tx: &mut Tx, run: &str, task: &Task) -> Result<(), StoreError> {
    let record = serde_json::to_string(task).map_err(corrupt("task"))?;
    tx.execute(
        "INSERT INTO workflow_tasks (run_id, id, record) VALUES (?, ?, ?) ON CONFLICT (run_id, id) DO UPDATE SET record = excluded.record",
        params![run, i64::try_from(task.id).unwrap_or(i64::MAX), record],
    )
    .await?;
    Ok(())
}

pub(crate) const DEFINITION: &str = "SELECT d.name, d.version, d.owner, d.title, d.summary, d.input_schema, d.created_at, d.updated_at, d.updated_by, v.source \
     FROM workflow_definitions d JOIN workflow_versions v ON v.name = d.name AND v.version = d.version";

pub(crate) fn definition(row: &Row) -> Result<Definition, StoreError> {
    let schema = json(row, "input_schema")?;
    Ok(Definition {
        name: row.text("name")?,
        version: row.int("version")?,
        owner: row.opt_text("owner")?,
        title: row.text("title")?,
        summary: row.opt_text("summary")?,
        source: row.text("source")?,
        input_schema: (!schema.is_null()).then_some(schema),
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        updated_by: row.text("updated_by")?,
    })
}

pub(crate) const SCHEDULE: &str = "SELECT id, name, owner, cron, timezone, target, input, enabled, actor, created_by, created_at, next_at, last_at, last_run, last_error FROM workflow_schedules";

pub(crate) fn schedule(row: &Row) -> Result<(Schedule, Actor), StoreError> {
    let owner = row.text("owner")?;
    let schedule = Schedule {
        id: row.text("id")?,
        spec: ScheduleSpec {
            name: row.text("name")?,
            cron: row.text("cron")?,
            timezone: row.text("timezone")?,
            target: serde_json::from_value::<Target>(row.json("target")?).map_err(corrupt("target"))?,
            input: json(row, "input")?,
            enabled: row.bool("enabled")?,
            owner_plugin: (!owner.is_empty()).then_some(owner),
        },
        created_by: row.text("created_by")?,
        created_at: row.int("created_at")?,
        next_at: row.opt_int("next_at")?,
        last_at: row.opt_int("last_at")?,
        last_run: row.opt_text("last_run")?,
        last_error: row.opt_text("last_error")?,
    };
    Ok((schedule, serde_json::from_value(row.json("actor")?).map_err(corrupt("actor"))?))
}

/// A pattern for `LIKE .. ESCAPE '\'` that finds `text` anywhere.
pub(crate) fn like(text: &str) -> String {
    let mut out = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('%');
    out
}
