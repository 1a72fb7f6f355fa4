//! A host of its own for each test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running host in developer mode; killed when dropped.
pub struct Host {
    data: TempDir,
    url: String,
    http: reqwest::Client,
    child: Child,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
pub struct Answer {
    /// HTTP's number.
    pub status: u16,
    /// It, as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

impl Host {
    /// With this catalog, signed in as its administrator.
    pub async fn start(catalog: &Path) -> Host {
        let data = tempfile::tempdir().unwrap();
        let binary = env!("CARGO_BIN_EXE_plenum");
        let said = super::run(Command::new(binary).args(["admin", "init", "--data"]).arg(data.path()));
        let password = said.lines().find_map(|l| l.strip_prefix("Password")).unwrap().trim().to_owned();
        let log = std::fs::File::create(data.path().join("host.log")).unwrap();
        let mut serve = Command::new(binary);
        serve.arg("serve").arg("--data").arg(data.path()).args([
            "--listen",
            "127.0.0.1:0",
            "--agent-listen",
            "127.0.0.1:0",
            "--developer-mode",
        ]);
        serve.arg("--catalog").arg(catalog).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = serve.spawn().unwrap();
        // Compiling a Python component in a host that is not optimised takes most of a minute.
        // reqwest brings no cryptography of its own here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().cookie_store(true).timeout(Duration::from_secs(300)).build().unwrap();
        let mut host = Host { data, url: String::new(), http, child };
        host.ready().await;
        let signed_in = host.post("/session", json!({ "name": "admin", "password": password })).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.body);
        host
    }

    async fn ready(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(text) = std::fs::read_to_string(self.data.path().join("host.json")) {
                let v: Value = serde_json::from_str(&text).unwrap();
                self.url = format!("http://{}", v["listen"].as_str().unwrap());
                if self.http.get(format!("{}/readyz", self.url)).send().await.is_ok_and(|r| r.status().is_success()) {
                    return;
                }
            }
            assert!(self.child.try_wait().unwrap().is_none() && Instant::now() < end, "the host did not become ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the host has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("host.log")).unwrap_or_default()
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self.http.request(method.parse().unwrap(), url).header("origin", &self.url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        Answer { status: answer.status().as_u16(), body: answer.text().await.unwrap() }
    }

    /// GET below `/api/v1`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// POST below `/api/v1`.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    /// PUT below `/api/v1`.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body)).await
    }

    /// Installs a plugin with permissions.
    pub async fn install(&self, id: &str, permissions: &[&str]) -> Value {
        let answer = self.post("/plugins", json!({ "id": id, "permissions": permissions })).await;
        assert_eq!(answer.status, 201, "{}\n{}", answer.body, self.log());
        answer.json()
    }

    /// Lines of a plugin's log that hold these words.
    pub async fn lines(&self, id: &str, words: &str) -> Vec<Value> {
        let all = self.get(&format!("/plugins/{id}/logs?limit=500")).await.json();
        let lines = all["items"].as_array().unwrap().clone();
        lines.into_iter().filter(|l| l["message"].as_str().unwrap().contains(words)).collect()
    }
}

/// The walk through what every template offers: routes, errors with their place, records, an action.
pub async fn walk(host: &Host, id: &str) {
    let at = |path: &str| format!("/plugins/{id}/http{path}");
    for name in ["web1", "web2"] {
        let made = host.post("/cmdb/models/host/instances", json!({ "attributes": { "hostname": name, "os_id": "debian" } })).await;
        assert!(made.status < 300, "{}", made.body);
    }
    assert_eq!(host.get(&at("/summary")).await.json(), json!({ "debian": 2 }), "{}", host.log());
    let text = "Größe 中文 😀";
    let made = host.post(&at("/notes"), json!({ "text": text })).await;
    assert_eq!((made.status, &made.json()["data"]["text"]), (201, &json!(text)), "{}", made.body);
    let wrong = host.post(&at("/notes"), json!({ "text": " " })).await;
    assert_eq!((wrong.status, &wrong.json()["pointer"]), (422, &json!("/text")), "{}", wrong.body);
    let wrong = host.post(&at("/notes"), json!({ "txt": "x" })).await;
    assert_eq!((wrong.status, &wrong.json()["pointer"]), (422, &json!("/text")), "{}", wrong.body);
    let wrong = host.get(&at("/notes?cursor=x")).await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("store.query")), "the platform's own error: {}", wrong.body);
    assert_eq!(host.get(&at("/nothing")).await.json()["code"], "plugin.no_route");
    let notes = host.get(&at("/notes")).await.json();
    assert_eq!(
        (notes["items"][0]["data"]["text"].as_str().unwrap(), notes["items"][0]["data"]["author"].as_str().unwrap()),
        (text, "admin")
    );
    let answer = host.post(&format!("/plugins/{id}/actions/count"), json!({ "os_id": "debian" })).await;
    assert_eq!(answer.json()["hosts"], 2, "{}", answer.body);
    assert_eq!(host.lines(id, "counted").await[0]["fields"]["hosts"], 2);
}
