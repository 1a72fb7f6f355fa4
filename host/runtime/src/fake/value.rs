//! Values of the component model as JSON and back, by the types that the component itself carries: so the fakes need no bindings, and one of
//! them answers every version of an interface. Names are in snake case; bytes are text where they are UTF-8, else `{"base64": ...}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use wasmtime::component::{Type, Val};

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// Bytes, for people to read.
pub fn bytes_json(bytes: Vec<u8>) -> Json {
    match String::from_utf8(bytes) {
        Ok(text) => Json::String(text),
        Err(e) => json!({ "base64": STANDARD.encode(e.as_bytes()) }),
    }
}

/// What [`bytes_json`] made; also any other JSON, as its text.
pub fn json_bytes(value: &Json) -> Vec<u8> {
    match value {
        Json::String(text) => text.clone().into_bytes(),
        Json::Null => Vec::new(),
        other => match other.get("base64").and_then(Json::as_str).and_then(|t| STANDARD.decode(t).ok()) {
            Some(bytes) => bytes,
            None => other.to_string().into_bytes(),
        },
    }
}

/// A value that a component gave. Resources are the caller's business.
pub fn to_json(value: &Val) -> Json {
    let some = |v: &Option<Box<Val>>| v.as_deref().map_or(Json::Null, to_json);
    match value {
        Val::Bool(b) => json!(b),
        Val::S8(n) => json!(n),
        Val::U8(n) => json!(n),
        Val::S16(n) => json!(n),
        Val::U16(n) => json!(n),
        Val::S32(n) => json!(n),
        Val::U32(n) => json!(n),
        Val::S64(n) => json!(n),
        Val::U64(n) => json!(n),
        Val::Float32(n) => json!(n),
        Val::Float64(n) => json!(n),
        Val::Char(c) => json!(c),
        Val::String(s) => json!(s),
        Val::List(items) | Val::FixedLengthList(items) => {
            let bytes = || items.iter().map(|v| if let Val::U8(b) = v { Some(*b) } else { None }).collect::<Option<Vec<u8>>>();
            match items.first() {
                Some(Val::U8(_)) => bytes().map_or(Json::Null, bytes_json),
                _ => items.iter().map(to_json).collect(),
            }
        }
        Val::Map(pairs) => pairs.iter().map(|(k, v)| json!([to_json(k), to_json(v)])).collect(),
        Val::Record(fields) => Json::Object(fields.iter().map(|(n, v)| (snake(n), to_json(v))).collect()),
        Val::Tuple(items) => items.iter().map(to_json).collect(),
        Val::Variant(case, None) => json!(snake(case)),
        Val::Variant(case, Some(v)) => Json::Object(Map::from_iter([(snake(case), to_json(v))])),
        Val::Enum(case) => json!(snake(case)),
        Val::Option(v) => some(v),
        Val::Result(Ok(v)) => json!({ "ok": some(v) }),
        Val::Result(Err(v)) => json!({ "err": some(v) }),
        Val::Flags(names) => names.iter().map(|n| snake(n)).collect(),
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Json::Null,
    }
}

/// A value of a type, from what a fake or a fixture says; or where it does not fit.
pub fn from_json(ty: &Type, value: &Json, at: &str) -> Result<Val, String> {
    let wrong = |what: &str| format!("{} is {value}, and has to be {what}", if at.is_empty() { "the answer" } else { at });
    let whole = || value.as_i64().ok_or_else(|| wrong("a whole number"));
    let unsigned = || value.as_u64().ok_or_else(|| wrong("a whole number, not below 0"));
    let narrow = |_: std::num::TryFromIntError| wrong("a smaller number");
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(|| wrong("true or false"))?),
        Type::S8 => Val::S8(whole()?.try_into().map_err(narrow)?),
        Type::U8 => Val::U8(unsigned()?.try_into().map_err(narrow)?),
        Type::S16 => Val::S16(whole()?.try_into().map_err(narrow)?),
        Type::U16 => Val::U16(unsigned()?.try_into().map_err(narrow)?),
        Type::S32 => Val::S32(whole()?.try_into().map_err(narrow)?),
        Type::U32 => Val::U32(unsigned()?.try_into().map_err(narrow)?),
        Type::S64 => Val::S64(whole()?),
        Type::U64 => Val::U64(unsigned()?),
        Type::Float32 => Val::Float32(value.as_f64().ok_or_else(|| wrong("a number"))? as f32),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(|| wrong("a number"))?),
        Type::Char => Val::Char(value.as_str().and_then(|s| s.chars().next()).ok_or_else(|| wrong("a character"))?),
        // The contract's JSON is text; who writes a fixture need not write it as such.
        Type::String => Val::String(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        Type::List(l) => match (l.ty(), value) {
            (Type::U8, v) => Val::List(json_bytes(v).into_iter().map(Val::U8).collect()),
            (ty, Json::Array(items)) => {
                let each = items.iter().enumerate().map(|(i, v)| from_json(&ty, v, &format!("{at}/{i}")));
                Val::List(each.collect::<Result<_, _>>()?)
            }
            _ => return Err(wrong("a list")),
        },
        Type::Record(r) => {
            let object = value.as_object().ok_or_else(|| wrong("an object"))?;
            let field = |f: wasmtime::component::types::Field<'_>| {
                let name = snake(f.name);
                let found = object.get(&name).unwrap_or(&Json::Null);
                Ok((f.name.to_owned(), from_json(&f.ty, found, &format!("{at}/{name}"))?))
            };
            Val::Record(r.fields().map(field).collect::<Result<_, String>>()?)
        }
        Type::Tuple(t) => {
            let items =
                value.as_array().filter(|a| a.len() == t.types().len()).ok_or_else(|| wrong("a list of as many as the tuple has"))?;
            let each = t.types().zip(items).enumerate().map(|(i, (ty, v))| from_json(&ty, v, &format!("{at}/{i}")));
            Val::Tuple(each.collect::<Result<_, _>>()?)
        }
        Type::Enum(e) => {
            let name = value.as_str().and_then(|s| e.names().find(|n| snake(n) == s || *n == s));
            Val::Enum(name.ok_or_else(|| wrong(&format!("one of {}", e.names().collect::<Vec<_>>().join(", "))))?.to_owned())
        }
        Type::Variant(v) => {
            let (name, payload) = match value {
                Json::String(name) => (name.as_str(), None),
                Json::Object(o) if o.len() == 1 => o.iter().next().map(|(k, v)| (k.as_str(), Some(v))).ok_or_else(|| wrong("a case"))?,
                _ => return Err(wrong("a case")),
            };
            let case = v.cases().find(|c| snake(c.name) == name || c.name == name).ok_or_else(|| wrong("a case that there is"))?;
            let payload = match (&case.ty, payload) {
                (Some(ty), Some(v)) => Some(Box::new(from_json(ty, v, &format!("{at}/{name}"))?)),
                (None, None) => None,
                _ => return Err(wrong("a case with what belongs to it")),
            };
            Val::Variant(case.name.to_owned(), payload)
        }
        Type::Option(o) => Val::Option(match value {
            Json::Null => None,
            v => Some(Box::new(from_json(&o.ty(), v, at)?)),
        }),
        Type::Result(r) => {
            let side = |ty: Option<Type>, v: &Json| ty.map(|ty| from_json(&ty, v, at).map(Box::new)).transpose();
            Val::Result(match (value.get("ok"), value.get("err")) {
                (Some(v), None) => Ok(side(r.ok(), v)?),
                (None, Some(v)) => Err(side(r.err(), v)?),
                _ => return Err(wrong("an object with ok or err")),
            })
        }
        Type::Flags(f) => {
            let set = value.as_array().ok_or_else(|| wrong("a list of flags"))?;
            let has = |n: &&str| set.iter().any(|v| v.as_str().is_some_and(|s| s == *n || s == snake(n)));
            Val::Flags(f.names().filter(has).map(str::to_owned).collect())
        }
        _ => return Err(format!("{at}: a fixture cannot answer with what is a resource or a stream")),
    })
}

/// An answer of a host's function: `Err` is the error that its type has, or none that there is.
pub fn answer(ty: Option<&Type>, said: Result<Json, super::Refusal>) -> Result<Option<Val>, String> {
    match (ty, said) {
        (None, Ok(_)) => Ok(None),
        (Some(Type::Result(r)), Ok(v)) => {
            let ok = r.ok().map(|ty| from_json(&ty, &v, "").map(Box::new)).transpose()?;
            Ok(Some(Val::Result(Ok(ok))))
        }
        (Some(Type::Result(r)), Err(e)) => {
            let err = match r.err() {
                None => None,
                Some(ty @ Type::Record(_)) => {
                    Some(Box::new(from_json(&ty, &json!({ "code": e.code, "message": e.message, "status": e.status }), "")?))
                }
                // wasi:keyvalue and wasi:config.
                Some(ty) if e.code == "access.denied" => Some(Box::new(
                    from_json(&ty, &json!("access_denied"), "").or_else(|_| from_json(&ty, &json!({ "upstream": e.message }), ""))?,
                )),
                Some(ty) => Some(Box::new(from_json(&ty, &json!({ "other": e.message }), "")?)),
            };
            Ok(Some(Val::Result(Err(err))))
        }
        (Some(ty), Ok(v)) => from_json(ty, &v, "").map(Some),
        (_, Err(e)) => Err(e.message),
    }
}
