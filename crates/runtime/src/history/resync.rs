//! What is unsure, settled by the broker's own list of its clients.
//!
//! A row is settled only where the list is of its broker and was taken after the client connected,
//! and after whoever records the broker began to: a list of before may tell what has changed
//! unheard. A row that is sure and that the list contradicts is closed too: the end of its
//! connection was lost on its way. The driver or server that records may be at work meanwhile: each
//! step asks again whether the row is open, and unsure still if it was, and they find that others
//! were settled by the number of `gaps`, as if they had become unsure.

mod index;
mod list;
mod names;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use rusqlite::Connection;

use index::{Found, ListIndex};
pub use list::{Form, List};

use super::sqlite::{store, unsure};

/// Rows that are settled in one transaction. Whoever records waits for it.
const AT_ONCE: usize = 1_000;

/// What is sure is closed only if it began so long before the list was taken: milliseconds. The
/// broker lists a client a moment after it tells of it, and to print a list takes a while.
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
    /// Names in the list that may be of several clients, shortened and without control characters:
    /// what stands there so settled nothing.
    pub left_alone: Vec<String>,
}

impl ResyncOutcome {
    /// Whether something is unsure that the list should have settled.
    pub fn is_partial(&self) -> bool {
        self.early + self.unclear > 0 || !self.left_alone.is_empty()
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
    let open = unsure::open_clients(db, &cluster)?;
    let index = ListIndex::of(list, &nodes, &open);
    let mut outcome = ResyncOutcome { nodes, ..ResyncOutcome::default() };
    let mut settled = Vec::new();
    let (mut clear, mut unclear) = (BTreeSet::new(), BTreeSet::new());
    for row in unsure::rows(db, &cluster)? {
        let unsure = usize::from(row.unsure);
        if !outcome.nodes.contains(&row.node) {
            outcome.elsewhere += unsure;
        } else if row.connected_at > if row.unsure { as_of } else { as_of.saturating_sub(SETTLED_IN) } {
            outcome.later += unsure;
        } else if row.recorded_since > as_of {
            outcome.early += unsure;
        } else {
            match index.find(&row) {
                Found::There(of) => {
                    clear.insert(of);
                    if row.unsure {
                        outcome.there += 1;
                        settled.push((row, true));
                    }
                }
                Found::Gone => {
                    outcome.gone += 1;
                    settled.push((row, false));
                }
                // What is sure stays: it may well be there.
                Found::Unclear(_) if !row.unsure => {}
                Found::Unclear(of) => {
                    outcome.unclear += 1;
                    unclear.extend(of);
                }
            }
        }
    }
    outcome.unknown = index.unknown(&outcome.nodes, &open);
    outcome.left_alone = index.left_alone(&unclear, &clear);
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

#[cfg(test)]
mod tests;
