//! Models: what kinds of things there are, and what is known of each.

use std::collections::BTreeMap;

use plenum_store::{CollectionSpec, Field, FieldKind, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::CmdbError;

/// A text in several languages, by language tag (`en`, `zh`). A plain string counts as English.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Many(BTreeMap<String, String>),
        }
        Ok(match Either::deserialize(d)? {
            Either::One(s) => Text(BTreeMap::from([("en".to_owned(), s)])),
            Either::Many(m) => Text(m),
        })
    }
}

/// What an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeKind {
    /// One line.
    Text,
    /// Many lines.
    LongText,
    /// A whole number.
    Integer,
    /// A number.
    Decimal,
    /// True or false.
    Boolean,
    /// A time.
    Timestamp,
    /// One of `options`.
    Enum,
    /// A list of texts.
    List,
    /// Rows with `columns`.
    Table,
    /// Anything.
    Json,
    /// A day, `2026-01-31`.
    Date,
    /// An IP address.
    Ip,
    /// A network, `10.1.0.0/16`.
    Cidr,
    /// A MAC address, `52:54:00:12:34:56`.
    Mac,
    /// An address that begins with `http://` or `https://`.
    Url,
    /// Several of `options`.
    MultiEnum,
    /// The id of an instance of the model `target`.
    Reference,
    /// Ids of instances of the model `target`.
    References,
    /// The login name of a person.
    User,
    /// Login names of people.
    Users,
    /// Text that no record holds: see [`crate::secrets`].
    Secret,
}

impl AttributeKind {
    /// Whether it holds one value, which can be compared, sorted by and indexed.
    pub fn single(self) -> bool {
        !matches!(
            self,
            AttributeKind::List
                | AttributeKind::Table
                | AttributeKind::Json
                | AttributeKind::MultiEnum
                | AttributeKind::References
                | AttributeKind::Users
                | AttributeKind::Secret
        )
    }

    /// Whether it names instances of another model.
    pub fn refers(self) -> bool {
        matches!(self, AttributeKind::Reference | AttributeKind::References)
    }
}

/// One attribute of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its key: a letter, then letters, digits, underscores.
    pub name: String,
    /// Shown to people.
    #[serde(default)]
    pub title: Text,
    /// What it holds.
    pub kind: AttributeKind,
    /// `bytes`, `s`, ...: how the portal shows the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether every instance has it.
    #[serde(default)]
    pub required: bool,
    /// Whether filters and sorting by it are fast on large models.
    #[serde(default)]
    pub indexed: bool,
    /// The values of an `enum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The columns of a `table`; only single values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Attribute>,
    /// Where the portal shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Whether people may change it; discovery may in any case.
    #[serde(default = "yes")]
    pub editable: bool,
    /// A regular expression that a text has to match; anywhere, unless it has anchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The smallest number, or the shortest text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest number, or the longest text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What a new instance has when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// The model whose instances a `reference` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Colours of an enum's values: one of [`COLOURS`] by value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub colours: BTreeMap<String, String>,
    /// A JSON Schema (2020-12) that a `json` value fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// How much it counts for the completeness of a record: 0 (not at all) to 10; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<u8>,
    /// Sources whose word counts for it, `manual`, `agent`, ...: any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// What an enum's values may be shown in.
pub const COLOURS: &[&str] = &["grey", "blue", "cyan", "green", "lime", "gold", "orange", "red", "magenta", "purple"];

fn yes() -> bool {
    true
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in filters, URLs and grants: a lower-case letter, then lower-case letters, digits, underscores.
    pub name: String,
    /// Shown to people.
    #[serde(default)]
    pub title: Text,
    /// Where the portal lists it: `resources`, `services`, `business`, `organisation`, ...
    #[serde(default = "other")]
    pub group: String,
    /// An icon of the portal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// The attribute that names an instance.
    pub display: String,
    /// What is known of each instance.
    pub attributes: Vec<Attribute>,
    /// Attribute sets that are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<Vec<String>>,
    /// What an instance is called, with attributes in braces: `{name} ({env})`. Its `display` attribute alone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Attribute sets by which sources recognise an instance, the surest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identification: Vec<Vec<String>>,
}

/// Longest display template.
const MAX_TEMPLATE: usize = 200;
/// Most identification rules.
const MAX_IDENTIFICATION: usize = 10;

fn other() -> String {
    "other".to_owned()
}

/// A stored model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredModel {
    /// What it is.
    #[serde(flatten)]
    pub model: Model,
    /// Counts from 1 with every change.
    pub version: i64,
    /// Whether it came with Plenum. Such a model can be extended, but not deleted.
    pub builtin: bool,
}

/// Most attributes of a model.
const MAX_ATTRIBUTES: usize = 200;

impl Model {
    /// Checks the model by itself.
    pub fn check(&self) -> Result<(), CmdbError> {
        let bad = |pointer: String, message: String| Err(CmdbError::InvalidModel { pointer, message });
        if !valid_model_name(&self.name) {
            return bad(
                "/name".into(),
                format!("{:?} cannot name a model: use a lower-case letter, then lower-case letters, digits and underscores", self.name),
            );
        }
        if self.attributes.is_empty() || self.attributes.len() > MAX_ATTRIBUTES {
            return bad("/attributes".into(), format!("a model has 1 to {MAX_ATTRIBUTES} attributes"));
        }
        for (i, a) in self.attributes.iter().enumerate() {
            let at = format!("/attributes/{i}");
            check_attribute(a, &at, true)?;
            if self.attributes.iter().take(i).any(|b| b.name == a.name) {
                return bad(format!("{at}/name"), format!("the attribute {} is there twice", a.name));
            }
        }
        for (at, name) in std::iter::once(("/display".to_owned(), &self.display))
            .chain(self.unique.iter().enumerate().flat_map(|(i, u)| u.iter().map(move |n| (format!("/unique/{i}"), n))))
            .chain(self.identification.iter().enumerate().flat_map(|(i, u)| u.iter().map(move |n| (format!("/identification/{i}"), n))))
        {
            match self.attribute(name) {
                None => return bad(at, format!("there is no attribute {name}{}", hint(name, self))),
                Some(a) if !a.kind.single() => {
                    return bad(at, format!("{name} holds no single value"));
                }
                Some(_) => {}
            }
        }
        if self.identification.len() > MAX_IDENTIFICATION {
            return bad("/identification".into(), format!("a model has at most {MAX_IDENTIFICATION} identification rules"));
        }
        for (at, sets) in [("unique", &self.unique), ("identification", &self.identification)] {
            for (i, set) in sets.iter().enumerate() {
                if set.is_empty() || set.len() > 8 || set.iter().enumerate().any(|(j, n)| set.iter().take(j).any(|o| o == n)) {
                    return bad(format!("/{at}/{i}"), "a key names 1 to 8 attributes, each once".into());
                }
            }
        }
        if let Some(t) = &self.template {
            if t.chars().count() > MAX_TEMPLATE {
                return bad("/template".into(), format!("a display template has at most {MAX_TEMPLATE} characters"));
            }
            let parts = template(t).map_err(|message| CmdbError::InvalidModel { pointer: "/template".into(), message })?;
            for (_, name) in parts {
                match name.map(|n| (n, self.attribute(n))) {
                    Some((n, None)) => return bad("/template".into(), format!("there is no attribute {n}{}", hint(n, self))),
                    Some((n, Some(a))) if !a.kind.single() => return bad("/template".into(), format!("{n} holds no single value")),
                    _ => {}
                }
            }
        }
        if self.attributes.iter().filter(|a| a.indexed).count() > 24 || self.unique.len() > 6 {
            return bad("/attributes".into(), "a model has at most 24 indexed attributes and 6 unique keys".into());
        }
        Ok(())
    }

    /// One attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.name == name)
    }

    /// How the store keeps its instances.
    pub(crate) fn spec(&self) -> CollectionSpec {
        CollectionSpec {
            name: collection(&self.name),
            schema: Schema::new(
                // What no record holds cannot be asked for.
                self.attributes
                    .iter()
                    .filter(|a| a.kind != AttributeKind::Secret)
                    .map(|a| Field { name: a.name.clone(), kind: field_kind(a) })
                    .collect(),
            ),
            indexed: self.attributes.iter().filter(|a| a.indexed).map(|a| a.name.clone()).collect(),
            unique: self.unique.clone(),
            history: true,
        }
    }

    /// What people call an instance with these attributes.
    pub fn label(&self, attributes: &Json, id: &str) -> String {
        let text = |name: &str| match attributes.get(name) {
            Some(Json::String(s)) if !s.trim().is_empty() => Some(s.clone()),
            Some(v @ (Json::Number(_) | Json::Bool(_))) => Some(v.to_string()),
            _ => None,
        };
        if let Some(parts) = self.template.as_deref().and_then(|t| template(t).ok()) {
            let mut some = false;
            let mut out = String::new();
            for (words, name) in parts {
                out.push_str(words);
                if let Some(value) = name.and_then(text) {
                    some = true;
                    out.push_str(&value);
                }
            }
            // Words without a value name nothing.
            if some {
                return out.trim().replace("()", "").trim().to_owned();
            }
        }
        text(&self.display).unwrap_or_else(|| id.to_owned())
    }

    /// Checks an instance: every attribute known, of its kind, the required ones there. Unknown keys and nulls are errors, the
    /// latter having been dropped before.
    pub fn check_instance(&self, attributes: &Json) -> Result<(), CmdbError> {
        check_object(&format!("the model {}", self.name), &self.attributes, attributes)
    }
}

/// The words of a display template, and the attribute after each.
fn template(text: &str) -> Result<Vec<(&str, Option<&str>)>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((words, after)) = rest.split_once('{') {
        let Some((name, left)) = after.split_once('}') else {
            return Err(format!("the display template {text:?} has a brace that is not closed; write attributes as {{name}}"));
        };
        parts.push((words, Some(name.trim())));
        rest = left;
    }
    parts.push((rest, None));
    if parts.len() < 2 {
        return Err(format!("the display template {text:?} names no attribute; write one as {{name}}"));
    }
    Ok(parts)
}

/// A lower-case letter, then lower-case letters, digits, underscores.
pub(crate) fn valid_model_name(n: &str) -> bool {
    n.len() <= 60
        && n.starts_with(|c: char| c.is_ascii_lowercase())
        && n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Checks a JSON object against attributes: every key known, of its kind, the required ones there. Nulls are errors, having been dropped before.
pub(crate) fn check_object(what: &str, attributes: &[Attribute], value: &Json) -> Result<(), CmdbError> {
    let bad = |pointer: String, message: String| Err(CmdbError::InvalidInstance { pointer, message });
    let Some(object) = value.as_object() else {
        return bad(String::new(), format!("the attributes of {what} are a JSON object"));
    };
    for (key, value) in object {
        let Some(a) = attributes.iter().find(|a| a.name == *key) else {
            let near = plenum_store::filter::nearest(key, attributes.iter().map(|a| a.name.as_str()))
                .map(|n| format!("; did you mean {n}?"))
                .unwrap_or_default();
            return bad(format!("/{key}"), format!("{what} has no attribute {key}{near}"));
        };
        check_value(a, value, &format!("/{key}"))?;
    }
    for a in attributes.iter().filter(|a| a.required) {
        let missing = match object.get(&a.name) {
            None => true,
            Some(Json::String(s)) => s.trim().is_empty(),
            Some(_) => false,
        };
        if missing {
            return bad(format!("/{}", a.name), format!("{} is required", a.name));
        }
    }
    Ok(())
}

pub(crate) fn collection(model: &str) -> String {
    format!("cmdb/{model}")
}

fn hint(name: &str, model: &Model) -> String {
    plenum_store::filter::nearest(name, model.attributes.iter().map(|a| a.name.as_str()))
        .map(|n| format!("; did you mean {n}?"))
        .unwrap_or_default()
}

fn field_kind(a: &Attribute) -> FieldKind {
    match a.kind {
        AttributeKind::Text
        | AttributeKind::LongText
        | AttributeKind::Enum
        | AttributeKind::Date
        | AttributeKind::Ip
        | AttributeKind::Cidr
        | AttributeKind::Mac
        | AttributeKind::Reference
        | AttributeKind::User
        | AttributeKind::Secret
        | AttributeKind::Url => FieldKind::Text,
        AttributeKind::Integer => FieldKind::Integer,
        AttributeKind::Decimal => FieldKind::Decimal,
        AttributeKind::Boolean => FieldKind::Boolean,
        AttributeKind::Timestamp => FieldKind::Timestamp,
        AttributeKind::List | AttributeKind::MultiEnum | AttributeKind::References | AttributeKind::Users => {
            FieldKind::List(Box::new(FieldKind::Text))
        }
        AttributeKind::Table => FieldKind::Table(a.columns.iter().map(|c| Field { name: c.name.clone(), kind: field_kind(c) }).collect()),
        AttributeKind::Json => FieldKind::Json,
    }
}

pub(crate) fn check_attribute(a: &Attribute, at: &str, top: bool) -> Result<(), CmdbError> {
    let bad = |pointer: String, message: String| Err(CmdbError::InvalidModel { pointer, message });
    if !plenum_store::filter::valid_name(&a.name) {
        return bad(
            format!("{at}/name"),
            format!("{:?} cannot name an attribute: use a letter, then letters, digits and underscores, 64 at most", a.name),
        );
    }
    if top && matches!(a.name.as_str(), "id" | "created_at" | "updated_at") {
        return bad(format!("{at}/name"), format!("{} is what every instance has; choose another name", a.name));
    }
    if matches!(a.kind, AttributeKind::Enum | AttributeKind::MultiEnum) == a.options.is_empty() {
        return bad(format!("{at}/options"), format!("{}: an enum has options, and nothing else has", a.name));
    }
    if (a.kind == AttributeKind::Table) == a.columns.is_empty() {
        return bad(format!("{at}/columns"), format!("{}: a table has columns, and nothing else has", a.name));
    }
    if a.kind == AttributeKind::Secret && (a.required || a.default.is_some() || !top) {
        let message =
            format!("{}: a secret is set once its record is there: it is neither required nor a column, and has no default", a.name);
        return bad(at.to_owned(), message);
    }
    if a.indexed && !a.kind.single() {
        return bad(format!("{at}/indexed"), format!("{} holds no single value and cannot be indexed", a.name));
    }
    if a.kind.refers() != a.target.is_some() {
        return bad(format!("{at}/target"), format!("{}: a reference names the model of its instances, and nothing else does", a.name));
    }
    if a.target.as_deref().is_some_and(|t| !valid_model_name(t)) {
        return bad(format!("{at}/target"), format!("{}: {:?} is no name of a model", a.name, a.target.as_deref().unwrap_or_default()));
    }
    if a.importance.is_some_and(|i| i > 10) {
        return bad(format!("{at}/importance"), format!("{}: importance is 0 to 10", a.name));
    }
    if a.sources.len() > 20 || a.sources.iter().any(|s| s.is_empty() || s.len() > 100) {
        return bad(format!("{at}/sources"), format!("{}: at most 20 sources, each with a name of at most 100 characters", a.name));
    }
    for (value, colour) in &a.colours {
        if !a.options.contains(value) {
            return bad(format!("{at}/colours"), format!("{}: {value} has a colour and is none of the options", a.name));
        }
        if !COLOURS.contains(&colour.as_str()) {
            return bad(format!("{at}/colours"), format!("{}: there is no colour {colour}; use {}", a.name, COLOURS.join(", ")));
        }
    }
    crate::rules::check_rules(a, at)?;
    for (i, c) in a.columns.iter().enumerate() {
        if matches!(c.kind, AttributeKind::Table | AttributeKind::Json) || c.kind.refers() {
            return bad(format!("{at}/columns/{i}/kind"), format!("the column {} of a table holds a single value or a list", c.name));
        }
        check_attribute(c, &format!("{at}/columns/{i}"), false)?;
    }
    Ok(())
}

pub(crate) fn check_value(a: &Attribute, v: &Json, at: &str) -> Result<(), CmdbError> {
    let wrong = |what: String| Err(CmdbError::InvalidInstance { pointer: at.to_owned(), message: format!("{} has to be {what}", a.name) });
    check_kind(a, v, at)?;
    crate::rules::keeps(a, v).or_else(wrong)
}

pub(crate) fn check_kind(a: &Attribute, v: &Json, at: &str) -> Result<(), CmdbError> {
    let wrong = |what: String| Err(CmdbError::InvalidInstance { pointer: at.to_owned(), message: format!("{} has to be {what}", a.name) });
    match a.kind {
        AttributeKind::Text | AttributeKind::LongText if v.is_string() => {
            let most = if a.kind == AttributeKind::Text { 1024 } else { 64 * 1024 };
            if v.as_str().is_some_and(|s| s.chars().count() > most) { wrong(format!("at most {most} characters")) } else { Ok(()) }
        }
        AttributeKind::Text | AttributeKind::LongText => wrong("text".into()),
        AttributeKind::Enum => match v.as_str() {
            Some(s) if a.options.iter().any(|o| o == s) => Ok(()),
            _ => wrong(format!("one of {}", a.options.join(", "))),
        },
        AttributeKind::Integer if v.is_i64() => Ok(()),
        AttributeKind::Integer => wrong("a whole number".into()),
        AttributeKind::Decimal if v.is_number() => Ok(()),
        AttributeKind::Decimal => wrong("a number".into()),
        AttributeKind::Boolean if v.is_boolean() => Ok(()),
        AttributeKind::Boolean => wrong("true or false".into()),
        AttributeKind::Timestamp => match v.as_str().and_then(plenum_store::filter::normal_time) {
            Some(_) => Ok(()),
            None => wrong("a time such as 2026-01-31T08:00:00Z".into()),
        },
        AttributeKind::Date | AttributeKind::Ip | AttributeKind::Cidr | AttributeKind::Mac | AttributeKind::Url => {
            crate::rules::formed(a.kind, v.as_str().unwrap_or_default()).or_else(|what| wrong(what.into()))
        }
        AttributeKind::MultiEnum => match v.as_array() {
            Some(l) if l.iter().all(|v| v.as_str().is_some_and(|s| a.options.iter().any(|o| o == s))) && l.len() <= a.options.len() => {
                Ok(())
            }
            _ => wrong(format!("a list of some of {}", a.options.join(", "))),
        },
        AttributeKind::List => match v.as_array() {
            Some(l) if l.len() <= 1000 && l.iter().all(Json::is_string) => Ok(()),
            _ => wrong("a list of at most 1,000 texts".into()),
        },
        AttributeKind::Table => {
            let Some(rows) = v.as_array().filter(|r| r.len() <= 1000) else { return wrong("a list of at most 1,000 rows".into()) };
            for (i, row) in rows.iter().enumerate() {
                let Some(row) = row.as_object() else { return wrong("a list of rows, each a JSON object".into()) };
                for (key, value) in row.iter().filter(|(_, v)| !v.is_null()) {
                    let pointer = format!("{at}/{i}/{key}");
                    let Some(c) = a.columns.iter().find(|c| c.name == *key) else {
                        let known: Vec<&str> = a.columns.iter().map(|c| c.name.as_str()).collect();
                        return Err(CmdbError::InvalidInstance {
                            pointer,
                            message: format!("{} has no column {key}; it has {}", a.name, known.join(", ")),
                        });
                    };
                    check_value(c, value, &pointer)?;
                }
            }
            Ok(())
        }
        AttributeKind::Json => crate::rules::fits_schema(a, v).or_else(wrong),
        AttributeKind::Reference => match v.as_str() {
            Some(s) if !s.trim().is_empty() && s.len() <= 200 => Ok(()),
            _ => wrong(format!("the id of a {}", a.target.as_deref().unwrap_or("record"))),
        },
        AttributeKind::References => match v.as_array() {
            Some(l) if l.len() <= 500 && l.iter().all(|v| v.as_str().is_some_and(|s| !s.trim().is_empty() && s.len() <= 200)) => Ok(()),
            _ => wrong(format!("a list of at most 500 ids of {}", a.target.as_deref().unwrap_or("records"))),
        },
        AttributeKind::Secret => Err(CmdbError::InvalidInstance {
            pointer: at.to_owned(),
            message: format!("{} is a secret and no part of the record: set it by itself, once the record is there", a.name),
        }),
        AttributeKind::User => match v.as_str() {
            Some(s) if login_name(s) => Ok(()),
            _ => wrong("the login name of a person".into()),
        },
        AttributeKind::Users => match v.as_array() {
            Some(l) if l.len() <= 100 && l.iter().all(|v| v.as_str().is_some_and(login_name)) => Ok(()),
            _ => wrong("a list of at most 100 login names".into()),
        },
    }
}

fn login_name(s: &str) -> bool {
    (2..=64).contains(&s.len())
        && s.starts_with(|c: char| c.is_ascii_lowercase())
        && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
}
