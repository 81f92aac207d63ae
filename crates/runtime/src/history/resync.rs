//! What is unsure, settled by the broker's own list of its clients.
//!
//! A row is settled only where the list is of its broker and was taken after the client connected, and after whoever records the
//! broker began to: a list of before may tell what has changed unheard. What is not unsure is left
//! alone: the driver hears of its end. The driver or server that records may be at work meanwhile: each step asks again whether
//! the row is open and unsure still, and they find that others were settled by the number of `gaps`, as if they had become
//! unsure.

mod list;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use list::Listed;
pub use list::{Form, List};

use super::store;
use exhook_policy_core::event::short::{short, stored};

/// How a row is closed that the list does not name: the broker said that it ended, with this reason.
const REASON: &str = "resync";
/// Rows that are settled in one transaction. Whoever records waits for it.
const AT_ONCE: usize = 1_000;

/// Of which brokers the list is.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The cluster; needed where the database knows several.
    pub cluster: Option<String>,
    /// The node; needed where the database knows several and the list does not tell.
    pub node: Option<String>,
    /// Whether a list without any client of these is one: then none is connected.
    pub empty: bool,
}

/// What came of it, in numbers of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The nodes that the list is of.
    pub nodes: BTreeSet<String>,
    /// In the list: unsure no longer.
    pub there: usize,
    /// Not in the list: closed.
    pub gone: usize,
    /// Unsure still, since they began after the list was taken.
    pub later: usize,
    /// Unsure still, since what was missed may have come after the list was taken.
    pub early: usize,
    /// Unsure still, since the list can be read in several ways.
    pub unclear: usize,
    /// Unsure still, since the list is of other nodes.
    pub elsewhere: usize,
    /// Clients that the list says are connected, and of which no connection is open here.
    pub unknown: usize,
}

impl Outcome {
    /// Whether something is unsure that the list should have settled.
    pub fn is_partial(&self) -> bool {
        self.early + self.unclear > 0
    }
}

/// Why nothing was settled.
#[derive(Debug)]
pub enum Trouble {
    /// It is not said which of these clusters the list is of.
    Clusters(BTreeSet<String>),
    /// It is not said which of these nodes the list is of.
    Nodes(BTreeSet<String>),
    /// Nothing is known of that node; these are known.
    UnknownNode(BTreeSet<String>),
    /// No client in the list is of these nodes, and it is not said that there is none.
    NoneOf(BTreeSet<String>),
    /// The database cannot be written or read.
    Database(rusqlite::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |names: &BTreeSet<String>| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        match self {
            Trouble::Clusters(known) => {
                write!(f, "which of these clusters is the list of: {}? Say it with --cluster", names(known))
            }
            Trouble::Nodes(known) => {
                write!(f, "which of these nodes is the list of: {}? Say it with --node", names(known))
            }
            Trouble::UnknownNode(known) if known.is_empty() => f.write_str("nothing is known of that node here"),
            Trouble::UnknownNode(known) => {
                write!(f, "nothing is known of that node here, but of {}", names(known))
            }
            Trouble::NoneOf(nodes) => {
                write!(f, "no client in the list is of {}; --empty says that none is connected", names(nodes))
            }
            Trouble::Database(error) => error.fmt(f),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::Database(error)
    }
}

/// Opens a history database in order to settle what is unsure in it.
///
/// # Errors
/// There is none, or it is of an older version; the text is for people, and does not name the file.
pub fn open(path: &Path) -> Result<Connection, String> {
    store::open_to_write(path)
}

/// A connection that is unsure.
struct Row {
    id: i64,
    clientid: String,
    node: String,
    connected_at: i64,
    broker: i64,
    /// When the driver or server registered that records the broker, or any server that may. Until then it may have ended
    /// unheard.
    recorded_since: i64,
}

/// Settles what is unsure by a list that was taken at `as_of`, Unix milliseconds. `apply` is false where it is only told
/// what would be done.
///
/// # Errors
/// It is not known of which brokers the list is, or the database cannot be used.
pub fn resync(db: &mut Connection, list: &List, scope: &Scope, as_of: i64, apply: bool) -> Result<Outcome, Trouble> {
    let Some(cluster) = cluster(db, scope)? else { return Ok(Outcome::default()) };
    let nodes = nodes(db, list, scope, &cluster)?;
    if !scope.empty && !nodes.is_empty() && !list.clients().iter().any(|listed| listed.is_of(&nodes)) {
        return Err(Trouble::NoneOf(nodes));
    }
    let by_id = by_id(list, &nodes);
    let mut outcome = Outcome { nodes, ..Outcome::default() };
    let mut settled = Vec::new();
    for row in unsure(db, &cluster)? {
        if !outcome.nodes.contains(&row.node) {
            outcome.elsewhere += 1;
        } else if row.connected_at > as_of {
            outcome.later += 1;
        } else if row.recorded_since > as_of {
            outcome.early += 1;
        } else {
            // One that an older version wrote is whole, until this one opens the database to record.
            let of_row = by_id.get(&*stored(&row.clientid)).into_iter().flatten();
            let mut named = of_row.filter(|listed| listed.is_at(&row.node) && listed.connected).peekable();
            if named.peek().is_none() {
                outcome.gone += 1;
                settled.push((row, false));
            } else if named.any(|listed| !listed.is_unclear) {
                outcome.there += 1;
                settled.push((row, true));
            } else {
                outcome.unclear += 1;
            }
        }
    }
    outcome.unknown = unknown(db, list, &outcome.nodes, &cluster)?;
    if apply {
        for rows in settled.chunks(AT_ONCE) {
            settle(db, rows, as_of)?;
        }
    }
    Ok(outcome)
}

fn names(db: &Connection, sql: &str, cluster: Option<&str>) -> rusqlite::Result<BTreeSet<String>> {
    db.prepare(sql)?.query_map(params![cluster], |row| row.get(0))?.collect()
}

/// The cluster that the list is of; `None` where no broker is known.
fn cluster(db: &Connection, scope: &Scope) -> Result<Option<String>, Trouble> {
    if let Some(cluster) = &scope.cluster {
        return Ok(Some(cluster.clone()));
    }
    // A broker that tells its cluster since it was upgraded is the one that told none before.
    let mut known = names(
        db,
        "SELECT cluster FROM connections WHERE disconnected_at IS NULL AND ?1 IS NULL
         UNION SELECT cluster FROM broker_processes AS broker WHERE gone = 0 AND node IS NOT NULL AND NOT (cluster = ''
           AND EXISTS (SELECT 1 FROM broker_processes WHERE node = broker.node AND cluster <> ''))",
        None,
    )?;
    if known.len() > 1 { Err(Trouble::Clusters(known)) } else { Ok(known.pop_first()) }
}

/// The nodes that the list is of. One with nothing open at the moment may be meant as well.
fn nodes(db: &Connection, list: &List, scope: &Scope, cluster: &str) -> Result<BTreeSet<String>, Trouble> {
    let there = "SELECT node FROM connections WHERE disconnected_at IS NULL AND cluster = ?1
                 UNION SELECT node FROM broker_processes WHERE gone = 0 AND node IS NOT NULL AND cluster = ?1";
    let known = names(db, there, Some(cluster))?;
    if let Some(node) = &scope.node {
        let recorded = "SELECT DISTINCT node FROM broker_processes WHERE node IS NOT NULL AND cluster = ?1";
        let known = &known | &names(db, recorded, Some(cluster))?;
        let is_known = known.contains(node);
        return if is_known { Ok(BTreeSet::from([node.clone()])) } else { Err(Trouble::UnknownNode(known)) };
    }
    let told: Option<BTreeSet<String>> = list.clients().iter().map(|listed| listed.node.clone()).collect();
    match told {
        Some(told) if !told.is_empty() => Ok(told),
        Some(_) | None if known.len() > 1 => Err(Trouble::Nodes(known)),
        Some(_) | None => Ok(known),
    }
}

/// What the list says of clients of these nodes, by each name that may be meant.
fn by_id<'l>(list: &'l List, nodes: &BTreeSet<String>) -> HashMap<Cow<'l, str>, Vec<&'l Listed>> {
    let mut by_id: HashMap<Cow<'_, str>, Vec<&Listed>> = HashMap::new();
    for listed in list.clients().iter().filter(|listed| listed.is_of(nodes)) {
        for id in &listed.ids {
            // Long names stand in rows as they are cut.
            by_id.entry(short(id)).or_default().push(listed);
        }
    }
    by_id
}

fn unsure(db: &Connection, cluster: &str) -> rusqlite::Result<Vec<Row>> {
    db.prepare(
        "SELECT id, clientid, node, connected_at, broker, max(
           coalesce((SELECT max(registered_at) FROM drivers WHERE drivers.broker = connections.broker), 0),
           coalesce((SELECT max(registered_at) FROM servers JOIN broker_processes AS called ON called.pid IS NULL AND servers.id = coalesce(called.server, servers.id)
                     WHERE called.id = connections.broker), 0))
         FROM unsure CROSS JOIN connections ON connections.id = connection
         WHERE disconnected_at IS NULL AND cluster = ?1",
    )?
    .query_map(params![cluster], |row| {
        Ok(Row {
            id: row.get(0)?,
            clientid: row.get(1)?,
            node: row.get(2)?,
            connected_at: row.get(3)?,
            broker: row.get(4)?,
            recorded_since: row.get(5)?,
        })
    })?
    .collect()
}

/// How many clients are connected by the list, and not by the database.
fn unknown(db: &Connection, list: &List, nodes: &BTreeSet<String>, cluster: &str) -> rusqlite::Result<usize> {
    let open: HashSet<(String, String)> = db
        .prepare("SELECT clientid, node FROM connections WHERE disconnected_at IS NULL AND cluster = ?1")?
        .query_map(params![cluster], |row| Ok((stored(&row.get::<_, String>(0)?).into_owned(), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let is_open = |listed: &Listed| {
        let mut at = nodes.iter().filter(|node| listed.is_at(node));
        at.any(|node| listed.ids.iter().any(|id| open.contains(&(short(id).into_owned(), node.clone()))))
    };
    let connected = list.clients().iter().filter(|listed| listed.connected && listed.is_of(nodes));
    Ok(connected.filter(|listed| !is_open(listed)).count())
}

/// Writes what was found of some rows. Each is with whether the list names it.
fn settle(db: &mut Connection, rows: &[(Row, bool)], as_of: i64) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (row, is_there) in rows {
        if !is_there {
            // A broker that is heard of had it until the list was taken, at the latest.
            transaction
                .prepare_cached(
                    "UPDATE connections SET closed_by = 'event', reason = ?2, disconnected_at = max(connected_at, min(?3,
                       coalesce((SELECT last_alive FROM broker_processes WHERE id = broker), ?3)))
                     WHERE id = ?1 AND disconnected_at IS NULL AND id IN (SELECT connection FROM unsure)",
                )?
                .execute(params![row.id, REASON, as_of])?;
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

#[cfg(test)]
mod tests;
