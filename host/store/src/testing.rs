//! For tests: the same test on a fresh SQLite and on a fresh PostgreSQL database.
//!
//! PostgreSQL is started once for each test process (`initdb`, `postgres` of the machine) on a Unix socket in a temporary
//! folder, and ends with it; or set `PLENUM_TEST_POSTGRES_URL` to a server on which databases may be created.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::{Db, Migration};

/// Defines tests that take an opened database, migrated with the store's own schema, each run as `<name>::sqlite` and
/// `<name>::postgres`. With `migrations: &[A, B];` first, those sets are applied too.
#[macro_export]
macro_rules! both_databases {
    (migrations: $sets:expr; $($(#[$meta:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => {
        $(
            mod $name {
                use super::*;
                async fn body($db: $crate::Db) $body
                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    let (db, _guard) = $crate::testing::sqlite($sets).await;
                    body(db.clone()).await;
                    db.close().await;
                }
                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    let db = $crate::testing::postgres($sets).await;
                    body(db.clone()).await;
                    db.close().await;
                }
            }
        )*
    };
    ($($rest:tt)*) => { $crate::both_databases! { migrations: &[]; $($rest)* } };
}

/// A fresh SQLite database in a temporary folder, which goes with the guard.
pub async fn sqlite(sets: &[&[Migration]]) -> (Db, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let db = Db::open(&format!("sqlite:{}", dir.path().join("test.db").display())).await.expect("SQLite opens");
    migrate(&db, sets).await;
    (db, dir)
}

/// A fresh PostgreSQL database.
pub async fn postgres(sets: &[&[Migration]]) -> Db {
    let db = Db::open(&postgres_url().await).await.expect("PostgreSQL opens");
    migrate(&db, sets).await;
    db
}

async fn migrate(db: &Db, sets: &[&[Migration]]) {
    let mut all: Vec<&[Migration]> = vec![crate::MIGRATIONS];
    all.extend(sets);
    db.migrate(&all).await.expect("migrations apply");
}

/// The URL of a fresh, empty PostgreSQL database.
pub async fn postgres_url() -> String {
    let server = server();
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let admin = Db::open(&server.url("postgres")).await.expect("the test server answers");
    // CREATE DATABASE cannot run inside a transaction, so not through `execute`.
    admin.execute_outside(&format!("CREATE DATABASE {name}")).await.expect("CREATE DATABASE");
    admin.close().await;
    server.url(&name)
}

struct Server {
    base: String,
    suffix: String,
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!("{}/{database}{}", self.base, self.suffix)
    }
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("PLENUM_TEST_POSTGRES_URL") {
        Ok(url) => {
            let (base, _) = url.rsplit_once('/').expect("PLENUM_TEST_POSTGRES_URL ends with /<database>");
            Server { base: base.to_owned(), suffix: String::new() }
        }
        Err(_) => start(),
    })
}

fn tool(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin").join(name));
    let mut found: Vec<PathBuf> = versions.filter(|p| p.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// PostgreSQL refuses to run as root; the user `postgres` or `nobody` then runs it.
fn as_server_user(program: &Path) -> Command {
    if !nix_is_root() {
        return Command::new(program);
    }
    let user = ["postgres", "nobody"].into_iter().find(|u| passwd_has(u)).expect("a user to run PostgreSQL as");
    let mut c = Command::new("setpriv");
    c.args(["--reuid", user, "--regid", &group_of(user), "--clear-groups", "--"]).arg(program);
    c
}

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0).unwrap_or(false)
}

fn passwd_has(user: &str) -> bool {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default().lines().any(|l| l.starts_with(&format!("{user}:")))
}

fn group_of(user: &str) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find(|l| l.starts_with(&format!("{user}:"))).unwrap_or_default();
    line.split(':').nth(3).unwrap_or("65534").to_owned()
}

fn start() -> Server {
    let dir = tempfile::Builder::new().prefix("plenum-pg-").tempdir_in("/tmp").expect("a temporary folder").keep();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).expect("permissions");
    let data = dir.join("data");
    let help =
        Command::new(tool("initdb")).arg("--help").output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let run = |c: &mut Command| {
        let out = c.current_dir(&dir).stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{c:?}: {e}; install postgresql"));
        assert!(out.status.success(), "{c:?}: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    };
    let mut initdb = as_server_user(&tool("initdb"));
    initdb.args(["-A", "trust", "-U", "plenum", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    // Sorted as in a language, since most servers do: what silently relies on the order of bytes fails here and not at a user's.
    if help.contains("--icu-locale") {
        initdb.args(["--locale-provider=icu", "--icu-locale=en-US"]);
    }
    run(initdb.arg("-D").arg(&data));
    let log = dir.join("log");
    // A small supervisor ends the server and removes its folder when this process is gone, however it ends.
    let script = "\"$0\" -D \"$1\" -k \"$2\" -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
                  -c max_connections=200 -c shared_buffers=32MB >\"$2/log\" 2>&1 & pg=$!; while [ -d /proc/$3 ]; do sleep 1; done; kill -INT $pg; wait $pg";
    let mut supervisor = as_server_user(Path::new("/bin/sh"));
    supervisor.args(["-c", script]).arg(tool("postgres")).arg(&data).arg(&dir).arg(std::process::id().to_string());
    supervisor.current_dir(&dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let supervisor = supervisor.spawn().expect("the test server starts");
    remove_later(dir.clone(), supervisor);
    let end = Instant::now() + Duration::from_secs(60);
    let socket = dir.join(".s.PGSQL.5432");
    let ready = || Command::new(tool("pg_isready")).arg("-q").arg("-h").arg(&dir).status().is_ok_and(|s| s.success());
    while !(socket.exists() && ready()) {
        assert!(Instant::now() < end, "PostgreSQL did not start: {}", std::fs::read_to_string(&log).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(30));
    }
    Server { base: "postgres://plenum@localhost".into(), suffix: format!("?host={}", dir.display()) }
}

/// Removes the folder after the server has gone: a second small process, since this one may be killed.
fn remove_later(dir: PathBuf, supervisor: std::process::Child) {
    let script = "while [ -d /proc/$1 ] || [ -d /proc/$2 ]; do sleep 1; done; rm -rf \"$0\"";
    let _ = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(&dir)
        .arg(std::process::id().to_string())
        .arg(supervisor.id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
