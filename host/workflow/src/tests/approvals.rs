//! People's decisions: who may answer, how answers add up, and what happens when nobody does.

use std::time::Duration;

use plenum_access::{Access, Role};
use plenum_store::both_databases;
use serde_json::{Value, json};

use super::engine::until;
use super::{House, flow, operator, plugin, user};
use crate::approvals::{Answer, Approval, ApprovalQuery};
use crate::{RunStatus, WorkflowError};

const SETS: &[&[plenum_store::Migration]] = &[plenum_access::MIGRATIONS, crate::MIGRATIONS];

fn yes(data: Value) -> Answer {
    Answer { approve: true, comment: Some("fine".into()), data }
}
fn no() -> Answer {
    Answer { approve: false, comment: None, data: Value::Null }
}

async fn ask(h: &House, name: &str, with: &str) -> (String, Approval) {
    h.workflows.save_definition(&operator(), name, &flow(&format!("do:\n- ask: {{call: approval, with: {with}}}")), None).await.unwrap();
    let run = h.workflows.start(&operator(), name, json!({}), None).await.unwrap().id;
    until(h, &run, |r| r.status == RunStatus::Waiting && r.waiting.as_ref().is_some_and(|w| w.reason.starts_with("a decision"))).await;
    let all = h.workflows.approvals(&operator(), &ApprovalQuery::default()).await.unwrap();
    let found = all.items.into_iter().find(|a| a.run == run).unwrap();
    (run, found)
}

async fn end(h: &House, id: &str) -> crate::Run {
    tokio::time::timeout(Duration::from_secs(60), h.workflows.wait(&operator(), id)).await.expect("an end").unwrap()
}

async fn mine(h: &House, who: &plenum_access::Principal) -> usize {
    h.workflows.approvals(who, &ApprovalQuery { mine: true, ..ApprovalQuery::default() }).await.unwrap().items.len()
}

both_databases! {
    migrations: SETS;

    async fn the_first_answer_decides_and_only_those_asked_answer(db: Db) {
        let h = House::open(&db);
        let (run, a) = ask(&h, "any", "{title: Deploy?, approvers: ['user:anna', 'user:ben'], form: {type: object, required: [slot]}}").await;
        let (anna, ben, carl) = (user("anna", Role::Viewer), user("ben", Role::Viewer), user("carl", Role::Administrator));
        assert_eq!((mine(&h, &anna).await, mine(&h, &ben).await, mine(&h, &carl).await), (1, 1, 0));
        assert!(matches!(h.workflows.decide(&carl, &a.id, yes(json!({"slot": 1}))).await, Err(WorkflowError::Conflict(_))));
        assert!(matches!(h.workflows.decide(&plugin("p"), &a.id, no()).await, Err(WorkflowError::Argument { field: "who", .. })));
        assert!(matches!(h.workflows.decide(&anna, &a.id, yes(json!({}))).await, Err(WorkflowError::Input(_))));
        let done = h.workflows.decide(&anna, &a.id, yes(json!({"slot": 3}))).await.unwrap();
        assert_eq!((done.status.as_str(), done.mine), ("approved", false));
        assert!(matches!(h.workflows.decide(&ben, &a.id, no()).await, Err(WorkflowError::Conflict(_))));
        let out = end(&h, &run).await.output;
        assert_eq!((&out["decision"], &out["data"], &out["votes"][0]["by"]), (&json!("approved"), &json!({"slot": 3}), &json!("anna")));
        assert_eq!(mine(&h, &ben).await, 0);
        let audit = db.fetch_all("SELECT action FROM audit_log WHERE action = 'workflow.approval.decide'", &[]).await.unwrap();
        assert_eq!(audit.len(), 1);
        h.close().await;
    }

    async fn all_a_share_and_in_turn(db: Db) {
        let h = House::open(&db);
        let people = ["a", "b", "c"].map(|n| user(n, Role::Operator));
        let [a, b, c] = &people;
        let three = "approvers: ['user:a', 'user:b', 'user:c']";
        let (run, q) = ask(&h, "all", &format!("{{title: t, mode: all, {three}}}")).await;
        h.workflows.decide(a, &q.id, yes(Value::Null)).await.unwrap();
        assert!(h.workflows.decide(a, &q.id, no()).await.is_err(), "one voice a person");
        assert_eq!(h.workflows.decide(b, &q.id, no()).await.unwrap().status, "rejected");
        assert_eq!(end(&h, &run).await.output["decision"], "rejected");

        let (run, q) = ask(&h, "share", &format!("{{title: t, mode: share, share: 0.6, {three}}}")).await;
        assert_eq!(h.workflows.decide(a, &q.id, no()).await.unwrap().status, "open");
        assert_eq!(h.workflows.decide(b, &q.id, yes(Value::Null)).await.unwrap().status, "open");
        assert_eq!(h.workflows.decide(c, &q.id, yes(Value::Null)).await.unwrap().status, "approved");
        assert_eq!(end(&h, &run).await.output["votes"].as_array().unwrap().len(), 3);

        let (run, q) = ask(&h, "turn", &format!("{{title: t, mode: in_turn, {three}}}")).await;
        assert_eq!((mine(&h, a).await, mine(&h, b).await), (1, 0));
        assert!(matches!(h.workflows.decide(b, &q.id, yes(Value::Null)).await, Err(WorkflowError::Conflict(_))));
        for p in &people {
            h.workflows.decide(p, &q.id, yes(Value::Null)).await.unwrap();
        }
        assert_eq!(end(&h, &run).await.output["decision"], "approved");

        // Two seats of a role are two people.
        let (run, q) = ask(&h, "roles", "{title: t, mode: all, approvers: ['role:operator', 'role:operator']}").await;
        h.workflows.decide(a, &q.id, yes(Value::Null)).await.unwrap();
        assert!(h.workflows.decide(a, &q.id, yes(Value::Null)).await.is_err());
        assert!(h.workflows.decide(&user("v", Role::Viewer), &q.id, yes(Value::Null)).await.is_err());
        h.workflows.decide(b, &q.id, yes(Value::Null)).await.unwrap();
        assert_eq!(end(&h, &run).await.status, RunStatus::Succeeded);
        h.close().await;
    }

    async fn nobody_answers(db: Db) {
        let h = House::open(&db);
        let (run, _) = ask(&h, "late", "{title: t, approvers: ['user:a'], deadline: {milliseconds: 300}}").await;
        let e = end(&h, &run).await.error.unwrap();
        assert_eq!((&e["status"], &e["code"]), (&json!(408), &json!("workflow.approval_expired")));
        let (run, q) = ask(&h, "up", "{title: t, mode: all, approvers: ['user:a', 'user:b'], deadline: {milliseconds: 1500}, escalate_to: ['role:administrator']}").await;
        let boss = user("boss", Role::Administrator);
        h.workflows.decide(&user("a", Role::Viewer), &q.id, yes(Value::Null)).await.unwrap();
        let events = plenum_store::Events::new(db.clone());
        for _ in 0..200 {
            let at = events.latest().await.unwrap();
            if h.workflows.approval(&boss, &q.id).await.unwrap().escalated {
                break;
            }
            events.wait(at, Duration::from_millis(100)).await.unwrap();
        }
        assert!(h.workflows.decide(&user("b", Role::Viewer), &q.id, no()).await.is_err(), "it went to others");
        let done = h.workflows.decide(&boss, &q.id, no()).await.unwrap();
        assert!(done.escalated);
        assert!(matches!(end(&h, &run).await.status, RunStatus::Succeeded));
        h.close().await;
    }

    async fn a_seat_is_handed_on_and_a_question_is_taken_back(db: Db) {
        let h = House::open(&db);
        let access = Access::new(db.clone());
        access.create_user(&plenum_access::Principal::System("test"), "dora", "Dora", Role::Viewer, "correct horse battery").await.unwrap();
        let (run, q) = ask(&h, "hand", "{title: t, approvers: ['user:a']}").await;
        let (a, dora, boss) = (user("a", Role::Viewer), user("dora", Role::Viewer), user("boss", Role::Administrator));
        assert!(h.workflows.delegate(&a, &q.id, "nobody", None, "away").await.is_err());
        assert!(h.workflows.delegate(&dora, &q.id, "dora", None, "mine").await.is_err(), "who is not asked hands nothing on");
        h.workflows.delegate(&a, &q.id, "dora", None, "on holiday").await.unwrap();
        assert_eq!((mine(&h, &a).await, mine(&h, &dora).await), (0, 1));
        h.workflows.decide(&dora, &q.id, yes(Value::Null)).await.unwrap();
        assert_eq!(end(&h, &run).await.output["votes"][0]["by"], "dora");
        // The one who is asked has left: an administrator hands the seat on.
        let (run, q) = ask(&h, "left", "{title: t, approvers: ['user:gone']}").await;
        assert!(h.workflows.delegate(&user("o", Role::Operator), &q.id, "dora", Some("user:gone"), "left").await.is_err());
        h.workflows.delegate(&boss, &q.id, "dora", Some("user:gone"), "gone has left").await.unwrap();
        assert_eq!(mine(&h, &dora).await, 1);
        h.workflows.cancel(&operator(), &run, None).await.unwrap();
        end(&h, &run).await;
        assert_eq!(h.workflows.approval(&operator(), &q.id).await.unwrap().status, "withdrawn");
        assert!(h.workflows.decide(&dora, &q.id, no()).await.is_err());
        h.close().await;
    }
}
