//! What is open, unsure or not, and how it is settled by a list of the broker's clients.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use rusqlite::{Connection, Result, TransactionBehavior, params};

use exhook_policy_core::event::short::stored;

/// How a row is closed that the list does not name: the broker said that it ended, with this reason.
const REASON: &str = "resync";

/// A connection that is open.
pub(crate) struct OpenConnection {
    pub(crate) id: i64,
    pub(crate) clientid: String,
    pub(crate) node: String,
    pub(crate) connected_at: i64,
    pub(crate) broker: i64,
    /// When the driver or server registered that records the broker, or any server that may. Until then it may have ended
    /// unheard.
    pub(crate) recorded_since: i64,
    /// Where the client connected from, if the broker told the port.
    pub(crate) peer: Option<(IpAddr, u16)>,
    /// Its end may have been missed.
    pub(crate) unsure: bool,
}

fn names(db: &Connection, sql: &str, cluster: Option<&str>) -> Result<BTreeSet<String>> {
    db.prepare(sql)?.query_map(params![cluster], |row| row.get(0))?.collect()
}

/// The clusters of which something is open, or a broker is there.
pub(crate) fn clusters(db: &Connection) -> Result<BTreeSet<String>> {
    // A broker that tells its cluster since it was upgraded is the one that told none before.
    names(
        db,
        "SELECT cluster FROM connections WHERE disconnected_at IS NULL AND ?1 IS NULL
         UNION SELECT cluster FROM broker_processes AS broker WHERE gone = 0 AND node IS NOT NULL AND NOT (cluster = ''
           AND EXISTS (SELECT 1 FROM broker_processes WHERE node = broker.node AND cluster <> ''))",
        None,
    )
}

/// The nodes of a cluster on which something is open, or that are there.
pub(crate) fn nodes(db: &Connection, cluster: &str) -> Result<BTreeSet<String>> {
    let there = "SELECT node FROM connections WHERE disconnected_at IS NULL AND cluster = ?1
                 UNION SELECT node FROM broker_processes WHERE gone = 0 AND node IS NOT NULL AND cluster = ?1";
    names(db, there, Some(cluster))
}

/// The nodes of a cluster that were ever recorded.
pub(crate) fn recorded_nodes(db: &Connection, cluster: &str) -> Result<BTreeSet<String>> {
    let recorded = "SELECT DISTINCT node FROM broker_processes WHERE node IS NOT NULL AND cluster = ?1";
    names(db, recorded, Some(cluster))
}

/// The connections of a cluster that are open.
pub(crate) fn rows(db: &Connection, cluster: &str) -> Result<Vec<OpenConnection>> {
    db.prepare(
        "SELECT id, clientid, node, connected_at, broker, max(
           coalesce((SELECT max(registered_at) FROM drivers WHERE drivers.broker = connections.broker), 0),
           coalesce((SELECT max(registered_at) FROM servers JOIN broker_processes AS called ON called.pid IS NULL AND servers.id = coalesce(called.server, servers.id)
                     WHERE called.id = connections.broker), 0)), peerhost, peerport,
            id IN (SELECT connection FROM unsure)
         FROM connections WHERE disconnected_at IS NULL AND cluster = ?1",
    )?
    .query_map(params![cluster], |row| {
        Ok(OpenConnection {
            id: row.get(0)?,
            clientid: row.get(1)?,
            node: row.get(2)?,
            connected_at: row.get(3)?,
            broker: row.get(4)?,
            recorded_since: row.get(5)?,
            peer: peer(&row.get::<_, String>(6)?, row.get(7)?),
            unsure: row.get(8)?,
        })
    })?
    .collect()
}

fn peer(host: &str, port: Option<u16>) -> Option<(IpAddr, u16)> {
    let host: IpAddr = host.parse().ok()?;
    Some((host.to_canonical(), port?))
}

/// The clients of a cluster that are connected, each by its clientid as it is stored, and its node.
pub(crate) fn open_clients(db: &Connection, cluster: &str) -> Result<HashSet<(String, String)>> {
    db.prepare("SELECT clientid, node FROM connections WHERE disconnected_at IS NULL AND cluster = ?1")?
        .query_map(params![cluster], |row| Ok((stored(&row.get::<_, String>(0)?).into_owned(), row.get(1)?)))?
        .collect()
}

/// Writes what was found of some rows, in a transaction of its own. Each is with whether the list names it; `as_of` is when
/// that was taken, Unix milliseconds.
pub(crate) fn settle(db: &mut Connection, rows: &[(OpenConnection, bool)], as_of: i64) -> Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (row, is_there) in rows {
        if !is_there {
            // A broker that is heard of had it until the list was taken, at the latest.
            transaction
                .prepare_cached(
                    "UPDATE connections SET closed_by = 'event', reason = ?2, disconnected_at = max(connected_at, min(?3,
                       coalesce((SELECT last_alive FROM broker_processes WHERE id = broker), ?3)))
                     WHERE id = ?1 AND disconnected_at IS NULL AND (NOT ?4 OR id IN (SELECT connection FROM unsure))",
                )?
                .execute(params![row.id, REASON, as_of, row.unsure])?;
        }
        transaction.prepare_cached("DELETE FROM unsure WHERE connection = ?1")?.execute(params![row.id])?;
    }
    let brokers: BTreeSet<i64> = rows.iter().map(|(row, _)| row.broker).collect();
    for broker in brokers {
        transaction
            .prepare_cached("UPDATE broker_processes SET gaps = gaps + 1 WHERE id = ?1")?
            .execute(params![broker])?;
    }
    transaction.commit()
}
