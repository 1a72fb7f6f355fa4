//! What is secret stays where it has to be: nothing of it in logs, answers, the audit log, tables, or files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use plenum_store::{Db, Dialect};
use plenum_tests::{Agent, Client, Database, Host, HostOptions, build_key, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::packages::plenum;

/// Secrets by what they are, and texts by where they were found.
#[derive(Default)]
struct Search {
    secrets: BTreeMap<&'static str, String>,
    looked_at: usize,
    found: Vec<String>,
}

impl Search {
    fn look(&mut self, place: &str, text: &str) {
        self.look_but(place, text, &[]);
    }

    /// `but` may be here: there is no other place for it.
    fn look_but(&mut self, place: &str, text: &str, but: &[&str]) {
        self.looked_at += 1;
        let folded = text.to_lowercase();
        for (what, secret) in &self.secrets {
            // Bytes in a dump are hexadecimal.
            if !but.contains(what) && (text.contains(secret) || folded.contains(&hex::encode(secret))) {
                self.found.push(format!("{what} in {place}"));
            }
        }
    }

    fn nothing_found(&self) {
        assert_eq!(self.found, Vec::<String>::new());
    }
}

/// Every route that is read, as the API's own description lists them.
async fn every_get(search: &mut Search, when: &str, admin: &Client, ids: &BTreeMap<&str, String>) {
    let document = admin.get("/api/v1/openapi.json").await;
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if item.get("get").is_none() {
            continue;
        }
        let kind = path.trim_start_matches("/api/v1/").split('/').next().unwrap();
        let id = ids.get(kind).map_or("none", String::as_str);
        let at = path.replace("{id}", id).replace("{model}", "host").replace("{name}", "inspect").replace("{node_id}", &ids["nodes"]);
        let at = if at.contains("/cmdb/models/host/instances/") { at.replace("none", &ids["instance"]) } else { at };
        let res = admin.request(Method::GET, &at).send().await.unwrap();
        let head = format!("{} {:?}", res.status(), res.headers());
        let mut body = Vec::new();
        let mut stream = res.bytes_stream();
        // Streams go on for ever; what they begin with comes at once.
        while let Ok(Some(Ok(piece))) = tokio::time::timeout(Duration::from_millis(500), stream.next()).await {
            body.extend_from_slice(&piece);
        }
        search.look(&format!("GET {at} {when}"), &format!("{head}\n{}", String::from_utf8_lossy(&body)));
        tried += 1;
    }
    assert!(tried > 25, "{tried} routes are read");
}

/// Every row of every table as text.
async fn every_row(search: &mut Search, when: &str, url: &str, but: &[(&str, &str)]) {
    let db = Db::open(url).await.unwrap();
    let (tables, line) = match db.dialect() {
        Dialect::Sqlite => ("SELECT name FROM sqlite_master WHERE type = 'table'", None),
        Dialect::Postgres => {
            ("SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'", Some("t::text"))
        }
    };
    let mut rows = 0;
    for table in db.fetch_all(tables, &[]).await.unwrap() {
        let table = table.text("name").unwrap();
        let line = match line {
            Some(l) => l.to_owned(),
            None => {
                let columns = db.fetch_all(&format!("SELECT name FROM pragma_table_info('{table}')"), &[]).await.unwrap();
                columns.iter().map(|c| format!("quote(\"{}\")", c.text("name").unwrap())).collect::<Vec<_>>().join(" || ',' || ")
            }
        };
        let but: Vec<&str> = but.iter().filter(|(t, _)| *t == table).map(|(_, what)| *what).collect();
        for row in db.fetch_all(&format!("SELECT {line} AS line FROM \"{table}\" t"), &[]).await.unwrap() {
            search.look_but(&format!("table {table} {when}"), &row.text("line").unwrap(), &but);
            rows += 1;
        }
    }
    assert!(rows > 20, "{rows} rows");
    db.close().await;
}

fn every_file(search: &mut Search, dir: &Path, but: &[(&str, &str)]) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            every_file(search, &path, but);
        } else if kind.is_file() && path.extension().is_none_or(|e| e != "cwasm") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let but: Vec<&str> = but.iter().filter(|(f, _)| *f == name).map(|(_, what)| *what).collect();
            search.look_but(&path.display().to_string(), &String::from_utf8_lossy(&std::fs::read(&path).unwrap()), &but);
        }
    }
}

/// A package of a page and two settings.
fn offer_package(shop: &Path) {
    let work = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(work.path().join("web")).unwrap();
    std::fs::write(work.path().join("web/index.html"), "<p>hello</p>").unwrap();
    let text = "id = \"keeper\"\nname = \"Keeper\"\nversion = \"0.1.0\"\napi = \"^0.1\"\npublisher = \"Tests\"\ndescription = \"For tests.\"\n\
        [[pages]]\nid = \"main\"\ntitle = \"Main\"\nkind = \"framed\"\nentry = \"web/index.html\"\n\
        [[settings]]\nname = \"token\"\ntitle = \"Token\"\ntype = \"string\"\nsecret = true\n\
        [[settings]]\nname = \"count\"\ntitle = \"Count\"\ntype = \"integer\"\nsecret = true\n";
    std::fs::write(work.path().join("plugin.toml"), text).unwrap();
    let key = build_key().with_extension("key").display().to_string();
    plenum(&["pack", ".", "--out", &shop.display().to_string(), "--key", &key], work.path());
}

async fn secrets_stay(postgres: bool) {
    let shop = tempfile::tempdir().unwrap();
    offer_package(shop.path());
    let url = if postgres { Some(plenum_store::testing::postgres_url().await) } else { None };
    let database = url.clone().map_or(Database::Sqlite, Database::Postgres);
    let options = HostOptions { database, catalogs: vec![shop.path().to_owned()], log: Some("debug".into()), ..HostOptions::default() };
    let mut host = Host::start(options).await;
    let mut search = Search::default();
    search.secrets.insert("the administrator's password", host.password.clone());

    // Signing in, rightly and wrongly.
    let guess = "a-wrong-guess-of-4711";
    search.secrets.insert("a wrong password", guess.into());
    let nobody = Client::anonymous(&host.url);
    for body in [json!({"name": "admin", "password": guess}), json!({"name": ["admin"], "password": guess}), json!({"password": guess})] {
        let (status, answer) = nobody.send(Method::POST, "/api/v1/session", Some(body)).await;
        assert!(status.is_client_error());
        search.look("the answer to a wrong sign-in", &answer.to_string());
    }
    let sign_in = json!({"name": "admin", "password": host.password});
    let res = Client::anonymous(&host.url).request(Method::POST, "/api/v1/session").json(&sign_in).send().await.unwrap();
    assert_eq!(res.status(), StatusCode::OK);
    let cookie = res.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    search.secrets.insert("a session's cookie", cookie.split_once('=').unwrap().1.to_owned());
    search.look("the answer to a sign-in", &res.text().await.unwrap());
    let used = Client::anonymous(&host.url).request(Method::GET, "/api/v1/session").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(used.status(), StatusCode::OK);

    let admin = host.admin().await;
    let token = admin.post("/api/v1/tokens", json!({"name": "ci", "role": "administrator", "expires_in_days": 1})).await;
    search.secrets.insert("an API token", token["token"].as_str().unwrap().to_owned());
    let script = Client::anonymous(&host.url).request(Method::GET, "/api/v1/nodes").bearer_auth(token["token"].as_str().unwrap());
    assert_eq!(script.send().await.unwrap().status(), StatusCode::OK);
    let password = "somebody-keeps-it-9931";
    search.secrets.insert("a user's password", password.into());
    admin.post("/api/v1/users", json!({"name": "vera", "role": "viewer", "password": password})).await;
    for wrong in
        [json!({"name": "vera", "role": "viewer", "password": password}), json!({"name": "w", "role": "king", "password": password})]
    {
        let (status, answer) = admin.send(Method::POST, "/api/v1/users", Some(wrong)).await;
        assert!(status.is_client_error(), "{answer:#}");
        search.look("the answer to a wrong user", &answer.to_string());
    }

    // Enrolment: the token is good for one agent, and only its end is secret; the beginning names the host.
    let made = admin.post("/api/v1/nodes/enrolment-tokens", json!({})).await;
    let enrolment = made["token"].as_str().unwrap().to_owned();
    search.secrets.insert("an enrolment token", enrolment.clone());
    let agent = Agent::with_token(&host, &enrolment, "debug");
    let node = eventually("the node to be online", || async {
        let nodes = admin.get("/api/v1/nodes?state=online").await;
        nodes["items"].as_array()?.first().and_then(|n| n["id"].as_str()).map(str::to_owned)
    })
    .await;
    let instance = eventually("the node to be in the CMDB", || async {
        admin.get("/api/v1/cmdb/models/host/instances").await["items"].as_array()?.first().and_then(|n| n["id"].as_str()).map(str::to_owned)
    })
    .await;

    // A plugin's secret setting, and one that is of the wrong type.
    admin.post("/api/v1/plugins", json!({"id": "keeper", "permissions": []})).await;
    search.secrets.insert("a plugin's secret", "plugin-secret-5150".into());
    let set = admin.put("/api/v1/plugins/keeper/settings", json!({"token": "plugin-secret-5150"})).await;
    search.look("the answer to settings", &set.to_string());
    let (status, answer) = admin.send(Method::PUT, "/api/v1/plugins/keeper/settings", Some(json!({"count": "plugin-secret-5150"}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#}");
    search.look("the answer to wrong settings", &answer.to_string());

    // A job with a secret in its environment, for all and for one target.
    search.secrets.insert("a job's environment", "job-secret-6021".into());
    search.secrets.insert("a target's environment", "target-secret-6022".into());
    let (began, go_on) = (host.data().join("began"), host.data().join("go-on"));
    // The script is no secret, so it must not spell them out.
    let content = format!(
        "[ \"$PASSWORD $OWN\" = \"$(printf 'job-%s-6021 target-%s-6022' secret secret)\" ] || exit 9; touch {}; while [ ! -e {} ]; do sleep 0.05; done",
        began.display(),
        go_on.display()
    );
    let target = json!({"node_id": node, "env": {"OWN": "target-secret-6022"}});
    let job = |env: Value| json!({"name": "Secret", "script": {"language": "bash", "content": content}, "env": env, "timeout_s": 600, "targets": {"nodes": [target]}});
    let (status, answer) = admin.send(Method::POST, "/api/v1/jobs/executions", Some(job(json!({"A=B": "job-secret-6021"})))).await;
    assert!(status.is_client_error(), "{answer:#}");
    search.look("the answer to a wrong job", &answer.to_string());
    let made = admin.post("/api/v1/jobs/executions", job(json!({"PASSWORD": "job-secret-6021"}))).await;
    let execution = made["id"].as_str().unwrap().to_owned();
    search.look("the answer to a job", &made.to_string());
    eventually("the script to have its environment", || async { began.exists().then_some(()) }).await;

    let ids: BTreeMap<&str, String> = [
        ("users", admin.get("/api/v1/session").await["id"].as_str().unwrap_or_default().to_owned()),
        ("nodes", node.clone()),
        ("instance", instance),
        ("jobs", execution.clone()),
        ("plugins", "keeper".into()),
        ("catalog", "keeper".into()),
    ]
    .into();
    // The host keeps what it still needs, but sealed: nobody reads it in its database.
    let at = url.clone().unwrap_or_else(|| format!("sqlite:{}", host.data().join("plenum.db").display()));
    every_get(&mut search, "while the job runs", &admin, &ids).await;
    every_row(&mut search, "while the job runs", &at, &[]).await;
    // Who lists the processes of the machine sees none of it.
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        search.look("a command line", &String::from_utf8_lossy(&line));
    }
    std::fs::write(&go_on, "").unwrap();
    let ended = eventually("the job to end", || async {
        let e = admin.get(&format!("/api/v1/jobs/executions/{execution}")).await;
        (e["status"] != "running").then_some(e)
    })
    .await;
    assert_eq!(ended["status"], "succeeded", "{ended:#}");

    every_get(&mut search, "after the job", &admin, &ids).await;
    every_row(&mut search, "after the job", &at, &[]).await;
    let spool = agent.state.path().join("spool");
    eventually("the agent to have handed all over", || async {
        std::fs::read_dir(&spool).map_or(true, |mut d| d.next().is_none()).then_some(())
    })
    .await;
    host.stop().await;
    drop(admin);
    every_file(&mut search, host.data(), &[]);
    every_file(&mut search, agent.state.path(), &[]);
    assert!(host.log().len() > 1000, "the host logged at debug");
    println!("{} places looked at for {} secrets", search.looked_at, search.secrets.len());
    search.nothing_found();
}

#[tokio::test]
async fn secrets_stay_where_they_belong_on_sqlite() {
    secrets_stay(false).await;
}

#[tokio::test]
async fn secrets_stay_where_they_belong_on_postgres() {
    secrets_stay(true).await;
}

/// A host whose key is gone says so and changes nothing; with the key it goes on, and without it for good it begins anew.
async fn a_lost_key(postgres: bool) {
    let shop = tempfile::tempdir().unwrap();
    offer_package(shop.path());
    let url = if postgres { Some(plenum_store::testing::postgres_url().await) } else { None };
    let database = url.clone().map_or(Database::Sqlite, Database::Postgres);
    let options = HostOptions { database, catalogs: vec![shop.path().to_owned()], ..HostOptions::default() };
    let mut host = Host::start(options).await;
    let admin = host.admin().await;
    admin.post("/api/v1/plugins", json!({"id": "keeper", "permissions": []})).await;
    let settings = "/api/v1/plugins/keeper/settings";
    admin.put(settings, json!({"token": "plugin-secret-5150"})).await;
    host.stop().await;

    let path = host.data().join("secrets.key");
    let at = url.unwrap_or_else(|| format!("sqlite:{}", host.data().canonicalize().unwrap().join("plenum.db").display()));
    let refused = |more: &[(&str, &str)]| {
        let mut env = vec![("PLENUM_DATABASE_URL", at.as_str())];
        env.extend(more);
        Host::serve_refused(host.data(), &[], &env)
    };
    let key = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let said = refused(&[]);
    assert!(said.contains("secrets.key") && said.contains("is not there") && said.contains("backup"), "{said}");
    assert!(!path.exists(), "no new key in the place of a lost one");
    let other = "ab".repeat(32);
    let said = refused(&[("PLENUM_SECRET_KEY", &other)]);
    assert!(said.contains("PLENUM_SECRET_KEY") && said.contains("forget-secrets") && !said.contains(&other), "{said}");
    assert!(refused(&[("PLENUM_SECRET_KEY", "not-a-key")]).contains("not hexadecimal"));

    std::fs::write(&path, key).unwrap();
    host.restart().await;
    assert_eq!(host.admin().await.get(settings).await["values"]["token"], true);
    host.stop().await;
    std::fs::remove_file(&path).unwrap();
    let said = host.admin_command(&["forget-secrets", "--yes"]);
    assert!(said.contains("1 secret settings were deleted"), "{said}");
    host.restart().await;
    let admin = host.admin().await;
    assert_eq!(admin.get(settings).await["values"].get("token"), None);
    admin.put(settings, json!({"token": "another-secret-5151"})).await;
    assert_eq!(admin.get(settings).await["values"]["token"], true);
}

#[tokio::test]
async fn a_lost_key_is_said_and_loses_nothing_else_on_sqlite() {
    a_lost_key(false).await;
}

#[tokio::test]
async fn a_lost_key_is_said_and_loses_nothing_else_on_postgres() {
    a_lost_key(true).await;
}
