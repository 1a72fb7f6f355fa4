//! How far a plugin's `jobs.run` reaches: which scripts, as whom, on which hosts. People's rights have no such scopes.

use plenum_access::{Denied, Permission, Principal};
use sha2::{Digest, Sha256};

use crate::model::{PlannedTarget, RunRequest};
use crate::{Inner, JobsError};

/// The agent's own account, as a scope names it: no account can be called so.
pub const AGENTS_OWN: &str = "@agent";

/// What a scope's `scripts` names a script by: who changes it has another one.
pub fn script_name(content: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

impl Inner {
    /// Asks the one check: for each model that is targeted (a node named directly counts as `host`), for the script and for the account.
    pub(crate) async fn require_run(&self, who: &Principal, request: &RunRequest) -> Result<(), JobsError> {
        let targets = &request.targets;
        let mut models: Vec<&str> = targets.instances.iter().map(|i| i.model.as_str()).collect();
        models.extend(targets.filter.iter().map(|f| f.model.as_str()));
        if !targets.nodes.is_empty() || !targets.addresses.is_empty() {
            models.push("host");
        }
        // What an earlier execution ran on is asked again: as what it was targeted then.
        let earlier = match &targets.earlier {
            Some(asked) => {
                // Who may not run at all learns nothing of what ran.
                self.access.require(who, Permission::JobsRun, &[]).await?;
                self.visible(who, &asked.execution).await?;
                self.earlier(asked).await?
            }
            None => Vec::new(),
        };
        for (_, instances, _) in &earlier {
            if instances.is_empty() {
                models.push("host");
            }
            models.extend(instances.iter().map(|i| i.model.as_str()));
        }
        models.sort_unstable();
        models.dedup();
        let mut touches: Vec<(&str, &str)> = models.into_iter().map(|m| ("models", m)).collect();
        let (script, user);
        if who.plugin().is_some() {
            script = script_name(&request.script.content);
            user = request.user.as_deref().filter(|u| !u.is_empty()).unwrap_or(AGENTS_OWN);
            touches.extend([("scripts", script.as_str()), ("users", user)]);
        }
        Ok(self.access.require(who, Permission::JobsRun, &touches).await?)
    }

    /// Whether every target is a host that the grant's `targets` let the plugin run on. One that is not refuses all: half a run would look
    /// like a whole one.
    pub(crate) async fn require_hosts(&self, who: &Principal, planned: &[PlannedTarget]) -> Result<(), JobsError> {
        let Some(plugin) = who.plugin() else { return Ok(()) };
        let scope = plugin.grant.permissions.get(Permission::JobsRun.name());
        let Some(filters) = scope.and_then(|s| s.0.get("targets")) else { return Ok(()) };
        let nodes: Vec<&str> = planned.iter().map(|t| t.node_id.as_str()).collect();
        let within = self.inventory.within(&nodes, filters).await?;
        let Some(beyond) = planned.iter().find(|t| !within.contains(&t.node_id)) else { return Ok(()) };
        let reason = format!(
            "plugin {} may run jobs on hosts with {} only, and {} is none of them; narrow the targets, or in plugin.toml, under [[permissions]] \
             name = \"jobs.run\", widen targets in its scope; then have an administrator grant it",
            plugin.id,
            filters.join(" or "),
            beyond.node_name
        );
        let denied = Denied { permission: Permission::JobsRun, reason };
        Err(self.access.refuse(who, denied, &[("targets", &beyond.node_name)]).await.into())
    }
}
