//! `plenum plugin test`: the built package asked what its cases say, in the fake host or in a host of its own.
//!
//! The fake host (`on` is `fake`, or absent) is a matter of milliseconds, and everything about it can be said by the case. A host of its own
//! (`on = "host"`) is the real thing: the manifest's installation, the CMDB's own rules, the real clock.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use plenum_runtime::fake::{FakeHost, differs};
use plenum_runtime::package::Package;
use serde_json::{Value, json};

use super::build;
use super::dev_host::{DevHost, detail, line};
use super::test_case::{Came, Case, On, Step, cases};
use super::test_fake;

/// What may be said on the command line.
#[derive(Debug, clap::Args)]
pub struct TestFlags {
    /// The plugin's folder, with its plugin.toml
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The package; that of the last build when absent: dist/ID-VERSION.plenum
    #[arg(long)]
    package: Option<PathBuf>,
    /// Only cases whose name holds this
    #[arg(long)]
    case: Option<String>,
    /// Write what comes into the golden files, instead of comparing with them
    #[arg(long)]
    update: bool,
    /// Also write a report as JSON into this file
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What came of a case.
struct Ran {
    name: String,
    ms: u128,
    problem: Option<String>,
    came: Vec<Came>,
}

/// Runs the cases; a failure is that some did not go well. That they could not be run at all ends the process with 2.
pub async fn test(flags: &TestFlags) -> anyhow::Result<()> {
    let ran = match run_all(flags).await {
        Ok(ran) => ran,
        Err(e) => {
            eprintln!("error: {e:#}");
            std::process::exit(2);
        }
    };
    let failed = ran.iter().filter(|r| r.problem.is_some()).count();
    println!("\n{} passed, {failed} failed", ran.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} cases failed", ran.len());
    }
    Ok(())
}

async fn run_all(flags: &TestFlags) -> anyhow::Result<Vec<Ran>> {
    let dir = flags.dir.as_path();
    let cases = cases(dir, flags.case.as_deref())?;
    let m = build::manifest(dir)?;
    let built = || dir.join("dist").join(format!("{}-{}.plenum", m.id, m.version));
    let package = flags.package.clone().unwrap_or_else(built);
    if !package.is_file() {
        bail!("{} is not there; build it first: plenum plugin build {}", package.display(), dir.display());
    }
    let fake = match cases.iter().any(|c| c.on == On::Fake) {
        true => Some(FakeHost::new(Package::read(&package)?, dir.join("target/plenum/test"))?),
        false => None,
    };
    let home = tempfile::tempdir()?;
    let real = match cases.iter().any(|c| c.on == On::Host) {
        true => {
            let host = DevHost::own(home.path(), "127.0.0.1:0").await?;
            std::fs::copy(&package, host.catalog.join(package.file_name().context("the package has no name")?))?;
            Some(host)
        }
        false => None,
    };
    let mut all = Vec::new();
    for case in &cases {
        let started = Instant::now();
        let mut ran = Ran { name: case.name.clone(), ms: 0, problem: None, came: Vec::new() };
        match (&fake, &real) {
            (Some(fake), _) if case.on == On::Fake => {
                let shown = test_fake::run(fake, case, flags.update).await?;
                (ran.problem, ran.came) = (shown.problem, shown.came);
            }
            (_, Some(host)) => ran.problem = on_host(host, &package, case).await?,
            _ => bail!("{} has no host to run in", case.name),
        }
        ran.ms = started.elapsed().as_millis();
        match &ran.problem {
            None => println!("ok      {} ({} ms)", ran.name, ran.ms),
            Some(problem) => println!("failed  {}: {}", ran.name, problem.replace('\n', "\n        ")),
        }
        all.push(ran);
    }
    if let Some(path) = &flags.report {
        std::fs::write(path, report(&m.id, &m.version.to_string(), &all)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(all)
}

fn report(id: &str, version: &str, all: &[Ran]) -> anyhow::Result<String> {
    let failed = all.iter().filter(|r| r.problem.is_some()).count();
    let case = |r: &Ran| {
        Ok(json!({ "name": r.name, "ok": r.problem.is_none(), "ms": r.ms, "problem": r.problem, "steps": serde_json::to_value(&r.came)? }))
    };
    let cases = all.iter().map(case).collect::<anyhow::Result<Vec<Value>>>()?;
    let report = json!({ "plugin": id, "version": version, "passed": all.len() - failed, "failed": failed, "cases": cases });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

/// In a host of its own: what is wrong, with the plugin's log.
async fn on_host(host: &DevHost, package: &Path, case: &Case) -> anyhow::Result<Option<String>> {
    let manifest = Package::read(package)?.manifest;
    host.install(&manifest).await?;
    let problem = match run(host, &manifest.id, case).await {
        Ok(()) => None,
        Err(e) => {
            let log = host.log(&manifest.id).await?.iter().map(|l| format!("\n{}", line(l))).collect::<String>();
            Some(format!("{e:#}{log}"))
        }
    };
    // The next case begins with nothing of this one.
    let (status, said) = host.send("DELETE", &format!("/plugins/{}?delete_data=true", manifest.id), None).await?;
    if status >= 300 {
        bail!("the plugin could not be uninstalled after {} ({status}): {}", case.name, detail(&said));
    }
    Ok(problem)
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
    let none = serde_json::Map::new();
    for (model, records) in case.before.get("cmdb").and_then(Value::as_object).unwrap_or(&none) {
        for attributes in records.as_array().into_iter().flatten() {
            let (status, said) =
                host.send("POST", &format!("/cmdb/models/{model}/instances"), Some(json!({ "attributes": attributes }))).await?;
            let Some(record) = said.get("id").and_then(Value::as_str).filter(|_| status < 300) else {
                bail!("the CMDB does not take {attributes} as a {model} ({status}): {}", detail(&said));
            };
            made.push(format!("/cmdb/models/{model}/instances/{record}"));
        }
    }
    if let Some(settings) = case.before.get("settings") {
        let (status, said) = host.send("PUT", &format!("/plugins/{id}/settings"), Some(settings.clone())).await?;
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
        _ => bail!("in a host of its own a step is a request or an action; events and schedules are for the fake host"),
    };
    let (status, found) = host.send(method, &path, body).await?;
    let (what, expect) = (step.title(), step.expect.as_ref());
    if let Some(wanted) = expect.and_then(|e| e.status)
        && status != wanted
    {
        bail!("{what} answered {status}, not {wanted}: {found}");
    }
    if expect.is_none_or(|e| e.status.is_none()) && !(200..300).contains(&status) {
        bail!("{what} answered {status}: {found}");
    }
    match expect.and_then(|e| e.json.as_ref()).and_then(|e| differs(e, &found, "")) {
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
