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
        if let Some((id, connected_at)) = self.open_row(&client.clientid)? {
            self.run(
                "UPDATE connections SET disconnected_at = ?2, closed_by = 'superseded' WHERE id = ?1",
                params![id, at.max(connected_at)],
            )?;
            self.run(
                "INSERT OR REPLACE INTO handovers (clientid, connection, until) VALUES (?1, ?2, ?3)",
                params![client.clientid, id, at.saturating_add(HANDOVER)],
            )?;
        }
        self.run(
            "INSERT INTO connections (clientid, username, peerhost, sockport, protocol, node, connected_at, broker)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                client.clientid,
                client.username,
                client.peerhost.as_peerhost().to_string(),
                client.sockport,
                client.protocol,
                client.node,
                at,
                self.broker
            ],
        )
    }

    fn disconnected(&self, at: i64, clientid: &str, reason: &str) -> Result<()> {
        if let Some(id) = self.settle_handover(at, clientid)? {
            return self
                .run("UPDATE connections SET reason = ?2, closed_by = 'event' WHERE id = ?1", params![id, reason]);
        }
        // Where no row is open, the driver was away when the client connected. When that was is not
        // known, so there is no row to write.
        self.run(
            "UPDATE connections SET disconnected_at = max(?2, connected_at), reason = ?3, closed_by = 'event'
             WHERE clientid = ?1 AND disconnected_at IS NULL",
            params![clientid, at, reason],
        )
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
        let id: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT connection FROM handovers WHERE clientid = ?1 AND until >= ?2 AND until <= ?3
                 ORDER BY connection LIMIT 1",
            )?
            .query_row(params![clientid, at, at.saturating_add(HANDOVER + SLACK)], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.run("DELETE FROM handovers WHERE clientid = ?1 AND connection = ?2", params![clientid, id])?;
        }
        Ok(id)
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
