//! The backend in memory.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::{CompareOp, Expr, FieldKind, Literal, Path, Reach, Record, TextOp};

/// What a variable stands for.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Json(&'a Json),
    Record(&'a Record),
}

/// `scope[0]` is the record, the rest the elements and records of the surrounding `exists`/`all`.
pub(super) fn eval(e: &Expr, scope: &mut Vec<Node<'_>>) -> bool {
    match e {
        Expr::Const(b) => *b,
        Expr::And(a, b) => eval(a, scope) && eval(b, scope),
        Expr::Or(a, b) => eval(a, scope) || eval(b, scope),
        Expr::Not(a) => !eval(a, scope),
        Expr::Truth(p) => get(p, scope) == Some(&Json::Bool(true)),
        Expr::Has(p) => get(p, scope).is_some(),
        Expr::Compare(op, p, l) => compare(*op, get(p, scope), &p.kind, l),
        Expr::ComparePaths(op, p, q) => {
            let (a, b) = (get(p, scope), get(q, scope));
            match (a, b) {
                (None, None) => matches!(op, CompareOp::Eq),
                (Some(a), Some(b)) => decide(*op, order(a, b, &p.kind, &q.kind)),
                _ => matches!(op, CompareOp::Ne),
            }
        }
        Expr::In(p, list) => {
            let v = get(p, scope);
            list.iter().any(|l| compare(CompareOp::Eq, v, &p.kind, l))
        }
        Expr::Contains(p, l) => {
            let FieldKind::List(kind) = &p.kind else { return false };
            get(p, scope)
                .and_then(Json::as_array)
                .is_some_and(|a| a.iter().any(|v| !v.is_null() && compare(CompareOp::Eq, Some(v), kind, l)))
        }
        Expr::Text(op, p, t) => get(p, scope).and_then(Json::as_str).is_some_and(|s| match op {
            TextOp::StartsWith => s.starts_with(t.as_str()),
            TextOp::EndsWith => s.ends_with(t.as_str()),
            TextOp::Contains => s.contains(t.as_str()),
        }),
        Expr::Size(op, p, n) => {
            let size = match get(p, scope) {
                Some(Json::String(s)) => s.chars().count(),
                Some(Json::Array(a)) => a.len(),
                _ => 0,
            };
            decide(*op, i64::try_from(size).ok().map(|s| s.cmp(n)))
        }
        Expr::Exists(p, inner) => elements(p, scope).iter().any(|el| with(scope, Node::Json(el), inner)),
        Expr::All(p, inner) => elements(p, scope).iter().all(|el| with(scope, Node::Json(el), inner)),
        Expr::Linked(r, false, inner) => reached(r, scope).into_iter().any(|l| with(scope, Node::Record(l), inner)),
        Expr::Linked(r, true, inner) => reached(r, scope).into_iter().all(|l| with(scope, Node::Record(l), inner)),
        Expr::Of(depth, collection) => matches!(scope.get(*depth), Some(Node::Record(r)) if r.collection == *collection),
        Expr::LinkedSize(op, r, n) => decide(*op, i64::try_from(reached(r, scope).len()).ok().map(|s| s.cmp(n))),
    }
}

/// The records that a link leads to, of those that the record brings along.
fn reached<'a>(r: &Reach, scope: &[Node<'a>]) -> Vec<&'a Record> {
    let Some(Node::Record(from)) = scope.get(r.depth) else { return Vec::new() };
    let seen = |l: &&Record| {
        r.only.as_ref().is_none_or(|only| *only == l.collection)
            && r.from(&from.collection).iter().any(|n| n.name == l.collection && n.within.as_ref().is_none_or(|w| w.matches(&l.data)))
    };
    from.links.get(&r.name).into_iter().flatten().filter(seen).collect()
}

fn with<'a>(scope: &mut Vec<Node<'a>>, element: Node<'a>, inner: &Expr) -> bool {
    scope.push(element);
    let r = eval(inner, scope);
    scope.pop();
    r
}

fn elements<'a>(p: &Path, scope: &[Node<'a>]) -> &'a [Json] {
    get(p, scope).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The value, or `None` for absent and null alike.
fn get<'a>(p: &Path, scope: &[Node<'a>]) -> Option<&'a Json> {
    let mut v = match *scope.get(p.depth)? {
        Node::Json(v) => v,
        Node::Record(r) => &r.data,
    };
    for k in &p.keys {
        v = v.get(k)?;
    }
    (!v.is_null()).then_some(v)
}

fn compare(op: CompareOp, v: Option<&Json>, kind: &FieldKind, l: &Literal) -> bool {
    let Some(v) = v else {
        return match op {
            CompareOp::Eq => *l == Literal::Null,
            CompareOp::Ne => *l != Literal::Null,
            _ => false,
        };
    };
    let ordering = match l {
        Literal::Null => None,
        Literal::Bool(b) => v.as_bool().map(|v| v.cmp(b)),
        Literal::Int(i) => number_order(v, &Json::from(*i)),
        Literal::Real(r) if *kind == FieldKind::Decimal => v.as_f64().and_then(|v| v.partial_cmp(r)),
        Literal::Real(r) => number_order(v, &Json::from(*r)),
        Literal::Text(t) => v.as_str().map(|v| v.cmp(t.as_str())),
        Literal::Time(ms) => instant(v).map(|v| v.cmp(ms)),
    };
    decide(op, ordering)
}

/// A time as text, or as milliseconds where a record comes from the database's own columns.
fn instant(v: &Json) -> Option<i64> {
    match v {
        Json::String(s) => chrono::DateTime::parse_from_rfc3339(s).ok().map(|t| t.timestamp_millis()),
        v => v.as_i64(),
    }
}

fn order(a: &Json, b: &Json, a_kind: &FieldKind, b_kind: &FieldKind) -> Option<Ordering> {
    match (a_kind, b_kind) {
        (FieldKind::Timestamp, _) => Some(instant(a)?.cmp(&instant(b)?)),
        (FieldKind::Decimal, _) | (_, FieldKind::Decimal) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        _ => match (a, b) {
            (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
            (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
            _ => number_order(a, b),
        },
    }
}

/// Exact, as the databases compare numbers in JSON.
fn number_order(a: &Json, b: &Json) -> Option<Ordering> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => integer_order(a, b.as_f64()?),
        (None, Some(b)) => integer_order(b, a.as_f64()?).map(Ordering::reverse),
        (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn integer_order(i: i64, r: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if r >= LIMIT {
        return Some(Ordering::Less);
    }
    if r < -LIMIT {
        return Some(Ordering::Greater);
    }
    Some(i.cmp(&(r.trunc() as i64)).then(0.0.partial_cmp(&r.fract())?))
}

fn decide(op: CompareOp, o: Option<Ordering>) -> bool {
    match op {
        CompareOp::Eq => o == Some(Ordering::Equal),
        CompareOp::Ne => o != Some(Ordering::Equal),
        CompareOp::Lt => o == Some(Ordering::Less),
        CompareOp::Le => matches!(o, Some(Ordering::Less | Ordering::Equal)),
        CompareOp::Gt => o == Some(Ordering::Greater),
        CompareOp::Ge => matches!(o, Some(Ordering::Greater | Ordering::Equal)),
    }
}
