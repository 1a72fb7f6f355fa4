//! The gallery of declared pages. What its pages show comes from here: a table of things that a reader adds and removes, and numbers over
//! time that are a function of the clock alone, so that there is something to draw on a fresh host.

use plenum_sdk::store::{Collection, Document};
use plenum_sdk::{Error, Json, Request, Result, Router, clock, events, random};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

plenum_sdk::plugin! { http = router }

const THINGS: Collection<Thing> = Collection::new("things");

/// So many things are kept: a gallery is no place to store.
const MOST: u64 = 200;

fn router() -> Router {
    Router::new()
        .get("/things", things)
        .post("/things", add)
        .get("/things/{id}", thing)
        .post("/things/{id}/state", change)
        .delete("/things/{id}", remove)
        .get("/summary", summary)
        .get("/history", history)
        .get("/lines", lines)
        .get("/series", series)
        .get("/shares", shares)
        .get("/refusal", refusal)
}

/// What the table of the gallery holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    name: String,
    state: String,
    size: u64,
    critical: bool,
    by: String,
    at: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    critical: bool,
}

fn things(_: &Request) -> Result<Json<Value>> {
    let page = THINGS.query().sort("-at").limit(200).page()?;
    Ok(Json(json!({ "items": page.items.iter().map(row).collect::<Vec<_>>() })))
}

fn row(d: &Document<Thing>) -> Value {
    let t = &d.data;
    json!({ "id": d.id, "name": t.name, "state": t.state, "size": t.size, "critical": t.critical, "by": t.by, "at": t.at })
}

fn thing(request: &Request) -> Result<Json<Value>> {
    Ok(Json(row(&THINGS.require(&request.param::<String>("id")?)?)))
}

fn add(request: &Request) -> Result<(u16, Json<Value>)> {
    let by = request.writer()?.name;
    let new: New = request.json()?;
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > 200 {
        return Err(Error::invalid("/name", "a name of 1 to 200 characters is needed"));
    }
    if THINGS.query().count()? >= MOST {
        return Err(Error::conflict("gallery.full", format!("the gallery holds {MOST} things; remove some first")));
    }
    let id = random::id();
    let made =
        Thing { name: name.to_owned(), state: "pending".into(), size: new.size, critical: new.critical, by, at: clock::now().millis() };
    THINGS.insert(&id, &made)?;
    plenum_sdk::info!({ id: id, name: made.name }, "a thing was added");
    events::publish("gallery.thing.added", &id, &json!({ "name": made.name }))?;
    Ok((201, Json(row(&THINGS.require(&id)?))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    state: String,
}

/// States that the portal knows words and colours for.
const STATES: [&str; 5] = ["pending", "running", "succeeded", "failed", "cancelled"];

fn change(request: &Request) -> Result<Json<Value>> {
    request.writer()?;
    let id: String = request.param("id")?;
    let to: Change = request.json()?;
    if !STATES.contains(&to.state.as_str()) {
        return Err(Error::invalid("/state", format!("{:?} is no state; use one of {}", to.state, STATES.join(", "))));
    }
    let found = THINGS.require(&id)?;
    THINGS.replace(&id, found.version, &Thing { state: to.state, ..found.data })?;
    events::publish("gallery.thing.changed", &id, &json!({}))?;
    Ok(Json(row(&THINGS.require(&id)?)))
}

fn remove(request: &Request) -> Result<()> {
    request.writer()?;
    let id: String = request.param("id")?;
    THINGS.delete(&id)?;
    events::publish("gallery.thing.removed", &id, &json!({}))
}

fn summary(_: &Request) -> Result<Json<Value>> {
    let all = THINGS.query().limit(200).page()?.items;
    let newest = all.iter().map(|d| d.data.at).max();
    let failed = all.iter().filter(|d| d.data.state == "failed").count();
    Ok(Json(json!({
        "count": all.len(),
        "bytes": all.iter().map(|d| d.data.size).sum::<u64>(),
        "failed": failed,
        "critical": all.iter().filter(|d| d.data.critical).count(),
        "newest": newest,
        "at": clock::now().millis(),
    })))
}

fn history(_: &Request) -> Result<Json<Value>> {
    let page = THINGS.query().sort("-at").limit(20).page()?;
    let item = |d: &Document<Thing>| {
        json!({ "at": d.data.at, "title": d.data.name, "by": d.data.by, "status": d.data.state,
            "text": if d.data.critical { json!({ "en": "Marked as critical.", "zh": "标记为关键。" }) } else { Value::Null } })
    };
    Ok(Json(page.items.iter().map(item).collect()))
}

fn lines(_: &Request) -> Result<Json<Value>> {
    let page = THINGS.query().sort("at").limit(200).page()?;
    let line = |d: &Document<Thing>| {
        let level = match d.data.state.as_str() {
            "failed" => "error",
            "cancelled" => "warn",
            "pending" => "debug",
            _ => "info",
        };
        json!({ "at": d.data.at, "level": level, "message": format!("{} is {}", d.data.name, d.data.state), "fields": { "id": d.id, "size": d.data.size } })
    };
    Ok(Json(page.items.iter().map(line).collect()))
}

/// A day in quarters of an hour: a wave, with the gap that a machine leaves which was switched off.
fn wave(now: u64) -> Vec<Value> {
    const STEP: u64 = 900_000;
    let last = now / STEP;
    (last.saturating_sub(95)..=last)
        .map(|slot| {
            let x = slot as f64 / 96.0 * std::f64::consts::TAU;
            let off = (60..64).contains(&(slot % 96));
            let load = 45.0 + 30.0 * x.sin() + 8.0 * (x * 7.0).cos();
            let wait = 6.0 + 5.0 * (x * 3.0).sin().abs();
            let round = |v: f64| (v * 10.0).round() / 10.0;
            json!({ "at": slot * STEP, "load": if off { Value::Null } else { json!(round(load)) }, "wait": if off { Value::Null } else { json!(round(wait)) } })
        })
        .collect()
}

fn series(_: &Request) -> Result<Json<Value>> {
    Ok(Json(json!({ "items": wave(clock::now().millis()) })))
}

fn shares(_: &Request) -> Result<Json<Value>> {
    let all = THINGS.query().limit(200).page()?.items;
    let count = |state: &str| all.iter().filter(|d| d.data.state == state).count();
    Ok(Json(STATES.iter().map(|s| json!({ "state": s, "count": count(s) })).collect()))
}

/// What a page shows when its source refuses.
fn refusal(_: &Request) -> Result<Json<Value>> {
    Err(Error::conflict("gallery.refused", "this route refuses each time, to show how a page says so"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use plenum_sdk::testing::Fake;

    use super::*;

    #[test]
    fn things_come_change_and_go() {
        let _fake = Fake::new();
        let ask = |r: Request| router().handle(r.as_user("olga", "operator"));
        assert_eq!(router().handle(Request::post("/things", &json!({ "name": "x" })).as_user("vera", "viewer")).status, 403);
        assert_eq!(ask(Request::post("/things", &json!({ "name": " " }))).status, 422);
        let made = ask(Request::post("/things", &json!({ "name": "disk", "size": 10 })));
        assert_eq!(made.status, 201);
        let id = made.decode::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(ask(Request::post(&format!("/things/{id}/state"), &json!({ "state": "no such" }))).status, 422);
        assert_eq!(ask(Request::post(&format!("/things/{id}/state"), &json!({ "state": "failed" }))).status, 200);
        let summary: Value = ask(Request::get("/summary")).decode().unwrap();
        assert_eq!((&summary["count"], &summary["failed"], &summary["bytes"]), (&json!(1), &json!(1), &json!(10)));
        let lines: Value = ask(Request::get("/lines")).decode().unwrap();
        assert_eq!(lines[0]["level"], "error");
        assert!(ask(Request::delete(&format!("/things/{id}"))).status < 300);
        assert_eq!(ask(Request::get(&format!("/things/{id}"))).status, 404);
    }

    #[test]
    fn a_day_is_drawn_with_its_gap() {
        let day = wave(1_760_000_000_000);
        assert_eq!(day.len(), 96);
        assert_eq!(day.iter().filter(|p| p["load"].is_null()).count(), 4);
    }

    #[test]
    fn a_refusal_is_a_refusal() {
        assert_eq!(router().handle(Request::get("/refusal")).status, 409);
    }
}
