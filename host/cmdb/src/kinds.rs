//! Kinds of associations, as data: those that come with Plenum, and those that an administrator defines.

use plenum_access::{Permission, Principal};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{Dialect, StoreError, Tx, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::{Attribute, AttributeKind, Text, check_attribute};
use crate::{Cmdb, CmdbError, decode};

/// Most kinds.
const MAX_KINDS: i64 = 200;
/// Most pairs of a kind, and most attributes of its links.
const MAX_PAIRS: usize = 200;
const MAX_ATTRIBUTES: usize = 30;

/// How many links an instance has of a kind, as source and as destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cardinality {
    /// One destination for a source, one source for a destination.
    OneToOne,
    /// A destination has one source.
    OneToMany,
    /// A source has one destination.
    ManyToOne,
    /// Any number.
    #[default]
    ManyToMany,
}

impl Cardinality {
    /// Whether a source has at most one destination.
    pub fn one_destination(self) -> bool {
        matches!(self, Cardinality::OneToOne | Cardinality::ManyToOne)
    }

    /// Whether a destination has at most one source.
    pub fn one_source(self) -> bool {
        matches!(self, Cardinality::OneToOne | Cardinality::OneToMany)
    }
}

/// What becomes of a link, and of what is at its other end, when the record at one end is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The link is removed.
    #[default]
    Unlink,
    /// The link is put by, and comes back when the record is restored.
    Keep,
    /// The record at the other end is deleted too.
    Cascade,
    /// The record cannot be deleted while it has such a link.
    Refuse,
}

/// [`OnDelete`] of both ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// When the source is deleted.
    #[serde(default)]
    pub source: OnDelete,
    /// When the destination is deleted.
    #[serde(default)]
    pub destination: OnDelete,
}

/// Models that a kind may link; `*` is any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Model of the source.
    pub from: String,
    /// Model of the destination.
    pub to: String,
}

/// Who suffers when the other end fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Nobody.
    #[default]
    None,
    /// The source: it needs the destination.
    Source,
    /// The destination: it needs the source.
    Destination,
}

/// A kind of association. Its direction has a name on both ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// How the source reads it: PostgreSQL *runs on* host.
    pub forward: Text,
    /// How the destination reads it: host *runs* PostgreSQL.
    pub backward: Text,
    /// How many.
    #[serde(default)]
    pub cardinality: Cardinality,
    /// What it may link; anything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// What a deletion does.
    #[serde(default)]
    pub on_delete: Ends,
    /// What is known of each link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// Who suffers when the other end fails.
    #[serde(default)]
    pub impact: Impact,
}

/// A stored kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredKind {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Counts from 1 with every change.
    pub version: i64,
    /// Whether it came with Plenum.
    pub builtin: bool,
}

/// Those that come with Plenum.
pub fn builtin() -> Result<Vec<Kind>, CmdbError> {
    let kinds: Vec<Kind> = serde_json::from_str(include_str!("../models/kinds.json"))
        .map_err(|e| CmdbError::InvalidModel { pointer: String::new(), message: e.to_string() })?;
    kinds.iter().try_for_each(Kind::check)?;
    Ok(kinds)
}

fn bad<T>(pointer: impl Into<String>, message: String) -> Result<T, CmdbError> {
    Err(CmdbError::InvalidModel { pointer: pointer.into(), message })
}

impl Kind {
    /// Checks the kind by itself.
    pub fn check(&self) -> Result<(), CmdbError> {
        if !crate::model::valid_model_name(&self.name) {
            let message =
                format!("{:?} cannot name a kind: use a lower-case letter, then lower-case letters, digits and underscores", self.name);
            return bad("/name", message);
        }
        for (at, text) in [("/forward", &self.forward), ("/backward", &self.backward)] {
            if text.0.values().all(|t| t.trim().is_empty()) || text.0.values().any(|t| t.chars().count() > 60) {
                return bad(at, format!("{}: both ends need a name, such as `runs on` and `runs`, of at most 60 characters", self.name));
            }
        }
        if self.pairs.len() > MAX_PAIRS {
            return bad("/pairs", format!("a kind names at most {MAX_PAIRS} pairs of models"));
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            return bad("/attributes", format!("a link has at most {MAX_ATTRIBUTES} attributes"));
        }
        for (i, a) in self.attributes.iter().enumerate() {
            let at = format!("/attributes/{i}");
            check_attribute(a, &at, true)?;
            if self.attributes.iter().take(i).any(|b| b.name == a.name) {
                return bad(format!("{at}/name"), format!("the attribute {} is there twice", a.name));
            }
            if matches!(a.kind, AttributeKind::Secret) {
                return bad(format!("{at}/kind"), format!("{}: a link keeps no secrets; one of its records can", a.name));
            }
            if matches!(a.kind, AttributeKind::Table) {
                return bad(format!("{at}/kind"), format!("{}: a link has no tables; make it a record of its own", a.name));
            }
        }
        Ok(())
    }

    /// Whether it may link these models.
    pub fn links(&self, from: &str, to: &str) -> bool {
        let is = |wanted: &str, model: &str| wanted == "*" || wanted == model;
        self.pairs.is_empty() || self.pairs.iter().any(|p| is(&p.from, from) && is(&p.to, to))
    }

    /// What it may link, in words.
    pub(crate) fn pairs_in_words(&self) -> String {
        let any = |m: &str| if m == "*" { "anything".to_owned() } else { m.to_owned() };
        self.pairs.iter().take(20).map(|p| format!("{} → {}", any(&p.from), any(&p.to))).collect::<Vec<_>>().join(", ")
    }

    /// How the source reads it, in English where there is any.
    pub(crate) fn says(&self) -> &str {
        self.forward.0.get("en").or_else(|| self.forward.0.values().next()).map_or(self.name.as_str(), String::as_str)
    }
}

impl Cmdb {
    pub(crate) async fn bring_kinds(&self, tx: &mut Tx) -> Result<(), CmdbError> {
        for k in builtin()? {
            let spec = serde_json::to_value(&k).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            // What was changed here stays.
            tx.execute(
                "INSERT INTO cmdb_kinds (name, version, builtin, spec, updated_at) VALUES (?, 1, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                params![&k.name, true, spec, now_ms()],
            )
            .await?;
        }
        Ok(())
    }

    /// All kinds of associations, by name.
    pub async fn kinds(&self, who: &Principal) -> Result<Vec<StoredKind>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[plenum_access::KEEPS_TO_RECORDS]).await?;
        self.all_kinds().await
    }

    pub(crate) async fn all_kinds(&self) -> Result<Vec<StoredKind>, CmdbError> {
        let rows = self.db.fetch_all("SELECT version, builtin, spec FROM cmdb_kinds ORDER BY name LIMIT ?", params![MAX_KINDS]).await?;
        rows.iter()
            .map(|r| Ok(StoredKind { kind: decode(r.json("spec")?)?, version: r.int("version")?, builtin: r.bool("builtin")? }))
            .collect()
    }

    /// Held as it is until the transaction ends.
    pub(crate) async fn kind_in(&self, tx: &mut Tx, name: &str) -> Result<Kind, CmdbError> {
        if tx.dialect() == Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock_shared(7305808, hashtext(?))", params![name]).await?;
        }
        match read_in(tx, name).await? {
            Some(k) => Ok(k.kind),
            None => {
                let known = names(tx).await?;
                let near = plenum_store::filter::nearest(name, known.iter().map(String::as_str)).map(|n| format!("; did you mean {n}?"));
                Err(CmdbError::InvalidInstance {
                    pointer: "/kind".into(),
                    message: format!("there is no association kind {name}{}; use {}", near.unwrap_or_default(), known.join(", ")),
                })
            }
        }
    }

    async fn kind_alone(&self, tx: &mut Tx, name: &str) -> Result<Option<StoredKind>, CmdbError> {
        if tx.dialect() == Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock(7305808, hashtext(?))", params![name]).await?;
        }
        read_in(tx, name).await
    }

    /// Defines a kind.
    pub async fn create_kind(&self, who: &Principal, kind: Kind) -> Result<StoredKind, CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        kind.check()?;
        let mut tx = self.db.begin().await?;
        if self.kind_alone(&mut tx, &kind.name).await?.is_some() {
            return bad("/name", format!("there is already a kind {}; choose another name, or change that one", kind.name));
        }
        if names(&mut tx).await?.len() as i64 >= MAX_KINDS {
            return bad("/name", format!("there are {MAX_KINDS} kinds already, which is the most; delete one that has no links"));
        }
        check_pairs(&mut tx, &kind).await?;
        self.write_kind(&mut tx, who, "created", &kind, 1, None).await?;
        tx.commit().await?;
        Ok(StoredKind { kind, version: 1, builtin: false })
    }

    /// Changes a kind. Refused when links would break it: how many, and the first of them.
    pub async fn update_kind(&self, who: &Principal, kind: Kind, expected: Option<i64>) -> Result<StoredKind, CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        kind.check()?;
        let mut tx = self.db.begin().await?;
        let Some(before) = self.kind_alone(&mut tx, &kind.name).await? else {
            return Err(CmdbError::NotFound(format!("there is no association kind {}", kind.name)));
        };
        if let Some(expected) = expected
            && expected != before.version
        {
            return Err(StoreError::Conflict { what: format!("association kind {}", kind.name), expected, found: before.version }.into());
        }
        if before.builtin && (kind.cardinality != before.kind.cardinality || kind.pairs != before.kind.pairs) {
            let message =
                format!("{} came with Plenum and discovery uses it: its pairs and cardinality stay; define a kind of your own", kind.name);
            return bad("/cardinality", message);
        }
        if kind.pairs != before.kind.pairs {
            check_pairs(&mut tx, &kind).await?;
            self.fits_pairs(&mut tx, &kind).await?;
        }
        if kind.attributes != before.kind.attributes {
            self.fits_attributes(&mut tx, &kind).await?;
        }
        if kind.cardinality != before.kind.cardinality {
            self.fits_cardinality(&mut tx, &kind).await?;
        }
        self.write_kind(&mut tx, who, "updated", &kind, before.version + 1, Some(&before.kind)).await?;
        tx.commit().await?;
        Ok(StoredKind { kind, version: before.version + 1, builtin: before.builtin })
    }

    /// Deletes a kind that has no links and did not come with Plenum.
    pub async fn delete_kind(&self, who: &Principal, name: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        let mut tx = self.db.begin().await?;
        let Some(before) = self.kind_alone(&mut tx, name).await? else {
            return Err(CmdbError::NotFound(format!("there is no association kind {name}")));
        };
        if before.builtin {
            return Err(CmdbError::InUse(format!("the association kind {name} came with Plenum and stays")));
        }
        let links = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_associations WHERE kind = ?", params![name]).await?;
        let links = links.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        if links > 0 {
            return Err(CmdbError::InUse(format!("{links} associations are of the kind {name}; remove them first")));
        }
        tx.execute("DELETE FROM cmdb_kept_associations WHERE kind = ?", params![name]).await?;
        tx.execute("DELETE FROM cmdb_kinds WHERE name = ?", params![name]).await?;
        self.tell_kind(&mut tx, who, "deleted", &before.kind, Some(&before.kind)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn fits_pairs(&self, tx: &mut Tx, kind: &Kind) -> Result<(), CmdbError> {
        let rows = tx
            .fetch_all(
                "SELECT from_model, to_model, COUNT(*) AS n FROM cmdb_associations WHERE kind = ? GROUP BY from_model, to_model",
                params![&kind.name],
            )
            .await?;
        for r in &rows {
            let (from, to) = (r.text("from_model")?, r.text("to_model")?);
            if !kind.links(&from, &to) {
                let n = r.int("n")?;
                return Err(CmdbError::InUse(format!(
                    "{n} associations of {} link {from} with {to}, which the changed kind does not: remove them, or keep the pair",
                    kind.name
                )));
            }
        }
        Ok(())
    }

    async fn fits_attributes(&self, tx: &mut Tx, kind: &Kind) -> Result<(), CmdbError> {
        let mut after = String::new();
        loop {
            let rows = tx
                .fetch_all(
                    "SELECT id, attributes FROM cmdb_associations WHERE kind = ? AND id > ? ORDER BY id LIMIT 1000",
                    params![&kind.name, &after],
                )
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.text("id")?;
            for r in &rows {
                let attributes = crate::associations::attributes_of(r)?;
                if let Err(CmdbError::InvalidInstance { message, .. }) = kind.check_link(&attributes) {
                    let id = r.text("id")?;
                    return Err(CmdbError::InUse(format!(
                        "the association {id} would break the changed kind: {message}; change the association first"
                    )));
                }
            }
        }
    }

    async fn fits_cardinality(&self, tx: &mut Tx, kind: &Kind) -> Result<(), CmdbError> {
        for (one, end, column, what) in [
            (kind.cardinality.one_destination(), "from", "one_from", "destination"),
            (kind.cardinality.one_source(), "to", "one_to", "source"),
        ] {
            if !one {
                tx.execute(&format!("UPDATE cmdb_associations SET {column} = NULL WHERE kind = ?"), params![&kind.name]).await?;
                continue;
            }
            let sql = format!(
                "SELECT {end}_model AS model, {end}_id AS id, COUNT(*) AS n FROM cmdb_associations WHERE kind = ? \
                 GROUP BY {end}_model, {end}_id HAVING COUNT(*) > 1 ORDER BY id LIMIT 5"
            );
            let rows = tx.fetch_all(&sql, params![&kind.name]).await?;
            let named: Vec<String> = rows
                .iter()
                .map(|r| Ok(format!("{}/{} ({})", r.text("model")?, r.text("id")?, r.int("n")?)))
                .collect::<Result<_, StoreError>>()?;
            if !named.is_empty() {
                let message =
                    format!("some have more than one {what} by {}: {}; remove what is too much first", kind.name, named.join(", "));
                return Err(CmdbError::InUse(message));
            }
            tx.execute(&format!("UPDATE cmdb_associations SET {column} = kind || '/' || {end}_id WHERE kind = ?"), params![&kind.name])
                .await?;
        }
        Ok(())
    }

    async fn write_kind(
        &self,
        tx: &mut Tx,
        who: &Principal,
        what: &str,
        kind: &Kind,
        version: i64,
        before: Option<&Kind>,
    ) -> Result<(), CmdbError> {
        let spec = serde_json::to_value(kind).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        tx.execute(
            "INSERT INTO cmdb_kinds (name, version, builtin, spec, updated_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, spec = excluded.spec, updated_at = excluded.updated_at",
            params![&kind.name, version, false, spec, now_ms()],
        )
        .await?;
        self.tell_kind(tx, who, what, kind, before).await
    }

    async fn tell_kind(&self, tx: &mut Tx, who: &Principal, what: &str, kind: &Kind, before: Option<&Kind>) -> Result<(), CmdbError> {
        let target = format!("association-kind/{}", kind.name);
        let after = if what == "deleted" { None } else { Some(json!(kind)) };
        let verb = what.trim_end_matches('d');
        self.access
            .audit(tx, who, &format!("cmdb.association-kind.{verb}"), &target, before.map(|k| json!(k)).as_ref(), after.as_ref())
            .await?;
        let data = json!({"kind": kind.name});
        emit_later(tx, NewEvent { kind: format!("plenum.cmdb.association-kind.{what}"), source: "/cmdb".into(), subject: target, data })?;
        Ok(())
    }
}

async fn read_in(tx: &mut Tx, name: &str) -> Result<Option<StoredKind>, CmdbError> {
    let row = tx.fetch_optional("SELECT version, builtin, spec FROM cmdb_kinds WHERE name = ?", params![name]).await?;
    Ok(match row {
        Some(r) => Some(StoredKind { kind: decode(r.json("spec")?)?, version: r.int("version")?, builtin: r.bool("builtin")? }),
        None => None,
    })
}

async fn names(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    tx.fetch_all("SELECT name FROM cmdb_kinds ORDER BY name LIMIT ?", params![MAX_KINDS]).await?.iter().map(|r| r.text("name")).collect()
}

/// Whether there are the models that a kind names.
async fn check_pairs(tx: &mut Tx, kind: &Kind) -> Result<(), CmdbError> {
    let known: Vec<String> =
        tx.fetch_all("SELECT name FROM cmdb_models LIMIT 1000", &[]).await?.iter().map(|r| r.text("name")).collect::<Result<_, _>>()?;
    for (i, p) in kind.pairs.iter().enumerate() {
        for (key, model) in [("from", &p.from), ("to", &p.to)] {
            if model != "*" && !known.contains(model) {
                let near = plenum_store::filter::nearest(model, known.iter().map(String::as_str)).map(|n| format!("; did you mean {n}?"));
                return bad(format!("/pairs/{i}/{key}"), format!("there is no model {model}{}", near.unwrap_or_default()));
            }
        }
    }
    Ok(())
}
