//! Telling people, under the bell of the portal. Takes the permission `notify.send`, scoped by `users` and `roles`.
//!
//! ```
//! # let fake = plenum_sdk::testing::Fake::new();
//! use plenum_sdk::notify::{Level, Message};
//! let told = Message::new(Level::Warning, "2 certificates expire this week")
//!     .to_roles(["operator"])
//!     .to_users(["olga"])
//!     .body("web1 and db1; see the list.")
//!     .link("/app/tls-watch/main")
//!     .key("2026-05")
//!     .send()?;
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::{Result, backend};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What happened.
    Info,
    /// What went well.
    Success,
    /// What somebody should look at.
    Warning,
    /// What failed.
    Error,
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Login names.
    pub users: Vec<String>,
    /// All people with these roles: `administrator`, `operator`, `viewer`.
    pub roles: Vec<String>,
    /// How much it matters.
    pub level: Level,
    /// 1 to 200 characters.
    pub title: String,
    /// At most 4,000 characters.
    pub body: String,
    /// A path of the portal.
    pub link: Option<String>,
    /// Told once: with the key of an earlier one nobody is told again.
    pub key: Option<String>,
}

impl Message {
    /// To nobody yet.
    pub fn new(level: Level, title: impl Into<String>) -> Message {
        Message { users: Vec::new(), roles: Vec::new(), level, title: title.into(), body: String::new(), link: None, key: None }
    }

    /// Also to these people.
    #[must_use]
    pub fn to_users<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Message {
        self.users.extend(names.into_iter().map(Into::into));
        self
    }

    /// Also to all with these roles.
    #[must_use]
    pub fn to_roles<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Message {
        self.roles.extend(names.into_iter().map(Into::into));
        self
    }

    /// More of it.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Message {
        self.body = text.into();
        self
    }

    /// Where in the portal there is more.
    #[must_use]
    pub fn link(mut self, path: impl Into<String>) -> Message {
        self.link = Some(path.into());
        self
    }

    /// Told once with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Message {
        self.key = Some(key.into());
        self
    }

    /// Tells them; answers how many people that are.
    pub fn send(&self) -> Result<u32> {
        backend::notify(self)
    }
}
