//! One catalog with an index: fetched, checked, remembered. What was seen last is kept on disk, so that a catalog that is down still
//! shows what it had, and one that goes back in time is noticed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plenum_store::now_ms;
use serde::{Deserialize, Serialize};

use super::index::{INDEX_FILE, Index, Listed, MAX_MEDIA, MEDIA_DIR, Media, SIGNATURE_FILE};
use super::source::{CatalogSpec, Source};
use crate::package::fetch::{FetchError, Fetcher};
use crate::package::oci::Image;
use crate::package::{Archive, Credentials, MAX_DOCUMENT, MAX_PACKAGE, Manifest, Reference, Registry, TrustPolicy, digest};

/// Artifact type of a catalog in a registry.
pub(crate) const CATALOG: &str = "application/vnd.plenum.catalog.v1";
pub(crate) const CATALOG_INDEX: &str = "application/vnd.plenum.catalog.index.v1+json";
pub(crate) const CATALOG_SIGNATURE: &str = "application/vnd.plenum.catalog.index.v1.minisig";
/// An image in a catalog's artifact.
pub(crate) const CATALOG_MEDIA: &str = "application/vnd.plenum.catalog.media.v1";
/// For an index and its signature.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of an index.
const MAX_INDEX: u64 = 16 << 20;

/// An index that was checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub index: Index,
    pub manifests: Vec<Result<Manifest, String>>,
    /// Whose key signed it.
    pub publisher: Option<String>,
    pub expires: i64,
}

/// The newest index that was seen of a catalog.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    serial: u64,
    digest: String,
}

#[derive(Debug, Default)]
struct State {
    checked: Option<Arc<Checked>>,
    problem: Option<String>,
    tried_at: Option<i64>,
    fetched_at: Option<i64>,
}

/// Where a catalog stands.
#[derive(Debug, Clone, Serialize)]
pub struct CatalogStatus {
    /// As the configuration names it.
    pub name: String,
    /// Where it is.
    pub source: String,
    /// `folder`, `web`, `registry`.
    pub kind: &'static str,
    /// What is wrong with it, and what to do.
    pub problem: Option<String>,
    /// How many packages it has.
    pub packages: usize,
    /// Of its index.
    pub serial: Option<u64>,
    /// Who signed its index.
    pub publisher: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// When it was last asked.
    pub tried_at: Option<i64>,
    /// When it last answered well.
    pub fetched_at: Option<i64>,
}

/// A catalog.
#[derive(Debug)]
pub(crate) struct Remote {
    pub spec: CatalogSpec,
    /// Where what was seen is kept.
    keep: PathBuf,
    developer_mode: bool,
    fetcher: Fetcher,
    state: Mutex<State>,
}

fn answer(message: impl Into<String>) -> FetchError {
    FetchError::Answer(message.into())
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FetchError {
    let path = path.display().to_string();
    move |e| answer(format!("{path}: {e}"))
}

/// Writes a file; a reader never sees half of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    let temporary = path.with_extension(format!("new{}", std::process::id()));
    std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path)).map_err(io(path))
}

impl Remote {
    pub(crate) fn new(spec: CatalogSpec, data: &Path, developer_mode: bool) -> Result<Remote, FetchError> {
        let short: String = digest(spec.source.to_string().as_bytes()).chars().skip(7).take(16).collect();
        let fetcher = Fetcher::new(spec.plain_http)?;
        Ok(Remote { keep: data.join("catalogs").join(short), spec, developer_mode, fetcher, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn checked(&self) -> Option<Arc<Checked>> {
        self.state().checked.clone()
    }

    fn registry(&self) -> Result<Registry, FetchError> {
        Registry::new(Credentials::load()?, self.spec.plain_http)
    }

    /// What was seen before the host was started.
    pub(crate) fn recall(&self, trust: &TrustPolicy) {
        let read = || Some((std::fs::read(self.keep.join(INDEX_FILE)).ok()?, std::fs::read_to_string(self.keep.join(SIGNATURE_FILE)).ok()));
        if let Some((bytes, signature)) = read()
            && let Ok(checked) = self.check(&bytes, signature, trust)
        {
            self.state().checked = Some(Arc::new(checked));
        }
    }

    /// Asks for the index anew.
    pub(crate) async fn refresh(&self, trust: &TrustPolicy) -> Result<(), FetchError> {
        let done = self.try_refresh(trust).await;
        let mut state = self.state();
        state.tried_at = Some(now_ms());
        match done {
            Ok(checked) => {
                state.checked = checked.map(Arc::new);
                state.problem = None;
                state.fetched_at = state.tried_at;
                Ok(())
            }
            Err(e) => {
                state.problem = Some(e.to_string());
                Err(e)
            }
        }
    }

    async fn try_refresh(&self, trust: &TrustPolicy) -> Result<Option<Checked>, FetchError> {
        // One that trickles is not waited for, however few bytes it has.
        let fetched = tokio::time::timeout(PATIENCE, self.fetch_index()).await;
        let fetched = fetched
            .unwrap_or_else(|_| Err(answer(format!("{} took longer than {} s to send its index", self.spec.source, PATIENCE.as_secs()))));
        let Some((bytes, signature)) = fetched? else {
            let seen = self.keep.join("seen.json");
            if seen.exists() {
                return Err(answer(format!(
                    "the catalog {} had a signed index and has none any more; if that is meant, delete {}",
                    self.spec.name,
                    seen.display()
                )));
            }
            return Ok(None);
        };
        let checked = self.check(&bytes, signature.clone(), trust)?;
        self.no_rollback(&checked.index, &bytes)?;
        if checked.expires < now_ms() {
            return Err(answer(format!(
                "the index of the catalog {} ended on {} and no newer one is there: it may be held back, or whoever runs the catalog has to sign a new one with `plenum catalog index`",
                self.spec.name, checked.index.expires_at
            )));
        }
        std::fs::create_dir_all(&self.keep).map_err(io(&self.keep))?;
        // What was seen goes first: if the host dies in between, it asks for this index again, and takes no older one.
        let seen = serde_json::to_vec(&Seen { serial: checked.index.serial, digest: digest(&bytes) }).map_err(|e| answer(e.to_string()))?;
        write(&self.keep.join("seen.json"), &seen)?;
        write(&self.keep.join(INDEX_FILE), &bytes)?;
        match signature {
            Some(s) => write(&self.keep.join(SIGNATURE_FILE), s.as_bytes())?,
            None => {
                let _ = std::fs::remove_file(self.keep.join(SIGNATURE_FILE));
            }
        }
        Ok(Some(checked))
    }

    /// The index and its signature; none for a folder that has no index.
    pub(crate) async fn fetch_index(&self) -> Result<Option<(Vec<u8>, Option<String>)>, FetchError> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| answer("the signature of the catalog's index is no text"));
        match &self.spec.source {
            Source::Folder(dir) => {
                std::fs::read_dir(dir).map_err(io(dir))?;
                let path = dir.join(INDEX_FILE);
                let Ok(meta) = std::fs::metadata(&path) else { return Ok(None) };
                if meta.len() > MAX_INDEX {
                    return Err(FetchError::TooLarge { url: path.display().to_string(), most: MAX_INDEX });
                }
                let bytes = std::fs::read(&path).map_err(io(&path))?;
                Ok(Some((bytes, std::fs::read_to_string(dir.join(SIGNATURE_FILE)).ok())))
            }
            Source::Web(base) => {
                let join = |name: &str| base.join(name).map_err(|e| FetchError::Address(e.to_string()));
                let bytes = self.fetcher.get_file(&join(INDEX_FILE)?, MAX_INDEX).await?;
                let signature = match self.fetcher.get(&join(SIGNATURE_FILE)?).await {
                    Ok(s) => Some(text(s)?),
                    Err(e) if e.is_missing() => None,
                    Err(e) => return Err(e),
                };
                Ok(Some((bytes, signature)))
            }
            Source::Registry(r) => {
                let registry = self.registry()?;
                let (bytes, _) = registry.manifest(r, r.version.as_deref().unwrap_or("latest")).await?;
                let image: Image = serde_json::from_slice(&bytes).map_err(|e| answer(format!("{r} is no catalog: {e}")))?;
                if image.artifact_type.as_deref() != Some(CATALOG) {
                    return Err(answer(format!("{r} is no catalog: its type is not {CATALOG}")));
                }
                let layer = |kind: &str| image.layers.iter().find(|l| l.media_type == kind);
                let index = layer(CATALOG_INDEX).ok_or_else(|| answer(format!("{r} has no index")))?;
                let index = registry.blob(r, &index.digest, index.size.min(MAX_INDEX)).await?;
                let signature = match layer(CATALOG_SIGNATURE) {
                    Some(d) => Some(text(registry.blob(r, &d.digest, d.size.min(MAX_DOCUMENT)).await?)?),
                    None => None,
                };
                Ok(Some((index, signature)))
            }
        }
    }

    /// Whose it is, and whether it is whole.
    pub(crate) fn check(&self, bytes: &[u8], signature: Option<String>, trust: &TrustPolicy) -> Result<Checked, FetchError> {
        let signatures: Vec<String> = signature.into_iter().collect();
        let origin = self.spec.source.origin(INDEX_FILE);
        let publisher = match trust.signer_of(bytes, &signatures, &origin, now_ms(), self.spec.publisher.as_deref()) {
            Ok(publisher) => Some(publisher),
            Err(why) if self.developer_mode && self.spec.publisher.is_none() => {
                tracing::warn!(catalog = self.spec.name, why, "developer mode: the catalog's index is taken all the same");
                None
            }
            Err(why) => return Err(answer(format!("the index of the catalog {} is refused: {why}", self.spec.name))),
        };
        let (index, manifests) = Index::parse(bytes)?;
        let expires = index.expires()?;
        Ok(Checked { index, manifests, publisher, expires })
    }

    fn no_rollback(&self, index: &Index, bytes: &[u8]) -> Result<(), FetchError> {
        let path = self.keep.join("seen.json");
        let Ok(text) = std::fs::read(&path) else { return Ok(()) };
        let seen: Seen = serde_json::from_slice(&text).map_err(|e| answer(format!("{}: {e}", path.display())))?;
        let name = &self.spec.name;
        if index.serial < seen.serial {
            return Err(answer(format!(
                "the catalog {name} shows an older index (serial {}) than it did before ({}): somebody may be replaying it to bring back old packages. If whoever runs it says that this is right, delete {}",
                index.serial,
                seen.serial,
                path.display()
            )));
        }
        if index.serial == seen.serial && digest(bytes) != seen.digest {
            return Err(answer(format!(
                "the catalog {name} shows two different indexes of the same serial {}; whoever runs it has to make a new one",
                seen.serial
            )));
        }
        Ok(())
    }

    /// The bytes of a package, which is the one of that digest.
    pub(crate) async fn package(&self, listed: &Listed) -> Result<Vec<u8>, FetchError> {
        let bytes = match &self.spec.source {
            Source::Folder(dir) => {
                let path = dir.join(&listed.file);
                std::fs::read(&path).map_err(io(&path))?
            }
            Source::Web(base) => {
                let url = base.join(&listed.file).map_err(|e| FetchError::Address(e.to_string()))?;
                self.fetcher.get_file(&url, listed.size.min(MAX_PACKAGE)).await?
            }
            Source::Registry(r) => {
                let id = listed.plugin_id()?;
                self.registry()?.pull(&r.beside(&id, &listed.digest)).await?.to_bytes()?
            }
        };
        let archive = Archive::from_bytes(&bytes)?;
        if archive.digest() != listed.digest {
            return Err(answer(format!("{} is another package than the one that the catalog {} lists", listed.file, self.spec.name)));
        }
        Ok(bytes)
    }

    /// An icon or a screenshot.
    pub(crate) async fn media(&self, m: &Media) -> Result<Vec<u8>, FetchError> {
        let hex = m.digest.trim_start_matches("sha256:");
        let kept = self.keep.join(MEDIA_DIR).join(hex);
        if let Ok(bytes) = std::fs::read(&kept)
            && digest(&bytes) == m.digest
        {
            return Ok(bytes);
        }
        let bytes = match &self.spec.source {
            Source::Folder(dir) => {
                let path = dir.join(MEDIA_DIR).join(hex);
                std::fs::read(&path).map_err(io(&path))?
            }
            Source::Web(base) => {
                let url = base.join(&format!("{MEDIA_DIR}/{hex}")).map_err(|e| FetchError::Address(e.to_string()))?;
                self.fetcher.get_file(&url, m.size.min(MAX_MEDIA)).await?
            }
            Source::Registry(r) => self.registry()?.blob(r, &m.digest, m.size.min(MAX_MEDIA)).await?,
        };
        if digest(&bytes) != m.digest {
            return Err(answer(format!("the image {hex} of the catalog {} is another than the one that it lists", self.spec.name)));
        }
        let dir = self.keep.join(MEDIA_DIR);
        std::fs::create_dir_all(&dir).map_err(io(&dir))?;
        write(&kept, &bytes)?;
        Ok(bytes)
    }

    pub(crate) fn status(&self, packages: usize) -> CatalogStatus {
        let s = self.state();
        let index = s.checked.as_ref();
        CatalogStatus {
            name: self.spec.name.clone(),
            source: self.spec.source.to_string(),
            kind: match self.spec.source {
                Source::Folder(_) => "folder",
                Source::Web(_) => "web",
                Source::Registry(_) => "registry",
            },
            problem: s.problem.clone(),
            packages,
            serial: index.map(|c| c.index.serial),
            publisher: index.and_then(|c| c.publisher.clone()),
            expires_at: index.map(|c| c.expires),
            tried_at: s.tried_at,
            fetched_at: s.fetched_at,
        }
    }
}

impl Listed {
    /// The plugin's id: the name of its repository in a registry.
    pub(crate) fn plugin_id(&self) -> Result<String, FetchError> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let Id { id } = serde_json::from_str(&self.manifest).map_err(|e| answer(format!("{}: {e}", self.file)))?;
        // It becomes part of an address.
        Reference::parse(&format!("localhost/{id}"))?;
        Ok(id)
    }
}
