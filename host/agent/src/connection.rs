//! The agent's one connection: dialled out, kept, and dialled again when it breaks.

use std::sync::Arc;
use std::time::Duration;

use plenum_agent_protocol::v1::agent_client::AgentClient;
use plenum_agent_protocol::v1::agent_message::Body;
use plenum_agent_protocol::v1::{AgentMessage, Heartbeat, Hello, HostMessage, Metrics as MetricsMessage, Settings, Welcome, host_message};
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::VERSION;
use crate::engine::{Engine, Limits, now_ms};
use crate::enrol::{expired, refused, renew, renew_at_ms, renewal_check};
use crate::error::AgentError;
use crate::facts::{Collector, Facts};
use crate::metrics::{Metrics, Shared};
use crate::procfs;
use crate::state::{Identity, StateDir};
use crate::tls::{Trust, dial};

/// How long a dialled host may take to say Welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// Pauses between attempts to reach the host.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never longer than this.
    pub most: Duration,
    /// After a refusal (a revoked node): waiting does not help soon, and the host should not be bothered.
    pub refused: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(15), refused: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The pause after the given number of failures in a row: doubled each time, and spread over its upper half and below, so that a thousand agents
    /// that lost their host at one moment do not come back at one moment.
    #[must_use]
    pub fn pause(&self, failures: u32, refused: bool) -> Duration {
        let most = if refused { self.refused } else { self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.most) };
        most.mul_f64(rand::rng().random_range(0.3..=1.0))
    }
}

/// One agent: an identity, its executions and its machine.
pub struct Agent {
    state: StateDir,
    identity: Identity,
    engine: Engine,
    collector: Arc<Collector>,
    metrics: Metrics,
    backoff: Backoff,
    started_ms: i64,
}

impl Agent {
    /// Opens an enrolled state directory.
    ///
    /// # Errors
    /// When it holds no enrolment, or cannot be used.
    pub fn open(state: StateDir, limits: Limits, collector: Arc<Collector>, backoff: Backoff) -> Result<Self, AgentError> {
        let identity = state.identity()?.ok_or_else(|| AgentError::NotEnrolled(state.root().to_path_buf()))?;
        let metrics = Metrics::open(state.root(), state.settings(), limits.max_metrics_bytes);
        let engine = Engine::open(&state, limits)?;
        Ok(Self { state, identity, engine, collector, metrics, backoff, started_ms: now_ms() })
    }

    /// Looks at its machine's metrics together with others.
    pub fn share_metrics(&mut self, shared: Arc<Shared>) {
        self.metrics.share(shared);
    }

    /// Its executions.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its node id.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.identity.node_id
    }

    /// Connects, and connects again, until told to stop. Scripts run on while there is no connection.
    pub async fn serve(mut self, stop: CancellationToken) {
        let mut failures = 0_u32;
        let sampler = tokio::spawn(self.metrics.clone().sample(stop.clone()));
        loop {
            let connected = tokio::select! {
                () = stop.cancelled() => break,
                ended = self.connect() => ended,
            };
            let (error, welcomed) = connected;
            let error = match expired(&self.identity.certificate_pem, now_ms()) {
                // TLS says it in words that nobody understands, or not at all.
                Some(when) if welcomed.is_none() && !matches!(error, AgentError::Unreachable { .. } | AgentError::Proxy { .. }) => {
                    AgentError::CertificateExpired(when)
                }
                _ => error,
            };
            // A host that takes the connection and drops it at once must be spared as one that does not answer.
            failures = if welcomed.is_some_and(|at| at.elapsed() > Duration::from_secs(10)) { 1 } else { failures.saturating_add(1) };
            let refusal = matches!(error, AgentError::Refused { code: Code::PermissionDenied | Code::Unauthenticated, .. });
            let pause = self.backoff.pause(failures, refusal);
            tracing::warn!(node = self.identity.node_id, code = error.code(), %error, retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(0), "not connected");
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.engine.shutdown().await;
        // Ends with `stop`.
        let _ = sampler.await;
    }

    /// One connection, to its end.
    async fn connect(&mut self) -> (AgentError, Option<Instant>) {
        let mut client = match dial(&self.identity.host, self.identity.proxy.as_deref(), &Trust::Identity(&self.identity)).await {
            Ok(client) => client,
            Err(error) => return (error, None),
        };
        // Small: what waits here is in memory, what waits in the spool is not.
        let (to_host, outgoing) = mpsc::channel(4);
        self.engine.rewind();
        if to_host.send(AgentMessage { body: Some(Body::Hello(self.hello())) }).await.is_err() {
            return (AgentError::Disconnected("before it began".to_owned()), None);
        }
        let opened = timeout(WELCOME_TIMEOUT, async {
            let mut from_host = client.connect(ReceiverStream::new(outgoing)).await?.into_inner();
            Ok((from_host.message().await?, from_host))
        });
        let (first, mut from_host) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(status)) => return (refused(&status), None),
            Err(_) => return (AgentError::Disconnected("the host did not say Welcome in 15 s".to_owned()), None),
        };
        let Some(host_message::Body::Welcome(welcome)) = first.and_then(|message| message.body) else {
            return (AgentError::Disconnected("the host's first message was not Welcome".to_owned()), None);
        };
        tracing::info!(node = self.identity.node_id, host = self.identity.host, host_version = welcome.host_version, "connected");
        let welcomed = Instant::now();
        let engine = self.engine.clone();
        let error = tokio::select! {
            () = engine.pump(&to_host) => AgentError::Disconnected("the host closed the connection".to_owned()),
            error = self.converse(&welcome, &mut from_host, &mut client) => error,
        };
        (error, Some(welcomed))
    }

    async fn converse(
        &mut self,
        welcome: &Welcome,
        from_host: &mut Streaming<HostMessage>,
        client: &mut AgentClient<Channel>,
    ) -> AgentError {
        let seconds = |given: u32, default: u64| Duration::from_secs(if given == 0 { default } else { given.into() });
        let mut heartbeat = every(seconds(welcome.heartbeat_s, 15));
        let mut look = every(seconds(welcome.facts_s, 300));
        let mut renewal = every(renewal_check(&self.identity.certificate_pem));
        let (found, mut facts) = mpsc::channel::<Facts>(1);
        // A new connection may be to a new host process that knows nothing: the first look is always sent.
        let mut sent: Option<[u8; 32]> = None;
        let store = self.metrics.store().clone();
        let mut batches = Batches::Unasked;
        // Nothing below waits for the host to read: while it does not, its acknowledgements still have to come in.
        loop {
            tokio::select! {
                message = from_host.message() => match message {
                    Ok(Some(HostMessage { body: Some(host_message::Body::CollectFacts(_)) })) => {
                        sent = None;
                        self.collect(&found);
                    }
                    Ok(Some(HostMessage { body: Some(host_message::Body::Settings(settings)) })) => {
                        self.settle(settings);
                        if batches == Batches::Unasked {
                            batches = Batches::After(0);
                        }
                    }
                    Ok(Some(HostMessage { body: Some(host_message::Body::MetricsAck(ack)) })) => {
                        store.acknowledge(ack.up_to_seq);
                        batches = Batches::After(ack.up_to_seq);
                    }
                    Ok(Some(message)) => self.told(message),
                    Ok(None) => return AgentError::Disconnected("the host closed the connection".to_owned()),
                    Err(status) => return refused(&status),
                },
                _ = heartbeat.tick() => self.engine.say(Body::Heartbeat(self.heartbeat())),
                _ = look.tick() => self.collect(&found),
                Some(facts) = facts.recv() => {
                    if sent.replace(facts.identity) != Some(facts.identity) {
                        self.engine.say(Body::Facts(facts.message));
                    }
                }
                (seq, data) = store.after(batches.seq()), if batches != Batches::Unasked && batches != Batches::Sent => {
                    // One at a time: a host that is slow with them is not slow with results.
                    batches = Batches::Sent;
                    self.engine.say(Body::Metrics(MetricsMessage { seq, data }));
                }
                _ = renewal.tick() => {
                    if let Err(error) = self.renew_when_due(client).await {
                        tracing::warn!(code = error.code(), %error, "cannot renew the certificate; trying again");
                    }
                }
            }
        }
    }

    fn told(&self, message: HostMessage) {
        match message.body {
            Some(host_message::Body::Run(run)) => self.engine.run(run),
            Some(host_message::Body::Cancel(cancel)) => self.engine.cancel(&cancel.execution_id),
            Some(host_message::Body::Ack(ack)) => self.engine.acknowledge(&ack.execution_id, ack.up_to_seq, ack.finished),
            // A second Welcome, or something that a newer host says.
            Some(
                host_message::Body::Welcome(_)
                | host_message::Body::CollectFacts(_)
                | host_message::Body::Settings(_)
                | host_message::Body::MetricsAck(_),
            )
            | None => {}
        }
    }

    fn settle(&self, settings: Settings) {
        if let Err(error) = self.state.save_settings(&settings) {
            // They come again with the next connection.
            tracing::warn!(code = error.code(), %error, "cannot keep the host's settings");
        }
        self.metrics.set(settings);
    }

    fn hello(&self) -> Hello {
        Hello {
            node_id: self.identity.node_id.clone(),
            version: VERSION.to_owned(),
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
            held: self.engine.held(),
            spooled_bytes: self.engine.spooled_bytes(),
            hostname: self.collector.machine().hostname,
            agent_started_ms: self.started_ms,
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let (running, queued) = self.engine.counts();
        Heartbeat {
            load_1m: procfs::load_1m(),
            running,
            queued,
            spooled_bytes: self.engine.spooled_bytes(),
            rss_bytes: procfs::field_bytes("/proc/self/status", "VmRSS").unwrap_or(0),
            time_ms: now_ms(),
        }
    }

    /// Looks at the machine beside the connection: a slow disk or a slow `postgres --version` must not hold up heartbeats.
    fn collect(&self, found: &mpsc::Sender<Facts>) {
        let (collector, node_id, found) = (self.collector.clone(), self.identity.node_id.clone(), found.clone());
        // Not awaited: it ends by itself, and a connection that is gone drops what it found.
        drop(tokio::task::spawn_blocking(move || found.try_send(collector.collect(&node_id)).is_ok()));
    }

    async fn renew_when_due(&mut self, client: &mut AgentClient<Channel>) -> Result<(), AgentError> {
        if now_ms() < renew_at_ms(&self.identity.certificate_pem)? {
            return Ok(());
        }
        let identity = renew(client, &self.identity).await?;
        // First the disk: a new key that only memory knows would be lost with the process, and the old certificate expires.
        self.state.save_identity(&identity)?;
        // Used from the next connection on; this one stays valid.
        self.identity = identity;
        tracing::info!(node = self.identity.node_id, "certificate renewed");
        Ok(())
    }
}

/// Where the sending of metrics stands in a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batches {
    /// The host has not said that it takes them.
    Unasked,
    /// The next one after this goes.
    After(u64),
    /// One is on its way.
    Sent,
}

impl Batches {
    fn seq(self) -> u64 {
        match self {
            Self::After(seq) => seq,
            Self::Unasked | Self::Sent => u64::MAX,
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    // After a suspended machine wakes one tick is enough.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let backoff = Backoff::default();
        for failures in 1..200 {
            let pause = backoff.pause(failures, false);
            assert!(pause >= Duration::from_millis(150) && pause <= backoff.most, "{failures}: {pause:?}");
        }
        assert!(backoff.pause(1, false) <= backoff.first);
        assert!(backoff.pause(1, true) > backoff.most);
        let pauses: std::collections::HashSet<_> = (0..20).map(|_| backoff.pause(9, false)).collect();
        assert!(pauses.len() > 1);
    }
}
