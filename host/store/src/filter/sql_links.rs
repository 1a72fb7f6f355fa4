//! The backend in SQL, where it looks at other records.

use std::sync::Arc;

use super::links::Neighbour;
use super::sql::{Place, Translator, any_of, sign};
use super::{CompareOp, Expr, FilterError, Literal, Path, Reach, TextOp};
use crate::sql::Dialect;

/// Most tables of other collections in one filter: a link that may lead to many collections multiplies with those behind it.
const MAX_TABLES: usize = 64;

impl Translator {
    /// Whether there is (or, with `all`, whether there is none against) a record that the link leads to.
    pub(super) fn linked(&mut self, reach: &Reach, all: bool, inner: &Expr) -> Result<String, FilterError> {
        let outer = self.column(reach.depth, "id");
        let mut parts = Vec::new();
        for target in self.targets(reach)? {
            parts.push(self.one_target(reach, &outer, &target, all, inner)?);
        }
        let found = any_of(&parts);
        Ok(if all { format!("(NOT {found})") } else { found })
    }

    fn targets(&mut self, reach: &Reach) -> Result<Vec<Arc<Neighbour>>, FilterError> {
        let to = match self.places.get(reach.depth) {
            Some(Place::Record { of: Some(n), .. }) => reach.from(&n.name),
            // The record that is asked is of the one collection that it was parsed for.
            _ => reach.targets.first().map_or(&[][..], |(_, to)| to),
        };
        self.tables += to.len();
        if self.tables > MAX_TABLES {
            let message = format!(
                "`{0}` may lead to records of more models than a filter can look at ({MAX_TABLES}); name one, `{0}.model.exists(...)`",
                reach.name
            );
            return Err(FilterError { code: "filter.too_large", message, position: None, hint: None });
        }
        Ok(to.to_vec())
    }

    fn one_target(&mut self, reach: &Reach, outer: &str, to: &Arc<Neighbour>, all: bool, inner: &Expr) -> Result<String, FilterError> {
        let depth = self.places.len();
        let (row, link) = (format!("r{depth}"), format!("l{depth}"));
        let (here, (there_collection, there)) = reach.columns();
        let kind = reach.table.kind;
        self.bind(reach.kind.as_str());
        self.bind(to.name.as_str());
        self.places.push(Place::Record { row: row.clone(), of: Some(to.clone()) });
        let condition = self.predicate(inner);
        self.places.pop();
        let mut condition = condition?;
        if all {
            condition = format!("NOT COALESCE({condition}, {})", self.falsehood());
        }
        condition.push_str(&self.within(to, &row)?);
        let table = reach.table.table;
        let from = format!("{table} {link} JOIN {} {row} ON {row}.id = {link}.{there}", to.table);
        let wanted = format!("{link}.{kind} = ? AND {link}.{there_collection} = ? AND {condition}");
        // PostgreSQL turns EXISTS round where that is better; SQLite asks it anew for each record, so what an index finds on the other side is
        // found first there.
        if self.dialect == Dialect::Sqlite && !all && driven(inner, depth, to) {
            // CROSS keeps the order: first the records, then their links.
            let from = format!("{} {row} CROSS JOIN {table} {link} ON {link}.{there} = {row}.id", to.table);
            return Ok(format!("({outer} IN (SELECT {link}.{here} FROM {from} WHERE {wanted}))"));
        }
        Ok(format!("(EXISTS (SELECT 1 FROM {from} WHERE {link}.{here} = {outer} AND {wanted}))"))
    }

    /// ` AND ...` for the records of a collection that may be looked at.
    fn within(&mut self, to: &Neighbour, row: &str) -> Result<String, FilterError> {
        let Some(within) = &to.within else { return Ok(String::new()) };
        let (sql, values) = within.to_sql(self.dialect, row)?;
        self.values.extend(values);
        Ok(format!(" AND {sql}"))
    }

    pub(super) fn linked_size(&mut self, op: CompareOp, reach: &Reach, n: i64) -> Result<String, FilterError> {
        match (op, n) {
            (CompareOp::Gt | CompareOp::Ne, 0) | (CompareOp::Ge, 1) => return self.linked(reach, false, &Expr::Const(true)),
            (CompareOp::Eq | CompareOp::Le, 0) | (CompareOp::Lt, 1) => return self.linked(reach, true, &Expr::Const(false)),
            _ => {}
        }
        let outer = self.column(reach.depth, "id");
        let (here, (there_collection, there)) = reach.columns();
        let (table, kind, depth) = (reach.table.table, reach.table.kind, self.places.len());
        let mut counts = vec!["0".to_owned()];
        for to in self.targets(reach)? {
            self.bind(reach.kind.as_str());
            self.bind(to.name.as_str());
            let within = self.within(&to, &format!("r{depth}"))?;
            let seen = if within.is_empty() {
                String::new()
            } else {
                format!(" AND EXISTS (SELECT 1 FROM {0} r{depth} WHERE r{depth}.id = l{depth}.{there}{within})", to.table)
            };
            counts.push(format!(
                "(SELECT COUNT(*) FROM {table} l{depth} WHERE l{depth}.{kind} = ? AND l{depth}.{there_collection} = ? AND l{depth}.{here} = {outer}{seen})"
            ));
        }
        let n = self.bind(n);
        Ok(format!("({} {} {n})", counts.join(" + "), sign(op)))
    }
}

/// Whether an index of the other collection finds the records that `e` asks for of the record at `depth`.
fn driven(e: &Expr, depth: usize, of: &Neighbour) -> bool {
    let indexed = |p: &Path| {
        p.depth == depth
            && p.keys.len() == 1
            && p.keys.iter().all(|k| of.indexed.contains(k) || matches!(p.column, Some("id" | "updated_at")))
    };
    match e {
        Expr::And(a, b) => driven(a, depth, of) || driven(b, depth, of),
        Expr::Or(a, b) => driven(a, depth, of) && driven(b, depth, of),
        Expr::Compare(op, p, l) => *op != CompareOp::Ne && *l != Literal::Null && indexed(p),
        Expr::In(p, list) => !list.contains(&Literal::Null) && indexed(p),
        Expr::Text(TextOp::StartsWith, p, t) => !t.is_empty() && indexed(p),
        Expr::Linked(r, false, inner) => {
            r.depth == depth && !r.from(&of.name).is_empty() && r.from(&of.name).iter().all(|n| driven(inner, depth + 1, n))
        }
        _ => false,
    }
}
