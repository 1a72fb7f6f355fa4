//! Data roles at every door: a matrix of who asks, what is asked, and what must never be in the answer.

use std::time::Duration;

use futures::StreamExt;
use plenum_tests::{Client, Host, HostOptions};
use reqwest::Method;
use serde_json::{Value, json};

const WORD: &str = "correct horse battery";

/// What must not be seen: a record out of reach, and an attribute that is hidden.
const FOREIGN: &str = "payroll-db";
const SECRET: &str = "SN-HIDDEN";

struct World {
    host: Host,
    admin: Client,
    mine: String,
    theirs: String,
    system: String,
}

async fn world() -> World {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let make = async |model: &str, attributes: Value| {
        let made = admin.post(&format!("/api/v1/cmdb/models/{model}/instances"), json!({"attributes": attributes})).await;
        made["id"].as_str().unwrap().to_owned()
    };
    let mine = make("host", json!({"hostname": "shop-web", "env": "shop", "serial": format!("{SECRET}-1")})).await;
    let theirs = make("host", json!({"hostname": FOREIGN, "env": "hr", "serial": format!("{SECRET}-2")})).await;
    let system = make("system", json!({"name": "shop"})).await;
    for to in [&mine, &theirs] {
        let link = json!({"kind": "depends_on", "from": {"model": "system", "id": system}, "to": {"model": "host", "id": to}});
        admin.post("/api/v1/cmdb/associations", link).await;
    }
    let mut members = Vec::new();
    for (name, role) in [("olga", "operator"), ("vera", "viewer")] {
        members.push(admin.post("/api/v1/users", json!({"name": name, "role": role, "password": WORD})).await["id"].clone());
    }
    let rules = json!([
        {"models": ["host"], "filter": "env == \"shop\"", "write": true, "hidden": ["serial"]},
        {"models": ["system"]},
    ]);
    admin.post("/api/v1/data-roles", json!({"name": "shop", "title": {"en": "Shop"}, "rules": rules, "members": members})).await;
    World { host, admin, mine, theirs, system }
}

#[tokio::test]
async fn no_door_shows_what_is_out_of_reach_or_hidden() {
    let w = world().await;
    let h = "/api/v1/cmdb/models/host";
    let (mine, theirs) = (format!("{h}/instances/{}", w.mine), format!("{h}/instances/{}", w.theirs));
    let at = "2030-01-01T00:00:00Z";
    let check = |filter: &str| Some(json!({"model": "host", "filter": filter}));
    let preview = |targets: Value| Some(targets);
    // Method, path, body, status, a text that must be there.
    let doors: Vec<(Method, String, Option<Value>, u16, &str)> = vec![
        (Method::GET, "/api/v1/cmdb/models".into(), None, 200, "\"system\""),
        (Method::GET, h.into(), None, 200, "hostname"),
        (Method::GET, "/api/v1/cmdb/models/rack".into(), None, 404, "no_model"),
        (Method::GET, format!("{h}/instances"), None, 200, "shop-web"),
        (Method::GET, format!("{h}/instances?filter=true"), None, 200, "shop-web"),
        (Method::GET, format!("{h}/instances?filter=env%20%3D%3D%20%22hr%22"), None, 200, "\"items\":[]"),
        (Method::GET, format!("{h}/instances?filter=true)%20%7C%7C%20(true"), None, 400, "filter."),
        (Method::GET, format!("{h}/instances?filter=serial%20!%3D%20null"), None, 400, "unknown_field"),
        (Method::GET, format!("{h}/instances?sort=serial"), None, 400, "no such field"),
        (Method::GET, format!("{h}/instances?search=HIDDEN"), None, 200, "\"items\":[]"),
        (Method::GET, format!("{h}/instances?search=payroll"), None, 200, "\"items\":[]"),
        (Method::GET, format!("{h}/instances?at={at}"), None, 200, "shop-web"),
        (Method::GET, mine.clone(), None, 200, "shop-web"),
        (Method::GET, theirs.clone(), None, 404, "not_found"),
        (Method::GET, format!("{mine}?at={at}"), None, 200, "shop-web"),
        (Method::GET, format!("{theirs}?at={at}"), None, 404, "not_found"),
        (Method::GET, format!("{mine}/history"), None, 200, "shop-web"),
        (Method::GET, format!("{theirs}/history"), None, 200, "\"items\":[]"),
        (Method::GET, format!("{mine}/related"), None, 200, "\"shop\""),
        (Method::GET, format!("{theirs}/related"), None, 404, "not_found"),
        (Method::GET, format!("{mine}/graph?depth=4"), None, 200, "shop-web"),
        (Method::GET, format!("{theirs}/graph?depth=4"), None, 404, "not_found"),
        (Method::GET, format!("/api/v1/cmdb/models/system/instances/{}/related", w.system), None, 200, "shop-web"),
        (Method::GET, format!("/api/v1/cmdb/models/system/instances/{}/graph?walk=needs&depth=6", w.system), None, 200, "shop-web"),
        (Method::GET, format!("{h}/export?format=csv"), None, 200, "shop-web"),
        (Method::GET, format!("{h}/export?format=json"), None, 200, "shop-web"),
        (Method::GET, "/api/v1/cmdb/search?q=shop".into(), None, 200, "shop-web"),
        (Method::GET, "/api/v1/cmdb/search?q=HIDDEN".into(), None, 200, "\"items\":[]"),
        (Method::GET, "/api/v1/cmdb/search?q=payroll".into(), None, 200, "\"items\":[]"),
        (Method::POST, "/api/v1/cmdb/filter/check".into(), check("true"), 200, "\"count\":1"),
        (Method::POST, "/api/v1/cmdb/filter/check".into(), check("serial == \"x\""), 200, "\"ok\":false"),
        (
            Method::POST,
            "/api/v1/jobs/targets/preview".into(),
            preview(json!({"targets": {"filter": {"model": "host", "cel": "true"}}})),
            200,
            "shop-web",
        ),
        (Method::GET, "/api/v1/data-roles".into(), None, 403, "access.denied"),
    ];
    for name in ["olga", "vera"] {
        let client = Client::sign_in(&w.host.url, name, WORD).await;
        for (method, path, body, status, there) in &doors {
            let mut request = client.request(method.clone(), path);
            if let Some(b) = body {
                request = request.json(b);
            }
            let answer = request.send().await.unwrap();
            let code = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            let door = format!("{name}: {method} {path}");
            assert_eq!(code, *status, "{door}: {text}");
            assert!(text.contains(there), "{door} lacks {there}: {text}");
            assert!(!text.contains(FOREIGN) && !text.contains(SECRET), "{door} shows too much: {text}");
            // The id of what is out of reach is in answers only where the question had it.
            assert!(path.contains(&w.theirs) || !text.contains(&w.theirs), "{door} shows too much: {text}");
            assert!(!text.contains("\"serial\"") || status == &400, "{door} names what is hidden: {text}");
        }
    }
    // An administrator is not narrowed.
    let all = w.admin.get(&format!("{h}/instances")).await.to_string();
    assert!(all.contains(FOREIGN) && all.contains(SECRET), "{all}");
}

#[tokio::test]
async fn no_door_changes_what_is_out_of_reach() {
    let w = world().await;
    let olga = Client::sign_in(&w.host.url, "olga", WORD).await;
    let h = "/api/v1/cmdb/models/host";
    let (mine, theirs) = (format!("{h}/instances/{}", w.mine), format!("{h}/instances/{}", w.theirs));
    let system = format!("/api/v1/cmdb/models/system/instances/{}", w.system);
    let link = |to: &str| json!({"kind": "connects_to", "from": {"model": "host", "id": w.mine}, "to": {"model": "host", "id": to}});
    let before = w.admin.get(&theirs).await;
    let doors: Vec<(Method, String, Option<Value>, u16)> = vec![
        (Method::POST, format!("{h}/instances"), Some(json!({"attributes": {"hostname": "x", "env": "hr"}})), 403),
        (Method::POST, format!("{h}/instances"), Some(json!({"attributes": {"hostname": "x", "env": "shop", "serial": "s"}})), 422),
        (Method::PATCH, theirs.clone(), Some(json!({"attributes": {"owner": "olga"}})), 404),
        (Method::PATCH, mine.clone(), Some(json!({"attributes": {"env": "hr"}})), 403),
        (Method::PATCH, mine.clone(), Some(json!({"attributes": {"serial": "s"}})), 422),
        (Method::PATCH, system.clone(), Some(json!({"attributes": {"owner": "olga"}})), 403),
        (Method::DELETE, theirs.clone(), None, 404),
        (Method::DELETE, system.clone(), None, 403),
        (Method::POST, format!("{theirs}/restore"), Some(json!({"version": 1})), 404),
        (Method::POST, "/api/v1/cmdb/associations".into(), Some(link(&w.theirs)), 404),
        (Method::PUT, "/api/v1/data-roles/shop".into(), Some(json!({"name": "shop", "rules": []})), 403),
    ];
    for (method, path, body, status) in doors {
        let (code, answer) = olga.send(method.clone(), &path, body).await;
        assert_eq!(code.as_u16(), status, "{method} {path}: {answer:#}");
    }
    let rows = json!({"action": "upsert", "key": ["hostname"], "rows": [
        {"attributes": {"hostname": FOREIGN, "owner": "olga"}}, {"id": w.theirs, "attributes": {"owner": "olga"}}, {"attributes": {"hostname": "shop-web", "owner": "olga"}}]});
    let done = olga.post(&format!("{h}/bulk"), rows).await;
    assert_eq!((done["updated"].as_u64(), done["failed"].as_u64()), (Some(1), Some(2)), "{done:#}");
    assert_eq!(w.admin.get(&theirs).await, before);
    assert_eq!(olga.get(&mine).await["attributes"]["owner"], "olga");
}

#[tokio::test]
async fn the_event_stream_tells_of_what_is_in_reach() {
    let w = world().await;
    let olga = Client::sign_in(&w.host.url, "olga", WORD).await;
    let answer = olga.request(Method::GET, "/api/v1/events/stream?types=plenum.cmdb.").header("last-event-id", "0").send().await.unwrap();
    let h = "/api/v1/cmdb/models/host/instances";
    w.admin.patch(&format!("{h}/{}", w.theirs), json!({"attributes": {"owner": "x"}})).await;
    w.admin.patch(&format!("{h}/{}", w.mine), json!({"attributes": {"owner": "last"}})).await;
    let mut text = String::new();
    let mut stream = answer.bytes_stream();
    while !text.contains("plenum.cmdb.instance.updated") {
        let chunk = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("the event comes").unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains(&w.mine) && text.contains("owner"), "{text}");
    assert!(!text.contains(&w.theirs) && !text.contains(FOREIGN) && !text.contains("serial"), "{text}");
}
