//! The parts of a filter that look at other records, and at other filters.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::Expr as Cel;

use super::links::{MAX_LINK_DEPTH, MAX_NAMED_DEPTH, Neighbour};
use super::parse::{Context, Of, Scope, error, parse_in};
use super::{Expr, FilterError, Literal, Reach, nearest};

impl Context<'_> {
    /// The link that `link`, `link.model`, `variable.link` or `variable.link.model` is; none when it is something else. A field hides a link of
    /// the same name.
    pub(super) fn reach(&self, e: &IdedExpr) -> Result<Option<Reach>, FilterError> {
        let Some(links) = self.links else { return Ok(None) };
        let mut names: Vec<(&str, &IdedExpr)> = Vec::new();
        let mut current = e;
        loop {
            match &current.expr {
                Cel::Ident(name) => {
                    names.push((name, current));
                    break;
                }
                Cel::Select(s) if !s.test && names.len() < 3 => {
                    names.push((&s.field, current));
                    current = &s.operand;
                }
                _ => return Ok(None),
            }
        }
        names.reverse();
        let first = names.first().map_or("", |(n, _)| *n);
        let variable = self.scopes.iter().enumerate().skip(self.root).rev().find(|(_, s)| s.name.as_deref() == Some(first));
        let (depth, names) = match variable {
            Some((depth, Scope { of: Of::Record(_), .. })) => (depth, names.get(1..).unwrap_or_default()),
            Some(_) => return Ok(None),
            None => (self.root, names.as_slice()),
        };
        let ((name, _), only) = match names {
            [link] => (*link, None),
            [link, model] => (*link, Some(*model)),
            _ => return Ok(None),
        };
        let Some(link) = links.link(name) else { return Ok(None) };
        let here = self.collections(depth);
        let is_field =
            if depth == self.root { self.schema.field(name).is_some() } else { here.iter().any(|n| n.schema.field(name).is_some()) };
        if is_field {
            return Ok(None);
        }
        if let Some((model, at)) = only
            && !links.neighbours.contains_key(model)
        {
            let mut e = error("filter.unknown_model", format!("`{model}` is no model that you may read"), self.position(at));
            e.hint = nearest(model, links.neighbours.keys().map(String::as_str));
            return Err(e);
        }
        let only = only.map(|(model, _)| model.to_owned());
        let wanted = |n: &Arc<Neighbour>| only.as_ref().is_none_or(|o| *o == n.name);
        let targets =
            here.iter().map(|n| (n.name.clone(), links.targets(link, &n.name).into_iter().filter(wanted).collect::<Vec<_>>())).collect();
        Ok(Some(Reach {
            depth,
            name: name.to_owned(),
            kind: link.kind.clone(),
            backward: link.backward,
            table: links.table,
            only,
            targets,
        }))
    }

    fn collections(&self, depth: usize) -> &[Arc<Neighbour>] {
        match self.scopes.get(depth) {
            Some(Scope { of: Of::Record(of), .. }) => of,
            _ => &[],
        }
    }

    /// `reach.exists(variable, condition)`, or `all`.
    pub(super) fn linked(
        &mut self,
        e: &IdedExpr,
        reach: Reach,
        variable: &str,
        condition: &IdedExpr,
        exists: bool,
        depth: usize,
    ) -> Result<Expr, FilterError> {
        if self.scopes.iter().filter(|s| matches!(s.of, Of::Record(_))).count() > MAX_LINK_DEPTH {
            return self.refuse(e, "filter.too_large", format!("a filter follows at most {MAX_LINK_DEPTH} links one after the other"));
        }
        let mut of: Vec<Arc<Neighbour>> = reach.targets.iter().flat_map(|(_, to)| to.iter().cloned()).collect();
        if let (true, Some(links)) = (of.is_empty(), self.links) {
            // Nothing is linked so yet: whatever it could be, so that a wrong word is found all the same.
            let any = links.neighbours.values().filter(|n| reach.only.as_ref().is_none_or(|o| *o == n.name));
            of = any.cloned().collect();
        }
        of.sort_by(|a, b| a.name.cmp(&b.name));
        of.dedup_by(|a, b| a.name == b.name);
        self.scopes.push(Scope { name: Some(variable.to_owned()), of: Of::Record(of) });
        let inner = self.predicate(condition, depth + 1);
        self.scopes.pop();
        Ok(Expr::Linked(Box::new(reach), !exists, Box::new(inner?)))
    }

    /// `in_group("name")`, or of a record that a link leads to `in_group(h, "name")`.
    pub(super) fn in_named(&mut self, e: &IdedExpr, of: Option<&IdedExpr>, name: &IdedExpr) -> Result<Expr, FilterError> {
        let Some(Literal::Text(name_text)) = self.literal(name)? else {
            return self.refuse(name, "filter.type", "in_group() takes the name of a group, a text".to_owned());
        };
        let Some(links) = self.links else {
            return self.refuse(e, "filter.unsupported", "in_group() is not known here".to_owned());
        };
        let depth = match of.map(|of| &of.expr) {
            None => self.root,
            Some(Cel::Ident(v)) => match self.scopes.iter().enumerate().skip(self.root).rev().find(|(_, s)| s.name.as_ref() == Some(v)) {
                Some((depth, Scope { of: Of::Record(_), .. })) => depth,
                _ => return self.refuse(e, "filter.type", format!("`{v}` is no record; in_group() takes one and the name of a group")),
            },
            Some(_) => return self.refuse(e, "filter.type", "in_group() takes a record and the name of a group".to_owned()),
        };
        let Some(named) = links.named.get(&name_text) else {
            let mut err = error("filter.unknown_group", format!("there is no group {name_text:?}"), self.position(name));
            err.hint = nearest(&name_text, links.named.keys().map(String::as_str)).map(|n| format!("{n:?}"));
            return Err(err);
        };
        let here = self.collections(depth);
        if !here.is_empty() && !here.iter().any(|n| n.name == named.of) {
            let message = format!("the group {name_text:?} is one of {}, and this is {}", named.of, names(here));
            return self.refuse(e, "filter.type", message);
        }
        if self.named >= MAX_NAMED_DEPTH {
            let message = format!("groups name each other more than {MAX_NAMED_DEPTH} deep, or in a circle");
            return self.refuse(e, "filter.too_large", message);
        }
        let neighbour = links.neighbours.get(&named.of).cloned();
        let schema = match (&neighbour, depth == self.root && links.home == named.of) {
            (_, true) => self.schema,
            (Some(n), false) => &n.schema,
            (None, false) => return self.refuse(e, "filter.unknown_group", format!("there is no group {name_text:?}")),
        };
        let mut scopes: Vec<Scope> = self.scopes.iter().take(depth + 1).cloned().collect();
        for s in &mut scopes {
            s.name = None;
        }
        // What is bound between the record and here keeps its place, since places are depths.
        scopes.extend(self.scopes.iter().skip(depth + 1).cloned().map(|s| Scope { name: None, ..s }));
        let inner = parse_in(&named.source, schema, self.links, scopes, depth, &mut self.terms, self.named + 1);
        let message = |err: &FilterError| format!("in the group {name_text:?}: {}", err.message);
        let inner = inner.map_err(|err| FilterError { message: message(&err), position: self.position(e), ..err })?;
        // A record that a link leads to may be of another collection.
        Ok(if depth == 0 { inner } else { Expr::And(Box::new(Expr::Of(depth, named.of.clone())), Box::new(inner)) })
    }
}

fn names(of: &[Arc<Neighbour>]) -> String {
    of.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ")
}
