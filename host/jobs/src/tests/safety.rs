//! Rules at the door, and another person's approval.

use plenum_access::{Access, AuditQuery, Principal, Role, UserPrincipal};
use plenum_agent_protocol::v1::FinishStatus as F;
use plenum_store::both_databases;

use super::support::*;
use crate::safety::{ApprovalQuery, CheckRequest, Decision, Level, RuleDraft};
use crate::*;

fn person(id: &str, role: Role) -> Principal {
    Principal::User(UserPrincipal { id: id.into(), name: id.into(), role })
}

fn request(w: &World, nodes: &[&str], script: &str) -> RunRequest {
    let mut r = w.request(nodes);
    r.script.content = script.into();
    r
}

fn code<T: std::fmt::Debug>(r: Result<T, JobsError>) -> &'static str {
    r.unwrap_err().code()
}

both_databases! {
    migrations: SETS;

    async fn what_a_rule_blocks_never_starts(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let refused = w.jobs.run(&admin(), request(&w, &[&e.node], "x=/; rm -rf $x")).await;
        let Err(JobsError::Blocked(found)) = refused else { panic!("{refused:?}") };
        assert_eq!((found[0].rule.as_str(), found[0].line, found[0].column), ("delete-root", 1, 6));
        // Whoever asks: a plugin, and a retry, come through the same door.
        let p = plugin("p", &[("jobs.run", &[]), ("jobs.read", &[])]);
        assert_eq!(code(w.jobs.run(&p, request(&w, &[&e.node], "mkfs.ext4 /dev/sda")).await), "jobs.script_blocked");
        assert_eq!(w.jobs.executions(&admin(), &ExecutionQuery::default()).await.unwrap().total, 0);
        let audit = Access::new(w.db.clone()).audit_log(&AuditQuery { action_prefix: Some("jobs.execution.blocked".into()), limit: 10, ..AuditQuery::default() }).await.unwrap();
        assert_eq!(audit.len(), 2);
    }

    async fn a_warning_is_told_and_runs(db: Db) {
        let w = World::new(db).await;
        let mut agent = w.online("a").await;
        let x = w.jobs.run(&admin(), request(&w, &[&agent.node], "echo hi\neval \"$CMD\"")).await.unwrap();
        assert_eq!((x.status, x.findings[0].level, x.findings[0].line), (ExecutionStatus::Running, Level::Warn, 2));
        assert!(x.findings.iter().any(|f| f.rule == "unseen-text"));
        assert_eq!(agent.run().await.execution_id, x.id);
    }

    async fn another_person_approves_and_what_was_looked_at_runs(db: Db) {
        let w = World::new(db).await;
        let mut agent = w.online("a").await;
        let (ann, bob, eve) = (person("ann", Role::Operator), person("bob", Role::Operator), person("eve", Role::Viewer));
        let mut asked = request(&w, &[&agent.node], "reboot");
        asked.env.insert("TOKEN".into(), "s3cret".into());
        let x = w.jobs.run(&ann, asked).await.unwrap();
        let approval = x.approval.clone().unwrap();
        assert_eq!((x.status, approval.asker.as_deref(), approval.decision), (ExecutionStatus::WaitingApproval, Some("ann"), None));
        let t = w.result(&x.id, &agent.node).await;
        assert_eq!((t.status, t.waiting_for.as_deref()), (TargetStatus::Pending, Some("another person's approval")));
        let mine = |who: Principal| { let jobs = w.jobs.clone(); async move { jobs.waiting_approvals(&who, &ApprovalQuery { mine: true, limit: 0 }).await.unwrap().total } };
        assert_eq!((mine(ann.clone()).await, mine(bob.clone()).await, mine(eve.clone()).await), (0, 1, 0));
        // Not the one who asked, not who may not run, no plugin, not something else than was looked at.
        assert_eq!(code(w.jobs.approve(&ann, &x.id, &approval.digest, None).await), "access.denied");
        assert_eq!(code(w.jobs.approve(&eve, &x.id, &approval.digest, None).await), "access.denied");
        let p = plugin("p", &[("jobs.run", &[]), ("jobs.read", &[("executions", &["all"])])]);
        assert_eq!(code(w.jobs.approve(&p, &x.id, &approval.digest, None).await), "access.denied");
        assert_eq!(code(w.jobs.approve(&bob, &x.id, "another", None).await), "jobs.approval_changed");
        // Somebody at the database does not get something else approved.
        w.db.execute("UPDATE job_executions SET script = 'halt' WHERE id = ?", plenum_store::params![&x.id]).await.unwrap();
        assert_eq!(code(w.jobs.approve(&bob, &x.id, &approval.digest, None).await), "jobs.approval_changed");
        w.db.execute("UPDATE job_executions SET script = 'reboot' WHERE id = ?", plenum_store::params![&x.id]).await.unwrap();
        let done = w.jobs.approve(&bob, &x.id, &approval.digest, Some("window is open".into())).await.unwrap();
        assert_eq!((done.status, done.approval.unwrap().decision), (ExecutionStatus::Running, Some(Decision::Approved)));
        assert_eq!(code(w.jobs.approve(&bob, &x.id, &approval.digest, None).await), "jobs.not_waiting");
        let run = agent.run().await;
        assert_eq!((run.execution_id.as_str(), run.script.as_ref(), run.env["TOKEN"].as_str()), (x.id.as_str(), b"reboot".as_slice(), "s3cret"));
        agent.finish(&x.id, F::Succeeded, 0).await;
        assert_eq!(soon(w.jobs.wait(&x.id)).await.unwrap().status, ExecutionStatus::Succeeded);
    }

    async fn no_is_an_end_and_who_waits_hears_of_it(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let (ann, bob) = (person("ann", Role::Operator), person("bob", Role::Operator));
        let x = w.jobs.run(&ann, request(&w, &[&e.node], "userdel x")).await.unwrap();
        let jobs = w.jobs.clone();
        let id = x.id.clone();
        let waits = tokio::spawn(async move { jobs.wait(&id).await.unwrap() });
        assert_eq!(code(w.jobs.refuse(&ann, &x.id, None).await), "access.denied");
        let no = w.jobs.refuse(&bob, &x.id, Some("not today".into())).await.unwrap();
        assert_eq!((no.status, no.summary.cancelled), (ExecutionStatus::Cancelled, 1));
        assert_eq!(soon(waits).await.unwrap().status, ExecutionStatus::Cancelled);
        let t = w.result(&x.id, &e.node).await;
        assert_eq!((t.code.as_deref(), t.message.as_deref()), (Some("jobs.approval_refused"), Some("not started: bob refused it: not today")));
        // Whoever asked may take it back.
        let y = w.jobs.run(&ann, request(&w, &[&e.node], "userdel x")).await.unwrap();
        assert_eq!(w.jobs.cancel(&ann, &y.id).await.unwrap().status, ExecutionStatus::Cancelled);
    }

    async fn what_nobody_approves_is_given_up_also_after_a_restart(db: Db) {
        let w = World::with(db, std::sync::Arc::new(tempfile::tempdir().unwrap()), |c| c.approval = std::time::Duration::from_millis(1)).await;
        let e = w.enrol("a").await;
        let x = w.run(&[&e.node]).await;
        assert_eq!(x.status, ExecutionStatus::Running);
        let mut asked = request(&w, &[&e.node], "reboot");
        asked.env.insert("TOKEN".into(), "s3cret".into());
        let y = w.jobs.run(&admin(), asked).await.unwrap();
        let w = w.restart().await;
        let ended = soon(w.jobs.wait(&y.id)).await.unwrap();
        assert_eq!((ended.status, ended.approval.unwrap().decision), (ExecutionStatus::Cancelled, Some(Decision::Expired)));
        assert_eq!(w.result(&y.id, &e.node).await.code.as_deref(), Some("jobs.approval_expired"));
        let row = w.db.fetch_optional("SELECT env FROM job_executions WHERE id = ?", plenum_store::params![&y.id]).await.unwrap().unwrap();
        assert!(row.json("env").unwrap()["TOKEN"].is_null());
    }

    async fn administrators_have_rules_of_their_own(db: Db) {
        let w = World::new(db).await;
        let e = w.enrol("a").await;
        let draft = |json: serde_json::Value| serde_json::from_value::<RuleDraft>(json).unwrap();
        let own = serde_json::json!({"title": "No telnet", "level": "block", "why": "It sends passwords in the clear.",
            "pattern": {"kind": "command", "commands": [{"names": ["telnet"]}]}});
        assert_eq!(code(w.jobs.save_safety_rule(&user(Role::Operator), None, draft(own.clone()), None).await), "access.denied");
        let rule = w.jobs.save_safety_rule(&admin(), None, draft(own.clone()), None).await.unwrap();
        assert_eq!(code(w.jobs.run(&admin(), request(&w, &[&e.node], "sudo telnet x")).await), "jobs.script_blocked");
        assert_eq!(code(w.jobs.save_safety_rule(&admin(), Some(&rule.id), draft(own.clone()), Some(7)).await), "jobs.bad_rule");
        // For some roles, for some targets.
        let mut some = own.clone();
        some["roles"] = serde_json::json!(["operator"]);
        w.jobs.save_safety_rule(&admin(), Some(&rule.id), draft(some.clone()), Some(1)).await.unwrap();
        w.jobs.run(&admin(), request(&w, &[&e.node], "telnet x")).await.unwrap();
        assert_eq!(code(w.jobs.run(&user(Role::Operator), request(&w, &[&e.node], "telnet x")).await), "jobs.script_blocked");
        some["targets"] = serde_json::json!("another-node");
        w.jobs.save_safety_rule(&admin(), Some(&rule.id), draft(some.clone()), None).await.unwrap();
        w.jobs.run(&user(Role::Operator), request(&w, &[&e.node], "telnet x")).await.unwrap();
        // In this test's CMDB a filter is a node's id.
        some["targets"] = serde_json::json!(e.node);
        w.jobs.save_safety_rule(&admin(), Some(&rule.id), draft(some), None).await.unwrap();
        assert_eq!(code(w.jobs.run(&user(Role::Operator), request(&w, &[&e.node], "telnet x")).await), "jobs.script_blocked");
        // One that comes with the platform: another level, off, and as it came again.
        let as_is = |level: &str, enabled: bool| draft(serde_json::json!({"level": level, "enabled": enabled, "approver": "administrator"}));
        w.jobs.save_safety_rule(&admin(), Some("power"), as_is("block", true), None).await.unwrap();
        assert_eq!(code(w.jobs.run(&admin(), request(&w, &[&e.node], "reboot")).await), "jobs.script_blocked");
        w.jobs.save_safety_rule(&admin(), Some("power"), as_is("warn", false), None).await.unwrap();
        assert!(w.jobs.run(&admin(), request(&w, &[&e.node], "reboot")).await.unwrap().findings.is_empty());
        w.jobs.save_safety_rule(&admin(), Some("power"), as_is("approve", true), None).await.unwrap();
        let x = w.jobs.run(&person("ann", Role::Operator), request(&w, &[&e.node], "reboot")).await.unwrap();
        let seen = x.approval.clone().unwrap().digest;
        assert_eq!(code(w.jobs.approve(&person("bob", Role::Operator), &x.id, &seen, None).await), "access.denied");
        w.jobs.approve(&person("carl", Role::Administrator), &x.id, &seen, None).await.unwrap();
        w.jobs.delete_safety_rule(&admin(), "power").await.unwrap();
        w.jobs.delete_safety_rule(&admin(), &rule.id).await.unwrap();
        assert!(w.jobs.safety_rules(&admin()).await.unwrap().iter().all(|r| r.built_in && r.version == 0));
    }

    async fn a_script_can_be_looked_at_before(db: Db) {
        let w = World::new(db).await;
        let ask = |json: serde_json::Value| serde_json::from_value::<CheckRequest>(json).unwrap();
        let script = ask(serde_json::json!({"script": {"language": "bash", "content": "dd if=x of=/dev/$D"}, "env": {"D": "sda"}}));
        let said = w.jobs.check_script(&admin(), script.clone()).await.unwrap();
        assert_eq!((said.level, said.findings[0].rule.as_str()), (Some(Level::Block), "write-disk"));
        assert_eq!(code(w.jobs.check_script(&user(Role::Viewer), script).await), "access.denied");
    }
}
