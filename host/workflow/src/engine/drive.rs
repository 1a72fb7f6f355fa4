//! One run in memory, from the moment that it is due until it ends, sleeps or waits for somebody.

use super::*;

impl Engine {
    /// Drives one run until it ends, sleeps or the engine stops.
    pub(super) async fn drive(self: Arc<Self>, id: String, poke: Arc<Notify>, permit: OwnedSemaphorePermit) {
        if let Err(e) = self.clone().go(&id, &poke).await
            && !self.stop.is_cancelled()
        {
            tracing::error!(run = id, error = %e, "a step of a run could not be written; it is repeated");
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        lock(&self.active).remove(&id);
        drop(permit);
        // It may be due again already: a cancellation that came between the last write and now.
        self.wake.notify_one();
    }

    async fn go(self: Arc<Self>, id: &str, poke: &Notify) -> Result<(), WorkflowError> {
        let sql = "SELECT workflow, version, actor, input, started_at, state, rev, cancel, finished_at, heard, nudge, parent_key, parent_run, depth FROM workflow_runs WHERE id = ?";
        let Some(row) = self.db.fetch_optional(sql, params![id]).await? else { return Ok(()) };
        if row.opt_int("finished_at")?.is_some() {
            return Ok(());
        }
        let actor: Actor = serde_json::from_value(row.json("actor")?).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let state = row.opt_text("state")?;
        let mut run = Driven {
            info: Arc::new(RunInfo {
                id: id.to_owned(),
                input: sql::json(&row, "input")?,
                started_at: row.int("started_at")?,
                heard: row.int("heard")?,
            }),
            name: row.text("workflow")?,
            actor,
            state: match state {
                None => State::default(),
                Some(s) => serde_json::from_str(&s).map_err(|e| StoreError::Corrupt(format!("state of run {id}: {e}")))?,
            },
            rev: row.int("rev")?,
            waits: HashMap::new(),
            engine: self.clone(),
            workflow: None,
            order: None,
            parked: HashSet::new(),
            answered: false,
            locks: true,
            ears: None,
            parent: row.opt_text("parent_key")?.zip(row.opt_text("parent_run")?),
            depth: row.int("depth")?,
            nudge: row.opt_int("nudge")?.unwrap_or(0),
            latest: row.opt_int("nudge")?.unwrap_or(0),
            nudged: true,
        };
        if !run.state.begun() {
            (run.locks, run.nudged, run.ears) = (false, false, Some(Vec::new()));
        }
        match self.workflow(&run.name, row.int("version")?).await {
            Ok(w) => run.workflow = Some(w),
            Err(WorkflowError::Store(e)) => return Err(e.into()),
            Err(e) => {
                return run.advance(Event::Kill(failure("configuration", 400, "The definition cannot be read", &e.to_string()))).await;
            }
        }
        let mut cancel = row.opt_text("cancel")?;
        if run.state.begun() {
            run.answers().await?;
        }
        run.obey().await?;
        if !run.state.begun() && cancel.is_none() {
            run.advance(Event::Start).await?;
        }
        let mut calls: JoinSet<(String, Result<Value, Value>)> = JoinSet::new();
        let mut under_way: HashMap<String, (Id, CancellationToken)> = HashMap::new();
        let reports: Arc<Mutex<HashMap<u64, Waiting>>> = Arc::default();
        let reported = Arc::new(Notify::new());
        let mut quiet_until = tokio::time::Instant::now();
        let mut scanned: HashMap<u64, i64> = HashMap::new();
        loop {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if run.state.outcome.is_some() {
                for (_, token) in under_way.values() {
                    token.cancel();
                }
                drain(&mut calls).await;
                return Ok(());
            }
            if cancel.is_none() {
                if std::mem::take(&mut run.answered) {
                    run.answers().await?;
                    continue;
                }
                if run.listen(&mut scanned).await? {
                    continue;
                }
            }
            let wanted = run.state.calls();
            let keys: HashSet<&str> = wanted.iter().map(|c| c.key.as_str()).collect();
            for (key, (_, token)) in &under_way {
                if !keys.contains(key.as_str()) {
                    token.cancel();
                }
            }
            for call in &wanted {
                if under_way.len() >= self.config.calls_per_run {
                    break;
                }
                if under_way.contains_key(&call.key) {
                    continue;
                }
                let token = CancellationToken::new();
                if cancel.is_some() {
                    token.cancel();
                }
                let (reports, reported, task) = (reports.clone(), reported.clone(), call.id);
                let reporter = WaitReporter::new(move |w| {
                    lock(&reports).insert(task, w);
                    reported.notify_one();
                });
                let handle = calls.spawn(self.clone().perform(id.to_owned(), run.actor.clone(), call.clone(), reporter, token.clone()));
                under_way.insert(call.key.clone(), (handle.id(), token));
            }
            if let Some(why) = cancel.take() {
                for (_, token) in under_way.values() {
                    token.cancel();
                }
                tokio::select! {
                    () = drain(&mut calls) => {}
                    () = self.stop.cancelled() => return Ok(()),
                }
                run.advance(Event::Cancel { why }).await?;
                continue;
            }
            let timer = run.state.next_timer();
            let now = now_ms();
            if under_way.is_empty() {
                match timer {
                    // Somebody else moves it on: an operator, an event, an answer.
                    None if run.state.paused().is_some() || run.state.sleeping().is_some() => return run.settle().await,
                    None => {
                        run.advance(Event::Kill(failure(
                            "runtime",
                            500,
                            "The run is stuck",
                            "nothing is left that could move it on; report this as a bug",
                        )))
                        .await?;
                        continue;
                    }
                    // Leaves memory; `wake_at` is stored.
                    Some(at) if at > now + KEEP_MS => return run.settle().await,
                    Some(_) => {}
                }
            }
            let pause = timer.map_or(Duration::from_secs(3600), |at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0)));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                Some(done) = calls.join_next_with_id() => {
                    let (key, result) = match done {
                        Ok((_, r)) => r,
                        Err(e) => {
                            let key = under_way.iter().find(|(_, (i, _))| *i == e.id()).map(|(k, _)| k.clone()).unwrap_or_default();
                            (key, Err(failure("runtime", 500, "The action failed inside the host", "the host's log has the reason")))
                        }
                    };
                    under_way.remove(&key);
                    if self.dies(Point::AfterCall) {
                        return Ok(());
                    }
                    run.advance(Event::Result { key, result }).await?;
                }
                () = poke.notified() => {
                    let row = self.db.fetch_optional("SELECT cancel, nudge FROM workflow_runs WHERE id = ?", params![id]).await?;
                    if let Some(row) = row {
                        cancel = row.opt_text("cancel")?;
                        run.nudge = row.opt_int("nudge")?.unwrap_or(0);
                        run.latest = run.latest.max(run.nudge);
                    }
                    run.nudged = true;
                    run.obey().await?;
                    run.answered |= !run.parked.is_empty();
                }
                () = async { tokio::time::sleep_until(quiet_until).await; reported.notified().await } => {
                    let news = std::mem::take(&mut *lock(&reports));
                    run.report(news).await?;
                    // A chatty action must not write a hundred times a second.
                    quiet_until = tokio::time::Instant::now() + Duration::from_millis(250);
                }
                () = tokio::time::sleep(pause) => run.advance(Event::Tick).await?,
            }
        }
    }
}

async fn drain(calls: &mut JoinSet<(String, Result<Value, Value>)>) {
    let all = async { while calls.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(CANCEL_GRACE, all).await;
    calls.shutdown().await;
}
