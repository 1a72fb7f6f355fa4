//! Plugins through [`Plugins`], with real components.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod catalogs;
mod compile;
mod contract;
mod ctk;
mod figures;
mod guests;
mod http;
mod life;
mod limits;
mod outgoing;
mod powers;
mod refusals;
mod secrets;
mod smith;
mod upgrade;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plenum_access::{Access, Principal, Role, UserPrincipal};
use plenum_cmdb::Cmdb;
use plenum_jobs::{Jobs, JobsConfig};
use plenum_store::secrets::Secrets;
use plenum_store::{Db, Documents, Events, Migration};
use plenum_workflow::Workflows;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::package::{Archive, Manifest, PackageWriter, TrustPolicy, TrustedKey, generate_key};
use crate::{CatalogSpec, HostLimits, Plugins, RuntimeConfig, RuntimeError};

pub const SETS: &[&[Migration]] =
    &[plenum_access::MIGRATIONS, plenum_cmdb::MIGRATIONS, plenum_jobs::MIGRATIONS, plenum_workflow::MIGRATIONS, crate::MIGRATIONS];

const PATIENCE: Duration = Duration::from_secs(30);

pub fn user(role: Role) -> Principal {
    Principal::User(UserPrincipal { id: "u1".into(), name: "alice".into(), role })
}

pub fn admin() -> Principal {
    user(Role::Administrator)
}

fn of_one(public: &str) -> TrustPolicy {
    TrustPolicy::of_keys(&[TrustedKey { name: "Tests".into(), public_key: public.to_owned() }]).unwrap()
}

/// A host without HTTP, its catalog, and a publisher that it trusts.
pub struct World {
    pub db: Db,
    pub plugins: Plugins,
    pub workflows: Workflows,
    pub events: Events,
    pub access: Access,
    pub secret: String,
    public: String,
    policy: TrustPolicy,
    pub dir: Arc<tempfile::TempDir>,
    secrets: Secrets,
    stop: CancellationToken,
    _database: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({})", self.dir.path().display())
    }
}

impl World {
    pub async fn new(db: Db) -> World {
        let (public, secret) = generate_key(None).unwrap();
        let policy = of_one(&public);
        World::start(
            db,
            Arc::new(tempfile::tempdir().unwrap()),
            Secrets::throwaway().unwrap(),
            public,
            secret,
            policy,
            false,
            HostLimits::default(),
        )
        .await
    }

    /// On SQLite, with other limits than the default ones.
    pub async fn limited(limits: HostLimits) -> World {
        let (db, guard) = plenum_store::testing::sqlite(SETS).await;
        let (public, secret) = generate_key(None).unwrap();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let policy = of_one(&public);
        World {
            _database: Some(guard),
            ..World::start(db, dir, Secrets::throwaway().unwrap(), public, secret, policy, false, limits).await
        }
    }

    /// On SQLite, for what has nothing to do with the database.
    pub async fn quick() -> World {
        let (db, guard) = plenum_store::testing::sqlite(SETS).await;
        World { _database: Some(guard), ..World::new(db).await }
    }

    #[allow(clippy::too_many_arguments)]
    async fn start(
        db: Db,
        dir: Arc<tempfile::TempDir>,
        secrets: Secrets,
        public: String,
        secret: String,
        policy: TrustPolicy,
        developer_mode: bool,
        limits: HostLimits,
    ) -> World {
        World::try_start(db, dir, secrets, public, secret, policy, developer_mode, limits).await.unwrap()
    }

    #[allow(clippy::too_many_arguments)]
    async fn try_start(
        db: Db,
        dir: Arc<tempfile::TempDir>,
        secrets: Secrets,
        public: String,
        secret: String,
        policy: TrustPolicy,
        developer_mode: bool,
        limits: HostLimits,
    ) -> Result<World, RuntimeError> {
        let stop = CancellationToken::new();
        let (access, events, docs) = (Access::new(db.clone()), Events::new(db.clone()), Documents::new(db.clone()));
        let cmdb = Cmdb::new(db.clone(), docs.clone(), access.clone()).await.unwrap();
        let jobs =
            Jobs::new(db.clone(), access.clone(), cmdb.clone(), JobsConfig::new(dir.path(), "127.0.0.1:1", secrets.clone())).await.unwrap();
        std::fs::create_dir_all(dir.path().join("catalog")).unwrap();
        let config = RuntimeConfig {
            data: dir.path().to_owned(),
            catalogs: vec![CatalogSpec::folder(dir.path().join("catalog"))],
            trust: policy.clone(),
            developer_mode,
            compiler: None,
            limits,
            limits_of: [("favoured".to_owned(), HostLimits { queue: 7, handles: 77, ..limits })].into(),
            secrets: secrets.clone(),
            // Where the stand-ins are.
            workflow_networks: vec!["127.0.0.1".into()],
            traces: None,
        };
        let jobs_end = jobs.clone();
        let plugins = Plugins::new(config, db.clone(), docs, access.clone(), events.clone(), cmdb, jobs, stop.clone()).unwrap();
        let workflows = Workflows::new(db.clone(), access.clone(), events.clone(), Arc::new(plugins.clone()));
        if let Err(e) = plugins.start(workflows.clone()).await {
            stop.cancel();
            jobs_end.close().await;
            return Err(e);
        }
        workflows.start_engine(stop.clone());
        Ok(World { db, plugins, workflows, events, access, secret, public, policy, dir, secrets, stop, _database: None })
    }

    /// The same data, after the process ended.
    pub async fn restarted(self) -> World {
        self.end().await;
        let World { db, dir, secrets, public, secret, policy, _database, .. } = self;
        World { _database, ..World::start(db, dir, secrets, public, secret, policy, false, HostLimits::default()).await }
    }

    /// With another configuration of whom it trusts.
    pub async fn with_trust(self, policy: TrustPolicy) -> World {
        self.end().await;
        let World { db, dir, secrets, public, secret, _database, .. } = self;
        World { _database, ..World::start(db, dir, secrets, public, secret, policy, false, HostLimits::default()).await }
    }

    /// With other keys of secrets; where it does not start, what was there.
    pub async fn with_secrets(mut self, secrets: Secrets) -> Result<World, (RuntimeError, World)> {
        self.end().await;
        let (public, secret, policy) = (self.public.clone(), self.secret.clone(), self.policy.clone());
        match World::try_start(self.db.clone(), self.dir.clone(), secrets, public, secret, policy, false, HostLimits::default()).await {
            Ok(w) => Ok(World { _database: self._database.take(), ..w }),
            Err(e) => Err((e, self)),
        }
    }

    pub async fn in_developer_mode(self) -> World {
        self.end().await;
        let World { db, dir, secrets, public, secret, policy, _database, .. } = self;
        World { _database, ..World::start(db, dir, secrets, public, secret, policy, true, HostLimits::default()).await }
    }

    pub async fn end(&self) {
        self.stop.cancel();
        self.workflows.stopped().await;
        self.plugins.stopped().await;
    }

    pub fn catalog_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("catalog")
    }

    /// Puts a package, signed by the publisher, into the catalog.
    pub fn offer(&self, mut archive: Archive) {
        archive.sign(&self.secret, None).unwrap();
        self.put("offered.plenum", &archive.to_bytes().unwrap());
    }

    pub fn put(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.catalog_dir().join(file), bytes).unwrap();
    }

    /// Offers and installs the guest of many behaviours.
    pub async fn installed(&self, limits: &str) -> Result<crate::Installed, RuntimeError> {
        self.offer(demo(limits));
        self.plugins.install(&admin(), "demo", None, &granted(&["events.read", "store"])).await
    }

    pub async fn action(&self, name: &str, input: Json) -> Result<Json, RuntimeError> {
        soon(self.plugins.call_action(&admin(), "demo", name, &input, None)).await
    }

    pub async fn log(&self) -> Vec<crate::logs::Line> {
        self.plugins.logs(&admin(), "demo", &crate::logs::LogQuery { limit: 5_000, ..Default::default() }).await.unwrap()
    }
}

pub fn granted(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

pub async fn soon<F: Future>(f: F) -> F::Output {
    tokio::time::timeout(PATIENCE, f).await.expect("in time")
}

/// Asks until the answer is there.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

const HEAD: &str = r#"
id = "demo"
name = "Demo"
version = "0.1.0"
api = "^0.1"
publisher = "Tests"
description = "Does good and bad things."
"#;

pub fn manifest(more: &str) -> Manifest {
    Manifest::from_toml(&format!("{HEAD}{more}")).unwrap()
}

const PARTS: &str = r#"
[[permissions]]
name = "events.read"
scope = { types = ["test.*"] }
reason = "Reacts"
[[permissions]]
name = "store"
reason = "Keeps"
[[actions]]
name = "echo"
input = "schemas/echo.json"
output = "schemas/echo.json"
[[events]]
types = ["test.*"]
filter = 'data.level == "high"'
[[collections]]
name = "things"
fields = { name = "string" }
unique = [["name"]]
[[workflows]]
name = "twice"
path = "workflows/twice.yaml"
[[schedules]]
id = "yearly"
cron = "0 0 1 1 *"
action = "echo"
[[settings]]
name = "level"
type = "string"
default = "low"
options = ["low", "high"]
[[settings]]
name = "token"
type = "string"
secret = true
"#;

const TWICE: &str = r#"
document: { dsl: 1.0.0, namespace: demo, name: twice, version: 0.1.0 }
do:
  - first: { call: demo.echo, with: { text: "${ .text }" } }
  - second: { call: demo.echo, with: { text: "${ .text + .text }" } }
"#;

/// The package of the guest of many behaviours.
pub fn demo(limits: &str) -> Archive {
    static WASM: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let actions: String = ["loop", "memory", "trap", "deep", "wait", "pause", "count", "flood", "no_json", "settings", "refuse"]
        .iter()
        .map(|n| format!("[[actions]]\nname = {n:?}\n"))
        .collect();
    PackageWriter::new(manifest(&format!("{limits}\n[component]\npath = \"plugin.wasm\"\n{PARTS}{actions}")))
        .component(WASM.get_or_init(|| guests::component("actions", guests::ACTIONS)).clone())
        .file(
            "schemas/echo.json",
            br#"{"type": "object", "properties": {"text": {"type": "string", "maxLength": 20}}, "additionalProperties": false}"#.to_vec(),
        )
        .file("workflows/twice.yaml", TWICE.into())
        .file("web/index.html", b"<p>hello</p>".to_vec())
        .finish()
        .unwrap()
}

/// Files below a folder, for what must not be left behind.
pub fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).map(|d| d.flatten().map(|f| f.file_name().to_string_lossy().into_owned()).collect()).unwrap_or_default();
    names.sort();
    names
}
