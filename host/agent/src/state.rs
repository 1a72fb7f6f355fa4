//! The agent's directory.
//!
//! ```text
//! identity.json   key, certificate, CA, node id, host: one file, so that a renewal replaces all of it or nothing
//! settings        what the host last said of how to work
//! metrics/        batches of metrics that the host has not acknowledged
//! journal         which execution keys have run
//! spool/          one folder for each execution whose end the host has not acknowledged
//! lock            held while an agent runs
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plenum_agent_protocol::v1::Settings;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::faults;

/// Who this agent is, and whom it trusts.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Given by the host at enrolment.
    pub node_id: String,
    /// `name:port` of the host.
    pub host: String,
    /// HTTP proxy on the way to it, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Private key, PEM.
    pub key_pem: String,
    /// Certificate, PEM.
    pub certificate_pem: String,
    /// The host's CA, PEM: the only issuer that is trusted.
    pub ca_pem: String,
}

/// An open state directory; no other agent can open it meanwhile.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens the directory, and makes it when it is missing.
    ///
    /// # Errors
    /// When it cannot be used, or another agent uses it.
    pub fn open(root: &Path) -> Result<Self, AgentError> {
        for directory in [root.to_path_buf(), root.join("spool")] {
            // Nobody else reads scripts' output or the key.
            DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(|e| failed("make", &directory, e))?;
        }
        // The same name whatever directory the agent is started in: marks of processes are made from it.
        let root = &root.canonicalize().map_err(|e| failed("find", root, e))?;
        let path = root.join("lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(|e| failed("open", &path, e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_path_buf(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(AgentError::StateInUse(root.to_path_buf())),
            Err(TryLockError::Error(e)) => Err(failed("lock", &path, e)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the enrolment, if there is one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn identity(&self) -> Result<Option<Identity>, AgentError> {
        let path = self.root.join("identity.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path, e)),
        };
        let damaged = |e: serde_json::Error| AgentError::Damaged {
            what: path.display().to_string(),
            reason: format!("{e}; enrol again with --force"),
        };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Stores the enrolment; readable by the agent's user only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_identity(&self, identity: &Identity) -> Result<(), AgentError> {
        let path = self.root.join("identity.json");
        let text = serde_json::to_vec_pretty(identity).map_err(|e| failed("write", &path, e.into()))?;
        faults::step("identity", || write_atomically(&path, &text).and_then(|()| sync_folder(&path))).map_err(|e| failed("write", &path, e))
    }

    /// What the host last said of how to work; the usual when it has said nothing, or that cannot be read.
    #[must_use]
    pub fn settings(&self) -> Settings {
        fs::read(self.root.join("settings")).ok().and_then(|bytes| Settings::decode(bytes.as_slice()).ok()).unwrap_or_default()
    }

    /// Remembers what the host said.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_settings(&self, settings: &Settings) -> Result<(), AgentError> {
        if self.settings() == *settings {
            return Ok(());
        }
        let path = self.root.join("settings");
        write_atomically(&path, &settings.encode_to_vec()).map_err(|e| failed("write", &path, e))
    }
}

pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> AgentError {
    AgentError::State { action, path: path.to_path_buf(), source }
}

/// Writes a file so that a crash leaves the old or the new content, never a part. Mode 0600.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}

/// Makes a renamed file's new name last through a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_readable_by_its_owner_only_and_one_agent_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("agent")).unwrap();
        assert!(state.identity().unwrap().is_none());
        let identity = Identity {
            node_id: "n1".into(),
            host: "h:1".into(),
            proxy: None,
            key_pem: "k".into(),
            certificate_pem: "c".into(),
            ca_pem: "a".into(),
        };
        state.save_identity(&identity).unwrap();
        assert_eq!(state.identity().unwrap().unwrap().node_id, "n1");
        let mode = fs::metadata(state.root().join("identity.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(StateDir::open(state.root()), Err(AgentError::StateInUse(_))));
    }
}
