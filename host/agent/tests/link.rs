//! Agent and host: enrolment, trust, loss of either. The agent is the real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

// Each of these tests needs a part of it.
#[allow(dead_code)]
mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use plenum_agent_protocol::EnrolmentToken;
use plenum_agent_protocol::v1::agent_message::Body;
use plenum_agent_protocol::v1::{FinishStatus, HeldState, Run, host_message};
use support::{Ca, Counters, Host, PATIENCE};
use tokio::process::{Child, Command};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plenum-agent"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(args: &[&str]) -> (bool, String) {
    let output = tokio::time::timeout(PATIENCE, program(args).output()).await.unwrap().unwrap();
    (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

fn up(host: &Host, state: &Path) -> Child {
    let token = host.ca.token().to_string();
    program(&["up", "--host", &host.name(), "--token", &token, "--state", state.to_str().unwrap(), "--max-backoff", "1"]).spawn().unwrap()
}

fn script(id: &str, text: &str) -> Run {
    Run {
        execution_id: id.into(),
        key: format!("key-{id}"),
        language: "bash".into(),
        script: text.to_owned().into(),
        timeout_s: 60,
        ..Run::default()
    }
}

#[tokio::test]
async fn an_agent_enrols_connects_and_says_what_it_found() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut agent = up(&host, dir.path());
    let (mut conn, hello) = host.connection().await;
    assert_eq!((conn.node.as_str(), hello.node_id.as_str()), ("node-1", "node-1"));
    assert!(hello.held.is_empty() && !hello.boot_id.is_empty());
    let (mut facts, mut heartbeats) = (0, 0);
    while facts < 1 || heartbeats < 2 {
        match conn.hear().await {
            Body::Heartbeat(heartbeat) => {
                assert!(heartbeat.rss_bytes > 0 && heartbeat.time_ms > 0);
                heartbeats += 1;
            }
            Body::Facts(found) => {
                let json: serde_json::Value = serde_json::from_slice(&found.json).unwrap();
                assert_eq!(json["node"]["node_id"], "node-1");
                facts += 1;
            }
            _ => {}
        }
    }
    // Asked for, they come although nothing has changed.
    conn.tell(host_message::Body::CollectFacts(plenum_agent_protocol::v1::CollectFacts {})).await;
    while !matches!(conn.hear().await, Body::Facts(_)) {}

    conn.run(script("e1", "echo hello; hostname >&2; exit 4")).await;
    let (said, finished) = conn.until_finished("e1", 0).await;
    assert!(said.starts_with(b"hello\n"));
    assert_eq!((finished.status(), finished.exit_code), (FinishStatus::Failed, Some(4)));
    conn.acknowledge("e1", finished.last_seq, true).await;

    // A polite stop.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent.id().unwrap().cast_signed()), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(tokio::time::timeout(PATIENCE, agent.wait()).await.unwrap().unwrap().success());
    let (ok, said) =
        output(&["enrol", "--host", "h:1", "--token", &host.ca.token().to_string(), "--state", dir.path().to_str().unwrap()]).await;
    assert!(!ok && said.contains("[agent.already_enrolled]"), "{said}");
}

#[tokio::test]
async fn a_host_with_another_ca_gets_no_token() {
    let (host, other) = (Host::start().await, Ca::new());
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let (ok, said) = output(&["enrol", "--host", &host.name(), "--token", &other.token().to_string(), "--state", state]).await;
    assert!(!ok && said.contains("[agent.host_untrusted]"), "{said}");
    assert_eq!(host.counters.enrolments.load(Ordering::SeqCst), 0);
    assert!(!dir.path().join("identity.json").exists());
}

#[tokio::test]
async fn a_bad_token_and_a_silent_address_say_what_to_do() {
    let host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let (ok, said) = output(&["enrol", "--host", &host.name(), "--token", "nonsense", "--state", state]).await;
    assert!(!ok && said.contains("[agent.token_malformed]"), "{said}");
    let used = EnrolmentToken { secret: "used".into(), ..host.ca.token() }.to_string();
    let (ok, said) = output(&["enrol", "--host", &host.name(), "--token", &used, "--state", state]).await;
    assert!(!ok && said.contains("[agent.refused]") && said.contains("make a new one"), "{said}");
    let (ok, said) = output(&["run", "--state", state]).await;
    assert!(!ok && said.contains("[agent.not_enrolled]"), "{said}");
    let address = host.name();
    host.kill().await;
    let (ok, said) = output(&["enrol", "--host", &address, "--token", &used, "--state", state]).await;
    assert!(!ok && said.contains("[agent.host_unreachable]"), "{said}");
}

#[tokio::test]
async fn what_happens_while_the_host_is_away_is_delivered_later() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let _agent = up(&host, dir.path());
    let (mut conn, _) = host.connection().await;
    let fifo = dir.path().join("fifo");
    let text = format!("mkfifo {0}; echo one; read -r x < {0}; echo two; for i in $(seq 20000); do echo $i; done", fifo.display());
    conn.run(script("e1", &text)).await;
    let first = loop {
        if let Body::Output(chunk) = conn.hear().await {
            break chunk;
        }
    };
    assert_eq!((first.seq, first.data.as_ref()), (1, b"one\n".as_slice()));
    conn.acknowledge("e1", 1, false).await;
    // Told in order, so the acknowledgement has been heard when this one has.
    conn.run(script("e2", "echo heard")).await;
    conn.until_finished("e2", 0).await;
    drop(conn);
    let (ca, address) = host.kill().await;
    tokio::task::spawn_blocking(move || fs::write(fifo, "go\n").unwrap()).await.unwrap();
    // The script ends while nobody listens.
    let spool = dir.path().join("spool");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while fs::read_dir(&spool).unwrap().flatten().filter(|entry| entry.path().join("finished").exists()).count() < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }

    let mut host = Host::start_as(ca, address, Counters::default()).await;
    let (mut conn, hello) = host.connection().await;
    assert!(hello.held.iter().any(|held| held.execution_id == "e1" && held.state() == HeldState::Finished));
    assert!(hello.spooled_bytes > 100_000);
    let (said, finished) = conn.until_finished("e1", 1).await;
    assert!(said.starts_with(b"two\n1\n2\n") && said.ends_with(b"20000\n"));
    assert_eq!(finished.status(), FinishStatus::Succeeded);
    conn.acknowledge("e1", finished.last_seq, true).await;
    conn.acknowledge("e2", 1, true).await;
    conn.run(script("e3", "true")).await;
    conn.until_finished("e3", 0).await;
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 1, "only what is not acknowledged is kept");
}

#[tokio::test]
async fn an_agent_killed_in_the_middle_reports_the_script_as_interrupted_and_never_runs_it_again() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut agent = up(&host, dir.path());
    let (mut conn, _) = host.connection().await;
    let file = dir.path().join("ran");
    let run = script("e1", &format!("setsid sleep 300 & echo $! >> {0}; echo $$ >> {0}; echo told; wait", file.display()));
    conn.run(run.clone()).await;
    while !matches!(conn.hear().await, Body::Output(_)) {}
    agent.kill().await.unwrap();
    drop(conn);

    let _agent = up(&host, dir.path());
    let (mut conn, hello) = host.connection().await;
    assert_eq!(hello.held.len(), 1);
    let (said, finished) = conn.until_finished("e1", 0).await;
    assert_eq!(said, b"told\n", "what it had said is kept");
    assert_eq!((finished.status(), finished.error_code.as_str()), (FinishStatus::Interrupted, "agent.interrupted"));
    conn.acknowledge("e1", 1, true).await;
    // A host that is not sure asks again.
    conn.run(run).await;
    let again = loop {
        if let Body::Finished(finished) = conn.hear().await {
            break finished;
        }
    };
    assert_eq!(again.status(), FinishStatus::Interrupted);
    let ran = fs::read_to_string(file).unwrap();
    assert_eq!(ran.lines().count(), 2, "it ran once");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let alive = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while ran.lines().any(alive) {
        assert!(tokio::time::Instant::now() < deadline, "its processes were ended with the agent");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn killed_after_any_message_an_agent_reports_one_end_and_runs_nothing_twice() {
    type Point = (&'static str, fn(&Body) -> bool);
    let points: [Point; 4] = [
        ("accepted", |body| matches!(body, Body::Accepted(_))),
        ("started", |body| matches!(body, Body::Started(_))),
        ("output", |body| matches!(body, Body::Output(_))),
        ("finished", |body| matches!(body, Body::Finished(_))),
    ];
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    for (name, reached) in points {
        let mut agent = up(&host, dir.path());
        let (mut conn, hello) = host.connection().await;
        assert!(hello.held.is_empty(), "{name}: what was acknowledged is forgotten");
        let run = script(name, &format!("echo {name} >> {}; echo said", ran.display()));
        conn.run(run.clone()).await;
        while !reached(&conn.hear().await) {}
        agent.kill().await.unwrap();
        drop(conn);

        let mut agent = up(&host, dir.path());
        let (mut conn, hello) = host.connection().await;
        // What a host does that has no end yet: ask again when the agent does not hold it.
        if !hello.held.iter().any(|held| held.execution_id == name) {
            conn.run(run.clone()).await;
        }
        let (said, finished) = conn.until_finished(name, 0).await;
        match finished.status() {
            FinishStatus::Succeeded => assert_eq!(said, b"said\n"),
            FinishStatus::Interrupted => assert_ne!(name, "finished"),
            other => panic!("{name}: {other:?}"),
        }
        conn.acknowledge(name, finished.last_seq, true).await;
        // Heard in order: the acknowledgement was taken before this was refused.
        conn.run(Run { execution_id: "other".into(), ..run }).await;
        let (_, refused) = conn.until_finished("other", 0).await;
        assert_eq!(refused.error_code, "agent.key_used");
        agent.kill().await.unwrap();
        let times = fs::read_to_string(&ran).unwrap_or_default().lines().filter(|line| *line == name).count();
        assert!(times <= 1, "{name} ran {times} times");
    }
}

#[tokio::test]
async fn up_enrols_again_only_with_another_host() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut agent = up(&host, dir.path());
    host.connection().await;
    agent.kill().await.unwrap();
    let (ca, _) = host.kill().await;
    // Moved: the same CA at another address.
    let mut host = Host::start_as(ca, "127.0.0.1:0".parse().unwrap(), Counters::default()).await;
    let mut agent = up(&host, dir.path());
    assert_eq!(host.connection().await.0.node, "node-1");
    assert_eq!(host.counters.enrolments.load(Ordering::SeqCst), 0);
    agent.kill().await.unwrap();
    // Set up anew.
    let mut other = Host::start().await;
    let _agent = up(&other, dir.path());
    other.connection().await;
    assert_eq!(other.counters.enrolments.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_expires() {
    let mut host =
        Host::start_as(Ca::new(), "127.0.0.1:0".parse().unwrap(), Counters { old_certificates: true, ..Counters::default() }).await;
    let dir = tempfile::tempdir().unwrap();
    let _agent = up(&host, dir.path());
    let (mut conn, _) = host.connection().await;
    while host.counters.renewals.load(Ordering::SeqCst) == 0 {
        conn.hear().await;
    }
    // Once the new identity is on the disk, the next connection uses it.
    let old = conn.serial.clone();
    let mut serial = old.clone();
    while serial == old {
        drop(conn);
        (conn, _) = host.connection().await;
        serial.clone_from(&conn.serial);
    }
    assert_eq!(conn.node, "node-1");
    assert_eq!(host.counters.renewals.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn metrics_wait_for_a_host_that_takes_them_and_survive_its_absence() {
    use plenum_agent_protocol::v1::MetricsAck;
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut agent = up(&host, dir.path());
    let (mut conn, _) = host.connection().await;
    // A host that has not said that it takes metrics gets none.
    for _ in 0..3 {
        assert!(!matches!(conn.hear().await, Body::Metrics(_)));
    }
    conn.tell(host_message::Body::Settings(settings_of(1))).await;
    let first = metrics(&mut conn).await;
    // Not acknowledged: no second one, and the same again in the next connection. The agent goes on looking meanwhile, over a restart too.
    agent.kill().await.unwrap();
    drop(conn);
    let _agent = up(&host, dir.path());
    let (mut conn, _) = host.connection().await;
    conn.tell(host_message::Body::Settings(settings_of(1))).await;
    let again = metrics(&mut conn).await;
    assert_eq!(again, first);
    for seq in first.seq..first.seq + 3 {
        conn.tell(host_message::Body::MetricsAck(MetricsAck { up_to_seq: seq })).await;
        assert_eq!(metrics(&mut conn).await.seq, seq + 1);
    }
    let waiting = fs::read_dir(dir.path().join("metrics")).unwrap().count();
    assert!(waiting >= 1, "what is not acknowledged is kept");
}

fn settings_of(seconds: u32) -> plenum_agent_protocol::v1::Settings {
    plenum_agent_protocol::v1::Settings { metrics_s: seconds, metrics_send_s: seconds, ..Default::default() }
}

async fn metrics(conn: &mut support::Conn) -> plenum_agent_protocol::v1::Metrics {
    loop {
        if let Body::Metrics(metrics) = conn.hear().await {
            return metrics;
        }
    }
}

#[tokio::test]
async fn a_fleet_is_many_machines() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let lines: String = (0..12).map(|n| format!("{}\n", EnrolmentToken { secret: format!("secret{n}"), ..host.ca.token() })).collect();
    fs::write(&tokens, lines).unwrap();
    let state = dir.path().join("fleet");
    let args =
        ["fleet", "--host", &host.name(), "--tokens-file", tokens.to_str().unwrap(), "--count", "12", "--state", state.to_str().unwrap()];
    let _fleet = program(&args).stdout(Stdio::null()).spawn().unwrap();
    let mut names = std::collections::BTreeSet::new();
    let mut conns = Vec::new();
    for _ in 0..12 {
        let (conn, hello) = host.connection().await;
        names.insert((hello.hostname, conn.node.clone()));
        conn.run(script("same", "echo $$")).await;
        conns.push(conn);
    }
    assert_eq!(names.len(), 12);
    assert_eq!(names.first().unwrap().0, "sim-0001");
    let machines: std::collections::BTreeSet<String> = host.machines.lock().unwrap().iter().cloned().collect();
    assert_eq!(machines.len(), 12);
    for mut conn in conns {
        let (_, finished) = conn.until_finished("same", 0).await;
        assert_eq!(finished.status(), FinishStatus::Succeeded);
    }
}
