#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attributes;
mod health;
mod kinds;
mod records;
mod remodel;
mod requests;
mod scope;
mod scopes;
mod search;
mod secrets;
mod sources;

use plenum_access::{Role, UserPrincipal};
use plenum_store::{Db, Events};
use serde_json::json;

use super::*;
use crate::facts::NodeFacts;

async fn cmdb(db: &Db) -> Cmdb {
    Cmdb::new(db.clone(), Documents::new(db.clone()), Access::new(db.clone())).await.unwrap()
}

fn user(role: Role) -> Principal {
    Principal::User(UserPrincipal { id: "u".into(), name: "alice".into(), role })
}

fn admin() -> Principal {
    user(Role::Administrator)
}

fn agent(node: &str) -> Principal {
    Principal::Agent { node: node.into() }
}

fn facts(hostname: &str, machine: &str, services: Json) -> NodeFacts {
    serde_json::from_value(json!({
        "node": {
            "hostname": hostname, "machine_id": machine, "cpu_count": 4, "memory_bytes": 8_000_000_000_i64, "addresses": ["10.1.0.7"],
            "mounts": [{"device": "/dev/sda", "mount_point": "/", "fs_type": "ext4", "size_bytes": 100, "used_bytes": 50, "from_the_future": 1}],
            "from_the_future": true, "cpu_model": null,
        },
        "services": services,
    }))
    .unwrap()
}

async fn hosts(c: &Cmdb) -> Vec<Instance> {
    c.list(&admin(), "host", &Query::default()).await.unwrap().items
}

async fn found_by(c: &Cmdb, who: &Principal, text: &str) -> Hits {
    c.search(who, &SearchQuery { text: text.into(), ..SearchQuery::default() }).await.unwrap()
}

const MIGRATE: &[&[Migration]] = &[plenum_access::MIGRATIONS, MIGRATIONS];

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn facts_make_one_host_and_quiet_history(db: Db) {
        let c = cmdb(&db).await;
        let pg = json!([{"model": "postgresql", "name": "postgresql:5432", "version": "15.1", "port": 5432, "pid": 10, "process": "postgres"}]);
        let first = c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", pg.clone())).await.unwrap();
        assert_eq!(first.host.attributes["status"], "online");
        assert_eq!(first.services[0].label, "postgresql:5432@web1");
        // Only the disk's use and a process id move: stored, but no version.
        let mut again = facts("web1", "m-0001", json!([{"model": "postgresql", "name": "postgresql:5432", "version": "15.1", "port": 5432, "pid": 11, "process": "postgres"}]));
        again.node["mounts"][0]["used_bytes"] = json!(51);
        let second = c.reconcile(&agent("n1"), "n1", again).await.unwrap();
        assert_eq!((second.host.id.clone(), second.host.version), (first.host.id.clone(), 1));
        let stored = c.get(&admin(), "host", &first.host.id).await.unwrap();
        assert_eq!(stored.attributes["mounts"][0]["used_bytes"], 51);
        assert_eq!(c.get(&admin(), "postgresql", &first.services[0].id).await.unwrap().attributes["pid"], 11);
        // What changed is history; what a person wrote stays.
        c.update(&admin(), "host", &first.host.id, json!({"env": "prod"}), None, Some("CHG-1")).await.unwrap();
        let third = c.reconcile(&agent("n1"), "n1", facts("web1.example", "m-0001", json!([]))).await.unwrap();
        assert_eq!((third.host.attributes["env"].as_str(), third.host.version), (Some("prod"), 3));
        assert_eq!(third.services[0].attributes["status"], "stopped");
        let h = c.history(&admin(), "host", &first.host.id, None, 10).await.unwrap();
        assert_eq!(h.len(), 3);
        assert_eq!((h[1].actor.as_str(), h[1].why.as_deref()), ("alice", Some("CHG-1")));
        let related = c.related(&admin(), "host", &first.host.id).await.unwrap();
        assert_eq!((related.len(), related[0].kind.as_str(), related[0].direction), (1, "runs_on", Direction::Backward));
        assert_eq!(c.node_of("postgresql", &first.services[0].id).await.unwrap().as_deref(), Some("n1"));
        assert_eq!(hosts(&c).await.len(), 1);
    }

    async fn a_machine_is_recognised_by_any_of_its_names(db: Db) {
        let c = cmdb(&db).await;
        let by_hand = c.create(&admin(), "host", json!({"hostname": "planned", "addresses": ["10.1.0.7"], "owner": "bob"}), None).await;
        // Attributes of discovery can be given when a record is made by hand, before there is an agent.
        let by_hand = by_hand.unwrap();
        let found = c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", json!([]))).await.unwrap();
        assert_eq!((found.host.id.as_str(), found.host.attributes["owner"].as_str()), (by_hand.id.as_str(), Some("bob")));
        // Enrolled again as another node: the machine id tells.
        let again = c.reconcile(&agent("n2"), "n2", facts("web1", "m-0001", json!([]))).await.unwrap();
        assert_eq!(again.host.id, by_hand.id);
        // Another machine behind the same address is another host.
        let other = c.reconcile(&agent("n3"), "n3", facts("web2", "m-0002", json!([]))).await.unwrap();
        assert_ne!(other.host.id, by_hand.id);
        // A machine id of zeros says nothing.
        c.reconcile(&agent("n4"), "n4", facts("a", "00000000", json!([]))).await.unwrap();
        c.reconcile(&agent("n5"), "n5", facts("b", "00000000", json!([]))).await.unwrap();
        assert_eq!(hosts(&c).await.len(), 4);
    }

    async fn reports_at_once_make_no_duplicates(db: Db) {
        let c = cmdb(&db).await;
        let mut set = tokio::task::JoinSet::new();
        for i in 0..12 {
            let c = c.clone();
            set.spawn(async move {
                let n = format!("n{}", i % 3);
                c.reconcile(&agent(&n), &n, facts(&n, &format!("machine-{}", i % 3), json!([{"model": "redis", "name": "redis:6379", "port": 6379}]))).await.map(|_| ())
            });
        }
        for r in set.join_all().await {
            r.unwrap();
        }
        assert_eq!(hosts(&c).await.len(), 3);
        assert_eq!(c.list(&admin(), "redis", &Query::default()).await.unwrap().items.len(), 3);
    }

    async fn services_follow_their_machine(db: Db) {
        let c = cmdb(&db).await;
        let redis = json!([{"model": "redis", "name": "redis:6379", "port": 6379}]);
        let first = c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", redis.clone())).await.unwrap();
        // Enrolled again as another node: the same records.
        let again = c.reconcile(&agent("n2"), "n2", facts("web1", "m-0001", redis.clone())).await.unwrap();
        assert_eq!((again.host.id.clone(), again.services[0].id.clone()), (first.host.id.clone(), first.services[0].id.clone()));
        assert_eq!(again.services[0].attributes["node_id"], "n2");
        // Its host was deleted and is found anew: the service runs on that one, and on it only.
        c.delete(&admin(), "host", &first.host.id, None, None).await.unwrap();
        let anew = c.reconcile(&agent("n2"), "n2", facts("web1", "m-0001", redis.clone())).await.unwrap();
        assert_ne!(anew.host.id, first.host.id);
        assert_eq!(anew.services[0].id, first.services[0].id);
        let related = c.related(&admin(), "redis", &first.services[0].id).await.unwrap();
        assert_eq!(related.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [anew.host.id.as_str()]);
        // Gone after yet another enrolment: stopped, though another node reported it last.
        let gone = c.reconcile(&agent("n3"), "n3", facts("web1", "m-0001", json!([]))).await.unwrap();
        assert_eq!(gone.services[0].attributes["status"], "stopped");
        assert_eq!(c.list(&admin(), "redis", &Query::default()).await.unwrap().items.len(), 1);
    }

    async fn a_strange_report_keeps_nothing_else_out(db: Db) {
        let c = cmdb(&db).await;
        let twice = json!([{"model": "redis", "name": "r"}, {"model": "redis", "name": "r"}, {"model": "toaster", "name": "t"}, {"model": "redis"}]);
        let mut f = facts("web1", "m-0001", twice);
        f.node.insert("cpu_count".into(), json!("four"));
        f.node.insert("kernel".into(), json!("k".repeat(5000)));
        f.node.insert("disks".into(), json!([{"name": "sda", "size_bytes": "big"}]));
        let r = c.reconcile(&agent("n1"), "n1", f).await.unwrap();
        let has = |k: &str| r.host.attributes.get(k).is_some();
        assert_eq!((has("cpu_count"), has("kernel"), has("disks"), has("memory_bytes")), (false, false, false, true));
        assert_eq!(r.services.len(), 1);
    }

    async fn what_only_looks_changed_makes_no_history(db: Db) {
        let c = cmdb(&db).await;
        let report = |boot: &str, turn: bool, used: i64| {
            let mut f = facts("web1", "m-0001", json!([]));
            f.node.insert("boot_time".into(), boot.into());
            let mut rows = vec![json!({"name": "eth0", "up": true}), json!({"up": false, "name": "eth1"})];
            let mut addresses = vec!["10.0.0.1", "10.0.0.2"];
            if turn {
                rows.reverse();
                addresses.reverse();
            }
            f.node.insert("interfaces".into(), json!(rows));
            f.node.insert("addresses".into(), json!(addresses));
            f.node["mounts"][0]["used_bytes"] = json!(used);
            f
        };
        let first = c.reconcile(&agent("n1"), "n1", report("2026-01-01T00:00:00Z", false, 1)).await.unwrap().host;
        let same = c.reconcile(&agent("n1"), "n1", report("2026-01-01T00:00:01Z", true, 2)).await.unwrap().host;
        assert_eq!((same.version, same.updated_at), (1, first.updated_at));
        let stored = c.get(&admin(), "host", &first.id).await.unwrap();
        assert_eq!((stored.attributes["mounts"][0]["used_bytes"].as_i64(), stored.updated_at), (Some(2), first.updated_at));
        let rebooted = c.reconcile(&agent("n1"), "n1", report("2026-01-02T00:00:00Z", false, 2)).await.unwrap().host;
        assert_eq!((rebooted.version, rebooted.attributes["boot_time"].as_str()), (2, Some("2026-01-02T00:00:00.000Z")));
    }

    async fn a_model_does_not_change_under_its_instances(db: Db) {
        let c = cmdb(&db).await;
        for round in 0..6 {
            let name = format!("thing{round}");
            let made = c.create_model(&admin(), model(&name)).await.unwrap();
            let mut cut = made.model.clone();
            cut.attributes.retain(|a| a.name != "seats");
            let (a, b) = (c.clone(), c.clone());
            let n = name.clone();
            let write = tokio::spawn(async move { a.create(&admin(), &n, json!({"name": "x", "seats": 1}), None).await });
            let change = tokio::spawn(async move { if round % 2 == 0 { b.update_model(&admin(), cut, Some(1)).await.map(|_| ()) } else { b.delete_model(&admin(), &cut.name).await } });
            let (write, change) = (write.await.unwrap(), change.await.unwrap());
            // Either order, never both.
            assert!(write.is_ok() != change.is_ok(), "{round}: {write:?} {change:?}");
            if let Ok(i) = write {
                assert_eq!(c.get(&admin(), &name, &i.id).await.unwrap().attributes["seats"], 1);
            }
        }
        let made = c.create_model(&admin(), model("contested")).await.unwrap().model;
        let mut set = tokio::task::JoinSet::new();
        for i in 0..6 {
            let (c, mut m) = (c.clone(), made.clone());
            m.attributes.push(serde_json::from_value(json!({"name": format!("a{i}"), "kind": "text"})).unwrap());
            set.spawn(async move { c.update_model(&admin(), m, Some(1)).await });
        }
        let won = set.join_all().await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1, "of those who read version 1, one may write");
    }

    async fn built_in_models_keep_what_was_added(db: Db) {
        let c = cmdb(&db).await;
        let mut m = c.model(&admin(), "host").await.unwrap().model;
        let status = m.attributes.iter_mut().find(|a| a.name == "status").unwrap();
        status.options.push("retired".into());
        status.title = serde_json::from_value(json!({"en": "State", "zh": "状态"})).unwrap();
        m.attributes.iter_mut().find(|a| a.name == "kernel").unwrap().indexed = true;
        c.update_model(&admin(), m.clone(), None).await.unwrap();
        let after = cmdb(&db).await.model(&admin(), "host").await.unwrap();
        assert_eq!(after.model, m, "a restart changes nothing");
        assert_eq!(after.version, 2);
        // Nothing that would keep discovery from going on.
        let mut required = m.clone();
        required.attributes.push(serde_json::from_value(json!({"name": "cost_centre", "kind": "text", "required": true})).unwrap());
        let mut unique = m.clone();
        unique.unique.push(vec!["hostname".into()]);
        for (bad, at) in [(required, "/required"), (unique, "/unique/1")] {
            match c.update_model(&admin(), bad, None).await.unwrap_err() {
                CmdbError::InvalidModel { pointer, message } => assert!(pointer.ends_with(at) && message.contains("discovery"), "{pointer} {message}"),
                e => panic!("{e}"),
            }
        }
    }

    async fn links_at_once_keep_their_cardinality(db: Db) {
        let c = cmdb(&db).await;
        let mut ids = Vec::new();
        for i in 0..5 {
            ids.push(c.create(&admin(), "system", json!({"name": format!("s{i}")}), None).await.unwrap().id);
        }
        let mut set = tokio::task::JoinSet::new();
        for to in &ids[1..] {
            let (c, from, to) = (c.clone(), ids[0].clone(), to.clone());
            set.spawn(async move { c.associate(&admin(), "runs_on", ("system", &from), ("system", &to)).await.is_ok() });
        }
        assert_eq!(set.join_all().await.into_iter().filter(|ok| *ok).count(), 1);
        // Both ways at once: neither waits for the other.
        let mut set = tokio::task::JoinSet::new();
        for i in 0..10 {
            let (c, a, b) = (c.clone(), ids[i % 2].clone(), ids[1 - i % 2].clone());
            set.spawn(async move { c.associate(&admin(), "depends_on", ("system", &a), ("system", &b)).await.map(|_| ()) });
        }
        for r in set.join_all().await {
            r.unwrap();
        }
        assert_eq!(c.related(&admin(), "system", "no-such").await.unwrap_err().code(), "cmdb.not_found");
    }

    async fn an_agent_reports_only_about_its_own_node(db: Db) {
        let c = cmdb(&db).await;
        let e = c.reconcile(&agent("n1"), "n2", facts("x", "m-0009", json!([]))).await.unwrap_err();
        assert_eq!(e.code(), "access.denied");
        assert_eq!(c.list(&agent("n1"), "host", &Query::default()).await.unwrap_err().code(), "access.denied");
    }

    async fn viewer_changes_nothing(db: Db) {
        let c = cmdb(&db).await;
        let vera = user(Role::Viewer);
        assert_eq!(c.create(&vera, "team", json!({"name": "x"}), None).await.unwrap_err().code(), "access.denied");
        let t = c.create(&user(Role::Operator), "team", json!({"name": "x"}), None).await.unwrap();
        assert_eq!(c.update(&vera, "team", &t.id, json!({"name": "y"}), None, None).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.delete(&vera, "team", &t.id, None, None).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.create_model(&user(Role::Operator), model("thing")).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.list(&vera, "team", &Query::default()).await.unwrap().items.len(), 1);
    }

    async fn a_plugin_reads_only_granted_models(db: Db) {
        let c = cmdb(&db).await;
        let grant = serde_json::from_value(json!({"cmdb.read": {"models": ["host"]}})).unwrap();
        let p = Principal::Plugin(plenum_access::PluginPrincipal { id: "p".into(), grant: std::sync::Arc::new(grant), on_behalf: None });
        assert!(c.list(&p, "host", &Query::default()).await.is_ok());
        assert_eq!(c.list(&p, "team", &Query::default()).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.models(&p).await.unwrap().len(), 1);
        assert!(found_by(&c, &p, "x").await.items.is_empty());
    }

    async fn instances_are_held_to_their_model(db: Db) {
        let c = cmdb(&db).await;
        for (bad, pointer, word) in [
            (json!({"name": "x", "emial": "y"}), "/emial", "did you mean email?"),
            (json!({"email": "y"}), "/name", "required"),
            (json!({"name": 5}), "/name", "text"),
            (json!({"name": "x", "members": "bob"}), "/members", "list"),
        ] {
            match c.create(&admin(), "team", bad, None).await.unwrap_err() {
                CmdbError::InvalidInstance { pointer: p, message } => assert!(p == pointer && message.contains(word), "{p} {message}"),
                e => panic!("{e}"),
            }
        }
        let t = c.create(&admin(), "team", json!({"name": "dba"}), None).await.unwrap();
        assert_eq!(c.create(&admin(), "team", json!({"name": "dba"}), None).await.unwrap_err().code(), "cmdb.duplicate");
        assert_eq!(c.update(&admin(), "team", &t.id, json!({"email": "x"}), Some(9), None).await.unwrap_err().code(), "cmdb.conflict");
        let h = c.reconcile(&agent("n"), "n", facts("h", "m-0003", json!([]))).await.unwrap().host;
        assert!(c.update(&admin(), "host", &h.id, json!({"kernel": "7"}), None, None).await.unwrap_err().to_string().contains("discovery"));
        assert_eq!(c.list(&admin(), "hsot", &Query::default()).await.unwrap_err().to_string(), "there is no model hsot; did you mean host?");
    }

    async fn models_are_made_extended_and_kept_sound(db: Db) {
        let c = cmdb(&db).await;
        let made = c.create_model(&admin(), model("licence_key")).await.unwrap();
        let i = c.create(&admin(), "licence_key", json!({"name": "a", "seats": 5}), None).await.unwrap();
        assert_eq!(c.preview(&admin(), "licence_key", "seats > 3").await.unwrap().count, 1);
        assert_eq!(c.preview(&admin(), "licence_key", "seats > 3").await.unwrap().unindexed, ["seats"]);
        let mut cut = made.model.clone();
        cut.attributes.retain(|a| a.name != "seats");
        let e = c.update_model(&admin(), cut, None).await.unwrap_err();
        assert!(e.to_string().contains("a (") && e.code() == "cmdb.in_use", "{e}");
        assert_eq!(c.delete_model(&admin(), "licence_key").await.unwrap_err().code(), "cmdb.in_use");
        c.delete(&admin(), "licence_key", &i.id, None, None).await.unwrap();
        c.delete_model(&admin(), "licence_key").await.unwrap();
        // A built-in model is extended and not cut; what was added outlives a restart.
        let mut host = c.model(&admin(), "host").await.unwrap().model;
        host.attributes.push(serde_json::from_value(json!({"name": "rack_unit", "kind": "integer", "indexed": true})).unwrap());
        c.update_model(&admin(), host.clone(), Some(1)).await.unwrap();
        assert!(cmdb(&db).await.model(&admin(), "host").await.unwrap().model.attribute("rack_unit").is_some());
        host.attributes.retain(|a| a.name != "kernel");
        assert!(c.update_model(&admin(), host, None).await.unwrap_err().to_string().contains("kernel"));
    }

    async fn associations_keep_their_cardinality(db: Db) {
        let c = cmdb(&db).await;
        let team = c.create(&admin(), "team", json!({"name": "t"}), None).await.unwrap();
        let a = c.create(&admin(), "system", json!({"name": "a"}), None).await.unwrap();
        let b = c.create(&admin(), "system", json!({"name": "b"}), None).await.unwrap();
        let link = c.associate(&admin(), "belongs_to", ("system", &a.id), ("team", &team.id)).await.unwrap();
        assert_eq!(c.associate(&admin(), "belongs_to", ("system", &a.id), ("team", &team.id)).await.unwrap(), link);
        c.associate(&admin(), "runs_on", ("team", &team.id), ("system", &a.id)).await.unwrap();
        assert_eq!(c.associate(&admin(), "runs_on", ("team", &team.id), ("system", &b.id)).await.unwrap_err().code(), "cmdb.in_use");
        assert!(c.associate(&admin(), "likes", ("system", &a.id), ("team", &team.id)).await.is_err());
        assert_eq!(c.dissociate(&user(Role::Viewer), &link.id).await.unwrap_err().code(), "access.denied");
        c.delete(&admin(), "system", &a.id, None, None).await.unwrap();
        assert!(c.related(&admin(), "team", &team.id).await.unwrap().is_empty());
    }

    async fn changes_and_events_are_one(db: Db) {
        let c = cmdb(&db).await;
        let t = c.create(&admin(), "team", json!({"name": "t"}), None).await.unwrap();
        let _ = c.create(&admin(), "team", json!({"name": "t"}), None).await.unwrap_err();
        c.update(&admin(), "team", &t.id, json!({"email": "e"}), None, None).await.unwrap();
        let events = Events::new(db.clone()).read(0, 100, &["plenum.cmdb.instance.".into()]).await.unwrap();
        assert_eq!(events.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["plenum.cmdb.instance.created", "plenum.cmdb.instance.updated"]);
        assert_eq!(events[1].data["changed"], json!(["email"]));
        let log = c.access.audit_log(&plenum_access::AuditQuery { action_prefix: Some("cmdb.".into()), limit: 10, ..Default::default() }).await.unwrap();
        assert_eq!(log.len(), 2);
        assert_eq!(log[0].after["email"], "e");
    }
}

fn model(name: &str) -> Model {
    serde_json::from_value(json!({
        "name": name, "title": "Licence", "display": "name",
        "attributes": [{"name": "name", "kind": "text", "required": true}, {"name": "seats", "kind": "integer"}],
    }))
    .unwrap()
}

#[test]
fn broken_models_are_refused_at_their_place() {
    for (change, pointer) in [
        (json!({"name": "Bad Name"}), "/name"),
        (json!({"display": "nmae"}), "/display"),
        (json!({"attributes": [{"name": "a b", "kind": "text"}]}), "/attributes/0/name"),
        (json!({"attributes": [{"name": "id", "kind": "text"}]}), "/attributes/0/name"),
        (json!({"attributes": [{"name": "name", "kind": "enum"}]}), "/attributes/0/options"),
        (json!({"attributes": [{"name": "name", "kind": "text"}, {"name": "name", "kind": "text"}]}), "/attributes/1/name"),
        (json!({"unique": [["nothing"]]}), "/unique/0"),
    ] {
        let mut m = serde_json::to_value(model("m")).unwrap();
        m.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let m: Model = serde_json::from_value(m).unwrap();
        match m.check().unwrap_err() {
            CmdbError::InvalidModel { pointer: p, .. } => assert_eq!(p, pointer),
            e => panic!("{e}"),
        }
    }
    assert!(serde_json::from_value::<Model>(json!({"name": "m", "display": "n", "attributes": [], "colour": 1})).is_err());
}
