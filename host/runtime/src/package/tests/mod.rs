//! Packages that are right, and each way of being wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod attacks;
mod registry;
pub mod server;
mod trust;

use std::collections::BTreeMap;
use std::io::Write;

use super::*;

const MINIMAL: &str = r#"
id = "demo"
name = "Demo"
version = "0.1.0"
api = "^0.1"
publisher = "Tests"
description = "For tests."
"#;

pub fn manifest(more: &str) -> Manifest {
    Manifest::from_toml(&format!("{MINIMAL}{more}")).unwrap()
}

/// The message for a manifest that is refused.
fn refused(text: &str) -> String {
    Manifest::from_toml(text).unwrap_err().to_string()
}

fn refused_with(more: &str) -> String {
    refused(&format!("{MINIMAL}{more}"))
}

pub fn demo() -> Archive {
    PackageWriter::new(manifest("icon = \"assets/icon.svg\"\n[component]\npath = \"plugin.wasm\"\n"))
        .component(b"\0asm\x0d\0\x01\0".to_vec())
        .file("assets/icon.svg", b"<svg/>".to_vec())
        .file("web/a/b.js", vec![b'x'; 100_000])
        .finish()
        .unwrap()
}

fn tar_of(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in parts {
        let mut h = tar::Header::new_gnu();
        h.set_size(bytes.len() as u64);
        h.set_mode(0o644);
        // Written by hand: the builder itself refuses the paths that are tested here.
        h.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        h.set_cksum();
        tar.append(&h, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

fn described(kind: &str, bytes: &[u8]) -> (serde_json::Value, (String, Vec<u8>)) {
    use sha2::{Digest, Sha256};
    let hex = hex::encode(Sha256::digest(bytes));
    (
        serde_json::json!({"mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len()}),
        (format!("blobs/sha256/{hex}"), bytes.to_vec()),
    )
}

/// A package around a files layer that no writer of ours would make.
fn with_files_layer(layer: &[u8]) -> Vec<u8> {
    let (config, c) = described("application/vnd.plenum.plugin.config.v1+json", &manifest("").to_json().unwrap());
    let (files, f) = described("application/vnd.plenum.plugin.files.v1.tar+gzip", layer);
    let image = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.plenum.plugin.v1", "config": config, "layers": [files]});
    let (image, i) = described("application/vnd.oci.image.manifest.v1+json", image.to_string().as_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [image]}).to_string().into_bytes();
    tar_of(&[("./oci-layout", b"{}".to_vec()), ("./index.json", index), (&c.0, c.1.clone()), (&f.0, f.1.clone()), (&i.0, i.1.clone())])
}

fn error_of(bytes: &[u8]) -> PackageError {
    Package::from_bytes(bytes).unwrap_err()
}

#[test]
fn what_is_written_is_read_again() {
    let archive = demo();
    let bytes = archive.to_bytes().unwrap();
    assert_eq!(bytes, demo().to_bytes().unwrap(), "the same contents make the same bytes");
    let p = Package::from_bytes(&bytes).unwrap();
    assert_eq!((p.manifest.id.as_str(), p.files.len(), p.size), ("demo", 2, bytes.len() as u64));
    assert_eq!(p.component.as_deref(), Some(b"\0asm\x0d\0\x01\0".as_slice()));
    assert_eq!(p.manifest_digest, archive.digest());
    assert_eq!(p.verify(&[]).unwrap().state, Trust::Unsigned);
}

#[test]
fn a_signed_package_is_trusted_and_keeps_its_digest() {
    let (public, secret) = generate_key(None).unwrap();
    let keys = [TrustedKey { name: "Plenum".into(), public_key: public }];
    let mut archive = demo();
    let digest = archive.digest().to_owned();
    archive.sign(&secret, None).unwrap();
    let p = Package::from_bytes(&archive.to_bytes().unwrap()).unwrap();
    assert_eq!(p.manifest_digest, digest);
    assert_eq!(p.verify(&keys).unwrap().state, Trust::Trusted);
    assert_eq!(p.verify(&[]).unwrap().state, Trust::UnknownPublisher);
    // Signed by somebody else too: both count. Signed again with the same key: one of it stays.
    archive.sign(&generate_key(None).unwrap().1, None).unwrap();
    archive.sign(&secret, None).unwrap();
    let p = Package::from_bytes(&archive.to_bytes().unwrap()).unwrap();
    assert_eq!((p.signatures.len(), p.verify(&keys).unwrap().state), (2, Trust::Trusted));
}

#[test]
fn a_signature_of_another_package_shows_as_modified() {
    let (public, secret) = generate_key(None).unwrap();
    let keys = [TrustedKey { name: "Plenum".into(), public_key: public }];
    let mut ours = demo();
    ours.sign(&secret, None).unwrap();
    let theirs = PackageWriter::new(manifest("")).file("web/evil.js", b"1".to_vec()).finish().unwrap();
    // The signature's blobs beside another image, listed in its index.
    let read = |bytes: &[u8]| -> BTreeMap<String, Vec<u8>> {
        let mut out = BTreeMap::new();
        for e in tar::Archive::new(bytes).entries().unwrap() {
            let mut e = e.unwrap();
            let mut b = Vec::new();
            std::io::Read::read_to_end(&mut e, &mut b).unwrap();
            out.insert(String::from_utf8(e.path_bytes().into_owned()).unwrap(), b);
        }
        out
    };
    let (signed, mut mixed) = (read(&ours.to_bytes().unwrap()), read(&theirs.to_bytes().unwrap()));
    let index = |files: &BTreeMap<String, Vec<u8>>| serde_json::from_slice::<serde_json::Value>(&files["index.json"]).unwrap();
    let mut merged = index(&mixed);
    merged["manifests"].as_array_mut().unwrap().push(index(&signed)["manifests"][1].clone());
    for (name, bytes) in signed.iter().filter(|(n, _)| n.starts_with("blobs/")) {
        mixed.entry(name.clone()).or_insert_with(|| bytes.clone());
    }
    mixed.insert("index.json".into(), merged.to_string().into_bytes());
    let parts: Vec<(&str, Vec<u8>)> = mixed.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let p = Package::from_bytes(&tar_of(&parts)).unwrap();
    assert_eq!(p.verify(&keys).unwrap().state, Trust::Modified);
}

#[test]
fn any_changed_byte_of_any_part_is_noticed() {
    let (public, secret) = generate_key(None).unwrap();
    let keys = [TrustedKey { name: "Plenum".into(), public_key: public }];
    let mut archive = demo();
    archive.sign(&secret, None).unwrap();
    let good = archive.to_bytes().unwrap();
    let whole = Package::from_bytes(&good).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        // A byte of padding or of a tar header's time changes nothing; whatever is accepted as trusted is the same package.
        if let Ok(p) = Package::from_bytes(&bad)
            && p.verify(&keys).unwrap().state == Trust::Trusted
        {
            assert_eq!(
                (p.manifest_digest, p.component, p.files),
                (whole.manifest_digest.clone(), whole.component.clone(), whole.files.clone())
            );
        }
    }
}

#[test]
fn a_package_cut_anywhere_is_refused() {
    let good = demo().to_bytes().unwrap();
    // The last KiB is the end mark of tar, which may be missing.
    for at in (0..good.len() - 1_024).step_by(97) {
        assert!(Package::from_bytes(&good[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(error_of(b"not a tar at all").code(), "package.broken");
    assert_eq!(error_of(b"").code(), "package.broken");
}

#[test]
fn a_part_that_is_not_its_digest_says_changed() {
    let mut bytes = demo().to_bytes().unwrap();
    let at = bytes.windows(4).position(|w| w == b"\0asm").unwrap();
    bytes[at + 4] = 9;
    let e = error_of(&bytes);
    assert_eq!(e.code(), "package.modified");
    assert!(e.to_string().contains("changed after it was made"), "{e}");
}

#[test]
fn paths_that_leave_the_package_are_refused() {
    for name in ["../evil", "/etc/passwd", "a/../../b", "a//b", "a\\b", "C:x", "./../x", "web/\u{1}"] {
        let e = error_of(&with_files_layer(&gz(&tar_of(&[(name, b"x".to_vec())]))));
        assert_eq!(e.code(), "package.path", "{name}: {e}");
    }
    let twice = gz(&tar_of(&[("web/a", b"x".to_vec()), ("WEB/A", b"y".to_vec())]));
    assert_eq!(error_of(&with_files_layer(&twice)).code(), "package.path");
    let both = gz(&tar_of(&[("web", b"x".to_vec()), ("web/a", b"y".to_vec())]));
    assert_eq!(error_of(&with_files_layer(&both)).code(), "package.path");
    assert!(Package::from_bytes(&with_files_layer(&gz(&tar_of(&[("./web/a", b"x".to_vec())])))).is_ok());
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Fifo, tar::EntryType::GNUSparse] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut h = tar::Header::new_gnu();
        h.set_entry_type(kind);
        h.set_size(0);
        h.set_path("web/x").unwrap();
        h.set_link_name("/etc/passwd").unwrap();
        h.set_cksum();
        tar.append(&h, std::io::empty()).unwrap();
        let e = error_of(&with_files_layer(&gz(&tar.into_inner().unwrap())));
        assert!(matches!(e, PackageError::Path(_) | PackageError::Broken(_)), "{kind:?}: {e}");
    }
}

#[test]
fn bombs_are_refused_without_unpacking_them() {
    // 65 MiB of zeros in 65 KB.
    let large = gz(&tar_of(&[("web/zeros", vec![0; 65 << 20])]));
    assert!(large.len() < 1 << 20);
    assert_eq!(error_of(&with_files_layer(&large)).code(), "package.too_large");
    let names: Vec<String> = (0..=MAX_FILE_COUNT).map(|i| format!("web/{i}")).collect();
    let many: Vec<(&str, Vec<u8>)> = names.iter().map(|n| (n.as_str(), Vec::new())).collect();
    assert_eq!(error_of(&with_files_layer(&gz(&tar_of(&many)))).code(), "package.too_large");
    // A header that lies about the size of what follows.
    let mut tar = tar::Builder::new(Vec::new());
    let mut h = tar::Header::new_gnu();
    h.set_size(1 << 40);
    h.set_path("web/x").unwrap();
    h.set_cksum();
    tar.append(&h, b"short".as_slice()).unwrap();
    assert!(Package::from_bytes(&with_files_layer(&gz(&tar.into_inner().unwrap()))).is_err());
}

#[test]
fn the_first_plugins_manifest_is_right() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/inspection-center/plugin.toml")).unwrap();
    let m = Manifest::from_toml(&text).unwrap();
    assert_eq!(m.name.get("zh-CN"), "巡检中心");
    assert_eq!(Manifest::from_json(&m.to_json().unwrap()).unwrap(), m, "the JSON form is the same manifest");
}

#[test]
fn every_part_of_a_manifest_is_read() {
    let m = manifest(
        r#"
license = "MIT"
categories = ["operations"]
[component]
path = "plugin.wasm"
[limits]
memory_mb = 10
[[permissions]]
name = "http.outgoing"
scope = { hosts = ["api.example.com", "*.example.org"] }
reason = { en = "Asks", zh = "查" }
[[permissions]]
name = "events.read"
reason = "Reacts"
[[permissions]]
name = "store"
reason = "Keeps"
[[actions]]
name = "do_it"
[[pages]]
id = "main"
title = "Main"
kind = "declared"
entry = "pages/main.json"
[[schedules]]
id = "daily"
cron = "0 3 * * *"
timezone = "Europe/Berlin"
action = "do_it"
input = { a = 1 }
[[events]]
types = ["plenum.job.*"]
filter = 'subject == "x"'
[[workflows]]
name = "w"
path = "workflows/w.yaml"
[[settings]]
name = "level"
type = "string"
default = "low"
options = ["low", "high"]
[[settings]]
name = "token"
type = "string"
secret = true
required = true
[[collections]]
name = "things"
fields = { name = "string", at = "timestamp" }
indexed = ["at"]
unique = [["name"]]
"#,
    );
    assert_eq!(m.schedules[0].input, serde_json::json!({"a": 1}));
    assert_eq!(Manifest::from_json(&m.to_json().unwrap()).unwrap(), m);
}

#[test]
fn mistakes_in_a_manifest_name_their_place_and_the_nearest_word() {
    let cases: &[(&str, &[&str])] = &[
        ("licence = \"MIT\"", &["line 8, column 1", "did you mean `license`"]),
        ("[[permissions]]\nname = \"cmdb.raed\"\nreason = \"x\"", &["permissions[0].name", "did you mean \"cmdb.read\""]),
        ("[[permissions]]\nname = \"users.manage\"\nreason = \"x\"", &["for people only"]),
        ("[[permissions]]\nname = \"cmdb.read\"\nreason = \"\"", &["permissions[0].reason"]),
        (
            "[[permissions]]\nname = \"cmdb.read\"\nscope = { model = [\"host\"] }\nreason = \"x\"",
            &["permissions[0].scope", "it has models"],
        ),
        ("[[permissions]]\nname = \"http.outgoing\"\nreason = \"x\"", &["names no hosts"]),
        (
            "[[permissions]]\nname = \"cmdb.read\"\nscope = { attributes = [\"host\"] }\nreason = \"x\"",
            &["permissions[0].scope.attributes", "or \"host.*\" for all of a model"],
        ),
        ("[[permissions]]\nname = \"jobs.run\"\nscope = { scripts = [\"uptime.sh\"] }\nreason = \"x\"", &["names no script", "sha256sum"]),
        ("[[permissions]]\nname = \"http.outgoing\"\nscope = { hosts = [\"https://a.b/\"] }\nreason = \"x\"", &["is no host"]),
        (
            "[[permissions]]\nname = \"store\"\nreason = \"x\"\n[[permissions]]\nname = \"store\"\nreason = \"y\"",
            &["permissions[1].name", "twice"],
        ),
        ("[[actions]]\nname = \"plan\"", &["component", "plan"]),
        ("[[actions]]\nname = \"Bad Name\"", &["actions[0].name"]),
        ("[component]\npath = \"../plugin.wasm\"", &["component.path"]),
        ("[[pages]]\nid = \"m\"\ntitle = \"M\"\nkind = \"frame\"\nentry = \"web/i.html\"", &["did you mean `framed`"]),
        ("[[pages]]\nid = \"m\"\ntitle = \"M\"\nkind = \"framed\"\nentry = \"i.html\"", &["below web/"]),
        ("[[schedules]]\nid = \"s\"\ncron = \"61 * * * *\"", &["schedules[0]"]),
        ("[[schedules]]\nid = \"s\"\ncron = \"* * * * *\"\ntimezone = \"Mars/Olympus\"", &["schedules[0]", "Mars/Olympus"]),
        ("[[schedules]]\nid = \"s\"\ncron = \"* * * * *\"\naction = \"x\"", &["schedules[0].action", "none of this plugin's actions"]),
        ("[[events]]\ntypes = [\"plenum.job.execution.finished\"]", &["events.read"]),
        ("[[settings]]\nname = \"n\"\ntype = \"integer\"\ndefault = \"3\"", &["settings[0].default", "a whole number"]),
        ("[[settings]]\nname = \"n\"\ntype = \"string\"\nsecret = true\ndefault = \"3\"", &["no place for a secret"]),
        ("[[collections]]\nname = \"c\"\nfields = { a = \"strin\" }", &["did you mean \"string\"", "permission store"]),
        ("[[collections]]\nname = \"c\"\nfields = { name = \"string\" }\nindexed = [\"nmae\"]", &["did you mean \"name\""]),
        ("[limits]\nmemory_mb = 0", &["limits.memory_mb"]),
    ];
    for (more, expected) in cases {
        let message = refused_with(more);
        for part in *expected {
            assert!(message.contains(part), "{more}\nshould say {part:?} but says: {message}");
        }
    }
    for id in ["a", "A-b", "-ab", "ab-", "cmdb", "a.b"] {
        assert!(refused(&MINIMAL.replace("\"demo\"", &format!("{id:?}"))).starts_with("plugin.toml: id: "), "{id}");
    }
    assert!(refused(&MINIMAL.replace("0.1.0", "1")).contains("version"), "{}", refused(&MINIMAL.replace("0.1.0", "1")));
}

#[test]
fn a_plugin_of_the_future_is_told_from_a_mistake() {
    let newer = MINIMAL.replace("^0.1", "^0.9");
    assert_eq!(Manifest::from_toml(&newer).unwrap().require_api().unwrap_err().code(), "package.api");
    // A key that only a later contract knows: what matters is the contract, not the key.
    let e = Manifest::from_toml(&format!("{newer}telepathy = true")).unwrap_err();
    assert_eq!(e.code(), "package.api");
    assert!(e.to_string().contains("^0.9") && e.to_string().contains("0.1.0, 0.2.0 and 0.3.0"), "{e}");
    assert!(manifest("").require_api().is_ok());
}

#[test]
fn every_version_of_the_contract_is_spoken_and_asked_for() {
    let of = |api: &str| Manifest::from_toml(&MINIMAL.replace("^0.1", api)).unwrap();
    for api in ["^0.1", "^0.2", "^0.3", "0.1.0", ">=0.1, <0.3", ">=0.1"] {
        assert!(of(api).require_api().is_ok(), "{api}");
    }
    for api in ["^0.4", "^0.1.1", "^1"] {
        assert_eq!(of(api).require_api().unwrap_err().code(), "package.api", "{api}");
    }
    let (old, new) = ("plenum:cmdb/instances@0.1.0", "plenum:cmdb/instances@0.2.0");
    // What was there first is there still.
    assert!(of("^0.2").require_import(old).is_ok());
    for api in ["^0.2", ">=0.1"] {
        assert!(of(api).require_import(new).is_ok(), "{api}");
    }
    let e = of("^0.1").require_import(new).unwrap_err().to_string();
    assert!(e.contains(new) && e.contains("api = \"^0.2\""), "{e}");
    assert!(of("^0.1").require_import("wasi:clocks/wall-clock@0.2.0").is_ok());
}

#[test]
fn files_that_the_manifest_names_have_to_be_there() {
    let text = "[component]\npath = \"plugin.wasm\"\n[[actions]]\nname = \"a\"\ninput = \"schemas/a.json\"\n";
    let writer = || PackageWriter::new(manifest(text)).component(b"\0asm".to_vec());
    let e = writer().file("schemas/b.json", b"{}".to_vec()).finish().unwrap_err().to_string();
    assert!(e.contains("actions[0].input") && e.contains("schemas/b.json"), "{e}");
    let e = writer().file("schemas/a.json", b"{".to_vec()).finish().unwrap_err().to_string();
    assert!(e.contains("is not JSON"), "{e}");
    let e = writer().file("schemas/a.json", br#"{"type": "strin"}"#.to_vec()).finish().unwrap_err().to_string();
    assert!(e.contains("no JSON Schema"), "{e}");
    // A schema reaches nothing outside of itself.
    let e = writer().file("schemas/a.json", br#"{"$ref": "http://169.254.169.254/x"}"#.to_vec()).finish().unwrap_err().to_string();
    assert!(e.contains("no JSON Schema"), "{e}");
    let e = PackageWriter::new(manifest(text)).file("schemas/a.json", b"{}".to_vec()).finish().unwrap_err().to_string();
    assert!(e.contains("build the plugin first"), "{e}");
    assert!(writer().file("schemas/a.json", b"{}".to_vec()).finish().is_ok());
}
