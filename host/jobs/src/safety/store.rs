//! Rules at rest: those that come with the platform, as administrators changed them, and their own.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use plenum_access::{Permission, Principal, Role};
use plenum_store::{Db, Row, StoreError, new_id, now_ms, params};
use serde_json::json;

use super::rules::{Compiled, Pattern, Rule, RuleDraft};
use super::{Level, starter};
use crate::{Inner, Jobs, JobsError};

/// Rules of administrators: each is tried on each script.
const MOST_RULES: usize = 300;

/// All rules, ready to be tried.
#[derive(Debug, Default)]
pub(crate) struct Rules(RwLock<Arc<Vec<Compiled>>>);

impl Rules {
    pub async fn load(&self, db: &Db) -> Result<(), JobsError> {
        let mut saved: HashMap<String, Rule> = HashMap::new();
        let mut own = Vec::new();
        for r in db.fetch_all("SELECT * FROM job_rules ORDER BY title, id", &[]).await? {
            let rule = row(&r)?;
            if rule.built_in {
                saved.insert(rule.id.clone(), rule);
            } else {
                own.push(rule);
            }
        }
        let mut all = starter::compiled();
        for c in &mut all {
            // What a newer version of the platform says of a rule counts; what an administrator decided about it stays.
            if let Some(s) = saved.remove(&c.rule.id) {
                c.rule = Rule {
                    title: c.rule.title.clone(),
                    why: c.rule.why.clone(),
                    advice: c.rule.advice.clone(),
                    pattern: c.rule.pattern.clone(),
                    languages: c.rule.languages.clone(),
                    ..s
                };
            }
        }
        for rule in own {
            let id = rule.id.clone();
            match Compiled::new(rule) {
                Ok(c) => all.push(c),
                // It was checked when it was saved: a version of the platform has narrowed what is allowed.
                Err(error) => tracing::error!(rule = %id, %error, "a rule for scripts cannot be used any more; change it"),
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        Ok(())
    }

    pub fn all(&self) -> Arc<Vec<Compiled>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn row(r: &Row) -> Result<Rule, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("{what} of a rule for scripts"));
    let built_in = r.int("built_in")? != 0;
    Ok(Rule {
        id: r.text("id")?,
        built_in,
        title: r.text("title")?,
        level: Level::parse(&r.text("level")?).ok_or_else(|| corrupt("level"))?,
        enabled: r.int("enabled")? != 0,
        languages: serde_json::from_value(r.json("languages")?).map_err(|_| corrupt("languages"))?,
        pattern: serde_json::from_value(r.json("pattern")?).map_err(|_| corrupt("pattern"))?,
        why: r.text("why")?,
        advice: r.text("advice")?,
        roles: serde_json::from_value(r.json("roles")?).map_err(|_| corrupt("roles"))?,
        targets: r.text("targets")?,
        approver: Role::from_name(&r.text("approver")?).ok_or_else(|| corrupt("approver"))?,
        version: r.int("version")?,
        updated_at: Some(r.int("updated_at")?),
        updated_by: Some(r.text("updated_by")?),
    })
}

fn told(r: &Rule) -> serde_json::Value {
    json!({"title": r.title, "level": r.level, "enabled": r.enabled, "languages": r.languages, "pattern": r.pattern, "roles": r.roles, "targets": r.targets,
        "approver": r.approver})
}

impl Jobs {
    /// All rules: those that come with the platform first. Whoever runs scripts may know what is looked for.
    pub async fn safety_rules(&self, who: &Principal) -> Result<Vec<Rule>, JobsError> {
        self.inner.access.require(who, Permission::JobsRun, &[]).await?;
        Ok(self.inner.rules.all().iter().map(|c| c.rule.clone()).collect())
    }

    /// Makes a rule, or changes one; `version` is the one that was read, none to overwrite whatever is there.
    pub async fn save_safety_rule(
        &self,
        who: &Principal,
        id: Option<&str>,
        draft: RuleDraft,
        version: Option<i64>,
    ) -> Result<Rule, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsManage, &[]).await?;
        let missing = |id: &str| JobsError::NotFound { what: "rule", id: id.to_owned() };
        let invalid = |field: &str, message: String| JobsError::invalid("jobs.bad_rule", field, message);
        let all = inner.rules.all();
        let before = match id {
            Some(id) => Some(all.iter().find(|c| c.rule.id == id).map(|c| c.rule.clone()).ok_or_else(|| missing(id))?),
            None => None,
        };
        if draft.targets.len() > 2000 {
            return Err(invalid("/targets", "a filter has at most 2000 bytes".to_owned()));
        }
        if draft.approver == Role::Viewer {
            return Err(invalid("/approver", "viewers run nothing, so they approve nothing: operator or administrator".to_owned()));
        }
        if !draft.targets.trim().is_empty() {
            // Whether the filter can be understood: asked about a node that is none.
            inner.inventory.within(&["-"], std::slice::from_ref(&draft.targets)).await?;
        }
        let now = now_ms();
        let by = who.actor().to_string();
        let mut rule = match &before {
            Some(b) if b.built_in => b.clone(),
            _ => {
                draft.check()?;
                if all.iter().any(|c| c.rule.title == draft.title.trim() && Some(c.rule.id.as_str()) != id) {
                    return Err(invalid("/title", format!("another rule is called {:?}", draft.title.trim())));
                }
                if before.is_none() && all.iter().filter(|c| !c.rule.built_in).count() >= MOST_RULES {
                    return Err(invalid("/title", format!("there are {MOST_RULES} rules, and no more can be made; join some")));
                }
                Rule {
                    id: id.map_or_else(new_id, str::to_owned),
                    built_in: false,
                    title: draft.title.trim().to_owned(),
                    level: draft.level,
                    enabled: true,
                    languages: draft.languages.clone(),
                    pattern: draft.pattern.clone().unwrap_or(Pattern::BuiltIn),
                    why: draft.why.trim().to_owned(),
                    advice: draft.advice.trim().to_owned(),
                    roles: Vec::new(),
                    targets: String::new(),
                    approver: Role::Operator,
                    version: before.as_ref().map_or(0, |b| b.version),
                    updated_at: None,
                    updated_by: None,
                }
            }
        };
        rule.level = draft.level;
        rule.enabled = draft.enabled;
        rule.roles = draft.roles;
        rule.targets = draft.targets.trim().to_owned();
        rule.approver = draft.approver;
        rule.updated_at = Some(now);
        rule.updated_by = Some(by.clone());
        let mut tx = inner.db.begin().await?;
        let stored = tx.fetch_optional("SELECT version FROM job_rules WHERE id = ?", params![&rule.id]).await?;
        let stored = stored.map(|r| r.int("version")).transpose()?.unwrap_or(0);
        if version.is_some_and(|v| v != stored) {
            return Err(invalid("/version", "somebody has changed it meanwhile; look at it again, then repeat the change".to_owned()));
        }
        rule.version = stored + 1;
        tx.execute("DELETE FROM job_rules WHERE id = ?", params![&rule.id]).await?;
        tx.execute(
            "INSERT INTO job_rules (id, built_in, title, level, enabled, languages, pattern, why, advice, roles, targets, approver, version, updated_at, updated_by)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                &rule.id,
                i64::from(rule.built_in),
                &rule.title,
                rule.level.as_str(),
                i64::from(rule.enabled),
                json!(rule.languages),
                json!(rule.pattern),
                &rule.why,
                &rule.advice,
                json!(rule.roles),
                &rule.targets,
                rule.approver.name(),
                rule.version,
                now,
                &by
            ],
        )
        .await?;
        let action = if before.is_some() { "jobs.rule.change" } else { "jobs.rule.create" };
        let (old, new) = (before.as_ref().map(told), told(&rule));
        inner.access.audit(&mut tx, who, action, &format!("job-rule/{}", rule.id), old.as_ref(), Some(&new)).await?;
        tx.commit().await?;
        inner.rules.load(&inner.db).await?;
        Ok(rule)
    }

    /// Removes an administrator's rule; one that comes with the platform is as it came again.
    pub async fn delete_safety_rule(&self, who: &Principal, id: &str) -> Result<(), JobsError> {
        let inner: &Inner = &self.inner;
        inner.access.require(who, Permission::JobsManage, &[]).await?;
        let before = inner.rules.all().iter().find(|c| c.rule.id == id).map(|c| told(&c.rule));
        let before = before.ok_or_else(|| JobsError::NotFound { what: "rule", id: id.to_owned() })?;
        let mut tx = inner.db.begin().await?;
        tx.execute("DELETE FROM job_rules WHERE id = ?", params![id]).await?;
        inner.access.audit(&mut tx, who, "jobs.rule.delete", &format!("job-rule/{id}"), Some(&before), None).await?;
        tx.commit().await?;
        inner.rules.load(&inner.db).await?;
        Ok(())
    }
}
