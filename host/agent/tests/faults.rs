//! Bad days: the agent dies at each step, messages come twice and in another order, disks are full, the network is cut, scripts misbehave.
//! The agent is the real program; it runs nothing twice and each end is told, with what is known of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

// Each of these tests needs a part of it.
#[allow(dead_code)]
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use plenum_agent::faults::STEPS;
use plenum_agent_protocol::v1::agent_message::Body;
use plenum_agent_protocol::v1::{Ack, Cancel, CollectFacts, FinishStatus, Finished, Run, Welcome, host_message};
use support::{Ca, Conn, Counters, Host, PATIENCE};
use tokio::process::{Child, Command};

fn up(host: &Host, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plenum-agent"));
    command.args(["--log", "warn", "up", "--host", &host.name(), "--max-backoff", "1", "--kill-grace", "1", "--state"]).arg(state);
    command.env("PLENUM_AGENT_TOKEN", host.ca.token().to_string()).stdin(Stdio::null()).kill_on_drop(true);
    command
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

fn times(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

fn high_water_kib(agent: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

/// Root may mount and make networks; elsewhere such a test says that it did not run.
fn root_for(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: {what} needs root");
    }
    root
}

/// The host's part until the agent is gone: takes what comes, and acknowledges the end. True when it has the end.
async fn until_gone(conn: &mut Conn, id: &str) -> Option<Finished> {
    let mut end = None;
    while let Some(body) = conn.try_hear().await {
        if let Body::Finished(finished) = body
            && finished.execution_id == id
        {
            conn.try_tell(host_message::Body::Ack(Ack { execution_id: id.into(), up_to_seq: finished.last_seq, finished: true })).await;
            end = Some(finished);
        }
    }
    end
}

#[tokio::test]
async fn killed_before_and_after_each_write_and_message() {
    let mut host = Host::start().await;
    for step in STEPS.iter().filter(|step| **step != "identity") {
        for moment in ["before", "after"] {
            let at = format!("{step}.{moment}");
            let dir = tempfile::tempdir().unwrap();
            let (state, ran) = (dir.path().join("state"), dir.path().join("ran"));
            let run = script(&at, &format!("echo ran >> {}; echo said", ran.display()));
            let mut agent = up(&host, &state).env("PLENUM_AGENT_DIE_AT", &at).spawn().unwrap();
            let (mut conn, hello) = host.connection().await;
            assert!(hello.held.is_empty());
            conn.run(run.clone()).await;
            let known = until_gone(&mut conn, &at).await;
            let status = tokio::time::timeout(PATIENCE, agent.wait()).await.unwrap().unwrap();
            assert_eq!(status.signal(), Some(9), "{at}: it died at this step");

            let mut agent = up(&host, &state).spawn().unwrap();
            let (mut conn, hello) = host.connection().await;
            let held = hello.held.iter().any(|held| held.execution_id == at);
            let end = if let (Some(known), false) = (&known, held) {
                known.clone()
            } else {
                // A host that has no end asks again unless the agent holds it.
                if !held {
                    conn.run(run.clone()).await;
                }
                let (said, end) = conn.until_finished(&at, 0).await;
                if end.status() == FinishStatus::Succeeded && end.last_seq > 0 {
                    assert_eq!(said, b"said\n", "{at}");
                }
                conn.acknowledge(&at, end.last_seq, true).await;
                end
            };
            let ran = times(&ran);
            match end.status() {
                FinishStatus::Succeeded => assert_eq!(ran, 1, "{at}"),
                FinishStatus::Interrupted => {
                    assert!(ran <= 1, "{at}: ran {ran} times");
                    assert!(end.error.contains("not run again") || end.error.contains("not known"), "{at}: {}", end.error);
                }
                other => panic!("{at}: {other:?} {}", end.error),
            }
            if let Some(known) = known {
                assert_eq!(known.status(), end.status(), "{at}: it has one end");
            }
            agent.kill().await.unwrap();
        }
    }
}

#[tokio::test]
async fn killed_around_the_renewal_of_its_certificate_it_is_still_a_node() {
    for (moment, renewals) in [("before", 2), ("after", 1)] {
        let counters = Counters { old_certificates: true, ..Counters::default() };
        let mut host = Host::start_as(Ca::new(), "127.0.0.1:0".parse().unwrap(), counters).await;
        let dir = tempfile::tempdir().unwrap();
        // Enrolled first: what is to be interrupted is the second writing of the identity.
        let mut enrol = Command::new(env!("CARGO_BIN_EXE_plenum-agent"));
        enrol.args(["enrol", "--host", &host.name(), "--state"]).arg(dir.path()).env("PLENUM_AGENT_TOKEN", host.ca.token().to_string());
        assert!(enrol.stdout(Stdio::null()).status().await.unwrap().success());
        let mut agent = up(&host, dir.path()).env("PLENUM_AGENT_DIE_AT", format!("identity.{moment}")).spawn().unwrap();
        let (mut conn, _) = host.connection().await;
        while conn.try_hear().await.is_some() {}
        assert_eq!(tokio::time::timeout(PATIENCE, agent.wait()).await.unwrap().unwrap().signal(), Some(9));
        let old = conn.serial.clone();
        let _agent = up(&host, dir.path()).spawn().unwrap();
        let (mut conn, _) = host.connection().await;
        assert_eq!((conn.node.as_str(), conn.serial == old), ("node-1", moment == "before"));
        while host.counters.renewals.load(Ordering::SeqCst) < renewals {
            conn.hear().await;
        }
    }
}

#[tokio::test]
async fn messages_that_come_twice_and_in_any_order_run_a_script_once() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let _agent = up(&host, &dir.path().join("state")).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    // The same disorder in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % n
    };
    for round in 0..30 {
        let id = format!("e{round}");
        let run = script(&id, &format!("echo {id} >> {}; echo said", ran.display()));
        let ack = |id: &str, up_to_seq, finished| host_message::Body::Ack(Ack { execution_id: id.into(), up_to_seq, finished });
        let mut messages = vec![
            host_message::Body::Run(run.clone()),
            host_message::Body::Run(run.clone()),
            host_message::Body::Run(Run { execution_id: format!("{id}-other"), ..run.clone() }),
            host_message::Body::Cancel(Cancel { execution_id: "nobody".into() }),
            host_message::Body::CollectFacts(CollectFacts {}),
            host_message::Body::Welcome(Welcome::default()),
            ack("nobody", 7, true),
            ack(&id, 0, false),
            ack(&if round == 0 { "nobody".to_owned() } else { format!("e{}", round - 1) }, 1, true),
        ];
        while !messages.is_empty() {
            conn.tell(messages.swap_remove(random(messages.len()))).await;
        }
        // With one key two executions were asked for: one of them ran, the other says why not.
        let (mut ends, mut refused) = (0, 0);
        while ends == 0 || refused == 0 {
            if let Body::Finished(finished) = conn.hear().await {
                match (finished.status(), finished.error_code.as_str()) {
                    (FinishStatus::Succeeded, _) => ends += 1,
                    (FinishStatus::Rejected, "agent.key_used") => refused += 1,
                    other => panic!("{other:?}"),
                }
                if finished.status() == FinishStatus::Succeeded {
                    conn.acknowledge(&finished.execution_id, finished.last_seq, true).await;
                }
            }
        }
        assert_eq!(times(&ran), round + 1, "round {round}");
    }
}

#[tokio::test]
async fn an_acknowledgement_of_an_end_that_has_not_come_loses_nothing() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let _agent = up(&host, &dir.path().join("state")).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    conn.run(script("e1", &format!("mkfifo {0}; echo one; read -r x < {0}; echo $x; exit 5", fifo.display()))).await;
    while !matches!(conn.hear().await, Body::Output(_)) {}
    conn.acknowledge("e1", 1, true).await;
    tokio::task::spawn_blocking(move || fs::write(fifo, "two\n").unwrap()).await.unwrap();
    let (said, finished) = conn.until_finished("e1", 1).await;
    assert_eq!((said.as_slice(), finished.exit_code), (b"two\n".as_slice(), Some(5)));
}

#[tokio::test]
async fn a_line_of_200_mb_and_bytes_that_are_no_text_cost_neither_memory_nor_the_end() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let agent = up(&host, dir.path()).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    conn.run(script("line", "head -c 200000000 /dev/zero | tr '\\0' x; exit 3")).await;
    let (said, finished) = conn.until_finished("line", 0).await;
    conn.acknowledge("line", finished.last_seq, true).await;
    assert_eq!((finished.exit_code, finished.stdout_bytes), (Some(3), 200_000_000));
    assert_eq!(said.len() as u64 + finished.truncated_bytes, 200_000_000);
    assert!(said.len() == 4 << 20 && said.iter().all(|byte| *byte == b'x'));
    conn.run(script("bytes", r"printf '\xff\xfe\x00\xc3\x28\xed\xa0\x80'; printf '\xf0\x9f\x98' >&2")).await;
    let (said, _) = conn.until_finished("bytes", 0).await;
    assert!(said.windows(8).any(|w| w == b"\xff\xfe\0\xc3\x28\xed\xa0\x80") && said.windows(3).any(|w| w == b"\xf0\x9f\x98"), "{said:?}");
    let kib = high_water_kib(&agent);
    println!("the agent's memory at its highest: {kib} KiB");
    assert!(kib < 60 * 1024, "{kib} KiB in an unoptimised build");
}

#[tokio::test]
async fn scripts_that_misbehave_end_with_what_is_true() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let _agent = up(&host, dir.path()).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    // Closes its outputs and goes on: its end is its own, not that of its outputs.
    conn.run(script("closed", "echo before; exec >&- 2>&-; sleep 0.5; exit 7")).await;
    let (said, finished) = conn.until_finished("closed", 0).await;
    assert_eq!((said.as_slice(), finished.exit_code), (b"before\n".as_slice(), Some(7)));
    assert!(finished.duration_ms >= 500);
    // Daemonises as daemons do: two forks, a session of its own, nothing inherited.
    let pid = dir.path().join("pid");
    let daemon =
        format!("( setsid sh -c 'sleep 3000 & echo $! > {}' </dev/null >/dev/null 2>&1 & ); while [ ! -s {0} ]; do :; done", pid.display());
    conn.run(script("daemon", &daemon)).await;
    let (_, finished) = conn.until_finished("daemon", 0).await;
    assert_eq!((finished.status(), finished.left_processes, finished.killed_processes), (FinishStatus::Succeeded, 1, 0));
    let left = nix::unistd::Pid::from_raw(fs::read_to_string(&pid).unwrap().trim().parse().unwrap());
    nix::sys::signal::kill(left, nix::sys::signal::Signal::SIGKILL).unwrap();
    // Ignores SIGTERM, and so do its children.
    let stubborn = Run { timeout_s: 1, ..script("stubborn", "trap '' TERM; sleep 3000 & sleep 3000 & while :; do sleep 1; done") };
    conn.run(stubborn).await;
    let (_, finished) = conn.until_finished("stubborn", 0).await;
    assert_eq!((finished.status(), finished.error_code.as_str()), (FinishStatus::TimedOut, "agent.timeout"));
    assert!(finished.killed_processes >= 3 && finished.left_processes == 0, "{finished:?}");
    assert!(finished.duration_ms < 15_000);
}

#[tokio::test]
async fn a_clock_that_jumps_makes_nothing_run_twice() {
    let mut host = Host::start().await;
    for jump in [-20 * 365 * 24 * 3600_i64, 20 * 365 * 24 * 3600] {
        let dir = tempfile::tempdir().unwrap();
        let (state, ran) = (dir.path().join("state"), dir.path().join("ran"));
        let mut agent = up(&host, &state).spawn().unwrap();
        let (mut conn, _) = host.connection().await;
        let done = script("done", &format!("echo done >> {}", ran.display()));
        conn.run(done.clone()).await;
        let (_, finished) = conn.until_finished("done", 0).await;
        conn.acknowledge("done", finished.last_seq, true).await;
        let run = script("e1", &format!("echo ran >> {}; echo told; sleep 300", ran.display()));
        conn.run(run.clone()).await;
        while !matches!(conn.hear().await, Body::Output(_)) {}
        agent.kill().await.unwrap();
        drop(conn);
        // As if all that had been written by a clock that was wrong by twenty years.
        let then = SystemTime::now();
        let seconds = Duration::from_secs(jump.unsigned_abs());
        let then = if jump < 0 { then - seconds } else { then + seconds };
        for folder in fs::read_dir(state.join("spool")).unwrap() {
            fs::File::options().write(true).open(folder.unwrap().path().join("run")).unwrap().set_modified(then).unwrap();
        }
        let journal = fs::read_to_string(state.join("journal")).unwrap();
        let ms = then.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let journal = journal.lines().map(|line| {
            let (_, rest) = line.split_once(',').unwrap();
            format!("{{\"t\":{ms},{rest}\n")
        });
        fs::write(state.join("journal"), journal.collect::<String>()).unwrap();

        let _agent = up(&host, &state).spawn().unwrap();
        let (mut conn, _) = host.connection().await;
        let (_, finished) = conn.until_finished("e1", 0).await;
        assert_eq!(finished.status(), FinishStatus::Interrupted, "{jump}");
        conn.acknowledge("e1", finished.last_seq, true).await;
        conn.run(run).await;
        let (_, finished) = conn.until_finished("e1", finished.last_seq).await;
        assert_eq!(finished.status(), FinishStatus::Interrupted, "{jump}");
        conn.run(done).await;
        let (_, finished) = conn.until_finished("done", 0).await;
        assert_eq!(finished.status(), FinishStatus::Succeeded, "{jump}");
        assert_eq!(times(&ran), 2, "{jump}");
    }
}

/// A file system of its own, so small that it is full at once.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.unwrap().success());
        Self(dir)
    }

    fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.0.path().join("filler")).unwrap();
        while std::io::Write::write(&mut file, &[0; 512]).is_ok_and(|written| written > 0) {}
    }

    fn empty(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_it_refuses_with_the_reason_and_goes_on_when_there_is_room() {
    if !root_for("a small disk") {
        return;
    }
    let mut host = Host::start().await;
    let disk = SmallDisk::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = elsewhere.path().join("ran");
    let state = disk.0.path().join("state");
    let mut agent = up(&host, &state).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    // Full while a script writes: it ends as it would, and what did not fit is counted.
    conn.run(Run { output_limit: 64 << 20, ..script("much", "head -c 8000000 /dev/zero; exit 4") }).await;
    let (said, finished) = conn.until_finished("much", 0).await;
    assert_eq!((finished.exit_code, finished.stdout_bytes), (Some(4), 8_000_000));
    assert!(said.len() < 2 << 20 && said.len() as u64 + finished.truncated_bytes == 8_000_000);
    conn.acknowledge("much", finished.last_seq, true).await;
    // Full before: nothing is started that could not be remembered.
    let spool = state.join("spool");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while fs::read_dir(&spool).unwrap().next().is_some() {
        assert!(tokio::time::Instant::now() < deadline, "what was acknowledged is removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    disk.fill();
    let run = script("refused", &format!("echo ran >> {}", ran.display()));
    conn.run(run.clone()).await;
    let (_, finished) = conn.until_finished("refused", 0).await;
    assert_eq!((finished.status(), finished.error_code.as_str()), (FinishStatus::Rejected, "agent.disk"), "{finished:?}");
    assert!(finished.error.contains("free space"), "{}", finished.error);
    assert_eq!(times(&ran), 0);
    // An agent that starts on the full disk is there, and says the same.
    agent.kill().await.unwrap();
    disk.fill();
    let _agent = up(&host, &state).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    conn.run(script("still", "true")).await;
    let (_, finished) = conn.until_finished("still", 0).await;
    assert_eq!(finished.error_code, "agent.disk", "{finished:?}");
    disk.empty();
    conn.run(script("again", &format!("echo ran >> {}", ran.display()))).await;
    let (_, finished) = conn.until_finished("again", 0).await;
    assert_eq!((finished.status(), times(&ran)), (FinishStatus::Succeeded, 1));
}

/// A network of its own for an agent, with a cable that can be pulled.
struct Network {
    name: String,
    host_address: String,
}

impl Network {
    fn new() -> Self {
        let n = std::process::id() % 200 + 20;
        let network = Self { name: format!("pla{n}"), host_address: format!("10.211.{n}.1") };
        let name = &network.name;
        for command in [
            format!("netns add {name}"),
            format!("link add {name}h type veth peer name {name}a"),
            format!("link set {name}a netns {name}"),
            format!("addr add {}/24 dev {name}h", network.host_address),
            format!("link set {name}h up"),
            format!("-n {name} addr add 10.211.{n}.2/24 dev {name}a"),
            format!("-n {name} link set {name}a up"),
            format!("-n {name} link set lo up"),
        ] {
            Self::ip(&command);
        }
        network
    }

    fn ip(command: &str) {
        let done = std::process::Command::new("ip").args(command.split(' ')).output().unwrap();
        assert!(done.status.success(), "ip {command}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// No packet is lost with a word: both sides only hear nothing more.
    fn cut(&self, cut: bool) {
        let rule = if cut { "-A" } else { "-D" };
        for chain in ["INPUT", "OUTPUT"] {
            let device = if chain == "INPUT" { "-i" } else { "-o" };
            let done = std::process::Command::new("iptables")
                .args(["-w", rule, chain, device, &format!("{}h", self.name), "-j", "DROP"])
                .output()
                .unwrap();
            if !done.status.success() {
                // Without iptables the cable is pulled at the agent's end: that is silence as well.
                Self::ip(&format!("-n {0} link set {0}a {1}", self.name, if cut { "down" } else { "up" }));
                return;
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for chain in ["INPUT", "OUTPUT"] {
            let device = if chain == "INPUT" { "-i" } else { "-o" };
            let _ =
                std::process::Command::new("iptables").args(["-w", "-D", chain, device, &format!("{}h", self.name), "-j", "DROP"]).output();
        }
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[tokio::test]
async fn a_network_that_is_cut_for_a_minute_costs_no_output_and_no_script() {
    if !root_for("a network namespace") {
        return;
    }
    let network = Network::new();
    let mut host = Host::start_as(Ca::new(), format!("{}:0", network.host_address).parse().unwrap(), Counters::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let (state, ran) = (dir.path().join("state"), dir.path().join("ran"));
    let mut agent = Command::new("ip");
    agent.args(["netns", "exec", &network.name, env!("CARGO_BIN_EXE_plenum-agent"), "--log", "warn", "up", "--host", &host.name()]);
    agent.args(["--max-backoff", "2", "--state"]).arg(&state).env("PLENUM_AGENT_TOKEN", host.ca.token().to_string());
    let _agent = agent.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    let text = format!("echo ran >> {}; for i in $(seq 1 700); do echo $i; sleep 0.1; done", ran.display());
    conn.run(Run { timeout_s: 600, ..script("e1", &text) }).await;
    let mut seq = 0;
    let mut said = Vec::new();
    while seq < 5 {
        if let Body::Output(chunk) = conn.hear().await {
            seq = chunk.seq;
            said.extend_from_slice(&chunk.data);
        }
    }
    network.cut(true);
    // The old connection stays as it is, half open: nobody has told this side that it is gone.
    tokio::time::sleep(Duration::from_secs(60)).await;
    network.cut(false);
    let (mut conn, hello) = host.connection().await;
    assert_eq!(hello.held.len(), 1);
    let (all, finished) = conn.until_finished("e1", 0).await;
    assert_eq!(finished.status(), FinishStatus::Succeeded);
    assert!(all.starts_with(&said));
    let expected: String = (1..=700).map(|n| format!("{n}\n")).collect();
    assert_eq!(String::from_utf8(all).unwrap(), expected, "all of it, once, in order");
    assert_eq!(times(&ran), 1);
}

#[tokio::test]
async fn a_host_that_takes_the_connection_and_says_nothing_is_given_up() {
    let mut host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut agent = up(&host, dir.path()).spawn().unwrap();
    host.connection().await;
    agent.kill().await.unwrap();
    let (ca, address) = host.kill().await;
    let silent = tokio::net::TcpListener::bind(address).await.unwrap();
    let command = {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plenum-agent"));
        command.args(["--log", "warn", "run", "--max-backoff", "1", "--state"]).arg(dir.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.spawn().unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(tokio::time::timeout(PATIENCE, silent.accept()).await.expect("it tries again").unwrap());
    }
    drop((silent, open));
    let mut host = Host::start_as(ca, address, Counters::default()).await;
    assert_eq!(host.connection().await.0.node, "node-1");
    drop(command);
}
