//! `make bench`: figures of the real binaries, printed, not asserted. With the argument `main`, `workflows` or `plugins` only that part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod plugins;
mod workflows;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plenum_tests::{Agent, Client, Host, HostOptions, bin_dir, eventually};
use reqwest::Method;
use serde_json::json;

const APP: &str = "/api/v1/plugins/inspection-center/http";
const FLEET: usize = 200;

fn status_kib(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit(')').next().unwrap_or_default().to_owned();
    let field = |n: usize| rest.split_whitespace().nth(n).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
    field(11) + field(12)
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted.get(((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// Milliseconds of `n` requests one after the other, over one connection.
async fn latency(http: &reqwest::Client, url: &str, token: &str, n: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(n);
    for _ in 0..n {
        let started = Instant::now();
        let res = http.get(url).bearer_auth(token).send().await.unwrap();
        assert!(res.status().is_success(), "{url}: {}", res.status());
        let _ = res.bytes().await.unwrap();
        out.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    out.sort_by(f64::total_cmp);
    out
}

#[tokio::main]
async fn main() {
    println!("binaries: {}", bin_dir().display());
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|o| o == part);
    if wanted("plugins") {
        plugins::plugins().await;
    }
    if wanted("workflows") {
        workflows::workflows().await;
    }
    if wanted("main") {
        main_job().await;
    }
}

/// Start, memory, a plugin's request beside a native one, and an inspection of a fleet.
async fn main_job() {
    let mut host = Host::start(HostOptions::default()).await;
    let agent = Agent::start(&host).await;
    let admin = host.admin().await;
    let started = Instant::now();
    let permissions = ["cmdb.read", "jobs.run", "jobs.read", "workflow.run", "workflow.read", "store", "events.read"];
    admin.post("/api/v1/plugins", json!({"id": "inspection-center", "permissions": permissions})).await;
    println!("install with its compilation        {:>8.2} s", started.elapsed().as_secs_f64());

    host.stop().await;
    let started = Instant::now();
    host.restart().await;
    println!("host ready, one plugin, warm cache  {:>8.0} ms   (goal 500)", started.elapsed().as_secs_f64() * 1000.0);
    let admin = host.admin().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("idle RSS of the host                {:>8.1} MiB  (goal 120)", status_kib(host.pid(), "VmRSS") as f64 / 1024.0);
    println!("idle RSS of the agent               {:>8.1} MiB  (goal 10)", status_kib(agent.pid(), "VmRSS") as f64 / 1024.0);
    let before = cpu_ticks(agent.pid());
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("idle CPU of the agent               {:>8.2} %    (goal 0.2)", (cpu_ticks(agent.pid()) - before) as f64 / 20.0);

    let token = admin.post("/api/v1/tokens", json!({"name": "bench", "role": "administrator"})).await["token"].as_str().unwrap().to_owned();
    // reqwest brings no cryptography of its own here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    // The plugin answers its list of inspections from its collection; the native route lists a CMDB model: each one page of an empty list.
    let native = format!("{}/api/v1/cmdb/models/team/instances", host.url);
    let plugin = format!("{}{APP}/inspections", host.url);
    for url in [&native, &plugin] {
        latency(&http, url, &token, 50).await;
    }
    let (n, p) = (latency(&http, &native, &token, 500).await, latency(&http, &plugin, &token, 500).await);
    println!("HTTP p50, native list               {:>8.2} ms", quantile(&n, 0.5));
    println!("HTTP p50, plugin list               {:>8.2} ms   p99 {:.2} ms", quantile(&p, 0.5), quantile(&p, 0.99));
    println!(
        "difference at p50                   {:>8.2} ms   ratio {:.2}",
        quantile(&p, 0.5) - quantile(&n, 0.5),
        quantile(&p, 0.5) / quantile(&n, 0.5)
    );
    fleet(&host, &admin).await;
}

/// 200 real agent connections in one process, 20 quick checks each.
async fn fleet(host: &Host, admin: &Client) {
    let state = tempfile::tempdir().unwrap();
    let tokens = state.path().join("tokens");
    let mut text = String::new();
    for _ in 0..FLEET {
        let t = admin.post("/api/v1/nodes/enrolment-tokens", json!({})).await;
        text.push_str(t["token"].as_str().unwrap());
        text.push('\n');
    }
    std::fs::write(&tokens, text).unwrap();
    let mut child = Command::new(bin_dir().join("plenum-agent"))
        .args(["fleet", "--host", &host.agent_address, "--count", &FLEET.to_string(), "--tokens-file"])
        .arg(&tokens)
        .arg("--state")
        .arg(state.path().join("fleet"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    eventually("the fleet to be in the CMDB", || async {
        let page = admin.get("/api/v1/cmdb/models/host/instances?limit=1&filter=status%20%3D%3D%20%22online%22").await;
        (page["total"].as_u64()? > FLEET as u64).then_some(())
    })
    .await;
    println!("{FLEET} agents enrolled and in the CMDB   {:>8.2} s", started.elapsed().as_secs_f64());
    let check = |i: usize| {
        format!(
            "  - id: check-{i}\n    category: health\n    title: {{ en: Check {i}, zh: 检查 {i} }}\n    description: {{ en: A number., zh: 数字。 }}\n    advice: {{ en: None., zh: 无。 }}\n    command: echo {i}\n    parse: {{ kind: number }}\n    value: {{ en: \"{{value}}\", zh: \"{{value}}\" }}\n    thresholds:\n      - {{ level: warning, field: value, op: \">=\", value: 18, message: {{ en: high, zh: 高 }} }}\n"
        )
    };
    let source = format!(
        "id: bench\nversion: 1\ntitle: {{ en: Bench, zh: 基准 }}\ndescription: {{ en: Twenty checks., zh: 二十项。 }}\nmodel: host\ncategories:\n  - {{ id: health, title: {{ en: Health, zh: 健康 }} }}\nchecks:\n{}",
        (0..20).map(check).collect::<String>()
    );
    let made = admin.post(&format!("{APP}/templates"), json!({"source": source})).await;
    let id = made["template"]["id"].as_str().or(made["id"].as_str()).unwrap();
    let inspection = admin
        .post(&format!("{APP}/inspections"), json!({"name": "Fleet", "items": [{"template": id, "filter": "status == \"online\""}]}))
        .await;
    let started = Instant::now();
    let report = admin.post(&format!("{APP}/inspections/{}/run", inspection["id"].as_str().unwrap()), json!({})).await;
    let path = format!("{APP}/reports/{}", report["id"].as_str().unwrap());
    let done = eventually("the report", || async {
        let (_, r) = admin.send(Method::GET, &path, None).await;
        r["finished_at"].is_i64().then_some(r)
    })
    .await;
    println!(
        "inspection of {} targets x 20 checks {:>8.2} s    (goal 10; {} inspected)",
        done["totals"]["targets"]["total"],
        started.elapsed().as_secs_f64(),
        done["totals"]["targets"]["inspected"]
    );
    println!("RSS of the host after it            {:>8.1} MiB", status_kib(host.pid(), "VmRSS") as f64 / 1024.0);
    let _ = child.kill();
    let _ = child.wait();
}
