//! From one version to another without a dropped request, and back when the new one fails.
//!
//! The new version is compiled and linked while the old one answers. If it wants to change its records (`lifecycle.upgrade`), the door
//! is closed for that moment: calls that come wait, those that are inside end. The records are copied, the plugin changes them and says
//! whether it is well; then it is in place and the door opens. Whatever fails, the records are brought back to the copy before anybody
//! may write to them again, so that nothing that was accepted is lost and nothing half-changed stays.

use std::sync::Arc;
use std::time::Duration;

use plenum_access::{Grant, Permission, Principal, Scope};
use plenum_store::{CollectionSpec, Row, StoreError, Tx, now_ms, params};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::RuntimeError;
use crate::install::{granted, with_defaults};
use crate::package::{Manifest, Text};
use crate::plugin::Loaded;
use crate::service::{Installed, Plugins, Stored};

/// How long calls of the old version may take to end before a migration goes on beside them; they can then no longer write.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// A version with what belongs to it.
pub(crate) struct Setting {
    pub loaded: Arc<Loaded>,
    pub settings: Json,
    pub signature: Json,
}

/// What becomes of the records when the version changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Records {
    /// The new version may change them.
    Migrate,
    /// They stay as they are.
    Keep,
    /// They go back to the copy that was made before the last change of version.
    Restore,
}

/// How a permission differs between two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Only the new version asks for it.
    Added,
    /// Only the old version asked for it.
    Removed,
    /// Both ask, with other scopes.
    Changed,
    /// Nothing changes.
    Same,
}

/// A permission of an upgrade.
#[derive(Debug, Clone, Serialize)]
pub struct PermissionChange {
    /// `cmdb.read`.
    pub name: String,
    /// How it differs.
    pub change: Difference,
    /// How far the old version asked to reach.
    pub from: Option<Scope>,
    /// How far the new version asks to reach.
    pub to: Option<Scope>,
    /// What is granted now.
    pub granted: Option<Scope>,
    /// Whether the new version asks for more than is granted: it waits for an administrator.
    pub needs_grant: bool,
    /// Why the new version asks.
    pub reason: Text,
}

/// What an upgrade would change.
#[derive(Debug, Clone, Serialize)]
pub struct UpgradePlan {
    /// The installed version.
    pub from: String,
    /// The new one.
    pub to: String,
    /// All permissions of both.
    pub permissions: Vec<PermissionChange>,
    /// Whether any of them waits for an administrator.
    pub needs_grant: bool,
}

/// One change of what is installed.
#[derive(Debug, Clone, Serialize)]
pub struct Version {
    /// Version of the plugin.
    pub version: String,
    /// Digest of its package.
    pub digest: String,
    /// `installed`, `upgraded`, `rolled_back`, `failed`, `uninstalled`.
    pub change: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Who.
    pub actor: String,
}

struct Previous {
    stored: Stored,
    snapshot: String,
    collections: Vec<CollectionSpec>,
    changing: bool,
}

fn read(r: &Row) -> Result<Previous, StoreError> {
    let corrupt = |e: serde_json::Error| StoreError::Corrupt(e.to_string());
    Ok(Previous {
        stored: Stored {
            id: r.text("plugin")?,
            version: r.text("version")?,
            digest: r.text("digest")?,
            enabled: r.bool("enabled")?,
            granted: serde_json::from_value(r.json("granted")?).map_err(corrupt)?,
            settings: r.json("settings")?,
            signature: r.json("signature")?,
            installed_at: r.int("at")?,
            installed_by: String::new(),
        },
        snapshot: r.text("snapshot")?,
        collections: serde_json::from_value(r.json("collections")?).map_err(corrupt)?,
        changing: r.bool("changing")?,
    })
}

/// Whether `asked` reaches beyond `had` in anything.
pub(crate) fn wider(permission: &str, had: &Scope, asked: &Scope) -> bool {
    let beyond = |key: &String, values: &Vec<String>| match had.0.get(key) {
        Some(_) => values.iter().any(|v| !had.allows(key, v)),
        // Elsewhere a key that is not there allows all; of requests to the outside these allow more than the least.
        None => permission == Permission::HttpOutgoing.name() && matches!(key.as_str(), "ports" | "networks"),
    };
    let limits_gone = had
        .0
        .keys()
        .any(|k| !(asked.0.contains_key(k) || permission == Permission::HttpOutgoing.name() && matches!(k.as_str(), "ports" | "networks")));
    limits_gone || asked.0.iter().any(|(k, v)| beyond(k, v))
}

/// What of an earlier grant a new version keeps: no more than it had, and no more than it asks for.
pub(crate) fn kept(manifest: &Manifest, had: &Grant) -> Grant {
    let mut grant = Grant::default();
    for p in &manifest.permissions {
        if let Some(scope) = had.permissions.get(&p.name) {
            let scope = if wider(&p.name, scope, &p.scope) { scope } else { &p.scope };
            grant.permissions.insert(p.name.clone(), scope.clone());
        }
    }
    grant
}

fn plan(from: &Manifest, to: &Manifest, granted: &Grant) -> UpgradePlan {
    let mut permissions: Vec<PermissionChange> = to
        .permissions
        .iter()
        .map(|p| {
            let before = from.permissions.iter().find(|b| b.name == p.name).map(|b| b.scope.clone());
            let granted = granted.permissions.get(&p.name).cloned();
            PermissionChange {
                name: p.name.clone(),
                change: match &before {
                    None => Difference::Added,
                    Some(b) if *b == p.scope => Difference::Same,
                    Some(_) => Difference::Changed,
                },
                needs_grant: granted.as_ref().is_none_or(|g| wider(&p.name, g, &p.scope)),
                from: before,
                to: Some(p.scope.clone()),
                granted,
                reason: p.reason.clone(),
            }
        })
        .collect();
    for b in from.permissions.iter().filter(|b| !to.permissions.iter().any(|p| p.name == b.name)) {
        permissions.push(PermissionChange {
            name: b.name.clone(),
            change: Difference::Removed,
            from: Some(b.scope.clone()),
            to: None,
            granted: granted.permissions.get(&b.name).cloned(),
            needs_grant: false,
            reason: b.reason.clone(),
        });
    }
    UpgradePlan {
        from: from.version.to_string(),
        to: to.version.to_string(),
        needs_grant: permissions.iter().any(|p| p.needs_grant),
        permissions,
    }
}

fn records_of(id: &str) -> String {
    format!("plugin/{id}/")
}

impl Plugins {
    /// What an upgrade to a version of the catalog (the newest when none is named) would change.
    pub async fn upgrade_plan(&self, who: &Principal, id: &str, version: Option<&str>) -> Result<UpgradePlan, RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let stored = self.need(id).await?;
        let old = self.manifest_of(&stored)?;
        let new = self.pick(who, id, version).await?.manifest;
        let new = new.ok_or_else(|| RuntimeError::Package(format!("the package of {id} in the catalog cannot be read")))?;
        Ok(plan(&old, &new, &stored.granted))
    }

    /// Grants an installed plugin these of the permissions that it asks for, and no others, from the next call on.
    pub async fn set_grant(&self, who: &Principal, id: &str, names: &[String]) -> Result<Installed, RuntimeError> {
        self.require(who, Permission::PluginsManage).await?;
        let _one = self.inner.changing.lock().await;
        let stored = self.need(id).await?;
        let (this, names, old) = (self.clone(), names.to_vec(), stored.clone());
        let blocking = move || {
            let package = this.read_package(&old.digest)?;
            let grant = granted(&package.manifest, &names)?;
            let settings = with_defaults(&package.manifest.settings, &old.settings);
            this.prepare(package, grant, settings)
        };
        let loaded = tokio::task::spawn_blocking(blocking).await.map_err(|e| RuntimeError::Internal(e.to_string()))??;
        let (before, after) = (json!({"granted": stored.granted}), json!({"granted": *loaded.grant}));
        let mut tx = self.services().db.begin().await?;
        tx.execute("UPDATE plugins SET granted = ?, updated_at = ? WHERE id = ?", params![json!(*loaded.grant), now_ms(), id]).await?;
        self.tell(&mut tx, who, "granted", id, Some(&before), Some(&after)).await?;
        tx.commit().await?;
        if stored.enabled {
            self.activate(who, Arc::new(loaded)).await?;
        }
        self.plugin(who, id).await
    }

    /// Back to the version before. Its records stay as they are now, or go back to what they were before the upgrade: then what was
    /// written since is lost. Going back can itself be undone the same way.
    pub async fn rollback(&self, who: &Principal, id: &str, restore: bool) -> Result<Installed, RuntimeError> {
        self.require(who, Permission::PluginsManage).await?;
        let _one = self.inner.changing.lock().await;
        let stored = self.need(id).await?;
        let Some(previous) = self.previous(id).await? else {
            return Err(RuntimeError::State(format!("there is no earlier version of {id} to go back to")));
        };
        let (this, target) = (self.clone(), previous.stored.clone());
        let blocking = move || {
            let package = this.read_package(&target.digest)?;
            let settings = with_defaults(&package.manifest.settings, &target.settings);
            this.prepare(package, target.granted, settings)
        };
        let loaded = tokio::task::spawn_blocking(blocking).await.map_err(|e| RuntimeError::Internal(e.to_string()))??;
        let set = Setting {
            loaded: Arc::new(loaded),
            // Set since then: what the older version knows of it still counts.
            settings: stored.settings.clone(),
            signature: previous.stored.signature.clone(),
        };
        self.change_version(who, stored, set, if restore { Records::Restore } else { Records::Keep }).await?;
        self.plugin(who, id).await
    }

    /// All changes of what is installed, newest first, and the version that a rollback would bring back.
    pub async fn versions(&self, who: &Principal, id: &str) -> Result<(Vec<Version>, Option<String>), RuntimeError> {
        self.require(who, Permission::PluginsRead).await?;
        let rows =
            self.services().db.fetch_all("SELECT * FROM plugin_versions WHERE plugin = ? ORDER BY seq DESC LIMIT 200", params![id]).await?;
        let version = |r: &Row| {
            Ok::<_, StoreError>(Version {
                version: r.text("version")?,
                digest: r.text("digest")?,
                change: r.text("change")?,
                reason: r.opt_text("reason")?,
                at: r.int("at")?,
                actor: r.text("actor")?,
            })
        };
        let all = rows.iter().map(version).collect::<Result<_, _>>()?;
        Ok((all, self.previous(id).await?.map(|p| p.stored.version)))
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn note_version(
        &self,
        tx: &mut Tx,
        id: &str,
        version: &str,
        digest: &str,
        change: &str,
        reason: Option<&str>,
        by: &str,
    ) -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO plugin_versions (plugin, version, digest, change, reason, at, actor) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![id, version, digest, change, reason, now_ms(), by],
        )
        .await?;
        Ok(())
    }

    async fn previous(&self, id: &str) -> Result<Option<Previous>, RuntimeError> {
        let row = self.services().db.fetch_optional("SELECT * FROM plugin_previous WHERE plugin = ?", params![id]).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// Forgets the version before, with the copy of its records; answers its package.
    pub(crate) async fn forget_previous(&self, tx: &mut Tx, id: &str) -> Result<Option<String>, RuntimeError> {
        let row = tx.fetch_optional("SELECT digest FROM plugin_previous WHERE plugin = ?", params![id]).await?;
        self.services().docs.drop_all(tx, &format!("snapshot/{id}/")).await?;
        tx.execute("DELETE FROM plugin_previous WHERE plugin = ?", params![id]).await?;
        Ok(row.map(|r| r.text("digest")).transpose()?)
    }

    /// Deletes a stored package and what was compiled of it.
    pub(crate) fn forget_package(&self, digest: &str) {
        if let Ok(p) = self.read_package(digest)
            && let Some(wasm) = &p.component
        {
            self.inner.cache.forget(&self.inner.engine, wasm);
        }
        let _ = std::fs::remove_file(self.package_path(digest));
    }

    /// Puts another version in the place of `old`.
    pub(crate) async fn change_version(&self, who: &Principal, old: Stored, set: Setting, records: Records) -> Result<(), RuntimeError> {
        let (id, new) = (old.id.clone(), set.loaded.clone());
        let life = self.inner.lives.get(&id);
        let migrates = records == Records::Migrate && new.code.as_ref().is_some_and(|c| c.exports.upgrades());
        // Only for those who would see records of two kinds.
        let closed = (migrates || records == Records::Restore).then(|| life.close());
        if let Some(closed) = &closed
            && !closed.empty(DRAIN).await
        {
            tracing::info!(
                plugin = id,
                "calls of the version before are still under way; they can no longer write until the change is done"
            );
        }
        let alone = life.writes.write().await;
        let earlier = self.previous(&id).await?;
        let snapshot = format!("snapshot/{id}/{}/", plenum_store::new_id());
        let change = if records == Records::Migrate { "upgraded" } else { "rolled_back" };
        let docs = &self.services().docs;
        let taken = earlier.as_ref().is_some_and(|e| e.stored.digest == new.digest);
        let begun = async {
            let mut tx = self.services().db.begin().await?;
            let collections = docs.snapshot(&mut tx, &records_of(&id), &snapshot).await?;
            if let (Records::Restore, Some(earlier)) = (records, &earlier) {
                docs.restore(&mut tx, &records_of(&id), &earlier.snapshot, &earlier.collections).await?;
            }
            self.remember(&mut tx, &old, &snapshot, &collections).await?;
            self.write(&mut tx, who, &set, Some(&old), change).await?;
            tx.commit().await?;
            Ok::<_, RuntimeError>(collections)
        };
        let collections = match begun.await {
            Ok(c) => c,
            // Nothing has happened yet: its records do not fit the new version's collections, say.
            Err(e) => {
                if !taken {
                    self.forget_package(&new.digest);
                }
                return Err(e);
            }
        };
        let started = async {
            if migrates {
                new.upgrade(self.services(), &old.version, who.user().cloned()).await?;
            }
            new.healthy(self.services()).await?;
            self.activate(who, new.clone()).await
        };
        let result = started.await;
        let mut tx = self.services().db.begin().await?;
        let Err(failure) = result else {
            tx.execute("UPDATE plugin_previous SET changing = 0 WHERE plugin = ?", params![&id]).await?;
            if let Some(earlier) = &earlier {
                docs.drop_all(&mut tx, &earlier.snapshot).await?;
            }
            tx.commit().await?;
            if let Some(earlier) = earlier.filter(|e| e.stored.digest != old.digest && e.stored.digest != new.digest) {
                self.forget_package(&earlier.stored.digest);
            }
            life.release();
            return Ok(());
        };
        let reason = failure.to_string();
        docs.restore(&mut tx, &records_of(&id), &snapshot, &collections).await?;
        docs.drop_all(&mut tx, &snapshot).await?;
        match &earlier {
            // As it was: there is still a version to go back to.
            Some(e) => {
                self.remember(&mut tx, &e.stored, &e.snapshot, &e.collections).await?;
                tx.execute("UPDATE plugin_previous SET changing = 0 WHERE plugin = ?", params![&id]).await?;
            }
            None => {
                tx.execute("DELETE FROM plugin_previous WHERE plugin = ?", params![&id]).await?;
            }
        }
        let failed = new.version.to_string();
        self.note_version(&mut tx, &id, &failed, &new.digest, "failed", Some(&reason), &who.actor().to_string()).await?;
        self.write_back_in(&mut tx, who, &failed, &old, "rolled_back", Some(&reason)).await?;
        tx.commit().await?;
        drop(alone);
        drop(closed);
        if !taken {
            self.forget_package(&new.digest);
        }
        if let Some(loaded) = self.loaded(&id)
            && old.enabled
        {
            self.register(who, &loaded).await?;
        }
        Err(RuntimeError::RolledBack { plugin: id, from: old.version, to: failed, reason })
    }

    async fn remember(&self, tx: &mut Tx, old: &Stored, snapshot: &str, collections: &[CollectionSpec]) -> Result<(), RuntimeError> {
        tx.execute("DELETE FROM plugin_previous WHERE plugin = ?", params![&old.id]).await?;
        tx.execute(
            "INSERT INTO plugin_previous (plugin, version, digest, granted, settings, signature, enabled, snapshot, collections, changing, at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
            params![
                &old.id,
                &old.version,
                &old.digest,
                json!(old.granted),
                old.settings.clone(),
                old.signature.clone(),
                old.enabled,
                snapshot,
                json!(collections),
                now_ms()
            ],
        )
        .await?;
        Ok(())
    }

    /// A host that died in the middle of a change goes back: nobody knows how far a migration came.
    pub(crate) async fn finish_interrupted_changes(&self) -> Result<(), RuntimeError> {
        let rows = self.services().db.fetch_all("SELECT * FROM plugin_previous WHERE changing = 1", &[]).await?;
        let who = Principal::System("plugin start");
        for row in &rows {
            let previous = read(row)?;
            let id = previous.stored.id.clone();
            let Some(now) = self.stored(&id).await? else { continue };
            if !previous.changing || now.digest == previous.stored.digest {
                continue;
            }
            let reason = "the host ended in the middle of the upgrade";
            tracing::warn!(plugin = id, from = now.version, to = previous.stored.version, "an upgrade did not end and is undone");
            let mut tx = self.services().db.begin().await?;
            self.services().docs.restore(&mut tx, &records_of(&id), &previous.snapshot, &previous.collections).await?;
            self.forget_previous(&mut tx, &id).await?;
            self.note_version(&mut tx, &id, &now.version, &now.digest, "failed", Some(reason), &who.actor().to_string()).await?;
            self.write_back_in(&mut tx, &who, &now.version, &previous.stored, "rolled_back", Some(reason)).await?;
            tx.commit().await?;
            self.forget_package(&now.digest);
        }
        Ok(())
    }
}
