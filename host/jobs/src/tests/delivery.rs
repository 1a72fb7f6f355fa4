//! Every result, once, whatever dies.

use std::time::{Duration, Instant};

use futures::StreamExt;
use plenum_agent_protocol::v1::{self, FinishStatus as F, agent_message, host_message};
use plenum_store::events::Events;
use plenum_store::{Db, both_databases};

use super::support::*;
use crate::*;

async fn kinds(db: &Db, prefix: &str) -> Vec<String> {
    Events::new(db.clone()).read(0, 1000, &[prefix.to_owned()]).await.unwrap().into_iter().map(|e| e.kind).collect()
}

both_databases! {
    migrations: SETS;

    async fn a_script_runs_and_its_output_is_kept(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let mut request = w.request(&[&a.node]);
        request.env.insert("TOKEN".into(), "s3cret".into());
        request.targets.nodes[0].env.insert("PORT".into(), "port-value".into());
        let x = w.jobs.run(&admin(), request).await.unwrap();
        let run = a.run().await;
        assert_eq!((run.language.as_str(), &run.script[..], run.timeout_s), ("sh", &b"echo hi"[..], 60));
        assert_eq!((run.env["TOKEN"].as_str(), run.env["PORT"].as_str()), ("s3cret", "port-value"));
        a.started(&x.id).await;
        a.output(&x.id, 1, "hé".as_bytes()).await;
        a.finish(&x.id, F::Succeeded, 1).await;
        a.acknowledged(&x.id).await;
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.env), (ExecutionStatus::Succeeded, vec!["TOKEN".to_owned()]));
        let r = w.result(&x.id, &a.node).await;
        assert_eq!((r.status, r.stdout.as_deref(), r.exit_code), (TargetStatus::Succeeded, Some("hé"), Some(0)));
        let page = w.jobs.output(&admin(), &x.id, &a.node, OutputStream::Stdout, 1, 2).await.unwrap();
        assert_eq!((page.data.as_slice(), page.end), ("é".as_bytes(), true));
        assert_eq!(kinds(&w.db, "plenum.job.").await, ["plenum.job.execution.started", "plenum.job.target.finished", "plenum.job.execution.finished"]);
        // Secrets are gone from the database, and were never in audit or events.
        for table in ["job_executions", "job_targets", "audit_log", "events"] {
            let column = match table { "audit_log" => "after", "events" => "data", _ => "env" };
            for row in w.db.fetch_all(&format!("SELECT {column} AS j FROM {table}"), &[]).await.unwrap() {
                let text = row.json("j").unwrap().to_string();
                assert!(!text.contains("s3cret") && !text.contains("port-value"), "{table}: {text}");
            }
        }
    }

    async fn duplicates_are_stored_once(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let x = w.run(&[&a.node]).await;
        a.run().await;
        for _ in 0..2 {
            a.started(&x.id).await;
            a.output(&x.id, 1, b"one ").await;
            a.output(&x.id, 2, b"two").await;
            a.output(&x.id, 1, b"one ").await;
        }
        for _ in 0..3 {
            a.finish(&x.id, F::Failed, 2).await;
        }
        a.acknowledged(&x.id).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        // After the end, too.
        a.finish(&x.id, F::Succeeded, 2).await;
        a.output(&x.id, 3, b"three").await;
        a.acknowledged(&x.id).await;
        let r = w.result(&x.id, &a.node).await;
        assert_eq!((r.status, r.stdout.as_deref(), r.exit_code), (TargetStatus::Failed, Some("one two"), Some(3)));
        assert_eq!(kinds(&w.db, "plenum.job.target").await.len(), 1);
    }

    async fn output_is_bounded_and_the_rest_counted(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let mut request = w.request(&[&a.node]);
        request.output_limit = Some(10);
        let x = w.jobs.run(&admin(), request).await.unwrap();
        assert_eq!(a.run().await.output_limit, 10);
        // An agent that does not keep the limit.
        for seq in 1..=5 {
            a.output(&x.id, seq, b"1234").await;
        }
        a.finish(&x.id, F::Succeeded, 5).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        let r = w.result(&x.id, &a.node).await;
        assert_eq!((r.stdout.as_deref(), r.truncated_bytes), (Some("1234123412"), 10));
    }

    async fn an_offline_target_waits_and_runs_at_reconnect(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let x = w.run(&[&e.node]).await;
        let r = w.result(&x.id, &e.node).await;
        assert_eq!((r.status, r.waiting_for.as_deref()), (TargetStatus::Waiting, Some("its agent to connect")));
        assert!(r.waiting_since.is_some());
        let mut a = w.agent(&e).await;
        a.run().await;
        a.finish(&x.id, F::Succeeded, 0).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn a_target_that_waited_too_long_is_lost(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut request = w.request(&[&e.node]);
        request.wait_s = Some(1);
        let x = w.jobs.run(&admin(), request).await.unwrap();
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.lost), (ExecutionStatus::Failed, 1));
        assert_eq!(w.result(&x.id, &e.node).await.code.as_deref(), Some("jobs.node_offline"));
    }

    async fn a_target_whose_agent_stays_away_is_lost_until_it_reports(db: Db) {
        let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let w = World::with(db, dir, |c| c.lost_after = Duration::ZERO).await;
        let e = w.enrol("a").await;
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let mut request = w.request(&[&e.node]);
        request.timeout_s = Some(1);
        let x = w.jobs.run(&admin(), request).await.unwrap();
        a.run().await;
        a.started(&x.id).await;
        w.until(async |_: &Jobs| w.result(&x.id, &e.node).await.status == TargetStatus::Running).await;
        drop(a);
        soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!(w.result(&x.id, &e.node).await.code.as_deref(), Some("jobs.agent_gone"));
        // Late is better than never.
        let mut a = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        a.output(&x.id, 1, b"late").await;
        a.finish(&x.id, F::Succeeded, 1).await;
        a.acknowledged(&x.id).await;
        let r = w.result(&x.id, &e.node).await;
        assert_eq!((r.status, r.stdout.as_deref()), (TargetStatus::Succeeded, Some("late")));
        assert_eq!(w.jobs.execution(&admin(), &x.id).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn a_reconnecting_agent_is_not_told_twice(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let (x, y) = (w.run(&[&e.node]).await, w.run(&[&e.node]).await);
        let got = [a.run().await.execution_id, a.run().await.execution_id];
        assert_eq!(got, [x.id.clone(), y.id.clone()]);
        drop(a);
        // It kept the first; the second never reached its disk.
        let mut a = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        assert_eq!(a.run().await.execution_id, y.id);
        a.finish(&x.id, F::Succeeded, 0).await;
        a.finish(&y.id, F::Succeeded, 0).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Succeeded);
        assert_eq!(soon(w.jobs.wait(&y.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn a_newer_connection_takes_over(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut old = w.agent(&e).await;
        let mut new = w.agent(&e).await;
        assert_eq!(old.hear().await.err().unwrap().code(), tonic::Code::Aborted);
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.run(&[&e.node]).await;
        new.run().await;
        new.finish(&x.id, F::Succeeded, 0).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!(w.jobs.node(&admin(), &e.node).await.unwrap().state, NodeState::Online);
    }

    async fn a_host_that_restarts_loses_and_repeats_nothing(db: Db) {
        let w = World::new(db).await;
        let (e, f) = (w.enrol("a").await, w.enrol("b").await);
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.run(&[&e.node, &f.node]).await;
        a.run().await;
        a.started(&x.id).await;
        a.output(&x.id, 1, b"before ").await;
        w.until(async |_: &Jobs| w.result(&x.id, &e.node).await.stdout.as_deref() == Some("before ")).await;
        let w = w.restart().await;
        drop(a);
        let r = w.result(&x.id, &e.node).await;
        assert_eq!((r.status, r.waiting_for.as_deref()), (TargetStatus::Running, Some("its agent to connect")));
        // The agent has held on to it and repeats what was not acknowledged.
        let mut a = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        let mut b = w.agent(&f).await;
        b.run().await;
        b.finish(&x.id, F::Succeeded, 0).await;
        a.output(&x.id, 1, b"before ").await;
        a.output(&x.id, 2, b"after").await;
        a.finish(&x.id, F::Succeeded, 2).await;
        // The acknowledgement is the first thing that it hears: no second Run.
        assert!(matches!(a.hear().await.unwrap(), host_message::Body::Ack(_)));
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.succeeded), (ExecutionStatus::Succeeded, 2));
        assert_eq!(w.result(&x.id, &e.node).await.stdout.as_deref(), Some("before after"));
    }

    async fn who_does_not_come_back_after_a_restart_is_offline_in_the_cmdb(db: Db) {
        let w = World::new(db).await;
        let (e, f) = (w.enrol("a").await, w.enrol("b").await);
        let facts = |node: &str| agent_message::Body::Facts(v1::Facts { json: format!("{{\"node\":{{\"hostname\":\"{node}\"}}}}").into(), digest: node.into() });
        for who in [&e, &f] {
            let agent = w.agent(who).await;
            agent.say(facts(&who.node)).await;
            w.until(async |_: &Jobs| w.cmdb.status.lock().unwrap().get(&format!("host-of-{}", who.node)) == Some(&true)).await;
        }
        // Both are gone with the host, and one of them is back.
        let w = w.restart().await;
        let _back = w.agent(&e).await;
        let state = |node: &str| w.cmdb.status.lock().unwrap().get(&format!("host-of-{node}")).copied();
        w.until(async |_: &Jobs| state(&e.node) == Some(true) && state(&f.node) == Some(false)).await;
    }

    async fn an_interrupted_script_is_lost_and_says_so(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let x = w.run(&[&a.node]).await;
        a.run().await;
        a.finish(&x.id, F::Interrupted, 0).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        let r = w.result(&x.id, &a.node).await;
        assert_eq!((r.status, r.code.as_deref()), (TargetStatus::Lost, Some("agent.interrupted")));
        assert!(r.message.unwrap().contains("not run again"));
    }

    async fn cancel_reaches_those_who_have_it_and_ends_the_rest(db: Db) {
        let w = World::new(db).await;
        let (e, f) = (w.enrol("a").await, w.enrol("b").await);
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.run(&[&e.node, &f.node]).await;
        a.run().await;
        a.started(&x.id).await;
        w.jobs.cancel(&admin(), &x.id).await.unwrap();
        assert!(matches!(a.hear().await.unwrap(), host_message::Body::Cancel(c) if c.execution_id == x.id));
        drop(a);
        w.until(async |_: &Jobs| w.result(&x.id, &f.node).await.status == TargetStatus::Cancelled).await;
        // It missed the word, perhaps: it is told again when it is back.
        let mut a = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        assert!(matches!(a.hear().await.unwrap(), host_message::Body::Cancel(_)));
        a.finish(&x.id, F::Cancelled, 0).await;
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.cancelled, done.cancelled_by.as_deref()), (ExecutionStatus::Cancelled, 2, Some("administrator")));
        assert_eq!(w.jobs.cancel(&admin(), &x.id).await.err().unwrap().code(), "jobs.already_finished");
        // The one that never had it is not sent it.
        let mut b = w.agent(&f).await;
        w.until_state(&f.node, NodeState::Online).await;
        let y = w.run(&[&f.node]).await;
        assert_eq!(b.run().await.execution_id, y.id);
    }

    async fn concurrency_is_kept(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b) = (w.online("a").await, w.online("b").await);
        let mut request = w.request(&[&a.node, &b.node]);
        request.concurrency = Some(1);
        let x = w.jobs.run(&admin(), request).await.unwrap();
        a.run().await;
        let r = w.result(&x.id, &b.node).await;
        assert!(r.status == TargetStatus::Pending && r.waiting_for.unwrap().starts_with("its turn"));
        a.finish(&x.id, F::Succeeded, 0).await;
        b.run().await;
        b.finish(&x.id, F::Succeeded, 0).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
    }

    async fn a_watcher_sees_all_from_anywhere(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let x = w.run(&[&a.node]).await;
        a.run().await;
        a.output(&x.id, 1, b"one ").await;
        w.until(async |_: &Jobs| w.result(&x.id, &a.node).await.stdout.as_deref() == Some("one ")).await;
        let mut live = Box::pin(w.jobs.watch_output(&admin(), &x.id, WatchCursor::default(), WatchScope::default()).await.unwrap());
        let mut text = Vec::new();
        let mut resumed = None;
        let mut last = None;
        let mut sent = false;
        while let Some(item) = soon(live.next()).await {
            let (cursor, event) = item.unwrap();
            match event {
                WatchEvent::Output { data, .. } => {
                    text.extend(data);
                    resumed.get_or_insert(cursor);
                    if !sent {
                        sent = true;
                        a.output(&x.id, 2, b"two").await;
                        a.finish(&x.id, F::Succeeded, 2).await;
                    }
                }
                WatchEvent::Target(_) => {}
                WatchEvent::Execution(e) => last = Some(e.status),
            }
        }
        assert_eq!((text.as_slice(), last), (&b"one two"[..], Some(ExecutionStatus::Succeeded)));
        let again: Vec<_> = w.jobs.watch_output(&admin(), &x.id, resumed.unwrap(), WatchScope::default()).await.unwrap().collect().await;
        let text: Vec<u8> = again.into_iter().flat_map(|i| match i.unwrap().1 { WatchEvent::Output { data, .. } => data, _ => vec![] }).collect();
        assert_eq!(text, b"two");
    }

    async fn facts_reach_the_cmdb_under_the_certificates_name(db: Db) {
        let w = World::new(db).await;
        let a = w.online("a").await;
        let json = serde_json::json!({"node": {"hostname": "a", "node_id": "a lie"}, "services": []}).to_string();
        for _ in 0..2 {
            a.say(agent_message::Body::Facts(v1::Facts { json: json.clone().into(), digest: "d".into() })).await;
            w.until(async |j: &Jobs| j.node(&admin(), &a.node).await.unwrap().host_instance_id.is_some()).await;
        }
        let facts = w.cmdb.facts.lock().unwrap().clone();
        assert_eq!(facts[0]["node"]["node_id"], a.node.as_str());
        let host = format!("host-of-{}", a.node);
        w.until(async |_: &Jobs| w.cmdb.status.lock().unwrap().get(&host) == Some(&true)).await;
        drop(a);
        w.until(async |_: &Jobs| w.cmdb.status.lock().unwrap().get(&host) == Some(&false)).await;
    }

    async fn two_hundred_agents(db: Db) {
        let w = World::new(db).await;
        let mut agents = Vec::new();
        for n in 0..200 {
            let e = w.enrol(&format!("m{n}")).await;
            agents.push(w.agent(&e).await);
        }
        w.until(async |j: &Jobs| j.node_counts(&admin()).await.unwrap()[0].1 == 200).await;
        let nodes: Vec<String> = agents.iter().map(|a| a.node.clone()).collect();
        let tasks: Vec<_> = agents
            .into_iter()
            .map(|mut a| {
                tokio::spawn(async move {
                    let id = a.run().await.execution_id;
                    a.started(&id).await;
                    a.output(&id, 1, &[b'x'; 2000]).await;
                    a.finish(&id, F::Succeeded, 1).await;
                    a.acknowledged(&id).await;
                })
            })
            .collect();
        let begin = Instant::now();
        let x = w.run(&nodes.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let accepted = begin.elapsed();
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        eprintln!("200 agents on {:?}: accepted in {accepted:?}, all results in {:?}", w.db.dialect(), begin.elapsed());
        assert_eq!(done.summary.succeeded, 200);
        futures::future::join_all(tasks).await;
    }
}
