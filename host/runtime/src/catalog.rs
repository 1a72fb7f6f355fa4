//! The catalog: the packages in the folders that the host's configuration names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::package::{Manifest, Package, PackageError, SignatureState, Trust, TrustedKey};

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
    /// The icon's file and bytes.
    #[serde(skip)]
    pub icon: Option<(String, Vec<u8>)>,
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

/// What is known of a file as long as it does not change: size, time, what was read.
type Known = HashMap<PathBuf, (u64, Option<SystemTime>, CatalogEntry)>;

/// Reads catalog folders; what has not changed is not read again.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    dirs: Vec<PathBuf>,
    keys: Vec<TrustedKey>,
    known: Mutex<Known>,
}

/// Most packages of all folders.
const MAX_PACKAGES: usize = 2_000;

impl Catalog {
    pub(crate) fn new(dirs: Vec<PathBuf>, keys: Vec<TrustedKey>) -> Catalog {
        Catalog { dirs, keys, known: Mutex::default() }
    }

    pub(crate) fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// All packages, by id and version, newest first. Reads files: call it off the async threads.
    pub(crate) fn entries(&self) -> Vec<CatalogEntry> {
        let mut found: Vec<CatalogEntry> = Vec::new();
        for dir in &self.dirs {
            let Ok(files) = std::fs::read_dir(dir) else { continue };
            for path in files.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "plenum")).take(MAX_PACKAGES) {
                if let Some(entry) = self.entry(&path) {
                    found.push(entry);
                }
            }
        }
        let key = |e: &CatalogEntry| e.manifest.as_ref().map(|m| (m.id.clone(), m.version.clone()));
        found.sort_by(|a, b| match (key(a), key(b)) {
            (Some((ia, va)), Some((ib, vb))) => ia.cmp(&ib).then(vb.cmp(&va)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => a.file.cmp(&b.file),
        });
        found
    }

    fn entry(&self, path: &Path) -> Option<CatalogEntry> {
        let meta = std::fs::metadata(path).ok()?;
        let modified = meta.modified().ok();
        if let Some((size, time, entry)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path)
            && *size == meta.len()
            && *time == modified
        {
            return Some(entry.clone());
        }
        let file = path.file_name()?.to_string_lossy().into_owned();
        let entry = match Package::read(path) {
            Ok(p) => {
                let problem = p.manifest.require_api().err().map(|e| e.to_string());
                let icon = p.manifest.icon.as_ref().and_then(|i| p.files.get(i).map(|b| (i.clone(), b.clone())));
                CatalogEntry {
                    signature: p.verify(&self.keys).unwrap_or(SignatureState {
                        state: Trust::UnknownPublisher,
                        key_id: None,
                        publisher: None,
                    }),
                    digest: p.manifest_digest.clone(),
                    size: p.size,
                    manifest: Some(p.manifest),
                    file,
                    problem,
                    icon,
                    path: path.to_owned(),
                }
            }
            Err(e) => CatalogEntry {
                manifest: None,
                file,
                digest: String::new(),
                size: meta.len(),
                signature: SignatureState {
                    state: if matches!(e, PackageError::Digest(_)) { Trust::Modified } else { Trust::Unsigned },
                    key_id: None,
                    publisher: None,
                },
                problem: Some(e.to_string()),
                icon: None,
                path: path.to_owned(),
            },
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > 2 * MAX_PACKAGES {
            known.clear();
        }
        known.insert(path.to_owned(), (meta.len(), modified, entry.clone()));
        Some(entry)
    }
}
