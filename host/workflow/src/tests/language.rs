//! A table of the language: definition, input, expected output or error.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ACTIONS, flow};
use crate::dsl::{Known, parse};
use crate::expr::Jq;
use crate::interp::{Event, RunInfo, State, World};
use crate::model::{RunStatus, Task, TaskStatus};
use crate::yaml;

struct Names;
impl Known for Names {
    fn has_action(&self, name: &str) -> bool {
        ACTIONS.contains(&name)
    }
    fn actions(&self) -> Vec<String> {
        ACTIONS.iter().map(|s| (*s).to_owned()).collect()
    }
}

/// Runs a definition in memory with a clock that jumps to the next timer. Answers the outcome, tasks and the time that passed.
pub(super) fn play(jq: &Jq, body: &str, input: Value) -> (crate::interp::Outcome, Vec<Task>, i64) {
    let source = yaml::read(&flow(body)).unwrap_or_else(|e| panic!("{}: {body}", e.message));
    let workflow = parse(&source, Some(&Names), jq).unwrap_or_else(|p| panic!("{p:?}: {body}"));
    let info = RunInfo { id: "run".into(), input, started_at: 0, heard: 0 };
    let (mut state, mut tasks, mut now) = (State::default(), BTreeMap::new(), 0);
    let mut flaky = 0;
    let mut event = Some(Event::Start);
    for _ in 0..50_000 {
        let e = event.take().unwrap_or(Event::Tick);
        let step = state.step(World { workflow: &workflow, jq, run: &info, now }, e);
        tasks.extend(step.tasks);
        // The state survives being stored.
        let stored = serde_json::to_string(&state).unwrap();
        state = serde_json::from_str(&stored).unwrap();
        if let Some(o) = state.outcome.clone() {
            return (o, tasks.into_values().collect(), now);
        }
        if step.more {
            continue;
        }
        let answer = state.calls().into_iter().find(|c| c.action != "hang").map(|call| {
            let result = match call.action.as_str() {
                "add" => Ok(json!(call.input["a"].as_i64().unwrap() + call.input["b"].as_i64().unwrap())),
                "fail" => Err(json!({"type": "https://serverlessworkflow.io/spec/1.0.0/errors/runtime", "status": call.input["status"], "title": "It failed", "detail": "as asked"})),
                "flaky" => {
                    flaky += 1;
                    if flaky <= call.input["times"].as_i64().unwrap() { Err(json!({"type": "x", "status": 503, "title": "Not yet"})) } else { Ok(json!({"after": flaky})) }
                }
                _ => Ok(call.input.clone()),
            };
            Event::Result { key: call.key, result }
        });
        match answer {
            Some(e) => event = Some(e),
            None => now = state.next_timer().expect("something to wait for"),
        }
    }
    panic!("no end: {body}");
}

#[test]
fn features() {
    let jq = Jq::new();
    let table: Vec<(&str, &str, Value, Value)> = vec![
        (
            "set",
            "do:\n- a: {set: {shape: circle, size: '${ .n }', list: [1, '${ .n }']}}",
            json!({"n": 2}),
            json!({"shape": "circle", "size": 2, "list": [1, 2]}),
        ),
        ("set by expression", "do:\n- a: {set: '${ .n + 1 }'}", json!({"n": 2}), json!(3)),
        ("call with", "do:\n- a: {call: add, with: {a: '${ .n }', b: 1}}", json!({"n": 2}), json!(3)),
        ("call without with takes the input", "do:\n- a: {call: echo}", json!([1]), json!([1])),
        (
            "sequence",
            "do:\n- r: {set: {c: '${ .c + [\"r\"] }'}}\n- g: {set: {c: '${ .c + [\"g\"] }'}}",
            json!({}),
            json!({"c": ["r", "g"]}),
        ),
        (
            "explicit flow",
            "do:\n- r: {set: {c: '${ .c + [\"r\"] }'}, then: g}\n- b: {set: {c: '${ .c + [\"b\"] }'}, then: end}\n- g: {set: {c: '${ .c + [\"g\"] }'}, then: b}",
            json!({}),
            json!({"c": ["r", "g", "b"]}),
        ),
        (
            "exit leaves the list",
            "do:\n- a: {do: [{x: {set: {v: 1}, then: exit}}, {y: {set: {v: 2}}}]}\n- b: {set: '${ . + {w: 3} }'}",
            json!({}),
            json!({"v": 1, "w": 3}),
        ),
        ("end ends from within", "do:\n- a: {do: [{x: {set: {v: 1}, then: end}}]}\n- b: {set: {v: 9}}", json!({}), json!({"v": 1})),
        ("if false skips", "do:\n- a: {if: '${ .go }', set: {v: 1}}", json!({"go": false}), json!({"go": false})),
        ("if true", "do:\n- a: {if: .go, set: {v: 1}}", json!({"go": true}), json!({"v": 1})),
        ("input.from", "do:\n- a: {input: {from: .u.id}, set: {id: '${ . }'}}", json!({"u": {"id": 7}}), json!({"id": 7})),
        ("input.from object", "do:\n- a: {input: {from: {k: '${ .u }'}}, set: '${ $input }'}", json!({"u": 7}), json!({"k": 7})),
        (
            "output.as",
            "do:\n- a: {call: echo, output: {as: .id}}\n- b: {call: echo, with: {id: 2}, output: {as: '{ids: [$input, .id]}'}}",
            json!({"id": 1}),
            json!({"ids": [1, 2]}),
        ),
        (
            "export",
            "do:\n- a: {set: {v: 1}, export: {as: '$context + {v: .v}'}}\n- b: {set: {got: '${ $context.v }'}}",
            json!({}),
            json!({"got": 1}),
        ),
        (
            "workflow input and output",
            "input: {from: .in}\noutput: {as: '{out: .}'}\ndo:\n- a: {set: '${ . + 1 }'}",
            json!({"in": 1}),
            json!({"out": 2}),
        ),
        (
            "for",
            "do:\n- l: {for: {each: color, in: .colors}, do: [{m: {set: {p: {c: '${ .p.c + [$color] }', i: '${ .p.i + [$index] }'}}}}]}",
            json!({"colors": ["r", "g", "b"]}),
            json!({"p": {"c": ["r", "g", "b"], "i": [0, 1, 2]}}),
        ),
        ("for while", "do:\n- l: {for: {in: '[range(10)]'}, while: '. < 3', do: [{m: {set: '${ . + 1 }'}}]}", json!(0), json!(3)),
        ("for of nothing", "do:\n- l: {for: {in: '[]'}, do: [{m: {set: {v: 1}}}]}", json!({"k": 1}), json!({"k": 1})),
        (
            "nested for",
            "do:\n- o: {for: {each: x, in: '[1,2]'}, do: [{i: {for: {each: y, in: '[10,20]'}, do: [{m: {set: '${ . + [$x * $y] }'}}]}}]}",
            json!([]),
            json!([10, 20, 20, 40]),
        ),
        (
            "fork",
            "do:\n- f: {fork: {branches: [{a: {call: add, with: {a: 1, b: 1}}}, {b: {set: 's'}}, {c: {do: [{d: {wait: PT1S}}]}}]}}"
                .replace("set: 's'", "set: '${ \"s\" }'")
                .leak(),
            json!({"i": 1}),
            json!([2, "s", {"i": 1}]),
        ),
        (
            "fork compete",
            "do:\n- f: {fork: {compete: true, branches: [{slow: {do: [{w: {wait: PT5S}}, {s: {set: {v: slow}}}]}}, {fast: {do: [{w: {wait: PT1S}}, {s: {set: {v: fast}}}]}}, {hang: {call: hang}}]}}",
            json!({}),
            json!({"v": "fast"}),
        ),
        (
            "a failing racer does not end the race",
            "do:\n- f: {fork: {compete: true, branches: [{bad: {raise: {error: {type: t, status: 500}}}}, {good: {do: [{w: {wait: PT1S}}, {s: {set: {v: 1}}}]}}]}}",
            json!({}),
            json!({"v": 1}),
        ),
        (
            "switch",
            "do:\n- s: {switch: [{d: {then: c}}, {x: {when: '.t == \"x\"', then: a}}]}\n- a: {set: {v: a}, then: end}\n- c: {set: {v: c}}",
            json!({"t": "x"}),
            json!({"v": "a"}),
        ),
        (
            "switch default",
            "do:\n- s: {switch: [{x: {when: '.t == \"x\"', then: a}}, {d: {then: c}}]}\n- a: {set: {v: a}, then: end}\n- c: {set: {v: c}}",
            json!({"t": "y"}),
            json!({"v": "c"}),
        ),
        (
            "switch without match goes on",
            "do:\n- s: {switch: [{x: {when: 'false', then: end}}]}\n- a: {set: {v: a}}",
            json!({}),
            json!({"v": "a"}),
        ),
        (
            "a loop by then",
            "do:\n- inc: {set: '${ . + 1 }'}\n- s: {switch: [{again: {when: '. < 5', then: inc}}, {done: {then: end}}]}",
            json!(0),
            json!(5),
        ),
        (
            "catch",
            "do:\n- t: {try: [{c: {call: fail, with: {status: 404}}}], catch: {errors: {with: {status: 404}}, as: err, do: [{h: {set: {s: '${ $err.status }', i: '${ $err.instance }'}}}]}}",
            json!({}),
            json!({"s": 404, "i": "/do/0/t/try/0/c"}),
        ),
        (
            "catch without do swallows",
            "do:\n- t: {try: [{c: {call: fail, with: {status: 404}}}], catch: {}}",
            json!({"k": 1}),
            json!({"k": 1}),
        ),
        (
            "catch when",
            "do:\n- t: {try: [{u: {try: [{c: {call: fail, with: {status: 500}}}], catch: {when: '$error.status == 404'}}}], catch: {exceptWhen: '$error.status == 404', do: [{h: {set: {outer: true}}}]}}",
            json!({}),
            json!({"outer": true}),
        ),
        (
            "retry",
            "do:\n- t: {try: [{c: {call: flaky, with: {times: 2}}}], catch: {retry: {delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 3}}}}}",
            json!({}),
            json!({"after": 3}),
        ),
        (
            "retry by name",
            "use: {retries: {r: {delay: {seconds: 1}, limit: {attempt: {count: 5}}}}}\ndo:\n- t: {try: [{c: {call: flaky, with: {times: 2}}}], catch: {retry: r}}",
            json!({}),
            json!({"after": 3}),
        ),
        (
            "retries used up, then do",
            "do:\n- t: {try: [{c: {call: flaky, with: {times: 9}}}], catch: {retry: {limit: {attempt: {count: 2}}}, do: [{h: {set: {gave: up}}}]}}",
            json!({}),
            json!({"gave": "up"}),
        ),
        (
            "attempt duration",
            "do:\n- t: {try: [{w: {wait: PT1H}}], catch: {retry: {limit: {attempt: {count: 2, duration: PT1S}}}, do: [{h: {set: {s: '${ $error.status }'}}}]}}",
            json!({}),
            json!({"s": 408}),
        ),
        (
            "time-out of a task",
            "do:\n- t: {try: [{w: {wait: PT1H, timeout: {after: PT1S}}}], catch: {errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout'}}, do: [{h: {set: {late: true}}}]}}",
            json!({}),
            json!({"late": true}),
        ),
        (
            "time-out by name",
            "use: {timeouts: {t: {after: PT1S}}}\ndo:\n- t: {try: [{w: {call: hang, timeout: t}}], catch: {do: [{h: {set: {late: true}}}]}}",
            json!({}),
            json!({"late": true}),
        ),
        (
            "raise by name",
            "use: {errors: {e: {type: 'urn:x', status: 418, title: '${ \"tea \" + .pot }'}}}\ndo:\n- t: {try: [{r: {raise: {error: e}}}], catch: {do: [{h: {set: '${ $error.title }'}}]}}",
            json!({"pot": "pot"}),
            json!("tea pot"),
        ),
        (
            "functions",
            "use: {functions: {twice: {do: [{a: {call: add, with: {a: '${ .n }', b: '${ .n }'}}}]}}}\ndo:\n- f: {call: twice, with: {n: '${ .x }'}}",
            json!({"x": 4}),
            json!(8),
        ),
        (
            "emit",
            "do:\n- e: {emit: {event: {with: {type: a.b, source: /x, data: '${ .d }'}}}, output: {as: del(.id)}}",
            json!({"d": 1}),
            json!({"type": "a.b", "source": "/x", "data": 1, "specversion": "1.0", "time": "1970-01-01T00:00:00.000Z"}),
        ),
        ("wait keeps data", "do:\n- w: {wait: {seconds: 5}}", json!({"k": 1}), json!({"k": 1})),
        ("wait by expression", "do:\n- w: {wait: '${ {seconds: .s} }'}", json!({"s": 2}), json!({"s": 2})),
        (
            "descriptors",
            "do:\n- a: {set: {n: '${ $task.name }', r: '${ $task.reference }', w: '${ $workflow.id }', i: '${ $workflow.input.k }', t: '${ $runtime.name }', d: '${ $workflow.definition.document.name }'}}",
            json!({"k": 1}),
            json!({"n": "a", "r": "/do/0/a", "w": "run", "i": 1, "t": "plenum", "d": "test"}),
        ),
        (
            "variables reach into nested tasks",
            "do:\n- l: {for: {each: x, in: '[1]'}, do: [{t: {try: [{r: {raise: {error: {type: t, status: 400}}}}], catch: {as: e, do: [{h: {set: '${ [$x, $e.status] }'}}]}}}]}",
            json!({}),
            json!([1, 400]),
        ),
        (
            "schema passes",
            "input: {schema: {document: {type: object, required: [n]}}}\ndo:\n- a: {set: '${ .n }'}",
            json!({"n": 1}),
            json!(1),
        ),
    ];
    for (name, body, input, expected) in table {
        let (outcome, ..) = play(&jq, body, input);
        assert_eq!(outcome.status, RunStatus::Succeeded, "{name}: {:?}", outcome.error);
        assert_eq!(outcome.output, expected, "{name}");
    }
}

#[test]
fn failures_have_type_status_and_instance() {
    let jq = Jq::new();
    let std = "https://serverlessworkflow.io/spec/1.0.0/errors/";
    for (name, body, kind, status, instance) in [
        ("raise", "do:\n- r: {raise: {error: {type: 'urn:mine', status: 400, title: Mine}}}", "urn:mine".to_owned(), 400, "/do/0/r"),
        ("expression", "do:\n- a: {set: {v: '${ .a.b }'}}", format!("{std}expression"), 400, "/do/0/a"),
        (
            "input schema",
            "do:\n- a: {input: {schema: {document: {type: string}}}, set: {v: 1}}",
            format!("{std}validation"),
            400,
            "/do/0/a",
        ),
        (
            "output schema",
            "do:\n- a: {set: {v: 1}, output: {schema: {document: {type: string}}}}",
            format!("{std}validation"),
            400,
            "/do/0/a",
        ),
        ("time-out of the workflow", "timeout: {after: PT1S}\ndo:\n- a: {wait: PT2S}", format!("{std}timeout"), 408, ""),
        ("endless loop", "do:\n- a: {set: {v: 1}, then: a}", format!("{std}runtime"), 500, ""),
        ("endless recursion", "use: {functions: {f: {call: f}}}\ndo:\n- a: {call: f}", format!("{std}runtime"), 500, "/use/functions/f"),
        ("not a list", "do:\n- l: {for: {in: '5'}, do: [{a: {set: {v: 1}}}]}", format!("{std}expression"), 400, "/do/0/l"),
        (
            "uncaught",
            "do:\n- t: {try: [{c: {call: fail, with: {status: 503}}}], catch: {errors: {with: {status: 404}}}}",
            format!("{std}runtime"),
            503,
            "/do/0/t/try/0/c",
        ),
        ("too large", "do:\n- a: {set: {v: '${ \"x\" * 2000000 }'}}", format!("{std}runtime"), 413, "/do/0/a"),
        (
            "all racers fail",
            "do:\n- f: {fork: {compete: true, branches: [{a: {raise: {error: {type: a, status: 1}}}}, {b: {raise: {error: {type: b, status: 2}}}}]}}",
            "b".to_owned(),
            2,
            "/do/0/f/fork/branches/1/b",
        ),
    ] {
        let (outcome, ..) = play(&jq, body, json!({"a": 1}));
        assert_eq!(outcome.status, RunStatus::Failed, "{name}");
        let e = outcome.error.unwrap();
        assert_eq!(e["type"], kind.as_str(), "{name}: {e}");
        assert_eq!(e["status"], status, "{name}: {e}");
        assert_eq!(e["instance"].as_str().unwrap_or(""), instance, "{name}: {e}");
    }
}

#[test]
fn retries_back_off() {
    let jq = Jq::new();
    for (backoff, expected) in [("constant", 4_000), ("linear", 10_000), ("exponential", 15_000)] {
        let body = format!(
            "do:\n- t: {{try: [{{c: {{call: flaky, with: {{times: 4}}}}}}], catch: {{retry: {{delay: PT1S, backoff: {{{backoff}: {{}}}}, limit: {{attempt: {{count: 4}}}}}}}}}}"
        );
        let (o, tasks, took) = play(&jq, &body, json!({}));
        assert_eq!((o.status, took), (RunStatus::Succeeded, expected), "{backoff}");
        let attempts: Vec<u32> = tasks.iter().filter(|t| t.name == "c").map(|t| t.attempt).collect();
        assert_eq!(attempts, [1, 2, 3, 4, 5]);
    }
    let body = "do:\n- t: {try: [{c: {call: flaky, with: {times: 99}}}], catch: {retry: {delay: PT10S, limit: {duration: PT1M}}}}";
    let (o, _, took) = play(&jq, body, json!({}));
    assert_eq!((o.status, took), (RunStatus::Failed, 60_000));
    let body = "do:\n- t: {try: [{c: {call: flaky, with: {times: 1}}}], catch: {retry: {delay: PT1S, jitter: {from: PT1S, to: PT2S}}}}";
    let (_, _, took) = play(&jq, body, json!({}));
    assert!((2_000..=3_000).contains(&took), "{took}");
}

#[test]
fn a_lost_race_cancels_the_others() {
    let jq = Jq::new();
    let (_, tasks, _) = play(&jq, "do:\n- f: {fork: {compete: true, branches: [{h: {call: hang}}, {w: {wait: PT1S}}]}}", json!({}));
    let status = |n: &str| tasks.iter().find(|t| t.name == n).unwrap().status;
    assert_eq!((status("h"), status("w"), status("f")), (TaskStatus::Cancelled, TaskStatus::Succeeded, TaskStatus::Succeeded));
}

#[test]
fn iterations_have_paths_and_parents() {
    let jq = Jq::new();
    let (_, tasks, _) = play(&jq, "do:\n- l: {for: {in: '[1,2]'}, do: [{x: {call: echo}}]}", json!({}));
    let paths: Vec<&str> = tasks.iter().map(|t| t.path.as_str()).collect();
    assert_eq!(paths, ["/do/0/l", "/do/0/l[0]/do/0/x", "/do/0/l[1]/do/0/x"]);
    assert!(tasks[1..].iter().all(|t| t.pointer == "/do/0/l/do/0/x" && t.parent == Some(tasks[0].id)));
}

#[test]
fn a_long_loop_is_linear() {
    let jq = Jq::new();
    let (o, tasks, _) = play(&jq, "do:\n- l: {for: {in: '[range(2000)]'}, do: [{x: {set: {n: '${ $index }'}}}]}", json!({}));
    assert_eq!(o.output, json!({"n": 1999}));
    assert_eq!(tasks.len(), 2001);
}

#[test]
fn problems_have_pointers() {
    let jq = Jq::new();
    for (body, pointer, word) in [
        ("do: []", "/do", "no task"),
        ("x: 1", "/do", "required"),
        ("do:\n- a: {sett: {v: 1}}", "/do/0/a", "not what to do"),
        ("do:\n- a: {set: {v: 1}, call: echo}", "/do/0/a", "several"),
        ("do:\n- a: {call: ecko}", "/do/0/a/call", "did you mean `echo`"),
        ("do:\n- a: {call: grpc, with: {method: get}}", "/do/0/a/call", "not supported"),
        ("do:\n- a: {call: http, with: {method: get}}", "/do/0/a/with/endpoint", "required"),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: {uri: 'ftp://h', authentication: {use: me}}}}",
            "/do/0/a/with/endpoint",
            "http://",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: {uri: 'http://h', authentication: {digest: {}}}}}",
            "/do/0/a/with/endpoint/authentication",
            "basic",
        ),
        ("do:\n- a: {set: {v: 1}, then: b}", "/do/0/a/then", "no task `b`"),
        ("do:\n- a: {set: {v: '${ .a | }'}}", "/do/0/a/set/v", "jq"),
        ("do:\n- a: {set: {v: '${ nope(.a) }'}}", "/do/0/a/set/v", "nope"),
        ("do:\n- a: {set: {v: '${ $item }'}}", "/do/0/a/set/v", "item"),
        ("do:\n- a: {wait: 30s}", "/do/0/a/wait", "PT30S"),
        ("do:\n- a: {listen: {to: {one: {}}}}", "/do/0/a/listen/to/one/with", "which event"),
        ("do:\n- a: {listen: {to: {one: {with: {typ: x}}}}}", "/do/0/a/listen/to/one/with/typ", "no attribute"),
        ("do:\n- a: {listen: {to: {one: {with: {type: x}}, any: []}}}", "/do/0/a/listen/to", "exactly one"),
        ("do:\n- a: {listen: {to: {all: [{with: {type: x}}], until: '${ true }'}}}", "/do/0/a/listen/to/until", "`any` only"),
        ("do:\n- a: {listen: {to: {any: []}}, foreach: {item: e}}", "/do/0/a/foreach/do", "tasks for each event"),
        ("do:\n- a: {run: {shell: {}}}", "/do/0/a/run/shell/command", "required"),
        ("do:\n- a: {run: {script: {language: cobol, code: x}}}", "/do/0/a/run/script/language", "python"),
        ("do:\n- a: {run: {container: {image: x}}}", "/do/0/a/run/container", "engine"),
        ("do:\n- a: {run: {workflow: {name: x, namespace: y}}}", "/do/0/a/run/workflow/version", "required"),
        ("do:\n- a: {set: {v: 1}}\n- a: {set: {v: 1}}", "/do/0/a", "twice"),
        ("do:\n- a: {set: {v: 1}, typo: 1}", "/do/0/a/typo", "unknown property"),
        ("do:\n- a: {for: {each: input, in: '[]'}, do: [{b: {set: {v: 1}}}]}", "/do/0/a/for/each", "taken"),
        ("do:\n- a: {try: [{b: {set: {v: 1}}}], catch: {retry: nope}}", "/do/0/a/catch/retry", "no retry policy"),
        ("do:\n- a: {raise: {error: nope}}", "/do/0/a/raise/error", "no error"),
        ("do:\n- a: {input: {schema: {document: {type: 5}}}, set: {v: 1}}", "/do/0/a/input/schema/document", "JSON Schema"),
        ("do:\n- a: {switch: [{x: {then: a}}, {y: {then: a}}]}", "/do/0/a/switch", "only one"),
        ("schedule: {cron: '* * * *'}\ndo:\n- a: {set: {v: 1}}", "/schedule/cron", "minute hour"),
        ("schedule: {every: PT0.1S}\ndo:\n- a: {set: {v: 1}}", "/schedule/every", "at least a second"),
        ("schedule: {on: {any: []}}\ndo:\n- a: {set: {v: 1}}", "/schedule/on", "name the events"),
        ("do:\n- a: {do: [{b: {fork: {branches: []}}}]}", "/do/0/a/do/0/b/fork/branches", "no branch"),
    ] {
        let source = yaml::read(&flow(body)).unwrap();
        let problems = parse(&source, Some(&Names), &jq).err().unwrap_or_default();
        assert!(problems.iter().any(|p| p.pointer == pointer && p.message.contains(word)), "{body}: {problems:?}");
    }
    assert!(
        parse(&yaml::read("do: [{a: {set: {v: 1}}}]").unwrap(), Some(&Names), &jq).unwrap_err().iter().any(|p| p.pointer == "/document")
    );
}
