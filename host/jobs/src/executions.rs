//! What callers do with executions.

use plenum_access::{Permission, Principal};
use plenum_store::events::{NewEvent, emit};
use plenum_store::{Value, new_id, now_ms, params};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::active::{Active, ActiveTarget, Stage};
use crate::model::*;
use crate::safety::{self, Approval, Asked, Level, MOST_WAITING};
use crate::sql::sealed;
use crate::writer::{APPROVAL, Cmd, FORCED, OFFLINE, blank};
use crate::{Inner, Jobs, JobsError, plan, sql};

impl Inner {
    /// What a plugin may see: its own executions, unless its grant names all of them (`jobs.read` with `executions = ["all"]`).
    pub(crate) fn own_only(who: &Principal) -> Option<String> {
        let p = who.plugin()?;
        let scope = p.grant.permissions.get(Permission::JobsRead.name());
        let all = scope.and_then(|s| s.0.get("executions")).is_some_and(|l| l.iter().any(|v| v == "all" || v == "*"));
        (!all).then(|| p.id.clone())
    }

    /// One execution, if `who` may see it. One of somebody else is, to a plugin, not there.
    pub(crate) async fn visible(&self, who: &Principal, id: &str) -> Result<Execution, JobsError> {
        // The scope names which executions, not which models, so it is looked at here and not by the check.
        self.access.require(who, Permission::JobsRead, &[]).await?;
        let missing = || JobsError::NotFound { what: "execution", id: id.to_owned() };
        let e = sql::find_execution(&self.db, id).await?.ok_or_else(missing)?;
        match Inner::own_only(who) {
            Some(plugin) if e.plugin.as_deref() != Some(&plugin) => Err(missing()),
            _ => Ok(e),
        }
    }
}

fn digest(request: &RunRequest) -> Result<String, JobsError> {
    let text = serde_json::to_vec(request).map_err(|e| JobsError::invalid("jobs.bad_request", "", e.to_string()))?;
    Ok(hex::encode(Sha256::digest(text)))
}

impl Jobs {
    /// Starts a script. Accepted means written: from then on it is finished or reported, whatever dies. With a `key`, once.
    pub async fn run(&self, who: &Principal, request: RunRequest) -> Result<Execution, JobsError> {
        let inner = &self.inner;
        inner.require_run(who, &request).await?;
        let limits = plan::limits(&request)?;
        let plugin = who.plugin().map(|p| p.id.clone());
        // Keys of one plugin say nothing to another, nor to people.
        let key_owner = plugin.as_ref().map_or_else(String::new, |p| format!("plugin/{p}"));
        let digest = digest(&request)?;
        if let Some(e) = self.by_key(&key_owner, &request, &digest).await? {
            return Ok(e);
        }
        let active = inner.hub.active_count();
        if active >= inner.config.max_active {
            return Err(JobsError::Busy(active));
        }
        let resolved = inner.resolve(who, &request.targets).await?;
        if let Some(first) = resolved.unmatched.first().filter(|_| !request.targets.skip_unmatched) {
            let message = format!(
                "{} of the names and addresses lead to no node, {:?} first: {}; take them out, or ask to skip them",
                resolved.unmatched.len(),
                first.text,
                first.reason
            );
            return Err(JobsError::invalid("jobs.unmatched_targets", "/targets/addresses", message));
        }
        let chain = match &request.retry_of {
            None => None,
            Some(old) => {
                inner.visible(who, old).await?;
                let row =
                    inner.db.fetch_optional("SELECT COALESCE(chain, id) AS root FROM job_executions WHERE id = ?", params![old]).await?;
                row.map(|r| r.text("root")).transpose()?
            }
        };
        if resolved.targets.is_empty() {
            let why = match resolved.unreachable.first() {
                Some(u) => format!(
                    "{} instances match, and none can be reached: {} {}: {}",
                    resolved.unreachable.len(),
                    u.instance.model,
                    u.label,
                    u.reason
                ),
                None => "nothing matches; widen the filter, or name instances or nodes".to_owned(),
            };
            return Err(JobsError::NoTargets(why));
        }
        inner.require_hosts(who, &resolved.targets).await?;
        let verdict = inner.verdict(who, Asked::of(&request, &resolved.targets), Some(&resolved.targets)).await?;
        inner.require_allowed(who, &request.name, &verdict).await?;
        let to_approve = verdict.level == Some(Level::Approve);
        if to_approve {
            let sql = "SELECT COUNT(*) AS n FROM job_executions WHERE status = 'waiting_approval'";
            let waiting = inner.db.fetch_optional(sql, &[]).await?.map(|r| r.int("n")).transpose()?.unwrap_or(0);
            if u64::try_from(waiting).unwrap_or(0) >= MOST_WAITING {
                return Err(JobsError::Busy(usize::try_from(waiting).unwrap_or(usize::MAX)));
            }
        }
        let findings = serde_json::to_string(&verdict.findings).unwrap_or_else(|_| "[]".to_owned());
        let (id, now) = (new_id(), now_ms());
        let name = if request.name.trim().is_empty() { "Script".to_owned() } else { request.name.trim().to_owned() };
        let actor = who.actor();
        let actor_json = serde_json::to_value(&actor).unwrap_or_default();
        let env = sealed(&inner.config.secrets, &id, "", &request.env)?;
        let total = resolved.targets.len();
        let sizes = plan::strategy::batches(&request.strategy.batches, total)?;
        let strategy = if request.strategy.is_plain() { json!({}) } else { json!(request.strategy) };
        let mut tx = inner.db.begin().await?;
        let inserted = tx
            .execute(
                "INSERT INTO job_executions (id, name, language, script, args, env, os_user, cwd, timeout_s, wait_s, output_limit, concurrency, total,
                 key_owner, idem_key, request_digest, created_by, actor, plugin, origin, created_at, strategy, batches, batch_since, retry_of, chain, findings, status)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key_owner, idem_key) DO NOTHING",
                params![
                    &id,
                    &name,
                    request.script.language.as_str(),
                    &request.script.content,
                    json!(request.args),
                    env.clone(),
                    request.user.clone().filter(|u| !u.is_empty()),
                    request.cwd.clone().filter(|c| !c.is_empty()),
                    limits.timeout_s,
                    limits.wait_s,
                    i64::try_from(limits.output_limit).unwrap_or(i64::MAX),
                    limits.concurrency,
                    i64::try_from(total).unwrap_or(i64::MAX),
                    &key_owner,
                    request.key.clone(),
                    &digest,
                    actor.to_string(),
                    actor_json,
                    plugin.clone(),
                    request.origin.clone(),
                    now,
                    strategy,
                    i64::try_from(sizes.len()).unwrap_or(i64::MAX),
                    now,
                    request.retry_of.clone(),
                    chain,
                    findings,
                    if to_approve { ExecutionStatus::WaitingApproval } else { ExecutionStatus::Running }.as_str()
                ],
            )
            .await?;
        if inserted == 0 {
            // Somebody was faster with the same key.
            tx.rollback().await?;
            return self.by_key(&key_owner, &request, &digest).await?.ok_or(JobsError::ShuttingDown);
        }
        let connected = inner.hub.connected();
        let mut rows: Vec<[Value; 11]> = Vec::with_capacity(total);
        let mut targets = Vec::with_capacity(total);
        let numbers = sizes.iter().zip(1_u32..).flat_map(|(size, batch)| std::iter::repeat_n(batch, *size));
        for ((ordinal, t), batch) in resolved.targets.into_iter().enumerate().zip(numbers) {
            let waits = !to_approve && batch == 1 && !connected.contains(&t.node_id);
            let waiting_for = if to_approve { Some(APPROVAL) } else { waits.then_some(OFFLINE) };
            let own = sealed(&inner.config.secrets, &id, &t.node_id, &t.env)?;
            let rev = inner.revs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            rows.push([
                Value::from(&id),
                Value::from(&t.node_id),
                i64::try_from(ordinal).unwrap_or(i64::MAX).into(),
                Value::from(&t.node_name),
                json!(t.instances).into(),
                own.into(),
                if waits { "waiting" } else { "pending" }.into(),
                waiting_for.into(),
                waiting_for.map(|_| now).into(),
                rev.into(),
                batch.into(),
            ]);
            targets.push((t.node_id, ActiveTarget { stage: Stage::Queued, env: t.env, batch }));
        }
        // Many rows with each statement: fifty thousand targets are written in a second or two, not in a minute.
        for piece in rows.chunks(500) {
            let marks = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, ?, ?)"; piece.len()].join(", ");
            let sql = format!(
                "INSERT INTO job_targets (execution_id, node_id, ordinal, node_name, instances, env, status, waiting_for, waiting_since, stdout_bytes, stderr_bytes,
                 stored_stdout, stored_stderr, truncated_bytes, last_seq, rev, batch) VALUES {marks}"
            );
            tx.execute(&sql, &piece.concat()).await?;
        }
        let after = json!({"name": name, "language": request.script.language, "script_sha256": hex::encode(Sha256::digest(&request.script.content)),
            "args": request.args.len(), "env": blank(&env), "user": request.user, "targets": total, "origin": request.origin,
            "findings": verdict.findings.iter().map(|f| json!({"rule": f.rule, "level": f.level, "line": f.line})).collect::<Vec<_>>(), "waits_for_approval": to_approve});
        inner.access.audit(&mut tx, who, "jobs.execution.run", &format!("execution/{id}"), None, Some(&after)).await?;
        let data = json!({"execution_id": id, "name": name, "total": total, "origin": request.origin, "plugin": plugin});
        let kind = if to_approve { "plenum.job.execution.approval_requested" } else { "plenum.job.execution.started" };
        emit(&mut tx, NewEvent { kind: kind.into(), source: "/jobs".into(), subject: format!("execution/{id}"), data }).await?;
        if to_approve {
            let until = now + i64::try_from(inner.config.approval.as_millis()).unwrap_or(i64::MAX);
            let approval = Approval {
                digest: safety::digest(&mut tx, &id).await?,
                since: now,
                until,
                approver: verdict.approver.unwrap_or(plenum_access::Role::Operator),
                asker: safety::person(&actor),
                decision: None,
                decided_by: None,
                decided_at: None,
                note: None,
            };
            let text = serde_json::to_string(&approval).map_err(|e| JobsError::Server(e.to_string()))?;
            tx.execute("UPDATE job_executions SET approval = ?, approval_until = ? WHERE id = ?", params![text, until, &id]).await?;
            tx.commit().await?;
            inner.next_expiry().await?;
            return self.find(&id).await;
        }
        let row = tx.fetch_optional(&format!("SELECT {} FROM job_executions WHERE id = ?", sql::EXECUTION), params![&id]).await?;
        let row = row.ok_or(JobsError::ShuttingDown)?;
        let (spec, at) = (sql::spec(&row, &inner.config.secrets)?, sql::position(&row, 0)?);
        // After the commit and before anything else of this task: a caller that goes away must not leave an accepted execution unknown to the hub.
        let (hub, decisions) = (inner.hub.clone(), inner.decisions.clone());
        tx.after_commit(move || {
            for c in hub.register(Active::new(spec, targets, at, now)).into_cmds() {
                let _ = decisions.send(c);
            }
        });
        tx.commit().await?;
        self.find(&id).await
    }

    async fn by_key(&self, owner: &str, request: &RunRequest, digest: &str) -> Result<Option<Execution>, JobsError> {
        let Some(key) = &request.key else { return Ok(None) };
        let sql = "SELECT id, request_digest FROM job_executions WHERE key_owner = ? AND idem_key = ?";
        let Some(row) = self.inner.db.fetch_optional(sql, params![owner, key]).await? else { return Ok(None) };
        let id = row.text("id")?;
        if row.text("request_digest")? != digest {
            return Err(JobsError::KeyConflict { key: key.clone(), execution: id });
        }
        self.find(&id).await.map(Some)
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Execution, JobsError> {
        sql::find_execution(&self.inner.db, id).await?.ok_or_else(|| JobsError::NotFound { what: "execution", id: id.to_owned() })
    }

    /// Executions, newest first.
    pub async fn executions(&self, who: &Principal, q: &ExecutionQuery) -> Result<Page<Execution>, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsRead, &[]).await?;
        let (mut sql, mut values) = (String::from(" WHERE 1 = 1"), Vec::<Value>::new());
        let mut and = |text: &str, v: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(text);
            values.extend(v);
        };
        if let Some(plugin) = Inner::own_only(who) {
            and("plugin = ?", vec![plugin.into()]);
        }
        if let Some(s) = q.status {
            and("status = ?", vec![s.as_str().into()]);
        }
        if let Some(o) = &q.origin {
            and("origin = ?", vec![o.into()]);
        }
        if let Some(n) = &q.node_id {
            and("id IN (SELECT execution_id FROM job_targets WHERE node_id = ?)", vec![n.into()]);
        }
        if let Some(s) = q.search.as_deref().filter(|s| !s.trim().is_empty()) {
            let p = sql::like(s.trim());
            let text =
                "(LOWER(name) LIKE ? ESCAPE '!' OR LOWER(created_by) LIKE ? ESCAPE '!' OR LOWER(COALESCE(origin, '')) LIKE ? ESCAPE '!')";
            and(text, vec![p.clone().into(), p.clone().into(), p.into()]);
        }
        let count = inner.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM job_executions{sql}"), &values).await?;
        let total = count.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        if let Some(c) = &q.cursor {
            // Ids sort by time, so the last one of a page is its cursor.
            sql.push_str(" AND id < ?");
            values.push(c.into());
        }
        let limit = if q.limit == 0 { 50 } else { q.limit.min(500) };
        values.push((limit + 1).into());
        let rows =
            inner.db.fetch_all(&format!("SELECT {} FROM job_executions{sql} ORDER BY id DESC LIMIT ?", sql::EXECUTION), &values).await?;
        let mut items = rows.iter().map(sql::execution).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        sql::summaries(&inner.db, &mut items).await?;
        let next_cursor = items.last().filter(|_| more).map(|e| e.id.clone());
        Ok(Page { items, next_cursor, total: u64::try_from(total).unwrap_or(0) })
    }

    /// How many executions run, and how those of the last `within` ended. Counts by index; a plugin is not told.
    pub async fn execution_counts(&self, who: &Principal, within: std::time::Duration) -> Result<Vec<(ExecutionStatus, u64)>, JobsError> {
        self.inner.access.require(who, Permission::JobsRead, &[]).await?;
        if Inner::own_only(who).is_some() {
            return Ok(Vec::new());
        }
        let since = now_ms() - i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let sql = "SELECT status, COUNT(*) AS n FROM job_executions WHERE status IN ('running', 'waiting_approval') GROUP BY status
                   UNION ALL SELECT status, COUNT(*) AS n FROM job_executions WHERE finished_at >= ? GROUP BY status";
        let rows = self.inner.db.fetch_all(sql, params![since]).await?;
        let counts = rows.iter().map(|r| Ok((r.text("status")?, r.int("n")?))).collect::<Result<Vec<_>, plenum_store::StoreError>>()?;
        Ok(counts.into_iter().filter_map(|(s, n)| Some((ExecutionStatus::parse(&s)?, u64::try_from(n).unwrap_or(0)))).collect())
    }

    /// One execution.
    pub async fn execution(&self, who: &Principal, id: &str) -> Result<Execution, JobsError> {
        self.inner.visible(who, id).await
    }

    /// What came of its targets, in their order.
    pub async fn results(&self, who: &Principal, id: &str, q: &ResultQuery) -> Result<Page<TargetResult>, JobsError> {
        let inner = &self.inner;
        let at = inner.visible(who, id).await?.progress;
        let (conditions, more) = q.conditions();
        let mut sql = format!(" WHERE execution_id = ?{conditions}");
        let mut values = vec![Value::from(id)];
        values.extend(more);
        let count = inner.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM job_targets{sql}"), &values).await?;
        let total = count.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        if let Some(c) = &q.cursor {
            let after: i64 =
                c.parse().map_err(|_| JobsError::invalid("jobs.bad_cursor", "cursor", "not a cursor of this list; start without one"))?;
            sql.push_str(" AND ordinal > ?");
            values.push(after.into());
        }
        let limit = if q.limit == 0 { 100 } else { q.limit.min(1000) };
        values.push((limit + 1).into());
        let rows = inner.db.fetch_all(&format!("SELECT {} FROM job_targets{sql} ORDER BY ordinal LIMIT ?", sql::TARGET), &values).await?;
        let more = rows.len() > limit as usize;
        let (mut items, mut last) = (Vec::new(), None);
        for r in rows.iter().take(limit as usize) {
            let mut t = sql::target(r, &at)?;
            if q.head_bytes > 0 {
                sql::heads(&inner.db, id, &mut t, q.head_bytes.min(1024 * 1024)).await?;
            }
            last = Some(r.int("ordinal")?.to_string());
            items.push(t);
        }
        Ok(Page { items, next_cursor: last.filter(|_| more), total: u64::try_from(total).unwrap_or(0) })
    }

    /// A piece of a target's output, at most 1 MiB.
    pub async fn output(
        &self,
        who: &Principal,
        id: &str,
        node: &str,
        stream: OutputStream,
        offset: u64,
        limit: u32,
    ) -> Result<OutputPage, JobsError> {
        let inner = &self.inner;
        let at = inner.visible(who, id).await?.progress;
        // Status before the bytes: what is final then has no more bytes than are read after.
        let row = inner
            .db
            .fetch_optional(&format!("SELECT {} FROM job_targets WHERE execution_id = ? AND node_id = ?", sql::TARGET), params![id, node])
            .await?;
        let row = row.ok_or_else(|| JobsError::NotFound { what: "target", id: node.to_owned() })?;
        let t = sql::target(&row, &at)?;
        let stored = row.int(if stream == OutputStream::Stdout { "stored_stdout" } else { "stored_stderr" })?;
        let limit = if limit == 0 { 64 * 1024 } else { limit.min(1024 * 1024) };
        let data = sql::read_output(&inner.db, id, node, stream, offset, limit.into()).await?;
        let next_offset = offset + data.len() as u64;
        let end = t.status.is_final() && next_offset >= u64::try_from(stored).unwrap_or(0);
        Ok(OutputPage { offset, data, next_offset, end, truncated_bytes: t.truncated_bytes })
    }

    /// Cancels what has not ended. Targets that no agent has end at once; of the others the agent kills the whole process tree, now or when it
    /// is back.
    pub async fn cancel(&self, who: &Principal, id: &str) -> Result<Execution, JobsError> {
        self.end(who, id, false).await
    }

    /// Cancels without waiting for agents: what they have counts as lost, and those that are away are told to end it when they are back.
    pub async fn force_cancel(&self, who: &Principal, id: &str) -> Result<Execution, JobsError> {
        self.end(who, id, true).await
    }

    async fn end(&self, who: &Principal, id: &str, force: bool) -> Result<Execution, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::JobsRun, &[]).await?;
        let e = inner.visible(who, id).await?;
        if e.status.is_final() {
            return Err(JobsError::AlreadyFinished(id.to_owned()));
        }
        if e.status == ExecutionStatus::WaitingApproval {
            let mut tx = inner.db.begin().await?;
            let by = who.actor().to_string();
            let sql = "UPDATE job_executions SET cancelled_by = ?, approval_until = NULL WHERE id = ? AND status = 'waiting_approval' AND approval_until IS NOT NULL";
            if tx.execute(sql, params![&by, id]).await? == 0 {
                return Err(JobsError::NotWaiting(id.to_owned()));
            }
            inner.end_unbegun(&mut tx, &e, "jobs.cancelled", "cancelled before it started").await?;
            inner
                .access
                .audit(&mut tx, who, "jobs.execution.cancel", &format!("execution/{id}"), None, Some(&json!({"cancelled_by": by})))
                .await?;
            tx.commit().await?;
            return self.find(id).await;
        }
        if e.cancelled_by.is_none() || force {
            let mut tx = inner.db.begin().await?;
            let by = who.actor().to_string();
            tx.execute("UPDATE job_executions SET cancelled_by = ? WHERE id = ? AND cancelled_by IS NULL", params![&by, id]).await?;
            let what = if force { "jobs.execution.force_cancel" } else { "jobs.execution.cancel" };
            inner.access.audit(&mut tx, who, what, &format!("execution/{id}"), None, Some(&json!({"cancelled_by": by}))).await?;
            let data =
                json!({"execution_id": id, "name": e.name, "origin": e.origin, "plugin": e.plugin, "cancelled_by": by, "force": force});
            let subject = format!("execution/{id}");
            emit(&mut tx, NewEvent { kind: "plenum.job.execution.cancelling".into(), source: "/jobs".into(), subject, data }).await?;
            tx.commit().await?;
        }
        let nodes = inner.hub.cancel(id);
        inner.decide([Cmd::Close {
            execution: id.to_owned(),
            nodes,
            status: TargetStatus::Cancelled,
            code: "jobs.cancelled",
            message: "cancelled before it started".to_owned(),
        }]);
        if force {
            inner.decide([Cmd::Close {
                execution: id.to_owned(),
                nodes: inner.hub.in_hand(id),
                status: TargetStatus::Lost,
                code: FORCED,
                message: "given up without waiting for its agent; the agent is told to end it, and its word still counts when it comes"
                    .to_owned(),
            }]);
        }
        self.find(id).await
    }

    /// Waits until an execution has ended. For the platform's own parts, which have checked who asks.
    pub async fn wait(&self, id: &str) -> Result<Execution, JobsError> {
        let mut registrations = self.inner.hub.registrations();
        loop {
            registrations.mark_unchanged();
            let watch = self.inner.hub.watch(id);
            let e = self.find(id).await?;
            if e.status.is_final() {
                return Ok(e);
            }
            match watch {
                Some((_, done)) => done.cancelled().await,
                // Written and not yet registered, by the task that writes it: that is next.
                None => {
                    let _ = registrations.changed().await;
                }
            }
        }
    }
}
