//! What jobs need of the CMDB: records that lead to nodes, and a place for what agents find.
//!
//! A trait, so that the rules of jobs are tested without the CMDB's.

use std::collections::BTreeSet;

use async_trait::async_trait;
use plenum_access::{AccessError, Denied, Permission, Principal};
use plenum_cmdb::facts::NodeFacts;
use plenum_cmdb::{Cmdb, CmdbError, Instance, Query};

use crate::JobsError;
use crate::model::InstanceRef;

/// A record that may lead to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The record.
    pub instance: InstanceRef,
    /// For people.
    pub label: String,
    /// The node of its host, when the host has an agent.
    pub node_id: Option<String>,
}

/// The CMDB as jobs see it.
#[async_trait]
pub trait Inventory: Send + Sync + 'static {
    /// Records of a model that match a filter, as `who` may see them. More than `limit` is an error of the caller's to report: one more is answered.
    async fn select(&self, who: &Principal, model: &str, cel: &str, limit: usize) -> Result<Vec<Found>, JobsError>;
    /// One record.
    async fn get(&self, who: &Principal, instance: &InstanceRef) -> Result<Found, JobsError>;
    /// Those of `nodes` whose host matches any of the filters, whoever asks: they are an administrator's, and not the caller's.
    async fn within(&self, nodes: &[&str], filters: &[String]) -> Result<BTreeSet<String>, JobsError>;
    /// Those of the nodes on which `who` may not run anything, since the records of their hosts are not in reach to be changed.
    async fn out_of_reach(&self, who: &Principal, nodes: &[String]) -> Result<Vec<String>, JobsError> {
        let _ = (who, nodes);
        Ok(Vec::new())
    }
    /// Hosts by name or address, in lower case: which word led to which.
    async fn by_address(&self, who: &Principal, words: &[String]) -> Result<Vec<(String, Found)>, JobsError>;
    /// Takes what a node's agent found; answers the node's `host` instance.
    async fn facts(&self, node_id: &str, facts: serde_json::Value) -> Result<Option<String>, JobsError>;
    /// Notes on a node's `host` instance whether its agent is connected.
    async fn status(&self, node_id: &str, online: bool) -> Result<(), JobsError>;
}

/// Rows asked for at once.
const PAGE: u32 = 1000;
/// Nodes that one filter names.
const NODES: usize = 50;

impl From<CmdbError> for JobsError {
    fn from(e: CmdbError) -> Self {
        match e {
            CmdbError::Access(a) => JobsError::Access(a),
            e => JobsError::Cmdb { code: e.code(), message: e.to_string() },
        }
    }
}

/// The record with its node. Which node a record's host has is no more than where the caller may run already, so no further check is asked.
async fn found(cmdb: &Cmdb, who: &Principal, i: Instance) -> Result<Found, JobsError> {
    let own = i.attributes.get("node_id").and_then(|v| v.as_str()).filter(|n| !n.is_empty()).map(str::to_owned);
    let node_id = match own {
        Some(n) => Some(n),
        // It may be there, and not for the caller's eyes.
        None if i.model == "host" && !plenum_cmdb::sees_a_part(who) => None,
        None => cmdb.node_of(&i.model, &i.id).await?,
    };
    Ok(Found { instance: InstanceRef { model: i.model, id: i.id }, label: i.label, node_id })
}

#[async_trait]
impl Inventory for Cmdb {
    async fn select(&self, who: &Principal, model: &str, cel: &str, limit: usize) -> Result<Vec<Found>, JobsError> {
        let filter = Some(cel.trim().to_owned()).filter(|c| !c.is_empty());
        let mut query = Query { filter, limit: PAGE, ..Query::default() };
        let mut out = Vec::new();
        loop {
            let page = self.list(who, model, &query).await?;
            // A record that may be seen and not changed is no target.
            let ids: Vec<String> = page.items.iter().map(|i| i.id.clone()).collect();
            let may = self.changeable(who, model, &ids).await?;
            for i in page.items.into_iter().filter(|i| may.contains(&i.id)) {
                out.push(found(self, who, i).await?);
            }
            match page.next_cursor {
                Some(next) if out.len() <= limit => query.cursor = Some(next),
                _ => return Ok(out),
            }
        }
    }

    async fn get(&self, who: &Principal, instance: &InstanceRef) -> Result<Found, JobsError> {
        let i = Cmdb::get(self, who, &instance.model, &instance.id).await?;
        if !self.changeable(who, &instance.model, std::slice::from_ref(&instance.id)).await?.contains(&instance.id) {
            let reason =
                format!("your data roles let you see {} and not change it, so nothing runs on it for you; ask an administrator", i.label);
            return Err(AccessError::Denied(Denied { permission: Permission::JobsRun, reason }).into());
        }
        found(self, who, i).await
    }

    async fn within(&self, nodes: &[&str], filters: &[String]) -> Result<BTreeSet<String>, JobsError> {
        let who = Principal::System("jobs");
        let mut out = BTreeSet::new();
        for some in nodes.chunks(NODES) {
            let listed = serde_json::json!(some);
            for f in filters {
                // A list in a filter is bounded, and so is the filter: the nodes are few at a time.
                let query = Query { filter: Some(format!("node_id in {listed} && ({f})")), limit: PAGE, ..Query::default() };
                let page = self.list(&who, "host", &query).await?;
                out.extend(page.items.iter().filter_map(|i| i.attributes.get("node_id").and_then(|v| v.as_str()).map(str::to_owned)));
            }
        }
        Ok(out)
    }

    async fn out_of_reach(&self, who: &Principal, nodes: &[String]) -> Result<Vec<String>, JobsError> {
        Ok(self.nodes_out_of_reach(who, nodes).await?)
    }

    async fn by_address(&self, who: &Principal, words: &[String]) -> Result<Vec<(String, Found)>, JobsError> {
        let mut out = Vec::new();
        // A filter has at most 200 terms, and a word takes two.
        for piece in words.chunks(50) {
            let names = piece.iter().map(|w| serde_json::json!(w).to_string()).collect::<Vec<_>>();
            let mut filter = format!("hostname in [{}]", names.join(", "));
            for n in names.iter().zip(piece).filter(|(_, w)| w.contains(['.', ':'])).map(|(n, _)| n) {
                filter.push_str(&format!(" || {n} in addresses"));
            }
            let query = Query { filter: Some(filter), limit: PAGE, ..Query::default() };
            for i in self.list(who, "host", &query).await?.items {
                let text = |key: &str| i.attributes.get(key).and_then(|v| v.as_str()).map(str::to_lowercase);
                let mut keys: Vec<String> = text("hostname").into_iter().collect();
                let addresses = i.attributes.get("addresses").and_then(|v| v.as_array());
                keys.extend(addresses.into_iter().flatten().filter_map(|a| a.as_str()).map(str::to_lowercase));
                let f = found(self, who, i).await?;
                out.extend(keys.into_iter().filter(|k| piece.contains(k)).map(|k| (k, f.clone())));
            }
        }
        Ok(out)
    }

    async fn facts(&self, node_id: &str, facts: serde_json::Value) -> Result<Option<String>, JobsError> {
        let bad = |e: serde_json::Error| {
            JobsError::invalid("jobs.bad_facts", "/facts", format!("the agent's facts have another shape than is known: {e}"))
        };
        let facts: NodeFacts = serde_json::from_value(facts).map_err(bad)?;
        let who = Principal::Agent { node: node_id.to_owned() };
        Ok(Some(self.reconcile(&who, node_id, facts).await?.host.id))
    }

    async fn status(&self, node_id: &str, online: bool) -> Result<(), JobsError> {
        let who = Principal::Agent { node: node_id.to_owned() };
        self.set_node_status(&who, node_id, if online { "online" } else { "offline" }).await?;
        Ok(())
    }
}
