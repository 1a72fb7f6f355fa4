//! What a filter may look at beside the record itself: records that associations lead to, and groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use plenum_access::{AccessError, DataScope, Denied, Permission, Principal};
use plenum_store::documents::Surrounding;
use plenum_store::filter::{Link, LinkTable, Links, Named};
use plenum_store::{DocumentError, Filter, Query};

use crate::model::{Model, StoredModel, collection};
use crate::scope::shown_model;
use crate::view::View;
use crate::{Cmdb, CmdbError, StoredKind, decode};

/// Where associations are.
const TABLE: LinkTable = LinkTable { table: "cmdb_associations", kind: "kind", from: ("from_model", "from_id"), to: ("to_model", "to_id") };

/// The name of an association kind in filters, from its end: *is needed by* is `is_needed_by`.
pub(crate) fn word(text: &str) -> String {
    text.trim().to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// All kinds, both ways, as filters and expansions name them.
fn all_links(kinds: &[StoredKind]) -> Vec<Link> {
    let mut out: Vec<Link> = kinds.iter().map(|k| Link { name: k.kind.name.clone(), kind: k.kind.name.clone(), backward: false }).collect();
    for k in kinds {
        let name = word(k.kind.backward.0.get("en").map_or("", String::as_str));
        if !name.is_empty() && !out.iter().any(|l| l.name == name) {
            out.push(Link { name, kind: k.kind.name.clone(), backward: true });
        }
    }
    out
}

impl Cmdb {
    /// All associations that there are, both ways.
    pub(crate) async fn every_link(&self) -> Result<Vec<Link>, CmdbError> {
        Ok(all_links(&self.all_kinds().await?))
    }

    /// A model as the caller may look at it through an association; none when it may not be read.
    fn seen_through(&self, who: &Principal, scope: Option<&DataScope>, model: &Model) -> Result<Option<Surrounding>, CmdbError> {
        if !self.sees(who, &model.name) {
            return Ok(None);
        }
        let Some(view) = View::of(model.clone(), scope) else { return Ok(None) };
        let mut schema = shown_model(who, StoredModel { model: model.clone(), version: 0, builtin: false }).model.spec().schema;
        schema.fields.retain(|f| !view.hides(&f.name));
        Ok(Some(Surrounding { name: model.name.clone(), collection: collection(&model.name), schema, within: view.within()? }))
    }

    /// All models.
    pub(crate) async fn every_model(&self) -> Result<Vec<Model>, CmdbError> {
        let rows = self.db.fetch_all("SELECT spec FROM cmdb_models ORDER BY name LIMIT 1000", &[]).await?;
        rows.iter().map(|r| Ok(decode(r.json("spec")?)?)).collect()
    }

    /// The surroundings that the filter of a query needs; a filter over the record's own fields needs none.
    pub(crate) async fn links_for(&self, who: &Principal, home: &Model, filter: Option<&str>) -> Result<Option<Arc<Links>>, CmdbError> {
        let Some(source) = filter.map(str::trim).filter(|f| !f.is_empty()) else { return Ok(None) };
        match Filter::parse(source, &home.spec().schema) {
            Err(e) if e.code == "filter.unknown_field" || source.contains("in_group") => {}
            // What else is wrong with it is said where it is used.
            _ => return Ok(None),
        }
        Ok(Some(self.around(who, home, source).await?))
    }

    /// The surroundings of a model for a filter: of the kinds that it names, what is linked.
    pub(crate) async fn around(&self, who: &Principal, home: &Model, source: &str) -> Result<Arc<Links>, CmdbError> {
        let scope = self.scope(who).await?;
        if scope.is_some() && source.contains("in_group") {
            // Whoever made the group may have seen more.
            let reason =
                "groups look at records whether or not your data roles let you see them; write what you look for as a filter".to_owned();
            return Err(AccessError::Denied(Denied { permission: Permission::CmdbRead, reason }).into());
        }
        let named = if source.contains("in_group") { self.named_filters().await? } else { BTreeMap::new() };
        let texts: Vec<&str> = std::iter::once(source).chain(named.values().map(|n: &Named| n.source.as_str())).collect();
        let links = self.every_link().await?;
        let used: Vec<&Link> = links.iter().filter(|l| texts.iter().any(|t| t.contains(l.name.as_str()))).collect();
        let models = self.every_model().await?;
        let mut around: Vec<Surrounding> =
            models.iter().filter_map(|m| self.seen_through(who, scope.as_deref(), m).transpose()).collect::<Result<_, _>>()?;
        if scope.is_none() && !around.iter().any(|s| s.name == home.name) {
            // The model itself was checked by whoever asks.
            around.push(Surrounding {
                name: home.name.clone(),
                collection: collection(&home.name),
                schema: home.spec().schema,
                within: None,
            });
        }
        let used = used.into_iter().cloned().collect();
        let mut found = self.docs.links(TABLE, &home.name, around, used, named).await?;
        // All names are known, so that a wrong one finds the nearest.
        found.links = links;
        Ok(Arc::new(found))
    }

    /// The query with the surroundings that its filter needs.
    pub(crate) async fn with_links(&self, who: &Principal, home: &Model, query: &Query) -> Result<Query, CmdbError> {
        let links = self.links_for(who, home, query.filter.as_deref()).await?;
        Ok(Query { links, ..query.clone() })
    }

    /// Checks a filter over a model as the caller may use it.
    pub(crate) async fn checked(&self, who: &Principal, home: &Model, filter: &str) -> Result<Filter, CmdbError> {
        let schema = home.spec().schema;
        let parsed = match self.links_for(who, home, Some(filter)).await? {
            Some(links) => Filter::parse_linked(filter.trim(), &schema, &links),
            None => Filter::parse(filter.trim(), &schema),
        };
        Ok(parsed.map_err(DocumentError::Filter)?)
    }
}
