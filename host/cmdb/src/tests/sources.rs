//! Sources: whose word counts, what is kept, recognised, held, marked and archived.

use super::*;
use crate::sources::precedence::Rule;
use crate::sources::review::{Decision, ReviewQuery};
use crate::sources::submit::{Outcome, SourceRecord, Submission, Submitted};
use crate::sources::{OnNew, SourceSpec};

fn operator() -> Principal {
    user(Role::Operator)
}

async fn named(c: &Cmdb, name: &str, change: Json) {
    let mut spec = json!(SourceSpec::of(name));
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    c.put_source(&admin(), name, serde_json::from_value(spec).unwrap()).await.unwrap();
}

fn record(model: &str, external: Option<&str>, attributes: Json) -> SourceRecord {
    SourceRecord {
        model: model.into(),
        external_id: external.map(str::to_owned),
        attributes: attributes.as_object().unwrap().clone(),
        complete: false,
    }
}

async fn say(c: &Cmdb, source: &str, r: SourceRecord) -> Submitted {
    let s = Submission { records: vec![r], ..Submission::default() };
    c.submit(&operator(), source, s).await.unwrap().remove(0)
}

async fn values(c: &Cmdb, model: &str, id: &str, attribute: &str) -> Vec<(String, Json, bool)> {
    let s = c.record_sources(&admin(), model, id).await.unwrap();
    let a = s.attributes.into_iter().find(|a| a.attribute == attribute);
    a.map(|a| a.values.into_iter().map(|v| (v.source, v.value, v.counts)).collect()).unwrap_or_default()
}

fn rule(model: &str, attribute: &str, ranks: &[&str]) -> Rule {
    Rule { model: model.into(), attribute: attribute.into(), ranks: ranks.iter().map(|r| (*r).to_owned()).collect() }
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn the_agent_says_64_and_the_import_says_32(db: Db) {
        let c = cmdb(&db).await;
        named(&c, "vcenter", json!({})).await;
        let mut f = facts("web1", "m-0001", json!([]));
        f.node.insert("memory_bytes".into(), json!(64));
        let host = c.reconcile(&agent("n1"), "n1", f).await.unwrap().host;
        let done = say(&c, "import", record("host", None, json!({"machine_id": "m-0001", "memory_bytes": 32, "env": "prod"}))).await;
        assert_eq!((done.outcome, done.id.as_deref()), (Outcome::Updated, Some(host.id.as_str())));
        let now = c.get(&admin(), "host", &host.id).await.unwrap();
        assert_eq!((now.attributes["memory_bytes"].as_i64(), now.attributes["env"].as_str()), (Some(64), Some("prod")));
        let of = |s: &str, v: i64, counts: bool| (s.to_owned(), json!(v), counts);
        assert_eq!(values(&c, "host", &host.id, "memory_bytes").await, [of("agent", 64, true), of("import", 32, false)]);
        let s = c.record_sources(&admin(), "host", &host.id).await.unwrap();
        assert!(s.attributes.iter().any(|a| a.attribute == "memory_bytes" && a.conflict));
        assert!(s.attributes.iter().any(|a| a.attribute == "machine_id" && !a.conflict));
        // An administrator decides otherwise: the record follows at once, and back.
        c.put_precedence(&admin(), rule("host", "memory_bytes", &["import", "agent"])).await.unwrap();
        assert_eq!(c.get(&admin(), "host", &host.id).await.unwrap().attributes["memory_bytes"], 32);
        assert_eq!(values(&c, "host", &host.id, "memory_bytes").await, [of("import", 32, true), of("agent", 64, false)]);
        // What the agent reports again is kept, and does not count.
        let mut f = facts("web1", "m-0001", json!([]));
        f.node.insert("memory_bytes".into(), json!(128));
        let again = c.reconcile(&agent("n1"), "n1", f).await.unwrap().host;
        assert_eq!(again.attributes["memory_bytes"], 32);
        assert_eq!(values(&c, "host", &host.id, "memory_bytes").await, [of("import", 32, true), of("agent", 128, false)]);
        // The one that counts withdraws: the next takes its place, and nothing else changes.
        let after = c.withdraw(&operator(), "host", &host.id, "import", None, Some("wrong file")).await.unwrap();
        assert_eq!((after.attributes["memory_bytes"].as_i64(), after.attributes.get("env")), (Some(128), None));
        assert_eq!(c.withdraw(&operator(), "host", &host.id, "import", None, None).await.unwrap_err().code(), "cmdb.not_found");
        assert_eq!(c.withdraw(&user(Role::Viewer), "host", &host.id, "agent", None, None).await.unwrap_err().code(), "access.denied");
        // The last source of what every record has to have leaves it.
        let left = c.withdraw(&operator(), "host", &host.id, "agent", None, None).await.unwrap();
        assert_eq!((left.attributes["hostname"].as_str(), left.attributes.get("memory_bytes")), (Some("web1"), None));
    }

    async fn two_that_contradict_each_other_make_no_endless_history(db: Db) {
        let c = cmdb(&db).await;
        named(&c, "a", json!({})).await;
        named(&c, "b", json!({})).await;
        let made = say(&c, "a", record("team", Some("1"), json!({"name": "dba", "email": "a@x"}))).await.id.unwrap();
        for _ in 0..20 {
            say(&c, "b", record("team", Some("x"), json!({"name": "dba", "email": "b@x"}))).await;
            say(&c, "a", record("team", Some("1"), json!({"name": "dba", "email": "a@x"}))).await;
        }
        let h = c.history(&admin(), "team", &made, None, 100).await.unwrap();
        assert!(h.len() <= 2, "{} changes", h.len());
        // What a person writes counts at once, and stays whatever the two go on saying.
        c.update(&operator(), "team", &made, json!({"email": "p@x"}), None, None).await.unwrap();
        say(&c, "a", record("team", Some("1"), json!({"name": "dba", "email": "a2@x"}))).await;
        let v = values(&c, "team", &made, "email").await;
        assert_eq!((v.len(), v[0].clone()), (3, ("manual".into(), json!("p@x"), true)));
        // Emptied by hand is a word too, until it is taken back.
        c.update(&operator(), "team", &made, json!({"email": null}), None, None).await.unwrap();
        assert_eq!(c.get(&admin(), "team", &made).await.unwrap().attributes.get("email"), None);
        let back = c.withdraw(&operator(), "team", &made, "manual", Some("email"), None).await.unwrap();
        assert_eq!(back.attributes["email"], "a2@x");
    }

    async fn what_people_and_plugins_write_counts_as_they_write_it(db: Db) {
        let c = cmdb(&db).await;
        let grant: plenum_access::Grant = serde_json::from_value(json!({"cmdb.read": {}, "cmdb.write": {}})).unwrap();
        let p = Principal::Plugin(plenum_access::PluginPrincipal { id: "cloud".into(), grant: std::sync::Arc::new(grant), on_behalf: None });
        let t = c.create(&operator(), "team", json!({"name": "t", "email": "1@x"}), None).await.unwrap().id;
        let email = |c: &Cmdb| { let (c, t) = (c.clone(), t.clone()); async move { c.get(&admin(), "team", &t).await.unwrap().attributes["email"].clone() } };
        for (i, who) in [&p, &operator(), &p].into_iter().enumerate() {
            c.update(who, "team", &t, json!({"email": format!("{i}@x")}), None, None).await.unwrap();
            assert_eq!(email(&c).await, format!("{i}@x"));
        }
        let v = values(&c, "team", &t, "email").await;
        assert_eq!(v, [("plugin:cloud".into(), json!("2@x"), true), ("manual".into(), json!("1@x"), false)]);
        // The name that only a person said has no note, and is shown as theirs.
        assert_eq!(values(&c, "team", &t, "name").await, [("manual".into(), json!("t"), true)]);
        c.from_source("import").update(&operator(), "team", &t, json!({"email": "3@x"}), None, None).await.unwrap();
        assert_eq!(values(&c, "team", &t, "email").await[0].0, "import");
        // A version that is no longer there is refused also where nothing would change.
        let e = c.update(&operator(), "team", &t, json!({"email": "4@x"}), Some(1), None).await.unwrap_err();
        assert_eq!(e.code(), "cmdb.conflict");
        // Deleted with its record, so that a new one of the same name starts clean.
        c.delete(&operator(), "team", &t, None, None).await.unwrap();
        let left = db.fetch_all("SELECT record FROM cmdb_claims WHERE record = ?", params![&t]).await.unwrap();
        assert!(left.is_empty());
    }

    async fn records_are_recognised_made_or_held(db: Db) {
        let c = cmdb(&db).await;
        named(&c, "vcenter", json!({})).await;
        for h in ["twin", "twin", "alone"] {
            c.create(&operator(), "host", json!({"hostname": h}), None).await.unwrap();
        }
        let made = say(&c, "vcenter", record("host", Some("vm-1"), json!({"hostname": "new", "serial": "S-0001"}))).await;
        assert_eq!(made.outcome, Outcome::Created);
        let again = say(&c, "vcenter", record("host", Some("vm-1"), json!({"hostname": "new", "serial": "S-0001"}))).await;
        assert_eq!((again.outcome, again.id.clone()), (Outcome::Unchanged, made.id.clone()));
        // Under its own name it is the same, whatever else changed.
        let renamed = say(&c, "vcenter", record("host", Some("vm-1"), json!({"hostname": "renamed", "serial": "S-0001"}))).await;
        assert_eq!((renamed.outcome, renamed.id.clone()), (Outcome::Updated, made.id.clone()));
        // Two of theirs are not one of ours; several of ours are a question.
        let taken = say(&c, "vcenter", record("host", Some("vm-2"), json!({"hostname": "copy", "serial": "S-0001"}))).await;
        let many = say(&c, "vcenter", record("host", Some("vm-3"), json!({"hostname": "twin", "cpu_count": 8}))).await;
        let one = say(&c, "vcenter", record("host", Some("vm-4"), json!({"hostname": "alone"}))).await;
        assert_eq!((taken.outcome, many.outcome, one.outcome), (Outcome::Held, Outcome::Held, Outcome::Unchanged));
        // Sent again, it is the same question.
        say(&c, "vcenter", record("host", Some("vm-3"), json!({"hostname": "twin", "cpu_count": 16}))).await;
        let page = c.reviews(&admin(), &ReviewQuery { state: Some("open".into()), limit: 10, ..ReviewQuery::default() }).await.unwrap();
        let open = page.items;
        assert_eq!((open.len(), page.open, page.next_cursor), (2, 2, None));
        let item = open.iter().find(|r| r.reason == "ambiguous").unwrap().clone();
        assert_eq!((item.candidates.len(), item.attributes["cpu_count"].as_i64()), (2, Some(16)));
        assert_eq!(c.decide_review(&user(Role::Viewer), &item.id, Decision::Accept, None).await.unwrap_err().code(), "access.denied");
        let decided = c.decide_review(&operator(), &item.id, Decision::Merge { record: item.candidates[0].clone() }, Some("asked them")).await.unwrap();
        assert_eq!((decided.state.as_str(), decided.decided_by.as_deref()), ("merged", Some("alice")));
        assert_eq!(c.get(&admin(), "host", &item.candidates[0]).await.unwrap().attributes["cpu_count"], 16);
        let known = say(&c, "vcenter", record("host", Some("vm-3"), json!({"hostname": "twin", "cpu_count": 32}))).await;
        assert_eq!((known.outcome, known.id.as_deref()), (Outcome::Updated, Some(item.candidates[0].as_str())));
        assert_eq!(c.decide_review(&operator(), &item.id, Decision::Accept, None).await.unwrap_err().code(), "cmdb.in_use");
        // Rejected stays rejected, until somebody thinks otherwise.
        let other = open.iter().find(|r| r.reason == "taken").unwrap().id.clone();
        c.decide_review(&operator(), &other, Decision::Reject, Some("a snapshot")).await.unwrap();
        let ignored = say(&c, "vcenter", record("host", Some("vm-2"), json!({"hostname": "copy", "serial": "S-0001"}))).await;
        assert_eq!((ignored.outcome, ignored.review.as_deref()), (Outcome::Ignored, Some(other.as_str())));
        c.decide_review(&operator(), &other, Decision::Reopen, None).await.unwrap();
        let own = c.decide_review(&operator(), &other, Decision::Accept, None).await.unwrap();
        assert!(own.record.is_some_and(|r| Some(r) != made.id));
        // New ones wait, or are left out, where the source is not trusted that far.
        named(&c, "vcenter", json!({"on_new": OnNew::Review})).await;
        assert_eq!(say(&c, "vcenter", record("host", Some("vm-9"), json!({"hostname": "unknown"}))).await.outcome, Outcome::Held);
        named(&c, "vcenter", json!({"on_new": OnNew::Ignore})).await;
        assert_eq!(say(&c, "vcenter", record("host", Some("vm-8"), json!({"hostname": "stranger"}))).await.outcome, Outcome::Ignored);
    }

    async fn one_bad_record_keeps_no_other_out(db: Db) {
        let c = cmdb(&db).await;
        named(&c, "vcenter", json!({})).await;
        let records = vec![
            record("team", Some("1"), json!({"name": "a"})),
            record("team", Some("2"), json!({"nmae": "b"})),
            record("team", Some("3"), json!({"name": 3})),
            record("team", Some("4"), json!({})),
            record("team", Some("5"), json!({"name": "e"})),
        ];
        let s = Submission { records, gone: vec![("team".into(), "9".into())], dry_run: true };
        let outcome = |d: &[Submitted]| d.iter().map(|x| x.outcome).collect::<Vec<_>>();
        let expected = [Outcome::Created, Outcome::Failed, Outcome::Failed, Outcome::Failed, Outcome::Created, Outcome::Failed];
        assert_eq!(outcome(&c.submit(&operator(), "vcenter", s.clone()).await.unwrap()), expected);
        assert!(c.list(&admin(), "team", &Query::default()).await.unwrap().items.is_empty(), "a dry run keeps nothing");
        let done = c.submit(&operator(), "vcenter", Submission { dry_run: false, ..s }).await.unwrap();
        assert_eq!(outcome(&done), expected);
        assert!(done[1].error.as_ref().unwrap().to_string().contains("did you mean name?"));
        let many = Submission { records: vec![record("team", None, json!({"name": "x"})); 1001], ..Submission::default() };
        assert!(c.submit(&operator(), "vcenter", many).await.unwrap_err().to_string().contains("1000"));
        // Nobody speaks in another's name.
        for (who, source) in [(operator(), "agent"), (operator(), "manual"), (operator(), "plugin:cloud"), (operator(), "nobody"), (user(Role::Viewer), "vcenter")] {
            let s = Submission { records: vec![record("team", None, json!({"name": "x"}))], ..Submission::default() };
            assert!(c.submit(&who, source, s).await.is_err(), "{source}");
        }
        let grant: plenum_access::Grant = serde_json::from_value(json!({"cmdb.write": {"models": ["team"]}})).unwrap();
        let p = Principal::Plugin(plenum_access::PluginPrincipal { id: "cloud".into(), grant: std::sync::Arc::new(grant), on_behalf: None });
        let s = |m: &str| Submission { records: vec![record(m, None, json!({"name": "x"}))], ..Submission::default() };
        assert_eq!(c.submit(&p, "plugin:cloud", s("team")).await.unwrap()[0].outcome, Outcome::Created);
        assert_eq!(c.submit(&p, "plugin:cloud", s("system")).await.unwrap_err().code(), "access.denied");
        assert!(c.submit(&p, "vcenter", s("team")).await.is_err());
    }

    async fn what_vanishes_is_marked_then_archived_by_rule(db: Db) {
        let c = cmdb(&db).await;
        named(&c, "vcenter", json!({"vanish_after_s": 3600, "archive_after_s": 7200, "stale_after_s": 600})).await;
        named(&c, "cloud", json!({"vanish_after_s": null, "stale_after_s": null})).await;
        let only = say(&c, "vcenter", record("team", Some("1"), json!({"name": "only", "email": "v@x"}))).await.id.unwrap();
        let both = say(&c, "vcenter", record("team", Some("2"), json!({"name": "both", "email": "v@x"}))).await.id.unwrap();
        say(&c, "cloud", record("team", Some("x"), json!({"name": "both", "email": "c@x"}))).await;
        let hour = 3_600_000;
        let now = plenum_store::now_ms();
        assert_eq!(c.sweep_sources(now + hour / 2).await.unwrap().vanished, 0);
        assert_eq!(c.sweep_sources(now + hour + 5000).await.unwrap().vanished, 2);
        let s = c.record_sources(&admin(), "team", &only).await.unwrap();
        assert!(s.sources[0].vanished_at.is_some());
        // Seen again, it is there again.
        assert_eq!(say(&c, "vcenter", record("team", Some("2"), json!({"name": "both", "email": "v@x"}))).await.outcome, Outcome::Unchanged);
        assert_eq!(c.record_sources(&admin(), "team", &both).await.unwrap().sources[1].vanished_at, None);
        // Or its source says outright that it is gone.
        let gone = Submission { gone: vec![("team".into(), "2".into())], ..Submission::default() };
        assert_eq!(c.submit(&operator(), "vcenter", gone).await.unwrap()[0].outcome, Outcome::Gone);
        let done = c.sweep_sources(now + 4 * hour).await.unwrap();
        assert_eq!((done.archived, done.changed), (1, 1));
        assert_eq!(c.get(&admin(), "team", &only).await.unwrap_err().code(), "cmdb.not_found");
        let h = c.history(&admin(), "team", &only, None, 1).await.unwrap();
        assert!(h[0].after.is_null() && h[0].why.as_deref().unwrap().contains("vcenter no longer has it"), "{h:?}");
        assert!(c.restore(&operator(), "team", &only, None, None).await.is_ok(), "archived is not lost");
        // What another system still has stays, with that one's values.
        assert_eq!(c.get(&admin(), "team", &both).await.unwrap().attributes["email"], "c@x");
        assert!(c.put_source(&admin(), "vcenter", serde_json::from_value(json!({"archive_after_s": 100})).unwrap()).await.is_err());
    }

    async fn a_connected_agent_does_not_grow_stale(db: Db) {
        let c = cmdb(&db).await;
        let redis = json!([{"model": "redis", "name": "redis:6379", "port": 6379}]);
        let on = c.reconcile(&agent("n1"), "n1", facts("on", "m-0001", redis)).await.unwrap();
        let mut off = facts("off", "m-0002", json!([]));
        off.node.insert("addresses".into(), json!(["10.1.0.8"]));
        let off = c.reconcile(&agent("n2"), "n2", off).await.unwrap();
        c.set_node_status(&agent("n2"), "n2", "offline").await.unwrap();
        let day = 86_400_000;
        let now = plenum_store::now_ms();
        c.sweep_sources(now + day).await.unwrap();
        assert_eq!(c.sweep_sources(now + 31 * day).await.unwrap().vanished, 1);
        let vanished = |model: &'static str, id: String| { let c = c.clone(); async move { c.record_sources(&admin(), model, &id).await.unwrap().sources[0].vanished_at.is_some() } };
        assert!(!vanished("host", on.host.id.clone()).await && !vanished("redis", on.services[0].id.clone()).await);
        assert!(vanished("host", off.host.id.clone()).await);
        // It comes back and says what it said: no longer vanished, and no change of the record.
        let mut again = facts("off", "m-0002", json!([]));
        again.node.insert("addresses".into(), json!(["10.1.0.8"]));
        c.reconcile(&agent("n2"), "n2", again).await.unwrap();
        assert!(!vanished("host", off.host.id.clone()).await);
    }

    async fn duplicates_become_one(db: Db) {
        let c = cmdb(&db).await;
        named(&c, "vcenter", json!({})).await;
        let a = c.create(&operator(), "system", json!({"name": "shop"}), None).await.unwrap().id;
        let team = c.create(&operator(), "team", json!({"name": "t"}), None).await.unwrap().id;
        let b = say(&c, "vcenter", record("system", Some("s-7"), json!({"name": "Shop", "description": "sells"}))).await.id.unwrap();
        c.associate(&operator(), "belongs_to", ("system", &b), ("team", &team)).await.unwrap();
        c.associate(&operator(), "depends_on", ("system", &a), ("system", &b)).await.unwrap();
        let look = c.merge_records(&operator(), "system", &a, std::slice::from_ref(&b), true, None).await.unwrap();
        assert_eq!((look.gained["description"].as_str(), look.lost["name"].clone(), look.moved), (Some("sells"), json!(["Shop"]), 1));
        assert!(c.get(&admin(), "system", &b).await.is_ok());
        assert_eq!(c.merge_records(&user(Role::Viewer), "system", &a, std::slice::from_ref(&b), false, None).await.unwrap_err().code(), "access.denied");
        c.merge_records(&operator(), "system", &a, std::slice::from_ref(&b), false, Some("twice")).await.unwrap();
        assert_eq!(c.get(&admin(), "system", &a).await.unwrap().attributes["description"], "sells");
        assert_eq!(c.get(&admin(), "system", &b).await.unwrap_err().code(), "cmdb.not_found");
        assert_eq!(c.related(&admin(), "system", &a).await.unwrap().iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [team.as_str()]);
        // The source finds its record where it is now.
        let again = say(&c, "vcenter", record("system", Some("s-7"), json!({"description": "sells more"}))).await;
        assert_eq!((again.outcome, again.id.as_deref()), (Outcome::Unchanged, Some(a.as_str())));
        assert_eq!(c.merge_records(&operator(), "system", &a, std::slice::from_ref(&a), false, None).await.unwrap_err().code(), "cmdb.invalid_instance");
    }
}
