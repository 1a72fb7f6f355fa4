//! The operator's hands, on both databases: in loops within forks, on runs that failed, and over a death of the engine.

use std::time::Duration;

use plenum_access::Role;
use plenum_store::both_databases;
use serde_json::{Value, json};

use super::engine::until;
use super::{House, flow, operator, user};
use crate::{Act, Run, RunStatus, Task, TaskStatus, WorkflowError};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

/// A loop in a branch, beside a branch that waits for ever.
const NESTED: &str = "
do:
- both:
    fork:
      branches:
      - loops:
          for: {each: x, in: '[1, 2]'}
          do:
          - inner: {for: {each: y, in: '[10, 20]'}, do: [{work: {call: fail, if: '${ $x == 2 and $y == 10 }', with: {status: 500}}}, {note: {set: {at: '${ [$x, $y] }'}}}]}
      - beside: {call: hang}
- last: {call: echo}
";

async fn start(h: &House, name: &str, body: &str, input: Value) -> String {
    h.workflows.save_definition(&operator(), name, &flow(body), None).await.unwrap();
    h.workflows.start(&operator(), name, input, None).await.unwrap().id
}

async fn end(h: &House, id: &str) -> Run {
    tokio::time::timeout(Duration::from_secs(60), h.workflows.wait(&operator(), id)).await.expect("an end").unwrap()
}

async fn act(h: &House, id: &str, task: Option<u64>, act: Act) -> Run {
    h.workflows.operate(&operator(), id, task, act, "a test").await.unwrap()
}

/// The newest execution of a task.
fn task<'r>(run: &'r Run, name: &str) -> &'r Task {
    run.tasks.iter().rev().find(|t| t.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", run.tasks))
}

fn live(run: &Run, name: &str) -> bool {
    run.tasks.iter().any(|t| t.name == name && matches!(t.status, TaskStatus::Running | TaskStatus::Waiting))
}

both_databases! {
    migrations: SETS;

    async fn a_failed_run_goes_on_where_it_failed(db: Db) {
        let h = House::open(&db);
        let id = start(&h, "nested", NESTED, json!({})).await;
        let run = end(&h, &id).await;
        assert_eq!((run.status, run.can_go_on), (RunStatus::Failed, true));
        assert_eq!(task(&run, "work").path, "/do/0/both/fork/branches/0/loops[1]/do/0/inner[0]/do/0/work");
        // With the right to, and with a reason, and what failed: nothing else moves it.
        let failed = task(&run, "work").id;
        let done = run.tasks.iter().find(|t| t.name == "note" && t.status == TaskStatus::Succeeded).unwrap().id;
        let viewer = user("vera", Role::Viewer);
        let w = &h.workflows;
        assert!(matches!(w.operate(&viewer, &id, Some(failed), Act::Retry { input: None }, "x").await, Err(WorkflowError::Denied(_))));
        assert!(matches!(w.operate(&operator(), &id, Some(failed), Act::Fail, "  ").await, Err(WorkflowError::Argument { field: "reason", .. })));
        assert!(matches!(w.operate(&operator(), &id, Some(done), Act::Skip { output: None }, "x").await, Err(WorkflowError::Conflict(_))));
        assert!(matches!(w.operate(&operator(), &id, Some(9999), Act::Fail, "x").await, Err(WorkflowError::NotFound(_))));
        assert!(matches!(w.operate(&operator(), &id, None, Act::Pause, "x").await, Err(WorkflowError::Conflict(_))));
        assert_eq!(w.run(&operator(), &id).await.unwrap().status, RunStatus::Failed, "refusals change nothing");

        // Again, with the same end.
        act(&h, &id, Some(failed), Act::Retry { input: None }).await;
        let run = end(&h, &id).await;
        assert_eq!((run.status, task(&run, "work").attempt), (RunStatus::Failed, 2));
        let failed = task(&run, "work").id;
        act(&h, &id, Some(failed), Act::Skip { output: Some(json!({"by": "hand"})) }).await;
        // The loops end; the branch beside hangs again, and is skipped too.
        let run = until(&h, &id, |r| task(r, "loops").status == TaskStatus::Succeeded && live(r, "beside")).await;
        let notes: Vec<&Value> = run.tasks.iter().filter(|t| t.name == "note" && t.status == TaskStatus::Succeeded).map(|t| &t.output["at"]).collect();
        assert_eq!(notes, [&json!([1, 10]), &json!([1, 20]), &json!([2, 10]), &json!([2, 20])]);
        act(&h, &id, Some(task(&run, "beside").id), Act::Skip { output: Some(Value::Null) }).await;
        let run = end(&h, &id).await;
        assert_eq!((run.status, &run.output), (RunStatus::Succeeded, &json!([{"at": [2, 20]}, null])));
        assert!(run.error.is_none() && !run.can_go_on);
        let skipped: Vec<&str> = run.tasks.iter().filter(|t| t.status == TaskStatus::Skipped && t.output != Value::Null).map(|t| t.name.as_str()).collect();
        assert!(skipped.contains(&"work"), "{skipped:?}");
        let rows = db.fetch_all("SELECT action, after FROM audit_log WHERE action LIKE 'workflow.run.%' ORDER BY seq", &[]).await.unwrap();
        let said: Vec<String> = rows.iter().map(|r| r.text("action").unwrap()).collect();
        assert_eq!(said.iter().filter(|a| *a == "workflow.run.skip").count(), 2, "{said:?}");
        assert_eq!(said.iter().filter(|a| *a == "workflow.run.retry").count(), 1, "{said:?}");
        h.close().await;
    }

    async fn a_call_is_retried_with_other_arguments(db: Db) {
        let h = House::open(&db);
        let id = start(&h, "args", "do:\n- a: {call: add, with: {a: 1, b: 1}}\n- t: {call: flaky, with: {times: 99}}\n- z: {call: echo}", json!({})).await;
        let run = end(&h, &id).await;
        assert_eq!(run.status, RunStatus::Failed);
        act(&h, &id, Some(task(&run, "t").id), Act::Retry { input: Some(json!({"times": 1})) }).await;
        let run = end(&h, &id).await;
        assert_eq!((run.status, &run.output), (RunStatus::Succeeded, &json!({"after": 2})));
        assert_eq!(task(&run, "t").input, json!({"times": 1}));
        assert_eq!(h.host.effects.lock().unwrap().iter().filter(|(p, _)| p.ends_with("/a")).count(), 1, "what was done stays done");
        h.close().await;
    }

    async fn a_paused_run_begins_nothing_and_loses_no_result(db: Db) {
        let h = House::open(&db);
        let id = start(&h, "pause", "do:\n- w: {wait: {milliseconds: 300}}\n- a: {call: echo, with: {done: true}}", json!({})).await;
        until(&h, &id, |r| live(r, "w")).await;
        act(&h, &id, None, Act::Pause).await;
        let run = until(&h, &id, |r| r.waiting.as_ref().is_some_and(|w| w.paused)).await;
        let waiting = run.waiting.unwrap();
        assert!(waiting.reason.contains("olga") && waiting.reason.contains("a test") && waiting.until.is_none(), "{waiting:?}");
        assert!(matches!(h.workflows.operate(&operator(), &id, None, Act::Pause, "again").await, Err(WorkflowError::Conflict(_))));
        // Longer than the wait, and over a restart: it does not move.
        h.close().await;
        let h = House::open(&db);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(h.workflows.run(&operator(), &id).await.unwrap().tasks.len(), 1);
        act(&h, &id, None, Act::Resume).await;
        assert_eq!(end(&h, &id).await.output, json!({"done": true}));
        h.close().await;
    }

    async fn a_paused_task_holds_its_branch_only(db: Db) {
        let h = House::open(&db);
        let body = "do:\n- f: {fork: {branches: [{one: {do: [{w: {wait: {milliseconds: 50}}}, {x: {call: echo, with: 1}}]}}, {two: {do: [{y: {wait: {milliseconds: 400}}}, {z: {call: echo, with: 2}}]}}]}}";
        let id = start(&h, "branch", body, json!({})).await;
        let run = until(&h, &id, |r| live(r, "y")).await;
        act(&h, &id, Some(task(&run, "two").id), Act::Pause).await;
        let run = until(&h, &id, |r| r.tasks.iter().any(|t| t.name == "x" && t.status == TaskStatus::Succeeded) && task(r, "two").waiting.is_some()).await;
        let two = task(&run, "two");
        assert!(two.waiting.as_ref().unwrap().paused);
        assert!(!run.tasks.iter().any(|t| t.name == "z"));
        act(&h, &id, Some(two.id), Act::Resume).await;
        assert_eq!(end(&h, &id).await.output, json!([1, 2]));
        h.close().await;
    }

    async fn a_task_that_is_let_fail_can_be_caught(db: Db) {
        let h = House::open(&db);
        let id = start(&h, "force", "do:\n- t: {try: [{h: {call: hang}}], catch: {do: [{m: {set: {because: '${ $error.detail }'}}}]}}", json!({})).await;
        let run = until(&h, &id, |r| live(r, "h")).await;
        act(&h, &id, Some(task(&run, "h").id), Act::Fail).await;
        let run = end(&h, &id).await;
        assert_eq!(run.status, RunStatus::Succeeded);
        assert!(run.output["because"].as_str().unwrap().contains("a test"), "{}", run.output);
        h.close().await;
    }

    async fn back_to_an_earlier_task(db: Db) {
        let h = House::open(&db);
        let body = "do:\n- l: {for: {in: '[7]'}, do: [{a: {call: echo, with: {n: '${ .n }'}}}, {b: {call: add, with: {a: '${ .n }', b: 1}}}, {h: {call: hang}}]}\n- z: {call: echo}";
        let id = start(&h, "jump", body, json!({"n": 1})).await;
        let run = until(&h, &id, |r| live(r, "h")).await;
        assert!(matches!(h.workflows.operate(&operator(), &id, Some(9999), Act::Jump { input: None }, "x").await, Err(WorkflowError::NotFound(_))));
        act(&h, &id, Some(task(&run, "a").id), Act::Jump { input: Some(json!({"n": 5})) }).await;
        let run = until(&h, &id, |r| r.tasks.iter().filter(|t| t.name == "h").count() == 2 && live(r, "h")).await;
        assert_eq!((task(&run, "b").output.clone(), task(&run, "a").attempt), (json!(6), 2));
        assert_eq!(run.tasks.iter().find(|t| t.name == "h").unwrap().status, TaskStatus::Cancelled);
        // Without an input it has the one that it had.
        act(&h, &id, Some(task(&run, "b").id), Act::Jump { input: None }).await;
        let run = until(&h, &id, |r| r.tasks.iter().filter(|t| t.name == "h").count() == 3 && live(r, "h")).await;
        assert_eq!(task(&run, "b").output, json!(6));
        act(&h, &id, Some(task(&run, "h").id), Act::Skip { output: None }).await;
        assert_eq!(end(&h, &id).await.output, json!(6));
        h.close().await;
    }

    async fn a_new_run_from_the_middle_of_an_old_one(db: Db) {
        let h = House::open(&db);
        let id = start(&h, "again", "do:\n- a: {call: echo, with: {n: 1}}\n- b: {call: add, with: {a: '${ .n }', b: 1}}\n- d: {do: [{c: {call: echo}}]}", json!({})).await;
        let run = end(&h, &id).await;
        assert_eq!(run.output, json!(2));
        let b = task(&run, "b").id;
        let w = &h.workflows;
        assert!(matches!(w.restart(&operator(), &id, task(&run, "c").id, None, None, "x").await, Err(WorkflowError::Argument { field: "task", .. })));
        assert!(matches!(w.restart(&user("vera", Role::Viewer), &id, b, None, None, "x").await, Err(WorkflowError::Denied(_))));
        let new = w.restart(&operator(), &id, b, Some(json!({"n": 41})), None, "once more").await.unwrap();
        let new = end(&h, &new.id).await;
        assert_eq!((new.status, &new.output, new.origin.clone()), (RunStatus::Succeeded, &json!(42), Some(format!("run/{id}"))));
        assert!(!new.tasks.iter().any(|t| t.name == "a"));
        let same = w.restart(&operator(), &id, b, None, None, "as it was").await.unwrap();
        assert_eq!(end(&h, &same.id).await.output, json!(2));
        h.close().await;
    }

    async fn an_order_outlives_the_engine(db: Db) {
        let h = House::open(&db);
        let id = start(&h, "order", "do:\n- h: {call: hang}\n- z: {call: echo}", json!({})).await;
        let run = until(&h, &id, |r| live(r, "h")).await;
        h.stop.cancel();
        h.workflows.stopped().await;
        act(&h, &id, Some(task(&run, "h").id), Act::Skip { output: Some(json!("skipped")) }).await;
        assert_eq!(h.workflows.run(&operator(), &id).await.unwrap().tasks.len(), 1, "nobody was there to do it");
        let h = House::open(&db);
        let run = end(&h, &id).await;
        assert_eq!((run.status, &run.output), (RunStatus::Succeeded, &json!("skipped")));
        h.close().await;
    }
}
