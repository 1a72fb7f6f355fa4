//! Filters that follow links: SQL on both databases, memory, and that the two agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use plenum_store::documents::Surrounding;
use plenum_store::filter::{Link, LinkTable, Links, Named, Record};
use plenum_store::{By, CollectionSpec, Db, Documents, Field, FieldKind, Filter, FilterError, Query, Schema};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value as Json, json};

const TABLE: LinkTable = LinkTable { table: "links", kind: "kind", from: ("from_model", "from_id"), to: ("to_model", "to_id") };
const BY: By<'_> = By { actor: "test", why: None };
const NAMES: [(&str, &str, bool); 4] =
    [("runs_on", "runs_on", false), ("runs", "runs_on", true), ("part_of", "part_of", false), ("parts", "part_of", true)];

fn schema(of: &str) -> Schema {
    let text = |n: &str| Field::new(n, FieldKind::Text);
    let number = |n: &str| Field::new(n, FieldKind::Integer);
    Schema::new(match of {
        "host" => vec![text("name"), text("env"), number("cpus"), Field::new("tags", FieldKind::List(Box::new(FieldKind::Text)))],
        "app" => vec![text("name"), number("port"), number("release")],
        // The same word for another thing.
        "box" => vec![text("name"), text("release"), text("env")],
        _ => vec![text("name"), number("size")],
    })
}

const MODELS: [&str; 4] = ["app", "box", "host", "system"];

async fn define(db: &Db, docs: &Documents) {
    let mut tx = db.begin().await.unwrap();
    tx.execute_script(
        "CREATE TABLE links (kind TEXT NOT NULL, from_model TEXT NOT NULL, from_id TEXT NOT NULL, to_model TEXT NOT NULL, to_id TEXT NOT NULL)",
    )
    .await
    .unwrap();
    for m in MODELS {
        let indexed = if m == "host" { vec!["env".to_owned(), "name".to_owned()] } else { Vec::new() };
        let spec = CollectionSpec { name: format!("cmdb/{m}"), schema: schema(m), indexed, unique: vec![], history: false };
        docs.define(&mut tx, &spec).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// What filters over `home` may look at, of the models named.
async fn around(docs: &Documents, home: &str, seen: &[&str]) -> Links {
    let around = seen
        .iter()
        .map(|m| Surrounding { name: (*m).to_owned(), collection: format!("cmdb/{m}"), schema: schema(m), within: None })
        .collect();
    let links = NAMES.iter().map(|(n, k, b)| Link { name: (*n).to_owned(), kind: (*k).to_owned(), backward: *b }).collect();
    let named = |of: &str, source: &str| Named { of: of.to_owned(), source: source.to_owned() };
    let named = BTreeMap::from([
        ("web".to_owned(), named("host", "env == \"a\" || cpus == 2")),
        ("busy".to_owned(), named("host", "in_group(\"web\") && runs.exists(x, x.name == \"a\")")),
        ("ports".to_owned(), named("app", "port > 1")),
        ("circle".to_owned(), named("host", "in_group(\"circle\")")),
    ]);
    docs.links(TABLE, home, around, links, named).await.unwrap()
}

struct World {
    docs: Documents,
    /// By id: model and data.
    records: BTreeMap<String, (String, Json)>,
    links: Vec<(String, String, String)>,
}

impl World {
    async fn put(&mut self, db: &Db, model: &str, data: Json) -> String {
        let mut tx = db.begin().await.unwrap();
        let d = self.docs.insert(&mut tx, &format!("cmdb/{model}"), None, data, BY).await.unwrap();
        tx.commit().await.unwrap();
        let mut data = d.data;
        data["id"] = json!(d.id);
        data["version"] = json!(d.version);
        self.records.insert(d.id.clone(), (model.to_owned(), data));
        d.id
    }

    async fn link(&mut self, db: &Db, kind: &str, from: &str, to: &str) {
        let (a, b) = (self.records[from].0.clone(), self.records[to].0.clone());
        db.execute(
            "INSERT INTO links (kind, from_model, from_id, to_model, to_id) VALUES (?, ?, ?, ?, ?)",
            plenum_store::params![kind, a, from, b, to],
        )
        .await
        .unwrap();
        self.links.push((kind.to_owned(), from.to_owned(), to.to_owned()));
    }

    /// A record with what its links lead to, so many deep.
    fn expanded(&self, id: &str, depth: usize) -> Record {
        let (collection, data) = self.records[id].clone();
        let mut links = BTreeMap::new();
        if depth > 0 {
            for (name, kind, backward) in NAMES {
                let others = self.links.iter().filter(|(k, _, _)| k == kind).filter_map(|(_, from, to)| match backward {
                    false if from == id => Some(self.expanded(to, depth - 1)),
                    true if to == id => Some(self.expanded(from, depth - 1)),
                    _ => None,
                });
                links.insert(name.to_owned(), others.collect());
            }
        }
        Record { collection, data, links }
    }

    async fn ask(&self, home: &str, source: &str, links: &Arc<Links>) -> Vec<String> {
        let query = Query { filter: Some(source.to_owned()), links: Some(links.clone()), limit: 1000, ..Query::default() };
        let page = self.docs.query(&format!("cmdb/{home}"), &query).await.unwrap_or_else(|e| panic!("{source}: {e}"));
        page.items.into_iter().map(|d| d.id).collect()
    }
}

async fn world(db: &Db) -> World {
    let docs = Documents::new(db.clone());
    define(db, &docs).await;
    World { docs, records: BTreeMap::new(), links: Vec::new() }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("é")]
}

/// A condition on `v`, a record of a model; `None`: on the record itself.
fn on(v: Option<&'static str>, model: &'static str) -> BoxedStrategy<String> {
    let p = v.map(|v| format!("{v}.")).unwrap_or_default();
    let q = p.clone();
    let name = (word(), prop_oneof![Just("=="), Just("!="), Just("<")]).prop_map(move |(w, o)| format!("{p}name {o} {w:?}"));
    let own = match model {
        "host" => prop_oneof![
            (word(), prop_oneof![Just("=="), Just("!=")]).prop_map({
                let q = q.clone();
                move |(w, o)| format!("{q}env {o} {w:?}")
            }),
            (0..3_i64).prop_map({
                let q = q.clone();
                move |n| format!("{q}cpus >= {n}")
            }),
            word().prop_map({
                let q = q.clone();
                move |w| format!("{w:?} in {q}tags")
            }),
            word().prop_map({
                let q = q.clone();
                move |w| format!("{q}tags.all(t, t != {w:?})")
            }),
            Just(match v {
                Some(v) => format!("in_group({v}, \"web\")"),
                None => "in_group(\"web\")".to_owned(),
            }),
            Just(format!("{q}env == null")),
        ]
        .boxed(),
        "app" => (0..3_i64).prop_map(move |n| format!("{q}port > {n}")).boxed(),
        "system" => (0..3_i64).prop_map(move |n| format!("!({q}size < {n})")).boxed(),
        _ => Just(format!("{q}version == 1")).boxed(),
    };
    prop_oneof![name, own].boxed()
}

/// Conditions that follow links from `v`, at most `left` more.
fn linked(v: Option<&'static str>, model: &'static str, left: usize) -> BoxedStrategy<String> {
    let here = on(v, model);
    if left == 0 {
        return here;
    }
    let p = v.map(|v| format!("{v}.")).unwrap_or_default();
    let steps: Vec<(&'static str, &'static str)> = match model {
        "app" => vec![("runs_on", "host"), ("runs_on", "box"), ("part_of", "system")],
        "host" | "box" => vec![("runs", "app")],
        _ => vec![("parts", "app"), ("parts", "system"), ("part_of", "system")],
    };
    let variable = ["x", "y", "z"][left - 1];
    let step = proptest::sample::select(steps).prop_flat_map(move |(link, to)| {
        let p = p.clone();
        let inner = linked(Some(variable), to, left - 1);
        prop_oneof![
            4 => (prop_oneof![Just("exists"), Just("all")], inner).prop_map({
                let p = p.clone();
                move |(m, c)| format!("{p}{link}.{to}.{m}({variable}, {c})")
            }),
            // Whatever it leads to: what all of them have.
            1 => (prop_oneof![Just("exists"), Just("all")], word()).prop_map({
                let p = p.clone();
                move |(m, w)| format!("{p}{link}.{m}({variable}, {variable}.name == {w:?})")
            }),
            1 => (prop_oneof![Just("=="), Just(">"), Just("<="), Just("!="), Just(">="), Just("<")], 0..3_i64)
                .prop_map(move |(o, n)| format!("size({p}{link}) {o} {n}")),
        ]
    });
    (prop_oneof![3 => step, 1 => here.clone()], here, 0..4)
        .prop_map(|(a, b, how)| match how {
            0 => format!("({a} && {b})"),
            1 => format!("({a} || {b})"),
            2 => format!("!({a})"),
            _ => a,
        })
        .boxed()
}

plenum_store::both_databases! {
    async fn other_records_are_looked_at_both_ways(db: Db) {
        let mut w = world(&db).await;
        let (h1, h2) = (w.put(&db, "host", json!({"name": "h1", "env": "prod"})).await, w.put(&db, "host", json!({"name": "h2", "env": "test"})).await);
        let (a1, a2, a3) = (w.put(&db, "app", json!({"name": "a1", "port": 80})).await, w.put(&db, "app", json!({"name": "a2"})).await, w.put(&db, "app", json!({"name": "a3"})).await);
        let s = w.put(&db, "system", json!({"name": "shop"})).await;
        w.link(&db, "runs_on", &a1, &h1).await;
        w.link(&db, "runs_on", &a2, &h2).await;
        w.link(&db, "part_of", &a1, &s).await;
        w.link(&db, "part_of", &a3, &s).await;
        let apps = Arc::new(around(&w.docs, "app", &MODELS).await);
        let hosts = Arc::new(around(&w.docs, "host", &MODELS).await);
        for (source, expect) in [
            ("runs_on.exists(h, h.env == \"prod\")", vec![&a1]),
            ("!runs_on.exists(h, h.env == \"prod\")", vec![&a2, &a3]),
            ("runs_on.all(h, h.env == \"prod\")", vec![&a1, &a3]),
            ("runs_on.host.exists(h, h.name.startsWith(\"h\")) && port == 80", vec![&a1]),
            ("runs_on.box.exists(h, h.release == \"1\")", vec![]),
            ("size(runs_on) == 0", vec![&a3]),
            ("size(part_of.system) == 1", vec![&a1, &a3]),
            ("part_of.exists(s, s.parts.exists(o, o.runs_on.exists(h, h.env == \"prod\")))", vec![&a1, &a3]),
            ("part_of.exists(s, s.parts.exists(o, o.id != \"x\" && o.port == 80))", vec![&a1, &a3]),
        ] {
            assert_eq!(w.ask("app", source, &apps).await, expect.into_iter().cloned().collect::<Vec<_>>(), "{source}");
        }
        assert_eq!(w.ask("host", "runs.exists(a, a.port == 80 && a.part_of.exists(s, s.name == \"shop\"))", &hosts).await, [h1]);
        assert_eq!(w.ask("host", "in_group(\"web\") || in_group(\"busy\")", &hosts).await.len(), 0);
    }

    async fn what_may_not_be_read_is_not_looked_at(db: Db) {
        let mut w = world(&db).await;
        let h = w.put(&db, "host", json!({"name": "h1", "env": "prod"})).await;
        let a = w.put(&db, "app", json!({"name": "a1"})).await;
        w.link(&db, "runs_on", &a, &h).await;
        let all = Arc::new(around(&w.docs, "app", &MODELS).await);
        let without = Arc::new(around(&w.docs, "app", &["app", "box", "system"]).await);
        assert_eq!(w.ask("app", "size(runs_on) == 1", &all).await.len(), 1);
        assert_eq!(w.ask("app", "size(runs_on) == 0", &without).await.len(), 1);
        assert_eq!(w.ask("app", "runs_on.exists(h, h.name == \"h1\")", &without).await.len(), 0);
        let refused = Filter::parse_linked("runs_on.host.exists(h, h.env == \"prod\")", &schema("app"), &without).unwrap_err();
        assert_eq!(refused.code, "filter.unknown_model");
        // A field that is kept from somebody, and records that are.
        let mut narrow = around(&w.docs, "app", &MODELS).await;
        let host = narrow.neighbours.get_mut("host").unwrap();
        Arc::make_mut(host).schema = Schema::new(vec![Field::new("name", FieldKind::Text)]);
        let hidden = Filter::parse_linked("runs_on.exists(h, h.env == \"prod\")", &schema("app"), &narrow).unwrap_err();
        assert_eq!(hidden.code, "filter.unknown_field");
        Arc::make_mut(narrow.neighbours.get_mut("host").unwrap()).within = Some(Filter::parse("name == \"other\"", &schema("host")).unwrap());
        let narrow = Arc::new(narrow);
        for (source, n) in [("size(runs_on) > 0", 0), ("size(runs_on) == 1", 0), ("runs_on.exists(h, h.name == \"h1\")", 0), ("runs_on.all(h, h.name != \"h1\")", 1)] {
            assert_eq!(w.ask("app", source, &narrow).await.len(), n, "{source}");
        }
    }

    async fn a_plan_names_the_index_or_says_that_all_is_read(db: Db) {
        let mut w = world(&db).await;
        let mut tx = db.begin().await.unwrap();
        for n in 0..2000 {
            w.docs.insert(&mut tx, "cmdb/host", None, json!({"name": format!("h{n}"), "env": if n % 50 == 0 { "a" } else { "b" }, "cpus": n}), BY).await.unwrap();
        }
        tx.commit().await.unwrap();
        let a = w.put(&db, "app", json!({"name": "a1"})).await;
        db.execute("ANALYZE", &[]).await.unwrap();
        let links = Arc::new(around(&w.docs, "app", &MODELS).await);
        let plan = |filter: &str| {
            let (docs, filter) = (w.docs.clone(), filter.to_owned());
            async move { docs.explain("cmdb/host", &Query { filter: Some(filter), ..Query::default() }).await.unwrap() }
        };
        let found = plan("name == \"h7\"").await;
        assert!(!found.scans, "{found:?}");
        assert_eq!(found.steps[0].index, Some(vec!["name".to_owned()]), "{found:?}");
        assert!((1900..2100).contains(&found.documents), "{found:?}");
        assert!(plan("cpus == 7").await.scans);
        assert!(!plan("env == \"a\" && cpus > 7").await.scans);
        let query = Query { filter: Some("runs_on.host.exists(h, h.name == \"h7\")".into()), links: Some(links), ..Query::default() };
        w.docs.explain("cmdb/app", &query).await.unwrap();
        assert_eq!(w.docs.count("cmdb/app", Some(&format!("id == {a:?}"))).await.unwrap(), 1);
    }

    async fn wrong_words_are_named(db: Db) {
        let mut w = world(&db).await;
        let a = w.put(&db, "app", json!({"name": "a1"})).await;
        for (model, n) in [("host", 1), ("box", 1)] {
            for _ in 0..n {
                let to = w.put(&db, model, json!({"name": "x"})).await;
                w.link(&db, "runs_on", &a, &to).await;
            }
        }
        let links = around(&w.docs, "app", &MODELS).await;
        let fails = |source: &str| -> FilterError { Filter::parse_linked(source, &schema("app"), &links).expect_err(source) };
        for (source, code, word) in [
            ("runs_onn.exists(h, h.env == \"a\")", "filter.unknown_field", "runs_on"),
            ("runs_on.exists(h, h.enw == \"a\")", "filter.unknown_field", "env"),
            ("runs_on.hots.exists(h, h.env == \"a\")", "filter.unknown_model", "host"),
            ("runs_on == \"x\"", "filter.type", "exists"),
            ("runs_on.exists(h, h)", "filter.type", "h.id"),
            ("runs_on.exists(h, h.cpus == \"a\")", "filter.type", "a whole number"),
            ("in_group(\"wib\")", "filter.unknown_group", "web"),
            ("in_group(\"web\")", "filter.type", "host"),
            ("size(runs_on) == \"a\"", "filter.type", "whole number"),
            (
                "runs_on.exists(a, a.runs.exists(b, b.runs_on.exists(c, c.runs.exists(d, d.port == 1))))",
                "filter.too_large",
                "at most 3 links",
            ),
        ] {
            let e = fails(source);
            assert_eq!(e.code, code, "{source}: {e}");
            assert!(e.to_string().contains(word), "{source}: {e}");
        }
        // A word of two meanings.
        let b = w.put(&db, "box", json!({"name": "b", "release": "1"})).await;
        let s = w.put(&db, "system", json!({"name": "s"})).await;
        w.link(&db, "part_of", &b, &s).await;
        w.link(&db, "part_of", &a, &s).await;
        let mixed = around(&w.docs, "system", &MODELS).await;
        let e = Filter::parse_linked("parts.exists(p, p.release == 1)", &schema("system"), &mixed).unwrap_err();
        assert!(e.message.contains("in app") && e.message.contains("in box"), "{e}");
        let hosts = around(&w.docs, "host", &MODELS).await;
        let e = Filter::parse_linked("in_group(\"circle\")", &schema("host"), &hosts).unwrap_err();
        assert_eq!(e.code, "filter.too_large");
    }

    /// Both backends agree on filters that follow links, on every record.
    async fn sql_and_memory_agree_on_links(db: Db) {
        let mut w = world(&db).await;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut ids: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for n in 0..48 {
            let model = MODELS[n % 4];
            let mut any = |values: &[Json]| proptest::sample::select(values.to_vec()).new_tree(&mut runner).unwrap().current();
            let texts = [json!("a"), json!("b"), json!("é"), Json::Null];
            let numbers = [json!(0), json!(1), json!(2), Json::Null];
            let data = match model {
                "host" => json!({"name": any(&texts), "env": any(&texts), "cpus": any(&numbers), "tags": any(&[json!(["a"]), json!(["b", "é"]), json!([]), Json::Null])}),
                "app" => json!({"name": any(&texts), "port": any(&numbers)}),
                "box" => json!({"name": any(&texts), "release": any(&texts), "env": any(&texts)}),
                _ => json!({"name": any(&texts), "size": any(&numbers)}),
            };
            let id = w.put(&db, model, data).await;
            ids.entry(model).or_default().push(id);
        }
        for (kind, from, to, n) in [("runs_on", "app", "host", 10), ("runs_on", "app", "box", 3), ("part_of", "app", "system", 12), ("part_of", "system", "system", 5)] {
            for _ in 0..n {
                let pick = |ids: &[String], runner: &mut _| proptest::sample::select(ids.to_vec()).new_tree(runner).unwrap().current();
                let (a, b) = (pick(&ids[from], &mut runner), pick(&ids[to], &mut runner));
                if a != b && !w.links.contains(&(kind.to_owned(), a.clone(), b.clone())) {
                    w.link(&db, kind, &a, &b).await;
                }
            }
        }
        for home in MODELS {
            let links = Arc::new(around(&w.docs, home, &MODELS).await);
            for _ in 0..60 {
                let source = linked(None, home, 3).new_tree(&mut runner).unwrap().current();
                let f = Filter::parse_linked(&source, &schema(home), &links).unwrap_or_else(|e| panic!("{home}: {source}: {e}"));
                let in_sql = w.ask(home, &source, &links).await;
                let in_memory: Vec<String> = ids[home].iter().filter(|id| f.matches_record(&w.expanded(id, 3))).cloned().collect();
                let mut sorted = in_memory.clone();
                sorted.sort();
                assert_eq!(in_sql, sorted, "{home}: {source}");
            }
        }
    }
}
