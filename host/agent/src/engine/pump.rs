//! What is to be said on a connection: everything that the host has not acknowledged, then what happens.

use std::collections::HashMap;
use std::sync::Arc;

use plenum_agent_protocol::v1::AgentMessage;
use plenum_agent_protocol::v1::agent_message::Body;
use tokio::sync::mpsc::Sender;

use super::{Engine, Execution, Progress, lock};
use crate::faults;

/// Chunks of one execution before it is the next one's turn. With chunks of 32 KiB this also bounds what one turn holds in memory.
const CHUNKS_A_TURN: usize = 4;

/// What one connection has been told of one execution.
#[derive(Default)]
struct Cursor {
    generation: u64,
    position: u64,
    seq: u64,
    started: bool,
    finished: bool,
}

enum Next {
    Direct(Body),
    Execution(Arc<Execution>),
    Gone(String),
    Nothing,
}

impl Engine {
    /// Feeds one connection until it closes. A slow connection holds back the pump, never a script.
    pub async fn pump(&self, to_host: &Sender<AgentMessage>) {
        let mut cursors: HashMap<String, Cursor> = HashMap::new();
        loop {
            match self.next() {
                Next::Nothing => self.0.changed.notified().await,
                Next::Gone(id) => drop(cursors.remove(&id)),
                Next::Direct(body) => {
                    if !send(to_host, body).await {
                        return;
                    }
                }
                Next::Execution(execution) => {
                    let cursor = cursors.entry(execution.id.clone()).or_default();
                    let (bodies, more) = turn(&execution, cursor);
                    for body in bodies {
                        if !send(to_host, body).await {
                            return;
                        }
                    }
                    if more {
                        self.ready(&execution.id);
                    }
                    // Cursors of acknowledged executions would pile up on a connection that stays for months.
                    if cursors.len() > 1000 {
                        let held = lock(&self.0.held);
                        cursors.retain(|id, _| held.executions.contains_key(id));
                    }
                }
            }
        }
    }

    /// Starts a connection's account: all that is held is to be told again, and answers to a former connection are void.
    pub fn rewind(&self) {
        let mut held = lock(&self.0.held);
        held.direct.clear();
        let ids: Vec<String> = held.executions.keys().cloned().collect();
        ids.iter().for_each(|id| held.mark_ready(id));
        drop(held);
        self.0.changed.notify_one();
    }

    fn next(&self) -> Next {
        let mut held = lock(&self.0.held);
        if let Some(body) = held.direct.pop_front() {
            return Next::Direct(body);
        }
        let Some(id) = held.ready.pop_front() else { return Next::Nothing };
        held.in_ready.remove(&id);
        match held.executions.get(&id) {
            Some(execution) => Next::Execution(execution.clone()),
            None => Next::Gone(id),
        }
    }
}

/// False when the connection is gone.
async fn send(to_host: &Sender<AgentMessage>, body: Body) -> bool {
    let step = match &body {
        Body::Accepted(_) => "message.accepted",
        Body::Started(_) => "message.started",
        Body::Output(_) => "message.output",
        Body::Finished(_) => "message.finished",
        _ => "message",
    };
    faults::before(step);
    let sent = to_host.send(AgentMessage { body: Some(body) }).await.is_ok();
    faults::after(step);
    sent
}

/// What one turn says, and whether there is more.
fn turn(execution: &Execution, cursor: &mut Cursor) -> (Vec<Body>, bool) {
    let progress: Progress = execution.progress().clone();
    if cursor.generation != progress.generation {
        *cursor = Cursor { generation: progress.generation, ..Cursor::default() };
    }
    let mut bodies = Vec::new();
    if let (false, Some(started)) = (cursor.started, &progress.started) {
        cursor.started = true;
        bodies.push(Body::Started(started.clone()));
    }
    if cursor.seq < progress.tail.seq {
        match execution.folder.read(cursor.position, CHUNKS_A_TURN) {
            Ok((chunks, position)) if !chunks.is_empty() => {
                cursor.position = position;
                for chunk in chunks {
                    cursor.seq = chunk.seq;
                    if chunk.seq > progress.acked_seq {
                        bodies.push(Body::Output(chunk));
                    }
                }
            }
            // Unreadable output must not keep the end from the host; it sees by `last_seq` what is missing.
            Ok(_) => cursor.seq = progress.tail.seq,
            Err(error) => {
                tracing::error!(execution = execution.id, %error, "cannot read spooled output");
                cursor.seq = progress.tail.seq;
            }
        }
        if cursor.seq < progress.tail.seq {
            return (bodies, true);
        }
    }
    if let (false, Some(finished)) = (cursor.finished, progress.finished) {
        cursor.finished = true;
        bodies.push(Body::Finished(finished));
    }
    (bodies, false)
}
