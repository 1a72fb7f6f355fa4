//! Who gets in, and who gets nowhere: sessions, origins, roles, wrong passwords.

use plenum_tests::{Client, Host, HostOptions};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn nobody_reads_without_signing_in() {
    let host = Host::start(HostOptions::default()).await;
    let nobody = Client::anonymous(&host.url);
    let admin = host.admin().await;
    let doc = admin.get("/api/v1/openapi.json").await;
    assert!(doc["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut tried = 0;
    for (path, item) in doc["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let Ok(m) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            // Signing in and out, and asking whether one is.
            if path == "/api/v1/session" {
                continue;
            }
            let path = path.replace('{', "x").replace('}', "");
            let (status, body) = nobody.send(m.clone(), &path, (m != Method::GET).then(|| json!({}))).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{m} {path} without a session: {body}");
            tried += 1;
        }
    }
    assert!(tried > 8, "the document lists the routes: {tried}");
    let (status, body) = nobody.send(Method::GET, "/api/v1/session", None).await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, json!("")), "nobody is signed in, and nothing is said of anybody");
}

#[tokio::test]
async fn another_origin_changes_nothing() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let res = admin
            .request(Method::POST, "/api/v1/tokens")
            .header("origin", origin)
            .json(&json!({"name": "x", "role": "viewer"}))
            .send()
            .await
            .unwrap();
        assert_eq!(res.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let res = admin
        .request(Method::POST, "/api/v1/tokens")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({"name": "x", "role": "viewer"}))
        .send()
        .await
        .unwrap();
    assert_eq!(res.status(), StatusCode::FORBIDDEN);
    assert_eq!(admin.get("/api/v1/tokens").await["items"].as_array().unwrap().len(), 0);
    // The portal's own origin does.
    let res = admin
        .request(Method::POST, "/api/v1/tokens")
        .header("origin", &host.url)
        .json(&json!({"name": "x", "role": "viewer"}))
        .send()
        .await
        .unwrap();
    assert_eq!(res.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn wrong_password_costs_time() {
    let host = Host::start(HostOptions::default()).await;
    let c = Client::anonymous(&host.url);
    let guess = |p: &str| json!({"name": "admin", "password": p});
    for _ in 0..3 {
        c.refused(Method::POST, "/api/v1/session", Some(guess("wrong wrong wrong")), StatusCode::UNAUTHORIZED).await;
    }
    // Now even the right one has to wait, or guessing in parallel would pay.
    let res = c.request(Method::POST, "/api/v1/session").json(&guess(&host.password)).send().await.unwrap();
    assert_eq!(res.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(res.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let problem = c.refused(Method::POST, "/api/v1/session", Some(guess(&host.password)), StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(problem["code"], "access.too_many_attempts");
}

#[tokio::test]
async fn viewer_changes_nothing_and_ends_when_closed() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let user = admin.post("/api/v1/users", json!({"name": "vera", "role": "viewer", "password": "correct horse battery"})).await;
    let vera = Client::sign_in(&host.url, "vera", "correct horse battery").await;
    assert_eq!(vera.get("/api/v1/session").await["role"], "viewer");
    for (method, path, body) in [
        (Method::POST, "/api/v1/users", json!({"name": "x1", "role": "viewer", "password": "correct horse battery"})),
        (Method::PATCH, &*format!("/api/v1/users/{}", user["id"].as_str().unwrap()), json!({"role": "administrator"})),
        (Method::GET, "/api/v1/audit", json!(null)),
    ] {
        let p = vera.refused(method, path, Some(body), StatusCode::FORBIDDEN).await;
        assert_eq!(p["code"], "access.denied");
    }
    // The refusals are on record.
    let log = admin.get("/api/v1/audit?actor=vera").await;
    assert!(log["items"].as_array().unwrap().iter().filter(|e| e["allowed"] == false).count() >= 3, "{log:#}");
    admin.patch(&format!("/api/v1/users/{}", user["id"].as_str().unwrap()), json!({"disabled": true})).await;
    vera.refused(Method::GET, "/api/v1/nodes", None, StatusCode::UNAUTHORIZED).await;
    assert_eq!(vera.send(Method::GET, "/api/v1/session", None).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_token_does_no_more_than_its_role_and_is_shown_once() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let made = admin.post("/api/v1/tokens", json!({"name": "ci", "role": "viewer", "expires_in_days": 1})).await;
    let secret = made["token"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("plt_"));
    assert!(!admin.get("/api/v1/tokens").await.to_string().contains(&secret));
    let script = Client::anonymous(&host.url);
    let get = |path: &'static str| script.request(Method::GET, path).bearer_auth(&secret).send();
    assert_eq!(get("/api/v1/session").await.unwrap().status(), StatusCode::OK);
    assert_eq!(get("/api/v1/audit").await.unwrap().status(), StatusCode::FORBIDDEN);
    admin.delete(&format!("/api/v1/tokens/{}", made["id"].as_str().unwrap())).await;
    assert_eq!(get("/api/v1/session").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(!host.log().contains(&secret), "no secret in the log");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let me = admin.get("/api/v1/session").await;
    let path = format!("/api/v1/users/{}", me["id"].as_str().unwrap());
    for change in [json!({"role": "viewer"}), json!({"disabled": true})] {
        let p = admin.refused(Method::PATCH, &path, Some(change), StatusCode::UNPROCESSABLE_ENTITY).await;
        assert!(p["detail"].as_str().unwrap().contains("last administrator"));
    }
}

#[tokio::test]
async fn nonsense_gets_a_problem() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    let deep = format!("{{\"role\":\"viewer\",\"other\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for (body, status) in [("{", 400), ("{\"name\":1}", 422), (deep.as_str(), 400)] {
        let res = admin
            .request(Method::POST, "/api/v1/tokens")
            .header("content-type", "application/json")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert!(res.status().as_u16() == status || res.status().as_u16() == 422, "{}", body.chars().take(20).collect::<String>());
        assert_eq!(res.headers()["content-type"], "application/problem+json");
    }
    let large = json!({"name": "x".repeat(3_000_000), "role": "viewer"});
    admin.refused(Method::POST, "/api/v1/tokens", Some(large), StatusCode::PAYLOAD_TOO_LARGE).await;
    admin.refused(Method::GET, "/api/v1/nothing", None, StatusCode::NOT_FOUND).await;
    admin.refused(Method::GET, "/api/v1/audit?limit=many", None, StatusCode::BAD_REQUEST).await;
}
