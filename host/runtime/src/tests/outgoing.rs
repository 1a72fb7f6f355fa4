//! Requests to the outside, sent for real to servers on this machine.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wasmtime_wasi_http::{Error, WasiBody};

use super::*;
use crate::life::Life;
use crate::outgoing::{Gate, Refused, Resolve, Rules, SystemResolver};

/// A server that answers each connection with the same bytes, and counts them.
struct Server {
    at: SocketAddr,
    hits: Arc<AtomicUsize>,
    requests: Arc<Mutex<String>>,
}

async fn server(ip: &str, answer: Vec<u8>) -> Server {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (hits, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
    let (seen, said) = (hits.clone(), requests.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            let (answer, said) = (answer.clone(), said.clone());
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                said.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
                let _ = stream.write_all(&answer).await;
                // Open until the client goes: one that waits for more gets nothing.
                let _ = stream.read(&mut buffer).await;
            });
        }
    });
    Server { at, hits, requests }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn gate(scope: Json, resolver: Arc<dyn Resolve>, limits: HostLimits) -> Gate {
    let rules = Rules::of(&serde_json::from_value(json!({"http.outgoing": scope})).unwrap());
    Gate { rules, life: Life::new("demo", limits), resolver, patience: PATIENCE }
}

fn plain(scope: Json) -> Gate {
    gate(scope, Arc::new(SystemResolver), HostLimits::default())
}

async fn get(gate: &Gate, uri: &str) -> Result<(u16, String), Refused> {
    send(gate, uri, Bytes::new()).await
}

async fn send(gate: &Gate, uri: &str, body: Bytes) -> Result<(u16, String), Refused> {
    let body: WasiBody = Full::new(body).map_err(|e: std::convert::Infallible| -> Error { match e {} }).boxed_unsync();
    let request = ::http::Request::builder().uri(uri).header("host", "there").body(body).unwrap();
    let (response, io) = soon(gate.send(request, None)).await?;
    let status = response.status().as_u16();
    let io = tokio::spawn(Box::into_pin(io));
    let read = soon(response.into_body().collect()).await;
    io.abort();
    let bytes = read.map_err(|error| Refused { error, reason: "the body".into() })?.to_bytes();
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

fn local(port: u16) -> Json {
    json!({"hosts": ["127.0.0.1", "localhost.test.example", "*.test.example"], "ports": [port.to_string()], "networks": ["127.0.0.1"]})
}

/// Names of its own; each question may be answered otherwise than the one before.
struct Names(Mutex<Vec<Vec<SocketAddr>>>, AtomicUsize);

#[async_trait::async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Ok(answer
            .into_iter()
            .map(|mut a| {
                a.set_port(port);
                a
            })
            .collect())
    }
}

fn names(answers: &[&[&str]]) -> Arc<Names> {
    let one = |list: &&[&str]| list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
    Arc::new(Names(Mutex::new(answers.iter().map(one).collect()), AtomicUsize::new(0)))
}

#[tokio::test]
async fn a_granted_network_is_reached() {
    let s = server("127.0.0.1", ok("hello")).await;
    let g = plain(local(s.at.port()));
    assert_eq!(get(&g, &format!("http://127.0.0.1:{}/a?b=c", s.at.port())).await.unwrap(), (200, "hello".into()));
    let said = s.requests.lock().unwrap().clone();
    assert!(said.starts_with("GET /a?b=c HTTP/1.1\r\n") && said.contains("host: there"), "{said}");
    assert_eq!(g.life.stats.summary().outgoing, 1);
    let used = g.life.stats.uses()["http.outgoing"];
    assert_eq!((used.uses, used.refusals), (1, 0));
}

#[tokio::test]
async fn inside_addresses_are_refused_however_they_are_written() {
    let s = server("127.0.0.1", ok("secret")).await;
    let port = s.at.port();
    // The host is granted by name, the network is not.
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
        "[fd00:ec2::254]",
    ] {
        let name = host.trim_matches(['[', ']']);
        let g = plain(json!({"hosts": [name], "ports": [port.to_string()]}));
        let e = get(&g, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(e.error, Error::DestinationIpProhibited), "{host}: {:?}", e.error);
        assert!(e.reason.contains("networks"), "{}", e.reason);
    }
    // What only some would read as an address is none.
    for host in ["0177.0.0.1", "2130706433", "0x7f000001", "127.1"] {
        let g = plain(json!({"hosts": [host], "ports": [port.to_string()], "networks": ["127.0.0.0/8"]}));
        let e = get(&g, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(e.error, Error::HttpRequestDenied), "{host}: {:?}", e.error);
    }
    assert_eq!(s.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_points_inside_is_refused_and_so_is_one_that_points_there_too() {
    let s = server("127.0.0.1", ok("secret")).await;
    let port = s.at.port();
    for answer in [&["127.0.0.1"][..], &["93.184.216.34", "127.0.0.1"], &["::ffff:127.0.0.1"], &["169.254.169.254"]] {
        let g = gate(json!({"hosts": ["*.test.example"], "ports": [port.to_string()]}), names(&[answer]), HostLimits::default());
        let e = get(&g, &format!("http://a.test.example:{port}/")).await.unwrap_err();
        assert!(matches!(e.error, Error::DestinationIpProhibited), "{answer:?}: {:?}", e.error);
    }
    assert_eq!(s.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_leads_to_the_address_that_was_checked() {
    let good = server("127.0.0.1", ok("good")).await;
    let evil = TcpListener::bind(("127.0.0.2", good.at.port())).await.unwrap();
    let names = names(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let g = gate(local(good.at.port()), names.clone(), HostLimits::default());
    let uri = format!("http://a.test.example:{}/", good.at.port());
    assert_eq!(get(&g, &uri).await.unwrap().1, "good");
    assert_eq!(names.1.load(Ordering::SeqCst), 1, "asked once for each request");
    // The next request is a new question, and the new answer is checked.
    let e = get(&g, &uri).await.unwrap_err();
    assert!(matches!(e.error, Error::DestinationIpProhibited), "{:?}", e.error);
    assert!(tokio::time::timeout(Duration::from_millis(20), evil.accept()).await.is_err(), "nobody came");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_following_it_a_request_at_the_gate() {
    let inside = server("127.0.0.2", ok("secret")).await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:{}/\r\ncontent-length: 0\r\n\r\n", inside.at.port());
    let s = server("127.0.0.1", answer.into_bytes()).await;
    let mut scope = local(s.at.port());
    scope["hosts"] = json!(["127.0.0.1", "127.0.0.2"]);
    scope["ports"] = json!([s.at.port().to_string(), inside.at.port().to_string()]);
    let g = plain(scope);
    assert_eq!(get(&g, &format!("http://127.0.0.1:{}/", s.at.port())).await.unwrap().0, 302);
    let e = get(&g, &format!("http://127.0.0.2:{}/", inside.at.port())).await.unwrap_err();
    assert!(matches!(e.error, Error::DestinationIpProhibited), "{:?}", e.error);
    assert_eq!(inside.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn other_hosts_schemes_and_ports_are_refused_with_what_to_ask_for() {
    let s = server("127.0.0.1", ok("x")).await;
    let port = s.at.port();
    let scope = json!({"hosts": ["127.0.0.1"], "schemes": ["http"], "ports": [port.to_string()], "networks": ["127.0.0.0/8"]});
    for (uri, says) in [
        (format!("http://127.0.0.2:{port}/"), "scope hosts"),
        (format!("https://127.0.0.1:{port}/"), "scope schemes"),
        ("http://127.0.0.1:22/".to_owned(), "scope ports"),
        (format!("http://me:pw@127.0.0.1:{port}/"), "name or password"),
    ] {
        let e = get(&plain(scope.clone()), &uri).await.unwrap_err();
        assert!(matches!(e.error, Error::HttpRequestDenied) && e.reason.contains(says), "{uri}: {}", e.reason);
    }
    let g = Gate { rules: None, ..plain(scope) };
    assert!(get(&g, &format!("http://127.0.0.1:{port}/")).await.unwrap_err().reason.contains("not granted"));
    assert_eq!(s.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn answers_and_requests_have_a_largest_size() {
    let limits = HostLimits { outgoing_bytes: 1_000, ..HostLimits::default() };
    let s = server("127.0.0.1", ok(&"x".repeat(1_001))).await;
    let g = gate(local(s.at.port()), Arc::new(SystemResolver), limits);
    let uri = format!("http://127.0.0.1:{}/", s.at.port());
    let e = get(&g, &uri).await.unwrap_err();
    assert!(matches!(e.error, Error::HttpResponseBodySize(Some(1_000))), "{:?}", e.error);
    let fits = server("127.0.0.1", ok(&"x".repeat(1_000))).await;
    let g = gate(local(fits.at.port()), Arc::new(SystemResolver), limits);
    let uri = format!("http://127.0.0.1:{}/", fits.at.port());
    assert_eq!(get(&g, &uri).await.unwrap().1.len(), 1_000);
    assert!(send(&g, &uri, Bytes::from(vec![b'x'; 1_001])).await.is_err());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let s = server("127.0.0.1", answer.as_bytes().to_vec()).await;
        let g = Gate { patience: Duration::from_millis(300), ..plain(local(s.at.port())) };
        let e = get(&g, &format!("http://127.0.0.1:{}/", s.at.port())).await.unwrap_err();
        assert!(matches!(e.error, Error::ConnectionReadTimeout), "{answer:?}: {:?}", e.error);
    }
}

#[tokio::test]
async fn so_many_requests_a_minute_and_no_more() {
    let s = server("127.0.0.1", ok("x")).await;
    let g = gate(local(s.at.port()), Arc::new(SystemResolver), HostLimits { outgoing_per_minute: 2, ..HostLimits::default() });
    let uri = format!("http://127.0.0.1:{}/", s.at.port());
    for _ in 0..2 {
        get(&g, &uri).await.unwrap();
    }
    let e = get(&g, &uri).await.unwrap_err();
    assert!(matches!(e.error, Error::ConnectionLimitReached) && e.reason.contains("2 requests a minute"), "{}", e.reason);
    assert_eq!((s.hits.load(Ordering::SeqCst), g.life.stats.summary().outgoing_refused), (2, 1));
}

#[tokio::test]
async fn tls_asks_for_a_certificate_of_the_name() {
    // Speaks no TLS at all: what comes is never sent in the clear.
    let s = server("127.0.0.1", ok("x")).await;
    let g = plain(local(s.at.port()));
    let e = get(&g, &format!("https://127.0.0.1:{}/secret", s.at.port())).await.unwrap_err();
    assert!(matches!(e.error, Error::Tls(_)), "{:?}", e.error);
    assert!(!s.requests.lock().unwrap().contains("/secret"));
}
