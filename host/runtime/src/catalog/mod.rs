//! Catalogs: any number of folders, web servers and registries, shown as one. A catalog that is down hides nothing of the others.

mod choose;
mod folder;
mod index;
mod mirror;
mod remote;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plenum_store::now_ms;
use serde::Serialize;

use folder::Folders;
use index::Listed;
use remote::{Checked, Remote};

pub use choose::{Offer, Search, newer, offers};
pub use index::{INDEX_FILE, Index, MEDIA_DIR, SIGNATURE_FILE};
pub use mirror::{Mirrored, make_index, mirror, push_catalog};
pub use remote::CatalogStatus;
pub use source::{CatalogSpec, Source};

use crate::package::fetch::FetchError;
use crate::package::{Manifest, Package, SignatureState, Trust, TrustPolicy};

/// How often catalogs are asked for a newer index.
pub(crate) const REFRESH: Duration = Duration::from_secs(15 * 60);

/// A package that can be installed, or why it cannot.
#[derive(Debug, Clone, Serialize)]
pub struct CatalogEntry {
    /// The manifest; absent when the package cannot be read.
    pub manifest: Option<Manifest>,
    /// File name.
    pub file: String,
    /// Digest of the image manifest, which covers everything.
    pub digest: String,
    /// Bytes of the package.
    pub size: u64,
    /// Whose it is.
    pub signature: SignatureState,
    /// Why it cannot be installed here.
    pub problem: Option<String>,
    /// What changed, as its author tells.
    pub changelog: Option<String>,
    /// Names of the catalogs that have it.
    pub catalogs: Vec<String>,
    #[serde(skip)]
    pub(crate) place: Place,
}

/// Where a package's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    File(PathBuf),
    /// In the catalog of this number.
    Listed(usize, Arc<Listed>),
}

/// All catalogs of a host.
#[derive(Debug)]
pub(crate) struct Catalogs {
    remotes: Vec<Remote>,
    folders: Folders,
    trust: TrustPolicy,
}

impl Catalogs {
    pub(crate) fn new(specs: &[CatalogSpec], trust: TrustPolicy, data: &Path, developer_mode: bool) -> Result<Catalogs, FetchError> {
        let remotes = specs.iter().map(|s| Remote::new(s.clone(), data, developer_mode)).collect::<Result<Vec<_>, _>>()?;
        for r in &remotes {
            r.recall(&trust);
        }
        Ok(Catalogs { remotes, folders: Folders::default(), trust })
    }

    pub(crate) fn trust(&self) -> &TrustPolicy {
        &self.trust
    }

    /// Asks all for a newer index, at the same time: one that hangs keeps no other waiting.
    pub(crate) async fn refresh(&self) {
        let asked = self.remotes.iter().map(|r| async move { (r.spec.name.clone(), r.refresh(&self.trust).await) });
        for (catalog, done) in futures::future::join_all(asked).await {
            if let Err(e) = done {
                tracing::warn!(catalog, error = %e, "a catalog cannot be used as it is");
            }
        }
    }

    /// All packages, by id and version, newest first. Reads files: call it off the async threads.
    pub(crate) fn entries(&self) -> Vec<CatalogEntry> {
        let mut found: Vec<CatalogEntry> = Vec::new();
        for (number, remote) in self.remotes.iter().enumerate() {
            for entry in self.of(number, remote) {
                merge(&mut found, entry);
            }
        }
        let key = |e: &CatalogEntry| e.manifest.as_ref().map(|m| (m.id.clone(), m.version.clone()));
        found.sort_by(|a, b| match (key(a), key(b)) {
            (Some((ia, va)), Some((ib, vb))) => ia.cmp(&ib).then(vb.cmp(&va)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => a.file.cmp(&b.file),
        });
        // The first of a version is the one that is meant: trusted before others, and then in the order of the configuration.
        let mut meant: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
        for e in &mut found {
            let Some(m) = &e.manifest else { continue };
            let same = meant
                .entry((m.id.clone(), m.version.to_string()))
                .or_insert_with(|| (e.digest.clone(), e.catalogs.first().cloned().unwrap_or_default()));
            if same.0 != e.digest && e.problem.is_none() {
                e.problem = Some(format!(
                    "the catalog {} has another package of the same version, which comes first; one of the two is not what its publisher made",
                    same.1
                ));
            }
        }
        found
    }

    fn of(&self, number: usize, remote: &Remote) -> Vec<CatalogEntry> {
        let checked = remote.checked();
        let expired = checked.as_ref().filter(|c| c.expires < now_ms()).map(|c| {
            format!(
                "the index of the catalog {} ended on {}: until a newer one is there nothing of it is installed, for newer packages may be held back",
                remote.spec.name, c.index.expires_at
            )
        });
        let mut entries = match (&remote.spec.source, &checked) {
            (Source::Folder(dir), None) => self.folders.entries(dir, &remote.spec.name, &self.trust),
            (Source::Folder(dir), Some(c)) => {
                let mut entries = self.folders.entries(dir, &remote.spec.name, &self.trust);
                for e in &mut entries {
                    let listed = c.index.packages.iter().any(|p| p.digest == e.digest);
                    if !listed && e.problem.is_none() {
                        e.problem =
                            Some("the signed index of its catalog does not list it; make it anew with `plenum catalog index`".into());
                    }
                }
                entries
            }
            (_, Some(c)) => self.listed(number, remote, c),
            (_, None) => Vec::new(),
        };
        for e in entries.iter_mut().filter(|e| e.problem.is_none()) {
            e.problem.clone_from(&expired);
        }
        entries
    }

    fn listed(&self, number: usize, remote: &Remote, c: &Checked) -> Vec<CatalogEntry> {
        let entry = |(p, m): (&Listed, &Result<Manifest, String>)| {
            let place = match (&remote.spec.source, p.plugin_id()) {
                (Source::Registry(_), Ok(id)) => id,
                _ => p.file.clone(),
            };
            CatalogEntry {
                signature: self.trust.judge(p.image.as_bytes(), &p.signatures, &remote.spec.source.origin(&place), now_ms()),
                problem: match m {
                    Ok(m) => m.require_api().err().map(|e| e.to_string()),
                    Err(why) => Some(why.clone()),
                },
                manifest: m.as_ref().ok().cloned(),
                file: p.file.clone(),
                digest: p.digest.clone(),
                size: p.size,
                changelog: p.changelog.clone(),
                catalogs: vec![remote.spec.name.clone()],
                place: Place::Listed(number, Arc::new(p.clone())),
            }
        };
        c.index.packages.iter().zip(&c.manifests).map(entry).collect()
    }

    /// The bytes of a package.
    pub(crate) async fn fetch(&self, entry: &CatalogEntry) -> Result<Vec<u8>, FetchError> {
        match &entry.place {
            Place::File(path) => {
                let path = path.clone();
                let read = move || std::fs::read(&path).map_err(|e| FetchError::Answer(format!("{}: {e}", path.display())));
                tokio::task::spawn_blocking(read).await.map_err(|e| FetchError::Answer(e.to_string()))?
            }
            Place::Listed(number, listed) => match self.remotes.get(*number) {
                Some(remote) => remote.package(listed).await,
                None => Err(FetchError::Answer("the catalog is gone".into())),
            },
        }
    }

    /// An image of a package: its icon, a screenshot.
    pub(crate) async fn media(&self, entry: &CatalogEntry, name: &str) -> Result<Option<Vec<u8>>, FetchError> {
        match &entry.place {
            Place::File(path) => {
                let (path, name) = (path.clone(), name.to_owned());
                let read = move || Package::read(&path).map(|mut p| p.files.remove(&name));
                Ok(tokio::task::spawn_blocking(read).await.map_err(|e| FetchError::Answer(e.to_string()))??)
            }
            Place::Listed(number, listed) => match (self.remotes.get(*number), listed.media.get(name)) {
                (Some(remote), Some(m)) => remote.media(m).await.map(Some),
                _ => Ok(None),
            },
        }
    }

    pub(crate) fn status(&self, entries: &[CatalogEntry]) -> Vec<CatalogStatus> {
        let count = |name: &String| entries.iter().filter(|e| e.catalogs.contains(name)).count();
        self.remotes.iter().map(|r| r.status(count(&r.spec.name))).collect()
    }
}

/// Adds an entry; the same package of another catalog is one entry.
fn merge(found: &mut Vec<CatalogEntry>, entry: CatalogEntry) {
    let same =
        found.iter_mut().find(|e| !e.digest.is_empty() && e.digest == entry.digest && e.problem.is_some() == entry.problem.is_some());
    match same {
        Some(e) => {
            let mut catalogs = std::mem::take(&mut e.catalogs);
            catalogs.extend(entry.catalogs.iter().cloned());
            // Where it is trusted it is taken from.
            if e.signature.state != Trust::Trusted && entry.signature.state == Trust::Trusted {
                *e = entry;
            }
            e.catalogs = catalogs;
        }
        None => found.push(entry),
    }
}
