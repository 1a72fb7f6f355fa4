//! Which record a source's record means.

use plenum_store::{DocumentError, Tx};
use serde_json::{Map, Value as Json};

use crate::facts::meaningful;
use crate::model::{Model, collection};
use crate::{Cmdb, CmdbError};

/// Candidates that are kept for a person to choose from.
const MAX_CANDIDATES: u32 = 10;

/// What the rules found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// No record.
    None,
    /// This one.
    One(String),
    /// Several, by these attributes.
    Many(Vec<String>, Vec<String>),
}

/// The rules of a model in the order of their weight: attributes that together tell which record is meant.
pub(crate) fn rules(m: &Model) -> Vec<Vec<String>> {
    let of = |names: &[&[&str]]| names.iter().map(|r| r.iter().map(|n| (*n).to_owned()).collect()).collect::<Vec<Vec<String>>>();
    let mut rules = match m.name.as_str() {
        "host" => of(&[&["node_id"], &["machine_id"], &["serial"], &["hostname"]]),
        _ => Vec::new(),
    };
    for u in m.identification.iter().chain(&m.unique) {
        if !rules.contains(u) {
            rules.push(u.clone());
        }
    }
    rules
}

impl Cmdb {
    /// The first rule that finds something decides. Looks within the transaction, so that a source's own earlier rows count.
    pub(crate) async fn identify_in(&self, tx: &mut Tx, m: &Model, attributes: &Map<String, Json>) -> Result<Found, CmdbError> {
        for rule in rules(m) {
            let Some(filter) = filter(&rule, attributes) else { continue };
            let ids = match self.docs.ids_in(tx, &collection(&m.name), &filter, MAX_CANDIDATES).await {
                Ok(ids) => ids,
                // An attribute that filters cannot compare so.
                Err(DocumentError::Filter(_)) => continue,
                Err(e) => return Err(e.into()),
            };
            match ids.as_slice() {
                [] => {}
                [id] => return Ok(Found::One(id.clone())),
                _ => return Ok(Found::Many(rule, ids)),
            }
        }
        Ok(Found::None)
    }
}

/// The rule as a filter; none when the record lacks one of its attributes, or says with it what vendors say in place of a value.
fn filter(rule: &[String], attributes: &Map<String, Json>) -> Option<String> {
    let mut terms = Vec::with_capacity(rule.len());
    for name in rule {
        match attributes.get(name)? {
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
            Json::String(s) if s.trim().is_empty() => return None,
            Json::String(s) if matches!(name.as_str(), "machine_id" | "serial") && !meaningful(s) => return None,
            v => terms.push(format!("{name} == {v}")),
        }
    }
    Some(terms.join(" && ")).filter(|t| !t.is_empty())
}
