//! Data roles at every door of the CMDB: what is out of reach is not there, what is hidden is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use plenum_access::{DataRole, DataRule, Grant, PluginPrincipal};
use serde_json::Map;

use super::*;

struct World {
    c: Cmdb,
    db: Db,
    /// Sees and changes hosts of `env == "pay"`, without their serial; sees systems that she does not change.
    alice: Principal,
    mine: String,
    theirs: String,
    system: String,
}

fn rule(models: &[&str], filter: Option<&str>, write: bool, hidden: &[&str]) -> DataRule {
    let texts = |t: &[&str]| t.iter().map(|t| (*t).to_owned()).collect();
    DataRule { models: texts(models), filter: filter.map(str::to_owned), write, hidden: texts(hidden) }
}

fn role(name: &str, rules: Vec<DataRule>, members: &[&str]) -> DataRole {
    DataRole {
        name: name.into(),
        title: BTreeMap::new(),
        description: String::new(),
        rules,
        members: members.iter().map(|m| (*m).to_owned()).collect(),
    }
}

async fn world(db: Db) -> World {
    let c = cmdb(&db).await;
    let system = Principal::System("tests");
    let user = c.access.create_user(&system, "alice", "", Role::Operator, "a password of some length").await.unwrap();
    let alice = Principal::User(user.principal());
    let host = async |name: &str, env: &str| {
        c.create(&admin(), "host", json!({"hostname": name, "env": env, "serial": format!("SN-{name}"), "owner": "bob"}), None)
            .await
            .unwrap()
            .id
    };
    let (mine, theirs) = (host("mine", "pay").await, host("theirs", "hr").await);
    let sys = c.create(&admin(), "system", json!({"name": "shop"}), None).await.unwrap().id;
    for id in [&mine, &theirs] {
        c.associate(&admin(), "depends_on", ("system", &sys), ("host", id)).await.unwrap();
    }
    let rules = vec![rule(&["host"], Some("env == \"pay\""), true, &["serial"]), rule(&["system"], None, false, &[])];
    c.put_data_role(&admin(), role("pay", rules, &[&user.id]), Some(0)).await.unwrap();
    World { c, db, alice, mine, theirs, system: sys }
}

fn filtered(filter: &str) -> Query {
    Query { filter: Some(filter.into()), with_total: true, ..Query::default() }
}

fn labels(items: &[Instance]) -> Vec<&str> {
    items.iter().map(|i| i.label.as_str()).collect()
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn questions_keep_to_what_is_in_reach(db: Db) {
        let w = world(db).await;
        let (c, alice) = (&w.c, &w.alice);
        // Facets and aggregates.
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<String>>();
        let f = c.facets(alice, "host", &Query::default(), &own(&["env"]), 10).await.unwrap();
        assert_eq!((f.total, json!(f.facets[0].values)), (1, json!([{"value": "pay", "count": 1}])));
        assert!(c.facets(alice, "host", &Query::default(), &own(&["serial"]), 10).await.is_err());
        assert!(c.facets(alice, "host", &filtered("serial == \"SN-mine\""), &own(&["env"]), 10).await.is_err());
        let search = Query { search: Some("SN-mine".into()), ..Query::default() };
        assert!(c.facets(alice, "host", &search, &own(&["env"]), 10).await.is_err());
        let counted = |field: &str| plenum_store::Aggregate {
            filter: None,
            search: None,
            links: None,
            groups: vec![(field.to_owned(), None)],
            measures: vec![(plenum_store::Measure::Count, None)],
            limit: 10,
            most_first: true,
        };
        let groups = c.aggregate(alice, "host", &counted("env")).await.unwrap();
        assert_eq!((groups.len(), groups[0].keys[0].as_str()), (1, Some("pay")));
        assert!(c.aggregate(alice, "host", &counted("serial")).await.is_err());

        // Links within filters lead to what is in reach, and look at what is not hidden.
        for (filter, found) in [("depends_on.exists(x, x.env == \"pay\")", 1), ("depends_on.exists(x, x.env == \"hr\")", 0)] {
            assert_eq!(c.list(alice, "system", &filtered(filter)).await.unwrap().items.len(), found, "{filter}");
            assert_eq!(c.list(&admin(), "system", &filtered(filter)).await.unwrap().items.len(), 1, "{filter}");
            assert_eq!(c.preview(alice, "system", filter).await.unwrap().count, found as i64, "{filter}");
        }
        assert!(c.list(&admin(), "system", &filtered("depends_on.exists(x, x.serial == \"SN-mine\")")).await.is_ok());
        assert!(c.list(alice, "system", &filtered("depends_on.exists(x, x.serial == \"SN-mine\")")).await.is_err());

        // Expansions.
        let shape = c.shape(&[], &own(&["depends_on"])).await.unwrap();
        let page = c.list(alice, "system", &Query::default()).await.unwrap();
        let shown = c.expand(alice, "system", page.items, &shape).await.unwrap();
        let behind = &shown[0].links["depends_on"];
        assert_eq!((behind.len(), behind[0].instance.id.as_str(), shown[0].more.len()), (1, w.mine.as_str(), 0));
        assert!(behind[0].instance.attributes.get("serial").is_none());

        // The feed.
        let start = c.feed_now(alice).await.unwrap();
        let tests = Principal::System("tests");
        for id in [&w.mine, &w.theirs] {
            c.update(&tests, "host", id, json!({"owner": "eve"}), None, None).await.unwrap();
        }
        c.update(&tests, "host", &w.mine, json!({"serial": "SN-9"}), None, None).await.unwrap();
        let feed = c.feed(alice, &crate::FeedQuery::default(), start, 100).await.unwrap();
        assert!(!feed.events.is_empty() && feed.events.iter().all(|e| e.data["id"] == json!(w.mine)));
        let of = crate::FeedQuery { fields: own(&["serial"]), ..Default::default() };
        assert!(c.feed(alice, &of, start, 100).await.unwrap().events.is_empty());
        assert_eq!(c.feed(&tests, &of, start, 100).await.unwrap().events.len(), 1);
    }

    async fn doors_that_do_not_keep_to_records_are_shut(db: Db) {
        let w = world(db).await;
        let (c, alice) = (&w.c, &w.alice);
        let shut = |name: &str, e: CmdbError| {
            assert_eq!(e.code(), "access.denied", "{name}: {e}");
            assert!(e.to_string().contains("data roles"), "{name}: {e}");
        };
        let g = crate::NamedGroup { name: "all".into(), title: Default::default(), model: "host".into(), filter: "env == \"hr\"".into() };
        c.put_group(&admin(), g.clone(), None).await.unwrap();
        shut("groups", c.groups(alice, None).await.unwrap_err());
        shut("members", c.members(alice, "all", &Query::default()).await.unwrap_err());
        shut("put group", c.put_group(alice, g, None).await.unwrap_err());
        shut("in group", c.list(alice, "host", &filtered("in_group(\"all\")")).await.unwrap_err());
        shut("kept", c.kept_filters(alice, "host").await.unwrap_err());
        shut("explain", c.explain(alice, "host", &Query::default()).await.unwrap_err());
        shut("findings", c.health_findings(alice, &Default::default()).await.unwrap_err());
        shut("scores", c.health_scores(alice).await.unwrap_err());
        shut("health", c.record_health(alice, "host", &w.mine).await.unwrap_err());
        shut("reviews", c.reviews(alice, &Default::default()).await.unwrap_err());
        shut("sources", c.sources(alice).await.unwrap_err());
        shut("of a record", c.record_sources(alice, "host", &w.theirs).await.unwrap_err());
        let merge = c.merge_records(alice, "host", &w.mine, std::slice::from_ref(&w.theirs), true, None).await;
        shut("merge", merge.err().unwrap());
        assert!(c.health_findings(&admin(), &Default::default()).await.is_ok() && c.sources(&admin()).await.is_ok());
    }

    async fn reading_doors_show_what_is_in_reach(db: Db) {
        let w = world(db).await;
        let (c, alice) = (&w.c, &w.alice);
        // Models: those of the rules, without what is hidden.
        let models: Vec<String> = c.models(alice).await.unwrap().into_iter().map(|m| m.model.name).collect();
        assert_eq!(models, ["host", "system"]);
        assert!(c.model(alice, "host").await.unwrap().model.attribute("serial").is_none());
        let e = c.model(alice, "rack").await.unwrap_err();
        assert_eq!((e.code(), e.to_string()), ("cmdb.no_model", "there is no model rack".into()));
        assert_eq!(c.model_count(alice, "host").await.unwrap(), 1);
        // A name near that of a model that is not to be known hints at nothing.
        assert_eq!(c.list(alice, "racks", &Query::default()).await.unwrap_err().to_string(), "there is no model racks");

        // Lists, whatever the filter tries.
        for (filter, found) in [
            ("true", vec!["mine"]),
            ("env != \"pay\"", vec![]),
            ("env == \"hr\" || true", vec!["mine"]),
            ("!(env == \"pay\")", vec![]),
            ("id != \"x\"", vec!["mine"]),
        ] {
            let page = c.list(alice, "host", &filtered(filter)).await.unwrap();
            assert_eq!((labels(&page.items), page.total), (found.clone(), Some(found.len() as i64)), "{filter}");
            assert_eq!(c.preview(alice, "host", filter).await.unwrap().count, found.len() as i64, "{filter}");
        }
        // Brackets of its own do not reach the rule's.
        for filter in ["true) || (true", "true // )", "true /* ", "\") || (\"a\" == \"a", "true)\n || (true"] {
            let e = c.list(alice, "host", &filtered(filter)).await.unwrap_err();
            assert!(e.code().starts_with("filter."), "{filter}: {e}");
        }
        let page = c.list(alice, "host", &Query::default()).await.unwrap();
        assert!(page.items[0].attributes.get("serial").is_none() && page.items[0].attributes["owner"] == "bob");

        // What is hidden is unknown to filters, orders and searches; the nearest name is never it.
        for filter in ["serial == \"SN-mine\"", "has(serial.x)", "serial != null", "seril == \"x\""] {
            let e = c.list(alice, "host", &filtered(filter)).await.unwrap_err();
            assert!(e.code().starts_with("filter.") && !e.to_string().contains("did you mean serial"), "{filter}: {e}");
            assert!(c.preview(alice, "host", filter).await.is_err(), "{filter}");
        }
        let sorted = |by: &str| Query { sort: Some((by.into(), false)), ..Query::default() };
        assert_eq!(c.list(alice, "host", &sorted("serial")).await.unwrap_err().code(), "cmdb.query");
        assert_eq!(c.list(alice, "host", &sorted("hostname")).await.unwrap().items.len(), 1);
        let search = |text: &str| Query { search: Some(text.into()), with_total: true, ..Query::default() };
        for (text, found) in [("SN-mine", 0), ("mine", 1), ("theirs", 0), ("mine pay", 1), ("mine SN", 0)] {
            let page = c.list(alice, "host", &search(text)).await.unwrap();
            assert_eq!((page.items.len(), page.next_cursor, page.total), (found, None, None), "{text}");
            assert_eq!(found_by(c, alice, text).await.items.len(), found, "{text}");
        }
        assert_eq!(found_by(c, &admin(), "SN-mine").await.items.len(), 1);

        // One record, now and then, and its history.
        assert_eq!(c.get(alice, "host", &w.theirs).await.unwrap_err().code(), "cmdb.not_found");
        assert!(c.get(alice, "host", &w.mine).await.unwrap().attributes.get("serial").is_none());
        assert_eq!(c.get_many(alice, "host", &[w.mine.clone(), w.theirs.clone()]).await.unwrap().len(), 1);
        let now = plenum_store::now_ms();
        assert_eq!(labels(&c.list_at(alice, "host", &filtered("true"), now).await.unwrap().items), ["mine"]);
        assert!(c.get_at(alice, "host", &w.mine, now).await.unwrap().attributes.get("serial").is_none());
        assert_eq!(c.get_at(alice, "host", &w.theirs, now).await.unwrap_err().code(), "cmdb.not_found");
        c.update(&Principal::System("tests"), "host", &w.mine, json!({"serial": "SN-2", "owner": "eve"}), None, None).await.unwrap();
        let history = c.history(alice, "host", &w.mine, None, 10).await.unwrap();
        assert_eq!((history.len(), history[0].after["owner"].as_str()), (2, Some("eve")));
        assert!(!json!(history).to_string().contains("SN-"));
        assert!(c.history(alice, "host", &w.theirs, None, 10).await.unwrap().is_empty());

        // What is linked, and what stands around.
        let related = c.related(alice, "system", &w.system).await.unwrap();
        assert_eq!(related.iter().map(|r| r.label.as_str()).collect::<Vec<_>>(), ["mine"]);
        assert_eq!(c.related(alice, "host", &w.theirs).await.unwrap_err().code(), "cmdb.not_found");
        let around = GraphQuery { depth: 3, ..GraphQuery::default() };
        let graph = c.graph(alice, "host", &w.mine, &around).await.unwrap();
        assert_eq!(graph.nodes.iter().map(|n| n.label.as_str()).collect::<Vec<_>>(), ["mine", "shop"]);
        assert_eq!(graph.edges.len(), 1);
        assert_eq!(c.graph(alice, "host", &w.theirs, &around).await.unwrap_err().code(), "cmdb.not_found");
        assert_eq!(c.graph(&admin(), "host", &w.mine, &around).await.unwrap().nodes.len(), 3);
    }

    async fn writing_doors_change_what_is_in_reach(db: Db) {
        let w = world(db).await;
        let (c, alice) = (&w.c, &w.alice);
        let code = |r: Result<Instance, CmdbError>| r.unwrap_err().code();
        // Made within reach, or not at all.
        let made = c.create(alice, "host", json!({"hostname": "new", "env": "pay"}), None).await.unwrap();
        assert_eq!(code(c.create(alice, "host", json!({"hostname": "out", "env": "hr"}), None).await), "access.denied");
        assert_eq!(code(c.create(alice, "host", json!({"hostname": "out"}), None).await), "access.denied");
        let e = c.create(alice, "host", json!({"hostname": "x", "env": "pay", "serial": "1"}), None).await.unwrap_err();
        assert!(e.to_string().starts_with("the model host has no attribute serial"), "{e}");
        let e = c.create(alice, "host", json!({"hostname": "x", "env": "pay", "seriall": "1"}), None).await.unwrap_err();
        assert!(!e.to_string().contains("did you mean serial"), "{e}");
        assert_eq!(code(c.create(alice, "rack", json!({"name": "r"}), None).await), "cmdb.no_model");
        assert_eq!(code(c.create(alice, "system", json!({"name": "s"}), None).await), "access.denied");
        // Changed within reach, and neither out of it nor into it.
        c.update(alice, "host", &w.mine, json!({"owner": "alice"}), None, None).await.unwrap();
        assert_eq!(code(c.update(alice, "host", &w.mine, json!({"env": "hr"}), None, None).await), "access.denied");
        assert_eq!(code(c.update(alice, "host", &w.theirs, json!({"env": "pay"}), None, None).await), "cmdb.not_found");
        assert_eq!(code(c.update(alice, "host", &w.mine, json!({"serial": "x"}), None, None).await), "cmdb.invalid_instance");
        assert_eq!(code(c.update(alice, "system", &w.system, json!({"owner": "alice"}), None, None).await), "access.denied");
        // Deleted and brought back within reach.
        assert_eq!(c.delete(alice, "host", &w.theirs, None, None).await.unwrap_err().code(), "cmdb.not_found");
        assert_eq!(c.delete(alice, "system", &w.system, None, None).await.unwrap_err().code(), "access.denied");
        c.delete(alice, "host", &made.id, None, None).await.unwrap();
        assert_eq!(c.history(alice, "host", &made.id, None, 10).await.unwrap().len(), 2);
        c.restore(alice, "host", &made.id, None, None).await.unwrap();
        let before = c.get(&admin(), "host", &w.theirs).await.unwrap();
        c.delete(&admin(), "host", &w.theirs, None, None).await.unwrap();
        assert_eq!(code(c.restore(alice, "host", &w.theirs, None, None).await), "cmdb.not_found");
        assert!(c.history(alice, "host", &w.theirs, None, 10).await.unwrap().is_empty());
        c.restore(&admin(), "host", &w.theirs, None, None).await.unwrap();
        assert_eq!(c.get(&admin(), "host", &w.theirs).await.unwrap().attributes, before.attributes);
        // Restored to a version, what is hidden stays as it is.
        c.update(&Principal::System("tests"), "host", &w.mine, json!({"serial": "SN-9", "owner": "carl"}), None, None).await.unwrap();
        let back = c.restore(alice, "host", &w.mine, Some(1), None).await.unwrap();
        assert!(back.attributes.get("serial").is_none());
        let stored = c.get(&admin(), "host", &w.mine).await.unwrap().attributes;
        assert_eq!((stored["serial"].as_str(), stored["owner"].as_str()), (Some("SN-9"), Some("bob")));
        // Many at once: each row is held to the same.
        let rows = |rows: Json| -> Vec<BulkRow> {
            let row = |r: &Json| BulkRow { attributes: r.as_object().unwrap().clone(), ..BulkRow::default() };
            rows.as_array().unwrap().iter().map(row).collect()
        };
        let bulk = |action, key: &[&str], with: Json| Bulk {
            action, key: key.iter().map(|k| (*k).to_owned()).collect(), rows: rows(with), all: false, dry_run: false, why: None,
        };
        let codes = async |b: Bulk| -> Vec<String> {
            let done = c.bulk(alice, "host", b).await.unwrap();
            done.rows.iter().map(|r| r.error.as_ref().map_or("ok", |e| e.code()).to_owned()).collect()
        };
        let with = json!([{"hostname": "mine", "owner": "x"}, {"hostname": "theirs", "owner": "x"}, {"hostname": "mine", "env": "hr"}]);
        assert_eq!(codes(bulk(BulkAction::Update, &["hostname"], with.clone())).await, ["ok", "cmdb.not_found", "access.denied"]);
        assert_eq!(codes(bulk(BulkAction::Delete, &["hostname"], json!([{"hostname": "theirs"}]))).await, ["cmdb.not_found"]);
        assert_eq!(codes(bulk(BulkAction::Create, &[], json!([{"hostname": "b", "env": "hr"}, {"hostname": "b", "env": "pay", "serial": "s"}]))).await, ["access.denied", "cmdb.invalid_instance"]);
        assert_eq!(c.bulk(alice, "host", bulk(BulkAction::Update, &["serial"], json!([]))).await.unwrap_err().code(), "cmdb.invalid_instance");
        let by_id = BulkRow { id: Some(w.theirs.clone()), attributes: Map::new(), version: None };
        let done = c.bulk(alice, "host", Bulk { rows: vec![by_id], ..bulk(BulkAction::Delete, &[], json!([])) }).await.unwrap();
        assert_eq!(done.rows[0].error.as_ref().unwrap().code(), "cmdb.not_found");
        assert_eq!(c.may_write(alice, "rack").await.unwrap_err().code(), "cmdb.no_model");
        // Links: both ends within what may be changed; one to what is not seen is not there.
        let own = c.create(alice, "host", json!({"hostname": "own", "env": "pay"}), None).await.unwrap().id;
        let link = async |from: (&str, &str), to: (&str, &str)| c.associate(alice, "connects_to", from, to).await.map_err(|e| e.code());
        let made = link(("host", &own), ("host", &w.mine)).await.unwrap();
        assert_eq!(link(("host", &own), ("host", &w.theirs)).await.unwrap_err(), "cmdb.not_found");
        assert_eq!(link(("host", &own), ("system", &w.system)).await.unwrap_err(), "access.denied");
        assert_eq!(link(("host", &own), ("rack", "x")).await.unwrap_err(), "cmdb.no_model");
        let foreign = c.associate(&admin(), "connects_to", ("host", &own), ("host", &w.theirs)).await.unwrap();
        assert_eq!(c.dissociate(alice, &foreign.id).await.unwrap_err().code(), "cmdb.not_found");
        assert_eq!(c.update_association(alice, &foreign.id, Map::new()).await.unwrap_err().code(), "cmdb.not_found");
        c.dissociate(alice, &made.id).await.unwrap();
        // A deletion takes nothing along that she may not delete.
        let taking = json!({"name": "takes", "forward": "takes", "backward": "goes with", "on_delete": {"source": "cascade"}});
        c.create_kind(&admin(), serde_json::from_value(taking).unwrap()).await.unwrap();
        c.associate(&admin(), "takes", ("host", &own), ("host", &w.theirs)).await.unwrap();
        let e = c.delete(alice, "host", &own, None, None).await.unwrap_err();
        assert!(e.code() == "cmdb.in_use" && !e.to_string().contains("theirs"), "{e}");
        c.get(&admin(), "host", &w.theirs).await.unwrap();
    }

    async fn a_unique_key_tells_nothing_of_what_is_hidden(db: Db) {
        let w = world(db).await;
        let mut m = w.c.model(&admin(), "system").await.unwrap().model;
        m.attributes.push(serde_json::from_value(json!({"name": "code", "kind": "text", "default": "one"})).unwrap());
        m.unique.push(vec!["code".into()]);
        w.c.update_model(&admin(), m, None).await.unwrap();
        let rules = vec![rule(&["system"], None, true, &["code"])];
        let Principal::User(u) = &w.alice else { unreachable!() };
        w.c.put_data_role(&admin(), role("pay", rules, &[&u.id]), Some(1)).await.unwrap();
        w.c.create(&w.alice, "system", json!({"name": "a"}), None).await.unwrap();
        let e = w.c.create(&w.alice, "system", json!({"name": "b"}), None).await.unwrap_err();
        assert!(e.code() == "cmdb.in_use" && !e.to_string().contains("code"), "{e}");
        assert!(w.c.model(&w.alice, "system").await.unwrap().model.unique.iter().all(|u| u != &["code"]));
    }

    async fn events_and_plugins_reach_no_further(db: Db) {
        let w = world(db).await;
        let events = Events::new(w.db.clone());
        w.c.update(&Principal::System("tests"), "host", &w.mine, json!({"serial": "SN-3", "owner": "x"}), None, None).await.unwrap();
        w.c.update(&admin(), "host", &w.theirs, json!({"owner": "x"}), None, None).await.unwrap();
        let own = w.c.create(&admin(), "host", json!({"hostname": "own", "env": "pay"}), None).await.unwrap().id;
        w.c.associate(&admin(), "connects_to", ("host", &own), ("host", &w.mine)).await.unwrap();
        w.c.associate(&admin(), "connects_to", ("host", &own), ("host", &w.theirs)).await.unwrap();
        w.c.delete(&admin(), "host", &own, None, None).await.unwrap();
        let all = events.read(0, 1000, &["plenum.cmdb.".into()]).await.unwrap();
        let mut heard = Vec::new();
        for e in all.clone() {
            assert_eq!(w.c.hears(&admin(), e.clone()).await.unwrap().map(|h| h.data), Some(e.data.clone()));
            heard.extend(w.c.hears(&w.alice, e).await.unwrap());
        }
        let text = json!(heard).to_string();
        assert!(!text.contains(&w.theirs) && !text.contains("serial") && !text.contains("theirs"), "{text}");
        assert!(text.contains(&w.mine) && text.contains("owner"));
        // Also of what was hers and is deleted.
        assert!(heard.iter().any(|e| e.kind == "plenum.cmdb.instance.deleted" && e.data["label"] == "own"));
        assert_eq!(heard.iter().filter(|e| e.kind == "plenum.cmdb.association.created" && e.data["kind"] == "connects_to").count(), 1);
        // A plugin for her sees what she sees; on its own, what its grant lets it see.
        let grant: Grant = serde_json::from_value(json!({"cmdb.read": {}})).unwrap();
        let Principal::User(u) = &w.alice else { unreachable!() };
        for (on_behalf, sees) in [(Some(u.clone()), 1), (None, 2)] {
            let p = Principal::Plugin(PluginPrincipal { id: "p".into(), grant: Arc::new(grant.clone()), on_behalf });
            assert_eq!(w.c.list(&p, "host", &Query::default()).await.unwrap().items.len(), sees);
        }
    }

    async fn rules_that_fit_no_model_are_refused_or_show_nothing(db: Db) {
        let w = world(db).await;
        let Principal::User(u) = &w.alice else { unreachable!() };
        let put = async |r: DataRule| w.c.put_data_role(&admin(), role("more", vec![r], &[&u.id]), None).await.map_err(|e| e.to_string());
        assert!(put(rule(&["hosst"], None, false, &[])).await.unwrap_err().contains("did you mean host"));
        assert!(put(rule(&["host"], Some("enw == \"x\""), false, &[])).await.unwrap_err().contains("env"));
        assert!(put(rule(&["host"], Some("env == "), false, &[])).await.is_err());
        assert!(put(rule(&["*"], Some("nothing_has_it == 1"), false, &[])).await.is_err());
        assert!(put(rule(&["host"], None, false, &["seriall"])).await.unwrap_err().contains("did you mean serial"));
        let e = w.c.put_data_role(&w.alice, role("own", vec![rule(&["*"], None, true, &[])], &[&u.id]), None).await.unwrap_err();
        assert_eq!(e.code(), "access.denied");
        // A pattern: models that lack the attribute show nothing of themselves.
        w.c.create(&admin(), "rack", json!({"name": "r"}), None).await.unwrap();
        put(rule(&["*"], Some("env == \"hr\""), false, &[])).await.unwrap();
        assert_eq!(w.c.list(&w.alice, "host", &Query::default()).await.unwrap().items.len(), 2);
        assert!(w.c.list(&w.alice, "rack", &Query::default()).await.unwrap().items.is_empty());
        // What one rule hides no other shows.
        assert!(w.c.get(&w.alice, "host", &w.theirs).await.unwrap().attributes.get("serial").is_none());
        // An attribute that a rule names goes: its rule shows nothing, rather than everything.
        let mut m = w.c.model(&admin(), "rack").await.unwrap().model;
        m.attributes.push(serde_json::from_value(json!({"name": "floor", "kind": "integer"})).unwrap());
        w.c.update_model(&admin(), m.clone(), None).await.unwrap();
        w.c.put_data_role(&admin(), role("more", vec![rule(&["rack"], Some("floor == null"), false, &[])], &[&u.id]), None).await.unwrap();
        assert_eq!(w.c.list(&w.alice, "rack", &Query::default()).await.unwrap().items.len(), 1);
        m.attributes.pop();
        w.c.update_model(&admin(), m, None).await.unwrap();
        assert!(w.c.list(&w.alice, "rack", &Query::default()).await.unwrap().items.is_empty());
    }
}
