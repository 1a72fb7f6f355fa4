//! What can go wrong for the person who runs an agent.

use std::io;
use std::path::PathBuf;

use plenum_agent_protocol::TokenError;

/// An agent's error. Each says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The enrolment token cannot be read.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// The host cannot be reached.
    #[error("cannot reach the host at {host}: {reason}; check the address, the port (8444 unless it was changed) and firewalls in between")]
    Unreachable {
        /// Address that was tried.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// The proxy does not lead to the host.
    #[error("cannot reach the host at {host} through the proxy {proxy}: {reason}")]
    Proxy {
        /// The proxy, without a password.
        proxy: String,
        /// Address that was wanted.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The agent's own certificate is past its time.
    #[error(
        "this machine's certificate expired on {0} by this machine's clock, so the host does not let it in: set the clock if it is wrong, else enrol again \
         (`plenum-agent enrol --force` with a new token)"
    )]
    CertificateExpired(String),
    /// Whoever answers is not the host that the token (or the enrolment) names.
    #[error(
        "the machine at {host} is not the Plenum host of this {against}: {reason}. Nothing secret was sent. Check the address; if the host was set up anew, \
         make a new token and enrol again"
    )]
    Untrusted {
        /// Address that was tried.
        host: String,
        /// `token` or `enrolment`.
        against: &'static str,
        /// What the check found.
        reason: String,
    },
    /// The host answered and refused.
    #[error("the host refused: {message}")]
    Refused {
        /// gRPC status code.
        code: tonic::Code,
        /// What it said.
        message: String,
    },
    /// The connection ended.
    #[error("the connection to the host ended: {0}")]
    Disconnected(String),
    /// `run` without an enrolment.
    #[error(
        "{0} holds no enrolment: run `plenum-agent enrol --host HOST:PORT --token TOKEN --state {0}` first (tokens are made in the portal, Nodes, Add a node)"
    )]
    NotEnrolled(PathBuf),
    /// `enrol` over an enrolment.
    #[error("{path} is already enrolled as node {node_id}; give --force to replace that, or another --state directory")]
    AlreadyEnrolled {
        /// State directory.
        path: PathBuf,
        /// Who it is.
        node_id: String,
    },
    /// Another agent uses the state directory.
    #[error("another plenum-agent uses {0}: stop it, or give this one its own --state directory")]
    StateInUse(PathBuf),
    /// A file of the state directory cannot be used.
    #[error("cannot {action} {path}: {source}")]
    State {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the state directory, or something that the host sent, is not what it should be.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// Which thing.
        what: String,
        /// What was found.
        reason: String,
    },
    /// A key or a request for a certificate could not be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// A wrong argument.
    #[error("{0}")]
    Usage(String),
}

impl AgentError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::Unreachable { .. } => "agent.host_unreachable",
            Self::Proxy { .. } => "agent.proxy",
            Self::CertificateExpired(_) => "agent.certificate_expired",
            Self::Untrusted { .. } => "agent.host_untrusted",
            Self::Refused { .. } => "agent.refused",
            Self::Disconnected(_) => "agent.disconnected",
            Self::NotEnrolled(_) => "agent.not_enrolled",
            Self::AlreadyEnrolled { .. } => "agent.already_enrolled",
            Self::StateInUse(_) => "agent.state_in_use",
            Self::State { .. } => "agent.state",
            Self::Damaged { .. } => "agent.damaged",
            Self::Key(_) => "agent.key",
            Self::Usage(_) => "agent.usage",
        }
    }
}
