//! What is unsure, settled by the broker's own list of its clients.
//!
//! A row is settled only where the list is of its broker and was taken after the client connected, and after whoever records the
//! broker began to: a list of before may tell what has changed unheard. A row that is sure and that the list contradicts is
//! closed too: the end of its connection was lost on its way. The driver or server that records may be at work meanwhile: each
//! step asks again whether the row is open, and unsure still if it was, and they find that others were settled by the number of
//! `gaps`, as if they had become unsure.

mod list;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use rusqlite::Connection;

use list::Listed;
pub use list::{Form, List};

use super::sqlite::{store, unsure};
use exhook_policy_core::event::short::{short, stored};

/// Rows that are settled in one transaction. Whoever records waits for it.
const AT_ONCE: usize = 1_000;

/// What is sure is closed only if it began so long before the list was taken: milliseconds. The broker lists a client a moment
/// after it tells of it, and to print a list takes a while.
const SETTLED_IN: i64 = 5_000;

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
pub struct ResyncOutcome {
    /// The nodes that the list is of.
    pub nodes: BTreeSet<String>,
    /// In the list: unsure no longer.
    pub there: usize,
    /// Not in the list: closed, whether it was unsure or not.
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

impl ResyncOutcome {
    /// Whether something is unsure that the list should have settled.
    pub fn is_partial(&self) -> bool {
        self.early + self.unclear > 0
    }
}

/// Why nothing was settled.
#[derive(Debug)]
pub enum ResyncTrouble {
    /// It is not said which of these clusters the list is of.
    Clusters(BTreeSet<String>),
    /// It is not said which of these nodes the list is of.
    Nodes(BTreeSet<String>),
    /// Nothing is known of that node; these are known.
    UnknownNode(BTreeSet<String>),
    /// No client in the list is of these nodes, and it is not said that there is none.
    NoneOf(BTreeSet<String>),
    /// The database cannot be written or read.
    Database(String),
}

impl fmt::Display for ResyncTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |names: &BTreeSet<String>| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        match self {
            ResyncTrouble::Clusters(known) => {
                write!(f, "which of these clusters is the list of: {}? Say it with --cluster", names(known))
            }
            ResyncTrouble::Nodes(known) => {
                write!(f, "which of these nodes is the list of: {}? Say it with --node", names(known))
            }
            ResyncTrouble::UnknownNode(known) if known.is_empty() => f.write_str("nothing is known of that node here"),
            ResyncTrouble::UnknownNode(known) => {
                write!(f, "nothing is known of that node here, but of {}", names(known))
            }
            ResyncTrouble::NoneOf(nodes) => {
                write!(f, "no client in the list is of {}; --empty says that none is connected", names(nodes))
            }
            ResyncTrouble::Database(error) => f.write_str(error),
        }
    }
}

impl From<rusqlite::Error> for ResyncTrouble {
    fn from(error: rusqlite::Error) -> Self {
        ResyncTrouble::Database(error.to_string())
    }
}

/// Opens a history database in order to settle what is unsure in it.
///
/// # Errors
/// There is none, or it is of an older version; the text is for people, and does not name the file.
pub fn open(path: &Path) -> Result<Connection, String> {
    store::open_to_write(path)
}

/// Settles what is unsure by a list that was taken at `as_of`, Unix milliseconds. `apply` is false where it is only told
/// what would be done.
///
/// # Errors
/// It is not known of which brokers the list is, or the database cannot be used.
pub fn resync(
    db: &mut Connection,
    list: &List,
    scope: &Scope,
    as_of: i64,
    apply: bool,
) -> Result<ResyncOutcome, ResyncTrouble> {
    let Some(cluster) = cluster(db, scope)? else { return Ok(ResyncOutcome::default()) };
    let nodes = nodes(db, list, scope, &cluster)?;
    if !scope.empty && !nodes.is_empty() && !list.clients().iter().any(|listed| listed.is_of(&nodes)) {
        return Err(ResyncTrouble::NoneOf(nodes));
    }
    let by_id = by_id(list, &nodes);
    let mut outcome = ResyncOutcome { nodes, ..ResyncOutcome::default() };
    let mut settled = Vec::new();
    for row in unsure::rows(db, &cluster)? {
        let unsure = usize::from(row.unsure);
        if !outcome.nodes.contains(&row.node) {
            outcome.elsewhere += unsure;
        } else if row.connected_at > if row.unsure { as_of } else { as_of.saturating_sub(SETTLED_IN) } {
            outcome.later += unsure;
        } else if row.recorded_since > as_of {
            outcome.early += unsure;
        } else {
            // One that an older version wrote is whole, until this one opens the database to record.
            let of_row = by_id.get(&*stored(&row.clientid)).into_iter().flatten();
            let mut named = of_row.filter(|listed| listed.is_at(&row.node) && listed.connected).peekable();
            if named.peek().is_none() {
                outcome.gone += 1;
                settled.push((row, false));
            } else if !row.unsure {
                // The list says what is known.
            } else if named.any(|listed| !listed.is_unclear) {
                outcome.there += 1;
                settled.push((row, true));
            } else {
                outcome.unclear += 1;
            }
        }
    }
    outcome.unknown = unknown(list, &outcome.nodes, &unsure::open_clients(db, &cluster)?);
    if apply {
        for rows in settled.chunks(AT_ONCE) {
            unsure::settle(db, rows, as_of)?;
        }
    }
    Ok(outcome)
}

/// The cluster that the list is of; `None` where no broker is known.
fn cluster(db: &Connection, scope: &Scope) -> Result<Option<String>, ResyncTrouble> {
    if let Some(cluster) = &scope.cluster {
        return Ok(Some(cluster.clone()));
    }
    let mut known = unsure::clusters(db)?;
    if known.len() > 1 { Err(ResyncTrouble::Clusters(known)) } else { Ok(known.pop_first()) }
}

/// The nodes that the list is of. One with nothing open at the moment may be meant as well.
fn nodes(db: &Connection, list: &List, scope: &Scope, cluster: &str) -> Result<BTreeSet<String>, ResyncTrouble> {
    let known = unsure::nodes(db, cluster)?;
    if let Some(node) = &scope.node {
        let known = &known | &unsure::recorded_nodes(db, cluster)?;
        let is_known = known.contains(node);
        return if is_known { Ok(BTreeSet::from([node.clone()])) } else { Err(ResyncTrouble::UnknownNode(known)) };
    }
    let told: Option<BTreeSet<String>> = list.clients().iter().map(|listed| listed.node.clone()).collect();
    match told {
        Some(told) if !told.is_empty() => Ok(told),
        Some(_) | None if known.len() > 1 => Err(ResyncTrouble::Nodes(known)),
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

/// How many clients are connected by the list, and not by the database.
fn unknown(list: &List, nodes: &BTreeSet<String>, open: &HashSet<(String, String)>) -> usize {
    let is_open = |listed: &Listed| {
        let mut at = nodes.iter().filter(|node| listed.is_at(node));
        at.any(|node| listed.ids.iter().any(|id| open.contains(&(short(id).into_owned(), node.clone()))))
    };
    let connected = list.clients().iter().filter(|listed| listed.connected && listed.is_of(nodes));
    connected.filter(|listed| !is_open(listed)).count()
}

#[cfg(test)]
mod tests;
