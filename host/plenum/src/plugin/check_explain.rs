//! `plenum plugin check`: what a built package imports, exports and asks for, in words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use plenum_access::Permission;
use plenum_runtime::package::{Manifest, Package};

use super::build;
use super::check::{self, Interfaces, permission, plain};

/// The package of `path`: it, or what was built last of the plugin in that folder.
fn package(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let m = build::manifest(path)?;
    let built = path.join("dist").join(format!("{}-{}.plenum", m.id, m.version));
    if !built.is_file() {
        bail!("{} is not there; build it first: plenum plugin build {}", built.display(), path.display());
    }
    Ok(built)
}

/// Says what the package holds; fails when a host would refuse it.
pub fn explain(path: &Path) -> anyhow::Result<()> {
    let path = package(path)?;
    let p = Package::read(&path).with_context(|| path.display().to_string())?;
    println!("{} {}", p.manifest.id, p.manifest.version);
    let interfaces = match &p.component {
        Some(c) => Interfaces::of(c)?,
        None => Interfaces::default(),
    };
    print!("{}", text(&p.manifest, &interfaces));
    if p.component.is_none() {
        return Ok(());
    }
    let report = check::check(&p.manifest, &interfaces);
    for a in &report.advice {
        println!("\nadvice: {a}");
    }
    if !report.problems.is_empty() {
        bail!("a host would refuse it:\n{}", report.problems.join("\n"));
    }
    println!("\nno problem was found");
    Ok(())
}

fn text(m: &Manifest, c: &Interfaces) -> String {
    let mut out = String::from("\nimports\n");
    let mut empty: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (name, functions) in &c.imports {
        match wasi(plain(name)) {
            // Scripting languages bring some twenty of them: what they come to matters, not each name.
            Some(what) => *empty.entry(what).or_default() += 1,
            None => out.push_str(&own(m, name, functions)),
        }
    }
    for (what, count) in empty {
        out.push_str(&format!("  wasi ({count}): {what}\n"));
    }
    if c.imports.is_empty() {
        out.push_str("  none\n");
    }
    out.push_str("\nexports\n");
    for name in c.exports.keys() {
        out.push_str(&format!("  {name}: {}\n", export(plain(name))));
    }
    out.push_str("\npermissions\n");
    for r in &m.permissions {
        out.push_str(&format!("  {}: {}\n", r.name, used(m, c, &r.name)));
    }
    if m.permissions.is_empty() {
        out.push_str("  none are asked for\n");
    }
    out
}

fn own(m: &Manifest, name: &str, functions: &[String]) -> String {
    let what = match plain(name) {
        "plenum:cmdb/instances" => "records of the CMDB",
        "plenum:cmdb/associations" => "links between records of the CMDB",
        "plenum:cmdb/models" => "models of the CMDB",
        "plenum:jobs/executions" => "scripts on nodes",
        "plenum:workflow/runs" => "runs of workflows",
        "plenum:workflow/schedules" => "the plugin's schedules",
        "plenum:store/documents" => "the plugin's own records",
        "plenum:events/publisher" => "publishing events",
        "plenum:log/log" => "the plugin's log; needs no permission",
        "plenum:plugin/context" => "the call and the settings; needs no permission",
        "plenum:types/types" => "the contract's types; no power",
        "wasi:http/outgoing-handler" => "requests to the internet",
        _ => "no host offers it",
    };
    let mut out = format!("  {name}: {what}\n");
    for f in functions {
        let Some(p) = permission(plain(name), f) else { continue };
        let asked = if asks(m, p) { "asked for" } else { "NOT asked for: the call would be refused" };
        out.push_str(&format!("    {f}: {}, {asked}\n", p.name()));
    }
    out
}

/// What an interface of WASI comes to on a host; none for what is no WASI, or a power.
fn wasi(name: &str) -> Option<&'static str> {
    let package = name.strip_prefix("wasi:")?.split('/').next()?;
    match package {
        "clocks" => Some("the time"),
        "random" => Some("random numbers"),
        "io" => Some("streams of requests and answers"),
        "http" if name == "wasi:http/types" => Some("requests and answers"),
        "cli" => Some("no arguments, no environment, no terminal: what is printed is lost, but for what the SDK hands to the log"),
        "filesystem" => Some("no files: the host opens no folder"),
        "sockets" => Some("no network: each connection is refused"),
        _ => None,
    }
}

fn export(name: &str) -> &'static str {
    match name {
        "wasi:http/incoming-handler" => "answers requests",
        "plenum:plugin/actions" => "carries out actions",
        "plenum:plugin/events" => "handles events",
        "plenum:plugin/schedule" => "is called on schedules",
        "plenum:plugin/lifecycle" => "is called at installation, upgrade and removal",
        "plenum:plugin/health" => "is asked whether it is well after an upgrade",
        _ => "nothing that the host calls",
    }
}

fn asks(m: &Manifest, p: Permission) -> bool {
    m.permissions.iter().any(|r| r.name == p.name())
}

/// Who uses a permission.
fn used(m: &Manifest, c: &Interfaces, name: &str) -> String {
    let mut by: Vec<String> = Vec::new();
    for (interface, functions) in &c.imports {
        let calls = functions.iter().filter(|f| permission(plain(interface), f).is_some_and(|p| p.name() == name));
        by.extend(calls.map(|f| format!("{}.{f}", plain(interface))));
    }
    if name == Permission::EventsRead.name() {
        if !m.events.is_empty() {
            by.push("[[events]]".into());
        }
        if !m.pages.is_empty() {
            by.push("the pages, if they subscribe".into());
        }
    }
    match (by.is_empty(), m.workflows.is_empty()) {
        (false, _) => format!("used by {}", by.join(", ")),
        (true, false) => "not used by the component; its workflows may need it".into(),
        (true, true) => "never used: leave it out, so that an administrator has less to decide".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_import_and_permission_is_explained() {
        let manifest = "id = \"x-test\"\nname = \"X\"\nversion = \"0.1.0\"\napi = \"^0.1\"\npublisher = \"P\"\ndescription = \"D\"\n[component]\npath = \"plugin.wasm\"\n[[permissions]]\nname = \"cmdb.read\"\nreason = \"r\"\n[[permissions]]\nname = \"store\"\nreason = \"r\"\n";
        let m = Manifest::from_toml(manifest).unwrap();
        let imports = [
            ("plenum:cmdb/instances@0.1.0", vec!["get", "create"]),
            ("wasi:sockets/tcp@0.2.9", vec!["[method]tcp-socket.start-bind"]),
            ("wasi:sockets/udp@0.2.9", vec![]),
            ("fermyon:spin/redis@2.0.0", vec!["get"]),
        ];
        let imports = imports.into_iter().map(|(n, f)| (n.to_owned(), f.into_iter().map(str::to_owned).collect())).collect();
        let exports = BTreeMap::from([("wasi:http/incoming-handler@0.2.0".to_owned(), Vec::new()), ("init".to_owned(), Vec::new())]);
        let said = text(&m, &Interfaces { imports, exports });
        for words in [
            "get: cmdb.read, asked for",
            "create: cmdb.write, NOT asked for",
            "wasi (2): no network",
            "fermyon:spin/redis@2.0.0: no host offers it",
            "wasi:http/incoming-handler@0.2.0: answers requests",
            "init: nothing that the host calls",
            "cmdb.read: used by plenum:cmdb/instances.get",
            "store: never used",
        ] {
            assert!(said.contains(words), "{words} in {said}");
        }
    }
}
