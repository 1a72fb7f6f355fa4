//! Runs within runs, locks and paces: what the engine answers itself.

use std::time::Duration;

use plenum_store::both_databases;
use serde_json::{Value, json};

use super::engine::until;
use super::{House, flow, operator};
use crate::{EngineConfig, RunQuery, RunStatus};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

async fn save(h: &House, name: &str, body: &str) {
    h.workflows.save_definition(&operator(), name, &flow(body), None).await.unwrap();
}

async fn start(h: &House, name: &str, input: Value) -> String {
    h.workflows.start(&operator(), name, input, None).await.unwrap().id
}

async fn end(h: &House, id: &str) -> crate::Run {
    tokio::time::timeout(Duration::from_secs(60), h.workflows.wait(&operator(), id)).await.expect("an end").unwrap()
}

const CALLS: &str = "do:\n- sub: {run: {workflow: {namespace: test, name: child, version: VERSION, input: {n: '${ .n }'}}}}";

both_databases! {
    migrations: SETS;

    async fn a_sub_flow_answers_its_output_or_its_error(db: Db) {
        let h = House::open(&db);
        save(&h, "child", "do:\n- a: {call: add, with: {a: '${ .n }', b: 1}}\n- b: {if: '${ . > 9 }', raise: {error: {type: 'urn:big', status: 409, title: Too big}}}").await;
        save(&h, "parent", &CALLS.replace("VERSION", "'1.0.0'")).await;
        let id = start(&h, "parent", json!({"n": 4})).await;
        assert_eq!(end(&h, &id).await.output, json!(5));
        let id = start(&h, "parent", json!({"n": 9})).await;
        let e = end(&h, &id).await.error.unwrap();
        assert_eq!((&e["type"], &e["status"], &e["instance"]), (&json!("urn:big"), &json!(409), &json!("/do/0/sub")));
        save(&h, "other", &CALLS.replace("VERSION", "'2.0.0'")).await;
        let id = start(&h, "other", json!({"n": 9})).await;
        assert_eq!(end(&h, &id).await.error.unwrap()["status"], 404);
        save(&h, "newest", &CALLS.replace("VERSION", "latest")).await;
        let id = start(&h, "newest", json!({"n": 1})).await;
        assert_eq!(end(&h, &id).await.output, json!(2));
        assert!(db.fetch_all("SELECT key FROM workflow_parked", &[]).await.unwrap().is_empty());
        h.close().await;
    }

    async fn a_cancelled_parent_cancels_its_child(db: Db) {
        let h = House::open(&db);
        save(&h, "child", "do:\n- a: {call: hang}").await;
        save(&h, "parent", &CALLS.replace("VERSION", "latest")).await;
        let id = start(&h, "parent", json!({"n": 1})).await;
        until(&h, &id, |r| r.status == RunStatus::Waiting && r.waiting.as_ref().is_some_and(|w| w.reason.contains("the run of child"))).await;
        let runs = h.workflows.runs(&operator(), &RunQuery { workflow: Some("child".into()), ..RunQuery::default() }).await.unwrap();
        let child = runs.items[0].id.clone();
        assert_eq!(runs.items[0].origin, Some(format!("run/{id}")));
        until(&h, &child, |r| r.tasks.first().is_some_and(|t| t.waiting.is_some())).await;
        h.workflows.cancel(&operator(), &id, None).await.unwrap();
        assert_eq!(end(&h, &id).await.status, RunStatus::Cancelled);
        assert_eq!(end(&h, &child).await.status, RunStatus::Cancelled);
        h.close().await;
    }

    async fn a_workflow_that_runs_itself_ends(db: Db) {
        let h = House::open(&db);
        save(&h, "child", &CALLS.replace("VERSION", "latest")).await;
        let id = start(&h, "child", json!({"n": 1})).await;
        let run = end(&h, &id).await;
        assert_eq!(run.status, RunStatus::Failed);
        assert!(run.error.unwrap()["detail"].as_str().unwrap().contains("16 deep"));
        h.close().await;
    }

    async fn more_parents_than_places_do_not_block_their_children(db: Db) {
        let config = EngineConfig { active_runs: 2, calls: 2, calls_per_run: 2 };
        let h = House::bounded(&db, config);
        save(&h, "child", "do:\n- a: {call: echo}").await;
        save(&h, "parent", &CALLS.replace("VERSION", "latest")).await;
        let mut ids = Vec::new();
        for n in 0..8 {
            ids.push(start(&h, "parent", json!({"n": n})).await);
        }
        for id in ids {
            assert_eq!(end(&h, &id).await.status, RunStatus::Succeeded);
        }
        h.close().await;
    }

    async fn a_lock_is_held_by_one_until_its_run_ends(db: Db) {
        let h = House::open(&db);
        save(&h, "locked", "do:\n- l: {call: lock, with: {name: deploy}}\n- w: {call: hang}").await;
        let first = start(&h, "locked", json!({})).await;
        until(&h, &first, |r| r.tasks.len() == 2).await;
        let second = start(&h, "locked", json!({})).await;
        let run = until(&h, &second, |r| r.waiting.as_ref().is_some_and(|w| w.reason.contains("lock"))).await;
        assert_eq!((run.status, run.waiting.unwrap().reason.as_str()), (RunStatus::Waiting, "the lock deploy"));
        let third = start(&h, "locked", json!({})).await;
        until(&h, &third, |r| r.waiting.as_ref().is_some_and(|w| w.reason.contains("lock"))).await;
        // However it ends: the one in the queue gives up its place, the holder the lock.
        h.workflows.cancel(&operator(), &second, None).await.unwrap();
        end(&h, &second).await;
        h.workflows.cancel(&operator(), &first, None).await.unwrap();
        until(&h, &third, |r| r.tasks.len() == 2).await;
        h.workflows.cancel(&operator(), &third, None).await.unwrap();
        end(&h, &third).await;
        assert!(db.fetch_all("SELECT id FROM workflow_locks", &[]).await.unwrap().is_empty());
        h.close().await;
    }

    async fn two_runs_that_want_each_others_locks_do_not_wait_for_ever(db: Db) {
        let h = House::open(&db);
        let body = |a: &str, b: &str| format!("do:\n- a: {{call: lock, with: {{name: {a}}}}}\n- s: {{listen: {{to: {{one: {{with: {{type: go}}}}}}}}}}\n- b: {{call: lock, with: {{name: {b}}}}}\n- c: {{call: unlock, with: {{name: {b}}}}}");
        save(&h, "ab", &body("a", "b")).await;
        save(&h, "ba", &body("b", "a")).await;
        let (one, two) = (start(&h, "ab", json!({})).await, start(&h, "ba", json!({})).await);
        for id in [&one, &two] {
            until(&h, id, |r| r.tasks.len() == 2 && r.status == RunStatus::Waiting).await;
        }
        let mut tx = db.begin().await.unwrap();
        let go = plenum_store::NewEvent { kind: "go".into(), source: "/t".into(), subject: String::new(), data: json!(1) };
        plenum_store::events::emit(&mut tx, go).await.unwrap();
        tx.commit().await.unwrap();
        let ends = [end(&h, &one).await, end(&h, &two).await];
        let mut status: Vec<&str> = ends.iter().map(|r| r.status.name()).collect();
        status.sort();
        assert_eq!(status, ["failed", "succeeded"]);
        let e = ends.iter().find_map(|r| r.error.clone()).unwrap();
        assert_eq!(e["title"], "A circle of locks");
        h.close().await;
    }

    async fn permits_let_several_in_and_a_rate_spaces_them(db: Db) {
        let h = House::open(&db);
        save(&h, "two", "do:\n- l: {call: lock, with: {name: k, permits: 2}}\n- w: {call: hang}").await;
        let ids = [start(&h, "two", json!({})).await, start(&h, "two", json!({})).await];
        for id in &ids {
            until(&h, id, |r| r.tasks.len() == 2).await;
        }
        let third = start(&h, "two", json!({})).await;
        until(&h, &third, |r| r.waiting.as_ref().is_some_and(|w| w.reason == "the lock k")).await;
        h.workflows.cancel(&operator(), &ids[0], None).await.unwrap();
        until(&h, &third, |r| r.tasks.len() == 2).await;
        for id in [&ids[1], &third] {
            h.workflows.cancel(&operator(), id, None).await.unwrap();
        }
        save(&h, "paced", "do:\n- l: {for: {in: '[range(4)]'}, do: [{r: {call: rate, with: {name: api, limit: 2, per: {milliseconds: 400}}}}]}").await;
        let id = start(&h, "paced", json!({})).await;
        let run = end(&h, &id).await;
        assert_eq!(run.status, RunStatus::Succeeded);
        assert!(run.duration_ms >= 300, "four calls at two in 400 ms took {} ms", run.duration_ms);
        h.close().await;
    }
}
