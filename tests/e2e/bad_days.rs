//! Bad days of the one who operates a host: each ends with a sentence that says what to do, and loses nothing.

use std::path::Path;
use std::process::Command;

use plenum_store::{Db, params};
use plenum_tests::{Client, Database, Host, HostOptions};
use reqwest::{Method, StatusCode};
use serde_json::json;

fn says(said: &str, words: &[&str]) {
    for w in words {
        assert!(said.contains(w), "{w:?} is missing in: {said}");
    }
}

/// Something that must still be there afterwards.
async fn leave_something(admin: &Client) {
    admin.post("/api/v1/cmdb/models/team/instances", json!({"attributes": {"name": "Operations"}})).await;
}

async fn still_there(admin: &Client) {
    assert_eq!(admin.get("/api/v1/cmdb/models/team/instances").await["total"], 1);
}

#[tokio::test]
async fn a_damaged_configuration_names_file_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("plenum.toml"), dir.path().join("data"));
    let path = file.display().to_string();
    for (text, words) in [
        (&b"listen = \"127.0.0.1:8080\"\n[plugins\n"[..], &["line 2"][..]),
        (b"lisen = \"127.0.0.1:8080\"\n", &["line 1", "lisen", "listen"]),
        (b"listen = \"everywhere\"\n", &["line 1", "listen", "socket address"]),
        (b"[retention]\nexecutions_days = -1\n", &["line 2", "executions_days"]),
        (b"listen = \"\xff\xfe\"\n", &["cannot be read", "UTF-8"]),
        (b"public_url = \"plenum.example.com\"\n", &["public_url", "https://"]),
        (b"database_url = \"mysql://u:hunter2-4242@h/d\"\n", &["neither sqlite:", "postgres://"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = Host::serve_refused(&data, &["--config", &path], &[]);
        says(&said, words);
        if !words[0].starts_with("public_url") && !words[0].starts_with("neither") {
            says(&said, &[&path]);
        }
        assert!(!said.contains("hunter2-4242"), "{said}");
    }
    std::fs::remove_file(&file).unwrap();
    says(&Host::serve_refused(&data, &["--config", &path], &[]), &[&path, "cannot be read"]);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_named_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody serves port 1.
    let said = Host::serve_refused(dir.path(), &[], &[("PLENUM_DATABASE_URL", "postgres://plenum:hunter2-4242@127.0.0.1:1/plenum")]);
    says(&said, &["database", "cannot be opened", "PLENUM_DATABASE_URL"]);
    assert!(!said.contains("hunter2-4242"), "{said}");
    // A server that has no such database.
    let real = plenum_store::testing::postgres_url().await;
    let (server, parameters) = real.split_once('?').unwrap_or((&real, ""));
    let missing = format!("{}/no_such_database?{parameters}", server.rsplit_once('/').unwrap().0);
    let said = Host::serve_refused(dir.path(), &[], &[("PLENUM_DATABASE_URL", &missing)]);
    says(&said, &["no_such_database", "PLENUM_DATABASE_URL"]);
}

#[tokio::test]
async fn a_port_or_a_folder_in_use_is_named_and_the_host_that_uses_it_goes_on() {
    let mut host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;
    leave_something(&admin).await;
    let other = tempfile::tempdir().unwrap();
    let http = host.url.trim_start_matches("http://").to_owned();
    says(&Host::serve_refused(other.path(), &["--listen", &http], &[]), &[&http, "portal and API", "--listen"]);
    let agents = host.agent_address.clone();
    says(&Host::serve_refused(other.path(), &["--agent-listen", &agents], &[]), &[&agents, "agents", "--agent-listen"]);
    // Other ports, the same folder: two hosts would each do the other's work.
    let said = Host::serve_refused(host.data(), &[], &[]);
    says(&said, &["another host runs", &host.data().canonicalize().unwrap().display().to_string(), "--data"]);
    still_there(&admin).await;
    // Beside it `admin` works, and after it another host.
    assert!(host.admin_command(&["enrolment-token"]).len() > 20);
    host.kill9();
    host.restart().await;
    still_there(&host.admin().await).await;
}

async fn newer(postgres: bool) {
    let url = if postgres { Some(plenum_store::testing::postgres_url().await) } else { None };
    let database = url.clone().map_or(Database::Sqlite, Database::Postgres);
    let mut host = Host::start(HostOptions { database, ..HostOptions::default() }).await;
    leave_something(&host.admin().await).await;
    host.stop().await;
    let at = url.unwrap_or_else(|| format!("sqlite:{}", host.data().canonicalize().unwrap().join("plenum.db").display()));
    // As a later version leaves it.
    let db = Db::open(&at).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.execute("INSERT INTO schema_migrations (name, version, applied_at) VALUES (?, ?, ?)", params!["cmdb", 999, 1]).await.unwrap();
    tx.commit().await.unwrap();
    let said = Host::serve_refused(host.data(), &[], &[("PLENUM_DATABASE_URL", &at)]);
    says(&said, &["newer version", "cmdb/999", "nothing was changed"]);
    // That version again: nothing is lost.
    let mut tx = db.begin().await.unwrap();
    tx.execute("DELETE FROM schema_migrations WHERE version = 999", &[]).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    host.restart().await;
    still_there(&host.admin().await).await;
}

#[tokio::test]
async fn data_of_a_newer_version_are_left_alone_on_sqlite() {
    newer(false).await;
}

#[tokio::test]
async fn data_of_a_newer_version_are_left_alone_on_postgres() {
    newer(true).await;
}

/// A file system in memory of a few megabytes; gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where this user may not mount.
    fn new(size: &str) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "plenum-test"]).arg(dir.path()).output();
        mounted.is_ok_and(|o| o.status.success()).then(|| SmallDisk(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.path().join("filler")).unwrap();
        for size in [65536, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    let Some(disk) = SmallDisk::new("24m") else {
        println!("not tried: this user may not mount a small disk");
        return;
    };
    let mut host = Host::start(HostOptions { data_in: Some(disk.path().to_owned()), ..HostOptions::default() }).await;
    let admin = host.admin().await;
    leave_something(&admin).await;
    disk.fill();
    // The log of the database may have some room left: large things find its end soon.
    let mut accepted = 1;
    let refused = loop {
        let name = format!("team-{accepted}-{}", "x".repeat(100));
        let body = json!({"attributes": {"name": name, "description": "d".repeat(4000)}});
        let (status, answer) = admin.send(Method::POST, "/api/v1/cmdb/models/team/instances", Some(body)).await;
        if status.is_success() {
            accepted += 1;
            assert!(accepted < 20_000, "the disk does not become full");
            continue;
        }
        break (status, answer);
    };
    assert_eq!(refused.0, StatusCode::INSUFFICIENT_STORAGE, "{:#}", refused.1);
    assert_eq!(refused.1["code"], "store.full", "{:#}", refused.1);
    says(refused.1["detail"].as_str().unwrap(), &["disk", "full", "free space"]);
    // What is there can be read.
    assert_eq!(admin.get("/api/v1/cmdb/models/team/instances?limit=1").await["total"], accepted);
    // With room again it goes on by itself.
    disk.empty();
    admin.post("/api/v1/cmdb/models/team/instances", json!({"attributes": {"name": "Afterwards"}})).await;
    // A host that starts on the full disk says so, and with room again all is there.
    disk.fill();
    host.kill9();
    disk.fill();
    says(&Host::serve_refused(host.data(), &[], &[]), &["full"]);
    disk.empty();
    host.restart().await;
    let admin = host.admin().await;
    assert_eq!(admin.get("/api/v1/cmdb/models/team/instances?limit=1").await["total"], accepted + 1);
}
