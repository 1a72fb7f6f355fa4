//! Reading of `/proc`: only what the agent needs, without a crate that keeps a copy of the whole table in memory.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// A process as `/proc/<pid>/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// `R`, `S`, `D`, `Z`, ...
    pub state: char,
}

/// Reads one process; `None` when it is gone.
#[must_use]
pub fn process(pid: i32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<Process> {
    // The command stands in parentheses and may hold blanks and parentheses itself: what follows the last one is safe to split.
    let (head, tail) = stat.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, state })
}

/// All process ids.
#[must_use]
pub fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Living descendants of `root`, itself excluded. Zombies are left out: they are dead, only not yet reaped by their parent.
#[must_use]
pub fn descendants(root: i32) -> Vec<i32> {
    let table: Vec<Process> = pids().into_iter().filter_map(process).collect();
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in &table {
        children.entry(process.parent).or_default().push(process);
    }
    let mut seen = HashSet::from([root]);
    let mut pending = vec![root];
    let mut found = Vec::new();
    while let Some(parent) = pending.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child.pid) {
                pending.push(child.pid);
                if child.state != 'Z' {
                    found.push(child.pid);
                }
            }
        }
    }
    found
}

/// Processes whose initial environment holds `NAME=value`. Used where the family tree is lost: after the supervisor of a script was killed.
#[must_use]
pub fn with_environment(name: &str, value: &str) -> Vec<i32> {
    let wanted = format!("{name}={value}").into_bytes();
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let holds =
        |pid: i32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| environ.split(|b| *b == 0).any(|entry| entry == wanted));
    pids().into_iter().filter(|pid| *pid != me && holds(*pid)).collect()
}

/// A field of `/proc/<pid>/status` or of `/proc/meminfo`, as text.
#[must_use]
pub fn field(path: impl AsRef<Path>, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

/// A field that is given in `kB`, in bytes.
#[must_use]
pub fn field_bytes(path: impl AsRef<Path>, name: &str) -> Option<u64> {
    field(path, name)?.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Load average of the last minute.
#[must_use]
pub fn load_1m() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn a_command_with_parentheses_is_no_trap() {
        let found = parse_stat("42 (a) R 1 (b)) S 7 42 42 0 -1").unwrap();
        assert_eq!(found, Process { pid: 42, parent: 7, state: 'S' });
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn a_child_is_a_descendant() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(descendants(me).contains(&i32::try_from(child.id()).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
