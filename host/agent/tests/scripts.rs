//! What becomes of a script: the engine without a connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plenum_agent::engine::{Engine, Limits};
use plenum_agent::state::StateDir;
use plenum_agent_protocol::v1::agent_message::Body;
use plenum_agent_protocol::v1::{AgentMessage, FinishStatus, Finished, Run, Stream};
use tokio::sync::{Semaphore, mpsc};

/// Far above what anything here takes: a test that hangs should fail, not stay.
const PATIENCE: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits { kill_grace: Duration::from_millis(300), supervisor: env!("CARGO_BIN_EXE_plenum-agent").into(), ..Limits::default() }
}

struct Bench {
    dir: tempfile::TempDir,
    engine: Engine,
    said: mpsc::Receiver<AgentMessage>,
    pump: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Outcome {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    finished: Finished,
}

impl Outcome {
    fn status(&self) -> FinishStatus {
        self.finished.status()
    }
    fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(limits())
    }

    fn with(limits: Limits) -> Self {
        Self::at(tempfile::tempdir().unwrap(), limits)
    }

    fn at(dir: tempfile::TempDir, limits: Limits) -> Self {
        let engine = Engine::open(&StateDir::open(&dir.path().join("state")).unwrap(), limits).unwrap();
        let (said, pump) = Self::listen(&engine);
        Self { dir, engine, said, pump }
    }

    fn listen(engine: &Engine) -> (mpsc::Receiver<AgentMessage>, tokio::task::JoinHandle<()>) {
        let (tx, said) = mpsc::channel(4);
        engine.rewind();
        let engine = engine.clone();
        (said, tokio::spawn(async move { engine.pump(&tx).await }))
    }

    /// The connection breaks and another one is made.
    fn reconnect(&mut self) {
        self.pump.abort();
        (self.said, self.pump) = Self::listen(&self.engine);
    }

    /// The agent stops; what is left is its directory.
    async fn stop(self) -> tempfile::TempDir {
        self.engine.shutdown().await;
        self.pump.abort();
        // An aborted task still holds the engine, and with it the spool, until it is gone.
        let _ = self.pump.await;
        self.dir
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    async fn say(&mut self) -> Body {
        tokio::time::timeout(PATIENCE, self.said.recv()).await.expect("the engine says nothing").unwrap().body.unwrap()
    }

    async fn until_started(&mut self, id: &str) -> u32 {
        loop {
            if let Body::Started(started) = self.say().await
                && started.execution_id == id
            {
                return started.pid;
            }
        }
    }

    async fn until_finished(&mut self, id: &str) -> Outcome {
        let (mut outcome, mut seq) = (Outcome::default(), 0);
        loop {
            match self.say().await {
                Body::Output(chunk) if chunk.execution_id == id => {
                    assert_eq!(chunk.seq, seq + 1, "no gap, nothing twice");
                    seq = chunk.seq;
                    let side = if chunk.stream() == Stream::Stderr { &mut outcome.stderr } else { &mut outcome.stdout };
                    assert_eq!(chunk.offset, side.len() as u64);
                    side.extend_from_slice(&chunk.data);
                }
                Body::Finished(finished) if finished.execution_id == id => {
                    assert_eq!(finished.last_seq, seq, "the end follows all output");
                    outcome.finished = finished;
                    return outcome;
                }
                _ => {}
            }
        }
    }

    async fn run(&mut self, run: Run) -> Outcome {
        let id = run.execution_id.clone();
        self.engine.run(run);
        self.until_finished(&id).await
    }
}

fn bash(script: &str) -> Run {
    script_in("bash", script)
}

fn script_in(language: &str, script: &str) -> Run {
    Run {
        execution_id: "e1".into(),
        key: "k1".into(),
        language: language.into(),
        script: script.to_owned().into(),
        timeout_s: 30,
        ..Run::default()
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Processes that were killed vanish when the kernel gets to it.
fn gone(pid: &str) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while is_alive(pid) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

fn pids(file: &str) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn we_are_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test]
async fn each_language_gets_its_arguments_and_environment() {
    for (language, script) in [
        ("bash", r#"printf '%s|' "$@" "$COLOUR"; [[ -n $BASH_VERSION ]]"#),
        ("sh", r#"printf '%s|' "$@" "$COLOUR""#),
        ("python3", "import sys, os\nprint(*sys.argv[1:], os.environ['COLOUR'], sep='|', end='|')"),
    ] {
        let mut run = script_in(language, script);
        run.args = vec!["a b".into(), "$HOME".into(), String::new()];
        run.env.insert("COLOUR".into(), "'red\n'".into());
        let outcome = Bench::new().run(run).await;
        assert_eq!(outcome.out(), "a b|$HOME||'red\n'|", "{language}: {outcome:?}");
        assert_eq!(outcome.status(), FinishStatus::Succeeded);
        assert_eq!(outcome.finished.exit_code, Some(0));
    }
}

#[tokio::test]
async fn the_environment_is_clean_and_standard_input_is_at_its_end() {
    let mut run = bash("cat; pwd; env | sort; ls -l /proc/$$/fd | grep -c socket; ps -o sess= -p $$ | tr -d ' '; echo $$");
    run.cwd = "/usr".into();
    let mut bench = Bench::new();
    let outcome = bench.run(run).await;
    let lines: Vec<&str> = outcome.out().lines().collect();
    assert_eq!(lines[0], "/usr");
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let expected =
        ["HOME", "LANG", "LOGNAME", "OLDPWD", "PATH", "PLENUM_EXECUTION_ID", "PLENUM_PROCESS_MARK", "PWD", "SHELL", "SHLVL", "USER", "_"];
    assert!(names.iter().all(|name| expected.contains(name)), "{names:?}");
    let [sockets, session, own] = lines[lines.len() - 3..] else { panic!() };
    assert_eq!(sockets, "0", "the control socket must not reach the script");
    assert_eq!(session, own, "the script leads its own session");

    let mut run = bash("cat; printf e >&2");
    run.execution_id = "e2".into();
    run.key = "k2".into();
    run.stdin = Some("given".into());
    let outcome = bench.run(run).await;
    assert_eq!((outcome.out(), outcome.stderr.as_slice()), ("given", b"e".as_slice()));
}

#[tokio::test]
async fn no_signal_is_blocked_or_ignored() {
    // A blocked SIGCHLD hangs shells; an ignored SIGPIPE turns `yes | head -1` into an error.
    let outcome = Bench::new().run(script_in("sh", "grep -E 'Sig(Ign|Blk)' /proc/self/status")).await;
    let masks: Vec<u64> = outcome.out().lines().map(|line| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap()).collect();
    // 32 and 33 are the C library's own, which its `posix_spawn` leaves ignored.
    assert!(masks.len() == 2 && masks.iter().all(|mask| mask & !0x1_8000_0000 == 0), "{outcome:?}");
}

#[tokio::test]
async fn a_script_runs_as_another_user_without_a_directory_open_to_it() {
    if !we_are_root() {
        return;
    }
    let mut run = bash("id -un; id -gn; id -Gn; echo $HOME $USER");
    run.user = "daemon".into();
    let outcome = Bench::new().run(run).await;
    assert_eq!(outcome.out(), "daemon\ndaemon\ndaemon\n/usr/sbin daemon\n");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let user = if we_are_root() { ("nobody-of-that-name", "agent.unknown_user") } else { ("root", "agent.user_not_allowed") };
    type Change = Box<dyn Fn(&mut Run)>;
    let cases: Vec<(&str, Change)> = vec![
        (user.1, Box::new(move |run| run.user = user.0.into())),
        ("agent.unknown_language", Box::new(|run| run.language = "cobol".into())),
        ("agent.bad_directory", Box::new(|run| run.cwd = "/no/such/place".into())),
        ("agent.bad_environment", Box::new(|run| drop(run.env.insert("A=B".into(), String::new())))),
        ("agent.arguments_too_long", Box::new(|run| run.args = vec!["x".repeat(3_000_000)])),
    ];
    for (code, change) in cases {
        let mut run = bash("echo no");
        change(&mut run);
        let outcome = Bench::new().run(run).await;
        assert_eq!((outcome.status(), outcome.finished.error_code.as_str()), (FinishStatus::Rejected, code), "{outcome:?}");
        assert!(outcome.finished.error.len() > 20 && outcome.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_timeout_kills_children_that_fled() {
    let mut bench = Bench::new();
    let file = bench.path("pids");
    // Background, own session, double fork with an empty environment, deaf to SIGTERM.
    let mut run = bash(&format!(
        r#"
        trap '' TERM
        note() {{ echo $BASHPID >> {file}; }}
        (note; exec sleep 300) &
        setsid bash -c 'echo $$ >> {file}; exec sleep 300' &
        ( setsid env -i /bin/bash -c 'trap "" TERM; echo $$ >> {file}; while :; do sleep 1; done' > /dev/null 2>&1 < /dev/null & )
        while [ "$(wc -l < {file})" -lt 3 ]; do sleep 0.05; done
        echo ready
        while :; do sleep 300; done"#
    ));
    run.timeout_s = 2;
    let outcome = bench.run(run).await;
    assert_eq!(outcome.status(), FinishStatus::TimedOut, "{outcome:?}");
    assert_eq!(outcome.finished.error_code, "agent.timeout");
    assert_eq!(outcome.out(), "ready\n");
    assert!(outcome.finished.killed_processes >= 4, "{outcome:?}");
    for pid in pids(&file) {
        assert!(gone(&pid), "{pid} has fled");
    }
}

#[tokio::test]
async fn cancel_ends_a_tree_that_grows_while_it_is_killed() {
    let mut bench = Bench::new();
    let file = bench.path("pids");
    bench.engine.run(bash(&format!(
        r#"
        for i in $(seq 60); do (trap '' TERM; setsid bash -c 'echo $$ >> {file}; trap "" TERM; while :; do (sleep 0.2 &); sleep 0.1; done' &) ; done
        while [ "$(wc -l < {file})" -lt 60 ]; do sleep 0.05; done
        echo grown; sleep 300"#
    )));
    loop {
        if let Body::Output(chunk) = bench.say().await
            && chunk.data.starts_with(b"grown")
        {
            break;
        }
    }
    bench.engine.cancel("e1");
    bench.reconnect();
    let outcome = bench.until_finished("e1").await;
    assert_eq!(outcome.status(), FinishStatus::Cancelled, "{outcome:?}");
    assert!(pids(&file).iter().all(|pid| gone(pid)));
}

#[tokio::test]
async fn a_polite_script_may_clean_up_before_it_is_killed() {
    let mut bench = Bench::with(Limits { kill_grace: PATIENCE, ..limits() });
    bench.engine.run(bash("trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.05; done"));
    loop {
        if let Body::Output(_) = bench.say().await {
            break;
        }
    }
    bench.engine.cancel("e1");
    bench.reconnect();
    let outcome = bench.until_finished("e1").await;
    assert_eq!(outcome.out(), "ready\ncleaned\n");
    assert_eq!((outcome.status(), outcome.finished.exit_code), (FinishStatus::Cancelled, Some(7)));
}

#[tokio::test]
async fn a_flood_is_bounded_counted_and_does_not_block_the_script() {
    let mut run = bash("head -c 30000000 /dev/zero; echo end >&2; exit 3");
    run.output_limit = 100_000;
    let outcome = Bench::new().run(run).await;
    assert_eq!(outcome.finished.exit_code, Some(3));
    assert_eq!(outcome.finished.stdout_bytes + outcome.finished.stderr_bytes, 30_000_004);
    assert_eq!(outcome.stdout.len() + outcome.stderr.len(), 100_000);
    assert_eq!(outcome.finished.truncated_bytes, 30_000_004 - 100_000);
}

#[tokio::test]
async fn a_full_spool_counts_and_drops() {
    let mut bench = Bench::with(Limits { max_spool_bytes: 50_000, ..limits() });
    let outcome = bench.run(bash("head -c 200000 /dev/zero")).await;
    assert_eq!(outcome.status(), FinishStatus::Succeeded);
    assert!(outcome.stdout.len() <= 50_000);
    assert_eq!(outcome.finished.truncated_bytes + outcome.stdout.len() as u64, 200_000);
}

#[tokio::test]
async fn bytes_stay_bytes() {
    let outcome = Bench::new().run(bash(r"printf '\377\000\376\r\n'")).await;
    assert_eq!(outcome.stdout, b"\xff\0\xfe\r\n");
}

#[tokio::test]
async fn a_script_that_kills_its_own_shell_is_reported_with_its_signal() {
    let outcome = Bench::new().run(bash("echo before; kill -9 $$; echo after")).await;
    assert_eq!(outcome.out(), "before\n");
    assert_eq!((outcome.status(), outcome.finished.signal, outcome.finished.exit_code), (FinishStatus::Failed, Some(9), None));
    assert!(outcome.finished.error.contains("SIGKILL"));
}

#[tokio::test]
async fn a_script_that_kills_its_supervisor_is_ended_and_reported() {
    let mut bench = Bench::new();
    let file = bench.path("pids");
    let outcome = bench
        .run(bash(&format!(
            "setsid bash -c 'echo $$ >> {file}; sleep 300' & while [ ! -s {file} ]; do sleep 0.05; done; kill -9 $PPID; sleep 300"
        )))
        .await;
    assert_eq!((outcome.status(), outcome.finished.error_code.as_str()), (FinishStatus::Failed, "agent.supervisor_lost"));
    assert!(pids(&file).iter().all(|pid| gone(pid)));
}

#[tokio::test]
async fn a_daemon_that_holds_the_pipe_is_left_alone_and_does_not_hold_the_result() {
    let mut bench = Bench::new();
    let outcome = bench.run(bash("setsid sleep 3000 & echo $!")).await;
    assert_eq!((outcome.status(), outcome.finished.left_processes, outcome.finished.killed_processes), (FinishStatus::Succeeded, 1, 0));
    assert!(is_alive(outcome.out()));
    assert!(outcome.finished.duration_ms < 10_000);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(outcome.out().trim().parse().unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn output_is_told_while_the_script_runs() {
    let mut bench = Bench::new();
    let fifo = bench.path("fifo");
    bench.engine.run(bash(&format!("mkfifo {fifo}; echo one; read -r line < {fifo}; echo $line")));
    loop {
        if let Body::Output(chunk) = bench.say().await {
            assert_eq!(chunk.data.as_ref(), b"one\n");
            break;
        }
    }
    tokio::task::spawn_blocking(move || fs::write(fifo, "two\n").unwrap()).await.unwrap();
    bench.reconnect();
    // A new connection hears all of it again, as nothing was acknowledged.
    assert_eq!(bench.until_finished("e1").await.out(), "one\ntwo\n");
}

#[tokio::test]
async fn a_key_runs_once() {
    let mut bench = Bench::new();
    let file = bench.path("ran");
    let run = bash(&format!("echo ran >> {file}; echo hello"));
    assert_eq!(bench.run(run.clone()).await.out(), "hello\n");
    // Again: reported again, not run again.
    assert_eq!(bench.run(run.clone()).await.out(), "hello\n");
    // Another execution with that key is refused.
    let other = bench.run(Run { execution_id: "e2".into(), ..run.clone() }).await;
    assert_eq!((other.status(), other.finished.error_code.as_str()), (FinishStatus::Rejected, "agent.key_used"));
    // The spool is gone after the acknowledgement; the outcome is not.
    bench.engine.acknowledge("e1", 1, true);
    assert!(bench.engine.held().is_empty());
    assert_eq!(bench.engine.spooled_bytes(), 0);
    bench.engine.run(run.clone());
    let Body::Finished(finished) = bench.say().await else { panic!() };
    assert_eq!((finished.status(), finished.exit_code), (FinishStatus::Succeeded, Some(0)));
    // Nor does a restart forget.
    let dir = bench.stop().await;
    let mut bench = Bench::at(dir, limits());
    bench.engine.run(run);
    let Body::Finished(finished) = bench.say().await else { panic!() };
    assert_eq!(finished.exit_code, Some(0));
    assert_eq!(fs::read_to_string(file).unwrap(), "ran\n");
}

#[tokio::test]
async fn executions_wait_for_a_slot_and_too_many_are_refused() {
    let mut bench = Bench::with(Limits { slots: Arc::new(Semaphore::new(1)), max_queued: 2, ..limits() });
    let named = |n: u32, script: &str| Run { execution_id: format!("e{n}"), key: format!("k{n}"), ..bash(script) };
    let fifo = bench.path("fifo");
    bench.engine.run(named(1, &format!("mkfifo {fifo}; echo; cat {fifo}")));
    bench.until_started("e1").await;
    bench.engine.run(named(2, "echo two"));
    bench.engine.run(named(3, "echo three"));
    bench.engine.run(named(4, "echo four"));
    let refused = bench.until_finished("e4").await;
    assert_eq!(refused.finished.error_code, "agent.queue_full");
    assert_eq!(bench.engine.counts(), (1, 2));
    bench.engine.cancel("e3");
    let cancelled = bench.until_finished("e3").await;
    assert_eq!((cancelled.status(), cancelled.finished.started_ms), (FinishStatus::Cancelled, 0));
    bench.reconnect();
    bench.engine.cancel("e1");
    assert_eq!(bench.until_finished("e2").await.out(), "two\n");
}

#[tokio::test]
async fn what_waited_when_the_agent_stopped_runs_when_it_is_back_and_what_ran_is_interrupted() {
    let mut bench = Bench::with(Limits { slots: Arc::new(Semaphore::new(1)), ..limits() });
    let file = bench.path("pids");
    bench.engine.run(bash(&format!("echo $$ > {file}; sleep 300")));
    bench.until_started("e1").await;
    // Started is said when the process is there; what it writes comes after that.
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(&file).unwrap_or_default().is_empty() {
        assert!(Instant::now() < deadline, "the script wrote nothing");
        tokio::task::yield_now().await;
    }
    bench.engine.run(Run { execution_id: "e2".into(), key: "k2".into(), ..bash("echo late") });
    let dir = bench.stop().await;
    assert!(pids(&file).iter().all(|pid| gone(pid)));

    let mut bench = Bench::at(dir, limits());
    let (mut interrupted, mut late) = (None, None);
    while interrupted.is_none() || late.is_none() {
        if let Body::Finished(finished) = bench.say().await {
            if finished.execution_id == "e1" { interrupted = Some(finished) } else { late = Some(finished) }
        }
    }
    assert_eq!(interrupted.unwrap().status(), FinishStatus::Interrupted);
    assert_eq!(late.unwrap().status(), FinishStatus::Succeeded);
}

#[tokio::test]
async fn an_id_from_outside_names_no_path() {
    let mut bench = Bench::new();
    let outcome = bench.run(Run { execution_id: "../../evil/\0".into(), key: "x".into(), ..bash("echo fine") }).await;
    // NUL cannot be in an environment variable; everything else is only a name.
    assert_eq!(outcome.status(), FinishStatus::Rejected);
    let outcome = bench.run(Run { execution_id: "../../evil".into(), key: "y".into(), ..bash("echo fine") }).await;
    assert_eq!(outcome.out(), "fine\n");
    assert!(!Path::new(&bench.path("evil")).exists());
}
