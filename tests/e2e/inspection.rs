//! The main job: from an empty system to a finished inspection report, on both databases, whatever dies on the way.

use plenum_tests::{Agent, Client, Database, Host, HostOptions, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const APP: &str = "/api/v1/plugins/inspection-center/http";
const PERMISSIONS: [&str; 7] = ["cmdb.read", "jobs.run", "jobs.read", "workflow.run", "workflow.read", "store", "events.read"];

async fn host(postgres: bool) -> Host {
    let database = if postgres { Database::Postgres(plenum_store::testing::postgres_url().await) } else { Database::Sqlite };
    Host::start(HostOptions { database, ..HostOptions::default() }).await
}

async fn discovered(admin: &Client) -> Value {
    eventually("the agent's facts to reach the CMDB", || async {
        admin.get("/api/v1/cmdb/models/host/instances").await["items"].as_array()?.first().cloned()
    })
    .await
}

async fn install(admin: &Client) {
    let made = admin.post("/api/v1/plugins", json!({"id": "inspection-center", "permissions": PERMISSIONS})).await;
    assert_eq!(made["status"], "active", "{made:#}");
}

/// A template of two quick checks, so that the test is about the platform and not about this machine.
const TEMPLATE: &str = r#"
id: quick
version: 1
title: { en: Quick, zh: 快速 }
description: { en: One quick check., zh: 一项快速检查。 }
model: host
categories:
  - { id: health, title: { en: Health, zh: 健康 } }
checks:
  - id: answer
    category: health
    title: { en: Answer, zh: 回答 }
    description: { en: Says a number., zh: 输出一个数字。 }
    advice: { en: None is needed., zh: 无需处理。 }
    timeout: 100
    command: echo 42
    parse: { kind: number }
    value: { en: "{value}", zh: "{value}" }
    thresholds:
      - { level: warning, field: value, op: ">=", value: 40, message: { en: "it is {value}", zh: "为 {value}" } }
"#;

async fn inspect(admin: &Client, template: &str) -> (String, String) {
    let made = admin
        .post(
            &format!("{APP}/inspections"),
            json!({"name": "Everything", "items": [{"template": template, "filter": "status == \"online\""}]}),
        )
        .await;
    let id = made["id"].as_str().unwrap().to_owned();
    let report = admin.post(&format!("{APP}/inspections/{id}/run"), json!({})).await;
    (id, report["id"].as_str().unwrap().to_owned())
}

async fn finished(admin: &Client, report: &str) -> Value {
    let path = format!("{APP}/reports/{report}");
    eventually("the report to be finished", || async {
        let (status, r) = admin.send(Method::GET, &path, None).await;
        (status == StatusCode::OK && r["finished_at"].is_i64()).then_some(r)
    })
    .await
}

async fn main_job(postgres: bool) {
    let host = host(postgres).await;
    let _agent = Agent::start(&host).await;
    let admin = host.admin().await;
    let machine = discovered(&admin).await;
    for known in
        ["hostname", "machine_id", "os_name", "kernel", "arch", "cpu_count", "memory_bytes", "mounts", "interfaces", "virtualisation"]
    {
        assert!(!machine["attributes"][known].is_null(), "{known}: {machine:#}");
    }
    let entry = admin.get("/api/v1/catalog/inspection-center").await;
    assert_eq!(entry["signature"]["state"], "trusted", "{entry:#}");
    assert!(entry["permissions"].as_array().unwrap().iter().all(|p| p["reason"]["en"].is_string() && p["reason"]["zh"].is_string()));
    install(&admin).await;

    let preview = admin.post(&format!("{APP}/targets/preview"), json!({"template": "linux-baseline", "filter": "cpu_count >= 1"})).await;
    assert_eq!(preview["total"], 1, "{preview:#}");
    let wrong = admin
        .refused(
            Method::POST,
            &format!("{APP}/targets/preview"),
            Some(json!({"template": "linux-baseline", "filter": "cpu_cuont >= 1"})),
            StatusCode::BAD_REQUEST,
        )
        .await;
    assert!(wrong["detail"].as_str().unwrap().contains("cpu_count"), "the nearest name is offered: {wrong}");

    let (inspection, report) = inspect(&admin, "linux-baseline").await;
    let done = finished(&admin, &report).await;
    assert_eq!(done["status"], "finished", "{done:#}");
    assert_eq!(done["totals"]["targets"]["inspected"], 1, "{done:#}");
    let counts = &done["totals"]["counts"];
    let judged: i64 =
        ["fatal", "warning", "notification", "ok", "skipped", "not_applicable"].iter().map(|k| counts[k].as_i64().unwrap()).sum();
    assert!(judged >= 25 && counts["error"] == 0, "{counts}");
    assert!(done["score"].as_i64().is_some_and(|s| (0..=100).contains(&s)), "{done:#}");

    for (file, kind, word) in [("export.html", "text/html", "<!doctype html>"), ("export.csv", "text/csv", "linux baseline")] {
        let res = admin.request(Method::GET, &format!("{APP}/reports/{report}/{file}")).send().await.unwrap();
        assert!(res.headers()["content-type"].to_str().unwrap().starts_with(kind), "{file}");
        assert!(
            res.headers()["content-security-policy"].to_str().unwrap().contains("sandbox"),
            "a plugin's answer never runs as a page of the portal"
        );
        let text = res.text().await.unwrap();
        assert!(text.to_lowercase().contains(word), "{file}: {}", text.chars().take(300).collect::<String>());
    }
    // The run and the job behind it.
    let runs = admin.get("/api/v1/runs").await;
    let run = admin.get(&format!("/api/v1/runs/{}", runs["items"][0]["id"].as_str().unwrap())).await;
    assert_eq!(run["status"], "succeeded");
    assert!(
        run["tasks"].as_array().unwrap().iter().any(|t| t["name"] == "plan" && t["status"] == "succeeded" && !t["output"].is_null()),
        "{run:#}"
    );
    let jobs = admin.get("/api/v1/jobs/executions").await;
    assert_eq!(jobs["items"][0]["summary"]["succeeded"], 1, "{jobs:#}");
    // Again: the second report is compared with the first.
    let again = admin.post(&format!("{APP}/inspections/{inspection}/run"), json!({})).await;
    let again = finished(&admin, again["id"].as_str().unwrap()).await;
    assert_eq!(again["previous"], report.as_str());
    assert_eq!(admin.get(&format!("{APP}/inspections/{inspection}/trend")).await["items"].as_array().unwrap().len(), 2);
    // What it stored goes only when asked.
    admin.delete("/api/v1/plugins/inspection-center").await;
    install(&admin).await;
    assert_eq!(admin.get(&format!("{APP}/reports?inspection={inspection}")).await["items"].as_array().unwrap().len(), 2);
    admin.delete("/api/v1/plugins/inspection-center?delete_data=true").await;
    install(&admin).await;
    assert_eq!(admin.get(&format!("{APP}/inspections")).await["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn main_job_on_sqlite() {
    main_job(false).await;
}

#[tokio::test]
async fn main_job_on_postgres() {
    main_job(true).await;
}

/// `kill -9` of the host while the script runs: the run goes on after the restart, the script ran once, the report is whole.
async fn host_dies(postgres: bool) {
    let mut host = host(postgres).await;
    let _agent = Agent::start(&host).await;
    let admin = host.admin().await;
    discovered(&admin).await;
    install(&admin).await;
    let marks = host.data().join("marks");
    let slow = TEMPLATE.replace("echo 42", &format!("echo x >> {}; sleep 3; echo 42", marks.display()));
    let made = admin.post(&format!("{APP}/templates"), json!({"source": slow})).await;
    let (_, report) = inspect(&admin, made["template"]["id"].as_str().or(made["id"].as_str()).unwrap()).await;
    eventually("the script to have started", || async { marks.exists().then_some(()) }).await;
    host.kill9();
    host.restart().await;
    let admin = host.admin().await;
    let done = finished(&admin, &report).await;
    assert_eq!(done["status"], "finished", "{done:#}");
    assert_eq!(done["totals"]["counts"]["warning"], 1, "{done:#}");
    assert_eq!(std::fs::read_to_string(&marks).unwrap(), "x\n", "the script ran once");
    assert_eq!(admin.get(&format!("{APP}/reports")).await["items"].as_array().unwrap().len(), 1, "one report");
}

#[tokio::test]
async fn host_killed_in_an_inspection_loses_nothing_on_sqlite() {
    host_dies(false).await;
}

#[tokio::test]
async fn host_killed_in_an_inspection_loses_nothing_on_postgres() {
    host_dies(true).await;
}

#[tokio::test]
async fn agent_killed_in_an_inspection_is_in_the_report() {
    let host = host(false).await;
    let mut agent = Agent::start(&host).await;
    let admin = host.admin().await;
    discovered(&admin).await;
    install(&admin).await;
    let marks = host.data().join("marks");
    let slow = TEMPLATE.replace("echo 42", &format!("echo x >> {}; sleep 90; echo 42", marks.display()));
    let made = admin.post(&format!("{APP}/templates"), json!({"source": slow})).await;
    let (_, report) = inspect(&admin, made["template"]["id"].as_str().or(made["id"].as_str()).unwrap()).await;
    eventually("the script to have started", || async { marks.exists().then_some(()) }).await;
    agent.kill9();
    agent.run();
    let done = finished(&admin, &report).await;
    assert_eq!(done["totals"]["targets"]["total"], 1, "{done:#}");
    assert_eq!(done["totals"]["targets"]["inspected"], 0, "{done:#}");
    assert_eq!(std::fs::read_to_string(&marks).unwrap(), "x\n", "nothing runs twice");
}

#[tokio::test]
async fn viewer_looks_and_changes_nothing() {
    let host = host(false).await;
    let admin = host.admin().await;
    install(&admin).await;
    admin.post("/api/v1/users", json!({"name": "vera", "role": "viewer", "password": "correct horse battery"})).await;
    let vera = Client::sign_in(&host.url, "vera", "correct horse battery").await;
    assert!(vera.get(&format!("{APP}/templates")).await["items"].as_array().unwrap().len() >= 4);
    let script = json!({"script": {"language": "sh", "content": "id"}, "targets": {"filter": {"model": "host"}}});
    let definition = json!({"name": "w", "source": "document: {dsl: 1.0.0, namespace: n, name: w, version: 0.1.0}\ndo: []"});
    for (method, path, body) in [
        (Method::POST, format!("{APP}/inspections"), json!({"name": "x", "items": [{"template": "linux-baseline", "filter": ""}]})),
        (Method::POST, "/api/v1/plugins".into(), json!({"id": "inspection-center", "permissions": []})),
        (Method::DELETE, "/api/v1/plugins/inspection-center".into(), json!(null)),
        (Method::POST, "/api/v1/plugins/inspection-center/disable".into(), json!(null)),
        (Method::PUT, "/api/v1/plugins/inspection-center/settings".into(), json!({})),
        (Method::POST, "/api/v1/plugins/inspection-center/actions/plan".into(), json!({})),
        (Method::POST, "/api/v1/jobs/executions".into(), script),
        (Method::POST, "/api/v1/workflows".into(), definition),
        (Method::POST, "/api/v1/workflows/inspection-center.inspect/runs".into(), json!({"input": {}})),
        (Method::POST, "/api/v1/nodes/enrolment-tokens".into(), json!({})),
        (Method::POST, "/api/v1/cmdb/models/team/instances".into(), json!({"attributes": {"name": "x"}})),
        (
            Method::POST,
            "/api/v1/cmdb/models".into(),
            json!({"name": "x", "display": "name", "attributes": [{"name": "name", "kind": "text"}]}),
        ),
    ] {
        let p = vera.refused(method.clone(), &path, Some(body), StatusCode::FORBIDDEN).await;
        assert_eq!(p["code"], "access.denied", "{method} {path}: {p}");
    }
}

#[tokio::test]
async fn a_page_file_is_sandboxed_and_the_api_is_not_reachable_by_it() {
    let host = host(false).await;
    let admin = host.admin().await;
    install(&admin).await;
    let plugin = admin.get("/api/v1/plugins/inspection-center").await;
    let url = plugin["pages"][0]["url"].as_str().unwrap().to_owned();
    let page = Client::anonymous(&host.url).request(Method::GET, &url).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.starts_with("sandbox allow-scripts") && !policy.contains("allow-same-origin") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    for bad in ["../../etc/passwd", "..%2f..%2fplugin.toml", "plugin.toml", "%2e%2e/x"] {
        let res = Client::anonymous(&host.url).request(Method::GET, &url.replace("web/index.html", bad)).send().await.unwrap();
        assert!(res.status() == StatusCode::NOT_FOUND || !res.text().await.unwrap().contains("[[permissions]]"), "{bad}");
    }
    // An opaque origin says `null`.
    let res = admin.request(Method::POST, &format!("{APP}/inspections")).header("origin", "null").json(&json!({})).send().await.unwrap();
    assert_eq!(res.status(), StatusCode::FORBIDDEN);
}
