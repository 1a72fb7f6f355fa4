//! What to inspect, and when: the records that people make.

use plenum_sdk::cmdb::{self, Instance};
use plenum_sdk::store::Document;
use plenum_sdk::workflow::schedules;
use plenum_sdk::{Error, Page, Problem, Result, cel, clock, random};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalog;
use crate::check::adjust;
use crate::missing;
use crate::model::{INSPECTIONS, Inspection, InspectionItem, REPORTS, Schedule};

/// The workflow that carries an inspection out, as the manifest names it.
pub const WORKFLOW: &str = "inspection-center.inspect";

/// The same for a schedule, which starts workflows of its own plugin only.
const SCHEDULED: &str = "inspect";

/// What an editor sends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// For people, unique.
    pub name: String,
    /// Why it is there.
    #[serde(default)]
    pub description: String,
    /// Templates with their targets.
    pub items: Vec<InspectionItem>,
    /// When it runs by itself.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// Finished reports to keep.
    #[serde(default)]
    pub keep_reports: Option<u32>,
    /// The version that was edited.
    #[serde(default)]
    pub version: Option<u64>,
}

/// An inspection with its id.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// For the next change.
    pub version: u64,
    /// It.
    #[serde(flatten)]
    pub inspection: Inspection,
}

/// A page of inspections.
pub fn list(cursor: Option<String>, limit: u32) -> Result<Page<Listed>> {
    let page = INSPECTIONS.query().sort("-updated_at").cursor(cursor).limit(limit).page()?;
    Ok(Page { items: page.items.into_iter().map(listed).collect(), next_cursor: page.next_cursor, total: page.total })
}

fn listed(doc: Document<Inspection>) -> Listed {
    Listed { id: doc.id, version: doc.version, inspection: doc.data }
}

/// One inspection.
pub fn get(id: &str) -> Result<Listed> {
    INSPECTIONS.get(id)?.map(listed).ok_or_else(|| missing("inspection", id))
}

/// Everything that is wrong with a draft. The filters and the cron line are checked by asking the platform, which knows.
fn check(draft: &Draft) -> Result<()> {
    let mut problems = Vec::new();
    let mut say = |pointer: String, message: String| problems.push(Problem { pointer, message });
    let name = draft.name.trim();
    if name.is_empty() || name.chars().count() > 120 {
        say("/name".into(), "give the inspection a name of 1 to 120 characters".into());
    }
    if draft.items.is_empty() || draft.items.len() > 20 {
        say("/items".into(), "choose 1 to 20 templates".into());
    }
    if draft.keep_reports.is_some_and(|count| !(1..=1000).contains(&count)) {
        say("/keep_reports".into(), "keep 1 to 1000 reports".into());
    }
    for (at, item) in draft.items.iter().enumerate() {
        match catalog::get(&item.template) {
            Err(failure) if failure.status == 404 => say(format!("/items/{at}/template"), failure.message),
            Err(failure) => return Err(failure),
            Ok(entry) => {
                for problem in adjust::problems(&entry.template, &item.overrides, &format!("/items/{at}/overrides")) {
                    say(problem.pointer, problem.message);
                }
                if let Err(failure) = cmdb::query(&entry.template.model).filter(&item.filter).limit(1).page() {
                    if !failure.is_refusal() {
                        return Err(failure);
                    }
                    say(format!("/items/{at}/filter"), failure.message);
                }
            }
        }
    }
    if let Some(schedule) = &draft.schedule
        && let Err(failure) = schedules::next_times(&schedule.cron, &schedule.timezone, 1)
    {
        if !failure.is_refusal() {
            return Err(failure);
        }
        say("/schedule/cron".into(), failure.message);
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::invalid_fields("the inspection is not valid", problems)) }
}

/// Makes an inspection.
pub fn create(who: &str, draft: Draft) -> Result<Listed> {
    check(&draft)?;
    let now = clock::now();
    let inspection = Inspection {
        name: draft.name.trim().to_owned(),
        description: draft.description,
        items: draft.items,
        schedule: draft.schedule,
        keep_reports: draft.keep_reports.unwrap_or(30),
        created_by: who.to_owned(),
        created_at: now,
        updated_at: now,
        last_report: None,
    };
    let id = random::id().chars().take(16).collect::<String>();
    let version = INSPECTIONS.insert(&id, &inspection).map_err(taken)?;
    set_schedule(&id, &inspection)?;
    Ok(Listed { id, version, inspection })
}

fn taken(failure: Error) -> Error {
    if failure.code == "store.duplicate" {
        Error::invalid("/name", "another inspection has this name: choose one of its own")
    } else {
        failure
    }
}

/// Changes an inspection.
pub fn update(id: &str, draft: Draft) -> Result<Listed> {
    let old = get(id)?;
    check(&draft)?;
    let inspection = Inspection {
        name: draft.name.trim().to_owned(),
        description: draft.description,
        items: draft.items,
        schedule: draft.schedule,
        keep_reports: draft.keep_reports.unwrap_or(old.inspection.keep_reports),
        updated_at: clock::now(),
        ..old.inspection
    };
    let version = INSPECTIONS.replace(id, draft.version.unwrap_or(old.version), &inspection).map_err(taken)?;
    set_schedule(id, &inspection)?;
    Ok(Listed { id: id.to_owned(), version, inspection })
}

/// Deletes an inspection with its reports, so that nothing is left that nobody can reach.
pub fn delete(id: &str) -> Result<()> {
    get(id)?;
    schedules::delete(&schedule_name(id))?;
    for report in REPORTS.query().filter(format!("inspection == {}", cel(id))).all()? {
        crate::reports::delete_with_parts(&report.id)?;
    }
    INSPECTIONS.delete(id)
}

fn schedule_name(id: &str) -> String {
    format!("inspection-{id}")
}

fn set_schedule(id: &str, inspection: &Inspection) -> Result<()> {
    match &inspection.schedule {
        Some(schedule) => schedules::put(&schedules::Schedule {
            name: schedule_name(id),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            workflow: SCHEDULED.to_owned(),
            input: json!({ "inspection": id }),
            enabled: schedule.enabled,
        }),
        None => schedules::delete(&schedule_name(id)),
    }
}

/// Which inspections use a template, by name.
pub fn users_of(template: &str) -> Result<Vec<String>> {
    let uses = |i: &Inspection| i.items.iter().any(|item| item.template == template);
    Ok(INSPECTIONS.query().all()?.into_iter().filter(|doc| uses(&doc.data)).map(|doc| doc.data.name).collect())
}

/// What a filter matches now: how many, the first of them, and which of those cannot be asked.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// The model that is looked through.
    pub model: String,
    /// How many match.
    pub total: Option<u64>,
    /// The first of them.
    pub items: Vec<PreviewItem>,
}

/// A target that a filter matches.
#[derive(Debug, Serialize)]
pub struct PreviewItem {
    /// The CMDB instance.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// online, offline or unknown; `no_agent` when none is known.
    pub state: String,
    /// An address or a port, to tell two of the same name apart.
    pub hint: String,
}

/// What a filter matches now.
pub fn preview(template: &str, filter: &str) -> Result<Preview> {
    let model = catalog::get(template)?.template.model;
    let page = cmdb::query(&model).filter(filter).limit(50).page().map_err(|refused| refused.at("/filter"))?;
    let states = crate::flow::node_states(&model, &page.items)?;
    let items = page
        .items
        .iter()
        .map(|instance| {
            let node = text(instance, "node_id");
            let state =
                if node.is_empty() { "no_agent".to_owned() } else { states.get(&node).cloned().unwrap_or_else(|| "unknown".into()) };
            PreviewItem { id: instance.id.clone(), label: label(instance), state, hint: hint(instance) }
        })
        .collect();
    Ok(Preview { model, total: page.total, items })
}

/// An attribute as text; empty when it is not there.
pub fn text(instance: &Instance, name: &str) -> String {
    match instance.attributes.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// What people call an instance.
pub fn label(instance: &Instance) -> String {
    [instance.label.clone(), text(instance, "hostname"), text(instance, "name")]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| instance.id.clone())
}

fn hint(instance: &Instance) -> String {
    let addresses = instance.attributes.get("addresses").and_then(Value::as_array).and_then(|list| list.first()).and_then(Value::as_str);
    addresses.map(str::to_owned).unwrap_or_else(|| {
        [text(instance, "address"), text(instance, "port")].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(":")
    })
}
