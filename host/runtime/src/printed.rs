//! What a component prints, on its standard output and standard error, becomes lines of its plugin's log. Components that others built know
//! no other place to say why they fail.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use plenum_store::now_ms;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::logs::Level;

/// Most bytes kept of what one call prints.
const MAX_BYTES: usize = 256 << 10;
/// A longer line becomes several.
const MAX_LINE: usize = 16 << 10;
/// What is taken at once.
const PIECE: usize = 64 << 10;

/// A printed line: when, of which stream, what.
pub type PrintedLine = (i64, Level, String);

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<PrintedLine>,
    /// The unfinished line of each stream: output, error.
    open: [Vec<u8>; 2],
    bytes: usize,
    lost: usize,
}

impl Kept {
    fn print(&mut self, stream: Stream, bytes: &[u8]) {
        let room = MAX_BYTES - self.bytes;
        let (kept, lost) = bytes.split_at(bytes.len().min(room));
        self.bytes += kept.len();
        if !lost.is_empty() {
            self.lost += lost.iter().filter(|b| **b == b'\n').count().max(1);
        }
        for piece in kept.split_inclusive(|b| *b == b'\n') {
            for piece in piece.chunks(MAX_LINE) {
                let Some(open) = self.open.get_mut(stream as usize) else { return };
                open.extend_from_slice(piece);
                if open.len() >= MAX_LINE || open.ends_with(b"\n") {
                    self.end(stream);
                }
            }
        }
    }

    fn end(&mut self, stream: Stream) {
        let Some(open) = self.open.get_mut(stream as usize) else { return };
        let bytes = std::mem::take(open);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            self.lines.push((now_ms(), stream.level(), text.to_owned()));
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Output,
    Error,
}

impl Stream {
    fn level(self) -> Level {
        match self {
            Stream::Output => Level::Info,
            Stream::Error => Level::Warn,
        }
    }
}

/// Everything that one call prints.
#[derive(Debug, Clone, Default)]
pub struct Printed(Arc<Mutex<Kept>>);

impl Printed {
    /// The standard output; its lines are informative.
    pub fn output(&self) -> Sheet {
        Sheet { printed: self.clone(), stream: Stream::Output }
    }

    /// The standard error; its lines are warnings.
    pub fn error(&self) -> Sheet {
        Sheet { printed: self.clone(), stream: Stream::Error }
    }

    /// The lines so far, unfinished ones too, and how many more there were than are kept.
    pub fn take(&self) -> (Vec<PrintedLine>, usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.end(Stream::Output);
        kept.end(Stream::Error);
        (std::mem::take(&mut kept.lines), std::mem::take(&mut kept.lost))
    }
}

/// One stream to print on. Nothing on it ever waits or fails: what is too much is counted.
#[derive(Debug, Clone)]
pub struct Sheet {
    printed: Printed,
    stream: Stream,
}

impl Sheet {
    fn print(&self, bytes: &[u8]) {
        self.printed.0.lock().unwrap_or_else(PoisonError::into_inner).print(self.stream, bytes);
    }
}

impl IsTerminal for Sheet {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sheet {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Sheet {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for Sheet {
    async fn ready(&mut self) {}
}

impl OutputStream for Sheet {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let p = Printed::default();
        for piece in ["Trace", "back:\r\n  li", "ne 1\n\nVal", "ueError"] {
            p.error().print(piece.as_bytes());
        }
        p.output().print(b"\xffok\n");
        let (lines, lost) = p.take();
        let lines: Vec<_> = lines.iter().map(|(_, level, text)| (*level, text.as_str())).collect();
        assert_eq!(
            lines,
            [(Level::Warn, "Traceback:"), (Level::Warn, "  line 1"), (Level::Info, "\u{fffd}ok"), (Level::Warn, "ValueError")]
        );
        assert_eq!(lost, 0);
        assert!(p.take().0.is_empty());
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let p = Printed::default();
        p.output().print(&vec![b'x'; MAX_LINE * 2 + 5]);
        p.output().print(&vec![b'\n'; MAX_BYTES]);
        let (lines, lost) = p.take();
        assert_eq!(lines.iter().map(|(_, _, t)| t.len()).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, 5]);
        assert_eq!(lost, MAX_LINE * 2 + 5);
    }
}
