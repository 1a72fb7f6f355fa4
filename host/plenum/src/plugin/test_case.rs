//! The files that `plenum plugin test` reads: cases in `tests/*.case.{toml,yaml,json}`, fixtures that several of them share, and golden
//! outputs beside them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use plenum_runtime::fake::{Fixtures, HostCall};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Endings of a case's file.
const ENDINGS: &[&str] = &[".case.json", ".case.toml", ".case.yaml", ".case.yml"];

/// Where a case runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// In this process, against fakes.
    #[default]
    Fake,
    /// In a host of its own.
    Host,
}

/// A case.
#[derive(Debug)]
pub struct Case {
    /// Its file's name without the ending.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Where it runs.
    pub on: On,
    /// Whether all of its outcomes are compared with a golden file.
    pub golden: bool,
    /// What is there before, as written.
    pub before: Value,
    /// What is done.
    pub steps: Vec<Step>,
}

/// One call of the plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// `GET /summary`, to a route of the plugin.
    pub request: Option<String>,
    /// Or an action of the plugin.
    pub action: Option<String>,
    /// Or an event: at least its `type`.
    pub event: Option<Value>,
    /// Or one of its schedules is due.
    pub schedule: Option<String>,
    /// Or `install`, `uninstall`, `health`, `upgrade 0.1.0`.
    pub lifecycle: Option<String>,
    /// What is sent, as JSON: a request's body, an action's input.
    pub json: Option<Value>,
    /// A request's body as it is.
    pub text: Option<String>,
    /// A request's headers.
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
    /// The key that is the same at each attempt of a workflow's task.
    pub key: Option<String>,
    /// Seconds that the clock goes on before.
    pub advance_s: Option<f64>,
    /// What is expected; without it the golden file says it.
    pub expect: Option<Expect>,
}

impl Step {
    /// For people: which step that is.
    pub fn title(&self) -> String {
        let event = || format!("event {}", self.event.as_ref().and_then(|e| e.get("type")).and_then(Value::as_str).unwrap_or_default());
        match (&self.request, &self.action, &self.schedule, &self.lifecycle) {
            (Some(r), ..) => r.clone(),
            (_, Some(a), ..) => format!("action {a}"),
            (_, _, Some(s), _) => format!("schedule {s}"),
            (_, _, _, Some(l)) => l.clone(),
            _ => event(),
        }
    }
}

/// What is expected of a step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// HTTP's number, or that of an action's error; any 2xx when absent.
    pub status: Option<u16>,
    /// Has to be in the answer: objects may have more fields, lists not more items; `"*"` is any value.
    pub json: Option<Value>,
    /// Has to be in an answer that is text.
    pub text: Option<String>,
    /// What the plugin asks of the host: these calls, in this order, with at least these arguments; log lines apart.
    pub calls: Option<Vec<ExpectedCall>>,
}

/// A call of the host that is expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCall {
    /// `plenum:cmdb/instances.get`, or the end of it: `instances.get`, `get`.
    pub call: String,
    /// Have to be in its arguments.
    pub args: Option<Value>,
    /// The code of the error that it is answered.
    pub error: Option<String>,
}

/// What came of a step: what a golden file holds.
#[derive(Debug, Clone, Serialize)]
pub struct Came {
    /// Which step.
    pub step: String,
    /// HTTP's number, or that of the error.
    pub status: u16,
    /// `content-type` and `location` of an answer.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// The answer.
    pub body: Value,
    /// What the plugin asked of the host.
    pub calls: Vec<HostCall>,
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let what = || path.display().to_string();
    match path.extension().and_then(|e| e.to_str()) {
        Some("toml") => {
            let table: toml::Table = text.parse().with_context(what)?;
            serde_json::to_value(table).with_context(what)
        }
        Some("yaml" | "yml") => plenum_workflow::yaml::read(&text).map_err(|p| anyhow::anyhow!("{}: {} {}", what(), p.pointer, p.message)),
        _ => serde_json::from_str(&text).with_context(what),
    }
}

/// Puts `over` over `under`: objects field by field, lists one after the other.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(u), Value::Object(o)) => {
            for (k, v) in o {
                match u.get_mut(&k) {
                    Some(there) => merge(there, v),
                    None => {
                        u.insert(k, v);
                    }
                }
            }
        }
        (Value::Array(u), Value::Array(o)) => u.extend(o),
        (under, over) => *under = over,
    }
}

impl Case {
    fn of(path: &Path) -> anyhow::Result<Case> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = ENDINGS.iter().find_map(|e| file.strip_suffix(e)).unwrap_or(&file).to_owned();
        let what = || path.display().to_string();
        let Value::Object(mut all) = read(path)? else { bail!("{}: a case is an object", what()) };
        let mut take = |key: &str| all.shift_remove(key);
        let (steps, on, golden, include) = (take("steps"), take("on"), take("golden"), take("include"));
        let steps: Vec<Step> = match steps {
            Some(steps) => serde_json::from_value(steps).with_context(|| format!("{}: steps", what()))?,
            None => bail!("{}: a case has steps", what()),
        };
        for (n, step) in steps.iter().enumerate() {
            let kinds =
                [step.request.is_some(), step.action.is_some(), step.event.is_some(), step.schedule.is_some(), step.lifecycle.is_some()];
            if kinds.iter().filter(|k| **k).count() != 1 {
                bail!("{}: step {} has one of request, action, event, schedule or lifecycle", what(), n + 1);
            }
        }
        let mut before = json!({});
        let include: Vec<String> =
            include.map(serde_json::from_value).transpose().with_context(|| format!("{}: include", what()))?.unwrap_or_default();
        for file in include {
            merge(&mut before, read(&path.parent().unwrap_or(Path::new(".")).join(file))?);
        }
        merge(&mut before, Value::Object(all));
        let on: On = on.map(serde_json::from_value).transpose().with_context(|| format!("{}: on", what()))?.unwrap_or_default();
        let golden = match golden {
            None => steps.iter().any(|s| s.expect.is_none()),
            Some(g) => g.as_bool().with_context(|| format!("{}: golden is true or false", what()))?,
        };
        let case = Case { name, path: path.to_owned(), on, golden, before, steps };
        // A word that is wrong is told before anything runs.
        if case.on == On::Fake {
            case.fixtures()?;
        }
        Ok(case)
    }

    /// What is there before, for the fake host.
    pub fn fixtures(&self) -> anyhow::Result<Fixtures> {
        serde_json::from_value(self.before.clone()).with_context(|| self.path.display().to_string())
    }

    /// Its golden file.
    pub fn golden_path(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.golden.json", self.name))
    }
}

/// All cases of a plugin, by name; those whose name holds `only`, where that is said.
pub fn cases(dir: &Path, only: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let tests = dir.join("tests");
    let mut paths: Vec<_> = std::fs::read_dir(&tests)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| ENDINGS.iter().any(|e| p.to_string_lossy().ends_with(e)))
        .collect();
    paths.sort();
    if paths.is_empty() {
        bail!("{} has no *.case.json, *.case.toml or *.case.yaml; see \"Testing\" in the plugin author's guide", tests.display());
    }
    let all = paths.iter().map(|p| Case::of(p)).collect::<anyhow::Result<Vec<_>>>()?;
    let some: Vec<Case> = all.into_iter().filter(|c| only.is_none_or(|o| c.name.contains(o))).collect();
    if some.is_empty() {
        bail!("no case has {:?} in its name", only.unwrap_or_default());
    }
    Ok(some)
}

/// The lines that are not the same, with some around them: `-` is expected, `+` was found.
pub fn diff(expected: &str, found: &str) -> String {
    const AROUND: usize = 3;
    /// Beyond this the two are shown as a whole: the table below grows with their product.
    const MOST: usize = 2_000;
    let (e, f): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let start = e.iter().zip(&f).take_while(|(a, b)| a == b).count();
    let end = e.iter().rev().zip(f.iter().rev()).take(e.len().min(f.len()) - start).take_while(|(a, b)| a == b).count();
    let (em, fm) = (e.get(start..e.len() - end).unwrap_or_default(), f.get(start..f.len() - end).unwrap_or_default());
    let mut out: Vec<(char, &str)> = e.iter().take(start).map(|l| (' ', *l)).collect();
    if em.len() > MOST || fm.len() > MOST {
        out.extend(em.iter().map(|l| ('-', *l)).chain(fm.iter().map(|l| ('+', *l))));
    } else {
        // The longest common run of lines, from the end.
        let width = fm.len() + 1;
        let mut common = vec![0_u32; (em.len() + 1) * width];
        let at = |i: usize, j: usize| i * width + j;
        for i in (0..em.len()).rev() {
            for j in (0..fm.len()).rev() {
                let of = |n: usize| common.get(n).copied().unwrap_or(0);
                let best = if em.get(i) == fm.get(j) { of(at(i + 1, j + 1)) + 1 } else { of(at(i + 1, j)).max(of(at(i, j + 1))) };
                if let Some(cell) = common.get_mut(at(i, j)) {
                    *cell = best;
                }
            }
        }
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (em.get(i), fm.get(j)) {
            let of = |n: usize| common.get(n).copied().unwrap_or(0);
            if a == b {
                out.push((' ', a));
                (i, j) = (i + 1, j + 1);
            } else if of(at(i + 1, j)) >= of(at(i, j + 1)) {
                out.push(('-', a));
                i += 1;
            } else {
                out.push(('+', b));
                j += 1;
            }
        }
        out.extend(em.iter().skip(i).map(|l| ('-', *l)).chain(fm.iter().skip(j).map(|l| ('+', *l))));
    }
    out.extend(e.iter().skip(e.len() - end).map(|l| (' ', *l)));
    let near = |n: usize| out.iter().skip(n.saturating_sub(AROUND)).take(2 * AROUND + 1).any(|(sign, _)| *sign != ' ');
    let mut text = String::new();
    let mut left_out = false;
    for (n, (sign, line)) in out.iter().enumerate() {
        if near(n) {
            if left_out {
                text.push_str("  ...\n");
            }
            left_out = false;
            text.push_str(&format!("{sign} {line}\n"));
        } else {
            left_out = true;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tests/fixtures")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join("tests").join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn a_case_is_the_same_in_each_notation() {
        let dir = written(&[
            ("a.case.json", r#"{ "settings": { "x": 1 }, "steps": [{ "request": "GET /", "expect": { "status": 200 } }] }"#),
            ("b.case.toml", "[settings]\nx = 1\n[[steps]]\nrequest = \"GET /\"\nexpect = { status = 200 }\n"),
            ("c.case.yaml", "settings: { x: 1 }\nsteps:\n- request: GET /\n  expect: { status: 200 }\n"),
            ("notes.json", "{}"),
        ]);
        let found = cases(dir.path(), None).unwrap();
        assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        for c in &found {
            assert_eq!((&c.before, c.on, c.golden, c.steps.len()), (&json!({ "settings": { "x": 1 } }), On::Fake, false, 1), "{}", c.name);
        }
        assert_eq!(cases(dir.path(), Some("b")).unwrap().len(), 1);
        assert!(cases(dir.path(), Some("z")).is_err());
    }

    #[test]
    fn fixtures_are_shared_and_added_to() {
        let dir = written(&[
            ("fixtures/hosts.yaml", "cmdb: { host: [{ hostname: web1 }] }\nsettings: { x: 1, y: 1 }\n"),
            (
                "a.case.json",
                r#"{ "include": ["fixtures/hosts.yaml"], "cmdb": { "host": [{ "hostname": "web2" }] }, "settings": { "x": 2 }, "steps": [{ "action": "a" }] }"#,
            ),
        ]);
        let found = cases(dir.path(), None).unwrap();
        let wanted = json!({ "cmdb": { "host": [{ "hostname": "web1" }, { "hostname": "web2" }] }, "settings": { "x": 2, "y": 1 } });
        assert_eq!(found.first().map(|c| (c.before.clone(), c.golden)), Some((wanted, true)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file() {
        for (text, words) in [
            ("{}", "a case has steps"),
            (r#"{ "steps": [{}] }"#, "step 1 has one of"),
            (r#"{ "steps": [{ "request": "GET /", "action": "x" }] }"#, "step 1 has one of"),
            (r#"{ "stps": [], "steps": [] }"#, "stps"),
            (r#"{ "steps": [{ "request": "GET /", "expects": {} }] }"#, "expects"),
        ] {
            let dir = written(&[("a.case.json", text)]);
            let said = format!("{:#}", cases(dir.path(), None).unwrap_err());
            assert!(said.contains(words) && said.contains("a.case.json"), "{said}");
        }
        assert!(cases(tempfile::tempdir().unwrap().path(), None).unwrap_err().to_string().contains("author's guide"));
    }

    #[test]
    fn a_diff_shows_what_changed_and_a_little_around() {
        let lines = |n: std::ops::Range<u32>| n.map(|i| format!("{i}\n")).collect::<String>();
        assert_eq!(diff("a\nb", "a\nb"), "");
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), "  a\n- b\n+ x\n  c\n");
        let said = diff(&lines(0..20), &lines(0..20).replace("\n9\n", "\n9a\n9b\n"));
        assert_eq!(said, "  ...\n  6\n  7\n  8\n- 9\n+ 9a\n+ 9b\n  10\n  11\n  12\n");
        assert_eq!(diff("", "a\n"), "+ a\n");
    }
}
