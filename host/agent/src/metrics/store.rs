//! Batches of metrics on the disk, until the host has them.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use prost::bytes::Bytes;
use tokio::sync::Notify;

use crate::engine::lock;

/// The batches of one agent.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    most_bytes: u64,
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    // Number and size, oldest first.
    batches: VecDeque<(u64, u64)>,
    bytes: u64,
    dropped: u64,
}

impl Store {
    /// Takes up what an earlier agent left. A folder that cannot be used costs the metrics, not the agent.
    #[must_use]
    pub fn open(folder: &Path, most_bytes: u64) -> Self {
        let mut waiting = Waiting::default();
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            tracing::warn!(folder = %folder.display(), %error, "metrics cannot be kept");
        }
        let mut found: Vec<(u64, u64)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.metadata().ok()?.len())))
            .collect();
        found.sort_unstable();
        waiting.last = found.last().map_or(0, |(seq, _)| *seq);
        waiting.bytes = found.iter().map(|(_, size)| size).sum();
        waiting.batches = found.into();
        Self { folder: folder.to_path_buf(), most_bytes, waiting: Mutex::new(waiting), added: Notify::new() }
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.folder.join(seq.to_string())
    }

    /// Keeps a batch, which is told how many were dropped since the last one that was kept.
    pub(super) fn add(&self, batch: impl FnOnce(u64) -> Vec<u8>) {
        let mut waiting = lock(&self.waiting);
        let seq = waiting.last + 1;
        let written = pack(&batch(waiting.dropped)).and_then(|data| {
            // Not synced: a power cut may cost a minute of metrics, a sync a minute costs every disk.
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.path(seq))?;
            file.write_all(&data)?;
            Ok(data.len() as u64)
        });
        match written {
            Ok(size) => {
                waiting.last = seq;
                waiting.dropped = 0;
                waiting.batches.push_back((seq, size));
                waiting.bytes += size;
            }
            Err(error) => {
                let _ = fs::remove_file(self.path(seq));
                waiting.dropped += 1;
                tracing::debug!(%error, "a batch of metrics could not be kept");
            }
        }
        while waiting.bytes > self.most_bytes && waiting.batches.len() > 1 {
            if let Some((oldest, size)) = waiting.batches.pop_front() {
                let _ = fs::remove_file(self.path(oldest));
                waiting.bytes -= size;
                waiting.dropped += 1;
            }
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// The first batch after `seq`, once there is one.
    pub async fn after(&self, seq: u64) -> (u64, Bytes) {
        loop {
            let next = lock(&self.waiting).batches.iter().map(|(s, _)| *s).find(|s| *s > seq);
            match next.map(|next| (next, fs::read(self.path(next)))) {
                Some((next, Ok(data))) => return (next, data.into()),
                // Somebody removed it.
                Some((next, Err(_))) => self.acknowledge_one(next),
                None => self.added.notified().await,
            }
        }
    }

    fn acknowledge_one(&self, seq: u64) {
        let mut waiting = lock(&self.waiting);
        if let Some(place) = waiting.batches.iter().position(|(s, _)| *s == seq)
            && let Some((_, size)) = waiting.batches.remove(place)
        {
            waiting.bytes -= size;
        }
    }

    /// The host has all up to `seq`.
    pub fn acknowledge(&self, seq: u64) {
        let mut waiting = lock(&self.waiting);
        while let Some((oldest, size)) = waiting.batches.front().copied().filter(|(oldest, _)| *oldest <= seq) {
            waiting.batches.pop_front();
            waiting.bytes -= size;
            let _ = fs::remove_file(self.path(oldest));
        }
    }

    /// Batches and bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, u64) {
        let waiting = lock(&self.waiting);
        (waiting.batches.len(), waiting.bytes)
    }
}

fn pack(batch: &[u8]) -> io::Result<Vec<u8>> {
    // The fastest level: it takes four fifths off already, and a window of the best one would be a megabyte of memory.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(batch)?;
    encoder.finish()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use flate2::read::ZlibDecoder;
    use plenum_agent_protocol::v1::MetricBatch;
    use prost::Message;

    use super::*;

    /// Reads a batch as the host does.
    pub fn unpack(data: &[u8]) -> io::Result<MetricBatch> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut ZlibDecoder::new(data), &mut bytes)?;
        MetricBatch::decode(bytes.as_slice()).map_err(io::Error::other)
    }

    fn batch(n: i64) -> impl FnOnce(u64) -> Vec<u8> {
        move |dropped| MetricBatch { times_ms: vec![n], dropped_batches: dropped, ..MetricBatch::default() }.encode_to_vec()
    }

    #[tokio::test]
    async fn batches_survive_a_restart_and_go_when_they_are_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("m"), 1 << 20);
        (1..=3).for_each(|n| store.add(batch(n)));
        drop(store);
        let store = Store::open(&dir.path().join("m"), 1 << 20);
        let (seq, data) = store.after(0).await;
        assert_eq!((seq, unpack(&data).unwrap().times_ms), (1, vec![1]));
        store.acknowledge(2);
        assert_eq!(store.after(0).await.0, 3);
        assert_eq!(store.waiting().0, 1);
        store.add(batch(4));
        assert_eq!(store.after(3).await.0, 4);
        store.acknowledge(9);
        assert_eq!(store.waiting(), (0, 0));
        assert_eq!(fs::read_dir(dir.path().join("m")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn beyond_its_bound_the_oldest_go_and_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 40);
        (1..=20).for_each(|n| store.add(batch(n)));
        assert!(store.waiting().1 <= 40);
        let (first, _) = store.after(0).await;
        assert!(first > 10);
        let (seq, data) = store.after(19).await;
        assert_eq!((seq, unpack(&data).unwrap().dropped_batches > 0), (20, true));
    }
}
