//! Counts, sums, means, least and greatest values of records, by group and by span of time.

use serde_json::Value;

use crate::{Result, backend};

/// A span of time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// 2026-01-31T08:15.
    Minute,
    /// 2026-01-31T08.
    Hour,
    /// 2026-01-31.
    Day,
    /// 2026-01.
    Month,
    /// 2026.
    Year,
}

/// What is computed of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) collection: String,
    pub(crate) filter: String,
    pub(crate) groups: Vec<(String, Option<Span>)>,
    pub(crate) measures: Vec<(Kind, Option<String>)>,
    pub(crate) limit: u32,
}

/// A group, with what was computed of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its values, in the order in which they were asked for; a span as the start of its time.
    pub keys: Vec<Value>,
    /// What was computed, in the order in which it was asked for; null of nothing.
    pub values: Vec<Value>,
}

/// What to compute of which groups: see [`crate::store::Collection::aggregate`].
#[derive(Debug, Clone)]
pub struct Aggregate {
    raw: Raw,
}

impl Aggregate {
    pub(crate) fn of(collection: &str) -> Aggregate {
        let raw = Raw { collection: collection.to_owned(), filter: String::new(), groups: Vec::new(), measures: Vec::new(), limit: 1000 };
        Aggregate { raw }
    }

    fn measure(mut self, kind: Kind, field: Option<&str>) -> Self {
        self.raw.measures.push((kind, field.map(str::to_owned)));
        self
    }

    /// CEL over the fields; see [`crate::cel`] for values that somebody typed.
    #[must_use]
    pub fn filter(mut self, cel: impl Into<String>) -> Self {
        self.raw.filter = cel.into();
        self
    }

    /// Groups by a field; up to 8 in all. Without any, all records are one group.
    #[must_use]
    pub fn by(mut self, field: &str) -> Self {
        self.raw.groups.push((field.to_owned(), None));
        self
    }

    /// Groups by the span that a time falls in.
    #[must_use]
    pub fn by_time(mut self, field: &str, span: Span) -> Self {
        self.raw.groups.push((field.to_owned(), Some(span)));
        self
    }

    /// How many records; up to 16 of these in all, and at least one.
    #[must_use]
    pub fn count(self) -> Self {
        self.measure(Kind::Count, None)
    }

    /// How many records have a field.
    #[must_use]
    pub fn count_of(self, field: &str) -> Self {
        self.measure(Kind::Count, Some(field))
    }

    /// The sum of a field.
    #[must_use]
    pub fn sum(self, field: &str) -> Self {
        self.measure(Kind::Sum, Some(field))
    }

    /// The mean of a field.
    #[must_use]
    pub fn avg(self, field: &str) -> Self {
        self.measure(Kind::Avg, Some(field))
    }

    /// The least value of a field.
    #[must_use]
    pub fn min(self, field: &str) -> Self {
        self.measure(Kind::Min, Some(field))
    }

    /// The greatest value of a field.
    #[must_use]
    pub fn max(self, field: &str) -> Self {
        self.measure(Kind::Max, Some(field))
    }

    /// Groups: 1 to 1000, which it is when not said.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.raw.limit = limit;
        self
    }

    /// Computes: the groups in the order of their values.
    pub fn groups(&self) -> Result<Vec<Group>> {
        backend::store_aggregate(&self.raw)
    }
}
