//! A real host process with data of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Client, PATIENCE, bin_dir, build_key, catalog_dir};

/// Which database a host stands on.
#[derive(Debug, Clone)]
pub enum Database {
    /// In the host's data folder.
    Sqlite,
    /// A fresh database of this URL.
    Postgres(String),
}

/// How a host is started.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Which database.
    pub database: Database,
    /// Catalog folders.
    pub catalogs: Vec<PathBuf>,
    /// Trusted keys, NAME=FILE.
    pub trusted_keys: Vec<String>,
    /// Whether strangers' packages install.
    pub developer_mode: bool,
    /// How much it logs, where that is not the usual: `debug`.
    pub log: Option<String>,
    /// Its data folder, where that is not to be one of the usual temporary ones: on a small disk, say.
    pub data_in: Option<PathBuf>,
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            database: Database::Sqlite,
            catalogs: vec![catalog_dir()],
            trusted_keys: vec![format!("build={}", build_key().display())],
            developer_mode: false,
            log: None,
            data_in: None,
        }
    }
}

/// A running host; killed when dropped. Its data folder lives until then, over restarts.
pub struct Host {
    /// Its data folder.
    pub data: TempDir,
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    /// `127.0.0.1:<port>` for agents.
    pub agent_address: String,
    /// The first administrator's password.
    pub password: String,
    options: HostOptions,
    child: Option<Child>,
}

impl Host {
    /// Prepares data, creates the administrator `admin`, starts the host.
    pub async fn start(options: HostOptions) -> Host {
        // reqwest brings no cryptography of its own here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let within = options.data_in.clone().unwrap_or_else(std::env::temp_dir);
        let data = tempfile::Builder::new().prefix("plenum-e2e-").tempdir_in(within).expect("a temporary folder");
        let mut init = Command::new(bin_dir().join("plenum"));
        init.args(["admin", "init", "--data"]).arg(data.path());
        database(&mut init, &options);
        let out = init.output().expect("the plenum binary is built: run `make build`");
        assert!(out.status.success(), "admin init: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let password = text.lines().find_map(|l| l.strip_prefix("Password")).expect("init prints the password").trim().to_owned();
        let mut host = Host { data, url: String::new(), agent_address: String::new(), password, options, child: None };
        // Compiling a plugin takes seconds and is the same for all hosts of a build.
        if host.options.data_in.is_none() {
            copy_all(&compiled(), &host.data.path().join("compiled"));
        }
        host.spawn("127.0.0.1:0".into(), "127.0.0.1:0".into()).await;
        host
    }

    async fn spawn(&mut self, listen: String, agent_listen: String) {
        let _ = std::fs::remove_file(self.data.path().join("host.json"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("log file");
        let mut command = Command::new(bin_dir().join("plenum"));
        command.arg("serve").arg("--data").arg(self.data.path()).args(["--listen", &listen, "--agent-listen", &agent_listen]);
        for c in &self.options.catalogs {
            command.arg("--catalog").arg(c);
        }
        for k in &self.options.trusted_keys {
            command.arg("--trusted-key").arg(k);
        }
        if self.options.developer_mode {
            command.arg("--developer-mode");
        }
        database(&mut command, &self.options);
        if let Some(level) = &self.options.log {
            command.env("PLENUM_LOG", level);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log file")).stderr(log);
        self.child = Some(command.spawn().expect("the host starts"));
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(self.data.path().join("host.json")) {
                let v: Value = serde_json::from_str(&text).expect("host.json is JSON");
                self.url = format!("http://{}", v["listen"].as_str().expect("listen"));
                self.agent_address = v["agent_listen"].as_str().expect("agent_listen").to_owned();
                if reqwest::get(format!("{}/readyz", self.url)).await.is_ok_and(|r| r.status().is_success()) {
                    return;
                }
            }
            let ended = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < end, "the host did not become ready ({ended:?}):\n{}", self.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn log_path(&self) -> PathBuf {
        self.data.path().join("host.log")
    }

    /// What the host has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The host's process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = kill(Pid::from_raw(c.id() as i32), Signal::SIGTERM);
            let status = tokio::task::spawn_blocking(move || c.wait()).await;
            assert!(status.is_ok_and(|s| s.is_ok_and(|s| s.success())), "the host did not stop cleanly:\n{}", self.log());
        }
    }

    /// Starts again on the same data and the same ports.
    pub async fn restart(&mut self) {
        let listen = self.url.trim_start_matches("http://").to_owned();
        let agents = self.agent_address.clone();
        self.spawn(listen, agents).await;
    }

    /// A client signed in as the administrator.
    pub async fn admin(&self) -> Client {
        Client::sign_in(&self.url, "admin", &self.password).await
    }

    /// Runs `plenum admin ...` beside the host and answers what it printed.
    pub fn admin_command(&self, args: &[&str]) -> String {
        let mut command = Command::new(bin_dir().join("plenum"));
        command.arg("admin").args(args).arg("--data").arg(self.data.path());
        database(&mut command, &self.options);
        let out = command.output().expect("plenum admin");
        assert!(out.status.success(), "admin {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// `plenum serve` that is expected to end by itself, with an error: what it printed. `more` may replace options that are given here.
    pub fn serve_refused(data: &Path, more: &[&str], env: &[(&str, &str)]) -> String {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "60"]).arg(bin_dir().join("plenum")).arg("serve").arg("--data").arg(data);
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--agent-listen", "127.0.0.1:0")] {
            if !more.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(more).env_remove("PLENUM_CONFIG").env_remove("PLENUM_DATABASE_URL").envs(env.iter().copied());
        let out = command.stdin(Stdio::null()).output().expect("the plenum binary is built");
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(1), "plenum serve {more:?}: {:?}: {said}", out.status);
        assert!(said.contains("error: ") && !said.contains("panicked"), "plenum serve {more:?}: {said}");
        said
    }

    /// The host's data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill9();
        if self.options.data_in.is_none() {
            copy_all(&self.data.path().join("compiled"), &compiled());
        }
        if std::thread::panicking() {
            eprintln!("---- host log ----\n{}", self.log());
        }
    }
}

/// Where compiled plugins are kept between tests.
fn compiled() -> PathBuf {
    bin_dir().join("e2e-compiled")
}

fn copy_all(from: &Path, to: &Path) {
    let _ = std::fs::create_dir_all(to);
    for f in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(f.file_name());
        if target.exists() || f.path().extension().is_none_or(|e| e != "cwasm") {
            continue;
        }
        // Other tests do the same now: a file is there whole or not at all.
        let temporary = to.join(format!("{}.{}", f.file_name().to_string_lossy(), std::process::id()));
        if std::fs::copy(f.path(), &temporary).is_ok() {
            let _ = std::fs::rename(&temporary, &target);
        }
    }
}

fn database(command: &mut Command, options: &HostOptions) {
    command.env_remove("PLENUM_CONFIG").env_remove("PLENUM_CATALOG_DIRS");
    match &options.database {
        Database::Sqlite => command.env_remove("PLENUM_DATABASE_URL"),
        Database::Postgres(url) => command.env("PLENUM_DATABASE_URL", url),
    };
}
