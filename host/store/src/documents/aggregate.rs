//! Counting and summing documents by group, in the database.

use std::sync::Arc;

use serde_json::Value as Json;

use super::query::conditions;
use super::{Collection, DocumentError, Documents, Query};
use crate::StoreError;
use crate::filter::{FieldKind, Links, field_sql, nearest};
use crate::sql::{Dialect, Row};

/// Most groups of an answer.
pub const MAX_GROUPS: u32 = 1000;

/// A span of time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// `2026-01-31T08:15`.
    Minute,
    /// `2026-01-31T08`.
    Hour,
    /// `2026-01-31`.
    Day,
    /// `2026-01`.
    Month,
    /// `2026`.
    Year,
}

impl Bucket {
    /// Times are stored as RFC 3339 text in UTC: the start of the text is the span.
    fn length(self) -> u32 {
        match self {
            Bucket::Minute => 16,
            Bucket::Hour => 13,
            Bucket::Day => 10,
            Bucket::Month => 7,
            Bucket::Year => 4,
        }
    }
}

/// What is computed of each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Its documents, or those that have the field.
    Count,
    /// The sum of a number.
    Sum,
    /// The mean of a number.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
}

/// Which groups of documents, and what of them.
#[derive(Debug, Clone, Default)]
pub struct Aggregate {
    /// CEL over the collection's schema.
    pub filter: Option<String>,
    /// What the filter may look at beside the document itself.
    pub links: Option<Arc<Links>>,
    /// Documents with the same values of these are a group; times by their span. None: all are one.
    pub groups: Vec<(String, Option<Bucket>)>,
    /// What is computed, and of which field.
    pub measures: Vec<(Measure, Option<String>)>,
    /// Groups: at most [`MAX_GROUPS`].
    pub limit: u32,
    /// Words that the documents have, as in [`Query::search`].
    pub search: Option<String>,
    /// The groups with the greatest first measure first, instead of by their keys.
    pub most_first: bool,
}

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its values, in the order of [`Aggregate::groups`].
    pub keys: Vec<Json>,
    /// What was computed, in the order of [`Aggregate::measures`]; null where there was nothing to compute of.
    pub values: Vec<Json>,
}

/// How a column is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Text,
    Integer,
    Decimal,
    Boolean,
}

struct Column {
    sql: String,
    read: Read,
}

impl Documents {
    /// Groups in the order of their keys, those without a value last.
    pub async fn aggregate(&self, collection: &str, a: &Aggregate) -> Result<Vec<Group>, DocumentError> {
        let c = self.collection(collection).await?;
        let d = self.db.dialect();
        if a.groups.len() > 8 || a.measures.len() > 16 || a.measures.is_empty() {
            return Err(DocumentError::Query("an aggregation has up to 8 groups and 1 to 16 measures".into()));
        }
        let (condition, values) =
            conditions(&c, d, &Query { filter: a.filter.clone(), links: a.links.clone(), search: a.search.clone(), ..Query::default() })?;
        let keys = a.groups.iter().map(|(field, bucket)| key(&c, d, field, *bucket)).collect::<Result<Vec<_>, _>>()?;
        let measures = a.measures.iter().map(|(m, field)| measure(&c, d, *m, field.as_deref())).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(i, k)| format!("{} AS k{i}", k.sql))
            .chain(measures.iter().enumerate().map(|(i, m)| format!("{} AS v{i}", m.sql)))
            .collect();
        let mut sql = format!("SELECT {} FROM {} WHERE {condition}", columns.join(", "), c.table);
        if !keys.is_empty() {
            let names = |suffix: &str| (1..=keys.len()).map(|i| format!("{i}{suffix}")).collect::<Vec<_>>().join(", ");
            let first = if a.most_first { format!("{} DESC NULLS LAST, ", keys.len() + 1) } else { String::new() };
            sql.push_str(&format!(" GROUP BY {} ORDER BY {first}{}", names(""), names(" NULLS LAST")));
        }
        sql.push_str(&format!(" LIMIT {}", a.limit.clamp(1, MAX_GROUPS)));
        let rows = self.db.fetch_all(&sql, &values).await?;
        let read = |row: &Row, columns: &[Column], letter: char| {
            columns.iter().enumerate().map(|(i, c)| value(row, &format!("{letter}{i}"), c.read)).collect::<Result<Vec<_>, _>>()
        };
        rows.iter().map(|row| Ok(Group { keys: read(row, &keys, 'k')?, values: read(row, &measures, 'v')? })).collect()
    }
}

/// The SQL of a field and its kind. Times of the document itself become the text that other times are.
fn field(c: &Collection, d: Dialect, name: &str) -> Result<(String, FieldKind), DocumentError> {
    if let Some(f) = c.spec.schema.field(name) {
        if matches!(f.kind, FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json) {
            return Err(DocumentError::Query(format!("{name} cannot be aggregated: it holds no single value")));
        }
        return Ok((field_sql(d, "data", name, &f.kind), f.kind.clone()));
    }
    match (name, d) {
        ("id", _) => Ok(("id".into(), FieldKind::Text)),
        ("version", _) => Ok(("version".into(), FieldKind::Integer)),
        ("created_at" | "updated_at", Dialect::Sqlite) => Ok((
            format!("(strftime('%Y-%m-%dT%H:%M:%S', {name} / 1000, 'unixepoch') || printf('.%03dZ', {name} % 1000))"),
            FieldKind::Timestamp,
        )),
        ("created_at" | "updated_at", Dialect::Postgres) => Ok((
            format!("(to_char(to_timestamp({name} / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') COLLATE \"C\")"),
            FieldKind::Timestamp,
        )),
        _ => {
            let hint = nearest(name, c.spec.schema.names()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            Err(DocumentError::Query(format!("records cannot be aggregated by {name}: there is no such field{hint}")))
        }
    }
}

fn reads(kind: &FieldKind) -> Read {
    match kind {
        FieldKind::Integer => Read::Integer,
        FieldKind::Decimal => Read::Decimal,
        FieldKind::Boolean => Read::Boolean,
        _ => Read::Text,
    }
}

/// PostgreSQL's booleans are read as the integers that SQLite has.
fn plain(d: Dialect, sql: String, kind: &FieldKind) -> String {
    if *kind == FieldKind::Boolean && d == Dialect::Postgres { format!("({sql}::int::bigint)") } else { sql }
}

fn key(c: &Collection, d: Dialect, name: &str, bucket: Option<Bucket>) -> Result<Column, DocumentError> {
    let (sql, kind) = field(c, d, name)?;
    match bucket {
        None => Ok(Column { sql: plain(d, sql, &kind), read: reads(&kind) }),
        Some(b) if kind == FieldKind::Timestamp => Ok(Column { sql: format!("substr({sql}, 1, {})", b.length()), read: Read::Text }),
        Some(_) => Err(DocumentError::Query(format!("{name} is no time: only times are grouped by spans"))),
    }
}

fn measure(c: &Collection, d: Dialect, measure: Measure, name: Option<&str>) -> Result<Column, DocumentError> {
    let Some(name) = name else {
        return match measure {
            Measure::Count => Ok(Column { sql: "COUNT(*)".into(), read: Read::Integer }),
            _ => Err(DocumentError::Query("a sum, mean, least or greatest value is that of a field: name it".into())),
        };
    };
    let (sql, kind) = field(c, d, name)?;
    let number = matches!(kind, FieldKind::Integer | FieldKind::Decimal);
    let column = |function: &str, read: Read| Column { sql: format!("{function}({sql})"), read };
    match measure {
        Measure::Count => Ok(column("COUNT", Read::Integer)),
        Measure::Sum | Measure::Avg if !number => Err(DocumentError::Query(format!("{name} is no number: it has no sum and no mean"))),
        // As doubles on both databases: sums of large numbers differ otherwise, in one an error and in the other a rounding.
        Measure::Sum => Ok(Column { sql: format!("SUM(CAST({sql} AS DOUBLE PRECISION))"), read: Read::Decimal }),
        Measure::Avg => Ok(Column { sql: format!("AVG(CAST({sql} AS DOUBLE PRECISION))"), read: Read::Decimal }),
        Measure::Min | Measure::Max => {
            let function = if measure == Measure::Min { "MIN" } else { "MAX" };
            Ok(Column { sql: format!("{function}({})", plain(d, sql, &kind)), read: reads(&kind) })
        }
    }
}

fn value(row: &Row, column: &str, read: Read) -> Result<Json, StoreError> {
    Ok(match read {
        Read::Text => row.opt_text(column)?.map_or(Json::Null, Json::String),
        Read::Integer => row.opt_int(column)?.map_or(Json::Null, Json::from),
        Read::Boolean => row.opt_int(column)?.map_or(Json::Null, |n| Json::Bool(n != 0)),
        // A whole number is shown as one.
        Read::Decimal => match row.number(column)? {
            Some(n) if n.fract() == 0.0 && n.abs() < 9e15 => Json::from(n as i64),
            Some(n) => Json::from(n),
            None => Json::Null,
        },
    })
}
