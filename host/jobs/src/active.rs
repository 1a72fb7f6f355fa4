//! One execution under way: which targets may go now, which wait for their batch, and when nothing further is started. Without I/O and
//! without a clock: `hub` asks, and does what comes out.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::Language;
use crate::plan::strategy::{Strategy, too_many_failures};

/// What all targets of an execution share.
#[derive(Debug)]
pub(crate) struct Spec {
    pub id: String,
    pub language: Language,
    pub script: Bytes,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub user: String,
    pub cwd: String,
    pub timeout_s: u32,
    pub output_limit: u64,
    pub concurrency: usize,
    /// How long a target of the batch that is under way may wait for its agent. 0: not at all.
    pub wait_ms: i64,
    pub strategy: Strategy,
    /// Failures that are borne.
    pub tolerated: Option<u64>,
    /// When the whole execution is ended.
    pub deadline: Option<i64>,
}

/// Where an execution stood when it was last written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    pub batch: u32,
    pub since: i64,
    pub resume_at: Option<i64>,
    pub failures: u64,
    pub cancelled: bool,
    /// Code and reason.
    pub stopped: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Sending,
    Sent,
}

#[derive(Debug)]
pub(crate) struct ActiveTarget {
    pub stage: Stage,
    pub env: BTreeMap<String, String>,
    /// Counts from 1.
    pub batch: u32,
}

/// Nothing further is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub code: String,
    pub reason: String,
    /// Targets that no agent has.
    pub unsent: Vec<String>,
    /// Whether what runs is ended too.
    pub end_all: bool,
}

/// What follows from ends of targets and from the clock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Batch or pause are others than before: to be written.
    pub moved: bool,
    pub stop: Option<Stop>,
}

/// What may go now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pumped {
    pub send: Vec<String>,
    /// Not connected, and may wait.
    pub park: Vec<String>,
    /// Not connected, and may not.
    pub refuse: Vec<String>,
}

/// Failures pass what is borne.
pub(crate) const STOPPED: &str = "jobs.stopped";
/// The time limit of the whole execution is over.
pub(crate) const TOTAL_TIMEOUT: &str = "jobs.total_timeout";

#[derive(Debug)]
pub(crate) struct Active {
    pub spec: Arc<Spec>,
    pub targets: HashMap<String, ActiveTarget>,
    /// Of the batch that is under way, queued, in order. May name a target that is parked or sent by now: looked at when its turn comes,
    /// for taking it out when its agent leaves would cost a walk over all.
    ready: VecDeque<String>,
    /// Of the batch that is under way, queued and not connected.
    parked: HashSet<String>,
    /// Of batches that have not begun.
    later: BTreeMap<u32, VecDeque<String>>,
    in_flight: usize,
    /// Targets of the batch that is under way and have not ended.
    open: usize,
    pub batch: u32,
    pub since: i64,
    pub resume_at: Option<i64>,
    failures: u64,
    stopped: Option<(String, String)>,
    pub cancelled: bool,
    drained: bool,
    moved: bool,
    /// Counts what watchers should look at.
    pub changed: watch::Sender<u64>,
    pub done: CancellationToken,
}

impl Active {
    /// From the targets that have not ended, in their order.
    pub fn new(spec: Spec, targets: Vec<(String, ActiveTarget)>, at: Position, now: i64) -> Active {
        let batch = targets.iter().map(|(_, t)| t.batch).min().unwrap_or(at.batch);
        let mut later: BTreeMap<u32, VecDeque<String>> = BTreeMap::new();
        for (node, t) in targets.iter().filter(|(_, t)| t.stage == Stage::Queued) {
            later.entry(t.batch).or_default().push_back(node.clone());
        }
        let begun = targets.iter().any(|(_, t)| t.batch == batch && t.stage != Stage::Queued);
        // The host died after the last end of a batch and before it wrote that the next begins.
        let moved = batch > at.batch;
        let pause = i64::from(spec.strategy.pause_s) * 1000;
        let (since, resume_at) = match moved {
            true => (now, (pause > 0 && !begun).then_some(now + pause)),
            false => (at.since, at.resume_at),
        };
        let ready = if resume_at.is_none() { later.remove(&batch).unwrap_or_default() } else { VecDeque::new() };
        Active {
            ready,
            parked: HashSet::new(),
            later,
            in_flight: targets.iter().filter(|(_, t)| t.stage != Stage::Queued).count(),
            open: targets.iter().filter(|(_, t)| t.batch == batch).count(),
            batch,
            since,
            resume_at,
            failures: at.failures,
            stopped: at.stopped,
            cancelled: at.cancelled,
            drained: false,
            moved,
            targets: targets.into_iter().collect(),
            spec: Arc::new(spec),
            changed: watch::Sender::new(0),
            done: CancellationToken::new(),
        }
    }

    /// A target has ended. Answers whether it was still open.
    pub fn end(&mut self, node: &str, failed: bool) -> bool {
        let Some(t) = self.targets.remove(node) else { return false };
        match t.stage {
            Stage::Queued => {
                self.parked.remove(node);
            }
            Stage::Sending | Stage::Sent => self.in_flight = self.in_flight.saturating_sub(1),
        }
        if t.batch == self.batch {
            self.open = self.open.saturating_sub(1);
        }
        self.failures += u64::from(failed);
        true
    }

    /// Its agent is gone: what is queued for it waits.
    pub fn left(&mut self, node: &str) {
        if self.targets.get(node).is_some_and(|t| t.stage == Stage::Queued && t.batch == self.batch) && self.resume_at.is_none() {
            self.parked.insert(node.to_owned());
        }
    }

    /// Its agent is back.
    pub fn back(&mut self, node: &str) {
        if self.parked.remove(node) {
            self.ready.push_back(node.to_owned());
        }
    }

    /// Those who wait for their agent for too long.
    pub fn waited_too_long(&self, now: i64) -> Vec<String> {
        if now < self.since.saturating_add(self.spec.wait_ms) { Vec::new() } else { self.parked.iter().cloned().collect() }
    }

    /// Targets that no agent has: once, for whoever ends them.
    pub fn drain(&mut self) -> Vec<String> {
        if std::mem::replace(&mut self.drained, true) {
            return Vec::new();
        }
        self.ready.clear();
        self.parked.clear();
        self.later.clear();
        self.targets.iter().filter(|(_, t)| t.stage == Stage::Queued).map(|(n, _)| n.clone()).collect()
    }

    /// Decides what is next: stop, pause, or the next batch.
    pub fn turn(&mut self, now: i64) -> Turn {
        let mut turn = Turn { moved: std::mem::take(&mut self.moved), stop: None };
        if self.cancelled {
            return turn;
        }
        let end_all = self.spec.deadline.is_some_and(|d| now >= d);
        let why = if end_all {
            let most = self.spec.strategy.total_timeout_s.unwrap_or(0);
            Some((TOTAL_TIMEOUT.to_owned(), format!("the whole execution has taken the {most} s that it may")))
        } else if self.stopped.is_some() {
            self.stopped.clone()
        } else if self.ready.is_empty() && self.later.is_empty() && self.parked.is_empty() {
            // Nothing is left that could be kept from starting.
            None
        } else {
            too_many_failures(self.failures, self.spec.tolerated).map(|reason| (STOPPED.to_owned(), reason))
        };
        if let Some((code, reason)) = why {
            let fresh = self.stopped.is_none() || end_all;
            let unsent = self.drain();
            if fresh || !unsent.is_empty() {
                turn.stop = Some(Stop { code: code.clone(), reason: reason.clone(), unsent, end_all });
            }
            self.stopped = Some((code, reason));
            self.cancelled |= end_all;
            return turn;
        }
        let pause = i64::from(self.spec.strategy.pause_s) * 1000;
        if self.open == 0
            && self.resume_at.is_none()
            && let Some((&next, list)) = self.later.first_key_value()
        {
            (self.batch, self.open, self.since, turn.moved) = (next, list.len(), now, true);
            if pause > 0 {
                self.resume_at = Some(now + pause);
            } else {
                self.ready = self.later.remove(&next).unwrap_or_default();
            }
        }
        if self.resume_at.is_some_and(|at| now >= at) {
            (self.resume_at, self.since, turn.moved) = (None, now, true);
            self.ready = self.later.remove(&self.batch).unwrap_or_default();
        }
        turn
    }

    /// Takes as many queued targets as the execution's concurrency has room for.
    pub fn pump(&mut self, connected: impl Fn(&str) -> bool) -> Pumped {
        let mut out = Pumped::default();
        if self.cancelled || self.stopped.is_some() {
            return out;
        }
        while self.spec.concurrency == 0 || self.in_flight < self.spec.concurrency {
            let Some(node) = self.ready.pop_front() else { break };
            let Some(t) = self.targets.get_mut(&node).filter(|t| t.stage == Stage::Queued) else { continue };
            if connected(&node) {
                self.parked.remove(&node);
                t.stage = Stage::Sending;
                self.in_flight += 1;
                out.send.push(node);
            } else if self.parked.insert(node.clone()) {
                let list = if self.spec.wait_ms == 0 { &mut out.refuse } else { &mut out.park };
                list.push(node);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn active(strategy: serde_json::Value, sizes: &[u32], tolerated: Option<u64>) -> Active {
        let strategy: Strategy = serde_json::from_value(strategy).unwrap();
        let deadline = strategy.total_timeout_s.map(|s| i64::from(s) * 1000);
        let spec = Spec {
            id: "x".into(),
            language: Language::Sh,
            script: Bytes::new(),
            args: vec![],
            env: BTreeMap::new(),
            user: String::new(),
            cwd: String::new(),
            timeout_s: 60,
            output_limit: 1,
            concurrency: 0,
            wait_ms: 5000,
            strategy,
            tolerated,
            deadline,
        };
        let mut targets = Vec::new();
        for (b, size) in sizes.iter().enumerate() {
            for _ in 0..*size {
                let t = ActiveTarget { stage: Stage::Queued, env: BTreeMap::new(), batch: u32::try_from(b).unwrap() + 1 };
                targets.push((format!("n{}", targets.len() + 1), t));
            }
        }
        Active::new(spec, targets, Position { batch: 1, ..Position::default() }, 0)
    }

    #[test]
    fn a_batch_begins_after_the_pause_that_follows_the_last_end_of_the_one_before() {
        let mut a = active(serde_json::json!({"pause_s": 10}), &[1, 2], None);
        assert_eq!(a.turn(0), Turn::default());
        assert_eq!(a.pump(|_| true).send, ["n1"]);
        assert_eq!(a.turn(500), Turn::default());
        assert!(a.end("n1", true) && !a.end("n1", true));
        assert!(a.turn(1000).moved);
        assert_eq!((a.batch, a.since, a.resume_at), (2, 1000, Some(11_000)));
        assert_eq!(a.pump(|_| true), Pumped::default());
        assert_eq!(a.turn(10_999), Turn::default());
        assert!(a.turn(11_000).moved);
        assert_eq!((a.since, a.resume_at), (11_000, None));
        assert_eq!(a.pump(|_| true).send, ["n2", "n3"]);
    }

    #[test]
    fn one_failure_too_many_starts_nothing_further() {
        let mut a = active(serde_json::json!({}), &[2, 2], Some(1));
        a.pump(|_| true);
        a.end("n1", true);
        assert_eq!(a.turn(0), Turn::default());
        a.end("n2", true);
        let stop = a.turn(0).stop.unwrap();
        let mut unsent = stop.unsent.clone();
        unsent.sort();
        assert_eq!((stop.code.as_str(), unsent, stop.end_all), (STOPPED, vec!["n3".to_owned(), "n4".to_owned()], false));
        assert_eq!((a.turn(0), a.pump(|_| true)), (Turn::default(), Pumped::default()));
        // What runs goes on, and with nothing left to start there is nothing to stop.
        let mut b = active(serde_json::json!({}), &[2], Some(0));
        b.pump(|_| true);
        b.end("n1", true);
        assert_eq!(b.turn(0), Turn::default());
    }

    #[test]
    fn the_total_time_limit_ends_all() {
        let mut a = active(serde_json::json!({"total_timeout_s": 5}), &[1, 1], None);
        a.pump(|_| true);
        assert_eq!(a.turn(4999), Turn::default());
        let stop = a.turn(5000).stop.unwrap();
        assert_eq!((stop.code.as_str(), stop.unsent, stop.end_all), (TOTAL_TIMEOUT, vec!["n2".to_owned()], true));
        assert!(a.cancelled);
        assert_eq!(a.turn(9000), Turn::default());
    }

    #[test]
    fn who_is_not_connected_waits_from_the_start_of_the_batch() {
        let mut a = active(serde_json::json!({}), &[1, 1], None);
        a.pump(|_| true);
        a.left("n2");
        assert!(a.waited_too_long(99_000).is_empty(), "its batch has not begun");
        a.end("n1", false);
        a.turn(100_000);
        assert_eq!(a.pump(|_| false).park, ["n2"]);
        assert!(a.waited_too_long(104_999).is_empty());
        assert_eq!(a.waited_too_long(105_000), ["n2"]);
        a.back("n2");
        assert!(a.waited_too_long(105_000).is_empty());
        a.left("n2");
        a.back("n2");
        assert_eq!(a.pump(|_| true).send, ["n2"], "once, though it is in the queue twice");
    }

    #[test]
    fn after_a_crash_it_stands_where_it_stood() {
        let build = |at: Position, sent: bool| {
            let a = active(serde_json::json!({"pause_s": 10}), &[1, 1], Some(0));
            let stage = if sent { Stage::Sent } else { Stage::Queued };
            let spec = Arc::into_inner(a.spec).unwrap();
            Active::new(spec, vec![("n2".to_owned(), ActiveTarget { stage, env: BTreeMap::new(), batch: 2 })], at, 50_000)
        };
        // It died before it wrote that the second batch pauses.
        let mut a = build(Position { batch: 1, since: 1, ..Position::default() }, false);
        assert!(a.turn(50_000).moved);
        assert_eq!((a.batch, a.resume_at), (2, Some(60_000)));
        // In the pause.
        let mut a = build(Position { batch: 2, since: 1, resume_at: Some(51_000), ..Position::default() }, false);
        assert!(!a.turn(50_000).moved && a.turn(51_000).moved);
        assert_eq!(a.pump(|_| true).send, ["n2"]);
        // While the batch runs.
        let mut a = build(Position { batch: 2, since: 1, ..Position::default() }, true);
        assert_eq!((a.turn(50_000), a.pump(|_| true)), (Turn::default(), Pumped::default()));
        // After the failure that stops it, or after the stop was written and its targets not yet.
        let mut a = build(Position { batch: 2, failures: 1, ..Position::default() }, false);
        assert_eq!(a.turn(50_000).stop.unwrap().unsent, ["n2"]);
        let mut a = build(Position { batch: 2, stopped: Some((STOPPED.into(), "why".into())), ..Position::default() }, false);
        assert_eq!(a.turn(50_000).stop.unwrap().reason, "why");
        // A cancelled one has its queue ended by whoever takes it up.
        let mut a = build(Position { batch: 2, cancelled: true, ..Position::default() }, false);
        assert_eq!((a.turn(50_000), a.drain()), (Turn::default(), vec!["n2".to_owned()]));
    }
}
