//! Bad days of the host: it dies before and after each of its writes and messages, hears things twice and in another order, and agents fall silent.

use std::time::Duration;

use plenum_agent_protocol::v1::{self, FinishStatus, agent_message, host_message};
use plenum_store::both_databases;

use super::support::*;
use crate::*;

/// Where the host dies; in the order in which a target comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    AcceptedNotSent,
    Sent,
    Accepted,
    Started,
    Output,
    OutputNotAcknowledged,
    Finished,
    FinishedNotAcknowledged,
}

const ALL: [At; 8] = [
    At::AcceptedNotSent,
    At::Sent,
    At::Accepted,
    At::Started,
    At::Output,
    At::OutputNotAcknowledged,
    At::Finished,
    At::FinishedNotAcknowledged,
];

both_databases! {
    migrations: SETS;

    async fn a_host_that_dies_at_any_step_has_each_end_once_and_sends_no_script_to_an_agent_that_holds_it(db: Db) {
        let mut w = World::new(db).await;
        for at in ALL {
            let e = w.enrol(&format!("{at:?}")).await;
            let x = if at == At::AcceptedNotSent {
                let x = w.run(&[&e.node]).await;
                w = w.restart().await;
                x
            } else {
                let mut agent = w.agent(&e).await;
                w.until_state(&e.node, NodeState::Online).await;
                let x = w.run(&[&e.node]).await;
                let run = agent.run().await;
                assert_eq!(run.execution_id, x.id);
                if at != At::Sent {
                    agent.say(agent_message::Body::Accepted(v1::Accepted { execution_id: x.id.clone(), queued: false })).await;
                }
                if !matches!(at, At::Sent | At::Accepted) {
                    agent.started(&x.id).await;
                    w.until(async |j: &Jobs| j.results(&admin(), &x.id, &ResultQuery::default()).await.unwrap().items[0].status == TargetStatus::Running).await;
                }
                if matches!(at, At::Output | At::OutputNotAcknowledged | At::Finished | At::FinishedNotAcknowledged) {
                    agent.output(&x.id, 1, b"one\n").await;
                }
                if at == At::Output {
                    while !matches!(agent.hear().await.unwrap(), host_message::Body::Ack(a) if a.up_to_seq == 1) {}
                }
                if matches!(at, At::Finished | At::FinishedNotAcknowledged) {
                    agent.finish(&x.id, FinishStatus::Succeeded, 1).await;
                }
                if at == At::Finished {
                    agent.acknowledged(&x.id).await;
                }
                w = w.restart().await;
                x
            };
            // The agent comes back with what it holds: nothing, when the Run did not reach it, or its end was acknowledged.
            let holds = !matches!(at, At::AcceptedNotSent | At::Sent | At::Finished);
            let held: Vec<&str> = holds.then_some(x.id.as_str()).into_iter().collect();
            let mut agent = w.try_agent(&e, &e.node, &held).await.unwrap();
            if at != At::Finished {
                if holds {
                    // Tells all again, as agents do. A script that it holds must not be sent to it: the next thing heard is not a Run.
                    agent.started(&x.id).await;
                } else {
                    assert_eq!(agent.run().await.execution_id, x.id, "{at:?}");
                }
                agent.output(&x.id, 1, b"one\n").await;
                agent.finish(&x.id, FinishStatus::Succeeded, 1).await;
                loop {
                    match agent.hear().await.unwrap() {
                        host_message::Body::Ack(a) if a.finished => break,
                        host_message::Body::Ack(_) => {}
                        other => panic!("{at:?}: {other:?}"),
                    }
                }
            }
            let done = soon(w.jobs.wait(&x.id)).await.unwrap();
            assert_eq!((done.status, done.summary.succeeded), (ExecutionStatus::Succeeded, 1), "{at:?}");
            let result = w.result(&x.id, &e.node).await;
            assert_eq!((result.status, result.exit_code), (TargetStatus::Succeeded, Some(0)), "{at:?}");
            let kept = w.db.fetch_all("SELECT seq FROM job_output WHERE execution_id = ?", plenum_store::params![&x.id]).await.unwrap();
            assert_eq!(kept.len(), 1, "{at:?}: output once");
            let sql = "SELECT seq FROM events WHERE kind = 'plenum.job.execution.finished' AND subject = ?";
            let ends = w.db.fetch_all(sql, plenum_store::params![format!("execution/{}", x.id)]).await.unwrap();
            assert_eq!(ends.len(), 1, "{at:?}: one end");
        }
    }

    async fn reports_in_any_order_leave_one_end_that_is_true(db: Db) {
        let w = World::new(db).await;
        let mut agent = w.online("a").await;
        let node = agent.node.clone();
        // The end first, then what came before it; and an end that contradicts the first.
        let x = w.run(&[&node]).await;
        agent.run().await;
        agent.finish(&x.id, FinishStatus::Failed, 2).await;
        agent.acknowledged(&x.id).await;
        agent.output(&x.id, 2, b"two").await;
        agent.output(&x.id, 1, b"one").await;
        agent.started(&x.id).await;
        agent.say(agent_message::Body::Accepted(v1::Accepted { execution_id: x.id.clone(), queued: true })).await;
        agent.finish(&x.id, FinishStatus::Succeeded, 2).await;
        agent.acknowledged(&x.id).await;
        let result = w.result(&x.id, &node).await;
        assert_eq!((result.status, result.exit_code), (TargetStatus::Failed, Some(3)), "the first end stands");
        assert!(result.message.unwrap().contains("some output is missing"));
        // Ends of nothing, and of what was never sent: dropped, and acknowledged so that the agent forgets them.
        for id in ["nobody", "", "' OR 1=1 --"] {
            agent.output(id, 1, b"x").await;
            agent.finish(id, FinishStatus::Succeeded, 1).await;
            agent.acknowledged(id).await;
        }
        let next = w.run(&[&node]).await;
        assert_eq!(agent.run().await.execution_id, next.id, "the connection works on");
        agent.finish(&next.id, FinishStatus::Succeeded, 0).await;
        assert_eq!(soon(w.jobs.wait(&next.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn an_agent_that_falls_silent_is_offline_and_its_script_goes_on_when_it_is_back(db: Db) {
        let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let w = World::with(db, dir, |c| c.heartbeat = Duration::from_secs(1)).await;
        let e = w.enrol("a").await;
        let mut agent = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.run(&[&e.node]).await;
        agent.run().await;
        agent.started(&x.id).await;
        // The connection stays open, and nothing comes: half open, as after a router that forgot it.
        w.until_state(&e.node, NodeState::Offline).await;
        let result = w.result(&x.id, &e.node).await;
        assert!(matches!(result.status, TargetStatus::Running | TargetStatus::Waiting), "not lost yet: {result:?}");
        let back = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        back.finish(&x.id, FinishStatus::Succeeded, 0).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }
}
