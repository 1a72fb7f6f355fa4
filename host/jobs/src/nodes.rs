//! Nodes: enrolment, names, revocation.

use std::path::Path;

use plenum_access::{Access, Permission, Principal};
use plenum_agent_protocol::{EnrolmentToken, v1};
use plenum_store::events::{NewEvent, emit};
use plenum_store::{Db, Tx, Value, new_id, now_ms, params};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ca::{Ca, Issued, PeerIdentity};
use crate::model::*;
use crate::writer::Cmd;
use crate::{Inner, Jobs, JobsError, sql};

const MAX_TOKEN_TTL_S: u32 = 7 * 24 * 3600;

fn hash(secret: &str) -> String {
    // A random secret of 256 bits needs no slow hash.
    hex::encode(Sha256::digest(secret))
}

/// A token that enrols one machine, for a command beside the host: with the host's certificate authority, which is made when there
/// is none yet.
pub async fn issue_enrolment_token(db: &Db, access: &Access, data_dir: &Path, who: &Principal, ttl_s: u32) -> Result<String, JobsError> {
    let ca = Ca::open(&data_dir.join("ca"))?;
    Ok(issue(db, access, &ca, who, ttl_s).await?.token)
}

async fn issue(db: &Db, access: &Access, ca: &Ca, who: &Principal, ttl: u32) -> Result<NewToken, JobsError> {
    access.require(who, Permission::NodesManage, &[]).await?;
    if !(1..=MAX_TOKEN_TTL_S).contains(&ttl) {
        return Err(JobsError::invalid("jobs.out_of_range", "/ttl_s", format!("{ttl} is not between 1 and {MAX_TOKEN_TTL_S}")));
    }
    let secret = hex::encode(rand::random::<[u8; 32]>());
    let (id, now) = (new_id(), now_ms());
    let expires_at = now + i64::from(ttl) * 1000;
    let mut tx = db.begin().await?;
    tx.execute(
        "INSERT INTO job_enrolment_tokens (id, hash, created_by, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        params![&id, hash(&secret), who.actor().to_string(), now, expires_at],
    )
    .await?;
    access
        .audit(&mut tx, who, "nodes.token.create", &format!("enrolment-token/{id}"), None, Some(&json!({"expires_at": expires_at})))
        .await?;
    tx.commit().await?;
    let token = EnrolmentToken { secret, ca_sha256: ca.fingerprint() }.to_string();
    Ok(NewToken { id, token, expires_at })
}

impl Jobs {
    /// A token that enrols one machine. `ttl_s` none means an hour.
    pub async fn create_enrolment_token(&self, who: &Principal, ttl_s: Option<u32>) -> Result<NewToken, JobsError> {
        issue(&self.inner.db, &self.inner.access, &self.inner.ca, who, ttl_s.unwrap_or(3600)).await
    }

    /// The command that enrols a machine and starts its agent.
    pub fn enrolment_command(&self, token: &str) -> String {
        format!("plenum-agent up --host {} --token {token} --state /var/lib/plenum-agent", self.inner.config.agent_address)
    }

    /// Tokens, newest first, without their secrets.
    pub async fn enrolment_tokens(&self, who: &Principal) -> Result<Vec<TokenInfo>, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesManage, &[]).await?;
        let rows = inner
            .db
            .fetch_all(
                "SELECT id, created_by, created_at, expires_at, used_at, node_id FROM job_enrolment_tokens ORDER BY id DESC LIMIT 200",
                &[],
            )
            .await?;
        let token = |r: &plenum_store::Row| {
            Ok(TokenInfo {
                id: r.text("id")?,
                created_by: r.text("created_by")?,
                created_at: r.int("created_at")?,
                expires_at: r.int("expires_at")?,
                used_at: r.opt_int("used_at")?,
                node_id: r.opt_text("node_id")?,
            })
        };
        rows.iter().map(token).collect()
    }

    /// Nodes by name.
    pub async fn nodes(&self, who: &Principal, q: &NodeQuery) -> Result<Page<Node>, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesRead, &[]).await?;
        let (mut sql, mut values) = (String::from(" WHERE 1 = 1"), Vec::<Value>::new());
        if let Some(s) = q.state {
            sql.push_str(" AND state = ?");
            values.push(s.as_str().into());
        }
        if let Some(s) = q.search.as_deref().filter(|s| !s.trim().is_empty()) {
            let p = sql::like(s.trim());
            sql.push_str(" AND (LOWER(name) LIKE ? ESCAPE '!' OR LOWER(hostname) LIKE ? ESCAPE '!' OR LOWER(COALESCE(address, '')) LIKE ? ESCAPE '!')");
            values.extend([p.clone().into(), p.clone().into(), p.into()]);
        }
        let count = inner.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM job_nodes{sql}"), &values).await?;
        let total = count.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        if let Some(c) = &q.cursor {
            let bad = || JobsError::invalid("jobs.bad_cursor", "cursor", "not a cursor of this list; start without one");
            let (id, name) = c.split_once('/').ok_or_else(bad)?;
            sql.push_str(" AND (name > ? OR (name = ? AND id > ?))");
            values.extend([name.into(), name.into(), id.into()]);
        }
        let limit = if q.limit == 0 { 50 } else { q.limit.min(1000) };
        values.push((limit + 1).into());
        let rows = inner.db.fetch_all(&format!("SELECT {} FROM job_nodes{sql} ORDER BY name, id LIMIT ?", sql::NODE), &values).await?;
        let mut items = rows.iter().map(sql::node_row).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        items.iter_mut().for_each(|n| inner.live(n));
        let next_cursor = items.last().filter(|_| more).map(|n| format!("{}/{}", n.id, n.name));
        Ok(Page { items, next_cursor, total: u64::try_from(total).unwrap_or(0) })
    }

    /// One node.
    pub async fn node(&self, who: &Principal, id: &str) -> Result<Node, JobsError> {
        self.inner.access.require(who, Permission::NodesRead, &[]).await?;
        self.inner.find_node(id).await
    }

    /// How many nodes are online, offline and revoked.
    pub async fn node_counts(&self, who: &Principal) -> Result<Vec<(NodeState, u64)>, JobsError> {
        self.inner.access.require(who, Permission::NodesRead, &[]).await?;
        let rows = self.inner.db.fetch_all("SELECT state, COUNT(*) AS n FROM job_nodes GROUP BY state", &[]).await?;
        let mut counts = vec![(NodeState::Online, 0), (NodeState::Offline, 0), (NodeState::Revoked, 0)];
        for r in rows {
            let (state, n) = (r.text("state")?, r.int("n")?);
            counts.iter_mut().filter(|(s, _)| s.as_str() == state).for_each(|c| c.1 = u64::try_from(n).unwrap_or(0));
        }
        Ok(counts)
    }

    /// Gives a node another name.
    pub async fn rename(&self, who: &Principal, id: &str, name: &str) -> Result<Node, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesManage, &[]).await?;
        let name = name.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return Err(JobsError::invalid("jobs.bad_name", "/name", "a name has 1 to 200 bytes and no control characters"));
        }
        let node = inner.find_node(id).await?;
        let mut tx = inner.db.begin().await?;
        tx.execute("UPDATE job_nodes SET name = ? WHERE id = ?", params![name, id]).await?;
        let (before, after) = (json!({"name": node.name}), json!({"name": name}));
        inner.access.audit(&mut tx, who, "nodes.node.rename", &format!("node/{id}"), Some(&before), Some(&after)).await?;
        let data = json!({"node_id": id, "name": name});
        emit(&mut tx, NewEvent { kind: "plenum.node.renamed".into(), source: "/nodes".into(), subject: format!("node/{id}"), data })
            .await?;
        tx.commit().await?;
        // Other policies may fit the new name.
        if let Some(outbox) = inner.hub.outbox(id) {
            outbox.settings();
        }
        inner.find_node(id).await
    }

    /// Refuses a node's certificates from now on, ends its connection and gives up its targets.
    pub async fn revoke(&self, who: &Principal, id: &str) -> Result<Node, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesManage, &[]).await?;
        let node = inner.find_node(id).await?;
        if node.state != NodeState::Revoked {
            let mut tx = inner.db.begin().await?;
            let now = now_ms();
            tx.execute("UPDATE job_nodes SET state = 'revoked', state_since = ? WHERE id = ?", params![now, id]).await?;
            tx.execute("UPDATE job_certificates SET revoked_at = ? WHERE node_id = ? AND revoked_at IS NULL", params![now, id]).await?;
            let (before, after) = (json!({"state": node.state}), json!({"state": "revoked"}));
            inner.access.audit(&mut tx, who, "nodes.node.revoke", &format!("node/{id}"), Some(&before), Some(&after)).await?;
            let data = json!({"node_id": id, "name": node.name, "host_instance_id": node.host_instance_id});
            emit(&mut tx, NewEvent { kind: "plenum.node.revoked".into(), source: "/nodes".into(), subject: format!("node/{id}"), data })
                .await?;
            tx.commit().await?;
        }
        inner.hub.kill(id, revoked());
        inner.metrics.forget(id);
        inner.decide(inner.hub.of_node(id).into_iter().map(|execution| Cmd::Close {
            execution,
            nodes: vec![id.to_owned()],
            status: TargetStatus::Lost,
            code: "jobs.node_revoked",
            message: "the node was revoked before the end was reported".to_owned(),
        }));
        inner.find_node(id).await
    }

    /// Asks a node's agent to look at its machine now.
    pub async fn collect(&self, who: &Principal, id: &str) -> Result<(), JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesManage, &[]).await?;
        let node = inner.find_node(id).await?;
        let outbox = inner.hub.outbox(id).ok_or(JobsError::NodeOffline(node.name))?;
        let mut tx = inner.db.begin().await?;
        inner.access.audit(&mut tx, who, "nodes.node.collect", &format!("node/{id}"), None, None).await?;
        // What is collected may be what the host has; it is wanted all the same.
        tx.execute("UPDATE job_nodes SET facts_digest = NULL WHERE id = ?", params![id]).await?;
        tx.commit().await?;
        outbox.collect();
        Ok(())
    }
}

pub(crate) fn revoked() -> tonic::Status {
    tonic::Status::permission_denied("this node is revoked; enrol the machine again with a new token")
}

impl Inner {
    fn live(&self, n: &mut Node) {
        let (running, vitals) = self.hub.node_load(&n.id);
        n.running = running;
        if let Some(v) = vitals {
            n.last_seen_at = Some(v.seen);
            n.load_1m = Some(v.load_1m);
        }
    }

    pub(crate) async fn find_node(&self, id: &str) -> Result<Node, JobsError> {
        let mut n = sql::node(&self.db, id).await?.ok_or_else(|| JobsError::NotFound { what: "node", id: id.to_owned() })?;
        self.live(&mut n);
        Ok(n)
    }

    async fn keep_certificate(&self, tx: &mut Tx, node: &str, c: &Issued) -> Result<(), JobsError> {
        tx.execute(
            "INSERT INTO job_certificates (serial, node_id, issued_at, expires_at) VALUES (?, ?, ?, ?)",
            params![&c.serial, node, c.issued_at, c.expires_at],
        )
        .await?;
        Ok(())
    }

    /// Turns a token into a node and its certificate. A machine that was enrolled before and is not connected keeps its node, and its old certificates
    /// end: it was set up anew. One that is connected is another machine with a copied machine id, and gets a node of its own.
    pub(crate) async fn enrol(&self, r: &v1::EnrolRequest) -> Result<v1::EnrolResponse, JobsError> {
        let field = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(200).collect() };
        let (hostname, machine_id, version) = (field(&r.hostname), field(&r.machine_id), field(&r.agent_version));
        let mut tx = self.db.begin().await?;
        let now = now_ms();
        // One statement decides who of several uses the token; the others wait for it and then see it used.
        let taken = tx
            .execute(
                "UPDATE job_enrolment_tokens SET used_at = ? WHERE hash = ? AND used_at IS NULL AND expires_at > ?",
                params![now, hash(&r.token), now],
            )
            .await?;
        if taken == 0 {
            tx.rollback().await?;
            return Err(self.refused_token(&r.token, &hostname).await?);
        }
        let sql = "SELECT id FROM job_nodes WHERE machine_id = ? AND machine_id <> '' AND state <> 'revoked' ORDER BY enrolled_at DESC";
        let known = tx.fetch_all(sql, params![&machine_id]).await?.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
        let known = known.into_iter().find(|id| !self.hub.is_connected(id));
        let again = known.is_some();
        let node = known.unwrap_or_else(new_id);
        // A request that cannot be read is no use of the token: the transaction is dropped.
        let issued = self.ca.issue(&r.csr_pem, &node)?;
        if again {
            tx.execute("UPDATE job_certificates SET revoked_at = ? WHERE node_id = ? AND revoked_at IS NULL", params![now, &node]).await?;
            tx.execute(
                "UPDATE job_nodes SET hostname = ?, agent_version = ?, enrolled_at = ? WHERE id = ?",
                params![&hostname, &version, now, &node],
            )
            .await?;
        } else {
            let name = if hostname.is_empty() { node.clone() } else { hostname.clone() };
            tx.execute(
                "INSERT INTO job_nodes (id, name, hostname, machine_id, state, state_since, agent_version, enrolled_at) VALUES (?, ?, ?, ?, 'offline', ?, ?, ?)",
                params![&node, name, &hostname, &machine_id, now, &version, now],
            )
            .await?;
        }
        self.keep_certificate(&mut tx, &node, &issued).await?;
        tx.execute("UPDATE job_enrolment_tokens SET node_id = ? WHERE hash = ?", params![&node, hash(&r.token)]).await?;
        let after = json!({"hostname": hostname, "agent_version": version, "again": again, "certificate": issued.serial});
        self.access
            .audit(&mut tx, &Principal::System("enrolment"), "nodes.node.enrol", &format!("node/{node}"), None, Some(&after))
            .await?;
        let data = json!({"node_id": node, "name": hostname, "again": again});
        emit(&mut tx, NewEvent { kind: "plenum.node.enrolled".into(), source: "/nodes".into(), subject: format!("node/{node}"), data })
            .await?;
        tx.commit().await?;
        Ok(v1::EnrolResponse { node_id: node, certificate_pem: issued.pem, ca_pem: self.ca.pem().to_owned() })
    }

    async fn refused_token(&self, secret: &str, hostname: &str) -> Result<JobsError, JobsError> {
        let row = self.db.fetch_optional("SELECT id, used_at FROM job_enrolment_tokens WHERE hash = ?", params![hash(secret)]).await?;
        let again = "make a new one in the portal (Nodes, Add a node)";
        let text = match &row {
            None => format!("the enrolment token is not known to this host; {again}"),
            Some(r) if r.opt_int("used_at")?.is_some() => format!("the enrolment token has been used, and each works once; {again}"),
            Some(_) => format!("the enrolment token has expired; {again}"),
        };
        tracing::warn!(hostname, reason = text, "an enrolment was refused");
        if let Some(r) = row {
            // A token that is tried again may be a stolen one: somebody should be able to find out. Guesses would only fill the log.
            let mut tx = self.db.begin().await?;
            let what = format!("enrolment-token/{}", r.text("id")?);
            let after = json!({"hostname": hostname, "reason": text});
            self.access.audit(&mut tx, &Principal::System("enrolment"), "nodes.node.enrol_refused", &what, None, Some(&after)).await?;
            tx.commit().await?;
        }
        Ok(JobsError::Enrolment(text))
    }

    /// A new certificate for the same node. The old one ends when the new one is used.
    pub(crate) async fn renew(&self, peer: &PeerIdentity, r: &v1::RenewRequest) -> Result<v1::RenewResponse, JobsError> {
        let issued = self.ca.issue(&r.csr_pem, &peer.node)?;
        let mut tx = self.db.begin().await?;
        self.keep_certificate(&mut tx, &peer.node, &issued).await?;
        let who = Principal::Agent { node: peer.node.clone() };
        let (before, after) = (json!({"certificate": peer.serial}), json!({"certificate": issued.serial}));
        self.access.audit(&mut tx, &who, "nodes.certificate.renew", &format!("node/{}", peer.node), Some(&before), Some(&after)).await?;
        tx.commit().await?;
        Ok(v1::RenewResponse { certificate_pem: issued.pem })
    }

    /// Whether the certificate is one that this host gave to this node and has not taken back.
    pub(crate) async fn admitted(&self, peer: &PeerIdentity) -> Result<bool, JobsError> {
        let sql = "SELECT 1 AS one FROM job_certificates c JOIN job_nodes n ON n.id = c.node_id
            WHERE c.serial = ? AND n.id = ? AND c.revoked_at IS NULL AND n.state <> 'revoked'";
        Ok(self.db.fetch_optional(sql, params![&peer.serial, &peer.node]).await?.is_some())
    }
}
