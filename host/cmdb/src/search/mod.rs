//! Free text over all records: what matches all words, the best first.
//!
//! The index ([`index`]) says which records can match; each of them is then looked at as the caller sees it ([`View`]), so that what is hidden
//! from somebody finds nothing and ranks nothing.

mod index;
mod terms;

use std::collections::{BTreeMap, HashMap, HashSet};

use plenum_access::Principal;
use plenum_store::sql::{prefix_sql, prefix_values};
use plenum_store::{Dialect, DocumentError, Query, Value};
use serde::Serialize;

use crate::instances::Instance;
use crate::model::{Model, Text, collection};
use crate::scope::sees_a_part;
use crate::view::View;
use crate::{Cmdb, CmdbError};
pub(crate) use index::{again_in, changes_terms, forget_in, index_in};
use terms::How;

/// Most records of a page.
pub const MAX_PAGE: usize = 100;
/// Records that are ranked for an answer: paging ends there, and narrower words find the rest.
pub const MAX_RANKED: usize = 400;
/// Matches that are counted; of more it is said that there are more.
pub const MAX_COUNTED: i64 = 10_000;
/// Longest question, in characters.
pub const MAX_TEXT: usize = 200;
/// Characters of a snippet around what matched.
const SNIPPET: usize = 80;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct SearchQuery {
    /// Words: a record has to match all.
    pub text: String,
    /// Only records of these models; all when empty.
    pub models: Vec<String>,
    /// Records of a page: 20 when 0, at most [`MAX_PAGE`].
    pub limit: usize,
    /// Records to leave out at the beginning, of those that are ranked.
    pub skip: usize,
}

/// Where a record matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// The attribute; `id` is the record's id, and `label` what it is called where that is made of several.
    pub attribute: String,
    /// What the attribute is called.
    pub title: Text,
    /// Its value around the match.
    pub snippet: String,
}

/// A record that matches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The record, as the caller sees it.
    pub instance: Instance,
    /// The best match of each word.
    pub matched: Vec<Matched>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Hits {
    /// The best first.
    pub items: Vec<Hit>,
    /// How many there are of each model, the most first: of [`MAX_COUNTED`] at most.
    pub counts: Vec<(String, i64)>,
    /// Whether there are more matches than were counted.
    pub more: bool,
    /// Where the next page begins, if there is one.
    pub next: Option<usize>,
    /// Whether records are still being put into the index, so that some may be missing.
    pub building: bool,
}

/// Ranks: less is better.
type Rank = (usize, usize, usize);

impl Cmdb {
    /// Free text over the records that the caller sees.
    pub async fn search(&self, who: &Principal, q: &SearchQuery) -> Result<Hits, CmdbError> {
        if q.text.chars().count() > MAX_TEXT {
            return Err(DocumentError::Query(format!("a search has at most {MAX_TEXT} characters")).into());
        }
        let words = terms::words(&q.text);
        let mut views: BTreeMap<String, View> = BTreeMap::new();
        let mut all = true;
        let mut names: Vec<String> = Vec::new();
        for view in self.views(who).await? {
            names.push(view.model.name.clone());
            let asked = q.models.is_empty() || q.models.contains(&view.model.name);
            all &= asked;
            if asked {
                views.insert(view.model.name.clone(), view);
            }
        }
        if let Some(m) = q.models.iter().find(|m| !views.contains_key(*m)) {
            let hint = plenum_store::filter::nearest(m, names.iter().map(String::as_str));
            return Err(CmdbError::NoModel { name: m.clone(), hint });
        }
        let building = self.db.fetch_optional("SELECT model FROM cmdb_search_work LIMIT 1", &[]).await?.is_some();
        if words.is_empty() || views.is_empty() {
            return Ok(Hits { building, ..Hits::default() });
        }
        let whole = !sees_a_part(who) && views.values().all(View::shows_all);
        all &= whole && self.scope(who).await?.is_none();
        let limit = if q.limit == 0 { 20 } else { q.limit.min(MAX_PAGE) };
        let wanted = q.skip.saturating_add(limit).saturating_add(1);
        let only: Vec<String> = if all { Vec::new() } else { views.keys().cloned().collect() };
        let mut seen: HashSet<String> = HashSet::new();
        let mut ranked: Vec<(Rank, Hit)> = Vec::new();
        for tier in [Tier::Label, Tier::Names, Tier::All] {
            // A lower tier cannot hold a better one, and the lookup of all is the dear one.
            if ranked.len() >= wanted || ranked.len() >= MAX_RANKED {
                break;
            }
            let mut found = Vec::new();
            let (narrow, open): (Vec<&View>, Vec<&View>) = views.values().partition(|v| v.is_narrowed());
            for view in narrow {
                found.extend(self.candidates_within(view, tier, &q.text, &words).await?);
            }
            if !open.is_empty() {
                let only: Vec<String> = if only.is_empty() { Vec::new() } else { open.iter().map(|v| v.model.name.clone()).collect() };
                found.extend(self.candidates(tier, &q.text, &words, &only).await?);
            }
            let mut by_model: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (record, model) in found {
                if seen.insert(record.clone()) {
                    by_model.entry(model).or_default().push(record);
                }
            }
            for (model, ids) in by_model {
                let Some(view) = views.get(&model) else { continue };
                for some in ids.chunks(500) {
                    for d in self.docs.get_many(&collection(&model), some).await? {
                        if view.sees(&d) {
                            ranked.extend(rank(&view.model, view.show(d), &words, &q.text));
                        }
                    }
                }
            }
        }
        ranked
            .sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| (&x.instance.label, &x.instance.id).cmp(&(&y.instance.label, &y.instance.id))));
        ranked.truncate(MAX_RANKED);
        let (counts, more) = if whole && views.values().all(|v| !v.is_narrowed()) {
            self.counts(&words, &only).await?
        } else {
            // Counted is what was looked at: the index knows of words that are hidden.
            let mut counts: HashMap<String, i64> = HashMap::new();
            for (_, h) in &ranked {
                *counts.entry(h.instance.model.clone()).or_default() += 1;
            }
            (counts, ranked.len() >= wanted.min(MAX_RANKED))
        };
        let mut counts: Vec<(String, i64)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let next = (ranked.len() > q.skip + limit).then_some(q.skip + limit);
        let items = ranked.into_iter().skip(q.skip).take(limit).map(|(_, h)| h).collect();
        Ok(Hits { items, counts, more, next, building })
    }

    /// Records that can match, of models that the caller sees all records of.
    async fn candidates(&self, tier: Tier, text: &str, words: &[String], only: &[String]) -> Result<Vec<(String, String)>, CmdbError> {
        let (sql, mut values) = self.lookup(tier, text, words, only, "record, model");
        values.push(i64::try_from(MAX_RANKED).unwrap_or(i64::MAX).into());
        let rows = self.db.fetch_all(&format!("{sql} LIMIT ?"), &values).await?;
        Ok(rows.iter().map(|r| Ok((r.text("record")?, r.text("model")?))).collect::<Result<_, plenum_store::StoreError>>()?)
    }

    /// The same of a model of which the caller sees a part: those in reach are found before anything is counted off.
    async fn candidates_within(&self, view: &View, tier: Tier, text: &str, words: &[String]) -> Result<Vec<(String, String)>, CmdbError> {
        let model = &view.model.name;
        let (sql, mut values) = self.lookup(tier, text, words, std::slice::from_ref(model), "record");
        values.push((MAX_COUNTED * 2).into());
        let reach = view.narrow(&Query::default())?;
        let ids = self.docs.ids_among(&collection(model), &reach, &format!("{sql} LIMIT ?"), values, MAX_RANKED as u32).await?;
        Ok(ids.into_iter().map(|id| (id, model.clone())).collect())
    }

    async fn counts(&self, words: &[String], only: &[String]) -> Result<(HashMap<String, i64>, bool), CmdbError> {
        let (sql, mut values) = self.lookup(Tier::All, "", words, only, "model");
        values.push((MAX_COUNTED + 1).into());
        let sql = format!("SELECT model, COUNT(*) AS n FROM ({sql} LIMIT ?) AS found GROUP BY model");
        let rows = self.db.fetch_all(&sql, &values).await?;
        let counts: HashMap<String, i64> =
            rows.iter().map(|r| Ok((r.text("model")?, r.int("n")?))).collect::<Result<_, plenum_store::StoreError>>()?;
        let more = counts.values().sum::<i64>() > MAX_COUNTED;
        Ok((counts, more))
    }

    /// The statement that looks words up, without its limit.
    fn lookup(&self, tier: Tier, text: &str, words: &[String], only: &[String], columns: &str) -> (String, Vec<Value>) {
        let d = self.db.dialect();
        if tier == Tier::Label {
            let key = index::label_key(text.trim());
            let mut sql = format!("SELECT {columns} FROM cmdb_search WHERE {}", prefix_sql(d, "label"));
            let mut values = prefix_values(&key).to_vec();
            if !only.is_empty() {
                sql.push_str(&format!(" AND model IN ({})", vec!["?"; only.len()].join(", ")));
                values.extend(only.iter().map(Value::from));
            }
            sql.push_str(if d == Dialect::Postgres {
                " ORDER BY label COLLATE \"C\", model, record"
            } else {
                " ORDER BY label, model, record"
            });
            return (sql, values);
        }
        let ask = match_text(d, tier, words, only);
        let sql = match d {
            Dialect::Sqlite => {
                let columns: Vec<String> = columns.split(", ").map(|c| format!("s.{c} AS {c}")).collect();
                format!(
                    "SELECT {} FROM cmdb_search_terms JOIN cmdb_search s ON s.doc = cmdb_search_terms.rowid WHERE cmdb_search_terms MATCH ?",
                    columns.join(", ")
                )
            }
            // Planned as if all were wanted: with the limit in sight, rare words would be looked for in row after row.
            Dialect::Postgres => format!(
                "SELECT {columns} FROM (WITH found AS MATERIALIZED (SELECT record, model FROM cmdb_search WHERE terms @@ (?)::tsquery) \
                 SELECT record, model FROM found) AS found"
            ),
        };
        (sql, vec![ask.into()])
    }
}

/// Where the words have to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// The label begins with the whole text.
    Label,
    /// All words are in names.
    Names,
    /// Anywhere.
    All,
}

/// The words in the language of the database's index.
fn match_text(d: Dialect, tier: Tier, words: &[String], only: &[String]) -> String {
    // Terms hold letters, digits and one sign: there is nothing to escape.
    let (quote, prefix, and, or) = match d {
        Dialect::Sqlite => ('"', "*", " AND ", " OR "),
        Dialect::Postgres => ('\'', ":*", " & ", " | "),
    };
    let mut parts: Vec<String> = words
        .iter()
        .map(|w| {
            let name = format!("{quote}{}{quote}{prefix}", terms::name_term(w));
            match tier {
                Tier::All => format!("({quote}{w}{quote}{prefix}{or}{name})"),
                Tier::Label | Tier::Names => name,
            }
        })
        .collect();
    if !only.is_empty() {
        let models: Vec<String> = only.iter().map(|m| format!("{quote}{}{quote}", terms::model_term(m))).collect();
        parts.push(format!("({})", models.join(or)));
    }
    parts.join(and)
}

/// How well a record matches, and where; none when a word is not in what the caller sees.
fn rank(m: &Model, i: Instance, words: &[String], text: &str) -> Option<(Rank, Hit)> {
    let label = terms::plain(&i.label);
    let mut places: Vec<(String, Text, bool, String)> = Vec::new();
    if i.label != i.id {
        places.push(("label".into(), Text::default(), true, i.label.clone()));
    }
    for a in &m.attributes {
        let Some(value) = i.attributes.get(&a.name) else { continue };
        let name = terms::names(m, &a.name);
        terms::texts(m, a, value, |t| places.push((a.name.clone(), a.title.clone(), name, t.to_owned())));
    }
    places.push(("id".into(), Text::default(), true, i.id.clone()));
    let plains: Vec<String> = places.iter().map(|p| terms::plain(&p.3)).collect();
    let (mut sum, mut matched) = (0, Vec::<Matched>::new());
    for w in words {
        let best = places
            .iter()
            .zip(&plains)
            .filter_map(|(p, plain)| {
                let (how, at) = match p.0.as_str() {
                    // A part of an id says nothing.
                    "id" => plain.starts_with(w.as_str()).then_some((if plain == w { How::Whole } else { How::Begins }, 0))?,
                    _ => terms::find(plain, w, p.2)?,
                };
                let how = match how {
                    How::Whole => 0,
                    How::Begins => 1,
                    How::Inside => 2,
                };
                Some((usize::from(!p.2) * 3 + how, p, plain.get(..at).map_or(0, |b| b.chars().count())))
            })
            .min_by_key(|(rank, p, _)| (*rank, p.0 == "label"))?;
        sum += best.0;
        let (attribute, title, _, value) = best.1;
        if !matched.iter().any(|m| m.attribute == *attribute) {
            matched.push(Matched { attribute: attribute.clone(), title: title.clone(), snippet: snippet(value, best.2) });
        }
    }
    let asked = index::label_key(text.trim());
    let whole = if label == asked {
        0
    } else if label.starts_with(&asked) {
        1
    } else {
        2
    };
    Some(((whole, sum, label.chars().count()), Hit { instance: i, matched }))
}

/// The value around a place.
fn snippet(value: &str, at: usize) -> String {
    let length = value.chars().count();
    if length <= SNIPPET {
        return value.to_owned();
    }
    let from = at.saturating_sub(SNIPPET / 4).min(length.saturating_sub(SNIPPET));
    let mut out: String = value.chars().skip(from).take(SNIPPET).collect();
    if from > 0 {
        out.insert(0, '…');
    }
    if from + SNIPPET < length {
        out.push('…');
    }
    out
}
