//! Inspection Center: checks as data, run on many machines at once, graded, explained and compared over time.
//!
//! The pure part is [`check`]. It is an ordinary plugin: everything it can do goes through `plenum-sdk`.

pub mod catalog;
pub mod check;
pub mod error;
pub mod export;
pub mod flow;
pub mod http;
pub mod inspections;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[allow(clippy::indexing_slicing)]
pub mod local;
pub mod model;
pub mod ports;
pub mod reports;
