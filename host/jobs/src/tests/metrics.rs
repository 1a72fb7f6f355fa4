//! Metrics and the settings of agents.

use std::io::Write;

use plenum_access::Role;
use plenum_agent_protocol::v1::{self, agent_message, host_message};
use plenum_store::both_databases;
use prost::Message;
use serde_json::json;

use super::support::*;
use crate::*;

fn draft(name: &str, nodes: &str, settings: serde_json::Value) -> PolicyDraft {
    PolicyDraft { name: name.into(), nodes: nodes.into(), place: 0, settings: serde_json::from_value(settings).unwrap() }
}

async fn settings(agent: &mut FakeAgent) -> v1::Settings {
    loop {
        if let host_message::Body::Settings(s) = agent.hear_any().await.unwrap() {
            return s;
        }
    }
}

fn batch(seq: u64, at_ms: i64) -> agent_message::Body {
    let load = v1::MetricSeries { name: "node_load1".into(), kind: 2, values: vec![1.5], ..Default::default() };
    let batch = v1::MetricBatch { times_ms: vec![at_ms], series: vec![load], ..Default::default() };
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&batch.encode_to_vec()).unwrap();
    agent_message::Body::Metrics(v1::Metrics { seq, data: encoder.finish().unwrap().into() })
}

both_databases! {
    migrations: SETS;

    async fn an_agent_is_told_its_settings_at_once_and_when_they_change(db: Db) {
        let w = World::new(db).await;
        let mut agent = w.online("web-1").await;
        let usual = settings(&mut agent).await;
        assert_eq!((usual.metrics_s, usual.metrics_send_s, usual.checks.len()), (15, 60, 0));
        let check = json!({"metrics_s": 5, "checks": [{"name": "ssh", "kind": "tcp", "target": "22"}]});
        let saved = w.jobs.save_node_policy(&admin(), None, draft("web", "web-*", check), None).await.unwrap();
        let told = settings(&mut agent).await;
        assert_eq!((told.metrics_s, told.checks[0].target.as_str()), (5, "22"));
        let holds = w.jobs.node_settings(&user(Role::Viewer), &agent.node).await.unwrap();
        assert_eq!((holds.policies, holds.settings.metrics_s), (vec!["web".to_owned()], Some(5)));
        // Under another name other policies fit.
        w.jobs.rename(&admin(), &agent.node, "db-1").await.unwrap();
        assert_eq!(settings(&mut agent).await.metrics_s, 15);
        w.jobs.rename(&admin(), &agent.node, "web-2").await.unwrap();
        assert_eq!(settings(&mut agent).await.metrics_s, 5);
        // A host that starts anew knows them.
        drop(agent);
        let w = w.restart().await;
        assert_eq!(w.jobs.node_policies(&admin()).await.unwrap()[0].name, "web");
        // Somebody else was faster.
        let stale = w.jobs.save_node_policy(&admin(), Some(&saved.id), draft("web", "*", json!({})), Some(7)).await.err().unwrap();
        assert!(stale.to_string().contains("meanwhile"), "{stale}");
        w.jobs.save_node_policy(&admin(), Some(&saved.id), draft("web", "*", json!({"metrics_s": 0})), Some(1)).await.unwrap();
        w.jobs.delete_node_policy(&admin(), &saved.id).await.unwrap();
        assert!(w.jobs.node_policies(&admin()).await.unwrap().is_empty());
        let log = w.jobs.inner.access.audit_log(&plenum_access::AuditQuery { limit: 50, ..Default::default() }).await.unwrap();
        for action in ["nodes.policy.create", "nodes.policy.change", "nodes.policy.delete"] {
            assert!(log.iter().any(|l| l.action == action), "{action}");
        }
    }

    async fn a_policy_that_no_agent_could_follow_is_refused(db: Db) {
        let w = World::new(db).await;
        for (at, nodes, settings) in [
            ("/nodes", "a,,b", json!({})),
            ("/nodes", " ", json!({})),
            ("/settings/metrics_s", "*", json!({"metrics_s": 4000})),
            ("/settings/metrics_send_s", "*", json!({"metrics_send_s": 0})),
            ("/settings/scrapes/0/url", "*", json!({"scrapes": [{"name": "a", "url": "http://10.0.0.1/metrics"}]})),
            ("/settings/scrapes/0/url", "*", json!({"scrapes": [{"name": "a", "url": "http://127.0.0.1@evil/"}]})),
            ("/settings/scrapes/1/name", "*", json!({"scrapes": [{"name": "a", "url": "http://localhost:1/"}, {"name": "a", "url": "http://[::1]:1/"}]})),
            ("/settings/checks/0/kind", "*", json!({"checks": [{"name": "a", "kind": "ping", "target": "x"}]})),
            ("/settings/checks/0/target", "*", json!({"checks": [{"name": "a", "kind": "tcp", "target": "host:99999"}]})),
            ("/settings/checks/0/target", "*", json!({"checks": [{"name": "a", "kind": "unit", "target": "--all"}]})),
        ] {
            match w.jobs.save_node_policy(&admin(), None, draft("p", nodes, settings.clone()), None).await {
                Err(JobsError::Invalid { field, .. }) => assert_eq!(field, at, "{settings}"),
                other => panic!("{settings}: {other:?}"),
            }
        }
        let one = || draft("p", "*", json!({}));
        w.jobs.save_node_policy(&admin(), None, one(), None).await.unwrap();
        assert!(w.jobs.save_node_policy(&admin(), None, one(), None).await.err().unwrap().to_string().contains("another policy"));
    }

    async fn viewer_cannot_change_policies_and_who_may_not_read_nodes_sees_no_metrics(db: Db) {
        let w = World::new(db).await;
        let agent = w.online("a").await;
        for who in [user(Role::Viewer), user(Role::Operator)] {
            assert_eq!(w.jobs.save_node_policy(&who, None, draft("p", "*", json!({})), None).await.err().unwrap().code(), "access.denied");
            assert_eq!(w.jobs.delete_node_policy(&who, "x").await.err().unwrap().code(), "access.denied");
            assert!(w.jobs.node_metrics(&who, &agent.node).await.is_ok());
        }
        let stranger = plugin("app", &[("cmdb.read", &[])]);
        for refused in [
            w.jobs.node_metrics(&stranger, &agent.node).await.err().unwrap(),
            w.jobs.node_settings(&stranger, &agent.node).await.err().unwrap(),
            w.jobs.node_policies(&stranger).await.err().unwrap(),
        ] {
            assert_eq!(refused.code(), "access.denied");
        }
    }

    async fn metrics_are_acknowledged_shown_and_go_with_the_node(db: Db) {
        let w = World::new(db).await;
        let mut agent = w.online("a").await;
        assert!(w.jobs.node_metrics(&admin(), &agent.node).await.unwrap().is_none());
        for (seq, body) in [(7, batch(7, 1000)), (8, batch(8, 2000)), (9, agent_message::Body::Metrics(v1::Metrics { seq: 9, data: "rubbish".into() }))] {
            agent.say(body).await;
            loop {
                if let host_message::Body::MetricsAck(ack) = agent.hear().await.unwrap() {
                    assert_eq!(ack.up_to_seq, seq);
                    break;
                }
            }
        }
        let found = w.jobs.node_metrics(&admin(), &agent.node).await.unwrap().unwrap();
        assert_eq!((found.points.len(), found.values[0].name.as_str(), found.values[0].value), (2, "node_load1", 1.5));
        let node = agent.node.clone();
        w.jobs.revoke(&admin(), &node).await.unwrap();
        assert!(w.jobs.node_metrics(&admin(), &node).await.unwrap().is_none());
        assert_eq!(w.jobs.node_metrics(&admin(), "nobody").await.err().unwrap().code(), "jobs.unknown_node");
    }
}
