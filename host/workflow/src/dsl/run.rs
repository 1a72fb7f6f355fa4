//! `run`: sub-flows, and processes on nodes. A process never runs on the host: it is a job.

use serde_json::{Map, Value, json};

use super::parse::{Parser, step};
use super::{Kind, Template};

/// The engine's own action that starts another workflow and waits for its end.
pub const SUB_FLOW: &str = "workflow.run";
/// The action that runs a process on nodes.
pub const PROCESS: &str = "job.process";
/// Where a process runs when nobody says: the run's input names it.
const TARGETS: &str = "$workflow.input.targets";

impl Parser<'_> {
    /// `run`, with the `metadata` of its task.
    pub(super) fn run(&mut self, o: &Map<String, Value>, pointer: &str, scope: &[String]) -> Option<Kind> {
        let at = step(pointer, "run");
        let run = self.object(o.get("run")?, &at, "`run`")?;
        self.only(run, &at, &["workflow", "shell", "script", "container", "await", "return"]);
        let kinds: Vec<&str> = ["workflow", "shell", "script", "container"].into_iter().filter(|k| run.contains_key(*k)).collect();
        let [kind] = kinds.as_slice() else {
            self.problem(&at, "exactly one of workflow, shell, script, container is required");
            return None;
        };
        let place = step(&at, kind);
        let what = run.get(*kind)?;
        let own = self.object(what, &place, "it")?.clone();
        let wait = match run.get("await") {
            None => true,
            Some(Value::Bool(b)) => *b,
            Some(_) => {
                self.problem(&step(&at, "await"), "`await` is true or false");
                return None;
            }
        };
        let back = run.get("return").and_then(Value::as_str).unwrap_or("stdout");
        if !["stdout", "stderr", "code", "all", "none"].contains(&back) || run.get("return").is_some_and(|r| !r.is_string()) {
            self.problem(&step(&at, "return"), "`return` is stdout, stderr, code, all or none");
            return None;
        }
        if *kind == "workflow" {
            self.only(&own, &place, &["namespace", "name", "version", "input"]);
            for field in ["namespace", "name", "version"] {
                if own.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                    self.problem(&step(&place, field), format!("`{field}` is required and must be text"));
                }
            }
            let mut parts = vec![("await".to_owned(), Template::Literal(wait.into()))];
            for (k, v) in &own {
                parts.push((k.clone(), self.template(v, &step(&place, k), scope)));
            }
            self.action(SUB_FLOW, &at);
            return Some(Kind::Run { action: SUB_FLOW.into(), with: Template::Object(parts) });
        }
        let (allowed, needed): (&[&str], &str) = match *kind {
            "shell" => (&["command", "arguments", "environment", "stdin"], "command"),
            "script" => (&["language", "code", "source", "arguments", "environment", "stdin"], "code"),
            _ => {
                (&["image", "name", "command", "ports", "volumes", "environment", "stdin", "arguments", "pullPolicy", "lifetime"], "image")
            }
        };
        self.only(&own, &place, allowed);
        if own.contains_key("source") {
            self.problem(&step(&place, "source"), "scripts from elsewhere are not supported; write the text as `code`");
        } else if !own.contains_key(needed) {
            self.problem(&step(&place, needed), format!("`{needed}` is required"));
        }
        if *kind == "script" {
            let language = own.get("language").and_then(Value::as_str).unwrap_or_default();
            if !["python", "javascript", "js", "sh", "bash"].contains(&language) {
                self.problem(&step(&place, "language"), "`language` is python, javascript, sh or bash");
            }
        }
        let mut parts = vec![
            ("kind".to_owned(), Template::Literal((*kind).into())),
            ("return".to_owned(), Template::Literal(back.into())),
            ("await".to_owned(), Template::Literal(wait.into())),
        ];
        parts.push(("process".to_owned(), self.template(what, &place, scope)));
        let mut named = false;
        if let Some(m) = o.get("metadata").and_then(Value::as_object) {
            for key in ["targets", "user", "cwd", "timeout_s", "concurrency"] {
                if let Some(v) = m.get(key) {
                    named |= key == "targets";
                    let t = self.template(v, &step(&step(pointer, "metadata"), key), scope);
                    parts.push((key.to_owned(), t));
                }
            }
        }
        if !named {
            match self.targets.clone() {
                Some(t) => {
                    let t = self.template(&t, "/document/metadata/targets", scope);
                    parts.push(("targets".to_owned(), t));
                }
                None if *kind == "container" => {
                    let example = json!({ "nodes": ["<node id>"] });
                    self.problem(
                        &place,
                        format!("a container needs a node that has an engine (podman or docker): name it in the task's metadata, `targets: {example}`, or in document.metadata.targets"),
                    );
                    return None;
                }
                None => parts.push(("targets".to_owned(), Template::Expr(TARGETS.into()))),
            }
        }
        self.action(PROCESS, &at);
        Some(Kind::Run { action: PROCESS.into(), with: Template::Object(parts) })
    }

    /// Notes when the host has no such action.
    fn action(&mut self, name: &str, pointer: &str) {
        if self.known.is_some_and(|k| !k.has_action(name)) {
            self.problem(pointer, format!("this host has no action {name}, so this cannot work"));
        }
    }
}
