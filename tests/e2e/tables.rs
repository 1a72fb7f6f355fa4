//! Records as files: out, changed in a spreadsheet, in again.

use plenum_tests::{Client, Host, HostOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn export(admin: &Client, query: &str) -> String {
    let answer = admin.request(Method::GET, &format!("/api/v1/cmdb/models/host/export?{query}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

async fn import(admin: &Client, query: &str, file: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let path = format!("/api/v1/cmdb/models/host/import?{query}");
    let answer = admin.request(Method::POST, &path).header("content-type", "text/csv").body(file).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn figures(a: &Value) -> [i64; 4] {
    ["created", "updated", "unchanged", "failed"].map(|k| a[k].as_i64().unwrap())
}

#[tokio::test]
async fn a_file_goes_out_and_comes_back() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    // What a spreadsheet saves: a byte order mark, titles, semicolons, quotes, empty cells.
    let file = "\u{feff}Hostname;env;cpu_count;owner\r\nweb1;prod;4.0;\"Team \"\"A\"\"\"\r\nweb2;;8;=1+1\r\n\r\n数据库;prod;;\r\n";
    let (status, dry) = import(&admin, "key=hostname&dry_run=true", file).await;
    assert_eq!((status, figures(&dry), &dry["kept"]), (StatusCode::OK, [3, 0, 0, 0], &json!(false)), "{dry:#}");
    assert_eq!(admin.get("/api/v1/cmdb/models/host/instances").await["total"], 0);
    let (_, made) = import(&admin, "key=hostname&why=CHG-1", file).await;
    assert_eq!((figures(&made), &made["rows"][1]["row"]), ([3, 0, 0, 0], &json!(3)), "{made:#}");

    let out = export(&admin, "sort=hostname").await;
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("id,") && lines[0].ends_with(",version,created_at,updated_at"), "{}", lines[0]);
    assert_eq!(lines.len(), 4);
    assert!(out.contains("\"Team \"\"A\"\"\"") && out.contains("'=1+1") && out.contains("数据库"), "{out}");
    // Unchanged it changes nothing; a cell changed changes its record.
    let (_, same) = import(&admin, "", out.clone()).await;
    assert_eq!(figures(&same), [0, 0, 3, 0], "{same:#}");
    let (_, one) = import(&admin, "", out.replace("prod", "test")).await;
    assert_eq!(figures(&one), [0, 2, 1, 0], "{one:#}");
    let only = export(&admin, "format=json&filter=env%20%3D%3D%20%22test%22").await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&only).unwrap().len(), 2);
    let none: Vec<Value> = serde_json::from_str(&export(&admin, "format=json&filter=env%20%3D%3D%20%22x%22").await).unwrap();
    assert!(none.is_empty());
    let past = export(&admin, "at=2020-01-01T00:00:00Z").await;
    assert_eq!(past.lines().count(), 1);
}

#[tokio::test]
async fn wrong_cells_are_named_and_hurt_their_row_only() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let file = "hostname,cpu_count,addresses,owner\na,many,,\nb,4,[1],\nc,4,10.0.0.1;10.0.0.2,x\nd,1\n,1,,\nc,,,y\nc,5,,\n";
    let (status, done) = import(&admin, "key=hostname", file).await;
    assert_eq!((status, figures(&done)), (StatusCode::OK, [1, 1, 0, 5]), "{done:#}");
    let said: Vec<(i64, &str)> = done["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["row"].as_i64().unwrap(), r["attribute"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(said, [(2, "cpu_count"), (3, "addresses"), (5, "hostname"), (6, "hostname"), (8, "cpu_count")], "{done:#}");
    assert!(done["rows"][0]["detail"].as_str().unwrap().contains("whole number"), "{done:#}");
    // The same as a file with a column of errors.
    let path = "/api/v1/cmdb/models/host/import?key=hostname&dry_run=true";
    let answer =
        admin.request(Method::POST, path).header("content-type", "text/csv").header("accept", "text/csv").body(file).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(
        text.starts_with("hostname,cpu_count,addresses,owner,error\n") && text.contains("cpu_count has to be a whole number"),
        "{text}"
    );

    let (_, all) = import(&admin, "key=hostname&all=true", "hostname,cpu_count\nx,1\ny,many\n").await;
    assert_eq!((figures(&all), &all["kept"]), ([1, 0, 0, 1], &json!(false)), "{all:#}");
    assert_eq!(admin.get("/api/v1/cmdb/models/host/instances").await["total"], 1);
    for (query, file, says) in [
        ("key=hostname", "hostnam\na\n", "did you mean hostname"),
        ("key=hostname", "hostname,hostname\na,b\n", "twice"),
        ("", "hostname\na\n", "which record"),
        ("key=hostname", "", "empty"),
        ("key=hostname&action=destroy", "hostname\na\n", "destroy"),
        ("key=wishes", "hostname\na\n", "wishes"),
    ] {
        let (status, problem) = import(&admin, query, file).await;
        assert!(status.is_client_error(), "{query}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{query}: {problem:#}");
    }
    let (status, problem) = import(&admin, "key=hostname", vec![b'h', 0xff, b'\n']).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("cmdb.import")));
    let (status, _) = import(&admin, "key=hostname", vec![b'x'; (16 << 20) + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn bulk_writes_restore_and_the_map_by_the_api() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let body = json!({"action": "upsert", "key": ["hostname"], "rows": [{"attributes": {"hostname": "a"}}, {"attributes": {"hostname": "b", "wish": 1}}]});
    let done = admin.post("/api/v1/cmdb/models/host/bulk", body).await;
    assert_eq!((figures(&done), &done["rows"][1]["attribute"]), ([1, 0, 0, 1], &json!("wish")), "{done:#}");
    let id = done["rows"][0]["id"].as_str().unwrap();
    let at = format!("/api/v1/cmdb/models/host/instances/{id}");
    admin.delete(&at).await;
    let back = admin.post(&format!("{at}/restore"), json!({"why": "not this one"})).await;
    assert_eq!((&back["label"], &back["version"]), (&json!("a"), &json!(3)), "{back:#}");
    let graph = admin.get(&format!("{at}/graph?walk=impact&depth=4")).await;
    assert_eq!((graph["nodes"].as_array().unwrap().len(), &graph["truncated"]), (1, &json!(false)), "{graph:#}");
    admin.refused(Method::GET, &format!("{at}/graph?walk=sideways"), None, StatusCode::BAD_REQUEST).await;
    admin.refused(Method::GET, &format!("{at}?at=yesterday"), None, StatusCode::BAD_REQUEST).await;
    admin.refused(Method::GET, &format!("{at}?at=2020-01-01T00:00:00Z"), None, StatusCode::NOT_FOUND).await;
}
