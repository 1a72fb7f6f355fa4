//! One execution on the disk, from its acceptance to the host's last acknowledgement.
//!
//! ```text
//! spool/<hash of the execution id>/run        the encoded Run, written first
//!                                  output     frames: length, encoded Output
//!                                  finished   the encoded Finished, written last
//! ```
//! Output goes from the script to the disk and from there to the host, so a host that is away, or slow, costs disk and not memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plenum_agent_protocol::v1::{Finished, Output, Run};
use plenum_agent_protocol::{MAX_CHUNK, MAX_MESSAGE};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::state::write_atomically;

/// An encoded message with its length before it.
fn frame(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// What a restarted agent finds of an execution.
#[derive(Debug)]
pub struct Found {
    /// Its folder.
    pub folder: Folder,
    /// What was to be run.
    pub run: Run,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_ms: i64,
    /// How it ended, when it did.
    pub finished: Option<Finished>,
    /// Where its output ends.
    pub tail: Tail,
    /// Whether it was about to be started, as far as this folder knows.
    pub started: bool,
}

/// The end of an output file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes in the file.
    pub length: u64,
    /// Last chunk.
    pub seq: u64,
    /// Output bytes of standard output.
    pub stdout: u64,
    /// Output bytes of standard error.
    pub stderr: u64,
}

/// The folder of one execution.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Where an execution is kept. The id is hashed: it comes from outside and must not name a path.
    #[must_use]
    pub fn of(spool: &Path, execution_id: &str) -> Self {
        let hash = hex::encode(Sha256::digest(execution_id.as_bytes()));
        Self(spool.join(hash.get(..32).unwrap_or(&hash)))
    }

    /// Names this execution of this agent on this machine, where a fleet's agents may run the same execution id side by side.
    #[must_use]
    pub fn mark(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_os_str().as_encoded_bytes())).chars().take(32).collect()
    }

    /// Makes the folder with its `Run`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn create(&self, run: &Run) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        write_atomically(&self.0.join("run"), &run.encode_to_vec())
    }

    /// Opens the output for writing.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn writer(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.0.join("output"))
    }

    /// Stores the end.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn finish(&self, finished: &Finished) -> io::Result<()> {
        write_atomically(&self.0.join("finished"), &finished.encode_to_vec())
    }

    /// Reads at most `count` chunks from a position; returns them and the position after them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, mut position: u64, count: usize) -> io::Result<(Vec<Output>, u64)> {
        let file = match File::open(self.0.join("output")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), position)),
            Err(error) => return Err(error),
        };
        let mut chunks = Vec::new();
        while chunks.len() < count {
            let Some((chunk, next)) = read_frame(&file, position)? else { break };
            chunks.push(chunk);
            position = next;
        }
        Ok((chunks, position))
    }

    /// Forgets the execution.
    pub fn remove(&self) {
        // The Run goes first: a folder without one is rubbish to a restarted agent, not an interrupted execution.
        let _ = fs::remove_file(self.0.join("run"));
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "cannot remove a delivered execution from the spool");
        }
    }

    fn load(self) -> io::Result<Option<Found>> {
        let path = self.0.join("run");
        let accepted_ms = match fs::metadata(&path) {
            Ok(metadata) => metadata
                .modified()?
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            Err(_) => return Ok(None),
        };
        let Ok(mut run) = Run::decode(fs::read(&path)?.as_slice()) else { return Ok(None) };
        let finished = fs::read(self.0.join("finished")).ok().and_then(|bytes| Finished::decode(bytes.as_slice()).ok());
        if finished.is_some() {
            // It will not run again, and thousands of scripts may wait here for a host that is away.
            run = Run { execution_id: run.execution_id, key: run.key, ..Run::default() };
        }
        let started = self.0.join("output").exists();
        let tail = self.repair()?;
        Ok(Some(Found { folder: self, run, accepted_ms, finished, tail, started }))
    }

    /// Finds the end of the output and cuts off what a crash left half written.
    fn repair(&self) -> io::Result<Tail> {
        let file = match OpenOptions::new().read(true).write(true).open(self.0.join("output")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tail::default()),
            Err(error) => return Err(error),
        };
        let mut tail = Tail::default();
        while let Some((chunk, next)) = read_frame(&file, tail.length)? {
            if chunk.seq != tail.seq + 1 {
                break;
            }
            tail.add(&chunk);
            tail.length = next;
        }
        file.set_len(tail.length)?;
        Ok(tail)
    }
}

impl Tail {
    /// Counts a chunk; `length` is the caller's.
    pub fn add(&mut self, chunk: &Output) {
        self.seq = chunk.seq;
        let size = chunk.data.len() as u64;
        if chunk.stream == plenum_agent_protocol::v1::Stream::Stderr as i32 { self.stderr += size } else { self.stdout += size }
    }
}

/// Appends a chunk; returns how many bytes the file grew. After an error the file is as it was.
///
/// # Errors
/// When the disk does not take it.
pub fn append(file: &mut File, length: u64, chunk: &Output) -> io::Result<u64> {
    let frame = frame(chunk);
    if let Err(error) = file.write_all(&frame) {
        // A half-written frame would hide all that follow.
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        return Err(error);
    }
    Ok(frame.len() as u64)
}

/// Everything that the spool holds. What cannot be read is removed, with a word in the log: it must not stop the agent.
#[must_use]
pub fn load(spool: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool).into_iter().flatten().flatten() {
        let folder = Folder(entry.path());
        match folder.clone().load() {
            Ok(Some(execution)) => found.push(execution),
            Ok(None) => folder.remove(),
            Err(error) => tracing::warn!(folder = %entry.path().display(), %error, "cannot read an execution in the spool"),
        }
    }
    found.sort_by_key(|execution| execution.accepted_ms);
    found
}

fn read_frame(file: &File, position: u64) -> io::Result<Option<(Output, u64)>> {
    let mut length = [0_u8; 4];
    if !read_fully(file, &mut length, position)? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_CHUNK + 1024 || length > MAX_MESSAGE {
        return Ok(None);
    }
    let mut frame = vec![0_u8; length];
    if !read_fully(file, &mut frame, position + 4)? {
        return Ok(None);
    }
    // `Bytes::from` a vector: the chunk's data then shares it.
    let frame = prost::bytes::Bytes::from(frame);
    Ok(Output::decode(frame).ok().map(|chunk| (chunk, position + 4 + length as u64)))
}

/// False when the file ends before the buffer is full.
fn read_fully(file: &File, buffer: &mut [u8], position: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, position) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn chunk(seq: u64, data: &'static [u8]) -> Output {
        Output { execution_id: "e/1".into(), stream: 1, seq, offset: 0, data: data.into() }
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path(), "e/1");
        folder.create(&Run { execution_id: "e/1".into(), ..Run::default() }).unwrap();
        let mut file = folder.writer().unwrap();
        let first = append(&mut file, 0, &chunk(1, b"one")).unwrap();
        let second = append(&mut file, first, &chunk(2, b"two")).unwrap();
        file.write_all(&[0, 0, 0, 9, 1, 2]).unwrap();
        let found = load(dir.path()).pop().unwrap();
        assert_eq!(found.tail, Tail { length: first + second, seq: 2, stdout: 6, stderr: 0 });
        let (chunks, position) = found.folder.read(0, 10).unwrap();
        assert_eq!(chunks.iter().map(|c| c.data.as_ref()).collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(position, first + second);
    }

    #[test]
    fn rubbish_in_the_spool_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x")).unwrap();
        assert!(load(dir.path()).is_empty());
        assert!(!dir.path().join("x").exists());
    }
}
