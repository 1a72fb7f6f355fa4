//! `plenum:notify/notifications`: permission `notify.send`, scoped by `users` and `roles`.

use plenum_access::AccessError;

use super::error;
use crate::RuntimeError;
use crate::bindings::plenum::notify::notifications::{Host, Level, Message};
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;
use crate::notify::{Draft, send};

impl Host for CallState {
    async fn send(&mut self, m: Message) -> Result<u32, Error> {
        let _span = self.span("plenum:notify/notifications.send");
        let level = match m.level {
            Level::Info => "info",
            Level::Success => "success",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let Message { users, roles, title, body, link, key, .. } = m;
        let draft = Draft { users, roles, level, title, body, link, key };
        send(&self.services, &self.info.who, &self.plugin.life, draft).await.map_err(|e| match &e {
            RuntimeError::Access(AccessError::Denied(d)) => error("access.denied", 403, &d.reason),
            e => error(e.code(), e.status(), e),
        })
    }
}
