//! What can be asked of a record.

use std::collections::BTreeMap;

use plenum_store::Filter;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::builtin::SERVICES;
use crate::model::{Attribute, Model};
use crate::sources::invalid;
use crate::{CmdbError, Text};

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthRule {
    /// Its name in addresses: lower-case letters, digits, `-`.
    pub id: String,
    /// Shown to people.
    #[serde(default)]
    pub title: Text,
    /// The models whose records it is asked of; all when empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// What it asks.
    pub check: Check,
    /// How much it counts in a score: 1 to 10.
    #[serde(default = "one")]
    pub weight: u32,
    /// Who mends what it finds, where the record names nobody.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether it is asked.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn one() -> u32 {
    1
}
fn yes() -> bool {
    true
}

/// What a rule asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// A record that hangs in the air.
    Island {
        /// It has to have an association.
        #[serde(default)]
        associations: bool,
        /// It has to have an `owner`, or belong to a team.
        #[serde(default)]
        owner: bool,
        /// What is true of records that are in use (CEL).
        #[serde(default)]
        in_use: Option<String>,
    },
    /// An association that it has to have.
    Integrity {
        /// Its kind.
        association: String,
        /// Whether the record is the destination.
        #[serde(default)]
        backward: bool,
        /// The other end's model; any when absent.
        #[serde(default)]
        with: Option<String>,
    },
    /// Attributes that it should have, with their weights; without any, all that people fill in.
    Completeness {
        /// Weight by attribute.
        #[serde(default)]
        attributes: BTreeMap<String, u32>,
    },
    /// How an attribute's value has to look, where there is one.
    Standard {
        /// Which.
        attribute: String,
        /// A regular expression that the whole text matches.
        #[serde(default)]
        pattern: Option<String>,
        /// The values that there are.
        #[serde(default)]
        one_of: Vec<String>,
        /// A model and the attribute that has this value there.
        #[serde(default)]
        refers_to: Option<(String, String)>,
        /// What is true of a good record (CEL).
        #[serde(default)]
        cel: Option<String>,
    },
    /// Sources that should have spoken of it and have not; or nobody changed it for so long.
    Stale {
        /// Days without any change; only sources count when absent.
        #[serde(default)]
        days: Option<u32>,
    },
    /// Records that have the same in all of these attributes, ignoring case and blanks around.
    Duplicate {
        /// Which.
        attributes: Vec<String>,
    },
    /// Sources that contradict each other.
    Conflict {},
}

impl HealthRule {
    /// Whether it is asked of records of this model.
    pub fn applies(&self, model: &str) -> bool {
        self.enabled && (self.models.is_empty() || self.models.iter().any(|m| m == model))
    }

    pub(crate) fn check(&self) -> Result<(), CmdbError> {
        let id = &self.id;
        if id.is_empty() || id.len() > 60 || !id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            return Err(invalid("/id", format!("{id:?} cannot name a rule: use lower-case letters, digits and -")));
        }
        if !(1..=10).contains(&self.weight) {
            return Err(invalid("/weight", "a weight is between 1 and 10".into()));
        }
        if self.models.len() > 200 {
            return Err(invalid("/models", "a rule names at most 200 models; none means all".into()));
        }
        let need = |at: &str, what: &str| Err(invalid(&format!("/check/{at}"), what.to_owned()));
        match &self.check {
            Check::Island { associations: false, owner: false, in_use: None } => {
                need("", "say what a record needs: associations, owner or in_use")
            }
            Check::Standard { pattern, one_of, refers_to, cel, .. } => {
                if let Some(Err(e)) = pattern.as_deref().map(regex) {
                    return need("pattern", &format!("the pattern is no regular expression that can be used: {e}"));
                }
                if one_of.len() > 1000 {
                    return need("one_of", "at most 1,000 values");
                }
                match [pattern.is_some(), !one_of.is_empty(), refers_to.is_some(), cel.is_some()].iter().filter(|x| **x).count() {
                    1 => Ok(()),
                    _ => need("", "say one of pattern, one_of, refers_to and cel"),
                }
            }
            Check::Duplicate { attributes } if attributes.is_empty() || attributes.len() > 6 => {
                need("attributes", "name 1 to 6 attributes")
            }
            Check::Stale { days: Some(0) } => need("days", "at least one day"),
            _ => Ok(()),
        }
    }

    /// Whether it can be asked of records of this model.
    pub(crate) fn fits(&self, m: &Model) -> Result<(), CmdbError> {
        let has = |name: &String| match m.attribute(name) {
            Some(a) if a.kind == crate::AttributeKind::Secret => {
                Err(invalid("/check", format!("{name} of {} is a secret, which no record holds and no rule can ask for", m.name)))
            }
            Some(_) => Ok(()),
            None => Err(invalid("/check", format!("the model {} has no attribute {name}", m.name))),
        };
        let cel = |text: &str| match Filter::parse(text, &m.spec().schema) {
            Ok(_) => Ok(()),
            Err(e) => Err(invalid("/check", format!("for the model {}: {}", m.name, e.message))),
        };
        match &self.check {
            Check::Completeness { attributes } => attributes.keys().try_for_each(has),
            Check::Duplicate { attributes } => attributes.iter().try_for_each(has),
            Check::Standard { attribute, cel: text, .. } => has(attribute).and_then(|()| text.as_deref().map_or(Ok(()), cel)),
            Check::Island { in_use: Some(text), .. } => cel(text),
            _ => Ok(()),
        }
    }
}

pub(crate) fn regex(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build()
}

/// What an attribute counts when no rule says so: what every record has to have most, then what people search by.
/// The model's own word goes first, of what discovery writes too.
pub(crate) fn importance(a: &Attribute) -> u32 {
    match (a.editable, a.required, a.indexed) {
        // No record holds it.
        _ if a.kind == crate::AttributeKind::Secret => 0,
        _ if a.importance.is_some() => u32::from(a.importance.unwrap_or_default()),
        (false, ..) => 0,
        (_, true, _) => 3,
        (_, _, true) => 2,
        _ => 1,
    }
}

/// An attribute's value as two people who mean the same would both write it.
pub(crate) fn folded(v: Option<&Json>) -> Option<String> {
    match v? {
        Json::Null => None,
        Json::String(s) => Some(s.trim().to_lowercase()).filter(|s| !s.is_empty()),
        v => Some(v.to_string()),
    }
}

/// The rules that come with Plenum.
pub fn defaults() -> Vec<HealthRule> {
    let rule = |id: &str, en: &str, zh: &str, models: &[&str], weight: u32, check: Check| HealthRule {
        id: id.to_owned(),
        title: Text(BTreeMap::from([("en".to_owned(), en.to_owned()), ("zh".to_owned(), zh.to_owned())])),
        models: models.iter().map(|m| (*m).to_owned()).collect(),
        check,
        weight,
        owner: None,
        enabled: true,
    };
    let owned = ["host", "system", "business_application"];
    let linked: Vec<&str> = owned.iter().chain(SERVICES).copied().collect();
    let runs_on = Check::Integrity { association: "runs_on".into(), backward: false, with: Some("host".into()) };
    vec![
        rule(
            "island",
            "Linked with something",
            "与其他记录有关联",
            &linked,
            3,
            Check::Island { associations: true, owner: false, in_use: None },
        ),
        rule("owner", "Has an owner", "有负责人", &owned, 3, Check::Island { associations: false, owner: true, in_use: None }),
        rule("runs-on", "Services run on a host", "服务运行于主机", SERVICES, 3, runs_on),
        rule("completeness", "Attributes filled in", "属性完整", &[], 2, Check::Completeness { attributes: BTreeMap::new() }),
        rule("stale", "Sources still report it", "来源仍在上报", &[], 2, Check::Stale { days: None }),
        rule(
            "duplicate-host",
            "Hosts are there once",
            "主机不重复",
            &["host"],
            3,
            Check::Duplicate { attributes: vec!["hostname".into()] },
        ),
        rule("conflict", "Sources agree", "来源一致", &[], 1, Check::Conflict {}),
    ]
}
