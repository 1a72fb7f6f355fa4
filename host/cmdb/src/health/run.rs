//! All records against all rules, in batches: no transaction is held for long, and the host stays quick beside it.

use std::collections::{BTreeMap, HashMap, HashSet};

use plenum_access::{Permission, Principal};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{Document, Value, new_id, now_ms, params};
use serde_json::{Value as Json, json};

use super::HealthRun;
use super::check::{Around, Ready, Wrong, belongs, owner_of, score};
use super::rules::HealthRule;
use crate::model::{Model, collection};
use crate::sources::claims::Claims;
use crate::{Cmdb, CmdbError, decode};

/// Records of one transaction.
const BATCH: u32 = 500;
/// Findings of one rule that are kept; all are counted.
const MAX_FINDINGS: i64 = 50_000;
/// Associations that are looked at for one batch.
const MAX_LINKS: i64 = 50_000;
/// Different keys that are remembered while duplicates are looked for.
const MAX_KEYS: usize = 4_000_000;
/// Runs that are kept.
const KEEP_RUNS: i64 = 100;
/// Days of which scores are kept.
const KEEP_DAYS: i64 = 800;
const DAY_MS: i64 = 86_400_000;
const NAME: &str = "data quality";

impl Cmdb {
    /// Wants a run; [`Cmdb::tend_health`] does it. While one waits or runs, that one is answered.
    pub async fn want_health_run(&self, who: &Principal) -> Result<HealthRun, CmdbError> {
        self.access.require(who, Permission::CmdbWrite, &[]).await?;
        if let Some(run) = self.last_run(&["waiting", "running"]).await? {
            return Ok(run);
        }
        let id = new_id();
        let mut tx = self.db.begin().await?;
        let by = who.actor().to_string();
        let sql = "INSERT INTO cmdb_health_runs (id, state, started_by, created_at, records, counts) VALUES (?, 'waiting', ?, ?, 0, ?)";
        tx.execute(sql, params![&id, &by, now_ms(), json!({})]).await?;
        self.access.audit(&mut tx, who, "cmdb.health.run", &format!("health-run/{id}"), None, None).await?;
        tx.commit().await?;
        self.health_wanted.notify_one();
        Ok(self.last_run(&["waiting", "running", "done", "failed"]).await?.unwrap_or(HealthRun {
            id,
            state: "waiting".into(),
            started_by: by,
            created_at: now_ms(),
            finished_at: None,
            records: 0,
            counts: json!({}),
            error: None,
        }))
    }

    /// Returns when a run may be wanted.
    pub async fn health_wanted(&self) {
        self.health_wanted.notified().await;
    }

    /// Does the run that waits, or the daily one when it is due; answers whether there was one.
    pub async fn tend_health(&self) -> Result<bool, CmdbError> {
        let waiting = self.last_run(&["waiting"]).await?;
        let run = match waiting {
            Some(run) => run,
            None => {
                let last = self.last_run(&["running", "done", "failed"]).await?;
                if last.is_some_and(|l| l.created_at > now_ms() - DAY_MS) {
                    return Ok(false);
                }
                self.want_health_run(&Principal::System(NAME)).await?
            }
        };
        match self.run_health(&run.id).await {
            Ok(()) => {}
            Err(e) => {
                let sql = "UPDATE cmdb_health_runs SET state = 'failed', error = ?, finished_at = ? WHERE id = ?";
                self.db.execute(sql, params![e.to_string(), now_ms(), &run.id]).await?;
                return Err(e);
            }
        }
        Ok(true)
    }

    async fn run_health(&self, run: &str) -> Result<(), CmdbError> {
        self.db.execute("UPDATE cmdb_health_runs SET state = 'running' WHERE id = ?", params![run]).await?;
        let mut rules: Vec<HealthRule> = Vec::new();
        for r in self.db.fetch_all("SELECT spec FROM cmdb_health_rules ORDER BY id LIMIT 500", &[]).await? {
            rules.push(decode(r.json("spec")?)?);
        }
        let mut counts: BTreeMap<String, i64> = rules.iter().filter(|r| r.enabled).map(|r| (r.id.clone(), 0)).collect();
        let mut records = 0;
        for r in self.db.fetch_all("SELECT name FROM cmdb_models ORDER BY name LIMIT 1000", &[]).await? {
            let name = r.text("name")?;
            // It may have been deleted since.
            let Ok(m) = self.stored(&name).await else { continue };
            records += self.run_model(run, &m.model, &rules, &mut counts, records).await?;
        }
        for table in ["cmdb_health_findings", "cmdb_health_scores"] {
            // Of records, models and rules that are no more.
            self.db.execute(&format!("DELETE FROM {table} WHERE run <> ?"), params![run]).await?;
        }
        self.finish_run(run, records, &counts).await
    }

    async fn run_model(
        &self,
        run: &str,
        m: &Model,
        rules: &[HealthRule],
        counts: &mut BTreeMap<String, i64>,
        before: i64,
    ) -> Result<i64, CmdbError> {
        let ready: Vec<Ready<'_>> = rules.iter().filter_map(|r| Ready::of(r, m)).collect();
        let twins = self.twins(m, &ready).await?;
        let none = HashSet::new();
        let (mut after, mut seen) = (String::new(), 0_i64);
        loop {
            let mut tx = self.db.begin_read().await?;
            let batch = self.docs.walk_in(&mut tx, &collection(&m.name), Some(&after), BATCH).await?;
            tx.rollback().await?;
            let Some(last) = batch.last() else { return Ok(seen) };
            after.clone_from(&last.id);
            seen += batch.len() as i64;
            let around = self.linked_around(m, &batch).await?;
            let known = self.known_values(&ready, &batch).await?;
            let business = self.business(&around).await?;
            let since = self.found_before(&batch).await?;
            let now = now_ms();
            let mut tx = self.db.begin().await?;
            self.clear(&mut tx, &batch).await?;
            for d in &batch {
                let empty = Around::default();
                let a = around.get(&d.id).unwrap_or(&empty);
                let (mut asked, mut wrong) = (0, Vec::new());
                for r in &ready {
                    asked += r.rule.weight;
                    let twins = twins.get(&r.rule.id).unwrap_or(&none);
                    let Some(Wrong { share, detail }) = r.ask(m, d, a, now, twins, &known) else { continue };
                    wrong.push((r.rule.weight, share));
                    let n = counts.entry(r.rule.id.clone()).or_insert(0);
                    *n += 1;
                    if *n > MAX_FINDINGS {
                        continue;
                    }
                    let owner = owner_of(d, a).or_else(|| r.rule.owner.clone());
                    let since = since.get(&(r.rule.id.clone(), d.id.clone())).copied().unwrap_or(now);
                    tx.execute(
                        "INSERT INTO cmdb_health_findings (rule, record, model, label, owner, detail, since, run) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        params![&r.rule.id, &d.id, &m.name, m.label(&d.data, &d.id), owner, detail, since, run],
                    )
                    .await?;
                }
                let team = belongs(a, "team");
                let business = business.get(&d.id).cloned();
                tx.execute(
                    "INSERT INTO cmdb_health_scores (record, model, score, team, business, run) VALUES (?, ?, ?, ?, ?, ?)",
                    params![&d.id, &m.name, score(asked, &wrong), team, business, run],
                )
                .await?;
            }
            let sql = "UPDATE cmdb_health_runs SET records = ? WHERE id = ?";
            tx.execute(sql, params![before + seen, run]).await?;
            tx.commit().await?;
        }
    }

    async fn clear(&self, tx: &mut plenum_store::Tx, batch: &[Document]) -> Result<(), CmdbError> {
        let (marks, ids) = listed(batch.iter().map(|d| d.id.as_str()));
        tx.execute(&format!("DELETE FROM cmdb_health_findings WHERE record IN ({marks})"), &ids).await?;
        tx.execute(&format!("DELETE FROM cmdb_health_scores WHERE record IN ({marks})"), &ids).await?;
        Ok(())
    }

    async fn found_before(&self, batch: &[Document]) -> Result<HashMap<(String, String), i64>, CmdbError> {
        let (marks, ids) = listed(batch.iter().map(|d| d.id.as_str()));
        let sql = format!("SELECT rule, record, since FROM cmdb_health_findings WHERE record IN ({marks})");
        let rows = self.db.fetch_all(&sql, &ids).await?;
        rows.iter().map(|r| Ok(((r.text("rule")?, r.text("record")?), r.int("since")?))).collect()
    }

    /// For each rule about duplicates, the keys that more than one record has.
    async fn twins(&self, m: &Model, ready: &[Ready<'_>]) -> Result<HashMap<String, HashSet<u64>>, CmdbError> {
        let rules: Vec<&Ready<'_>> = ready.iter().filter(|r| matches!(r.rule.check, super::rules::Check::Duplicate { .. })).collect();
        let mut out: HashMap<String, HashSet<u64>> = HashMap::new();
        if rules.is_empty() {
            return Ok(out);
        }
        let mut once: HashMap<&str, HashSet<u64>> = HashMap::new();
        let mut after = String::new();
        loop {
            let mut tx = self.db.begin_read().await?;
            let batch = self.docs.walk_in(&mut tx, &collection(&m.name), Some(&after), BATCH).await?;
            tx.rollback().await?;
            let Some(last) = batch.last() else { return Ok(out) };
            after.clone_from(&last.id);
            for d in &batch {
                for r in &rules {
                    let Some(key) = r.twin_key(&d.data) else { continue };
                    let seen = once.entry(r.rule.id.as_str()).or_default();
                    if seen.len() >= MAX_KEYS {
                        tracing::warn!(model = %m.name, rule = %r.rule.id, "more records than can be compared; duplicates among the rest are not found");
                        return Ok(out);
                    }
                    if !seen.insert(key) {
                        out.entry(r.rule.id.clone()).or_default().insert(key);
                    }
                }
            }
        }
    }

    /// Associations and sources of a batch.
    async fn linked_around(&self, m: &Model, batch: &[Document]) -> Result<HashMap<String, Around>, CmdbError> {
        let (marks, ids) = listed(batch.iter().map(|d| d.id.as_str()));
        let mut limited = ids.clone();
        limited.push(MAX_LINKS.into());
        let mut out: HashMap<String, Around> = HashMap::new();
        let sql = format!("SELECT from_id, kind, to_model, to_id FROM cmdb_associations WHERE from_id IN ({marks}) LIMIT ?");
        for r in self.db.fetch_all(&sql, &limited).await? {
            out.entry(r.text("from_id")?).or_default().from.push((r.text("kind")?, r.text("to_model")?, r.text("to_id")?));
        }
        let sql = format!("SELECT DISTINCT to_id, kind, from_model FROM cmdb_associations WHERE to_id IN ({marks}) LIMIT ?");
        for r in self.db.fetch_all(&sql, &limited).await? {
            out.entry(r.text("to_id")?).or_default().to.push((r.text("kind")?, r.text("from_model")?));
        }
        let settings = self.settings().await?;
        let by_id: HashMap<&str, &Document> = batch.iter().map(|d| (d.id.as_str(), d)).collect();
        let now = now_ms();
        let sql = format!(
            "SELECT record, source, claims, last_seen, vanished_at FROM cmdb_claims WHERE record IN ({marks}) ORDER BY record, source"
        );
        for r in self.db.fetch_all(&sql, &ids).await? {
            let (record, source) = (r.text("record")?, r.text("source")?);
            let a = out.entry(record.clone()).or_default();
            if r.opt_int("vanished_at")?.is_some() || settings.stale(&source, r.int("last_seen")?, now) {
                a.silent.push(source);
            }
            let claims: Claims = decode(r.json("claims")?)?;
            let data = by_id.get(record.as_str()).map(|d| &d.data);
            for (name, c) in claims {
                let Some(value) = c.value else { continue };
                let has = data.and_then(|d| d.get(&name)).unwrap_or(&Json::Null);
                let differs = crate::facts::still_value(m, &name, &value) != crate::facts::still_value(m, &name, has);
                if differs && !a.conflicts.contains(&name) {
                    a.conflicts.push(name);
                }
            }
        }
        Ok(out)
    }

    /// Of the values that have to be there in another model, those that are.
    async fn known_values(&self, ready: &[Ready<'_>], batch: &[Document]) -> Result<HashSet<String>, CmdbError> {
        let mut wanted: BTreeMap<&(String, String), HashSet<&str>> = BTreeMap::new();
        for d in batch {
            for r in ready {
                if let Some((to, value)) = r.reference(&d.data) {
                    wanted.entry(to).or_default().insert(value);
                }
            }
        }
        let mut out = HashSet::new();
        for ((model, attribute), values) in wanted {
            let values: Vec<&str> = values.into_iter().collect();
            for some in values.chunks(50) {
                let terms: Vec<String> = some.iter().map(|v| format!("{attribute} == {}", json!(v))).collect();
                let query = plenum_store::Query { filter: Some(terms.join(" || ")), limit: 1000, ..plenum_store::Query::default() };
                // A model or attribute that is no more has no values.
                let Ok(page) = self.docs.query(&collection(model), &query).await else { break };
                out.extend(page.items.iter().filter_map(|d| d.data.get(attribute).and_then(Json::as_str).map(str::to_owned)));
            }
        }
        Ok(out)
    }

    /// The business application that a record belongs to, itself or through its system.
    async fn business(&self, around: &HashMap<String, Around>) -> Result<HashMap<String, String>, CmdbError> {
        let mut out = HashMap::new();
        let mut through: HashMap<String, Vec<&String>> = HashMap::new();
        for (id, a) in around {
            if let Some(b) = belongs(a, "business_application") {
                out.insert(id.clone(), b);
            } else if let Some(s) = belongs(a, "system") {
                through.entry(s).or_default().push(id);
            }
        }
        let systems: Vec<&str> = through.keys().map(String::as_str).collect();
        if systems.is_empty() {
            return Ok(out);
        }
        let (marks, ids) = listed(systems.into_iter());
        let sql = format!(
            "SELECT from_id, to_id FROM cmdb_associations WHERE kind = 'belongs_to' AND to_model = 'business_application' AND from_id IN ({marks})"
        );
        for r in self.db.fetch_all(&sql, &ids).await? {
            for id in through.get(&r.text("from_id")?).into_iter().flatten() {
                out.insert((*id).clone(), r.text("to_id")?);
            }
        }
        Ok(out)
    }

    async fn finish_run(&self, run: &str, records: i64, counts: &BTreeMap<String, i64>) -> Result<(), CmdbError> {
        let now = now_ms();
        let day = day_of(now);
        let mut tx = self.db.begin().await?;
        // An earlier run of today may have scored what is no more.
        tx.execute("DELETE FROM cmdb_health_trend WHERE day = ?", params![&day]).await?;
        let mut digest = json!({"run": run, "records": records, "findings": counts});
        for (scope, column) in [("all", "''"), ("model", "model"), ("team", "team"), ("business", "business")] {
            let sql = format!(
                "SELECT {column} AS name, CAST(AVG(score) AS DOUBLE PRECISION) AS score, COUNT(*) AS records FROM cmdb_health_scores
                 WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY 2 LIMIT 2000"
            );
            let rows = if scope == "all" {
                tx.fetch_all(
                    "SELECT '' AS name, CAST(AVG(score) AS DOUBLE PRECISION) AS score, COUNT(*) AS records FROM cmdb_health_scores",
                    &[],
                )
                .await?
            } else {
                tx.fetch_all(&sql, &[]).await?
            };
            let mut worst = Vec::new();
            for r in &rows {
                let Some(score) = r.number("score")? else { continue };
                let name = r.text("name")?;
                if worst.len() < 10 {
                    worst.push(json!({"name": name, "score": score.round(), "records": r.int("records")?}));
                }
                tx.execute(
                    "INSERT INTO cmdb_health_trend (scope, name, day, score, records) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT (scope, name, day) DO UPDATE SET score = excluded.score, records = excluded.records",
                    params![scope, name, &day, score, r.int("records")?],
                )
                .await?;
            }
            if let Some(o) = digest.as_object_mut() {
                o.insert(scope.to_owned(), if scope == "all" { worst.pop().unwrap_or_default() } else { Json::Array(worst) });
            }
        }
        tx.execute("DELETE FROM cmdb_health_trend WHERE day < ?", params![day_of(now - KEEP_DAYS * DAY_MS)]).await?;
        let sql = "UPDATE cmdb_health_runs SET state = 'done', finished_at = ?, records = ?, counts = ? WHERE id = ?";
        tx.execute(sql, params![now, records, json!(counts), run]).await?;
        let old = "DELETE FROM cmdb_health_runs WHERE id NOT IN (SELECT id FROM cmdb_health_runs ORDER BY id DESC LIMIT ?)";
        tx.execute(old, params![KEEP_RUNS]).await?;
        let event = NewEvent {
            kind: "plenum.cmdb.health.digest".into(),
            source: "/cmdb".into(),
            subject: format!("health-run/{run}"),
            data: digest,
        };
        emit_later(&mut tx, event)?;
        tx.commit().await?;
        Ok(())
    }
}

fn listed<'a>(ids: impl Iterator<Item = &'a str>) -> (String, Vec<Value>) {
    let values: Vec<Value> = ids.map(Value::from).collect();
    (vec!["?"; values.len()].join(", "), values)
}

fn day_of(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y-%m-%d").to_string()
}
