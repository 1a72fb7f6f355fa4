//! Inspection Center: checks as data, run on many machines at once, graded, explained and compared over time.
//!
//! The pure part is [`check`]. It is an ordinary plugin: its component imports what its manifest asks for and nothing else.

pub mod catalog;
pub mod check;
pub mod export;
pub mod flow;
pub mod inspections;
pub mod model;
pub mod reports;
pub mod routes;

use plenum_sdk::Error;

plenum_sdk::plugin! {
    http = routes::router,
    actions = [plan: flow::plan, ask: flow::ask, grade: flow::grade, finish: flow::finish],
}

/// There is no such thing.
pub(crate) fn missing(what: &str, id: &str) -> Error {
    Error::not_found("inspection.not_found", format!("there is no {what} {id:?}; it may have been deleted"))
}
