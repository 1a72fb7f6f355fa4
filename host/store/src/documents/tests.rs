#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use serde_json::json;

use super::*;
use crate::filter::{Field, FieldKind, Filter};

const BY: By<'_> = By { actor: "test", why: Some("because") };

fn spec(indexed: &[&str], unique: &[&str]) -> CollectionSpec {
    CollectionSpec {
        name: "t".into(),
        schema: Schema::new(vec![
            Field::new("name", FieldKind::Text),
            Field::new("n", FieldKind::Integer),
            Field::new("up", FieldKind::Boolean),
            Field::new("at", FieldKind::Timestamp),
        ]),
        indexed: indexed.iter().map(|s| (*s).to_owned()).collect(),
        unique: unique.iter().map(|s| vec![(*s).to_owned()]).collect(),
        history: true,
    }
}

async fn fill(db: &Db, docs: &Documents, spec: &CollectionSpec, records: Vec<Json>) {
    let mut tx = db.begin().await.unwrap();
    docs.define(&mut tx, spec).await.unwrap();
    for r in records {
        docs.insert(&mut tx, "t", None, r, BY).await.unwrap();
    }
    tx.commit().await.unwrap();
}

crate::both_databases! {
    async fn pages_show_each_record_once_in_order(db: Db) {
        let docs = Documents::new(db.clone());
        let records = (0..53).map(|i| json!({"n": if i % 5 == 0 { None } else { Some(i % 7) }, "up": i % 3 == 0})).collect();
        fill(&db, &docs, &spec(&["n"], &[]), records).await;
        for (field, down) in [("n", false), ("n", true), ("up", false), ("up", true), ("created_at", true), ("id", false)] {
            let mut q = Query { sort: Some((field.into(), down)), limit: 7, with_total: true, ..Query::default() };
            let mut seen: Vec<Document> = Vec::new();
            loop {
                let page = docs.query("t", &q).await.unwrap();
                assert_eq!(page.total, Some(53));
                seen.extend(page.items);
                q.cursor = page.next_cursor;
                if q.cursor.is_none() {
                    break;
                }
            }
            let mut ids: Vec<_> = seen.iter().map(|d| d.id.clone()).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 53, "{field} {down}");
            if field == "n" {
                let keys: Vec<i64> = seen.iter().map(|d| d.data["n"].as_i64().unwrap_or(99)).collect();
                let mut sorted = keys.clone();
                sorted.sort();
                if down {
                    sorted.reverse();
                }
                assert_eq!(keys, sorted);
            }
        }
        let wrong = Query { sort: Some(("n".into(), false)), cursor: Some("zz".into()), ..Query::default() };
        assert!(matches!(docs.query("t", &wrong).await, Err(DocumentError::Query(_))));
        let e = docs.query("t", &Query { sort: Some(("nn".into(), false)), ..Query::default() }).await.unwrap_err().to_string();
        assert!(e.contains("did you mean n?"), "{e}");
    }

    async fn a_snapshot_brings_everything_back(db: Db) {
        let docs = Documents::new(db.clone());
        let one = CollectionSpec { name: "p/one".into(), history: false, ..spec(&["n"], &["name"]) };
        let mut tx = db.begin().await.unwrap();
        docs.define(&mut tx, &one).await.unwrap();
        for (id, n) in [("a", 1), ("b", 2)] {
            docs.insert(&mut tx, "p/one", Some(id), json!({"name": id, "n": n}), BY).await.unwrap();
        }
        docs.update(&mut tx, "p/one", "a", json!({"name": "a", "n": 5}), None, BY).await.unwrap();
        tx.commit().await.unwrap();
        let before = docs.query("p/one", &Query::default()).await.unwrap().items;
        let mut tx = db.begin().await.unwrap();
        let specs = docs.snapshot(&mut tx, "p/", "s/1/").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(specs, std::slice::from_ref(&one));
        // Everything changes: records, the collection itself, and there is another.
        let mut tx = db.begin().await.unwrap();
        docs.delete(&mut tx, "p/one", "b", None, BY).await.unwrap();
        docs.update(&mut tx, "p/one", "a", json!({"name": "z"}), None, BY).await.unwrap();
        docs.insert(&mut tx, "p/one", Some("c"), json!({"name": "c"}), BY).await.unwrap();
        docs.define(&mut tx, &CollectionSpec { unique: vec![], ..one.clone() }).await.unwrap();
        docs.define(&mut tx, &CollectionSpec { name: "p/two".into(), ..one.clone() }).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.begin().await.unwrap();
        docs.restore(&mut tx, "p/", "s/1/", &specs).await.unwrap();
        docs.drop_all(&mut tx, "s/").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(docs.query("p/one", &Query::default()).await.unwrap().items, before);
        assert_eq!(docs.collections("").await.unwrap(), ["p/one"]);
        // Its unique key holds again.
        let mut tx = db.begin().await.unwrap();
        let e = docs.insert(&mut tx, "p/one", None, json!({"name": "a"}), BY).await.unwrap_err();
        assert!(matches!(e, DocumentError::Duplicate { .. }), "{e}");
    }

    async fn groups_are_counted_and_summed(db: Db) {
        let docs = Documents::new(db.clone());
        let time = |day: u32| format!("2026-03-{day:02}T10:00:00Z");
        let records = vec![
            json!({"name": "a", "n": 1, "up": true, "at": time(1)}),
            json!({"name": "a", "n": 2, "up": false, "at": time(1)}),
            json!({"name": "b", "n": 10, "up": true, "at": time(2)}),
            json!({"name": "b", "up": true, "at": time(2)}),
            json!({"n": 5}),
        ];
        fill(&db, &docs, &spec(&[], &[]), records).await;
        let ask = async |groups: &[(&str, Option<Bucket>)], measures: &[(Measure, Option<&str>)], filter: &str| {
            let a = Aggregate {
                filter: Some(filter.to_owned()),
                groups: groups.iter().map(|(f, b)| ((*f).to_owned(), *b)).collect(),
                measures: measures.iter().map(|(m, f)| (*m, f.map(str::to_owned))).collect(),
                limit: 100,
                ..Aggregate::default()
            };
            docs.aggregate("t", &a).await.map(|g| g.into_iter().map(|g| (Json::from(g.keys), Json::from(g.values))).collect::<Vec<_>>())
        };
        let all = [(Measure::Count, None), (Measure::Count, Some("n")), (Measure::Sum, Some("n")), (Measure::Avg, Some("n")), (Measure::Min, Some("n")), (Measure::Max, Some("n"))];
        assert_eq!(
            ask(&[("name", None)], &all, "").await.unwrap(),
            [
                (json!(["a"]), json!([2, 2, 3, 1.5, 1, 2])),
                (json!(["b"]), json!([2, 1, 10, 10, 10, 10])),
                (json!([null]), json!([1, 1, 5, 5, 5, 5])),
            ]
        );
        assert_eq!(ask(&[], &all[..3], "up == true").await.unwrap(), [(json!([]), json!([3, 2, 11]))]);
        assert_eq!(ask(&[], &all[..3], "n > 99").await.unwrap(), [(json!([]), json!([0, 0, null]))]);
        assert_eq!(ask(&[("name", None)], &all[..1], "n > 99").await.unwrap(), []);
        assert_eq!(
            ask(&[("at", Some(Bucket::Day)), ("up", None)], &[(Measure::Count, None), (Measure::Max, Some("at")), (Measure::Min, Some("up"))], "at != null").await.unwrap(),
            [
                (json!(["2026-03-01", false]), json!([1, "2026-03-01T10:00:00.000Z", false])),
                (json!(["2026-03-01", true]), json!([1, "2026-03-01T10:00:00.000Z", true])),
                (json!(["2026-03-02", true]), json!([2, "2026-03-02T10:00:00.000Z", true])),
            ]
        );
        let today = ask(&[("created_at", Some(Bucket::Year))], &[(Measure::Count, None)], "").await.unwrap();
        assert_eq!((today.len(), &today[0].1), (1, &json!([5])));
        assert_eq!(today[0].0[0].as_str().unwrap().len(), 4);
        for (groups, measures, says) in [
            (vec![("nam", None)], vec![(Measure::Count, None)], "did you mean name?"),
            (vec![("name", Some(Bucket::Day))], vec![(Measure::Count, None)], "no time"),
            (vec![], vec![(Measure::Sum, Some("name"))], "no number"),
            (vec![], vec![(Measure::Sum, None)], "name it"),
            (vec![], vec![], "1 to 16 measures"),
        ] {
            let e = ask(&groups, &measures, "").await.unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }

    async fn a_stale_version_changes_nothing(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &[]), vec![json!({"name": "a"})]).await;
        let d = docs.query("t", &Query::default()).await.unwrap().items.remove(0);
        let mut tx = db.begin().await.unwrap();
        let after = docs.update(&mut tx, "t", &d.id, json!({"name": "b"}), Some(1), BY).await.unwrap();
        assert_eq!(after.version, 2);
        let same = docs.update(&mut tx, "t", &d.id, json!({"name": "b"}), Some(2), BY).await.unwrap();
        assert_eq!(same.version, 2, "an equal record makes no version");
        let e = docs.update(&mut tx, "t", &d.id, json!({"name": "c"}), Some(1), BY).await.unwrap_err();
        assert!(matches!(e, DocumentError::Store(StoreError::Conflict { expected: 1, found: 2, .. })), "{e}");
        docs.delete(&mut tx, "t", &d.id, None, BY).await.unwrap();
        tx.commit().await.unwrap();
        let h = docs.history("t", &d.id, None, 10).await.unwrap();
        assert_eq!(h.iter().map(|c| (c.before["name"].as_str(), c.after["name"].as_str())).collect::<Vec<_>>(),
            [(Some("b"), None), (Some("a"), Some("b")), (None, Some("a"))]);
        assert_eq!(h[0].why.as_deref(), Some("because"));
    }

    async fn a_unique_key_is_named(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &["name"]), vec![json!({"name": "a"}), json!({"n": 1}), json!({"n": 2})]).await;
        let mut tx = db.begin().await.unwrap();
        let e = docs.insert(&mut tx, "t", None, json!({"name": "a"}), BY).await.unwrap_err();
        assert!(matches!(&e, DocumentError::Duplicate { fields } if fields == &["name"]), "{e}");
    }

    async fn a_new_index_keeps_the_records_and_serves(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &[]), (0..50).map(|i| json!({"name": format!("h{i}"), "n": i})).collect()).await;
        fill(&db, &docs, &spec(&["name", "n"], &["name"]), vec![]).await;
        assert_eq!(docs.count("t", Some("name == \"h7\"")).await.unwrap(), 1);
        assert_eq!(docs.count("t", None).await.unwrap(), 50);
        if db.dialect() == Dialect::Sqlite {
            let table = db.fetch_optional("SELECT table_name FROM collections WHERE name = 't'", &[]).await.unwrap().unwrap().text("table_name").unwrap();
            let (sql, values) = Filter::parse("n == 7", &spec(&[], &[]).schema).unwrap().to_sql(Dialect::Sqlite, "").unwrap();
            let plan = db.fetch_all(&format!("EXPLAIN QUERY PLAN SELECT id FROM {table} WHERE {sql}"), &values).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|r| r.text("detail").unwrap()).collect();
            assert!(plan.iter().any(|p| p.contains("USING") && p.contains("INDEX")), "{plan:?}");
        }
    }

    async fn records_are_checked_and_normalised(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &[]), vec![]).await;
        let mut tx = db.begin().await.unwrap();
        let d = docs.insert(&mut tx, "t", None, json!({"at": "2026-01-31T10:00:00+02:00", "n": null, "other": {"x": 1}}), BY).await.unwrap();
        assert_eq!(d.data, json!({"at": "2026-01-31T08:00:00.000Z", "other": {"x": 1}}));
        for (bad, pointer) in [(json!({"n": "1"}), "/n"), (json!({"at": "noon"}), "/at"), (json!([1]), ""), (json!({"name": "a\u{0}"}), "/name")] {
            let e = docs.insert(&mut tx, "t", None, bad, BY).await.unwrap_err();
            assert!(matches!(&e, DocumentError::Invalid { pointer: p, .. } if p == pointer), "{e:?}");
        }
        let large = json!({"name": "x".repeat(MAX_DOCUMENT_BYTES)});
        assert!(docs.insert(&mut tx, "t", None, large, BY).await.is_err());
    }

    async fn search_finds_all_words_ignoring_case(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &[]), vec![json!({"name": "Web Server ÄÖ 100%"}), json!({"name": "database", "tags": ["WEB"]})]).await;
        let found = async |s: &str| docs.query("t", &Query { search: Some(s.into()), ..Query::default() }).await.unwrap().items.len();
        assert_eq!((found("web").await, found("web server").await, found("äö 100%").await, found("x").await), (2, 1, 1, 0));
    }

    async fn a_new_field_checks_and_normalises_what_is_there(db: Db) {
        let docs = Documents::new(db.clone());
        let plain = CollectionSpec { schema: Schema::new(vec![Field::new("name", FieldKind::Text)]), ..spec(&["name"], &[]) };
        let records = (0..1200).map(|i| json!({"name": format!("h{i}"), "n": i, "at": "2026-01-31T10:00:00+02:00", "up": if i == 1100 { json!("yes") } else { json!(true) }}));
        fill(&db, &docs, &plain, records.collect()).await;
        let mut tx = db.begin().await.unwrap();
        let e = docs.define(&mut tx, &spec(&["n"], &[])).await.unwrap_err();
        assert!(matches!(&e, DocumentError::Invalid { pointer, message } if pointer == "/up" && message.contains("the record")), "{e}");
        tx.rollback().await.unwrap();
        let without_up = Schema { fields: spec(&[], &[]).schema.fields.into_iter().filter(|f| f.name != "up").collect() };
        fill(&db, &docs, &CollectionSpec { schema: without_up, ..spec(&["n"], &[]) }, vec![]).await;
        assert_eq!(docs.count("t", Some("at == \"2026-01-31T08:00:00Z\" && n >= 600")).await.unwrap(), 600);
    }

    async fn what_an_index_cannot_hold_is_refused_alike(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&["name"], &[]), vec![]).await;
        // Without repetition, or PostgreSQL would compress it into the limit.
        let long: String = (0..4000_u32).filter_map(|i| char::from_u32(0x4e00 + i * 7919 % 20000)).collect();
        let mut tx = db.begin().await.unwrap();
        let e = docs.insert(&mut tx, "t", None, json!({"name": long}), BY).await.unwrap_err();
        assert!(matches!(&e, DocumentError::Invalid { pointer, .. } if pointer == "/name"), "{e}");
        let most: String = long.chars().take(666).collect();
        docs.insert(&mut tx, "t", Some(&"i".repeat(200)), json!({"name": most, "other": long}), BY).await.unwrap();
        assert!(docs.insert(&mut tx, "t", Some(&"i".repeat(201)), json!({}), BY).await.is_err());
        assert!(docs.insert(&mut tx, "t", Some("a\0"), json!({}), BY).await.is_err());
    }

    async fn only_the_character_nul_is_refused(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &[]), vec![json!({"name": "the six characters \\u0000"})]).await;
        let mut tx = db.begin().await.unwrap();
        let e = docs.insert(&mut tx, "t", None, json!({"name": "x", "other": [{"k": "a\0"}]}), BY).await.unwrap_err();
        assert!(matches!(&e, DocumentError::Invalid { pointer, .. } if pointer == "/other/0/k"), "{e}");
    }

    async fn another_host_learns_of_a_changed_collection(db: Db) {
        let (ours, theirs) = (Documents::new(db.clone()), Documents::new(db.clone()));
        fill(&db, &ours, &CollectionSpec { schema: Schema::default(), ..spec(&[], &[]) }, vec![json!({"n": 1})]).await;
        assert!(theirs.count("t", Some("n == 1")).await.is_err());
        fill(&db, &ours, &spec(&[], &[]), vec![]).await;
        tokio::time::sleep(BELIEVED).await;
        assert_eq!(theirs.count("t", Some("n == 1")).await.unwrap(), 1);
    }

    async fn usage_counts_one_plugin_only(db: Db) {
        let docs = Documents::new(db.clone());
        let mut tx = db.begin().await.unwrap();
        for name in ["plugin/a/x", "plugin/a/y", "plugin/a-b/x", "plugin/aé/x"] {
            docs.define(&mut tx, &CollectionSpec { name: name.into(), ..spec(&[], &[]) }).await.unwrap();
            docs.insert(&mut tx, name, None, json!({"name": "1234"}), BY).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(docs.usage("plugin/a/").await.unwrap(), 2 * 15);
        assert_eq!(docs.collections("plugin/a/").await.unwrap(), ["plugin/a/x", "plugin/a/y"]);
        let mut tx = db.begin().await.unwrap();
        docs.drop_collection(&mut tx, "plugin/a/x").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(docs.usage("plugin/a/").await.unwrap(), 15);
        assert!(matches!(docs.count("plugin/a/x", None).await, Err(DocumentError::NoCollection(_))));
    }

    async fn of_many_who_make_the_same_document_none_fails(db: Db) {
        let docs = Documents::new(db.clone());
        fill(&db, &docs, &spec(&[], &[]), Vec::new()).await;
        let one = |n: i64| {
            let (db, docs) = (db.clone(), docs.clone());
            async move {
                let mut tx = db.begin().await.unwrap();
                match docs.reserve_in(&mut tx, "t", "same").await.unwrap() {
                    None => docs.insert(&mut tx, "t", Some("same"), json!({"n": n}), BY).await.unwrap(),
                    Some(_) => docs.update(&mut tx, "t", "same", json!({"n": n}), None, BY).await.unwrap(),
                };
                tx.commit().await.unwrap();
            }
        };
        futures::future::join_all((0..8).map(one)).await;
        assert_eq!(docs.get("t", "same").await.unwrap().unwrap().version, 8);
    }
}
