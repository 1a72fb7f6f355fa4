//! Filters, workflows, crons and bodies that are wrong: each gets its place and what to do, and nothing is stored.

use plenum_tests::{Host, HostOptions};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn filters() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let deep = format!("{}os_id == 'x'{}", "(".repeat(3_000), ")".repeat(3_000));
    let many = vec!["os_id == 'x'"; 8_000].join(" || ");
    for (filter, words) in [
        ("hostnam == 'x'", "hostname"),
        ("hostname == ", ""),
        ("hostname = 'x'", ""),
        ("cpu_count == 'many'", "cpu_count"),
        ("hostname.matches('(a+)+$(')", ""),
        ("hostname.frobnicate()", "frobnicate"),
        (deep.as_str(), ""),
        (many.as_str(), ""),
    ] {
        let shown = filter.chars().take(40).collect::<String>();
        let answer = admin.post("/api/v1/cmdb/filter/check", json!({"model": "host", "filter": filter})).await;
        assert_eq!(answer["ok"], false, "{shown}: {answer:#}");
        let (message, code) = (answer["error"]["message"].as_str().unwrap(), answer["error"]["code"].as_str().unwrap());
        let hint = answer["error"]["hint"].as_str().unwrap_or_default();
        assert!(code.starts_with("filter.") || code.starts_with("cmdb."), "{shown}: {answer:#}");
        assert!(message.contains(words) || hint.contains(words), "{shown}: {answer:#}");
        assert!(message.len() < 1_000, "{shown}: an error repeats a bounded part of what was sent");
        if filter.len() > 60_000 {
            // Longer than an address may be.
            continue;
        }
        let query = reqwest::Url::parse_with_params("http://x/", [("filter", filter)]).unwrap().query().unwrap().to_owned();
        let listed = admin.request(Method::GET, &format!("/api/v1/cmdb/models/host/instances?{query}")).send().await.unwrap();
        assert!(listed.status().is_client_error(), "{shown}: {}", listed.status());
    }
    // A pattern that backtracks for ever elsewhere is answered at once.
    let started = std::time::Instant::now();
    admin.post("/api/v1/cmdb/models/host/instances", json!({"attributes": {"hostname": "a".repeat(60)}})).await;
    let answer = admin.post("/api/v1/cmdb/filter/check", json!({"model": "host", "filter": "hostname.matches('^(a+)+$x')"})).await;
    assert!(started.elapsed().as_secs() < 10, "{answer:#}");
}

#[tokio::test]
async fn workflows_and_schedules() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let head = "document: {dsl: '1.0.0', namespace: default, name: wrong, version: '1.0.0'}\n";
    for (source, pointer) in [
        ("nothing: [", ""),
        ("do: []", "/document"),
        ("document: {dsl: '9.0.0', namespace: default, name: wrong, version: '1.0.0'}\ndo:\n  - a: {set: {b: 1}}\n", "/document/dsl"),
        (&format!("{head}do: []\n"), "/do"),
        (&format!("{head}do:\n  - a: {{frobnicate: 1}}\n"), "/do/0/a"),
        (&format!("{head}do:\n  - a: {{call: job.rnu}}\n"), "/do/0/a/call"),
        (&format!("{head}do:\n  - a: {{set: {{b: '${{ .x | }}'}}}}\n"), "/do/0/a/set/b"),
        (&format!("{head}do:\n  - a: {{set: {{b: 1}}, then: nowhere}}\n"), "/do/0/a/then"),
        (&format!("{head}do:\n  - a: {{wait: {{hours: soon}}}}\n"), "/do/0/a/wait"),
        (&format!("{head}do:\n  - a: {{switch: []}}\n"), "/do/0/a/switch"),
        (&format!("{head}do:\n  - a: {{try: [], catch: {{}}}}\n"), "/do/0/a/try"),
        (&format!("{head}do:\n  - a: {{for: {{in: '.x'}}, do: [{{b: {{raise: {{}}}}}}]}}\n"), "/do/0/a/do/0/b/raise"),
    ] {
        let checked = admin.post("/api/v1/workflows/validate", json!({"source": source})).await;
        assert_eq!(checked["ok"], false, "{source}: {checked:#}");
        let places: Vec<&str> = checked["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert!(places.iter().any(|p| p.starts_with(pointer)), "{source}: {pointer} is not among {places:?}: {checked:#}");
        let p = admin
            .refused(Method::POST, "/api/v1/workflows", Some(json!({"name": "wrong", "source": source})), StatusCode::UNPROCESSABLE_ENTITY)
            .await;
        assert!(!p["errors"].as_array().unwrap().is_empty(), "{p:#}");
    }
    assert_eq!(admin.get("/api/v1/workflows").await["items"], json!([]));
    // YAML that would fill the memory with references of references.
    let bomb = format!(
        "{}\n",
        (0..30)
            .map(|i| if i == 0 { "a0: &a0 [x, x]".into() } else { format!("a{i}: &a{i} [*a{0}, *a{0}]", i - 1) })
            .collect::<Vec<_>>()
            .join("\n")
    );
    let (status, _) = admin.send(Method::POST, "/api/v1/workflows/validate", Some(json!({"source": bomb}))).await;
    assert!(status == StatusCode::OK || status.is_client_error(), "{status}");

    let here = json!({"name": "x", "source": format!("{head}do:\n  - a: {{set: {{b: 1}}}}\n")});
    admin.post("/api/v1/workflows", here).await;
    for (cron, zone) in [("0 6 * *", "UTC"), ("61 * * * *", "UTC"), ("soon", "UTC"), ("0 6 * * *", "Mars/Olympus"), ("0 0 31 2 *", "UTC")] {
        let (status, p) = admin.send(Method::POST, "/api/v1/schedules/preview", Some(json!({"cron": cron, "timezone": zone}))).await;
        if cron == "0 0 31 2 *" {
            // A date that never comes: no times, or an error; either way an answer.
            assert!(status == StatusCode::OK || status == StatusCode::UNPROCESSABLE_ENTITY, "{status} {p:#}");
            continue;
        }
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{cron} {zone}: {p:#}");
        let wrong = if zone == "UTC" { cron } else { zone };
        assert!(p["detail"].as_str().unwrap().contains(wrong), "{p:#}");
        let made = json!({"name": "s", "cron": cron, "timezone": zone, "target": {"kind": "workflow", "name": "x"}});
        let p = admin.refused(Method::POST, "/api/v1/schedules", Some(made), StatusCode::UNPROCESSABLE_ENTITY).await;
        assert!(p["detail"].as_str().unwrap().contains(wrong), "{p:#}");
    }
    assert_eq!(admin.get("/api/v1/schedules").await["items"], json!([]));
}

#[tokio::test]
async fn a_workflow_that_never_ends_is_cancelled_and_an_expression_that_never_ends_is_cut() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let flow = |name: &str, steps: &str| json!({"name": name, "source": format!("document: {{dsl: '1.0.0', namespace: default, name: {name}, version: '1.0.0'}}\ndo:\n{steps}")});
    admin.post("/api/v1/workflows", flow("bomb", "  - boom: {set: {x: '${ [range(1000000000)] | length }'}}\n")).await;
    admin.post("/api/v1/workflows", flow("circle", "  - again: {set: {n: '${ (.n // 0) + 1 }'}, then: again}\n")).await;
    let bomb = admin.post("/api/v1/workflows/bomb/runs", json!({"input": {}})).await;
    let circle = admin.post("/api/v1/workflows/circle/runs", json!({"input": {}})).await;
    let path = |r: &serde_json::Value| format!("/api/v1/runs/{}", r["id"].as_str().unwrap());
    let ended = plenum_tests::eventually("the bomb to be cut", || async {
        let r = admin.get(&path(&bomb)).await;
        (r["status"] == "failed").then_some(r)
    })
    .await;
    assert!(ended["error"].to_string().contains("expression"), "{ended:#}");
    // The host answers while the circle turns; it ends by the limit of tasks or by a person.
    assert_eq!(admin.get("/api/v1/session").await["name"], "admin");
    let _ = admin.send(Method::POST, &format!("{}/cancel", path(&circle)), Some(json!({}))).await;
    plenum_tests::eventually("the circle to end", || async {
        let r = admin.get(&path(&circle)).await;
        matches!(r["status"].as_str(), Some("cancelled" | "failed")).then_some(())
    })
    .await;
}
