//! One script for all checks of a template, so that a target costs one process start and one answer whatever the number of checks.

use super::template::Template;

/// How a script behaves.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// A word that nobody on the target can guess beforehand; it marks the driver's own lines.
    pub nonce: String,
    /// Checks at once.
    pub parallel: u32,
    /// Kilobytes of output that one check may write, to each of its two streams.
    pub output_kb: u32,
    /// Seconds after which no further check is started.
    pub deadline_s: u32,
}

impl DriverOptions {
    /// The defaults with a nonce.
    pub fn new(nonce: impl Into<String>) -> Self {
        Self { nonce: nonce.into(), parallel: 4, output_kb: 32, deadline_s: 240 }
    }

    /// Seconds after which the job may give up: the driver has answered by then unless the machine hangs.
    pub fn job_timeout_s(&self, template: &Template) -> u32 {
        let longest = template.checks.iter().map(|check| check.timeout).max().unwrap_or(0);
        self.deadline_s + longest + 30
    }
}

/// The script. Everything from a template goes in quoted, so a wrong command can break only its own check.
pub fn script(template: &Template, options: &DriverOptions) -> String {
    let mut checks = String::new();
    // The slowest first: a check of ten seconds that starts last would keep everybody waiting for it alone.
    let mut order: Vec<_> = template.checks.iter().collect();
    order.sort_by_key(|check| std::cmp::Reverse(check.timeout));
    for (at, check) in order.into_iter().enumerate() {
        let mut code = String::new();
        for param in &check.params {
            code.push_str(&format!("P_{}={}\n", param.name, quote(&param.default)));
        }
        code.push_str(check.command.trim_end());
        checks.push_str(&format!("ID[{at}]={} LIMIT[{at}]={} CODE[{at}]={}\n", quote(&check.id), check.timeout, quote(&code)));
    }
    // Texts of a template go in last: what they contain is never taken for a mark of this file.
    let frame = include_str!("driver.sh")
        .replace("@NONCE@", &options.nonce.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
        .replace("@PARALLEL@", &options.parallel.to_string())
        .replace("@OUTPUT_KB@", &options.output_kb.to_string())
        .replace("@DEADLINE_MS@", &(u64::from(options.deadline_s) * 1000).to_string());
    let (before, rest) = frame.split_once("@CHECKS@").unwrap_or((&frame, ""));
    let (between, after) = rest.split_once("@PRELUDE@").unwrap_or((rest, ""));
    [before, &checks, between, &quote(template.prelude.trim_end()), after].concat()
}

/// A shell word in single quotes.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}
