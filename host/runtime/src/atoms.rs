//! What workflows can call: the host's own atoms and the actions of the loaded plugins.

use async_trait::async_trait;
use plenum_access::{Actor, Principal};
use plenum_jobs::RunRequest;
use plenum_workflow::{ActionContext, ActionError, ActionHost, ActionInfo};
use serde_json::{Value as Json, json};

use crate::RuntimeError;
use crate::interfaces::{cmdb_status, jobs_status};
use crate::package::Text;
use crate::plugin::{FIRE, Loaded};
use crate::service::Plugins;

struct Atom {
    name: &'static str,
    title: (&'static str, &'static str),
    description: (&'static str, &'static str),
    input: fn() -> Json,
}

const ATOMS: &[Atom] = &[
    Atom {
        name: "cmdb.query",
        title: ("Query the CMDB", "查询 CMDB"),
        description: (
            "Instances of a model that match a CEL filter; answers items, next_cursor and total.",
            "返回模型中符合 CEL 条件的实例。",
        ),
        input: || {
            json!({"type": "object", "required": ["model"], "additionalProperties": false, "properties": {
                "model": {"type": "string"}, "filter": {"type": "string"}, "sort": {"type": "string"}, "cursor": {"type": ["string", "null"]},
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000}}})
        },
    },
    Atom {
        name: "cmdb.get",
        title: ("Read a CMDB instance", "读取 CMDB 实例"),
        description: ("One instance; an error with status 404 when there is none.", "读取一个实例；不存在时返回 404 错误。"),
        input: || json!({"type": "object", "required": ["model", "id"], "additionalProperties": false, "properties": {"model": {"type": "string"}, "id": {"type": "string"}}}),
    },
    Atom {
        name: "cmdb.create",
        title: ("Create a CMDB instance", "创建 CMDB 实例"),
        description: (
            "Creates an instance from attributes. Repeated after a crash it may find the unique key taken by itself.",
            "根据属性创建实例。",
        ),
        input: || {
            json!({"type": "object", "required": ["model", "attributes"], "additionalProperties": false,
                "properties": {"model": {"type": "string"}, "attributes": {"type": "object"}, "why": {"type": "string"}}})
        },
    },
    Atom {
        name: "cmdb.update",
        title: ("Change a CMDB instance", "修改 CMDB 实例"),
        description: ("Changes attributes; null removes one.", "修改属性；null 表示删除该属性。"),
        input: || {
            json!({"type": "object", "required": ["model", "id", "attributes"], "additionalProperties": false,
                "properties": {"model": {"type": "string"}, "id": {"type": "string"}, "attributes": {"type": "object"}, "version": {"type": "integer"}, "why": {"type": "string"}}})
        },
    },
    Atom {
        name: "change-request",
        title: ("Request a change", "申请变更"),
        description: (
            "Asks for a change of CMDB records and waits: for those whom rules name, and until it is written. Answers id, state and records; fails when it was rejected or stopped.",
            "申请变更 CMDB 记录并等待审批与写入，返回 id、state 和 records；被拒绝或中止时失败。",
        ),
        input: crate::changes::input,
    },
    Atom {
        name: "job.run",
        title: ("Run a script", "执行脚本"),
        description: (
            "Runs a script on targets and waits for the end; answers execution, status, summary, and results: what scripts print in a line PLENUM_RESULT={...}. Targets that fail do not fail the task: look at the summary.",
            "在目标上执行脚本并等待结束，返回执行编号、状态、汇总，以及脚本以 PLENUM_RESULT={...} 输出的结果。",
        ),
        input: || {
            json!({"type": "object", "required": ["script", "targets"], "properties": {
                "name": {"type": "string"}, "script": {"type": "object", "required": ["language", "content"], "properties": {
                    "language": {"enum": ["bash", "sh", "python3"]}, "content": {"type": "string"}}},
                "args": {"type": "array", "items": {"type": "string"}}, "env": {"type": "object", "additionalProperties": {"type": "string"}},
                "user": {"type": ["string", "null"]}, "cwd": {"type": ["string", "null"]}, "timeout_s": {"type": "integer", "minimum": 1},
                "wait_s": {"type": ["integer", "null"], "minimum": 0}, "targets": {"type": "object"}, "concurrency": {"type": ["integer", "null"]},
                "strategy": {"type": "object", "additionalProperties": false, "properties": {"batches": {"type": "string"},
                    "pause_s": {"type": "integer", "minimum": 0}, "tolerate": {"type": ["string", "null"]},
                    "total_timeout_s": {"type": ["integer", "null"], "minimum": 1}}}, "output_limit": {"type": ["integer", "null"]}}})
        },
    },
    Atom {
        name: "job.process",
        title: ("Run a process", "运行进程"),
        description: (
            "Runs a shell command, a script or a container on targets and answers its output. Write it as `run: shell`, `script` or `container`.",
            "在目标上运行命令、脚本或容器并返回其输出。请写作 `run: shell`、`script` 或 `container`。",
        ),
        input: || {
            json!({"type": "object", "required": ["kind", "process", "targets"], "properties": {
                "kind": {"enum": ["shell", "script", "container"]}, "process": {"type": "object"}, "targets": {"type": "object"},
                "return": {"enum": ["stdout", "stderr", "code", "all", "none"]}, "await": {"type": "boolean"}, "user": {"type": ["string", "null"]},
                "cwd": {"type": ["string", "null"]}, "timeout_s": {"type": "integer", "minimum": 1}, "concurrency": {"type": ["integer", "null"]}}})
        },
    },
    Atom {
        name: "http",
        title: ("Send an HTTP request", "发送 HTTP 请求"),
        description: (
            "One request to the public internet or an allowed network; answers the content. Write it as `call: http`.",
            "向公网或允许的网络发送一个请求，返回内容。",
        ),
        input: || {
            json!({"type": "object", "required": ["method", "endpoint"], "additionalProperties": false, "properties": {
                "method": {"type": "string"}, "endpoint": {}, "headers": {"type": "object"}, "query": {"type": "object"}, "body": {},
                "output": {"enum": ["content", "response", "raw"]}, "redirect": {"type": "boolean"}}})
        },
    },
    Atom {
        name: "openapi",
        title: ("Call an operation of an API", "调用 API 操作"),
        description: (
            "One operation of an API that an OpenAPI document describes. Write it as `call: openapi`.",
            "调用 OpenAPI 文档所描述的一个操作。",
        ),
        input: || {
            json!({"type": "object", "required": ["document", "operationId"], "additionalProperties": false, "properties": {
                "document": {"type": "object"}, "operationId": {"type": "string"}, "parameters": {"type": "object"}, "authentication": {},
                "output": {"enum": ["content", "response", "raw"]}, "redirect": {"type": "boolean"}}})
        },
    },
    Atom {
        name: "event.publish",
        title: ("Publish an event", "发布事件"),
        description: ("Publishes an event that plugins and streams can subscribe to.", "发布可被插件与事件流订阅的事件。"),
        input: || {
            json!({"type": "object", "required": ["type"], "additionalProperties": false,
                "properties": {"type": {"type": "string"}, "source": {"type": "string"}, "subject": {"type": "string"}, "data": {}}})
        },
    },
];

impl Atom {
    fn info(&self) -> ActionInfo {
        let text = |(en, zh): (&str, &str)| json!({"en": en, "zh": zh});
        ActionInfo {
            name: self.name.to_owned(),
            title: text(self.title),
            description: text(self.description),
            input_schema: Some((self.input)()),
            output_schema: None,
        }
    }
}

fn plugin_info(p: &Loaded) -> Vec<ActionInfo> {
    let text = |t: &Text| serde_json::to_value(t).unwrap_or(Json::Null);
    let schema = |s: &Option<(jsonschema::Validator, Json)>| s.as_ref().map(|(_, json)| json.clone());
    p.manifest
        .actions
        .iter()
        .map(|a| {
            let schemas = p.schemas.get(&a.name);
            ActionInfo {
                name: format!("{}.{}", p.id, a.name),
                title: text(&a.title),
                description: text(&a.description),
                input_schema: schemas.and_then(|s| schema(&s.input)),
                output_schema: schemas.and_then(|s| schema(&s.output)),
            }
        })
        .collect()
}

fn failed(e: RuntimeError) -> ActionError {
    let status = e.status();
    let retryable = e.retry_after().is_some() || matches!(e, RuntimeError::Store(_) | RuntimeError::State(_)) || status == 503;
    let error = ActionError::new(e.code(), status, "The action failed", e.to_string());
    if retryable { error.retryable() } else { error }
}

fn bad_input(name: &str, e: impl std::fmt::Display) -> ActionError {
    ActionError::new("action.input", 422, "The input is not valid", format!("{name}: {e}"))
}

impl Plugins {
    async fn atom(&self, ctx: &ActionContext, name: &str, input: Json) -> Result<Json, ActionError> {
        let s = self.services().clone();
        let text = |key: &str| input.get(key).and_then(Json::as_str).map(str::to_owned).unwrap_or_default();
        let cmdb = |e: plenum_cmdb::CmdbError| ActionError::new(e.code(), cmdb_status(&e), "The CMDB refused", e.to_string());
        let value = |v: plenum_cmdb::Instance| json!(v);
        match name {
            "cmdb.query" => {
                let query = plenum_cmdb::Query {
                    filter: Some(text("filter")),
                    search: None,
                    sort: crate::interfaces::sort(&text("sort")),
                    cursor: input.get("cursor").and_then(Json::as_str).map(str::to_owned),
                    limit: input.get("limit").and_then(Json::as_u64).and_then(|l| u32::try_from(l).ok()).unwrap_or(100),
                    with_total: true,
                    ..plenum_cmdb::Query::default()
                };
                let page = s.cmdb.list(&ctx.who, &text("model"), &query).await.map_err(cmdb)?;
                Ok(json!({"items": page.items, "next_cursor": page.next_cursor, "total": page.total}))
            }
            "cmdb.get" => s.cmdb.get(&ctx.who, &text("model"), &text("id")).await.map(value).map_err(cmdb),
            "cmdb.create" => {
                let why = format!("workflow run {}", ctx.run_id);
                let why = Some(text("why")).filter(|w| !w.is_empty()).unwrap_or(why);
                let attributes = input.get("attributes").cloned().unwrap_or_default();
                s.cmdb.create(&ctx.who, &text("model"), attributes, Some(&why)).await.map(value).map_err(cmdb)
            }
            "cmdb.update" => {
                let why = format!("workflow run {}", ctx.run_id);
                let why = Some(text("why")).filter(|w| !w.is_empty()).unwrap_or(why);
                let version = input.get("version").and_then(Json::as_i64);
                let attributes = input.get("attributes").cloned().unwrap_or_default();
                s.cmdb.update(&ctx.who, &text("model"), &text("id"), attributes, version, Some(&why)).await.map(value).map_err(cmdb)
            }
            "change-request" => self.change_request(ctx, input).await,
            "job.run" => self.job(ctx, input).await,
            "job.process" => self.process(ctx, &input).await,
            "http" | "openapi" => self.web(ctx, name, &input).await,
            "event.publish" => {
                // Paths are the platform's own sources, so what a definition names counts when it is an address.
                let own = Some(text("source")).filter(|s| s.contains("://") && s.len() <= 500);
                let source = own.unwrap_or_else(|| format!("/workflows/runs/{}", ctx.run_id));
                let data = input.get("data").cloned().unwrap_or(Json::Null);
                crate::interfaces::publish(&s, &ctx.who, source, text("type"), text("subject"), data).await.map_err(failed)?;
                Ok(json!({}))
            }
            _ => Err(ActionError::new("action.unknown", 404, "No such action", format!("there is no action {name}"))),
        }
    }

    async fn job(&self, ctx: &ActionContext, input: Json) -> Result<Json, ActionError> {
        let request: RunRequest = serde_json::from_value(input).map_err(|e| bad_input("job.run", e))?;
        let ended = self.run_job(ctx, request).await?;
        // What scripts say of themselves, of as many targets as a task's value has room for; the API has all of them.
        let told = match self.services().jobs.structured(&ctx.who, &ended.id, 200).await {
            Ok(told) => told,
            // Who may run and not read is told how it ended, as ever.
            Err(plenum_jobs::JobsError::Access(_)) => Vec::new(),
            Err(e) => return Err(job_error(e)),
        };
        let results: Vec<Json> = told
            .into_iter()
            .map(|t| json!({"node_id": t.node_id, "node_name": t.node_name, "status": t.status, "exit_code": t.exit_code, "result": t.result}))
            .collect();
        Ok(
            json!({"execution": ended.id, "status": ended.status, "summary": ended.summary, "duration_ms": ended.duration_ms, "results": results}),
        )
    }

    /// Begins a job for a task; repeated after a crash this answers with the execution that is there.
    pub(crate) async fn begin_job(&self, ctx: &ActionContext, mut request: RunRequest) -> Result<plenum_jobs::Execution, ActionError> {
        request.key = Some(format!("wf/{}", ctx.key));
        request.origin = Some(format!("workflow-run/{}", ctx.run_id));
        self.services().jobs.run(&ctx.who, request).await.map_err(job_error)
    }

    /// Runs a job for a task to its end.
    pub(crate) async fn run_job(&self, ctx: &ActionContext, request: RunRequest) -> Result<plenum_jobs::Execution, ActionError> {
        let jobs = self.services().jobs.clone();
        let execution = self.begin_job(ctx, request).await?;
        let what = match execution.status {
            plenum_jobs::ExecutionStatus::WaitingApproval => "another person's approval of job",
            _ => "job",
        };
        ctx.waiting.waiting(format!("{what} {} on {} targets", execution.id, execution.summary.total), None);
        tokio::select! {
            ended = jobs.wait(&execution.id) => ended.map_err(job_error),
            () = ctx.cancel.cancelled() => {
                match jobs.cancel(&ctx.who, &execution.id).await {
                    Ok(_) | Err(plenum_jobs::JobsError::AlreadyFinished(_)) => {}
                    Err(e) => return Err(job_error(e)),
                }
                Err(ActionError::new("action.cancelled", 499, "Cancelled", format!("the job {} was cancelled with its run", execution.id)))
            }
        }
    }
}

fn job_error(e: plenum_jobs::JobsError) -> ActionError {
    let a = ActionError::new(e.code(), jobs_status(&e), "The job was refused", e.to_string());
    if matches!(e, plenum_jobs::JobsError::Busy(_) | plenum_jobs::JobsError::ShuttingDown) { a.retryable() } else { a }
}

#[async_trait]
impl ActionHost for Plugins {
    fn describe(&self, name: &str) -> Option<ActionInfo> {
        if let Some(a) = ATOMS.iter().find(|a| a.name == name) {
            return Some(a.info());
        }
        let (plugin, action) = name.rsplit_once('.')?;
        let plugin = self.loaded(plugin)?;
        if action == FIRE {
            return plugin.code.as_ref().is_some_and(|c| c.exports.fires()).then(|| ActionInfo {
                name: name.to_owned(),
                title: serde_json::to_value(&plugin.manifest.name).unwrap_or(Json::Null),
                description: Json::Null,
                input_schema: None,
                output_schema: None,
            });
        }
        plugin_info(&plugin).into_iter().find(|i| i.name == name)
    }

    fn list(&self) -> Vec<ActionInfo> {
        let mut out: Vec<ActionInfo> = ATOMS.iter().map(Atom::info).collect();
        for p in self.all_loaded() {
            out.extend(plugin_info(&p));
        }
        out
    }

    async fn principal(&self, actor: &Actor) -> Result<Principal, ActionError> {
        let user = async |id: &str, name: &str| {
            let found = self
                .services()
                .access
                .user(id)
                .await
                .map_err(|e| ActionError::new(e.code(), 500, "The user cannot be read", e.to_string()).retryable())?;
            match found {
                Some(u) if !u.disabled => Ok(u.principal()),
                _ => Err(ActionError::new(
                    "access.user_gone",
                    403,
                    "The user is gone",
                    format!("{name} has no open account any more; start it again as somebody who has"),
                )),
            }
        };
        match actor {
            Actor::User(u) => {
                let now = user(&u.id, &u.name).await?;
                // A token's role was less than its user's: it stays so.
                Ok(Principal::User(plenum_access::UserPrincipal { role: now.role.min(u.role), ..now }))
            }
            Actor::Plugin { id, on_behalf } => {
                let on_behalf = match on_behalf {
                    Some(u) => Some(user(&u.id, &u.name).await?),
                    None => None,
                };
                match self.settled(id).await {
                    Some(p) => Ok(p.principal(on_behalf)),
                    None => {
                        let e = ActionError::new(
                            "plugin.not_active",
                            409,
                            "The plugin is not active",
                            format!("the plugin {id} is not active; enable it, then start the run again"),
                        );
                        Err(e.retryable())
                    }
                }
            }
            Actor::Agent { node } => Ok(Principal::Agent { node: node.clone() }),
            Actor::System { .. } => Ok(Principal::System("workflow")),
        }
    }

    async fn call(&self, ctx: ActionContext, name: &str, input: Json) -> Result<Json, ActionError> {
        if ATOMS.iter().any(|a| a.name == name) {
            return self.atom(&ctx, name, input).await;
        }
        let (id, action) = name.rsplit_once('.').unwrap_or((name, ""));
        let inactive = || {
            let detail = format!("{name}: the plugin {id} is not active; install or enable it");
            ActionError::new("plugin.not_active", 409, "The plugin is not active", detail).retryable()
        };
        if self.loaded(id).is_none() {
            ctx.waiting.waiting(format!("the plugin {id} to be loaded"), None);
            let settled = tokio::select! {
                p = self.settled(id) => p,
                () = ctx.cancel.cancelled() => None,
            };
            if settled.is_none() {
                return Err(inactive());
            }
        }
        // A plugin acts for the person behind the run, when there is one.
        let user = ctx.who.user().cloned();
        self.may_call(&ctx.who, id, action).await.map_err(|e| failed(e.into()))?;
        let call = async {
            let (plugin, visit) = self.enter(id).await?;
            if action == FIRE {
                let id = input.get("id").and_then(Json::as_str).unwrap_or_default();
                plugin.fire(self.services(), visit, id, Some(ctx.key.clone())).await.map(|()| json!({}))
            } else {
                plugin.action(self.services(), visit, action, &input, user, Some(ctx.key.clone()), 0).await
            }
        };
        tokio::select! {
            r = call => r.map_err(failed),
            () = ctx.cancel.cancelled() => Err(ActionError::new("action.cancelled", 499, "Cancelled", format!("{name} was cancelled with its run"))),
        }
    }
}
