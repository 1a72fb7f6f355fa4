//! `plugin.toml`, as far as the fake platform holds a plugin to it. The host's own reading of it is stricter: `plenum plugin build` tells.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::filter::nearest;
use crate::store::Document;
use crate::{Error, Result};

#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) id: String,
    pub(super) version: String,
    #[serde(default)]
    permissions: Vec<Named>,
    #[serde(default)]
    settings: Vec<Setting>,
    #[serde(default)]
    collections: Vec<Collection>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Setting {
    name: String,
    default: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Collection {
    name: String,
    fields: BTreeMap<String, String>,
    #[serde(default)]
    unique: Vec<Vec<String>>,
}

impl Collection {
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.fields.keys().cloned().collect()
    }
}

impl Manifest {
    pub(super) fn read(text: &str) -> std::result::Result<Manifest, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    pub(super) fn defaults(&self) -> Value {
        self.settings.iter().filter_map(|s| Some((s.name.clone(), s.default.clone()?))).collect::<Map<_, _>>().into()
    }

    pub(super) fn asks(&self, permission: &str) -> Result<()> {
        if self.permissions.iter().any(|p| p.name == permission) {
            return Ok(());
        }
        Err(Error::forbidden(
            "access.denied",
            format!("the plugin does not ask for {permission}: add [[permissions]] name = \"{permission}\" with a reason to plugin.toml"),
        ))
    }

    pub(super) fn collection(&self, name: &str) -> Result<&Collection> {
        self.collections.iter().find(|c| c.name == name).ok_or_else(|| {
            Error::not_found(
                "store.no_collection",
                format!("the plugin has no collection {name}; declare it under [[collections]] in plugin.toml"),
            )
        })
    }

    pub(super) fn fits(&self, collection: &str, data: &Map<String, Value>) -> Result<()> {
        for (field, kind) in &self.collection(collection)?.fields {
            let Some(v) = data.get(field) else { continue };
            let (fits, what) = match kind.as_str() {
                "string" | "text" => (v.is_string(), "text"),
                "int" | "integer" => (v.is_i64() || v.is_u64(), "a whole number"),
                "number" | "decimal" | "float" => (v.is_number(), "a number"),
                "bool" | "boolean" => (v.is_boolean(), "true or false"),
                "strings" => (v.as_array().is_some_and(|a| a.iter().all(Value::is_string)), "a list of texts"),
                "timestamp" | "datetime" => (v.is_string(), "a time, 2026-01-31T08:00:00Z"),
                _ => (true, ""),
            };
            if !fits {
                return Err(Error::new(422, "store.invalid", format!("/{field} has to be {what}")));
            }
        }
        Ok(())
    }

    pub(super) fn unique<'a>(
        &self,
        collection: &str,
        id: &str,
        data: &Map<String, Value>,
        others: impl Iterator<Item = &'a Document> + Clone,
    ) -> Result<()> {
        for fields in &self.collection(collection)?.unique {
            let values: Option<Vec<&Value>> = fields.iter().map(|f| data.get(f)).collect();
            // A key with a part that is absent is no key.
            let Some(values) = values else { continue };
            let taken = |d: &Document| d.id != id && fields.iter().zip(&values).all(|(f, v)| d.data.get(f) == Some(*v));
            if others.clone().any(taken) {
                return Err(Error::conflict("store.duplicate", format!("another record has the same {}", fields.join(" and "))));
            }
        }
        Ok(())
    }

    pub(super) fn sortable(&self, collection: &str, sort: &str) -> Result<()> {
        let field = sort.trim_start_matches('-');
        let known = &self.collection(collection)?.fields;
        if field.is_empty()
            || known.get(field).is_some_and(|k| k != "json" && k != "strings")
            || matches!(field, "id" | "version" | "created_at" | "updated_at")
        {
            return Ok(());
        }
        let hint = nearest(field, known.keys().map(String::as_str)).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        Err(Error::bad_request("store.query", format!("records cannot be sorted by {field}{hint}")))
    }
}
