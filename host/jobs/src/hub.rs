//! Who is connected and what is under way, in memory. The database has the truth; this is what dispatch and waiting need at hand.
//!
//! A target goes Queued → Sending (its `sent_at` is being written) → Sent. It is written before it is sent, so that after a crash the host knows
//! which targets an agent may have: only those can be asked for, cancelled or given up as unknown.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plenum_agent_protocol::v1;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::active::{Active, Stage, Stop, Turn};

/// What is to be sent to one agent: references, so that its size is bounded by the number of unfinished targets of the node, however slowly the
/// agent reads. The connection's sender makes messages of it as fast as the stream takes them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inner: Mutex<OutboxInner>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct OutboxInner {
    acks: BTreeMap<String, (u64, bool)>,
    cancels: VecDeque<String>,
    runs: VecDeque<String>,
    collect: bool,
    settings: bool,
    metrics: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum Out {
    Ack { execution: String, up_to: u64, finished: bool },
    Cancel(String),
    Run(String),
    Collect,
    Settings,
    MetricsAck(u64),
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    pub fn ack(&self, execution: &str, up_to: u64, finished: bool) {
        let mut inner = lock(&self.inner);
        let entry = inner.acks.entry(execution.to_owned()).or_default();
        *entry = (entry.0.max(up_to), entry.1 || finished);
        drop(inner);
        self.notify.notify_one();
    }

    pub fn run(&self, execution: &str) {
        lock(&self.inner).runs.push_back(execution.to_owned());
        self.notify.notify_one();
    }

    pub fn cancel(&self, execution: &str) {
        let mut inner = lock(&self.inner);
        // One that has not been written yet need not be sent at all, but the host has promised the agent nothing either way: keep the order.
        if !inner.cancels.iter().any(|c| c == execution) {
            inner.cancels.push_back(execution.to_owned());
        }
        drop(inner);
        self.notify.notify_one();
    }

    pub fn collect(&self) {
        lock(&self.inner).collect = true;
        self.notify.notify_one();
    }

    /// The agent is to be told its settings.
    pub fn settings(&self) {
        lock(&self.inner).settings = true;
        self.notify.notify_one();
    }

    /// Metrics up to this batch have been taken.
    pub fn metrics(&self, seq: u64) {
        lock(&self.inner).metrics = Some(seq);
        self.notify.notify_one();
    }

    fn pop(&self) -> Option<Out> {
        let mut inner = lock(&self.inner);
        // Acks first: they free the agent's disk. A Cancel comes after its Run, or the agent would not know what to end.
        if let Some((execution, (up_to, finished))) = inner.acks.pop_first() {
            return Some(Out::Ack { execution, up_to, finished });
        }
        if let Some(run) = inner.runs.pop_front() {
            return Some(Out::Run(run));
        }
        if let Some(c) = inner.cancels.pop_front() {
            return Some(Out::Cancel(c));
        }
        if std::mem::take(&mut inner.settings) {
            return Some(Out::Settings);
        }
        if let Some(seq) = inner.metrics.take() {
            return Some(Out::MetricsAck(seq));
        }
        std::mem::take(&mut inner.collect).then_some(Out::Collect)
    }

    pub async fn next(&self) -> Out {
        loop {
            if let Some(out) = self.pop() {
                return out;
            }
            self.notify.notified().await;
        }
    }
}

/// One live connection.
#[derive(Debug, Clone)]
pub(crate) struct Conn {
    pub id: u64,
    pub outbox: Arc<Outbox>,
    /// Ends the connection, with the reason for the agent.
    pub kill: Kill,
}

/// Ends a connection once, with a reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kill {
    token: CancellationToken,
    reason: Arc<Mutex<Option<tonic::Status>>>,
}

impl Kill {
    pub fn now(&self, reason: tonic::Status) {
        lock(&self.reason).get_or_insert(reason);
        self.token.cancel();
    }

    pub async fn killed(&self) -> tonic::Status {
        self.token.cancelled().await;
        lock(&self.reason).clone().unwrap_or_else(|| tonic::Status::unavailable("the host closed the connection"))
    }
}

/// What is known of a connected node beyond the database.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Vitals {
    pub seen: i64,
    pub load_1m: f64,
}

#[derive(Debug, Default)]
struct Inner {
    conns: HashMap<String, Conn>,
    vitals: HashMap<String, Vitals>,
    offline_since: HashMap<String, i64>,
    active: HashMap<String, Active>,
    by_node: HashMap<String, BTreeSet<String>>,
}

/// Targets of one execution.
pub(crate) type Batch = (String, Vec<String>);

/// What has to be written after a look at the hub.
#[derive(Debug, Default)]
pub(crate) struct Todo {
    /// About to be sent.
    pub send: Vec<Batch>,
    /// Cannot be sent: not connected.
    pub park: Vec<Batch>,
    /// Cannot be sent, and may not wait.
    pub refuse: Vec<Batch>,
    /// Batch, since when, and until when it pauses.
    pub moved: Vec<(String, u32, i64, Option<i64>)>,
    /// Nothing further is started.
    pub stop: Vec<(String, Stop)>,
    /// Cancelled and never reached the agent.
    pub cancelled: Vec<Batch>,
}

#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    next: AtomicU64,
    registered: watch::Sender<u64>,
}

impl Hub {
    pub fn new() -> Hub {
        Hub { inner: Mutex::default(), next: AtomicU64::new(1), registered: watch::Sender::new(0) }
    }

    pub fn registrations(&self) -> watch::Receiver<u64> {
        self.registered.subscribe()
    }

    pub fn is_connected(&self, node: &str) -> bool {
        lock(&self.inner).conns.contains_key(node)
    }

    pub fn connected(&self) -> HashSet<String> {
        lock(&self.inner).conns.keys().cloned().collect()
    }

    pub fn active_count(&self) -> usize {
        lock(&self.inner).active.len()
    }

    pub fn node_load(&self, node: &str) -> (u32, Option<Vitals>) {
        let inner = lock(&self.inner);
        let running = inner
            .by_node
            .get(node)
            .into_iter()
            .flatten()
            .filter(|e| inner.active.get(*e).and_then(|a| a.targets.get(node)).is_some_and(|t| t.stage == Stage::Sent))
            .count();
        (u32::try_from(running).unwrap_or(u32::MAX), inner.vitals.get(node).copied().filter(|_| inner.conns.contains_key(node)))
    }

    pub fn seen(&self, node: &str, load_1m: Option<f64>) {
        let mut inner = lock(&self.inner);
        let v = inner.vitals.entry(node.to_owned()).or_default();
        v.seen = plenum_store::now_ms();
        if let Some(l) = load_1m {
            v.load_1m = l;
        }
    }

    pub fn vitals(&self) -> Vec<(String, i64)> {
        let inner = lock(&self.inner);
        inner.conns.keys().filter_map(|n| Some((n.clone(), inner.vitals.get(n)?.seen))).collect()
    }

    /// Takes a new execution, or at start an old one, under way.
    pub fn register(&self, active: Active) -> Todo {
        let mut inner = lock(&self.inner);
        let id = active.spec.id.clone();
        let now = plenum_store::now_ms();
        for node in active.targets.keys() {
            inner.by_node.entry(node.clone()).or_default().insert(id.clone());
            if !inner.conns.contains_key(node) {
                inner.offline_since.entry(node.clone()).or_insert(now);
            }
        }
        let cancelled = active.cancelled;
        inner.active.insert(id.clone(), active);
        let mut todo = Todo::default();
        inner.go(&id, now, &mut todo);
        // The host died after it wrote the wish to cancel and before it ended what no agent has.
        if cancelled && let Some(unsent) = inner.active.get_mut(&id).map(Active::drain).filter(|u| !u.is_empty()) {
            todo.cancelled.push((id.clone(), unsent));
        }
        drop(inner);
        self.registered.send_modify(|n| *n += 1);
        todo
    }

    /// Takes a connection; an older one of the same node is ended, for two would be told the same.
    pub fn connect(&self, node: &str) -> Conn {
        let conn = Conn { id: self.next.fetch_add(1, Ordering::Relaxed), outbox: Arc::default(), kill: Kill::default() };
        let mut inner = lock(&self.inner);
        if let Some(old) = inner.conns.insert(node.to_owned(), conn.clone()) {
            old.kill.now(tonic::Status::aborted("a newer connection of this node took over"));
        }
        inner.offline_since.remove(node);
        inner.vitals.insert(node.to_owned(), Vitals { seen: plenum_store::now_ms(), load_1m: 0.0 });
        conn
    }

    /// After Hello: what the agent holds decides what is sent again.
    pub fn resume(&self, node: &str, conn: u64, held: &HashSet<String>) -> Todo {
        let mut inner = lock(&self.inner);
        let mut todo = Todo::default();
        let Some(c) = inner.conns.get(node).filter(|c| c.id == conn).cloned() else { return todo };
        for id in inner.by_node.get(node).cloned().unwrap_or_default() {
            let Some(active) = inner.active.get_mut(&id) else { continue };
            let Some(stage) = active.targets.get(node).map(|t| t.stage) else { continue };
            match (stage, held.contains(&id)) {
                (Stage::Queued, _) => active.back(node),
                // What is being written now is sent when it is written.
                (Stage::Sending, _) => {}
                (Stage::Sent, true) if active.cancelled => c.outbox.cancel(&id),
                (Stage::Sent, true) => {}
                (Stage::Sent, false) if active.cancelled => todo.cancelled.push((id.clone(), vec![node.to_owned()])),
                (Stage::Sent, false) => c.outbox.run(&id),
            }
            inner.pump(&id, &mut todo);
        }
        todo
    }

    /// What the clock brings: ends of pauses, ends of time limits.
    pub fn tick(&self, now: i64) -> Todo {
        let mut inner = lock(&self.inner);
        let due = |a: &Active| !a.cancelled && (a.resume_at.is_some_and(|at| now >= at) || a.spec.deadline.is_some_and(|at| now >= at));
        let ids: Vec<String> = inner.active.iter().filter(|(_, a)| due(a)).map(|(id, _)| id.clone()).collect();
        let mut todo = Todo::default();
        for id in ids {
            inner.go(&id, now, &mut todo);
        }
        todo
    }

    /// Whether this was the node's connection; false when a newer one has taken over.
    pub fn disconnect(&self, node: &str, conn: u64) -> bool {
        let mut inner = lock(&self.inner);
        if inner.conns.get(node).is_none_or(|c| c.id != conn) {
            return false;
        }
        inner.conns.remove(node);
        inner.offline_since.insert(node.to_owned(), plenum_store::now_ms());
        let Inner { active, by_node, .. } = &mut *inner;
        for id in by_node.get(node).into_iter().flatten() {
            if let Some(a) = active.get_mut(id) {
                a.left(node);
            }
        }
        true
    }

    pub fn kill(&self, node: &str, reason: tonic::Status) {
        if let Some(c) = lock(&self.inner).conns.get(node) {
            c.kill.now(reason);
        }
    }

    pub fn outbox(&self, node: &str) -> Option<Arc<Outbox>> {
        lock(&self.inner).conns.get(node).map(|c| c.outbox.clone())
    }

    /// All agents are to be told their settings.
    pub fn tell_settings(&self) {
        lock(&self.inner).conns.values().for_each(|c| c.outbox.settings());
    }

    /// `sent_at` is written: now they may be sent.
    pub fn sent(&self, id: &str, nodes: &[String]) {
        let mut inner = lock(&self.inner);
        let Inner { active, conns, .. } = &mut *inner;
        let Some(a) = active.get_mut(id) else { return };
        for node in nodes {
            if let Some(t) = a.targets.get_mut(node)
                && t.stage == Stage::Sending
            {
                t.stage = Stage::Sent;
                // Gone meanwhile: its next Hello will show that it has not got it.
                if let Some(c) = conns.get(node) {
                    c.outbox.run(id);
                    if a.cancelled {
                        c.outbox.cancel(id);
                    }
                }
            }
        }
    }

    /// The message for one target, if it is still wanted.
    pub fn run_message(&self, id: &str, node: &str) -> Option<v1::Run> {
        let inner = lock(&self.inner);
        let active = inner.active.get(id)?;
        let target = active.targets.get(node)?;
        let spec = active.spec.clone();
        let mut env = spec.env.clone();
        env.extend(target.env.clone());
        drop(inner);
        Some(v1::Run {
            execution_id: spec.id.clone(),
            key: spec.id.clone(),
            language: spec.language.as_str().to_owned(),
            script: spec.script.clone(),
            args: spec.args.clone(),
            env: env.into_iter().collect(),
            user: spec.user.clone(),
            cwd: spec.cwd.clone(),
            timeout_s: spec.timeout_s,
            output_limit: spec.output_limit,
            stdin: None,
        })
    }

    /// Targets have ended, well or not; what may be sent in their place.
    pub fn ended(&self, id: &str, nodes: &[(String, bool)], todo: &mut Todo) {
        let mut inner = lock(&self.inner);
        for (node, failed) in nodes {
            if let Some(set) = inner.by_node.get_mut(node) {
                set.remove(id);
            }
            if let Some(a) = inner.active.get_mut(id) {
                a.end(node, *failed);
            }
        }
        inner.go(id, plenum_store::now_ms(), todo);
    }

    /// The execution has ended.
    pub fn finished(&self, id: &str) {
        let mut inner = lock(&self.inner);
        let Some(a) = inner.active.remove(id) else { return };
        for node in a.targets.keys() {
            if let Some(set) = inner.by_node.get_mut(node) {
                set.remove(id);
            }
        }
        drop(inner);
        a.changed.send_modify(|n| *n += 1);
        a.done.cancel();
    }

    /// Something ended that never was under way: whoever waits for it looks again.
    pub fn nudge(&self) {
        self.registered.send_modify(|n| *n += 1);
    }

    /// Something that watchers of the execution show has changed.
    pub fn touch(&self, id: &str) {
        if let Some(a) = lock(&self.inner).active.get(id) {
            a.changed.send_modify(|n| *n += 1);
        }
    }

    /// Open executions with a target on the node.
    pub fn of_node(&self, node: &str) -> Vec<String> {
        lock(&self.inner).by_node.get(node).into_iter().flatten().cloned().collect()
    }

    pub fn watch(&self, id: &str) -> Option<(watch::Receiver<u64>, CancellationToken)> {
        lock(&self.inner).active.get(id).map(|a| (a.changed.subscribe(), a.done.clone()))
    }

    /// Stops dispatch of an execution; answers the targets that no agent can have. The others are told.
    pub fn cancel(&self, id: &str) -> Vec<String> {
        let mut inner = lock(&self.inner);
        let Inner { active, conns, .. } = &mut *inner;
        let Some(a) = active.get_mut(id) else { return Vec::new() };
        a.cancelled = true;
        tell_cancel(id, a, conns);
        a.drain()
    }

    /// Targets that an agent has or is about to have.
    pub fn in_hand(&self, id: &str) -> Vec<String> {
        let inner = lock(&self.inner);
        let targets = inner.active.get(id).map(|a| a.targets.iter());
        targets.into_iter().flatten().filter(|(_, t)| t.stage != Stage::Queued).map(|(n, _)| n.clone()).collect()
    }

    /// What has waited too long: never sent, and sent to an agent that is gone for longer than `grace_ms` beyond the time limit.
    pub fn overdue(&self, now: i64, grace_ms: i64) -> (Vec<Batch>, Vec<Batch>) {
        let inner = lock(&self.inner);
        let (mut unsent, mut gone) = (Vec::new(), Vec::new());
        for (id, a) in &inner.active {
            let waited = a.waited_too_long(now);
            if !waited.is_empty() {
                unsent.push((id.clone(), waited));
            }
            let limit = i64::from(a.spec.timeout_s) * 1000 + grace_ms;
            let list: Vec<String> = a
                .targets
                .iter()
                .filter(|(n, t)| t.stage == Stage::Sent && inner.offline_since.get(*n).is_some_and(|since| now - since > limit))
                .map(|(n, _)| n.clone())
                .collect();
            if !list.is_empty() {
                gone.push((id.clone(), list));
            }
        }
        (unsent, gone)
    }

    /// Ends all connections.
    pub fn close_all(&self) {
        for c in lock(&self.inner).conns.values() {
            c.kill.now(tonic::Status::unavailable("the host is shutting down"));
        }
    }
}

/// Has the agents end what they have of an execution.
fn tell_cancel(id: &str, a: &Active, conns: &HashMap<String, Conn>) {
    for (node, _) in a.targets.iter().filter(|(_, t)| t.stage == Stage::Sent) {
        if let Some(c) = conns.get(node) {
            c.outbox.cancel(id);
        }
    }
}

impl Inner {
    /// Decides what is next for an execution, and takes what may go.
    fn go(&mut self, id: &str, now: i64, todo: &mut Todo) {
        let Some(a) = self.active.get_mut(id) else { return };
        let Turn { moved, stop } = a.turn(now);
        if moved {
            todo.moved.push((id.to_owned(), a.batch, a.since, a.resume_at));
        }
        if let Some(stop) = stop {
            if stop.end_all {
                tell_cancel(id, a, &self.conns);
            }
            todo.stop.push((id.to_owned(), stop));
        }
        self.pump(id, todo);
    }

    fn pump(&mut self, id: &str, todo: &mut Todo) {
        let Some(a) = self.active.get_mut(id) else { return };
        let out = a.pump(|node| self.conns.contains_key(node));
        for (list, into) in [(out.send, &mut todo.send), (out.park, &mut todo.park), (out.refuse, &mut todo.refuse)] {
            // Pieces that one transaction writes without holding up everybody else's.
            into.extend(list.chunks(PIECE).map(|nodes| (id.to_owned(), nodes.to_vec())));
        }
    }
}

/// Targets of one message to the writer.
const PIECE: usize = 1000;
