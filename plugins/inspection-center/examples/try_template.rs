//! Tries a template on this machine: `cargo run --example try_template templates/linux-baseline.yaml [NAME=VALUE ...]`.
//! The names are the environment that an inspection would give a target, such as `PLENUM_PORT=5433`.

use std::process::{Command, ExitCode};

use inspection_center::check::driver::{DriverOptions, script};
use inspection_center::check::{frame, grade, score, validate};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: try_template TEMPLATE.yaml [NAME=VALUE ...]")?;
    let source = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let template = validate::read(&source)
        .map_err(|problems| problems.iter().map(|p| format!("{path}{}: {}\n", p.pointer, p.message)).collect::<String>())?;
    let options = DriverOptions::new("a1b2c3d4e5f6");
    let text = script(&template, &options);
    if std::env::var_os("SHOW_SCRIPT").is_some() {
        println!("{text}");
        return Ok(());
    }
    let mut command = Command::new("bash");
    command.arg("-c").arg(&text);
    for pair in args {
        let (name, value) = pair.split_once('=').ok_or("the environment is given as NAME=VALUE")?;
        command.env(name, value);
    }
    let output = command.output().map_err(|error| format!("bash: {error}"))?;
    let answer = frame::read(&String::from_utf8_lossy(&output.stdout), &options.nonce)
        .map_err(|error| format!("{error}\n{}", String::from_utf8_lossy(&output.stderr)))?;
    let (results, evidence) = grade::target(&template, &answer);
    for result in &results {
        println!("{:<14} {:<22} {:>6} ms  {}", format!("{:?}", result.status), result.check, result.duration_ms, result.value.en);
        for item in &result.items {
            println!("{:>15} {:?} {}", "", item.level, item.message.en);
        }
        if let Some(evidence) =
            evidence.iter().find(|evidence| evidence.check == result.check).filter(|_| std::env::var_os("EVIDENCE").is_some())
        {
            for line in evidence.stdout.lines().take(12).chain(evidence.stderr.lines().take(4)) {
                println!("{:>15} | {line}", "");
            }
        }
    }
    let counts = score::Counts::of(&results);
    println!(
        "score {:?}, {counts:?}, {} ms, {} bytes of script, {} bytes of answer",
        counts.score(),
        answer.duration_ms,
        text.len(),
        output.stdout.len()
    );
    Ok(())
}
