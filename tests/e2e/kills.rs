//! `kill -9` of host and agents at random moments of inspections: whatever dies, each inspection ends, each target has its result, and no
//! script runs twice.
//!
//! A moment is a stage of the inspection that is observed from outside, plus a random pause. `PLENUM_TEST_SEED` chooses the moments
//! (a number or `random`), `PLENUM_TEST_KILLS` how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plenum_tests::random::count_from_env;
use plenum_tests::{Agent, Client, Database, Host, HostOptions, PATIENCE, Random, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const APP: &str = "/api/v1/plugins/inspection-center/http";
const PERMISSIONS: [&str; 7] = ["cmdb.read", "jobs.run", "jobs.read", "workflow.run", "workflow.read", "store", "events.read"];
/// Machines that are inspected, each with an agent of its own that may be killed.
const MACHINES: [&str; 3] = ["ant", "bee", "cat"];
/// A machine whose agent is never killed: its job lasts through all restarts of the host.
const WITNESS: &str = "owl";

/// Where an inspection is, as an outside observer can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Accepted,
    Planned,
    ScriptBegan,
    ScriptEnded,
    Grading,
}

const STAGES: [Stage; 5] = [Stage::Accepted, Stage::Planned, Stage::ScriptBegan, Stage::ScriptEnded, Stage::Grading];

#[derive(Debug, Clone, Copy)]
enum Victim {
    Host,
    Agent(usize),
    HostAndAgent(usize),
}

fn template(marks: &Path) -> String {
    format!(
        r#"
id: marks
version: 1
title: {{ en: Marks, zh: 记号 }}
description: {{ en: Leaves a line., zh: 留下一行。 }}
model: host
categories:
  - {{ id: health, title: {{ en: Health, zh: 健康 }} }}
checks:
  - id: answer
    category: health
    title: {{ en: Answer, zh: 回答 }}
    description: {{ en: Says a number., zh: 输出一个数字。 }}
    advice: {{ en: None is needed., zh: 无需处理。 }}
    timeout: 100
    command: echo "began $PLENUM_EXECUTION_ID $PLENUM_PROCESS_MARK" >> {marks}; sleep 0.6; echo "ended $PLENUM_EXECUTION_ID $PLENUM_PROCESS_MARK" >> {marks}; echo 42
    parse: {{ kind: number }}
    value: {{ en: "{{value}}", zh: "{{value}}" }}
    thresholds:
      - {{ level: warning, field: value, op: ">=", value: 40, message: {{ en: "it is {{value}}", zh: "为 {{value}}" }} }}
"#,
        marks = marks.display()
    )
}

struct World {
    host: Host,
    admin: Client,
    agents: Vec<Agent>,
    _witness: Agent,
    marks: PathBuf,
    inspection: String,
}

impl World {
    async fn new(postgres: bool) -> World {
        let database = if postgres { Database::Postgres(plenum_store::testing::postgres_url().await) } else { Database::Sqlite };
        let host = Host::start(HostOptions { database, ..HostOptions::default() }).await;
        let agents = MACHINES.iter().map(|name| Agent::simulated(&host, name)).collect();
        let witness = Agent::simulated(&host, WITNESS);
        let admin = host.admin().await;
        let made = admin.post("/api/v1/plugins", json!({"id": "inspection-center", "permissions": PERMISSIONS})).await;
        assert_eq!(made["status"], "active", "{made:#}");
        let marks = host.data().join("marks");
        let made = admin.post(&format!("{APP}/templates"), json!({"source": template(&marks)})).await;
        let template = made["template"]["id"].as_str().or(made["id"].as_str()).unwrap().to_owned();
        let filter = format!("hostname != '{WITNESS}-0001'");
        let made =
            admin.post(&format!("{APP}/inspections"), json!({"name": "All", "items": [{"template": template, "filter": filter}]})).await;
        let inspection = made["id"].as_str().unwrap().to_owned();
        let w = World { host, admin, agents, _witness: witness, marks, inspection };
        w.all_connected().await;
        w
    }

    /// Every agent is connected and every machine is in the CMDB.
    async fn all_connected(&self) {
        eventually("all agents to be connected and known", || async {
            let nodes = self.admin.get("/api/v1/nodes?state=online").await;
            let hosts = self.admin.get("/api/v1/cmdb/models/host/instances").await;
            let known = hosts["items"].as_array()?.iter().filter(|h| h["attributes"]["status"] == "online").count();
            (nodes["items"].as_array()?.len() == MACHINES.len() + 1 && known == MACHINES.len() + 1).then_some(())
        })
        .await;
    }

    async fn kill(&mut self, victim: Victim, down: Duration) {
        if let Victim::Agent(a) | Victim::HostAndAgent(a) = victim {
            self.agents[a].kill9();
        }
        if let Victim::Host | Victim::HostAndAgent(_) = victim {
            self.host.kill9();
        }
        tokio::time::sleep(down).await;
        if let Victim::Agent(a) | Victim::HostAndAgent(a) = victim {
            self.agents[a].run();
        }
        if let Victim::Host | Victim::HostAndAgent(_) = victim {
            self.host.restart().await;
            self.admin = self.host.admin().await;
        }
    }

    fn marks(&self) -> String {
        std::fs::read_to_string(&self.marks).unwrap_or_default()
    }

    async fn report(&self, id: &str) -> Option<Value> {
        let (status, report) = self.admin.send(Method::GET, &format!("{APP}/reports/{id}"), None).await;
        (status == StatusCode::OK).then_some(report)
    }

    /// Waits until the inspection has come so far, or is over already: a kill after its end must not hurt either.
    async fn reached(&self, stage: Stage, report: &str, marks_before: usize) {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let state = self.report(report).await.unwrap_or_default();
            let marks = self.marks();
            let new = marks.get(marks_before..).unwrap_or_default();
            let there = match stage {
                Stage::Accepted => true,
                Stage::Planned => state["batches"].is_i64(),
                Stage::ScriptBegan => new.contains("began"),
                Stage::ScriptEnded => new.contains("ended"),
                Stage::Grading => match state["run"].as_str() {
                    Some(run) => {
                        let run = self.admin.get(&format!("/api/v1/runs/{run}")).await;
                        run["tasks"].as_array().is_some_and(|t| t.iter().any(|t| t["name"] == "grade"))
                    }
                    None => false,
                },
            };
            if there || state["finished_at"].is_i64() {
                return;
            }
            assert!(std::time::Instant::now() < end, "waited {} s for {stage:?}: {state:#}", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// One inspection, with these kills in it.
    async fn round(&mut self, kills: &[(Stage, Duration, Victim, Duration)]) {
        self.all_connected().await;
        let marks_before = self.marks().len();
        let executions = self.admin.get("/api/v1/jobs/executions").await["total"].as_i64().unwrap();
        let made = self.admin.post(&format!("{APP}/inspections/{}/run", self.inspection), json!({})).await;
        let id = made["id"].as_str().unwrap().to_owned();
        let mut killed = BTreeSet::new();
        for (stage, pause, victim, down) in kills {
            self.reached(*stage, &id, marks_before).await;
            tokio::time::sleep(*pause).await;
            println!("  kill {victim:?} {pause:?} after {stage:?}, down for {down:?}");
            self.kill(*victim, *down).await;
            if let Victim::Agent(a) | Victim::HostAndAgent(a) = victim {
                killed.insert(format!("{}-0001", MACHINES[*a]));
            }
        }
        let report =
            eventually(&format!("report {id} to be finished"), || async { self.report(&id).await.filter(|r| r["finished_at"].is_i64()) })
                .await;
        assert_eq!(report["status"], "finished", "{report:#}");
        assert_eq!(report["totals"]["targets"]["total"], MACHINES.len(), "{report:#}");
        let targets = self.admin.get(&format!("{APP}/reports/{id}/targets")).await;
        let states: BTreeMap<String, &Value> =
            targets["items"].as_array().unwrap().iter().map(|t| (t["label"].as_str().unwrap().to_owned(), t)).collect();
        assert_eq!(states.len(), MACHINES.len(), "each target has its result: {targets:#}");
        for (name, target) in &states {
            assert!(
                killed.contains(name) || target["state"] == "inspected",
                "only what happened to its own agent may cost a target its result: {target:#}"
            );
        }
        let inspected = states.values().filter(|t| t["state"] == "inspected").count();
        assert_eq!(report["totals"]["targets"]["inspected"], inspected, "{report:#}");

        let run = eventually("the run behind the report to end", || async {
            let run = self.admin.get(&format!("/api/v1/runs/{}", report["run"].as_str()?)).await;
            (run["status"] != "running").then_some(run)
        })
        .await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let list = self.admin.get("/api/v1/jobs/executions").await;
        assert_eq!(list["total"], executions + 1, "one job, whoever died: {list:#}");
        let execution = list["items"][0].clone();
        assert_ne!(execution["status"], "running", "{execution:#}");
        let sum: i64 = execution["summary"].as_object().unwrap().values().filter_map(Value::as_i64).sum();
        assert!(sum >= MACHINES.len() as i64, "every target of the job has ended: {execution:#}");

        // One line for one script of one agent, or none where its agent died before it.
        let marks = self.marks();
        let new = &marks[marks_before..];
        let began: Vec<&str> = new.lines().filter_map(|l| l.strip_prefix("began ")).collect();
        let distinct: BTreeSet<&str> = began.iter().copied().collect();
        assert_eq!(began.len(), distinct.len(), "a script ran twice:\n{new}");
        assert!(began.iter().all(|l| l.starts_with(execution["id"].as_str().unwrap())), "of this job: {execution:#}\n{new}");
        let ended = new.lines().filter(|l| l.starts_with("ended ")).count();
        assert!(ended >= inspected && began.len() <= MACHINES.len(), "{inspected} inspected:\n{new}");

        for (file, word) in [("export.html", "<!doctype html>"), ("export.csv", "")] {
            let text = self.admin.get(&format!("{APP}/reports/{id}/{file}")).await.as_str().unwrap_or_default().to_owned();
            assert!(text.to_lowercase().contains(word) && MACHINES.iter().all(|m| text.contains(&format!("{m}-0001"))), "{file}: {text}");
        }
    }
}

/// A job that prints numbers until a file appears.
async fn count_until(w: &World, stop: &Path) -> (String, String) {
    let nodes = w.admin.get("/api/v1/nodes").await;
    let node = nodes["items"].as_array().unwrap().iter().find(|n| n["name"].as_str().unwrap().starts_with(WITNESS)).unwrap().clone();
    let node = node["id"].as_str().unwrap().to_owned();
    let script = format!("i=0; while [ ! -e {} ]; do i=$((i+1)); echo $i; sleep 0.05; done; echo $i >&2", stop.display());
    let job = json!({"name": "Witness", "script": {"language": "bash", "content": script}, "timeout_s": 3600,
        "targets": {"nodes": [{"node_id": node}]}});
    (w.admin.post("/api/v1/jobs/executions", job).await["id"].as_str().unwrap().to_owned(), node)
}

async fn random_kills(postgres: bool, seed: u64) {
    let mut random = Random::from_env(seed);
    let mut left = count_from_env("PLENUM_TEST_KILLS", 6);
    let mut w = World::new(postgres).await;
    let stop = w.host.data().join("stop-the-witness");
    let (witness, node) = count_until(&w, &stop).await;
    while left > 0 {
        let many = (1 + random.below(2)).min(left);
        left -= many;
        let mut kills: Vec<_> = (0..many)
            .map(|_| {
                let agent = random.below(MACHINES.len());
                let victim = match random.below(10) {
                    0..6 => Victim::Host,
                    6..9 => Victim::Agent(agent),
                    _ => Victim::HostAndAgent(agent),
                };
                (random.below(STAGES.len()), random.pause(300), victim, random.pause(400))
            })
            .collect();
        kills.sort_by_key(|k| k.0);
        let kills: Vec<_> = kills.into_iter().map(|(stage, pause, victim, down)| (STAGES[stage], pause, victim, down)).collect();
        println!("inspection with {many} kills");
        w.round(&kills).await;
    }
    // What the witness printed is all there, once and in order, over all the hosts that took it.
    std::fs::write(&stop, "").unwrap();
    let path = format!("/api/v1/jobs/executions/{witness}");
    let done = eventually("the witness to end", || async {
        let e = w.admin.get(&path).await;
        (e["status"] != "running").then_some(e)
    })
    .await;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let output = w.admin.get(&format!("{path}/results/{node}/output?limit=1048576")).await;
    let text = output["text"].as_str().unwrap();
    let counted: Vec<u64> = text.lines().map(|l| l.parse().unwrap_or_else(|_| panic!("{l:?} is no number"))).collect();
    assert!(!counted.is_empty() && counted.iter().copied().eq(1..=counted.len() as u64), "a gap or a repetition: {text}");
    w.host.stop().await;
}

#[tokio::test]
async fn killed_at_random_moments_on_sqlite() {
    random_kills(false, 1).await;
}

#[tokio::test]
async fn killed_at_random_moments_on_postgres() {
    random_kills(true, 2).await;
}
