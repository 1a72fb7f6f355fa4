//! What a command does with its words: which rules see it, and what it runs in turn.

use super::walk::{Command, Script};
use super::{Input, MOST_VALUES, MOST_WORDS, Reader, UNKNOWN, Value, outputs};
use crate::model::Language;
use crate::safety::foreign;
use crate::safety::rules::Seen;

/// Ways that the words of one command can go together.
const MOST_WAYS: usize = 2 * MOST_VALUES;

/// What only runs the command that follows its own options: options that have a value, and how many words stand before the command.
const WRAPPERS: &[(&str, &[&str], usize)] = &[
    ("sudo", &["-u", "-g", "-p", "-C", "-h", "-r", "-t", "-U", "-D", "-T", "-R", "--user", "--group", "--chdir", "--host"], 0),
    ("doas", &["-u", "-C", "-a"], 0),
    ("env", &["-u", "-C", "--unset", "--chdir"], 0),
    ("nohup", &[], 0),
    ("setsid", &[], 0),
    ("builtin", &[], 0),
    ("command", &[], 0),
    ("exec", &["-a"], 0),
    ("nice", &["-n", "--adjustment"], 0),
    ("ionice", &["-c", "-n", "--class", "--classdata"], 0),
    ("chrt", &[], 1),
    ("taskset", &[], 1),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("time", &["-f", "-o"], 0),
    ("timeout", &["-s", "-k", "--signal", "--kill-after"], 1),
    ("chroot", &["--userspec", "--groups"], 1),
    ("strace", &["-o", "-e", "-p", "-s"], 0),
    ("ltrace", &["-o", "-e", "-p", "-s"], 0),
    ("unshare", &["-S", "-G", "-R", "-w"], 0),
    ("nsenter", &["-t", "-S", "-G"], 0),
    ("systemd-run", &["-p", "-u", "-M", "--unit", "--property", "--slice"], 0),
    ("systemd-inhibit", &[], 0),
    ("busybox", &[], 0),
    ("toybox", &[], 0),
    ("numactl", &[], 0),
    ("setarch", &[], 0),
    ("faketime", &[], 1),
    ("fakeroot", &[], 0),
    ("runcon", &["-t", "-u", "-r", "-l"], 0),
    ("setpriv", &["--reuid", "--regid"], 0),
    ("cgexec", &["-g"], 0),
    ("flock", &["-w", "-E", "--timeout"], 1),
    ("unbuffer", &[], 0),
    ("catchsegv", &[], 0),
];
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash", "fish", "tcsh", "csh"];
/// Others whose program is read from their input, and the option before a program as a word.
const INTERPRETERS: &[(&str, &str)] =
    &[("python", "-c"), ("perl", "-e"), ("ruby", "-e"), ("node", "-e"), ("php", "-r"), ("lua", "-e"), ("pwsh", "-c")];

impl Reader<'_, '_> {
    /// Looks at a command, runs what it runs, and answers what it puts out.
    pub(super) fn command(&mut self, script: &Script, command: &Command, input: Input, branch: bool) -> Input {
        self.commands += 1;
        if !self.goes_on(script, command.at) {
            return Input { from: vec!["?".to_owned()], text: None, at: None };
        }
        for (name, more, w) in &command.assigns {
            let values = self.joined(script, w);
            self.assign(name, values, *more, branch || !command.words.is_empty());
        }
        let (mut writes, mut input) = (Vec::new(), input);
        for r in &command.redirects {
            if let Some(h) = &r.heredoc {
                input = Input { from: Vec::new(), text: self.heredoc(script, &h.body, h.at), at: Some(script.place(h.at).at) };
                continue;
            }
            let Some(w) = &r.target else { continue };
            let values = self.joined(script, w);
            match r.op {
                "<<<" => {
                    let v = values.into_iter().next().unwrap_or_else(Value::unknown);
                    input = Input { text: Some(format!("{}\n", v.text)), from: v.from, at: None };
                }
                "<" => {
                    let v = values.into_iter().next().unwrap_or_else(Value::unknown);
                    input = self.process(&v.text).unwrap_or(Input { from: vec!["file".to_owned()], text: None, at: None });
                }
                "<>" | ">" | ">>" | ">|" | "&>" | "&>>" | ">&" => writes.extend(values.into_iter().map(|v| v.text)),
                _ => {}
            }
        }
        let mut ways: Vec<Vec<Value>> = vec![Vec::new()];
        for w in &command.words {
            let choices = self.expand(script, w);
            if ways.first().is_some_and(|way| way.len() >= MOST_WORDS) {
                self.tell("unseen-too-much", script, command.at);
                break;
            }
            if let [c] = choices.as_slice() {
                // What grows without end is not a command that anybody wrote.
                ways.iter_mut().for_each(|way| way.extend(c.iter().take(1000).cloned()));
                continue;
            }
            let mut next = Vec::new();
            for way in &ways {
                for c in &choices {
                    if next.len() < MOST_WAYS {
                        let mut way = way.clone();
                        way.extend(c.iter().take(1000).cloned());
                        next.push(way);
                    }
                }
            }
            ways = next;
        }
        let mut out = Input::default();
        for (i, way) in ways.into_iter().enumerate() {
            if way.is_empty() {
                let cwd = self.cwd.clone();
                let seen = Seen { name: "", writes: &writes, cwd: cwd.as_deref(), ..Seen::default() };
                self.match_rules(script, command.at, &seen);
                out.text = None;
                continue;
            }
            let printed = self.invoke(script, command.at, &way, &writes, &input);
            let name = base(&way.first().map(|v| v.text.clone()).unwrap_or_default()).to_owned();
            // What only passes on comes from where that comes from.
            if [
                "cat", "tee", "tac", "head", "tail", "grep", "sed", "awk", "tr", "sort", "gunzip", "gzip", "zcat", "xz", "base64",
                "openssl", "xxd", "cut",
            ]
            .contains(&name.as_str())
            {
                out.from.extend(input.from.iter().cloned());
            }
            out.from.push(name);
            out.text = if i == 0 { printed } else { None };
        }
        out.from.truncate(50);
        out
    }

    /// What stands behind a name that `<(...)` was given here.
    fn process(&self, name: &str) -> Option<Input> {
        self.processes.get(name.strip_prefix("/dev/fd/plenum-")?.parse::<usize>().ok()?).cloned()
    }

    fn match_rules(&mut self, script: &Script, at: usize, seen: &Seen<'_>) -> bool {
        let rules = self.found.rules;
        let mut any = false;
        for c in rules.iter().filter(|c| c.sees(seen)) {
            self.found.add(&c.rule, &script.place(at));
            any = true;
        }
        any
    }

    /// One command with known or unknown words. Answers what it prints, if that is known.
    fn invoke(&mut self, script: &Script, at: usize, argv: &[Value], writes: &[String], input: &Input) -> Option<String> {
        self.commands += 1;
        if !self.goes_on(script, at) {
            return None;
        }
        let (first, rest) = argv.split_first()?;
        let name = base(&first.text);
        if name.is_empty() {
            return None;
        }
        if name.contains(UNKNOWN) {
            self.tell("unseen-command", script, at);
            // `$SUDO rm ...`: what may come before a command.
            let next = rest.first().is_some_and(|w| !w.text.starts_with('-') && w.is_known());
            return if next && self.deeper() { self.back(|r| r.invoke(script, at, rest, writes, input)) } else { None };
        }
        if let Some((body, _)) = self.functions.get(name).cloned()
            && !self.calls.iter().any(|c| c == name)
        {
            if self.deeper() {
                let kept = self.args.replace(rest.to_vec());
                self.calls.push(name.to_owned());
                self.depth -= 1;
                self.script(&body, input);
                self.calls.pop();
                self.args = kept;
            }
            return None;
        }
        if let Some(text) = self.aliases.get(name).cloned() {
            let mut text = text;
            for w in rest {
                text.push(' ');
                text.push_str(&quote(&w.text));
            }
            let inner = script.within(&text, at, false, Some("alias"));
            self.aliases.remove(name);
            self.script(&inner, input);
            return None;
        }
        let words: Vec<String> = rest.iter().map(|v| v.text.clone()).collect();
        let cwd = self.cwd.clone();
        let seen = Seen { name, words: &words, writes, cwd: cwd.as_deref(), ..Seen::default() };
        self.match_rules(script, at, &seen);
        if self.deeper() {
            self.back(|r| r.runs(script, at, name, rest, &words, writes, input));
        }
        outputs::output(name, &words, input.text.as_deref())
    }

    fn deeper(&mut self) -> bool {
        self.depth += 1;
        let ok = self.depth < super::MOST_DEPTH;
        if !ok {
            self.depth -= 1;
        }
        ok
    }

    fn back<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// What a command runs in turn, and what it changes for those after it.
    #[allow(clippy::too_many_arguments)]
    fn runs(&mut self, script: &Script, at: usize, name: &str, rest: &[Value], words: &[String], writes: &[String], input: &Input) {
        if let Some((_, valued, before)) = WRAPPERS.iter().find(|(n, ..)| *n == name) {
            if name == "command" && words.first().is_some_and(|w| w == "-v" || w == "-V") {
                return;
            }
            if let Some(i) = words.iter().position(|w| w == "-S" || w == "--split-string").filter(|_| name == "env") {
                let text = words.get(i + 1..).unwrap_or_default().join(" ");
                let inner = script.within(&text, at, false, Some("env -S"));
                self.script(&inner, input);
                return;
            }
            if name == "flock"
                && let Some(i) = words.iter().position(|w| w == "-c" || w == "--command")
            {
                return self.program(script, at, "flock -c", rest.get(i + 1), input);
            }
            let own = past_options(words, valued, *before, name == "env" || name == "sudo");
            let through = script.within(&script.text, 0, true, Some(name));
            let inner = Script { base: script.base, fixed: script.fixed, ..through };
            self.invoke(&inner, at, rest.get(own..).unwrap_or_default(), writes, input);
            return;
        }
        if SHELLS.contains(&name) {
            return self.shell(script, at, name, rest, words, input);
        }
        if let Some((_, option)) =
            INTERPRETERS.iter().find(|(n, _)| name.strip_prefix(n).is_some_and(|r| r.chars().all(|c| c.is_ascii_digit() || c == '.')))
        {
            return self.interpreter(script, at, name, option, rest, words, input);
        }
        match name {
            "eval" => {
                let mut all = Value { text: words.join(" "), from: rest.iter().flat_map(|v| v.from.clone()).collect() };
                all.from.dedup();
                self.program(script, at, "eval", Some(&all), input);
            }
            "source" | "." => self.file(script, at, name, rest.first()),
            "su" | "runuser" => {
                if let Some(i) = words.iter().position(|w| w == "-c" || w == "--command") {
                    self.program(script, at, "su -c", rest.get(i + 1), input);
                }
            }
            "ssh" => {
                let own = past_options(
                    words,
                    &["-p", "-i", "-l", "-o", "-F", "-J", "-L", "-R", "-D", "-W", "-b", "-c", "-E", "-m", "-S"],
                    1,
                    false,
                );
                let text = words.get(own..).unwrap_or_default().join(" ");
                if !text.is_empty() {
                    self.program(script, at, "ssh", Some(&Value::known(text)), input);
                }
            }
            "watch" => {
                let own = past_options(words, &["-n", "--interval", "-d"], 0, false);
                let text = words.get(own..).unwrap_or_default().join(" ");
                self.program(script, at, "watch", Some(&Value::known(text)), input);
            }
            "xargs" | "parallel" => self.xargs(script, at, name, rest, words, input),
            "find" | "fd" | "fdfind" => self.find(script, at, rest, words, input),
            "trap" if words.len() >= 2 && words.first().is_some_and(|w| !w.starts_with('-')) => {
                self.program(script, at, "trap", rest.first(), input);
            }
            "alias" => {
                for (n, text) in words.iter().filter_map(|w| w.split_once('=')) {
                    if self.aliases.len() < 1000 {
                        self.aliases.insert(n.to_owned(), text.to_owned());
                    }
                }
            }
            "cd" | "pushd" => {
                let to = words.iter().find(|w| !w.starts_with('-')).cloned();
                self.cwd = match to {
                    Some(to) if to.starts_with('/') && !to.contains(UNKNOWN) => Some(to),
                    Some(to) if !to.contains(UNKNOWN) && !to.starts_with('~') => self.cwd.take().map(|d| format!("{d}/{to}")),
                    _ => None,
                };
            }
            "popd" => self.cwd = None,
            "export" | "declare" | "local" | "readonly" | "typeset" => {
                for v in rest {
                    if let Some((n, text)) = v.text.split_once('=') {
                        let n = n.trim_end_matches('+').to_owned();
                        self.assign(&n, vec![Value { text: text.to_owned(), from: v.from.clone() }], false, true);
                    }
                }
            }
            "read" | "mapfile" | "readarray" | "getopts" => {
                for n in words.iter().filter(|w| !w.starts_with('-')) {
                    let value = match (&input.text, name) {
                        (Some(text), "read") => Value { text: text.trim_end_matches('\n').to_owned(), from: input.from.clone() },
                        _ => Value { text: UNKNOWN.to_string(), from: input.from.clone() },
                    };
                    self.assign(n, vec![value], false, true);
                }
            }
            "set" => {
                if let Some(i) = words.iter().position(|w| w == "--") {
                    self.args = Some(rest.get(i + 1..).unwrap_or_default().to_vec());
                }
            }
            "shift" => self.args = None,
            "unset" => words.iter().for_each(|w| drop(self.vars.remove(w))),
            "printf" if words.first().is_some_and(|w| w == "-v") => {
                let (Some(to), Some(more)) = (words.get(1).cloned(), words.get(2..)) else { return };
                let text = outputs::output("printf", more, None);
                self.assign(&to, vec![text.map_or_else(Value::unknown, Value::known)], false, true);
            }
            _ => {}
        }
    }

    /// A text that is run as a shell script.
    fn program(&mut self, script: &Script, at: usize, through: &str, text: Option<&Value>, input: &Input) {
        let Some(text) = text else { return };
        let name = through.split(' ').next().unwrap_or(through);
        let seen = Seen { name, runs_text_of: &text.from, ..Seen::default() };
        let told = !text.from.is_empty() && self.runs_rule(script, at, &seen);
        if !text.is_known() && !told {
            self.tell("unseen-text", script, at);
        }
        // Where a quoted word of the script is the text, places in it are places in the script.
        let inner = match script.text.get(at..).and_then(|r| r.find(text.text.as_str())).filter(|_| !script.fixed && text.text.len() > 3) {
            Some(n) if n < 2000 => script.within(&text.text, at + n, true, Some(through)),
            _ => script.within(&text.text, at, false, Some(through)),
        };
        self.script(&inner, input);
        self.found.expressions(Some(Language::Sh), &text.text, Some(&inner.place(0)));
    }

    /// Rules that are about text that is run, and about nothing else.
    fn runs_rule(&mut self, script: &Script, at: usize, seen: &Seen<'_>) -> bool {
        let rules = self.found.rules;
        let mut any = false;
        for c in rules.iter().filter(|c| c.runs_text(seen)) {
            self.found.add(&c.rule, &script.place(at));
            any = true;
        }
        any
    }

    fn shell(&mut self, script: &Script, at: usize, name: &str, rest: &[Value], words: &[String], input: &Input) {
        let mut i = 0;
        while let Some(w) = words.get(i) {
            let short = w.strip_prefix('-').filter(|r| !r.starts_with('-') && !r.is_empty());
            if short.is_some_and(|s| s.contains('c')) {
                let kept = self.args.replace(rest.get(i + 3..).unwrap_or_default().to_vec());
                self.program(script, at, &format!("{name} -c"), rest.get(i + 1), input);
                self.args = kept;
                return;
            }
            if short.is_some_and(|s| s.contains('s')) {
                return self.runs_input(script, at, name, input);
            }
            match w.as_str() {
                "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file" => i += 2,
                "-" | "/dev/stdin" => return self.runs_input(script, at, name, input),
                w if w.starts_with(['-', '+']) => i += 1,
                _ => return self.file(script, at, name, rest.get(i)),
            }
        }
        self.runs_input(script, at, name, input);
    }

    /// A shell that reads its script from its input.
    fn runs_input(&mut self, script: &Script, at: usize, name: &str, input: &Input) {
        match &input.text {
            Some(text) => {
                let through = input.from.iter().rev().take(3).rev().cloned().collect::<Vec<_>>().join(" | ");
                let through = if through.is_empty() { name.to_owned() } else { format!("{through} | {name}") };
                let value = Value { text: text.clone(), from: input.from.clone() };
                let inner_at = input.at.filter(|_| !script.fixed).map(|a| a.saturating_sub(script.base));
                match inner_at {
                    Some(start) if script.text.get(start..start + text.len()) == Some(text) => {
                        let inner = script.within(text, start, true, Some(&through));
                        self.script(&inner, &Input::default());
                    }
                    _ => self.program(script, at, &through, Some(&value), &Input::default()),
                }
            }
            None if input.from.is_empty() => {}
            None => {
                let seen = Seen { name, runs_text_of: &input.from, ..Seen::default() };
                if !self.runs_rule(script, at, &seen) {
                    self.tell("unseen-text", script, at);
                }
            }
        }
    }

    /// A file that is run as a script.
    fn file(&mut self, script: &Script, at: usize, name: &str, file: Option<&Value>) {
        let Some(file) = file else { return };
        match self.process(&file.text) {
            Some(input) => self.runs_input(script, at, name, &input),
            None => self.tell("unseen-file", script, at),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn interpreter(&mut self, script: &Script, at: usize, name: &str, option: &str, rest: &[Value], words: &[String], input: &Input) {
        let language = match name {
            n if n.starts_with("python") => Some(Language::Python3),
            _ => None,
        };
        if let Some(i) = words
            .iter()
            .position(|w| w == option || (w.starts_with('-') && !w.starts_with("--") && w.ends_with(option.trim_start_matches('-'))))
        {
            let Some(text) = rest.get(i + 1) else { return };
            let seen = Seen { name, runs_text_of: &text.from, ..Seen::default() };
            let told = !text.from.is_empty() && self.runs_rule(script, at, &seen);
            if !text.is_known() && !told {
                self.tell("unseen-text", script, at);
            }
            let place = script.within("", at, false, Some(&format!("{name} {option}"))).place(0);
            foreign::snippet(language, &text.text, &place, self.found);
            return;
        }
        let file = words.iter().find(|w| !w.starts_with('-') || *w == "-");
        if file.is_none_or(|f| f == "-" || f == "/dev/stdin") {
            match &input.text {
                Some(text) => {
                    let place = script.within("", at, false, Some(name)).place(0);
                    foreign::snippet(language, text, &place, self.found);
                }
                None => self.runs_input(script, at, name, input),
            }
        }
    }

    fn xargs(&mut self, script: &Script, at: usize, name: &str, rest: &[Value], words: &[String], input: &Input) {
        let own = past_options(
            words,
            &["-I", "-n", "-P", "-L", "-s", "-d", "-E", "-a", "-j", "--max-args", "--max-procs", "--delimiter"],
            0,
            false,
        );
        let replaced =
            words.iter().position(|w| w == "-I" || w == "-i").and_then(|i| words.get(i + 1)).cloned().unwrap_or_else(|| "{}".to_owned());
        let mut argv: Vec<Value> = rest.get(own..).unwrap_or_default().to_vec();
        let given: Vec<Value> = match &input.text {
            Some(text) if text.len() < 10_000 => text
                .split_whitespace()
                .take(100)
                .map(|w| Value { text: w.trim_matches(['\'', '"']).to_owned(), from: input.from.clone() })
                .collect(),
            _ => vec![Value { text: UNKNOWN.to_string(), from: input.from.clone() }],
        };
        let first = given.first().cloned().unwrap_or_else(Value::unknown);
        let mut used = false;
        for w in &mut argv {
            if w.text.contains(&replaced) {
                w.text = w.text.replace(&replaced, &first.text);
                w.from.extend(first.from.iter().cloned());
                used = true;
            }
        }
        if argv.is_empty() && name == "parallel" {
            return self.runs_input(script, at, name, input);
        }
        if !used {
            argv.extend(given);
        }
        let inner = script.within(&script.text, 0, true, Some(name));
        let inner = Script { base: script.base, fixed: script.fixed, ..inner };
        self.invoke(&inner, at, &argv, &[], &Input::default());
    }

    fn find(&mut self, script: &Script, at: usize, rest: &[Value], words: &[String], input: &Input) {
        let start = words.iter().find(|w| !w.starts_with('-')).cloned().unwrap_or_else(|| ".".to_owned());
        let path = format!("{}/{UNKNOWN}", start.trim_end_matches('/'));
        let mut i = 0;
        while i < words.len() {
            let option = words.get(i).map(String::as_str).unwrap_or_default();
            i += 1;
            if !matches!(option, "-exec" | "-execdir" | "-ok" | "-okdir" | "-x" | "-X" | "--exec" | "--exec-batch") {
                continue;
            }
            let mut argv = Vec::new();
            while let Some(w) = rest.get(i) {
                i += 1;
                if w.text == ";" || w.text == "+" {
                    break;
                }
                argv.push(Value { text: w.text.replace("{}", &path), from: w.from.clone() });
            }
            let inner = script.within(&script.text, 0, true, Some("find -exec"));
            let inner = Script { base: script.base, fixed: script.fixed, ..inner };
            self.invoke(&inner, at, &argv, &[], input);
        }
    }
}

/// A command's name without its directory.
fn base(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// How many words stand before the command that a wrapper runs.
fn past_options(words: &[String], valued: &[&str], before: usize, assigns: bool) -> usize {
    let (mut i, mut left) = (0, before);
    while let Some(w) = words.get(i) {
        if w == "--" {
            i += 1;
            if left == 0 {
                break;
            }
        } else if valued.contains(&w.as_str()) {
            i += 2;
        } else if (w.starts_with('-') && w.len() > 1) || (assigns && w.split_once('=').is_some_and(|(n, _)| !n.contains('/'))) {
            i += 1;
        } else if left > 0 {
            left -= 1;
            i += 1;
        } else {
            break;
        }
    }
    i.min(words.len())
}
