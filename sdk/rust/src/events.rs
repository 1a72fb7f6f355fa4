//! Events: those that the plugin publishes (permission `events.publish`) and those that it handles.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, backend};

/// A CloudEvent, as handed to the function that [`crate::plugin!`] names under `events`. An error has it delivered again, up to five
/// times; so handling must bear being done twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique: remember it where handling twice would matter.
    pub id: String,
    /// `plenum.job.execution.finished`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `/jobs`, `/plugins/<id>`.
    pub source: String,
    /// What it is about.
    #[serde(default)]
    pub subject: String,
    /// RFC 3339.
    #[serde(default)]
    pub time: String,
    /// What happened.
    #[serde(default)]
    pub data: Value,
}

impl Event {
    /// Its data as one type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_value(self.data.clone())?)
    }
}

/// Publishes an event of a type that the plugin's grant names. Its source is `/plugins/<id>`. At most 256 KiB of data.
pub fn publish(kind: &str, subject: &str, data: &impl Serialize) -> Result<()> {
    backend::publish(kind, subject, &serde_json::to_value(data)?)
}
