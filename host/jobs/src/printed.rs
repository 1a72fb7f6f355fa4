//! What is made of a target's output while it prints: a fingerprint, by which thousands of results are grouped and none is read again for that;
//! and the result that a script gives in a line of its own.

use plenum_store::{StoreError, Tx, params};
use sha2::{Digest, Sha256};

use crate::model::OutputStream;

/// Bytes of output that are read at once when the fingerprint has to be made anew.
const PIECE: i64 = 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub(crate) struct Printed {
    stdout: Sha256,
    stderr: Sha256,
    lines: Lines,
}

/// What a line of standard output begins with that holds the script's own result, as JSON. Of several the last one counts.
const MARK: &[u8] = b"PLENUM_RESULT=";
/// Longest result.
pub(crate) const MAX_RESULT: usize = 64 * 1024;

/// Looks for lines with results. Of a line that is none it keeps nothing, of one that is too long no more than the bound.
#[derive(Debug, Clone, Default)]
struct Lines {
    line: Vec<u8>,
    skip: bool,
    found: Option<Vec<u8>>,
}

impl Lines {
    fn add(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let end = data.iter().position(|b| *b == b'\n');
            let (piece, rest) = data.split_at(end.unwrap_or(data.len()));
            self.piece(piece);
            data = rest.get(1..).unwrap_or_default();
            if end.is_some() {
                self.end();
            }
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if self.skip {
            return;
        }
        let room = (MARK.len() + MAX_RESULT + 2).saturating_sub(self.line.len());
        self.line.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        let seen = self.line.len().min(MARK.len());
        if self.line.get(..seen) != MARK.get(..seen) {
            self.skip = true;
            self.line = Vec::new();
        }
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.skip)
            && let Some(value) = line.strip_prefix(MARK)
        {
            self.found = Some(value.to_vec());
        }
    }

    fn result(mut self) -> Option<Result<String, String>> {
        self.end();
        let found = self.found?;
        let found = found.strip_suffix(b"\r").unwrap_or(&found);
        if found.len() > MAX_RESULT {
            return Some(Err(format!("its PLENUM_RESULT is longer than {MAX_RESULT} bytes; print less, or as output")));
        }
        Some(match serde_json::from_slice::<serde_json::Value>(found) {
            Ok(v) => Ok(v.to_string()),
            Err(e) => Err(format!("its PLENUM_RESULT is no JSON: {e}; print it on one line")),
        })
    }
}

impl Printed {
    pub fn add(&mut self, stream: OutputStream, data: &[u8]) {
        match stream {
            OutputStream::Stdout => {
                self.stdout.update(data);
                self.lines.add(data);
            }
            OutputStream::Stderr => self.stderr.update(data),
        }
    }

    /// The fingerprint, of both streams each by itself, since in which pieces they came is chance; and the script's own result or why it cannot be
    /// taken.
    pub fn finish(self) -> (String, Option<Result<String, String>>) {
        let hash = Sha256::new().chain_update(self.stdout.finalize()).chain_update(self.stderr.finalize()).finalize();
        (hex::encode(hash), self.lines.result())
    }

    /// Of what is stored, for a target whose beginning this process has not seen.
    pub async fn stored(tx: &mut Tx, execution: &str, node: &str) -> Result<Printed, StoreError> {
        let (mut printed, mut seq) = (Printed::default(), -1);
        let sql = "SELECT seq, stream, data, CAST(LENGTH(data) AS BIGINT) AS bytes FROM job_output WHERE execution_id = ? AND node_id = ? AND seq > ? ORDER BY seq";
        loop {
            let rows = tx.fetch_within(sql, params![execution, node, seq], PIECE).await?;
            if rows.is_empty() {
                return Ok(printed);
            }
            for r in &rows {
                seq = r.int("seq")?;
                printed.add(OutputStream::parse(&r.text("stream")?).unwrap_or(OutputStream::Stdout), &r.blob("data")?);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn how_it_came_does_not_matter() {
        let of = |pieces: &[(OutputStream, &str)]| {
            let mut p = Printed::default();
            pieces.iter().for_each(|(s, d)| p.add(*s, d.as_bytes()));
            p.finish().0
        };
        use OutputStream::{Stderr, Stdout};
        let whole = of(&[(Stdout, "one two"), (Stderr, "bad")]);
        assert_eq!(whole, of(&[(Stdout, "one"), (Stderr, "ba"), (Stdout, " two"), (Stderr, "d")]));
        assert_ne!(whole, of(&[(Stderr, "one two"), (Stdout, "bad")]));
        assert_ne!(of(&[(Stdout, "ab")]), of(&[(Stdout, "a"), (Stderr, "b")]));
    }

    #[test]
    fn a_line_with_a_result_is_found_however_it_comes() {
        let of = |text: &str, piece: usize| {
            let mut p = Printed::default();
            text.as_bytes().chunks(piece).for_each(|c| p.add(OutputStream::Stdout, c));
            p.finish().1
        };
        let table: &[(&str, Option<&str>)] = &[
            ("nothing", None),
            ("PLENUM_RESULT={\"a\": 1}\n", Some("{\"a\":1}")),
            ("text\nPLENUM_RESULT=[1]\r\nmore\n", Some("[1]")),
            ("PLENUM_RESULT=1\nPLENUM_RESULT=2", Some("2")),
            (" PLENUM_RESULT=1\nxPLENUM_RESULT=2\nPLENUM_RESUL=3\nPLENUM\n", None),
        ];
        for (text, expected) in table {
            for piece in [1, 3, 1000] {
                assert_eq!(of(text, piece).map(|r| r.expect("is JSON")).as_deref(), *expected, "{text:?} in pieces of {piece}");
            }
        }
        assert!(of("PLENUM_RESULT={oops\n", 4).is_some_and(|r| r.is_err_and(|e| e.contains("no JSON"))));
        let long = format!("PLENUM_RESULT=\"{}\"\n", "x".repeat(MAX_RESULT));
        assert!(of(&long, 1000).is_some_and(|r| r.is_err_and(|e| e.contains("longer than"))));
        let fits = format!("PLENUM_RESULT=\"{}\"\n", "x".repeat(MAX_RESULT - 2));
        assert!(of(&fits, 1000).is_some_and(|r| r.is_ok()));
    }
}
