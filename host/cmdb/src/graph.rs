//! What stands around an instance, what falls with it, and what it needs: walks over associations.

use std::collections::{BTreeMap, HashMap};

use plenum_access::Principal;
use plenum_store::{Value, params};
use serde::{Deserialize, Serialize};

use crate::associations::{Association, kind, read};
use crate::instances::{instance, missing};
use crate::model::collection;
use crate::scope::shown;
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
    fn follows(self, kind: &str) -> (bool, bool) {
        // Who suffers when the other end fails: of `contains` the destination, of `belongs_to` nobody, of all others the source.
        let (source_suffers, destination_suffers) = match kind {
            "runs_on" | "depends_on" | "connects_to" => (true, false),
            "contains" => (false, true),
            _ => (false, false),
        };
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
        self.may_read(who, model).await?;
        for k in &query.kinds {
            kind(k)?;
        }
        self.stored(model).await?;
        if self.docs.get(&collection(model), id).await?.is_none() {
            return Err(missing(model, id));
        }
        let most = if query.limit == 0 { MAX_NODES } else { query.limit.min(MAX_NODES) };
        let mut truncated = false;
        let mut nodes = vec![GraphNode { model: model.to_owned(), id: id.to_owned(), label: id.to_owned(), depth: 0 }];
        let mut seen: HashMap<String, usize> = HashMap::from([(id.to_owned(), 0)]);
        let mut edges: BTreeMap<String, Edge> = BTreeMap::new();
        let mut frontier = vec![id.to_owned()];
        for depth in 1..=query.depth.clamp(1, MAX_DEPTH) {
            let mut next = Vec::new();
            for some in frontier.chunks(BATCH) {
                let (found, cut) = self.edges_of(some).await?;
                truncated |= cut;
                for e in found {
                    if !query.kinds.is_empty() && !query.kinds.contains(&e.kind) {
                        continue;
                    }
                    let (from_source, from_destination) = query.walk.follows(&e.kind);
                    let here = [(&e.from, &e.to, from_source), (&e.to, &e.from, from_destination)];
                    let Some((_, (model, id), _)) = here.iter().find(|(end, _, follows)| *follows && some.contains(&end.1)) else {
                        continue;
                    };
                    if !seen.contains_key(id) {
                        if !self.sees(who, model) {
                            continue;
                        }
                        if nodes.len() >= most {
                            truncated = true;
                            continue;
                        }
                        seen.insert(id.clone(), nodes.len());
                        nodes.push(GraphNode { model: model.clone(), id: id.clone(), label: id.clone(), depth });
                        next.push(id.clone());
                    }
                    edges.insert(e.id.clone(), e);
                }
            }
            if next.is_empty() {
                break;
            }
            frontier = next;
        }
        self.label(who, &mut nodes).await?;
        Ok(Graph { nodes, edges: edges.into_values().collect(), truncated })
    }

    async fn edges_of(&self, ids: &[String]) -> Result<(Vec<Edge>, bool), CmdbError> {
        let marks = vec!["?"; ids.len()].join(", ");
        let mut values: Vec<Value> = ids.iter().map(Value::from).collect();
        values.extend(params![MOST_EDGES].iter().cloned());
        let mut out = Vec::new();
        let mut cut = false;
        // One question for each index.
        for end in ["from_id", "to_id"] {
            let sql = format!(
                "SELECT id, kind, from_model, from_id, to_model, to_id FROM cmdb_associations WHERE {end} IN ({marks}) ORDER BY id LIMIT ?"
            );
            let rows = self.db.fetch_all(&sql, &values).await?;
            cut |= rows.len() as i64 == MOST_EDGES;
            for r in &rows {
                out.push(read(r)?);
            }
        }
        Ok((out, cut))
    }

    async fn label(&self, who: &Principal, nodes: &mut [GraphNode]) -> Result<(), CmdbError> {
        let mut by_model: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
        for (i, n) in nodes.iter().enumerate() {
            by_model.entry(n.model.clone()).or_default().push((n.id.clone(), i));
        }
        for (model, of) in by_model {
            let m = self.stored(&model).await?.model;
            let at: HashMap<&str, usize> = of.iter().map(|(id, i)| (id.as_str(), *i)).collect();
            let ids: Vec<String> = of.iter().map(|(id, _)| id.clone()).collect();
            for some in ids.chunks(BATCH) {
                for d in self.docs.get_many(&collection(&model), some).await? {
                    let i = shown(who, &m, instance(&m, d));
                    if let Some(n) = at.get(i.id.as_str()).and_then(|i| nodes.get_mut(*i)) {
                        n.label = i.label;
                    }
                }
            }
        }
        Ok(())
    }
}
