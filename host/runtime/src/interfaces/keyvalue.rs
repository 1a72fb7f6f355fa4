//! `wasi:keyvalue`: values by key in buckets of the plugin's own. Permission `store`; they are documents as others are, so the quota, the
//! copy before an upgrade and the end of the plugin count for them as well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plenum_store::{By, CollectionSpec, DocumentError, Schema, Tx};
use serde_json::json;
use wasmtime::component::{Resource, ResourceTableError};

use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::call::CallState;
use crate::plugin::collection;

use store::{Error, KeyResponse};

/// Keys of one page.
const PAGE: u32 = 1_000;
/// Keys of one call.
const MANY: usize = 500;
/// Bytes of values read at once: they are in the host's memory before they are in the plugin's.
const MAX_READ: usize = 16 << 20;
/// As base64 text it stays below the largest document.
const MAX_VALUE: usize = 700 << 10;
/// With the bucket's name it stays below the longest id.
const MAX_KEY: usize = 120;

/// An open bucket.
#[derive(Debug)]
pub struct Bucket {
    name: String,
}

fn other(e: impl std::fmt::Display) -> Error {
    tracing::error!(error = %e, "a plugin's key-value store failed");
    Error::Other("the host failed at this; its log has the reason".into())
}

fn bytes(data: &serde_json::Value) -> Result<Vec<u8>, Error> {
    STANDARD.decode(data.get("value").and_then(|v| v.as_str()).unwrap_or_default()).map_err(other)
}

/// What happens to a key.
enum Change {
    Set(Vec<u8>),
    Delete,
}

impl CallState {
    /// No manifest can name a collection so.
    fn kv(&self) -> String {
        collection(&self.plugin.id, "~keyvalue")
    }

    async fn kv_allowed(&mut self) -> Result<(), Error> {
        let checked = self.services.access.require(&self.info.who, plenum_access::Permission::Store, &[]).await;
        checked.map_err(|_| Error::AccessDenied)
    }

    fn kv_id(&self, bucket: &Resource<Bucket>, key: &str) -> Result<String, Error> {
        if key.is_empty() || key.len() > MAX_KEY || key.contains('\0') {
            return Err(Error::Other(format!("a key has 1 to {MAX_KEY} bytes, none of them NUL")));
        }
        Ok(format!("{}/{key}", self.table.get(bucket).map_err(other)?.name))
    }

    async fn kv_get(&mut self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.services.docs.get(&self.kv(), id).await {
            Ok(found) => found.map(|d| bytes(&d.data)).transpose(),
            Err(DocumentError::NoCollection(_)) => Ok(None),
            Err(e) => Err(other(e)),
        }
    }

    /// A transaction to write in. The collection is made before the first write, in a transaction of its own: making one waits for
    /// all others who make one, and a write waits for nobody.
    async fn kv_begin(&mut self) -> Result<Tx, Error> {
        match self.services.docs.schema(&self.kv()).await {
            Ok(_) => {}
            Err(DocumentError::NoCollection(_)) => {
                let mut tx = self.services.db.begin().await.map_err(other)?;
                let spec =
                    CollectionSpec { name: self.kv(), schema: Schema::default(), indexed: Vec::new(), unique: Vec::new(), history: false };
                self.services.docs.define(&mut tx, &spec).await.map_err(other)?;
                tx.commit().await.map_err(other)?;
            }
            Err(e) => return Err(other(e)),
        }
        self.services.db.begin().await.map_err(other)
    }

    async fn kv_put(&mut self, tx: &mut Tx, id: &str, value: &[u8]) -> Result<(), Error> {
        let (docs, name, actor) = (&self.services.docs, self.kv(), self.info.who.actor().to_string());
        let by = By { actor: &actor, why: None };
        let data = json!({"value": STANDARD.encode(value)});
        match docs.reserve_in(tx, &name, id).await.map_err(other)? {
            None => docs.insert(tx, &name, Some(id), data, by).await.map_err(other)?,
            Some(_) => docs.update(tx, &name, id, data, None, by).await.map_err(other)?,
        };
        Ok(())
    }

    async fn kv_room(&mut self, size: usize) -> Result<(), Error> {
        let life = self.plugin.life.clone();
        let more = i64::try_from(size * 4 / 3 + 16).unwrap_or(i64::MAX);
        if life.room(&self.services.docs, more).await.map_err(other)? {
            return Ok(());
        }
        let most = life.limits.store_bytes >> 20;
        Err(Error::Other(format!("the plugin would store more than the {most} MiB that it may; delete what is no longer needed")))
    }

    async fn kv_change(&mut self, changes: Vec<(String, Change)>) -> Result<(), Error> {
        self.kv_allowed().await?;
        if changes.len() > MANY {
            return Err(Error::Other(format!("at most {MANY} keys at once")));
        }
        let mut size = 0;
        for (id, change) in &changes {
            if let Change::Set(v) = change {
                if v.len() > MAX_VALUE {
                    return Err(Error::Other(format!("the value of {id} has {} bytes; a value has at most {MAX_VALUE}", v.len())));
                }
                size += v.len();
            }
        }
        let life = self.plugin.life.clone();
        let _write = if self.info.migrates { None } else { Some(life.writes.read().await) };
        if size > 0 {
            self.kv_room(size).await?;
        }
        let actor = self.info.who.actor().to_string();
        let mut tx = self.kv_begin().await?;
        for (id, change) in changes {
            match change {
                Change::Set(value) => self.kv_put(&mut tx, &id, &value).await?,
                Change::Delete => {
                    let by = By { actor: &actor, why: None };
                    self.services.docs.delete(&mut tx, &self.kv(), &id, None, by).await.map_err(other)?;
                }
            }
        }
        tx.commit().await.map_err(other)
    }
}

impl store::Host for CallState {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Error> {
        let _span = self.span("wasi:keyvalue/store.open");
        self.kv_allowed().await?;
        let plain =
            identifier.len() <= 60 && identifier.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c));
        if !plain {
            return Err(Error::NoSuchStore);
        }
        let most = self.plugin.life.limits.handles;
        self.table.push(Bucket { name: identifier }).map_err(|e| match e {
            ResourceTableError::Full => {
                Error::Other(format!("a call holds at most {most} resources at once; drop the buckets that are no longer needed"))
            }
            e => other(e),
        })
    }
}

impl store::HostBucket for CallState {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Error> {
        let _span = self.span("wasi:keyvalue/store.get");
        self.kv_allowed().await?;
        let id = self.kv_id(&bucket, &key)?;
        self.kv_get(&id).await
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Error> {
        let _span = self.span("wasi:keyvalue/store.set");
        let id = self.kv_id(&bucket, &key)?;
        self.kv_change(vec![(id, Change::Set(value))]).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Error> {
        let _span = self.span("wasi:keyvalue/store.delete");
        let id = self.kv_id(&bucket, &key)?;
        self.kv_change(vec![(id, Change::Delete)]).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Error> {
        let _span = self.span("wasi:keyvalue/store.exists");
        self.kv_allowed().await?;
        let id = self.kv_id(&bucket, &key)?;
        Ok(self.kv_get(&id).await?.is_some())
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let _span = self.span("wasi:keyvalue/store.list-keys");
        self.kv_allowed().await?;
        let prefix = format!("{}/", self.table.get(&bucket).map_err(other)?.name);
        // The cursor is how many keys were told; a key that went meanwhile can hide another, as the interface allows.
        let skip = cursor.unwrap_or(0);
        let ids = match self.services.docs.ids(&self.kv(), &format!("id.startsWith(\"{prefix}\")"), skip, PAGE).await {
            Ok(ids) => ids,
            Err(DocumentError::NoCollection(_)) => Vec::new(),
            Err(e) => return Err(other(e)),
        };
        let next = (ids.len() >= PAGE as usize).then(|| skip.saturating_add(u64::from(PAGE)));
        let keys = ids.iter().map(|id| id.strip_prefix(&prefix).unwrap_or(id).to_owned()).collect();
        Ok(KeyResponse { keys, cursor: next })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for CallState {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64, Error> {
        let _span = self.span("wasi:keyvalue/atomics.increment");
        self.kv_allowed().await?;
        let id = self.kv_id(&bucket, &key)?;
        let life = self.plugin.life.clone();
        let _write = if self.info.migrates { None } else { Some(life.writes.read().await) };
        self.kv_room(20).await?;
        let mut tx = self.kv_begin().await?;
        let now = match self.services.docs.reserve_in(&mut tx, &self.kv(), &id).await.map_err(other)? {
            None => 0,
            Some(d) => {
                let text = String::from_utf8(bytes(&d.data)?).unwrap_or_default();
                text.parse::<u64>().map_err(|_| Error::Other(format!("the value of {key} is no number")))?
            }
        };
        let sum = now.checked_add(delta).ok_or_else(|| Error::Other(format!("the number at {key} would be too large")))?;
        self.kv_put(&mut tx, &id, sum.to_string().as_bytes()).await?;
        tx.commit().await.map_err(other)?;
        Ok(sum)
    }
}

impl batch::Host for CallState {
    async fn get_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<Vec<Option<(String, Vec<u8>)>>, Error> {
        let _span = self.span("wasi:keyvalue/batch.get-many");
        self.kv_allowed().await?;
        if keys.len() > MANY {
            return Err(Error::Other(format!("at most {MANY} keys at once")));
        }
        let ids = keys.iter().map(|k| self.kv_id(&bucket, k)).collect::<Result<Vec<_>, _>>()?;
        let too_much = || Error::Other(format!("these values come to more than {} MiB; ask for fewer keys at once", MAX_READ >> 20));
        let found = match self.services.docs.get_many_within(&self.kv(), &ids, MAX_READ as i64).await {
            Ok(found) => found.ok_or_else(too_much)?,
            Err(DocumentError::NoCollection(_)) => Vec::new(),
            Err(e) => return Err(other(e)),
        };
        // The same key may stand there many times, and each has its value.
        let mut room = MAX_READ;
        let mut one = |(key, id): (String, String)| match found.iter().find(|d| d.id == id) {
            Some(d) => {
                let value = bytes(&d.data)?;
                room = room.checked_sub(value.len()).ok_or_else(too_much)?;
                Ok(Some((key, value)))
            }
            None => Ok(None),
        };
        keys.into_iter().zip(ids).map(&mut one).collect()
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let _span = self.span("wasi:keyvalue/batch.set-many");
        let change = |(key, value): (String, Vec<u8>)| Ok::<_, Error>((self.kv_id(&bucket, &key)?, Change::Set(value)));
        let changes = key_values.into_iter().map(change).collect::<Result<Vec<_>, _>>()?;
        self.kv_change(changes).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Error> {
        let _span = self.span("wasi:keyvalue/batch.delete-many");
        let change = |key: String| Ok::<_, Error>((self.kv_id(&bucket, &key)?, Change::Delete));
        let changes = keys.into_iter().map(change).collect::<Result<Vec<_>, _>>()?;
        self.kv_change(changes).await
    }
}
