//! Secret attributes.

use plenum_store::secrets::Secrets;

use super::*;

async fn vault(db: &Db) -> (Cmdb, Instance) {
    let c = cmdb(db).await.with_secrets(Secrets::throwaway().unwrap());
    let m = json!({"name": "gadget", "display": "name", "attributes": [
        {"name": "name", "kind": "text", "required": true}, {"name": "owner", "kind": "text"}, {"name": "password", "kind": "secret"}]});
    c.create_model(&admin(), serde_json::from_value(m).unwrap()).await.unwrap();
    let made = c.create(&admin(), "gadget", json!({"name": "a"}), None).await.unwrap();
    (c, made)
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn a_secret_is_set_and_shown_to_nobody(db: Db) {
        let (c, made) = vault(&db).await;
        let state = |s: &[crate::secrets::SecretState]| (s.len(), s[0].set, s[0].set_by.clone());
        assert_eq!(state(&c.secrets_of(&user(Role::Viewer), "gadget", &made.id).await.unwrap()), (1, false, None));
        c.set_secret(&user(Role::Operator), "gadget", &made.id, "password", Some("hunter2")).await.unwrap();
        assert_eq!(state(&c.secrets_of(&user(Role::Viewer), "gadget", &made.id).await.unwrap()), (1, true, Some("alice".into())));
        c.update(&admin(), "gadget", &made.id, json!({"owner": "bob"}), None, None).await.unwrap();
        // Nowhere in the database as it is, but for the sealed one.
        let mut all = Vec::new();
        all.push(json!(c.get(&admin(), "gadget", &made.id).await.unwrap()));
        all.push(json!(c.history(&admin(), "gadget", &made.id, None, 10).await.unwrap()));
        for table in ["events", "audit_log", "cmdb_secrets", "document_history"] {
            for r in db.fetch_all(&format!("SELECT * FROM {table}"), &[]).await.unwrap() {
                for column in ["data", "before", "after", "sealed", "reason"] {
                    all.extend(r.opt_text(column).ok().flatten().map(Json::from));
                    all.extend(r.json(column).ok());
                }
            }
        }
        assert!(all.len() > 10 && all.iter().all(|v| !v.to_string().contains("hunter2")), "{all:?}");
        for filter in ["password == \"hunter2\"", "password != null", "password.startsWith(\"h\")"] {
            let e = c.list(&admin(), "gadget", &Query { filter: Some(filter.into()), ..Query::default() }).await.unwrap_err();
            assert_eq!(e.code(), "filter.unknown_field", "{filter}");
        }
        let sorted = Query { sort: Some(("password".into(), false)), ..Query::default() };
        assert!(c.list(&admin(), "gadget", &sorted).await.is_err());
        assert!(found_by(&c, &admin(), "hunter2").await.items.is_empty());
        // No part of the record, at any door.
        for attributes in [json!({"name": "b", "password": "x"}), json!({"password": "x"})] {
            let e = c.create(&admin(), "gadget", attributes.clone(), None).await.unwrap_err();
            assert!(e.to_string().contains("secret"), "{e}");
            let e = c.update(&admin(), "gadget", &made.id, attributes, None, None).await.unwrap_err();
            assert!(e.to_string().contains("secret"), "{e}");
        }
    }

    async fn a_secret_is_revealed_with_a_reason_to_those_who_may(db: Db) {
        let (c, made) = vault(&db).await;
        let reveal = |who: Principal, reason: &'static str| {
            let (c, id) = (c.clone(), made.id.clone());
            async move { c.reveal_secret(&who, "gadget", &id, "password", reason).await }
        };
        assert_eq!(reveal(admin(), "restore").await.unwrap_err().code(), "cmdb.not_found");
        c.set_secret(&admin(), "gadget", &made.id, "password", Some("one")).await.unwrap();
        c.set_secret(&admin(), "gadget", &made.id, "password", Some("two")).await.unwrap();
        for role in [Role::Viewer, Role::Operator] {
            assert_eq!(reveal(user(role), "restore").await.unwrap_err().code(), "access.denied");
        }
        assert_eq!(c.set_secret(&user(Role::Viewer), "gadget", &made.id, "password", Some("x")).await.unwrap_err().code(), "access.denied");
        assert_eq!(reveal(admin(), " ").await.unwrap_err().code(), "cmdb.invalid_instance");
        assert_eq!(reveal(admin(), "restore of the backup").await.unwrap(), "two");
        let rows = db.fetch_all("SELECT action FROM audit_log WHERE action LIKE 'cmdb.secret.%' ORDER BY seq", &[]).await.unwrap();
        let actions: Vec<String> = rows.iter().map(|r| r.text("action").unwrap()).collect();
        assert_eq!(actions, ["cmdb.secret.set", "cmdb.secret.rotated", "cmdb.secret.revealed"]);
        let e = c.reveal_secret(&admin(), "gadget", &made.id, "name", "restore").await.unwrap_err();
        assert!(e.to_string().contains("no secret"), "{e}");
        c.set_secret(&admin(), "gadget", &made.id, "password", None).await.unwrap();
        assert_eq!(reveal(admin(), "restore").await.unwrap_err().code(), "cmdb.not_found");
        // Gone with its record.
        c.set_secret(&admin(), "gadget", &made.id, "password", Some("one")).await.unwrap();
        c.delete(&admin(), "gadget", &made.id, None, None).await.unwrap();
        assert!(db.fetch_all("SELECT 1 AS one FROM cmdb_secrets", &[]).await.unwrap().is_empty());
    }

    async fn another_key_seals_anew_and_kinds_stay(db: Db) {
        let (c, made) = vault(&db).await;
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        let old = c.clone().with_secrets(Secrets::parse(&one, "here").unwrap());
        old.set_secret(&admin(), "gadget", &made.id, "password", Some("kept")).await.unwrap();
        c.clone().with_secrets(Secrets::parse(&format!("{two}\n{one}"), "here").unwrap()).reseal_secrets().await.unwrap();
        let new = c.clone().with_secrets(Secrets::parse(&two, "here").unwrap());
        assert_eq!(new.reveal_secret(&admin(), "gadget", &made.id, "password", "to see").await.unwrap(), "kept");
        let mut m = c.model(&admin(), "gadget").await.unwrap().model;
        m.attributes[2].kind = AttributeKind::Text;
        assert!(c.update_model(&admin(), m.clone(), None).await.unwrap_err().to_string().contains("secret"));
        m.attributes[2].kind = AttributeKind::Secret;
        for (i, more) in [json!({"required": true}), json!({"indexed": true}), json!({"default": "x"}), json!({"pattern": "x"})].iter().enumerate() {
            let mut a = json!(m.attributes[2]);
            a.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut bad = m.clone();
            bad.attributes[2] = serde_json::from_value(a).unwrap();
            assert!(c.update_model(&admin(), bad, None).await.is_err(), "{i}");
        }
        m.unique = vec![vec!["password".into()]];
        assert!(c.update_model(&admin(), m, None).await.is_err());
    }
}
