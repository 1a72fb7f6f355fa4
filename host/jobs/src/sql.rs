//! Queries of the domain, for both databases.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use plenum_store::secrets::{Secrets, SecretsError, is_sealed};
use plenum_store::{Db, Row, StoreError, Tx, Value, now_ms, params};

use serde_json::{Map, Value as Json};

use crate::active::{Active, ActiveTarget, Position, Spec, Stage};
use crate::model::*;

type Result<T> = std::result::Result<T, StoreError>;

fn word<T>(r: &Row, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    let text = r.text(column)?;
    parse(&text).ok_or_else(|| StoreError::Corrupt(format!("{column} {text}")))
}

fn decode<T: serde::de::DeserializeOwned>(r: &Row, column: &str) -> Result<T> {
    serde_json::from_value(r.json(column)?).map_err(|e| StoreError::Corrupt(format!("column {column}: {e}")))
}

fn u32_of(r: &Row, column: &str) -> Result<u32> {
    Ok(u32::try_from(r.int(column)?).unwrap_or(u32::MAX))
}

/// Names of an environment, whether its values are still there or not.
fn names(r: &Row, column: &str) -> Result<Vec<String>> {
    Ok(r.json(column)?.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default())
}

fn secret(e: SecretsError) -> StoreError {
    match e {
        SecretsError::Store(e) => e,
        e => StoreError::Corrupt(e.to_string()),
    }
}

/// What a value of an environment belongs to: an execution, or one of its targets.
fn context(execution: &str, node: &str, name: &str) -> String {
    format!("execution/{execution}/{node}/{name}")
}

/// An environment as it is stored: its values may be secrets, so they are sealed.
pub(crate) fn sealed(secrets: &Secrets, execution: &str, node: &str, env: &BTreeMap<String, String>) -> Result<Json> {
    let one = |(name, value): (&String, &String)| {
        Ok((name.clone(), secrets.seal_json(&context(execution, node, name), &Json::String(value.clone())).map_err(secret)?))
    };
    Ok(Json::Object(env.iter().map(one).collect::<Result<Map<_, _>>>()?))
}

/// An environment as it was given; values that were blanked are left out.
fn opened(secrets: &Secrets, execution: &str, node: &str, env: &Json) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for (name, value) in env.as_object().into_iter().flatten() {
        if let Json::String(text) = secrets.open_json(&context(execution, node, name), value).map_err(secret)? {
            out.insert(name.clone(), text);
        }
    }
    Ok(out)
}

/// Seals what is still wanted of environments and was stored plain, or sealed with an older key.
pub(crate) async fn seal_unfinished(db: &Db, secrets: &Secrets) -> Result<()> {
    let rows = db
        .fetch_all(
            "SELECT id AS execution, '' AS node, env FROM job_executions WHERE status IN ('running', 'waiting_approval') UNION ALL
             SELECT t.execution_id AS execution, t.node_id AS node, t.env FROM job_targets t JOIN job_executions e ON e.id = t.execution_id WHERE e.status IN ('running', 'waiting_approval')",
            &[],
        )
        .await?;
    for row in &rows {
        let (execution, node, env) = (row.text("execution")?, row.text("node")?, row.json("env")?);
        let one = |(name, value): (&String, &Json)| match value {
            Json::Null => Ok((name.clone(), Json::Null)),
            value => Ok((name.clone(), secrets.seal_json(&context(&execution, &node, name), value).map_err(secret)?)),
        };
        let anew = Json::Object(env.as_object().into_iter().flatten().map(one).collect::<Result<Map<_, _>>>()?);
        if anew == env || env.as_object().is_none() {
            continue;
        }
        if node.is_empty() {
            db.execute("UPDATE job_executions SET env = ? WHERE id = ?", params![anew, &execution]).await?;
        } else {
            db.execute("UPDATE job_targets SET env = ? WHERE execution_id = ? AND node_id = ?", params![anew, &execution, &node]).await?;
        }
    }
    Ok(())
}

/// For a host whose key is lost: the executions that are not finished and have a sealed environment are cancelled, since nobody can give
/// scripts what they need any more. Answers how many.
pub async fn forget_secret_environments(db: &Db) -> Result<usize> {
    let blank = |env: &Json| Json::Object(env.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), Json::Null)).collect());
    let holds = |env: &Json| env.as_object().is_some_and(|o| o.values().any(is_sealed));
    let mut tx = db.begin().await?;
    let mut ended = BTreeSet::new();
    for row in &tx.fetch_all("SELECT id, env FROM job_executions WHERE status IN ('running', 'waiting_approval')", &[]).await? {
        let (id, env) = (row.text("id")?, row.json("env")?);
        if holds(&env) {
            tx.execute("UPDATE job_executions SET env = ? WHERE id = ?", params![blank(&env), &id]).await?;
            ended.insert(id);
        }
    }
    let targets = "SELECT t.execution_id, t.node_id, t.env FROM job_targets t JOIN job_executions e ON e.id = t.execution_id WHERE e.status IN ('running', 'waiting_approval')";
    for row in &tx.fetch_all(targets, &[]).await? {
        let (id, node, env) = (row.text("execution_id")?, row.text("node_id")?, row.json("env")?);
        if holds(&env) {
            tx.execute("UPDATE job_targets SET env = ? WHERE execution_id = ? AND node_id = ?", params![blank(&env), &id, node]).await?;
            ended.insert(id);
        }
    }
    for id in &ended {
        let by = "the admin command that forgot secrets";
        tx.execute("UPDATE job_executions SET cancelled_by = ? WHERE id = ? AND cancelled_by IS NULL", params![by, id]).await?;
    }
    tx.commit().await?;
    Ok(ended.len())
}

pub(crate) const EXECUTION: &str =
    "id, name, status, language, script, args, env, os_user, cwd, timeout_s, wait_s, output_limit, concurrency, total, created_by,
    plugin, origin, cancelled_by, created_at, started_at, finished_at, request_digest, strategy, batches, batch, batch_since, resume_at,
    stopped_at, stop_code, stop_reason, retry_of, findings, approval, approved_at";

/// From when the time limit of the whole counts.
fn begun_at(r: &Row) -> Result<i64> {
    Ok(r.opt_int("approved_at")?.unwrap_or(r.int("created_at")?))
}

fn deadline(created_at: i64, strategy: &Strategy) -> Option<i64> {
    strategy.total_timeout_s.map(|s| created_at + i64::from(s) * 1000)
}

pub(crate) fn execution(r: &Row) -> Result<Execution> {
    let (created_at, finished_at) = (r.int("created_at")?, r.opt_int("finished_at")?);
    let strategy: Strategy = decode(r, "strategy")?;
    let (since, wait_s) = (r.opt_int("batch_since")?.unwrap_or(created_at), u32_of(r, "wait_s")?);
    let resume_at = r.opt_int("resume_at")?;
    let progress = Progress {
        batch: u32_of(r, "batch")?,
        batches: u32_of(r, "batches")?,
        since,
        resume_at,
        wait_until: resume_at.unwrap_or(since) + i64::from(wait_s) * 1000,
        deadline: deadline(begun_at(r)?, &strategy),
        stopped_at: r.opt_int("stopped_at")?,
        stop_code: r.opt_text("stop_code")?,
        stop_reason: r.opt_text("stop_reason")?,
    };
    Ok(Execution {
        id: r.text("id")?,
        name: r.text("name")?,
        status: word(r, "status", ExecutionStatus::parse)?,
        script: Script { language: word(r, "language", Language::parse)?, content: r.text("script")? },
        args: decode(r, "args")?,
        env: names(r, "env")?,
        user: r.opt_text("os_user")?,
        cwd: r.opt_text("cwd")?,
        timeout_s: u32_of(r, "timeout_s")?,
        wait_s,
        strategy,
        progress,
        concurrency: u32_of(r, "concurrency")?,
        output_limit: u64::try_from(r.int("output_limit")?).unwrap_or(0),
        created_by: r.text("created_by")?,
        plugin: r.opt_text("plugin")?,
        created_at,
        started_at: r.opt_int("started_at")?,
        finished_at,
        duration_ms: finished_at.map(|f| f - created_at),
        origin: r.opt_text("origin")?,
        cancelled_by: r.opt_text("cancelled_by")?,
        retry_of: r.opt_text("retry_of")?,
        summary: Summary::default(),
        findings: serde_json::from_str(&r.text("findings")?).map_err(|e| StoreError::Corrupt(format!("findings of an execution: {e}")))?,
        approval: crate::safety::stored_approval(r)?,
    })
}

/// Fills in the summaries of some executions, in one query.
pub(crate) async fn summaries(db: &Db, list: &mut [Execution]) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let marks = vec!["?"; list.len()].join(", ");
    let ids: Vec<Value> = list.iter().map(|e| Value::from(&e.id)).collect();
    let sql = format!(
        "SELECT execution_id, status, COUNT(*) AS n FROM job_targets WHERE execution_id IN ({marks}) GROUP BY execution_id, status"
    );
    let mut by_id: HashMap<String, Summary> = HashMap::new();
    for r in db.fetch_all(&sql, &ids).await? {
        by_id
            .entry(r.text("execution_id")?)
            .or_default()
            .add(word(&r, "status", TargetStatus::parse)?, u64::try_from(r.int("n")?).unwrap_or(0));
    }
    for e in list {
        e.summary = by_id.remove(&e.id).unwrap_or_default();
    }
    Ok(())
}

pub(crate) async fn find_execution(db: &Db, id: &str) -> Result<Option<Execution>> {
    let row = db.fetch_optional(&format!("SELECT {EXECUTION} FROM job_executions WHERE id = ?"), params![id]).await?;
    let Some(row) = row else { return Ok(None) };
    let mut list = [execution(&row)?];
    summaries(db, &mut list).await?;
    Ok(list.into_iter().next())
}

pub(crate) const TARGET: &str =
    "node_id, node_name, ordinal, instances, env, status, waiting_for, waiting_since, sent_at, accepted_at, started_at, finished_at,
    duration_ms, exit_code, signal, code, message, stdout_bytes, stderr_bytes, stored_stdout, stored_stderr, truncated_bytes, rev, batch, output_hash, result,
    result_error";

/// A target of the execution that stands at `at`.
pub(crate) fn target(r: &Row, at: &Progress) -> Result<TargetResult> {
    let status = word(r, "status", TargetStatus::parse)?;
    let mut waiting_for = r.opt_text("waiting_for")?;
    let (mut waiting_since, mut waiting_until) = (r.opt_int("waiting_since")?, None);
    let (batch, sent) = (u32_of(r, "batch")?, r.opt_int("sent_at")?.is_some());
    if matches!(status, TargetStatus::Pending | TargetStatus::Waiting) && !sent && (batch > at.batch || at.resume_at.is_some()) {
        let of = format!("its batch, {batch} of {}", at.batches);
        (waiting_for, waiting_since, waiting_until) = match at.resume_at {
            Some(_) if batch == at.batch => (Some(format!("{of}: the pause before it")), Some(at.since), at.resume_at),
            _ => (Some(format!("{of}: batch {} is under way", at.batch)), Some(at.since), None),
        };
    } else if status == TargetStatus::Waiting && !sent {
        waiting_until = Some(at.wait_until);
    } else if status == TargetStatus::Pending && waiting_for.is_none() {
        waiting_for = Some(match (sent, r.opt_int("accepted_at")?) {
            (false, _) => "its turn: the execution has reached the number of targets that it may run at once".to_owned(),
            (_, None) => "its agent to accept it".to_owned(),
            _ => "a free place on the node".to_owned(),
        });
    }
    Ok(TargetResult {
        node_id: r.text("node_id")?,
        node_name: r.text("node_name")?,
        instances: decode(r, "instances")?,
        status,
        waiting_for,
        waiting_since,
        waiting_until,
        batch,
        fault: crate::plan::fault::fault(status, r.opt_text("code")?.as_deref()),
        output_hash: r.opt_text("output_hash")?,
        exit_code: r.opt_int("exit_code")?,
        signal: r.opt_int("signal")?,
        code: r.opt_text("code")?,
        message: r.opt_text("message")?,
        started_at: r.opt_int("started_at")?,
        finished_at: r.opt_int("finished_at")?,
        duration_ms: r.opt_int("duration_ms")?,
        stdout: None,
        stderr: None,
        stdout_bytes: r.int("stdout_bytes")?.max(r.int("stored_stdout")?),
        stderr_bytes: r.int("stderr_bytes")?.max(r.int("stored_stderr")?),
        truncated_bytes: r.int("truncated_bytes")?,
        env: names(r, "env")?,
        // Kept as text, for PostgreSQL's JSON has no place for every text that JSON has.
        result: r.opt_text("result")?.and_then(|t| serde_json::from_str(&t).ok()),
        result_error: r.opt_text("result_error")?,
    })
}

/// The first bytes of both streams.
pub(crate) async fn heads(db: &Db, id: &str, t: &mut TargetResult, bytes: u32) -> Result<()> {
    for stream in [OutputStream::Stdout, OutputStream::Stderr] {
        let data = read_output(db, id, &t.node_id, stream, 0, u64::from(bytes)).await?;
        let text = crate::plan::lossy(data.get(..crate::plan::whole_chars(&data)).unwrap_or_default());
        match stream {
            OutputStream::Stdout => t.stdout = Some(text),
            OutputStream::Stderr => t.stderr = Some(text),
        }
    }
    Ok(())
}

/// Up to `limit` bytes of a stream from `offset`.
pub(crate) async fn read_output(db: &Db, id: &str, node: &str, stream: OutputStream, offset: u64, limit: u64) -> Result<Vec<u8>> {
    let from = i64::try_from(offset).unwrap_or(i64::MAX);
    let to = i64::try_from(offset.saturating_add(limit)).unwrap_or(i64::MAX);
    let rows = db
        .fetch_all(
            "SELECT start_at, data FROM job_output WHERE execution_id = ? AND node_id = ? AND stream = ? AND start_at < ? AND start_at + LENGTH(data) > ? ORDER BY seq",
            params![id, node, stream.as_str(), to, from],
        )
        .await?;
    let mut out = Vec::new();
    for r in rows {
        let (start, data) = (r.int("start_at")?, r.blob("data")?);
        let skip = usize::try_from(from - start).unwrap_or(0);
        let end = usize::try_from(to - start).unwrap_or(0).min(data.len());
        out.extend_from_slice(data.get(skip..end).unwrap_or_default());
    }
    Ok(out)
}

pub(crate) fn spec(r: &Row, secrets: &Secrets) -> Result<Spec> {
    let id = r.text("id")?;
    let strategy: Strategy = decode(r, "strategy")?;
    let total = usize::try_from(r.int("total")?).unwrap_or(0);
    // What was accepted was checked; a tolerance that is unreadable now bears nothing rather than everything.
    let tolerated = crate::plan::strategy::tolerated(strategy.tolerate.as_deref(), total).unwrap_or(Some(0));
    Ok(Spec {
        language: word(r, "language", Language::parse)?,
        script: Bytes::from(r.text("script")?),
        args: decode(r, "args")?,
        env: opened(secrets, &id, "", &r.json("env")?)?,
        id,
        user: r.opt_text("os_user")?.unwrap_or_default(),
        cwd: r.opt_text("cwd")?.unwrap_or_default(),
        timeout_s: u32_of(r, "timeout_s")?,
        output_limit: u64::try_from(r.int("output_limit")?).unwrap_or(0),
        concurrency: usize::try_from(r.int("concurrency")?).unwrap_or(0),
        wait_ms: r.int("wait_s")? * 1000,
        tolerated,
        deadline: deadline(begun_at(r)?, &strategy),
        strategy,
    })
}

/// Where the execution of a row stands; `failures` are counted from its targets.
pub(crate) fn position(r: &Row, failures: u64) -> Result<Position> {
    Ok(Position {
        batch: u32_of(r, "batch")?,
        since: r.opt_int("batch_since")?.unwrap_or(r.int("created_at")?),
        resume_at: r.opt_int("resume_at")?,
        failures,
        cancelled: r.opt_text("cancelled_by")?.is_some(),
        stopped: r.opt_text("stop_code")?.zip(r.opt_text("stop_reason")?),
    })
}

/// Everything that is unfinished and has begun, or one of that.
pub(crate) async fn active(db: &mut Tx, secrets: &Secrets, only: Option<&str>) -> Result<Vec<Active>> {
    let mut out = Vec::new();
    let one = if only.is_some() { " AND id = ?" } else { "" };
    let values: Vec<Value> = only.into_iter().map(Value::from).collect();
    for r in db.fetch_all(&format!("SELECT {EXECUTION} FROM job_executions WHERE status = 'running'{one} ORDER BY id"), &values).await? {
        let spec = spec(&r, secrets)?;
        let sql = "SELECT node_id, env, sent_at, batch FROM job_targets WHERE execution_id = ? AND status IN ('pending', 'waiting', 'running') ORDER BY ordinal";
        let mut targets = Vec::new();
        for t in db.fetch_all(sql, params![&spec.id]).await? {
            let stage = if t.opt_int("sent_at")?.is_some() { Stage::Sent } else { Stage::Queued };
            let node = t.text("node_id")?;
            let env = opened(secrets, &spec.id, &node, &t.json("env")?)?;
            targets.push((node, ActiveTarget { stage, env, batch: u32_of(&t, "batch")? }));
        }
        let mut failures = 0;
        for c in
            db.fetch_all("SELECT status, COUNT(*) AS n FROM job_targets WHERE execution_id = ? GROUP BY status", params![&spec.id]).await?
        {
            if word(&c, "status", TargetStatus::parse)?.is_failure() {
                failures += u64::try_from(c.int("n")?).unwrap_or(0);
            }
        }
        let at = position(&r, failures)?;
        out.push(Active::new(spec, targets, at, now_ms()));
    }
    Ok(out)
}

pub(crate) const NODE: &str = "id, name, state, state_since, host_instance_id, address, agent_version, enrolled_at, last_seen_at";

pub(crate) fn node_row(r: &Row) -> Result<Node> {
    Ok(Node {
        id: r.text("id")?,
        name: r.text("name")?,
        state: word(r, "state", NodeState::parse)?,
        state_since: r.int("state_since")?,
        host_instance_id: r.opt_text("host_instance_id")?,
        address: r.opt_text("address")?,
        agent_version: r.text("agent_version")?,
        enrolled_at: r.int("enrolled_at")?,
        last_seen_at: r.opt_int("last_seen_at")?,
        running: 0,
        load_1m: None,
    })
}

pub(crate) async fn node(db: &Db, id: &str) -> Result<Option<Node>> {
    db.fetch_optional(&format!("SELECT {NODE} FROM job_nodes WHERE id = ?"), params![id]).await?.map(|r| node_row(&r)).transpose()
}

/// Name and state of some nodes.
pub(crate) async fn node_names(db: &Db, ids: &[String]) -> Result<HashMap<String, (String, NodeState)>> {
    let mut out = HashMap::new();
    for chunk in ids.chunks(500) {
        let marks = vec!["?"; chunk.len()].join(", ");
        let values: Vec<Value> = chunk.iter().map(Value::from).collect();
        for r in db.fetch_all(&format!("SELECT id, name, state FROM job_nodes WHERE id IN ({marks})"), &values).await? {
            out.insert(r.text("id")?, (r.text("name")?, word(&r, "state", NodeState::parse)?));
        }
    }
    Ok(out)
}

pub(crate) async fn note_host(db: &Db, node: &str, host: &str, digest: &str) -> Result<()> {
    db.execute("UPDATE job_nodes SET host_instance_id = ?, facts_digest = ? WHERE id = ?", params![host, digest, node]).await?;
    Ok(())
}

pub(crate) async fn facts_digest(db: &Db, node: &str) -> Result<Option<String>> {
    let row = db.fetch_optional("SELECT facts_digest FROM job_nodes WHERE id = ?", params![node]).await?;
    Ok(row.map(|r| r.opt_text("facts_digest")).transpose()?.flatten())
}

/// Nodes that are in the CMDB and whose agents are not connected.
pub(crate) async fn away(db: &Db) -> Result<Vec<String>> {
    let rows = db.fetch_all("SELECT id FROM job_nodes WHERE state = 'offline' AND host_instance_id IS NOT NULL", &[]).await?;
    rows.iter().map(|r| r.text("id")).collect()
}

pub(crate) async fn note_seen(db: &Db, seen: Vec<(String, i64)>) -> Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    for (node, at) in seen {
        tx.execute("UPDATE job_nodes SET last_seen_at = ? WHERE id = ?", params![at.min(now_ms()), node]).await?;
    }
    tx.commit().await
}

/// Escapes what LIKE would read as a pattern; used with `ESCAPE '!'`.
pub(crate) fn like(text: &str) -> String {
    format!("%{}%", text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}
