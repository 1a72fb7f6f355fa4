//! The actions of the workflow `inspect`: plan → for each wave (ask → job → for each of its batches: grade) → finish.
//!
//! Each may be called again after a crash, with the same input, and must come to the same end. So everything it writes has an id that follows from
//! its input (report, place), a batch or a report that is complete is left as it is, and what a report adds up to is summed from its
//! batches at the end and never counted up.

use std::collections::{BTreeMap, BTreeSet};

use plenum_sdk::cmdb::{self, Instance};
use plenum_sdk::jobs::{self, Script, Stream, TargetNode, TargetResult, Targets};
use plenum_sdk::store::Batch as Writes;
use plenum_sdk::{Error, Result, cel, random};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::check::driver::{DriverOptions, script};
use crate::check::grade;
use crate::check::score::Counts;
use crate::check::template::{Template, Text};
use crate::check::{adjust, diff, frame};
use crate::inspections::{self, label, text};
use crate::model::{
    Asked, BATCHES, Batch, EVIDENCE, PLANS, Plan, REPORTS, ReportStatus, TARGETS, Target, TargetEvidence, TargetState, Totals,
};
use crate::{catalog, missing, reports};

/// Targets that one job asks: all of a usual fleet at once, so that it takes as long as its slowest machine and not as the sum of many
/// jobs. Beyond that the first wave is graded before the next one asks, and a request stays far below what a call may hold.
pub const WAVE: usize = 1_000;
/// Targets that one call grades, well within its limits of time and memory.
pub const BATCH: usize = 100;
/// More than this is a mistake in a filter, or needs several inspections.
pub const MAX_TARGETS: usize = 20_000;
/// Output kept of one target's script; the driver's own limits stay below it.
const OUTPUT_LIMIT: u32 = 4 * 1024 * 1024;

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
    /// The waves, in order.
    pub waves: Vec<Wave>,
    /// All targets.
    pub targets: usize,
}

/// Targets that one job asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wave {
    /// Its place.
    pub wave: u32,
    /// The batches that it is graded in.
    pub batches: Vec<u32>,
}

/// Finds the targets, freezes the templates, makes the batches.
pub fn plan(input: PlanInput) -> Result<PlanOutput> {
    let inspection = inspections::get(&input.inspection)?;
    // A scheduled run has no report yet; its id follows from the run, so that a second try finds the first one's.
    let id = input.report.clone().unwrap_or_else(|| format!("r-{}", input.run));
    let mut report = match REPORTS.get(&id)? {
        Some(doc) => doc.data,
        None => reports::new_report(&inspection, "schedule", ""),
    };
    report.run = Some(input.run.clone());
    if report.status.is_over() || report.batches.is_some() {
        return planned(&id);
    }
    let mut index = 0_u32;
    let mut batches: Vec<Batch> = Vec::new();
    let mut problems = Vec::new();
    let mut plans = Vec::new();
    let mut waves = 0;
    for (at, item) in inspection.inspection.items.iter().enumerate() {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let template = match catalog::get(&item.template) {
            Ok(entry) => adjust::apply(&entry.template, &item.overrides),
            Err(failure) if failure.is_refusal() => {
                problems
                    .push(Text::new(format!("{}: {}", item.template, failure.message), format!("{}：{}", item.template, failure.message)));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let instances = match targets(&template, &item.filter) {
            Ok(instances) => instances,
            Err(failure) if failure.is_refusal() => {
                problems.push(Text::new(
                    format!("{}: {}", template.title.en, failure.message),
                    format!("{}：{}", template.title.get("zh"), failure.message),
                ));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let states = node_states(&template.model, &instances)?;
        let asked = instances.iter().map(|instance| {
            index += 1;
            asked(index - 1, &template.model, instance, &states)
        });
        for wave in deal(asked.collect()) {
            for targets in wave.chunks(BATCH) {
                batches.push(Batch {
                    report: id.clone(),
                    index: place(batches.len()),
                    plan: at,
                    wave: waves,
                    targets: targets.to_vec(),
                    execution: None,
                    graded: false,
                    totals: Totals::default(),
                });
            }
            waves += 1;
        }
        plans.push(Plan { report: id.clone(), index: at, template, nonce: random::id(), filter: item.filter.clone() });
    }
    for plan in &plans {
        PLANS.put(&part(&id, plan.index), plan)?;
    }
    for some in batches.chunks(10) {
        some.iter().try_fold(Writes::new(), |writes, batch| writes.put(&BATCHES, &part(&id, batch.index), batch))?.apply()?;
    }
    report.status = ReportStatus::Running;
    report.previous = reports::last_finished(&input.inspection, &id)?;
    report.problems = problems;
    report.batches = Some(place(batches.len()));
    report.totals.targets.total = index;
    // Somebody may have stopped it while the targets were looked up.
    if REPORTS.get(&id)?.is_some_and(|now| now.data.status.is_over()) {
        return planned(&id);
    }
    // Last, so that a report that knows its batches has them all.
    REPORTS.put(&id, &report)?;
    reports::remember(&input.inspection, &id)?;
    planned(&id)
}

fn planned(id: &str) -> Result<PlanOutput> {
    let mut waves: Vec<Wave> = Vec::new();
    let mut targets = 0;
    for batch in all_batches(id)? {
        targets += batch.targets.len();
        match waves.last_mut().filter(|last| last.wave == batch.wave) {
            Some(last) => last.batches.push(batch.index),
            None => waves.push(Wave { wave: batch.wave, batches: vec![batch.index] }),
        }
    }
    Ok(PlanOutput { report: id.to_owned(), waves, targets })
}

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn targets(template: &Template, filter: &str) -> Result<Vec<Instance>> {
    let mut query = cmdb::query(&template.model).filter(filter).limit(1000);
    let mut out: Vec<Instance> = Vec::new();
    loop {
        let page = query.page()?;
        out.extend(page.items);
        if out.len() > MAX_TARGETS {
            let message = format!("the filter matches more than {MAX_TARGETS} targets: make several inspections");
            return Err(Error::new(422, "inspection.too_many_targets", message));
        }
        if page.next_cursor.is_none() {
            return Ok(out);
        }
        query = query.cursor(page.next_cursor);
    }
}

/// Whether the nodes behind instances are connected, as the CMDB's hosts know it.
pub fn node_states(model: &str, instances: &[Instance]) -> Result<BTreeMap<String, String>> {
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
        let list = chunk.iter().map(cel).collect::<Vec<_>>().join(", ");
        for host in cmdb::query("host").filter(format!("node_id in [{list}]")).limit(100).page()?.items {
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
    let mut env = BTreeMap::new();
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
                env.insert(name.to_owned(), value);
            }
        }
    }
    Asked { index, instance: instance.id.clone(), label: label(instance), node, env, not_asked }
}

/// Deals targets out to waves. A job knows its results by node, so two targets on one node (two servers on one machine) never share one.
fn deal(targets: Vec<Asked>) -> Vec<Vec<Asked>> {
    let mut out: Vec<(Vec<Asked>, BTreeSet<String>)> = Vec::new();
    for target in targets {
        let fits = |(wave, nodes): &(Vec<Asked>, BTreeSet<String>)| {
            wave.len() < WAVE && target.node.as_ref().is_none_or(|node| !nodes.contains(node))
        };
        let at = match out.iter().position(fits) {
            Some(at) => at,
            None => {
                out.push((Vec::new(), BTreeSet::new()));
                out.len() - 1
            }
        };
        if let Some((wave, nodes)) = out.get_mut(at) {
            nodes.extend(target.node.clone());
            wave.push(target);
        }
    }
    out.into_iter().map(|(wave, _)| wave).collect()
}

/// What `ask` is given.
#[derive(Debug, Deserialize)]
pub struct AskInput {
    /// The report.
    pub report: String,
    /// The wave's place.
    pub wave: u32,
}

/// What `ask` answers: the request of a job.
#[derive(Debug, Serialize)]
pub struct AskOutput {
    /// Whether there is anybody to ask.
    pub run: bool,
    /// It.
    #[serde(flatten)]
    pub request: jobs::Request,
}

/// The request of the job that asks a wave.
pub fn ask(input: AskInput) -> Result<AskOutput> {
    let filter = format!("report == {} && wave == {}", cel(&input.report), input.wave);
    let batches = BATCHES.query().filter(filter).sort("index").all()?;
    let plan = batches.first().ok_or_else(|| missing("wave", &part(&input.report, input.wave)))?.data.plan;
    let plan = load_plan(&input.report, plan)?;
    let report = reports::get(&input.report)?;
    let asked = batches.iter().flat_map(|batch| &batch.data.targets).filter(|target| target.not_asked.is_none());
    let nodes: Vec<TargetNode> =
        asked.filter_map(|target| Some(TargetNode { node_id: target.node.clone()?, env: target.env.clone() })).collect();
    let options = DriverOptions::new(&plan.nonce);
    let request = jobs::Request::new(
        format!("{} · {}", report.name, plan.template.title.en),
        Script::bash(script(&plan.template, &options)),
        Targets { nodes, ..Targets::default() },
    )
    .timeout_s(options.job_timeout_s(&plan.template))
    // An agent that is away is reported, not waited for: an inspection is about now.
    .wait_s(15)
    .output_limit(u64::from(OUTPUT_LIMIT));
    Ok(AskOutput { run: !request.targets.nodes.is_empty() && !plan.template.checks.is_empty(), request })
}

/// What `grade` is given.
#[derive(Debug, Deserialize)]
pub struct GradeInput {
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
pub fn grade(input: GradeInput) -> Result<GradeOutput> {
    let mut batch = load_batch(&input.report, input.batch)?;
    if !batch.graded {
        let plan = load_plan(&input.report, batch.plan)?;
        let report = reports::get(&input.report)?;
        let mut answers = BTreeMap::new();
        if let Some(execution) = &input.execution {
            let nodes: BTreeSet<&str> = batch.targets.iter().filter_map(|target| target.node.as_deref()).collect();
            let of_batch = jobs::all_results(execution)?.into_iter().filter(|result| nodes.contains(result.node_id.as_str()));
            answers.extend(of_batch.map(|result| (result.node_id.clone(), result)));
        }
        let refused = input.error.as_ref().map(words);
        let mut totals = Totals::default();
        for chunk in batch.targets.chunks(25) {
            let before = last_time(report.previous.as_deref(), &plan.template, chunk)?;
            let mut records = Writes::new();
            for asked in chunk {
                let answer = asked.node.as_ref().and_then(|node| answers.get(node));
                let (mut target, evidence) = judge(&plan, &input, asked, answer, refused.as_deref())?;
                // A target that could not be asked proves nothing about what was found on it.
                if let (TargetState::Inspected, Some(before)) = (target.state, before.get(&target.key)) {
                    target.changes = diff::compare(before, &target.results);
                    target.changed = place(target.changes.len());
                }
                totals.push(&target);
                let id = part(&input.report, asked.index);
                records = records.put(&EVIDENCE, &id, &evidence)?.put(&TARGETS, &id, &target)?;
            }
            records.apply()?;
        }
        batch.totals = totals;
        batch.graded = true;
        batch.execution.clone_from(&input.execution);
        BATCHES.put(&part(&input.report, batch.index), &batch)?;
    }
    Ok(GradeOutput {
        batch: batch.index,
        targets: batch.totals.targets.total,
        inspected: batch.totals.targets.inspected,
        counts: batch.totals.counts,
    })
}

fn judge(
    plan: &Plan,
    input: &GradeInput,
    asked: &Asked,
    answer: Option<&TargetResult>,
    refused: Option<&str>,
) -> Result<(Target, TargetEvidence)> {
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
                        Some(execution) => jobs::output_text(execution, &answer.node_id, Stream::Stdout, OUTPUT_LIMIT as usize)?,
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
        found: Target::found_in(&results),
        results,
        changes: Vec::new(),
        changed: 0,
        duration_ms,
    };
    Ok((target, TargetEvidence { report: input.report.clone(), checks: evidence }))
}

fn key(template: &Template, instance: &str) -> String {
    format!("{}/{instance}", template.id)
}

/// What was found on the same targets in the report before.
fn last_time(previous: Option<&str>, template: &Template, targets: &[Asked]) -> Result<BTreeMap<String, Vec<grade::CheckResult>>> {
    let mut out = BTreeMap::new();
    let Some(previous) = previous else { return Ok(out) };
    let keys = targets.iter().map(|target| cel(key(template, &target.instance))).collect::<Vec<_>>().join(", ");
    let filter = format!("report == {} && key in [{keys}]", cel(previous));
    for doc in TARGETS.query().filter(filter).limit(100).page()?.items {
        if doc.data.state == TargetState::Inspected {
            out.insert(doc.data.key, doc.data.results);
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
pub fn finish(input: FinishInput) -> Result<Value> {
    let mut report = reports::get(&input.report)?;
    if !report.status.is_over() {
        reports::close(&input.report, &mut report, ReportStatus::Finished)?;
        reports::retain(&report.inspection)?;
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
pub fn all_batches(report: &str) -> Result<Vec<Batch>> {
    let all = BATCHES.query().filter(format!("report == {}", cel(report))).sort("index").all()?;
    Ok(all.into_iter().map(|doc| doc.data).collect())
}

/// The id of a part of a report.
pub fn part(report: &str, index: u32) -> String {
    format!("{report}.{index}")
}

fn load_batch(report: &str, index: u32) -> Result<Batch> {
    let id = part(report, index);
    Ok(BATCHES.get(&id)?.ok_or_else(|| missing("batch", &id))?.data)
}

/// A report's template.
pub fn load_plan(report: &str, index: u32) -> Result<Plan> {
    let id = part(report, index);
    Ok(PLANS.get(&id)?.ok_or_else(|| missing("plan", &id))?.data)
}

fn words(error: &Value) -> String {
    ["detail", "title", "message"]
        .iter()
        .find_map(|name| error.get(name).and_then(Value::as_str))
        .map(str::to_owned)
        .unwrap_or_else(|| error.as_str().map_or_else(|| error.to_string(), str::to_owned))
}
