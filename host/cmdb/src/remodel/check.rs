//! One record against the model as it will be: what becomes of it, and what stands in the way. Pure.

use std::collections::BTreeMap;

use plenum_store::Document;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::convert::convert;
use crate::model::{Attribute, AttributeKind, Model, check_kind};
use crate::rules::keeps;

/// Records that are named for one rule of one attribute.
const MAX_EXAMPLES: usize = 20;

/// What a change of a model does to its records.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) before: Model,
    pub(crate) after: Model,
    /// Whether values that do not fit are taken out, and missing ones filled with the default.
    pub(crate) mend: bool,
    changed: Vec<(Option<Attribute>, Attribute)>,
    pub(crate) removed: Vec<Attribute>,
    /// Keys whose values have to be compared.
    pub(crate) unique: Vec<Vec<String>>,
}

/// What stands in the way in one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) attribute: String,
    pub(crate) rule: &'static str,
    pub(crate) message: String,
    /// What mending does: `clear`, `fill`; nothing mends it when absent.
    pub(crate) mend: Option<&'static str>,
    pub(crate) value: Json,
}

/// What becomes of one record.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Its attributes, when they change.
    pub(crate) data: Option<Json>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) converted: Vec<String>,
    pub(crate) removed: Vec<(String, Json)>,
    pub(crate) restored: Vec<String>,
}

impl Plan {
    pub(crate) fn new(before: &Model, after: &Model, restored: &[Attribute], mend: bool) -> Plan {
        let was = |name: &str| before.attribute(name).or_else(|| restored.iter().find(|a| a.name == name));
        let changed: Vec<_> = after
            .attributes
            .iter()
            .filter(|a| was(&a.name).is_none_or(|b| asks(b) != asks(a)) || restored.iter().any(|r| r.name == a.name))
            .map(|a| (was(&a.name).cloned(), a.clone()))
            .collect();
        let touched = |n: &String| changed.iter().any(|(_, a)| a.name == *n);
        let unique = after.unique.iter().filter(|u| !before.unique.contains(u) || u.iter().any(touched)).cloned().collect();
        let removed = before.attributes.iter().filter(|a| after.attribute(&a.name).is_none()).cloned().collect();
        Plan { before: before.clone(), after: after.clone(), mend, changed, removed, unique }
    }

    /// Whether records have to be looked at.
    pub(crate) fn looks(&self) -> bool {
        !self.changed.is_empty() || !self.removed.is_empty() || !self.unique.is_empty()
    }

    /// Attributes whose references have to be looked up.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Attribute> {
        self.changed
            .iter()
            .filter(|(b, a)| a.kind.refers() && b.as_ref().is_none_or(|b| !b.kind.refers() || b.target != a.target))
            .map(|(_, a)| a)
    }

    /// What becomes of a record; `kept` are its values of attributes that come back.
    pub(crate) fn examine(&self, d: &Document, kept: &BTreeMap<String, Json>) -> Outcome {
        let mut out = Outcome::default();
        let Some(had) = d.data.as_object() else { return out };
        let mut data: Map<String, Json> = had.clone();
        for a in &self.removed {
            if let Some(v) = data.remove(&a.name) {
                out.removed.push((a.name.clone(), v));
            }
        }
        for (from, to) in &self.changed {
            let mut value = data.get(&to.name).cloned();
            if value.is_none()
                && let Some(v) = kept.get(&to.name)
            {
                value = Some(v.clone());
                out.restored.push(to.name.clone());
            }
            match value {
                Some(v) if to.required && v.as_str().is_some_and(|s| s.trim().is_empty()) => self.missing(to, &mut data, &mut out),
                Some(v) => match fits(from.as_ref(), to, &v) {
                    Ok(made) => {
                        if made != v {
                            out.converted.push(to.name.clone());
                        }
                        data.insert(to.name.clone(), made);
                    }
                    Err((rule, message)) => {
                        // What every record has to have cannot be taken out, unless there is something to put in its place.
                        let mend = match (&to.default, to.required) {
                            (Some(_), true) => Some("fill"),
                            (None, true) => None,
                            (_, false) => Some("clear"),
                        };
                        match (self.mend, mend, &to.default) {
                            (true, Some("fill"), Some(v)) => drop(data.insert(to.name.clone(), v.clone())),
                            (true, Some("clear"), _) => drop(data.remove(&to.name)),
                            _ => {}
                        }
                        out.problems.push(Problem { attribute: to.name.clone(), rule, message, mend, value: v });
                    }
                },
                None if to.required => self.missing(to, &mut data, &mut out),
                None => {}
            }
        }
        if data != *had {
            out.data = Some(Json::Object(data));
        }
        out
    }

    fn missing(&self, a: &Attribute, data: &mut Map<String, Json>, out: &mut Outcome) {
        if let (true, Some(v)) = (self.mend, &a.default) {
            data.insert(a.name.clone(), v.clone());
        }
        out.problems.push(Problem {
            attribute: a.name.clone(),
            rule: "required",
            message: format!("{} is required", a.name),
            mend: a.default.as_ref().map(|_| "fill"),
            value: Json::Null,
        });
    }

    /// Whether what stands in the way is mended.
    pub(crate) fn mends(&self, p: &Problem) -> bool {
        self.mend && p.mend.is_some()
    }
}

/// What an attribute asks of a value: the rest is words and looks.
fn asks(a: &Attribute) -> Attribute {
    Attribute {
        title: crate::Text::default(),
        unit: None,
        section: None,
        colours: BTreeMap::new(),
        importance: None,
        sources: Vec::new(),
        default: None,
        editable: true,
        ..a.clone()
    }
}

fn fits(from: Option<&Attribute>, to: &Attribute, v: &Json) -> Result<Json, (&'static str, String)> {
    let broken = |v: &Json| -> Option<(&'static str, String)> {
        if let Err(e) = check_kind(to, v, "") {
            let rule = match to.kind {
                AttributeKind::Enum | AttributeKind::MultiEnum => "options",
                AttributeKind::Json => "schema",
                _ => "kind",
            };
            return Some((rule, e.to_string()));
        }
        let e = keeps(to, v).err()?;
        Some((if e.starts_with("text that matches") { "pattern" } else { "range" }, format!("{} has to be {e}", to.name)))
    };
    match from {
        Some(from) if from.kind != to.kind || from.columns != to.columns => match convert(from, to, v) {
            Ok(made) => Ok(made),
            Err(message) => Err(("kind", message)),
        },
        _ => broken(v).map_or_else(|| Ok(v.clone()), Err),
    }
}

/// A record that shows what is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The record.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// The value that does not fit; null when it is missing.
    pub value: Json,
    /// What it would have to be.
    pub message: String,
}

/// Records that break one rule of one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleReport {
    /// `required`, `kind`, `options`, `pattern`, `range`, `schema`, `unique`, `reference`, `size`.
    pub rule: String,
    /// How many.
    pub count: i64,
    /// What mending does about them: `clear` takes the value out, `fill` puts the default in. Absent: they have to be changed by hand.
    pub mend: Option<String>,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// What happens to one attribute's values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AttributeReport {
    /// Values that become values of another kind.
    pub converted: i64,
    /// Values that go with the attribute. They are kept, and can come back.
    pub removed: i64,
    /// Values that come back.
    pub restored: i64,
    /// What stands in the way.
    pub problems: Vec<RuleReport>,
}

/// What a change does to the records of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How many records the model has.
    pub records: i64,
    /// How many of them were looked at.
    pub checked: i64,
    /// Records that are written anew.
    pub rewritten: i64,
    /// Records in the way: they break a rule, and nobody said that they should be mended, or nothing can mend them.
    pub broken: i64,
    /// By attribute; of a unique key over several, `a+b`.
    pub attributes: BTreeMap<String, AttributeReport>,
}

impl Report {
    pub(crate) fn take(&mut self, plan: &Plan, d: &Document, o: &Outcome) {
        self.checked += 1;
        let mut count = |names: &[String], of: fn(&mut AttributeReport) -> &mut i64| {
            for n in names {
                *of(self.attributes.entry(n.clone()).or_default()) += 1;
            }
        };
        count(&o.converted, |a| &mut a.converted);
        count(&o.restored, |a| &mut a.restored);
        let removed: Vec<String> = o.removed.iter().map(|(n, _)| n.clone()).collect();
        count(&removed, |a| &mut a.removed);
        if o.problems.iter().any(|p| !plan.mends(p)) {
            self.broken += 1;
        } else if o.data.is_some() {
            self.rewritten += 1;
        }
        for p in &o.problems {
            let of = self.attributes.entry(p.attribute.clone()).or_default();
            let i = match of.problems.iter().position(|r| r.rule == p.rule && r.mend.as_deref() == p.mend) {
                Some(i) => i,
                None => {
                    let r = RuleReport { rule: p.rule.to_owned(), count: 0, mend: p.mend.map(str::to_owned), examples: Vec::new() };
                    of.problems.push(r);
                    of.problems.len() - 1
                }
            };
            let Some(r) = of.problems.get_mut(i) else { continue };
            r.count += 1;
            if r.examples.len() < MAX_EXAMPLES {
                let label = plan.before.label(&d.data, &d.id);
                r.examples.push(Example { id: d.id.clone(), label, value: short(&p.value), message: p.message.clone() });
            }
        }
    }

    /// The first record in the way, in words.
    pub(crate) fn in_words(&self) -> String {
        let first = self.attributes.values().flat_map(|a| &a.problems).find_map(|p| p.examples.first());
        let first = first.map(|e| format!(": {} ({}): {}", e.label, e.id, e.message)).unwrap_or_default();
        format!("{} of {} records would break the changed model{first}", self.broken, self.checked)
    }
}

/// An example is there to be recognised.
fn short(v: &Json) -> Json {
    let text = v.to_string();
    if text.len() <= 300 { v.clone() } else { Json::String(format!("{}…", text.chars().take(200).collect::<String>())) }
}
