//! Sessions, users, API tokens, the audit log.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plenum_access::{ApiToken, AuditEntry, AuditQuery, Permission, Principal, Role, User, UserPatch};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, Credential, JsonBody, Path, Query, SESSION_COOKIE, check_origin, session_secret};
use crate::list::{Page, rfc3339};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(session, sign_in, sign_out))
        .routes(routes!(change_password))
        .routes(routes!(list_users, create_user))
        .routes(routes!(update_user))
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(delete_token))
        .routes(routes!(audit))
}

/// Who is signed in and what that person may do.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionInfo {
    id: String,
    name: String,
    display_name: String,
    /// `administrator`, `operator` or `viewer`.
    role: String,
    /// Names of all permissions of that role.
    permissions: Vec<&'static str>,
}

/// A sign-in.
#[derive(Deserialize, ToSchema)]
pub struct SignIn {
    name: String,
    password: String,
}

/// A new password, proved by the current one.
#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    current: String,
    new: String,
}

/// A user account.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserJson {
    id: String,
    name: String,
    display_name: String,
    role: String,
    disabled: bool,
    created_at: String,
    updated_at: String,
}

/// A new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    name: String,
    #[serde(default)]
    display_name: String,
    role: String,
    password: String,
}

/// Changes of a user; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    display_name: Option<String>,
    role: Option<String>,
    disabled: Option<bool>,
    password: Option<String>,
}

/// An API token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenJson {
    id: String,
    name: String,
    role: String,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    /// The token itself: only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A new API token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    name: String,
    role: String,
    /// Days until it ends; never when absent.
    expires_in_days: Option<u32>,
}

/// A line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditJson {
    seq: i64,
    at: String,
    actor: String,
    action: String,
    target: String,
    allowed: bool,
    reason: Option<String>,
    before: serde_json::Value,
    after: serde_json::Value,
}

/// Which lines of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Exact target, `host/0197...`.
    target: Option<String>,
    /// Start of the action, `cmdb.`.
    action: Option<String>,
    /// Exact actor, in words.
    actor: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows: 50 when absent, 500 at the most.
    limit: Option<u32>,
}

fn role(name: &str) -> ApiResult<Role> {
    Role::from_name(name).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "access.unknown_role",
            "A value is not valid",
            format!("there is no role {name:?}; use administrator, operator or viewer"),
        )
        .at("/role")
    })
}

fn user_json(u: User) -> UserJson {
    UserJson {
        id: u.id,
        name: u.name,
        display_name: u.display_name,
        role: u.role.name().to_owned(),
        disabled: u.disabled,
        created_at: rfc3339(u.created_at),
        updated_at: rfc3339(u.updated_at),
    }
}

fn token_json(t: ApiToken, token: Option<String>) -> TokenJson {
    TokenJson {
        id: t.id,
        name: t.name,
        role: t.role.name().to_owned(),
        created_at: rfc3339(t.created_at),
        expires_at: t.expires_at.map(rfc3339),
        last_used_at: t.last_used_at.map(rfc3339),
        token,
    }
}

async fn info(app: &App, id: &str, role: Role) -> ApiResult<SessionInfo> {
    let user = app.access.user(id).await?.ok_or_else(|| ApiError::not_found("access.not_found", "your account is gone"))?;
    Ok(SessionInfo {
        id: user.id,
        name: user.name,
        display_name: user.display_name,
        role: role.name().to_owned(),
        permissions: Permission::ALL.iter().filter(|p| role.allows(**p)).map(|p| p.name()).collect(),
    })
}

fn cookie(app: &App, value: &str, max_age_s: i64) -> ApiResult<HeaderValue> {
    let secure = if app.info.https { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}"))
        .map_err(ApiError::internal)
}

/// Changing requests that come without a session: their origin is checked all the same.
pub struct OwnOrigin {
    session: Option<String>,
}

impl FromRequestParts<App> for OwnOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        check_origin(parts)?;
        Ok(OwnOrigin { session: session_secret(parts) })
    }
}

/// Who is signed in; empty when nobody is. A token that is not good is refused.
#[utoipa::path(get, path = "/session", tag = "access",
    responses((status = 200, body = SessionInfo), (status = 204, description = "Nobody is signed in"), (status = 401, body = Problem)))]
async fn session(State(app): State<App>, headers: HeaderMap, credential: Result<Credential, ApiError>) -> ApiResult<Response> {
    match credential {
        Ok(c) => Ok(Json(info(&app, &c.user.id, c.user.role).await?).into_response()),
        // The sign-in page has to ask: a refusal would stand in every browser's console as an error.
        Err(e) if e.problem().status == StatusCode::UNAUTHORIZED.as_u16() && !headers.contains_key(header::AUTHORIZATION) => {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Err(e) => Err(e),
    }
}

/// Sign in: sets the session cookie.
#[utoipa::path(post, path = "/session", tag = "access", request_body = SignIn,
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem), (status = 429, body = Problem)))]
async fn sign_in(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    _: OwnOrigin,
    JsonBody(body): JsonBody<SignIn>,
) -> ApiResult<Response> {
    let client = peer.ip().to_string();
    let user = app.access.authenticate(&body.name, &body.password, &client).await?;
    let secret = app.access.open_session(&user, &client).await?;
    let answer = info(&app, &user.id, user.role).await?;
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie(&app, &secret, plenum_access::sessions::SESSION_MAX_MS / 1000)?);
    Ok(response)
}

/// Sign out: ends the session and clears the cookie.
#[utoipa::path(delete, path = "/session", tag = "access", responses((status = 204)))]
async fn sign_out(State(app): State<App>, own: OwnOrigin) -> ApiResult<Response> {
    if let Some(secret) = &own.session {
        app.access.close_session(secret).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie(&app, "", 0)?);
    Ok(response)
}

/// Change one's own password; ends all other sessions.
#[utoipa::path(put, path = "/session/password", tag = "access", request_body = PasswordChange, responses((status = 204), (status = 401, body = Problem), (status = 422, body = Problem)))]
async fn change_password(
    State(app): State<App>,
    credential: Credential,
    JsonBody(body): JsonBody<PasswordChange>,
) -> ApiResult<StatusCode> {
    let who = Principal::User(credential.user);
    app.access.change_password(&who, &body.current, &body.new, credential.session.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All users.
#[utoipa::path(get, path = "/users", tag = "access", responses((status = 200, body = Page<UserJson>), (status = 403, body = Problem)))]
async fn list_users(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<UserJson>>> {
    let items: Vec<_> = app.access.users(&who).await?.into_iter().map(user_json).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Create a user.
#[utoipa::path(post, path = "/users", tag = "access", request_body = NewUser, responses((status = 201, body = UserJson), (status = 422, body = Problem)))]
async fn create_user(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<NewUser>,
) -> ApiResult<(StatusCode, Json<UserJson>)> {
    let user = app.access.create_user(&who, &body.name, &body.display_name, role(&body.role)?, &body.password).await?;
    Ok((StatusCode::CREATED, Json(user_json(user))))
}

/// Change a user's display name, role, password, or close the account.
#[utoipa::path(patch, path = "/users/{id}", tag = "access", request_body = UserChange, params(("id" = String, Path)),
    responses((status = 200, body = UserJson), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn update_user(
    State(app): State<App>,
    Caller(who): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<UserChange>,
) -> ApiResult<Json<UserJson>> {
    let patch = UserPatch {
        display_name: body.display_name,
        role: body.role.as_deref().map(role).transpose()?,
        disabled: body.disabled,
        password: body.password,
    };
    Ok(Json(user_json(app.access.update_user(&who, &id, patch).await?)))
}

/// One's own API tokens.
#[utoipa::path(get, path = "/tokens", tag = "access", responses((status = 200, body = Page<TokenJson>)))]
async fn list_tokens(State(app): State<App>, Caller(who): Caller) -> ApiResult<Json<Page<TokenJson>>> {
    let items: Vec<_> = app.access.tokens(&who).await?.into_iter().map(|t| token_json(t, None)).collect();
    let total = i64::try_from(items.len()).ok();
    Ok(Json(Page { items, next_cursor: None, total }))
}

/// Make an API token; it is shown once.
#[utoipa::path(post, path = "/tokens", tag = "access", request_body = NewToken, responses((status = 201, body = TokenJson), (status = 422, body = Problem)))]
async fn create_token(
    State(app): State<App>,
    Caller(who): Caller,
    JsonBody(body): JsonBody<NewToken>,
) -> ApiResult<(StatusCode, Json<TokenJson>)> {
    let ttl = body.expires_in_days.map(|d| i64::from(d) * 24 * 3600 * 1000);
    let (token, secret) = app.access.create_token(&who, &body.name, role(&body.role)?, ttl).await?;
    Ok((StatusCode::CREATED, Json(token_json(token, Some(secret)))))
}

/// Delete one of one's own API tokens.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", params(("id" = String, Path)), responses((status = 204), (status = 404, body = Problem)))]
async fn delete_token(State(app): State<App>, Caller(who): Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.access.delete_token(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The audit log, newest first.
#[utoipa::path(get, path = "/audit", tag = "access", params(AuditParams), responses((status = 200, body = Page<AuditJson>), (status = 403, body = Problem)))]
async fn audit(State(app): State<App>, Caller(who): Caller, Query(q): Query<AuditParams>) -> ApiResult<Json<Page<AuditJson>>> {
    app.access.require(&who, Permission::AuditRead, &[]).await?;
    let before_seq = q
        .cursor
        .as_deref()
        .map(|c| c.parse::<i64>().map_err(|_| ApiError::bad_request("request.cursor", "`cursor` is the `next_cursor` of an earlier page")))
        .transpose()?;
    let limit = q.limit.unwrap_or(crate::list::DEFAULT_LIMIT).clamp(1, crate::list::MAX_LIMIT);
    let query = AuditQuery { before_seq, target: q.target, action_prefix: q.action, actor: q.actor, limit };
    let entries = app.access.audit_log(&query).await?;
    let next_cursor = if entries.len() < limit as usize { None } else { entries.last().map(|e| e.seq.to_string()) };
    let items = entries.into_iter().map(audit_json).collect();
    Ok(Json(Page { items, next_cursor, total: None }))
}

fn audit_json(e: AuditEntry) -> AuditJson {
    AuditJson {
        seq: e.seq,
        at: rfc3339(e.at),
        actor: e.actor,
        action: e.action,
        target: e.target,
        allowed: e.allowed,
        reason: e.reason,
        before: e.before,
        after: e.after,
    }
}
