//! Runs one script by way of its supervisor, and moves its output to the spool.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plenum_agent_protocol::v1::{FinishStatus, Finished, Output, Run, Stream};
use plenum_agent_protocol::{DEFAULT_OUTPUT_LIMIT, DEFAULT_TIMEOUT_S};
use prost::Message;
use prost::bytes::BytesMut;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::{Engine, Execution, now_ms, without_process};
use crate::faults;
use crate::spool;
use crate::supervise::{KILL, Report, SUBCOMMAND};

/// A chunk on its way to the disk. Smaller than the protocol's most, so that many scripts at once stay within the agent's memory budget.
const CHUNK: usize = 32 * 1024;
/// First bytes go at once, the next after this pause: a script that prints line by line must not cost a message a line.
const FLUSH_PAUSE: Duration = Duration::from_millis(20);
/// How long a process that the script left behind may go on writing (a `tee` in a pipe) before the result is reported.
const DRAIN: Duration = Duration::from_millis(250);
/// The supervisor gives up after its grace and 10 s; this is when the agent gives up on the supervisor.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(20);
/// "No time-out" for a timer that has to exist: a timer wheel does not take for ever.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why the tree was ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    Timeout,
    Cancel,
    Shutdown,
    Stuck,
}

/// Runs it to its end.
pub(crate) async fn run(engine: &Engine, execution: &Execution, run: Run) -> Finished {
    let reject = |error: io::Error| {
        let error = format!("the agent cannot start a process ({error}): it may be short of processes, memory or open files");
        without_process(&execution.id, FinishStatus::Rejected, "agent.spawn", error)
    };
    let writer = match execution.folder.writer() {
        Ok(writer) => writer,
        Err(error) => return reject(error),
    };
    let limit = if run.output_limit == 0 { DEFAULT_OUTPUT_LIMIT } else { run.output_limit };
    let timeout_s = if run.timeout_s == 0 { DEFAULT_TIMEOUT_S } else { run.timeout_s };
    let sink = Sink { engine, execution, writer, limit, stdout: Side::default(), stderr: Side::default(), truncated: 0, failed: false };
    match Supervised::launch(engine, sink, run, Duration::from_secs(timeout_s.into())).await {
        Ok(mut supervised) => supervised.watch().await,
        Err(error) => reject(error),
    }
}

struct Supervised<'a> {
    sink: Sink<'a>,
    supervisor: Child,
    reports: BufReader<OwnedReadHalf>,
    control: OwnedWriteHalf,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    timeout: Duration,
    started: Option<(Instant, i64)>,
    kill: Option<Kill>,
}

impl<'a> Supervised<'a> {
    async fn launch(engine: &Engine, sink: Sink<'a>, run: Run, timeout: Duration) -> io::Result<Self> {
        let (stdout, stdout_end) = io::pipe()?;
        let (stderr, stderr_end) = io::pipe()?;
        let (ours, theirs) = StdUnixStream::pair()?;
        let limits = &engine.inner().limits;
        faults::before("process");
        let supervisor = Command::new(&limits.supervisor)
            .arg(SUBCOMMAND)
            .arg(limits.kill_grace.as_millis().to_string())
            .arg(sink.execution.folder.mark())
            .env_clear()
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(stdout_end)
            .stderr(stderr_end)
            // Out of reach of a Ctrl-C that is meant for the agent.
            .process_group(0)
            .spawn()?;
        faults::after("process");
        ours.set_nonblocking(true)?;
        let (reports, mut control) = UnixStream::from_std(ours)?.into_split();
        let frame = run.encode_to_vec();
        // When this fails the supervisor is gone, which `watch` finds and reports.
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?.to_be_bytes();
        if control.write_all(&length).await.is_ok() {
            let _ = control.write_all(&frame).await;
        }
        Ok(Self {
            sink,
            supervisor,
            reports: BufReader::with_capacity(512, reports),
            control,
            stdout: Some(Receiver::from_owned_fd(stdout.into())?),
            stderr: Some(Receiver::from_owned_fd(stderr.into())?),
            timeout,
            started: None,
            kill: None,
        })
    }

    async fn watch(&mut self) -> Finished {
        let mut line = Vec::new();
        let mut end: Option<Result<Report, ()>> = None;
        // Until it is started: the supervisor looks users up, which can hang on a directory server.
        let mut deadline = Instant::now() + Duration::from_secs(60).min(self.timeout.max(Duration::from_secs(10)));
        let shutdown = self.sink.engine.inner().shutdown.clone();
        let cancel = self.sink.execution.cancel.clone();
        loop {
            let drained = self.stdout.is_none() && self.stderr.is_none();
            if drained && end.is_some() {
                break;
            }
            let flush_at = self.sink.flush_at();
            tokio::select! {
                read = read(&mut self.stdout, &mut self.sink.stdout.pending), if self.stdout.is_some() => {
                    if read { self.sink.took(Stream::Stdout) } else { self.stdout = None }
                }
                read = read(&mut self.stderr, &mut self.sink.stderr.pending), if self.stderr.is_some() => {
                    if read { self.sink.took(Stream::Stderr) } else { self.stderr = None }
                }
                read = self.reports.read_until(b'\n', &mut line), if end.is_none() => {
                    match serde_json::from_slice::<Report>(&line) {
                        Ok(Report::Started { pid }) if read.is_ok() => {
                            let (at, at_ms) = (Instant::now(), now_ms());
                            self.started = Some((at, at_ms));
                            if self.kill.is_none() { deadline = at + self.timeout }
                            self.sink.engine.started(self.sink.execution, pid, at_ms);
                        }
                        report => {
                            end = Some(report.map_err(|_| ()));
                            deadline = Instant::now() + DRAIN;
                        }
                    }
                    line.clear();
                }
                () = sleep_until(flush_at.unwrap_or(deadline + LONG)), if flush_at.is_some() => self.sink.flush(),
                () = cancel.cancelled(), if self.kill.is_none() && end.is_none() => deadline = self.kill(Kill::Cancel).await,
                () = shutdown.cancelled(), if self.kill.is_none() && end.is_none() => deadline = self.kill(Kill::Shutdown).await,
                () = sleep_until(deadline) => match (&end, self.kill) {
                    // Somebody else holds the pipe: what it writes is not the script's.
                    (Some(_), _) => break,
                    (None, None) => deadline = self.kill(if self.started.is_some() { Kill::Timeout } else { Kill::Stuck }).await,
                    (None, Some(_)) => {
                        end = Some(Err(()));
                        break;
                    }
                },
            }
        }
        self.sink.flush();
        let report = end.unwrap_or(Err(()));
        self.reap(report.is_err()).await;
        self.finished(report)
    }

    /// Asks the supervisor to end the tree; returns when to stop waiting for it.
    async fn kill(&mut self, why: Kill) -> Instant {
        self.kill = Some(why);
        // When it cannot be told it is dead, which its closed socket says too.
        let _ = self.control.write_all(&[KILL]).await;
        Instant::now() + self.sink.engine.inner().limits.kill_grace + SUPERVISOR_PATIENCE
    }

    async fn reap(&mut self, lost: bool) {
        if lost {
            let _ = self.supervisor.start_kill();
            let mark = self.sink.execution.folder.mark();
            // Reads all of /proc, some times.
            let _ = tokio::task::spawn_blocking(move || crate::engine::kill_left(&mark)).await;
        }
        // It exits right after its report. Not waiting would leave a zombie to the runtime, which collects it too.
        let _ = timeout(Duration::from_secs(1), self.supervisor.wait()).await;
    }

    fn finished(&self, report: Result<Report, ()>) -> Finished {
        let id = &self.sink.execution.id;
        let (started, started_ms) = self.started.unzip();
        let base = Finished {
            duration_ms: started.map_or(0, |at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
            started_ms: started_ms.unwrap_or(0),
            stdout_bytes: self.sink.stdout.total,
            stderr_bytes: self.sink.stderr.total,
            truncated_bytes: self.sink.truncated,
            ..without_process(id, FinishStatus::Failed, "", "")
        };
        let (exit_code, signal, killed, left) = match report {
            Ok(Report::Ended { exit_code, signal, killed, left }) => (exit_code, signal, killed, left),
            Ok(Report::Rejected { code, error }) => {
                return Finished { status: FinishStatus::Rejected.into(), error_code: code, error, ..base };
            }
            _ => {
                let status = match self.kill {
                    Some(Kill::Timeout) => FinishStatus::TimedOut,
                    Some(Kill::Cancel) => FinishStatus::Cancelled,
                    _ => FinishStatus::Failed,
                };
                let error = "the process that watches the script was killed, perhaps by the script itself; what could be found of the script was killed too";
                return Finished { status: status.into(), error_code: "agent.supervisor_lost".into(), error: error.into(), ..base };
            }
        };
        // It may have ended by itself just before it was told to.
        let kill = self.kill.filter(|_| killed > 0 || left > 0);
        let rest = if kill.is_some() && left > 0 { format!("; {left} of them could not be killed and still exist") } else { String::new() };
        let s = self.timeout.as_secs();
        let (status, code, error) = match (kill, exit_code, signal) {
            (Some(Kill::Timeout), ..) => {
                (FinishStatus::TimedOut, "agent.timeout", format!("ran longer than {s} s: its {killed} processes were ended{rest}"))
            }
            (Some(Kill::Cancel), ..) => {
                (FinishStatus::Cancelled, "agent.cancelled", format!("cancelled: its {killed} processes were ended{rest}"))
            }
            (Some(Kill::Shutdown), ..) => (
                FinishStatus::Interrupted,
                "agent.interrupted",
                format!("the agent was stopped, and ended its {killed} processes{rest}; it is not run again"),
            ),
            (Some(Kill::Stuck), ..) => (FinishStatus::Rejected, "agent.stuck", "the process did not start in time".to_owned()),
            (None, Some(0), _) => (FinishStatus::Succeeded, "", String::new()),
            (None, _, Some(signal)) => {
                (FinishStatus::Failed, "agent.signal", format!("the interpreter was ended by {}", signal_name(signal)))
            }
            (None, ..) => (FinishStatus::Failed, "", String::new()),
        };
        let (killed_processes, left_processes) = (if kill.is_some() { killed } else { 0 }, left);
        Finished { status: status.into(), exit_code, signal, error_code: code.into(), error, killed_processes, left_processes, ..base }
    }
}

fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |name| format!("signal {signal} ({name})"))
}

/// False at the end of the pipe. An error is an end as well: there is nothing else to do about it.
async fn read(pipe: &mut Option<Receiver>, pending: &mut BytesMut) -> bool {
    let Some(pipe) = pipe else { return std::future::pending().await };
    if pending.capacity() - pending.len() < CHUNK / 4 {
        pending.reserve(CHUNK - pending.len().min(CHUNK / 2));
    }
    matches!(pipe.read_buf(pending).await, Ok(read) if read > 0)
}

/// Where output goes: the spool, within the limit.
struct Sink<'a> {
    engine: &'a Engine,
    execution: &'a Execution,
    writer: File,
    limit: u64,
    stdout: Side,
    stderr: Side,
    truncated: u64,
    failed: bool,
}

#[derive(Default)]
struct Side {
    pending: BytesMut,
    total: u64,
    counted: usize,
    last_flush: Option<Instant>,
}

impl Side {
    fn due(&self) -> Option<Instant> {
        (!self.pending.is_empty()).then(|| self.last_flush.map_or_else(Instant::now, |last| last + FLUSH_PAUSE))
    }
}

impl Sink<'_> {
    fn flush_at(&self) -> Option<Instant> {
        [self.stdout.due(), self.stderr.due()].into_iter().flatten().min()
    }

    /// New bytes are in a side's buffer.
    fn took(&mut self, stream: Stream) {
        let kept = self.kept();
        let side = if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
        let new = side.pending.len() - side.counted;
        side.total += new as u64;
        side.counted = side.pending.len();
        // Beyond the limit it is only read, so that the script does not block on a full pipe.
        if kept >= self.limit || self.failed {
            self.truncated += side.pending.len() as u64;
            side.pending.clear();
            side.counted = 0;
        } else if side.pending.len() >= CHUNK / 2 || side.due().is_some_and(|due| due <= Instant::now()) {
            self.flush_side(stream);
        }
    }

    fn kept(&self) -> u64 {
        let tail = self.execution.progress().tail;
        tail.stdout + tail.stderr
    }

    fn flush(&mut self) {
        self.flush_side(Stream::Stdout);
        self.flush_side(Stream::Stderr);
    }

    fn flush_side(&mut self, stream: Stream) {
        let mut tail = self.execution.progress().tail;
        let side = if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
        if side.pending.is_empty() {
            return;
        }
        side.last_flush = Some(Instant::now());
        side.counted = 0;
        let mut data = side.pending.split().freeze();
        let inner = self.engine.inner();
        let room = self.limit.saturating_sub(tail.stdout + tail.stderr);
        let disk = inner.limits.max_spool_bytes.saturating_sub(inner.spool_bytes.load(Ordering::Relaxed));
        let keep = if self.failed { 0 } else { usize::try_from(room.min(disk)).unwrap_or(usize::MAX) };
        if data.len() > keep {
            self.truncated += (data.len() - keep) as u64;
            data.truncate(keep);
            // Disk may become free again, but output after a gap would mislead.
            self.failed = true;
        }
        if data.is_empty() {
            return;
        }
        let offset = if stream == Stream::Stderr { tail.stderr } else { tail.stdout };
        let size = data.len() as u64;
        let chunk = Output { execution_id: self.execution.id.clone(), stream: stream.into(), seq: tail.seq + 1, offset, data };
        match faults::step("spool.output", || spool::append(&mut self.writer, tail.length, &chunk)) {
            Ok(grown) => {
                tail.add(&chunk);
                tail.length += grown;
                inner.spool_bytes.fetch_add(grown, Ordering::Relaxed);
                self.execution.progress().tail = tail;
                self.engine.ready(&self.execution.id);
            }
            Err(error) => {
                // A gap in the middle would mislead: from here on output is counted only.
                tracing::warn!(execution = self.execution.id, %error, "cannot spool output; the rest of it is counted and dropped");
                self.failed = true;
                self.truncated += size;
            }
        }
    }
}
