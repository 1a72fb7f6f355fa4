//! Quarantine. A plugin that fails again and again is left alone for a while: its callers hear at once why, and the host has its
//! time for others. Then one call is let through as a probe, and if that is well, all are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a plugin is quarantined and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// So many calls that trapped or exceeded a limit, more of them than ended well,
    pub traps: u32,
    /// within this time.
    pub within: Duration,
    /// First rest; after each probe that fails twice as long, up to ten minutes.
    pub rest: Duration,
}

impl Default for Quarantine {
    fn default() -> Self {
        Quarantine { traps: 10, within: Duration::from_secs(300), rest: Duration::from_secs(30) }
    }
}

const LONGEST_REST: Duration = Duration::from_secs(600);

/// How a call ended, for the breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, be it with an error of its own.
    Well,
    /// It trapped or exceeded a limit.
    Crashed(String),
    /// It was given up by its caller: nothing is known.
    Unknown,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Instant, reason: String, rest: Duration },
    HalfOpen { reason: String, rest: Duration },
}

/// What changed with a call's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The plugin is quarantined from now on.
    Quarantined(String),
    /// It is not any more.
    Released,
}

/// The breaker of one plugin. Pure: the time is told.
#[derive(Debug)]
pub struct Breaker {
    config: Quarantine,
    state: State,
    /// When, and how many calls had ended well before.
    traps: VecDeque<(Instant, u64)>,
    well: u64,
}

/// Why a call is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened.
    pub reason: String,
    /// When to come again.
    pub retry_after: Duration,
}

impl Breaker {
    /// Closed: all calls are let in.
    pub fn new(config: Quarantine) -> Breaker {
        Breaker { config, state: State::Closed, traps: VecDeque::new(), well: 0 }
    }

    /// Lets a call in. Answers whether it is the probe.
    pub fn admit(&mut self, now: Instant) -> Result<bool, Refusal> {
        match &self.state {
            State::Closed => Ok(false),
            State::Open { until, reason, .. } if now < *until => Err(Refusal { reason: reason.clone(), retry_after: *until - now }),
            State::Open { reason, rest, .. } => {
                self.state = State::HalfOpen { reason: reason.clone(), rest: *rest };
                Ok(true)
            }
            // The probe is under way; its end is not known, but it is bounded.
            State::HalfOpen { reason, .. } => Err(Refusal { reason: reason.clone(), retry_after: Duration::from_secs(1) }),
        }
    }

    /// A call that was let in has ended.
    pub fn ended(&mut self, now: Instant, probe: bool, outcome: Outcome) -> Option<Change> {
        match (&self.state, outcome) {
            (State::HalfOpen { .. }, Outcome::Well) if probe => {
                self.release();
                Some(Change::Released)
            }
            (State::HalfOpen { rest, .. }, Outcome::Crashed(why)) if probe => {
                let rest = (*rest * 2).min(LONGEST_REST);
                self.open(now, format!("the call that probed it failed too: {why}"), rest);
                None
            }
            // The next one probes.
            (State::HalfOpen { reason, rest }, Outcome::Unknown) if probe => {
                self.state = State::Open { until: now, reason: reason.clone(), rest: *rest };
                None
            }
            (State::Closed, Outcome::Well) => {
                self.well += 1;
                None
            }
            (State::Closed, Outcome::Crashed(why)) => self.crashed(now, &why),
            // Calls that were under way when it was quarantined.
            _ => None,
        }
    }

    fn crashed(&mut self, now: Instant, why: &str) -> Option<Change> {
        self.traps.push_back((now, self.well));
        while self.traps.len() > self.config.traps as usize {
            self.traps.pop_front();
        }
        let (first, well_before) = *self.traps.front()?;
        let well = self.well - well_before;
        if self.traps.len() < self.config.traps as usize
            || now.duration_since(first) > self.config.within
            || well > u64::from(self.config.traps)
        {
            return None;
        }
        let reason = format!("{} calls failed within {} s, last: {why}", self.traps.len(), now.duration_since(first).as_secs().max(1));
        self.open(now, reason.clone(), self.config.rest);
        Some(Change::Quarantined(reason))
    }

    fn open(&mut self, now: Instant, reason: String, rest: Duration) {
        self.traps.clear();
        self.state = State::Open { until: now + rest, reason, rest };
    }

    /// Ends the quarantine; answers whether there was one.
    pub fn release(&mut self) -> bool {
        let was = !matches!(self.state, State::Closed);
        self.state = State::Closed;
        self.traps.clear();
        was
    }

    /// Why it is quarantined and how long until the next probe; none when it is not.
    pub fn quarantined(&self, now: Instant) -> Option<Refusal> {
        match &self.state {
            State::Closed => None,
            State::Open { until, reason, .. } => {
                Some(Refusal { reason: reason.clone(), retry_after: until.saturating_duration_since(now) })
            }
            State::HalfOpen { reason, .. } => Some(Refusal { reason: reason.clone(), retry_after: Duration::ZERO }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CONFIG: Quarantine = Quarantine { traps: 3, within: Duration::from_secs(60), rest: Duration::from_secs(10) };

    fn crash() -> Outcome {
        Outcome::Crashed("unreachable".into())
    }

    fn opened(at: Instant) -> Breaker {
        let mut b = Breaker::new(CONFIG);
        assert_eq!(b.ended(at, false, crash()), None);
        assert_eq!(b.ended(at, false, crash()), None);
        assert!(matches!(b.ended(at, false, crash()), Some(Change::Quarantined(_))));
        b
    }

    #[test]
    fn opens_probes_and_closes() {
        let at = Instant::now();
        let mut b = opened(at);
        let refusal = b.admit(at + Duration::from_secs(4)).unwrap_err();
        assert_eq!(refusal.retry_after, Duration::from_secs(6));
        assert!(refusal.reason.contains("3 calls") && refusal.reason.contains("unreachable"), "{}", refusal.reason);
        let later = at + Duration::from_secs(10);
        assert!(b.admit(later).unwrap(), "the probe");
        assert!(b.admit(later).is_err(), "one at a time");
        // A call from before knows nothing of how it is now.
        assert_eq!(b.ended(later, false, Outcome::Well), None);
        assert!(b.admit(later).is_err());
        assert_eq!(b.ended(later, true, Outcome::Well), Some(Change::Released));
        assert!(!b.admit(later).unwrap());
    }

    #[test]
    fn a_failed_probe_doubles_the_rest_and_a_lost_one_gives_its_turn() {
        let mut at = Instant::now();
        let mut b = opened(at);
        for rest in [10, 20, 40, 80, 160, 320, 600, 600] {
            at += Duration::from_secs(rest);
            assert!(b.admit(at - Duration::from_millis(1)).is_err());
            assert!(b.admit(at).unwrap());
            assert_eq!(b.ended(at, true, crash()), None);
        }
        at += Duration::from_secs(600);
        assert!(b.admit(at).unwrap());
        assert_eq!(b.ended(at, true, Outcome::Unknown), None);
        assert!(b.admit(at).unwrap(), "the next one probes");
    }

    #[test]
    fn few_or_old_failures_or_those_among_many_that_are_well_are_no_crash_loop() {
        let mut at = Instant::now();
        let mut b = Breaker::new(CONFIG);
        for _ in 0..20 {
            at += Duration::from_secs(40);
            assert_eq!(b.ended(at, false, crash()), None);
        }
        let mut b = Breaker::new(CONFIG);
        for _ in 0..20 {
            for _ in 0..4 {
                b.ended(at, false, Outcome::Well);
            }
            assert_eq!(b.ended(at, false, crash()), None);
        }
        assert!(b.quarantined(at).is_none());
    }

    #[test]
    fn an_administrator_lifts_it() {
        let at = Instant::now();
        let mut b = opened(at);
        assert!(b.release());
        assert!(!b.admit(at).unwrap());
        assert!(!b.release());
    }
}
