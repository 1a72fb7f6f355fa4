//! `wasi:config/store` and `plenum:plugin/secrets`: the plugin's settings, one by one. No permission: they were set for it.

use crate::bindings::plenum::plugin::secrets;
use crate::bindings::wasi::config::store::{Error, Host};
use crate::call::CallState;

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl CallState {
    fn setting(&self, name: &str, secret: bool) -> Option<String> {
        let spec = self.plugin.manifest.settings.iter().find(|s| s.name == name && s.secret == secret)?;
        self.plugin.settings.get(&spec.name).map(text)
    }
}

impl Host for CallState {
    async fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        Ok(self.setting(&key, false))
    }

    async fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        let open = self.plugin.manifest.settings.iter().filter(|s| !s.secret);
        Ok(open.filter_map(|s| Some((s.name.clone(), text(self.plugin.settings.get(&s.name)?)))).collect())
    }
}

impl secrets::Host for CallState {
    async fn get(&mut self, name: String) -> Option<String> {
        self.setting(&name, true)
    }
}
