//! What an inspection changes about a template: checks switched off or on, thresholds, parameters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parse;
use super::template::{Check, Template};
use super::validate::{Problem, value_fits};

/// Changes by check id.
pub type Overrides = BTreeMap<String, Override>;

/// What is different about one check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Switches the check on or off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Other values, by the threshold's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, Value>,
    /// Other parameters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// What is wrong with overrides, with pointers below `at`.
pub fn problems(template: &Template, overrides: &Overrides, at: &str) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut say = |pointer: String, message: String| out.push(Problem { pointer, message });
    for (id, change) in overrides {
        let Some(check) = template.checks.iter().find(|check| &check.id == id) else {
            say(format!("{at}/{id}"), format!("the template {:?} has no check {id:?}", template.id));
            continue;
        };
        for (name, value) in &change.thresholds {
            match check.thresholds.iter().find(|threshold| threshold.name() == name) {
                None => say(format!("{at}/{id}/thresholds/{name}"), format!("the check {id:?} has no threshold {name:?}")),
                Some(threshold) => {
                    if let Some(message) = value_fits(threshold, value) {
                        say(format!("{at}/{id}/thresholds/{name}"), message);
                    }
                }
            }
        }
        for (name, value) in &change.params {
            match check.params.iter().find(|param| &param.name == name) {
                None => say(format!("{at}/{id}/params/{name}"), format!("the check {id:?} has no parameter {name:?}")),
                Some(param) => {
                    let fits = param.pattern.is_empty() || parse::whole(&param.pattern).is_ok_and(|regex| regex.is_match(value));
                    if !fits || value.contains('\0') || value.len() > 4_000 {
                        say(format!("{at}/{id}/params/{name}"), format!("{value:?} does not match {:?}", param.pattern));
                    }
                }
            }
        }
    }
    out
}

/// The template as it will run: only the checks that are on, with their values. Overrides of checks that are gone since are
/// ignored, so that editing a template does not break the inspections that use it.
pub fn apply(template: &Template, overrides: &Overrides) -> Template {
    let mut out = template.clone();
    out.checks = template.checks.iter().filter_map(|check| adjusted(check, overrides.get(&check.id))).collect();
    out
}

fn adjusted(check: &Check, change: Option<&Override>) -> Option<Check> {
    if !change.and_then(|change| change.enabled).unwrap_or(check.enabled) {
        return None;
    }
    let mut check = check.clone();
    if let Some(change) = change {
        for threshold in &mut check.thresholds {
            if let Some(value) = change.thresholds.get(threshold.name()).filter(|value| value_fits(threshold, value).is_none()) {
                threshold.value = value.clone();
            }
        }
        for param in &mut check.params {
            if let Some(value) = change.params.get(&param.name) {
                param.default.clone_from(value);
            }
        }
    }
    Some(check)
}
