//! The rules on one request: which count for it, and what they say.

use std::collections::{BTreeMap, BTreeSet};

use plenum_access::{Permission, Principal, Role};
use serde::{Deserialize, Serialize};

use super::{Compiled, Finding, Level, Look, look};
use crate::model::{Language, PlannedTarget, RunRequest, Script, Targets};
use crate::plan::MAX_SCRIPT;
use crate::{Inner, Jobs, JobsError};

/// Values of a variable that are looked at: more are as good as unknown.
const MOST_VALUES: usize = 9;

/// A script that somebody thinks of running.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The script.
    pub script: Script,
    /// Arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Where; none: rules for some targets count.
    #[serde(default)]
    pub targets: Option<Targets>,
}

/// What the rules say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The worst of the findings; none when there are none.
    pub level: Option<Level>,
    /// Worst first; at most 100.
    pub findings: Vec<Finding>,
    /// The least role that may approve, when that is needed.
    #[serde(skip)]
    pub approver: Option<Role>,
}

/// What a verdict is asked about, owned: it is worked out beside the tasks that wait for each other.
pub(crate) struct Asked {
    pub language: Language,
    pub script: String,
    pub args: Vec<String>,
    pub env: BTreeMap<String, Vec<String>>,
    pub cwd: Option<String>,
}

impl Asked {
    pub fn of(request: &RunRequest, planned: &[PlannedTarget]) -> Asked {
        let mut env: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        for (name, value) in request.env.iter().chain(planned.iter().flat_map(|t| t.env.iter())) {
            let values = env.entry(name.clone()).or_default();
            if values.len() < MOST_VALUES {
                values.insert(value);
            }
        }
        Asked {
            language: request.script.language,
            script: request.script.content.clone(),
            args: request.args.clone(),
            env: env.into_iter().map(|(n, v)| (n, v.into_iter().cloned().collect())).collect(),
            cwd: request.cwd.clone(),
        }
    }
}

impl Inner {
    /// What the rules that count for `who` on these nodes say; without nodes rules for some targets count.
    pub(crate) async fn verdict(&self, who: &Principal, asked: Asked, nodes: Option<&[PlannedTarget]>) -> Result<Verdict, JobsError> {
        let role = who.user().map(|u| u.role);
        let ids: Option<Vec<&str>> = nodes.map(|n| n.iter().map(|t| t.node_id.as_str()).collect());
        let mut counting: Vec<Compiled> = Vec::new();
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        for c in self.rules.all().iter().filter(|c| c.rule.enabled) {
            let rule = &c.rule;
            if role.is_some_and(|r| !rule.roles.is_empty() && !rule.roles.contains(&r)) {
                continue;
            }
            if let Some(ids) = ids.as_ref().filter(|_| !rule.targets.is_empty()) {
                let counts = match known.get(&rule.targets) {
                    Some(counts) => *counts,
                    None => {
                        let counts = match self.inventory.within(ids, std::slice::from_ref(&rule.targets)).await {
                            Ok(found) => !found.is_empty(),
                            // A filter that the CMDB does not understand any more must not open a door.
                            Err(error) => {
                                tracing::warn!(rule = %rule.id, %error, "the filter of a rule for scripts cannot be asked, so the rule counts everywhere");
                                true
                            }
                        };
                        known.insert(rule.targets.clone(), counts);
                        counts
                    }
                };
                if !counts {
                    continue;
                }
            }
            counting.push(c.clone());
        }
        let _turn = self.looking.acquire().await.map_err(|_| JobsError::ShuttingDown)?;
        let work = tokio::task::spawn_blocking(move || {
            let what = Look {
                language: Some(asked.language),
                script: &asked.script,
                args: &asked.args,
                env: asked.env,
                cwd: asked.cwd.as_deref(),
            };
            let findings = look(&what, &counting);
            let level = findings.iter().map(|f| f.level).max();
            let needed = counting.iter().filter(|c| c.rule.level == Level::Approve && findings.iter().any(|f| f.rule == c.rule.id));
            let approver = needed.map(|c| c.rule.approver).max();
            Verdict { level, findings, approver }
        });
        work.await.map_err(|e| JobsError::Server(format!("looking at a script failed: {e}")))
    }

    /// Refuses what a rule blocks, and says so in the audit log.
    pub(crate) async fn require_allowed(&self, who: &Principal, name: &str, verdict: &Verdict) -> Result<(), JobsError> {
        if verdict.level != Some(Level::Block) {
            return Ok(());
        }
        let blocking: Vec<Finding> = verdict.findings.iter().filter(|f| f.level == Level::Block).cloned().collect();
        let mut tx = self.db.begin().await?;
        let found: Vec<_> = blocking.iter().map(|f| serde_json::json!({"rule": f.rule, "line": f.line, "column": f.column})).collect();
        let after = serde_json::json!({"name": name, "refused": "a rule blocks the script", "findings": found});
        self.access.audit(&mut tx, who, "jobs.execution.blocked", "execution", None, Some(&after)).await?;
        tx.commit().await?;
        Err(JobsError::Blocked(blocking))
    }
}

impl Jobs {
    /// What the rules say of a script that has not been run. Nothing is kept.
    pub async fn check_script(&self, who: &Principal, request: CheckRequest) -> Result<Verdict, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsRun, &[]).await?;
        if request.script.content.len() > MAX_SCRIPT {
            let message = format!("{} bytes, and {MAX_SCRIPT} is the most", request.script.content.len());
            return Err(JobsError::invalid("jobs.too_long", "/script/content", message));
        }
        let planned = match &request.targets {
            None => None,
            Some(t) => Some(inner.resolve(who, t).await?.targets),
        };
        let run = RunRequest { args: request.args, env: request.env, cwd: request.cwd, ..RunRequest::of(request.script) };
        let asked = Asked::of(&run, planned.as_deref().unwrap_or_default());
        inner.verdict(who, asked, planned.as_deref()).await
    }
}
