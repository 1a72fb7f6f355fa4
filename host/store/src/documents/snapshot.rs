//! Copies of collections, to go back to: before something changes all of a plugin's records.

use super::{CollectionSpec, DocumentError, Documents, decode};
use crate::sql::Tx;
use crate::{StoreError, params};

const COLUMNS: &str = "id, version, created_at, updated_at, bytes, search, data";

impl Documents {
    /// Copies the documents of the collections `<prefix><name>` into new ones, `<to><name>`, with their ids, versions and times.
    /// Answers what the collections were, for [`Documents::restore`]. The copies have no indexes: they are read once, or never.
    pub async fn snapshot(&self, tx: &mut Tx, prefix: &str, to: &str) -> Result<Vec<CollectionSpec>, DocumentError> {
        let mut specs = Vec::new();
        for name in self.collections_in(tx, prefix).await? {
            let row = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![&name]).await?;
            let original = decode(row, &name)?;
            let copy = format!("{to}{}", name.strip_prefix(prefix).unwrap_or(&name));
            let plain = CollectionSpec {
                name: copy.clone(),
                schema: original.spec.schema.clone(),
                indexed: Vec::new(),
                unique: Vec::new(),
                history: false,
            };
            self.define(tx, &plain).await?;
            let table = self.table_in(tx, &copy).await?;
            tx.execute(&format!("INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM {}", original.table), &[]).await?;
            specs.push(original.spec);
        }
        Ok(specs)
    }

    /// Brings the collections `<prefix>...` back to what they were when `specs` were copied to `<from>...`. Collections that were
    /// made since then go.
    pub async fn restore(&self, tx: &mut Tx, prefix: &str, from: &str, specs: &[CollectionSpec]) -> Result<(), DocumentError> {
        for name in self.collections_in(tx, prefix).await? {
            if specs.iter().any(|s| s.name == name) {
                // Emptied and not dropped: somebody may be reading it.
                let table = self.table_in(tx, &name).await?;
                tx.execute(&format!("DELETE FROM {table}"), &[]).await?;
            } else {
                self.drop_collection(tx, &name).await?;
            }
        }
        for spec in specs {
            self.define(tx, spec).await?;
            let copy = format!("{from}{}", spec.name.strip_prefix(prefix).unwrap_or(&spec.name));
            let (table, copied) = (self.table_in(tx, &spec.name).await?, self.table_in(tx, &copy).await?);
            tx.execute(&format!("INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM {copied}"), &[]).await?;
        }
        Ok(())
    }

    /// Deletes the collections that start with `prefix`.
    pub async fn drop_all(&self, tx: &mut Tx, prefix: &str) -> Result<(), DocumentError> {
        for name in self.collections_in(tx, prefix).await? {
            self.drop_collection(tx, &name).await?;
        }
        Ok(())
    }

    pub(super) async fn collections_in(&self, tx: &mut Tx, prefix: &str) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT name FROM collections WHERE {} ORDER BY name", crate::sql::prefix_sql(tx.dialect(), "name"));
        let rows = tx.fetch_all(&sql, &crate::sql::prefix_values(prefix)).await?;
        rows.iter().map(|r| r.text("name")).collect()
    }

    /// As the database says, and not as it is believed to be: the transaction may have made it a moment ago.
    pub(super) async fn table_in(&self, tx: &mut Tx, name: &str) -> Result<String, DocumentError> {
        let row = tx.fetch_optional("SELECT table_name, spec FROM collections WHERE name = ?", params![name]).await?;
        Ok(decode(row, name)?.table)
    }
}
