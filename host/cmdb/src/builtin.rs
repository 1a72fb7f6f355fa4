//! The models that come with Plenum, as data in `models/*.json`.

use crate::CmdbError;
use crate::model::Model;

const SOURCES: &[&str] = &[
    include_str!("../models/host.json"),
    include_str!("../models/postgresql.json"),
    include_str!("../models/mysql.json"),
    include_str!("../models/redis.json"),
    include_str!("../models/nginx.json"),
    include_str!("../models/business_application.json"),
    include_str!("../models/system.json"),
    include_str!("../models/environment.json"),
    include_str!("../models/team.json"),
    include_str!("../models/supplier.json"),
    include_str!("../models/data_centre.json"),
    include_str!("../models/rack.json"),
    include_str!("../models/network_device.json"),
    include_str!("../models/certificate.json"),
    include_str!("../models/cloud_account.json"),
];

/// The models whose instances discovery finds on a node.
pub const SERVICES: &[&str] = &["postgresql", "mysql", "redis", "nginx"];

/// All of them.
pub fn models() -> Result<Vec<Model>, CmdbError> {
    SOURCES
        .iter()
        .map(|s| {
            let m: Model =
                serde_json::from_str(s).map_err(|e| CmdbError::InvalidModel { pointer: String::new(), message: e.to_string() })?;
            m.check()?;
            Ok(m)
        })
        .collect()
}

/// A stored model that was extended keeps what was added; what Plenum brings is brought up to date.
pub(crate) fn merge(ours: &Model, stored: &Model) -> Model {
    let mut merged = ours.clone();
    for a in &stored.attributes {
        if merged.attribute(&a.name).is_none() {
            merged.attributes.push(a.clone());
        }
    }
    for u in &stored.unique {
        if !merged.unique.contains(u) {
            merged.unique.push(u.clone());
        }
    }
    merged
}

/// Whether `changed` still has all that Plenum brings for `name`: a built-in model can be extended, not cut.
pub(crate) fn check_extension(changed: &Model) -> Result<(), CmdbError> {
    let Some(ours) = models()?.into_iter().find(|m| m.name == changed.name) else { return Ok(()) };
    for a in &ours.attributes {
        let same = changed
            .attribute(&a.name)
            .is_some_and(|c| c.kind == a.kind && c.columns == a.columns && a.options.iter().all(|o| c.options.contains(o)));
        if !same {
            let message = format!("{} came with Plenum and discovery writes it: it can be neither removed nor changed in kind", a.name);
            return Err(CmdbError::InvalidModel { pointer: "/attributes".into(), message });
        }
    }
    Ok(())
}
