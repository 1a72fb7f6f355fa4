//! A new plugin's folder: the template, and with it the SDK and the contract, so that an author needs this command and cargo only.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use include_dir::{Dir, include_dir};
use plenum_runtime::package::Manifest;

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Small, fast, checked by its compiler
    Rust,
    /// 19 MB, half a second to first answer after an upgrade
    Python,
    /// JavaScript or TypeScript: 2 MB
    Javascript,
}

/// What a new plugin is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// A page with routes, an action and records of its own
    App,
    /// Brings data of another system into the CMDB, on a schedule and by a button
    Connector,
    /// A workflow and no code: it is in no language
    WorkflowOnly,
}

static WEB: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/rust/web");
static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/rust/schemas");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/rust/src");
static RUST_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/src");
static RUST_WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/wit");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/python/src");
static PYTHON_TESTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/python/tests");
static PYTHON_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/python/plenum_sdk");
static JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/javascript/src");
static JAVASCRIPT_TESTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/javascript/tests");
static JAVASCRIPT_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/js/src");

static CONNECTOR_SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/schemas");
static CONNECTOR_PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/pages");
static CONNECTOR_RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/rust/src");
static CONNECTOR_PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/python/src");
static CONNECTOR_PYTHON_TESTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/python/tests");
static CONNECTOR_JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/javascript/src");
static CONNECTOR_JAVASCRIPT_TESTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/connector/javascript/tests");
static WORKFLOWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/workflow/workflows");

/// What `plenum plugin test` asks: the templates do the same in each language.
const CASE: &str = include_str!("../../../../sdk/templates/python/tests/notes.case.json");
const CONNECTOR_CASE: &str = include_str!("../../../../sdk/templates/connector/sync.case.toml");

/// Files by name: whatever a build left beside them stays out.
macro_rules! files {
    ($folder:literal, $($name:literal),+) => {
        &[$(($name, include_str!(concat!("../../../../sdk/templates/", $folder, "/", $name)))),+]
    };
}

/// What a language's plugin starts from.
struct Start {
    files: &'static [(&'static str, &'static str)],
    /// The SDK's own files, put below `.plenum/sdk`.
    sdk_files: &'static [(&'static str, &'static str)],
    folders: Folders,
    /// Its own code and tests.
    own: Folders,
    /// What is the same in each language.
    shared: Folders,
    manifest: &'static str,
    readme: &'static str,
    /// Where the template has its SDK, and where the plugin has it.
    sdk: (&'static str, &'static str),
    /// How its tests are run.
    test: &'static str,
}

impl Lang {
    fn start(self) -> Start {
        match self {
            Lang::Rust => Start {
                files: files!("rust", "Cargo.toml", ".gitignore"),
                sdk_files: &[("rust/Cargo.toml", include_str!("../../../../sdk/rust/Cargo.toml"))],
                folders: const { &[(".plenum/sdk/rust/src", &RUST_SDK), (".plenum/sdk/rust/wit", &RUST_WIT)] },
                own: const { &[("src", &RUST)] },
                shared: APP,
                manifest: include_str!("../../../../sdk/templates/rust/plugin.toml"),
                readme: include_str!("../../../../sdk/templates/rust/README.md"),
                sdk: ("../../rust", ".plenum/sdk/rust"),
                test: "cargo test",
            },
            Lang::Python => Start {
                files: files!("python", "pyproject.toml", ".gitignore"),
                sdk_files: &[
                    ("python/README.md", include_str!("../../../../sdk/python/README.md")),
                    ("python/pyproject.toml", include_str!("../../../../sdk/python/pyproject.toml")),
                ],
                folders: const { &[(".plenum/sdk/python/plenum_sdk", &PYTHON_SDK)] },
                own: const { &[("src", &PYTHON), ("tests", &PYTHON_TESTS)] },
                shared: APP,
                manifest: include_str!("../../../../sdk/templates/python/plugin.toml"),
                readme: include_str!("../../../../sdk/templates/python/README.md"),
                sdk: ("../../python", ".plenum/sdk/python"),
                test: "python3 -m unittest",
            },
            Lang::Javascript => Start {
                files: files!("javascript", "package.json", "jsconfig.json", ".gitignore"),
                sdk_files: &[
                    ("js/README.md", include_str!("../../../../sdk/js/README.md")),
                    ("js/package.json", include_str!("../../../../sdk/js/package.json")),
                ],
                folders: const { &[(".plenum/sdk/js/src", &JAVASCRIPT_SDK)] },
                own: const { &[("src", &JAVASCRIPT), ("tests", &JAVASCRIPT_TESTS)] },
                shared: APP,
                manifest: include_str!("../../../../sdk/templates/javascript/plugin.toml"),
                readme: include_str!("../../../../sdk/templates/javascript/README.md"),
                sdk: ("../../js", ".plenum/sdk/js"),
                test: "npm test",
            },
        }
    }
}

impl Start {
    /// The same, with what a connector has in the place of what an app has.
    fn connector(mut self, lang: Lang) -> Start {
        (self.own, self.readme, self.shared) = match lang {
            Lang::Rust => (
                const { &[("src", &CONNECTOR_RUST)] as Folders },
                include_str!("../../../../sdk/templates/connector/rust/README.md"),
                CONNECTOR,
            ),
            Lang::Python => (
                const { &[("src", &CONNECTOR_PYTHON), ("tests", &CONNECTOR_PYTHON_TESTS)] as Folders },
                include_str!("../../../../sdk/templates/connector/python/README.md"),
                CONNECTOR,
            ),
            Lang::Javascript => (
                const { &[("src", &CONNECTOR_JAVASCRIPT), ("tests", &CONNECTOR_JAVASCRIPT_TESTS)] as Folders },
                include_str!("../../../../sdk/templates/connector/javascript/README.md"),
                CONNECTOR,
            ),
        };
        self.manifest = include_str!("../../../../sdk/templates/connector/plugin.toml");
        self
    }
}

type Folders = &'static [(&'static str, &'static Dir<'static>)];

const CONNECTOR: Folders = &[("schemas", &CONNECTOR_SCHEMAS), ("pages", &CONNECTOR_PAGES)];

/// Where each folder goes that all languages have, and the contract. The SDKs find the contract at `../../wit`, here as in the repository.
const APP: Folders = &[("web", &WEB), ("schemas", &SCHEMAS)];
const CONTRACT: Folders = &[(".plenum/wit", &WIT)];

/// Writes a plugin called `id` into `dir`, which must not be there or be empty.
pub fn create(id: &str, dir: Option<PathBuf>, lang: Lang, template: Template) -> anyhow::Result<()> {
    let dir = dir.unwrap_or_else(|| PathBuf::from(id));
    let files = rendered(id, lang, template)?;
    if std::fs::read_dir(&dir).is_ok_and(|mut d| d.next().is_some()) {
        bail!("{} is there already and not empty; name another folder with --dir", dir.display());
    }
    for (path, bytes) in files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let test = if template == Template::WorkflowOnly { String::new() } else { format!("  {}\n", lang.start().test) };
    let cases = if template == Template::WorkflowOnly { "" } else { "\n  plenum plugin test" };
    println!("{} is a plugin now. Next:\n\n  cd {}\n{test}  plenum plugin build{cases}", dir.display(), dir.display());
    Ok(())
}

fn rendered(id: &str, lang: Lang, template: Template) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    // The id names the crate too, and that cannot start with a digit.
    if !id.starts_with(|c: char| c.is_ascii_lowercase()) {
        bail!("{id:?} cannot be a new plugin's id; use 2 to 40 of a-z, 0-9 and hyphen, a letter first");
    }
    let start = match template {
        Template::App => lang.start(),
        Template::Connector => lang.start().connector(lang),
        Template::WorkflowOnly => return workflow(id),
    };
    let own = |text: &str| named(id, text).replace(start.sdk.0, start.sdk.1);
    let mut out = Vec::new();
    let manifest = own(start.manifest);
    Manifest::from_toml(&manifest)?;
    out.push((PathBuf::from("plugin.toml"), manifest.into_bytes()));
    for (path, text) in start.files.iter().chain([&("README.md", start.readme)]) {
        out.push((PathBuf::from(path), own(text).into_bytes()));
    }
    out.extend(start.sdk_files.iter().map(|(path, text)| (Path::new(".plenum/sdk").join(path), text.as_bytes().to_vec())));
    // The template in Python has it in its tests.
    if lang != Lang::Python && template == Template::App {
        out.push((PathBuf::from("tests/notes.case.json"), CASE.as_bytes().to_vec()));
    }
    if template == Template::Connector {
        out.push((PathBuf::from("tests/sync.case.toml"), CONNECTOR_CASE.as_bytes().to_vec()));
    }
    for (to, folder) in [start.own, start.shared, CONTRACT, start.folders].into_iter().flatten() {
        collect(Path::new(to), folder, &mut out);
    }
    for (path, bytes) in out.iter_mut().filter(|(p, _)| ["src", "web", "tests", "pages"].iter().any(|f| p.starts_with(f))) {
        let text = std::str::from_utf8(bytes).with_context(|| path.display().to_string())?;
        *bytes = own(text).into_bytes();
    }
    Ok(out)
}

/// One without code: what a language brings would only be in the way.
fn workflow(id: &str) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut out = Vec::new();
    collect(Path::new("workflows"), &WORKFLOWS, &mut out);
    for (path, text) in files!("workflow", "plugin.toml", "README.md", ".gitignore") {
        out.push((PathBuf::from(path), text.as_bytes().to_vec()));
    }
    for (path, bytes) in &mut out {
        let text = named(id, std::str::from_utf8(bytes).with_context(|| path.display().to_string())?);
        if path.as_path() == Path::new("plugin.toml") {
            Manifest::from_toml(&text)?;
        }
        *bytes = text.into_bytes();
    }
    Ok(out)
}

fn named(id: &str, text: &str) -> String {
    text.replace("hello-plenum", id).replace("Hello Plenum", &title(id))
}

fn collect(to: &Path, folder: &Dir<'_>, out: &mut Vec<(PathBuf, Vec<u8>)>) {
    out.extend(folder.files().map(|f| (to.join(f.path()), f.contents().to_vec())));
    // What running the tests left behind.
    for below in folder.dirs().filter(|d| !d.path().ends_with("__pycache__")) {
        collect(to, below, out);
    }
}

/// `disk-report` becomes `Disk Report`.
fn title(id: &str) -> String {
    let word = |w: &str| w.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(w.chars().skip(1)).collect::<String>();
    id.split('-').filter(|w| !w.is_empty()).map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_plugin_has_all_its_files_and_its_own_name() {
        let files = rendered("disk-report", Lang::Rust, Template::App).unwrap();
        let text = |path: &str| {
            let (_, bytes) = files.iter().find(|(p, _)| p == Path::new(path)).unwrap_or_else(|| unreachable!("{path} is missing"));
            String::from_utf8(bytes.clone()).unwrap()
        };
        assert!(text("plugin.toml").contains("id = \"disk-report\"") && text("plugin.toml").contains("\"Disk Report\""));
        assert!(text("Cargo.toml").contains("path = \".plenum/sdk/rust\""));
        for path in ["src/lib.rs", "web/app.js", "schemas/count.input.json", ".plenum/wit/types/types.wit", ".plenum/sdk/rust/src/lib.rs"] {
            assert!(!text(path).contains("hello-plenum"), "{path}");
        }
        assert!(text(".plenum/sdk/rust/wit/wasi-http/http.wit").contains("incoming-handler"));
    }

    #[test]
    fn each_language_brings_its_sdk_and_the_contract() {
        for (lang, files) in [
            (Lang::Python, ["src/plugin.py", "tests/test_plugin.py", ".plenum/sdk/python/plenum_sdk/guest.py", "web/app.js"]),
            (Lang::Javascript, ["src/plugin.js", "tests/plugin.test.mjs", ".plenum/sdk/js/src/index.js", "web/app.js"]),
        ] {
            let found = rendered("disk-report", lang, Template::App).unwrap();
            for file in files.iter().chain(&[".plenum/wit/types/types.wit", "schemas/count.input.json"]) {
                assert!(found.iter().any(|(p, _)| p == Path::new(file)), "{file} of {lang:?}");
            }
            for (path, bytes) in found.iter().filter(|(p, _)| !p.starts_with(".plenum")) {
                let text = String::from_utf8_lossy(bytes);
                assert!(!text.contains("hello-plenum") && !text.contains(lang.start().sdk.0), "{}", path.display());
            }
            assert!(!found.iter().any(|(p, _)| p.to_string_lossy().contains("__pycache__")));
        }
    }

    #[test]
    fn a_connector_is_one_in_each_language() {
        for (lang, code) in [(Lang::Rust, "src/lib.rs"), (Lang::Python, "src/plugin.py"), (Lang::Javascript, "src/plugin.js")] {
            let found = rendered("team-import", lang, Template::Connector).unwrap();
            let text = |path: &str| {
                let (_, bytes) = found.iter().find(|(p, _)| p == Path::new(path)).unwrap_or_else(|| unreachable!("{path} of {lang:?}"));
                String::from_utf8(bytes.clone()).unwrap()
            };
            assert!(text(code).contains("outgoing") && text("plugin.toml").contains("id = \"team-import\""));
            assert!(text("pages/main.json").contains("\"Team Import\"") && !text("README.md").contains("`web/`"));
            assert!(text("tests/sync.case.toml").contains("action = \"sync\""));
            assert!(!found.iter().any(|(p, _)| p.starts_with("web") || p == Path::new("tests/notes.case.json")));
            assert_eq!(found.iter().filter(|(p, _)| p == Path::new("plugin.toml")).count(), 1);
        }
    }

    #[test]
    fn a_workflow_needs_no_language() {
        let found = rendered("offline-watch", Lang::Rust, Template::WorkflowOnly).unwrap();
        let mut paths: Vec<_> = found.iter().map(|(p, _)| p.display().to_string()).collect();
        paths.sort();
        assert_eq!(paths, [".gitignore", "README.md", "plugin.toml", "workflows/offline-hosts.yaml"]);
        assert!(found.iter().all(|(_, bytes)| !String::from_utf8_lossy(bytes).contains("hello-plenum")));
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for id in ["", "a", "7up", "Disk", "a/b", "../x", "cmdb", "disk_report", "disk-"] {
            assert!(rendered(id, Lang::Rust, Template::App).is_err(), "{id}");
        }
    }
}
