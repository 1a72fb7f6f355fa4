//! JavaScript and TypeScript to a component: rolldown makes one module of it, componentize-qjs a component of that.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use plenum_runtime::package::Manifest;
use serde::Deserialize;
use wasmparser::{Parser, Payload};

use super::build_world::{self, Offers, Uses, WORLD};
use super::toolchain_node::{Node, PACKAGES};
use super::toolchain_python::run;

/// Bundles a plugin's code and looks at it; part of the SDK.
const BUNDLE: &str = include_str!("../../../../sdk/js/tools/bundle.mjs");

/// `"plenum"` of package.json.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The module whose default export is the plugin, `.js` or `.ts`.
    #[serde(default = "entry")]
    pub entry: PathBuf,
    /// The folder of the SDK; the contract is at `../../wit` of it.
    #[serde(default = "sdk")]
    pub sdk: PathBuf,
}

fn entry() -> PathBuf {
    "src/plugin.js".into()
}

fn sdk() -> PathBuf {
    ".plenum/sdk/js".into()
}

/// What the bundler found.
#[derive(Debug, Deserialize)]
struct Bundle {
    uses: Uses,
    wasi: Vec<String>,
    offers: Offers,
}

/// Of the plugin in `dir`; none when it is not in JavaScript.
pub fn project(dir: &Path) -> anyhow::Result<Option<Project>> {
    let path = dir.join("package.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let json: serde_json::Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let Some(own) = json.get("plenum") else { return Ok(None) };
    Ok(Some(serde_json::from_value(own.clone()).with_context(|| format!("\"plenum\" of {}", path.display()))?))
}

/// Makes the component of the plugin in `dir`.
pub fn compile(dir: &Path, m: &Manifest) -> anyhow::Result<Vec<u8>> {
    let dir = std::fs::canonicalize(dir)?;
    let project = project(&dir)?.context("package.json has no \"plenum\"")?;
    let (entry, sdk) = (dir.join(&project.entry), dir.join(&project.sdk));
    for (what, path) in [("entry", &entry), ("sdk", &sdk)] {
        if !path.exists() {
            bail!("{} is not there; package.json names it as {what} under \"plenum\"", path.display());
        }
    }
    let sdk = std::fs::canonicalize(sdk)?;
    let lists = ["dependencies", "devDependencies"];
    let text = std::fs::read_to_string(dir.join("package.json"))?;
    let package: serde_json::Value = serde_json::from_str(&text)?;
    let depends = lists.iter().any(|l| package.get(l).and_then(|d| d.as_object()).is_some_and(|d| !d.is_empty()));
    if depends && !dir.join("node_modules").is_dir() {
        bail!("package.json has dependencies that are not installed: run `npm ci` (or `npm install`) in {} first", dir.display());
    }
    let started = Instant::now();
    let node = Node::find()?;
    println!("compiling with {} of {}", PACKAGES.join(" and ").replace('@', " "), node.home.display());
    let work = dir.join("target/plenum");
    std::fs::create_dir_all(&work).with_context(|| work.display().to_string())?;

    let tool = work.join("bundle.mjs");
    std::fs::write(&tool, BUNDLE)?;
    let rolldown = node.file("rolldown/dist/index.mjs");
    let out =
        node.command().arg(&tool).arg(&dir).arg(&entry).arg(&sdk).arg(&work).arg(&rolldown).output().context("node does not start")?;
    // What the plugin prints while it is loaded, and what is wrong with its code.
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        bail!("the plugin's code does not become one module: see above");
    }
    let bundle: Bundle = serde_json::from_slice(&out.stdout).context("what the bundler found cannot be read")?;
    let wrong = bundle.offers.against(m, &project.entry.to_string_lossy());
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    let wit = work.join("wit");
    let wasi: Vec<&str> = bundle.wasi.iter().map(String::as_str).collect();
    build_world::write(&sdk.join("../../wit"), &wit, &bundle.uses, &bundle.offers, &wasi)?;
    disguise(&wit)?;

    let wasm = work.join("plugin.wasm");
    let mut c = node.command();
    c.arg(node.file("componentize-qjs/cli.mjs")).arg("--sync").arg("--wit").arg(&wit).args(["--world", WORLD]);
    c.arg("--js").arg(work.join("plugin.js")).arg("--output").arg(&wasm).current_dir(&work);
    run(&mut c).context("the plugin does not become a component")?;
    let component = unmask(std::fs::read(&wasm).with_context(|| wasm.display().to_string())?)?;
    println!("component: {:.1} MB in {:.1} s", component.len() as f64 / 1e6, started.elapsed().as_secs_f32());
    Ok(component)
}

/// componentize-qjs runs the plugin's code once while it builds, on a host that has `wasi:io` and lacks `wasi:http`: it makes the latter up,
/// with streams that are not the former's, and fails. So it is given both under names that it knows nothing of, of the same length ...
const DISGUISE: &[(&str, &str)] = &[("wasi:http", "plnm:http"), ("wasi:io", "plnm:io")];

/// ... in the WIT (and by `bundle.mjs` in the code) ...
fn disguise(wit: &Path) -> anyhow::Result<()> {
    let mut files = vec![wit.join("world.wit")];
    for package in std::fs::read_dir(wit.join("deps"))? {
        files.push(package?.path().join("package.wit"));
    }
    for path in files {
        let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for (real, other) in DISGUISE {
            text = text.replace(real, other);
        }
        std::fs::write(&path, text)?;
    }
    Ok(())
}

/// ... and the component's own imports and exports get the real names back.
fn unmask(mut component: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut ranges = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(&component) {
        match payload.context("componentize-qjs made no valid component")? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(s) if depth == 0 => ranges.push(s.range()),
            Payload::ComponentExportSection(s) if depth == 0 => ranges.push(s.range()),
            _ => {}
        }
    }
    for range in ranges {
        let section = component.get_mut(range).context("a section ends after the component")?;
        for (real, other) in DISGUISE {
            let other = other.as_bytes();
            let mut at = 0;
            while let Some(found) = section.get(at..).and_then(|rest| rest.windows(other.len()).position(|w| w == other)) {
                let start = at + found;
                if let Some(name) = section.get_mut(start..start + other.len()) {
                    name.copy_from_slice(real.as_bytes());
                }
                at = start + other.len();
            }
        }
    }
    Ok(component)
}
