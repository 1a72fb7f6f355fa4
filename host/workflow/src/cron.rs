//! Cron expressions in a time zone.
//!
//! Daylight saving: a fixed time that the spring gap leaves out happens right after the gap or on the next day that has it, as
//! `croner` decides; one that the autumn overlap repeats happens once, at its first occurrence.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use crate::error::WorkflowError;

/// A parsed expression in its zone.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    cron: Cron,
    zone: Tz,
}

impl Plan {
    pub(crate) fn parse(cron: &str, timezone: &str) -> Result<Plan, WorkflowError> {
        let zone: Tz = timezone.parse().map_err(|_| WorkflowError::Argument {
            field: "timezone",
            message: format!(
                "`{}` is no IANA time zone; write Europe/Berlin, Asia/Shanghai, UTC or the like",
                crate::expr::shorten(timezone, 60)
            ),
        })?;
        let wrong = |why: String| WorkflowError::Argument {
            field: "cron",
            message: format!(
                "`{}`: {why}; write minute hour day month weekday, for example `30 2 * * 1-5`",
                crate::expr::shorten(cron, 60)
            ),
        };
        if cron.len() > 200 {
            return Err(wrong("too long".into()));
        }
        let cron = CronParser::builder().seconds(Seconds::Optional).build().parse(cron).map_err(|e| wrong(e.to_string()))?;
        let plan = Plan { cron, zone };
        // 30 February parses, and never comes.
        if plan.next(plenum_store::now_ms()).is_none() {
            return Err(wrong("it never comes".into()));
        }
        Ok(plan)
    }

    /// The first time after `ms`.
    pub(crate) fn next(&self, ms: i64) -> Option<i64> {
        let at = self.local(ms)?;
        self.cron.find_next_occurrence(&at, false).ok().map(|t| t.timestamp_millis())
    }

    /// The last time at or before `ms`.
    pub(crate) fn last(&self, ms: i64) -> Option<i64> {
        let at = self.local(ms)?;
        self.cron.find_previous_occurrence(&at, true).ok().map(|t| t.timestamp_millis())
    }

    fn local(&self, ms: i64) -> Option<DateTime<Tz>> {
        Some(self.zone.from_utc_datetime(&DateTime::<Utc>::from_timestamp_millis(ms)?.naive_utc()))
    }
}

/// The next `n` (at most 100) times after `from`, in milliseconds since the Unix epoch.
pub fn next_times(cron: &str, timezone: &str, from: i64, n: usize) -> Result<Vec<i64>, WorkflowError> {
    let plan = Plan::parse(cron, timezone)?;
    let mut at = from;
    let mut times = Vec::new();
    while times.len() < n.min(100) {
        let Some(next) = plan.next(at) else { break };
        times.push(next);
        at = next;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn ms(s: &str) -> i64 {
        DateTime::parse_from_rfc3339(s).unwrap().timestamp_millis()
    }

    #[test]
    fn next_times_follow_the_zone() {
        let t = next_times("30 2 * * *", "Asia/Shanghai", ms("2026-01-01T00:00:00Z"), 2).unwrap();
        assert_eq!(t, [ms("2026-01-01T18:30:00Z"), ms("2026-01-02T18:30:00Z")]);
        assert_eq!(next_times("*/10 * * * * *", "UTC", ms("2026-01-01T00:00:01Z"), 1).unwrap(), [ms("2026-01-01T00:00:10Z")]);
    }

    #[test]
    fn daylight_saving_neither_loses_nor_doubles_a_day() {
        // Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.
        let spring = next_times("30 2 * * *", "Europe/Berlin", ms("2026-03-27T12:00:00Z"), 3).unwrap();
        assert_eq!(spring[0], ms("2026-03-28T02:30:00+01:00"));
        assert!(spring.windows(2).all(|w| w[0] < w[1]));
        assert!(spring.contains(&ms("2026-03-30T02:30:00+02:00")));
        let autumn = next_times("30 2 * * *", "Europe/Berlin", ms("2026-10-24T12:00:00Z"), 2).unwrap();
        assert_eq!(autumn, [ms("2026-10-25T02:30:00+02:00"), ms("2026-10-26T02:30:00+01:00")]);
    }

    #[test]
    fn wrong_ones_are_refused() {
        for (c, z) in [("61 * * * *", "UTC"), ("x", "UTC"), ("* * * * *", "Mars/Base"), ("0 0 30 2 *", "UTC"), ("", "UTC")] {
            assert!(next_times(c, z, 0, 1).is_err(), "{c} {z}");
        }
    }
}
