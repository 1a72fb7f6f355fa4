//! Brings teams from another system into the CMDB.

use plenum_sdk::{Result, cel, cmdb, context, outgoing};
use serde::{Deserialize, Serialize};

// What the plugin offers.
plenum_sdk::plugin! {
    actions = [sync: sync],
}

#[derive(Deserialize)]
struct Settings {
    url: String,
}

/// As the other system has it.
#[derive(Debug, Serialize, Deserialize)]
struct Team {
    name: String,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Input {}

#[derive(Debug, PartialEq, Serialize)]
struct Output {
    seen: usize,
    created: usize,
    updated: usize,
}

const WHY: Option<&str> = Some("from the other system");

/// The action: input and output fit the schemas in `schemas/`. Done twice it changes nothing more, so it may be tried again.
fn sync(_: Input) -> Result<Output> {
    let settings: Settings = context::settings()?;
    let mut request = outgoing::get(&settings.url);
    if let Some(token) = context::secret("token") {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    let teams: Vec<Team> = request.send()?.success()?.json()?;
    let mut done = Output { seen: teams.len(), created: 0, updated: 0 };
    for team in &teams {
        // `cel` quotes what somebody typed, so that it stays a text.
        let found = cmdb::query("team").filter(format!("name == {}", cel(&team.name))).limit(1).page()?;
        match found.items.first() {
            None => {
                cmdb::create("team", team, WHY)?;
                done.created += 1;
            }
            Some(known) if known.get::<String>("email")? != team.email => {
                cmdb::update("team", &known.id, team, None, WHY)?;
                done.updated += 1;
            }
            Some(_) => {}
        }
    }
    plenum_sdk::info!({ seen: done.seen, created: done.created, updated: done.updated }, "brought the teams");
    Ok(done)
}

#[cfg(test)]
mod tests {
    use plenum_sdk::testing::Fake;
    use serde_json::json;

    use super::*;

    const URL: &str = "https://api.example.com/teams";

    #[test]
    fn teams_are_made_changed_and_left() {
        let fake = Fake::new();
        fake.settings(json!({ "url": URL }));
        fake.secret("token", "s3cret");
        fake.instance("team", json!({ "name": "dba", "email": "old@example.com" }));
        fake.on_request(|_, _, _| Ok((200, json!([{ "name": "dba", "email": "dba@example.com" }, { "name": "web" }]).to_string())));
        assert_eq!(sync(Input {}).unwrap(), Output { seen: 2, created: 1, updated: 1 });
        assert_eq!(sync(Input {}).unwrap(), Output { seen: 2, created: 0, updated: 0 });
        assert_eq!(fake.outgoing(), [format!("GET {URL}"), format!("GET {URL}")]);
        assert_eq!(cmdb::query("team").filter("name == \"dba\"").page().unwrap().items[0].text("email"), "dba@example.com");
    }

    #[test]
    fn a_failure_says_what_was_answered() {
        let fake = Fake::new();
        fake.settings(json!({ "url": URL }));
        fake.on_request(|_, _, _| Ok((401, "who are you?".to_owned())));
        assert!(sync(Input {}).unwrap_err().to_string().contains("answered 401: who are you"));
    }
}
