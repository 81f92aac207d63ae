//! One event, written: what it does to the rows.
//!
//! Which of two overlapping connections of a clientid an end is of is known where the broker tells the client's port:
//! it is the one that comes from there. Where it does not, the end is given to the connection that it most likely is of:
//! while the end of a superseded one is expected, it is that one's, and otherwise the newest one's.
//!
//! A take-over may be told twice, by the end of the connection and by that of its session. A `told` row in `handovers`
//! keeps the second from closing the newest connection.

use std::cell::Cell;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::history::budget::RowBudget;
use crate::history::record::{Owned, Whose};
use exhook_policy_core::event::owned::{OwnedAttempt, OwnedClient};
use exhook_policy_core::policy::model::Record;

/// New attempts a minute, by the bytes of their names: as many as 2,000 clients a second make with
/// names of 20 letters.
pub(crate) const ATTEMPTS: RowBudget = RowBudget::of(u32::MAX, 16 << 20);

/// For so long after a connection was superseded, its end is expected: milliseconds.
const HANDOVER: i64 = 10_000;
/// Of an offline session it is told no later than this after the new connection came that it is taken over: the broker
/// calls for both at once. Milliseconds.
const AT_ONCE: i64 = 2_000;
/// By so much the clocks of events may disagree before an expectation counts as another time's.
const SLACK: i64 = 10_000;

/// The code of a CONNACK that lets the client in.
const SUCCESS: &str = "success";

/// Why a connection ends that another takes over. Brokers before 5.0.10 tell it of the session alone, later ones of the
/// connection too, and they spell the second otherwise. In a row it is always spelt in one way.
const DISCARDED: &str = "discarded";
const TAKEN_OVER: &str = "takeovered";

/// What most events are: a row that begins, and one that ends. SQLite must not prepare these anew each time that they
/// are bound, as it does with some statements that look alike.
const BEGIN: &str = "INSERT INTO connections
     (clientid, username, peerhost, sockport, protocol, node, connected_at, broker, cluster, peerport, rule)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
     ON CONFLICT (clientid, cluster) WHERE disconnected_at IS NULL DO NOTHING";
const END: &str = "UPDATE connections SET disconnected_at = max(?3, connected_at), reason = ?4, closed_by = ?5
     WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL";
const END_OF_PEER: &str = "UPDATE connections SET disconnected_at = max(?3, connected_at), reason = ?4, closed_by = ?5
     WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL AND peerhost = ?6 AND peerport = ?7";
/// An ORDER BY, or a condition on `until`, would have it prepared anew.
const HANDOVERS: &str =
    "SELECT connection, until, told IS NOT NULL FROM handovers WHERE clientid = ?1 AND cluster = ?2";

/// Writes records into the transaction that is open.
pub(crate) struct Apply<'a> {
    pub(crate) db: &'a Connection,
    /// `broker_processes.id` of the broker that the events come from.
    pub(crate) broker: i64,
    /// The name of its cluster; empty where it is not told.
    pub(crate) cluster: &'a str,
    pub(crate) record: Record,
    /// The attempts of this minute.
    pub(crate) attempts: &'a Cell<RowBudget>,
}

/// How a connection's end became known.
#[derive(Debug, Clone, Copy)]
struct ConnectionEnd<'a> {
    reason: &'a str,
    closed_by: &'static str,
}

impl<'a> ConnectionEnd<'a> {
    fn told(reason: &'a str) -> Self {
        match reason {
            DISCARDED => ConnectionEnd::taken_over(DISCARDED),
            TAKEN_OVER | "takenover" => ConnectionEnd::taken_over(TAKEN_OVER),
            reason => ConnectionEnd { reason, closed_by: "event" },
        }
    }

    fn taken_over(reason: &'static str) -> Self {
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
    /// Its end was told.
    told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    Open,
    Ended,
}

impl Apply<'_> {
    pub(crate) fn apply(&self, at: i64, record: &Owned) -> Result<()> {
        match record {
            Owned::Connect(attempt) => self.connect(at, attempt, None),
            Owned::Connack { attempt, code, assigned } => {
                self.connack(at, attempt, code)?;
                if self.record.connections && &**code == SUCCESS {
                    let clientid = assigned.as_deref().unwrap_or(&attempt.clientid);
                    self.protocol_version(clientid, attempt)?;
                }
                Ok(())
            }
            Owned::Connected(client, rule) => self.connected(at, client, rule),
            Owned::Disconnected { whose, reason } => self.disconnected(at, whose, ConnectionEnd::told(reason)),
            Owned::Discarded { whose } => self.session_ended(at, whose, ConnectionEnd::taken_over(DISCARDED)),
            Owned::TakenOver { whose } => self.session_ended(at, whose, ConnectionEnd::taken_over(TAKEN_OVER)),
            Owned::SessionCreated { clientid } | Owned::SessionTerminated { clientid } => {
                self.no_subscriptions(clientid)
            }
            Owned::Subscribed { clientid, topic, qos } => self.subscribed(at, clientid, topic, *qos),
            Owned::Unsubscribed { clientid, topic } => self.run(
                "DELETE FROM subscriptions WHERE clientid = ?1 AND cluster = ?2 AND topic = ?3",
                params![clientid, self.cluster, topic],
            ),
            Owned::Message { sent_at, clientid, topic, qos, payload } => self.run(
                "INSERT INTO messages (at, clientid, topic, qos, payload, cluster) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![sent_at, clientid, topic, qos, payload, self.cluster],
            ),
            Owned::Heard { whose } => self.heard(whose),
        }
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.db.prepare_cached(sql)?.execute(params).map(|_| ())
    }

    fn connected(&self, at: i64, client: &OwnedClient, rule: &str) -> Result<()> {
        if !self.begin(at, client, rule)? {
            self.supersede(at, &client.clientid)?;
            self.begin(at, client, rule)?;
        }
        if self.record.subscriptions {
            // A session that another broker had comes with the client.
            self.run(
                "UPDATE subscriptions SET broker = ?3 WHERE clientid = ?1 AND cluster = ?2 AND broker <> ?3",
                params![client.clientid, self.cluster, self.broker],
            )?;
        }
        Ok(())
    }

    /// Adds an open row; false where the clientid has one.
    fn begin(&self, at: i64, client: &OwnedClient, rule: &str) -> Result<bool> {
        let added = self.db.prepare_cached(BEGIN)?.execute(params![
            client.clientid,
            client.username,
            client.peerhost.as_peerhost().to_string(),
            client.sockport,
            client.protocol,
            client.node,
            at,
            self.broker,
            self.cluster,
            client.extra.peerport,
            rule
        ])?;
        Ok(added == 1)
    }

    fn supersede(&self, at: i64, clientid: &str) -> Result<()> {
        let Some((id, connected_at)) = self.open_row(clientid)? else { return Ok(()) };
        let told = self.told_before(at, clientid, id)?;
        let closed_by = if told.is_some() { "takeover" } else { "superseded" };
        self.run(
            "UPDATE connections SET disconnected_at = ?2, reason = ?3, closed_by = ?4 WHERE id = ?1",
            params![id, at.max(connected_at), told, closed_by],
        )?;
        self.expect(at, clientid, id, told.as_deref())
    }

    /// Notes that an end of this connection may be told, or told again.
    fn expect(&self, at: i64, clientid: &str, connection: i64, told: Option<&str>) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO handovers (clientid, cluster, connection, until, told) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![clientid, self.cluster, connection, at.saturating_add(HANDOVER), told],
        )
    }

    /// What was said of the take-over of a connection that is still open.
    fn told_before(&self, at: i64, clientid: &str, connection: i64) -> Result<Option<String>> {
        let told: Option<(i64, Option<String>)> = self
            .db
            .prepare_cached(
                "SELECT until, told FROM handovers WHERE clientid = ?1 AND cluster = ?2 AND connection = ?3",
            )?
            .query_row(params![clientid, self.cluster, connection], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(told.filter(|(until, _)| is_of_now(at, *until)).and_then(|(_, told)| told))
    }

    fn disconnected(&self, at: i64, whose: &Whose, end: ConnectionEnd<'_>) -> Result<()> {
        let superseded = self.superseded(at, whose)?;
        if let Some(oldest) = oldest(&superseded, false) {
            return self.settle(whose, oldest, end, !end.is_take_over());
        }
        // The session's end was told before, or the connection ended by itself before its session was taken over.
        if end.is_take_over()
            && let Some(oldest) = oldest(&superseded, true)
        {
            return self.forget(whose, oldest);
        }
        // Where no row is open, nobody was here when the client connected. When that was is not known, so there is no
        // row to write.
        let Some(peer) = &whose.peer else {
            return self.run(END, params![whose.clientid, self.cluster, at, end.reason, end.closed_by]);
        };
        let closed = self.db.prepare_cached(END_OF_PEER)?.execute(params![
            whose.clientid,
            self.cluster,
            at,
            end.reason,
            end.closed_by,
            peer.host.as_peerhost().to_string(),
            peer.port
        ])?;
        if closed == 0 && !end.is_take_over() { self.supersede_unsure(at, &whose.clientid) } else { Ok(()) }
    }

    /// The client was connected from elsewhere, and nobody was here when that began: before it the connection ended
    /// whose end may have been missed.
    fn supersede_unsure(&self, at: i64, clientid: &str) -> Result<()> {
        self.run(
            "UPDATE connections SET disconnected_at = max(?3, connected_at), closed_by = 'superseded'
             WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL
               AND id IN (SELECT connection FROM unsure)",
            params![clientid, self.cluster, at],
        )
    }

    fn session_ended(&self, at: i64, whose: &Whose, end: ConnectionEnd<'_>) -> Result<()> {
        let superseded = self.superseded(at, whose)?;
        if let Some(oldest) = oldest(&superseded, false) {
            return self.settle(whose, oldest, end, true);
        }
        // It was told before.
        if !superseded.is_empty() {
            return Ok(());
        }
        // Of a session whose client was offline this is told a moment after the new connection began. Where the newest
        // one is older than that, it is the one that is taken over, and the new one is about to come.
        match self.open_row(&whose.clientid)? {
            Some((id, connected_at))
                if at.saturating_sub(connected_at) > AT_ONCE && self.is_of(id, ConnectionState::Open, whose)? =>
            {
                self.expect(at, &whose.clientid, id, Some(end.reason))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The end of a superseded connection is told. `again`: that it is taken over may still be told, which then changes
    /// nothing.
    fn settle(&self, whose: &Whose, connection: i64, end: ConnectionEnd<'_>, again: bool) -> Result<()> {
        self.run(
            "UPDATE connections SET reason = ?2, closed_by = ?3 WHERE id = ?1",
            params![connection, end.reason, end.closed_by],
        )?;
        if !again {
            return self.forget(whose, connection);
        }
        self.run(
            "UPDATE handovers SET told = ?4 WHERE clientid = ?1 AND cluster = ?2 AND connection = ?3",
            params![whose.clientid, self.cluster, connection, end.reason],
        )
    }

    /// No end of it is expected any more.
    fn forget(&self, whose: &Whose, connection: i64) -> Result<()> {
        self.run(
            "DELETE FROM handovers WHERE clientid = ?1 AND cluster = ?2 AND connection = ?3",
            params![whose.clientid, self.cluster, connection],
        )
    }

    /// The connections that were superseded a moment ago and that this may be said of.
    fn superseded(&self, at: i64, whose: &Whose) -> Result<Vec<Superseded>> {
        let mut statement = self.db.prepare_cached(HANDOVERS)?;
        let mut rows = statement.query(params![whose.clientid, self.cluster])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let superseded = Superseded { connection: row.get(0)?, told: row.get(2)? };
            if is_of_now(at, row.get(1)?) && self.is_of(superseded.connection, ConnectionState::Ended, whose)? {
                found.push(superseded);
            }
        }
        Ok(found)
    }

    /// Whether this may be said of the connection; of any that is in this state where the broker tells no port.
    fn is_of(&self, connection: i64, state: ConnectionState, whose: &Whose) -> Result<bool> {
        let host = whose.peer.as_ref().map(|peer| peer.host.as_peerhost().to_string());
        self.db
            .prepare_cached(
                "SELECT count(*) FROM connections WHERE id = ?1 AND (disconnected_at IS NULL) = ?2
                   AND (?3 IS NULL OR (peerhost = ?3 AND peerport = ?4))",
            )?
            .query_row(
                params![connection, state == ConnectionState::Open, host, whose.peer.as_ref().map(|peer| peer.port)],
                |row| row.get(0),
            )
    }

    fn open_row(&self, clientid: &str) -> Result<Option<(i64, i64)>> {
        self.db
            .prepare_cached(
                "SELECT id, connected_at FROM connections
                 WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL",
            )?
            .query_row(params![clientid, self.cluster], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// A sign of life of another connection, or at another broker, says nothing of this one.
    fn heard(&self, whose: &Whose) -> Result<()> {
        match self.open_row(&whose.clientid)? {
            Some((id, _)) if self.is_of(id, ConnectionState::Open, whose)? => self.run(
                "DELETE FROM unsure WHERE connection IN (SELECT id FROM connections WHERE id = ?1 AND broker = ?2)",
                params![id, self.broker],
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn protocol_version(&self, clientid: &str, attempt: &OwnedAttempt) -> Result<()> {
        let peerhost = attempt.extra.peerport.map(|_| attempt.peerhost.as_peerhost().to_string());
        self.run(
            "UPDATE connections SET proto_ver = ?3 WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL
               AND (?4 IS NULL OR (peerhost = ?4 AND peerport = ?5))",
            params![clientid, self.cluster, attempt.proto_ver, peerhost, attempt.extra.peerport],
        )
    }

    fn connect(&self, at: i64, attempt: &OwnedAttempt, connack: Option<&str>) -> Result<()> {
        if !self.has_room(at, attempt, connack) {
            return Ok(());
        }
        self.run(
            "INSERT INTO attempts
             (at, clientid, username, peerhost, sockport, proto_name, proto_ver, keepalive, node, connack, cluster)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                at,
                attempt.clientid,
                attempt.username,
                attempt.peerhost.as_peerhost().to_string(),
                attempt.sockport,
                attempt.proto_name,
                attempt.proto_ver,
                attempt.keepalive,
                attempt.node,
                connack,
                self.cluster
            ],
        )
    }

    /// Anyone who reaches the broker can try, as often as they like, with names of their own.
    fn has_room(&self, at: i64, attempt: &OwnedAttempt, connack: Option<&str>) -> bool {
        let OwnedAttempt { clientid, username, node, .. } = attempt;
        let mut budget = self.attempts.get();
        budget.begin(at);
        // The index of those that are not answered holds the clientid once more.
        let has_room = budget.take(2 * clientid.len() + username.len() + node.len());
        // The answer is of an attempt that was counted when it came.
        if !has_room && connack.is_none() {
            budget.leave_out(1);
        }
        self.attempts.set(budget);
        has_room
    }

    /// Attempts that are alike in every field cannot be told apart, so the newest takes the answer.
    fn connack(&self, at: i64, attempt: &OwnedAttempt, code: &str) -> Result<()> {
        let updated = self
            .db
            .prepare_cached(
                "UPDATE attempts SET connack = ?1 WHERE id =
                 (SELECT max(id) FROM attempts WHERE connack IS NULL AND clientid = ?2 AND username = ?3
                  AND peerhost = ?4 AND sockport = ?5 AND proto_ver = ?6 AND keepalive = ?7 AND node = ?8 AND cluster = ?9)",
            )?
            .execute(params![
                code,
                attempt.clientid,
                attempt.username,
                attempt.peerhost.as_peerhost().to_string(),
                attempt.sockport,
                attempt.proto_ver,
                attempt.keepalive,
                attempt.node,
                self.cluster
            ])?;
        // The driver was away when the client asked.
        if updated == 0 { self.connect(at, attempt, Some(code)) } else { Ok(()) }
    }

    fn subscribed(&self, at: i64, clientid: &str, topic: &str, qos: u8) -> Result<()> {
        self.run(
            "INSERT INTO subscriptions (clientid, topic, qos, subscribed_at, broker, cluster)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (clientid, cluster, topic) DO UPDATE SET qos = excluded.qos, broker = excluded.broker",
            params![clientid, topic, qos, at, self.broker, self.cluster],
        )
    }

    fn no_subscriptions(&self, clientid: &str) -> Result<()> {
        self.run("DELETE FROM subscriptions WHERE clientid = ?1 AND cluster = ?2", params![clientid, self.cluster])
    }
}

/// Whether an expectation that lasts until then is one of the present.
fn is_of_now(at: i64, until: i64) -> bool {
    (at..=at.saturating_add(HANDOVER + SLACK)).contains(&until)
}

/// The oldest of those whose end was told, or was not.
fn oldest(superseded: &[Superseded], told: bool) -> Option<i64> {
    superseded.iter().filter(|superseded| superseded.told == told).map(|superseded| superseded.connection).min()
}

#[cfg(test)]
mod tests;
