//! Actions of other plugins. Takes the permission `plugins.use`, scoped by `actions`: `tls-watch.check`, `tls-watch.*`.
//!
//! ```
//! # use plenum_sdk::{plugins, testing::Fake};
//! # use serde_json::{Value, json};
//! # let fake = Fake::new();
//! # fake.on_call(|_, _, input| Ok(json!({ "days": input["port"] })));
//! let found: Value = plugins::call("tls-watch", "check", &json!({ "port": 443 }))?;
//! assert_eq!(found["days"], 443);
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, backend};

/// Carries out an action of another plugin, which acts within its own grant and for the same person. Calls that call go four deep.
pub fn call<T: DeserializeOwned>(plugin: &str, action: &str, input: &impl Serialize) -> Result<T> {
    let answer = backend::plugins_call(plugin, action, &serde_json::to_value(input)?)?;
    serde_json::from_value(answer)
        .map_err(|e| Error::internal("plugins.answer", format!("{plugin}.{action} did not answer what this plugin expects: {e}")))
}
