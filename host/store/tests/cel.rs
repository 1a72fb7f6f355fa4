//! The simple tests of the CEL specification, for the part of CEL that filters have: `cel_simple.json` has them with the first operand moved
//! into a record, since a filter is about one. Each is evaluated in memory and by the database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use plenum_store::{By, CollectionSpec, Documents, Field, FieldKind, Filter, Schema};
use serde_json::{Value as Json, json};

/// Where filters mean to differ: these tests hold a whole number to be equal to the double that it is rounded to, and filters compare exactly.
const EXACT: [&str; 2] = ["comparisons/lt_literal/not_lt_dyn_int_big_lossy_double", "comparisons/gte_literal/gte_dyn_int_big_lossy_double"];

fn kind(name: &str) -> FieldKind {
    match name.strip_prefix("list:") {
        Some(of) => FieldKind::List(Box::new(kind(of))),
        None => match name {
            "integer" => FieldKind::Integer,
            "decimal" => FieldKind::Decimal,
            "boolean" => FieldKind::Boolean,
            "timestamp" => FieldKind::Timestamp,
            _ => FieldKind::Text,
        },
    }
}

plenum_store::both_databases! {
    async fn the_simple_tests_of_the_specification(db: Db) {
        let data: Json = serde_json::from_str(include_str!("cel_simple.json")).unwrap();
        let cases = data["cases"].as_array().unwrap();
        let docs = Documents::new(db.clone());
        let mut collections: BTreeMap<String, Schema> = BTreeMap::new();
        let (mut right, mut wrong, mut refused) = (0_u32, Vec::new(), Vec::new());
        let mut tx = db.begin().await.unwrap();
        for c in cases {
            let name = c["kind"].as_str().unwrap_or("text");
            if !collections.contains_key(name) {
                let schema = Schema::new(vec![Field::new("f", kind(name))]);
                let spec = CollectionSpec { name: name.to_owned(), schema: schema.clone(), indexed: vec![], unique: vec![], history: false };
                docs.define(&mut tx, &spec).await.unwrap();
                collections.insert(name.to_owned(), schema);
            }
            let id = c["test"].as_str().unwrap();
            docs.insert(&mut tx, name, Some(id), json!({"f": c["value"]}), By { actor: "test", why: None }).await.unwrap();
        }
        tx.commit().await.unwrap();
        for c in cases {
            let (name, test, source) = (c["kind"].as_str().unwrap_or("text"), c["test"].as_str().unwrap(), c["filter"].as_str().unwrap());
            let filter = match Filter::parse(source, &collections[name]) {
                Ok(f) => f,
                Err(e) => {
                    refused.push(format!("{test}: {source}: {e}"));
                    continue;
                }
            };
            let in_memory = filter.matches(&json!({"f": c["value"]}));
            let in_sql = docs.count(name, Some(&format!("id == {} && ({source})", json!(test)))).await.unwrap_or_else(|e| panic!("{test}: {source}: {e}")) == 1;
            if (in_memory, in_sql) == (c["holds"] == json!(true), c["holds"] == json!(true)) {
                right += 1;
            } else {
                wrong.push(format!("{test}: {source} of {}: memory {in_memory}, database {in_sql}, expected {}", c["value"], c["holds"]));
            }
        }
        let asked = right as usize + wrong.len();
        println!(
            "CEL simple tests ({}): of {} tests in these files {} can be said of one record; {} are refused by name, {right} of {asked} are right ({:.1} %)",
            data["source"].as_str().unwrap(),
            data["tests_in_these_files"],
            cases.len(),
            refused.len(),
            100.0 * f64::from(right) / asked as f64,
        );
        for line in refused.iter().chain(&wrong) {
            println!("  {line}");
        }
        assert_eq!(wrong.len(), EXACT.len(), "{wrong:#?}");
        assert!(wrong.iter().all(|w| EXACT.iter().any(|e| w.starts_with(e))), "{wrong:#?}");
        assert!(right > 200, "{right}");
    }
}
