//! Quarantine, numbers, traps, use of permissions, and the budgets of a plugin.

use serde_json::json;

use super::*;
use crate::logs::{Level, LogQuery};
use crate::{Quarantine, Status};

async fn kinds(w: &World) -> Vec<String> {
    let all = w.events.read(0, 1_000, &["plenum.plugin.".to_owned()]).await.unwrap();
    all.into_iter().map(|e| e.kind.trim_start_matches("plenum.plugin.").to_owned()).collect()
}

fn quick_to_quarantine(rest: Duration) -> HostLimits {
    HostLimits { quarantine: Quarantine { traps: 3, within: Duration::from_secs(600), rest }, ..HostLimits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_is_quarantined_probed_and_over() {
    let w = World::limited(quick_to_quarantine(Duration::from_millis(300))).await;
    w.installed("").await.unwrap();
    for _ in 0..3 {
        assert_eq!(w.action("trap", json!({})).await.unwrap_err().code(), "plugin.trap");
    }
    let e = w.action("echo", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status(), e.retry_after()), ("plugin.quarantined", 503, Some(1)));
    assert!(e.to_string().contains("3 calls failed"), "{e}");
    let shown = w.plugins.plugin(&admin(), "demo").await.unwrap();
    assert_eq!(shown.status, Status::Quarantined);
    assert!(shown.status_reason.unwrap().contains("3 calls failed"));
    // After its rest a call goes through, and as that is well, all do.
    until(async || w.action("echo", json!({})).await.ok()).await;
    assert_eq!(w.plugins.plugin(&admin(), "demo").await.unwrap().status, Status::Active);
    until(async || (kinds(&w).await == ["installed", "quarantined", "released"]).then_some(())).await;
    assert!(w.plugins.metrics(&admin(), "demo").await.unwrap().stats.refused >= 1);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_lift_a_quarantine() {
    let w = World::limited(quick_to_quarantine(Duration::from_secs(3_600))).await;
    w.installed("").await.unwrap();
    for _ in 0..3 {
        w.action("trap", json!({})).await.unwrap_err();
    }
    let m = w.plugins.metrics(&user(Role::Viewer), "demo").await.unwrap();
    assert!(m.quarantine.is_some() && m.quarantine_retry_after_s.unwrap() > 3_000, "{m:?}");
    assert_eq!(w.plugins.release(&user(Role::Operator), "demo").await.unwrap_err().status(), 403);
    w.plugins.release(&admin(), "demo").await.unwrap();
    assert!(w.action("echo", json!({})).await.is_ok());
    until(async || (kinds(&w).await == ["installed", "quarantined", "released"]).then_some(())).await;
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_waits_for_the_end_of_a_quarantine() {
    let w = World::limited(quick_to_quarantine(Duration::from_millis(300))).await;
    w.installed("").await.unwrap();
    for _ in 0..3 {
        w.action("trap", json!({})).await.unwrap_err();
    }
    let mut tx = w.db.begin().await.unwrap();
    let event =
        plenum_store::events::NewEvent { kind: "test.a".into(), source: "/t".into(), subject: "s".into(), data: json!({"level": "high"}) };
    plenum_store::events::emit(&mut tx, event).await.unwrap();
    tx.commit().await.unwrap();
    until(async || w.log().await.iter().any(|l| l.message == "handled").then_some(())).await;
    assert!(!w.log().await.iter().any(|l| l.message.contains("given up")));
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_and_traps_told_with_the_log_of_their_call() {
    let w = World::quick().await;
    w.installed("").await.unwrap();
    for _ in 0..3 {
        w.action("echo", json!({})).await.unwrap();
    }
    w.action("refuse", json!({})).await.unwrap_err();
    let e = w.action("trap", json!({"why": "not"})).await.unwrap_err();
    let RuntimeError::Trap { call, .. } = &e else { panic!("{e}") };
    let m = w.plugins.metrics(&admin(), "demo").await.unwrap();
    // Its installation was a call too.
    assert_eq!((m.stats.calls, m.stats.errors, m.stats.running, m.stats.queued), (6, 2, 0, 0), "{m:?}");
    assert!(m.stats.p50_ms > 0.0 && m.stats.p50_ms <= m.stats.p99_ms && m.stats.memory_peak_bytes >= 4 << 16, "{m:?}");
    let traps = w.plugins.traps(&admin(), "demo").await.unwrap();
    assert_eq!(traps.len(), 1);
    let (t, log) = (&traps[0].trap, &traps[0].log);
    assert_eq!((&t.call, t.what.as_str(), t.code.as_str(), t.version.as_str()), (call, "action trap", "plugin.trap", "0.1.0"));
    assert_eq!(t.input.as_deref(), Some(r#"{"why":"not"}"#));
    assert!(t.backtrace.contains("wasm backtrace") && t.backtrace.contains("unreachable"), "{}", t.backtrace);
    assert!(!log.is_empty() && log.iter().all(|l| l.call == *call), "{log:?}");
    assert_eq!(w.plugins.traps(&user(Role::Viewer), "demo").await.unwrap_err().status(), 403);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_found_by_level_text_call_and_time() {
    let w = World::quick().await;
    w.installed("").await.unwrap();
    w.action("trap", json!({})).await.unwrap_err();
    let lines = async |q: LogQuery| w.plugins.logs(&admin(), "demo", &q).await.unwrap();
    let all = lines(LogQuery::default()).await;
    let trap = all.iter().find(|l| l.level == Level::Error).unwrap().clone();
    let until = trap.at + 1;
    assert!(lines(LogQuery { level: Level::Error, ..Default::default() }).await.iter().all(|l| l.level == Level::Error));
    assert_eq!(lines(LogQuery { call: Some(trap.call.clone()), ..Default::default() }).await.len(), 1);
    assert_eq!(
        lines(LogQuery { search: "ACTION TRAP".into(), since: Some(trap.at), until: Some(until), ..Default::default() }).await.len(),
        1
    );
    assert!(lines(LogQuery { since: Some(until), ..Default::default() }).await.is_empty());
    assert!(lines(LogQuery { until: Some(all.last().unwrap().at), ..Default::default() }).await.is_empty());
    assert_eq!(lines(LogQuery { limit: 0, ..Default::default() }).await.len(), 0);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_use_of_a_permission_is_known_after_a_restart() {
    let w = World::quick().await;
    let both = "[[permissions]]\nname = \"store\"\nreason = \"x\"\n[[permissions]]\nname = \"jobs.read\"\nreason = \"x\"\n";
    let more = "[component]\npath = \"plugin.wasm\"\n[[actions]]\nname = \"put\"\n[[collections]]\nname = \"things\"\nfields = { name = \"string\" }\n";
    let wasm = guests::migrator("1", "(call $ok)", "(call $ok)");
    w.offer(PackageWriter::new(manifest(&format!("{both}{more}"))).component(wasm).finish().unwrap());
    w.plugins.install(&admin(), "demo", None, &granted(&["store", "jobs.read"])).await.unwrap();
    for _ in 0..2 {
        w.action("put", json!({"name": "x"})).await.unwrap();
    }
    let uses = async |w: &World| w.plugins.permission_uses(&user(Role::Viewer), "demo").await.unwrap();
    let seen = uses(&w).await;
    assert_eq!((seen[0].name.as_str(), seen[0].usage.uses, seen[0].usage.refusals), ("store", 2, 0));
    assert!(seen[0].usage.last_used.is_some());
    assert_eq!((seen[1].name.as_str(), seen[1].usage.uses, seen[1].usage.last_used), ("jobs.read", 0, None));
    let w = w.restarted().await;
    assert_eq!(uses(&w).await[0].usage, seen[0].usage);
    w.action("put", json!({"name": "x"})).await.unwrap();
    assert_eq!(uses(&w).await[0].usage.uses, 3);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cpu_time_of_a_minute_is_bounded() {
    let w = World::limited(HostLimits { cpu_per_minute: Duration::from_millis(300), ..HostLimits::default() }).await;
    w.installed("[limits]\ncpu_ms = 400\n").await.unwrap();
    assert_eq!(w.action("loop", json!({})).await.unwrap_err().code(), "plugin.cpu_budget");
    let e = w.action("echo", json!({})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.cpu_minute", 429));
    assert!(e.retry_after().is_some_and(|s| (1..=61).contains(&s)), "{e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_has_so_many_lines_a_minute() {
    let w = World::limited(HostLimits { log_lines_per_minute: 100, ..HostLimits::default() }).await;
    w.installed("").await.unwrap();
    for _ in 0..3 {
        w.action("flood", json!({})).await.unwrap();
    }
    let lines = w.log().await;
    let (kept, told) =
        (lines.iter().filter(|l| l.message == "handled").count(), lines.iter().filter(|l| l.message.contains("more lines")).count());
    // A few come by as the minute goes on.
    assert!((100..130).contains(&kept) && told == 1, "{kept} {told}");
    assert!(w.plugins.metrics(&admin(), "demo").await.unwrap().stats.log_dropped > 8_800);
    // What the host itself says of a call is not lost.
    w.action("trap", json!({})).await.unwrap_err();
    assert_eq!(w.log().await[0].level, Level::Error);
    w.end().await;
}

async fn storing(limits: HostLimits) -> World {
    let w = World::limited(limits).await;
    let text = "[component]\npath = \"plugin.wasm\"\n[[permissions]]\nname = \"store\"\nreason = \"x\"\n[[actions]]\nname = \"put\"\n[[actions]]\nname = \"place\"\n\
                [[collections]]\nname = \"things\"\nfields = { name = \"string\" }\n";
    w.offer(PackageWriter::new(manifest(text)).component(guests::migrator("1", "(call $ok)", "(call $ok)")).finish().unwrap());
    w.plugins.install(&admin(), "demo", None, &granted(&["store"])).await.unwrap();
    w
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_document_is_refused_with_its_size() {
    let w = storing(HostLimits { document_bytes: 1_000, ..HostLimits::default() }).await;
    w.action("put", json!({"name": "x".repeat(900)})).await.unwrap();
    let e = w.action("put", json!({"name": "x".repeat(1_000)})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("store.document_too_large", 413));
    assert!(e.to_string().contains("1011 bytes") && e.to_string().contains("things/put"), "{e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_refuses_what_is_new_and_not_what_replaces() {
    let w = storing(HostLimits { store_bytes: 2_000, ..HostLimits::default() }).await;
    // Counted as what is there, and not as what was ever written.
    for _ in 0..10 {
        w.action("put", json!({"name": "x".repeat(700)})).await.unwrap();
    }
    w.action("place", json!({"name": "x".repeat(700)})).await.unwrap();
    let e = w.action("put", json!({"name": "x".repeat(900)})).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("store.quota", 413));
    let m = w.plugins.metrics(&admin(), "demo").await.unwrap();
    assert!((1_400..2_000).contains(&m.storage_bytes), "{m:?}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_compute_long_take_turns_and_leave_the_rest_to_others() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::meter::Meter;
    let turns = Arc::new(tokio::sync::Semaphore::new(1));
    let (computing, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let long = |_| {
        let meter = Arc::new(Meter::new(turns.clone()));
        meter.takes_turns();
        let (computing, most) = (computing.clone(), most.clone());
        let work = async move {
            for _ in 0..20 {
                most.fetch_max(computing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                computing.fetch_sub(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        };
        tokio::spawn(meter.run(work))
    };
    for task in (0..4).map(long).collect::<Vec<_>>() {
        soon(task).await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_at_its_limits_does_not_stop_its_neighbour() {
    let w = World::quick().await;
    w.installed("[limits]\ncpu_ms = 3000\nconcurrency = 8\n").await.unwrap();
    let mut neighbour = manifest("[component]\npath = \"plugin.wasm\"\n[[actions]]\nname = \"echo\"\n");
    neighbour.id = "neighbour".into();
    w.put("neighbour.plenum", &{
        let mut archive = PackageWriter::new(neighbour).component(guests::component("actions", guests::ACTIONS)).finish().unwrap();
        archive.sign(&w.secret, None).unwrap();
        archive.to_bytes().unwrap()
    });
    w.plugins.install(&admin(), "neighbour", None, &[]).await.unwrap();
    let busy: Vec<_> = (0..16)
        .map(|_| {
            let plugins = w.plugins.clone();
            tokio::spawn(async move { plugins.call_action(&admin(), "demo", "loop", &json!({}), None).await })
        })
        .collect();
    until(async || (w.plugins.metrics(&admin(), "demo").await.unwrap().stats.queued == 8).then_some(())).await;
    for i in 0..30 {
        let input = json!({"i": i});
        assert_eq!(soon(w.plugins.call_action(&admin(), "neighbour", "echo", &input, None)).await.unwrap(), input);
    }
    // Each of the eight that compute has 3 s, in turns: none of them can have ended.
    assert!(busy.iter().all(|b| !b.is_finished()));
    let m = w.plugins.metrics(&admin(), "neighbour").await.unwrap();
    // Its installation was a call too.
    assert_eq!((m.stats.calls, m.stats.refused), (31, 0));
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    w.end().await;
}
