//! componentize-py, in an environment of its own below Plenum's cache: an author needs Python, and nothing else by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::toolchain::cache_dir;

/// The version that the SDK is tested with: each brings a Python of its own.
pub const COMPONENTIZE: &str = "componentize-py==0.25.1";

/// The environment's Python, with componentize-py in it.
#[derive(Debug)]
pub struct Python {
    /// Its interpreter.
    pub interpreter: PathBuf,
}

impl Python {
    /// Of the cache; made now if it is not there.
    pub fn find() -> anyhow::Result<Python> {
        let base = base();
        let home = home(&version(&base)?)?;
        let interpreter = home.join("bin/python3");
        if !home.join(".complete").exists() || !works(&interpreter) {
            install(&base, &home)?;
        }
        Ok(Python { interpreter })
    }

    /// A command of it, cut off from the author's own settings.
    pub fn command(&self) -> Command {
        let mut c = Command::new(&self.interpreter);
        for name in ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_TARGET", "PIP_USER", "PIP_PREFIX"] {
            c.env_remove(name);
        }
        c.env("PYTHONDONTWRITEBYTECODE", "1");
        c
    }
}

fn base() -> String {
    std::env::var("PLENUM_PYTHON").ok().filter(|v| !v.is_empty()).unwrap_or_else(|| "python3".to_owned())
}

fn home(version: &str) -> anyhow::Result<PathBuf> {
    Ok(cache_dir()?.join("tools").join(format!("{}-python{version}", COMPONENTIZE.replace("==", "-"))))
}

/// Which Python there is, and whether componentize-py is installed; installs nothing.
pub fn look() -> anyhow::Result<(String, bool)> {
    let base = base();
    let version = version(&base)?;
    let installed = home(&version)?.join(".complete").exists();
    if !installed && !Command::new(&base).args(["-c", "import venv, ensurepip"]).output().is_ok_and(|o| o.status.success()) {
        bail!("Python {version} has no venv: install it (apt-get install -y python3-venv)");
    }
    Ok((version, installed))
}

/// `3.11`; componentize-py needs 3.10.
fn version(python: &str) -> anyhow::Result<String> {
    let hint = "install Python 3.10 or newer (apt-get install -y python3 python3-venv), or name one with PLENUM_PYTHON";
    let out = Command::new(python)
        .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        .output()
        .with_context(|| format!("{python} does not start; {hint}"))?;
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let minor = text.strip_prefix("3.").and_then(|m| m.parse::<u32>().ok());
    match minor {
        Some(m) if m >= 10 && out.status.success() => Ok(text),
        _ => bail!("{python} is Python {}, which is too old; {hint}", if text.is_empty() { "of an unknown version" } else { &text }),
    }
}

fn works(interpreter: &Path) -> bool {
    Command::new(interpreter).args(["-c", "import componentize_py"]).output().is_ok_and(|o| o.status.success())
}

fn install(base: &str, home: &Path) -> anyhow::Result<()> {
    eprintln!("installing {COMPONENTIZE} into {} (once, about 75 MB)", home.display());
    let work = home.with_extension(format!("work{}", std::process::id()));
    let parent = home.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(parent)
        .with_context(|| format!("the cache {} cannot be written; set PLENUM_CACHE to another folder", parent.display()))?;
    let made = run(Command::new(base).args(["-m", "venv"]).arg(&work))
        .context("Python's venv does not work; install it (apt-get install -y python3-venv)")
        .and_then(|()| {
            run(Command::new(work.join("bin/python3")).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                COMPONENTIZE,
            ]))
            .with_context(|| format!("pip could not install {COMPONENTIZE}"))
        });
    if made.is_ok() {
        std::fs::write(work.join(".complete"), COMPONENTIZE)?;
        // Moved whole, so that another build never sees half of it. If that other build was first, its environment is as good.
        if !(home.join(".complete").exists() && works(&home.join("bin/python3"))) {
            let _ = std::fs::remove_dir_all(home);
            if let Err(e) = std::fs::rename(&work, home)
                && !home.join(".complete").exists()
            {
                return Err(e).with_context(|| format!("the cache {} cannot be written", home.display()));
            }
        }
    }
    let _ = std::fs::remove_dir_all(&work);
    made
}

/// Runs a command; its output is said when it fails.
pub fn run(c: &mut Command) -> anyhow::Result<()> {
    let out = c.output().with_context(|| format!("{} does not start", c.get_program().to_string_lossy()))?;
    if out.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let lines: Vec<&str> = said.lines().collect();
    bail!("{}", lines.iter().skip(lines.len().saturating_sub(40)).copied().collect::<Vec<_>>().join("\n"))
}
