//! The table `denials`: equal refusals within a minute are one row, and a minute has room for so many rows.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use rusqlite::{CachedStatement, Connection, Result, params};

use crate::history::budget::{BudgetFull, Rest, RowBudget, SharedBudget};
use crate::history::denials::{DenialKey, OwnedDenial};

const MINUTE: i64 = 60_000;
/// New rows a minute, and the bytes of their names, of which one peer gets a quarter. What one has
/// beyond its share goes into a row of its address, and what all have beyond the rest into one row.
const NEW: RowBudget = RowBudget::of(1_000, 1 << 20);
/// The rows of the last minute, so that most refusals need no search.
#[derive(Debug)]
pub(crate) struct DenialRows {
    /// By digest: the names of a minute may be big.
    known: HashMap<DenialDigest, KnownRow>,
    keys: [RandomState; 2],
    new: SharedBudget,
    /// As it was before what is not committed yet.
    new_before: Option<SharedBudget>,
}

impl Default for DenialRows {
    fn default() -> Self {
        DenialRows {
            known: HashMap::new(),
            keys: [RandomState::new(), RandomState::new()],
            new: SharedBudget::of(NEW),
            new_before: None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct KnownRow {
    id: i64,
    at: i64,
}

/// Stands for a key. It is made with keys of this process, so that no client can look for two names of one
/// digest.
type DenialDigest = [u64; 2];

impl DenialRows {
    fn digest(&self, key: &DenialKey) -> DenialDigest {
        self.keys.each_ref().map(|keys| keys.hash_one(key))
    }

    /// Writes folded refusals in the transaction that is open. Then call [`DenialRows::committed`]; after
    /// a failure, or where the transaction is not committed, [`DenialRows::forget`].
    pub(crate) fn write(&mut self, db: &Connection, denials: &[OwnedDenial]) -> Result<()> {
        self.new_before = Some(self.new.clone());
        let mut add = db.prepare_cached("UPDATE denials SET count = count + ?2 WHERE id = ?1")?;
        for denial in denials {
            if self.new.begin(denial.at) {
                self.known.retain(|_, row| row.is_recent(denial.at));
            }
            let mut of = None;
            if !denial.key.is_rest() {
                if self.add(db, &mut add, &denial.key, denial)? {
                    continue;
                }
                // The index holds the clientid once more.
                match self.new.take(denial.peer, denial.key.texts() + denial.key.clientid.len()) {
                    Ok(()) => {
                        self.insert(db, &denial.key, denial)?;
                        continue;
                    }
                    Err(BudgetFull::Share) => of = denial.peer,
                    Err(BudgetFull::All) => {}
                }
            }
            self.new.leave_out(denial.count);
            let rest = DenialKey::rest(denial.key.mode, of);
            if !self.add(db, &mut add, &rest, denial)? {
                self.insert(db, &rest, denial)?;
            }
        }
        Ok(())
    }

    /// The database may not hold what was written last. What it took is given back.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        if let Some(before) = self.new_before.take() {
            self.new = before;
        }
    }

    /// What was written last is in the database.
    pub(crate) fn committed(&mut self) {
        self.new_before = None;
    }

    /// The refusals since this was last asked that stand in rows without names.
    pub(crate) fn rest(&mut self) -> Option<Rest> {
        self.new.rest()
    }

    /// Counts up the row of the last minute; false where there is none.
    fn add(
        &mut self,
        db: &Connection,
        add: &mut CachedStatement<'_>,
        key: &DenialKey,
        denial: &OwnedDenial,
    ) -> Result<bool> {
        let row = match self.known.get(&self.digest(key)).copied().filter(|row| row.is_recent(denial.at)) {
            Some(row) => row,
            // Another driver of the pool may have written it, or this one before it was started anew.
            None => match find(db, key, denial.at)? {
                Some(row) => {
                    self.known.insert(self.digest(key), row);
                    row
                }
                None => return Ok(false),
            },
        };
        Ok(add.execute(params![row.id, denial.count.cast_signed()])? == 1)
    }

    fn insert(&mut self, db: &Connection, key: &DenialKey, denial: &OwnedDenial) -> Result<()> {
        db.prepare_cached(
            "INSERT INTO denials
             (at, clientid, username, peerhost, action, topic, rule, mode, count, cluster, reason, policy)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
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
            denial.count.cast_signed(),
            key.cluster,
            key.reason,
            &*key.policy
        ])?;
        self.known.insert(self.digest(key), KnownRow { id: db.last_insert_rowid(), at: denial.at });
        Ok(())
    }
}

impl KnownRow {
    fn is_recent(self, now: i64) -> bool {
        now.saturating_sub(self.at).abs() < MINUTE
    }
}

/// The time is compared, and the newest taken, by [`find`]: with an ORDER BY or a time on either side SQLite would
/// prepare it anew each time, for many times what it takes to run.
const LIKE_IT: &str = "SELECT id, at FROM denials
     WHERE clientid = ?1 AND at > ?8 AND username = ?2 AND peerhost = ?3 AND action = ?4 AND topic = ?5 AND rule = ?6
       AND mode = ?7 AND cluster = ?9 AND reason = ?10 AND policy = ?11";

fn find(db: &Connection, key: &DenialKey, now: i64) -> Result<Option<KnownRow>> {
    let mut statement = db.prepare_cached(LIKE_IT)?;
    let mut rows = statement.query(params![
        key.clientid,
        key.username,
        key.peerhost,
        key.action,
        key.topic,
        key.rule,
        key.mode,
        now.saturating_sub(MINUTE),
        key.cluster,
        key.reason,
        &*key.policy
    ])?;
    let mut newest: Option<KnownRow> = None;
    while let Some(row) = rows.next()? {
        let row = KnownRow { id: row.get(0)?, at: row.get(1)? };
        if row.is_recent(now) && newest.is_none_or(|newest| row.at > newest.at) {
            newest = Some(row);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::denials::{Asked, Denial};
    use crate::history::sqlite::store::Store;
    use exhook_policy_core::decision::{DenialReason, Mode};
    use exhook_policy_core::event::{Client, Extra, Peerhost};
    use exhook_policy_core::policy::model::Sync;
    use rusqlite::StatementStatus;

    fn denial(name: &str) -> OwnedDenial {
        let client = Client {
            clientid: name,
            username: name,
            peerhost: Peerhost::parse("10.0.0.1"),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: "n",
            is_superuser: false,
            anonymous: true,
            extra: Extra::NONE,
        };
        let reason = DenialReason::Rule;
        let asked = Asked::Connect;
        OwnedDenial::of(0, &Denial { client, asked, rule: "r", reason, policy: "p".into(), mode: Mode::Enforce })
    }

    /// Clients that make up a new name each time must not have a statement prepared for each.
    #[test]
    fn the_search_for_a_row_is_prepared_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        let mut rows = DenialRows::default();
        for n in 0..10 {
            rows.write(&store.db, &[denial(&format!("c{n}"))]).unwrap();
        }
        let statement = store.db.prepare_cached(LIKE_IT).unwrap();
        assert_eq!(statement.get_status(StatementStatus::Run), 10);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    #[test]
    fn what_is_rolled_back_gives_its_room_back_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("history.db"), Sync::Normal).unwrap();
        let mut rows = DenialRows { new: SharedBudget::of(RowBudget::of(8, 1 << 20)), ..DenialRows::default() };
        let three = ["a", "b", "c"].map(denial);
        for _ in 0..3 {
            rows.write(&store.begin().unwrap(), &three).unwrap();
            rows.forget();
        }
        let transaction = store.begin().unwrap();
        rows.write(&transaction, &three).unwrap();
        transaction.commit().unwrap();
        rows.committed();
        assert_eq!(rows.rest(), Some(Rest { count: 1, is_first: true }));
        // What is committed is spent.
        rows.forget();
        rows.write(&store.db, &[denial("d")]).unwrap();
        assert_eq!(rows.rest(), Some(Rest { count: 1, is_first: false }));
        let sql = "SELECT group_concat(clientid || ' ' || peerhost || ' ' || count, ', ') FROM denials";
        let written: String = store.db.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(written, "a 10.0.0.1 1, b 10.0.0.1 1, ... 10.0.0.1 2");
    }
}
