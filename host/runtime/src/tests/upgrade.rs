//! From one version to another and back, under calls, on both databases.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use plenum_store::{By, Query, params};
use serde_json::json;

use super::*;
use crate::Status;
use crate::upgrade::Difference;

const OK: &str = "(call $ok)";
const THINGS: &str = "plugin/demo/things";

fn package(version: &str, wasm: Vec<u8>, more: &str) -> Archive {
    let text = format!(
        "{more}\n[component]\npath = \"plugin.wasm\"\n[[permissions]]\nname = \"store\"\nreason = \"Keeps\"\n[[actions]]\nname = \"version\"\n\
         [[actions]]\nname = \"put\"\n[[collections]]\nname = \"things\"\nfields = {{ name = \"string\" }}\n"
    );
    let mut m = manifest(&text);
    m.version = semver::Version::new(0, version.parse().unwrap(), 0);
    PackageWriter::new(m).component(wasm).finish().unwrap()
}

async fn install(w: &World, version: &str, upgrade: &str, health: &str) -> Result<crate::Installed, RuntimeError> {
    w.offer(package(version, guests::migrator(version, upgrade, health), ""));
    soon(w.plugins.install(&admin(), "demo", None, &granted(&["store"]))).await
}

async fn version(w: &World) -> Json {
    w.action("version", json!({})).await.unwrap()
}

async fn records(w: &World) -> Vec<(String, i64, Json)> {
    let page = Documents::new(w.db.clone()).query(THINGS, &Query::default()).await.unwrap();
    page.items.into_iter().map(|d| (d.id, d.version, d.data)).collect()
}

/// Calls that never stop, until they are told to; each failure ends the test.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<i64>>>,
}

impl Load {
    fn start(w: &World, tasks: usize) -> Load {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let one = |i: usize| {
            let (plugins, stop, calls) = (w.plugins.clone(), stop.clone(), calls.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    // Every other task writes.
                    let (name, input) =
                        if i.is_multiple_of(2) { ("version", json!({})) } else { ("put", json!({"name": seen.len().to_string()})) };
                    let answer = plugins.call_action(&admin(), "demo", name, &input, None).await.expect("no call fails");
                    seen.push(answer.as_i64().unwrap());
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        };
        Load { tasks: (0..tasks).map(one).collect(), stop, calls }
    }

    /// Until so many more calls were answered.
    async fn more(&self, n: usize) {
        let target = self.calls.load(Ordering::Relaxed) + n;
        until(async || (self.calls.load(Ordering::Relaxed) >= target || self.tasks.iter().all(|t| t.is_finished())).then_some(())).await;
    }

    async fn end(self) -> Vec<Vec<i64>> {
        self.stop.store(true, Ordering::Relaxed);
        soon(futures::future::join_all(self.tasks)).await.into_iter().map(Result::unwrap).collect()
    }
}

plenum_store::both_databases! {
    migrations: SETS;

    async fn an_upgrade_under_load_drops_no_call(db: Db) {
        let w = World::new(db).await;
        install(&w, "1", OK, OK).await.unwrap();
        let load = Load::start(&w, 6);
        load.more(60).await;
        assert_eq!(install(&w, "2", OK, OK).await.unwrap().version, "0.2.0");
        load.more(60).await;
        for seen in load.end().await {
            assert!(seen.is_sorted() && seen.first() == Some(&1) && seen.last() == Some(&2), "{seen:?}");
        }
        let all = records(&w).await;
        assert!(all.iter().any(|(id, _, data)| id == "migrated" && data["name"] == "2"), "{all:?}");
        assert!(all.iter().any(|(id, version, _)| id == "put" && *version > 1), "{all:?}");
        let (versions, previous) = w.plugins.versions(&admin(), "demo").await.unwrap();
        let changes: Vec<_> = versions.iter().map(|v| (v.version.as_str(), v.change.as_str())).collect();
        assert_eq!((changes, previous.as_deref()), (vec![("0.2.0", "upgraded"), ("0.1.0", "installed")], Some("0.1.0")));
        let w = w.restarted().await;
        assert_eq!(version(&w).await, json!(2));
        // Nothing of it is left when it goes.
        w.plugins.uninstall(&admin(), "demo", true).await.unwrap();
        assert!(Documents::new(w.db.clone()).collections("").await.unwrap().iter().all(|c| !c.contains("demo")));
        assert!(files(&w.dir.path().join("plugins")).is_empty());
        assert!(files(&w.dir.path().join("compiled")).is_empty());
        w.end().await;
    }

    async fn a_broken_version_is_rolled_back_with_the_data_intact(db: Db) {
        let w = World::new(db).await;
        let made = install(&w, "1", OK, OK).await.unwrap();
        w.action("put", json!({"name": "mine"})).await.unwrap();
        let before = records(&w).await;
        let load = Load::start(&w, 2);
        load.more(20).await;
        // Each has written over the records before it fails.
        for (upgrade, health, says) in [("(unreachable)", OK, "failed (call"), ("(call $unwell)", OK, "not today"), (OK, "(call $unwell)", "not today"), (OK, "(unreachable)", "failed (call")] {
            let e = install(&w, "2", upgrade, health).await.unwrap_err();
            assert_eq!((e.code(), e.status()), ("plugin.rolled_back", 422), "{e}");
            assert!(e.to_string().contains(says) && e.to_string().contains("0.1.0"), "{e}");
        }
        load.more(20).await;
        for seen in load.end().await {
            assert!(seen.iter().all(|v| *v == 1), "{seen:?}");
        }
        let after = records(&w).await;
        let ids = |all: &[(String, i64, Json)]| all.iter().map(|(id, _, _)| id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&after), ids(&before));
        let now = w.plugins.plugin(&admin(), "demo").await.unwrap();
        assert_eq!((now.version.as_str(), &now.digest, now.status), ("0.1.0", &made.digest, Status::Active));
        let (versions, previous) = w.plugins.versions(&admin(), "demo").await.unwrap();
        assert_eq!((versions[0].change.as_str(), previous), ("failed", None));
        assert!(versions[0].reason.as_ref().unwrap().contains("failed (call"));
        let events = w.events.read(0, 1_000, &["plenum.plugin.rolled_back".to_owned()]).await.unwrap();
        assert_eq!(events.len(), 4);
        assert_eq!(files(&w.dir.path().join("plugins")).len(), 1);
        assert_eq!(Documents::new(w.db.clone()).collections("snapshot/").await.unwrap(), Vec::<String>::new());
        let w = w.restarted().await;
        assert_eq!(version(&w).await, json!(1));
        w.end().await;
    }

    async fn administrators_go_back_with_the_data_as_it_is_or_as_it_was(db: Db) {
        let w = World::new(db).await;
        install(&w, "1", OK, OK).await.unwrap();
        assert_eq!(w.plugins.rollback(&admin(), "demo", false).await.unwrap_err().status(), 409);
        w.action("put", json!({"name": "old"})).await.unwrap();
        install(&w, "2", OK, OK).await.unwrap();
        w.action("put", json!({"name": "new"})).await.unwrap();
        let names = async |w: &World| records(w).await.into_iter().map(|(_, _, d)| d["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(w.plugins.rollback(&admin(), "demo", false).await.unwrap().version, "0.1.0");
        assert_eq!((version(&w).await, names(&w).await), (json!(1), vec!["2".to_owned(), "new".into()]));
        // And forth again, and back with the records of then.
        assert_eq!(w.plugins.rollback(&admin(), "demo", false).await.unwrap().version, "0.2.0");
        w.action("put", json!({"name": "newer"})).await.unwrap();
        assert_eq!(w.plugins.rollback(&admin(), "demo", true).await.unwrap().version, "0.1.0");
        assert_eq!((version(&w).await, names(&w).await), (json!(1), vec!["2".to_owned(), "new".into()]));
        let w = w.restarted().await;
        assert_eq!(version(&w).await, json!(1));
        assert_eq!(w.plugins.rollback(&user(Role::Operator), "demo", false).await.unwrap_err().status(), 403);
        w.end().await;
    }

    async fn a_host_that_died_in_an_upgrade_goes_back(db: Db) {
        let w = World::new(db).await;
        install(&w, "1", OK, OK).await.unwrap();
        w.action("put", json!({"name": "mine"})).await.unwrap();
        let before = records(&w).await;
        install(&w, "2", OK, OK).await.unwrap();
        assert_ne!(records(&w).await, before);
        // As it is between the first and the last write of an upgrade.
        w.db.execute("UPDATE plugin_previous SET changing = 1 WHERE plugin = ?", params!["demo"]).await.unwrap();
        let w = w.restarted().await;
        assert_eq!((version(&w).await, records(&w).await), (json!(1), before));
        let (versions, previous) = w.plugins.versions(&admin(), "demo").await.unwrap();
        assert_eq!((versions[0].change.as_str(), previous), ("failed", None));
        w.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_the_version_before_wait_for_the_migration() {
    let w = World::quick().await;
    install(&w, "1", OK, OK).await.unwrap();
    let life = w.plugins.inner.lives.get("demo");
    let alone = life.writes.write().await;
    let writing = tokio::spawn({
        let plugins = w.plugins.clone();
        async move { plugins.call_action(&admin(), "demo", "put", &json!({"name": "x"}), None).await }
    });
    // Reading goes on.
    assert_eq!(version(&w).await, json!(1));
    assert!(!writing.is_finished());
    drop(alone);
    soon(writing).await.unwrap().unwrap();
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_keeps_callers_waiting_and_lets_those_inside_end() {
    let life = crate::life::Life::new("demo", HostLimits::default());
    let inside = life.enter().await.unwrap();
    let closed = life.close();
    assert!(!closed.empty(Duration::from_millis(20)).await);
    let waiting = tokio::spawn({
        let life = life.clone();
        async move { life.enter().await.map(drop) }
    });
    let gone = tokio::spawn(async move {
        assert!(closed.empty(PATIENCE).await);
        closed
    });
    drop(inside);
    let closed = soon(gone).await.unwrap();
    assert!(!waiting.is_finished());
    drop(closed);
    soon(waiting).await.unwrap().unwrap();
}

fn asking(version: u64, permissions: &str) -> Archive {
    let mut m = manifest(permissions);
    m.version = semver::Version::new(0, version, 0);
    PackageWriter::new(m).finish().unwrap()
}

fn permission(name: &str, scope: &str) -> String {
    format!("[[permissions]]\nname = {name:?}\nscope = {scope}\nreason = \"x\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_new_version_asks_for_beyond_its_grant_waits() {
    let w = World::quick().await;
    let both = permission("cmdb.read", "{ models = [\"host\", \"redis\"] }") + &permission("jobs.read", "{}");
    w.offer(asking(1, &(both + &permission("events.read", "{ types = [\"a.*\"] }"))));
    w.plugins.install(&admin(), "demo", None, &granted(&["cmdb.read", "jobs.read", "events.read"])).await.unwrap();
    let next = permission("cmdb.read", "{ models = [\"host\"] }")
        + &permission("events.read", "{ types = [\"a.b\", \"c\"] }")
        + &permission("http.outgoing", "{ hosts = [\"a.example.com\"] }");
    w.offer(asking(2, &next));
    let plan = w.plugins.upgrade_plan(&user(Role::Viewer), "demo", None).await.unwrap();
    assert_eq!((plan.from.as_str(), plan.to.as_str(), plan.needs_grant), ("0.1.0", "0.2.0", true));
    let found: Vec<_> = plan.permissions.iter().map(|p| (p.name.as_str(), p.change, p.needs_grant)).collect();
    assert_eq!(
        found,
        [
            ("cmdb.read", Difference::Changed, false),
            ("events.read", Difference::Changed, true),
            ("http.outgoing", Difference::Added, true),
            ("jobs.read", Difference::Removed, false),
        ]
    );
    // Without a word it has no more than it had, and no more than it asks for.
    let made = w.plugins.upgrade(&admin(), "demo", None).await.unwrap();
    assert_eq!(json!(made.granted), json!({"cmdb.read": {"models": ["host"]}, "events.read": {"types": ["a.*"]}}));
    let pending = async || {
        let uses = w.plugins.permission_uses(&admin(), "demo").await.unwrap();
        uses.into_iter().filter(|u| u.pending).map(|u| u.name).collect::<Vec<_>>()
    };
    assert_eq!(pending().await, ["events.read", "http.outgoing"]);
    // An administrator says yes, to one and the other.
    for who in [Role::Viewer, Role::Operator] {
        assert_eq!(w.plugins.set_grant(&user(who), "demo", &[]).await.unwrap_err().status(), 403);
    }
    w.plugins.set_grant(&admin(), "demo", &granted(&["cmdb.read", "events.read"])).await.unwrap();
    assert_eq!(pending().await, ["http.outgoing"]);
    let made = w.plugins.set_grant(&admin(), "demo", &granted(&["http.outgoing"])).await.unwrap();
    assert_eq!(json!(made.granted), json!({"http.outgoing": {"hosts": ["a.example.com"]}}));
    assert_eq!(w.plugins.set_grant(&admin(), "demo", &granted(&["jobs.run"])).await.unwrap_err().status(), 422);
    w.end().await;
}

#[test]
fn wider_means_more_than_was_granted() {
    use crate::upgrade::wider;
    let scope = |v: Json| serde_json::from_value::<plenum_access::Scope>(v).unwrap();
    for (permission, had, asked, is_wider) in [
        ("cmdb.read", json!({}), json!({}), false),
        ("cmdb.read", json!({}), json!({"models": ["host"]}), false),
        ("cmdb.read", json!({"models": ["host"]}), json!({}), true),
        ("cmdb.read", json!({"models": ["host"]}), json!({"models": ["host", "redis"]}), true),
        ("cmdb.read", json!({"models": ["ho*"]}), json!({"models": ["host"]}), false),
        ("cmdb.read", json!({"models": ["host"]}), json!({"models": ["ho*"]}), true),
        ("http.outgoing", json!({"hosts": ["a.b"]}), json!({"hosts": ["a.b"], "ports": ["22"]}), true),
        ("http.outgoing", json!({"hosts": ["a.b"]}), json!({"hosts": ["a.b"], "networks": ["10.0.0.0/8"]}), true),
        ("http.outgoing", json!({"hosts": ["a.b"]}), json!({"hosts": ["a.b"], "schemes": ["https"]}), false),
        ("http.outgoing", json!({"hosts": ["a.b"], "networks": ["10.0.0.0/8"]}), json!({"hosts": ["a.b"]}), false),
    ] {
        assert_eq!(wider(permission, &scope(had.clone()), &scope(asked.clone())), is_wider, "{permission} {had} {asked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_records_do_not_fit_changes_nothing() {
    let w = World::quick().await;
    install(&w, "1", OK, OK).await.unwrap();
    let docs = Documents::new(w.db.clone());
    let mut tx = w.db.begin().await.unwrap();
    for i in 0..2 {
        docs.insert(&mut tx, THINGS, None, json!({"name": "same", "i": i}), By { actor: "test", why: None }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut archive = manifest(
        "[component]\npath = \"plugin.wasm\"\n[[permissions]]\nname = \"store\"\nreason = \"Keeps\"\n[[actions]]\nname = \"version\"\n\
         [[collections]]\nname = \"things\"\nfields = { name = \"string\" }\nunique = [[\"name\"]]\n",
    );
    archive.version = semver::Version::new(0, 2, 0);
    w.offer(PackageWriter::new(archive).component(guests::migrator("2", OK, OK)).finish().unwrap());
    let e = w.plugins.install(&admin(), "demo", None, &granted(&["store"])).await.unwrap_err();
    assert!(e.to_string().contains("same name"), "{e}");
    assert_eq!(version(&w).await, json!(1));
    assert_eq!((records(&w).await.len(), files(&w.dir.path().join("plugins")).len()), (2, 1));
    let w = w.restarted().await;
    assert_eq!(version(&w).await, json!(1));
    w.end().await;
}
