//! Counts the hosts of the CMDB by operating system, and keeps notes about them.

use std::collections::BTreeMap;

use plenum_sdk::store::{Collection, Document};
use plenum_sdk::{Error, Json, Page, Request, Result, Router, cel, clock, cmdb, random};
use serde::{Deserialize, Serialize};

// What the plugin offers. Routes are for its page, actions for workflows.
plenum_sdk::plugin! {
    http = router,
    actions = [count: count],
}

fn router() -> Router {
    Router::new().get("/summary", summary).get("/notes", notes).post("/notes", add_note).delete("/notes/{id}", delete_note)
}

/// A stored note.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
    author: String,
    created_at: u64,
}

const NOTES: Collection<Note> = Collection::new("notes");

/// How many hosts there are of each operating system.
fn summary(_: &Request) -> Result<Json<BTreeMap<String, u32>>> {
    let mut counts = BTreeMap::new();
    for host in cmdb::query("host").all()? {
        let os = match host.text("os_id") {
            "" => "unknown",
            os => os,
        };
        *counts.entry(os.to_owned()).or_default() += 1;
    }
    Ok(Json(counts))
}

fn notes(request: &Request) -> Result<Json<Page<Document<Note>>>> {
    let page = NOTES.query().sort("-created_at").limit(50).cursor(request.query("cursor")?).page()?;
    Ok(Json(page))
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

fn add_note(request: &Request) -> Result<(u16, Json<Document<Note>>)> {
    let author = request.writer()?;
    let new: NewNote = request.json()?;
    if new.text.trim().is_empty() {
        return Err(Error::invalid("/text", "a note needs a text"));
    }
    let id = random::id();
    NOTES.insert(&id, &Note { text: new.text, author: author.name, created_at: clock::now().millis() })?;
    Ok((201, Json(NOTES.require(&id)?)))
}

fn delete_note(request: &Request) -> Result<()> {
    request.writer()?;
    NOTES.delete(&request.param::<String>("id")?)
}

#[derive(Deserialize)]
struct CountInput {
    os_id: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct CountOutput {
    hosts: u64,
}

/// The action: input and output fit the schemas in `schemas/`.
fn count(input: CountInput) -> Result<CountOutput> {
    // `cel` quotes what somebody typed, so that it stays a text.
    let hosts = cmdb::query("host").filter(format!("os_id == {}", cel(&input.os_id))).count()?;
    plenum_sdk::info!({ os_id: input.os_id, hosts: hosts }, "counted");
    Ok(CountOutput { hosts })
}

#[cfg(test)]
mod tests {
    use plenum_sdk::testing::Fake;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn hosts_are_counted_by_system() {
        let fake = Fake::new();
        fake.instance("host", json!({ "hostname": "web1", "os_id": "debian" }));
        fake.instance("host", json!({ "hostname": "web2", "os_id": "debian" }));
        fake.instance("host", json!({ "hostname": "new" }));
        let answer: Value = router().handle(Request::get("/summary")).decode().unwrap();
        assert_eq!(answer, json!({ "debian": 2, "unknown": 1 }));
        assert_eq!(count(CountInput { os_id: "debian".into() }).unwrap(), CountOutput { hosts: 2 });
    }

    #[test]
    fn notes_are_kept_by_those_who_may() {
        let _fake = Fake::new();
        let note = json!({ "text": "web1 moves on Friday" });
        assert_eq!(router().handle(Request::post("/notes", &note).as_user("vera", "viewer")).status, 403);
        assert_eq!(router().handle(Request::post("/notes", &note).as_user("olga", "operator")).status, 201);
        let wrong = router().handle(Request::post("/notes", &json!({ "text": " " })).as_user("olga", "operator"));
        assert_eq!((wrong.status, wrong.decode::<Value>().unwrap()["pointer"].clone()), (422, json!("/text")));
        let page: Value = router().handle(Request::get("/notes")).decode().unwrap();
        assert_eq!(page["items"][0]["data"]["author"], "olga");
    }
}
