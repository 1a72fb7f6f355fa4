//! Python to a component, by componentize-py.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use plenum_runtime::package::Manifest;
use serde::Deserialize;

use super::build_world::{self, Offers, Uses, WORLD};
use super::toolchain_python::{Python, run};

/// Reads a plugin's code; part of the SDK.
const SCAN: &str = include_str!("../../../../sdk/python/tools/scan.py");
/// What the component starts from: the plugin, and beside it the classes that the host calls.
const START: &str = "plenum_start";

/// `[tool.plenum]` of pyproject.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The module that has `plugin = Plugin()`.
    #[serde(default = "entry")]
    pub entry: String,
    /// The folder of its modules.
    #[serde(default = "src")]
    pub src: PathBuf,
    /// The folder of the SDK; the contract is at `../../wit` of it.
    #[serde(default = "sdk")]
    pub sdk: PathBuf,
    /// `[project] dependencies`.
    #[serde(skip)]
    pub dependencies: Vec<String>,
}

fn entry() -> String {
    "plugin".to_owned()
}

fn src() -> PathBuf {
    "src".into()
}

fn sdk() -> PathBuf {
    ".plenum/sdk/python".into()
}

/// What the scan found.
#[derive(Debug, Deserialize)]
struct Scan {
    uses: Uses,
    problems: Vec<String>,
    exports: Option<Offers>,
}

/// Of the plugin in `dir`; none when it is not in Python.
pub fn project(dir: &Path) -> anyhow::Result<Option<Project>> {
    let path = dir.join("pyproject.toml");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let toml: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let Some(own) = toml.get("tool").and_then(|t| t.get("plenum")) else { return Ok(None) };
    let mut project: Project = own.clone().try_into().with_context(|| format!("[tool.plenum] of {}", path.display()))?;
    let dependencies = toml.get("project").and_then(|p| p.get("dependencies")).and_then(|d| d.as_array());
    project.dependencies = dependencies.into_iter().flatten().filter_map(|d| d.as_str().map(str::to_owned)).collect();
    Ok(Some(project))
}

/// Makes the component of the plugin in `dir`.
pub fn compile(dir: &Path, m: &Manifest) -> anyhow::Result<Vec<u8>> {
    let dir = std::fs::canonicalize(dir)?;
    let project = project(&dir)?.context("pyproject.toml has no [tool.plenum]")?;
    let (src, sdk) = (dir.join(&project.src), dir.join(&project.sdk));
    for (what, path) in [("src", &src), ("sdk", &sdk)] {
        if !path.is_dir() {
            bail!("{} is not there; pyproject.toml names it as {what} under [tool.plenum]", path.display());
        }
    }
    let sdk = std::fs::canonicalize(sdk)?;
    let started = Instant::now();
    let python = Python::find()?;
    println!("compiling with {} of {}", super::toolchain_python::COMPONENTIZE.replace("==", " "), python.interpreter.display());
    let work = dir.join("target/plenum");
    std::fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let dependencies = dependencies(&python, &project, &work)?;

    let mut paths: Vec<&Path> = vec![&sdk];
    paths.extend(dependencies.as_deref());
    let scan = scan(&python, &project, &src, &paths, &work)?;
    if !scan.problems.is_empty() {
        bail!("{}", scan.problems.join("\n"));
    }
    let offers = scan.exports.unwrap_or_default();
    let wrong = offers.against(m, &format!("{}.py", project.entry.replace('.', "/")));
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    let wit = work.join("wit");
    build_world::write(&sdk.join("../../wit"), &wit, &scan.uses, &offers, &[])?;

    let start = work.join("start");
    std::fs::create_dir_all(&start)?;
    let text = format!("from {} import plugin\nfrom plenum_sdk.guest import exports\n\nglobals().update(exports(plugin))\n", project.entry);
    std::fs::write(start.join(format!("{START}.py")), text)?;
    let out = work.join("plugin.wasm");
    let mut c = python.command();
    c.args(["-c", "import sys; from componentize_py import script; sys.exit(script())"]);
    c.arg("--wit-path").arg(&wit).args(["--world", WORLD, "--full-names", "--quiet", "componentize"]);
    for path in [start.as_path(), src.as_path()].into_iter().chain(paths) {
        c.arg("--python-path").arg(path);
    }
    c.arg(START).arg("--output").arg(&out).current_dir(&work);
    run(&mut c).context("the plugin does not become a component")?;
    let component = std::fs::read(&out).with_context(|| out.display().to_string())?;
    println!("component: {:.1} MB in {:.1} s", component.len() as f64 / 1e6, started.elapsed().as_secs_f32());
    Ok(component)
}

fn scan(python: &Python, project: &Project, src: &Path, paths: &[&Path], work: &Path) -> anyhow::Result<Scan> {
    let tool = work.join("scan.py");
    std::fs::write(&tool, SCAN)?;
    let out = python.command().arg(&tool).arg(src).arg(&project.entry).args(paths).output().context("Python does not start")?;
    // What the plugin prints while it is imported.
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        bail!("the plugin's code could not be read: see above");
    }
    serde_json::from_slice(&out.stdout).context("what the scan found cannot be read")
}

/// Installs what the plugin depends on, once for each list of it.
fn dependencies(python: &Python, project: &Project, work: &Path) -> anyhow::Result<Option<PathBuf>> {
    if project.dependencies.is_empty() {
        return Ok(None);
    }
    let (to, stamp) = (work.join("dependencies"), work.join("dependencies.list"));
    let wanted = project.dependencies.join("\n");
    if to.is_dir() && std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) {
        return Ok(Some(to));
    }
    eprintln!("installing {}", project.dependencies.join(", "));
    let _ = std::fs::remove_dir_all(&to);
    let mut pip = python.command();
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target"]).arg(&to);
    // Compiled ones would install and then not load.
    pip.args(["--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"]);
    run(pip.args(&project.dependencies))
        .context("the plugin's dependencies cannot be installed; only packages that are pure Python work in a component")?;
    std::fs::write(&stamp, wanted)?;
    Ok(Some(to))
}
