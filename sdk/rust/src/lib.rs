//! Plugins for Plenum.
//!
//! A plugin is a WebAssembly component. What it offers stands in [`plugin!`]; what it may use of the platform are the modules here:
//! [`cmdb`], [`jobs`], [`workflow`], [`store`], [`keyvalue`], [`events`], [`plugins`], [`outgoing`], [`log`], [`context`], [`clock`], [`random`]. The component
//! imports what the code reaches and nothing else, so that its powers can be seen before it is installed.
//!
//! On any other target the same modules speak to a platform in memory, [`testing::Fake`]: plugin logic is tested with `cargo test`.
//!
//! ```
//! use plenum_sdk::{Json, Request, Result, Router, cmdb};
//!
//! fn hosts(_: &Request) -> Result<Json<u64>> {
//!     Ok(Json(cmdb::query("host").count()?))
//! }
//!
//! fn router() -> Router {
//!     Router::new().get("/hosts", hosts)
//! }
//!
//! plenum_sdk::plugin! { http = router }
//! # fn main() {}
//! ```

mod aggregate;
mod backend;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod clock;
pub mod cmdb;
pub mod context;
mod error;
pub mod events;
#[doc(hidden)]
pub mod guest;
mod http;
pub mod jobs;
pub mod keyvalue;
pub mod log;
mod macros;
pub mod metrics;
pub mod notify;
pub mod outgoing;
pub mod plugins;
pub mod random;
mod router;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod workflow;

pub use clock::Timestamp;
pub use error::{Error, Problem, Result};
pub use events::Event;
pub use guest::Lifecycle;
pub use http::{IntoResponse, Json, Request, Response};
pub use router::Router;
#[doc(hidden)]
pub use serde_json::{Value as __Value, json as __json};

use serde::{Deserialize, Serialize};

/// One page of anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next begins; none on the last.
    pub next_cursor: Option<String>,
    /// All matches, where that is known.
    pub total: Option<u64>,
}

/// A value as a literal of CEL, for filters made of what somebody typed: quotes cannot end the text.
///
/// ```
/// let typed = "x\" || true || \"";
/// assert_eq!(format!("os_id == {}", plenum_sdk::cel(typed)), r#"os_id == "x\" || true || \"""#);
/// ```
pub fn cel(value: impl Serialize) -> String {
    // A JSON text, number, boolean, list or null is the same in CEL.
    serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned())
}
