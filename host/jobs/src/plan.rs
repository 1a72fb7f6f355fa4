//! Pure decisions: what is a valid request, what an execution's targets add up to, how output is bounded.

pub mod fault;
pub mod strategy;

use std::collections::BTreeMap;

use crate::JobsError;
use crate::model::{ExecutionStatus, RunRequest, Summary, TargetStatus};

/// Longest script.
pub const MAX_SCRIPT: usize = 1024 * 1024;
/// Most targets of one execution.
pub const MAX_TARGETS: usize = 50_000;
/// Longest time limit: a day.
pub const MAX_TIMEOUT_S: u32 = 24 * 3600;
/// Longest wait for an offline agent: as long as agents remember keys.
pub const MAX_WAIT_S: u32 = 7 * 24 * 3600;
/// Most output kept for a target.
pub const MAX_OUTPUT: u64 = 64 * 1024 * 1024;
/// Environment and arguments together. Linux refuses an argument list of more than about 2 MiB, and half of it is the base.
pub const MAX_ENV_ARGS: usize = 256 * 1024;
const MAX_NAME: usize = 200;
const MAX_KEY: usize = 300;

/// A request with its defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Seconds.
    pub timeout_s: u32,
    /// Seconds.
    pub wait_s: u32,
    /// Bytes.
    pub output_limit: u64,
    /// 0 means all.
    pub concurrency: u32,
}

fn text(field: &str, value: &str, max: usize) -> Result<(), JobsError> {
    if value.len() > max {
        return Err(JobsError::invalid("jobs.too_long", field, format!("{} bytes, and {max} is the most", value.len())));
    }
    // A NUL ends a C string: what runs would not be what was shown.
    if value.contains('\0') {
        return Err(JobsError::invalid("jobs.nul_byte", field, "contains a NUL byte, which no process can be given"));
    }
    Ok(())
}

fn env_size(field: &str, env: &BTreeMap<String, String>) -> Result<usize, JobsError> {
    let mut size = 0;
    for (name, value) in env {
        let good = name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
        if name.is_empty() || !good {
            return Err(JobsError::invalid(
                "jobs.bad_env_name",
                field,
                format!("{name:?} is no name of an environment variable; use letters, digits and _, not starting with a digit"),
            ));
        }
        text(&format!("{field}/{name}"), value, 128 * 1024)?;
        size += name.len() + value.len() + 2;
    }
    Ok(size)
}

fn range(field: &str, value: u32, max: u32) -> Result<u32, JobsError> {
    if value == 0 || value > max {
        return Err(JobsError::invalid("jobs.out_of_range", field, format!("{value} is not between 1 and {max}")));
    }
    Ok(value)
}

/// Checks a request and fills in its defaults.
pub fn limits(r: &RunRequest) -> Result<Limits, JobsError> {
    text("/name", &r.name, MAX_NAME)?;
    if r.script.content.trim().is_empty() {
        return Err(JobsError::invalid("jobs.empty_script", "/script/content", "the script is empty"));
    }
    text("/script/content", &r.script.content, MAX_SCRIPT)?;
    let mut size = env_size("/env", &r.env)?;
    for (i, arg) in r.args.iter().enumerate() {
        text(&format!("/args/{i}"), arg, 128 * 1024)?;
        size += arg.len() + 1;
    }
    let mut own = 0;
    for (i, n) in r.targets.nodes.iter().enumerate() {
        own = own.max(env_size(&format!("/targets/nodes/{i}/env"), &n.env)?);
    }
    if size + own > MAX_ENV_ARGS {
        return Err(JobsError::invalid(
            "jobs.too_long",
            "/env",
            format!(
                "arguments and environment are {} bytes together, and {MAX_ENV_ARGS} is the most; put large data into the script",
                size + own
            ),
        ));
    }
    for (field, value) in [("/user", &r.user), ("/origin", &r.origin)] {
        text(field, value.as_deref().unwrap_or_default(), MAX_NAME)?;
    }
    text("/cwd", r.cwd.as_deref().unwrap_or_default(), 4096)?;
    if r.cwd.as_deref().is_some_and(|d| !d.is_empty() && !d.starts_with('/')) {
        return Err(JobsError::invalid("jobs.relative_cwd", "/cwd", "the working directory must be an absolute path"));
    }
    if let Some(key) = &r.key {
        text("/key", key, MAX_KEY)?;
        if key.is_empty() {
            return Err(JobsError::invalid("jobs.empty_key", "/key", "the key is empty; leave it out, or give one"));
        }
    }
    let timeout_s = range("/timeout_s", r.timeout_s.unwrap_or(3600), MAX_TIMEOUT_S)?;
    let wait_s = match r.wait_s {
        Some(0) => 0,
        wait => range("/wait_s", wait.unwrap_or(timeout_s), MAX_WAIT_S)?,
    };
    r.strategy.check()?;
    let output_limit = r.output_limit.unwrap_or(4 * 1024 * 1024);
    if !(1..=MAX_OUTPUT).contains(&output_limit) {
        return Err(JobsError::invalid("jobs.out_of_range", "/output_limit", format!("{output_limit} is not between 1 and {MAX_OUTPUT}")));
    }
    let listed = r.targets.nodes.len().max(r.targets.instances.len());
    if listed > MAX_TARGETS {
        return Err(too_many(listed));
    }
    Ok(Limits { timeout_s, wait_s, output_limit, concurrency: r.concurrency.unwrap_or(0) })
}

/// More targets than one execution takes.
pub fn too_many(n: usize) -> JobsError {
    JobsError::invalid(
        "jobs.too_many_targets",
        "/targets",
        format!("{n} targets, and {MAX_TARGETS} is the most; narrow the filter or split the run"),
    )
}

impl Summary {
    /// Counts `n` more targets of a status.
    pub fn add(&mut self, status: TargetStatus, n: u64) {
        self.total += n;
        let field = match status {
            TargetStatus::Pending => &mut self.pending,
            TargetStatus::Waiting => &mut self.waiting,
            TargetStatus::Running => &mut self.running,
            TargetStatus::Succeeded => &mut self.succeeded,
            TargetStatus::Failed => &mut self.failed,
            TargetStatus::TimedOut => &mut self.timed_out,
            TargetStatus::Cancelled => &mut self.cancelled,
            TargetStatus::Lost => &mut self.lost,
            TargetStatus::Rejected => &mut self.rejected,
        };
        *field += n;
    }

    /// What the targets add up to.
    pub fn status(&self, cancelled: bool) -> ExecutionStatus {
        if self.pending + self.waiting + self.running > 0 {
            ExecutionStatus::Running
        } else if self.succeeded == self.total {
            ExecutionStatus::Succeeded
        } else if cancelled && self.cancelled + self.lost > 0 {
            ExecutionStatus::Cancelled
        } else if self.succeeded > 0 {
            ExecutionStatus::Partial
        } else {
            ExecutionStatus::Failed
        }
    }
}

/// How many of `len` new bytes are kept when `kept` are there already.
pub fn keep(kept: u64, len: usize, limit: u64) -> usize {
    usize::try_from(limit.saturating_sub(kept)).unwrap_or(usize::MAX).min(len)
}

/// Text of output for people: invalid UTF-8 is shown as such, and a character that the end cuts through is left for the next piece.
pub fn lossy(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Where to cut `data` so that no UTF-8 character is split at its end. Bytes that are no UTF-8 at all are not held back.
pub fn whole_chars(data: &[u8]) -> usize {
    let n = data.len();
    for back in 1..=n.min(3) {
        let Some(&b) = data.get(n - back) else { return n };
        if b & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        let need = match b {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if need > back { n - back } else { n };
    }
    n
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn request(json: serde_json::Value) -> RunRequest {
        let mut base = serde_json::json!({"script": {"language": "sh", "content": "true"}, "targets": {}});
        base.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn limits_are_held() {
        let code = |j| limits(&request(j)).unwrap_err().code();
        assert_eq!(code(serde_json::json!({"script": {"language": "sh", "content": "x".repeat(MAX_SCRIPT + 1)}})), "jobs.too_long");
        assert_eq!(code(serde_json::json!({"script": {"language": "sh", "content": " \n"}})), "jobs.empty_script");
        assert_eq!(code(serde_json::json!({"timeout_s": 0})), "jobs.out_of_range");
        assert_eq!(code(serde_json::json!({"timeout_s": 86401})), "jobs.out_of_range");
        assert_eq!(code(serde_json::json!({"env": {"1A": "x"}})), "jobs.bad_env_name");
        assert_eq!(code(serde_json::json!({"env": {"A": "x\u{0}"}})), "jobs.nul_byte");
        assert_eq!(code(serde_json::json!({"args": ["x".repeat(100_000), "x".repeat(100_000), "x".repeat(100_000)]})), "jobs.too_long");
        assert_eq!(code(serde_json::json!({"cwd": "tmp"})), "jobs.relative_cwd");
        let l = limits(&request(serde_json::json!({"timeout_s": 60}))).unwrap();
        assert_eq!(l, Limits { timeout_s: 60, wait_s: 60, output_limit: 4 << 20, concurrency: 0 });
    }

    #[test]
    fn targets_add_up() {
        let sum = |list: &[TargetStatus]| {
            let mut s = Summary::default();
            list.iter().for_each(|t| s.add(*t, 1));
            s
        };
        use TargetStatus::*;
        assert_eq!(sum(&[Succeeded, Waiting]).status(false), ExecutionStatus::Running);
        assert_eq!(sum(&[Succeeded, Succeeded]).status(true), ExecutionStatus::Succeeded);
        assert_eq!(sum(&[Succeeded, Lost]).status(false), ExecutionStatus::Partial);
        assert_eq!(sum(&[TimedOut, Lost]).status(false), ExecutionStatus::Failed);
        assert_eq!(sum(&[Succeeded, Cancelled]).status(true), ExecutionStatus::Cancelled);
    }

    #[test]
    fn characters_are_not_split() {
        let text = "aé漢😀".as_bytes();
        for end in 0..=text.len() {
            let cut = whole_chars(&text[..end]);
            assert!(std::str::from_utf8(&text[..cut]).is_ok(), "{end}");
            assert!(end - cut < 4);
        }
        assert_eq!(whole_chars(&[0xff, 0xfe]), 2);
        assert_eq!(keep(5, 10, 8), 3);
        assert_eq!(keep(9, 10, 8), 0);
    }
}
