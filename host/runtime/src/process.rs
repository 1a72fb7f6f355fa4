//! `job.process`: what a workflow's `run: shell`, `script` and `container` become. A process runs on nodes, through the agent, never
//! on the host.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine as _;
use plenum_jobs::{ResultQuery, RunRequest, TargetResult};
use plenum_workflow::{ActionContext, ActionError};
use serde_json::{Value as Json, json};

use crate::service::Plugins;

/// Output of one target that a task gets; more of it is in the execution.
const OUTPUT: u32 = 256 * 1024;
/// Output of all targets together.
const ALL: usize = 768 * 1024;

fn wrong(detail: impl Into<String>) -> ActionError {
    ActionError::new("action.input", 422, "The input is not valid", detail.into())
}

/// A word for the shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn coded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn text_of(v: &Json) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

fn arguments(process: &Json) -> Result<Vec<String>, ActionError> {
    match process.get("arguments") {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(a)) => Ok(a.iter().map(text_of).collect()),
        Some(_) => Err(wrong("`arguments` is a list")),
    }
}

/// The script that does it, and its interpreter.
fn script(kind: &str, process: &Json) -> Result<(&'static str, String, Vec<String>), ActionError> {
    let text = |key: &str| process.get(key).and_then(Json::as_str).unwrap_or_default();
    let stdin = process.get("stdin").filter(|s| !s.is_null()).map(text_of);
    let args = arguments(process)?;
    let piped = |code: &str| match &stdin {
        None => code.to_owned(),
        Some(s) => format!("printf %s {} | base64 -d | (\n{code}\n)\n", quoted(&coded(s))),
    };
    match (kind, text("language")) {
        ("shell", _) => Ok(("sh", piped(text("command")), args)),
        ("script", language @ ("sh" | "bash")) => Ok((if language == "sh" { "sh" } else { "bash" }, piped(text("code")), args)),
        ("script", "python") if stdin.is_none() => Ok(("python3", text("code").to_owned(), args)),
        ("script", language) => {
            // Its text and its standard input are two things: one has to be a file. It goes when the script ends.
            let (program, file) = if language == "python" { ("python3", "script.py") } else { ("node", "script.mjs") };
            let mut s = "d=$(mktemp -d) || exit 125\ntrap 'rm -rf \"$d\"' EXIT\n".to_owned();
            let _ = writeln!(s, "printf %s {} | base64 -d > \"$d/{file}\"", quoted(&coded(text("code"))));
            let _ = writeln!(s, "printf %s {} | base64 -d > \"$d/stdin\"", quoted(&coded(stdin.as_deref().unwrap_or_default())));
            let _ = writeln!(s, "{program} \"$d/{file}\" \"$@\" < \"$d/stdin\"");
            Ok(("sh", s, args))
        }
        ("container", _) => Ok(("sh", piped(&container(process)?), args)),
        (other, _) => Err(wrong(format!("`{other}` is no process; shell, script and container are"))),
    }
}

/// The command that runs a container with the node's engine.
fn container(process: &Json) -> Result<String, ActionError> {
    let text = |key: &str| process.get(key).and_then(Json::as_str).unwrap_or_default();
    let mut s = "e=$(command -v podman || command -v docker) || { echo 'this node has neither podman nor docker' >&2; exit 125; }\nexec \"$e\" run -i".to_owned();
    match process.pointer("/lifetime/cleanup").and_then(Json::as_str) {
        None | Some("always") => s.push_str(" --rm"),
        Some("never") => {}
        Some(_) => return Err(wrong("`lifetime.cleanup` is always or never here")),
    }
    match text("pullPolicy") {
        "" => {}
        "ifNotPresent" => s.push_str(" --pull missing"),
        "always" => s.push_str(" --pull always"),
        "never" => s.push_str(" --pull never"),
        _ => return Err(wrong("`pullPolicy` is ifNotPresent, always or never")),
    }
    if !text("name").is_empty() {
        let _ = write!(s, " --name {}", quoted(text("name")));
    }
    for (key, flag) in [("ports", "-p"), ("volumes", "-v")] {
        if let Some(map) = process.get(key).and_then(Json::as_object) {
            for (outside, inside) in map {
                let _ = write!(s, " {flag} {}", quoted(&format!("{outside}:{}", text_of(inside))));
            }
        }
    }
    // Names only: values come from the process' environment, where no list of processes shows them.
    for name in process.get("environment").and_then(Json::as_object).into_iter().flat_map(|o| o.keys()) {
        let _ = write!(s, " -e {}", quoted(name));
    }
    let _ = write!(s, " -- {}", quoted(text("image")));
    if !text("command").is_empty() {
        let _ = write!(s, " sh -c {} sh", quoted(text("command")));
    }
    s.push_str(" \"$@\"\n");
    Ok(s)
}

/// What the task gets of one target.
fn answer(back: &str, r: &TargetResult) -> Json {
    let (out, err) = (r.stdout.clone().unwrap_or_default(), r.stderr.clone().unwrap_or_default());
    match back {
        "stdout" => out.into(),
        "stderr" => err.into(),
        "code" => json!(r.exit_code),
        "all" => json!({ "code": r.exit_code, "stdout": out, "stderr": err }),
        _ => Json::Null,
    }
}

impl Plugins {
    /// Runs the process and answers what it said: of one target as it is, of several as a list by target.
    pub(crate) async fn process(&self, ctx: &ActionContext, input: &Json) -> Result<Json, ActionError> {
        let text = |key: &str| input.get(key).and_then(Json::as_str).unwrap_or_default();
        let process = input.get("process").cloned().unwrap_or_default();
        let targets = input.get("targets").filter(|t| !t.is_null()).cloned().ok_or_else(|| {
            wrong("where it runs is not said: give the task `metadata: {targets: ..}`, or the run an input with `targets`, as those of job.run")
        })?;
        let (language, content, args) = script(text("kind"), &process)?;
        let env: BTreeMap<String, String> = match process.get("environment") {
            None | Some(Json::Null) => BTreeMap::new(),
            Some(Json::Object(o)) => o.iter().map(|(k, v)| (k.clone(), text_of(v))).collect(),
            Some(_) => return Err(wrong("`environment` is an object")),
        };
        let mut request = json!({
            "name": ctx.task.rsplit('/').next().unwrap_or_default(), "script": {"language": language, "content": content},
            "args": args, "env": env, "targets": targets,
        });
        if let Some(r) = request.as_object_mut() {
            for key in ["user", "cwd", "timeout_s", "concurrency"] {
                if let Some(v) = input.get(key) {
                    r.insert(key.to_owned(), v.clone());
                }
            }
        }
        let request: RunRequest = serde_json::from_value(request).map_err(|e| wrong(format!("the process: {e}")))?;
        if input.get("await").and_then(Json::as_bool) == Some(false) {
            let execution = self.begin_job(ctx, request).await?;
            return Ok(json!({ "execution": execution.id }));
        }
        let ended = self.run_job(ctx, request).await?;
        let back = text("return");
        let error = |e: plenum_jobs::JobsError| ActionError::new(e.code(), 500, "The results cannot be read", e.to_string()).retryable();
        let query =
            ResultQuery { limit: 1000, head_bytes: if back == "none" || back == "code" { 4096 } else { OUTPUT }, ..ResultQuery::default() };
        let results = self.services().jobs.results(&ctx.who, &ended.id, &query).await.map_err(error)?.items;
        // Who asks for the code wants to decide by it.
        let tolerant = matches!(back, "code" | "all");
        if let Some(bad) = results.iter().find(|r| r.exit_code.is_none() || (!tolerant && r.exit_code != Some(0))) {
            let failed = results.iter().filter(|r| r.exit_code != Some(0)).count();
            let said: String =
                bad.stderr.clone().unwrap_or_default().chars().rev().take(500).collect::<Vec<_>>().into_iter().rev().collect();
            let how = match (bad.exit_code, &bad.message) {
                (Some(c), _) => format!("exit code {c}"),
                (None, Some(m)) => m.clone(),
                (None, None) => "it did not run to its end".into(),
            };
            let detail =
                format!("{failed} of {} targets failed; {}: {how}. {said} (execution {})", ended.summary.total, bad.node_name, ended.id);
            return Err(ActionError::new("jobs.process_failed", 500, "The process failed", detail));
        }
        let mut answers: Vec<Json> = results.iter().map(|r| answer(back, r)).collect();
        if ended.summary.total == 1 {
            return Ok(answers.pop().unwrap_or_default());
        }
        if answers.iter().map(|a| a.to_string().len()).sum::<usize>() > ALL || results.len() as u64 != ended.summary.total {
            let detail = format!(
                "the output of {} targets is more than a task may have; use `return: code`, or job.run and read the execution {}",
                ended.summary.total, ended.id
            );
            return Err(ActionError::new("jobs.too_much_output", 413, "Too much output", detail));
        }
        Ok(results.iter().zip(answers).map(|(r, a)| json!({ "node": r.node_id, "name": r.node_name, back: a })).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(kind: &str, process: &Json, env: &[(&str, &str)]) -> String {
        let (language, content, args) = script(kind, process).unwrap();
        let out =
            std::process::Command::new(language).arg("-c").arg(content).arg("x").args(args).envs(env.iter().copied()).output().unwrap();
        String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap()
    }

    #[test]
    fn stdin_and_arguments_reach_the_process() {
        let shell = json!({"command": "input=$(cat)\necho \"STDIN was: $input\"\necho \"ARGS are $1 $2\"", "stdin": "it's \"here\"", "arguments": ["Foo", 2]});
        assert_eq!(run("shell", &shell, &[]), "STDIN was: it's \"here\"\nARGS are Foo 2\n");
        let python =
            json!({"language": "python", "code": "import sys\nprint(sys.stdin.read(), sys.argv[1:])", "stdin": "x", "arguments": ["a b"]});
        assert_eq!(run("script", &python, &[]), "x ['a b']\n");
    }

    #[test]
    fn a_container_is_run_with_what_the_node_has_and_nothing_reaches_the_shell() {
        let dir = tempfile::tempdir().unwrap();
        let podman = dir.path().join("podman");
        std::fs::write(&podman, "#!/bin/sh\nfor a in \"$@\"; do echo \"[$a]\"; done\n").unwrap();
        std::fs::set_permissions(&podman, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let p = json!({"image": "a'; rm -rf /", "command": "echo $1", "arguments": ["x y"], "environment": {"A": "secret"}, "ports": {"80": 8080}, "name": "n"});
        let said = run("container", &p, &[("PATH", &path)]);
        let wanted =
            "[run]\n[-i]\n[--rm]\n[--name]\n[n]\n[-p]\n[80:8080]\n[-e]\n[A]\n[--]\n[a'; rm -rf /]\n[sh]\n[-c]\n[echo $1]\n[sh]\n[x y]\n";
        assert_eq!(said, wanted);
        assert!(script("container", &json!({"image": "x", "lifetime": {"cleanup": "eventually"}})).is_err());
    }
}
