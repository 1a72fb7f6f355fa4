//! `listen`, and what else waits for events: strategies, filters, correlation.

use serde_json::{Map, Value};

use super::parse::{Parser, step};
use super::{Flow, Template};

/// `listen`: which events, until when, and what is done with each.
#[derive(Debug, Clone)]
pub struct Listen {
    /// `to`
    pub to: Strategy,
    /// `to.until`; only with `any`.
    pub until: Option<Until>,
    /// `read`
    pub read: Read,
    /// `foreach`
    pub each: Option<Each>,
}

/// Which events satisfy it.
#[derive(Debug, Clone)]
pub struct Strategy {
    /// `one`, `any`, `all`
    pub mode: Mode,
    /// Any event, for an empty `any`.
    pub filters: Vec<EventFilter>,
}

/// How many of the filters have to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The only one.
    One,
    /// One of them.
    Any,
    /// Each.
    All,
}

/// When an `any` ends that does not end with its first event.
#[derive(Debug, Clone)]
pub enum Until {
    /// As soon as this is true of the list of consumed events.
    Expr(String),
    /// As soon as these events have come.
    Events(Strategy),
}

/// What of an event is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Its data.
    Data,
    /// All of it.
    Envelope,
}

/// `foreach`
#[derive(Debug, Clone)]
pub struct Each {
    /// Variable of the event.
    pub item: String,
    /// Variable of its number.
    pub at: String,
    /// `output`
    pub output: Flow,
    /// `export`
    pub export: Flow,
}

/// One event that is waited for.
#[derive(Debug, Clone)]
pub struct EventFilter {
    /// Attributes and what they must be: a value, or an expression over the attribute.
    pub with: Vec<(String, Template)>,
    /// Name, expression over the event, expected value.
    pub correlate: Vec<(String, String, Option<Template>)>,
}

impl Strategy {
    /// The types that can satisfy it; `None` when any may.
    pub fn kinds(&self) -> Option<Vec<String>> {
        if self.filters.is_empty() {
            return None;
        }
        let kind = |f: &EventFilter| {
            f.with.iter().find_map(|(k, t)| match t {
                Template::Literal(Value::String(s)) if k == "type" => Some(s.clone()),
                _ => None,
            })
        };
        self.filters.iter().map(kind).collect()
    }
}

impl Listen {
    /// The types that it has to hear of; `None` when it is any.
    pub fn kinds(&self) -> Option<Vec<String>> {
        let mut all = self.to.kinds()?;
        if let Some(Until::Events(s)) = &self.until {
            all.extend(s.kinds()?);
        }
        all.sort();
        all.dedup();
        Some(all)
    }
}

const ATTRIBUTES: &[&str] = &["id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data", "specversion"];

impl Parser<'_> {
    /// `listen`, with the `foreach` beside it.
    pub(super) fn listen(&mut self, o: &Map<String, Value>, pointer: &str, scope: &[String], depth: usize) -> Option<Listen> {
        let at = step(pointer, "listen");
        let l = self.object(o.get("listen")?, &at, "`listen`")?;
        self.only(l, &at, &["to", "read"]);
        let read = match l.get("read").and_then(Value::as_str) {
            None if !l.contains_key("read") => Read::Data,
            Some("data" | "raw") => Read::Data,
            Some("envelope") => Read::Envelope,
            _ => {
                self.problem(&step(&at, "read"), "`read` is data, envelope or raw");
                return None;
            }
        };
        let Some(to) = l.get("to") else {
            self.problem(&step(&at, "to"), "`to` with one, any or all is required");
            return None;
        };
        let (to, until) = self.strategy(to, &step(&at, "to"), scope, true)?;
        let each = match o.get("foreach") {
            None => None,
            Some(f) => {
                let at = step(pointer, "foreach");
                let f = self.object(f, &at, "`foreach`")?;
                self.only(f, &at, &["item", "at", "do", "output", "export"]);
                let item = self.variable(f.get("item"), &step(&at, "item"), "item");
                let index = self.variable(f.get("at"), &step(&at, "at"), "index");
                let mut within = scope.to_vec();
                within.extend([item.clone(), index.clone()]);
                match f.get("do") {
                    Some(tasks) => self.list(tasks, &step(&at, "do"), &within, depth + 1, true),
                    None => self.problem(&step(&at, "do"), "`foreach` needs `do` with the tasks for each event"),
                }
                let output = self.flow(f.get("output"), &step(&at, "output"), "as", &within);
                let export = self.flow(f.get("export"), &step(&at, "export"), "as", &within);
                Some(Each { item, at: index, output, export })
            }
        };
        Some(Listen { to, until, read, each })
    }

    /// `one`, `any` (with `until`) or `all`.
    pub(super) fn strategy(&mut self, v: &Value, pointer: &str, scope: &[String], until: bool) -> Option<(Strategy, Option<Until>)> {
        let o = self.object(v, pointer, "it")?;
        self.only(o, pointer, if until { &["one", "any", "all", "until"] } else { &["one", "any", "all"] });
        let modes: Vec<&str> = ["one", "any", "all"].into_iter().filter(|k| o.contains_key(*k)).collect();
        let [mode] = modes.as_slice() else {
            self.problem(pointer, "exactly one of `one`, `any`, `all` is required");
            return None;
        };
        let at = step(pointer, mode);
        let value = o.get(*mode)?;
        let filters = if *mode == "one" {
            vec![self.event_filter(value, &at, scope)?]
        } else {
            let Some(items) = value.as_array() else {
                self.problem(&at, "a list of events is required: `- with: {type: ..}`");
                return None;
            };
            if items.len() > 50 || (items.is_empty() && *mode == "all") {
                self.problem(&at, "1 to 50 events are required");
                return None;
            }
            items.iter().enumerate().map(|(i, v)| self.event_filter(v, &format!("{at}/{i}"), scope)).collect::<Option<_>>()?
        };
        let mode = match *mode {
            "one" => Mode::One,
            "any" => Mode::Any,
            _ => Mode::All,
        };
        let ends = match o.get("until") {
            None => None,
            Some(_) if mode != Mode::Any => {
                self.problem(&step(pointer, "until"), "`until` goes with `any` only");
                return None;
            }
            Some(Value::Bool(false)) => Some(Until::Expr("false".into())),
            Some(e @ Value::String(_)) => Some(Until::Expr(self.expression(e, &step(pointer, "until"), scope)?)),
            Some(s) => Some(Until::Events(self.strategy(s, &step(pointer, "until"), scope, false)?.0)),
        };
        Some((Strategy { mode, filters }, ends))
    }

    fn event_filter(&mut self, v: &Value, pointer: &str, scope: &[String]) -> Option<EventFilter> {
        let o = self.object(v, pointer, "an event")?;
        self.only(o, pointer, &["with", "correlate"]);
        let at = step(pointer, "with");
        let Some(with) = o.get("with") else {
            self.problem(&at, "`with` says which event: `with: {type: ..}`");
            return None;
        };
        let with = self.object(with, &at, "`with`")?;
        if with.is_empty() {
            self.problem(&at, "at least one attribute is required, `type` as a rule; for any event write `any: []`");
        }
        let mut attributes = Vec::new();
        for (k, v) in with {
            if !ATTRIBUTES.contains(&k.as_str()) {
                // The platform's events have no extension attributes, so it would never match.
                self.problem(&step(&at, k), format!("events have no attribute `{k}`; they have: {}", ATTRIBUTES.join(", ")));
            }
            attributes.push((k.clone(), self.template(v, &step(&at, k), scope)));
        }
        let mut correlate = Vec::new();
        if let Some(c) = o.get("correlate") {
            let at = step(pointer, "correlate");
            for (name, key) in self.object(c, &at, "`correlate`")? {
                let at = step(&at, name);
                let key = self.object(key, &at, "a correlation")?;
                self.only(key, &at, &["from", "expect"]);
                let Some(from) = key.get("from") else {
                    self.problem(&step(&at, "from"), "`from` is required: an expression over the event, `${ .data.id }`");
                    continue;
                };
                let Some(from) = self.expression(from, &step(&at, "from"), scope) else { continue };
                let expect = key.get("expect").map(|e| self.template(e, &step(&at, "expect"), scope));
                correlate.push((name.clone(), from, expect));
            }
        }
        Some(EventFilter { with: attributes, correlate })
    }
}
