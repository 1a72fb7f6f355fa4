//! `plenum:workflow/runs` and `schedules`: permission `workflow.run`. A name without a dot is one of the plugin's own workflows.

use plenum_access::Permission;
use plenum_workflow::{ListQuery, ScheduleSpec, Target, WorkflowError, Workflows};

use super::{bad_json, error, ms};
use crate::bindings::plenum::types::types::Error;
use crate::bindings::plenum::workflow::runs::{Host as RunsHost, Run};
use crate::bindings::plenum::workflow::schedules::{Host as SchedulesHost, Schedule};
use crate::call::CallState;

fn failed(e: WorkflowError) -> Error {
    error(e.code(), e.status(), &e)
}

fn run(r: plenum_workflow::Run) -> Run {
    let text = |v: &serde_json::Value| {
        v.get("detail").or_else(|| v.get("title")).and_then(|d| d.as_str()).map_or_else(|| v.to_string(), str::to_owned)
    };
    Run {
        status: r.status.name().to_owned(),
        output: (r.status == plenum_workflow::RunStatus::Succeeded).then(|| r.output.to_string()),
        error: r.error.as_ref().map(text),
        waiting: r.waiting.map(|w| w.reason),
        id: r.id,
        workflow: r.workflow,
        input: r.input.to_string(),
        started_at: ms(r.started_at),
        finished_at: r.finished_at.map(ms),
    }
}

impl CallState {
    fn workflows(&self) -> Result<Workflows, Error> {
        self.services.workflows().cloned().map_err(|e| error(e.code(), e.status(), &e))
    }

    fn full_name(&self, name: &str) -> String {
        if name.contains('.') { name.to_owned() } else { format!("{}.{name}", self.plugin.id) }
    }

    async fn require_schedules(&mut self) -> Result<(), Error> {
        self.services.access.require(&self.info.who, Permission::WorkflowRun, &[]).await.map_err(|e| error(e.code(), 403, e))
    }
}

impl RunsHost for CallState {
    async fn start(&mut self, workflow: String, input: String, key: Option<String>) -> Result<Run, Error> {
        let _span = self.span("plenum:workflow/runs.start");
        let input = serde_json::from_str(&input).map_err(|e| bad_json("input", &e))?;
        let name = self.full_name(&workflow);
        self.workflows()?.start(&self.info.who, &name, input, key.as_deref()).await.map(run).map_err(failed)
    }

    async fn get(&mut self, id: String) -> Result<Option<Run>, Error> {
        let _span = self.span("plenum:workflow/runs.get");
        match self.workflows()?.run(&self.info.who, &id).await {
            Ok(r) => Ok(Some(run(r))),
            Err(WorkflowError::NotFound(_)) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    async fn cancel(&mut self, id: String) -> Result<(), Error> {
        let _span = self.span("plenum:workflow/runs.cancel");
        self.workflows()?.cancel(&self.info.who, &id, None).await.map(|_| ()).map_err(failed)
    }
}

impl SchedulesHost for CallState {
    async fn put(&mut self, s: Schedule) -> Result<(), Error> {
        let _span = self.span("plenum:workflow/schedules.put");
        self.require_schedules().await?;
        let input = serde_json::from_str(&s.input).map_err(|e| bad_json("input", &e))?;
        let workflow = self.full_name(&s.workflow);
        let spec = ScheduleSpec {
            name: s.name,
            cron: s.cron,
            timezone: s.timezone,
            target: Target::Workflow(workflow),
            input,
            enabled: s.enabled,
            owner_plugin: Some(self.plugin.id.clone()),
        };
        self.workflows()?.put_schedule(&self.info.who, spec).await.map(|_| ()).map_err(failed)
    }

    async fn list(&mut self) -> Result<Vec<Schedule>, Error> {
        let _span = self.span("plenum:workflow/schedules.list");
        self.require_schedules().await?;
        let mut out = Vec::new();
        let mut query = ListQuery { limit: 500, ..ListQuery::default() };
        loop {
            let page = self.workflows()?.schedules(&self.info.who, &query).await.map_err(failed)?;
            for s in page.items.into_iter().filter(|s| s.spec.owner_plugin.as_deref() == Some(self.plugin.id.as_str())) {
                let Target::Workflow(workflow) = s.spec.target else { continue };
                out.push(Schedule {
                    name: s.spec.name,
                    cron: s.spec.cron,
                    timezone: s.spec.timezone,
                    workflow,
                    input: s.spec.input.to_string(),
                    enabled: s.spec.enabled,
                });
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() || out.len() >= 5_000 {
                return Ok(out);
            }
        }
    }

    async fn delete(&mut self, name: String) -> Result<(), Error> {
        let _span = self.span("plenum:workflow/schedules.delete");
        self.require_schedules().await?;
        let mut query = ListQuery { search: Some(name.clone()), limit: 500, ..ListQuery::default() };
        loop {
            let page = self.workflows()?.schedules(&self.info.who, &query).await.map_err(failed)?;
            let own = page.items.iter().find(|s| s.spec.name == name && s.spec.owner_plugin.as_deref() == Some(self.plugin.id.as_str()));
            if let Some(s) = own {
                return self.workflows()?.delete_schedule(&self.info.who, &s.id).await.map(|_| ()).map_err(failed);
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn next_times(&mut self, cron: String, timezone: String, count: u32) -> Result<Vec<String>, Error> {
        let _span = self.span("plenum:workflow/schedules.next-times");
        let times = plenum_workflow::next_times(&cron, &timezone, plenum_store::now_ms(), count.clamp(1, 20) as usize).map_err(failed)?;
        Ok(times.into_iter().map(crate::rfc3339).collect())
    }
}
