//! Typed links between instances.

use plenum_access::{KEEPS_TO_ATTRIBUTES, Permission, Principal};
use plenum_store::events::{NewEvent, emit};
use plenum_store::{Row, StoreError, Tx, new_id, now_ms, params};
use serde::Serialize;
use serde_json::json;

use crate::instances::{instance, missing};
use crate::model::collection;
use crate::scope::shown;
use crate::{Cmdb, CmdbError};

/// A kind of association. Its direction has a name on both ends.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// How the source reads it, English and Chinese: PostgreSQL *runs on* host.
    pub forward: (&'static str, &'static str),
    /// How the destination reads it: host *runs* PostgreSQL.
    pub backward: (&'static str, &'static str),
    /// Whether a source has at most one destination.
    pub single: bool,
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind { name: "runs_on", forward: ("runs on", "运行于"), backward: ("runs", "运行着"), single: true },
    Kind { name: "belongs_to", forward: ("belongs to", "属于"), backward: ("has", "包含成员"), single: false },
    Kind { name: "depends_on", forward: ("depends on", "依赖"), backward: ("is needed by", "被依赖"), single: false },
    Kind { name: "connects_to", forward: ("connects to", "连接到"), backward: ("is connected from", "被连接"), single: false },
    Kind { name: "contains", forward: ("contains", "包含"), backward: ("is in", "位于"), single: false },
];

/// A stored link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Association {
    /// Its id.
    pub id: String,
    /// Name of its kind.
    pub kind: String,
    /// Model and id of the source.
    pub from: (String, String),
    /// Model and id of the destination.
    pub to: (String, String),
}

/// Which end of the link the asked instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It is the source.
    Forward,
    /// It is the destination.
    Backward,
}

/// A linked instance, as seen from the other end.
#[derive(Debug, Clone, Serialize)]
pub struct Related {
    /// The link's id.
    pub association: String,
    /// Name of its kind.
    pub kind: String,
    /// Which end the asked instance is.
    pub direction: Direction,
    /// Model of the other instance.
    pub model: String,
    /// Id of the other instance.
    pub id: String,
    /// What people call it.
    pub label: String,
}

pub(crate) fn kind(name: &str) -> Result<&'static Kind, CmdbError> {
    KINDS.iter().find(|k| k.name == name).ok_or_else(|| CmdbError::InvalidInstance {
        pointer: "/kind".into(),
        message: format!("there is no association kind {name}; use {}", KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")),
    })
}

pub(crate) fn read(r: &Row) -> Result<Association, StoreError> {
    Ok(Association {
        id: r.text("id")?,
        kind: r.text("kind")?,
        from: (r.text("from_model")?, r.text("from_id")?),
        to: (r.text("to_model")?, r.text("to_id")?),
    })
}

impl Cmdb {
    /// Links two instances. Linking them again answers the link that is there.
    pub async fn associate(
        &self,
        who: &Principal,
        kind_name: &str,
        from: (&str, &str),
        to: (&str, &str),
    ) -> Result<Association, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[("models", from.0), ("models", to.0), KEEPS_TO_ATTRIBUTES]).await?;
        let k = kind(kind_name)?;
        if from == to {
            return Err(CmdbError::InvalidInstance { pointer: "/to".into(), message: "an instance is not associated with itself".into() });
        }
        let mut tx = self.db.begin().await?;
        // In one order, whichever way the link goes: two who link the same pair both ways at once must not wait for each other.
        let ends = if from <= to { [from, to] } else { [to, from] };
        for (model, id) in ends {
            self.stored_in(&mut tx, model).await?;
            if self.docs.get_in(&mut tx, &collection(model), id).await?.is_none() {
                return Err(missing(model, id));
            }
        }
        if k.single {
            let other = tx
                .fetch_optional(
                    "SELECT to_model, to_id FROM cmdb_associations WHERE kind = ? AND from_id = ? AND to_id <> ?",
                    params![kind_name, from.1, to.1],
                )
                .await?;
            if let Some(o) = other {
                let message = format!(
                    "{}/{} already {} {}/{}; an instance does so at most once: remove that first",
                    from.0,
                    from.1,
                    k.forward.0,
                    o.text("to_model")?,
                    o.text("to_id")?
                );
                return Err(CmdbError::InUse(message));
            }
        }
        let a = self.associate_in(&mut tx, who, k, from, to).await?;
        tx.commit().await?;
        Ok(a)
    }

    pub(crate) async fn associate_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        k: &Kind,
        from: (&str, &str),
        to: (&str, &str),
    ) -> Result<Association, CmdbError> {
        let found = tx
            .fetch_optional(
                "SELECT id, kind, from_model, from_id, to_model, to_id FROM cmdb_associations WHERE kind = ? AND from_id = ? AND to_id = ?",
                params![k.name, from.1, to.1],
            )
            .await?;
        if let Some(r) = found {
            return Ok(read(&r)?);
        }
        let a = Association {
            id: new_id(),
            kind: k.name.to_owned(),
            from: (from.0.to_owned(), from.1.to_owned()),
            to: (to.0.to_owned(), to.1.to_owned()),
        };
        tx.execute(
            "INSERT INTO cmdb_associations (id, kind, from_model, from_id, to_model, to_id, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![&a.id, k.name, from.0, from.1, to.0, to.1, now_ms(), who.actor().to_string()],
        )
        .await?;
        self.tell_association(tx, who, "created", &a).await?;
        Ok(a)
    }

    /// Makes a service run on this host and no other, as discovery sees it.
    pub(crate) async fn runs_on_in(&self, tx: &mut Tx, who: &Principal, service: (&str, &str), host: &str) -> Result<(), CmdbError> {
        let k = kind("runs_on")?;
        let others = tx
            .fetch_all(
                "SELECT id, kind, from_model, from_id, to_model, to_id FROM cmdb_associations WHERE kind = ? AND from_id = ? AND to_id <> ?",
                params![k.name, service.1, host],
            )
            .await?;
        for r in &others {
            let a = read(r)?;
            tx.execute("DELETE FROM cmdb_associations WHERE id = ?", params![&a.id]).await?;
            self.tell_association(tx, who, "deleted", &a).await?;
        }
        self.associate_in(tx, who, k, service, ("host", host)).await?;
        Ok(())
    }

    /// Removes a link.
    pub async fn dissociate(&self, who: &Principal, id: &str) -> Result<(), CmdbError> {
        let mut tx = self.db.begin().await?;
        let row = tx
            .fetch_optional("SELECT id, kind, from_model, from_id, to_model, to_id FROM cmdb_associations WHERE id = ?", params![id])
            .await?;
        let a = row.as_ref().map(read).transpose()?;
        // A refusal is written in a transaction of its own, and SQLite has one writer.
        let Some(a) = a else {
            tx.rollback().await?;
            self.access.require(who, Permission::CmdbWrite, &[]).await?;
            return Err(CmdbError::NotFound(format!("there is no association {id}")));
        };
        let touches = [("models", a.from.0.as_str()), ("models", a.to.0.as_str()), KEEPS_TO_ATTRIBUTES];
        if let Err(_denied) = self.access.check(who, Permission::CmdbWrite, &touches) {
            tx.rollback().await?;
            return Ok(self.access.require(who, Permission::CmdbWrite, &touches).await?);
        }
        tx.execute("DELETE FROM cmdb_associations WHERE id = ?", params![id]).await?;
        self.tell_association(&mut tx, who, "deleted", &a).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What an instance is linked with, both ways; at most 1,000, of the models that the caller may read.
    pub async fn related(&self, who: &Principal, model: &str, id: &str) -> Result<Vec<Related>, CmdbError> {
        self.may_read(who, model).await?;
        self.stored(model).await?;
        if self.docs.get(&collection(model), id).await?.is_none() {
            return Err(missing(model, id));
        }
        let rows = self
            .db
            .fetch_all(
                "SELECT id, kind, from_model, from_id, to_model, to_id FROM cmdb_associations WHERE from_id = ?
                 UNION SELECT id, kind, from_model, from_id, to_model, to_id FROM cmdb_associations WHERE to_id = ? LIMIT 1000",
                params![id, id],
            )
            .await?;
        let mut out = Vec::with_capacity(rows.len());
        let mut by_model: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
        for r in &rows {
            let a = read(r)?;
            let (direction, other) = if a.from.1 == id { (Direction::Forward, a.to) } else { (Direction::Backward, a.from) };
            if !self.sees(who, &other.0) {
                continue;
            }
            by_model.entry(other.0.clone()).or_default().push(other.1.clone());
            out.push(Related { association: a.id, kind: a.kind, direction, model: other.0, label: other.1.clone(), id: other.1 });
        }
        for (model, ids) in by_model {
            let m = self.stored(&model).await?.model;
            for d in self.docs.get_many(&collection(&model), &ids).await? {
                let i = shown(who, &m, instance(&m, d));
                for r in out.iter_mut().filter(|r| r.model == model && r.id == i.id) {
                    r.label.clone_from(&i.label);
                }
            }
        }
        out.sort_by(|a, b| (&a.kind, &a.model, &a.label).cmp(&(&b.kind, &b.model, &b.label)));
        Ok(out)
    }

    async fn tell_association(&self, tx: &mut Tx, who: &Principal, what: &str, a: &Association) -> Result<(), StoreError> {
        let target = format!("association/{}", a.id);
        let value = json!(a);
        let (before, after) = if what == "deleted" { (Some(&value), None) } else { (None, Some(&value)) };
        self.access.audit(tx, who, &format!("cmdb.association.{}", what.trim_end_matches('d')), &target, before, after).await?;
        let data = json!({"kind": a.kind, "from": {"model": a.from.0, "id": a.from.1}, "to": {"model": a.to.0, "id": a.to.1}});
        emit(tx, NewEvent { kind: format!("plenum.cmdb.association.{what}"), source: "/cmdb".into(), subject: target, data }).await
    }
}
