//! The CMDB: models, instances, associations, and what agents find.
//!
//! Instances are documents of the collection `cmdb/<model>`. Every change is one transaction with its history, its audit entry
//! and its event. Knows nothing of HTTP, wasm or agents' wire formats.

mod around;
mod associations;
mod builtin;
mod bulk;
pub mod expand;
pub mod facts;
pub mod feed;
mod graph;
pub mod groups;
pub mod health;
mod instances;
mod kinds;
pub mod model;
pub mod query;
pub mod remodel;
pub mod requests;
mod rules;
mod scope;
mod search;
pub mod secrets;
pub mod sources;
pub mod table;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use plenum_access::{Access, AccessError, Permission, Principal};
use plenum_store::events::{NewEvent, emit_later};
use plenum_store::{Db, DocumentError, Documents, Migration, StoreError, Tx, now_ms, params};
use serde_json::{Value as Json, json};

pub use associations::{Association, Direction, Related};
pub use builtin::{SERVICES, models as builtin_models};
pub use bulk::{Bulk, BulkAction, BulkResult, BulkRow, MAX_ROWS, RowOutcome, RowResult};
pub use expand::{Expanded, Shape};
pub use feed::{FeedPage, FeedQuery};
pub use graph::{Edge, Graph, GraphNode, GraphQuery, Walk};
pub use groups::{Group as NamedGroup, KeptFilter, StoredGroup};
pub use instances::{Instance, InstancePage, Preview};
pub use kinds::{Cardinality, Ends, Impact, Kind, OnDelete, Pair, StoredKind};
pub use model::{Attribute, AttributeKind, COLOURS, Model, StoredModel, Text};
pub use plenum_store::{Change, FilterError, Query};
pub use query::{Explained, Facet, FacetValue, Facets};
pub use scope::sees_a_part;
pub use search::{Hit, Hits, MAX_TEXT as MAX_SEARCH_TEXT, Matched, SearchQuery};

/// The schema of this crate.
pub const MIGRATIONS: &[Migration] = &[
    Migration { set: "cmdb", version: 1, sql: include_str!("../migrations/1.sql") },
    Migration { set: "cmdb_models", version: 1, sql: include_str!("../migrations/models_1.sql") },
    Migration { set: "cmdb_search", version: 1, sql: include_str!("../migrations/search_1.sql") },
    Migration { set: "cmdb_query", version: 1, sql: include_str!("../migrations/query_1.sql") },
    Migration { set: "cmdb_quality", version: 1, sql: include_str!("../migrations/quality_1.sql") },
    Migration { set: "cmdb_quality", version: 2, sql: include_str!("../migrations/quality_2.sql") },
    Migration { set: "cmdb_requests", version: 1, sql: include_str!("../migrations/requests_1.sql") },
    Migration { set: "cmdb_secrets", version: 1, sql: include_str!("../migrations/secrets_1.sql") },
    Migration { set: "cmdb_remodel", version: 1, sql: include_str!("../migrations/remodel_1.sql") },
];

/// What the CMDB refuses or fails at.
#[derive(Debug, thiserror::Error)]
pub enum CmdbError {
    /// Not allowed.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no such model.
    #[error("there is no model {name}{}", .hint.as_deref().map(|h| format!("; did you mean {h}?")).unwrap_or_default())]
    NoModel {
        /// What was asked for.
        name: String,
        /// The nearest one.
        hint: Option<String>,
    },
    /// There is no such instance or association.
    #[error("{0}")]
    NotFound(String),
    /// A model breaks a rule.
    #[error("{message}")]
    InvalidModel {
        /// JSON pointer into the model.
        pointer: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// An instance breaks its model.
    #[error("{message}")]
    InvalidInstance {
        /// JSON pointer into the attributes.
        pointer: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A rule asks for the word of others first.
    #[error("{0}")]
    NeedsApproval(String),
    /// It would break something that is there.
    #[error("{0}")]
    InUse(String),
    /// A cursor of the feed is older than what is kept.
    #[error("{0}")]
    FeedGone(String),
    /// The store refused.
    #[error(transparent)]
    Document(DocumentError),
}

impl From<DocumentError> for CmdbError {
    fn from(e: DocumentError) -> Self {
        match e {
            DocumentError::Invalid { pointer, message } => CmdbError::InvalidInstance { pointer, message },
            e => CmdbError::Document(e),
        }
    }
}

impl From<StoreError> for CmdbError {
    fn from(e: StoreError) -> Self {
        CmdbError::Document(DocumentError::Store(e))
    }
}

impl CmdbError {
    /// Stable code for the API.
    pub fn code(&self) -> &'static str {
        match self {
            CmdbError::Access(e) => e.code(),
            CmdbError::NoModel { .. } => "cmdb.no_model",
            CmdbError::NotFound(_) => "cmdb.not_found",
            CmdbError::InvalidModel { .. } => "cmdb.invalid_model",
            CmdbError::InvalidInstance { .. } => "cmdb.invalid_instance",
            CmdbError::NeedsApproval(_) => "cmdb.needs_approval",
            CmdbError::InUse(_) => "cmdb.in_use",
            CmdbError::FeedGone(_) => "cmdb.feed_gone",
            CmdbError::Document(DocumentError::Filter(f)) => f.code,
            CmdbError::Document(DocumentError::Duplicate { .. }) => "cmdb.duplicate",
            CmdbError::Document(DocumentError::Query(_)) => "cmdb.query",
            CmdbError::Document(DocumentError::Store(StoreError::Conflict { .. })) => "cmdb.conflict",
            CmdbError::Document(_) => "store.failed",
        }
    }
}

/// The CMDB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cmdb {
    pub(crate) db: Db,
    pub(crate) docs: Documents,
    pub(crate) access: Access,
    /// One node's facts are written at a time: reconciling looks first and writes then.
    pub(crate) reconciling: Arc<tokio::sync::Mutex<()>>,
    /// What was set for sources.
    pub(crate) known: sources::Known,
    /// Told when a run of the data quality rules is wanted.
    pub(crate) health_wanted: Arc<tokio::sync::Notify>,
    /// Told when a change of a model is wanted.
    pub(crate) remodel_wanted: Arc<tokio::sync::Notify>,
    /// Which changes need approval, as they were read last.
    pub(crate) guards: requests::rules::Guards,
    /// Told when a change request may be to go on.
    pub(crate) changes_wanted: Arc<tokio::sync::Notify>,
    /// Whether what is written was approved.
    pub(crate) approved: bool,
    /// How many records are written in this call.
    pub(crate) at_once: usize,
    /// What seals secret attributes.
    pub(crate) secrets: Option<plenum_store::secrets::Secrets>,
    /// Told when records wait to be put into the search index.
    pub(crate) search_wanted: Arc<tokio::sync::Notify>,
    /// Which source direct writes count as, where it is not told by who calls.
    pub(crate) acting: Option<&'static str>,
}

impl Cmdb {
    /// On a migrated database; brings the built-in models up to date.
    pub async fn new(db: Db, docs: Documents, access: Access) -> Result<Cmdb, CmdbError> {
        let cmdb = Cmdb {
            db,
            docs,
            access,
            reconciling: Arc::default(),
            known: sources::Known::default(),
            health_wanted: Arc::default(),
            remodel_wanted: Arc::default(),
            guards: Arc::default(),
            changes_wanted: Arc::default(),
            approved: false,
            at_once: 1,
            secrets: None,
            search_wanted: Arc::default(),
            acting: None,
        };
        let mut tx = cmdb.db.begin().await?;
        if tx.dialect() == plenum_store::Dialect::Postgres {
            // Several hosts may start at once.
            tx.execute("SELECT pg_advisory_xact_lock(7305803)", &[]).await?;
        }
        for ours in builtin::models()? {
            let row = tx.fetch_optional("SELECT version, spec FROM cmdb_models WHERE name = ?", params![&ours.name]).await?;
            let (model, version, before) = match row {
                None => (ours, 1, None),
                Some(row) => {
                    let stored: Model = decode(row.json("spec")?)?;
                    let merged = builtin::merge(&ours, &stored);
                    if merged == stored {
                        continue;
                    }
                    (merged, row.int("version")? + 1, Some(stored))
                }
            };
            if let Some(before) = &before {
                cmdb.index_again_in(&mut tx, before, &model).await?;
            }
            cmdb.write_model(&mut tx, &model, version, true).await?;
        }
        cmdb.bring_kinds(&mut tx).await?;
        cmdb.seed_health(&mut tx).await?;
        tx.commit().await?;
        Ok(cmdb)
    }

    /// Has the records of a model put into the search index again when they are called or known otherwise.
    async fn index_again_in(&self, tx: &mut Tx, before: &Model, after: &Model) -> Result<(), StoreError> {
        if search::changes_terms(before, after) {
            self.index_all_again_in(tx, &after.name).await?;
        }
        Ok(())
    }

    pub(crate) async fn index_all_again_in(&self, tx: &mut Tx, model: &str) -> Result<(), StoreError> {
        search::again_in(tx, model).await?;
        let wanted = self.search_wanted.clone();
        tx.after_commit(move || wanted.notify_one());
        Ok(())
    }

    async fn write_model(&self, tx: &mut Tx, model: &Model, version: i64, builtin: bool) -> Result<(), CmdbError> {
        write_spec(tx, model, version, builtin).await?;
        self.docs.define(tx, &model.spec()).await?;
        Ok(())
    }

    /// All models that the caller may read, by name, without the attributes that are hidden from the caller.
    pub async fn models(&self, who: &Principal) -> Result<Vec<StoredModel>, CmdbError> {
        let mut out = Vec::new();
        for (stored, view) in self.stored_views(who).await? {
            out.push(scope::shown_model(who, StoredModel { model: view.visible(), ..stored }));
        }
        Ok(out)
    }

    pub(crate) async fn views(&self, who: &Principal) -> Result<Vec<view::View>, CmdbError> {
        Ok(self.stored_views(who).await?.into_iter().map(|(_, v)| v).collect())
    }

    async fn stored_views(&self, who: &Principal) -> Result<Vec<(StoredModel, view::View)>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[plenum_access::KEEPS_TO_RECORDS]).await?;
        let scope = self.scope(who).await?;
        let rows = self.db.fetch_all("SELECT name, version, builtin, spec FROM cmdb_models ORDER BY name LIMIT 1000", &[]).await?;
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            if !self.sees(who, &r.text("name")?) {
                continue;
            }
            let model: Model = decode(r.json("spec")?)?;
            if let Some(view) = view::View::of(model.clone(), scope.as_deref()).map(|v| v.granted(who)) {
                out.push((StoredModel { model, version: r.int("version")?, builtin: r.bool("builtin")? }, view));
            }
        }
        Ok(out)
    }

    /// One model, without the attributes that are hidden from the caller.
    pub async fn model(&self, who: &Principal, name: &str) -> Result<StoredModel, CmdbError> {
        Ok(self.stored_view(who, Permission::CmdbRead, name).await?.0)
    }

    /// How many instances a model has that the caller sees.
    pub async fn model_count(&self, who: &Principal, name: &str) -> Result<i64, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, name).await?;
        let query = view.narrow(&Query::default())?;
        Ok(self.docs.count(&model::collection(name), query.filter.as_deref()).await?)
    }

    /// The model, held as it is until the transaction ends: what is checked against it is still right when it is written.
    pub(crate) async fn stored_in(&self, tx: &mut Tx, name: &str) -> Result<StoredModel, CmdbError> {
        // SQLite has one writer anyway.
        if tx.dialect() == plenum_store::Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock_shared(7305806, hashtext(?))", params![name]).await?;
        }
        self.read_in(tx, name).await
    }

    /// As [`Cmdb::stored_in`], to change the model: waits for those who write instances, and makes others wait.
    pub(crate) async fn stored_alone(&self, tx: &mut Tx, name: &str) -> Result<StoredModel, CmdbError> {
        if tx.dialect() == plenum_store::Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock(7305806, hashtext(?))", params![name]).await?;
        }
        self.read_in(tx, name).await
    }

    async fn read_in(&self, tx: &mut Tx, name: &str) -> Result<StoredModel, CmdbError> {
        match tx.fetch_optional("SELECT version, builtin, spec FROM cmdb_models WHERE name = ?", params![name]).await? {
            Some(r) => Ok(StoredModel { model: decode(r.json("spec")?)?, version: r.int("version")?, builtin: r.bool("builtin")? }),
            None => {
                let names = tx.fetch_all("SELECT name FROM cmdb_models LIMIT 1000", &[]).await?;
                no_model(name, &names)
            }
        }
    }

    pub(crate) async fn stored(&self, name: &str) -> Result<StoredModel, CmdbError> {
        let row = self.db.fetch_optional("SELECT version, builtin, spec FROM cmdb_models WHERE name = ?", params![name]).await?;
        match row {
            Some(r) => Ok(StoredModel { model: decode(r.json("spec")?)?, version: r.int("version")?, builtin: r.bool("builtin")? }),
            None => {
                let names = self.db.fetch_all("SELECT name FROM cmdb_models LIMIT 1000", &[]).await?;
                no_model(name, &names)
            }
        }
    }

    /// Creates a model.
    pub async fn create_model(&self, who: &Principal, model: Model) -> Result<StoredModel, CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[("models", &model.name)]).await?;
        model.check()?;
        let mut tx = self.db.begin().await?;
        if self.stored_alone(&mut tx, &model.name).await.is_ok() {
            let message = format!("there is already a model {}; choose another name, or change that one", model.name);
            return Err(CmdbError::InvalidModel { pointer: "/name".into(), message });
        }
        check_targets(&mut tx, &model).await?;
        self.write_model(&mut tx, &model, 1, false).await?;
        self.record(&mut tx, who, "created", &model, None).await?;
        tx.commit().await?;
        Ok(StoredModel { model, version: 1, builtin: false })
    }

    /// Changes a model. Refused when records would break the new rules: the first of them is named.
    pub async fn update_model(&self, who: &Principal, model: Model, expected: Option<i64>) -> Result<StoredModel, CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[("models", &model.name)]).await?;
        model.check()?;
        let mut tx = self.db.begin().await?;
        let before = self.stored_alone(&mut tx, &model.name).await?;
        if let Some(expected) = expected
            && expected != before.version
        {
            return Err(StoreError::Conflict { what: format!("model {}", model.name), expected, found: before.version }.into());
        }
        if before.builtin {
            builtin::check_extension(&model)?;
        }
        check_targets(&mut tx, &model).await?;
        secrets::keeps_secrets(&before.model, &model)?;
        self.check_records(&mut tx, &model).await?;
        let version = before.version + 1;
        self.index_again_in(&mut tx, &before.model, &model).await?;
        self.write_model(&mut tx, &model, version, before.builtin).await?;
        self.record(&mut tx, who, "updated", &model, Some(&before.model)).await?;
        tx.commit().await?;
        Ok(StoredModel { model, version, builtin: before.builtin })
    }

    /// Whether all instances fit the model as it would be. Attributes that it no longer has would be lost: that is refused too.
    async fn check_records(&self, tx: &mut Tx, model: &Model) -> Result<(), CmdbError> {
        let mut after: Option<String> = None;
        loop {
            let batch = self.docs.walk_in(tx, &model::collection(&model.name), after.as_deref(), 500).await?;
            for d in &batch {
                if let Err(CmdbError::InvalidInstance { message, .. }) = model.check_instance(&d.data) {
                    let label = model.label(&d.data, &d.id);
                    return Err(CmdbError::InUse(format!(
                        "{label} ({}) would break the changed model: {message}; change the instance first, or try the change by a dry run, which names them \
                         all and can convert, mend or put away their values",
                        d.id
                    )));
                }
            }
            after = match batch.last() {
                Some(d) => Some(d.id.clone()),
                None => return Ok(()),
            };
        }
    }

    /// Deletes a model that has no instances and did not come with Plenum.
    pub async fn delete_model(&self, who: &Principal, name: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[("models", name)]).await?;
        let mut tx = self.db.begin().await?;
        let before = self.stored_alone(&mut tx, name).await?;
        if before.builtin {
            return Err(CmdbError::InUse(format!("the model {name} came with Plenum and stays")));
        }
        if let Some(d) = self.docs.walk_in(&mut tx, &model::collection(name), None, 1).await?.first() {
            let label = before.model.label(&d.data, &d.id);
            return Err(CmdbError::InUse(format!("the model {name} has instances, {label} among them; delete them first")));
        }
        self.docs.drop_collection(&mut tx, &model::collection(name)).await?;
        tx.execute("DELETE FROM cmdb_models WHERE name = ?", params![name]).await?;
        self.forget_changes(&mut tx, name).await?;
        self.record(&mut tx, who, "deleted", &before.model, Some(&before.model)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn record(&self, tx: &mut Tx, who: &Principal, what: &str, model: &Model, before: Option<&Model>) -> Result<(), CmdbError> {
        let target = format!("model/{}", model.name);
        let after = if what == "deleted" { None } else { Some(json!(model)) };
        let verb = what.trim_end_matches('d');
        self.access.audit(tx, who, &format!("cmdb.model.{verb}"), &target, before.map(|m| json!(m)).as_ref(), after.as_ref()).await?;
        let data = json!({"model": model.name});
        emit_later(tx, NewEvent { kind: format!("plenum.cmdb.model.{what}"), source: "/cmdb".into(), subject: target, data })?;
        Ok(())
    }
}

async fn write_spec(tx: &mut Tx, model: &Model, version: i64, builtin: bool) -> Result<(), StoreError> {
    let spec = serde_json::to_value(model).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    tx.execute(
        "INSERT INTO cmdb_models (name, version, builtin, spec, updated_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, spec = excluded.spec, updated_at = excluded.updated_at",
        params![&model.name, version, builtin, spec, now_ms()],
    )
    .await?;
    Ok(())
}

/// Whether there are the models whose instances it refers to.
async fn check_targets(tx: &mut Tx, model: &Model) -> Result<(), CmdbError> {
    for (i, a) in model.attributes.iter().enumerate() {
        let Some(target) = a.target.as_deref().filter(|t| *t != model.name) else { continue };
        if tx.fetch_optional("SELECT 1 AS one FROM cmdb_models WHERE name = ?", params![target]).await?.is_none() {
            let names = tx.fetch_all("SELECT name FROM cmdb_models LIMIT 1000", &[]).await?;
            if let Err(e) = no_model::<()>(target, &names) {
                return Err(CmdbError::InvalidModel { pointer: format!("/attributes/{i}/target"), message: e.to_string() });
            }
        }
    }
    Ok(())
}

fn no_model<T>(name: &str, known: &[plenum_store::Row]) -> Result<T, CmdbError> {
    let known: Vec<String> = known.iter().map(|r| r.text("name")).collect::<Result<_, _>>()?;
    let hint = plenum_store::filter::nearest(name, known.iter().map(String::as_str));
    Err(CmdbError::NoModel { name: name.to_owned(), hint })
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(v: Json) -> Result<T, StoreError> {
    serde_json::from_value(v).map_err(|e| StoreError::Corrupt(e.to_string()))
}
