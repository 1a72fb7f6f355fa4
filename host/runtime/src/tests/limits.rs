//! What a plugin does wrong hurts that call, and nobody else.

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::logs::Level;

const SMALL: &str = "[limits]\nmemory_mb = 16\ncpu_ms = 200\nwall_ms = 1500\n";

/// The plugin still answers, from a fresh instance.
async fn unharmed(w: &World) {
    assert_eq!(w.action("echo", json!({"text": "x"})).await.unwrap(), json!({"text": "x"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infinite_loop_is_stopped_by_the_cpu_budget() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    let e = w.action("loop", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.cpu_budget", 502));
    assert!(e.to_string().contains("200 ms") && e.to_string().contains("cpu_ms"), "{e}");
    unharmed(&w).await;
    let plugin = w.plugins.plugin(&admin(), "demo").await.unwrap();
    let stats = plugin.stats.unwrap();
    assert!((150..3_000).contains(&stats.cpu_ms), "{stats:?}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_loop_lets_its_neighbours_work() {
    let w = World::quick().await;
    w.installed("[limits]\ncpu_ms = 1500\n").await.unwrap();
    let busy = tokio::spawn({
        let plugins = w.plugins.clone();
        async move { plugins.call_action(&admin(), "demo", "loop", &json!({}), None).await }
    });
    // One thread for all: it answers only if the loop is made to give way.
    let started = Instant::now();
    for _ in 0..5 {
        unharmed(&w).await;
    }
    assert!(!busy.is_finished(), "five calls took {:?}", started.elapsed());
    assert_eq!(soon(busy).await.unwrap().unwrap_err().code(), "plugin.cpu_budget");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_bomb_is_refused() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    let e = w.action("memory", json!({})).await.unwrap_err();
    assert_eq!(e.code(), "plugin.memory");
    assert!(e.to_string().contains("16 MiB") && e.to_string().contains("memory_mb"), "{e}");
    let peak = w.plugins.plugin(&admin(), "demo").await.unwrap().stats.unwrap().memory_peak_bytes;
    assert!((15 << 20..=16 << 20).contains(&peak), "{peak}");
    unharmed(&w).await;
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_host_call_ends_with_the_wall_clock() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    let started = Instant::now();
    let e = w.action("wait", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.wall_time", 504));
    assert!(started.elapsed() >= Duration::from_millis(1500));
    unharmed(&w).await;
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_host_costs_no_cpu_time() {
    let w = World::quick().await;
    // 40 waits of 15 ms: more ticks than the budget has, and nothing computed.
    w.installed("[limits]\ncpu_ms = 200\n").await.unwrap();
    assert_eq!(w.action("pause", json!({})).await.unwrap(), json!({}));
    let stats = w.plugins.plugin(&admin(), "demo").await.unwrap().stats.unwrap();
    assert!(stats.cpu_ms < 200, "{stats:?}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_told_logged_and_forgotten() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    for name in ["trap", "deep"] {
        let e = w.action(name, json!({})).await.unwrap_err();
        let RuntimeError::Trap { call, .. } = &e else { panic!("{e}") };
        let lines = w.log().await;
        let line = lines.iter().find(|l| l.call == *call).expect("a line of that call");
        assert_eq!(line.level, Level::Error);
        let trap = line.fields["trap"].as_str().unwrap();
        assert!(trap.contains("wasm") && trap.contains("backtrace"), "{trap}");
        unharmed(&w).await;
    }
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_has_an_instance_of_its_own() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    for _ in 0..3 {
        assert_eq!(w.action("count", json!({})).await.unwrap(), json!(1));
    }
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_lines_is_cut_and_counted() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    w.action("flood", json!({})).await.unwrap();
    let lines = w.log().await;
    assert_eq!(lines.iter().filter(|l| l.message == "handled").count(), 1_000);
    assert!(lines[0].message.contains("2000 more lines"), "{}", lines[0].message);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_plugin_and_bad_answers_are_told_apart() {
    let w = World::quick().await;
    w.installed(SMALL).await.unwrap();
    let e = w.action("refuse", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status(), e.to_string().as_str()), ("test.refused", 409, "not like this"));
    let e = w.action("no_json", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.output", 502));
    let e = w.action("echo", json!({"text": 3})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.input", 422));
    assert!(e.to_string().contains("/text"), "{e}");
    let e = w.action("nothing", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.not_found", 404));
    w.end().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_the_rest_wait_in_order() {
    use crate::call::{Gate, Limits};
    let pool = Arc::new(tokio::sync::Semaphore::new(2));
    let gate = Arc::new(Gate::new(&Limits { concurrency: 1, queue: 1, ..Limits::default() }));
    let life = crate::life::Life::new("demo", HostLimits::default());
    let first = gate.enter(&life, PATIENCE, &pool).await.unwrap();
    let waiting = tokio::spawn({
        let (gate, pool, life) = (gate.clone(), pool.clone(), life.clone());
        async move { gate.enter(&life, PATIENCE, &pool).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let e = gate.enter(&life, PATIENCE, &pool).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.busy", 429));
    drop(first);
    soon(waiting).await.unwrap().unwrap();
    // Nobody waits for ever.
    let held = gate.enter(&life, PATIENCE, &pool).await.unwrap();
    assert_eq!(gate.enter(&life, Duration::from_millis(20), &pool).await.unwrap_err().code(), "plugin.busy");
    drop(held);
    assert!(gate.enter(&life, PATIENCE, &pool).await.is_ok());
    // A plugin with places of its own waits for one of the process.
    let _all = pool.clone().acquire_many_owned(2).await.unwrap();
    assert_eq!(gate.enter(&life, Duration::from_millis(20), &pool).await.unwrap_err().code(), "plugin.busy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_component_prints_is_in_its_log() {
    let w = World::quick().await;
    let package = crate::package::PackageWriter::new(manifest("[component]\npath = \"plugin.wasm\"\n[[actions]]\nname = \"x\"\n"))
        .component(guests::printer())
        .finish()
        .unwrap();
    w.offer(package);
    w.plugins.install(&admin(), "demo", None, &[]).await.unwrap();
    assert_eq!(w.action("x", json!({})).await.unwrap_err().code(), "plugin.trap");
    // Newest first.
    let log = w.log().await;
    let lines: Vec<_> = log.iter().rev().map(|l| (l.level, l.message.as_str())).collect();
    assert_eq!(lines[..3], [(Level::Info, "begins"), (Level::Warn, "Traceback:"), (Level::Warn, "  line 7")], "{lines:?}");
    assert_eq!(lines[3].0, Level::Error);
    assert!(log.iter().all(|l| l.call == log[0].call));
    w.end().await;
}
