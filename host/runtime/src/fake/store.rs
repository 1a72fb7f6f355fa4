//! The plugin's own records on the fake host: the collections of its manifest with their kinds and unique sets, the real filters, and
//! values by key.

use plenum_access::Permission;
use plenum_store::{FieldKind, Filter, Schema};
use serde_json::{Map, Value as Json, json};

use super::cmdb::{order, with_system};
use super::value::{bytes_json, json_bytes};
use super::world::{Args, Document, World, compare, page, read_object};
use super::{Refusal, refusal};

const MAX_WRITES: usize = 500;
const MAX_KEYS: usize = 500;

fn fits(kind: &FieldKind, v: &Json) -> bool {
    match kind {
        FieldKind::Text => v.is_string(),
        FieldKind::Integer => v.is_i64(),
        FieldKind::Decimal => v.is_number(),
        FieldKind::Boolean => v.is_boolean(),
        FieldKind::Timestamp => v.as_str().is_some_and(|s| plenum_store::filter::time_ms(s).is_some()),
        FieldKind::List(of) => v.as_array().is_some_and(|a| a.iter().all(|v| fits(of, v))),
        FieldKind::Table(_) | FieldKind::Json => true,
    }
}

fn checked(schema: &Schema, collection: &str, mut data: Map<String, Json>) -> Result<Map<String, Json>, Refusal> {
    data.retain(|_, v| !v.is_null());
    for (name, v) in &mut data {
        let Some(field) = schema.field(name) else {
            return Err(refusal(
                "store.invalid",
                422,
                format!("{collection} has no field {name}; declare it under [[collections]] in plugin.toml"),
            ));
        };
        if !fits(&field.kind, v) {
            return Err(refusal("store.invalid", 422, format!("{name} of {collection} is {v}, which its kind does not allow")));
        }
        if field.kind == FieldKind::Timestamp
            && let Some(normal) = v.as_str().and_then(plenum_store::filter::normal_time)
        {
            *v = json!(normal);
        }
    }
    Ok(data)
}

fn document(id: &str, d: &Document) -> Json {
    json!({
        "id": id, "version": d.version, "data": Json::Object(d.data.clone()).to_string(),
        "created_at": d.created_at, "updated_at": d.updated_at,
    })
}

impl World {
    /// Records that match, whole.
    fn records(&self, collection: &str, filter: &str) -> Result<Vec<Json>, Refusal> {
        let (_, schema) = self.collection(collection)?;
        let filter = match filter.trim() {
            "" => None,
            f => Some(Filter::parse(f, &schema).map_err(|e| refusal(e.code, 422, e.to_string()))?),
        };
        let all = self.collections.get(collection).into_iter().flatten();
        let whole = all.map(|(id, d)| with_system(id, d.version, (d.created_at, d.updated_at), &d.data));
        Ok(whole.filter(|v| filter.as_ref().is_none_or(|f| f.matches(v))).collect())
    }

    pub(super) fn store(&mut self, function: &str, a: &Args<'_>) -> Result<Json, Refusal> {
        self.allowed(Permission::Store, &[])?;
        match function {
            "get" => {
                let (collection, id) = (a.text("collection"), a.text("id"));
                self.collection(&collection)?;
                let found = self.collections.get(&collection).and_then(|c| c.get(&id));
                Ok(found.map_or(Json::Null, |d| document(&id, d)))
            }
            "apply" => self.apply(a.get("writes")),
            "query-documents" => {
                let q = a.get("query");
                let of = |name: &str| q.get(name).and_then(Json::as_str).unwrap_or_default();
                let mut found = self.records(of("collection"), of("filter"))?;
                order(&mut found, of("sort"));
                let records = self.collections.get(of("collection"));
                let each = |v: &Json| {
                    let id = v.get("id")?.as_str()?;
                    Some(document(id, records?.get(id)?))
                };
                let items = found.iter().filter_map(each).collect();
                page(items, q.get("cursor").and_then(Json::as_str), q.get("limit").and_then(Json::as_u64).unwrap_or(1000), 1000)
            }
            "count" => Ok(json!(self.records(&a.text("collection"), &a.text("filter"))?.len())),
            "aggregate" => self.aggregate(a.get("a")),
            other => Err(refusal("fake.unknown", 501, format!("the fake store does not know {other}"))),
        }
    }

    fn apply(&mut self, writes: &Json) -> Result<Json, Refusal> {
        let writes = writes.as_array().cloned().unwrap_or_default();
        if writes.len() > MAX_WRITES {
            return Err(refusal("store.too_many", 422, format!("at most {MAX_WRITES} records are written at once, not {}", writes.len())));
        }
        // All or none: a copy is changed, and kept when every write went well.
        let mut all = self.collections.clone();
        let mut versions = Vec::with_capacity(writes.len());
        for w in &writes {
            let of = |name: &str| w.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let (collection, id) = (of("collection"), of("id"));
            if id.is_empty() || id.len() > 200 {
                return Err(refusal("store.invalid", 422, "a record's id has 1 to 200 bytes"));
            }
            let (spec, schema) = self.collection(&collection)?;
            let records = all.entry(collection.clone()).or_default();
            let (found, created_at) = records.get(&id).map_or((0, self.now), |d| (d.version, d.created_at));
            let expected = match w.get("expected") {
                Some(Json::String(s)) if s == "absent" => Some(0),
                Some(v) => v.get("version").and_then(Json::as_u64),
                None => None,
            };
            if let Some(expected) = expected
                && expected != found
            {
                let message = format!("{collection}/{id} has version {found} by now, not {expected}");
                return Err(refusal("store.conflict", 409, message));
            }
            match w.get("data").filter(|d| !d.is_null()) {
                None => {
                    records.remove(&id);
                    versions.push(0);
                }
                Some(data) => {
                    let data = checked(&schema, &collection, read_object(data, "data")?)?;
                    for set in &spec.unique {
                        let values = |of: &Map<String, Json>| set.iter().map(|n| of.get(n).cloned()).collect::<Option<Vec<_>>>();
                        let mine = values(&data);
                        if mine.is_some() && records.iter().any(|(other, d)| *other != id && values(&d.data) == mine) {
                            let message = format!("another record of {collection} has the same {}", set.join(", "));
                            return Err(refusal("store.duplicate", 409, message));
                        }
                    }
                    records.insert(id, Document { version: found + 1, data, created_at, updated_at: self.now });
                    versions.push(found + 1);
                }
            }
        }
        self.collections = all;
        Ok(json!(versions))
    }

    fn aggregate(&self, a: &Json) -> Result<Json, Refusal> {
        let of = |v: &Json, name: &str| v.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let list = |name: &str| a.get(name).and_then(Json::as_array).cloned().unwrap_or_default();
        let (groups, measures) = (list("groups"), list("measures"));
        if groups.len() > 8 || measures.is_empty() || measures.len() > 16 {
            return Err(refusal("store.query", 422, "an aggregation has up to 8 groups and 1 to 16 measures"));
        }
        let found = self.records(&of(a, "collection"), &of(a, "filter"))?;
        let key = |d: &Json, g: &Json| {
            let value = d.get(of(g, "field")).cloned().unwrap_or_default();
            let length = match of(g, "bucket").as_str() {
                "minute" => 16,
                "hour" => 13,
                "day" => 10,
                "month" => 7,
                "year" => 4,
                _ => return value,
            };
            // Times are UTC in RFC 3339: the start of the text is the span.
            value.as_str().map_or(Json::Null, |t| json!(t.get(..length).unwrap_or(t)))
        };
        let mut by: Vec<(Vec<Json>, Vec<&Json>)> = Vec::new();
        for d in &found {
            let keys: Vec<Json> = groups.iter().map(|g| key(d, g)).collect();
            match by.iter_mut().find(|(k, _)| *k == keys) {
                Some((_, members)) => members.push(d),
                None => by.push((keys, vec![d])),
            }
        }
        if groups.is_empty() && by.is_empty() {
            by.push((Vec::new(), Vec::new()));
        }
        let last = |x: &Json, y: &Json| x.is_null().cmp(&y.is_null()).then_with(|| compare(x, y));
        by.sort_by(|(x, _), (y, _)| x.iter().zip(y).map(|(x, y)| last(x, y)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal));
        by.truncate(usize::try_from(a.get("limit").and_then(Json::as_u64).unwrap_or(1000).clamp(1, 1000)).unwrap_or(1000));
        let texts = |values: Vec<Json>| values.iter().map(|v| json!(v.to_string())).collect::<Vec<_>>();
        let one = |(keys, members): (Vec<Json>, Vec<&Json>)| {
            let values = measures.iter().map(|m| measured(&of(m, "kind"), m.get("field").and_then(Json::as_str), &members)).collect();
            json!({ "keys": texts(keys), "values": texts(values) })
        };
        Ok(by.into_iter().map(one).collect())
    }

    pub(super) fn keyvalue(&mut self, function: &str, a: &Args<'_>) -> Result<Json, Refusal> {
        self.allowed(Permission::Store, &[])?;
        if function == "open" {
            let name = a.text("identifier");
            if name.len() > 60 || !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c)) {
                return Err(refusal("keyvalue.bucket", 422, "a bucket's name has 0 to 60 of a-z, 0-9, hyphen and underscore"));
            }
            self.buckets.push(name);
            return Ok(json!(self.buckets.len() - 1));
        }
        // A method's own handle is called self.
        let bucket = a.maybe("self").or_else(|| a.maybe("bucket")).unwrap_or_default();
        let keys: Vec<String> = match function {
            "set-many" => {
                a.get("key_values").as_array().into_iter().flatten().filter_map(|p| p.get(0)?.as_str().map(str::to_owned)).collect()
            }
            "get-many" | "delete-many" => {
                a.get("keys").as_array().into_iter().flatten().filter_map(|k| k.as_str().map(str::to_owned)).collect()
            }
            "[method]bucket.list-keys" => Vec::new(),
            _ => vec![a.text("key")],
        };
        if keys.len() > MAX_KEYS || keys.iter().any(|k| k.is_empty() || k.len() > 120 || k.contains('\0')) {
            return Err(refusal("keyvalue.refused", 422, "at most 500 keys at once, each of 1 to 120 bytes, none of them NUL"));
        }
        let values = self.keyvalue.entry(bucket).or_default();
        let key = keys.first().cloned().unwrap_or_default();
        Ok(match function {
            "[method]bucket.get" => values.get(&key).map_or(Json::Null, |v| bytes_json(v.clone())),
            "[method]bucket.exists" => json!(values.contains_key(&key)),
            "[method]bucket.set" => {
                values.insert(key, json_bytes(a.get("value")));
                Json::Null
            }
            "[method]bucket.delete" => {
                values.remove(&key);
                Json::Null
            }
            "[method]bucket.list-keys" => {
                let skip = usize::try_from(a.number("cursor")).unwrap_or(usize::MAX);
                let page: Vec<&String> = values.keys().skip(skip).take(1000).collect();
                json!({ "keys": page, "cursor": (page.len() == 1000).then(|| skip + 1000) })
            }
            "increment" => {
                let text = |v: &Vec<u8>| std::str::from_utf8(v).ok().and_then(|t| t.parse::<u64>().ok());
                let before = values.get(&key).map_or(Some(0), text);
                let sum = before.and_then(|n| n.checked_add(a.number("delta")));
                let sum =
                    sum.ok_or_else(|| refusal("keyvalue.refused", 422, format!("the value of {key} is no number, or too large a one")))?;
                values.insert(key, sum.to_string().into_bytes());
                json!(sum)
            }
            "get-many" => keys.iter().map(|k| values.get(k).map_or(Json::Null, |v| json!([k, bytes_json(v.clone())]))).collect(),
            "set-many" => {
                for pair in a.get("key_values").as_array().into_iter().flatten() {
                    if let (Some(k), Some(v)) = (pair.get(0).and_then(Json::as_str), pair.get(1)) {
                        values.insert(k.to_owned(), json_bytes(v));
                    }
                }
                Json::Null
            }
            "delete-many" => {
                values.retain(|k, _| !keys.contains(k));
                Json::Null
            }
            other => return Err(refusal("fake.unknown", 501, format!("the fake key-value store does not know {other}"))),
        })
    }
}

fn measured(kind: &str, field: Option<&str>, members: &[&Json]) -> Json {
    let Some(field) = field else { return json!(members.len()) };
    let values: Vec<&Json> = members.iter().filter_map(|d| d.get(field)).filter(|v| !v.is_null()).collect();
    let number = |n: f64| if n.fract() == 0.0 && n.abs() < 9e15 { json!(n as i64) } else { json!(n) };
    let sum = || values.iter().filter_map(|v| v.as_f64()).sum::<f64>();
    match kind {
        "count" => json!(values.len()),
        _ if values.is_empty() => Json::Null,
        "sum" => number(sum()),
        "avg" => number(sum() / values.len() as f64),
        "min" => values.iter().min_by(|a, b| compare(a, b)).map_or(Json::Null, |v| (*v).clone()),
        _ => values.iter().max_by(|a, b| compare(a, b)).map_or(Json::Null, |v| (*v).clone()),
    }
}
