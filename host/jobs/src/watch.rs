//! An execution as it happens. A watcher reads from the database from where it stands and is only woken by what happens: so it can be as slow as it
//! likes without holding anything up, and nothing falls between what is stored and what is live.

use std::collections::VecDeque;

use futures::Stream;
use plenum_access::Principal;
use plenum_store::params;

use crate::model::*;
use crate::{Jobs, JobsError, sql};

struct Watcher {
    jobs: Jobs,
    id: String,
    cursor: WatchCursor,
    ready: VecDeque<(WatchCursor, WatchEvent)>,
    over: bool,
}

impl Jobs {
    /// Output, targets and the execution itself, from `from` on; ends when the execution has ended.
    pub async fn watch_output(
        &self,
        who: &Principal,
        id: &str,
        from: WatchCursor,
    ) -> Result<impl Stream<Item = Result<(WatchCursor, WatchEvent), JobsError>> + Send + use<>, JobsError> {
        self.inner.visible(who, id).await?;
        let watcher = Watcher { jobs: self.clone(), id: id.to_owned(), cursor: from, ready: VecDeque::new(), over: false };
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
        // Before the reading, so that what comes during it is noticed after.
        let watch = self.jobs.inner.hub.watch(&self.id);
        let execution = self.jobs.find(&self.id).await?;
        let rows = db
            .fetch_all(
                "SELECT id, node_id, stream, start_at, data FROM job_output WHERE execution_id = ? AND id > ? ORDER BY id LIMIT 64",
                params![&self.id, self.cursor.output],
            )
            .await?;
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
        let sql = format!("SELECT {} FROM job_targets WHERE execution_id = ? AND rev > ? ORDER BY rev LIMIT 200", sql::TARGET);
        let rows = db.fetch_all(&sql, params![&self.id, self.cursor.rev]).await?;
        let changed = !rows.is_empty();
        for r in &rows {
            self.cursor.rev = r.int("rev")?;
            self.ready.push_back((self.cursor, WatchEvent::Target(Box::new(sql::target(r)?))));
        }
        let more = rows.len() == 200;
        self.over = execution.status.is_final() && !more;
        if changed || self.over {
            self.ready.push_back((self.cursor, WatchEvent::Execution(Box::new(execution))));
        }
        if self.ready.is_empty()
            && let Some((mut changed, done)) = watch
        {
            tokio::select! {
                _ = changed.changed() => {}
                () = done.cancelled() => {}
            }
        }
        Ok(())
    }
}
