//! One file a resource; each offers its own `router()`.

pub mod access;
pub mod approvals;
pub mod catalog;
pub mod cmdb;
pub mod cmdb_changes;
pub mod cmdb_feed;
pub mod cmdb_health;
pub mod cmdb_kinds;
pub mod cmdb_query;
pub mod cmdb_remodel;
pub mod cmdb_search;
pub mod cmdb_secrets;
pub mod cmdb_sources;
pub mod cmdb_tables;
pub mod data_roles;
pub mod events;
pub mod jobs;
pub mod jobs_results;
pub mod jobs_retry;
pub mod jobs_safety;
pub mod jobs_types;
pub mod node_metrics;
pub mod nodes;
pub mod notifications;
pub mod overview;
pub mod plugin_data;
pub mod plugin_life;
pub mod plugin_watch;
pub mod plugins;
pub mod run_acts;
pub mod system;
pub mod workflow_insight;
pub mod workflows;

use utoipa_axum::router::OpenApiRouter;

use crate::App;

/// All routes below `/api/v1`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(access::router())
        .merge(cmdb::router())
        .merge(cmdb_kinds::router())
        .merge(cmdb_changes::router())
        .merge(cmdb_feed::router())
        .merge(cmdb_query::router())
        .merge(cmdb_search::router())
        .merge(cmdb_health::router())
        .merge(cmdb_remodel::router())
        .merge(cmdb_secrets::router())
        .merge(cmdb_sources::router())
        .merge(cmdb_tables::router())
        .merge(data_roles::router())
        .merge(events::router())
        .merge(jobs::router())
        .merge(jobs_results::router())
        .merge(jobs_retry::router())
        .merge(jobs_safety::router())
        .merge(node_metrics::router())
        .merge(nodes::router())
        .merge(notifications::router())
        .merge(overview::router())
        .merge(catalog::router())
        .merge(plugin_data::router())
        .merge(plugin_life::router())
        .merge(plugin_watch::router())
        .merge(plugins::router())
        .merge(system::router())
        .merge(workflow_insight::router())
        .merge(workflows::router())
}
