//! The imports of a component, linked to the fakes by their types.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, Resource, ResourceTable, ResourceType, Type, Val};
use wasmtime::{AsContextMut, Engine, StoreContextMut};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::outside::FakeOutside;
use super::value::{answer, to_json};
use super::world::{HostCall, World, shown};
use crate::RuntimeError;
use crate::call::MemoryLimit;
use crate::compile::brief;
use crate::interfaces::{INTERFACES, OUTGOING, WASI, unknown};
use crate::package::Manifest;
use crate::printed::Printed;

/// What stands for a bucket of `wasi:keyvalue`: its number among those that were opened.
struct FakeBucket;

/// Interfaces that a test learns nothing from when they are asked: they read what the case itself says.
const QUIET: &[&str] = &["plenum:plugin/context", "plenum:plugin/secrets", "wasi:config/store"];

/// The data of a store.
pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outside: FakeOutside,
    world: Arc<Mutex<World>>,
    pub memory: MemoryLimit,
    printed: Printed,
}

struct Clock(Arc<Mutex<World>>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner).now;
        Duration::from_millis(u64::try_from(now).unwrap_or(0))
    }
}

/// A millisecond with every look: a loop that waits for it to go on ends.
struct Steps(AtomicU64);

impl HostMonotonicClock for Steps {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.fetch_add(1_000_000, Ordering::Relaxed)
    }
}

/// SplitMix64.
fn bytes(mut state: u64, count: usize) -> Vec<u8> {
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    std::iter::repeat_with(&mut next).take(count.div_ceil(8)).flatten().collect()
}

impl State {
    pub fn new(world: Arc<Mutex<World>>, memory: usize) -> State {
        // Other numbers in each call of a case, and the same in each run of it.
        let seed = {
            let w = world.lock().unwrap_or_else(PoisonError::into_inner);
            let call = w.call.bytes().fold(w.seed, |h, b| h.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(b)));
            call.wrapping_add(1)
        };
        let printed = Printed::default();
        let wasi = WasiCtxBuilder::new()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .wall_clock(Clock(world.clone()))
            .monotonic_clock(Steps(AtomicU64::new(0)))
            .secure_random(Deterministic::new(bytes(seed, 64 << 10)))
            .insecure_random(Deterministic::new(bytes(!seed, 4 << 10)))
            .insecure_random_seed(u128::from(seed))
            .stdout(printed.output())
            .stderr(printed.error())
            .build();
        State {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outside: FakeOutside(world.clone()),
            world,
            memory: MemoryLimit::new(memory, crate::engine::MAX_TABLE),
            printed,
        }
    }

    /// What it printed, for a trap's message.
    pub fn printed(&self) -> String {
        let (lines, _) = self.printed.take();
        lines.into_iter().map(|(_, _, line)| line).collect::<Vec<_>>().join("\n")
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outside }
    }
}

/// The component with all that it imports.
pub(super) fn linked(engine: &Engine, component: &Component, manifest: &Manifest) -> Result<InstancePre<State>, RuntimeError> {
    let mut linker: Linker<State> = Linker::new(engine);
    let failed = |e: wasmtime::Error| RuntimeError::Internal(format!("linking: {e:#}"));
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(failed)?;
    for (name, import) in component.component_type().imports(engine) {
        if WASI.iter().any(|w| name.starts_with(w)) || name.starts_with(OUTGOING) {
            continue;
        }
        manifest.require_import(name)?;
        // A host that does not have it would refuse the plugin: it must not pass here.
        if !INTERFACES.iter().any(|i| name.starts_with(i.import)) {
            return Err(RuntimeError::Component(unknown(name)));
        }
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let plain = name.split('@').next().unwrap_or(name).to_owned();
        let mut linked = linker.instance(name).map_err(failed)?;
        for (function, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let (interface, called) = (plain.clone(), function.to_owned());
                    linked
                        .func_new(function, move |cx, ty, params, results| host_call(cx, &interface, &called, &ty, params, results))
                        .map_err(failed)?;
                }
                ComponentItem::Resource(_) => {
                    linked.resource(function, ResourceType::host::<FakeBucket>(), |_, _| Ok(())).map_err(failed)?;
                }
                _ => {}
            }
        }
    }
    linker
        .instantiate_pre(component)
        .map_err(|e| RuntimeError::Component(format!("the component does not fit this host: {}", brief(&format!("{e:#}")))))
}

fn host_call(
    mut cx: StoreContextMut<'_, State>,
    interface: &str,
    function: &str,
    ty: &ComponentFunc,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let world = cx.data().world.clone();
    let mut args = Map::new();
    for ((name, _), value) in ty.params().zip(params) {
        let value = match value {
            Val::Resource(r) => {
                let bucket: Resource<FakeBucket> = r.try_into_resource(cx.as_context_mut())?;
                let w = world.lock().unwrap_or_else(PoisonError::into_inner);
                json!(w.buckets.get(bucket.rep() as usize))
            }
            v => to_json(v),
        };
        args.insert(name.replace('-', "_"), value);
    }
    let said = {
        let mut w = world.lock().unwrap_or_else(PoisonError::into_inner);
        let said = w.answer(interface, function, &args);
        if !QUIET.contains(&interface) {
            let shown = shown(&args);
            let error = said.as_ref().err().map(|e| e.code.clone());
            w.made.push(HostCall { call: format!("{interface}.{function}"), args: shown, error });
        }
        said
    };
    let result = ty.results().next();
    // The one resource of the contract: an open bucket.
    if let (Some(Type::Result(r)), Ok(Json::Number(n))) = (&result, &said)
        && let Some(Type::Own(_)) = r.ok()
    {
        let bucket = Resource::<FakeBucket>::new_own(n.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0));
        let any = bucket.try_into_resource_any(cx.as_context_mut())?;
        if let Some(slot) = results.first_mut() {
            *slot = Val::Result(Ok(Some(Box::new(Val::Resource(any)))));
        }
        return Ok(());
    }
    let value = answer(result.as_ref(), said)
        .map_err(|e| wasmtime::Error::msg(format!("{interface}.{function}: {e}; mend the case's [[answers]], or the fake has a gap")))?;
    if let (Some(slot), Some(value)) = (results.first_mut(), value) {
        *slot = value;
    }
    Ok(())
}
