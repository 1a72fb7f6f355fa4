//! A loaded plugin: its component ready to be instantiated, its grant, limits, files and numbers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use plenum_access::{Grant, PluginPrincipal, Principal, UserPrincipal};
use plenum_store::{Field, FieldKind};
use serde_json::Value as Json;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::bindings::plenum::types::types::Error as WitError;
use crate::breaker::Outcome;
use crate::call::{CallInfo, CallState, Gate, Input, Limits, store};
use crate::compile::brief;
use crate::interfaces::{INTERFACES, OUTGOING, WASI, told, unknown};
use crate::life::{HostLimits, Life, Visit};
use crate::logs::Level;
use crate::outgoing::Rules;
use crate::package::Manifest;
use crate::stats::Trap;
use crate::{RuntimeError, Services};

/// What stands for the action of a schedule without one: the component's `schedule.fire`. No manifest can name an action so.
pub const FIRE: &str = "@schedule";

/// The store's name of a plugin's collection.
pub fn collection(plugin: &str, name: &str) -> String {
    format!("plugin/{plugin}/{name}")
}

/// The store's kind of a manifest's word for a field.
pub fn field(name: &str, kind: &str) -> Result<Field, RuntimeError> {
    let kind = match kind {
        "string" | "text" => FieldKind::Text,
        "int" | "integer" => FieldKind::Integer,
        "number" | "decimal" | "float" => FieldKind::Decimal,
        "bool" | "boolean" => FieldKind::Boolean,
        "timestamp" | "datetime" => FieldKind::Timestamp,
        "strings" => FieldKind::List(Box::new(FieldKind::Text)),
        "json" => FieldKind::Json,
        other => {
            return Err(RuntimeError::Package(format!(
                "the field {name} has the kind {other:?}; use string, int, number, bool, timestamp, strings or json"
            )));
        }
    };
    Ok(Field { name: name.to_owned(), kind })
}

/// What a component offers, found by looking at it.
#[derive(Debug, Default, Clone)]
pub struct Exports {
    /// `wasi:http/incoming-handler`.
    pub http: bool,
    /// `plenum:plugin/actions`, `call`.
    pub(crate) actions: Option<ComponentExportIndex>,
    /// `plenum:plugin/events`, `handle`.
    pub(crate) events: Option<ComponentExportIndex>,
    /// `plenum:plugin/schedule`, `fire`.
    pub(crate) schedule: Option<ComponentExportIndex>,
    pub(crate) install: Option<ComponentExportIndex>,
    pub(crate) upgrade: Option<ComponentExportIndex>,
    pub(crate) health: Option<ComponentExportIndex>,
    pub(crate) uninstall: Option<ComponentExportIndex>,
}

impl Exports {
    pub(crate) fn of(component: &Component) -> Exports {
        let find = |interface: &str, function: &str| {
            let (_, i) = component.get_export(None, format!("plenum:plugin/{interface}@0.1.0"))?;
            component.get_export(Some(&i), function).map(|(_, f)| f)
        };
        let ty = component.component_type();
        let http = ty.exports(component.engine()).any(|(name, _)| name.starts_with("wasi:http/incoming-handler@0.2."));
        Exports {
            http,
            actions: find("actions", "call"),
            events: find("events", "handle"),
            schedule: find("schedule", "fire"),
            install: find("lifecycle", "install"),
            upgrade: find("lifecycle", "upgrade"),
            health: find("health", "check"),
            uninstall: find("lifecycle", "uninstall"),
        }
    }

    /// Whether its schedules can call it.
    pub fn fires(&self) -> bool {
        self.schedule.is_some()
    }

    /// Whether it changes its records when it comes after another version.
    pub fn upgrades(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Whether it handles events.
    pub fn handles_events(&self) -> bool {
        self.events.is_some()
    }
}

/// A component with its linker applied.
pub struct Code {
    pub pre: InstancePre<CallState>,
    /// The same for HTTP, where it answers that.
    pub http: Option<ProxyPre<CallState>>,
    pub exports: Exports,
}

/// What is loaded of an installed plugin.
pub struct Loaded {
    pub id: String,
    pub version: semver::Version,
    pub digest: String,
    pub manifest: Manifest,
    pub grant: Arc<Grant>,
    pub settings: Json,
    pub limits: Limits,
    /// How far its requests to the outside reach.
    pub outgoing: Option<Rules>,
    pub files: Arc<BTreeMap<String, Bytes>>,
    pub code: Option<Code>,
    pub gate: Gate,
    pub life: Arc<Life>,
    pub schemas: HashMap<String, Schemas>,
    engine: Engine,
}

/// Compiled JSON Schemas of an action, with their sources.
pub struct Schemas {
    pub input: Option<(jsonschema::Validator, Json)>,
    pub output: Option<(jsonschema::Validator, Json)>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

/// What makes a [`Loaded`].
pub struct Parts {
    pub manifest: Manifest,
    pub digest: String,
    pub grant: Grant,
    pub settings: Json,
    pub files: BTreeMap<String, Vec<u8>>,
    pub component: Option<Component>,
    pub life: Arc<Life>,
}

/// Imports that are named in a refusal.
const MOST_TOLD: usize = 20;

/// Names of a component's imports that the grant does not cover, with what to do; empty when all is well.
pub fn ungranted(engine: &Engine, component: &Component, grant: &Grant) -> Vec<String> {
    let mut out = Vec::new();
    for (name, _) in component.component_type().imports(engine) {
        // What says so much already is enough to know.
        if out.len() == MOST_TOLD {
            out.push("and more".into());
            break;
        }
        if WASI.iter().any(|w| name.starts_with(w)) {
            continue;
        }
        if name.starts_with(OUTGOING) {
            if !grant.permissions.contains_key("http.outgoing") {
                out.push(format!("{}: ask for the permission http.outgoing", told(name)));
            }
            continue;
        }
        match INTERFACES.iter().find(|i| name.starts_with(i.import)) {
            Some(i) if i.needs.is_empty() || i.needs.iter().any(|p| grant.permissions.contains_key(p.name())) => {}
            Some(i) => out.push(format!(
                "{}: ask for the permission {}",
                told(name),
                i.needs.iter().map(|p| p.name()).collect::<Vec<_>>().join(" or ")
            )),
            None => out.push(unknown(name)),
        }
    }
    out
}

/// The schemas of a plugin's actions, by their names.
pub(crate) fn compiled_schemas(m: &Manifest, files: &BTreeMap<String, Vec<u8>>) -> Result<HashMap<String, Schemas>, RuntimeError> {
    let mut schemas = HashMap::new();
    for a in &m.actions {
        let read = |path: &Option<String>| -> Result<Option<(jsonschema::Validator, Json)>, RuntimeError> {
            let Some(path) = path else { return Ok(None) };
            let bad = |why: String| RuntimeError::Package(format!("the schema {path} of the action {}: {why}", a.name));
            let bytes = files.get(path).ok_or_else(|| bad("the file is not in the package".into()))?;
            let json: Json = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
            let validator = jsonschema::draft202012::new(&json).map_err(|e| bad(e.to_string()))?;
            Ok(Some((validator, json)))
        };
        schemas.insert(a.name.clone(), Schemas { input: read(&a.input)?, output: read(&a.output)? });
    }
    Ok(schemas)
}

impl Loaded {
    /// Links the component with what the grant allows and prepares the rest.
    pub fn new(engine: &Engine, parts: Parts) -> Result<Loaded, RuntimeError> {
        let m = &parts.manifest;
        let limits = limits(m, &parts.life.limits);
        let code = match &parts.component {
            None => None,
            Some(component) => {
                for (name, _) in component.component_type().imports(engine) {
                    m.require_import(name)?;
                }
                let missing = ungranted(engine, component, &parts.grant);
                if !missing.is_empty() {
                    return Err(RuntimeError::Ungranted(missing));
                }
                let mut linker: Linker<CallState> = Linker::new(engine);
                let link = |e: wasmtime::Error| RuntimeError::Internal(format!("linking: {e:#}"));
                wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(link)?;
                let options = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
                wasmtime_wasi_http::p2::bindings::http::types::add_to_linker::<_, wasmtime_wasi_http::WasiHttp>(
                    &mut linker,
                    &(&options).into(),
                    wasmtime_wasi_http::WasiHttpView::http,
                )
                .map_err(link)?;
                if parts.grant.permissions.contains_key("http.outgoing") {
                    wasmtime_wasi_http::p2::bindings::http::outgoing_handler::add_to_linker::<_, wasmtime_wasi_http::WasiHttp>(
                        &mut linker,
                        wasmtime_wasi_http::WasiHttpView::http,
                    )
                    .map_err(link)?;
                }
                for i in INTERFACES {
                    if i.needs.is_empty() || i.needs.iter().any(|p| parts.grant.permissions.contains_key(p.name())) {
                        (i.link)(&mut linker).map_err(link)?;
                    }
                }
                let pre = linker
                    .instantiate_pre(component)
                    .map_err(|e| RuntimeError::Component(format!("the component does not fit this host: {}", brief(&format!("{e:#}")))))?;
                let exports = Exports::of(component);
                let http = if exports.http {
                    Some(ProxyPre::new(pre.clone()).map_err(|e| {
                        RuntimeError::Component(format!("its HTTP handler does not fit this host: {}", brief(&format!("{e:#}"))))
                    })?)
                } else {
                    None
                };
                Some(Code { pre, http, exports })
            }
        };
        let schemas = compiled_schemas(m, &parts.files)?;
        Ok(Loaded {
            id: m.id.clone(),
            version: m.version.clone(),
            digest: parts.digest,
            outgoing: Rules::of(&parts.grant),
            grant: Arc::new(parts.grant),
            settings: parts.settings,
            gate: Gate::new(&limits),
            limits,
            files: Arc::new(parts.files.into_iter().map(|(k, v)| (k, Bytes::from(v))).collect()),
            code,
            life: parts.life,
            schemas,
            engine: engine.clone(),
            manifest: parts.manifest,
        })
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The plugin as a principal.
    pub fn principal(&self, user: Option<UserPrincipal>) -> Principal {
        Principal::Plugin(PluginPrincipal { id: self.id.clone(), grant: self.grant.clone(), on_behalf: user })
    }

    /// What a call is for.
    pub fn info(&self, what: String, user: Option<UserPrincipal>, key: Option<String>) -> CallInfo {
        CallInfo {
            id: plenum_store::new_id(),
            who: self.principal(user.clone()),
            user,
            key,
            what,
            input: Input::None,
            depth: 0,
            migrates: false,
        }
    }

    /// Carries out an action of the manifest, for a caller that is `depth` calls of plugins away from where it began.
    #[allow(clippy::too_many_arguments)]
    pub async fn action(
        self: &Arc<Self>,
        services: &Arc<Services>,
        visit: Visit,
        name: &str,
        input: &Json,
        user: Option<UserPrincipal>,
        key: Option<String>,
        depth: u32,
    ) -> Result<Json, RuntimeError> {
        let schemas =
            self.schemas.get(name).ok_or_else(|| RuntimeError::NotFound(format!("the plugin {} has no action {name}", self.id)))?;
        check(schemas.input.as_ref().map(|s| &s.0), input)
            .map_err(|e| RuntimeError::Input(format!("the input of {}.{name}: {e}", self.id)))?;
        let index = self.export(|e| e.actions.as_ref(), "plenum:plugin/actions")?;
        let text = input.to_string();
        let mut info = CallInfo { depth, ..self.info(format!("action {name}"), user, key) };
        info.input = Input::Json(Arc::new(input.clone()));
        let out: String = self.call(services, visit, &index, info, (name.to_owned(), text)).await?;
        let out: Json = serde_json::from_str(&out).map_err(|e| RuntimeError::Plugin {
            code: "plugin.output".into(),
            status: 502,
            message: format!("the output of {}.{name} is not JSON: {e}", self.id),
        })?;
        check(schemas.output.as_ref().map(|s| &s.0), &out).map_err(|e| RuntimeError::Plugin {
            code: "plugin.output".into(),
            status: 502,
            message: format!("the output of {}.{name} does not fit its own schema: {e}", self.id),
        })?;
        Ok(out)
    }

    /// Hands an event over.
    pub async fn event(self: &Arc<Self>, services: &Arc<Services>, visit: Visit, event: &Json) -> Result<(), RuntimeError> {
        let index = self.export(|e| e.events.as_ref(), "plenum:plugin/events")?;
        let what = format!("event {}", event.get("type").and_then(Json::as_str).unwrap_or_default());
        let text = event.to_string();
        let mut info = self.info(what, None, None);
        info.input = Input::Json(Arc::new(event.clone()));
        self.call(services, visit, &index, info, (text,)).await
    }

    /// Fires a schedule of the manifest.
    pub async fn fire(self: &Arc<Self>, services: &Arc<Services>, visit: Visit, id: &str, key: Option<String>) -> Result<(), RuntimeError> {
        let index = self.export(|e| e.schedule.as_ref(), "plenum:plugin/schedule")?;
        let due = u64::try_from(plenum_store::now_ms()).unwrap_or(0);
        self.call(services, visit, &index, self.info(format!("schedule {id}"), None, key), (id.to_owned(), due)).await
    }

    /// Tells the plugin that it was installed or is about to go, when it wants to know.
    pub async fn lifecycle(
        self: &Arc<Self>,
        services: &Arc<Services>,
        install: bool,
        user: Option<UserPrincipal>,
    ) -> Result<(), RuntimeError> {
        let index = self.code.as_ref().and_then(|c| if install { c.exports.install } else { c.exports.uninstall });
        match index {
            Some(index) => {
                let info = self.info(if install { "install" } else { "uninstall" }.into(), user, None);
                self.call(services, self.life.own_visit(), &index, info, ()).await
            }
            None => Ok(()),
        }
    }

    /// Has the plugin bring its records from the version before to its own. Nobody else writes to them meanwhile.
    pub async fn upgrade(self: &Arc<Self>, services: &Arc<Services>, from: &str, user: Option<UserPrincipal>) -> Result<(), RuntimeError> {
        let Some(index) = self.code.as_ref().and_then(|c| c.exports.upgrade) else { return Ok(()) };
        let info = CallInfo { migrates: true, ..self.info(format!("upgrade from {from}"), user, None) };
        self.call(services, self.life.own_visit(), &index, info, (from.to_owned(),)).await
    }

    /// Whether it can be called: it starts, and says that it is well when it exports `health`.
    pub async fn healthy(self: &Arc<Self>, services: &Arc<Services>) -> Result<(), RuntimeError> {
        let Some(code) = &self.code else { return Ok(()) };
        let info = CallInfo { migrates: true, ..self.info("health check".into(), None, None) };
        if let Some(index) = code.exports.health {
            return self.call(services, self.life.own_visit(), &index, info, ()).await;
        }
        let _place = self.gate.enter(&self.life, self.limits.wall, &services.pool).await?;
        let mut store = store(self, services, info);
        let meter = store.data().meter.clone();
        match tokio::time::timeout(self.limits.wall, meter.run(code.pre.instantiate_async(&mut store))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(trap)) => Err(self.trapped(&mut store, &trap)),
            Err(_) => Err(self.timed_out(&mut store)),
        }
    }

    fn export(&self, f: impl Fn(&Exports) -> Option<&ComponentExportIndex>, interface: &str) -> Result<ComponentExportIndex, RuntimeError> {
        self.code
            .as_ref()
            .and_then(|c| f(&c.exports))
            .copied()
            .ok_or_else(|| RuntimeError::NotFound(format!("the component of {} does not export {interface}", self.id)))
    }

    async fn call<P, R>(
        self: &Arc<Self>,
        services: &Arc<Services>,
        visit: Visit,
        function: &ComponentExportIndex,
        info: CallInfo,
        params: P,
    ) -> Result<R, RuntimeError>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
        R: wasmtime::component::Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
    {
        let Some(code) = &self.code else { return Err(RuntimeError::NotFound(format!("{} has no component", self.id))) };
        let _place = self.gate.enter(&self.life, self.limits.wall, &services.pool).await?;
        let started = Instant::now();
        let mut store = store(self, services, info);
        let meter = store.data().meter.clone();
        let work = async {
            let instance: Instance = code.pre.instantiate_async(&mut store).await?;
            let f = instance.get_typed_func::<P, (Result<R, WitError>,)>(&mut store, function)?;
            let (r,) = f.call_async(&mut store, params).await?;
            Ok::<_, wasmtime::Error>(r)
        };
        let outcome = tokio::time::timeout(self.limits.wall, meter.run(work)).await;
        let result = match outcome {
            Ok(Ok(Ok(v))) => Ok(v),
            Ok(Ok(Err(e))) => {
                store.data().trace.failed(&e.message);
                Err(RuntimeError::Plugin { code: e.code, status: e.status.clamp(400, 599), message: e.message })
            }
            Ok(Err(trap)) => Err(self.trapped(&mut store, &trap)),
            Err(_) => Err(self.timed_out(&mut store)),
        };
        self.life.stats.finished(started, result.is_ok());
        visit.ended(services, outcome_of(result.as_ref().err()));
        result
    }

    /// What a trap means for the caller; the whole of it goes to the plugin's log.
    pub fn trapped(&self, store: &mut Store<CallState>, trap: &wasmtime::Error) -> RuntimeError {
        let s = store.data_mut();
        let (call, what) = (s.info.id.clone(), s.info.what.clone());
        let error = if s.out_of_cpu {
            RuntimeError::CpuBudget { plugin: self.id.clone(), call, limit_ms: ms(self.limits.cpu) }
        } else if s.memory.refused {
            RuntimeError::Memory { plugin: self.id.clone(), call, limit_mb: self.limits.memory_bytes >> 20 }
        } else if let Some((code, key, what)) = exceeded(&self.life.limits, s, trap) {
            RuntimeError::Limit { plugin: self.id.clone(), call, code, key, what }
        } else {
            RuntimeError::Trap { plugin: self.id.clone(), call }
        };
        let backtrace: String = format!("{trap:?}").chars().take(6_000).collect();
        s.note(Level::Error, format!("{what}: {error}"), serde_json::json!({"trap": backtrace}));
        self.keep_trap(s, &error, backtrace);
        error
    }

    /// What running out of time means.
    pub fn timed_out(&self, store: &mut Store<CallState>) -> RuntimeError {
        let s = store.data_mut();
        let error = RuntimeError::WallTime { plugin: self.id.clone(), call: s.info.id.clone(), limit_ms: ms(self.limits.wall) };
        let what = s.info.what.clone();
        s.note(Level::Error, format!("{what}: {error}"), Json::Null);
        self.keep_trap(s, &error, String::new());
        error
    }

    fn keep_trap(&self, s: &CallState, error: &RuntimeError, backtrace: String) {
        s.trace.failed(&error.to_string());
        let text = |v: &Json| v.as_str().map(str::to_owned);
        let secrets: Vec<String> =
            self.manifest.settings.iter().filter(|d| d.secret).filter_map(|d| text(self.settings.get(&d.name)?)).collect();
        self.life.stats.trapped(Trap {
            at: plenum_store::now_ms(),
            call: s.info.id.clone(),
            version: self.version.to_string(),
            what: s.info.what.clone(),
            code: error.code().to_owned(),
            message: error.to_string(),
            backtrace,
            input: s.info.input.shown(&secrets),
        });
    }
}

/// Which limit of the host's a trap is about: its code, its key in the configuration, and what the plugin did.
fn exceeded(most: &HostLimits, s: &CallState, trap: &wasmtime::Error) -> Option<(&'static str, &'static str, String)> {
    if let Some(most) = s.memory.tables_refused {
        return Some(("plugin.tables", "table_elements", format!("made tables of more than the {most} entries that a call may have")));
    }
    let words = trap.chain().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let says = |w: &str| words.contains(w);
    // wasmtime has no types for these; tests hold its words.
    if says("resource table has no free keys") || says("store handle limit exceeded") {
        return Some(("plugin.handles", "handles", format!("held more than the {} resources that a call may hold at once", most.handles)));
    }
    if says("fuel allocated for hostcalls has been exhausted") {
        let mb = most.copied_bytes >> 20;
        return Some(("plugin.copied", "copied_mb", format!("handed over more than the {mb} MiB that one call of the host may take")));
    }
    if says("requested len") && says("exceeds limit") {
        let kb = most.random_bytes >> 10;
        return Some(("plugin.random", "random_kb", format!("asked for more than the {kb} KiB of random numbers that it gets at once")));
    }
    if says("total size of fields exceeds limit") || says("too many fields in the field map") {
        let kb = most.header_bytes >> 10;
        return Some((
            "plugin.headers",
            "header_kb",
            format!("made more headers, or larger ones, than the {kb} KiB that a request or an answer may have"),
        ));
    }
    None
}

/// What an end means for the quarantine. An error of the plugin's own is an answer.
pub fn outcome_of(error: Option<&RuntimeError>) -> Outcome {
    match error {
        Some(
            e @ (RuntimeError::Trap { .. }
            | RuntimeError::CpuBudget { .. }
            | RuntimeError::Memory { .. }
            | RuntimeError::Limit { .. }
            | RuntimeError::WallTime { .. }),
        ) => Outcome::Crashed(e.to_string()),
        _ => Outcome::Well,
    }
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn check(validator: Option<&jsonschema::Validator>, value: &Json) -> Result<(), String> {
    let Some(v) = validator else { return Ok(()) };
    let told = |e: jsonschema::ValidationError<'_>| {
        let at = e.instance_path().to_string();
        if at.is_empty() { e.to_string() } else { format!("{at}: {e}") }
    };
    let problems: Vec<String> = v.iter_errors(value).take(5).map(told).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// The manifest's wishes within the host's bounds.
fn limits(m: &Manifest, host: &HostLimits) -> Limits {
    let d = Limits::default();
    let w = &m.limits;
    let clamp = |v: Option<u64>, default: u64, most: u64| v.unwrap_or(default).clamp(1, most);
    Limits {
        memory_bytes: (clamp(w.memory_mb.map(u64::from), (d.memory_bytes >> 20) as u64, (host.memory_bytes >> 20) as u64) as usize) << 20,
        cpu: Duration::from_millis(clamp(w.cpu_ms.map(u64::from), ms(d.cpu), ms(host.cpu)).max(10)),
        wall: Duration::from_millis(clamp(w.wall_ms.map(u64::from), ms(d.wall), ms(host.wall)).max(10)),
        concurrency: clamp(w.concurrency.map(u64::from), d.concurrency as u64, host.concurrency as u64) as usize,
        queue: host.queue,
    }
}
