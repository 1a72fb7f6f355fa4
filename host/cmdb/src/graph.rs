//! What stands around an instance, what falls with it, and what it needs: walks over associations.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use plenum_access::{Permission, Principal};
use plenum_store::{Value, params};
use serde::{Deserialize, Serialize};

use crate::associations::{Association, COLUMNS, read};
use crate::kinds::Impact;
use crate::{Cmdb, CmdbError};

/// Furthest walk, in associations.
pub const MAX_DEPTH: u32 = 6;
/// Most instances of an answer.
pub const MAX_NODES: usize = 2000;
/// Instances whose associations are asked for at once.
const BATCH: usize = 400;
/// Associations of one such question; what has more is cut and said to be.
const MOST_EDGES: i64 = 5000;

/// Which associations are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Walk {
    /// All, both ways.
    #[default]
    Around,
    /// To what fails when the instance fails: what runs on it, depends on it, connects to it, is contained in it.
    Impact,
    /// To what the instance needs: the other way.
    Needs,
}

impl Walk {
    /// Whether an association of this kind is followed from its source, and from its destination.
    fn follows(self, impact: Impact) -> (bool, bool) {
        let (source_suffers, destination_suffers) = (impact == Impact::Source, impact == Impact::Destination);
        match self {
            Walk::Around => (true, true),
            Walk::Impact => (destination_suffers, source_suffers),
            Walk::Needs => (source_suffers, destination_suffers),
        }
    }
}

/// How far and along what.
#[derive(Debug, Clone, Default)]
pub struct GraphQuery {
    /// Which associations.
    pub walk: Walk,
    /// Associations between the instance and the furthest: 1 to [`MAX_DEPTH`].
    pub depth: u32,
    /// Kinds to follow; all when empty.
    pub kinds: Vec<String>,
    /// Most instances: [`MAX_NODES`] when 0 or more.
    pub limit: usize,
}

/// An instance of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphNode {
    /// Its model.
    pub model: String,
    /// Its id.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// Associations from where the walk began.
    pub depth: u32,
}

/// An association of the graph; both its ends are in it.
pub type Edge = Association;

/// A piece of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The nearest first; the one where it began is the first.
    pub nodes: Vec<GraphNode>,
    /// Between them.
    pub edges: Vec<Edge>,
    /// Whether there is more than the limit let in.
    pub truncated: bool,
}

impl Cmdb {
    /// The instances around one. Those of models that the caller may not read are absent, and not walked through.
    pub async fn graph(&self, who: &Principal, model: &str, id: &str, query: &GraphQuery) -> Result<Graph, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        let scope = self.scope(who).await?;
        let impacts = self.impacts(&query.kinds).await?;
        let start = view.show(self.seen(&view, id).await?);
        let most = if query.limit == 0 { MAX_NODES } else { query.limit.min(MAX_NODES) };
        let mut truncated = false;
        let mut nodes = vec![GraphNode { model: model.to_owned(), id: id.to_owned(), label: start.label, depth: 0 }];
        let mut seen: HashMap<String, usize> = HashMap::from([(id.to_owned(), 0)]);
        let mut edges: BTreeMap<String, Edge> = BTreeMap::new();
        let mut frontier = vec![id.to_owned()];
        for depth in 1..=query.depth.clamp(1, MAX_DEPTH) {
            let mut next = Vec::new();
            for some in frontier.chunks(BATCH) {
                let (found, cut) = self.edges_of(some).await?;
                truncated |= cut;
                let here: HashSet<&str> = some.iter().map(String::as_str).collect();
                let mut steps = Vec::new();
                let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for e in found {
                    if !query.kinds.is_empty() && !query.kinds.contains(&e.kind) {
                        continue;
                    }
                    let (from_source, from_destination) = query.walk.follows(impacts.get(&e.kind).copied().unwrap_or_default());
                    let ways = [(&e.from, &e.to, from_source), (&e.to, &e.from, from_destination)];
                    let Some((_, other, _)) = ways.iter().find(|(end, _, follows)| *follows && here.contains(end.1.as_str())) else {
                        continue;
                    };
                    let other = (*other).clone();
                    if !seen.contains_key(&other.1) {
                        asked.entry(other.0.clone()).or_default().insert(other.1.clone());
                    }
                    steps.push((other, e));
                }
                let mut labels: HashMap<String, String> = HashMap::new();
                for (model, ids) in asked {
                    if self.sees(who, &model) {
                        let ids: Vec<String> = ids.into_iter().collect();
                        labels.extend(self.labels(who, scope.as_deref(), &model, &ids).await?);
                    }
                }
                for ((model, id), e) in steps {
                    if !seen.contains_key(&id) {
                        // What the caller does not see is neither there nor walked through.
                        let Some(label) = labels.remove(&id) else { continue };
                        if nodes.len() >= most {
                            truncated = true;
                            continue;
                        }
                        seen.insert(id.clone(), nodes.len());
                        nodes.push(GraphNode { model, id: id.clone(), label, depth });
                        next.push(id);
                    }
                    edges.insert(e.id.clone(), e);
                }
            }
            if next.is_empty() {
                break;
            }
            frontier = next;
        }
        Ok(Graph { nodes, edges: edges.into_values().collect(), truncated })
    }

    /// Who suffers by each kind. Refuses names in `asked` that are no kind.
    async fn impacts(&self, asked: &[String]) -> Result<HashMap<String, Impact>, CmdbError> {
        let impacts: HashMap<String, Impact> = self.all_kinds().await?.into_iter().map(|k| (k.kind.name, k.kind.impact)).collect();
        for k in asked {
            if !impacts.contains_key(k) {
                let mut known: Vec<&str> = impacts.keys().map(String::as_str).collect();
                known.sort_unstable();
                let message = format!("there is no association kind {k}; use {}", known.join(", "));
                return Err(CmdbError::InvalidInstance { pointer: "/kind".into(), message });
            }
        }
        Ok(impacts)
    }

    async fn edges_of(&self, ids: &[String]) -> Result<(Vec<Edge>, bool), CmdbError> {
        let marks = vec!["?"; ids.len()].join(", ");
        let mut values: Vec<Value> = ids.iter().map(Value::from).collect();
        values.extend(params![MOST_EDGES].iter().cloned());
        let mut out = Vec::new();
        let mut cut = false;
        // One question for each index.
        for end in ["from_id", "to_id"] {
            let sql = format!("SELECT {COLUMNS} FROM cmdb_associations WHERE {end} IN ({marks}) ORDER BY id LIMIT ?");
            let rows = self.db.fetch_all(&sql, &values).await?;
            cut |= rows.len() as i64 == MOST_EDGES;
            for r in &rows {
                out.push(read(r)?);
            }
        }
        Ok((out, cut))
    }
}
