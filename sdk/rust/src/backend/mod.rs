//! The platform behind the SDK's modules: the host in a component, a fake in memory everywhere else. Free functions and no trait: a
//! function that the plugin does not reach is dropped by the linker, and its import with it.

#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod outgoing;
#[cfg(target_family = "wasm")]
pub(crate) use host::*;
#[cfg(target_family = "wasm")]
pub(crate) use outgoing::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::backend::*;
