//! What a Plenum host and its agents say to each other.
//!
//! The messages and the service are generated from `proto/plenum/agent/v1/agent.proto`, which documents each item and the rules of delivery.
//! Beside them stand the few facts that both sides must agree on and that a `.proto` cannot carry.

mod token;

pub use token::{EnrolmentToken, TokenError};

/// Version 1 of the protocol.
pub mod v1 {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("plenum.agent.v1");
}

/// DNS name in the host's agent-port certificate. Fixed, because the certificate is issued by the host's own CA, which the agent pins:
/// whoever holds a certificate of that CA for this name is the host, wherever it is reached.
pub const HOST_SERVER_NAME: &str = "plenum-host";

/// Most bytes of output in one message: small enough that a heartbeat is never stuck for long behind one.
pub const MAX_CHUNK: usize = 64 * 1024;

/// Largest message either side accepts. Bounds a script with its arguments, and the facts of a machine.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Output kept for each execution when the `Run` does not say.
pub const DEFAULT_OUTPUT_LIMIT: u64 = 4 * 1024 * 1024;

/// Seconds until a script is killed when the `Run` does not say.
pub const DEFAULT_TIMEOUT_S: u32 = 3600;

/// Languages that `Run.language` may name.
pub const LANGUAGES: [&str; 3] = ["bash", "sh", "python3"];
