//! Which package an installation takes, and what it refuses: versions, requirements, replays, revoked keys.

use super::*;
use crate::package::{Publisher, PublisherKey, Trust};

const HEAD: &str = "name = \"D\"\napi = \"^0.1\"\npublisher = \"Tests\"\ndescription = \"For tests.\"\n";

fn pages(id: &str, version: &str, more: &str) -> Archive {
    let text = format!("id = {id:?}\nversion = {version:?}\n{HEAD}{more}");
    PackageWriter::new(Manifest::from_toml(&text).unwrap()).file("web/x", version.into()).finish().unwrap()
}

fn offer(w: &World, mut archive: Archive, secrets: &[&str]) {
    for s in secrets {
        archive.sign(s, None).unwrap();
    }
    let m = archive.package().unwrap().manifest;
    w.put(&format!("{}-{}.plenum", m.id, m.version), &archive.to_bytes().unwrap());
}

async fn install(w: &World, id: &str, version: Option<&str>) -> Result<String, RuntimeError> {
    w.plugins.install(&admin(), id, version, &[]).await.map(|i| i.version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_that_fits_is_installed_and_an_older_one_only_by_name() {
    let w = World::quick().await;
    for v in ["0.1.0", "0.10.0", "0.9.0", "0.11.0-rc.1"] {
        offer(&w, pages("demo", v, ""), &[&w.secret]);
    }
    assert_eq!(install(&w, "demo", None).await.unwrap(), "0.10.0");
    assert_eq!(install(&w, "demo", Some("0.11.0-rc.1")).await.unwrap(), "0.11.0-rc.1");
    // A catalog that offers only what is older than what is here: replayed, or rolled back.
    std::fs::remove_file(w.catalog_dir().join("demo-0.11.0-rc.1.plenum")).unwrap();
    let e = install(&w, "demo", None).await.unwrap_err();
    assert!(e.to_string().contains("older than the installed 0.11.0-rc.1"), "{e}");
    assert_eq!(install(&w, "demo", Some("0.9.0")).await.unwrap(), "0.9.0");
    let e = install(&w, "demo", Some("3.0.0")).await.unwrap_err();
    assert!(e.to_string().contains("0.10.0"), "it says which there are: {e}");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_that_need_each_other_come_and_go_in_order() {
    let w = World::quick().await;
    offer(&w, pages("base", "1.2.0", ""), &[&w.secret]);
    offer(&w, pages("base", "2.0.0", ""), &[&w.secret]);
    offer(&w, pages("app", "0.1.0", "[requires]\nbase = \"^1.1\"\n"), &[&w.secret]);
    let e = install(&w, "app", None).await.unwrap_err();
    assert_eq!((e.code(), e.status()), ("plugin.requires", 409));
    assert!(e.to_string().contains("base ^1.1, which is not installed"), "{e}");
    install(&w, "base", None).await.unwrap();
    let e = install(&w, "app", None).await.unwrap_err();
    assert!(e.to_string().contains("2.0.0 is installed"), "{e}");
    install(&w, "base", Some("1.2.0")).await.unwrap();
    install(&w, "app", None).await.unwrap();
    let e = install(&w, "base", None).await.unwrap_err();
    assert!(e.to_string().contains("app 0.1.0 needs base ^1.1"), "{e}");
    let e = w.plugins.uninstall(&admin(), "base", false).await.unwrap_err();
    assert!(e.to_string().contains("uninstall that first"), "{e}");
    w.plugins.uninstall(&admin(), "app", false).await.unwrap();
    w.plugins.uninstall(&admin(), "base", false).await.unwrap();
    w.end().await;
}

fn publisher(name: &str, keys: &[&str], revoked: &[&str]) -> Publisher {
    Publisher {
        name: name.into(),
        keys: keys.iter().map(|k| PublisherKey { key: (*k).to_owned(), not_after: None }).collect(),
        revoked: revoked.iter().map(|k| (*k).to_owned()).collect(),
        ..Publisher::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_publisher_takes_over_a_plugin_with_its_data_and_grants() {
    let (theirs, their_secret) = generate_key(None).unwrap();
    let w = World::quick().await;
    let ours = w.public.clone();
    let w = w.with_trust(TrustPolicy::new(&[publisher("Tests", &[&ours], &[]), publisher("Others", &[&theirs], &[])], &[]).unwrap()).await;
    offer(&w, pages("demo", "0.1.0", ""), &[&w.secret]);
    install(&w, "demo", None).await.unwrap();
    offer(&w, pages("demo", "0.2.0", ""), &[&their_secret]);
    let e = install(&w, "demo", None).await.unwrap_err();
    assert_eq!(e.code(), "plugin.signature");
    assert!(e.to_string().contains("installed from Tests") && e.to_string().contains("Others"), "{e}");
    // Handed over: signed by both.
    offer(&w, pages("demo", "0.2.0", ""), &[&their_secret, &w.secret]);
    assert_eq!(install(&w, "demo", None).await.unwrap(), "0.2.0");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_whose_key_was_revoked_is_shown_and_named_and_not_installed_again() {
    let (new, new_secret) = generate_key(None).unwrap();
    let w = World::quick().await;
    offer(&w, pages("demo", "0.1.0", ""), &[&w.secret]);
    install(&w, "demo", None).await.unwrap();
    let state = async |w: &World| w.plugins.plugin(&admin(), "demo").await.unwrap().signature;
    assert_eq!(state(&w).await["state"], "trusted");
    let old = w.public.clone();
    let w = w.with_trust(TrustPolicy::new(&[publisher("Tests", &[&new], &[&old])], &[]).unwrap()).await;
    let s = state(&w).await;
    assert_eq!(
        (&s["state"], &s["publisher"], &s["signers"][0]["standing"]),
        (&"unknown_publisher".into(), &"Tests".into(), &"revoked".into())
    );
    assert!(s["reason"].as_str().unwrap().contains("was revoked"), "{s}");
    let listed = &w.plugins.catalog(&admin()).await.unwrap()[0];
    assert_eq!(listed.signature.state, Trust::UnknownPublisher);
    // It runs on, for stopping it is for an administrator to say; but it comes in no more, for developers either.
    assert_eq!(w.plugins.plugin(&admin(), "demo").await.unwrap().status, crate::Status::Active);
    let w = w.in_developer_mode().await;
    let e = install(&w, "demo", Some("0.1.0")).await.unwrap_err();
    assert!(e.to_string().contains("was revoked"), "{e}");
    // Its next version, signed with the key that followed.
    offer(&w, pages("demo", "0.2.0", ""), &[&new_secret]);
    assert_eq!(install(&w, "demo", None).await.unwrap(), "0.2.0");
    assert_eq!(state(&w).await["state"], "trusted");
    w.end().await;
}
