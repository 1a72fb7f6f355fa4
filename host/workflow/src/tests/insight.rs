//! Versions, statistics and rehearsals.

use std::collections::BTreeMap;
use std::time::Duration;

use plenum_access::Role;
use plenum_store::{both_databases, now_ms};
use serde_json::{Value, json};

use super::{House, flow, operator, plugin, user};
use crate::stats::MAX_SPAN_MS;
use crate::{Mock, Rehearsal, RunStatus, StatsQuery, TaskStatus, WorkflowError};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

async fn run(h: &House, name: &str, input: Value) -> RunStatus {
    let id = h.workflows.start(&operator(), name, input, None).await.unwrap().id;
    tokio::time::timeout(Duration::from_secs(60), h.workflows.wait(&operator(), &id)).await.expect("an end").unwrap().status
}

async fn rehearse(h: &House, body: &str, input: Value, mocks: Value) -> Rehearsal {
    let mocks: BTreeMap<String, Mock> = serde_json::from_value(mocks).unwrap();
    h.workflows.rehearse(&operator(), &flow(body), input, mocks).await.unwrap()
}

both_databases! {
    migrations: SETS;

    async fn versions_stay_with_their_texts(db: Db) {
        let h = House::open(&db);
        let w = &h.workflows;
        let texts: Vec<String> = (0..3).map(|n| flow(&format!("do: [{{one: {{set: {{n: {n}}}}}}}]"))).collect();
        for t in &texts {
            w.save_definition(&operator(), "grows", t, None).await.unwrap();
        }
        let page = w.versions(&operator(), "grows", None, 2).await.unwrap();
        assert_eq!((page.items.iter().map(|v| v.version).collect::<Vec<_>>(), page.total), (vec![3, 2], 3));
        let rest = w.versions(&operator(), "grows", page.next_cursor.map(|c| c.parse().unwrap()), 2).await.unwrap();
        assert_eq!((rest.items.len(), rest.next_cursor), (1, None));
        assert_eq!(w.version(&operator(), "grows", 1).await.unwrap().source, texts[0]);
        w.delete_definition(&operator(), "grows").await.unwrap();
        assert_eq!(w.version(&operator(), "grows", 2).await.unwrap().source, texts[1], "for the runs of a workflow that is gone");
        assert!(matches!(w.version(&operator(), "grows", 9).await, Err(WorkflowError::NotFound(_))));
        assert!(matches!(w.versions(&operator(), "never", None, 0).await, Err(WorkflowError::NotFound(_))));
        assert!(matches!(w.version(&plugin("other"), "grows", 1).await, Err(WorkflowError::Denied(_))), "a plugin sees its own");
        h.close().await;
    }

    async fn statistics_say_what_failed_and_what_was_slow(db: Db) {
        let h = House::open(&db);
        let w = &h.workflows;
        w.save_definition(&operator(), "mixed", &flow("do: [{first: {set: {bad: '${ .bad }'}}}, {hard: {if: .bad, call: fail, with: {status: 500}}}, {rest: {wait: {milliseconds: 20}}}]"), None).await.unwrap();
        w.save_definition(&operator(), "calm", &flow("do: [{only: {call: echo}}]"), None).await.unwrap();
        for bad in [true, false, false, true, false] {
            run(&h, "mixed", json!({"bad": bad})).await;
        }
        run(&h, "calm", json!({})).await;
        let now = now_ms();
        let all = StatsQuery { workflow: None, from: now - 3_600_000, to: now + 1000 };
        let s = w.statistics(&operator(), &all).await.unwrap();
        assert_eq!((s.runs, s.more, s.task_runs), (6, false, 6));
        assert_eq!(s.by_status, vec![(RunStatus::Failed, 2), (RunStatus::Succeeded, 4)]);
        assert_eq!(s.workflows.iter().map(|f| (f.workflow.as_str(), f.runs, f.failed)).collect::<Vec<_>>(), vec![("mixed", 5, 2), ("calm", 1, 0)]);
        assert!(s.durations.is_some_and(|d| d.p50 >= 20 && d.p50 <= d.p90 && d.p99 <= d.max));
        let cause = &s.causes[0];
        assert_eq!((s.causes.len(), cause.runs, cause.workflow.as_str(), cause.title.as_str(), cause.instance.as_str()), (1, 2, "mixed", "It failed", "/do/1/hard"));
        assert_eq!((s.tasks[0].name.as_str(), s.tasks[0].what.as_str(), s.tasks[0].count), ("rest", "wait", 3));
        assert!(s.tasks.iter().any(|t| (t.name.as_str(), t.what.as_str(), t.count, t.failed) == ("hard", "fail", 2, 2)), "skipped ones do not count: {:?}", s.tasks);
        let sum = s.buckets.iter().fold((0, 0, 0), |n, b| (n.0 + b.succeeded, n.1 + b.failed, n.2 + b.others));
        assert_eq!(sum, (4, 2, 0));
        let one = w.statistics(&operator(), &StatsQuery { workflow: Some("calm".into()), ..all.clone() }).await.unwrap();
        assert_eq!((one.runs, one.causes.len(), one.tasks.len()), (1, 0, 1));
        let before = w.statistics(&operator(), &StatsQuery { from: now - 7_200_000, to: now - 3_600_000, ..all.clone() }).await.unwrap();
        assert_eq!((before.runs, before.durations), (0, None));
        assert_eq!(w.statistics(&plugin("none"), &all).await.unwrap().runs, 0, "a plugin counts its own");
        for (from, to) in [(now, now), (now - MAX_SPAN_MS - 1, now)] {
            let wrong = w.statistics(&operator(), &StatsQuery { workflow: None, from, to }).await;
            assert!(matches!(wrong, Err(WorkflowError::Argument { field: "from", .. })));
        }
        h.close().await;
    }
}

#[tokio::test]
async fn a_rehearsal_calls_nothing() {
    let (db, _guard) = plenum_store::testing::sqlite(SETS).await;
    let h = House::open(&db);
    let body = "
do:
- find: {call: echo, with: {model: host}}
- each:
    for: {each: x, in: .items}
    do:
    - pause: {wait: P1D}
    - work:
        try: [{job: {call: flaky, with: {x: '${ $x }'}}}]
        catch: {retry: {delay: PT1H, limit: {attempt: {count: 2}}}, do: [{mended: {set: {mended: true}}}]}
- ask: {call: approval, with: {title: Go?, approvers: ['user:a']}}
- last: {set: {decided: '${ .decision }'}}
";
    let r = rehearse(
        &h,
        body,
        json!({}),
        json!({
            "echo": {"output": {"items": [1, 2]}},
            "/do/1/each/do/1/work/try/0/job": {"error": {"status": 503, "title": "Busy"}},
            "approval": {"output": {"decision": "approved"}}
        }),
    )
    .await;
    assert_eq!((r.status, r.output, r.stopped, r.unanswered), (RunStatus::Succeeded, json!({"decided": "approved"}), None, vec![]));
    let of = |name: &str| r.tasks.iter().filter(|t| t.name == name).count();
    assert_eq!((of("pause"), of("job"), of("mended")), (2, 6, 2), "two days and many hours pass at once");
    assert_eq!(r.tasks.iter().find(|t| t.name == "job").unwrap().input, json!({"x": 1}));
    assert!(h.host.effects.lock().unwrap().is_empty());
    assert_eq!(h.workflows.runs(&operator(), &crate::RunQuery::default()).await.unwrap().total, 0);

    let r = rehearse(&h, "do: [{a: {call: echo}}, {b: {set: {got: '${ . }'}}}]", json!({}), json!({})).await;
    assert_eq!((r.output, r.unanswered), (json!({"got": null}), vec!["/do/0/a".to_owned()]));
    let r = rehearse(&h, "do: [{a: {raise: {error: {type: t, status: 400, title: No}}}}]", json!({}), json!({})).await;
    assert_eq!((r.status, r.error.unwrap()["title"].clone()), (RunStatus::Failed, json!("No")));

    // What listens hears what it is given, and waits when that is not enough.
    let hear = "do: [{a: {listen: {to: {all: [{with: {type: x}}, {with: {type: y}}]}}}}]";
    let r =
        rehearse(&h, hear, json!({}), json!({"/do/0/a": {"output": [{"type": "x", "data": 1}, {"type": "z"}, {"type": "y", "data": 2}]}}))
            .await;
    assert_eq!((r.status, r.output), (RunStatus::Succeeded, json!([1, 2])));
    let r = rehearse(&h, hear, json!({}), json!({"/do/0/a": {"output": {"type": "x"}}})).await;
    assert_eq!((r.status, r.tasks[0].status), (RunStatus::Waiting, TaskStatus::Waiting));
    assert!(r.stopped.is_some_and(|s| s.contains("event")));

    // What never ends is ended; what is wrong is refused, and so is who may not write.
    let r = rehearse(&h, "do: [{a: {set: {n: 1}, then: a}}]", json!({}), json!({})).await;
    assert!(r.status == RunStatus::Waiting && r.tasks.len() == 2000 && r.stopped.is_some());
    let r = rehearse(&h, "do: [{a: {set: {big: '${ [range(60000)] }'}}}]", json!({}), json!({})).await;
    assert!(r.tasks[0].output.is_string(), "a large value is shown shortened");
    let none = BTreeMap::new();
    assert!(matches!(h.workflows.rehearse(&operator(), "do: 3", json!({}), none.clone()).await, Err(WorkflowError::Invalid(_))));
    let viewer = user("vera", Role::Viewer);
    assert!(matches!(h.workflows.rehearse(&viewer, &flow(hear), json!({}), none).await, Err(WorkflowError::Denied(_))));
    h.close().await;
}
