//! What all lists have in common, and how times look.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Rows of a page when the caller does not say.
pub const DEFAULT_LIMIT: u32 = 50;
/// Most rows of a page.
pub const MAX_LIMIT: u32 = 500;

/// The query of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ListQuery {
    /// A CEL expression over the fields of a row.
    pub filter: Option<String>,
    /// Free text.
    pub search: Option<String>,
    /// A field; a leading `-` sorts downwards.
    pub sort: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows of the page: 50 when absent, 500 at the most.
    pub limit: Option<u32>,
}

impl ListQuery {
    /// The number of rows, within bounds.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }

    /// The text of a field that may be present but empty.
    pub fn non_empty(value: &Option<String>) -> Option<String> {
        value.as_deref().map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned)
    }
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Send it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// Rows of all pages, where that is known at a bounded cost.
    pub total: Option<i64>,
}

/// RFC 3339 in UTC with milliseconds, from milliseconds since the Unix epoch.
pub fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
