//! Instances as rows of a table: what a spreadsheet shows of a value, and what it means when it comes back.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use crate::model::{Attribute, AttributeKind, Model};

/// Columns beside the attributes: written, and of no meaning when they come back but for `id`.
pub const SYSTEM_COLUMNS: &[&str] = &["id", "version", "created_at", "updated_at"];

/// What a column of a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// The instance's id.
    Id,
    /// Not read.
    Ignored,
    /// An attribute, by its place in the model.
    Attribute(usize),
}

/// Which column each heading of a file is: an attribute's name or title in any language, without regard to case and spaces around it.
///
/// # Errors
/// Names the heading that is none, with the nearest that is.
pub fn columns<'a>(model: &Model, headings: impl IntoIterator<Item = &'a str>) -> Result<Vec<Column>, String> {
    let mut out: Vec<Column> = Vec::new();
    for heading in headings {
        // Excel marks UTF-8 by a byte order mark.
        let h = heading.trim_start_matches('\u{feff}').trim();
        let same = |t: &str| t.to_lowercase() == h.to_lowercase();
        let named = model.attributes.iter().position(|a| same(&a.name));
        let column = match named.or_else(|| model.attributes.iter().position(|a| a.title.0.values().any(|t| same(t)))) {
            Some(i) => Column::Attribute(i),
            None if same("id") => Column::Id,
            None if SYSTEM_COLUMNS.iter().any(|c| same(c)) => Column::Ignored,
            None => {
                let near = plenum_store::filter::nearest(h, model.attributes.iter().map(|a| a.name.as_str()));
                let near = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                return Err(format!("the column {h:?} is no attribute of {}{near}", model.name));
            }
        };
        if column != Column::Ignored && out.contains(&column) {
            return Err(format!("the column {h:?} is there twice"));
        }
        out.push(column);
    }
    Ok(out)
}

/// A value as the text of a cell. Lists, tables and JSON are JSON. A text that a spreadsheet would run as a formula gets an
/// apostrophe before it, and loses it when it is read again.
pub fn cell(value: Option<&Json>) -> Cow<'_, str> {
    match value {
        None | Some(Json::Null) => Cow::Borrowed(""),
        Some(Json::String(s)) if s.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) => Cow::Owned(format!("'{s}")),
        Some(Json::String(s)) => Cow::Borrowed(s),
        Some(v) => Cow::Owned(v.to_string()),
    }
}

/// The value that a cell means for an attribute; none when it is empty.
///
/// # Errors
/// What the cell would have to hold.
pub fn value(a: &Attribute, cell: &str) -> Result<Option<Json>, String> {
    let text = cell.strip_prefix('\'').unwrap_or(cell);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let wrong = |what: &str| Err(format!("{} has to be {what}, and is {:?}", a.name, short(trimmed)));
    Ok(Some(match a.kind {
        AttributeKind::Text | AttributeKind::LongText => text.into(),
        AttributeKind::Enum
        | AttributeKind::Date
        | AttributeKind::Ip
        | AttributeKind::Cidr
        | AttributeKind::Mac
        | AttributeKind::Url
        | AttributeKind::Reference
        | AttributeKind::User => trimmed.into(),
        // What spreadsheets make of whole numbers: 4.0 and 1E3.
        AttributeKind::Secret => return Err(format!("{} is a secret: it is set by itself, and no file has it", a.name)),
        AttributeKind::Integer => match trimmed.parse::<i64>() {
            Ok(n) => n.into(),
            Err(_) => match trimmed.parse::<f64>() {
                Ok(f) if f.fract() == 0.0 && f.abs() < 9_007_199_254_740_992.0 => (f as i64).into(),
                _ => return wrong("a whole number"),
            },
        },
        AttributeKind::Decimal => match trimmed.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
            Some(n) => Json::Number(n),
            None => return wrong("a number, with a point for decimals"),
        },
        AttributeKind::Boolean => match trimmed.to_lowercase().as_str() {
            "true" | "yes" | "1" | "是" => true.into(),
            "false" | "no" | "0" | "否" => false.into(),
            _ => return wrong("true or false"),
        },
        AttributeKind::Timestamp => match time(trimmed) {
            Some(t) => t.into(),
            None => return wrong("a time such as 2026-01-31T08:00:00Z"),
        },
        AttributeKind::List | AttributeKind::MultiEnum | AttributeKind::References | AttributeKind::Users if !trimmed.starts_with('[') => {
            trimmed.split([';', '\n']).map(str::trim).filter(|t| !t.is_empty()).map(Json::from).collect()
        }
        AttributeKind::List
        | AttributeKind::MultiEnum
        | AttributeKind::References
        | AttributeKind::Users
        | AttributeKind::Table
        | AttributeKind::Json => match serde_json::from_str(trimmed) {
            Ok(v) => v,
            Err(_) => return wrong("JSON"),
        },
    }))
}

/// RFC 3339, and what spreadsheets write: a day, or a day and a time, in UTC.
fn time(text: &str) -> Option<String> {
    if let Some(t) = plenum_store::filter::normal_time(text) {
        return Some(t);
    }
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M"];
    let at = formats.iter().find_map(|f| chrono::NaiveDateTime::parse_from_str(text, f).ok()).or_else(|| {
        let day = ["%Y-%m-%d", "%Y/%m/%d"].iter().find_map(|f| chrono::NaiveDate::parse_from_str(text, f).ok())?;
        day.and_hms_opt(0, 0, 0)
    })?;
    plenum_store::filter::normal_time(&at.and_utc().to_rfc3339())
}

fn short(text: &str) -> String {
    let mut s: String = text.chars().take(60).collect();
    if s.len() < text.len() {
        s.push('…');
    }
    s
}

/// What is wrong with a row's cells: the place of each, and what it would have to be.
pub type BadCells = Vec<(usize, String)>;

/// A row of a file: the instance it names, if any, and its attributes.
///
/// # Errors
/// For each bad cell its place in the row and what it would have to be.
pub fn row<'a>(
    model: &Model,
    columns: &[Column],
    cells: impl IntoIterator<Item = &'a str>,
) -> Result<(Option<String>, Map<String, Json>), BadCells> {
    let (mut id, mut attributes, mut bad) = (None, Map::new(), Vec::new());
    for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
        match column {
            Column::Ignored => {}
            Column::Id => id = Some(cell.trim()).filter(|c| !c.is_empty()).map(str::to_owned),
            Column::Attribute(i) => {
                let Some(a) = model.attributes.get(*i) else { continue };
                match value(a, cell) {
                    Ok(Some(v)) => {
                        attributes.insert(a.name.clone(), v);
                    }
                    Ok(None) => {}
                    Err(e) => bad.push((at, e)),
                }
            }
        }
    }
    if bad.is_empty() { Ok((id, attributes)) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::*;

    fn attribute(kind: &str) -> Attribute {
        let mut a = json!({"name": "a", "kind": kind});
        if kind.contains("enum") {
            a["options"] = json!(["x", "y"]);
        }
        serde_json::from_value(a).unwrap()
    }

    #[test]
    fn cells_come_back_as_they_were() {
        for (kind, v) in [
            ("text", json!("=1+1")),
            ("text", json!("'quoted")),
            ("text", json!(" two  spaces ")),
            ("text", json!("007")),
            ("integer", json!(-5)),
            ("decimal", json!(0.5)),
            ("boolean", json!(true)),
            ("timestamp", json!("2026-01-31T08:00:00.000Z")),
            ("list", json!(["a;b", "", "中文"])),
            ("table", json!([{"x": 1}])),
            ("json", json!({"deep": [null, 1]})),
            ("multi_enum", json!(["x"])),
        ] {
            assert_eq!(value(&attribute(kind), &cell(Some(&v))).unwrap(), Some(v), "{kind}");
        }
    }

    #[test]
    fn what_spreadsheets_write_is_understood() {
        for (kind, text, v) in [
            ("integer", "4.0", json!(4)),
            ("boolean", "TRUE", json!(true)),
            ("boolean", "否", json!(false)),
            ("timestamp", "2026/01/31 08:00", json!("2026-01-31T08:00:00.000Z")),
            ("timestamp", "2026-01-31", json!("2026-01-31T00:00:00.000Z")),
            ("list", "a; b;;c", json!(["a", "b", "c"])),
        ] {
            assert_eq!(value(&attribute(kind), text).unwrap(), Some(v), "{kind} {text}");
        }
        for (kind, text) in
            [("integer", "4.5"), ("integer", "many"), ("boolean", "maybe"), ("timestamp", "31.01.2026"), ("json", "{"), ("decimal", "NaN")]
        {
            assert!(value(&attribute(kind), text).is_err(), "{kind} {text}");
        }
        assert_eq!(value(&attribute("integer"), "  ").unwrap(), None);
    }

    #[test]
    fn headings_are_names_or_titles() {
        let m: Model = serde_json::from_value(json!({"name": "m", "display": "host_name", "attributes": [
            {"name": "host_name", "kind": "text", "title": {"en": "Host name", "zh": "主机名"}}, {"name": "cpu", "kind": "integer"}]}))
        .unwrap();
        assert_eq!(
            columns(&m, ["\u{feff}主机名", "CPU", "id", "created_at"]).unwrap(),
            [Column::Attribute(0), Column::Attribute(1), Column::Id, Column::Ignored]
        );
        assert!(columns(&m, ["host_nam"]).unwrap_err().contains("did you mean host_name"));
        assert!(columns(&m, ["host_name", "Host name"]).unwrap_err().contains("twice"));
        let cells = ["a", "x", "", ""];
        assert_eq!(
            row(&m, &columns(&m, ["host_name", "cpu"]).unwrap(), cells).unwrap_err(),
            [(1, "cpu has to be a whole number, and is \"x\"".to_owned())]
        );
    }
}
