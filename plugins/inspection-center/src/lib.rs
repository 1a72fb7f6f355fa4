//! Inspection Center: checks as data, run on many machines at once, graded, explained and compared over time.
//!
//! The pure part is [`check`]. It is an ordinary plugin: its component imports what its manifest asks for and nothing else.

#[cfg(target_family = "wasm")]
mod bindings;
pub mod catalog;
pub mod check;
pub mod error;
pub mod export;
pub mod flow;
#[cfg(target_family = "wasm")]
mod guest;
pub mod http;
pub mod inspections;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[allow(clippy::indexing_slicing)]
pub mod local;
pub mod model;
pub mod ports;
pub mod reports;
