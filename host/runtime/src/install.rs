//! Install, enable, disable, configure, uninstall.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use plenum_access::{Grant, Permission, Principal, Scope};
use plenum_store::events::{NewEvent, emit};
use plenum_store::secrets::is_sealed;
use plenum_store::{CollectionSpec, Schema, Tx, now_ms, params};
use plenum_workflow::{ListQuery, ScheduleSpec, Target};
use serde_json::{Map, Value as Json, json};
use tokio::sync::Semaphore;

use crate::RuntimeError;
use crate::package::{Manifest, Package, SettingSpec};
use crate::plugin::{FIRE, Loaded, Parts, collection, field};
use crate::service::{Installed, Plugins, Status, Stored};
use crate::upgrade::{Records, Setting};

impl Plugins {
    pub(crate) fn package_path(&self, digest: &str) -> PathBuf {
        // A digest is hexadecimal: it was computed, not read.
        self.inner.config.data.join("plugins").join(format!("{}.plenum", digest.trim_start_matches("sha256:")))
    }

    pub(crate) fn read_package(&self, digest: &str) -> Result<Package, RuntimeError> {
        let p = Package::read(&self.package_path(digest))?;
        if p.manifest_digest != digest {
            return Err(RuntimeError::Package("the stored package is not the one that was installed; install it again".into()));
        }
        Ok(p)
    }

    /// Installs a package of the catalog, granting `permissions` (names from its manifest), or upgrades to it.
    pub async fn install(
        &self,
        who: &Principal,
        id: &str,
        version: Option<&str>,
        permissions: &[String],
    ) -> Result<Installed, RuntimeError> {
        self.put(who, id, version, Some(permissions)).await
    }

    /// Upgrades to a package of the catalog with what was granted before: what the new version asks for beyond it waits for an
    /// administrator (see [`Plugins::upgrade_plan`] and [`Plugins::set_grant`]).
    pub async fn upgrade(&self, who: &Principal, id: &str, version: Option<&str>) -> Result<Installed, RuntimeError> {
        self.put(who, id, version, None).await
    }

    async fn put(
        &self,
        who: &Principal,
        id: &str,
        version: Option<&str>,
        permissions: Option<&[String]>,
    ) -> Result<Installed, RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        // Fetched before others have to wait for this one.
        let (entry, bytes) = self.offered(who, id, version, self.stored(id).await?.as_ref()).await?;
        let _one = self.inner.changing.lock().await;
        let this = self.clone();
        let permissions = permissions.map(<[String]>::to_vec);
        let stored = self.stored(id).await?;
        if permissions.is_none() && stored.is_none() {
            return Err(RuntimeError::Invalid(format!("{id} is not installed yet: say which permissions it is granted")));
        }
        let before = stored.as_ref().map(|s| s.granted.clone()).unwrap_or_default();
        let had_data = !self.services().docs.collections(&format!("plugin/{id}/")).await?.is_empty();
        let settings = stored.as_ref().map_or_else(|| json!({}), |s| s.settings.clone());
        let values = settings.clone();
        let blocking = move || {
            let package = Package::from_bytes(&bytes)?;
            // Checked again on the bytes that are installed: the catalog may have changed since it was listed.
            if package.manifest_digest != entry.digest {
                return Err(RuntimeError::Package(
                    "the catalog has another package there than it listed a moment ago; look at it again".into(),
                ));
            }
            let signature = package.judge(this.inner.catalog.trust(), &entry.signature.origin, now_ms());
            package.manifest.require_api()?;
            this.acceptable(&signature)?;
            let grant = match &permissions {
                Some(names) => granted(&package.manifest, names)?,
                None => crate::upgrade::kept(&package.manifest, &before),
            };
            let settings = with_defaults(&package.manifest.settings, &settings);
            let digest = package.manifest_digest.clone();
            let loaded = this.prepare(package, grant, settings)?;
            let target = this.package_path(&digest);
            let temporary = target.with_extension("new");
            std::fs::write(&temporary, &bytes)
                .and_then(|()| std::fs::rename(&temporary, &target))
                .map_err(|e| RuntimeError::Internal(format!("{}: {e}", target.display())))?;
            Ok::<_, RuntimeError>((Arc::new(loaded), signature))
        };
        let (loaded, signature) = tokio::task::spawn_blocking(blocking).await.map_err(|e| RuntimeError::Internal(e.to_string()))??;
        let signature = serde_json::to_value(&signature).map_err(|e| RuntimeError::Internal(e.to_string()))?;
        let set = Setting { loaded: loaded.clone(), settings: values, signature };
        match stored {
            Some(old) if old.digest != loaded.digest => self.change_version(who, old, set, Records::Migrate).await?,
            // The same package again: its grant may be another.
            Some(old) => {
                let mut tx = self.services().db.begin().await?;
                self.write(&mut tx, who, &set, Some(&old), "granted").await?;
                tx.commit().await?;
                if let Err(e) = self.activate(who, loaded).await {
                    self.write_back(who, &set.loaded, &old, "upgrade_undone", None).await?;
                    return Err(e);
                }
            }
            None => {
                let mut tx = self.services().db.begin().await?;
                self.write(&mut tx, who, &set, None, "installed").await?;
                tx.commit().await?;
                let mut started = self.activate(who, loaded.clone()).await;
                if started.is_ok() {
                    started = loaded.lifecycle(self.services(), true, who.user().cloned()).await;
                }
                if let Err(e) = started {
                    // It cannot be installed, or said no to it: nothing of it stays, but what an earlier installation left.
                    self.remove(who, id, !had_data).await?;
                    return Err(e);
                }
            }
        }
        self.plugin(who, id).await
    }

    /// Writes what is installed now, with its collections, its audit entry and its event.
    pub(crate) async fn write(
        &self,
        tx: &mut Tx,
        who: &Principal,
        set: &Setting,
        before: Option<&Stored>,
        change: &str,
    ) -> Result<(), RuntimeError> {
        let (loaded, now) = (&set.loaded, now_ms());
        let id = loaded.id.as_str();
        let (by, version) = (who.actor().to_string(), loaded.version.to_string());
        // This version may call secret what the one before did not.
        let settings = self.sealed(id, &loaded.manifest.settings, &set.settings)?;
        tx.execute(
            "INSERT INTO plugins (id, version, digest, status, granted, settings, signature, installed_at, installed_by, updated_at) VALUES (?, ?, ?, 'enabled', ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, digest = excluded.digest, status = 'enabled', granted = excluded.granted,
             settings = excluded.settings, signature = excluded.signature, updated_at = excluded.updated_at",
            params![id, &version, &loaded.digest, json!(*loaded.grant), settings, set.signature.clone(), now, &by, now],
        )
        .await?;
        for c in &loaded.manifest.collections {
            let fields = c.fields.iter().map(|(n, k)| field(n, k)).collect::<Result<Vec<_>, _>>()?;
            let spec = CollectionSpec {
                name: collection(id, &c.name),
                schema: Schema::new(fields),
                indexed: c.indexed.clone(),
                unique: c.unique.clone(),
                history: false,
            };
            self.services().docs.define(tx, &spec).await?;
        }
        let before = before.map(|s| json!({"version": s.version, "granted": s.granted}));
        let after = json!({"version": version, "granted": *loaded.grant});
        if change != "granted" {
            self.note_version(tx, id, &version, &loaded.digest, change, None, &by).await?;
        }
        self.tell(tx, who, change, id, before.as_ref(), Some(&after)).await
    }

    /// The version before is back in the table of what is installed, and in its workflows.
    pub(crate) async fn write_back(
        &self,
        who: &Principal,
        failed: &Loaded,
        old: &Stored,
        change: &str,
        reason: Option<&str>,
    ) -> Result<(), RuntimeError> {
        let mut tx = self.services().db.begin().await?;
        self.write_back_in(&mut tx, who, &failed.version.to_string(), old, change, reason).await?;
        tx.commit().await?;
        match self.loaded(&old.id) {
            Some(loaded) if old.enabled => self.register(who, &loaded).await,
            _ => Ok(()),
        }
    }

    pub(crate) async fn write_back_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        failed: &str,
        old: &Stored,
        change: &str,
        reason: Option<&str>,
    ) -> Result<(), RuntimeError> {
        tx.execute(
            "UPDATE plugins SET version = ?, digest = ?, status = ?, granted = ?, settings = ?, signature = ?, updated_at = ? WHERE id = ?",
            params![
                &old.version,
                &old.digest,
                if old.enabled { "enabled" } else { "disabled" },
                json!(old.granted),
                old.settings.clone(),
                old.signature.clone(),
                now_ms(),
                &old.id
            ],
        )
        .await?;
        let before = json!({"version": failed, "reason": reason});
        let after = json!({"version": old.version, "granted": old.granted});
        self.tell(tx, who, change, &old.id, Some(&before), Some(&after)).await
    }

    /// Compiles, or takes from the cache, and links. Slow: off the async threads.
    pub(crate) fn prepare(&self, package: Package, grant: Grant, settings: Json) -> Result<Loaded, RuntimeError> {
        let wasm = package.component;
        let (component, was_there) = match &wasm {
            Some(wasm) => {
                let (component, was_there) = self.inner.cache.load(&self.inner.engine, wasm)?;
                (Some(component), was_there)
            }
            None => (None, true),
        };
        let life = self.inner.lives.get(&package.manifest.id);
        let settings = self.opened(&package.manifest.id, &settings)?;
        let parts =
            Parts { digest: package.manifest_digest, grant, settings, files: package.files, component, life, manifest: package.manifest };
        let loaded = Loaded::new(&self.inner.engine, parts);
        if let (Err(_), Some(wasm), false) = (&loaded, &wasm, was_there) {
            // Of what is refused nothing stays.
            self.inner.cache.forget(&self.inner.engine, wasm);
        }
        loaded
    }

    /// Registers workflows and schedules, and lets calls in.
    pub(crate) async fn activate(&self, who: &Principal, loaded: Arc<Loaded>) -> Result<(), RuntimeError> {
        let id = loaded.id.clone();
        // In place before its workflows are checked: they call its actions.
        let before = self.inner.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), loaded.clone());
        self.set_pending(&id, None);
        let registered = self.register(who, &loaded).await;
        if registered.is_err() {
            let mut map = self.inner.loaded.write().unwrap_or_else(PoisonError::into_inner);
            match before {
                Some(b) => map.insert(id, b),
                None => map.remove(&id),
            };
        }
        registered
    }

    pub(crate) async fn register(&self, who: &Principal, loaded: &Arc<Loaded>) -> Result<(), RuntimeError> {
        let workflows = self.services().workflows()?;
        let id = &loaded.id;
        for w in &loaded.manifest.workflows {
            let bytes = loaded
                .files
                .get(&w.path)
                .ok_or_else(|| RuntimeError::Package(format!("the workflow {} is not in the package: {}", w.name, w.path)))?;
            let source = std::str::from_utf8(bytes).map_err(|_| RuntimeError::Package(format!("{} is not UTF-8", w.path)))?;
            workflows.save_definition(who, &format!("{id}.{}", w.name), source, Some(id)).await?;
        }
        self.register_schedules(who, loaded).await?;
        self.forget_workflows(who, loaded).await?;
        if !loaded.manifest.events.is_empty() {
            // Its place among the events is now, not when the first of them comes.
            self.services().events.cursor(&format!("plugin/{id}")).await?;
        }
        Ok(())
    }

    /// Makes the manifest's schedules. One that is there already keeps whether it is switched on: that is for people to say.
    async fn register_schedules(&self, who: &Principal, loaded: &Arc<Loaded>) -> Result<(), RuntimeError> {
        let workflows = self.services().workflows()?;
        let id = &loaded.id;
        let mut there = Vec::new();
        let mut query = ListQuery { limit: 500, ..ListQuery::default() };
        loop {
            let page = workflows.schedules(who, &query).await?;
            there.extend(page.items.into_iter().filter(|s| s.spec.owner_plugin.as_deref() == Some(id)));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        let name = |s: &crate::package::ScheduleSpec| format!("{id}/{}", s.id);
        for s in &loaded.manifest.schedules {
            let target = Target::Action(format!("{id}.{}", s.action.as_deref().unwrap_or(FIRE)));
            let input = if s.action.is_some() { s.input.clone() } else { json!({"id": s.id}) };
            let old = there.iter().find(|t| t.spec.name == name(s)).map(|t| &t.spec);
            if old.is_some_and(|o| o.cron == s.cron && o.timezone == s.timezone && o.target == target && o.input == input) {
                continue;
            }
            let enabled = old.is_none_or(|o| o.enabled);
            let spec = ScheduleSpec {
                name: name(s),
                cron: s.cron.clone(),
                timezone: s.timezone.clone(),
                target,
                input,
                enabled,
                owner_plugin: Some(id.clone()),
            };
            workflows.put_schedule(&loaded.principal(None), spec).await?;
        }
        // Of the version before; those that the plugin made itself are not named so.
        let gone = there
            .iter()
            .filter(|t| t.spec.name.starts_with(&format!("{id}/")) && !loaded.manifest.schedules.iter().any(|s| name(s) == t.spec.name));
        for t in gone {
            workflows.delete_schedule(&loaded.principal(None), &t.id).await?;
        }
        Ok(())
    }

    /// Removes workflows that only the version before had.
    async fn forget_workflows(&self, who: &Principal, loaded: &Arc<Loaded>) -> Result<(), RuntimeError> {
        let workflows = self.services().workflows()?;
        let id = &loaded.id;
        let query = ListQuery { search: Some(format!("{id}.")), limit: 500, ..ListQuery::default() };
        for d in workflows.definitions(who, &query).await?.items {
            let kept = loaded.manifest.workflows.iter().any(|w| d.name == format!("{id}.{}", w.name));
            if d.owner.as_deref() == Some(id) && !kept {
                workflows.delete_definition(&loaded.principal(None), &d.name).await?;
            }
        }
        Ok(())
    }

    /// Loads an installed plugin: at once when the cache has it, else in the background.
    pub(crate) async fn load_stored(&self, stored: Stored) {
        self.set_pending(&stored.id, Some((Status::Compiling, None)));
        // A compiled one takes milliseconds; a host that is ready answers for it.
        let task = self.services().tasks.spawn(self.clone().load(stored));
        let _ = tokio::time::timeout(Duration::from_millis(300), task).await;
    }

    /// Loads all of them at start, as many at once as there are processors. Those that take long go on in the background.
    pub(crate) async fn load_all(&self, all: Vec<Stored>) {
        for stored in &all {
            self.set_pending(&stored.id, Some((Status::Compiling, None)));
        }
        let places = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));
        let loads = all.into_iter().map(|stored| {
            let (this, places) = (self.clone(), places.clone());
            self.services().tasks.spawn(async move {
                let _place = places.acquire().await;
                this.load(stored).await;
            })
        });
        let loads: Vec<_> = loads.collect();
        let _ = tokio::time::timeout(Duration::from_secs(1), futures::future::join_all(loads)).await;
    }

    async fn load(self, stored: Stored) {
        let id = stored.id.clone();
        let prepared = {
            let this = self.clone();
            tokio::task::spawn_blocking(move || {
                let package = this.read_package(&stored.digest)?;
                let settings = with_defaults(&package.manifest.settings, &stored.settings);
                this.prepare(package, stored.granted, settings)
            })
            .await
        };
        let result = match prepared {
            Ok(Ok(loaded)) => self.activate(&Principal::System("plugin start"), Arc::new(loaded)).await,
            Ok(Err(e)) => Err(e),
            Err(e) => Err(RuntimeError::Internal(e.to_string())),
        };
        if let Err(e) = result {
            tracing::error!(plugin = id, error = %e, "an installed plugin cannot be loaded");
            self.set_pending(&id, Some((Status::Failed, Some(e.to_string()))));
        }
    }

    /// Switches a plugin on.
    pub async fn enable(&self, who: &Principal, id: &str) -> Result<Installed, RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        let _one = self.inner.changing.lock().await;
        let stored = self.need(id).await?;
        self.set_status(who, id, "enabled").await?;
        if self.loaded(id).is_none() {
            self.load_stored(stored).await;
        }
        self.plugin(who, id).await
    }

    /// Switches a plugin off: calls are refused, its schedules do not fire, its data stays.
    pub async fn disable(&self, who: &Principal, id: &str) -> Result<Installed, RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        let _one = self.inner.changing.lock().await;
        self.need(id).await?;
        self.set_status(who, id, "disabled").await?;
        self.inner.loaded.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.set_pending(id, None);
        self.plugin(who, id).await
    }

    pub(crate) async fn need(&self, id: &str) -> Result<Stored, RuntimeError> {
        self.stored(id).await?.ok_or_else(|| RuntimeError::NotFound(format!("the plugin {id} is not installed")))
    }

    async fn set_status(&self, who: &Principal, id: &str, status: &str) -> Result<(), RuntimeError> {
        let mut tx = self.services().db.begin().await?;
        tx.execute("UPDATE plugins SET status = ?, updated_at = ? WHERE id = ?", params![status, now_ms(), id]).await?;
        self.tell(&mut tx, who, status, id, None, Some(&json!({"status": status}))).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Uninstalls a plugin, keeping or deleting what it stored.
    pub async fn uninstall(&self, who: &Principal, id: &str, delete_data: bool) -> Result<(), RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        let _one = self.inner.changing.lock().await;
        self.needed_by_none(who, id).await?;
        self.need(id).await?;
        if let Some(loaded) = self.loaded(id)
            && let Err(e) = loaded.lifecycle(self.services(), false, who.user().cloned()).await
        {
            // A plugin cannot keep itself installed.
            tracing::warn!(plugin = id, error = %e, "the plugin failed to clean up before it was uninstalled");
        }
        self.remove(who, id, delete_data).await
    }

    async fn remove(&self, who: &Principal, id: &str, delete_data: bool) -> Result<(), RuntimeError> {
        let stored = self.need(id).await?;
        self.inner.loaded.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.set_pending(id, None);
        self.services().workflows()?.delete_owned(who, id).await?;
        let collections = if delete_data { self.services().docs.collections(&format!("plugin/{id}/")).await? } else { Vec::new() };
        let mut tx = self.services().db.begin().await?;
        for c in &collections {
            self.services().docs.drop_collection(&mut tx, c).await?;
        }
        let previous = self.forget_previous(&mut tx, id).await?;
        tx.execute("DELETE FROM plugins WHERE id = ?", params![id]).await?;
        tx.execute("DELETE FROM plugin_permission_use WHERE plugin = ?", params![id]).await?;
        self.note_version(&mut tx, id, &stored.version, &stored.digest, "uninstalled", None, &who.actor().to_string()).await?;
        let before = json!({"version": stored.version, "granted": stored.granted, "data": if delete_data { "deleted" } else { "kept" }});
        self.tell(&mut tx, who, "uninstalled", id, Some(&before), None).await?;
        tx.commit().await?;
        self.services().events.forget(&format!("plugin/{id}")).await?;
        self.forget_package(&stored.digest);
        self.inner.lives.forget(id);
        if let Some(digest) = previous {
            self.forget_package(&digest);
        }
        if delete_data {
            self.services().logs.remove(id);
        }
        Ok(())
    }

    /// The settings of a plugin: those that are secret only as `true` where one is set.
    pub async fn settings(&self, who: &Principal, id: &str) -> Result<(Vec<SettingSpec>, Json), RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        let stored = self.need(id).await?;
        let manifest = self.manifest_of(&stored)?;
        let mut values = with_defaults(&manifest.settings, &stored.settings);
        mask(&manifest.settings, &mut values);
        Ok((manifest.settings, values))
    }

    /// Replaces settings: null goes back to the default, an absent secret stays.
    pub async fn set_settings(&self, who: &Principal, id: &str, change: Json) -> Result<Json, RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        let _one = self.inner.changing.lock().await;
        let stored = self.need(id).await?;
        let manifest = self.manifest_of(&stored)?;
        let Json::Object(change) = change else { return Err(RuntimeError::Invalid("settings are a JSON object".into())) };
        let mut values = stored.settings.as_object().cloned().unwrap_or_default();
        for (name, value) in change {
            let spec = manifest
                .settings
                .iter()
                .find(|s| s.name == name)
                .ok_or_else(|| RuntimeError::Invalid(format!("the plugin {id} has no setting {name}")))?;
            if value.is_null() {
                values.remove(&name);
                continue;
            }
            spec.accepts(&value).map_err(|why| RuntimeError::Invalid(format!("the setting {name}: {why}")))?;
            values.insert(name, value);
        }
        let values = self.sealed(id, &manifest.settings, &Json::Object(values))?;
        let (mut before, mut after) = (stored.settings.clone(), values.clone());
        mask(&manifest.settings, &mut before);
        mask(&manifest.settings, &mut after);
        let mut tx = self.services().db.begin().await?;
        tx.execute("UPDATE plugins SET settings = ?, updated_at = ? WHERE id = ?", params![values.clone(), now_ms(), id]).await?;
        self.tell(&mut tx, who, "configured", id, Some(&before), Some(&after)).await?;
        tx.commit().await?;
        if stored.enabled {
            self.load_stored(Stored { settings: values.clone(), ..stored }).await;
        }
        let mut shown = with_defaults(&manifest.settings, &values);
        mask(&manifest.settings, &mut shown);
        Ok(shown)
    }

    pub(crate) fn manifest_of(&self, stored: &Stored) -> Result<Manifest, RuntimeError> {
        match self.loaded(&stored.id) {
            Some(l) => Ok(l.manifest.clone()),
            None => Ok(self.read_package(&stored.digest)?.manifest),
        }
    }

    pub(crate) async fn tell(
        &self,
        tx: &mut Tx,
        who: &Principal,
        what: &str,
        id: &str,
        before: Option<&Json>,
        after: Option<&Json>,
    ) -> Result<(), RuntimeError> {
        let target = format!("plugin/{id}");
        self.services().access.audit(tx, who, &format!("plugin.{what}"), &target, before, after).await?;
        let data = json!({"plugin": id, "by": who.actor().to_string()});
        emit(tx, NewEvent { kind: format!("plenum.plugin.{what}"), source: "/plugins".into(), subject: target, data }).await?;
        Ok(())
    }
}

/// What of the manifest's wishes is granted, with their scopes.
pub(crate) fn granted(m: &Manifest, names: &[String]) -> Result<Grant, RuntimeError> {
    for n in names {
        if !m.permissions.iter().any(|p| p.name == *n) {
            return Err(RuntimeError::Invalid(format!(
                "{} does not ask for the permission {n}; only what it asks for can be granted",
                m.id
            )));
        }
    }
    let mut permissions: BTreeMap<String, Scope> = BTreeMap::new();
    for p in m.permissions.iter().filter(|p| names.contains(&p.name)) {
        permissions.insert(p.name.clone(), p.scope.clone());
    }
    Ok(Grant { permissions })
}

pub(crate) fn with_defaults(specs: &[SettingSpec], values: &Json) -> Json {
    let mut out = Map::new();
    for s in specs {
        let value = values.get(&s.name).filter(|v| !v.is_null()).or(s.default.as_ref());
        if let Some(v) = value {
            out.insert(s.name.clone(), v.clone());
        }
    }
    Json::Object(out)
}

fn mask(specs: &[SettingSpec], values: &mut Json) {
    for (name, value) in values.as_object_mut().into_iter().flatten() {
        if is_sealed(value) || specs.iter().any(|s| s.secret && s.name == *name) {
            *value = Json::Bool(true);
        }
    }
}
