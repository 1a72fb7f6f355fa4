//! The one wasmtime engine of the process, and the cache of compiled components.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::RuntimeError;
use crate::compile::{Compiler, brief};

/// Length of one epoch: how long a guest computes before it is looked at and others get their turn.
pub const TICK: Duration = Duration::from_millis(10);

/// Largest memory of one linear memory, whatever a plugin asks for.
pub const MAX_MEMORY: usize = 512 * 1024 * 1024;

/// Most calls at once, of all plugins together.
pub const MAX_CALLS: usize = 128;
/// Entries of one table.
pub const MAX_TABLE: usize = 100_000;
/// Core modules and tables of one component: those of scripting languages have some 40, a plugin of ours has 2.
const MAX_PARTS: u32 = 64;
/// Memories of one component.
const MAX_MEMORIES: u32 = 4;

/// What decides how code is compiled: the same for the engine that runs it and for the one that only compiles.
fn base() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_component_model(true)
        // What a contract of 0.2 does not have: the tables for calls within calls would be set up for every call.
        .concurrency_support(false)
        // A trap names the lines of the source where the component carries them.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .memory_reservation(MAX_MEMORY as u64);
    config
}

/// An engine to compile with, in a process that may not reserve the address space of a pool. Its code loads in [`engine`].
pub fn compiling_engine() -> Result<Engine, RuntimeError> {
    Engine::new(&base()).map_err(|e| RuntimeError::Internal(format!("the WebAssembly compiler does not start: {e:#}")))
}

/// Builds the engine. Its pool has room for as many calls as are let in, each as large as it may be: an exhausted pool is an error
/// of the call that came last, and not a queue. Most of it is address space that costs nothing until it is used.
pub fn engine() -> Result<Engine, RuntimeError> {
    let calls = MAX_CALLS as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls * MAX_PARTS)
        .total_memories(calls * MAX_MEMORIES)
        .total_tables(calls * MAX_PARTS)
        .total_stacks(2 * calls)
        .max_core_instances_per_component(MAX_PARTS)
        .max_tables_per_component(MAX_PARTS)
        .max_memories_per_component(MAX_MEMORIES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(MAX_TABLE)
        .max_memory_size(MAX_MEMORY)
        // Small: what stays resident is cleared by hand, the rest is given back to the kernel.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(8 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).map_err(|e| RuntimeError::Internal(format!("the WebAssembly engine does not start: {e:#}")))
}

/// Compiled components on disk, keyed by the component and by what this build of wasmtime can load.
#[derive(Debug, Clone)]
pub struct CompileCache {
    dir: PathBuf,
    compiler: Option<Compiler>,
}

impl CompileCache {
    /// In `dir`, which only the host may write: what is in it runs with the host's rights.
    /// What is not there is compiled by `compiler` in a child process; without one in this process.
    pub fn new(dir: PathBuf, compiler: Option<Compiler>) -> Result<CompileCache, RuntimeError> {
        use std::os::unix::fs::PermissionsExt;
        let io = |e: std::io::Error| RuntimeError::Internal(format!("the compile cache {}: {e}", dir.display()));
        std::fs::create_dir_all(&dir).map_err(io)?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).map_err(io)?;
        Ok(CompileCache { dir, compiler })
    }

    fn path(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        use std::hash::{Hash, Hasher};
        // `precompile_compatibility_hash` hashes with whatever hasher it is given; a stable one makes a stable name.
        struct Sha(Sha256);
        impl Hasher for Sha {
            fn finish(&self) -> u64 {
                u64::from_le_bytes(self.0.clone().finalize().iter().take(8).copied().collect::<Vec<u8>>().try_into().unwrap_or_default())
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        let mut compatible = Sha(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut compatible);
        self.dir.join(format!("{}-{:016x}.cwasm", hex::encode(Sha256::digest(wasm)), compatible.finish()))
    }

    /// The compiled component: from the cache, else compiled now (seconds for a large one: call it off the request path).
    /// Answers whether the cache had it.
    pub fn load(&self, engine: &Engine, wasm: &[u8]) -> Result<(Component, bool), RuntimeError> {
        let path = self.path(engine, wasm);
        if path.exists()
            && let Some(c) = deserialize(engine, &path)
        {
            return Ok((c, true));
        }
        crate::compile::bounded(wasm)?;
        let temporary = path.with_extension(format!("new{}", std::process::id()));
        let compiled = match &self.compiler {
            Some(compiler) => compiler.compile(wasm, &temporary),
            None => in_process(engine, wasm, &temporary),
        };
        if let Err(e) = compiled {
            let _ = std::fs::remove_file(&temporary);
            return Err(e);
        }
        std::fs::rename(&temporary, &path).map_err(|e| RuntimeError::Internal(format!("the compile cache {}: {e}", path.display())))?;
        // Compiled a moment ago for this engine: what does not load has more parts than a place of the pool.
        open(engine, &path).map(|c| (c, false)).map_err(|e| {
            let _ = std::fs::remove_file(&path);
            let why = brief(&format!("{e:#}"));
            RuntimeError::Component(format!("the component needs more than one call may have: {why}; make it of fewer and smaller parts"))
        })
    }

    /// Removes what was compiled for a component that is gone.
    pub fn forget(&self, engine: &Engine, wasm: &[u8]) {
        let _ = std::fs::remove_file(self.path(engine, wasm));
    }
}

fn in_process(engine: &Engine, wasm: &[u8], output: &Path) -> Result<(), RuntimeError> {
    let code = engine.precompile_component(wasm).map_err(|e| crate::compile::refused(&format!("{e:#}")))?;
    std::fs::write(output, code).map_err(|e| RuntimeError::Internal(format!("the compile cache {}: {e}", output.display())))
}

fn open(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by this code into a folder that only the host's user can enter (mode 0700); wasmtime itself
    // refuses code of another version or configuration.
    #[allow(unsafe_code)]
    unsafe {
        Component::deserialize_file(engine, path)
    }
}

fn deserialize(engine: &Engine, path: &Path) -> Option<Component> {
    match open(engine, path) {
        Ok(c) => Some(c),
        Err(e) => {
            tracing::warn!(error = %e, path = %path.display(), "a file of the compile cache is not usable and is made anew");
            let _ = std::fs::remove_file(path);
            None
        }
    }
}
