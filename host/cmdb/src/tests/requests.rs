//! Change requests: what rules hold back, the word of others, and the write-back.

use super::*;
use crate::requests::{Act, ChangeQuery, ChangeRequest, ChangeRule, Draft, Wanted};

fn person(name: &str, role: Role) -> Principal {
    Principal::User(UserPrincipal { id: name.into(), name: name.into(), role })
}

fn bob() -> Principal {
    person("bob", Role::Operator)
}

fn rule(more: Json) -> ChangeRule {
    let mut r = json!({"name": "owners", "models": ["system"], "attributes": ["owner"], "approvers": ["user:eve", "role:administrator"]});
    r.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(r).unwrap()
}

fn wants(id: &str, attributes: Json) -> Draft {
    let wanted = json!({"act": "update", "model": "system", "id": id, "attributes": attributes});
    Draft { title: "hand over".into(), items: vec![serde_json::from_value(wanted).unwrap()], ..Draft::default() }
}

async fn system(c: &Cmdb, name: &str) -> Instance {
    c.create(&bob(), "system", json!({"name": name, "owner": "bob"}), None).await.unwrap()
}

/// As the host does it.
async fn carry(c: &Cmdb, who: &Principal) {
    for due in c.changes_due().await.unwrap() {
        assert!(due.workflow.is_none());
        c.apply_change(who, &due.id).await.unwrap();
    }
}

async fn decide(c: &Cmdb, who: &Principal, r: &ChangeRequest, approve: bool) -> Result<ChangeRequest, CmdbError> {
    c.decide_change(who, &r.id, approve, &r.hash, Some("seen")).await
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn what_a_rule_guards_is_refused_at_every_door(db: Db) {
        let c = cmdb(&db).await;
        let s = system(&c, "shop").await;
        c.put_change_rule(&admin(), rule(json!({}))).await.unwrap();
        c.put_change_rule(&admin(), rule(json!({"name": "gone", "attributes": [], "acts": ["delete"]}))).await.unwrap();
        // What it does not guard goes on.
        c.update(&bob(), "system", &s.id, json!({"description": "ours"}), None, None).await.unwrap();
        let held = |e: CmdbError| {
            assert_eq!(e.code(), "cmdb.needs_approval", "{e}");
            assert!(e.to_string().contains("change request"), "{e}");
        };
        for who in [bob(), admin()] {
            held(c.update(&who, "system", &s.id, json!({"owner": "eve"}), None, None).await.unwrap_err());
            held(c.delete(&who, "system", &s.id, None, None).await.unwrap_err());
            held(c.create(&who, "system", json!({"name": "new", "owner": "eve"}), None).await.unwrap_err());
            let rows = vec![
                BulkRow { id: Some(s.id.clone()), attributes: json!({"owner": "eve"}).as_object().unwrap().clone(), ..BulkRow::default() },
                BulkRow { attributes: json!({"name": "free"}).as_object().unwrap().clone(), ..BulkRow::default() },
            ];
            let bulk = Bulk { action: BulkAction::Upsert, key: vec!["name".into()], rows, all: false, dry_run: false, why: None };
            let done = c.bulk(&who, "system", bulk).await.unwrap();
            held(done.rows.into_iter().next().unwrap().error.unwrap());
        }
        assert_eq!(c.get(&bob(), "system", &s.id).await.unwrap().attributes["owner"], "bob");
        // One of at least two at once.
        c.put_change_rule(&admin(), rule(json!({"at_least": 2}))).await.unwrap();
        c.update(&bob(), "system", &s.id, json!({"owner": "carl"}), None, None).await.unwrap();
        // Of some records only, and switched off.
        c.put_change_rule(&admin(), rule(json!({"filter": "name == \"other\""}))).await.unwrap();
        c.update(&bob(), "system", &s.id, json!({"owner": "dora"}), None, None).await.unwrap();
        c.put_change_rule(&admin(), rule(json!({"enabled": false}))).await.unwrap();
        c.update(&bob(), "system", &s.id, json!({"owner": "eve"}), None, None).await.unwrap();
        // What agents find is no one's decision.
        c.put_change_rule(&admin(), rule(json!({"name": "hosts", "models": ["host"], "attributes": []}))).await.unwrap();
        c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", json!([]))).await.unwrap();
        for bad in [json!({"approvers": []}), json!({"approvers": ["eve"]}), json!({"filter": "nonsense =="}), json!({"attributes": ["nothing"]}), json!({"name": "Bad Name"})] {
            assert!(c.put_change_rule(&admin(), rule(bad.clone())).await.is_err(), "{bad}");
        }
    }

    async fn what_is_approved_is_what_runs(db: Db) {
        let c = cmdb(&db).await;
        let s = system(&c, "shop").await;
        c.put_change_rule(&admin(), rule(json!({}))).await.unwrap();
        let r = c.request_change(&bob(), wants(&s.id, json!({"owner": "eve"}))).await.unwrap();
        assert_eq!((r.state.as_str(), r.needs.len(), r.mine), ("open", 1, false));
        assert_eq!((r.items[0].before.clone(), r.items[0].wanted.version), (json!({"owner": "bob"}), Some(1)));
        // Not who asked, not who is not asked, not for another hash.
        assert_eq!(decide(&c, &bob(), &r, true).await.unwrap_err().code(), "access.denied");
        assert_eq!(decide(&c, &person("viv", Role::Operator), &r, true).await.unwrap_err().code(), "access.denied");
        let eve = person("eve", Role::Viewer);
        assert_eq!(c.decide_change(&eve, &r.id, true, "other", None).await.unwrap_err().code(), "cmdb.conflict");
        let mine = ChangeQuery { mine: true, ..ChangeQuery::default() };
        assert_eq!(c.change_requests(&eve, &mine).await.unwrap().0.len(), 1);
        assert!(c.change_requests(&bob(), &mine).await.unwrap().0.is_empty());
        assert_eq!(decide(&c, &eve, &r, true).await.unwrap().state, "approved");
        // Only as who asked.
        c.apply_change(&eve, &r.id).await.unwrap();
        assert_eq!(c.get(&bob(), "system", &s.id).await.unwrap().attributes["owner"], "bob");
        assert_eq!(c.change_request(&bob(), &r.id).await.unwrap().state, "failed");
        let r = c.request_change(&bob(), wants(&s.id, json!({"owner": "eve"}))).await.unwrap();
        decide(&c, &eve, &r, true).await.unwrap();
        carry(&c, &bob()).await;
        let done = c.change_request(&bob(), &r.id).await.unwrap();
        assert_eq!((done.state.as_str(), done.records.clone()), ("done", vec![s.id.clone()]), "{:?}", done.error);
        let h = c.history(&bob(), "system", &s.id, None, 1).await.unwrap();
        assert_eq!((h[0].actor.as_str(), h[0].why.clone(), &h[0].after["owner"]), ("bob", Some(format!("change request {}", r.id)), &json!("eve")));
        let about = ChangeQuery { record: Some(s.id.clone()), ..ChangeQuery::default() };
        assert_eq!(c.change_requests(&bob(), &about).await.unwrap().0.len(), 2);
        // Rejected: nothing.
        let r = c.request_change(&bob(), wants(&s.id, json!({"owner": "mallory"}))).await.unwrap();
        assert_eq!(decide(&c, &admin(), &r, false).await.unwrap().state, "rejected");
        carry(&c, &bob()).await;
        assert_eq!(c.get(&bob(), "system", &s.id).await.unwrap().attributes["owner"], "eve");
        // What was tampered with is not written.
        let r = c.request_change(&bob(), wants(&s.id, json!({"owner": "carl"}))).await.unwrap();
        decide(&c, &admin(), &r, true).await.unwrap();
        let row = db.fetch_optional("SELECT spec FROM cmdb_change_requests WHERE id = ?", params![&r.id]).await.unwrap().unwrap();
        let mut spec = row.json("spec").unwrap();
        spec["items"][0]["attributes"]["owner"] = json!("mallory");
        db.execute("UPDATE cmdb_change_requests SET spec = ? WHERE id = ?", params![spec, &r.id]).await.unwrap();
        carry(&c, &bob()).await;
        let failed = c.change_request(&bob(), &r.id).await.unwrap();
        assert!(failed.state == "failed" && failed.error.unwrap().contains("not what was approved"));
        assert_eq!(c.get(&bob(), "system", &s.id).await.unwrap().attributes["owner"], "eve");
    }

    async fn a_record_that_changed_meanwhile_asks_again_and_nothing_is_half_written(db: Db) {
        let c = cmdb(&db).await;
        let (a, b) = (system(&c, "a").await, system(&c, "b").await);
        c.put_change_rule(&admin(), rule(json!({}))).await.unwrap();
        let mut draft = wants(&a.id, json!({"owner": "eve"}));
        draft.items.extend(wants(&b.id, json!({"owner": "eve"})).items);
        let r = c.request_change(&bob(), draft).await.unwrap();
        c.update(&bob(), "system", &b.id, json!({"description": "changed"}), None, None).await.unwrap();
        decide(&c, &admin(), &r, true).await.unwrap();
        carry(&c, &bob()).await;
        let held = c.change_request(&bob(), &r.id).await.unwrap();
        assert_eq!(held.state, "conflict");
        assert!(held.error.unwrap().contains(&b.id));
        assert_eq!(c.get(&bob(), "system", &a.id).await.unwrap().attributes["owner"], "bob");
        assert_eq!(c.renew_change(&admin(), &r.id).await.unwrap_err().code(), "access.denied");
        let again = c.renew_change(&bob(), &r.id).await.unwrap();
        assert_eq!((again.state.as_str(), again.votes.len()), ("open", 0));
        assert_ne!(again.hash, r.hash);
        decide(&c, &admin(), &again, true).await.unwrap();
        carry(&c, &bob()).await;
        for id in [&a.id, &b.id] {
            assert_eq!(c.get(&bob(), "system", id).await.unwrap().attributes["owner"], "eve");
        }
        // A rule that was made after the approval counts.
        let r = c.request_change(&bob(), wants(&a.id, json!({"owner": "carl"}))).await.unwrap();
        decide(&c, &admin(), &r, true).await.unwrap();
        c.put_change_rule(&admin(), rule(json!({"name": "more", "approvers": ["user:zoe"]}))).await.unwrap();
        carry(&c, &bob()).await;
        assert_eq!(c.change_request(&bob(), &r.id).await.unwrap().state, "failed");
        // Taken back by who asked.
        let r = c.request_change(&bob(), wants(&a.id, json!({"owner": "carl"}))).await.unwrap();
        assert_eq!(r.needs.len(), 2);
        assert_eq!(c.withdraw_change(&person("viv", Role::Operator), &r.id).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.withdraw_change(&bob(), &r.id).await.unwrap().state, "withdrawn");
        assert_eq!(decide(&c, &admin(), &r, true).await.unwrap_err().code(), "cmdb.in_use");
    }

    async fn an_application_makes_records_and_a_workflow_goes_before_them(db: Db) {
        let c = cmdb(&db).await;
        let create = |name: &str| serde_json::from_value::<Wanted>(json!({"act": "create", "model": "system", "attributes": {"name": name, "owner": "eve"}})).unwrap();
        // Without a rule it is done at once.
        let draft = Draft { title: "two systems".into(), items: vec![create("app-1"), create("app-2")], key: Some("k".into()), ..Draft::default() };
        let r = c.request_change(&bob(), draft.clone()).await.unwrap();
        assert_eq!((r.state.as_str(), r.records.len()), ("done", 2), "{:?}", r.error);
        assert_eq!(c.request_change(&bob(), draft).await.unwrap().id, r.id, "once a key");
        // With a workflow it waits for that.
        let draft = Draft { title: "third".into(), items: vec![create("app-3")], workflow: Some("provide".into()), ..Draft::default() };
        let r = c.request_change(&bob(), draft).await.unwrap();
        assert_eq!(r.state, "approved");
        let due = c.changes_due().await.unwrap().remove(0);
        let (name, input) = due.workflow.unwrap();
        assert_eq!((name.as_str(), input["change"]["items"][0]["attributes"]["name"].as_str()), ("provide", Some("app-3")));
        c.change_runs(&r.id, "run-1").await.unwrap();
        assert_eq!(c.change_request(&bob(), &r.id).await.unwrap().run.as_deref(), Some("run-1"));
        c.change_failed(&r.id, "it stopped at do/0").await.unwrap();
        let failed = c.change_request(&bob(), &r.id).await.unwrap();
        assert_eq!((failed.state.as_str(), failed.error.as_deref()), ("failed", Some("it stopped at do/0")));
        assert!(c.list(&bob(), "system", &Query { filter: Some("name == \"app-3\"".into()), ..Query::default() }).await.unwrap().items.is_empty());
        for bad in [
            Draft { title: " ".into(), items: vec![create("x")], ..Draft::default() },
            Draft { title: "none".into(), ..Draft::default() },
            Draft { title: "twice the name".into(), items: vec![serde_json::from_value(json!({"act": "create", "model": "system", "attributes": {"nam": "x"}})).unwrap()], ..Draft::default() },
            Draft { title: "no id".into(), items: vec![Wanted { act: Act::Delete, ..create("x") }], ..Draft::default() },
        ] {
            assert!(c.request_change(&bob(), bad.clone()).await.is_err(), "{}", bad.title);
        }
        let viewer = user(Role::Viewer);
        let e = c.request_change(&viewer, Draft { title: "mine".into(), items: vec![create("x")], ..Draft::default() }).await.unwrap_err();
        assert_eq!(e.code(), "access.denied");
        assert_eq!(c.put_change_rule(&bob(), rule(json!({}))).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.delete_change_rule(&bob(), "owners").await.unwrap_err().code(), "access.denied");
    }
}
