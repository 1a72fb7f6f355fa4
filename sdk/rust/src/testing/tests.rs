//! What the fake platform refuses, the host refuses too.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::store::Collection;
use crate::workflow::schedules;
use crate::{Error, cmdb, events, jobs};

const MANIFEST: &str = r#"
id = "notes"
name = "Notes"
version = "1.2.3"

[[permissions]]
name = "store"
reason = "Keeps notes."

[[permissions]]
name = "workflow.run"
reason = "Schedules."

[[settings]]
name = "limit"
type = "integer"
default = 5

[[collections]]
name = "notes"
fields = { text = "string", stars = "int", tags = "strings", extra = "json" }
unique = [["text"]]
"#;

const NOTES: Collection<Value> = Collection::new("notes");

fn refused<T: fmt::Debug>(r: crate::Result<T>) -> (u16, String, String) {
    let e: Error = r.unwrap_err();
    (e.status, e.code, e.message)
}

#[test]
fn permission_that_the_manifest_does_not_ask_for_is_refused() {
    let _fake = Fake::with_manifest(MANIFEST);
    let (status, code, message) = refused(cmdb::query("host").page());
    assert_eq!((status, code.as_str()), (403, "access.denied"));
    assert!(message.contains("name = \"cmdb.read\""), "{message}");
    assert_eq!(refused(events::publish("notes.made", "", &json!({}))).0, 403);
    assert_eq!(refused(crate::workflow::get("x")).0, 403);
    assert!(NOTES.query().page().is_ok());
    let call = crate::context::current();
    assert_eq!((call.plugin.as_str(), call.version.as_str()), ("notes", "1.2.3"));
}

#[test]
fn records_are_as_the_manifest_declares_them() {
    let _fake = Fake::with_manifest(MANIFEST);
    NOTES.insert("a", &json!({ "text": "one", "stars": 1, "tags": ["x"], "extra": { "any": [1] }, "none": null })).unwrap();
    assert!(NOTES.require("a").unwrap().data.get("none").is_none(), "null and absent are the same");
    assert_eq!(refused(NOTES.put("b", &json!({ "stars": "many" }))).1, "store.invalid");
    assert_eq!(refused(NOTES.put("b", &json!({ "tags": [1] }))).1, "store.invalid");
    assert_eq!(refused(NOTES.put("b", &json!({ "text": "one" }))).1, "store.duplicate");
    NOTES.put("a", &json!({ "text": "one", "stars": 2 })).unwrap();
    NOTES.put("c", &json!({ "stars": 2 })).unwrap();
    NOTES.put("d", &json!({ "stars": 2 })).unwrap();
    let (status, code, message) = refused(NOTES.query().filter("starz > 1").page());
    assert_eq!((status, code.as_str()), (400, "filter.unknown_field"));
    assert!(message.contains("did you mean stars?"), "{message}");
    assert_eq!(refused(NOTES.query().sort("-tags").page()).1, "store.query");
    assert_eq!(NOTES.query().filter("stars == 2").sort("-stars").count().unwrap(), 3);
    assert_eq!(refused(Collection::<Value>::new("other").get("a")), refused(Collection::<Value>::new("other").delete("a")));
    NOTES.delete_many(["a", "c", "nobody"]).unwrap();
    assert_eq!(NOTES.query().all().unwrap().len(), 1);
}

#[test]
fn settings_start_with_their_defaults() {
    let fake = Fake::with_manifest(MANIFEST);
    assert_eq!(crate::context::settings::<Value>().unwrap(), json!({ "limit": 5 }));
    fake.setting("limit", 7);
    assert_eq!(crate::context::settings::<Value>().unwrap(), json!({ "limit": 7 }));
}

#[test]
fn model_with_named_attributes_knows_no_others() {
    let fake = Fake::new();
    fake.instance("host", json!({ "hostname": "web1" }));
    assert_eq!(cmdb::query("host").filter("os_idd == \"debian\"").count().unwrap(), 0);
    fake.model("host", &["hostname", "os_id"]);
    let (status, _, message) = refused(cmdb::query("host").filter("os_idd == \"debian\"").page());
    assert_eq!((status, message.as_str()), (400, "there is no field `os_idd`; did you mean os_id?"));
}

#[test]
fn schedule_that_cannot_be_one_is_refused() {
    let fake = Fake::new();
    fake.next_times(&["2026-01-02T06:00:00+01:00"]);
    assert_eq!(refused(schedules::next_times("every day", "UTC", 5)).1, "schedule.cron");
    assert_eq!(refused(schedules::next_times("0 6 * * *", "", 5)).1, "schedule.timezone");
    assert_eq!(schedules::next_times("*/5 6 * * MON-FRI", "Europe/Berlin", 5).unwrap().len(), 1);
}

#[test]
fn jobs_answer_by_what_is_asked_and_threads_share_the_platform() {
    let fake = Fake::new();
    fake.on_job(|r| r.targets.nodes.iter().fold(Job::new(), |job, n| job.target(&n.node_id, "x", 0, &r.script.content)));
    let shared = fake.share();
    let started = std::thread::spawn(move || {
        let _here = shared.enter();
        jobs::run(&jobs::Request::new("Say", jobs::Script::sh("hello"), jobs::Targets::nodes(["n1"]))).unwrap()
    });
    let id = started.join().unwrap().id;
    assert_eq!(jobs::output_text(&id, "n1", jobs::Stream::Stdout, 100).unwrap(), "hello");
}

#[test]
fn ids_differ_from_their_first_characters_on() {
    let _fake = Fake::new();
    let ids: BTreeSet<String> = (0..1000).map(|_| crate::random::id().chars().take(16).collect()).collect();
    assert_eq!((ids.len(), crate::random::bytes(3).len()), (1000, 3));
}
