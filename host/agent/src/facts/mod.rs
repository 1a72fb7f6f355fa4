//! What the agent finds on its machine, in the words of the CMDB: `{"node": {attributes of host}, "services": [{"model": ..., ...}]}`.
//!
//! Read from `/proc`, `/sys` and `statvfs`; nothing is installed, no other program is asked except a found service for its version.

mod node;
mod services;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use plenum_agent_protocol::v1;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use node::{Disk, Interface, Mount, Node};
pub use services::Service;

use crate::enrol::Machine;

/// Facts ready to be sent.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The message.
    pub message: v1::Facts,
    /// Equal for two looks between which nothing worth telling has changed.
    pub identity: [u8; 32],
}

#[derive(Serialize)]
struct Document<'a> {
    node: &'a Node,
    services: &'a [Service],
}

/// Looks at the machine. Keeps the versions of programs that it has asked.
#[derive(Debug)]
pub struct Collector {
    machine: Option<Machine>,
    // In a simulated fleet one look serves many agents.
    shared_for: Duration,
    last: Mutex<Option<(Instant, Node, Vec<Service>)>>,
    versions: services::Versions,
}

impl Collector {
    /// Looks at this machine as it is.
    #[must_use]
    pub fn new() -> Self {
        Self { machine: None, shared_for: Duration::ZERO, last: Mutex::new(None), versions: services::Versions::default() }
    }

    /// Looks at this machine and gives it another name: an agent of a simulated fleet.
    #[must_use]
    pub fn simulated(machine: Machine) -> Self {
        Self { machine: Some(machine), ..Self::new() }
    }

    /// Name and machine id.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.machine.clone().unwrap_or_else(node::machine)
    }

    /// Takes over what another collector has just found, so that two hundred simulated agents do not read `/proc` two hundred times.
    pub fn share(&mut self, from: &Self) {
        *self.last.get_mut().unwrap_or_else(PoisonError::into_inner) = from.look().map(|(node, services)| (Instant::now(), node, services));
        self.shared_for = Duration::from_secs(600);
    }

    fn look(&self) -> Option<(Node, Vec<Service>)> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(at, ..)| at.elapsed() >= self.shared_for) {
            *last = Some((Instant::now(), node::look(), services::look(&self.versions)));
        }
        let (node, services) = last.as_ref().map(|(_, node, services)| (node.clone(), services.clone()))?;
        if self.shared_for.is_zero() {
            // Kept for sharing only: the next look is five minutes away.
            *last = None;
        }
        Some((node, services))
    }

    /// Looks now. Blocks for some milliseconds; longer when a service is slow to say its version.
    #[must_use]
    pub fn collect(&self, node_id: &str) -> Facts {
        let (mut node, services) = self.look().unwrap_or_default();
        node_id.clone_into(&mut node.node_id);
        if let Some(machine) = &self.machine {
            node.hostname.clone_from(&machine.hostname);
            node.machine_id = Some(machine.machine_id.clone());
            // Or all agents of a fleet would be taken for one machine.
            node.serial = None;
            node.addresses.clear();
            node.interfaces.clear();
        }
        let json = encode(&node, &services);
        let digest = hex::encode(Sha256::digest(&json));
        // Disks fill byte by byte: a change of less than a hundredth is not news.
        for mount in &mut node.mounts {
            let step = (mount.size_bytes.unwrap_or(0) / 100).max(1);
            mount.used_bytes = mount.used_bytes.map(|used| used / step);
        }
        let identity = Sha256::digest(encode(&node, &services)).into();
        Facts { message: v1::Facts { json: json.into(), digest }, identity }
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

fn encode(node: &Node, services: &[Service]) -> Vec<u8> {
    // Strings and numbers only: nothing in it can fail to be JSON.
    serde_json::to_vec(&Document { node, services }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use serde_json::Value;

    #[test]
    fn this_machine_has_the_facts_that_every_machine_has() {
        let facts = Collector::new().collect("n1");
        let json: Value = serde_json::from_slice(&facts.message.json).unwrap();
        let node = &json["node"];
        assert_eq!(node["node_id"], "n1");
        for name in ["hostname", "kernel", "arch", "os_id", "boot_time", "timezone", "virtualisation", "agent_version"] {
            assert!(node[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {node:#}");
        }
        assert!(node["cpu_count"].as_u64().unwrap() > 0);
        assert!(node["memory_bytes"].as_u64().unwrap() > 1 << 20);
        assert!(json["services"].is_array());
    }

    #[test]
    fn a_simulated_machine_is_another_machine() {
        let base = Collector::new();
        let mut one = Collector::simulated(Machine { hostname: "sim-1".into(), machine_id: "aa".into() });
        one.share(&base);
        let json: Value = serde_json::from_slice(&one.collect("n2").message.json).unwrap();
        assert_eq!(json["node"]["hostname"], "sim-1");
        assert_eq!(json["node"]["machine_id"], "aa");
        assert!(json["node"].get("serial").is_none());
    }
}
