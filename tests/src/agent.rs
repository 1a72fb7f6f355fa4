//! A real agent process.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Host, bin_dir};

/// A running agent; killed when dropped. Its state folder lives until then.
pub struct Agent {
    /// Its state folder.
    pub state: TempDir,
    host_address: String,
    args: Vec<String>,
    log: &'static str,
    child: Option<Child>,
}

impl Agent {
    /// Enrols with a fresh token and runs.
    pub async fn start(host: &Host) -> Agent {
        Agent::with_token(host, &host.admin_command(&["enrolment-token"]), "info")
    }

    /// Enrols with this token and runs, logging so much.
    pub fn with_token(host: &Host, token: &str, log: &'static str) -> Agent {
        let state = tempfile::Builder::new().prefix("plenum-agent-").tempdir().expect("a temporary folder");
        let out = Command::new(bin_dir().join("plenum-agent"))
            .args(["--log", log, "enrol", "--host", &host.agent_address, "--state"])
            .arg(state.path())
            .env("PLENUM_AGENT_TOKEN", token)
            .output()
            .expect("the plenum-agent binary is built");
        std::fs::write(state.path().join("enrol.log"), [out.stdout.as_slice(), out.stderr.as_slice()].concat()).expect("log file");
        assert!(out.status.success(), "enrol: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let args = vec!["run".into(), "--state".into(), state.path().display().to_string()];
        let mut agent = Agent { state, host_address: host.agent_address.clone(), args, log, child: None };
        agent.run();
        agent
    }

    /// An agent in a process of its own on a machine that is made up, so that one test has several. Its scripts run for real, here.
    pub fn simulated(host: &Host, name: &str) -> Agent {
        let state = tempfile::Builder::new().prefix("plenum-agent-").tempdir().expect("a temporary folder");
        let tokens = state.path().join("tokens");
        std::fs::write(&tokens, host.admin_command(&["enrolment-token"])).expect("a token file");
        let (tokens, at) = (tokens.display().to_string(), state.path().join("agents").display().to_string());
        let args = ["fleet", "--host", &host.agent_address, "--tokens-file", &tokens, "--count", "1", "--prefix", name, "--state", &at];
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        let mut agent = Agent { state, host_address: host.agent_address.clone(), args, log: "info", child: None };
        agent.run();
        agent
    }

    /// Runs the enrolled agent (again).
    pub fn run(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.state.path().join("agent.log")).expect("log file");
        let child = Command::new(bin_dir().join("plenum-agent"))
            .args(["--log", self.log])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log file"))
            .stderr(log)
            .spawn()
            .expect("the agent starts");
        self.child = Some(child);
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Where it dials to.
    pub fn host_address(&self) -> &str {
        &self.host_address
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("---- agent log ----\n{}", std::fs::read_to_string(self.state.path().join("agent.log")).unwrap_or_default());
        }
    }
}
