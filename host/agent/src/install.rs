//! `plenum-agent install` and `uninstall`: the program, its state, a user when one is wanted, and a systemd unit.
//!
//! What is to be done is a list of steps first. A dry run prints the list that would be gone through, so the two cannot differ.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;

use crate::error::AgentError;
use crate::state::failed;

/// Name of the unit, and of the program.
const NAME: &str = "plenum-agent";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Puts this program there, in one moment, so that a running one is not disturbed.
    Program {
        /// This program.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
    },
    /// Makes a system user without a shell.
    User(String),
    /// Makes the state directory, for its owner only.
    State(PathBuf),
    /// Exchanges the token for a certificate. Done by the caller: it speaks to the host.
    Enrol {
        /// `name:port` of the host.
        host: String,
    },
    /// Gives the state directory and all in it to the user.
    Own {
        /// The directory.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// Writes a file that everybody may read.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// Runs a program.
    Run(Vec<String>),
    /// Runs a program that may fail: what it should end may not be there.
    Try(Vec<String>),
    /// Removes a file.
    Remove(PathBuf),
    /// Removes a directory and all in it.
    RemoveAll(PathBuf),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program { from, to } => write!(f, "copy {} to {}", from.display(), to.display()),
            Self::User(name) => write!(f, "make the system user {name}"),
            Self::State(path) => write!(f, "make the directory {}, mode 0700", path.display()),
            Self::Enrol { host } => write!(f, "enrol with {host}"),
            Self::Own { path, user } => write!(f, "give {} to {user}", path.display()),
            Self::Write { path, text } => {
                write!(f, "write {}:", path.display())?;
                text.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::Run(command) | Self::Try(command) => write!(f, "run {}", command.join(" ")),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
            Self::RemoveAll(path) => write!(f, "remove {} and all in it", path.display()),
        }
    }
}

/// An installation.
#[derive(Debug, Clone)]
pub struct Install {
    /// Where the machine's files are: `/`, or the root of an image that is being made.
    pub root: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// Where the program goes.
    pub prefix: PathBuf,
    /// The agent's directory.
    pub state: PathBuf,
    /// Whom the agent runs as; root where none is named.
    pub user: Option<String>,
    /// Host to enrol with; none when it is enrolled, or will be later.
    pub enrol: Option<String>,
    /// More arguments of `run`.
    pub arguments: Vec<String>,
}

impl Install {
    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn unit_path(&self) -> PathBuf {
        self.at(Path::new("/etc/systemd/system/plenum-agent.service"))
    }

    fn binary(&self) -> PathBuf {
        self.prefix.join("bin").join(NAME)
    }

    /// Whether this machine itself is meant, and not an image.
    #[must_use]
    pub fn here(&self) -> bool {
        self.root == Path::new("/")
    }

    /// What has to be done.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Program { from: self.program.clone(), to: self.at(&self.binary()) }];
        if self.here() && self.enrol.is_some() {
            // One that runs holds the state directory.
            steps.push(Step::Try(["systemctl", "stop", "plenum-agent.service"].map(str::to_owned).to_vec()));
        }
        let state = self.at(&self.state);
        if let Some(user) = &self.user
            && self.here()
            && !matches!(User::from_name(user), Ok(Some(_)))
        {
            steps.push(Step::User(user.clone()));
        }
        steps.push(Step::State(state.clone()));
        steps.extend(self.enrol.iter().map(|host| Step::Enrol { host: host.clone() }));
        if let Some(user) = &self.user
            && self.here()
        {
            steps.push(Step::Own { path: state, user: user.clone() });
        }
        steps.push(Step::Write { path: self.unit_path(), text: self.unit() });
        if self.here() {
            let run = |words: &[&str]| Step::Run(words.iter().map(|word| (*word).to_owned()).collect());
            steps.push(run(&["systemctl", "daemon-reload"]));
            steps.push(run(&["systemctl", "enable", "plenum-agent.service"]));
            // `enable --now` would leave an older program running.
            steps.push(run(&["systemctl", "restart", "plenum-agent.service"]));
        }
        steps
    }

    /// What has to be done to undo it. The state stays unless `purge`: with it goes the machine's enrolment.
    #[must_use]
    pub fn undo(&self, purge: bool) -> Vec<Step> {
        let attempt = |words: &[&str]| Step::Try(words.iter().map(|word| (*word).to_owned()).collect());
        let mut steps = Vec::new();
        if self.here() {
            steps.push(attempt(&["systemctl", "disable", "--now", "plenum-agent.service"]));
        }
        steps.push(Step::Remove(self.unit_path()));
        if self.here() {
            steps.push(attempt(&["systemctl", "daemon-reload"]));
        }
        steps.push(Step::Remove(self.at(&self.binary())));
        if purge {
            steps.push(Step::RemoveAll(self.at(&self.state)));
        }
        steps
    }

    fn unit(&self) -> String {
        let mut command = vec![self.binary().display().to_string(), "run".into(), "--state".into(), self.state.display().to_string()];
        command.extend(self.arguments.iter().cloned());
        let command: Vec<String> = command.iter().map(|word| quote(word)).collect();
        let user = self.user.as_ref().map(|user| format!("User={user}\n")).unwrap_or_default();
        format!(
            "# Made by `plenum-agent install`; changes belong into /etc/systemd/system/plenum-agent.service.d/.\n\
             [Unit]\n\
             Description=Plenum agent\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             ExecStart={}\n\
             {user}\
             Restart=always\n\
             RestartSec=5\n\
             # The agent ends its scripts itself and reports that it did; what it does not get done in time is killed with it.\n\
             KillMode=mixed\n\
             TimeoutStopSec=30\n\
             UMask=0077\n\
             LimitNOFILE=65536\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n",
            command.join(" ")
        )
    }
}

/// A word as systemd reads it.
fn quote(word: &str) -> String {
    let word = word.replace('%', "%%").replace('$', "$$");
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ';')) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word
    }
}

/// Does one step.
///
/// # Errors
/// When it cannot be done; what was done before it stays, and the same command can be repeated.
pub fn perform(step: &Step) -> Result<(), AgentError> {
    match step {
        Step::Program { from, to } => {
            // Run from where it is installed: there is nothing to copy.
            if from.canonicalize().ok().is_some_and(|from| to.canonicalize().ok() == Some(from)) {
                return Ok(());
            }
            let content = fs::read(from).map_err(|e| failed("read", from, e))?;
            put(to, &content, 0o755).map_err(|e| failed("write", to, e))
        }
        Step::User(name) => run(&["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "--", name]),
        Step::State(path) => DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("make", path, e)),
        Step::Enrol { .. } => Ok(()),
        Step::Own { path, user } => {
            let user = User::from_name(user).ok().flatten().ok_or_else(|| AgentError::Usage(format!("there is no user {user}")))?;
            own(path, &user).map_err(|e| failed("give away", path, e))
        }
        Step::Write { path, text } => put(path, text.as_bytes(), 0o644).map_err(|e| failed("write", path, e)),
        Step::Run(command) => run(&command.iter().map(String::as_str).collect::<Vec<_>>()),
        Step::Try(command) => {
            if let Err(error) = run(&command.iter().map(String::as_str).collect::<Vec<_>>()) {
                tracing::info!(%error, "went on");
            }
            Ok(())
        }
        Step::Remove(path) => match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, e)),
            _ => Ok(()),
        },
        Step::RemoveAll(path) => match fs::remove_dir_all(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, e)),
            _ => Ok(()),
        },
    }
}

fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    // Whatever the caller's umask is.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn own(path: &Path, user: &User) -> io::Result<()> {
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            let entry = entry?.path();
            if !entry.is_symlink() {
                own(&entry, user)?;
            }
        }
    }
    Ok(())
}

fn run(command: &[&str]) -> Result<(), AgentError> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    let said = Command::new(program).args(arguments).output().map_err(|e| failed("run", Path::new(program), e))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    Err(AgentError::Usage(format!("`{}` failed ({}): {text}", command.join(" "), said.status)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn install(root: &Path) -> Install {
        Install {
            root: root.into(),
            program: std::env::current_exe().unwrap(),
            prefix: "/usr/local".into(),
            state: "/var/lib/plenum agent".into(),
            user: None,
            enrol: None,
            arguments: vec!["--max-running".into(), "3".into()],
        }
    }

    #[test]
    fn into_an_image_and_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let install = install(dir.path());
        for step in install.steps() {
            assert!(!matches!(step, Step::Run(_) | Step::User(_)), "an image is not this machine: {step}");
            perform(&step).unwrap();
            // Twice is as once.
            perform(&step).unwrap();
        }
        let binary = dir.path().join("usr/local/bin/plenum-agent");
        assert_eq!(fs::metadata(&binary).unwrap().permissions().mode() & 0o777, 0o755);
        let state = dir.path().join("var/lib/plenum agent");
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        let unit = fs::read_to_string(dir.path().join("etc/systemd/system/plenum-agent.service")).unwrap();
        assert!(unit.contains("ExecStart=/usr/local/bin/plenum-agent run --state \"/var/lib/plenum agent\" --max-running 3\n"), "{unit}");
        assert!(!unit.contains("User="));
        install.undo(false).iter().for_each(|step| perform(step).unwrap());
        assert!(!binary.exists() && state.exists());
        install.undo(true).iter().for_each(|step| perform(step).unwrap());
        assert!(!state.exists());
    }

    #[test]
    fn on_this_machine_it_is_enrolled_before_it_is_started() {
        let install = Install { user: Some("no-such-user-here".into()), enrol: Some("h:1".into()), ..install(Path::new("/")) };
        let steps: Vec<String> = install.steps().iter().map(ToString::to_string).collect();
        let place = |text: &str| steps.iter().position(|step| step.contains(text)).unwrap_or_else(|| panic!("{text} in {steps:#?}"));
        assert!(place("system user") < place("enrol with h:1"));
        assert!(place("enrol with h:1") < place("give "));
        assert!(place("give ") < place("systemctl restart"));
        assert!(steps[place("write ")].contains("User=no-such-user-here"));
    }

    #[test]
    fn words_as_systemd_reads_them() {
        assert_eq!(quote("/var/lib/x"), "/var/lib/x");
        assert_eq!(quote("a b"), "\"a b\"");
        assert_eq!(quote("100%$x"), "100%%$$x");
        assert_eq!(quote("a\"\\b"), "\"a\\\"\\\\b\"");
    }
}
