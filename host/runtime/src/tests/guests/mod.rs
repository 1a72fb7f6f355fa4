//! Components made from text at run time, so that the tests need no compiler for WebAssembly.

use std::sync::OnceLock;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

pub const ACTIONS: &str = include_str!("actions.wat");
pub const WEB: &str = include_str!("web.wat");

/// A component of a world of `wasi.wit` from a core module in text.
pub fn component(world: &str, wat: &str) -> Vec<u8> {
    encoded(world, wat::parse_str(wat).expect("text of a module")).expect("a component")
}

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    for dir in [
        "types",
        "cmdb",
        "cmdb-0.2",
        "jobs",
        "workflow",
        "store",
        "events",
        "log",
        "plugin",
        "metrics",
        "notify",
        "wasi-config",
        "wasi-keyvalue",
    ] {
        resolve.push_dir(format!("{}/../../wit/{dir}", env!("CARGO_MANIFEST_DIR"))).expect("wit");
    }
    let package = resolve.push_str("wasi.wit", include_str!("wasi.wit")).expect("wit of the tests");
    (resolve, package)
}

/// The same from a core module as it is.
pub fn encoded(world: &str, mut module: Vec<u8>) -> Result<Vec<u8>, String> {
    static CONTRACT: OnceLock<(Resolve, PackageId)> = OnceLock::new();
    let (resolve, package) = CONTRACT.get_or_init(contract);
    let world = resolve.select_world(&[*package], Some(world)).expect("a world");
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).expect("metadata");
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(|e| format!("{e:#}"))?;
    encoder.encode().map_err(|e| format!("{e:#}"))
}

/// Prints and ends badly, like a program of a scripting language.
pub fn printer() -> Vec<u8> {
    component(
        "printer",
        r#"(module
            (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $out (result i32)))
            (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $err (result i32)))
            (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush" (func $put (param i32 i32 i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "begins\nTraceback:\n  line 7")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "plenum:plugin/actions@0.1.0#call") (param i32 i32 i32 i32) (result i32)
                (call $put (call $out) (i32.const 16) (i32.const 7) (i32.const 512))
                (call $put (call $err) (i32.const 23) (i32.const 19) (i32.const 512))
                (unreachable)))"#,
    )
}

/// A version, of one digit, of a plugin with records. `upgrade` and `health` end what it does then: `(call $ok)`, `(call $unwell)`,
/// `(unreachable)`.
pub fn migrator(version: &str, upgrade: &str, health: &str) -> Vec<u8> {
    let text = include_str!("migrator.wat").replace("VERSION", version).replace("UPGRADE)", &format!("{upgrade})"));
    component("migrator", &text.replace("HEALTH", health))
}

/// A guest with one import that it may not have; its action calls it.
pub fn importing(world: &str, interface: &str, function: &str, params: &str) -> Vec<u8> {
    let call = params.split(' ').filter(|p| !p.is_empty()).map(|p| format!("({p}.const 0)")).collect::<String>();
    component(
        world,
        &format!(
            r#"(module
                (import "{interface}" "{function}" (func $f (param {params})))
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "plenum:plugin/actions@0.1.0#call") (param i32 i32 i32 i32) (result i32) (call $f {call}) (i32.const 0)))"#
        ),
    )
}
