//! Plugins that were built for an earlier version of the contract, with this host: the README beside each says how old it is.

use std::path::Path;
use std::process::Command;

use plenum_tests::{Agent, Client, Host, HostOptions, bin_dir, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A host with the components of these versions in its catalog, and what has to stay while it runs.
async fn host_with(contracts: &[&str]) -> (Host, [tempfile::TempDir; 2]) {
    let (shop, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = keys.path().join("k").display().to_string();
    let plenum = |from: &Path, args: &[&str]| {
        let done = Command::new(bin_dir().join("plenum")).arg("plugin").args(args).current_dir(from).output().expect("plenum runs");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    plenum(keys.path(), &["keygen", "--no-password", "--out", &key]);
    for version in contracts {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("frozen/contract-{version}"));
        let out = shop.path().display().to_string();
        plenum(&from, &["pack", "--component", "frozen.wasm", "--key", &format!("{key}.key"), "--out", &out]);
    }
    let trusted_keys = vec![format!("Tests={key}.pub")];
    let host = Host::start(HostOptions { catalogs: vec![shop.path().to_owned()], trusted_keys, ..HostOptions::default() }).await;
    (host, [shop, keys])
}

/// A node, known to the CMDB.
async fn node(host: &Host, admin: &Client) -> Agent {
    let agent = Agent::start(host).await;
    eventually("the agent's facts to reach the CMDB", || async {
        admin.get("/api/v1/cmdb/models/host/instances").await["items"].as_array()?.first().cloned()
    })
    .await;
    agent
}

/// Installs a plugin with all that it asks for.
async fn install(admin: &Client, id: &str) {
    let catalog = admin.get("/api/v1/catalog").await;
    let entry = catalog["items"].as_array().unwrap().iter().find(|e| e["id"] == id).expect("in the catalog");
    let permissions: Vec<&Value> = entry["permissions"].as_array().expect("permissions").iter().map(|p| &p["name"]).collect();
    admin.post("/api/v1/plugins", json!({"id": id, "permissions": permissions})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_two_contracts_live_in_one_host() {
    let (host, _kept) = host_with(&["0.1.0", "0.2.0"]).await;
    let admin = host.admin().await;
    for id in ["frozen", "frozen-two"] {
        install(&admin, id).await;
    }
    let did = admin.post("/api/v1/plugins/frozen-two/actions/everything", json!({})).await;
    assert_eq!(
        did,
        json!({
            "models": ["host", "system", "team"], "name": {"kind": "text", "required": true, "titled": true}, "unknown": true,
            "outcomes": ["RowOutcome::Created", "RowOutcome::Created", "RowOutcome::Failed"], "wrong": ["cmdb.invalid_instance", 422],
            "undone": [false, true], "listed": ["back", "front"], "searched": ["front"], "long_ago": 0, "before": [null, "face"], "stale": 409,
            "falls": ["back", "face"], "needs": ["face", "back"], "nothing": ["back"], "related": [1, 0], "gone": true,
            "restored": "face", "first": "front",
            "history": [[5, null, true, true], [4, null, false, true], [3, "no longer needed", true, false], [2, "a better name", true, true],
                [1, "because", false, true]],
            "count": 1, "foreign": 403
        })
    );
    let _agent = node(&host, &admin).await;
    // The one of the first contract, over the same interface's older version, and on the same records.
    let did = admin.post("/api/v1/plugins/frozen/http/everything", json!({})).await;
    assert_eq!((&did["stale"], &did["gone"], &did["foreign"]), (&json!(409), &json!(true), &json!(403)), "{did:#}");
    let systems = admin.get("/api/v1/cmdb/models/system/instances?sort=name").await;
    let names: Vec<&Value> = systems["items"].as_array().unwrap().iter().map(|i| &i["label"]).collect();
    assert_eq!(names, ["back", "front"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_contract_0_3_0_counts_and_tells() {
    let (host, _kept) = host_with(&["0.3.0"]).await;
    let admin = host.admin().await;
    admin.post("/api/v1/users", json!({"name": "olga", "role": "operator", "password": "correct horse battery"})).await;
    let olga = Client::sign_in(&host.url, "olga", "correct horse battery").await;
    install(&admin, "frozen-three").await;
    let app = "/api/v1/plugins/frozen-three";
    let did = admin.post(&format!("{app}/actions/everything"), json!({})).await;
    assert_eq!(
        did,
        json!({"kind": "metrics.kind", "name": "metrics.name", "told": 2, "again": 0, "beyond": ["access.denied", 403], "empty": ["plugin.invalid", 422]})
    );
    // What it counted, on its page and for Prometheus.
    let figures = admin.get(&format!("{app}/figures")).await;
    let seen = figures["items"].as_array().unwrap().iter().find(|f| f["name"] == "seen").unwrap();
    assert_eq!((&seen["kind"], &seen["series"][0]["value"]), (&json!("counter"), &json!(3.0)), "{figures:#}");
    let answer = admin.request(Method::GET, "/api/v1/metrics").send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let text = answer.text().await.unwrap();
    for line in [
        "plenum_plugin_seen{plugin=\"frozen-three\",of=\"a\"} 3",
        "plenum_plugin_level{plugin=\"frozen-three\"} -4.5",
        "plenum_plugin_took_seconds_count{plugin=\"frozen-three\",of=\"b\"} 1",
        "plenum_plugins_calls_total{plugin=\"frozen-three\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    // What people were told: each reads it once, and marks it alone.
    for who in [&admin, &olga] {
        let told = who.get("/api/v1/notifications?unread=true").await;
        assert_eq!(
            (&told["unread"], &told["items"][0]["title"], &told["items"][0]["plugin"]),
            (&json!(1), &json!("Two things expire"), &json!("frozen-three")),
            "{told:#}"
        );
    }
    let id = admin.get("/api/v1/notifications").await["items"][0]["id"].as_str().unwrap().to_owned();
    admin.post(&format!("/api/v1/notifications/{id}/read"), json!({})).await;
    assert_eq!(admin.get("/api/v1/notifications").await["unread"], 0);
    assert_eq!(olga.get("/api/v1/notifications").await["unread"], 1);
    olga.post("/api/v1/notifications/read", json!({})).await;
    let told = olga.get("/api/v1/notifications").await;
    assert!(told["unread"] == 0 && told["items"][0]["read_at"].is_string(), "{told:#}");
    olga.refused(Method::POST, "/api/v1/notifications/99999/read", None, StatusCode::NOT_FOUND).await;
    // Its calls, part by part, for administrators.
    let traces = admin.get(&format!("{app}/traces")).await;
    let call = &traces["items"].as_array().unwrap().iter().find(|t| t["what"] == "action everything").unwrap().clone();
    let spans: Vec<&str> = call["spans"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(spans, ["plenum:notify/notifications.send"; 4], "{call:#}");
    olga.refused(Method::GET, &format!("{app}/traces"), None, StatusCode::FORBIDDEN).await;
    // A failure shows what the call was given, and nothing that is secret.
    admin.put(&format!("{app}/settings"), json!({"token": "s3cret-token"})).await;
    let input = json!({"trap": true, "password": "hunter2", "note": "has s3cret-token in it"});
    let (status, _) = admin.send(Method::POST, &format!("{app}/actions/everything"), Some(input)).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let trap = admin.get(&format!("{app}/traps")).await["items"][0].clone();
    let shown = trap["input"].as_str().unwrap();
    assert!(shown.contains("\"trap\":true") && !shown.contains("hunter2") && !shown.contains("s3cret-token"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_as_it_is_written() {
    let (host, _kept) = host_with(&["0.1.0"]).await;
    let admin = host.admin().await;
    install(&admin, "frozen").await;
    let mut stream = admin.request(Method::GET, "/api/v1/plugins/frozen/logs/stream").send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let mut text = String::new();
    while !text.contains("event: open") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("the stream goes on")));
    }
    admin.send(Method::POST, "/api/v1/plugins/frozen/http/everything", Some(json!({}))).await;
    while !text.contains("event: lines") || !text.contains("\"everything\"") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("the stream goes on")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_contract_0_1_0_does_all_that_it_did() {
    let (host, _kept) = host_with(&["0.1.0"]).await;
    let admin = host.admin().await;
    let _agent = node(&host, &admin).await;
    install(&admin, "frozen").await;

    let app = "/api/v1/plugins/frozen/http";
    let mut did = admin.post(&format!("{app}/everything"), json!({})).await;
    let (run, job) = (did["run"].as_str().unwrap().to_owned(), did["execution"].as_str().unwrap().to_owned());
    for told in ["run", "execution"] {
        did.as_object_mut().unwrap().remove(told);
    }
    assert_eq!(
        did,
        json!({"greeting": "hello", "user": "admin", "owner": "nobody", "stale": 409, "hosts": 1, "count": 1, "related": 0, "gone": true, "taken": 409,
            "large": 1, "foreign": 403, "once": true, "listed": 1, "times": 3, "random": 8, "time": true})
    );
    let run = eventually("the run to end", || async {
        let run = admin.get(&format!("{app}/run/{run}")).await;
        run["finished_at"].is_number().then_some(run)
    })
    .await;
    assert_eq!((&run["status"], &run["output"]), (&json!("succeeded"), &json!({"number": 20})), "{run:#}");
    let job = eventually("the job to end", || async {
        let job = admin.get(&format!("{app}/job/{job}")).await;
        (job["status"] != "running").then_some(job)
    })
    .await;
    assert_eq!(job, json!({"status": "succeeded", "out": "frozen\n"}));
    let notes = eventually("the event to arrive", || async {
        let notes = admin.get(&format!("{app}/notes")).await;
        notes.as_array()?.iter().any(|n| n["id"] == "heard").then_some(notes)
    })
    .await;
    let notes: Vec<_> =
        notes.as_array().unwrap().iter().map(|n| (n["id"].as_str().unwrap(), n["data"]["number"].as_i64().unwrap())).collect();
    assert_eq!(notes, [("a", 3), ("b", 4), ("heard", 7), ("installed", 0)]);
}
