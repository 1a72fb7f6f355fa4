//! Thousands of results as a few: targets that ended the same way and printed the same, and what of them holds a text.

use plenum_access::Principal;
use plenum_store::{Value, params};

use crate::model::*;
use crate::{Jobs, JobsError, plan, sql};

/// Groups that are told apart; the rest is counted.
const MAX_GROUPS: u32 = 200;
/// Targets that one page of a search reads, and their bytes: what it costs is bounded, however much was printed.
const SEARCH_TARGETS: i64 = 500;
const SEARCH_BYTES: i64 = 16 * 1024 * 1024;
/// Lines shown of one target, and how much of each.
const SEARCH_LINES: usize = 3;
const LINE: usize = 400;

impl Jobs {
    /// Targets by status, exit code and identical output, largest group first.
    pub async fn groups(&self, who: &Principal, id: &str) -> Result<Groups, JobsError> {
        let inner = &self.inner;
        let e = inner.visible(who, id).await?;
        let sql = "SELECT status, exit_code, signal, code, output_hash, COUNT(*) AS n, MIN(ordinal) AS first, MAX(stdout_bytes) AS out, MAX(stderr_bytes) AS err
                   FROM job_targets WHERE execution_id = ? GROUP BY status, exit_code, signal, code, output_hash ORDER BY n DESC, first LIMIT ?";
        let rows = inner.db.fetch_all(sql, params![id, MAX_GROUPS]).await?;
        let mut items = Vec::with_capacity(rows.len());
        for r in &rows {
            let sample = "SELECT node_id, node_name FROM job_targets WHERE execution_id = ? AND ordinal = ?";
            let Some(node) = inner.db.fetch_optional(sample, params![id, r.int("first")?]).await? else { continue };
            let word = r.text("status")?;
            let status = TargetStatus::parse(&word).ok_or_else(|| plenum_store::StoreError::Corrupt(format!("target status {word}")))?;
            let code = r.opt_text("code")?;
            items.push(ResultGroup {
                status,
                fault: plan::fault::fault(status, code.as_deref()),
                exit_code: r.opt_int("exit_code")?,
                signal: r.opt_int("signal")?,
                code,
                output_hash: r.opt_text("output_hash")?,
                count: u64::try_from(r.int("n")?).unwrap_or(0),
                node_id: node.text("node_id")?,
                node_name: node.text("node_name")?,
                stdout_bytes: r.int("out")?,
                stderr_bytes: r.int("err")?,
            });
        }
        let shown: u64 = items.iter().map(|g| g.count).sum();
        Ok(Groups { items, others: e.summary.total.saturating_sub(shown) })
    }

    /// Targets whose scripts gave a result of their own, in their order: at most `limit`, and half a MiB of results.
    pub async fn structured(&self, who: &Principal, id: &str, limit: u32) -> Result<Vec<TargetResult>, JobsError> {
        let inner = &self.inner;
        let at = inner.visible(who, id).await?.progress;
        let sql = format!(
            "SELECT {}, CAST(LENGTH(result) AS BIGINT) AS bytes FROM job_targets WHERE execution_id = ? AND result IS NOT NULL ORDER BY ordinal LIMIT ?",
            sql::TARGET
        );
        let (rows, _) = inner.db.fetch_within(&sql, params![id, limit], 512 * 1024).await?;
        Ok(rows.iter().map(|r| sql::target(r, &at)).collect::<Result<_, _>>()?)
    }

    /// Lines of output that hold a text, whatever its case, target by target in their order. A page reads a bounded amount: it may be empty and
    /// still have a next one.
    pub async fn search_output(&self, who: &Principal, id: &str, text: &str, cursor: Option<&str>) -> Result<OutputMatches, JobsError> {
        let inner = &self.inner;
        inner.visible(who, id).await?;
        let needle = text.to_lowercase();
        if needle.trim().is_empty() || text.len() > 200 {
            return Err(JobsError::invalid("jobs.bad_search", "/search", "give 1 to 200 bytes of text to look for"));
        }
        let after: i64 = match cursor {
            None => -1,
            Some(c) => {
                c.parse().map_err(|_| JobsError::invalid("jobs.bad_cursor", "cursor", "not a cursor of this list; start without one"))?
            }
        };
        let sql = "SELECT node_id, node_name, ordinal, stored_stdout + stored_stderr AS bytes FROM job_targets
                   WHERE execution_id = ? AND ordinal > ? AND stored_stdout + stored_stderr > 0 ORDER BY ordinal LIMIT ?";
        let rows = inner.db.fetch_all(sql, params![id, after, SEARCH_TARGETS + 1]).await?;
        let more = rows.len() > usize::try_from(SEARCH_TARGETS).unwrap_or(usize::MAX);
        let (mut out, mut read, mut last) = (OutputMatches::default(), 0, None);
        for r in rows.iter().take(usize::try_from(SEARCH_TARGETS).unwrap_or(usize::MAX)) {
            if read >= SEARCH_BYTES {
                out.next_cursor = last;
                return Ok(out);
            }
            read += r.int("bytes")?;
            out.searched += 1;
            let node = r.text("node_id")?;
            for stream in [OutputStream::Stdout, OutputStream::Stderr] {
                // At most what one target may keep: 64 MiB.
                let data = sql::read_output(&inner.db, id, &node, stream, 0, plan::MAX_OUTPUT).await?;
                let lines = matching(&plan::lossy(&data), &needle);
                if lines.1 > 0 {
                    out.items.push(OutputMatch {
                        node_id: node.clone(),
                        node_name: r.text("node_name")?,
                        stream,
                        lines: lines.0,
                        count: lines.1,
                    });
                }
            }
            last = Some(r.int("ordinal")?.to_string());
        }
        out.next_cursor = last.filter(|_| more);
        Ok(out)
    }
}

/// The first lines that hold the needle, with their numbers, and how many there are.
fn matching(text: &str, needle: &str) -> (Vec<MatchedLine>, u64) {
    let (mut lines, mut count) = (Vec::new(), 0);
    for (line, number) in text.lines().zip(1_u64..) {
        let lower = line.to_lowercase();
        let Some(at) = lower.find(needle) else { continue };
        count += 1;
        if lines.len() < SEARCH_LINES {
            // A line of megabytes is shown around the match. Lower case may have other lengths, so the place is near and not exact.
            let skip = lower.get(..at).map_or(0, |b| b.chars().count()).saturating_sub(LINE / 4);
            lines.push(MatchedLine { number, text: line.chars().skip(skip).take(LINE).collect() });
        }
    }
    (lines, count)
}

impl ResultQuery {
    /// Conditions on `job_targets`, and their values.
    pub(crate) fn conditions(&self) -> (String, Vec<Value>) {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let mut and = |text: &str, value: Option<Value>| {
            if let Some(v) = value {
                sql.push_str(text);
                values.push(v);
            }
        };
        and(" AND status = ?", self.status.map(|s| s.as_str().into()));
        and(" AND node_id = ?", self.node_id.as_ref().map(Value::from));
        and(" AND output_hash = ?", self.output_hash.as_ref().map(Value::from));
        and(" AND exit_code = ?", self.exit_code.map(Value::from));
        and(" AND code = ?", self.code.as_ref().map(Value::from));
        let name = self.search.as_deref().map(str::trim).filter(|s| !s.is_empty());
        and(" AND LOWER(node_name) LIKE ? ESCAPE '!'", name.map(|s| sql::like(s).into()));
        (sql, values)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn lines_that_match() {
        let (lines, count) = matching("one\nTwo ERROR\nthree error\nerror\nError five\n", "error");
        assert_eq!((lines.len(), count, lines[0].number, lines[0].text.as_str()), (3, 4, 2, "Two ERROR"));
        let long = format!("{}needle{}", "x".repeat(100_000), "y".repeat(1000));
        let (lines, _) = matching(&long, "needle");
        assert!(lines[0].text.contains("needle") && lines[0].text.len() <= LINE);
        assert_eq!(matching("", "x").1, 0);
    }
}
