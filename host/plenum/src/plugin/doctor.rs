//! `plenum doctor`: what this machine has and lacks for building plugins.

use std::process::Command;

use super::toolchain::{self, TARGET};
use super::toolchain_node::{Node, PACKAGES};
use super::toolchain_python::{self, COMPONENTIZE};

/// One thing that was looked at.
struct Finding {
    /// What it is for.
    what: &'static str,
    /// What was found, or what to do.
    result: Result<String, String>,
}

fn version(program: &str) -> Option<String> {
    let out = Command::new(program).arg("--version").output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

fn rust() -> Finding {
    let result = match (version("cargo"), toolchain::available()) {
        (None, _) => {
            Err("cargo is not there: install Rust 1.95 or newer (https://rustup.rs, or apt-get install rustc-web cargo-web)".to_owned())
        }
        (Some(cargo), Ok(way)) => Ok(format!("{cargo}; {way}")),
        (Some(cargo), Err(why)) => Err(format!("{cargo}, and nothing to compile for {TARGET} with: {why}")),
    };
    Finding { what: "Rust", result }
}

fn python() -> Finding {
    let result = toolchain_python::look()
        .map(|(version, installed)| {
            let tool = COMPONENTIZE.replace("==", " ");
            format!(
                "Python {version}; {}",
                if installed { format!("{tool} is installed") } else { format!("the first build installs {tool}, 75 MB") }
            )
        })
        .map_err(|e| format!("{e:#}"));
    Finding { what: "Python", result }
}

fn javascript() -> Finding {
    let result = Node::look()
        .and_then(|(node, installed)| {
            let npm = version("npm");
            if npm.is_none() && !installed {
                anyhow::bail!("npm is not there: the first build needs it (apt-get install npm)");
            }
            let tools = PACKAGES.join(" and ").replace('@', " ");
            Ok(format!(
                "Node.js {node}; {}",
                if installed { format!("{tools} are installed") } else { format!("the first build installs {tools}, 60 MB") }
            ))
        })
        .map_err(|e| format!("{e:#}"));
    Finding { what: "JavaScript", result }
}

fn cache() -> Finding {
    let result = toolchain::cache_dir().and_then(|dir| {
        std::fs::create_dir_all(&dir)
            .map_err(|e| anyhow::anyhow!("{} cannot be made: {e}; set PLENUM_CACHE to another folder", dir.display()))?;
        let probe = dir.join(format!(".doctor{}", std::process::id()));
        std::fs::write(&probe, b"")
            .map_err(|e| anyhow::anyhow!("{} cannot be written: {e}; set PLENUM_CACHE to another folder", dir.display()))?;
        let _ = std::fs::remove_file(probe);
        Ok(dir.display().to_string())
    });
    Finding { what: "Cache", result: result.map_err(|e| format!("{e:#}")) }
}

/// Says what is there; fails when nothing can be built.
pub fn doctor() -> anyhow::Result<()> {
    println!("What `plenum plugin build` finds on this machine. One language is enough.\n");
    let languages = [rust(), python(), javascript()];
    let cache = cache();
    for f in languages.iter().chain([&cache]) {
        match &f.result {
            Ok(found) => println!("  ok       {:<11} {found}", f.what),
            Err(fix) => println!("  missing  {:<11} {fix}", f.what),
        }
    }
    if cache.result.is_err() || languages.iter().all(|f| f.result.is_err()) {
        anyhow::bail!("no plugin can be built here: see above");
    }
    Ok(())
}
