//! Checks that the host asks for: is a process there, does a port answer, is a unit active.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use plenum_agent_protocol::v1::{Check, CheckResult};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Look, exposition};
use crate::engine::now_ms;
use crate::procfs;

/// Characters of a reason.
const MOST_TEXT: usize = 300;

/// Does one check; its result also becomes `plenum_check_up` and `plenum_check_duration_seconds`.
pub(super) async fn check(check: &Check, patience: Duration, look: &mut Look) -> CheckResult {
    let begun = Instant::now();
    let found = match check.kind.as_str() {
        "process" => {
            let (name, least) = (check.target.clone(), check.least.max(1));
            let looked = tokio::task::spawn_blocking(move || processes(&name));
            match timeout(patience, looked).await {
                Ok(Ok(count)) => {
                    look.gauge("plenum_check_processes", &[("check", &check.name)], f64::from(count));
                    let said = format!("{count} processes called {}", check.target);
                    if count >= least { Ok(said) } else { Err(format!("{said}, {least} should be there")) }
                }
                _ => Err("/proc could not be read in time".to_owned()),
            }
        }
        "tcp" => patient(patience, connect(&check.target)).await,
        "http" => patient(patience, http(&check.target)).await,
        "unit" => patient(patience, unit(&check.target)).await,
        other => Err(format!("kind {other:?} is unknown to this agent: process, tcp, http and unit are known")),
    };
    let labels = [("check", check.name.as_str()), ("kind", check.kind.as_str())];
    look.gauge("plenum_check_up", &labels, f64::from(u8::from(found.is_ok())));
    look.gauge("plenum_check_duration_seconds", &labels, begun.elapsed().as_secs_f64());
    let (ok, message) = match found {
        Ok(said) => (true, said),
        Err(reason) => (false, reason),
    };
    let message = message.chars().take(MOST_TEXT).collect();
    CheckResult { name: check.name.clone(), kind: check.kind.clone(), target: check.target.clone(), ok, message, at_ms: now_ms() }
}

async fn patient(patience: Duration, act: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    timeout(patience, act).await.unwrap_or_else(|_| Err(format!("no answer in {} s", patience.as_secs())))
}

/// Processes by the name that the kernel has of them (15 bytes), or by the name of their program.
fn processes(name: &str) -> u32 {
    let called = |pid: &i32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if comm.trim_end() == name {
            return true;
        }
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let program = cmdline.split(|b| *b == 0).next().unwrap_or_default();
        String::from_utf8_lossy(program).rsplit('/').next() == Some(name)
    };
    u32::try_from(procfs::pids().iter().filter(|pid| called(pid)).count()).unwrap_or(u32::MAX)
}

async fn connect(target: &str) -> Result<String, String> {
    let (host, port) = target.rsplit_once(':').unwrap_or(("127.0.0.1", target));
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    let host = if host.is_empty() || host == "localhost" { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    let address: IpAddr = host.parse().map_err(|_| format!("{host:?} is no address"))?;
    TcpStream::connect(SocketAddr::new(address, port)).await.map_err(|e| format!("{address}:{port}: {e}"))?;
    Ok(format!("{address}:{port} takes connections"))
}

async fn http(url: &str) -> Result<String, String> {
    match exposition::get(url).await? {
        (status @ 200..=399, _) => Ok(format!("it answers {status}")),
        (status, _) => Err(format!("it answers {status}")),
    }
}

async fn unit(name: &str) -> Result<String, String> {
    if name.starts_with('-') {
        return Err(format!("{name:?} is no unit"));
    }
    let mut command = tokio::process::Command::new("systemctl");
    command.args(["is-active", "--", name]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(std::process::Stdio::null());
    let said = command.kill_on_drop(true).output().await.map_err(|e| format!("systemctl cannot be asked: {e}"))?;
    let state = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    match state.as_str() {
        "active" | "reloading" => Ok(state),
        "" => Err(format!("systemctl: {}", String::from_utf8_lossy(&said.stderr).trim())),
        _ => Err(state),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    async fn result(kind: &str, target: &str, least: u32) -> (CheckResult, Look) {
        let mut look = Look::default();
        let asked = Check { name: "c".into(), kind: kind.into(), target: target.into(), least };
        let result = check(&asked, Duration::from_secs(10), &mut look).await;
        (result, look)
    }

    #[tokio::test]
    async fn what_is_there_and_what_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (found, look) = result("process", "sleep", 1).await;
        assert!(found.ok, "{}", found.message);
        assert!(look.samples.iter().any(|s| s.name == "plenum_check_up" && s.value == 1.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let (missing, look) = result("process", "no-such-program", 2).await;
        assert!(!missing.ok && missing.message.contains("2 should be there"), "{}", missing.message);
        assert!(look.samples.iter().any(|s| s.name == "plenum_check_up" && s.value == 0.0));

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        assert!(result("tcp", &port, 0).await.0.ok);
        assert!(result("tcp", &format!("localhost:{port}"), 0).await.0.ok);
        drop(listener);
        assert!(!result("tcp", &port, 0).await.0.ok);
        for (kind, target) in [("tcp", "name.example:1"), ("http", "http://192.0.2.1/"), ("unit", "--version"), ("rpc", "x")] {
            assert!(!result(kind, target, 0).await.0.ok, "{kind} {target}");
        }
    }
}
