//! The backend in SQL. A positive comparison stays bare, so that an expression index serves it; under a negation unknown
//! (NULL) is first made false.

use std::sync::Arc;

use super::links::Neighbour;
use super::schema::FieldKind;
use super::{CompareOp, Expr, FilterError, Literal, Path, TextOp};
use crate::sql::{Dialect, Value};

pub(super) fn translate(e: &Expr, dialect: Dialect, row: &str) -> Result<(String, Vec<Value>), FilterError> {
    let mut t = Translator::new(dialect, Place::Record { row: row.to_owned(), of: None });
    let sql = t.predicate(e)?;
    Ok((sql, t.values))
}

/// The SQL of a top-level field's value, exactly as expression indexes spell it.
pub(crate) fn field_sql(dialect: Dialect, data: &str, name: &str, kind: &FieldKind) -> String {
    let path = Path { depth: 0, keys: vec![name.to_owned()], kind: kind.clone(), column: None };
    Translator::new(dialect, Place::Data(data.to_owned())).value(&path)
}

/// What a path begins at.
#[derive(Clone)]
pub(super) enum Place {
    /// The expression of a JSON record.
    Data(String),
    /// A row of documents: the name of its table here (none: its columns go without), and of which collection it is, when that is not the
    /// collection that is asked.
    Record { row: String, of: Option<Arc<Neighbour>> },
    /// An element of a list, a row of `e<depth>`.
    Element,
}

pub(super) struct Translator {
    pub(super) dialect: Dialect,
    /// By depth.
    pub(super) places: Vec<Place>,
    pub(super) values: Vec<Value>,
    /// Tables of other collections so far.
    pub(super) tables: usize,
}

impl Translator {
    pub(super) fn new(dialect: Dialect, root: Place) -> Translator {
        Translator { dialect, places: vec![root], values: Vec::new(), tables: 0 }
    }

    pub(super) fn bind(&mut self, v: impl Into<Value>) -> &'static str {
        self.values.push(v.into());
        "?"
    }

    pub(super) fn falsehood(&self) -> &'static str {
        if self.dialect == Dialect::Sqlite { "0" } else { "FALSE" }
    }

    pub(super) fn truth(&self) -> &'static str {
        if self.dialect == Dialect::Sqlite { "1" } else { "TRUE" }
    }

    pub(super) fn predicate(&mut self, e: &Expr) -> Result<String, FilterError> {
        Ok(match e {
            Expr::Const(true) => format!("({0} = {0})", self.truth()),
            Expr::Const(false) => format!("({} = {})", self.truth(), self.falsehood()),
            Expr::And(a, b) => format!("({} AND {})", self.predicate(a)?, self.predicate(b)?),
            Expr::Or(a, b) => format!("({} OR {})", self.predicate(a)?, self.predicate(b)?),
            Expr::Not(a) => format!("(NOT COALESCE({}, {}))", self.predicate(a)?, self.falsehood()),
            Expr::Truth(p) if p.kind == FieldKind::Json => self.json_equals(p, &Literal::Bool(true)),
            Expr::Truth(p) => format!("({} = {})", self.value(p), self.truth()),
            Expr::Has(p) => match (&p.kind, self.dialect) {
                (_, Dialect::Sqlite) => format!("({} IS NOT NULL)", self.value(p)),
                (_, Dialect::Postgres) => format!("({} IS NOT NULL)", self.as_text(p)),
            },
            Expr::Compare(op, p, l) => self.compare(*op, p, l)?,
            Expr::ComparePaths(op, p, q) => {
                let (a, b) = self.two_values(p, q);
                match op {
                    CompareOp::Eq => self.same(&a, &b),
                    CompareOp::Ne => self.distinct(&a, &b),
                    _ => format!("({a} {} {b})", sign(*op)),
                }
            }
            Expr::In(p, list) => {
                if list.is_empty() {
                    return self.predicate(&Expr::Const(false));
                }
                if p.kind == FieldKind::Json {
                    let parts = list.iter().map(|l| self.compare(CompareOp::Eq, p, l)).collect::<Result<Vec<_>, _>>()?;
                    return Ok(any_of(&parts));
                }
                let v = self.value(p);
                let marks: Vec<String> = list.iter().filter(|l| **l != Literal::Null).map(|l| self.literal(p, l)).collect();
                let mut parts = Vec::new();
                if !marks.is_empty() {
                    parts.push(format!("({v} IN ({}))", marks.join(", ")));
                }
                if marks.len() < list.len() {
                    parts.push(self.compare(CompareOp::Eq, p, &Literal::Null)?);
                }
                any_of(&parts)
            }
            Expr::Contains(p, l) => self.contains(p, l)?,
            Expr::Text(op, p, t) => self.text(*op, p, t),
            Expr::Size(op, p, n) => {
                let size = match (&p.kind, self.dialect) {
                    (FieldKind::Text, _) => format!("COALESCE(length({}), 0)", self.value(p)),
                    (_, Dialect::Sqlite) => {
                        let (base, path) = self.sqlite_path(p);
                        format!("COALESCE(json_array_length({base}, '{path}'), 0)")
                    }
                    (_, Dialect::Postgres) => format!("jsonb_array_length({})", self.array(p)),
                };
                let n = self.bind(*n);
                format!("({size} {} {n})", sign(*op))
            }
            Expr::Exists(p, inner) => self.each(p, inner, false)?,
            Expr::All(p, inner) => self.each(p, inner, true)?,
            Expr::Linked(reach, all, inner) => self.linked(reach, *all, inner)?,
            Expr::LinkedSize(op, reach, n) => self.linked_size(*op, reach, *n)?,
            Expr::Of(depth, collection) => {
                let is = match self.places.get(*depth) {
                    Some(Place::Record { of: Some(n), .. }) => n.name == *collection,
                    _ => true,
                };
                return self.predicate(&Expr::Const(is));
            }
        })
    }

    fn each(&mut self, p: &Path, inner: &Expr, all: bool) -> Result<String, FilterError> {
        let depth = self.places.len();
        let from = match self.dialect {
            Dialect::Sqlite => {
                let (base, path) = self.sqlite_path(p);
                format!("json_each({base}, '{path}') AS e{depth}")
            }
            Dialect::Postgres => format!("jsonb_array_elements({}) AS e{depth}(value)", self.array(p)),
        };
        self.places.push(Place::Element);
        let condition = self.predicate(inner);
        self.places.pop();
        let condition = condition?;
        Ok(if all {
            format!("(NOT EXISTS (SELECT 1 FROM {from} WHERE NOT COALESCE({condition}, {})))", self.falsehood())
        } else {
            format!("(EXISTS (SELECT 1 FROM {from} WHERE {condition}))")
        })
    }

    fn contains(&mut self, p: &Path, l: &Literal) -> Result<String, FilterError> {
        let FieldKind::List(kind) = &p.kind else { return Err(untranslatable(p, "is not a list")) };
        let element = Path { depth: self.places.len(), keys: Vec::new(), kind: (**kind).clone(), column: None };
        self.each(p, &Expr::Compare(CompareOp::Eq, element, l.clone()), false)
    }

    fn compare(&mut self, op: CompareOp, p: &Path, l: &Literal) -> Result<String, FilterError> {
        if *l == Literal::Null {
            let v = if self.dialect == Dialect::Postgres { self.as_text(p) } else { self.value(p) };
            return Ok(format!("({v} IS {}NULL)", if op == CompareOp::Ne { "NOT " } else { "" }));
        }
        if p.kind == FieldKind::Json {
            return match op {
                CompareOp::Eq => Ok(self.json_equals(p, l)),
                CompareOp::Ne => Ok(format!("(NOT COALESCE({}, {}))", self.json_equals(p, l), self.falsehood())),
                _ => Err(untranslatable(p, "is JSON, whose values the database cannot order; compare with == or !=")),
            };
        }
        let v = self.value(p);
        let b = self.literal(p, l);
        Ok(match op {
            CompareOp::Ne => self.distinct(&v, &b),
            _ => format!("({v} {} {b})", sign(op)),
        })
    }

    fn json_equals(&mut self, p: &Path, l: &Literal) -> String {
        match self.dialect {
            Dialect::Sqlite => {
                // A row of json_each holds a plain value, which is no JSON text.
                let (kind, value) = if self.is_element(p) && p.keys.is_empty() {
                    (format!("e{}.type", p.depth), format!("e{}.value", p.depth))
                } else {
                    let (base, path) = self.sqlite_path(p);
                    (format!("json_type({base}, '{path}')"), format!("json_extract({base}, '{path}')"))
                };
                let (kinds, v) = match l {
                    Literal::Bool(b) => return format!("({kind} = '{b}')"),
                    Literal::Text(t) => ("('text')", self.bind(t)),
                    Literal::Int(i) => ("('integer', 'real')", self.bind(*i)),
                    Literal::Real(r) => ("('integer', 'real')", self.bind(*r)),
                    Literal::Time(_) | Literal::Null => return format!("({} = {})", self.truth(), self.falsehood()),
                };
                format!("({kind} IN {kinds} AND {value} = {v})")
            }
            Dialect::Postgres => {
                let json = match l {
                    Literal::Bool(b) => serde_json::json!(b),
                    Literal::Text(t) => serde_json::json!(t),
                    Literal::Int(i) => serde_json::json!(i),
                    Literal::Real(r) => serde_json::json!(r),
                    Literal::Time(_) | Literal::Null => serde_json::Value::Null,
                };
                let v = self.bind(json);
                format!("({} = {v})", self.json(p))
            }
        }
    }

    fn literal(&mut self, p: &Path, l: &Literal) -> String {
        match l {
            Literal::Null => "NULL".to_owned(),
            Literal::Bool(b) => (if *b { self.truth() } else { self.falsehood() }).to_owned(),
            Literal::Int(i) => self.bind(*i).to_owned(),
            Literal::Real(r) => self.bind(*r).to_owned(),
            Literal::Text(t) => self.bind(t).to_owned(),
            Literal::Time(ms) if p.column.is_some() => self.bind(*ms).to_owned(),
            Literal::Time(ms) => {
                // The checker took it from four digits of a year; an offset may have moved it to the next.
                let text = super::schema::time_text(*ms).unwrap_or_else(|| (if *ms < 0 { "" } else { ":" }).to_owned());
                self.bind(text).to_owned()
            }
        }
    }

    fn text(&mut self, op: TextOp, p: &Path, t: &str) -> String {
        let v = self.value(p);
        if t.is_empty() {
            return format!("({v} IS NOT NULL)");
        }
        match (op, self.dialect) {
            // A range, so that an index serves it.
            (TextOp::StartsWith, _) => {
                let low = self.bind(t);
                match successor(t) {
                    Some(high) => {
                        let high = self.bind(high);
                        format!("({v} >= {low} AND {v} < {high})")
                    }
                    None => format!("({v} >= {low})"),
                }
            }
            (TextOp::EndsWith, Dialect::Sqlite) => {
                let n = i64::try_from(t.chars().count()).unwrap_or(i64::MAX);
                let t = self.bind(t);
                format!("(substr({v}, -{n}) = {t} AND length({v}) >= {n})")
            }
            (TextOp::EndsWith, Dialect::Postgres) => {
                let n = t.chars().count();
                let t = self.bind(t);
                format!("(right({v}, {n}) = {t})")
            }
            (TextOp::Contains, Dialect::Sqlite) => {
                let t = self.bind(t);
                format!("(instr({v}, {t}) > 0)")
            }
            (TextOp::Contains, Dialect::Postgres) => {
                let t = self.bind(t);
                format!("(strpos({v}, {t}) > 0)")
            }
        }
    }

    fn same(&self, a: &str, b: &str) -> String {
        if self.dialect == Dialect::Sqlite { format!("({a} IS {b})") } else { format!("({a} IS NOT DISTINCT FROM {b})") }
    }

    fn distinct(&self, a: &str, b: &str) -> String {
        if self.dialect == Dialect::Sqlite { format!("({a} IS NOT {b})") } else { format!("({a} IS DISTINCT FROM {b})") }
    }

    /// Both sides of a comparison of fields, in one form.
    fn two_values(&self, p: &Path, q: &Path) -> (String, String) {
        let (a, b) = (self.value(p), self.value(q));
        if p.kind == FieldKind::Timestamp && p.column.is_some() != q.column.is_some() {
            // One is milliseconds, the other text.
            let text = |v: String, p: &Path| match (p.column, self.dialect) {
                (None, _) => v,
                (_, Dialect::Sqlite) => format!("(strftime('%Y-%m-%dT%H:%M:%S', {v} / 1000, 'unixepoch') || printf('.%03dZ', {v} % 1000))"),
                (_, Dialect::Postgres) => {
                    format!("(to_char(to_timestamp({v} / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') COLLATE \"C\")")
                }
            };
            return (text(a, p), text(b, q));
        }
        let double = |v: String, p: &Path| if p.kind == FieldKind::Integer { format!("CAST({v} AS DOUBLE PRECISION)") } else { v };
        if p.kind == q.kind { (a, b) } else { (double(a, p), double(b, q)) }
    }

    fn is_element(&self, p: &Path) -> bool {
        matches!(self.places.get(p.depth), Some(Place::Element))
    }

    /// A column of the row at this depth.
    pub(super) fn column(&self, depth: usize, name: &str) -> String {
        match self.places.get(depth) {
            Some(Place::Record { row, .. }) if !row.is_empty() => format!("{row}.{name}"),
            _ => name.to_owned(),
        }
    }

    /// The JSON that a path looks into.
    fn base(&self, p: &Path) -> String {
        match self.places.get(p.depth) {
            Some(Place::Data(data)) => data.clone(),
            Some(Place::Element) => format!("e{}.value", p.depth),
            // What the collection does not have (or the caller may not see) is absent, whatever stands in the row.
            Some(Place::Record { of: Some(n), .. }) if p.keys.first().is_some_and(|k| n.schema.field(k).is_none()) => match self.dialect {
                Dialect::Sqlite => "'{}'".to_owned(),
                Dialect::Postgres => "'{}'::jsonb".to_owned(),
            },
            _ => self.column(p.depth, "data"),
        }
    }

    /// The document and the JSON path in it. Keys were checked to be plain names, so they need no quoting.
    fn sqlite_path(&self, p: &Path) -> (String, String) {
        let base = match (self.is_element(p), p.keys.is_empty()) {
            // An element that is no object has no keys, and its value is no JSON text to look into.
            (true, false) => format!("(CASE WHEN e{0}.type = 'object' THEN e{0}.value END)", p.depth),
            _ => self.base(p),
        };
        (base, std::iter::once("$").chain(p.keys.iter().map(String::as_str)).collect::<Vec<_>>().join("."))
    }

    fn as_text(&self, p: &Path) -> String {
        if let Some(c) = p.column {
            return self.column(p.depth, c);
        }
        let base = self.base(p);
        match p.keys.split_last() {
            None => format!("({base} #>> '{{}}')"),
            Some((last, [])) => format!("({base} ->> '{last}')"),
            Some(_) => format!("({base} #>> '{}')", postgres_path(p)),
        }
    }

    fn json(&self, p: &Path) -> String {
        let base = self.base(p);
        if p.keys.is_empty() { base } else { format!("({base} #> '{}')", postgres_path(p)) }
    }

    fn array(&self, p: &Path) -> String {
        let j = self.json(p);
        format!("(CASE jsonb_typeof({j}) WHEN 'array' THEN {j} ELSE '[]'::jsonb END)")
    }

    fn value(&self, p: &Path) -> String {
        if let Some(c) = p.column {
            return self.column(p.depth, c);
        }
        match self.dialect {
            Dialect::Sqlite => {
                let v = if self.is_element(p) && p.keys.is_empty() {
                    format!("e{}.value", p.depth)
                } else {
                    let (base, path) = self.sqlite_path(p);
                    format!("json_extract({base}, '{path}')")
                };
                // JSON may spell a double as an integer.
                if p.kind == FieldKind::Decimal { format!("CAST({v} AS REAL)") } else { v }
            }
            Dialect::Postgres => {
                let t = self.as_text(p);
                match p.kind {
                    FieldKind::Integer => format!("({t}::bigint)"),
                    FieldKind::Decimal => format!("({t}::double precision)"),
                    FieldKind::Boolean => format!("({t}::boolean)"),
                    // By bytes, as SQLite and Rust compare.
                    FieldKind::Text | FieldKind::Timestamp => format!("({t} COLLATE \"C\")"),
                    FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json => t,
                }
            }
        }
    }
}

fn untranslatable(p: &Path, why: &str) -> FilterError {
    FilterError { code: "filter.unsupported", message: format!("`{}` {why}", p.keys.join(".")), position: None, hint: None }
}

/// Quoted: a bare `null` in an array's text is no key.
fn postgres_path(p: &Path) -> String {
    format!("{{{}}}", p.keys.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(","))
}

/// Balanced, since SQLite refuses expressions 1,000 deep.
pub(super) fn any_of(parts: &[String]) -> String {
    match parts {
        [] => "(1 = 0)".to_owned(),
        [one] => one.clone(),
        many => {
            let (a, b) = many.split_at(many.len() / 2);
            format!("({} OR {})", any_of(a), any_of(b))
        }
    }
}

pub(super) fn sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "=",
        CompareOp::Ne => "<>",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

/// The least text that is greater than every text starting with `t`; none when there is no such text.
fn successor(t: &str) -> Option<String> {
    let mut chars: Vec<char> = t.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            '\u{10FFFF}' => None,
            c => char::from_u32(u32::from(c) + 1),
        };
        if let Some(n) = next {
            chars.push(n);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
