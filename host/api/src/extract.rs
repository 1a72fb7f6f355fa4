//! Extractors: who calls, and bodies and queries whose errors are problem details.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use plenum_access::{Principal, UserPrincipal};
use serde::de::DeserializeOwned;

use crate::App;
use crate::error::ApiError;

/// The name of the session cookie.
pub const SESSION_COOKIE: &str = "plenum_session";

/// The signed-in caller. Rejects with 401 without a session or token, and with 403 when a changing request by session comes
/// from another origin.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

/// How the caller proved who it is; beside [`Caller`] for the few routes that care.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The user.
    pub user: UserPrincipal,
    /// The session's secret, when it came by cookie.
    pub session: Option<String>,
}

/// The session's secret from the cookie header, if there is one.
pub fn session_secret(parts: &Parts) -> Option<String> {
    parts.headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SESSION_COOKIE && !value.is_empty()).then(|| value.to_owned())
    })
}

/// Whether a changing request comes from the portal itself. Browsers send `Origin` with every cross-site and every changing
/// request, so its absence means that no browser page of another site made the request.
pub fn same_origin(parts: &Parts) -> bool {
    if let Some(site) = parts.headers.get("sec-fetch-site").and_then(|v| v.to_str().ok())
        && site != "same-origin"
        && site != "none"
    {
        return false;
    }
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return true };
    let (Ok(origin), Some(host)) = (origin.to_str(), parts.headers.get(header::HOST).and_then(|h| h.to_str().ok())) else { return false };
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// Refuses a changing request of another origin.
pub fn check_origin(parts: &Parts) -> Result<(), ApiError> {
    let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || same_origin(parts) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "request.origin",
        "Request from another origin",
        "a changing request by session must come from the portal's own pages; scripts use an API token instead",
    ))
}

impl FromRequestParts<App> for Credential {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let unauthorised = |detail: &str| ApiError::new(StatusCode::UNAUTHORIZED, "access.unauthenticated", "Sign in first", detail);
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
            let user = app.access.token_user(token).await?;
            let user = user.ok_or_else(|| {
                unauthorised("the API token is unknown, expired or deleted; make a new one in the portal under your name")
            })?;
            return Ok(Credential { user, session: None });
        }
        let secret = session_secret(parts)
            .ok_or_else(|| unauthorised("sign in at the portal, or send an API token as `Authorization: Bearer plt_...`"))?;
        let user = app.access.session_user(&secret).await?;
        let user = user.ok_or_else(|| unauthorised("the session has ended; sign in again"))?;
        check_origin(parts)?;
        Ok(Credential { user, session: Some(secret) })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Caller(Principal::User(Credential::from_request_parts(parts, app).await?.user)))
    }
}

/// A JSON body whose errors are problem details that point to the wrong field.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

/// Decodes JSON; what is wrong is named by its JSON pointer.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let title = "The request's body is not valid";
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        if !e.inner().is_data() {
            let detail = format!("the body is not JSON: {}", e.inner());
            return ApiError::new(StatusCode::BAD_REQUEST, "request.body", title, detail);
        }
        use serde_path_to_error::Segment;
        let mut pointer = String::new();
        for segment in e.path().iter() {
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
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(m, _)| m);
        let detail = if pointer.is_empty() { message.to_owned() } else { format!("{pointer}: {message}") };
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "request.body", title, detail).at(pointer)
    })?;
    json.end().map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, "request.body", title, format!("the body is not JSON: {e}")))?;
    Ok(value)
}

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(req: Request, app: &App) -> Result<Self, Self::Rejection> {
        let media = req.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media != "application/json" && !(media.starts_with("application/") && media.ends_with("+json")) {
            let detail = "say Content-Type: application/json; a body of another type is not read";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.media_type", "The request's body is not valid", detail));
        }
        Ok(JsonBody(decode(&axum::body::Bytes::from_request(req, app).await?)?))
    }
}

/// A query string whose errors are problem details.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Query(axum::extract::Query::<T>::from_request_parts(parts, app).await?.0))
    }
}

/// Path parameters whose errors are problem details.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Path(axum::extract::Path::<T>::from_request_parts(parts, app).await?.0))
    }
}
