//! Python.

use std::process::Command;

use serde_json::json;

use super::host::{Host, walk};
use super::{add, edit, inspected, new, own_imports, plenum, refused, run};

/// What goes wrong in a plugin, and what Python does only when it is used.
const MORE: &str = r#"

import logging
import random as dice

from datetime import datetime


@plugin.get("/raises")
def raises(request: Request):
    return {}["nothing"]


@plugin.get("/exits")
def exits(request: Request):
    raise SystemExit(3)


@plugin.get("/recurses")
def recurses(request: Request):
    return recurses(request)


@plugin.get("/grows")
def grows(request: Request):
    return len(bytearray(1 << 30))


@plugin.get("/draws")
def draws(request: Request):
    return [dice.random(), random.id()]


@plugin.get("/says")
def says(request: Request):
    print("printed", 7)
    logging.getLogger("mine").warning("logged")
    return datetime.strptime("2026-03-01", "%Y-%m-%d")


@plugin.health
def health():
    cmdb.query("host", limit=1).page()


@plugin.action("fails")
def fails(input):
    raise RuntimeError("not today")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_plugin_is_tested_built_installed_and_called_and_its_faults_are_answers() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "python");
    let said = run(Command::new("python3").args(["-m", "unittest"]).current_dir(&plugin));
    assert!(said.contains("Ran 2 tests") && said.contains("OK"), "{said}");
    add(&plugin.join("src/plugin.py"), MORE);
    add(&plugin.join("plugin.toml"), "\n[[actions]]\nname = \"fails\"\n");

    let said = run(plenum(&plugin).arg("build"));
    assert!(!said.contains("advice:"), "the template is exemplary: {said}");
    let said = run(plenum(&plugin).arg("check"));
    for words in [
        "query-instances: cmdb.read, asked for",
        "no files: the host opens no folder",
        "store: used by plenum:store/documents",
        "no problem",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let inspected = inspected(&plugin);
    assert!(inspected.contains("plenum:plugin/health@0.1.0"), "{inspected}");
    let own = own_imports(&inspected);
    assert!(own.contains(&"plenum:cmdb/instances  query-instances".to_owned()), "no other function of it is named: {own:?}");
    assert!(!own.iter().any(|i| i.contains("jobs") || i.contains("workflow") || i.contains("publisher")), "{own:?}");

    let host = Host::start(&plugin.join("dist")).await;
    host.install("disk-notes", &["cmdb.read", "store"]).await;
    walk(&host, "disk-notes").await;

    let at = |path: &str| format!("/plugins/disk-notes/http{path}");
    for (path, words) in [("/raises", "raised at plugin.py"), ("/exits", "SystemExit"), ("/recurses", "RecursionError")] {
        let answer = host.get(&at(path)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("plugin.exception")), "{path}: {}", answer.body);
        assert!(!host.lines("disk-notes", words).await.is_empty(), "{path}: {}", host.get("/plugins/disk-notes/logs").await.body);
    }
    let answer = host.get(&at("/grows")).await;
    assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("plugin.memory")), "{}", answer.body);
    let answer = host.post("/plugins/disk-notes/actions/fails", json!({})).await;
    assert_eq!(answer.json()["code"], "plugin.exception", "{}", answer.body);

    // Each call is a new instance of the same frozen memory, and draws its own numbers.
    let (a, b) = (host.get(&at("/draws")).await.json(), host.get(&at("/draws")).await.json());
    assert!(a[0] != b[0] && a[1] != b[1], "{a} {b}");
    assert_eq!(host.get(&at("/says")).await.json(), "2026-03-01T00:00:00");
    assert_eq!(host.lines("disk-notes", "printed 7").await[0]["level"], "info");
    assert_eq!(host.lines("disk-notes", "logged").await[0]["level"], "warn");
}

#[test]
fn mistakes_are_told_before_a_component_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "python");
    let source = plugin.join("src/plugin.py");
    let template = std::fs::read_to_string(&source).unwrap();
    let told = |from: &str, to: &str| {
        edit(&source, from, to);
        let said = refused(plenum(&plugin).arg("build"));
        std::fs::write(&source, &template).unwrap();
        said
    };
    let said = told("    author = request.writer()\n", "    import colorsys\n    author = request.writer()\n");
    assert!(said.contains("src/plugin.py:") && said.contains("imports colorsys inside a function"), "{said}");
    assert!(told("from collections import Counter", "import ssl\nfrom collections import Counter").contains("a component has no sockets"));
    assert!(told("@plugin.action(\"count\")", "@plugin.action(\"cuont\")").contains("declares the action count"));
    assert!(told("plugin = Plugin()", "plugin = Plugin(").contains("src/plugin.py:"));
    assert!(told("NOTES = Collection", "NOTES = Colection").contains("src/plugin.py:"));
}
