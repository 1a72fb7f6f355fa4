//! Filters with a name: groups, which filters, jobs and others can name, and those that a person keeps.

use std::collections::BTreeMap;

use plenum_access::{AccessError, Denied, Permission, Principal, Role};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::filter::{Named, nearest};
use plenum_store::{Dialect, DocumentError, Filter, Query, Row, StoreError, Tx, new_id, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::instances::InstancePage;
use crate::model::Text;
use crate::{Cmdb, CmdbError, decode};

/// Most groups.
const MAX_GROUPS: i64 = 2000;
/// Most filters that one person keeps.
const MAX_KEPT: i64 = 200;

/// Records that are named together: those that its filter matches at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name in filters: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Shown to people.
    #[serde(default)]
    pub title: Text,
    /// Its model.
    pub model: String,
    /// Which records.
    pub filter: String,
}

/// A stored group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredGroup {
    /// What it is.
    #[serde(flatten)]
    pub group: Group,
    /// Counts from 1 with every change.
    pub version: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// Who changed it last.
    pub updated_by: String,
}

/// A filter that a person keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptFilter {
    /// Its id.
    pub id: String,
    /// Of which model.
    pub model: String,
    /// What its owner calls it.
    pub name: String,
    /// What it says.
    pub filter: String,
    /// Whether all see it.
    pub shared: bool,
    /// Whose it is.
    pub owner: String,
    /// Whether it is the caller's.
    pub mine: bool,
    /// Milliseconds since the Unix epoch.
    pub updated_at: i64,
}

const COLUMNS: &str = "name, version, title, model, filter, updated_at, updated_by";

fn read(r: &Row) -> Result<StoredGroup, StoreError> {
    Ok(StoredGroup {
        group: Group { name: r.text("name")?, title: decode(r.json("title")?)?, model: r.text("model")?, filter: r.text("filter")? },
        version: r.int("version")?,
        updated_at: r.int("updated_at")?,
        updated_by: r.text("updated_by")?,
    })
}

fn bad(message: String) -> CmdbError {
    DocumentError::Query(message).into()
}

fn valid_group_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
}

impl Cmdb {
    /// Groups of models that the caller may read, by name.
    pub async fn groups(&self, who: &Principal, model: Option<&str>) -> Result<Vec<StoredGroup>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let sql = format!("SELECT {COLUMNS} FROM cmdb_groups ORDER BY name LIMIT {MAX_GROUPS}");
        let all: Vec<StoredGroup> = self.db.fetch_all(&sql, &[]).await?.iter().map(read).collect::<Result<_, _>>()?;
        let seen = |g: &StoredGroup| model.is_none_or(|m| m == g.group.model) && self.sees(who, &g.group.model);
        Ok(all.into_iter().filter(seen).collect())
    }

    /// One group; of a model that the caller may not read there is none.
    pub async fn group(&self, who: &Principal, name: &str) -> Result<StoredGroup, CmdbError> {
        let all = self.groups(who, None).await?;
        match all.iter().find(|g| g.group.name == name) {
            Some(g) => Ok(g.clone()),
            None => {
                let hint = nearest(name, all.iter().map(|g| g.group.name.as_str())).map(|h| format!("; did you mean {h}?"));
                Err(CmdbError::NotFound(format!("there is no group {name}{}", hint.unwrap_or_default())))
            }
        }
    }

    /// A page of a group's records; a filter of the query narrows them.
    pub async fn members(&self, who: &Principal, name: &str, query: &Query) -> Result<InstancePage, CmdbError> {
        let group = self.group(who, name).await?.group;
        let quoted = json!(name).to_string();
        let within = format!("in_group({quoted})");
        let filter = match query.filter.as_deref().map(str::trim).filter(|f| !f.is_empty()) {
            Some(own) => {
                // By itself first, so that its brackets are its own.
                let m = self.readable(who, &group.model).await?;
                self.checked(who, &m, own).await?;
                format!("{within} && ({own})")
            }
            None => within,
        };
        self.list(who, &group.model, &Query { filter: Some(filter), ..query.clone() }).await
    }

    /// Makes a group, or changes it. With `expected`, only if that is still its version.
    pub async fn put_group(&self, who: &Principal, group: Group, expected: Option<i64>) -> Result<StoredGroup, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[("models", &group.model)]).await?;
        let m = self.readable(who, &group.model).await?;
        if !valid_group_name(&group.name) {
            return Err(bad(format!(
                "{:?} cannot name a group: use lower-case letters, digits, hyphens, underscores and dots, 64 at most",
                group.name
            )));
        }
        // As it would be, named by itself: a circle is found, and so is a filter that cannot be used.
        let source = format!("in_group({})", json!(group.name));
        let mut links = (*self.around(who, &m, &format!("{source} {}", group.filter)).await?).clone();
        links.named.insert(group.name.clone(), Named { of: group.model.clone(), source: group.filter.clone() });
        Filter::parse_linked(&group.filter, &m.spec().schema, &links).map_err(DocumentError::Filter)?;
        Filter::parse_linked(&source, &m.spec().schema, &links).map_err(DocumentError::Filter)?;
        let mut tx = self.db.begin().await?;
        lock(&mut tx).await?;
        let found = tx.fetch_optional(&format!("SELECT {COLUMNS} FROM cmdb_groups WHERE name = ?"), params![&group.name]).await?;
        let before = found.as_ref().map(read).transpose()?;
        let version = before.as_ref().map_or(0, |b| b.version);
        if let Some(expected) = expected
            && expected != version
        {
            tx.rollback().await?;
            return Err(StoreError::Conflict { what: format!("group {}", group.name), expected, found: version }.into());
        }
        if let Some(b) = before.as_ref().filter(|b| b.group.model != group.model) {
            tx.rollback().await?;
            return Err(bad(format!("the group {} is one of {}; make another one for {}", group.name, b.group.model, group.model)));
        }
        let count = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_groups", &[]).await?.map(|r| r.int("n")).transpose()?;
        if before.is_none() && count.unwrap_or(0) >= MAX_GROUPS {
            tx.rollback().await?;
            return Err(bad(format!("there are at most {MAX_GROUPS} groups; delete one that nobody names")));
        }
        let stored = StoredGroup { group, version: version + 1, updated_at: now_ms(), updated_by: who.actor().to_string() };
        let g = &stored.group;
        tx.execute(
            "INSERT INTO cmdb_groups (name, version, title, model, filter, updated_at, updated_by) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, title = excluded.title, filter = excluded.filter,
             updated_at = excluded.updated_at, updated_by = excluded.updated_by",
            params![&g.name, stored.version, json!(g.title), &g.model, &g.filter, stored.updated_at, &stored.updated_by],
        )
        .await?;
        self.tell_group(&mut tx, who, if before.is_some() { "updated" } else { "created" }, before.as_ref(), Some(&stored)).await?;
        tx.commit().await?;
        Ok(stored)
    }

    /// Deletes a group that no other group names.
    pub async fn delete_group(&self, who: &Principal, name: &str) -> Result<(), CmdbError> {
        // Before anything is said of the group.
        self.access.require(who, Permission::CmdbWrite, &[]).await?;
        let model = self.group(who, name).await?.group.model;
        self.access.require(who, Permission::CmdbWrite, &[("models", &model)]).await?;
        let mut tx = self.db.begin().await?;
        lock(&mut tx).await?;
        let sql = format!("SELECT {COLUMNS} FROM cmdb_groups ORDER BY name LIMIT {MAX_GROUPS}");
        let all: Vec<StoredGroup> = tx.fetch_all(&sql, &[]).await?.iter().map(read).collect::<Result<_, _>>()?;
        if let Some(g) = all.iter().find(|g| g.group.name != name && names(&g.group.filter, name)) {
            let message = format!("the group {} names {name}: change that first", g.group.name);
            tx.rollback().await?;
            return Err(CmdbError::InUse(message));
        }
        tx.execute("DELETE FROM cmdb_groups WHERE name = ?", params![name]).await?;
        if let Some(before) = all.iter().find(|g| g.group.name == name) {
            self.tell_group(&mut tx, who, "deleted", Some(before), None).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn tell_group(
        &self,
        tx: &mut Tx,
        who: &Principal,
        what: &str,
        before: Option<&StoredGroup>,
        after: Option<&StoredGroup>,
    ) -> Result<(), StoreError> {
        let Some(g) = after.or(before).map(|g| &g.group) else { return Ok(()) };
        let (target, verb) = (format!("group/{}", g.name), what.trim_end_matches('d'));
        let (before, after) = (before.map(|b| json!(b)), after.map(|a| json!(a)));
        self.access.audit(tx, who, &format!("cmdb.group.{verb}"), &target, before.as_ref(), after.as_ref()).await?;
        let data = json!({"group": g.name, "model": g.model, "by": who.actor().to_string()});
        emit_later(tx, NewEvent { kind: format!("plenum.cmdb.group.{what}"), source: "/cmdb".into(), subject: target, data })
    }

    /// All groups, as filters name them.
    pub(crate) async fn named_filters(&self) -> Result<BTreeMap<String, Named>, CmdbError> {
        let rows = self.db.fetch_all(&format!("SELECT name, model, filter FROM cmdb_groups LIMIT {MAX_GROUPS}"), &[]).await?;
        let named = |r: &Row| Ok((r.text("name")?, Named { of: r.text("model")?, source: r.text("filter")? }));
        Ok(rows.iter().map(named).collect::<Result<_, StoreError>>()?)
    }

    /// The filters over a model that the caller keeps, and those that others share; by name.
    pub async fn kept_filters(&self, who: &Principal, model: &str) -> Result<Vec<KeptFilter>, CmdbError> {
        self.readable(who, model).await?;
        let owner = owner(who).map(|(id, _)| id).unwrap_or_default();
        let rows = self
            .db
            .fetch_all(
                "SELECT id, owner, owner_name, model, name, filter, shared, updated_at FROM cmdb_filters
                 WHERE model = ? AND (owner = ? OR shared = 1) ORDER BY name, id LIMIT 500",
                params![model, &owner],
            )
            .await?;
        rows.iter().map(|r| kept(r, &owner)).collect::<Result<_, _>>().map_err(CmdbError::from)
    }

    /// Keeps a filter, under a name that is the caller's own; a filter of that name is replaced. Sharing it takes `cmdb.write`.
    pub async fn keep_filter(&self, who: &Principal, model: &str, name: &str, filter: &str, shared: bool) -> Result<KeptFilter, CmdbError> {
        let m = self.readable(who, model).await?;
        if shared {
            self.access.require(who, Permission::CmdbWrite, &[("models", model)]).await?;
        }
        let Some((owner, owner_name)) = owner(who) else {
            return Err(bad("only people keep filters".into()));
        };
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 80 {
            return Err(bad("the name of a filter has 1 to 80 characters".into()));
        }
        self.checked(who, &m, filter).await?;
        let mut tx = self.db.begin().await?;
        lock(&mut tx).await?;
        let found = tx
            .fetch_optional("SELECT id FROM cmdb_filters WHERE owner = ? AND model = ? AND name = ?", params![&owner, model, name])
            .await?;
        let known = found.map(|r| r.text("id")).transpose()?;
        let count = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_filters WHERE owner = ?", params![&owner]).await?;
        if known.is_none() && count.map(|r| r.int("n")).transpose()?.unwrap_or(0) >= MAX_KEPT {
            tx.rollback().await?;
            return Err(bad(format!("you keep {MAX_KEPT} filters already; delete one first")));
        }
        let f = KeptFilter {
            id: known.unwrap_or_else(new_id),
            model: model.to_owned(),
            name: name.to_owned(),
            filter: filter.trim().to_owned(),
            shared,
            owner: owner_name,
            mine: true,
            updated_at: now_ms(),
        };
        tx.execute(
            "INSERT INTO cmdb_filters (id, owner, owner_name, model, name, filter, shared, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET filter = excluded.filter, shared = excluded.shared, updated_at = excluded.updated_at",
            params![&f.id, &owner, &f.owner, model, &f.name, &f.filter, shared, f.updated_at],
        )
        .await?;
        self.access.audit(&mut tx, who, "cmdb.filter.keep", &format!("filter/{}", f.id), None, Some(&json!(f))).await?;
        tx.commit().await?;
        Ok(f)
    }

    /// Forgets a filter: one's own, and as an administrator one that is shared.
    pub async fn forget_filter(&self, who: &Principal, id: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let owner = owner(who).map(|(id, _)| id).unwrap_or_default();
        let gone = || CmdbError::NotFound(format!("there is no filter {id}"));
        let mut tx = self.db.begin().await?;
        let row = tx
            .fetch_optional(
                "SELECT id, owner, owner_name, model, name, filter, shared, updated_at FROM cmdb_filters WHERE id = ?",
                params![id],
            )
            .await?;
        let Some(f) = row.as_ref().map(|r| kept(r, &owner)).transpose()?.filter(|f| f.mine || f.shared) else {
            tx.rollback().await?;
            return Err(gone());
        };
        if !f.mine && who.user().is_none_or(|u| u.role != Role::Administrator) {
            tx.rollback().await?;
            let reason = format!("the filter {} is {}'s; its owner or an administrator deletes it", f.name, f.owner);
            return Err(AccessError::Denied(Denied { permission: Permission::CmdbWrite, reason }).into());
        }
        tx.execute("DELETE FROM cmdb_filters WHERE id = ?", params![id]).await?;
        self.access.audit(&mut tx, who, "cmdb.filter.forget", &format!("filter/{id}"), Some(&json!(f)), None).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn owner(who: &Principal) -> Option<(String, String)> {
    match who {
        Principal::User(u) => Some((u.id.clone(), u.name.clone())),
        _ => None,
    }
}

fn kept(r: &Row, owner: &str) -> Result<KeptFilter, StoreError> {
    Ok(KeptFilter {
        id: r.text("id")?,
        model: r.text("model")?,
        name: r.text("name")?,
        filter: r.text("filter")?,
        shared: r.bool("shared")?,
        owner: r.text("owner_name")?,
        mine: r.text("owner")? == owner,
        updated_at: r.int("updated_at")?,
    })
}

/// Whether a filter names a group.
fn names(filter: &str, group: &str) -> bool {
    filter.contains("in_group") && (filter.contains(&format!("\"{group}\"")) || filter.contains(&format!("'{group}'")))
}

/// Those who change groups or kept filters take turns, since they look at the others first. SQLite has one writer.
async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        tx.execute("SELECT pg_advisory_xact_lock(7305811)", &[]).await?;
    }
    Ok(())
}
