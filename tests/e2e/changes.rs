//! Change requests through the real host: approval, workflow, write-back; and what a rule holds back at the doors.

use plenum_tests::{Client, Host, HostOptions, eventually};
use reqwest::Method;
use serde_json::{Value, json};

const WORD: &str = "correct horse battery";

async fn state(who: &Client, id: &str) -> Value {
    eventually("the change to end", || async {
        let c = who.get(&format!("/api/v1/cmdb/change-requests/{id}")).await;
        (!["open", "approved", "running"].contains(&c["state"].as_str()?)).then_some(c)
    })
    .await
}

async fn approve(who: &Client, id: &str) {
    let seen = who.get(&format!("/api/v1/cmdb/change-requests/{id}")).await;
    assert_eq!(seen["mine"], true, "{seen:#}");
    who.post(&format!("/api/v1/cmdb/change-requests/{id}/decide"), json!({"approve": true, "hash": seen["hash"], "comment": "fine"})).await;
}

#[tokio::test]
async fn an_application_is_approved_provided_and_registered_and_nothing_goes_around_it() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    admin.post("/api/v1/users", json!({"name": "olga", "role": "operator", "password": WORD})).await;
    let olga = Client::sign_in(&host.url, "olga", WORD).await;
    let rule = json!({"name": "systems", "models": ["system"], "acts": ["create", "delete"], "approvers": ["role:administrator"]});
    let (status, e) = admin.send(Method::PUT, "/api/v1/cmdb/change-rules/systems", Some(rule)).await;
    assert!(status.is_success(), "{e:#}");
    let head = "document: {dsl: '1.0.0', namespace: default, version: '1.0.0', name: ";
    let provide = format!("{head}provide}}\ndo:\n  - make: {{set: {{made: '${{ .change.items[0].attributes.name }}'}}}}\n");
    let broken = format!(
        "{head}broken}}\ndo:\n  - stop: {{raise: {{error: {{type: 'https://example.com/no-room', status: 500, title: No room}}}}}}\n"
    );
    let asks = format!(
        "{head}asks}}\ndo:\n  - ask:\n      call: change-request\n      with:\n        title: by a run\n        items: [{{act: create, model: system, attributes: {{name: by-run}}}}]\n"
    );
    for (name, source) in [("provide", &provide), ("broken", &broken), ("asks", &asks)] {
        admin.post("/api/v1/workflows", json!({"name": name, "source": source})).await;
    }
    // What the portal offers as a beginning is a workflow.
    let template = include_str!("../../frontend/src/features/changes/provide.yaml");
    let checked = admin.post("/api/v1/workflows/validate", json!({"source": template})).await;
    assert_eq!(checked["ok"], true, "{checked:#}");
    // Not by the way.
    let direct = json!({"attributes": {"name": "direct"}});
    let (status, e) = olga.send(Method::POST, "/api/v1/cmdb/models/system/instances", Some(direct)).await;
    assert_eq!((status.as_u16(), e["code"].as_str()), (409, Some("cmdb.needs_approval")), "{e:#}");
    let rows = json!({"action": "create", "rows": [{"attributes": {"name": "in bulk"}}]});
    let (_, report) = olga.send(Method::POST, "/api/v1/cmdb/models/system/bulk", Some(rows)).await;
    assert!(report["failed"] == 1 && report.to_string().contains("change request"), "{report:#}");

    let ask = |name: &str, workflow: &str| {
        json!({"title": format!("a system {name}"), "reason": "the shop grows", "workflow": workflow,
        "items": [{"act": "create", "model": "system", "attributes": {"name": name, "owner": "olga"}}]})
    };
    let one = olga.post("/api/v1/cmdb/change-requests", ask("shop", "provide")).await["id"].as_str().unwrap().to_owned();
    let two = olga.post("/api/v1/cmdb/change-requests", ask("cellar", "broken")).await["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.get("/api/v1/cmdb/change-requests?mine=true").await["items"].as_array().unwrap().len(), 2);
    for id in [&one, &two] {
        approve(&admin, id).await;
    }
    let done = state(&olga, &one).await;
    assert_eq!(done["state"], "done", "{done:#}");
    let record = done["records"][0].as_str().unwrap();
    let made = olga.get(&format!("/api/v1/cmdb/models/system/instances/{record}")).await;
    assert_eq!(made["attributes"]["owner"], "olga");
    let history = olga.get(&format!("/api/v1/cmdb/models/system/instances/{record}/history")).await;
    assert_eq!(history["items"][0]["why"], format!("change request {one}"));
    let run = olga.get(&format!("/api/v1/runs/{}", done["run"].as_str().unwrap())).await;
    assert_eq!((run["status"].as_str(), run["output"]["made"].as_str()), (Some("succeeded"), Some("shop")), "{run:#}");
    // The second stopped where its workflow did, and wrote nothing.
    let stopped = state(&olga, &two).await;
    assert_eq!(stopped["state"], "failed", "{stopped:#}");
    assert!(stopped["error"].as_str().unwrap().contains("No room"), "{stopped:#}");
    let all = olga.get("/api/v1/cmdb/models/system/instances").await;
    assert_eq!(all["items"].as_array().unwrap().iter().map(|i| i["label"].as_str().unwrap()).collect::<Vec<_>>(), ["shop"]);
    // A run asks, waits, and goes on.
    let run = olga.post("/api/v1/workflows/asks/runs", json!({"input": {}})).await["id"].as_str().unwrap().to_owned();
    let third = eventually("the run's request", || async {
        let open = admin.get("/api/v1/cmdb/change-requests?mine=true").await;
        open["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    approve(&admin, &third).await;
    let ended = eventually("the run to end", || async {
        let r = olga.get(&format!("/api/v1/runs/{run}")).await;
        r["finished_at"].is_string().then_some(r)
    })
    .await;
    assert_eq!((ended["status"].as_str(), ended["output"]["state"].as_str()), (Some("succeeded"), Some("done")), "{ended:#}");
}
