//! Many records, the past, rules, and what stands around a record.

use plenum_store::DocumentError;
use serde_json::Map;

use super::*;

fn object(v: Json) -> Map<String, Json> {
    v.as_object().unwrap().clone()
}

fn rows(rows: Json) -> Vec<BulkRow> {
    rows.as_array().unwrap().iter().map(|r| BulkRow { attributes: object(r.clone()), ..BulkRow::default() }).collect()
}

fn bulk(action: BulkAction, list: Json) -> Bulk {
    Bulk { action, key: vec!["hostname".into()], rows: rows(list), all: false, dry_run: false, why: Some("CHG-7".into()) }
}

fn outcomes(r: &BulkResult) -> Vec<RowOutcome> {
    r.rows.iter().map(|r| r.outcome).collect()
}

async fn now() -> i64 {
    // Times have milliseconds: what happens after has to be later.
    let at = plenum_store::now_ms();
    while plenum_store::now_ms() <= at + 1 {
        tokio::task::yield_now().await;
    }
    at + 1
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn each_row_stands_for_itself(db: Db) {
        use RowOutcome::{Created, Failed, Unchanged, Updated};
        let c = cmdb(&db).await;
        let first = json!([{"hostname": "a", "env": "prod"}, {"hostname": "b", "cpu_count": "many"}, {"env": "prod"}, {"hostname": "c"}, {"hostname": "a", "owner": "x"}]);
        let done = c.bulk(&admin(), "host", bulk(BulkAction::Upsert, first.clone())).await.unwrap();
        // The last row finds the first, which the same call made.
        assert_eq!(outcomes(&done), [Created, Failed, Failed, Created, Updated]);
        assert!(done.kept);
        assert!(matches!(&done.rows[1].error, Some(CmdbError::InvalidInstance { pointer, .. }) if pointer == "/cpu_count"));
        assert_eq!(hosts(&c).await.len(), 2);
        let again = c.bulk(&admin(), "host", bulk(BulkAction::Upsert, json!([{"hostname": "a", "env": "prod"}, {"hostname": "c", "env": null}]))).await.unwrap();
        assert_eq!(outcomes(&again), [Unchanged, Unchanged]);
        let h = c.history(&admin(), "host", done.rows[0].id.as_deref().unwrap(), None, 10).await.unwrap();
        assert_eq!((h.len(), h[0].why.as_deref()), (2, Some("CHG-7")));

        let update = c.bulk(&admin(), "host", bulk(BulkAction::Update, json!([{"hostname": "a", "env": "test"}, {"hostname": "nobody", "env": "x"}]))).await.unwrap();
        assert_eq!(outcomes(&update), [Updated, Failed]);
        assert!(update.rows[1].error.as_ref().unwrap().to_string().contains("nobody"));
        let gone = c.bulk(&admin(), "host", bulk(BulkAction::Delete, json!([{"hostname": "c"}]))).await.unwrap();
        assert_eq!((outcomes(&gone)[0], hosts(&c).await.len()), (RowOutcome::Deleted, 1));
        // Two that are called the same are nobody's to choose.
        for _ in 0..2 {
            c.create(&admin(), "host", json!({"hostname": "twin"}), None).await.unwrap();
        }
        let twin = c.bulk(&admin(), "host", bulk(BulkAction::Update, json!([{"hostname": "twin", "env": "x"}]))).await.unwrap();
        assert!(twin.rows[0].error.as_ref().unwrap().to_string().contains("several"));
    }

    async fn all_or_nothing_and_dry_runs_leave_nothing(db: Db) {
        let c = cmdb(&db).await;
        let list = json!([{"hostname": "a"}, {"hostname": "b", "nonsense": 1}]);
        let done = c.bulk(&admin(), "host", Bulk { all: true, ..bulk(BulkAction::Create, list) }).await.unwrap();
        assert_eq!((outcomes(&done), done.kept), (vec![RowOutcome::Created, RowOutcome::Failed], false));
        let dry = c.bulk(&admin(), "host", Bulk { dry_run: true, ..bulk(BulkAction::Create, json!([{"hostname": "a"}])) }).await.unwrap();
        assert_eq!((outcomes(&dry), dry.kept), (vec![RowOutcome::Created], false));
        assert!(hosts(&c).await.is_empty());
        let rows = db.fetch_all("SELECT seq FROM document_history", &[]).await.unwrap();
        assert!(rows.is_empty());
        let viewer = c.bulk(&user(Role::Viewer), "host", bulk(BulkAction::Create, json!([]))).await;
        assert!(matches!(viewer, Err(CmdbError::Access(_))));
    }

    async fn a_unique_key_fails_its_row_only(db: Db) {
        let c = cmdb(&db).await;
        let model = json!({"name": "gadget", "display": "name", "unique": [["name"]], "attributes": [{"name": "name", "kind": "text"}, {"name": "n", "kind": "integer"}]});
        c.create_model(&admin(), serde_json::from_value(model).unwrap()).await.unwrap();
        let list = json!([{"name": "a"}, {"name": "a", "n": 2}, {"name": "b"}]);
        let done = c.bulk(&admin(), "gadget", Bulk { key: vec![], ..bulk(BulkAction::Create, list) }).await.unwrap();
        assert_eq!(outcomes(&done), [RowOutcome::Created, RowOutcome::Failed, RowOutcome::Created]);
        assert!(matches!(&done.rows[1].error, Some(CmdbError::Document(DocumentError::Duplicate { fields })) if fields == &["name"]));
        assert_eq!(c.list(&admin(), "gadget", &Query::default()).await.unwrap().items.len(), 2);
    }

    async fn the_past_is_as_it_was(db: Db) {
        let c = cmdb(&db).await;
        let before = now().await;
        let a = c.create(&admin(), "host", json!({"hostname": "a", "env": "test", "cpu_count": 2}), None).await.unwrap();
        let b = c.create(&admin(), "host", json!({"hostname": "b", "env": "prod"}), None).await.unwrap();
        let middle = now().await;
        c.update(&admin(), "host", &a.id, json!({"env": "prod"}), None, None).await.unwrap();
        c.delete(&admin(), "host", &b.id, None, None).await.unwrap();
        let prod = Query { filter: Some("env == \"prod\"".into()), sort: Some(("hostname".into(), false)), with_total: true, ..Query::default() };
        let names = |p: &InstancePage| p.items.iter().map(|i| (i.label.clone(), i.version)).collect::<Vec<_>>();
        assert!(c.list_at(&admin(), "host", &prod, before).await.unwrap().items.is_empty());
        let then = c.list_at(&admin(), "host", &prod, middle).await.unwrap();
        assert_eq!((names(&then), then.total), (vec![("b".to_owned(), 1)], Some(1)));
        let today = c.list_at(&admin(), "host", &prod, plenum_store::now_ms()).await.unwrap();
        assert_eq!(names(&today), [("a".to_owned(), 2)]);
        assert_eq!(c.get_at(&admin(), "host", &a.id, middle).await.unwrap().attributes["env"], "test");
        assert_eq!(c.get_at(&admin(), "host", &b.id, middle).await.unwrap().label, "b");
        assert!(matches!(c.get_at(&admin(), "host", &a.id, before).await, Err(CmdbError::NotFound(_))));
        assert!(matches!(c.get_at(&admin(), "host", &b.id, plenum_store::now_ms()).await, Err(CmdbError::NotFound(_))));
        // Pages of the past go on like others.
        let mut q = Query { limit: 1, sort: Some(("cpu_count".into(), true)), ..Query::default() };
        let one = c.list_at(&admin(), "host", &q, middle).await.unwrap();
        q.cursor = one.next_cursor.clone();
        let two = c.list_at(&admin(), "host", &q, middle).await.unwrap();
        assert_eq!((one.items[0].label.as_str(), two.items[0].label.as_str(), two.next_cursor), ("b", "a", None));
        let text = Query { search: Some("a".into()), ..Query::default() };
        assert!(c.list_at(&admin(), "host", &text, middle).await.is_err());
    }

    async fn a_record_comes_back(db: Db) {
        let c = cmdb(&db).await;
        let a = c.create(&admin(), "host", json!({"hostname": "a", "env": "test"}), None).await.unwrap();
        c.update(&admin(), "host", &a.id, json!({"env": "prod", "owner": "bob"}), None, None).await.unwrap();
        let back = c.restore(&admin(), "host", &a.id, Some(1), Some("wrong")).await.unwrap();
        assert_eq!((back.attributes, back.version), (json!({"hostname": "a", "env": "test"}), 3));
        assert!(c.restore(&admin(), "host", &a.id, None, None).await.is_err(), "it is not deleted");
        assert!(matches!(c.restore(&admin(), "host", &a.id, Some(9), None).await, Err(CmdbError::NotFound(_))));
        c.delete(&admin(), "host", &a.id, None, None).await.unwrap();
        assert!(c.restore(&admin(), "host", &a.id, Some(4), None).await.unwrap_err().to_string().contains("deletion"));
        let back = c.restore(&admin(), "host", &a.id, None, None).await.unwrap();
        assert_eq!((back.id.as_str(), back.attributes, back.version), (a.id.as_str(), json!({"hostname": "a", "env": "test"}), 5));
        let h = c.history(&admin(), "host", &a.id, None, 10).await.unwrap();
        assert_eq!(h.iter().map(|h| h.version).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
        assert!(matches!(c.restore(&admin(), "host", "nobody", None, None).await, Err(CmdbError::NotFound(_))));
        assert!(matches!(c.restore(&user(Role::Viewer), "host", &a.id, Some(1), None).await, Err(CmdbError::Access(_))));
        // A deleted one whose unique name somebody else took stays away, with the reason.
        let model = json!({"name": "gadget", "display": "name", "unique": [["name"]], "attributes": [{"name": "name", "kind": "text"}]});
        c.create_model(&admin(), serde_json::from_value(model).unwrap()).await.unwrap();
        let g = c.create(&admin(), "gadget", json!({"name": "g"}), None).await.unwrap();
        c.delete(&admin(), "gadget", &g.id, None, None).await.unwrap();
        c.create(&admin(), "gadget", json!({"name": "g"}), None).await.unwrap();
        assert_eq!(c.restore(&admin(), "gadget", &g.id, None, None).await.unwrap_err().code(), "cmdb.duplicate");
    }

    async fn rules_hold(db: Db) {
        let c = cmdb(&db).await;
        let model = json!({"name": "shelf", "display": "name", "attributes": [
            {"name": "name", "kind": "text", "pattern": "^R[0-9]+$"}, {"name": "units", "kind": "integer", "min": 1, "max": 48, "default": 42},
            {"name": "net", "kind": "cidr"}, {"name": "tags", "kind": "multi_enum", "options": ["hot", "cold"]}, {"name": "since", "kind": "date", "indexed": true}]});
        c.create_model(&admin(), serde_json::from_value(model.clone()).unwrap()).await.unwrap();
        let made = c.create(&admin(), "shelf", json!({"name": "R7", "net": "10.1.0.0/16", "tags": ["hot"], "since": "2026-01-31"}), None).await.unwrap();
        assert_eq!(made.attributes["units"], 42);
        for (wrong, at) in [
            (json!({"name": "r7"}), "/name"),
            (json!({"name": "R1", "units": 49}), "/units"),
            (json!({"name": "R1", "net": "10.1.2.3/16"}), "/net"),
            (json!({"name": "R1", "tags": ["warm"]}), "/tags"),
            (json!({"name": "R1", "since": "2026-02-30"}), "/since"),
        ] {
            let e = c.create(&admin(), "shelf", wrong, None).await.unwrap_err();
            assert!(matches!(&e, CmdbError::InvalidInstance { pointer, .. } if pointer == at), "{e} {at}");
        }
        let q = Query { filter: Some("since < \"2026-02-01\" && tags.exists(t, t == \"hot\")".into()), ..Query::default() };
        assert_eq!(c.list(&admin(), "shelf", &q).await.unwrap().items.len(), 1);
        // A rule that a record breaks is refused, and says which.
        let mut stricter = model.clone();
        stricter["attributes"][1]["min"] = json!(43);
        stricter["attributes"][1]["default"] = json!(43);
        let e = c.update_model(&admin(), serde_json::from_value(stricter).unwrap(), None).await.unwrap_err();
        assert!(e.to_string().contains("R7") && e.to_string().contains("at least 43"), "{e}");
        for (attribute, at) in [
            (json!({"name": "a", "kind": "text", "pattern": "("}), "/attributes/0/pattern"),
            (json!({"name": "a", "kind": "boolean", "min": 1}), "/attributes/0/min"),
            (json!({"name": "a", "kind": "integer", "min": 2, "max": 1}), "/attributes/0/min"),
            (json!({"name": "a", "kind": "integer", "default": "x"}), "/attributes/0/default"),
        ] {
            let m = json!({"name": "bad", "display": "a", "attributes": [attribute]});
            let e = c.create_model(&admin(), serde_json::from_value(m).unwrap()).await.unwrap_err();
            assert!(matches!(&e, CmdbError::InvalidModel { pointer, .. } if pointer == at), "{e} {at}");
        }
    }

    async fn what_falls_with_it_and_what_it_needs(db: Db) {
        let c = cmdb(&db).await;
        let make = async |model: &str, name: &str| {
            let key = if model == "host" { "hostname" } else { "name" };
            let mut a = Map::new();
            a.insert(key.into(), name.into());
            if model == "postgresql" {
                a.insert("port".into(), 5432.into());
            }
            c.create(&admin(), model, Json::Object(a), None).await.unwrap().id
        };
        let (host, db1, app, team, other) =
            (make("host", "h").await, make("postgresql", "pg").await, make("business_application", "shop").await, make("team", "t").await, make("host", "o").await);
        let link = async |kind: &str, from: (&str, &str), to: (&str, &str)| c.associate(&admin(), kind, from, to).await.unwrap();
        link("runs_on", ("postgresql", &db1), ("host", &host)).await;
        link("depends_on", ("business_application", &app), ("postgresql", &db1)).await;
        link("belongs_to", ("business_application", &app), ("team", &team)).await;
        // A cycle ends.
        link("connects_to", ("host", &host), ("host", &other)).await;
        link("connects_to", ("host", &other), ("host", &host)).await;
        let names = |g: &Graph| g.nodes.iter().map(|n| (n.label.clone(), n.depth)).collect::<Vec<_>>();
        let ask = async |model: &str, id: &str, walk, depth| {
            c.graph(&admin(), model, id, &GraphQuery { walk, depth, ..GraphQuery::default() }).await.unwrap()
        };
        let impact = ask("host", &host, Walk::Impact, 6).await;
        let mut found = names(&impact);
        found.sort();
        assert_eq!(found, [("h".to_owned(), 0), ("o".to_owned(), 1), ("pg".to_owned(), 1), ("shop".to_owned(), 2)]);
        let needs = ask("business_application", &app, Walk::Needs, 6).await;
        assert_eq!(names(&needs), [("shop".to_owned(), 0), ("pg".to_owned(), 1), ("h".to_owned(), 2), ("o".to_owned(), 3)]);
        let near = ask("business_application", &app, Walk::Around, 1).await;
        assert_eq!((near.nodes.len(), near.edges.len(), near.truncated), (3, 2, false));
        let few = c.graph(&admin(), "host", &host, &GraphQuery { depth: 6, limit: 2, ..GraphQuery::default() }).await.unwrap();
        assert!(few.truncated && few.nodes.len() == 2);
        assert!(few.edges.iter().all(|e| few.nodes.iter().any(|n| n.id == e.from.1) && few.nodes.iter().any(|n| n.id == e.to.1)));
        let only = GraphQuery { depth: 3, kinds: vec!["belongs_to".into()], ..GraphQuery::default() };
        assert_eq!(names(&c.graph(&admin(), "team", &team, &only).await.unwrap()), [("t".to_owned(), 0), ("shop".to_owned(), 1)]);
        let wrong = GraphQuery { kinds: vec!["likes".into()], ..GraphQuery::default() };
        assert!(c.graph(&admin(), "team", &team, &wrong).await.is_err());
    }
}
