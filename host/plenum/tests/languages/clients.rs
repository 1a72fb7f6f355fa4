//! The same of the platform in each language, in a real host: sums over records, keys and values, secrets, actions of other plugins,
//! requests to the outside.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::host::Host;
use super::{add, edit, new, own_imports, plenum, run};

const MANIFEST: &str = r#"
[[permissions]]
name = "plugins.use"
scope = { actions = ["disk-notes.count"] }
reason = "Calls."

[[permissions]]
name = "http.outgoing"
scope = { hosts = ["127.0.0.1"], schemes = ["http"], ports = ["PORT"], networks = ["127.0.0.1/32"] }
reason = "Asks."

[[settings]]
name = "token"
title = "Token"
type = "string"
secret = true
"#;

const PYTHON: &str = r#"

from plenum_sdk import context, keyvalue, outgoing, plugins


@plugin.get("/clients")
def clients(request: Request):
    for id, author, at in (("1", "olga", 2), ("2", "olga", 3), ("3", "vera", 1)):
        NOTES.put(id, Note(id, author, at))
    bucket = keyvalue.open("seen")
    bucket.set("x", "größe")
    bucket.increment("n")
    bucket.increment("n", 41)
    bucket.set_many({"a": "1", "b": "2"})
    bucket.delete_many(["a"])
    try:
        refused = bucket.increment("x")
    except Error as e:
        refused = e.code
    try:
        denied = outgoing.get("http://127.0.0.1:1/").status
    except Error as e:
        denied = e.code
    large = outgoing.post("http://127.0.0.1:PORT/x?y=1", body="x" * 100_000, headers={"X-Who": "me"})
    return {
        "large": [large.status, large.headers["x-kind"], large.success().json()],
        "gone": outgoing.request("PATCH", "http://127.0.0.1:PORT/gone").status,
        "denied": denied,
        "secret": context.secret("token"),
        "text": bucket.text("x"),
        "keys": bucket.keys(),
        "many": [v is None for v in bucket.get_many(["b", "gone"])],
        "n": bucket.increment("n", 0),
        "groups": [[g.keys, g.values] for g in NOTES.aggregate("count", ("sum", "created_at"), by=["author"])],
        "call": plugins.call("disk-notes", "count", {"os_id": "debian"}),
        "refused": refused,
    }
"#;

const JAVASCRIPT: &str = r#"
import { context, keyvalue, outgoing, plugins } from '@plenum/sdk';

router.get('/clients', () => {
  for (const [id, author, at] of [['1', 'olga', 2], ['2', 'olga', 3], ['3', 'vera', 1]]) NOTES.put(id, { text: id, author, created_at: at });
  const bucket = keyvalue.open('seen');
  bucket.set('x', 'größe');
  bucket.increment('n');
  bucket.increment('n', 41);
  bucket.setMany({ a: '1', b: '2' });
  bucket.deleteMany(['a']);
  let refused;
  try {
    refused = bucket.increment('x');
  } catch (e) {
    refused = e.code;
  }
  let denied;
  try {
    denied = outgoing.get('http://127.0.0.1:1/').status;
  } catch (e) {
    denied = e.code;
  }
  const large = outgoing.post('http://127.0.0.1:PORT/x?y=1', { body: 'x'.repeat(100_000), headers: { 'X-Who': 'me' } });
  return {
    large: [large.status, large.headers['x-kind'], large.success().json()],
    gone: outgoing.request('PATCH', 'http://127.0.0.1:PORT/gone').status,
    denied,
    secret: context.secret('token'),
    text: bucket.text('x'),
    keys: bucket.keys(),
    many: bucket.getMany(['b', 'gone']).map((v) => v === null),
    n: bucket.increment('n', 0),
    groups: NOTES.aggregate(['count', ['sum', 'created_at']], { by: ['author'] }).map((g) => [g.keys, g.values]),
    call: plugins.call('disk-notes', 'count', { os_id: 'debian' }),
    refused,
  };
});
"#;

const RUST: &str = r#"
fn clients(_: &Request) -> Result<Json<plenum_sdk::__Value>> {
    use plenum_sdk::{context, keyvalue::Bucket, outgoing, plugins};
    for (id, author, at) in [("1", "olga", 2), ("2", "olga", 3), ("3", "vera", 1)] {
        NOTES.put(id, &Note { text: id.into(), author: author.into(), created_at: at })?;
    }
    let bucket = Bucket::open("seen")?;
    bucket.set("x", "größe")?;
    bucket.increment("n", 1)?;
    bucket.increment("n", 41)?;
    bucket.set_many([("a", "1"), ("b", "2")])?;
    bucket.delete_many(["a"])?;
    let refused = bucket.increment("x", 1).err().map(|e| e.code);
    let groups = NOTES.aggregate().by("author").count().sum("created_at").groups()?;
    let groups: Vec<_> = groups.into_iter().map(|g| (g.keys, g.values)).collect();
    let call: plenum_sdk::__Value = plugins::call("disk-notes", "count", &plenum_sdk::__json!({ "os_id": "debian" }))?;
    let denied = outgoing::get("http://127.0.0.1:1/").send().err().map(|e| e.code);
    let large = outgoing::post("http://127.0.0.1:PORT/x?y=1").body("x".repeat(100_000)).header("X-Who", "me").send()?.success()?;
    Ok(Json(plenum_sdk::__json!({
        "large": (large.status, &large.headers["x-kind"], large.json::<plenum_sdk::__Value>()?),
        "gone": outgoing::request("PATCH", "http://127.0.0.1:PORT/gone").send()?.status,
        "denied": denied,
        "secret": context::secret("token"),
        "text": bucket.text("x")?,
        "keys": bucket.keys()?,
        "many": bucket.get_many(["b", "gone"])?.iter().map(Option::is_none).collect::<Vec<_>>(),
        "n": bucket.increment("n", 0)?,
        "groups": groups,
        "call": call,
        "refused": refused,
    })))
}
"#;

/// Says what it was asked.
async fn outside() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut seen, mut part) = (Vec::new(), [0; 16 << 10]);
                // Bodies of unknown length come in chunks, of which the last is empty.
                let (head, body) = loop {
                    let n = stream.read(&mut part).await.unwrap();
                    seen.extend_from_slice(&part[..n]);
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let whole = !head.to_lowercase().contains("transfer-encoding: chunked") || body.ends_with("0\r\n\r\n");
                    if n == 0 || whole {
                        break (head.to_owned(), body.matches('x').count());
                    }
                };
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                let who = head.lines().find_map(|l| l.to_lowercase().strip_prefix("x-who: ").map(str::to_owned));
                let status = if line.ends_with("/gone") { "410 Gone" } else { "200 OK" };
                let said = json!([line, who, body]).to_string();
                let answer =
                    format!("HTTP/1.1 {status}\r\nX-Kind: echo\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}", said.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

async fn the_same(plugin: &Path, source: &str) {
    let port = outside().await.to_string();
    add(&plugin.join("plugin.toml"), &MANIFEST.replace("PORT", &port));
    edit(&plugin.join(source), "PORT", &port);
    let said = run(plenum(plugin).arg("build"));
    assert!(!said.contains("advice:"), "{said}");
    let own = own_imports(&super::inspected(plugin)).join("\n");
    for interface in ["plenum:plugin/secrets", "plenum:plugin/calls"] {
        assert!(own.contains(interface), "{interface} in {own}");
    }
    assert!(super::inspected(plugin).contains("wasi:http/outgoing-handler"));
    let host = Host::start(&plugin.join("dist")).await;
    host.install("disk-notes", &["cmdb.read", "store", "plugins.use", "http.outgoing"]).await;
    let set = host.put("/plugins/disk-notes/settings", json!({ "token": "s3cret-s3cret" })).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let answer = host.get("/plugins/disk-notes/http/clients").await;
    let expected: Value = json!({
        "large": [200, "echo", ["POST /x?y=1", "me", 100_000]],
        "gone": 410,
        "denied": "outgoing.denied",
        "secret": "s3cret-s3cret",
        "text": "größe",
        "keys": ["b", "n", "x"],
        "many": [false, true],
        "n": 42,
        "groups": [[["olga"], [2, 5]], [["vera"], [1, 1]]],
        "call": { "hosts": 0 },
        "refused": "keyvalue.refused",
    });
    assert_eq!((answer.status, answer.json()), (200, expected), "{}", host.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_python() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "python");
    add(&plugin.join("src/plugin.py"), PYTHON);
    the_same(&plugin, "src/plugin.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_javascript() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "javascript");
    add(&plugin.join("src/plugin.js"), JAVASCRIPT);
    the_same(&plugin, "src/plugin.js").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_rust() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "rust");
    edit(&plugin.join("src/lib.rs"), "Router::new()", "Router::new().get(\"/clients\", clients)");
    add(&plugin.join("src/lib.rs"), RUST);
    the_same(&plugin, "src/lib.rs").await;
}
