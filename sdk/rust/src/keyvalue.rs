//! Values by key, in buckets of the plugin's own: what needs no fields and no filter. Takes the permission `store`; the values count towards
//! its storage.
//!
//! ```
//! # use plenum_sdk::{keyvalue::Bucket, testing::Fake};
//! # let fake = Fake::new();
//! let seen = Bucket::open("seen")?;
//! seen.set("web1", "2026-01-31")?;
//! assert_eq!(seen.text("web1")?.as_deref(), Some("2026-01-31"));
//! assert_eq!(seen.increment("visits", 2)?, 2);
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, backend};

/// A bucket. It is there as soon as something is in it.
#[derive(Debug)]
pub struct Bucket {
    inner: backend::Bucket,
}

impl Bucket {
    /// Keys that one call of [`Bucket::get_many`], [`Bucket::set_many`] or [`Bucket::delete_many`] may name.
    pub const MOST: usize = 500;

    /// By name: 0 to 60 of a-z, 0-9, hyphen and underscore.
    pub fn open(name: &str) -> Result<Bucket> {
        Ok(Bucket { inner: backend::kv_open(name)? })
    }

    /// The value of a key; none when it has none.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        backend::kv_get(&self.inner, key)
    }

    /// The same, as text.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        let text = |bytes| String::from_utf8(bytes).map_err(|_| Error::internal("keyvalue.text", format!("the value of {key} is no text")));
        self.get(key)?.map(text).transpose()
    }

    /// The same, from JSON.
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let decoded = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes)
                .map_err(|e| Error::internal("keyvalue.json", format!("the value of {key} is not as the plugin expects: {e}")))
        };
        self.get(key)?.map(decoded).transpose()
    }

    /// Sets the value of a key: 1 to 120 bytes, at most 700 KiB.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        backend::kv_set(&self.inner, key, value.as_ref())
    }

    /// Sets the value of a key, as JSON.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<()> {
        self.set(key, serde_json::to_vec(value)?)
    }

    /// Removes a key; none there is fine.
    pub fn delete(&self, key: &str) -> Result<()> {
        backend::kv_delete(&self.inner, key)
    }

    /// Whether a key has a value.
    pub fn exists(&self, key: &str) -> Result<bool> {
        backend::kv_exists(&self.inner, key)
    }

    /// All keys, in their order.
    pub fn keys(&self) -> Result<Vec<String>> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = backend::kv_keys(&self.inner, cursor)?;
            keys.extend(page);
            if next.is_none() {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// Adds to the number at a key, which counts as 0 without a value; of many at once, none is lost. Answers the new number.
    pub fn increment(&self, key: &str, by: u64) -> Result<u64> {
        backend::kv_increment(&self.inner, key, by)
    }

    /// Values of keys, in their order; none for a key without.
    pub fn get_many<S: AsRef<str>>(&self, keys: impl IntoIterator<Item = S>) -> Result<Vec<Option<Vec<u8>>>> {
        let keys: Vec<String> = keys.into_iter().map(|k| k.as_ref().to_owned()).collect();
        backend::kv_get_many(&self.inner, &keys)
    }

    /// Sets values, all or none.
    pub fn set_many<S: AsRef<str>, V: AsRef<[u8]>>(&self, values: impl IntoIterator<Item = (S, V)>) -> Result<()> {
        let values: Vec<(String, Vec<u8>)> = values.into_iter().map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_vec())).collect();
        backend::kv_set_many(&self.inner, &values)
    }

    /// Removes keys, all or none.
    pub fn delete_many<S: AsRef<str>>(&self, keys: impl IntoIterator<Item = S>) -> Result<()> {
        let keys: Vec<String> = keys.into_iter().map(|k| k.as_ref().to_owned()).collect();
        backend::kv_delete_many(&self.inner, &keys)
    }
}
