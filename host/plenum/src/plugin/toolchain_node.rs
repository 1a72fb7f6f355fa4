//! componentize-qjs and rolldown, in a folder of their own below Plenum's cache: an author needs Node.js, and nothing else by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::toolchain::cache_dir;
use super::toolchain_python::run;

/// The versions that the SDK is tested with.
pub const PACKAGES: &[&str] = &["componentize-qjs@0.4.5", "rolldown@1.3.2"];

/// Node.js, and where the tools are.
#[derive(Debug)]
pub struct Node {
    /// The folder with `node_modules`.
    pub home: PathBuf,
}

impl Node {
    /// Which Node.js there is, and whether the tools are installed; installs nothing.
    pub fn look() -> anyhow::Result<(String, bool)> {
        let hint = "install Node.js 20.19 or newer with npm (https://nodejs.org)";
        let out = Command::new("node").arg("--version").output().with_context(|| format!("node does not start; {hint}"))?;
        let version = String::from_utf8_lossy(&out.stdout).trim().trim_start_matches('v').to_owned();
        let numbers: Vec<u32> = version.split('.').filter_map(|n| n.parse().ok()).collect();
        if !out.status.success() || numbers.as_slice() < [20, 19].as_slice() {
            bail!("node is version {version:?}, which is too old; {hint}");
        }
        Ok((version, home()?.join(".complete").exists()))
    }

    /// Of the cache; the tools are installed now if they are not there.
    pub fn find() -> anyhow::Result<Node> {
        let (_, installed) = Node::look()?;
        let home = home()?;
        if !installed {
            install(&home)?;
        }
        Ok(Node { home })
    }

    /// `node` with a script.
    pub fn command(&self) -> Command {
        let mut c = Command::new("node");
        c.env_remove("NODE_OPTIONS").env_remove("NODE_PATH");
        c
    }

    /// A file of an installed package.
    pub fn file(&self, path: &str) -> PathBuf {
        self.home.join("node_modules").join(path)
    }
}

fn home() -> anyhow::Result<PathBuf> {
    Ok(cache_dir()?.join("tools").join(PACKAGES.join("+").replace('@', "-")))
}

fn install(home: &Path) -> anyhow::Result<()> {
    eprintln!("installing {} into {} (once, about 60 MB)", PACKAGES.join(" and "), home.display());
    let work = home.with_extension(format!("work{}", std::process::id()));
    std::fs::create_dir_all(&work)
        .with_context(|| format!("the cache {} cannot be written; set PLENUM_CACHE to another folder", work.display()))?;
    std::fs::write(work.join("package.json"), "{\"private\": true}\n")?;
    let npm = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--save-exact"];
    let made = run(Command::new("npm").args(npm).args(PACKAGES).current_dir(&work).env_remove("NODE_OPTIONS"))
        .with_context(|| format!("npm could not install {}", PACKAGES.join(" and ")));
    if made.is_ok() {
        std::fs::write(work.join(".complete"), PACKAGES.join("\n"))?;
        // Moved whole, so that another build never sees half of it. If that other build was first, its tools are as good.
        if !home.join(".complete").exists() {
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
