//! The figures of the home page, in one answer whose cost does not grow with the fleet.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use plenum_access::{Permission, Principal};
use plenum_jobs::{ExecutionStatus, NodeState};
use plenum_runtime::Status;
use plenum_workflow::RunStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::ApiResult;
use crate::extract::Caller;

/// How far back `..._recent` looks.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// The routes of this file below `/api/v1`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// What is here and how it does. A part that the caller may not read is null.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Machines with an agent.
    nodes: Option<NodeFigures>,
    /// Jobs.
    executions: Option<ExecutionFigures>,
    /// Workflow runs.
    runs: Option<RunFigures>,
    /// Installed apps.
    apps: Option<AppFigures>,
}

/// Machines with an agent.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct NodeFigures {
    online: u64,
    offline: u64,
}

/// Jobs. "Recent" is the last 24 hours.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ExecutionFigures {
    running: u64,
    succeeded_recent: u64,
    /// Failed on some targets or on all.
    failed_recent: u64,
    /// Wait for another person's approval.
    waiting_approval: u64,
    /// Of these, the ones that the caller may decide.
    to_approve: u64,
}

/// Workflow runs that have not ended.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RunFigures {
    running: u64,
    /// Wait for something: a job, a time, a person.
    waiting: u64,
}

/// Installed apps.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct AppFigures {
    active: u64,
    disabled: u64,
    /// Enabled, but not able to run.
    failed: u64,
}

/// What is here and how it does: the figures of the home page.
#[utoipa::path(get, path = "/overview", tag = "system", responses((status = 200, body = Overview)))]
async fn overview(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Overview>> {
    let may = |p: Permission| app.access.require(&who, p, &[]);
    Ok(Json(Overview {
        nodes: match may(Permission::NodesRead).await {
            Ok(()) => Some(nodes(&app, &who).await?),
            Err(_) => None,
        },
        executions: match may(Permission::JobsRead).await {
            Ok(()) => Some(executions(&app, &who).await?),
            Err(_) => None,
        },
        runs: match may(Permission::WorkflowRead).await {
            Ok(()) => Some(runs(&app, &who).await?),
            Err(_) => None,
        },
        apps: match may(Permission::PluginsRead).await {
            Ok(()) => Some(apps(&app, &who).await?),
            Err(_) => None,
        },
    }))
}

async fn nodes(app: &App, who: &Principal) -> ApiResult<NodeFigures> {
    let mut f = NodeFigures::default();
    for (state, n) in app.jobs.node_counts(who).await? {
        match state {
            NodeState::Online => f.online += n,
            NodeState::Offline => f.offline += n,
            NodeState::Revoked => {}
        }
    }
    Ok(f)
}

async fn executions(app: &App, who: &Principal) -> ApiResult<ExecutionFigures> {
    let mut f = ExecutionFigures::default();
    for (status, n) in app.jobs.execution_counts(who, RECENT).await? {
        match status {
            ExecutionStatus::Running => f.running += n,
            ExecutionStatus::Succeeded => f.succeeded_recent += n,
            ExecutionStatus::Partial | ExecutionStatus::Failed => f.failed_recent += n,
            ExecutionStatus::WaitingApproval => f.waiting_approval += n,
            ExecutionStatus::Cancelled => {}
        }
    }
    if f.waiting_approval > 0 {
        f.to_approve = app.jobs.waiting_approval_count(who).await?;
    }
    Ok(f)
}

async fn runs(app: &App, who: &Principal) -> ApiResult<RunFigures> {
    let mut f = RunFigures::default();
    for (status, n) in app.workflows.counts(who).await? {
        let n = u64::try_from(n).unwrap_or(0);
        match status {
            RunStatus::Running => f.running += n,
            RunStatus::Waiting => f.waiting += n,
            _ => {}
        }
    }
    Ok(f)
}

async fn apps(app: &App, who: &Principal) -> ApiResult<AppFigures> {
    let mut f = AppFigures::default();
    for p in app.plugins.installed(who).await? {
        match p.status {
            Status::Active => f.active += 1,
            Status::Disabled => f.disabled += 1,
            _ => f.failed += 1,
        }
    }
    Ok(f)
}
