//! Questions through associations, groups, facets, expansion, the change feed: through `Cmdb`, on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plenum_access::{Access, Grant, PluginPrincipal, Principal, Role, Scope, UserPrincipal};
use plenum_cmdb::{Cmdb, CmdbError, FeedQuery, Instance, NamedGroup, Query};
use plenum_store::{Aggregate, Bucket, Db, Documents, Events, Measure, Migration};
use serde_json::{Value as Json, json};

const MIGRATE: &[&[Migration]] = &[plenum_access::MIGRATIONS, plenum_cmdb::MIGRATIONS];

async fn cmdb(db: &Db) -> Cmdb {
    Cmdb::new(db.clone(), Documents::new(db.clone()), Access::new(db.clone())).await.unwrap()
}

fn user(name: &str, role: Role) -> Principal {
    Principal::User(UserPrincipal { id: format!("id-{name}"), name: name.into(), role })
}

fn admin() -> Principal {
    user("alice", Role::Administrator)
}

/// A plugin that may read these models only.
fn reader(models: &[&str]) -> Principal {
    let scope = Scope(BTreeMap::from([("models".to_owned(), models.iter().map(|m| (*m).to_owned()).collect())]));
    let grant = Grant { permissions: BTreeMap::from([("cmdb.read".to_owned(), scope)]) };
    Principal::Plugin(PluginPrincipal { id: "p".into(), grant: Arc::new(grant), on_behalf: None })
}

async fn make(c: &Cmdb, model: &str, attributes: Json) -> Instance {
    c.create(&admin(), model, attributes, None).await.unwrap()
}

async fn link(c: &Cmdb, kind: &str, from: &Instance, to: &Instance) {
    c.associate(&admin(), kind, (&from.model, &from.id), (&to.model, &to.id)).await.unwrap();
}

fn filter(source: &str) -> Query {
    Query { filter: Some(source.to_owned()), with_total: true, ..Query::default() }
}

async fn labels(c: &Cmdb, who: &Principal, model: &str, source: &str) -> Vec<String> {
    let page = c.list(who, model, &filter(source)).await.unwrap_or_else(|e| panic!("{source}: {e}"));
    assert_eq!(page.total, Some(page.items.len() as i64), "{source}");
    page.items.into_iter().map(|i| i.label).collect()
}

/// Two hosts, two databases on them, an application above.
async fn shop(c: &Cmdb) -> (Vec<Instance>, Vec<Instance>, Instance) {
    let hosts = vec![
        make(c, "host", json!({"hostname": "h1", "env": "prod", "cpu_count": 4})).await,
        make(c, "host", json!({"hostname": "h2", "env": "test", "cpu_count": 8})).await,
    ];
    let dbs = vec![
        make(c, "postgresql", json!({"name": "pg1", "port": 5432})).await,
        make(c, "postgresql", json!({"name": "pg2", "port": 5433})).await,
    ];
    let app = make(c, "business_application", json!({"name": "shop"})).await;
    for (d, h) in dbs.iter().zip(&hosts) {
        link(c, "runs_on", d, h).await;
    }
    link(c, "depends_on", &app, &dbs[0]).await;
    (hosts, dbs, app)
}

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn filters_follow_associations(db: Db) {
        let c = cmdb(&db).await;
        shop(&c).await;
        for (model, source, expect) in [
            ("postgresql", "runs_on.exists(h, h.env == \"prod\")", vec!["pg1"]),
            ("postgresql", "runs_on.host.all(h, h.env != \"prod\")", vec!["pg2"]),
            ("host", "runs.exists(d, d.port == 5433)", vec!["h2"]),
            ("host", "runs.exists(d, d.is_needed_by.exists(a, a.name == \"shop\")) && env == \"prod\"", vec!["h1"]),
            ("business_application", "depends_on.exists(d, d.runs_on.exists(h, h.env == \"prod\"))", vec!["shop"]),
            ("business_application", "size(depends_on) == 0", vec![]),
            ("host", "size(runs) == 0", vec![]),
            ("host", "has.exists(x, x.id == \"\") || is_in.exists(x, x.id == \"\")", vec![]),
        ] {
            assert_eq!(labels(&c, &admin(), model, source).await, expect, "{source}");
        }
        let preview = c.preview(&admin(), "postgresql", "runs_on.exists(h, h.env == \"prod\")").await.unwrap();
        assert_eq!(preview.count, 1);
        let wrong = |source: &'static str| {
            let c = c.clone();
            async move { c.list(&admin(), "postgresql", &filter(source)).await.err().unwrap() }
        };
        for (source, word) in [
            ("runs_an.exists(h, h.env == \"prod\")", "runs_on"),
            ("runs_on.exists(h, h.enw == \"prod\")", "env"),
            ("runs_on.hosts.exists(h, h.env == \"prod\")", "host"),
        ] {
            let e = wrong(source).await;
            assert!(e.to_string().contains(word), "{source}: {e}");
        }
        let past = c.list_at(&admin(), "postgresql", &filter("size(runs_on) == 1"), 0).await.err().unwrap();
        assert!(past.to_string().contains("past"), "{past}");
    }

    async fn a_model_that_may_not_be_read_is_not_seen_through_an_association(db: Db) {
        let c = cmdb(&db).await;
        let (_, _, app) = shop(&c).await;
        let narrow = reader(&["postgresql", "business_application"]);
        assert_eq!(labels(&c, &narrow, "postgresql", "size(runs_on) > 0").await, Vec::<String>::new());
        assert_eq!(labels(&c, &narrow, "postgresql", "runs_on.exists(h, h.id != \"\")").await.len(), 0);
        let unknown = c.list(&narrow, "postgresql", &filter("runs_on.exists(h, h.hostname == \"h1\")")).await.err().unwrap();
        assert_eq!(unknown.code(), "filter.unknown_field");
        let refused = c.list(&narrow, "postgresql", &filter("runs_on.host.exists(h, h.env == \"prod\")")).await.err().unwrap();
        assert_eq!(refused.code(), "filter.unknown_model");
        // Nor shown behind one, in groups, or told of.
        let shape = c.shape(&[], &["depends_on.runs_on".into()]).await.unwrap();
        let shown = c.expand(&narrow, "business_application", vec![app.clone()], &shape).await.unwrap();
        assert_eq!(shown[0].links["depends_on"].len(), 1);
        assert!(shown[0].links["depends_on"][0].links["runs_on"].is_empty());
        let group = NamedGroup { name: "all".into(), title: Default::default(), model: "host".into(), filter: "env != null".into() };
        c.put_group(&admin(), group, None).await.unwrap();
        assert!(c.groups(&narrow, None).await.unwrap().is_empty());
        assert_eq!(c.members(&narrow, "all", &Query::default()).await.err().unwrap().code(), "cmdb.not_found");
        let heard = c.feed(&narrow, &FeedQuery::default(), 0, 500).await.unwrap();
        assert!(heard.events.iter().all(|e| !e.data.to_string().contains("\"host\"")), "{heard:?}");
        assert!(!heard.events.is_empty());
    }

    /// A grant that names attributes holds here too: what is not named is in no answer, and cannot be asked for.
    async fn attributes_that_a_plugin_may_not_read_are_not_told(db: Db) {
        let c = cmdb(&db).await;
        let (hosts, dbs, _) = shop(&c).await;
        let grant = json!({"cmdb.read": {"attributes": ["host.hostname", "postgresql.*"]}});
        let p = Principal::Plugin(PluginPrincipal { id: "p".into(), grant: Arc::new(serde_json::from_value(grant).unwrap()), on_behalf: None });
        assert_eq!(labels(&c, &p, "postgresql", "runs_on.exists(h, h.hostname == \"h1\")").await, ["pg1"]);
        let hidden = c.list(&p, "postgresql", &filter("runs_on.exists(h, h.env == \"prod\")")).await.err().unwrap();
        assert_eq!(hidden.code(), "filter.unknown_field", "{hidden}");
        // Round about, and compared within a question about others.
        let round = c.list(&p, "host", &filter("runs.exists(d, d.runs_on.exists(h, h.env == \"prod\"))")).await.err().unwrap();
        assert_eq!(round.code(), "filter.unknown_field", "{round}");
        for source in ["runs.exists(d, d.name == env)", "env == \"prod\" && size(runs) > 0"] {
            let own = c.list(&p, "host", &filter(source)).await.err().unwrap();
            assert_eq!(own.code(), "access.denied", "{own}");
        }
        let group = NamedGroup { name: "g".into(), title: Default::default(), model: "host".into(), filter: "env == \"prod\"".into() };
        c.put_group(&admin(), group, None).await.unwrap();
        assert_eq!(c.list(&p, "host", &filter("in_group(\"g\")")).await.err().unwrap().code(), "access.denied");
        assert!(c.list(&p, "postgresql", &filter("runs_on.exists(h, in_group(h, \"g\"))")).await.is_err());
        let facets = c.facets(&p, "host", &Query::default(), &["env".into()], 5).await;
        assert_eq!(facets.err().unwrap().code(), "access.denied");
        let by_env = Aggregate { groups: vec![("env".into(), None)], measures: vec![(Measure::Count, None)], limit: 5, ..Aggregate::default() };
        assert_eq!(c.aggregate(&p, "host", &by_env).await.err().unwrap().code(), "access.denied");
        assert_eq!(c.explain(&p, "host", &filter("env == \"prod\"")).await.err().unwrap().code(), "access.denied");
        let shape = c.shape(&[], &["runs_on".into()]).await.unwrap();
        let seen = c.get(&p, "postgresql", &dbs[0].id).await.unwrap();
        let shown = c.expand(&p, "postgresql", vec![seen], &shape).await.unwrap();
        assert_eq!(shown[0].links["runs_on"][0].instance.attributes, json!({"hostname": "h1"}));
        assert_eq!(hosts[0].attributes["env"], "prod");
        assert!(c.feed(&p, &FeedQuery::default(), 0, 500).await.unwrap().events.is_empty());
    }

    async fn records_are_expanded(db: Db) {
        let c = cmdb(&db).await;
        let (hosts, _, app) = shop(&c).await;
        let shape = c.shape(&["name".into(), "depends_on.runs_on.hostname".into()], &["depends_on.runs_on".into()]).await.unwrap();
        let shown = json!(c.expand(&admin(), "business_application", vec![app], &shape).await.unwrap());
        assert_eq!(shown[0]["attributes"], json!({"name": "shop"}));
        let host = &shown[0]["links"]["depends_on"][0]["links"]["runs_on"][0];
        assert_eq!((host["id"].as_str().unwrap(), &host["attributes"]), (hosts[0].id.as_str(), &json!({"hostname": "h1"})));
        // More than are shown is said.
        for n in 0..55 {
            let d = make(&c, "redis", json!({"name": format!("r{n}")})).await;
            link(&c, "runs_on", &d, &hosts[0]).await;
        }
        let shape = c.shape(&[], &["runs".into()]).await.unwrap();
        let shown = c.expand(&admin(), "host", hosts, &shape).await.unwrap();
        assert_eq!((shown[0].links["runs"].len(), shown[0].more.clone(), shown[1].links["runs"].len()), (50, vec!["runs".to_owned()], 1));
        for (fields, expand, word) in [(vec![], vec!["runs_onn"], "runs_on"), (vec![], vec!["runs_on.has.has.has"], "3"), (vec!["runs_on.x"], vec![], "expand=runs_on")] {
            let own = |l: Vec<&str>| l.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let e = c.shape(&own(fields), &own(expand)).await.err().unwrap();
            assert!(e.to_string().contains(word), "{e}");
        }
        let e = c.expand(&admin(), "host", Vec::new(), &c.shape(&["hostnam".into()], &[]).await.unwrap()).await.err().unwrap();
        assert!(e.to_string().contains("hostname"), "{e}");
    }

    async fn facets_and_aggregates(db: Db) {
        let c = cmdb(&db).await;
        for n in 0..30 {
            let env = ["prod", "prod", "prod", "test", "dev"][n % 5];
            let mut a = json!({"hostname": format!("h{n}"), "env": env, "cpu_count": n});
            if n % 10 == 9 {
                a.as_object_mut().unwrap().remove("env");
            }
            make(&c, "host", a).await;
        }
        let f = c.facets(&admin(), "host", &Query::default(), &["env".into(), "cpu_count".into()], 2).await.unwrap();
        assert_eq!((f.total, f.facets[0].values[0].clone().value, f.facets[0].values[0].count), (30, json!("prod"), 18));
        assert_eq!((f.facets[0].values[1].count, f.facets[0].others), (6, 6));
        assert_eq!(f.facets[1].others, 28);
        let some = c.facets(&admin(), "host", &filter("cpu_count < 5"), &["env".into()], 10).await.unwrap();
        assert_eq!((some.total, some.facets[0].others, some.facets[0].values.len()), (5, 0, 3));
        let e = c.facets(&admin(), "host", &Query::default(), &["enw".into()], 2).await.err().unwrap();
        assert!(e.to_string().contains("env"), "{e}");
        let wanted = Aggregate {
            filter: Some("env != null".into()),
            groups: vec![("env".into(), None), ("created_at".into(), Some(Bucket::Year))],
            measures: vec![(Measure::Count, None), (Measure::Max, Some("cpu_count".into()))],
            limit: 10,
            ..Aggregate::default()
        };
        let groups = c.aggregate(&admin(), "host", &wanted).await.unwrap();
        assert_eq!((groups.len(), groups[0].keys[0].clone(), groups[0].values.clone()), (3, json!("dev"), vec![json!(3), json!(24)]));
    }

    async fn a_group_is_what_its_filter_matches_now(db: Db) {
        let c = cmdb(&db).await;
        shop(&c).await;
        let group = |name: &str, model: &str, filter: &str| NamedGroup { name: name.into(), title: Default::default(), model: model.into(), filter: filter.into() };
        let made = c.put_group(&admin(), group("web-prod", "host", "env == \"prod\""), None).await.unwrap();
        c.put_group(&admin(), group("busy", "host", "in_group(\"web-prod\") && size(runs) > 0"), None).await.unwrap();
        assert_eq!(labels(&c, &admin(), "host", "in_group(\"web-prod\")").await, ["h1"]);
        assert_eq!(labels(&c, &admin(), "host", "!in_group(\"busy\")").await, ["h2"]);
        assert_eq!(labels(&c, &admin(), "postgresql", "runs_on.exists(h, in_group(h, \"busy\"))").await, ["pg1"]);
        make(&c, "host", json!({"hostname": "h3", "env": "prod"})).await;
        assert_eq!(c.members(&admin(), "web-prod", &Query::default()).await.unwrap().items.len(), 2);
        assert_eq!(c.members(&admin(), "web-prod", &filter("hostname == \"h3\"")).await.unwrap().total, Some(1));
        for (wrong, word) in [
            (group("web-prod", "host", "env = \"prod\""), "=="),
            (group("web-prod", "host", "in_group(\"busy\")"), "circle"),
            (group("web-prod", "redis", "name == \"x\""), "another one"),
            (group("Web", "host", "env != null"), "lower-case"),
            (group("x", "host", "in_group(\"web-prd\")"), "web-prod"),
        ] {
            let e = c.put_group(&admin(), wrong, None).await.err().unwrap();
            assert!(e.to_string().contains(word), "{e}");
        }
        let stale = c.put_group(&admin(), made.group.clone(), Some(7)).await.err().unwrap();
        assert_eq!(stale.code(), "cmdb.conflict");
        let denied = c.put_group(&user("vera", Role::Viewer), made.group.clone(), None).await.err().unwrap();
        assert_eq!(denied.code(), "access.denied");
        assert_eq!(c.delete_group(&admin(), "web-prod").await.err().unwrap().code(), "cmdb.in_use");
        c.delete_group(&admin(), "busy").await.unwrap();
        c.delete_group(&admin(), "web-prod").await.unwrap();
        let kinds: Vec<String> = Events::new(db.clone()).read(0, 1000, &["plenum.cmdb.group.".into()]).await.unwrap().into_iter().map(|e| e.kind).collect();
        assert_eq!(kinds.len(), 4, "{kinds:?}");
    }

    async fn filters_are_kept_by_their_owner(db: Db) {
        let c = cmdb(&db).await;
        let (bob, vera) = (user("bob", Role::Operator), user("vera", Role::Viewer));
        c.keep_filter(&bob, "host", "Mine", "env == \"test\"", false).await.unwrap();
        let shared = c.keep_filter(&bob, "host", "Ours", "env == \"prod\"", true).await.unwrap();
        let own = c.keep_filter(&vera, "host", "Mine", "env == \"dev\"", false).await.unwrap();
        let names = |l: Vec<plenum_cmdb::KeptFilter>| l.into_iter().map(|f| (f.name, f.mine)).collect::<Vec<_>>();
        assert_eq!(names(c.kept_filters(&vera, "host").await.unwrap()), [("Mine".to_owned(), true), ("Ours".to_owned(), false)]);
        assert_eq!(c.keep_filter(&vera, "host", "x", "env == \"dev\"", true).await.err().unwrap().code(), "access.denied");
        assert_eq!(c.keep_filter(&vera, "host", "x", "enw == \"dev\"", false).await.err().unwrap().code(), "filter.unknown_field");
        assert_eq!(c.forget_filter(&vera, &shared.id).await.err().unwrap().code(), "access.denied");
        // What is private of somebody else is not there.
        assert_eq!(c.forget_filter(&bob, &own.id).await.err().unwrap().code(), "cmdb.not_found");
        c.forget_filter(&admin(), &shared.id).await.unwrap();
        assert_eq!(c.keep_filter(&vera, "host", "Mine", "env == \"qa\"", false).await.unwrap().id, own.id);
        assert_eq!(c.kept_filters(&vera, "host").await.unwrap()[0].filter, "env == \"qa\"");
    }

    async fn the_feed_tells_what_was_asked_for(db: Db) {
        let c = cmdb(&db).await;
        let start = c.feed_now(&admin()).await.unwrap();
        let (hosts, dbs, _) = shop(&c).await;
        c.update(&admin(), "host", &hosts[0].id, json!({"env": "qa"}), None, None).await.unwrap();
        c.update(&admin(), "host", &hosts[0].id, json!({"owner": "bob"}), None, None).await.unwrap();
        c.delete(&admin(), "postgresql", &dbs[1].id, None, None).await.unwrap();
        let ask = |kinds: &[&str], models: &[&str], fields: &[&str]| {
            let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let (c, q) = (c.clone(), FeedQuery { kinds: own(kinds), models: own(models), fields: own(fields) });
            async move { c.feed(&admin(), &q, start, 500).await.unwrap().events.len() }
        };
        assert_eq!(ask(&[], &["host"], &[]).await, 2 + 2 + 2);
        assert_eq!(ask(&["instance.updated"], &["host"], &["env"]).await, 1);
        assert_eq!(ask(&["instance.*"], &["host"], &["env"]).await, 3);
        assert_eq!(ask(&["instance.deleted"], &[], &[]).await, 1);
        assert_eq!(ask(&["plenum.cmdb.association.created"], &[], &[]).await, 3);
        assert_eq!(ask(&["nothing"], &[], &[]).await, 0);
        // A quiet feed goes on from what it has looked at.
        let page = c.feed(&admin(), &FeedQuery { kinds: vec!["nothing".into()], ..FeedQuery::default() }, start, 10).await.unwrap();
        assert_eq!(page.cursor, Events::new(db.clone()).latest().await.unwrap());
        let ahead = c.feed(&admin(), &FeedQuery::default(), page.cursor + 1000, 10).await.err().unwrap();
        assert!(ahead.to_string().contains("ahead"), "{ahead}");
        // Past retention: said, not skipped. The newest stays, so that this can be told.
        db.execute("UPDATE events SET time = 0", &[]).await.unwrap();
        Events::new(db.clone()).prune().await.unwrap();
        let gone = c.feed(&admin(), &FeedQuery::default(), start, 10).await.err().unwrap();
        assert!(matches!(gone, CmdbError::FeedGone(_)), "{gone}");
        assert!(c.feed(&admin(), &FeedQuery::default(), page.cursor, 10).await.unwrap().events.is_empty());
    }

    /// Many writers, a reader that is thrown away again and again and goes on from its cursor in a new process' place: everything once, in order.
    async fn the_feed_has_no_gaps_and_no_repeats(db: Db) {
        let c = cmdb(&db).await;
        let start = c.feed_now(&admin()).await.unwrap();
        const WRITERS: usize = 6;
        const EACH: usize = 12;
        let mut writers = tokio::task::JoinSet::new();
        for w in 0..WRITERS {
            let c = c.clone();
            writers.spawn(async move {
                for n in 0..EACH {
                    let made = make(&c, "team", json!({"name": format!("t{w}-{n}")})).await;
                    if n % 3 == 0 {
                        c.delete(&admin(), "team", &made.id, None, None).await.unwrap();
                    }
                    // One that is rolled back leaves nothing.
                    assert!(c.create(&admin(), "team", json!({"name": 7}), None).await.is_err());
                }
            });
        }
        let query = FeedQuery { models: vec!["team".into()], ..FeedQuery::default() };
        let (mut seen, mut cursor, want) = (Vec::new(), start, WRITERS * (EACH + EACH.div_ceil(3)));
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        while seen.len() < want {
            assert!(tokio::time::Instant::now() < end, "{} of {want}", seen.len());
            // Another process, as after a restart: nothing is remembered but the cursor.
            let c = cmdb(&db).await;
            let page = c.feed_wait(&admin(), &query, cursor, 1 + seen.len() % 5, Duration::from_millis(500)).await.unwrap();
            seen.extend(page.events);
            cursor = page.cursor;
        }
        writers.join_all().await;
        let mut seqs: Vec<i64> = seen.iter().map(|e| e.seq).collect();
        assert!(seqs.is_sorted());
        seqs.dedup();
        assert_eq!(seqs.len(), want);
        let all = c.feed(&admin(), &query, start, 500).await.unwrap().events;
        assert_eq!(all.iter().map(|e| &e.id).collect::<Vec<_>>(), seen.iter().map(|e| &e.id).collect::<Vec<_>>());
        assert!(c.feed(&admin(), &query, cursor, 500).await.unwrap().events.is_empty());
    }
}
