//! A group of the CMDB as the target of a job: what its filter matches when the job is started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use plenum_access::{Access, Principal, Role, UserPrincipal};
use plenum_cmdb::{Cmdb, NamedGroup};
use plenum_jobs::Inventory;
use plenum_store::{Documents, Migration};
use serde_json::json;

const MIGRATE: &[&[Migration]] = &[plenum_access::MIGRATIONS, plenum_cmdb::MIGRATIONS];

plenum_store::both_databases! {
    migrations: MIGRATE;

    async fn a_group_is_a_target(db: Db) {
        let who = Principal::User(UserPrincipal { id: "u".into(), name: "alice".into(), role: Role::Administrator });
        let cmdb = Cmdb::new(db.clone(), Documents::new(db.clone()), Access::new(db)).await.unwrap();
        let web = cmdb.create(&who, "host", json!({"hostname": "web1", "env": "prod", "node_id": "n1"}), None).await.unwrap();
        cmdb.create(&who, "host", json!({"hostname": "web2", "env": "test", "node_id": "n2"}), None).await.unwrap();
        let redis = cmdb.create(&who, "redis", json!({"name": "r1"}), None).await.unwrap();
        cmdb.associate(&who, "runs_on", ("redis", &redis.id), ("host", &web.id)).await.unwrap();
        let group = NamedGroup { name: "web-prod".into(), title: Default::default(), model: "host".into(), filter: "env == \"prod\"".into() };
        cmdb.put_group(&who, group, None).await.unwrap();
        let nodes = |found: Vec<plenum_jobs::inventory::Found>| found.into_iter().map(|f| (f.label, f.node_id)).collect::<Vec<_>>();
        let found = Inventory::select(&cmdb, &who, "host", "in_group(\"web-prod\")", 10).await.unwrap();
        assert_eq!(nodes(found), [("web1".to_owned(), Some("n1".to_owned()))]);
        // What runs on the group's hosts, on their machines.
        let found = Inventory::select(&cmdb, &who, "redis", "runs_on.exists(h, in_group(h, \"web-prod\"))", 10).await.unwrap();
        assert_eq!(nodes(found), [("r1".to_owned(), Some("n1".to_owned()))]);
        let unknown = Inventory::select(&cmdb, &who, "host", "in_group(\"web-prd\")", 10).await.err().unwrap();
        assert!(unknown.to_string().contains("web-prod"), "{unknown}");
    }
}
