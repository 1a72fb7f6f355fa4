//! With the real CMDB: what an agent reports becomes a target.

use std::sync::Arc;

use plenum_access::Access;
use plenum_agent_protocol::v1::{self, FinishStatus as F, agent_message};
use plenum_cmdb::Cmdb;
use plenum_store::{Documents, both_databases};

use super::support::*;
use crate::*;

both_databases! {
    migrations: &[plenum_access::MIGRATIONS, plenum_cmdb::MIGRATIONS, crate::MIGRATIONS];

    async fn what_an_agent_found_can_be_targeted(db: Db) {
        let w = World::new(db.clone()).await;
        let cmdb = Cmdb::new(db.clone(), Documents::new(db.clone()), Access::new(db)).await.unwrap();
        let w = w.restart_with(Arc::new(cmdb.clone())).await;
        let mut a = w.online("db1").await;
        let json = serde_json::json!({"node": {"hostname": "db1", "machine_id": "db1", "os_id": "debian"},
            "services": [{"model": "redis", "name": "redis", "version": "7.0", "port": 6379}]});
        a.say(agent_message::Body::Facts(v1::Facts { json: json.to_string().into(), digest: "d".into() })).await;
        w.until(async |j: &Jobs| j.node(&admin(), &a.node).await.unwrap().host_instance_id.is_some()).await;
        for (model, cel) in [("host", "hostname == \"db1\" && status == \"online\""), ("redis", "port == 6379")] {
            let mut request = w.request(&[]);
            request.targets.filter = Some(FilterTargets { model: model.into(), cel: cel.into() });
            let x = w.jobs.run(&admin(), request).await.unwrap();
            a.run().await;
            a.finish(&x.id, F::Succeeded, 0).await;
            soon(w.jobs.wait(&x.id)).await.unwrap();
            assert_eq!(w.result(&x.id, &a.node).await.instances[0].model, model);
        }
        let wrong = Targets { filter: Some(FilterTargets { model: "host".into(), cel: "hostnam == 'x'".into() }), ..Default::default() };
        let error = w.jobs.preview(&admin(), &wrong).await.err().unwrap();
        assert!(error.to_string().contains("hostname"), "{error}");
        let narrow = |filter: &str| plugin("p", &[("jobs.run", &[("targets", &["os_id == \"alpine\"", filter])])]);
        w.jobs.run(&narrow("hostname == \"db1\""), w.request(&[&a.node])).await.unwrap();
        let error = w.jobs.run(&narrow("hostname == \"db2\""), w.request(&[&a.node])).await.err().unwrap();
        assert!(error.to_string().contains("hostname == \"db2\" only, and db1 is none of them"), "{error}");
        let host = w.jobs.node(&admin(), &a.node).await.unwrap().host_instance_id.unwrap();
        drop(a);
        w.until(async |_: &Jobs| cmdb.get(&admin(), "host", &host).await.unwrap().attributes["status"] == "offline").await;
    }

    async fn nothing_runs_where_data_roles_do_not_reach(db: Db) {
        let w = World::new(db.clone()).await;
        let access = Access::new(db.clone());
        let cmdb = Cmdb::new(db.clone(), Documents::new(db), access.clone()).await.unwrap();
        let w = w.restart_with(Arc::new(cmdb.clone())).await;
        let system = plenum_access::Principal::System("tests");
        let user = access.create_user(&system, "olga", "", plenum_access::Role::Operator, "a password of some length").await.unwrap();
        let olga = plenum_access::Principal::User(user.principal());
        let mut hosts = Vec::new();
        let mut agents = Vec::new();
        for name in ["mine", "theirs"] {
            let a = w.online(name).await;
            let json = serde_json::json!({"node": {"hostname": name, "machine_id": format!("machine-{name}")},
                "services": [{"model": "redis", "name": name, "port": 6379}]});
            a.say(agent_message::Body::Facts(v1::Facts { json: json.to_string().into(), digest: "d".into() })).await;
            w.until(async |j: &Jobs| j.node(&admin(), &a.node).await.unwrap().host_instance_id.is_some()).await;
            hosts.push(w.jobs.node(&admin(), &a.node).await.unwrap().host_instance_id.unwrap());
            agents.push(a);
        }
        let role = |host: &str, write: bool| -> plenum_access::DataRole {
            let rules = serde_json::json!([{"models": ["host"], "filter": host, "write": write}, {"models": ["redis"], "write": true}]);
            serde_json::from_value(serde_json::json!({"name": "hers", "rules": rules, "members": [user.id]})).unwrap()
        };
        let preview = async |t: Targets| w.jobs.preview(&olga, &t).await.map(|p| (p.total, p.unreachable.len())).map_err(|e| e.to_string());
        let by = |model: &str| Targets { filter: Some(FilterTargets { model: model.into(), cel: String::new() }), ..Default::default() };
        let instance = |i: usize| Targets { instances: vec![InstanceRef { model: "host".into(), id: hosts[i].clone() }], ..Default::default() };
        let node = |i: usize| w.request(&[agents[i].node.as_str()]).targets;

        cmdb.put_data_role(&system, role("hostname == \"mine\"", true), Some(0)).await.unwrap();
        assert_eq!(preview(by("host")).await.unwrap(), (1, 0));
        // A service that she may change leads to a host that she may not.
        assert_eq!(preview(by("redis")).await.unwrap(), (1, 1));
        assert_eq!((preview(instance(0)).await.unwrap(), preview(node(0)).await.unwrap()), ((1, 0), (1, 0)));
        assert!(preview(instance(1)).await.unwrap_err().contains("there is no host"));
        assert!(preview(node(1)).await.unwrap_err().contains(&agents[1].node));
        let mut request = w.request(&[agents[1].node.as_str()]);
        assert!(w.jobs.run(&olga, request.clone()).await.is_err());
        request.targets = instance(1);
        assert!(w.jobs.run(&olga, request).await.is_err());
        // To see is not to run on.
        cmdb.put_data_role(&system, role("hostname == \"mine\"", false), None).await.unwrap();
        assert_eq!(preview(by("host")).await.unwrap(), (0, 0));
        assert!(preview(instance(0)).await.unwrap_err().contains("data roles"));
        assert!(preview(node(0)).await.is_err());
    }
}
