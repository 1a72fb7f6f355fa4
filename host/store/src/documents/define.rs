//! Making, changing and dropping collections: a table each, with expression indexes.

use serde_json::Value as Json;

use super::check::{Prepared, prepare};
use super::{CollectionSpec, DocumentError, Documents};
use crate::filter::{FieldKind, field_sql, valid_name};
use crate::sql::{Dialect, Tx, prefix_sql, prefix_values};
use crate::{StoreError, now_ms, params};

/// Rows that are checked at a time when a collection changes.
const BATCH: i64 = 500;

impl Documents {
    /// Makes the collection, or brings an existing one to this spec. Refused when a record in it does not fit: a field that was
    /// not declared before may hold anything.
    pub async fn define(&self, tx: &mut Tx, spec: &CollectionSpec) -> Result<(), DocumentError> {
        self.define_as(tx, spec, true).await
    }

    /// The same, when every record is known to fit, as after [`Documents::take_over`].
    pub async fn define_checked(&self, tx: &mut Tx, spec: &CollectionSpec) -> Result<(), DocumentError> {
        self.define_as(tx, spec, false).await
    }

    async fn define_as(&self, tx: &mut Tx, spec: &CollectionSpec, look: bool) -> Result<(), DocumentError> {
        check_spec(spec)?;
        let json = serde_json::to_value(spec).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        if tx.dialect() == Dialect::Postgres {
            // Another host may define it too.
            tx.execute("SELECT pg_advisory_xact_lock(7305805)", &[]).await?;
        }
        let existing = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![&spec.name]).await?;
        let d = tx.dialect();
        let table = match &existing {
            Some(row) if row.json("spec")? == json => return Ok(()),
            Some(row) => row.text("table_name")?,
            None => {
                let table = format!("d_{}", uuid::Uuid::new_v4().simple());
                // Ids are compared by bytes on both databases.
                let (json_type, id_type) = if d == Dialect::Sqlite { ("TEXT", "TEXT") } else { ("JSONB", "TEXT COLLATE \"C\"") };
                tx.execute_script(&format!(
                    "CREATE TABLE {table} (id {id_type} PRIMARY KEY, version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, \
                     bytes BIGINT NOT NULL, search TEXT NOT NULL, data {json_type} NOT NULL);
                     CREATE INDEX {table}_updated ON {table}(updated_at, id)"
                ))
                .await?;
                table
            }
        };
        let mut gone = Vec::new();
        let mut wanted = index_names(&table, spec);
        if let Some(row) = existing {
            let old: CollectionSpec = serde_json::from_value(row.json("spec")?).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            tx.execute("UPDATE collections SET spec = ? WHERE name = ?", params![json, &spec.name]).await?;
            if look && asks_more(&old, spec) {
                fit(tx, &table, spec).await?;
            }
            let kept: Vec<String> =
                index_names(&table, &old).into_iter().filter(|i| wanted.contains(i) && same_kinds(&old, spec, &i.1)).map(|i| i.0).collect();
            wanted.retain(|i| !kept.contains(&i.0));
            for (name, _, _) in index_names(&table, &old).into_iter().filter(|i| !kept.contains(&i.0)) {
                if d == Dialect::Postgres {
                    // Dropping an index keeps readers out until the transaction ends, and making the others may take long: renaming does not.
                    let aside = format!("{name}_gone");
                    tx.execute_script(&format!("ALTER INDEX IF EXISTS {name} RENAME TO {aside}")).await?;
                    gone.push(aside);
                } else {
                    tx.execute_script(&format!("DROP INDEX IF EXISTS {name}")).await?;
                }
            }
        } else {
            tx.execute(
                "INSERT INTO collections (name, table_name, spec, created_at) VALUES (?, ?, ?, ?)",
                params![&spec.name, &table, json, now_ms()],
            )
            .await?;
        }
        for (name, fields, unique) in wanted {
            let mut columns: Vec<String> = Vec::new();
            for f in &fields {
                if let Some(field) = spec.schema.field(f) {
                    columns.push(format!("({})", field_sql(d, "data", f, &field.kind)));
                }
            }
            if !unique {
                columns.push("id".to_owned());
            }
            let word = if unique { "UNIQUE " } else { "" };
            tx.execute_script(&format!("CREATE {word}INDEX {name} ON {table} ({})", columns.join(", "))).await.map_err(|e| match e {
                StoreError::Unique(_) => DocumentError::Duplicate { fields },
                e => e.into(),
            })?;
        }
        for name in gone {
            tx.execute_script(&format!("DROP INDEX IF EXISTS {name}")).await?;
        }
        // Not put into `known` here: the transaction may still roll back.
        self.forget_after(tx, &spec.name);
        Ok(())
    }

    /// Deletes a collection with its documents and their history.
    pub async fn drop_collection(&self, tx: &mut Tx, name: &str) -> Result<(), DocumentError> {
        let Some(row) = tx.fetch_optional("SELECT table_name FROM collections WHERE name = ?", params![name]).await? else { return Ok(()) };
        tx.settle().await?;
        tx.execute_script(&format!("DROP TABLE {}", row.text("table_name")?)).await?;
        tx.execute("DELETE FROM collections WHERE name = ?", params![name]).await?;
        tx.execute("DELETE FROM document_history WHERE collection = ?", params![name]).await?;
        self.forget_after(tx, name);
        Ok(())
    }

    fn forget_after(&self, tx: &mut Tx, name: &str) {
        self.forget(name);
        let (docs, name) = (self.clone(), name.to_owned());
        tx.after_commit(move || docs.forget(&name));
    }

    /// The names of the collections that start with `prefix`.
    pub async fn collections(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let rows = self
            .db
            .fetch_all(
                &format!("SELECT name FROM collections WHERE {} ORDER BY name", prefix_sql(self.db.dialect(), "name")),
                &prefix_values(prefix),
            )
            .await?;
        rows.iter().map(|r| r.text("name")).collect()
    }

    /// Bytes of all documents in the collections that start with `prefix`.
    pub async fn usage(&self, prefix: &str) -> Result<i64, StoreError> {
        let rows = self
            .db
            .fetch_all(
                &format!("SELECT table_name FROM collections WHERE {}", prefix_sql(self.db.dialect(), "name")),
                &prefix_values(prefix),
            )
            .await?;
        let mut sum = 0;
        for r in &rows {
            let row = self
                .db
                .fetch_optional(&format!("SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS n FROM {}", r.text("table_name")?), &[])
                .await?;
            sum += row.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        }
        Ok(sum)
    }
}

/// Whether the fields are of the same kinds in both.
fn same_kinds(old: &CollectionSpec, new: &CollectionSpec, fields: &[String]) -> bool {
    fields.iter().all(|f| old.schema.field(f) == new.schema.field(f))
}

/// Whether records that fit the old spec may not fit the new one: a field is new or of another kind, or an index holds it to fewer bytes.
fn asks_more(old: &CollectionSpec, new: &CollectionSpec) -> bool {
    new.schema.fields.iter().any(|f| old.schema.field(&f.name) != Some(f))
        || new.indexed.iter().any(|f| !old.indexed.contains(f))
        || new.unique.iter().any(|u| !old.unique.contains(u))
}

/// Checks what a collection holds against its new spec, and writes anew what that spells otherwise (times).
async fn fit(tx: &mut Tx, table: &str, spec: &CollectionSpec) -> Result<(), DocumentError> {
    let mut after = String::new();
    loop {
        let rows = tx.fetch_all(&format!("SELECT id, data FROM {table} WHERE id > ? ORDER BY id LIMIT ?"), params![&after, BATCH]).await?;
        for row in &rows {
            after = row.text("id")?;
            let stored: Json = row.json("data")?;
            let Prepared { data, bytes, search } = prepare(spec, stored.clone()).map_err(|e| match e {
                DocumentError::Invalid { pointer, message } => {
                    let message =
                        format!("the record {after} of {} does not fit its new fields: {message}; change the record first", spec.name);
                    DocumentError::Invalid { pointer, message }
                }
                e => e,
            })?;
            if data != stored {
                tx.execute(
                    &format!("UPDATE {table} SET bytes = ?, search = ?, data = ? WHERE id = ?"),
                    params![bytes, search, data, &after],
                )
                .await?;
            }
        }
        if rows.len() < BATCH as usize {
            return Ok(());
        }
    }
}

/// Name, fields, whether unique.
pub(super) fn index_names(table: &str, spec: &CollectionSpec) -> Vec<(String, Vec<String>, bool)> {
    let plain = spec.indexed.iter().enumerate().map(|(i, f)| (format!("{table}_i{i}"), vec![f.clone()], false));
    let unique = spec.unique.iter().enumerate().map(|(i, f)| (format!("{table}_u{i}"), f.clone(), true));
    plain.chain(unique).collect()
}

fn check_spec(spec: &CollectionSpec) -> Result<(), DocumentError> {
    let bad = |m: String| Err(DocumentError::Query(m));
    if spec.indexed.len() > 32 || spec.unique.len() > 8 || spec.schema.fields.len() > 500 {
        return bad(format!("collection {} has more than 500 fields, 32 indexes or 8 unique keys", spec.name));
    }
    for f in &spec.schema.fields {
        if !valid_name(&f.name) {
            return bad(format!("{:?} cannot be a field: use a letter, then letters, digits and underscores, 64 at most", f.name));
        }
    }
    for f in spec.indexed.iter().chain(spec.unique.iter().flatten()) {
        match spec.schema.field(f).map(|f| &f.kind) {
            None => return bad(format!("collection {} has an index on {f}, which is not among its fields", spec.name)),
            Some(FieldKind::List(_) | FieldKind::Table(_) | FieldKind::Json) => {
                return bad(format!("collection {} has an index on {f}, which holds no single value", spec.name));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
