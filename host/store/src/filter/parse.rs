//! From CEL's syntax tree to the typed form, with every error at its place.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr as Cel, LiteralValue, SourceInfo, operators as op};
use cel::parser::Parser;

use super::links::{Meaning, Neighbour, meaning};
use super::schema::{SYSTEM_FIELDS, valid_name};
use super::{
    CompareOp, Expr, Field, FieldKind, FilterError, Links, Literal, MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_TERMS, Path, Reach,
    Schema, TextOp, guard, nearest,
};

const FUNCTIONS: &[&str] = &["has", "size", "startsWith", "endsWith", "contains", "exists", "all", "timestamp"];

pub(super) fn parse(source: &str, schema: &Schema, links: Option<&Links>) -> Result<Expr, FilterError> {
    let root = Scope { name: None, of: Of::Record(links.and_then(|l| l.neighbours.get(&l.home)).cloned().into_iter().collect()) };
    parse_in(source, schema, links, vec![root], 0, &mut 0, 0)
}

/// The filter over the record at `root` of the scopes; `terms` counts on from what surrounds it.
pub(super) fn parse_in(
    source: &str,
    schema: &Schema,
    links: Option<&Links>,
    scopes: Vec<Scope>,
    root: usize,
    terms: &mut usize,
    named: usize,
) -> Result<Expr, FilterError> {
    if source.len() > MAX_FILTER_BYTES {
        return Err(error("filter.too_large", format!("a filter has at most {MAX_FILTER_BYTES} bytes"), None));
    }
    guard::check(source)?;
    let (expr, info) = Parser::new().max_recursion_depth(96).parse_with_source_info(source).map_err(|e| syntax(source, &e))?;
    let mut cx = Context { source, info: &info, schema, links, scopes, root, terms: *terms, named };
    let parsed = cx.predicate(&expr, 0)?;
    *terms = cx.terms;
    Ok(parsed)
}

pub(super) fn error(code: &'static str, message: String, position: Option<usize>) -> FilterError {
    FilterError { code, message, position, hint: None }
}

fn syntax(source: &str, e: &cel::ParseErrors) -> FilterError {
    let first = e.errors.first();
    let position = first.and_then(|e| {
        let (line, column) = (usize::try_from(e.pos.0).ok()?, usize::try_from(e.pos.1).ok()?);
        let before: usize = source.split_inclusive('\n').take(line.checked_sub(1)?).map(|l| l.chars().count()).sum();
        Some((before + column.saturating_sub(1)).min(source.chars().count()))
    });
    let hint = if source.contains('=') && !source.contains("==") && !source.contains("!=") {
        Some("== (one = is no comparison)".to_owned())
    } else {
        None
    };
    if first.is_some_and(|e| e.msg.contains("has() macro")) {
        let message =
            "has() takes a field of something, such as has(row.size); whether the record itself has a field is `field != null`".to_owned();
        return FilterError { code: "filter.syntax", message, position, hint: None };
    }
    let what = first.map_or_else(|| "it cannot be read".to_owned(), |e| e.msg.replace('\n', " "));
    FilterError { code: "filter.syntax", message: format!("the filter is not valid CEL: {what}"), position, hint }
}

pub(super) struct Context<'a> {
    pub(super) source: &'a str,
    pub(super) info: &'a SourceInfo,
    /// Of the record that the filter is about.
    pub(super) schema: &'a Schema,
    pub(super) links: Option<&'a Links>,
    /// What there is to speak of: the record, then the variables of the surrounding `exists`/`all`.
    pub(super) scopes: Vec<Scope>,
    /// The scope of the record itself: not the first within a filter that another one names.
    pub(super) root: usize,
    pub(super) terms: usize,
    /// How many filters that are named by others surround this one.
    pub(super) named: usize,
}

/// One thing that paths begin at.
#[derive(Clone)]
pub(super) struct Scope {
    /// None: it cannot be named here.
    pub name: Option<String>,
    pub of: Of,
}

#[derive(Clone)]
pub(super) enum Of {
    /// An element of a list.
    Element(FieldKind),
    /// A record of one of these collections.
    Record(Vec<Arc<Neighbour>>),
}

enum Operand {
    Path(Path),
    Literal(Literal),
    Size(Path),
    Reached(Reach),
}

impl Context<'_> {
    pub(super) fn position(&self, e: &IdedExpr) -> Option<usize> {
        let (start, _) = self.info.offset_for(e.id)?;
        // Offsets count characters of the source.
        Some((start as usize).min(self.source.chars().count()))
    }

    pub(super) fn text(&self, e: &IdedExpr) -> String {
        let Some((start, stop)) = self.info.offset_for(e.id) else { return "this expression".to_owned() };
        let n = (stop as usize).saturating_sub(start as usize) + 1;
        let t: String = self.source.chars().skip(start as usize).take(n.min(60)).collect();
        format!("`{t}`")
    }

    pub(super) fn refuse<T>(&self, e: &IdedExpr, code: &'static str, message: String) -> Result<T, FilterError> {
        Err(error(code, message, self.position(e)))
    }

    pub(super) fn predicate(&mut self, e: &IdedExpr, depth: usize) -> Result<Expr, FilterError> {
        self.terms += 1;
        if depth > MAX_FILTER_DEPTH * 4 || self.terms > MAX_FILTER_TERMS {
            return self.refuse(e, "filter.too_large", format!("a filter has at most {MAX_FILTER_TERMS} terms"));
        }
        match &e.expr {
            Cel::Literal(LiteralValue::Boolean(b)) => Ok(Expr::Const(*b.inner())),
            Cel::Select(s) if s.test => Ok(Expr::Has(self.path(&s.operand, Some((&s.field, e)))?)),
            Cel::Ident(_) | Cel::Select(_) => {
                let p = self.path(e, None)?;
                match p.kind {
                    FieldKind::Boolean | FieldKind::Json => Ok(Expr::Truth(p)),
                    _ => self.refuse(
                        e,
                        "filter.type",
                        format!("{} is {}, not a condition; compare it with something", self.text(e), kind_name(&p.kind)),
                    ),
                }
            }
            Cel::Comprehension(c) => self.comprehension(e, c, depth),
            Cel::Call(c) => {
                let args: Vec<&IdedExpr> = c.target.as_deref().into_iter().chain(&c.args).collect();
                match (c.func_name.as_str(), args.as_slice()) {
                    (op::LOGICAL_AND, [a, b]) => {
                        Ok(Expr::And(Box::new(self.predicate(a, depth + 1)?), Box::new(self.predicate(b, depth + 1)?)))
                    }
                    (op::LOGICAL_OR, [a, b]) => {
                        Ok(Expr::Or(Box::new(self.predicate(a, depth + 1)?), Box::new(self.predicate(b, depth + 1)?)))
                    }
                    (op::LOGICAL_NOT, [a]) => Ok(Expr::Not(Box::new(self.predicate(a, depth + 1)?))),
                    (op::EQUALS, [a, b]) => self.compare(e, CompareOp::Eq, a, b),
                    (op::NOT_EQUALS, [a, b]) => self.compare(e, CompareOp::Ne, a, b),
                    (op::LESS, [a, b]) => self.compare(e, CompareOp::Lt, a, b),
                    (op::LESS_EQUALS, [a, b]) => self.compare(e, CompareOp::Le, a, b),
                    (op::GREATER, [a, b]) => self.compare(e, CompareOp::Gt, a, b),
                    (op::GREATER_EQUALS, [a, b]) => self.compare(e, CompareOp::Ge, a, b),
                    (op::IN, [a, b]) => self.membership(e, a, b),
                    ("startsWith", [a, b]) => self.text_call(e, TextOp::StartsWith, a, b),
                    ("endsWith", [a, b]) => self.text_call(e, TextOp::EndsWith, a, b),
                    ("contains", [a, b]) => self.text_call(e, TextOp::Contains, a, b),
                    ("in_group", [name]) => self.in_named(e, None, name),
                    ("in_group", [of, name]) => self.in_named(e, Some(of), name),
                    (name, _) => self.unknown_call(e, name),
                }
            }
            _ => self.refuse(e, "filter.unsupported", format!("{} is not a condition that a filter can use", self.text(e))),
        }
    }

    fn unknown_call<T>(&self, e: &IdedExpr, name: &str) -> Result<T, FilterError> {
        let plain = name.trim_matches('_');
        let mut err = error(
            "filter.unsupported",
            format!(
                "{} uses `{plain}`, which a filter cannot; it can compare, test with {} and combine with && || !",
                self.text(e),
                FUNCTIONS.join(", ")
            ),
            self.position(e),
        );
        err.hint = nearest(plain, FUNCTIONS.iter().copied());
        Err(err)
    }

    fn comprehension(&mut self, e: &IdedExpr, c: &ComprehensionExpr, depth: usize) -> Result<Expr, FilterError> {
        // What the macros `exists` and `all` expand to: the accumulator starts false (true) and is or-ed (and-ed) with the condition.
        let Cel::Call(step) = &c.loop_step.expr else {
            return self.refuse(
                e,
                "filter.unsupported",
                format!("{} is not supported; of the macros a filter has exists, all and has", self.text(e)),
            );
        };
        let exists = step.func_name == op::LOGICAL_OR;
        let condition = match step.args.as_slice() {
            [_, condition] if c.iter_var2.is_none() && (exists || step.func_name == op::LOGICAL_AND) => condition,
            _ => {
                return self.refuse(
                    e,
                    "filter.unsupported",
                    format!("{} is not supported; of the macros a filter has exists, all and has", self.text(e)),
                );
            }
        };
        if let Some(reach) = self.reach(&c.iter_range)? {
            return self.linked(e, reach, &c.iter_var, condition, exists, depth);
        }
        let path = self.path(&c.iter_range, None)?;
        let element = match &path.kind {
            FieldKind::List(kind) => (**kind).clone(),
            FieldKind::Table(fields) => FieldKind::Table(fields.clone()),
            _ => {
                return self.refuse(
                    &c.iter_range,
                    "filter.type",
                    format!("{} is {}, not a list", self.text(&c.iter_range), kind_name(&path.kind)),
                );
            }
        };
        if self.scopes.iter().filter(|s| matches!(s.of, Of::Element(_))).count() >= 2 {
            return self.refuse(e, "filter.too_large", "exists and all over lists nest at most two deep".to_owned());
        }
        self.scopes.push(Scope { name: Some(c.iter_var.clone()), of: Of::Element(element) });
        let inner = self.predicate(condition, depth + 1);
        self.scopes.pop();
        let inner = Box::new(inner?);
        Ok(if exists { Expr::Exists(path, inner) } else { Expr::All(path, inner) })
    }

    /// A path; `last` is one more key, for `has(a.b)`, whose operand is only `a`.
    fn path(&self, e: &IdedExpr, last: Option<(&str, &IdedExpr)>) -> Result<Path, FilterError> {
        let mut keys: Vec<(String, &IdedExpr)> = Vec::new();
        if let Some((field, at)) = last {
            keys.push((field.to_owned(), at));
        }
        let mut current = e;
        let root = loop {
            match &current.expr {
                Cel::Ident(name) => break name.clone(),
                Cel::Select(s) if !s.test => {
                    keys.push((s.field.clone(), current));
                    current = &s.operand;
                }
                Cel::Call(c) if c.func_name == op::INDEX => match (c.target.as_deref(), c.args.as_slice()) {
                    (None, [target, index]) | (Some(target), [index]) => {
                        let Cel::Literal(LiteralValue::String(s)) = &index.expr else {
                            return self.refuse(
                                current,
                                "filter.unsupported",
                                format!("{}: only a text key can be looked up", self.text(current)),
                            );
                        };
                        keys.push((s.inner().to_owned(), current));
                        current = target;
                    }
                    _ => return self.unknown_call(current, &c.func_name),
                },
                Cel::Call(c) => return self.unknown_call(current, &c.func_name),
                _ => return self.refuse(current, "filter.unsupported", format!("{} is not a field", self.text(current))),
            }
        };
        keys.reverse();
        let (mut path, first) = self.root(&root, current, keys.first().map(|(k, at)| (k.as_str(), *at)))?;
        let in_element = path.keys.is_empty();
        for (i, (key, at)) in keys.into_iter().enumerate().skip(first) {
            let (kind, known): (Option<FieldKind>, Vec<String>) = match &path.kind {
                FieldKind::Json => (Some(FieldKind::Json), Vec::new()),
                FieldKind::Table(fields) if in_element && i == first => {
                    (fields.iter().find(|f| f.name == key).map(|f| f.kind.clone()), fields.iter().map(|f| f.name.clone()).collect())
                }
                FieldKind::Table(_) => {
                    return self.refuse(at, "filter.type", format!("`{root}` is a table; ask `{root}.exists(row, row.{key} == ...)`"));
                }
                _ => {
                    return self.refuse(
                        at,
                        "filter.type",
                        format!("{} is {} and has no field `{key}`", self.text(e), kind_name(&path.kind)),
                    );
                }
            };
            let Some(kind) = kind else { return self.unknown_field(at, &key, known.iter().map(String::as_str)) };
            if !valid_name(&key) {
                return self.refuse(at, "filter.unsupported", format!("the key {key:?} cannot be used in a filter"));
            }
            path.keys.push(key);
            path.kind = kind;
        }
        Ok(path)
    }

    /// The path that begins with `name`, and how many of the keys after it were taken.
    fn root(&self, name: &str, at: &IdedExpr, next: Option<(&str, &IdedExpr)>) -> Result<(Path, usize), FilterError> {
        let variable = self.scopes.iter().enumerate().skip(self.root).rev().find(|(_, s)| s.name.as_deref() == Some(name));
        match variable {
            Some((depth, Scope { of: Of::Element(kind), .. })) => {
                Ok((Path { depth, keys: Vec::new(), kind: kind.clone(), column: None }, 0))
            }
            Some((depth, Scope { of: Of::Record(of), .. })) => match next {
                Some((field, at)) => Ok((self.field_of(depth, of, field, at)?, 1)),
                None => self.refuse(at, "filter.type", format!("`{name}` is a record; name one of its fields, {name}.id for instance")),
            },
            None => Ok((self.own(name, at)?, 0)),
        }
    }

    /// A field of the record that the filter is about.
    fn own(&self, name: &str, at: &IdedExpr) -> Result<Path, FilterError> {
        if let Some(Field { kind, .. }) = self.schema.field(name) {
            return Ok(Path { depth: self.root, keys: vec![name.to_owned()], kind: kind.clone(), column: None });
        }
        match system_field(self.root, name) {
            Some(p) => Ok(p),
            None => self.unknown_field(at, name, self.schema.names()),
        }
    }

    /// A field of a record that a link leads to.
    fn field_of(&self, depth: usize, of: &[Arc<Neighbour>], name: &str, at: &IdedExpr) -> Result<Path, FilterError> {
        match meaning(of, name) {
            Meaning::Is(kind) => Ok(Path { depth, keys: vec![name.to_owned()], kind, column: None }),
            Meaning::Differs((a, x), (b, y)) => {
                let (x, y) = (kind_name(&x), kind_name(&y));
                let message = format!("`{name}` is {x} in {a} and {y} in {b}: name the one that is meant, such as `link.{a}.exists(...)`");
                self.refuse(at, "filter.type", message)
            }
            Meaning::Unknown => match system_field(depth, name) {
                Some(p) => Ok(p),
                None => self.unknown_field(at, name, of.iter().flat_map(|n| n.schema.names())),
            },
        }
    }

    pub(super) fn unknown_field<'n, T>(&self, at: &IdedExpr, name: &str, known: impl Iterator<Item = &'n str>) -> Result<T, FilterError> {
        if self.links.is_some_and(|l| l.link(name).is_some()) {
            let message = format!("`{name}` leads to other records; ask `{name}.exists(x, x.field == ...)` or `size({name})`");
            return self.refuse(at, "filter.type", message);
        }
        let mut e = error("filter.unknown_field", format!("there is no field `{name}`"), self.position(at));
        let mut names: Vec<&str> = known.collect();
        names.extend(self.links.iter().flat_map(|l| l.links.iter().map(|l| l.name.as_str())));
        e.hint = nearest(name, names);
        Err(e)
    }

    pub(super) fn literal(&self, e: &IdedExpr) -> Result<Option<Literal>, FilterError> {
        Ok(Some(match &e.expr {
            Cel::Literal(LiteralValue::Null) => Literal::Null,
            Cel::Literal(LiteralValue::Boolean(b)) => Literal::Bool(*b.inner()),
            Cel::Literal(LiteralValue::Int(i)) => Literal::Int(*i.inner()),
            Cel::Literal(LiteralValue::UInt(u)) => match i64::try_from(*u.inner()) {
                Ok(i) => Literal::Int(i),
                Err(_) => return self.refuse(e, "filter.type", format!("{} is too large", self.text(e))),
            },
            Cel::Literal(LiteralValue::Double(d)) => Literal::Real(*d.inner()),
            Cel::Literal(LiteralValue::String(s)) => {
                if s.inner().contains('\0') {
                    return self.refuse(e, "filter.type", "a text cannot hold the character NUL".to_owned());
                }
                Literal::Text(s.inner().to_owned())
            }
            Cel::Call(c) if c.func_name == op::NEGATE => match c.args.first().map(|a| self.literal(a)).transpose()?.flatten() {
                Some(Literal::Int(i)) => Literal::Int(i.wrapping_neg()),
                Some(Literal::Real(r)) => Literal::Real(-r),
                _ => return Ok(None),
            },
            Cel::Call(c) if c.func_name == "timestamp" && c.target.is_none() => {
                let text = match c.args.first().map(|a| self.literal(a)).transpose()?.flatten() {
                    Some(Literal::Text(t)) => t,
                    _ => return self.refuse(e, "filter.type", "timestamp() takes a text such as \"2026-01-31T08:00:00Z\"".to_owned()),
                };
                let Ok(t) = chrono::DateTime::parse_from_rfc3339(&text) else {
                    return self.refuse(e, "filter.type", format!("{text:?} is not a time; write it like \"2026-01-31T08:00:00Z\""));
                };
                Literal::Time(t.timestamp_millis())
            }
            _ => return Ok(None),
        }))
    }

    fn operand(&self, e: &IdedExpr) -> Result<Operand, FilterError> {
        if let Some(l) = self.literal(e)? {
            return Ok(Operand::Literal(l));
        }
        if let Cel::Call(c) = &e.expr
            && c.func_name == "size"
        {
            let args: Vec<&IdedExpr> = c.target.as_deref().into_iter().chain(&c.args).collect();
            if let [of] = args.as_slice() {
                if let Some(reach) = self.reach(of)? {
                    return Ok(Operand::Reached(reach));
                }
                let p = self.path(of, None)?;
                return match p.kind {
                    FieldKind::Text | FieldKind::List(_) | FieldKind::Table(_) => Ok(Operand::Size(p)),
                    _ => self.refuse(e, "filter.type", format!("{} is {}, which has no size", self.text(of), kind_name(&p.kind))),
                };
            }
        }
        Ok(Operand::Path(self.path(e, None)?))
    }

    fn compare(&mut self, e: &IdedExpr, op: CompareOp, a: &IdedExpr, b: &IdedExpr) -> Result<Expr, FilterError> {
        match (self.operand(a)?, self.operand(b)?) {
            (Operand::Path(p), Operand::Literal(l)) => {
                let l = self.fit(b, &p, l, matches!(op, CompareOp::Eq | CompareOp::Ne))?;
                Ok(compare_with(op, p, l))
            }
            (Operand::Literal(l), Operand::Path(p)) => {
                let l = self.fit(a, &p, l, matches!(op, CompareOp::Eq | CompareOp::Ne))?;
                Ok(compare_with(op.flipped(), p, l))
            }
            (Operand::Size(p), Operand::Literal(Literal::Int(n))) => Ok(Expr::Size(op, p, n)),
            (Operand::Literal(Literal::Int(n)), Operand::Size(p)) => Ok(Expr::Size(op.flipped(), p, n)),
            (Operand::Reached(r), Operand::Literal(Literal::Int(n))) => Ok(Expr::LinkedSize(op, Box::new(r), n)),
            (Operand::Literal(Literal::Int(n)), Operand::Reached(r)) => Ok(Expr::LinkedSize(op.flipped(), Box::new(r), n)),
            (Operand::Path(p), Operand::Path(q)) => {
                let number = |k: &FieldKind| matches!(k, FieldKind::Integer | FieldKind::Decimal);
                let scalar = |k: &FieldKind| !matches!(k, FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json);
                if scalar(&p.kind) && (p.kind == q.kind || number(&p.kind) && number(&q.kind)) {
                    Ok(Expr::ComparePaths(op, p, q))
                } else {
                    self.refuse(e, "filter.type", format!("{} compares {} with {}", self.text(e), kind_name(&p.kind), kind_name(&q.kind)))
                }
            }
            (Operand::Literal(_), Operand::Literal(_)) => {
                self.refuse(e, "filter.unsupported", format!("{} compares two constants; name a field", self.text(e)))
            }
            _ => self.refuse(e, "filter.type", format!("{}: a size is compared with a whole number", self.text(e))),
        }
    }

    /// Checks that a literal can be compared with a field of this kind, and brings it to the kind.
    fn fit(&self, at: &IdedExpr, p: &Path, l: Literal, equality: bool) -> Result<Literal, FilterError> {
        if l == Literal::Null && !equality {
            return self.refuse(at, "filter.type", "null is neither less nor greater than anything; use == null or has()".to_owned());
        }
        Ok(match (&p.kind, l) {
            (_, Literal::Null) => Literal::Null,
            (FieldKind::Timestamp, Literal::Text(t)) => match chrono::DateTime::parse_from_rfc3339(&t) {
                Ok(t) => Literal::Time(t.timestamp_millis()),
                Err(_) => return self.refuse(at, "filter.type", format!("{t:?} is not a time; write it like \"2026-01-31T08:00:00Z\"")),
            },
            (FieldKind::Decimal, Literal::Int(i)) => Literal::Real(i as f64),
            (FieldKind::Text, l @ Literal::Text(_))
            | (FieldKind::Integer | FieldKind::Decimal, l @ (Literal::Int(_) | Literal::Real(_)))
            | (FieldKind::Boolean, l @ Literal::Bool(_))
            | (FieldKind::Timestamp, l @ Literal::Time(_))
            | (FieldKind::Json, l @ (Literal::Text(_) | Literal::Int(_) | Literal::Real(_) | Literal::Bool(_))) => {
                if !equality && matches!(l, Literal::Bool(_)) {
                    return self.refuse(at, "filter.type", "true is neither less nor greater than anything".to_owned());
                }
                l
            }
            (kind, l) => {
                let mut e = error(
                    "filter.type",
                    format!("`{}` is {} and cannot be compared with {}", p.keys.join("."), kind_name(kind), literal_name(&l)),
                    self.position(at),
                );
                if let (FieldKind::List(_), Literal::Text(t)) = (kind, &l) {
                    e.hint = Some(format!("{t:?} in {}", p.keys.join(".")));
                }
                return Err(e);
            }
        })
    }

    fn membership(&mut self, e: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Result<Expr, FilterError> {
        if let Cel::List(list) = &b.expr {
            let p = self.path(a, None)?;
            if matches!(p.kind, FieldKind::List(_) | FieldKind::Table(_)) {
                return self.refuse(e, "filter.type", format!("{} is a list; use exists", self.text(a)));
            }
            self.terms += list.elements.len();
            if self.terms > MAX_FILTER_TERMS * 5 {
                return self.refuse(e, "filter.too_large", format!("a list in a filter has at most {} elements", MAX_FILTER_TERMS * 5));
            }
            let mut out = Vec::with_capacity(list.elements.len());
            for el in &list.elements {
                let Some(l) = self.literal(el)? else {
                    return self.refuse(el, "filter.unsupported", format!("{} is not a constant", self.text(el)));
                };
                match self.fit(el, &p, l, true)? {
                    // No whole number equals a fraction.
                    Literal::Real(r) if p.kind == FieldKind::Integer => out.extend(whole(r).map(Literal::Int)),
                    l => out.push(l),
                }
            }
            return Ok(Expr::In(p, out));
        }
        let p = self.path(b, None)?;
        let FieldKind::List(kind) = p.kind.clone() else {
            return self.refuse(b, "filter.type", format!("{} is {}, not a list", self.text(b), kind_name(&p.kind)));
        };
        let Some(l) = self.literal(a)? else {
            return self.refuse(a, "filter.unsupported", format!("{} is not a constant", self.text(a)));
        };
        if l == Literal::Null {
            return self.refuse(a, "filter.type", "a list holds no null".to_owned());
        }
        let element = Path { kind: *kind, ..p.clone() };
        match (self.fit(a, &element, l, true)?, &element.kind) {
            (Literal::Real(r), FieldKind::Integer) => Ok(whole(r).map_or(Expr::Const(false), |i| Expr::Contains(p, Literal::Int(i)))),
            (l, _) => Ok(Expr::Contains(p, l)),
        }
    }

    fn text_call(&mut self, e: &IdedExpr, op: TextOp, a: &IdedExpr, b: &IdedExpr) -> Result<Expr, FilterError> {
        let p = self.path(a, None)?;
        if p.kind != FieldKind::Text {
            let hint = if matches!(p.kind, FieldKind::List(_)) { "; for a list use `\"x\" in field`" } else { "" };
            return self.refuse(e, "filter.type", format!("{} is {}, not text{hint}", self.text(a), kind_name(&p.kind)));
        }
        match self.literal(b)? {
            Some(Literal::Text(t)) => Ok(Expr::Text(op, p, t)),
            _ => self.refuse(b, "filter.type", format!("{} is not a text constant", self.text(b))),
        }
    }
}

/// A comparison with a literal. An integer field is compared with an integer only, so that no database rounds it (and an index
/// serves it): `n < 2.5` is `n <= 2`.
fn compare_with(op: CompareOp, p: Path, l: Literal) -> Expr {
    let Literal::Real(r) = l else { return Expr::Compare(op, p, l) };
    if p.kind != FieldKind::Integer {
        return Expr::Compare(op, p, l);
    }
    if let Some(i) = whole(r) {
        return Expr::Compare(op, p, Literal::Int(i));
    }
    match (op, whole(r.floor())) {
        (CompareOp::Eq, _) => Expr::Const(false),
        (CompareOp::Ne, _) => Expr::Const(true),
        (CompareOp::Lt | CompareOp::Le, Some(floor)) => Expr::Compare(CompareOp::Le, p, Literal::Int(floor)),
        (CompareOp::Gt | CompareOp::Ge, Some(floor)) => Expr::Compare(CompareOp::Gt, p, Literal::Int(floor)),
        // Beyond every integer: less than it are all that there are, or none.
        (CompareOp::Lt | CompareOp::Le, None) if r > 0.0 => Expr::Has(p),
        (CompareOp::Gt | CompareOp::Ge, None) if r < 0.0 => Expr::Has(p),
        _ => Expr::Const(false),
    }
}

/// The integer that a double is exactly.
fn whole(r: f64) -> Option<i64> {
    // 2^63 is a double, i64::MAX is not.
    (r.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&r)).then_some(r as i64)
}

impl CompareOp {
    fn flipped(self) -> CompareOp {
        match self {
            CompareOp::Lt => CompareOp::Gt,
            CompareOp::Le => CompareOp::Ge,
            CompareOp::Gt => CompareOp::Lt,
            CompareOp::Ge => CompareOp::Le,
            same => same,
        }
    }
}

/// What every document has, as a path.
fn system_field(depth: usize, name: &str) -> Option<Path> {
    let (column, kind) = SYSTEM_FIELDS.iter().find(|(n, _)| *n == name)?;
    Some(Path { depth, keys: vec![name.to_owned()], kind: kind.clone(), column: Some(column) })
}

fn kind_name(k: &FieldKind) -> &'static str {
    match k {
        FieldKind::Text => "text",
        FieldKind::Integer => "a whole number",
        FieldKind::Decimal => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Timestamp => "a time",
        FieldKind::List(_) => "a list",
        FieldKind::Table(_) => "a table",
        FieldKind::Json => "JSON",
    }
}

fn literal_name(l: &Literal) -> &'static str {
    match l {
        Literal::Null => "null",
        Literal::Bool(_) => "true or false",
        Literal::Int(_) | Literal::Real(_) => "a number",
        Literal::Text(_) => "text",
        Literal::Time(_) => "a time",
    }
}
