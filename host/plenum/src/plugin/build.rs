//! From a plugin's folder to a package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use plenum_access::Permission;
use plenum_runtime::package::{Manifest, PackageWriter, PageKind};

use super::toolchain::{self, TARGET};

/// The bridge that framed pages speak to the portal with.
const BRIDGE: &str = include_str!("../../../../sdk/js/plenum-bridge.js");
/// Folders of a plugin that go into its package.
const FOLDERS: &[&str] = &["web", "assets", "schemas", "workflows", "pages", "templates"];

fn manifest(dir: &Path) -> anyhow::Result<Manifest> {
    let path = dir.join("plugin.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read; is this a plugin's folder?", path.display()))?;
    Ok(Manifest::from_toml(&text).with_context(|| path.display().to_string())?)
}

/// Compiles the crate in `dir` and packs it.
pub fn build(dir: &Path, out: &Path, key: Option<&Path>) -> anyhow::Result<()> {
    let m = manifest(dir)?;
    let component = match m.component {
        Some(_) => Some(compile(dir)?),
        None => None,
    };
    finish(dir, m, component, out, key)
}

/// Packs a component that is there.
pub fn pack(dir: &Path, component: Option<&Path>, out: &Path, key: Option<&Path>) -> anyhow::Result<()> {
    let m = manifest(dir)?;
    let path = component.map(Path::to_owned).or_else(|| m.component.as_ref().map(|c| dir.join(&c.path)));
    let component = match path {
        Some(p) => Some(componentize(&std::fs::read(&p).with_context(|| format!("the component {} cannot be read", p.display()))?)?),
        None => None,
    };
    finish(dir, m, component, out, key)
}

fn compile(dir: &Path) -> anyhow::Result<Vec<u8>> {
    let t = toolchain::find()?;
    println!("compiling with {}", t.name);
    let started = Instant::now();
    let target = std::fs::canonicalize(dir)?.join("target");
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        // Beside the host's own output, never in it: the two are locked and cleaned apart.
        Some(shared) => PathBuf::from(shared).join("plugins"),
        None => target,
    };
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(&target).current_dir(dir).env_remove("CARGO_TARGET_DIR");
    if dir.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    for (k, v) in &t.env {
        if v.is_empty() {
            cargo.env_remove(k)
        } else {
            cargo.env(k, v)
        };
    }
    let status = cargo.status().context("cargo does not start; install Rust from https://rustup.rs")?;
    if !status.success() {
        bail!("the plugin does not compile: see above");
    }
    let name = crate_name(dir)?;
    let wasm = target.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
    let core = std::fs::read(&wasm)
        .with_context(|| format!("{} was not made; does Cargo.toml have [lib] crate-type = [\"cdylib\"]?", wasm.display()))?;
    let component = componentize(&core)?;
    println!("component: {} KiB in {:.1} s", component.len() / 1024, started.elapsed().as_secs_f32());
    Ok(component)
}

fn crate_name(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read; to pack a component of another language use `plenum plugin pack`", path.display()))?;
    let toml: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let name = |section: &str| toml.get(section).and_then(|s| s.get("name")).and_then(|n| n.as_str()).map(str::to_owned);
    name("lib").or_else(|| name("package")).with_context(|| format!("{} names no package", path.display()))
}

/// A core module becomes a component; a component stays as it is.
fn componentize(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    if wasmparser::Parser::is_component(wasm) {
        return Ok(wasm.to_vec());
    }
    let encoded = wit_component::ComponentEncoder::default().validate(true).module(wasm).and_then(|mut e| e.encode());
    encoded.map_err(|e| anyhow::anyhow!("the module cannot become a component: {e:#}"))
}

/// Names of a component's imports and exports.
pub fn interfaces(component: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        use wasmparser::Payload;
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(s) if depth == 0 => {
                for i in s {
                    imports.push(i?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(s) if depth == 0 => {
                for e in s {
                    exports.push(e?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn finish(dir: &Path, m: Manifest, component: Option<Vec<u8>>, out: &Path, key: Option<&Path>) -> anyhow::Result<()> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS {
        collect(dir, &dir.join(folder), &mut files)?;
    }
    if m.pages.iter().any(|p| p.kind == PageKind::Framed) {
        files.insert("web/plenum-bridge.js".to_owned(), BRIDGE.as_bytes().to_vec());
    }
    if let Some(c) = &component {
        check_imports(&m, c)?;
    }
    let name = format!("{}-{}.plenum", m.id, m.version);
    let mut writer = PackageWriter::new(m);
    if let Some(c) = component {
        writer = writer.component(c);
    }
    for (path, bytes) in files {
        writer = writer.file(path, bytes);
    }
    let mut archive = writer.finish()?;
    if let Some(key) = key {
        super::sign_archive(&mut archive, key)?;
    }
    std::fs::create_dir_all(out)?;
    let path = out.join(name);
    let bytes = archive.to_bytes()?;
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, &bytes)?;
    std::fs::rename(&temporary, &path)?;
    println!("{} ({} KiB{})", path.display(), bytes.len() / 1024, if key.is_some() { ", signed" } else { ", not signed" });
    Ok(())
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for e in entries.flatten() {
        let path = e.path();
        // What a link points to may lie outside of the plugin.
        let kind = std::fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root)?.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned();
            files.insert(name, std::fs::read(&path)?);
        } else {
            bail!("{} is a link; packages hold plain files only", path.display());
        }
    }
    Ok(())
}

/// The permission that an import needs: said here, so that the author does not first hear it at installation.
fn needs(import: &str) -> Option<&'static [Permission]> {
    let table: &[(&str, &'static [Permission])] = &[
        ("plenum:cmdb/", &[Permission::CmdbRead, Permission::CmdbWrite]),
        ("plenum:jobs/", &[Permission::JobsRun, Permission::JobsRead]),
        ("plenum:workflow/runs", &[Permission::WorkflowRun, Permission::WorkflowRead]),
        ("plenum:workflow/schedules", &[Permission::WorkflowRun]),
        ("plenum:store/", &[Permission::Store]),
        ("plenum:events/", &[Permission::EventsPublish]),
        ("wasi:http/outgoing-handler", &[Permission::HttpOutgoing]),
    ];
    table.iter().find(|(prefix, _)| import.starts_with(prefix)).map(|(_, p)| *p)
}

fn check_imports(m: &Manifest, component: &[u8]) -> anyhow::Result<()> {
    let (imports, _) = interfaces(component)?;
    for import in &imports {
        if let Some(any) = needs(import)
            && !any.iter().any(|p| m.permissions.iter().any(|r| r.name == p.name()))
        {
            let names: Vec<&str> = any.iter().map(|p| p.name()).collect();
            bail!(
                "the component imports {import}, and plugin.toml does not ask for it. Add:\n\n[[permissions]]\nname = \"{}\"\nreason = {{ en = \"...\" }}\n",
                names.join("\" or \"")
            );
        }
        if !import.starts_with("plenum:") && !import.starts_with("wasi:") {
            bail!("the component imports {import}, which no host offers; is it for another platform?");
        }
    }
    Ok(())
}
