//! A host on a port, a CMDB of a few records, and agents that do what a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use plenum_access::{Access, Grant, PluginPrincipal, Principal, Role, Scope, UserPrincipal};
use plenum_agent_protocol::v1::agent_client::AgentClient;
use plenum_agent_protocol::v1::{self, agent_message, host_message};
use plenum_agent_protocol::{EnrolmentToken, HOST_SERVER_NAME};
use plenum_store::Db;
use plenum_store::secrets::Secrets;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::inventory::Found;
use crate::*;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub const SETS: &[&[Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

pub async fn soon<F: Future>(f: F) -> F::Output {
    tokio::time::timeout(PATIENCE, f).await.expect("in time")
}

#[derive(Default)]
pub struct FakeCmdb {
    pub records: Mutex<Vec<Found>>,
    pub facts: Mutex<Vec<serde_json::Value>>,
    pub status: Mutex<BTreeMap<String, bool>>,
}

#[async_trait]
impl Inventory for FakeCmdb {
    async fn select(&self, _: &Principal, model: &str, _: &str, limit: usize) -> Result<Vec<Found>, JobsError> {
        Ok(self.records.lock().unwrap().iter().filter(|f| f.instance.model == model).take(limit + 1).cloned().collect())
    }
    async fn get(&self, _: &Principal, i: &InstanceRef) -> Result<Found, JobsError> {
        let found = self.records.lock().unwrap().iter().find(|f| f.instance == *i).cloned();
        found.ok_or_else(|| JobsError::NotFound { what: "instance", id: i.id.clone() })
    }
    async fn within(&self, nodes: &[&str], filters: &[String]) -> Result<std::collections::BTreeSet<String>, JobsError> {
        Ok(nodes.iter().filter(|n| filters.iter().any(|f| f == *n)).map(|n| (*n).to_owned()).collect())
    }
    async fn by_address(&self, _: &Principal, words: &[String]) -> Result<Vec<(String, Found)>, JobsError> {
        let records = self.records.lock().unwrap();
        let hit = |f: &Found| words.iter().find(|w| **w == f.label).map(|w| (w.clone(), f.clone()));
        Ok(records.iter().filter_map(hit).collect())
    }
    async fn facts(&self, node: &str, facts: serde_json::Value) -> Result<Option<String>, JobsError> {
        self.facts.lock().unwrap().push(facts);
        Ok(Some(format!("host-of-{node}")))
    }
    async fn status(&self, node: &str, online: bool) -> Result<(), JobsError> {
        self.status.lock().unwrap().insert(format!("host-of-{node}"), online);
        Ok(())
    }
}

pub struct World {
    pub jobs: Jobs,
    pub db: Db,
    pub cmdb: Arc<FakeCmdb>,
    pub address: SocketAddr,
    pub dir: Arc<tempfile::TempDir>,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

pub fn user(role: Role) -> Principal {
    Principal::User(UserPrincipal { id: role.name().into(), name: role.name().into(), role })
}

pub fn admin() -> Principal {
    user(Role::Administrator)
}

#[allow(clippy::type_complexity)]
pub fn plugin(id: &str, permissions: &[(&str, &[(&str, &[&str])])]) -> Principal {
    let mut grant = Grant::default();
    for (name, scope) in permissions {
        let scope = scope.iter().map(|(k, v)| ((*k).to_owned(), v.iter().map(|s| (*s).to_owned()).collect())).collect();
        grant.permissions.insert((*name).to_owned(), Scope(scope));
    }
    Principal::Plugin(PluginPrincipal { id: id.into(), grant: Arc::new(grant), on_behalf: None })
}

impl World {
    pub async fn new(db: Db) -> World {
        World::with(db, Arc::new(tempfile::tempdir().unwrap()), |_| {}).await
    }

    pub async fn with(db: Db, dir: Arc<tempfile::TempDir>, adjust: impl FnOnce(&mut JobsConfig)) -> World {
        let cmdb = Arc::new(FakeCmdb::default());
        let world = World::serve(db, dir, cmdb.clone(), adjust).await;
        World { cmdb, ..world }
    }

    async fn serve(db: Db, dir: Arc<tempfile::TempDir>, inventory: Arc<dyn Inventory>, adjust: impl FnOnce(&mut JobsConfig)) -> World {
        let mut config = JobsConfig::new(dir.path(), "127.0.0.1:8444", Secrets::parse(&"5e".repeat(32), "the tests' key").unwrap());
        config.sweep = Duration::from_millis(20);
        config.settle = Duration::ZERO;
        adjust(&mut config);
        let jobs = Jobs::with_inventory(db.clone(), Access::new(db.clone()), inventory, config).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (serving, stop) = (jobs.clone(), shutdown.clone());
        let server = tokio::spawn(async move { serving.serve_agents(listener, stop).await.unwrap() });
        World { jobs, db, cmdb: Arc::default(), address, dir, shutdown, server }
    }

    async fn stop(&mut self) {
        self.server.abort();
        self.shutdown.cancel();
        let _ = (&mut self.server).await;
        self.jobs.close().await;
    }

    /// The host dies and comes back. Nothing of its memory survives.
    pub async fn restart(mut self) -> World {
        self.stop().await;
        World::with(self.db, self.dir, |_| {}).await
    }

    /// The same on another CMDB.
    pub async fn restart_with(mut self, inventory: Arc<dyn Inventory>) -> World {
        self.stop().await;
        World::serve(self.db, self.dir, inventory, |_| {}).await
    }

    pub async fn client(&self, identity: Option<(&str, &str)>) -> Result<AgentClient<Channel>, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.jobs.inner.ca.pem())).domain_name(HOST_SERVER_NAME);
        if let Some((cert, key)) = identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap().tls_config(tls)?;
        Ok(AgentClient::new(endpoint.connect().await?))
    }

    pub async fn token(&self) -> String {
        self.jobs.create_enrolment_token(&admin(), None).await.unwrap().token
    }

    pub async fn enrol_with(&self, token: &str, machine: &str) -> Result<Enrolled, tonic::Status> {
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let request = v1::EnrolRequest {
            token: EnrolmentToken::parse(token).unwrap().secret,
            csr_pem: csr,
            hostname: machine.into(),
            agent_version: "0.1.0".into(),
            machine_id: machine.into(),
        };
        let answer = self.client(None).await.unwrap().enrol(request).await?.into_inner();
        Ok(Enrolled { node: answer.node_id, cert: answer.certificate_pem, key: key.serialize_pem() })
    }

    pub async fn enrol(&self, machine: &str) -> Enrolled {
        self.enrol_with(&self.token().await, machine).await.unwrap()
    }

    pub async fn agent(&self, who: &Enrolled) -> FakeAgent {
        self.try_agent(who, &who.node, &[]).await.expect("the agent is admitted")
    }

    pub async fn try_agent(&self, who: &Enrolled, claim: &str, held: &[&str]) -> Result<FakeAgent, tonic::Status> {
        let mut client = self.client(Some((&who.cert, &who.key))).await.map_err(|e| tonic::Status::unknown(e.to_string()))?;
        let (tx, rx) = mpsc::channel(16);
        let held = held.iter().map(|id| v1::HeldExecution { execution_id: (*id).into(), key: (*id).into(), state: 2 }).collect();
        let hello = v1::Hello { node_id: claim.into(), version: "0.1.0".into(), held, ..Default::default() };
        tx.send(v1::AgentMessage { body: Some(agent_message::Body::Hello(hello)) }).await.unwrap();
        let mut from = soon(client.connect(ReceiverStream::new(rx))).await?.into_inner();
        match soon(from.message()).await?.and_then(|m| m.body) {
            Some(host_message::Body::Welcome(_)) => Ok(FakeAgent { node: who.node.clone(), tx, from }),
            other => panic!("{other:?}"),
        }
    }

    pub async fn online(&self, machine: &str) -> FakeAgent {
        let e = self.enrol(machine).await;
        let agent = self.agent(&e).await;
        self.until_state(&e.node, NodeState::Online).await;
        agent
    }

    pub async fn until_state(&self, node: &str, state: NodeState) {
        self.until(async |j: &Jobs| j.node(&admin(), node).await.unwrap().state == state).await;
    }

    /// Looks again whenever something has happened.
    pub async fn until(&self, holds: impl AsyncFn(&Jobs) -> bool) {
        let mut listener = plenum_store::events::Events::new(self.db.clone()).listen();
        soon(async {
            while !holds(&self.jobs).await {
                let _ = tokio::time::timeout(Duration::from_millis(20), listener.changed()).await;
            }
        })
        .await;
    }

    pub fn request(&self, nodes: &[&str]) -> RunRequest {
        let nodes: Vec<_> = nodes.iter().map(|n| serde_json::json!({"node_id": n})).collect();
        let json = serde_json::json!({"name": "Test", "script": {"language": "sh", "content": "echo hi"}, "targets": {"nodes": nodes}, "timeout_s": 60});
        serde_json::from_value(json).unwrap()
    }

    pub async fn run(&self, nodes: &[&str]) -> Execution {
        self.jobs.run(&admin(), self.request(nodes)).await.unwrap()
    }

    pub async fn result(&self, id: &str, node: &str) -> TargetResult {
        let q = ResultQuery { node_id: Some(node.into()), head_bytes: 1000, ..Default::default() };
        self.jobs.results(&admin(), id, &q).await.unwrap().items.remove(0)
    }
}

pub struct Enrolled {
    pub node: String,
    pub cert: String,
    pub key: String,
}

pub struct FakeAgent {
    pub node: String,
    tx: mpsc::Sender<v1::AgentMessage>,
    from: tonic::Streaming<v1::HostMessage>,
}

impl FakeAgent {
    pub async fn say(&self, body: agent_message::Body) {
        self.tx.send(v1::AgentMessage { body: Some(body) }).await.unwrap();
    }

    /// The next message that is not about settings, which come when they come; or how the connection ended.
    pub async fn hear(&mut self) -> Result<host_message::Body, tonic::Status> {
        loop {
            match self.hear_any().await? {
                host_message::Body::Settings(_) => {}
                body => return Ok(body),
            }
        }
    }

    /// The next message, or how the connection ended.
    pub async fn hear_any(&mut self) -> Result<host_message::Body, tonic::Status> {
        match soon(self.from.message()).await? {
            Some(m) => Ok(m.body.unwrap()),
            None => Err(tonic::Status::ok("end")),
        }
    }

    pub async fn run(&mut self) -> v1::Run {
        loop {
            match self.hear().await.unwrap() {
                host_message::Body::Run(r) => return r,
                host_message::Body::Ack(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn started(&self, id: &str) {
        self.say(agent_message::Body::Started(v1::Started { execution_id: id.into(), pid: 1, started_ms: plenum_store::now_ms() })).await;
    }

    pub async fn output(&self, id: &str, seq: u64, data: &[u8]) {
        let o = v1::Output { execution_id: id.into(), stream: 1, seq, offset: 0, data: data.to_vec().into() };
        self.say(agent_message::Body::Output(o)).await;
    }

    pub async fn finish(&self, id: &str, status: v1::FinishStatus, last_seq: u64) {
        let exit_code = match status {
            v1::FinishStatus::Succeeded => Some(0),
            v1::FinishStatus::Failed => Some(3),
            _ => None,
        };
        let now = plenum_store::now_ms();
        let f = v1::Finished {
            execution_id: id.into(),
            status: status.into(),
            exit_code,
            duration_ms: 5,
            last_seq,
            started_ms: now,
            finished_ms: now,
            ..Default::default()
        };
        self.say(agent_message::Body::Finished(f)).await;
    }

    /// Until the host has said that it has the end.
    pub async fn acknowledged(&mut self, id: &str) {
        loop {
            if let host_message::Body::Ack(a) = self.hear().await.unwrap()
                && a.execution_id == id
                && a.finished
            {
                return;
            }
        }
    }
}
