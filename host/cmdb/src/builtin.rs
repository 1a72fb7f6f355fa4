//! The models that come with Plenum, as data in `models/*.json`.

use crate::CmdbError;
use crate::model::{Attribute, Model};

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
    include_str!("../models/container_host.json"),
    include_str!("../models/oracle.json"),
    include_str!("../models/sql_server.json"),
    include_str!("../models/mongodb.json"),
    include_str!("../models/tomcat.json"),
    include_str!("../models/kafka.json"),
    include_str!("../models/rabbitmq.json"),
    include_str!("../models/module.json"),
    include_str!("../models/interface.json"),
    include_str!("../models/cable.json"),
    include_str!("../models/room.json"),
    include_str!("../models/ip_subnet.json"),
    include_str!("../models/ip_address.json"),
    include_str!("../models/domain_name.json"),
    include_str!("../models/vpc.json"),
    include_str!("../models/region.json"),
    include_str!("../models/disk.json"),
    include_str!("../models/licence.json"),
    include_str!("../models/contract.json"),
    include_str!("../models/person.json"),
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

/// The models of records that discovery makes.
fn is_discovered(model: &str) -> bool {
    model == "host" || SERVICES.contains(&model)
}

/// What Plenum brings, with what was changed here: added attributes, unique keys and options stay, and so do words and looks.
pub(crate) fn merge(ours: &Model, stored: &Model) -> Model {
    let mut merged = stored.clone();
    merged.attributes =
        ours.attributes.iter().map(|a| stored.attribute(&a.name).map_or_else(|| a.clone(), |s| merge_attribute(a, s))).collect();
    for a in &stored.attributes {
        if merged.attribute(&a.name).is_none() {
            merged.attributes.push(a.clone());
        }
    }
    if merged.identification.is_empty() {
        merged.identification.clone_from(&ours.identification);
    }
    for u in &ours.unique {
        if !merged.unique.contains(u) {
            merged.unique.push(u.clone());
        }
    }
    merged
}

fn merge_attribute(ours: &Attribute, stored: &Attribute) -> Attribute {
    if ours.kind != stored.kind {
        // Somebody had added an attribute of this name before Plenum brought one. Theirs has data in it.
        tracing::warn!(attribute = %ours.name, "a built-in attribute has the name of one that was added here and is left out");
        return stored.clone();
    }
    let mut options = ours.options.clone();
    options.extend(stored.options.iter().filter(|o| !ours.options.contains(o)).cloned());
    Attribute {
        title: stored.title.clone(),
        unit: stored.unit.clone(),
        section: stored.section.clone(),
        indexed: ours.indexed || stored.indexed,
        options,
        colours: if stored.colours.is_empty() { ours.colours.clone() } else { stored.colours.clone() },
        importance: stored.importance.or(ours.importance),
        sources: stored.sources.clone(),
        ..ours.clone()
    }
}

/// Whether `changed` still has all that Plenum brings for `name`: a built-in model can be extended, not cut.
pub(crate) fn check_extension(changed: &Model) -> Result<(), CmdbError> {
    let Some(ours) = models()?.into_iter().find(|m| m.name == changed.name) else { return Ok(()) };
    let bad = |pointer: String, message: String| Err(CmdbError::InvalidModel { pointer, message });
    for a in &ours.attributes {
        let same = changed
            .attribute(&a.name)
            .is_some_and(|c| c.kind == a.kind && c.columns == a.columns && a.options.iter().all(|o| c.options.contains(o)));
        if !same {
            let message = format!("{} came with Plenum and discovery writes it: it can be neither removed nor changed in kind", a.name);
            return bad("/attributes".into(), message);
        }
    }
    if !is_discovered(&changed.name) {
        return Ok(());
    }
    // Discovery makes records of it and knows nothing of what was added: it must be able to go on.
    for (i, a) in changed.attributes.iter().enumerate() {
        if a.required && !ours.attribute(&a.name).is_some_and(|o| o.required) {
            let message = format!("{} cannot be required: discovery makes records of {} and does not know it", a.name, changed.name);
            return bad(format!("/attributes/{i}/required"), message);
        }
    }
    match changed.unique.iter().position(|u| !ours.unique.contains(u)) {
        Some(i) => {
            let message = format!(
                "{} gets no further unique key: discovery would find two machines with the same value and could not keep both",
                changed.name
            );
            bad(format!("/unique/{i}"), message)
        }
        None => Ok(()),
    }
}
