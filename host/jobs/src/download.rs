//! A whole execution as one tar, made as fast as it is read: nothing of it is kept in memory but the piece that is on its way.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::Stream;
use plenum_access::Principal;
use plenum_store::params;
use serde_json::json;

use crate::model::*;
use crate::{Jobs, JobsError, plan, sql};

/// Targets that are looked up at once, and bytes of output that are read at once.
const PAGE: i64 = 100;
const PIECE: u64 = 1024 * 1024;

enum Next {
    Bytes(Bytes),
    /// So much of a target's stream.
    Output {
        node: String,
        stream: OutputStream,
        from: u64,
        to: u64,
    },
    /// Zeros up to the block's end.
    Pad(u64),
}

struct Download {
    jobs: Jobs,
    execution: Execution,
    queue: VecDeque<Next>,
    /// The ordinal after which to go on.
    after: i64,
    over: bool,
}

/// A name that is one folder on every system.
fn folder(ordinal: i64, name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).take(60).collect();
    format!("{:05}-{clean}", ordinal + 1)
}

fn header(path: &str, size: u64, at: i64) -> Result<Bytes, JobsError> {
    let mut h = tar::Header::new_gnu();
    let bad = |e: std::io::Error| JobsError::invalid("jobs.bad_name", "", e.to_string());
    h.set_path(path).map_err(bad)?;
    h.set_size(size);
    h.set_mode(0o644);
    h.set_mtime(u64::try_from(at / 1000).unwrap_or(0));
    h.set_cksum();
    Ok(Bytes::copy_from_slice(h.as_bytes()))
}

impl Jobs {
    /// An execution with all results and outputs as a tar: `execution.json`, and for each target a folder with `result.json`, `stdout` and `stderr`.
    /// Of one that is not finished it holds what is there when a target's turn comes.
    pub async fn download(
        &self,
        who: &Principal,
        id: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, JobsError>> + Send + use<>, JobsError> {
        let execution = self.inner.visible(who, id).await?;
        let mut d = Download { jobs: self.clone(), queue: VecDeque::new(), after: -1, over: false, execution };
        let about = serde_json::to_vec_pretty(&d.execution).map_err(|e| JobsError::invalid("jobs.bad_request", "", e.to_string()))?;
        d.file("execution.json", about)?;
        Ok(futures::stream::try_unfold(d, |mut d| async move { Ok(d.next().await?.map(|bytes| (bytes, d))) }))
    }
}

impl Download {
    fn file(&mut self, path: &str, data: Vec<u8>) -> Result<(), JobsError> {
        let size = data.len() as u64;
        self.queue.push_back(Next::Bytes(header(path, size, self.execution.created_at)?));
        self.queue.push_back(Next::Bytes(data.into()));
        self.queue.push_back(Next::Pad(size));
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, JobsError> {
        loop {
            match self.queue.pop_front() {
                Some(Next::Bytes(b)) if b.is_empty() => {}
                Some(Next::Bytes(b)) => return Ok(Some(b)),
                Some(Next::Pad(size)) => {
                    let rest = usize::try_from((512 - size % 512) % 512).unwrap_or(0);
                    if rest > 0 {
                        return Ok(Some(Bytes::from(vec![0; rest])));
                    }
                }
                Some(Next::Output { node, stream, from, to }) if from < to => {
                    let want = PIECE.min(to - from);
                    let mut data = sql::read_output(&self.jobs.inner.db, &self.execution.id, &node, stream, from, want).await?;
                    // The header has promised so many bytes. Retention may have taken the output away meanwhile.
                    data.resize(usize::try_from(want).unwrap_or(0), 0);
                    self.queue.push_front(Next::Output { node, stream, from: from + want, to });
                    return Ok(Some(data.into()));
                }
                Some(Next::Output { .. }) => {}
                None if self.over => return Ok(None),
                None => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), JobsError> {
        let sql = format!("SELECT {} FROM job_targets WHERE execution_id = ? AND ordinal > ? ORDER BY ordinal LIMIT ?", sql::TARGET);
        let rows = self.jobs.inner.db.fetch_all(&sql, params![&self.execution.id, self.after, PAGE]).await?;
        if rows.is_empty() {
            // A tar ends with two empty blocks.
            self.over = true;
            self.queue.push_back(Next::Bytes(Bytes::from_static(&[0; 1024])));
        }
        for r in &rows {
            self.after = r.int("ordinal")?;
            let t = sql::target(r, &self.execution.progress)?;
            let folder = folder(self.after, &t.node_name);
            let fault = plan::fault::fault(t.status, t.code.as_deref());
            let about = json!({"node_id": t.node_id, "node_name": t.node_name, "instances": t.instances, "status": t.status, "fault": fault,
                "exit_code": t.exit_code, "signal": t.signal, "code": t.code, "message": t.message, "started_at": t.started_at,
                "finished_at": t.finished_at, "duration_ms": t.duration_ms, "stdout_bytes": t.stdout_bytes, "stderr_bytes": t.stderr_bytes,
                "truncated_bytes": t.truncated_bytes, "result": t.result, "result_error": t.result_error});
            self.file(&format!("{folder}/result.json"), format!("{about:#}\n").into_bytes())?;
            for (stream, column) in [(OutputStream::Stdout, "stored_stdout"), (OutputStream::Stderr, "stored_stderr")] {
                let size = u64::try_from(r.int(column)?).unwrap_or(0);
                if size > 0 {
                    self.queue.push_back(Next::Bytes(header(&format!("{folder}/{}", stream.as_str()), size, self.execution.created_at)?));
                    self.queue.push_back(Next::Output { node: t.node_id.clone(), stream, from: 0, to: size });
                    self.queue.push_back(Next::Pad(size));
                }
            }
        }
        Ok(())
    }
}
