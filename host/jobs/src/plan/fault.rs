//! Whose fault it was: where somebody who looks at a bad result has to look next.

use serde::{Deserialize, Serialize};

use crate::model::TargetStatus;

/// Who has to act on a target that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its agent was not connected in time; nothing was run.
    Offline,
    /// The agent would not or could not start it: its limits, its disk, no interpreter.
    Agent,
    /// The operating system user is unknown there or not allowed.
    Account,
    /// It took longer than it may.
    Timeout,
    /// The script ended badly.
    Script,
    /// The script ran to its end, and what it printed or how it ended is not known in full.
    OutputLost,
    /// A person ended it.
    Person,
    /// It was not started, for too many others had failed.
    Stopped,
    /// Whether it ran is unknown.
    Unknown,
}

impl Fault {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Offline => "offline",
            Fault::Agent => "agent",
            Fault::Account => "account",
            Fault::Timeout => "timeout",
            Fault::Script => "script",
            Fault::OutputLost => "output_lost",
            Fault::Person => "person",
            Fault::Stopped => "stopped",
            Fault::Unknown => "unknown",
        }
    }
}

/// From how a target ended; none while it is open or when it succeeded with all of its output.
pub fn fault(status: TargetStatus, code: Option<&str>) -> Option<Fault> {
    let code = code.unwrap_or_default();
    match (status, code) {
        (_, "jobs.node_offline") => Some(Fault::Offline),
        (_, "agent.unknown_user" | "agent.user_not_allowed") => Some(Fault::Account),
        (_, "jobs.output_incomplete" | "agent.outcome_lost") => Some(Fault::OutputLost),
        (TargetStatus::Pending | TargetStatus::Waiting | TargetStatus::Running | TargetStatus::Succeeded, _) => None,
        (TargetStatus::Failed, "agent.spawn" | "agent.no_interpreter" | "agent.no_memory" | "agent.disk") => Some(Fault::Agent),
        (TargetStatus::Failed, _) => Some(Fault::Script),
        (TargetStatus::TimedOut, _) => Some(Fault::Timeout),
        (TargetStatus::Cancelled, "jobs.stopped") => Some(Fault::Stopped),
        (TargetStatus::Cancelled, _) => Some(Fault::Person),
        (TargetStatus::Rejected, _) => Some(Fault::Agent),
        (TargetStatus::Lost, _) => Some(Fault::Unknown),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn whose_fault_it_is() {
        use TargetStatus::*;
        let table: &[(TargetStatus, &str, Option<Fault>)] = &[
            (Running, "", None),
            (Succeeded, "", None),
            (Failed, "", Some(Fault::Script)),
            (Failed, "agent.spawn", Some(Fault::Agent)),
            (Failed, "jobs.output_incomplete", Some(Fault::OutputLost)),
            (TimedOut, "agent.timeout", Some(Fault::Timeout)),
            (TimedOut, "jobs.total_timeout", Some(Fault::Timeout)),
            (Lost, "jobs.node_offline", Some(Fault::Offline)),
            (Lost, "jobs.agent_gone", Some(Fault::Unknown)),
            (Lost, "jobs.force_cancelled", Some(Fault::Unknown)),
            (Lost, "agent.interrupted", Some(Fault::Unknown)),
            (Lost, "agent.outcome_lost", Some(Fault::OutputLost)),
            (Rejected, "agent.unknown_user", Some(Fault::Account)),
            (Rejected, "agent.queue_full", Some(Fault::Agent)),
            (Cancelled, "jobs.cancelled", Some(Fault::Person)),
            (Cancelled, "jobs.stopped", Some(Fault::Stopped)),
        ];
        for (status, code, expected) in table {
            assert_eq!(fault(*status, Some(code)), *expected, "{status:?} {code}");
        }
    }
}
