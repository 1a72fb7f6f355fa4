//! The one filter language: a CEL expression over a record, parsed once and checked against the record's schema into one
//! typed form, which has two backends: SQL ([`Filter::to_sql`]) and memory ([`Filter::matches`]). A property test holds that
//! they agree.
//!
//! Semantics where CEL leaves room, the same in both backends: a field that is absent is null; null equals only null, and is
//! neither less nor greater than anything; a null boolean counts as false; every predicate is true or false, never unknown.
//! Text compares by code points, times as instants; a whole number compares with a whole number exactly, else both as doubles.

mod eval;
mod guard;
mod links;
mod parse;
mod parse_links;
mod schema;
mod sql;
mod sql_links;

#[cfg(test)]
mod tests;

pub(crate) use links::Reach;
pub use links::{Link, LinkTable, Links, MAX_LINK_DEPTH, Named, Neighbour, Record};
pub use schema::{Field, FieldKind, Schema, nearest, normal_time, time_ms, valid_name};
pub(crate) use sql::field_sql;

use crate::sql::{Dialect, Value};

/// Longest filter, in bytes.
pub const MAX_FILTER_BYTES: usize = 8 * 1024;
/// Deepest nesting, and most terms.
pub const MAX_FILTER_DEPTH: usize = 32;
/// Most terms of a filter.
pub const MAX_FILTER_TERMS: usize = 200;

/// A filter that cannot be used, with the place and, where there is one, the nearest thing that would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .hint.as_deref().map(|h| format!("; did you mean {h}?")).unwrap_or_default())]
pub struct FilterError {
    /// Stable code: `filter.syntax`, `filter.unknown_field`, `filter.type`, `filter.unsupported`, `filter.too_large`.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Offset in the source, in characters.
    pub position: Option<usize>,
    /// A field or word that was probably meant.
    pub hint: Option<String>,
}

/// A checked filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    source: String,
    expr: Expr,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

/// Where a value comes from: the record, or the variable of the `exists`/`all` at this depth (0 is the record). Such a variable is an element
/// of a list, or another record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    pub depth: usize,
    /// Empty for the variable itself.
    pub keys: Vec<String>,
    pub kind: FieldKind,
    /// A column of the row instead of a key of the JSON.
    pub column: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextOp {
    StartsWith,
    EndsWith,
    Contains,
}

/// The typed form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Const(bool),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    /// A boolean field by itself.
    Truth(Path),
    Compare(CompareOp, Path, Literal),
    ComparePaths(CompareOp, Path, Path),
    /// `has(f)`: present and not null.
    Has(Path),
    /// `f in [..]`
    In(Path, Vec<Literal>),
    /// `x in list`
    Contains(Path, Literal),
    Text(TextOp, Path, String),
    /// `size(f) op n`
    Size(CompareOp, Path, i64),
    /// `list.exists(v, e)` / `list.all(v, e)`
    Exists(Path, Box<Expr>),
    All(Path, Box<Expr>),
    /// `link.exists(v, e)`, and when the flag is set `link.all(v, e)`
    Linked(Box<Reach>, bool, Box<Expr>),
    /// The record at this depth is of this collection.
    Of(usize, String),
    /// `size(link) op n`
    LinkedSize(CompareOp, Box<Reach>, i64),
}

impl Filter {
    /// Parses `source` and checks it against the schema.
    pub fn parse(source: &str, schema: &Schema) -> Result<Filter, FilterError> {
        Ok(Filter { source: source.to_owned(), expr: parse::parse(source, schema, None)? })
    }

    /// The same for a filter that may follow links and name other filters.
    pub fn parse_linked(source: &str, schema: &Schema, links: &Links) -> Result<Filter, FilterError> {
        Ok(Filter { source: source.to_owned(), expr: parse::parse(source, schema, Some(links))? })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the record matches.
    pub fn matches(&self, record: &serde_json::Value) -> bool {
        eval::eval(&self.expr, &mut vec![eval::Node::Json(record)])
    }

    /// Whether a record matches that brings those along that its links lead to.
    pub fn matches_record(&self, record: &Record) -> bool {
        eval::eval(&self.expr, &mut vec![eval::Node::Record(record)])
    }

    /// A condition for WHERE and its parameters. `row` names the table whose rows have the columns of documents. Refuses what the database
    /// cannot decide, naming it.
    pub fn to_sql(&self, dialect: Dialect, row: &str) -> Result<(String, Vec<Value>), FilterError> {
        sql::translate(&self.expr, dialect, row)
    }

    /// Whether it looks at other records.
    pub fn follows_links(&self) -> bool {
        fn walk(e: &Expr) -> bool {
            match e {
                Expr::Linked(..) | Expr::LinkedSize(..) => true,
                Expr::And(a, b) | Expr::Or(a, b) => walk(a) || walk(b),
                Expr::Not(a) => walk(a),
                _ => false,
            }
        }
        walk(&self.expr)
    }

    /// All fields of the record that the filter looks at.
    pub fn fields(&self) -> Vec<String> {
        fn walk(e: &Expr, out: &mut Vec<String>) {
            match e {
                Expr::Const(_) | Expr::Of(..) | Expr::LinkedSize(..) => {}
                // What is asked of other records may be compared with this one's fields.
                Expr::Linked(_, _, of) => walk(of, out),
                Expr::And(a, b) | Expr::Or(a, b) => {
                    walk(a, out);
                    walk(b, out);
                }
                Expr::Not(a) => walk(a, out),
                Expr::Truth(p)
                | Expr::Compare(_, p, _)
                | Expr::Has(p)
                | Expr::In(p, _)
                | Expr::Contains(p, _)
                | Expr::Text(_, p, _)
                | Expr::Size(_, p, _) => push(p, out),
                // What is asked of a list's items may look at the record's other fields too.
                Expr::Exists(p, of) | Expr::All(p, of) => {
                    push(p, out);
                    walk(of, out);
                }
                Expr::ComparePaths(_, a, b) => {
                    push(a, out);
                    push(b, out);
                }
            }
        }
        fn push(p: &Path, out: &mut Vec<String>) {
            if p.depth == 0
                && let Some(k) = p.keys.first()
                && !out.contains(k)
            {
                out.push(k.clone());
            }
        }
        let mut out = Vec::new();
        walk(&self.expr, &mut out);
        out
    }
}
