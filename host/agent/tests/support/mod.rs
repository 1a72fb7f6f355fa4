//! A host of the protocol and nothing more: what an agent needs to be talked to in a test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plenum_agent_protocol::v1::agent_message::Body;
use plenum_agent_protocol::v1::agent_server::{Agent, AgentServer};
use plenum_agent_protocol::v1::{
    Ack, AgentMessage, EnrolRequest, EnrolResponse, Finished, Hello, HostMessage, RenewRequest, RenewResponse, Run, Welcome, host_message,
};
use plenum_agent_protocol::{EnrolmentToken, HOST_SERVER_NAME};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Far above what anything here takes: a test that hangs should fail, not stay.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Ca {
    pem: String,
    sha256: [u8; 32],
    issuer: Issuer<'static, KeyPair>,
    leaf_pem: String,
    leaf_key_pem: String,
}

impl Ca {
    pub fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let (pem, sha256) = (ca.pem(), Sha256::digest(ca.der()).into());
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![HOST_SERVER_NAME.to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        Arc::new(Self { leaf_pem: format!("{}{pem}", leaf.pem()), leaf_key_pem: leaf_key.serialize_pem(), pem, sha256, issuer })
    }

    /// Certificates are made old enough to be renewed when `old`, or valid for some seconds.
    fn sign(&self, csr: &str, node: &str, old: bool, short_s: Option<u64>) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params.distinguished_name = rcgen::DistinguishedName::new();
        request.params.distinguished_name.push(DnType::CommonName, node);
        let year = if old { 2000 } else { 2025 };
        request.params.not_before = rcgen::date_time_ymd(year, 1, 1);
        request.params.not_after = rcgen::date_time_ymd(if old { 2030 } else { 3000 }, 1, 1);
        if let Some(seconds) = short_s {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            request.params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now;
            request.params.not_after = request.params.not_before + Duration::from_secs(seconds);
        }
        request.signed_by(&self.issuer).unwrap().pem()
    }

    pub fn token(&self) -> EnrolmentToken {
        EnrolmentToken { secret: "secret".into(), ca_sha256: self.sha256 }
    }
}

#[derive(Default)]
pub struct Counters {
    pub enrolments: AtomicU32,
    pub renewals: AtomicU32,
    pub old_certificates: bool,
    /// First certificates are valid for so many seconds.
    pub short_s: Option<u64>,
}

struct Service {
    ca: Arc<Ca>,
    counters: Arc<Counters>,
    arrivals: mpsc::UnboundedSender<Conn>,
    machines: Arc<Mutex<Vec<String>>>,
}

fn node_of<T>(request: &Request<T>) -> Result<(String, Vec<u8>), Status> {
    let certs = request.peer_certs().ok_or_else(|| Status::unauthenticated("no certificate"))?;
    let der = certs[0].as_ref().to_vec();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    Ok((certificate.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned(), certificate.raw_serial().to_vec()))
}

#[tonic::async_trait]
impl Agent for Service {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        let n = self.counters.enrolments.fetch_add(1, Ordering::SeqCst) + 1;
        if !request.token.starts_with("secret") {
            return Err(Status::unauthenticated("the token is used or expired: make a new one"));
        }
        self.machines.lock().unwrap().push(request.machine_id);
        let node_id = format!("node-{n}");
        let certificate_pem = self.ca.sign(&request.csr_pem, &node_id, self.counters.old_certificates, self.counters.short_s);
        Ok(Response::new(EnrolResponse { node_id, certificate_pem, ca_pem: self.ca.pem.clone() }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (node, _) = node_of(&request)?;
        self.counters.renewals.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(RenewResponse { certificate_pem: self.ca.sign(&request.into_inner().csr_pem, &node, false, None) }))
    }

    type ConnectStream = ReceiverStream<Result<HostMessage, Status>>;

    async fn connect(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (node, serial) = node_of(&request)?;
        let (to_agent, outgoing) = mpsc::channel(64);
        let conn = Conn { node, serial, to_agent, from_agent: request.into_inner() };
        self.arrivals.send(conn).map_err(|_| Status::unavailable("going down"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

pub struct Host {
    pub ca: Arc<Ca>,
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
    pub machines: Arc<Mutex<Vec<String>>>,
    arrivals: mpsc::UnboundedReceiver<Conn>,
    server: tokio::task::JoinHandle<()>,
}

impl Host {
    pub async fn start() -> Self {
        Self::start_as(Ca::new(), "127.0.0.1:0".parse().unwrap(), Counters::default()).await
    }

    pub async fn start_as(ca: Arc<Ca>, address: SocketAddr, counters: Counters) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, arrivals) = mpsc::unbounded_channel();
        let (counters, machines) = (Arc::new(counters), Arc::new(Mutex::new(Vec::new())));
        let service = Service { ca: ca.clone(), counters: counters.clone(), arrivals: tx, machines: machines.clone() };
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&ca.leaf_pem, &ca.leaf_key_pem))
            .client_ca_root(Certificate::from_pem(&ca.pem))
            .client_auth_optional(true);
        let mut server = Server::builder().tls_config(tls).unwrap();
        let server = server.add_service(AgentServer::new(service)).serve_with_incoming(TcpListenerStream::new(listener));
        Self { ca, address, counters, machines, arrivals, server: tokio::spawn(async move { server.await.unwrap() }) }
    }

    /// The host process is gone; returns what its successor needs.
    pub async fn kill(self) -> (Arc<Ca>, SocketAddr) {
        self.server.abort();
        let _ = self.server.await;
        (self.ca, self.address)
    }

    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The next connection, welcomed.
    pub async fn connection(&mut self) -> (Conn, Hello) {
        let mut conn = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await.expect("no agent came").unwrap();
        let Body::Hello(hello) = conn.hear().await else { panic!("Hello comes first") };
        conn.tell(host_message::Body::Welcome(Welcome { heartbeat_s: 1, facts_s: 3600, ..Welcome::default() })).await;
        (conn, hello)
    }
}

pub struct Conn {
    pub node: String,
    pub serial: Vec<u8>,
    to_agent: mpsc::Sender<Result<HostMessage, Status>>,
    from_agent: Streaming<AgentMessage>,
}

impl Conn {
    pub async fn tell(&self, body: host_message::Body) {
        self.to_agent.send(Ok(HostMessage { body: Some(body) })).await.unwrap();
    }

    pub async fn run(&self, run: Run) {
        self.tell(host_message::Body::Run(run)).await;
    }

    pub async fn hear(&mut self) -> Body {
        let message = tokio::time::timeout(PATIENCE, self.from_agent.message()).await.expect("the agent says nothing");
        message.unwrap().expect("the agent hung up").body.unwrap()
    }

    /// The next message, or nothing when the agent is gone.
    pub async fn try_hear(&mut self) -> Option<Body> {
        let message = tokio::time::timeout(PATIENCE, self.from_agent.message()).await.expect("the agent says nothing");
        message.ok().flatten()?.body
    }

    /// Tells it if it is still there.
    pub async fn try_tell(&self, body: host_message::Body) {
        let _ = self.to_agent.send(Ok(HostMessage { body: Some(body) })).await;
    }

    /// All chunks from `seq` on and the end, in order and without a gap.
    pub async fn until_finished(&mut self, id: &str, mut seq: u64) -> (Vec<u8>, Finished) {
        let mut output = Vec::new();
        loop {
            match self.hear().await {
                Body::Output(chunk) if chunk.execution_id == id => {
                    assert_eq!(chunk.seq, seq + 1);
                    seq = chunk.seq;
                    output.extend_from_slice(&chunk.data);
                }
                Body::Finished(finished) if finished.execution_id == id => {
                    assert_eq!(finished.last_seq, seq);
                    return (output, finished);
                }
                _ => {}
            }
        }
    }

    pub async fn acknowledge(&self, id: &str, up_to_seq: u64, finished: bool) {
        self.tell(host_message::Body::Ack(Ack { execution_id: id.into(), up_to_seq, finished })).await;
    }
}
