//! Broker processes that start their drivers: who records, what became of those before, and what they missed.

use rusqlite::{Connection, OptionalExtension, Params, Result, params};

use crate::history::queue::Unsure;
use crate::process::{Process, Recorder};

/// A broker of another pid namespace that was not heard of for so long is gone: milliseconds.
const SILENT: i64 = 60_000;
/// After so long without a driver of the recording slot, another slot may record: milliseconds.
const ABANDONED: i64 = 30_000;

/// Whether this driver records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DriverRole {
    /// It does.
    Recording(DriverPlace),
    /// The driver of this name does, under the same broker.
    Standby { slot: String },
}

/// The rows of a driver that records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DriverPlace {
    /// `broker_processes.id`.
    pub(super) broker: i64,
    /// `drivers.id`.
    pub(super) driver: i64,
}

/// Finds the place of this driver, in the transaction that is open. Rows of brokers that are gone are
/// closed, and where a driver of this broker was away, open rows become unsure.
///
/// `previous` is what an earlier call said, where this driver only opened the database anew.
pub(super) fn register(
    db: &Connection,
    me: &Recorder,
    slot: &str,
    process: Process,
    previous: Option<DriverPlace>,
    now: i64,
) -> Result<DriverRole> {
    let known: Option<(i64, String, i64)> = db
        .prepare_cached(
            "SELECT id, slot, last_alive FROM broker_processes
             WHERE boot_id = ?1 AND pid_ns = ?2 AND pid = ?3 AND started = ?4",
        )?
        .query_row(params![me.boot_id, me.pid_ns, process.pid, process.started], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let broker = if let Some((broker, recording, last_alive)) = known {
        if recording != slot && is_taken(db, me, broker, last_alive, now)? {
            return Ok(DriverRole::Standby { slot: recording });
        }
        db.execute("UPDATE broker_processes SET slot = ?2 WHERE id = ?1", params![broker, slot])?;
        broker
    } else {
        db.execute(
            "INSERT INTO broker_processes (boot_id, pid_ns, pid, started, slot, last_alive)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![me.boot_id, me.pid_ns, process.pid, process.started, slot, now],
        )?;
        db.last_insert_rowid()
    };
    let driver = match previous {
        Some(place) if place.broker == broker && is_registered(db, me, place.driver)? => place.driver,
        Some(_) | None => {
            account_for_drivers(db, me, broker, now)?;
            db.execute(
                "INSERT INTO drivers (broker, pid, started, registered_at) VALUES (?1, ?2, ?3, ?4)",
                params![broker, me.process.pid, me.process.started, now],
            )?;
            db.last_insert_rowid()
        }
    };
    alive(db, broker, now)?;
    close_gone(db, me, broker, None, now)?;
    Ok(DriverRole::Recording(DriverPlace { broker, driver }))
}

/// Whether a driver of the slot that records is there, or was a moment ago and may come back.
fn is_taken(db: &Connection, me: &Recorder, broker: i64, last_alive: i64, now: i64) -> Result<bool> {
    let mut all_ended = true;
    for driver in drivers(db, broker)? {
        if !driver.ended {
            all_ended = false;
            if (me.alive)(driver.process) {
                return Ok(true);
            }
        }
    }
    // All of them ended in order: their plugin was unloaded.
    Ok(!all_ended && now.saturating_sub(last_alive).abs() <= ABANDONED)
}

fn is_registered(db: &Connection, me: &Recorder, driver: i64) -> Result<bool> {
    db.query_row(
        "SELECT count(*) FROM drivers WHERE id = ?1 AND pid = ?2 AND started = ?3 AND ended = 0",
        params![driver, me.process.pid, me.process.started],
        |row| row.get(0),
    )
}

struct DriverRow {
    id: i64,
    process: Process,
    ended: bool,
}

fn drivers(db: &Connection, broker: i64) -> Result<Vec<DriverRow>> {
    db.prepare_cached("SELECT id, pid, started, ended FROM drivers WHERE broker = ?1 ORDER BY id")?
        .query_map(params![broker], |row| {
            Ok(DriverRow {
                id: row.get(0)?,
                process: Process { pid: row.get(1)?, started: row.get(2)? },
                ended: row.get(3)?,
            })
        })?
        .collect()
}

/// Notes that the broker is alive.
pub(super) fn alive(db: &Connection, broker: i64, now: i64) -> Result<()> {
    // A clock that was set back is believed.
    db.prepare_cached("UPDATE broker_processes SET last_alive = ?2, gone = 0 WHERE id = ?1")?
        .execute(params![broker, now])
        .map(|_| ())
}

/// Notes that a connection of the broker to its server lasted until now, though it may have said
/// nothing for long.
pub(super) fn held(db: &Connection, broker: i64, now: i64) -> Result<()> {
    db.prepare_cached("UPDATE broker_processes SET held_at = ?2 WHERE id = ?1")?
        .execute(params![broker, now])
        .map(|_| ())
}

/// Notes the node's name. True where it was not known.
pub(super) fn name_node(db: &Connection, broker: i64, node: &str) -> Result<bool> {
    let changed = db
        .prepare_cached("UPDATE broker_processes SET node = ?2 WHERE id = ?1 AND node IS NOT ?2")?
        .execute(params![broker, node])?;
    Ok(changed > 0)
}

/// The driver ends in order, and records nothing more. Its input ended at `input_ended`: a driver
/// that was started since found it alive, so its absence is accounted for here.
pub(super) fn driver_ends(db: &Connection, place: DriverPlace, input_ended: i64) -> Result<()> {
    let DriverPlace { broker, driver } = place;
    let successor: Option<i64> = db
        .query_row(
            "SELECT min(registered_at) FROM drivers WHERE broker = ?1 AND id > ?2 AND registered_at >= ?3",
            params![broker, driver, input_ended],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    match successor {
        Some(registered_at) => {
            doubt(db, broker, registered_at)?;
            db.execute("DELETE FROM drivers WHERE id = ?1", params![driver]).map(|_| ())
        }
        None => db.execute("UPDATE drivers SET ended = 1 WHERE id = ?1", params![driver]).map(|_| ()),
    }
}

/// Closes the rows of broker processes that are gone. `node` is this broker's name, where it is known.
pub(super) fn close_gone(db: &Connection, me: &Recorder, own: i64, node: Option<&str>, now: i64) -> Result<()> {
    for broker in others(db, own)? {
        if !broker.is_gone(me, node, now) {
            continue;
        }
        close_rows(db, broker.id, broker.last_alive)?;
        db.prepare_cached("DELETE FROM drivers WHERE broker = ?1")?.execute(params![broker.id])?;
        db.prepare_cached("UPDATE broker_processes SET gone = 1 WHERE id = ?1")?.execute(params![broker.id])?;
    }
    Ok(())
}

/// The process that opened them is gone, and was last known to be alive then.
pub(super) fn close_rows(db: &Connection, broker: i64, last_alive: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE connections SET disconnected_at = max(?2, connected_at), closed_by = 'restart'
         WHERE broker = ?1 AND disconnected_at IS NULL",
    )?
    .execute(params![broker, last_alive])?;
    // Sessions live in the broker's memory. Those that brokers from 5.7 on can keep on disk look alike, and are told
    // anew when the client subscribes.
    db.prepare_cached("DELETE FROM subscriptions WHERE broker = ?1")?.execute(params![broker]).map(|_| ())
}

struct BrokerRow {
    id: i64,
    boot_id: String,
    pid_ns: String,
    process: Process,
    node: Option<String>,
    last_alive: i64,
}

fn others(db: &Connection, own: i64) -> Result<Vec<BrokerRow>> {
    db.prepare_cached(
        "SELECT id, boot_id, pid_ns, pid, started, node, last_alive FROM broker_processes 
         WHERE gone = 0 AND pid IS NOT NULL AND id <> ?1",
    )?
    .query_map(params![own], |row| {
        Ok(BrokerRow {
            id: row.get(0)?,
            boot_id: row.get(1)?,
            pid_ns: row.get(2)?,
            process: Process { pid: row.get(3)?, started: row.get(4)? },
            node: row.get(5)?,
            last_alive: row.get(6)?,
        })
    })?
    .collect()
}

impl BrokerRow {
    fn is_gone(&self, me: &Recorder, node: Option<&str>, now: i64) -> bool {
        if self.boot_id != me.boot_id {
            return true;
        }
        if self.pid_ns == me.pid_ns {
            return !(me.alive)(self.process);
        }
        // A container that was started anew has the name of the one before.
        node.is_some_and(|node| self.node.as_deref() == Some(node)) || now.saturating_sub(self.last_alive) > SILENT
    }
}

/// A driver that is gone missed what came until the next was started, which is now: what is open is
/// unsure. A driver that only joins a pool changes nothing.
fn account_for_drivers(db: &Connection, me: &Recorder, broker: i64, now: i64) -> Result<()> {
    let mut away = false;
    for driver in drivers(db, broker)? {
        if driver.ended || !(me.alive)(driver.process) {
            away = true;
            db.prepare_cached("DELETE FROM drivers WHERE id = ?1")?.execute(params![driver.id])?;
        }
    }
    if away {
        doubt(db, broker, now)?;
    }
    Ok(())
}

/// Marks the broker's open rows of before this time as unsure. True where there are any that were not.
pub(super) fn doubt(db: &Connection, broker: i64, before: i64) -> Result<bool> {
    let marked = db
        .prepare_cached(
            "INSERT OR IGNORE INTO unsure SELECT id FROM connections
             WHERE disconnected_at IS NULL AND broker = ?1 AND connected_at <= ?2",
        )?
        .execute(params![broker, before])?;
    if marked > 0 {
        db.prepare_cached("UPDATE broker_processes SET gaps = gaps + 1 WHERE id = ?1")?.execute(params![broker])?;
    }
    Ok(marked > 0)
}

/// How often rows of this broker became unsure. Drivers of a pool see by it that they have to look.
pub(super) fn gaps(db: &Connection, broker: i64) -> Result<i64> {
    db.prepare_cached("SELECT gaps FROM broker_processes WHERE id = ?1")?.query_row(params![broker], |row| row.get(0))
}

/// The clients of this broker whose connection is unsure.
pub(super) fn unsure(db: &Connection, broker: i64) -> Result<Unsure> {
    gather(
        db,
        "SELECT cluster, clientid FROM unsure CROSS JOIN connections ON id = connection
         WHERE disconnected_at IS NULL AND broker = ?1",
        params![broker],
    )
}

/// Rows of a cluster and a clientid.
pub(super) fn gather(db: &Connection, sql: &str, params: impl Params) -> Result<Unsure> {
    let mut unsure = Unsure::new();
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        let cluster: Box<str> = row.get(0)?;
        unsure.entry(cluster).or_default().insert(row.get(1)?);
    }
    Ok(unsure)
}
