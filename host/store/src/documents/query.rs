//! Pages of documents: filter, search, order, cursor.

use serde_json::Value as Json;

use super::{Collection, Document, DocumentError, Documents, MAX_PAGE, Page, Query, document};
use crate::StoreError;
use crate::filter::{FieldKind, Filter, field_sql, nearest};
use crate::sql::{Dialect, Row, Tx, Value};

impl Documents {
    /// A page of documents.
    pub async fn query(&self, collection: &str, query: &Query) -> Result<Page, DocumentError> {
        let c = self.collection(collection).await?;
        self.page_of(&c, &c.table, Vec::new(), query).await
    }

    /// A page of `source`: a table, or a query in brackets with the parameters `given`, that has the columns of documents.
    pub(super) async fn page_of(&self, c: &Collection, source: &str, given: Vec<Value>, query: &Query) -> Result<Page, DocumentError> {
        let d = self.db.dialect();
        let row = if source == c.table { source } else { super::past::ROW };
        let (condition, wanted) = conditions_of(c, d, query, row)?;
        let mut values = given;
        values.extend(wanted);
        let total = if query.with_total {
            let row = self.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM {source} WHERE {condition}"), &values).await?;
            row.map(|r| r.int("n")).transpose()?
        } else {
            None
        };
        let limit = if query.limit == 0 { 50 } else { query.limit.min(MAX_PAGE) };
        let (sort, down) = match &query.sort {
            Some((field, down)) => (Some(sort_sql(c, d, field)?), *down),
            None => (None, false),
        };
        let mut sql = format!(
            "SELECT id, version, created_at, updated_at, data{}{} FROM {source} WHERE {condition}",
            if query.most_bytes.is_some() { ", bytes" } else { "" },
            sort.as_ref().map(|s| format!(", {s} AS sort_key")).unwrap_or_default(),
        );
        if let Some(cursor) = &query.cursor {
            let kind = query.sort.as_ref().and_then(|(f, _)| c.spec.schema.field(f)).map(|f| &f.kind);
            after_cursor(&mut sql, &mut values, cursor, query, sort.as_deref(), kind, down)?;
        }
        let direction = if down { "DESC" } else { "ASC" };
        match &sort {
            Some(s) => {
                sql.push_str(&format!(" ORDER BY {s} {direction} NULLS {}, id {direction} LIMIT ?", if down { "FIRST" } else { "LAST" }))
            }
            None => sql.push_str(" ORDER BY id LIMIT ?"),
        }
        values.push(i64::from(limit + 1).into());
        let (rows, left) = match query.most_bytes {
            Some(most) => self.db.fetch_within(&sql, &values, most).await?,
            None => (self.db.fetch_all(&sql, &values).await?, false),
        };
        let more = left || rows.len() > limit as usize;
        let rows = rows.get(..rows.len().min(limit as usize)).unwrap_or_default();
        let items: Vec<Document> = rows.iter().map(document).collect::<Result<_, _>>()?;
        let next_cursor = match (more, rows.last(), items.last()) {
            (true, Some(row), Some(item)) => {
                let key = match &query.sort {
                    Some((field, _)) => sort_value(c, row, field)?,
                    None => Json::Null,
                };
                Some(hex::encode(serde_json::json!([query.sort, key, item.id]).to_string()))
            }
            _ => None,
        };
        Ok(Page { items, next_cursor, total })
    }

    /// Ids of documents that match, as the transaction sees them; at most `limit`.
    pub async fn ids_in(&self, tx: &mut Tx, collection: &str, filter: &str, limit: u32) -> Result<Vec<String>, DocumentError> {
        let c = self.collection_in(tx, collection).await?;
        let query = Query { filter: Some(filter.to_owned()), ..Query::default() };
        let (condition, mut values) = conditions(&c, tx.dialect(), &query)?;
        values.push(limit.clamp(1, MAX_PAGE).into());
        let rows = tx.fetch_all(&format!("SELECT id FROM {} WHERE {condition} ORDER BY id LIMIT ?", c.table), &values).await?;
        Ok(rows.iter().map(|r| r.text("id")).collect::<Result<_, _>>()?)
    }

    /// Ids among those that a statement finds (of one column, with its parameters) which the query matches too; at most `limit`.
    pub async fn ids_among(
        &self,
        collection: &str,
        query: &Query,
        among: &str,
        given: Vec<Value>,
        limit: u32,
    ) -> Result<Vec<String>, DocumentError> {
        let c = self.collection(collection).await?;
        let (condition, wanted) = conditions(&c, self.db.dialect(), query)?;
        let mut values = given;
        values.extend(wanted);
        values.push(limit.clamp(1, MAX_PAGE).into());
        let sql = format!("SELECT id FROM {} WHERE id IN (SELECT * FROM ({among}) AS found) AND {condition} LIMIT ?", c.table);
        let rows = self.db.fetch_all(&sql, &values).await?;
        Ok(rows.iter().map(|r| r.text("id")).collect::<Result<_, _>>()?)
    }

    /// A page of ids that match, in their order, after the first `skip`; at most [`MAX_PAGE`].
    pub async fn ids(&self, collection: &str, filter: &str, skip: u64, limit: u32) -> Result<Vec<String>, DocumentError> {
        let c = self.collection(collection).await?;
        let query = Query { filter: Some(filter.to_owned()), ..Query::default() };
        let (condition, mut values) = conditions(&c, self.db.dialect(), &query)?;
        values.extend([limit.clamp(1, MAX_PAGE).into(), i64::try_from(skip).unwrap_or(i64::MAX).into()]);
        let rows =
            self.db.fetch_all(&format!("SELECT id FROM {} WHERE {condition} ORDER BY id LIMIT ? OFFSET ?", c.table), &values).await?;
        Ok(rows.iter().map(|r| r.text("id")).collect::<Result<_, _>>()?)
    }

    /// How many documents match.
    pub async fn count(&self, collection: &str, filter: Option<&str>) -> Result<i64, DocumentError> {
        self.count_of(collection, &Query { filter: filter.map(str::to_owned), ..Query::default() }).await
    }

    /// How many documents a query matches, whatever its page.
    pub async fn count_of(&self, collection: &str, query: &Query) -> Result<i64, DocumentError> {
        let c = self.collection(collection).await?;
        let (condition, values) = conditions(&c, self.db.dialect(), query)?;
        let row = self.db.fetch_optional(&format!("SELECT COUNT(*) AS n FROM {} WHERE {condition}", c.table), &values).await?;
        Ok(row.map(|r| r.int("n")).transpose()?.unwrap_or(0))
    }
}

pub(super) fn conditions(c: &Collection, d: Dialect, query: &Query) -> Result<(String, Vec<Value>), DocumentError> {
    conditions_of(c, d, query, &c.table)
}

fn conditions_of(c: &Collection, d: Dialect, query: &Query, row: &str) -> Result<(String, Vec<Value>), DocumentError> {
    let (mut sql, mut values) = match query.filter.as_deref().map(str::trim).filter(|f| !f.is_empty()) {
        Some(source) => match &query.links {
            // Within what is asked of another table, a column without its row would be that table's.
            Some(links) => Filter::parse_linked(source, &c.spec.schema, links)?.to_sql(d, row)?,
            None => Filter::parse(source, &c.spec.schema)?.to_sql(d, "")?,
        },
        None => ("1 = 1".to_owned(), Vec::new()),
    };
    if let Some(text) = query.search.as_deref().map(str::trim).filter(|s| !s.is_empty()) {
        for word in text.split_whitespace().take(8) {
            sql.push_str(if d == Dialect::Sqlite { " AND instr(search, ?) > 0" } else { " AND strpos(search, ?) > 0" });
            values.push(word.to_lowercase().into());
        }
    }
    Ok((sql, values))
}

fn sort_sql(c: &Collection, d: Dialect, field: &str) -> Result<String, DocumentError> {
    if c.spec.schema.field(field).is_none() && matches!(field, "id" | "version" | "created_at" | "updated_at") {
        return Ok(field.to_owned());
    }
    match c.spec.schema.field(field) {
        Some(f) if !matches!(f.kind, FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json) => {
            Ok(field_sql(d, "data", field, &f.kind))
        }
        Some(_) => Err(DocumentError::Query(format!("records cannot be sorted by {field}: it holds no single value"))),
        None => {
            let hint = nearest(field, c.spec.schema.names()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            Err(DocumentError::Query(format!("records cannot be sorted by {field}: there is no such field{hint}")))
        }
    }
}

/// The sort key of a row as JSON, for the cursor.
fn sort_value(c: &Collection, row: &Row, field: &str) -> Result<Json, StoreError> {
    if c.spec.schema.field(field).is_some() {
        return Ok(row.json("data")?.get(field).cloned().unwrap_or(Json::Null));
    }
    if matches!(field, "version" | "created_at" | "updated_at") {
        return Ok(row.int(field)?.into());
    }
    if field == "id" {
        return Ok(row.text("id")?.into());
    }
    Err(StoreError::Corrupt(format!("sort field {field}")))
}

fn after_cursor(
    sql: &mut String,
    values: &mut Vec<Value>,
    cursor: &str,
    query: &Query,
    sort: Option<&str>,
    kind: Option<&FieldKind>,
    down: bool,
) -> Result<(), DocumentError> {
    let bad = || DocumentError::Query("`cursor` is the `next_cursor` of an earlier page with the same sort".into());
    let text = hex::decode(cursor).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
    let (sorted, key, id): (Option<(String, bool)>, Json, String) = serde_json::from_str(&text).map_err(|_| bad())?;
    if sorted != query.sort {
        return Err(bad());
    }
    let Some(s) = sort else {
        sql.push_str(" AND id > ?");
        values.push(id.into());
        return Ok(());
    };
    let key: Option<Value> = match key {
        Json::Null => None,
        Json::String(t) => Some(t.into()),
        Json::Bool(b) => Some(b.into()),
        // The database orders doubles as doubles, however JSON spells them.
        Json::Number(n) if kind == Some(&FieldKind::Decimal) => Some(Value::Real(n.as_f64())),
        Json::Number(n) => Some(n.as_i64().map_or_else(|| Value::Real(n.as_f64()), Value::from)),
        _ => return Err(bad()),
    };
    // PostgreSQL's booleans are not integers.
    let mark =
        if matches!(query.sort.as_ref().map(|_| &key), Some(Some(Value::Int(_)))) && s.ends_with("::boolean)") { "(? = 1)" } else { "?" };
    match (key, down) {
        (None, false) => sql.push_str(&format!(" AND ({s} IS NULL AND id > ?)")),
        (None, true) => sql.push_str(&format!(" AND ({s} IS NOT NULL OR id < ?)")),
        (Some(k), false) => {
            sql.push_str(&format!(" AND ({s} > {mark} OR {s} IS NULL OR ({s} = {mark} AND id > ?))"));
            values.extend([k.clone(), k]);
        }
        (Some(k), true) => {
            sql.push_str(&format!(" AND ({s} < {mark} OR ({s} = {mark} AND id < ?))"));
            values.extend([k.clone(), k]);
        }
    }
    values.push(id.into());
    Ok(())
}
