//! What the fake host knows, and the doors to it: one function of an interface after the other, as JSON.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use plenum_access::{Grant, Permission, Role, UserPrincipal};
use plenum_store::{Field, FieldKind, Schema};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::fixtures::{Answer, Fixtures, Job, Outside};
use super::{Refusal, refusal};
use crate::package::Manifest;

/// 2026-01-01T00:00:00Z. A fixed time: tests that depend on the day they run on fail on some other day.
const START: i64 = 1_767_225_600_000;

/// What the plugin asked of the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostCall {
    /// `plenum:cmdb/instances.get`, without its version.
    pub call: String,
    /// Its arguments by name; JSON that was handed over as text is read.
    pub args: Json,
    /// The code of the error that it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A record of the CMDB.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub id: String,
    pub model: String,
    pub version: u64,
    pub attributes: Map<String, Json>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A record of a collection.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub version: u64,
    pub data: Map<String, Json>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A link between two records.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub id: String,
    pub kind: String,
    pub from: (String, String),
    pub to: (String, String),
}

/// The platform, as far as a plugin sees it.
pub struct World {
    pub(super) manifest: Arc<Manifest>,
    pub(super) grant: Grant,
    /// Milliseconds since the Unix epoch.
    pub(super) now: i64,
    pub(super) seed: u64,
    ids: BTreeMap<String, u64>,
    pub(super) user: Option<UserPrincipal>,
    pub(super) settings: BTreeMap<String, Json>,
    pub(super) models: Vec<plenum_cmdb::Model>,
    pub(super) instances: Vec<Instance>,
    pub(super) links: Vec<Link>,
    pub(super) collections: BTreeMap<String, BTreeMap<String, Document>>,
    pub(super) keyvalue: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    pub(super) buckets: Vec<String>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) executions: Vec<Json>,
    pub(super) ran: BTreeMap<String, Job>,
    pub(super) runs: Vec<(Option<String>, Json)>,
    pub(super) schedules: BTreeMap<String, Json>,
    pub(super) outside: Vec<Outside>,
    actions: BTreeMap<String, Json>,
    answers: Vec<Answer>,
    /// Of the call that is going on.
    pub(super) call: String,
    pub(super) key: Option<String>,
    /// What was asked since it was looked at last.
    pub(super) made: Vec<HostCall>,
}

fn user(spec: Option<&str>) -> Result<Option<UserPrincipal>, String> {
    let (name, role) = match spec {
        Some("nobody") => return Ok(None),
        None => ("alice", "operator"),
        Some(spec) => spec.split_once(':').unwrap_or((spec, "operator")),
    };
    let role: Role = serde_json::from_value(json!(role))
        .map_err(|_| format!("user: {role:?} is no role; write {name}:administrator, {name}:operator or {name}:viewer"))?;
    Ok(Some(UserPrincipal { id: format!("user-{name}"), name: name.to_owned(), role }))
}

impl World {
    /// As the fixtures say, for a plugin that was granted all that it asks for.
    pub fn new(manifest: Arc<Manifest>, f: Fixtures) -> Result<World, String> {
        let mut grant = Grant::default();
        for p in &manifest.permissions {
            if !f.deny.contains(&p.name) {
                grant.permissions.insert(p.name.clone(), p.scope.clone());
            }
        }
        if let Some(unknown) = f.deny.iter().find(|d| Permission::from_name(d).is_none()) {
            return Err(format!("deny: {unknown:?} is no permission"));
        }
        for name in f.settings.keys() {
            if !manifest.settings.iter().any(|s| s.name == *name) {
                return Err(format!("settings: the plugin has no setting {name:?}"));
            }
        }
        let mut settings: BTreeMap<String, Json> =
            manifest.settings.iter().filter_map(|s| Some((s.name.clone(), s.default.clone()?))).collect();
        settings.extend(f.settings);
        let now = match &f.now {
            None => START,
            Some(text) => {
                plenum_store::filter::time_ms(text).ok_or_else(|| format!("now: {text:?} is not a time such as 2026-01-31T08:00:00Z"))?
            }
        };
        let mut w = World {
            grant,
            now,
            seed: f.seed,
            ids: BTreeMap::new(),
            user: user(f.user.as_deref())?,
            settings,
            models: plenum_cmdb::builtin_models().map_err(|e| e.to_string())?,
            instances: Vec::new(),
            links: Vec::new(),
            collections: BTreeMap::new(),
            keyvalue: BTreeMap::new(),
            buckets: Vec::new(),
            jobs: f.jobs.into(),
            executions: Vec::new(),
            ran: BTreeMap::new(),
            runs: Vec::new(),
            schedules: BTreeMap::new(),
            outside: f.outside,
            actions: f.actions,
            answers: f.answers,
            call: String::new(),
            key: None,
            made: Vec::new(),
            manifest,
        };
        for (model, records) in f.cmdb {
            for record in records {
                let mut attributes = record.as_object().cloned().ok_or_else(|| format!("cmdb: {record} of {model} is no object"))?;
                let id = attributes.shift_remove("id").and_then(|v| v.as_str().map(str::to_owned));
                w.new_instance(&model, attributes, id);
            }
        }
        for l in f.links {
            let end = |text: &str| {
                let end = text.split_once('/').map(|(m, i)| (m.to_owned(), i.to_owned()));
                end.filter(|(m, i)| w.instances.iter().any(|x| x.model == *m && x.id == *i))
                    .ok_or_else(|| format!("links: {text:?} is no record of the fixtures; write model/id"))
            };
            let (from, to) = (end(&l.from)?, end(&l.to)?);
            let id = w.id("link");
            w.links.push(Link { id, kind: l.kind, from, to });
        }
        for (name, records) in f.store {
            w.collection(&name).map_err(|e| format!("store: {}", e.message))?;
            for (id, data) in records {
                let data = data.as_object().cloned().ok_or_else(|| format!("store: {name}/{id} is no object"))?;
                let d = Document { version: 1, data, created_at: w.now, updated_at: w.now };
                w.collections.entry(name.clone()).or_default().insert(id, d);
            }
        }
        for (bucket, values) in f.keyvalue {
            let values = values.into_iter().map(|(k, v)| (k, super::value::json_bytes(&v))).collect();
            w.keyvalue.insert(bucket, values);
        }
        Ok(w)
    }

    /// The next id of a kind: the same in every run.
    pub(super) fn id(&mut self, kind: &str) -> String {
        let n = self.ids.entry(kind.to_owned()).or_default();
        *n += 1;
        format!("{kind}-{n}")
    }

    /// The clock goes on.
    pub fn advance(&mut self, by: std::time::Duration) {
        self.now = self.now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// What the plugin asked for since this was called last.
    pub fn calls(&mut self) -> Vec<HostCall> {
        std::mem::take(&mut self.made)
    }

    /// Refuses what the plugin does not ask for, or was denied.
    pub(super) fn allowed(&self, permission: Permission, touches: &[(&str, &str)]) -> Result<(), Refusal> {
        if self.grant.allows(permission, touches) {
            return Ok(());
        }
        let name = permission.name();
        let reach = touches.iter().map(|(k, v)| format!("{k} = [\"{v}\"]")).collect::<Vec<_>>().join(", ");
        let message = if self.grant.permissions.contains_key(name) {
            format!(
                "the scope of {name} does not reach this: in plugin.toml, under [[permissions]] name = \"{name}\", write into its scope: {reach}"
            )
        } else {
            format!("the permission {name} was not granted")
        };
        Err(refusal("access.denied", 403, message))
    }

    /// Answers a call: by the fixtures' own answers first, then by the fakes.
    pub(super) fn answer(&mut self, interface: &str, function: &str, args: &Map<String, Json>) -> Result<Json, Refusal> {
        let name = format!("{interface}.{function}");
        let shown = shown(args);
        let fits = |a: &&mut Answer| {
            a.call == name && a.times != Some(0) && a.args.as_ref().is_none_or(|want| super::differs(want, &shown, "").is_none())
        };
        if let Some(a) = self.answers.iter_mut().find(fits) {
            a.times = a.times.map(|n| n.saturating_sub(1));
            return match (&a.answer, &a.error) {
                (_, Some(e)) => Err(refusal(&e.code, e.status, e.message.clone())),
                (answer, None) => Ok(answer.clone().unwrap_or_default()),
            };
        }
        let a = Args(args);
        match interface {
            "plenum:cmdb/models" | "plenum:cmdb/instances" | "plenum:cmdb/associations" => self.cmdb(interface, function, &a),
            "plenum:store/documents" => self.store(function, &a),
            "plenum:jobs/executions" => self.executions(function, &a),
            "plenum:workflow/runs" => self.workflow_runs(function, &a),
            "plenum:workflow/schedules" => self.workflow_schedules(function, &a),
            "wasi:keyvalue/store" | "wasi:keyvalue/atomics" | "wasi:keyvalue/batch" => self.keyvalue(function, &a),
            "plenum:events/publisher" => self.publish(&a),
            "plenum:log/log" | "plenum:metrics/figures" => Ok(Json::Null),
            "plenum:notify/notifications" => self.notify(&a),
            "plenum:plugin/context" => Ok(match function {
                "settings" => json!(Json::Object(self.settings.clone().into_iter().collect()).to_string()),
                _ => self.context(),
            }),
            "plenum:plugin/secrets" => Ok(self.setting(&a.text("name"), true)),
            "plenum:plugin/calls" => self.other_plugin(&a),
            "wasi:config/store" if function == "get" => Ok(self.setting(&a.text("key"), false)),
            "wasi:config/store" => {
                let open = self.manifest.settings.iter().filter(|s| !s.secret);
                Ok(open.filter_map(|s| Some(json!([s.name, text(self.settings.get(&s.name)?)]))).collect())
            }
            _ => Err(refusal(
                "fake.unknown",
                501,
                format!("the fake host has nothing to answer {name}; say what it answers under [[answers]] of the case"),
            )),
        }
    }

    fn context(&self) -> Json {
        let user = self.user.as_ref().map(|u| json!({ "id": u.id, "name": u.name, "role": u.role.name() }));
        json!({
            "id": self.call, "plugin": self.manifest.id, "version": self.manifest.version.to_string(),
            "user": user, "idempotency_key": self.key,
        })
    }

    fn setting(&self, name: &str, secret: bool) -> Json {
        let known = self.manifest.settings.iter().any(|s| s.name == name && s.secret == secret);
        self.settings.get(name).filter(|_| known).map_or(Json::Null, |v| json!(text(v)))
    }

    fn publish(&self, a: &Args<'_>) -> Result<Json, Refusal> {
        let kind = a.text("kind");
        self.allowed(Permission::EventsPublish, &[("types", &kind)])?;
        if kind.is_empty() || kind.starts_with("plenum.") {
            return Err(refusal(
                "plugin.invalid",
                422,
                format!("{kind:?} cannot be the type of a published event: plenum. is the platform's own"),
            ));
        }
        a.json("data").map(|_| Json::Null)
    }

    fn notify(&self, a: &Args<'_>) -> Result<Json, Refusal> {
        let m = a.get("message");
        let names = |k: &'static str| m.get(k).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).map(move |n| (k, n));
        let touches: Vec<(&str, &str)> = names("users").chain(names("roles")).collect();
        self.allowed(Permission::NotifySend, &touches)?;
        if touches.is_empty() || m.get("title").and_then(Json::as_str).is_none_or(|t| t.trim().is_empty()) {
            return Err(refusal("plugin.invalid", 422, "a notification needs a title, and somebody: users or roles"));
        }
        Ok(json!(touches.len()))
    }

    fn other_plugin(&self, a: &Args<'_>) -> Result<Json, Refusal> {
        let name = format!("{}.{}", a.text("plugin"), a.text("action"));
        self.allowed(Permission::PluginsUse, &[("actions", &name)])?;
        a.json("input")?;
        let answer = self.actions.get(&name).map(|v| json!(v.to_string()));
        answer.ok_or_else(|| {
            refusal("plugin.not_found", 404, format!("nobody answers {name}; say what it answers under [actions] of the case"))
        })
    }

    /// A collection of the manifest, with its fields.
    pub(super) fn collection(&self, name: &str) -> Result<(&crate::package::CollectionSpec, Schema), Refusal> {
        let spec = self.manifest.collections.iter().find(|c| c.name == name).ok_or_else(|| {
            refusal(
                "store.no_collection",
                404,
                format!("the plugin has no collection {name}; declare it under [[collections]] in plugin.toml"),
            )
        })?;
        let fields = spec.fields.iter().map(|(n, k)| crate::plugin::field(n, k).unwrap_or_else(|_| Field::new(n, FieldKind::Json)));
        Ok((spec, Schema::new(fields.collect())))
    }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Arguments for people: text that is a JSON object or list is read.
pub(super) fn shown(args: &Map<String, Json>) -> Json {
    fn read(v: &Json) -> Json {
        match v {
            Json::String(s) if s.starts_with(['{', '[']) => serde_json::from_str(s).unwrap_or_else(|_| v.clone()),
            Json::Object(o) => Json::Object(o.iter().map(|(k, v)| (k.clone(), read(v))).collect()),
            Json::Array(items) => items.iter().map(read).collect(),
            v => v.clone(),
        }
    }
    Json::Object(args.iter().map(|(k, v)| (k.clone(), read(v))).collect())
}

/// The arguments of a call, by name.
pub(super) struct Args<'a>(pub &'a Map<String, Json>);

impl Args<'_> {
    pub fn get(&self, name: &str) -> &Json {
        self.0.get(name).unwrap_or(&Json::Null)
    }

    pub fn text(&self, name: &str) -> String {
        self.get(name).as_str().unwrap_or_default().to_owned()
    }

    pub fn maybe(&self, name: &str) -> Option<String> {
        self.get(name).as_str().map(str::to_owned)
    }

    pub fn number(&self, name: &str) -> u64 {
        self.get(name).as_u64().unwrap_or(0)
    }

    /// One that is JSON as text.
    pub fn json(&self, name: &str) -> Result<Json, Refusal> {
        read_json(self.get(name), name)
    }
}

/// A JSON document that was handed over as text.
pub(super) fn read_json(v: &Json, what: &str) -> Result<Json, Refusal> {
    serde_json::from_str(v.as_str().unwrap_or("null")).map_err(|e| refusal("request.json", 400, format!("{what} is not valid JSON: {e}")))
}

/// An object that was handed over as text.
pub(super) fn read_object(v: &Json, what: &str) -> Result<Map<String, Json>, Refusal> {
    match read_json(v, what)? {
        Json::Object(o) => Ok(o),
        _ => Err(refusal("request.object", 422, format!("{what} has to be a JSON object"))),
    }
}

/// A page of what was found.
pub(super) fn page(items: Vec<Json>, cursor: Option<&str>, limit: u64, most: u64) -> Result<Json, Refusal> {
    let from: usize =
        cursor.map_or(Ok(0), str::parse).map_err(|_| refusal("request.cursor", 400, "the cursor is not one of these pages"))?;
    let (total, limit) = (items.len(), usize::try_from(limit.clamp(1, most)).unwrap_or(1));
    let next = (from + limit < total).then(|| (from + limit).to_string());
    Ok(json!({ "items": items.into_iter().skip(from).take(limit).collect::<Vec<_>>(), "next_cursor": next, "total": total }))
}

/// By the order of the store: what is absent first, numbers by size, the rest by its text.
pub(super) fn compare(a: &Json, b: &Json) -> std::cmp::Ordering {
    match (a, b) {
        (Json::Null, Json::Null) => std::cmp::Ordering::Equal,
        (Json::Null, _) => std::cmp::Ordering::Less,
        (_, Json::Null) => std::cmp::Ordering::Greater,
        (Json::Number(x), Json::Number(y)) => x.as_f64().unwrap_or(0.0).total_cmp(&y.as_f64().unwrap_or(0.0)),
        (Json::String(x), Json::String(y)) => x.cmp(y),
        (x, y) => x.to_string().cmp(&y.to_string()),
    }
}
