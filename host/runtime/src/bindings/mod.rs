//! Host side of the contract, generated from `wit/`: a module for each version of the contract that the host speaks. The newest is whole;
//! an older one has what the newer ones replaced, and shares the rest with them.
#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]

pub mod v0_1;
pub mod v0_3;

pub use v0_3::{plenum, wasi};
