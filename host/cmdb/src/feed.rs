//! The change feed: what happened in the CMDB, in the order in which it was committed, for whoever keeps a copy.

use std::time::Duration;

use plenum_access::{KEEPS_TO_RECORDS, Permission, Principal};
use plenum_store::events::{Listener, RETENTION, RETENTION_ROWS};
use plenum_store::{DocumentError, Event, Events};
use serde_json::Value as Json;

use crate::scope::sees_a_part;
use crate::{Cmdb, CmdbError};

/// What all kinds of the feed begin with.
const PREFIX: &str = "plenum.cmdb.";
/// Most events of a page.
pub const MAX_EVENTS: usize = 500;
/// Events that are looked through for one page, so that a filter that lets little through does not hold a connection.
const MAX_LOOKED_AT: usize = 20_000;
/// Longest wait for a change.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// Which changes.
#[derive(Debug, Clone, Default)]
pub struct FeedQuery {
    /// `instance.updated`, `association.*`; all when empty.
    pub kinds: Vec<String>,
    /// Models; all that the caller may read when empty. An association is told of when one of its ends is of one of them.
    pub models: Vec<String>,
    /// Attributes: of changes only those of one of them. All when empty.
    pub fields: Vec<String>,
}

/// Some changes.
#[derive(Debug, Clone)]
pub struct FeedPage {
    /// The oldest first.
    pub events: Vec<Event>,
    /// Where to go on: everything up to there was looked at.
    pub cursor: i64,
    /// Whether there is more at once.
    pub more: bool,
}

/// How long changes are kept, and how many of them at the most.
pub const KEPT: (Duration, i64) = (RETENTION, RETENTION_ROWS);

impl FeedQuery {
    /// Kinds as the outbox finds them: by their beginnings.
    fn starts(&self) -> Vec<String> {
        if self.kinds.is_empty() {
            return vec![PREFIX.to_owned()];
        }
        self.kinds.iter().map(|k| format!("{PREFIX}{}", plain(k).trim_end_matches('*'))).collect()
    }

    fn wants(&self, e: &Event) -> bool {
        let kind = e.kind.strip_prefix(PREFIX).unwrap_or_default();
        let named = |k: &String| match plain(k).strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => plain(k) == kind,
        };
        if !self.kinds.is_empty() && !self.kinds.iter().any(named) {
            return false;
        }
        if !self.models.is_empty() && !models_of(e).iter().any(|m| self.models.iter().any(|w| w == m)) {
            return false;
        }
        let changed = e.data.get("changed").and_then(Json::as_array);
        self.fields.is_empty()
            || kind != "instance.updated"
            || changed.is_some_and(|c| c.iter().filter_map(Json::as_str).any(|c| self.fields.iter().any(|f| f == c)))
    }
}

fn plain(kind: &str) -> &str {
    kind.strip_prefix(PREFIX).unwrap_or(kind)
}

/// The models that an event speaks of.
fn models_of(e: &Event) -> Vec<&str> {
    let at = |pointer: &str| e.data.pointer(pointer).and_then(Json::as_str);
    [at("/model"), at("/from/model"), at("/to/model")].into_iter().flatten().collect()
}

impl Cmdb {
    /// Where a subscriber that wants only what is to come begins.
    pub async fn feed_now(&self, who: &Principal) -> Result<i64, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[KEEPS_TO_RECORDS]).await?;
        Ok(Events::new(self.db.clone()).latest().await?)
    }

    /// Where the oldest change begins that is kept.
    pub async fn feed_start(&self, who: &Principal) -> Result<i64, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[KEEPS_TO_RECORDS]).await?;
        Ok(Events::new(self.db.clone()).horizon().await?)
    }

    /// Notices changes; take it before [`Cmdb::feed`] is read, so that nothing falls between.
    pub fn feed_listen(&self) -> Listener {
        Events::new(self.db.clone()).listen()
    }

    /// Changes after `after`, of models that the caller may read. A cursor that is older than what is kept has missed something: that is an error,
    /// never a gap.
    pub async fn feed(&self, who: &Principal, query: &FeedQuery, after: i64, limit: usize) -> Result<FeedPage, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[KEEPS_TO_RECORDS]).await?;
        let events = Events::new(self.db.clone());
        let horizon = events.horizon().await?;
        if after < horizon {
            let (days, most) = (KEPT.0.as_secs() / 86_400, KEPT.1);
            return Err(CmdbError::FeedGone(format!(
                "changes are kept for {days} days, {most} at the most, and this cursor is older: read the records again, then go on from the cursor {horizon}"
            )));
        }
        // Before the reading: what is committed until now is seen below, what comes later is behind the cursor.
        let latest = events.latest().await?;
        if after > latest {
            return Err(DocumentError::Query(format!(
                "the cursor {after} is ahead of this feed, whose last change is {latest}: it belongs to another database, or this one was \
                 restored; read the records again"
            ))
            .into());
        }
        let limit = limit.clamp(1, MAX_EVENTS);
        let (starts, mut found, mut cursor, mut looked_at) = (query.starts(), Vec::new(), after, 0);
        loop {
            let some = events.read(cursor, 500, &starts).await?;
            let last = some.len() < 500;
            for e in some {
                looked_at += 1;
                let seq = e.seq;
                if query.wants(&e)
                    && self.may_hear(who, &e)
                    && let Some(e) = self.hears(who, e).await?
                    // A change of what is hidden from the caller is none of an attribute that the caller may name.
                    && query.wants(&e)
                {
                    if found.len() == limit {
                        return Ok(FeedPage { events: found, cursor, more: true });
                    }
                    found.push(e);
                }
                cursor = seq;
            }
            if last {
                // So that a quiet subscriber is not one day told that it has missed something.
                return Ok(FeedPage { events: found, cursor: cursor.max(latest), more: false });
            }
            if looked_at >= MAX_LOOKED_AT {
                return Ok(FeedPage { events: found, cursor, more: true });
            }
        }
    }

    /// The same; when there is nothing yet, waits for it until `wait` is over.
    pub async fn feed_wait(
        &self,
        who: &Principal,
        query: &FeedQuery,
        after: i64,
        limit: usize,
        wait: Duration,
    ) -> Result<FeedPage, CmdbError> {
        let end = tokio::time::Instant::now() + wait.min(MAX_WAIT);
        let mut listener = self.feed_listen();
        let mut after = after;
        loop {
            let page = self.feed(who, query, after, limit).await?;
            if !page.events.is_empty() {
                return Ok(page);
            }
            if !page.more && tokio::time::timeout_at(end, listener.changed()).await.is_err() || tokio::time::Instant::now() >= end {
                return Ok(page);
            }
            after = page.cursor;
        }
    }

    fn may_hear(&self, who: &Principal, e: &Event) -> bool {
        // Events name records and what changed of them: who may see only some attributes hears none.
        !sees_a_part(who) && models_of(e).iter().all(|m| self.sees(who, m))
    }
}
