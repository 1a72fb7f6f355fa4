//! Who is let in.

use plenum_access::AuditQuery;
use plenum_agent_protocol::v1;
use plenum_store::both_databases;
use tonic::Code;

use super::support::*;
use crate::*;

both_databases! {
    migrations: SETS;

    async fn token_used_twice_is_refused(db: Db) {
        let w = World::new(db).await;
        let token = w.token().await;
        w.enrol_with(&token, "a").await.unwrap();
        let refused = w.enrol_with(&token, "b").await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("has been used"), "{}", refused.message());
        let log = w.jobs.inner.access.audit_log(&AuditQuery { limit: 50, ..Default::default() }).await.unwrap();
        assert!(log.iter().any(|l| l.action == "nodes.node.enrol_refused"));
        assert!(!format!("{log:?}").contains(token.split('.').next().unwrap()));
    }

    async fn a_token_raced_for_enrols_one(db: Db) {
        let w = World::new(db).await;
        let token = w.token().await;
        let names = ["a", "b", "c", "d", "e", "f"];
        let all = futures::future::join_all(names.iter().map(|n| w.enrol_with(&token, n))).await;
        assert_eq!(all.iter().filter(|r| r.is_ok()).count(), 1);
        assert_eq!(w.jobs.nodes(&admin(), &NodeQuery::default()).await.unwrap().total, 1);
    }

    async fn an_expired_or_unknown_token_is_refused(db: Db) {
        let w = World::new(db).await;
        let token = w.token().await;
        w.db.execute("UPDATE job_enrolment_tokens SET expires_at = 1", &[]).await.unwrap();
        assert!(w.enrol_with(&token, "a").await.err().unwrap().message().contains("expired"));
        assert!(w.enrol_with(&format!("guess.{}", "0".repeat(64)), "a").await.err().unwrap().message().contains("not known"));
    }

    async fn revoked_agent_is_refused(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let mut agent = w.agent(&e).await;
        w.until_state(&e.node, NodeState::Online).await;
        let execution = w.run(&[&e.node]).await;
        w.jobs.revoke(&admin(), &e.node).await.unwrap();
        let end = loop {
            if let Err(s) = agent.hear().await { break s }
        };
        assert_eq!(end.code(), Code::PermissionDenied);
        assert_eq!(w.try_agent(&e, &e.node, &[]).await.err().unwrap().code(), Code::PermissionDenied);
        let done = soon(w.jobs.wait(&execution.id)).await.unwrap();
        assert_eq!((done.status, done.summary.lost), (ExecutionStatus::Failed, 1));
        assert_eq!(w.jobs.run(&admin(), w.request(&[&e.node])).await.err().unwrap().code(), "jobs.node_revoked");
    }

    async fn wrong_certificate_is_refused(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        // Of another authority.
        let other = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let foreign = crate::ca::Ca::open(other.path()).unwrap().issue(&csr, &e.node).unwrap();
        let stranger = Enrolled { node: e.node.clone(), cert: foreign.pem, key: key.serialize_pem() };
        assert!(w.try_agent(&stranger, &e.node, &[]).await.is_err());
        // Of ours, but never given to a node.
        let own = w.jobs.inner.ca.issue(&csr, &e.node).unwrap();
        let forged = Enrolled { node: e.node.clone(), cert: own.pem, key: key.serialize_pem() };
        assert_eq!(w.try_agent(&forged, &e.node, &[]).await.err().unwrap().code(), Code::PermissionDenied);
        // None.
        let (_tx, rx) = tokio::sync::mpsc::channel::<v1::AgentMessage>(1);
        let none = w.client(None).await.unwrap().connect(tokio_stream::wrappers::ReceiverStream::new(rx)).await;
        assert_eq!(none.err().unwrap().code(), Code::Unauthenticated);
    }

    async fn an_agent_that_lies_about_its_node_is_refused(db: Db) {
        let w = World::new(db).await;
        let (a, b) = (w.enrol("a").await, w.enrol("b").await);
        assert_eq!(w.try_agent(&a, &b.node, &[]).await.err().unwrap().code(), Code::PermissionDenied);
        // Nor can it report for another node.
        let agent_a = w.agent(&a).await;
        let mut agent_b = w.agent(&b).await;
        w.until_state(&b.node, NodeState::Online).await;
        let x = w.run(&[&b.node]).await;
        let mut agent_a = { agent_a.finish(&x.id, v1::FinishStatus::Failed, 0).await; agent_a };
        agent_a.acknowledged(&x.id).await;
        let run = agent_b.run().await;
        agent_b.finish(&run.execution_id, v1::FinishStatus::Succeeded, 0).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn a_machine_enrolled_again_keeps_its_node(db: Db) {
        let w = World::new(db).await;
        let first = w.enrol("a").await;
        let second = w.enrol("a").await;
        assert_eq!(first.node, second.node);
        assert_eq!(w.try_agent(&first, &first.node, &[]).await.err().unwrap().code(), Code::PermissionDenied);
        let _agent = w.agent(&second).await;
        w.until_state(&second.node, NodeState::Online).await;
        // A copy of a machine whose agent is at work does not take its node away.
        assert_ne!(w.enrol("a").await.node, second.node);
    }

    async fn a_renewed_certificate_replaces_the_old_one(db: Db) {
        let w = World::new(db).await;
        let old = w.enrol("a").await;
        let key = rcgen::KeyPair::generate().unwrap();
        let csr_pem = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        // Certificates are ordered by the time of their making.
        w.db.execute("UPDATE job_certificates SET issued_at = issued_at - 1000", &[]).await.unwrap();
        let answer = w.client(Some((&old.cert, &old.key))).await.unwrap().renew(v1::RenewRequest { csr_pem }).await.unwrap().into_inner();
        let new = Enrolled { node: old.node.clone(), cert: answer.certificate_pem, key: key.serialize_pem() };
        drop(w.agent(&old).await);
        let _agent = w.agent(&new).await;
        w.until(async |j: &Jobs| !j.inner.admitted(&crate::ca::peer_identity(&pem(&old.cert)).unwrap()).await.unwrap()).await;
        assert_eq!(w.try_agent(&old, &old.node, &[]).await.err().unwrap().code(), Code::PermissionDenied);
    }
}

fn pem(text: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap().1.contents
}
