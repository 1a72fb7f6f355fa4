//! An execution again, on some of its targets, and the chain that comes of it.

use std::collections::BTreeMap;

use plenum_access::{Permission, Principal};
use plenum_store::params;

use crate::model::*;
use crate::{Jobs, JobsError, sql};

/// Executions of a chain that are shown.
const MAX_CHAIN: u32 = 100;

impl Jobs {
    /// The same script on targets of an execution that ended badly, or on chosen ones, as an execution of its own that is linked with it.
    pub async fn retry(&self, who: &Principal, id: &str, retry: RetryRequest) -> Result<Execution, JobsError> {
        self.inner.access.require(who, Permission::JobsRun, &[]).await?;
        let old = self.inner.visible(who, id).await?;
        let statuses = match (retry.statuses.as_slice(), retry.nodes.as_slice()) {
            ([], []) => RETRIED.to_vec(),
            (chosen, _) => chosen.to_vec(),
        };
        // Values of an environment are not kept, so whoever wants it again has to give them again.
        let mut missing: Vec<String> = old.env.iter().filter(|name| !retry.env.contains_key(*name)).cloned().collect();
        let own = EarlierTargets { execution: id.to_owned(), statuses, nodes: retry.nodes };
        missing.extend(self.inner.earlier_env(&own).await?.into_iter().filter(|name| !retry.env.contains_key(name)));
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let message = format!("the values of {} are not kept; give them again, also the empty ones", missing.join(", "));
            return Err(JobsError::invalid("jobs.env_needed", "/env", message));
        }
        let request = RunRequest {
            name: old.name,
            script: old.script,
            args: old.args,
            env: retry.env,
            user: old.user,
            cwd: old.cwd,
            timeout_s: Some(old.timeout_s),
            wait_s: Some(old.wait_s),
            targets: Targets { earlier: Some(own), ..Targets::default() },
            concurrency: Some(old.concurrency).filter(|c| *c > 0),
            strategy: old.strategy,
            output_limit: Some(old.output_limit),
            key: retry.key,
            // A workflow's run has nothing to do with what somebody repeats of it by hand later, but the chain leads there.
            origin: None,
            retry_of: Some(id.to_owned()),
        };
        self.run(who, request).await
    }

    /// The executions that repeat each other, with this one among them, oldest first; at most 100.
    pub async fn chain(&self, who: &Principal, id: &str) -> Result<Vec<Execution>, JobsError> {
        let inner = &self.inner;
        inner.visible(who, id).await?;
        let row = inner.db.fetch_optional("SELECT COALESCE(chain, id) AS root FROM job_executions WHERE id = ?", params![id]).await?;
        let root = row.map(|r| r.text("root")).transpose()?.unwrap_or_else(|| id.to_owned());
        let sql = format!("SELECT {} FROM job_executions WHERE chain = ? OR id = ? ORDER BY id LIMIT ?", sql::EXECUTION);
        let rows = inner.db.fetch_all(&sql, params![&root, &root, MAX_CHAIN]).await?;
        let mut items = rows.iter().map(sql::execution).collect::<Result<Vec<_>, _>>()?;
        if let Some(plugin) = crate::Inner::own_only(who) {
            items.retain(|e| e.plugin.as_deref() == Some(&plugin));
        }
        sql::summaries(&inner.db, &mut items).await?;
        Ok(items)
    }
}

/// How targets ended that a retry takes when it is not told which.
const RETRIED: &[TargetStatus] =
    &[TargetStatus::Failed, TargetStatus::TimedOut, TargetStatus::Lost, TargetStatus::Rejected, TargetStatus::Cancelled];

/// Node, its instances, names of its own environment, and how it ended.
pub(crate) type Earlier = (String, Vec<InstanceRef>, Vec<String>);

impl crate::Inner {
    /// Targets of an earlier execution that have ended as is asked, in their order. Whoever asks has been checked.
    pub(crate) async fn earlier(&self, asked: &EarlierTargets) -> Result<Vec<Earlier>, JobsError> {
        let chosen: BTreeMap<&str, ()> = asked.nodes.iter().map(|n| (n.as_str(), ())).collect();
        let sql = format!("SELECT {} FROM job_targets WHERE execution_id = ? ORDER BY ordinal", sql::TARGET);
        let at = self.progress(&asked.execution).await?;
        let mut out = Vec::new();
        let mut open = Vec::new();
        for r in self.db.fetch_all(&sql, params![&asked.execution]).await? {
            let t = sql::target(&r, &at)?;
            let wanted = chosen.contains_key(t.node_id.as_str());
            if wanted && !t.status.is_final() {
                open.push(t.node_name);
            } else if wanted || (t.status.is_final() && asked.statuses.contains(&t.status)) {
                out.push((t.node_id, t.instances, t.env));
            }
        }
        if let Some(first) = open.first() {
            let message = format!("{first} has not ended; wait for its end or cancel it ({} such)", open.len());
            return Err(JobsError::invalid("jobs.not_ended", "/targets/earlier/nodes", message));
        }
        Ok(out)
    }

    async fn earlier_env(&self, asked: &EarlierTargets) -> Result<Vec<String>, JobsError> {
        Ok(self.earlier(asked).await?.into_iter().flat_map(|(_, _, env)| env).collect())
    }

    pub(crate) async fn progress(&self, id: &str) -> Result<Progress, JobsError> {
        let row = self.db.fetch_optional(&format!("SELECT {} FROM job_executions WHERE id = ?", sql::EXECUTION), params![id]).await?;
        let row = row.ok_or_else(|| JobsError::NotFound { what: "execution", id: id.to_owned() })?;
        Ok(sql::execution(&row)?.progress)
    }
}
