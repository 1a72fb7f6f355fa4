//! Who acts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::grant::Grant;
use crate::permission::Role;

/// Who acts. Every service call takes one.
#[derive(Debug, Clone)]
pub enum Principal {
    /// A person, by session or API token.
    User(UserPrincipal),
    /// A plugin, within its grant; for a user when it answers that user's request, for nobody on a schedule or an event.
    Plugin(PluginPrincipal),
    /// A node's agent: it reports about its own node and nothing else.
    Agent {
        /// The node's id.
        node: String,
    },
    /// The platform itself (discovery, retention). Carries the part's name for the audit log.
    System(&'static str),
}

/// A signed-in person.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct UserPrincipal {
    /// User id.
    pub id: String,
    /// Login name.
    pub name: String,
    /// What the person may do.
    pub role: Role,
}

/// A plugin at work.
#[derive(Debug, Clone)]
pub struct PluginPrincipal {
    /// Plugin id, `inspection-center`.
    pub id: String,
    /// What an administrator granted.
    pub grant: Arc<Grant>,
    /// The user on whose behalf it acts. It can then do what both may do.
    pub on_behalf: Option<UserPrincipal>,
}

/// Storable form of a principal: what a run or a schedule keeps so that it can act later as who started it. A plugin's
/// grant is not kept: it is looked up again when the run goes on, so that a revoked grant ends its power.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    User(UserPrincipal),
    /// A plugin, for a user or on its own.
    Plugin {
        /// Plugin id.
        id: String,
        /// The user on whose behalf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on_behalf: Option<UserPrincipal>,
    },
    /// A node's agent.
    Agent {
        /// The node's id.
        node: String,
    },
    /// The platform itself.
    System {
        /// The part's name.
        part: String,
    },
}

impl Principal {
    /// The storable form.
    pub fn actor(&self) -> Actor {
        match self {
            Principal::User(u) => Actor::User(u.clone()),
            Principal::Plugin(p) => Actor::Plugin { id: p.id.clone(), on_behalf: p.on_behalf.clone() },
            Principal::Agent { node } => Actor::Agent { node: node.clone() },
            Principal::System(part) => Actor::System { part: (*part).to_owned() },
        }
    }

    /// The user behind the call, if there is one.
    pub fn user(&self) -> Option<&UserPrincipal> {
        match self {
            Principal::User(u) => Some(u),
            Principal::Plugin(p) => p.on_behalf.as_ref(),
            _ => None,
        }
    }

    /// The plugin that calls, if it is one.
    pub fn plugin(&self) -> Option<&PluginPrincipal> {
        match self {
            Principal::Plugin(p) => Some(p),
            _ => None,
        }
    }
}

impl std::fmt::Display for Actor {
    /// `alice`, `plugin inspection-center for alice`, `agent 0197...`, `system discovery`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::User(u) => f.write_str(&u.name),
            Actor::Plugin { id, on_behalf: Some(u) } => write!(f, "plugin {id} for {}", u.name),
            Actor::Plugin { id, on_behalf: None } => write!(f, "plugin {id}"),
            Actor::Agent { node } => write!(f, "agent {node}"),
            Actor::System { part } => write!(f, "system {part}"),
        }
    }
}
