//! What to inspect, and when: the records that people make.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalog;
use crate::check::adjust;
use crate::check::validate::Problem;
use crate::error::Failure;
use crate::model::{Inspection, InspectionItem, Schedule, collection};
use crate::ports::{Instance, Page, Platform, Query};

/// The workflow that carries an inspection out.
pub const WORKFLOW: &str = "inspect";

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
    pub version: Option<i64>,
}

/// An inspection with its id.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// For the next change.
    pub version: i64,
    /// It.
    #[serde(flatten)]
    pub inspection: Inspection,
}

/// A page of inspections.
pub fn list(platform: &impl Platform, cursor: Option<String>, limit: u32) -> Result<Page<Listed>, Failure> {
    let page = platform.query(collection::INSPECTIONS, &Query { order: "-updated_at".into(), cursor, limit, ..Query::default() })?;
    let items = page.items.into_iter().map(|doc| listed(doc.id, doc.version, doc.data)).collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

fn listed(id: String, version: i64, data: Value) -> Result<Listed, Failure> {
    Ok(Listed { id, version, inspection: serde_json::from_value(data)? })
}

/// One inspection.
pub fn get(platform: &impl Platform, id: &str) -> Result<Listed, Failure> {
    let doc = platform.get(collection::INSPECTIONS, id)?.ok_or_else(|| Failure::missing("inspection", id))?;
    listed(doc.id, doc.version, doc.data)
}

/// Everything that is wrong with a draft. The filters and the cron line are checked by asking the platform, which knows.
fn check(platform: &impl Platform, draft: &Draft) -> Result<(), Failure> {
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
        match catalog::get(platform, &item.template) {
            Err(failure) if failure.status == 404 => say(format!("/items/{at}/template"), failure.detail),
            Err(failure) => return Err(failure),
            Ok(entry) => {
                for problem in adjust::problems(&entry.template, &item.overrides, &format!("/items/{at}/overrides")) {
                    say(problem.pointer, problem.message);
                }
                if let Err(failure) = platform.cmdb(&entry.template.model, &item.filter, None, 1) {
                    if failure.status >= 500 {
                        return Err(failure);
                    }
                    say(format!("/items/{at}/filter"), failure.detail);
                }
            }
        }
    }
    if let Some(schedule) = &draft.schedule
        && let Err(failure) = platform.next_times(&schedule.cron, &schedule.timezone, 1)
    {
        if failure.status >= 500 {
            return Err(failure);
        }
        say("/schedule/cron".into(), failure.detail);
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::invalid("the inspection is not valid", problems)) }
}

/// Makes an inspection.
pub fn create(platform: &impl Platform, who: &str, draft: Draft) -> Result<Listed, Failure> {
    check(platform, &draft)?;
    let now = platform.now_ms();
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
    let id = platform.random_id().chars().take(16).collect::<String>();
    let doc = platform.put(collection::INSPECTIONS, &id, serde_json::to_value(&inspection)?, Some(0)).map_err(taken)?;
    set_schedule(platform, &id, &inspection)?;
    listed(doc.id, doc.version, doc.data)
}

fn taken(failure: Failure) -> Failure {
    if failure.code.contains("unique") || failure.code.contains("duplicate") {
        Failure::field("/name", "another inspection has this name: choose one of its own")
    } else {
        failure
    }
}

/// Changes an inspection.
pub fn update(platform: &impl Platform, id: &str, draft: Draft) -> Result<Listed, Failure> {
    let old = get(platform, id)?;
    check(platform, &draft)?;
    let inspection = Inspection {
        name: draft.name.trim().to_owned(),
        description: draft.description,
        items: draft.items,
        schedule: draft.schedule,
        keep_reports: draft.keep_reports.unwrap_or(old.inspection.keep_reports),
        updated_at: platform.now_ms(),
        ..old.inspection
    };
    let doc = platform
        .put(collection::INSPECTIONS, id, serde_json::to_value(&inspection)?, Some(draft.version.unwrap_or(old.version)))
        .map_err(taken)?;
    set_schedule(platform, id, &inspection)?;
    listed(doc.id, doc.version, doc.data)
}

/// Deletes an inspection with its reports, so that nothing is left that nobody can reach.
pub fn delete(platform: &impl Platform, id: &str) -> Result<(), Failure> {
    get(platform, id)?;
    platform.schedule_delete(&schedule_name(id))?;
    loop {
        let page =
            platform.query(collection::REPORTS, &Query { filter: format!("inspection == {}", cel(id)), limit: 50, ..Query::default() })?;
        if page.items.is_empty() {
            break;
        }
        for doc in page.items {
            crate::reports::delete_with_parts(platform, &doc.id)?;
        }
    }
    platform.delete(collection::INSPECTIONS, id)
}

fn schedule_name(id: &str) -> String {
    format!("inspection-{id}")
}

fn set_schedule(platform: &impl Platform, id: &str, inspection: &Inspection) -> Result<(), Failure> {
    match &inspection.schedule {
        Some(schedule) => platform.schedule_put(
            &schedule_name(id),
            &schedule.cron,
            &schedule.timezone,
            WORKFLOW,
            json!({ "inspection": id }),
            schedule.enabled,
        ),
        None => platform.schedule_delete(&schedule_name(id)),
    }
}

/// Which inspections use a template, by name.
pub fn users_of(platform: &impl Platform, template: &str) -> Result<Vec<String>, Failure> {
    let mut out = Vec::new();
    let mut cursor = None;
    loop {
        let page = list(platform, cursor, 100)?;
        out.extend(
            page.items
                .iter()
                .filter(|i| i.inspection.items.iter().any(|item| item.template == template))
                .map(|i| i.inspection.name.clone()),
        );
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(out);
        }
    }
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
pub fn preview(platform: &impl Platform, template: &str, filter: &str) -> Result<Preview, Failure> {
    let model = catalog::get(platform, template)?.template.model;
    let page = platform.cmdb(&model, filter, None, 50).map_err(|failure| {
        if failure.status < 500 {
            Failure { errors: vec![Problem { pointer: "/filter".into(), message: failure.detail.clone() }], ..failure }
        } else {
            failure
        }
    })?;
    let states = crate::flow::node_states(platform, &model, &page.items)?;
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

/// A text as a CEL literal: what people type into names must not become part of an expression.
pub fn cel(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
