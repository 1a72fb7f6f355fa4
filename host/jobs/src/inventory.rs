//! What jobs need of the CMDB: records that lead to nodes, and a place for what agents find.
//!
//! A trait, so that the rules of jobs are tested without the CMDB's.

use async_trait::async_trait;
use plenum_access::Principal;

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
    /// Takes what a node's agent found; answers the node's `host` instance.
    async fn facts(&self, node_id: &str, facts: serde_json::Value) -> Result<Option<String>, JobsError>;
    /// Notes whether the agent of a `host` instance is connected.
    async fn status(&self, host_instance: &str, online: bool) -> Result<(), JobsError>;
}
