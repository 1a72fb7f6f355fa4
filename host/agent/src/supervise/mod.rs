//! The supervisor: one small process between the agent and each script.
//!
//! `plenum-agent supervise GRACE_MS MARK` is the agent's own binary, started for one execution. It declares itself *child subreaper*, so whatever the script
//! starts stays its descendant, however often it forks, calls `setsid` or clears its environment: the tree can be found, and killed, without
//! cgroups and without guessing. It also outlives no agent: when the agent dies, the control socket closes and the tree is ended.
//!
//! File descriptors: 0 is a socket to the agent, 1 and 2 are the pipes that become the script's outputs. On the socket the agent sends one
//! frame (length, [`Run`]), then perhaps [`KILL`]; the supervisor answers with one JSON [`Report`] a line.

mod spawn;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};
use plenum_agent_protocol::MAX_MESSAGE;
use plenum_agent_protocol::v1::Run;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::procfs;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "supervise";
/// Byte on the control socket: end the tree.
pub const KILL: u8 = b'K';
/// In the environment of every script, for its own use.
pub const EXECUTION_ENV: &str = "PLENUM_EXECUTION_ID";
/// In the environment of every script, so that what an agent left behind can be recognised after a crash.
pub const MARK_ENV: &str = "PLENUM_PROCESS_MARK";
/// How long processes are looked for and killed before the supervisor says that some cannot be.
const KILL_BUDGET: Duration = Duration::from_secs(10);

/// What the supervisor tells the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The interpreter runs.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// The script could not be started.
    Rejected {
        /// Stable code.
        code: String,
        /// For a person.
        error: String,
    },
    /// The interpreter has ended; when the tree was to be killed, it is gone too.
    Ended {
        /// Exit code, when it exited.
        exit_code: Option<i32>,
        /// Signal, when one ended it.
        signal: Option<i32>,
        /// Processes that were killed on demand.
        killed: u32,
        /// Processes that are left: deliberately after a normal end, or because they cannot be killed.
        left: u32,
    },
}

/// The supervisor's `main`. Returns the exit code of the supervisor itself.
#[must_use]
pub fn main(grace: Duration, mark: &str) -> i32 {
    match supervise(grace, mark) {
        Ok(()) => 0,
        // Nobody reads our stderr any more; the agent sees a socket that closed without a report and says so.
        Err(_) => 1,
    }
}

struct Tree {
    interpreter: Pid,
    status: Option<ExitStatus>,
    killed: HashSet<i32>,
}

fn supervise(grace: Duration, mark: &str) -> io::Result<()> {
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    prctl::set_child_subreaper(true)?;
    // Blocked before the first child, or its death could be missed.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;

    let run = read_run(&mut control)?;
    let child = match spawn::spawn(&run, mark) {
        Ok(child) => child,
        Err(refusal) => return report(&mut control, &Report::Rejected { code: refusal.code.to_owned(), error: refusal.error }),
    };
    drop(run);
    // The pipes must belong to the script alone, or the agent would never see their end.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    let interpreter = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    // Reaped by `waitpid(-1)` like everything else.
    drop(child);
    let mut tree = Tree { interpreter, status: None, killed: HashSet::new() };
    // When this cannot be told the agent is gone, and the next read says so.
    let _ = report(&mut control, &Report::Started { pid: interpreter.as_raw().unsigned_abs() });

    watch(&mut tree, &mut control, &signals, grace)
}

fn watch(tree: &mut Tree, control: &mut UnixStream, signals: &SignalFd, grace: Duration) -> io::Result<()> {
    loop {
        let childless = tree.reap();
        if let Some(status) = tree.status {
            // Orphans become our children, so without a child there is nobody: that spares a look through all of /proc after most scripts.
            let left = if childless { 0 } else { procfs::descendants(Pid::this().as_raw()).len() };
            return tree.report_end(control, status, left);
        }
        let mut fds = [PollFd::new(control.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [from_agent, from_children] = fds.map(|fd| fd.any().unwrap_or(false));
        if from_children {
            while let Ok(Some(_)) = signals.read_signal() {}
        }
        if from_agent {
            let mut byte = [0_u8];
            let asked = matches!(control.read(&mut byte), Ok(1));
            // Without an agent nobody waits for a polite end, and a restarted agent wants it over.
            let left = tree.end(signals, if asked { grace } else { Duration::ZERO })?;
            let status = tree.status.unwrap_or_else(|| ExitStatus::from_raw(libc::SIGKILL));
            return tree.report_end(control, status, left);
        }
    }
}

impl Tree {
    /// Collects the dead: the interpreter's status is kept, adopted processes only have to go. True when no child is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.interpreter => {
                    self.status = Some(ExitStatus::from_raw((code & 0xff) << 8))
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.interpreter => {
                    self.status = Some(ExitStatus::from_raw(signal as i32))
                }
                Ok(WaitStatus::StillAlive) => return false,
                Err(error) => return error == Errno::ECHILD,
                Ok(_) => {}
            }
        }
    }

    /// Ends everything: asks first, then stops and kills until nothing is found. Returns how many could not be killed.
    fn end(&mut self, signals: &SignalFd, grace: Duration) -> io::Result<usize> {
        let me = Pid::this().as_raw();
        if !grace.is_zero() {
            for pid in procfs::descendants(me) {
                self.signal(pid, Signal::SIGTERM);
            }
            let deadline = Instant::now() + grace;
            loop {
                self.reap();
                let Some(remaining) = deadline.checked_duration_since(Instant::now()) else { break };
                if procfs::descendants(me).is_empty() {
                    self.reap();
                    return Ok(0);
                }
                // A death wakes us; a grandchild's death is its parent's signal, not ours, so look again now and then.
                wait(signals, remaining.min(Duration::from_millis(50)))?;
            }
        }
        let deadline = Instant::now() + KILL_BUDGET;
        let mut pause = Duration::from_millis(1);
        loop {
            let found = procfs::descendants(me);
            if found.is_empty() {
                self.reap();
                // Between two readings of /proc a child may have been born: only two empty looks in a row are an end.
                if procfs::descendants(me).is_empty() {
                    return Ok(0);
                }
                continue;
            }
            if Instant::now() > deadline {
                return Ok(found.len());
            }
            // Stopped first: a fork bomb would otherwise replace its dead faster than they are found.
            for pid in &found {
                self.signal(*pid, Signal::SIGSTOP);
            }
            for pid in found {
                self.signal(pid, Signal::SIGKILL);
            }
            self.reap();
            wait(signals, pause)?;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn signal(&mut self, pid: i32, signal: Signal) {
        if kill(Pid::from_raw(pid), signal).is_ok() && signal != Signal::SIGSTOP {
            self.killed.insert(pid);
        }
    }

    fn report_end(&self, control: &mut UnixStream, status: ExitStatus, left: usize) -> io::Result<()> {
        let killed = u32::try_from(self.killed.len()).unwrap_or(u32::MAX);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        report(control, &Report::Ended { exit_code: status.code(), signal: status.signal(), killed, left })
    }
}

/// Sleeps until a child dies, at most `time`.
fn wait(signals: &SignalFd, time: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::from(10_u8));
    match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    while let Ok(Some(_)) = signals.read_signal() {}
    Ok(())
}

fn read_run(control: &mut UnixStream) -> io::Result<Run> {
    let mut length = [0_u8; 4];
    control.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "run is larger than a message may be"));
    }
    let mut frame = vec![0_u8; length];
    control.read_exact(&mut frame)?;
    Run::decode(frame.as_slice()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn report(control: &mut UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    control.write_all(&line)
}
