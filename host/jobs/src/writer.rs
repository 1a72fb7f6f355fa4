//! The one task that writes what agents report and what becomes of targets.
//!
//! Two hundred targets that end at once are two hundred small writes, and SQLite has one writer: so what waits is written together, in one
//! transaction with one fsync. Only after the commit is anything acknowledged to an agent or shown to a watcher. Being alone, it needs no locks to
//! decide whether a message is new.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use plenum_agent_protocol::v1;
use plenum_store::events::{NewEvent, emit};
use plenum_store::{Db, StoreError, Tx, now_ms, params};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::active::{Stop, TOTAL_TIMEOUT};
use crate::hub::{Hub, Outbox, Todo};
use crate::model::{OutputStream, Summary, TargetStatus};
use crate::plan;
use crate::printed::Printed;

/// Most messages and bytes of output of one transaction: bounds its memory and how long others wait for the database.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What may wait before the streams of agents are held back.
pub(crate) const QUEUE: usize = 256;
/// A single message that the database refuses this often is damaged, not unlucky.
const ATTEMPTS: u32 = 5;

/// What an agent said about an execution.
#[derive(Debug, Clone)]
pub(crate) enum Report {
    Accepted,
    Started { at: i64 },
    Output { seq: u64, stream: OutputStream, data: Bytes },
    Finished(Box<v1::Finished>),
}

/// Something to write.
#[derive(Debug, Clone)]
pub(crate) enum Cmd {
    /// From an agent, to be acknowledged to `outbox`.
    Report { node: String, execution: String, report: Report, outbox: Arc<Outbox> },
    /// About to be sent.
    Sent { execution: String, nodes: Vec<String> },
    /// Not connected.
    Park { execution: String, nodes: Vec<String> },
    /// Another batch, or a pause before it.
    Moved { execution: String, batch: u32, since: i64, resume_at: Option<i64> },
    /// Nothing further is started: why, and the targets that no agent has.
    Stop { execution: String, stop: Stop },
    /// Decided by the host.
    Close { execution: String, nodes: Vec<String>, status: TargetStatus, code: &'static str, message: String },
    /// Connected.
    Online { node: String, conn: u64, serial: String, version: String, address: String, held: Vec<String> },
    /// Disconnected.
    Offline { node: String },
}

#[derive(Debug, Clone)]
struct Target {
    name: String,
    status: TargetStatus,
    last_seq: u64,
    stored: [u64; 2],
    dropped: u64,
    started_at: Option<i64>,
    /// None: this process has not seen it from the beginning.
    printed: Option<Box<Printed>>,
    /// Ended by the host's judgement, so that the agent's word still counts.
    judged: bool,
}

#[derive(Debug, Clone)]
struct Exec {
    name: String,
    output_limit: u64,
    origin: Option<String>,
    plugin: Option<String>,
    created_at: i64,
    open: i64,
    over: bool,
    /// Its total time limit is over: what agents end now was ended for that.
    timed_out: bool,
}

/// What happens after the commit.
#[derive(Default)]
struct After {
    acks: Vec<(Arc<Outbox>, String, u64, bool)>,
    touched: HashSet<String>,
    sent: Vec<(String, Vec<String>)>,
    /// Whether each ended badly.
    ended: BTreeMap<String, Vec<(String, bool)>>,
    finished: Vec<String>,
    online: Vec<(String, u64, HashSet<String>)>,
    status: Vec<String>,
}

pub(crate) struct Writer {
    db: Db,
    hub: Arc<Hub>,
    revs: Arc<AtomicI64>,
    targets: HashMap<(String, String), Option<Target>>,
    execs: HashMap<String, Exec>,
    /// Nodes whose state in the CMDB is to be looked at.
    states: mpsc::UnboundedSender<String>,
    /// What followed from the last batch.
    pending: VecDeque<Cmd>,
}

fn clean(text: &str) -> String {
    // PostgreSQL takes no NUL in text; and what an agent sends is bounded by nobody else.
    text.chars().filter(|c| *c != '\0').take(4000).collect()
}

fn int(v: u64) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

impl Writer {
    pub fn new(db: Db, hub: Arc<Hub>, revs: Arc<AtomicI64>, states: mpsc::UnboundedSender<String>) -> Writer {
        Writer { db, hub, revs, targets: HashMap::new(), execs: HashMap::new(), states, pending: VecDeque::new() }
    }

    /// Until told to stop. What is not written then was not acknowledged either: agents bring it again.
    pub async fn run(mut self, mut rx: mpsc::Receiver<Cmd>, mut internal: mpsc::UnboundedReceiver<Cmd>, stop: CancellationToken) {
        loop {
            // The host's own decisions go first: they are few, and bounded by what is under way.
            let first = match self.pending.pop_front() {
                Some(c) => Some(c),
                None => tokio::select! {
                    biased;
                    c = internal.recv() => c,
                    c = rx.recv() => c,
                    () = stop.cancelled() => None,
                },
            };
            let Some(first) = first else { break };
            let mut bytes = first.size();
            let mut batch = vec![first];
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some(next) = self.pending.pop_front().or_else(|| internal.try_recv().ok()).or_else(|| rx.try_recv().ok()) else {
                    break;
                };
                bytes += next.size();
                batch.push(next);
            }
            self.write(batch).await;
            // The cache saves reading what was just written; it need not be complete.
            if self.targets.len() > 50_000 {
                self.targets.clear();
                self.execs.clear();
            }
        }
    }

    async fn write(&mut self, batch: Vec<Cmd>) {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.commit(&batch).await {
                Ok(after) => return self.settle(after),
                Err(error) => {
                    self.targets.clear();
                    self.execs.clear();
                    tracing::warn!(%error, attempt, messages = batch.len(), "writing agents' reports failed; nothing was acknowledged, trying again");
                    if attempt >= ATTEMPTS && batch.len() > 1 {
                        break;
                    }
                    if attempt >= ATTEMPTS && matches!(&error, StoreError::TooLarge(_) | StoreError::Unique(_) | StoreError::Corrupt(_)) {
                        tracing::error!(%error, "dropped a report that the database refuses");
                        return;
                    }
                    // A database that is away comes back, and what agents hold meanwhile is on their disks.
                    tokio::time::sleep(Duration::from_millis(50 * u64::from(attempt.min(40)))).await;
                }
            }
        }
        // One of them is damaged: the others shall not suffer.
        for cmd in batch {
            Box::pin(self.write(vec![cmd])).await;
        }
    }

    fn settle(&mut self, after: After) {
        let mut todo = Todo::default();
        for (id, nodes) in &after.sent {
            self.hub.sent(id, nodes);
        }
        for (id, nodes) in &after.ended {
            self.hub.ended(id, nodes, &mut todo);
        }
        for (node, conn, held) in &after.online {
            let more = self.hub.resume(node, *conn, held);
            todo.join(more);
        }
        for id in &after.finished {
            self.hub.finished(id);
        }
        for id in &after.touched {
            self.hub.touch(id);
        }
        for (outbox, id, seq, finished) in after.acks {
            outbox.ack(&id, seq, finished);
        }
        for node in after.status {
            let _ = self.states.send(node);
        }
        self.pending.extend(todo.into_cmds());
    }

    async fn commit(&mut self, batch: &[Cmd]) -> Result<After, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut after = After::default();
        for cmd in batch {
            match cmd {
                Cmd::Report { node, execution, report, outbox } => {
                    self.report(&mut tx, &mut after, node, execution, report, outbox).await?
                }
                Cmd::Sent { execution, nodes } => self.sent(&mut tx, &mut after, execution, nodes).await?,
                Cmd::Park { execution, nodes } => self.park(&mut tx, &mut after, execution, nodes).await?,
                Cmd::Moved { execution, batch, since, resume_at } => {
                    let sql = "UPDATE job_executions SET batch = ?, batch_since = ?, resume_at = ? WHERE id = ?";
                    tx.execute(sql, params![i64::from(*batch), *since, *resume_at, execution]).await?;
                    after.touched.insert(execution.clone());
                }
                Cmd::Stop { execution, stop } => self.stop(&mut tx, &mut after, execution, stop).await?,
                Cmd::Close { execution, nodes, status, code, message } => {
                    for node in nodes {
                        self.close(&mut tx, &mut after, execution, node, *status, code, message).await?;
                    }
                }
                Cmd::Online { .. } => self.online(&mut tx, &mut after, cmd).await?,
                Cmd::Offline { node } => self.offline(&mut tx, &mut after, node).await?,
            }
        }
        self.finish(&mut tx, &mut after).await?;
        tx.commit().await?;
        Ok(after)
    }

    fn rev(&self) -> i64 {
        self.revs.fetch_add(1, Ordering::Relaxed)
    }

    /// The target as of now within the transaction; none if there is no such target.
    async fn target(&mut self, tx: &mut Tx, execution: &str, node: &str) -> Result<Option<Target>, StoreError> {
        let key = (execution.to_owned(), node.to_owned());
        if let Some(t) = self.targets.get(&key) {
            return Ok(t.clone());
        }
        let row = tx
            .fetch_optional(
                "SELECT node_name, status, last_seq, stored_stdout, stored_stderr, truncated_bytes, started_at, code FROM job_targets WHERE execution_id = ? AND node_id = ?",
                params![execution, node],
            )
            .await?;
        let target = match row {
            None => None,
            Some(r) => {
                let word = r.text("status")?;
                let u = |c: &str| r.int(c).map(|v| u64::try_from(v).unwrap_or(0));
                Some(Target {
                    name: r.text("node_name")?,
                    status: TargetStatus::parse(&word).ok_or_else(|| StoreError::Corrupt(format!("target status {word}")))?,
                    last_seq: u("last_seq")?,
                    stored: [u("stored_stdout")?, u("stored_stderr")?],
                    dropped: u("truncated_bytes")?,
                    started_at: r.opt_int("started_at")?,
                    printed: (r.int("last_seq")? == 0).then(Box::default),
                    judged: r.opt_text("code")?.is_some_and(|c| c.starts_with("jobs.") && c != OUTPUT_INCOMPLETE),
                })
            }
        };
        if target.is_some() {
            self.exec(tx, execution).await?;
        }
        self.targets.insert(key, target.clone());
        Ok(target)
    }

    async fn exec(&mut self, tx: &mut Tx, id: &str) -> Result<Option<&mut Exec>, StoreError> {
        if !self.execs.contains_key(id) {
            let sql = "SELECT name, status, output_limit, origin, plugin, created_at, stop_code,
                (SELECT COUNT(*) FROM job_targets t WHERE t.execution_id = e.id AND t.status IN ('pending', 'waiting', 'running')) AS open
                FROM job_executions e WHERE id = ?";
            let Some(r) = tx.fetch_optional(sql, params![id]).await? else { return Ok(None) };
            let exec = Exec {
                name: r.text("name")?,
                output_limit: u64::try_from(r.int("output_limit")?).unwrap_or(0),
                origin: r.opt_text("origin")?,
                plugin: r.opt_text("plugin")?,
                created_at: r.int("created_at")?,
                open: r.int("open")?,
                over: r.text("status")? != "running",
                timed_out: r.opt_text("stop_code")?.as_deref() == Some(TOTAL_TIMEOUT),
            };
            self.execs.insert(id.to_owned(), exec);
        }
        Ok(self.execs.get_mut(id))
    }

    fn put(&mut self, execution: &str, node: &str, target: Target) {
        self.targets.insert((execution.to_owned(), node.to_owned()), Some(target));
    }

    async fn report(
        &mut self,
        tx: &mut Tx,
        after: &mut After,
        node: &str,
        execution: &str,
        report: &Report,
        outbox: &Arc<Outbox>,
    ) -> Result<(), StoreError> {
        let Some(mut t) = self.target(tx, execution, node).await? else {
            // Not ours, or of a database that was restored from an older copy. Acknowledged, or the agent would keep it for ever.
            tracing::warn!(node, execution, "an agent reports on an execution that is not known for its node; dropped");
            if let Report::Output { seq, .. } = report {
                after.acks.push((outbox.clone(), execution.to_owned(), *seq, false));
            } else if matches!(report, Report::Finished(_)) {
                after.acks.push((outbox.clone(), execution.to_owned(), 0, true));
            }
            return Ok(());
        };
        match report {
            Report::Accepted if !t.status.is_final() => {
                let n = "UPDATE job_targets SET accepted_at = COALESCE(accepted_at, ?), rev = ? WHERE execution_id = ? AND node_id = ?";
                tx.execute(n, params![now_ms(), self.rev(), execution, node]).await?;
                after.touched.insert(execution.to_owned());
            }
            Report::Started { at } if !t.status.is_final() && t.started_at.is_none() => {
                t.status = TargetStatus::Running;
                t.started_at = Some((*at).clamp(1, now_ms()));
                tx.execute(
                    "UPDATE job_targets SET status = 'running', waiting_for = NULL, waiting_since = NULL, started_at = ?, rev = ? WHERE execution_id = ? AND node_id = ?",
                    params![t.started_at, self.rev(), execution, node],
                )
                .await?;
                after.touched.insert(execution.to_owned());
                self.put(execution, node, t);
            }
            Report::Accepted | Report::Started { .. } => {}
            Report::Output { seq, stream, data } => {
                if *seq > t.last_seq && (!t.status.is_final() || t.judged) {
                    self.output(tx, execution, node, &mut t, *seq, *stream, data).await?;
                    after.touched.insert(execution.to_owned());
                    self.put(execution, node, t.clone());
                }
                after.acks.push((outbox.clone(), execution.to_owned(), t.last_seq.max(*seq), false));
            }
            Report::Finished(f) => {
                if !t.status.is_final() || t.judged {
                    self.finished(tx, after, execution, node, t, f).await?;
                }
                after.acks.push((outbox.clone(), execution.to_owned(), f.last_seq, true));
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn output(
        &mut self,
        tx: &mut Tx,
        execution: &str,
        node: &str,
        t: &mut Target,
        seq: u64,
        stream: OutputStream,
        data: &Bytes,
    ) -> Result<(), StoreError> {
        let limit = self.execs.get(execution).map_or(0, |e| e.output_limit);
        // The agent keeps the limit too; that it does is not relied on.
        let kept = data.get(..plan::keep(t.stored.iter().sum(), data.len(), limit)).unwrap_or_default();
        t.last_seq = seq;
        t.dropped += (data.len() - kept.len()) as u64;
        let [out, err] = &mut t.stored;
        let position = match stream {
            OutputStream::Stdout => out,
            OutputStream::Stderr => err,
        };
        if !kept.is_empty() {
            tx.execute(
                "INSERT INTO job_output (execution_id, node_id, seq, stream, start_at, data) VALUES (?, ?, ?, ?, ?, ?)",
                params![execution, node, int(seq), stream.as_str(), int(*position), kept.to_vec()],
            )
            .await?;
            *position += kept.len() as u64;
            if let Some(p) = &mut t.printed {
                p.add(stream, kept);
            }
        }
        tx.execute(
            "UPDATE job_targets SET last_seq = ?, stored_stdout = ?, stored_stderr = ?, truncated_bytes = ? WHERE execution_id = ? AND node_id = ?",
            params![int(t.last_seq), int(t.stored[0]), int(t.stored[1]), int(t.dropped), execution, node],
        )
        .await?;
        Ok(())
    }

    async fn finished(
        &mut self,
        tx: &mut Tx,
        after: &mut After,
        execution: &str,
        node: &str,
        mut t: Target,
        f: &v1::Finished,
    ) -> Result<(), StoreError> {
        use v1::FinishStatus as F;
        let total_timeout = f.status() == F::Cancelled && self.exec(tx, execution).await?.is_some_and(|e| e.timed_out);
        let status = match f.status() {
            F::Cancelled if total_timeout => TargetStatus::TimedOut,
            F::Succeeded => TargetStatus::Succeeded,
            F::TimedOut => TargetStatus::TimedOut,
            F::Cancelled => TargetStatus::Cancelled,
            F::Interrupted => TargetStatus::Lost,
            F::Rejected => TargetStatus::Rejected,
            F::Failed | F::Unspecified => TargetStatus::Failed,
        };
        let mut message = clean(&f.error);
        if status == TargetStatus::Lost && message.is_empty() {
            message = "the agent or its machine went down while the script ran, so its end is unknown; it is not run again by itself: check the machine, then run it again".to_owned();
        }
        if total_timeout {
            message = "the agent ended it, since the time limit of the whole execution was over".to_owned();
        }
        let incomplete = f.last_seq > t.last_seq;
        if incomplete {
            message = format!("{message} (some output is missing)").trim().to_owned();
        }
        let code = Some(if total_timeout { "agent.total_timeout".to_owned() } else { clean(&f.error_code) })
            .filter(|c| !c.is_empty())
            .or_else(|| (status == TargetStatus::Lost).then(|| "agent.interrupted".to_owned()))
            .or_else(|| incomplete.then(|| OUTPUT_INCOMPLETE.to_owned()));
        let printed = match t.printed.take() {
            Some(p) => *p,
            None => Printed::stored(tx, execution, node).await?,
        };
        let (hash, own) = printed.finish();
        let (result, result_error) = match own {
            None => (None, None),
            Some(Ok(json)) => (Some(json), None),
            Some(Err(why)) => (None, Some(why)),
        };
        // The agent counts what it dropped, the host what it dropped of the rest.
        t.dropped = t.dropped.max(f.truncated_bytes);
        let now = now_ms();
        let positive = |ms: i64| (ms > 0).then_some(ms.min(now));
        let started = positive(f.started_ms).or(t.started_at);
        tx.execute(
            "UPDATE job_targets SET status = ?, waiting_for = NULL, waiting_since = NULL, started_at = ?, finished_at = ?, duration_ms = ?, exit_code = ?,
             signal = ?, code = ?, message = ?, stdout_bytes = ?, stderr_bytes = ?, truncated_bytes = ?, output_hash = ?, result = ?, result_error = ?, rev = ? WHERE execution_id = ? AND node_id = ?",
            params![
                status.as_str(),
                started,
                positive(f.finished_ms).unwrap_or(now),
                started.map(|_| int(f.duration_ms)),
                f.exit_code.map(i64::from),
                f.signal.map(i64::from),
                code,
                Some(message).filter(|m| !m.is_empty()),
                int(f.stdout_bytes.max(t.stored[0])),
                int(f.stderr_bytes.max(t.stored[1])),
                int(t.dropped),
                hash,
                result,
                result_error,
                self.rev(),
                execution,
                node
            ],
        )
        .await?;
        let late = t.status.is_final();
        t.status = status;
        t.judged = false;
        let data = json!({"exit_code": f.exit_code, "duration_ms": f.duration_ms, "late": late});
        self.ended(tx, after, execution, node, t, late, data).await
    }

    /// The host's own judgement on a target; nothing if it has ended already.
    #[allow(clippy::too_many_arguments)]
    async fn close(
        &mut self,
        tx: &mut Tx,
        after: &mut After,
        execution: &str,
        node: &str,
        status: TargetStatus,
        code: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        let Some(mut t) = self.target(tx, execution, node).await? else { return Ok(()) };
        if t.status.is_final() {
            return Ok(());
        }
        tx.execute(
            "UPDATE job_targets SET status = ?, waiting_for = NULL, waiting_since = NULL, finished_at = ?, code = ?, message = ?, rev = ? WHERE execution_id = ? AND node_id = ?",
            params![status.as_str(), now_ms(), code, message, self.rev(), execution, node],
        )
        .await?;
        t.status = status;
        t.judged = true;
        self.ended(tx, after, execution, node, t, false, json!({"code": code})).await
    }

    async fn stop(&mut self, tx: &mut Tx, after: &mut After, execution: &str, stop: &Stop) -> Result<(), StoreError> {
        let sql = "UPDATE job_executions SET stopped_at = COALESCE(stopped_at, ?), stop_code = ?, stop_reason = ? WHERE id = ?";
        tx.execute(sql, params![now_ms(), &stop.code, &stop.reason, execution]).await?;
        let status = if stop.end_all { TargetStatus::TimedOut } else { TargetStatus::Cancelled };
        let Some(e) = self.exec(tx, execution).await? else { return Ok(()) };
        e.timed_out |= stop.end_all;
        let data = json!({"execution_id": execution, "name": e.name, "origin": e.origin, "plugin": e.plugin, "reason": stop.reason, "not_started": stop.unsent.len()});
        let subject = format!("execution/{execution}");
        emit(tx, NewEvent { kind: "plenum.job.execution.stopped".into(), source: "/jobs".into(), subject, data }).await?;
        let message = format!("not started: {}", stop.reason);
        for node in &stop.unsent {
            self.close(tx, after, execution, node, status, &stop.code, &message).await?;
        }
        after.touched.insert(execution.to_owned());
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn ended(
        &mut self,
        tx: &mut Tx,
        after: &mut After,
        execution: &str,
        node: &str,
        t: Target,
        late: bool,
        mut data: serde_json::Value,
    ) -> Result<(), StoreError> {
        if let (Some(e), Some(map)) = (self.exec(tx, execution).await?, data.as_object_mut()) {
            if !late {
                e.open -= 1;
            }
            map.insert("execution_id".into(), execution.into());
            map.insert("node_id".into(), node.into());
            map.insert("node_name".into(), t.name.clone().into());
            map.insert("status".into(), t.status.as_str().into());
            map.insert("origin".into(), e.origin.clone().into());
            map.insert("plugin".into(), e.plugin.clone().into());
        }
        let event =
            NewEvent { kind: "plenum.job.target.finished".into(), source: "/jobs".into(), subject: format!("execution/{execution}"), data };
        emit(tx, event).await?;
        after.touched.insert(execution.to_owned());
        after.ended.entry(execution.to_owned()).or_default().push((node.to_owned(), t.status.is_failure()));
        self.put(execution, node, t);
        Ok(())
    }

    /// Ends executions whose last target has ended in this batch.
    async fn finish(&mut self, tx: &mut Tx, after: &mut After) -> Result<(), StoreError> {
        let ids: Vec<String> = after.ended.keys().cloned().collect();
        for id in ids {
            let Some(e) = self.execs.get_mut(&id) else { continue };
            if e.open > 0 {
                continue;
            }
            let mut summary = Summary::default();
            for r in
                tx.fetch_all("SELECT status, COUNT(*) AS n FROM job_targets WHERE execution_id = ? GROUP BY status", params![&id]).await?
            {
                if let Some(s) = TargetStatus::parse(&r.text("status")?) {
                    summary.add(s, u64::try_from(r.int("n")?).unwrap_or(0));
                }
            }
            let cancelled = tx.fetch_optional("SELECT cancelled_by FROM job_executions WHERE id = ?", params![&id]).await?;
            let cancelled = cancelled.map(|r| r.opt_text("cancelled_by")).transpose()?.flatten().is_some();
            let status = summary.status(cancelled);
            let now = now_ms();
            // Values of the environment may be secrets, and nobody needs them any more; the names stay.
            let names = tx.fetch_optional("SELECT env FROM job_executions WHERE id = ?", params![&id]).await?;
            let env = names.map(|r| r.json("env")).transpose()?.map(|v| blank(&v)).unwrap_or_else(|| json!({}));
            tx.execute(
                "UPDATE job_executions SET status = ?, finished_at = COALESCE(finished_at, ?), env = ? WHERE id = ?",
                params![status.as_str(), now, env, &id],
            )
            .await?;
            for r in tx.fetch_all("SELECT node_id, env FROM job_targets WHERE execution_id = ?", params![&id]).await? {
                let own = r.json("env")?;
                if own.as_object().is_some_and(|o| o.values().any(|v| !v.is_null())) {
                    tx.execute(
                        "UPDATE job_targets SET env = ? WHERE execution_id = ? AND node_id = ?",
                        params![blank(&own), &id, r.text("node_id")?],
                    )
                    .await?;
                }
            }
            if !e.over {
                e.over = true;
                let data = json!({"execution_id": id, "name": e.name, "status": status, "summary": summary, "origin": e.origin, "plugin": e.plugin,
                    "duration_ms": now - e.created_at});
                emit(
                    tx,
                    NewEvent {
                        kind: "plenum.job.execution.finished".into(),
                        source: "/jobs".into(),
                        subject: format!("execution/{id}"),
                        data,
                    },
                )
                .await?;
            }
            after.finished.push(id);
        }
        Ok(())
    }

    async fn sent(&mut self, tx: &mut Tx, after: &mut After, execution: &str, nodes: &[String]) -> Result<(), StoreError> {
        let now = now_ms();
        for node in nodes {
            tx.execute(
                "UPDATE job_targets SET status = 'pending', waiting_for = NULL, waiting_since = NULL, sent_at = ?, rev = ?
                 WHERE execution_id = ? AND node_id = ? AND status IN ('pending', 'waiting')",
                params![now, self.rev(), execution, node],
            )
            .await?;
            self.targets.remove(&(execution.to_owned(), node.clone()));
        }
        tx.execute("UPDATE job_executions SET started_at = COALESCE(started_at, ?) WHERE id = ?", params![now, execution]).await?;
        after.sent.push((execution.to_owned(), nodes.to_vec()));
        after.touched.insert(execution.to_owned());
        Ok(())
    }

    async fn park(&mut self, tx: &mut Tx, after: &mut After, execution: &str, nodes: &[String]) -> Result<(), StoreError> {
        for node in nodes {
            tx.execute(
                "UPDATE job_targets SET status = 'waiting', waiting_for = ?, waiting_since = ?, rev = ? WHERE execution_id = ? AND node_id = ? AND status = 'pending' AND sent_at IS NULL",
                params![OFFLINE, now_ms(), self.rev(), execution, node],
            )
            .await?;
            self.targets.remove(&(execution.to_owned(), node.clone()));
        }
        after.touched.insert(execution.to_owned());
        Ok(())
    }

    async fn online(&mut self, tx: &mut Tx, after: &mut After, cmd: &Cmd) -> Result<(), StoreError> {
        let Cmd::Online { node, conn, serial, version, address, held } = cmd else { return Ok(()) };
        let now = now_ms();
        let n = tx
            .execute(
                "UPDATE job_nodes SET state = 'online', state_since = CASE WHEN state = 'online' THEN state_since ELSE ? END, agent_version = ?, address = ?,
                 last_seen_at = ? WHERE id = ? AND state <> 'revoked'",
                params![now, clean(version), address, now, node],
            )
            .await?;
        if n == 0 {
            // Revoked between its handshake and now.
            self.hub.kill(node, tonic::Status::permission_denied("this node is revoked; enrol the machine again with a new token"));
            return Ok(());
        }
        // The agent has its newest certificate in use: those before it are of no more use to anybody honest.
        tx.execute(
            "UPDATE job_certificates SET revoked_at = ? WHERE node_id = ? AND serial <> ? AND revoked_at IS NULL
             AND issued_at < (SELECT issued_at FROM job_certificates WHERE serial = ?)",
            params![now, node, serial, serial],
        )
        .await?;
        for id in self.hub.of_node(node) {
            tx.execute(
                "UPDATE job_targets SET status = CASE WHEN status = 'waiting' THEN 'pending' ELSE status END, waiting_for = NULL, waiting_since = NULL, rev = ?
                 WHERE execution_id = ? AND node_id = ? AND status IN ('pending', 'waiting', 'running')",
                params![self.rev(), &id, node],
            )
            .await?;
            self.targets.remove(&(id.clone(), node.clone()));
            after.touched.insert(id);
        }
        // Given up by somebody's word while the agent was away, so nobody told it.
        let active: HashSet<String> = self.hub.of_node(node).into_iter().collect();
        for id in held.iter().filter(|id| !active.contains(*id)).take(1000) {
            let sql = "SELECT 1 AS one FROM job_targets WHERE execution_id = ? AND node_id = ? AND code = ?";
            if tx.fetch_optional(sql, params![id, node, FORCED]).await?.is_some()
                && let Some(outbox) = self.hub.outbox(node)
            {
                outbox.cancel(id);
            }
        }
        self.node_event(tx, node, "online").await?;
        after.online.push((node.clone(), *conn, held.iter().cloned().collect()));
        after.status.push(node.clone());
        Ok(())
    }

    async fn offline(&mut self, tx: &mut Tx, after: &mut After, node: &str) -> Result<(), StoreError> {
        if self.hub.is_connected(node) {
            // Back already; its Online follows or has been.
            return Ok(());
        }
        let now = now_ms();
        let n = tx
            .execute(
                "UPDATE job_nodes SET state = 'offline', state_since = ?, last_seen_at = ? WHERE id = ? AND state = 'online'",
                params![now, now, node],
            )
            .await?;
        for id in self.hub.of_node(node) {
            tx.execute(
                "UPDATE job_targets SET status = CASE WHEN status = 'pending' THEN 'waiting' ELSE status END, waiting_for = ?, waiting_since = ?, rev = ?
                 WHERE execution_id = ? AND node_id = ? AND status IN ('pending', 'running')",
                params![OFFLINE, now, self.rev(), &id, node],
            )
            .await?;
            self.targets.remove(&(id.clone(), node.to_owned()));
            after.touched.insert(id);
        }
        if n > 0 {
            self.node_event(tx, node, "offline").await?;
        }
        after.status.push(node.to_owned());
        Ok(())
    }

    async fn node_event(&self, tx: &mut Tx, node: &str, what: &str) -> Result<(), StoreError> {
        let row = tx.fetch_optional("SELECT name, host_instance_id FROM job_nodes WHERE id = ?", params![node]).await?;
        let Some(row) = row else { return Ok(()) };
        let data = json!({"node_id": node, "name": row.text("name")?, "host_instance_id": row.opt_text("host_instance_id")?});
        emit(tx, NewEvent { kind: format!("plenum.node.{what}"), source: "/nodes".into(), subject: format!("node/{node}"), data }).await
    }
}

/// What a target waits for whose agent is not connected.
pub(crate) const OFFLINE: &str = "its agent to connect";

/// What a target waits for whose execution is to be approved.
pub(crate) const APPROVAL: &str = "another person's approval";

/// The code of a target that ended by itself and not all of whose output came.
pub(crate) const OUTPUT_INCOMPLETE: &str = "jobs.output_incomplete";

/// The code of a target that was given up without waiting for its agent.
pub(crate) const FORCED: &str = "jobs.force_cancelled";

/// Names without values.
pub(crate) fn blank(env: &serde_json::Value) -> serde_json::Value {
    env.as_object()
        .map(|o| o.keys().map(|k| (k.clone(), serde_json::Value::Null)).collect::<serde_json::Map<_, _>>().into())
        .unwrap_or_else(|| json!({}))
}

impl Cmd {
    fn size(&self) -> usize {
        match self {
            Cmd::Report { report: Report::Output { data, .. }, .. } => data.len() + 200,
            _ => 200,
        }
    }
}

impl Todo {
    /// Both.
    fn join(&mut self, more: Todo) {
        self.send.extend(more.send);
        self.park.extend(more.park);
        self.refuse.extend(more.refuse);
        self.moved.extend(more.moved);
        self.stop.extend(more.stop);
        self.cancelled.extend(more.cancelled);
    }

    /// As things to write.
    pub fn into_cmds(self) -> impl Iterator<Item = Cmd> {
        let moved = self.moved.into_iter().map(|(execution, batch, since, resume_at)| Cmd::Moved { execution, batch, since, resume_at });
        let send = self.send.into_iter().map(|(execution, nodes)| Cmd::Sent { execution, nodes });
        let park = self.park.into_iter().map(|(execution, nodes)| Cmd::Park { execution, nodes });
        let refuse = self.refuse.into_iter().map(|(execution, nodes)| Cmd::Close {
            execution,
            nodes,
            status: TargetStatus::Lost,
            code: "jobs.node_offline",
            message:
                "its agent is not connected, and the target was not to wait for it: nothing was run; start the agent, then run it again"
                    .to_owned(),
        });
        let stop = self.stop.into_iter().map(|(execution, stop)| Cmd::Stop { execution, stop });
        let cancelled = self.cancelled.into_iter().map(|(execution, nodes)| Cmd::Close {
            execution,
            nodes,
            status: TargetStatus::Cancelled,
            code: "jobs.cancelled",
            message: "cancelled before it started".to_owned(),
        });
        moved.chain(send).chain(park).chain(refuse).chain(stop).chain(cancelled)
    }
}
