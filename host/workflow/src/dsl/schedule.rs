//! `schedule`: what starts a workflow by itself.

use serde_json::Value;

use super::duration::millis;
use super::hear::{Listen, Read};
use super::parse::{Parser, step};

/// `schedule`
#[derive(Debug, Clone)]
pub enum Start {
    /// `cron`, in UTC.
    Cron(String),
    /// `every`: milliseconds between two starts.
    Every(i64),
    /// `after`: milliseconds between the end of a run and the next start.
    After(i64),
    /// `on`: events; the run's input is the list of them.
    On(Box<Listen>),
}

/// Shorter pauses would be a loop.
const SHORTEST: i64 = 1_000;

impl Parser<'_> {
    pub(super) fn schedule(&mut self, v: &Value) -> Option<Start> {
        let at = "/schedule";
        let o = self.object(v, at, "`schedule`")?;
        self.only(o, at, &["cron", "every", "after", "on"]);
        let keys: Vec<&String> = o.keys().collect();
        let [key] = keys.as_slice() else {
            self.problem(at, "exactly one of cron, every, after, on is required");
            return None;
        };
        let place = step(at, key);
        let value = o.get(*key)?;
        match key.as_str() {
            "cron" => {
                let text = value.as_str().unwrap_or_default();
                if let Err(e) = crate::cron::Plan::parse(text, "UTC") {
                    self.problem(&place, e.to_string());
                    return None;
                }
                Some(Start::Cron(text.to_owned()))
            }
            "on" => {
                let (to, until) = self.strategy(value, &place, &[], true)?;
                if to.filters.is_empty() {
                    self.problem(&place, "name the events; any event would start it without end");
                    return None;
                }
                let listen = Listen { to, until, read: Read::Envelope, each: None };
                if listen.kinds().is_none() {
                    self.problem(&place, "each event needs a `type` that is no expression");
                    return None;
                }
                Some(Start::On(Box::new(listen)))
            }
            "every" | "after" => {
                let ms = match millis(value) {
                    Ok(ms) => ms,
                    Err(m) => {
                        self.problem(&place, m);
                        return None;
                    }
                };
                if ms < SHORTEST {
                    self.problem(&place, "at least a second is required");
                    return None;
                }
                Some(if key.as_str() == "every" { Start::Every(ms) } else { Start::After(ms) })
            }
            _ => None,
        }
    }
}
