//! Uses every interface of the contract and says what each answered.

use plenum_sdk::jobs::{Script, Stream, Targets};
use plenum_sdk::store::{Batch, Collection, Expected};
use plenum_sdk::workflow::schedules::{self, Schedule};
use plenum_sdk::{Error, Event, Json, Lifecycle, Request, Result, Router, Timestamp, clock, cmdb, context, events, jobs, random, workflow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

plenum_sdk::plugin! {
    http = router,
    actions = [double: double],
    events = heard,
    schedule = due,
    lifecycle = Turns,
    health = well,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
    number: i64,
}

const NOTES: Collection<Note> = Collection::new("notes");

fn router() -> Router {
    Router::new()
        .get("/notes", |_: &Request| Ok::<_, Error>(Json(NOTES.query().sort("text").all()?)))
        .get("/run/{id}", |r: &Request| Ok::<_, Error>(Json(workflow::get(&r.param::<String>("id")?)?)))
        .get("/job/{id}", job)
        .post("/everything", everything)
}

fn job(request: &Request) -> Result<Json<Value>> {
    let id = request.param::<String>("id")?;
    let execution = jobs::get(&id)?.ok_or_else(|| Error::not_found("frozen.no_job", "no such job"))?;
    let results = jobs::all_results(&id)?;
    let out = match results.first() {
        Some(r) if r.stdout_bytes > 0 => jobs::output_text(&id, &r.node_id, Stream::Stdout, 100)?,
        _ => String::new(),
    };
    Ok(Json(json!({ "status": execution.status, "out": out })))
}

fn everything(request: &Request) -> Result<Json<Value>> {
    let user = request.writer()?;
    plenum_sdk::info!({ who: user.name }, "everything");
    let settings: Value = context::settings()?;

    let made = cmdb::create("host", &json!({ "hostname": "frozen-host" }), Some("because"))?;
    let changed = cmdb::update("host", &made.id, &json!({ "owner": "nobody" }), Some(made.version), None)?;
    let stale = cmdb::update("host", &made.id, &json!({ "owner": "x" }), Some(made.version), None).err().map(|e| e.status);
    let hosts = cmdb::query("host").filter("owner == \"nobody\"").sort("hostname").limit(10).page()?;
    let count = cmdb::query("host").filter("owner == \"nobody\"").count()?;
    let related = cmdb::related("host", &made.id)?.len();
    cmdb::delete("host", &made.id)?;
    let gone = cmdb::get("host", &made.id)?.is_none();

    let first = NOTES.insert("a", &Note { text: "a".into(), number: 1 })?;
    let taken = NOTES.insert("b", &Note { text: "a".into(), number: 2 }).err().map(|e| e.status);
    NOTES.replace("a", first, &Note { text: "a".into(), number: 3 })?;
    Batch::new().write(&NOTES, "b", &Note { text: "b".into(), number: 4 }, Expected::Absent)?.apply()?;
    let large = NOTES.query().filter("number > 3").count()?;

    events::publish("frozen.happened", "me", &json!({ "number": 7 }))?;
    let foreign = events::publish("plenum.lies", "me", &json!({})).err().map(|e| e.status);

    let run = workflow::start("frozen.twice", &json!({ "number": 5 }), Some("once"))?;
    let again = workflow::start("frozen.twice", &json!({ "number": 5 }), Some("once"))?;
    let schedule = Schedule {
        name: "yearly".into(),
        cron: "0 0 1 1 *".into(),
        timezone: "UTC".into(),
        workflow: "frozen.twice".into(),
        input: json!({ "number": 1 }),
        enabled: true,
    };
    schedules::put(&schedule)?;
    let listed = schedules::list()?.len();
    schedules::delete("yearly")?;
    let times = schedules::next_times("0 0 1 1 *", "UTC", 3)?.len();

    let execution = jobs::run(&jobs::Request::new("Say", Script::sh("echo frozen"), Targets::filter("host", "status == \"online\"")).timeout_s(30))?;

    Ok(Json(json!({
        "greeting": settings["greeting"], "user": user.name, "owner": changed.text("owner"), "stale": stale, "hosts": hosts.items.len(), "count": count,
        "related": related, "gone": gone, "taken": taken, "large": large, "foreign": foreign, "run": run.id, "once": run.id == again.id,
        "listed": listed, "times": times, "execution": execution.id, "random": random::bytes(8).len(), "time": clock::now().millis() > 1_700_000_000_000,
    })))
}

#[derive(Serialize, Deserialize)]
struct Number {
    number: i64,
}

fn double(input: Number) -> Result<Number> {
    Ok(Number { number: input.number * 2 })
}

fn heard(event: Event) -> Result<()> {
    NOTES.put("heard", &Note { text: event.kind, number: event.data["number"].as_i64().unwrap_or(-1) })?;
    Ok(())
}

fn due(_: &str, _: Timestamp) -> Result<()> {
    Ok(())
}

struct Turns;

impl Lifecycle for Turns {
    fn install(&self) -> Result<()> {
        NOTES.put("installed", &Note { text: "installed".into(), number: 0 })?;
        Ok(())
    }
}

fn well() -> Result<()> {
    Ok(())
}
