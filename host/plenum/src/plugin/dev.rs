//! `plenum plugin dev`: builds what is saved, puts it into a running host, shows the plugin's log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;

use super::build;
use super::dev_host::{DevHost, line};

/// How often files and the log are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Folders whose files are no source of the plugin.
const SKIPPED: &[&str] = &["target", "dist", "node_modules", "__pycache__"];
/// Folders of which the component knows nothing: when only these change, it is not built again.
const PAGES: &[&str] = &["web", "pages", "assets", "tests"];

/// Where it goes.
#[derive(Debug)]
pub struct Where {
    /// Address of a host of its own.
    pub listen: String,
    /// Or a host that runs: its URL, a token, a folder of its catalog.
    pub running: Option<(String, String, PathBuf)>,
}

type Files = BTreeMap<PathBuf, (SystemTime, u64)>;

/// All files of the plugin, with what tells that one was changed.
fn snapshot(dir: &Path) -> Files {
    fn walk(root: &Path, dir: &Path, out: &mut Files) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Ok(meta) = entry.metadata() else { continue };
            if name.as_encoded_bytes().starts_with(b".") || SKIPPED.iter().any(|s| name == *s) {
                continue;
            }
            if meta.is_dir() {
                walk(root, &entry.path(), out);
            } else if let (Ok(path), Ok(modified)) = (entry.path().strip_prefix(root), meta.modified()) {
                out.insert(path.to_owned(), (modified, meta.len()));
            }
        }
    }
    let mut out = Files::new();
    walk(dir, dir, &mut out);
    out
}

/// What the component is made of.
fn code(files: &Files) -> Files {
    let of_pages = |p: &Path| PAGES.iter().any(|f| p.starts_with(f)) || p.extension().is_some_and(|e| e == "md");
    files.iter().filter(|(p, _)| !of_pages(p)).map(|(p, s)| (p.clone(), *s)).collect()
}

/// What was built, to be used again while the code stays as it is.
#[derive(Default)]
struct Built {
    code: Files,
    component: Option<Vec<u8>>,
    package: Option<PathBuf>,
}

/// Goes on until it is interrupted.
pub async fn dev(dir: &Path, place: Where) -> anyhow::Result<()> {
    let dir = std::fs::canonicalize(dir).with_context(|| dir.display().to_string())?;
    let id = build::manifest(&dir)?.id;
    let host = match place.running {
        Some((url, token, catalog)) => DevHost::other(&url, &token, &catalog).await?,
        None => {
            let home = dir.join("target/plenum/dev");
            let host = DevHost::own(&home, &place.listen).await?;
            let credentials = std::fs::read_to_string(home.join("first-administrator")).unwrap_or_default();
            println!("a host of its own runs at {}, with its data in {}\n{}", host.url, home.display(), credentials.trim_end());
            host
        }
    };
    println!("watching {}; Ctrl-C ends\n", dir.display());
    let work = watch(&dir, &id, &host);
    tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn watch(dir: &Path, id: &str, host: &DevHost) -> anyhow::Result<()> {
    let mut seen = Files::new();
    let mut built = Built::default();
    let mut shown: BTreeSet<String> = BTreeSet::new();
    // What an earlier start logged is not news.
    for l in host.log(id).await.unwrap_or_default() {
        shown.insert(l.to_string());
    }
    loop {
        let now = snapshot(dir);
        if now != seen {
            // An editor writes a file in several steps.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let settled = snapshot(dir);
            if settled == now {
                let started = Instant::now();
                match swap(dir, host, &now, &mut built).await {
                    Ok(words) => println!("{words} in {:.1} s: {}/plugins/{id}\n", started.elapsed().as_secs_f32(), host.url),
                    Err(e) => eprintln!("{e:#}\nwaiting for a change\n"),
                }
                seen = now;
            }
        }
        for l in host.log(id).await.unwrap_or_default() {
            if shown.insert(l.to_string()) {
                println!("{}", line(&l));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Builds what changed and has the host take it.
async fn swap(dir: &Path, host: &DevHost, files: &Files, built: &mut Built) -> anyhow::Result<&'static str> {
    let code = code(files);
    let reuse = built.component.take().filter(|_| built.code == code);
    let reused = reuse.is_some();
    let (source, catalog) = (dir.to_owned(), host.catalog.clone());
    let made = tokio::task::spawn_blocking(move || {
        let (mut m, files) = build::read(&source)?;
        // Each is a version of its own, newer than the one before: a host keeps what it has of the same one.
        let stamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        m.version.build = semver::BuildMetadata::new(&format!("dev.{stamp}"))?;
        let component = match (reuse, m.component.is_some()) {
            (Some(c), true) => Some(c),
            (None, true) => Some(build::compile(&source, &m, false)?),
            (_, false) => None,
        };
        let package = build::finish(m.clone(), files, component.clone(), &catalog, None)?;
        anyhow::Ok((m, component, package))
    })
    .await?;
    let (m, component, package) = made?;
    (built.component, built.code) = (component, code);
    if let Some(old) = built.package.replace(package)
        && built.package.as_ref() != Some(&old)
    {
        let _ = std::fs::remove_file(old);
    }
    host.install(&m).await?;
    Ok(if reused { "pages swapped" } else { "swapped" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pages_are_no_code_and_output_is_no_source() {
        let dir = tempfile::tempdir().unwrap();
        for file in
            ["src/plugin.py", "web/app.js", "plugin.toml", "target/x", "dist/y.plenum", ".git/HEAD", "node_modules/a/b.js", "README.md"]
        {
            std::fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(file), "x").unwrap();
        }
        let names = |f: &Files| f.keys().map(|p| p.display().to_string()).collect::<Vec<_>>();
        let before = snapshot(dir.path());
        assert_eq!(names(&before), ["README.md", "plugin.toml", "src/plugin.py", "web/app.js"]);
        assert_eq!(names(&code(&before)), ["plugin.toml", "src/plugin.py"]);
        std::fs::write(dir.path().join("web/app.js"), "other").unwrap();
        let after = snapshot(dir.path());
        assert!(before != after && code(&before) == code(&after));
    }
}
