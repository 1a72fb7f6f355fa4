//! Figures over the runs of a span of time: how they ended, how long they took, why they failed, what was slow.

use std::collections::BTreeMap;

use plenum_access::Principal;
use plenum_store::{Dialect, Row, StoreError, Value as Sql};
use serde_json::Value;

use crate::error::WorkflowError;
use crate::model::RunStatus;
use crate::service::{Cond, Workflows};

/// The longest span.
pub const MAX_SPAN_MS: i64 = 92 * 86_400_000;
/// Runs that are counted, the newest: the answer stays quick whatever has run.
const MAX_RUNS: i64 = 20_000;
/// Runs whose tasks are looked at, the newest, and their tasks.
const MAX_TASK_RUNS: i64 = 300;
const MAX_TASKS: i64 = 20_000;
/// Rows of each table.
const TOP: usize = 20;
const BUCKETS: i64 = 48;

/// Of which runs.
#[derive(Debug, Clone)]
pub struct StatsQuery {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// Started at this time or later.
    pub from: i64,
    /// Started before.
    pub to: i64,
}

/// How long things took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// Half took no longer.
    pub p50: i64,
    /// 90 of 100 took no longer.
    pub p90: i64,
    /// 95 of 100.
    pub p95: i64,
    /// 99 of 100.
    pub p99: i64,
    /// The longest.
    pub max: i64,
}

/// How things went in one part of the span.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// Where it begins.
    pub at: i64,
    /// Runs that started then and succeeded.
    pub succeeded: i64,
    /// Failed.
    pub failed: i64,
    /// Cancelled, or not at their end.
    pub others: i64,
    /// The median duration of those that succeeded.
    pub p50: Option<i64>,
}

/// Runs of one workflow.
#[derive(Debug, Clone)]
pub struct WorkflowFigures {
    /// Its name.
    pub workflow: String,
    /// Runs.
    pub runs: i64,
    /// Of them failed.
    pub failed: i64,
    /// Durations of those that succeeded.
    pub durations: Option<Spread>,
}

/// Why runs failed.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The workflow.
    pub workflow: String,
    /// The error's type.
    pub kind: String,
    /// Its title.
    pub title: String,
    /// Pointer of the task that failed.
    pub instance: String,
    /// How often.
    pub runs: i64,
    /// The newest run that failed so.
    pub last_run: String,
    /// When that started.
    pub last_at: i64,
}

/// Executions of one task.
#[derive(Debug, Clone)]
pub struct TaskFigures {
    /// The workflow.
    pub workflow: String,
    /// Pointer of the task.
    pub pointer: String,
    /// Its name.
    pub name: String,
    /// What it calls, else its kind.
    pub what: String,
    /// Executions that ended.
    pub count: i64,
    /// Of them failed.
    pub failed: i64,
    /// Their durations.
    pub durations: Spread,
    /// All of them together.
    pub total: i64,
}

/// The figures.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Runs that were counted.
    pub runs: i64,
    /// There were more; the newest are counted.
    pub more: bool,
    /// By state.
    pub by_status: Vec<(RunStatus, i64)>,
    /// Durations of those that succeeded.
    pub durations: Option<Spread>,
    /// Over time.
    pub buckets: Vec<Bucket>,
    /// The busiest workflows.
    pub workflows: Vec<WorkflowFigures>,
    /// The most frequent causes of failure.
    pub causes: Vec<Cause>,
    /// The tasks that took the most time, over the newest runs.
    pub tasks: Vec<TaskFigures>,
    /// Runs whose tasks were looked at.
    pub task_runs: i64,
}

/// By nearest rank.
fn spread(mut all: Vec<i64>) -> Option<Spread> {
    all.sort_unstable();
    let max = *all.last()?;
    let rank = |p: usize| all.get((all.len() * p).div_ceil(100).saturating_sub(1)).copied().unwrap_or(max);
    Some(Spread { p50: rank(50), p90: rank(90), p95: rank(95), p99: rank(99), max })
}

/// The smallest id that a run begun at `ms` can have: ids begin with the time, so the key's own index bounds the span.
fn id_at(ms: i64) -> String {
    let ms = ms.clamp(0, (1 << 48) - 1);
    format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff)
}

#[derive(Default)]
struct Tally {
    runs: i64,
    failed: i64,
    durations: Vec<i64>,
}

impl Workflows {
    /// Figures of the runs that `who` may see.
    pub async fn statistics(&self, who: &Principal, query: &StatsQuery) -> Result<Stats, WorkflowError> {
        let wrong = |field, message: &str| Err(WorkflowError::Argument { field, message: message.to_owned() });
        if query.from >= query.to {
            return wrong("from", "it has to be before `to`");
        }
        if query.to - query.from > MAX_SPAN_MS {
            return wrong("from", "the span is at most 92 days; ask for a shorter one");
        }
        let mut cond = Cond::default();
        if let Some(prefix) = self.visible(who).await? {
            cond.prefix("workflow", &prefix);
        }
        if let Some(w) = &query.workflow {
            cond.add("workflow = ?", vec![w.into()]);
        }
        cond.add("id >= ? AND id < ?", vec![id_at(query.from).into(), id_at(query.to).into()]);
        let mut values = cond.values.clone();
        values.push((MAX_RUNS + 1).into());
        let sql = format!(
            "SELECT id, workflow, status, started_at, finished_at, CASE WHEN status = 'failed' THEN error END AS error FROM workflow_runs{} ORDER BY id DESC LIMIT ?",
            cond.sql()
        );
        let mut rows = self.engine.db.fetch_all(&sql, &values).await?;
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > MAX_RUNS;
        rows.truncate(usize::try_from(MAX_RUNS).unwrap_or(usize::MAX));
        let mut stats = count(&rows, query)?;
        stats.more = more;
        (stats.tasks, stats.task_runs) = self.slowest(&cond).await?;
        Ok(stats)
    }

    async fn slowest(&self, cond: &Cond) -> Result<(Vec<TaskFigures>, i64), WorkflowError> {
        let field = |name: &str| match self.engine.db.dialect() {
            Dialect::Sqlite => format!("json_extract(t.record, '$.{name}')"),
            Dialect::Postgres => format!("t.record::json ->> '{name}'"),
        };
        let time = |name: &str| format!("CAST({} AS BIGINT)", field(name));
        let sql = format!(
            "SELECT t.run_id, r.workflow, {} AS pointer, {} AS name, {} AS kind, {} AS action, {} AS status, {} AS started_at, {} AS finished_at
             FROM (SELECT id, workflow FROM workflow_runs{} ORDER BY id DESC LIMIT ?) r JOIN workflow_tasks t ON t.run_id = r.id LIMIT ?",
            field("pointer"),
            field("name"),
            field("kind"),
            field("action"),
            field("status"),
            time("started_at"),
            time("finished_at"),
            cond.sql()
        );
        let mut values: Vec<Sql> = cond.values.clone();
        values.extend([MAX_TASK_RUNS.into(), MAX_TASKS.into()]);
        let rows = self.engine.db.fetch_all(&sql, &values).await?;
        let mut runs = std::collections::BTreeSet::new();
        let mut all: BTreeMap<(String, String), (String, String, Tally)> = BTreeMap::new();
        for r in &rows {
            runs.insert(r.text("run_id")?);
            let kind = r.text("kind")?;
            // What contains others takes as long as they do.
            let (Some(finished), false) = (r.opt_int("finished_at")?, ["do", "for", "fork", "try"].contains(&kind.as_str())) else {
                continue;
            };
            let status = r.text("status")?;
            if status == "skipped" {
                continue;
            }
            let entry = all.entry((r.text("workflow")?, r.text("pointer")?)).or_default();
            entry.0 = r.text("name")?;
            entry.1 = r.opt_text("action")?.unwrap_or(kind);
            entry.2.runs += 1;
            entry.2.failed += i64::from(status == "failed");
            entry.2.durations.push((finished - r.int("started_at")?).max(0));
        }
        let mut tasks: Vec<TaskFigures> = all
            .into_iter()
            .filter_map(|((workflow, pointer), (name, what, t))| {
                let total = t.durations.iter().sum();
                Some(TaskFigures { workflow, pointer, name, what, count: t.runs, failed: t.failed, total, durations: spread(t.durations)? })
            })
            .collect();
        tasks.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.pointer.cmp(&b.pointer)));
        tasks.truncate(TOP);
        Ok((tasks, i64::try_from(runs.len()).unwrap_or(i64::MAX)))
    }
}

fn count(rows: &[Row], query: &StatsQuery) -> Result<Stats, StoreError> {
    let width = ((query.to - query.from) / BUCKETS).max(1);
    let mut buckets: Vec<(Bucket, Vec<i64>)> =
        (0..BUCKETS).map(|i| (Bucket { at: query.from + i * width, ..Bucket::default() }, Vec::new())).collect();
    let mut by_status: BTreeMap<&'static str, (RunStatus, i64)> = BTreeMap::new();
    let mut workflows: BTreeMap<String, Tally> = BTreeMap::new();
    let mut causes: BTreeMap<(String, String, String, String), Cause> = BTreeMap::new();
    let mut durations = Vec::new();
    for r in rows {
        let (id, workflow, started_at) = (r.text("id")?, r.text("workflow")?, r.int("started_at")?);
        let status = r.text("status")?;
        let status = RunStatus::from_name(&status).ok_or_else(|| StoreError::Corrupt(format!("run status {status}")))?;
        by_status.entry(status.name()).or_insert((status, 0)).1 += 1;
        let tally = workflows.entry(workflow.clone()).or_default();
        tally.runs += 1;
        let index = usize::try_from(((started_at - query.from) / width).clamp(0, BUCKETS - 1)).unwrap_or(0);
        let bucket = buckets.get_mut(index);
        match status {
            RunStatus::Succeeded => {
                let took = (r.opt_int("finished_at")?.unwrap_or(started_at) - started_at).max(0);
                durations.push(took);
                tally.durations.push(took);
                if let Some((b, all)) = bucket {
                    b.succeeded += 1;
                    all.push(took);
                }
            }
            RunStatus::Failed => {
                tally.failed += 1;
                if let Some((b, _)) = bucket {
                    b.failed += 1;
                }
                let error: Value = r.opt_text("error")?.and_then(|e| serde_json::from_str(&e).ok()).unwrap_or_default();
                let text = |key: &str| crate::expr::shorten(error.get(key).and_then(Value::as_str).unwrap_or_default(), 300);
                let (kind, title, instance) = (text("type"), text("title"), text("instance"));
                causes
                    .entry((workflow.clone(), kind.clone(), title.clone(), instance.clone()))
                    // The newest comes first.
                    .or_insert(Cause { workflow, kind, title, instance, runs: 0, last_run: id, last_at: started_at })
                    .runs += 1;
            }
            _ => {
                if let Some((b, _)) = bucket {
                    b.others += 1;
                }
            }
        }
    }
    let mut workflows: Vec<WorkflowFigures> = workflows
        .into_iter()
        .map(|(workflow, t)| WorkflowFigures { workflow, runs: t.runs, failed: t.failed, durations: spread(t.durations) })
        .collect();
    workflows.sort_by(|a, b| b.runs.cmp(&a.runs).then_with(|| a.workflow.cmp(&b.workflow)));
    workflows.truncate(TOP);
    let mut causes: Vec<Cause> = causes.into_values().collect();
    causes.sort_by(|a, b| b.runs.cmp(&a.runs).then_with(|| b.last_at.cmp(&a.last_at)));
    causes.truncate(TOP);
    Ok(Stats {
        runs: i64::try_from(rows.len()).unwrap_or(i64::MAX),
        more: false,
        by_status: by_status.into_values().collect(),
        durations: spread(durations),
        buckets: buckets.into_iter().map(|(b, all)| Bucket { p50: spread(all).map(|s| s.p50), ..b }).collect(),
        workflows,
        causes,
        tasks: Vec::new(),
        task_runs: 0,
    })
}
