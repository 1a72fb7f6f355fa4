//! Words of jobs that several routes share.

use plenum_jobs::{Progress, Strategy, Unmatched};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::list::rfc3339;

/// How an execution goes through its targets.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StrategyJson {
    /// Sizes of the batches, `1 10% +5 *2`: so many targets, a share of all of them, so many more than the batch before, so many times the
    /// batch before. The last one repeats. Empty: one batch of all.
    batches: String,
    /// Seconds between the end of a batch and the start of the next.
    pause_s: u32,
    /// Failures that are borne, `3` or `5%` of all targets: with one more, nothing further is started. Absent: all are.
    tolerate: Option<String>,
    /// Seconds until the whole execution is ended, whatever has not ended by itself.
    total_timeout_s: Option<u32>,
}

impl From<Strategy> for StrategyJson {
    fn from(s: Strategy) -> Self {
        StrategyJson { batches: s.batches, pause_s: s.pause_s, tolerate: s.tolerate, total_timeout_s: s.total_timeout_s }
    }
}

/// How far an execution is in its strategy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressJson {
    /// The batch that is under way, or begins after the pause; counts from 1.
    batch: u32,
    batches: u32,
    /// When the batch began, or the pause before it.
    since: String,
    /// When the pause ends.
    resume_at: Option<String>,
    /// Until when targets of this batch wait for their agents.
    wait_until: String,
    /// When all is ended.
    deadline: Option<String>,
    stopped_at: Option<String>,
    /// `jobs.stopped`: more failures than are borne. `jobs.total_timeout`: it took too long.
    stop_code: Option<String>,
    stop_reason: Option<String>,
}

impl From<Progress> for ProgressJson {
    fn from(p: Progress) -> Self {
        ProgressJson {
            batch: p.batch,
            batches: p.batches,
            since: rfc3339(p.since),
            resume_at: p.resume_at.map(rfc3339),
            wait_until: rfc3339(p.wait_until),
            deadline: p.deadline.map(rfc3339),
            stopped_at: p.stopped_at.map(rfc3339),
            stop_code: p.stop_code,
            stop_reason: p.stop_reason,
        }
    }
}

/// Targets of an earlier execution.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlierTargetsJson {
    execution: String,
    /// Those that ended so: `failed`, `lost`, ...
    #[serde(default)]
    statuses: Vec<String>,
    /// And these nodes of it, however they ended.
    #[serde(default)]
    nodes: Vec<String>,
}

/// A pasted name or address that leads to no node, or to several.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnmatchedJson {
    text: String,
    reason: String,
}

impl From<Unmatched> for UnmatchedJson {
    fn from(u: Unmatched) -> Self {
        UnmatchedJson { text: u.text, reason: u.reason }
    }
}
