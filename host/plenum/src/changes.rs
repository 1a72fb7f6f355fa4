//! Change requests on their way: what was approved is begun, its workflow watched, and what it was about written at its end.

use std::time::Duration;

use plenum_access::Principal;
use plenum_cmdb::Cmdb;
use plenum_cmdb::requests::Due;
use plenum_runtime::Plugins;
use plenum_workflow::{ActionHost, RunStatus, WorkflowError, Workflows};
use tokio_util::sync::CancellationToken;

/// How often workflows that are under way are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often, when none is.
const REST: Duration = Duration::from_secs(30);

/// Until the host stops.
pub async fn carry(cmdb: Cmdb, workflows: Workflows, plugins: Plugins, stop: CancellationToken) {
    loop {
        let pause = match cmdb.changes_due().await {
            Ok(due) => {
                let mut pause = REST;
                for one in due {
                    let id = one.id.clone();
                    match step(&cmdb, &workflows, &plugins, one).await {
                        Ok(true) => {}
                        Ok(false) => pause = LOOK,
                        // The database, mostly: it is tried again.
                        Err(e) => {
                            pause = LOOK;
                            tracing::warn!(change = id, error = %e, "a change request does not go on");
                        }
                    }
                }
                pause
            }
            Err(e) => {
                tracing::warn!(error = %e, "change requests cannot be read");
                REST
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cmdb.changes_wanted() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One step of one request; whether it is over.
async fn step(cmdb: &Cmdb, workflows: &Workflows, plugins: &Plugins, due: Due) -> Result<bool, anyhow::Error> {
    // As who asked, with the rights of now.
    let who = match plugins.principal(&due.actor).await {
        Ok(who) => who,
        Err(e) => {
            cmdb.change_failed(&due.id, &format!("who asked for it may act no longer: {}; nothing was written", e.detail)).await?;
            return Ok(true);
        }
    };
    let Some((name, input)) = due.workflow else {
        cmdb.apply_change(&who, &due.id).await?;
        return Ok(true);
    };
    let Some(run) = due.run.filter(|_| due.state == "running") else {
        // The key holds a crash between the two lines below to one run.
        let key = format!("change/{}/{}", due.id, due.hash.get(..16).unwrap_or_default());
        return match workflows.start(&who, &name, input, Some(&key)).await {
            Ok(run) => {
                cmdb.change_runs(&due.id, &run.id).await?;
                Ok(false)
            }
            Err(WorkflowError::Store(e)) => Err(e.into()),
            Err(e) => {
                cmdb.change_failed(&due.id, &format!("its workflow {name} did not start: {e}; nothing was written")).await?;
                Ok(true)
            }
        };
    };
    let ended = match workflows.run(&Principal::System("change requests"), &run).await {
        Ok(run) => run,
        Err(WorkflowError::Store(e)) => return Err(e.into()),
        Err(e) => {
            cmdb.change_failed(&due.id, &format!("its run {run} is not there: {e}; nothing was written")).await?;
            return Ok(true);
        }
    };
    match ended.status {
        RunStatus::Running | RunStatus::Waiting => Ok(false),
        RunStatus::Succeeded => {
            cmdb.apply_change(&who, &due.id).await?;
            Ok(true)
        }
        RunStatus::Failed | RunStatus::Cancelled => {
            let of = |key: &str| {
                ended.error.as_ref().and_then(|e| e.get(key)).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
            };
            let (at, title, detail) = (of("instance"), of("title"), of("detail"));
            let said = [at, title, detail].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": ");
            let said = if said.is_empty() { said } else { format!(" at {said}") };
            cmdb.change_failed(&due.id, &format!("its workflow {name} {}{said}; nothing was written", ended.status.name())).await?;
            Ok(true)
        }
    }
}
