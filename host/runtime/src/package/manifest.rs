//! `plugin.toml`: what a plugin says of itself and asks for. The types are the file; [`super::validate`] holds its rules.

use std::collections::BTreeMap;
use std::fmt;

use plenum_access::Scope;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use super::{API_VERSIONS, PackageError, Problem, nearest};

/// A text in several languages, by language tag (`en`, `zh`). A plain string counts as English.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(pub BTreeMap<String, String>);

impl Text {
    /// In `language`, else in English, else in any.
    pub fn get(&self, language: &str) -> &str {
        let short = language.split('-').next().unwrap_or(language);
        [language, short, "en"].iter().find_map(|l| self.0.get(*l)).or_else(|| self.0.values().next()).map_or("", String::as_str)
    }

    /// Whether nothing is said in any language.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(|t| t.trim().is_empty())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(BTreeMap::from([("en".to_owned(), text.to_owned())]))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a table of languages such as { en = \"...\", zh = \"...\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::from(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((language, text)) = map.next_entry::<String, String>()? {
                    texts.insert(language, text);
                }
                Ok(Text(texts))
            }
        }
        d.deserialize_any(Texts)
    }
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `[a-z0-9-]{2,40}`; names the plugin everywhere, for good.
    pub id: String,
    /// As people see it.
    pub name: Text,
    /// Of the plugin.
    pub version: semver::Version,
    /// Versions of the platform's contract that it works with.
    pub api: semver::VersionReq,
    /// Who made it. A claim: what proves it is the signature.
    pub publisher: String,
    /// What it does, in a sentence or two.
    pub description: Text,
    /// Path of an image in the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// For the catalog: `operations`, `security`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Text or Markdown: what changed, the newest version first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<String>,
    /// Images of the package, for the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screenshots: Vec<String>,
    /// Plugins that it does not work without, by id, and which of their versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requires: BTreeMap<String, semver::VersionReq>,
    /// The WebAssembly component; none for a plugin of pages and workflows only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentSpec>,
    /// What a call may use; the host bounds it.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<PermissionRequest>,
    /// What it offers to workflows and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionSpec>,
    /// What it adds to the portal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageSpec>,
    /// When it is called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleSpec>,
    /// What events it handles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventSpec>,
    /// Workflows that it brings, registered as `<id>.<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<WorkflowSpec>,
    /// What an administrator can set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingSpec>,
    /// Its document collections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<CollectionSpec>,
}

/// `[component]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentSpec {
    /// Where it lies when the package is made, relative to `plugin.toml`.
    pub path: String,
}

/// `[limits]` of one call; an absent one is the host's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// All linear memories together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Time that the guest computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u32>,
    /// Time by the clock, calls into the host included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u32>,
    /// Calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// `[[permissions]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionRequest {
    /// `cmdb.read`.
    pub name: String,
    /// How far it reaches; see [`Scope`].
    #[serde(default)]
    pub scope: Scope,
    /// Why, in words for the administrator who decides.
    pub reason: Text,
}

/// `[[actions]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// Called as `<plugin id>.<name>`.
    pub name: String,
    /// As people see it.
    #[serde(default)]
    pub title: Text,
    /// What it does.
    #[serde(default)]
    pub description: Text,
    /// JSON Schema of the input: a file of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// JSON Schema of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// How a page is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// The plugin's own HTML in a sandboxed frame.
    Framed,
    /// JSON that the portal renders with its own components.
    Declared,
}

/// `[[pages]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageSpec {
    /// Part of the page's address.
    pub id: String,
    /// In the navigation.
    pub title: Text,
    /// How it is made.
    pub kind: PageKind,
    /// The file: HTML below `web/`, or JSON.
    pub entry: String,
    /// An image of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
}

/// `[[schedules]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Unique in the plugin.
    pub id: String,
    /// Five fields.
    pub cron: String,
    /// IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// One of the plugin's actions; without it the component's `schedule.fire` is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Input of the action.
    #[serde(default = "empty_object", skip_serializing_if = "is_empty_object")]
    pub input: Json,
}

/// `[[events]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// Types, a trailing `*` for all that start so.
    pub types: Vec<String>,
    /// CEL over the event: only those that match are handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// `[[workflows]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSpec {
    /// Registered as `<plugin id>.<name>`.
    pub name: String,
    /// The definition, YAML or JSON.
    pub path: String,
}

/// What a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

/// `[[settings]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingSpec {
    /// Key in the settings object.
    pub name: String,
    /// As people see it.
    #[serde(default)]
    pub title: Text,
    /// What it is for.
    #[serde(default)]
    pub description: Text,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// When nothing is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// Whether the plugin cannot do without.
    #[serde(default)]
    pub required: bool,
    /// Written but never shown again.
    #[serde(default)]
    pub secret: bool,
    /// The only values, for a string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// `[[collections]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionSpec {
    /// Unique in the plugin.
    pub name: String,
    /// Kinds of the fields, by name; see [`super::FIELD_KINDS`].
    pub fields: BTreeMap<String, String>,
    /// Fields that are often filtered or sorted by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexed: Vec<String>,
    /// Sets of fields whose values no two records share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<Vec<String>>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn empty_object() -> Json {
    Json::Object(serde_json::Map::new())
}

fn is_empty_object(v: &Json) -> bool {
    v.as_object().is_some_and(serde_json::Map::is_empty)
}

impl Manifest {
    /// From the text of `plugin.toml`, with all its rules checked.
    pub fn from_toml(text: &str) -> Result<Manifest, PackageError> {
        let manifest: Manifest = toml::from_str(text).map_err(|e| {
            let (line, column) = place(text, e.span().map_or(0, |s| s.start));
            let api = toml::from_str::<Asked>(text).ok().and_then(|a| a.api);
            unreadable(api, format!("line {line}, column {column}"), e.message())
        })?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// From its JSON form, which a package carries.
    pub fn from_json(bytes: &[u8]) -> Result<Manifest, PackageError> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| {
            let api = serde_json::from_slice::<Asked>(bytes).ok().and_then(|a| a.api);
            unreadable(api, format!("line {}, column {}", e.line(), e.column()), &e.to_string())
        })?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Its JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>, PackageError> {
        serde_json::to_vec(self).map_err(|e| PackageError::Internal(e.to_string()))
    }

    /// Whether this host offers the contract that the plugin needs.
    pub fn require_api(&self) -> Result<(), PackageError> {
        fits(&self.api)
    }

    /// Whether the contract that the manifest names has what its component imports.
    pub fn require_import(&self, import: &str) -> Result<(), PackageError> {
        let Some((_, version)) = import.strip_prefix("plenum:").and_then(|i| i.rsplit_once('@')) else { return Ok(()) };
        let Ok(since) = semver::Version::parse(version) else { return Ok(()) };
        let spoken: Vec<semver::Version> = spoken().collect();
        // One that no version of this host's contract has is not for the manifest to mend.
        if !spoken.contains(&since) || spoken.iter().any(|v| *v >= since && self.api.matches(v)) {
            return Ok(());
        }
        let since = format!("{}.{}", since.major, since.minor);
        Err(PackageError::Import { import: import.to_owned(), since, required: self.api.to_string() })
    }
}

/// The contracts of this host.
fn spoken() -> impl Iterator<Item = semver::Version> {
    API_VERSIONS.iter().filter_map(|v| semver::Version::parse(v).ok())
}

/// Just enough to tell a manifest of the future from a mistake.
#[derive(Deserialize)]
struct Asked {
    api: Option<semver::VersionReq>,
}

pub(super) fn fits(api: &semver::VersionReq) -> Result<(), PackageError> {
    if spoken().any(|v| api.matches(&v)) { Ok(()) } else { Err(PackageError::Api { required: api.to_string() }) }
}

/// What cannot be read: from a newer contract it is that which matters, not the key that this host does not know.
fn unreadable(api: Option<semver::VersionReq>, at: String, message: &str) -> PackageError {
    if let Some(Err(e)) = api.as_ref().map(fits) {
        return e;
    }
    PackageError::Manifest { problems: vec![Problem { at, message: friendlier(message) }] }
}

/// serde names an unknown key and all known ones; here the nearest is put first.
fn friendlier(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant ")) else {
        return message.to_owned();
    };
    let mut names = rest.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next() else { return message.to_owned() };
    let known: Vec<&str> = names.collect();
    let thing = if message.starts_with("unknown field") { "key" } else { "value" };
    match nearest(unknown, known.iter().copied()) {
        Some(n) => format!("the {thing} `{unknown}` is not known; did you mean `{n}`?"),
        None => format!("the {thing} `{unknown}` is not known; known are {}", known.join(", ")),
    }
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
}
