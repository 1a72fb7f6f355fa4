//! So much a minute: what is not used gathers up to one minute's worth, so that work in bursts is served as well.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A measure that refills by the clock.
#[derive(Debug)]
pub struct Bucket {
    capacity: f64,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// Full.
    pub fn per_minute(amount: u64) -> Bucket {
        let capacity = amount.max(1) as f64;
        Bucket { capacity, state: Mutex::new((capacity, Instant::now())) }
    }

    fn filled<R>(&self, now: Instant, f: impl FnOnce(&mut f64) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, at) = &mut *state;
        *level = (*level + now.saturating_duration_since(*at).as_secs_f64() * self.capacity / 60.0).min(self.capacity);
        *at = now.max(*at);
        f(level)
    }

    fn until(&self, missing: f64) -> Duration {
        Duration::from_secs_f64((missing * 60.0 / self.capacity).clamp(0.0, 3_600.0))
    }

    /// Takes `amount`, or says how long until it is there.
    pub fn take(&self, amount: f64) -> Result<(), Duration> {
        self.take_at(Instant::now(), amount)
    }

    fn take_at(&self, now: Instant, amount: f64) -> Result<(), Duration> {
        self.filled(now, |level| {
            if *level >= amount {
                *level -= amount;
                return Ok(());
            }
            Err(self.until(amount - *level))
        })
    }

    /// Whether something is left, for what is only known afterwards; else how long until.
    pub fn ready(&self) -> Result<(), Duration> {
        self.filled(Instant::now(), |level| if *level > 0.0 { Ok(()) } else { Err(self.until(1.0 - *level)) })
    }

    /// Takes `amount`, also what is not there: it is then missing from what comes, at most for a minute.
    pub fn spend(&self, amount: f64) {
        self.filled(Instant::now(), |level| *level = (*level - amount).max(-self.capacity));
    }

    /// What is left, and of how much.
    pub fn left(&self) -> (f64, f64) {
        (self.filled(Instant::now(), |level| level.max(0.0)), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_by_the_clock() {
        let b = Bucket::per_minute(60);
        let start = Instant::now();
        for _ in 0..60 {
            b.take_at(start, 1.0).unwrap();
        }
        let wait = b.take_at(start, 1.0).unwrap_err();
        assert!((Duration::from_millis(900)..=Duration::from_millis(1_000)).contains(&wait), "{wait:?}");
        assert!(b.take_at(start + Duration::from_secs(2), 2.0).is_ok());
        // Hours of rest do not gather hours of work.
        let later = start + Duration::from_secs(36_000);
        assert!(b.take_at(later, 60.0).is_ok());
        assert!(b.take_at(later, 1.0).is_err());
    }

    #[test]
    fn what_was_overspent_is_waited_for() {
        let b = Bucket::per_minute(1_000);
        b.spend(1_500.0);
        let wait = b.ready().unwrap_err();
        assert!((Duration::from_secs(29)..Duration::from_secs(31)).contains(&wait), "{wait:?}");
        // However much one call took, it is a minute and not a day.
        b.spend(1e9);
        assert!(b.ready().unwrap_err() <= Duration::from_secs(61));
    }
}
