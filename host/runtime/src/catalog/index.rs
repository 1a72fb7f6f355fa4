//! The index of a catalog: one signed document that lists its packages. What it shows of a package is proved by the package's own
//! signature; the index proves what there is, and until when that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::package::fetch::FetchError;
use crate::package::oci::{CONFIG, Image, MANIFEST};
use crate::package::{Archive, MAX_PACKAGE, Manifest, Package, PackageError, digest, safe_path, sign};

/// Name of the file.
pub const INDEX_FILE: &str = "index.json";
/// Name of its signature.
pub const SIGNATURE_FILE: &str = "index.json.minisig";
/// Folder of icons and screenshots, by digest.
pub const MEDIA_DIR: &str = "media";
const FORMAT: u32 = 1;
/// Most packages of one catalog.
pub(crate) const MAX_PACKAGES: usize = 2_000;
/// Most bytes of an icon or a screenshot.
pub(crate) const MAX_MEDIA: u64 = 2 << 20;
/// Most bytes of a changelog that are shown.
const MAX_CHANGELOG: usize = 16 << 10;

/// What a catalog has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// 1.
    pub format: u32,
    /// As people see it.
    pub name: String,
    /// Rises with each index: a host that saw a higher one does not take a lower.
    pub serial: u64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: afterwards its packages are not offered, for newer ones may have been held back.
    pub expires_at: String,
    /// Its packages.
    pub packages: Vec<Listed>,
}

/// A package in an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Name of the file, beside the index.
    pub file: String,
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the image manifest, which names the package everywhere.
    pub digest: String,
    /// The image manifest's text: what the package's publisher signed.
    pub image: String,
    /// Signatures over it.
    pub signatures: Vec<String>,
    /// The plugin's manifest, as it lies in the package.
    pub manifest: String,
    /// Its changelog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<String>,
    /// Its icon and screenshots, by the paths of the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub media: BTreeMap<String, Media>,
}

/// An image that the catalog shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `sha256:...`
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

fn broken(message: String) -> FetchError {
    FetchError::Answer(message)
}

impl Index {
    /// Reads and checks one: what it says of each package has to hang on that package's image manifest. A plugin's manifest that cannot
    /// be read here, one of a later contract perhaps, is that package's problem and not the catalog's.
    pub fn parse(bytes: &[u8]) -> Result<(Index, Vec<Result<Manifest, String>>), FetchError> {
        let index: Index = serde_json::from_slice(bytes).map_err(|e| broken(format!("the catalog's index is broken: {e}")))?;
        if index.format != FORMAT {
            return Err(broken(format!(
                "the catalog's index has the format {}, and this host reads {FORMAT}; update the host",
                index.format
            )));
        }
        if index.packages.len() > MAX_PACKAGES {
            return Err(broken(format!("the catalog's index lists {} packages; at most {MAX_PACKAGES} are taken", index.packages.len())));
        }
        index.expires()?;
        let mut manifests = Vec::new();
        let mut files = BTreeSet::new();
        for p in &index.packages {
            manifests.push(p.check().map_err(|why| broken(format!("the catalog's index is wrong about {}: {why}", p.file)))?);
            if !files.insert(p.file.to_lowercase()) {
                return Err(broken(format!("the catalog's index lists {} twice", p.file)));
            }
        }
        Ok((index, manifests))
    }

    /// When it ends, in milliseconds since the Unix epoch.
    pub fn expires(&self) -> Result<i64, FetchError> {
        chrono::DateTime::parse_from_rfc3339(&self.expires_at)
            .map(|t| t.timestamp_millis())
            .map_err(|e| broken(format!("the catalog's index has the end {:?}: {e}", self.expires_at)))
    }

    /// Lists the packages of a folder. Writes icons and screenshots to the folder `media` in it.
    pub fn of_folder(dir: &Path, name: &str, serial: u64, now: i64, expires: i64) -> Result<Index, PackageError> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |source| PackageError::Io { path, source }
        };
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .map_err(io(dir))?
            .flatten()
            .filter_map(|f| f.file_name().into_string().ok())
            .filter(|f| f.ends_with(".plenum"))
            .collect();
        files.sort();
        let media = dir.join(MEDIA_DIR);
        let mut packages = Vec::new();
        for file in files {
            let (listed, images) = Listed::of(&dir.join(&file), &file)?;
            for bytes in images {
                std::fs::create_dir_all(&media).map_err(io(&media))?;
                let path = media.join(digest(&bytes).trim_start_matches("sha256:"));
                std::fs::write(&path, bytes).map_err(io(&path))?;
            }
            packages.push(listed);
        }
        Ok(Index {
            format: FORMAT,
            name: name.to_owned(),
            serial,
            created_at: crate::rfc3339(now),
            expires_at: crate::rfc3339(expires),
            packages,
        })
    }

    /// Its text, and the signature over that.
    pub fn signed(&self, secret_key: &str, password: Option<String>) -> Result<(Vec<u8>, String), PackageError> {
        let bytes = serde_json::to_vec(self).map_err(|e| PackageError::Internal(e.to_string()))?;
        let signature = sign(&bytes, secret_key, password, &format!("plenum catalog {} {}", self.name, self.serial))?;
        Ok((bytes, signature))
    }
}

impl Listed {
    fn of(path: &Path, file: &str) -> Result<(Listed, Vec<Vec<u8>>), PackageError> {
        let archive = Archive::read(path)?;
        let p: Package = archive.package()?;
        let mut media = BTreeMap::new();
        let mut images = Vec::new();
        for name in p.manifest.icon.iter().chain(&p.manifest.screenshots) {
            let Some(bytes) = p.files.get(name) else { continue };
            if bytes.len() as u64 > MAX_MEDIA {
                return Err(PackageError::TooLarge(format!(
                    "{file}: {name} has more than {} MiB, too much for a catalog",
                    MAX_MEDIA >> 20
                )));
            }
            media.insert(name.clone(), Media { digest: digest(bytes), size: bytes.len() as u64 });
            images.push(bytes.clone());
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|e| PackageError::Broken(e.to_string()));
        let listed = Listed {
            file: file.to_owned(),
            size: p.size,
            digest: p.manifest_digest.clone(),
            image: text(&p.image_manifest)?,
            signatures: p.signatures.clone(),
            manifest: text(archive.manifest_bytes()?)?,
            changelog: changelog(&p),
            media,
        };
        Ok((listed, images))
    }

    /// Holds what it says against the image manifest; gives the plugin's manifest.
    fn check(&self) -> Result<Result<Manifest, String>, String> {
        safe_path(&self.file)?;
        if self.file.contains('/') || !self.file.ends_with(".plenum") || self.file.starts_with('.') {
            return Err("its file is not a name that ends with .plenum".into());
        }
        if self.size > MAX_PACKAGE || self.signatures.len() > 32 {
            return Err("it is larger than what is taken".into());
        }
        if digest(self.image.as_bytes()) != self.digest {
            return Err("the image manifest is not the one of the digest".into());
        }
        let image: Image = serde_json::from_str(&self.image).map_err(|e| e.to_string())?;
        let own = digest(self.manifest.as_bytes());
        let named = image.layers.iter().any(|l| l.media_type == MANIFEST && l.digest == own)
            || (image.config.media_type == CONFIG && image.config.digest == own);
        if !named {
            return Err("the plugin's manifest that it shows is not the one in the package".into());
        }
        for m in self.media.values() {
            if m.size > MAX_MEDIA || !crate::package::is_digest(&m.digest) {
                return Err("an image that it names cannot be taken".into());
            }
        }
        Ok(Manifest::from_json(self.manifest.as_bytes()).map_err(|e| e.to_string()))
    }
}

/// The start of a package's changelog.
pub(crate) fn changelog(p: &Package) -> Option<String> {
    let bytes = p.files.get(p.manifest.changelog.as_ref()?)?;
    let text = String::from_utf8_lossy(bytes);
    let mut end = text.len().min(MAX_CHANGELOG);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).map(str::to_owned)
}
