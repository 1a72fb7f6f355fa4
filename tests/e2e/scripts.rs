//! Scripts that misbehave, through the whole system: a real host, a real agent, real processes.

use plenum_tests::{Agent, Client, Host, HostOptions, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;

struct World {
    host: Host,
    admin: Client,
    node: String,
    _agent: Agent,
}

impl World {
    async fn new() -> World {
        let host = Host::start(HostOptions::default()).await;
        let agent = Agent::start(&host).await;
        let admin = host.admin().await;
        let node = eventually("the node to be online", || async {
            let nodes = admin.get("/api/v1/nodes?state=online").await;
            nodes["items"].as_array()?.first().and_then(|n| n["id"].as_str()).map(str::to_owned)
        })
        .await;
        World { host, admin, node, _agent: agent }
    }

    fn request(&self, script: &str, more: Value) -> Value {
        let mut request = json!({"name": "Test", "script": {"language": "bash", "content": script}, "timeout_s": 60,
            "targets": {"nodes": [{"node_id": self.node}]}});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    }

    /// Runs it to its end: the execution, and what came of the one target.
    async fn run(&self, script: &str, more: Value) -> (Value, Value) {
        let made = self.admin.post("/api/v1/jobs/executions", self.request(script, more)).await;
        self.ended(made["id"].as_str().unwrap()).await
    }

    async fn ended(&self, id: &str) -> (Value, Value) {
        let path = format!("/api/v1/jobs/executions/{id}");
        let execution = eventually("the execution to end", || async {
            let e = self.admin.get(&path).await;
            (e["status"] != "running").then_some(e)
        })
        .await;
        let results = self.admin.get(&format!("{path}/results?head=4096")).await;
        (execution, results["items"][0].clone())
    }
}

/// Processes with this word in their environment.
fn marked(word: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_marked = |pid: &String| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| String::from_utf8_lossy(&e).contains(word));
    processes.map(|p| p.file_name().to_string_lossy().into_owned()).filter(|p| p.parse::<u32>().is_ok()).filter(is_marked).collect()
}

#[tokio::test]
async fn whatever_a_script_does_the_result_says_so_and_nothing_stays_behind() {
    let w = World::new().await;
    // Never ends, and its children hide in other sessions: all are gone when its time is over.
    let script = "setsid sleep 1000 & (setsid setsid sleep 1001 &) ; trap '' TERM; while :; do sleep 1; done";
    let mark = format!("plenum-test-{}", w.node);
    let (_, r) = w.run(script, json!({"timeout_s": 1, "env": {"MARK": mark}})).await;
    assert_eq!(r["status"], "timed_out", "{r:#}");
    assert!(r["message"].as_str().unwrap().contains('1'), "says how long it had: {r:#}");
    assert_eq!(marked(&mark), Vec::<String>::new());
    // Cancelled in the middle: likewise.
    let made = w.admin.post("/api/v1/jobs/executions", w.request(script, json!({"env": {"MARK": mark}}))).await;
    let id = made["id"].as_str().unwrap();
    eventually("its processes to run", || async { (marked(&mark).len() >= 3).then_some(()) }).await;
    w.admin.post(&format!("/api/v1/jobs/executions/{id}/cancel"), json!({})).await;
    let (e, r) = w.ended(id).await;
    assert_eq!((&e["status"], &r["status"]), (&json!("cancelled"), &json!("cancelled")), "{r:#}");
    assert_eq!(marked(&mark), Vec::<String>::new());
    // Kills its own shell.
    let (_, r) = w.run("echo before; kill -9 $$", json!({})).await;
    assert_eq!((&r["status"], &r["signal"]), (&json!("failed"), &json!(9)), "{r:#}");
    assert_eq!(r["stdout"]["text"].as_str().or(r["stdout"].as_str()).unwrap_or_default().trim(), "before", "{r:#}");
    // Closes its output and goes on.
    let (_, r) = w.run("exec >&- 2>&-; sleep 0.2; exit 7", json!({})).await;
    assert_eq!((&r["status"], &r["exit_code"]), (&json!("failed"), &json!(7)), "{r:#}");
    // Prints what is no text.
    let (_, r) = w.run(r"printf 'a\xff\x00b'", json!({})).await;
    assert_eq!((&r["status"], &r["stdout_bytes"]), (&json!("succeeded"), &json!(4)), "{r:#}");
    // Cannot start.
    for (more, words) in
        [(json!({"cwd": "/no/such/folder"}), "/no/such/folder"), (json!({"user": "nobody-of-this-name"}), "nobody-of-this-name")]
    {
        let (_, r) = w.run("true", more).await;
        assert_ne!(r["status"], "succeeded", "{r:#}");
        assert!(r["message"].as_str().unwrap().contains(words), "{r:#}");
    }
}

#[tokio::test]
async fn a_flood_is_bounded_and_counted() {
    let w = World::new().await;
    let (_, r) = w.run("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end >&2", json!({"output_limit": MIB})).await;
    assert_eq!(r["status"], "succeeded", "{r:#}");
    let (stdout, stderr, dropped) =
        (r["stdout_bytes"].as_u64().unwrap(), r["stderr_bytes"].as_u64().unwrap(), r["truncated_bytes"].as_u64().unwrap());
    assert_eq!(stdout + stderr, 100_000_001 + 4, "all that it printed is counted: {r:#}");
    assert!(dropped >= stdout - MIB - 4 && dropped < stdout, "{r:#}");
    // The host kept the bounded part, and did not grow with the rest.
    let status = std::fs::read_to_string(format!("/proc/{}/status", w.host.pid())).unwrap();
    let rss: u64 = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok()).unwrap();
    assert!(rss < 400 * 1024, "{rss} KiB");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_anything_starts() {
    let w = World::new().await;
    for (more, pointer) in [
        (json!({"args": ["a\u{0}b"]}), "/args/0"),
        (json!({"env": {"A=B": "1"}}), "/env"),
        (json!({"timeout_s": 0}), "/timeout_s"),
        (json!({"timeout_s": 999_999_999}), "/timeout_s"),
        (json!({"output_limit": 1_u64 << 40}), "/output_limit"),
        (json!({"script": {"language": "perl6", "content": "1"}}), "/script/language"),
        (json!({"script": {"language": "bash", "content": ""}}), "/script/content"),
        (json!({"targets": {}}), "/targets"),
        (json!({"targets": {"filter": {"model": "host", "cel": "hostnam == 'x'"}}}), "/targets/filter"),
    ] {
        let request = w.request("true", more.clone());
        let (status, p) = w.admin.send(Method::POST, "/api/v1/jobs/executions", Some(request)).await;
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY || status == StatusCode::BAD_REQUEST, "{more}: {status} {p:#}");
        let place = p["pointer"].as_str().or(p["errors"][0]["pointer"].as_str()).unwrap_or_default().to_owned()
            + p["detail"].as_str().unwrap_or_default();
        assert!(place.contains(pointer.trim_start_matches('/').split('/').next().unwrap()), "{more} names its place: {p:#}");
    }
    assert_eq!(w.admin.get("/api/v1/jobs/executions").await["total"], 0);
}
