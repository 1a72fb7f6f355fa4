//! The file: reading one that may come from anybody, and writing one whose bytes follow from its contents alone.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{MAX_COMPONENT, MAX_DOCUMENT, MAX_FILE_COUNT, MAX_FILES, MAX_PACKAGE, Manifest, Package, PackageError, safe_path, sign};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const PLUGIN: &str = "application/vnd.plenum.plugin.v1";
const CONFIG: &str = "application/vnd.plenum.plugin.config.v1+json";
const FILES: &str = "application/vnd.plenum.plugin.files.v1.tar+gzip";
const WASM: &str = "application/wasm";
const SIGNATURE: &str = "application/vnd.plenum.signature.v1.minisig";

/// Manifests of one layout: the plugin's and some signatures.
const MAX_MANIFESTS: usize = 32;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    schema_version: u32,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A package's parts by digest, as they lie in the file.
#[derive(Debug, Clone)]
pub struct Archive {
    /// By digest, `sha256:...`; each has been compared.
    blobs: BTreeMap<String, Vec<u8>>,
    /// Digest of the plugin's image manifest.
    image: String,
    /// Digests of the images of signatures.
    signatures: Vec<String>,
    size: u64,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn broken(e: impl std::fmt::Display) -> PackageError {
    PackageError::Broken(e.to_string())
}

/// Reads at most `most` bytes; one more is an error and not a cut.
fn bounded(reader: impl Read, most: u64, what: &str) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes).map_err(|e| broken(format!("{what}: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(PackageError::TooLarge(format!("{what} has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

impl Archive {
    /// From a file.
    pub fn read(path: &Path) -> Result<Archive, PackageError> {
        let io = |source| PackageError::Io { path: path.display().to_string(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        Archive::from_reader(std::io::BufReader::new(file), size)
    }

    /// From the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Archive, PackageError> {
        Archive::from_reader(bytes, bytes.len() as u64)
    }

    fn from_reader(reader: impl Read, size: u64) -> Result<Archive, PackageError> {
        if size > MAX_PACKAGE {
            return Err(PackageError::TooLarge(format!("it has {} MiB; at most {} are taken", size >> 20, MAX_PACKAGE >> 20)));
        }
        let mut layout = None;
        let mut index = None;
        let mut blobs = BTreeMap::new();
        let mut archive = tar::Archive::new(reader.take(MAX_PACKAGE));
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(broken)?;
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            let kind = entry.header().entry_type();
            if kind.is_dir() {
                continue;
            }
            if !kind.is_file() {
                return Err(PackageError::Path(format!("{name:?} is a link or a device; a package has plain files only")));
            }
            let declared = entry.size();
            let most = if name.starts_with("blobs/") { MAX_COMPONENT.max(MAX_FILES) } else { MAX_DOCUMENT };
            let bytes = bounded(&mut entry, most, &name)?;
            // The tar reader ends quietly where the file ends.
            if bytes.len() as u64 != declared {
                return Err(broken(format!("it ends within {name}")));
            }
            let twice = match name.as_str() {
                "oci-layout" => layout.replace(bytes).is_some(),
                "index.json" => index.replace(bytes).is_some(),
                _ => {
                    let hex = name
                        .strip_prefix("blobs/sha256/")
                        .ok_or_else(|| PackageError::Path(format!("{name:?} does not belong into an OCI image layout")))?;
                    let found = digest(&bytes);
                    if found != format!("sha256:{hex}") {
                        return Err(PackageError::Digest(format!("{name} has the digest {found}")));
                    }
                    blobs.insert(found, bytes).is_some()
                }
            };
            if twice {
                return Err(PackageError::Path(format!("{name:?} is there twice")));
            }
        }
        if layout.is_none() {
            return Err(broken("it has no oci-layout"));
        }
        let index: Index = serde_json::from_slice(&index.ok_or_else(|| broken("it has no index.json"))?)
            .map_err(|e| broken(format!("index.json: {e}")))?;
        Archive::chosen(blobs, &index, size)
    }

    /// Finds the plugin's image among the index's manifests, and its signatures.
    fn chosen(blobs: BTreeMap<String, Vec<u8>>, index: &Index, size: u64) -> Result<Archive, PackageError> {
        if index.manifests.len() > MAX_MANIFESTS {
            return Err(PackageError::TooLarge(format!(
                "index.json names {} manifests; at most {MAX_MANIFESTS} are taken",
                index.manifests.len()
            )));
        }
        let mut archive = Archive { blobs, image: String::new(), signatures: Vec::new(), size };
        let mut images = Vec::new();
        for d in &index.manifests {
            let image = archive.image_at(d)?;
            match image.artifact_type.as_deref().unwrap_or(&image.config.media_type) {
                PLUGIN | CONFIG => images.push(d.digest.clone()),
                SIGNATURE => archive.signatures.push(d.digest.clone()),
                _ => {}
            }
        }
        match images.as_slice() {
            [one] => archive.image.clone_from(one),
            [] => return Err(broken(format!("index.json names no image of the artifact type {PLUGIN}"))),
            _ => return Err(broken("index.json names more than one plugin; a package has one")),
        }
        Ok(archive)
    }

    /// A part, its size and digest being those of the descriptor.
    fn blob(&self, d: &Descriptor, most: u64) -> Result<&[u8], PackageError> {
        let bytes = self.blobs.get(&d.digest).ok_or_else(|| broken(format!("the part {} ({}) is missing", d.digest, d.media_type)))?;
        if bytes.len() as u64 != d.size {
            return Err(PackageError::Digest(format!("the part {} has {} bytes and not {}", d.digest, bytes.len(), d.size)));
        }
        if d.size > most {
            return Err(PackageError::TooLarge(format!("the part {} has more than {} MiB", d.media_type, most >> 20)));
        }
        Ok(bytes)
    }

    fn image_at(&self, d: &Descriptor) -> Result<Image, PackageError> {
        serde_json::from_slice(self.blob(d, MAX_DOCUMENT)?).map_err(|e| broken(format!("the manifest {}: {e}", d.digest)))
    }

    fn own(&self, digest: &str) -> Descriptor {
        let size = self.blobs.get(digest).map_or(0, |b| b.len() as u64);
        Descriptor { media_type: IMAGE.into(), digest: digest.to_owned(), size, artifact_type: None }
    }

    /// The exact bytes that are signed.
    pub fn image_manifest(&self) -> &[u8] {
        self.blobs.get(&self.image).map(Vec::as_slice).unwrap_or_default()
    }

    /// Digest of the image manifest.
    pub fn digest(&self) -> &str {
        &self.image
    }

    /// The signature's text: the last one, which is the newest, of those that name this image.
    fn signature(&self) -> Result<Option<String>, PackageError> {
        let mut text = None;
        for digest in &self.signatures {
            let image = self.image_at(&self.own(digest))?;
            if image.subject.as_ref().is_none_or(|s| s.digest != self.image) {
                // Of another package: what it signs is not what is here. It is kept, so that it shows as modified.
                if text.is_none() {
                    text = Some("signature over another package".to_owned());
                }
                continue;
            }
            let layer = image.layers.first().ok_or_else(|| broken("a signature without text"))?;
            text = Some(String::from_utf8_lossy(self.blob(layer, MAX_DOCUMENT)?).into_owned());
        }
        Ok(text)
    }

    /// Unpacks and checks everything.
    pub fn package(&self) -> Result<Package, PackageError> {
        let image = self.image_at(&self.own(&self.image))?;
        let manifest = Manifest::from_json(self.blob(&image.config, MAX_DOCUMENT)?)?;
        let mut component = None;
        let mut files = None;
        for layer in &image.layers {
            let twice = match layer.media_type.as_str() {
                WASM => component.replace(self.blob(layer, MAX_COMPONENT)?.to_vec()).is_some(),
                FILES => files.replace(unpack(self.blob(layer, MAX_FILES)?)?).is_some(),
                other => return Err(broken(format!("a layer of the unknown type {other}"))),
            };
            if twice {
                return Err(broken(format!("two layers of the type {}", layer.media_type)));
            }
        }
        let files = files.unwrap_or_default();
        manifest.check_files(&files, component.is_some())?;
        Ok(Package {
            manifest,
            manifest_digest: self.image.clone(),
            component,
            files,
            size: self.size,
            signature: self.signature()?,
            image_manifest: self.image_manifest().to_vec(),
        })
    }

    /// Signs with the text of a minisign secret key file; an older signature goes.
    pub fn sign(&mut self, secret_key: &str, password: Option<String>) -> Result<(), PackageError> {
        let manifest = Manifest::from_json(self.blob(&self.image_at(&self.own(&self.image))?.config, MAX_DOCUMENT)?)?;
        let text = sign(self.image_manifest(), secret_key, password, &format!("{} {} {}", manifest.id, manifest.version, self.image))?;
        for old in std::mem::take(&mut self.signatures) {
            self.blobs.remove(&old);
        }
        let layer = self.put(SIGNATURE, text.into_bytes());
        let config = self.put(EMPTY, b"{}".to_vec());
        let image = Image {
            schema_version: 2,
            media_type: IMAGE.into(),
            artifact_type: Some(SIGNATURE.into()),
            config,
            layers: vec![layer],
            subject: Some(self.own(&self.image)),
            annotations: BTreeMap::new(),
        };
        let bytes = json(&image)?;
        self.signatures = vec![self.put(IMAGE, bytes).digest];
        Ok(())
    }

    fn put(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let d = Descriptor { media_type: media_type.to_owned(), digest: digest(&bytes), size: bytes.len() as u64, artifact_type: None };
        self.blobs.insert(d.digest.clone(), bytes);
        d
    }

    /// The bytes of the file. The same contents always make the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackageError> {
        let listed = |digest: &String, kind: &str| Descriptor { artifact_type: Some(kind.to_owned()), ..self.own(digest) };
        let mut manifests = vec![listed(&self.image, PLUGIN)];
        manifests.extend(self.signatures.iter().map(|s| listed(s, SIGNATURE)));
        let index = Index { schema_version: 2, media_type: Some(INDEX.into()), manifests };
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut tar, "index.json", &json(&index)?)?;
        for (digest, bytes) in &self.blobs {
            append(&mut tar, &format!("blobs/{}", digest.replace(':', "/")), bytes)?;
        }
        tar.into_inner().map_err(broken)
    }

    /// Writes the file; a reader never sees half of it.
    pub fn write(&self, path: &Path) -> Result<(), PackageError> {
        let io = |source| PackageError::Io { path: path.display().to_string(), source };
        let temporary = path.with_extension(format!("new{}", std::process::id()));
        std::fs::write(&temporary, self.to_bytes()?).map_err(io)?;
        std::fs::rename(&temporary, path).map_err(io)
    }
}

/// Makes a package.
#[derive(Debug, Clone)]
pub struct PackageWriter {
    manifest: Manifest,
    component: Option<Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl PackageWriter {
    /// For this plugin.
    pub fn new(manifest: Manifest) -> PackageWriter {
        PackageWriter { manifest, component: None, files: BTreeMap::new() }
    }

    /// With this component.
    pub fn component(mut self, wasm: Vec<u8>) -> PackageWriter {
        self.component = Some(wasm);
        self
    }

    /// And this file.
    pub fn file(mut self, path: impl Into<String>, bytes: Vec<u8>) -> PackageWriter {
        self.files.insert(path.into(), bytes);
        self
    }

    /// Checks all rules that a reader will check, and makes the package.
    pub fn finish(self) -> Result<Archive, PackageError> {
        self.manifest.validate()?;
        self.manifest.check_files(&self.files, self.component.is_some())?;
        let mut archive = Archive { blobs: BTreeMap::new(), image: String::new(), signatures: Vec::new(), size: 0 };
        let config = archive.put(CONFIG, self.manifest.to_json()?);
        let mut layers = Vec::new();
        if let Some(wasm) = self.component {
            layers.push(archive.put(WASM, wasm));
        }
        if !self.files.is_empty() {
            layers.push(archive.put(FILES, pack(&self.files)?));
        }
        let m = &self.manifest;
        let mut annotations = BTreeMap::new();
        let mut annotate = |key: &str, value: &str| annotations.insert(format!("org.opencontainers.image.{key}"), value.to_owned());
        annotate("title", m.name.get("en"));
        annotate("version", &m.version.to_string());
        annotate("vendor", &m.publisher);
        annotate("description", m.description.get("en"));
        if let Some(license) = &m.license {
            annotate("licenses", license);
        }
        let image = Image {
            schema_version: 2,
            media_type: IMAGE.into(),
            artifact_type: Some(PLUGIN.into()),
            config,
            layers,
            subject: None,
            annotations,
        };
        let bytes = json(&image)?;
        archive.image = archive.put(IMAGE, bytes).digest;
        // What could not be read again must not be written.
        archive.package()?;
        Ok(archive)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, PackageError> {
    serde_json::to_vec(value).map_err(|e| PackageError::Internal(e.to_string()))
}

fn append<W: std::io::Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> Result<(), PackageError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // Times and owners stay zero: a package built twice is the same.
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes).map_err(|e| PackageError::Path(format!("{name:?}: {e}")))
}

fn pack(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, PackageError> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, bytes) in files {
        safe_path(name).map_err(PackageError::Path)?;
        append(&mut tar, name, bytes)?;
    }
    tar.into_inner().and_then(GzEncoder::finish).map_err(broken)
}

fn unpack(gz: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
    // Everything is counted: contents, headers, and the long names that the tar reader itself collects.
    let most = MAX_FILES + 4_096 * MAX_FILE_COUNT as u64;
    let mut files = BTreeMap::new();
    // Names that differ in case only would be one file on some systems, and a file cannot be a folder too.
    let mut taken = HashSet::new();
    let mut folders = HashSet::new();
    let mut left = MAX_FILES;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(gz).take(most));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(broken)?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            if !name.is_empty() {
                safe_path(name.trim_end_matches('/')).map_err(PackageError::Path)?;
            }
            continue;
        }
        if !kind.is_file() {
            return Err(PackageError::Path(format!("{name:?} is a link or a device; a package has plain files only")));
        }
        safe_path(&name).map_err(PackageError::Path)?;
        if files.len() >= MAX_FILE_COUNT {
            return Err(PackageError::TooLarge(format!("it has more than {MAX_FILE_COUNT} files")));
        }
        let declared = entry.size();
        if declared > left {
            return Err(PackageError::TooLarge(format!("its files have more than {} MiB", MAX_FILES >> 20)));
        }
        let bytes = bounded(&mut entry, left, &name)?;
        if bytes.len() as u64 != declared {
            return Err(broken(format!("it ends within {name}")));
        }
        left -= declared;
        let plain = name.to_lowercase();
        let mut end = plain.len();
        while let Some(cut) = plain.get(..end).and_then(|p| p.rfind('/')) {
            folders.extend(plain.get(..cut).map(str::to_owned));
            end = cut;
        }
        if !taken.insert(plain) {
            return Err(PackageError::Path(format!("{name:?} is there twice, or differs from another only in case")));
        }
        files.insert(name, bytes);
    }
    match taken.intersection(&folders).next() {
        Some(both) => Err(PackageError::Path(format!("{both:?} is a file and a folder"))),
        None => Ok(files),
    }
}
