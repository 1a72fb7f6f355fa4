//! The way to the host: through a proxy, with a certificate that soon ends; and into a machine: install and uninstall. The agent is the real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

// Each of these tests needs a part of it.
#[allow(dead_code)]
mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plenum_agent_protocol::v1::agent_message::Body;
use support::{Ca, Counters, Host, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plenum-agent"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["PLENUM_AGENT_HOST", "PLENUM_AGENT_TOKEN", "PLENUM_AGENT_PROXY", "PLENUM_AGENT_STATE"] {
        command.env_remove(name);
    }
    command
}

async fn output(command: &mut Command) -> (bool, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// A small HTTP proxy: lets `CONNECT` through with the right password, and notes what it was asked.
async fn proxy(password: Option<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let notes = notes.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                notes.lock().unwrap().push(head.clone());
                let allowed = password.is_none_or(|p| head.contains(&format!("Proxy-Authorization: Basic {p}\r\n")));
                let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                if !allowed {
                    return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
                }
                let Ok(mut host) = TcpStream::connect(target).await else {
                    return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.unwrap();
                };
                client.write_all(b"HTTP/1.1 200 Connection established\r\nX-Proxy: test\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut host).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn through_a_proxy_with_a_password_that_it_keeps_to_itself() {
    let mut host = Host::start().await;
    // me:p@ss
    let (address, asked) = proxy(Some("bWU6cEBzcw==")).await;
    let dir = tempfile::tempdir().unwrap();
    let (state, token) = (dir.path().to_str().unwrap(), host.ca.token().to_string());
    let enrol = |proxy: String| {
        let mut command = program(&["enrol", "--host", &host.name(), "--state", state]);
        command.env("PLENUM_AGENT_TOKEN", &token).env("PLENUM_AGENT_PROXY", proxy);
        command
    };
    let (ok, said) = output(&mut enrol(format!("http://{address}"))).await;
    assert!(!ok && said.contains("[agent.proxy]") && said.contains("407"), "{said}");
    let (ok, said) = output(&mut enrol(format!("http://me:wrong@{address}"))).await;
    assert!(!ok && said.contains("407") && !said.contains("wrong"), "{said}");
    let (ok, said) = output(&mut enrol("socks5://127.0.0.1:1".into())).await;
    assert!(!ok && said.contains("[agent.usage]"), "{said}");
    let (ok, said) = output(&mut enrol(format!("http://me:p%40ss@{address}"))).await;
    assert!(ok, "{said}");
    assert!(asked.lock().unwrap().last().unwrap().starts_with(&format!("CONNECT {} HTTP/1.1\r\n", host.name())));
    // Remembered: `run` goes the same way without being told.
    let before = asked.lock().unwrap().len();
    let mut agent = program(&["run", "--state", state, "--max-backoff", "1"]).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    while !matches!(conn.hear().await, Body::Heartbeat(_)) {}
    assert_eq!(asked.lock().unwrap().len(), before + 1);
    agent.kill().await.unwrap();
    // And a direct way again.
    let _agent = program(&["run", "--state", state, "--proxy", "none"]).spawn().unwrap();
    host.connection().await;
    assert_eq!(asked.lock().unwrap().len(), before + 1);
}

#[tokio::test]
async fn a_proxy_that_is_no_proxy_or_leads_nowhere_is_told_as_that() {
    let host = Host::start().await;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let enrol = |proxy: &str, to: &str| {
        let mut command = program(&["enrol", "--host", to, "--state", state, "--proxy", proxy]);
        command.env("PLENUM_AGENT_TOKEN", host.ca.token().to_string());
        command
    };
    let (address, _) = proxy(None).await;
    let (ok, said) = output(&mut enrol(&address, "127.0.0.1:1")).await;
    assert!(!ok && said.contains("[agent.proxy]") && said.contains("502"), "{said}");
    // Something that speaks first, and not HTTP.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = other.accept().await {
            let _ = tcp.write_all(b"220 mail.example\r\n\r\n").await;
        }
    });
    let (ok, said) = output(&mut enrol(&address, &host.name())).await;
    assert!(!ok && said.contains("[agent.proxy]"), "{said}");
    let (ok, said) = output(&mut enrol("127.0.0.1:1", &host.name())).await;
    assert!(!ok && said.contains("[agent.proxy]"), "{said}");
    assert_eq!(host.counters.enrolments.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_of_some_seconds_is_renewed_in_time_and_one_that_ended_says_so() {
    let counters = || Counters { short_s: Some(12), ..Counters::default() };
    let mut host = Host::start_as(Ca::new(), "127.0.0.1:0".parse().unwrap(), counters()).await;
    let dir = tempfile::tempdir().unwrap();
    let token = host.ca.token().to_string();
    let mut up = program(&["up", "--host", &host.name(), "--max-backoff", "1", "--state", dir.path().to_str().unwrap()]);
    let _agent = up.env("PLENUM_AGENT_TOKEN", &token).spawn().unwrap();
    let (mut conn, _) = host.connection().await;
    while host.counters.renewals.load(Ordering::SeqCst) == 0 {
        conn.hear().await;
    }
    let first = conn.serial.clone();
    // Past the end of the first one: the connection stands, and a new one is made with the second.
    tokio::time::sleep(Duration::from_secs(12)).await;
    drop(conn);
    let (conn, _) = host.connection().await;
    assert_ne!(conn.serial, first);
    assert_eq!(conn.node, "node-1");

    // Away for longer than the certificate lives.
    let late = tempfile::tempdir().unwrap();
    let state = late.path().to_str().unwrap();
    let mut enrol = program(&["enrol", "--host", &host.name(), "--state", state]);
    let (ok, said) = output(enrol.env("PLENUM_AGENT_TOKEN", &token)).await;
    assert!(ok, "{said}");
    tokio::time::sleep(Duration::from_secs(13)).await;
    let log = late.path().join("log");
    let mut agent = program(&["run", "--max-backoff", "1", "--state", state]);
    let _agent = agent.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !fs::read_to_string(&log).unwrap().contains("agent.certificate_expired") {
        assert!(tokio::time::Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_dry_run_shows_all_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let prefix = dir.path().join("prefix");
    let mut install =
        program(&["install", "--host", "h:8444", "--user", "no-such-user-here", "--dry-run", "--max-running", "4", "--state"]);
    install.arg(&state).arg("--prefix").arg(&prefix).env("PLENUM_AGENT_TOKEN", "secret.token");
    let (ok, said) = output(&mut install).await;
    assert!(ok, "{said}");
    for part in [
        format!("copy {} to {}/bin/plenum-agent", env!("CARGO_BIN_EXE_plenum-agent"), prefix.display()),
        "make the system user no-such-user-here".into(),
        format!("make the directory {}, mode 0700", state.display()),
        "enrol with h:8444".into(),
        "write /etc/systemd/system/plenum-agent.service:".into(),
        format!("ExecStart={}/bin/plenum-agent run --state {} --max-running 4", prefix.display(), state.display()),
        "User=no-such-user-here".into(),
        "run systemctl restart plenum-agent.service".into(),
    ] {
        assert!(said.contains(&part), "{part} in:\n{said}");
    }
    assert!(!said.contains("secret"), "{said}");
    assert!(!state.exists() && !prefix.exists());
    let mut undo = program(&["uninstall", "--purge", "--dry-run", "--state"]);
    let (ok, said) = output(undo.arg(&state)).await;
    assert!(
        ok && said.contains("systemctl disable --now") && said.contains(&format!("remove {} and all in it", state.display())),
        "{said}"
    );
}

#[tokio::test]
async fn into_an_image_without_an_identity_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let (ok, said) = output(program(&["install", "--root", root, "--host", "h:1"]).env("PLENUM_AGENT_TOKEN", "a.b")).await;
    assert!(!ok && said.contains("image"), "{said}");
    let (ok, said) = output(&mut program(&["install", "--root", root])).await;
    assert!(ok, "{said}");
    let installed = dir.path().join("usr/local/bin/plenum-agent");
    let (ok, said) = output(Command::new(&installed).arg("--version").stdin(Stdio::null())).await;
    assert!(ok && said.starts_with("plenum-agent "), "{said}");
    assert!(Path::new(root).join("etc/systemd/system/plenum-agent.service").exists());
    assert!(fs::read_dir(dir.path().join("var/lib/plenum-agent")).unwrap().next().is_none(), "no identity: each machine gets its own");
    let (ok, said) = output(&mut program(&["uninstall", "--root", root, "--purge"])).await;
    assert!(ok && !installed.exists() && !dir.path().join("var/lib/plenum-agent").exists(), "{said}");
    let (ok, said) = output(&mut program(&["install", "--proxy", "http://p:1", "--dry-run"])).await;
    assert!(!ok && said.contains("--token"), "{said}");
}
