//! Reports: starting one, following it, reading it, comparing it over time, keeping and deleting it.

use std::collections::BTreeMap;

use plenum_sdk::store::Document;
use plenum_sdk::{Error, Page, Result, Timestamp, cel, clock, jobs, random, workflow};
use serde::Serialize;
use serde_json::{Value, json};

use crate::check::diff::Changed;
use crate::check::grade::CheckResult;
use crate::check::score::Counts;
use crate::check::template::Text;
use crate::inspections::{self, Listed, WORKFLOW};
use crate::model::{BATCHES, EVIDENCE, INSPECTIONS, PLANS, Plan, REPORTS, Report, ReportStatus, TARGETS, Target, TargetEvidence, Totals};
use crate::{flow, missing};

/// A report with its id and the numbers that a list shows.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// 0 to 100.
    pub score: Option<u64>,
    /// It, without the numbers for each check.
    #[serde(flatten)]
    pub report: Report,
}

fn summary(id: String, mut report: Report) -> Summary {
    report.totals.checks.clear();
    Summary { id, score: report.totals.mean.value(), report }
}

/// A report.
pub fn get(id: &str) -> Result<Report> {
    Ok(REPORTS.get(id)?.ok_or_else(|| missing("report", id))?.data)
}

/// A report that has just been asked for.
pub fn new_report(inspection: &Listed, trigger: &str, who: &str) -> Report {
    Report {
        inspection: inspection.id.clone(),
        name: inspection.inspection.name.clone(),
        trigger: trigger.to_owned(),
        started_by: who.to_owned(),
        run: None,
        status: ReportStatus::Queued,
        created_at: clock::now(),
        finished_at: None,
        previous: None,
        batches: None,
        problems: Vec::new(),
        totals: Totals::default(),
    }
}

/// Starts an inspection. The report is there at once, so that the page has something to follow.
pub fn run(who: &str, id: &str) -> Result<Summary> {
    let inspection = inspections::get(id)?;
    let report_id = random::id().chars().take(20).collect::<String>();
    let mut report = new_report(&inspection, "manual", who);
    REPORTS.insert(&report_id, &report)?;
    match workflow::start(WORKFLOW, &json!({ "inspection": id, "report": report_id }), Some(&report_id)) {
        Ok(run) => {
            // The plan may have been faster than this line: only the run's name is added to what is there now.
            if let Some(doc) = REPORTS.get(&report_id)? {
                report = doc.data;
                if report.run.is_none() {
                    report.run = Some(run.id);
                    // Losing the race is fine: the plan writes the run's name itself.
                    let _ = REPORTS.replace(&report_id, doc.version, &report);
                }
            }
            remember(id, &report_id)?;
            Ok(summary(report_id, report))
        }
        Err(failure) => {
            REPORTS.delete(&report_id)?;
            Err(failure)
        }
    }
}

/// Notes an inspection's newest report.
pub fn remember(inspection: &str, report: &str) -> Result<()> {
    for _ in 0..3 {
        let Some(doc) = INSPECTIONS.get(inspection)? else { return Ok(()) };
        let mut data = doc.data;
        if data.last_report.as_deref() == Some(report) {
            return Ok(());
        }
        data.last_report = Some(report.to_owned());
        match INSPECTIONS.replace(inspection, doc.version, &data) {
            Ok(_) => return Ok(()),
            // Somebody edited it meanwhile: read again.
            Err(failure) if failure.status == 409 || failure.status == 412 => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// The report that a new one is compared with.
pub fn last_finished(inspection: &str, not: &str) -> Result<Option<String>> {
    let filter = format!("inspection == {} && status == \"finished\"", cel(inspection));
    let page = REPORTS.query().filter(filter).sort("-created_at").limit(2).page()?;
    Ok(page.items.into_iter().map(|doc| doc.id).find(|id| id != not))
}

/// A page of reports, newest first.
pub fn list(inspection: Option<&str>, cursor: Option<String>, limit: u32) -> Result<Page<Summary>> {
    let filter = inspection.map(|id| format!("inspection == {}", cel(id))).unwrap_or_default();
    let page = REPORTS.query().filter(filter).sort("-created_at").cursor(cursor).limit(limit).page()?;
    let items = page.items.into_iter().map(|doc| summary(doc.id, doc.data)).collect();
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// One point of the trend.
#[derive(Debug, Serialize)]
pub struct Point {
    /// The report.
    pub id: String,
    /// When it was started.
    pub at: Timestamp,
    /// 0 to 100.
    pub score: Option<u64>,
    /// Checks by how they ended.
    pub counts: Counts,
    /// Targets that were inspected, of all.
    pub targets: (u32, u32),
}

/// The last finished reports of an inspection, oldest first.
pub fn trend(inspection: &str, limit: u32) -> Result<Vec<Point>> {
    let filter = format!("inspection == {} && status == \"finished\"", cel(inspection));
    let page = REPORTS.query().filter(filter).sort("-created_at").limit(limit).page()?;
    let point = |doc: Document<Report>| Point {
        id: doc.id,
        at: doc.data.created_at,
        score: doc.data.totals.mean.value(),
        counts: doc.data.totals.counts,
        targets: (doc.data.totals.targets.inspected, doc.data.totals.targets.total),
    };
    Ok(page.items.into_iter().rev().map(point).collect())
}

/// A report with everything but its targets.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// Its id.
    pub id: String,
    /// 0 to 100.
    pub score: Option<u64>,
    /// It.
    #[serde(flatten)]
    pub report: Report,
    /// The templates as they were, without commands.
    pub plans: Vec<Value>,
}

/// A report with everything but its targets. One whose workflow died without a word is closed here, so that it cannot seem to run for ever.
pub fn detail(id: &str) -> Result<Detail> {
    let mut report = get(id)?;
    settle(id, &mut report)?;
    let plans = plans(id)?.iter().map(plan_json).collect::<Result<_, _>>()?;
    Ok(Detail { id: id.to_owned(), score: report.totals.mean.value(), report, plans })
}

/// A report's templates.
pub fn plans(id: &str) -> Result<Vec<Plan>> {
    let page = PLANS.query().filter(format!("report == {}", cel(id))).sort("index").limit(50).page()?;
    Ok(page.items.into_iter().map(|doc| doc.data).collect())
}

fn plan_json(plan: &Plan) -> Result<Value> {
    let mut template = serde_json::to_value(&plan.template)?;
    if let Some(fields) = template.as_object_mut() {
        fields.remove("prelude");
    }
    Ok(json!({ "index": plan.index, "filter": plan.filter, "template": template }))
}

/// Closes a report whose run is over although its last action never came; answers the job that a living run waits for.
fn settle(id: &str, report: &mut Report) -> Result<Option<String>> {
    if report.status.is_over() {
        return Ok(None);
    }
    let Some(run) = &report.run else { return Ok(None) };
    let (status, why) = match workflow::get(run)? {
        Some(run) => match run.status.as_str() {
            "failed" => (ReportStatus::Failed, run.error.unwrap_or_else(|| "its workflow failed".into())),
            "cancelled" => (ReportStatus::Cancelled, "it was stopped".into()),
            _ => return Ok(run.waiting.as_deref().and_then(job_of)),
        },
        None => (ReportStatus::Failed, "its workflow run is gone".into()),
    };
    // The last action may have closed it between the two reads.
    *report = get(id)?;
    if !report.status.is_over() {
        report.problems.push(Text::same(why));
        close(id, report, status)?;
    }
    Ok(None)
}

/// What a run waits for names the job by its id, the only word of that form.
fn job_of(waiting: &str) -> Option<String> {
    let is_id = |word: &&str| {
        word.len() == 36
            && word
                .bytes()
                .enumerate()
                .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
    };
    waiting.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(is_id).map(str::to_owned)
}

/// Sums the batches up and closes the report.
pub fn close(id: &str, report: &mut Report, status: ReportStatus) -> Result<()> {
    let mut totals = Totals::default();
    for batch in flow::all_batches(id)? {
        if batch.graded {
            totals.add(&batch.totals);
        } else {
            totals.targets.total += u32::try_from(batch.targets.len()).unwrap_or(u32::MAX);
        }
    }
    report.totals = totals;
    report.status = status;
    report.finished_at = Some(clock::now());
    REPORTS.put(id, report)?;
    Ok(())
}

/// Stops a report's run.
pub fn cancel(id: &str) -> Result<Summary> {
    let mut report = get(id)?;
    if report.status.is_over() {
        return Err(Error::new(409, "inspection.report_over", "this inspection is over already"));
    }
    if let Some(run) = &report.run {
        workflow::cancel(run)?;
    }
    report.problems.push(Text::new("stopped by hand", "已手动停止"));
    close(id, &mut report, ReportStatus::Cancelled)?;
    Ok(summary(id.to_owned(), report))
}

/// Lines of a running report: more are counted, not named.
const PROGRESS_LINES: usize = 500;

/// How far a report is, a line for each target while it runs. `hint`: the job that the page has heard of by an event, should the run not name it.
pub fn progress(id: &str, hint: Option<String>) -> Result<Value> {
    let mut report = get(id)?;
    let execution = settle(id, &mut report)?.or(hint);
    let mut targets = Vec::new();
    let mut done = 0_u32;
    let mut total = 0_u32;
    let batches = flow::all_batches(id)?;
    // Waves are asked one after the other: the job that the run waits for belongs to the first that is not graded.
    let current = batches.iter().find(|batch| !batch.graded).map(|batch| batch.wave);
    let mut live = BTreeMap::new();
    if let (Some(execution), Some(_), false) = (&execution, current, report.status.is_over()) {
        match jobs::all_results(execution) {
            Ok(results) => live.extend(results.into_iter().map(|result| (result.node_id.clone(), result))),
            // A hint that is not ours, or a job that is gone: the lines say "queued" until the batch is graded.
            Err(refused) if refused.is_refusal() => {}
            Err(failure) => return Err(failure),
        }
    }
    for batch in &batches {
        let size = u32::try_from(batch.targets.len()).unwrap_or(u32::MAX);
        total += size;
        if batch.graded {
            done += size;
        }
        let asked = !batch.graded && current == Some(batch.wave);
        for target in &batch.targets {
            let result = target.node.as_ref().filter(|_| asked).and_then(|node| live.get(node));
            if result.is_some_and(|result| !matches!(result.status.as_str(), "pending" | "waiting" | "running")) {
                done += 1;
            }
            let state = match (target.not_asked, batch.graded, result) {
                (Some(state), _, _) => json!(state),
                (None, true, _) => json!("graded"),
                (None, false, Some(result)) => json!(result.status),
                (None, false, None) => json!("queued"),
            };
            if targets.len() < PROGRESS_LINES {
                targets.push(json!({ "index": target.index, "plan": batch.plan, "label": target.label, "state": state, "reason": result.and_then(|r| r.reason.clone()) }));
            }
        }
    }
    Ok(
        json!({ "id": id, "status": report.status, "run": report.run, "total": total, "done": done, "targets": targets, "problems": report.problems }),
    )
}

/// A page of targets, the worst first.
pub fn targets(id: &str, query: &TargetQuery) -> Result<Page<Row>> {
    get(id)?;
    let mut filter = format!("report == {}", cel(id));
    if let Some(plan) = query.plan {
        filter.push_str(&format!(" && plan == {plan}"));
    }
    if let Some(search) = query.search.as_deref().filter(|text| !text.is_empty()) {
        filter.push_str(&format!(" && label.contains({})", cel(search)));
    }
    if let Some(rank) = query.rank {
        filter.push_str(&format!(" && rank == {rank}"));
    }
    let order = if query.by_index { "index" } else { "rank" };
    let page = TARGETS.query().filter(filter).sort(order).cursor(query.cursor.clone()).limit(query.limit).page()?;
    let items = page.items.into_iter().map(|doc| Row { id: doc.id, target: doc.data }).collect();
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// A target of a report.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// It.
    #[serde(flatten)]
    pub target: Target,
}

/// How a check ended on the targets of a report, a page of them: those where it has something to say, or all.
pub fn check(id: &str, plan: u32, check: &str, all: bool, cursor: Option<String>, limit: u32) -> Result<Page<CheckRow>> {
    get(id)?;
    let mut filter = format!("report == {} && plan == {plan} && rank < 4", cel(id));
    if !all {
        filter.push_str(&format!(" && {} in found", cel(check)));
    }
    let page = TARGETS.query().filter(filter).sort("rank").cursor(cursor).limit(limit).page()?;
    let row = |doc: Document<Target>| {
        let result = doc.data.results.into_iter().find(|result| result.check == check)?;
        Some(CheckRow { index: doc.data.index, label: doc.data.label, result })
    };
    Ok(Page { items: page.items.into_iter().filter_map(row).collect(), next_cursor: page.next_cursor, total: page.total })
}

/// How a check ended on a target.
#[derive(Debug, Serialize)]
pub struct CheckRow {
    /// The target's place in the report.
    pub index: u32,
    /// What people call it.
    pub label: String,
    /// How it ended.
    pub result: CheckResult,
}

/// The targets of a report on which something changed since the one before, a page of them.
pub fn changes(id: &str, cursor: Option<String>, limit: u32) -> Result<Page<ChangeRow>> {
    get(id)?;
    let filter = format!("report == {} && changed > 0", cel(id));
    let page = TARGETS.query().filter(filter).sort("rank").cursor(cursor).limit(limit).page()?;
    let row =
        |doc: Document<Target>| ChangeRow { index: doc.data.index, plan: doc.data.plan, label: doc.data.label, changes: doc.data.changes };
    Ok(Page { items: page.items.into_iter().map(row).collect(), next_cursor: page.next_cursor, total: page.total })
}

/// What changed on a target.
#[derive(Debug, Serialize)]
pub struct ChangeRow {
    /// The target's place in the report.
    pub index: u32,
    /// Which template.
    pub plan: u32,
    /// What people call it.
    pub label: String,
    /// It.
    pub changes: Vec<Changed>,
}

/// Which targets.
#[derive(Debug, Clone, Default)]
pub struct TargetQuery {
    /// Of one template.
    pub plan: Option<u32>,
    /// Whose label contains.
    pub search: Option<String>,
    /// Whose worst is.
    pub rank: Option<u32>,
    /// As they were found, not the worst first.
    pub by_index: bool,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Targets a page.
    pub limit: u32,
}

/// The commands' own words on a target.
pub fn evidence(report: &str, index: u32) -> Result<TargetEvidence> {
    let id = flow::part(report, index);
    Ok(EVIDENCE.get(&id)?.ok_or_else(|| missing("target", &id))?.data)
}

/// Hands the targets of a report over, the worst first, page by page: all of a large report would not fit a call's memory. Ends early when
/// `each` answers false; says whether all were seen.
pub fn each_target(id: &str, mut each: impl FnMut(&Target) -> Result<bool>) -> Result<bool> {
    let mut query = TargetQuery { limit: 200, ..TargetQuery::default() };
    loop {
        let page = targets(id, &query)?;
        for row in &page.items {
            if !each(&row.target)? {
                return Ok(false);
            }
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok(true);
        }
    }
}

/// Deletes a report that is over.
pub fn delete(id: &str) -> Result<()> {
    if !get(id)?.status.is_over() {
        return Err(Error::new(409, "inspection.report_running", "this inspection still runs: stop it first"));
    }
    delete_with_parts(id)
}

/// Deletes a report and all that belongs to it. The report goes last: should this be cut short, it can be found and deleted again.
pub fn delete_with_parts(id: &str) -> Result<()> {
    // Named by their places, not looked up: evidence alone may be many megabytes.
    let batches = flow::all_batches(id)?;
    let parts: Vec<String> = batches.iter().flat_map(|batch| &batch.targets).map(|target| flow::part(id, target.index)).collect();
    EVIDENCE.delete_many(&parts)?;
    TARGETS.delete_many(&parts)?;
    BATCHES.delete_many(batches.iter().map(|batch| flow::part(id, batch.index)))?;
    PLANS.delete_many(plans(id)?.iter().map(|plan| flow::part(id, plan.index)))?;
    REPORTS.delete(id)
}

/// Deletes the reports beyond those that the inspection keeps, a few at a time.
pub fn retain(inspection: &str) -> Result<()> {
    let keep = match inspections::get(inspection) {
        Ok(inspection) => inspection.inspection.keep_reports as usize,
        Err(failure) if failure.status == 404 => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let filter = format!("inspection == {} && status in [\"finished\", \"failed\", \"cancelled\"]", cel(inspection));
    let old: Vec<String> = REPORTS.query().filter(filter).sort("-created_at").all()?.into_iter().skip(keep).map(|doc| doc.id).collect();
    for id in old.iter().rev().take(5) {
        delete_with_parts(id)?;
    }
    Ok(())
}
