//! JavaScript and TypeScript.

use std::process::Command;

use serde_json::json;

use super::host::{Host, walk};
use super::{add, edit, inspected, new, own_imports, plenum, refused, run};

/// What goes wrong in a plugin, and what QuickJS does not have by itself.
const MORE: &str = r#"
const drawnEarly = Math.random();

router
  .get('/throws', () => null.nothing)
  .get('/throws-text', () => {
    throw 'a text';
  })
  .get('/recurses', () => {
    const f = () => f() + 1;
    return f();
  })
  .get('/async', async () => 1)
  .get('/draws', () => [Math.random(), random.id(), crypto.randomUUID(), drawnEarly])
  .get('/says', () => {
    console.log('printed', { n: 7 });
    return [new TextDecoder().decode(new TextEncoder().encode('中 😀')), new Date(0).toISOString()];
  });
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_plugin_is_tested_built_installed_and_called_and_its_faults_are_answers() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "javascript");
    let said = run(Command::new("npm").args(["test", "--silent"]).current_dir(&plugin));
    assert!(said.contains("# pass 2") && said.contains("# fail 0"), "{said}");
    add(&plugin.join("src/plugin.js"), MORE);

    let said = run(plenum(&plugin).arg("build"));
    assert!(!said.contains("advice:"), "the template is exemplary: {said}");
    let inspected = inspected(&plugin);
    let own = own_imports(&inspected);
    assert!(own.contains(&"plenum:cmdb/instances  query-instances".to_owned()), "no other function of it is called: {own:?}");
    assert!(!own.iter().any(|i| i.contains("jobs") || i.contains("workflow") || i.contains("publisher")), "{own:?}");
    assert!(!inspected.contains("plnm:"), "{inspected}");

    let host = Host::start(&plugin.join("dist")).await;
    host.install("disk-notes", &["cmdb.read", "store"]).await;
    walk(&host, "disk-notes").await;

    let at = |path: &str| format!("/plugins/disk-notes/http{path}");
    for (path, words) in [("/throws", "threw: TypeError"), ("/throws-text", "threw: a text")] {
        let answer = host.get(&at(path)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("plugin.exception")), "{path}: {}", answer.body);
        assert!(!host.lines("disk-notes", words).await.is_empty(), "{path}: {}", host.get("/plugins/disk-notes/logs").await.body);
    }
    assert_eq!(host.get(&at("/async")).await.json()["code"], "plugin.async");
    // QuickJS meets the end of the host's stack before its own: the call ends, the plugin goes on.
    assert_eq!(host.get(&at("/recurses")).await.json()["code"], "plugin.trap");

    // Each call is a new instance of the same frozen memory, and draws its own numbers.
    let (a, b) = (host.get(&at("/draws")).await.json(), host.get(&at("/draws")).await.json());
    assert!(a[0] != b[0] && a[1] != b[1] && a[2] != b[2], "{a} {b}");
    assert_eq!(a[3], b[3], "drawn when the component was built");
    assert_eq!(host.get(&at("/says")).await.json(), json!(["中 😀", "1970-01-01T00:00:00.000Z"]));
    assert_eq!(host.lines("disk-notes", "printed {\"n\":7}").await[0]["level"], "info");
}

/// A running `plenum plugin dev`, with what it prints; killed when dropped.
struct Dev {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Interrupted as by Ctrl-C: killed, it would leave its host.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Dev {
    fn start(plugin: &std::path::Path) -> Dev {
        use std::io::BufRead;
        let mut c = plenum(plugin);
        c.args(["dev", "--listen", "127.0.0.1:0"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::inherit());
        let mut child = c.spawn().unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|l| drop(send.send(l))));
        Dev { child, lines }
    }

    fn until(&self, words: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(std::time::Duration::from_secs(180)).unwrap_or_else(|e| panic!("waiting for {words:?}: {e}"));
            if line.contains(words) {
                return line;
            }
        }
    }
}

#[test]
fn what_is_saved_is_swapped_in_and_the_cases_of_a_build_are_run() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "javascript");
    run(plenum(&plugin).arg("build"));
    let said = run(plenum(&plugin).arg("test"));
    assert!(said.contains("ok      notes (") && said.contains("1 passed, 0 failed"), "{said}");
    edit(&plugin.join("tests/notes.case.json"), "\"debian\": 2", "\"debian\": 3");
    let said = refused(plenum(&plugin).arg("test"));
    assert!(said.contains("step 1, GET /summary: /debian is 2, not 3"), "{said}");

    let dev = Dev::start(&plugin);
    let first = dev.until(": http://");
    assert!(first.starts_with("swapped in"), "{first}");
    std::fs::write(plugin.join("web/style.css"), "body { margin: 0 }\n").unwrap();
    assert!(dev.until(": http://").starts_with("pages swapped in"));
    edit(&plugin.join("src/plugin.js"), "const NOTES = new", "const NOTES = nev");
    edit(&plugin.join("src/plugin.js"), "const NOTES = nev", "const NOTES =  new");
    assert!(dev.until(": http://").starts_with("swapped in"));
}

#[test]
fn typescript_is_built_and_mistakes_are_told_before_a_component_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = new(dir.path(), "javascript");
    let source = plugin.join("src/plugin.ts");
    std::fs::rename(plugin.join("src/plugin.js"), &source).unwrap();
    edit(&plugin.join("package.json"), "src/plugin.js", "src/plugin.ts");
    edit(&source, "function count({ os_id })", "function count({ os_id }: { os_id: string }): { hosts: number }");
    let said = run(plenum(&plugin).arg("build"));
    assert!(said.contains("component: "), "{said}");

    let template = std::fs::read_to_string(&source).unwrap();
    let told = |from: &str, to: &str| {
        edit(&source, from, to);
        let said = refused(plenum(&plugin).arg("build"));
        std::fs::write(&source, &template).unwrap();
        said
    };
    assert!(told("actions: { count }", "actions: { cuont: count }").contains("declares the action count"));
    assert!(
        told("const NOTES = new", "import fs from 'node:fs';\nfs.existsSync('/');\nconst NOTES = new")
            .contains("a component is not Node.js")
    );
    assert!(told("const NOTES = new", "const NOTES = nev").contains("plugin.ts"));
    assert!(told("export default definePlugin", "export const x = definePlugin").contains("is no plugin"));
}
