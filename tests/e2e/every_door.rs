//! A viewer at every route that changes something. The routes come from the API's own description: a new one without an entry
//! here fails the test, so that nobody forgets to try it.

use plenum_tests::{Agent, Client, Host, HostOptions, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What a viewer may send: their own session, password and tokens, and questions that change nothing.
const OPEN: &[&str] = &[
    // Who is asked may answer, whatever the role; who is not is told so by `host/workflow`.
    "POST /approvals/{id}/decide",
    "POST /approvals/{id}/delegate",
    // Everybody marks what they were told themselves as read.
    "POST /notifications/read",
    "POST /notifications/{id}/read",
    "POST /session",
    "DELETE /session",
    "PUT /session/password",
    "POST /tokens",
    "DELETE /tokens/{id}",
    "POST /cmdb/filter/check",
    "POST /cmdb/models/{model}/query",
    "POST /cmdb/models/{model}/aggregate",
    // Everybody keeps filters of their own; that they share none and delete nobody else's is tested with the CMDB.
    "POST /cmdb/models/{model}/filters",
    "DELETE /cmdb/filters/{id}",
    // Who is asked may answer, whatever the role; who is not is told so by `host/cmdb`.
    "POST /cmdb/change-requests/{id}/decide",
    "POST /cmdb/change-requests/{id}/withdraw",
    "POST /cmdb/change-requests/{id}/renew",
    "POST /jobs/targets/preview",
    "POST /schedules/preview",
    "POST /workflows/validate",
];

/// A body that an operator or administrator could send, so that nothing but the permission stands in the way.
fn body(door: &str, node: &str, version: i64) -> Option<Value> {
    let flow = "document: {dsl: '1.0.0', namespace: default, name: theirs, version: '1.0.0'}\ndo:\n  - one: {set: {a: 1}}\n";
    let target = json!({"nodes": [{"node_id": node}]});
    Some(match door {
        "POST /users" => json!({"name": "x1", "role": "viewer", "password": "correct horse battery"}),
        "PATCH /users/{id}" => json!({"role": "administrator"}),
        "POST /cmdb/associations" => json!({"kind": "contains", "from": {"model": "team", "id": "t"}, "to": {"model": "team", "id": "t"}}),
        "PATCH /cmdb/associations/{id}" => json!({"attributes": {}}),
        "POST /cmdb/association-kinds" => json!({"name": "theirs", "forward": "is theirs", "backward": "is theirs"}),
        "PUT /cmdb/association-kinds/{kind}" => json!({"name": "belongs_to", "forward": "is theirs", "backward": "is theirs"}),
        "POST /data-roles" => json!({"name": "everyone", "rules": []}),
        "PUT /data-roles/{name}" => json!({"name": "theirs", "rules": []}),
        "PUT /cmdb/groups/{name}" => json!({"model": "team", "filter": "name != null"}),
        "POST /cmdb/change-requests" => {
            json!({"title": "theirs", "items": [{"act": "create", "model": "team", "attributes": {"name": "intruders"}}]})
        }
        "PUT /cmdb/change-rules/{rule}" => json!({"name": "theirs", "approvers": ["role:viewer"]}),
        "POST /cmdb/models" => json!({"name": "gadget", "display": "name", "attributes": [{"name": "name", "kind": "text"}]}),
        "PUT /cmdb/models/{model}" => json!({"name": "team", "display": "name", "attributes": [{"name": "name", "kind": "text"}]}),
        "POST /cmdb/models/{model}/changes" => {
            json!({"model": {"name": "team", "display": "name", "attributes": [{"name": "name", "kind": "text"}]}})
        }
        "PUT /cmdb/models/{model}/instances/{id}/secrets/{attribute}" => json!({"value": "theirs"}),
        "POST /cmdb/models/{model}/instances/{id}/secrets/{attribute}/reveal" => json!({"reason": "to see it"}),
        "POST /cmdb/models/{model}/removed/{attribute}/restore" => json!({}),
        "POST /cmdb/models/{model}/instances" => json!({"attributes": {"name": "intruders"}}),
        "PATCH /cmdb/models/{model}/instances/{id}" => json!({"attributes": {"name": "intruders"}, "version": version}),
        "POST /cmdb/models/{model}/bulk" => json!({"action": "create", "rows": [{"attributes": {"name": "intruders"}}]}),
        "POST /cmdb/models/{model}/import" => json!("name\nintruders"),
        "POST /cmdb/models/{model}/instances/{id}/restore" => json!({"version": version}),
        "PUT /cmdb/sources/{source}" => json!({"on_new": "ignore"}),
        "POST /cmdb/sources/{source}/records" => json!({"records": [{"model": "team", "attributes": {"name": "intruders"}}]}),
        "PUT /cmdb/health/rules/{rule}" => json!({"id": "mine", "check": {"kind": "conflict"}}),
        "POST /cmdb/health/repair" => json!({"rule": "owner", "record": "t"}),
        "PUT /cmdb/precedence" => json!({"model": "*", "attribute": "*", "ranks": ["import"]}),
        "POST /cmdb/models/{model}/instances/{id}/merge" => json!({"others": ["t"]}),
        "POST /cmdb/reviews/{id}/decision" => json!({"decision": "reject"}),
        "POST /jobs/executions" => json!({"script": {"language": "sh", "content": "id"}, "targets": target}),
        "POST /jobs/executions/{id}/retry" => json!({"nodes": [node]}),
        "POST /jobs/executions/{id}/approve" => json!({"digest": "0"}),
        "POST /jobs/executions/{id}/refuse" => json!({}),
        "POST /jobs/scripts/check" => json!({"script": {"language": "sh", "content": "id"}}),
        "POST /jobs/rules" => {
            json!({"title": "theirs", "level": "block", "why": "it is theirs", "pattern": {"kind": "command", "commands": [{"names": ["id"]}]}})
        }
        "PUT /jobs/rules/{id}" => json!({"level": "warn", "enabled": false}),
        "POST /nodes/enrolment-tokens" => json!({}),
        "POST /node-policies" | "PUT /node-policies/{id}" => json!({"name": "theirs", "nodes": "*", "settings": {"metrics_s": 0}}),
        "PATCH /nodes/{id}" => json!({"name": "mine"}),
        "POST /plugins" => json!({"id": "inspection-center", "permissions": []}),
        "PUT /plugins/{id}/settings" | "POST /plugins/{id}/upgrade" | "POST /plugins/{id}/rollback" => json!({}),
        "POST /plugins/{id}/data" => json!("what a viewer would have it keep"),
        "PUT /plugins/{id}/permissions" => json!({"permissions": []}),
        "POST /plugins/{id}/actions/{action}" => json!({}),
        "POST /schedules" => json!({"name": "s", "cron": "0 6 * * *", "timezone": "UTC", "target": {"kind": "workflow", "name": "theirs"}}),
        "PATCH /schedules/{id}" => json!({"enabled": true}),
        "POST /workflows" => json!({"name": "mine", "source": flow}),
        "PUT /workflows/{name}" => json!({"source": flow}),
        "POST /workflows/{name}/runs" => json!({"input": {}}),
        "POST /runs/rehearsal" => json!({"source": flow}),
        "POST /runs/{id}/pause" | "POST /runs/{id}/resume" => json!({"reason": "mine"}),
        "POST /runs/{id}/tasks/{task}/pause" | "POST /runs/{id}/tasks/{task}/resume" | "POST /runs/{id}/tasks/{task}/fail" => {
            json!({"reason": "mine"})
        }
        "POST /runs/{id}/tasks/{task}/retry" | "POST /runs/{id}/tasks/{task}/jump" => json!({"reason": "mine", "input": {}}),
        "POST /runs/{id}/tasks/{task}/skip" => json!({"reason": "mine", "output": {}}),
        "POST /runs/{id}/tasks/{task}/restart" => json!({"reason": "mine"}),
        _ => return None,
    })
}

/// Doors without a body.
const BARE: &[&str] = &[
    "DELETE /cmdb/associations/{id}",
    "DELETE /cmdb/association-kinds/{kind}",
    "DELETE /data-roles/{name}",
    "DELETE /cmdb/groups/{name}",
    "DELETE /cmdb/change-rules/{rule}",
    "DELETE /cmdb/models/{model}",
    "DELETE /cmdb/model-changes/{id}",
    "DELETE /cmdb/models/{model}/instances/{id}/secrets/{attribute}",
    "DELETE /cmdb/models/{model}/instances/{id}",
    "DELETE /cmdb/models/{model}/instances/{id}/sources/{source}",
    "DELETE /cmdb/sources/{source}",
    "DELETE /cmdb/health/rules/{rule}",
    "POST /cmdb/health/runs",
    "POST /catalogs/refresh",
    "POST /jobs/executions/{id}/cancel",
    "DELETE /jobs/rules/{id}",
    "DELETE /node-policies/{id}",
    "DELETE /nodes/{id}",
    "POST /nodes/{id}/collect",
    "DELETE /plugins/{id}",
    "POST /plugins/{id}/disable",
    "POST /plugins/{id}/enable",
    "POST /plugins/{id}/release",
    "POST /runs/{id}/cancel",
    "DELETE /schedules/{id}",
    "DELETE /workflows/{name}",
];

/// All that a viewer could have changed, but for what changes by itself.
async fn state(admin: &Client) -> Value {
    let mut all = serde_json::Map::new();
    for path in [
        "users",
        "tokens",
        "data-roles",
        "cmdb/association-kinds",
        "cmdb/change-requests",
        "cmdb/change-rules",
        "cmdb/groups",
        "cmdb/models",
        "cmdb/models/team/instances",
        "plugins",
        "schedules",
        "workflows",
        "nodes/enrolment-tokens",
        "node-policies",
        "jobs/rules",
    ] {
        all.insert(path.to_owned(), admin.get(&format!("/api/v1/{path}")).await["items"].clone());
    }
    for path in ["jobs/executions", "runs"] {
        all.insert(path.to_owned(), admin.get(&format!("/api/v1/{path}")).await["total"].clone());
    }
    let node = admin.get("/api/v1/nodes").await["items"][0].clone();
    all.insert("node".to_owned(), json!([node["name"], node["state"]]));
    // Their figures count calls, which refusals are not; the rest must stay.
    for plugin in all["plugins"].as_array_mut().into_iter().flatten() {
        plugin.as_object_mut().unwrap().remove("stats");
    }
    Value::Object(all)
}

#[tokio::test]
async fn a_viewer_changes_nothing_through_any_of_them() {
    let host = Host::start(HostOptions::default()).await;
    let _agent = Agent::start(&host).await;
    let admin = host.admin().await;
    admin.post("/api/v1/users", json!({"name": "vera", "role": "viewer", "password": "correct horse battery"})).await;
    let vera = Client::sign_in(&host.url, "vera", "correct horse battery").await;
    let node = eventually("the node", || async { admin.get("/api/v1/nodes").await["items"].as_array()?.first().cloned() }).await;
    let node = node["id"].as_str().unwrap().to_owned();
    let team = admin.post("/api/v1/cmdb/models/team/instances", json!({"attributes": {"name": "Operations"}})).await;
    let source = "document: {dsl: '1.0.0', namespace: default, name: theirs, version: '1.0.0'}\ndo:\n  - long: {wait: {hours: 1}}\n";
    admin.post("/api/v1/workflows", json!({"name": "theirs", "source": source})).await;
    let run = admin.post("/api/v1/workflows/theirs/runs", json!({"input": {}})).await;
    let schedule =
        json!({"name": "s", "cron": "0 6 * * *", "timezone": "UTC", "target": {"kind": "workflow", "name": "theirs"}, "enabled": false});
    let schedule = admin.post("/api/v1/schedules", schedule).await;
    admin.post("/api/v1/plugins", json!({"id": "inspection-center", "permissions": ["store", "cmdb.read", "jobs.read", "jobs.run", "workflow.read", "workflow.run", "events.read"]})).await;
    let job = admin
        .post(
            "/api/v1/jobs/executions",
            json!({"script": {"language": "sh", "content": "sleep 60"}, "targets": {"nodes": [{"node_id": node}]}}),
        )
        .await;
    let me = admin.get("/api/v1/session").await;
    let text = |v: &Value| v["id"].as_str().unwrap_or_default().to_owned();

    let before = state(&admin).await;
    let document = admin.get("/api/v1/openapi.json").await;
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/api/v1") else { continue };
        for method in item.as_object().unwrap().keys().filter(|m| matches!(m.as_str(), "post" | "put" | "patch" | "delete")) {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let door = format!("{method} {path}");
            if OPEN.contains(&door.as_str()) {
                continue;
            }
            let sent = body(&door, &node, team["version"].as_i64().unwrap_or(1));
            assert!(sent.is_some() || BARE.contains(&door.as_str()), "{door} is a new door: say here what a viewer would send to it");
            let id = match path.split('/').nth(1).unwrap() {
                "users" => text(&me),
                "cmdb" => text(&team),
                "jobs" => text(&job),
                "nodes" => node.clone(),
                "plugins" => "inspection-center".to_owned(),
                "runs" => text(&run),
                "schedules" => text(&schedule),
                _ => "none".to_owned(),
            };
            let at = path
                .replace("{id}", &id)
                .replace("{model}", "team")
                .replace("{kind}", "belongs_to")
                .replace("{name}", "theirs")
                .replace("{source}", "import")
                .replace("{rule}", "mine")
                .replace("{attribute}", "name")
                .replace("{action}", "plan")
                .replace("{task}", "1");
            let (status, problem) = vera.send(method, &format!("/api/v1{at}"), sent).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{door}: {problem:#}");
            assert_eq!(problem["code"], "access.denied", "{door}");
            assert!(problem["detail"].as_str().unwrap().len() > 10, "{door} says why: {problem:#}");
            tried += 1;
        }
    }
    assert!(tried >= 25, "{tried}");
    assert_eq!(state(&admin).await, before);
    // Into a plugin: a page may be looked at, its changing requests are refused by the host.
    let (status, _) = vera.send(Method::GET, "/api/v1/plugins/inspection-center/http/inspections", None).await;
    assert_eq!(status, StatusCode::OK);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let (status, p) = vera.send(method.clone(), "/api/v1/plugins/inspection-center/http/inspections", Some(json!({"name": "x"}))).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method}: {p:#}");
    }
    println!("{tried} doors tried");
}
