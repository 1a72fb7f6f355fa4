//! From the catalog to active, off, on, through a restart, and away: on both databases.

use plenum_access::AuditQuery;
use plenum_store::events::{NewEvent, emit};
use plenum_store::params;
use plenum_workflow::RunStatus;
use serde_json::json;

use super::*;
use crate::Status;

async fn kinds_of_events(w: &World) -> Vec<String> {
    let all = w.events.read(0, 1_000, &["plenum.plugin.".to_owned()]).await.unwrap();
    all.into_iter().map(|e| e.kind).collect()
}

plenum_store::both_databases! {
    migrations: SETS;

    async fn install_disable_enable_restart_uninstall(db: Db) {
        let w = World::new(db).await;
        let made = w.installed("").await.unwrap();
        assert_eq!((made.status, made.version.as_str(), made.installed_by.as_str()), (Status::Active, "0.1.0", "alice"));
        assert_eq!(made.signature["publisher"], "Tests");
        assert_eq!(w.action("echo", json!({"text": "a"})).await.unwrap(), json!({"text": "a"}));
        let digest = made.digest.trim_start_matches("sha256:")[..12].to_owned();
        assert_eq!(w.plugins.file("demo", &digest, "web/index.html").unwrap(), "<p>hello</p>");

        assert_eq!(w.plugins.disable(&admin(), "demo").await.unwrap().status, Status::Disabled);
        let e = w.action("echo", json!({})).await.unwrap_err();
        assert!(e.to_string().contains("enable"), "{e}");
        assert!(w.plugins.file("demo", &digest, "web/index.html").is_err());
        let w = w.restarted().await;
        assert_eq!(w.plugins.plugin(&admin(), "demo").await.unwrap().status, Status::Disabled);
        assert_eq!(w.plugins.enable(&admin(), "demo").await.unwrap().status, Status::Active);
        assert!(w.action("echo", json!({})).await.is_ok());

        let compiled = files(&w.dir.path().join("compiled"));
        assert_eq!(compiled.len(), 1);
        let w = w.restarted().await;
        // Warm: loaded when the host is ready, from the same compiled code.
        assert_eq!(w.plugins.plugin(&admin(), "demo").await.unwrap().status, Status::Active);
        assert_eq!(files(&w.dir.path().join("compiled")), compiled);
        assert!(w.action("echo", json!({})).await.is_ok());

        // The guest traps when it is told to go, which keeps nothing.
        w.plugins.uninstall(&admin(), "demo", true).await.unwrap();
        assert!(w.plugins.installed(&admin()).await.unwrap().is_empty());
        assert!(w.workflows.definitions(&admin(), &Default::default()).await.unwrap().items.is_empty());
        assert!(w.workflows.schedules(&admin(), &Default::default()).await.unwrap().items.is_empty());
        assert!(files(&w.dir.path().join("plugins")).is_empty());
        assert!(files(&w.dir.path().join("compiled")).is_empty());
        assert_eq!(w.action("echo", json!({})).await.unwrap_err().status(), 404);

        let expected = ["installed", "disabled", "enabled", "uninstalled"];
        assert_eq!(kinds_of_events(&w).await, expected.map(|k| format!("plenum.plugin.{k}")));
        let audit = w.access.audit_log(&AuditQuery { target: Some("plugin/demo".into()), limit: 100, ..Default::default() }).await.unwrap();
        let actions: Vec<&str> = audit.iter().rev().map(|a| a.action.as_str()).filter(|a| a.starts_with("plugin.")).collect();
        assert_eq!(actions, expected.map(|k| format!("plugin.{k}")));
        w.end().await;
    }

    async fn data_is_kept_or_deleted_as_asked(db: Db) {
        let w = World::new(db).await;
        for keep in [true, false] {
            w.installed("").await.unwrap();
            let docs = Documents::new(w.db.clone());
            let mut tx = w.db.begin().await.unwrap();
            let by = plenum_store::By { actor: "test", why: None };
            docs.insert(&mut tx, "plugin/demo/things", Some(&format!("t{keep}")), json!({"name": format!("n{keep}")}), by).await.unwrap();
            tx.commit().await.unwrap();
            w.plugins.uninstall(&admin(), "demo", !keep).await.unwrap();
            let left = docs.collections("plugin/demo/").await.unwrap();
            assert_eq!(left.len(), usize::from(keep));
        }
        w.end().await;
    }

    async fn its_workflow_runs_its_actions(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        let run = w.workflows.start(&Principal::System("test"), "demo.twice", json!({"text": "ab"}), None).await.unwrap();
        let ended = until(async || {
            let r = w.workflows.run(&admin(), &run.id).await.unwrap();
            matches!(r.status, RunStatus::Succeeded | RunStatus::Failed).then_some(r)
        })
        .await;
        assert_eq!((ended.status, ended.output), (RunStatus::Succeeded, json!({"text": "abab"})), "{:?}", ended.error);
        let schedules = w.workflows.schedules(&admin(), &Default::default()).await.unwrap().items;
        assert_eq!((schedules.len(), schedules[0].spec.owner_plugin.as_deref()), (1, Some("demo")));
        w.end().await;
    }

    async fn events_are_handed_over_once_each_across_a_restart(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        let publish = async |w: &World, kind: &str, subject: &str, level: &str| {
            let mut tx = w.db.begin().await.unwrap();
            emit(&mut tx, NewEvent { kind: kind.into(), source: "/test".into(), subject: subject.into(), data: json!({"level": level}) }).await.unwrap();
            tx.commit().await.unwrap();
        };
        let seen = async |w: &World| {
            let mut s: Vec<String> = w.log().await.iter().filter(|l| l.message == "handled").map(|l| l.fields["subject"].as_str().unwrap().to_owned()).collect();
            s.reverse();
            s
        };
        publish(&w, "test.a", "one", "high").await;
        publish(&w, "test.b", "two", "low").await;
        publish(&w, "other.a", "three", "high").await;
        publish(&w, "test.b", "four", "high").await;
        until(async || (seen(&w).await.len() == 2).then_some(())).await;
        assert_eq!(seen(&w).await, ["one", "four"]);
        // Its place is kept a moment after the hand-over; an event may come twice only if the host dies between the two.
        until(async || {
            let latest = w.events.latest().await.unwrap();
            let row = w.db.fetch_optional("SELECT seq FROM event_cursors WHERE name = ?", params!["plugin/demo"]).await.unwrap()?;
            let last = w.events.read(row.int("seq").unwrap(), 10, &["test.".to_owned()]).await.unwrap();
            (last.is_empty() && latest > 0).then_some(())
        })
        .await;
        let w = w.restarted().await;
        publish(&w, "test.c", "five", "high").await;
        until(async || (seen(&w).await.len() >= 3).then_some(())).await;
        assert_eq!(seen(&w).await, ["one", "four", "five"]);
        w.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_fire_and_stay_switched_off_when_somebody_did() {
    let w = World::quick().await;
    w.installed("[[schedules]]\nid = \"second\"\ncron = \"* * * * * *\"\n").await.unwrap();
    until(async || w.log().await.iter().any(|l| l.message == "second").then_some(())).await;
    let find = async |w: &World| {
        let all = w.workflows.schedules(&admin(), &Default::default()).await.unwrap().items;
        all.into_iter().find(|s| s.spec.name == "demo/second").unwrap()
    };
    let off = plenum_workflow::SchedulePatch { enabled: Some(false), ..Default::default() };
    w.workflows.update_schedule(&admin(), &find(&w).await.id, off).await.unwrap();
    let w = w.restarted().await;
    assert!(!find(&w).await.spec.enabled);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_fails_leaves_the_version_before() {
    let w = World::quick().await;
    let made = w.installed("").await.unwrap();
    let mut m = manifest("[[workflows]]\nname = \"new\"\npath = \"new.yaml\"\n[[workflows]]\nname = \"twice\"\npath = \"bad.yaml\"\n");
    m.version = semver::Version::new(0, 2, 0);
    let good = "document: { dsl: 1.0.0, namespace: demo, name: new, version: 0.1.0 }\ndo: [ { a: { set: { x: 1 } } } ]";
    w.offer(PackageWriter::new(m.clone()).file("new.yaml", good.into()).file("bad.yaml", b"do: 3".to_vec()).finish().unwrap());
    w.plugins.install(&admin(), "demo", None, &[]).await.unwrap_err();
    let now = w.plugins.plugin(&admin(), "demo").await.unwrap();
    assert_eq!((now.version.as_str(), &now.digest, now.status), ("0.1.0", &made.digest, Status::Active));
    assert!(w.action("echo", json!({})).await.is_ok());
    let names = async |w: &World| {
        let all = w.workflows.definitions(&admin(), &Default::default()).await.unwrap().items;
        all.into_iter().map(|d| d.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&w).await, ["demo.twice"]);
    let w = w.restarted().await;
    assert!(w.action("echo", json!({})).await.is_ok());

    // And one that succeeds takes away what it no longer has.
    m.workflows.truncate(1);
    w.offer(PackageWriter::new(m).file("new.yaml", good.into()).finish().unwrap());
    w.plugins.install(&admin(), "demo", None, &[]).await.unwrap();
    assert_eq!(names(&w).await, ["demo.new"]);
    assert!(w.workflows.schedules(&admin(), &Default::default()).await.unwrap().items.is_empty());
    // The version before is kept, to go back to.
    assert_eq!(files(&w.dir.path().join("plugins")).len(), 2);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_have_defaults_are_checked_and_keep_secrets() {
    let w = World::quick().await;
    w.installed("").await.unwrap();
    assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "low"}));
    w.plugins.set_settings(&admin(), "demo", json!({"level": "high", "token": "s3cret"})).await.unwrap();
    assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "high", "token": "s3cret"}));
    assert_eq!(w.plugins.settings(&admin(), "demo").await.unwrap().1, json!({"level": "high", "token": true}));
    for (bad, says) in [
        (json!({"level": "middle"}), "low, high"),
        (json!({"level": 3}), "a string"),
        (json!({"levle": "low"}), "levle"),
        (json!(3), "object"),
    ] {
        let e = w.plugins.set_settings(&admin(), "demo", bad).await.unwrap_err();
        assert!(e.status() == 422 && e.to_string().contains(says), "{e}");
    }
    w.plugins.set_settings(&admin(), "demo", json!({"level": null})).await.unwrap();
    assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "low", "token": "s3cret"}));
    let audit = w.access.audit_log(&AuditQuery { target: Some("plugin/demo".into()), limit: 100, ..Default::default() }).await.unwrap();
    assert!(!serde_json::to_string(&audit).unwrap().contains("s3cret"));
    let w = w.restarted().await;
    assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "low", "token": "s3cret"}));
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_stored_package_fails_alone_and_says_so() {
    let w = World::quick().await;
    let made = w.installed("").await.unwrap();
    let path = w.dir.path().join("plugins").join(format!("{}.plenum", made.digest.trim_start_matches("sha256:")));
    std::fs::write(&path, b"junk").unwrap();
    let w = w.restarted().await;
    let p = w.plugins.plugin(&admin(), "demo").await.unwrap();
    assert_eq!(p.status, Status::Failed);
    assert!(p.status_reason.unwrap().contains("not a whole package"));
    // Installed again it works again.
    w.installed("").await.unwrap();
    assert!(w.action("echo", json!({})).await.is_ok());
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_compile_cache_is_made_anew() {
    let w = World::quick().await;
    w.installed("").await.unwrap();
    let file = w.dir.path().join("compiled").join(&files(&w.dir.path().join("compiled"))[0]);
    std::fs::write(&file, b"junk").unwrap();
    let w = w.restarted().await;
    until(async || (w.plugins.plugin(&admin(), "demo").await.unwrap().status == Status::Active).then_some(())).await;
    assert!(w.action("echo", json!({})).await.is_ok());
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_in_a_schedule_or_a_health_check_is_that_call_alone() {
    let w = World::quick().await;
    let wasm = guests::component(
        "watchman",
        r#"(module
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "plenum:plugin/schedule@0.1.0#fire") (param i32 i32 i64) (result i32) (unreachable))
            (func (export "plenum:plugin/health@0.1.0#check") (result i32) (unreachable))
            (func (export "plenum:plugin/actions@0.1.0#call") (param i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 512) (i32.const 0))
                (i32.store (i32.const 516) (local.get 2))
                (i32.store (i32.const 520) (local.get 3))
                (i32.const 512)))"#,
    );
    let more = "[component]\npath = \"plugin.wasm\"\n[[actions]]\nname = \"go\"\n[[schedules]]\nid = \"yearly\"\ncron = \"0 0 1 1 *\"\n";
    w.offer(PackageWriter::new(manifest(more)).component(wasm).finish().unwrap());
    w.plugins.install(&admin(), "demo", None, &[]).await.unwrap();
    let loaded = w.plugins.loaded("demo").unwrap();
    for _ in 0..3 {
        let visit = loaded.life.own_visit();
        assert_eq!(loaded.fire(w.plugins.services(), visit, "yearly", None).await.unwrap_err().code(), "plugin.trap");
        assert_eq!(loaded.healthy(w.plugins.services()).await.unwrap_err().code(), "plugin.trap");
        assert_eq!(w.action("go", serde_json::json!({"n": 1})).await.unwrap(), serde_json::json!({"n": 1}));
    }
    let traps = w.plugins.traps(&admin(), "demo").await.unwrap();
    let what: Vec<&str> = traps.iter().map(|t| t.trap.what.as_str()).collect();
    assert_eq!(what, ["health check", "schedule yearly", "health check", "schedule yearly", "health check", "schedule yearly"]);
    assert_eq!(w.plugins.metrics(&admin(), "demo").await.unwrap().stats.stopped, [("plugin.trap".to_owned(), 6)].into());
    w.end().await;
}
