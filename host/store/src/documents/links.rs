//! What surrounds the documents of a collection: other collections, and which links lead to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{DocumentError, Documents};
use crate::filter::{Filter, Link, LinkTable, Links, Named, Neighbour, Schema};
use crate::sql::Value;

/// A collection that links may lead to, as a domain knows it.
#[derive(Debug, Clone)]
pub struct Surrounding {
    /// Its name in the table of links and in filters.
    pub name: String,
    /// The collection.
    pub collection: String,
    /// The fields that may be looked at.
    pub schema: Schema,
    /// The records that may be looked at; all when absent.
    pub within: Option<Filter>,
}

impl Documents {
    /// What filters over `home` may look at: `around` has `home` itself and all other collections whose records may be seen. Only links of
    /// `links` are looked for in the table.
    pub async fn links(
        &self,
        table: LinkTable,
        home: &str,
        around: Vec<Surrounding>,
        links: Vec<Link>,
        named: BTreeMap<String, Named>,
    ) -> Result<Links, DocumentError> {
        let mut neighbours = BTreeMap::new();
        for s in around {
            let c = self.collection(&s.collection).await?;
            let indexed = c.spec.indexed.iter().chain(c.spec.unique.iter().filter_map(|u| u.first())).cloned().collect();
            let n = Neighbour { name: s.name.clone(), schema: s.schema, indexed, within: s.within, table: c.table.clone() };
            neighbours.insert(s.name, Arc::new(n));
        }
        let kinds: BTreeSet<&str> = links.iter().map(|l| l.kind.as_str()).collect();
        let mut shapes = BTreeSet::new();
        if !kinds.is_empty() && !neighbours.is_empty() {
            // Each combination is one look into an index, and a beginning that has none of the kind is asked once.
            let rows = |of: usize| vec!["(?)"; of].join(", ");
            let sql = format!(
                "WITH c(name) AS (VALUES {}), k(kind) AS (VALUES {}) \
                 SELECT k.kind AS kind, a.name AS a, b.name AS b FROM k CROSS JOIN c a CROSS JOIN c b \
                 WHERE EXISTS (SELECT 1 FROM {t} l WHERE l.{kind} = k.kind AND l.{from} = a.name) \
                 AND EXISTS (SELECT 1 FROM {t} l WHERE l.{kind} = k.kind AND l.{from} = a.name AND l.{to} = b.name)",
                rows(neighbours.len()),
                rows(kinds.len()),
                t = table.table,
                kind = table.kind,
                from = table.from.0,
                to = table.to.0,
            );
            let values: Vec<Value> = neighbours.keys().map(Value::from).chain(kinds.iter().map(|k| Value::from(*k))).collect();
            for r in self.db.fetch_all(&sql, &values).await? {
                shapes.insert((r.text("kind")?, r.text("a")?, r.text("b")?));
            }
        }
        Ok(Links { table, home: home.to_owned(), neighbours, links, shapes, named })
    }
}
