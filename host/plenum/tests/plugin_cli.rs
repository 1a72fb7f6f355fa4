//! `plenum plugin` as an author meets it: the real command, real compilers, real packages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plenum_runtime::package::Package;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// `plenum plugin ...` in `dir`. Crates of plugins are compiled once for all tests, below the tests' own output.
fn plenum(dir: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_plenum"));
    c.arg("plugin").current_dir(dir).env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR")).env_remove("PLENUM_KEY_PASSWORD");
    c
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn run(c: &mut Command) -> String {
    let out = c.output().unwrap();
    assert!(out.status.success(), "{c:?}\n{}", text(&out));
    text(&out)
}

fn refused(c: &mut Command) -> String {
    let out = c.output().unwrap();
    assert!(!out.status.success(), "{c:?} should have failed\n{}", text(&out));
    text(&out)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && name != "dist" {
                copy(&entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no {from:?}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// The template, on the SDK of this repository and with the crates that its lock file names: tests need no newer ones.
fn template(dir: &Path) -> PathBuf {
    let plugin = dir.join("hello-plenum");
    copy(&repository().join("sdk/templates/rust"), &plugin);
    edit(&plugin.join("Cargo.toml"), "../../rust", repository().join("sdk/rust").to_str().unwrap());
    std::fs::copy(repository().join("Cargo.lock"), plugin.join("Cargo.lock")).unwrap();
    plugin
}

fn package(dir: &Path) -> PathBuf {
    dir.join("dist/hello-plenum-0.1.0.plenum")
}

/// Lines of one paragraph of `inspect`.
fn paragraph(text: &str, head: &str) -> Vec<String> {
    text.lines().skip_while(|l| *l != head).skip(1).take_while(|l| l.starts_with("  ")).map(|l| l.trim().to_owned()).collect()
}

#[test]
fn the_template_becomes_a_signed_package_that_imports_what_it_uses_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = template(dir.path());
    run(plenum(&plugin).args(["keygen", "--no-password", "--out", "../mine"]));
    let said = run(plenum(&plugin).args(["build", "--key", "../mine.key"]));
    assert!(said.contains("compiling with rustc"), "{said}");
    assert!(!said.contains("advice:"), "the template is exemplary: {said}");

    let inspected = run(plenum(&plugin).arg("inspect").arg(package(&plugin)));
    let own: Vec<String> = paragraph(&inspected, "imports").into_iter().filter(|i| i.starts_with("plenum:")).collect();
    let names: Vec<&str> = own.iter().map(|i| i.split('@').next().unwrap()).collect();
    assert_eq!(names, ["plenum:cmdb/instances", "plenum:log/log", "plenum:store/documents", "plenum:types/types"], "{inspected}");
    assert!(own[0].ends_with("query-instances"), "no other function of it is used: {}", own[0]);
    for power in ["filesystem", "sockets", "environment", "outgoing-handler", "exit"] {
        assert!(!paragraph(&inspected, "imports").join("\n").contains(power), "{power} in {inspected}");
    }
    let exports: Vec<String> = paragraph(&inspected, "exports").iter().map(|e| e.split('@').next().unwrap().to_owned()).collect();
    assert_eq!(exports, ["plenum:plugin/actions", "wasi:http/incoming-handler"]);

    let p = Package::read(&package(&plugin)).unwrap();
    for file in ["web/index.html", "web/app.js", "web/plenum-bridge.js", "schemas/count.input.json"] {
        assert!(p.files.contains_key(file), "{file}");
    }
    assert!(p.component.unwrap().len() < 400 * 1024, "a small plugin stays small");

    assert!(run(plenum(&plugin).arg("verify").arg(package(&plugin)).args(["--public-key", "../mine.pub"])).contains("good"));
    run(plenum(&plugin).args(["keygen", "--no-password", "--out", "../other"]));
    let other = refused(plenum(&plugin).arg("verify").arg(package(&plugin)).args(["--public-key", "../other.pub"]));
    assert!(other.contains("another key"), "{other}");

    // What the component calls and the manifest does not ask for stops the build, with the lines to write.
    edit(&plugin.join("plugin.toml"), "name = \"cmdb.read\"\nscope = { models = [\"host\"] }", "name = \"jobs.read\"");
    let said = refused(plenum(&plugin).arg("build"));
    assert!(
        said.contains("query-instances of plenum:cmdb/instances@0.1.0") && said.contains("[[permissions]]\nname = \"cmdb.read\""),
        "{said}"
    );
    assert!(said.contains("asks for jobs.read and the component never uses it"), "{said}");
}

#[test]
fn a_strangers_component_is_packed_without_rust() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path();
    std::fs::write(plugin.join("proxy.wasm"), strangers_component()).unwrap();
    let manifest = "id = \"stranger\"\nname = \"Stranger\"\nversion = \"1.2.3\"\napi = \"^0.1\"\npublisher = \"Somebody\"\ndescription = \"Made elsewhere.\"\n[component]\npath = \"proxy.wasm\"\n";
    std::fs::write(plugin.join("plugin.toml"), manifest).unwrap();
    // Neither cargo nor rustc is in reach.
    let said = run(plenum(plugin).arg("pack").env("PATH", "/nonexistent"));
    assert!(said.contains("stranger-1.2.3.plenum") && said.contains("not signed"), "{said}");
    let unsigned = refused(plenum(plugin).args([
        "verify",
        "dist/stranger-1.2.3.plenum",
        "--public-key",
        "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
    ]));
    assert!(unsigned.contains("not signed"), "{unsigned}");

    std::fs::write(plugin.join("proxy.wasm"), b"#!/bin/sh\n").unwrap();
    assert!(refused(plenum(plugin).arg("pack")).contains("this is no WebAssembly"));
    std::fs::remove_file(plugin.join("proxy.wasm")).unwrap();
    assert!(refused(plenum(plugin).arg("pack")).contains("proxy.wasm cannot be read"));
}

/// A component that exports `wasi:http/incoming-handler@0.2.0` and imports what its types need, as another tool would make it.
fn strangers_component() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let mut last = None;
    for package in ["wasi-io", "wasi-http"] {
        last = Some(resolve.push_dir(repository().join("sdk/rust/wit").join(package)).unwrap().0);
    }
    let world = "package a:stranger;\nworld proxy { export wasi:http/incoming-handler@0.2.0; }";
    let package = resolve.push_str("world.wit", world).unwrap();
    assert!(last.is_some());
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wit_component::dummy_module(&resolve, world, wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync));
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[test]
fn keys_are_for_their_owner_only_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(plenum(dir.path()).args(["keygen", "--no-password", "--out", "mine"]));
    assert!(said.contains("warning: the secret key is not protected"), "{said}");
    let mode = std::fs::metadata(dir.path().join("mine.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(dir.path().join("mine.key")).unwrap();
    assert!(refused(plenum(dir.path()).args(["keygen", "--no-password", "--out", "mine"])).contains("is there already"));
    assert_eq!(std::fs::read(dir.path().join("mine.key")).unwrap(), before);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(plenum(dir.path()).arg("build")).contains("is this a plugin's folder?"));

    let plugin = template(dir.path());
    edit(&plugin.join("plugin.toml"), "publisher =", "publischer =");
    let said = refused(plenum(&plugin).arg("build"));
    assert!(said.contains("did you mean `publisher`?"), "{said}");
    edit(&plugin.join("plugin.toml"), "publischer =", "publisher =");

    // Told before anything is compiled.
    edit(&plugin.join("plugin.toml"), "web/index.html", "web/indx.html");
    let said = refused(plenum(&plugin).arg("build"));
    assert!(said.contains("web/indx.html") && !said.contains("compiling"), "{said}");
}

#[test]
fn a_machine_without_a_toolchain_hears_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = template(dir.path());
    let said = refused(plenum(&plugin).arg("build").env("PLENUM_WASM_TOOLCHAIN", "magic"));
    assert!(said.contains("it can be installed, rustup or debian"), "{said}");
    for way in ["installed", "rustup"] {
        let said = refused(plenum(&plugin).arg("build").env("PLENUM_WASM_TOOLCHAIN", way).env("PATH", "/nonexistent"));
        for words in ["rustup target add wasm32-unknown-unknown", "apt-get install", &format!("PLENUM_WASM_TOOLCHAIN={way}")] {
            assert!(said.contains(words), "{words} in {said}");
        }
    }
}

/// The way of machines without rustup. Where Debian's sources are not installed there is nothing to try.
#[test]
fn debians_compiler_builds_the_template() {
    if !Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml").exists() {
        eprintln!("skipped: rust-web-src is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let plugin = template(dir.path());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Flags of the author's environment must not make cargo forget where the standard library is.
    let said = run(plenum(&plugin)
        .arg("build")
        .env("PLENUM_WASM_TOOLCHAIN", "debian")
        .env("PLENUM_CACHE", target.join("plenum cache"))
        .env("CARGO_TARGET_DIR", target.join("debian"))
        .env("RUSTFLAGS", "-Copt-level=s"));
    assert!(said.contains("compiling with Debian's rustc"), "{said}");
    assert!(Package::read(&package(&plugin)).unwrap().component.is_some());
}
