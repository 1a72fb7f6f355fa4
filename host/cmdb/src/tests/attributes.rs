//! Models: those that come with Plenum, and what attributes can be.

use std::collections::BTreeSet;

use super::*;

fn model(more: Json) -> Model {
    let mut m = json!({"name": "gadget", "display": "name", "attributes": [{"name": "name", "kind": "text", "required": true}]});
    for (k, v) in more.as_object().unwrap() {
        match (m.get_mut(k).and_then(Json::as_array_mut), v) {
            (Some(list), Json::Array(more)) => list.extend(more.clone()),
            _ => m[k] = v.clone(),
        }
    }
    serde_json::from_value(m).unwrap()
}

#[test]
fn built_in_models_are_whole() {
    let models = crate::builtin::models().unwrap();
    let names: BTreeSet<&str> = models.iter().map(|m| m.name.as_str()).collect();
    for wanted in [
        "business_application",
        "system",
        "module",
        "environment",
        "host",
        "container_host",
        "postgresql",
        "mysql",
        "redis",
        "oracle",
        "sql_server",
        "mongodb",
        "nginx",
        "tomcat",
        "kafka",
        "rabbitmq",
        "network_device",
        "interface",
        "cable",
        "rack",
        "room",
        "data_centre",
        "ip_subnet",
        "ip_address",
        "domain_name",
        "certificate",
        "cloud_account",
        "region",
        "vpc",
        "disk",
        "licence",
        "supplier",
        "contract",
        "person",
        "team",
    ] {
        assert!(names.contains(wanted), "{wanted}");
    }
    assert_eq!(names.len(), models.len());
    for m in &models {
        assert!(m.icon.is_some() && m.group != "other", "{}: icon and group", m.name);
        for lang in ["en", "zh"] {
            assert!(m.title.0.get(lang).is_some_and(|t| !t.is_empty()), "{}: title in {lang}", m.name);
            for a in &m.attributes {
                assert!(a.title.0.get(lang).is_some_and(|t| !t.is_empty()), "{}.{}: title in {lang}", m.name, a.name);
            }
        }
        assert!(m.attributes.len() >= 3, "{}", m.name);
        for a in &m.attributes {
            assert!(
                a.section.is_some() || ["name", "description", "owner"].contains(&a.name.as_str()) || m.attributes.len() < 8,
                "{}.{}: section",
                m.name,
                a.name
            );
            assert!(a.target.as_deref().is_none_or(|t| names.contains(t)), "{}.{} refers to {:?}", m.name, a.name, a.target);
        }
        // What filters and unique keys ask most is indexed.
        assert!(m.attributes.iter().any(|a| a.indexed), "{}", m.name);
    }
    for k in crate::kinds::builtin().unwrap() {
        for p in &k.pairs {
            for end in [&p.from, &p.to] {
                assert!(end == "*" || names.contains(end.as_str()), "{} links {end}", k.name);
            }
        }
    }
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn every_built_in_model_can_be_extended(db: Db) {
        let c = cmdb(&db).await;
        for stored in c.models(&admin()).await.unwrap() {
            let mut m = stored.model.clone();
            m.attributes.push(serde_json::from_value(json!({"name": "our_code", "kind": "text", "indexed": m.attributes.iter().filter(|a| a.indexed).count() < 24})).unwrap());
            m.template = Some(format!("{{{}}} [{{our_code}}]", m.display));
            let e = c.update_model(&admin(), m.clone(), Some(stored.version)).await;
            assert!(e.is_ok(), "{}: {:?}", m.name, e.err());
            let cut = Model { attributes: m.attributes.iter().filter(|a| a.name != m.display).cloned().collect(), ..m.clone() };
            assert!(c.update_model(&admin(), cut, None).await.is_err(), "{}", m.name);
        }
        // What was added is there after the next start.
        let again = cmdb(&db).await;
        assert!(again.models(&admin()).await.unwrap().iter().all(|m| m.model.attribute("our_code").is_some() && m.version == 2));
    }

    async fn references_name_what_is_there(db: Db) {
        let c = cmdb(&db).await;
        let e = c.create_model(&admin(), model(json!({"attributes": [{"name": "in", "kind": "reference", "target": "rakc"}]}))).await.unwrap_err();
        assert!(e.to_string().contains("did you mean rack"), "{e}");
        c.create_model(&admin(), model(json!({"attributes": [
            {"name": "rack", "kind": "reference", "target": "rack", "indexed": true},
            {"name": "others", "kind": "references", "target": "gadget"},
            {"name": "keeper", "kind": "user"}, {"name": "watchers", "kind": "users"}]}))).await.unwrap();
        let rack = c.create(&admin(), "rack", json!({"name": "r1"}), None).await.unwrap().id;
        let e = c.create(&admin(), "gadget", json!({"name": "g", "rack": "r1"}), None).await.unwrap_err();
        assert_eq!(e.to_string(), "rack has to be the id of a rack, and there is no rack r1");
        let g = c.create(&admin(), "gadget", json!({"name": "g", "rack": rack, "keeper": "alice", "watchers": ["bob", "carl"]}), None).await.unwrap();
        assert!(c.update(&admin(), "gadget", &g.id, json!({"others": ["nobody"]}), None, None).await.is_err());
        c.update(&admin(), "gadget", &g.id, json!({"others": [g.id]}), None, None).await.unwrap();
        for wrong in [json!({"keeper": "Alice Smith"}), json!({"watchers": "bob"}), json!({"others": "x"}), json!({"rack": 5})] {
            assert_eq!(c.update(&admin(), "gadget", &g.id, wrong, None, None).await.unwrap_err().code(), "cmdb.invalid_instance");
        }
        for (filter, n) in [(format!("rack == \"{rack}\""), 1), ("keeper == \"alice\" && \"bob\" in watchers".into(), 1), (format!("\"{}\" in others", g.id), 1), ("rack == null".into(), 0)] {
            assert_eq!(c.preview(&admin(), "gadget", &filter).await.unwrap().count, n, "{filter}");
        }
        // One that is gone since does not keep the record from being changed.
        c.delete(&admin(), "rack", &rack, None, None).await.unwrap();
        c.update(&admin(), "gadget", &g.id, json!({"keeper": "bob"}), None, None).await.unwrap();
    }

    async fn values_fit_schemas_and_records_are_called_by_their_template(db: Db) {
        let c = cmdb(&db).await;
        c.create_model(&admin(), model(json!({
            "template": "{name} ({env})", "identification": [["name", "env"], ["name"]], "unique": [["name", "env"]],
            "attributes": [
                {"name": "env", "kind": "enum", "options": ["prod", "test"], "colours": {"prod": "red"}, "importance": 5, "sources": ["import"]},
                {"name": "config", "kind": "json", "schema": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}}}}],
        }))).await.unwrap();
        let g = c.create(&admin(), "gadget", json!({"name": "g", "env": "prod", "config": {"port": 1}}), None).await.unwrap();
        assert_eq!(g.label, "g (prod)");
        assert_eq!(c.create(&admin(), "gadget", json!({"name": "h"}), None).await.unwrap().label, "h");
        // The key is both together.
        assert_eq!(c.create(&admin(), "gadget", json!({"name": "g", "env": "prod"}), None).await.unwrap_err().code(), "cmdb.duplicate");
        assert_eq!(c.create(&admin(), "gadget", json!({"name": "g", "env": "test"}), None).await.unwrap().label, "g (test)");
        let e = c.update(&admin(), "gadget", &g.id, json!({"config": {"port": "x"}}), None, None).await.unwrap_err();
        assert!(e.to_string().contains("/port"), "{e}");
        let stored = c.model(&admin(), "gadget").await.unwrap().model;
        assert_eq!((stored.identification.len(), stored.attribute("env").unwrap().importance), (2, Some(5)));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (more, at) in [
        (json!({"template": "no attribute"}), "/template"),
        (json!({"template": "{nam}"}), "/template"),
        (json!({"template": "{name"}), "/template"),
        (json!({"identification": [["nam"]]}), "/identification/0"),
        (json!({"identification": [[]]}), "/identification/0"),
        (json!({"unique": [["name", "name"]]}), "/unique/0"),
        (json!({"attributes": [{"name": "r", "kind": "reference"}]}), "/attributes/1/target"),
        (json!({"attributes": [{"name": "r", "kind": "text", "target": "rack"}]}), "/attributes/1/target"),
        (json!({"attributes": [{"name": "r", "kind": "text", "schema": {}}]}), "/attributes/1/schema"),
        (json!({"attributes": [{"name": "r", "kind": "json", "schema": {"type": "nothing"}}]}), "/attributes/1/schema"),
        (json!({"attributes": [{"name": "r", "kind": "enum", "options": ["a"], "colours": {"b": "red"}}]}), "/attributes/1/colours"),
        (json!({"attributes": [{"name": "r", "kind": "enum", "options": ["a"], "colours": {"a": "url(x)"}}]}), "/attributes/1/colours"),
        (json!({"attributes": [{"name": "r", "kind": "text", "importance": 11}]}), "/attributes/1/importance"),
    ] {
        match model(more.clone()).check() {
            Err(CmdbError::InvalidModel { pointer, .. }) => assert_eq!(pointer, at, "{more}"),
            other => panic!("{more}: {other:?}"),
        }
    }
}
