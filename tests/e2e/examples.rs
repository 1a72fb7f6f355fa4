//! The first-party plugins in Python and JavaScript, doing what they are for with a real agent.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use plenum_tests::{Agent, Client, Host, HostOptions, eventually};
use serde_json::{Value, json};

/// nginx with a certificate of three days, on a free port; killed when dropped.
struct Nginx(Child);

impl Nginx {
    fn start(dir: &Path, port: u16) -> Nginx {
        let at = |file: &str| dir.join(file).display().to_string();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3"]);
        openssl.args(["-subj", "/O=Example/CN=shop.example.com", "-keyout", &at("key.pem"), "-out", &at("cert.pem")]);
        assert!(openssl.output().expect("openssl is installed").status.success());
        let config = format!(
            "daemon off; pid {}; error_log {};\nevents {{}}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {}; }} }}\n",
            at("nginx.pid"),
            at("error.log"),
            at("cert.pem"),
            at("key.pem")
        );
        std::fs::write(dir.join("nginx.conf"), config).expect("a configuration");
        let mut nginx = Command::new("nginx");
        nginx.args(["-c", &at("nginx.conf"), "-p", &at("")]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Nginx(nginx.spawn().expect("nginx is installed"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It ends its workers; killed, it would leave them.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

/// Installs a plugin with all that it asks for.
async fn install(admin: &Client, id: &str) {
    let catalog = admin.get("/api/v1/catalog").await;
    let entry = catalog["items"].as_array().expect("a list").iter().find(|e| e["id"] == id).cloned();
    let entry = entry.unwrap_or_else(|| panic!("{id} is not in the catalog: run `make plugins-all`"));
    let permissions: Vec<&Value> = entry["permissions"].as_array().expect("permissions").iter().map(|p| &p["name"]).collect();
    let made = admin.post("/api/v1/plugins", json!({ "id": id, "permissions": permissions })).await;
    assert_eq!(made["status"], "active", "{made:#}");
}

async fn machine(admin: &Client) -> Value {
    eventually("the agent's facts to reach the CMDB", || async {
        admin.get("/api/v1/cmdb/models/host/instances").await["items"].as_array()?.first().cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_watch_finds_a_certificate_that_expires_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let _nginx = Nginx::start(dir.path(), port);
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    install(&admin, "tls-watch").await;
    let _agent = Agent::start(&host).await;
    let service = eventually("nginx to be found", || async {
        let found = admin.get("/api/v1/cmdb/models/nginx/instances").await;
        found["items"].as_array()?.iter().find(|i| i["attributes"]["port"] == port).cloned()
    })
    .await;

    let app = "/api/v1/plugins/tls-watch/http";
    let run = admin.post(&format!("{app}/check"), json!({})).await["run"].as_str().unwrap().to_owned();
    let run = eventually("the check to end", || async {
        let run = admin.get(&format!("/api/v1/runs/{run}")).await;
        (run["finished_at"].is_string()).then_some(run)
    })
    .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");

    let found = admin.get(&format!("{app}/endpoints")).await;
    let endpoint = found["items"].as_array().unwrap().iter().find(|e| e["instance"] == service["id"]).cloned().unwrap();
    assert_eq!(
        (&endpoint["status"], &endpoint["subject"], &endpoint["days"]),
        (&json!("critical"), &json!("shop.example.com"), &json!(2)),
        "{endpoint:#}"
    );
    let kept = admin.get("/api/v1/cmdb/models/certificate/instances").await;
    assert!(kept["items"].as_array().unwrap().iter().any(|c| c["label"] == "shop.example.com"), "{kept:#}");
    let page = admin.get("/api/v1/plugins/tls-watch").await;
    assert_eq!(page["pages"][0]["kind"], "declared", "{page:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runbooks_step_runs_on_the_machine_that_was_chosen() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    install(&admin, "runbook").await;
    let _agent = Agent::start(&host).await;
    let machine = machine(&admin).await;

    let app = "/api/v1/plugins/runbook/http";
    let examples = admin.get(&format!("{app}/runbooks?search=disk")).await;
    assert_eq!(examples["items"][0]["title"], "Disk is full", "{examples:#}");
    let steps = json!([{ "title": "Say", "language": "sh", "script": "echo Größe" }]);
    let made = admin.post(&format!("{app}/runbooks"), json!({ "title": "Speak", "model": "host", "steps": steps })).await;
    let id = made["id"].as_str().unwrap();
    let records = admin.get(&format!("{app}/runbooks/{id}/records")).await;
    assert_eq!(records["items"][0]["id"], machine["id"], "{records:#}");

    let asked = json!({ "instances": [machine["id"]], "version": made["version"] });
    let started = admin.post(&format!("{app}/runbooks/{id}/steps/0/run"), asked).await;
    let execution = started["execution"].as_str().unwrap();
    let ended = eventually("the step to end", || async {
        let job = admin.get(&format!("{app}/runs/{execution}")).await;
        (job["status"] != "running").then_some(job)
    })
    .await;
    assert_eq!((&ended["status"], &ended["results"][0]["stdout"]), (&json!("succeeded"), &json!("Größe\n")), "{ended:#}");
    let runs = admin.get(&format!("{app}/runbooks/{id}/runs")).await;
    assert_eq!((&runs["items"][0]["by"], &runs["items"][0]["name"]), (&json!("admin"), &json!("Say")), "{runs:#}");
}
