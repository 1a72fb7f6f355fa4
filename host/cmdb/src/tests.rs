#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

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
        assert!(c.search(&p, "x", 5).await.unwrap().is_empty());
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
