//! `smith FIRST`: components and modules without end, each made of its number alone, for a host to be tried with. Each is written as its
//! number and its size, eight bytes little-endian each, and its bytes. A number that makes none is left out.

use std::io::Write;

use arbitrary::Unstructured;
use wasm_smith::{Component, Config, MemoryOffsetChoices, Module};

/// What there is to make decisions of: the same for the same number (SplitMix64).
fn seeded(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let size = 512 + (number % 7) as usize * 512;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out
}

/// What of WebAssembly the host takes.
fn plain() -> Config {
    Config {
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        reference_types_enabled: false,
        max_memories: 1,
        max_tables: 3,
        ..Config::default()
    }
}

/// A module with the exports of a plugin, around code that nobody wrote.
fn guest(door: &str, imports: Option<&str>, u: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let text = |t: &str| wat::parse_str(t).expect("text of a module");
    let memory = "(memory (export \"memory\") 2 64) (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)";
    let config = Config {
        exports: Some(text(&format!("(module {memory} {door})"))),
        available_imports: imports.map(text),
        max_imports: if imports.is_some() { 4 } else { 0 },
        max_instructions: 400,
        // So that it gets far more often than not.
        memory_offset_choices: MemoryOffsetChoices(95, 4, 1),
        // The one that it exports.
        max_memories: 0,
        ..plain()
    };
    Some(Module::new(config, u).ok()?.to_bytes())
}

const ACTION: &str = r#"(func (export "plenum:plugin/actions@0.1.0#call") (param i32 i32 i32 i32) (result i32) unreachable)"#;
const WEB: &str = r#"(func (export "wasi:http/incoming-handler@0.2.3#handle") (param i32 i32) unreachable)"#;
const IMPORTS: &str = r#"(module
    (import "plenum:log/log@0.1.0" "write" (func (param i32 i32 i32 i32 i32)))
    (import "plenum:plugin/context@0.1.0" "settings" (func (param i32)))
    (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func (param i32)))
    (import "wasi:io/poll@0.2.3" "[resource-drop]pollable" (func (param i32))))"#;

/// Of a number: 0 and 1 of four are components, 2 and 3 the modules of plugins with an action and with a web page.
fn made(number: u64) -> Option<Vec<u8>> {
    let bytes = seeded(number);
    let mut u = Unstructured::new(&bytes);
    match number % 4 {
        // Anything, also what the host does not know.
        0 => Some(Component::new(Config::default(), &mut u).ok()?.to_bytes()),
        // What asks for nothing.
        1 => {
            let mut made = Component::new(Config { max_imports: 0, min_exports: 1, ..plain() }, &mut u).ok()?.to_bytes();
            // Every other one with a bit that fell over.
            if number % 8 == 1 {
                let at = bytes.iter().take(4).fold(0_usize, |n, b| n << 8 | usize::from(*b)) % made.len();
                made[at] ^= 1 << (bytes[4] % 8);
            }
            Some(made)
        }
        2 => guest(ACTION, Some(IMPORTS), &mut u),
        _ => guest(WEB, None, &mut u),
    }
}

fn main() {
    let first = std::env::args().nth(1).map_or(0, |n| n.parse().expect("a number"));
    let mut out = std::io::stdout().lock();
    for number in first.. {
        let Some(wasm) = made(number) else { continue };
        let size = wasm.len() as u64;
        let written = [&number.to_le_bytes()[..], &size.to_le_bytes(), &wasm].into_iter().try_for_each(|part| out.write_all(part));
        // Whoever reads has enough.
        if written.is_err() {
            return;
        }
    }
}
