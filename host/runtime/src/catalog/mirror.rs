//! Making catalogs: an index of a folder, a copy of a catalog for where there is no network, a catalog in a registry.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plenum_store::now_ms;

use super::index::{INDEX_FILE, Index, MEDIA_DIR, SIGNATURE_FILE};
use super::remote::{CATALOG, CATALOG_INDEX, CATALOG_MEDIA, CATALOG_SIGNATURE, Remote, write};
use super::source::{CatalogSpec, Source};
use crate::package::fetch::FetchError;
use crate::package::oci::{Descriptor, EMPTY, IMAGE, Image};
use crate::package::{Archive, Credentials, Reference, Registry, TrustPolicy, digest};

const DAY_MS: i64 = 24 * 3600 * 1000;

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FetchError {
    let path = path.display().to_string();
    move |e| FetchError::Answer(format!("{path}: {e}"))
}

/// Writes the signed index of a folder of packages. Its serial is higher than that of the index that is there.
pub fn make_index(dir: &Path, name: &str, days: u32, secret_key: &str, password: Option<String>) -> Result<Index, FetchError> {
    let now = now_ms();
    // By the clock, so that it rises even where the index before was lost.
    let before = std::fs::read(dir.join(INDEX_FILE)).ok().and_then(|b| serde_json::from_slice::<Index>(&b).ok()).map_or(0, |i| i.serial);
    let serial = u64::try_from(now / 1000).unwrap_or_default().max(before + 1);
    let index = Index::of_folder(dir, name, serial, now, now + i64::from(days) * DAY_MS)?;
    let (bytes, signature) = index.signed(secret_key, password)?;
    // What a host would refuse is not written.
    Index::parse(&bytes)?;
    write(&dir.join(SIGNATURE_FILE), signature.as_bytes())?;
    write(&dir.join(INDEX_FILE), &bytes)?;
    Ok(index)
}

/// What a mirror did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// Of the index.
    pub serial: u64,
    /// Who signed it.
    pub publisher: String,
    /// Files that were fetched.
    pub fetched: usize,
    /// Files that were there already.
    pub kept: usize,
    /// Files that the index lists no more.
    pub removed: usize,
}

/// Copies a catalog to a folder: index, signature, packages and images, byte for byte. The folder is a catalog like the first, trusted
/// by the same keys. Files come first and the index last, so that a copy that was cut short is the old catalog still.
pub async fn mirror(spec: CatalogSpec, dir: &Path, trust: &TrustPolicy) -> Result<Mirrored, FetchError> {
    let remote = Remote::new(spec, &dir.join(".mirror"), false)?;
    let (bytes, signature) = remote.fetch_index().await?.ok_or_else(|| {
        FetchError::Answer(format!("{} has no {INDEX_FILE}; make one there with `plenum catalog index`", remote.spec.source))
    })?;
    let checked = remote.check(&bytes, signature.clone(), trust)?;
    let publisher = checked.publisher.clone().unwrap_or_default();
    if checked.expires < now_ms() {
        return Err(FetchError::Answer(format!(
            "the index of {} ended on {}; a copy of it would offer nothing",
            remote.spec.source, checked.index.expires_at
        )));
    }
    if let Ok(before) = std::fs::read(dir.join(INDEX_FILE))
        && let Ok(before) = serde_json::from_slice::<Index>(&before)
        && before.serial > checked.index.serial
    {
        return Err(FetchError::Answer(format!(
            "{} has an older index (serial {}) than the copy in {} ({}); it may be replayed",
            remote.spec.source,
            checked.index.serial,
            dir.display(),
            before.serial
        )));
    }
    let media = dir.join(MEDIA_DIR);
    std::fs::create_dir_all(&media).map_err(io(&media))?;
    let mut done = Mirrored { serial: checked.index.serial, publisher, fetched: 0, kept: 0, removed: 0 };
    let mut wanted: BTreeSet<PathBuf> = BTreeSet::new();
    for p in &checked.index.packages {
        let path = dir.join(&p.file);
        if Archive::read(&path).is_ok_and(|a| a.digest() == p.digest) {
            done.kept += 1;
        } else {
            write(&path, &remote.package(p).await?)?;
            done.fetched += 1;
        }
        wanted.insert(path);
        for m in p.media.values() {
            let path = media.join(m.digest.trim_start_matches("sha256:"));
            if !std::fs::read(&path).is_ok_and(|b| digest(&b) == m.digest) {
                write(&path, &remote.media(m).await?)?;
            }
        }
    }
    if let Some(s) = &signature {
        write(&dir.join(SIGNATURE_FILE), s.as_bytes())?;
    }
    write(&dir.join(INDEX_FILE), &bytes)?;
    for file in std::fs::read_dir(dir).map_err(io(dir))?.flatten().map(|f| f.path()) {
        if file.extension().is_some_and(|e| e == "plenum") && !wanted.contains(&file) {
            std::fs::remove_file(&file).map_err(io(&file))?;
            done.removed += 1;
        }
    }
    // What was kept while fetching is in the folder itself now.
    let _ = std::fs::remove_dir_all(dir.join(".mirror"));
    Ok(done)
}

/// Puts a folder with a signed index into a registry: each package beside `r`, in the repository of its id, and the index as `r`.
pub async fn push_catalog(dir: &Path, r: &Reference, credentials: Credentials, plain_http: bool) -> Result<usize, FetchError> {
    let read = |name: &str| std::fs::read(dir.join(name)).map_err(io(&dir.join(name)));
    let (bytes, signature) = (read(INDEX_FILE)?, read(SIGNATURE_FILE)?);
    let (index, _) = Index::parse(&bytes)?;
    let registry = Registry::new(credentials, plain_http)?;
    let mut layers = Vec::new();
    for p in &index.packages {
        let archive = Archive::read(&dir.join(&p.file))?;
        if archive.digest() != p.digest {
            return Err(FetchError::Answer(format!(
                "{} changed since the index was made; make it anew with `plenum catalog index`",
                p.file
            )));
        }
        let version = crate::package::tag_of(&archive.package()?.manifest.version);
        registry.push(&archive, &r.beside(&p.plugin_id()?, &version), false).await?;
        for m in p.media.values() {
            layers.push((CATALOG_MEDIA, read(&format!("{MEDIA_DIR}/{}", m.digest.trim_start_matches("sha256:")))?));
        }
    }
    layers.splice(0..0, [(CATALOG_INDEX, bytes), (CATALOG_SIGNATURE, signature)]);
    let mut descriptors: Vec<Descriptor> = Vec::new();
    let put = async |kind: &str, bytes: Vec<u8>| {
        let d = Descriptor { media_type: kind.to_owned(), digest: digest(&bytes), size: bytes.len() as u64, ..Descriptor::default() };
        registry.put_blob(r, &d.digest, bytes).await.map(|()| d)
    };
    let config = put(EMPTY, b"{}".to_vec()).await?;
    for (kind, bytes) in layers {
        let d = put(kind, bytes).await?;
        if !descriptors.iter().any(|x| x.digest == d.digest) {
            descriptors.push(d);
        }
    }
    let image = Image { artifact_type: Some(CATALOG.into()), ..Image::new(config, descriptors) };
    let image = serde_json::to_vec(&image).map_err(|e| FetchError::Answer(e.to_string()))?;
    registry.put_manifest(r, r.version.as_deref().unwrap_or("latest"), IMAGE, image).await?;
    Ok(index.packages.len())
}

impl Source {
    /// The registry's reference, where it is one.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Source::Registry(r) => Some(r),
            _ => None,
        }
    }
}
