//! What a component imports and exports, held against its manifest: an author hears here, with the line to write, what would else be
//! said at installation or, worse, as a refused call in production.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use plenum_access::Permission;
use plenum_runtime::package::Manifest;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, World, WorldItem, WorldKey};

/// A component's doors: names of interfaces with the functions of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// What it calls.
    pub imports: BTreeMap<String, Vec<String>>,
    /// What it offers.
    pub exports: BTreeMap<String, Vec<String>>,
}

impl Interfaces {
    /// Of a component's bytes.
    pub fn of(component: &[u8]) -> anyhow::Result<Interfaces> {
        let DecodedWasm::Component(resolve, world) = decode(component).context("the component's interfaces cannot be read")? else {
            bail!("this is a WIT package in binary form, not a component; build the component itself");
        };
        let world = resolve.worlds.get(world).context("the component has no world")?;
        let side = |pick: fn(&World) -> &wit_parser::IndexMap<WorldKey, WorldItem>| {
            pick(world).iter().filter_map(|(k, item)| Some((resolve.name_world_key(k), functions(&resolve, item)?))).collect()
        };
        Ok(Interfaces { imports: side(|w| &w.imports), exports: side(|w| &w.exports) })
    }

    fn exports_interface(&self, name: &str) -> bool {
        self.exports.keys().any(|e| plain(e) == name)
    }
}

/// None for a type: it gives nobody a power.
fn functions(resolve: &Resolve, item: &WorldItem) -> Option<Vec<String>> {
    match item {
        WorldItem::Interface { id, .. } => {
            Some(resolve.interfaces.get(*id).map(|i| i.functions.keys().cloned().collect()).unwrap_or_default())
        }
        WorldItem::Function(_) => Some(Vec::new()),
        WorldItem::Type { .. } => None,
    }
}

/// Without its version: the host's linker lets versions that are compatible meet.
pub fn plain(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// The permission that a function takes; none for what every plugin may call. Mirrors what the host's domains check.
pub fn permission(interface: &str, function: &str) -> Option<Permission> {
    Some(match (interface, function) {
        ("plenum:cmdb/instances", "create" | "update" | "delete" | "write-bulk" | "restore") => Permission::CmdbWrite,
        ("plenum:cmdb/associations", "associate" | "dissociate") => Permission::CmdbWrite,
        ("plenum:cmdb/instances" | "plenum:cmdb/associations" | "plenum:cmdb/models", _) => Permission::CmdbRead,
        ("plenum:jobs/executions", "run" | "cancel") => Permission::JobsRun,
        ("plenum:jobs/executions", _) => Permission::JobsRead,
        ("plenum:workflow/runs", "get") => Permission::WorkflowRead,
        ("plenum:workflow/runs" | "plenum:workflow/schedules", _) => Permission::WorkflowRun,
        ("plenum:store/documents" | "wasi:keyvalue/store" | "wasi:keyvalue/atomics" | "wasi:keyvalue/batch", _) => Permission::Store,
        ("plenum:plugin/calls", _) => Permission::PluginsUse,
        ("plenum:events/publisher", _) => Permission::EventsPublish,
        ("wasi:http/outgoing-handler", _) => Permission::HttpOutgoing,
        ("plenum:notify/notifications", _) => Permission::NotifySend,
        _ => return None,
    })
}

/// Permissions that only a component's calls use, so that it can be said when none of them does.
const BY_CALLS: &[Permission] = &[
    Permission::CmdbRead,
    Permission::CmdbWrite,
    Permission::JobsRun,
    Permission::JobsRead,
    Permission::WorkflowRun,
    Permission::WorkflowRead,
    Permission::Store,
    Permission::EventsPublish,
    Permission::HttpOutgoing,
    Permission::NotifySend,
];

/// What came of the check: `problems` stop the build, `advice` does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The host would refuse the plugin, or could not do what the manifest says.
    pub problems: Vec<String>,
    /// It works, and is probably not what the author means.
    pub advice: Vec<String>,
}

/// Holds a component against its manifest.
pub fn check(m: &Manifest, c: &Interfaces) -> Report {
    let mut report = Report::default();
    imports(m, c, &mut report);
    exports(m, c, &mut report);
    report
}

fn imports(m: &Manifest, c: &Interfaces, report: &mut Report) {
    let asked = |p: Permission| m.permissions.iter().any(|r| r.name == p.name());
    let mut used: Vec<Permission> = Vec::new();
    for (name, functions) in &c.imports {
        if !name.starts_with("plenum:") && !name.starts_with("wasi:") {
            report.problems.push(format!("the component imports {name}, which no host offers; was it built for another platform?"));
            continue;
        }
        if let Err(e) = m.require_import(name) {
            report.problems.push(e.to_string());
        }
        let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for f in functions {
            let Some(p) = permission(plain(name), f) else { continue };
            used.push(p);
            if !asked(p) {
                missing.entry(p.name()).or_default().push(f);
            }
        }
        // The host links an interface whole, by any permission that covers a part of it.
        let linked = functions.iter().any(|f| permission(plain(name), f).is_none_or(asked)) || functions.is_empty();
        for (p, functions) in missing {
            let calls = format!("the component calls {} of {name}, and plugin.toml does not ask for {p}", functions.join(", "));
            if linked {
                report.advice.push(format!("{calls}: those calls will be refused. Add:\n\n{}", entry(p)));
            } else {
                report.problems.push(format!("{calls}. Add:\n\n{}", entry(p)));
            }
        }
    }
    // A workflow's calls are made as the plugin, and its page is told of events: what those use cannot be seen here.
    if m.workflows.is_empty() {
        for p in BY_CALLS.iter().filter(|p| asked(**p) && !used.contains(p)) {
            report.advice.push(format!(
                "plugin.toml asks for {} and the component never uses it: leave it out, so that an administrator has less to decide",
                p.name()
            ));
        }
    }
}

/// What to write into `plugin.toml`.
fn entry(permission: &str) -> String {
    let scope = match permission {
        "cmdb.read" | "cmdb.write" => "scope = { models = [\"host\"] }        # leave out for all models\n",
        "jobs.run" => "scope = { users = [\"nobody\"], targets = [\"env == \\\"test\\\"\"] }        # leave out for all\n",
        "events.publish" => "scope = { types = [\"my.event\"] }\n",
        "notify.send" => "scope = { roles = [\"operator\"] }        # leave out for everybody\n",
        "http.outgoing" => "scope = { hosts = [\"api.example.com\"] }\n",
        _ => "",
    };
    format!("[[permissions]]\nname = \"{permission}\"\n{scope}reason = \"...\"\n")
}

fn exports(m: &Manifest, c: &Interfaces, report: &mut Report) {
    let names = |list: Vec<&str>| list.join(", ");
    let lacks = |interface: &str| !c.exports_interface(interface);
    if !m.actions.is_empty() && lacks("plenum:plugin/actions") {
        let list = names(m.actions.iter().map(|a| a.name.as_str()).collect());
        report.problems.push(format!(
            "plugin.toml declares the actions {list}, and the component exports no plenum:plugin/actions. In Rust: plugin! {{ actions = [name: function] }}"
        ));
    }
    let alone: Vec<&str> = m.schedules.iter().filter(|s| s.action.is_none()).map(|s| s.id.as_str()).collect();
    if !alone.is_empty() && lacks("plenum:plugin/schedule") {
        report.problems.push(format!(
            "plugin.toml declares the schedules {} without an action, and the component exports no plenum:plugin/schedule. Name an action in each, or in Rust: plugin! {{ schedule = function }}",
            names(alone)
        ));
    }
    if !m.events.is_empty() && lacks("plenum:plugin/events") {
        report.problems.push(
            "plugin.toml subscribes to events, and the component exports no plenum:plugin/events. In Rust: plugin! { events = function }"
                .into(),
        );
    }
    if m.actions.is_empty() && !lacks("plenum:plugin/actions") {
        report.advice.push("the component offers actions, and plugin.toml declares none under [[actions]]: nobody can call them".into());
    }
    if m.events.is_empty() && !lacks("plenum:plugin/events") {
        report.advice.push("the component handles events, and plugin.toml subscribes to none under [[events]]: it is never called".into());
    }
    if m.schedules.is_empty() && !lacks("plenum:plugin/schedule") {
        report.advice.push("the component has a schedule function, and plugin.toml has no [[schedules]]: it is never called".into());
    }
    for name in c.exports.keys() {
        let version = name.split_once('@').map_or("", |(_, v)| v);
        if name.starts_with("plenum:plugin/") && !version.starts_with("0.1.") {
            report.problems.push(format!("the component exports {name}; this host calls version 0.1.0 of it"));
        }
        if plain(name) == "wasi:http/incoming-handler" && !version.starts_with("0.2.") {
            report.problems.push(format!("the component exports {name}; this host calls wasi:http/incoming-handler@0.2"));
        }
    }
    if !c.exports.keys().any(|e| e.starts_with("plenum:plugin/") || plain(e) == "wasi:http/incoming-handler") {
        let hint = if c.exports_interface("wasi:cli/run") {
            " It exports wasi:cli/run: it is a command for the shell, and a plugin answers requests."
        } else {
            ""
        };
        report.problems.push(format!(
            "the component exports nothing that the host calls: wasi:http/incoming-handler, or actions, events, schedule, lifecycle of plenum:plugin.{hint} In Rust: plugin! {{ http = router }}"
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn manifest(more: &str) -> Manifest {
        let text = format!(
            "id = \"x-test\"\nname = \"X\"\nversion = \"0.1.0\"\napi = \"^0.1\"\npublisher = \"P\"\ndescription = \"D\"\n[component]\npath = \"plugin.wasm\"\n{more}"
        );
        Manifest::from_toml(&text).unwrap()
    }

    fn component(imports: &[(&str, &[&str])], exports: &[&str]) -> Interfaces {
        let own = |f: &[&str]| f.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>();
        Interfaces {
            imports: imports.iter().map(|(n, f)| ((*n).to_owned(), own(f))).collect(),
            exports: exports.iter().map(|n| ((*n).to_owned(), Vec::new())).collect(),
        }
    }

    const HTTP: &str = "wasi:http/incoming-handler@0.2.0";
    const READ: &str = "[[permissions]]\nname = \"cmdb.read\"\nreason = \"r\"\n";

    #[test]
    fn an_import_that_is_not_asked_for_is_told_with_the_lines_to_write() {
        let c = component(&[("plenum:cmdb/instances@0.1.0", &["get"])], &[HTTP]);
        let report = check(&manifest(""), &c);
        assert_eq!(report.problems.len(), 1);
        assert!(report.problems[0].contains("[[permissions]]\nname = \"cmdb.read\"\nscope = { models"), "{}", report.problems[0]);
        assert_eq!(check(&manifest(READ), &c), Report::default());
    }

    #[test]
    fn a_call_beyond_what_is_asked_is_advice_and_names_the_function() {
        let c = component(&[("plenum:cmdb/instances@0.1.0", &["get", "create"])], &[HTTP]);
        let report = check(&manifest(READ), &c);
        assert!(report.problems.is_empty());
        assert!(report.advice[0].starts_with("the component calls create of plenum:cmdb/instances@0.1.0"), "{}", report.advice[0]);
    }

    #[test]
    fn a_permission_that_is_never_used_is_told() {
        let report = check(&manifest(READ), &component(&[], &[HTTP]));
        assert!(report.advice[0].contains("cmdb.read and the component never uses it"));
    }

    #[test]
    fn clocks_random_and_the_log_need_nothing() {
        let free: &[(&str, &[&str])] = &[
            ("wasi:clocks/wall-clock@0.2.0", &["now"]),
            ("wasi:random/random@0.2.0", &["get-random-bytes"]),
            ("plenum:log/log@0.1.0", &["write"]),
        ];
        assert_eq!(check(&manifest(""), &component(free, &[HTTP])), Report::default());
    }

    #[test]
    fn what_the_manifest_promises_has_to_be_exported() {
        let more = "[[actions]]\nname = \"plan\"\n[[schedules]]\nid = \"daily\"\ncron = \"0 6 * * *\"\n[[permissions]]\nname = \"events.read\"\nscope = { types = [\"plenum.*\"] }\nreason = \"r\"\n[[events]]\ntypes = [\"plenum.node.online\"]\n";
        let told = check(&manifest(more), &component(&[], &[HTTP])).problems.join("\n");
        for words in ["the actions plan", "the schedules daily", "subscribes to events"] {
            assert!(told.contains(words), "{told}");
        }
        let all = ["plenum:plugin/actions@0.1.0", "plenum:plugin/schedule@0.1.0", "plenum:plugin/events@0.1.0"];
        assert_eq!(check(&manifest(more), &component(&[], &all)), Report::default());
        // Exported and not promised: harmless, and surely a slip.
        assert_eq!(check(&manifest(""), &component(&[], &all)).advice.len(), 3);
    }

    #[test]
    fn components_for_other_platforms_are_told_apart() {
        let problems =
            |imports: &[(&str, &[&str])], exports: &[&str]| check(&manifest(""), &component(imports, exports)).problems.join("\n");
        assert!(problems(&[], &["wasi:cli/run@0.2.0"]).contains("a command for the shell"));
        assert!(problems(&[("fermyon:spin/redis@2.0.0", &["get"])], &[HTTP]).contains("no host offers"));
        assert!(problems(&[], &["plenum:plugin/actions@9.0.0"]).contains("version 0.1.0"));
        assert!(problems(&[], &["wasi:http/incoming-handler@0.3.0"]).contains("incoming-handler@0.2"));
    }

    #[test]
    fn a_real_component_is_read_function_by_function() {
        let wit = "package a:b;\ninterface i { f: func(); g: func(); }\nworld w { import i; export run: func(); }";
        let mut resolve = Resolve::default();
        let package = resolve.push_str("a.wit", wit).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        let mut module = wit_module();
        wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
        let component = wit_component::ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
        let found = Interfaces::of(&component).unwrap();
        // The world offers f and g; the module calls f.
        assert_eq!(found.imports["a:b/i"], ["f"]);
        assert!(found.exports.contains_key("run"));
    }

    /// `(module (import "a:b/i" "f" (func)) (func (export "run")))`, as bytes: no text format is at hand.
    fn wit_module() -> Vec<u8> {
        let mut m = b"\0asm\x01\0\0\0".to_vec();
        m.extend([1, 4, 1, 0x60, 0, 0]); // one type: no parameters, no results
        m.extend([2, 11, 1, 5]); // one import, whose module's name has 5 bytes
        m.extend(b"a:b/i\x01f\0\0");
        m.extend([3, 2, 1, 0]); // one function of that type
        m.extend([7, 7, 1, 3]); // one export
        m.extend(b"run\0\x01");
        m.extend([10, 4, 1, 2, 0, 0x0b]); // its body: nothing
        m
    }
}
