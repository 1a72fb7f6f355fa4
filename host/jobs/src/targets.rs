//! From what a request names to the nodes it means.

use std::collections::BTreeMap;
use std::collections::{HashMap, HashSet};

use plenum_access::{Permission, Principal};

use crate::inventory::Found;
use crate::model::*;
use crate::plan::{self, MAX_TARGETS};
use crate::{Inner, Jobs, JobsError, sql};

pub(crate) struct Resolved {
    pub targets: Vec<PlannedTarget>,
    pub unreachable: Vec<Unreachable>,
    pub unmatched: Vec<Unmatched>,
}

impl Inner {
    pub(crate) async fn resolve(&self, who: &Principal, targets: &Targets) -> Result<Resolved, JobsError> {
        let mut found: Vec<Found> = Vec::new();
        if let Some(f) = &targets.filter {
            found = self.inventory.select(who, &f.model, &f.cel, MAX_TARGETS).await?;
            if found.len() > MAX_TARGETS {
                return Err(plan::too_many(found.len()));
            }
        }
        for i in &targets.instances {
            found.push(self.inventory.get(who, i).await?);
        }
        let (pasted, unmatched) = match targets.addresses.is_empty() {
            true => Default::default(),
            false => self.pasted(who, &targets.addresses).await?,
        };
        let mut order: Vec<String> = Vec::new();
        let mut by_node: HashMap<String, (Vec<InstanceRef>, BTreeMap<String, String>)> = HashMap::new();
        let mut unreachable = Vec::new();
        let without =
            |f: &Found, reason: &str| Unreachable { instance: f.instance.clone(), label: f.label.clone(), reason: reason.to_owned() };
        for n in &targets.nodes {
            if by_node.insert(n.node_id.clone(), (Vec::new(), n.env.clone())).is_some() {
                return Err(JobsError::invalid(
                    "jobs.duplicate_target",
                    "/targets/nodes",
                    format!("node {} is listed twice; a node is one target: put both into one script, or make two executions", n.node_id),
                ));
            }
            order.push(n.node_id.clone());
        }
        for f in &found {
            let Some(node) = &f.node_id else {
                unreachable.push(without(f, "its host has no agent; enrol one on it"));
                continue;
            };
            let entry = by_node.entry(node.clone()).or_insert_with(|| {
                order.push(node.clone());
                Default::default()
            });
            if !entry.0.contains(&f.instance) {
                entry.0.push(f.instance.clone());
            }
        }
        for node in pasted {
            by_node.entry(node.clone()).or_insert_with(|| {
                order.push(node);
                Default::default()
            });
        }
        if let Some(asked) = &targets.earlier {
            self.visible(who, &asked.execution).await?;
            for (node, instances, _) in self.earlier(asked).await? {
                let entry = by_node.entry(node.clone()).or_insert_with(|| {
                    order.push(node);
                    Default::default()
                });
                for i in instances {
                    if !entry.0.contains(&i) {
                        entry.0.push(i);
                    }
                }
            }
        }
        if order.len() > MAX_TARGETS {
            return Err(plan::too_many(order.len()));
        }
        let known = sql::node_names(&self.db, &order).await?;
        // Whatever led there: what runs on a node can do anything to its host.
        let out_of_reach = self.inventory.out_of_reach(who, &order).await?;
        let named: HashSet<&str> = targets.nodes.iter().map(|n| n.node_id.as_str()).collect();
        let mut planned = Vec::with_capacity(order.len());
        for node_id in order {
            let Some((instances, env)) = by_node.remove(&node_id) else { continue };
            let listed = named.contains(node_id.as_str());
            if out_of_reach.contains(&node_id) {
                if listed {
                    return Err(JobsError::NotFound { what: "node", id: node_id });
                }
                let here = found.iter().filter(|f| f.node_id.as_ref() == Some(&node_id));
                unreachable
                    .extend(here.map(|f| without(f, "its host is not among what your data roles let you change; ask an administrator")));
                continue;
            }
            match known.get(&node_id) {
                Some((_, NodeState::Revoked)) if listed => return Err(JobsError::NodeRevoked(node_id)),
                None if listed => return Err(JobsError::NotFound { what: "node", id: node_id }),
                Some((name, state)) if *state != NodeState::Revoked => {
                    planned.push(PlannedTarget { node_id, node_name: name.clone(), state: *state, instances, env });
                }
                _ => {
                    if instances.is_empty() || !found.iter().any(|f| f.node_id.as_ref() == Some(&node_id)) {
                        let instance = InstanceRef { model: "node".to_owned(), id: node_id.clone() };
                        let label = known.get(&node_id).map_or_else(|| node_id.clone(), |(name, _)| name.clone());
                        let reason = "its agent is revoked or unknown by now; enrol the machine again".to_owned();
                        unreachable.push(Unreachable { instance, label, reason });
                    }
                    let gone = found.iter().filter(|f| f.node_id.as_ref() == Some(&node_id));
                    unreachable.extend(gone.map(|f| without(f, "the agent of its host is revoked or unknown; enrol the host again")));
                }
            }
        }
        Ok(Resolved { targets: planned, unreachable, unmatched })
    }
}

impl Jobs {
    /// What targets come to, before anything runs.
    pub async fn preview(&self, who: &Principal, targets: &Targets) -> Result<Preview, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsRead, &[]).await?;
        let r = inner.resolve(who, targets).await?;
        let mut unreachable = r.unreachable;
        unreachable.truncate(50);
        let unmatched_total = r.unmatched.len();
        let unmatched = r.unmatched.into_iter().take(500).collect();
        Ok(Preview { total: r.targets.len(), items: r.targets.into_iter().take(50).collect(), unreachable, unmatched, unmatched_total })
    }
}
