#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use proptest::strategy::ValueTree;

use crate::{By, CollectionSpec, Documents, Query};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("name", FieldKind::Text),
        Field::new("env", FieldKind::Text),
        Field::new("cpus", FieldKind::Integer),
        Field::new("load", FieldKind::Decimal),
        Field::new("up", FieldKind::Boolean),
        Field::new("seen", FieldKind::Timestamp),
        Field::new("tags", FieldKind::List(Box::new(FieldKind::Text))),
        Field::new("mounts", FieldKind::Table(vec![Field::new("at", FieldKind::Text), Field::new("used", FieldKind::Integer)])),
        Field::new("extra", FieldKind::Json),
        Field::new("any", FieldKind::List(Box::new(FieldKind::Json))),
        Field::new("ports", FieldKind::List(Box::new(FieldKind::Integer))),
    ])
}

fn fails(source: &str) -> FilterError {
    Filter::parse(source, &schema()).expect_err(source)
}

#[test]
fn unknown_field_names_the_nearest() {
    let e = fails("env == \"prod\" && nmae == \"x\"");
    assert_eq!((e.code, e.hint.as_deref(), e.position), ("filter.unknown_field", Some("name"), Some(17)));
    assert_eq!(fails("mounts.exists(m, m.usd > 1)").hint.as_deref(), Some("used"));
}

#[test]
fn mistakes_say_what_to_do() {
    for (source, code, word) in [
        ("env = \"prod\"", "filter.syntax", "valid CEL"),
        ("env == ", "filter.syntax", "valid CEL"),
        ("cpus == \"four\"", "filter.type", "a whole number"),
        ("tags == \"x\"", "filter.type", "a list"),
        ("env", "filter.type", "compare it"),
        ("seen > \"yesterday\"", "filter.type", "2026-01-31"),
        ("name.matches(\"a+\")", "filter.unsupported", "matches"),
        ("cpus + 1 > 2", "filter.unsupported", "+"),
        ("name.map(x, x) == \"a\"", "filter.unsupported", "a field"),
        ("mounts.at == \"/\"", "filter.type", "exists(row"),
        ("has(name)", "filter.syntax", "field != null"),
        ("load < null", "filter.type", "neither"),
        ("1 == 1", "filter.unsupported", "two constants"),
    ] {
        let e = fails(source);
        assert_eq!(e.code, code, "{source}: {e}");
        assert!(e.message.contains(word), "{source}: {e}");
    }
}

#[test]
fn bombs_are_refused() {
    assert_eq!(fails(&"(".repeat(100_000)).code, "filter.too_large");
    assert_eq!(fails(&format!("{}up", "(".repeat(40))).code, "filter.too_large");
    assert_eq!(fails(&vec!["up"; 2000].join("||")).code, "filter.too_large");
    let many = (0..3000).map(|_| "1").collect::<Vec<_>>().join(",");
    assert_eq!(fails(&format!("cpus in [{many}]")).code, "filter.too_large");
}

#[test]
fn null_is_two_valued() {
    let r = json!({"name": "a"});
    for (source, expect) in [
        ("env == null", true),
        ("env != \"prod\"", true),
        ("!(env == \"prod\")", true),
        ("cpus < 5", false),
        ("!(cpus < 5)", true),
        ("up", false),
        ("!up", true),
        ("has(extra.k) || name != null && env == null", true),
        ("size(tags) == 0", true),
        ("mounts.all(m, m.used > 5)", true),
        ("\"x\" in tags", false),
    ] {
        assert_eq!(Filter::parse(source, &schema()).unwrap().matches(&r), expect, "{source}");
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("ab".into()),
        Just("b".into()),
        Just("é\u{1F600}".into()),
        Just("%_'\\".into()),
        Just(String::new())
    ]
}

fn quoted(s: &str) -> String {
    json!(s).to_string()
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..3_i64).prop_map(|n| format!("2026-01-0{}T00:00:00.000Z", n + 1)),
        // The same instants in other words: a leap second, an offset; and what is later than every record was made.
        Just("2026-01-01T23:59:60Z".to_owned()),
        Just("2026-01-02T02:00:00+02:00".to_owned()),
        Just("2999-01-01T00:00:00Z".to_owned()),
    ]
}

/// Small ones, and neighbours that a double cannot tell apart.
fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..4_i64, 1 => (1_i64 << 53) - 1..(1_i64 << 53) + 3, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn decimal() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!(0.5)),
        Just(json!(1.0)),
        Just(json!(2)),
        Just(json!(-1.5)),
        Just(json!(9_007_199_254_740_993_i64)),
        Just(json!(1e20))
    ]
}

fn anything() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!("a")),
        Just(json!(1)),
        Just(json!(1.0)),
        Just(json!(9_007_199_254_740_993_i64)),
        Just(json!(true)),
        Just(json!("{")),
        Just(json!([1])),
        Just(json!({"k": "a"})),
        Just(json!({"k": {"null": 1}, "null": "a"})),
    ]
}

fn record() -> impl Strategy<Value = Json> {
    let mount = (text(), proptest::option::of(0..4_i64)).prop_map(|(at, used)| json!({"at": at, "used": used}));
    (
        proptest::option::of(text()),
        proptest::option::of(integer()),
        proptest::option::of(decimal()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(time()),
        proptest::option::of(proptest::collection::vec(text(), 0..3)),
        proptest::option::of(proptest::collection::vec(mount, 0..3)),
        proptest::option::of(anything()),
        proptest::option::of((proptest::collection::vec(anything(), 0..3), proptest::collection::vec(integer(), 0..3))),
    )
        .prop_map(|(name, cpus, load, up, seen, tags, mounts, extra, lists)| {
            let (any, ports) = lists.unzip();
            json!({"name": name, "cpus": cpus, "load": load, "up": up, "seen": seen, "tags": tags, "mounts": mounts, "extra": extra, "env": "a",
                "any": any, "ports": ports})
        })
}

fn comparison() -> impl Strategy<Value = String> {
    let op = prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")].boxed();
    let eq = prop_oneof![Just("=="), Just("!=")].boxed();
    prop_oneof![
        (op.clone(), text()).prop_map(|(o, t)| format!("name {o} {}", quoted(&t))),
        (op.clone(), integer()).prop_map(|(o, n)| format!("cpus {o} {}", n.max(-i64::MAX))),
        (op.clone(), prop_oneof![Just("2.5"), Just("-0.5"), Just("2.0"), Just("9007199254740992.0"), Just("1e300"), Just("-1e300")])
            .prop_map(|(o, n)| format!("cpus {o} {n}")),
        (op.clone(), prop_oneof![Just("0.5"), Just("9007199254740992"), Just("9007199254740993"), Just("1e20")])
            .prop_map(|(o, n)| format!("load {o} {n}")),
        proptest::collection::vec(prop_oneof![Just("0"), Just("1.0"), Just("2.5"), Just("null"), Just("9007199254740993")], 0..4)
            .prop_map(|l| format!("cpus in [{}]", l.join(", "))),
        proptest::collection::vec(prop_oneof![Just("1"), Just("\"a\""), Just("null"), Just("true")], 0..4)
            .prop_map(|l| format!("extra in [{}]", l.join(", "))),
        prop_oneof![Just("1"), Just("\"a\""), Just("true"), Just("9007199254740992.0")].prop_map(|v| format!("{v} in any")),
        prop_oneof![Just("1"), Just("2.0"), Just("2.5"), Just("9007199254740993")].prop_map(|v| format!("{v} in ports")),
        (
            prop_oneof![Just("exists"), Just("all")],
            prop_oneof![Just("x.k == \"a\""), Just("has(x.k)"), Just("x == 1"), Just("x[\"null\"] != null"), Just("x")]
        )
            .prop_map(|(m, c)| format!("any.{m}(x, {c})")),
        (prop_oneof![Just("exists"), Just("all")], op.clone(), integer()).prop_map(|(m, o, n)| format!("ports.{m}(p, p {o} {})", n.max(0))),
        (op.clone(), prop_oneof![Just("created_at"), Just("updated_at")]).prop_map(|(o, f)| format!("{f} {o} seen")),
        (op.clone(), time(), prop_oneof![Just("created_at"), Just("updated_at")]).prop_map(|(o, t, f)| format!("{f} {o} {t:?}")),
        op.clone().prop_map(|o| format!("created_at {o} updated_at")),
        op.clone().prop_map(|o| format!("version {o} cpus")),
        op.clone().prop_map(|o| format!("id {o} name")),
        (op.clone(), text()).prop_map(|(o, t)| format!("id {o} {}", quoted(&t))),
        prop_oneof![Just("0"), Just("0B"), Just("zé"), Just("")].prop_map(|t| format!("id.startsWith({t:?})")),
        prop_oneof![Just("extra.k[\"null\"] == 1"), Just("extra[\"null\"] == \"a\""), Just("has(extra.k.k)")].prop_map(str::to_owned),
        (op.clone(), 0..4_i64).prop_map(|(o, n)| format!("{n} {o} cpus")),
        op.clone().prop_map(|o| format!("cpus {o} 1.5")),
        (op.clone(), 0..3_i64).prop_map(|(o, n)| format!("load {o} {n}")),
        op.clone().prop_map(|o| format!("cpus {o} load")),
        op.clone().prop_map(|o| format!("name {o} env")),
        (eq.clone(), any::<bool>()).prop_map(|(o, b)| format!("up {o} {b}")),
        Just("up".to_owned()),
        (op.clone(), time()).prop_map(|(o, t)| format!("seen {o} timestamp({t:?})")),
        (eq.clone(), prop_oneof![Just("name"), Just("cpus"), Just("up"), Just("seen"), Just("tags"), Just("extra")])
            .prop_map(|(o, f)| format!("{f} {o} null")),
        Just("has(extra.k)".to_owned()),
        Just("mounts.exists(m, has(m.used))".to_owned()),
        proptest::collection::vec(text(), 0..3).prop_map(|l| format!("name in {}", json!(l))),
        text().prop_map(|t| format!("{} in tags", quoted(&t))),
        (prop_oneof![Just("startsWith"), Just("endsWith"), Just("contains")], text())
            .prop_map(|(f, t)| format!("name.{f}({})", quoted(&t))),
        (op.clone(), prop_oneof![Just("name"), Just("tags"), Just("mounts")], 0..3_i64).prop_map(|(o, f, n)| format!("size({f}) {o} {n}")),
        (prop_oneof![Just("exists"), Just("all")], op.clone(), 0..4_i64, text())
            .prop_map(|(m, o, n, t)| format!("mounts.{m}(m, m.used {o} {n} || m.at == {})", quoted(&t))),
        (prop_oneof![Just("exists"), Just("all")], text()).prop_map(|(m, t)| format!("tags.{m}(t, t.startsWith({}))", quoted(&t))),
        (eq, prop_oneof![Just("\"a\""), Just("1"), Just("true"), Just("1.0"), Just("9007199254740992.0")])
            .prop_map(|(o, v)| format!("extra {o} {v}")),
        Just("extra.k == \"a\"".to_owned()),
    ]
}

fn filter() -> impl Strategy<Value = String> {
    comparison().prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

crate::both_databases! {
    async fn the_largest_filters_are_answered(db: Db) {
        let docs = Documents::new(db.clone());
        let spec = CollectionSpec { name: "t".into(), schema: schema(), indexed: vec![], unique: vec![], history: false };
        let mut tx = db.begin().await.unwrap();
        docs.define(&mut tx, &spec).await.unwrap();
        docs.insert(&mut tx, "t", None, json!({"cpus": 7, "extra": 7, "ports": [7]}), By { actor: "test", why: None }).await.unwrap();
        tx.commit().await.unwrap();
        let list = (0..MAX_FILTER_TERMS * 5 - 10).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let chain = (0..MAX_FILTER_TERMS / 2 - 5).map(|n| format!("cpus == {n}")).collect::<Vec<_>>().join("||");
        for source in [format!("cpus in [{list}]"), format!("extra in [{list}]"), format!("!ports.exists(p, !(p in [{list}]))"), chain] {
            assert_eq!(docs.count("t", Some(&source)).await.unwrap_or_else(|e| panic!("{e}: {source}")), 1, "{source}");
        }
    }

    /// What comes from outside reaches the database as values only.
    async fn sql_in_a_filter_is_text(db: Db) {
        let docs = Documents::new(db.clone());
        let spec = CollectionSpec { name: "t".into(), schema: schema(), indexed: vec![], unique: vec![], history: false };
        let mut tx = db.begin().await.unwrap();
        docs.define(&mut tx, &spec).await.unwrap();
        let evil = "'; DROP TABLE collections; --\" ? $1 {{json}}";
        docs.insert(&mut tx, "t", Some(evil), json!({"name": evil, "extra": {evil: 1}}), By { actor: evil, why: Some(evil) }).await.unwrap();
        tx.commit().await.unwrap();
        for source in [format!("name == {}", quoted(evil)), format!("name.contains({})", quoted(evil)), format!("id in [{}]", quoted(evil))] {
            assert_eq!(docs.count("t", Some(&source)).await.unwrap(), 1, "{source}");
        }
        let refused = [format!("extra[{}] == 1", quoted(evil)), format!("{evil} == 1"), "extra[\"a'\"] == 1".to_owned()];
        for source in refused {
            assert!(matches!(docs.count("t", Some(&source)).await, Err(crate::DocumentError::Filter(_))), "{source}");
        }
        let mut q = Query { sort: Some((evil.into(), false)), ..Query::default() };
        assert!(docs.query("t", &q).await.is_err());
        q = Query { search: Some("'; drop ? $1".into()), sort: Some(("name".into(), true)), limit: 1, ..Query::default() };
        assert_eq!(docs.query("t", &q).await.unwrap().items.len(), 1);
        let mut bad = spec.clone();
        bad.schema.fields.push(Field::new("a') OR 1=1 --", FieldKind::Text));
        let mut tx = db.begin().await.unwrap();
        assert!(docs.define(&mut tx, &bad).await.is_err());
    }

    /// The property that the design rests on: both backends agree on every filter and record.
    async fn sql_and_memory_agree(db: Db) {
        let docs = Documents::new(db.clone());
        let spec = CollectionSpec { name: "t".into(), schema: schema(), indexed: vec!["name".into(), "cpus".into(), "seen".into()], unique: vec![], history: false };
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut tx = db.begin().await.unwrap();
        docs.define(&mut tx, &spec).await.unwrap();
        for n in 0..120 {
            let r = record().new_tree(&mut runner).unwrap().current();
            let id = ["0", "0b", "0B", "a-", "zé", "Z"].get(n % 12).map(|p| format!("{p}{n}"));
            docs.insert(&mut tx, "t", id.as_deref(), r, By { actor: "test", why: None }).await.unwrap();
        }
        tx.commit().await.unwrap();
        let mut all = docs.query("t", &Query { limit: 1000, ..Query::default() }).await.unwrap().items;
        for d in &mut all {
            d.data["id"] = json!(d.id);
            d.data["version"] = json!(d.version);
            d.data["created_at"] = json!(schema::time_text(d.created_at));
            d.data["updated_at"] = json!(schema::time_text(d.updated_at));
        }
        for _ in 0..1000 {
            let source = filter().new_tree(&mut runner).unwrap().current();
            let f = Filter::parse(&source, &schema()).unwrap_or_else(|e| panic!("{source}: {e}"));
            let found = docs.query("t", &Query { filter: Some(source.clone()), limit: 1000, ..Query::default() }).await.unwrap_or_else(|e| panic!("{source}: {e}"));
            let in_sql: Vec<&str> = found.items.iter().map(|d| d.id.as_str()).collect();
            let in_memory: Vec<&str> = all.iter().filter(|d| f.matches(&d.data)).map(|d| d.id.as_str()).collect();
            let differ: Vec<&Json> = all.iter().filter(|d| in_sql.contains(&d.id.as_str()) != f.matches(&d.data)).map(|d| &d.data).collect();
            assert_eq!(in_sql, in_memory, "{source}\n{differ:?}");
        }
    }
}
