//! Components are compiled in a child process, which bounds what they can make the compiler do.

use super::guests;
use crate::RuntimeError;
use crate::compile::Compiler;
use crate::engine::{CompileCache, engine};

/// Not a test of its own: the child that the tests here start is this program with this one test.
#[test]
#[ignore = "is started by the others"]
fn child() {
    std::process::exit(crate::compile::status().into());
}

fn compiler() -> Compiler {
    let this = ["tests::compile::child", "--exact", "--ignored", "--nocapture"];
    Compiler::new(std::env::current_exe().unwrap(), this.map(str::to_owned).to_vec())
}

async fn compile(compiler: Compiler, wasm: Vec<u8>) -> (Result<bool, RuntimeError>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let cache = CompileCache::new(dir.path().to_owned(), Some(compiler)).unwrap();
    let loaded = tokio::task::spawn_blocking(move || {
        let engine = engine().unwrap();
        let first = cache.load(&engine, &wasm).map(|(_, cached)| cached)?;
        assert!(!first);
        cache.load(&engine, &wasm).map(|(_, cached)| cached)
    });
    (loaded.await.unwrap(), super::files(dir.path()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_child_compiles_loads_in_the_engine_that_runs_it() {
    let (loaded, files) = compile(compiler(), guests::component("web", guests::WEB)).await;
    assert!(loaded.unwrap());
    assert_eq!(files.len(), 1, "{files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_memory_or_time_is_refused_and_leaves_nothing() {
    let (mut short, mut narrow) = (compiler(), compiler());
    short.wall = std::time::Duration::from_millis(1);
    narrow.memory_bytes = 1 << 20;
    for (limited, says) in [(short, "longer than 1 ms"), (narrow, "1 MiB of memory")] {
        let (loaded, files) = compile(limited, guests::component("actions", guests::ACTIONS)).await;
        let e = loaded.unwrap_err();
        assert_eq!((e.code(), e.status()), ("plugin.compile_limit", 422), "{e}");
        assert!(e.to_string().contains(says), "{e}");
        assert!(files.is_empty(), "{files:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_is_hard_to_compile_is_stopped_by_its_cpu_time() {
    // One function so long that the allocation of registers takes many seconds.
    let mut body = String::from("(module (memory (export \"memory\") 1) (func $f (param i32) (result i32) (local i32 i32 i32 i32)");
    for i in 0..400_000 {
        body.push_str(&format!("(local.set {} (i32.add (local.get {}) (i32.load (local.get {}))))", i % 4 + 1, (i + 1) % 5, (i * 7) % 5));
    }
    body.push_str("(local.get 1)))");
    let core = wat::parse_str(&body).unwrap();
    let component = wit_component::ComponentEncoder::default().module(&core).unwrap().encode().unwrap();
    let mut limited = compiler();
    limited.cpu = std::time::Duration::from_secs(1);
    let (loaded, files) = compile(limited, component).await;
    let e = loaded.unwrap_err();
    assert_eq!(e.code(), "plugin.compile_limit", "{e}");
    assert!(files.is_empty(), "{files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_component_is_told_as_such_through_the_child() {
    let (loaded, _) = compile(compiler(), b"\0asm garbage".to_vec()).await;
    let e = loaded.unwrap_err();
    assert_eq!(e.code(), "plugin.component", "{e}");
}
