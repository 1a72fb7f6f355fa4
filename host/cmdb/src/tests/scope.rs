//! A plugin whose grant names attributes, at every door.

use plenum_access::PluginPrincipal;
use plenum_store::both_databases;

use super::*;

fn plugin(grant: Json) -> Principal {
    let grant = serde_json::from_value(grant).unwrap();
    Principal::Plugin(PluginPrincipal { id: "p".into(), grant: std::sync::Arc::new(grant), on_behalf: None })
}

fn denied<T>(answer: Result<T, CmdbError>, words: &str) {
    let e = answer.err().unwrap();
    assert_eq!(e.code(), "access.denied", "{e}");
    assert!(e.to_string().contains(words), "{e}");
}

both_databases! {
    migrations: MIGRATE;

    async fn what_a_plugin_may_not_read_is_in_no_answer(db: Db) {
        let c = cmdb(&db).await;
        let team = c.create(&admin(), "team", json!({"name": "dba", "email": "dba@example.com"}), None).await.unwrap();
        let system = c.create(&admin(), "system", json!({"name": "shop"}), None).await.unwrap();
        c.associate(&admin(), "belongs_to", ("system", &system.id), ("team", &team.id)).await.unwrap();
        c.update(&admin(), "team", &team.id, json!({"email": "db@example.com"}), None, None).await.unwrap();
        let p = plugin(json!({"cmdb.read": {"models": ["team", "system"], "attributes": ["team.email", "system.*"]}}));
        let only = json!({"email": "db@example.com"});

        let list = c.list(&p, "team", &Query::default()).await.unwrap().items;
        assert_eq!((&list[0].attributes, list[0].label.as_str()), (&only, team.id.as_str()));
        assert_eq!(c.get(&p, "team", &team.id).await.unwrap().attributes, only);
        assert_eq!(c.get_many(&p, "team", std::slice::from_ref(&team.id)).await.unwrap()[0].attributes, only);
        let now = plenum_store::now_ms() + 1000;
        assert_eq!(c.get_at(&p, "team", &team.id, now).await.unwrap().attributes, only);
        assert_eq!(c.list_at(&p, "team", &Query::default(), now).await.unwrap().items[0].attributes, only);
        let history = serde_json::to_string(&c.history(&p, "team", &team.id, None, 10).await.unwrap()).unwrap();
        assert!(history.contains("db@example.com") && !history.contains("\"dba\""), "{history}");
        let model = c.model(&p, "team").await.unwrap().model;
        assert_eq!(model.attributes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["email"]);
        assert!(model.unique.is_empty());
        assert!(c.models(&p).await.unwrap().iter().all(|m| m.model.name != "team" || m.model.attribute("name").is_none()));
        assert_eq!(c.related(&p, "system", &system.id).await.unwrap()[0].label, team.id);
        let query = GraphQuery { depth: 1, walk: Walk::Around, kinds: Vec::new(), limit: 0 };
        let graph = c.graph(&p, "system", &system.id, &query).await.unwrap();
        assert_eq!(graph.nodes.iter().map(|n| n.label.as_str()).collect::<Vec<_>>(), ["shop", team.id.as_str()]);
        assert!(found_by(&c, &p, "dba").await.items.is_empty());
    }

    async fn what_a_plugin_may_not_read_it_cannot_ask_for(db: Db) {
        let c = cmdb(&db).await;
        c.create(&admin(), "team", json!({"name": "dba", "members": ["bob"]}), None).await.unwrap();
        let p = plugin(json!({"cmdb.read": {"attributes": ["team.email", "team.members"]}}));
        let by = |filter: &str| Query { filter: Some(filter.into()), ..Query::default() };
        for filter in ["name == \"dba\"", "email == \"x\" || name.startsWith(\"d\")", "members.exists(m, m == name)"] {
            denied(c.list(&p, "team", &by(filter)).await, "attributes = [\"team.email\", \"team.members\", \"team.name\"]");
            denied(c.preview(&p, "team", filter).await, "team.name");
        }
        denied(c.list(&p, "team", &Query { sort: Some(("name".into(), false)), ..Query::default() }).await, "team.name");
        denied(c.list(&p, "team", &Query { search: Some("dba".into()), ..Query::default() }).await, "use a filter");
        assert_eq!(c.list(&p, "team", &by("members.exists(m, m == \"bob\")")).await.unwrap().items.len(), 1);
        assert_eq!(c.list(&p, "team", &Query { sort: Some(("updated_at".into(), true)), ..Query::default() }).await.unwrap().items.len(), 1);
    }

    async fn what_a_plugin_may_not_write_stays(db: Db) {
        let c = cmdb(&db).await;
        let t = c.create(&admin(), "team", json!({"name": "dba", "email": "a@example.com"}), None).await.unwrap();
        let p = plugin(json!({"cmdb.read": {}, "cmdb.write": {"models": ["team"], "attributes": ["team.email"]}}));
        let after = c.update(&p, "team", &t.id, json!({"email": "b@example.com"}), None, None).await.unwrap();
        assert_eq!(after.attributes["name"], "dba");
        denied(c.update(&p, "team", &t.id, json!({"email": "c", "name": "x"}), None, None).await, "[\"team.email\", \"team.name\"]");
        denied(c.create(&p, "team", json!({"name": "x"}), None).await, "team.name");
        denied(c.delete(&p, "team", &t.id, None, None).await, "team.*");
        denied(c.restore(&p, "team", &t.id, Some(1), None).await, "team.*");
        let bulk = |action, row: Json| Bulk {
            action,
            key: vec!["name".into()],
            rows: vec![BulkRow { attributes: row.as_object().unwrap().clone(), ..BulkRow::default() }],
            all: true,
            dry_run: false,
            why: None,
        };
        let row = json!({"name": "dba", "email": "d@example.com"});
        denied(c.bulk(&p, "team", bulk(BulkAction::Upsert, row.clone())).await, "team.name");
        denied(c.bulk(&p, "team", bulk(BulkAction::Delete, row.clone())).await, "team.*");
        assert_eq!(c.bulk(&p, "team", bulk(BulkAction::Update, row)).await.unwrap().count(RowOutcome::Updated), 1);
        // Without the right to read, it sees what it may write; a key that it may not read would tell what is there.
        let blind = plugin(json!({"cmdb.write": {"attributes": ["team.email"]}}));
        let after = c.update(&blind, "team", &t.id, json!({"email": "e@example.com"}), None, None).await.unwrap();
        assert_eq!(after.attributes, json!({"email": "e@example.com"}));
        denied(c.bulk(&blind, "team", bulk(BulkAction::Update, json!({"name": "dba", "email": "f"}))).await, "cmdb.read");
        assert_eq!(c.get(&admin(), "team", &t.id).await.unwrap().attributes, json!({"name": "dba", "email": "e@example.com"}));
    }
}
