//! A value of one kind of attribute as one of another; or why it cannot be.

use serde_json::{Number, Value as Json, json};

use crate::model::{Attribute, AttributeKind, check_value};

/// The value as the changed attribute holds it. The error says what it would have to be.
pub(crate) fn convert(from: &Attribute, to: &Attribute, value: &Json) -> Result<Json, String> {
    let made = if from.kind == to.kind && from.columns == to.columns { value.clone() } else { reshaped(to, value)? };
    match check_value(to, &made, "") {
        Ok(()) => Ok(made),
        Err(e) => Err(e.to_string()),
    }
}

fn reshaped(to: &Attribute, value: &Json) -> Result<Json, String> {
    use AttributeKind as K;
    let cannot = |what: &str| Err(format!("{} has to be {what}", to.name));
    Ok(match to.kind {
        K::Text | K::LongText => Json::String(text_of(value)),
        K::Integer => match number(value) {
            Some(n) if n.is_i64() => Json::Number(n),
            // 4.0 is 4, 4.5 is not: nothing is rounded without a word.
            Some(n) => match n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9_007_199_254_740_992.0) {
                Some(f) => json!(f as i64),
                None => return cannot("a whole number"),
            },
            None => return cannot("a whole number"),
        },
        K::Decimal => match number(value) {
            Some(n) => Json::Number(n),
            None => return cannot("a number"),
        },
        K::Boolean => match one(value).as_deref().map(|t| t.trim().to_lowercase()).as_deref() {
            Some("true" | "yes" | "1" | "on" | "是") => json!(true),
            Some("false" | "no" | "0" | "off" | "否") => json!(false),
            _ => return cannot("true or false"),
        },
        K::Enum => match one(value).and_then(|t| option(to, &t)) {
            Some(o) => json!(o),
            None => return cannot(&format!("one of {}", to.options.join(", "))),
        },
        K::MultiEnum => {
            let wanted: Vec<String> = many(value);
            match wanted.iter().map(|t| option(to, t)).collect::<Option<Vec<String>>>() {
                Some(l) => json!(l),
                None => return cannot(&format!("a list of some of {}", to.options.join(", "))),
            }
        }
        K::List | K::References | K::Users => json!(many(value)),
        K::Timestamp => match one(value) {
            Some(t) => match plenum_store::filter::normal_time(t.trim()) {
                Some(t) => json!(t),
                // A day is its first moment.
                None if chrono::NaiveDate::parse_from_str(t.trim(), "%Y-%m-%d").is_ok() => json!(format!("{}T00:00:00.000Z", t.trim())),
                None => return cannot("a time such as 2026-01-31T08:00:00Z"),
            },
            None => return cannot("a time such as 2026-01-31T08:00:00Z"),
        },
        K::Date => match one(value) {
            Some(t) => {
                json!(plenum_store::filter::normal_time(t.trim()).map_or_else(|| t.trim().to_owned(), |t| t.chars().take(10).collect()))
            }
            None => return cannot("a date such as 2026-01-31"),
        },
        K::Mac => json!(one(value).unwrap_or_default().trim().replace('-', ":").to_lowercase()),
        K::Ip | K::Cidr | K::Url | K::Reference | K::User => match one(value) {
            Some(t) => json!(t.trim()),
            None => return cannot("a single value"),
        },
        K::Secret => return cannot("set by itself"),
        K::Json => value.clone(),
        K::Table => match value {
            Json::Array(rows) => {
                let known = |k: &String| to.columns.iter().any(|c| c.name == *k);
                let rows = rows.iter().map(|r| match r {
                    Json::Object(o) => Json::Object(o.iter().filter(|(k, _)| known(k)).map(|(k, v)| (k.clone(), v.clone())).collect()),
                    other => other.clone(),
                });
                Json::Array(rows.collect())
            }
            _ => return cannot("a list of rows"),
        },
    })
}

/// What a person would write for it.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(s) => s.clone(),
        Json::Array(l) if l.iter().all(|v| !v.is_array() && !v.is_object()) => l.iter().map(text_of).collect::<Vec<_>>().join(", "),
        v => v.to_string(),
    }
}

/// The one value that it is, or that is alone in its list.
fn one(value: &Json) -> Option<String> {
    match value {
        Json::Array(l) => match l.as_slice() {
            [v] => one(v),
            _ => None,
        },
        Json::Object(_) | Json::Null => None,
        v => Some(text_of(v)),
    }
}

fn many(value: &Json) -> Vec<String> {
    match value {
        Json::Array(l) => l.iter().map(text_of).collect(),
        v => vec![text_of(v)],
    }
}

fn number(value: &Json) -> Option<Number> {
    match value {
        Json::Number(n) => Some(n.clone()),
        Json::Bool(b) => Some(i64::from(*b).into()),
        Json::String(_) | Json::Array(_) => {
            let t = one(value)?;
            let t = t.trim();
            t.parse::<i64>().ok().map(Number::from).or_else(|| t.parse::<f64>().ok().and_then(Number::from_f64))
        }
        _ => None,
    }
}

/// The option that is meant: as it stands there, or when only case and blanks differ.
fn option(to: &Attribute, text: &str) -> Option<String> {
    let folded = text.trim().to_lowercase();
    to.options.iter().find(|o| *o == text).or_else(|| to.options.iter().find(|o| o.trim().to_lowercase() == folded)).cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn attribute(more: Json) -> Attribute {
        let mut a = json!({"name": "a"});
        a.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(a).unwrap()
    }

    #[test]
    fn values_become_those_of_another_kind_or_say_why_not() {
        let text = json!({"kind": "text"});
        for (from, to, value, made) in [
            (text.clone(), json!({"kind": "integer"}), json!(" 42 "), Some(json!(42))),
            (text.clone(), json!({"kind": "integer"}), json!("4.0"), Some(json!(4))),
            (text.clone(), json!({"kind": "integer"}), json!("4.5"), None),
            (text.clone(), json!({"kind": "integer"}), json!("four"), None),
            (text.clone(), json!({"kind": "integer", "max": 10}), json!("42"), None),
            (json!({"kind": "integer"}), json!({"kind": "decimal"}), json!(7), Some(json!(7))),
            (json!({"kind": "decimal"}), json!({"kind": "integer"}), json!(7.0), Some(json!(7))),
            (json!({"kind": "decimal"}), json!({"kind": "integer"}), json!(7.5), None),
            (text.clone(), json!({"kind": "enum", "options": ["prod", "test"]}), json!("PROD "), Some(json!("prod"))),
            (text.clone(), json!({"kind": "enum", "options": ["prod", "test"]}), json!("production"), None),
            (text.clone(), json!({"kind": "list"}), json!("a"), Some(json!(["a"]))),
            (json!({"kind": "list"}), text.clone(), json!(["a", "b"]), Some(json!("a, b"))),
            (json!({"kind": "list"}), json!({"kind": "integer"}), json!(["7"]), Some(json!(7))),
            (json!({"kind": "list"}), json!({"kind": "integer"}), json!(["7", "8"]), None),
            (text.clone(), json!({"kind": "boolean"}), json!("Yes"), Some(json!(true))),
            (text.clone(), json!({"kind": "boolean"}), json!("maybe"), None),
            (text.clone(), json!({"kind": "date"}), json!("2026-02-28"), Some(json!("2026-02-28"))),
            (json!({"kind": "timestamp"}), json!({"kind": "date"}), json!("2026-02-28T10:00:00.000Z"), Some(json!("2026-02-28"))),
            (json!({"kind": "date"}), json!({"kind": "timestamp"}), json!("2026-02-28"), Some(json!("2026-02-28T00:00:00.000Z"))),
            (text.clone(), json!({"kind": "mac"}), json!("52-54-00-12-34-5F"), Some(json!("52:54:00:12:34:5f"))),
            (text.clone(), json!({"kind": "ip"}), json!("somewhere"), None),
            (json!({"kind": "integer"}), text.clone(), json!(7), Some(json!("7"))),
            (
                json!({"kind": "enum", "options": ["a"]}),
                json!({"kind": "multi_enum", "options": ["a", "b"]}),
                json!("a"),
                Some(json!(["a"])),
            ),
        ] {
            let (from, to) = (attribute(from), attribute(to));
            assert_eq!(convert(&from, &to, &value).ok(), made, "{value} from {:?} to {:?}", from.kind, to.kind);
        }
    }
}
