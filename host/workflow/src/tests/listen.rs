//! Events: who listens hears each once, in order, whatever dies; and what an event starts.

use std::time::Duration;

use plenum_store::events::{Events, NewEvent, emit};
use plenum_store::{Db, both_databases};
use serde_json::{Value, json};

use super::engine::until;
use super::{House, flow, operator};
use crate::{RunQuery, RunStatus};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

async fn tell(db: &Db, kind: &str, data: Value) {
    let mut tx = db.begin().await.unwrap();
    emit(&mut tx, NewEvent { kind: kind.into(), source: "/test".into(), subject: "s".into(), data }).await.unwrap();
    tx.commit().await.unwrap();
}

async fn begin(h: &House, name: &str, body: &str) -> String {
    h.workflows.save_definition(&operator(), name, &flow(body), None).await.unwrap();
    h.workflows.start(&operator(), name, json!({"me": 7}), None).await.unwrap().id
}

async fn end(h: &House, id: &str) -> crate::Run {
    tokio::time::timeout(Duration::from_secs(60), h.workflows.wait(&operator(), id)).await.expect("an end").unwrap()
}

/// It has left memory and only waits.
async fn listens(h: &House, id: &str) {
    until(h, id, |r| r.status == RunStatus::Waiting && r.waiting.as_ref().is_some_and(|w| w.reason.contains("event"))).await;
}

both_databases! {
    migrations: SETS;

    async fn one_event_is_heard_and_nobody_elses(db: Db) {
        let h = House::open(&db);
        let id = begin(&h, "one", "do:\n- l: {listen: {to: {one: {with: {type: a.b, data: '${ .for == 7 }'}}}}}").await;
        listens(&h, &id).await;
        let run = h.workflows.run(&operator(), &id).await.unwrap();
        assert_eq!(run.waiting.unwrap().reason, "an event: a.b");
        tell(&db, "a.c", json!({"for": 7})).await;
        tell(&db, "a.b", json!("a text has no such field")).await;
        tell(&db, "a.b", json!({"for": 8})).await;
        tell(&db, "a.b", json!({"for": 7, "n": 1})).await;
        assert_eq!(end(&h, &id).await.output, json!([{"for": 7, "n": 1}]));
        let left = db.fetch_all("SELECT run_id FROM workflow_listens", &[]).await.unwrap();
        assert!(left.is_empty(), "subscriptions go with the task");
        h.close().await;
    }

    async fn what_came_since_the_start_is_heard(db: Db) {
        let h = House::open(&db);
        tell(&db, "answer", json!("of before")).await;
        let id = begin(&h, "late", "do:\n- p: {call: hang}\n- l: {listen: {to: {one: {with: {type: answer}}}}}").await;
        let run = until(&h, &id, |r| r.tasks.first().is_some_and(|t| t.waiting.is_some())).await;
        tell(&db, "answer", json!("too fast")).await;
        h.workflows.operate(&operator(), &id, Some(run.tasks[0].id), crate::Act::Skip { output: None }, "test").await.unwrap();
        assert_eq!(end(&h, &id).await.output, json!(["too fast"]));
        h.close().await;
    }

    async fn a_sequence_of_listens_hears_each_event_once(db: Db) {
        let h = House::open(&db);
        let id = begin(&h, "twice", "do:\n- l: {for: {in: '[1, 2, 3]'}, do: [{e: {listen: {to: {one: {with: {type: x}}}}, export: {as: '$context + .'}}}]}\noutput: {as: $context}").await;
        for n in 1..=3 {
            tell(&db, "x", json!(n)).await;
        }
        assert_eq!(end(&h, &id).await.output, json!([1, 2, 3]));
        h.close().await;
    }

    async fn all_any_and_correlation(db: Db) {
        let h = House::open(&db);
        let all = begin(&h, "all", "do:\n- l: {listen: {to: {all: [{with: {type: t}, correlate: {room: {from: .data.room}}}, {with: {type: h}, correlate: {room: {from: .data.room}}}]}, read: envelope}, output: {as: 'map([.type, .data.room])'}}").await;
        let any = begin(&h, "any", "do:\n- l: {listen: {to: {any: [{with: {type: t}}, {with: {type: h}}]}}}").await;
        let expected = begin(&h, "expected", "do:\n- l: {listen: {to: {one: {with: {type: t}, correlate: {room: {from: .data.room, expect: '${ .me }'}}}}}}").await;
        tell(&db, "t", json!({"room": 1})).await;
        tell(&db, "h", json!({"room": 2})).await;
        tell(&db, "t", json!({"room": 7})).await;
        tell(&db, "h", json!({"room": 1})).await;
        assert_eq!(end(&h, &all).await.output, json!([["t", 1], ["h", 1]]));
        assert_eq!(end(&h, &any).await.output, json!([{"room": 1}]));
        assert_eq!(end(&h, &expected).await.output, json!([{"room": 7}]));
        h.close().await;
    }

    async fn until_and_foreach(db: Db) {
        let h = House::open(&db);
        let counted = begin(&h, "counted", "do:\n- l: {listen: {to: {any: [{with: {type: x}}], until: length >= 3}}}").await;
        let stopped = begin(&h, "stopped", "do:\n- l: {listen: {to: {any: [{with: {type: x}}], until: {one: {with: {type: stop}}}}}}").await;
        let each = begin(&h, "each", "do:\n- l:\n    listen: {to: {any: [{with: {type: x}}], until: {one: {with: {type: stop}}}}}\n    foreach:\n      item: e\n      at: i\n      do: [{a: {call: add, with: {a: '${ $e }', b: '${ $i }'}}}]\n      output: {as: '{sum: .}'}\n      export: {as: '{last: .sum}'}\n- c: {set: {all: '${ . }', last: '${ $context.last }'}}").await;
        let any = begin(&h, "anything", "do:\n- l: {listen: {to: {any: []}}}").await;
        for n in [10, 20, 30] {
            tell(&db, "x", json!(n)).await;
        }
        tell(&db, "stop", json!(null)).await;
        assert_eq!(end(&h, &counted).await.output, json!([10, 20, 30]));
        assert_eq!(end(&h, &stopped).await.output, json!([10, 20, 30]));
        assert_eq!(end(&h, &each).await.output, json!({"all": [{"sum": 10}, {"sum": 21}, {"sum": 32}], "last": 32}));
        assert_eq!(end(&h, &any).await.output, json!([10]), "the engine's own events are no events for it");
        h.close().await;
    }

    async fn a_listen_times_out_and_can_be_cancelled(db: Db) {
        let h = House::open(&db);
        let late = begin(&h, "late", "do:\n- l: {listen: {to: {one: {with: {type: x}}}}, timeout: {after: {milliseconds: 50}}}").await;
        assert_eq!(end(&h, &late).await.error.unwrap()["status"], 408);
        let id = begin(&h, "gone", "do:\n- l: {listen: {to: {one: {with: {type: x}}}}}").await;
        listens(&h, &id).await;
        h.workflows.cancel(&operator(), &id, None).await.unwrap();
        assert_eq!(end(&h, &id).await.status, RunStatus::Cancelled);
        h.close().await;
    }

    async fn what_comes_while_the_host_is_away_is_heard(db: Db) {
        let h = House::open(&db);
        let id = begin(&h, "away", "do:\n- l: {listen: {to: {any: [{with: {type: x}}], until: length == 2}}}").await;
        listens(&h, &id).await;
        tell(&db, "x", json!(1)).await;
        h.close().await;
        tell(&db, "x", json!(2)).await;
        let h = House::open(&db);
        assert_eq!(end(&h, &id).await.output, json!([1, 2]));
        h.close().await;
    }

    async fn a_paused_listen_hears_when_it_goes_on(db: Db) {
        let h = House::open(&db);
        let id = begin(&h, "paused", "do:\n- l: {listen: {to: {one: {with: {type: x}}}}}").await;
        listens(&h, &id).await;
        h.workflows.operate(&operator(), &id, None, crate::Act::Pause, "test").await.unwrap();
        until(&h, &id, |r| r.waiting.as_ref().is_some_and(|w| w.paused)).await;
        tell(&db, "x", json!("meanwhile")).await;
        // What comes after it has been seen by who waits too.
        h.workflows.operate(&operator(), &id, None, crate::Act::Resume, "test").await.unwrap();
        assert_eq!(end(&h, &id).await.output, json!(["meanwhile"]));
        h.close().await;
    }

    async fn events_start_runs_of_who_saved_the_workflow(db: Db) {
        let h = House::open(&db);
        let events = Events::new(db.clone());
        let body = "schedule: {on: {one: {with: {type: disk.full, data: '${ .used > 90 }'}}}}\ndo:\n- a: {set: {host: '${ $workflow.input[0].data.host }'}}";
        h.workflows.save_definition(&operator(), "on-disk", &flow(body), None).await.unwrap();
        let both = "schedule: {on: {all: [{with: {type: disk.full}, correlate: {h: {from: .data.host}}}, {with: {type: mail}, correlate: {h: {from: .data.host}}}]}}\ndo:\n- a: {set: '${ {n: length} }'}";
        h.workflows.save_definition(&operator(), "on-both", &flow(both), None).await.unwrap();
        tell(&db, "disk.full", json!({"host": "a", "used": 50})).await;
        tell(&db, "disk.full", json!({"host": "b", "used": 95})).await;
        tell(&db, "mail", json!({"host": "a"})).await;
        let mut found = Vec::new();
        for _ in 0..400 {
            let at = events.latest().await.unwrap();
            found = h.workflows.runs(&operator(), &RunQuery { status: vec![RunStatus::Succeeded], ..RunQuery::default() }).await.unwrap().items;
            if found.len() == 2 {
                break;
            }
            events.wait(at, Duration::from_millis(100)).await.unwrap();
        }
        found.sort_by(|a, b| a.workflow.cmp(&b.workflow));
        let seen: Vec<(&str, &Value, &str)> = found.iter().map(|r| (r.workflow.as_str(), &r.output, r.started_by.as_str())).collect();
        assert_eq!(seen, [("on-both", &json!({"n": 2}), "olga"), ("on-disk", &json!({"host": "b"}), "olga")]);
        h.workflows.delete_definition(&operator(), "on-disk").await.unwrap();
        assert!(db.fetch_all("SELECT kind FROM workflow_start_kinds WHERE workflow = 'on-disk'", &[]).await.unwrap().is_empty());
        h.close().await;
    }

    async fn every_and_after_start_again(db: Db) {
        let h = House::open(&db);
        let events = Events::new(db.clone());
        for (name, start) in [("every", "{every: PT1S}"), ("after", "{after: PT1S}"), ("cron", "{cron: '* * * * * *'}")] {
            h.workflows.save_definition(&operator(), name, &flow(&format!("schedule: {start}\ndo:\n- a: {{set: {{v: 1}}}}")), None).await.unwrap();
        }
        for name in ["every", "after", "cron"] {
            let mut n = 0;
            for _ in 0..600 {
                let at = events.latest().await.unwrap();
                let query = RunQuery { workflow: Some(name.into()), status: vec![RunStatus::Succeeded], ..RunQuery::default() };
                n = h.workflows.runs(&operator(), &query).await.unwrap().total;
                if n >= 2 {
                    break;
                }
                events.wait(at, Duration::from_millis(100)).await.unwrap();
            }
            assert!(n >= 2, "{name} started {n} runs");
        }
        h.close().await;
    }
}
