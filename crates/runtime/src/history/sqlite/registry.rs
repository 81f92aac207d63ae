//! Under which broker's row an event is written, and whether it is written here.

use rusqlite::{Connection, Result};

use super::brokers::{self, DriverPlace, DriverRole};
use super::servers::Callers;
use crate::history::origins::{BrokerNames, OriginId};
use crate::history::queue::{QueuedRecord, Unsure};
use crate::process::{Recorder, Serves};

/// The brokers that this process records.
pub(crate) enum Registry {
    Parent(Parent),
    Callers(Callers),
}

/// The one that started this process.
pub(crate) struct Parent {
    place: DriverPlace,
    gaps: i64,
    node_known: bool,
    /// Other rows are unsure than before.
    changed: bool,
}

/// What an earlier opening of the database gave to this process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before {
    Parent(DriverPlace),
    /// `servers.id`
    Server(i64),
}

/// Whether this process records.
pub(crate) enum Opened {
    Recording(Registry),
    /// The driver of this name does, under the same broker.
    Standby {
        slot: String,
    },
}

impl Registry {
    /// Registers this process, in the transaction that is open. What is open of brokers that are gone is closed, and
    /// becomes unsure where events were missed.
    pub(crate) fn open(db: &Connection, me: &Recorder, before: Option<Before>, now: i64) -> Result<Opened> {
        let registry = match &me.serves {
            Serves::Parent { slot, process } => {
                let previous = match before {
                    Some(Before::Parent(place)) => Some(place),
                    Some(Before::Server(_)) | None => None,
                };
                match brokers::register(db, me, slot, *process, previous, now)? {
                    DriverRole::Standby { slot } => return Ok(Opened::Standby { slot }),
                    DriverRole::Recording(place) => {
                        let gaps = brokers::gaps(db, place.broker)?;
                        Registry::Parent(Parent { place, gaps, node_known: false, changed: false })
                    }
                }
            }
            Serves::Callers => {
                let previous = match before {
                    Some(Before::Server(server)) => Some(server),
                    Some(Before::Parent(_)) | None => None,
                };
                Registry::Callers(Callers::open(db, me, previous, now)?)
            }
        };
        Ok(Opened::Recording(registry))
    }

    /// What to open the database with the next time.
    pub(crate) fn before(&self) -> Before {
        match self {
            Registry::Parent(parent) => Before::Parent(parent.place),
            Registry::Callers(callers) => Before::Server(callers.server()),
        }
    }

    /// Before these are written.
    pub(crate) fn begin(&mut self, db: &Connection, me: &Recorder, batch: &[QueuedRecord], now: i64) -> Result<()> {
        match self {
            Registry::Parent(parent) => parent.name(db, me, batch, now),
            Registry::Callers(_) => Ok(()),
        }
    }

    /// The row of the broker that an event comes from; `None` where it is not to be written here.
    pub(crate) fn broker(
        &mut self,
        db: &Connection,
        me: &Recorder,
        at: i64,
        origin: OriginId,
        named: &BrokerNames,
    ) -> Result<Option<i64>> {
        match self {
            Registry::Parent(parent) => Ok(Some(parent.place.broker)),
            Registry::Callers(callers) => callers.broker(db, me, at, origin, named),
        }
    }

    /// The broker is there, and booted then.
    pub(crate) fn loaded(
        &mut self,
        db: &Connection,
        me: &Recorder,
        at: i64,
        (origin, named): (OriginId, &BrokerNames),
        booted_at: i64,
    ) -> Result<()> {
        match self {
            // Its start is that of its process.
            Registry::Parent(_) => Ok(()),
            Registry::Callers(callers) => callers.loaded(db, me, at, (origin, named), booted_at),
        }
    }

    /// The broker has stopped, or is out of reach.
    pub(crate) fn away(&mut self, db: &Connection, at: i64, origin: OriginId) -> Result<()> {
        match self {
            // It takes the driver with it.
            Registry::Parent(_) => Ok(()),
            Registry::Callers(callers) => callers.away(db, at, origin),
        }
    }

    /// Whether another process records what comes from there.
    pub(crate) fn stands_by(&self, origin: OriginId) -> bool {
        match self {
            Registry::Parent(_) => false,
            Registry::Callers(callers) => callers.stands_by(origin),
        }
    }

    /// Events of before now were not kept.
    pub(crate) fn missed(&mut self, db: &Connection, now: i64) -> Result<()> {
        match self {
            Registry::Parent(parent) => brokers::doubt(db, parent.place.broker, now).map(|_| ()),
            Registry::Callers(callers) => callers.missed(db, now),
        }
    }

    /// Notes who is alive.
    pub(crate) fn beat(&mut self, db: &Connection, me: &Recorder, now: i64) -> Result<()> {
        match self {
            Registry::Parent(parent) => parent.beat(db, now),
            Registry::Callers(callers) => callers.beat(db, me, now),
        }
    }

    /// Looks for who is gone.
    pub(crate) fn check(&mut self, db: &Connection, me: &Recorder, now: i64) -> Result<()> {
        match self {
            Registry::Parent(parent) => brokers::close_gone(db, me, parent.place.broker, None, now),
            Registry::Callers(callers) => callers.check(db, me, now),
        }
    }

    /// This process ends in order; its input ended at that time.
    pub(crate) fn end(&mut self, db: &Connection, input_ended: i64) -> Result<()> {
        match self {
            Registry::Parent(parent) => {
                brokers::alive(db, parent.place.broker, input_ended)?;
                brokers::driver_ends(db, parent.place, input_ended)
            }
            Registry::Callers(callers) => callers.end(db, input_ended),
        }
    }

    /// Whether to ask anew which clients are unsure.
    pub(crate) fn take_changed(&mut self) -> bool {
        match self {
            Registry::Parent(parent) => std::mem::take(&mut parent.changed),
            Registry::Callers(callers) => callers.take_changed(),
        }
    }

    /// The clients whose connection is unsure.
    pub(crate) fn unsure(&self, db: &Connection) -> Result<Unsure> {
        match self {
            Registry::Parent(parent) => brokers::unsure(db, parent.place.broker),
            Registry::Callers(_) => Callers::unsure(db),
        }
    }

    /// What the transaction did is undone.
    pub(crate) fn undone(&mut self) {
        match self {
            Registry::Parent(parent) => parent.node_known = false,
            Registry::Callers(callers) => callers.undone(),
        }
    }

    /// What is to be said of it on the console.
    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        match self {
            Registry::Parent(_) => Vec::new(),
            Registry::Callers(callers) => callers.take_lines(),
        }
    }
}

impl Parent {
    fn name(&mut self, db: &Connection, me: &Recorder, batch: &[QueuedRecord], now: i64) -> Result<()> {
        if self.node_known {
            return Ok(());
        }
        if let Some(node) = batch.iter().find_map(|item| item.entry.node()) {
            if brokers::name_node(db, self.place.broker, node)? {
                brokers::close_gone(db, me, self.place.broker, Some(node), now)?;
            }
            self.node_known = true;
        }
        Ok(())
    }

    fn beat(&mut self, db: &Connection, now: i64) -> Result<()> {
        brokers::alive(db, self.place.broker, now)?;
        // Another driver of the pool may have found rows to be unsure: their clients are listened for here too.
        let gaps = brokers::gaps(db, self.place.broker)?;
        self.changed |= gaps != self.gaps;
        self.gaps = gaps;
        Ok(())
    }
}
