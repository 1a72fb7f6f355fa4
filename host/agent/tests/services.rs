//! Discovery of real services, where they are installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plenum_agent::facts::Collector;
use serde_json::Value;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM: nginx's workers end with their master only when it is asked.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id().cast_signed()), nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// `None` where the program is not installed.
fn start(program: &str, args: &[&str], socket: &Path) -> Option<Running> {
    let child = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let mut running = Running(child);
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        assert!(running.0.try_wait().unwrap().is_none() && Instant::now() < deadline, "{program} does not start");
        std::thread::yield_now();
    }
    Some(running)
}

fn found(model: &str, socket: &Path) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&Collector::new().collect("n").message.json).unwrap();
    let services = json["services"].as_array().unwrap().clone();
    services.into_iter().filter(|service| service["model"] == model && service["socket"] == socket.to_str().unwrap()).collect()
}

fn assert_version(service: &Value) {
    assert!(service["version"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{service:#}");
}

#[test]
fn redis_without_a_port_is_known_by_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let (path, socket) = (dir.path().to_str().unwrap(), dir.path().join("redis.sock"));
    let args = ["--port", "0", "--unixsocket", socket.to_str().unwrap(), "--dir", path, "--save", ""];
    let Some(running) = start("redis-server", &args, &socket) else { return };
    let services = found("redis", &socket);
    assert_eq!(services.len(), 1);
    let service = &services[0];
    assert_eq!(service["name"], format!("redis:{}", socket.display()));
    assert_eq!(service["data_dir"], path);
    assert_eq!(service["process"], "redis-server");
    assert_eq!(service["pid"], running.0.id());
    assert!(service.get("port").is_none());
    assert_version(service);
}

#[test]
fn nginx_is_one_service_however_many_workers() {
    let dir = tempfile::tempdir().unwrap();
    let (config, socket) = (dir.path().join("n.conf"), dir.path().join("n.sock"));
    let path = dir.path().display();
    let text = format!(
        "daemon off; worker_processes 3; pid {path}/pid; error_log {path}/error; events {{}}\n\
         http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; \
         scgi_temp_path {path}/s; server {{ listen unix:{}; }} }}",
        socket.display()
    );
    fs::write(&config, text).unwrap();
    let Some(_running) = start("nginx", &["-c", config.to_str().unwrap()], &socket) else { return };
    let services = found("nginx", &socket);
    assert_eq!(services.len(), 1, "{services:#?}");
    assert_eq!(services[0]["config_file"], config.to_str().unwrap());
    assert_version(&services[0]);
}
