//! What administrators see of a plugin at work: its numbers, its log, its traps, what it uses of its grant.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use plenum_access::{Permission, Principal, Scope};
use plenum_store::events::{NewEvent, emit};
use plenum_store::params;
use serde::Serialize;
use serde_json::json;

use crate::RuntimeError;
use crate::figures::Figure;
use crate::logs::{Line, LogNews, LogQuery};
use crate::package::Text;
use crate::service::Plugins;
use crate::stats::{StatsSummary, Trap, Use};
use crate::trace::CallTrace;

/// How often what is counted of permissions is stored.
const KEEP_EVERY: Duration = Duration::from_secs(30);

/// A plugin's use of the machine, beside what it may use.
#[derive(Debug, Clone, Serialize)]
pub struct Metrics {
    /// Numbers since the host started.
    #[serde(flatten)]
    pub stats: StatsSummary,
    /// Bytes of its documents.
    pub storage_bytes: i64,
    /// Bytes that its documents may take.
    pub storage_limit_bytes: u64,
    /// Bytes that one document may have.
    pub document_limit_bytes: u64,
    /// CPU time that is left of a minute's worth.
    pub cpu_left_ms: u64,
    /// CPU time that all calls may take in a minute.
    pub cpu_per_minute_ms: u64,
    /// Requests to the outside in a minute.
    pub outgoing_per_minute: u32,
    /// Those that are left.
    pub outgoing_left: u64,
    /// Lines of its log in a minute.
    pub log_lines_per_minute: u32,
    /// Lines of its log that are left of a minute's worth.
    pub log_lines_left: u64,
    /// Entries that the tables of one call may have.
    pub table_limit: u64,
    /// Resources that one call may hold at once.
    pub handle_limit: u64,
    /// Bytes that one call of the host may take.
    pub copied_limit_bytes: u64,
    /// Bytes of one request for random numbers.
    pub random_limit_bytes: u64,
    /// Bytes of the headers of one request or answer that it makes.
    pub header_limit_bytes: u64,
    /// Calls that may wait.
    pub queue_limit: usize,
    /// Why it is quarantined, when it is.
    pub quarantine: Option<String>,
    /// Seconds until it is tried again.
    pub quarantine_retry_after_s: Option<u64>,
}

/// A trap and the log of its call.
#[derive(Debug, Clone, Serialize)]
pub struct TrapReport {
    /// What happened.
    #[serde(flatten)]
    pub trap: Trap,
    /// The lines of the call, oldest first.
    pub log: Vec<Line>,
}

/// A permission that a plugin asks for or has, and how it uses it.
#[derive(Debug, Clone, Serialize)]
pub struct PermissionUse {
    /// `cmdb.read`.
    pub name: String,
    /// Why it asks; empty when it does not any more.
    pub reason: Text,
    /// How far it asks to reach; none when it does not ask any more.
    pub asked: Option<Scope>,
    /// How far it reaches; none when it is not granted.
    pub granted: Option<Scope>,
    /// Whether it asks for more than it has: it waits for an administrator.
    pub pending: bool,
    /// How it is used.
    #[serde(flatten)]
    pub usage: Use,
}

impl Plugins {
    async fn require_manage(&self, who: &Principal, id: &str) -> Result<(), RuntimeError> {
        self.require(who, Permission::PluginsManage).await?;
        if self.stored(id).await?.is_none() {
            return Err(RuntimeError::NotFound(format!("the plugin {id} is not installed")));
        }
        Ok(())
    }

    /// Lines of a plugin's log, newest first.
    pub async fn logs(&self, who: &Principal, id: &str, query: &LogQuery) -> Result<Vec<Line>, RuntimeError> {
        self.require_manage(who, id).await?;
        Ok(self.services().logs.tail(id, query))
    }

    /// The last traps, newest first, each with the log of its call.
    pub async fn traps(&self, who: &Principal, id: &str) -> Result<Vec<TrapReport>, RuntimeError> {
        self.require_manage(who, id).await?;
        let report = |trap: Trap| {
            let query = LogQuery { call: Some(trap.call.clone()), ..LogQuery::default() };
            let mut log = self.services().logs.tail(id, &query);
            log.reverse();
            TrapReport { trap, log }
        };
        Ok(self.inner.lives.get(id).stats.traps().into_iter().map(report).collect())
    }

    /// Its last calls, newest first, part by part.
    pub async fn traces(&self, who: &Principal, id: &str) -> Result<Vec<Arc<CallTrace>>, RuntimeError> {
        self.require_manage(who, id).await?;
        Ok(self.inner.lives.get(id).traces.last())
    }

    /// What it counts itself.
    pub async fn figures(&self, who: &Principal, id: &str) -> Result<Vec<Figure>, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        if self.stored(id).await?.is_none() {
            return Err(RuntimeError::NotFound(format!("the plugin {id} is not installed")));
        }
        Ok(self.inner.lives.get(id).figures.all())
    }

    /// All that plugins count, and what the host counts of them, in Prometheus' text format.
    pub async fn prometheus(&self, who: &Principal) -> Result<String, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let lives = self.inner.lives.all();
        let own: Vec<(String, Vec<Figure>)> = lives.iter().map(|l| (l.id.clone(), l.figures.all())).collect();
        let of_host: Vec<(String, StatsSummary)> = lives.iter().map(|l| (l.id.clone(), l.stats.summary())).collect();
        Ok(format!("{}{}", crate::figures::of_host(&of_host), crate::figures::prometheus(&own)))
    }

    /// Lines of its log as they are written, from now on.
    pub async fn follow_logs(&self, who: &Principal, id: &str) -> Result<impl Stream<Item = LogNews> + Send + use<>, RuntimeError> {
        self.require_manage(who, id).await?;
        Ok(self.services().logs.follow(id))
    }

    /// What it uses, and of how much.
    pub async fn metrics(&self, who: &Principal, id: &str) -> Result<Metrics, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        if self.stored(id).await?.is_none() {
            return Err(RuntimeError::NotFound(format!("the plugin {id} is not installed")));
        }
        let life = self.inner.lives.get(id);
        let quarantine = life.quarantined();
        Ok(Metrics {
            stats: life.stats.summary(),
            storage_bytes: life.used_bytes(&self.services().docs).await?,
            storage_limit_bytes: life.limits.store_bytes,
            document_limit_bytes: life.limits.document_bytes as u64,
            cpu_left_ms: life.cpu.left().0 as u64,
            cpu_per_minute_ms: life.cpu.left().1 as u64,
            outgoing_per_minute: life.limits.outgoing_per_minute,
            outgoing_left: life.outgoing.left().0 as u64,
            log_lines_per_minute: life.limits.log_lines_per_minute,
            log_lines_left: life.log.left().0 as u64,
            table_limit: life.limits.table_elements as u64,
            handle_limit: life.limits.handles as u64,
            copied_limit_bytes: life.limits.copied_bytes as u64,
            random_limit_bytes: life.limits.random_bytes,
            header_limit_bytes: life.limits.header_bytes as u64,
            queue_limit: life.limits.queue,
            quarantine_retry_after_s: quarantine.as_ref().map(|q| crate::life::seconds(q.retry_after)),
            quarantine: quarantine.map(|q| q.reason),
        })
    }

    /// What it asks for, what it has, and when it used each last.
    pub async fn permission_uses(&self, who: &Principal, id: &str) -> Result<Vec<PermissionUse>, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let stored = self.need(id).await?;
        let manifest = self.manifest_of(&stored)?;
        let uses = self.inner.lives.get(id).stats.uses();
        let usage = |name: &str| uses.get(name).copied().unwrap_or_default();
        let mut out: Vec<PermissionUse> = manifest
            .permissions
            .iter()
            .map(|p| {
                let granted = stored.granted.permissions.get(&p.name).cloned();
                PermissionUse {
                    name: p.name.clone(),
                    reason: p.reason.clone(),
                    pending: granted.as_ref().is_none_or(|g| crate::upgrade::wider(&p.name, g, &p.scope)),
                    asked: Some(p.scope.clone()),
                    granted,
                    usage: usage(&p.name),
                }
            })
            .collect();
        for (name, scope) in &stored.granted.permissions {
            if !out.iter().any(|p| p.name == *name) {
                out.push(PermissionUse {
                    name: name.clone(),
                    reason: Text::default(),
                    asked: None,
                    granted: Some(scope.clone()),
                    pending: false,
                    usage: usage(name),
                });
            }
        }
        Ok(out)
    }

    /// Ends a plugin's quarantine.
    pub async fn release(&self, who: &Principal, id: &str) -> Result<(), RuntimeError> {
        self.require_manage(who, id).await?;
        if !self.inner.lives.get(id).release() {
            return Ok(());
        }
        let target = format!("plugin/{id}");
        let mut tx = self.services().db.begin().await?;
        self.services().access.audit(&mut tx, who, "plugin.released", &target, None, None).await?;
        let data = json!({"plugin": id, "by": who.actor().to_string()});
        emit(&mut tx, NewEvent { kind: "plenum.plugin.released".into(), source: "/plugins".into(), subject: target, data }).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Reads what was stored of the use of permissions.
    pub(crate) async fn remember_uses(&self) -> Result<(), RuntimeError> {
        let rows = self.services().db.fetch_all("SELECT * FROM plugin_permission_use", &[]).await?;
        for r in &rows {
            // A permission that there is no more is of no interest.
            let Some(permission) = Permission::from_name(&r.text("permission")?) else { continue };
            let stored = Use {
                uses: r.int("uses")?,
                last_used: r.opt_int("last_used")?,
                refusals: r.int("refusals")?,
                last_refused: r.opt_int("last_refused")?,
            };
            self.inner.lives.get(&r.text("plugin")?).stats.known_use(permission, stored);
        }
        Ok(())
    }

    /// Stores the use of permissions now and then, and when the host stops.
    pub(crate) async fn keep_uses(self) {
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(KEEP_EVERY) => false,
                () = self.inner.shutdown.cancelled() => true,
            };
            if let Err(e) = self.save_uses().await {
                tracing::warn!(error = %e, "the use of permissions cannot be stored");
            }
            if stopping {
                return;
            }
        }
    }

    pub(crate) async fn save_uses(&self) -> Result<(), RuntimeError> {
        let changed: Vec<_> = self.inner.lives.all().into_iter().filter_map(|l| Some((l.id.clone(), l.stats.unsaved_uses()?))).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let mut tx = self.services().db.begin().await?;
        for (plugin, uses) in &changed {
            for (permission, u) in uses {
                tx.execute(
                    "INSERT INTO plugin_permission_use (plugin, permission, uses, last_used, refusals, last_refused) VALUES (?, ?, ?, ?, ?, ?)
                     ON CONFLICT (plugin, permission) DO UPDATE SET uses = excluded.uses, last_used = excluded.last_used,
                     refusals = excluded.refusals, last_refused = excluded.last_refused",
                    params![plugin, *permission, u.uses, u.last_used, u.refusals, u.last_refused],
                )
                .await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
