//! A new plugin's folder: the template, and with it the SDK and the contract, so that an author needs this command and cargo only.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use include_dir::{Dir, include_dir};
use plenum_runtime::package::Manifest;

/// Files and folders by name: whatever a build left beside them stays out.
const FILES: &[(&str, &str)] = &[
    ("plugin.toml", include_str!("../../../../sdk/templates/rust/plugin.toml")),
    ("Cargo.toml", include_str!("../../../../sdk/templates/rust/Cargo.toml")),
    ("README.md", include_str!("../../../../sdk/templates/rust/README.md")),
    (".gitignore", include_str!("../../../../sdk/templates/rust/.gitignore")),
    (".plenum/sdk/rust/Cargo.toml", include_str!("../../../../sdk/rust/Cargo.toml")),
];
static SRC: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/rust/src");
static WEB: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/rust/web");
static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/templates/rust/schemas");
static SDK_SRC: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/src");
static SDK_WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/wit");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");

/// Where each folder goes. The SDK finds the contract at `../../wit`, here as in the repository.
const FOLDERS: &[(&str, &Dir<'_>)] = &[
    ("src", &SRC),
    ("web", &WEB),
    ("schemas", &SCHEMAS),
    (".plenum/sdk/rust/src", &SDK_SRC),
    (".plenum/sdk/rust/wit", &SDK_WIT),
    (".plenum/wit", &WIT),
];

/// Writes a plugin called `id` into `dir`, which must not be there or be empty.
pub fn create(id: &str, dir: Option<PathBuf>) -> anyhow::Result<()> {
    let dir = dir.unwrap_or_else(|| PathBuf::from(id));
    let files = rendered(id)?;
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
    println!("{} is a plugin now. Next:\n\n  cd {}\n  cargo test\n  plenum plugin build", dir.display(), dir.display());
    Ok(())
}

fn rendered(id: &str) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    // The id names the crate too, and that cannot start with a digit.
    if !id.starts_with(|c: char| c.is_ascii_lowercase()) {
        bail!("{id:?} cannot be a new plugin's id; use 2 to 40 of a-z, 0-9 and hyphen, a letter first");
    }
    let own = |text: &str| text.replace("hello-plenum", id).replace("Hello Plenum", &title(id)).replace("../../rust", ".plenum/sdk/rust");
    let mut out = Vec::new();
    for (path, text) in FILES {
        let text = if path.starts_with(".plenum/") { (*text).to_owned() } else { own(text) };
        if *path == "plugin.toml" {
            Manifest::from_toml(&text)?;
        }
        out.push((PathBuf::from(path), text.into_bytes()));
    }
    for (to, folder) in FOLDERS {
        collect(Path::new(to), folder, &mut out);
    }
    for (path, bytes) in out.iter_mut().filter(|(p, _)| p.starts_with("src") || p.starts_with("web")) {
        let text = std::str::from_utf8(bytes).with_context(|| path.display().to_string())?;
        *bytes = own(text).into_bytes();
    }
    Ok(out)
}

fn collect(to: &Path, folder: &Dir<'_>, out: &mut Vec<(PathBuf, Vec<u8>)>) {
    out.extend(folder.files().map(|f| (to.join(f.path()), f.contents().to_vec())));
    for below in folder.dirs() {
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
        let files = rendered("disk-report").unwrap();
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
    fn names_that_cannot_be_are_refused() {
        for id in ["", "a", "7up", "Disk", "a/b", "../x", "cmdb", "disk_report", "disk-"] {
            assert!(rendered(id).is_err(), "{id}");
        }
    }
}
