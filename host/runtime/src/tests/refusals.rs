//! Packages that must not be installed: each refusal says why, and leaves nothing behind.

use serde_json::json;

use super::*;
use crate::package::Trust;

async fn nothing_installed(w: &World) {
    assert!(w.plugins.installed(&admin()).await.unwrap().is_empty());
    assert!(files(&w.dir.path().join("plugins")).is_empty());
    assert!(w.workflows.definitions(&admin(), &Default::default()).await.unwrap().items.is_empty());
}

async fn refused(w: &World, names: &[&str]) -> RuntimeError {
    let e = w.plugins.install(&admin(), "demo", None, &granted(names)).await.unwrap_err();
    nothing_installed(w).await;
    e
}

const ALL: &[&str] = &["events.read", "store"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_packages_are_for_developers() {
    let w = World::quick().await;
    w.put("a.plenum", &demo("").to_bytes().unwrap());
    let listed = w.plugins.catalog(&admin()).await.unwrap();
    assert_eq!(listed[0].signature.state, Trust::Unsigned);
    let e = refused(&w, ALL).await;
    assert_eq!((e.code(), e.status()), ("plugin.signature", 403));
    assert!(e.to_string().contains("plenum plugin sign"), "{e}");
    let w = w.in_developer_mode().await;
    w.plugins.install(&admin(), "demo", None, &granted(ALL)).await.unwrap();
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_publisher_is_named_by_key() {
    let w = World::quick().await;
    let mut archive = demo("");
    archive.sign(&generate_key(None).unwrap().1, None).unwrap();
    w.put("a.plenum", &archive.to_bytes().unwrap());
    let listed = w.plugins.catalog(&admin()).await.unwrap();
    assert_eq!(listed[0].signature.state, Trust::UnknownPublisher);
    let key = listed[0].signature.key_id.clone().unwrap();
    let e = refused(&w, ALL).await;
    assert!(e.to_string().contains(&key), "{e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_package_shows_and_is_refused() {
    let w = World::quick().await;
    w.offer(demo(""));
    let mut bytes = std::fs::read(w.catalog_dir().join("offered.plenum")).unwrap();
    let at = bytes.windows(4).position(|b| b == b"\0asm").unwrap();
    bytes[at + 100] ^= 1;
    // Read once while it was whole: what is installed is what is there now.
    assert_eq!(w.plugins.catalog(&admin()).await.unwrap()[0].signature.state, Trust::Trusted);
    w.put("offered.plenum", &bytes);
    let listed = w.plugins.catalog(&admin()).await.unwrap();
    assert_eq!(listed[0].signature.state, Trust::Modified);
    assert!(listed[0].problem.as_ref().unwrap().contains("changed after it was made"));
    refused(&w, ALL).await;
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_package_says_what_to_do() {
    let w = World::quick().await;
    let bytes = demo("").to_bytes().unwrap();
    w.put("offered.plenum", &bytes[..bytes.len() / 2]);
    let problem = w.plugins.catalog(&admin()).await.unwrap()[0].problem.clone().unwrap();
    assert!(problem.contains("not a whole package") && problem.contains("get it again"), "{problem}");
    refused(&w, ALL).await;
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_for_a_newer_host_is_listed_with_the_reason() {
    let w = World::quick().await;
    let mut m = manifest("");
    m.api = semver::VersionReq::parse("^0.7").unwrap();
    w.offer(PackageWriter::new(m).finish().unwrap());
    let problem = w.plugins.catalog(&admin()).await.unwrap()[0].problem.clone().unwrap();
    assert!(problem.contains("^0.7"), "{problem}");
    let e = refused(&w, &[]).await;
    assert!(e.to_string().contains("^0.7"), "{e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_not_granted_is_refused_by_name() {
    let w = World::quick().await;
    let cases = [
        // Asked for, but the administrator said no.
        (
            "reader",
            "plenum:cmdb/instances@0.1.0",
            "delete",
            "i32 i32 i32 i32 i32",
            "[[permissions]]\nname = \"cmdb.read\"\nreason = \"x\"\n",
            "cmdb.read or cmdb.write",
        ),
        // Not even asked for.
        ("reader", "plenum:cmdb/instances@0.1.0", "delete", "i32 i32 i32 i32 i32", "", "cmdb.read or cmdb.write"),
        ("caller", "wasi:http/outgoing-handler@0.2.3", "handle", "i32 i32 i32 i32", "", "http.outgoing"),
        ("dreamer", "test:guests/wishes", "wish", "", "", "no such interface"),
    ];
    for (world, interface, function, params, asks, says) in cases {
        let wasm = guests::importing(world, interface, function, params);
        w.offer(PackageWriter::new(manifest(&format!("{asks}[component]\npath = \"plugin.wasm\"\n"))).component(wasm).finish().unwrap());
        let e = refused(&w, &[]).await;
        assert_eq!(e.code(), "plugin.ungranted_import", "{e}");
        assert!(e.to_string().contains(interface) && e.to_string().contains(says), "{e}");
    }
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_asked_for_can_be_granted() {
    let w = World::quick().await;
    w.offer(demo(""));
    let e = refused(&w, &["events.read", "store", "jobs.run"]).await;
    assert!(e.to_string().contains("jobs.run"), "{e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_component_is_refused() {
    let w = World::quick().await;
    let core = wat::parse_str("(module)").unwrap();
    for wasm in [core, b"\0asm garbage".to_vec(), Vec::new()] {
        w.offer(PackageWriter::new(manifest("[component]\npath = \"plugin.wasm\"\n")).component(wasm).finish().unwrap());
        let e = refused(&w, &[]).await;
        assert_eq!(e.code(), "plugin.component", "{e}");
    }
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_is_not_valid_undoes_the_installation() {
    let w = World::quick().await;
    let m = manifest("[[workflows]]\nname = \"good\"\npath = \"good.yaml\"\n[[workflows]]\nname = \"bad\"\npath = \"bad.yaml\"\n");
    let good = "document: { dsl: 1.0.0, namespace: demo, name: good, version: 0.1.0 }\ndo: [ { a: { set: { x: 1 } } } ]";
    let bad = "document: { dsl: 1.0.0, namespace: demo, name: bad, version: 0.1.0 }\ndo: [ { a: { fly: true } } ]";
    w.offer(PackageWriter::new(m).file("good.yaml", good.into()).file("bad.yaml", bad.into()).finish().unwrap());
    let e = refused(&w, &[]).await;
    assert_eq!(e.status(), 422, "{e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewer_and_operator_cannot_change_plugins() {
    let w = World::quick().await;
    w.installed("").await.unwrap();
    for role in [Role::Viewer, Role::Operator] {
        let who = user(role);
        let p = &w.plugins;
        for refusal in [
            p.install(&who, "demo", None, &[]).await.map(|_| ()),
            p.enable(&who, "demo").await.map(|_| ()),
            p.disable(&who, "demo").await.map(|_| ()),
            p.uninstall(&who, "demo", true).await,
            p.set_settings(&who, "demo", json!({"level": "high"})).await.map(|_| ()),
            p.settings(&who, "demo").await.map(|_| ()),
        ] {
            assert_eq!(refusal.unwrap_err().status(), 403);
        }
    }
    let e = w.plugins.call_action(&user(Role::Viewer), "demo", "echo", &json!({}), None).await.unwrap_err();
    assert_eq!(e.status(), 403);
    assert!(w.plugins.call_action(&user(Role::Operator), "demo", "echo", &json!({}), None).await.is_ok());
    w.end().await;
}
