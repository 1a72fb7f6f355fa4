//! `plenum serve`: opens the store, builds the services in the order of their dependence, and serves until told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use plenum_access::Access;
use plenum_api::{App, HostInfo};
use plenum_cmdb::Cmdb;
use plenum_jobs::{Jobs, JobsConfig};
use plenum_runtime::compile::Compiler;
use plenum_runtime::{Plugins, RuntimeConfig};
use plenum_store::secrets::Secrets;
use plenum_store::{Db, Documents, Events, Migration};
use plenum_workflow::Workflows;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config, Flags, SecretKey};

/// Requests and streams that are still open get this long to end when the host stops.
const DRAIN: Duration = Duration::from_secs(10);

/// The parts that commands beside a running host need too.
pub struct Store {
    pub db: Db,
    pub access: Access,
}

const MIGRATIONS: &[&[Migration]] = &[
    plenum_store::MIGRATIONS,
    plenum_access::MIGRATIONS,
    plenum_cmdb::MIGRATIONS,
    plenum_jobs::MIGRATIONS,
    plenum_workflow::MIGRATIONS,
    plenum_runtime::MIGRATIONS,
];

/// Opens the database and brings its schema up to date.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let db = Db::open(&config.database_url).await?;
    db.migrate(MIGRATIONS).await?;
    Ok(Store { access: Access::new(db.clone()), db })
}

/// The keys that this database's secrets are sealed with; others are refused before anything is written.
async fn open_secrets(config: &Config, db: &Db) -> anyhow::Result<Secrets> {
    let secrets = match &config.secret_key {
        SecretKey::Given(text) => Secrets::parse(text, "PLENUM_SECRET_KEY")?,
        SecretKey::File(path) => Secrets::read(path)?.with_context(|| {
            format!("there is no file {} with the key of the secrets; make it (`openssl rand -hex 32`), or put it back", path.display())
        })?,
        SecretKey::Own(path) => Secrets::at(path, db).await?,
    };
    secrets.agree(db).await?;
    Ok(secrets)
}

/// Runs the host until SIGTERM or SIGINT.
pub async fn serve(flags: Flags) -> anyhow::Result<()> {
    let started = Instant::now();
    logging();
    let config = config::load(flags)?;
    let _alone = lock(&config.data)?;
    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let Store { db, access } = open_store(&config).await?;

    let secrets = open_secrets(&config, &db).await?;

    let http = bind(config.listen, "portal and API", "--listen").await?;
    let agents = bind(config.agent_listen, "agents", "--agent-listen").await?;
    let (http_addr, agent_addr) = (http.local_addr()?, agents.local_addr()?);
    let agent_address = config.agent_address.clone().unwrap_or_else(|| agent_addr.to_string());

    let events = Events::new(db.clone());
    let docs = Documents::new(db.clone());
    let cmdb = Cmdb::new(db.clone(), docs.clone(), access.clone()).await?.with_secrets(secrets.clone());
    cmdb.reseal_secrets().await?;
    let jobs_config = JobsConfig { keep: config.keep_executions, ..JobsConfig::new(&config.data, &agent_address, secrets.clone()) };
    let jobs = Jobs::new(db.clone(), access.clone(), cmdb.clone(), jobs_config).await?;
    let plugins = Plugins::new(
        runtime_config(&config, secrets.clone()),
        db.clone(),
        docs,
        access.clone(),
        events.clone(),
        cmdb.clone(),
        jobs.clone(),
        shutdown.clone(),
    )?;
    let workflows = Workflows::new(db.clone(), access.clone(), events.clone(), Arc::new(plugins.clone()));
    // Plugins before the engine: the runs that it takes up call their actions.
    plugins.start(workflows.clone()).await?;
    // The CMDB, jobs and plugins have sealed anew by now what an older key had sealed.
    secrets.retire_older(&db).await?;
    workflows.start_engine(shutdown.clone());

    let tended = cmdb.clone();
    let app = App {
        db: db.clone(),
        access,
        events: events.clone(),
        cmdb,
        jobs: jobs.clone(),
        workflows: workflows.clone(),
        plugins: plugins.clone(),
        info: Arc::new(HostInfo { version: env!("CARGO_PKG_VERSION"), started, https: config.https, agent_address }),
        shutdown: shutdown.clone(),
    };
    tasks.spawn(prune(events, jobs.clone(), shutdown.clone()));
    tasks.spawn(crate::changes::carry(tended.clone(), workflows.clone(), plugins.clone(), shutdown.clone()));
    tasks.spawn(remodel(tended.clone(), shutdown.clone()));
    tasks.spawn(build_search(tended.clone(), shutdown.clone()));
    tasks.spawn(tend(tended, shutdown.clone()));
    let agent_port = jobs.clone();
    let stop = shutdown.clone();
    tasks.spawn(async move {
        if let Err(e) = agent_port.serve_agents(agents, stop.clone()).await {
            tracing::error!(error = %e, "the agents' port ended");
        }
        stop.cancel();
    });
    let service = plenum_api::router(app).into_make_service_with_connect_info::<SocketAddr>();
    let stop = shutdown.clone();
    tasks.spawn(async move {
        let served = axum::serve(http, service).with_graceful_shutdown(stop.clone().cancelled_owned()).await;
        if let Err(e) = served {
            tracing::error!(error = %e, "the HTTP server ended");
        }
        stop.cancel();
    });
    announce(&config.data, http_addr, agent_addr)?;
    tracing::info!(%http_addr, %agent_addr, ready_ms = started.elapsed().as_millis(), version = env!("CARGO_PKG_VERSION"), "ready");

    stop_signal(&shutdown).await;
    shutdown.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("some requests did not end in {} s and are cut", DRAIN.as_secs());
    }
    workflows.stopped().await;
    plugins.stopped().await;
    jobs.close().await;
    db.close().await;
    let _ = std::fs::remove_file(config.data.join("host.json"));
    tracing::info!("stopped");
    Ok(())
}

fn runtime_config(config: &Config, secrets: Secrets) -> RuntimeConfig {
    let mut compiler = Compiler::this_program();
    compiler.memory_bytes = config.compile_memory_bytes;
    compiler.cpu = config.compile_time;
    compiler.wall = 2 * config.compile_time;
    RuntimeConfig {
        data: config.data.clone(),
        catalogs: config.catalogs.clone(),
        trust: config.trust.clone(),
        developer_mode: config.developer_mode,
        compiler: Some(compiler),
        limits: config.plugin_limits,
        limits_of: config.plugin_limits_of.clone(),
        secrets,
        workflow_networks: config.workflow_networks.clone(),
        traces: config.plugin_traces.clone(),
    }
}

/// Drops what is past its retention, once an hour.
async fn prune(events: Events, jobs: Jobs, stop: CancellationToken) {
    loop {
        if let Err(e) = events.prune().await {
            tracing::warn!(error = %e, "old events cannot be dropped");
        }
        match jobs.prune().await {
            Ok(0) => {}
            Ok(n) => tracing::info!(executions = n, "dropped old executions"),
            Err(e) => tracing::warn!(error = %e, "old executions cannot be dropped"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What the CMDB does by itself: marks and archives what its sources no longer have, every ten minutes; asks the rules of data quality once a
/// day, and when somebody wants it.
async fn tend(cmdb: Cmdb, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(600)) => match cmdb.sweep_sources_now().await {
                Ok(s) if s == Default::default() => {}
                Ok(s) => tracing::info!(vanished = s.vanished, archived = s.archived, changed = s.changed, "records that their sources no longer have"),
                Err(e) => tracing::warn!(error = %e, "what sources no longer have cannot be marked"),
            },
            () = cmdb.health_wanted() => {}
            () = stop.cancelled() => return,
        }
        // Cut when the host stops: the next start says so of the run.
        let done = tokio::select! {
            done = cmdb.tend_health() => done,
            () = stop.cancelled() => return,
        };
        if let Err(e) = done {
            tracing::warn!(error = %e, "the rules of data quality could not be asked");
        }
    }
}

/// Changes of large models, one after the other; those that a stop cut go on.
async fn remodel(cmdb: Cmdb, stop: CancellationToken) {
    if let Err(e) = cmdb.resume_model_changes().await {
        tracing::warn!(error = %e, "changes of models cannot be taken up");
    }
    loop {
        let done = tokio::select! {
            done = cmdb.tend_model_changes() => done,
            () = stop.cancelled() => return,
        };
        match done {
            Ok(true) => continue,
            Ok(false) => {}
            Err(e) => tracing::warn!(error = %e, "a change of a model could not be made"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
            () = cmdb.model_change_wanted() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Puts records into the search index that are not in it as they are: after an update of Plenum, or of a model.
async fn build_search(cmdb: Cmdb, stop: CancellationToken) {
    loop {
        match cmdb.tend_search().await {
            // Between two transactions others write.
            Ok(true) => tokio::task::yield_now().await,
            done => {
                if let Err(e) = done {
                    tracing::warn!(error = %e, "records cannot be put into the search index; they will be in a minute");
                }
                tokio::select! {
                    // Another host may have been told.
                    () = tokio::time::sleep(Duration::from_secs(60)) => {}
                    () = cmdb.search_wanted() => {}
                    () = stop.cancelled() => return,
                }
            }
        }
        if stop.is_cancelled() {
            return;
        }
    }
}

fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLENUM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,wasmtime=warn,cranelift=warn,h2=warn,hyper=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// One host for one data folder: two would each send the other's jobs. The lock goes with the process, however it ends.
pub(crate) fn lock(data: &Path) -> anyhow::Result<std::fs::File> {
    let path = data.join("host.lock");
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("{} cannot be written; is the disk full, or the folder another user's?", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            anyhow::bail!("another host runs on the data folder {}; stop it first, or name another folder with --data", data.display())
        }
        Err(std::fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

async fn bind(address: SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be opened for {what}; is another host running? choose another with {flag}"))
}

/// Writes where the host listens to `<data>/host.json`, so that tools beside it need not guess (port 0 chooses a free one).
fn announce(data: &Path, listen: SocketAddr, agent_listen: SocketAddr) -> anyhow::Result<()> {
    let text = serde_json::json!({"listen": listen, "agent_listen": agent_listen, "pid": std::process::id()}).to_string();
    let temporary = data.join("host.json.new");
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, data.join("host.json")));
    written.with_context(|| format!("{} cannot be written; is the disk full?", temporary.display()))
}

async fn stop_signal(shutdown: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut s) => {
                s.recv().await;
            }
            Err(e) => {
                tracing::warn!(error = %e, "SIGTERM cannot be watched");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        () = shutdown.cancelled() => {}
    }
}
