//! What an agent does with the spool of the agent before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plenum_agent_protocol::DEFAULT_TIMEOUT_S;
use plenum_agent_protocol::v1::{FinishStatus, Finished};

use super::{Engine, Execution, lock, now_ms, without_process};
use crate::journal::Known;
use crate::procfs;
use crate::spool::{self, Found};
use crate::supervise::MARK_ENV;

pub(super) fn recover(engine: &Engine) {
    for found in spool::load(&engine.0.spool) {
        let Found { folder, run, accepted_ms, finished, tail, started } = found;
        let execution = Arc::new(Execution::new(&run.execution_id, &run.key, folder));
        {
            let mut progress = execution.progress();
            progress.tail = tail;
            progress.finished.clone_from(&finished);
        }
        engine.0.spool_bytes.fetch_add(tail.length, Ordering::Relaxed);
        lock(&engine.0.held).add(&execution);
        if finished.is_some() {
            continue;
        }
        let known = lock(&engine.0.journal).get(&run.key);
        // Its output file is made after the journal's line: where only that is left (a journal that was lost, or restored), it has been started.
        let known = known.or_else(|| started.then(|| Known { execution_id: execution.id.clone(), outcome: None }));
        match known {
            Some(known) => match known.outcome {
                Some(outcome) => engine.finish(&execution, outcome),
                None => {
                    kill_left(&execution.folder.mark());
                    let error = "the agent, or its machine, stopped while it ran; how far it came is not known, and it is not run again";
                    let finished = Finished {
                        stdout_bytes: tail.stdout,
                        stderr_bytes: tail.stderr,
                        ..without_process(&execution.id, FinishStatus::Interrupted, "agent.interrupted", error)
                    };
                    engine.finish(&execution, finished);
                }
            },
            // It never started, so it may: unless so late that whoever asked has given up on it.
            None => {
                let timeout_s = if run.timeout_s == 0 { DEFAULT_TIMEOUT_S } else { run.timeout_s };
                if now_ms().saturating_sub(accepted_ms) <= i64::from(timeout_s) * 1000 {
                    engine.start(execution, run);
                } else {
                    let error = "the agent was stopped before it could start it, and came back too late to start it still";
                    engine.finish(&execution, without_process(&execution.id, FinishStatus::Rejected, "agent.too_late", error));
                }
            }
        }
    }
}

/// The supervisor ends its tree when the agent dies, but it may have been killed together with the agent.
pub(crate) fn kill_left(mark: &str) -> usize {
    let mut killed = 0;
    // Some rounds: between two looks a process may have forked.
    for _ in 0..20 {
        let found = procfs::with_environment(MARK_ENV, mark);
        if found.is_empty() {
            break;
        }
        for pid in &found {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
        }
        for pid in found {
            killed += usize::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
        }
    }
    killed
}
