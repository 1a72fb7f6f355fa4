//! Questions about many records: facets, aggregates, how a query is answered.

use plenum_access::{Denied, KEEPS_TO_ATTRIBUTES, Permission, Principal};
use plenum_store::{Aggregate, Bucket, Group, Measure, Query};
use serde::Serialize;
use serde_json::Value as Json;

use crate::model::{Model, collection};
use crate::scope::sees_a_part;
use crate::view::View;
use crate::{Cmdb, CmdbError};

/// Most attributes whose values are counted at once.
pub const MAX_FACETS: usize = 12;
/// Most values of a facet.
pub const MAX_VALUES: u32 = 100;

/// The values of an attribute and how many records have each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facet {
    /// The attribute.
    pub field: String,
    /// The most frequent first; null for the records without it.
    pub values: Vec<FacetValue>,
    /// How many records have a value that is not listed.
    pub others: i64,
}

/// A value of a facet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FacetValue {
    /// The value.
    pub value: Json,
    /// How many records have it.
    pub count: i64,
}

/// Facets, and how many records there are in all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facets {
    /// Records that the filter matches.
    pub total: i64,
    /// In the order asked for.
    pub facets: Vec<Facet>,
}

/// One model's part in answering a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The model; none of the associations themselves.
    pub model: Option<String>,
    /// The attributes of the index that is used; none when all is read.
    pub index: Option<Vec<String>>,
}

/// How a query is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What is read.
    pub steps: Vec<Step>,
    /// Whether every record of the model is read.
    pub scans: bool,
    /// About how many records the model has.
    pub records: i64,
    /// Whether that is many enough to be felt.
    pub slow: bool,
    /// What the database says, line by line.
    pub plan: Vec<String>,
}

/// From so many records on, reading all of them is felt.
pub const LARGE: i64 = 20_000;

impl Cmdb {
    /// The most frequent values of some attributes among the records that a filter and words match.
    pub async fn facets(&self, who: &Principal, model: &str, query: &Query, fields: &[String], top: u32) -> Result<Facets, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        if fields.len() > MAX_FACETS {
            let message = format!("at most {MAX_FACETS} attributes are counted at once, this asks for {}", fields.len());
            return Err(plenum_store::DocumentError::Query(message).into());
        }
        let query = self.counted(who, &view, query).await?;
        self.may_see(who, &view, fields.iter().map(String::as_str)).await?;
        let name = collection(model);
        let top = top.clamp(1, MAX_VALUES);
        let total = self.docs.count_of(&name, &query).await?;
        let mut facets = Vec::with_capacity(fields.len());
        for field in fields {
            let a = Aggregate {
                filter: query.filter.clone(),
                search: query.search.clone(),
                links: query.links.clone(),
                groups: vec![(field.clone(), None)],
                measures: vec![(Measure::Count, None)],
                limit: top,
                most_first: true,
            };
            let groups = self.docs.aggregate(&name, &a).await?;
            let values: Vec<FacetValue> = groups.into_iter().map(facet_value).collect();
            let listed: i64 = values.iter().map(|v| v.count).sum();
            facets.push(Facet { field: field.clone(), values, others: (total - listed).max(0) });
        }
        Ok(Facets { total, facets })
    }

    /// Counts, sums, means, least and greatest values by groups.
    pub async fn aggregate(&self, who: &Principal, model: &str, wanted: &Aggregate) -> Result<Vec<Group>, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        let query = Query { filter: wanted.filter.clone(), search: wanted.search.clone(), ..Query::default() };
        let query = self.counted(who, &view, &query).await?;
        let measured = wanted.measures.iter().filter_map(|(_, f)| f.as_deref());
        self.may_see(who, &view, wanted.groups.iter().map(|(f, _)| f.as_str()).chain(measured)).await?;
        Ok(self.docs.aggregate(&collection(model), &Aggregate { filter: query.filter, links: query.links, ..wanted.clone() }).await?)
    }

    /// How the database finds what a query asks for.
    pub async fn explain(&self, who: &Principal, model: &str, query: &Query) -> Result<Explained, CmdbError> {
        let m = self.readable(who, model).await?;
        let query = self.with_links(who, &m, query).await?;
        self.may_ask(who, &m, &query).await?;
        let plan = self.docs.explain(&collection(model), &query).await?;
        let name = |c: String| c.strip_prefix("cmdb/").map_or(c.clone(), str::to_owned);
        let steps = plan.steps.into_iter().map(|s| Step { model: s.collection.map(name), index: s.index }).collect();
        let slow = plan.scans && plan.documents >= LARGE;
        Ok(Explained { steps, scans: plan.scans, records: plan.documents, slow, plan: plan.raw })
    }

    /// The query of those who count: held to what the caller sees.
    async fn counted(&self, who: &Principal, view: &View, query: &Query) -> Result<Query, CmdbError> {
        if view.hides_words(query) {
            let reason = "free text is looked for in all attributes, and your data roles hide some of them: use a filter".to_owned();
            let denied = Denied { permission: Permission::CmdbRead, reason };
            return Err(self.access.refuse(who, denied, &[("models", &view.model.name)]).await.into());
        }
        let query = self.with_links(who, &view.model, query).await?;
        let narrowed = view.narrow(&query)?;
        self.may_ask(who, &view.model, &query).await?;
        Ok(narrowed)
    }

    /// Whether the values of these attributes may be told; what is no attribute is no secret.
    async fn may_see(&self, who: &Principal, view: &View, fields: impl Iterator<Item = &str>) -> Result<(), CmdbError> {
        let m = &view.model;
        let fields: Vec<&str> = fields.collect();
        let of = |f: &str| f.split('.').next().unwrap_or_default().to_owned();
        view.must_know(fields.iter().map(|f| of(f)).filter(|f| m.attribute(f).is_some()).collect::<Vec<_>>().iter())?;
        if !sees_a_part(who) {
            return Ok(());
        }
        self.may(who, Permission::CmdbRead, m, fields.into_iter().filter(|f| m.attribute(f).is_some())).await
    }

    /// A model that the caller may read whole: for what does not keep to data roles.
    pub(crate) async fn readable(&self, who: &Principal, model: &str) -> Result<Model, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[("models", model), KEEPS_TO_ATTRIBUTES]).await?;
        Ok(self.stored(model).await?.model)
    }
}

fn facet_value(g: Group) -> FacetValue {
    let value = g.keys.into_iter().next().unwrap_or(Json::Null);
    FacetValue { value, count: g.values.first().and_then(Json::as_i64).unwrap_or(0) }
}

/// A span of time by the name that the API uses.
pub fn bucket(name: &str) -> Option<Bucket> {
    Some(match name {
        "minute" => Bucket::Minute,
        "hour" => Bucket::Hour,
        "day" => Bucket::Day,
        "month" => Bucket::Month,
        "year" => Bucket::Year,
        _ => return None,
    })
}

/// A measure by the name that the API uses.
pub fn measure(name: &str) -> Option<Measure> {
    Some(match name {
        "count" => Measure::Count,
        "sum" => Measure::Sum,
        "avg" => Measure::Avg,
        "min" => Measure::Min,
        "max" => Measure::Max,
        _ => return None,
    })
}
