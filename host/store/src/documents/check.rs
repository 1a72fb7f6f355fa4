//! Records against their collection's spec.

use serde_json::Value as Json;

use super::define::index_names;
use super::{Collection, CollectionSpec, DocumentError, MAX_DOCUMENT_BYTES};
use crate::StoreError;
use crate::filter::{FieldKind, normal_time};

/// What free-text search sees of a document, in bytes.
const SEARCH_BYTES: usize = 16 * 1024;
/// Most bytes of text under one index: PostgreSQL keeps index entries on a third of a page, and both databases hold the same.
const MAX_INDEXED_BYTES: usize = 2000;
/// Longest id, in bytes: it stands in each index.
const MAX_ID_BYTES: usize = 200;

/// A record as it is stored.
pub(super) struct Prepared {
    pub data: Json,
    pub bytes: i64,
    /// What free-text search looks into.
    pub search: String,
}

fn invalid<T>(pointer: &str, message: String) -> Result<T, DocumentError> {
    Err(DocumentError::Invalid { pointer: pointer.to_owned(), message })
}

/// Checks an id that a caller chose.
pub(super) fn check_id(id: &str) -> Result<(), DocumentError> {
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.contains('\0') {
        return invalid("", format!("a record's id has 1 to {MAX_ID_BYTES} bytes, none of them NUL"));
    }
    Ok(())
}

/// Checks and normalises a record.
pub(super) fn prepare(spec: &CollectionSpec, mut data: Json) -> Result<Prepared, DocumentError> {
    let Some(object) = data.as_object_mut() else { return invalid("", "a record is a JSON object".into()) };
    // Null and absent mean the same; stored is only what is there.
    object.retain(|_, v| !v.is_null());
    for f in &spec.schema.fields {
        if let Some(v) = object.get_mut(&f.name) {
            check_kind(&f.kind, v, &format!("/{}", f.name))?;
        }
    }
    let length = |f: &String| object.get(f).and_then(Json::as_str).map_or(0, str::len);
    for fields in spec.indexed.iter().map(std::slice::from_ref).chain(spec.unique.iter().map(Vec::as_slice)) {
        if fields.iter().map(length).sum::<usize>() > MAX_INDEXED_BYTES {
            let names = fields.join(" and ");
            return invalid(
                &fields.first().map(|f| format!("/{f}")).unwrap_or_default(),
                format!("{names} can be searched by an index and so hold at most {MAX_INDEXED_BYTES} bytes"),
            );
        }
    }
    let bytes = data.to_string().len();
    if bytes > MAX_DOCUMENT_BYTES {
        return invalid("", format!("a record has at most {MAX_DOCUMENT_BYTES} bytes, this has {bytes}"));
    }
    if let Some(pointer) = find_nul(&data) {
        return invalid(&pointer, "a text cannot hold the character NUL".into());
    }
    let mut search = String::new();
    collect_text(&data, &mut search);
    Ok(Prepared { data, bytes: i64::try_from(bytes).unwrap_or(i64::MAX), search })
}

/// Where a text or key holds NUL, which PostgreSQL cannot store.
fn find_nul(v: &Json) -> Option<String> {
    match v {
        Json::String(s) => s.contains('\0').then(String::new),
        Json::Array(a) => a.iter().enumerate().find_map(|(i, v)| Some(format!("/{i}{}", find_nul(v)?))),
        Json::Object(o) => {
            o.iter().find_map(|(k, v)| if k.contains('\0') { Some(String::new()) } else { Some(format!("/{k}{}", find_nul(v)?)) })
        }
        _ => None,
    }
}

fn check_kind(kind: &FieldKind, v: &mut Json, pointer: &str) -> Result<(), DocumentError> {
    let wrong = |what: &str| Err(DocumentError::Invalid { pointer: pointer.to_owned(), message: format!("{pointer} has to be {what}") });
    match kind {
        FieldKind::Json => Ok(()),
        FieldKind::Text if v.is_string() => Ok(()),
        FieldKind::Text => wrong("text"),
        FieldKind::Integer if v.is_i64() => Ok(()),
        FieldKind::Integer => wrong("a whole number of 64 bits"),
        FieldKind::Decimal if v.is_number() => Ok(()),
        FieldKind::Decimal => wrong("a number"),
        FieldKind::Boolean if v.is_boolean() => Ok(()),
        FieldKind::Boolean => wrong("true or false"),
        FieldKind::Timestamp => match v.as_str().and_then(normal_time) {
            Some(t) => {
                *v = Json::String(t);
                Ok(())
            }
            None => wrong("a time such as 2026-01-31T08:00:00Z"),
        },
        FieldKind::List(kind) => match v.as_array_mut() {
            Some(list) => list.iter_mut().enumerate().try_for_each(|(i, v)| check_kind(kind, v, &format!("{pointer}/{i}"))),
            None => wrong("a list"),
        },
        FieldKind::Table(fields) => match v.as_array_mut() {
            Some(rows) => {
                for (i, row) in rows.iter_mut().enumerate() {
                    let at = format!("{pointer}/{i}");
                    let Some(row) = row.as_object_mut() else {
                        return Err(DocumentError::Invalid { message: format!("{at} has to be a record"), pointer: at });
                    };
                    row.retain(|_, v| !v.is_null());
                    for f in fields {
                        if let Some(v) = row.get_mut(&f.name) {
                            check_kind(&f.kind, v, &format!("{at}/{}", f.name))?;
                        }
                    }
                }
                Ok(())
            }
            None => wrong("a list of records"),
        },
    }
}

fn collect_text(v: &Json, out: &mut String) {
    if out.len() >= SEARCH_BYTES {
        return;
    }
    match v {
        Json::String(s) => {
            out.extend(s.chars().take(1000).flat_map(char::to_lowercase));
            out.push('\n');
        }
        Json::Number(n) => {
            out.push_str(&n.to_string());
            out.push('\n');
        }
        Json::Array(a) => a.iter().for_each(|v| collect_text(v, out)),
        Json::Object(o) => o.values().for_each(|v| collect_text(v, out)),
        Json::Null | Json::Bool(_) => {}
    }
}

/// Names the key that was taken.
pub(super) fn duplicate(c: &Collection, e: StoreError) -> DocumentError {
    if let StoreError::Unique(message) = &e {
        // SQLite names the index, PostgreSQL the constraint: both carry the index's name.
        for (name, fields, unique) in index_names(&c.table, &c.spec) {
            if unique && message.contains(&name) {
                return DocumentError::Duplicate { fields };
            }
        }
        return DocumentError::Duplicate { fields: vec!["id".into()] };
    }
    e.into()
}
