//! Registries: Debian's, with skopeo as the stranger's tool, and some that mean no good.

use std::process::Command;

use super::server::{DockerRegistry, Server, answer};
use super::*;
use crate::package::fetch::FetchError;

/// `alice:s3cret`
const USERS: &str = "alice:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

fn open(credentials: Credentials) -> Registry {
    Registry::new(credentials, false).unwrap()
}

fn signed() -> (Archive, TrustedKey) {
    let (public, secret) = generate_key(None).unwrap();
    let mut archive = demo();
    archive.sign(&secret, None).unwrap();
    (archive, TrustedKey { name: "Tests".into(), public_key: public })
}

fn skopeo(args: &[&str]) -> String {
    let out = Command::new("skopeo").args(args).output().expect("skopeo, from the Debian package skopeo");
    assert!(out.status.success(), "skopeo {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[tokio::test]
async fn what_is_pushed_is_pulled_byte_for_byte_and_skopeo_carries_it() {
    let server = DockerRegistry::start(None);
    let (archive, key) = signed();
    let place = Reference::parse(&format!("{}/acme/demo", server.host)).unwrap();
    let client = open(Credentials::default());
    let pushed = client.push(&archive, &place, false).await.unwrap();
    assert_eq!((pushed.reference.version.as_deref(), pushed.digest.as_str(), pushed.unchanged), (Some("0.1.0"), archive.digest(), false));
    assert!(client.push(&archive, &place, false).await.unwrap().unchanged);
    let bytes = archive.to_bytes().unwrap();
    let back = client.pull(&place.at("0.1.0")).await.unwrap();
    assert_eq!(back.to_bytes().unwrap(), bytes);
    assert_eq!(client.pull(&place.at(archive.digest())).await.unwrap().to_bytes().unwrap(), bytes);

    // Out to a folder and back to another repository, with a stranger's tool: the image and what refers to it.
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (format!("docker://{}/acme/demo", server.host), format!("docker://{}/mirror/demo", server.host));
    let folder = format!("oci:{}/layout", dir.path().display());
    let referrers = archive.digest().replace(':', "-");
    let common = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    // Of a list it keeps what is in it, and not how it was written.
    for (more, version) in [("--preserve-digests", "0.1.0"), ("--all", referrers.as_str())] {
        for (a, b) in [(&from, &folder), (&folder, &to)] {
            skopeo(&[&common[..], &[more], &[&format!("{a}:{version}"), &format!("{b}:{version}")]].concat());
        }
    }
    let there = Reference::parse(&format!("{}/mirror/demo:0.1.0", server.host)).unwrap();
    let copied = client.pull(&there).await.unwrap();
    assert_eq!(copied.to_bytes().unwrap(), bytes);
    assert_eq!(copied.package().unwrap().verify(&[key]).unwrap().state, Trust::Trusted);

    // What tools of the Wasm artifact layout look at.
    let raw: serde_json::Value =
        serde_json::from_str(&skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("{from}:0.1.0")])).unwrap();
    assert_eq!(raw["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(raw["layers"][0]["mediaType"], "application/wasm");
    let config: serde_json::Value =
        serde_json::from_str(&skopeo(&["inspect", "--config", "--raw", "--tls-verify=false", &format!("{from}:0.1.0")])).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"][0], raw["layers"][0]["digest"]);
}

#[tokio::test]
async fn a_package_file_is_a_layout_that_skopeo_can_push() {
    let server = DockerRegistry::start(None);
    let (archive, key) = signed();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo.plenum");
    archive.write(&file).unwrap();
    let referrers = archive.digest().replace(':', "-");
    for version in ["0.1.0", &referrers] {
        let (from, to) = (format!("oci-archive:{}:{version}", file.display()), format!("docker://{}/demo:{version}", server.host));
        skopeo(&["copy", "--dest-tls-verify=false", "--preserve-digests", &from, &to]);
    }
    let pulled = open(Credentials::default()).pull(&Reference::parse(&format!("{}/demo:0.1.0", server.host)).unwrap()).await.unwrap();
    assert_eq!(pulled.to_bytes().unwrap(), archive.to_bytes().unwrap());
    assert_eq!(pulled.package().unwrap().verify(&[key]).unwrap().state, Trust::Trusted);
}

#[tokio::test]
async fn a_version_is_for_good_and_a_second_signature_joins_the_first() {
    let server = DockerRegistry::start(None);
    let (mut archive, key) = signed();
    let place = Reference::parse(&format!("{}/demo", server.host)).unwrap();
    let client = open(Credentials::default());
    client.push(&archive, &place, false).await.unwrap();
    let (other_public, other_secret) = generate_key(None).unwrap();
    archive.sign(&other_secret, None).unwrap();
    assert!(client.push(&archive, &place, false).await.unwrap().unchanged);
    let p = client.pull(&place.at("0.1.0")).await.unwrap().package().unwrap();
    assert_eq!(p.signatures.len(), 2);
    for key in [key, TrustedKey { name: "Other".into(), public_key: other_public }] {
        assert_eq!(p.verify(&[key]).unwrap().state, Trust::Trusted);
    }
    let changed = PackageWriter::new(manifest("")).file("web/x", b"1".to_vec()).finish().unwrap();
    let e = client.push(&changed, &place, false).await.unwrap_err().to_string();
    assert!(e.contains("raise the version"), "{e}");
    client.push(&changed, &place, true).await.unwrap();
    let p = client.pull(&place.at("0.1.0")).await.unwrap().package().unwrap();
    assert!(p.signatures.is_empty() && p.component.is_none(), "a package of pages only goes too");
}

#[tokio::test]
async fn a_login_is_asked_for_and_never_shown() {
    let server = DockerRegistry::start(Some(USERS));
    let place = Reference::parse(&format!("{}/demo", server.host)).unwrap();
    let login = |password: &str| Credentials::one(&server.host, Login { user: "alice".into(), password: password.into() });
    let (archive, _) = signed();
    let e = open(Credentials::default()).push(&archive, &place, false).await.unwrap_err();
    assert!(matches!(e, FetchError::Credentials(_)) && e.to_string().contains("skopeo login"), "{e}");
    let e = open(login("wr0ng")).push(&archive, &place, false).await.unwrap_err().to_string();
    assert!(e.contains("alice") && !e.contains("wr0ng"), "{e}");
    let client = open(login("s3cret"));
    client.push(&archive, &place, false).await.unwrap();
    assert_eq!(client.pull(&place.at("0.1.0")).await.unwrap().digest(), archive.digest());
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_token_is_fetched_where_the_registry_says_and_kept_from_others() {
    let (archive, _) = signed();
    let (image, _) = archive.image_parts(archive.digest()).unwrap();
    let server = Server::start(move |a, own| {
        if a.path.starts_with("/token?service=reg&scope=repository%3Ademo%3Apull")
            && a.head.to_lowercase().contains("authorization: basic ")
        {
            return answer(200, &[], br#"{"token": "t0ken"}"#);
        }
        if !a.head.to_lowercase().contains("authorization: bearer t0ken") {
            let challenge = format!("Bearer realm=\"{own}/token\",service=\"reg\",scope=\"repository:demo:pull\"");
            return answer(401, &[("www-authenticate", &challenge)], b"");
        }
        answer(200, &[("content-type", oci::IMAGE)], &image)
    })
    .await;
    let place = Reference::parse(&format!("{}/demo:1", server.host())).unwrap();
    let client = open(Credentials::one(server.host(), Login { user: "a".into(), password: "b".into() }));
    let (bytes, _) = client.manifest(&place, "1").await.unwrap();
    assert_eq!(digest(&bytes), archive.digest());
    let asked = server.asked.lock().unwrap().len();
    client.manifest(&place, "1").await.unwrap();
    assert_eq!(server.asked.lock().unwrap().len(), asked + 1, "the token is used again");
    // A registry that sends the login elsewhere, in the clear.
    let thief = Server::start(|_, _| answer(401, &[("www-authenticate", "Bearer realm=\"http://203.0.113.1/token\"")], b"")).await;
    let place = Reference::parse(&format!("{}/demo:1", thief.host())).unwrap();
    let e = client.manifest(&place, "1").await.unwrap_err().to_string();
    assert!(e.contains("plain HTTP"), "{e}");
}

#[tokio::test]
async fn a_registry_that_lies_or_never_ends_is_refused() {
    let client = open(Credentials::default());
    let (archive, _) = signed();
    // Another manifest than the digest that was asked for.
    let server = Server::start(|_, _| answer(200, &[("content-type", oci::IMAGE)], b"{}")).await;
    let place = Reference::parse(&format!("{}/demo@{}", server.host(), archive.digest())).unwrap();
    let e = client.pull(&place).await.unwrap_err().to_string();
    assert!(e.contains("broken or lies"), "{e}");
    // A manifest of more than is taken: with a length that says so, and without one.
    for length in ["content-length: 999999999\r\n", ""] {
        let server = Server::start(move |_, _| {
            let mut all = format!("HTTP/1.1 200 X\r\n{length}connection: close\r\n\r\n").into_bytes();
            all.extend(vec![b' '; 3 << 20]);
            all
        })
        .await;
        let e = client.pull(&Reference::parse(&format!("{}/demo:1", server.host())).unwrap()).await.unwrap_err();
        assert!(matches!(e, FetchError::TooLarge { .. }), "{length}: {e}");
    }
    // Redirects without end, and away from this machine in the clear.
    let server = Server::start(|_, own| answer(302, &[("location", &format!("{own}/again"))], b"")).await;
    let e = client.pull(&Reference::parse(&format!("{}/demo:1", server.host())).unwrap()).await.unwrap_err().to_string();
    assert!(e.contains("redirects more than"), "{e}");
    let server = Server::start(|_, _| answer(302, &[("location", "http://203.0.113.1/x")], b"")).await;
    let e = client.pull(&Reference::parse(&format!("{}/demo:1", server.host())).unwrap()).await.unwrap_err().to_string();
    assert!(e.contains("plain HTTP"), "{e}");
    // A part that declares more than a package may have: refused before it is fetched.
    let image = serde_json::json!({"schemaVersion": 2, "mediaType": oci::IMAGE, "artifactType": oci::PLUGIN,
        "config": {"mediaType": oci::EMPTY, "digest": archive.digest(), "size": 2},
        "layers": [{"mediaType": oci::WASM, "digest": archive.digest(), "size": 1_u64 << 50}]});
    let server = Server::start(move |_, _| answer(200, &[("content-type", oci::IMAGE)], image.to_string().as_bytes())).await;
    let e = client.pull(&Reference::parse(&format!("{}/demo:1", server.host())).unwrap()).await.unwrap_err();
    assert!(matches!(e, FetchError::TooLarge { .. } | FetchError::Answer(_)), "{e}");
    // An image of something else.
    let other = serde_json::json!({"schemaVersion": 2, "mediaType": oci::IMAGE, "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": archive.digest(), "size": 2}, "layers": []});
    let server = Server::start(move |_, _| answer(200, &[("content-type", oci::IMAGE)], other.to_string().as_bytes())).await;
    let e = client.pull(&Reference::parse(&format!("{}/demo:1", server.host())).unwrap()).await.unwrap_err().to_string();
    assert!(e.contains("is no plugin"), "{e}");
    // Plain HTTP to another machine is not even tried.
    assert!(
        fetch::Fetcher::new(false)
            .unwrap()
            .get(&"http://203.0.113.1/".parse().unwrap())
            .await
            .unwrap_err()
            .to_string()
            .contains("plain HTTP")
    );
}
