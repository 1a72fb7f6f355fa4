//! Changes of models that are safe.

use super::*;
use crate::remodel::{ModelChange, Proposal};

fn gadget(attributes: Json) -> Model {
    let mut all = vec![json!({"name": "name", "kind": "text", "required": true})];
    all.extend(attributes.as_array().unwrap().clone());
    serde_json::from_value(json!({"name": "gadget", "display": "name", "attributes": all})).unwrap()
}

async fn propose(c: &Cmdb, model: &Model, dry_run: bool, mend: bool) -> ModelChange {
    c.propose_model(&admin(), Proposal { model: model.clone(), expected: None, dry_run, mend }).await.unwrap()
}

async fn all(c: &Cmdb) -> Vec<Json> {
    let page = c.list(&admin(), "gadget", &Query { sort: Some(("name".into(), false)), ..Query::default() }).await.unwrap();
    page.items.into_iter().map(|i| i.attributes).collect()
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn a_dry_run_says_which_records_would_break_which_rule(db: Db) {
        let c = cmdb(&db).await;
        c.create_model(&admin(), gadget(json!([
            {"name": "size", "kind": "text", "indexed": true}, {"name": "env", "kind": "text"}, {"name": "code", "kind": "text"}, {"name": "owner", "kind": "text"},
        ]))).await.unwrap();
        for (name, size, env, code, owner) in [("a", "4", "prod", "X1", Some("bob")), ("b", "big", "PROD", "X1", None), ("c", "7", "lab", "y2", Some("eve"))] {
            let mut attributes = json!({"name": name, "size": size, "env": env, "code": code});
            if let Some(o) = owner {
                attributes["owner"] = json!(o);
            }
            c.create(&admin(), "gadget", attributes, None).await.unwrap();
        }
        let mut next = gadget(json!([
            {"name": "size", "kind": "integer", "indexed": true, "max": 5}, {"name": "env", "kind": "enum", "options": ["prod", "test"]},
            {"name": "code", "kind": "text", "pattern": "^X"}, {"name": "owner", "kind": "text", "required": true},
        ]));
        next.unique = vec![vec!["code".into()]];
        let before = all(&c).await;
        let dry = propose(&c, &next, true, false).await;
        assert_eq!((dry.state.as_str(), dry.report.records, dry.report.checked, dry.report.broken), ("checked", 3, 3, 2));
        let of = |attribute: &str, rule: &str| {
            let found = dry.report.attributes[attribute].problems.iter().find(|p| p.rule == rule).unwrap().clone();
            (found.count, found.mend, found.examples.into_iter().map(|e| (e.label, e.value)).collect::<Vec<_>>())
        };
        let (n, mend, named) = of("size", "kind");
        // 7 is a number and is too large.
        assert_eq!((n, mend.as_deref(), named), (2, Some("clear"), vec![("b".to_owned(), json!("big")), ("c".to_owned(), json!("7"))]));
        assert_eq!(of("env", "kind").2, vec![("c".to_owned(), json!("lab"))]);
        assert_eq!(dry.report.attributes["env"].converted, 1, "PROD is prod");
        assert_eq!(of("code", "pattern").2, vec![("c".to_owned(), json!("y2"))]);
        assert_eq!(of("code", "unique").1, None);
        assert_eq!(of("owner", "required").2, vec![("b".to_owned(), Json::Null)]);
        assert_eq!((all(&c).await, c.model(&admin(), "gadget").await.unwrap().version), (before.clone(), 1));
        // The same in earnest is refused, and nothing is half-written.
        let refused = propose(&c, &next, false, false).await;
        assert_eq!(refused.state, "refused");
        assert!(refused.error.unwrap().contains("2 of 3 records"));
        assert_eq!((all(&c).await, c.model(&admin(), "gadget").await.unwrap().version), (before.clone(), 1));
        // Nothing mends two records with one unique value, nor a missing owner without a default.
        assert_eq!(propose(&c, &next, false, true).await.state, "refused");
        assert_eq!(all(&c).await, before);
        next.unique.clear();
        next.attributes[4].default = Some(json!("nobody"));
        let done = propose(&c, &next, false, true).await;
        assert_eq!((done.state.as_str(), done.report.rewritten), ("done", 3), "{:?}", done.error);
        assert_eq!(all(&c).await, [
            json!({"name": "a", "size": 4, "env": "prod", "code": "X1", "owner": "bob"}),
            json!({"name": "b", "env": "prod", "code": "X1", "owner": "nobody"}),
            json!({"name": "c", "owner": "eve"}),
        ]);
        let small = Query { filter: Some("size < 5".into()), ..Query::default() };
        assert_eq!(c.list(&admin(), "gadget", &small).await.unwrap().items.len(), 1);
        let id = c.list(&admin(), "gadget", &small).await.unwrap().items[0].id.clone();
        let h = c.history(&admin(), "gadget", &id, None, 10).await.unwrap();
        assert_eq!((h[0].why.clone(), &h[0].before["size"], &h[0].after["size"]), (Some(format!("model change {}", done.id)), &json!("4"), &json!(4)));
    }

    async fn a_removed_attribute_is_readable_and_comes_back(db: Db) {
        let c = cmdb(&db).await;
        let first = gadget(json!([{"name": "colour", "kind": "text", "indexed": true}]));
        c.create_model(&admin(), first.clone()).await.unwrap();
        let one = c.create(&admin(), "gadget", json!({"name": "a", "colour": "red"}), None).await.unwrap();
        let gone = c.create(&admin(), "gadget", json!({"name": "b", "colour": "blue"}), None).await.unwrap();
        c.delete(&admin(), "gadget", &gone.id, None, None).await.unwrap();
        let done = propose(&c, &gadget(json!([])), false, false).await;
        assert_eq!((done.state.as_str(), done.report.attributes["colour"].removed), ("done", 1), "{:?}", done.error);
        assert_eq!(all(&c).await, [json!({"name": "a"})]);
        let h = c.history(&admin(), "gadget", &one.id, None, 10).await.unwrap();
        assert_eq!((h.len(), &h[0].before["colour"], h[0].after.get("colour")), (2, &json!("red"), None));
        let removed = c.removed_attributes(&admin(), "gadget").await.unwrap();
        assert_eq!((removed.len(), removed[0].attribute.name.as_str(), removed[0].values, removed[0].removed_by.as_str()), (1, "colour", 1, "alice"));
        // A record that was deleted before comes back without it.
        let back = c.restore(&admin(), "gadget", &gone.id, None, None).await.unwrap();
        assert_eq!(back.attributes, json!({"name": "b"}));
        c.create(&admin(), "gadget", json!({"name": "c"}), None).await.unwrap();
        let restored = c.restore_attribute(&admin(), "gadget", "colour", false, false).await.unwrap();
        assert_eq!((restored.state.as_str(), restored.report.attributes["colour"].restored), ("done", 1), "{:?}", restored.error);
        assert_eq!(all(&c).await, [json!({"name": "a", "colour": "red"}), json!({"name": "b"}), json!({"name": "c"})]);
        assert_eq!(c.model(&admin(), "gadget").await.unwrap().model.attributes, first.attributes);
        assert!(c.removed_attributes(&admin(), "gadget").await.unwrap().is_empty());
        let e = c.restore_attribute(&admin(), "gadget", "colour", false, false).await.unwrap_err();
        assert_eq!(e.code(), "cmdb.not_found");
        // Gone and back with numbers, lists and an index under it.
        let numbers = gadget(json!([{"name": "colour", "kind": "text"}, {"name": "n", "kind": "integer", "indexed": true}]));
        assert_eq!(propose(&c, &numbers, false, false).await.state, "done");
        c.update(&admin(), "gadget", &one.id, json!({"n": 7}), None, None).await.unwrap();
        let lists = gadget(json!([{"name": "colour", "kind": "text"}, {"name": "n", "kind": "list"}]));
        let done = propose(&c, &lists, false, false).await;
        assert_eq!(done.state, "done", "{:?}", done.error);
        assert_eq!(c.get(&admin(), "gadget", &one.id).await.unwrap().attributes["n"], json!(["7"]));
    }

    async fn a_large_model_changes_in_the_background_while_it_is_read_and_written(db: Db) {
        let c = cmdb(&db).await;
        c.create_model(&admin(), gadget(json!([{"name": "size", "kind": "text"}]))).await.unwrap();
        let rows = (0..2100).map(|i| BulkRow { attributes: json!({"name": format!("g{i:04}"), "size": i.to_string()}).as_object().unwrap().clone(), ..BulkRow::default() });
        let bulk = Bulk { action: BulkAction::Create, key: Vec::new(), rows: rows.collect(), all: true, dry_run: false, why: None };
        c.bulk(&admin(), "gadget", bulk).await.unwrap();
        let next = gadget(json!([{"name": "size", "kind": "integer"}]));
        let waits = propose(&c, &next, false, false).await;
        assert_eq!((waits.state.as_str(), waits.report.records), ("waiting", 2100));
        // One at a time, and it can be called off.
        let e = c.propose_model(&admin(), Proposal { model: next.clone(), expected: None, dry_run: false, mend: false }).await.unwrap_err();
        assert!(e.to_string().contains(&waits.id), "{e}");
        assert_eq!(c.cancel_model_change(&admin(), &waits.id).await.unwrap().state, "cancelled");
        assert!(!c.tend_model_changes().await.unwrap());
        let waits = propose(&c, &next, false, false).await;
        // It had begun when the host stopped: half of it was made ready.
        db.execute("UPDATE cmdb_model_changes SET state = 'running', updated_at = 0 WHERE id = ?", params![&waits.id]).await.unwrap();
        let writing = {
            let c = c.clone();
            tokio::spawn(async move {
                let mut made = 0;
                for i in 0..40 {
                    // By the model as it is at that moment.
                    let by_text = c.create(&admin(), "gadget", json!({"name": format!("w{i}"), "size": "1"}), None).await;
                    let made_it = match by_text {
                        Ok(_) => true,
                        Err(_) => c.create(&admin(), "gadget", json!({"name": format!("w{i}"), "size": 1}), None).await.is_ok(),
                    };
                    made += usize::from(made_it);
                    assert!(c.list(&admin(), "gadget", &Query { limit: 5, ..Query::default() }).await.unwrap().items.len() == 5);
                }
                made
            })
        };
        assert!(c.tend_model_changes().await.unwrap());
        let made = writing.await.unwrap();
        let done = c.model_change(&admin(), &waits.id).await.unwrap();
        assert_eq!(done.state, "done", "{:?}", done.error);
        assert_eq!(made, 40);
        let numbers = Query { filter: Some("size >= 0".into()), ..Query::default() };
        assert_eq!(c.docs.count_of("cmdb/gadget", &numbers).await.unwrap(), 2140);
    }

    async fn only_who_may_change_models_sees_or_makes_changes(db: Db) {
        let c = cmdb(&db).await;
        let m = gadget(json!([{"name": "size", "kind": "text"}]));
        c.create_model(&admin(), m.clone()).await.unwrap();
        let dry = propose(&c, &m, true, false).await;
        for role in [Role::Viewer, Role::Operator] {
            let who = user(role);
            let p = Proposal { model: m.clone(), expected: None, dry_run: true, mend: false };
            assert_eq!(c.propose_model(&who, p).await.unwrap_err().code(), "access.denied");
            assert_eq!(c.model_changes(&who, "gadget").await.unwrap_err().code(), "access.denied");
            assert_eq!(c.model_change(&who, &dry.id).await.unwrap_err().code(), "access.denied");
            assert_eq!(c.cancel_model_change(&who, &dry.id).await.unwrap_err().code(), "access.denied");
            assert_eq!(c.restore_attribute(&who, "gadget", "size", false, false).await.unwrap_err().code(), "access.denied");
            assert!(c.removed_attributes(&who, "gadget").await.is_ok());
        }
        // What came with Plenum keeps what discovery writes.
        let mut host = c.model(&admin(), "host").await.unwrap().model;
        host.attributes.retain(|a| a.name != "kernel");
        let e = c.propose_model(&admin(), Proposal { model: host, expected: None, dry_run: true, mend: true }).await.unwrap_err();
        assert!(e.to_string().contains("kernel"), "{e}");
    }
}
