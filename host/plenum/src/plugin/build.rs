//! From a plugin's folder to a package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use plenum_runtime::package::{ComponentSpec, Manifest, PackageWriter, PageKind};

use super::check::{self, Interfaces};
use super::toolchain::TARGET;
use super::{build_javascript, build_python, build_rust};

/// The bridge that framed pages speak to the portal with.
const BRIDGE: &str = include_str!("../../../../sdk/js/plenum-bridge.js");
/// Folders of a plugin that go into its package.
const FOLDERS: &[&str] = &["web", "assets", "schemas", "workflows", "pages", "templates"];

/// Of the plugin in `dir`.
pub fn manifest(dir: &Path) -> anyhow::Result<Manifest> {
    let path = dir.join("plugin.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read; is this a plugin's folder?", path.display()))?;
    Manifest::from_toml(&text).with_context(|| path.display().to_string())
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `Cargo.toml`.
    Rust,
    /// `pyproject.toml` with `[tool.plenum]`.
    Python,
    /// `package.json` with `"plenum"`.
    JavaScript,
}

impl Language {
    /// Of the plugin in `dir`: by the file that names it.
    pub fn of(dir: &Path) -> anyhow::Result<Language> {
        let mut found = Vec::new();
        if dir.join("Cargo.toml").is_file() {
            found.push((Language::Rust, "Cargo.toml"));
        }
        // A web page may have a package.json of its own, and a repository a pyproject.toml: only what names Plenum is the plugin's.
        if build_python::project(dir)?.is_some() {
            found.push((Language::Python, "pyproject.toml with [tool.plenum]"));
        }
        if build_javascript::project(dir)?.is_some() {
            found.push((Language::JavaScript, "package.json with \"plenum\""));
        }
        match found.as_slice() {
            [(language, _)] => Ok(*language),
            [] => bail!(
                "{} has a component and nothing to build it from: no Cargo.toml (Rust), no pyproject.toml with [tool.plenum] (Python), no package.json with \"plenum\" (JavaScript). A component of another language is packed with `plenum plugin pack`",
                dir.display()
            ),
            several => bail!(
                "{} has more than one source of its component: {}. Keep one",
                dir.display(),
                several.iter().map(|(_, file)| *file).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

/// Compiles what is in `dir`.
pub fn compile(dir: &Path, m: &Manifest, locked: bool) -> anyhow::Result<Vec<u8>> {
    match Language::of(dir)? {
        Language::Rust => build_rust::compile(dir, locked),
        Language::Python => build_python::compile(dir, m),
        Language::JavaScript => build_javascript::compile(dir, m),
    }
}

/// Compiles the plugin in `dir` and packs it.
pub fn build(dir: &Path, out: &Path, key: Option<&Path>, locked: bool) -> anyhow::Result<()> {
    let (m, files) = read(dir)?;
    let component = match m.component {
        Some(_) => Some(compile(dir, &m, locked)?),
        None => None,
    };
    finish(m, files, component, out, key)?;
    Ok(())
}

/// The manifest of the plugin in `dir`, and what goes into its package beside the component; a wrong path is not worth a minute of
/// compiling, so they are held together first.
pub fn read(dir: &Path) -> anyhow::Result<(Manifest, BTreeMap<String, Vec<u8>>)> {
    let m = manifest(dir)?;
    let files = files(dir, &m)?;
    m.check_files(&files, m.component.is_some())?;
    Ok((m, files))
}

/// Packs a component that is there.
pub fn pack(dir: &Path, component: Option<&Path>, out: &Path, key: Option<&Path>) -> anyhow::Result<()> {
    let mut m = manifest(dir)?;
    if component.is_some() {
        // Who names the component has said all that the table would: a component of others needs none.
        m.component.get_or_insert_with(|| ComponentSpec { path: "component.wasm".to_owned() });
    }
    let files = files(dir, &m)?;
    let path = component.map(Path::to_owned).or_else(|| m.component.as_ref().map(|c| dir.join(&c.path)));
    m.check_files(&files, path.is_some())?;
    let component = match path {
        Some(p) => {
            let wasm = std::fs::read(&p)
                .with_context(|| format!("the component {} cannot be read; build it first, or name it with --component", p.display()))?;
            Some(componentize(&wasm).with_context(|| p.display().to_string())?)
        }
        None => None,
    };
    finish(m, files, component, out, key)?;
    Ok(())
}

/// A core module becomes a component; a component stays as it is.
pub fn componentize(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    if wasmparser::Parser::is_component(wasm) {
        return Ok(wasm.to_vec());
    }
    if !wasmparser::Parser::is_core_wasm(wasm) {
        bail!("this is no WebAssembly; a component starts with the bytes 00 61 73 6d");
    }
    foreign(wasm)?;
    let encoded = wit_component::ComponentEncoder::default().validate(true).module(wasm).and_then(|mut e| e.encode());
    encoded.map_err(|e| anyhow::anyhow!("the module cannot become a component: {e:#}"))
}

/// Modules made for a browser or for another kind of WASI fail to encode with words that say nothing of the reason.
fn foreign(module: &[u8]) -> anyhow::Result<()> {
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let wasmparser::Payload::ImportSection(section) = payload? else { continue };
        for import in section.into_imports() {
            let import = import?;
            if import.module.starts_with("__wbindgen") || import.module == "wbg" {
                bail!(
                    "a crate of the plugin speaks to a browser (wasm-bindgen). `cargo tree -i wasm-bindgen --target {TARGET}` names it; turn off its feature for browsers (chrono: `clock` and `wasmbind`, uuid and getrandom: `js`), and take the time and random numbers from plenum_sdk"
                );
            }
            if import.module == "wasi_snapshot_preview1" {
                bail!("the module was built for wasm32-wasip1. Build it for wasm32-wasip2, or for {TARGET} with plenum_sdk");
            }
            if import.module == "env" {
                bail!("the module needs {:?} from C code that is not there (`env`); a plugin's crates have to be pure Rust", import.name);
            }
        }
    }
    Ok(())
}

/// What goes into the package beside the component.
fn files(dir: &Path, m: &Manifest) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS {
        collect(dir, &dir.join(folder), &mut files)?;
    }
    if m.pages.iter().any(|p| p.kind == PageKind::Framed) {
        files.insert("web/plenum-bridge.js".to_owned(), BRIDGE.as_bytes().to_vec());
    }
    Ok(files)
}

/// Packs what was made; answers where the package is.
pub fn finish(
    m: Manifest,
    files: BTreeMap<String, Vec<u8>>,
    component: Option<Vec<u8>>,
    out: &Path,
    key: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    if let Some(c) = &component {
        checked(&m, c)?;
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
    Ok(path)
}

/// Says what the component can reach, and stops at what the host would refuse.
fn checked(m: &Manifest, component: &[u8]) -> anyhow::Result<()> {
    let interfaces = Interfaces::of(component)?;
    let report = check::check(m, &interfaces);
    for a in &report.advice {
        eprintln!("advice: {a}");
    }
    if !report.problems.is_empty() {
        bail!("{}", report.problems.join("\n"));
    }
    let names = |side: &BTreeMap<String, Vec<String>>| side.keys().cloned().collect::<Vec<_>>().join(", ");
    println!("imports: {}\nexports: {}", names(&interfaces.imports), names(&interfaces.exports));
    Ok(())
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("{} cannot be read", dir.display())),
    };
    for e in entries {
        let path = e?.path();
        // What editors and version control leave behind is nobody's page.
        if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
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
