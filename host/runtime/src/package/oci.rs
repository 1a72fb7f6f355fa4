//! Documents of the OCI image specification, and media types: those of the Wasm artifact layout where it has one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Artifact type of a plugin.
pub(crate) const PLUGIN: &str = "application/vnd.plenum.plugin.v1";
/// The plugin's manifest as JSON: a layer.
pub(crate) const MANIFEST: &str = "application/vnd.plenum.plugin.manifest.v1+json";
/// The same as the image's configuration, in packages made before there was a registry.
pub(crate) const CONFIG: &str = "application/vnd.plenum.plugin.config.v1+json";
pub(crate) const FILES: &str = "application/vnd.plenum.plugin.files.v1.tar+gzip";
pub(crate) const WASM: &str = "application/wasm";
/// Configuration of an image with a component, by the Wasm artifact layout.
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const SIGNATURE: &str = "application/vnd.plenum.signature.v1.minisig";

/// What a manifest says of a part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Image {
    pub schema_version: u32,
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Image {
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Image {
        Image {
            schema_version: 2,
            media_type: IMAGE.into(),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// The tag under which a registry without the referrers API keeps what refers to an image.
pub(crate) fn referrers_tag(digest: &str) -> String {
    digest.replace(':', "-")
}

/// Names of a component's imports and exports.
pub(crate) struct Interfaces {
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

/// Configuration of an image with a component.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WasmConfig<'a> {
    created: &'static str,
    author: &'a str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: Vec<&'a str>,
    component: Names<'a>,
}

#[derive(Serialize)]
struct Names<'a> {
    exports: Vec<&'a str>,
    imports: Vec<&'a str>,
}

/// Reads the names. Of what is no component there are none: that it cannot be installed is for the host to say.
pub(crate) fn wasm_config(wasm: &[u8]) -> Interfaces {
    use wasmparser::{Parser, Payload};
    let mut found = Interfaces { imports: BTreeSet::new(), exports: BTreeSet::new() };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(s)) if depth == 0 => {
                found.imports.extend(s.into_iter().flatten().map(|i| i.name.name.to_owned()));
            }
            Ok(Payload::ComponentExportSection(s)) if depth == 0 => {
                found.exports.extend(s.into_iter().flatten().map(|e| e.name.name.to_owned()));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    found
}

impl Interfaces {
    pub(crate) fn of<'a>(&'a self, author: &'a str, layers: &'a [Descriptor]) -> WasmConfig<'a> {
        WasmConfig {
            // A time would make two builds of the same thing two packages.
            created: "1970-01-01T00:00:00Z",
            author,
            architecture: "wasm",
            os: "wasip2",
            layer_digests: layers.iter().map(|l| l.digest.as_str()).collect(),
            component: Names {
                exports: self.exports.iter().map(String::as_str).collect(),
                imports: self.imports.iter().map(String::as_str).collect(),
            },
        }
    }
}
