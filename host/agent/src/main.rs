//! The `plenum-agent` program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plenum_agent::connection::{Agent, Backoff};
use plenum_agent::engine::Limits;
use plenum_agent::enrol::{enrol, is_of};
use plenum_agent::facts::Collector;
use plenum_agent::fleet::Fleet;
use plenum_agent::install::{Install, Step, perform};
use plenum_agent::proxy::Proxy;
use plenum_agent::state::StateDir;
use plenum_agent::{AgentError, supervise};
use plenum_agent_protocol::EnrolmentToken;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

/// The Plenum agent: makes this machine a node of a Plenum host.
///
/// It dials the host (nothing has to be opened on this machine), runs the scripts that the host sends, and reports what the machine is and
/// which databases and middleware run on it. Run it as root to be able to run scripts as any user; as another user it runs them as that one.
#[derive(Parser)]
#[command(
    name = "plenum-agent",
    version,
    after_help = "First time:\n  plenum-agent up --host HOST:8444 --token TOKEN\nThe token is made in the portal \
(Nodes, Add a node); it works once and for an hour."
)]
struct Cli {
    /// How much to log on standard error: error, warn, info, debug, trace or off.
    #[arg(long, global = true, env = "PLENUM_AGENT_LOG", default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Exchange a one-time token for this machine's certificate. The host is checked against the token before anything is sent.
    Enrol {
        #[command(flatten)]
        enrolment: Enrolment,
        /// Replace an enrolment that is there.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        state: State,
    },
    /// Run the agent of an enrolled state directory, until SIGTERM or SIGINT.
    Run {
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        way: Way,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Install this program as a systemd service, enrolled and started: its program, its state directory, a user when one is wanted, a unit.
    Install {
        /// The host's agent port, `name:port`; left out where the state directory is enrolled already.
        #[arg(long, env = "PLENUM_AGENT_HOST", requires = "token")]
        host: Option<String>,
        /// Enrolment token from the portal. The variable keeps it out of the process list.
        #[arg(long, env = "PLENUM_AGENT_TOKEN", hide_env_values = true, requires = "host")]
        token: Option<String>,
        /// Run the agent as this system user, which is made when it is missing; scripts then run as that user only. Root otherwise.
        #[arg(long)]
        user: Option<String>,
        /// The program goes into `bin` below this directory.
        #[arg(long, default_value = "/usr/local")]
        prefix: PathBuf,
        /// Install into an image whose root this is, without enrolling and starting.
        #[arg(long, default_value = "/")]
        root: PathBuf,
        /// Print what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        way: Way,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Undo `install`: stop and remove the service and the program. The state stays unless told otherwise.
    Uninstall {
        /// The program is in `bin` below this directory.
        #[arg(long, default_value = "/usr/local")]
        prefix: PathBuf,
        /// Root of an image.
        #[arg(long, default_value = "/")]
        root: PathBuf,
        /// Remove the state directory too, and with it the machine's enrolment and what the host has not taken yet.
        #[arg(long)]
        purge: bool,
        /// Print what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        state: State,
    },
    /// Enrol if not done yet with the host that made the token, then run. The token of an enrolment that is there may be long used.
    Up {
        #[command(flatten)]
        enrolment: Enrolment,
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Print what the agent finds on this machine, as JSON, and send it nowhere.
    Facts,
    /// Simulation: many agents in one process, each with its own enrolment and connection and a made-up host name. Scripts run for real, here.
    Fleet {
        /// The host's agent port, `name:port`.
        #[arg(long)]
        host: String,
        /// File with one enrolment token a line; not needed when all are enrolled.
        #[arg(long)]
        tokens_file: Option<PathBuf>,
        /// How many agents.
        #[arg(long, default_value_t = 200)]
        count: usize,
        /// Start of the host names.
        #[arg(long, default_value = "sim")]
        prefix: String,
        /// Threads that the agents share.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        bounds: Bounds,
    },
}

#[derive(Args)]
struct Enrolment {
    /// The host's agent port, `name:port`.
    #[arg(long, env = "PLENUM_AGENT_HOST")]
    host: String,
    /// Enrolment token from the portal. The variable keeps it out of the process list.
    #[arg(long, env = "PLENUM_AGENT_TOKEN", hide_env_values = true)]
    token: String,
    #[command(flatten)]
    way: Way,
}

#[derive(Args)]
struct Way {
    /// HTTP proxy on the way to the host: `http://[user:password@]name:port`; `none` for a direct way. Remembered with the enrolment. The
    /// variable keeps a password out of the process list.
    #[arg(long, env = "PLENUM_AGENT_PROXY", hide_env_values = true)]
    proxy: Option<String>,
}

impl Way {
    /// As it is to be from now on; `None` where nothing was said.
    fn proxy(&self) -> Result<Option<Option<String>>, AgentError> {
        match self.proxy.as_deref().map(str::trim) {
            None => Ok(None),
            Some("" | "none") => Ok(Some(None)),
            Some(text) => Proxy::parse(text).map(|_| Some(Some(text.to_owned()))),
        }
    }
}

#[derive(Args)]
struct State {
    /// Directory for the agent's key, its spool and its journal; made when missing.
    #[arg(long, env = "PLENUM_AGENT_STATE", default_value = "/var/lib/plenum-agent")]
    state: PathBuf,
}

#[derive(Args)]
struct Bounds {
    /// Scripts that run at the same time; others wait.
    #[arg(long, default_value_t = 10)]
    max_running: usize,
    /// Executions that may wait; more are refused.
    #[arg(long, default_value_t = 1000)]
    max_queued: usize,
    /// Disk for output that the host has not taken yet, in MiB; beyond it output is counted and dropped.
    #[arg(long, default_value_t = 256)]
    spool_mib: u64,
    /// Disk for metrics that the host has not taken yet, in MiB; beyond it the oldest go.
    #[arg(long, default_value_t = 8)]
    metrics_mib: u64,
    /// Seconds between SIGTERM and SIGKILL when a script is cancelled or runs out of time.
    #[arg(long, default_value_t = 2)]
    kill_grace: u64,
    /// Longest pause between attempts to reach the host, in seconds.
    #[arg(long, default_value_t = 15)]
    max_backoff: u64,
}

impl Bounds {
    fn limits(&self) -> Limits {
        Limits {
            slots: Arc::new(Semaphore::new(self.max_running.clamp(1, Semaphore::MAX_PERMITS))),
            max_queued: self.max_queued,
            max_spool_bytes: self.spool_mib.saturating_mul(1024 * 1024),
            max_metrics_bytes: self.metrics_mib.saturating_mul(1024 * 1024),
            kill_grace: Duration::from_secs(self.kill_grace),
            ..Limits::default()
        }
    }

    /// What differs from the defaults, as arguments for a unit.
    fn arguments(&self) -> Vec<String> {
        let all = [
            ("--max-running", self.max_running as u64, 10),
            ("--max-queued", self.max_queued as u64, 1000),
            ("--spool-mib", self.spool_mib, 256),
            ("--metrics-mib", self.metrics_mib, 8),
            ("--kill-grace", self.kill_grace, 2),
            ("--max-backoff", self.max_backoff, 15),
        ];
        let differs = all.into_iter().filter(|(_, value, usual)| value != usual);
        differs.flat_map(|(flag, value, _)| [flag.to_owned(), value.to_string()]).collect()
    }

    fn backoff(&self) -> Backoff {
        Backoff { most: Duration::from_secs(self.max_backoff.max(1)), ..Backoff::default() }
    }
}

fn main() -> ExitCode {
    // Before anything else: a supervisor is started for each script and should cost next to nothing.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|arg| arg == supervise::SUBCOMMAND) {
        let grace = args.next().and_then(|ms| ms.to_str()?.parse().ok()).unwrap_or(2000);
        let mark = args.next().and_then(|mark| mark.into_string().ok()).unwrap_or_default();
        return ExitCode::from(u8::try_from(supervise::main(Duration::from_millis(grace), &mark)).unwrap_or(1));
    }
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_max_level(cli.log).with_writer(std::io::stderr).with_target(false).init();
    match act(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "plenum-agent: {error} [{}]", error.code());
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> Result<(), AgentError> {
    match command {
        Command::Enrol { enrolment, force, state } => {
            let state = StateDir::open(&state.state)?;
            runtime(1)?.block_on(enrol_here(&state, &enrolment, force))
        }
        Command::Run { state, way, bounds } => {
            let state = StateDir::open(&state.state)?;
            if let (Some(proxy), Some(mut identity)) = (way.proxy()?, state.identity()?)
                && identity.proxy != proxy
            {
                identity.proxy = proxy;
                state.save_identity(&identity)?;
            }
            runtime(1)?.block_on(run(state, &bounds))
        }
        Command::Up { enrolment, state, bounds } => {
            let state = StateDir::open(&state.state)?;
            runtime(1)?.block_on(async {
                match state.identity()? {
                    Some(mut identity) if is_of(&identity, &EnrolmentToken::parse(&enrolment.token)?) => {
                        // The host may have moved; who it is does not depend on where.
                        let proxy = enrolment.way.proxy()?.unwrap_or_else(|| identity.proxy.clone());
                        if identity.host != enrolment.host || identity.proxy != proxy {
                            identity.host.clone_from(&enrolment.host);
                            identity.proxy = proxy;
                            state.save_identity(&identity)?;
                        }
                    }
                    // Not enrolled, or with a host that was set up anew: whoever gives a token of the new one wants that.
                    _ => enrol_here(&state, &enrolment, true).await?,
                }
                run(state, &bounds).await
            })
        }
        Command::Install { host, token, user, prefix, root, dry_run, state, way, bounds } => {
            let program = std::env::current_exe().map_err(|source| AgentError::State {
                action: "find",
                path: PathBuf::from("/proc/self/exe"),
                source,
            })?;
            if way.proxy()?.is_some() && host.is_none() {
                return Err(AgentError::Usage(
                    "a proxy is kept with the enrolment: give --host and --token too, or run `plenum-agent run --proxy ...` once".into(),
                ));
            }
            let install = Install { root, program, prefix, state: state.state, user, enrol: host.clone(), arguments: bounds.arguments() };
            if host.is_some() && !install.here() {
                return Err(AgentError::Usage(
                    "an image is not enrolled: every machine needs an enrolment of its own; leave --host and --token out".into(),
                ));
            }
            let enrolment = host.zip(token).map(|(host, token)| Enrolment { host, token, way });
            carry_out(&install.steps(), dry_run, install.here(), || {
                let Some(enrolment) = &enrolment else { return Ok(()) };
                let state = StateDir::open(&install.state)?;
                let token = EnrolmentToken::parse(&enrolment.token)?;
                match state.identity()? {
                    // Installed anew, with the command at hand: it is what it was.
                    Some(identity) if is_of(&identity, &token) => Ok(()),
                    _ => runtime(1)?.block_on(enrol_here(&state, enrolment, true)),
                }
            })
        }
        Command::Uninstall { prefix, root, purge, dry_run, state } => {
            let install =
                Install { root, program: PathBuf::new(), prefix, state: state.state, user: None, enrol: None, arguments: Vec::new() };
            carry_out(&install.undo(purge), dry_run, install.here(), || Ok(()))
        }
        Command::Facts => {
            let facts = Collector::new().collect("");
            let value: serde_json::Value = serde_json::from_slice(&facts.message.json).unwrap_or_default();
            print(&format!("{value:#}"));
            Ok(())
        }
        Command::Fleet { host, tokens_file, count, prefix, threads, state, bounds } => {
            let fleet = Fleet {
                host: &host,
                tokens_file: tokens_file.as_deref(),
                count,
                state: &state.state,
                limits: bounds.limits(),
                prefix: &prefix,
            };
            runtime(threads)?.block_on(async {
                let stop = until_signal()?;
                fleet.serve(stop, || print(&format!("{count} agents started"))).await
            })
        }
    }
}

/// Goes through steps, or prints them.
fn carry_out(steps: &[Step], dry_run: bool, here: bool, enrol: impl Fn() -> Result<(), AgentError>) -> Result<(), AgentError> {
    if dry_run {
        steps.iter().for_each(|step| print(&step.to_string()));
        return Ok(());
    }
    if here && !nix::unistd::geteuid().is_root() {
        return Err(AgentError::Usage("a service is installed by root: use sudo, or --dry-run to see what would be done".into()));
    }
    for step in steps {
        let done = if let Step::Enrol { .. } = step { enrol() } else { perform(step) };
        done?;
        print(&format!("done: {}", step.to_string().lines().next().unwrap_or_default()));
    }
    Ok(())
}

fn print(line: &str) {
    // Whoever closed our output does not want it.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// One thread for an agent: it waits nearly always, and each further thread costs memory on every machine.
fn runtime(threads: usize) -> Result<Runtime, AgentError> {
    let mut builder = if threads <= 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    // For facts and name look-ups only.
    builder.max_blocking_threads(4).thread_keep_alive(Duration::from_secs(2)).thread_stack_size(1 << 20).enable_all();
    builder.build().map_err(|source| AgentError::State { action: "start a runtime beside", path: PathBuf::from("/proc/self"), source })
}

async fn enrol_here(state: &StateDir, enrolment: &Enrolment, force: bool) -> Result<(), AgentError> {
    let token = EnrolmentToken::parse(&enrolment.token)?;
    if let (false, Some(identity)) = (force, state.identity()?) {
        return Err(AgentError::AlreadyEnrolled { path: state.root().to_path_buf(), node_id: identity.node_id });
    }
    let proxy = enrolment.way.proxy()?.flatten();
    let identity = enrol(&enrolment.host, proxy.as_deref(), &token, &Collector::new().machine()).await?;
    state.save_identity(&identity)?;
    print(&format!("enrolled as node {} of {}", identity.node_id, identity.host));
    Ok(())
}

async fn run(state: StateDir, bounds: &Bounds) -> Result<(), AgentError> {
    let stop = until_signal()?;
    let agent = Agent::open(state, bounds.limits(), Arc::new(Collector::new()), bounds.backoff())?;
    agent.serve(stop).await;
    Ok(())
}

/// Cancelled by SIGTERM or SIGINT.
fn until_signal() -> Result<CancellationToken, AgentError> {
    let listen = |kind| {
        signal(kind).map_err(|source| AgentError::State {
            action: "listen for signals beside",
            path: Path::new("/proc/self").into(),
            source,
        })
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    // Ends with the program.
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        token.cancel();
    }));
    Ok(stop)
}
