//! Plugins in other languages than the host's: made by `plenum plugin new`, built by `plenum plugin build` (which installs what that takes),
//! installed into a real host and called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod clients;
mod host;
mod javascript;
mod python;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use host::Host;

/// `plenum plugin ...` in `dir`.
pub fn plenum(dir: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_plenum"));
    c.arg("plugin").current_dir(dir);
    c
}

/// What a command printed; it has to succeed.
pub fn run(c: &mut Command) -> String {
    let out = c.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{c:?}\n{text}");
    text
}

/// What a command printed; it has to fail.
pub fn refused(c: &mut Command) -> String {
    let out = c.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(!out.status.success(), "{c:?} should have failed\n{text}");
    text
}

/// A new plugin of a language in `dir`.
pub fn new(dir: &Path, lang: &str) -> PathBuf {
    run(plenum(dir).args(["new", "disk-notes", "--lang", lang]));
    dir.join("disk-notes")
}

/// Replaces a text of a file, which has to be there.
pub fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no {from:?}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Adds to a file.
pub fn add(path: &Path, more: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text + more).unwrap();
}

/// What a built package says of itself, `plenum plugin inspect`.
pub fn inspected(plugin: &Path) -> String {
    run(plenum(plugin).args(["inspect", "dist/disk-notes-0.1.0.plenum"]))
}

/// Imports of the platform's own interfaces, with their functions.
pub fn own_imports(inspected: &str) -> Vec<String> {
    let imports = inspected.lines().skip_while(|l| *l != "imports").skip(1).take_while(|l| l.starts_with("  "));
    imports.map(|l| l.trim().replace("@0.1.0", "")).filter(|l| l.starts_with("plenum:")).collect()
}
