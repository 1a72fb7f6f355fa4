//! The plugin's own records, in the collections that its manifest declares. Takes the permission `store`.
//!
//! ```
//! # use plenum_sdk::{store::Collection, testing::Fake};
//! # use serde::{Deserialize, Serialize};
//! # let fake = Fake::new();
//! #[derive(Serialize, Deserialize)]
//! struct Note { text: String, stars: u32 }
//! const NOTES: Collection<Note> = Collection::new("notes");
//!
//! let version = NOTES.insert("first", &Note { text: "hello".into(), stars: 3 })?;
//! NOTES.replace("first", version, &Note { text: "hello".into(), stars: 4 })?;
//! assert_eq!(NOTES.query().filter("stars > 3").all()?[0].data.text, "hello");
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use crate::aggregate::{Aggregate, Group, Span};
use crate::{Error, Page, Result, Timestamp, backend};

/// A stored record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document<T = Value> {
    /// Its id.
    pub id: String,
    /// Counts from 1 with every change.
    pub version: u64,
    /// Its fields.
    pub data: T,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// Which version a write expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Any, or none: writes in any case.
    Any,
    /// The record must not be there.
    Absent,
    /// The record must have this version.
    Version(u64),
}

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) collection: String,
    pub(crate) id: String,
    pub(crate) data: Option<Value>,
    pub(crate) expected: Expected,
}

#[derive(Debug, Clone)]
pub(crate) struct RawQuery {
    pub(crate) collection: String,
    pub(crate) filter: String,
    pub(crate) sort: String,
    pub(crate) cursor: Option<String>,
    pub(crate) limit: u32,
}

/// A collection of records of one type.
#[derive(Debug)]
pub struct Collection<T> {
    name: &'static str,
    of: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Collection<T> {}

fn decoded<T: DeserializeOwned>(collection: &str, d: Document) -> Result<Document<T>> {
    let data = serde_json::from_value(d.data)
        .map_err(|e| Error::internal("store.record", format!("the record {collection}/{} is not as the plugin expects: {e}", d.id)))?;
    Ok(Document { id: d.id, version: d.version, data, created_at: d.created_at, updated_at: d.updated_at })
}

impl<T: Serialize + DeserializeOwned> Collection<T> {
    /// By its name in the manifest.
    pub const fn new(name: &'static str) -> Collection<T> {
        Collection { name, of: PhantomData }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One record; none when there is none.
    pub fn get(&self, id: &str) -> Result<Option<Document<T>>> {
        backend::store_get(self.name, id)?.map(|d| decoded(self.name, d)).transpose()
    }

    /// One record; an error with status 404 when there is none.
    pub fn require(&self, id: &str) -> Result<Document<T>> {
        self.get(id)?.ok_or_else(|| {
            Error::not_found("store.not_found", format!("there is no record {id:?} in {}; it may have been deleted", self.name))
        })
    }

    /// Writes a record, whether it is there or not. Answers its version.
    pub fn put(&self, id: &str, data: &T) -> Result<u64> {
        self.write(id, data, Expected::Any)
    }

    /// Writes a new record; a conflict (409) when its id is taken.
    pub fn insert(&self, id: &str, data: &T) -> Result<u64> {
        self.write(id, data, Expected::Absent)
    }

    /// Writes a record that must still have this version; a conflict (409) when it was changed meanwhile.
    pub fn replace(&self, id: &str, version: u64, data: &T) -> Result<u64> {
        self.write(id, data, Expected::Version(version))
    }

    /// Deletes a record; none there is fine.
    pub fn delete(&self, id: &str) -> Result<()> {
        Batch::new().delete(self, id).apply().map(|_| ())
    }

    /// Deletes records by id, 500 at once; those that are not there are fine.
    pub fn delete_many<S: AsRef<str>>(&self, ids: impl IntoIterator<Item = S>) -> Result<()> {
        let mut batch = Batch::new();
        for id in ids {
            if batch.len() == Batch::MOST {
                std::mem::take(&mut batch).apply()?;
            }
            batch = batch.delete(self, id.as_ref());
        }
        batch.apply().map(|_| ())
    }

    /// Which records, in which order.
    pub fn query(&self) -> Query<T> {
        let raw = RawQuery { collection: self.name.to_owned(), filter: String::new(), sort: String::new(), cursor: None, limit: 200 };
        Query { raw, of: PhantomData }
    }

    /// Counts, sums, means, least and greatest values, computed where the records are.
    ///
    /// ```
    /// # use plenum_sdk::{store::{Collection, Span}, testing::Fake};
    /// # use serde_json::{Value, json};
    /// # let fake = Fake::new();
    /// # const VISITS: Collection<Value> = Collection::new("visits");
    /// # VISITS.put("a", &json!({"page": "home", "at": "2026-01-31T08:00:00Z", "ms": 10}))?;
    /// # VISITS.put("b", &json!({"page": "home", "at": "2026-01-31T09:00:00Z", "ms": 30}))?;
    /// let days = VISITS.aggregate().filter("page == 'home'").by_time("at", Span::Day).count().avg("ms").groups()?;
    /// assert_eq!((days[0].keys.as_slice(), days[0].values.as_slice()), ([json!("2026-01-31")].as_slice(), [json!(2), json!(20)].as_slice()));
    /// # Ok::<(), plenum_sdk::Error>(())
    /// ```
    pub fn aggregate(&self) -> Aggregate {
        Aggregate::of(self.name)
    }

    /// Writes a record, if it is as expected; else a conflict (409). Answers its version.
    pub fn write(&self, id: &str, data: &T, expected: Expected) -> Result<u64> {
        Ok(Batch::new().write(self, id, data, expected)?.apply()?.first().copied().unwrap_or_default())
    }
}

/// Which records of a collection, in which order.
#[derive(Debug, Clone)]
pub struct Query<T> {
    raw: RawQuery,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Query<T> {
    /// CEL over the fields; see [`crate::cel`] for values that somebody typed.
    #[must_use]
    pub fn filter(mut self, cel: impl Into<String>) -> Self {
        self.raw.filter = cel.into();
        self
    }

    /// A field; a leading `-` sorts downwards. In the order of ids when not said.
    #[must_use]
    pub fn sort(mut self, field: impl Into<String>) -> Self {
        self.raw.sort = field.into();
        self
    }

    /// Where the page before ended.
    #[must_use]
    pub fn cursor(mut self, cursor: Option<String>) -> Self {
        self.raw.cursor = cursor;
        self
    }

    /// Records of a page: 1 to 1000; 200 when not said.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.raw.limit = limit;
        self
    }

    /// One page.
    pub fn page(&self) -> Result<Page<Document<T>>> {
        let page = backend::store_query(&self.raw)?;
        let items = page.items.into_iter().map(|d| decoded(&self.raw.collection, d)).collect::<Result<_>>()?;
        Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
    }

    /// All that match, page by page. Mind the memory limit of a call.
    pub fn all(mut self) -> Result<Vec<Document<T>>> {
        self.raw.limit = 1000;
        let mut out = Vec::new();
        loop {
            let page = self.page()?;
            out.extend(page.items);
            match page.next_cursor {
                Some(c) => self.raw.cursor = Some(c),
                None => return Ok(out),
            }
        }
    }

    /// How many match.
    pub fn count(&self) -> Result<u64> {
        backend::store_count(&self.raw.collection, &self.raw.filter)
    }
}

/// Writes that happen all or not at all: at most 500, over any collections.
#[derive(Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// Writes that one batch may hold.
    pub const MOST: usize = 500;

    /// How many writes it holds.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Empty.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a record that is written whether it is there or not.
    pub fn put<T: Serialize>(self, to: &Collection<T>, id: &str, data: &T) -> Result<Batch> {
        self.write(to, id, data, Expected::Any)
    }

    /// Adds a write.
    pub fn write<T: Serialize>(mut self, to: &Collection<T>, id: &str, data: &T, expected: Expected) -> Result<Batch> {
        self.writes.push(Write { collection: to.name.to_owned(), id: id.to_owned(), data: Some(serde_json::to_value(data)?), expected });
        Ok(self)
    }

    /// Adds a deletion.
    #[must_use]
    pub fn delete<T>(mut self, from: &Collection<T>, id: &str) -> Batch {
        self.writes.push(Write { collection: from.name.to_owned(), id: id.to_owned(), data: None, expected: Expected::Any });
        self
    }

    /// Writes. Answers the new versions in order, 0 for a deletion.
    pub fn apply(self) -> Result<Vec<u64>> {
        if self.writes.is_empty() {
            return Ok(Vec::new());
        }
        backend::store_apply(&self.writes)
    }
}
