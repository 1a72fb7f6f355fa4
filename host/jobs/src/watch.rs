//! An execution as it happens. A watcher reads from the database from where it stands and is only woken by what happens: so it can be as slow as it
//! likes without holding anything up, and nothing falls between what is stored and what is live.

use std::collections::VecDeque;

use futures::Stream;
use plenum_access::Principal;
use plenum_store::Value;

use crate::model::*;
use crate::{Jobs, JobsError, sql};

struct Watcher {
    jobs: Jobs,
    id: String,
    scope: WatchScope,
    cursor: WatchCursor,
    ready: VecDeque<(WatchCursor, WatchEvent)>,
    over: bool,
    /// Not before then is it to read again.
    next_look: Option<tokio::time::Instant>,
    /// What it last told of the whole.
    shown: Option<(Summary, Progress)>,
}

/// Nodes that a scope names.
const MAX_SCOPE: usize = 500;
/// From so many targets on, a watcher reads no oftener than `PAUSE`: thousands that end within a second are some reads, not thousands.
const MANY: u64 = 200;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(300);

impl Jobs {
    /// Output, targets and the execution itself, from `from` on; ends when the execution has ended.
    pub async fn watch_output(
        &self,
        who: &Principal,
        id: &str,
        from: WatchCursor,
        scope: WatchScope,
    ) -> Result<impl Stream<Item = Result<(WatchCursor, WatchEvent), JobsError>> + Send + use<>, JobsError> {
        self.inner.visible(who, id).await?;
        if [&scope.nodes, &scope.output].into_iter().flatten().any(|l| l.len() > MAX_SCOPE) {
            return Err(JobsError::invalid(
                "jobs.too_long",
                "nodes",
                format!("a watcher names at most {MAX_SCOPE} nodes; leave them out for all"),
            ));
        }
        let watcher = Watcher {
            jobs: self.clone(),
            id: id.to_owned(),
            scope,
            cursor: from,
            ready: VecDeque::new(),
            over: false,
            next_look: None,
            shown: None,
        };
        Ok(futures::stream::try_unfold(watcher, |mut w| async move {
            loop {
                if let Some(item) = w.ready.pop_front() {
                    return Ok(Some((item, w)));
                }
                if w.over {
                    return Ok(None);
                }
                w.fill().await?;
            }
        }))
    }
}

impl Watcher {
    /// Reads on; waits when there is nothing.
    async fn fill(&mut self) -> Result<(), JobsError> {
        let db = &self.jobs.inner.db;
        if let Some(at) = self.next_look.take() {
            tokio::time::sleep_until(at).await;
        }
        // Before the reading, so that what comes during it is noticed after.
        let mut registrations = self.jobs.inner.hub.registrations();
        let watch = self.jobs.inner.hub.watch(&self.id);
        let execution = self.jobs.find(&self.id).await?;
        let (of, mut values) = within(&self.scope.output);
        values.splice(0..0, [Value::from(&self.id), self.cursor.output.into()]);
        let sql = format!(
            "SELECT id, node_id, stream, start_at, data FROM job_output WHERE execution_id = ? AND id > ?{of} ORDER BY id LIMIT 64"
        );
        let rows = if self.scope.output.as_ref().is_some_and(Vec::is_empty) { Vec::new() } else { db.fetch_all(&sql, &values).await? };
        let full = rows.len() == 64;
        for r in rows {
            self.cursor.output = r.int("id")?;
            let event = WatchEvent::Output {
                node_id: r.text("node_id")?,
                stream: OutputStream::parse(&r.text("stream")?).unwrap_or(OutputStream::Stdout),
                offset: u64::try_from(r.int("start_at")?).unwrap_or(0),
                data: r.blob("data")?,
            };
            self.ready.push_back((self.cursor, event));
        }
        if full {
            // A target's end is not shown before its output.
            return Ok(());
        }
        let (of, mut values) = within(&self.scope.nodes);
        values.splice(0..0, [Value::from(&self.id), self.cursor.rev.into()]);
        let sql = format!("SELECT {} FROM job_targets WHERE execution_id = ? AND rev > ?{of} ORDER BY rev LIMIT 200", sql::TARGET);
        let rows = if self.scope.nodes.as_ref().is_some_and(Vec::is_empty) { Vec::new() } else { db.fetch_all(&sql, &values).await? };
        let changed = !rows.is_empty();
        for r in &rows {
            self.cursor.rev = r.int("rev")?;
            self.ready.push_back((self.cursor, WatchEvent::Target(Box::new(sql::target(r, &execution.progress)?))));
        }
        let more = rows.len() == 200;
        self.over = execution.status.is_final() && !more;
        if execution.summary.total > MANY && !more && !self.over {
            self.next_look = Some(tokio::time::Instant::now() + PAUSE);
        }
        // Also who hears of some targets only sees how all of them fare, and which batch is under way.
        let counted = (execution.summary.clone(), execution.progress.clone());
        let moved = self.shown.as_ref() != Some(&counted);
        self.shown = Some(counted);
        if changed || moved || self.over {
            self.ready.push_back((self.cursor, WatchEvent::Execution(Box::new(execution))));
        }
        if self.ready.is_empty() {
            match watch {
                Some((mut changed, done)) => tokio::select! {
                    _ = changed.changed() => {}
                    () = done.cancelled() => {}
                },
                // Not under way yet: it waits for approval, or is being written.
                None => {
                    let _ = registrations.changed().await;
                }
            }
        }
        Ok(())
    }
}

/// A condition on `node_id`, and its values.
fn within(nodes: &Option<Vec<String>>) -> (String, Vec<Value>) {
    match nodes {
        None => (String::new(), Vec::new()),
        Some(list) => (format!(" AND node_id IN ({})", vec!["?"; list.len()].join(", ")), list.iter().map(Value::from).collect()),
    }
}
