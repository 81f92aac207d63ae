//! Which connection an end is of.
//!
//! An end is of a connection of its clientid that comes from the same address (and port, where the
//! broker tells it) and leads to the same node and listener. Where that is known of one connection
//! alone, it is that one's; an end that tells another place is never of what is open.
//!
//! Two connections of one clientid that overlap may look alike. An end is then given to the older
//! one, while the end of that is expected, and after it to the newest. If it was the newest one's
//! in truth, no other comes; so the newest is unsure until something else is heard of it. A
//! superseded connection that was unsure already may have ended long before that. Its end is
//! expected for a moment only, or a client that reconnects again and again would be one end behind
//! for good.
//!
//! A take-over may be told twice, by the end of the connection and by that of its session, and the
//! session's before the newer connection comes. In `handovers` stand the superseded connections,
//! with what was `told` of each, so that the second does not close the newest; and with its id
//! negated a connection that was open when its session was said to be taken over.

use rusqlite::types::ToSql;
use rusqlite::{OptionalExtension, Result, params};

use super::{Apply, END};
use crate::history::record::{ClientPeer, Whose};

/// For so long after a connection was superseded, its end is expected: milliseconds.
const HANDOVER: i64 = 10_000;
/// The same where it was not known whether it was there still.
const IN_DOUBT: i64 = 1_000;
/// Of a take-over it is told no later than this after the new connection came: the broker calls for
/// both at once. Milliseconds.
const AT_ONCE: i64 = 2_000;
/// What is told so many times nearer to one of two connections than to the other belongs to the
/// coming of that one.
const NEARER: i64 = 4;
/// By so much the clocks of events may disagree before an expectation counts as another time's.
const SLACK: i64 = 10_000;

/// Why a connection ends that another takes over. Brokers before 5.0.10 tell it of the session
/// alone, later ones of the connection too, and they spell the second otherwise. In a row it is
/// always spelt in one way.
pub(super) const DISCARDED: &str = "discarded";
pub(super) const TAKEN_OVER: &str = "takeovered";

/// An ORDER BY, or a condition on `until`, would have it prepared anew.
pub(super) const HANDOVERS: &str = "SELECT connection, until, told FROM handovers WHERE clientid = ?1 AND cluster = ?2";

/// How a connection's end became known.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionEnd<'a> {
    reason: &'a str,
    closed_by: &'static str,
}

impl<'a> ConnectionEnd<'a> {
    pub(super) fn told(reason: &'a str) -> Self {
        match reason {
            DISCARDED => ConnectionEnd::taken_over(DISCARDED),
            TAKEN_OVER | "takenover" => ConnectionEnd::taken_over(TAKEN_OVER),
            reason => ConnectionEnd { reason, closed_by: "event" },
        }
    }

    pub(super) fn taken_over(reason: &'static str) -> Self {
        ConnectionEnd { reason, closed_by: "takeover" }
    }

    fn is_take_over(self) -> bool {
        self.closed_by == "takeover"
    }
}

/// A connection that was superseded a moment ago.
#[derive(Debug, Clone, Copy)]
struct Superseded {
    connection: i64,
    /// When the newer one came.
    since: i64,
    told: ToldOf,
}

/// What was told of a superseded connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToldOf {
    Nothing,
    /// That it ended by itself. Its session may be taken over still.
    Connection,
    /// That its session was taken over, or thrown away. The same may be told of the connection.
    Session,
}

impl ToldOf {
    fn of(told: Option<&str>) -> Self {
        match told {
            None => ToldOf::Nothing,
            Some(DISCARDED | TAKEN_OVER) => ToldOf::Session,
            Some(_) => ToldOf::Connection,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    Open,
    Ended { at: i64 },
}

/// The one row of a clientid that is open.
struct OpenRow {
    id: i64,
    connected_at: i64,
}

impl Apply<'_> {
    /// Closes what is open of the clientid, since a newer connection came.
    pub(super) fn supersede(&self, at: i64, clientid: &str) -> Result<()> {
        let Some(OpenRow { id, connected_at }) = self.open_row(clientid)? else { return Ok(()) };
        let told = self.told_before(at, clientid, id, connected_at)?;
        let closed_by = if told.is_some() { "takeover" } else { "superseded" };
        self.run(
            "UPDATE connections SET disconnected_at = ?2, reason = ?3, closed_by = ?4 WHERE id = ?1",
            params![id, at.max(connected_at), told, closed_by],
        )?;
        let expected = if told.is_none() && self.is_unsure(id)? { IN_DOUBT } else { HANDOVER };
        self.expect(clientid, id, at.saturating_add(expected), told.as_deref())
    }

    /// Notes that an end of this connection may be told until then, or told again.
    fn expect(&self, clientid: &str, connection: i64, until: i64, told: Option<&str>) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO handovers (clientid, cluster, connection, until, told) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![clientid, self.cluster, connection, until, told],
        )
    }

    /// What was said of the take-over of a connection while it was open.
    fn told_before(&self, at: i64, clientid: &str, connection: i64, connected_at: i64) -> Result<Option<String>> {
        let told: Option<(i64, Option<String>)> = self
            .db
            .prepare_cached(
                "SELECT until, told FROM handovers WHERE clientid = ?1 AND cluster = ?2 AND connection = ?3",
            )?
            .query_row(params![clientid, self.cluster, -connection], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((until, told)) = told.filter(|(until, _)| is_of_now(at, *until)) else { return Ok(None) };
        let told_at = until.saturating_sub(HANDOVER);
        let (age, before) = (told_at.saturating_sub(connected_at), at.saturating_sub(told_at));
        // An offline session is thrown away when the new connection comes, and brokers tell that in
        // either order: soon after a connection began, it may have been said of the session that
        // this one found.
        let is_of_this = age > AT_ONCE || before.saturating_mul(NEARER) <= age;
        Ok(told.filter(|_| is_of_this))
    }

    pub(super) fn disconnected(&self, at: i64, whose: &Whose, end: ConnectionEnd<'_>) -> Result<()> {
        let superseded = self.superseded(at, whose)?;
        // Where two have the same port, one was told twice.
        let has_port = whose.peer.as_ref().is_some_and(|peer| peer.port.is_some());
        if let Some(oldest) = oldest(&superseded, |told| told == ToldOf::Nothing) {
            self.settle(at, whose, oldest.connection, end, !end.is_take_over())?;
            // A take-over is told at once, so it is that of the one before.
            let is_certain = end.is_take_over() && !has_port && at.saturating_sub(oldest.since) <= AT_ONCE;
            return if is_certain { Ok(()) } else { self.doubt_newest(whose) };
        }
        // The session's end was told before, or the connection ended by itself before its session
        // was taken over.
        if end.is_take_over()
            && let Some(oldest) = oldest(&superseded, |told| told != ToldOf::Nothing)
        {
            self.forget(whose, oldest.connection)?;
            return if has_port { self.doubt_newest(whose) } else { Ok(()) };
        }
        let ended = self.end(at, whose, end)?;
        // Where no row is open, nobody was here when the client connected. When that was is not
        // known, so there is no row to write.
        if !ended && let Some(ClientPeer { host, port: Some(port), .. }) = &whose.peer {
            self.between.ends_before(at, (self.cluster, &whose.clientid), host, *port);
        }
        Ok(())
    }

    /// Closes what is open and of which this may be said; false where there is none.
    fn end(&self, at: i64, whose: &Whose, end: ConnectionEnd<'_>) -> Result<bool> {
        let Some(peer) = &whose.peer else { return Ok(false) };
        let ended = self.db.prepare_cached(END)?.execute(params![
            whose.clientid,
            self.cluster,
            at,
            end.reason,
            end.closed_by,
            peer.host.as_peerhost().to_string(),
            peer.sockport,
            peer.node,
            peer.port
        ])?;
        Ok(ended > 0)
    }

    pub(super) fn session_ended(&self, at: i64, whose: &Whose, end: ConnectionEnd<'_>) -> Result<()> {
        let superseded = self.superseded(at, whose)?;
        if let Some(oldest) = oldest(&superseded, |told| told == ToldOf::Nothing) {
            return self.settle(at, whose, oldest.connection, end, true);
        }
        // It ended by itself, and then its session was taken over.
        if let Some(oldest) = oldest(&superseded, |told| told == ToldOf::Connection) {
            return self.note_told(at, whose, oldest.connection, end);
        }
        // The newest one is taken over, and the next is about to come; or it is the one that came,
        // and its client was offline.
        match self.open_row(&whose.clientid)? {
            Some(OpenRow { id, .. }) if self.is_open_of(id, whose)? => {
                self.expect(&whose.clientid, -id, at.saturating_add(HANDOVER), Some(end.reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The end of a superseded connection is told. `again`: that it is taken over may still be
    /// told, which then changes nothing.
    fn settle(&self, at: i64, whose: &Whose, connection: i64, end: ConnectionEnd<'_>, again: bool) -> Result<()> {
        self.run(
            "UPDATE connections SET reason = ?2, closed_by = ?3 WHERE id = ?1",
            params![connection, end.reason, end.closed_by],
        )?;
        if !again {
            return self.forget(whose, connection);
        }
        self.note_told(at, whose, connection, end)
    }

    fn note_told(&self, at: i64, whose: &Whose, connection: i64, end: ConnectionEnd<'_>) -> Result<()> {
        self.run(
            "UPDATE handovers SET told = ?4, until = max(until, ?5) WHERE clientid = ?1 AND cluster = ?2 AND connection = ?3",
            params![whose.clientid, self.cluster, connection, end.reason, at.saturating_add(AT_ONCE)],
        )
    }

    /// No end of it is expected any more.
    fn forget(&self, whose: &Whose, connection: i64) -> Result<()> {
        self.run(
            "DELETE FROM handovers WHERE clientid = ?1 AND cluster = ?2 AND connection = ?3",
            params![whose.clientid, self.cluster, connection],
        )
    }

    /// An end that was given to an older connection may have been that of what is open.
    fn doubt_newest(&self, whose: &Whose) -> Result<()> {
        match self.open_row(&whose.clientid)? {
            Some(OpenRow { id, .. }) if self.is_open_of(id, whose)? => self.doubt(id, &whose.clientid),
            Some(_) | None => Ok(()),
        }
    }

    /// Marks an open row as unsure, and has its client listened for.
    pub(super) fn doubt(&self, connection: i64, clientid: &str) -> Result<()> {
        self.run("INSERT OR IGNORE INTO unsure (connection) VALUES (?1)", params![connection])?;
        // Other drivers of a pool see by it that they have to look.
        self.run("UPDATE broker_processes SET gaps = gaps + 1 WHERE id = ?1", params![self.broker])?;
        self.between.listen_for(self.cluster, clientid);
        Ok(())
    }

    /// The connections that were superseded a moment ago and that this may be said of.
    fn superseded(&self, at: i64, whose: &Whose) -> Result<Vec<Superseded>> {
        let mut statement = self.db.prepare_cached(HANDOVERS)?;
        let mut rows = statement.query(params![whose.clientid, self.cluster])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (connection, until) = (row.get(0)?, row.get(1)?);
            let told = ToldOf::of(row.get::<_, Option<String>>(2)?.as_deref());
            if is_of_now(at, until)
                && let Some(ConnectionState::Ended { at: since }) = self.state_of(connection, whose)?
            {
                found.push(Superseded { connection, since, told });
            }
        }
        Ok(found)
    }

    /// How a connection is, if this may be said of it.
    fn state_of(&self, connection: i64, whose: &Whose) -> Result<Option<ConnectionState>> {
        let peer = whose.peer.as_ref();
        let host = peer.map(|peer| peer.host.as_peerhost().to_string());
        let place: [&dyn ToSql; 5] = [
            &connection,
            &host,
            &peer.map(|peer| peer.sockport),
            &peer.map(|peer| &peer.node),
            &peer.and_then(|peer| peer.port),
        ];
        self.db
            .prepare_cached(
                "SELECT disconnected_at FROM connections WHERE id = ?1
                   AND (?2 IS NULL OR (peerhost = ?2 AND sockport = ?3 AND node = ?4 AND (?5 IS NULL OR peerport = ?5)))",
            )?
            .query_row(place, |row| {
                let ended: Option<i64> = row.get(0)?;
                Ok(ended.map_or(ConnectionState::Open, |at| ConnectionState::Ended { at }))
            })
            .optional()
    }

    fn is_open_of(&self, connection: i64, whose: &Whose) -> Result<bool> {
        Ok(self.state_of(connection, whose)? == Some(ConnectionState::Open))
    }

    fn open_row(&self, clientid: &str) -> Result<Option<OpenRow>> {
        self.db
            .prepare_cached(
                "SELECT id, connected_at FROM connections
                 WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL",
            )?
            .query_row(params![clientid, self.cluster], |row| {
                Ok(OpenRow { id: row.get(0)?, connected_at: row.get(1)? })
            })
            .optional()
    }

    fn is_unsure(&self, connection: i64) -> Result<bool> {
        self.db
            .prepare_cached("SELECT count(*) FROM unsure WHERE connection = ?1")?
            .query_row(params![connection], |row| row.get(0))
    }

    /// A sign of life of another connection, or at another broker, says nothing of this one.
    pub(super) fn heard(&self, whose: &Whose) -> Result<()> {
        let Some(OpenRow { id, .. }) = self.open_row(&whose.clientid)? else { return Ok(()) };
        if self.is_open_of(id, whose)? {
            self.run(
                "DELETE FROM unsure WHERE connection IN (SELECT id FROM connections WHERE id = ?1 AND broker = ?2)",
                params![id, self.broker],
            )?;
        }
        if self.is_unsure(id)? {
            // It was a sign of another connection: who listens goes on.
            self.between.listen_for(self.cluster, &whose.clientid);
        }
        Ok(())
    }
}

/// Whether an expectation that lasts until then is one of the present.
pub(super) fn is_of_now(at: i64, until: i64) -> bool {
    (at..=at.saturating_add(HANDOVER + SLACK)).contains(&until)
}

/// The oldest of those of which such a thing was told.
fn oldest(superseded: &[Superseded], is: impl Fn(ToldOf) -> bool) -> Option<Superseded> {
    superseded.iter().filter(|superseded| is(superseded.told)).min_by_key(|superseded| superseded.connection).copied()
}
