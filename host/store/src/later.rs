//! Rows that a transaction puts in at its very end, many in one statement.
//!
//! What is written beside a change (history, audit, event, search) is read by nobody before the transaction ends. Put by and written together,
//! a call that changes a thousand records sends tens of statements for it instead of thousands; and what others wait for (the order of
//! events) is held only while the transaction ends.

use std::collections::HashMap;

use crate::StoreError;
use crate::sql::{Dialect, Tx, Value};

/// Rows of one statement: few sizes, so that the statements stay prepared.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// Where rows go.
#[derive(Debug)]
pub struct LaterTable {
    /// `INSERT INTO t (a, b) VALUES `.
    pub insert: &'static str,
    /// `(?, ?)`.
    pub row: &'static str,
    /// The same where PostgreSQL needs to be told a type.
    pub row_postgres: &'static str,
    /// After the rows: ` ON CONFLICT ...`.
    pub tail: &'static str,
    /// `DELETE FROM t WHERE key IN `, for [`Tx::delete_later`].
    pub delete: &'static str,
    /// What PostgreSQL does first.
    pub first_postgres: &'static str,
}

pub(crate) struct Later {
    table: &'static LaterTable,
    /// Of rows with the same key only the last counts.
    key: Option<String>,
    /// None: the row with that key is deleted.
    values: Option<Vec<Value>>,
}

/// A place in a transaction to which it can go back.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Savepoint(usize);

impl Tx {
    /// Puts a row by until the end.
    pub fn insert_later(&mut self, table: &'static LaterTable, values: &[Value]) {
        self.later.push(Later { table, key: None, values: Some(values.to_vec()) });
    }

    /// The same for a row that replaces an earlier one with its key.
    pub fn put_later(&mut self, table: &'static LaterTable, key: &str, values: Vec<Value>) {
        self.later.push(Later { table, key: Some(key.to_owned()), values: Some(values) });
    }

    /// Deletes the row with a key at the end.
    pub fn delete_later(&mut self, table: &'static LaterTable, key: &str) {
        self.later.push(Later { table, key: Some(key.to_owned()), values: None });
    }

    /// Writes what was put by: [`Tx::commit`] does it, and whoever reads such rows within the transaction before. Not within a savepoint.
    pub async fn settle(&mut self) -> Result<(), StoreError> {
        let all = std::mem::take(&mut self.later);
        let mut last: HashMap<(&str, &str), usize> = HashMap::new();
        for (i, l) in all.iter().enumerate() {
            if let Some(key) = &l.key {
                last.insert((l.table.insert, key), i);
            }
        }
        let mut tables: Vec<&'static LaterTable> = Vec::new();
        for l in &all {
            if !tables.iter().any(|t| t.insert == l.table.insert) {
                tables.push(l.table);
            }
        }
        for table in tables {
            let counts = |i: usize, l: &Later| {
                l.table.insert == table.insert && l.key.as_deref().is_none_or(|k| last.get(&(table.insert, k)) == Some(&i))
            };
            let (mut rows, mut gone): (Vec<&Vec<Value>>, Vec<Value>) = (Vec::new(), Vec::new());
            for (_, l) in all.iter().enumerate().filter(|(i, l)| counts(*i, l)) {
                match (&l.values, &l.key) {
                    (Some(values), _) => rows.push(values),
                    (None, Some(key)) => gone.push(key.as_str().into()),
                    (None, None) => {}
                }
            }
            if self.dialect() == Dialect::Postgres && !table.first_postgres.is_empty() {
                self.execute(table.first_postgres, &[]).await?;
            }
            let mut rest = gone.as_slice();
            while let Some((some, more)) = piece(rest) {
                self.execute(&format!("{}({})", table.delete, vec!["?"; some.len()].join(", ")), some).await?;
                rest = more;
            }
            let row = if self.dialect() == Dialect::Postgres { table.row_postgres } else { table.row };
            let mut rest = rows.as_slice();
            while let Some((some, more)) = piece(rest) {
                let values: Vec<Value> = some.iter().flat_map(|v| v.iter().cloned()).collect();
                self.execute(&format!("{}{}{}", table.insert, vec![row; some.len()].join(", "), table.tail), &values).await?;
                rest = more;
            }
        }
        Ok(())
    }

    /// A place to go back to with [`Tx::back_to`].
    pub async fn savepoint(&mut self) -> Result<Savepoint, StoreError> {
        self.execute("SAVEPOINT here", &[]).await?;
        Ok(Savepoint(self.later.len()))
    }

    /// Undoes everything since the savepoint, and ends it.
    pub async fn back_to(&mut self, s: Savepoint) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO SAVEPOINT here", &[]).await?;
        self.later.truncate(s.0);
        self.release(s).await
    }

    /// Ends a savepoint and keeps what came after it.
    pub async fn release(&mut self, _: Savepoint) -> Result<(), StoreError> {
        self.execute("RELEASE SAVEPOINT here", &[]).await?;
        Ok(())
    }
}

fn piece<T>(rows: &[T]) -> Option<(&[T], &[T])> {
    SIZES.iter().find_map(|n| rows.split_at_checked(*n))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::params;

    static TABLE: LaterTable = LaterTable {
        insert: "INSERT INTO later (k, v) VALUES ",
        row: "(?, ?)",
        row_postgres: "(?, ?)",
        tail: " ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        delete: "DELETE FROM later WHERE k IN ",
        first_postgres: "",
    };

    crate::both_databases! {
        async fn rows_put_by_are_written_at_the_end(db: Db) {
            let mut tx = db.begin().await.unwrap();
            tx.execute_script("CREATE TABLE later (k TEXT PRIMARY KEY, v BIGINT NOT NULL)").await.unwrap();
            tx.commit().await.unwrap();
            let mut tx = db.begin().await.unwrap();
            for i in 0..87_i64 {
                tx.put_later(&TABLE, &i.to_string(), params![i.to_string(), i].to_vec());
            }
            tx.put_later(&TABLE, "5", params!["5", 500].to_vec());
            tx.delete_later(&TABLE, "6");
            let s = tx.savepoint().await.unwrap();
            tx.delete_later(&TABLE, "7");
            tx.back_to(s).await.unwrap();
            assert!(tx.fetch_all("SELECT k FROM later", &[]).await.unwrap().is_empty());
            tx.commit().await.unwrap();
            let row = db.fetch_optional("SELECT COUNT(*) AS n, CAST(MAX(v) AS BIGINT) AS m FROM later", &[]).await.unwrap().unwrap();
            assert_eq!((row.int("n").unwrap(), row.int("m").unwrap()), (86, 500));
            // Rolled back, nothing is left.
            let mut tx = db.begin().await.unwrap();
            tx.delete_later(&TABLE, "7");
            tx.rollback().await.unwrap();
            assert!(db.fetch_optional("SELECT k FROM later WHERE k = '7'", &[]).await.unwrap().is_some());
        }
    }
}
