//! The file: reading one that may come from anybody, and writing one whose bytes follow from its contents alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::files::{append, pack, unpack};
use super::oci::{
    CONFIG, Descriptor, EMPTY, FILES, IMAGE, INDEX, Image, Index, MANIFEST, PLUGIN, SIGNATURE, WASM, WASM_CONFIG, referrers_tag,
    wasm_config,
};
use super::signature::key_of;
use super::{MAX_COMPONENT, MAX_DOCUMENT, MAX_FILES, MAX_PACKAGE, Manifest, Package, PackageError, sign};

/// Manifests of one layout: the plugin's and some signatures.
pub(super) const MAX_MANIFESTS: usize = 32;

/// Names a manifest of a layout for tools that copy images: `skopeo copy oci-archive:demo.plenum:0.1.0 docker://...`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A package's parts by digest, as they lie in the file.
#[derive(Debug, Clone)]
pub struct Archive {
    /// By digest, `sha256:...`; each has been compared.
    blobs: BTreeMap<String, Vec<u8>>,
    /// Digest of the plugin's image manifest.
    image: String,
    /// Digests of the images of signatures, of this package or not.
    signatures: BTreeSet<String>,
    size: u64,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(super) fn broken(e: impl std::fmt::Display) -> PackageError {
    PackageError::Broken(e.to_string())
}

/// Reads at most `most` bytes; one more is an error and not a cut.
pub(super) fn bounded(reader: impl Read, most: u64, what: &str) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes).map_err(|e| broken(format!("{what}: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(PackageError::TooLarge(format!("{what} has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// What an image names, and its bytes.
pub(crate) type Part = (Descriptor, Vec<u8>);

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
        let mut archive = Archive { blobs, image: String::new(), signatures: BTreeSet::new(), size };
        let mut images = Vec::new();
        for d in &index.manifests {
            let image = archive.image_at(d)?;
            match image.artifact_type.as_deref().unwrap_or(&image.config.media_type) {
                PLUGIN | CONFIG => images.push(d.digest.clone()),
                SIGNATURE => {
                    archive.signatures.insert(d.digest.clone());
                }
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
        Descriptor { media_type: IMAGE.into(), digest: digest.to_owned(), size, ..Descriptor::default() }
    }

    /// The exact bytes that are signed.
    pub fn image_manifest(&self) -> &[u8] {
        self.blobs.get(&self.image).map(Vec::as_slice).unwrap_or_default()
    }

    /// Digest of the image manifest.
    pub fn digest(&self) -> &str {
        &self.image
    }

    /// The signatures' texts. One over another package counts too, as text that no key has signed: so it shows as modified.
    fn signatures(&self) -> Result<Vec<String>, PackageError> {
        let mut texts = Vec::new();
        for digest in &self.signatures {
            let image = self.image_at(&self.own(digest))?;
            if image.subject.as_ref().is_none_or(|s| s.digest != self.image) {
                texts.push("signature over another package".to_owned());
                continue;
            }
            let layer = image.layers.first().ok_or_else(|| broken("a signature without text"))?;
            texts.push(String::from_utf8_lossy(self.blob(layer, MAX_DOCUMENT)?).into_owned());
        }
        Ok(texts)
    }

    /// The plugin's manifest: a layer, as the Wasm artifact layout keeps the configuration for itself. Packages made before that have
    /// it as the configuration.
    fn manifest_of(&self, image: &Image) -> Result<&[u8], PackageError> {
        let mut found = None;
        let layers = image.layers.iter().filter(|l| l.media_type == MANIFEST);
        for d in layers.chain(Some(&image.config).filter(|c| c.media_type == CONFIG)) {
            if found.replace(d).is_some() {
                return Err(broken(format!("two manifests of the plugin, of the types {MANIFEST} and {CONFIG}")));
            }
        }
        let d = found.ok_or_else(|| broken(format!("no layer of the type {MANIFEST}")))?;
        self.blob(d, MAX_DOCUMENT)
    }

    /// The plugin's manifest as it lies in the package.
    pub(crate) fn manifest_bytes(&self) -> Result<&[u8], PackageError> {
        self.manifest_of(&self.image_at(&self.own(&self.image))?)
    }

    fn manifest(&self) -> Result<Manifest, PackageError> {
        Manifest::from_json(self.manifest_bytes()?)
    }

    /// Unpacks and checks everything.
    pub fn package(&self) -> Result<Package, PackageError> {
        let image = self.image_at(&self.own(&self.image))?;
        let manifest = Manifest::from_json(self.manifest_of(&image)?)?;
        let mut component = None;
        let mut files = None;
        for layer in &image.layers {
            let twice = match layer.media_type.as_str() {
                WASM => component.replace(self.blob(layer, MAX_COMPONENT)?.to_vec()).is_some(),
                FILES => files.replace(unpack(self.blob(layer, MAX_FILES)?)?).is_some(),
                MANIFEST => false,
                other => return Err(broken(format!("a layer of the unknown type {other}"))),
            };
            if twice {
                return Err(broken(format!("two layers of the type {}", layer.media_type)));
            }
        }
        if image.config.media_type != CONFIG {
            // What it says is for others; that it is there and whole is for us.
            self.blob(&image.config, MAX_DOCUMENT)?;
        }
        let files = files.unwrap_or_default();
        manifest.check_files(&files, component.is_some())?;
        Ok(Package {
            manifest,
            manifest_digest: self.image.clone(),
            component,
            files,
            size: self.size,
            signatures: self.signatures()?,
            image_manifest: self.image_manifest().to_vec(),
        })
    }

    /// Signs with the text of a minisign secret key file. Signatures of other keys stay: a host may ask for several.
    pub fn sign(&mut self, secret_key: &str, password: Option<String>) -> Result<(), PackageError> {
        let manifest = self.manifest()?;
        let text = sign(self.image_manifest(), secret_key, password, &format!("{} {} {}", manifest.id, manifest.version, self.image))?;
        let key = key_of(&text);
        for old in self.signatures.clone() {
            let image = self.image_at(&self.own(&old))?;
            let of_this = image.subject.as_ref().is_some_and(|s| s.digest == self.image);
            let text = image.layers.first().and_then(|l| self.blobs.get(&l.digest)).map(|b| String::from_utf8_lossy(b).into_owned());
            if !of_this || text.as_deref().map(key_of) == Some(key.clone()) {
                self.signatures.remove(&old);
                self.blobs.remove(&old);
                for l in image.layers {
                    self.blobs.remove(&l.digest);
                }
            }
        }
        let layer = self.put(SIGNATURE, text.into_bytes());
        let config = self.put(EMPTY, b"{}".to_vec());
        let image =
            Image { artifact_type: Some(SIGNATURE.into()), subject: Some(self.own(&self.image)), ..Image::new(config, vec![layer]) };
        let bytes = json(&image)?;
        let made = self.put(IMAGE, bytes).digest;
        self.signatures.insert(made);
        Ok(())
    }

    /// The image, or a signature's, with the parts that it names: what a registry takes.
    pub(crate) fn image_parts(&self, digest: &str) -> Result<(Vec<u8>, Vec<Part>), PackageError> {
        let own = self.own(digest);
        let image = self.image_at(&own)?;
        let parts = std::iter::once(&image.config).chain(&image.layers);
        let parts =
            parts.map(|d| Ok((d.clone(), self.blob(d, MAX_COMPONENT.max(MAX_FILES))?.to_vec()))).collect::<Result<_, PackageError>>()?;
        Ok((self.blob(&own, MAX_DOCUMENT)?.to_vec(), parts))
    }

    /// Digests of the images of its signatures.
    pub(crate) fn signature_images(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(String::as_str)
    }

    /// From what a registry holds: the plugin's image, images of signatures, and the parts of all. Everything is compared with its
    /// digest, as it is in a file.
    pub(crate) fn from_parts(image: Vec<u8>, signatures: Vec<Vec<u8>>, parts: Vec<Vec<u8>>) -> Result<Archive, PackageError> {
        let mut archive = Archive { blobs: BTreeMap::new(), image: String::new(), signatures: BTreeSet::new(), size: 0 };
        archive.image = archive.put(IMAGE, image).digest;
        for s in signatures {
            let digest = archive.put(IMAGE, s).digest;
            archive.signatures.insert(digest);
        }
        for p in parts {
            archive.put("", p);
        }
        archive.size = archive.to_bytes()?.len() as u64;
        Ok(archive)
    }

    fn put(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let d = Descriptor { media_type: media_type.to_owned(), digest: digest(&bytes), size: bytes.len() as u64, ..Descriptor::default() };
        self.blobs.insert(d.digest.clone(), bytes);
        d
    }

    /// The bytes of the file. The same contents always make the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackageError> {
        let listed = |digest: &String, kind: &str, name: Option<String>| Descriptor {
            artifact_type: Some(kind.to_owned()),
            annotations: name.map(|n| (REF_NAME.to_owned(), n)).into_iter().collect(),
            ..self.own(digest)
        };
        let version = self.manifest()?.version;
        let mut manifests = vec![listed(&self.image, PLUGIN, Some(tag_of(&version)))];
        // Copied under this name, a registry that knows no referrers finds the signature. There is one such name.
        let mut name = Some(referrers_tag(&self.image));
        manifests.extend(self.signatures.iter().map(|s| listed(s, SIGNATURE, name.take())));
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
        let mut archive = Archive { blobs: BTreeMap::new(), image: String::new(), signatures: BTreeSet::new(), size: 0 };
        let mut layers = Vec::new();
        let described = self.component.as_deref().map(wasm_config);
        if let Some(wasm) = self.component {
            // The first layer: tools of the Wasm artifact layout take that one.
            layers.push(archive.put(WASM, wasm));
        }
        layers.push(archive.put(MANIFEST, self.manifest.to_json()?));
        if !self.files.is_empty() {
            layers.push(archive.put(FILES, pack(&self.files)?));
        }
        let config = match described {
            Some(config) => archive.put(WASM_CONFIG, json(&config.of(&self.manifest.publisher, &layers))?),
            None => archive.put(EMPTY, b"{}".to_vec()),
        };
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
        let image = Image { artifact_type: Some(PLUGIN.into()), annotations, ..Image::new(config, layers) };
        let bytes = json(&image)?;
        archive.image = archive.put(IMAGE, bytes).digest;
        // What could not be read again must not be written.
        archive.package()?;
        Ok(archive)
    }
}

/// A version as a tag: `+` is no character of tags.
pub fn tag_of(version: &semver::Version) -> String {
    version.to_string().replace('+', "_")
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, PackageError> {
    serde_json::to_vec(value).map_err(|e| PackageError::Internal(e.to_string()))
}
