//! What a record looks like, as far as filters, sorting and indexes need to know.

use serde::{Deserialize, Serialize};

/// The kind of a field's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A double.
    Decimal,
    /// True or false.
    Boolean,
    /// RFC 3339 text in UTC with milliseconds: see [`normal_time`].
    Timestamp,
    /// A list of one kind.
    List(Box<FieldKind>),
    /// A list of records with these fields.
    Table(Vec<Field>),
    /// Anything.
    Json,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its key: a letter or underscore, then letters, digits, underscores; at most 64.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
}

impl Field {
    /// A field.
    pub fn new(name: &str, kind: FieldKind) -> Field {
        Field { name: name.to_owned(), kind }
    }
}

/// The fields of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// In no particular order; names are unique.
    pub fields: Vec<Field>,
}

/// What every document has beside its own fields, and the column it stands in.
pub const SYSTEM_FIELDS: &[(&str, FieldKind)] =
    &[("id", FieldKind::Text), ("version", FieldKind::Integer), ("created_at", FieldKind::Timestamp), ("updated_at", FieldKind::Timestamp)];

impl Schema {
    /// A schema of these fields.
    pub fn new(fields: Vec<Field>) -> Schema {
        Schema { fields }
    }

    /// A field of the record itself.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// All names that a filter may use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.name.as_str()).chain(SYSTEM_FIELDS.iter().map(|(n, _)| *n))
    }
}

/// Whether a name can be a field: it goes into SQL as part of an index expression, so nothing else may.
pub fn valid_name(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 64
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// RFC 3339 text as stored: UTC, milliseconds, `Z`, so that text order is the order of time. Through the instant, since a leap
/// second has two spellings; within the years of four digits, since others do not sort.
pub fn normal_time(text: &str) -> Option<String> {
    time_text(time_ms(text)?)
}

/// Milliseconds since the Unix epoch of an RFC 3339 text.
pub fn time_ms(text: &str) -> Option<i64> {
    Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
}

/// The stored form of milliseconds since the Unix epoch.
pub(crate) fn time_text(ms: i64) -> Option<String> {
    let t = chrono::DateTime::from_timestamp_millis(ms)?;
    (0..=9999).contains(&chrono::Datelike::year(&t)).then(|| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// The name nearest to `word`, when one is near enough to have been meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let limit = (word.chars().count() / 2).clamp(1, 3);
    names.into_iter().map(|n| (distance(word, n), n)).filter(|(d, _)| *d <= limit).min().map(|(_, n)| n.to_owned())
}

/// Levenshtein distance, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = *cell;
            left = substitute.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}
