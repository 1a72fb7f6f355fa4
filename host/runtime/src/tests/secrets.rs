//! Secret settings at rest, on both databases.

use plenum_store::params;
use plenum_store::secrets::Secrets;
use serde_json::json;

use super::*;

const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const TWO: &str = "0202020202020202020202020202020202020202020202020202020202020202";

/// All that the tables of plugins hold, as text.
async fn stored(w: &World) -> String {
    let mut text = String::new();
    for table in ["plugins", "plugin_previous"] {
        for row in w.db.fetch_all(&format!("SELECT settings FROM {table}"), &[]).await.unwrap() {
            text.push_str(&row.json("settings").unwrap().to_string());
        }
    }
    text
}

fn keys(text: &str) -> Secrets {
    Secrets::parse(text, "the tests' key").unwrap()
}

plenum_store::both_databases! {
    migrations: SETS;

    async fn a_secret_is_sealed_and_the_plugin_has_it(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        w.plugins.set_settings(&admin(), "demo", json!({"level": "high", "token": "s3cret-s3cret"})).await.unwrap();
        let text = stored(&w).await;
        assert!(text.contains("high") && text.contains("$sealed") && !text.contains("s3cret"), "{text}");
        let both = json!({"level": "high", "token": "s3cret-s3cret"});
        assert_eq!(w.action("settings", json!({})).await.unwrap(), both);
        assert_eq!(w.plugins.settings(&admin(), "demo").await.unwrap().1, json!({"level": "high", "token": true}));
        let w = w.restarted().await;
        assert_eq!(w.action("settings", json!({})).await.unwrap(), both);
        // Another grant, switched off and on, another setting: it stays.
        w.plugins.set_grant(&admin(), "demo", &granted(&["store", "events.read"])).await.unwrap();
        w.plugins.disable(&admin(), "demo").await.unwrap();
        w.plugins.enable(&admin(), "demo").await.unwrap();
        w.plugins.set_settings(&admin(), "demo", json!({"level": "low"})).await.unwrap();
        assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "low", "token": "s3cret-s3cret"}));
        // Moved to another plugin's row, or another setting, it does not open.
        let row = w.db.fetch_optional("SELECT settings FROM plugins", &[]).await.unwrap().unwrap().json("settings").unwrap();
        w.db.execute("UPDATE plugins SET settings = ?", params![json!({"level": row["token"]})]).await.unwrap();
        let w = w.restarted().await;
        let shown = w.plugins.plugin(&admin(), "demo").await.unwrap();
        assert_eq!(shown.status, crate::Status::Failed);
        assert!(shown.status_reason.as_deref().unwrap().contains("plugin/demo/level"), "{shown:?}");
        w.end().await;
    }

    async fn plain_ones_of_an_earlier_version_are_sealed_at_start(db: Db) {
        let w = World::new(db).await;
        w.installed("").await.unwrap();
        w.db.execute("UPDATE plugins SET settings = ?", params![json!({"level": "high", "token": "s3cret-plain"})]).await.unwrap();
        w.db.execute("DELETE FROM secret_keys", &[]).await.unwrap();
        let w = w.restarted().await;
        assert!(!stored(&w).await.contains("s3cret"));
        assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "high", "token": "s3cret-plain"}));
        w.end().await;
    }

    async fn a_key_is_replaced_and_another_one_is_refused(db: Db) {
        let w = World::new(db).await;
        Secrets::forget_keys(&w.db).await.unwrap();
        let w = w.with_secrets(keys(ONE)).await.unwrap();
        w.installed("").await.unwrap();
        w.plugins.set_settings(&admin(), "demo", json!({"token": "s3cret-s3cret"})).await.unwrap();
        let before = stored(&w).await;
        // Another key: it does not start, says what to do, and changes nothing.
        let (e, w) = w.with_secrets(keys(TWO)).await.unwrap_err();
        assert!(e.to_string().contains(keys(ONE).key_id()) && e.to_string().contains("backup"), "{e}");
        assert_eq!(stored(&w).await, before);
        // The new one before the old one, then alone.
        let both = keys(&format!("{TWO}\n{ONE}"));
        let w = w.with_secrets(both.clone()).await.unwrap();
        assert_ne!(stored(&w).await, before);
        both.retire_older(&w.db).await.unwrap();
        let w = w.with_secrets(keys(TWO)).await.unwrap();
        assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "low", "token": "s3cret-s3cret"}));
        // A key that is lost: what nobody can open goes, the rest stays.
        assert_eq!(crate::forget_secret_settings(&w.db).await.unwrap(), 1);
        Secrets::forget_keys(&w.db).await.unwrap();
        let w = w.with_secrets(keys(ONE)).await.unwrap();
        assert_eq!(w.action("settings", json!({})).await.unwrap(), json!({"level": "low"}));
        w.end().await;
    }
}
