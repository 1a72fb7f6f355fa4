//! What of a plugin outlives its versions: the door that its calls come through, its budgets, its numbers, its quarantine.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use plenum_store::events::{NewEvent, emit};
use plenum_store::{Documents, StoreError};
use serde_json::json;
use tokio::sync::{Notify, Semaphore, watch};

use crate::breaker::{Breaker, Change, Outcome, Quarantine, Refusal};
use crate::bucket::Bucket;
use crate::figures::Figures;
use crate::stats::{Running, Stats};
use crate::trace::Traces;
use crate::{RuntimeError, Services};

/// Notifications of one plugin in a minute.
const NOTIFICATIONS_PER_MINUTE: u64 = 60;

/// What the host lets each plugin have, from its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Calls that wait for a place; more are refused.
    pub queue: usize,
    /// CPU time of all calls in a minute.
    pub cpu_per_minute: Duration,
    /// Lines of the log in a minute.
    pub log_lines_per_minute: u32,
    /// Bytes of all its documents.
    pub store_bytes: u64,
    /// Bytes of one document.
    pub document_bytes: usize,
    /// The most memory that a manifest can ask for.
    pub memory_bytes: usize,
    /// The most CPU time of one call that a manifest can ask for.
    pub cpu: Duration,
    /// The most time by the clock of one call that a manifest can ask for.
    pub wall: Duration,
    /// The most calls at once that a manifest can ask for.
    pub concurrency: usize,
    /// Entries of all tables of one call.
    pub table_elements: usize,
    /// Resources that one call holds at once.
    pub handles: usize,
    /// Bytes that one call of the host takes from the plugin.
    pub copied_bytes: usize,
    /// Bytes of one request for random numbers.
    pub random_bytes: u64,
    /// Bytes of the headers of one request or answer that the plugin makes.
    pub header_bytes: usize,
    /// Requests to the outside in a minute.
    pub outgoing_per_minute: u32,
    /// Bytes of one request to the outside, and of its answer.
    pub outgoing_bytes: u64,
    /// When it is left alone.
    pub quarantine: Quarantine,
}

impl Default for HostLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        HostLimits {
            queue: 256,
            // Half of the machine, for as long as it likes.
            cpu_per_minute: Duration::from_secs(60 * (cores / 2).max(1)),
            log_lines_per_minute: 6_000,
            store_bytes: 2 << 30,
            document_bytes: plenum_store::documents::MAX_DOCUMENT_BYTES,
            memory_bytes: crate::engine::MAX_MEMORY,
            cpu: Duration::from_secs(60),
            wall: Duration::from_secs(300),
            concurrency: 64,
            table_elements: 100_000,
            handles: 10_000,
            copied_bytes: 32 << 20,
            random_bytes: 64 << 10,
            header_bytes: 64 << 10,
            outgoing_per_minute: 600,
            outgoing_bytes: 16 << 20,
            quarantine: Quarantine::default(),
        }
    }
}

/// Lets calls in, and can be closed for the moment in which a plugin's records change hands: those who come then wait, and those who
/// are inside end.
#[derive(Debug)]
pub struct Door {
    closed: watch::Sender<bool>,
    inside: AtomicUsize,
    left: Notify,
}

/// Somebody who came through the door.
#[derive(Debug)]
struct Inside(Arc<Life>);

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.door.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.door.left.notify_waiters();
        }
    }
}

/// Opens the door again when it is dropped.
#[derive(Debug)]
pub struct Closed(Arc<Life>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.door.closed.send_replace(false);
    }
}

impl Closed {
    /// Until nobody is inside, at most for `patience`. Answers whether that is so.
    pub async fn empty(&self, patience: Duration) -> bool {
        let door = &self.0.door;
        let gone = async {
            loop {
                let left = door.left.notified();
                tokio::pin!(left);
                // Heard from now on, or the last one could leave between the look and the wait.
                left.as_mut().enable();
                if door.inside.load(Ordering::Acquire) == 0 {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(patience, gone).await.is_ok()
    }
}

/// The state of a plugin that stays when its version changes.
#[derive(Debug)]
pub struct Life {
    pub id: String,
    pub limits: HostLimits,
    pub stats: Stats,
    /// The last calls, part by part.
    pub traces: Traces,
    /// What it counts itself.
    pub figures: Figures,
    pub door: Door,
    /// Held for reading by each write to its records, and for writing while they are copied, migrated or brought back.
    pub writes: tokio::sync::RwLock<()>,
    pub cpu: Bucket,
    pub outgoing: Bucket,
    pub log: Bucket,
    /// Notifications that it sends.
    pub notify: Bucket,
    /// Turns to compute, for calls that compute long: one plugin's calls never take all threads.
    pub turns: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    stored: Mutex<Option<(Instant, i64)>>,
    /// Bytes that were written since `stored` was asked for.
    added: AtomicI64,
    log_notice: AtomicI64,
}

impl Life {
    pub fn new(id: &str, limits: HostLimits) -> Arc<Life> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Life {
            id: id.to_owned(),
            stats: Stats::default(),
            traces: Traces::default(),
            figures: Figures::default(),
            door: Door { closed: watch::Sender::new(false), inside: AtomicUsize::new(0), left: Notify::new() },
            writes: tokio::sync::RwLock::new(()),
            cpu: Bucket::per_minute(u64::try_from(limits.cpu_per_minute.as_millis()).unwrap_or(u64::MAX)),
            outgoing: Bucket::per_minute(limits.outgoing_per_minute.into()),
            log: Bucket::per_minute(limits.log_lines_per_minute.into()),
            notify: Bucket::per_minute(NOTIFICATIONS_PER_MINUTE),
            turns: Arc::new(Semaphore::new((cores / 2).max(1))),
            breaker: Mutex::new(Breaker::new(limits.quarantine)),
            stored: Mutex::new(None),
            added: AtomicI64::new(0),
            log_notice: AtomicI64::new(0),
            limits,
        })
    }

    fn breaker<R>(&self, f: impl FnOnce(&mut Breaker) -> R) -> R {
        f(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes the door.
    pub fn close(self: &Arc<Life>) -> Closed {
        self.door.closed.send_replace(true);
        Closed(self.clone())
    }

    /// Lets a call in: waits while the door is closed, then asks whether there is budget and no quarantine.
    pub async fn enter(self: &Arc<Life>) -> Result<Visit, RuntimeError> {
        let inside = loop {
            let mut closed = self.door.closed.subscribe();
            // The sender is here, so it cannot have gone.
            let _ = closed.wait_for(|c| !*c).await;
            self.door.inside.fetch_add(1, Ordering::AcqRel);
            let inside = Inside(self.clone());
            if !*self.door.closed.borrow() {
                break inside;
            }
        };
        if let Err(wait) = self.cpu.ready() {
            self.stats.refused();
            let limit = self.limits.cpu_per_minute.as_millis();
            return Err(RuntimeError::Throttled {
                code: "plugin.cpu_minute",
                message: format!("the plugin {} used up the {limit} ms of CPU time that its calls may take in a minute", self.id),
                retry_after_s: seconds(wait),
            });
        }
        let probe = self.breaker(|b| b.admit(Instant::now())).map_err(|r| {
            self.stats.refused();
            RuntimeError::Quarantined { plugin: self.id.clone(), reason: r.reason, retry_after_s: seconds(r.retry_after) }
        })?;
        Ok(Visit { life: self.clone(), pass: Some(probe), _running: Running::start(self), _inside: Some(inside) })
    }

    /// Lets the host's own call in, which nobody may stop: a migration, a health check.
    pub fn own_visit(self: &Arc<Life>) -> Visit {
        Visit { life: self.clone(), pass: None, _running: Running::start(self), _inside: None }
    }

    pub fn quarantined(&self) -> Option<Refusal> {
        self.breaker(|b| b.quarantined(Instant::now()))
    }

    /// Ends the quarantine; answers whether there was one.
    pub fn release(&self) -> bool {
        self.breaker(Breaker::release)
    }

    /// Whether `more` bytes can be stored. Counted from what the database said last; before a refusal it is asked again, since what
    /// was written may have replaced something.
    pub async fn room(&self, docs: &Documents, more: i64) -> Result<bool, StoreError> {
        const FRESH: Duration = Duration::from_secs(60);
        let quota = i64::try_from(self.limits.store_bytes).unwrap_or(i64::MAX);
        let known = *self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |base: i64| base.saturating_add(self.added.load(Ordering::Relaxed)).saturating_add(more) <= quota;
        if let Some((at, base)) = known
            && at.elapsed() < FRESH
            && fits(base)
        {
            self.added.fetch_add(more, Ordering::Relaxed);
            return Ok(true);
        }
        let base = self.used_bytes(docs).await?;
        let room = fits(base);
        if room {
            self.added.fetch_add(more, Ordering::Relaxed);
        }
        Ok(room)
    }

    /// Bytes that its records take.
    pub async fn used_bytes(&self, docs: &Documents) -> Result<i64, StoreError> {
        let base = docs.usage(&format!("plugin/{}/", self.id)).await?;
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), base));
        self.added.store(0, Ordering::Relaxed);
        Ok(base)
    }

    /// Whether it is time to tell again that lines are lost.
    pub fn tells_of_lost_lines(&self) -> bool {
        let now = plenum_store::now_ms();
        let last = self.log_notice.load(Ordering::Relaxed);
        now - last >= 10_000 && self.log_notice.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A call's presence. Dropped without an end, nothing is known of it.
#[derive(Debug)]
pub struct Visit {
    life: Arc<Life>,
    /// Whether it is the probe; none for what the breaker does not count.
    pass: Option<bool>,
    _running: Running,
    _inside: Option<Inside>,
}

impl Visit {
    /// The call ended.
    pub fn ended(mut self, services: &Services, outcome: Outcome) {
        let Some(probe) = self.pass.take() else { return };
        let Some(change) = self.life.breaker(|b| b.ended(Instant::now(), probe, outcome)) else { return };
        let (kind, data) = match change {
            Change::Quarantined(reason) => {
                tracing::warn!(plugin = self.life.id, reason, "a plugin is quarantined");
                ("plenum.plugin.quarantined", json!({"plugin": self.life.id, "reason": reason}))
            }
            Change::Released => ("plenum.plugin.released", json!({"plugin": self.life.id, "by": "a call that went well"})),
        };
        let (db, subject) = (services.db.clone(), format!("plugin/{}", self.life.id));
        services.tasks.spawn(async move {
            let told = async {
                let mut tx = db.begin().await?;
                emit(&mut tx, NewEvent { kind: kind.into(), source: "/plugins".into(), subject, data }).await?;
                tx.commit().await
            };
            if let Err(e) = told.await {
                tracing::warn!(error = %e, "the event of a quarantine cannot be written");
            }
        });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(probe) = self.pass.take() {
            self.life.breaker(|b| b.ended(Instant::now(), probe, Outcome::Unknown));
        }
    }
}

/// Whole seconds for `Retry-After`: at least one.
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0).max(u64::from(wait.is_zero()))
}

/// All lives, by plugin. One that is uninstalled keeps its numbers until the host ends.
#[derive(Debug)]
pub struct Lives {
    limits: HostLimits,
    /// Of those that have others.
    limits_of: BTreeMap<String, HostLimits>,
    by_id: RwLock<HashMap<String, Arc<Life>>>,
}

impl Lives {
    pub fn new(limits: HostLimits, limits_of: BTreeMap<String, HostLimits>) -> Lives {
        Lives { limits, limits_of, by_id: RwLock::default() }
    }

    pub fn get(&self, id: &str) -> Arc<Life> {
        if let Some(life) = self.known(id) {
            return life;
        }
        let mut map = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        let limits = self.limits_of.get(id).copied().unwrap_or(self.limits);
        map.entry(id.to_owned()).or_insert_with(|| Life::new(id, limits)).clone()
    }

    /// Of a plugin that there is.
    pub fn known(&self, id: &str) -> Option<Arc<Life>> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Life>> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn forget(&self, id: &str) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
