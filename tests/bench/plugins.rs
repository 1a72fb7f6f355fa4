//! Plugins: requests in a second beside `wasmtime serve` on the same component, a thousand of them in one host, an upgrade under load, and
//! what one at its limits costs its neighbour.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use plenum_tests::{Client, Host, HostOptions, bin_dir, build_key};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{quantile, status_kib};

/// Connections of the load.
const CONNECTIONS: usize = 16;
const LOAD: Duration = Duration::from_secs(8);

/// A component from text; `world` says what it imports and exports.
fn component(world: &str, text: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut resolve = Resolve::default();
    for dir in [
        "types",
        "cmdb",
        "cmdb-0.2",
        "jobs",
        "workflow",
        "store",
        "events",
        "log",
        "plugin",
        "metrics",
        "notify",
        "wasi-config",
        "wasi-keyvalue",
    ] {
        resolve.push_dir(root.join("../wit").join(dir)).unwrap();
    }
    resolve.push_str("wasi.wit", &read("../host/runtime/src/tests/guests/wasi.wit")).unwrap();
    let package = resolve.push_str("bench.wit", &format!("package test:bench; world guest {{ {world} }}")).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = wat::parse_str(text.replace("PRELUDE", &read("hostile/prelude.wat"))).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// Answers with the path that was asked for. `mark` makes it another component than others of this text.
fn web(mark: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/runtime/src/tests/guests/web.wat");
    let text = std::fs::read_to_string(path).unwrap().replacen(
        "(data (i32.const 16)",
        &format!("(data (i32.const 2048) \"{mark}\")\n  (data (i32.const 16)"),
        1,
    );
    component("import wasi:http/types@0.2.3; export wasi:http/incoming-handler@0.2.3;", &text)
}

fn guest(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("hostile/guests/{name}.wat"))).unwrap();
    component(text.lines().next().unwrap().trim_start_matches(";;"), &text)
}

/// Where packages are made and offered.
struct Shop {
    dir: TempDir,
    work: TempDir,
}

impl Shop {
    fn new() -> Shop {
        Shop { dir: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> HostOptions {
        HostOptions { catalogs: vec![self.dir.path().to_owned()], ..HostOptions::default() }
    }

    fn pack(&self, id: &str, version: &str, more: &str, wasm: &[u8]) {
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\nversion = \"{version}\"\napi = \"^0.1\"\npublisher = \"Bench\"\ndescription = \"Measured.\"\n{more}[component]\npath = \"guest.wasm\"\n"
        );
        std::fs::write(self.work.path().join("plugin.toml"), text).unwrap();
        std::fs::write(self.work.path().join("guest.wasm"), wasm).unwrap();
        let mut pack = Command::new(bin_dir().join("plenum"));
        pack.args(["plugin", "pack", ".", "--component", "guest.wasm", "--out"]).arg(self.dir.path());
        pack.arg("--key").arg(build_key().with_extension("key")).current_dir(self.work.path());
        let out = pack.output().unwrap();
        assert!(out.status.success(), "pack {id}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

async fn install(admin: &Client, id: &str, permissions: &[&str]) {
    admin.post("/api/v1/plugins", json!({"id": id, "permissions": permissions})).await;
}

async fn token(admin: &Client) -> String {
    admin.post("/api/v1/tokens", json!({"name": "bench", "role": "administrator"})).await["token"].as_str().unwrap().to_owned()
}

/// Requests in a second and the sorted milliseconds of each, over [`CONNECTIONS`] connections that ask one after the other.
async fn load(url: &str, token: Option<&str>, time: Duration) -> (f64, Vec<f64>) {
    let started = Instant::now();
    let asks = (0..CONNECTIONS).map(|_| async {
        let http = reqwest::Client::new();
        let mut took = Vec::new();
        while started.elapsed() < time {
            let begun = Instant::now();
            let mut request = http.get(url);
            if let Some(t) = token {
                request = request.bearer_auth(t);
            }
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{url}: {}", answer.status());
            answer.bytes().await.unwrap();
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        took
    });
    let mut all: Vec<f64> = join_all(asks).await.into_iter().flatten().collect();
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    all.sort_by(f64::total_cmp);
    (rate, all)
}

/// `wasmtime` of the path or of the cache folder that `make bench` fills.
fn wasmtime() -> Option<PathBuf> {
    let named = std::env::var_os("PLENUM_WASMTIME").map(PathBuf::from);
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).map(|d| d.join("wasmtime")).find(|p| p.exists());
    named.filter(|p| p.exists()).or(found)
}

/// `wasmtime serve`, ended when dropped, and its address.
async fn serve(program: &Path, wasm: &Path, more: &[&str]) -> (tokio::process::Child, String) {
    let mut command = tokio::process::Command::new(program);
    command
        .arg("serve")
        .args(more)
        .args(["--addr", "127.0.0.1:0"])
        .arg(wasm)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().expect("wasmtime serve says its address");
        if let Some(at) = line.find("http://") {
            break line[at..].trim().trim_end_matches('/').to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url)
}

async fn beside_wasmtime() {
    let shop = Shop::new();
    let wasm = web(0);
    shop.pack("web", "0.1.0", "", &wasm);
    let file = shop.work.path().join("web.wasm");
    std::fs::write(&file, &wasm).unwrap();
    let host = Host::start(shop.options()).await;
    let admin = host.admin().await;
    install(&admin, "web", &[]).await;
    let token = token(&admin).await;
    let ours = format!("{}/api/v1/plugins/web/http/x", host.url);
    load(&ours, Some(&token), Duration::from_secs(2)).await;
    let (rate, took) = load(&ours, Some(&token), LOAD).await;
    println!(
        "plugin's requests                   {rate:>8.0} /s   p50 {:.2} ms, p99 {:.2} ms ({CONNECTIONS} connections)",
        quantile(&took, 0.5),
        quantile(&took, 0.99)
    );
    let native = format!("{}/api/v1/cmdb/models/team/instances", host.url);
    let (rate, took) = load(&native, Some(&token), LOAD / 2).await;
    println!(
        "native list's requests              {rate:>8.0} /s   p50 {:.2} ms, p99 {:.2} ms",
        quantile(&took, 0.5),
        quantile(&took, 0.99)
    );
    let Some(program) = wasmtime() else {
        println!(
            "wasmtime serve                      not measured: no wasmtime in PATH or PLENUM_WASMTIME (cargo install wasmtime-cli --version 48.0.8)"
        );
        return;
    };
    for (name, more) in [("wasmtime serve", &[][..]), ("wasmtime serve, pool", &["-O", "pooling-allocator=y"][..])] {
        let (_peer, url) = serve(&program, &file, more).await;
        let url = format!("{url}/x");
        load(&url, None, Duration::from_secs(2)).await;
        let (rate, took) = load(&url, None, LOAD).await;
        println!("{name:<35} {rate:>8.0} /s   p50 {:.2} ms, p99 {:.2} ms", quantile(&took, 0.5), quantile(&took, 0.99));
    }
}

/// A thousand plugins, each with a component of its own.
async fn thousand() {
    let count = std::env::var("PLENUM_BENCH_PLUGINS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let shop = Shop::new();
    let mut host = Host::start(shop.options()).await;
    let admin = host.admin().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = status_kib(host.pid(), "VmRSS");
    let mut installing = Duration::ZERO;
    for n in 0..count {
        let id = format!("app-{n}");
        shop.pack(&id, "0.1.0", "", &web(n));
        let started = Instant::now();
        install(&admin, &id, &[]).await;
        installing += started.elapsed();
    }
    println!("install of {count}, each              {:>8.1} ms", installing.as_secs_f64() * 1000.0 / count as f64);
    host.stop().await;
    let started = Instant::now();
    host.restart().await;
    let ready = started.elapsed();
    let admin = host.admin().await;
    loop {
        let page = admin.get("/api/v1/plugins?limit=1000").await;
        let items = page["items"].as_array().unwrap();
        if items.len() == count && items.iter().all(|p| p["status"] == "active") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "host with {count} plugins, warm cache {:>8.0} ms to answer, {:.0} ms to all active (goal 3000)",
        ready.as_secs_f64() * 1000.0,
        started.elapsed().as_secs_f64() * 1000.0
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = status_kib(host.pid(), "VmRSS");
    println!("idle RSS for each of them           {:>8.3} MiB  (goal 0.3)", after.saturating_sub(before) as f64 / 1024.0 / count as f64);
}

/// 500 requests a second while a version replaces the other.
async fn upgrade() {
    let shop = Shop::new();
    shop.pack("web", "0.1.0", "", &web(0));
    let host = Host::start(shop.options()).await;
    let admin = host.admin().await;
    install(&admin, "web", &[]).await;
    let token = token(&admin).await;
    let (url, stop) = (format!("{}/api/v1/plugins/web/http/x", host.url), Arc::new(AtomicBool::new(false)));
    let (asked, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let http = reqwest::Client::new();
    let asking = tokio::spawn({
        let (stop, asked, failed) = (stop.clone(), asked.clone(), failed.clone());
        async move {
            let mut every = tokio::time::interval(Duration::from_millis(2));
            let mut tasks = tokio::task::JoinSet::new();
            while !stop.load(Ordering::Relaxed) {
                every.tick().await;
                let (request, asked, failed) = (http.get(&url).bearer_auth(&token), asked.clone(), failed.clone());
                tasks.spawn(async move {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let answer = request.send().await;
                    if !matches!(answer, Ok(a) if a.status().is_success()) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            tasks.join_all().await;
        }
    });
    let started = Instant::now();
    for n in 1..=5 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        shop.pack("web", &format!("0.1.{n}"), "", &web(n));
        install(&admin, "web", &[]).await;
    }
    stop.store(true, Ordering::Relaxed);
    asking.await.unwrap();
    let asked = asked.load(Ordering::Relaxed);
    println!(
        "5 upgrades under {:.0} requests/s      {:>8} failed of {asked} (goal 0)",
        asked as f64 / started.elapsed().as_secs_f64(),
        failed.load(Ordering::Relaxed)
    );
}

/// Sorted milliseconds of calls of an action, one after the other.
async fn calls(http: &reqwest::Client, url: &str, token: &str, time: Duration) -> Vec<f64> {
    let (started, mut out) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        let begun = Instant::now();
        let answer = http.post(url).bearer_auth(token).json(&json!("well")).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.bytes().await.unwrap();
        out.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    out.sort_by(f64::total_cmp);
    out
}

/// What a plugin at each of its limits costs another.
async fn neighbours() {
    let shop = Shop::new();
    let action = "[[actions]]\nname = \"go\"\n";
    let kinds = ["loop", "memory", "logs", "deep"];
    shop.pack("good", "0.1.0", action, &guest("good"));
    for kind in kinds {
        shop.pack(kind, "0.1.0", action, &guest(kind));
    }
    let host = Host::start(shop.options()).await;
    let admin = host.admin().await;
    install(&admin, "good", &[]).await;
    for kind in kinds {
        install(&admin, kind, &[]).await;
    }
    let token = token(&admin).await;
    let http = reqwest::Client::new();
    let url = |id: &str| format!("{}/api/v1/plugins/{id}/actions/go", host.url);
    calls(&http, &url("good"), &token, Duration::from_secs(1)).await;
    let alone = calls(&http, &url("good"), &token, Duration::from_secs(4)).await;
    println!("neighbour alone                     p50 {:.2} ms, p99 {:.2} ms", quantile(&alone, 0.5), quantile(&alone, 0.99));
    for kind in kinds {
        let stop = Arc::new(AtomicBool::new(false));
        let bad: Vec<_> = (0..4)
            .map(|_| {
                let (stop, http, url, token) = (stop.clone(), http.clone(), url(kind), token.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let _ = http.post(&url).bearer_auth(&token).json(&json!(0)).send().await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let beside = calls(&http, &url("good"), &token, Duration::from_secs(4)).await;
        stop.store(true, Ordering::Relaxed);
        join_all(bad).await;
        println!(
            "neighbour beside 4 calls of {kind:<8}p50 {:.2} ms, p99 {:.2} ms, p99 x {:.2} (goal 2)",
            quantile(&beside, 0.5),
            quantile(&beside, 0.99),
            quantile(&beside, 0.99) / quantile(&alone, 0.99)
        );
    }
}

/// All of them, each on a host of its own.
pub async fn plugins() {
    // reqwest brings no cryptography of its own here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    beside_wasmtime().await;
    upgrade().await;
    neighbours().await;
    thousand().await;
}
