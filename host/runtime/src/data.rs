//! A plugin's data out of a host and into the same or another one.
//!
//! An export is what one moment saw, written to a file without a name in the data folder and handed out from there, so that a slow
//! reader holds no connection. An import is checked by putting its records, page by page, into collections beside the plugin's own;
//! only when all of them are there, one transaction puts them in the place of what the plugin has. What dies on the way leaves
//! nothing but such copies, which the next import or start removes.

use std::time::Duration;

use plenum_access::{Permission, Principal};
use plenum_store::secrets::is_sealed;
use plenum_store::{CollectionSpec, Document, DocumentError, Schema, StoreError, now_ms, params};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::RuntimeError;
use crate::data_file::{CollectionHeader, FORMAT, Header, MAX_COLLECTIONS, Next, Reader, Writer, internal, now, wrong};
use crate::package::Manifest;
use crate::plugin::{collection, field};
use crate::service::{Plugins, Stored};
use crate::upgrade::DRAIN;

/// Records, and bytes, that are read or written at once.
const PAGE: u32 = 500;
const PAGE_BYTES: i64 = 4 << 20;
/// After so long, copies of an import that has not ended belong to nobody.
const FORSAKEN: Duration = Duration::from_secs(3600);

/// An export, ready to be read.
#[derive(Debug)]
pub struct Export {
    /// At its beginning.
    pub file: File,
    /// Its size.
    pub bytes: u64,
    /// What to call it.
    pub name: String,
}

/// A file of a plugin's data on its way in.
#[derive(Debug)]
pub struct Upload {
    file: File,
    bytes: u64,
    most: u64,
}

impl Upload {
    /// The next piece of it.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), RuntimeError> {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.bytes > self.most {
            let message = format!(
                "the file is larger than {} MiB, twice of what a plugin may store; raise storage_mb under [plugins.limits]",
                self.most >> 20
            );
            return Err(RuntimeError::Data { code: "plugin.data_too_large", status: 413, message });
        }
        self.file.write_all(piece).await.map_err(internal)
    }
}

/// What becomes of an import.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Check all of it, and change nothing.
    pub dry_run: bool,
    /// Also take the file's settings.
    pub settings: bool,
}

/// A collection of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedCollection {
    /// Its name within the plugin; `~keyvalue` holds `wasi:keyvalue`.
    pub name: String,
    /// Records of the file.
    pub records: u64,
    /// Records that there were, and that are no longer there.
    pub replaces: u64,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReport {
    /// The plugin.
    pub plugin: String,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// The version that the data come from.
    pub version: String,
    /// The version that is installed here.
    pub installed_version: String,
    /// When they were exported.
    pub exported_at: String,
    /// By name.
    pub collections: Vec<ImportedCollection>,
    /// All records of the file.
    pub records: u64,
    /// All records that they replace.
    pub replaces: u64,
    /// Names of the settings that are taken.
    pub settings: Vec<String>,
    /// What an administrator should know before it is done.
    pub warnings: Vec<String>,
}

fn records_of(id: &str) -> String {
    format!("plugin/{id}/")
}

/// A name that can stand after `plugin/<id>/`.
fn fits(name: &str) -> bool {
    let name = name.strip_prefix('~').unwrap_or(name);
    (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c))
}

fn at(line: u64, e: DocumentError) -> RuntimeError {
    match e {
        DocumentError::Store(e @ (StoreError::Unique(_) | StoreError::Conflict { .. })) => wrong(line, e),
        DocumentError::Store(e) => e.into(),
        e => wrong(line, e),
    }
}

impl Plugins {
    async fn nameless_file(&self) -> Result<File, RuntimeError> {
        let folder = self.inner.config.data.clone();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder)).await;
        Ok(File::from_std(made.map_err(|e| RuntimeError::Internal(e.to_string()))?.map_err(internal)?))
    }

    /// Everything that a plugin stored, as it is at one moment, and its settings if they are wanted. Never what is secret.
    pub async fn export_data(&self, who: &Principal, id: &str, settings: bool) -> Result<Export, RuntimeError> {
        self.require(who, Permission::PluginsManage).await?;
        let stored = self.need(id).await?;
        let manifest = self.manifest_of(&stored)?;
        // One at a time: each holds a connection.
        let _one = self.inner.carrying.lock().await;
        let docs = &self.services().docs;
        let mut tx = self.services().db.begin_read().await?;
        let prefix = records_of(id);
        let specs = docs.specs_in(&mut tx, &prefix).await?;
        let named = |s: &CollectionSpec| s.name.strip_prefix(&prefix).unwrap_or(&s.name).to_owned();
        let header = Header {
            plenum: "plugin-data".into(),
            format: FORMAT,
            plugin: id.to_owned(),
            version: stored.version.clone(),
            exported_at: now(),
            collections: specs.iter().map(|s| CollectionHeader::of(&named(s), s.clone())).collect(),
            settings: settings.then(|| open_settings(&manifest, &stored)),
        };
        let mut out = Writer::begin(self.nameless_file().await?, &header).await?;
        for spec in &specs {
            let (name, mut after) = (named(spec), None);
            loop {
                let page = docs.walk_within(&mut tx, &spec.name, after.as_deref(), PAGE, PAGE_BYTES).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.clone());
                for d in page {
                    out.record(&name, d).await?;
                }
            }
        }
        tx.rollback().await?;
        let (mut file, records, bytes) = out.end().await?;
        file.rewind().await.map_err(internal)?;
        let told = json!({"version": stored.version, "records": records, "settings": settings});
        let mut tx = self.services().db.begin().await?;
        self.tell(&mut tx, who, "data_exported", id, None, Some(&told)).await?;
        tx.commit().await?;
        let day: String = header.exported_at.chars().take(10).collect();
        Ok(Export { file, bytes, name: format!("{id}-{}-{day}.jsonl", stored.version) })
    }

    /// Takes in a file of a plugin's data, for [`Plugins::import_data`].
    pub async fn receive_data(&self, who: &Principal, id: &str) -> Result<Upload, RuntimeError> {
        self.require(who, Permission::PluginsManage).await?;
        self.need(id).await?;
        let most = self.inner.lives.get(id).limits.store_bytes.saturating_mul(2).saturating_add(1 << 20);
        Ok(Upload { file: self.nameless_file().await?, bytes: 0, most })
    }

    /// Puts the data of a file in the place of all that the plugin stored: all of it or nothing.
    pub async fn import_data(
        &self,
        who: &Principal,
        id: &str,
        upload: Upload,
        options: ImportOptions,
    ) -> Result<ImportReport, RuntimeError> {
        self.require(who, Permission::PluginsManage).await?;
        let mut file = upload.file;
        file.flush().await.map_err(internal)?;
        file.rewind().await.map_err(internal)?;
        let (this, who, id) = (self.clone(), who.clone(), id.to_owned());
        // A task of its own: it ends as it should when nobody waits for the answer any more.
        let work = self.services().tasks.spawn(async move {
            let _one = this.inner.carrying.lock().await;
            this.forget_forsaken_imports().await?;
            let beside = format!("import/{id}/{}-{}/", now_ms(), plenum_store::new_id());
            let done = this.import_beside(&who, &id, file, options, &beside).await;
            let mut tx = this.services().db.begin().await?;
            this.services().docs.drop_all(&mut tx, &beside).await?;
            tx.commit().await?;
            done
        });
        work.await.map_err(|e| RuntimeError::Internal(e.to_string()))?
    }

    async fn import_beside(
        &self,
        who: &Principal,
        id: &str,
        file: File,
        options: ImportOptions,
        beside: &str,
    ) -> Result<ImportReport, RuntimeError> {
        let stored = self.need(id).await?;
        let manifest = self.manifest_of(&stored)?;
        let (mut reader, header) = Reader::begin(file).await?;
        if header.plugin != id {
            let message = format!("these are the data of the plugin {}, and not of {id}; import them there", header.plugin);
            return Err(RuntimeError::Data { code: "plugin.data_other", status: 422, message });
        }
        let mut warnings = Vec::new();
        if header.version != stored.version {
            warnings.push(format!(
                "the data were written by version {}, and {} is installed: its migration does not run for them. Where the two versions keep other records, \
                 install {} first, import, and upgrade then",
                header.version, stored.version, header.version
            ));
        }
        let specs = wanted(id, &manifest, &header)?;
        let settings = if options.settings { taken(&manifest, &header, &mut warnings)? } else { Map::new() };
        if header.settings.is_some() && !options.settings {
            warnings.push("the settings of the file are not taken; ask for them with settings=true".into());
        }
        let counts = self.stage(id, &mut reader, &specs, beside).await?;
        let mut report = ImportReport {
            plugin: id.to_owned(),
            dry_run: options.dry_run,
            version: header.version,
            installed_version: stored.version.clone(),
            exported_at: header.exported_at,
            collections: Vec::new(),
            records: counts.iter().sum(),
            replaces: 0,
            settings: settings.keys().cloned().collect(),
            warnings,
        };
        let life = self.inner.lives.get(id);
        let _changing = self.inner.changing.lock().await;
        let stored = match self.need(id).await? {
            now if now.digest == stored.digest => now,
            _ => return Err(RuntimeError::State(format!("another version of {id} was installed meanwhile; import again"))),
        };
        let closed = (!options.dry_run).then(|| life.close());
        if let Some(closed) = &closed {
            closed.empty(DRAIN).await;
        }
        let alone = if options.dry_run { None } else { Some(life.writes.write().await) };
        let mut tx = self.services().db.begin().await?;
        let docs = &self.services().docs;
        for c in docs.specs_in(&mut tx, &records_of(id)).await? {
            let replaces = docs.count_in(&mut tx, &c.name).await?;
            let name = c.name.strip_prefix(&records_of(id)).unwrap_or(&c.name).to_owned();
            report.collections.push(ImportedCollection { name, records: 0, replaces });
            report.replaces += replaces;
        }
        for (spec, records) in specs.iter().zip(counts) {
            let name = spec.name.strip_prefix(&records_of(id)).unwrap_or(&spec.name);
            match report.collections.iter_mut().find(|c| c.name == name) {
                Some(c) => c.records = records,
                None => report.collections.push(ImportedCollection { name: name.to_owned(), records, replaces: 0 }),
            }
        }
        report.collections.sort_by(|a, b| a.name.cmp(&b.name));
        if options.dry_run {
            tx.rollback().await?;
            return Ok(report);
        }
        docs.restore(&mut tx, &records_of(id), beside, &specs).await?;
        let values = merged(&stored, settings);
        if !report.settings.is_empty() {
            tx.execute("UPDATE plugins SET settings = ?, updated_at = ? WHERE id = ?", params![values.clone(), now_ms(), id]).await?;
        }
        let before = json!({"version": stored.version, "records": report.replaces});
        let after =
            json!({"version": report.version, "records": report.records, "exported_at": report.exported_at, "settings": report.settings});
        self.tell(&mut tx, who, "data_imported", id, Some(&before), Some(&after)).await?;
        tx.commit().await?;
        drop(alone);
        drop(closed);
        life.used_bytes(docs).await?;
        if stored.enabled && !report.settings.is_empty() {
            self.load_stored(Stored { settings: values, ..stored }).await;
        }
        Ok(report)
    }

    /// Puts the records of the file into collections beside the plugin's own; answers how many there are of each of `specs`.
    async fn stage(&self, id: &str, reader: &mut Reader, specs: &[CollectionSpec], beside: &str) -> Result<Vec<u64>, RuntimeError> {
        let docs = &self.services().docs;
        let prefix = records_of(id);
        let beside_of = |spec: &CollectionSpec| format!("{beside}{}", spec.name.strip_prefix(&prefix).unwrap_or(&spec.name));
        let mut tx = self.services().db.begin().await?;
        for spec in specs {
            docs.define(&mut tx, &CollectionSpec { name: beside_of(spec), ..spec.clone() }).await?;
        }
        tx.commit().await?;
        let quota = i64::try_from(self.inner.lives.get(id).limits.store_bytes).unwrap_or(i64::MAX);
        let mut counts = vec![0_u64; specs.len()];
        let mut total = 0_i64;
        // Of one collection, with the line of its first.
        let mut page: (usize, u64, Vec<Document>, usize) = (0, 0, Vec::new(), 0);
        loop {
            let next = reader.next().await?;
            let (i, document) = match next {
                Next::End => (usize::MAX, None),
                Next::Record(name, d) => {
                    let i = specs.iter().position(|s| s.name.strip_prefix(&prefix) == Some(name.as_str()));
                    let i = i.ok_or_else(|| wrong(reader.line, format!("the first line names no collection {name:?}")))?;
                    (i, Some(d))
                }
            };
            let full = page.2.len() >= PAGE as usize || page.3 >= PAGE_BYTES as usize;
            if !page.2.is_empty() && (i != page.0 || full) {
                let (of, first, records, _) = std::mem::take(&mut page);
                let Some(spec) = specs.get(of) else { break };
                let count = records.len() as u64;
                let mut tx = self.services().db.begin().await?;
                let bytes = docs.put_back(&mut tx, &beside_of(spec), records).await.map_err(|(n, e)| at(first + n as u64, e))?;
                tx.commit().await?;
                total = total.saturating_add(bytes);
                if total > quota {
                    let message = format!(
                        "these data are more than the {} MiB that a plugin may store; raise storage_mb under [plugins.limits]",
                        quota >> 20
                    );
                    return Err(RuntimeError::Data { code: "store.quota", status: 413, message });
                }
                if let Some(c) = counts.get_mut(of) {
                    *c += count;
                }
            }
            let Some(document) = document else { return Ok(counts) };
            if page.2.is_empty() {
                (page.0, page.1) = (i, reader.line);
            }
            page.3 += document.data.to_string().len();
            page.2.push(document);
        }
        Ok(counts)
    }

    /// Removes what imports left that ended in the middle.
    pub(crate) async fn forget_forsaken_imports(&self) -> Result<(), RuntimeError> {
        let docs = &self.services().docs;
        let old = now_ms() - i64::try_from(FORSAKEN.as_millis()).unwrap_or(i64::MAX);
        for name in docs.collections("import/").await? {
            let begun = name.split('/').nth(2).and_then(|p| p.split('-').next()).and_then(|ms| ms.parse::<i64>().ok());
            if begun.is_none_or(|ms| ms < old) {
                let mut tx = self.services().db.begin().await?;
                docs.drop_collection(&mut tx, &name).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }
}

/// The settings that were set and are not secret.
fn open_settings(manifest: &Manifest, stored: &Stored) -> Map<String, Json> {
    let open = manifest.settings.iter().filter(|s| !s.secret);
    let set = open.filter_map(|s| Some((s.name.clone(), stored.settings.get(&s.name)?.clone())));
    set.filter(|(_, value)| !is_sealed(value)).collect()
}

/// The collections that there will be: those of the manifest as it says, others as the file says.
fn wanted(id: &str, manifest: &Manifest, header: &Header) -> Result<Vec<CollectionSpec>, RuntimeError> {
    let mut specs = Vec::new();
    for c in &manifest.collections {
        let fields = c.fields.iter().map(|(n, k)| field(n, k)).collect::<Result<Vec<_>, _>>()?;
        specs.push(CollectionSpec {
            name: collection(id, &c.name),
            schema: Schema::new(fields),
            indexed: c.indexed.clone(),
            unique: c.unique.clone(),
            history: false,
        });
    }
    if header.collections.len() > MAX_COLLECTIONS {
        return Err(wrong(1, format!("more than {MAX_COLLECTIONS} collections")));
    }
    for c in &header.collections {
        if !fits(&c.name) {
            return Err(wrong(1, format!("{:?} is no name of a collection", c.name)));
        }
        let name = collection(id, &c.name);
        if !specs.iter().any(|s| s.name == name) {
            let (schema, indexed, unique) = (c.schema.clone(), c.indexed.clone(), c.unique.clone());
            specs.push(CollectionSpec { name, schema, indexed, unique, history: false });
        }
    }
    Ok(specs)
}

/// The settings of the file that this version has.
fn taken(manifest: &Manifest, header: &Header, warnings: &mut Vec<String>) -> Result<Map<String, Json>, RuntimeError> {
    let mut out = Map::new();
    for (name, value) in header.settings.iter().flatten() {
        match manifest.settings.iter().find(|s| s.name == *name) {
            None => warnings.push(format!("there is no setting {name} in the installed version; it is left out")),
            Some(spec) if spec.secret => warnings.push(format!("the setting {name} is secret in the installed version; it is left out")),
            Some(spec) => {
                spec.accepts(value).map_err(|why| wrong(1, format!("the setting {name}: {why}")))?;
                out.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(out)
}

fn merged(stored: &Stored, settings: Map<String, Json>) -> Json {
    let mut values = stored.settings.as_object().cloned().unwrap_or_default();
    values.extend(settings);
    Json::Object(values)
}

#[cfg(test)]
#[path = "tests/data.rs"]
mod tests;
