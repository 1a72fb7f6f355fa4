//! Which changes need the word of others, and the gate that holds back those who make them without.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use plenum_access::{Permission, Principal, Role, UserPrincipal};
use plenum_store::{Filter, Tx, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::model::Model;
use crate::sources::invalid;
use crate::{Cmdb, CmdbError, Text, decode};

/// Most rules.
const MAX_RULES: i64 = 200;
/// How long the rules are believed without asking again: another host may have changed them.
const BELIEVED: Duration = Duration::from_secs(2);

/// What is done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is made.
    Create,
    /// Its attributes change.
    Update,
    /// It is deleted.
    Delete,
}

/// Which changes need approval, and whose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRule {
    /// Its name in addresses: lower-case letters, digits, `-`.
    pub name: String,
    /// Shown to people.
    #[serde(default)]
    pub title: Text,
    /// The models whose records it guards; all when empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// What is done to them; anything when empty.
    #[serde(default)]
    pub acts: Vec<Act>,
    /// Attributes that it guards; all when empty. Deleting a record touches each of them.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// What is true of records that it guards (CEL): as they are before the change, or as they are made.
    #[serde(default)]
    pub filter: Option<String>,
    /// It guards changes of at least so many records at once.
    #[serde(default = "one")]
    pub at_least: usize,
    /// Who approves, one of them: `user:<name>`, `role:<role>`.
    pub approvers: Vec<String>,
    /// Whether it counts.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn one() -> usize {
    1
}
fn yes() -> bool {
    true
}

/// The rules as they were read, and when.
pub(crate) type Guards = Arc<RwLock<Option<(Instant, Arc<Vec<ChangeRule>>)>>>;

impl ChangeRule {
    fn check(&self) -> Result<(), CmdbError> {
        let name = &self.name;
        if name.is_empty() || name.len() > 60 || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            return Err(invalid("/name", format!("{name:?} cannot name a rule: use lower-case letters, digits and -")));
        }
        if self.models.len() > 200 || self.attributes.len() > 200 {
            return Err(invalid("/models", "a rule names at most 200 models and 200 attributes; none means all".into()));
        }
        if !(1..=10_000).contains(&self.at_least) {
            return Err(invalid("/at_least", "a rule guards changes of at least 1 to 10,000 records".into()));
        }
        if self.approvers.is_empty() || self.approvers.len() > 50 {
            return Err(invalid("/approvers", "name 1 to 50 who approve, as user:<name> or role:<role>".into()));
        }
        for a in &self.approvers {
            let known = match a.split_once(':') {
                Some(("user", n)) => !n.is_empty(),
                Some(("role", r)) => Role::from_name(r).is_some(),
                _ => false,
            };
            if !known {
                return Err(invalid("/approvers", format!("{a:?} is nobody; write user:<name> or role:<viewer|operator|administrator>")));
            }
        }
        Ok(())
    }

    fn fits(&self, m: &Model) -> Result<(), CmdbError> {
        if let Some(f) = &self.filter {
            Filter::parse(f, &m.spec().schema).map_err(|e| invalid("/filter", format!("for the model {}: {e}", m.name)))?;
        }
        match self.attributes.iter().find(|a| m.attribute(a).is_none()) {
            Some(a) if !self.models.is_empty() => Err(invalid("/attributes", format!("the model {} has no attribute {a}", m.name))),
            _ => Ok(()),
        }
    }

    /// Whether it guards this; `record` is what is there before, or is made.
    pub(crate) fn guards(&self, m: &Model, act: Act, touched: &[&str], record: &Json) -> bool {
        let of = |list: &[String], what: &str| list.is_empty() || list.iter().any(|l| l == what);
        if !self.enabled || !of(&self.models, &m.name) || !(self.acts.is_empty() || self.acts.contains(&act)) {
            return false;
        }
        if act != Act::Delete && !self.attributes.is_empty() && !touched.iter().any(|t| self.attributes.iter().any(|a| a == t)) {
            return false;
        }
        match &self.filter {
            None => true,
            // One that does not fit the model any more guards everything: what it was to hold back is not let through.
            Some(f) => Filter::parse(f, &m.spec().schema).map_or(true, |f| f.matches(record)),
        }
    }
}

/// Whether somebody is one of those whom a list names.
pub(super) fn named(approvers: &[String], u: &UserPrincipal) -> bool {
    approvers.iter().any(|a| match a.split_once(':') {
        Some(("user", n)) => n == u.name,
        Some(("role", r)) => Role::from_name(r).is_some_and(|r| u.role >= r),
        _ => false,
    })
}

/// Whether the rules are about this caller: what agents find and the platform does itself is no one's decision.
fn is_guarded(who: &Principal) -> bool {
    matches!(who, Principal::User(_) | Principal::Plugin(_))
}

impl Cmdb {
    /// The rules, by name.
    pub async fn change_rules(&self, who: &Principal) -> Result<Vec<ChangeRule>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let mut tx = self.db.begin_read().await?;
        let rules = self.read_guards(&mut tx).await?;
        tx.rollback().await?;
        Ok(rules)
    }

    async fn read_guards(&self, tx: &mut Tx) -> Result<Vec<ChangeRule>, CmdbError> {
        let rows = tx.fetch_all("SELECT spec FROM cmdb_change_rules ORDER BY name LIMIT ?", params![MAX_RULES]).await?;
        rows.iter().map(|r| Ok(decode(r.json("spec")?)?)).collect()
    }

    /// The rules as the transaction may believe them.
    pub(crate) async fn guards_in(&self, tx: &mut Tx) -> Result<Arc<Vec<ChangeRule>>, CmdbError> {
        if let Some((at, rules)) = self.guards.read().unwrap_or_else(PoisonError::into_inner).as_ref()
            && at.elapsed() < BELIEVED
        {
            return Ok(rules.clone());
        }
        let rules = Arc::new(self.read_guards(tx).await?);
        *self.guards.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), rules.clone()));
        Ok(rules)
    }

    /// Makes or changes a rule.
    pub async fn put_change_rule(&self, who: &Principal, rule: ChangeRule) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        rule.check()?;
        for m in &rule.models {
            rule.fits(&self.stored(m).await?.model)?;
        }
        let mut tx = self.db.begin().await?;
        let before = tx.fetch_optional("SELECT spec FROM cmdb_change_rules WHERE name = ?", params![&rule.name]).await?;
        let before = before.map(|r| r.json("spec")).transpose()?;
        let n = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_change_rules", &[]).await?.map(|r| r.int("n")).transpose()?;
        if before.is_none() && n.unwrap_or(0) >= MAX_RULES {
            return Err(CmdbError::InUse(format!("there are {MAX_RULES} rules already, which is the most")));
        }
        tx.execute(
            "INSERT INTO cmdb_change_rules (name, spec, updated_by, updated_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, updated_by = excluded.updated_by, updated_at = excluded.updated_at",
            params![&rule.name, json!(rule), who.actor().to_string(), now_ms()],
        )
        .await?;
        let target = format!("change-rule/{}", rule.name);
        self.access.audit(&mut tx, who, "cmdb.change_rule.put", &target, before.as_ref(), Some(&json!(rule))).await?;
        self.forget_guards(&mut tx);
        tx.commit().await?;
        Ok(())
    }

    /// Removes a rule.
    pub async fn delete_change_rule(&self, who: &Principal, name: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        let mut tx = self.db.begin().await?;
        if tx.execute("DELETE FROM cmdb_change_rules WHERE name = ?", params![name]).await? == 0 {
            return Err(CmdbError::NotFound(format!("there is no rule {name} for changes")));
        }
        self.access.audit(&mut tx, who, "cmdb.change_rule.delete", &format!("change-rule/{name}"), None, None).await?;
        self.forget_guards(&mut tx);
        tx.commit().await?;
        Ok(())
    }

    fn forget_guards(&self, tx: &mut Tx) {
        let guards = self.guards.clone();
        tx.after_commit(move || *guards.write().unwrap_or_else(PoisonError::into_inner) = None);
    }

    /// Holds back a change that a rule guards and nobody approved. Every write of a record passes here, whatever the door.
    pub(crate) async fn gate_in(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        act: Act,
        touched: &[&str],
        record: &Json,
    ) -> Result<(), CmdbError> {
        if self.approved || !is_guarded(who) {
            return Ok(());
        }
        let rules = self.guards_in(tx).await?;
        match rules.iter().find(|r| self.at_once.max(1) >= r.at_least && r.guards(m, act, touched, record)) {
            None => Ok(()),
            Some(r) => {
                let what = match act {
                    Act::Create => "a new record",
                    Act::Update => "this change",
                    Act::Delete => "deleting this record",
                };
                Err(CmdbError::NeedsApproval(format!(
                    "{what} of {} needs the approval of {} (rule {}): make a change request for it (POST /cmdb/change-requests, or Request a change)",
                    m.name,
                    r.approvers.join(" or "),
                    r.name
                )))
            }
        }
    }
}
