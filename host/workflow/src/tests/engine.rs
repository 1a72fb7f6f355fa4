//! The engine and the service, on both databases.

use std::sync::Arc;
use std::time::Duration;

use plenum_access::Role;
use plenum_store::{both_databases, params};
use serde_json::{Value, json};

use super::{Fake, House, flow, operator, plugin, user};
use crate::{ListQuery, RunQuery, RunStatus, ScheduleSpec, Target, TaskStatus, WorkflowError};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

async fn save(h: &House, name: &str, body: &str) {
    h.workflows.save_definition(&operator(), name, &flow(body), None).await.unwrap();
}

async fn finish(h: &House, name: &str, input: Value) -> crate::Run {
    let run = h.workflows.start(&operator(), name, input, None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), h.workflows.wait(&operator(), &run.id)).await.expect("an end").unwrap()
}

/// Waits until `check` holds for the run.
pub(super) async fn until(h: &House, id: &str, check: impl Fn(&crate::Run) -> bool) -> crate::Run {
    let events = plenum_store::Events::new(h.workflows.engine.db.clone());
    for _ in 0..400 {
        let at = events.latest().await.unwrap();
        let run = h.workflows.run(&operator(), id).await.unwrap();
        if check(&run) {
            return run;
        }
        events.wait(at, Duration::from_millis(100)).await.unwrap();
    }
    panic!("the run never got there: {:?}", h.workflows.run(&operator(), id).await);
}

fn spec(name: &str, target: Target) -> ScheduleSpec {
    ScheduleSpec {
        name: name.into(),
        cron: "0 3 * * *".into(),
        timezone: "Europe/Berlin".into(),
        target,
        input: json!({"v": 1}),
        enabled: true,
        owner_plugin: None,
    }
}

both_databases! {
    migrations: SETS;

    async fn runs_and_records_tasks(db: Db) {
        let h = House::open(&db);
        save(&h, "sum", "do:\n- a: {call: add, with: {a: '${ .n }', b: 1}}\n- b: {set: {total: '${ . }'}}").await;
        let run = finish(&h, "sum", json!({"n": 2})).await;
        assert_eq!((run.status, &run.output), (RunStatus::Succeeded, &json!({"total": 3})));
        let tasks: Vec<_> = run.tasks.iter().map(|t| (t.pointer.as_str(), t.status, t.input.clone(), t.output.clone())).collect();
        assert_eq!(tasks, [
            ("/do/0/a", TaskStatus::Succeeded, json!({"a": 2, "b": 1}), json!(3)),
            ("/do/1/b", TaskStatus::Succeeded, json!(3), json!({"total": 3})),
        ]);
        let kinds: Vec<String> = plenum_store::Events::new(db.clone()).read(0, 100, &["plenum.workflow.run".into()]).await.unwrap().into_iter().map(|e| e.kind).collect();
        assert_eq!(kinds, ["plenum.workflow.run.started", "plenum.workflow.run.finished"]);
        let list = h.workflows.runs(&operator(), &RunQuery { search: Some("SUM".into()), status: vec![RunStatus::Succeeded], ..RunQuery::default() }).await.unwrap();
        assert_eq!((list.items.len(), list.total), (1, 1));
        h.close().await;
    }

    async fn a_key_starts_one_run(db: Db) {
        let h = House::open(&db);
        save(&h, "once", "do:\n- a: {call: echo}").await;
        let a = h.workflows.start(&operator(), "once", json!(1), Some("k")).await.unwrap();
        let b = h.workflows.start(&operator(), "once", json!(2), Some("k")).await.unwrap();
        assert_eq!(a.id, b.id);
        h.close().await;
    }

    async fn action_failures_become_errors(db: Db) {
        let h = House::open(&db);
        for (name, call, status, kind) in [("f", "{call: fail, with: {status: 403}}", 403, "authorization"), ("b", "{call: big}", 413, "runtime"), ("p", "{call: panics}", 500, "runtime")] {
            save(&h, name, &format!("do:\n- a: {call}")).await;
            let run = finish(&h, name, json!({})).await;
            let e = run.error.unwrap();
            assert_eq!(run.status, RunStatus::Failed);
            assert_eq!((e["status"].as_u64(), e["type"].as_str().unwrap().rsplit('/').next()), (Some(status), Some(kind)), "{e}");
        }
        h.close().await;
    }

    async fn a_waiting_call_says_why_and_cancel_ends_it(db: Db) {
        let h = House::open(&db);
        save(&h, "hang", "do:\n- a: {call: hang}").await;
        let run = h.workflows.start(&operator(), "hang", json!({}), None).await.unwrap();
        let run = until(&h, &run.id, |r| r.waiting.as_ref().is_some_and(|w| w.reason == "the end of days")).await;
        assert_eq!(run.tasks[0].status, TaskStatus::Waiting);
        let viewer = user("vera", Role::Viewer);
        assert!(matches!(h.workflows.cancel(&viewer, &run.id, None).await, Err(WorkflowError::Denied(_))));
        h.workflows.cancel(&operator(), &run.id, Some("enough")).await.unwrap();
        let run = h.workflows.wait(&operator(), &run.id).await.unwrap();
        assert_eq!((run.status, run.tasks[0].status), (RunStatus::Cancelled, TaskStatus::Cancelled));
        assert!(run.error.unwrap()["detail"].as_str().unwrap().contains("enough"));
        assert_eq!(h.host.cancelled.lock().unwrap().len(), 1);
        h.close().await;
    }

    async fn a_sleeping_run_survives_a_restart(db: Db) {
        let h = House::open(&db);
        save(&h, "sleep", "do:\n- w: {wait: PT3S}\n- a: {call: echo, with: {done: true}}").await;
        let run = h.workflows.start(&operator(), "sleep", json!({}), None).await.unwrap();
        let run = until(&h, &run.id, |r| r.status == RunStatus::Waiting && r.waiting.as_ref().is_some_and(|w| w.until.is_some())).await;
        h.close().await;
        let h = House::open(&db);
        let run = h.workflows.wait(&operator(), &run.id).await.unwrap();
        assert_eq!(run.output, json!({"done": true}));
        assert!(run.duration_ms >= 3000);
        h.close().await;
    }

    async fn a_cancelled_call_under_way_is_cancelled_after_a_restart_too(db: Db) {
        let h = House::open(&db);
        save(&h, "hang", "do:\n- a: {call: hang}").await;
        let run = h.workflows.start(&operator(), "hang", json!({}), None).await.unwrap();
        until(&h, &run.id, |r| r.waiting.as_ref().is_some_and(|w| w.reason == "the end of days")).await;
        let (w, host) = (h.workflows.clone(), h.host.clone());
        h.close().await;
        w.cancel(&operator(), &run.id, None).await.unwrap();
        let h = House::with(&db, host, None);
        let run = h.workflows.wait(&operator(), &run.id).await.unwrap();
        assert_eq!(run.status, RunStatus::Cancelled);
        assert_eq!(h.host.cancelled.lock().unwrap().len(), 1);
        h.close().await;
    }

    async fn versions_stay_with_their_runs(db: Db) {
        let h = House::open(&db);
        save(&h, "v", "do:\n- w: {wait: PT1S}\n- a: {set: {v: 1}}").await;
        let run = h.workflows.start(&operator(), "v", json!({}), None).await.unwrap();
        save(&h, "v", "do:\n- a: {set: {v: 2}}").await;
        assert_eq!(finish(&h, "v", json!({})).await.output, json!({"v": 2}));
        h.workflows.delete_definition(&operator(), "v").await.unwrap();
        assert_eq!(h.workflows.wait(&operator(), &run.id).await.unwrap().output, json!({"v": 1}));
        assert!(matches!(h.workflows.start(&operator(), "v", json!({}), None).await, Err(WorkflowError::NotFound(_))));
        save(&h, "v", "do:\n- a: {set: {v: 3}}").await;
        assert_eq!(h.workflows.definition(&operator(), "v").await.unwrap().version, 3);
        h.close().await;
    }

    async fn viewers_and_foreign_plugins_are_refused(db: Db) {
        let h = House::open(&db);
        save(&h, "mine", "do:\n- a: {call: echo}").await;
        let viewer = user("vera", Role::Viewer);
        assert!(matches!(h.workflows.start(&viewer, "mine", json!({}), None).await, Err(WorkflowError::Denied(_))));
        assert!(matches!(h.workflows.save_definition(&viewer, "x", "", None).await, Err(WorkflowError::Denied(_))));
        assert!(matches!(h.workflows.create_schedule(&viewer, spec("s", Target::Workflow("mine".into()))).await, Err(WorkflowError::Denied(_))));
        assert!(h.workflows.definition(&viewer, "mine").await.is_ok());
        let p = plugin("my-plugin");
        assert!(matches!(h.workflows.start(&p, "mine", json!({}), None).await, Err(WorkflowError::Denied(_))));
        let own = flow("do:\n- a: {call: my-plugin.plan}");
        h.workflows.save_definition(&p, "my-plugin.flow", &own, Some("my-plugin")).await.unwrap();
        let run = h.workflows.start(&p, "my-plugin.flow", json!(1), None).await.unwrap();
        h.workflows.wait(&p, &run.id).await.unwrap();
        finish(&h, "mine", json!({})).await;
        let seen = h.workflows.runs(&p, &RunQuery::default()).await.unwrap();
        assert!(seen.items.iter().all(|r| r.workflow == "my-plugin.flow") && seen.total == 1);
        assert!(matches!(h.workflows.run(&plugin("other"), &run.id).await, Err(WorkflowError::Denied(_))));
        assert!(matches!(h.workflows.delete_definition(&operator(), "my-plugin.flow").await, Err(WorkflowError::Conflict(_))));
        assert!(h.workflows.save_definition(&operator(), "my-plugin.flow", &own, None).await.is_err());
        h.workflows.delete_owned(&user("ada", Role::Administrator), "my-plugin").await.unwrap();
        assert!(matches!(h.workflows.definition(&p, "my-plugin.flow").await, Err(WorkflowError::NotFound(_))));
        h.close().await;
    }

    async fn a_disabled_user_cannot_act_through_a_run(db: Db) {
        let h = House::open(&db);
        save(&h, "w", "do:\n- a: {wait: PT1S}\n- b: {call: echo}").await;
        let run = h.workflows.start(&operator(), "w", json!({}), None).await.unwrap();
        h.host.disabled.lock().unwrap().push("olga".into());
        let run = h.workflows.wait(&operator(), &run.id).await.unwrap();
        assert_eq!(run.error.unwrap()["code"], "access.disabled");
        h.close().await;
    }

    async fn wrong_input_and_definitions_are_refused(db: Db) {
        let h = House::open(&db);
        let bad = h.workflows.save_definition(&operator(), "bad", &flow("do:\n- a: {call: nope}"), None).await;
        assert!(matches!(bad, Err(WorkflowError::Invalid(p)) if p[0].pointer == "/do/0/a/call"));
        save(&h, "typed", "input: {schema: {document: {type: object, required: [n]}}}\ndo:\n- a: {call: echo}").await;
        assert!(matches!(h.workflows.start(&operator(), "typed", json!({}), None).await, Err(WorkflowError::Input(_))));
        assert!(matches!(h.workflows.start(&operator(), "typed", json!({"n": "x".repeat(2 << 20)}), None).await, Err(WorkflowError::TooLarge { .. })));
        assert!(h.workflows.definition(&operator(), "typed").await.unwrap().input_schema.is_some());
        assert!(matches!(h.workflows.save_definition(&operator(), "Bad Name", &flow("do:\n- a: {call: echo}"), None).await, Err(WorkflowError::Argument { .. })));
        h.close().await;
    }

    async fn a_schedule_fires_once_across_restarts(db: Db) {
        let h = House::open(&db);
        save(&h, "tick", "do:\n- a: {call: echo}").await;
        let s = h.workflows.create_schedule(&operator(), spec("s", Target::Workflow("tick".into()))).await.unwrap();
        let act = h.workflows.create_schedule(&operator(), spec("t", Target::Action("echo".into()))).await.unwrap();
        assert!(matches!(h.workflows.create_schedule(&operator(), spec("s", Target::Workflow("tick".into()))).await, Err(WorkflowError::Conflict(_))));
        let w = h.workflows.clone();
        h.close().await;
        // Make it due: the planned time a minute ago, as if the host had been off.
        let due = plenum_store::now_ms() - 60_000;
        db.execute("UPDATE workflow_schedules SET cron = '0 0 1 1 *', next_at = ?", params![due]).await.unwrap();
        let (a, b) = (House::open(&db), House::open(&db));
        for s in [&s, &act] {
            let mut id = None;
            for _ in 0..200 {
                id = w.schedule(&operator(), &s.id).await.unwrap().last_run;
                if id.is_some() { break; }
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let run = until(&a, &id.expect("it fired"), |r| r.status.is_final()).await;
            assert_eq!((run.status, run.output), (RunStatus::Succeeded, json!({"v": 1})));
            assert_eq!(run.origin, Some(format!("schedule/{}", s.id)));
        }
        let runs = a.workflows.runs(&operator(), &RunQuery::default()).await.unwrap();
        assert_eq!(runs.total, 2, "each fired once");
        a.close().await;
        b.close().await;
    }

    async fn a_long_missed_or_forbidden_firing_is_noted(db: Db) {
        let h = House::open(&db);
        save(&h, "tick", "do:\n- a: {call: echo}").await;
        let missed = h.workflows.create_schedule(&operator(), spec("missed", Target::Workflow("tick".into()))).await.unwrap();
        let gone = h.workflows.create_schedule(&user("gone", Role::Operator), spec("gone", Target::Workflow("tick".into()))).await.unwrap();
        let host = h.host.clone();
        h.close().await;
        host.disabled.lock().unwrap().push("gone".into());
        let now = plenum_store::now_ms();
        db.execute("UPDATE workflow_schedules SET cron = '0 0 1 1 *', next_at = ? WHERE id = ?", params![now - 7_200_000, &missed.id]).await.unwrap();
        db.execute("UPDATE workflow_schedules SET cron = '0 0 1 1 *', next_at = ? WHERE id = ?", params![now - 1_000, &gone.id]).await.unwrap();
        let h = House::with(&db, host, None);
        for (id, word) in [(&missed.id, "missed"), (&gone.id, "disabled")] {
            let mut error = None;
            for _ in 0..200 {
                error = h.workflows.schedule(&operator(), id).await.unwrap().last_error;
                if error.is_some() { break; }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(error.as_deref().is_some_and(|e| e.contains(word)), "{error:?}");
        }
        assert_eq!(h.workflows.runs(&operator(), &RunQuery::default()).await.unwrap().total, 0);
        h.close().await;
    }

    async fn schedules_can_be_listed_changed_and_deleted(db: Db) {
        let h = House::open(&db);
        save(&h, "tick", "do:\n- a: {call: echo}").await;
        let s = h.workflows.create_schedule(&operator(), spec("s", Target::Workflow("tick".into()))).await.unwrap();
        let off = h.workflows.update_schedule(&operator(), &s.id, crate::SchedulePatch { enabled: Some(false), ..Default::default() }).await.unwrap();
        assert_eq!(off.next_at, None);
        assert!(matches!(h.workflows.update_schedule(&operator(), &s.id, crate::SchedulePatch { cron: Some("x".into()), ..Default::default() }).await, Err(WorkflowError::Argument { field: "cron", .. })));
        assert_eq!(h.workflows.schedules(&operator(), &ListQuery::default()).await.unwrap().items.len(), 1);
        let p = plugin("my-plugin");
        assert_eq!(h.workflows.schedules(&p, &ListQuery::default()).await.unwrap().items.len(), 0);
        assert!(h.workflows.delete_schedule(&p, &s.id).await.is_err());
        let own = h.workflows.put_schedule(&p, spec("s", Target::Action("my-plugin.plan".into()))).await.unwrap();
        let again = h.workflows.put_schedule(&p, spec("s", Target::Action("my-plugin.plan".into()))).await.unwrap();
        assert_eq!((own.id.clone(), own.next_at), (again.id, again.next_at));
        assert!(h.workflows.put_schedule(&p, spec("x", Target::Action("echo".into()))).await.is_err());
        h.workflows.delete_schedule(&p, &own.id).await.unwrap();
        h.workflows.delete_schedule(&operator(), &s.id).await.unwrap();
        h.close().await;
    }

    async fn many_runs_at_once_all_end(db: Db) {
        let host: Arc<Fake> = Arc::default();
        let h = House::with(&db, host, None);
        save(&h, "many", "do:\n- a: {call: echo, with: {n: '${ .n }'}}").await;
        let mut ids = Vec::new();
        for n in 0..60 {
            ids.push(h.workflows.start(&operator(), "many", json!({"n": n}), None).await.unwrap().id);
        }
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(h.workflows.wait(&operator(), id).await.unwrap().output, json!({"n": n}));
        }
        let page = h.workflows.runs(&operator(), &RunQuery { limit: 25, ..RunQuery::default() }).await.unwrap();
        let next = h.workflows.runs(&operator(), &RunQuery { limit: 500, cursor: page.next_cursor, ..RunQuery::default() }).await.unwrap();
        assert_eq!((page.items.len(), next.items.len(), page.total), (25, 35, 60));
        h.close().await;
    }
}
