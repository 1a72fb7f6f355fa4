//! RFC 9457 problem details: every error that leaves the API has this shape.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plenum_access::AccessError;
use plenum_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// An error of the API, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:plenum:error:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What went wrong, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// Stable code, `cmdb.unknown_attribute`.
    pub code: String,
    /// JSON pointer of the offending part of the request's body, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// All that is wrong, when there is more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// One of several things that are wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldProblem {
    /// JSON pointer into the request's body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// The error type of all handlers.
#[derive(Debug)]
pub struct ApiError {
    problem: Box<Problem>,
    retry_after_s: Option<u64>,
}

/// What handlers answer.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A problem with a stable code, a short title and a detail that says what to do.
    pub fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> ApiError {
        ApiError {
            problem: Box::new(Problem {
                kind: format!("urn:plenum:error:{code}"),
                title: title.to_owned(),
                status: status.as_u16(),
                detail: detail.into(),
                code: code.to_owned(),
                pointer: None,
                errors: Vec::new(),
            }),
            retry_after_s: None,
        }
    }

    /// 400.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, "The request is not valid", detail)
    }

    /// 404.
    pub fn not_found(code: &str, detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, code, "Not found", detail)
    }

    /// 500. The detail goes to the log; the caller gets a number to quote.
    pub fn internal(detail: impl std::fmt::Display) -> ApiError {
        let id = uuid::Uuid::new_v4();
        tracing::error!(%id, error = %detail, "internal error");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something failed inside the host",
            format!("the host failed at this; its log has the reason under {id}: give that to your administrator"),
        )
    }

    /// Adds the JSON pointer of the offending part.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> ApiError {
        self.problem.pointer = Some(pointer.into());
        self
    }

    /// Adds several things that are wrong: (pointer, detail).
    #[must_use]
    pub fn with_errors(mut self, errors: impl IntoIterator<Item = (String, String)>) -> ApiError {
        self.problem.errors = errors.into_iter().map(|(pointer, detail)| FieldProblem { pointer, detail }).collect();
        self
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> ApiError {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The problem that will be answered.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(s) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(s));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        match &e {
            StoreError::Conflict { .. } => ApiError::new(StatusCode::CONFLICT, "store.conflict", "Changed by somebody else", e.to_string()),
            StoreError::Full => ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "store.full", "The disk is full", e.to_string()),
            StoreError::Unique(m) => ApiError::new(StatusCode::CONFLICT, "store.unique", "Already there", m.clone()),
            _ => ApiError::internal(e),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(e: AccessError) -> Self {
        let code = e.code();
        match e {
            AccessError::Denied(d) => ApiError::new(StatusCode::FORBIDDEN, code, "Not allowed", d.reason),
            AccessError::Store(s) => s.into(),
            AccessError::WrongPassword => {
                ApiError::new(StatusCode::UNAUTHORIZED, code, "Sign-in failed", AccessError::WrongPassword.to_string())
            }
            AccessError::TooManyAttempts { retry_after_ms } => {
                let seconds = u64::try_from(retry_after_ms.max(0)).unwrap_or(0).div_ceil(1000);
                ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    code,
                    "Too many tries",
                    AccessError::TooManyAttempts { retry_after_ms }.to_string(),
                )
                .retry_after(seconds)
            }
            AccessError::Invalid { field, message } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, "A value is not valid", message).at(format!("/{field}"))
            }
            AccessError::NotFound(m) => ApiError::not_found(code, m),
            AccessError::Internal(m) => ApiError::internal(m),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(e: BytesRejection) -> Self {
        let code = match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "request.too_large",
            _ => "request.body",
        };
        ApiError::new(e.status(), code, "The request's body is not valid", e.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(e: QueryRejection) -> Self {
        ApiError::bad_request("request.query", e.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(e: PathRejection) -> Self {
        ApiError::bad_request("request.path", e.body_text())
    }
}
