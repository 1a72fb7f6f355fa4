//! The plugins' logs: the last lines of each in memory, and in one bounded file each.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For the author.
    Debug,
    /// What happens.
    Info,
    /// What should not.
    Warn,
    /// What failed.
    Error,
}

/// A line of a plugin's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// How much it matters.
    pub level: Level,
    /// The call that wrote it.
    pub call: String,
    /// What.
    pub message: String,
    /// A JSON object, or null.
    pub fields: serde_json::Value,
}

/// Which lines of a log.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// At least so grave.
    pub level: Level,
    /// A text of the message or the fields, ignoring case, or the id of a call; empty for all.
    pub search: String,
    /// Those of one call.
    pub call: Option<String>,
    /// From this time on, milliseconds since the Unix epoch.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// So many; at most 2,000.
    pub limit: usize,
}

impl Default for LogQuery {
    fn default() -> Self {
        LogQuery { level: Level::Debug, search: String::new(), call: None, since: None, until: None, limit: 200 }
    }
}

/// Lines kept of each plugin.
const KEPT: usize = 2_000;
/// A file beyond this is cut to the kept lines.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// What somebody hears who follows a log.
#[derive(Debug, Clone)]
pub enum LogNews {
    /// Lines that were written, oldest first.
    Lines(Arc<Vec<Line>>),
    /// More was written than could be handed on: the log has it.
    Missed,
}

/// News that wait for one who is slow to hear them.
const NEWS: usize = 256;

/// All logs.
#[derive(Debug)]
pub struct Logs {
    dir: PathBuf,
    news: broadcast::Sender<(Arc<str>, Arc<Vec<Line>>)>,
    kept: Mutex<HashMap<String, VecDeque<Line>>>,
}

impl Logs {
    /// In `dir`.
    pub fn new(dir: PathBuf) -> std::io::Result<Logs> {
        std::fs::create_dir_all(&dir)?;
        Ok(Logs { dir, news: broadcast::Sender::new(NEWS), kept: Mutex::default() })
    }

    fn file(&self, plugin: &str) -> PathBuf {
        self.dir.join(format!("{plugin}.jsonl"))
    }

    fn read(&self, plugin: &str) -> VecDeque<Line> {
        let text = std::fs::read_to_string(self.file(plugin)).unwrap_or_default();
        let mut lines: VecDeque<Line> = text.lines().rev().take(KEPT).filter_map(|l| serde_json::from_str(l).ok()).collect();
        lines.make_contiguous().reverse();
        lines
    }

    /// What is written to a plugin's log from now on.
    pub fn follow(&self, plugin: &str) -> impl Stream<Item = LogNews> + Send + use<> {
        let plugin: Arc<str> = plugin.into();
        futures::stream::unfold((self.news.subscribe(), plugin), |(mut news, plugin)| async move {
            loop {
                match news.recv().await {
                    Ok((of, lines)) if of == plugin => return Some((LogNews::Lines(lines), (news, plugin))),
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => return Some((LogNews::Missed, (news, plugin))),
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
    }

    /// Adds lines.
    pub fn append(&self, plugin: &str, lines: Vec<Line>) {
        if self.news.receiver_count() > 0 {
            let _ = self.news.send((plugin.into(), Arc::new(lines.clone())));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = kept.entry(plugin.to_owned()).or_insert_with(|| self.read(plugin));
        let mut text = String::new();
        for l in lines {
            if let Ok(json) = serde_json::to_string(&l) {
                text.push_str(&json);
                text.push('\n');
            }
            ring.push_back(l);
        }
        while ring.len() > KEPT {
            ring.pop_front();
        }
        let path = self.file(plugin);
        let large = std::fs::metadata(&path).is_ok_and(|m| m.len() > MAX_FILE);
        let result = if large {
            let all: Vec<String> = ring.iter().filter_map(|l| serde_json::to_string(l).ok()).collect();
            std::fs::write(&path, all.join("\n") + "\n")
        } else {
            std::fs::OpenOptions::new().create(true).append(true).open(&path).and_then(|mut f| f.write_all(text.as_bytes()))
        };
        if let Err(e) = result {
            tracing::warn!(plugin, error = %e, "the plugin's log cannot be written");
        }
    }

    /// The newest lines first, of those that the query wants.
    pub fn tail(&self, plugin: &str, q: &LogQuery) -> Vec<Line> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = kept.entry(plugin.to_owned()).or_insert_with(|| self.read(plugin));
        let wanted = q.search.to_lowercase();
        let fits = |l: &&Line| {
            l.level >= q.level
                && q.since.is_none_or(|t| l.at >= t)
                && q.until.is_none_or(|t| l.at < t)
                && q.call.as_ref().is_none_or(|c| l.call == *c)
                && (wanted.is_empty()
                    || l.call == q.search
                    || l.message.to_lowercase().contains(&wanted)
                    || l.fields.to_string().to_lowercase().contains(&wanted))
        };
        ring.iter().rev().filter(fits).take(q.limit.min(KEPT)).cloned().collect()
    }

    /// Removes a plugin's log.
    pub fn remove(&self, plugin: &str) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
        let _ = std::fs::remove_file(self.file(plugin));
    }
}
