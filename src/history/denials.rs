//! Refusals, folded: the same one within a minute is one row that counts.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use crate::decision::Mode;
use crate::event::{Action, Client};

const MINUTE: i64 = 60_000;
/// New rows a minute; the rest go into one row.
const MAX_NEW_ROWS: u32 = 1_000;
/// What stands in the columns of that row.
const REST: &str = "...";

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// To log in.
    Connect,
    /// To publish to, or subscribe to, the topic.
    Topic(Action, &'a str),
}

/// A refusal: carried out, or in audit mode only said.
#[derive(Debug, Clone, Copy)]
pub struct Denial<'a> {
    /// Who asked.
    pub client: Client<'a>,
    /// For what.
    pub asked: Asked<'a>,
    /// The id of the rule that decided, or a reserved one.
    pub rule: &'a str,
    /// Whether it was carried out.
    pub mode: Mode,
}

/// A row of `denials` without its time and count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    clientid: Box<str>,
    username: Box<str>,
    peerhost: Box<str>,
    action: &'static str,
    topic: Box<str>,
    rule: Box<str>,
    mode: &'static str,
}

#[derive(Debug, Clone)]
pub(super) struct OwnedDenial {
    at: i64,
    key: Key,
    count: u64,
}

impl OwnedDenial {
    pub(super) fn of(at: i64, denial: &Denial<'_>) -> Self {
        let (action, topic) = match denial.asked {
            Asked::Connect => ("connect", ""),
            Asked::Topic(action, topic) => (action.as_str(), topic),
        };
        OwnedDenial {
            at,
            key: Key {
                clientid: denial.client.clientid.into(),
                username: denial.client.username.into(),
                peerhost: denial.client.peerhost.to_string().into(),
                action,
                topic: topic.into(),
                rule: denial.rule.into(),
                mode: denial.mode.as_str(),
            },
            count: 1,
        }
    }

    /// Refusals of which nothing but their number is known.
    pub(super) fn nameless(at: i64, count: u64) -> Self {
        OwnedDenial { at, key: Key::rest(REST), count }
    }
}

impl Key {
    fn rest(mode: &'static str) -> Self {
        let rest = || Box::from(REST);
        Key { clientid: rest(), username: rest(), peerhost: rest(), action: REST, topic: rest(), rule: rest(), mode }
    }
}

/// Adds equal refusals up, in the order in which they came first.
pub(super) fn fold(denials: Vec<OwnedDenial>) -> Vec<OwnedDenial> {
    let mut places: HashMap<Key, usize> = HashMap::with_capacity(denials.len());
    let mut folded: Vec<OwnedDenial> = Vec::new();
    for denial in denials {
        if let Some(first) = places.get(&denial.key).and_then(|&place| folded.get_mut(place)) {
            first.count += denial.count;
        } else {
            places.insert(denial.key.clone(), folded.len());
            folded.push(denial);
        }
    }
    folded
}

/// The rows of the last minute, so that most refusals need no search.
#[derive(Debug, Default)]
pub(super) struct Rows {
    known: HashMap<Key, Row>,
    /// When the minute began in which `added` came.
    minute: i64,
    added: u32,
    /// `added` as it was before the last call of `write`.
    added_before: u32,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    id: i64,
    at: i64,
}

impl Rows {
    /// Writes folded refusals in the transaction that is open. After a failure, or where the
    /// transaction is not committed, call [`Rows::forget`].
    pub(super) fn write(&mut self, db: &Connection, denials: &[OwnedDenial]) -> Result<()> {
        self.added_before = self.added;
        let mut add = db.prepare_cached("UPDATE denials SET count = count + ?2 WHERE id = ?1")?;
        for denial in denials {
            self.begin_minute(denial.at);
            if self.add(db, &mut add, &denial.key, denial)? {
                continue;
            }
            if self.added < MAX_NEW_ROWS {
                self.added += 1;
                self.insert(db, denial.key.clone(), denial)?;
                continue;
            }
            let rest = Key::rest(denial.key.mode);
            if !self.add(db, &mut add, &rest, denial)? {
                self.insert(db, rest, denial)?;
            }
        }
        Ok(())
    }

    /// The database may not hold what was written last.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.added = self.added.min(self.added_before);
    }

    fn begin_minute(&mut self, at: i64) {
        // A clock that was set back begins another minute too.
        if (self.minute..self.minute.saturating_add(MINUTE)).contains(&at) {
            return;
        }
        self.minute = at;
        self.added = 0;
        self.known.retain(|_, row| row.is_recent(at));
    }

    /// Counts up the row of the last minute; false where there is none.
    fn add(&mut self, db: &Connection, add: &mut CachedStatement<'_>, key: &Key, denial: &OwnedDenial) -> Result<bool> {
        let row = match self.known.get(key).copied().filter(|row| row.is_recent(denial.at)) {
            Some(row) => row,
            // Another driver of the pool may have written it, or this one before it was started anew.
            None => match find(db, key, denial.at)? {
                Some(row) => {
                    self.known.insert(key.clone(), row);
                    row
                }
                None => return Ok(false),
            },
        };
        Ok(add.execute(params![row.id, denial.count.cast_signed()])? == 1)
    }

    fn insert(&mut self, db: &Connection, key: Key, denial: &OwnedDenial) -> Result<()> {
        db.prepare_cached(
            "INSERT INTO denials (at, clientid, username, peerhost, action, topic, rule, mode, count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            denial.at,
            key.clientid,
            key.username,
            key.peerhost,
            key.action,
            key.topic,
            key.rule,
            key.mode,
            denial.count.cast_signed()
        ])?;
        self.known.insert(key, Row { id: db.last_insert_rowid(), at: denial.at });
        Ok(())
    }
}

impl Row {
    fn is_recent(self, now: i64) -> bool {
        now.saturating_sub(self.at).abs() < MINUTE
    }
}

fn find(db: &Connection, key: &Key, now: i64) -> Result<Option<Row>> {
    db.prepare_cached(
        "SELECT id, at FROM denials
         WHERE clientid = ?1 AND at > ?8 - 60000 AND at < ?8 + 60000 AND username = ?2 AND peerhost = ?3
           AND action = ?4 AND topic = ?5 AND rule = ?6 AND mode = ?7
         ORDER BY at DESC LIMIT 1",
    )?
    .query_row(
        params![key.clientid, key.username, key.peerhost, key.action, key.topic, key.rule, key.mode, now],
        |row| Ok(Row { id: row.get(0)?, at: row.get(1)? }),
    )
    .optional()
}
