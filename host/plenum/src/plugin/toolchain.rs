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
    let mut why = Vec::new();
    if wanted("rustup") {
        match rustup() {
            Ok(version) => {
                return Ok(Toolchain { name: format!("{version} with the {TARGET} target that rustup added"), env: Vec::new() });
            }
            Err(e) => why.push(format!("rustup: {e}")),
        }
    }
    if wanted("debian") {
        match debian()? {
            Ok(t) => return Ok(t),
            Err(e) => why.push(format!("Debian's compiler: {e}")),
        }
    }
    if wanted("installed") {
        why.insert(
            0,
            format!(
                "installed: {} has no {TARGET} target",
                output(Command::new("rustc").arg("--version")).unwrap_or_else(|| "no rustc is in PATH, which".into())
            ),
        );
    }
    bail!(
        "no way to compile Rust for {TARGET} was found{}.\n  {}\nDo one of these and try again:\n  rustup target add {TARGET}\n  apt-get install -y --no-install-recommends {PACKAGES}   (Debian 12 and newer; cargo is needed too)",
        forced.map(|f| format!(" (PLENUM_WASM_TOOLCHAIN={f} allows that one only)")).unwrap_or_default(),
        why.join("\n  ")
    )
}

/// Which way there is, without taking it: what is missing, where there is none.
pub fn available() -> Result<String, String> {
    if let Some(version) = installed() {
        return Ok(format!("{version} has the {TARGET} target"));
    }
    if output(Command::new("rustup").arg("--version")).is_some() {
        return Ok(format!("the first build asks rustup for {TARGET}"));
    }
    let sysroot = output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]));
    let sources = |s: &String| Path::new(s).join("lib/rustlib/src/rust/library/std/Cargo.toml").exists() && linker(s);
    if sysroot.is_some_and(|s| sources(&s)) {
        return Ok("the first build compiles the standard library with Debian's compiler, about a minute".into());
    }
    Err(format!("rustup target add {TARGET}, or apt-get install -y --no-install-recommends {PACKAGES}"))
}

/// Asks rustup for the target; why not, if it cannot be had.
fn rustup() -> Result<String, String> {
    if output(Command::new("rustup").arg("--version")).is_none() {
        return Err("it is not installed".into());
    }
    eprintln!("adding the target {TARGET} with rustup");
    let out = Command::new("rustup").args(["target", "add", TARGET]).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        let line = said.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("it said nothing");
        return Err(format!("`rustup target add {TARGET}` failed: {line}"));
    }
    installed().ok_or_else(|| "it added the target, but the rustc in PATH is not rustup's; put ~/.cargo/bin first in PATH".into())
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
const PACKAGES: &str = "rustc-web rust-web-src rust-web-llvm lld-22";

/// Debian's compiler with a standard library of ours; the inner error says what it lacks.
fn debian() -> anyhow::Result<Result<Toolchain, String>> {
    let Some(version) = output(Command::new(DEBIAN_RUSTC).arg("--version")) else { return Ok(Err(format!("{DEBIAN_RUSTC} is not there"))) };
    let Some(sysroot) = output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])) else {
        return Ok(Err(format!("{DEBIAN_RUSTC} does not say where its sysroot is")));
    };
    if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml").exists() {
        return Ok(Err(format!("the sources of {version} are not there; install rust-web-src")));
    }
    // Without it the standard library still builds, and each plugin then fails to link.
    if !linker(&sysroot) {
        return Ok(Err("the linker rust-lld does not start; install rust-web-llvm and lld-22".into()));
    }
    let number = version.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
    let cache = cache_dir()?.join(format!("sysroot-{number}"));
    if !complete(&cache) {
        build_std(&cache, &version)?;
    }
    Ok(Ok(Toolchain {
        name: format!("Debian's {version} and a standard library built from its sources in {}", cache.display()),
        env: vec![
            ("RUSTC".into(), DEBIAN_RUSTC.into()),
            // Stands above RUSTFLAGS and the target's own variable, which would make cargo forget the sysroot: so they are taken along.
            ("CARGO_ENCODED_RUSTFLAGS".into(), flags(&cache)),
            // rustup's proxy would put its own compiler in front.
            ("RUSTUP_TOOLCHAIN".into(), String::new()),
        ],
    }))
}

fn linker(sysroot: &str) -> bool {
    let beside = Path::new(sysroot).join("lib/rustlib").join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).join("bin/rust-lld");
    [beside.as_os_str(), "rust-lld".as_ref()].iter().any(|lld| output(Command::new(lld).args(["-flavor", "wasm", "--version"])).is_some())
}

fn flags(sysroot: &Path) -> String {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let spaced = |v: String| v.split_whitespace().collect::<Vec<_>>().join("\x1f");
    let own = format!("--sysroot={}", sysroot.display());
    let given = var("CARGO_ENCODED_RUSTFLAGS")
        .or_else(|| var("RUSTFLAGS").or_else(|| var("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS")).map(spaced));
    match given {
        Some(given) => format!("{given}\x1f{own}"),
        None => own,
    }
}

fn libraries(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

fn complete(sysroot: &Path) -> bool {
    libraries(sysroot).join(".complete").exists()
}

/// Builds the standard library once, by way of a tiny crate, and keeps its rlibs.
fn build_std(cache: &Path, version: &str) -> anyhow::Result<()> {
    eprintln!("building the standard library for {TARGET} with Debian's {version} (once, about a minute)");
    let work = cache.with_extension(format!("work{}", std::process::id()));
    let built = build_std_in(&work, version);
    if built.is_ok() && !complete(cache) {
        // Moved whole, so that another build never sees half of it. If that other build was first, its library is as good.
        let _ = std::fs::remove_dir_all(cache);
        let moved = std::fs::rename(work.join("sysroot"), cache);
        if let Err(e) = moved
            && !complete(cache)
        {
            return Err(e).with_context(|| format!("the cache {} cannot be written; set PLENUM_CACHE to another folder", cache.display()));
        }
    }
    let _ = std::fs::remove_dir_all(work);
    built
}

fn build_std_in(work: &Path, version: &str) -> anyhow::Result<()> {
    let lib = libraries(&work.join("sysroot"));
    for dir in [&work.join("src"), &lib] {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("the cache {} cannot be written; set PLENUM_CACHE to another folder", dir.display()))?;
    }
    std::fs::write(
        work.join("Cargo.toml"),
        "[package]\nname = \"sysroot\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\ncrate-type = [\"rlib\"]\n[workspace]\n",
    )?;
    std::fs::write(work.join("src/lib.rs"), "")?;
    let built = Command::new("cargo")
        .args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET])
        .current_dir(work)
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", work.join("target"))
        // With bitcode, or plugins could not be optimised as a whole.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC_WRAPPER")
        .output()
        .context("cargo does not start; install it (apt-get install cargo-web, or https://rustup.rs)")?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        let last = said.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
        bail!(
            "the standard library does not build: {last}\nCheck that its sources are those of the compiler: apt-get install -y --no-install-recommends {PACKAGES}"
        );
    }
    for f in std::fs::read_dir(work.join("target").join(TARGET).join("release/deps"))?.flatten() {
        let name = f.file_name();
        if name.to_string_lossy().ends_with(".rlib") && !name.to_string_lossy().starts_with("libsysroot") {
            std::fs::copy(f.path(), lib.join(name))?;
        }
    }
    std::fs::write(lib.join(".complete"), version)?;
    Ok(())
}

/// `PLENUM_CACHE`, else the user's cache folder.
pub fn cache_dir() -> anyhow::Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    // Made absolute: cargo runs in other folders.
    if let Some(dir) = var("PLENUM_CACHE") {
        return Ok(std::path::absolute(dir)?);
    }
    let base = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|h| h.join(".cache")));
    Ok(base.context("neither PLENUM_CACHE nor HOME is set")?.join("plenum"))
}
