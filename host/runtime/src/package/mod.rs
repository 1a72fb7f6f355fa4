//! Packages of plugins, `*.plenum`: an OCI image layout in one tar file. Knows nothing of WebAssembly's execution, so that tools
//! can read, make and sign packages without it.
//!
//! The image manifest names every part by digest, and the signature is over the image manifest: so it covers every byte. Nothing
//! of a package is believed before its digest was compared.

mod archive;
mod credentials;
pub mod fetch;
mod files;
mod manifest;
pub(crate) mod oci;
mod reference;
mod registry;
mod signature;
#[cfg(test)]
pub(crate) mod tests;
mod trust;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

pub use archive::{Archive, PackageWriter, tag_of};
pub use credentials::{Credentials, Login};
pub use manifest::{
    ActionSpec, CollectionSpec, ComponentSpec, EventSpec, LimitsSpec, Manifest, PageKind, PageSpec, PermissionRequest, ScheduleSpec,
    SettingKind, SettingSpec, Text, WorkflowSpec,
};
pub use reference::Reference;
pub use registry::{Pushed, Registry};
pub use signature::{SignatureState, Trust, TrustedKey, generate_key, key_id, public_key, sign, verify};
pub use trust::{AnyOf, Origin, Publisher, PublisherKey, Rule, Signer, Standing, TrustPolicy};

pub(crate) use archive::digest;
pub(crate) use plenum_store::filter::nearest;
pub(crate) use reference::is_digest;

/// Versions of the contract (`wit/`, the manifest) that this host speaks, the newest last; a manifest's `api` has to match one of them.
pub const API_VERSIONS: &[&str] = &["0.1.0", "0.2.0", "0.3.0"];

/// Kinds of fields of a collection.
pub const FIELD_KINDS: &[&str] =
    &["string", "text", "int", "integer", "number", "decimal", "float", "bool", "boolean", "timestamp", "datetime", "strings", "json"];

/// Most bytes of a package file.
pub const MAX_PACKAGE: u64 = 160 << 20;
/// Most bytes of a component: one that carries a Python interpreter has some 20 MB.
pub const MAX_COMPONENT: u64 = 64 << 20;
/// Most bytes of all other files of a package together, unpacked.
pub const MAX_FILES: u64 = 64 << 20;
/// Most files of a package.
pub const MAX_FILE_COUNT: usize = 5_000;
/// Most bytes of a manifest, of an index, of a signature.
pub const MAX_DOCUMENT: u64 = 1 << 20;

/// The versions of the contract, for people.
fn offered() -> String {
    match API_VERSIONS {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        all => all.join(", "),
    }
}

/// What is wrong with a package, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The file is not there, or not readable.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file ends too early, or is no package.
    #[error("this is not a whole package: {0}; get it again, or build it anew with `plenum plugin build`")]
    Broken(String),
    /// A part is not what its digest says.
    #[error("the package was changed after it was made: {0}; get it again from its publisher")]
    Digest(String),
    /// It is larger than the host takes.
    #[error("the package is too large: {0}")]
    TooLarge(String),
    /// A path that could leave its folder, or that not every system can hold.
    #[error("the package has a file that is refused: {0}")]
    Path(String),
    /// Rules of the manifest are broken.
    #[error("plugin.toml: {}", list(.problems))]
    Manifest {
        /// All of them.
        problems: Vec<Problem>,
    },
    /// It needs another contract than this host offers.
    #[error(
        "the plugin needs the plugin API {required}, and this host offers {}; install a version of the plugin that fits, or update the host",
        offered()
    )]
    Api {
        /// What the manifest requires.
        required: String,
    },
    /// The component uses a newer contract than its manifest names.
    #[error(
        "the component imports {import}, which came with the plugin API {since}, and its manifest says api = \"{required}\": \
         write api = \"^{since}\" into plugin.toml, so that older hosts refuse the plugin in words"
    )]
    Import {
        /// What it imports.
        import: String,
        /// The version of the contract that brought it, `0.2`.
        since: String,
        /// What the manifest requires.
        required: String,
    },
    /// A key cannot be used.
    #[error("{0}")]
    Key(String),
    /// Something that should not fail did.
    #[error("{0}")]
    Internal(String),
}

/// One thing that is wrong in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// `permissions[2].name`, or the place in the text.
    pub at: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

impl PackageError {
    /// Stable code for the API.
    pub fn code(&self) -> &'static str {
        match self {
            PackageError::Io { .. } => "package.unreadable",
            PackageError::Broken(_) => "package.broken",
            PackageError::Digest(_) => "package.modified",
            PackageError::TooLarge(_) => "package.too_large",
            PackageError::Path(_) => "package.path",
            PackageError::Manifest { .. } => "package.manifest",
            PackageError::Api { .. } | PackageError::Import { .. } => "package.api",
            PackageError::Key(_) => "package.key",
            PackageError::Internal(_) => "internal",
        }
    }
}

/// A package, read and checked: its digests hold, its manifest follows the rules, the files that it names are there.
#[derive(Debug, Clone)]
pub struct Package {
    /// What the plugin says of itself.
    pub manifest: Manifest,
    /// Digest of the image manifest, `sha256:...`: names this package exactly.
    pub manifest_digest: String,
    /// The WebAssembly component.
    pub component: Option<Vec<u8>>,
    /// Pages, images, schemas, workflows, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Bytes of the package file.
    pub size: u64,
    /// The signatures' texts.
    pub signatures: Vec<String>,
    /// Exact bytes of the image manifest: what is signed.
    pub image_manifest: Vec<u8>,
}

impl Package {
    /// From a file.
    pub fn read(path: &Path) -> Result<Package, PackageError> {
        Archive::read(path)?.package()
    }

    /// From the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Package, PackageError> {
        Archive::from_bytes(bytes)?.package()
    }

    /// What its signature is worth to a host that trusts `keys`.
    pub fn verify(&self, keys: &[TrustedKey]) -> Result<SignatureState, PackageError> {
        verify(&self.image_manifest, &self.signatures, keys)
    }

    /// What its signatures are worth to a host with this policy, coming from there.
    pub fn judge(&self, policy: &TrustPolicy, origin: &Origin, at: i64) -> SignatureState {
        policy.judge(&self.image_manifest, &self.signatures, origin, at)
    }
}

/// Whether a path stays within the package and can be a file on every system; else why not.
pub fn safe_path(path: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("the path {path:?} {why}"));
    if path.is_empty() || path.len() > 200 {
        return refuse("has to have 1 to 200 bytes");
    }
    if path.starts_with('/') || path.contains(['\\', ':']) || path.chars().any(char::is_control) {
        return refuse("has to be relative, with / between its parts and without backslash, colon and control characters");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("has an empty part, . or ..");
    }
    Ok(())
}
