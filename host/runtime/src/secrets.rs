//! Secret settings of plugins: sealed where they are stored, opened only for the plugin that they were set for.

use plenum_store::secrets::{SecretsError, is_sealed};
use plenum_store::{Db, params};
use serde_json::{Map, Value as Json};

use crate::RuntimeError;
use crate::package::SettingSpec;
use crate::service::Plugins;

/// Where settings are stored, and the column that says whose they are.
const TABLES: [(&str, &str); 2] = [("plugins", "id"), ("plugin_previous", "plugin")];

fn context(plugin: &str, setting: &str) -> String {
    format!("plugin/{plugin}/{setting}")
}

impl Plugins {
    /// Settings as they are stored: those that are secret are sealed.
    pub(crate) fn sealed(&self, id: &str, specs: &[SettingSpec], values: &Json) -> Result<Json, RuntimeError> {
        let secrets = &self.inner.config.secrets;
        let mut out = Map::new();
        for (name, value) in values.as_object().into_iter().flatten() {
            // One that an earlier version called secret stays so.
            let secret = is_sealed(value) || specs.iter().any(|s| s.secret && s.name == *name);
            let value = if secret { secrets.seal_json(&context(id, name), value)? } else { value.clone() };
            out.insert(name.clone(), value);
        }
        Ok(Json::Object(out))
    }

    /// Settings as they were set.
    pub(crate) fn opened(&self, id: &str, values: &Json) -> Result<Json, RuntimeError> {
        let secrets = &self.inner.config.secrets;
        let open = |(name, value): (&String, &Json)| Ok((name.clone(), secrets.open_json(&context(id, name), value)?));
        Ok(Json::Object(values.as_object().into_iter().flatten().map(open).collect::<Result<Map<_, _>, SecretsError>>()?))
    }

    /// Seals what a version stored that did not, and what an older key sealed. Keys that the database does not go with end the start here,
    /// before anything is written.
    pub(crate) async fn seal_stored(&self) -> Result<(), RuntimeError> {
        self.inner.config.secrets.agree(&self.services().db).await?;
        for (table, key) in TABLES {
            let rows = self.services().db.fetch_all(&format!("SELECT {key} AS id, digest, settings FROM {table}"), &[]).await?;
            for row in &rows {
                let (id, digest, settings) = (row.text("id")?, row.text("digest")?, row.json("settings")?);
                if settings.as_object().is_none_or(Map::is_empty) {
                    continue;
                }
                // Without its package nobody knows which are secret: the plugin does not load either, until it is installed again.
                let specs = self.read_package(&digest).map(|p| p.manifest.settings).unwrap_or_default();
                match self.sealed(&id, &specs, &settings) {
                    Ok(sealed) if sealed == settings => {}
                    Ok(sealed) => {
                        let sql = format!("UPDATE {table} SET settings = ? WHERE {key} = ? AND digest = ?");
                        self.services().db.execute(&sql, params![sealed, &id, &digest]).await?;
                        tracing::info!(plugin = id, "its secret settings are sealed with the present key");
                    }
                    Err(RuntimeError::Secret(e @ SecretsError::Damaged { .. })) => {
                        tracing::error!(plugin = id, error = %e, "a secret setting cannot be opened");
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

/// Deletes all sealed settings: for a host whose key is lost. Answers how many.
pub async fn forget_secret_settings(db: &Db) -> Result<usize, RuntimeError> {
    let mut count = 0;
    for (table, key) in TABLES {
        let rows = db.fetch_all(&format!("SELECT {key} AS id, settings FROM {table}"), &[]).await?;
        for row in &rows {
            let mut settings = row.json("settings")?;
            let Some(values) = settings.as_object_mut() else { continue };
            let before = values.len();
            values.retain(|_, v| !is_sealed(v));
            if values.len() < before {
                count += before - values.len();
                db.execute(&format!("UPDATE {table} SET settings = ? WHERE {key} = ?"), params![settings, row.text("id")?]).await?;
            }
        }
    }
    Ok(count)
}
