//! The service: what is installed, and calls into it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use plenum_access::{Access, AccessError, Grant, Permission, Principal};
use plenum_cmdb::Cmdb;
use plenum_jobs::Jobs;
use plenum_store::secrets::Secrets;
use plenum_store::{Db, Documents, Events, Row, StoreError, params};
use plenum_workflow::Workflows;
use serde::Serialize;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime::Engine;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::call::Limits;
use crate::catalog::{CatalogEntry, CatalogSpec, Catalogs};
use crate::compile::Compiler;
use crate::engine::{CompileCache, MAX_CALLS, TICK, engine};
use crate::life::{HostLimits, Lives, Visit};
use crate::logs::Logs;
use crate::otlp::{Exporter, TraceExport};
use crate::package::{Manifest, SignatureState, Trust, TrustPolicy};
use crate::plugin::Loaded;
use crate::stats::StatsSummary;
use crate::{RuntimeError, Services};

/// Where packages come from and whom to trust.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// The host's data folder.
    pub data: PathBuf,
    /// Where packages are offered.
    pub catalogs: Vec<CatalogSpec>,
    /// Whose signatures count, for what.
    pub trust: TrustPolicy,
    /// Whether strangers' and unsigned packages install too.
    pub developer_mode: bool,
    /// Compiles components in a child process; without one they are compiled in this process, which then has no bound on it.
    pub compiler: Option<Compiler>,
    /// What each plugin may have.
    pub limits: HostLimits,
    /// What some of them may have instead, by their ids.
    pub limits_of: BTreeMap<String, HostLimits>,
    /// Seal and open what is secret.
    pub secrets: Secrets,
    /// Networks that `call: http` of people's workflows may reach besides the public internet, `10.1.0.0/16`.
    pub workflow_networks: Vec<String>,
    /// The collector that the traces of all calls go to.
    pub traces: Option<TraceExport>,
}

/// Requests to the outside in a minute, of all people's workflows together.
const WORKFLOW_REQUESTS: u32 = 6_000;

/// Where an installed plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Answers calls.
    Active,
    /// Switched off by an administrator.
    Disabled,
    /// Its component is being compiled.
    Compiling,
    /// It cannot be loaded; the reason says why.
    Failed,
    /// It failed again and again and is left alone for a while.
    Quarantined,
}

/// An installed plugin.
#[derive(Debug, Clone, Serialize)]
pub struct Installed {
    /// Plugin id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Digest of its package.
    pub digest: String,
    /// Where it stands.
    pub status: Status,
    /// Why, when it is not active.
    pub status_reason: Option<String>,
    /// The manifest; absent when the package is gone or damaged.
    pub manifest: Option<Manifest>,
    /// What it may do.
    pub granted: Grant,
    /// Whose it is.
    pub signature: Json,
    /// Milliseconds since the Unix epoch.
    pub installed_at: i64,
    /// Who installed it.
    pub installed_by: String,
    /// What a call may use.
    pub limits: Option<Limits>,
    /// Numbers since the host started.
    pub stats: Option<StatsSummary>,
}

pub(crate) struct Inner {
    pub(crate) services: Arc<Services>,
    pub(crate) config: RuntimeConfig,
    pub(crate) engine: Engine,
    pub(crate) cache: CompileCache,
    pub(crate) catalog: Catalogs,
    pub(crate) lives: Arc<Lives>,
    pub(crate) loaded: RwLock<BTreeMap<String, Arc<Loaded>>>,
    /// Why an enabled plugin is not loaded: compiling, or failed with a reason.
    pending: RwLock<BTreeMap<String, (Status, Option<String>)>>,
    /// Counts changes of `pending`, for those who wait for a plugin that is being compiled.
    pending_changed: tokio::sync::watch::Sender<u64>,
    /// Installing and removing happen one after the other.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Exports and imports of data happen one after the other: each holds a connection, or a plugin's writes.
    pub(crate) carrying: tokio::sync::Mutex<()>,
    pub(crate) shutdown: CancellationToken,
    ticker: OnceLock<()>,
}

/// The plugins of a host. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {
    pub(crate) inner: Arc<Inner>,
}

/// One installed plugin as stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub id: String,
    pub version: String,
    pub digest: String,
    pub enabled: bool,
    pub granted: Grant,
    pub settings: Json,
    pub signature: Json,
    pub installed_at: i64,
    pub installed_by: String,
}

fn read(r: &Row) -> Result<Stored, StoreError> {
    Ok(Stored {
        id: r.text("id")?,
        version: r.text("version")?,
        digest: r.text("digest")?,
        enabled: r.text("status")? == "enabled",
        granted: serde_json::from_value(r.json("granted")?).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        settings: r.json("settings")?,
        signature: r.json("signature")?,
        installed_at: r.int("installed_at")?,
        installed_by: r.text("installed_by")?,
    })
}

impl Plugins {
    /// Builds the engine. [`Plugins::start`] loads what is installed.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: RuntimeConfig,
        db: Db,
        docs: Documents,
        access: Access,
        events: Events,
        cmdb: Cmdb,
        jobs: Jobs,
        shutdown: CancellationToken,
    ) -> Result<Plugins, RuntimeError> {
        let internal = |e: std::io::Error| RuntimeError::Internal(format!("{}: {e}", config.data.display()));
        std::fs::create_dir_all(config.data.join("plugins")).map_err(internal)?;
        let logs = Logs::new(config.data.join("plugin-logs")).map_err(internal)?;
        let lives = Arc::new(Lives::new(config.limits, config.limits_of.clone()));
        let watched = lives.clone();
        access.observe_plugins(Box::new(move |id, permission, allowed| {
            if let Some(life) = watched.known(id) {
                life.stats.used(permission, allowed);
            }
        }));
        let networks = config.workflow_networks.iter().map(|n| crate::address::Network::parse(n)).collect::<Result<Vec<_>, _>>();
        let networks = networks.map_err(|e| RuntimeError::Invalid(format!("workflows.networks: {e}")))?;
        let outside = HostLimits { outgoing_per_minute: WORKFLOW_REQUESTS, outgoing_bytes: 4 << 20, ..config.limits };
        let tasks = TaskTracker::new();
        let exporter = match config.traces.clone() {
            None => None,
            Some(to) => {
                let (exporter, sending, stop) = Exporter::new(to).map_err(|e| RuntimeError::Invalid(format!("plugins.traces: {e}")))?;
                let stopping = shutdown.clone();
                tasks.spawn(sending);
                tasks.spawn(async move {
                    stopping.cancelled().await;
                    stop.cancel();
                });
                Some(exporter)
            }
        };
        let services = Services {
            db,
            docs,
            access,
            events,
            cmdb,
            jobs,
            logs,
            tasks,
            exporter,
            resolver: Arc::new(crate::outgoing::SystemResolver),
            outside: crate::outgoing::Gate {
                rules: Some(crate::outgoing::Rules::public(networks)),
                life: crate::life::Life::new("workflows", outside),
                resolver: Arc::new(crate::outgoing::SystemResolver),
                patience: crate::outgoing::PATIENCE,
            },
            pool: Arc::new(tokio::sync::Semaphore::new(MAX_CALLS)),
            workflows: OnceLock::new(),
            plugins: OnceLock::new(),
        };
        let inner = Inner {
            services: Arc::new(services),
            engine: engine()?,
            cache: CompileCache::new(config.data.join("compiled"), config.compiler.clone())?,
            catalog: Catalogs::new(&config.catalogs, config.trust.clone(), &config.data, config.developer_mode)?,
            config,
            lives,
            loaded: RwLock::default(),
            pending: RwLock::default(),
            pending_changed: tokio::sync::watch::Sender::new(0),
            changing: tokio::sync::Mutex::new(()),
            carrying: tokio::sync::Mutex::new(()),
            shutdown,
            ticker: OnceLock::new(),
        };
        let inner = Arc::new(inner);
        let _ = inner.services.plugins.set(Arc::downgrade(&inner));
        Ok(Plugins { inner })
    }

    /// Loads what is installed and starts handing out events. Takes the workflow service, which itself calls actions here.
    pub async fn start(&self, workflows: Workflows) -> Result<(), RuntimeError> {
        let _ = self.inner.services.workflows.set(workflows);
        self.tick();
        self.seal_stored().await?;
        self.finish_interrupted_changes().await?;
        self.forget_forsaken_imports().await?;
        let rows = self.inner.services.db.fetch_all("SELECT * FROM plugins ORDER BY id", &[]).await?;
        let all = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        all.iter().for_each(|stored| self.warn_of_revoked(stored));
        self.load_all(all.into_iter().filter(|stored| stored.enabled).collect()).await;
        self.remember_uses().await?;
        self.inner.services.tasks.spawn(self.clone().dispatch_events());
        self.inner.services.tasks.spawn(self.clone().keep_uses());
        self.inner.services.tasks.spawn(self.clone().keep_catalogs_fresh());
        Ok(())
    }

    /// Counts epochs on a thread of its own: a busy executor must not stop the clock that bounds what keeps it busy.
    fn tick(&self) {
        self.inner.ticker.get_or_init(|| {
            let (engine, stop) = (self.inner.engine.clone(), self.inner.shutdown.clone());
            let spawned = std::thread::Builder::new().name("plugin-epochs".into()).spawn(move || {
                while !stop.is_cancelled() {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            });
            if let Err(e) = spawned {
                tracing::error!(error = %e, "the thread that bounds plugins' CPU time does not start");
                self.inner.shutdown.cancel();
            }
        });
    }

    /// Waits for calls that are under way.
    pub async fn stopped(&self) {
        self.inner.services.tasks.close();
        self.inner.services.tasks.wait().await;
    }

    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.inner.services
    }

    pub(crate) fn loaded(&self, id: &str) -> Option<Arc<Loaded>> {
        self.inner.loaded.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn all_loaded(&self) -> Vec<Arc<Loaded>> {
        self.inner.loaded.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) async fn stored(&self, id: &str) -> Result<Option<Stored>, RuntimeError> {
        let row = self.inner.services.db.fetch_optional("SELECT * FROM plugins WHERE id = ?", params![id]).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// Notes why an enabled plugin is not loaded, or that this is over.
    pub(crate) fn set_pending(&self, id: &str, why: Option<(Status, Option<String>)>) {
        let mut pending = self.inner.pending.write().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => pending.insert(id.to_owned(), why),
            None => pending.remove(id),
        };
        drop(pending);
        self.inner.pending_changed.send_modify(|n| *n += 1);
    }

    /// A loaded plugin; one that is being compiled is waited for, which the compiler's limits bound. For runs: they are taken up when the host
    /// starts, and must not fail because their plugin takes longer to load than the host to be ready.
    pub(crate) async fn settled(&self, id: &str) -> Option<Arc<Loaded>> {
        let mut changed = self.inner.pending_changed.subscribe();
        loop {
            changed.mark_unchanged();
            let compiling =
                matches!(self.inner.pending.read().unwrap_or_else(PoisonError::into_inner).get(id), Some((Status::Compiling, _)));
            // After the look at what is pending: it is loaded before it is no longer pending.
            if let Some(p) = self.loaded(id) {
                return Some(p);
            }
            if !compiling || changed.changed().await.is_err() {
                return None;
            }
        }
    }

    /// A loaded plugin, or why it cannot be called.
    pub(crate) fn callable(&self, id: &str) -> Result<Arc<Loaded>, RuntimeError> {
        if let Some(p) = self.loaded(id) {
            return Ok(p);
        }
        match self.inner.pending.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            Some((Status::Compiling, _)) => Err(RuntimeError::State(format!("the plugin {id} is being compiled; try again in a moment"))),
            Some((_, reason)) => Err(RuntimeError::State(format!(
                "the plugin {id} could not be loaded: {}",
                reason.as_deref().unwrap_or("see the host's log")
            ))),
            None => Err(RuntimeError::NotFound(format!("there is no active plugin {id}; an administrator can install or enable it"))),
        }
    }

    /// Lets a call in, to the version that is active when it gets in.
    pub(crate) async fn enter(&self, id: &str) -> Result<(Arc<Loaded>, Visit), RuntimeError> {
        self.callable(id)?;
        let visit = self.inner.lives.get(id).enter().await?;
        Ok((self.callable(id)?, visit))
    }

    pub(crate) async fn require(&self, who: &Principal, permission: Permission) -> Result<(), AccessError> {
        self.inner.services.access.require(who, permission, &[]).await
    }

    /// All packages of the catalogs, newest version first.
    pub async fn catalog(&self, who: &Principal) -> Result<Vec<CatalogEntry>, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.catalog.entries()).await.map_err(|e| RuntimeError::Internal(e.to_string()))
    }

    /// What is installed.
    pub async fn installed(&self, who: &Principal) -> Result<Vec<Installed>, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let rows = self.inner.services.db.fetch_all("SELECT * FROM plugins ORDER BY id LIMIT 1000", &[]).await?;
        rows.iter().map(|r| Ok(self.describe_stored(read(r)?))).collect()
    }

    /// One installed plugin.
    pub async fn plugin(&self, who: &Principal, id: &str) -> Result<Installed, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let stored = self.stored(id).await?.ok_or_else(|| RuntimeError::NotFound(format!("the plugin {id} is not installed")))?;
        Ok(self.describe_stored(stored))
    }

    fn describe_stored(&self, s: Stored) -> Installed {
        let loaded = self.loaded(&s.id);
        let pending = self.inner.pending.read().unwrap_or_else(PoisonError::into_inner).get(&s.id).cloned();
        let (status, status_reason) = match (s.enabled, &loaded, pending) {
            (false, _, _) => (Status::Disabled, None),
            (true, Some(l), _) => match l.life.quarantined() {
                Some(r) => (Status::Quarantined, Some(r.reason)),
                None => (Status::Active, None),
            },
            (true, None, Some((status, reason))) => (status, reason),
            (true, None, None) => (Status::Failed, Some("it is not loaded; the host's log has the reason".to_owned())),
        };
        let manifest = loaded.as_ref().map(|l| l.manifest.clone()).or_else(|| self.read_package(&s.digest).ok().map(|p| p.manifest));
        Installed {
            status,
            status_reason,
            manifest,
            limits: loaded.as_ref().map(|l| l.limits),
            stats: loaded.as_ref().map(|l| l.life.stats.summary()),
            id: s.id,
            version: s.version,
            digest: s.digest,
            granted: s.granted,
            signature: self.reviewed(&s.signature),
            installed_at: s.installed_at,
            installed_by: s.installed_by,
        }
    }

    /// A static file of a plugin. Files are public by the digest of their package: they hold no secret, and a page without an origin
    /// has no session to show.
    pub fn file(&self, id: &str, digest: &str, path: &str) -> Result<Bytes, RuntimeError> {
        let missing = || RuntimeError::NotFound(format!("the plugin {id} has no file {path}"));
        let p = self
            .loaded(id)
            .filter(|p| p.digest.strip_prefix("sha256:").is_some_and(|d| digest.len() >= 12 && d.starts_with(digest)))
            .ok_or_else(missing)?;
        p.files.get(path).cloned().ok_or_else(missing)
    }

    /// The icon of an installed plugin.
    pub fn icon(&self, id: &str) -> Option<(String, Bytes)> {
        let p = self.loaded(id)?;
        let name = p.manifest.icon.clone()?;
        p.files.get(&name).cloned().map(|b| (name, b))
    }

    /// Hands an HTTP request to a plugin; the URI is the path within it. Reading needs `plugins.view`, changing `plugins.use`.
    pub async fn handle_http(
        &self,
        who: &Principal,
        id: &str,
        request: ::http::Request<Bytes>,
    ) -> Result<::http::Response<HyperOutgoingBody>, RuntimeError> {
        let reads = matches!(*request.method(), ::http::Method::GET | ::http::Method::HEAD | ::http::Method::OPTIONS);
        self.require(who, if reads { Permission::PluginsView } else { Permission::PluginsUse }).await?;
        let (plugin, visit) = self.enter(id).await?;
        plugin.http(self.services(), visit, request, who.user().cloned()).await
    }

    /// Calls an action of a plugin.
    pub async fn call_action(
        &self,
        who: &Principal,
        id: &str,
        action: &str,
        input: &Json,
        key: Option<String>,
    ) -> Result<Json, RuntimeError> {
        self.call_for(who, id, action, input, key, 0).await
    }

    /// The same, for a plugin that was itself called by others.
    pub(crate) async fn call_for(
        &self,
        who: &Principal,
        id: &str,
        action: &str,
        input: &Json,
        key: Option<String>,
        depth: u32,
    ) -> Result<Json, RuntimeError> {
        self.may_call(who, id, action).await?;
        let (plugin, visit) = self.enter(id).await?;
        plugin.action(self.services(), visit, action, input, who.user().cloned(), key, depth).await
    }

    /// A plugin calls its own actions; those of others need a permission, as they do for people.
    pub(crate) async fn may_call(&self, who: &Principal, id: &str, action: &str) -> Result<(), AccessError> {
        match who {
            Principal::Plugin(p) if p.id == id => Ok(()),
            _ => {
                let name = format!("{id}.{action}");
                self.inner.services.access.require(who, Permission::PluginsUse, &[("actions", &name)]).await
            }
        }
    }

    /// Whether a package with this signature may be installed.
    pub(crate) fn acceptable(&self, signature: &SignatureState) -> Result<(), RuntimeError> {
        let refused = |why: String| Err(RuntimeError::Signature(why));
        let reason = signature.reason.as_deref().unwrap_or("its signature is not enough");
        match signature.state {
            Trust::Trusted => Ok(()),
            Trust::Modified => refused("the package was changed after it was signed; get it again from its publisher".into()),
            // Somebody said that this key is in the wrong hands: that holds for developers too.
            _ if signature.revoked().is_some() => refused(format!("{reason}; get a version that was signed with its new key")),
            _ if self.inner.config.developer_mode => Ok(()),
            Trust::Unsigned => refused("the package is not signed; sign it with `plenum plugin sign`, or start the host with --developer-mode on a developer's own machine".into()),
            Trust::UnknownPublisher => refused(format!("the package is not trusted: {reason}. Whom the host trusts stands in its configuration under [[plugins.publishers]] and [[plugins.trust]]")),
        }
    }
}
