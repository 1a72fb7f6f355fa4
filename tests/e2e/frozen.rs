//! Plugins that were built for an earlier version of the contract, with this host: the README beside each says how old it is.

use std::path::Path;
use std::process::Command;

use plenum_tests::{Agent, Host, HostOptions, bin_dir, eventually};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_contract_0_1_0_does_all_that_it_did() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("frozen/contract-0.1.0");
    let shop = tempfile::tempdir().unwrap();
    let plenum = |args: &[&str]| {
        let done = Command::new(bin_dir().join("plenum")).arg("plugin").args(args).current_dir(&from).output().expect("plenum runs");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("k").display().to_string();
    plenum(&["keygen", "--no-password", "--out", &key]);
    plenum(&["pack", "--component", "frozen.wasm", "--key", &format!("{key}.key"), "--out", &shop.path().display().to_string()]);

    let trusted_keys = vec![format!("Tests={key}.pub")];
    let host = Host::start(HostOptions { catalogs: vec![shop.path().to_owned()], trusted_keys, ..HostOptions::default() }).await;
    let admin = host.admin().await;
    let _agent = Agent::start(&host).await;
    eventually("the agent's facts to reach the CMDB", || async {
        admin.get("/api/v1/cmdb/models/host/instances").await["items"].as_array()?.first().cloned()
    })
    .await;
    let catalog = admin.get("/api/v1/catalog").await;
    let permissions: Vec<&Value> = catalog["items"][0]["permissions"].as_array().expect("permissions").iter().map(|p| &p["name"]).collect();
    admin.post("/api/v1/plugins", json!({"id": "frozen", "permissions": permissions})).await;

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
