//! A plugin's page that tries to get out of its frame, in a real browser.

use std::path::Path;
use std::process::Command;

use plenum_tests::{Host, HostOptions, bin_dir};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_gets_at_nothing_outside_of_its_frame() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(root.join("browser/node_modules/playwright-core").exists(), "run `npm ci` in tests/browser, or `make test`");
    let shop = tempfile::tempdir().unwrap();
    let mut build = Command::new(bin_dir().join("plenum"));
    let built = build.args(["plugin", "build"]).arg(root.join("hostile/page")).arg("--out").arg(shop.path()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let host = Host::start(HostOptions { catalogs: vec![shop.path().to_owned()], developer_mode: true, ..HostOptions::default() }).await;
    let admin = host.admin().await;
    admin.post("/api/v1/plugins", json!({"id": "hostile-page", "permissions": []})).await;
    let mut browser = Command::new("node");
    browser.arg("hostile.mjs").current_dir(root.join("browser"));
    browser.env("PLENUM_URL", &host.url).env("PLENUM_USER", "admin").env("PLENUM_PASSWORD", &host.password);
    let out = tokio::task::spawn_blocking(move || browser.output()).await.unwrap().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    let tries = found["tries"].as_object().unwrap();
    assert!(tries.len() >= 18, "{found:#}");
    // Nothing answered: the browser or the bridge refused, or there was nothing to have.
    for (what, r) in tries {
        assert!(r["refused"].is_string() || r["got"] == "none", "the page got at {what}: {found:#}");
    }
    assert!(found["at"].as_str().unwrap().ends_with("/app/hostile-page/main"), "{found:#}");
    assert_eq!(found["pages"], 1, "{found:#}");
    assert_eq!(found["left"], json!([]), "{found:#}");
    assert!(!found["cookies"].to_string().contains("stolen"), "{found:#}");
    // The portal goes on, and so does the session.
    admin.get("/api/v1/session").await;
}
