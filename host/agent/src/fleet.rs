//! Many agents in one process: a simulation for load tests and demonstrations.
//!
//! Each has its own enrolment, state directory, connection, spool and journal, and runs scripts for real, on this one machine. Only host name
//! and machine id are made up, and slots are shared so that the machine survives it.

use std::path::Path;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plenum_agent_protocol::EnrolmentToken;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connection::{Agent, Backoff};
use crate::engine::Limits;
use crate::enrol::{Machine, enrol};
use crate::error::AgentError;
use crate::facts::Collector;
use crate::metrics::Shared;
use crate::state::{StateDir, failed};

/// Enrolments at the same time: the host makes a key check and a certificate for each.
const ENROL_AT_ONCE: usize = 8;

/// A fleet to be.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    /// `name:port` of the host.
    pub host: &'a str,
    /// One token a line; as many as agents that are not enrolled yet.
    pub tokens_file: Option<&'a Path>,
    /// How many agents.
    pub count: usize,
    /// Holds one state directory for each.
    pub state: &'a Path,
    /// Bounds; the slots are shared.
    pub limits: Limits,
    /// Start of the made-up host names.
    pub prefix: &'a str,
}

fn machine(prefix: &str, index: usize) -> Machine {
    let hostname = format!("{prefix}-{:04}", index + 1);
    let machine_id = hex::encode(Sha256::digest(format!("plenum simulated {hostname}"))).chars().take(32).collect();
    Machine { hostname, machine_id }
}

impl Fleet<'_> {
    /// Enrols whoever is not enrolled, then runs all until told to stop. Calls `ready` when all are enrolled and started.
    ///
    /// # Errors
    /// When tokens are missing or an enrolment fails.
    pub async fn serve(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<(), AgentError> {
        // Some descriptors for each agent: the usual 1,024 are too few for two hundred.
        if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
            && soft < hard
        {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
        let mut tokens = self.tokens()?.into_iter();
        let base = tokio::task::spawn_blocking(|| {
            let base = Collector::new();
            let mut shared = Collector::new();
            shared.share(&base);
            shared
        });
        let base = base.await.map_err(|e| AgentError::Usage(e.to_string()))?;

        let mut states = Vec::with_capacity(self.count);
        let mut enrolments: JoinSet<Result<(usize, StateDir), AgentError>> = JoinSet::new();
        for index in 0..self.count {
            let machine = machine(self.prefix, index);
            let state = StateDir::open(&self.state.join(&machine.hostname))?;
            if state.identity()?.is_some() {
                states.push((index, state));
                continue;
            }
            let token = tokens.next().ok_or_else(|| {
                AgentError::Usage(format!(
                    "{} is not enrolled and the tokens are used up: give a --tokens-file with one token a line for each agent",
                    machine.hostname
                ))
            })?;
            while enrolments.len() >= ENROL_AT_ONCE {
                states.extend(next(&mut enrolments).await?);
            }
            let host = self.host.to_owned();
            enrolments.spawn(async move {
                let identity = enrol(&host, None, &token, &machine).await?;
                state.save_identity(&identity)?;
                Ok((index, state))
            });
        }
        while !enrolments.is_empty() {
            states.extend(next(&mut enrolments).await?);
        }

        let mut agents = JoinSet::new();
        let shared = Arc::new(Shared::default());
        for (index, state) in states {
            let mut collector = Collector::simulated(machine(self.prefix, index));
            collector.share(&base);
            let mut agent = Agent::open(state, self.limits.clone(), Arc::new(collector), Backoff::default())?;
            agent.share_metrics(shared.clone());
            agents.spawn(agent.serve(stop.clone()));
        }
        ready();
        while agents.join_next().await.is_some() {}
        Ok(())
    }

    fn tokens(&self) -> Result<Vec<EnrolmentToken>, AgentError> {
        let Some(path) = self.tokens_file else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(path).map_err(|e| failed("read", path, e))?;
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| Ok(EnrolmentToken::parse(line)?)).collect()
    }
}

async fn next(enrolments: &mut JoinSet<Result<(usize, StateDir), AgentError>>) -> Result<Option<(usize, StateDir)>, AgentError> {
    match enrolments.join_next().await {
        None => Ok(None),
        Some(Ok(enrolled)) => enrolled.map(Some),
        Some(Err(error)) => Err(AgentError::Usage(format!("an enrolment was cut off: {error}"))),
    }
}
