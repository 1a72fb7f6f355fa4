//! Many results: groups, search, download, and watching some of them.

use std::collections::BTreeMap;
use std::io::Read;

use futures::StreamExt;
use plenum_access::Role;
use plenum_agent_protocol::v1::FinishStatus as F;
use plenum_store::both_databases;

use super::support::*;
use crate::*;

async fn prints(a: &mut FakeAgent, id: &str, pieces: &[&str], status: F) {
    a.run().await;
    a.started(id).await;
    for (data, seq) in pieces.iter().zip(1..) {
        a.output(id, seq, data.as_bytes()).await;
    }
    a.finish(id, status, pieces.len() as u64).await;
    a.acknowledged(id).await;
}

both_databases! {
    migrations: SETS;

    async fn what_ended_and_printed_the_same_is_one_group(db: Db) {
        let w = World::new(db).await;
        let mut agents = Vec::new();
        for n in 0..5 {
            agents.push(w.online(&format!("m{n}")).await);
        }
        let nodes: Vec<String> = agents.iter().map(|a| a.node.clone()).collect();
        let x = w.run(&nodes.iter().map(String::as_str).collect::<Vec<_>>()).await;
        prints(&mut agents[0], &x.id, &["one ", "two"], F::Succeeded).await;
        prints(&mut agents[1], &x.id, &["one two"], F::Succeeded).await;
        prints(&mut agents[2], &x.id, &["one", " ", "two"], F::Succeeded).await;
        prints(&mut agents[3], &x.id, &["one two!"], F::Succeeded).await;
        prints(&mut agents[4], &x.id, &["one two"], F::Failed).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        let g = w.jobs.groups(&user(Role::Viewer), &x.id).await.unwrap();
        let seen: Vec<_> = g.items.iter().map(|g| (g.count, g.status, g.exit_code, g.node_name.as_str())).collect();
        assert_eq!(seen, [(3, TargetStatus::Succeeded, Some(0), "m0"), (1, TargetStatus::Succeeded, Some(0), "m3"), (1, TargetStatus::Failed, Some(3), "m4")]);
        assert_eq!((g.others, g.items[2].fault, &g.items[2].output_hash), (0, Some(Fault::Script), &g.items[0].output_hash));
        let q = ResultQuery { output_hash: g.items[0].output_hash.clone(), status: Some(TargetStatus::Succeeded), ..Default::default() };
        assert_eq!(w.jobs.results(&admin(), &x.id, &q).await.unwrap().total, 3);
        let q = ResultQuery { search: Some("M3".into()), exit_code: Some(0), ..Default::default() };
        assert_eq!(w.jobs.results(&admin(), &x.id, &q).await.unwrap().items[0].node_name, "m3");
        let stranger = plugin("p", &[("jobs.read", &[])]);
        assert_eq!(w.jobs.groups(&stranger, &x.id).await.err().unwrap().code(), "jobs.unknown_execution");
        assert_eq!(w.jobs.search_output(&stranger, &x.id, "one", None).await.err().unwrap().code(), "jobs.unknown_execution");
        assert!(w.jobs.download(&stranger, &x.id).await.is_err());
    }

    async fn a_fingerprint_does_not_depend_on_who_saw_the_beginning(db: Db) {
        let w = World::new(db).await;
        let (e, mut b) = (w.enrol("a").await, w.online("b").await);
        let mut a = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let x = w.run(&[&e.node, &b.node]).await;
        prints(&mut b, &x.id, &["first second"], F::Succeeded).await;
        a.run().await;
        a.started(&x.id).await;
        a.output(&x.id, 1, b"first ").await;
        w.until(async |_: &Jobs| w.result(&x.id, &e.node).await.stdout.as_deref() == Some("first ")).await;
        let w = w.restart().await;
        drop(a);
        let mut a = w.try_agent(&e, &e.node, &[&x.id]).await.unwrap();
        a.output(&x.id, 2, b"second").await;
        a.finish(&x.id, F::Succeeded, 2).await;
        a.acknowledged(&x.id).await;
        assert_eq!(w.jobs.groups(&admin(), &x.id).await.unwrap().items.len(), 1);
    }

    async fn output_that_did_not_come_is_said(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let x = w.run(&[&a.node]).await;
        a.run().await;
        a.started(&x.id).await;
        a.finish(&x.id, F::Succeeded, 5).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        let r = w.result(&x.id, &a.node).await;
        assert_eq!((r.code.as_deref(), r.fault), (Some("jobs.output_incomplete"), Some(Fault::OutputLost)));
        // Nobody judged it: a second word of the agent changes nothing.
        a.finish(&x.id, F::Failed, 5).await;
        a.acknowledged(&x.id).await;
        assert_eq!(w.result(&x.id, &a.node).await.status, TargetStatus::Succeeded);
    }

    async fn a_script_says_its_own_result(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b) = (w.online("a").await, w.online("b").await);
        let x = w.run(&[&a.node, &b.node]).await;
        prints(&mut a, &x.id, &["text\nPLENUM_RES", "ULT={\"disks\": [1, \"\\u0000\"]}\nmore\n"], F::Succeeded).await;
        prints(&mut b, &x.id, &["PLENUM_RESULT={no\n"], F::Succeeded).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!(w.result(&x.id, &a.node).await.result, Some(serde_json::json!({"disks": [1, "\u{0}"]})));
        let bad = w.result(&x.id, &b.node).await;
        assert!(bad.result.is_none() && bad.result_error.unwrap().contains("no JSON"));
    }

    async fn output_is_searched(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b) = (w.online("a").await, w.online("b").await);
        let x = w.run(&[&a.node, &b.node]).await;
        // The match lies across two pieces.
        prints(&mut a, &x.id, &["fine\nan ERR", "OR here\nfine\n"], F::Succeeded).await;
        prints(&mut b, &x.id, &["fine\n"], F::Succeeded).await;
        let m = w.jobs.search_output(&admin(), &x.id, "error", None).await.unwrap();
        assert_eq!((m.searched, m.items.len(), m.next_cursor), (2, 1, None));
        assert_eq!((m.items[0].node_id.as_str(), m.items[0].lines[0].number, m.items[0].lines[0].text.as_str()), (a.node.as_str(), 2, "an ERROR here"));
        assert_eq!(w.jobs.search_output(&admin(), &x.id, " ", None).await.err().unwrap().code(), "jobs.bad_search");
    }

    async fn an_execution_is_one_tar(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b) = (w.online("web/1").await, w.online("b").await);
        let x = w.run(&[&a.node, &b.node]).await;
        let long = "0123456789abcdef".repeat(100_000);
        prints(&mut a, &x.id, &[&long[..800_000], &long[800_000..]], F::Succeeded).await;
        prints(&mut b, &x.id, &[], F::Failed).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        let mut all = Vec::new();
        let mut pieces = Box::pin(w.jobs.download(&admin(), &x.id).await.unwrap());
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= 1024 * 1024);
            all.extend_from_slice(&piece);
        }
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(all.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), text);
        }
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["00001-web_1/result.json", "00001-web_1/stdout", "00002-b/result.json", "execution.json"]);
        assert!(files["00001-web_1/stdout"] == long);
        let result: serde_json::Value = serde_json::from_str(&files["00002-b/result.json"]).unwrap();
        assert_eq!((&result["status"], &result["fault"]), (&serde_json::json!("failed"), &serde_json::json!("script")));
    }

    async fn a_watcher_of_some_hears_of_those_and_of_the_totals(db: Db) {
        let w = World::new(db).await;
        let (mut a, mut b) = (w.online("a").await, w.online("b").await);
        let x = w.run(&[&a.node, &b.node]).await;
        let scope = WatchScope { nodes: Some(vec![b.node.clone()]), output: Some(vec![]) };
        let mut live = Box::pin(w.jobs.watch_output(&admin(), &x.id, WatchCursor::default(), scope).await.unwrap());
        prints(&mut a, &x.id, &["text"], F::Succeeded).await;
        loop {
            match soon(live.next()).await.unwrap().unwrap().1 {
                WatchEvent::Execution(e) if e.summary.succeeded == 1 => break,
                WatchEvent::Target(t) => assert_eq!(t.node_id, b.node),
                WatchEvent::Output { .. } => panic!("output was not asked for"),
                WatchEvent::Execution(_) => {}
            }
        }
        prints(&mut b, &x.id, &["text"], F::Succeeded).await;
        let mut last = None;
        while let Some(item) = soon(live.next()).await {
            match item.unwrap().1 {
                WatchEvent::Target(t) => assert_eq!(t.node_id, b.node),
                WatchEvent::Output { .. } => panic!("output was not asked for"),
                WatchEvent::Execution(e) => last = Some(e.status),
            }
        }
        assert_eq!(last, Some(ExecutionStatus::Succeeded));
        let scope = WatchScope { nodes: Some(vec![String::new(); 501]), output: None };
        assert!(w.jobs.watch_output(&admin(), &x.id, WatchCursor::default(), scope).await.is_err());
    }

    async fn hundreds_of_targets_are_written_and_ended_together(db: Db) {
        let w = World::new(db).await;
        let mut tx = w.db.begin().await.unwrap();
        let mut nodes = Vec::new();
        for piece in 0..2 {
            let rows: Vec<String> = (0..100).map(|n| format!("('big-{0}', 'big-{0}', 'big-{0}', '', 'offline', 1, '0', 1)", piece * 100 + n)).collect();
            let sql = format!("INSERT INTO job_nodes (id, name, hostname, machine_id, state, state_since, agent_version, enrolled_at) VALUES {}", rows.join(", "));
            tx.execute(&sql, &[]).await.unwrap();
            nodes.extend((0..100).map(|n| format!("big-{}", piece * 100 + n)));
        }
        tx.commit().await.unwrap();
        let mut request = w.request(&nodes.iter().map(String::as_str).collect::<Vec<_>>());
        request.wait_s = Some(0);
        request.strategy = serde_json::from_value(serde_json::json!({"batches": "10%"})).unwrap();
        let x = w.jobs.run(&admin(), request).await.unwrap();
        assert_eq!((x.summary.total, x.progress.batches), (200, 10));
        let done = soon(w.jobs.wait(&x.id)).await.unwrap();
        assert_eq!((done.status, done.summary.lost), (ExecutionStatus::Failed, 200));
        let g = w.jobs.groups(&admin(), &x.id).await.unwrap();
        assert_eq!((g.items.len(), g.items[0].count, g.items[0].fault), (1, 200, Some(Fault::Offline)));
    }
}
