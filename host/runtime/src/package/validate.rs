//! The rules of a manifest. All that is wrong is told at once, each with its place, so that an author mends it in one go.

use std::collections::{BTreeMap, BTreeSet};

use plenum_access::{ATTRIBUTES, Permission};
use serde_json::Value as Json;

use super::manifest::{CollectionSpec, Manifest, PageKind, PermissionRequest, SettingKind, SettingSpec, Text};
use super::{FIELD_KINDS, PackageError, Problem, nearest, safe_path};

/// Ids that are the first word of the platform's own actions and routes.
const RESERVED: &[&str] = &[
    "catalog",
    "cmdb",
    "event",
    "events",
    "http",
    "job",
    "jobs",
    "notify",
    "plenum",
    "plugin",
    "plugins",
    "store",
    "system",
    "workflow",
    "workflows",
];

/// What is for people only: no interface of the contract uses it, so granting it could only mislead.
const FOR_PEOPLE: &[Permission] = &[
    Permission::UsersManage,
    Permission::AuditRead,
    Permission::NodesManage,
    Permission::JobsManage,
    Permission::PluginsManage,
    Permission::CmdbModel,
    Permission::WorkflowWrite,
];

/// Scope keys that some check reads. A key that nothing reads would promise a limit that is not there.
fn scope_keys(p: Permission) -> &'static [&'static str] {
    match p {
        Permission::CmdbRead | Permission::CmdbWrite => &["models", ATTRIBUTES],
        Permission::JobsRun => &["models", "scripts", "users", "targets"],
        Permission::JobsRead => &["executions"],
        Permission::WorkflowRead | Permission::WorkflowRun => &["workflows"],
        Permission::EventsPublish | Permission::EventsRead => &["types"],
        Permission::PluginsUse => &["actions"],
        Permission::NotifySend => &["users", "roles"],
        Permission::HttpOutgoing => &["hosts", "schemes", "ports", "networks"],
        _ => &[],
    }
}

/// Most screenshots of a plugin.
const MAX_SCREENSHOTS: usize = 8;

fn id_shape(id: &str) -> bool {
    let letters = id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    letters && (2..=40).contains(&id.len()) && !id.starts_with('-') && !id.ends_with('-')
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { at: at.into(), message: message.into() });
    }

    fn path(&mut self, at: String, path: &str) {
        if let Err(why) = safe_path(path) {
            self.add(at, why);
        }
    }

    fn text(&mut self, at: String, text: &Text, most: usize) {
        if text.is_empty() {
            self.add(at, "says nothing; write a string, or { en = \"...\", zh = \"...\" }");
        } else if text.0.values().any(|t| t.chars().count() > most) {
            self.add(at, format!("is longer than {most} characters"));
        }
    }

    fn unique<'a>(&mut self, table: &str, key: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (i, name) in names.enumerate() {
            if !seen.insert(name) {
                self.add(format!("{table}[{i}].{key}"), format!("{name:?} is there twice"));
            }
        }
    }
}

/// Letters, digits, hyphen, underscore: safe in addresses, file names and jq paths.
fn word(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_'))
}

impl Manifest {
    /// Checks everything that can be known without the package's files.
    pub fn validate(&self) -> Result<(), PackageError> {
        let mut p = Problems(Vec::new());
        self.head(&mut p);
        self.asks(&mut p);
        self.offers(&mut p);
        self.background(&mut p);
        self.data(&mut p);
        if p.0.is_empty() { Ok(()) } else { Err(PackageError::Manifest { problems: p.0 }) }
    }

    fn head(&self, p: &mut Problems) {
        if !id_shape(&self.id) {
            p.add("id", format!("{:?} cannot be an id; use 2 to 40 of a-z, 0-9 and hyphen, with a letter or digit at both ends", self.id));
        } else if RESERVED.contains(&self.id.as_str()) {
            p.add("id", format!("{:?} is the platform's own word; choose another, for example \"my-{}\"", self.id, self.id));
        }
        p.text("name".into(), &self.name, 60);
        p.text("description".into(), &self.description, 2_000);
        if self.publisher.trim().is_empty() || self.publisher.chars().count() > 80 {
            p.add("publisher", "has 1 to 80 characters");
        }
        if let Some(icon) = &self.icon {
            p.path("icon".into(), icon);
        }
        self.shown(p);
        if let Some(c) = &self.component {
            p.path("component.path".into(), &c.path);
        }
        let l = &self.limits;
        for (name, value) in [("memory_mb", l.memory_mb), ("cpu_ms", l.cpu_ms), ("wall_ms", l.wall_ms), ("concurrency", l.concurrency)] {
            if value == Some(0) {
                p.add(format!("limits.{name}"), "cannot be 0; leave it out for the host's default");
            }
        }
    }

    /// What only the catalog shows, and what has to be installed before.
    fn shown(&self, p: &mut Problems) {
        if let Some(path) = &self.changelog {
            p.path("changelog".into(), path);
        }
        if self.screenshots.len() > MAX_SCREENSHOTS {
            p.add("screenshots", format!("are {}; at most {MAX_SCREENSHOTS} are shown", self.screenshots.len()));
        }
        for (i, path) in self.screenshots.iter().enumerate() {
            p.path(format!("screenshots[{i}]"), path);
            if ![".png", ".jpg", ".jpeg", ".webp", ".svg"].iter().any(|e| path.to_lowercase().ends_with(e)) {
                p.add(format!("screenshots[{i}]"), format!("{path:?} is no image that browsers show: use .png, .jpg, .webp or .svg"));
            }
        }
        for id in self.requires.keys() {
            if !id_shape(id) {
                p.add("requires", format!("{id:?} cannot be a plugin's id"));
            } else if *id == self.id {
                p.add("requires", "names the plugin itself");
            }
        }
    }

    fn asks(&self, p: &mut Problems) {
        p.unique("permissions", "name", self.permissions.iter().map(|r| r.name.as_str()));
        for (i, r) in self.permissions.iter().enumerate() {
            permission(p, &format!("permissions[{i}]"), r);
        }
    }

    fn offers(&self, p: &mut Problems) {
        p.unique("actions", "name", self.actions.iter().map(|a| a.name.as_str()));
        for (i, a) in self.actions.iter().enumerate() {
            if !word(&a.name, 60) {
                p.add(
                    format!("actions[{i}].name"),
                    format!("{:?} cannot be an action's name; use 1 to 60 of a-z, 0-9, hyphen and underscore, a letter first", a.name),
                );
            }
            for (key, path) in [("input", &a.input), ("output", &a.output)] {
                if let Some(path) = path {
                    p.path(format!("actions[{i}].{key}"), path);
                }
            }
        }
        if let (Some(a), None) = (self.actions.first(), &self.component) {
            p.add(
                "component",
                format!("is missing, so nothing can carry out the action {:?}; add [component] path = \"plugin.wasm\"", a.name),
            );
        }
        p.unique("pages", "id", self.pages.iter().map(|x| x.id.as_str()));
        for (i, page) in self.pages.iter().enumerate() {
            if !word(&page.id, 40) {
                p.add(
                    format!("pages[{i}].id"),
                    format!("{:?} cannot be a page's id; use 1 to 40 of a-z, 0-9, hyphen and underscore, a letter first", page.id),
                );
            }
            p.text(format!("pages[{i}].title"), &page.title, 60);
            p.path(format!("pages[{i}].entry"), &page.entry);
            if page.kind == PageKind::Framed && !page.entry.starts_with("web/") {
                p.add(
                    format!("pages[{i}].entry"),
                    format!("{:?} is not below web/, and only what is there is served to the browser", page.entry),
                );
            }
            if let Some(icon) = &page.icon {
                p.path(format!("pages[{i}].icon"), icon);
            }
        }
        p.unique("workflows", "name", self.workflows.iter().map(|w| w.name.as_str()));
        for (i, w) in self.workflows.iter().enumerate() {
            if !word(&w.name, 60) {
                p.add(
                    format!("workflows[{i}].name"),
                    format!("{:?} cannot be a workflow's name; use 1 to 60 of a-z, 0-9, hyphen and underscore, a letter first", w.name),
                );
            }
            p.path(format!("workflows[{i}].path"), &w.path);
        }
    }

    fn background(&self, p: &mut Problems) {
        p.unique("schedules", "id", self.schedules.iter().map(|s| s.id.as_str()));
        for (i, s) in self.schedules.iter().enumerate() {
            if !word(&s.id, 60) {
                p.add(
                    format!("schedules[{i}].id"),
                    format!("{:?} cannot be a schedule's id; use 1 to 60 of a-z, 0-9, hyphen and underscore, a letter first", s.id),
                );
            }
            if let Err(e) = plenum_workflow::next_times(&s.cron, &s.timezone, 0, 1) {
                p.add(format!("schedules[{i}]"), e.to_string());
            }
            if let Some(a) = &s.action
                && !self.actions.iter().any(|x| x.name == *a)
            {
                let hint = nearest(a, self.actions.iter().map(|x| x.name.as_str()))
                    .map_or_else(|| "declare it under [[actions]]".to_owned(), |n| format!("did you mean {n:?}?"));
                p.add(format!("schedules[{i}].action"), format!("{a:?} is none of this plugin's actions; {hint}"));
            }
        }
        let reads = self.permissions.iter().find(|r| r.name == Permission::EventsRead.name());
        for (i, e) in self.events.iter().enumerate() {
            if e.types.is_empty() {
                p.add(format!("events[{i}].types"), "names no type; write for example [\"plenum.job.execution.finished\"]");
            }
            for t in &e.types {
                let (at, plain) = (format!("events[{i}].types"), t.trim_end_matches('*'));
                if plain.is_empty() || plain.contains('*') || t.len() > 200 {
                    p.add(at, format!("{t:?} is not a type; a * stands at the end only, after at least one character"));
                } else if !reads.is_some_and(|r| r.scope.allows("types", t)) {
                    p.add(at, format!("{t:?} is not asked for; add it to the scope types of [[permissions]] name = \"events.read\""));
                }
            }
        }
    }

    fn data(&self, p: &mut Problems) {
        p.unique("settings", "name", self.settings.iter().map(|s| s.name.as_str()));
        for (i, s) in self.settings.iter().enumerate() {
            setting(p, &format!("settings[{i}]"), s);
        }
        p.unique("collections", "name", self.collections.iter().map(|c| c.name.as_str()));
        for (i, c) in self.collections.iter().enumerate() {
            collection(p, &format!("collections[{i}]"), c);
        }
        if !self.collections.is_empty() && !self.permissions.iter().any(|r| r.name == Permission::Store.name()) {
            p.add("collections", "can only be used with the permission store; add [[permissions]] name = \"store\"");
        }
    }

    /// Checks that the files it names are there and of their kind.
    pub fn check_files(&self, files: &BTreeMap<String, Vec<u8>>, component: bool) -> Result<(), PackageError> {
        let mut p = Problems(Vec::new());
        if self.component.is_some() != component {
            let message = if component {
                "is not declared, but the package has one"
            } else {
                "is declared, but the package has none; build the plugin first"
            };
            p.add("component", message);
        }
        let mut need = |at: String, path: &String| {
            if !files.contains_key(path) {
                let hint = nearest(path, files.keys().map(String::as_str)).map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
                p.add(at, format!("{path:?} is not in the package{hint}"));
            }
        };
        if let Some(icon) = &self.icon {
            need("icon".into(), icon);
        }
        if let Some(path) = &self.changelog {
            need("changelog".into(), path);
        }
        for (i, path) in self.screenshots.iter().enumerate() {
            need(format!("screenshots[{i}]"), path);
        }
        for (i, x) in self.pages.iter().enumerate() {
            need(format!("pages[{i}].entry"), &x.entry);
            if let Some(icon) = &x.icon {
                need(format!("pages[{i}].icon"), icon);
            }
        }
        for (i, w) in self.workflows.iter().enumerate() {
            need(format!("workflows[{i}].path"), &w.path);
        }
        for (i, a) in self.actions.iter().enumerate() {
            for (key, path) in [("input", &a.input), ("output", &a.output)] {
                if let Some(path) = path {
                    need(format!("actions[{i}].{key}"), path);
                }
            }
        }
        for (i, a) in self.actions.iter().enumerate() {
            let input = schema(&mut p, format!("actions[{i}].input"), a.input.as_ref().and_then(|f| files.get(f)));
            schema(&mut p, format!("actions[{i}].output"), a.output.as_ref().and_then(|f| files.get(f)));
            for (j, s) in self.schedules.iter().enumerate().filter(|(_, s)| s.action.as_deref() == Some(&a.name)) {
                if let Some(Err(e)) = input.as_ref().map(|v| v.validate(&s.input)) {
                    p.add(format!("schedules[{j}].input"), format!("does not fit the schema of {}: {e}", a.name));
                }
            }
        }
        for (i, x) in self.pages.iter().enumerate().filter(|(_, x)| x.kind == PageKind::Declared) {
            if let Some(Err(e)) = files.get(&x.entry).map(|b| serde_json::from_slice::<serde::de::IgnoredAny>(b)) {
                p.add(format!("pages[{i}].entry"), format!("{:?} is not JSON: {e}", x.entry));
            }
        }
        if p.0.is_empty() { Ok(()) } else { Err(PackageError::Manifest { problems: p.0 }) }
    }
}

fn schema(p: &mut Problems, at: String, bytes: Option<&Vec<u8>>) -> Option<jsonschema::Validator> {
    let json: Json = match serde_json::from_slice(bytes?) {
        Ok(json) => json,
        Err(e) => {
            p.add(at, format!("is not JSON: {e}"));
            return None;
        }
    };
    match jsonschema::draft202012::new(&json) {
        Ok(v) => Some(v),
        Err(e) => {
            p.add(at, format!("is no JSON Schema: {e}"));
            None
        }
    }
}

fn permission(p: &mut Problems, at: &str, r: &PermissionRequest) {
    p.text(format!("{at}.reason"), &r.reason, 500);
    let Some(known) = Permission::from_name(&r.name).filter(|k| !FOR_PEOPLE.contains(k)) else {
        let grantable = Permission::ALL.iter().filter(|k| !FOR_PEOPLE.contains(k)).map(|k| k.name());
        let message = match (Permission::from_name(&r.name), nearest(&r.name, grantable.clone())) {
            (Some(_), _) => format!("{:?} is for people only; a plugin cannot have it", r.name),
            (None, Some(n)) => format!("{:?} is no permission; did you mean {n:?}?", r.name),
            (None, None) => format!("{:?} is no permission; there are {}", r.name, grantable.collect::<Vec<_>>().join(", ")),
        };
        return p.add(format!("{at}.name"), message);
    };
    let keys = scope_keys(known);
    for (key, values) in &r.scope.0 {
        if !keys.contains(&key.as_str()) {
            let message = match keys {
                [] => format!("{} has no scopes; leave it out", r.name),
                keys => format!("{key:?} is no scope of {}; it has {}", r.name, keys.join(", ")),
            };
            p.add(format!("{at}.scope"), message);
        } else if values.is_empty() || values.iter().any(|v| v.trim().is_empty()) {
            p.add(format!("{at}.scope.{key}"), "is empty, so nothing would be allowed; name what is needed");
        }
    }
    if known == Permission::HttpOutgoing && !r.scope.0.contains_key("hosts") {
        p.add(format!("{at}.scope"), "names no hosts; write for example { hosts = [\"api.example.com\"] }");
    }
    if known == Permission::HttpOutgoing {
        outgoing(p, at, r);
    }
    for a in r.scope.0.get(ATTRIBUTES).into_iter().flatten() {
        let (model, attribute) = a.split_once('.').unwrap_or((a, ""));
        if a != "*" && (model.is_empty() || attribute.is_empty()) {
            let like = if a.contains('*') { "host" } else { a.trim_matches('.') };
            p.add(
                format!("{at}.scope.attributes"),
                format!("{a:?} names no attribute of a model; write \"host.hostname\", or \"{like}.*\" for all of a model"),
            );
        }
    }
    for s in r.scope.0.get("scripts").into_iter().flatten() {
        let digest = s.strip_prefix("sha256:").unwrap_or("");
        if s != "*" && !(digest.len() == 64 && digest.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))) {
            let message = format!("{s:?} names no script; write \"sha256:\" and the 64 digits of sha256sum over its text");
            p.add(format!("{at}.scope.scripts"), message);
        }
    }
    for h in r.scope.0.get("hosts").into_iter().flatten() {
        let name = h.strip_prefix("*.").unwrap_or(h);
        if !name.contains('.') || name.contains(['*', '/', ':', '@', ' ']) {
            p.add(
                format!("{at}.scope.hosts"),
                format!("{h:?} is no host; write \"api.example.com\" or \"*.example.com\", without scheme, port or path"),
            );
        }
    }
}

fn outgoing(p: &mut Problems, at: &str, r: &PermissionRequest) {
    let of = |key: &str| r.scope.0.get(key).into_iter().flatten();
    for s in of("schemes").filter(|s| !matches!(s.as_str(), "http" | "https")) {
        p.add(format!("{at}.scope.schemes"), format!("{s:?} is neither \"http\" nor \"https\""));
    }
    for port in of("ports").filter(|t| t.parse::<u16>().ok().is_none_or(|n| n == 0 || n.to_string() != **t)) {
        p.add(format!("{at}.scope.ports"), format!("{port:?} is no port; write a number from 1 to 65535 as text, \"8443\""));
    }
    for n in of("networks") {
        if let Err(why) = crate::address::Network::parse(n) {
            p.add(format!("{at}.scope.networks"), why);
        }
    }
}

fn setting(p: &mut Problems, at: &str, s: &SettingSpec) {
    if !plenum_store::filter::valid_name(&s.name) {
        p.add(format!("{at}.name"), format!("{:?} cannot be a setting's name; use letters, digits and underscore, no digit first", s.name));
    }
    if !s.options.is_empty() && s.kind != SettingKind::String {
        p.add(format!("{at}.options"), "are for type = \"string\" only");
    }
    if let Some(default) = &s.default {
        if s.secret {
            p.add(format!("{at}.default"), "is no place for a secret: everybody can read the package");
        } else if let Err(why) = s.accepts(default) {
            p.add(format!("{at}.default"), why);
        }
    }
}

impl SettingSpec {
    /// Whether a value can be set.
    pub fn accepts(&self, value: &Json) -> Result<(), String> {
        let (fits, kind) = match self.kind {
            SettingKind::String => (value.is_string(), "a string"),
            SettingKind::Integer => (value.is_i64() || value.is_u64(), "a whole number"),
            SettingKind::Number => (value.is_number(), "a number"),
            SettingKind::Boolean => (value.is_boolean(), "true or false"),
        };
        match value.as_str() {
            // An answer may be shown and kept; a secret in the wrong field is a secret still.
            _ if !fits && self.secret => Err(format!("has to be {kind}")),
            _ if !fits => Err(format!("has to be {kind}, not {value}")),
            Some(v) if self.secret && !self.options.is_empty() && !self.options.iter().any(|o| o == v) => {
                Err(format!("is none of {}", self.options.join(", ")))
            }
            Some(v) if !self.options.is_empty() && !self.options.iter().any(|o| o == v) => {
                Err(format!("{v:?} is none of {}", self.options.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

fn collection(p: &mut Problems, at: &str, c: &CollectionSpec) {
    if !word(&c.name, 60) {
        p.add(
            format!("{at}.name"),
            format!("{:?} cannot be a collection's name; use 1 to 60 of a-z, 0-9, hyphen and underscore, a letter first", c.name),
        );
    }
    for (name, kind) in &c.fields {
        if !plenum_store::filter::valid_name(name) {
            p.add(format!("{at}.fields"), format!("{name:?} cannot be a field's name; use letters, digits and underscore, no digit first"));
        }
        if !FIELD_KINDS.contains(&kind.as_str()) {
            let hint = nearest(kind, FIELD_KINDS.iter().copied())
                .map(|n| format!("did you mean {n:?}?"))
                .unwrap_or_else(|| format!("there are {}", FIELD_KINDS.join(", ")));
            p.add(format!("{at}.fields.{name}"), format!("{kind:?} is no kind of field; {hint}"));
        }
    }
    for (key, names) in [("indexed", c.indexed.iter().collect::<Vec<_>>()), ("unique", c.unique.iter().flatten().collect())] {
        for name in names.into_iter().filter(|n| !c.fields.contains_key(*n)) {
            let hint = nearest(name, c.fields.keys().map(String::as_str)).map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
            p.add(format!("{at}.{key}"), format!("{name:?} is none of its fields{hint}"));
        }
    }
    if c.unique.iter().any(Vec::is_empty) {
        p.add(format!("{at}.unique"), "has an empty set of fields");
    }
}
