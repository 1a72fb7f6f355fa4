//! A plugin's data out and in again, on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use plenum_access::Role;
use plenum_store::{By, CollectionSpec, Documents, Query, Schema};
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt;

use crate::tests::{SETS, World, admin, soon, user};
use crate::{HostLimits, ImportOptions, ImportReport, RuntimeError};

const BY: By<'_> = By { actor: "tests", why: None };
const THINGS: &str = "plugin/demo/things";
const KEYS: &str = "plugin/demo/~keyvalue";

async fn fill(w: &World, n: i32) {
    let docs = Documents::new(w.db.clone());
    let mut tx = w.db.begin().await.unwrap();
    let keys = CollectionSpec { name: KEYS.into(), schema: Schema::default(), indexed: vec![], unique: vec![], history: false };
    docs.define(&mut tx, &keys).await.unwrap();
    docs.insert(&mut tx, KEYS, Some("cache/a"), json!({"value": "aGVsbG8="}), BY).await.unwrap();
    for i in 0..n {
        let data = json!({"name": format!("thing {i}"), "more": {"text": "größer 磁盘", "list": [1, 2.5, null, true]}});
        docs.insert(&mut tx, THINGS, Some(&format!("t{i:05}")), data, BY).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = w.db.begin().await.unwrap();
    docs.update(&mut tx, THINGS, "t00000", json!({"name": "changed"}), None, BY).await.unwrap();
    tx.commit().await.unwrap();
}

/// All that the plugin has, by collection.
async fn all(w: &World) -> BTreeMap<String, Vec<plenum_store::Document>> {
    let docs = Documents::new(w.db.clone());
    let mut found = BTreeMap::new();
    for name in docs.collections("plugin/").await.unwrap() {
        let mut query = Query { limit: 1000, ..Query::default() };
        let mut items = Vec::new();
        loop {
            let page = docs.query(&name, &query).await.unwrap();
            items.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        found.insert(name, items);
    }
    found
}

async fn export(w: &World, settings: bool) -> String {
    let mut e = soon(w.plugins.export_data(&admin(), "demo", settings)).await.unwrap();
    let mut text = String::new();
    e.file.read_to_string(&mut text).await.unwrap();
    assert_eq!(e.bytes, text.len() as u64);
    assert!(e.name.starts_with("demo-0.1.0-20") && e.name.ends_with(".jsonl"), "{}", e.name);
    text
}

async fn import(w: &World, text: &str, options: ImportOptions) -> Result<ImportReport, RuntimeError> {
    let mut upload = w.plugins.receive_data(&admin(), "demo").await?;
    // In pieces that end in the middle of lines and letters.
    for piece in text.as_bytes().chunks(1_000) {
        upload.write(piece).await?;
    }
    soon(w.plugins.import_data(&admin(), "demo", upload, options)).await
}

/// Nothing of an import is left beside the plugin's collections.
async fn nothing_beside(w: &World) {
    assert_eq!(Documents::new(w.db.clone()).collections("import/").await.unwrap(), Vec::<String>::new());
}

fn without_sum(text: &str) -> String {
    let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
    let mut last: Json = serde_json::from_str(last).unwrap();
    last["end"].as_object_mut().unwrap().remove("sha256").unwrap();
    format!("{rest}\n{last}\n")
}

plenum_store::both_databases! {
    migrations: SETS;

    async fn what_goes_out_comes_in_as_it_was(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        w.plugins.set_settings(&admin(), "demo", json!({"level": "high", "token": "hunter2-hunter2"})).await.unwrap();
        fill(&w, 1_203).await;
        let before = all(&w).await;
        let text = export(&w, true).await;
        assert!(!text.contains("hunter2"), "what is secret stays");
        let first: Json = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&first["plugin"], &first["version"], &first["settings"]), (&json!("demo"), &json!("0.1.0"), &json!({"level": "high"})));
        assert_eq!(text.lines().count(), 1_203 + 1 + 2);
        assert!(!export(&w, false).await.contains("\"level\""));

        // On the same host, after it was spoilt.
        let docs = Documents::new(w.db.clone());
        let mut tx = w.db.begin().await.unwrap();
        docs.delete(&mut tx, THINGS, "t00001", None, BY).await.unwrap();
        docs.update(&mut tx, THINGS, "t00002", json!({"name": "spoilt"}), None, BY).await.unwrap();
        docs.insert(&mut tx, THINGS, Some("new"), json!({"name": "thing 1"}), BY).await.unwrap();
        tx.commit().await.unwrap();
        w.plugins.set_settings(&admin(), "demo", json!({"level": "low", "token": "another-secret"})).await.unwrap();
        let spoilt = all(&w).await;
        let tried = import(&w, &text, ImportOptions { dry_run: true, settings: true }).await.unwrap();
        assert_eq!(all(&w).await, spoilt, "tried only");
        assert_eq!((tried.records, tried.replaces, tried.settings.as_slice()), (1_204, 1_204, ["level".to_owned()].as_slice()));
        assert_eq!(tried.warnings, Vec::<String>::new());
        let things = tried.collections.iter().find(|c| c.name == "things").unwrap();
        assert_eq!((things.records, things.replaces), (1_203, 1_203));
        let done = import(&w, &text, ImportOptions { dry_run: false, settings: true }).await.unwrap();
        assert_eq!((done.dry_run, &done.collections), (false, &tried.collections));
        assert_eq!(all(&w).await, before);
        nothing_beside(&w).await;
        // The plugin sees the settings, and its secret is the one that this host has.
        let seen = w.action("settings", json!({})).await.unwrap();
        assert_eq!(seen, json!({"level": "high", "token": "another-secret"}));
        // And what is unique is unique again.
        let mut tx = w.db.begin().await.unwrap();
        docs.insert(&mut tx, THINGS, Some("twice"), json!({"name": "thing 7"}), BY).await.unwrap_err();
        tx.rollback().await.unwrap();
        let audit = w.access.audit_log(&plenum_access::AuditQuery { action_prefix: Some("plugin.data_".into()), limit: 10, ..Default::default() }).await.unwrap();
        let told: Vec<&str> = audit.iter().map(|e| e.action.as_str()).collect();
        assert_eq!(told, ["plugin.data_imported", "plugin.data_exported", "plugin.data_exported"]);
        w.end().await;
    }

    async fn a_bad_file_changes_nothing_and_says_where(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        fill(&w, 3).await;
        let before = all(&w).await;
        let good = export(&w, false).await;
        let free = without_sum(&good);
        let lines: Vec<&str> = good.lines().collect();
        let cases: Vec<(String, &str, &str)> = vec![
            (String::new(), "plugin.data_invalid", "it is empty"),
            ("hello\n".into(), "plugin.data_invalid", "no file of a plugin's data"),
            ("{\"a\": 1}\n".into(), "plugin.data_invalid", "plugin-data"),
            (good.replacen("\"format\":1", "\"format\":2", 1), "plugin.data_format", "upgrade the host"),
            (good.replacen("\"plugin\":\"demo\"", "\"plugin\":\"other\"", 1), "plugin.data_other", "the plugin other"),
            // Cut anywhere.
            (good[..good.len() / 2].into(), "plugin.data_i", ""),
            (lines[..lines.len() - 1].join("\n"), "plugin.data_incomplete", "a part of it is missing"),
            (good.replacen("thing 1", "thing X", 1), "plugin.data_changed", "not as it was written"),
            (free.replacen(lines[3], "", 1).replacen("\n\n", "\n", 1), "plugin.data_invalid", "made with 4 records and has 3"),
            (free.replacen("\"collection\":\"things\"", "\"collection\":\"nothing\"", 1), "plugin.data_invalid", "line 2"),
            (free.replacen("\"name\":\"thing 2\"", "\"name\":7", 1), "plugin.data_invalid", "line 4: /name has to be text"),
            (free.replacen("\"name\":\"thing 2\"", "\"name\":\"thing 1\"", 1), "plugin.data_invalid", "line 4: another record already has the same name"),
            (free.replacen("\"id\":\"t00002\"", "\"id\":\"t00001\"", 1), "plugin.data_invalid", "line 4: another record already has the same id"),
            (free.replacen("\"version\":1", "\"version\":0", 1), "plugin.data_invalid", "line 3"),
            (format!("{free}{}\n", lines[2]), "plugin.data_invalid", "nothing comes after"),
            (free.replacen("\"name\":\"things\"", "\"name\":\"../other/things\"", 1), "plugin.data_invalid", "no name of a collection"),
        ];
        for (text, code, says) in cases {
            let e = import(&w, &text, ImportOptions::default()).await.expect_err(says);
            assert!(e.code().starts_with(code) && e.to_string().contains(says), "{} {e}\n{}", e.code(), &text[..text.len().min(300)]);
            assert_eq!(e.status(), 422, "{e}");
            assert_eq!(all(&w).await, before, "{e}");
            nothing_beside(&w).await;
        }
        // Changed on purpose.
        import(&w, &free.replacen("thing 1", "thing X", 1), ImportOptions::default()).await.unwrap();
        assert!(all(&w).await[THINGS].iter().any(|d| d.data["name"] == "thing X"));
        // Of another version: said, and done.
        let done = import(&w, &free.replacen("0.1.0", "0.0.9", 1), ImportOptions::default()).await.unwrap();
        assert!(done.warnings[0].contains("0.0.9") && done.warnings[0].contains("0.1.0"), "{:?}", done.warnings);
        // Only for who manages plugins.
        for who in [user(Role::Operator), user(Role::Viewer)] {
            assert_eq!(w.plugins.export_data(&who, "demo", false).await.unwrap_err().code(), "access.denied");
            assert_eq!(w.plugins.receive_data(&who, "demo").await.unwrap_err().code(), "access.denied");
        }
        assert_eq!(w.plugins.export_data(&admin(), "none", false).await.unwrap_err().code(), "plugin.not_found");
        w.end().await;
    }

    async fn an_import_that_died_leaves_nothing_for_long(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        fill(&w, 2).await;
        let before = all(&w).await;
        let docs = Documents::new(w.db.clone());
        let now = plenum_store::now_ms();
        let mut tx = w.db.begin().await.unwrap();
        for begun in [now - 2 * 3_600_000, now] {
            let name = format!("import/demo/{begun}-x/things");
            docs.define(&mut tx, &CollectionSpec { name, schema: Schema::default(), indexed: vec![], unique: vec![], history: false }).await.unwrap();
        }
        tx.commit().await.unwrap();
        let w = w.restarted().await;
        assert_eq!(docs.collections("import/").await.unwrap(), [format!("import/demo/{now}-x/things")], "one that may still be at work stays");
        assert_eq!(all(&w).await, before);
        w.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_plugin_may_store_is_refused() {
    let w = World::limited(HostLimits { store_bytes: 200_000, ..HostLimits::default() }).await;
    w.installed("").await.unwrap();
    fill(&w, 2).await;
    let before = all(&w).await;
    let good = without_sum(&export(&w, false).await);
    let (rest, _) = good.trim_end().rsplit_once('\n').unwrap();
    let line = |i: usize, size: usize| json!({"collection": "things", "id": format!("x{i}"), "version": 1, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "data": {"more": "y".repeat(size)}});
    let text = format!("{rest}\n{}\n{}\n{}\n{}\n", line(1, 90_000), line(2, 90_000), line(3, 90_000), json!({"end": {"records": 6}}));
    let e = import(&w, &text, ImportOptions::default()).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("store.quota", 413), "{e}");
    let mut upload = w.plugins.receive_data(&admin(), "demo").await.unwrap();
    let piece = vec![b'x'; 500_000];
    let refused = async {
        for _ in 0..10 {
            upload.write(&piece).await?;
        }
        Ok::<_, RuntimeError>(())
    };
    let e = refused.await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.data_too_large", 413), "{e}");
    assert_eq!(all(&w).await, before);
    nothing_beside(&w).await;
    w.end().await;
}
