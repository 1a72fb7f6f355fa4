//! `plenum:plugin/context`: what a plugin may know of the call that it answers. No permission.

use crate::bindings::plenum::plugin::context::{Call, Host, User};
use crate::call::CallState;

impl Host for CallState {
    async fn current(&mut self) -> Call {
        Call {
            id: self.info.id.clone(),
            plugin: self.plugin.id.clone(),
            version: self.plugin.version.to_string(),
            user: self.info.user.as_ref().map(|u| User { id: u.id.clone(), name: u.name.clone(), role: u.role.name().to_owned() }),
            idempotency_key: self.info.key.clone(),
        }
    }

    async fn settings(&mut self) -> String {
        self.plugin.settings.to_string()
    }
}
