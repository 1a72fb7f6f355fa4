//! Secrets at rest: what the database keeps of a secret is sealed with a key that lives outside of it.
//!
//! A key ring has one key that seals and any number of older ones that only open, so that a key can be replaced: what an older one
//! sealed is sealed anew at the next start. AES-256-GCM with a random nonce; what a value belongs to (`plugin/<id>/<setting>`) is
//! bound to it, so that it opens nowhere else. The database remembers which key it goes with: a host with another one says so and
//! does not start, before it has changed anything.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value as Json, json};

use crate::sql::Db;
use crate::{StoreError, now_ms, params};

/// The key under which a sealed value stands in JSON.
const SEALED: &str = "$sealed";

/// What sealing and opening can fail at.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The text of the keys is not valid.
    #[error("{place} is not valid: {why}; it has one key a line, each 64 hexadecimal digits, the one that seals first")]
    Key {
        /// Where it came from.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The file of the keys cannot be read or made.
    #[error("the file of the secrets' key {place} cannot be used: {source}")]
    File {
        /// Which.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database goes with other keys.
    #[error(
        "the secrets in the database are sealed with the key {wanted}, and {place} {has}: put the key back from its backup (the file secrets.key of the \
         data folder, or what PLENUM_SECRET_KEY or secret_key_file named). Nothing was changed. If the key is lost for good, `plenum admin \
         forget-secrets` deletes what nobody can open any more, and the secrets have to be set again"
    )]
    OtherKey {
        /// Ids of the keys that the database goes with.
        wanted: String,
        /// Where the keys came from.
        place: String,
        /// What is there.
        has: String,
    },
    /// A sealed value does not open.
    #[error("the secret {context} does not open: {why}; set it again")]
    Damaged {
        /// What it belongs to.
        context: String,
        /// Why.
        why: &'static str,
    },
    /// Random numbers are to be had from the system, always.
    #[error("the system gives no random numbers")]
    Random,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Key {
    id: String,
    key: LessSafeKey,
}

struct Ring {
    /// Where they came from, for errors.
    place: String,
    first: Key,
    older: Vec<Key>,
}

/// The keys that seal and open secrets. Cheap to clone; its text shows none of them.
#[derive(Clone)]
pub struct Secrets {
    ring: Arc<Ring>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets(key {} of {})", self.ring.first.id, self.ring.place)
    }
}

fn key(bytes: &[u8]) -> Option<Key> {
    // Says which key it is, and nothing about it.
    let hash = ring::digest::digest(&ring::digest::SHA256, &[b"plenum key id\0", bytes].concat());
    let id = hex::encode(hash.as_ref().get(..4)?);
    Some(Key { id, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?) })
}

fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0_u8; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SecretsError::Random)?;
    Ok(bytes)
}

impl Secrets {
    /// Keys from a text: one a line (or separated by commas), each 64 hexadecimal digits; `#` begins a comment. `place` is for errors.
    pub fn parse(text: &str, place: &str) -> Result<Secrets, SecretsError> {
        let wrong = |why: String| SecretsError::Key { place: place.to_owned(), why };
        let mut keys = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            for one in line.split(',').map(str::trim).filter(|one| !one.is_empty()) {
                // Never the text itself: it may be a key with a slip of the pen.
                let bytes = hex::decode(one).map_err(|_| wrong(format!("line {} is not hexadecimal", i + 1)))?;
                keys.push(key(&bytes).ok_or_else(|| wrong(format!("line {} has {} bytes instead of 32", i + 1, bytes.len())))?);
            }
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or_else(|| wrong("there is no key in it".into()))?;
        Ok(Secrets { ring: Arc::new(Ring { place: place.to_owned(), first, older: keys.collect() }) })
    }

    /// A new key that is kept nowhere: for tests, and for hosts that are thrown away.
    pub fn throwaway() -> Result<Secrets, SecretsError> {
        Secrets::parse(&hex::encode(random::<32>()?), "a key of this process")
    }

    /// Keys from a file; none when there is no such file.
    pub fn read(path: &Path) -> Result<Option<Secrets>, SecretsError> {
        let place = path.display().to_string();
        let file = |source| SecretsError::File { place: place.clone(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(file(e)),
        };
        let mode = std::fs::metadata(path).map_err(file)?.permissions().mode();
        if mode & 0o004 != 0 {
            tracing::warn!(file = place, "everybody on this machine can read the key of the secrets; chmod 600 it");
        }
        Secrets::parse(&text, &place).map(Some)
    }

    /// Makes a file with a new key, which only the host's user can read. It is there whole or not at all.
    pub fn create(path: &Path) -> Result<Secrets, SecretsError> {
        let place = path.display().to_string();
        let text = format!(
            "# The key of the secrets in Plenum's database. Without it they cannot be opened: keep a copy, but not beside the copies of the database.\n{}\n",
            hex::encode(random::<32>()?)
        );
        let temporary = path.with_extension("new");
        let written = || {
            let _ = std::fs::remove_file(&temporary);
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Never over a key that is there.
            std::fs::hard_link(&temporary, path)?;
            std::fs::remove_file(&temporary)?;
            std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        written().map_err(|source| SecretsError::File { place: place.clone(), source })?;
        Secrets::parse(&text, &place)
    }

    /// The id of the key that seals.
    pub fn key_id(&self) -> &str {
        &self.ring.first.id
    }

    fn find(&self, id: &str) -> Option<&Key> {
        std::iter::once(&self.ring.first).chain(&self.ring.older).find(|k| k.id == id)
    }

    /// Seals a text that belongs to `context`.
    pub fn seal(&self, context: &str, plain: &str) -> Result<String, SecretsError> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = plain.as_bytes().to_vec();
        let first = &self.ring.first;
        first
            .key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()), &mut sealed)
            .map_err(|_| SecretsError::Damaged { context: context.to_owned(), why: "it is too large" })?;
        Ok(format!("v1.{}.{}", first.id, STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat())))
    }

    /// Opens what was sealed for this very `context`.
    pub fn open(&self, context: &str, sealed: &str) -> Result<String, SecretsError> {
        let damaged = |why| SecretsError::Damaged { context: context.to_owned(), why };
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(damaged("it was sealed in a way that this version does not know"));
        };
        let key = self.find(id).ok_or_else(|| self.other_key(id))?;
        let mut bytes = STANDARD_NO_PAD.decode(text).map_err(|_| damaged("what is stored of it is damaged"))?;
        if bytes.len() < NONCE_LEN {
            return Err(damaged("what is stored of it is damaged"));
        }
        let mut body = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| damaged("what is stored of it is damaged"))?;
        let plain = key
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| damaged("what is stored of it was changed, or belongs to something else"))?;
        String::from_utf8(plain.to_vec()).map_err(|_| damaged("what is stored of it is no text"))
    }

    /// A value of JSON, sealed; one that is sealed already by the present key stays, and one by an older key is sealed anew.
    pub fn seal_json(&self, context: &str, value: &Json) -> Result<Json, SecretsError> {
        match sealed(value) {
            Some(text) if text.split('.').nth(1) == Some(self.key_id()) => Ok(value.clone()),
            Some(text) => Ok(json!({ SEALED: self.seal(context, &self.open(context, text)?)? })),
            None => Ok(json!({ SEALED: self.seal(context, &value.to_string())? })),
        }
    }

    /// A value of JSON as it was before it was sealed; one that is not sealed as it is.
    pub fn open_json(&self, context: &str, value: &Json) -> Result<Json, SecretsError> {
        let Some(text) = sealed(value) else { return Ok(value.clone()) };
        let plain = self.open(context, text)?;
        serde_json::from_str(&plain).map_err(|_| SecretsError::Damaged { context: context.to_owned(), why: "what was sealed is no JSON" })
    }

    fn other_key(&self, wanted: &str) -> SecretsError {
        let ids: Vec<&str> = std::iter::once(&self.ring.first).chain(&self.ring.older).map(|k| k.id.as_str()).collect();
        let has = format!("has {}", ids.join(" and "));
        SecretsError::OtherKey { wanted: wanted.to_owned(), place: self.ring.place.clone(), has }
    }

    /// Checks that these are the keys that the database goes with, and remembers the one that seals from now on.
    pub async fn agree(&self, db: &Db) -> Result<(), SecretsError> {
        let known = known_keys(db).await?;
        if let Some(unknown) = known.iter().find(|id| self.find(id).is_none()) {
            return Err(self.other_key(unknown));
        }
        if !known.iter().any(|id| id == self.key_id()) {
            db.execute("INSERT INTO secret_keys (id, since) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", params![self.key_id(), now_ms()])
                .await?;
        }
        Ok(())
    }

    /// Says that nothing is sealed with older keys any more: from then on the host starts without them.
    pub async fn retire_older(&self, db: &Db) -> Result<(), SecretsError> {
        if known_keys(db).await?.len() > 1 {
            db.execute("DELETE FROM secret_keys WHERE id <> ?", params![self.key_id()]).await?;
            tracing::info!(key = self.key_id(), "all secrets are sealed with this key now; older ones can be removed");
        }
        Ok(())
    }

    /// The keys in the file `path`, or when there is none a new one, unless the database goes with one already.
    pub async fn at(path: &Path, db: &Db) -> Result<Secrets, SecretsError> {
        if let Some(found) = Secrets::read(path)? {
            return Ok(found);
        }
        let known = known_keys(db).await?;
        if known.is_empty() {
            return Secrets::create(path);
        }
        Err(SecretsError::OtherKey { wanted: known.join(" and "), place: path.display().to_string(), has: "is not there".into() })
    }

    /// Forgets which keys the database goes with: the next start makes it go with those that it has.
    pub async fn forget_keys(db: &Db) -> Result<(), SecretsError> {
        db.execute("DELETE FROM secret_keys", &[]).await?;
        Ok(())
    }
}

/// What was sealed, of a value that is.
fn sealed(value: &Json) -> Option<&str> {
    let object = value.as_object().filter(|o| o.len() == 1)?;
    object.get(SEALED)?.as_str()
}

/// Whether a value of JSON is sealed.
pub fn is_sealed(value: &Json) -> bool {
    sealed(value).is_some()
}

async fn known_keys(db: &Db) -> Result<Vec<String>, SecretsError> {
    let rows = db.fetch_all("SELECT id FROM secret_keys ORDER BY id", &[]).await?;
    Ok(rows.iter().map(|r| r.text("id")).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const TWO: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    #[test]
    fn opens_where_it_belongs_and_nowhere_else() {
        let s = Secrets::parse(ONE, "here").unwrap();
        let sealed = s.seal("plugin/a/token", "hunter2").unwrap();
        assert_ne!(sealed, s.seal("plugin/a/token", "hunter2").unwrap(), "each sealing is another");
        assert_eq!(s.open("plugin/a/token", &sealed).unwrap(), "hunter2");
        for other in ["plugin/b/token", "plugin/a/toke", ""] {
            assert!(matches!(s.open(other, &sealed), Err(SecretsError::Damaged { .. })));
        }
        // Any bit of it.
        for i in sealed.rfind('.').unwrap() + 1..sealed.len() - 1 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            assert!(s.open("plugin/a/token", &String::from_utf8(bytes).unwrap()).is_err(), "{i}");
        }
        for bad in ["", "v1", "v1.x", "v2.00.AA", &format!("v1.{}.", s.key_id()), &format!("v1.{}.AAAA", s.key_id())] {
            assert!(s.open("plugin/a/token", bad).is_err(), "{bad}");
        }
        assert!(!format!("{s:?}").contains("0101"));
    }

    #[test]
    fn a_new_key_opens_what_the_older_one_sealed_and_seals_it_anew() {
        let old = Secrets::parse(ONE, "here").unwrap();
        let value = old.seal_json("x", &json!({"a": [1, "b"]})).unwrap();
        let both = Secrets::parse(&format!("# new, one\n{TWO}\n{ONE} # old, other\n"), "here").unwrap();
        let anew = both.seal_json("x", &value).unwrap();
        assert_eq!(both.seal_json("x", &anew).unwrap(), anew, "once is enough");
        let new = Secrets::parse(TWO, "there").unwrap();
        assert_eq!(new.open_json("x", &anew).unwrap(), json!({"a": [1, "b"]}));
        let e = new.open_json("x", &value).unwrap_err().to_string();
        assert!(e.contains(old.key_id()) && e.contains("there") && e.contains(new.key_id()) && e.contains("backup"), "{e}");
        assert_eq!(new.open_json("x", &json!("plain")).unwrap(), json!("plain"));
    }

    #[test]
    fn wrong_keys_are_refused_without_being_shown() {
        for bad in ["", "# nothing\n", "zz01", &ONE[2..], &format!("{ONE}\n{}", &TWO[1..])] {
            let e = Secrets::parse(bad, "PLENUM_SECRET_KEY").unwrap_err().to_string();
            assert!(e.contains("PLENUM_SECRET_KEY") && !e.contains("0101") && !e.contains("0202"), "{e}");
        }
    }

    crate::both_databases! {
        async fn the_database_knows_its_key(db: Db) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secrets.key");
            let one = Secrets::at(&path, &db).await.unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            one.agree(&db).await.unwrap();
            assert_eq!(Secrets::at(&path, &db).await.unwrap().key_id(), one.key_id());
            // Lost: no new one is made in its place.
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let e = Secrets::at(&path, &db).await.unwrap_err().to_string();
            assert!(e.contains("is not there") && e.contains(one.key_id()), "{e}");
            assert!(!path.exists());
            // Another.
            let two = Secrets::parse(TWO, "PLENUM_SECRET_KEY").unwrap();
            let e = two.agree(&db).await.unwrap_err();
            assert!(matches!(e, SecretsError::OtherKey { .. }), "{e}");
            // Rotation: both, until nothing is sealed with the older one.
            let both = Secrets::parse(&format!("{TWO}\n{text}"), "here").unwrap();
            both.agree(&db).await.unwrap();
            assert!(two.agree(&db).await.is_err());
            both.retire_older(&db).await.unwrap();
            two.agree(&db).await.unwrap();
            assert!(one.agree(&db).await.is_err());
        }
    }
}
