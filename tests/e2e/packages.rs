//! Packages that should not get in, and strangers' components that should: through the catalog and the API of a real host.

use std::path::Path;
use std::process::Command;

use plenum_tests::{Client, Host, HostOptions, bin_dir, build_key};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// Runs `plenum plugin ARGS`, which must succeed.
pub fn plenum(args: &[&str], dir: &Path) {
    let out = Command::new(bin_dir().join("plenum")).arg("plugin").args(args).current_dir(dir).output().expect("plenum runs");
    assert!(out.status.success(), "plenum plugin {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn manifest(id: &str) -> Value {
    json!({"id": id, "name": {"en": id}, "version": "0.1.0", "api": "^0.1", "publisher": "Tests", "description": {"en": "For tests."}})
}

fn with(mut manifest: Value, more: Value) -> Value {
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manifest
}

fn tar(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in parts {
        let mut h = tar::Header::new_gnu();
        h.set_size(bytes.len() as u64);
        h.set_mode(0o644);
        // By hand: the builder refuses the names that are tried here.
        h.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        h.set_cksum();
        tar.append(&h, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

/// An OCI image layout by hand, as no tool of ours would make it.
fn layout(manifest: &Value, component: Option<&[u8]>, files: Option<&[u8]>) -> Vec<u8> {
    let mut parts = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut blobs = Vec::new();
    let mut put = |kind: &str, bytes: &[u8]| {
        let hash = hex::encode(Sha256::digest(bytes));
        blobs.push((format!("blobs/sha256/{hash}"), bytes.to_vec()));
        json!({"mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len()})
    };
    let config = put("application/vnd.plenum.plugin.config.v1+json", manifest.to_string().as_bytes());
    let mut layers = Vec::new();
    layers.extend(component.map(|c| put("application/wasm", c)));
    layers.extend(files.map(|f| put("application/vnd.plenum.plugin.files.v1.tar+gzip", f)));
    let image = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.plenum.plugin.v1", "config": config, "layers": layers});
    let image = put("application/vnd.oci.image.manifest.v1+json", image.to_string().as_bytes());
    parts.push(("index.json".to_owned(), json!({"schemaVersion": 2, "manifests": [image]}).to_string().into_bytes()));
    parts.extend(blobs);
    tar(&parts)
}

/// The contract, and a world of this text beside it.
fn world(text: &str) -> (wit_parser::Resolve, wit_parser::WorldId) {
    let mut resolve = wit_parser::Resolve::default();
    for dir in [
        "types",
        "cmdb",
        "cmdb-0.2",
        "jobs",
        "workflow",
        "store",
        "events",
        "log",
        "plugin",
        "metrics",
        "notify",
        "wasi-config",
        "wasi-keyvalue",
    ] {
        resolve.push_dir(format!("{}/../wit/{dir}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    }
    let package = resolve.push_str("test.wit", text).unwrap();
    let world = resolve.select_world(&[package], Some("web")).unwrap();
    (resolve, world)
}

fn encode(mut module: Vec<u8>, resolve: &wit_parser::Resolve, world: wit_parser::WorldId) -> Vec<u8> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A component for `wasi:http` 0.2.3, made with no tool and no interface of this platform.
fn stranger() -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/runtime/src/tests/guests");
    let read = |name: &str| std::fs::read_to_string(guests.join(name)).unwrap();
    let (resolve, world) = world(&read("wasi.wit"));
    encode(wat::parse_str(read("web.wat")).unwrap(), &resolve, world)
}

/// A component that imports reading the CMDB.
fn curious() -> Vec<u8> {
    let (resolve, world) = world("package test:curious; world web { import plenum:cmdb/instances@0.1.0; }");
    let module = wit_component::dummy_module(&resolve, world, wit_parser::ManglingAndAbi::Standard32);
    encode(module, &resolve, world)
}

async fn install(admin: &Client, id: &str, permissions: &[&str], expect: StatusCode) -> Value {
    admin.refused(Method::POST, "/api/v1/plugins", Some(json!({"id": id, "permissions": permissions})), expect).await
}

/// What the catalog says of a file.
async fn entry(admin: &Client, file: &str) -> Value {
    let list = admin.get("/api/v1/catalog").await;
    let found = list["items"].as_array().unwrap().iter().find(|e| e["file"] == file);
    found.unwrap_or_else(|| panic!("{file} is not in {list:#}")).clone()
}

async fn nothing_installed(admin: &Client) {
    assert_eq!(admin.get("/api/v1/plugins").await["items"], json!([]), "a refused package leaves nothing");
}

#[tokio::test]
async fn a_host_takes_what_it_trusts_and_says_why_not() {
    let shop = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let (at, own) = (|name: &str| shop.path().join(name), build_key().with_extension("key").display().to_string());
    plenum(&["keygen", "--no-password", "--out", "stranger"], work.path());
    let (page, out) = (work.path().join("page"), shop.path().display().to_string());
    std::fs::create_dir_all(page.join("web")).unwrap();
    std::fs::write(page.join("web/index.html"), "<p>hello</p>").unwrap();
    for (id, key) in [("good", Some(own.as_str())), ("unknown", Some("../stranger.key")), ("unsigned", None)] {
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\nversion = \"0.1.0\"\napi = \"^0.1\"\npublisher = \"Tests\"\ndescription = \"For tests.\"\n[[pages]]\nid = \"main\"\ntitle = \"Main\"\nkind = \"framed\"\nentry = \"web/index.html\"\n"
        );
        std::fs::write(page.join("plugin.toml"), text).unwrap();
        let mut args = vec!["pack", ".", "--out", &out];
        args.extend(key.map(|k| ["--key", k]).into_iter().flatten());
        plenum(&args, &page);
    }
    let good = std::fs::read(at("good-0.1.0.plenum")).unwrap();
    std::fs::write(at("truncated.plenum"), &good[..good.len() / 2]).unwrap();
    // One byte of the page's layer, which is compressed: the digest no longer fits.
    let mut tampered = good.clone();
    let gz = tampered.windows(3).position(|w| w == [0x1f, 0x8b, 8]).expect("a compressed layer");
    tampered[gz + 24] ^= 1;
    std::fs::write(at("tampered.plenum"), &tampered).unwrap();
    std::fs::write(at("nonsense.plenum"), vec![7_u8; 4096]).unwrap();

    let host = Host::start(HostOptions { catalogs: vec![shop.path().to_owned()], ..HostOptions::default() }).await;
    let admin = host.admin().await;
    for (file, state, problem) in [
        ("good-0.1.0.plenum", "trusted", ""),
        ("unknown-0.1.0.plenum", "unknown_publisher", ""),
        ("unsigned-0.1.0.plenum", "unsigned", ""),
        ("tampered.plenum", "modified", "digest"),
        ("truncated.plenum", "unsigned", "package"),
        ("nonsense.plenum", "unsigned", "package"),
    ] {
        let e = entry(&admin, file).await;
        assert_eq!(e["signature"]["state"], state, "{file}: {e:#}");
        assert!(e["problem"].as_str().unwrap_or_default().contains(problem), "{file}: {e:#}");
    }
    for (id, words) in [("unknown", "trust"), ("unsigned", "signed")] {
        let p = install(&admin, id, &[], StatusCode::FORBIDDEN).await;
        assert_eq!(p["code"], "plugin.signature", "{p:#}");
        assert!(p["detail"].as_str().unwrap().contains(words), "{p:#}");
    }
    install(&admin, "tampered", &[], StatusCode::NOT_FOUND).await;
    nothing_installed(&admin).await;
    let made = admin.post("/api/v1/plugins", json!({"id": "good", "permissions": []})).await;
    assert_eq!((&made["status"], &made["signature"]["state"]), (&json!("active"), &json!("trusted")));
    // A file that changes after it was listed is looked at again.
    std::fs::write(at("good-0.1.0.plenum"), &tampered).unwrap();
    install(&admin, "good", &[], StatusCode::NOT_FOUND).await;
    assert_eq!(admin.get("/api/v1/plugins/good").await["status"], "active");
}

#[tokio::test]
async fn a_manifest_that_lies_or_asks_too_much_is_refused_by_name() {
    let shop = tempfile::tempdir().unwrap();
    let component = json!({"component": {"path": "plugin.wasm"}});
    let reads = json!({"permissions": [{"name": "cmdb.read", "scope": {"models": ["host"]}, "reason": {"en": "To look."}}]});
    let file = |name: &str, bytes: Vec<u8>| std::fs::write(shop.path().join(format!("{name}.plenum")), bytes).unwrap();
    let files = |parts: &[(&str, Vec<u8>)]| gzip(&tar(&parts.iter().map(|(n, b)| ((*n).to_owned(), b.clone())).collect::<Vec<_>>()));
    file("future", layout(&with(manifest("future"), json!({"api": "^9"})), None, None));
    file("wishes", layout(&with(manifest("wishes"), json!({"permissions": [{"name": "cmdb.raed", "reason": {"en": "x"}}]})), None, None));
    file("users", layout(&with(manifest("users"), json!({"permissions": [{"name": "users.manage", "reason": {"en": "x"}}]})), None, None));
    file("unknown-key", layout(&with(manifest("unknown-key"), json!({"prmissions": []})), None, None));
    file("liar", layout(&with(manifest("liar"), component.clone()), Some(&curious()), None));
    file("curious", layout(&with(with(manifest("curious"), component.clone()), reads), Some(&curious()), None));
    file("no-wasm", layout(&with(manifest("no-wasm"), component.clone()), Some(b"not wasm at all"), None));
    file("dots", layout(&manifest("dots"), None, Some(&files(&[("../../escape", b"x".to_vec())]))));
    file("root", layout(&manifest("root"), None, Some(&files(&[("/etc/escape", b"x".to_vec())]))));
    file("twins", layout(&manifest("twins"), None, Some(&files(&[("web/a", b"1".to_vec()), ("web/A", b"2".to_vec())]))));
    file("bomb", layout(&manifest("bomb"), None, Some(&files(&[("web/zeros", vec![0; 65 << 20])]))));
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    file("deep", layout(&Value::String(deep.clone()), None, None));

    let options = HostOptions { catalogs: vec![shop.path().to_owned()], developer_mode: true, ..HostOptions::default() };
    let host = Host::start(options).await;
    let admin = host.admin().await;
    for (name, words) in [
        ("future", "^9"),
        ("wishes", "did you mean \"cmdb.read\"?"),
        ("users", "for people only"),
        ("unknown-key", "prmissions"),
        ("dots", "escape"),
        ("root", "escape"),
        ("twins", "case"),
        ("bomb", "MiB"),
        ("deep", ""),
    ] {
        let e = entry(&admin, &format!("{name}.plenum")).await;
        let problem = e["problem"].as_str().unwrap_or_else(|| panic!("{name} has no problem: {e:#}"));
        assert!(problem.contains(words), "{name}: {problem}");
        let p = admin.send(Method::POST, "/api/v1/plugins", Some(json!({"id": name, "permissions": []}))).await;
        assert!(p.0.is_client_error(), "{name}: {p:?}");
    }
    let p = install(&admin, "liar", &[], StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(
        p["detail"].as_str().unwrap().contains("plenum:cmdb/instances") && p["detail"].as_str().unwrap().contains("cmdb.read"),
        "{p:#}"
    );
    // Asked for in the manifest, and an administrator said no: the same door is shut.
    let p = install(&admin, "curious", &[], StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(p["code"], "plugin.ungranted_import", "{p:#}");
    install(&admin, "no-wasm", &[], StatusCode::UNPROCESSABLE_ENTITY).await;
    // What the manifest does not ask for cannot be granted either.
    install(&admin, "curious", &["jobs.run"], StatusCode::UNPROCESSABLE_ENTITY).await;
    nothing_installed(&admin).await;
    let escaped = [host.data.path().join("escape"), "/etc/escape".into()];
    assert!(escaped.iter().all(|p| !p.exists()));
}

#[tokio::test]
async fn a_strangers_component_is_packed_unchanged_and_answers() {
    let shop = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let key = build_key().with_extension("key").display().to_string();
    let text = "id = \"stranger\"\nname = \"Stranger\"\nversion = \"1.2.3\"\napi = \"^0.1\"\npublisher = \"Somebody\"\ndescription = \"Knows nothing of Plenum.\"\n";
    std::fs::write(work.path().join("plugin.toml"), text).unwrap();
    std::fs::write(work.path().join("handler.wasm"), stranger()).unwrap();
    let out = shop.path().display().to_string();
    plenum(&["pack", ".", "--component", "handler.wasm", "--out", &out, "--key", &key], work.path());

    let host = Host::start(HostOptions { catalogs: vec![shop.path().to_owned()], ..HostOptions::default() }).await;
    let admin = host.admin().await;
    admin.post("/api/v1/plugins", json!({"id": "stranger", "permissions": []})).await;
    let answer = admin.request(Method::GET, "/api/v1/plugins/stranger/http/some/path?q=1").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["x-mine"], "yes");
    assert!(answer.headers().get_all("set-cookie").iter().all(|c| !c.to_str().unwrap().contains("yes")), "a plugin sets no cookies");
    assert_eq!(answer.text().await.unwrap(), "/some/path?q=1");
    for (path, seen) in [("", "/"), ("/", "/"), ("/?q=1", "/?q=1")] {
        let answer = admin.request(Method::GET, &format!("/api/v1/plugins/stranger/http{path}")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), seen, "its root is reached with a slash and without");
    }
    // It fails: the caller gets the call's id, and the log of that call says why.
    let p = admin.refused(Method::GET, "/api/v1/plugins/stranger/http/trap", None, StatusCode::BAD_GATEWAY).await;
    assert_eq!(p["code"], "plugin.trap", "{p:#}");
    let log = admin.get("/api/v1/plugins/stranger/logs").await;
    assert!(
        log["items"].as_array().unwrap().iter().any(|l| l["fields"]["trap"].as_str().unwrap_or_default().contains("unreachable")),
        "{log:#}"
    );
    let answer = admin.request(Method::GET, "/api/v1/plugins/stranger/http/again").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "one failed call is no reason for the next to fail");
}
