//! A change of a model as a task. Records are looked at and made ready in batches, each a short transaction of its own, and it goes on where
//! it was when the host starts again. All of it takes effect in one transaction: until then everybody reads and writes by the model as it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use plenum_access::Principal;
use plenum_store::events::{NewEvent, emit};
use plenum_store::{By, Document, DocumentError, Rewritten, StoreError, Tx, Value, now_ms, params};
use serde_json::{Value as Json, json};

use super::check::{Outcome, Plan, Problem, Report};
use super::{OPEN, Spec};
use crate::model::collection;
use crate::{Cmdb, CmdbError, decode};

/// Records of one transaction.
const BATCH: u32 = 500;
/// A task that was not heard of for so long belongs to a host that is gone.
const ABANDONED_MS: i64 = 60_000;
/// Clocks of several hosts differ; what was written shortly before the beginning is looked at once more.
const CLOCKS_MS: i64 = 60_000;
/// Where a change is that has taken effect, and of which some indexes are still to be made.
const INDEXING: &str = "indexing";
/// Tries to make them, and how long to wait between: a reader that began before may still look at what was there.
const TRIES: u32 = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// Different values of unique keys that are remembered.
const MAX_KEYS: usize = 4_000_000;

/// Values of unique keys so far.
#[derive(Default)]
struct Keys(HashMap<u64, String>);

impl Keys {
    /// The record that has the same already.
    fn twin(&mut self, set: usize, key: &[String], d: &Json, id: &str) -> Result<Option<String>, CmdbError> {
        let mut h = DefaultHasher::new();
        set.hash(&mut h);
        for k in key {
            match d.get(k) {
                // A set with a null in it is not compared.
                None | Some(Json::Null) => return Ok(None),
                Some(Json::Number(n)) => n.as_f64().unwrap_or_default().to_bits().hash(&mut h),
                Some(v) => v.to_string().hash(&mut h),
            }
        }
        let h = h.finish();
        match self.0.get(&h) {
            Some(other) if other != id => return Ok(Some(other.clone())),
            Some(_) => return Ok(None),
            None if self.0.len() >= MAX_KEYS => {
                return Err(CmdbError::InUse(format!("more than {MAX_KEYS} different values cannot be compared for a new unique key")));
            }
            None => {}
        }
        self.0.insert(h, id.to_owned());
        Ok(None)
    }
}

struct Task {
    id: String,
    spec: Spec,
    plan: Plan,
    dry_run: bool,
    started_by: String,
    created_at: i64,
    report: Report,
    position: String,
}

impl Cmdb {
    /// Does the change of a model that waits longest, or goes on with one that a host left; answers whether there was one.
    pub async fn tend_model_changes(&self) -> Result<bool, CmdbError> {
        let sql = format!("SELECT id FROM cmdb_model_changes WHERE {OPEN} AND (state = 'waiting' OR updated_at < ?) ORDER BY id LIMIT 1");
        let Some(r) = self.db.fetch_optional(&sql, params![now_ms() - ABANDONED_MS]).await? else { return Ok(false) };
        self.run_model_change(&r.text("id")?).await?;
        Ok(true)
    }

    /// Those that ran when this host stopped wait again: it is the only one on its database, or says so of its own after a while.
    pub async fn resume_model_changes(&self) -> Result<(), CmdbError> {
        if self.db.dialect() == plenum_store::Dialect::Sqlite {
            self.db.execute("UPDATE cmdb_model_changes SET state = 'waiting' WHERE state = 'running'", &[]).await?;
        }
        Ok(())
    }

    /// Runs a change to its end; what stands in its way is in its report, and only what the host can do nothing about is an error here.
    pub(super) async fn run_model_change(&self, id: &str) -> Result<(), CmdbError> {
        let sql = format!("UPDATE cmdb_model_changes SET state = 'running', updated_at = ? WHERE id = ? AND {OPEN}");
        if self.db.execute(&sql, params![now_ms(), id]).await? == 0 {
            return Ok(());
        }
        let mut task = self.task(id).await?;
        if task.position == INDEXING {
            return self.make_indexes(&task).await;
        }
        let ended = match self.examine_all(&mut task).await {
            Ok(false) => return Ok(()),
            Ok(true) if task.dry_run => Ok::<&str, CmdbError>("checked"),
            Ok(true) if task.report.broken > 0 => Err(CmdbError::InUse(task.report.in_words())),
            Ok(true) => match self.take_effect(&mut task).await {
                Ok(true) => return self.make_indexes(&task).await,
                Ok(false) => return Ok(()),
                Err(e) => Err(e),
            },
            Err(e) => Err(e),
        };
        let (state, error) = match &ended {
            Ok(state) => (*state, None),
            Err(CmdbError::InUse(m)) => ("refused", Some(m.clone())),
            Err(e) => ("failed", Some(e.to_string())),
        };
        let mut tx = self.db.begin().await?;
        self.drop_ready(&mut tx, id).await?;
        let sql = format!(
            "UPDATE cmdb_model_changes SET state = ?, error = ?, report = ?, finished_at = ?, updated_at = ? WHERE id = ? AND {OPEN}"
        );
        tx.execute(&sql, params![state, error, json!(task.report), now_ms(), now_ms(), id]).await?;
        tx.commit().await?;
        match ended {
            Err(e @ CmdbError::Document(DocumentError::Store(_)))
                if !matches!(e, CmdbError::Document(DocumentError::Store(StoreError::Conflict { .. }))) =>
            {
                Err(e)
            }
            _ => Ok(()),
        }
    }

    async fn task(&self, id: &str) -> Result<Task, CmdbError> {
        let sql = "SELECT model, dry_run, spec, report, position, started_by, created_at FROM cmdb_model_changes WHERE id = ?";
        let Some(r) = self.db.fetch_optional(sql, params![id]).await? else {
            return Err(CmdbError::NotFound(format!("there is no change {id} of a model")));
        };
        let spec: Spec = decode(r.json("spec")?)?;
        let before = self.stored(&r.text("model")?).await?.model;
        let restored: Vec<_> = spec.restore.iter().map(|(a, _)| a.clone()).collect();
        let plan = Plan::new(&before, &spec.after, &restored, spec.mend);
        Ok(Task {
            id: id.to_owned(),
            plan,
            dry_run: r.bool("dry_run")?,
            started_by: r.text("started_by")?,
            created_at: r.int("created_at")?,
            report: decode(r.json("report")?)?,
            position: r.text("position")?,
            spec,
        })
    }

    /// Looks at all records; false when it was cancelled.
    async fn examine_all(&self, task: &mut Task) -> Result<bool, CmdbError> {
        if !task.plan.looks() {
            task.report.checked = task.report.records;
            return Ok(true);
        }
        let mut keys = Keys::default();
        if !task.plan.unique.is_empty() && !task.position.is_empty() {
            // What was compared is not known any more.
            task.position.clear();
            task.report = Report { records: task.report.records, ..Report::default() };
        }
        let name = collection(&task.plan.before.name);
        loop {
            let mut tx = self.db.begin_read().await?;
            let batch = self.docs.walk_in(&mut tx, &name, Some(&task.position), BATCH).await?;
            tx.rollback().await?;
            let Some(last) = batch.last() else { return Ok(true) };
            task.position.clone_from(&last.id);
            let outcomes = self.outcomes(task, &batch, &mut keys).await?;
            let mut ready = Vec::new();
            for (d, o, r) in &outcomes {
                task.report.take(&task.plan, d, o);
                ready.extend(r.clone());
            }
            let mut tx = self.db.begin().await?;
            if !task.dry_run && task.report.broken == 0 {
                self.docs.make_ready(&mut tx, &task.id, &ready).await?;
                self.keep_removed(&mut tx, &task.id, &outcomes).await?;
            }
            let sql = "UPDATE cmdb_model_changes SET position = ?, report = ?, updated_at = ? WHERE id = ? AND state = 'running'";
            let n = tx.execute(sql, params![&task.position, json!(task.report), now_ms(), &task.id]).await?;
            if n == 0 {
                tx.rollback().await?;
                return Ok(false);
            }
            tx.commit().await?;
        }
    }

    /// What becomes of each of a batch, and how it is written when it changes.
    async fn outcomes(
        &self,
        task: &Task,
        batch: &[Document],
        keys: &mut Keys,
    ) -> Result<Vec<(Document, Outcome, Option<Rewritten>)>, CmdbError> {
        let kept = self.kept_values(task, batch).await?;
        let none = BTreeMap::new();
        let next = task.plan.after.spec();
        let mut out = Vec::with_capacity(batch.len());
        for d in batch {
            out.push((d.clone(), task.plan.examine(d, kept.get(&d.id).unwrap_or(&none)), None));
        }
        self.look_up(task, &mut out).await?;
        for (d, o, r) in &mut out {
            let data = o.data.as_ref().unwrap_or(&d.data);
            for (i, set) in task.plan.unique.iter().enumerate() {
                if let Some(other) = keys.twin(i, set, data, &d.id)? {
                    let name = set.join("+");
                    let value = Json::Array(set.iter().map(|k| data.get(k).cloned().unwrap_or_default()).collect());
                    let message = format!("{other} has the same {}", set.join(" and "));
                    o.problems.push(Problem { attribute: name, rule: "unique", message, mend: None, value });
                }
            }
            match Rewritten::of(&next, d, data.clone()) {
                Ok(made) => *r = o.data.is_some().then_some(made),
                Err(DocumentError::Invalid { pointer, message }) => {
                    let name = pointer.split('/').nth(1).unwrap_or_default();
                    // What is wrong with it has been said.
                    if !o.problems.iter().any(|p| p.attribute == name) {
                        let value = data.get(name).cloned().unwrap_or_default();
                        o.problems.push(Problem { attribute: name.to_owned(), rule: "size", message, mend: None, value });
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(out)
    }

    /// Whether the records are there that values name which became references.
    async fn look_up(&self, task: &Task, out: &mut [(Document, Outcome, Option<Rewritten>)]) -> Result<(), CmdbError> {
        let ids_of = |v: &Json| -> Vec<String> {
            match v {
                Json::Array(l) => l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
                v => v.as_str().map(str::to_owned).into_iter().collect(),
            }
        };
        for a in task.plan.references() {
            let target = collection(a.target.as_deref().unwrap_or_default());
            let value = |d: &Document, o: &Outcome| o.data.as_ref().unwrap_or(&d.data).get(&a.name).cloned();
            let wanted: BTreeSet<String> = out.iter().filter_map(|(d, o, _)| value(d, o)).flat_map(|v| ids_of(&v)).collect();
            let mut there = BTreeSet::new();
            for some in wanted.into_iter().collect::<Vec<_>>().chunks(500) {
                there.extend(self.docs.get_many(&target, some).await?.into_iter().map(|d| d.id));
            }
            for (d, o, _) in out.iter_mut() {
                let Some(v) = value(d, o).filter(|_| !o.problems.iter().any(|p| p.attribute == a.name)) else { continue };
                let Some(lost) = ids_of(&v).into_iter().find(|id| !there.contains(id)) else { continue };
                let mend = (!a.required).then_some("clear");
                if task.plan.mend && mend.is_some() {
                    let mut data = o.data.clone().unwrap_or_else(|| d.data.clone());
                    data.as_object_mut().map(|m| m.remove(&a.name));
                    o.data = Some(data);
                }
                let message = format!("there is no {} {lost}", a.target.as_deref().unwrap_or_default());
                o.problems.push(Problem { attribute: a.name.clone(), rule: "reference", message, mend, value: v });
            }
        }
        Ok(())
    }

    /// Values of attributes that come back, by record.
    async fn kept_values(&self, task: &Task, batch: &[Document]) -> Result<HashMap<String, BTreeMap<String, Json>>, CmdbError> {
        let mut out: HashMap<String, BTreeMap<String, Json>> = HashMap::new();
        for (a, change) in &task.spec.restore {
            let marks = vec!["?"; batch.len()].join(", ");
            let mut values: Vec<Value> = vec![Value::from(change), Value::from(&a.name)];
            values.extend(batch.iter().map(|d| Value::from(&d.id)));
            let sql =
                format!("SELECT record, value FROM cmdb_removed_values WHERE change_id = ? AND attribute = ? AND record IN ({marks})");
            for r in self.db.fetch_all(&sql, &values).await? {
                out.entry(r.text("record")?).or_default().insert(a.name.clone(), r.json("value")?);
            }
        }
        Ok(out)
    }

    async fn keep_removed(&self, tx: &mut Tx, change: &str, outcomes: &[(Document, Outcome, Option<Rewritten>)]) -> Result<(), CmdbError> {
        let rows: Vec<[Value; 4]> = outcomes
            .iter()
            .flat_map(|(d, o, _)| o.removed.iter().map(|(n, v)| [Value::from(change), Value::from(n), Value::from(&d.id), Value::json(v)]))
            .collect();
        for some in rows.chunks(1000) {
            let marks = vec!["(?, ?, ?, ?)"; some.len()].join(", ");
            let sql = format!(
                "INSERT INTO cmdb_removed_values (change_id, attribute, record, value) VALUES {marks}
                 ON CONFLICT (change_id, attribute, record) DO UPDATE SET value = excluded.value"
            );
            tx.execute(&sql, &some.concat()).await?;
        }
        Ok(())
    }

    /// Makes the indexes that could not be made with the change itself.
    async fn make_indexes(&self, task: &Task) -> Result<(), CmdbError> {
        let mut tries = 0;
        loop {
            let mut tx = self.db.begin().await?;
            // By the model as it is now: it may have been changed again.
            let now = self.stored_alone(&mut tx, &task.plan.before.name).await?.model;
            let e = match self.docs.define_checked(&mut tx, &now.spec()).await {
                Ok(()) => {
                    let sql =
                        format!("UPDATE cmdb_model_changes SET state = 'done', finished_at = ?, updated_at = ? WHERE id = ? AND {OPEN}");
                    tx.execute(&sql, params![now_ms(), now_ms(), &task.id]).await?;
                    tx.commit().await?;
                    return Ok(());
                }
                Err(e) => e,
            };
            tx.rollback().await?;
            if let DocumentError::Duplicate { .. } = e {
                let error = format!(
                    "the model is changed, but without its unique key, since in the last moment {e}; change one and save the model again"
                );
                let sql = format!(
                    "UPDATE cmdb_model_changes SET state = 'failed', error = ?, finished_at = ?, updated_at = ? WHERE id = ? AND {OPEN}"
                );
                self.db.execute(&sql, params![error, now_ms(), now_ms(), &task.id]).await?;
                return Ok(());
            }
            tries += 1;
            if tries == TRIES {
                // It is taken up again later.
                tracing::warn!(model = %now.name, error = %e, "indexes of a changed model cannot be made yet");
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Everything at once: the records as they were made ready, those that changed since, and the model. Answers whether indexes are still to
    /// be made.
    async fn take_effect(&self, task: &mut Task) -> Result<bool, CmdbError> {
        let (before, after) = (task.plan.before.clone(), task.plan.after.clone());
        let name = collection(&before.name);
        let mut late = Vec::new();
        let mut tx = self.db.begin().await?;
        let stored = self.stored_alone(&mut tx, &before.name).await?;
        if stored.version != task.spec.version {
            let what = format!("model {}", before.name);
            return Err(StoreError::Conflict { what, expected: task.spec.version, found: stored.version }.into());
        }
        // Who had the model before the lock was taken has ended; nobody writes from here on.
        if task.plan.looks() {
            let mut position = String::new();
            loop {
                let batch = self.docs.written_since_in(&mut tx, &name, &task.id, task.created_at - CLOCKS_MS, &position, BATCH).await?;
                let Some(last) = batch.last() else { break };
                position.clone_from(&last.id);
                late.extend(batch);
            }
        }
        // Two with one value are found by the index below.
        for batch in late.chunks(BATCH as usize) {
            let kept = self.kept_values_in(&mut tx, task, batch).await?;
            let mut outcomes = Vec::with_capacity(batch.len());
            let mut report = Report::default();
            for d in batch {
                let o = task.plan.examine(d, kept.get(&d.id).unwrap_or(&BTreeMap::new()));
                report.take(&task.plan, d, &o);
                self.docs.drop_ready_of(&mut tx, &task.id, &d.id).await?;
                let r = match &o.data {
                    Some(data) => Some(Rewritten::of(&after.spec(), d, data.clone())?),
                    None => None,
                };
                outcomes.push((d.clone(), o, r));
            }
            if report.broken > 0 {
                return Err(CmdbError::InUse(format!("while it was being checked, records changed: {}", report.in_words())));
            }
            let ready: Vec<Rewritten> = outcomes.iter().filter_map(|(_, _, r)| r.clone()).collect();
            self.docs.make_ready(&mut tx, &task.id, &ready).await?;
            self.keep_removed(&mut tx, &task.id, &outcomes).await?;
        }
        let why = format!("model change {}", task.id);
        let by = By { actor: &task.started_by, why: Some(&why) };
        let n = self.docs.take_over(&mut tx, &name, &task.id, &after.spec(), by).await?;
        task.report.rewritten = i64::try_from(n).unwrap_or(i64::MAX);
        let first = self.docs.before_indexes(&before.spec(), &after.spec());
        crate::write_spec(&mut tx, &after, stored.version + 1, stored.builtin).await?;
        // All records may have been written anew.
        self.index_all_again_in(&mut tx, &after.name).await?;
        self.docs.define_checked(&mut tx, first.as_ref().unwrap_or(&after.spec())).await?;
        self.note_removed(&mut tx, task).await?;
        let target = format!("model/{}", after.name);
        let who = Principal::System("model change");
        self.access.audit(&mut tx, &who, "cmdb.model.update", &target, Some(&json!(before)), Some(&json!(after))).await?;
        let data = json!({"model": after.name, "change": task.id, "rewritten": n, "by": task.started_by});
        let event = NewEvent { kind: "plenum.cmdb.model.updated".into(), source: "/cmdb".into(), subject: target, data };
        emit(&mut tx, event).await?;
        let (state, position, finished) = match first {
            Some(_) => ("running", INDEXING, None),
            None => ("done", "", Some(now_ms())),
        };
        let sql = format!(
            "UPDATE cmdb_model_changes SET state = ?, position = ?, report = ?, finished_at = ?, updated_at = ? WHERE id = ? AND {OPEN}"
        );
        if tx.execute(&sql, params![state, position, json!(task.report), finished, now_ms(), &task.id]).await? == 0 {
            // Cancelled in the last moment.
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        Ok(first.is_some())
    }

    async fn kept_values_in(
        &self,
        tx: &mut Tx,
        task: &Task,
        batch: &[Document],
    ) -> Result<HashMap<String, BTreeMap<String, Json>>, CmdbError> {
        let mut out: HashMap<String, BTreeMap<String, Json>> = HashMap::new();
        for (a, change) in &task.spec.restore {
            for d in batch {
                let sql = "SELECT value FROM cmdb_removed_values WHERE change_id = ? AND attribute = ? AND record = ?";
                if let Some(r) = tx.fetch_optional(sql, params![change, &a.name, &d.id]).await? {
                    out.entry(d.id.clone()).or_default().insert(a.name.clone(), r.json("value")?);
                }
            }
        }
        Ok(out)
    }

    /// What went can come back, and what came back did not go.
    async fn note_removed(&self, tx: &mut Tx, task: &Task) -> Result<(), CmdbError> {
        let model = &task.plan.after.name;
        let back = task.spec.restore.iter().map(|(a, _)| a.name.as_str());
        for name in back.chain(task.plan.removed.iter().map(|a| a.name.as_str())) {
            let sql = "DELETE FROM cmdb_removed_values WHERE attribute = ? AND change_id = \
                       (SELECT change_id FROM cmdb_removed_attributes WHERE model = ? AND attribute = ?)";
            tx.execute(sql, params![name, model, name]).await?;
            tx.execute("DELETE FROM cmdb_removed_attributes WHERE model = ? AND attribute = ?", params![model, name]).await?;
        }
        for a in &task.plan.removed {
            tx.execute(
                "INSERT INTO cmdb_removed_attributes (model, attribute, spec, removed_by, removed_at, change_id) VALUES (?, ?, ?, ?, ?, ?)",
                params![model, &a.name, json!(a), &task.started_by, now_ms(), &task.id],
            )
            .await?;
        }
        Ok(())
    }
}
