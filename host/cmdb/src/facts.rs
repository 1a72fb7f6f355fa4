//! What agents find, reconciled with what is known, without duplicates.
//!
//! A host is recognised by its node id, then its machine id, then its serial number, then an address that only one host has.
//! A service is recognised by its name on its host. Discovery writes the attributes that it knows and leaves the others to people.
//!
//! Values that move all the time (a disk's use, a process id, a boot time that drifts by a second, the order of rows) are stored
//! without a version, history entry or event of their own, or every host's history would be noise.

use std::collections::{BTreeMap, HashSet};

use plenum_access::{Permission, Principal};
use plenum_store::{Document, DocumentError, Query, Tx, params};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::builtin::SERVICES;
use crate::instances::{instance, missing};
use crate::model::{Attribute, AttributeKind, Model, check_value, collection};
use crate::sources::AGENT;
use crate::sources::claims::{How, Word, decide};
use crate::{Cmdb, CmdbError, Instance};

/// What an agent found on its node.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeFacts {
    /// Attributes of the model `host`.
    pub node: Map<String, Json>,
    /// Services that run there: each has `model`, `name`, and attributes of that model.
    #[serde(default)]
    pub services: Vec<Map<String, Json>>,
}

/// What reconciling did.
#[derive(Debug, Clone)]
pub struct Reconciled {
    /// The host.
    pub host: Instance,
    /// Its services, running and stopped.
    pub services: Vec<Instance>,
}

/// Columns of tables that move all the time: compared without, stored with.
pub(crate) const VOLATILE: &[(&str, &str)] = &[("mounts", "used_bytes"), ("mounts", "size_bytes")];
/// Attributes of services that move with every restart of the process.
pub(crate) const VOLATILE_SERVICE: &[&str] = &["pid"];
/// The kernel computes the boot time anew from a clock that is being corrected: less than this is no reboot.
const BOOT_TIME_DRIFT_MS: i64 = 60_000;
/// How exactly it is known when an agent last spoke of a record.
const HEARD_MS: i64 = 3_600_000;
/// Most services taken from one node.
const MAX_SERVICES: usize = 500;
/// Addresses that say nothing of who has them.
const COMMON_ADDRESSES: &[&str] = &["127.", "::1", "fe80:", "169.254.", "172.17.0.1", "0.0.0.0"];

impl Cmdb {
    /// Brings the CMDB in line with what the agent of `node_id` found. `status` becomes `online`.
    pub async fn reconcile(&self, who: &Principal, node_id: &str, facts: NodeFacts) -> Result<Reconciled, CmdbError> {
        self.require_discovery(who, node_id).await?;
        let _one = self.reconciling.lock().await;
        let mut tx = self.db.begin().await?;
        if tx.dialect() == plenum_store::Dialect::Postgres {
            // Another host process may reconcile the same machine.
            tx.execute("SELECT pg_advisory_xact_lock(7305804)", &[]).await?;
        }
        let host_model = self.stored_in(&mut tx, "host").await?.model;
        let mut node = known(&host_model, facts.node);
        node.insert("node_id".into(), node_id.into());
        node.insert("status".into(), "online".into());
        if node.get("hostname").and_then(Json::as_str).is_none_or(|h| h.trim().is_empty()) {
            node.insert("hostname".into(), node_id.into());
        }
        let found = self.find_host(node_id, &node).await?;
        let host = match found {
            None => self.found_in(&mut tx, who, &host_model, node, "found by its agent").await?,
            Some(before) => self.merge(&mut tx, who, &host_model, &before, node, "reported by its agent").await?,
        };
        let mut services = Vec::new();
        let mut kept: Vec<(String, String)> = Vec::new();
        let mut reported: HashSet<(String, String)> = HashSet::new();
        for mut service in facts.services.into_iter().take(MAX_SERVICES) {
            let Some(model) =
                service.remove("model").and_then(|m| m.as_str().map(str::to_owned)).filter(|m| SERVICES.contains(&m.as_str()))
            else {
                continue;
            };
            let m = self.stored_in(&mut tx, &model).await?.model;
            let mut attributes = known(&m, service);
            let Some(identity) = attributes.get("name").and_then(Json::as_str).map(str::to_owned) else { continue };
            if !reported.insert((model.clone(), identity.clone())) {
                continue;
            }
            attributes.insert("identity".into(), identity.clone().into());
            attributes.insert("node_id".into(), node_id.into());
            attributes.insert("host_id".into(), host.id.clone().into());
            attributes.insert("status".into(), "running".into());
            let made = match self.find_service(&model, node_id, &host.id, &identity).await? {
                None => {
                    let name = format!("{identity}@{}", host.label);
                    attributes.insert("name".into(), name.into());
                    self.found_in(&mut tx, who, &m, attributes, "found running on its host").await?
                }
                Some(before) => {
                    // The name may have been given by a person.
                    attributes.remove("name");
                    self.merge(&mut tx, who, &m, &before, attributes, "reported by its agent").await?
                }
            };
            self.runs_on_in(&mut tx, who, (&model, &made.id), &host.id).await?;
            kept.push((model, made.id.clone()));
            services.push(made);
        }
        for model in SERVICES {
            let m = self.stored_in(&mut tx, model).await?.model;
            let filter = format!("(node_id == {} || host_id == {}) && status == \"running\"", json!(node_id), json!(host.id));
            let running =
                self.docs.query(&collection(model), &Query { filter: Some(filter), limit: 1000, ..Query::default() }).await?.items;
            for d in running.into_iter().filter(|d| !kept.iter().any(|(km, id)| km == model && *id == d.id)) {
                let patch = Map::from_iter([("status".to_owned(), "stopped".into()), ("pid".to_owned(), Json::Null)]);
                services.push(self.patch_in(&mut tx, who, &m, &d.id, patch, None, Some("no longer runs on its host")).await?);
            }
        }
        tx.commit().await?;
        Ok(Reconciled { host, services })
    }

    /// Sets whether the host of a node is `online`, `offline` or `unknown`. Nothing happens when the node has no host yet.
    pub async fn set_node_status(&self, who: &Principal, node_id: &str, status: &str) -> Result<(), CmdbError> {
        self.require_discovery(who, node_id).await?;
        let m = self.stored("host").await?.model;
        let filter = format!("node_id == {}", json!(node_id));
        let Some(d) =
            self.docs.query(&collection("host"), &Query { filter: Some(filter), limit: 1, ..Query::default() }).await?.items.pop()
        else {
            return Ok(());
        };
        let mut tx = self.db.begin().await?;
        self.patch_in(
            &mut tx,
            who,
            &m,
            &d.id,
            Map::from_iter([("status".to_owned(), status.into())]),
            None,
            Some("connection of its agent"),
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn require_discovery(&self, who: &Principal, node_id: &str) -> Result<(), CmdbError> {
        match who {
            Principal::Agent { node } if node == node_id => Ok(()),
            _ => Ok(self.access.require(who, Permission::CmdbWrite, &[("models", "host")]).await?),
        }
    }

    async fn find_host(&self, node_id: &str, node: &Map<String, Json>) -> Result<Option<String>, CmdbError> {
        let mut filters = vec![format!("node_id == {}", json!(node_id))];
        for key in ["machine_id", "serial"] {
            if let Some(v) = node.get(key).and_then(Json::as_str).filter(|v| meaningful(v)) {
                filters.push(format!("{key} == {}", json!(v)));
            }
        }
        for a in node.get("addresses").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !COMMON_ADDRESSES.iter().any(|c| a.starts_with(c)) {
                // By address only a record that no agent claims: two machines may share a virtual address.
                filters.push(format!("node_id == null && machine_id == null && {} in addresses", json!(a)));
            }
        }
        for filter in filters.into_iter().take(20) {
            let query = Query { filter: Some(filter), limit: 2, ..Query::default() };
            let mut found = match self.docs.query(&collection("host"), &query).await {
                Ok(page) => page.items,
                Err(DocumentError::Filter(_)) => continue,
                Err(e) => return Err(e.into()),
            };
            if found.len() == 1 {
                return Ok(found.pop().map(|d| d.id));
            }
        }
        Ok(None)
    }

    /// The stored record of a service: by its node, else by its host, which may have been enrolled again as another node.
    async fn find_service(&self, model: &str, node_id: &str, host_id: &str, identity: &str) -> Result<Option<String>, CmdbError> {
        for (key, value) in [("node_id", node_id), ("host_id", host_id)] {
            let filter = Some(format!("{key} == {} && identity == {}", json!(value), json!(identity)));
            let found = self.docs.query(&collection(model), &Query { filter, limit: 1, ..Query::default() }).await?.items.pop();
            if found.is_some() {
                return Ok(found.map(|d| d.id));
            }
        }
        Ok(None)
    }

    async fn found_in(&self, tx: &mut Tx, who: &Principal, m: &Model, found: Map<String, Json>, why: &str) -> Result<Instance, CmdbError> {
        let made = self.insert_in(tx, who, m, Json::Object(found), Some(why)).await?;
        self.born_in(tx, m, &made, Word::of(AGENT, How::Reported)).await?;
        Ok(made)
    }

    /// What an agent says of a record that is there: its values count where the rules of precedence have it so.
    async fn merge(
        &self,
        tx: &mut Tx,
        who: &Principal,
        m: &Model,
        id: &str,
        mut found: Map<String, Json>,
        why: &str,
    ) -> Result<Instance, CmdbError> {
        // Read again and held: what a person wrote in the meantime stays.
        let before = self.docs.get_in(tx, &collection(&m.name), id).await?.ok_or_else(|| missing(&m.name, id))?;
        if drifted(before.data.get("boot_time"), found.get("boot_time")) {
            found.remove("boot_time");
        }
        let rows = self.claims_in(tx, id).await?;
        let word = Word::of(AGENT, How::Reported);
        let settings = self.settings().await?;
        let decided = decide(&settings.precedence, m, &before.data, before.updated_at, &rows, word, &found);
        let mut after = before.data.clone();
        if let Json::Object(o) = &mut after {
            o.extend(decided.patch.clone());
        }
        let after = crate::instances::without_nulls(after);
        let merged = if still(m, &before.data) != still(m, &after) {
            self.patch_in(tx, who, m, id, decided.patch, None, Some(why)).await?
        } else {
            if before.data != after {
                self.docs.touch(tx, &collection(&m.name), id, after.clone()).await?;
                crate::search::index_in(tx, m, id, &after);
            }
            instance(m, Document { data: after, ..before })
        };
        // A row that says the same is written again only when it would soon look old.
        let heard = rows.get(AGENT).is_some_and(|r| r.vanished_at.is_none() && r.last_seen > word.now - HEARD_MS);
        if !heard || !decided.claims.is_empty() {
            self.keep_in(tx, m, id, &rows, word, decided.claims).await?;
        }
        Ok(merged)
    }

    /// The node of an instance: a host's own, or that of the host that it runs on.
    pub async fn node_of(&self, model: &str, id: &str) -> Result<Option<String>, CmdbError> {
        let node = |d: &plenum_store::Document| d.data.get("node_id").and_then(Json::as_str).map(str::to_owned);
        if let Some(n) = self.docs.get(&collection(model), id).await?.as_ref().and_then(node) {
            return Ok(Some(n));
        }
        let row = self
            .db
            .fetch_optional("SELECT to_id FROM cmdb_associations WHERE kind = 'runs_on' AND from_id = ? AND to_model = 'host'", params![id])
            .await?;
        match row {
            Some(r) => Ok(self.docs.get(&collection("host"), &r.text("to_id")?).await?.as_ref().and_then(node)),
            None => Ok(None),
        }
    }
}

/// Machine ids and serial numbers that vendors put in place of one.
pub(crate) fn meaningful(v: &str) -> bool {
    let v = v.trim();
    v.len() >= 4
        && !v.chars().all(|c| c == '0' || c == '-')
        && !["none", "not specified", "to be filled by o.e.m.", "default string", "system serial number"]
            .contains(&v.to_lowercase().as_str())
}

/// Whether two boot times are of the same boot.
fn drifted(before: Option<&Json>, after: Option<&Json>) -> bool {
    let ms = |v: Option<&Json>| plenum_store::filter::time_ms(v?.as_str()?);
    matches!((ms(before), ms(after)), (Some(a), Some(b)) if a.abs_diff(b) < BOOT_TIME_DRIFT_MS as u64)
}

/// What the model knows; an agent newer than the host may report more.
fn known(m: &Model, found: Map<String, Json>) -> Map<String, Json> {
    found
        .into_iter()
        .filter(|(_, v)| !v.is_null())
        .filter_map(|(k, v)| {
            let a = m.attribute(&k)?;
            let v = if a.columns.is_empty() { v } else { known_rows(a, &v)? };
            // One value that the model refuses must not keep the whole machine out.
            if let Err(e) = check_value(a, &v, "") {
                tracing::warn!(model = %m.name, attribute = %k, error = %e, "an agent reported what the model does not hold; it is left out");
                return None;
            }
            Some((k, v))
        })
        .collect()
}

fn known_rows(a: &Attribute, v: &Json) -> Option<Json> {
    let keep = |c: &str| a.columns.iter().any(|x| x.name == c);
    let row = |r: &Map<String, Json>| r.iter().filter(|(c, v)| !v.is_null() && keep(c)).map(|(c, v)| (c.clone(), v.clone())).collect();
    Some(v.as_array()?.iter().filter_map(Json::as_object).map(|r| Json::Object(row(r))).collect())
}

/// The attributes without what moves all the time, rows and lists in one order.
fn still(m: &Model, attributes: &Json) -> Json {
    let keep = |k: &String| m.name == "host" || !VOLATILE_SERVICE.contains(&k.as_str());
    attributes.as_object().into_iter().flatten().filter(|(k, _)| keep(k)).map(|(k, v)| (k.clone(), still_value(m, k, v))).collect()
}

/// One value, so that two which only look different are equal: without what moves all the time, rows and lists in one order, times in one spelling.
pub(crate) fn still_value(m: &Model, attribute: &str, value: &Json) -> Json {
    let mut out = value.clone();
    match (&mut out, m.attribute(attribute).map(|a| a.kind)) {
        (Json::String(s), Some(AttributeKind::Timestamp)) => {
            if let Some(t) = plenum_store::filter::normal_time(s) {
                *s = t;
            }
        }
        (Json::Array(rows), _) => {
            for (_, column) in VOLATILE.iter().filter(|(table, _)| m.name == "host" && *table == attribute) {
                rows.iter_mut().filter_map(Json::as_object_mut).for_each(|r| {
                    r.remove(*column);
                });
            }
            rows.sort_by_cached_key(|r| {
                // The columns in one order too: PostgreSQL keeps its own.
                let sorted: BTreeMap<&String, &Json> = r.as_object().into_iter().flatten().collect();
                if r.is_object() { json!(sorted).to_string() } else { r.to_string() }
            });
        }
        _ => {}
    }
    out
}
