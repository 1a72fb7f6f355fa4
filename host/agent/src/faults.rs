//! Where a test may end the agent: before and after each of its writes and messages.
//!
//! `PLENUM_AGENT_DIE_AT=journal.starting.before` makes an agent that was built without optimisation kill itself at that moment, as `kill -9`
//! or a power cut would. In a release nothing of this exists.

/// All steps, each with a moment `before` and `after`.
pub const STEPS: [&str; 12] = [
    "spool.run",
    "journal.starting",
    "process",
    "spool.output",
    "spool.finished",
    "journal.finished",
    "message.accepted",
    "message.started",
    "message.output",
    "message.finished",
    "forget",
    "identity",
];

/// Does something that a crash may come before or after.
pub(crate) fn step<T>(name: &str, act: impl FnOnce() -> T) -> T {
    before(name);
    let done = act();
    after(name);
    done
}

/// The moment before a step.
pub(crate) fn before(name: &str) {
    moment(name, "before");
}

/// The moment after a step.
pub(crate) fn after(name: &str) {
    moment(name, "after");
}

#[cfg(debug_assertions)]
fn moment(name: &str, when: &str) {
    static DIE_AT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let wanted = DIE_AT.get_or_init(|| std::env::var("PLENUM_AGENT_DIE_AT").ok());
    if wanted.as_deref().and_then(|at| at.strip_prefix(name)).and_then(|rest| rest.strip_prefix('.')) == Some(when) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        // The signal is on its way; nothing more may happen.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(debug_assertions))]
fn moment(_: &str, _: &str) {}
