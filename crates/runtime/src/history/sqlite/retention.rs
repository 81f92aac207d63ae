//! Old rows go, a few at a time, so that no event waits long for it.

use rusqlite::{Connection, Result, params};

/// Rows that one step looks at.
const CHUNK: i64 = 1_000;

/// The tables that grow, and which of their rows are old.
const TABLES: [GrowingTable; 5] = [
    GrowingTable { name: "connections", begun: "connected_at", over: "disconnected_at" },
    GrowingTable { name: "denials", begun: "at", over: "at" },
    GrowingTable { name: "attempts", begun: "at", over: "at" },
    GrowingTable { name: "messages", begun: "at", over: "at" },
    GrowingTable { name: "bans", begun: "since", over: "until" },
];

struct GrowingTable {
    name: &'static str,
    /// The column that grows with the id, but for a clock that was set.
    begun: &'static str,
    /// The column that says since when the row is history; NULL where it is not.
    over: &'static str,
}

/// A walk over the oldest rows of every table, by their ids: there is no index on the times.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    table: usize,
    after: i64,
}

impl Sweep {
    /// Deletes among the next rows those that were over before `cutoff`, in the transaction that is
    /// open. False where the walk is at its end.
    pub(crate) fn step(&mut self, db: &Connection, cutoff: i64) -> Result<bool> {
        let Some(table) = TABLES.get(self.table) else { return Ok(false) };
        let (rows, last, oldest) = db
            .prepare_cached(&format!(
                "SELECT count(*), max(id), min({begun}) FROM
                 (SELECT id, {begun} FROM {name} WHERE id > ?1 ORDER BY id LIMIT ?2)",
                begun = table.begun,
                name = table.name,
            ))?
            .query_row(params![self.after, CHUNK], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?))
            })?;
        if let (Some(last), Some(oldest)) = (last, oldest)
            && oldest < cutoff
        {
            db.prepare_cached(&format!(
                "DELETE FROM {name} WHERE id > ?1 AND id <= ?2 AND {over} < ?3",
                name = table.name,
                over = table.over,
            ))?
            .execute(params![self.after, last, cutoff])?;
            if rows == CHUNK {
                self.after = last;
                return Ok(true);
            }
        }
        // Whatever comes later in this table is younger.
        self.table += 1;
        self.after = 0;
        Ok(self.table < TABLES.len())
    }
}

/// By the few that are unsure, and not by all that are open: the lock is held meanwhile.
const SETTLED: &str = "DELETE FROM unsure
     WHERE NOT EXISTS (SELECT 1 FROM connections WHERE id = connection AND disconnected_at IS NULL)";

/// Removes what nothing refers to any more.
pub(crate) fn tidy(db: &Connection, now: i64) -> Result<()> {
    // An expectation that far in the future is of a time before the clock was set back.
    db.execute("DELETE FROM handovers WHERE until < ?1 OR until > ?1 + 60000", params![now])?;
    db.execute(SETTLED, [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sqlite::store::Store;
    use exhook_policy_core::policy::model::Sync;

    #[test]
    fn what_is_unsure_no_longer_is_found_without_reading_all_connections() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        store
            .db
            .execute_batch(
                "INSERT INTO connections (id, clientid, username, peerhost, sockport, protocol, node, connected_at,
                                          disconnected_at, broker)
                 VALUES (1, 'a', '', '::1', 1883, 'mqtt', 'n', 1, NULL, 1), (2, 'b', '', '::1', 1883, 'mqtt', 'n', 1, 2, 1);
                 INSERT INTO unsure (connection) VALUES (1), (2), (3);",
            )
            .unwrap();
        let texts = |sql: &str, column: usize| -> Vec<String> {
            let mut statement = store.db.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(column)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let plan = texts(&format!("EXPLAIN QUERY PLAN {SETTLED}"), 3);
        assert!(plan.iter().any(|step| step.starts_with("SEARCH connections USING INTEGER PRIMARY KEY")), "{plan:?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN connections")), "{plan:?}");
        tidy(&store.db, 1_000).unwrap();
        assert_eq!(texts("SELECT CAST(connection AS TEXT) FROM unsure", 0), ["1"]);
    }
}
