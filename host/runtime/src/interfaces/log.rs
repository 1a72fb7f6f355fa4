//! `plenum:log/log`: the plugin's log. No permission; bounded for each call.

use crate::bindings::plenum::log::log::{Host, Level as WitLevel};
use crate::call::CallState;
use crate::logs::Level;

impl Host for CallState {
    async fn write(&mut self, level: WitLevel, message: String, fields: String) {
        let level = match level {
            WitLevel::Debug => Level::Debug,
            WitLevel::Info => Level::Info,
            WitLevel::Warn => Level::Warn,
            WitLevel::Error => Level::Error,
        };
        let message = if message.len() > 8_192 { message.chars().take(2_000).collect() } else { message };
        let fields =
            if fields.len() > 16_384 { serde_json::Value::Null } else { serde_json::from_str(&fields).unwrap_or(serde_json::Value::Null) };
        self.log(level, message, fields);
    }
}
