//! Sessions of the portal and API tokens. Of either secret only a SHA-256 is stored: both are random with 256 bits, so a
//! slow hash would add nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plenum_store::{StoreError, new_id, now_ms, params};
use rand::RngCore;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::permission::Role;
use crate::principal::{Principal, UserPrincipal};
use crate::users::User;
use crate::{Access, AccessError};

/// A session ends this long after its last use,
pub const SESSION_IDLE_MS: i64 = 12 * 3600 * 1000;
/// and this long after sign-in, whatever is done.
pub const SESSION_MAX_MS: i64 = 7 * 24 * 3600 * 1000;
/// The time of last use is written at most this often, so that reading a page does not cost a write.
const TOUCH_MS: i64 = 5 * 60 * 1000;
/// Sessions of one user beyond this end, the oldest first.
const MAX_SESSIONS: i64 = 50;
/// What API tokens start with, so that a leaked one is recognised by scanners.
pub const TOKEN_PREFIX: &str = "plt_";

/// An API token, without its secret.
#[derive(Debug, Clone, Serialize)]
pub struct ApiToken {
    /// Token id.
    pub id: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// It can do what this role and its user's role both may.
    pub role: Role,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch; `None` for never.
    pub expires_at: Option<i64>,
    /// Milliseconds since the Unix epoch, to five minutes.
    pub last_used_at: Option<i64>,
}

pub(crate) fn secret() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn hash_secret(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

impl Access {
    /// Opens a session for a user who has just authenticated; answers the secret for the cookie.
    pub async fn open_session(&self, user: &User, client: &str) -> Result<String, AccessError> {
        let secret = secret();
        let now = now_ms();
        let mut tx = self.db().begin().await?;
        tx.execute("DELETE FROM sessions WHERE expires_at < ?", params![now]).await?;
        tx.execute(
            "DELETE FROM sessions WHERE user_id = ? AND id_hash NOT IN (SELECT id_hash FROM sessions WHERE user_id = ? ORDER BY last_seen_at DESC LIMIT ?)",
            params![&user.id, &user.id, MAX_SESSIONS - 1],
        )
        .await?;
        tx.execute(
            "INSERT INTO sessions (id_hash, user_id, created_at, expires_at, last_seen_at, client) VALUES (?, ?, ?, ?, ?, ?)",
            params![hash_secret(&secret), &user.id, now, now + SESSION_IDLE_MS, now, client.chars().take(200).collect::<String>()],
        )
        .await?;
        self.audit(
            &mut tx,
            &Principal::User(user.principal()),
            "access.session.open",
            &format!("user/{}", user.id),
            None,
            Some(&json!({"client": client})),
        )
        .await?;
        // The oldest of too many has ended.
        self.forget_after(&mut tx);
        tx.commit().await?;
        Ok(secret)
    }

    /// The user of a session, while it lasts and the account is open.
    pub async fn session_user(&self, secret: &str) -> Result<Option<UserPrincipal>, AccessError> {
        let now = now_ms();
        let id_hash = hash_secret(secret);
        if let Some(user) = self.known().get(&id_hash) {
            return Ok(Some(user));
        }
        let generation = self.known().generation();
        let row = self
            .db()
            .fetch_optional(
                "SELECT u.id, u.name, u.role, s.created_at, s.expires_at, s.last_seen_at FROM sessions s JOIN users u ON u.id = s.user_id
                 WHERE s.id_hash = ? AND s.expires_at > ? AND u.disabled = 0",
                params![&id_hash, now],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let created = row.int("created_at")?;
        if now - created > SESSION_MAX_MS {
            return Ok(None);
        }
        if now - row.int("last_seen_at")? > TOUCH_MS {
            let until = (now + SESSION_IDLE_MS).min(created + SESSION_MAX_MS);
            self.db()
                .execute("UPDATE sessions SET last_seen_at = ?, expires_at = ? WHERE id_hash = ?", params![now, until, &id_hash])
                .await?;
        }
        let user = user_of(&row.text("id")?, &row.text("name")?, &row.text("role")?)?;
        let ends = row.int("expires_at")?.min(created + SESSION_MAX_MS);
        self.known().put(id_hash, &user, ends - now, generation);
        Ok(Some(user))
    }

    /// Ends a session.
    pub async fn close_session(&self, secret: &str) -> Result<(), AccessError> {
        self.db().execute("DELETE FROM sessions WHERE id_hash = ?", params![hash_secret(secret)]).await?;
        self.known().forget();
        Ok(())
    }

    /// Makes an API token for the calling user; answers it with its secret, which is shown once.
    pub async fn create_token(
        &self,
        who: &Principal,
        name: &str,
        role: Role,
        ttl_ms: Option<i64>,
    ) -> Result<(ApiToken, String), AccessError> {
        let Principal::User(u) = who else {
            return Err(AccessError::invalid("token", "only a person makes API tokens"));
        };
        if role > u.role {
            return Err(AccessError::invalid("role", &format!("a token cannot do more than its maker, who is {}", u.role.name())));
        }
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return Err(AccessError::invalid("name", "a token's name has 1 to 100 characters"));
        }
        if ttl_ms.is_some_and(|t| t <= 0) {
            return Err(AccessError::invalid("expires_in_days", "a token's life is at least one day"));
        }
        let now = now_ms();
        let secret = format!("{TOKEN_PREFIX}{}", secret());
        let token = ApiToken {
            id: new_id(),
            name: name.to_owned(),
            role,
            created_at: now,
            expires_at: ttl_ms.map(|t| now.saturating_add(t)),
            last_used_at: None,
        };
        let mut tx = self.db().begin().await?;
        let row = tx.fetch_optional("SELECT COUNT(*) AS n FROM api_tokens WHERE user_id = ?", params![&u.id]).await?;
        if row.map(|r| r.int("n")).transpose()?.unwrap_or(0) >= 100 {
            return Err(AccessError::invalid("token", "you have 100 tokens; delete those no longer used"));
        }
        tx.execute(
            "INSERT INTO api_tokens (id, user_id, name, secret_hash, role, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![&token.id, &u.id, name, hash_secret(&secret), role.name(), now, token.expires_at],
        )
        .await?;
        self.audit(&mut tx, who, "access.token.create", &format!("token/{}", token.id), None, Some(&json!(token))).await?;
        tx.commit().await?;
        Ok((token, secret))
    }

    /// The calling user's tokens, newest first.
    pub async fn tokens(&self, who: &Principal) -> Result<Vec<ApiToken>, AccessError> {
        let Principal::User(u) = who else { return Ok(Vec::new()) };
        let rows = self
            .db()
            .fetch_all(
                "SELECT id, name, role, created_at, expires_at, last_used_at FROM api_tokens WHERE user_id = ? ORDER BY created_at DESC LIMIT 100",
                params![&u.id],
            )
            .await?;
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            out.push(ApiToken {
                id: r.text("id")?,
                name: r.text("name")?,
                role: role_of(&r.text("role")?)?,
                created_at: r.int("created_at")?,
                expires_at: r.opt_int("expires_at")?,
                last_used_at: r.opt_int("last_used_at")?,
            });
        }
        Ok(out)
    }

    /// Deletes one of the calling user's tokens.
    pub async fn delete_token(&self, who: &Principal, id: &str) -> Result<(), AccessError> {
        let Principal::User(u) = who else {
            return Err(AccessError::NotFound(format!("there is no token {id}")));
        };
        let mut tx = self.db().begin().await?;
        if tx.execute("DELETE FROM api_tokens WHERE id = ? AND user_id = ?", params![id, &u.id]).await? == 0 {
            return Err(AccessError::NotFound(format!("you have no token {id}")));
        }
        self.audit(&mut tx, who, "access.token.delete", &format!("token/{id}"), None, None).await?;
        self.forget_after(&mut tx);
        tx.commit().await?;
        Ok(())
    }

    /// The principal of an API token: its user, with the lesser of the two roles.
    pub async fn token_user(&self, secret: &str) -> Result<Option<UserPrincipal>, AccessError> {
        let now = now_ms();
        let secret_hash = hash_secret(secret);
        // Sessions have other secrets: one never stands for the other.
        let known = format!("token/{secret_hash}");
        if let Some(user) = self.known().get(&known) {
            return Ok(Some(user));
        }
        let generation = self.known().generation();
        let row = self
            .db()
            .fetch_optional(
                "SELECT t.id AS token_id, t.role AS token_role, t.last_used_at, t.expires_at, u.id, u.name, u.role FROM api_tokens t JOIN users u ON u.id = t.user_id
                 WHERE t.secret_hash = ? AND (t.expires_at IS NULL OR t.expires_at > ?) AND u.disabled = 0",
                params![secret_hash, now],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        if row.opt_int("last_used_at")?.is_none_or(|t| now - t > TOUCH_MS) {
            self.db().execute("UPDATE api_tokens SET last_used_at = ? WHERE id = ?", params![now, row.text("token_id")?]).await?;
        }
        let mut user = user_of(&row.text("id")?, &row.text("name")?, &row.text("role")?)?;
        user.role = user.role.min(role_of(&row.text("token_role")?)?);
        let left = row.opt_int("expires_at")?.map_or(i64::MAX, |at| at - now);
        self.known().put(known, &user, left, generation);
        Ok(Some(user))
    }
}

fn role_of(name: &str) -> Result<Role, StoreError> {
    Role::from_name(name).ok_or_else(|| StoreError::Corrupt(format!("role {name}")))
}

fn user_of(id: &str, name: &str, role: &str) -> Result<UserPrincipal, StoreError> {
    Ok(UserPrincipal { id: id.to_owned(), name: name.to_owned(), role: role_of(role)? })
}
