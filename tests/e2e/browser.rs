//! The main job as a person does it: `tests/browser/walk.mjs` in a headless Chromium, against a real host with a real agent.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use plenum_tests::{Agent, Database, Host, HostOptions, bin_dir, build_key, catalog_dir, eventually};
use serde_json::json;
use tempfile::TempDir;

/// A Redis of the test's own, for the agent to find. Killed when dropped.
struct Redis {
    _dir: TempDir,
    child: Child,
}

impl Redis {
    fn start() -> Redis {
        let dir = tempfile::Builder::new().prefix("plenum-redis-").tempdir().expect("a temporary folder");
        // A port that was free a moment ago: Redis cannot be asked to choose one and tell.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        Redis { _dir: dir, child }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Packs the plugin that the walk upgrades, the older version into `catalog`; answers the newer one's file.
fn pack_upgrade(browser: &Path, catalog: &Path, next: &Path) -> PathBuf {
    let folder = browser.join("upgrade");
    let manifest = std::fs::read_to_string(folder.join("plugin.toml")).expect("the manifest of the plugin to upgrade");
    let (first, added) = manifest.split_once("# ----").expect("a line of dashes");
    let versions = [(first.to_owned(), catalog), (format!("{}{added}", first.replace("\"0.1.0\"", "\"0.2.0\"")), next)];
    for (text, out) in versions {
        let work = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(work.path().join("pages")).expect("a folder for its pages");
        std::fs::copy(folder.join("pages/main.json"), work.path().join("pages/main.json")).expect("its page");
        std::fs::write(work.path().join("plugin.toml"), text).expect("its manifest");
        let made = Command::new(bin_dir().join("plenum"))
            .args(["plugin", "build"])
            .arg(work.path())
            .arg("--out")
            .arg(out)
            .arg("--key")
            .arg(build_key().with_extension("key"))
            .output()
            .expect("the plenum command");
        assert!(made.status.success(), "it does not pack: {}", String::from_utf8_lossy(&made.stderr));
    }
    next.join("walk-board-0.2.0.plenum")
}

async fn walk(database: Database, every_page: bool) {
    let browser = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    assert!(
        browser.join("node_modules/playwright-core").exists(),
        "the walk needs playwright-core: run `npm ci` in tests/browser, or `make test`"
    );
    let _redis = Redis::start();
    let (catalog, next) = (tempfile::tempdir().expect("a temporary folder"), tempfile::tempdir().expect("a temporary folder"));
    let upgrade = pack_upgrade(&browser, catalog.path(), next.path());
    let catalogs = vec![catalog_dir(), catalog.path().to_owned()];
    let host = Host::start(HostOptions { database, catalogs, ..HostOptions::default() }).await;
    let _agent = Agent::start(&host).await;
    let admin = host.admin().await;
    eventually("the agent's facts and the Redis to reach the CMDB", || async {
        let hosts = admin.get("/api/v1/cmdb/models/host/instances").await;
        let services = admin.get("/api/v1/cmdb/models/redis/instances").await;
        (hosts["items"] != json!([]) && services["items"] != json!([])).then_some(())
    })
    .await;
    let mut command = Command::new("node");
    command
        .arg("walk.mjs")
        .current_dir(&browser)
        .env("PLENUM_URL", &host.url)
        .env("PLENUM_USER", "admin")
        .env("PLENUM_PASSWORD", &host.password)
        .env("PLENUM_SERVICE", "redis")
        .env("PLENUM_CATALOG_FOLDER", catalog.path())
        .env("PLENUM_NEXT_PACKAGE", upgrade)
        .env("PLENUM_EVERY_PAGE", if every_page { "yes" } else { "no" });
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().expect("node is installed");
    assert!(status.success(), "the walk through the portal failed: see above");
}

#[tokio::test]
async fn the_walk_through_the_portal_on_sqlite() {
    walk(Database::Sqlite, true).await;
}

// The pages are the same: the way through them is enough.
#[tokio::test]
async fn the_walk_through_the_portal_on_postgres() {
    walk(Database::Postgres(plenum_store::testing::postgres_url().await), false).await;
}
