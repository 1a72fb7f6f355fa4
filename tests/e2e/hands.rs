//! The operator's hands through the API: a run that failed goes on, one is held back, one begins in the middle.

use plenum_tests::{Host, HostOptions, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const FLOW: &str = "document: {dsl: '1.0.3', namespace: default, name: hands, version: '1.0.0'}
do:
  - first: {set: '${ . + {first: true} }'}
  - each:
      for: {each: n, in: '[1, 2]'}
      do:
        - guard: {if: .bad, raise: {error: {type: https://example.com/bad, status: 400, title: Bad}}}
        - keep: {set: '${ . + {n: $n} }'}
  - rest: {wait: {milliseconds: 1}}
";

fn task<'r>(run: &'r Value, name: &str) -> &'r Value {
    run["tasks"].as_array().unwrap().iter().rev().find(|t| t["name"] == name).unwrap()
}

#[tokio::test]
async fn a_failed_run_goes_on_by_hand() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    admin.post("/api/v1/workflows", json!({"name": "hands", "source": FLOW})).await;
    let run = admin.post("/api/v1/workflows/hands/runs", json!({"input": {"bad": true}})).await;
    let path = format!("/api/v1/runs/{}", run["id"].as_str().unwrap());
    let ended = |path: String| {
        let admin = &admin;
        async move { eventually("the end of the run", || async { Some(admin.get(&path).await).filter(|r| r["finished_at"].is_string()) }).await }
    };
    let run = ended(path.clone()).await;
    assert_eq!(run["status"], "failed");
    let guard = task(&run, "guard");
    assert_eq!((guard["path"].as_str().unwrap(), &guard["acts"]), ("/do/1/each[0]/do/0/guard", &json!(["retry", "skip", "jump"])));
    let at = format!("{path}/tasks/{}", guard["id"]);
    // Without a reason, and what cannot be done, is refused with the reason why.
    let (status, p) = admin.send(Method::POST, &format!("{at}/retry"), Some(json!({"reason": " "}))).await;
    assert_eq!((status, &p["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/reason")), "{p:#}");
    let (status, p) = admin.send(Method::POST, &format!("{at}/fail"), Some(json!({"reason": "x"}))).await;
    assert_eq!((status, &p["code"]), (StatusCode::CONFLICT, &json!("workflow.conflict")), "{p:#}");
    let (status, _) =
        admin.send(Method::POST, &format!("{at}/retry"), Some(json!({"reason": "the input was wrong", "input": {"bad": false}}))).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let run = ended(path.clone()).await;
    assert_eq!((&run["status"], &run["output"]), (&json!("succeeded"), &json!({"bad": false, "n": 2})), "{run:#}");
    let audit = admin.get("/api/v1/audit?action=workflow.run.retry").await;
    assert!(audit.to_string().contains("the input was wrong"), "{audit:#}");

    let again = format!("{path}/tasks/{}/restart", task(&run, "each")["id"]);
    let new = admin.post(&again, json!({"reason": "once more", "input": {"from": "hand"}})).await;
    let new = ended(format!("/api/v1/runs/{}", new["id"].as_str().unwrap())).await;
    assert_eq!(new["output"], json!({"from": "hand", "n": 2}));
}

#[tokio::test]
async fn a_held_run_waits_for_somebody() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let source = "document: {dsl: '1.0.3', namespace: default, name: held, version: '1.0.0'}\ndo:\n  - long: {wait: {hours: 1}}\n  - done: {set: {ok: true}}\n";
    admin.post("/api/v1/workflows", json!({"name": "held", "source": source})).await;
    let run = admin.post("/api/v1/workflows/held/runs", json!({"input": {}})).await;
    let path = format!("/api/v1/runs/{}", run["id"].as_str().unwrap());
    let run = eventually("the wait", || async { Some(admin.get(&path).await).filter(|r| r["waiting"]["until"].is_string()) }).await;
    assert_eq!((&run["waiting"]["permission"], &run["acts"]), (&json!("workflow.run"), &json!(["pause", "cancel"])));
    admin.post(&format!("{path}/pause"), json!({"reason": "a freeze"})).await;
    let run = eventually("the pause", || async { Some(admin.get(&path).await).filter(|r| r["waiting"]["paused"] == true) }).await;
    assert!(run["waiting"]["reason"].as_str().unwrap().contains("a freeze"));
    assert_eq!(run["acts"], json!(["resume", "cancel"]));
    admin.post(&format!("{path}/resume"), json!({"reason": "over"})).await;
    let run = eventually("the wait again", || async { Some(admin.get(&path).await).filter(|r| r["waiting"]["paused"] == false) }).await;
    admin.post(&format!("{path}/tasks/{}/skip", task(&run, "long")["id"]), json!({"reason": "long enough"})).await;
    let run = eventually("the end", || async { Some(admin.get(&path).await).filter(|r| r["finished_at"].is_string()) }).await;
    assert_eq!(run["output"], json!({"ok": true}));
}
