//! Kill before and after every write and every call; the end must be that of the undisturbed run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plenum_store::{Db, both_databases};
use serde_json::{Value, json};

use super::{Fake, House, flow, operator};
use crate::engine::{Crash, Point};
use crate::{Act, RunStatus, WorkflowError};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

/// Every construct once. The branches' own effects are compared as a set, since branches have no order.
const FLOW: &str = "
do:
- first: {call: echo, with: {n: 1}, export: {as: '$context + {first: .n}'}}
- loop:
    for: {each: x, in: '[1, 2]'}
    do:
    - inc: {call: add, with: {a: '${ $x }', b: '${ $context.first }'}}
- both:
    fork:
      branches:
      - left: {call: echo, with: left}
      - right: {do: [{r1: {call: echo, with: right}}, {r2: {wait: {milliseconds: 5}}}, {r3: {emit: {event: {with: {type: t, source: /s}}}}}]}
- locked: {call: lock, with: {name: chaos}}
- sub: {run: {workflow: {namespace: test, name: chaos-child, version: latest, input: {v: 1}}}}
- heard: {listen: {to: {any: [{with: {type: chaos.go}}], until: length == 2}}, foreach: {item: e, do: [{h: {call: echo, with: {heard: '${ $e }'}}}]}}
- guarded:
    try:
    - bad: {call: fail, with: {status: 503}}
    catch:
      retry: {delay: {milliseconds: 5}, limit: {attempt: {count: 1}}}
      do:
      - mend: {call: echo, with: {mended: '${ $error.status }'}}
- choose: {switch: [{yes: {when: .mended == 503, then: last}}, {no: {then: end}}]}
- never: {call: echo, with: never}
- last: {if: '${ $context.first == 1 }', call: echo, with: {sum: '${ .mended + $context.first }'}}
";

/// Runs the flow with the engine dying at the `nth` point (never, for `usize::MAX`), each time on a new host process's engine but the
/// same world. Answers output, task states, effects sorted, and how many points were passed.
async fn run(db: &Db, key: &str, nth: usize) -> (Value, Vec<(String, String)>, Vec<(String, Value)>, usize) {
    let host: Arc<Fake> = Arc::default();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let crash: Crash = Arc::new(move |_: Point| counter.fetch_add(1, Ordering::SeqCst) == nth);
    let first = House::with(db, host.clone(), Some(crash));
    first.workflows.save_definition(&operator(), "chaos-child", &flow("do:\n- c: {call: echo}"), None).await.unwrap();
    first.workflows.save_definition(&operator(), "chaos", &flow(FLOW), None).await.unwrap();
    let id = first.workflows.start(&operator(), "chaos", json!({}), Some(key)).await.unwrap().id;
    for n in 1..=2 {
        let mut tx = db.begin().await.unwrap();
        let go = plenum_store::NewEvent { kind: "chaos.go".into(), source: "/test".into(), subject: String::new(), data: json!(n) };
        plenum_store::events::emit(&mut tx, go).await.unwrap();
        tx.commit().await.unwrap();
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), first.workflows.wait(&operator(), &id)).await.expect("an end or a death");
    let died = ended.is_err();
    first.close().await;
    // A death right after the last write may come after the end was told.
    assert!(died || nth == usize::MAX || seen.load(Ordering::SeqCst) > nth);
    let second = House::with(db, host.clone(), None);
    let run = tokio::time::timeout(Duration::from_secs(60), second.workflows.wait(&operator(), &id))
        .await
        .expect("an end after the death")
        .unwrap();
    second.close().await;
    assert_eq!(run.status, RunStatus::Succeeded, "{nth}: {:?}", run.error);
    let mut tasks: Vec<(String, String)> = run.tasks.iter().map(|t| (t.path.clone(), t.status.name().to_owned())).collect();
    tasks.sort();
    let mut effects = host.effects.lock().unwrap().clone();
    // An event's id and time are those of its run.
    for (_, input) in &mut effects {
        if let Some(o) = input.as_object_mut().filter(|o| o.contains_key("specversion")) {
            assert!(o.remove("id").is_some() && o.remove("time").is_some());
        }
    }
    effects.sort_by_key(|(p, _)| p.clone());
    (run.output, tasks, effects, seen.load(Ordering::SeqCst))
}

/// A run that fails in a loop, beside a branch that has ended. An operator skips the failed task of each round, and the engine dies at
/// the `nth` point after the run first failed. Answers output, effects, and how many points were passed.
async fn by_hand(db: &Db, name: &str, nth: usize) -> (Value, Vec<(String, Value)>, usize) {
    const FAILS: &str = "
do:
- both:
    fork:
      branches:
      - done: {call: echo, with: beside}
      - loop: {for: {each: x, in: '[1, 2]'}, do: [{before: {call: echo, with: '${ $x }'}}, {bad: {call: fail, with: {status: 500}}}, {after: {call: add, with: {a: '${ .n }', b: '${ $x }'}}}]}
- last: {call: echo}
";
    let host: Arc<Fake> = Arc::default();
    let calm = House::with(db, host.clone(), None);
    calm.workflows.save_definition(&operator(), name, &flow(FAILS), None).await.unwrap();
    let id = calm.workflows.start(&operator(), name, json!({}), None).await.unwrap().id;
    calm.workflows.wait(&operator(), &id).await.unwrap();
    calm.close().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let crash: Crash = Arc::new(move |_: Point| counter.fetch_add(1, Ordering::SeqCst) == nth);
    let mut house = House::with(db, host.clone(), Some(crash));
    for _ in 0..20 {
        let run =
            match tokio::time::timeout(Duration::from_secs(60), house.workflows.wait(&operator(), &id)).await.expect("an end or a death") {
                Ok(run) => run,
                Err(WorkflowError::Stopped) => {
                    house.close().await;
                    house = House::with(db, host.clone(), None);
                    continue;
                }
                Err(e) => panic!("{e}"),
            };
        if run.status == RunStatus::Succeeded {
            house.close().await;
            let mut effects = host.effects.lock().unwrap().clone();
            effects.sort_by_key(|(p, _)| p.clone());
            return (run.output, effects, seen.load(Ordering::SeqCst));
        }
        let failed = run.tasks.iter().rev().find(|t| t.name == "bad").unwrap();
        let skip = Act::Skip { output: Some(json!({"n": 10})) };
        house.workflows.operate(&operator(), &id, Some(failed.id), skip, "by hand").await.unwrap();
    }
    panic!("no end by hand");
}

both_databases! {
    migrations: SETS;

    async fn an_operators_hand_survives_every_death(db: Db) {
        let calm = by_hand(&db, "calm", usize::MAX).await;
        assert_eq!(calm.0, json!(["beside", 12]));
        assert_eq!(calm.1.len(), 6, "{:?}", calm.1);
        assert!(calm.2 > 10, "{} points", calm.2);
        for nth in 0..calm.2 {
            let shaken = by_hand(&db, &format!("death-{nth}"), nth).await;
            assert_eq!((&shaken.0, &shaken.1), (&calm.0, &calm.1), "after a death at point {nth}");
        }
    }
    async fn every_death_ends_as_no_death(db: Db) {
        let calm = run(&db, "calm", usize::MAX).await;
        assert_eq!(calm.0, json!({"sum": 504}));
        assert_eq!(calm.2.len(), 11, "{:?}", calm.2);
        assert!(calm.3 > 30, "{} points", calm.3);
        for nth in 0..calm.3 {
            let shaken = run(&db, &format!("death-{nth}"), nth).await;
            assert_eq!(shaken.0, calm.0, "output after a death at point {nth}");
            assert_eq!(shaken.1, calm.1, "tasks after a death at point {nth}");
            assert_eq!(shaken.2, calm.2, "effects after a death at point {nth}");
        }
    }
}
