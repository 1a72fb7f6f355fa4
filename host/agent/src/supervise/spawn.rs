//! Starts the interpreter as the right user, in the right place, with nothing inherited that was not meant for it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, User, chdir, geteuid, getgrouplist, setgid, setgroups, setsid, setuid};
use plenum_agent_protocol::LANGUAGES;
use plenum_agent_protocol::v1::Run;

use super::{EXECUTION_ENV, MARK_ENV};

const BASE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the interpreter finds the script. The text never touches a disk, so no directory has to be open to the script's user and nothing is
/// left to remove. High enough to be out of the way of `exec 3<file` and of bash's own (10 and up, 63 and down, 255).
const SCRIPT_FD: i32 = 99;

/// Why a script was not started.
#[derive(Debug)]
pub struct Refusal {
    /// Stable code.
    pub code: &'static str,
    /// For a person.
    pub error: String,
}

fn refuse(code: &'static str, error: impl Into<String>) -> Refusal {
    Refusal { code, error: error.into() }
}

/// Starts the interpreter.
pub fn spawn(run: &Run, mark: &str) -> Result<Child, Refusal> {
    let interpreter = interpreter(&run.language)?;
    let account = account(&run.user)?;
    let script =
        memory_file("plenum-script", &run.script).map_err(|e| refuse("agent.no_memory", format!("no memory for the script: {e}")))?;
    let stdin = match &run.stdin {
        None => Stdio::null(),
        Some(text) => {
            memory_file("plenum-stdin", text).map_err(|e| refuse("agent.no_memory", format!("no memory for the input: {e}")))?.into()
        }
    };
    let directory = match run.cwd.as_str() {
        "" if account.user.dir.is_dir() => account.user.dir.clone(),
        "" => PathBuf::from("/"),
        cwd => PathBuf::from(cwd),
    };

    let mut command = Command::new(&interpreter);
    command.arg(format!("/dev/fd/{SCRIPT_FD}")).args(&run.args).stdin(stdin).env_clear();
    command.env("PATH", BASE_PATH).env("LANG", "C.UTF-8");
    command
        .env("HOME", &account.user.dir)
        .env("USER", &account.user.name)
        .env("LOGNAME", &account.user.name)
        .env("SHELL", &account.user.shell);
    for (name, value) in &run.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(refuse(
                "agent.bad_environment",
                format!("{name:?} cannot be an environment variable: rename it, and keep NUL out of its value"),
            ));
        }
        command.env(name, value);
    }
    // After the caller's variables, as the mark is how we find what an agent left behind.
    command.env(EXECUTION_ENV, &run.execution_id).env(MARK_ENV, mark);

    // Says how far the child came when it fails: `exec` reports no more than an error number.
    let (mut progress, mark) = io::pipe().map_err(|e| refuse("agent.spawn", format!("no pipe: {e}")))?;
    let plan = ChildPlan { script, mark, become_user: account.become_user, directory: directory.clone() };
    // Sound: the supervisor has one thread, so the child's copy of memory is consistent and it may do what any process may.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || plan.apply());
    }
    let result = command.spawn();
    // Holds the child's description and ours: all ends must be closed before the end can be read.
    drop(command);
    result.map_err(|error| {
        let mut steps = Vec::new();
        let _ = progress.read_to_end(&mut steps);
        let user = &account.user.name;
        match steps.last() {
            Some(b'u') => refuse(
                "agent.user_not_allowed",
                format!("cannot become user {user}: {error}; the agent must run as root to run scripts as others"),
            ),
            Some(b'd') => refuse("agent.bad_directory", format!("cannot enter {} as {user}: {error}", directory.display())),
            _ if error.raw_os_error() == Some(libc::E2BIG) => refuse(
                "agent.arguments_too_long",
                "arguments and environment are longer than the system allows: pass large data on standard input",
            ),
            _ => refuse("agent.spawn", format!("cannot start {} as {user}: {error}", interpreter.display())),
        }
    })
}

/// What happens in the child before `exec`.
struct ChildPlan {
    script: OwnedFd,
    mark: io::PipeWriter,
    become_user: Option<(Vec<Gid>, Gid, Uid)>,
    directory: PathBuf,
}

impl ChildPlan {
    fn apply(&self) -> io::Result<()> {
        // Its own session: no terminal, and signals to the agent's group do not reach it.
        setsid()?;
        // The supervisor's blocked SIGCHLD would be inherited, and shells would wait forever.
        SigSet::empty().thread_set_mask()?;
        // Sound: both numbers are descriptors of this process; 99 is closed or an inherited one that nobody uses after `exec`.
        #[allow(unsafe_code)]
        if unsafe { libc::dup2(self.script.as_raw_fd(), SCRIPT_FD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        (&self.mark).write_all(b"u")?;
        if let Some((groups, gid, uid)) = &self.become_user {
            setgroups(groups)?;
            setgid(*gid)?;
            setuid(*uid)?;
        }
        (&self.mark).write_all(b"d")?;
        chdir(&self.directory)?;
        (&self.mark).write_all(b"x")?;
        Ok(())
    }
}

fn interpreter(language: &str) -> Result<PathBuf, Refusal> {
    if !LANGUAGES.contains(&language) {
        return Err(refuse("agent.unknown_language", format!("language {language:?} is unknown: use one of {}", LANGUAGES.join(", "))));
    }
    let found = BASE_PATH.split(':').map(|directory| Path::new(directory).join(language)).find(|path| path.is_file());
    found.ok_or_else(|| refuse("agent.no_interpreter", format!("{language} is not installed on this machine (looked in {BASE_PATH})")))
}

struct Account {
    user: User,
    become_user: Option<(Vec<Gid>, Gid, Uid)>,
}

fn account(name: &str) -> Result<Account, Refusal> {
    let own = geteuid();
    let user = if name.is_empty() { User::from_uid(own) } else { User::from_name(name) };
    let user = user.map_err(|e| refuse("agent.unknown_user", format!("cannot look up user {name:?}: {e}")))?;
    let user = match user {
        Some(user) => user,
        None if name.is_empty() => nameless(own),
        None => return Err(refuse("agent.unknown_user", format!("there is no user {name:?} on this machine"))),
    };
    if user.uid == own {
        return Ok(Account { user, become_user: None });
    }
    if !own.is_root() {
        return Err(refuse("agent.user_not_allowed", format!("the agent does not run as root, so it cannot run a script as {name}")));
    }
    let c_name = CString::new(user.name.as_str()).map_err(|_| refuse("agent.unknown_user", "a user's name holds no NUL"))?;
    let groups =
        getgrouplist(&c_name, user.gid).map_err(|e| refuse("agent.unknown_user", format!("cannot look up the groups of {name}: {e}")))?;
    let become_user = Some((groups, user.gid, user.uid));
    Ok(Account { user, become_user })
}

/// In a container the agent's own uid may have no entry.
fn nameless(uid: Uid) -> User {
    User {
        name: uid.to_string(),
        passwd: CString::default(),
        uid,
        gid: nix::unistd::getegid(),
        gecos: CString::default(),
        dir: PathBuf::from("/"),
        shell: PathBuf::from("/bin/sh"),
    }
}

fn memory_file(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    // Mode 0777 by nature: the script's user opens it by way of its own descriptor, others cannot reach it.
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}
