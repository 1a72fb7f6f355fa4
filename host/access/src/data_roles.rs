//! Data roles: which records of the CMDB a person may see and change, and which attributes are absent for them.
//!
//! They narrow what the person's role allows and never widen it. A person without any sees everything; the role `everyone`, where
//! there is one, is everybody's. Administrators, agents and the platform itself are not narrowed. What the rules mean is the CMDB's
//! matter: here they are kept, and given out by person.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plenum_store::{Row, StoreError, Tx, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Access, AccessError, Permission, Principal, Role};

/// The role that all have, when it is defined.
pub const EVERYONE: &str = "everyone";
/// Most roles, rules of one, and members of one.
const MAX_ROLES: i64 = 500;
const MAX_RULES: usize = 50;
const MAX_MEMBERS: usize = 1000;
/// How long another host of the same database may not know of a change. This host knows at once.
const FOR: Duration = Duration::from_secs(1);
/// Most people whose rules are remembered.
const MOST: usize = 10_000;

/// Records of some models, and what may be done with them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRule {
    /// Names of models; `*` names all, a trailing `*` a prefix.
    pub models: Vec<String>,
    /// CEL over a record: those for which it holds; all when absent. Of a model that lacks an attribute it names, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Whether they may be changed too, where the person's role lets them change records at all.
    #[serde(default)]
    pub write: bool,
    /// Attributes that are absent. What one rule hides no other rule shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

impl DataRule {
    /// Whether it speaks of a model.
    pub fn names(&self, model: &str) -> bool {
        self.models.iter().any(|m| match m.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => m == model,
        })
    }
}

/// A data role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRole {
    /// Its name: a lower-case letter, then lower-case letters, digits, hyphens, underscores.
    pub name: String,
    /// Shown to people, by language.
    #[serde(default)]
    pub title: BTreeMap<String, String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its members see: what any of the rules lets them see. Nothing when there is none.
    #[serde(default)]
    pub rules: Vec<DataRule>,
    /// Ids of its members.
    #[serde(default)]
    pub members: Vec<String>,
}

/// A stored role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredDataRole {
    /// What it is.
    #[serde(flatten)]
    pub role: DataRole,
    /// Counts from 1 with every change.
    pub version: i64,
}

/// The rules of a person who is narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataScope {
    /// Of all the person's data roles.
    pub rules: Vec<DataRule>,
}

/// Rules by person, remembered for a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownScopes {
    all: Arc<Mutex<Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// What was read before a change is not remembered after it.
    generation: u64,
    by_user: HashMap<String, (Instant, Option<Arc<DataScope>>)>,
}

impl KnownScopes {
    fn get(&self, user: &str) -> (u64, Option<Option<Arc<DataScope>>>) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        (all.generation, all.by_user.get(user).filter(|(until, _)| Instant::now() < *until).map(|(_, s)| s.clone()))
    }

    fn put(&self, user: &str, generation: u64, scope: Option<Arc<DataScope>>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.by_user.len() >= MOST {
            all.by_user.clear();
        }
        if all.generation == generation {
            all.by_user.insert(user.to_owned(), (Instant::now() + FOR, scope));
        }
    }

    fn forget(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.generation += 1;
        all.by_user.clear();
    }
}

impl DataRole {
    /// Checks the role by itself; what the rules say of models is checked by the CMDB.
    pub fn check(&self) -> Result<(), AccessError> {
        let n = &self.name;
        let ok = (2..=60).contains(&n.len())
            && n.starts_with(|c: char| c.is_ascii_lowercase())
            && n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
        if !ok {
            return Err(AccessError::invalid(
                "name",
                "a role's name starts with a letter and has 2 to 60 of a-z, 0-9, hyphen and underscore",
            ));
        }
        if self.rules.len() > MAX_RULES || self.members.len() > MAX_MEMBERS {
            return Err(AccessError::invalid("rules", &format!("a role has at most {MAX_RULES} rules and {MAX_MEMBERS} members")));
        }
        if self.title.values().chain([&self.description]).any(|t| t.chars().count() > 500) {
            return Err(AccessError::invalid("title", "a title or description has at most 500 characters"));
        }
        for (i, r) in self.rules.iter().enumerate() {
            if r.models.is_empty() || r.models.len() > 200 || r.hidden.len() > 200 {
                return Err(AccessError::invalid(
                    &format!("rules/{i}/models"),
                    "a rule names 1 to 200 models, `*` for all, and hides at most 200 attributes",
                ));
            }
        }
        if n == EVERYONE && !self.members.is_empty() {
            return Err(AccessError::invalid("members", "everybody has the role everyone: it has no list of members"));
        }
        Ok(())
    }
}

fn read(r: &Row) -> Result<StoredDataRole, StoreError> {
    let role = serde_json::from_value(r.json("spec")?).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    Ok(StoredDataRole { role, version: r.int("version")? })
}

impl Access {
    /// The rules that narrow what `who` sees; nothing when nothing does.
    pub async fn data_scope(&self, who: &Principal) -> Result<Option<Arc<DataScope>>, AccessError> {
        // A plugin for a user sees what the user sees; alone, its grant decides.
        let Some(user) = who.user() else { return Ok(None) };
        if user.role == Role::Administrator {
            return Ok(None);
        }
        let (generation, known) = self.scopes.get(&user.id);
        if let Some(known) = known {
            return Ok(known);
        }
        let rows = self
            .db()
            .fetch_all(
                "SELECT version, spec FROM data_roles WHERE name = ? OR name IN (SELECT role FROM data_role_members WHERE user_id = ?) ORDER BY name",
                params![EVERYONE, &user.id],
            )
            .await?;
        let scope = if rows.is_empty() {
            None
        } else {
            let mut rules = Vec::new();
            for r in &rows {
                rules.extend(read(r)?.role.rules);
            }
            Some(Arc::new(DataScope { rules }))
        };
        self.scopes.put(&user.id, generation, scope.clone());
        Ok(scope)
    }

    /// All data roles with their members, by name.
    pub async fn data_roles(&self, who: &Principal) -> Result<Vec<StoredDataRole>, AccessError> {
        self.require(who, Permission::UsersManage, &[]).await?;
        let rows = self.db().fetch_all("SELECT version, spec FROM data_roles ORDER BY name LIMIT ?", params![MAX_ROLES]).await?;
        let mut roles: Vec<StoredDataRole> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let members = self.db().fetch_all("SELECT role, user_id FROM data_role_members ORDER BY user_id", &[]).await?;
        for m in &members {
            let role = m.text("role")?;
            if let Some(r) = roles.iter_mut().find(|r| r.role.name == role) {
                r.role.members.push(m.text("user_id")?);
            }
        }
        Ok(roles)
    }

    /// Writes a data role with its members: a new one when `expected` is 0, else that version of it. The caller has checked its rules.
    pub async fn put_data_role(&self, who: &Principal, role: &DataRole, expected: Option<i64>) -> Result<StoredDataRole, AccessError> {
        self.require(who, Permission::UsersManage, &[]).await?;
        role.check()?;
        let mut tx = self.db().begin().await?;
        lock(&mut tx).await?;
        let before = stored(&mut tx, &role.name).await?;
        let found = before.as_ref().map_or(0, |b| b.version);
        if let Some(expected) = expected
            && expected != found
        {
            if expected == 0 {
                return Err(AccessError::invalid(
                    "name",
                    &format!("there is already a role {}; choose another name, or change that one", role.name),
                ));
            }
            return Err(StoreError::Conflict { what: format!("data role {}", role.name), expected, found }.into());
        }
        let spec = DataRole { members: Vec::new(), ..role.clone() };
        let spec = serde_json::to_value(&spec).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        tx.execute(
            "INSERT INTO data_roles (name, version, spec, updated_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, spec = excluded.spec, updated_at = excluded.updated_at",
            params![&role.name, found + 1, spec, now_ms()],
        )
        .await?;
        tx.execute("DELETE FROM data_role_members WHERE role = ?", params![&role.name]).await?;
        for m in &role.members {
            if tx.fetch_optional("SELECT 1 AS one FROM users WHERE id = ?", params![m]).await?.is_none() {
                return Err(AccessError::invalid("members", &format!("there is no user {m}")));
            }
            tx.execute("INSERT INTO data_role_members (role, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING", params![&role.name, m])
                .await?;
        }
        let after = StoredDataRole { role: role.clone(), version: found + 1 };
        let verb = if before.is_some() { "update" } else { "create" };
        let target = format!("data-role/{}", role.name);
        let before = before.map(|b| json!(b));
        self.audit(&mut tx, who, &format!("access.data-role.{verb}"), &target, before.as_ref(), Some(&json!(after))).await?;
        self.forget_scopes_after(&mut tx);
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes a data role: its members are then narrowed by their other roles only, by nothing when they have none.
    pub async fn delete_data_role(&self, who: &Principal, name: &str) -> Result<(), AccessError> {
        self.require(who, Permission::UsersManage, &[]).await?;
        let mut tx = self.db().begin().await?;
        lock(&mut tx).await?;
        let Some(before) = stored(&mut tx, name).await? else {
            return Err(AccessError::NotFound(format!("there is no data role {name}")));
        };
        tx.execute("DELETE FROM data_role_members WHERE role = ?", params![name]).await?;
        tx.execute("DELETE FROM data_roles WHERE name = ?", params![name]).await?;
        self.audit(&mut tx, who, "access.data-role.delete", &format!("data-role/{name}"), Some(&json!(before)), None).await?;
        self.forget_scopes_after(&mut tx);
        tx.commit().await?;
        Ok(())
    }

    fn forget_scopes_after(&self, tx: &mut Tx) {
        let scopes = self.scopes.clone();
        tx.after_commit(move || scopes.forget());
    }
}

/// Two who write the same role take turns.
async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.dialect() == plenum_store::Dialect::Postgres {
        tx.execute("SELECT pg_advisory_xact_lock(7305809)", &[]).await?;
    }
    Ok(())
}

async fn stored(tx: &mut Tx, name: &str) -> Result<Option<StoredDataRole>, StoreError> {
    let Some(row) = tx.fetch_optional("SELECT version, spec FROM data_roles WHERE name = ?", params![name]).await? else { return Ok(None) };
    let mut role = read(&row)?;
    let members = tx.fetch_all("SELECT user_id FROM data_role_members WHERE role = ? ORDER BY user_id", params![name]).await?;
    role.role.members = members.iter().map(|r| r.text("user_id")).collect::<Result<_, _>>()?;
    Ok(Some(role))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn role(name: &str, model: &str, members: &[&str]) -> DataRole {
        DataRole {
            name: name.into(),
            title: BTreeMap::new(),
            description: String::new(),
            rules: vec![DataRule { models: vec![model.into()], ..DataRule::default() }],
            members: members.iter().map(|m| (*m).to_owned()).collect(),
        }
    }

    plenum_store::both_databases! {
        migrations: &[crate::MIGRATIONS];

        async fn rules_are_those_of_all_roles_of_a_person(db: Db) {
            let access = Access::new(db.clone());
            let system = Principal::System("tests");
            let alice = access.create_user(&system, "alice", "", Role::Operator, "a password of some length").await.unwrap();
            let who = Principal::User(alice.principal());
            assert_eq!(access.data_scope(&who).await.unwrap(), None);
            assert_eq!(access.put_data_role(&who, &role("mine", "*", &[]), None).await.unwrap_err().code(), "access.denied");
            // The first change counts at once, though nothing had been remembered a moment ago.
            access.put_data_role(&system, &role("hosts", "host", &[&alice.id]), Some(0)).await.unwrap();
            access.put_data_role(&system, &role("others", "rack", &[]), Some(0)).await.unwrap();
            access.put_data_role(&system, &role(EVERYONE, "te*", &[]), Some(0)).await.unwrap();
            let names = async |who: &Principal| {
                let scope = access.data_scope(who).await.unwrap().unwrap();
                scope.rules.iter().flat_map(|r| r.models.clone()).collect::<Vec<_>>()
            };
            assert_eq!(names(&who).await, ["te*", "host"]);
            // Administrators, agents and the platform are not narrowed.
            let admin = Principal::User(crate::UserPrincipal { role: Role::Administrator, ..alice.principal() });
            for who in [admin, system.clone(), Principal::Agent { node: "n".into() }] {
                assert_eq!(access.data_scope(&who).await.unwrap(), None);
            }
            // A plugin that acts for her sees what she sees.
            let plugin = crate::PluginPrincipal { id: "p".into(), grant: Arc::default(), on_behalf: Some(alice.principal()) };
            assert_eq!(names(&Principal::Plugin(plugin)).await, ["te*", "host"]);

            assert!(access.put_data_role(&system, &role("hosts", "host", &[]), Some(0)).await.is_err());
            assert!(matches!(
                access.put_data_role(&system, &role("hosts", "host", &[]), Some(7)).await,
                Err(AccessError::Store(StoreError::Conflict { found: 1, .. }))
            ));
            assert!(access.put_data_role(&system, &role("ghosts", "host", &["nobody"]), None).await.is_err());
            assert_eq!(access.data_roles(&system).await.unwrap().len(), 3);
            access.put_data_role(&system, &role("hosts", "rack", &[&alice.id]), Some(1)).await.unwrap();
            assert_eq!(names(&who).await, ["te*", "rack"]);
            access.delete_data_role(&system, "hosts").await.unwrap();
            assert_eq!(names(&who).await, ["te*"]);
            access.delete_data_role(&system, EVERYONE).await.unwrap();
            assert_eq!(access.data_scope(&who).await.unwrap(), None);
        }
    }
}
