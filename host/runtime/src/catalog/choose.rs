//! What is offered, and which of it is taken: versions, what a plugin requires, who may follow whom.

use std::collections::BTreeMap;

use plenum_access::{Permission, Principal};
use semver::Version;
use serde_json::Value as Json;

use super::{CatalogEntry, CatalogStatus};
use crate::package::{Manifest, SignatureState, Trust};
use crate::service::{Installed, Plugins, Stored};
use crate::{RuntimeError, package};

/// A plugin that is offered: the version that would be installed, and all of them.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The newest that can be installed; where none can, the newest.
    pub best: CatalogEntry,
    /// All, newest first.
    pub versions: Vec<CatalogEntry>,
}

/// Which plugins are shown.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// All of these words, in id, name, description, publisher or category.
    pub text: Option<String>,
    /// A category.
    pub category: Option<String>,
    /// A publisher, by the manifest or by the signature.
    pub publisher: Option<String>,
    /// A state of the signature.
    pub state: Option<Trust>,
    /// Whether pre-releases are chosen too.
    pub prereleases: bool,
}

impl Search {
    fn matches(&self, e: &CatalogEntry) -> bool {
        let Some(m) = &e.manifest else {
            return self.category.is_none()
                && self.publisher.is_none()
                && self.text.as_ref().is_none_or(|t| e.file.to_lowercase().contains(&t.to_lowercase()));
        };
        let signer = e.signature.publisher.as_deref().unwrap_or_default();
        let all = || {
            let texts = m.name.0.values().chain(m.description.0.values()).chain(&m.categories);
            let text: String = texts.map(String::as_str).chain([m.id.as_str(), &m.publisher, signer]).collect::<Vec<_>>().join(" ");
            text.to_lowercase()
        };
        self.text.as_ref().is_none_or(|t| {
            let text = all();
            t.to_lowercase().split_whitespace().all(|word| text.contains(word))
        }) && self.category.as_ref().is_none_or(|c| m.categories.contains(c))
            && self.publisher.as_ref().is_none_or(|p| *p == m.publisher || p == signer)
            && self.state.is_none_or(|s| s == e.signature.state)
    }
}

/// One offer a plugin, and one for each file that cannot be read.
pub fn offers(entries: Vec<CatalogEntry>, search: &Search) -> Vec<Offer> {
    let mut by_id: BTreeMap<String, Vec<CatalogEntry>> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for e in entries {
        match &e.manifest {
            Some(m) => by_id.entry(m.id.clone()).or_default().push(e),
            None => unreadable.push(Offer { best: e.clone(), versions: vec![e] }),
        }
    }
    let chosen = by_id.into_values().filter_map(|versions| {
        let best = choose(&versions, search.prereleases).or(versions.first())?.clone();
        Some(Offer { best, versions })
    });
    chosen.chain(unreadable).filter(|o| search.matches(&o.best)).collect()
}

/// Whether a package is newer than what is installed.
pub fn newer(manifest: &Manifest, installed: &str) -> bool {
    Version::parse(installed).is_ok_and(|v| manifest.version > v)
}

/// The newest that can be installed: trusted before others, pre-releases only when asked for or when there is nothing else.
fn choose(versions: &[CatalogEntry], prereleases: bool) -> Option<&CatalogEntry> {
    let version = |e: &CatalogEntry| e.manifest.as_ref().map(|m| m.version.clone());
    let pre = |e: &&CatalogEntry| version(e).is_some_and(|v| !v.pre.is_empty());
    let good = |e: &&CatalogEntry| e.problem.is_none();
    let trusted = |e: &&CatalogEntry| e.signature.state == Trust::Trusted;
    let newest = |found: Vec<&'_ CatalogEntry>| -> Option<usize> {
        let best = found.iter().rev().max_by_key(|e| version(e))?;
        versions.iter().position(|e| e.digest == best.digest && e.catalogs == best.catalogs && e.file == best.file)
    };
    let wanted = |e: &&CatalogEntry| prereleases || !pre(e);
    newest(versions.iter().filter(good).filter(trusted).filter(wanted).collect())
        .or_else(|| newest(versions.iter().filter(good).filter(wanted).collect()))
        .or_else(|| newest(versions.iter().filter(wanted).collect()))
        .and_then(|i| versions.get(i))
}

impl Plugins {
    /// Where the catalogs stand.
    pub async fn catalogs(&self, who: &Principal) -> Result<Vec<CatalogStatus>, RuntimeError> {
        let entries = self.catalog(who).await?;
        Ok(self.inner.catalog.status(&entries))
    }

    /// Asks the catalogs for newer indexes, now.
    pub async fn refresh_catalogs(&self, who: &Principal) -> Result<Vec<CatalogStatus>, RuntimeError> {
        self.services().access.require(who, Permission::PluginsManage, &[]).await?;
        self.inner.catalog.refresh().await;
        self.catalogs(who).await
    }

    /// Asks again and again, until the host stops.
    pub(crate) async fn keep_catalogs_fresh(self) {
        loop {
            self.inner.catalog.refresh().await;
            tokio::select! {
                () = tokio::time::sleep(super::REFRESH) => {}
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    /// An image of a package in a catalog.
    pub async fn catalog_media(&self, entry: &CatalogEntry, name: &str) -> Result<Option<Vec<u8>>, RuntimeError> {
        Ok(self.inner.catalog.media(entry, name).await?)
    }

    /// The package of the asked version, else the newest that fits.
    pub(crate) async fn pick(&self, who: &Principal, id: &str, version: Option<&str>) -> Result<CatalogEntry, RuntimeError> {
        let entries = self.catalog(who).await?;
        let of_id: Vec<CatalogEntry> = entries.into_iter().filter(|e| e.manifest.as_ref().is_some_and(|m| m.id == id)).collect();
        let entry = match version {
            Some(v) => of_id.iter().find(|e| e.manifest.as_ref().is_some_and(|m| m.version.to_string() == v)),
            None => choose(&of_id, false),
        };
        entry.cloned().ok_or_else(|| {
            let there: Vec<String> = of_id.iter().filter_map(|e| Some(e.manifest.as_ref()?.version.to_string())).collect();
            let hint = if there.is_empty() { String::new() } else { format!("; it has {}, name one of them", there.join(", ")) };
            RuntimeError::NotFound(format!("the catalog has no package {id}{}{hint}", version.map(|v| format!(" {v}")).unwrap_or_default()))
        })
    }

    /// The package that an installation takes: the asked version, else the newest that fits; checked against what is installed.
    pub(crate) async fn offered(
        &self,
        who: &Principal,
        id: &str,
        version: Option<&str>,
        stored: Option<&Stored>,
    ) -> Result<(CatalogEntry, Vec<u8>), RuntimeError> {
        let entry = &self.pick(who, id, version).await?;
        if let Some(problem) = &entry.problem {
            return Err(RuntimeError::Package(format!("{id} cannot be installed: {problem}")));
        }
        self.acceptable(&entry.signature)?;
        let manifest = entry.manifest.as_ref().ok_or_else(|| RuntimeError::Package(format!("{id} cannot be read")))?;
        self.fits(who, manifest).await?;
        if let Some(stored) = stored {
            follows(stored, manifest, &entry.signature, version.is_some(), self.inner.config.developer_mode)?;
        }
        let bytes = self.inner.catalog.fetch(entry).await?;
        Ok((entry.clone(), bytes))
    }

    /// Whether what it requires is installed, and whether those who require it take this version.
    async fn fits(&self, who: &Principal, manifest: &Manifest) -> Result<(), RuntimeError> {
        let installed = self.installed(who).await?;
        let mut missing = Vec::new();
        for (id, need) in &manifest.requires {
            match installed.iter().find(|i| i.id == *id) {
                None => missing.push(format!("{id} {need}, which is not installed")),
                Some(i) if !Version::parse(&i.version).is_ok_and(|v| need.matches(&v)) => {
                    missing.push(format!("{id} {need}, and {} is installed", i.version));
                }
                Some(_) => {}
            }
        }
        if !missing.is_empty() {
            return Err(RuntimeError::Requires(format!(
                "{} {} needs {}; install that first",
                manifest.id,
                manifest.version,
                missing.join(" and ")
            )));
        }
        let broken = dependents(&installed, &manifest.id, Some(&manifest.version));
        if broken.is_empty() {
            Ok(())
        } else {
            Err(RuntimeError::Requires(format!(
                "{} {} would break what is installed: {}; upgrade or uninstall that first",
                manifest.id,
                manifest.version,
                broken.join(", ")
            )))
        }
    }

    /// Refuses to uninstall what others require.
    pub(crate) async fn needed_by_none(&self, who: &Principal, id: &str) -> Result<(), RuntimeError> {
        let needed = dependents(&self.installed(who).await?, id, None);
        if needed.is_empty() {
            Ok(())
        } else {
            Err(RuntimeError::Requires(format!("{id} is needed: {}; uninstall that first", needed.join(", "))))
        }
    }

    /// What the signature of an installed plugin is worth today; a revoked key is named.
    pub(crate) fn reviewed(&self, stored: &Json) -> Json {
        match serde_json::from_value::<SignatureState>(stored.clone()) {
            Ok(then) => serde_json::to_value(self.inner.catalog.trust().review(&then)).unwrap_or_else(|_| stored.clone()),
            Err(_) => stored.clone(),
        }
    }

    /// Tells the log which installed plugins were signed with keys that were revoked since.
    pub(crate) fn warn_of_revoked(&self, stored: &Stored) {
        let now = self.reviewed(&stored.signature);
        if let Ok(state) = serde_json::from_value::<SignatureState>(now)
            && let (Some(_), Some(reason)) = (state.revoked(), &state.reason)
        {
            tracing::warn!(
                plugin = stored.id,
                version = stored.version,
                reason,
                "an installed plugin is not trusted any more; upgrade or uninstall it"
            );
        }
    }
}

/// Who requires a plugin, and of which version; with `version` only those whom that does not suit.
fn dependents(installed: &[Installed], id: &str, version: Option<&Version>) -> Vec<String> {
    let needs = |i: &Installed| {
        let need = i.manifest.as_ref()?.requires.get(id)?;
        (i.id != id && !version.is_some_and(|v| need.matches(v))).then(|| format!("{} {} needs {id} {need}", i.id, i.version))
    };
    installed.iter().filter_map(needs).collect()
}

/// Whether a package may follow the one that is installed: an older one only when it is asked for by its version, and no other
/// publisher's, for the plugin's data and grants are there.
fn follows(
    stored: &Stored,
    manifest: &Manifest,
    signature: &SignatureState,
    asked: bool,
    developer_mode: bool,
) -> Result<(), RuntimeError> {
    let older = Version::parse(&stored.version).is_ok_and(|installed| manifest.version < installed);
    if older && !asked {
        return Err(RuntimeError::Package(format!(
            "the newest {} that the catalog offers is {}, older than the installed {}; name the version to go back to it",
            stored.id, manifest.version, stored.version
        )));
    }
    let before = serde_json::from_value::<SignatureState>(stored.signature.clone()).ok().and_then(|s| s.publisher);
    let same = match &before {
        None => true,
        Some(name) => signature.signers.iter().any(|s| s.standing == package::Standing::Good && s.publisher.as_ref() == Some(name)),
    };
    if !same && !developer_mode {
        return Err(RuntimeError::Signature(format!(
            "{} was installed from {}, and this package is signed by {}: it would take over its data and grants. Uninstall {} first, keeping its data if that is meant",
            stored.id,
            before.unwrap_or_default(),
            signature.publisher.as_deref().unwrap_or("another publisher"),
            stored.id
        )));
    }
    Ok(())
}
