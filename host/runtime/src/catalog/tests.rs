//! Catalogs that are right, late, gone, or mean no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::package::tests::server::{DockerRegistry, Server, answer};
use crate::package::{Archive, Credentials, PackageWriter, Publisher, PublisherKey, Reference, digest, generate_key};

struct Shop {
    dir: tempfile::TempDir,
    public: String,
    secret: String,
}

const DAY: i64 = 24 * 3600 * 1000;

fn package(id: &str, version: &str, more: &str) -> PackageWriter {
    let text = format!(
        "id = {id:?}\nname = \"Demo {id}\"\nversion = {version:?}\napi = \"^0.1\"\npublisher = \"Tests\"\ndescription = \"For tests.\"\n{more}"
    );
    PackageWriter::new(Manifest::from_toml(&text).unwrap())
}

fn plain(id: &str, version: &str) -> Archive {
    package(id, version, "").file("web/x", version.into()).finish().unwrap()
}

impl Shop {
    fn new() -> Shop {
        let (public, secret) = generate_key(None).unwrap();
        Shop { dir: tempfile::tempdir().unwrap(), public, secret }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("shop")
    }

    fn put(&self, mut archive: Archive) -> Vec<u8> {
        archive.sign(&self.secret, None).unwrap();
        let bytes = archive.to_bytes().unwrap();
        let m = archive.package().unwrap().manifest;
        std::fs::create_dir_all(self.path()).unwrap();
        std::fs::write(self.path().join(format!("{}-{}.plenum", m.id, m.version)), &bytes).unwrap();
        bytes
    }

    fn index(&self) -> Index {
        make_index(&self.path(), "Shop", 30, &self.secret, None).unwrap()
    }

    /// An index of any serial and end.
    fn index_of(&self, serial: u64, expires: i64) {
        let index = Index::of_folder(&self.path(), "Shop", serial, now_ms(), expires).unwrap();
        self.sign(&index);
    }

    fn sign(&self, index: &Index) {
        let (bytes, signature) = index.signed(&self.secret, None).unwrap();
        std::fs::write(self.path().join(INDEX_FILE), bytes).unwrap();
        std::fs::write(self.path().join(SIGNATURE_FILE), signature).unwrap();
    }

    fn trust(&self) -> TrustPolicy {
        let key = PublisherKey { key: self.public.clone(), not_after: None };
        TrustPolicy::new(&[Publisher { name: "Tests".into(), keys: vec![key], ..Publisher::default() }], &[]).unwrap()
    }

    async fn serve(&self) -> Server {
        let dir = self.path();
        Server::start(move |a, _| match std::fs::read(dir.join(a.path.trim_start_matches('/'))) {
            Ok(bytes) => answer(200, &[], &bytes),
            Err(_) => answer(404, &[], b""),
        })
        .await
    }

    fn catalogs(&self, sources: &[&str]) -> Catalogs {
        let specs: Vec<CatalogSpec> = sources.iter().map(|s| CatalogSpec::of(Source::parse(s).unwrap())).collect();
        Catalogs::new(&specs, self.trust(), &self.dir.path().join("data"), false).unwrap()
    }
}

fn versions(c: &Catalogs) -> Vec<String> {
    let name = |e: CatalogEntry| e.manifest.map_or(e.file, |m| format!("{} {}", m.id, m.version));
    c.entries().into_iter().map(name).collect()
}

fn problem(c: &Catalogs) -> String {
    c.status(&[])[0].problem.clone().unwrap_or_default()
}

fn pretty() -> Archive {
    package(
        "pretty",
        "1.0.0",
        "icon = \"assets/icon.svg\"\nscreenshots = [\"assets/a.png\"]\nchangelog = \"assets/changes.md\"\ncategories = [\"operations\"]\n",
    )
    .file("assets/icon.svg", b"<svg/>".to_vec())
    .file("assets/a.png", b"png".to_vec())
    .file("assets/changes.md", b"# 1.0.0\nFirst.".to_vec())
    .finish()
    .unwrap()
}

#[tokio::test]
async fn a_web_catalog_is_listed_fetched_and_copied_for_where_there_is_no_network() {
    let shop = Shop::new();
    let bytes = shop.put(pretty());
    shop.put(plain("other", "0.1.0"));
    let index = shop.index();
    let server = shop.serve().await;
    let c = shop.catalogs(&[&server.url]);
    c.refresh().await;
    assert_eq!(problem(&c), "");
    assert_eq!(versions(&c), ["other 0.1.0", "pretty 1.0.0"]);
    let e = c.entries().pop().unwrap();
    assert_eq!((e.signature.state, e.changelog.as_deref(), e.size), (Trust::Trusted, Some("# 1.0.0\nFirst."), bytes.len() as u64));
    assert!(e.signature.origin.within(server.host()));
    assert_eq!(c.fetch(&e).await.unwrap(), bytes);
    for (name, image) in [("assets/icon.svg", "<svg/>"), ("assets/a.png", "png")] {
        assert_eq!(c.media(&e, name).await.unwrap().unwrap(), image.as_bytes());
    }
    assert!(c.media(&e, "assets/none.png").await.unwrap().is_none());
    let status = c.status(&c.entries()).remove(0);
    assert_eq!((status.kind, status.packages, status.serial, status.publisher.as_deref()), ("web", 2, Some(index.serial), Some("Tests")));

    let copy = shop.dir.path().join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    let spec = || CatalogSpec::of(Source::parse(&server.url).unwrap());
    let done = mirror(spec(), &copy, &shop.trust()).await.unwrap();
    assert_eq!((done.fetched, done.kept, done.removed, done.serial), (2, 0, 0, index.serial));
    assert_eq!(std::fs::read(copy.join("pretty-1.0.0.plenum")).unwrap(), bytes);
    // One package goes, another comes: only that is fetched.
    std::fs::remove_file(shop.path().join("other-0.1.0.plenum")).unwrap();
    shop.put(plain("other", "0.2.0"));
    shop.index();
    let done = mirror(spec(), &copy, &shop.trust()).await.unwrap();
    assert_eq!((done.fetched, done.kept, done.removed), (1, 1, 1));
    drop(server);
    let c = shop.catalogs(&[copy.to_str().unwrap()]);
    c.refresh().await;
    assert_eq!((versions(&c), problem(&c).as_str()), (vec!["other 0.2.0".to_owned(), "pretty 1.0.0".to_owned()], ""));
    assert!(c.entries().iter().all(|e| e.signature.state == Trust::Trusted && e.problem.is_none()));
    let e = c.entries().pop().unwrap();
    assert_eq!(c.media(&e, "assets/a.png").await.unwrap().unwrap(), b"png");
    // Somebody else's key signed nothing of it.
    let stranger = generate_key(None).unwrap().0;
    let trust = TrustPolicy::of_keys(&[crate::package::TrustedKey { name: "X".into(), public_key: stranger }]).unwrap();
    let e = mirror(CatalogSpec::folder(shop.path()), &copy, &trust).await.unwrap_err().to_string();
    assert!(e.contains("is refused"), "{e}");
}

#[tokio::test]
async fn an_index_that_goes_back_in_time_is_noticed_and_explained() {
    let shop = Shop::new();
    shop.put(plain("demo", "0.1.0"));
    shop.index_of(5, now_ms() + DAY);
    let old = (std::fs::read(shop.path().join(INDEX_FILE)).unwrap(), std::fs::read(shop.path().join(SIGNATURE_FILE)).unwrap());
    shop.put(plain("demo", "0.2.0"));
    shop.index_of(7, now_ms() + DAY);
    let server = shop.serve().await;
    let c = shop.catalogs(&[&server.url]);
    c.refresh().await;
    assert_eq!(versions(&c), ["demo 0.2.0", "demo 0.1.0"]);
    std::fs::write(shop.path().join(INDEX_FILE), &old.0).unwrap();
    std::fs::write(shop.path().join(SIGNATURE_FILE), &old.1).unwrap();
    c.refresh().await;
    assert!(problem(&c).contains("older index (serial 5)") && problem(&c).contains("(7)"), "{}", problem(&c));
    assert_eq!(versions(&c), ["demo 0.2.0", "demo 0.1.0"], "what was seen last is still shown");
    // A host that was started anew remembers.
    let c = shop.catalogs(&[&server.url]);
    assert_eq!(versions(&c), ["demo 0.2.0", "demo 0.1.0"]);
    c.refresh().await;
    assert!(problem(&c).contains("older index"), "{}", problem(&c));
    // Two of one serial.
    std::fs::remove_file(shop.path().join("demo-0.2.0.plenum")).unwrap();
    shop.index_of(7, now_ms() + DAY);
    c.refresh().await;
    assert!(problem(&c).contains("two different indexes"), "{}", problem(&c));
    shop.index_of(8, now_ms() + DAY);
    c.refresh().await;
    assert_eq!((problem(&c).as_str(), versions(&c)), ("", vec!["demo 0.1.0".to_owned()]));
    // The copy of a newer one is not overwritten by an older one.
    let copy = shop.dir.path().join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    mirror(CatalogSpec::folder(shop.path()), &copy, &shop.trust()).await.unwrap();
    shop.index_of(2, now_ms() + DAY);
    assert!(mirror(CatalogSpec::folder(shop.path()), &copy, &shop.trust()).await.unwrap_err().to_string().contains("older index"));
}

#[tokio::test]
async fn an_index_past_its_end_offers_nothing() {
    let shop = Shop::new();
    shop.put(plain("demo", "0.1.0"));
    shop.index_of(1, now_ms() - 1_000);
    let server = shop.serve().await;
    let c = shop.catalogs(&[&server.url]);
    c.refresh().await;
    assert!(problem(&c).contains("ended on") && problem(&c).contains("plenum catalog index"), "{}", problem(&c));
    assert!(c.entries().is_empty());
    // One that was good when it was seen and ended since: shown, and not installed.
    shop.index_of(2, now_ms() + 1_500);
    c.refresh().await;
    assert_eq!(problem(&c), "");
    assert!(c.entries()[0].problem.is_none());
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while c.entries()[0].problem.is_none() {
        assert!(std::time::Instant::now() < end, "it ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(c.entries()[0].problem.as_ref().unwrap().contains("ended on"));
    let e = mirror(CatalogSpec::folder(shop.path()), &shop.dir.path().join("copy"), &shop.trust()).await.unwrap_err().to_string();
    assert!(e.contains("ended on"), "{e}");
}

#[tokio::test]
async fn a_catalog_that_is_down_hides_nothing_of_the_others() {
    let shop = Shop::new();
    shop.put(plain("demo", "0.1.0"));
    shop.index();
    let local = Shop { dir: tempfile::tempdir().unwrap(), public: shop.public.clone(), secret: shop.secret.clone() };
    local.put(plain("local", "0.1.0"));
    let server = shop.serve().await;
    let sources = [server.url.clone(), local.path().to_str().unwrap().to_owned(), "http://127.0.0.1:1/gone".to_owned()];
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let c = shop.catalogs(&sources);
    c.refresh().await;
    assert_eq!(versions(&c), ["demo 0.1.0", "local 0.1.0"]);
    let problems: Vec<bool> = c.status(&[]).iter().map(|s| s.problem.is_some()).collect();
    assert_eq!(problems, [false, false, true]);
    assert!(c.status(&[])[2].problem.as_ref().unwrap().contains("does not answer"));
    // Down after it was seen: what it had is shown still.
    let c = shop.catalogs(&["http://127.0.0.1:1/gone", &server.url]);
    assert_eq!(versions(&c), ["demo 0.1.0"]);
    // A folder that is not there says so.
    let c = shop.catalogs(&["/nonexistent/catalog"]);
    c.refresh().await;
    assert!(problem(&c).contains("/nonexistent/catalog"), "{}", problem(&c));
}

#[tokio::test]
async fn an_index_that_lies_is_refused() {
    let shop = Shop::new();
    shop.put(pretty());
    let good = shop.index();
    let server = shop.serve().await;
    let refused = async |change: &dyn Fn(&Shop)| {
        shop.sign(&good);
        change(&shop);
        // Without a memory: what is refused is refused for itself.
        let _ = std::fs::remove_dir_all(shop.dir.path().join("data"));
        let c = shop.catalogs(&[&server.url]);
        c.refresh().await;
        assert!(c.entries().is_empty());
        problem(&c)
    };
    let file = |s: &Shop, name: &str| s.path().join(name);
    let e = refused(&|s| std::fs::remove_file(file(s, SIGNATURE_FILE)).unwrap()).await;
    assert!(e.contains("not signed"), "{e}");
    let e = refused(&|s| {
        let text = std::fs::read_to_string(file(s, INDEX_FILE)).unwrap();
        std::fs::write(file(s, INDEX_FILE), text.replace("\"Shop\"", "\"Shap\"")).unwrap();
    })
    .await;
    assert!(e.contains("changed after it was signed"), "{e}");
    let e = refused(&|s| {
        let (bytes, signature) = good.signed(&generate_key(None).unwrap().1, None).unwrap();
        std::fs::write(file(s, INDEX_FILE), bytes).unwrap();
        std::fs::write(file(s, SIGNATURE_FILE), signature).unwrap();
    })
    .await;
    assert!(e.contains("none of a publisher"), "{e}");
    // Signed by somebody who may, and yet: what it shows of a package has to hang on that package's signature.
    type Change = fn(&mut Index);
    let changes: &[(Change, &str)] = &[
        (|i| i.packages[0].manifest = i.packages[0].manifest.replace("For tests", "For all"), "not the one in the package"),
        (|i| i.packages[0].digest = format!("sha256:{}", "0".repeat(64)), "not the one of the digest"),
        (|i| i.packages[0].file = "../x.plenum".into(), "x.plenum"),
        (|i| i.packages[0].file = "http://127.0.0.1:1/x.plenum".into(), "x.plenum"),
        (|i| i.packages[0].size = u64::MAX, "larger"),
        (|i| i.packages.push(i.packages[0].clone()), "twice"),
        (|i| i.format = 2, "update the host"),
        (|i| i.expires_at = "soon".into(), "soon"),
        (|i| i.packages = vec![i.packages[0].clone(); 2_001], "at most 2000"),
    ];
    for (change, expected) in changes {
        let e = refused(&|s| {
            let mut index = good.clone();
            change(&mut index);
            s.sign(&index);
        })
        .await;
        assert!(e.contains(expected), "{expected}: {e}");
    }
    // The package behind it is another, or the image is.
    shop.sign(&good);
    let c = shop.catalogs(&[&server.url]);
    c.refresh().await;
    let entry = c.entries().pop().unwrap();
    std::fs::write(shop.path().join("pretty-1.0.0.plenum"), plain("pretty", "1.0.0").to_bytes().unwrap()).unwrap();
    let e = c.fetch(&entry).await.unwrap_err().to_string();
    assert!(e.contains("another package"), "{e}");
    std::fs::write(shop.path().join(MEDIA_DIR).join(digest(b"png").trim_start_matches("sha256:")), b"pnG").unwrap();
    assert!(c.media(&entry, "assets/a.png").await.unwrap_err().to_string().contains("another than the one"));
    std::fs::write(shop.path().join("pretty-1.0.0.plenum"), vec![0; 1 << 20]).unwrap();
    assert!(c.fetch(&entry).await.unwrap_err().to_string().contains("more than the"));
}

#[tokio::test]
async fn only_the_named_publisher_signs_a_pinned_catalog() {
    let shop = Shop::new();
    shop.put(plain("demo", "0.1.0"));
    shop.index();
    let (other, _) = generate_key(None).unwrap();
    let publisher = |name: &str, key: &str| Publisher {
        name: name.into(),
        keys: vec![PublisherKey { key: key.into(), not_after: None }],
        ..Publisher::default()
    };
    let trust = TrustPolicy::new(&[publisher("Tests", &shop.public), publisher("Other", &other)], &[]).unwrap();
    for (pinned, good) in [("Tests", true), ("Other", false)] {
        let spec = CatalogSpec { publisher: Some(pinned.into()), ..CatalogSpec::folder(shop.path()) };
        let c = Catalogs::new(&[spec], trust.clone(), &shop.dir.path().join(pinned), true).unwrap();
        c.refresh().await;
        assert_eq!(problem(&c).is_empty(), good, "{}", problem(&c));
    }
}

#[tokio::test]
async fn an_endless_index_is_cut_off() {
    let shop = Shop::new();
    let server = Server::start(|_, _| {
        let mut all = b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n".to_vec();
        all.extend(vec![b' '; 17 << 20]);
        all
    })
    .await;
    let c = shop.catalogs(&[&server.url]);
    c.refresh().await;
    assert!(problem(&c).contains("more than the"), "{}", problem(&c));
}

#[tokio::test]
async fn a_catalog_lives_in_a_registry() {
    let shop = Shop::new();
    let bytes = shop.put(pretty());
    shop.index();
    let server = DockerRegistry::start(None);
    let source = format!("oci://{}/acme/catalog", server.host);
    let r = Reference::parse(&format!("{}/acme/catalog:latest", server.host)).unwrap();
    assert_eq!(push_catalog(&shop.path(), &r, Credentials::default(), false).await.unwrap(), 1);
    let c = shop.catalogs(&[&source]);
    c.refresh().await;
    assert_eq!((problem(&c).as_str(), versions(&c)), ("", vec!["pretty 1.0.0".to_owned()]));
    let e = c.entries().remove(0);
    assert_eq!(e.signature.state, Trust::Trusted);
    assert!(e.signature.origin.within(&format!("{}/acme/pretty", server.host)), "{}", e.signature.origin);
    assert_eq!(c.fetch(&e).await.unwrap(), bytes);
    assert_eq!(c.media(&e, "assets/a.png").await.unwrap().unwrap(), b"png");
    let copy = shop.dir.path().join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    mirror(CatalogSpec::of(Source::parse(&source).unwrap()), &copy, &shop.trust()).await.unwrap();
    assert_eq!(std::fs::read(copy.join("pretty-1.0.0.plenum")).unwrap(), bytes);
}

#[tokio::test]
async fn one_package_of_two_catalogs_is_one_and_two_of_one_version_are_told_apart() {
    let (a, b) = (Shop::new(), tempfile::tempdir().unwrap());
    a.put(plain("demo", "0.1.0"));
    a.put(plain("same", "0.1.0"));
    let b = Shop { dir: b, public: a.public.clone(), secret: a.secret.clone() };
    b.put(plain("same", "0.1.0"));
    b.put(package("demo", "0.1.0", "").file("web/x", b"another".to_vec()).finish().unwrap());
    let (pa, pb) = (a.path(), b.path());
    let c = a.catalogs(&[pa.to_str().unwrap(), pb.to_str().unwrap()]);
    c.refresh().await;
    let entries = c.entries();
    assert_eq!(versions(&c), ["demo 0.1.0", "demo 0.1.0", "same 0.1.0"]);
    assert_eq!(entries[2].catalogs, [pa.to_str().unwrap(), pb.to_str().unwrap()]);
    assert_eq!((entries[0].problem.is_none(), entries[0].catalogs[0].as_str()), (true, pa.to_str().unwrap()));
    assert!(entries[1].problem.as_ref().unwrap().contains("another package of the same version"));
    // A folder with an index offers what the index lists.
    a.index();
    a.put(plain("late", "0.1.0"));
    c.refresh().await;
    let late = c.entries().into_iter().find(|e| e.file.starts_with("late")).unwrap();
    assert!(late.problem.unwrap().contains("does not list it"));
    // An index that was there and is gone is a way back too.
    std::fs::remove_file(a.path().join(INDEX_FILE)).unwrap();
    c.refresh().await;
    assert!(problem(&c).contains("had a signed index"), "{}", problem(&c));
}

#[test]
fn the_newest_that_fits_is_chosen_and_the_others_say_why_not() {
    let shop = Shop::new();
    for v in ["0.1.0", "0.2.0", "0.10.0", "1.0.0-beta.1"] {
        shop.put(plain("demo", v));
    }
    let newer =
        Manifest::from_toml("id = \"demo\"\nname = \"D\"\nversion = \"2.0.0\"\napi = \"^0.9\"\npublisher = \"T\"\ndescription = \"T\"\n");
    shop.put(PackageWriter::new(newer.unwrap()).finish().unwrap());
    // Of a stranger: shown, not chosen.
    std::fs::write(shop.path().join("x.plenum"), plain("demo", "0.11.0").to_bytes().unwrap()).unwrap();
    let c = shop.catalogs(&[shop.path().to_str().unwrap()]);
    let chosen = |prereleases: bool| {
        let o = offers(c.entries(), &Search { prereleases, ..Search::default() }).remove(0);
        (o.best.manifest.as_ref().unwrap().version.to_string(), o)
    };
    let (best, offer) = chosen(false);
    assert_eq!(best, "0.10.0");
    let all: Vec<String> = offer.versions.iter().map(|e| e.manifest.as_ref().unwrap().version.to_string()).collect();
    assert_eq!(all, ["2.0.0", "1.0.0-beta.1", "0.11.0", "0.10.0", "0.2.0", "0.1.0"]);
    assert!(offer.versions[0].problem.as_ref().unwrap().contains("^0.9"));
    assert_eq!(chosen(true).0, "1.0.0-beta.1");
    let found = |s: Search| offers(c.entries(), &s).len();
    assert_eq!(found(Search { text: Some("demo TESTS".into()), ..Search::default() }), 1);
    assert_eq!(found(Search { text: Some("nothing".into()), ..Search::default() }), 0);
    assert_eq!(found(Search { publisher: Some("Tests".into()), ..Search::default() }), 1);
    assert_eq!(found(Search { category: Some("operations".into()), ..Search::default() }), 0);
    assert_eq!(found(Search { state: Some(Trust::Unsigned), ..Search::default() }), 0);
}
