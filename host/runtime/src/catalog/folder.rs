//! Packages in a folder: each is read and judged itself; what has not changed is not read again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use plenum_store::now_ms;

use super::index::{MAX_PACKAGES, changelog};
use super::{CatalogEntry, Place};
use crate::package::{Origin, Package, PackageError, SignatureState, Trust, TrustPolicy};

/// What is known of a file as long as it does not change: size, time, what was read.
type Known = HashMap<PathBuf, (u64, Option<SystemTime>, CatalogEntry)>;

#[derive(Debug, Default)]
pub(super) struct Folders {
    known: Mutex<Known>,
}

impl Folders {
    /// All packages of a folder.
    pub(super) fn entries(&self, dir: &Path, catalog: &str, trust: &TrustPolicy) -> Vec<CatalogEntry> {
        let Ok(files) = std::fs::read_dir(dir) else { return Vec::new() };
        let paths = files.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "plenum"));
        paths.take(MAX_PACKAGES).filter_map(|path| self.entry(&path, catalog, trust)).collect()
    }

    fn entry(&self, path: &Path, catalog: &str, trust: &TrustPolicy) -> Option<CatalogEntry> {
        let meta = std::fs::metadata(path).ok()?;
        let modified = meta.modified().ok();
        if let Some((size, time, entry)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path)
            && *size == meta.len()
            && *time == modified
        {
            return Some(entry.clone());
        }
        let file = path.file_name()?.to_string_lossy().into_owned();
        let origin = Origin::new(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy());
        let entry = match Package::read(path) {
            Ok(p) => CatalogEntry {
                signature: p.judge(trust, &origin, now_ms()),
                digest: p.manifest_digest.clone(),
                size: p.size,
                problem: p.manifest.require_api().err().map(|e| e.to_string()),
                changelog: changelog(&p),
                manifest: Some(p.manifest),
                file,
                catalogs: vec![catalog.to_owned()],
                place: Place::File(path.to_owned()),
            },
            Err(e) => CatalogEntry {
                manifest: None,
                file,
                digest: String::new(),
                size: meta.len(),
                signature: SignatureState::bare(
                    if matches!(e, PackageError::Digest(_)) { Trust::Modified } else { Trust::Unsigned },
                    "it cannot be read",
                    origin,
                ),
                problem: Some(e.to_string()),
                changelog: None,
                catalogs: vec![catalog.to_owned()],
                place: Place::File(path.to_owned()),
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
