//! Free text over all records.

use axum::Json;
use axum::extract::State;
use plenum_cmdb::Hit;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cmdb::{InstanceJson, instance_json};
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Caller, Query};

/// The routes of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

/// A question.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Words that all have to be found, each where a word begins: `prod 10.2.`; in labels, unique keys and ids anywhere. At most 200 characters.
    q: String,
    /// Names of models, with commas between: only their records.
    model: Option<String>,
    /// Records of a page: 20 when absent, 100 at the most.
    limit: Option<usize>,
    /// `next_cursor` of the page before. The best 400 can be paged through.
    cursor: Option<String>,
}

/// Where a record matched.
#[derive(Serialize, ToSchema)]
pub struct MatchJson {
    /// The attribute; `label` and `id` are the record's own.
    attribute: String,
    /// What it is called, by language.
    #[schema(value_type = Object)]
    title: Value,
    /// Its value around the match.
    snippet: String,
}

/// A record that was found.
#[derive(Serialize, ToSchema)]
pub struct HitJson {
    #[serde(flatten)]
    record: InstanceJson,
    /// The best match of each word.
    matched: Vec<MatchJson>,
}

/// How many of a model were found.
#[derive(Serialize, ToSchema)]
pub struct ModelCountJson {
    model: String,
    count: i64,
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub struct HitsJson {
    /// The best first: labels, unique keys and ids before other attributes, the whole value before its beginning before a part of it.
    items: Vec<HitJson>,
    /// How many there are of each model, the most first; 10,000 are counted at most.
    counts: Vec<ModelCountJson>,
    /// Whether there are more than were counted.
    more: bool,
    /// Send it as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
    /// Whether records are still being put into the index after an update of Plenum or of a model, so that some may be missing.
    building: bool,
}

fn hit_json(h: Hit) -> HitJson {
    let matched = h
        .matched
        .into_iter()
        .map(|m| MatchJson { attribute: m.attribute, title: serde_json::json!(m.title), snippet: m.snippet })
        .collect();
    HitJson { record: instance_json(h.instance), matched }
}

/// Free text over all models, the best first. What the caller does not see is not found.
#[utoipa::path(get, path = "/cmdb/search", tag = "cmdb", params(SearchQuery), responses((status = 200, body = HitsJson), (status = 400, body = Problem)))]
async fn search(State(app): State<App>, Caller(who): Caller, Query(q): Query<SearchQuery>) -> ApiResult<Json<HitsJson>> {
    let skip = match q.cursor.as_deref().filter(|c| !c.is_empty()) {
        None => 0,
        Some(c) => c
            .parse::<usize>()
            .map_err(|_| ApiError::bad_request("request.cursor", "`cursor` is the `next_cursor` of an earlier page of the same search"))?,
    };
    let models = q.model.iter().flat_map(|m| m.split(',')).map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned).collect();
    let asked = plenum_cmdb::SearchQuery { text: q.q, models, limit: q.limit.unwrap_or(0), skip };
    let found = app.cmdb.search(&who, &asked).await?;
    Ok(Json(HitsJson {
        items: found.items.into_iter().map(hit_json).collect(),
        counts: found.counts.into_iter().map(|(model, count)| ModelCountJson { model, count }).collect(),
        more: found.more,
        next_cursor: found.next.map(|n| n.to_string()),
        building: found.building,
    }))
}
