//! The contract's versions side by side: what the newest offers of the CMDB, and that an older one is the same thing seen through it.

use serde_json::json;

use super::*;
use crate::bindings::plenum::cmdb::{associations, instances, models};
use crate::bindings::v0_1::plenum::cmdb::instances as old;
use crate::call::{CallState, store};

const POWERS: &str = "[[permissions]]\nname = \"cmdb.read\"\nscope = { models = [\"system\"] }\nreason = \"x\"\n[[permissions]]\nname = \"cmdb.write\"\nscope = { models = [\"system\"] }\nreason = \"x\"\n";

/// A call of a plugin that may read and write systems, for somebody of this role.
async fn call(w: &World, role: Role) -> wasmtime::Store<CallState> {
    w.offer(PackageWriter::new(manifest(POWERS)).finish().unwrap());
    w.plugins.install(&admin(), "demo", None, &granted(&["cmdb.read", "cmdb.write"])).await.unwrap();
    let plugin = w.plugins.loaded("demo").unwrap();
    let person = UserPrincipal { id: "u2".into(), name: "bob".into(), role };
    store(&plugin, w.plugins.services(), plugin.info("test".into(), Some(person), None))
}

fn named(name: &str) -> String {
    json!({"name": name}).to_string()
}

fn query(model: &str) -> instances::Query {
    instances::Query {
        model: model.into(),
        filter: String::new(),
        search: String::new(),
        sort: "name".into(),
        cursor: None,
        limit: 10,
        total: true,
        at: None,
    }
}

fn old_query(model: &str) -> old::Query {
    old::Query { model: model.into(), filter: String::new(), sort: "name".into(), cursor: None, limit: 10 }
}

fn bulk(action: instances::BulkAction, rows: Vec<String>) -> instances::Bulk {
    let rows = rows.into_iter().map(|attributes| instances::BulkRow { id: None, attributes, version: None }).collect();
    instances::Bulk { model: "system".into(), action, key: vec!["name".into()], rows, all: false, dry_run: false, why: None }
}

plenum_store::both_databases! {
    migrations: SETS;

    async fn what_the_newest_contract_writes_the_oldest_reads(db: Db) {
        let w = World::new(db).await;
        let mut c = call(&w, Role::Operator).await;
        let c = c.data_mut();
        let rows: Vec<String> = (0..30).map(|i| named(&format!("s{i:02}"))).collect();
        let done = instances::Host::write_bulk(c, bulk(instances::BulkAction::Create, rows)).await.unwrap();
        assert!(done.kept && done.rows.iter().all(|r| r.outcome == instances::RowOutcome::Created && r.error.is_none()));
        let again = instances::Host::write_bulk(c, bulk(instances::BulkAction::Create, vec![named("s00"), named("new")])).await.unwrap();
        let first = &again.rows[0];
        assert_eq!((first.outcome, first.attribute.as_deref()), (instances::RowOutcome::Failed, Some("name")));
        assert_eq!(first.error.as_ref().map(|e| (e.code.as_str(), e.status)), Some(("cmdb.duplicate", 409)));
        let e = instances::Host::write_bulk(c, bulk(instances::BulkAction::Create, vec!["{".into()])).await.unwrap_err();
        assert_eq!((e.code.as_str(), e.status), ("request.json", 400));
        assert!(e.message.contains("row 0"), "{}", e.message);

        let (new, first) = (instances::Host::query_instances(c, query("system")).await.unwrap(), old_query("system"));
        let first = old::Host::query_instances(c, first).await.unwrap();
        assert_eq!((new.total, first.total, new.items.len()), (Some(31), 31, 10));
        let told = |i: &instances::Instance| (i.id.clone(), i.label.clone(), i.version, i.attributes.clone(), i.updated_at);
        let told_old = |i: &old::Instance| (i.id.clone(), i.label.clone(), i.version, i.attributes.clone(), i.updated_at);
        assert_eq!(new.items.iter().map(told).collect::<Vec<_>>(), first.items.iter().map(told_old).collect::<Vec<_>>());
        assert_eq!(new.next_cursor, first.next_cursor);
        assert_eq!(instances::Host::count(c, "system".into(), "name < \"s05\"".into()).await.unwrap(), 6);

        // As of a moment that has not come yet, and of one before all.
        let then = |at| instances::Query { at: Some(at), ..query("system") };
        let later = instances::Host::query_instances(c, then(4_102_444_800_000)).await.unwrap();
        let what = |i: &instances::Instance| (i.id.clone(), i.version, i.attributes.clone());
        assert_eq!((later.total, later.items.iter().map(what).collect::<Vec<_>>()), (new.total, new.items.iter().map(what).collect()));
        assert_eq!(instances::Host::query_instances(c, then(1)).await.unwrap().items.len(), 0);
        let e = instances::Host::query_instances(c, instances::Query { search: "s".into(), ..then(1) }).await.unwrap_err();
        assert_eq!(e.status, 400, "{}", e.message);

        // A history longer than what is read of it at once.
        let id = first.items[1].id.clone();
        for i in 0..9 {
            old::Host::update(c, "system".into(), id.clone(), named(&format!("t{i}")), None, Some(format!("change {i}"))).await.unwrap();
        }
        let changes = instances::Host::history(c, "system".into(), id.clone(), None, 100).await.unwrap();
        assert_eq!(changes.iter().map(|c| c.version).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
        let some = instances::Host::history(c, "system".into(), id.clone(), Some(changes[2].seq), 5).await.unwrap();
        assert_eq!(some.iter().map(|c| c.version).collect::<Vec<_>>(), [7, 6, 5, 4, 3]);
        let back = instances::Host::restore(c, "system".into(), id.clone(), Some(1), None).await.unwrap();
        assert_eq!(Some(back.label), old::Host::get(c, "system".into(), id).await.unwrap().map(|i| i.label));
        w.end().await;
    }

    async fn both_contracts_ask_for_the_same_permissions(db: Db) {
        let w = World::new(db).await;
        let mut c = call(&w, Role::Viewer).await;
        let c = c.data_mut();
        // A model beyond the scope of the grant.
        let refused = vec![
            instances::Host::query_instances(c, query("host")).await.map(|_| ()),
            instances::Host::count(c, "host".into(), String::new()).await.map(|_| ()),
            instances::Host::get(c, "host".into(), "x".into(), None).await.map(|_| ()),
            instances::Host::get(c, "host".into(), "x".into(), Some(1)).await.map(|_| ()),
            instances::Host::history(c, "host".into(), "x".into(), None, 1).await.map(|_| ()),
            models::Host::get(c, "host".into()).await.map(|_| ()),
            associations::Host::related_instances(c, "host".into(), "x".into()).await.map(|_| ()),
            associations::Host::walk_graph(c, associations::GraphQuery {
                start: associations::End { model: "host".into(), id: "x".into() },
                walk: associations::Walk::Around,
                depth: 1,
                kinds: vec![],
                limit: 1,
            }).await.map(|_| ()),
            old::Host::query_instances(c, old_query("host")).await.map(|_| ()),
            old::Host::get(c, "host".into(), "x".into()).await.map(|_| ()),
            old::Host::related_instances(c, "host".into(), "x".into()).await.map(|_| ()),
            // A person who may only read, whatever the plugin may.
            instances::Host::create(c, "system".into(), named("a"), None).await.map(|_| ()),
            instances::Host::update(c, "system".into(), "x".into(), named("a"), None, None).await.map(|_| ()),
            instances::Host::delete(c, "system".into(), "x".into(), None, None).await,
            instances::Host::write_bulk(c, bulk(instances::BulkAction::Create, vec![named("a")])).await.map(|_| ()),
            instances::Host::restore(c, "system".into(), "x".into(), None, None).await.map(|_| ()),
            associations::Host::associate(
                c,
                "depends_on".into(),
                associations::End { model: "system".into(), id: "x".into() },
                associations::End { model: "system".into(), id: "y".into() },
            ).await.map(|_| ()),
            associations::Host::dissociate(c, "x".into()).await,
            old::Host::create(c, "system".into(), named("a"), None).await.map(|_| ()),
            old::Host::update(c, "system".into(), "x".into(), named("a"), None, None).await.map(|_| ()),
            old::Host::delete(c, "system".into(), "x".into()).await,
        ];
        for (i, r) in refused.into_iter().enumerate() {
            let e = r.unwrap_err();
            assert_eq!((e.code.as_str(), e.status), ("access.denied", 403), "call {i}: {}", e.message);
        }
        assert_eq!(models::Host::names(c).await.unwrap(), ["system"]);
        w.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_names_the_contract_that_its_component_uses() {
    let w = World::quick().await;
    let wasm = guests::importing("reader-two", "plenum:cmdb/instances@0.2.0", "history", "i32 i32 i32 i32 i32 i64 i32 i32");
    let asks = "[[permissions]]\nname = \"cmdb.read\"\nreason = \"x\"\n[component]\npath = \"plugin.wasm\"\n";
    for (api, says) in [("^0.1", Some("api = \"^0.2\"")), ("^0.2", None), (">=0.1", None)] {
        let mut m = manifest(asks);
        m.api = semver::VersionReq::parse(api).unwrap();
        w.offer(PackageWriter::new(m).component(wasm.clone()).finish().unwrap());
        let done = w.plugins.install(&admin(), "demo", None, &granted(&["cmdb.read"])).await;
        match says {
            Some(says) => {
                let e = done.unwrap_err();
                assert_eq!((e.code(), e.status()), ("package.api", 422), "{api}: {e}");
                assert!(e.to_string().contains(says) && e.to_string().contains("plenum:cmdb/instances@0.2.0"), "{api}: {e}");
            }
            None => {
                done.unwrap();
                w.plugins.uninstall(&admin(), "demo", true).await.unwrap();
            }
        }
    }
    w.end().await;
}
