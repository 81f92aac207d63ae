//! One event, written: what it does to the rows.
//!
//! - [`ends`]: which connection an end is of; here are the rules of take-overs.
//! - [`between`]: what is kept from one event to the next.

mod between;
mod ends;

use std::cell::Cell;

use rusqlite::{Connection, Result, params};

pub(crate) use between::BetweenEvents;
use ends::{ConnectionEnd, DISCARDED, TAKEN_OVER};

use crate::history::budget::RowBudget;
use crate::history::record::Owned;
use exhook_policy_core::event::owned::{OwnedAttempt, OwnedClient};
use exhook_policy_core::policy::model::Record;

/// New attempts a minute, by the bytes of their names: as many as 2,000 clients a second make with
/// names of 20 letters.
pub(crate) const ATTEMPTS: RowBudget = RowBudget::of(u32::MAX, 16 << 20);

/// The code of a CONNACK that lets the client in.
const SUCCESS: &str = "success";

/// What most events are: a row that begins, and one that ends. SQLite must not prepare these anew each time that they
/// are bound, as it does with some statements that look alike.
const BEGIN: &str = "INSERT INTO connections
     (clientid, username, peerhost, sockport, protocol, node, connected_at, broker, cluster, peerport, rule)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
     ON CONFLICT (clientid, cluster) WHERE disconnected_at IS NULL DO NOTHING";
const END: &str = "UPDATE connections SET disconnected_at = max(?3, connected_at), reason = ?4, closed_by = ?5
     WHERE clientid = ?1 AND cluster = ?2 AND disconnected_at IS NULL
       AND peerhost = ?6 AND sockport = ?7 AND node = ?8 AND (?9 IS NULL OR peerport = ?9)";

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
    pub(crate) between: &'a BetweenEvents,
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
        let of = (self.cluster, &*client.clientid);
        if self.between.ended_before(at, of, &client.peerhost, client.extra.peerport) {
            self.doubt(self.db.last_insert_rowid(), &client.clientid)?;
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

#[cfg(test)]
mod tests;
