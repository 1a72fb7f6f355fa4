//! What the page asks for: routes, thin.

use plenum_sdk::workflow::schedules;
use plenum_sdk::{Error, Json, Page, Request, Response, Result, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::inspections::{self, Draft, Listed};
use crate::{catalog, export, missing, reports};

/// The page's routes. All that change something begin with [`Request::writer`]: the platform refuses what a viewer's own rights do not cover,
/// but these records are the plugin's own.
pub fn router() -> Router {
    Router::new()
        .get("/templates", |_: &Request| -> Result<_> { Ok(Json(json!({ "items": catalog::list()?, "next_cursor": null }))) })
        .post("/templates", |r: &Request| {
            let who = r.writer()?.name;
            created(catalog::create(&who, r.json::<TemplateBody>()?.content()?)?)
        })
        .post("/templates/validate", validate)
        .get("/templates/{id}", |r: &Request| Ok::<_, Error>(Json(catalog::get(&id(r)?)?)))
        .put("/templates/{id}", |r: &Request| -> Result<_> {
            let (who, body) = (r.writer()?.name, r.json::<TemplateBody>()?);
            let version = body.version;
            Ok(Json(catalog::update(&who, &id(r)?, body.content()?, version)?))
        })
        .delete("/templates/{id}", |r: &Request| {
            r.writer()?;
            let id = id(r)?;
            catalog::delete(&id, &inspections::users_of(&id)?)?;
            deleted(&id)
        })
        .post("/templates/{id}/copy", |r: &Request| {
            let (who, body) = (r.writer()?.name, r.json::<CopyBody>()?);
            created(catalog::copy(&who, &id(r)?, &body.id, body.title)?)
        })
        .post("/targets/preview", |r: &Request| -> Result<_> {
            let body: PreviewBody = r.json()?;
            Ok(Json(inspections::preview(&body.template, &body.filter)?))
        })
        .post("/schedule/preview", |r: &Request| -> Result<_> {
            let body: CronBody = r.json()?;
            let times = schedules::next_times(&body.cron, &body.timezone, 5).map_err(|refused| refused.at("/cron"))?;
            Ok(Json(json!({ "times": times })))
        })
        .get("/inspections", inspection_list)
        .post("/inspections", |r: &Request| {
            let who = r.writer()?.name;
            created(inspections::create(&who, r.json::<Draft>()?)?)
        })
        .get("/inspections/{id}", inspection)
        .put("/inspections/{id}", |r: &Request| -> Result<_> {
            r.writer()?;
            Ok(Json(inspections::update(&id(r)?, r.json()?)?))
        })
        .delete("/inspections/{id}", |r: &Request| {
            r.writer()?;
            inspections::delete(&id(r)?)?;
            deleted(&id(r)?)
        })
        .post("/inspections/{id}/run", |r: &Request| -> Result<_> { Ok((202, Json(reports::run(&r.writer()?.name, &id(r)?)?))) })
        .get("/inspections/{id}/trend", |r: &Request| -> Result<_> { Ok(Json(json!({ "items": reports::trend(&id(r)?, limit(r)?)? }))) })
        .get("/reports", |r: &Request| -> Result<_> {
            let inspection = r.query::<String>("inspection")?;
            Ok(Json(reports::list(inspection.as_deref(), r.query("cursor")?, limit(r)?)?))
        })
        .get("/reports/{id}", |r: &Request| Ok::<_, Error>(Json(reports::detail(&id(r)?)?)))
        .delete("/reports/{id}", |r: &Request| {
            r.writer()?;
            reports::delete(&id(r)?)?;
            deleted(&id(r)?)
        })
        .post("/reports/{id}/cancel", |r: &Request| -> Result<_> {
            r.writer()?;
            Ok(Json(reports::cancel(&id(r)?)?))
        })
        .get("/reports/{id}/progress", |r: &Request| Ok::<_, Error>(Json(reports::progress(&id(r)?, r.query("execution")?)?)))
        .get("/reports/{id}/changes", |r: &Request| Ok::<_, Error>(Json(reports::changes(&id(r)?, r.query("cursor")?, limit(r)?)?)))
        .get("/reports/{id}/checks/{plan}/{check}", |r: &Request| -> Result<_> {
            let all = r.query::<bool>("all")?.unwrap_or(false);
            Ok(Json(reports::check(&id(r)?, r.param("plan")?, &r.param::<String>("check")?, all, r.query("cursor")?, limit(r)?)?))
        })
        .get("/reports/{id}/targets", targets)
        .get("/reports/{id}/targets/{index}/evidence", |r: &Request| -> Result<_> {
            let index: String = r.param("index")?;
            let at = index.parse().map_err(|_| missing("target", &index))?;
            Ok(Json(reports::evidence(&id(r)?, at)?))
        })
        .get("/reports/{id}/export.html", |r: &Request| -> Result<_> {
            let id = id(r)?;
            Ok(Response::download(&format!("inspection-{id}.html"), "text/html; charset=utf-8", export::html(&id, &locale(r)?)?))
        })
        .get("/reports/{id}/export.csv", |r: &Request| -> Result<_> {
            let id = id(r)?;
            Ok(Response::download(&format!("inspection-{id}.csv"), "text/csv; charset=utf-8", export::csv(&id, &locale(r)?)?))
        })
}

fn id(request: &Request) -> Result<String> {
    request.param("id")
}

fn limit(request: &Request) -> Result<u32> {
    Ok(request.query("limit")?.unwrap_or(50).clamp(1, 200))
}

fn locale(request: &Request) -> Result<String> {
    Ok(request.query("locale")?.unwrap_or_else(|| request.locale().to_owned()))
}

fn created<T: Serialize>(thing: T) -> Result<(u16, Json<T>)> {
    Ok((201, Json(thing)))
}

fn deleted(id: &str) -> Result<Json<Value>> {
    Ok(Json(json!({ "deleted": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateBody {
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    template: Option<Value>,
    #[serde(default)]
    version: Option<u64>,
}

impl TemplateBody {
    fn content(self) -> Result<catalog::Content> {
        match (self.source, self.template) {
            (Some(source), None) => Ok(catalog::Content::Source(source)),
            (None, Some(template)) => Ok(catalog::Content::Fields(template)),
            _ => Err(Error::invalid("/source", "send either source (YAML) or template (JSON)")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyBody {
    id: String,
    #[serde(default)]
    title: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewBody {
    template: String,
    #[serde(default)]
    filter: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CronBody {
    cron: String,
    timezone: String,
}

/// A template that is wrong is an answer here, not an error: the editor asks while somebody types.
fn validate(request: &Request) -> Result<Json<Value>> {
    Ok(Json(match catalog::understand(request.json::<TemplateBody>()?.content()?) {
        Ok((template, source)) => json!({ "ok": true, "template": template, "source": source, "errors": [] }),
        Err(errors) => json!({ "ok": false, "errors": errors }),
    }))
}

#[derive(Serialize)]
struct InspectionDetail {
    #[serde(flatten)]
    listed: Listed,
    next_times: Vec<String>,
}

fn inspection(request: &Request) -> Result<Json<InspectionDetail>> {
    let listed = inspections::get(&id(request)?)?;
    let next_times = match listed.inspection.schedule.as_ref().filter(|schedule| schedule.enabled) {
        Some(schedule) => schedules::next_times(&schedule.cron, &schedule.timezone, 5).unwrap_or_default(),
        None => Vec::new(),
    };
    Ok(Json(InspectionDetail { listed, next_times }))
}

#[derive(Serialize)]
struct InspectionLine {
    #[serde(flatten)]
    listed: Listed,
    last: Value,
}

/// Inspections with their newest report, so that a list needs one request.
fn inspection_list(request: &Request) -> Result<Json<Page<InspectionLine>>> {
    let page = inspections::list(request.query("cursor")?, limit(request)?)?;
    let mut items = Vec::with_capacity(page.items.len());
    for listed in page.items {
        let mut last = Value::Null;
        if let Some(id) = &listed.inspection.last_report {
            match reports::get(id) {
                Ok(report) => {
                    last = json!({
                        "id": id, "status": report.status, "created_at": report.created_at, "finished_at": report.finished_at,
                        "score": report.totals.mean.value(), "counts": report.totals.counts, "targets": report.totals.targets,
                    });
                }
                // Its report was deleted: the list shows none.
                Err(failure) if failure.status == 404 => {}
                Err(failure) => return Err(failure),
            }
        }
        items.push(InspectionLine { listed, last });
    }
    Ok(Json(Page { items, next_cursor: page.next_cursor, total: page.total }))
}

fn targets(request: &Request) -> Result<Json<Page<reports::Row>>> {
    let query = reports::TargetQuery {
        plan: request.query("plan")?,
        search: request.query("search")?,
        rank: request.query("rank")?,
        by_index: request.query::<String>("sort")?.as_deref() == Some("index"),
        cursor: request.query("cursor")?,
        limit: limit(request)?,
    };
    Ok(Json(reports::targets(&id(request)?, &query)?))
}
