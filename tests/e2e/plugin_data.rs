//! A plugin's data from one host to another, by the API and by command.

use std::process::Command;

use plenum_tests::{Database, Host, HostOptions, bin_dir};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ALL: [&str; 7] = ["store", "cmdb.read", "jobs.read", "jobs.run", "workflow.read", "workflow.run", "events.read"];

fn plenum(host: &Host, token: &str, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(bin_dir().join("plenum"));
    command.arg("plugin").args(args).env("PLENUM_HOST", &host.url).env("PLENUM_TOKEN", token);
    let out = command.output().expect("plenum runs");
    (out.status.success(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

async fn installed(options: HostOptions) -> (Host, plenum_tests::Client, String) {
    let host = Host::start(options).await;
    let admin = host.admin().await;
    admin.post("/api/v1/plugins", json!({"id": "inspection-center", "permissions": ALL})).await;
    let token = admin.post("/api/v1/tokens", json!({"name": "data", "role": "administrator"})).await["token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (host, admin, token)
}

/// Where the plugin keeps its records, and what they are.
async fn records(admin: &plenum_tests::Client) -> Vec<String> {
    let res = admin.request(Method::GET, "/api/v1/plugins/inspection-center/data").send().await.unwrap();
    assert_eq!(res.status(), StatusCode::OK);
    assert_eq!(res.headers()["content-type"], "application/x-ndjson");
    assert!(res.headers()["content-disposition"].to_str().unwrap().contains("inspection-center-"));
    let text = res.text().await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines[1..lines.len() - 1].iter().map(|l| (*l).to_owned()).collect()
}

#[tokio::test]
async fn moves_from_sqlite_to_postgresql_by_command() {
    let (one, admin, token) = installed(HostOptions::default()).await;
    let base = "/api/v1/plugins/inspection-center/http/templates";
    let template = admin.get(base).await["items"][0]["id"].as_str().unwrap().to_owned();
    let copy = json!({"id": "mine", "title": "磁盘 of ours"});
    let (status, said) = admin.send(Method::POST, &format!("{base}/{template}/copy"), Some(copy)).await;
    assert_eq!(status, StatusCode::CREATED, "{said:#}");
    let before = records(&admin).await;
    assert!(before.iter().any(|l| l.contains("磁盘 of ours")), "{before:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("inspections.jsonl");
    let path = file.to_str().unwrap();
    let (ok, said) = plenum(&one, &token, &["export", "inspection-center", "--out", path]);
    assert!(ok, "{said}");

    let (two, other, other_token) =
        installed(HostOptions { database: Database::Postgres(plenum_store::testing::postgres_url().await), ..HostOptions::default() })
            .await;
    let empty = records(&other).await;
    let (ok, said) = plenum(&two, &other_token, &["import", path, "--dry-run"]);
    assert!(ok && said.contains("nothing was changed"), "{said}");
    assert_eq!(records(&other).await, empty);
    let (ok, said) = plenum(&two, &other_token, &["import", path]);
    assert!(ok && said.contains("imported"), "{said}");
    assert_eq!(sorted(records(&other).await), sorted(before));
    // Cut off, it changes nothing.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() - 10]).unwrap();
    let (ok, said) = plenum(&two, &other_token, &["import", path]);
    assert!(!ok && said.contains("422"), "{said}");
    let audit = other.get("/api/v1/audit?action=plugin.data_imported").await;
    assert!(audit["items"].as_array().unwrap().iter().any(|e| e["action"] == "plugin.data_imported"), "{audit:#}");
}

fn sorted(lines: Vec<String>) -> Vec<String> {
    // JSONB keeps keys in an order of its own.
    let mut all: Vec<String> = lines.iter().map(|l| sort_keys(serde_json::from_str(l).unwrap()).to_string()).collect();
    all.sort();
    all
}

fn sort_keys(v: Value) -> Value {
    match v {
        Value::Object(o) => {
            let mut pairs: Vec<(String, Value)> = o.into_iter().map(|(k, v)| (k, sort_keys(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(a) => Value::Array(a.into_iter().map(sort_keys).collect()),
        v => v,
    }
}
