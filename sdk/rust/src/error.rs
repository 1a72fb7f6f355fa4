//! What can go wrong, in words for the person who can act on it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// JSON pointer, `/items/0/name`.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// An error: problem JSON (RFC 9457) over HTTP, the error of an action or of the platform otherwise.
///
/// ```
/// use plenum_sdk::Error;
/// let e = Error::not_found("notes.not_found", "there is no note \"7\"; it may have been deleted");
/// assert_eq!(e.status, 404);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Stable, for programs: `notes.not_found`.
    pub code: String,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// The HTTP status that fits.
    pub status: u16,
    /// Each wrong field.
    pub problems: Vec<Problem>,
}

/// What most functions of the SDK answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Error {
        Error { code: code.into(), message: message.into(), status, problems: Vec::new() }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(400, code, message)
    }

    /// 403: the person may not.
    pub fn forbidden(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(403, code, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(404, code, message)
    }

    /// 409: somebody was faster, or it is there already.
    pub fn conflict(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(409, code, message)
    }

    /// 500: it is the plugin's fault.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(500, code, message)
    }

    /// 422: one field is wrong, named by its JSON pointer.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Error {
        let (pointer, message) = (pointer.into(), message.into());
        Error { problems: vec![Problem { pointer, message: message.clone() }], ..Error::new(422, "request.invalid", message) }
    }

    /// 422: several fields are wrong.
    pub fn invalid_fields(message: impl Into<String>, problems: Vec<Problem>) -> Error {
        Error { problems, ..Error::new(422, "request.invalid", message) }
    }

    /// The same error, said of a place in the request: for what the platform refused because of a field that somebody typed, such as a
    /// filter. A fault of the platform or of the plugin (500 and above) stays as it is.
    ///
    /// ```
    /// use plenum_sdk::Error;
    /// let refused = Error::bad_request("filter.syntax", "the filter is not CEL").at("/filter");
    /// assert_eq!(refused.problem()["errors"][0]["pointer"], "/filter");
    /// ```
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Error {
        if self.status < 500 {
            self.problems = vec![Problem { pointer: pointer.into(), message: self.message.clone() }];
        }
        self
    }

    /// Whether it is the caller's: what they asked for was wrong, not allowed or not there (status 400 to 499).
    pub fn is_refusal(&self) -> bool {
        (400..500).contains(&self.status)
    }

    /// As problem JSON.
    pub fn problem(&self) -> serde_json::Value {
        let title = match self.status {
            400 => "The request cannot be read",
            403 => "Not allowed",
            404 => "Not found",
            405 => "Method not allowed",
            409 | 412 => "Conflict",
            413 => "Too large",
            422 => "Not valid",
            429 => "Too many requests",
            _ => "Failed",
        };
        let mut body = serde_json::json!({
            "type": "about:blank", "title": title, "status": self.status, "code": self.code, "detail": self.message,
        });
        if let (Some(first), Some(fields)) = (self.problems.first(), body.as_object_mut()) {
            fields.insert("pointer".into(), first.pointer.clone().into());
            fields.insert("errors".into(), serde_json::json!(self.problems));
        }
        body
    }

    /// The message with the place of each wrong field: what fits where there is one line of text only.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        for p in self.problems.iter().filter(|p| p.message != self.message) {
            line.push_str(&format!("; {}: {}", p.pointer, p.message));
        }
        if let [one] = self.problems.as_slice()
            && one.message == self.message
            && !one.pointer.is_empty()
        {
            line = format!("{}: {line}", one.pointer);
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.line(), self.code)
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Error {
        Error::internal("plugin.json", format!("JSON does not have the form that the plugin expects: {e}"))
    }
}

/// Decodes JSON; what is wrong is named by its pointer.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        if e.inner().is_syntax() || e.inner().is_eof() {
            return Error::bad_request("request.json", format!("the body is not JSON: {}", e.inner()));
        }
        let mut pointer = String::new();
        for segment in e.path().iter() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Segment::Unknown => {}
            }
        }
        // Line and column of a body that a program wrote help nobody; the pointer does.
        let message = e.inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(m, _)| m).to_owned();
        Error::invalid(pointer, message)
    })?;
    json.end().map_err(|e| Error::bad_request("request.json", format!("the body is not JSON: {e}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Item {
        #[allow(dead_code)]
        count: u32,
    }

    #[test]
    fn a_wrong_field_is_named() {
        let e = decode::<Vec<Item>>(br#"[{"count": 1}, {"count": "x"}]"#).unwrap_err();
        assert_eq!((e.status, e.problems[0].pointer.as_str()), (422, "/1/count"));
        assert!(!e.message.contains("line"), "{e}");
        assert_eq!(e.problem()["errors"][0]["pointer"], "/1/count");
        assert_eq!(decode::<Item>(b"{").unwrap_err().status, 400);
        assert_eq!(decode::<Item>(br#"{"count":1} x"#).unwrap_err().status, 400);
    }
}
