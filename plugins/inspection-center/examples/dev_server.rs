//! Serves the page with the plugin's own routes over a platform in memory, so that the page can be worked on without a host:
//! `cargo run --example dev_server [PORT] [LINUX TARGETS]`. It listens on 127.0.0.1 only; its "nodes" are this machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use inspection_center::routes;
use plenum_sdk::testing::Shared;
use plenum_sdk::{Request, Timestamp};
use serde_json::json;
use support::{Behaviour, Fleet, pump};

const BRIDGE: &str = include_str!("mock-bridge.js");

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let targets: u32 = args.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let fleet = Fleet::new(0);
    for at in 1..=targets {
        let (name, node) = (format!("web-{at:02}"), format!("n{at}"));
        let bytes = 25_000_000_000_i64;
        fleet.machine(&name, json!({ "node_id": node, "os_id": "debian", "status": "online", "env": "production", "memory_bytes": bytes, "addresses": [format!("10.0.0.{at}")] }));
        // The first three really ask this machine; a fleet of thousands would ask it for hours.
        if at > 3 {
            fleet.node(&node, Behaviour::Ends("lost", "it is only here to be many"));
        }
    }
    let small = 8_000_000_000_i64;
    fleet.machine(
        "db-old",
        json!({ "node_id": "nx", "os_id": "centos", "status": "offline", "env": "test", "memory_bytes": small, "addresses": ["10.0.1.9"] }),
    );
    fleet.machine(
        "edge-07-with-a-name-that-is-longer-than-any-column.of-the.customer-network.example",
        json!({ "node_id": "ny", "os_id": "debian", "status": "online", "env": "test", "memory_bytes": small, "addresses": ["10.0.1.7"] }),
    );
    fleet.node("ny", Behaviour::Ends("timed_out", "after 300 s"));
    fleet
        .fake
        .instance("redis", json!({ "name": "redis on web-01", "node_id": "n1", "port": 6379, "version": "7.0", "status": "running" }));
    let shared = fleet.fake.share();
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("http://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, shared) = (stream?, shared.clone());
        std::thread::spawn(move || {
            if let Err(error) = answer(stream, &shared) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or("GET").to_owned(), words.next().unwrap_or("/").to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (status, kind, content) = if let Some(path) = path.strip_prefix("/api/") {
        let fake = shared.enter();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
        fake.at(Timestamp(now));
        let request = Request::new(&method, &format!("/{}{}{query}", path, if query.is_empty() { "" } else { "?" }));
        let response = routes::router().handle(request.with_body(body).as_user("admin", "administrator"));
        if path.ends_with("/run") && response.status == 202 {
            let run = response.decode::<serde_json::Value>().ok().and_then(|value| Some(value.get("run")?.as_str()?.to_owned()));
            let shared = shared.clone();
            std::thread::spawn(move || {
                let fake = shared.enter();
                run.map(|run| pump(&fake, &run, false))
            });
        }
        (response.status, response.get_header("content-type").unwrap_or("text/plain").to_owned(), response.body)
    } else {
        let (status, kind, content) = file(path);
        (status, kind.to_owned(), content)
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n",
        content.len()
    )?;
    write!(
        stream,
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:\r\n\r\n"
    )?;
    stream.write_all(&content)
}

fn file(path: &str) -> (u16, &'static str, Vec<u8>) {
    let name = path.trim_start_matches('/');
    let name = if name.is_empty() { "index.html" } else { name };
    if name == "plenum-bridge.js" {
        return (200, "text/javascript", BRIDGE.as_bytes().to_vec());
    }
    if name.contains("..") || name.contains('/') {
        return (404, "text/plain", Vec::new());
    }
    let kind = match name.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        _ => "text/html; charset=utf-8",
    };
    match std::fs::read(format!("{}/web/{name}", env!("CARGO_MANIFEST_DIR"))) {
        Ok(content) => (200, kind, content),
        Err(_) => (404, "text/plain", Vec::new()),
    }
}
