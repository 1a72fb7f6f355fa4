//! What can go wrong, in words for the person who can act.

use serde::Serialize;

use crate::check::validate::Problem;

/// An error on its way to a caller: RFC 9457 over HTTP, an action's error in a workflow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// HTTP's word for it.
    pub status: u16,
    /// Stable, for programs.
    pub code: String,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// Each wrong field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Problem>,
}

impl Failure {
    /// An error.
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), detail: detail.into(), errors: Vec::new() }
    }

    /// There is no such thing.
    pub fn missing(what: &str, id: &str) -> Self {
        Self::new(404, "inspection.not_found", format!("there is no {what} {id:?}; it may have been deleted"))
    }

    /// Fields that are wrong.
    pub fn invalid(detail: impl Into<String>, errors: Vec<Problem>) -> Self {
        Self { errors, ..Self::new(422, "inspection.invalid", detail) }
    }

    /// One field that is wrong.
    pub fn field(pointer: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::invalid(message.clone(), vec![Problem { pointer: pointer.to_owned(), message }])
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(500, "inspection.data", format!("a stored record could not be read: {error}"))
    }
}
