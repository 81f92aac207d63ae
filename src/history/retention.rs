//! Old rows go, a few at a time, so that no event waits long for it.

use rusqlite::{Connection, Result, params};

/// Rows that one step looks at.
const CHUNK: i64 = 1_000;

/// The tables that grow, and which of their rows are old.
const TABLES: [Table; 5] = [
    Table { name: "connections", begun: "connected_at", over: "disconnected_at" },
    Table { name: "denials", begun: "at", over: "at" },
    Table { name: "attempts", begun: "at", over: "at" },
    Table { name: "messages", begun: "at", over: "at" },
    Table { name: "bans", begun: "since", over: "until" },
];

struct Table {
    name: &'static str,
    /// The column that grows with the id, but for a clock that was set.
    begun: &'static str,
    /// The column that says since when the row is history; NULL where it is not.
    over: &'static str,
}

/// A walk over the oldest rows of every table, by their ids: there is no index on the times.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    table: usize,
    after: i64,
}

impl Sweep {
    /// Deletes among the next rows those that were over before `cutoff`, in the transaction that is
    /// open. False where the walk is at its end.
    pub(super) fn step(&mut self, db: &Connection, cutoff: i64) -> Result<bool> {
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

/// Removes what nothing refers to any more.
pub(super) fn tidy(db: &Connection, now: i64) -> Result<()> {
    // An expectation that far in the future is of a time before the clock was set back.
    db.execute("DELETE FROM handovers WHERE until < ?1 OR until > ?1 + 60000", params![now])?;
    db.execute(
        "DELETE FROM unsure WHERE connection NOT IN (SELECT id FROM connections WHERE disconnected_at IS NULL)",
        [],
    )?;
    Ok(())
}
