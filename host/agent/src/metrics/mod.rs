//! Metrics: looks at the machine, at endpoints and at services that the host names, kept in batches until the host has them.
//!
//! A look is taken every `metrics_s` whether or not the host is there. Some looks make a batch: it is compressed and put on the disk, and
//! goes when the host has acknowledged it. While the host is away batches pile up to a bound; then the oldest go, and are counted.

mod checks;
mod exposition;
mod machine;
mod store;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plenum_agent_protocol::v1::{self, MetricKind, Settings};
use prost::Message;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use store::Store;

use crate::engine::{lock, now_ms};

/// Samples of one look, whatever is asked for: bounds memory and messages.
const MOST_SAMPLES: usize = 10_000;
/// Scrapes and checks that are taken from the host's settings.
const MOST_TARGETS: usize = 50;

/// A value as one look found it.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: Cow<'static, str>,
    labels: Vec<(String, String)>,
    kind: MetricKind,
    value: f64,
}

/// What one look found.
#[derive(Debug, Default)]
struct Look {
    samples: Vec<Sample>,
}

impl Look {
    fn add(&mut self, name: impl Into<Cow<'static, str>>, labels: &[(&str, &str)], grows: bool, value: f64) {
        let kind = if grows { MetricKind::Counter } else { MetricKind::Gauge };
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.push(Sample { name: name.into(), labels, kind, value });
    }

    fn counter(&mut self, name: impl Into<Cow<'static, str>>, labels: &[(&str, &str)], value: f64) {
        self.add(name, labels, true, value);
    }

    fn gauge(&mut self, name: impl Into<Cow<'static, str>>, labels: &[(&str, &str)], value: f64) {
        self.add(name, labels, false, value);
    }

    fn push(&mut self, sample: Sample) {
        if self.samples.len() < MOST_SAMPLES {
            self.samples.push(sample);
        }
    }
}

/// Some looks, to become a [`v1::MetricBatch`].
#[derive(Debug, Default)]
struct Batch {
    times_ms: Vec<i64>,
    series: Vec<v1::MetricSeries>,
    index: HashMap<String, usize>,
    checks: Vec<v1::CheckResult>,
}

impl Batch {
    fn take(&mut self, look: Look, checks: Vec<v1::CheckResult>, at_ms: i64) {
        let before = self.times_ms.len();
        self.times_ms.push(at_ms);
        for sample in look.samples {
            let mut key = sample.name.clone().into_owned();
            for (name, value) in &sample.labels {
                key.extend(["\u{1}", name, "\u{2}", value]);
            }
            let place = *self.index.entry(key).or_insert_with(|| {
                let labels = sample.labels.into_iter().map(|(name, value)| v1::MetricLabel { name, value }).collect();
                let values = vec![f64::NAN; before];
                self.series.push(v1::MetricSeries { name: sample.name.into_owned(), labels, kind: sample.kind.into(), values });
                self.series.len() - 1
            });
            if let Some(series) = self.series.get_mut(place)
                && series.values.len() <= before
            {
                series.values.resize(before, f64::NAN);
                series.values.push(sample.value);
            }
        }
        self.checks = checks;
    }

    fn finish(mut self, dropped: u64) -> v1::MetricBatch {
        let looks = self.times_ms.len();
        for series in &mut self.series {
            series.values.resize(looks, f64::NAN);
        }
        v1::MetricBatch { times_ms: self.times_ms, series: self.series, checks: self.checks, dropped_batches: dropped }
    }
}

/// What the sampler is told, and where its batches go.
#[derive(Debug, Clone)]
pub struct Metrics {
    settings: Arc<watch::Sender<Settings>>,
    store: Arc<Store>,
    shared: Option<Arc<Shared>>,
}

/// One look at the machine for all agents of a simulated fleet: thousands of them must not read `/proc` each.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Option<(Instant, Vec<Sample>)>>);

impl Shared {
    /// The last look when it is young enough, else a new one.
    fn look(&self, period: Duration) -> Look {
        let mut last = lock(&self.0);
        let samples = match last.as_ref().filter(|(at, _)| at.elapsed() < period) {
            Some((_, samples)) => samples.clone(),
            None => {
                let samples = machine_now().samples;
                *last = Some((Instant::now(), samples.clone()));
                samples
            }
        };
        Look { samples }
    }
}

fn machine_now() -> Look {
    let mut look = Look::default();
    machine::look(Path::new("/"), &mut look);
    own(&mut look);
    look
}

impl Metrics {
    /// Metrics of an agent whose state is in `root`. `None` for the first settings until the host has sent some.
    #[must_use]
    pub fn open(root: &Path, settings: Settings, most_bytes: u64) -> Self {
        let store = Arc::new(Store::open(&root.join("metrics"), most_bytes));
        Self { settings: Arc::new(watch::Sender::new(settings)), store, shared: None }
    }

    /// Looks at the machine together with others.
    pub fn share(&mut self, shared: Arc<Shared>) {
        self.shared = Some(shared);
    }

    /// Batches that wait for the host.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// From now on it is to be done like this.
    pub fn set(&self, settings: Settings) {
        self.settings.send_if_modified(|now| {
            let changed = *now != settings;
            *now = settings;
            changed
        });
    }

    /// Looks until told to stop.
    pub async fn sample(self, stop: CancellationToken) {
        let mut changes = self.settings.subscribe();
        loop {
            let settings = changes.borrow_and_update().clone();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = self.sample_as(&settings) => {}
            }
        }
    }

    /// Looks as one set of settings says, for ever.
    async fn sample_as(&self, settings: &Settings) {
        if settings.metrics_s == 0 {
            return std::future::pending().await;
        }
        let period = Duration::from_secs(u64::from(settings.metrics_s.clamp(1, 3600)));
        let looks = (settings.metrics_send_s / settings.metrics_s).clamp(1, 60) as usize;
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Batch::default();
        // The first look goes at once: whoever has just added a machine wants to see it.
        let mut first = true;
        loop {
            ticks.tick().await;
            let at_ms = now_ms();
            let (look, checks) = look(settings, period, self.shared.clone()).await;
            batch.take(look, checks, at_ms);
            if first || batch.times_ms.len() >= looks {
                first = false;
                self.store.add(|dropped| std::mem::take(&mut batch).finish(dropped).encode_to_vec());
            }
        }
    }
}

/// One look at everything that the settings name. What is slow is given up before the next one.
async fn look(settings: &Settings, period: Duration, shared: Option<Arc<Shared>>) -> (Look, Vec<v1::CheckResult>) {
    let patience = period.min(Duration::from_secs(10));
    // A file system that hangs must not hold up the connection.
    let machine = tokio::task::spawn_blocking(move || shared.map_or_else(machine_now, |shared| shared.look(period)));
    let mut found = match tokio::time::timeout(patience, machine).await {
        Ok(Ok(look)) => look,
        _ => Look::default(),
    };
    let mut names = HashSet::new();
    for scrape in settings.scrapes.iter().take(MOST_TARGETS).filter(|scrape| names.insert(&scrape.name)) {
        exposition::scrape(scrape, patience, &mut found).await;
    }
    let mut results = Vec::new();
    names.clear();
    for check in settings.checks.iter().take(MOST_TARGETS).filter(|check| names.insert(&check.name)) {
        results.push(checks::check(check, patience, &mut found).await);
    }
    (found, results)
}

/// What the agent itself takes.
fn own(look: &mut Look) {
    if let Some(bytes) = crate::procfs::field_bytes("/proc/self/status", "VmRSS") {
        #[allow(clippy::cast_precision_loss)]
        look.gauge("plenum_agent_resident_memory_bytes", &[], bytes as f64);
    }
    if let Ok(usage) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF) {
        let seconds = |t: nix::sys::time::TimeVal| {
            #[allow(clippy::cast_precision_loss)]
            let seconds = t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
            seconds
        };
        look.counter("plenum_agent_cpu_seconds_total", &[], seconds(usage.user_time()) + seconds(usage.system_time()));
    }
    look.gauge("plenum_agent_info", &[("version", crate::VERSION)], 1.0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn looks_are_lined_up_and_gaps_are_no_numbers() {
        let mut batch = Batch::default();
        for (at, names) in [(1, vec!["a"]), (2, vec!["a", "b"]), (3, vec!["b"])] {
            let mut look = Look::default();
            for name in names {
                look.gauge(name, &[("l", "1")], f64::from(at));
                look.gauge(name, &[("l", "2")], f64::from(at) * 10.0);
            }
            batch.take(look, Vec::new(), i64::from(at));
        }
        let batch = batch.finish(4);
        assert_eq!((batch.times_ms.as_slice(), batch.dropped_batches, batch.series.len()), ([1, 2, 3].as_slice(), 4, 4));
        let b2 = batch.series.iter().find(|s| s.name == "b" && s.labels[0].value == "2").unwrap();
        assert!(b2.values[0].is_nan() && b2.values[1..] == [20.0, 30.0]);
        let a1 = batch.series.iter().find(|s| s.name == "a" && s.labels[0].value == "1").unwrap();
        assert!(a1.values[2].is_nan() && a1.values[..2] == [1.0, 2.0]);
    }

    #[tokio::test]
    async fn a_batch_is_there_at_once_and_new_settings_take_effect() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::open(dir.path(), Settings::default(), 1 << 20);
        let stop = CancellationToken::new();
        let task = tokio::spawn(metrics.clone().sample(stop.clone()));
        metrics.set(Settings { metrics_s: 1, metrics_send_s: 3600, ..Settings::default() });
        let (seq, data) = tokio::time::timeout(Duration::from_secs(30), metrics.store().after(0)).await.unwrap();
        assert_eq!(seq, 1);
        let batch = store::tests::unpack(&data).unwrap();
        assert!(batch.series.iter().any(|s| s.name == "node_load1" && s.values.len() == 1));
        assert!(batch.series.iter().any(|s| s.name == "plenum_agent_resident_memory_bytes"));
        stop.cancel();
        task.await.unwrap();
    }
}
