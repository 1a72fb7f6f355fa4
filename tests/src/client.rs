//! Speaks HTTP to a host, as the portal does.

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// A client with a session of its own.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// Without a session.
    pub fn anonymous(url: &str) -> Client {
        // No connection is reused: the host closes one whose body it refused, and the next request must not run into that.
        // reqwest brings no cryptography of its own here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().cookie_store(true).pool_max_idle_per_host(0).build().expect("a client");
        Client { http, base: url.to_owned() }
    }

    /// With a session.
    pub async fn sign_in(url: &str, name: &str, password: &str) -> Client {
        let c = Client::anonymous(url);
        let (status, body) = c.send(Method::POST, "/api/v1/session", Some(serde_json::json!({"name": name, "password": password}))).await;
        assert_eq!(status, StatusCode::OK, "sign in as {name}: {body}");
        c
    }

    /// A request as it is; the caller reads the answer.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A request and its JSON answer, whatever the status.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut req = self.request(method, path);
        if let Some(b) = body {
            req = req.json(&b);
        }
        let res: Response = req.send().await.unwrap_or_else(|e| panic!("{path}: {e}"));
        let status = res.status();
        let text = res.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.send(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path} answered {status}: {answer:#}");
        answer
    }

    /// GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, None).await
    }

    /// POST that must succeed.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ok(Method::POST, path, Some(body)).await
    }

    /// PUT that must succeed.
    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.ok(Method::PUT, path, Some(body)).await
    }

    /// PATCH that must succeed.
    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.ok(Method::PATCH, path, Some(body)).await
    }

    /// DELETE that must succeed.
    pub async fn delete(&self, path: &str) -> Value {
        self.ok(Method::DELETE, path, None).await
    }

    /// A request that must be refused with this status; answers the problem.
    pub async fn refused(&self, method: Method, path: &str, body: Option<Value>, expect: StatusCode) -> Value {
        let (status, answer) = self.send(method.clone(), path, body).await;
        assert_eq!(status, expect, "{method} {path}: {answer:#}");
        for field in ["code", "title", "detail"] {
            assert!(answer[field].as_str().is_some_and(|s| !s.is_empty()), "{method} {path}: a problem has {field}: {answer:#}");
        }
        answer
    }
}
