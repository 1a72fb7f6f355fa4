//! Reports: starting one, following it, reading it, comparing it over time, keeping and deleting it.

use serde::Serialize;
use serde_json::{Value, json};

use crate::check::score::Counts;
use crate::check::template::Text;
use crate::error::Failure;
use crate::flow;
use crate::inspections::{self, Listed, WORKFLOW, cel};
use crate::model::{Plan, Report, ReportStatus, Target, TargetEvidence, Totals, collection};
use crate::ports::{Page, Platform, Query};

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
pub fn get(platform: &impl Platform, id: &str) -> Result<Report, Failure> {
    let doc = platform.get(collection::REPORTS, id)?.ok_or_else(|| Failure::missing("report", id))?;
    Ok(serde_json::from_value(doc.data)?)
}

/// A report that has just been asked for.
pub fn new_report(platform: &impl Platform, inspection: &Listed, trigger: &str, who: &str) -> Result<Report, Failure> {
    Ok(Report {
        inspection: inspection.id.clone(),
        name: inspection.inspection.name.clone(),
        trigger: trigger.to_owned(),
        started_by: who.to_owned(),
        run: None,
        status: ReportStatus::Queued,
        created_at: platform.now_ms(),
        finished_at: None,
        previous: None,
        batches: None,
        problems: Vec::new(),
        totals: Totals::default(),
    })
}

/// Starts an inspection. The report is there at once, so that the page has something to follow.
pub fn run(platform: &impl Platform, who: &str, id: &str) -> Result<Summary, Failure> {
    let inspection = inspections::get(platform, id)?;
    let report_id = platform.random_id().chars().take(20).collect::<String>();
    let mut report = new_report(platform, &inspection, "manual", who)?;
    platform.put(collection::REPORTS, &report_id, serde_json::to_value(&report)?, Some(0))?;
    match platform.run_start(WORKFLOW, json!({ "inspection": id, "report": report_id }), &report_id) {
        Ok(run) => {
            // The plan may have been faster than this line: only the run's name is added to what is there now.
            if let Some(doc) = platform.get(collection::REPORTS, &report_id)? {
                report = serde_json::from_value(doc.data)?;
                if report.run.is_none() {
                    report.run = Some(run.id);
                    // Losing the race is fine: the plan writes the run's name itself.
                    let _ = platform.put(collection::REPORTS, &report_id, serde_json::to_value(&report)?, Some(doc.version));
                }
            }
            remember(platform, id, &report_id)?;
            Ok(summary(report_id, report))
        }
        Err(failure) => {
            platform.delete(collection::REPORTS, &report_id)?;
            Err(failure)
        }
    }
}

/// Notes an inspection's newest report.
pub fn remember(platform: &impl Platform, inspection: &str, report: &str) -> Result<(), Failure> {
    for _ in 0..3 {
        let Some(doc) = platform.get(collection::INSPECTIONS, inspection)? else { return Ok(()) };
        let mut data = doc.data;
        if data.get("last_report").and_then(Value::as_str) == Some(report) {
            return Ok(());
        }
        if let Some(fields) = data.as_object_mut() {
            fields.insert("last_report".into(), json!(report));
        }
        match platform.put(collection::INSPECTIONS, inspection, data, Some(doc.version)) {
            Ok(_) => return Ok(()),
            // Somebody edited it meanwhile: read again.
            Err(failure) if failure.status == 409 || failure.status == 412 => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// The report that a new one is compared with.
pub fn last_finished(platform: &impl Platform, inspection: &str, not: &str) -> Result<Option<String>, Failure> {
    let filter = format!("inspection == {} && status == \"finished\"", cel(inspection));
    let page = platform.query(collection::REPORTS, &Query { filter, order: "-created_at".into(), limit: 2, ..Query::default() })?;
    Ok(page.items.into_iter().map(|doc| doc.id).find(|id| id != not))
}

/// A page of reports, newest first.
pub fn list(platform: &impl Platform, inspection: Option<&str>, cursor: Option<String>, limit: u32) -> Result<Page<Summary>, Failure> {
    let filter = inspection.map(|id| format!("inspection == {}", cel(id))).unwrap_or_default();
    let page = platform.query(collection::REPORTS, &Query { filter, order: "-created_at".into(), cursor, limit })?;
    let mut items = Vec::new();
    for doc in page.items {
        items.push(summary(doc.id, serde_json::from_value(doc.data)?));
    }
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// One point of the trend.
#[derive(Debug, Serialize)]
pub struct Point {
    /// The report.
    pub id: String,
    /// When it was started.
    pub at: i64,
    /// 0 to 100.
    pub score: Option<u64>,
    /// Checks by how they ended.
    pub counts: Counts,
    /// Targets that were inspected, of all.
    pub targets: (u32, u32),
}

/// The last finished reports of an inspection, oldest first.
pub fn trend(platform: &impl Platform, inspection: &str, limit: u32) -> Result<Vec<Point>, Failure> {
    let filter = format!("inspection == {} && status == \"finished\"", cel(inspection));
    let page = platform.query(collection::REPORTS, &Query { filter, order: "-created_at".into(), limit, ..Query::default() })?;
    let mut out = Vec::new();
    for doc in page.items.into_iter().rev() {
        let report: Report = serde_json::from_value(doc.data)?;
        let totals = report.totals;
        out.push(Point {
            id: doc.id,
            at: report.created_at,
            score: totals.mean.value(),
            counts: totals.counts,
            targets: (totals.targets.inspected, totals.targets.total),
        });
    }
    Ok(out)
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
pub fn detail(platform: &impl Platform, id: &str) -> Result<Detail, Failure> {
    let mut report = get(platform, id)?;
    settle(platform, id, &mut report)?;
    let plans = plans(platform, id)?.iter().map(plan_json).collect::<Result<_, _>>()?;
    Ok(Detail { id: id.to_owned(), score: report.totals.mean.value(), report, plans })
}

/// A report's templates.
pub fn plans(platform: &impl Platform, id: &str) -> Result<Vec<Plan>, Failure> {
    let filter = format!("report == {}", cel(id));
    let page = platform.query(collection::PLANS, &Query { filter, order: "index".into(), limit: 50, ..Query::default() })?;
    page.items.into_iter().map(|doc| Ok(serde_json::from_value(doc.data)?)).collect()
}

fn plan_json(plan: &Plan) -> Result<Value, Failure> {
    let mut template = serde_json::to_value(&plan.template)?;
    if let Some(fields) = template.as_object_mut() {
        fields.remove("prelude");
    }
    Ok(json!({ "index": plan.index, "filter": plan.filter, "template": template }))
}

/// Closes a report whose run is over although its last action never came; answers the job that a living run waits for.
fn settle(platform: &impl Platform, id: &str, report: &mut Report) -> Result<Option<String>, Failure> {
    if report.status.is_over() {
        return Ok(None);
    }
    let Some(run) = &report.run else { return Ok(None) };
    let (status, why) = match platform.run_get(run)? {
        Some(run) => match run.status.as_str() {
            "failed" => (ReportStatus::Failed, run.error.unwrap_or_else(|| "its workflow failed".into())),
            "cancelled" => (ReportStatus::Cancelled, "it was stopped".into()),
            _ => return Ok(run.execution),
        },
        None => (ReportStatus::Failed, "its workflow run is gone".into()),
    };
    // The last action may have closed it between the two reads.
    *report = get(platform, id)?;
    if !report.status.is_over() {
        report.problems.push(Text::same(why));
        close(platform, id, report, status)?;
    }
    Ok(None)
}

/// Sums the batches up and closes the report.
pub fn close(platform: &impl Platform, id: &str, report: &mut Report, status: ReportStatus) -> Result<(), Failure> {
    let mut totals = Totals::default();
    for batch in flow::all_batches(platform, id)? {
        if batch.graded {
            totals.add(&batch.totals);
        } else {
            totals.targets.total += u32::try_from(batch.targets.len()).unwrap_or(u32::MAX);
        }
    }
    report.totals = totals;
    report.status = status;
    report.finished_at = Some(platform.now_ms());
    platform.put(collection::REPORTS, id, serde_json::to_value(&*report)?, None)?;
    Ok(())
}

/// Stops a report's run.
pub fn cancel(platform: &impl Platform, id: &str) -> Result<Summary, Failure> {
    let mut report = get(platform, id)?;
    if report.status.is_over() {
        return Err(Failure::new(409, "inspection.report_over", "this inspection is over already"));
    }
    if let Some(run) = &report.run {
        platform.run_cancel(run)?;
    }
    report.problems.push(Text::new("stopped by hand", "已手动停止"));
    close(platform, id, &mut report, ReportStatus::Cancelled)?;
    Ok(summary(id.to_owned(), report))
}

/// How far a report is, a line for each target while it runs. `hint`: the job that the page has heard of by an event, should the run not name it.
pub fn progress(platform: &impl Platform, id: &str, hint: Option<String>) -> Result<Value, Failure> {
    let mut report = get(platform, id)?;
    let execution = settle(platform, id, &mut report)?.or(hint);
    let mut targets = Vec::new();
    let mut done = 0_u32;
    let mut total = 0_u32;
    let batches = flow::all_batches(platform, id)?;
    // Batches are asked one after the other: the job that the run waits for belongs to the first that is not graded.
    let mut current = true;
    for batch in &batches {
        let size = u32::try_from(batch.targets.len()).unwrap_or(u32::MAX);
        total += size;
        if batch.graded {
            done += size;
        }
        let mut live = std::collections::BTreeMap::new();
        if !batch.graded && current && !report.status.is_over() {
            current = false;
            if let Some(execution) = &execution {
                let page = match platform.job_results(execution, None, 500) {
                    Ok(page) => page,
                    // A hint that is not ours, or a job that is gone: the lines say "queued" until the batch is graded.
                    Err(failure) if failure.status < 500 => crate::ports::Page::default(),
                    Err(failure) => return Err(failure),
                };
                live.extend(page.items.into_iter().map(|result| (result.node_id.clone(), result)));
            }
        }
        for target in batch.targets.iter().take(500_usize.saturating_sub(targets.len())) {
            let result = target.node.as_ref().and_then(|node| live.get(node));
            let state = match (target.not_asked, batch.graded, result) {
                (Some(state), _, _) => json!(state),
                (None, true, _) => json!("graded"),
                (None, false, Some(result)) => json!(result.status),
                (None, false, None) => json!("queued"),
            };
            if result.is_some_and(|result| !matches!(result.status.as_str(), "pending" | "waiting" | "running")) {
                done += 1;
            }
            targets.push(json!({ "index": target.index, "plan": batch.plan, "label": target.label, "state": state, "reason": result.and_then(|r| r.reason.clone()) }));
        }
    }
    Ok(
        json!({ "id": id, "status": report.status, "run": report.run, "total": total, "done": done, "targets": targets, "problems": report.problems }),
    )
}

/// A page of targets, the worst first.
pub fn targets(platform: &impl Platform, id: &str, query: &TargetQuery) -> Result<Page<Value>, Failure> {
    get(platform, id)?;
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
    let page =
        platform.query(collection::TARGETS, &Query { filter, order: order.into(), cursor: query.cursor.clone(), limit: query.limit })?;
    let items = page
        .items
        .into_iter()
        .map(|doc| {
            let mut data = doc.data;
            if let Some(fields) = data.as_object_mut() {
                fields.insert("id".into(), json!(doc.id));
            }
            data
        })
        .collect();
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
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
pub fn evidence(platform: &impl Platform, report: &str, index: u32) -> Result<TargetEvidence, Failure> {
    let id = flow::part(report, index);
    let doc = platform.get(collection::EVIDENCE, &id)?.ok_or_else(|| Failure::missing("target", &id))?;
    Ok(serde_json::from_value(doc.data)?)
}

/// All targets of a report, for exports.
pub fn every_target(platform: &impl Platform, id: &str, limit: usize) -> Result<(Vec<Target>, bool), Failure> {
    let mut out: Vec<Target> = Vec::new();
    let mut query = TargetQuery { limit: 200, ..TargetQuery::default() };
    loop {
        let page = targets(platform, id, &query)?;
        for item in page.items {
            out.push(serde_json::from_value(item)?);
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok((out, false));
        }
        if out.len() >= limit {
            return Ok((out, true));
        }
    }
}

/// Deletes a report that is over.
pub fn delete(platform: &impl Platform, id: &str) -> Result<(), Failure> {
    if !get(platform, id)?.status.is_over() {
        return Err(Failure::new(409, "inspection.report_running", "this inspection still runs: stop it first"));
    }
    delete_with_parts(platform, id)
}

/// Deletes a report and all that belongs to it. The report goes last: should this be cut short, it can be found and deleted again.
pub fn delete_with_parts(platform: &impl Platform, id: &str) -> Result<(), Failure> {
    for name in [collection::EVIDENCE, collection::TARGETS, collection::BATCHES, collection::PLANS] {
        loop {
            let page = platform.query(name, &Query { filter: format!("report == {}", cel(id)), limit: 200, ..Query::default() })?;
            if page.items.is_empty() {
                break;
            }
            for doc in page.items {
                platform.delete(name, &doc.id)?;
            }
        }
    }
    platform.delete(collection::REPORTS, id)
}

/// Deletes the reports beyond those that the inspection keeps, a few at a time.
pub fn retain(platform: &impl Platform, inspection: &str) -> Result<(), Failure> {
    let keep = match inspections::get(platform, inspection) {
        Ok(inspection) => inspection.inspection.keep_reports,
        Err(failure) if failure.status == 404 => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let filter = format!("inspection == {} && status in [\"finished\", \"failed\", \"cancelled\"]", cel(inspection));
    let mut query = Query { filter, order: "-created_at".into(), limit: 200, ..Query::default() };
    let mut old = Vec::new();
    let mut seen = 0;
    loop {
        let page = platform.query(collection::REPORTS, &query)?;
        for doc in page.items {
            seen += 1;
            if seen > keep {
                old.push(doc.id);
            }
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    for id in old.iter().rev().take(5) {
        delete_with_parts(platform, id)?;
    }
    Ok(())
}
