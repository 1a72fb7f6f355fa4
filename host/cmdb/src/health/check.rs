//! One record against a rule. Pure.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use plenum_store::{Document, Filter};
use serde_json::{Value as Json, json};

use super::rules::{Check, HealthRule, folded, importance, regex};
use crate::model::{Model, check_value};

/// What stands around a record.
#[derive(Debug, Default)]
pub(crate) struct Around {
    /// Its associations as the source: kind, model and id of the destination.
    pub(crate) from: Vec<(String, String, String)>,
    /// Its associations as the destination: kind and model of the source.
    pub(crate) to: Vec<(String, String)>,
    /// Sources that know it and have not spoken of it for too long, or no longer have it.
    pub(crate) silent: Vec<String>,
    /// Attributes of which sources say different things.
    pub(crate) conflicts: Vec<String>,
}

/// A rule, made ready for the records of one model.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) rule: &'a HealthRule,
    regex: Option<regex::Regex>,
    filter: Option<Filter>,
}

/// What is wrong, and how much of what was asked: 0 to 1.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) share: f64,
    pub(crate) detail: Json,
}

impl<'a> Ready<'a> {
    /// Nothing when the rule cannot be asked of this model: it lacks an attribute that the rule names.
    pub(crate) fn of(rule: &'a HealthRule, m: &Model) -> Option<Ready<'a>> {
        if !rule.applies(&m.name) || rule.fits(m).is_err() {
            return None;
        }
        let (mut re, mut filter) = (None, None);
        match &rule.check {
            Check::Standard { pattern, cel, .. } => {
                re = pattern.as_deref().map(regex).transpose().ok()?;
                filter = cel.as_deref().map(|c| Filter::parse(c, &m.spec().schema)).transpose().ok()?;
            }
            Check::Island { in_use: Some(c), .. } => filter = Some(Filter::parse(c, &m.spec().schema).ok()?),
            _ => {}
        }
        Some(Ready { rule, regex: re, filter })
    }

    /// By which records are the same, for a rule about duplicates.
    pub(crate) fn twin_key(&self, data: &Json) -> Option<u64> {
        let Check::Duplicate { attributes } = &self.rule.check else { return None };
        let mut h = DefaultHasher::new();
        for a in attributes {
            folded(data.get(a))?.hash(&mut h);
        }
        Some(h.finish())
    }

    /// The value that has to be there in another model.
    pub(crate) fn reference<'d>(&self, data: &'d Json) -> Option<(&(String, String), &'d str)> {
        match &self.rule.check {
            Check::Standard { attribute, refers_to: Some(to), .. } => Some((to, data.get(attribute)?.as_str()?)),
            _ => None,
        }
    }

    /// What is wrong with a record. `twins`: keys that more than one record has; `known`: values that are there in the other model.
    pub(crate) fn ask(
        &self,
        m: &Model,
        d: &Document,
        around: &Around,
        now: i64,
        twins: &HashSet<u64>,
        known: &HashSet<String>,
    ) -> Option<Wrong> {
        let all = |detail: Json| Some(Wrong { share: 1.0, detail });
        match &self.rule.check {
            Check::Island { associations, owner, .. } => {
                let mut lacks = Vec::new();
                if *associations && around.from.is_empty() && around.to.is_empty() {
                    lacks.push("associations");
                }
                if *owner && owner_of(d, around).is_none() {
                    lacks.push("owner");
                }
                if self.filter.as_ref().is_some_and(|f| !f.matches(&d.data)) {
                    lacks.push("use");
                }
                if lacks.is_empty() { None } else { all(json!({"lacks": lacks})) }
            }
            Check::Integrity { association, backward, with } => {
                let fits = |kind: &String, model: &String| kind == association && with.as_ref().is_none_or(|w| w == model);
                let there =
                    if *backward { around.to.iter().any(|(k, m)| fits(k, m)) } else { around.from.iter().any(|(k, m, _)| fits(k, m)) };
                if there { None } else { all(json!({"association": association, "with": with})) }
            }
            Check::Completeness { attributes } => {
                let weighed: Vec<(&str, u32)> = if attributes.is_empty() {
                    m.attributes.iter().map(|a| (a.name.as_str(), importance(a))).filter(|(_, w)| *w > 0).collect()
                } else {
                    attributes.iter().map(|(k, w)| (k.as_str(), *w)).collect()
                };
                let missing: Vec<(&str, u32)> = weighed.iter().copied().filter(|(k, _)| empty(d.data.get(*k))).collect();
                let sum = |of: &[(&str, u32)]| of.iter().map(|(_, w)| f64::from(*w)).sum::<f64>();
                if missing.is_empty() || sum(&weighed) <= 0.0 {
                    return None;
                }
                let names: Vec<&str> = missing.iter().map(|(k, _)| *k).collect();
                let repairable = names.iter().any(|k| m.attribute(k).is_some_and(|a| a.default.is_some()));
                Some(Wrong { share: sum(&missing) / sum(&weighed), detail: json!({"attributes": names, "repairable": repairable}) })
            }
            Check::Standard { attribute, one_of, .. } => {
                let value = d.data.get(attribute).filter(|v| !empty(Some(v)))?;
                let expected = self.expected(&d.data, value, known)?;
                let repairable = !one_of.is_empty() && mended(one_of, value).is_some();
                all(json!({"attributes": [attribute], "value": short(value), "expected": expected, "repairable": repairable}))
            }
            Check::Stale { days } => {
                let age_days = (now - d.updated_at) / 86_400_000;
                let old = days.is_some_and(|days| age_days >= i64::from(days));
                match (around.silent.is_empty(), old) {
                    (true, false) => None,
                    _ => all(json!({"sources": around.silent, "days": if old { Some(age_days) } else { None }})),
                }
            }
            Check::Duplicate { attributes } => {
                let key = self.twin_key(&d.data)?;
                if twins.contains(&key) { all(json!({"attributes": attributes, "repairable": true})) } else { None }
            }
            Check::Conflict {} if around.conflicts.is_empty() => None,
            Check::Conflict {} => all(json!({"attributes": around.conflicts})),
        }
    }

    /// What the value should be, when it is not.
    fn expected(&self, data: &Json, value: &Json, known: &HashSet<String>) -> Option<String> {
        let Check::Standard { pattern, one_of, refers_to, cel, .. } = &self.rule.check else { return None };
        let texts: Vec<&str> = match value {
            Json::String(s) => vec![s],
            Json::Array(a) => a.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        if self.regex.as_ref().is_some_and(|r| !texts.iter().all(|t| r.is_match(t))) {
            pattern.clone()
        } else if !one_of.is_empty() && !texts.iter().all(|t| one_of.iter().any(|o| o == t)) {
            Some(one_of.iter().take(20).cloned().collect::<Vec<_>>().join(", "))
        } else if let Some((model, attribute)) = refers_to
            && !texts.iter().all(|t| known.contains(*t))
        {
            Some(format!("{model}.{attribute}"))
        } else if self.filter.as_ref().is_some_and(|f| !f.matches(data)) {
            cel.clone()
        } else {
            None
        }
    }
}

/// Who has to do with a record: its own word, else the team that it belongs to.
pub(crate) fn owner_of(d: &Document, around: &Around) -> Option<String> {
    let own = d.data.get("owner").and_then(Json::as_str).map(str::trim).filter(|o| !o.is_empty());
    own.map(str::to_owned).or_else(|| belongs(around, "team"))
}

/// The id of what it belongs to.
pub(crate) fn belongs(around: &Around, model: &str) -> Option<String> {
    around.from.iter().find(|(k, m, _)| k == "belongs_to" && m == model).map(|(_, _, id)| id.clone())
}

/// The value of the list that is meant, when only case and blanks are wrong.
pub(crate) fn mended(one_of: &[String], value: &Json) -> Option<String> {
    let folded = folded(Some(value))?;
    one_of.iter().find(|o| o.trim().to_lowercase() == folded).cloned()
}

/// Defaults of attributes that are missing, as the model has them.
pub(crate) fn defaults_for(m: &Model, names: &[String], data: &Json) -> serde_json::Map<String, Json> {
    let fill = |a: &crate::Attribute| Some((a.name.clone(), a.default.clone()?));
    let wanted = m.attributes.iter().filter(|a| names.contains(&a.name) && empty(data.get(&a.name)));
    wanted.filter_map(fill).filter(|(k, v)| m.attribute(k).is_some_and(|a| check_value(a, v, "").is_ok())).collect()
}

fn empty(v: Option<&Json>) -> bool {
    match v {
        None | Some(Json::Null) => true,
        Some(Json::String(s)) => s.trim().is_empty(),
        Some(Json::Array(a)) => a.is_empty(),
        Some(_) => false,
    }
}

fn short(v: &Json) -> Json {
    match v {
        Json::String(s) if s.chars().count() > 200 => json!(format!("{}…", s.chars().take(200).collect::<String>())),
        v => v.clone(),
    }
}

/// A record's score, of what was asked (weight) and what was wrong (weight and share): 0 to 100.
pub(crate) fn score(asked: u32, wrong: &[(u32, f64)]) -> i64 {
    if asked == 0 {
        return 100;
    }
    let lost: f64 = wrong.iter().map(|(w, share)| f64::from(*w) * share).sum();
    (100.0 * (1.0 - lost / f64::from(asked))).round().clamp(0.0, 100.0) as i64
}
