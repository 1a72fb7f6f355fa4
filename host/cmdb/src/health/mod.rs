//! Data quality: rules over the records, run daily and on demand, with a score for each record, model, team, business and the whole.
//!
//! - [`rules`]: what can be asked of a record, and the rules that come with Plenum.
//! - [`check`]: one record against the rules; pure.
//! - [`run`]: all records, in batches.
//! - [`repair`]: what can be mended by one click.

mod check;
pub mod repair;
pub mod rules;
pub mod run;

use plenum_access::{Permission, Principal};
use plenum_store::{Row, StoreError, now_ms, params};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::sources::invalid;
use crate::{Cmdb, CmdbError, decode};
use rules::{HealthRule, defaults};

/// Most rules.
const MAX_RULES: i64 = 200;

/// A rule with how it did.
#[derive(Debug, Clone, Serialize)]
pub struct StoredRule {
    /// What it asks.
    #[serde(flatten)]
    pub rule: HealthRule,
    /// Whether it came with Plenum: it can be changed and switched off, not removed.
    pub builtin: bool,
    /// Records that break it, by the last run.
    pub findings: i64,
}

/// A run over all records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthRun {
    /// Its id.
    pub id: String,
    /// `waiting`, `running`, `done`, `failed`.
    pub state: String,
    /// Who wanted it.
    pub started_by: String,
    /// Milliseconds since the Unix epoch.
    pub created_at: i64,
    /// Milliseconds since the Unix epoch.
    pub finished_at: Option<i64>,
    /// Records looked at so far.
    pub records: i64,
    /// Records that break each rule.
    pub counts: Json,
    /// Why it failed.
    pub error: Option<String>,
}

/// The score of something at a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// `all`, `model`, `team`, `business`.
    pub scope: String,
    /// The model, or the id of the team or business application; empty for all.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// The day, `2026-01-31`.
    pub day: String,
    /// 0 to 100.
    pub score: f64,
    /// Of how many records.
    pub records: i64,
}

/// A record that breaks a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// The record's model.
    pub model: String,
    /// The record.
    pub record: String,
    /// What people call it.
    pub label: String,
    /// Who should mend it.
    pub owner: Option<String>,
    /// What is wrong: `attributes`, `value`, `expected`, ..., and `repairable`.
    pub detail: Json,
    /// Since which run, in milliseconds since the Unix epoch.
    pub since: i64,
}

/// Which findings.
#[derive(Debug, Clone, Default)]
pub struct FindingQuery {
    /// Of one rule.
    pub rule: Option<String>,
    /// Of one model.
    pub model: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Rows, at most 500.
    pub limit: u32,
}

/// How a record does.
#[derive(Debug, Clone, Serialize)]
pub struct RecordHealth {
    /// 0 to 100; absent before the first run that saw it.
    pub score: Option<i64>,
    /// What is wrong, by the last run.
    pub findings: Vec<Finding>,
}

impl Cmdb {
    /// Brings the rules that come with Plenum; what was changed of them stays.
    pub(crate) async fn seed_health(&self, tx: &mut plenum_store::Tx) -> Result<(), CmdbError> {
        for r in defaults() {
            tx.execute(
                "INSERT INTO cmdb_health_rules (id, spec, builtin, updated_at) VALUES (?, ?, 1, ?) ON CONFLICT (id) DO NOTHING",
                params![&r.id, json!(r), now_ms()],
            )
            .await?;
        }
        // A run of a host that is no more.
        tx.execute(
            "UPDATE cmdb_health_runs SET state = 'failed', error = ?, finished_at = ? WHERE state IN ('running', 'waiting')",
            params!["the host stopped before it ended; start it again", now_ms()],
        )
        .await?;
        Ok(())
    }

    /// All rules.
    pub async fn health_rules(&self, who: &Principal) -> Result<Vec<StoredRule>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let last = self.last_run(&["done"]).await?;
        let rows = self.db.fetch_all("SELECT id, spec, builtin FROM cmdb_health_rules ORDER BY builtin DESC, id LIMIT 500", &[]).await?;
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            let id = r.text("id")?;
            let findings = last.as_ref().and_then(|l| l.counts.get(&id)).and_then(Json::as_i64).unwrap_or(0);
            out.push(StoredRule { rule: decode(r.json("spec")?)?, builtin: r.bool("builtin")?, findings });
        }
        Ok(out)
    }

    /// Makes or changes a rule. It counts from the next run on.
    pub async fn put_health_rule(&self, who: &Principal, rule: HealthRule) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        rule.check()?;
        for name in &rule.models {
            let m = self.stored(name).await?.model;
            rule.fits(&m)?;
        }
        let mut tx = self.db.begin().await?;
        if let rules::Check::Integrity { association, .. } = &rule.check {
            self.kind_in(&mut tx, association).await?;
        }
        let before = tx.fetch_optional("SELECT spec FROM cmdb_health_rules WHERE id = ?", params![&rule.id]).await?;
        let before = before.map(|r| r.json("spec")).transpose()?;
        let n = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_health_rules", &[]).await?.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        if before.is_none() && n >= MAX_RULES {
            return Err(CmdbError::InUse(format!("there are {MAX_RULES} rules already; remove one that is no longer used")));
        }
        let after = json!(rule);
        tx.execute(
            "INSERT INTO cmdb_health_rules (id, spec, builtin, updated_at) VALUES (?, ?, 0, ?)
             ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, updated_at = excluded.updated_at",
            params![&rule.id, after.clone(), now_ms()],
        )
        .await?;
        self.access.audit(&mut tx, who, "cmdb.health.rule", &format!("health-rule/{}", rule.id), before.as_ref(), Some(&after)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes a rule of one's own, and what it found.
    pub async fn delete_health_rule(&self, who: &Principal, id: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        let mut tx = self.db.begin().await?;
        let row = tx.fetch_optional("SELECT spec, builtin FROM cmdb_health_rules WHERE id = ?", params![id]).await?;
        let row = row.ok_or_else(|| CmdbError::NotFound(format!("there is no rule {id}")))?;
        if row.bool("builtin")? {
            return Err(CmdbError::InUse(format!("the rule {id} came with Plenum; switch it off instead")));
        }
        tx.execute("DELETE FROM cmdb_health_rules WHERE id = ?", params![id]).await?;
        tx.execute("DELETE FROM cmdb_health_findings WHERE rule = ?", params![id]).await?;
        self.access.audit(&mut tx, who, "cmdb.health.rule", &format!("health-rule/{id}"), Some(&row.json("spec")?), None).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(crate) async fn last_run(&self, states: &[&str]) -> Result<Option<HealthRun>, CmdbError> {
        let marks = vec!["?"; states.len()].join(", ");
        let values: Vec<plenum_store::Value> = states.iter().map(|s| (*s).into()).collect();
        let sql = format!(
            "SELECT id, state, started_by, created_at, finished_at, records, counts, error FROM cmdb_health_runs \
             WHERE state IN ({marks}) ORDER BY id DESC LIMIT 1"
        );
        Ok(self.db.fetch_optional(&sql, &values).await?.as_ref().map(run_of).transpose()?)
    }

    /// The newest run, whatever became of it.
    pub async fn health_run(&self, who: &Principal) -> Result<Option<HealthRun>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        self.last_run(&["waiting", "running", "done", "failed"]).await
    }

    /// The newest scores: of the whole, and of the models that the caller may read, teams and business applications.
    pub async fn health_scores(&self, who: &Principal) -> Result<Vec<Score>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let sql = "SELECT scope, name, day, score, records FROM cmdb_health_trend WHERE day = (SELECT MAX(day) FROM cmdb_health_trend) \
                   ORDER BY scope, score, name LIMIT 2000";
        self.scores(who, self.db.fetch_all(sql, &[]).await?).await
    }

    /// The scores of one thing, day by day, the oldest first; of the last `days`, at most 400.
    pub async fn health_trend(&self, who: &Principal, scope: &str, name: &str, days: u32) -> Result<Vec<Score>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let sql = "SELECT scope, name, day, score, records FROM cmdb_health_trend WHERE scope = ? AND name = ? ORDER BY day DESC LIMIT ?";
        let mut rows = self.db.fetch_all(sql, params![scope, name, days.clamp(1, 400)]).await?;
        rows.reverse();
        self.scores(who, rows).await
    }

    async fn scores(&self, who: &Principal, rows: Vec<Row>) -> Result<Vec<Score>, CmdbError> {
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            let (scope, name) = (r.text("scope")?, r.text("name")?);
            let model = match scope.as_str() {
                "model" => name.as_str(),
                "team" => "team",
                "business" => "business_application",
                _ => "",
            };
            if !model.is_empty() && self.access.check(who, Permission::CmdbRead, &[("models", model)]).is_err() {
                continue;
            }
            out.push(Score {
                label: name.clone(),
                scope,
                name,
                day: r.text("day")?,
                score: r.number("score")?.unwrap_or(0.0),
                records: r.int("records")?,
            });
        }
        for (scope, model) in [("team", "team"), ("business", "business_application")] {
            let ids: Vec<String> = out.iter().filter(|s| s.scope == scope).map(|s| s.name.clone()).collect();
            let m = self.stored(model).await?.model;
            for d in self.docs.get_many(&crate::model::collection(model), &ids).await? {
                let label = m.label(&d.data, &d.id);
                out.iter_mut().filter(|s| s.scope == scope && s.name == d.id).for_each(|s| s.label.clone_from(&label));
            }
        }
        Ok(out)
    }

    /// A page of what is wrong, of the models that the caller may read.
    pub async fn health_findings(&self, who: &Principal, q: &FindingQuery) -> Result<(Vec<Finding>, Option<String>), CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        let limit = q.limit.clamp(1, 500);
        let mut sql = "SELECT rule, record, model, label, owner, detail, since FROM cmdb_health_findings WHERE since >= 0".to_owned();
        let mut values: Vec<plenum_store::Value> = Vec::new();
        for (column, value) in [("rule", &q.rule), ("model", &q.model)] {
            if let Some(v) = value {
                sql.push_str(&format!(" AND {column} = ?"));
                values.push(v.into());
            }
        }
        if let Some((rule, record)) = q.cursor.as_deref().and_then(|c| c.split_once('/')) {
            sql.push_str(" AND (rule > ? OR rule = ? AND record > ?)");
            values.extend(params![rule, rule, record].iter().cloned());
        }
        sql.push_str(" ORDER BY rule, record LIMIT ?");
        values.push(limit.into());
        let rows = self.db.fetch_all(&sql, &values).await?;
        let next = match rows.last() {
            Some(r) if rows.len() == limit as usize => Some(format!("{}/{}", r.text("rule")?, r.text("record")?)),
            _ => None,
        };
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            let f = finding(r)?;
            if self.access.check(who, Permission::CmdbRead, &[("models", &f.model)]).is_ok() {
                out.push(f);
            }
        }
        Ok((out, next))
    }

    /// How one record does.
    pub async fn record_health(&self, who: &Principal, model: &str, id: &str) -> Result<RecordHealth, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[("models", model)]).await?;
        let row = self.db.fetch_optional("SELECT score FROM cmdb_health_scores WHERE record = ? AND model = ?", params![id, model]).await?;
        let sql = "SELECT rule, record, model, label, owner, detail, since FROM cmdb_health_findings WHERE record = ? AND model = ? ORDER BY rule LIMIT 200";
        let rows = self.db.fetch_all(sql, params![id, model]).await?;
        Ok(RecordHealth { score: row.map(|r| r.int("score")).transpose()?, findings: rows.iter().map(finding).collect::<Result<_, _>>()? })
    }

    pub(crate) async fn finding_of(&self, rule: &str, record: &str) -> Result<Finding, CmdbError> {
        let sql = "SELECT rule, record, model, label, owner, detail, since FROM cmdb_health_findings WHERE rule = ? AND record = ?";
        match self.db.fetch_optional(sql, params![rule, record]).await? {
            Some(r) => Ok(finding(&r)?),
            None => Err(CmdbError::NotFound(format!("the rule {rule} has nothing against {record}; it may have been mended already"))),
        }
    }

    pub(crate) async fn rule_of(&self, id: &str) -> Result<HealthRule, CmdbError> {
        match self.db.fetch_optional("SELECT spec FROM cmdb_health_rules WHERE id = ?", params![id]).await? {
            Some(r) => Ok(decode(r.json("spec")?)?),
            None => Err(invalid("/rule", format!("there is no rule {id}"))),
        }
    }
}

fn run_of(r: &Row) -> Result<HealthRun, StoreError> {
    Ok(HealthRun {
        id: r.text("id")?,
        state: r.text("state")?,
        started_by: r.text("started_by")?,
        created_at: r.int("created_at")?,
        finished_at: r.opt_int("finished_at")?,
        records: r.int("records")?,
        counts: r.json("counts")?,
        error: r.opt_text("error")?,
    })
}

fn finding(r: &Row) -> Result<Finding, StoreError> {
    Ok(Finding {
        rule: r.text("rule")?,
        record: r.text("record")?,
        model: r.text("model")?,
        label: r.text("label")?,
        owner: r.opt_text("owner")?,
        detail: r.json("detail")?,
        since: r.int("since")?,
    })
}
