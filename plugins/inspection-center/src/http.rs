//! What the page asks for: routes, thin.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::check::validate;
use crate::error::Failure;
use crate::inspections::{self, Draft};
use crate::ports::Platform;
use crate::{catalog, export, reports};

/// A request, taken apart.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// GET, POST, PUT or DELETE.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// Who asks, for records.
    pub user: String,
    /// Their language.
    pub locale: String,
    /// Their role; a viewer changes nothing.
    pub role: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP's number.
    pub status: u16,
    /// Its type.
    pub content_type: &'static str,
    /// A file's name, for downloads.
    pub file_name: Option<String>,
    /// It.
    pub body: Vec<u8>,
}

impl Response {
    fn json(status: u16, value: &impl serde::Serialize) -> Result<Self, Failure> {
        Ok(Self { status, content_type: "application/json", file_name: None, body: serde_json::to_vec(value)? })
    }

    fn problem(failure: &Failure) -> Self {
        let title = match failure.status {
            403 => "Not allowed",
            404 => "Not found",
            409 | 412 => "Conflict",
            422 | 400 => "Not valid",
            _ => "Failed",
        };
        let mut body =
            json!({ "type": "about:blank", "title": title, "status": failure.status, "code": failure.code, "detail": failure.detail });
        if let (Some(fields), false) = (body.as_object_mut(), failure.errors.is_empty()) {
            fields.insert("pointer".into(), json!(failure.errors.first().map(|problem| &problem.pointer)));
            fields.insert("errors".into(), json!(failure.errors));
        }
        Self { status: failure.status, content_type: "application/problem+json", file_name: None, body: body.to_string().into_bytes() }
    }
}

impl Request {
    fn param(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<u32>, Failure> {
        self.param(name)
            .map(|text| text.parse().map_err(|_| Failure::field(&format!("/{name}"), format!("{name} is a number, not {text:?}"))))
            .transpose()
    }

    fn limit(&self) -> Result<u32, Failure> {
        Ok(self.number("limit")?.unwrap_or(50).clamp(1, 200))
    }

    fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Failure> {
        let value: Value = serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new(400, "inspection.json", format!("the body is not JSON: {error}")))?;
        serde_path_to_error::deserialize(value).map_err(|error| {
            let pointer = format!("/{}", error.path().to_string().replace(['.', '['], "/").replace(']', ""));
            Failure::field(&pointer, error.inner().to_string())
        })
    }

    fn locale(&self) -> String {
        self.param("locale").unwrap_or_else(|| self.locale.clone())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateBody {
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    template: Option<Value>,
    #[serde(default)]
    version: Option<i64>,
}

impl TemplateBody {
    fn content(self) -> Result<catalog::Content, Failure> {
        match (self.source, self.template) {
            (Some(source), None) => Ok(catalog::Content::Source(source)),
            (None, Some(template)) => Ok(catalog::Content::Fields(template)),
            _ => Err(Failure::field("/source", "send either source (YAML) or template (JSON)")),
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

/// Answers a request.
pub fn handle(platform: &impl Platform, request: &Request) -> Response {
    match route(platform, request) {
        Ok(response) => response,
        Err(failure) => {
            if failure.status >= 500 {
                platform.log(&format!("{} {}: {} {}", request.method, request.path, failure.code, failure.detail));
            }
            Response::problem(&failure)
        }
    }
}

fn route(platform: &impl Platform, request: &Request) -> Result<Response, Failure> {
    let parts: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
    let changes = request.method != "GET"
        && !matches!(parts.as_slice(), ["templates", "validate"] | ["targets", "preview"] | ["schedule", "preview"]);
    // The platform refuses what a viewer's own rights do not cover; these records are the plugin's own, so the plugin says it.
    if changes && request.role == "viewer" {
        return Err(Failure::new(403, "inspection.viewer", "viewers can read inspections, not change or start them: ask an operator"));
    }
    let who = request.user.as_str();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["templates"]) => Response::json(200, &json!({ "items": catalog::list(platform)?, "next_cursor": null })),
        ("POST", ["templates"]) => Response::json(201, &catalog::create(platform, who, request.read::<TemplateBody>()?.content()?)?),
        ("POST", ["templates", "validate"]) => {
            let content = request.read::<TemplateBody>()?.content()?;
            match catalog::understand(content) {
                Ok((template, source)) => Response::json(200, &json!({ "ok": true, "template": template, "source": source, "errors": [] })),
                Err(errors) => Response::json(200, &json!({ "ok": false, "errors": errors })),
            }
        }
        ("GET", ["templates", id]) => Response::json(200, &catalog::get(platform, id)?),
        ("PUT", ["templates", id]) => {
            let body: TemplateBody = request.read()?;
            let version = body.version;
            Response::json(200, &catalog::update(platform, who, id, body.content()?, version)?)
        }
        ("DELETE", ["templates", id]) => {
            let users = inspections::users_of(platform, id)?;
            catalog::delete(platform, id, &users)?;
            Response::json(200, &json!({ "deleted": id }))
        }
        ("POST", ["templates", id, "copy"]) => {
            let body: CopyBody = request.read()?;
            Response::json(201, &catalog::copy(platform, who, id, &body.id, body.title)?)
        }
        ("POST", ["targets", "preview"]) => {
            let body: PreviewBody = request.read()?;
            Response::json(200, &inspections::preview(platform, &body.template, &body.filter)?)
        }
        ("POST", ["schedule", "preview"]) => {
            let body: CronBody = request.read()?;
            let times = platform.next_times(&body.cron, &body.timezone, 5).map_err(|failure| {
                let errors = vec![validate::Problem { pointer: "/cron".into(), message: failure.detail.clone() }];
                if failure.status < 500 { Failure { errors, ..failure } } else { failure }
            })?;
            Response::json(200, &json!({ "times": times }))
        }
        ("GET", ["inspections"]) => inspection_list(platform, request),
        ("POST", ["inspections"]) => Response::json(201, &inspections::create(platform, who, request.read::<Draft>()?)?),
        ("GET", ["inspections", id]) => {
            let found = inspections::get(platform, id)?;
            let times = match &found.inspection.schedule {
                Some(schedule) if schedule.enabled => platform.next_times(&schedule.cron, &schedule.timezone, 5).unwrap_or_default(),
                _ => Vec::new(),
            };
            let mut value = serde_json::to_value(&found)?;
            if let Some(fields) = value.as_object_mut() {
                fields.insert("next_times".into(), json!(times));
            }
            Response::json(200, &value)
        }
        ("PUT", ["inspections", id]) => Response::json(200, &inspections::update(platform, id, request.read::<Draft>()?)?),
        ("DELETE", ["inspections", id]) => {
            inspections::delete(platform, id)?;
            Response::json(200, &json!({ "deleted": id }))
        }
        ("POST", ["inspections", id, "run"]) => Response::json(202, &reports::run(platform, who, id)?),
        ("GET", ["inspections", id, "trend"]) => Response::json(200, &json!({ "items": reports::trend(platform, id, request.limit()?)? })),
        ("GET", ["reports"]) => {
            let inspection = request.param("inspection");
            Response::json(200, &reports::list(platform, inspection.as_deref(), request.param("cursor"), request.limit()?)?)
        }
        ("GET", ["reports", id]) => Response::json(200, &reports::detail(platform, id)?),
        ("DELETE", ["reports", id]) => {
            reports::delete(platform, id)?;
            Response::json(200, &json!({ "deleted": id }))
        }
        ("POST", ["reports", id, "cancel"]) => Response::json(200, &reports::cancel(platform, id)?),
        ("GET", ["reports", id, "progress"]) => Response::json(200, &reports::progress(platform, id, request.param("execution"))?),
        ("GET", ["reports", id, "targets"]) => {
            let query = reports::TargetQuery {
                plan: request.number("plan")?,
                search: request.param("search"),
                rank: request.number("rank")?,
                by_index: request.param("sort").as_deref() == Some("index"),
                cursor: request.param("cursor"),
                limit: request.limit()?,
            };
            Response::json(200, &reports::targets(platform, id, &query)?)
        }
        ("GET", ["reports", id, "targets", index, "evidence"]) => {
            let index = index.parse().map_err(|_| Failure::missing("target", index))?;
            Response::json(200, &reports::evidence(platform, id, index)?)
        }
        ("GET", ["reports", id, "export.html"]) => {
            let body = export::html(platform, id, &request.locale())?;
            Ok(Response {
                status: 200,
                content_type: "text/html; charset=utf-8",
                file_name: Some(format!("inspection-{id}.html")),
                body: body.into_bytes(),
            })
        }
        ("GET", ["reports", id, "export.csv"]) => {
            let body = export::csv(platform, id, &request.locale())?;
            Ok(Response {
                status: 200,
                content_type: "text/csv; charset=utf-8",
                file_name: Some(format!("inspection-{id}.csv")),
                body: body.into_bytes(),
            })
        }
        _ => Err(Failure::new(404, "inspection.no_route", format!("there is no {} {}", request.method, request.path))),
    }
}

/// Inspections with their newest report, so that a list needs one request.
fn inspection_list(platform: &impl Platform, request: &Request) -> Result<Response, Failure> {
    let page = inspections::list(platform, request.param("cursor"), request.limit()?)?;
    let mut items = Vec::with_capacity(page.items.len());
    for listed in page.items {
        let mut last = Value::Null;
        if let Some(id) = &listed.inspection.last_report {
            match reports::get(platform, id) {
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
        let mut value = serde_json::to_value(&listed)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("last".into(), last);
        }
        items.push(value);
    }
    Response::json(200, &json!({ "items": items, "next_cursor": page.next_cursor, "total": page.total }))
}

/// An error as an answer.
pub fn problem(failure: &Failure) -> Response {
    Response::problem(failure)
}

/// `%41` and, in queries, `+`.
pub fn decode(text: &str, query: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if query => out.push(b' '),
            b'%' => {
                let hex = [bytes.next().unwrap_or(b'?'), bytes.next().unwrap_or(b'?')];
                out.push(std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'?'));
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An action of the workflow, by name.
pub fn action(platform: &impl Platform, name: &str, input: Value) -> Result<Value, Failure> {
    fn read<T: for<'de> Deserialize<'de>>(input: Value) -> Result<T, Failure> {
        serde_path_to_error::deserialize(input).map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
            Failure::field(&format!("/{}", error.path()), error.inner().to_string())
        })
    }
    match name {
        "plan" => Ok(serde_json::to_value(crate::flow::plan(platform, &read(input)?)?)?),
        "batch" => crate::flow::batch(platform, &read(input)?),
        "grade" => Ok(serde_json::to_value(crate::flow::grade(platform, &read(input)?)?)?),
        "finish" => crate::flow::finish(platform, &read(input)?),
        _ => Err(Failure::new(404, "inspection.no_action", format!("there is no action {name:?}; these are: plan, batch, grade, finish"))),
    }
}
