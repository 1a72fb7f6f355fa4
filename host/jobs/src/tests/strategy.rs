//! Batches, pauses, stops; retries and where they come from.

use std::collections::BTreeMap;

use plenum_access::Role;
use plenum_agent_protocol::v1::{FinishStatus as F, host_message};
use plenum_store::both_databases;
use plenum_store::events::Events;

use super::support::*;
use crate::inventory::Found;
use crate::*;

fn with(w: &World, nodes: &[&str], strategy: serde_json::Value) -> RunRequest {
    let mut request = w.request(nodes);
    request.strategy = serde_json::from_value(strategy).unwrap();
    request
}

async fn ended(a: &mut FakeAgent, id: &str, status: F) {
    a.finish(id, status, 0).await;
    a.acknowledged(id).await;
}

both_databases! {
    migrations: SETS;

    async fn batches_go_one_after_the_other(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b, mut c) = (w.online("a").await, w.online("b").await, w.online("c").await);
        let x = w.jobs.run(&admin(), with(&w, &[&a.node, &b.node, &c.node], serde_json::json!({"batches": "1 *2"}))).await.unwrap();
        assert_eq!((x.progress.batch, x.progress.batches), (1, 2));
        assert_eq!(a.run().await.execution_id, x.id);
        let waits = w.result(&x.id, &c.node).await;
        assert_eq!((waits.batch, waits.waiting_for.as_deref()), (2, Some("its batch, 2 of 2: batch 1 is under way")));
        ended(&mut a, &x.id, F::Succeeded).await;
        b.run().await;
        c.run().await;
        w.until(async |j: &Jobs| j.execution(&admin(), &x.id).await.unwrap().progress.batch == 2).await;
        ended(&mut b, &x.id, F::Failed).await;
        ended(&mut c, &x.id, F::Succeeded).await;
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.succeeded, done.progress.stop_reason), (ExecutionStatus::Partial, 2, None));
    }

    async fn a_pause_is_shown_and_survives_the_host(db: Db) {
        let w = World::new(db).await;
        let (e, f) = (w.enrol("a").await, w.enrol("b").await);
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.jobs.run(&admin(), with(&w, &[&e.node, &f.node], serde_json::json!({"batches": "1", "pause_s": 2}))).await.unwrap();
        a.run().await;
        ended(&mut a, &x.id, F::Succeeded).await;
        w.until(async |j: &Jobs| j.execution(&admin(), &x.id).await.unwrap().progress.resume_at.is_some()).await;
        let paused = w.result(&x.id, &f.node).await;
        assert_eq!(paused.waiting_for.as_deref(), Some("its batch, 2 of 2: the pause before it"));
        assert_eq!(paused.waiting_until, w.jobs.execution(&admin(), &x.id).await.unwrap().progress.resume_at);
        let w = w.restart().await;
        let still = w.jobs.execution(&admin(), &x.id).await.unwrap().progress;
        assert_eq!((still.batch, still.resume_at), (2, paused.waiting_until));
        let mut b = w.agent(&f).await;
        b.run().await;
        assert!(plenum_store::now_ms() >= still.resume_at.unwrap());
        ended(&mut b, &x.id, F::Succeeded).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn one_failure_too_many_stops_it(db: Db) {
        let w = World::new(db).await;
        let (mut a, b) = (w.online("a").await, w.online("b").await);
        let x = w.jobs.run(&admin(), with(&w, &[&a.node, &b.node], serde_json::json!({"batches": "1", "tolerate": "0"}))).await.unwrap();
        a.run().await;
        ended(&mut a, &x.id, F::Failed).await;
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.failed, done.summary.cancelled), (ExecutionStatus::Failed, 1, 1));
        assert_eq!(done.progress.stop_code.as_deref(), Some("jobs.stopped"));
        assert_eq!(done.progress.stop_reason.as_deref(), Some("1 targets failed, and 0 are tolerated"));
        let kept = w.result(&x.id, &b.node).await;
        assert_eq!((kept.status, kept.code.as_deref()), (TargetStatus::Cancelled, Some("jobs.stopped")));
        let events = Events::new(w.db.clone()).read(0, 1000, &["plenum.job.execution.stopped".to_owned()]).await.unwrap();
        assert_eq!((events.len(), &events[0].data["not_started"]), (1, &serde_json::json!(1)));
        let bad = w.jobs.run(&admin(), with(&w, &[&b.node], serde_json::json!({"batches": "0"}))).await.err().unwrap();
        assert_eq!(bad.code(), "jobs.bad_batches");
    }

    async fn the_total_time_limit_ends_what_runs_and_what_waits(db: Db) {
        let w = World::new(db).await;
        let (mut a, b) = (w.online("a").await, w.online("b").await);
        let strategy = serde_json::json!({"batches": "1", "total_timeout_s": 1});
        let x = w.jobs.run(&admin(), with(&w, &[&a.node, &b.node], strategy)).await.unwrap();
        a.run().await;
        a.started(&x.id).await;
        assert!(matches!(a.hear().await.unwrap(), host_message::Body::Cancel(c) if c.execution_id == x.id));
        ended(&mut a, &x.id, F::Cancelled).await;
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.timed_out), (ExecutionStatus::Failed, 2));
        assert_eq!(w.result(&x.id, &a.node).await.code.as_deref(), Some("agent.total_timeout"));
        assert_eq!(w.result(&x.id, &b.node).await.code.as_deref(), Some("jobs.total_timeout"));
    }

    async fn who_shall_not_wait_for_an_agent_fails_at_once(db: Db) {
        let w = World::new(db).await;
        let (mut a, f) = (w.online("a").await, w.enrol("b").await);
        let mut request = w.request(&[&a.node, &f.node]);
        request.wait_s = Some(0);
        let x = w.jobs.run(&admin(), request).await.unwrap();
        a.run().await;
        w.until(async |_: &Jobs| w.result(&x.id, &f.node).await.status == TargetStatus::Lost).await;
        let r = w.result(&x.id, &f.node).await;
        assert_eq!(r.code.as_deref(), Some("jobs.node_offline"));
        assert!(r.message.unwrap().contains("nothing was run"));
        ended(&mut a, &x.id, F::Succeeded).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Partial);
    }

    async fn who_waits_for_an_agent_says_since_and_until(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut request = w.request(&[&e.node]);
        request.wait_s = Some(3600);
        let x = w.jobs.run(&admin(), request).await.unwrap();
        let r = w.result(&x.id, &e.node).await;
        assert_eq!((r.waiting_since, r.waiting_until), (Some(x.created_at), Some(x.created_at + 3_600_000)));
    }

    async fn only_what_failed_runs_again_and_both_know_of_each_other(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b) = (w.online("a").await, w.online("b").await);
        let mut request = w.request(&[&a.node, &b.node]);
        request.env.insert("TOKEN".into(), "s3cret".into());
        let x = w.jobs.run(&admin(), request).await.unwrap();
        a.run().await;
        b.run().await;
        let early = RetryRequest { nodes: vec![a.node.clone()], env: BTreeMap::from([("TOKEN".into(), "again".into())]), ..Default::default() };
        assert_eq!(w.jobs.retry(&admin(), &x.id, early).await.err().unwrap().code(), "jobs.not_ended");
        ended(&mut a, &x.id, F::Failed).await;
        ended(&mut b, &x.id, F::Succeeded).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!(w.jobs.retry(&admin(), &x.id, RetryRequest::default()).await.err().unwrap().code(), "jobs.env_needed");
        let again = RetryRequest { env: BTreeMap::from([("TOKEN".into(), "again".into())]), key: Some("k".into()), ..Default::default() };
        assert_eq!(w.jobs.retry(&user(Role::Viewer), &x.id, again.clone()).await.err().unwrap().code(), "access.denied");
        let y = w.jobs.retry(&admin(), &x.id, again.clone()).await.unwrap();
        assert_eq!(w.jobs.retry(&admin(), &x.id, again).await.unwrap().id, y.id, "once for its key");
        assert_eq!((y.summary.total, y.retry_of.as_deref()), (1, Some(x.id.as_str())));
        let run = a.run().await;
        assert_eq!((run.execution_id.as_str(), run.env["TOKEN"].as_str()), (y.id.as_str(), "again"));
        ended(&mut a, &y.id, F::Succeeded).await;
        soon(w.jobs.wait(&y.id)).await.unwrap();
        let nothing = RetryRequest { env: BTreeMap::from([("TOKEN".into(), "again".into())]), ..Default::default() };
        assert_eq!(w.jobs.retry(&admin(), &y.id, nothing).await.err().unwrap().code(), "jobs.no_targets");
        let chosen = RetryRequest { nodes: vec![a.node.clone()], env: BTreeMap::from([("TOKEN".into(), "3".into())]), ..Default::default() };
        let z = w.jobs.retry(&admin(), &y.id, chosen).await.unwrap();
        for id in [&x.id, &y.id, &z.id] {
            let chain: Vec<String> = w.jobs.chain(&admin(), id).await.unwrap().into_iter().map(|e| e.id).collect();
            assert_eq!(chain, [x.id.clone(), y.id.clone(), z.id.clone()]);
        }
    }

    async fn a_plugin_cannot_retry_what_it_may_not_run(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let p = plugin("p", &[("jobs.run", &[("models", &["redis"])]), ("jobs.read", &[])]);
        *w.cmdb.records.lock().unwrap() =
            vec![Found { instance: InstanceRef { model: "redis".into(), id: "r1".into() }, label: "r1".into(), node_id: Some(a.node.clone()) }];
        let mut request = w.request(&[]);
        request.targets.instances = vec![InstanceRef { model: "redis".into(), id: "r1".into() }];
        let own = w.jobs.run(&p, request).await.unwrap();
        a.run().await;
        ended(&mut a, &own.id, F::Failed).await;
        soon(w.jobs.wait(&own.id)).await.unwrap();
        let theirs = w.run(&[&a.node]).await;
        a.run().await;
        ended(&mut a, &theirs.id, F::Failed).await;
        soon(w.jobs.wait(&theirs.id)).await.unwrap();
        let again = w.jobs.retry(&p, &own.id, RetryRequest::default()).await.unwrap();
        assert_eq!(again.plugin.as_deref(), Some("p"));
        assert_eq!(w.jobs.retry(&p, &theirs.id, RetryRequest::default()).await.err().unwrap().code(), "jobs.unknown_execution");
        let mut request = w.request(&[]);
        request.targets.earlier = Some(EarlierTargets { execution: theirs.id, statuses: vec![TargetStatus::Failed], nodes: vec![] });
        assert_eq!(w.jobs.run(&p, request.clone()).await.err().unwrap().code(), "jobs.unknown_execution");
        assert_eq!(w.jobs.preview(&p, &request.targets).await.err().unwrap().code(), "jobs.unknown_execution");
        assert_eq!(w.jobs.run(&admin(), request).await.unwrap().summary.total, 1);
    }

    async fn pasted_names_and_addresses_lead_to_nodes_or_to_a_report(db: Db) {
        let w = World::new(db).await;
        let (a, b, c) = (w.enrol("Web-1").await, w.enrol("web-2").await, w.enrol("web-3").await);
        w.jobs.rename(&admin(), &c.node, "WEB-2").await.unwrap();
        let found = |label: &str, node: Option<&str>| Found {
            instance: InstanceRef { model: "host".into(), id: label.into() },
            label: label.into(),
            node_id: node.map(str::to_owned),
        };
        *w.cmdb.records.lock().unwrap() = vec![found("10.0.0.9", Some(&c.node)), found("bare", None)];
        let lines = vec![format!("root@web-1:22, 10.0.0.9 {}", b.node), "web-2; nobody bare".to_owned()];
        let mut targets = Targets { addresses: lines, ..Targets::default() };
        let p = w.jobs.preview(&admin(), &targets).await.unwrap();
        let nodes: Vec<&str> = p.items.iter().map(|i| i.node_id.as_str()).collect();
        assert_eq!(nodes, [&a.node, &c.node, &b.node]);
        let words: Vec<&str> = p.unmatched.iter().map(|u| u.text.as_str()).collect();
        assert_eq!((words, p.unmatched_total), (vec!["web-2", "nobody", "bare"], 3));
        assert!(p.unmatched[0].reason.starts_with("2 nodes have it") && p.unmatched[2].reason.contains("no agent"), "{:?}", p.unmatched);
        let mut request = w.request(&[]);
        request.targets = targets.clone();
        assert_eq!(w.jobs.run(&admin(), request.clone()).await.err().unwrap().code(), "jobs.unmatched_targets");
        targets.skip_unmatched = true;
        request.targets = targets;
        assert_eq!(w.jobs.run(&admin(), request).await.unwrap().summary.total, 3);
    }

    async fn force_cancel_waits_for_no_agent_and_tells_it_when_it_is_back(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.run(&[&e.node]).await;
        a.run().await;
        a.started(&x.id).await;
        w.until(async |_: &Jobs| w.result(&x.id, &e.node).await.status == TargetStatus::Running).await;
        drop(a);
        w.until_state(&e.node, NodeState::Offline).await;
        assert_eq!(w.jobs.cancel(&admin(), &x.id).await.unwrap().status, ExecutionStatus::Running);
        w.jobs.force_cancel(&admin(), &x.id).await.unwrap();
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.lost), (ExecutionStatus::Cancelled, 1));
        assert_eq!(w.result(&x.id, &e.node).await.code.as_deref(), Some("jobs.force_cancelled"));
        let w = w.restart().await;
        let mut a = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        assert!(matches!(a.hear().await.unwrap(), host_message::Body::Cancel(c) if c.execution_id == x.id));
        a.finish(&x.id, F::Cancelled, 0).await;
        a.acknowledged(&x.id).await;
        assert_eq!(w.result(&x.id, &e.node).await.status, TargetStatus::Cancelled);
    }
}
