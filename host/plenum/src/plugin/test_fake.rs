//! Runs a case in the fake host: each step, what came of it, and whether that is what is expected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use plenum_runtime::RuntimeError;
use plenum_runtime::fake::{FakeHost, HostCall, Outcome, World, differs};
use serde_json::{Map, Value, json};

use super::test_case::{Came, Case, Expect, Step, diff};

/// What a case showed: nothing, when all is as expected.
pub struct Shown {
    /// What came of each step.
    pub came: Vec<Came>,
    /// What is wrong, in words for people.
    pub problem: Option<String>,
}

const LOG: &str = "plenum:log/log.write";

/// Runs it.
pub async fn run(host: &FakeHost, case: &Case, update: bool) -> anyhow::Result<Shown> {
    let world = World::new(host.manifest().clone(), case.fixtures()?).map_err(|e| anyhow::anyhow!("{}: {e}", case.path.display()))?;
    let world = Arc::new(Mutex::new(world));
    let mut shown = Shown { came: Vec::new(), problem: None };
    for (n, step) in case.steps.iter().enumerate() {
        let came = take(host, &world, step).await.with_context(|| format!("{}: step {}", case.path.display(), n + 1))?;
        let problem = step.expect.as_ref().and_then(|e| unlike(e, &came));
        shown.came.push(came);
        if let Some(problem) = problem {
            shown.problem = Some(format!("step {}, {}: {problem}", n + 1, step.title()));
            return Ok(shown);
        }
    }
    if case.golden {
        shown.problem = golden(case, &shown.came, update)?;
    }
    Ok(shown)
}

/// Compares with the golden file, or writes it.
fn golden(case: &Case, came: &[Came], update: bool) -> anyhow::Result<Option<String>> {
    let path = case.golden_path();
    let found = serde_json::to_string_pretty(came)? + "\n";
    let known = std::fs::read_to_string(&path).ok();
    if update {
        if known.as_deref() != Some(&found) {
            std::fs::write(&path, found).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(match known {
        None => Some(format!("there is no tests/{name} to compare with; look at what comes, and write it with --update")),
        Some(known) if known == found => None,
        Some(known) => {
            Some(format!("it is not as tests/{name} says (- expected, + found; --update takes it over):\n{}", diff(&known, &found)))
        }
    })
}

async fn take(host: &FakeHost, world: &Arc<Mutex<World>>, step: &Step) -> anyhow::Result<Came> {
    if let Some(s) = step.advance_s {
        let by = Duration::try_from_secs_f64(s).map_err(|_| anyhow::anyhow!("advance_s: {s} is no number of seconds"))?;
        world.lock().unwrap_or_else(PoisonError::into_inner).advance(by);
    }
    let done = |body: Value| Outcome { status: if body.is_null() { 204 } else { 200 }, headers: Default::default(), body };
    let result = match step {
        Step { request: Some(request), .. } => host.http(world, http_request(request, step)?).await,
        Step { action: Some(action), .. } => {
            let input = step.json.clone().unwrap_or_else(|| json!({}));
            host.action(world, action, &input, step.key.clone()).await.map(done)
        }
        Step { event: Some(event), .. } => host.event(world, event).await.map(|()| done(Value::Null)),
        Step { schedule: Some(id), .. } => host.schedule(world, id).await.map(done),
        Step { lifecycle: Some(what), .. } => host.lifecycle(world, what).await.map(|()| done(Value::Null)),
        _ => bail!("it has neither request, action, event, schedule nor lifecycle"),
    };
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(e) => failed(&e),
    };
    let kept = ["content-type", "location"];
    let headers: Map<String, Value> =
        outcome.headers.into_iter().filter(|(n, _)| kept.contains(&n.as_str())).map(|(n, v)| (n, json!(v))).collect();
    let calls = world.lock().unwrap_or_else(PoisonError::into_inner).calls();
    Ok(Came { step: step.title(), status: outcome.status, headers, body: outcome.body, calls })
}

/// As the host says it to the caller.
fn failed(e: &RuntimeError) -> Outcome {
    let body = json!({ "code": e.code(), "status": e.status(), "detail": e.to_string() });
    Outcome { status: e.status(), headers: Default::default(), body }
}

fn http_request(request: &str, step: &Step) -> anyhow::Result<axum::http::Request<axum::body::Bytes>> {
    let (method, path) = request.split_once(' ').with_context(|| format!("{request:?} is not \"METHOD /path\""))?;
    let mut built = axum::http::Request::builder().method(method).uri(path);
    for (name, value) in &step.headers {
        built = built.header(name, value);
    }
    let body = match (&step.json, &step.text) {
        (Some(json), None) => {
            built = built.header("content-type", "application/json");
            json.to_string()
        }
        (None, text) => text.clone().unwrap_or_default(),
        _ => bail!("a step has json or text"),
    };
    built.body(body.into()).with_context(|| format!("{request:?} is no request"))
}

/// Where a step is not what is expected.
fn unlike(e: &Expect, came: &Came) -> Option<String> {
    let status = match e.status {
        Some(wanted) => (came.status != wanted).then(|| format!("it answered {}, not {wanted}", came.status)),
        None => (!(200..300).contains(&came.status)).then(|| format!("it answered {}", came.status)),
    };
    if let Some(problem) = status {
        return Some(format!("{problem}: {}", text(&came.body)));
    }
    if let Some(difference) = e.json.as_ref().and_then(|j| differs(j, &came.body, "")) {
        return Some(format!("{difference}, in {}", text(&came.body)));
    }
    if let Some(wanted) = e.text.as_ref().filter(|t| !text(&came.body).contains(t.as_str())) {
        return Some(format!("{wanted:?} is not in {}", text(&came.body)));
    }
    let wanted = e.calls.as_ref()?;
    let made: Vec<&HostCall> = came.calls.iter().filter(|c| c.call != LOG || wanted.iter().any(|w| LOG.ends_with(&w.call))).collect();
    let named = |full: &str, short: &str| full.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '/', ':']));
    for (n, (w, m)) in wanted.iter().zip(&made).enumerate() {
        let n = n + 1;
        if !named(&m.call, &w.call) {
            return Some(format!("call {n} of the host is {} {}, not {}", m.call, m.args, w.call));
        }
        if let Some(difference) = w.args.as_ref().and_then(|a| differs(a, &m.args, "")) {
            return Some(format!("call {n} of the host, {}: {difference}, in {}", m.call, m.args));
        }
        if w.error.is_some() && w.error != m.error {
            return Some(format!("call {n} of the host, {}, is answered {}", m.call, m.error.as_deref().unwrap_or("without an error")));
        }
    }
    if wanted.len() == made.len() {
        return None;
    }
    let list = made.iter().map(|m| m.call.as_str()).collect::<Vec<_>>().join(", ");
    Some(format!("{} calls of the host are expected, and these were made: {}", wanted.len(), if list.is_empty() { "none" } else { &list }))
}

fn text(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn came(status: u16, body: Value, calls: &[(&str, Value)]) -> Came {
        let calls = calls.iter().map(|(c, a)| HostCall { call: (*c).to_owned(), args: a.clone(), error: None }).collect();
        Came { step: "GET /".into(), status, headers: Map::new(), body, calls }
    }

    fn problem(expect: Value, came: &Came) -> String {
        unlike(&serde_json::from_value(expect).unwrap(), came).unwrap_or_default()
    }

    #[test]
    fn calls_are_compared_by_name_arguments_and_order() {
        let c = came(
            200,
            json!("well"),
            &[
                ("plenum:cmdb/instances.get", json!({ "model": "host", "id": "1" })),
                (LOG, json!({ "message": "x" })),
                ("outside", json!({ "request": "GET https://a/" })),
            ],
        );
        let two = json!({ "calls": [{ "call": "instances.get", "args": { "id": "1" } }, { "call": "outside" }] });
        assert_eq!(problem(two, &c), "");
        assert_eq!(problem(json!({ "calls": [{ "call": "get" }, { "call": "log.write" }, { "call": "outside" }] }), &c), "");
        for (expect, words) in [
            (json!({ "calls": [{ "call": "outside" }, { "call": "get" }] }), "call 1 of the host is plenum:cmdb/instances.get"),
            (json!({ "calls": [{ "call": "get", "args": { "id": "2" } }, { "call": "outside" }] }), "/id is \"1\", not \"2\""),
            (
                json!({ "calls": [{ "call": "get" }] }),
                "1 calls of the host are expected, and these were made: plenum:cmdb/instances.get, outside",
            ),
            (json!({ "calls": [{ "call": "et" }, { "call": "outside" }] }), "not et"),
            (json!({ "status": 201 }), "it answered 200, not 201: well"),
            (json!({ "text": "ill" }), "\"ill\" is not in well"),
        ] {
            let said = problem(expect, &c);
            assert!(said.contains(words), "{said}");
        }
        assert!(problem(json!({}), &came(500, json!("no"), &[])).contains("it answered 500"));
    }
}
