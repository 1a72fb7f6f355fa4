//! The Plenum agent: runs scripts for a host, reports what it finds on its machine, and survives the loss of either.
//!
//! One connection, dialled out ([`connection`]). What arrives goes to the [`engine`], which accepts an execution once ([`journal`]), keeps
//! what it reports on the disk until the host has it ([`spool`]) and runs it below a supervisor process ([`supervise`]) that can always
//! find, and end, all that a script started. [`facts`] reads the machine and the services on it from `/proc` and `/sys`,
//! [`metrics`] how busy they are.

pub mod connection;
pub mod engine;
pub mod enrol;
pub mod error;
pub mod facts;
pub mod faults;
pub mod fleet;
pub mod install;
pub mod journal;
pub mod metrics;
pub mod procfs;
pub mod proxy;
mod runner;
pub mod spool;
pub mod state;
pub mod supervise;
pub mod tls;

pub use error::AgentError;

/// Version of this agent.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
