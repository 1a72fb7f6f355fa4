//! What the plugin may know of the call that it answers. Needs no permission.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, backend};

/// A signed-in person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Their id.
    pub id: String,
    /// Their login name.
    pub name: String,
    /// `administrator`, `operator`, `viewer`.
    pub role: String,
}

impl User {
    /// Whether they may change things: administrators and operators.
    pub fn may_write(&self) -> bool {
        matches!(self.role.as_str(), "administrator" | "operator")
    }
}

/// The call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Id of this call, in the log and in errors.
    pub id: String,
    /// Id of the plugin.
    pub plugin: String,
    /// Version of the plugin.
    pub version: String,
    /// The person on whose behalf; none on a schedule or an event that nobody started.
    pub user: Option<User>,
    /// For an action of a workflow: the same at every attempt, so that work is done once.
    pub idempotency_key: Option<String>,
}

/// The call that is being answered.
pub fn current() -> Call {
    backend::call()
}

/// The person on whose behalf; an error with status 403 when there is none.
pub fn user() -> Result<User> {
    current().user.ok_or_else(|| Error::forbidden("plugin.no_user", "this is only for a signed-in person"))
}

/// The person on whose behalf, if they may change things; else an error with status 403.
pub fn writer() -> Result<User> {
    let user = user()?;
    if user.may_write() {
        return Ok(user);
    }
    Err(Error::forbidden("plugin.read_only", format!("{} is a {} and may look, not change; ask an operator", user.name, user.role)))
}

/// The value of a setting with `secret = true`; none when it is not set. Keep it out of the log, answers and records.
///
/// ```
/// # let fake = plenum_sdk::testing::Fake::new();
/// # fake.secret("token", "s3cret");
/// assert_eq!(plenum_sdk::context::secret("token").as_deref(), Some("s3cret"));
/// ```
pub fn secret(name: &str) -> Option<String> {
    backend::secret(name)
}

/// The plugin's settings, with defaults filled in.
pub fn settings<T: DeserializeOwned>() -> Result<T> {
    serde_json::from_value(backend::settings())
        .map_err(|e| Error::internal("plugin.settings", format!("the plugin's settings are not as it expects: {e}")))
}
