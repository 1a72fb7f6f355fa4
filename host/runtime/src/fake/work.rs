//! Jobs, workflows and schedules of the fake host: jobs do at once what the fixtures say, runs stay where they begin.

use plenum_access::Permission;
use serde_json::{Value as Json, json};

use super::fixtures::{Job, Target};
use super::value::bytes_json;
use super::world::{Args, World, page, read_json};
use super::{Refusal, refusal};

fn status(t: &Target) -> &str {
    match (&t.status, t.exit_code) {
        (Some(s), _) => s,
        (None, None | Some(0)) => "succeeded",
        (None, Some(_)) => "failed",
    }
}

fn result(t: &Target) -> Json {
    let code = t.exit_code.or(if status(t) == "succeeded" { Some(0) } else { None });
    let reason = t.reason.clone().or_else(|| code.filter(|c| *c != 0).map(|c| format!("the script ended with {c}")));
    json!({
        "node_id": t.node, "node_name": t.name.as_ref().unwrap_or(&t.node), "status": status(t), "reason": reason,
        "exit_code": code, "duration_ms": code.map(|_| 1), "stdout_bytes": t.stdout.len(), "stderr_bytes": t.stderr.len(), "truncated_bytes": 0,
    })
}

impl World {
    pub(super) fn executions(&mut self, function: &str, a: &Args<'_>) -> Result<Json, Refusal> {
        self.allowed(if matches!(function, "run" | "cancel") { Permission::JobsRun } else { Permission::JobsRead }, &[])?;
        let id = a.text("id");
        let found = |w: &World| w.executions.iter().position(|e| e.get("id").and_then(Json::as_str) == Some(&id));
        let gone = || refusal("jobs.not_found", 404, format!("there is no execution {id}"));
        match function {
            "run" => self.run_job(a),
            "get" => Ok(found(self).and_then(|n| self.executions.get(n)).cloned().unwrap_or_default()),
            "results" => {
                let job = self.ran.get(&id).ok_or_else(gone)?;
                page(job.targets.iter().map(result).collect(), a.maybe("cursor").as_deref(), a.number("limit"), 500)
            }
            "output" => {
                let node = a.text("node_id");
                let t = self.ran.get(&id).ok_or_else(gone)?.targets.iter().find(|t| t.node == node);
                let t = t.ok_or_else(|| refusal("jobs.not_found", 404, format!("the execution {id} has no node {node}")))?;
                let text = if a.text("stream") == "stdout" { &t.stdout } else { &t.stderr };
                let from = usize::try_from(a.number("offset")).unwrap_or(usize::MAX);
                let limit = usize::try_from(a.number("limit").clamp(1, 1 << 20)).unwrap_or(1);
                Ok(bytes_json(text.bytes().skip(from).take(limit).collect()))
            }
            "cancel" => {
                let n = found(self).ok_or_else(gone)?;
                if let Some(e) = self.executions.get_mut(n).and_then(Json::as_object_mut) {
                    e.insert("status".into(), json!("cancelled"));
                }
                Ok(Json::Null)
            }
            other => Err(refusal("fake.unknown", 501, format!("the fake jobs do not know {other}"))),
        }
    }

    fn run_job(&mut self, a: &Args<'_>) -> Result<Json, Refusal> {
        let request = read_json(a.get("request"), "request")?;
        // The same words as those of the host: a request that it would not take must not pass here.
        let request: plenum_jobs::RunRequest =
            serde_json::from_value(request).map_err(|e| refusal("request.json", 400, format!("request is not valid JSON: {e}")))?;
        let same = |e: &&Json| request.key.is_some() && e.get("key").and_then(Json::as_str) == request.key.as_deref();
        if let Some(there) = self.executions.iter().find(same) {
            return Ok(there.clone());
        }
        let Some(job) = self.jobs.pop_front() else {
            let message = format!("no job was expected, and {:?} was asked for; say what it does under [[jobs]] of the case", request.name);
            return Err(refusal("jobs.no_targets", 422, message));
        };
        let succeeded = job.targets.iter().filter(|t| status(t) == "succeeded").count();
        let failed = job.targets.len() - succeeded;
        let state = match (succeeded, failed) {
            (_, 0) => "succeeded",
            (0, _) => "failed",
            _ => "partial",
        };
        let id = self.id("execution");
        let e = json!({
            "id": id, "name": request.name, "status": state, "total": job.targets.len(), "pending": 0, "running": 0,
            "succeeded": succeeded, "failed": failed, "created_at": self.now, "finished_at": self.now, "key": request.key,
        });
        self.executions.push(e.clone());
        self.ran.insert(id, Job { targets: job.targets });
        Ok(e)
    }

    pub(super) fn workflow_runs(&mut self, function: &str, a: &Args<'_>) -> Result<Json, Refusal> {
        let read = function == "get";
        let (id, now) = (a.text("id"), self.now);
        match function {
            "start" => {
                let name = a.text("workflow");
                let own = name.strip_prefix(&format!("{}.", self.manifest.id)).unwrap_or(&name).to_owned();
                let is_own = self.manifest.workflows.iter().any(|w| w.name == own);
                let touches = [("workflows", name.as_str())];
                self.allowed(Permission::WorkflowRun, if is_own { &[] } else { &touches })?;
                if !is_own && !name.contains('.') {
                    return Err(refusal("workflow.not_found", 404, format!("the plugin brings no workflow {name}")));
                }
                a.json("input")?;
                let key = a.maybe("key");
                let same = |(k, r): &&(Option<String>, Json)| key.is_some() && *k == key && r.get("workflow") == Some(&json!(name));
                if let Some((_, there)) = self.runs.iter().find(same) {
                    return Ok(there.clone());
                }
                let run = json!({
                    "id": self.id("run"), "workflow": name, "status": "running", "input": a.text("input"), "output": null, "error": null,
                    "waiting": null, "started_at": now, "finished_at": null,
                });
                self.runs.push((key, run.clone()));
                Ok(run)
            }
            _ => {
                self.allowed(if read { Permission::WorkflowRead } else { Permission::WorkflowRun }, &[])?;
                let found = self.runs.iter_mut().map(|(_, r)| r).find(|r| r.get("id").and_then(Json::as_str) == Some(&id));
                if read {
                    return Ok(found.map_or(Json::Null, |r| r.clone()));
                }
                let run = found
                    .and_then(Json::as_object_mut)
                    .ok_or_else(|| refusal("workflow.not_found", 404, format!("there is no run {id}")))?;
                run.insert("status".into(), json!("cancelled"));
                run.insert("finished_at".into(), json!(now));
                Ok(Json::Null)
            }
        }
    }

    pub(super) fn workflow_schedules(&mut self, function: &str, a: &Args<'_>) -> Result<Json, Refusal> {
        self.allowed(Permission::WorkflowRun, &[])?;
        let times = |cron: &str, zone: &str, now: i64, n: usize| {
            plenum_workflow::next_times(cron, zone, now, n).map_err(|e| refusal("schedule.invalid", 422, e.to_string()))
        };
        match function {
            "put" => {
                let s = a.get("schedule");
                let of = |name: &str| s.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
                times(&of("cron"), &of("timezone"), self.now, 1)?;
                self.schedules.insert(of("name"), s.clone());
                Ok(Json::Null)
            }
            "list" => Ok(self.schedules.values().cloned().collect()),
            "delete" => {
                self.schedules.remove(&a.text("name"));
                Ok(Json::Null)
            }
            _ => {
                let zone = a.text("timezone");
                let n = usize::try_from(a.number("count").min(20)).unwrap_or(20);
                let found = times(&a.text("cron"), &zone, self.now, n)?;
                Ok(found.into_iter().map(|t| json!(crate::rfc3339(t))).collect())
            }
        }
    }
}
