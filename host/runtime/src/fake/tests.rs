//! The fake host, asked by the component that uses all of the contract's first version.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{FakeHost, Fixtures, Outcome, World};
use crate::package::{Manifest, Package};

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/frozen/contract-0.1.0");

fn host(dir: &std::path::Path) -> FakeHost {
    let read = |name: &str| std::fs::read(format!("{FROZEN}/{name}")).unwrap();
    let manifest = Manifest::from_toml(&String::from_utf8(read("plugin.toml")).unwrap()).unwrap();
    let package = Package {
        manifest,
        manifest_digest: String::new(),
        component: Some(read("frozen.wasm")),
        files: [("schemas/number.json".to_owned(), read("schemas/number.json"))].into(),
        size: 0,
        signatures: Vec::new(),
        image_manifest: Vec::new(),
    };
    FakeHost::new(package, dir.to_owned()).unwrap()
}

fn world(host: &FakeHost, fixtures: Value) -> Arc<Mutex<World>> {
    let fixtures: Fixtures = serde_json::from_value(fixtures).unwrap();
    Arc::new(Mutex::new(World::new(host.manifest().clone(), fixtures).unwrap()))
}

async fn post(host: &FakeHost, world: &Arc<Mutex<World>>, path: &str) -> Outcome {
    let request = http::Request::post(path).body(Bytes::from("{}")).unwrap();
    host.http(world, request).await.unwrap()
}

#[tokio::test]
async fn every_interface_answers_and_is_recorded_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let fixtures = json!({
        "settings": { "greeting": "hi" },
        "jobs": [{ "targets": [{ "node": "n1", "stdout": "frozen\n" }, { "node": "n2", "exit_code": 3 }] }],
    });
    let mut seen = Vec::new();
    for _ in 0..2 {
        let w = world(&host, fixtures.clone());
        let answer = post(&host, &w, "/everything").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let said = answer.body.clone();
        for (field, value) in [
            ("greeting", json!("hi")),
            ("user", json!("alice")),
            ("owner", json!("nobody")),
            ("stale", json!(409)),
            ("hosts", json!(1)),
            ("count", json!(1)),
            ("gone", json!(true)),
            ("taken", json!(409)),
            ("large", json!(1)),
            ("foreign", json!(403)),
            ("once", json!(true)),
            ("listed", json!(1)),
            ("times", json!(3)),
            ("execution", json!("execution-1")),
            ("time", json!(true)),
        ] {
            assert_eq!(said[field], value, "{field} of {said}");
        }
        let calls = w.lock().unwrap().calls();
        assert_eq!(calls[1].call, "plenum:cmdb/instances.create");
        assert_eq!(calls[1].args["attributes"], json!({ "hostname": "frozen-host" }));
        assert_eq!(calls.iter().filter(|c| c.error.as_deref() == Some("store.conflict")).count(), 1);
        let job = host.http(&w, http::Request::get("/job/execution-1").body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!(job.body, json!({ "status": "partial", "out": "frozen\n" }));
        seen.push((answer, calls));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn actions_events_schedules_and_the_life_cycle() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let w = world(&host, json!({ "store": { "notes": { "x": { "text": "before", "number": 1 } } } }));
    assert_eq!(host.action(&w, "double", &json!({ "number": 4 }), None).await.unwrap(), json!({ "number": 8 }));
    assert_eq!(host.action(&w, "double", &json!({ "number": "4" }), None).await.unwrap_err().code(), "plugin.input");
    host.lifecycle(&w, "install").await.unwrap();
    host.lifecycle(&w, "health").await.unwrap();
    assert!(host.lifecycle(&w, "dance").await.is_err());
    host.event(&w, &json!({ "type": "frozen.happened", "data": { "number": 7 } })).await.unwrap();
    assert!(host.schedule(&w, "never").await.unwrap_err().to_string().contains("no schedule never"));
    let notes = host.http(&w, http::Request::get("/notes").body(Bytes::new()).unwrap()).await.unwrap();
    let texts: Vec<&str> = notes.body.as_array().unwrap().iter().filter_map(|n| n["data"]["text"].as_str()).collect();
    assert_eq!(texts, ["before", "frozen.happened", "installed"]);
}

#[tokio::test]
async fn fixtures_deny_and_answer_in_the_place_of_fakes() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let denied = world(&host, json!({ "deny": ["cmdb.write"] }));
    let answer = post(&host, &denied, "/everything").await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("access.denied")), "{}", answer.body);
    let broken =
        world(&host, json!({ "answers": [{ "call": "plenum:store/documents.apply", "error": { "code": "store.quota", "status": 413 } }] }));
    assert_eq!(host.lifecycle(&broken, "install").await.unwrap_err().code(), "store.quota");
    let nobody = world(&host, json!({ "user": "nobody" }));
    assert_eq!(post(&host, &nobody, "/everything").await.status, 403);
    for (fixtures, words) in [
        (json!({ "deny": ["cmdb.rite"] }), "no permission"),
        (json!({ "settings": { "greting": 1 } }), "no setting"),
        (json!({ "store": { "note": { "x": {} } } }), "no collection note"),
        (json!({ "user": "olga:boss" }), "no role"),
    ] {
        let fixtures: Fixtures = serde_json::from_value(fixtures).unwrap();
        assert!(World::new(host.manifest().clone(), fixtures).err().unwrap().contains(words));
    }
}
