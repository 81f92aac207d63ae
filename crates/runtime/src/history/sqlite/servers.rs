//! Brokers that call a server: which of them this server records, when they started anew, and what was missed.
//!
//! Each broker is recorded by one server of those that use the database. Where a broker calls several, the others keep
//! nothing of it, as long as that one is alive and hears what they hear.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::brokers;
use crate::clock::now_ms;
use crate::history::origins::{BrokerNames, OriginId};
use crate::history::queue::Unsure;
use crate::process::{Process, Recorder};
use exhook_policy_core::event::Shown;

/// `broker_processes.id` of none.
const NO_BROKER: i64 = 0;
/// Times of the same boot differ by less: milliseconds.
const SAME_BOOT: i64 = 5_000;
/// A broker that booted no earlier than so long before it was last heard of did so after it: milliseconds.
const ROUNDING: i64 = 2_000;
/// A server of another container that was not heard of for so long is gone: milliseconds.
const SILENT: i64 = 60_000;
/// A server that for so long records nothing of what this one hears is called no more: milliseconds.
const ABANDONED: i64 = 30_000;
/// So much later than the broker's call a server notes that it heard it: milliseconds.
const LATE: i64 = 5_000;

/// The brokers that call this server.
pub(crate) struct Callers {
    /// `servers.id`
    server: i64,
    registered_at: i64,
    /// By the number of their origin.
    claims: Vec<Claim>,
    /// How often rows of any broker that calls a server became unsure.
    gaps: i64,
    changed: bool,
    lines: Vec<String>,
}

/// Who records a broker.
#[derive(Debug, Clone, Copy, Default)]
enum Claim {
    /// It is not known yet.
    #[default]
    Unknown,
    /// This server does.
    Ours {
        /// `broker_processes.id`
        broker: i64,
        /// When it was last heard of, where that is not written yet.
        heard_at: Option<i64>,
        /// It has a connection to this server.
        held: bool,
        /// What it has open is unsure, and nothing was recorded of it since.
        doubted: bool,
    },
    /// Another server does; since then this one heard what that one did not note.
    Theirs { since: i64 },
}

struct CallerRow {
    id: i64,
    server: Option<i64>,
    last_alive: i64,
    held_at: i64,
}

impl Callers {
    /// Registers this server, in the transaction that is open. `previous` is what an earlier call gave it.
    pub(super) fn open(db: &Connection, me: &Recorder, previous: Option<i64>, now: i64) -> Result<Self> {
        let known = match previous {
            Some(server) => is_registered(db, me, server)?.then_some(server),
            None => None,
        };
        let server = match known {
            Some(server) => server,
            None => register(db, me, None, now)?,
        };
        let mut callers =
            Callers { server, registered_at: now, claims: Vec::new(), gaps: 0, changed: false, lines: Vec::new() };
        callers.check(db, me, now)?;
        callers.gaps = gaps(db)?;
        callers.changed = false;
        Ok(callers)
    }

    pub(super) fn server(&self) -> i64 {
        self.server
    }

    /// The row of the broker; `None` where another server records it.
    pub(super) fn broker(
        &mut self,
        db: &Connection,
        me: &Recorder,
        at: i64,
        origin: OriginId,
        named: &BrokerNames,
    ) -> Result<Option<i64>> {
        if let Some(Claim::Ours { broker, heard_at, held, doubted }) = self.claims.get_mut(origin.index()) {
            *heard_at = Some(at);
            *held = true;
            *doubted = false;
            return Ok(Some(*broker));
        }
        self.claim(db, me, at, origin, named)
    }

    fn claim(
        &mut self,
        db: &Connection,
        me: &Recorder,
        at: i64,
        origin: OriginId,
        named: &BrokerNames,
    ) -> Result<Option<i64>> {
        let Some(CallerRow { id: broker, server, last_alive, .. }) = find(db, named)? else {
            close_nameless(db, named, at)?;
            let broker = insert(db, named, self.server, at)?;
            self.set(origin, Claim::Ours { broker, heard_at: None, held: true, doubted: false });
            return Ok(Some(broker));
        };
        if server == Some(self.server) {
            self.set(origin, Claim::Ours { broker, heard_at: Some(at), held: true, doubted: false });
            return Ok(Some(broker));
        }
        let stood_by = match self.claims.get(origin.index()) {
            Some(Claim::Theirs { since }) => Some(*since),
            Some(Claim::Unknown | Claim::Ours { .. }) | None => None,
        };
        if let Some(other) = server {
            if !self.is_gone(db, me, other, now_ms())? {
                let since = stood_by.filter(|&since| last_alive < since.saturating_sub(LATE)).unwrap_or(at);
                if at.saturating_sub(since) <= ABANDONED {
                    if stood_by.is_none() {
                        self.lines
                            .push(format!("another server records the events of {named}; this one keeps none of them"));
                    }
                    self.set(origin, Claim::Theirs { since });
                    return Ok(None);
                }
            }
            self.doubt(db, broker, at)?;
        }
        if stood_by.is_some() {
            self.lines.push(format!("this server records the events of {named} now"));
            // What was heard of clients meanwhile was not written.
            self.changed = true;
        }
        db.prepare_cached("UPDATE broker_processes SET server = ?2 WHERE id = ?1")?
            .execute(params![broker, self.server])?;
        self.set(origin, Claim::Ours { broker, heard_at: Some(at), held: true, doubted: false });
        Ok(Some(broker))
    }

    fn doubt(&mut self, db: &Connection, broker: i64, before: i64) -> Result<()> {
        if brokers::doubt(db, broker, before)? {
            self.gaps += 1;
            self.changed = true;
        }
        Ok(())
    }

    fn set(&mut self, origin: OriginId, claim: Claim) {
        if self.claims.len() <= origin.index() {
            self.claims.resize(origin.index() + 1, Claim::Unknown);
        }
        if let Some(place) = self.claims.get_mut(origin.index()) {
            *place = claim;
        }
    }

    /// The broker is there, and booted then: either it started anew, or what it told meanwhile was missed.
    pub(super) fn loaded(
        &mut self,
        db: &Connection,
        me: &Recorder,
        at: i64,
        (origin, named): (OriginId, &BrokerNames),
        booted_at: i64,
    ) -> Result<()> {
        let heard_at = match self.claims.get(origin.index()) {
            Some(Claim::Ours { heard_at, .. }) => *heard_at,
            Some(Claim::Unknown | Claim::Theirs { .. }) | None => None,
        };
        let Some(broker) = self.broker(db, me, at, origin, named)? else { return Ok(()) };
        let (known, last_alive, held_at): (Option<i64>, i64, i64) = db
            .prepare_cached("SELECT booted_at, last_alive, held_at FROM broker_processes WHERE id = ?1")?
            .query_row(params![broker], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let last_alive = heard_at.unwrap_or(last_alive);
        let same = known.is_some_and(|known| known.saturating_sub(booted_at).abs() <= SAME_BOOT);
        if !same && booted_at > last_alive.saturating_sub(ROUNDING) {
            // A connection to a machine that lost its power lasts on this side.
            brokers::close_rows(db, broker, last_alive.max(held_at.min(booted_at)))?;
        } else {
            self.doubt(db, broker, at)?;
        }
        db.prepare_cached("UPDATE broker_processes SET booted_at = ?2, last_alive = ?3 WHERE id = ?1")?
            .execute(params![broker, booted_at, at])
            .map(|_| ())
    }

    /// The broker is out of reach: how its connections fare is not heard of. To find them takes a look at all that are
    /// open, so it is done once, however often the broker comes and goes.
    pub(super) fn away(&mut self, db: &Connection, at: i64, origin: OriginId) -> Result<()> {
        let Some(Claim::Ours { broker, held, doubted, .. }) = self.claims.get_mut(origin.index()) else {
            return Ok(());
        };
        let broker = *broker;
        if std::mem::replace(held, false) {
            brokers::held(db, broker, at)?;
        }
        if std::mem::replace(doubted, true) { Ok(()) } else { self.doubt(db, broker, at) }
    }

    pub(super) fn stands_by(&self, origin: OriginId) -> bool {
        matches!(self.claims.get(origin.index()), Some(Claim::Theirs { .. }))
    }

    /// Events of before now were not kept, of whichever broker.
    pub(super) fn missed(&mut self, db: &Connection, now: i64) -> Result<()> {
        for broker in recorded_by(db, self.server)? {
            self.doubt(db, broker, now)?;
        }
        Ok(())
    }

    /// Notes that this server is alive, and when its brokers were last heard of.
    pub(super) fn beat(&mut self, db: &Connection, me: &Recorder, now: i64) -> Result<()> {
        let updated = db
            .prepare_cached("UPDATE servers SET last_alive = ?2 WHERE id = ?1")?
            .execute(params![self.server, now])?;
        if updated == 0 {
            // Another server took this one to be gone.
            register(db, me, Some(self.server), now)?;
        }
        // Another server may have found rows to be unsure, and may have taken some brokers over.
        let gaps = gaps(db)?;
        let changed = gaps != self.gaps;
        self.changed |= changed;
        self.gaps = gaps;
        let ours = recorded_by(db, self.server)?;
        for claim in &mut self.claims {
            let Claim::Ours { broker, heard_at, held, doubted } = claim else { continue };
            // Or what was unsure was settled.
            *doubted &= !changed;
            if !ours.contains(broker) {
                *claim = Claim::Unknown;
                continue;
            }
            if let Some(at) = heard_at.take() {
                brokers::alive(db, *broker, at)?;
            }
            if *held {
                brokers::held(db, *broker, now)?;
            }
        }
        Ok(())
    }

    /// What servers recorded that are gone is unsure. What drivers recorded ended with their broker, which may be one that
    /// calls this server since it was upgraded.
    pub(super) fn check(&mut self, db: &Connection, me: &Recorder, now: i64) -> Result<()> {
        brokers::close_gone(db, me, NO_BROKER, None, now)?;
        for other in others(db, self.server)? {
            if !self.is_gone(db, me, other, now)? {
                continue;
            }
            for broker in recorded_by(db, other)? {
                self.doubt(db, broker, now)?;
            }
            db.prepare_cached("UPDATE broker_processes SET server = NULL WHERE server = ?1")?
                .execute(params![other])?;
            db.prepare_cached("DELETE FROM servers WHERE id = ?1")?.execute(params![other])?;
        }
        Ok(())
    }

    /// Whether another server is there no more.
    fn is_gone(&self, db: &Connection, me: &Recorder, other: i64, now: i64) -> Result<bool> {
        let gone = db
            .prepare_cached("SELECT host, boot_id, pid_ns, pid, started, last_alive, ended FROM servers WHERE id = ?1")?
            .query_row(params![other], |row| {
                let (host, boot_id, pid_ns): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let process = Process { pid: row.get(3)?, started: row.get(4)? };
                let (last_alive, ended): (i64, bool) = (row.get(5)?, row.get(6)?);
                if ended || boot_id != me.boot_id {
                    return Ok(true);
                }
                if pid_ns == me.pid_ns {
                    return Ok(!(me.alive)(process));
                }
                // A container that was started anew has the name of the one before, which is not heard of any more.
                let is_before = other < self.server && last_alive <= self.registered_at.saturating_add(LATE);
                Ok((host == me.host && is_before) || now.saturating_sub(last_alive) > SILENT)
            })
            .optional()?;
        Ok(gone.unwrap_or(true))
    }

    pub(super) fn end(&mut self, db: &Connection, input_ended: i64) -> Result<()> {
        for claim in &mut self.claims {
            let Claim::Ours { broker, heard_at, held, .. } = claim else { continue };
            if let Some(at) = heard_at.take() {
                brokers::alive(db, *broker, at)?;
            }
            if *held {
                brokers::held(db, *broker, input_ended)?;
            }
        }
        db.execute("UPDATE servers SET ended = 1, last_alive = ?2 WHERE id = ?1", params![self.server, input_ended])
            .map(|_| ())
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// The transaction is rolled back: what was claimed in it is looked up again.
    pub(super) fn undone(&mut self) {
        self.lines.clear();
        for claim in &mut self.claims {
            match claim {
                Claim::Ours { .. } => *claim = Claim::Unknown,
                Claim::Unknown | Claim::Theirs { .. } => {}
            }
        }
    }

    /// The clients of all brokers that call a server. What another server records is not written here all the same.
    pub(super) fn unsure(db: &Connection) -> Result<Unsure> {
        brokers::gather(
            db,
            "SELECT connections.cluster, clientid FROM unsure CROSS JOIN connections ON id = connection
             WHERE disconnected_at IS NULL AND broker IN (SELECT id FROM broker_processes WHERE pid IS NULL)",
            [],
        )
    }
}

impl std::fmt::Display for BrokerNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Shown(&self.node).fmt(f)?;
        if self.cluster.is_empty() { Ok(()) } else { write!(f, " of cluster {}", Shown(&self.cluster)) }
    }
}

fn find(db: &Connection, named: &BrokerNames) -> Result<Option<CallerRow>> {
    db.prepare_cached(
        "SELECT id, server, last_alive, held_at FROM broker_processes WHERE cluster = ?1 AND node = ?2 AND pid IS NULL",
    )?
    .query_row(params![named.cluster, named.node], |row| {
        Ok(CallerRow { id: row.get(0)?, server: row.get(1)?, last_alive: row.get(2)?, held_at: row.get(3)? })
    })
    .optional()
}

/// A broker that tells its cluster for the first time was upgraded, and so started anew: before, it told none.
fn close_nameless(db: &Connection, named: &BrokerNames, now: i64) -> Result<()> {
    if named.cluster.is_empty() {
        return Ok(());
    }
    let before = BrokerNames { cluster: "".into(), node: named.node.clone() };
    match find(db, &before)? {
        Some(CallerRow { id, last_alive, held_at, .. }) => {
            brokers::close_rows(db, id, last_alive.max(held_at.min(now)))
        }
        None => Ok(()),
    }
}

fn insert(db: &Connection, named: &BrokerNames, server: i64, at: i64) -> Result<i64> {
    db.prepare_cached("INSERT INTO broker_processes (cluster, node, server, last_alive) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![named.cluster, named.node, server, at])?;
    Ok(db.last_insert_rowid())
}

fn gaps(db: &Connection) -> Result<i64> {
    db.prepare_cached("SELECT coalesce(sum(gaps), 0) FROM broker_processes WHERE pid IS NULL")?
        .query_row([], |row| row.get(0))
}

fn recorded_by(db: &Connection, server: i64) -> Result<Vec<i64>> {
    db.prepare_cached("SELECT id FROM broker_processes WHERE server = ?1")?
        .query_map(params![server], |row| row.get(0))?
        .collect()
}

fn others(db: &Connection, own: i64) -> Result<Vec<i64>> {
    db.prepare_cached("SELECT id FROM servers WHERE id <> ?1")?.query_map(params![own], |row| row.get(0))?.collect()
}

fn register(db: &Connection, me: &Recorder, id: Option<i64>, now: i64) -> Result<i64> {
    db.execute(
        "INSERT INTO servers (id, host, boot_id, pid_ns, pid, started, last_alive, registered_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        params![id, me.host, me.boot_id, me.pid_ns, me.process.pid, me.process.started, now],
    )?;
    Ok(db.last_insert_rowid())
}

fn is_registered(db: &Connection, me: &Recorder, server: i64) -> Result<bool> {
    db.query_row(
        "SELECT count(*) FROM servers WHERE id = ?1 AND pid = ?2 AND started = ?3 AND ended = 0",
        params![server, me.process.pid, me.process.started],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests;
