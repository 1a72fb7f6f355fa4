//! The agents' port: gRPC over TLS with the host's own authority.
//!
//! A client without a certificate can enrol and nothing else. Who a client is says its certificate; ids in messages are compared with it, never believed.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::Stream;
use plenum_agent_protocol::MAX_MESSAGE;
use plenum_agent_protocol::v1::agent_server::{Agent, AgentServer};
use plenum_agent_protocol::v1::{self, agent_message, host_message};
use plenum_store::now_ms;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::ca::{PeerIdentity, peer_identity};
use crate::hub::{Conn, Out};
use crate::model::OutputStream;
use crate::nodes::revoked;
use crate::writer::{Cmd, Report};
use crate::{Inner, Jobs, JobsError, sql};

/// Messages made but not yet taken by the stream: back-pressure starts early, the rest stays a reference in the outbox.
const OUTGOING: usize = 4;
const HELLO_WITHIN: Duration = Duration::from_secs(10);

struct Service {
    inner: Arc<Inner>,
}

fn status(e: &JobsError) -> Status {
    match e {
        JobsError::Enrolment(text) => Status::unauthenticated(text),
        JobsError::Invalid { .. } => Status::invalid_argument(e.to_string()),
        // What is wrong inside is for the host's log.
        _ => {
            tracing::error!(error = %e, "a request of an agent failed");
            Status::unavailable("the host could not do it just now; try again")
        }
    }
}

impl Service {
    async fn admit<T>(&self, request: &Request<T>) -> Result<PeerIdentity, Status> {
        let certs = request.peer_certs();
        let peer = certs.as_ref().and_then(|c| c.first()).and_then(|c| peer_identity(c));
        let peer = peer.ok_or_else(|| Status::unauthenticated("this call needs the agent's certificate; enrol first"))?;
        if !self.inner.admitted(&peer).await.map_err(|e| status(&e))? {
            return Err(revoked());
        }
        Ok(peer)
    }
}

#[tonic::async_trait]
impl Agent for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<v1::HostMessage, Status>> + Send>>;

    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        self.inner.enrol(request.get_ref()).await.map(Response::new).map_err(|e| status(&e))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let peer = self.admit(&request).await?;
        self.inner.renew(&peer, request.get_ref()).await.map(Response::new).map_err(|e| status(&e))
    }

    async fn connect(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let peer = self.admit(&request).await?;
        if self.inner.stop.is_cancelled() {
            return Err(Status::unavailable("the host is shutting down"));
        }
        let address = request.remote_addr().map(|a| a.ip().to_string()).unwrap_or_default();
        let (tx, rx) = mpsc::channel(OUTGOING);
        let inner = self.inner.clone();
        self.inner.tasks.spawn(async move {
            if let Err(reason) = inner.clone().serve_agent(peer, address, request.into_inner(), tx.clone()).await {
                // An agent that reads no more will not read this either.
                let _ = tokio::time::timeout(Duration::from_secs(2), tx.send(Err(reason))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }
}

type Outgoing = mpsc::Sender<Result<v1::HostMessage, Status>>;

impl Inner {
    async fn serve_agent(
        self: Arc<Self>,
        peer: PeerIdentity,
        address: String,
        mut messages: Streaming<v1::AgentMessage>,
        tx: Outgoing,
    ) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_WITHIN, messages.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no Hello within 10 s"))??;
        let Some(agent_message::Body::Hello(hello)) = first.and_then(|m| m.body) else {
            return Err(Status::failed_precondition("the first message of a connection must be Hello"));
        };
        let node = peer.node.clone();
        if hello.node_id != node {
            tracing::warn!(node, claimed = hello.node_id, "an agent claims another node's id than its certificate's; refused");
            return Err(Status::permission_denied(
                "the node id in Hello is not the one in the certificate; remove the agent's state and enrol again",
            ));
        }
        let conn = self.hub.connect(&node);
        // Looked at again: a revocation between the handshake and this line has found no connection to end.
        let result = match self.admitted(&peer).await {
            Ok(true) => {
                let held = hello.held.into_iter().map(|h| h.execution_id).collect();
                let online = Cmd::Online { node: node.clone(), conn: conn.id, serial: peer.serial, version: hello.version, address, held };
                self.serve_connection(&node, &conn, online, messages, &tx).await
            }
            Ok(false) => Err(revoked()),
            Err(e) => Err(status(&e)),
        };
        if self.hub.disconnect(&node, conn.id) {
            self.decide([Cmd::Offline { node }]);
        }
        result
    }

    async fn serve_connection(
        &self,
        node: &str,
        conn: &Conn,
        online: Cmd,
        messages: Streaming<v1::AgentMessage>,
        tx: &Outgoing,
    ) -> Result<(), Status> {
        let seconds = |d: Duration| u32::try_from(d.as_secs().max(1)).unwrap_or(u32::MAX);
        let welcome = v1::Welcome {
            heartbeat_s: seconds(self.config.heartbeat),
            facts_s: seconds(self.config.facts),
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            time_ms: now_ms(),
        };
        let say = |body| v1::HostMessage { body: Some(body) };
        let gone = |_| Status::unavailable("the agent reads no more");
        tx.send(Ok(say(host_message::Body::Welcome(welcome)))).await.map_err(gone)?;
        conn.outbox.settings();
        self.decide([online]);
        let sender = async {
            loop {
                let body = match conn.outbox.next().await {
                    Out::Ack { execution, up_to, finished } => {
                        host_message::Body::Ack(v1::Ack { execution_id: execution, up_to_seq: up_to, finished })
                    }
                    Out::Cancel(execution_id) => host_message::Body::Cancel(v1::Cancel { execution_id }),
                    Out::Collect => host_message::Body::CollectFacts(v1::CollectFacts {}),
                    Out::Settings => match sql::node(&self.db, node).await {
                        Ok(Some(known)) => host_message::Body::Settings(self.policies.message(&known.name)),
                        Ok(None) => continue,
                        Err(error) => {
                            tracing::warn!(node, %error, "the agent's settings could not be read; it goes on with what it has");
                            continue;
                        }
                    },
                    Out::MetricsAck(up_to_seq) => host_message::Body::MetricsAck(v1::MetricsAck { up_to_seq }),
                    Out::Run(id) => match self.hub.run_message(&id, node) {
                        Some(run) => host_message::Body::Run(run),
                        None => continue,
                    },
                };
                tx.send(Ok(say(body))).await.map_err(gone)?;
            }
        };
        tokio::select! {
            reason = conn.kill.killed() => Err(reason),
            // The client's side of the stream may stay open for long after the network is gone.
            () = tx.closed() => Ok(()),
            end = self.receive(node, conn, messages) => end,
            end = sender => end,
        }
    }

    async fn receive(&self, node: &str, conn: &Conn, mut messages: Streaming<v1::AgentMessage>) -> Result<(), Status> {
        let silence = self.config.heartbeat.max(Duration::from_secs(1)) * 3 + Duration::from_secs(1);
        loop {
            let message = match tokio::time::timeout(silence, messages.message()).await {
                Err(_) => return Err(Status::deadline_exceeded("no heartbeat came for three times its interval")),
                Ok(m) => m?,
            };
            let Some(message) = message else { return Ok(()) };
            self.hub.seen(node, None);
            let (execution, report) = match message.body {
                Some(agent_message::Body::Accepted(a)) => (a.execution_id, Report::Accepted),
                Some(agent_message::Body::Started(s)) => (s.execution_id, Report::Started { at: s.started_ms }),
                Some(agent_message::Body::Output(o)) => {
                    let stream = if o.stream() == v1::Stream::Stderr { OutputStream::Stderr } else { OutputStream::Stdout };
                    (o.execution_id, Report::Output { seq: o.seq, stream, data: o.data })
                }
                Some(agent_message::Body::Finished(f)) => (f.execution_id.clone(), Report::Finished(Box::new(f))),
                Some(agent_message::Body::Heartbeat(h)) => {
                    self.hub.seen(node, Some(h.load_1m));
                    continue;
                }
                Some(agent_message::Body::Facts(f)) => {
                    self.take_facts(node, f).await;
                    continue;
                }
                Some(agent_message::Body::Metrics(m)) => {
                    if let Err(reason) = self.metrics.take(node, m.data) {
                        tracing::warn!(node, reason, "a batch of metrics is damaged; dropped");
                    }
                    // Acknowledged in any case: it would not be better the next time.
                    conn.outbox.metrics(m.seq);
                    continue;
                }
                // A second Hello, or something of a newer agent.
                Some(agent_message::Body::Hello(_)) | None => continue,
            };
            let cmd = Cmd::Report { node: node.to_owned(), execution, report, outbox: conn.outbox.clone() };
            // Waits while the writer is behind: the stream's flow control then holds the agent back, and its disk the rest.
            if self.reports.send(cmd).await.is_err() {
                return Err(Status::unavailable("the host is shutting down"));
            }
        }
    }

    async fn take_facts(&self, node: &str, f: v1::Facts) {
        match sql::facts_digest(&self.db, node).await {
            Ok(known) if !f.digest.is_empty() && known.as_deref() == Some(&f.digest) => return,
            Ok(_) => {}
            Err(error) => tracing::warn!(node, %error, "whether facts are known could not be read; taken as new"),
        }
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), (f.json, f.digest));
        let _ = self.states.send(node.to_owned());
    }
}

impl Jobs {
    /// Serves agents until `shutdown`.
    pub async fn serve_agents(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), JobsError> {
        let failed = |e: &dyn std::error::Error| JobsError::Server(e.source().map_or_else(|| e.to_string(), |s| format!("{e}: {s}")));
        let (chain, key) = self.inner.ca.host_identity()?;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(chain, key))
            .client_ca_root(Certificate::from_pem(self.inner.ca.pem()))
            .client_auth_optional(true)
            .timeout(Duration::from_secs(10));
        let service = AgentServer::new(Service { inner: self.inner.clone() })
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let hub = self.inner.hub.clone();
        let stop = async move {
            shutdown.cancelled().await;
            // Streams never end by themselves, and the server waits for them.
            hub.close_all();
        };
        Server::builder()
            .tls_config(tls)
            .map_err(|e| failed(&e))?
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(service)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
            .await
            .map_err(|e| failed(&e))
    }
}
