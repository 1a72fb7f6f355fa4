//! Compiling in a child process of bounded memory and time: what a component makes the compiler do is outside of what wasmtime
//! promises to bound, and a host that runs out of memory takes everybody with it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::RuntimeError;

/// Compilers at once, however many components wait: each is worth a core.
const AT_ONCE: usize = 2;
/// Bytes kept of what a compiler says.
const MAX_WORDS: u64 = 64 << 10;

/// How components are compiled: a program that does [`child`], and what it may use.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The program, usually this one again.
    pub program: PathBuf,
    /// What makes it the compiler.
    pub arguments: Vec<String>,
    /// Address space on top of what the program itself takes.
    pub memory_bytes: u64,
    /// CPU time; whole seconds, at least one.
    pub cpu: Duration,
    /// Time by the clock.
    pub wall: Duration,
    places: Arc<Semaphore>,
}

/// What the child is told on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    input: PathBuf,
    output: PathBuf,
    memory_bytes: u64,
    cpu_s: u64,
}

impl Compiler {
    /// This program, as the subcommand `compile-component`. The bounds leave room for a component that carries an interpreter
    /// (8 s and 1 GiB on a small machine).
    pub fn this_program() -> Compiler {
        // The running file, also when another was put in its place.
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() { running } else { std::env::current_exe().unwrap_or(running) };
        Compiler::new(program, vec!["compile-component".to_owned()])
    }

    /// Another program.
    pub fn new(program: PathBuf, arguments: Vec<String>) -> Compiler {
        Compiler {
            program,
            arguments,
            memory_bytes: 4 << 30,
            cpu: Duration::from_secs(180),
            wall: Duration::from_secs(300),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Compiles `wasm` into the file `output`. Takes seconds: off the async threads, but on one that a runtime started.
    pub(crate) fn compile(&self, wasm: &[u8], output: &Path) -> Result<(), RuntimeError> {
        let internal = |e: std::io::Error| RuntimeError::Internal(format!("compiling into {}: {e}", output.display()));
        let input = output.with_extension("wasm");
        std::fs::write(&input, wasm).map_err(internal)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| RuntimeError::Internal(e.to_string()))?;
        let result = runtime.block_on(self.run(&input, output));
        let _ = std::fs::remove_file(&input);
        result
    }

    async fn run(&self, input: &Path, output: &Path) -> Result<(), RuntimeError> {
        let internal = |e: std::io::Error| RuntimeError::Internal(format!("the compiler {} cannot be run: {e}", self.program.display()));
        let _place = self.places.acquire().await.map_err(|e| RuntimeError::Internal(e.to_string()))?;
        let order =
            Order { input: input.to_owned(), output: output.to_owned(), memory_bytes: self.memory_bytes, cpu_s: self.cpu.as_secs().max(1) };
        let order = serde_json::to_vec(&order).map_err(|e| RuntimeError::Internal(e.to_string()))?;
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            // The host's environment holds secrets, and a compiler needs nothing of it.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(internal)?;
        let (mut stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let work = async {
            if let Some(mut stdin) = stdin.take() {
                // One that dies before it reads says why in its status.
                let _ = stdin.write_all(&order).await;
            }
            let mut words = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = (&mut stderr).take(MAX_WORDS).read_to_end(&mut words).await;
                // Read to the end, or it would wait for us.
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
            (child.wait().await, words)
        };
        match tokio::time::timeout(self.wall, work).await {
            Ok((status, words)) => self.outcome(status.map_err(internal)?, &String::from_utf8_lossy(&words)),
            Err(_) => Err(self.limit(&format!("it took longer than {} ms", self.wall.as_millis()))),
        }
    }

    fn limit(&self, what: &str) -> RuntimeError {
        RuntimeError::CompileLimit(format!(
            "compiling the component was stopped: {what}; its author can make it smaller, or an administrator can allow more under [plugins.compile]"
        ))
    }

    fn outcome(&self, status: ExitStatus, words: &str) -> Result<(), RuntimeError> {
        use nix::sys::signal::Signal;
        let signal = status.signal().and_then(|s| Signal::try_from(s).ok());
        let said = words.trim();
        let memory = ["memory allocation", "Cannot allocate memory", "os error 12", "out of memory", "WouldBlock"];
        match (status.code(), signal) {
            (Some(0), _) => Ok(()),
            (_, Some(Signal::SIGXCPU | Signal::SIGKILL)) => {
                Err(self.limit(&format!("it computed longer than {} s", self.cpu.as_secs().max(1))))
            }
            _ if memory.iter().any(|m| said.contains(m)) => {
                Err(self.limit(&format!("it needed more than {} MiB of memory", self.memory_bytes >> 20)))
            }
            (Some(code), _) if code == i32::from(REFUSED) => Err(refused(said)),
            (Some(code), _) => Err(RuntimeError::Internal(format!("the compiler ended with {code}: {said}"))),
            // A recursion too deep, or a mistake of the compiler: in either case of this component.
            (None, signal) => Err(self.limit(&format!(
                "the compiler died of {} ({})",
                signal.map_or("a signal", Signal::as_str),
                said.chars().take(500).collect::<String>()
            ))),
        }
    }
}

/// Components and modules within each other.
const MAX_NESTING: u32 = 50;

/// Refuses what would keep the compiler busy by its shape alone: it takes time with the square of the depth.
pub(crate) fn bounded(wasm: &[u8]) -> Result<(), RuntimeError> {
    use wasmparser::{Parser, Payload};
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => {
                depth += 1;
                if depth > MAX_NESTING {
                    return Err(refused(&format!("its parts are nested more than {MAX_NESTING} deep")));
                }
            }
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            // The compiler says what is wrong with it.
            Err(_) => break,
        }
    }
    Ok(())
}

pub(crate) fn refused(why: &str) -> RuntimeError {
    RuntimeError::Component(format!("the component does not compile: {}", brief(why)))
}

/// What is said of a component, without the names of 100 KB that it may have.
pub(crate) fn brief(words: &str) -> String {
    const MOST: usize = 1_000;
    match words.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", words.get(..at).unwrap_or_default()),
        None => words.to_owned(),
    }
}

/// The child's status for a component that is not valid.
const REFUSED: u8 = 2;

/// The other side: reads its order from standard input, bounds itself, and compiles.
pub fn child() -> ExitCode {
    ExitCode::from(status())
}

pub(crate) fn status() -> u8 {
    let order = match order() {
        Ok(o) => o,
        Err(e) => {
            eprintln!("compile-component is for the host itself: it reads its order from standard input ({e})");
            return 1;
        }
    };
    match work(&order) {
        Ok(()) => 0,
        Err(RuntimeError::Component(why)) => {
            eprintln!("{why}");
            REFUSED
        }
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}

fn order() -> Result<Order, String> {
    let mut text = String::new();
    std::io::stdin().take(64 << 10).read_to_string(&mut text).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

fn work(order: &Order) -> Result<(), RuntimeError> {
    // A host that dies must not leave compilers behind.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    let engine = crate::engine::compiling_engine()?;
    let bound = |resource: Resource, value: u64| {
        setrlimit(resource, value, value).map_err(|e| RuntimeError::Internal(format!("the compiler cannot be bounded: {e}")))
    };
    // What the program itself has mapped is not the component's.
    bound(Resource::RLIMIT_AS, mapped().saturating_add(order.memory_bytes))?;
    bound(Resource::RLIMIT_CPU, order.cpu_s)?;
    bound(Resource::RLIMIT_CORE, 0)?;
    let internal = |e: std::io::Error| RuntimeError::Internal(e.to_string());
    let wasm = std::fs::read(&order.input).map_err(internal)?;
    let code = engine.precompile_component(&wasm).map_err(|e| RuntimeError::Component(format!("{e:#}")))?;
    std::fs::write(&order.output, code).map_err(internal)
}

/// Address space of this process.
fn mapped() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|s| s.split(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(4096)
}
