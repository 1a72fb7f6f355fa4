//! Support of the end-to-end tests: starts the real binaries on free ports with data of their own, and speaks HTTP to them.
//!
//! The binaries come from `PLENUM_BIN` (a folder), else from the folder that the test itself was built into. The catalog of
//! first-party packages comes from `PLENUM_CATALOG`, else `<target>/catalog`; `make build` puts both there.

pub mod agent;
pub mod client;
pub mod host;
pub mod random;

pub use agent::Agent;
pub use client::Client;
pub use host::{Database, Host, HostOptions};
pub use random::Random;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest that a test waits for something that should happen: generous, for a loaded machine; a passing test never waits so long.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The folder with the built binaries.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("PLENUM_BIN") {
        return dir.into();
    }
    let exe = std::env::current_exe().expect("the test knows its own path");
    // target/debug/deps/e2e-... → target/debug
    exe.parent().and_then(|p| p.parent()).expect("a test binary lives in target/<profile>/deps").to_owned()
}

/// The folder with the first-party packages.
pub fn catalog_dir() -> PathBuf {
    match std::env::var_os("PLENUM_CATALOG") {
        Some(dir) => dir.into(),
        None => bin_dir().parent().expect("the profile folder has a parent").join("catalog"),
    }
}

/// The public key that the first-party packages are signed with.
pub fn build_key() -> PathBuf {
    match std::env::var_os("PLENUM_BUILD_KEY") {
        Some(key) => PathBuf::from(key).with_extension("pub"),
        None => {
            let cache = std::env::var_os("PLENUM_CACHE").map(PathBuf::from).unwrap_or_else(|| {
                let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
                base.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache")).join("plenum")
            });
            cache.join("keys/build.pub")
        }
    }
}

/// Polls until `f` answers `Some`, and fails with `what` after [`PATIENCE`]. For conditions that only an outside observer can
/// see; it returns as soon as the condition holds.
pub async fn eventually<T, F, Fut>(what: &str, mut f: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(v) = f().await {
            return v;
        }
        assert!(Instant::now() < end, "waited {} s for: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
