//! The world of a component whose language does not drop what is not called: Python and JavaScript import what the world names. So a world is
//! made for each plugin, of the interfaces and functions that its code uses and the exports that it has, and its component then asks for
//! no more than one in Rust would.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve};

use plenum_runtime::package::Manifest;

/// Name of the world in what [`write`] leaves behind.
pub const WORLD: &str = "plugin";

/// Packages of the contract in the order in which they use each other.
const CONTRACT: &[&str] = &["types", "log", "store", "cmdb", "jobs", "workflow", "events", "plugin", "metrics", "notify", "wasi-keyvalue"];
/// Those that came later: a plugin that was begun before does without.
const LATER: &[&str] = &["metrics", "notify", "wasi-keyvalue"];

/// WASI's own, which the SDKs call beside the contract.
const WASI: &[(&str, &str)] = &[
    ("io.wit", include_str!("../../../../sdk/rust/wit/wasi-io/io.wit")),
    ("http.wit", include_str!("../../../../sdk/rust/wit/wasi-http/http.wit")),
    ("random.wit", include_str!("../../../../sdk/rust/wit/wasi-random/random.wit")),
];

/// Without a permission, and wherever a plugin goes: its log, and who calls.
const ALWAYS: &[&str] = &["plenum:log/log", "plenum:plugin/context"];

/// Functions of the contract by interface, `plenum:cmdb/instances` → `get`.
pub type Uses = BTreeMap<String, BTreeSet<String>>;

/// What a plugin offers, as its SDK tells it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offers {
    /// Whether it answers requests.
    pub http: bool,
    /// Its actions.
    pub actions: Vec<String>,
    /// Its schedules.
    pub schedules: Vec<String>,
    /// Types of events that it handles.
    pub events: Vec<String>,
    /// Hooks that it has.
    pub lifecycle: Vec<String>,
    /// Whether it can say that it is well.
    pub health: bool,
}

impl Offers {
    fn exports(&self) -> Vec<&'static str> {
        let all = [
            (self.http, "wasi:http/incoming-handler@0.2.0"),
            (!self.actions.is_empty(), "plenum:plugin/actions@0.1.0"),
            (!self.schedules.is_empty(), "plenum:plugin/schedule@0.1.0"),
            (!self.events.is_empty(), "plenum:plugin/events@0.1.0"),
            (!self.lifecycle.is_empty(), "plenum:plugin/lifecycle@0.1.0"),
            (self.health, "plenum:plugin/health@0.1.0"),
        ];
        all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
    }

    /// What the manifest names and the code does not have: the component's interfaces do not show it.
    pub fn against(&self, m: &Manifest, source: &str) -> Vec<String> {
        let mut out = Vec::new();
        let mut lacks = |kind: &str, name: &str, known: &[String]| {
            if !known.iter().any(|k| k == name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                out.push(format!("plugin.toml declares the {kind} {name}, and {source} has no such {kind}; it has: {known}"));
            }
        };
        for a in &m.actions {
            lacks("action", &a.name, &self.actions);
        }
        for s in m.schedules.iter().filter(|s| s.action.is_none()) {
            lacks("schedule", &s.id, &self.schedules);
        }
        for a in self.actions.iter().filter(|a| !m.actions.iter().any(|d| d.name == **a)) {
            out.push(format!(
                "{source} has the action {a}, and plugin.toml declares none of that name under [[actions]]: nobody can call it"
            ));
        }
        out
    }
}

/// Writes the WIT of the plugin's world below `to`: the contract's packages with what is not used left out.
///
/// `contract` is the folder with the contract that came with the plugin's SDK.
pub fn write(contract: &Path, to: &Path, uses: &Uses, offers: &Offers, more: &[&str]) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let mut packages: Vec<(String, PackageId)> = Vec::new();
    for name in CONTRACT {
        let dir = contract.join(name);
        if LATER.contains(name) && !dir.is_dir() {
            continue;
        }
        let (id, _) = resolve.push_dir(&dir).with_context(|| format!("the contract {} cannot be read", dir.display()))?;
        packages.push(((*name).to_owned(), id));
    }
    for (name, text) in WASI {
        let id = resolve.push_str(name, text).with_context(|| (*name).to_owned())?;
        packages.push((format!("wasi-{}", name.trim_end_matches(".wit")), id));
    }
    let mut world = format!("package plenum:guest;\nworld {WORLD} {{\n");
    for interface in ALWAYS {
        world.push_str(&format!("  import {interface}@0.1.0;\n"));
    }
    for (interface, functions) in uses {
        let version = trim(&mut resolve, interface, functions)?;
        world.push_str(&format!("  import {interface}@{version};\n"));
    }
    for interface in more {
        world.push_str(&format!("  import {interface};\n"));
    }
    for interface in offers.exports() {
        world.push_str(&format!("  export {interface};\n"));
    }
    world.push_str("}\n");
    // Resolved here too: what is wrong with it is then said by us and not by another language's tool.
    resolve.push_str("world.wit", &world).context("the plugin's world")?;
    let _ = std::fs::remove_dir_all(to);
    for (name, id) in packages {
        let mut printer = WitPrinter::default();
        printer.print(&resolve, id, &[])?;
        let dir = to.join("deps").join(name);
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        std::fs::write(dir.join("package.wit"), printer.output.to_string())?;
    }
    std::fs::write(to.join("world.wit"), world)?;
    Ok(())
}

/// Leaves the functions of an interface that are named, or all when none is: those of resources. Answers its version.
fn trim(resolve: &mut Resolve, interface: &str, functions: &BTreeSet<String>) -> anyhow::Result<String> {
    let (package, name) = interface.split_once('/').with_context(|| format!("{interface} names no interface"))?;
    let found = resolve.packages.iter().find(|(_, p)| format!("{}:{}", p.name.namespace, p.name.name) == package);
    let version = found.and_then(|(_, p)| p.name.version.as_ref()).map_or_else(|| "0.1.0".to_owned(), ToString::to_string);
    let id = found.and_then(|(_, p)| p.interfaces.get(name).copied());
    let Some(interface_) = id.and_then(|id| resolve.interfaces.get_mut(id)) else {
        bail!("the contract that came with the plugin has no {interface}; `plenum plugin new` of this version brings a newer one");
    };
    if let Some(missing) = functions.iter().find(|f| !interface_.functions.contains_key(*f)) {
        bail!("{interface} of the contract that came with the plugin has no function {missing}");
    }
    if !functions.is_empty() {
        interface_.functions.retain(|f, _| functions.contains(f));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn contract() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
    }

    #[test]
    fn a_world_has_what_is_used_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let uses = Uses::from([
            ("plenum:cmdb/instances".to_owned(), BTreeSet::from(["get".to_owned()])),
            ("wasi:keyvalue/store".to_owned(), BTreeSet::new()),
        ]);
        let offers = Offers { http: true, actions: vec!["count".into()], ..Offers::default() };
        write(&contract(), dir.path(), &uses, &offers, &["wasi:random/random@0.2.0"]).unwrap();
        // As another tool reads it.
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(dir.path()).unwrap();
        let world = resolve.select_world(&[package], Some(WORLD)).unwrap();
        let names = |items: &wit_parser::IndexMap<wit_parser::WorldKey, wit_parser::WorldItem>| {
            items.keys().map(|k| resolve.name_world_key(k)).collect::<Vec<_>>()
        };
        let world = &resolve.worlds[world];
        assert_eq!(names(&world.exports), ["wasi:http/incoming-handler@0.2.0", "plenum:plugin/actions@0.1.0"]);
        let imports = names(&world.imports);
        assert!(imports.contains(&"plenum:cmdb/instances@0.1.0".to_owned()) && imports.contains(&"wasi:random/random@0.2.0".to_owned()));
        assert!(!imports.iter().any(|i| i.contains("jobs") || i.contains("plenum:store")), "{imports:?}");
        assert!(imports.contains(&"wasi:keyvalue/store@0.2.0-draft".to_owned()), "{imports:?}");
        let (_, instances) = resolve.interfaces.iter().find(|(_, i)| i.name.as_deref() == Some("instances")).unwrap();
        assert_eq!(instances.functions.keys().collect::<Vec<_>>(), ["get"]);
    }

    #[test]
    fn a_contract_without_the_function_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let uses = |interface: &str| Uses::from([(interface.to_owned(), BTreeSet::from(["fly".to_owned()]))]);
        let told = |i| write(&contract(), dir.path(), &uses(i), &Offers::default(), &[]).unwrap_err().to_string();
        assert!(told("plenum:cmdb/instances").contains("no function fly"));
        assert!(told("plenum:cmdb/clouds").contains("has no plenum:cmdb/clouds"));
    }

    #[test]
    fn what_the_manifest_declares_has_to_be_in_the_code() {
        let text = "id = \"x-test\"\nname = \"X\"\nversion = \"0.1.0\"\napi = \"^0.1\"\npublisher = \"P\"\ndescription = \"D\"\n[component]\npath = \"plugin.wasm\"\n[[actions]]\nname = \"plan\"\n[[schedules]]\nid = \"daily\"\ncron = \"0 6 * * *\"\n";
        let m = Manifest::from_toml(text).unwrap();
        let told = Offers { actions: vec!["plam".into()], ..Offers::default() }.against(&m, "src/plugin.py").join("\n");
        for words in ["declares the action plan", "it has: plam", "the schedule daily", "has the action plam"] {
            assert!(told.contains(words), "{told}");
        }
        let whole = Offers { actions: vec!["plan".into()], schedules: vec!["daily".into()], ..Offers::default() };
        assert!(whole.against(&m, "x").is_empty());
    }
}
