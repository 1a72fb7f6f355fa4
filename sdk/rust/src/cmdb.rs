//! The CMDB, as far as the plugin's grant and the user it acts for both reach. Reading takes the permission `cmdb.read`, writing
//! `cmdb.write`.
//!
//! ```
//! # use plenum_sdk::{cmdb, testing::Fake};
//! # let fake = Fake::new();
//! # fake.instance("host", serde_json::json!({ "hostname": "web1", "os_id": "debian" }));
//! let debian = cmdb::query("host").filter("os_id == \"debian\"").sort("hostname").all()?;
//! assert_eq!(debian[0].text("hostname"), "web1");
//! # Ok::<(), plenum_sdk::Error>(())
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Page, Result, Timestamp, backend};

/// A record of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Name of its model, `host`.
    pub model: String,
    /// What people call it.
    pub label: String,
    /// Counts from 1 with every change.
    pub version: u64,
    /// Its attributes.
    pub attributes: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

impl Instance {
    /// An attribute as text; empty when it is not there or no text.
    pub fn text(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).and_then(Value::as_str).unwrap_or_default()
    }

    /// An attribute; none when it is not there or null.
    pub fn get<T: DeserializeOwned>(&self, attribute: &str) -> Result<Option<T>> {
        match self.attributes.get(attribute) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => serde_json::from_value(v.clone()).map(Some).map_err(|e| {
                Error::internal(
                    "cmdb.attribute",
                    format!("the attribute {attribute} of {}/{} is not as expected: {e}", self.model, self.id),
                )
            }),
        }
    }

    /// All attributes as one type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_value(Value::Object(self.attributes.clone()))?)
    }
}

/// A linked record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Id of the link.
    pub association: String,
    /// Kind of the link, `runs_on`.
    pub kind: String,
    /// Whether the asked record is the source of the link.
    pub forward: bool,
    /// Model of the linked record.
    pub model: String,
    /// Its id.
    pub id: String,
    /// What people call it.
    pub label: String,
}

/// Which records, in which order.
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) model: String,
    pub(crate) filter: String,
    pub(crate) sort: String,
    pub(crate) cursor: Option<String>,
    pub(crate) limit: u32,
}

/// Records of a model.
pub fn query(model: &str) -> Query {
    Query { model: model.to_owned(), filter: String::new(), sort: String::new(), cursor: None, limit: 200 }
}

impl Query {
    /// CEL over the attributes; see [`crate::cel`] for values that somebody typed.
    #[must_use]
    pub fn filter(mut self, cel: impl Into<String>) -> Query {
        self.filter = cel.into();
        self
    }

    /// An attribute; a leading `-` sorts downwards.
    #[must_use]
    pub fn sort(mut self, attribute: impl Into<String>) -> Query {
        self.sort = attribute.into();
        self
    }

    /// Where the page before ended.
    #[must_use]
    pub fn cursor(mut self, cursor: Option<String>) -> Query {
        self.cursor = cursor;
        self
    }

    /// Records of a page: 1 to 1000; 200 when not said.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Query {
        self.limit = limit;
        self
    }

    /// One page.
    pub fn page(&self) -> Result<Page<Instance>> {
        backend::cmdb_query(self)
    }

    /// All that match, page by page. Mind the memory limit of a call.
    pub fn all(mut self) -> Result<Vec<Instance>> {
        self.limit = 1000;
        let mut out = Vec::new();
        loop {
            let page = self.page()?;
            out.extend(page.items);
            match page.next_cursor {
                Some(c) => self.cursor = Some(c),
                None => return Ok(out),
            }
        }
    }

    /// How many match.
    pub fn count(mut self) -> Result<u64> {
        self.limit = 1;
        Ok(self.page()?.total.unwrap_or_default())
    }
}

/// One record; none when there is none.
pub fn get(model: &str, id: &str) -> Result<Option<Instance>> {
    backend::cmdb_get(model, id)
}

/// Makes a record. `why` goes into its history.
pub fn create(model: &str, attributes: &impl Serialize, why: Option<&str>) -> Result<Instance> {
    backend::cmdb_create(model, &serde_json::to_value(attributes)?, why)
}

/// Changes a record: nulls of `patch` remove attributes. With a version, only if that is still the record's.
pub fn update(model: &str, id: &str, patch: &impl Serialize, version: Option<u64>, why: Option<&str>) -> Result<Instance> {
    backend::cmdb_update(model, id, &serde_json::to_value(patch)?, version, why)
}

/// Deletes a record and its links.
pub fn delete(model: &str, id: &str) -> Result<()> {
    backend::cmdb_delete(model, id)
}

/// What a record is linked with, both ways.
pub fn related(model: &str, id: &str) -> Result<Vec<Related>> {
    backend::cmdb_related(model, id)
}
