//! Whose word counts. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{AGENT, IMPORT, MANUAL, check_name, invalid};
use crate::CmdbError;
use crate::model::Attribute;

/// Most ranks of a rule.
const MAX_RANKS: usize = 50;

/// Whose word counts for an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A model, or `*`.
    pub model: String,
    /// An attribute, or `*`.
    pub attribute: String,
    /// The strongest first. Each names a source, `plugin:*`, `*` for all others, or several with `|` between: of those the newest counts.
    pub ranks: Vec<String>,
}

impl Rule {
    pub(crate) fn check(&self) -> Result<(), CmdbError> {
        if self.ranks.len() > MAX_RANKS {
            return Err(invalid("/ranks", format!("a rule has at most {MAX_RANKS} ranks")));
        }
        for (i, rank) in self.ranks.iter().enumerate() {
            for name in rank.split('|') {
                if name != "*" && name != "plugin:*" {
                    check_name(name).map_err(|_| {
                        invalid(
                            &format!("/ranks/{i}"),
                            format!("{name:?} is no source; write a source's name, plugin:*, * or several with | between"),
                        )
                    })?;
                }
            }
        }
        if self.model == "*" && self.attribute != "*" {
            return Err(invalid("/attribute", "a rule for all models is for all attributes".into()));
        }
        Ok(())
    }
}

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct Precedence(BTreeMap<(String, String), Vec<String>>);

/// People and whoever acts for them: the newest word counts, as if there was one of them. Then other systems, then discovery.
const BY_PEOPLE: &[&str] = &["manual|import|plugin:*", "*", "agent"];
/// What discovery writes and people cannot: discovery first.
const BY_DISCOVERY: &[&str] = &["agent", "plugin:*", "*", "import|manual"];

impl Precedence {
    pub(crate) fn put(&mut self, model: &str, attribute: &str, ranks: Vec<String>) {
        self.0.insert((model.to_owned(), attribute.to_owned()), ranks);
    }

    pub(crate) fn rules(&self) -> Vec<Rule> {
        let rule = |((model, attribute), ranks): (&(String, String), &Vec<String>)| Rule {
            model: model.clone(),
            attribute: attribute.clone(),
            ranks: ranks.clone(),
        };
        self.0.iter().map(rule).collect()
    }

    /// How strong a source's word is for an attribute: 0 is the strongest. The most exact rule decides; a source that it does not name comes last.
    pub fn rank(&self, model: &str, a: &Attribute, source: &str) -> usize {
        let keys = [(model, a.name.as_str()), (model, "*"), ("*", "*")];
        match keys.iter().find_map(|(m, n)| self.0.get(&((*m).to_owned(), (*n).to_owned()))) {
            Some(ranks) => place(ranks.iter().map(String::as_str), source),
            None if a.editable => place(BY_PEOPLE.iter().copied(), source),
            None => place(BY_DISCOVERY.iter().copied(), source),
        }
    }

    /// The one that counts: by rank, of the same rank the newest, of the same time the first by name, so that nothing swings.
    pub fn winner<'a>(&self, model: &str, a: &Attribute, says: &'a BTreeMap<String, Said>) -> Option<(&'a String, &'a Said)> {
        says.iter().min_by(|(s, x), (t, y)| {
            let by_rank = self.rank(model, a, s).cmp(&self.rank(model, a, t));
            by_rank.then_with(|| y.at.cmp(&x.at)).then_with(|| s.cmp(t))
        })
    }
}

/// What a source says of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Since when, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Null: that there is none.
    pub value: Json,
}

fn place<'a>(ranks: impl Iterator<Item = &'a str>, source: &str) -> usize {
    let mut fallback: Option<(usize, bool)> = None;
    let mut end = 0;
    for (i, rank) in ranks.enumerate() {
        end = i + 1;
        for name in rank.split('|') {
            let family = name == "plugin:*" && source.starts_with("plugin:");
            if name == source {
                return i;
            }
            if (family || name == "*") && fallback.is_none_or(|(_, exact)| family && !exact) {
                fallback = Some((i, family));
            }
        }
    }
    fallback.map_or(end, |(i, _)| i)
}

/// Who an attribute's value is taken to come from when nobody's name is on it: written before there were sources, or by hand.
pub(crate) fn presumed(a: &Attribute) -> &'static str {
    if a.editable { MANUAL } else { AGENT }
}

/// Sources that people stand behind; what they say does not keep a record alive that all systems have lost.
pub(crate) fn by_people(source: &str) -> bool {
    matches!(source, MANUAL | IMPORT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use serde_json::json;

    fn attribute(editable: bool) -> Attribute {
        serde_json::from_value(json!({"name": "memory", "kind": "integer", "editable": editable})).unwrap()
    }

    fn said(of: &[(&str, i64)]) -> BTreeMap<String, Said> {
        of.iter().map(|(s, at)| ((*s).to_owned(), Said { at: *at, value: json!(s) })).collect()
    }

    fn wins(p: &Precedence, a: &Attribute, of: &[(&str, i64)]) -> String {
        p.winner("host", a, &said(of)).map(|(s, _)| s.clone()).unwrap_or_default()
    }

    #[test]
    fn discovery_owns_its_attributes_and_people_the_rest() {
        let p = Precedence::default();
        assert_eq!(wins(&p, &attribute(false), &[("agent", 1), ("import", 9), ("plugin:cloud", 9), ("vcenter", 9)]), "agent");
        assert_eq!(wins(&p, &attribute(false), &[("import", 9), ("plugin:cloud", 1), ("vcenter", 9)]), "plugin:cloud");
        assert_eq!(wins(&p, &attribute(true), &[("agent", 9), ("manual", 1), ("vcenter", 9)]), "manual");
        assert_eq!(wins(&p, &attribute(true), &[("manual", 1), ("import", 2)]), "import");
        assert_eq!(wins(&p, &attribute(true), &[("agent", 9), ("vcenter", 1)]), "vcenter");
    }

    #[test]
    fn the_most_exact_rule_decides_and_ties_do_not_swing() {
        let mut p = Precedence::default();
        p.put("*", "*", vec!["a".into(), "b".into()]);
        assert_eq!(wins(&p, &attribute(true), &[("a", 1), ("b", 2), ("c", 3)]), "a");
        p.put("host", "*", vec!["b".into(), "*".into(), "a".into()]);
        assert_eq!(wins(&p, &attribute(true), &[("a", 1), ("c", 2)]), "c");
        p.put("host", "memory", vec!["plugin:*".into(), "plugin:x".into()]);
        assert_eq!(wins(&p, &attribute(true), &[("plugin:x", 1), ("plugin:y", 1)]), "plugin:y");
        assert_eq!(wins(&p, &attribute(true), &[("u", 5), ("t", 5)]), "t");
        assert_eq!(wins(&p, &attribute(true), &[]), "");
    }

    #[test]
    fn a_rule_that_names_nobody_is_refused() {
        let rule =
            |ranks: &[&str]| Rule { model: "host".into(), attribute: "*".into(), ranks: ranks.iter().map(|r| (*r).to_owned()).collect() };
        assert!(rule(&["agent", "plugin:*", "manual|import", "*"]).check().is_ok());
        for bad in ["", "A", "agent|", "plugin:", "a b"] {
            assert!(rule(&[bad]).check().is_err(), "{bad}");
        }
        assert!(Rule { model: "*".into(), attribute: "memory".into(), ranks: vec![] }.check().is_err());
    }
}
