//! `plenum plugin test`: the built package in a host of its own, asked what its cases say.
//!
//! A case is a file `tests/*.case.json`: records for the CMDB, settings, and steps, each a request or an action with what is expected of the
//! answer. What native tests on the SDK's fake cannot see is seen here: the manifest, schemas, permissions, the real filters, the component.

use std::path::Path;

use anyhow::{Context, bail};
use plenum_runtime::package::Package;
use serde::Deserialize;
use serde_json::{Value, json};

use super::build;
use super::dev_host::{DevHost, detail, line};

/// A file of `tests/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Records by model, put there before.
    #[serde(default)]
    cmdb: std::collections::BTreeMap<String, Vec<Value>>,
    /// Settings of the plugin.
    #[serde(default)]
    settings: Value,
    steps: Vec<Step>,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// `GET /summary`, to a route of the plugin.
    #[serde(default)]
    request: Option<String>,
    /// Or an action of the plugin.
    #[serde(default)]
    action: Option<String>,
    /// What is sent.
    #[serde(default)]
    json: Option<Value>,
    expect: Expect,
}

/// What is expected of an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    #[serde(default = "ok")]
    status: u16,
    /// Has to be in the answer: objects may have more fields, lists not more items; `"*"` is any value.
    #[serde(default)]
    json: Option<Value>,
}

fn ok() -> u16 {
    200
}

/// Where an answer is not what is expected; none when it is.
fn differs(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::String(any), _) if any == "*" => None,
        (Value::Object(e), Value::Object(f)) => e.iter().find_map(|(k, v)| match f.get(k) {
            Some(found) => differs(v, found, &format!("{at}/{k}")),
            None => Some(format!("{at}/{k} is missing")),
        }),
        (Value::Array(e), Value::Array(f)) if e.len() == f.len() => {
            e.iter().zip(f).enumerate().find_map(|(i, (e, f))| differs(e, f, &format!("{at}/{i}")))
        }
        _ if expected == found => None,
        _ => Some(format!("{} is {found}, not {expected}", if at.is_empty() { "it" } else { at })),
    }
}

/// Runs all cases of the plugin in `dir` on its last build.
pub async fn test(dir: &Path) -> anyhow::Result<()> {
    let mut cases: Vec<_> = std::fs::read_dir(dir.join("tests"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.to_string_lossy().ends_with(".case.json"))
        .collect();
    cases.sort();
    if cases.is_empty() {
        bail!("{} has no tests/*.case.json; see \"Testing\" in the plugin author's guide", dir.display());
    }
    let m = build::manifest(dir)?;
    let package = dir.join("dist").join(format!("{}-{}.plenum", m.id, m.version));
    if !package.is_file() {
        bail!("{} is not there; build it first: plenum plugin build {}", package.display(), dir.display());
    }
    let home = tempfile::tempdir()?;
    let host = DevHost::own(home.path(), "127.0.0.1:0").await?;
    let file = package.file_name().context("the package has no name")?;
    std::fs::copy(&package, host.catalog.join(file))?;
    let manifest = Package::read(&package)?.manifest;
    let mut failed = 0;
    for path in &cases {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let case: Case = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        host.install(&manifest).await?;
        let result = run(&host, &manifest.id, &case).await;
        match &result {
            Ok(()) => println!("ok      {name}"),
            Err(e) => {
                failed += 1;
                println!("failed  {name}: {e:#}");
                for l in host.log(&manifest.id).await? {
                    println!("        {}", line(&l));
                }
            }
        }
        // The next case begins with nothing of this one.
        let (status, said) = host.send("DELETE", &format!("/plugins/{}?delete_data=true", manifest.id), None).await?;
        if status >= 300 {
            bail!("the plugin could not be uninstalled after {name} ({status}): {}", detail(&said));
        }
    }
    println!("\n{} passed, {failed} failed", cases.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} cases failed", cases.len());
    }
    Ok(())
}

async fn run(host: &DevHost, id: &str, case: &Case) -> anyhow::Result<()> {
    let mut made = Vec::new();
    let mut result = prepare(host, id, case, &mut made).await;
    if result.is_ok() {
        for (n, step) in case.steps.iter().enumerate() {
            result = take(host, id, step).await.with_context(|| format!("step {}", n + 1));
            if result.is_err() {
                break;
            }
        }
    }
    for record in made {
        host.send("DELETE", &record, None).await?;
    }
    result
}

async fn prepare(host: &DevHost, id: &str, case: &Case, made: &mut Vec<String>) -> anyhow::Result<()> {
    for (model, records) in &case.cmdb {
        for attributes in records {
            let (status, said) =
                host.send("POST", &format!("/cmdb/models/{model}/instances"), Some(json!({ "attributes": attributes }))).await?;
            let Some(record) = said.get("id").and_then(Value::as_str).filter(|_| status < 300) else {
                bail!("the CMDB does not take {attributes} as a {model} ({status}): {}", detail(&said));
            };
            made.push(format!("/cmdb/models/{model}/instances/{record}"));
        }
    }
    if !case.settings.is_null() {
        let (status, said) = host.send("PUT", &format!("/plugins/{id}/settings"), Some(case.settings.clone())).await?;
        if status >= 300 {
            bail!("the settings are not valid ({status}): {}", detail(&said));
        }
    }
    Ok(())
}

async fn take(host: &DevHost, id: &str, step: &Step) -> anyhow::Result<()> {
    let (method, path, body) = match (&step.request, &step.action) {
        (Some(request), None) => {
            let (method, path) = request.split_once(' ').with_context(|| format!("{request:?} is not \"METHOD /path\""))?;
            (method, format!("/plugins/{id}/http{path}"), step.json.clone())
        }
        (None, Some(action)) => ("POST", format!("/plugins/{id}/actions/{action}"), Some(step.json.clone().unwrap_or_else(|| json!({})))),
        _ => bail!("a step has either `request` or `action`"),
    };
    let (status, found) = host.send(method, &path, body).await?;
    let what = step.request.as_ref().or(step.action.as_ref()).cloned().unwrap_or_default();
    if status != step.expect.status {
        bail!("{what} answered {status}, not {}: {found}", step.expect.status);
    }
    match step.expect.json.as_ref().and_then(|e| differs(e, &found, "")) {
        Some(difference) => bail!("{what}: {difference}, in {found}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_may_have_more_and_has_to_have_what_is_expected() {
        let found = json!({ "a": [1, { "b": "x", "id": "7" }], "c": null });
        for expected in [json!({}), json!({ "a": [1, { "b": "x" }] }), json!({ "a": "*", "c": null }), json!("*")] {
            assert_eq!(differs(&expected, &found, ""), None, "{expected}");
        }
        for (expected, words) in [
            (json!({ "a": [1] }), "/a is [1,"),
            (json!({ "a": [1, { "b": "y" }] }), "/a/1/b is \"x\", not \"y\""),
            (json!({ "d": 1 }), "/d is missing"),
            (json!([]), "it is {"),
        ] {
            let said = differs(&expected, &found, "").unwrap();
            assert!(said.contains(words), "{said}");
        }
    }
}
