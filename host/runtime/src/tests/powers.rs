//! Powers of plugins, as the host gives them.

use serde_json::json;
use wasmtime::component::Resource;

use super::*;
use crate::bindings::plenum::plugin::{calls, secrets};
use crate::bindings::plenum::store::documents;
use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::{atomics, batch, store as kv};
use crate::call::{CallState, store};
use crate::interfaces::Bucket;

/// A call of a plugin, from the host's side.
fn call(w: &World, id: &str, on_behalf: Option<Role>) -> wasmtime::Store<CallState> {
    let plugin = w.plugins.loaded(id).unwrap();
    let person = on_behalf.map(|role| UserPrincipal { id: "u2".into(), name: "bob".into(), role });
    store(&plugin, w.plugins.services(), plugin.info("test".into(), person, None))
}

async fn pages_only(w: &World, id: &str, more: &str, names: &[&str]) {
    let mut m = manifest(more);
    m.id = id.to_owned();
    let mut archive = PackageWriter::new(m).finish().unwrap();
    archive.sign(&w.secret, None).unwrap();
    w.put(&format!("{id}.plenum"), &archive.to_bytes().unwrap());
    w.plugins.install(&admin(), id, None, &granted(names)).await.unwrap();
}

const STORE: &str = "[[permissions]]\nname = \"store\"\nreason = \"x\"\n";

plenum_store::both_databases! {
    migrations: SETS;

    async fn values_by_key_are_the_plugins_own(db: Db) {
        let w = World::new(db).await;
        pages_only(&w, "one", STORE, &["store"]).await;
        pages_only(&w, "two", STORE, &["store"]).await;
        let mut c = call(&w, "one", None);
        let c = c.data_mut();
        let b = kv::Host::open(c, "cache".into()).await.unwrap();
        let rep = b.rep();
        let b = || Resource::<Bucket>::new_borrow(rep);
        assert_eq!(kv::HostBucket::get(c, b(), "k".into()).await.unwrap(), None);
        kv::HostBucket::set(c, b(), "k".into(), vec![0, 255]).await.unwrap();
        kv::HostBucket::set(c, b(), "k".into(), vec![1, 254]).await.unwrap();
        assert_eq!(kv::HostBucket::get(c, b(), "k".into()).await.unwrap(), Some(vec![1, 254]));
        assert!(kv::HostBucket::exists(c, b(), "k".into()).await.unwrap());
        for (delta, sum) in [(2, 2), (40, 42)] {
            assert_eq!(atomics::Host::increment(c, b(), "n".into(), delta).await.unwrap(), sum);
        }
        assert!(atomics::Host::increment(c, b(), "k".into(), 1).await.is_err(), "no number");
        batch::Host::set_many(c, b(), vec![("x".into(), vec![1]), ("y".into(), vec![2])]).await.unwrap();
        let many = batch::Host::get_many(c, b(), vec!["y".into(), "z".into()]).await.unwrap();
        assert_eq!(many, [Some(("y".to_owned(), vec![2])), None]);
        batch::Host::delete_many(c, b(), vec!["x".into(), "z".into()]).await.unwrap();
        kv::HostBucket::delete(c, b(), "y".into()).await.unwrap();
        let keys = kv::HostBucket::list_keys(c, b(), None).await.unwrap();
        assert_eq!((keys.keys, keys.cursor), (vec!["k".to_owned(), "n".into()], None));
        let rest = kv::HostBucket::list_keys(c, b(), Some(1)).await.unwrap();
        assert_eq!(rest.keys, ["n"]);
        for bad in ["", &"k".repeat(121), "a\0b"] {
            assert!(kv::HostBucket::set(c, b(), bad.to_owned(), vec![]).await.is_err(), "{bad:?}");
        }
        assert!(kv::HostBucket::set(c, b(), "large".into(), vec![0; (700 << 10) + 1]).await.is_err());
        assert!(matches!(kv::Host::open(c, "../two".into()).await, Err(kv::Error::NoSuchStore)));
        // Another bucket, and another plugin, know nothing of it.
        let other = kv::Host::open(c, String::new()).await.unwrap();
        assert!(kv::HostBucket::list_keys(c, other, None).await.unwrap().keys.is_empty());
        let mut two = call(&w, "two", None);
        let two = two.data_mut();
        let same = kv::Host::open(two, "cache".into()).await.unwrap();
        assert_eq!(kv::HostBucket::get(two, same, "k".into()).await.unwrap(), None);
        w.plugins.uninstall(&admin(), "one", true).await.unwrap();
        assert!(Documents::new(w.db.clone()).collections("plugin/one/").await.unwrap().is_empty());
        w.end().await;
    }

    async fn no_count_is_lost_and_buckets_do_not_mix(db: Db) {
        let w = World::new(db).await;
        pages_only(&w, "one", STORE, &["store"]).await;
        let mut calls: Vec<_> = (0..8).map(|_| call(&w, "one", None)).collect();
        let add = async |c: &mut wasmtime::Store<CallState>| {
            let b = kv::Host::open(c.data_mut(), "a_b".into()).await.unwrap().rep();
            for _ in 0..5 {
                atomics::Host::increment(c.data_mut(), Resource::new_borrow(b), "n".into(), 1).await.unwrap();
            }
        };
        futures::future::join_all(calls.iter_mut().map(add)).await;
        let c = calls[0].data_mut();
        // An underscore stands for itself, not for any letter.
        for name in ["a_b", "axb"] {
            let b = kv::Host::open(c, name.into()).await.unwrap().rep();
            assert_eq!(atomics::Host::increment(c, Resource::new_borrow(b), "n".into(), 2).await.unwrap(), if name == "a_b" { 42 } else { 2 });
            assert_eq!(kv::HostBucket::list_keys(c, Resource::new_borrow(b), None).await.unwrap().keys, ["n"]);
        }
        w.end().await;
    }

    async fn one_plugin_may_have_other_limits_than_all(db: Db) {
        let w = World::new(db).await;
        for id in ["favoured", "one"] {
            pages_only(&w, id, STORE, &["store"]).await;
        }
        let of = async |id: &str| w.plugins.metrics(&admin(), id).await.unwrap();
        let (usual, other) = (of("one").await, of("favoured").await);
        assert_eq!((usual.handle_limit, usual.queue_limit, other.handle_limit, other.queue_limit), (10_000, 256, 77, 7));
        assert_eq!((usual.table_limit, usual.copied_limit_bytes), (other.table_limit, other.copied_limit_bytes));
        // Each holds as many buckets as it may, and is told of the limit.
        let mut c = call(&w, "favoured", None);
        for _ in 0..77 {
            kv::Host::open(c.data_mut(), String::new()).await.unwrap();
        }
        let e = kv::Host::open(c.data_mut(), String::new()).await.unwrap_err();
        assert!(matches!(&e, kv::Error::Other(m) if m.contains("77 resources")), "{e:?}");
        w.end().await;
    }

    async fn a_write_does_not_wait_for_those_who_make_collections(db: Db) {
        let w = World::new(db).await;
        pages_only(&w, "one", STORE, &["store"]).await;
        let mut c = call(&w, "one", None);
        let c = c.data_mut();
        let b = kv::Host::open(c, String::new()).await.unwrap().rep();
        let b = || Resource::<Bucket>::new_borrow(b);
        kv::HostBucket::set(c, b(), "first".into(), vec![1]).await.unwrap();
        if w.db.dialect() == plenum_store::Dialect::Postgres {
            let mut other = w.db.begin().await.unwrap();
            let spec = plenum_store::CollectionSpec {
                name: "of/another".into(),
                schema: plenum_store::Schema::default(),
                indexed: vec![],
                unique: vec![],
                history: false,
            };
            Documents::new(w.db.clone()).define(&mut other, &spec).await.unwrap();
            soon(kv::HostBucket::set(c, b(), "second".into(), vec![2])).await.unwrap();
            soon(atomics::Host::increment(c, b(), "n".into(), 1)).await.unwrap();
            other.commit().await.unwrap();
            assert_eq!(kv::HostBucket::get(c, b(), "second".into()).await.unwrap(), Some(vec![2]));
        }
        // What was dropped with the plugin is made again for the next of its name.
        w.plugins.uninstall(&admin(), "one", true).await.unwrap();
        pages_only(&w, "one", STORE, &["store"]).await;
        let mut c = call(&w, "one", None);
        let c = c.data_mut();
        let b = kv::Host::open(c, String::new()).await.unwrap().rep();
        let b = || Resource::<Bucket>::new_borrow(b);
        assert_eq!(kv::HostBucket::get(c, b(), "first".into()).await.unwrap(), None);
        kv::HostBucket::set(c, b(), "first".into(), vec![3]).await.unwrap();
        assert_eq!(kv::HostBucket::get(c, b(), "first".into()).await.unwrap(), Some(vec![3]));
        w.end().await;
    }

    async fn what_is_read_at_once_is_bounded(db: Db) {
        let w = World::new(db).await;
        let things = "[[collections]]\nname = \"things\"\nfields = { n = \"int\" }\n";
        pages_only(&w, "one", &format!("{STORE}{things}"), &["store"]).await;
        let mut c = call(&w, "one", None);
        let c = c.data_mut();
        let b = kv::Host::open(c, String::new()).await.unwrap().rep();
        let b = || Resource::<Bucket>::new_borrow(b);
        kv::HostBucket::set(c, b(), "large".into(), vec![7; 700 << 10]).await.unwrap();
        // One key, five hundred times: each would be a copy.
        let e = batch::Host::get_many(c, b(), vec!["large".into(); 500]).await.unwrap_err();
        assert!(matches!(&e, kv::Error::Other(m) if m.contains("fewer keys")), "{e:?}");
        assert_eq!(batch::Host::get_many(c, b(), vec!["large".into(); 2]).await.unwrap().len(), 2);
        for i in 0..12 {
            let data = json!({"n": i, "text": "x".repeat(900 << 10)}).to_string();
            let write = documents::Write { collection: "things".into(), id: format!("t{i:02}"), data: Some(data), expected: documents::Expectation::Any };
            documents::Host::apply(c, vec![write]).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut pages = 0;
        let mut cursor = None;
        loop {
            let query = documents::Query { collection: "things".into(), filter: String::new(), sort: "-n".into(), cursor, limit: 1000 };
            let page = documents::Host::query_documents(c, query).await.unwrap();
            assert!(page.total == 12 && page.items.iter().map(|d| d.data.len()).sum::<usize>() <= 8 << 20);
            seen.extend(page.items.into_iter().map(|d| d.id));
            pages += 1;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let all: Vec<_> = (0..12).rev().map(|i| format!("t{i:02}")).collect();
        assert_eq!((pages, seen), (2, all));
        w.end().await;
    }

    async fn records_are_aggregated_by_the_plugin(db: Db) {
        let w = World::new(db).await;
        let things = "[[collections]]\nname = \"things\"\nfields = { kind = \"string\", n = \"int\", at = \"timestamp\" }\n";
        pages_only(&w, "one", &format!("{STORE}{things}"), &["store"]).await;
        let mut c = call(&w, "one", None);
        let c = c.data_mut();
        let write = |i: i64| documents::Write {
            collection: "things".into(),
            id: format!("t{i}"),
            data: Some(json!({"kind": if i % 2 == 0 { "even" } else { "odd" }, "n": i, "at": format!("2026-0{}-15T00:00:00Z", i % 3 + 1)}).to_string()),
            expected: documents::Expectation::Absent,
        };
        documents::Host::apply(c, (0..6).map(write).collect()).await.unwrap();
        let ask = |field: &str, bucket| documents::Aggregation {
            collection: "things".into(),
            filter: "n > 0".into(),
            groups: vec![documents::Grouping { field: field.into(), bucket }],
            measures: vec![
                documents::Measure { kind: documents::MeasureKind::Count, field: None },
                documents::Measure { kind: documents::MeasureKind::Sum, field: Some("n".into()) },
            ],
            limit: 10,
        };
        let plain = |groups: Vec<documents::Group>| groups.into_iter().map(|g| (g.keys.join(","), g.values.join(","))).collect::<Vec<_>>();
        let by_kind = plain(documents::Host::aggregate(c, ask("kind", None)).await.unwrap());
        assert_eq!(by_kind, [("\"even\"".to_owned(), "2,6".to_owned()), ("\"odd\"".into(), "3,9".into())]);
        let by_month = plain(documents::Host::aggregate(c, ask("at", Some(documents::Bucket::Month))).await.unwrap());
        assert_eq!(by_month, [("\"2026-01\"".to_owned(), "1,3".to_owned()), ("\"2026-02\"".into(), "2,5".into()), ("\"2026-03\"".into(), "2,7".into())]);
        let e = documents::Host::aggregate(c, ask("knd", None)).await.unwrap_err();
        assert!(e.status == 400 && e.message.contains("did you mean kind?"), "{e:?}");
        w.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_permission_there_are_no_values() {
    let w = World::quick().await;
    pages_only(&w, "one", STORE, &[]).await;
    let mut c = call(&w, "one", None);
    assert!(matches!(kv::Host::open(c.data_mut(), String::new()).await, Err(kv::Error::AccessDenied)));
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_configuration_and_secrets_are_apart() {
    let w = World::quick().await;
    w.installed("[[settings]]\nname = \"most\"\ntype = \"integer\"\n").await.unwrap();
    w.plugins.set_settings(&admin(), "demo", json!({"most": 3, "token": "s3cret"})).await.unwrap();
    let mut c = call(&w, "demo", None);
    let c = c.data_mut();
    assert_eq!(config::Host::get(c, "level".into()).await.unwrap().as_deref(), Some("low"));
    assert_eq!(config::Host::get(c, "most".into()).await.unwrap().as_deref(), Some("3"));
    assert_eq!(config::Host::get(c, "token".into()).await.unwrap(), None);
    let mut all = config::Host::get_all(c).await.unwrap();
    all.sort();
    assert_eq!(all, [("level".to_owned(), "low".to_owned()), ("most".into(), "3".into())]);
    assert_eq!(secrets::Host::get(c, "token".into()).await.as_deref(), Some("s3cret"));
    assert_eq!(secrets::Host::get(c, "level".into()).await, None);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_calls_those_actions_of_others_that_it_was_granted() {
    let w = World::quick().await;
    w.installed("").await.unwrap();
    let asks = "[[permissions]]\nname = \"plugins.use\"\nscope = { actions = [\"demo.echo\", \"gone.*\"] }\nreason = \"x\"\n";
    pages_only(&w, "friend", asks, &["plugins.use"]).await;
    let ask = async |on_behalf, depth, plugin: &str, action: &str| {
        let mut c = call(&w, "friend", on_behalf);
        c.data_mut().info.depth = depth;
        soon(calls::Host::call(c.data_mut(), plugin.to_owned(), action.to_owned(), json!({"text": "hi"}).to_string())).await
    };
    for on_behalf in [None, Some(Role::Operator)] {
        assert_eq!(ask(on_behalf, 0, "demo", "echo").await.unwrap(), r#"{"text":"hi"}"#);
    }
    for (on_behalf, depth, plugin, action, code, status) in [
        (None, 0, "demo", "settings", "access.denied", 403),
        // Both must be allowed to.
        (Some(Role::Viewer), 0, "demo", "echo", "access.denied", 403),
        (None, 0, "gone", "x", "plugin.not_found", 404),
        (None, 4, "demo", "echo", "plugin.depth", 422),
    ] {
        let e = ask(on_behalf, depth, plugin, action).await.unwrap_err();
        assert_eq!((e.code.as_str(), e.status), (code, status), "{}", e.message);
    }
    // In a workflow it is the same permission.
    let who = w.plugins.loaded("friend").unwrap().principal(None);
    assert!(w.plugins.may_call(&who, "demo", "echo").await.is_ok());
    assert!(w.plugins.may_call(&who, "demo", "settings").await.is_err());
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_power_is_linked_when_it_is_granted() {
    let w = World::quick().await;
    let calls = "[[permissions]]\nname = \"plugins.use\"\nreason = \"x\"\n";
    for (world, interface, function, params, asks, name) in [
        ("keeper", "wasi:keyvalue/store@0.2.0-draft", "open", "i32 i32 i32", STORE, Some("store")),
        ("counter", "wasi:keyvalue/atomics@0.2.0-draft", "increment", "i32 i32 i32 i64 i32", STORE, Some("store")),
        ("configured", "wasi:config/store@0.2.0-rc.1", "get", "i32 i32 i32", "", None),
        ("secretive", "plenum:plugin/secrets@0.1.0", "get", "i32 i32 i32", "", None),
        ("social", "plenum:plugin/calls@0.1.0", "call", "i32 i32 i32 i32 i32 i32 i32", calls, Some("plugins.use")),
    ] {
        let wasm = guests::importing(world, interface, function, params);
        let text = format!("{asks}[component]\npath = \"plugin.wasm\"\n");
        w.offer(PackageWriter::new(manifest(&text)).component(wasm).finish().unwrap());
        if let Some(name) = name {
            let e = w.plugins.install(&admin(), "demo", None, &[]).await.unwrap_err();
            assert!(e.code() == "plugin.ungranted_import" && e.to_string().contains(name), "{interface}: {e}");
        }
        w.plugins.install(&admin(), "demo", None, &granted(name.as_slice())).await.unwrap();
        w.plugins.uninstall(&admin(), "demo", true).await.unwrap();
    }
    w.end().await;
}
