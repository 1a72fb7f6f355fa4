//! Figures that plugins count themselves: counters, gauges and histograms. Of bounded number, whatever a plugin does: labels that never
//! repeat would otherwise fill the memory of the host and of whoever scrapes it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::stats::StatsSummary;

/// Figures of one plugin.
const MAX_FIGURES: usize = 100;
/// Series of all its figures.
const MAX_SERIES: usize = 1_000;
/// Labels of one series.
const MAX_LABELS: usize = 8;
/// Bytes of a label's value.
const MAX_VALUE: usize = 120;
/// Where the buckets of a histogram end; the last one has no end.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values of which size came.
    Histogram,
}

impl FigureKind {
    /// Prometheus' word.
    pub fn as_str(self) -> &'static str {
        match self {
            FigureKind::Counter => "counter",
            FigureKind::Gauge => "gauge",
            FigureKind::Histogram => "histogram",
        }
    }
}

/// A figure with one set of labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Names and values, by name.
    pub labels: BTreeMap<String, String>,
    /// Of a counter or a gauge; of a histogram the sum of its values.
    pub value: f64,
    /// Values of a histogram; none of the others.
    pub count: Option<u64>,
    /// How many values were at most so large, by the ends of the buckets.
    pub buckets: Vec<(f64, u64)>,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name, as the plugin calls it.
    pub name: String,
    /// What it is.
    pub kind: FigureKind,
    /// By labels.
    pub series: Vec<Series>,
}

#[derive(Debug, Default, Clone)]
struct Value {
    sum: f64,
    count: u64,
    buckets: [u64; BUCKETS.len()],
}

#[derive(Debug)]
struct Known {
    kind: FigureKind,
    series: BTreeMap<BTreeMap<String, String>, Value>,
}

/// All figures of a plugin.
#[derive(Debug, Default)]
pub struct Figures(Mutex<BTreeMap<String, Known>>);

/// Why a figure is not taken: a code and the reason.
pub type Refused = (&'static str, String);

fn name(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
}

impl Figures {
    /// Takes a value in.
    pub fn take(&self, figure: String, kind: FigureKind, labels: Vec<(String, String)>, value: f64) -> Result<(), Refused> {
        if !name(&figure) {
            return Err((
                "metrics.name",
                format!("{figure:?} cannot be a figure's name; use 1 to 60 of a-z, 0-9 and underscore, a letter first"),
            ));
        }
        if !value.is_finite() || (kind == FigureKind::Counter && value < 0.0) {
            return Err(("metrics.value", format!("{value} cannot be put into the {} {figure}", kind.as_str())));
        }
        let count = labels.len();
        let mut of = BTreeMap::new();
        for (n, v) in labels {
            if !name(&n) || n == "plugin" || n == "le" || v.len() > MAX_VALUE {
                let message = format!(
                    "the label {n:?} of {figure} is not allowed: a name like a figure's, and not plugin or le; a value of at most {MAX_VALUE} bytes"
                );
                return Err(("metrics.label", message));
            }
            of.insert(n, v);
        }
        if of.len() != count || count > MAX_LABELS {
            return Err(("metrics.label", format!("{figure} has at most {MAX_LABELS} labels, each once")));
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series: usize = all.values().map(|k| k.series.len()).sum();
        if !all.contains_key(&figure) && all.len() >= MAX_FIGURES {
            return Err(("metrics.too_many", format!("a plugin has at most {MAX_FIGURES} figures; {figure} would be one more")));
        }
        let known = all.entry(figure.clone()).or_insert_with(|| Known { kind, series: BTreeMap::new() });
        if known.kind != kind {
            return Err(("metrics.kind", format!("{figure} is a {}, not a {}", known.kind.as_str(), kind.as_str())));
        }
        if !known.series.contains_key(&of) && series >= MAX_SERIES {
            let message = format!(
                "the figures of a plugin have at most {MAX_SERIES} series; keep what differs each time, such as ids, out of the labels of {figure}"
            );
            return Err(("metrics.too_many", message));
        }
        let v = known.series.entry(of).or_default();
        match kind {
            FigureKind::Counter => v.sum += value,
            FigureKind::Gauge => v.sum = value,
            FigureKind::Histogram => {
                v.sum += value;
                v.count += 1;
                for (end, n) in BUCKETS.iter().zip(&mut v.buckets) {
                    if value <= *end {
                        *n += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Figure> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = |kind: FigureKind, labels: &BTreeMap<String, String>, v: &Value| {
            let histogram = kind == FigureKind::Histogram;
            Series {
                labels: labels.clone(),
                value: v.sum,
                count: histogram.then_some(v.count),
                buckets: if histogram { BUCKETS.iter().copied().zip(v.buckets).collect() } else { Vec::new() },
            }
        };
        let figure = |(name, k): (&String, &Known)| Figure {
            name: name.clone(),
            kind: k.kind,
            series: k.series.iter().map(|(l, v)| series(k.kind, l, v)).collect(),
        };
        all.iter().map(figure).collect()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn labels(plugin: &str, of: &BTreeMap<String, String>, end: Option<&str>) -> String {
    let mut out = format!("plugin=\"{}\"", escaped(plugin));
    for (n, v) in of {
        let _ = write!(out, ",{n}=\"{}\"", escaped(v));
    }
    if let Some(end) = end {
        let _ = write!(out, ",le=\"{end}\"");
    }
    out
}

/// Figures of plugins in Prometheus' text format: `plenum_plugin_<name>{plugin="<id>"}`. A figure that two plugins count as different kinds is
/// that of the first one; the other's is left out, since the format knows one kind for a name.
pub fn prometheus(all: &[(String, Vec<Figure>)]) -> String {
    let mut by_name: BTreeMap<&str, (FigureKind, Vec<(&str, &Series)>)> = BTreeMap::new();
    for (plugin, figures) in all {
        for f in figures {
            let entry = by_name.entry(&f.name).or_insert_with(|| (f.kind, Vec::new()));
            if entry.0 == f.kind {
                entry.1.extend(f.series.iter().map(|s| (plugin.as_str(), s)));
            }
        }
    }
    let mut out = String::new();
    for (name, (kind, series)) in by_name {
        let _ = writeln!(out, "# TYPE plenum_plugin_{name} {}", kind.as_str());
        for (plugin, s) in series {
            let of = labels(plugin, &s.labels, None);
            let Some(count) = s.count else {
                let _ = writeln!(out, "plenum_plugin_{name}{{{of}}} {}", s.value);
                continue;
            };
            for (end, n) in &s.buckets {
                let _ = writeln!(out, "plenum_plugin_{name}_bucket{{{}}} {n}", labels(plugin, &s.labels, Some(&end.to_string())));
            }
            let _ = writeln!(out, "plenum_plugin_{name}_bucket{{{}}} {count}", labels(plugin, &s.labels, Some("+Inf")));
            let _ = writeln!(out, "plenum_plugin_{name}_sum{{{of}}} {}\nplenum_plugin_{name}_count{{{of}}} {count}", s.value);
        }
    }
    out
}

/// What the host counts of each plugin: `plenum_plugins_<name>{plugin="<id>"}`.
pub fn of_host(all: &[(String, StatsSummary)]) -> String {
    let mut out = String::new();
    type Of = fn(&StatsSummary) -> f64;
    let counted: [(&str, &str, Of); 8] = [
        ("calls_total", "counter", |s| s.calls as f64),
        ("errors_total", "counter", |s| s.errors as f64),
        ("refused_total", "counter", |s| s.refused as f64),
        ("cpu_seconds_total", "counter", |s| s.cpu_ms as f64 / 1000.0),
        ("outgoing_total", "counter", |s| s.outgoing as f64),
        ("running", "gauge", |s| s.running as f64),
        ("queued", "gauge", |s| s.queued as f64),
        ("memory_peak_bytes", "gauge", |s| s.memory_peak_bytes as f64),
    ];
    for (name, kind, of) in counted {
        let _ = writeln!(out, "# TYPE plenum_plugins_{name} {kind}");
        for (plugin, s) in all {
            let _ = writeln!(out, "plenum_plugins_{name}{{plugin=\"{}\"}} {}", escaped(plugin), of(s));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn take(f: &Figures, name: &str, kind: FigureKind, label: &str, value: f64) -> Result<(), Refused> {
        f.take(name.to_owned(), kind, vec![("of".to_owned(), label.to_owned())], value)
    }

    #[test]
    fn prometheus_reads_what_was_counted() {
        let f = Figures::default();
        take(&f, "seen", FigureKind::Counter, "a\"b", 2.0).unwrap();
        take(&f, "seen", FigureKind::Counter, "a\"b", 1.5).unwrap();
        take(&f, "level", FigureKind::Gauge, "x", 7.0).unwrap();
        take(&f, "level", FigureKind::Gauge, "x", -3.0).unwrap();
        for v in [0.001, 0.2, 60.0] {
            take(&f, "took", FigureKind::Histogram, "x", v).unwrap();
        }
        let text = prometheus(&[("demo".to_owned(), f.all())]);
        for line in [
            "# TYPE plenum_plugin_seen counter",
            "plenum_plugin_seen{plugin=\"demo\",of=\"a\\\"b\"} 3.5",
            "plenum_plugin_level{plugin=\"demo\",of=\"x\"} -3",
            "plenum_plugin_took_bucket{plugin=\"demo\",of=\"x\",le=\"0.005\"} 1",
            "plenum_plugin_took_bucket{plugin=\"demo\",of=\"x\",le=\"0.25\"} 2",
            "plenum_plugin_took_bucket{plugin=\"demo\",of=\"x\",le=\"+Inf\"} 3",
            "plenum_plugin_took_count{plugin=\"demo\",of=\"x\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn labels_without_end_are_cut_and_mistakes_told() {
        let f = Figures::default();
        for n in 0..MAX_SERIES {
            take(&f, "seen", FigureKind::Counter, &n.to_string(), 1.0).unwrap();
        }
        assert_eq!(take(&f, "seen", FigureKind::Counter, "one more", 1.0).unwrap_err().0, "metrics.too_many");
        take(&f, "seen", FigureKind::Counter, "7", 1.0).unwrap();
        assert_eq!(take(&f, "seen", FigureKind::Gauge, "7", 1.0).unwrap_err().0, "metrics.kind");
        assert_eq!(take(&f, "seen", FigureKind::Counter, "7", -1.0).unwrap_err().0, "metrics.value");
        assert_eq!(take(&f, "seen", FigureKind::Counter, "7", f64::NAN).unwrap_err().0, "metrics.value");
        assert_eq!(take(&f, "Seen", FigureKind::Counter, "7", 1.0).unwrap_err().0, "metrics.name");
        assert_eq!(take(&f, "seen", FigureKind::Counter, &"x".repeat(121), 1.0).unwrap_err().0, "metrics.label");
        let twice = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert_eq!(f.take("seen".into(), FigureKind::Counter, twice, 1.0).unwrap_err().0, "metrics.label");
    }
}
