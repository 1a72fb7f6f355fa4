//! Who may do what, and what is refused.

use plenum_access::{Principal, Role};
use plenum_agent_protocol::v1::FinishStatus as F;
use plenum_store::both_databases;

use super::support::*;
use crate::inventory::Found;
use crate::*;

fn found(model: &str, id: &str, node: Option<&str>) -> Found {
    Found { instance: InstanceRef { model: model.into(), id: id.into() }, label: id.into(), node_id: node.map(str::to_owned) }
}

both_databases! {
    migrations: SETS;

    async fn viewer_cannot_run_job(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let viewer = user(Role::Viewer);
        assert_eq!(w.jobs.run(&viewer, w.request(&[&e.node])).await.err().unwrap().code(), "access.denied");
        let x = w.run(&[&e.node]).await;
        assert_eq!(w.jobs.cancel(&viewer, &x.id).await.err().unwrap().code(), "access.denied");
        assert_eq!(w.jobs.revoke(&user(Role::Operator), &e.node).await.err().unwrap().code(), "access.denied");
        assert_eq!(w.jobs.create_enrolment_token(&user(Role::Operator), None).await.err().unwrap().code(), "access.denied");
        w.jobs.execution(&viewer, &x.id).await.unwrap();
    }

    async fn a_plugin_reads_its_own_executions_only(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let p = plugin("p", &[("jobs.run", &[]), ("jobs.read", &[])]);
        let other = plugin("q", &[("jobs.run", &[]), ("jobs.read", &[])]);
        let all = plugin("r", &[("jobs.read", &[("executions", &["all"])])]);
        let mine = w.jobs.run(&p, w.request(&[&e.node])).await.unwrap();
        let theirs = w.run(&[&e.node]).await;
        assert_eq!(w.jobs.execution(&p, &mine.id).await.unwrap().plugin.as_deref(), Some("p"));
        for (who, id) in [(&p, &theirs.id), (&other, &mine.id)] {
            assert_eq!(w.jobs.execution(who, id).await.err().unwrap().code(), "jobs.unknown_execution");
            assert_eq!(w.jobs.output(who, id, &e.node, OutputStream::Stdout, 0, 0).await.err().unwrap().code(), "jobs.unknown_execution");
            assert!(w.jobs.watch_output(who, id, WatchCursor::default(), WatchScope::default()).await.is_err());
        }
        assert_eq!(w.jobs.cancel(&other, &mine.id).await.err().unwrap().code(), "jobs.unknown_execution");
        assert_eq!(w.jobs.executions(&p, &ExecutionQuery::default()).await.unwrap().total, 1);
        assert_eq!(w.jobs.executions(&all, &ExecutionQuery::default()).await.unwrap().total, 2);
        let narrow = plugin("s", &[("jobs.run", &[("models", &["postgresql"])])]);
        assert_eq!(w.jobs.run(&narrow, w.request(&[&e.node])).await.err().unwrap().code(), "access.denied");
    }

    async fn a_plugin_runs_only_what_its_scope_names(db: Db) {
        let w = World::new(db).await;
        let (a, b) = (w.enrol("a").await, w.enrol("b").await);
        let request = w.request(&[&a.node]);
        let script = script_name(&request.script.content);
        let denied = async |who: &Principal, r: RunRequest, words: &str| {
            let e = w.jobs.run(who, r).await.err().unwrap();
            assert_eq!(e.code(), "access.denied");
            assert!(e.to_string().contains(words), "{e}");
        };
        let scripts = plugin("p", &[("jobs.run", &[("scripts", &[&script])])]);
        w.jobs.run(&scripts, request.clone()).await.unwrap();
        let mut other = request.clone();
        other.script.content.push(' ');
        let line = format!("scripts = [\"{script}\", \"{}\"]", script_name(&other.script.content));
        denied(&scripts, other, &line).await;

        let users = plugin("q", &[("jobs.run", &[("users", &["nobody"])])]);
        denied(&users, request.clone(), "users = [\"nobody\", \"@agent\"]").await;
        denied(&users, RunRequest { user: Some("root".into()), ..request.clone() }, "users: root").await;
        w.jobs.run(&users, RunRequest { user: Some("nobody".into()), ..request.clone() }).await.unwrap();

        // The fake's filter is a node's id.
        let hosts = plugin("r", &[("jobs.run", &[("targets", &[&a.node])])]);
        w.jobs.run(&hosts, request).await.unwrap();
        for nodes in [vec![b.node.as_str()], vec![a.node.as_str(), b.node.as_str()]] {
            denied(&hosts, w.request(&nodes), "and b is none of them").await;
        }
        assert_eq!(w.jobs.executions(&admin(), &ExecutionQuery::default()).await.unwrap().total, 3);
    }

    async fn old_executions_go_and_the_others_stay(db: Db) {
        let w = World::with(db, std::sync::Arc::new(tempfile::tempdir().unwrap()), |c| c.keep = std::time::Duration::from_secs(60)).await;
        let mut a = w.online("a").await;
        let mut ids = Vec::new();
        for _ in 0..12 {
            let x = w.run(&[&a.node]).await;
            a.run().await;
            a.started(&x.id).await;
            a.output(&x.id, 1, b"out").await;
            a.finish(&x.id, F::Succeeded, 1).await;
            soon(w.jobs.wait(&x.id)).await.unwrap();
            ids.push(x.id);
        }
        let running = w.run(&[&a.node]).await;
        assert_eq!(w.jobs.prune().await.unwrap(), 0);
        let (kept, old) = ids.split_last().unwrap();
        for id in old {
            w.db.execute("UPDATE job_executions SET finished_at = finished_at - 61000 WHERE id = ?", &[id.into()]).await.unwrap();
        }
        assert_eq!(w.jobs.prune().await.unwrap(), 11);
        let admin = admin();
        assert_eq!(w.jobs.execution(&admin, &old[0]).await.err().unwrap().code(), "jobs.unknown_execution");
        assert_eq!(w.jobs.output(&admin, kept, &a.node, OutputStream::Stdout, 0, 100).await.unwrap().data, b"out");
        assert_eq!(w.jobs.execution(&admin, &running.id).await.unwrap().status, ExecutionStatus::Running);
        for table in ["job_output", "job_targets"] {
            let left = w.db.fetch_all(&format!("SELECT DISTINCT execution_id FROM {table}"), &[]).await.unwrap();
            assert!(left.iter().all(|r| !old.contains(&r.text("execution_id").unwrap())), "{table}");
        }
        let counts = w.jobs.execution_counts(&admin, std::time::Duration::from_secs(3600)).await.unwrap();
        assert_eq!(counts, [(ExecutionStatus::Running, 1), (ExecutionStatus::Succeeded, 1)]);
    }

    async fn a_key_stands_for_one_execution(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut request = w.request(&[&e.node]);
        request.key = Some("k".into());
        let admin = admin();
        let all = futures::future::join_all((0..5).map(|_| w.jobs.run(&admin, request.clone()))).await;
        let ids: std::collections::HashSet<String> = all.into_iter().map(|r| r.unwrap().id).collect();
        assert_eq!(ids.len(), 1);
        // Another's key is another key.
        let p = plugin("p", &[("jobs.run", &[])]);
        assert!(!ids.contains(&w.jobs.run(&p, request.clone()).await.unwrap().id));
        request.script.content = "something else".into();
        assert_eq!(w.jobs.run(&admin, request).await.err().unwrap().code(), "jobs.key_conflict");
    }

    async fn targets_come_from_hosts_services_and_nodes(db: Db) {
        let w = World::new(db).await;
        let mut a = w.online("a").await;
        let f = w.enrol("b").await;
        *w.cmdb.records.lock().unwrap() = vec![
            found("postgresql", "pg1", Some(&a.node)),
            found("postgresql", "pg2", Some(&a.node)),
            found("postgresql", "pg3", None),
            found("host", "h2", Some(&f.node)),
            found("redis", "r1", None),
        ];
        let targets: Targets = serde_json::from_value(serde_json::json!({"filter": {"model": "postgresql", "cel": ""}, "instances": [{"model": "host", "id": "h2"}]})).unwrap();
        let preview = w.jobs.preview(&user(Role::Viewer), &targets).await.unwrap();
        assert_eq!((preview.total, preview.unreachable.len()), (2, 1));
        assert_eq!(preview.items[0].instances.len(), 2);
        assert!(preview.unreachable[0].reason.contains("no agent"));
        let mut request = w.request(&[]);
        request.targets = Targets { instances: vec![], ..targets };
        let x = w.jobs.run(&admin(), request).await.unwrap();
        a.run().await;
        a.finish(&x.id, F::Succeeded, 0).await;
        soon(w.jobs.wait(&x.id)).await.unwrap();
        let ids: Vec<String> = w.result(&x.id, &a.node).await.instances.into_iter().map(|i| i.id).collect();
        assert_eq!(ids, ["pg1", "pg2"]);
        let mut none = w.request(&[]);
        none.targets.filter = Some(FilterTargets { model: "redis".into(), cel: String::new() });
        assert_eq!(w.jobs.run(&admin(), none).await.err().unwrap().code(), "jobs.no_targets");
        assert_eq!(w.jobs.run(&admin(), w.request(&[&f.node, &f.node])).await.err().unwrap().code(), "jobs.duplicate_target");
        assert_eq!(w.jobs.run(&admin(), w.request(&["nobody"])).await.err().unwrap().code(), "jobs.unknown_node");
        assert_eq!(w.jobs.run(&admin(), w.request(&[])).await.err().unwrap().code(), "jobs.no_targets");
    }

    async fn lists_have_pages(db: Db) {
        let w = World::new(db).await;
        let mut nodes = Vec::new();
        for n in 0..5 {
            nodes.push(w.enrol(&format!("m{n}")).await.node);
        }
        let ids: Vec<&str> = nodes.iter().map(String::as_str).collect();
        for _ in 0..3 {
            w.run(&ids).await;
        }
        let admin = admin();
        let first = w.jobs.executions(&admin, &ExecutionQuery { limit: 2, ..Default::default() }).await.unwrap();
        let second = w.jobs.executions(&admin, &ExecutionQuery { limit: 2, cursor: first.next_cursor.clone(), search: Some("TES".into()), ..Default::default() }).await.unwrap();
        assert_eq!((first.total, first.items.len(), second.items.len(), second.next_cursor), (3, 2, 1, None));
        assert_eq!(first.items[0].summary.waiting, 5);
        let id = &first.items[0].id;
        let one = w.jobs.results(&admin, id, &ResultQuery { limit: 3, ..Default::default() }).await.unwrap();
        let two = w.jobs.results(&admin, id, &ResultQuery { limit: 3, cursor: one.next_cursor.clone(), ..Default::default() }).await.unwrap();
        let seen: Vec<&str> = one.items.iter().chain(&two.items).map(|t| t.node_id.as_str()).collect();
        assert_eq!(seen, ids);
        let page = w.jobs.nodes(&admin, &NodeQuery { limit: 4, ..Default::default() }).await.unwrap();
        let rest = w.jobs.nodes(&admin, &NodeQuery { limit: 4, cursor: page.next_cursor.clone(), ..Default::default() }).await.unwrap();
        assert_eq!((page.total, page.items.len(), rest.items.len()), (5, 4, 1));
        let named = w.jobs.rename(&admin, ids[0], "db_1%").await.unwrap();
        assert_eq!(named.name, "db_1%");
        let hit = w.jobs.nodes(&admin, &NodeQuery { search: Some("B_1%".into()), ..Default::default() }).await.unwrap();
        assert_eq!(hit.total, 1);
    }
}
