//! Plugins: their packages, the catalog, and calls into WebAssembly components.

pub mod package;
