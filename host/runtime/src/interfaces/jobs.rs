//! `plenum:jobs/executions`: permissions `jobs.run` and `jobs.read`; a plugin sees its own executions.

use plenum_access::AccessError;
use plenum_jobs::{JobsError, ResultQuery};

use super::{bad_json, error, ms};
use crate::bindings::plenum::jobs::executions::{Execution, Host, OutputStream, ResultsPage, TargetResult};
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;

pub(crate) fn jobs_status(e: &JobsError) -> u16 {
    match e {
        JobsError::Access(AccessError::Denied(_)) => 403,
        JobsError::NotFound { .. } => 404,
        JobsError::Invalid { .. } | JobsError::Blocked(_) | JobsError::NoTargets(_) | JobsError::Enrolment(_) | JobsError::Cmdb { .. } => {
            422
        }
        JobsError::KeyConflict { .. }
        | JobsError::NotWaiting(_)
        | JobsError::ApprovalChanged(_)
        | JobsError::AlreadyFinished(_)
        | JobsError::NodeOffline(_)
        | JobsError::NodeRevoked(_) => 409,
        JobsError::Busy(_) => 429,
        JobsError::ShuttingDown => 503,
        JobsError::Access(_) | JobsError::Store(_) | JobsError::Ca(_) | JobsError::Server(_) => 500,
    }
}

fn failed(e: JobsError) -> Error {
    error(e.code(), jobs_status(&e), &e)
}

fn count(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn execution(e: plenum_jobs::Execution) -> Execution {
    let s = &e.summary;
    Execution {
        // The contract knows no approval: to a plugin it has begun, and each of its targets says what it waits for.
        status: match e.status {
            plenum_jobs::ExecutionStatus::WaitingApproval => plenum_jobs::ExecutionStatus::Running,
            status => status,
        }
        .as_str()
        .to_owned(),
        total: count(s.total),
        pending: count(s.pending + s.waiting),
        running: count(s.running),
        succeeded: count(s.succeeded),
        failed: count(s.failed + s.timed_out + s.cancelled + s.lost + s.rejected),
        id: e.id,
        name: e.name,
        created_at: ms(e.created_at),
        finished_at: e.finished_at.map(ms),
    }
}

fn target(t: plenum_jobs::TargetResult) -> TargetResult {
    TargetResult {
        node_id: t.node_id,
        node_name: t.node_name,
        status: t.status.as_str().to_owned(),
        reason: t.message.or(t.waiting_for),
        exit_code: t.exit_code.and_then(|c| i32::try_from(c).ok()),
        duration_ms: t.duration_ms.map(ms),
        stdout_bytes: ms(t.stdout_bytes),
        stderr_bytes: ms(t.stderr_bytes),
        truncated_bytes: ms(t.truncated_bytes),
    }
}

impl Host for CallState {
    async fn run(&mut self, request: String) -> Result<Execution, Error> {
        let _span = self.span("plenum:jobs/executions.run");
        let request = serde_json::from_str(&request).map_err(|e| bad_json("request", &e))?;
        self.services.jobs.run(&self.info.who, request).await.map(execution).map_err(failed)
    }

    async fn get(&mut self, id: String) -> Result<Option<Execution>, Error> {
        let _span = self.span("plenum:jobs/executions.get");
        match self.services.jobs.execution(&self.info.who, &id).await {
            Ok(e) => Ok(Some(execution(e))),
            Err(JobsError::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    async fn results(&mut self, id: String, cursor: Option<String>, limit: u32) -> Result<ResultsPage, Error> {
        let _span = self.span("plenum:jobs/executions.results");
        let query = ResultQuery { cursor, limit: limit.clamp(1, 500), ..ResultQuery::default() };
        let page = self.services.jobs.results(&self.info.who, &id, &query).await.map_err(failed)?;
        Ok(ResultsPage { items: page.items.into_iter().map(target).collect(), next_cursor: page.next_cursor })
    }

    async fn output(&mut self, id: String, node_id: String, stream: OutputStream, offset: u64, limit: u32) -> Result<Vec<u8>, Error> {
        let _span = self.span("plenum:jobs/executions.output");
        let stream = match stream {
            OutputStream::Stdout => plenum_jobs::OutputStream::Stdout,
            OutputStream::Stderr => plenum_jobs::OutputStream::Stderr,
        };
        let page =
            self.services.jobs.output(&self.info.who, &id, &node_id, stream, offset, limit.clamp(1, 1 << 20)).await.map_err(failed)?;
        Ok(page.data)
    }

    async fn cancel(&mut self, id: String) -> Result<(), Error> {
        let _span = self.span("plenum:jobs/executions.cancel");
        self.services.jobs.cancel(&self.info.who, &id).await.map(|_| ()).map_err(failed)
    }
}
