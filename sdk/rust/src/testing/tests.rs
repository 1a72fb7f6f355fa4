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

#[test]
fn records_are_counted_and_summed_by_group_and_by_span() {
    use crate::store::Span;
    let _fake = Fake::new();
    const VISITS: Collection<Value> = Collection::new("visits");
    let rows = [
        (Some("home"), Some(30), "31"),
        (Some("home"), Some(10), "31"),
        (Some("about"), Some(5), "30"),
        (None, Some(1), "30"),
        (Some("about"), None, "31"),
    ];
    for (i, (page, ms, day)) in rows.iter().enumerate() {
        VISITS.put(&format!("v{i}"), &json!({"page": page, "ms": ms, "at": format!("2026-01-{day}T08:00:00Z")})).unwrap();
    }
    let pairs = |found: Vec<crate::store::Group>| found.into_iter().map(|g| (json!(g.keys), json!(g.values))).collect::<Vec<_>>();
    let by_page = VISITS.aggregate().by("page").count().count_of("ms").sum("ms").avg("ms").min("ms").max("ms");
    let expected = [
        (json!(["about"]), json!([2, 1, 5, 5, 5, 5])),
        (json!(["home"]), json!([2, 2, 40, 20, 10, 30])),
        (json!([null]), json!([1, 1, 1, 1, 1, 1])),
    ];
    assert_eq!(pairs(by_page.groups().unwrap()), expected);
    let days = VISITS.aggregate().by_time("at", Span::Day).count().filter("ms > 1").groups().unwrap();
    assert_eq!(pairs(days), [(json!(["2026-01-30"]), json!([1])), (json!(["2026-01-31"]), json!([2]))]);
    let none = VISITS.aggregate().count().sum("ms").filter("ms > 1000").groups().unwrap();
    assert_eq!(pairs(none), [(json!([]), json!([0, null]))]);
    assert_eq!(by_page.limit(1).groups().unwrap().len(), 1);
    assert_eq!(refused(VISITS.aggregate().groups()).1, "store.query");
}

#[test]
fn fields_that_are_not_declared_are_not_aggregated() {
    let _fake = Fake::with_manifest(MANIFEST);
    assert!(refused(NOTES.aggregate().by("txt").count().groups()).2.contains("did you mean text?"));
    assert_eq!(refused(NOTES.aggregate().sum("extra").groups()).1, "store.query");
}

#[test]
fn keys_have_values_and_counting_loses_none() {
    use crate::keyvalue::Bucket;
    let fake = Fake::with_manifest(MANIFEST);
    let bucket = Bucket::open("seen").unwrap();
    assert_eq!(bucket.get("a").unwrap(), None);
    bucket.set("a", "größe").unwrap();
    bucket.set_json("b", &json!({"n": 3})).unwrap();
    assert_eq!(bucket.text("a").unwrap().as_deref(), Some("größe"));
    assert_eq!((bucket.json::<Value>("b").unwrap(), bucket.exists("c").unwrap()), (Some(json!({"n": 3})), false));
    assert_eq!((bucket.increment("n", 1).unwrap(), bucket.increment("n", 41).unwrap()), (1, 42));
    bucket.set_many([("x", [255_u8].as_slice()), ("y", b"two")]).unwrap();
    assert_eq!(bucket.get_many(["y", "gone", "x"]).unwrap(), [Some(b"two".to_vec()), None, Some(vec![255])]);
    assert_eq!(bucket.keys().unwrap(), ["a", "b", "n", "x", "y"]);
    bucket.delete("a").unwrap();
    bucket.delete_many(["b", "gone"]).unwrap();
    assert_eq!(fake.bucket("seen").into_keys().collect::<Vec<_>>(), ["n", "x", "y"]);
    let many = Bucket::open("many").unwrap();
    for at in (0..2_100).step_by(300) {
        many.set_many((at..at + 300).map(|i| (format!("k{i:05}"), "v"))).unwrap();
    }
    assert_eq!(many.keys().unwrap().len(), 2_100);
    assert_eq!(refused(Bucket::open("No/Such")).1, "keyvalue.bucket");
    assert_eq!(refused(bucket.set("", "x")).1, "keyvalue.refused");
    assert_eq!(refused(bucket.set("k", vec![0; 800 << 10])).1, "keyvalue.refused");
    assert_eq!(refused(bucket.increment("y", 1)).1, "keyvalue.refused");
    assert_eq!(refused(bucket.text("x")).1, "keyvalue.text");
    fake.deny("store");
    assert_eq!(refused(bucket.get("n")).0, 403);
}

#[test]
fn other_plugins_answer_and_secrets_are_told() {
    use crate::{context, plugins};
    let fake = Fake::new();
    assert_eq!(refused(plugins::call::<Value>("tls-watch", "check", &json!({}))).1, "plugin.not_found");
    fake.on_call(|plugin, action, input| Ok(json!({"from": format!("{plugin}.{action}"), "days": input["port"]})));
    let found: Value = plugins::call("tls-watch", "check", &json!({"port": 443})).unwrap();
    assert_eq!(found, json!({"from": "tls-watch.check", "days": 443}));
    assert_eq!(fake.calls().last().unwrap(), &("tls-watch.check".to_owned(), json!({"port": 443})));
    assert_eq!(refused(plugins::call::<u32>("tls-watch", "check", &json!({}))).1, "plugins.answer");
    fake.deny("plugins.use");
    assert_eq!(refused(plugins::call::<Value>("tls-watch", "check", &json!({}))).1, "access.denied");
    assert_eq!(context::secret("token"), None);
    fake.secret("token", "s3cret");
    assert_eq!(context::secret("token").as_deref(), Some("s3cret"));
}

#[test]
fn the_outside_answers_as_the_test_says() {
    use crate::outgoing;
    let fake = Fake::new();
    assert_eq!(refused(outgoing::get("https://api.example.com/x").send()).1, "outgoing.failed");
    fake.on_request(|method, url, body| Ok((if url.ends_with("/no") { 404 } else { 200 }, format!("[\"{method}\", {}]", body.len()))));
    let answer = outgoing::post("https://api.example.com/x?y=1").json(&json!({"a": 1})).send().unwrap();
    assert_eq!(answer.json::<Value>().unwrap(), json!(["POST", 7]));
    assert_eq!(refused(answer.json::<u32>()).1, "outgoing.json");
    assert_eq!(fake.outgoing().last().map(String::as_str), Some("POST https://api.example.com/x?y=1"));
    let answer = outgoing::get("https://api.example.com/no").send().unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(refused(answer.success()).1, "outgoing.status");
    assert_eq!(refused(outgoing::get("api.example.com").send()).1, "outgoing.url");
    fake.deny("http.outgoing");
    assert_eq!(refused(outgoing::get("https://api.example.com/x").send()).0, 403);
}
