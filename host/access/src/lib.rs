//! Principals, roles, grants, the one check, sessions and the audit log.
//!
//! Every service of a domain takes a [`Principal`] and asks [`Access::require`] before it acts. The rule is the same
//! whichever door the call came through.

pub mod audit;
mod data_roles;
mod fix;
pub mod grant;
mod known;
pub mod permission;
pub mod principal;
pub mod sessions;
pub mod users;

pub use audit::{AuditEntry, AuditQuery};
pub use data_roles::{DataRole, DataRule, DataScope, EVERYONE, StoredDataRole};
pub use grant::{ATTRIBUTES, Grant, KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS, Scope, Touches};
pub use permission::{Permission, Role};
pub use principal::{Actor, PluginPrincipal, Principal, UserPrincipal};
pub use sessions::ApiToken;
pub use users::{User, UserPatch};

use std::sync::{Arc, OnceLock};

use plenum_store::{Db, Migration, StoreError, Tx};

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration { set: "access", version: 1, sql: include_str!("../migrations/1.sql") },
    Migration { set: "access_data", version: 1, sql: include_str!("../migrations/roles_1.sql") },
];

/// What access refuses or fails at.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The check said no.
    #[error("{0}")]
    Denied(Denied),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Wrong name or password; deliberately not which.
    #[error("the name or the password is wrong; after three wrong tries each further one has to wait longer")]
    WrongPassword,
    /// Too many wrong guesses.
    #[error("too many wrong tries; wait {} s and try again", (.retry_after_ms + 999) / 1000)]
    TooManyAttempts {
        /// How long to wait.
        retry_after_ms: i64,
    },
    /// An input breaks a rule.
    #[error("{message}")]
    Invalid {
        /// Which input.
        field: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Something that should not fail did.
    #[error("{0}")]
    Internal(String),
}

impl AccessError {
    pub(crate) fn invalid(field: &str, message: &str) -> AccessError {
        AccessError::Invalid { field: field.to_owned(), message: message.to_owned() }
    }

    /// Stable code for the API.
    pub fn code(&self) -> &'static str {
        match self {
            AccessError::Denied(_) => "access.denied",
            AccessError::Store(_) => "store.failed",
            AccessError::WrongPassword => "access.wrong_password",
            AccessError::TooManyAttempts { .. } => "access.too_many_attempts",
            AccessError::Invalid { .. } => "access.invalid",
            AccessError::NotFound(_) => "access.not_found",
            AccessError::Internal(_) => "internal",
        }
    }
}

/// A refusal with its reason, fit for the person who got it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// What was asked.
    pub permission: Permission,
    /// Why not, and what to do.
    pub reason: String,
}

/// Hears of each check of a plugin: which, what, whether it was allowed.
pub type Observer = dyn Fn(&str, Permission, bool) + Send + Sync;

/// Told once, by whoever keeps account of what plugins use.
#[derive(Clone, Default)]
struct Watch(Arc<OnceLock<Box<Observer>>>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(&self.0.get().is_some()).finish()
    }
}

/// The one check, and the audit log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    db: Db,
    watch: Watch,
    known: known::Known,
    scopes: data_roles::KnownScopes,
}

impl Access {
    /// On an opened and migrated database.
    pub fn new(db: Db) -> Access {
        Access { db, watch: Watch::default(), known: known::Known::default(), scopes: data_roles::KnownScopes::default() }
    }

    /// Has `observer` hear of the checks of plugins from now on, through every clone. The first one stays.
    pub fn observe_plugins(&self, observer: Box<Observer>) {
        let _ = self.watch.0.set(observer);
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) fn known(&self) -> &known::Known {
        &self.known
    }

    /// Once `tx` is committed nobody comes in by what was known before.
    pub(crate) fn forget_after(&self, tx: &mut Tx) {
        let known = self.known.clone();
        tx.after_commit(move || known.forget());
    }

    /// Whether `who` may do `permission` on what the call touches (`&[("models", "host")]`). Nothing is logged.
    pub fn check(&self, who: &Principal, permission: Permission, touches: Touches<'_>) -> Result<(), Denied> {
        let answer = self.decide(who, permission, touches);
        if let (Principal::Plugin(p), Some(observer)) = (who, self.watch.0.get()) {
            observer(&p.id, permission, answer.is_ok());
        }
        answer
    }

    fn decide(&self, who: &Principal, permission: Permission, touches: Touches<'_>) -> Result<(), Denied> {
        let denied = |reason: String| Err(Denied { permission, reason });
        match who {
            Principal::System(_) => Ok(()),
            Principal::User(u) if u.role.allows(permission) => Ok(()),
            Principal::User(u) => denied(format!(
                "{} is {} and may not do {}; it takes the role {}: ask an administrator",
                u.name,
                u.role.name(),
                permission.name(),
                permission.least_role().name()
            )),
            Principal::Agent { node } => {
                denied(format!("agent of node {node} may only report about its own node, not do {}", permission.name()))
            }
            Principal::Plugin(p) => {
                if !p.grant.allows(permission, touches) {
                    let what: Vec<String> = touches.iter().filter(|t| !grant::is_promise(t)).map(|(k, v)| format!("{k}: {v}")).collect();
                    return denied(format!(
                        "plugin {} has no grant for {} ({}); {}; then have an administrator grant it",
                        p.id,
                        permission.name(),
                        if what.is_empty() { "any scope".to_owned() } else { what.join(", ") },
                        fix::line(&p.grant, permission, touches)
                    ));
                }
                match &p.on_behalf {
                    Some(u) if !u.role.allows(permission) => denied(format!(
                        "plugin {} acts for {}, who is {} and may not do {}",
                        p.id,
                        u.name,
                        u.role.name(),
                        permission.name()
                    )),
                    _ => Ok(()),
                }
            }
        }
    }

    /// [`Access::check`], and a refusal goes into the audit log.
    pub async fn require(&self, who: &Principal, permission: Permission, touches: Touches<'_>) -> Result<(), AccessError> {
        match self.check(who, permission, touches) {
            Ok(()) => self.may_look(who, permission, touches).await,
            Err(denied) => {
                self.record_refusal(who, &denied, touches).await?;
                Err(AccessError::Denied(denied))
            }
        }
    }

    /// Refuses people whom a data role narrows what does not keep to their records.
    async fn may_look(&self, who: &Principal, permission: Permission, touches: Touches<'_>) -> Result<(), AccessError> {
        let of_records = matches!(permission, Permission::CmdbRead | Permission::CmdbWrite);
        if !of_records || touches.contains(&KEEPS_TO_RECORDS) || self.data_scope(who).await?.is_none() {
            return Ok(());
        }
        let reason =
            "this looks at records whether or not your data roles let you see them, and is not for people whom a data role narrows; \
                      ask an administrator"
                .to_owned();
        Err(self.refuse(who, Denied { permission, reason }, touches).await)
    }

    /// A refusal that a domain decided itself, beyond what [`Access::check`] can know: heard and logged as the others are.
    pub async fn refuse(&self, who: &Principal, denied: Denied, touches: Touches<'_>) -> AccessError {
        if let (Principal::Plugin(p), Some(observer)) = (who, self.watch.0.get()) {
            observer(&p.id, denied.permission, false);
        }
        match self.record_refusal(who, &denied, touches).await {
            Ok(()) => AccessError::Denied(denied),
            Err(e) => e.into(),
        }
    }

    /// Records a write in the audit log, within the transaction that does it. `action` is `<domain>.<thing>.<verb>`
    /// (`cmdb.instance.update`), `target` names the thing (`host/0197...`).
    pub async fn audit(
        &self,
        tx: &mut Tx,
        who: &Principal,
        action: &str,
        target: &str,
        before: Option<&serde_json::Value>,
        after: Option<&serde_json::Value>,
    ) -> Result<(), StoreError> {
        audit::insert(tx, &who.actor(), action, target, true, None, before, after)
    }
}
