//! Rust to a component, by cargo and the toolchain that [`super::toolchain`] found.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use super::build::componentize;
use super::toolchain::{self, TARGET};

/// Compiles the crate in `dir`.
pub fn compile(dir: &Path, locked: bool) -> anyhow::Result<Vec<u8>> {
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
    if locked {
        cargo.arg("--locked");
    }
    for (name, value) in small(dir)? {
        cargo.env(name, value);
    }
    let own = std::fs::canonicalize(dir)?;
    for (k, v) in &t.env {
        if v.is_empty() {
            cargo.env_remove(k)
        } else {
            cargo.env(k, v)
        };
    }
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", TARGET.replace('-', "_").to_ascii_uppercase());
    let set = t.env.iter().find(|(k, _)| *k == flags).map(|(_, v)| v.clone()).filter(|v| !v.is_empty());
    cargo.env(&flags, remapped(&set.or_else(|| std::env::var(&flags).ok()).unwrap_or_default(), &own));
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

/// The compiler's flags, so that the component names the places of its code without whose machine they were on: panics and backtraces carry
/// them, to everybody who has the package.
fn remapped(flags: &str, dir: &Path) -> String {
    let home = |name: &str, below: &str| {
        std::env::var_os(name).map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below)))
    };
    let ran = Command::new("rustc").args(["--print", "sysroot"]).output().ok().filter(|o| o.status.success());
    let sysroot = ran.and_then(|o| String::from_utf8(o.stdout).ok()).map(|t| PathBuf::from(t.trim()));
    // The last one that fits counts, so the longest comes last; a space would end the flag.
    let mut places: Vec<(PathBuf, &str)> =
        [(home("HOME", ""), "~"), (home("CARGO_HOME", ".cargo"), "cargo"), (home("RUSTUP_HOME", ".rustup"), "rustup"), (sysroot, "rust")]
            .into_iter()
            .filter_map(|(p, to)| Some((p?, to)))
            .chain([(dir.to_owned(), ".")])
            .filter(|(p, _)| p.as_os_str().len() > 1 && !p.to_string_lossy().contains(char::is_whitespace))
            .collect();
    // The SDK lies above a plugin of this repository, and below one of anybody's.
    if let Some(root) = dir.parent().and_then(Path::parent).filter(|r| r.join("sdk/rust").is_dir()) {
        places.push((root.to_owned(), "plenum"));
    }
    places.sort_by_key(|(p, _)| p.as_os_str().len());
    let more = places.iter().map(|(p, to)| format!("--remap-path-prefix={}={to}", p.display()));
    std::iter::once(flags.to_owned()).filter(|f| !f.is_empty()).chain(more).collect::<Vec<_>>().join(" ")
}

/// A release is small where the author says nothing else: a component is loaded into every host. What Cargo.toml sets is left alone.
fn small(dir: &Path) -> anyhow::Result<Vec<(String, &'static str)>> {
    let toml = cargo_toml(dir)?;
    let set = toml.get("profile").and_then(|p| p.get("release")).and_then(|r| r.as_table());
    let defaults = [("opt-level", "s"), ("lto", "fat"), ("codegen-units", "1"), ("strip", "symbols")];
    let name = |key: &str| format!("CARGO_PROFILE_RELEASE_{}", key.replace('-', "_").to_ascii_uppercase());
    Ok(defaults
        .into_iter()
        .filter(|(k, _)| set.is_none_or(|s| !s.contains_key(*k)))
        .map(|(k, v)| (name(k), v))
        .filter(|(k, _)| std::env::var_os(k).is_none())
        .collect())
}

fn crate_name(dir: &Path) -> anyhow::Result<String> {
    let toml = cargo_toml(dir)?;
    let name = |section: &str| toml.get(section).and_then(|s| s.get("name")).and_then(|n| n.as_str()).map(str::to_owned);
    name("lib").or_else(|| name("package")).with_context(|| format!("{} names no package", dir.join("Cargo.toml").display()))
}

fn cargo_toml(dir: &Path) -> anyhow::Result<toml::Table> {
    let path = dir.join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read; to pack a component of another language use `plenum plugin pack`", path.display()))?;
    text.parse().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_of_the_machine_are_left_out_and_flags_kept() {
        let dir = tempfile::tempdir().unwrap();
        let flags = remapped("--sysroot=/x", dir.path());
        assert!(flags.starts_with("--sysroot=/x "), "{flags}");
        assert!(flags.contains(&format!("--remap-path-prefix={}=.", dir.path().display())), "{flags}");
        assert!(flags.contains("=cargo"), "{flags}");
    }
}
