//! Durations: ISO 8601 text, an object of units, or an expression that yields either.

use serde_json::Value;

/// Longest time that a task can wait or take: 10 years. Beyond lies a mistake.
pub const MAX_MS: i64 = 10 * 366 * 86_400_000;

/// A duration that is known, or one that an expression tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationSpec {
    /// Milliseconds.
    Fixed(i64),
    /// A jq program.
    Expr(String),
}

/// Milliseconds of `PT15M`, `P1DT2H`, or `{days, hours, minutes, seconds, milliseconds}`.
pub fn millis(v: &Value) -> Result<i64, String> {
    let ms = match v {
        Value::String(s) => iso(s)
            .ok_or_else(|| format!("`{}` is not a duration; write PT30S, PT5M, P1D or {{minutes: 5}}", crate::expr::shorten(s, 40)))?,
        Value::Object(o) => {
            if o.is_empty() {
                return Err("an empty duration; name days, hours, minutes, seconds or milliseconds".into());
            }
            let mut sum = 0f64;
            for (unit, n) in o {
                let factor = match unit.as_str() {
                    "days" => 86_400_000.0,
                    "hours" => 3_600_000.0,
                    "minutes" => 60_000.0,
                    "seconds" => 1000.0,
                    "milliseconds" => 1.0,
                    other => return Err(format!("`{other}` is no unit; there are days, hours, minutes, seconds, milliseconds")),
                };
                let n = n.as_f64().filter(|n| *n >= 0.0).ok_or_else(|| format!("{unit} must be a number that is not negative"))?;
                sum += n * factor;
            }
            sum
        }
        _ => return Err("a duration is a text such as PT30S or an object such as {seconds: 30}".into()),
    };
    if ms > MAX_MS as f64 { Err("longer than ten years".into()) } else { Ok(ms as i64) }
}

fn iso(s: &str) -> Option<f64> {
    let rest = s.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((d, t)) if !t.is_empty() => (d, t),
        Some(_) => return None,
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    // Years and months have no fixed length, so they are not accepted.
    Some(part(date, &[('W', 604_800_000.0), ('D', 86_400_000.0)])? + part(time, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1000.0)])?)
}

fn part(mut s: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut sum = 0.0;
    let mut units = units.iter();
    while !s.is_empty() {
        let end = s.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let n: f64 = s.get(..end)?.parse().ok()?;
        let unit = s.get(end..)?.chars().next()?;
        let (_, factor) = units.find(|(u, _)| *u == unit)?;
        sum += n * factor;
        s = s.get(end + 1..)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn durations() {
        for (v, ms) in [
            (json!("PT30S"), 30_000),
            (json!("PT0.5S"), 500),
            (json!("P1DT2H3M4S"), 93_784_000),
            (json!("P2W"), 1_209_600_000),
            (json!({"minutes": 1, "seconds": 1.5}), 61_500),
        ] {
            assert_eq!(millis(&v), Ok(ms), "{v}");
        }
        for v in [
            json!("30s"),
            json!("P"),
            json!("PT"),
            json!("P1M"),
            json!("PT5"),
            json!("PT1S1H"),
            json!({"years": 1}),
            json!({}),
            json!({"seconds": -1}),
            json!(5),
            json!("P99999D"),
        ] {
            assert!(millis(&v).is_err(), "{v}");
        }
    }
}
