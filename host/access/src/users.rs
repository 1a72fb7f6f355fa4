//! Local users: argon2id passwords, roles, and a login whose wrong guesses cost time.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use plenum_store::{Row, StoreError, Tx, new_id, now_ms, params};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::permission::{Permission, Role};
use crate::principal::{Principal, UserPrincipal};
use crate::{Access, AccessError};

/// A local account.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// User id.
    pub id: String,
    /// Login name.
    pub name: String,
    /// Shown in the portal.
    pub display_name: String,
    /// What the person may do.
    pub role: Role,
    /// A disabled user cannot sign in; sessions and tokens end at once.
    pub disabled: bool,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
}

impl User {
    /// Who acts when this user does.
    pub fn principal(&self) -> UserPrincipal {
        UserPrincipal { id: self.id.clone(), name: self.name.clone(), role: self.role }
    }
}

/// What to change of a user; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// Shown in the portal.
    pub display_name: Option<String>,
    /// What the person may do.
    pub role: Option<Role>,
    /// Whether the account is closed.
    pub disabled: Option<bool>,
    /// A new password.
    pub password: Option<String>,
}

/// Failures before a key is blocked at all; the block then doubles from one second up to [`MAX_BLOCK_MS`].
const FREE_FAILURES: i64 = 3;
const MAX_BLOCK_MS: i64 = 15 * 60 * 1000;
/// Failures older than this are forgotten.
const FORGET_MS: i64 = 60 * 60 * 1000;
/// Argon2 takes 19 MiB each; more at once would let a stranger take the host's memory by guessing.
static HASHING: Semaphore = Semaphore::const_new(4);
/// A hash of no password: verified against when the name is unknown, so that the answer takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$q0Xp2kJm6bKpYh0m8m2f6sQyq5n0Yw7o0kq3QJbqj1U";

fn argon2() -> Argon2<'static> {
    // OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 2, 1, None).unwrap_or_default())
}

async fn hash(password: String) -> Result<String, AccessError> {
    let _permit = HASHING.acquire().await;
    tokio::task::spawn_blocking(move || argon2().hash_password(password.as_bytes()).map(|h| h.to_string()))
        .await
        .map_err(|e| AccessError::Internal(e.to_string()))?
        .map_err(|e| AccessError::Internal(format!("password hashing: {e}")))
}

async fn verify(password: String, phc: String) -> Result<bool, AccessError> {
    let _permit = HASHING.acquire().await;
    tokio::task::spawn_blocking(move || {
        PasswordHash::new(&phc).map(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok()).unwrap_or(false)
    })
    .await
    .map_err(|e| AccessError::Internal(e.to_string()))
}

fn check_password(name: &str, password: &str) -> Result<(), AccessError> {
    let n = password.chars().count();
    if n < 10 {
        return Err(AccessError::invalid("password", "a password has at least 10 characters"));
    }
    if password.len() > 256 {
        return Err(AccessError::invalid("password", "a password has at most 256 bytes"));
    }
    if password.to_lowercase().contains(&name.to_lowercase()) {
        return Err(AccessError::invalid("password", "a password must not contain the login name"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let ok = (2..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
        && name.starts_with(|c: char| c.is_ascii_lowercase());
    if ok {
        Ok(())
    } else {
        Err(AccessError::invalid("name", "a login name starts with a letter and has 2 to 64 of a-z, 0-9, dot, underscore and hyphen"))
    }
}

fn read(r: &Row) -> Result<User, StoreError> {
    let role = r.text("role")?;
    Ok(User {
        id: r.text("id")?,
        name: r.text("name")?,
        display_name: r.text("display_name")?,
        role: Role::from_name(&role).ok_or_else(|| StoreError::Corrupt(format!("role {role}")))?,
        disabled: r.bool("disabled")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

const COLUMNS: &str = "id, name, display_name, role, disabled, created_at, updated_at";

impl Access {
    /// Whether there is any user yet.
    pub async fn has_users(&self) -> Result<bool, AccessError> {
        Ok(self.db().fetch_optional("SELECT 1 AS one FROM users LIMIT 1", &[]).await?.is_some())
    }

    /// Creates a user.
    pub async fn create_user(
        &self,
        who: &Principal,
        name: &str,
        display_name: &str,
        role: Role,
        password: &str,
    ) -> Result<User, AccessError> {
        self.require(who, Permission::UsersManage, &[]).await?;
        check_name(name)?;
        check_password(name, password)?;
        let hashed = hash(password.to_owned()).await?;
        let now = now_ms();
        let shown = if display_name.trim().is_empty() { name } else { display_name.trim() };
        if shown.chars().count() > 100 {
            return Err(AccessError::invalid("display_name", "a display name has at most 100 characters"));
        }
        let user = User {
            id: new_id(),
            name: name.to_owned(),
            display_name: shown.to_owned(),
            role,
            disabled: false,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.db().begin().await?;
        tx.execute(
            "INSERT INTO users (id, name, display_name, role, password_hash, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![&user.id, &user.name, &user.display_name, role.name(), hashed, now, now],
        )
        .await
        .map_err(|e| match e {
            StoreError::Unique(_) => AccessError::invalid("name", &format!("there is already a user {name}; choose another name")),
            e => e.into(),
        })?;
        self.audit(&mut tx, who, "access.user.create", &format!("user/{}", user.id), None, Some(&json!(user))).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// All users, by name; at most 1,000.
    pub async fn users(&self, who: &Principal) -> Result<Vec<User>, AccessError> {
        self.require(who, Permission::UsersManage, &[]).await?;
        let rows = self.db().fetch_all(&format!("SELECT {COLUMNS} FROM users ORDER BY name LIMIT 1000"), &[]).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// One user as stored now, for those who act later in a user's name (schedules, runs): no check, no secret.
    pub async fn user(&self, id: &str) -> Result<Option<User>, AccessError> {
        let row = self.db().fetch_optional(&format!("SELECT {COLUMNS} FROM users WHERE id = ?"), params![id]).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// A user by login name.
    pub async fn user_named(&self, name: &str) -> Result<Option<User>, AccessError> {
        let row = self.db().fetch_optional(&format!("SELECT {COLUMNS} FROM users WHERE name = ?"), params![name]).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// Changes a user. A new role, a new password or closing the account ends the user's sessions.
    pub async fn update_user(&self, who: &Principal, id: &str, patch: UserPatch) -> Result<User, AccessError> {
        self.require(who, Permission::UsersManage, &[]).await?;
        let before = self.user(id).await?.ok_or_else(|| AccessError::NotFound(format!("there is no user {id}")))?;
        let hashed = match &patch.password {
            Some(p) => {
                check_password(&before.name, p)?;
                Some(hash(p.clone()).await?)
            }
            None => None,
        };
        let mut after = before.clone();
        if let Some(d) = &patch.display_name {
            after.display_name = d.trim().chars().take(100).collect();
        }
        after.role = patch.role.unwrap_or(before.role);
        after.disabled = patch.disabled.unwrap_or(before.disabled);
        after.updated_at = now_ms();
        let mut tx = self.db().begin().await?;
        if before.role == Role::Administrator && !before.disabled && (after.role != Role::Administrator || after.disabled) {
            // Counted inside the transaction: two administrators who close each other's account must not both succeed.
            if tx.dialect() == plenum_store::Dialect::Postgres {
                tx.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE", &[]).await?;
            }
            let others = tx
                .fetch_optional("SELECT 1 AS one FROM users WHERE role = 'administrator' AND disabled = 0 AND id <> ? LIMIT 1", params![id])
                .await?;
            if others.is_none() {
                return Err(AccessError::invalid("role", "this is the last administrator; make another one first"));
            }
        }
        tx.execute(
            "UPDATE users SET display_name = ?, role = ?, disabled = ?, updated_at = ? WHERE id = ?",
            params![&after.display_name, after.role.name(), after.disabled, after.updated_at, id],
        )
        .await?;
        if let Some(h) = hashed {
            tx.execute("UPDATE users SET password_hash = ? WHERE id = ?", params![h, id]).await?;
        }
        if patch.password.is_some() || after.role != before.role || after.disabled {
            end_sessions(&mut tx, id, None).await?;
        }
        self.forget_after(&mut tx);
        self.audit(&mut tx, who, "access.user.update", &format!("user/{id}"), Some(&json!(before)), Some(&json!(after))).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Changes one's own password; all other sessions of the user end. `keep` is the session's secret, if it came by session.
    pub async fn change_password(&self, who: &Principal, current: &str, new: &str, keep: Option<&str>) -> Result<(), AccessError> {
        let Principal::User(u) = who else {
            return Err(AccessError::invalid("password", "only a person has a password"));
        };
        self.authenticate(&u.name, current, "password change").await?;
        check_password(&u.name, new)?;
        let hashed = hash(new.to_owned()).await?;
        let mut tx = self.db().begin().await?;
        tx.execute("UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ?", params![hashed, now_ms(), &u.id]).await?;
        end_sessions(&mut tx, &u.id, keep).await?;
        self.forget_after(&mut tx);
        self.audit(&mut tx, who, "access.user.password", &format!("user/{}", u.id), None, None).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Checks name and password. Wrong guesses are counted by name and by `client` (its address), and each then blocks for a
    /// time that doubles. The answer does not tell an unknown name from a wrong password, nor by its duration.
    pub async fn authenticate(&self, name: &str, password: &str, client: &str) -> Result<User, AccessError> {
        let keys = [format!("user/{name}"), format!("client/{client}")];
        let now = now_ms();
        for key in &keys {
            let row = self.db().fetch_optional("SELECT blocked_until FROM login_failures WHERE key = ?", params![key]).await?;
            if let Some(row) = row
                && row.int("blocked_until")? > now
            {
                return Err(AccessError::TooManyAttempts { retry_after_ms: row.int("blocked_until")? - now });
            }
        }
        let row = self.db().fetch_optional(&format!("SELECT {COLUMNS}, password_hash FROM users WHERE name = ?"), params![name]).await?;
        let (user, phc) = match &row {
            Some(r) => (Some(read(r)?), r.opt_text("password_hash")?.unwrap_or_else(|| NOBODY.to_owned())),
            None => (None, NOBODY.to_owned()),
        };
        // A longer password cannot be right, and would only cost hashing time.
        let fits = password.len() <= 256;
        let right = verify(if fits { password.to_owned() } else { String::new() }, phc).await? && fits;
        if let Some(user) = user
            && right
            && !user.disabled
        {
            self.db().execute("DELETE FROM login_failures WHERE key = ? OR key = ?", params![&keys[0], &keys[1]]).await?;
            return Ok(user);
        }
        let mut tx = self.db().begin().await?;
        tx.execute("DELETE FROM login_failures WHERE updated_at < ?", params![now - FORGET_MS]).await?;
        for key in &keys {
            tx.execute(
                "INSERT INTO login_failures (key, count, blocked_until, updated_at) VALUES (?, 1, 0, ?)
                 ON CONFLICT (key) DO UPDATE SET count = login_failures.count + 1, updated_at = excluded.updated_at",
                params![key, now],
            )
            .await?;
            let row = tx.fetch_optional("SELECT count FROM login_failures WHERE key = ?", params![key]).await?;
            let count = row.map(|r| r.int("count")).transpose()?.unwrap_or(1);
            if count >= FREE_FAILURES {
                let block = (1_000_i64 << (count - FREE_FAILURES).min(20)).min(MAX_BLOCK_MS);
                tx.execute("UPDATE login_failures SET blocked_until = ? WHERE key = ?", params![now + block, key]).await?;
            }
        }
        let denied = format!("wrong name or password from {client}");
        crate::audit::insert(
            &mut tx,
            &Principal::System("login").actor(),
            "access.login",
            &format!("user/{name}"),
            false,
            Some(&denied),
            None,
            None,
        )?;
        tx.commit().await?;
        Err(AccessError::WrongPassword)
    }
}

/// Ends the sessions of a user, but for the one whose secret is `keep`.
pub(crate) async fn end_sessions(tx: &mut Tx, user: &str, keep: Option<&str>) -> Result<(), StoreError> {
    let kept = keep.map(crate::sessions::hash_secret).unwrap_or_default();
    tx.execute("DELETE FROM sessions WHERE user_id = ? AND id_hash <> ?", params![user, kept]).await?;
    Ok(())
}
