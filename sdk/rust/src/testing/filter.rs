//! CEL over JSON, as the fake platform filters: the host's parser, evaluated in memory. A field that is absent is null, and what cannot
//! be compared does not match.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::{Context, Env, Program, Value as Cel};
use serde_json::{Map, Value};

use crate::{Error, Result};

pub(super) struct Filter {
    env: Arc<Env>,
    program: Option<Program>,
    fields: Vec<String>,
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Filter> {
        let env = Arc::new(Env::stdlib());
        if text.trim().is_empty() {
            return Ok(Filter { env, program: None, fields: Vec::new() });
        }
        let program = env.compile(text).map_err(|e| Error::new(422, "filter.syntax", format!("the filter {text:?} is not CEL: {e}")))?;
        let fields = program.references().variables().into_iter().map(str::to_owned).collect();
        Ok(Filter { env, program: Some(program), fields })
    }

    /// Refuses a field that nobody has.
    pub(super) fn check(&self, known: &BTreeSet<String>) -> Result<()> {
        match self.fields.iter().find(|f| !known.contains(*f) && !matches!(f.as_str(), "id" | "version" | "created_at" | "updated_at")) {
            Some(f) => {
                let hint = nearest(f, known.iter().map(String::as_str)).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                Err(Error::bad_request("filter.unknown_field", format!("there is no field `{f}`{hint}")))
            }
            None => Ok(()),
        }
    }

    pub(super) fn matches(&self, record: &Map<String, Value>) -> bool {
        let Some(program) = &self.program else { return true };
        let mut context = Context::with_env(self.env.clone());
        for field in &self.fields {
            context.add_variable_from_value(field.clone(), value(record.get(field).unwrap_or(&Value::Null)));
        }
        matches!(program.execute(&context), Ok(Cel::Bool(true)))
    }
}

fn value(json: &Value) -> Cel {
    match json {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => n.as_i64().map(Cel::Int).or_else(|| n.as_f64().map(Cel::Float)).unwrap_or(Cel::Null),
        Value::String(s) => Cel::String(Arc::new(s.clone())),
        Value::Array(a) => Cel::List(Arc::new(a.iter().map(value).collect())),
        Value::Object(o) => Cel::Map(o.iter().map(|(k, v)| (k.clone(), value(v))).collect::<HashMap<_, _>>().into()),
    }
}

/// The known name that is likest, if any is like enough to be a slip of the finger.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.map(|k| (distance(name, k), k)).min().filter(|(d, k)| *d * 3 <= k.len().max(name.len())).map(|(_, k)| k)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            (diagonal, *cell, left) = (*cell, here, here);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// By one field, a leading `-` downwards; records without it come first.
pub(super) fn sort_by<T>(items: &mut [T], sort: &str, field: impl Fn(&T, &str) -> Value) {
    let (name, down) = sort.strip_prefix('-').map_or((sort, false), |n| (n, true));
    if name.is_empty() {
        return;
    }
    items.sort_by(|a, b| {
        let order = compare(&field(a, name), &field(b, name));
        if down { order.reverse() } else { order }
    });
}

pub(super) fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    let rank = |v: &Value| match v {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        _ => 4,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}
