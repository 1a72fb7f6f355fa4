//! Nodes and their agents; scripts on many of them, every result, once.
//!
//! Read in this order: [`model`] has the words, [`plan`] the decisions, `executions` and `nodes` what callers can do, `hub` who is connected,
//! `writer` what becomes of agents' reports, `server` the agents' port.

mod active;
mod ca;
mod download;
mod error;
mod executions;
mod groups;
mod hub;
pub mod inventory;
mod metrics;
pub mod model;
mod nodes;
mod pasted;
pub mod plan;
mod policies;
mod printed;
mod retention;
mod retry;
pub mod safety;
mod scope;
mod server;
mod sql;
mod targets;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plenum_access::Access;
use plenum_store::secrets::Secrets;
use plenum_store::{Db, Migration, now_ms};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::JobsError;
pub use inventory::Inventory;
pub use metrics::{CheckState, LastValue, NodeMetrics, Point};
pub use model::*;
pub use nodes::issue_enrolment_token;
pub use policies::{CheckSpec, NodePolicy, NodeSettings, PolicyDraft, PolicySettings, ScrapeSpec};
pub use scope::{AGENTS_OWN, script_name};
pub use sql::forget_secret_environments;

use ca::Ca;
use hub::Hub;
use writer::{Cmd, QUEUE, Writer};

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration { set: "jobs", version: 1, sql: include_str!("../migrations/1.sql") },
    Migration { set: "jobs", version: 2, sql: include_str!("../migrations/2.sql") },
    Migration { set: "jobs_runs", version: 1, sql: include_str!("../migrations/runs_1.sql") },
    Migration { set: "jobs_runs", version: 2, sql: include_str!("../migrations/runs_2.sql") },
    Migration { set: "jobs_runs", version: 3, sql: include_str!("../migrations/runs_3.sql") },
    Migration { set: "jobs_runs", version: 4, sql: include_str!("../migrations/runs_4.sql") },
    Migration { set: "jobs_nodes", version: 1, sql: include_str!("../migrations/nodes_1.sql") },
    Migration { set: "jobs_safety", version: 1, sql: include_str!("../migrations/safety_1.sql") },
];

/// How the job service behaves.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// Holds the certificate authority, in `ca/`.
    pub data_dir: PathBuf,
    /// Between heartbeats of an agent; three missed ones end the connection.
    pub heartbeat: Duration,
    /// Between looks of an agent at its machine.
    pub facts: Duration,
    /// How long beyond its time limit a target may be in the hands of an agent that is gone, before it is given up.
    pub lost_after: Duration,
    /// Between looks at what has waited too long.
    pub sweep: Duration,
    /// How long after the start the CMDB still shows nodes as an earlier process left them: agents take up to 15 s to come back, and what
    /// asks the CMDB who is online should not find everybody gone because the host was restarted.
    pub settle: Duration,
    /// How long a finished execution is kept, with its results and output.
    pub keep: Duration,
    /// How long an execution may wait for another person's approval.
    pub approval: Duration,
    /// Most executions that are not finished.
    pub max_active: usize,
    /// `host:port` that agents dial, for the enrolment command.
    pub agent_address: String,
    /// Seal and open the values of environments, which may be secret.
    pub secrets: Secrets,
}

impl JobsConfig {
    /// The usual behaviour.
    pub fn new(data_dir: impl Into<PathBuf>, agent_address: impl Into<String>, secrets: Secrets) -> JobsConfig {
        JobsConfig {
            data_dir: data_dir.into(),
            heartbeat: Duration::from_secs(15),
            facts: Duration::from_secs(300),
            lost_after: Duration::from_secs(600),
            sweep: Duration::from_secs(1),
            settle: Duration::from_secs(30),
            keep: Duration::from_secs(90 * 24 * 3600),
            approval: Duration::from_secs(24 * 3600),
            max_active: 10_000,
            agent_address: agent_address.into(),
            secrets,
        }
    }
}

/// The job service. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub db: Db,
    pub access: Access,
    pub inventory: Arc<dyn Inventory>,
    pub config: JobsConfig,
    pub ca: Ca,
    pub hub: Arc<Hub>,
    pub reports: mpsc::Sender<Cmd>,
    pub decisions: mpsc::UnboundedSender<Cmd>,
    pub states: mpsc::UnboundedSender<String>,
    /// Newest facts that no worker has taken yet: one for each node, however often it sends.
    pub facts: Mutex<HashMap<String, (bytes::Bytes, String)>>,
    pub metrics: metrics::LastValues,
    pub policies: policies::Policies,
    pub rules: safety::Rules,
    /// Scripts that are looked at at once: each takes a processor for as long as it takes.
    pub looking: tokio::sync::Semaphore,
    /// When the next approval is given up; `i64::MAX` when none waits.
    pub expiry: AtomicI64,
    pub revs: Arc<AtomicI64>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

impl Jobs {
    /// On a migrated database, with the CMDB for targets and facts.
    pub async fn new(db: Db, access: Access, cmdb: plenum_cmdb::Cmdb, config: JobsConfig) -> Result<Jobs, JobsError> {
        Jobs::with_inventory(db, access, Arc::new(cmdb), config).await
    }

    /// On a migrated database: takes up what an earlier process left unfinished.
    pub async fn with_inventory(db: Db, access: Access, inventory: Arc<dyn Inventory>, config: JobsConfig) -> Result<Jobs, JobsError> {
        let ca = Ca::open(&config.data_dir.join("ca"))?;
        let row = db.fetch_optional("SELECT MAX(rev) AS rev FROM job_targets", &[]).await?;
        let rev = row.map(|r| r.opt_int("rev")).transpose()?.flatten().unwrap_or(0);
        let revs = Arc::new(AtomicI64::new(rev + 1));
        let hub = Arc::new(Hub::new());
        let (reports, reports_rx) = mpsc::channel(QUEUE);
        let (decisions, decisions_rx) = mpsc::unbounded_channel();
        let (states, states_rx) = mpsc::unbounded_channel();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let writer = Writer::new(db.clone(), hub.clone(), revs.clone(), states.clone());
        let inner = Arc::new(Inner {
            db,
            access,
            inventory,
            config,
            ca,
            hub,
            reports,
            decisions,
            states,
            facts: Mutex::default(),
            metrics: metrics::LastValues::default(),
            policies: policies::Policies::default(),
            rules: safety::Rules::default(),
            looking: tokio::sync::Semaphore::new(2),
            expiry: AtomicI64::new(i64::MAX),
            revs,
            stop,
            tasks,
        });
        inner.policies.load(&inner.db).await?;
        inner.rules.load(&inner.db).await?;
        inner.expire_approvals(now_ms()).await?;
        inner.recover().await?;
        inner.tasks.spawn(writer.run(reports_rx, decisions_rx, inner.stop.clone()));
        inner.tasks.spawn(inner.clone().sweep());
        inner.tasks.spawn(inner.clone().learn(states_rx));
        Ok(Jobs { inner })
    }

    /// Ends the connections and the background work, and waits for them.
    pub async fn close(&self) {
        self.inner.hub.close_all();
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    pub(crate) fn decide(&self, cmds: impl IntoIterator<Item = Cmd>) {
        for c in cmds {
            // Fails only when the writer has ended, at shutdown; the next start decides again.
            let _ = self.decisions.send(c);
        }
    }

    /// Loads what is unfinished. No agent is connected yet, so all of its targets wait.
    async fn recover(&self) -> Result<(), JobsError> {
        let mut tx = self.db.begin().await?;
        let now = now_ms();
        tx.execute("UPDATE job_nodes SET state = 'offline', state_since = ? WHERE state = 'online'", plenum_store::params![now]).await?;
        tx.execute(
            "UPDATE job_targets SET status = CASE WHEN status = 'pending' THEN 'waiting' ELSE status END, waiting_for = ?, waiting_since = ?
             WHERE status IN ('pending', 'running') AND execution_id IN (SELECT id FROM job_executions WHERE status = 'running')",
            plenum_store::params![writer::OFFLINE, now],
        )
        .await?;
        tx.commit().await?;
        sql::seal_unfinished(&self.db, &self.config.secrets).await?;
        let mut tx = self.db.begin_read().await?;
        let actives = sql::active(&mut tx, &self.config.secrets, None).await?;
        tx.rollback().await?;
        for active in actives {
            let cmds = self.hub.register(active).into_cmds();
            self.decide(cmds);
        }
        Ok(())
    }

    /// Gives up what has waited too long, and notes when agents were heard.
    async fn sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.config.sweep);
        let mut noted = now_ms();
        let settled = tokio::time::Instant::now() + self.config.settle;
        let mut settling = true;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = now_ms();
            if now > self.expiry.load(std::sync::atomic::Ordering::Relaxed)
                && let Err(error) = self.expire_approvals(now).await
            {
                tracing::warn!(%error, "giving up what nobody approved failed; trying again");
            }
            let grace = i64::try_from(self.config.lost_after.as_millis()).unwrap_or(i64::MAX);
            self.decide(self.hub.tick(now).into_cmds());
            let (unsent, gone) = self.hub.overdue(now, grace);
            self.decide(unsent.into_iter().map(|(execution, nodes)| Cmd::Close {
                execution,
                nodes,
                status: TargetStatus::Lost,
                code: "jobs.node_offline",
                message: "its agent did not connect within the time that the target may wait, so nothing was run; start the agent, then run it again".into(),
            }));
            self.decide(gone.into_iter().map(|(execution, nodes)| Cmd::Close {
                execution,
                nodes,
                status: TargetStatus::Lost,
                code: "jobs.agent_gone",
                message: "it was sent to the agent, which has been away for longer than the script may run; whether it ran is unknown until the agent is back".into(),
            }));
            if settling && tokio::time::Instant::now() >= settled {
                match sql::away(&self.db).await {
                    // The rest is looked at one by one: who is back meanwhile stays online.
                    Ok(nodes) => {
                        settling = false;
                        nodes.into_iter().for_each(|node| drop(self.states.send(node)));
                    }
                    Err(error) => tracing::warn!(%error, "looking for agents that did not come back failed; trying again"),
                }
            }
            if now - noted >= 30_000 {
                noted = now;
                if let Err(error) = sql::note_seen(&self.db, self.hub.vitals()).await {
                    tracing::warn!(%error, "noting when agents were heard failed");
                }
            }
        }
    }

    /// Brings the CMDB up to date with facts and connections, beside the agents' streams: a slow CMDB delays no result.
    async fn learn(self: Arc<Self>, mut states: mpsc::UnboundedReceiver<String>) {
        loop {
            let node = tokio::select! {
                () = self.stop.cancelled() => return,
                n = states.recv() => match n { Some(n) => n, None => return },
            };
            if let Err(error) = self.learn_one(&node).await {
                tracing::warn!(node, %error, code = error.code(), "the CMDB did not take what the agent reported");
            }
        }
    }

    async fn learn_one(&self, node: &str) -> Result<(), JobsError> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        let online = self.hub.is_connected(node);
        let Some(known) = sql::node(&self.db, node).await? else { return Ok(()) };
        let mut host = known.host_instance_id;
        if let Some((bytes, digest)) = facts {
            let mut json: serde_json::Value = serde_json::from_slice(&bytes)
                .map_err(|e| JobsError::invalid("jobs.bad_facts", "/facts", format!("the agent's facts are no JSON: {e}")))?;
            // Whose facts these are says the certificate, not the message.
            if let Some(n) = json.get_mut("node").and_then(|n| n.as_object_mut()) {
                n.insert("node_id".into(), node.into());
            }
            if let Some(found) = self.inventory.facts(node, json).await? {
                sql::note_host(&self.db, node, &found, &digest).await?;
                host = Some(found);
            }
        }
        if host.is_some() {
            self.inventory.status(node, online).await?;
        }
        Ok(())
    }
}
