//! The plugin's own figures, shown on its page in the portal and at the host for Prometheus, as `plenum_plugin_<name>`. Need no permission. They
//! count from the host's start; a plugin has at most 100 figures, and 1,000 series of them together: what differs each time, such as an
//! id, is no label.
//!
//! ```
//! # let fake = plenum_sdk::testing::Fake::new();
//! use plenum_sdk::metrics;
//! metrics::add("hosts_seen", &[("source", "vcenter")], 12.0)?;
//! metrics::set("queue_length", &[], 3.0)?;
//! metrics::observe("sync_seconds", &[], 0.25)?;
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use crate::{Result, backend};

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values of which size came.
    Histogram,
}

/// Adds to a counter: what only grows.
pub fn add(name: &str, labels: &[(&str, &str)], by: f64) -> Result<()> {
    backend::figure(Kind::Counter, name, labels, by)
}

/// Sets a gauge: what goes up and down.
pub fn set(name: &str, labels: &[(&str, &str)], value: f64) -> Result<()> {
    backend::figure(Kind::Gauge, name, labels, value)
}

/// Puts a value into a histogram: a duration in seconds, say.
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) -> Result<()> {
    backend::figure(Kind::Histogram, name, labels, value)
}
