//! Packages made to do harm: each is refused, says why, and costs little.

use std::time::{Duration, Instant};

use super::*;

/// An entry of a tar whose header is written by hand: builders refuse what is tried here.
fn entry(name: &[u8], kind: tar::EntryType, link: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut h = tar::Header::new_gnu();
    h.set_entry_type(kind);
    h.set_size(bytes.len() as u64);
    h.set_mode(0o644);
    h.as_old_mut().name[..name.len()].copy_from_slice(name);
    h.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    h.set_cksum();
    let mut out = h.as_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn tar_end(mut parts: Vec<u8>) -> Vec<u8> {
    parts.extend([0; 1024]);
    parts
}

/// The message for a package with this layer of files.
fn with(entries: &[Vec<u8>]) -> PackageError {
    error_of(&with_files_layer(&gz(&tar_end(entries.concat()))))
}

fn plain(name: &str) -> Vec<u8> {
    entry(name.as_bytes(), tar::EntryType::Regular, b"", b"x")
}

#[test]
fn traversal_absolute_and_foreign_paths_are_refused_in_every_spelling() {
    for name in [
        "../evil",
        "web/../../evil",
        "/etc/passwd",
        "//etc/passwd",
        "web//evil",
        "web/./evil",
        "web/..",
        "..",
        ".",
        "web\\..\\evil",
        "C:\\evil",
        "c:evil",
        "web/evil\n",
        "web/\u{7f}",
        "web/\u{0}x",
        "\u{feff}/../x",
        "./../evil",
        "././../evil",
    ] {
        let name = name.trim_end_matches('\u{0}');
        if name.contains('\u{0}') {
            continue;
        }
        let e = with(&[plain(name)]);
        assert!(matches!(e, PackageError::Path(_)), "{name:?}: {e}");
    }
    // A name that is no text.
    assert!(matches!(with(&[entry(b"web/\xff\xfe", tar::EntryType::Regular, b"", b"x")]), PackageError::Broken(_)));
    // A long name, given by the two extensions that there are.
    let long = format!("web/{}", "a/".repeat(300));
    let gnu = [entry(b"././@LongLink", tar::EntryType::GNULongName, b"", long.as_bytes()), plain("web/x")].concat();
    assert!(matches!(with(&[gnu]), PackageError::Path(_)));
    let record = |key: &str, value: &str| {
        let body = format!(" {key}={value}\n");
        let mut n = body.len() + 1;
        while n != body.len() + n.to_string().len() {
            n = body.len() + n.to_string().len();
        }
        format!("{n}{body}")
    };
    let pax = |value: &str| [entry(b"pax", tar::EntryType::XHeader, b"", record("path", value).as_bytes()), plain("web/innocent")].concat();
    for value in ["../../evil", "/etc/cron.d/evil"] {
        assert!(matches!(with(&[pax(value)]), PackageError::Path(_)), "{value}");
    }
}

#[test]
fn links_devices_and_sparse_files_are_refused() {
    use tar::EntryType as T;
    let kinds = [T::Symlink, T::Link, T::Char, T::Block, T::Fifo, T::GNUSparse, T::Continuous, T::new(b'Z')];
    for kind in kinds {
        for link in ["/etc/passwd", "../../x", "web/ok"] {
            let e = with(&[plain("web/ok"), entry(b"web/x", kind, link.as_bytes(), b"")]);
            assert!(matches!(e, PackageError::Path(_) | PackageError::Broken(_)), "{kind:?} to {link}: {e}");
        }
    }
    // In the outer file as well.
    for kind in kinds {
        let mut bytes = entry(b"index.json", kind, b"/etc/passwd", b"");
        bytes.extend(entry(b"oci-layout", T::Regular, b"", b"{}"));
        let e = error_of(&tar_end(bytes));
        assert!(matches!(e, PackageError::Path(_) | PackageError::Broken(_)), "{kind:?}: {e}");
    }
}

#[test]
fn names_that_some_system_holds_for_one_are_refused() {
    for (a, b) in [
        ("web/a.js", "web/a.js"),
        ("web/a.js", "web/A.JS"),
        ("web/\u{e9}.js", "web/e\u{301}.js"),
        ("web/\u{c9}.js", "web/e\u{301}.js"),
        ("web/\u{fb01}.js", "web/fi.js"),
        ("web/\u{212a}.js", "web/k.js"),
        ("web/\u{ff41}.js", "web/a.js"),
        ("./web/a.js", "web/a.js"),
    ] {
        let e = with(&[plain(a), plain(b)]);
        assert!(matches!(e, PackageError::Path(_)), "{a} and {b}: {e}");
        assert!(e.to_string().contains("twice"), "{e}");
    }
    // A file that is a folder too.
    for (a, b) in [("web/a", "web/a/b"), ("web/a/b", "web/A"), ("web/e\u{301}", "web/\u{e9}/b")] {
        let e = with(&[plain(a), plain(b)]);
        assert!(e.to_string().contains("a file and a folder"), "{a} and {b}: {e}");
    }
    // Names of other scripts are as good as any.
    let fine = with_files_layer(&gz(&tar_end([plain("web/巡检.html"), plain("web/\u{e9}.js")].concat())));
    assert_eq!(Package::from_bytes(&fine).unwrap().files.len(), 2);
}

#[test]
fn parts_that_are_there_twice_are_refused_in_the_outer_file() {
    let bytes = demo().to_bytes().unwrap();
    let body = bytes[..bytes.len() - 1024].to_vec();
    for name in ["index.json", "./index.json", "oci-layout"] {
        let doubled = tar_end([body.clone(), entry(name.as_bytes(), tar::EntryType::Regular, b"", b"{}")].concat());
        let e = error_of(&doubled);
        assert!(matches!(e, PackageError::Path(_)), "{name}: {e}");
    }
    for name in ["evil.sh", "blobs/sha512/00", "blobs/sha256/../../evil", "/index.json"] {
        let e = error_of(&tar_end([body.clone(), entry(name.as_bytes(), tar::EntryType::Regular, b"", b"x")].concat()));
        assert!(matches!(e, PackageError::Path(_) | PackageError::Digest(_)), "{name}: {e}");
    }
}

#[test]
fn bombs_cost_little_and_are_refused() {
    let began = Instant::now();
    // A thousand times its size, in one file and in many, and twice compressed.
    let zeros = gz(&tar_of(&[("web/zeros", vec![0; 70 << 20])]));
    assert!(zeros.len() < 1 << 20);
    assert!(matches!(error_of(&with_files_layer(&zeros)), PackageError::TooLarge(_)));
    let many: Vec<(String, Vec<u8>)> = (0..70).map(|i| (format!("web/{i}"), vec![0; 1 << 20])).collect();
    let many: Vec<(&str, Vec<u8>)> = many.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    assert!(matches!(error_of(&with_files_layer(&gz(&tar_of(&many)))), PackageError::TooLarge(_)));
    // Several gzip streams one after the other are one for a reader: all of them count.
    let half = vec![0_u8; 40 << 20];
    let mut header = tar::Header::new_gnu();
    header.set_size(80 << 20);
    header.set_path("web/zeros").unwrap();
    header.set_cksum();
    let streams = [gz(header.as_bytes()), gz(&half), gz(&half)].concat();
    assert!(matches!(error_of(&with_files_layer(&streams)), PackageError::TooLarge(_)));
    // Long names instead of contents.
    let name = vec![b'a'; 8 << 20];
    let names: Vec<Vec<u8>> = (0..12).map(|_| entry(b"././@LongLink", tar::EntryType::GNULongName, b"", &name)).collect();
    let e = with(&names);
    assert!(matches!(e, PackageError::Broken(_) | PackageError::Path(_) | PackageError::TooLarge(_)), "{e}");
    // Headers without end: folders are counted too, as bytes.
    let folders = entry(b"web/", tar::EntryType::Directory, b"", b"").repeat(200_000);
    let e = error_of(&with_files_layer(&gz(&tar_end(folders))));
    assert!(matches!(e, PackageError::Broken(_) | PackageError::TooLarge(_)), "{e}");
    // A size that no file has.
    for size in [u64::MAX, 1 << 62, (64 << 20) + 1] {
        let mut h = tar::Header::new_gnu();
        h.set_size(size);
        h.set_path("web/x").unwrap();
        h.set_cksum();
        let layer = gz(&[h.as_bytes().to_vec(), vec![0; 512]].concat());
        let e = error_of(&with_files_layer(&layer));
        assert!(matches!(e, PackageError::TooLarge(_) | PackageError::Broken(_)), "{size}: {e}");
        let mut h = tar::Header::new_gnu();
        h.set_size(size);
        h.set_path("index.json").unwrap();
        h.set_cksum();
        assert!(!error_of(&[h.as_bytes().to_vec(), vec![0; 512]].concat()).to_string().is_empty());
    }
    assert!(began.elapsed() < Duration::from_secs(60), "took {:?}", began.elapsed());
}

#[test]
fn cut_at_every_twentieth_it_is_refused_and_never_half_read() {
    let (_, secret) = generate_key(None).unwrap();
    let mut archive = demo();
    archive.sign(&secret, None).unwrap();
    let good = archive.to_bytes().unwrap();
    for part in 0..20 {
        let at = (good.len() - 1024) * part / 20;
        let e = Package::from_bytes(&good[..at]).err().unwrap_or_else(|| panic!("cut at {part}/20 ({at})"));
        assert!(matches!(e, PackageError::Broken(_) | PackageError::Digest(_)), "{part}/20: {e}");
        assert!(e.to_string().contains("get it again"), "{part}/20: {e}");
    }
}

/// A package whose image says something else than its parts are.
fn lying(manifest: &[u8], layers: &[(&str, &[u8])]) -> Vec<u8> {
    let (config, c) = described("application/vnd.plenum.plugin.config.v1+json", manifest);
    let parts: Vec<_> = layers.iter().map(|(kind, bytes)| described(kind, bytes)).collect();
    let image = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.plenum.plugin.v1", "config": config, "layers": parts.iter().map(|p| p.0.clone()).collect::<Vec<_>>()});
    let (image, i) = described("application/vnd.oci.image.manifest.v1+json", image.to_string().as_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [image]}).to_string().into_bytes();
    let mut files: Vec<(&str, Vec<u8>)> =
        vec![("oci-layout", b"{}".to_vec()), ("index.json", index), (&c.0, c.1.clone()), (&i.0, i.1.clone())];
    files.extend(parts.iter().map(|p| (p.1.0.as_str(), p.1.1.clone())));
    tar_of(&files)
}

#[test]
fn a_manifest_that_lies_about_its_component_is_refused() {
    let without = manifest("").to_json().unwrap();
    let with = manifest("[component]\npath = \"plugin.wasm\"\n").to_json().unwrap();
    let wasm: &[u8] = b"\0asm\x0d\0\x01\0";
    let e = error_of(&lying(&without, &[("application/wasm", wasm)])).to_string();
    assert!(e.contains("is not declared, but the package has one"), "{e}");
    let e = error_of(&lying(&with, &[])).to_string();
    assert!(e.contains("is declared, but the package has none"), "{e}");
    let e = error_of(&lying(&with, &[("application/wasm", wasm), ("application/wasm", b"\0asm\x0d\0\x01\0\0")])).to_string();
    assert!(e.contains("two layers"), "{e}");
    let e = error_of(&lying(&with, &[("application/wasm", wasm), ("application/x-sh", b"#!/bin/sh")])).to_string();
    assert!(e.contains("unknown type"), "{e}");
    // A second manifest beside the first: which one would be shown, and which one obeyed?
    let e = error_of(&lying(&without, &[(oci::MANIFEST, &with)])).to_string();
    assert!(e.contains("two manifests"), "{e}");
    // Files that the manifest names and the package has not.
    let e = error_of(&lying(&manifest("icon = \"assets/a.svg\"").to_json().unwrap(), &[])).to_string();
    assert!(e.contains("icon"), "{e}");
}

#[test]
fn sizes_in_descriptors_have_to_be_true() {
    let good = demo().to_bytes().unwrap();
    let text = String::from_utf8_lossy(&good).into_owned();
    assert!(text.contains("\"size\":8"), "the component's size stands in the image manifest");
    let (config, c) = described("application/vnd.plenum.plugin.config.v1+json", &manifest("").to_json().unwrap());
    for size in [0_u64, 7, 1 << 40] {
        let mut config = config.clone();
        config["size"] = size.into();
        let image =
            serde_json::json!({"schemaVersion": 2, "mediaType": oci::IMAGE, "artifactType": oci::PLUGIN, "config": config, "layers": []});
        let (image, i) = described(oci::IMAGE, image.to_string().as_bytes());
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [image]}).to_string().into_bytes();
        let e = error_of(&tar_of(&[("oci-layout", b"{}".to_vec()), ("index.json", index), (&c.0, c.1.clone()), (&i.0, i.1.clone())]));
        assert!(matches!(e, PackageError::Digest(_)), "{size}: {e}");
    }
}

#[test]
fn no_random_bytes_make_the_reader_stumble() {
    // Not for luck: the same bytes each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (_, secret) = generate_key(None).unwrap();
    let mut archive = demo();
    archive.sign(&secret, None).unwrap();
    let good = archive.to_bytes().unwrap();
    for _ in 0..400 {
        let mut bad = good.clone();
        for _ in 0..=next() % 8 {
            let at = usize::try_from(next()).unwrap_or_default() % bad.len();
            bad[at] = (next() & 0xff) as u8;
        }
        let _ = Package::from_bytes(&bad);
    }
}
