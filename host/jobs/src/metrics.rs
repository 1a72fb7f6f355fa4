//! The last values of nodes' metrics, in memory: what the portal shows of a node now and in the last half hour.
//!
//! Of each node the newest batch is kept as it came, compressed, and unpacked when somebody asks; and of a few values a short history. So ten
//! thousand nodes are some hundred megabytes at the most, and a restart of the host costs half an hour of small charts. It is no store of
//! metrics.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use plenum_access::{Permission, Principal};
use plenum_agent_protocol::v1;
use plenum_store::now_ms;
use prost::Message;

use crate::{Jobs, JobsError};

/// Nodes that are remembered; the one that was heard of longest ago goes first.
const MOST_NODES: usize = 20_000;
/// Points of each history: half an hour at the usual pace.
const MOST_POINTS: usize = 120;
/// A batch as it comes, and unpacked.
const MOST_PACKED: usize = 2 * 1024 * 1024;
const MOST_UNPACKED: u64 = 16 * 1024 * 1024;
/// Samples that are shown of one node.
const MOST_SAMPLES: usize = 10_000;
/// A clock that was set back by more than this starts a history anew.
const CLOCK_SET_BACK_MS: i64 = 3_600_000;

/// What a node did at one moment. NaN where it is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, by the node's clock.
    pub at_ms: i64,
    /// Share of its processors that was busy, 0 to 1.
    pub cpu: f32,
    /// Share of its memory that was not available, 0 to 1.
    pub memory: f32,
    /// Share that was used of its fullest file system, 0 to 1.
    pub disk: f32,
    /// Bytes a second read from its disks.
    pub disk_read: f32,
    /// Bytes a second written to its disks.
    pub disk_write: f32,
    /// Bytes a second received, without the loopback.
    pub network_in: f32,
    /// Bytes a second sent, without the loopback.
    pub network_out: f32,
    /// Load of the last minute.
    pub load_1m: f32,
}

/// A metric's last value.
#[derive(Debug, Clone)]
pub struct LastValue {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// `counter`, `gauge` or `untyped`.
    pub kind: &'static str,
    /// Its value.
    pub value: f64,
}

/// How a check ended.
#[derive(Debug, Clone)]
pub struct CheckState {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its target.
    pub target: String,
    /// Whether all is well.
    pub ok: bool,
    /// What was found.
    pub message: String,
    /// When, by the node's clock.
    pub at_ms: i64,
}

/// What is known of a node's metrics.
#[derive(Debug, Clone)]
pub struct NodeMetrics {
    /// When the last batch came, by the host's clock.
    pub received_at: i64,
    /// The last values.
    pub values: Vec<LastValue>,
    /// The checks.
    pub checks: Vec<CheckState>,
    /// The last half hour.
    pub points: Vec<Point>,
    /// Batches that the agent dropped since the host started, for want of disk.
    pub dropped_batches: u64,
}

/// Sums of counters, from which rates are made.
#[derive(Debug, Clone, Copy)]
struct Counters {
    at_ms: i64,
    busy: f64,
    idle: f64,
    read: f64,
    written: f64,
    received: f64,
    sent: f64,
}

#[derive(Debug, Default)]
struct Kept {
    received_at: i64,
    latest: Bytes,
    points: VecDeque<Point>,
    before: Option<Counters>,
    dropped: u64,
}

/// The last values of all nodes.
#[derive(Debug, Default)]
pub(crate) struct LastValues(Mutex<HashMap<String, Kept>>);

fn unpack(data: &[u8]) -> Result<v1::MetricBatch, String> {
    if data.len() > MOST_PACKED {
        return Err(format!("{} bytes are too many", data.len()));
    }
    let mut bytes = Vec::new();
    ZlibDecoder::new(data).take(MOST_UNPACKED + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MOST_UNPACKED {
        return Err("it is too large unpacked".to_owned());
    }
    v1::MetricBatch::decode(bytes.as_slice()).map_err(|e| e.to_string())
}

impl LastValues {
    /// Takes a batch of a node. What is wrong with it is said, and it is not kept.
    pub fn take(&self, node: &str, data: Bytes) -> Result<(), String> {
        let batch = unpack(&data)?;
        if !batch.times_ms.is_sorted() || batch.series.iter().any(|s| s.values.len() > batch.times_ms.len()) {
            return Err("its values and times do not fit together".to_owned());
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(node) && all.len() >= MOST_NODES {
            let oldest = all.iter().min_by_key(|(_, kept)| kept.received_at).map(|(node, _)| node.clone());
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        let kept = all.entry(node.to_owned()).or_default();
        kept.received_at = now_ms();
        kept.dropped += batch.dropped_batches;
        if let (Some(first), Some(last)) = (batch.times_ms.first(), kept.points.back())
            && *first < last.at_ms - CLOCK_SET_BACK_MS
        {
            kept.points.clear();
            kept.before = None;
        }
        let mut news = false;
        for (i, at_ms) in batch.times_ms.iter().enumerate() {
            // Sent again, since the acknowledgement was lost.
            if kept.points.back().is_some_and(|last| *at_ms <= last.at_ms) {
                continue;
            }
            news = true;
            let (point, counters) = point(&batch, i, *at_ms, kept.before);
            kept.before = Some(counters);
            if kept.points.len() >= MOST_POINTS {
                kept.points.pop_front();
            }
            kept.points.push_back(point);
        }
        if news || kept.latest.is_empty() {
            kept.latest = data;
        }
        Ok(())
    }

    pub fn forget(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    fn of(&self, node: &str) -> Option<NodeMetrics> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get(node)?;
        let (received_at, latest, points) = (kept.received_at, kept.latest.clone(), kept.points.iter().copied().collect());
        let dropped_batches = kept.dropped;
        drop(all);
        let batch = unpack(&latest).ok()?;
        let value = |s: v1::MetricSeries| {
            let kind = match s.kind() {
                v1::MetricKind::Counter => "counter",
                v1::MetricKind::Gauge => "gauge",
                v1::MetricKind::Unspecified => "untyped",
            };
            let value = s.values.last().copied().filter(|v| !v.is_nan())?;
            Some(LastValue { labels: s.labels.into_iter().map(|l| (l.name, l.value)).collect(), name: s.name, kind, value })
        };
        let check =
            |c: v1::CheckResult| CheckState { name: c.name, kind: c.kind, target: c.target, ok: c.ok, message: c.message, at_ms: c.at_ms };
        let mut values: Vec<LastValue> = batch.series.into_iter().filter_map(value).take(MOST_SAMPLES).collect();
        values.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
        Some(NodeMetrics { received_at, values, checks: batch.checks.into_iter().map(check).collect(), points, dropped_batches })
    }
}

/// One look of a batch as a point, and the counters for the next.
fn point(batch: &v1::MetricBatch, i: usize, at_ms: i64, before: Option<Counters>) -> (Point, Counters) {
    let mut now = Counters { at_ms, busy: 0.0, idle: 0.0, read: 0.0, written: 0.0, received: 0.0, sent: 0.0 };
    let (mut total, mut available, mut load) = (f64::NAN, f64::NAN, f64::NAN);
    // Of file systems: size, available and free bytes by mount point.
    let mut disks: HashMap<&str, [f64; 3]> = HashMap::new();
    for s in &batch.series {
        let Some(value) = s.values.get(i).copied().filter(|v| v.is_finite()) else { continue };
        let label = |name: &str| s.labels.iter().find(|l| l.name == name).map_or("", |l| l.value.as_str());
        match s.name.as_str() {
            "node_cpu_seconds_total" if matches!(label("mode"), "idle" | "iowait") => now.idle += value,
            "node_cpu_seconds_total" => now.busy += value,
            "node_memory_MemTotal_bytes" => total = value,
            "node_memory_MemAvailable_bytes" => available = value,
            "node_load1" => load = value,
            // What stands on a disk is counted with the disk.
            "node_disk_read_bytes_total" if !is_layer(label("device")) => now.read += value,
            "node_disk_written_bytes_total" if !is_layer(label("device")) => now.written += value,
            "node_network_receive_bytes_total" if is_card(label("device")) => now.received += value,
            "node_network_transmit_bytes_total" if is_card(label("device")) => now.sent += value,
            "node_filesystem_size_bytes" if is_disk(s) => disks.entry(label("mountpoint")).or_default()[0] = value,
            "node_filesystem_avail_bytes" if is_disk(s) => disks.entry(label("mountpoint")).or_default()[1] = value,
            "node_filesystem_free_bytes" if is_disk(s) => disks.entry(label("mountpoint")).or_default()[2] = value,
            _ => {}
        }
    }
    // As `df` counts: what only root may use is neither used nor available.
    let used = |[size, available, free]: &[f64; 3]| {
        let used = size - free;
        (used + available > 0.0).then(|| used / (used + available))
    };
    let disk = disks.values().filter_map(used).fold(f64::NAN, f64::max);
    let rate = |of: fn(&Counters) -> f64| match before {
        Some(before) if at_ms > before.at_ms => {
            let grown = of(&now) - of(&before);
            // A counter that starts again: after a boot, or a card that went.
            #[allow(clippy::cast_precision_loss)]
            let rate = if grown < 0.0 { f64::NAN } else { grown * 1000.0 / (at_ms - before.at_ms) as f64 };
            rate
        }
        _ => f64::NAN,
    };
    let (busy, idle) = (rate(|c| c.busy), rate(|c| c.idle));
    let cpu = if busy + idle > 0.0 { busy / (busy + idle) } else { f64::NAN };
    #[allow(clippy::cast_possible_truncation)]
    let small = |v: f64| v as f32;
    let point = Point {
        at_ms,
        cpu: small(cpu),
        memory: small((total - available) / total),
        disk: small(disk),
        disk_read: small(rate(|c| c.read)),
        disk_write: small(rate(|c| c.written)),
        network_in: small(rate(|c| c.received)),
        network_out: small(rate(|c| c.sent)),
        load_1m: small(load),
    };
    (point, now)
}

fn is_layer(device: &str) -> bool {
    ["dm-", "md", "drbd", "bcache"].iter().any(|prefix| device.starts_with(prefix))
}

/// Cards that carry what leaves the machine: bridges and containers' ends would count it again.
fn is_card(device: &str) -> bool {
    device != "lo"
        && !["veth", "docker", "br-", "virbr", "cni", "cali", "flannel", "tap", "ifb", "vnet"].iter().any(|p| device.starts_with(p))
}

fn is_disk(series: &v1::MetricSeries) -> bool {
    !series.labels.iter().any(|l| l.name == "fstype" && matches!(l.value.as_str(), "tmpfs" | "ramfs" | "vfat"))
}

impl Jobs {
    /// The last values of a node's metrics; none when none have come since the host started.
    pub async fn node_metrics(&self, who: &Principal, id: &str) -> Result<Option<NodeMetrics>, JobsError> {
        self.inner.access.require(who, Permission::NodesRead, &[]).await?;
        self.inner.find_node(id).await?;
        Ok(self.inner.metrics.of(id))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use std::io::Write;

    use super::*;

    fn series(name: &str, labels: &[(&str, &str)], values: &[f64]) -> v1::MetricSeries {
        let labels = labels.iter().map(|(n, v)| v1::MetricLabel { name: (*n).into(), value: (*v).into() }).collect();
        v1::MetricSeries { name: name.into(), labels, kind: 1, values: values.to_vec() }
    }

    fn pack(batch: &v1::MetricBatch) -> Bytes {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&batch.encode_to_vec()).unwrap();
        encoder.finish().unwrap().into()
    }

    fn batch(start_s: i64) -> v1::MetricBatch {
        let s = |n: i64| [start_s as f64 * n as f64, (start_s + 10) as f64 * n as f64];
        v1::MetricBatch {
            times_ms: vec![start_s * 1000, (start_s + 10) * 1000],
            series: vec![
                series("node_cpu_seconds_total", &[("mode", "user")], &[start_s as f64 * 0.5, (start_s + 10) as f64 * 0.5]),
                series("node_cpu_seconds_total", &[("mode", "idle")], &[start_s as f64 * 1.5, (start_s + 10) as f64 * 1.5]),
                series("node_memory_MemTotal_bytes", &[], &[1000.0, 1000.0]),
                series("node_memory_MemAvailable_bytes", &[], &[400.0, 250.0]),
                series("node_load1", &[], &[0.5, f64::NAN]),
                series("node_network_receive_bytes_total", &[("device", "eth0")], &s(100)),
                series("node_network_receive_bytes_total", &[("device", "lo")], &s(100_000)),
                series("node_disk_written_bytes_total", &[("device", "vda")], &s(7)),
                series("node_disk_written_bytes_total", &[("device", "dm-0")], &s(7)),
                series("node_filesystem_size_bytes", &[("mountpoint", "/"), ("fstype", "ext4")], &[100.0, 100.0]),
                series("node_filesystem_free_bytes", &[("mountpoint", "/"), ("fstype", "ext4")], &[20.0, 20.0]),
                series("node_filesystem_avail_bytes", &[("mountpoint", "/"), ("fstype", "ext4")], &[20.0, 20.0]),
                series("node_filesystem_size_bytes", &[("mountpoint", "/run"), ("fstype", "tmpfs")], &[1.0, 1.0]),
            ],
            checks: vec![v1::CheckResult { name: "c".into(), ok: false, message: "gone".into(), ..Default::default() }],
            dropped_batches: 2,
        }
    }

    #[test]
    fn rates_shares_and_last_values() {
        let last = LastValues::default();
        last.take("n", pack(&batch(100))).unwrap();
        last.take("n", pack(&batch(120))).unwrap();
        // Again: nothing new.
        last.take("n", pack(&batch(120))).unwrap();
        let found = last.of("n").unwrap();
        assert_eq!(found.points.iter().map(|p| p.at_ms).collect::<Vec<_>>(), [100_000, 110_000, 120_000, 130_000]);
        assert!(found.points[0].cpu.is_nan() && found.points[0].network_in.is_nan());
        let p = found.points[3];
        assert_eq!((p.cpu, p.memory, p.disk, p.disk_write, p.network_in), (0.25, 0.75, 0.8, 7.0, 100.0));
        assert!(p.load_1m.is_nan());
        assert!(!found.values.iter().any(|v| v.name == "node_load1"), "it was not there in the last look");
        assert_eq!(found.values.iter().find(|v| v.name == "node_memory_MemAvailable_bytes").unwrap().value, 250.0);
        assert_eq!((found.checks[0].message.as_str(), found.dropped_batches), ("gone", 6));
        assert!(last.of("other").is_none());
    }

    #[test]
    fn what_is_damaged_is_refused_and_history_is_bounded() {
        let last = LastValues::default();
        assert!(last.take("n", Bytes::from_static(b"rubbish")).is_err());
        let bomb = pack(&v1::MetricBatch { series: vec![series(&"x".repeat(17 << 20), &[], &[])], ..Default::default() });
        assert!(bomb.len() < MOST_PACKED);
        assert!(last.take("n", bomb).is_err());
        assert!(last.take("n", pack(&v1::MetricBatch { times_ms: vec![2, 1], ..Default::default() })).is_err());
        assert!(last.of("n").is_none());
        (0..200).for_each(|n| last.take("n", pack(&batch(1000 + n * 20))).unwrap());
        assert_eq!(last.of("n").unwrap().points.len(), MOST_POINTS);
        // The clock was set back by a day: a new history, not an empty chart for a day.
        last.take("n", pack(&batch(10))).unwrap();
        assert_eq!(last.of("n").unwrap().points.len(), 2);
        last.forget("n");
        assert!(last.of("n").is_none());
    }
}
