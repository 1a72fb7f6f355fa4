//! A fake host for tests of built components: `plenum plugin test` runs a plugin in it. Nothing in it is by chance: time stands still, random
//! numbers follow a seed, ids count, and all that the plugin asks of the host is recorded in its order. What it answers comes from fixtures.
//!
//! It links by the types that the component carries (see [`value`]), so that a function of the contract is faked in one place for all
//! versions of it, and one that it does not know can still be answered by a fixture.

mod cmdb;
mod fixtures;
mod link;
mod outside;
mod store;
#[cfg(test)]
mod tests;
mod value;
mod work;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

use crate::RuntimeError;
use crate::bindings::plenum::types::types::Error as WitError;
use crate::engine::{CompileCache, TICK};
use crate::package::{Manifest, Package};
use crate::plugin::{Exports, Schemas, check, compiled_schemas};

pub use fixtures::Fixtures;
pub use world::{HostCall, World};

use link::State;

/// An error that a fake answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// HTTP's number.
    pub status: u16,
    /// In words.
    pub message: String,
}

fn refusal(code: &str, status: u16, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), status, message: message.into() }
}

/// Where `found` is not what is expected: objects may have more fields, lists not more items, `"*"` is any value; none when it is.
pub fn differs(expected: &Json, found: &Json, at: &str) -> Option<String> {
    match (expected, found) {
        (Json::String(any), _) if any == "*" => None,
        (Json::Object(e), Json::Object(f)) => e.iter().find_map(|(k, v)| match f.get(k) {
            Some(found) => differs(v, found, &format!("{at}/{k}")),
            None => Some(format!("{at}/{k} is missing")),
        }),
        (Json::Array(e), Json::Array(f)) if e.len() == f.len() => {
            e.iter().zip(f).enumerate().find_map(|(i, (e, f))| differs(e, f, &format!("{at}/{i}")))
        }
        (Json::Number(e), Json::Number(f)) if e.as_f64() == f.as_f64() => None,
        _ if expected == found => None,
        _ => Some(format!("{} is {found}, not {expected}", if at.is_empty() { "it" } else { at })),
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// HTTP's number; that of the error for an action, an event or a schedule that failed, else 200 or 204.
    pub status: u16,
    /// Of an HTTP answer.
    pub headers: BTreeMap<String, String>,
    /// JSON where it is that, else text.
    pub body: Json,
}

/// Longest that a call may take by the clock: what takes longer has no end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plugin in the fake host.
pub struct FakeHost {
    manifest: Arc<Manifest>,
    engine: Engine,
    pre: Option<InstancePre<State>>,
    exports: Exports,
    schemas: HashMap<String, Schemas>,
    /// Ends with it: the thread that counts the time of what computes.
    _ticker: Arc<()>,
}

impl FakeHost {
    /// Loads a package; what is compiled is kept in `cache`, so that the next run begins at once.
    pub fn new(package: Package, cache: PathBuf) -> Result<FakeHost, RuntimeError> {
        let manifest = Arc::new(package.manifest);
        let engine = crate::engine::compiling_engine()?;
        let alive = Arc::new(());
        let (ticking, watched) = (engine.clone(), Arc::downgrade(&alive));
        let ticker = std::thread::Builder::new().name("test-epochs".into()).spawn(move || {
            while watched.strong_count() > 0 {
                std::thread::sleep(TICK);
                ticking.increment_epoch();
            }
        });
        ticker.map_err(|e| RuntimeError::Internal(format!("the thread that bounds computing does not start: {e}")))?;
        let files: BTreeMap<String, Vec<u8>> = package.files;
        let schemas = compiled_schemas(&manifest, &files)?;
        let (pre, exports) = match &package.component {
            None => (None, Exports::default()),
            Some(wasm) => {
                let (component, _) = CompileCache::new(cache, None)?.load(&engine, wasm)?;
                (Some(link::linked(&engine, &component, &manifest)?), Exports::of(&component))
            }
        };
        Ok(FakeHost { manifest, engine, pre, exports, schemas, _ticker: alive })
    }

    /// The plugin's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    fn store(&self, world: &Arc<Mutex<World>>) -> Store<State> {
        let memory = self.manifest.limits.memory_mb.map_or(64 << 20, |mb| (mb as usize) << 20).min(crate::engine::MAX_MEMORY);
        let mut store = Store::new(&self.engine, State::new(world.clone(), memory));
        store.limiter(|s| &mut s.memory);
        let ticks = PATIENCE.as_millis() / TICK.as_millis().max(1);
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
        store
    }

    fn pre(&self) -> Result<&InstancePre<State>, RuntimeError> {
        self.pre.as_ref().ok_or_else(|| RuntimeError::NotFound(format!("the plugin {} has no component to call", self.manifest.id)))
    }

    /// A request to a route of the plugin.
    pub async fn http(&self, world: &Arc<Mutex<World>>, request: http::Request<Bytes>) -> Result<Outcome, RuntimeError> {
        if !self.exports.http {
            return Err(RuntimeError::NotFound(format!("the plugin {} answers no HTTP requests", self.manifest.id)));
        }
        let pre =
            ProxyPre::new(self.pre()?.clone()).map_err(|e| RuntimeError::Component(format!("its HTTP handler does not fit: {e:#}")))?;
        let (mut parts, body) = request.into_parts();
        let user = begin(world, None);
        parts.headers = crate::http::forwarded(&parts.headers, user.as_ref());
        parts.uri = format!("http://plenum{}", parts.uri.path_and_query().map_or("/", |p| p.as_str()))
            .parse()
            .map_err(|e| RuntimeError::Invalid(format!("the path is not valid: {e}")))?;
        let body = http_body_util::Full::new(body).map_err(|e: std::convert::Infallible| -> wasmtime_wasi_http::Error { match e {} });
        let mut store = self.store(world);
        let failed = |e: wasmtime::Error| RuntimeError::Internal(format!("{e:#}"));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let incoming =
            store.data_mut().http().new_incoming_request(Scheme::Http, http::Request::from_parts(parts, body)).map_err(failed)?;
        let out = store.data_mut().http().new_response_outparam(sender).map_err(failed)?;
        // It owns the store: when it ends, so does whatever the answer could still wait for.
        let work = async move {
            let worked = async {
                let proxy = pre.instantiate_async(&mut store).await?;
                proxy.wasi_http_incoming_handler().call_handle(&mut store, incoming, out).await
            };
            let result = worked.await;
            result.map_err(|trap| trapped(&store, &trap))
        };
        let answer = async {
            match receiver.await {
                Ok(Ok(response)) => {
                    let (parts, body) = response.into_parts();
                    let body = body.collect().await.map(|b| b.to_bytes()).map_err(|e| format!("the answer broke off: {e}"));
                    Some(body.map(|b| (parts, b)))
                }
                Ok(Err(code)) => Some(Err(format!("the plugin failed to answer: {code:?}"))),
                Err(_) => None,
            }
        };
        let both = tokio::time::timeout(PATIENCE, async { tokio::join!(work, answer) }).await;
        let (worked, answered) = both.map_err(|_| self.late())?;
        worked?;
        let broken = |message: String| RuntimeError::Plugin { code: "plugin.http".into(), status: 502, message };
        let (parts, body) = answered.ok_or_else(|| broken("the plugin ended without an answer".into()))?.map_err(broken)?;
        let headers = parts.headers.iter().map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
        let json = parts.headers.get(http::header::CONTENT_TYPE).is_some_and(|t| t.to_str().is_ok_and(|t| t.contains("json")));
        let text = || value::bytes_json(body.to_vec());
        let body = if json { serde_json::from_slice(&body).unwrap_or_else(|_| text()) } else { text() };
        Ok(Outcome { status: parts.status.as_u16(), headers, body })
    }

    fn late(&self) -> RuntimeError {
        let limit_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        RuntimeError::WallTime { plugin: self.manifest.id.clone(), call: "of the test".into(), limit_ms }
    }

    async fn call<P, R>(
        &self,
        world: &Arc<Mutex<World>>,
        export: Option<wasmtime::component::ComponentExportIndex>,
        interface: &str,
        key: Option<String>,
        params: P,
    ) -> Result<R, RuntimeError>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
        R: wasmtime::component::Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
    {
        let export = export.ok_or_else(|| RuntimeError::NotFound(format!("the component does not export {interface}")))?;
        begin(world, key);
        let mut store = self.store(world);
        let pre = self.pre()?;
        let work = async {
            let instance = pre.instantiate_async(&mut store).await?;
            let f = instance.get_typed_func::<P, (Result<R, WitError>,)>(&mut store, export)?;
            let (r,) = f.call_async(&mut store, params).await?;
            Ok::<_, wasmtime::Error>(r)
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(Ok(v))) => Ok(v),
            Ok(Ok(Err(e))) => Err(RuntimeError::Plugin { code: e.code, status: e.status.clamp(400, 599), message: e.message }),
            Ok(Err(trap)) => Err(trapped(&store, &trap)),
            Err(_) => Err(self.late()),
        }
    }

    /// An action of the manifest, with its schemas.
    pub async fn action(&self, world: &Arc<Mutex<World>>, name: &str, input: &Json, key: Option<String>) -> Result<Json, RuntimeError> {
        let id = &self.manifest.id;
        let schemas = self.schemas.get(name).ok_or_else(|| RuntimeError::NotFound(format!("the plugin {id} has no action {name}")))?;
        check(schemas.input.as_ref().map(|s| &s.0), input).map_err(|e| RuntimeError::Input(format!("the input of {id}.{name}: {e}")))?;
        let params = (name.to_owned(), input.to_string());
        let out: String = self.call(world, self.exports.actions, "plenum:plugin/actions", key, params).await?;
        let wrong = |message: String| RuntimeError::Plugin { code: "plugin.output".into(), status: 502, message };
        let out: Json = serde_json::from_str(&out).map_err(|e| wrong(format!("the output of {id}.{name} is not JSON: {e}")))?;
        check(schemas.output.as_ref().map(|s| &s.0), &out)
            .map_err(|e| wrong(format!("the output of {id}.{name} does not fit its own schema: {e}")))?;
        Ok(out)
    }

    /// Hands an event over, whether or not the manifest's filter would let it through: what is not said of it is filled in.
    pub async fn event(&self, world: &Arc<Mutex<World>>, event: &Json) -> Result<(), RuntimeError> {
        let mut whole = json!({ "specversion": "1.0", "id": "event-1", "source": "/test", "subject": "", "data": {} });
        if let (Some(whole), Some(said)) = (whole.as_object_mut(), event.as_object()) {
            whole.insert("time".into(), json!(crate::rfc3339(lock(world).now)));
            whole.extend(said.clone());
        }
        self.nobodys(world, async || self.call(world, self.exports.events, "plenum:plugin/events", None, (whole.to_string(),)).await).await
    }

    /// A schedule of the manifest is due.
    pub async fn schedule(&self, world: &Arc<Mutex<World>>, id: &str) -> Result<Json, RuntimeError> {
        let spec = self.manifest.schedules.iter().find(|s| s.id == id);
        let spec = spec.ok_or_else(|| RuntimeError::NotFound(format!("the plugin {} has no schedule {id}", self.manifest.id)))?;
        let due = u64::try_from(lock(world).now).unwrap_or(0);
        self.nobodys(world, async || match &spec.action {
            Some(action) => self.action(world, action, &spec.input, None).await,
            None => {
                let params = (spec.id.clone(), due);
                self.call(world, self.exports.schedule, "plenum:plugin/schedule", None, params).await.map(|()| Json::Null)
            }
        })
        .await
    }

    /// `install`, `uninstall`, `health`, or `upgrade` from a version.
    pub async fn lifecycle(&self, world: &Arc<Mutex<World>>, what: &str) -> Result<(), RuntimeError> {
        const INTERFACE: &str = "plenum:plugin/lifecycle";
        let e = &self.exports;
        match what.split_once(' ') {
            Some(("upgrade", from)) => self.call(world, e.upgrade, INTERFACE, None, (from.to_owned(),)).await,
            None if what == "install" => self.call(world, e.install, INTERFACE, None, ()).await,
            None if what == "uninstall" => self.call(world, e.uninstall, INTERFACE, None, ()).await,
            None if what == "health" => self.call(world, e.health, "plenum:plugin/health", None, ()).await,
            _ => Err(RuntimeError::Invalid(format!("{what:?} is neither install, uninstall, health nor \"upgrade 0.1.0\""))),
        }
    }

    /// On a schedule or an event nobody stands behind the call.
    async fn nobodys<T>(&self, world: &Arc<Mutex<World>>, call: impl AsyncFnOnce() -> T) -> T {
        let user = lock(world).user.take();
        let result = call().await;
        lock(world).user = user;
        result
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call begins; answers who asks.
fn begin(world: &Mutex<World>, key: Option<String>) -> Option<plenum_access::UserPrincipal> {
    let mut w = lock(world);
    w.call = w.id("call");
    w.key = key;
    w.buckets.clear();
    w.user.clone()
}

fn trapped(store: &Store<State>, trap: &wasmtime::Error) -> RuntimeError {
    let s = store.data();
    if s.memory.refused {
        return RuntimeError::Plugin {
            code: "plugin.memory".into(),
            status: 502,
            message: "the call needed more memory than memory_mb of [limits] allows".into(),
        };
    }
    let printed = s.printed();
    let mut message = format!("the plugin trapped: {trap:?}");
    if !printed.is_empty() {
        message = format!("{message}\nit printed:\n{printed}");
    }
    RuntimeError::Plugin { code: "plugin.trap".into(), status: 502, message }
}
