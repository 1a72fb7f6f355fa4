//! The index that words are looked up in: a row for each record, written in the transaction that changes the record.

use plenum_store::{LaterTable, StoreError, Tx, Value, params};
use serde_json::Value as Json;

use super::terms;
use crate::model::{Model, collection};
use crate::{Cmdb, CmdbError};

/// Records of one transaction of the background build.
const BATCH: u32 = 200;
/// Longest label that is compared as a whole, in characters.
const LONGEST_LABEL: usize = 200;

static TABLE: LaterTable = LaterTable {
    insert: "INSERT INTO cmdb_search (record, model, label, terms) VALUES ",
    row: "(?, ?, ?, ?)",
    row_postgres: "(?, ?, ?, (?)::tsvector)",
    // What says the same is left alone: most changes are of numbers that nobody looks for.
    tail: " ON CONFLICT (record) DO UPDATE SET label = excluded.label, terms = excluded.terms
            WHERE cmdb_search.terms <> excluded.terms OR cmdb_search.label <> excluded.label",
    delete: "DELETE FROM cmdb_search WHERE record IN ",
    first_postgres: "",
};

/// A label as it is compared.
pub(crate) fn label_key(label: &str) -> String {
    terms::plain(label).chars().take(LONGEST_LABEL).collect()
}

/// Puts a record into the index, as the transaction leaves it.
pub(crate) fn index_in(tx: &mut Tx, m: &Model, id: &str, attributes: &Json) {
    let label = m.label(attributes, id);
    let row: Vec<Value> = params![id, &m.name, label_key(&label), terms::of_record(m, id, &label, attributes)].to_vec();
    tx.put_later(&TABLE, id, row);
}

/// Takes a record out of it.
pub(crate) fn forget_in(tx: &mut Tx, id: &str) {
    tx.delete_later(&TABLE, id);
}

/// Whether the records of a model have other terms than before it changed.
pub(crate) fn changes_terms(before: &Model, after: &Model) -> bool {
    let kinds = |m: &Model| m.attributes.iter().map(|a| (a.name.clone(), a.kind)).collect::<Vec<_>>();
    before.display != after.display || before.template != after.template || before.unique != after.unique || kinds(before) != kinds(after)
}

/// Has all records of a model put into the index again, in the background.
pub(crate) async fn again_in(tx: &mut Tx, model: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO cmdb_search_work (model, after) VALUES (?, '') ON CONFLICT (model) DO UPDATE SET after = ''";
    tx.execute(sql, params![model]).await?;
    Ok(())
}

impl Cmdb {
    /// Told when records wait to be put into the search index by [`Cmdb::tend_search`].
    pub async fn search_wanted(&self) {
        self.search_wanted.notified().await;
    }

    /// Puts some of the records that wait into the search index; false when none waits. Where it is stays over a restart.
    pub async fn tend_search(&self) -> Result<bool, CmdbError> {
        let Some(row) = self.db.fetch_optional("SELECT model FROM cmdb_search_work ORDER BY model LIMIT 1", &[]).await? else {
            return Ok(false);
        };
        let model = row.text("model")?;
        let mut tx = self.db.begin().await?;
        // Alone with the model: a record that is written meanwhile would be overwritten by what was read here.
        let m = match self.stored_alone(&mut tx, &model).await {
            Ok(m) => m.model,
            Err(CmdbError::NoModel { .. }) => {
                tx.execute("DELETE FROM cmdb_search_work WHERE model = ?", params![&model]).await?;
                tx.commit().await?;
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        let Some(row) = tx.fetch_optional("SELECT after FROM cmdb_search_work WHERE model = ?", params![&model]).await? else {
            return Ok(true);
        };
        let batch = self.docs.walk_in(&mut tx, &collection(&model), Some(&row.text("after")?), BATCH).await?;
        for d in &batch {
            index_in(&mut tx, &m, &d.id, &d.data);
        }
        match batch.last() {
            Some(last) => tx.execute("UPDATE cmdb_search_work SET after = ? WHERE model = ?", params![&last.id, &model]).await?,
            None => tx.execute("DELETE FROM cmdb_search_work WHERE model = ?", params![&model]).await?,
        };
        tx.commit().await?;
        Ok(true)
    }
}
