//! CPU time of one call. A call's future computes only while it is polled, and a poll stays on one thread: so the thread's own clock,
//! read at the start and end of each poll, is what the call used. Waiting for the host, and a busy machine, cost it nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What one call used, in nanoseconds.
#[derive(Debug, Default)]
pub struct Meter {
    used: AtomicU64,
    /// The thread's clock when the poll began that is going on; 0 between polls.
    since: AtomicU64,
}

fn thread_ns() -> u64 {
    // A clock that cannot be read would be a kernel without POSIX clocks; the wall-clock limit holds there still.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().and_then(|t| u64::try_from(Duration::from(t).as_nanos()).ok()).unwrap_or(0).max(1)
}

impl Meter {
    /// So far. Within a poll: to be asked on its thread.
    pub fn used(&self) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        let now = if since == 0 { 0 } else { thread_ns().saturating_sub(since) };
        Duration::from_nanos(self.used.load(Ordering::Relaxed).saturating_add(now))
    }

    /// Runs `work` on this meter.
    pub async fn run<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(move |cx| {
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
        let meter = Arc::new(Meter::default());
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
