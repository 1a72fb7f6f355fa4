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
}
