//! One event, written: what it does to the rows.
//!
//! Clientinfo does not say which of two overlapping connections of a clientid it means, so an end is
//! given to the connection that it most likely is of: while the end of a superseded one is expected,
//! it is that one's, and otherwise the newest one's.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::record::Owned;
use crate::event::owned::{OwnedAttempt, OwnedClient};
use crate::policy::model::Record;

/// For so long after a connection was superseded, its end is expected: milliseconds.
const HANDOVER: i64 = 10_000;
/// By so much the clocks of events may disagree before an expectation counts as another time's.
const SLACK: i64 = 10_000;

/// The code of a CONNACK that lets the client in.
const SUCCESS: &str = "success";

/// What most events are: a row that begins, and one that ends. SQLite must not prepare these anew each time that they
/// are bound, as it does with some statements that look alike.
const BEGIN: &str =
    "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
     ON CONFLICT (clientid) WHERE disconnected_at IS NULL DO NOTHING";
const END: &str = "UPDATE connections SET disconnected_at = max(?2, connected_at), reason = ?3, closed_by = 'event'
     WHERE clientid = ?1 AND disconnected_at IS NULL";
/// An ORDER BY, or a condition on `until`, would have it prepared anew.
const EXPECTED: &str = "SELECT connection, until FROM handovers WHERE clientid = ?1";

/// Writes records into the transaction that is open.
pub(super) struct Apply<'a> {
    pub(super) db: &'a Connection,
    /// `broker_processes.id` of the broker that the events come from.
    pub(super) broker: i64,
    pub(super) record: Record,
}

impl Apply<'_> {
    pub(super) fn apply(&self, at: i64, record: &Owned) -> Result<()> {
        match record {
            Owned::Connect(attempt) => self.connect(at, attempt, None),
            Owned::Connack { attempt, code, assigned } => {
                self.connack(at, attempt, code)?;
                if self.record.connections && &**code == SUCCESS {
                    let clientid = assigned.as_deref().unwrap_or(&attempt.clientid);
                    self.protocol_version(clientid, attempt.proto_ver)?;
                }
                Ok(())
            }
            Owned::Connected(client) => self.connected(at, client),
            Owned::Disconnected { clientid, reason } => self.disconnected(at, clientid, reason),
            Owned::Discarded { clientid } => self.taken_over(at, clientid, "discarded"),
            Owned::TakenOver { clientid } => self.taken_over(at, clientid, "takeovered"),
            Owned::SessionCreated { clientid } | Owned::SessionTerminated { clientid } => {
                self.no_subscriptions(clientid)
            }
            Owned::Subscribed { clientid, topic, qos } => self.subscribed(at, clientid, topic, *qos),
            Owned::Unsubscribed { clientid, topic } => {
                self.run("DELETE FROM subscriptions WHERE clientid = ?1 AND topic = ?2", params![clientid, topic])
            }
            Owned::Message { sent_at, clientid, topic, qos, payload } => self.run(
                "INSERT INTO messages (at, clientid, topic, qos, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![sent_at, clientid, topic, qos, payload],
            ),
            Owned::Heard { clientid } => self.run(
                "DELETE FROM unsure WHERE connection IN
                 (SELECT id FROM connections WHERE clientid = ?1 AND disconnected_at IS NULL)",
                params![clientid],
            ),
        }
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.db.prepare_cached(sql)?.execute(params).map(|_| ())
    }

    fn connected(&self, at: i64, client: &OwnedClient) -> Result<()> {
        if !self.begin(at, client)? {
            self.supersede(at, &client.clientid)?;
            self.begin(at, client)?;
        }
        Ok(())
    }

    /// Adds an open row; false where the clientid has one.
    fn begin(&self, at: i64, client: &OwnedClient) -> Result<bool> {
        let added = self.db.prepare_cached(BEGIN)?.execute(params![
            client.clientid,
            client.username,
            client.peerhost.as_peerhost().to_string(),
            client.sockport,
            client.protocol,
            client.node,
            at,
            self.broker
        ])?;
        Ok(added == 1)
    }

    fn supersede(&self, at: i64, clientid: &str) -> Result<()> {
        let Some((id, connected_at)) = self.open_row(clientid)? else { return Ok(()) };
        self.run(
            "UPDATE connections SET disconnected_at = ?2, closed_by = 'superseded' WHERE id = ?1",
            params![id, at.max(connected_at)],
        )?;
        self.run(
            "INSERT OR REPLACE INTO handovers (clientid, connection, until) VALUES (?1, ?2, ?3)",
            params![clientid, id, at.saturating_add(HANDOVER)],
        )
    }

    fn disconnected(&self, at: i64, clientid: &str, reason: &str) -> Result<()> {
        if let Some(id) = self.settle_handover(at, clientid)? {
            return self
                .run("UPDATE connections SET reason = ?2, closed_by = 'event' WHERE id = ?1", params![id, reason]);
        }
        // Where no row is open, the driver was away when the client connected. When that was is not
        // known, so there is no row to write.
        self.run(END, params![clientid, at, reason])
    }

    fn taken_over(&self, at: i64, clientid: &str, reason: &str) -> Result<()> {
        match self.settle_handover(at, clientid)? {
            Some(id) => self
                .run("UPDATE connections SET reason = ?2, closed_by = 'takeover' WHERE id = ?1", params![id, reason]),
            // The session of a client that was offline.
            None => Ok(()),
        }
    }

    /// The oldest superseded connection of which an end is expected. It is expected no more.
    fn settle_handover(&self, at: i64, clientid: &str) -> Result<Option<i64>> {
        let expected = at..=at.saturating_add(HANDOVER + SLACK);
        let mut statement = self.db.prepare_cached(EXPECTED)?;
        let mut rows = statement.query(params![clientid])?;
        let mut oldest = None;
        while let Some(row) = rows.next()? {
            let (id, until): (i64, i64) = (row.get(0)?, row.get(1)?);
            if expected.contains(&until) && oldest.is_none_or(|oldest| id < oldest) {
                oldest = Some(id);
            }
        }
        drop(rows);
        if let Some(id) = oldest {
            self.run("DELETE FROM handovers WHERE clientid = ?1 AND connection = ?2", params![clientid, id])?;
        }
        Ok(oldest)
    }

    fn open_row(&self, clientid: &str) -> Result<Option<(i64, i64)>> {
        self.db
            .prepare_cached("SELECT id, connected_at FROM connections WHERE clientid = ?1 AND disconnected_at IS NULL")?
            .query_row(params![clientid], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn protocol_version(&self, clientid: &str, version: u8) -> Result<()> {
        self.run(
            "UPDATE connections SET proto_ver = ?2 WHERE clientid = ?1 AND disconnected_at IS NULL",
            params![clientid, version],
        )
    }

    fn connect(&self, at: i64, attempt: &OwnedAttempt, connack: Option<&str>) -> Result<()> {
        self.run(
            "INSERT INTO attempts
             (at, clientid, username, peerhost, sockport, proto_name, proto_ver, keepalive, node, connack)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
                connack
            ],
        )
    }

    /// Attempts that are alike in every field cannot be told apart, so the newest takes the answer.
    fn connack(&self, at: i64, attempt: &OwnedAttempt, code: &str) -> Result<()> {
        let updated = self
            .db
            .prepare_cached(
                "UPDATE attempts SET connack = ?1 WHERE id =
                 (SELECT max(id) FROM attempts WHERE connack IS NULL AND clientid = ?2 AND username = ?3
                  AND peerhost = ?4 AND sockport = ?5 AND proto_ver = ?6 AND keepalive = ?7 AND node = ?8)",
            )?
            .execute(params![
                code,
                attempt.clientid,
                attempt.username,
                attempt.peerhost.as_peerhost().to_string(),
                attempt.sockport,
                attempt.proto_ver,
                attempt.keepalive,
                attempt.node
            ])?;
        // The driver was away when the client asked.
        if updated == 0 { self.connect(at, attempt, Some(code)) } else { Ok(()) }
    }

    fn subscribed(&self, at: i64, clientid: &str, topic: &str, qos: u8) -> Result<()> {
        self.run(
            "INSERT INTO subscriptions (clientid, topic, qos, subscribed_at, broker) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (clientid, topic) DO UPDATE SET qos = excluded.qos, broker = excluded.broker",
            params![clientid, topic, qos, at, self.broker],
        )
    }

    fn no_subscriptions(&self, clientid: &str) -> Result<()> {
        self.run("DELETE FROM subscriptions WHERE clientid = ?1", params![clientid])
    }
}

#[cfg(test)]
mod tests;
