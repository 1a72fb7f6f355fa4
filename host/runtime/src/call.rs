//! One call of a plugin: a fresh store with its limits, thrown away after.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plenum_access::{Principal, UserPrincipal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::engine::MAX_TABLE;
use crate::life::Life;
use crate::logs::{Level, Line};
use crate::meter::Meter;
use crate::outgoing::Outgoing;
use crate::plugin::Loaded;
use crate::printed::Printed;
use crate::trace::{OpenSpan, Recorder};
use crate::{RuntimeError, Services};

/// What one call may use, decoded from the manifest and bounded by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Bytes of all linear memories together.
    pub memory_bytes: usize,
    /// CPU time.
    pub cpu: Duration,
    /// Time by the clock, host calls included.
    pub wall: Duration,
    /// Calls at once.
    pub concurrency: usize,
    /// Calls that wait for a place; more are refused.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes: 64 << 20, cpu: Duration::from_secs(2), wall: Duration::from_secs(30), concurrency: 16, queue: 256 }
    }
}

/// Sums over all memories of a store: wasmtime's own limit is per memory.
#[derive(Debug)]
pub struct MemoryLimit {
    limit: usize,
    used: usize,
    pub peak: usize,
    pub refused: bool,
    table_limit: usize,
    tables: usize,
    /// Entries of its tables.
    pub tables_peak: usize,
    /// The limit that a table would have gone beyond.
    pub tables_refused: Option<usize>,
}

impl MemoryLimit {
    pub(crate) fn new(bytes: usize, table_limit: usize) -> MemoryLimit {
        MemoryLimit { limit: bytes, used: 0, peak: 0, refused: false, table_limit, tables: 0, tables_peak: 0, tables_refused: None }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        self.peak = self.peak.max(used);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let tables = self.tables.saturating_sub(current).saturating_add(desired);
        // Each has to fit into the pool too.
        for (size, most) in [(tables, self.table_limit), (desired, MAX_TABLE)] {
            if size > most {
                self.tables_refused = Some(most);
                return Ok(false);
            }
        }
        self.tables = tables;
        self.tables_peak = self.tables_peak.max(tables);
        Ok(true)
    }
}

/// Who and what a call is for.
#[derive(Debug, Clone)]
pub struct CallInfo {
    /// In the log and in errors.
    pub id: String,
    /// The plugin, with its grant, on behalf of `user`.
    pub who: Principal,
    /// The person on whose behalf.
    pub user: Option<UserPrincipal>,
    /// The same at every attempt of a workflow's task.
    pub key: Option<String>,
    /// `http GET /x`, `action plan`.
    pub what: String,
    /// What it was called with: for the administrator who looks at a trap.
    pub input: Input,
    /// How many plugins called each other before this one.
    pub depth: u32,
    /// Whether it is the migration of an upgrade, which alone may write meanwhile.
    pub migrates: bool,
}

/// What a call was given. Only when it fails is it made readable, which takes longer than many a call.
#[derive(Debug, Clone, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    None,
    /// Of an action, or an event.
    Json(Arc<serde_json::Value>),
    /// Of HTTP.
    Request(http::Method, http::Uri, bytes::Bytes),
}

impl Input {
    /// For people, without what is secret by its name or among `known`.
    pub fn shown(&self, known: &[String]) -> Option<String> {
        match self {
            Input::None => None,
            Input::Json(v) => Some(crate::redact::without(crate::redact::json(v), known)),
            Input::Request(method, uri, body) => Some(crate::redact::request(method, uri, body, known)),
        }
    }
}

/// Most lines of a call's log.
const MAX_LINES: usize = 1_000;
/// Most bytes of a call's log.
const MAX_LOG_BYTES: usize = 256 * 1024;

/// The data of a store.
pub struct CallState {
    pub wasi: WasiCtx,
    pub http: WasiHttpCtx,
    pub table: ResourceTable,
    pub memory: MemoryLimit,
    pub outgoing: Outgoing,
    pub info: CallInfo,
    pub plugin: Arc<Loaded>,
    pub services: Arc<Services>,
    pub lines: Vec<Line>,
    printed: Printed,
    log_bytes: usize,
    lost_lines: usize,
    over_rate: bool,
    /// CPU time of the call.
    pub meter: Arc<Meter>,
    pub out_of_cpu: bool,
    /// What it does, and how long each part takes.
    pub trace: Arc<Recorder>,
}

impl CallState {
    /// A call of the host begins, and ends when what is answered is dropped.
    pub fn span(&self, name: &'static str) -> OpenSpan {
        self.trace.span(name)
    }

    /// Writes to the plugin's log, within the bounds of one call.
    pub fn log(&mut self, level: Level, message: String, fields: serde_json::Value) {
        self.log_at(plenum_store::now_ms(), level, message, fields);
    }

    fn log_at(&mut self, at: i64, level: Level, message: String, fields: serde_json::Value) {
        let size = message.len() + fields.to_string().len();
        if self.lines.len() >= MAX_LINES || self.log_bytes + size > MAX_LOG_BYTES {
            self.lost_lines += 1;
            return;
        }
        if self.plugin.life.log.take(1.0).is_err() {
            self.lost_lines += 1;
            self.over_rate = true;
            return;
        }
        self.log_bytes += size;
        self.lines.push(Line { at, level, call: self.info.id.clone(), message, fields });
    }

    /// What it printed, among what it logged, by time.
    fn log_printed(&mut self) {
        let (printed, lost) = self.printed.take();
        self.lost_lines += lost;
        if printed.is_empty() {
            return;
        }
        let said = std::mem::take(&mut self.lines);
        for (at, level, message) in printed {
            self.log_at(at, level, message, serde_json::Value::Null);
        }
        self.lines.extend(said);
        self.lines.sort_by_key(|l| l.at);
    }

    /// What the host itself has to say of the call.
    pub fn note(&mut self, level: Level, message: String, fields: serde_json::Value) {
        self.lines.push(Line { at: plenum_store::now_ms(), level, call: self.info.id.clone(), message, fields });
    }

    fn close_log(&mut self) {
        if self.lost_lines == 0 {
            return;
        }
        let life = self.plugin.life.clone();
        life.stats.log_dropped.fetch_add(self.lost_lines as u64, Ordering::Relaxed);
        // Calls without number must not fill the log by saying that it is full.
        if self.over_rate && !life.tells_of_lost_lines() {
            return;
        }
        let message = format!(
            "{} more lines of this call were not kept: a call logs at most {MAX_LINES} lines and {MAX_LOG_BYTES} bytes, all calls together {} lines a minute",
            self.lost_lines, life.limits.log_lines_per_minute
        );
        self.note(Level::Warn, message, serde_json::Value::Null);
    }
}

impl Drop for CallState {
    /// Also a call that trapped, timed out or was dropped leaves its log.
    fn drop(&mut self) {
        self.log_printed();
        self.close_log();
        let lines = std::mem::take(&mut self.lines);
        let (used, life) = (self.meter.used(), &self.plugin.life);
        life.cpu.spend(used.as_secs_f64() * 1000.0);
        let cpu_us = u64::try_from(used.as_micros()).unwrap_or(u64::MAX);
        let trace = self.trace.ended(&self.info.id, &self.plugin.id, self.plugin.version.to_string(), &self.info.what, cpu_us);
        self.services.traced(life, trace);
        life.stats.cpu_us.fetch_add(cpu_us, Ordering::Relaxed);
        life.stats.memory_peak.fetch_max(self.memory.peak as u64, Ordering::Relaxed);
        life.stats.table_peak.fetch_max(self.memory.tables_peak as u64, Ordering::Relaxed);
        if !lines.is_empty() {
            self.services.logs.append(&self.plugin.id, lines);
        }
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}

/// A fresh store.
pub fn store(plugin: &Arc<Loaded>, services: &Arc<Services>, info: CallInfo) -> Store<CallState> {
    let (limits, most) = (plugin.limits, plugin.life.limits);
    let mut table = ResourceTable::new();
    table.set_max_capacity(most.handles);
    // Nothing: no arguments, environment, folders, sockets. Clocks and random numbers are all a component gets of WASI. What it prints is logged.
    let printed = Printed::default();
    let trace = Recorder::start();
    let wasi = WasiCtxBuilder::new()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(most.random_bytes)
        .stdout(printed.output())
        .stderr(printed.error())
        .build();
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(most.header_bytes);
    let state = CallState {
        wasi,
        http,
        table,
        memory: MemoryLimit::new(limits.memory_bytes, most.table_elements),
        outgoing: Outgoing::new(plugin, services, &info.id, trace.clone()),
        info,
        plugin: plugin.clone(),
        services: services.clone(),
        lines: Vec::new(),
        printed,
        log_bytes: 0,
        lost_lines: 0,
        over_rate: false,
        meter: Arc::new(Meter::new(plugin.life.turns.clone())),
        out_of_cpu: false,
        trace,
    };
    let mut store = Store::new(plugin.engine(), state);
    store.limiter(|s| &mut s.memory);
    store.set_hostcall_fuel(most.copied_bytes);
    store.set_max_component_handles(most.handles);
    // The callback runs when the guest computes while a tick passes: it yields, so that others get their turn, and when the budget
    // is used up it interrupts. Ticks themselves are not what is counted: the first after each wait for the host would be too.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut cx| {
        let s = cx.data_mut();
        if s.meter.used() < limits.cpu {
            // It computes long: from now on it takes turns with the other calls of its plugin.
            s.meter.takes_turns();
            return Ok(UpdateDeadline::Yield(1));
        }
        s.out_of_cpu = true;
        Ok(UpdateDeadline::Interrupt)
    });
    store
}

/// Lets a bounded number of calls in; the next wait in order, and beyond the queue they are refused. The pool itself would fail
/// where back-pressure is meant.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    queue: usize,
}

impl Gate {
    /// For these limits.
    pub fn new(limits: &Limits) -> Gate {
        Gate { places: Arc::new(Semaphore::new(limits.concurrency)), queue: limits.queue }
    }

    /// Waits for a place of the plugin, then for one of the process, until `wall` is over.
    pub async fn enter(&self, life: &Life, wall: Duration, pool: &Arc<Semaphore>) -> Result<Place, RuntimeError> {
        struct Leave<'a>(&'a Life);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.stats.queued.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if let (Ok(own), Ok(pooled)) = (self.places.clone().try_acquire_owned(), pool.clone().try_acquire_owned()) {
            return Ok(Place { _own: own, _pooled: pooled });
        }
        let busy = || {
            life.stats.refused();
            RuntimeError::Busy { plugin: life.id.clone() }
        };
        let waiting = life.stats.queue();
        let _leave = Leave(life);
        if waiting > self.queue {
            return Err(busy());
        }
        // The plugin's place first: one that waits for its own turn must not hold a place that others could use.
        let both = async {
            let own = self.places.clone().acquire_owned().await.ok()?;
            let pooled = pool.clone().acquire_owned().await.ok()?;
            Some(Place { _own: own, _pooled: pooled })
        };
        tokio::time::timeout(wall, both).await.ok().flatten().ok_or_else(busy)
    }
}

/// A call's right to be there. To be dropped after its store: only then are the store's parts of the pool free.
#[derive(Debug)]
pub struct Place {
    _own: OwnedSemaphorePermit,
    _pooled: OwnedSemaphorePermit,
}
