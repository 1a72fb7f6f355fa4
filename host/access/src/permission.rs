//! What can be allowed, and the roles that allow it.

use serde::{Deserialize, Serialize};

/// The roles of people. Each contains the ones after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but secrets, users and the audit log.
    Viewer,
    /// Also changes records, runs jobs and workflows, uses plugins.
    Operator,
    /// Also installs and grants plugins, manages nodes, users, models and tokens, reads the audit log.
    Administrator,
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $role:ident;)*) => {
        /// One thing that somebody may be allowed to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Permission { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Permission] = &[$(Permission::$variant,)*];

            /// The name in manifests, the API and the audit log.
            pub fn name(self) -> &'static str {
                match self { $(Permission::$variant => $name,)* }
            }

            /// The least role that has it.
            pub fn least_role(self) -> Role {
                match self { $(Permission::$variant => Role::$role,)* }
            }
        }
    };
}

permissions! {
    /// Read models, instances, associations, history. Plugin scope: `models`.
    CmdbRead = "cmdb.read", Viewer;
    /// Create, change, delete instances and associations. Plugin scope: `models`.
    CmdbWrite = "cmdb.write", Operator;
    /// Create, change, delete models.
    CmdbModel = "cmdb.model", Administrator;
    /// Reveal a value of a secret attribute, one at a time, with a reason. Plugin scope: `models`.
    CmdbSecret = "cmdb.secret", Administrator;
    /// Read executions, results and output. Plugins without scope read only their own.
    JobsRead = "jobs.read", Viewer;
    /// Run scripts on nodes, and cancel.
    JobsRun = "jobs.run", Operator;
    /// Change the rules for scripts and the accounts that they run as.
    JobsManage = "jobs.manage", Administrator;
    /// Read nodes and their state.
    NodesRead = "nodes.read", Viewer;
    /// Enrol, revoke, rename nodes.
    NodesManage = "nodes.manage", Administrator;
    /// Read definitions and runs. Plugins read their own.
    WorkflowRead = "workflow.read", Viewer;
    /// Start, cancel runs. Plugins run their own workflows.
    WorkflowRun = "workflow.run", Operator;
    /// Create, change, delete definitions.
    WorkflowWrite = "workflow.write", Operator;
    /// See the catalog and what is installed.
    PluginsRead = "plugins.read", Viewer;
    /// Open a plugin's pages and send it reading requests (GET, HEAD).
    PluginsView = "plugins.view", Viewer;
    /// Send a plugin changing requests and call its actions. Plugin scope: `actions`.
    PluginsUse = "plugins.use", Operator;
    /// Install, grant, configure, disable, uninstall.
    PluginsManage = "plugins.manage", Administrator;
    /// The plugin's own document collections. For plugins only; people have it so that a plugin can use it for them.
    Store = "store", Viewer;
    /// Publish events. Plugin scope: `types`.
    EventsPublish = "events.publish", Viewer;
    /// Read the event stream. Plugin scope: `types`.
    EventsRead = "events.read", Viewer;
    /// Requests to the outside. Plugin scope: `hosts`.
    HttpOutgoing = "http.outgoing", Viewer;
    /// Tell people something. For plugins; people have it so that a plugin can do it for them. Plugin scope: `users`, `roles`.
    NotifySend = "notify.send", Viewer;
    /// Manage users, roles and their tokens.
    UsersManage = "users.manage", Administrator;
    /// Read the audit log.
    AuditRead = "audit.read", Administrator;
}

impl Permission {
    /// By name, as in a manifest.
    pub fn from_name(name: &str) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|p| p.name() == name)
    }
}

impl Role {
    /// Whether the role has the permission.
    pub fn allows(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }

    /// `administrator`, `operator`, `viewer`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Administrator => "administrator",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Role> {
        [Role::Viewer, Role::Operator, Role::Administrator].into_iter().find(|r| r.name() == name)
    }
}
