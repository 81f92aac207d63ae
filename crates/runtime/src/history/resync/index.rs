//! Finds the clients of a list by the names that stand in rows.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::list::{List, Listed};
use super::names;
use crate::history::sqlite::unsure::OpenConnection;
use exhook_policy_core::event::short::{LONGEST, short, stored};

/// Looks like the end of a clientid in a list.
const USERNAME: &str = ", username=";
/// Begins a line of `emqx_ctl` within a name.
const LINE: &[u8] = b"\nClient(";

/// What a list says of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Its client is connected: it is this one.
    There(usize),
    /// Its client is not.
    Gone,
    /// These may be its client, or another one.
    Unclear(Vec<usize>),
}

/// A list, by names. Its clients are numbers in the order of the list.
pub(super) struct ListIndex<'l> {
    list: &'l List,
    /// By the name as it stands in rows.
    exact: HashMap<Cow<'l, str>, Vec<usize>>,
    /// By what stands in the list and may mean several names.
    doubtful: HashMap<&'l [u8], Vec<usize>>,
    /// Those of them that rows would have cut.
    long: Vec<(&'l [u8], usize)>,
    /// Clients of whose names something is lost.
    damaged: Vec<usize>,
    /// Clients that may be several.
    joined: Vec<usize>,
}

impl<'l> ListIndex<'l> {
    /// The clients of these nodes. `open` are the names of connections that last, as they stand in
    /// rows: one of them may be made to look like a line of the list.
    pub(super) fn of(list: &'l List, nodes: &BTreeSet<String>, open: &HashSet<(String, String)>) -> Self {
        let forged = forged(open);
        let mut index = ListIndex {
            list,
            exact: HashMap::new(),
            doubtful: HashMap::new(),
            long: Vec::new(),
            damaged: Vec::new(),
            joined: Vec::new(),
        };
        for (at, listed) in list.clients().iter().enumerate().filter(|(_, listed)| listed.is_of(nodes)) {
            for id in list.ids(listed) {
                let is_forged = forged.contains(id);
                match std::str::from_utf8(id) {
                    // Long names stand in rows as they are cut.
                    Ok(name) if listed.is_exact && !is_forged => index.exact.entry(short(name)).or_default().push(at),
                    Ok(_) | Err(_) => index.doubtful.entry(id).or_default().push(at),
                }
                if !listed.is_exact && id.len() > LONGEST {
                    index.long.push((id, at));
                }
            }
            if list.ids(listed).any(names::is_damaged) {
                index.damaged.push(at);
            }
            if listed.is_joined {
                index.joined.push(at);
            }
        }
        index
    }

    /// What the list says of a row.
    pub(super) fn find(&self, row: &OpenConnection) -> Found {
        // One that an older version wrote is whole, until this one opens the database to record.
        let name = stored(&row.clientid);
        let is_here =
            |at: &usize| self.list.clients().get(*at).is_some_and(|listed| listed.is_at(&row.node) && listed.connected);
        if let Some(at) = self.exact.get(&*name).into_iter().flatten().find(|at| is_here(at)) {
            return Found::There(*at);
        }
        let mut doubtful: BTreeSet<usize> = BTreeSet::new();
        for form in names::forms(&row.clientid) {
            doubtful.extend(self.doubtful.get(&*form).into_iter().flatten());
        }
        if let Some(beginning) = names::beginning(&row.clientid) {
            let forms = names::forms(beginning);
            let begins = |id: &[u8]| forms.iter().any(|form| id.starts_with(form));
            doubtful.extend(self.long.iter().filter(|(id, _)| begins(id)).map(|(_, at)| at));
        }
        if !names::is_certain(&row.clientid) {
            doubtful.extend(&self.damaged);
        }
        if row.clientid.contains(USERNAME) {
            doubtful.extend(&self.joined);
        }
        doubtful.retain(is_here);
        if doubtful.is_empty() {
            // One with line breaks may stand there as several lines that look whole.
            let is_spread = self.list.is_by_line() && row.clientid.contains('\n');
            return if is_spread { Found::Unclear(Vec::new()) } else { Found::Gone };
        }
        // Where the broker tells both, the address says which connection it is, whatever the name.
        let is_it = |listed: &Listed| row.peer.is_some() && listed.peer == row.peer && !self.is_forged(listed);
        if let Some(at) = doubtful.iter().find(|at| self.list.clients().get(**at).is_some_and(is_it)) {
            return Found::There(*at);
        }
        Found::Unclear(doubtful.into_iter().collect())
    }

    /// Whether a client that would be known by its line stands among those that are not: another
    /// one has a name that is made to look like this line.
    fn is_forged(&self, listed: &Listed) -> bool {
        listed.is_exact && self.list.ids(listed).any(|id| self.doubtful.contains_key(id))
    }

    /// How many clients are connected by the list, and not by the database.
    pub(super) fn unknown(&self, nodes: &BTreeSet<String>, open: &HashSet<(String, String)>) -> usize {
        let mut forms: HashMap<Cow<'_, [u8]>, HashSet<&str>> = HashMap::new();
        for (name, node) in open {
            for form in names::forms(name) {
                forms.entry(form).or_default().insert(node);
            }
        }
        let is_open = |listed: &Listed| {
            let of = |id: &[u8]| forms.get(id).is_some_and(|at| at.iter().any(|node| listed.is_at(node)));
            self.list.ids(listed).any(|id| match std::str::from_utf8(id) {
                Ok(name) if listed.is_exact => of(short(name).as_bytes()),
                Ok(_) | Err(_) => of(id),
            })
        };
        let connected = self.list.clients().iter().filter(|listed| listed.connected && listed.is_of(nodes));
        connected.filter(|listed| !is_open(listed)).count()
    }

    /// The lines that are left alone, for people: those of which some rows may be, and those that
    /// are no text or may be several, but for those that settled a row.
    pub(super) fn left_alone(&self, unclear: &BTreeSet<usize>, settled: &BTreeSet<usize>) -> Vec<String> {
        let is_connected = |at: &usize| self.list.clients().get(*at).is_some_and(|listed| listed.connected);
        let unreadable = self.damaged.iter().chain(&self.joined).copied();
        let unreadable = unreadable.filter(|at| is_connected(at) && !settled.contains(at));
        let all: BTreeSet<usize> = unreadable.chain(unclear.iter().copied()).collect();
        let listed = all.iter().filter_map(|at| self.list.clients().get(*at));
        let longest = |listed| self.list.ids(listed).max_by_key(|id| id.len()).unwrap_or_default();
        listed.map(|listed| names::shown(longest(listed))).collect()
    }
}

/// What would be taken for the name of another client if a client with one of these names is in a
/// list of `emqx_ctl`: it has a line break, and behind it the beginning of a line.
fn forged(open: &HashSet<(String, String)>) -> HashSet<Vec<u8>> {
    let mut forged = HashSet::new();
    for (name, _) in open.iter().filter(|(name, _)| name.contains('\n')) {
        for form in names::forms(name) {
            let mut rest = &*form;
            while let Some(at) = rest.windows(LINE.len()).position(|found| found == LINE) {
                rest = rest.get(at + LINE.len()..).unwrap_or_default();
                let end = rest.windows(USERNAME.len()).position(|found| found == USERNAME.as_bytes());
                forged.insert(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().to_vec());
            }
        }
    }
    forged
}
