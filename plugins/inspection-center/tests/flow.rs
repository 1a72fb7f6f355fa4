//! An inspection from its making to its report, on a platform in memory; scripts really run where that says more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use plenum_sdk::workflow;
use serde_json::{Value, json};
use support::{Behaviour, Fleet, call, call_as, pump};

/// A small template whose one check counts lines of a file that tests can change.
fn template(command: &str) -> String {
    format!(
        "id: mine\ntitle: Mine\nmodel: host\nchecks:\n  - id: files\n    title: Files\n    command: |\n      {}\n    parse: {{ kind: table, columns: [use, name] }}\n    label: name\n    \
         thresholds:\n      - {{ level: fatal, field: use, op: '>=', value: 90, message: '{{name}} at {{use}}' }}\n      - {{ level: warning, field: use, op: '>=', value: 50, message: '{{name}} at {{use}}' }}\n",
        command.replace('\n', "\n      ")
    )
}

fn fleet(count: u32) -> Fleet {
    Fleet::new(count)
}

fn made(command: &str) -> String {
    let (status, body) = call("POST", "/templates", json!({ "source": template(command) }));
    assert_eq!(status, 201, "{body}");
    let (status, body) = call("POST", "/inspections", json!({ "name": "all", "items": [{ "template": "mine" }] }));
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

fn run(local: &Fleet, inspection: &str, twice: bool) -> Value {
    let (status, report) = call("POST", &format!("/inspections/{inspection}/run"), json!({}));
    assert_eq!(status, 202, "{report}");
    pump(&local.fake, report["run"].as_str().unwrap(), twice).unwrap();
    let (status, report) = call("GET", &format!("/reports/{}", report["id"].as_str().unwrap()), json!({}));
    assert_eq!(status, 200, "{report}");
    report
}

#[test]
fn a_report_is_graded_scored_and_compared_with_the_last_one() {
    let local = fleet(2);
    let dir = tempdir();
    let file = dir.join("state");
    std::fs::write(&file, "95 a\n60 b\n10 c\n").unwrap();
    let inspection = made(&format!("cat {}", file.display()));
    let first = run(&local, &inspection, false);
    assert_eq!((&first["status"], &first["score"]), (&json!("finished"), &json!(80)), "{first}");
    assert_eq!(first["totals"]["counts"]["fatal"], 2);
    assert_eq!(first["previous"], Value::Null);
    std::fs::write(&file, "60 a\n95 b\n55 d\n").unwrap();
    let second = run(&local, &inspection, false);
    assert_eq!(second["previous"], first["id"]);
    assert_eq!(second["totals"]["changes"], json!({ "new": 2, "worse": 2, "better": 2, "gone": 0 }), "on both targets");
    let id = second["id"].as_str().unwrap();
    let (_, changes) = call("GET", &format!("/reports/{id}/changes?limit=1"), json!({}));
    assert_eq!((&changes["total"], changes["items"][0]["changes"].as_array().unwrap().len()), (&json!(2), 3));
    let (_, rows) = call("GET", &format!("/reports/{id}/checks/0/files"), json!({}));
    assert_eq!((&rows["total"], &rows["items"][0]["result"]["status"]), (&json!(2), &json!("fatal")));
    std::fs::write(&file, "").unwrap();
    let third = run(&local, &inspection, false);
    assert_eq!((&third["score"], &third["totals"]["changes"]["gone"]), (&json!(100), &json!(6)));
    let rows =
        |all: &str| call("GET", &format!("/reports/{}/checks/0/files{all}", third["id"].as_str().unwrap()), json!({})).1["total"].clone();
    assert_eq!((rows(""), rows("?all=true")), (json!(0), json!(2)), "where all is well there is nothing to show, unless asked");
    let (_, trend) = call("GET", &format!("/inspections/{inspection}/trend"), json!({}));
    let scores: Vec<_> = trend["items"].as_array().unwrap().iter().map(|point| point["score"].as_u64().unwrap()).collect();
    assert_eq!(scores, [80, 80, 100]);
}

#[test]
fn every_action_called_again_after_a_crash_changes_nothing() {
    let ended = |twice: bool| {
        let local = fleet(3);
        let inspection = made("echo 95 a");
        run(&local, &inspection, twice);
        let totals = run(&local, &inspection, twice)["totals"].clone();
        let counts = ["reports", "batches", "plans", "targets", "evidence"].map(|collection| local.count(collection));
        (totals, counts)
    };
    assert_eq!(ended(false), ended(true));
}

#[test]
fn a_scheduled_run_that_starts_over_makes_one_report() {
    let local = fleet(1);
    let inspection = made("echo 1 a");
    let input = json!({ "inspection": inspection });
    let run = workflow::start(inspection_center::inspections::WORKFLOW, &input, Some("due")).unwrap().id;
    pump(&local.fake, &run, true).unwrap();
    assert_eq!(local.count("reports"), 1);
    let (_, list) = call("GET", &format!("/reports?inspection={inspection}"), json!({}));
    assert_eq!(list["items"][0]["trigger"], "schedule");
}

#[test]
fn targets_that_could_not_be_asked_are_in_the_report_with_the_reason() {
    let local = fleet(4);
    local.machine("sleeping", json!({ "node_id": "n9", "os_id": "debian", "status": "offline" }));
    local.machine("unmanaged", json!({ "os_id": "debian" }));
    local.node("n1", Behaviour::Ends("timed_out", "after 300 s"));
    local.node("n2", Behaviour::Ends("lost", "no word since 10:00"));
    local.node("n3", Behaviour::Prints("bash: command not found\n".into()));
    let inspection = made("echo 1 a");
    let report = run(&local, &inspection, false);
    let targets = &report["totals"]["targets"];
    assert_eq!(*targets, json!({ "total": 6, "inspected": 1, "offline": 1, "timed_out": 1, "failed": 2, "no_agent": 1, "cancelled": 0 }));
    let (_, page) = call("GET", &format!("/reports/{}/targets", report["id"].as_str().unwrap()), json!({}));
    for target in page["items"].as_array().unwrap().iter().filter(|target| target["state"] != "inspected") {
        assert!(!target["reason"]["en"].as_str().unwrap().is_empty(), "{target}");
        assert_eq!(target["score"], Value::Null);
    }
}

#[test]
fn two_services_on_one_machine_are_asked_by_two_jobs() {
    let local = fleet(1);
    for port in [6379, 6380] {
        local.fake.instance("redis", json!({ "name": format!("redis {port}"), "node_id": "n0", "port": port, "status": "running" }));
    }
    let source = template("echo $PLENUM_PORT port").replace("model: host", "model: redis").replace("value: 90", "value: 6380");
    assert_eq!(call("POST", "/templates", json!({ "source": source })).0, 201);
    let (_, inspection) = call("POST", "/inspections", json!({ "name": "redis", "items": [{ "template": "mine" }] }));
    let report = run(&local, inspection["id"].as_str().unwrap(), false);
    assert_eq!(report["batches"], 2);
    assert_eq!(
        (&report["totals"]["counts"]["fatal"], &report["totals"]["counts"]["warning"]),
        (&json!(1), &json!(1)),
        "each saw its own port"
    );
}

#[test]
fn a_large_fleet_is_asked_by_one_job_graded_in_batches_and_read_in_pages() {
    let local = fleet(230);
    for at in 0..230 {
        local.node(&format!("n{at}"), Behaviour::Ends("timed_out", ""));
    }
    let inspection = made("echo 1 a");
    let report = run(&local, &inspection, false);
    assert_eq!((&report["batches"], &report["totals"]["targets"]["timed_out"]), (&json!(3), &json!(230)));
    let requests = local.fake.requests();
    assert_eq!((requests.len(), requests[0].targets.nodes.len(), requests[0].concurrency), (1, 230, None), "nobody waits for a place");
    let (_, page) = call("GET", &format!("/reports/{}/targets?limit=200", report["id"].as_str().unwrap()), json!({}));
    assert_eq!(page["items"].as_array().unwrap().len(), 200);
    assert!(page["next_cursor"].is_string());
}

#[test]
fn what_a_machine_prints_cannot_become_html_or_a_formula() {
    let local = fleet(1);
    let inspection = made("echo '95 =cmd()<script>alert(1)</script>'");
    let report = run(&local, &inspection, false);
    let id = report["id"].as_str().unwrap();
    let (_, html) = call("GET", &format!("/reports/{id}/export.html"), json!({}));
    assert!(!html.as_str().unwrap().contains("<script"), "{html}");
    assert!(html.as_str().unwrap().contains("&lt;script&gt;"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!html.as_str().unwrap().contains(outside), "the file needs nothing else, yet it has {outside}");
    }
    let (_, csv) = call("GET", &format!("/reports/{id}/export.csv"), json!({}));
    assert!(csv.as_str().unwrap().contains("\"'=cmd()"), "{csv}");
}

#[test]
fn wrong_drafts_are_refused_with_the_place() {
    let _fleet = fleet(1);
    let draft = json!({
        "name": "", "items": [
            { "template": "nope" },
            { "template": "linux-baseline", "filter": "os_idd == \"debian\"", "overrides": { "disk-space": { "thresholds": { "fatal": "much" } }, "gone": { "enabled": false } } },
        ],
        "schedule": { "cron": "every day", "timezone": "UTC" },
    });
    let (status, body) = call("POST", "/inspections", draft);
    assert_eq!(status, 422);
    let pointers: Vec<_> = body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    for pointer in [
        "/name",
        "/items/0/template",
        "/items/1/filter",
        "/items/1/overrides/disk-space/thresholds/fatal",
        "/items/1/overrides/gone",
        "/schedule/cron",
    ] {
        assert!(pointers.contains(&pointer), "{pointer} in {pointers:?}");
    }
    assert!(body["errors"].to_string().contains("did you mean os_id"));
}

#[test]
fn built_in_templates_are_copied_not_changed() {
    let _fleet = fleet(1);
    let (status, body) = call("PUT", "/templates/redis", json!({ "source": template("true") }));
    assert_eq!((status, body["code"].as_str().unwrap()), (409, "inspection.template_read_only"));
    assert_eq!(call("DELETE", "/templates/redis", json!({})).0, 409);
    let (status, copy) = call("POST", "/templates/redis/copy", json!({ "id": "redis-2", "title": "Ours: \"fast\"" }));
    assert_eq!((status, copy["template"]["title"]["en"].as_str().unwrap()), (201, "Ours: \"fast\""));
    assert!(copy["source"].as_str().unwrap().contains("# info SECTION"), "comments are kept");
    assert_eq!(call("POST", "/templates/redis/copy", json!({ "id": "redis-2" })).0, 422, "the id is taken");
    let mut fields = copy["template"].clone();
    fields["checks"][0]["timeout"] = json!(9);
    assert_eq!(call("PUT", "/templates/redis-2", json!({ "template": fields, "version": copy["version"] })).0, 200);
    assert_eq!(call("PUT", "/templates/redis-2", json!({ "template": fields, "version": copy["version"] })).0, 409, "an old version");
    let (_, body) = call("POST", "/templates/validate", json!({ "source": template("true").replace("field: use", "field: used") }));
    assert_eq!((&body["ok"], &body["errors"][0]["pointer"]), (&json!(false), &json!("/checks/0/thresholds/0/field")));
}

#[test]
fn a_template_in_use_stays_and_a_deleted_inspection_leaves_nothing() {
    let local = fleet(2);
    let inspection = made("echo 1 a");
    run(&local, &inspection, false);
    let (status, body) = call("DELETE", "/templates/mine", json!({}));
    assert_eq!((status, body["code"].as_str().unwrap()), (409, "inspection.template_in_use"));
    assert_eq!(call("DELETE", &format!("/inspections/{inspection}"), json!({})).0, 200);
    for collection in ["inspections", "reports", "batches", "plans", "targets", "evidence"] {
        assert_eq!(local.count(collection), 0, "{collection}");
    }
    assert_eq!(call("DELETE", "/templates/mine", json!({})).0, 200);
}

#[test]
fn old_reports_go_beyond_what_is_kept() {
    let local = fleet(1);
    let inspection = made("echo 1 a");
    let (_, old) = call("GET", &format!("/inspections/{inspection}"), json!({}));
    let draft = json!({ "name": "all", "items": old["items"], "keep_reports": 2, "version": old["version"] });
    assert_eq!(call("PUT", &format!("/inspections/{inspection}"), draft).0, 200);
    for _ in 0..4 {
        run(&local, &inspection, false);
    }
    assert_eq!((local.count("reports"), local.count("targets")), (2, 2));
}

#[test]
fn a_schedule_follows_its_inspection() {
    let local = fleet(1);
    let schedule = json!({ "cron": "0 6 * * *", "timezone": "Europe/Berlin" });
    let draft = json!({ "name": "daily", "items": [{ "template": "linux-baseline" }], "schedule": schedule });
    let (status, body) = call("POST", "/inspections", draft.clone());
    assert_eq!(status, 201, "{body}");
    let id = body["id"].as_str().unwrap();
    assert_eq!(local.fake.schedules().len(), 1);
    let (_, found) = call("GET", &format!("/inspections/{id}"), json!({}));
    assert_eq!(found["next_times"].as_array().unwrap().len(), 5);
    let mut off = draft;
    off["schedule"] = Value::Null;
    assert_eq!(call("PUT", &format!("/inspections/{id}"), off).0, 200);
    assert!(local.fake.schedules().is_empty());
}

#[test]
fn a_run_that_died_or_was_stopped_closes_its_report() {
    let local = fleet(1);
    let inspection = made("echo 1 a");
    let (_, report) = call("POST", &format!("/inspections/{inspection}/run"), json!({}));
    let id = report["id"].as_str().unwrap();
    let (status, body) = call("DELETE", &format!("/reports/{id}"), json!({}));
    assert_eq!((status, body["code"].as_str().unwrap()), (409, "inspection.report_running"));
    let (status, body) = call("POST", &format!("/reports/{id}/cancel"), json!({}));
    assert_eq!((status, &body["status"]), (200, &json!("cancelled")));
    pump(&local.fake, report["run"].as_str().unwrap(), false).unwrap();
    let (_, body) = call("GET", &format!("/reports/{id}"), json!({}));
    assert_eq!(body["status"], "cancelled", "a late action does not wake it");
}

#[test]
fn viewer_reads_and_changes_nothing() {
    let _fleet = fleet(1);
    let inspection = made("echo 1 a");
    assert_eq!(call_as("viewer", "GET", "/inspections", json!({})).0, 200);
    for (method, path) in [
        ("POST", format!("/inspections/{inspection}/run")),
        ("DELETE", format!("/inspections/{inspection}")),
        ("POST", "/templates/redis/copy".into()),
    ] {
        assert_eq!(call_as("viewer", method, &path, json!({ "id": "xx" })).0, 403, "{method} {path}");
    }
}

fn tempdir() -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("inspection-flow-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
