//! Which execution keys have run: an execution key runs once, even over a restart of the agent.
//!
//! A line is on the disk before a process is started, and a second one, with the outcome, before the host is told. The outcome stays when the
//! spool is gone, so that a `Run` which arrives late is answered instead of run.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plenum_agent_protocol::v1::Finished;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::state::sync_folder;

/// Keys remembered at most.
pub const MAX_KEYS: usize = 10_000;
/// And for this long.
pub const MAX_AGE_MS: i64 = 7 * 24 * 3600 * 1000;
/// The newest stay whatever the clock says: one that was set wrong for a moment must not make the agent forget what it ran this morning.
pub const KEPT_ALWAYS: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Line {
    /// When, milliseconds since 1970.
    t: i64,
    /// Key.
    k: String,
    /// Execution.
    e: String,
    /// Outcome: base64 of an encoded `Finished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    execution_id: String,
    at_ms: i64,
    // Encoded: a fifth of the size of the struct, times ten thousand.
    outcome: Option<Box<[u8]>>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The execution that used it.
    pub execution_id: String,
    /// How that ended, when it did.
    pub outcome: Option<Finished>,
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: HashMap<String, Entry>,
    // Oldest first, to forget in order.
    order: VecDeque<String>,
    lines: usize,
    // A line was cut off, by a full disk: the next one must not continue it, or both would be lost.
    torn: bool,
}

impl Journal {
    /// Reads the journal; a line that a crash cut off is skipped (its process was not started: that waits for the line to be complete).
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, now_ms: i64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        let mut journal = Self { path: path.to_path_buf(), file, entries: HashMap::new(), order: VecDeque::new(), lines: 0, torn: false };
        let reader = BufReader::new(File::open(path)?);
        for line in reader.split(b'\n') {
            journal.lines += 1;
            if let Ok(line) = serde_json::from_slice::<Line>(&line?) {
                journal.remember(line);
            }
        }
        journal.forget(now_ms);
        // Also ends a line that was cut off, so that the next one does not continue it.
        if let Err(error) = journal.compact() {
            // A full disk: an agent that is there and refuses with the reason is worth more than one that is not.
            tracing::warn!(%error, "cannot rewrite the journal; going on with the old one");
            journal.torn = true;
        }
        Ok(journal)
    }

    /// What is known of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Known> {
        let entry = self.entries.get(key)?;
        let outcome = entry.outcome.as_deref().and_then(|bytes| Finished::decode(bytes).ok());
        Some(Known { execution_id: entry.execution_id.clone(), outcome })
    }

    /// Records that a key is about to run. On the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written: then the process must not be started.
    pub fn starting(&mut self, key: &str, execution_id: &str, now_ms: i64) -> io::Result<()> {
        self.append(Line { t: now_ms, k: key.to_owned(), e: execution_id.to_owned(), o: None })
    }

    /// Records how it ended. On the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finished(&mut self, key: &str, outcome: &Finished, now_ms: i64) -> io::Result<()> {
        let encoded = BASE64.encode(outcome.encode_to_vec());
        self.append(Line { t: now_ms, k: key.to_owned(), e: outcome.execution_id.clone(), o: Some(encoded) })
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        let mut text = if self.torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
        self.torn = true;
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.torn = false;
        self.lines += 1;
        let now_ms = line.t;
        self.remember(line);
        if self.entries.len() > MAX_KEYS {
            self.forget(now_ms);
        }
        if self.lines > 4 * MAX_KEYS
            && let Err(error) = self.compact()
        {
            // The line itself is safe.
            tracing::warn!(%error, "cannot rewrite the journal; it grows until that works");
        }
        Ok(())
    }

    fn remember(&mut self, line: Line) {
        let outcome = line.o.and_then(|text| BASE64.decode(text).ok()).map(Vec::into_boxed_slice);
        if self.entries.insert(line.k.clone(), Entry { execution_id: line.e, at_ms: line.t, outcome }).is_none() {
            self.order.push_back(line.k);
        }
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some(oldest) = self.order.front() {
            let aged = self.entries.get(oldest).is_none_or(|entry| now_ms.saturating_sub(entry.at_ms) > MAX_AGE_MS);
            if self.entries.len() <= if aged { KEPT_ALWAYS } else { MAX_KEYS } {
                return;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    fn compact(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        for key in &self.order {
            let Some(entry) = self.entries.get(key) else { continue };
            let o = entry.outcome.as_deref().map(|bytes| BASE64.encode(bytes));
            serde_json::to_writer(&mut text, &Line { t: entry.at_ms, k: key.clone(), e: entry.execution_id.clone(), o })?;
            text.push(b'\n');
        }
        let temporary = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = self.order.len();
        // Or a power cut could bring the old file back, without what is appended to the new one from now on.
        sync_folder(&self.path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn keys_survive_a_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path, 0).unwrap();
        journal.starting("a", "e1", 1).unwrap();
        journal.finished("a", &Finished { execution_id: "e1".into(), exit_code: Some(3), ..Finished::default() }, 2).unwrap();
        journal.starting("b", "e2", 3).unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"t\":4,\"k\":\"c\"").unwrap();
        let mut journal = Journal::open(&path, 5).unwrap();
        journal.starting("d", "e4", 6).unwrap();
        drop(journal);
        let journal = Journal::open(&path, 7).unwrap();
        assert_eq!(journal.get("a").unwrap().outcome.unwrap().exit_code, Some(3));
        assert_eq!(journal.get("b").unwrap(), Known { execution_id: "e2".into(), outcome: None });
        assert!(journal.get("c").is_none());
        assert!(journal.get("d").is_some());
    }

    #[test]
    fn old_keys_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut text = String::new();
        for n in 0..=KEPT_ALWAYS {
            text.push_str(&format!("{{\"t\":1,\"k\":\"k{n}\",\"e\":\"e{n}\"}}\n"));
        }
        fs::write(&path, text).unwrap();
        assert!(Journal::open(&path, MAX_AGE_MS).unwrap().get("k0").is_some());
        let journal = Journal::open(&path, MAX_AGE_MS + 2).unwrap();
        assert!(journal.get("k0").is_none());
        assert!(journal.get("k1").is_some(), "the newest are kept even if the clock says that they are old");
    }
}
