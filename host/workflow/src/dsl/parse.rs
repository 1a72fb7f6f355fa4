//! From a JSON value to a [`Workflow`], collecting every problem with its pointer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Flow, Kind, OUTSIDE, Schema, Task, Template, Then, Workflow};
use crate::error::Problem;
use crate::expr::{Jq, inner};

/// What a definition may name. For a stored definition nothing is asked: what it names may be gone, and the task says so then.
pub trait Known {
    /// Whether there is an action of that name.
    fn has_action(&self, name: &str) -> bool;
    /// All names, to tell the nearest.
    fn actions(&self) -> Vec<String>;
}

const MAX_NESTING: usize = 24;
const MAX_TASKS: usize = 2_000;
const BASE: &[&str] = &["if", "input", "output", "export", "timeout", "then", "metadata"];
const KINDS: &[&str] = &["do", "set", "call", "emit", "for", "fork", "switch", "try", "wait", "raise", "listen", "run"];
const GLOBALS: &[&str] = &["context", "input", "output", "task", "workflow", "runtime"];
const SUPPORTED: &str = "do, set, call, emit, for, fork, listen, run, switch, try, wait, raise";

/// Parses a definition. With `known`, names and expressions are checked too.
pub fn parse(source: &Value, known: Option<&dyn Known>, jq: &Jq) -> Result<Workflow, Vec<Problem>> {
    let mut p = Parser {
        known,
        jq,
        problems: Vec::new(),
        tasks: HashMap::new(),
        lists: HashMap::new(),
        functions: HashMap::new(),
        errors: BTreeMap::new(),
        retries: BTreeMap::new(),
        timeouts: BTreeMap::new(),
        authentications: BTreeMap::new(),
        targets: source.pointer("/document/metadata/targets").cloned(),
    };
    let workflow = p.workflow(source);
    match workflow {
        Some(w) if p.problems.is_empty() => Ok(w),
        _ => Err(p.problems),
    }
}

pub(super) struct Parser<'a> {
    pub(super) known: Option<&'a dyn Known>,
    jq: &'a Jq,
    problems: Vec<Problem>,
    tasks: HashMap<String, Arc<Task>>,
    lists: HashMap<String, Arc<Vec<String>>>,
    functions: HashMap<String, String>,
    pub(super) errors: BTreeMap<String, Value>,
    pub(super) retries: BTreeMap<String, Value>,
    pub(super) timeouts: BTreeMap<String, Value>,
    pub(super) authentications: BTreeMap<String, Value>,
    /// Where processes run when their task does not say.
    pub(super) targets: Option<Value>,
}

/// One step of a JSON pointer.
pub(super) fn step(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl Parser<'_> {
    pub(super) fn problem(&mut self, pointer: &str, message: impl Into<String>) {
        // A page of problems is enough to begin with.
        if self.problems.len() < 50 {
            self.problems.push(Problem { pointer: pointer.to_owned(), message: message.into() });
        }
    }

    pub(super) fn object<'v>(&mut self, v: &'v Value, pointer: &str, what: &str) -> Option<&'v Map<String, Value>> {
        let o = v.as_object();
        if o.is_none() {
            self.problem(pointer, format!("{what} must be an object"));
        }
        o
    }

    pub(super) fn only(&mut self, o: &Map<String, Value>, pointer: &str, allowed: &[&str]) {
        for key in o.keys() {
            if !allowed.contains(&key.as_str()) {
                self.problem(&step(pointer, key), format!("unknown property `{key}`; here are: {}", allowed.join(", ")));
            }
        }
    }

    fn workflow(&mut self, source: &Value) -> Option<Workflow> {
        let o = self.object(source, "", "the definition")?;
        for key in o.keys() {
            match key.as_str() {
                "document" | "input" | "use" | "do" | "timeout" | "output" | "schedule" | "evaluate" => {}
                other => self.problem(
                    &step("", other),
                    format!("unknown property `{other}`; here are: document, input, use, do, timeout, output, schedule, evaluate"),
                ),
            }
        }
        let (mut name, mut version, mut title, mut summary) = (String::new(), String::new(), None, None);
        match o.get("document").and_then(Value::as_object) {
            None => self.problem("/document", "`document` with dsl, namespace, name and version is required"),
            Some(d) => {
                self.only(d, "/document", &["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"]);
                for field in ["dsl", "namespace", "name", "version"] {
                    match d.get(field).and_then(Value::as_str) {
                        None => {
                            self.problem(&step("/document", field), format!("`{field}` is required and must be text (quote it: '1.0.0')"))
                        }
                        Some(v) if field == "dsl" && !(v == "1.0" || v.starts_with("1.0.")) => {
                            self.problem("/document/dsl", format!("DSL `{v}` is not supported; write 1.0.0 to 1.0.3"));
                        }
                        Some(v) if field == "name" => name = v.to_owned(),
                        Some(v) if field == "version" => version = v.to_owned(),
                        Some(_) => {}
                    }
                }
                title = d.get("title").and_then(Value::as_str).map(str::to_owned);
                summary = d.get("summary").and_then(Value::as_str).map(str::to_owned);
            }
        }
        if let Some(e) = o.get("evaluate")
            && let Some(e) = self.object(e, "/evaluate", "`evaluate`")
        {
            self.only(e, "/evaluate", &["language", "mode"]);
            if e.get("language").is_some_and(|l| l != "jq") {
                self.problem("/evaluate/language", "only jq is supported");
            }
            if e.get("mode").is_some_and(|l| l != "strict") {
                self.problem("/evaluate/mode", "only strict is supported: write expressions within data as ${ .. }");
            }
        }
        self.uses(o.get("use"));
        let scope: Vec<String> = Vec::new();
        let input = self.flow(o.get("input"), "/input", "from", &scope);
        let output = self.flow(o.get("output"), "/output", "as", &scope);
        let timeout = o.get("timeout").and_then(|t| self.timeout(t, "/timeout", &scope));
        let start = o.get("schedule").and_then(|s| self.schedule(s));
        match o.get("do") {
            None => self.problem("/do", "`do` with at least one task is required"),
            Some(tasks) => self.list(tasks, "/do", &scope, 0, true),
        }
        Some(Workflow {
            source: source.clone(),
            name,
            version,
            title,
            summary,
            input,
            output,
            timeout,
            start,
            tasks: std::mem::take(&mut self.tasks),
            lists: std::mem::take(&mut self.lists),
            functions: std::mem::take(&mut self.functions),
        })
    }

    fn uses(&mut self, uses: Option<&Value>) {
        let Some(uses) = uses else { return };
        let Some(o) = self.object(uses, "/use", "`use`") else { return };
        let o = o.clone();
        for (key, v) in &o {
            let at = step("/use", key);
            let Some(map) = self.object(v, &at, "it").cloned() else { continue };
            match key.as_str() {
                "errors" => self.errors = map.into_iter().collect(),
                "retries" => self.retries = map.into_iter().collect(),
                "timeouts" => self.timeouts = map.into_iter().collect(),
                "authentications" => self.authentications = map.into_iter().collect(),
                "functions" => {
                    // Names first, so that functions can call each other.
                    for name in map.keys() {
                        self.functions.insert(name.clone(), step(&at, name));
                    }
                }
                other => self.problem(
                    &at,
                    format!("`use.{other}` is not supported; supported are authentications, errors, functions, retries, timeouts"),
                ),
            }
        }
        for (name, v) in self.retries.clone() {
            self.retry(&v, &step("/use/retries", &name), &[]);
        }
        for (name, v) in self.timeouts.clone() {
            self.timeout(&v, &step("/use/timeouts", &name), &[]);
        }
        for (name, v) in self.authentications.clone() {
            self.authentication(&v, &step("/use/authentications", &name));
        }
        for (name, v) in self.errors.clone() {
            // Its expressions are checked where it is raised: only there the variables are known.
            self.error_shape(&v, &step("/use/errors", &name));
        }
        if let Some(Value::Object(functions)) = o.get("functions") {
            for (name, task) in functions {
                self.task(name, task, &step("/use/functions", name), &[], 1, &[]);
            }
        }
    }

    /// A list of tasks: `[{name: {..}}, ..]`.
    pub(super) fn list(&mut self, v: &Value, pointer: &str, scope: &[String], depth: usize, sequence: bool) {
        let Some(items) = v.as_array() else {
            return self.problem(pointer, "a list of tasks is required: `- name: {call: ..}`");
        };
        if items.is_empty() && sequence {
            self.problem(pointer, "the list has no task");
        }
        if depth > MAX_NESTING {
            return self.problem(pointer, format!("nested deeper than {MAX_NESTING} tasks; use `use.functions` or another workflow"));
        }
        let mut names: Vec<String> = Vec::new();
        for item in items {
            if let Some((name, _)) = item.as_object().filter(|o| o.len() == 1).and_then(|o| o.iter().next()) {
                names.push(name.clone());
            }
        }
        let mut pointers = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let at = format!("{pointer}/{i}");
            match item.as_object().filter(|o| o.len() == 1).and_then(|o| o.iter().next()) {
                None => self.problem(&at, "a task is an object with one key, its name: `- name: {call: ..}`"),
                Some((name, task)) => {
                    let at = step(&at, name);
                    if names.iter().filter(|n| *n == name).count() > 1 {
                        self.problem(&at, format!("the name `{name}` stands twice in this list"));
                    }
                    if ["continue", "exit", "end"].contains(&name.as_str()) {
                        self.problem(&at, format!("`{name}` is a flow directive and cannot be a task's name"));
                    }
                    self.task(name, task, &at, scope, depth, if sequence { &names } else { &[] });
                    pointers.push(at);
                }
            }
        }
        self.lists.insert(pointer.to_owned(), Arc::new(pointers));
    }

    fn then(&mut self, v: Option<&Value>, pointer: &str, siblings: &[String]) -> Then {
        match v {
            None => Then::Continue,
            Some(Value::String(s)) => match s.as_str() {
                "continue" => Then::Continue,
                "exit" => Then::Exit,
                "end" => Then::End,
                name => {
                    if !siblings.iter().any(|s| s == name) {
                        let hint = nearest(name, siblings).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                        self.problem(pointer, format!("there is no task `{name}` in this list (also possible: continue, exit, end){hint}"));
                    }
                    Then::Task(name.to_owned())
                }
            },
            Some(_) => {
                self.problem(pointer, "`then` is continue, exit, end or the name of a task in the same list");
                Then::Continue
            }
        }
    }

    fn task(&mut self, name: &str, v: &Value, pointer: &str, scope: &[String], depth: usize, siblings: &[String]) {
        if self.tasks.len() >= MAX_TASKS {
            if self.tasks.len() == MAX_TASKS {
                self.problem(pointer, format!("more than {MAX_TASKS} tasks; split the workflow"));
            }
            return;
        }
        let Some(o) = self.object(v, pointer, "a task") else { return };
        // `for` brings a `do` of its own.
        let kinds: Vec<&str> = KINDS.iter().copied().filter(|k| o.contains_key(*k) && !(*k == "do" && o.contains_key("for"))).collect();
        let kind = match kinds.as_slice() {
            [one] => *one,
            [] => return self.problem(pointer, format!("the task says not what to do; one of {SUPPORTED} is required")),
            many => {
                return self.problem(pointer, format!("the task does several things at once ({}); make one task of each", many.join(", ")));
            }
        };
        let extra: &[&str] = match kind {
            "call" => &["call", "with"],
            "for" => &["for", "while", "do"],
            "try" => &["try", "catch"],
            "listen" => &["listen", "foreach"],
            one => &[one],
        };
        let allowed: Vec<&str> = extra.iter().chain(BASE).copied().collect();
        self.only(o, pointer, &allowed);
        let condition = o.get("if").and_then(|c| self.expression(c, &step(pointer, "if"), scope));
        let input = self.flow(o.get("input"), &step(pointer, "input"), "from", scope);
        let output = self.flow(o.get("output"), &step(pointer, "output"), "as", scope);
        let export = self.flow(o.get("export"), &step(pointer, "export"), "as", scope);
        let timeout = o.get("timeout").and_then(|t| self.timeout(t, &step(pointer, "timeout"), scope));
        let then = self.then(o.get("then"), &step(pointer, "then"), siblings);
        let Some(kind) = self.kind(kind, o, pointer, scope, depth, siblings) else { return };
        let task = Task {
            pointer: pointer.to_owned(),
            name: name.to_owned(),
            source: v.clone(),
            condition,
            input,
            output,
            export,
            timeout,
            then,
            kind,
        };
        self.tasks.insert(pointer.to_owned(), Arc::new(task));
    }

    fn kind(
        &mut self,
        kind: &str,
        o: &Map<String, Value>,
        pointer: &str,
        scope: &[String],
        depth: usize,
        siblings: &[String],
    ) -> Option<Kind> {
        let at = step(pointer, kind);
        let value = o.get(kind)?;
        Some(match kind {
            "do" => {
                self.list(value, &at, scope, depth + 1, true);
                Kind::Do
            }
            "set" => Kind::Set(match value {
                Value::String(_) => Template::Expr(self.expression(value, &at, scope)?),
                Value::Object(_) => self.template(value, &at, scope),
                _ => {
                    self.problem(&at, "`set` takes an object or an expression ${ .. }");
                    return None;
                }
            }),
            "call" => {
                let Some(name) = value.as_str() else {
                    self.problem(&at, "`call` takes the name of an action");
                    return None;
                };
                if OUTSIDE.contains(&name) && !self.functions.contains_key(name) {
                    if self.known.is_some_and(|k| !k.has_action(name)) {
                        self.problem(&at, format!("this host has no action {name}, so `call: {name}` cannot work"));
                    }
                    let with = self.outside(name, o.get("with"), &step(pointer, "with"), scope);
                    return with.map(|with| Kind::Call { action: name.to_owned(), with: Some(with) });
                }
                let with = o.get("with").map(|w| self.template(w, &step(pointer, "with"), scope));
                if let Some(pointer) = self.functions.get(name) {
                    return Some(Kind::Function { pointer: pointer.clone(), with });
                }
                if let Some(known) = self.known
                    && !known.has_action(name)
                {
                    let message = if ["grpc", "asyncapi", "a2a", "mcp"].contains(&name) {
                        format!(
                            "`call: {name}` is not supported; call http, openapi, an action (cmdb.query, job.run, <plugin>.<action>, ..) or a function of use.functions"
                        )
                    } else {
                        let hint = nearest(name, &known.actions()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                        format!(
                            "there is no action `{name}`{hint} The list of actions shows what can be called; a plugin's actions need the plugin installed"
                        )
                    };
                    self.problem(&at, message);
                }
                Kind::Call { action: name.to_owned(), with }
            }
            "listen" => Kind::Listen(Box::new(self.listen(o, pointer, scope, depth)?)),
            "run" => self.run(o, pointer, scope)?,
            "emit" => {
                let with = value.get("event").and_then(|e| e.get("with"));
                let Some(with @ Value::Object(event)) = with else {
                    self.problem(&at, "`emit` needs event.with, with at least `type` and `source`");
                    return None;
                };
                let place = step(&step(&at, "event"), "with");
                for field in ["type", "source"] {
                    if !event.contains_key(field) {
                        self.problem(&step(&place, field), format!("`{field}` is required"));
                    }
                }
                if let Some(known) = self.known
                    && !known.has_action("event.publish")
                {
                    self.problem(&at, "this host has no action event.publish, so `emit` cannot work");
                }
                Kind::Emit(self.template(with, &place, scope))
            }
            "for" => {
                let f = self.object(value, &at, "`for`")?;
                self.only(f, &at, &["each", "in", "at"]);
                let each = self.variable(f.get("each"), &step(&at, "each"), "item");
                let index = self.variable(f.get("at"), &step(&at, "at"), "index");
                let collection = match f.get("in") {
                    Some(c) => self.expression(c, &step(&at, "in"), scope)?,
                    None => {
                        self.problem(&step(&at, "in"), "`in` is required: an expression that yields a list");
                        return None;
                    }
                };
                let mut within = scope.to_vec();
                within.extend([each.clone(), index.clone()]);
                let condition = o.get("while").and_then(|w| self.expression(w, &step(pointer, "while"), &within));
                let body = step(pointer, "do");
                match o.get("do") {
                    Some(tasks) => self.list(tasks, &body, &within, depth + 1, true),
                    None => self.problem(&body, "`for` needs `do` with the tasks for each item"),
                }
                Kind::For { each, at: index, collection, condition }
            }
            "fork" => {
                let f = self.object(value, &at, "`fork`")?;
                self.only(f, &at, &["branches", "compete"]);
                let compete = match f.get("compete") {
                    None => false,
                    Some(Value::Bool(b)) => *b,
                    Some(_) => {
                        self.problem(&step(&at, "compete"), "`compete` is true or false");
                        false
                    }
                };
                match f.get("branches") {
                    Some(b) => {
                        if b.as_array().is_some_and(Vec::is_empty) {
                            self.problem(&step(&at, "branches"), "the fork has no branch");
                        }
                        self.list(b, &step(&at, "branches"), scope, depth + 1, false);
                    }
                    None => self.problem(&step(&at, "branches"), "`branches` is required"),
                }
                Kind::Fork { compete }
            }
            "switch" => {
                let Some(items) = value.as_array().filter(|a| !a.is_empty()) else {
                    self.problem(&at, "`switch` takes a list of cases: `- name: {when: .., then: ..}`");
                    return None;
                };
                let (mut cases, mut defaults) = (Vec::new(), 0);
                for (i, item) in items.iter().enumerate() {
                    let here = format!("{at}/{i}");
                    let Some((name, case)) = item.as_object().filter(|o| o.len() == 1).and_then(|o| o.iter().next()) else {
                        self.problem(&here, "a case is an object with one key, its name");
                        continue;
                    };
                    let here = step(&here, name);
                    let Some(case) = self.object(case, &here, "a case") else { continue };
                    self.only(case, &here, &["when", "then"]);
                    let when = match case.get("when") {
                        Some(w) => Some(self.expression(w, &step(&here, "when"), scope)?),
                        None => {
                            defaults += 1;
                            None
                        }
                    };
                    if !case.contains_key("then") {
                        self.problem(&step(&here, "then"), "`then` is required in a case");
                    }
                    let then = self.then(case.get("then"), &step(&here, "then"), siblings);
                    cases.push((when, then));
                }
                if defaults > 1 {
                    self.problem(&at, "only one case may be without `when`");
                }
                Kind::Switch(cases)
            }
            "try" => {
                self.list(value, &at, scope, depth + 1, true);
                let place = step(pointer, "catch");
                let Some(c) = o.get("catch") else {
                    self.problem(&place, "`try` needs `catch`");
                    return None;
                };
                Kind::Try(Box::new(self.catch(c, &place, scope, depth)?))
            }
            "wait" => Kind::Wait(self.duration(value, &at, scope)?),
            "raise" => {
                let r = self.object(value, &at, "`raise`")?;
                self.only(r, &at, &["error"]);
                let place = step(&at, "error");
                match r.get("error") {
                    None => {
                        self.problem(&place, "`error` is required");
                        return None;
                    }
                    Some(Value::String(name)) => match self.errors.get(name).cloned() {
                        Some(e) => Kind::Raise(self.error(&e, &step("/use/errors", name), scope)),
                        None => {
                            self.problem(&place, format!("there is no error `{name}` under use.errors"));
                            return None;
                        }
                    },
                    Some(e) => Kind::Raise(self.error(e, &place, scope)),
                }
            }
            other => {
                self.problem(&at, format!("`{other}` tasks are not supported; supported are {SUPPORTED}"));
                return None;
            }
        })
    }

    pub(super) fn variable(&mut self, v: Option<&Value>, pointer: &str, default: &str) -> String {
        let name = match v {
            None => return default.to_owned(),
            Some(Value::String(s)) => s.trim_start_matches('$').to_owned(),
            Some(_) => String::new(),
        };
        let good = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good || name.starts_with("__") || name.len() > 64 {
            self.problem(pointer, "a variable's name consists of letters, digits and _");
        } else if GLOBALS.contains(&name.as_str()) {
            self.problem(pointer, format!("`{name}` is taken by the engine; choose another name"));
        }
        name
    }

    pub(super) fn flow(&mut self, v: Option<&Value>, pointer: &str, key: &str, scope: &[String]) -> Flow {
        let Some(v) = v else { return Flow::default() };
        let Some(o) = self.object(v, pointer, "it") else { return Flow::default() };
        self.only(o, pointer, &[key, "schema"]);
        let at = step(pointer, key);
        let expr = match o.get(key) {
            None => None,
            Some(e @ Value::String(_)) => self.expression(e, &at, scope).map(Template::Expr),
            Some(e) => Some(self.template(e, &at, scope)),
        };
        let schema = o.get("schema").and_then(|s| self.schema(s, &step(pointer, "schema")));
        Flow { expr, schema }
    }

    fn schema(&mut self, v: &Value, pointer: &str) -> Option<Schema> {
        let o = self.object(v, pointer, "`schema`")?;
        self.only(o, pointer, &["format", "document", "resource"]);
        if o.get("format").and_then(Value::as_str).is_some_and(|f| f.split(':').next() != Some("json")) {
            self.problem(&step(pointer, "format"), "only json schemas are supported");
            return None;
        }
        let Some(document) = o.get("document") else {
            self.problem(pointer, "`document` with the schema is required; external resources are not supported");
            return None;
        };
        match jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(document) {
            Ok(v) => Some(Schema { document: document.clone(), validator: Arc::new(v) }),
            Err(e) => {
                self.problem(&step(pointer, "document"), format!("not a JSON Schema: {}", crate::expr::shorten(&e.to_string(), 300)));
                None
            }
        }
    }

    /// A field that is an expression, with or without `${ }`.
    pub(super) fn expression(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Option<String> {
        let Some(text) = v.as_str() else {
            // `if: true` is plain to everybody.
            if v.is_boolean() || v.is_array() || v.is_number() {
                return Some(v.to_string());
            }
            self.problem(pointer, "an expression is text, `${ .a.b }`");
            return None;
        };
        let source = inner(text).unwrap_or(text).to_owned();
        self.check(&source, pointer, scope);
        Some(source)
    }

    fn check(&mut self, source: &str, pointer: &str, scope: &[String]) {
        if self.known.is_none() {
            return;
        }
        let names: Vec<&str> = GLOBALS.iter().copied().chain(scope.iter().map(String::as_str)).collect();
        if let Err(e) = self.jq.check(source, &names) {
            self.problem(pointer, format!("not a jq expression: {e} in `{}`", crate::expr::shorten(source, 120)));
        }
    }

    pub(super) fn template(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Template {
        match v {
            Value::String(s) => match inner(s) {
                Some(source) => {
                    self.check(source, pointer, scope);
                    Template::Expr(source.to_owned())
                }
                None => Template::Literal(v.clone()),
            },
            Value::Array(a) => {
                let items: Vec<Template> = a.iter().enumerate().map(|(i, v)| self.template(v, &format!("{pointer}/{i}"), scope)).collect();
                if items.iter().all(|t| matches!(t, Template::Literal(_))) { Template::Literal(v.clone()) } else { Template::List(items) }
            }
            Value::Object(o) => {
                let items: Vec<(String, Template)> =
                    o.iter().map(|(k, v)| (k.clone(), self.template(v, &step(pointer, k), scope))).collect();
                if items.iter().all(|(_, t)| matches!(t, Template::Literal(_))) {
                    Template::Literal(v.clone())
                } else {
                    Template::Object(items)
                }
            }
            v => Template::Literal(v.clone()),
        }
    }
}

/// The known name that is nearest to `name`, if one is near.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    known.iter().map(|k| (distance(name, k), k)).filter(|(d, k)| *d <= 1 + k.len() / 4).min().map(|(_, k)| k.clone())
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let replace = row.get(j).copied().unwrap_or(0) + usize::from(ca != *cb);
            let insert = next.get(j).copied().unwrap_or(0) + 1;
            let delete = row.get(j + 1).copied().unwrap_or(0) + 1;
            next.push(replace.min(insert).min(delete));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
