//! The rewriting of programs, so that they pass through the checks.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops;
use jaq_core::path::Part;

use super::ExprError;

/// Natives that walk their whole input, so that shared sub-values could make them run for ever.
const WALKERS: &[&str] =
    &["tojson", "sort", "sort_by", "group_by", "min_by_or_empty", "max_by_or_empty", "contains", "indices", "bsearch", "implode", "has"];

pub(super) fn call(name: &'static str) -> Term<&'static str> {
    Term::Call(name, Vec::new())
}

pub(super) fn pipe<'s>(l: Term<&'s str>, r: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(l), BinaryOp::Pipe(None), Box::new(r))
}

/// Rewrites a program so that it passes through the checks. `depth` bounds the nesting of the text itself.
pub(super) fn guard<'s>(term: Term<&'s str>, depth: usize) -> Result<Term<&'s str>, ExprError> {
    if depth > 400 {
        return Err(ExprError::Limit("is nested too deeply".into()));
    }
    let g = |t: Term<&'s str>| guard(t, depth + 1);
    let gb = |t: Box<Term<&'s str>>| guard(*t, depth + 1).map(Box::new);
    let ticked = |t: Term<&'s str>| pipe(t, call("__tick"));
    let sized = |t: Term<&'s str>| pipe(t, call("__size"));
    Ok(match term {
        Term::Id | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => term,
        Term::Recurse => ticked(Term::Recurse),
        Term::Str(fmt, parts) => Term::Str(
            fmt,
            parts
                .into_iter()
                .map(|p| {
                    Ok(match p {
                        StrPart::Term(t) => StrPart::Term(sized(g(t)?)),
                        StrPart::Str(s) => StrPart::Str(s),
                        StrPart::Char(c) => StrPart::Char(c),
                    })
                })
                .collect::<Result<_, ExprError>>()?,
        ),
        Term::Arr(Some(t)) => Term::Arr(Some(Box::new(ticked(g(*t)?)))),
        Term::Obj(kv) => Term::Obj(kv.into_iter().map(|(k, v)| Ok((g(k)?, v.map(g).transpose()?))).collect::<Result<_, ExprError>>()?),
        Term::Neg(t) => Term::Neg(gb(t)?),
        Term::BinOp(l, op, r) => match op {
            BinaryOp::Pipe(None) => Term::BinOp(Box::new(ticked(g(*l)?)), BinaryOp::Pipe(None), gb(r)?),
            BinaryOp::Pipe(Some(p)) => Term::BinOp(Box::new(ticked(g(*l)?)), BinaryOp::Pipe(Some(guard_pattern(p, depth + 1)?)), gb(r)?),
            BinaryOp::Math(ops::Math::Mul) => Term::Call("__mul", vec![g(*l)?, g(*r)?]),
            BinaryOp::UpdateMath(ops::Math::Mul) => Term::BinOp(
                gb(r)?,
                BinaryOp::Pipe(Some(Pattern::Var("$__factor"))),
                Box::new(Term::BinOp(gb(l)?, BinaryOp::Update, Box::new(Term::Call("__mul", vec![Term::Id, Term::Var("$__factor")])))),
            ),
            BinaryOp::Cmp(op) => Term::BinOp(Box::new(sized(g(*l)?)), BinaryOp::Cmp(op), Box::new(sized(g(*r)?))),
            BinaryOp::Math(ops::Math::Sub) => Term::BinOp(Box::new(sized(g(*l)?)), BinaryOp::Math(ops::Math::Sub), Box::new(sized(g(*r)?))),
            BinaryOp::Update => Term::BinOp(gb(l)?, BinaryOp::Update, Box::new(ticked(g(*r)?))),
            op => Term::BinOp(gb(l)?, op, gb(r)?),
        },
        Term::Label(s, t) => Term::Label(s, gb(t)?),
        Term::Fold(name, xs, pattern, args) => Term::Fold(
            name,
            Box::new(ticked(g(*xs)?)),
            guard_pattern(pattern, depth + 1)?,
            args.into_iter().map(|a| Ok(ticked(g(a)?))).collect::<Result<_, ExprError>>()?,
        ),
        Term::TryCatch(t, c) => Term::TryCatch(gb(t)?, c.map(gb).transpose()?),
        Term::IfThenElse(arms, otherwise) => Term::IfThenElse(
            arms.into_iter().map(|(c, t)| Ok((g(c)?, g(t)?))).collect::<Result<_, ExprError>>()?,
            otherwise.map(gb).transpose()?,
        ),
        Term::Def(defs, t) => Term::Def(
            defs.into_iter()
                .map(|d| Ok(Def { name: d.name, args: d.args, body: pipe(call("__tick"), g(d.body)?) }))
                .collect::<Result<_, ExprError>>()?,
            gb(t)?,
        ),
        Term::Call(name, args) => {
            let args = args.into_iter().map(g).collect::<Result<Vec<_>, _>>()?;
            if name == "range" {
                ticked(Term::Call(name, args))
            } else if WALKERS.contains(&name) {
                pipe(call("__size"), Term::Call(name, args))
            } else {
                Term::Call(name, args)
            }
        }
        Term::Path(t, path) => {
            let many = path.0.iter().any(|(p, _)| matches!(p, Part::Range(..)));
            let parts = path
                .0
                .into_iter()
                .map(|(p, o)| {
                    Ok((
                        match p {
                            Part::Index(i) => Part::Index(g(i)?),
                            Part::Range(a, b) => Part::Range(a.map(g).transpose()?, b.map(g).transpose()?),
                        },
                        o,
                    ))
                })
                .collect::<Result<_, ExprError>>()?;
            let t = Term::Path(gb(t)?, jaq_core::path::Path(parts));
            if many { ticked(t) } else { t }
        }
    })
}

fn guard_pattern(p: Pattern<&str>, depth: usize) -> Result<Pattern<&str>, ExprError> {
    Ok(match p {
        Pattern::Var(v) => Pattern::Var(v),
        Pattern::Arr(a) => Pattern::Arr(a.into_iter().map(|p| guard_pattern(p, depth + 1)).collect::<Result<_, _>>()?),
        Pattern::Obj(o) => Pattern::Obj(
            o.into_iter().map(|(t, p)| Ok((guard(t, depth + 1)?, guard_pattern(p, depth + 1)?))).collect::<Result<_, ExprError>>()?,
        ),
    })
}
