//! What a call did and how long each part of it took: one span for each call of the host, of another plugin or of the outside. The last traces
//! of each plugin are kept in memory, and all of them go to a collector (OTLP) where one is configured.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use plenum_store::now_ms;
use serde::Serialize;

/// Spans of one call that are kept; a call may make thousands.
const MAX_SPANS: usize = 100;
/// Traces of one plugin that are kept.
const MAX_TRACES: usize = 50;

/// A part of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// `plenum:cmdb/instances.get`, `GET https://api.example.com`.
    pub name: String,
    /// Microseconds after the call's beginning.
    pub start_us: u64,
    /// Microseconds.
    pub duration_us: u64,
    /// What went wrong, for a request to the outside.
    pub error: Option<String>,
}

/// A call that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallTrace {
    /// The call; the log has its lines under this id. Without its hyphens it is the id of the trace.
    pub call: String,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// `action plan`, `GET /x`.
    pub what: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Microseconds, from its place in the plugin's queue on.
    pub duration_us: u64,
    /// Microseconds of computing.
    pub cpu_us: u64,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// Its parts, by their beginnings.
    pub spans: Vec<Span>,
    /// Parts that were not kept.
    pub more_spans: u64,
}

#[derive(Debug, Default)]
struct Parts {
    spans: Vec<Span>,
    more: u64,
    error: Option<String>,
}

/// The trace of a call that goes on.
#[derive(Debug)]
pub struct Recorder {
    at: i64,
    started: Instant,
    parts: Mutex<Parts>,
}

impl Recorder {
    /// Begins.
    pub fn start() -> Arc<Recorder> {
        Arc::new(Recorder { at: now_ms(), started: Instant::now(), parts: Mutex::default() })
    }

    fn parts<R>(&self, f: impl FnOnce(&mut Parts) -> R) -> R {
        f(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A part begins, and ends when what is answered is dropped.
    pub fn span(self: &Arc<Self>, name: impl Into<String>) -> OpenSpan {
        OpenSpan { of: self.clone(), name: name.into(), started: Instant::now(), error: None }
    }

    /// Why the call failed.
    pub fn failed(&self, why: &str) {
        self.parts(|p| p.error = Some(why.chars().take(500).collect()));
    }

    /// The call as it ended.
    pub fn ended(&self, call: &str, plugin: &str, version: String, what: &str, cpu_us: u64) -> CallTrace {
        let mut parts = self.parts(std::mem::take);
        parts.spans.sort_by_key(|s| s.start_us);
        CallTrace {
            call: call.to_owned(),
            plugin: plugin.to_owned(),
            version,
            what: what.to_owned(),
            at: self.at,
            duration_us: us(self.started.elapsed()),
            cpu_us,
            error: parts.error,
            spans: parts.spans,
            more_spans: parts.more,
        }
    }
}

fn us(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// A part of a call that goes on.
#[derive(Debug)]
pub struct OpenSpan {
    of: Arc<Recorder>,
    name: String,
    started: Instant,
    error: Option<String>,
}

impl OpenSpan {
    /// What went wrong in it.
    pub fn failed(&mut self, why: impl std::fmt::Display) {
        self.error = Some(why.to_string().chars().take(300).collect());
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let span = Span {
            name: std::mem::take(&mut self.name),
            start_us: us(self.started.saturating_duration_since(self.of.started)),
            duration_us: us(self.started.elapsed()),
            error: self.error.take(),
        };
        self.of.parts(|p| {
            if p.spans.len() < MAX_SPANS {
                p.spans.push(span);
            } else {
                p.more += 1;
            }
        });
    }
}

/// The last traces of a plugin.
#[derive(Debug, Default)]
pub struct Traces(Mutex<VecDeque<Arc<CallTrace>>>);

impl Traces {
    /// Keeps one, in the place of the oldest.
    pub fn keep(&self, trace: Arc<CallTrace>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_TRACES {
            kept.pop_front();
        }
        kept.push_back(trace);
    }

    /// The newest first.
    pub fn last(&self) -> Vec<Arc<CallTrace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spans_are_in_their_order_and_bounded() {
        let r = Recorder::start();
        let outer = r.span("outer");
        drop(r.span("inner"));
        drop(outer);
        for _ in 0..200 {
            let mut s = r.span("more");
            s.failed("no answer");
        }
        r.failed("it trapped");
        let t = r.ended("0197", "demo", "0.1.0".into(), "action go", 7);
        assert_eq!((t.spans.len(), t.more_spans, t.error.as_deref()), (MAX_SPANS, 102, Some("it trapped")));
        let names: Vec<&str> = t.spans.iter().take(3).map(|s| s.name.as_str()).collect();
        assert!(names.contains(&"outer") && names.contains(&"inner"), "{names:?}");
        assert!(t.spans.is_sorted_by_key(|s| s.start_us));
    }

    #[test]
    fn the_last_traces_are_kept_and_no_more() {
        let kept = Traces::default();
        for n in 0..(MAX_TRACES + 5) {
            kept.keep(Arc::new(Recorder::start().ended(&n.to_string(), "p", String::new(), "x", 0)));
        }
        let last = kept.last();
        assert_eq!((last.len(), last.first().unwrap().call.as_str()), (MAX_TRACES, "54"));
    }
}
