//! How the database finds what a query asks for: by which index, or by reading all.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::define::index_names;
use super::query::conditions;
use super::{DocumentError, Documents, Query};
use crate::params;
use crate::sql::{Dialect, Row};
use crate::{CollectionSpec, StoreError};

/// One table that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanStep {
    /// The collection; none of the table of links.
    pub collection: Option<String>,
    /// The fields of the index that finds rows; none when all rows are read.
    pub index: Option<Vec<String>>,
}

/// How a query is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The tables, in the database's order.
    pub steps: Vec<PlanStep>,
    /// Whether all documents of the collection are read.
    pub scans: bool,
    /// About how many documents the collection has.
    pub documents: i64,
    /// What the database says, line by line.
    pub raw: Vec<String>,
}

/// What the names of tables and indexes stand for.
struct Names {
    /// Collection and its indexes, by table.
    tables: BTreeMap<String, (String, BTreeMap<String, Vec<String>>)>,
}

impl Names {
    fn add(&mut self, table: &str, spec: &CollectionSpec) {
        let mut indexes: BTreeMap<String, Vec<String>> = index_names(table, spec).into_iter().map(|(n, fields, _)| (n, fields)).collect();
        indexes.insert(format!("{table}_updated"), vec!["updated_at".into()]);
        indexes.insert(format!("sqlite_autoindex_{table}_1"), vec!["id".into()]);
        indexes.insert(format!("{table}_pkey"), vec!["id".into()]);
        self.tables.insert(table.to_owned(), (spec.name.clone(), indexes));
    }

    fn step(&self, table: &str, index: Option<&str>) -> PlanStep {
        let Some((collection, indexes)) = self.tables.get(table) else {
            return PlanStep { collection: None, index: index.map(|i| vec![i.to_owned()]) };
        };
        let index = index.map(|i| indexes.get(i).cloned().unwrap_or_else(|| vec![i.to_owned()]));
        PlanStep { collection: Some(collection.clone()), index }
    }
}

impl Documents {
    /// How the filter and the words of a query find documents. Nothing is read.
    pub async fn explain(&self, collection: &str, query: &Query) -> Result<Plan, DocumentError> {
        let c = self.collection(collection).await?;
        let d = self.db.dialect();
        let (condition, values) = conditions(&c, d, query)?;
        let mut names = Names { tables: BTreeMap::new() };
        names.add(&c.table, &c.spec);
        for n in query.links.iter().flat_map(|l| l.neighbours.values()) {
            if n.table != c.table {
                let spec = CollectionSpec {
                    name: n.name.clone(),
                    schema: n.schema.clone(),
                    indexed: n.indexed.clone(),
                    unique: Vec::new(),
                    history: false,
                };
                names.add(&n.table, &spec);
            }
        }
        let select = format!("SELECT id FROM {} WHERE {condition}", c.table);
        let (steps, raw) = match d {
            Dialect::Sqlite => sqlite(&self.db.fetch_all(&format!("EXPLAIN QUERY PLAN {select}"), &values).await?, &names)?,
            Dialect::Postgres => postgres(&self.db.fetch_all(&format!("EXPLAIN (FORMAT JSON) {select}"), &values).await?, &names)?,
        };
        let scans = steps.iter().any(|s| s.collection.as_deref() == Some(collection) && s.index.is_none());
        Ok(Plan { steps, scans, documents: self.about(&c.table).await?, raw })
    }

    /// About how many rows a table has, without counting them.
    async fn about(&self, table: &str) -> Result<i64, StoreError> {
        let row = match self.db.dialect() {
            // Rows are numbered as they come; those that went leave gaps.
            Dialect::Sqlite => self.db.fetch_optional(&format!("SELECT MAX(rowid) AS n FROM {table}"), &[]).await?,
            Dialect::Postgres => {
                let sql = "SELECT GREATEST(reltuples, 0)::bigint AS n FROM pg_class WHERE oid = to_regclass(?)";
                self.db.fetch_optional(sql, params![table]).await?
            }
        };
        Ok(row.map(|r| r.opt_int("n")).transpose()?.flatten().unwrap_or(0))
    }
}

/// `SEARCH d_x USING INDEX d_x_i0 (<expr>=?)`, `SCAN d_x`, `SEARCH r1 ...` for an alias.
fn sqlite(rows: &[Row], names: &Names) -> Result<(Vec<PlanStep>, Vec<String>), StoreError> {
    let (mut steps, mut raw) = (Vec::new(), Vec::new());
    for r in rows {
        let line = r.text("detail")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [verb @ ("SEARCH" | "SCAN"), name, rest @ ..] = words.as_slice() {
            let index = rest.iter().position(|w| *w == "INDEX").and_then(|i| rest.get(i + 1)).copied();
            // An alias is known by the index that it uses.
            let table = if names.tables.contains_key(*name) { name } else { index.map_or("", |i| owner(names, i)) };
            // The whole of an index is no less than the whole of the table.
            steps.push(names.step(table, index.filter(|_| *verb == "SEARCH")));
        }
        raw.push(line);
    }
    Ok((steps, raw))
}

fn owner<'a>(names: &'a Names, index: &str) -> &'a str {
    names.tables.iter().find(|(_, (_, indexes))| indexes.contains_key(index)).map_or("", |(table, _)| table.as_str())
}

fn postgres(rows: &[Row], names: &Names) -> Result<(Vec<PlanStep>, Vec<String>), StoreError> {
    fn walk(node: &Json, depth: usize, above: Option<&str>, names: &Names, steps: &mut Vec<PlanStep>, raw: &mut Vec<String>) {
        // A plan is as deep as the query that was let through; still, what recurses has a bound.
        if depth > 200 {
            return;
        }
        let text = |key: &str| node.get(key).and_then(Json::as_str);
        let kind = text("Node Type").unwrap_or_default();
        let table = text("Relation Name").or(above);
        let index = text("Index Name").filter(|_| node.get("Index Cond").is_some());
        let line: Vec<&str> =
            [Some(kind), text("Relation Name"), text("Index Name"), text("Index Cond"), text("Filter")].into_iter().flatten().collect();
        raw.push(format!("{}{}", "  ".repeat(depth), line.join(" · ")));
        match (kind, table) {
            ("Seq Scan", Some(t)) => steps.push(names.step(t, None)),
            ("Index Scan" | "Index Only Scan" | "Bitmap Index Scan", Some(t)) => steps.push(names.step(t, index)),
            _ => {}
        }
        // Of a bitmap only the node above it knows the table.
        let below = if kind == "Bitmap Heap Scan" || kind.starts_with("Bitmap") { table } else { None };
        for child in node.get("Plans").and_then(Json::as_array).into_iter().flatten() {
            walk(child, depth + 1, below, names, steps, raw);
        }
    }
    let (mut steps, mut raw) = (Vec::new(), Vec::new());
    for r in rows {
        let plan = r.json("QUERY PLAN")?;
        if let Some(root) = plan.get(0).and_then(|p| p.get("Plan")) {
            walk(root, 0, None, names, &mut steps, &mut raw);
        }
    }
    Ok((steps, raw))
}
