//! CPU time of one call. A call's future computes only while it is polled, and a poll stays on one thread: so the thread's own clock,
//! read at the start and end of each poll, is what the call used. Waiting for the host, and a busy machine, cost it nothing.
//!
//! A call that computes for longer than a tick takes turns with the others of its plugin: however many they are, they then occupy a
//! bounded number of threads, and a neighbour's call waits behind them for one tick and not for all of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::ready;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// What one call used, in nanoseconds.
#[derive(Debug)]
pub struct Meter {
    used: AtomicU64,
    /// The thread's clock when the poll began that is going on; 0 between polls.
    since: AtomicU64,
    turns: Arc<Semaphore>,
    takes_turns: AtomicBool,
}

fn thread_ns() -> u64 {
    // A clock that cannot be read would be a kernel without POSIX clocks; the wall-clock limit holds there still.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().and_then(|t| u64::try_from(Duration::from(t).as_nanos()).ok()).unwrap_or(0).max(1)
}

impl Meter {
    /// Of a call of the plugin whose calls share `turns`.
    pub fn new(turns: Arc<Semaphore>) -> Meter {
        Meter { used: AtomicU64::new(0), since: AtomicU64::new(0), turns, takes_turns: AtomicBool::new(false) }
    }

    /// From the next poll on it computes only in its turn.
    pub fn takes_turns(&self) {
        self.takes_turns.store(true, Ordering::Relaxed);
    }

    /// So far. Within a poll: to be asked on its thread.
    pub fn used(&self) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        let now = if since == 0 { 0 } else { thread_ns().saturating_sub(since) };
        Duration::from_nanos(self.used.load(Ordering::Relaxed).saturating_add(now))
    }

    /// Runs `work` on this meter.
    pub async fn run<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut turns = None;
        std::future::poll_fn(move |cx| {
            // Given back after the poll: who waits for the host holds no turn.
            let _turn = if self.takes_turns.load(Ordering::Relaxed) {
                let turns = turns.get_or_insert_with(|| PollSemaphore::new(self.turns.clone()));
                ready!(turns.poll_acquire(cx))
            } else {
                None
            };
            self.since.store(thread_ns(), Ordering::Relaxed);
            let out = work.as_mut().poll(cx);
            self.used.store(u64::try_from(self.used().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            self.since.store(0, Ordering::Relaxed);
            out
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn only_computing_counts() {
        let meter = Arc::new(Meter::new(Arc::new(Semaphore::new(1))));
        let spin = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            let started = thread_ns();
            while thread_ns() - started < 20_000_000 {}
            tokio::time::sleep(Duration::from_millis(60)).await;
        };
        meter.clone().run(spin).await;
        let used = meter.used();
        assert!((Duration::from_millis(20)..Duration::from_millis(50)).contains(&used), "{used:?}");
    }
}
