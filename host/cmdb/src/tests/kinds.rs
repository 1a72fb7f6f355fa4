//! Kinds of associations: defined, held to, and what a deletion does.

use serde_json::Map;

use super::*;

fn defined(name: &str, more: Json) -> Kind {
    let mut k = json!({"name": name, "forward": {"en": name, "zh": "连到"}, "backward": {"en": "back", "zh": "连自"}});
    k.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(k).unwrap()
}

async fn system(c: &Cmdb, name: &str) -> String {
    c.create(&admin(), "system", json!({"name": name}), None).await.unwrap().id
}

async fn link(c: &Cmdb, kind: &str, from: &str, to: &str) -> Result<Association, CmdbError> {
    c.associate(&admin(), kind, ("system", from), ("system", to)).await
}

async fn links(c: &Cmdb, id: &str) -> Vec<String> {
    c.related(&admin(), "system", id).await.unwrap().into_iter().map(|r| format!("{} {}", r.kind, r.label)).collect()
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn kinds_are_defined_changed_and_deleted(db: Db) {
        let c = cmdb(&db).await;
        let before = c.kinds(&admin()).await.unwrap();
        assert!(before.iter().all(|k| k.builtin && k.kind.forward.0.contains_key("zh") && k.kind.backward.0.contains_key("en")));
        let mirrors = defined("mirrors", json!({"pairs": [{"from": "system", "to": "*"}], "attributes": [{"name": "lag", "kind": "integer", "min": 0}]}));
        assert_eq!(c.create_kind(&user(Role::Operator), mirrors.clone()).await.unwrap_err().code(), "access.denied");
        assert_eq!(c.create_kind(&admin(), mirrors.clone()).await.unwrap().version, 1);
        assert_eq!(c.create_kind(&admin(), mirrors.clone()).await.unwrap_err().code(), "cmdb.invalid_model");
        let unknown = defined("x", json!({"pairs": [{"from": "sytem", "to": "*"}]}));
        assert!(c.create_kind(&admin(), unknown).await.unwrap_err().to_string().contains("did you mean system"));
        assert_eq!(c.create_kind(&admin(), defined("Bad Name", json!({}))).await.unwrap_err().code(), "cmdb.invalid_model");

        let (a, b) = (system(&c, "a").await, system(&c, "b").await);
        let made = c.associate_with(&admin(), "mirrors", ("system", &a), ("system", &b), json!({"lag": 5})).await.unwrap();
        assert_eq!(made.attributes, json!({"lag": 5}));
        for wrong in [json!({"lag": -1}), json!({"lag": "x"}), json!({"lagg": 1})] {
            let e = c.associate_with(&admin(), "mirrors", ("system", &b), ("system", &a), wrong).await.unwrap_err();
            assert_eq!(e.code(), "cmdb.invalid_instance");
        }
        // Models that it does not link.
        let t = c.create(&admin(), "team", json!({"name": "t"}), None).await.unwrap().id;
        assert!(c.associate(&admin(), "mirrors", ("team", &t), ("system", &a)).await.unwrap_err().to_string().contains("system → anything"));
        // A link is changed, and its attributes are seen from both ends.
        let patch = Map::from_iter([("lag".to_owned(), json!(9))]);
        assert_eq!(c.update_association(&user(Role::Viewer), &made.id, patch.clone()).await.unwrap_err().code(), "access.denied");
        c.update_association(&admin(), &made.id, patch).await.unwrap();
        assert_eq!(c.related(&admin(), "system", &b).await.unwrap()[0].attributes, json!({"lag": 9}));
        // Linking again answers the one that is there.
        assert_eq!(c.associate(&admin(), "mirrors", ("system", &a), ("system", &b)).await.unwrap().id, made.id);

        // What links would break is refused, with what breaks it.
        let shorter = defined("mirrors", json!({"pairs": [{"from": "team", "to": "*"}]}));
        assert!(c.update_kind(&admin(), shorter, None).await.unwrap_err().to_string().contains("1 associations"));
        let shorter = defined("mirrors", json!({"attributes": [{"name": "lag", "kind": "integer", "max": 3}]}));
        assert!(c.update_kind(&admin(), shorter, None).await.unwrap_err().to_string().contains(&made.id));
        assert_eq!(c.update_kind(&admin(), mirrors.clone(), Some(7)).await.unwrap_err().code(), "cmdb.conflict");
        assert_eq!(c.delete_kind(&admin(), "mirrors").await.unwrap_err().code(), "cmdb.in_use");
        c.dissociate(&admin(), &made.id).await.unwrap();
        c.delete_kind(&admin(), "mirrors").await.unwrap();
        assert_eq!(c.kinds(&admin()).await.unwrap(), before);

        // What came with Plenum keeps what discovery needs; its words and rules are free, and stay at the next start.
        let mut own = before.iter().find(|k| k.kind.name == "runs_on").unwrap().kind.clone();
        own.cardinality = Cardinality::ManyToMany;
        assert_eq!(c.update_kind(&admin(), own.clone(), None).await.unwrap_err().code(), "cmdb.invalid_model");
        own.cardinality = Cardinality::ManyToOne;
        own.forward.0.insert("en".into(), "lives on".into());
        c.update_kind(&admin(), own.clone(), None).await.unwrap();
        assert_eq!(c.delete_kind(&admin(), "runs_on").await.unwrap_err().code(), "cmdb.in_use");
        let again = cmdb(&db).await.kinds(&admin()).await.unwrap();
        let stored = again.iter().find(|k| k.kind.name == "runs_on").unwrap();
        assert_eq!((&stored.kind, stored.version, stored.builtin), (&own, 2, true));
    }

    async fn fifty_writers_at_once_keep_every_cardinality(db: Db) {
        let c = cmdb(&db).await;
        for (cardinality, from_one, to_one) in [("one_to_one", 1, 1), ("many_to_one", 1, 50), ("one_to_many", 50, 1), ("many_to_many", 50, 50)] {
            c.create_kind(&admin(), defined(cardinality, json!({"cardinality": cardinality}))).await.unwrap();
            let hub = system(&c, &format!("hub {cardinality}")).await;
            let mut others = Vec::new();
            for i in 0..50 {
                others.push(system(&c, &format!("{cardinality} {i}")).await);
            }
            for (outwards, most) in [(true, from_one), (false, to_one)] {
                let mut writers = tokio::task::JoinSet::new();
                for o in others.clone() {
                    let (c, hub) = (c.clone(), hub.clone());
                    writers.spawn(async move {
                        let (from, to) = if outwards { (hub, o) } else { (o, hub) };
                        match link(&c, cardinality, &from, &to).await {
                            Ok(_) => true,
                            Err(e) => {
                                assert_eq!(e.code(), "cmdb.in_use", "{e}");
                                false
                            }
                        }
                    });
                }
                let done = writers.join_all().await.into_iter().filter(|ok| *ok).count();
                assert_eq!(done, most, "{cardinality} {outwards}");
                let end = if outwards { "from_id" } else { "to_id" };
                let sql = format!("SELECT COUNT(*) AS n FROM cmdb_associations WHERE kind = ? AND {end} = ?");
                assert_eq!(db.fetch_optional(&sql, params![cardinality, &hub]).await.unwrap().unwrap().int("n").unwrap(), most as i64);
            }
        }
        // A cardinality can be widened, and narrowed where the links are so.
        c.update_kind(&admin(), defined("one_to_one", json!({})), None).await.unwrap();
        let (a, b, d) = (system(&c, "a").await, system(&c, "b").await, system(&c, "d").await);
        link(&c, "one_to_one", &a, &b).await.unwrap();
        let second = link(&c, "one_to_one", &a, &d).await.unwrap();
        let e = c.update_kind(&admin(), defined("one_to_one", json!({"cardinality": "many_to_one"})), None).await.unwrap_err();
        assert!(e.to_string().contains(&format!("system/{a} (2)")), "{e}");
        c.dissociate(&admin(), &second.id).await.unwrap();
        c.update_kind(&admin(), defined("one_to_one", json!({"cardinality": "one_to_one"})), None).await.unwrap();
        assert_eq!(link(&c, "one_to_one", &a, &d).await.unwrap_err().code(), "cmdb.in_use");
        assert_eq!(link(&c, "one_to_one", &d, &b).await.unwrap_err().code(), "cmdb.in_use");
    }

    async fn a_deletion_does_to_links_what_their_kind_says(db: Db) {
        let c = cmdb(&db).await;
        for rule in ["unlink", "keep", "cascade", "refuse"] {
            c.create_kind(&admin(), defined(rule, json!({"on_delete": {"source": rule}}))).await.unwrap();
        }
        let (a, b) = (system(&c, "a").await, system(&c, "b").await);
        link(&c, "unlink", &a, &b).await.unwrap();
        let kept = c.associate(&admin(), "keep", ("system", &a), ("system", &b)).await.unwrap();
        c.delete(&admin(), "system", &a, None, None).await.unwrap();
        assert!(links(&c, &b).await.is_empty());
        c.restore(&admin(), "system", &a, None, None).await.unwrap();
        assert_eq!(links(&c, &b).await, ["keep a"]);
        assert_eq!(c.related(&admin(), "system", &b).await.unwrap()[0].association, kept.id);
        // Both ends are deleted: the link comes back with the second.
        c.delete(&admin(), "system", &a, None, None).await.unwrap();
        c.delete(&admin(), "system", &b, None, None).await.unwrap();
        c.restore(&admin(), "system", &a, None, None).await.unwrap();
        assert!(links(&c, &a).await.is_empty());
        c.restore(&admin(), "system", &b, None, None).await.unwrap();
        assert_eq!(links(&c, &a).await, ["keep b"]);

        // The rule is that of the end which is deleted.
        let (d, e) = (system(&c, "d").await, system(&c, "e").await);
        link(&c, "refuse", &d, &e).await.unwrap();
        let refused = c.delete(&admin(), "system", &d, None, None).await.unwrap_err();
        assert!(refused.code() == "cmdb.in_use" && refused.to_string().contains("1 associations of refuse"), "{refused}");
        c.delete(&admin(), "system", &e, None, None).await.unwrap();
        c.delete(&admin(), "system", &d, None, None).await.unwrap();

        // Along the links, in circles too, and all or nothing.
        let (x, y, z) = (system(&c, "x").await, system(&c, "y").await, system(&c, "z").await);
        for (from, to) in [(&x, &y), (&y, &z), (&z, &x)] {
            link(&c, "cascade", from, to).await.unwrap();
        }
        let guard = link(&c, "refuse", &z, &a).await.unwrap();
        assert_eq!(c.delete(&admin(), "system", &x, None, None).await.unwrap_err().code(), "cmdb.in_use");
        assert_eq!(links(&c, &y).await.len(), 2);
        c.dissociate(&admin(), &guard.id).await.unwrap();
        c.delete(&admin(), "system", &x, None, Some("CHG-2")).await.unwrap();
        for id in [&x, &y, &z] {
            assert_eq!(c.get(&admin(), "system", id).await.unwrap_err().code(), "cmdb.not_found");
            assert_eq!(c.history(&admin(), "system", id, None, 1).await.unwrap()[0].why.as_deref(), Some("CHG-2"));
        }
        assert_eq!(c.restore(&admin(), "system", &y, None, None).await.unwrap().label, "y");
    }
}
