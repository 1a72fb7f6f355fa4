//! Free text over all records.

use serde_json::Map;

use super::*;

async fn made(c: &Cmdb, model: &str, attributes: Json) -> String {
    c.create(&admin(), model, attributes, None).await.unwrap().id
}

async fn labels(c: &Cmdb, text: &str) -> Vec<String> {
    found_by(c, &admin(), text).await.items.into_iter().map(|h| h.instance.label).collect()
}

fn row(attributes: Json) -> BulkRow {
    BulkRow { attributes: attributes.as_object().cloned().unwrap_or_default(), ..BulkRow::default() }
}

fn bulk(action: BulkAction, rows: Vec<BulkRow>) -> Bulk {
    Bulk { action, key: vec!["name".into()], rows, all: false, dry_run: false, why: None }
}

/// All that waits is put into the index.
async fn built(c: &Cmdb) {
    while c.tend_search().await.unwrap() {}
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn the_best_come_first(db: Db) {
        let c = cmdb(&db).await;
        made(&c, "host", json!({"hostname": "db-prod-01", "addresses": ["10.2.3.4"], "owner": "alice"})).await;
        made(&c, "host", json!({"hostname": "web-prod-02", "addresses": ["10.20.3.4"], "description": "in front of db-prod-01"})).await;
        made(&c, "system", json!({"name": "prod"})).await;
        made(&c, "system", json!({"name": "production"})).await;
        made(&c, "system", json!({"name": "支付系统", "description": "核心数据库 prod"})).await;
        for (text, found) in [
            // The whole label, its beginning, a part of it, another attribute.
            ("prod", vec!["prod", "production", "db-prod-01", "web-prod-02", "支付系统"]),
            ("PROD-0", vec!["db-prod-01", "web-prod-02"]),
            ("db-prod-01", vec!["db-prod-01", "web-prod-02"]),
            // Signs count the same, and say where a word ends.
            ("db_prod", vec!["db-prod-01", "web-prod-02"]),
            ("10.2.", vec!["db-prod-01"]),
            ("10.2", vec!["db-prod-01", "web-prod-02"]),
            ("3.4", vec!["db-prod-01", "web-prod-02"]),
            // All words, wherever each of them is.
            ("prod alice", vec!["db-prod-01"]),
            ("alice web", vec![]),
            ("支付", vec!["支付系统"]),
            ("付系", vec!["支付系统"]),
            ("数据库", vec!["支付系统"]),
            ("系 核心", vec!["支付系统"]),
            // From the middle of a word only names are found.
            ("eb-prod", vec!["web-prod-02"]),
            ("lice", vec![]),
            ("--", vec![]),
            ("\"'*:& OR", vec![]),
        ] {
            assert_eq!(labels(&c, text).await, found, "{text}");
        }
        let hits = found_by(&c, &admin(), "prod").await;
        assert_eq!((hits.counts.clone(), hits.more, hits.building, hits.next), (vec![("system".into(), 3), ("host".into(), 2)], false, false, None));
        let hit = found_by(&c, &admin(), "10.2. db").await.items.remove(0);
        let matched: Vec<(&str, &str)> = hit.matched.iter().map(|m| (m.attribute.as_str(), m.snippet.as_str())).collect();
        assert_eq!(matched, [("addresses", "10.2.3.4"), ("hostname", "db-prod-01")]);
        // Of some models, page by page.
        let q = |skip: usize| SearchQuery { text: "prod".into(), models: vec!["system".into()], limit: 2, skip };
        let first = c.search(&admin(), &q(0)).await.unwrap();
        assert_eq!((first.items.len(), first.next, first.counts), (2, Some(2), vec![("system".into(), 3)]));
        let second = c.search(&admin(), &q(2)).await.unwrap();
        assert_eq!((second.items[0].instance.label.as_str(), second.next), ("支付系统", None));
        let unknown = SearchQuery { text: "x".into(), models: vec!["sistem".into()], ..SearchQuery::default() };
        assert!(c.search(&admin(), &unknown).await.unwrap_err().to_string().contains("did you mean system"));
        let long = SearchQuery { text: "x".repeat(201), ..SearchQuery::default() };
        assert_eq!(c.search(&admin(), &long).await.unwrap_err().code(), "cmdb.query");
    }

    async fn every_write_is_found_at_once(db: Db) {
        let c = cmdb(&db).await;
        let id = made(&c, "system", json!({"name": "alpha"})).await;
        assert_eq!(labels(&c, &id).await, ["alpha"]);
        c.update(&admin(), "system", &id, json!({"name": "beta"}), None, None).await.unwrap();
        assert_eq!((labels(&c, "alpha").await.len(), labels(&c, "beta").await), (0, vec!["beta".to_owned()]));
        c.delete(&admin(), "system", &id, None, None).await.unwrap();
        assert!(labels(&c, "beta").await.is_empty());
        c.restore(&admin(), "system", &id, None, None).await.unwrap();
        assert_eq!(labels(&c, "beta").await, ["beta"]);
        c.restore(&admin(), "system", &id, Some(1), None).await.unwrap();
        assert_eq!((labels(&c, "beta").await.len(), labels(&c, "alpha").await.len()), (0, 1));

        // Many at once: a row that fails leaves nothing of itself, and takes nothing with it.
        let rows = ["one", "two", "alpha", "three"].map(|n| row(json!({"name": n, "description": "many"})));
        let done = c.bulk(&admin(), "system", bulk(BulkAction::Create, rows.to_vec())).await.unwrap();
        assert_eq!((done.count(RowOutcome::Created), done.count(RowOutcome::Failed)), (3, 1));
        assert_eq!(labels(&c, "many").await, ["one", "two", "three"]);
        assert_eq!(c.history(&admin(), "system", done.rows[3].id.as_deref().unwrap(), None, 10).await.unwrap().len(), 1);
        // The same record twice in one call: what it is last counts.
        let rows = vec![row(json!({"name": "one", "description": "first"})), row(json!({"name": "one", "description": "second"})), row(json!({"name": "four"}))];
        let done = c.bulk(&admin(), "system", bulk(BulkAction::Upsert, rows)).await.unwrap();
        assert!(done.kept);
        assert_eq!((labels(&c, "first").await.len(), labels(&c, "second").await, labels(&c, "four").await.len()), (0, vec!["one".to_owned()], 1));
        let rows = vec![row(json!({"name": "one"})), row(json!({"name": "two"}))];
        c.bulk(&admin(), "system", bulk(BulkAction::Delete, rows)).await.unwrap();
        assert_eq!(labels(&c, "many").await, ["three"]);
        let dry = Bulk { dry_run: true, ..bulk(BulkAction::Create, vec![row(json!({"name": "never"}))]) };
        c.bulk(&admin(), "system", dry).await.unwrap();
        assert!(labels(&c, "never").await.is_empty());

        // What agents find, also what moves without a version.
        let pg = |pid: i64, version: &str| json!([{"model": "postgresql", "name": "postgresql:5432", "version": version, "port": 5432, "pid": pid, "process": "postgres"}]);
        c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", pg(77_001, "15.1"))).await.unwrap();
        c.reconcile(&agent("n1"), "n1", facts("web1", "m-0001", pg(77_002, "15.1"))).await.unwrap();
        assert_eq!((labels(&c, "77002").await.len(), labels(&c, "5432 15.1").await.len(), labels(&c, "10.1.0.7").await), (0, 1, vec!["web1".to_owned()]));
    }

    async fn records_of_before_are_put_in_in_the_background(db: Db) {
        let c = cmdb(&db).await;
        let rows = (0..450).map(|i| row(json!({"name": format!("sys-{i:03}"), "description": "old"}))).collect();
        c.bulk(&admin(), "system", bulk(BulkAction::Create, rows)).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        tx.execute("DELETE FROM cmdb_search", &[]).await.unwrap();
        crate::search::again_in(&mut tx, "system").await.unwrap();
        crate::search::again_in(&mut tx, "no_longer_there").await.unwrap();
        tx.commit().await.unwrap();
        assert!(found_by(&c, &admin(), "old").await.building);
        // Killed on the way, it goes on where it was.
        assert!(c.tend_search().await.unwrap());
        assert!(c.tend_search().await.unwrap());
        let c = cmdb(&db).await;
        built(&c).await;
        let hits = found_by(&c, &admin(), "old").await;
        assert_eq!((hits.counts, hits.building, hits.items.len(), hits.next), (vec![("system".into(), 450)], false, 20, Some(20)));

        // What a model calls its records is found after the model changed.
        let mut m = c.model(&admin(), "system").await.unwrap().model;
        m.template = Some("{name} of the shop".into());
        c.update_model(&admin(), m, None).await.unwrap();
        assert!(labels(&c, "sys-001 shop").await.is_empty());
        built(&c).await;
        assert_eq!(labels(&c, "sys-001 shop").await, ["sys-001 of the shop"]);
        // Nothing is wanted by a change that changes no terms.
        let mut m = c.model(&admin(), "system").await.unwrap().model;
        m.icon = Some("box".into());
        c.update_model(&admin(), m, None).await.unwrap();
        assert!(!c.tend_search().await.unwrap());
    }

    async fn a_plugin_finds_what_its_grant_names(db: Db) {
        let c = cmdb(&db).await;
        made(&c, "host", json!({"hostname": "web1", "serial": "SN-77", "owner": "bob"})).await;
        let grant = json!({"cmdb.read": {"models": ["host"], "attributes": ["host.hostname", "host.owner"]}});
        let grant = std::sync::Arc::new(serde_json::from_value(grant).unwrap());
        let plugin = Principal::Plugin(plenum_access::PluginPrincipal { id: "p".into(), grant, on_behalf: None });
        for (text, found) in [("bob", 1), ("web1 bob", 1), ("SN-77", 0), ("web1 SN-77", 0)] {
            let hits = found_by(&c, &plugin, text).await;
            assert_eq!((hits.items.len(), hits.counts.len()), (found, found), "{text}");
        }
        let hits = found_by(&c, &plugin, "web1").await;
        assert_eq!(hits.items[0].instance.attributes.as_object().map(Map::len), Some(2));
    }
}
