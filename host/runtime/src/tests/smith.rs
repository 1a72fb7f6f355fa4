//! Components that nobody wrote: made from numbers, by the hundred, and taken the way that a stranger's takes: packed, read, looked at,
//! compiled, linked, instantiated, called. Whatever is in them, the host answers in words, in time, and within its memory. The program that
//! makes them is `tests/smith`.
//!
//! `PLENUM_SMITH_COMPONENTS=10000` makes more of them, `PLENUM_SMITH_FIRST=77` begins elsewhere, each being made of its number alone, and
//! `PLENUM_SMITH_TELL=1` says why each was refused.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;

use super::*;
use crate::package::Package;

/// So many, when nobody says how many.
const USUAL: u64 = 240;
/// Every so often one goes through the catalog and the database too.
const WHOLE: u64 = 24;
/// A component is done with in this time, whatever is in it.
const PATIENT: Duration = Duration::from_secs(60);
/// What the host may have grown by, in MiB, after all of them.
const ROOM: u64 = 700;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |n| n.parse().expect("a number"))
}

/// The generator, running: a program of its own, that is built when it is first needed.
struct Smith {
    child: std::process::Child,
    out: std::io::BufReader<std::process::ChildStdout>,
}

impl Smith {
    fn start(first: u64) -> Smith {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let exe = std::env::current_exe().unwrap();
        // Beside what is built, as the plugins are: target/smith.
        let target = exe.ancestors().nth(3).unwrap().join("smith");
        let built = std::process::Command::new("cargo")
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(root.join("tests/smith/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("CARGO_TARGET_DIR")
            .status()
            .expect("cargo runs");
        assert!(built.success(), "tests/smith does not build");
        let mut command = std::process::Command::new(target.join("debug/smith"));
        let mut child = command.arg(first.to_string()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        Smith { child, out }
    }

    /// The next number, and what was made of it.
    fn next(&mut self) -> (u64, Vec<u8>) {
        let mut head = [0; 16];
        self.out.read_exact(&mut head).expect("the generator goes on");
        let (number, size) = head.split_at(8);
        let mut wasm = vec![0; u64::from_le_bytes(size.try_into().unwrap()) as usize];
        self.out.read_exact(&mut wasm).unwrap();
        (u64::from_le_bytes(number.try_into().unwrap()), wasm)
    }
}

impl Drop for Smith {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The component of what was made; none where a module makes none.
fn component(number: u64, wasm: Vec<u8>) -> Option<Vec<u8>> {
    let world = match number % 4 {
        2 => "smith",
        3 => "web",
        _ => return Some(wasm),
    };
    guests::encoded(world, wasm).map_err(|e| tell(number, &e)).ok()
}

fn tell(number: u64, why: &dyn std::fmt::Display) {
    if std::env::var_os("PLENUM_SMITH_TELL").is_some() {
        println!("{number}: {why}");
    }
}

/// Its package: asks for nothing, offers what the component has.
fn packed(seed: u64, wasm: Vec<u8>) -> Archive {
    let action = if seed % 4 == 2 { "[[actions]]\nname = \"go\"\n" } else { "" };
    let limits = "[limits]\nmemory_mb = 16\ncpu_ms = 20\nwall_ms = 2000\n";
    PackageWriter::new(manifest(&format!("{limits}[component]\npath = \"plugin.wasm\"\n{action}"))).component(wasm).finish().unwrap()
}

/// A line of `/proc/self/status`, in MiB.
fn memory(line: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// What became of one, in a word.
fn word(seed: u64, e: &RuntimeError) -> String {
    // What the host failed at is a failure of the host.
    assert!(!matches!(e, RuntimeError::Internal(_)), "{seed}: {e}");
    assert!((1..2_000).contains(&e.to_string().len()), "{seed}: {e}");
    tell(seed, e);
    e.code().to_owned()
}

/// All steps of an installation but the database's, then a call through each door.
async fn take(w: &World, seed: u64, archive: &Archive) -> String {
    let package = match Package::from_bytes(&archive.to_bytes().unwrap()) {
        Ok(p) => p,
        Err(e) => return e.code().to_owned(),
    };
    let wasm = package.component.clone().unwrap();
    let (plugins, services) = (w.plugins.clone(), w.plugins.services().clone());
    let loading = tokio::task::spawn_blocking(move || plugins.prepare(package, Default::default(), json!({})));
    let loaded = tokio::time::timeout(PATIENT, loading).await.unwrap_or_else(|_| panic!("{seed} takes too long to load"));
    let outcome = match loaded.unwrap_or_else(|e| panic!("{seed}: {e}")) {
        Err(e) => word(seed, &e),
        Ok(loaded) => {
            let loaded = Arc::new(loaded);
            let calls = async {
                match seed % 4 {
                    2 => loaded.action(&services, loaded.life.own_visit(), "go", &json!({"a": 1}), None, None, 0).await.err(),
                    3 => {
                        let request = ::http::Request::get("/").body(Bytes::new()).unwrap();
                        match loaded.http(&services, loaded.life.own_visit(), request, None).await {
                            Ok(answer) => {
                                let _ = answer.into_body().collect().await;
                                None
                            }
                            Err(e) => Some(e),
                        }
                    }
                    _ => loaded.healthy(&services).await.err(),
                }
            };
            let called = tokio::time::timeout(PATIENT, calls).await.unwrap_or_else(|_| panic!("{seed} takes too long to call"));
            called.as_ref().map_or_else(|| "well".to_owned(), |e| word(seed, e))
        }
    };
    w.plugins.inner.cache.forget(&w.plugins.inner.engine, &wasm);
    outcome
}

/// The whole way, by the catalog and the database, and away again.
async fn install(w: &World, seed: u64, archive: Archive) -> String {
    w.offer(archive);
    let who = admin();
    let done = tokio::time::timeout(PATIENT, w.plugins.install(&who, "demo", None, &[]));
    let became = match done.await.unwrap_or_else(|_| panic!("{seed} takes too long to install")) {
        Ok(_) => {
            w.plugins.uninstall(&who, "demo", true).await.unwrap();
            "installed".to_owned()
        }
        Err(e) => word(seed, &e),
    };
    // Neither a refusal nor a plugin that went leaves anything behind.
    assert_eq!(files(&w.dir.path().join("compiled")), Vec::<String>::new(), "{seed}: {became}");
    became
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_that_nobody_wrote_do_no_harm() {
    let (count, first) = (number("PLENUM_SMITH_COMPONENTS", USUAL), number("PLENUM_SMITH_FIRST", 0));
    let w = World::quick().await;
    let (before, started) = (memory("VmRSS"), Instant::now());
    let mut became: BTreeMap<String, u64> = BTreeMap::new();
    let mut smith = Smith::start(first);
    let (mut made, mut seed, mut slowest) = (0, first, (Duration::ZERO, 0));
    while made < count {
        let wasm;
        (seed, wasm) = smith.next();
        let Some(wasm) = component(seed, wasm) else { continue };
        made += 1;
        let began = Instant::now();
        let archive = packed(seed, wasm);
        *became.entry(take(&w, seed, &archive).await).or_default() += 1;
        if made % WHOLE == 0 {
            *became.entry(install(&w, seed, archive).await).or_default() += 1;
        }
        slowest = slowest.max((began.elapsed(), seed));
        if made % 500 == 0 {
            println!("{made} of {count}: {became:?}, {} MiB", memory("VmRSS"));
        }
    }
    println!(
        "{made} components of the numbers {first} to {seed} in {:?}: {became:?}; the slowest was {} with {:?}; {before} MiB before, {} after, {} at most",
        started.elapsed(),
        slowest.1,
        slowest.0,
        memory("VmRSS"),
        memory("VmHWM")
    );
    assert!(memory("VmHWM") < before + ROOM, "{} MiB at most, {before} before", memory("VmHWM"));
    // They got through each step, or this would test little.
    for step in ["well", "plugin.ungranted_import", "plugin.component", "plugin.trap", "plugin.cpu_budget", "installed"] {
        assert!(count < USUAL || became.contains_key(step), "none became {step}: {became:?}");
    }
    w.end().await;
}

/// A number as WebAssembly writes it.
fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        out.push(if n == 0 { byte } else { byte | 0x80 });
        if n == 0 {
            return out;
        }
    }
}

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// Components within components, `depth` of them.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(EMPTY.to_vec(), |inner, _| [EMPTY, &[4], &leb(inner.len()), &inner].concat())
}

/// A component that imports a function of a name of so many letters.
fn named(letters: usize) -> Vec<u8> {
    // A type section with one function of no parameters and no result, and an import of it.
    let types = [0x07, 0x05, 0x01, 0x40, 0x00, 0x01, 0x00];
    let name = [vec![0x00], leb(letters), vec![b'a'; letters]].concat();
    let import = [vec![0x01], name, vec![0x01, 0x00]].concat();
    [EMPTY.to_vec(), types.to_vec(), vec![0x0a], leb(import.len()), import].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depths_and_names_without_measure_are_refused_in_words() {
    let w = World::quick().await;
    for wasm in [nested(49), named(20)] {
        let became = take(&w, 0, &packed(0, wasm)).await;
        assert!(["well", "plugin.ungranted_import"].contains(&became.as_str()), "{became}");
    }
    for wasm in [nested(20_000), nested(51), named(3_000_000)] {
        assert_eq!(take(&w, 0, &packed(0, wasm)).await, "plugin.component");
    }
    // A name as long as one may be is not repeated whole to whoever reads the refusal.
    w.offer(packed(0, named(90_000)));
    let e = w.plugins.install(&admin(), "demo", None, &[]).await.unwrap_err();
    assert!(e.to_string().len() < 2_000, "{} bytes: {}", e.to_string().len(), &e.to_string()[..200]);
    w.end().await;
}
