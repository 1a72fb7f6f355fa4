//! The actions of the workflow `inspect`: plan → for each batch (batch → job → grade) → finish.
//!
//! Each may be called again after a crash, with the same input, and must come to the same end. So everything it writes has an id that follows from
//! its input (report, place), a batch or a report that is complete is left as it is, and what a report adds up to is summed from its
//! batches at the end and never counted up.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::check::driver::{DriverOptions, script};
use crate::check::grade;
use crate::check::score::Counts;
use crate::check::template::{Template, Text};
use crate::check::{adjust, diff, frame};
use crate::error::Failure;
use crate::inspections::{self, cel, label, text};
use crate::model::{Asked, Batch, Plan, Report, ReportStatus, Target, TargetEvidence, TargetState, Totals, collection};
use crate::ports::{Instance, NodeResult, Platform, Query};
use crate::{catalog, reports};

/// Targets in one job: enough to keep agents busy, few enough that one call grades them within its limits.
pub const BATCH: usize = 100;
/// More than this is a mistake in a filter, or needs several inspections.
pub const MAX_TARGETS: usize = 20_000;
/// Output kept of one target's script; the driver's own limits stay below it.
const OUTPUT_LIMIT: u64 = 4 * 1024 * 1024;

/// What `plan` is given.
#[derive(Debug, Deserialize)]
pub struct PlanInput {
    /// Which inspection.
    pub inspection: String,
    /// The report that waits for it; none when a schedule started the run.
    #[serde(default)]
    pub report: Option<String>,
    /// The workflow run.
    pub run: String,
}

/// What `plan` answers.
#[derive(Debug, Serialize)]
pub struct PlanOutput {
    /// The report.
    pub report: String,
    /// The batches that have somebody to ask.
    pub batches: Vec<u32>,
    /// All targets.
    pub targets: usize,
}

/// Finds the targets, freezes the templates, makes the batches.
pub fn plan(platform: &impl Platform, input: &PlanInput) -> Result<PlanOutput, Failure> {
    let inspection = inspections::get(platform, &input.inspection)?;
    // A scheduled run has no report yet; its id follows from the run, so that a second try finds the first one's.
    let id = input.report.clone().unwrap_or_else(|| format!("r-{}", input.run));
    let mut report = match platform.get(collection::REPORTS, &id)? {
        Some(doc) => serde_json::from_value::<Report>(doc.data)?,
        None => reports::new_report(platform, &inspection, "schedule", "")?,
    };
    report.run = Some(input.run.clone());
    if report.status.is_over() || report.batches.is_some() {
        return planned(platform, &id);
    }
    let mut index = 0_u32;
    let mut batches: Vec<Batch> = Vec::new();
    let mut problems = Vec::new();
    let mut records = Vec::new();
    for (at, item) in inspection.inspection.items.iter().enumerate() {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let template = match catalog::get(platform, &item.template) {
            Ok(entry) => adjust::apply(&entry.template, &item.overrides),
            Err(failure) if failure.status < 500 => {
                problems
                    .push(Text::new(format!("{}: {}", item.template, failure.detail), format!("{}：{}", item.template, failure.detail)));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let instances = match targets(platform, &template, &item.filter) {
            Ok(instances) => instances,
            Err(failure) if failure.status < 500 => {
                problems.push(Text::new(
                    format!("{}: {}", template.title.en, failure.detail),
                    format!("{}：{}", template.title.get("zh"), failure.detail),
                ));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let states = node_states(platform, &template.model, &instances)?;
        let asked = instances.iter().map(|instance| {
            index += 1;
            asked(index - 1, &template.model, instance, &states)
        });
        for targets in deal(asked.collect()) {
            batches.push(Batch {
                report: id.clone(),
                index: u32::try_from(batches.len()).unwrap_or(u32::MAX),
                plan: at,
                targets,
                execution: None,
                graded: false,
                totals: Totals::default(),
            });
        }
        let plan = Plan { report: id.clone(), index: at, template, nonce: platform.random_id(), filter: item.filter.clone() };
        records.push((collection::PLANS, part(&id, at), serde_json::to_value(plan)?));
    }
    for batch in &batches {
        records.push((collection::BATCHES, part(&id, batch.index), serde_json::to_value(batch)?));
    }
    for chunk in chunks(records, 50) {
        platform.put_many(chunk)?;
    }
    report.status = ReportStatus::Running;
    report.previous = reports::last_finished(platform, &input.inspection, &id)?;
    report.problems = problems;
    report.batches = Some(u32::try_from(batches.len()).unwrap_or(u32::MAX));
    report.totals.targets.total = index;
    // Somebody may have stopped it while the targets were looked up.
    if platform
        .get(collection::REPORTS, &id)?
        .map(|doc| serde_json::from_value::<Report>(doc.data))
        .transpose()?
        .is_some_and(|now| now.status.is_over())
    {
        return planned(platform, &id);
    }
    // Last, so that a report that knows its batches has them all.
    platform.put(collection::REPORTS, &id, serde_json::to_value(&report)?, None)?;
    reports::remember(platform, &input.inspection, &id)?;
    planned(platform, &id)
}

fn planned(platform: &impl Platform, id: &str) -> Result<PlanOutput, Failure> {
    let mut batches = Vec::new();
    let mut targets = 0;
    for batch in all_batches(platform, id)? {
        targets += batch.targets.len();
        batches.push(batch.index);
    }
    Ok(PlanOutput { report: id.to_owned(), batches, targets })
}

fn targets(platform: &impl Platform, template: &Template, filter: &str) -> Result<Vec<Instance>, Failure> {
    let mut out: Vec<Instance> = Vec::new();
    let mut cursor = None;
    loop {
        let page = platform.cmdb(&template.model, filter, cursor, 500)?;
        out.extend(page.items);
        if out.len() > MAX_TARGETS {
            return Err(Failure::new(
                422,
                "inspection.too_many_targets",
                format!("the filter matches more than {MAX_TARGETS} targets: make several inspections"),
            ));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(out);
        }
    }
}

/// Whether the nodes behind instances are connected, as the CMDB's hosts know it.
pub fn node_states(platform: &impl Platform, model: &str, instances: &[Instance]) -> Result<BTreeMap<String, String>, Failure> {
    let mut out = BTreeMap::new();
    if model == "host" {
        for instance in instances {
            out.insert(text(instance, "node_id"), text(instance, "status"));
        }
        return Ok(out);
    }
    let nodes: BTreeSet<String> = instances.iter().map(|instance| text(instance, "node_id")).filter(|node| !node.is_empty()).collect();
    let nodes: Vec<String> = nodes.into_iter().collect();
    for chunk in nodes.chunks(100) {
        let list = chunk.iter().map(|node| cel(node)).collect::<Vec<_>>().join(", ");
        for host in platform.cmdb("host", &format!("node_id in [{list}]"), None, 100)?.items {
            out.insert(text(&host, "node_id"), text(&host, "status"));
        }
    }
    Ok(out)
}

fn asked(index: u32, model: &str, instance: &Instance, states: &BTreeMap<String, String>) -> Asked {
    let node = Some(text(instance, "node_id")).filter(|node| !node.is_empty());
    let not_asked = match &node {
        None => Some(TargetState::NoAgent),
        Some(node) if states.get(node).is_some_and(|state| state == "offline") => Some(TargetState::Offline),
        Some(_) => None,
    };
    let mut env = Map::new();
    if model != "host" {
        for (name, attribute) in [
            ("PLENUM_PORT", "port"),
            ("PLENUM_ADDRESS", "address"),
            ("PLENUM_SOCKET", "socket"),
            ("PLENUM_DATA_DIR", "data_dir"),
            ("PLENUM_CONFIG_FILE", "config_file"),
            ("PLENUM_OS_USER", "os_user"),
            ("PLENUM_PID", "pid"),
        ] {
            let value = text(instance, attribute);
            if !value.is_empty() {
                env.insert(name.to_owned(), Value::String(value));
            }
        }
    }
    Asked { index, instance: instance.id.clone(), label: label(instance), node, env, not_asked }
}

/// Deals targets out to batches. A job knows its results by node, so two targets on one node (two servers on one machine) never share one.
fn deal(targets: Vec<Asked>) -> Vec<Vec<Asked>> {
    let mut out: Vec<(Vec<Asked>, BTreeSet<String>)> = Vec::new();
    for target in targets {
        let fits = |(batch, nodes): &(Vec<Asked>, BTreeSet<String>)| {
            batch.len() < BATCH && target.node.as_ref().is_none_or(|node| !nodes.contains(node))
        };
        let at = match out.iter().position(fits) {
            Some(at) => at,
            None => {
                out.push((Vec::new(), BTreeSet::new()));
                out.len() - 1
            }
        };
        if let Some((batch, nodes)) = out.get_mut(at) {
            nodes.extend(target.node.clone());
            batch.push(target);
        }
    }
    out.into_iter().map(|(batch, _)| batch).collect()
}

/// What `batch` and `grade` are given.
#[derive(Debug, Deserialize)]
pub struct BatchInput {
    /// The report.
    pub report: String,
    /// The batch's place.
    pub batch: u32,
    /// The job that asked; none when it could not be started.
    #[serde(default)]
    pub execution: Option<String>,
    /// Why it could not.
    #[serde(default)]
    pub error: Option<Value>,
}

/// The request of the job that asks a batch. `run` is false when there is nobody to ask.
pub fn batch(platform: &impl Platform, input: &BatchInput) -> Result<Value, Failure> {
    let batch = load_batch(platform, &input.report, input.batch)?;
    let plan = load_plan(platform, &input.report, batch.plan)?;
    let report = reports::get(platform, &input.report)?;
    let nodes: Vec<Value> = batch
        .targets
        .iter()
        .filter(|target| target.not_asked.is_none())
        .filter_map(|target| Some(json!({ "node_id": target.node.as_ref()?, "env": target.env })))
        .collect();
    let options = DriverOptions::new(&plan.nonce);
    Ok(json!({
        "run": !nodes.is_empty() && !plan.template.checks.is_empty(),
        "name": format!("{} · {}", report.name, plan.template.title.en),
        "script": { "language": "bash", "content": script(&plan.template, &options) },
        "targets": { "nodes": nodes },
        "timeout_s": options.job_timeout_s(&plan.template),
        // An agent that is away is reported, not waited for: an inspection is about now.
        "wait_s": 15,
        "concurrency": BATCH,
        "output_limit": OUTPUT_LIMIT,
    }))
}

/// What `grade` answers.
#[derive(Debug, Serialize)]
pub struct GradeOutput {
    /// The batch's place.
    pub batch: u32,
    /// Its targets.
    pub targets: u32,
    /// Those that answered.
    pub inspected: u32,
    /// What was found.
    pub counts: Counts,
}

/// Reads a batch's answers, judges them, compares them with the last time, stores them.
pub fn grade(platform: &impl Platform, input: &BatchInput) -> Result<GradeOutput, Failure> {
    let mut batch = load_batch(platform, &input.report, input.batch)?;
    if !batch.graded {
        let plan = load_plan(platform, &input.report, batch.plan)?;
        let report = reports::get(platform, &input.report)?;
        let mut answers = BTreeMap::new();
        if let Some(execution) = &input.execution {
            let mut cursor = None;
            loop {
                let page = platform.job_results(execution, cursor, 200)?;
                answers.extend(page.items.into_iter().map(|result| (result.node_id.clone(), result)));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
        }
        let refused = input.error.as_ref().map(words);
        let mut totals = Totals::default();
        for chunk in batch.targets.chunks(25) {
            let before = last_time(platform, report.previous.as_deref(), &plan.template, chunk)?;
            let mut records = Vec::with_capacity(chunk.len() * 2);
            for asked in chunk {
                let answer = asked.node.as_ref().and_then(|node| answers.get(node));
                let (mut target, evidence) = judge(platform, &plan, input, asked, answer, refused.as_deref())?;
                // A target that could not be asked proves nothing about what was found on it.
                if let (TargetState::Inspected, Some(before)) = (target.state, before.get(&target.key)) {
                    target.changes = diff::compare(before, &target.results);
                }
                totals.push(&target);
                let id = part(&input.report, asked.index);
                records.push((collection::EVIDENCE, id.clone(), serde_json::to_value(evidence)?));
                records.push((collection::TARGETS, id, serde_json::to_value(target)?));
            }
            platform.put_many(records)?;
        }
        batch.totals = totals;
        batch.graded = true;
        batch.execution.clone_from(&input.execution);
        platform.put(collection::BATCHES, &part(&input.report, batch.index), serde_json::to_value(&batch)?, None)?;
    }
    Ok(GradeOutput {
        batch: batch.index,
        targets: batch.totals.targets.total,
        inspected: batch.totals.targets.inspected,
        counts: batch.totals.counts,
    })
}

fn judge(
    platform: &impl Platform,
    plan: &Plan,
    input: &BatchInput,
    asked: &Asked,
    answer: Option<&NodeResult>,
    refused: Option<&str>,
) -> Result<(Target, TargetEvidence), Failure> {
    let mut results = Vec::new();
    let mut evidence = Vec::new();
    let mut duration_ms = 0;
    let failed = |state, en: String, zh: String| (state, Text::new(en, zh));
    let (state, reason) = match (asked.not_asked, answer) {
        (Some(TargetState::NoAgent), _) => failed(
            TargetState::NoAgent,
            "no agent is known for it: enrol one on its machine".into(),
            "没有关联的代理：请先在该主机上注册代理".into(),
        ),
        (Some(state), _) => failed(state, "its agent was not connected when the inspection began".into(), "巡检开始时代理未连接".into()),
        (None, None) => {
            let why = refused.unwrap_or("the job has no result for it");
            failed(TargetState::Failed, format!("it was not asked: {why}"), format!("未能执行：{why}"))
        }
        (None, Some(answer)) => {
            let why = answer.reason.clone().unwrap_or_default();
            match answer.status.as_str() {
                "succeeded" | "failed" => {
                    let output = match &input.execution {
                        Some(execution) => platform.job_output(execution, &answer.node_id, OUTPUT_LIMIT)?,
                        None => String::new(),
                    };
                    match frame::read(&output, &plan.nonce) {
                        Ok(answer) => {
                            duration_ms = answer.duration_ms;
                            (results, evidence) = grade::target(&plan.template, &answer);
                            (TargetState::Inspected, Text::default())
                        }
                        Err(message) => {
                            let code = answer.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
                            let more = if why.is_empty() { String::new() } else { format!("; {why}") };
                            failed(TargetState::Failed, format!("{message}{code}{more}"), format!("{message}{code}{more}"))
                        }
                    }
                }
                "timed_out" => failed(TargetState::TimedOut, format!("the script did not end in time {why}"), format!("脚本超时 {why}")),
                "cancelled" => failed(TargetState::Cancelled, "it was stopped".into(), "已被取消".into()),
                "waiting" | "pending" => {
                    failed(TargetState::Offline, format!("its agent did not take the job {why}"), format!("代理未领取任务 {why}"))
                }
                "lost" => {
                    failed(TargetState::Failed, format!("its agent was lost while it ran {why}"), format!("执行过程中代理失联 {why}"))
                }
                "rejected" => failed(TargetState::Failed, format!("its agent refused the job {why}"), format!("代理拒绝执行 {why}")),
                other => failed(TargetState::Failed, format!("the job left it {other} {why}"), format!("任务状态为 {other} {why}")),
            }
        }
    };
    let counts = Counts::of(&results);
    let target = Target {
        report: input.report.clone(),
        index: asked.index,
        plan: plan.index,
        key: key(&plan.template, &asked.instance),
        model: plan.template.model.clone(),
        instance: asked.instance.clone(),
        node: asked.node.clone(),
        label: asked.label.clone(),
        state,
        reason: Text::new(reason.en.trim(), reason.zh.trim()),
        score: counts.score(),
        rank: Target::rank_of(state, &results),
        counts,
        results,
        changes: Vec::new(),
        duration_ms,
    };
    Ok((target, TargetEvidence { report: input.report.clone(), checks: evidence }))
}

fn key(template: &Template, instance: &str) -> String {
    format!("{}/{instance}", template.id)
}

/// What was found on the same targets in the report before.
fn last_time(
    platform: &impl Platform,
    previous: Option<&str>,
    template: &Template,
    targets: &[Asked],
) -> Result<BTreeMap<String, Vec<grade::CheckResult>>, Failure> {
    let mut out = BTreeMap::new();
    let Some(previous) = previous else { return Ok(out) };
    let keys = targets.iter().map(|target| cel(&key(template, &target.instance))).collect::<Vec<_>>().join(", ");
    let filter = format!("report == {} && key in [{keys}]", cel(previous));
    let page = platform.query(collection::TARGETS, &Query { filter, limit: 100, ..Query::default() })?;
    for doc in page.items {
        let target: Target = serde_json::from_value(doc.data)?;
        if target.state == TargetState::Inspected {
            out.insert(target.key, target.results);
        }
    }
    Ok(out)
}

/// What `finish` is given.
#[derive(Debug, Deserialize)]
pub struct FinishInput {
    /// The report.
    pub report: String,
}

/// Adds the batches up and closes the report.
pub fn finish(platform: &impl Platform, input: &FinishInput) -> Result<Value, Failure> {
    let mut report = reports::get(platform, &input.report)?;
    if !report.status.is_over() {
        reports::close(platform, &input.report, &mut report, ReportStatus::Finished)?;
        reports::retain(platform, &report.inspection)?;
    }
    Ok(json!({
        "report": input.report,
        "status": report.status,
        "score": report.totals.mean.value(),
        "targets": report.totals.targets,
        "counts": report.totals.counts,
        "changes": report.totals.changes,
    }))
}

/// Every batch of a report.
pub fn all_batches(platform: &impl Platform, report: &str) -> Result<Vec<Batch>, Failure> {
    let mut out: Vec<Batch> = Vec::new();
    let mut cursor = None;
    loop {
        let filter = format!("report == {}", cel(report));
        let page = platform.query(collection::BATCHES, &Query { filter, order: "index".into(), cursor, limit: 50 })?;
        for doc in page.items {
            out.push(serde_json::from_value(doc.data)?);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            out.sort_by_key(|batch| batch.index);
            return Ok(out);
        }
    }
}

/// The id of a part of a report.
pub fn part(report: &str, index: u32) -> String {
    format!("{report}.{index}")
}

fn load_batch(platform: &impl Platform, report: &str, index: u32) -> Result<Batch, Failure> {
    let id = part(report, index);
    let doc = platform.get(collection::BATCHES, &id)?.ok_or_else(|| Failure::missing("batch", &id))?;
    Ok(serde_json::from_value(doc.data)?)
}

/// A report's template.
pub fn load_plan(platform: &impl Platform, report: &str, index: u32) -> Result<Plan, Failure> {
    let id = part(report, index);
    let doc = platform.get(collection::PLANS, &id)?.ok_or_else(|| Failure::missing("plan", &id))?;
    Ok(serde_json::from_value(doc.data)?)
}

fn words(error: &Value) -> String {
    ["detail", "title", "message"]
        .iter()
        .find_map(|name| error.get(name).and_then(Value::as_str))
        .map(str::to_owned)
        .unwrap_or_else(|| error.as_str().map_or_else(|| error.to_string(), str::to_owned))
}

fn chunks<T>(mut items: Vec<T>, size: usize) -> Vec<Vec<T>> {
    let mut out = Vec::new();
    while items.len() > size {
        let rest = items.split_off(size);
        out.push(items);
        items = rest;
    }
    if !items.is_empty() {
        out.push(items);
    }
    out
}
