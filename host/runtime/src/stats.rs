//! What is counted of each plugin: calls, durations, use of the machine, traps, and when each permission was last needed. All of it
//! of bounded size, whatever the plugin does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plenum_access::Permission;
use plenum_store::now_ms;
use serde::Serialize;

/// Steps of each power of two: a duration is known to a 16th.
const STEPS: usize = 16;
/// Up to 2^33 µs, more than two hours.
const BUCKETS: usize = 30 * STEPS;
/// Percentiles are those of the last one to two windows.
const WINDOW: Duration = Duration::from_secs(300);

/// Durations, in a fixed number of buckets that grow with the duration.
#[derive(Debug)]
struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    fn bucket(us: u64) -> usize {
        let us = usize::try_from(us).unwrap_or(usize::MAX);
        if us < STEPS {
            return us;
        }
        let power = us.ilog2() as usize;
        ((power - 3) * STEPS + ((us >> (power - 4)) & (STEPS - 1))).min(BUCKETS - 1)
    }

    /// The middle of a bucket, in microseconds.
    fn middle(bucket: usize) -> f64 {
        if bucket < STEPS {
            return bucket as f64;
        }
        let (power, step) = (bucket / STEPS + 3, bucket % STEPS);
        let width = f64::from(1_u32 << (power - 4).min(31));
        ((STEPS + step) as f64 + 0.5) * width
    }

    fn record(&mut self, us: u64) {
        if let Some(n) = self.counts.get_mut(Histogram::bucket(us)) {
            *n = n.saturating_add(1);
            self.total += 1;
        }
    }
}

#[derive(Debug)]
struct Durations {
    now: Histogram,
    before: Histogram,
    since: Instant,
}

impl Durations {
    fn turn(&mut self) {
        let age = self.since.elapsed();
        if age < WINDOW {
            return;
        }
        self.before = std::mem::take(&mut self.now);
        if age >= 2 * WINDOW {
            self.before = Histogram::default();
        }
        self.since = Instant::now();
    }

    fn quantile_ms(&self, q: f64) -> f64 {
        let total = self.now.total + self.before.total;
        let rank = ((total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, (a, b)) in self.now.counts.iter().zip(self.before.counts.iter()).enumerate() {
            seen += u64::from(*a) + u64::from(*b);
            if seen >= rank {
                return Histogram::middle(i) / 1000.0;
            }
        }
        0.0
    }
}

/// A call that trapped or exceeded a limit.
#[derive(Debug, Clone, Serialize)]
pub struct Trap {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// The call; the log has its lines under this id.
    pub call: String,
    /// Version of the plugin.
    pub version: String,
    /// `action plan`, `GET /x`.
    pub what: String,
    /// `plugin.trap`, `plugin.memory`, ...
    pub code: String,
    /// In words.
    pub message: String,
    /// WebAssembly's frames, with lines of the source where the component carries them.
    pub backtrace: String,
    /// What it was called with; none for HTTP.
    pub input: Option<String>,
}

/// Traps that are kept.
const TRAPS: usize = 20;
/// Bytes of an input that is kept with a trap.
pub const MAX_INPUT: usize = 4 << 10;

/// How a permission is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Checks that were passed.
    pub uses: i64,
    /// Milliseconds since the Unix epoch; none when it was never used.
    pub last_used: Option<i64>,
    /// Checks that were not passed.
    pub refusals: i64,
    /// Milliseconds since the Unix epoch.
    pub last_refused: Option<i64>,
}

/// Numbers of one plugin since the host started.
#[derive(Debug)]
pub struct Stats {
    calls: AtomicU64,
    errors: AtomicU64,
    /// Not let in: a full queue, a spent budget, quarantine.
    refused: AtomicU64,
    /// Microseconds.
    pub cpu_us: AtomicU64,
    pub memory_peak: AtomicU64,
    pub table_peak: AtomicU64,
    pub outgoing: AtomicU64,
    pub outgoing_refused: AtomicU64,
    pub log_dropped: AtomicU64,
    pub queued: AtomicUsize,
    queue_peak: AtomicUsize,
    running: AtomicUsize,
    durations: Mutex<Durations>,
    traps: Mutex<VecDeque<Trap>>,
    /// Calls that were stopped, by the code of the reason: a limit, or a trap.
    stopped: Mutex<BTreeMap<String, u64>>,
    uses: Mutex<Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    by_permission: BTreeMap<&'static str, Use>,
    changed: bool,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            cpu_us: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            table_peak: AtomicU64::new(0),
            stopped: Mutex::default(),
            outgoing: AtomicU64::new(0),
            outgoing_refused: AtomicU64::new(0),
            log_dropped: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            queue_peak: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            durations: Mutex::new(Durations { now: Histogram::default(), before: Histogram::default(), since: Instant::now() }),
            traps: Mutex::default(),
            uses: Mutex::default(),
        }
    }
}

/// What [`Stats`] says.
#[derive(Debug, Clone, Serialize)]
pub struct StatsSummary {
    /// Calls since the host started.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Calls that were not let in: a full queue, a spent budget, quarantine.
    pub refused: u64,
    /// Calls that are under way.
    pub running: usize,
    /// Calls that wait for a place.
    pub queued: usize,
    /// Most calls that ever waited at once.
    pub queue_peak: usize,
    /// CPU time of its calls.
    pub cpu_ms: u64,
    /// Largest memory of one call, in bytes.
    pub memory_peak_bytes: u64,
    /// Most entries that the tables of one call had.
    pub table_peak: u64,
    /// Calls that were stopped, by the code of the reason: `plugin.cpu_budget`, `plugin.handles`, `plugin.trap`.
    pub stopped: BTreeMap<String, u64>,
    /// Median duration of the last five to ten minutes' calls, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Requests to the outside.
    pub outgoing: u64,
    /// Those that the gate refused.
    pub outgoing_refused: u64,
    /// Lines of its log that were not kept.
    pub log_dropped: u64,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a call that is under way, until it is dropped.
#[derive(Debug)]
pub struct Running(std::sync::Arc<crate::life::Life>);

impl Running {
    pub fn start(life: &std::sync::Arc<crate::life::Life>) -> Running {
        life.stats.running.fetch_add(1, Ordering::Relaxed);
        Running(life.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stats.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stats {
    /// A call ended.
    pub fn finished(&self, started: Instant, ok: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !ok {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        let mut d = lock(&self.durations);
        d.turn();
        d.now.record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }

    /// A call was not let in.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A call waits; answers how many do, with it.
    pub fn queue(&self) -> usize {
        let now = self.queued.fetch_add(1, Ordering::Relaxed) + 1;
        self.queue_peak.fetch_max(now, Ordering::Relaxed);
        now
    }

    pub fn trapped(&self, trap: Trap) {
        *lock(&self.stopped).entry(trap.code.clone()).or_default() += 1;
        let mut traps = lock(&self.traps);
        if traps.len() >= TRAPS {
            traps.pop_front();
        }
        traps.push_back(trap);
    }

    /// The last traps, newest first.
    pub fn traps(&self) -> Vec<Trap> {
        lock(&self.traps).iter().rev().cloned().collect()
    }

    pub fn used(&self, permission: Permission, allowed: bool) {
        let mut uses = lock(&self.uses);
        let u = uses.by_permission.entry(permission.name()).or_default();
        if allowed {
            u.uses += 1;
            u.last_used = Some(now_ms());
        } else {
            u.refusals += 1;
            u.last_refused = Some(now_ms());
        }
        uses.changed = true;
    }

    pub fn uses(&self) -> BTreeMap<&'static str, Use> {
        lock(&self.uses).by_permission.clone()
    }

    /// What is to be stored, when it changed since it was asked for last.
    pub fn unsaved_uses(&self) -> Option<BTreeMap<&'static str, Use>> {
        let mut uses = lock(&self.uses);
        std::mem::take(&mut uses.changed).then(|| uses.by_permission.clone())
    }

    /// What was stored, added to what has happened since the start.
    pub fn known_use(&self, permission: Permission, stored: Use) {
        let mut uses = lock(&self.uses);
        let u = uses.by_permission.entry(permission.name()).or_default();
        u.uses += stored.uses;
        u.refusals += stored.refusals;
        u.last_used = u.last_used.max(stored.last_used);
        u.last_refused = u.last_refused.max(stored.last_refused);
    }

    pub fn summary(&self) -> StatsSummary {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let mut d = lock(&self.durations);
        d.turn();
        StatsSummary {
            calls: of(&self.calls),
            errors: of(&self.errors),
            refused: of(&self.refused),
            running: self.running.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            queue_peak: self.queue_peak.load(Ordering::Relaxed),
            cpu_ms: of(&self.cpu_us) / 1000,
            memory_peak_bytes: of(&self.memory_peak),
            table_peak: of(&self.table_peak),
            stopped: lock(&self.stopped).clone(),
            p50_ms: d.quantile_ms(0.5),
            p95_ms: d.quantile_ms(0.95),
            p99_ms: d.quantile_ms(0.99),
            outgoing: of(&self.outgoing),
            outgoing_refused: of(&self.outgoing_refused),
            log_dropped: of(&self.log_dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_duration_is_known_to_a_sixteenth() {
        for us in [0_u64, 1, 15, 16, 17, 31, 32, 100, 999, 1_000, 12_345, 1_000_000, 30_000_000, 300_000_000] {
            let middle = Histogram::middle(Histogram::bucket(us));
            let error = (middle - us as f64).abs();
            assert!(error <= (us as f64 / 16.0).max(0.5), "{us} is {middle}");
        }
        assert!(Histogram::bucket(u64::MAX) < BUCKETS);
        assert!((0..3_000_u64).map(Histogram::bucket).is_sorted());
    }

    #[test]
    fn percentiles() {
        let mut d = Durations { now: Histogram::default(), before: Histogram::default(), since: Instant::now() };
        assert_eq!(d.quantile_ms(0.99).to_bits(), 0.0_f64.to_bits());
        for ms in 1..=100_u64 {
            d.now.record(ms * 1_000);
        }
        for (q, ms) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            assert!((d.quantile_ms(q) - ms).abs() <= ms / 16.0, "{q}: {}", d.quantile_ms(q));
        }
    }

    #[test]
    fn the_last_traps_are_kept_and_no_more() {
        let s = Stats::default();
        for i in 0..50 {
            s.trapped(Trap {
                at: i,
                call: String::new(),
                version: String::new(),
                what: String::new(),
                code: String::new(),
                message: String::new(),
                backtrace: String::new(),
                input: None,
            });
        }
        let kept: Vec<i64> = s.traps().iter().map(|t| t.at).collect();
        assert_eq!((kept.len(), kept.first().copied(), kept.last().copied()), (20, Some(49), Some(30)));
    }

    #[test]
    fn uses_go_on_from_what_was_stored() {
        let s = Stats::default();
        s.used(Permission::Store, true);
        s.known_use(Permission::Store, Use { uses: 5, last_used: Some(1), refusals: 2, last_refused: Some(2) });
        let u = s.uses().remove("store").unwrap();
        assert_eq!((u.uses, u.refusals, u.last_refused), (6, 2, Some(2)));
        assert!(u.last_used.unwrap() > 1);
        assert!(s.unsaved_uses().is_some());
        assert!(s.unsaved_uses().is_none());
    }
}
