//! The driver script on a real bash: limits, forgery, broken commands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::process::Command;
use std::time::{Duration, Instant};

use inspection_center::check::driver::{DriverOptions, script};
use inspection_center::check::frame::{self, Ended, Frame};
use inspection_center::check::grade::{self, Status};
use inspection_center::check::template::Template;
use inspection_center::check::validate;

fn template(checks: &[(&str, u32, &str)]) -> Template {
    let checks: Vec<_> = checks
        .iter()
        .map(|(id, timeout, command)| {
            serde_json::json!({ "id": id, "title": id, "timeout": timeout, "command": command, "parse": { "kind": "number" },
            "thresholds": [{ "level": "fatal", "field": "value", "op": ">", "value": 100, "message": "{value}" }] })
        })
        .collect();
    validate::from_value(
        serde_json::json!({ "id": "tt", "title": "T", "model": "host", "prelude": "helper() { echo 7; }", "checks": checks }),
    )
    .unwrap()
}

fn ask(template: &Template, options: &DriverOptions) -> Frame {
    let output = Command::new("bash").arg("-c").arg(script(template, options)).output().unwrap();
    frame::read(&String::from_utf8_lossy(&output.stdout), &options.nonce)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn each_check_has_its_own_time_and_its_children_die_with_it() {
    let mark = format!("98{}", std::process::id());
    let slow = format!("echo 1; (sleep {mark} & sleep {mark}) | cat");
    let template = template(&[("slow", 1, &slow), ("quick", 5, "helper"), ("deaf", 1, "trap '' TERM INT; while :; do sleep 0.1; done")]);
    let began = Instant::now();
    let answer = ask(&template, &DriverOptions::new("n0nce"));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let of = |id: &str| answer.checks.iter().find(|check| check.id == id).unwrap();
    assert_eq!([of("slow").ended, of("quick").ended, of("deaf").ended], [Ended::TimedOut, Ended::Done, Ended::TimedOut]);
    assert_eq!(of("quick").stdout, "7\n");
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    assert!(!left.into_iter().any(|line| line == format!("sleep\0{mark}\0").into_bytes()), "a child of the slow check is left");
}

#[test]
fn output_cannot_forge_the_frame() {
    let forged = "printf 'PLENUM-INSPECT 1 n0nce 1 5\\ncheck honest done 0 1 2 0 0\\ndata\\nMQo=\\nend n0nce\\nPLENUM-INSPECT-FAILED n0nce gotcha\\n'; printf '\\377\\000bin\\n'; echo end n0nce >&2";
    let template = template(&[("liar", 5, forged), ("honest", 5, "echo 500")]);
    let answer = ask(&template, &DriverOptions::new("n0nce"));
    assert_eq!(answer.checks.len(), 2);
    let (results, _) = grade::target(&template, &answer);
    assert_eq!(results[1].status, Status::Fatal);
}

#[test]
fn a_flood_is_cut_and_hurts_nobody_else() {
    let template = template(&[("flood", 10, "yes flood"), ("fine", 5, "echo 3")]);
    let (results, _) = grade::target(&template, &ask(&template, &DriverOptions::new("n0nce")));
    assert_eq!((results[0].status, results[1].status), (Status::Error, Status::Ok));
    assert!(results[0].value.en.contains("more than is allowed"), "{}", results[0].value.en);
}

#[test]
fn a_command_that_is_no_bash_breaks_only_itself() {
    let template = template(&[
        ("broken", 5, "if then ( '"),
        ("exits", 5, "exit 3"),
        ("quotes", 5, "x='a'\"'\"'b'; echo ${#x}"),
        ("killer", 5, "kill -9 $BASHPID"),
        ("fine", 5, "echo 3"),
    ]);
    let (results, _) = grade::target(&template, &ask(&template, &DriverOptions::new("n0nce")));
    let states: Vec<_> = results.iter().map(|result| result.status).collect();
    assert_eq!(states, [Status::Error, Status::Error, Status::Ok, Status::Error, Status::Ok]);
    assert!(results[1].value.en.contains("exit code 3"));
}

#[test]
fn skipped_and_not_applicable_carry_their_reason() {
    let template = template(&[("tool", 5, "need surely-not-installed; echo 1"), ("na", 5, "na 'no swap here'")]);
    let (results, _) = grade::target(&template, &ask(&template, &DriverOptions::new("n0nce")));
    assert_eq!((results[0].status, results[0].value.en.as_str()), (Status::Skipped, "needs surely-not-installed, which is not installed"));
    assert_eq!((results[1].status, results[1].value.en.as_str()), (Status::NotApplicable, "no swap here"));
}

#[test]
fn past_its_deadline_no_check_is_started_and_each_says_so() {
    let template = template(&[("one", 5, "sleep 1.2; echo 1"), ("two", 5, "echo 2")]);
    let options = DriverOptions { parallel: 1, deadline_s: 1, ..DriverOptions::new("n0nce") };
    let answer = ask(&template, &options);
    assert_eq!((answer.checks[0].ended, answer.checks[1].ended), (Ended::Done, Ended::NotRun));
}

#[test]
fn a_cut_answer_is_named_as_such() {
    let template = template(&[("one", 5, "echo 1")]);
    let output = Command::new("bash").arg("-c").arg(script(&template, &DriverOptions::new("n0nce"))).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let cut = &text[..text.len() - 12];
    assert!(frame::read(cut, "n0nce").unwrap_err().contains("cut before its end"));
    assert!(frame::read(&text, "other").unwrap_err().contains("no answer"));
    assert!(frame::read("", "n0nce").unwrap_err().contains("no answer"));
}
