//! Whom a package has to be signed by, from where, until when; and Debian's `minisign`.

use super::*;

struct Publishers {
    acme: [(String, String); 2],
    audit: (String, String),
}

fn publishers() -> Publishers {
    let key = || generate_key(None).unwrap();
    Publishers { acme: [key(), key()], audit: key() }
}

fn publisher(name: &str, keys: &[(&str, Option<&str>)]) -> Publisher {
    let keys = keys.iter().map(|(k, end)| PublisherKey { key: (*k).to_owned(), not_after: end.map(str::to_owned) }).collect();
    Publisher { name: name.into(), keys, ..Publisher::default() }
}

fn signed_by(secrets: &[&str]) -> Package {
    let mut archive = demo();
    for s in secrets {
        archive.sign(s, None).unwrap();
    }
    Package::from_bytes(&archive.to_bytes().unwrap()).unwrap()
}

const NOW: i64 = 1_800_000_000_000; // January 2027

fn judged(p: &Package, publishers: &[Publisher], rules: &[Rule], origin: &str, at: i64) -> SignatureState {
    p.judge(&TrustPolicy::new(publishers, rules).unwrap(), &Origin::new(origin), at)
}

#[test]
fn scopes_are_compared_by_whole_segments() {
    let within = |place: &str, prefix: &str| Origin::new(place).within(prefix);
    for (place, prefix) in [
        ("registry.example.com/acme/demo", "registry.example.com/acme"),
        ("registry.example.com/acme/demo", "registry.example.com/acme/"),
        ("registry.example.com/acme/demo", "oci://Registry.Example.com"),
        ("https://plugins.example.com:8443/catalog/demo.plenum", "plugins.example.com:8443/catalog"),
        ("/srv/catalog/demo.plenum", "/srv/catalog"),
        ("anything", ""),
    ] {
        assert!(within(place, prefix), "{place} is within {prefix}");
    }
    for (place, prefix) in [
        ("registry.example.com/acme-evil/demo", "registry.example.com/acme"),
        ("registry.example.com.evil.com/acme/demo", "registry.example.com"),
        ("registry.example.com:5000/acme/demo", "registry.example.com/acme"),
        ("evil.com/registry.example.com/acme", "registry.example.com/acme"),
        ("registry.example.com/acme/../evil/demo", "registry.example.com/acme"),
        ("registry.example.com/acme", "registry.example.com/acme/demo"),
        ("registry.example.com/Acme/demo", "registry.example.com/acme"),
        ("/srv/catalog2/demo.plenum", "/srv/catalog"),
    ] {
        assert!(!within(place, prefix), "{place} is not within {prefix}");
    }
}

#[test]
fn a_publisher_counts_only_for_what_comes_from_its_place() {
    let k = publishers();
    let p = signed_by(&[&k.acme[0].1]);
    let acme = Publisher { scope: vec!["r.example.com/acme".into()], ..publisher("Acme", &[(&k.acme[0].0, None)]) };
    let s = judged(&p, std::slice::from_ref(&acme), &[], "r.example.com/acme/demo", NOW);
    assert_eq!((s.state, s.publisher.as_deref()), (Trust::Trusted, Some("Acme")));
    let s = judged(&p, &[acme], &[], "r.example.com/acme-evil/demo", NOW);
    assert_eq!((s.state, s.signers[0].standing, s.publisher), (Trust::UnknownPublisher, Standing::OutOfScope, None));
    assert!(s.reason.unwrap().contains("r.example.com/acme-evil/demo"));
}

#[test]
fn keys_are_rotated_without_a_gap() {
    let k = publishers();
    let (old, new) = (signed_by(&[&k.acme[0].1]), signed_by(&[&k.acme[1].1]));
    let acme = [publisher("Acme", &[(&k.acme[0].0, Some("2026-12-31")), (&k.acme[1].0, None)])];
    for p in [&old, &new] {
        assert_eq!(judged(p, &acme, &[], "", NOW - 90 * 86_400_000).state, Trust::Trusted, "both count while both may be used");
    }
    let s = judged(&old, &acme, &[], "", NOW);
    assert_eq!((s.state, s.signers[0].standing), (Trust::UnknownPublisher, Standing::Expired));
    assert!(s.reason.unwrap().contains("2026-12-31"));
    assert_eq!(judged(&new, &acme, &[], "", NOW).state, Trust::Trusted);
    // Signed with both while one follows the other.
    assert_eq!(judged(&signed_by(&[&k.acme[0].1, &k.acme[1].1]), &acme, &[], "", NOW).state, Trust::Trusted);
}

#[test]
fn a_revoked_key_counts_for_nothing_and_is_named() {
    let k = publishers();
    let p = signed_by(&[&k.acme[0].1]);
    let id = key_id(k.acme[0].0.lines().last().unwrap()).unwrap();
    for revoked in [k.acme[0].0.clone(), id.clone(), id.to_lowercase()] {
        // Whether it still stands among the keys or not.
        for keys in [vec![(k.acme[0].0.as_str(), None), (k.acme[1].0.as_str(), None)], vec![(k.acme[1].0.as_str(), None)]] {
            let acme = [Publisher { revoked: vec![revoked.clone()], ..publisher("Acme", &keys) }];
            let s = judged(&p, &acme, &[], "", NOW);
            assert_eq!((s.state, s.signers[0].standing), (Trust::UnknownPublisher, Standing::Revoked));
            assert_eq!((s.key_id.as_deref(), s.publisher.as_deref()), (Some(id.as_str()), Some("Acme")));
            assert!(s.revoked().is_some() && s.reason.unwrap().contains("revoked"));
            // Signed anew by the key that followed, the package is as good as any.
            assert_eq!(judged(&signed_by(&[&k.acme[0].1, &k.acme[1].1]), &acme, &[], "", NOW).state, Trust::Trusted);
        }
    }
}

#[test]
fn a_rule_asks_for_all_of_some_and_so_many_of_others() {
    let k = publishers();
    let all =
        [publisher("Acme", &[(&k.acme[0].0, None)]), publisher("Beta", &[(&k.acme[1].0, None)]), publisher("Audit", &[(&k.audit.0, None)])];
    let both = Rule {
        prefix: "r.example.com/prod".into(),
        all_of: vec!["Audit".into()],
        any_of: Some(AnyOf { minimum: 1, publishers: vec!["Acme".into(), "Beta".into()] }),
    };
    let two = Rule {
        prefix: "r.example.com".into(),
        all_of: vec![],
        any_of: Some(AnyOf { minimum: 2, publishers: vec!["Acme".into(), "Beta".into(), "Audit".into()] }),
    };
    let rules = [both, two];
    let state = |secrets: &[&str], origin: &str| judged(&signed_by(secrets), &all, &rules, origin, NOW);
    let (acme, beta, audit) = (k.acme[0].1.as_str(), k.acme[1].1.as_str(), k.audit.1.as_str());
    for (secrets, origin, good) in [
        (&[acme, audit][..], "r.example.com/prod/demo", true),
        (&[beta, audit], "r.example.com/prod/demo", true),
        (&[acme, beta], "r.example.com/prod/demo", false),
        (&[audit], "r.example.com/prod/demo", false),
        (&[acme, beta], "r.example.com/other/demo", true),
        (&[acme], "r.example.com/other/demo", false),
        // One key twice is one signature.
        (&[acme, acme], "r.example.com/other/demo", false),
        // Where no rule is, any publisher will do.
        (&[acme], "elsewhere.example.com/demo", true),
    ] {
        let s = state(secrets, origin);
        assert_eq!(s.state == Trust::Trusted, good, "{origin}: {s:?}");
    }
    let s = state(&[acme], "r.example.com/prod/demo");
    assert_eq!(s.state, Trust::UnknownPublisher);
    assert!(s.reason.unwrap().contains("Audit"), "it says whose signature is missing");
}

#[test]
fn a_signature_of_a_stranger_takes_nothing_away() {
    let k = publishers();
    let acme = [publisher("Acme", &[(&k.acme[0].0, None)])];
    let p = signed_by(&[&k.acme[0].1, &k.audit.1]);
    let s = judged(&p, &acme, &[], "", NOW);
    assert_eq!((s.state, s.publisher.as_deref(), s.signers.len()), (Trust::Trusted, Some("Acme"), 2));
    assert_eq!(judged(&signed_by(&[&k.audit.1]), &acme, &[], "", NOW).state, Trust::UnknownPublisher);
    assert_eq!(judged(&signed_by(&[]), &acme, &[], "", NOW).state, Trust::Unsigned);
}

#[test]
fn a_mistake_in_the_policy_is_told_at_start() {
    let k = publishers();
    let acme = publisher("Acme", &[(&k.acme[0].0, None)]);
    let rule = |all_of: &[&str], any: Option<(usize, &[&str])>| Rule {
        prefix: "r.example.com".into(),
        all_of: all_of.iter().map(|s| (*s).to_owned()).collect(),
        any_of: any.map(|(minimum, p)| AnyOf { minimum, publishers: p.iter().map(|s| (*s).to_owned()).collect() }),
    };
    let e = |p: Publisher, r: &[Rule]| TrustPolicy::new(&[p], r).unwrap_err().to_string();
    assert!(e(publisher("Acme", &[(&k.acme[0].0, Some("next year"))]), &[]).contains("2027-06-30"));
    assert!(e(publisher("Acme", &[("abc", None)]), &[]).contains("no minisign public key"));
    assert!(e(publisher("Acme", &[]), &[]).contains("no keys"));
    assert!(e(Publisher { revoked: vec!["x".into()], ..acme.clone() }, &[]).contains("revoked"));
    assert!(e(acme.clone(), &[rule(&["Acmee"], None)]).contains("did you mean \"Acme\""));
    assert!(e(acme.clone(), &[rule(&[], None)]).contains("names nobody"));
    assert!(e(acme.clone(), &[rule(&[], Some((2, &["Acme"])))]).contains("minimum"));
    assert!(e(acme.clone(), &[rule(&[], Some((0, &["Acme"])))]).contains("minimum"));
    assert!(e(acme, &[rule(&["Acme"], None), rule(&["Acme"], None)]).contains("two rules"));
}

#[test]
fn debians_minisign_checks_what_is_signed_and_signs_what_is_checked() {
    let minisign = |args: &[&str]| {
        let out = std::process::Command::new("minisign").args(args).output().expect("minisign, from the Debian package minisign");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout))
    };
    let k = publishers();
    let p = signed_by(&[&k.acme[0].1]);
    let dir = tempfile::tempdir().unwrap();
    let path = |n: &str| dir.path().join(n).to_str().unwrap().to_owned();
    std::fs::write(path("manifest.json"), &p.image_manifest).unwrap();
    std::fs::write(path("manifest.json.minisig"), &p.signatures[0]).unwrap();
    std::fs::write(path("key.pub"), &k.acme[0].0).unwrap();
    let (good, said) = minisign(&["-V", "-p", &path("key.pub"), "-m", &path("manifest.json")]);
    assert!(good && said.contains("demo 0.1.0"), "{said}");
    // Every file hangs on the signed manifest: each part's digest stands in it.
    let image: serde_json::Value = serde_json::from_slice(&p.image_manifest).unwrap();
    let kinds: Vec<&str> = image["layers"].as_array().unwrap().iter().map(|l| l["mediaType"].as_str().unwrap()).collect();
    assert_eq!(kinds, [oci::WASM, oci::MANIFEST, oci::FILES]);
    std::fs::write(path("manifest.json"), b"{}").unwrap();
    assert!(!minisign(&["-V", "-p", &path("key.pub"), "-m", &path("manifest.json")]).0);
}
