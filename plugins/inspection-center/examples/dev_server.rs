//! Serves the page with the plugin's own routes over a platform in memory, so that the page can be worked on without a host:
//! `cargo run --example dev_server [PORT] [LINUX TARGETS]`. It listens on 127.0.0.1 only; its "nodes" are this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use inspection_center::http;
use inspection_center::local::{Behaviour, Local};
use serde_json::json;

const BRIDGE: &str = include_str!("mock-bridge.js");

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let targets: u32 = args.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_millis()).unwrap_or(0));
    let local = Arc::new(Local::with_clock(Box::new(now)));
    for at in 1..=targets {
        let (id, name) = (format!("h{at}"), format!("web-{at:02}"));
        local.add("host", &id, &name, json!({ "node_id": format!("n{at}"), "hostname": name, "os_id": "debian", "status": "online", "env": "production", "memory_bytes": 25_000_000_000_i64, "addresses": [format!("10.0.0.{at}")] }));
    }
    local.add("host", "hx", "db-old", json!({ "node_id": "nx", "hostname": "db-old", "os_id": "centos", "status": "offline", "env": "test", "memory_bytes": 8_000_000_000_i64, "addresses": ["10.0.1.9"] }));
    local.add("host", "hy", "edge-07", json!({ "node_id": "ny", "hostname": "edge-07", "os_id": "debian", "status": "online", "env": "test", "memory_bytes": 8_000_000_000_i64, "addresses": ["10.0.1.7"] }));
    local.add("redis", "r1", "redis on web-01", json!({ "node_id": "n1", "port": 6379, "version": "7.0", "status": "running" }));
    if let Ok(mut nodes) = local.nodes.lock() {
        nodes.insert("ny".into(), Behaviour::Ends("timed_out", "after 300 s"));
    }
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("http://{}/", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, local) = (stream?, Arc::clone(&local));
        std::thread::spawn(move || {
            if let Err(error) = answer(stream, &local) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn answer(stream: TcpStream, local: &Arc<Local>) -> std::io::Result<()> {
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
        let request = http::Request {
            method: method.clone(),
            path: format!("/{path}"),
            query: query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (http::decode(name, true), http::decode(value, true)))
                .collect(),
            body,
            user: "admin".into(),
            locale: "en".into(),
            role: "administrator".into(),
        };
        let response = http::handle(local.as_ref(), &request);
        if path.ends_with("/run") && response.status == 202 {
            let run = serde_json::from_slice::<serde_json::Value>(&response.body)
                .ok()
                .and_then(|value| Some(value.get("run")?.as_str()?.to_owned()));
            let local = Arc::clone(local);
            std::thread::spawn(move || run.map(|run| local.pump(&run, false)));
        }
        (response.status, response.content_type, response.body)
    } else {
        file(path)
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
