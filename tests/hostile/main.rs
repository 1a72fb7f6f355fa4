//! Plugins that mean harm, one component each, in a real host. Each is stopped, told why in words that somebody can act on, and harms
//! nobody: after each of them its neighbour answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod page;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plenum_tests::{Client, Host, HostOptions, bin_dir, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Those that only compute get time by the clock, so that a busy machine does not change which limit they meet.
fn limits(guest: &str) -> String {
    format!("[limits]\nmemory_mb = 64\ncpu_ms = 300\nwall_ms = {}\n", if acts(guest) { 60_000 } else { 2_000 })
}

fn permission(name: &str, scope: &str) -> String {
    format!("[[permissions]]\nname = {name:?}\nreason = \"To do harm.\"\n{scope}\n")
}

fn store(collection: &str) -> String {
    format!("{}[[collections]]\nname = {collection:?}\nfields = {{ t = \"string\" }}\n", permission("store", ""))
}

/// The component of a guest: its first line says what its world imports and exports.
fn component(guest: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let text = read(&format!("hostile/guests/{guest}.wat"));
    let world = text.lines().next().unwrap().trim_start_matches(";;").to_owned();
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
    let package = resolve.push_str("hostile.wit", &format!("package test:hostile; world guest {{ {world} }}")).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = wat::parse_str(text.replace("PRELUDE", &read("hostile/prelude.wat"))).unwrap_or_else(|e| panic!("{guest}: {e}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap_or_else(|e| panic!("{guest}: {e:#}"))
}

/// Whether a guest has an action.
fn acts(guest: &str) -> bool {
    !["endless", "slow"].contains(&guest)
}

/// A host, and a catalog that strangers put their packages into.
struct Stage {
    host: Host,
    admin: Client,
    shop: TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let shop = tempfile::tempdir().unwrap();
        let options = HostOptions { catalogs: vec![shop.path().to_owned()], developer_mode: true, ..HostOptions::default() };
        let host = Host::start(options).await;
        let admin = host.admin().await;
        let stage = Stage { host, admin, shop };
        stage.install("good", "good", "", &[]).await;
        stage
    }

    /// Offers a guest as the plugin `id` and has the administrator install it.
    async fn try_install(&self, id: &str, guest: &str, more: &str, granted: &[&str]) -> (StatusCode, Value) {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\nversion = \"0.1.0\"\napi = \"^0.1\"\npublisher = \"Nobody\"\ndescription = \"Means harm.\"\n{}[component]\npath = \"guest.wasm\"\n{}{more}",
            limits(guest),
            if acts(guest) { "[[actions]]\nname = \"go\"\n" } else { "" }
        );
        std::fs::write(dir.path().join("plugin.toml"), text).unwrap();
        std::fs::write(dir.path().join("guest.wasm"), component(guest)).unwrap();
        let mut pack = Command::new(bin_dir().join("plenum"));
        pack.args(["plugin", "pack", ".", "--component", "guest.wasm", "--out"]).arg(self.shop.path()).current_dir(dir.path());
        let out = pack.output().expect("plenum runs");
        assert!(out.status.success(), "pack {id}: {}", String::from_utf8_lossy(&out.stderr));
        self.admin.send(Method::POST, "/api/v1/plugins", Some(json!({"id": id, "permissions": granted}))).await
    }

    async fn install(&self, id: &str, guest: &str, more: &str, granted: &[&str]) {
        let (status, answer) = self.try_install(id, guest, more, granted).await;
        assert!(status.is_success(), "installing {id} answered {status}: {answer:#}");
    }

    async fn go(&self, id: &str, input: Value) -> (StatusCode, Value) {
        self.admin.send(Method::POST, &format!("/api/v1/plugins/{id}/actions/go"), Some(input)).await
    }

    /// The call is refused with this code, in words that contain these; the neighbour answers.
    async fn refused(&self, id: &str, input: Value, code: &str, words: &[&str]) {
        let started = Instant::now();
        let (status, p) = self.go(id, input).await;
        assert!(!status.is_success() && p["code"] == code, "{id}: {status} {p:#}");
        let detail = p["detail"].as_str().unwrap_or_default();
        assert!(words.iter().all(|w| detail.contains(w)), "{id}: {detail}");
        assert!(started.elapsed() < Duration::from_secs(50), "{id} was stopped after {:?}", started.elapsed());
        self.neighbour(id).await;
    }

    async fn neighbour(&self, after: &str) {
        let (status, answer) = self.go("good", json!("well")).await;
        assert_eq!((status, answer), (StatusCode::OK, json!("well")), "the neighbour of {after}");
    }

    async fn log(&self, id: &str) -> Vec<Value> {
        self.admin.get(&format!("/api/v1/plugins/{id}/logs?limit=2000")).await["items"].as_array().unwrap().clone()
    }

    /// What the administrator reads of the last failure.
    async fn trap(&self, id: &str) -> String {
        let lines = self.log(id).await;
        let found = lines.iter().rev().find_map(|l| l["fields"]["trap"].as_str().map(str::to_owned));
        found.unwrap_or_else(|| panic!("no trap in the log of {id}: {lines:#?}"))
    }

    /// Most memory that the host ever had, in MiB.
    fn peak(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.host.pid())).unwrap();
        let line = text.lines().find(|l| l.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    }
}

#[tokio::test]
async fn what_takes_time_or_memory_without_end_is_stopped() {
    let s = Stage::new().await;
    let before = s.peak();
    for (guest, code, words, trap) in [
        ("loop", "plugin.cpu_budget", &["300 ms", "cpu_ms"][..], "interrupt"),
        ("calls", "plugin.cpu_budget", &["cpu_ms"], "interrupt"),
        ("start", "plugin.cpu_budget", &["cpu_ms"], "interrupt"),
        ("memory", "plugin.memory", &["64 MiB", "memory_mb"], "unreachable"),
        ("deep", "plugin.trap", &[], "call stack exhausted"),
        ("table", "plugin.tables", &["100000 entries", "table_elements"], "unreachable"),
        ("handles", "plugin.handles", &["10000 resources", "handles"], "no free keys"),
        ("headers", "plugin.headers", &["64 KiB", "header_kb"], "fields"),
        ("many", "plugin.headers", &["64 KiB", "header_kb"], "fields"),
        ("huge", "plugin.copied", &["32 MiB", "copied_mb"], "fuel"),
        ("random", "plugin.random", &["64 KiB", "random_kb"], "exceeds limit"),
    ] {
        s.install(guest, guest, "", &[]).await;
        s.refused(guest, json!(1), code, words).await;
        let said = s.trap(guest).await;
        assert!(said.contains(trap), "{guest}: {said}");
        // The administrator sees which limit it met.
        let metrics = s.admin.get(&format!("/api/v1/plugins/{guest}/metrics")).await;
        assert_eq!(metrics["stopped"], json!({code: 1}), "{guest}: {metrics:#}");
    }
    assert!(s.peak() < before + 600, "the host had {} MiB, and {before} before", s.peak());
}

#[tokio::test]
async fn floods_are_cut_and_counted() {
    let s = Stage::new().await;
    s.install("logs", "logs", "", &[]).await;
    let (status, answer) = s.go("logs", json!(1)).await;
    assert_eq!((status, answer), (StatusCode::OK, json!(1)));
    let lines = s.log("logs").await;
    assert!((1..=1_001).contains(&lines.len()), "{}", lines.len());
    let told = |l: &Value| l["message"].as_str().unwrap().contains("49000 more lines of this call were not kept");
    assert!(lines.iter().any(told), "{:#?}", lines.iter().filter(|l| l["message"] != "flood").collect::<Vec<_>>());
    s.neighbour("logs").await;
    s.install("documents", "documents", &store("things"), &["store"]).await;
    s.refused("documents", json!(1), "store.document_too_large", &["2097160 bytes", "1048576"]).await;
}

#[tokio::test]
async fn answers_over_http_that_do_not_end_are_ended() {
    let s = Stage::new().await;
    for guest in ["endless", "slow"] {
        s.install(guest, guest, "", &[]).await;
        let started = Instant::now();
        let mut answer = s.admin.request(Method::GET, &format!("/api/v1/plugins/{guest}/http/x")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut size = 0;
        let end = loop {
            match answer.chunk().await {
                Ok(Some(c)) => size += c.len(),
                end => break end,
            }
        };
        // Nobody can take what came for all there is.
        assert!(end.is_err(), "{guest}: {size} bytes look like a whole answer");
        assert!(size > 0 && started.elapsed() < Duration::from_secs(50), "{guest}: {size} bytes in {:?}", started.elapsed());
        let lines = s.log(guest).await;
        let told = |l: &Value| ["cpu_ms", "wall_ms"].iter().any(|w| l["message"].as_str().unwrap().contains(w));
        assert!(lines.iter().any(told), "{guest}: {lines:#?}");
        s.neighbour(guest).await;
    }
}

#[tokio::test]
async fn a_trap_in_any_export_ends_that_call_alone() {
    let s = Stage::new().await;
    let (status, p) = s.try_install("birth", "birth", "", &[]).await;
    assert_eq!((status.is_client_error() || status.is_server_error(), &p["code"]), (true, &json!("plugin.trap")), "{p:#}");
    let installed = s.admin.get("/api/v1/plugins").await;
    assert!(installed["items"].as_array().unwrap().iter().all(|i| i["id"] != "birth"), "{installed:#}");
    let events = permission("events.read", "scope = { types = [\"test.*\"] }") + "[[events]]\ntypes = [\"test.*\"]\n";
    s.install("traps", "traps", &events, &["events.read"]).await;
    s.refused("traps", json!(1), "plugin.trap", &[]).await;
    s.admin.refused(Method::GET, "/api/v1/plugins/traps/http/x", None, StatusCode::BAD_GATEWAY).await;
    s.install("teller", "forger", &permission("events.publish", "scope = { types = [\"test.*\"] }"), &["events.publish"]).await;
    assert_eq!(s.go("teller", json!("test.boom")).await.0, StatusCode::OK);
    eventually("the trap in the handler of events", || async {
        let traps = s.admin.get("/api/v1/plugins/traps/traps").await;
        traps["items"].as_array()?.iter().any(|t| t["what"] == "event test.boom" && t["code"] == "plugin.trap").then_some(())
    })
    .await;
    s.neighbour("traps").await;
    // Its last words fail as well, and it goes all the same.
    let (status, answer) = s.admin.send(Method::DELETE, "/api/v1/plugins/traps?data=delete", None).await;
    assert!(status.is_success(), "{status} {answer:#}");
}

#[tokio::test]
async fn what_a_call_held_when_it_failed_is_given_back() {
    let s = Stage::new().await;
    s.install("holder", "holder", "", &[]).await;
    for _ in 0..9 {
        s.refused("holder", json!(1), "plugin.trap", &[]).await;
    }
    let before = s.peak();
    // As many again, by another plugin: a tenth failure in a row would have the first left alone.
    s.install("holder-too", "holder", "", &[]).await;
    for _ in 0..9 {
        s.refused("holder-too", json!(1), "plugin.trap", &[]).await;
    }
    assert!(s.peak() < before + 100, "the host had {} MiB, and {before} before", s.peak());
}

#[tokio::test]
async fn nobody_reads_forges_or_borrows_what_is_anothers() {
    let s = Stage::new().await;
    s.install("victim", "documents", &store("secrets"), &["store"]).await;
    s.install("thief", "thief", &store("own"), &["store"]).await;
    assert_eq!(s.go("thief", json!("own")).await, (StatusCode::OK, json!("nothing")));
    for name in ["secrets", "victim/secrets", "../victim/secrets", "plugin/victim/secrets", "/plugin/victim/secrets", "", "cmdb/host"] {
        s.refused("thief", json!(name), "store.no_collection", &["[[collections]]"]).await;
    }
    s.install("forger", "forger", &permission("events.publish", "scope = { types = [\"test.*\"] }"), &["events.publish"]).await;
    for kind in ["plenum.plugin.installed", "other.event", "test", ""] {
        s.refused("forger", json!(kind), "access.denied", &[]).await;
    }
    s.install("forger-of-all", "forger", &permission("events.publish", ""), &["events.publish"]).await;
    s.refused("forger-of-all", json!("plenum.plugin.installed"), "plugin.invalid", &["plenum."]).await;
    // Through another plugin: it may call that one's action, and no other's.
    let calls = |action: &str| permission("plugins.use", &format!("scope = {{ actions = [{action:?}] }}"));
    s.install("borrower", "caller", &calls("good.go"), &["plugins.use"]).await;
    assert_eq!(s.go("borrower", json!("good")).await, (StatusCode::OK, json!("good")));
    s.refused("borrower", json!("victim"), "access.denied", &["plugins.use"]).await;
    // A circle ends, whatever was granted.
    s.refused("borrower", json!("borrower"), "plugin.depth", &["4 deep"]).await;
    // Not granted: the same component does not get in.
    for (guest, more, word) in [
        ("thief", store("own"), "store"),
        ("caller", calls("good.go"), "plugins.use"),
        ("forger", permission("events.publish", ""), "events.publish"),
        ("outside", permission("http.outgoing", "scope = { hosts = [\"example.com\"] }"), "http.outgoing"),
    ] {
        let (status, p) = s.try_install("ungranted", guest, &more, &[]).await;
        assert_eq!((status, &p["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("plugin.ungranted_import")), "{guest}: {p:#}");
        assert!(p["detail"].as_str().unwrap().contains(word), "{guest}: {p:#}");
    }
}

/// A server inside, that says `answer` to whoever comes, and counts them.
async fn inside(answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, hits) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = hits.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, hits)
}

#[tokio::test]
async fn requests_do_not_reach_what_is_inside() {
    let s = Stage::new().await;
    let (secret, hits) = inside("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret".into()).await;
    let (door, doors) =
        inside(format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{secret}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
            .await;
    // Granted by name, and none of the networks inside. Other spellings cannot even be asked for.
    let names = ["127.0.0.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "0177.0.0.1", "127.1"];
    let scope = format!("scope = {{ hosts = {names:?}, ports = [\"{secret}\"] }}");
    s.install("outside", "outside", &permission("http.outgoing", &scope), &["http.outgoing"]).await;
    let told =
        async |id: &str| s.log(id).await.iter().filter(|l| l["level"] == "warn").map(|l| l["message"].to_string()).collect::<Vec<_>>();
    let spellings = ["localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0x7f000001"];
    let authorities = names.iter().chain(&spellings).map(|n| format!("{n}:{secret}"));
    for (i, authority) in authorities.enumerate() {
        let (status, answer) = s.go("outside", json!(authority)).await;
        assert!(status == StatusCode::OK || answer["code"] == "plugin.trap", "{authority}: {status} {answer:#}");
        let words = told("outside").await;
        assert!(words.len() > i, "{authority}: nothing was said of it: {words:#?}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
    // Another port than the granted one, and a redirect from it: no more than an answer.
    let scope = format!("scope = {{ hosts = [\"127.0.0.1\"], ports = [\"{door}\"], networks = [\"127.0.0.1/32\"] }}");
    s.install("led", "outside", &permission("http.outgoing", &scope), &["http.outgoing"]).await;
    assert_eq!(s.go("led", json!(format!("127.0.0.1:{door}"))).await.0, StatusCode::OK);
    assert_eq!(s.go("led", json!(format!("127.0.0.1:{secret}"))).await.0, StatusCode::OK);
    assert_eq!((doors.load(Ordering::SeqCst), hits.load(Ordering::SeqCst)), (1, 0));
    assert!(told("led").await.iter().any(|w| w.contains(&secret.to_string())), "{:#?}", told("led").await);
    s.neighbour("outside").await;
}
