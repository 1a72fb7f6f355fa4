//! Data quality: what rules find, what it makes of the scores, what a click mends.

use super::*;
use crate::health::FindingQuery;
use crate::health::rules::HealthRule;

fn operator() -> Principal {
    user(Role::Operator)
}

fn rule(spec: Json) -> HealthRule {
    serde_json::from_value(spec).unwrap()
}

async fn make(c: &Cmdb, model: &str, attributes: Json) -> String {
    c.create(&operator(), model, attributes, None).await.unwrap().id
}

async fn run(c: &Cmdb) {
    c.want_health_run(&operator()).await.unwrap();
    assert!(c.tend_health().await.unwrap());
    let run = c.health_run(&operator()).await.unwrap().unwrap();
    assert_eq!(run.state, "done", "{run:?}");
}

async fn found(c: &Cmdb, rule: &str) -> Vec<(String, Json)> {
    let q = FindingQuery { rule: Some(rule.into()), limit: 100, ..FindingQuery::default() };
    c.health_findings(&operator(), &q).await.unwrap().0.into_iter().map(|f| (f.label, f.detail)).collect()
}

async fn off(c: &Cmdb, keep: &[&str]) {
    for r in c.health_rules(&admin()).await.unwrap() {
        if !keep.contains(&r.rule.id.as_str()) {
            c.put_health_rule(&admin(), HealthRule { enabled: false, ..r.rule }).await.unwrap();
        }
    }
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn what_hangs_in_the_air_has_nobody_or_is_incomplete_is_found(db: Db) {
        let c = cmdb(&db).await;
        let team = make(&c, "team", json!({"name": "dba"})).await;
        let good = make(&c, "system", json!({"name": "shop", "description": "sells", "owner": "ada"})).await;
        let app = make(&c, "business_application", json!({"name": "sales"})).await;
        make(&c, "system", json!({"name": "island"})).await;
        c.associate(&operator(), "belongs_to", ("system", &good), ("team", &team)).await.unwrap();
        c.associate(&operator(), "belongs_to", ("system", &good), ("business_application", &app)).await.unwrap();
        run(&c).await;
        assert_eq!(found(&c, "island").await.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["island"]);
        assert_eq!(found(&c, "owner").await.len(), 2, "the island, and the application that belongs to nobody");
        let incomplete = found(&c, "completeness").await;
        let island = incomplete.iter().find(|f| f.0 == "island").unwrap();
        assert_eq!(island.1["attributes"], json!(["description", "owner"]));
        let h = c.record_health(&operator(), "system", &good).await.unwrap();
        assert_eq!((h.score, h.findings.len()), (Some(100), 0));
        // island 3, owner 3, completeness 2 (3 of 6 missing), stale 2, conflict 1.
        let scores = c.health_scores(&operator()).await.unwrap();
        let of = |scope: &str| scores.iter().filter(|s| s.scope == scope).collect::<Vec<_>>();
        assert_eq!(of("all")[0].records, 4);
        assert!(of("all")[0].score < 100.0);
        assert_eq!(of("model").len(), 3);
        assert_eq!((of("team")[0].label.as_str(), of("team")[0].score, of("business")[0].label.as_str()), ("dba", 100.0, "sales"));
        assert_eq!(c.health_trend(&operator(), "all", "", 30).await.unwrap().len(), 1);
        // Told as an event, and done once a day by itself.
        let events = Events::new(db.clone()).read(0, 100, &["plenum.cmdb.health.".into()]).await.unwrap();
        assert_eq!((events.len(), events[0].data["findings"]["island"].as_i64(), events[0].data["all"]["records"].as_i64()), (1, Some(1), Some(4)));
        assert!(!c.tend_health().await.unwrap());
        // Mended, it is no longer found; what is gone is not either.
        let since = c.health_findings(&operator(), &FindingQuery { rule: Some("owner".into()), limit: 10, ..FindingQuery::default() }).await.unwrap().0;
        c.associate(&operator(), "depends_on", ("system", &since.iter().find(|f| f.label == "island").unwrap().record), ("system", &good)).await.unwrap();
        c.delete(&operator(), "business_application", &app, None, None).await.unwrap();
        run(&c).await;
        assert!(found(&c, "island").await.is_empty());
        let again = c.health_findings(&operator(), &FindingQuery { rule: Some("owner".into()), limit: 10, ..FindingQuery::default() }).await.unwrap().0;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].since, since.iter().find(|f| f.label == "island").unwrap().since, "it is wrong since it was found first");
        assert!(c.health_scores(&operator()).await.unwrap().iter().all(|s| s.scope != "business"));
    }

    async fn values_are_held_to_their_standard_and_mended_by_a_click(db: Db) {
        let c = cmdb(&db).await;
        off(&c, &[]).await;
        let put = |r: Json| { let c = c.clone(); async move { c.put_health_rule(&admin(), rule(r)).await } };
        put(json!({"id": "env", "models": ["host"], "check": {"kind": "standard", "attribute": "env", "one_of": ["prod", "test"]}})).await.unwrap();
        put(json!({"id": "name", "models": ["team"], "check": {"kind": "standard", "attribute": "name", "pattern": "[a-z]+"}})).await.unwrap();
        put(json!({"id": "owner-is-team", "models": ["system"], "check": {"kind": "standard", "attribute": "owner", "refers_to": ["team", "name"]}})).await.unwrap();
        put(json!({"id": "prod-owner", "models": ["host"], "check": {"kind": "standard", "attribute": "env", "cel": "env != \"prod\" || owner != null"}})).await.unwrap();
        make(&c, "team", json!({"name": "dba"})).await;
        make(&c, "team", json!({"name": "Team 2"})).await;
        make(&c, "system", json!({"name": "s1", "owner": "dba"})).await;
        make(&c, "system", json!({"name": "s2", "owner": "nobody"})).await;
        let near = make(&c, "host", json!({"hostname": "near", "env": " PROD"})).await;
        let far = make(&c, "host", json!({"hostname": "far", "env": "staging"})).await;
        make(&c, "host", json!({"hostname": "fine", "env": "prod"})).await;
        make(&c, "host", json!({"hostname": "none"})).await;
        run(&c).await;
        let names = |f: Vec<(String, Json)>| f.into_iter().map(|x| x.0).collect::<Vec<_>>();
        assert_eq!(names(found(&c, "env").await), ["near", "far"]);
        assert_eq!(names(found(&c, "name").await), ["Team 2"]);
        assert_eq!(names(found(&c, "owner-is-team").await), ["s2"]);
        assert_eq!(names(found(&c, "prod-owner").await), ["fine"]);
        assert_eq!(found(&c, "env").await[0].1["repairable"], true);
        let look = c.repair(&operator(), "env", &near, true).await.unwrap();
        assert_eq!((look.before["env"].as_str(), look.after["env"].as_str()), (Some(" PROD"), Some("prod")));
        assert_eq!(c.get(&admin(), "host", &near).await.unwrap().attributes["env"], " PROD");
        assert_eq!(c.repair(&user(Role::Viewer), "env", &near, false).await.unwrap_err().code(), "access.denied");
        c.repair(&operator(), "env", &near, false).await.unwrap();
        assert_eq!(c.get(&admin(), "host", &near).await.unwrap().attributes["env"], "prod");
        assert_eq!(c.history(&admin(), "host", &near, None, 1).await.unwrap()[0].why.as_deref(), Some("data quality: env"));
        assert_eq!(c.repair(&operator(), "env", &near, false).await.unwrap_err().code(), "cmdb.not_found");
        assert!(c.repair(&operator(), "env", &far, false).await.unwrap_err().to_string().contains("person"));
        // A rule that cannot be asked is refused with its place.
        for bad in [
            json!({"id": "x", "models": ["host"], "check": {"kind": "standard", "attribute": "envv", "one_of": ["a"]}}),
            json!({"id": "x", "check": {"kind": "standard", "attribute": "env", "pattern": "("}}),
            json!({"id": "x", "check": {"kind": "standard", "attribute": "env"}}),
            json!({"id": "x", "models": ["host"], "check": {"kind": "island", "in_use": "statsu == 1"}}),
            json!({"id": "X", "check": {"kind": "conflict"}}),
            json!({"id": "x", "weight": 11, "check": {"kind": "conflict"}}),
            json!({"id": "x", "check": {"kind": "integrity", "association": "likes"}}),
        ] {
            assert!(put(bad.clone()).await.is_err(), "{bad}");
        }
        assert_eq!(c.put_health_rule(&operator(), rule(json!({"id": "x", "check": {"kind": "conflict"}}))).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.delete_health_rule(&admin(), "island").await.unwrap_err().code(), "cmdb.in_use");
        c.delete_health_rule(&admin(), "name").await.unwrap();
        assert!(found(&c, "name").await.is_empty());
        // What was switched off stays off after a restart.
        assert!(cmdb(&db).await.health_rules(&admin()).await.unwrap().iter().all(|r| r.rule.enabled == (r.rule.id != "conflict" && !r.builtin)));
    }

    async fn sources_that_are_silent_or_disagree_and_twins_are_found(db: Db) {
        let c = cmdb(&db).await;
        off(&c, &["stale", "conflict", "duplicate-host", "runs-on"]).await;
        let redis = json!([{"model": "redis", "name": "redis:6379", "port": 6379}]);
        let host = c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", redis)).await.unwrap().host.id;
        let s = crate::sources::submit::Submission {
            records: vec![crate::sources::submit::SourceRecord {
                model: "host".into(),
                external_id: None,
                attributes: json!({"machine_id": "m-0001", "memory_bytes": 32}).as_object().unwrap().clone(),
                complete: false,
            }],
            ..Default::default()
        };
        c.submit(&operator(), "import", s).await.unwrap();
        make(&c, "redis", json!({"name": "lost", "node_id": "x", "identity": "y", "port": 1})).await;
        let a = make(&c, "host", json!({"hostname": "twin"})).await;
        let b = make(&c, "host", json!({"hostname": "twin", "env": "prod"})).await;
        let odd = make(&c, "host", json!({"hostname": "Odd", "env": "prod"})).await;
        make(&c, "host", json!({"hostname": "odd ", "env": "test"})).await;
        db.execute("UPDATE cmdb_claims SET last_seen = 1 WHERE source = 'agent' AND record = ?", params![&host]).await.unwrap();
        run(&c).await;
        let conflict = found(&c, "conflict").await;
        assert_eq!((conflict.len(), conflict[0].1["attributes"].clone()), (1, json!(["memory_bytes"])));
        let stale = found(&c, "stale").await;
        assert_eq!((stale.len(), stale[0].1["sources"].clone()), (1, json!(["agent"])));
        assert_eq!(found(&c, "runs-on").await.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["lost"]);
        assert_eq!(found(&c, "duplicate-host").await.len(), 4);
        assert!(c.repair(&operator(), "duplicate-host", &odd, true).await.unwrap_err().to_string().contains("person"));
        let look = c.repair(&operator(), "duplicate-host", &b, true).await.unwrap();
        assert_eq!((look.merged.as_deref(), look.after["env"].as_str()), (Some(b.as_str()), Some("prod")));
        c.repair(&operator(), "duplicate-host", &b, false).await.unwrap();
        assert_eq!(c.get(&admin(), "host", &a).await.unwrap().attributes["env"], "prod");
        assert_eq!(found(&c, "duplicate-host").await.len(), 2);
        // A reader of few models hears of no others.
        let grant: plenum_access::Grant = serde_json::from_value(json!({"cmdb.read": {"models": ["redis"]}})).unwrap();
        let p = Principal::Plugin(plenum_access::PluginPrincipal { id: "p".into(), grant: std::sync::Arc::new(grant), on_behalf: None });
        let all = FindingQuery { limit: 100, ..FindingQuery::default() };
        assert!(c.health_findings(&p, &all).await.unwrap().0.iter().all(|f| f.model == "redis"));
        assert!(c.health_scores(&p).await.unwrap().iter().all(|s| s.scope == "all" || s.name == "redis"));
        assert_eq!(c.record_health(&p, "host", &host).await.unwrap_err().code(), "access.denied");
    }

    async fn many_records_are_asked_in_batches(db: Db) {
        let c = cmdb(&db).await;
        off(&c, &["owner"]).await;
        let rows = (0..1203).map(|i| crate::BulkRow { attributes: json!({"name": format!("s{i}")}).as_object().unwrap().clone(), ..Default::default() }).collect();
        let bulk = crate::Bulk { action: crate::BulkAction::Create, key: vec![], rows, all: true, dry_run: false, why: None };
        assert!(c.bulk(&operator(), "system", bulk).await.unwrap().kept);
        run(&c).await;
        let r = c.health_run(&operator()).await.unwrap().unwrap();
        assert_eq!((r.records, r.counts["owner"].as_i64()), (1203, Some(1203)));
        let (mut seen, mut cursor) = (0, None);
        loop {
            let (page, next) = c.health_findings(&operator(), &FindingQuery { model: Some("system".into()), cursor, limit: 500, ..FindingQuery::default() }).await.unwrap();
            seen += page.len();
            match next { Some(n) => cursor = Some(n), None => break }
        }
        assert_eq!(seen, 1203);
    }
}
