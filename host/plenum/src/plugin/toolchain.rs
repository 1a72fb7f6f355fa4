//! Finds a way to compile Rust for wasm32-unknown-unknown on this machine, or says exactly what to install.
//!
//! In this order, unless `PLENUM_WASM_TOOLCHAIN` names one: the target is installed; rustup can add it; Debian's compiler with its
//! matching sources builds the standard library once, into a cache. All settings go to the child process alone: a setting in
//! `.cargo/config.toml` would break the other machines.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

pub const TARGET: &str = "wasm32-unknown-unknown";

/// How to compile.
#[derive(Debug)]
pub struct Toolchain {
    /// In words, for the author.
    pub name: String,
    /// Variables of the child process.
    pub env: Vec<(String, String)>,
}

pub fn find() -> anyhow::Result<Toolchain> {
    let forced = std::env::var("PLENUM_WASM_TOOLCHAIN").ok().filter(|v| !v.is_empty());
    let wanted = |name: &str| forced.as_deref().is_none_or(|f| f == name);
    if let Some(f) = &forced
        && !["installed", "rustup", "debian"].contains(&f.as_str())
    {
        bail!("PLENUM_WASM_TOOLCHAIN is {f:?}; it can be installed, rustup or debian");
    }
    if wanted("installed")
        && let Some(version) = installed()
    {
        return Ok(Toolchain { name: format!("{version} with its installed {TARGET} target"), env: Vec::new() });
    }
    if wanted("rustup") {
        eprintln!("adding the target {TARGET} with rustup");
        let added = Command::new("rustup").args(["target", "add", TARGET]).output();
        if added.is_ok_and(|o| o.status.success())
            && let Some(version) = installed()
        {
            return Ok(Toolchain { name: format!("{version} with the {TARGET} target that rustup added"), env: Vec::new() });
        }
    }
    if wanted("debian")
        && let Some(t) = debian()?
    {
        return Ok(t);
    }
    bail!(
        "no way to compile Rust for {TARGET} was found{}. Do one of these and try again:\n  rustup target add {TARGET}\n  apt-get install -y --no-install-recommends rustc-web rust-web-src rust-web-llvm lld-22   (Debian 12 and newer)",
        forced.map(|f| format!(" (PLENUM_WASM_TOOLCHAIN={f})")).unwrap_or_default()
    )
}

fn installed() -> Option<String> {
    let dir = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let has_std = std::fs::read_dir(dir).ok()?.flatten().any(|f| f.file_name().to_string_lossy().starts_with("libstd-"));
    if has_std { output(Command::new("rustc").arg("--version")) } else { None }
}

fn output(command: &mut Command) -> Option<String> {
    let out = command.output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

fn debian() -> anyhow::Result<Option<Toolchain>> {
    let Some(version) = output(Command::new(DEBIAN_RUSTC).arg("--version")) else { return Ok(None) };
    let Some(sysroot) = output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])) else { return Ok(None) };
    if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml").exists() {
        return Ok(None);
    }
    let number = version.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
    let cache = cache_dir()?.join(format!("sysroot-{number}"));
    let lib = cache.join("lib/rustlib").join(TARGET).join("lib");
    if !lib.join(".complete").exists() {
        build_std(&cache, &lib, &version)?;
    }
    Ok(Some(Toolchain {
        name: format!("Debian's {version} with a standard library built from its sources"),
        env: vec![
            ("RUSTC".into(), DEBIAN_RUSTC.into()),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS".into(), format!("--sysroot={}", cache.display())),
            // rustup's proxy would put its own compiler in front.
            ("RUSTUP_TOOLCHAIN".into(), String::new()),
        ],
    }))
}

/// Builds the standard library once, by way of a tiny crate, and keeps its rlibs.
fn build_std(cache: &Path, lib: &Path, version: &str) -> anyhow::Result<()> {
    eprintln!("building the standard library for {TARGET} with Debian's {version} (once, about a minute)");
    let work = tempdir(cache)?;
    std::fs::create_dir_all(work.join("src"))?;
    std::fs::write(
        work.join("Cargo.toml"),
        "[package]\nname = \"sysroot\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\ncrate-type = [\"rlib\"]\n[workspace]\n",
    )?;
    std::fs::write(work.join("src/lib.rs"), "")?;
    let built = Command::new("cargo")
        .args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET])
        .current_dir(&work)
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", work.join("target"))
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .context("cargo does not start")?;
    if !built.status.success() {
        bail!(
            "the standard library does not build: {}\nCheck that rust-web-src and lld-22 are installed: apt-get install -y --no-install-recommends rustc-web rust-web-src rust-web-llvm lld-22",
            String::from_utf8_lossy(&built.stderr)
                .lines()
                .rev()
                .take(15)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
    std::fs::create_dir_all(lib)?;
    for f in std::fs::read_dir(work.join("target").join(TARGET).join("release/deps"))?.flatten() {
        let name = f.file_name();
        if name.to_string_lossy().ends_with(".rlib") && !name.to_string_lossy().starts_with("libsysroot") {
            std::fs::copy(f.path(), lib.join(name))?;
        }
    }
    std::fs::write(lib.join(".complete"), version)?;
    let _ = std::fs::remove_dir_all(work);
    Ok(())
}

fn tempdir(cache: &Path) -> anyhow::Result<PathBuf> {
    let dir = cache.with_extension(format!("work{}", std::process::id()));
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("the cache {} cannot be written; set PLENUM_CACHE to another folder", dir.display()))?;
    Ok(dir)
}

/// `PLENUM_CACHE`, else the user's cache folder.
pub fn cache_dir() -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("PLENUM_CACHE") {
        return Ok(dir.into());
    }
    let base =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
    Ok(base.context("neither PLENUM_CACHE nor HOME is set")?.join("plenum"))
}
