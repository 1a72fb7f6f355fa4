//! Takes the driver's answer apart. See `driver.sh` for the other side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a check's command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It ran to its end.
    Done,
    /// It was killed after its time.
    TimedOut,
    /// The whole script's time was over before it was started.
    NotRun,
}

/// One check's raw answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCheck {
    /// The check's id, as the script was given it.
    pub id: String,
    /// How it ended.
    pub ended: Ended,
    /// The exit code; above 128 a signal.
    pub exit_code: i32,
    /// How long it took.
    pub duration_ms: u64,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// Why it was skipped, in its own words.
    pub why: String,
}

/// The answer of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// One for each check of the script.
    pub checks: Vec<RawCheck>,
    /// How long all of them took.
    pub duration_ms: u64,
}

/// Reads a frame out of a job's output. The error is a sentence for the report.
pub fn read(output: &str, nonce: &str) -> Result<Frame, String> {
    let failed = format!("PLENUM-INSPECT-FAILED {nonce} ");
    if let Some(reason) = output.lines().find_map(|line| line.strip_prefix(failed.as_str())) {
        return Err(reason.trim().to_owned());
    }
    let head = format!("PLENUM-INSPECT 1 {nonce} ");
    let mut lines = output.lines();
    let counts = lines
        .by_ref()
        .find_map(|line| line.strip_prefix(head.as_str()))
        .ok_or("the output has no answer of the inspection script in it: was the script stopped, or its output cut?")?;
    let mut counts = counts.split(' ');
    let count: usize = counts.next().and_then(|text| text.parse().ok()).ok_or("the answer's first line is damaged")?;
    let duration_ms = counts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut heads = Vec::new();
    for _ in 0..count {
        let line = lines.next().ok_or("the answer ends too early")?;
        heads.push(
            check_line(line).ok_or_else(|| format!("a line of the answer is damaged: {:?}", line.chars().take(80).collect::<String>()))?,
        );
    }
    if lines.next() != Some("data") {
        return Err("the answer is damaged after its list of checks".into());
    }
    let end = format!("end {nonce}");
    let mut encoded = String::new();
    let mut complete = false;
    for line in lines {
        if line == end {
            complete = true;
            break;
        }
        encoded.push_str(line.trim_end());
    }
    if !complete {
        return Err("the answer was cut before its end: the target's output limit is too small, or the script was stopped".into());
    }
    let data = STANDARD.decode(encoded.as_bytes()).map_err(|error| format!("the answer's data is damaged: {error}"))?;
    let mut rest = data.as_slice();
    let mut take = |size: usize| -> Result<String, String> {
        let (part, after) = rest.split_at_checked(size).ok_or("the answer's data is shorter than announced")?;
        rest = after;
        Ok(String::from_utf8_lossy(part).into_owned())
    };
    let mut checks = Vec::with_capacity(heads.len());
    for (id, ended, exit_code, duration_ms, sizes) in heads {
        let [out, err, why] = sizes;
        checks.push(RawCheck { id, ended, exit_code, duration_ms, stdout: take(out)?, stderr: take(err)?, why: take(why)? });
    }
    Ok(Frame { checks, duration_ms })
}

type Head = (String, Ended, i32, u64, [usize; 3]);

fn check_line(line: &str) -> Option<Head> {
    let mut parts = line.strip_prefix("check ")?.split(' ');
    let id = parts.next()?.to_owned();
    let ended = match parts.next()? {
        "done" => Ended::Done,
        "timeout" => Ended::TimedOut,
        "unrun" => Ended::NotRun,
        _ => return None,
    };
    let exit_code = parts.next()?.parse().ok()?;
    let duration_ms = parts.next()?.parse().ok()?;
    let mut size = || parts.next()?.parse().ok();
    let sizes = [size()?, size()?, size()?];
    Some((id, ended, exit_code, duration_ms, sizes))
}
