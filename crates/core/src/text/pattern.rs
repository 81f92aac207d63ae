//! A glob or a regex, ready to be matched against whole texts.

use regex_syntax::hir::Hir;

use super::machine::{Cost, Limit, Machine, Refused, Table};
use super::{Identity, Work};

/// What decides whether a text matches a glob or a regex, in bounded work.
#[derive(Debug)]
pub(crate) struct Automaton {
    machine: Machine,
    /// The same as a table, where that is small. It takes a fraction of a step for each character.
    table: Option<Table>,
}

impl Automaton {
    pub(crate) fn new(hir: &Hir, limit: Limit) -> Result<Self, Refused> {
        let machine = Machine::build(hir, limit)?;
        let table = Table::of(&machine);
        Ok(Automaton { machine, table })
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether the whole text matches, which begins with the machine's prefix, followed by `rest`. `None` if the
    /// question has no work left to settle that.
    #[inline]
    pub(crate) fn matches(&self, text: &str, rest: &str, identity: Identity<'_>, work: &Work) -> Option<bool> {
        match &self.table {
            Some(table) => table.is_match(rest, work),
            None => self.machine.matches(text, identity, work),
        }
    }

    /// What matching a text takes at most.
    pub(crate) fn cost(&self) -> Cost {
        match &self.table {
            Some(_) => Table::COST,
            None => self.machine.cost(),
        }
    }
}
