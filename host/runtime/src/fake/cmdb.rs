//! The CMDB of the fake host: the models that come with Plenum, records of the fixtures, the real filters.

use plenum_access::Permission;
use plenum_cmdb::{AttributeKind, Model};
use plenum_store::{Field, FieldKind, Filter, Schema};
use serde_json::{Map, Value as Json, json};

use super::world::{Args, Instance, Link, World, compare, page, read_object};
use super::{Refusal, refusal};

fn kind(k: AttributeKind) -> FieldKind {
    match k {
        AttributeKind::Integer => FieldKind::Integer,
        AttributeKind::Decimal => FieldKind::Decimal,
        AttributeKind::Boolean => FieldKind::Boolean,
        AttributeKind::Timestamp => FieldKind::Timestamp,
        AttributeKind::List | AttributeKind::MultiEnum => FieldKind::List(Box::new(FieldKind::Text)),
        AttributeKind::Table | AttributeKind::Json => FieldKind::Json,
        _ => FieldKind::Text,
    }
}

/// What a value of a fixture is.
fn guessed(v: &Json) -> FieldKind {
    match v {
        Json::Bool(_) => FieldKind::Boolean,
        Json::Number(n) if n.is_i64() => FieldKind::Integer,
        Json::Number(_) => FieldKind::Decimal,
        Json::String(_) => FieldKind::Text,
        Json::Array(items) if items.iter().all(Json::is_string) => FieldKind::List(Box::new(FieldKind::Text)),
        _ => FieldKind::Json,
    }
}

/// As the store has it, for filters.
pub(super) fn with_system(id: &str, version: u64, times: (i64, i64), data: &Map<String, Json>) -> Json {
    let mut all = data.clone();
    all.insert("id".into(), json!(id));
    all.insert("version".into(), json!(version));
    for (name, at) in [("created_at", times.0), ("updated_at", times.1)] {
        let text = chrono::DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        all.insert(name.into(), json!(text));
    }
    Json::Object(all)
}

/// What to sort by, and whether downwards.
pub(super) fn order(found: &mut [Json], sort: &str) {
    let Some((field, down)) = crate::interfaces::sort(sort) else { return };
    let of = |v: &Json| v.get(&field).cloned().unwrap_or_default();
    found.sort_by(|a, b| if down { compare(&of(b), &of(a)) } else { compare(&of(a), &of(b)) });
}

impl World {
    pub(super) fn new_instance(&mut self, model: &str, mut attributes: Map<String, Json>, id: Option<String>) -> Instance {
        attributes.retain(|_, v| !v.is_null());
        let id = id.unwrap_or_else(|| self.id(model));
        let i = Instance { id, model: model.to_owned(), version: 1, attributes, created_at: self.now, updated_at: self.now };
        self.instances.push(i.clone());
        i
    }

    fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|m| m.name == name)
    }

    /// The attributes of its model, and what the records here have beside them.
    fn schema(&self, model: &str) -> Result<Schema, Refusal> {
        let known = self.model(model);
        let mut fields: Vec<Field> = known.into_iter().flat_map(|m| &m.attributes).map(|a| Field::new(&a.name, kind(a.kind))).collect();
        for i in self.instances.iter().filter(|i| i.model == model) {
            for (name, value) in &i.attributes {
                if !fields.iter().any(|f| f.name == *name) {
                    fields.push(Field::new(name, guessed(value)));
                }
            }
        }
        if known.is_none() && fields.is_empty() {
            let message = format!("there is no model {model}: it is none of those that come with Plenum, and the case has no record of it");
            return Err(refusal("cmdb.no_model", 404, message));
        }
        Ok(Schema::new(fields))
    }

    fn instance_json(&self, i: &Instance) -> Json {
        let attributes = Json::Object(i.attributes.clone());
        let named = ["hostname", "name"].iter().find_map(|k| attributes.get(*k)?.as_str()).unwrap_or(&i.id).to_owned();
        let label = self.model(&i.model).map_or(named, |m| m.label(&attributes, &i.id));
        json!({
            "id": i.id, "model": i.model, "label": label, "version": i.version, "attributes": attributes.to_string(),
            "created_at": i.created_at, "updated_at": i.updated_at,
        })
    }

    fn find(&self, model: &str, id: &str) -> Option<usize> {
        self.instances.iter().position(|i| i.model == model && i.id == id)
    }

    fn need(&self, model: &str, id: &str) -> Result<usize, Refusal> {
        self.find(model, id).ok_or_else(|| refusal("cmdb.no_instance", 404, format!("there is no {model} with the id {id}")))
    }

    fn matching(&self, model: &str, filter: &str) -> Result<Vec<usize>, Refusal> {
        let schema = self.schema(model)?;
        let filter = match filter.trim() {
            "" => None,
            f => Some(Filter::parse(f, &schema).map_err(|e| refusal(e.code, 422, e.to_string()))?),
        };
        let fits = |i: &Instance| {
            let whole = || with_system(&i.id, i.version, (i.created_at, i.updated_at), &i.attributes);
            i.model == model && filter.as_ref().is_none_or(|f| f.matches(&whole()))
        };
        Ok(self.instances.iter().enumerate().filter(|(_, i)| fits(i)).map(|(n, _)| n).collect())
    }

    pub(super) fn cmdb(&mut self, interface: &str, function: &str, a: &Args<'_>) -> Result<Json, Refusal> {
        let reads = !matches!(function, "create" | "update" | "delete" | "write-bulk" | "restore" | "associate" | "dissociate");
        let permission = if reads { Permission::CmdbRead } else { Permission::CmdbWrite };
        // 0.1 has the query in its own record too.
        let query = match a.get("query") {
            Json::Null => a.get("q").clone(),
            q => q.clone(),
        };
        let bulk = a.get("bulk").clone();
        let named = |v: &Json| v.get("model").and_then(Json::as_str).map(str::to_owned);
        let models: Vec<String> = [a.maybe("model"), named(&query), named(&bulk), named(a.get("source")), named(a.get("destination"))]
            .into_iter()
            .flatten()
            .collect();
        let touches: Vec<(&str, &str)> =
            models.iter().map(|m| ("models", m.as_str())).chain([plenum_access::KEEPS_TO_ATTRIBUTES]).collect();
        self.allowed(permission, &touches)?;
        let (model, id) = (a.text("model"), a.text("id"));
        match (interface, function) {
            ("plenum:cmdb/models", "names") => {
                let may = |m: &&Model| self.grant.allows(Permission::CmdbRead, &[("models", &m.name), plenum_access::KEEPS_TO_ATTRIBUTES]);
                Ok(self.models.iter().filter(may).map(|m| json!(m.name)).collect())
            }
            ("plenum:cmdb/instances", "query-instances") => {
                let of = |name: &str| query.get(name).and_then(Json::as_str).unwrap_or_default();
                let q_model = of("model").to_owned();
                let word = of("search").to_lowercase();
                let found = self.matching(&q_model, of("filter"))?;
                let mut found: Vec<Json> = found
                    .into_iter()
                    .filter_map(|n| self.instances.get(n))
                    .filter(|i| word.is_empty() || Json::Object(i.attributes.clone()).to_string().to_lowercase().contains(&word))
                    .map(|i| with_system(&i.id, i.version, (i.created_at, i.updated_at), &i.attributes))
                    .collect();
                order(&mut found, of("sort"));
                let ids: Vec<&str> = found.iter().filter_map(|v| v.get("id")?.as_str()).collect();
                let items =
                    ids.iter().filter_map(|id| self.instances.get(self.find(&q_model, id)?)).map(|i| self.instance_json(i)).collect();
                page(items, query.get("cursor").and_then(Json::as_str), query.get("limit").and_then(Json::as_u64).unwrap_or(1000), 1000)
            }
            ("plenum:cmdb/instances", "count") => Ok(json!(self.matching(&model, &a.text("filter"))?.len())),
            ("plenum:cmdb/instances", "get") => {
                self.schema(&model)?;
                Ok(self.find(&model, &id).and_then(|n| self.instances.get(n)).map_or(Json::Null, |i| self.instance_json(i)))
            }
            ("plenum:cmdb/instances", "create") => {
                let attributes = read_object(a.get("attributes"), "attributes")?;
                self.required(&model, &attributes)?;
                let made = self.new_instance(&model, attributes, None);
                Ok(self.instance_json(&made))
            }
            ("plenum:cmdb/instances", "update") => {
                let n = self.need(&model, &id)?;
                let patch = read_object(a.get("patch"), "patch")?;
                self.changed(n, patch, a.get("version").as_u64())?;
                Ok(self.instances.get(n).map_or(Json::Null, |i| self.instance_json(i)))
            }
            ("plenum:cmdb/instances", "delete") => {
                let n = self.need(&model, &id)?;
                self.instances.remove(n);
                let here = (model, id);
                self.links.retain(|l| l.from != here && l.to != here);
                Ok(Json::Null)
            }
            ("plenum:cmdb/instances", "write-bulk") => self.bulk(&bulk),
            ("plenum:cmdb/associations", "related-instances") => Ok(self.related(&model, &id)),
            ("plenum:cmdb/associations", "associate") => self.associate(a),
            ("plenum:cmdb/instances", "related-instances") => Ok(self.related(&model, &id)),
            ("plenum:cmdb/associations", "dissociate") => {
                self.links.retain(|l| l.id != id);
                Ok(Json::Null)
            }
            _ => Err(refusal(
                "fake.unknown",
                501,
                format!("the fake CMDB does not know {interface}.{function}; say what it answers under [[answers]] of the case"),
            )),
        }
    }

    fn required(&self, model: &str, attributes: &Map<String, Json>) -> Result<(), Refusal> {
        self.schema(model)?;
        let Some(m) = self.model(model) else { return Ok(()) };
        if let Some(lacks) = m.attributes.iter().find(|x| x.required && attributes.get(&x.name).is_none_or(Json::is_null)) {
            return Err(refusal("cmdb.invalid", 422, format!("{model} has to have {}", lacks.name)));
        }
        for set in &m.unique {
            let values = |of: &Map<String, Json>| set.iter().map(|n| of.get(n).cloned()).collect::<Option<Vec<_>>>();
            let mine = values(attributes);
            if mine.is_some() && self.instances.iter().any(|i| i.model == model && values(&i.attributes) == mine) {
                return Err(refusal("cmdb.duplicate", 409, format!("another {model} has the same {}", set.join(", "))));
            }
        }
        Ok(())
    }

    fn changed(&mut self, n: usize, patch: Map<String, Json>, version: Option<u64>) -> Result<bool, Refusal> {
        let now = self.now;
        let Some(i) = self.instances.get_mut(n) else { return Ok(false) };
        if version.is_some_and(|v| v != i.version) {
            return Err(refusal("store.conflict", 409, format!("{}/{} has version {} by now", i.model, i.id, i.version)));
        }
        let before = i.attributes.clone();
        for (k, v) in patch {
            if v.is_null() {
                i.attributes.shift_remove(&k);
            } else {
                i.attributes.insert(k, v);
            }
        }
        let changed = i.attributes != before;
        if changed {
            (i.version, i.updated_at) = (i.version + 1, now);
        }
        Ok(changed)
    }

    fn bulk(&mut self, b: &Json) -> Result<Json, Refusal> {
        let of = |name: &str| b.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let (model, action) = (of("model"), of("action"));
        let flag = |name: &str| b.get(name).and_then(Json::as_bool).unwrap_or(false);
        let key: Vec<String> =
            b.get("key").and_then(Json::as_array).into_iter().flatten().filter_map(|k| k.as_str().map(str::to_owned)).collect();
        let before = (self.instances.clone(), self.links.clone());
        let mut rows = Vec::new();
        for row in b.get("rows").and_then(Json::as_array).into_iter().flatten() {
            let result = self.bulk_row(&model, &action, &key, row);
            rows.push(match result {
                Ok((outcome, id)) => json!({ "outcome": outcome, "id": id, "error": null, "attribute": null }),
                Err(e) => json!({
                    "outcome": "failed", "id": null, "attribute": null,
                    "error": { "code": e.code, "message": e.message, "status": e.status },
                }),
            });
        }
        let failed = rows.iter().any(|r| r.get("outcome") == Some(&json!("failed")));
        let kept = !flag("dry_run") && !(flag("all") && failed);
        if !kept {
            (self.instances, self.links) = before;
        }
        Ok(json!({ "kept": kept, "rows": rows }))
    }

    fn bulk_row(&mut self, model: &str, action: &str, key: &[String], row: &Json) -> Result<(&'static str, String), Refusal> {
        let attributes = read_object(row.get("attributes").unwrap_or(&Json::Null), "attributes")?;
        let found = match row.get("id").and_then(Json::as_str) {
            Some(id) => self.find(model, id),
            None if key.is_empty() => None,
            None => self.instances.iter().position(|i| i.model == model && key.iter().all(|k| i.attributes.get(k) == attributes.get(k))),
        };
        let id_of = |w: &World, n: usize| w.instances.get(n).map(|i| i.id.clone()).unwrap_or_default();
        let missing = || refusal("cmdb.no_instance", 404, format!("no {model} fits the row"));
        match (action, found) {
            ("create", _) | ("upsert", None) => {
                self.required(model, &attributes)?;
                Ok(("created", self.new_instance(model, attributes, None).id))
            }
            ("update" | "upsert", Some(n)) => {
                let id = id_of(self, n);
                let changed = self.changed(n, attributes, row.get("version").and_then(Json::as_u64))?;
                Ok((if changed { "updated" } else { "unchanged" }, id))
            }
            ("delete", Some(n)) => {
                let id = id_of(self, n);
                self.instances.remove(n);
                let here = (model.to_owned(), id.clone());
                self.links.retain(|l| l.from != here && l.to != here);
                Ok(("deleted", id))
            }
            _ => Err(missing()),
        }
    }

    fn related(&self, model: &str, id: &str) -> Json {
        let here = (model.to_owned(), id.to_owned());
        let one = |l: &Link| {
            let forward = l.from == here;
            let other = if forward { &l.to } else { &l.from };
            (forward || l.to == here).then(|| {
                let label = self.find(&other.0, &other.1).and_then(|n| self.instances.get(n)).map(|i| self.instance_json(i));
                let label = label.and_then(|i| i.get("label").cloned()).unwrap_or_else(|| json!(other.1));
                json!({ "association": l.id, "kind": l.kind, "forward": forward, "model": other.0, "id": other.1, "label": label })
            })
        };
        self.links.iter().filter_map(one).collect()
    }

    fn associate(&mut self, a: &Args<'_>) -> Result<Json, Refusal> {
        let end = |name: &str| {
            let of = |k: &str| a.get(name).get(k).and_then(Json::as_str).unwrap_or_default().to_owned();
            (of("model"), of("id"))
        };
        let (kind, from, to) = (a.text("kind"), end("source"), end("destination"));
        self.need(&from.0, &from.1)?;
        self.need(&to.0, &to.1)?;
        let there = self.links.iter().find(|l| l.kind == kind && l.from == from && l.to == to).map(|l| l.id.clone());
        let id = match there {
            Some(id) => id,
            None => {
                let id = self.id("link");
                self.links.push(Link { id: id.clone(), kind: kind.clone(), from: from.clone(), to: to.clone() });
                id
            }
        };
        let json_of = |e: &(String, String)| json!({ "model": e.0, "id": e.1 });
        Ok(json!({ "id": id, "kind": kind, "source": json_of(&from), "destination": json_of(&to) }))
    }
}
