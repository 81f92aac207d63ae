//! The table `bans`: what is written to it, and what others wrote or lifted.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, Result, Row, params};

use super::store::open_to_write;
use crate::clock::{Moment, now_ms};
use crate::history::budget::RowBudget;
use crate::limits::{Ban, LimitKey, Limits, Peer, Why};
use exhook_policy_core::decision::Mode;
use exhook_policy_core::event::short::stored;

/// A ban that begins later than this from now is of a time before the clock was set back. Clocks of several machines differ
/// by less.
const AHEAD: i64 = 60_000;

/// New rows a minute, by the bytes of their names: some 20,000 with names of 20 letters.
const NEW: RowBudget = RowBudget::of(u32::MAX, 4 << 20);

/// What is known of the table.
pub(crate) struct Exchange {
    limits: Arc<Limits>,
    /// Begun, and not written yet.
    pub(crate) pending: Vec<Ban>,
    /// SQLite's number of the file's last change by somebody else, and what stood in the table then.
    seen: Option<(i64, StandingBans)>,
    /// The last time by the clock of the day.
    last: i64,
    /// So many at the beginning of `pending` stood in another database before, which is no new row.
    moved: usize,
    new: RowBudget,
}

/// How many bans there are that may hold, and the sum of their ids. As ids only grow, no two sets that follow one another
/// are alike in both.
type StandingBans = (i64, i64);

/// Of no table.
const OTHER: StandingBans = (-1, -1);

impl Exchange {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Exchange { limits, pending: Vec::new(), seen: None, last: 0, moved: 0, new: NEW }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.limits.is_used()
    }

    /// What was seen may be of another file.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
    }

    /// How many of those that are pending may be written now: not more than this minute has room
    /// for, and all of them where there is no later.
    pub(crate) fn due(&self, now: Moment, is_last: bool) -> usize {
        let mut new = self.new;
        new.begin(now.unix);
        let has_room = |(place, ban): &(usize, &Ban)| is_last || *place < self.moved || new.take(names(ban));
        self.pending.iter().enumerate().take_while(has_room).count()
    }

    /// Writes so many of those that are pending in the transaction that is open. Once that is
    /// committed, call [`Exchange::written`].
    pub(crate) fn write(&self, db: &Connection, due: usize) -> Result<()> {
        let mut insert = db.prepare_cached(
            "INSERT INTO bans (why, mode, clientid, cluster, username, peerhost, since, until)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
             WHERE NOT EXISTS (SELECT 1 FROM bans
                               WHERE lifted IS NULL AND peerhost IS ?6 AND username IS ?5 AND clientid IS ?3
                                 AND until > ?7 AND cluster = ?4 AND why = ?1 AND mode = ?2)",
        )?;
        for ban in self.pending.iter().take(due) {
            let LimitKey { clientid, username, peerhost } = ban.key.as_ref();
            let (clientid, cluster) = clientid.unzip();
            insert.execute(params![
                ban.why.as_str(),
                ban.mode.as_str(),
                clientid,
                cluster.unwrap_or_default(),
                username,
                peerhost.map(|peerhost| peerhost.to_string()),
                ban.since,
                ban.until
            ])?;
        }
        Ok(())
    }

    /// So many that were pending stand in the table: from now on they can be lifted there.
    pub(crate) fn written(&mut self, due: usize, now: Moment) {
        self.new.begin(now.unix);
        let written: Vec<Ban> = self.pending.drain(..due.min(self.pending.len())).collect();
        for ban in written.iter().skip(self.moved) {
            self.new.take(names(ban));
        }
        self.moved = self.moved.saturating_sub(due);
        self.limits.stored(&written, now);
        // What stands there now is not what was seen, and may be again when others have lifted it.
        self.seen = self.seen.map(|(version, _)| (version, OTHER));
    }

    /// What is pending can never be written.
    pub(crate) fn give_up(&mut self) {
        self.pending.clear();
        self.moved = 0;
    }

    /// Takes over what others wrote or lifted since it was last looked.
    pub(crate) fn read(&mut self, db: &Connection, now: Moment) -> Result<Option<usize>> {
        // Others' commits alone change it.
        let version: i64 = db.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        let set_back = now.unix < self.last;
        self.last = now.unix;
        if !set_back && self.seen.is_some_and(|(seen, _)| seen == version) {
            return Ok(None);
        }
        if set_back || self.seen.is_none() {
            // Who stands in the way of that must not keep anyone from being kept out.
            match mend(db, now.unix) {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
                mended => mended?,
            }
        }
        let standing: StandingBans = db
            .prepare_cached("SELECT count(*), coalesce(sum(id), 0) FROM bans WHERE lifted IS NULL AND until > ?1")?
            .query_row([now.unix], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let is_new = set_back || self.seen.is_none_or(|(_, seen)| seen != standing);
        self.seen = Some((version, standing));
        if !is_new {
            return Ok(None);
        }
        Ok(Some(self.limits.take_up(&standing_bans(db, now.unix)?, now)))
    }

    /// From now on bans are kept in another database: those that stand in this one are, too.
    pub(crate) fn moves(&mut self, from: Option<&Connection>, now: Moment) {
        // Where they cannot be read, they hold all the same until this process ends.
        let standing = from.and_then(|db| standing_bans(db, now.unix).ok()).unwrap_or_default();
        self.moved += standing.len();
        self.pending.splice(0..0, standing);
        self.limits.moved(now);
        self.seen = None;
    }
}

/// The bytes of its names, which the index holds once more.
fn names(ban: &Ban) -> usize {
    let LimitKey { clientid, username, peerhost: _ } = ban.key.as_ref();
    let clientid = clientid.map_or(0, |(clientid, cluster)| 2 * clientid.len() + cluster.len());
    clientid + 2 * username.map_or(0, str::len)
}

/// The bans that are not over.
fn standing_bans(db: &Connection, now: i64) -> Result<Vec<Ban>> {
    let mut select = db.prepare_cached(
        "SELECT why, mode, clientid, cluster, username, peerhost, since, until FROM bans
         WHERE lifted IS NULL AND until > ?1",
    )?;
    let mut rows = select.query([now])?;
    let mut standing = Vec::new();
    while let Some(row) = rows.next()? {
        // What somebody wrote there by hand may be none.
        standing.extend(ban_in(row)?);
    }
    Ok(standing)
}

/// A ban that has yet to begin would begin again with each start of a driver: it begins now.
fn mend(db: &Connection, now: i64) -> Result<()> {
    let mut of_the_future =
        db.prepare_cached("SELECT 1 FROM bans WHERE lifted IS NULL AND until > ?1 AND since > ?1 + ?2")?;
    // Without any, nobody's lock is waited for.
    if !of_the_future.exists(params![now, AHEAD])? {
        return Ok(());
    }
    db.prepare_cached(
        "UPDATE bans SET since = ?1, until = ?1 + (until - since) WHERE lifted IS NULL AND until > ?1 AND since > ?1 + ?2",
    )?
    .execute(params![now, AHEAD])?;
    Ok(())
}

fn ban_in(row: &Row<'_>) -> Result<Option<Ban>> {
    let (why, mode): (String, String) = (row.get(0)?, row.get(1)?);
    let clientid: Option<String> = row.get(2)?;
    let cluster: String = row.get(3)?;
    let username: Option<String> = row.get(4)?;
    let peerhost: Option<String> = row.get(5)?;
    let (since, until) = (row.get(6)?, row.get(7)?);
    let mode = [Mode::Enforce, Mode::Audit].into_iter().find(|one| one.as_str() == mode);
    let (Some(why), Some(mode)) = (Why::of_name(&why), mode) else { return Ok(None) };
    let peerhost = match peerhost {
        None => None,
        Some(text) => match Peer::parse(&text) {
            Some(peer) => Some(peer),
            None => return Ok(None),
        },
    };
    if clientid.is_none() && username.is_none() && peerhost.is_none() {
        return Ok(None);
    }
    let own = |name: String| Box::from(stored(&name));
    let key =
        LimitKey { clientid: clientid.map(|name| (own(name), own(cluster))), username: username.map(own), peerhost };
    Ok(Some(Ban { why, mode, key, since, until }))
}

/// On whom a ban is. What is `None` is not asked for.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names are the columns'")]
pub struct Whom<'a> {
    pub clientid: Option<&'a str>,
    pub cluster: Option<&'a str>,
    pub username: Option<&'a str>,
    pub peerhost: Option<Peer>,
}

/// Lifts the bans that hold on these, and returns how many there were. The drivers and servers that use the database see it
/// within seconds.
///
/// # Errors
///
/// Where the file is no history database of this program's version, or cannot be written; the text is for people, and does
/// not name the file.
pub fn lift(path: &Path, whom: Whom<'_>) -> std::result::Result<usize, String> {
    lift_at(path, whom, now_ms())
}

fn lift_at(path: &Path, whom: Whom<'_>, now: i64) -> std::result::Result<usize, String> {
    let db = open_to_write(path)?;
    let Whom { clientid, cluster, username, peerhost } = whom;
    let lifted = db.execute(
        "UPDATE bans SET lifted = ?1
         WHERE lifted IS NULL AND until > ?1 AND (?2 IS NULL OR clientid IN (?2, ?6)) AND (?3 IS NULL OR cluster IN (?3, ?7))
           AND (?4 IS NULL OR username IN (?4, ?8)) AND (?5 IS NULL OR peerhost = ?5)",
        params![
            now,
            clientid,
            cluster,
            username,
            peerhost.map(|peerhost| peerhost.to_string()),
            // Long names stand there cut, and before 0.5.1 stood there whole.
            clientid.map(stored),
            cluster.map(stored),
            username.map(stored)
        ],
    );
    lifted.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::sqlite::store::Store;
    use crate::limits::LimitedLogin;
    use exhook_policy_core::event::{Client, Extra, Peerhost};
    use exhook_policy_core::policy::Policy;
    use exhook_policy_core::policy::lists::Lists;
    use exhook_policy_core::policy::model::Sync;

    const NOON: i64 = 1_700_000_000_000;
    const LENGTH: i64 = 900_000;

    /// Seconds after noon by both clocks, that of the day set by so much.
    fn at(seconds: i64, set: i64) -> Moment {
        Moment { unix: NOON + (seconds + set) * 1000, steady: (seconds * 1000).try_into().unwrap() }
    }

    /// A process with its limits and its connection.
    struct Process {
        exchange: Exchange,
        store: Store,
        policy: Policy,
    }

    impl Process {
        fn new(path: &Path) -> Self {
            let policy = "version: 1\nauth: { lockout: { by: username, failures: 2, within: 60s, ban: 15m } }\n";
            let loaded = exhook_policy_core::policy::parse(policy, "rules.yaml", Path::new("")).unwrap();
            let store = Store::open(path, Sync::Normal).unwrap();
            let exchange = Exchange::new(Arc::default());
            Process { exchange, store, policy: Policy::compile(loaded.model) }
        }

        fn read(&mut self, now: Moment) {
            let no_place = self.exchange.read(&self.store.db, now).unwrap();
            assert!(matches!(no_place, None | Some(0)));
        }

        fn write(&mut self, now: Moment) {
            let due = self.exchange.due(now, false);
            self.exchange.write(&self.store.db, due).unwrap();
            self.exchange.written(due, now);
        }

        fn with<T>(&self, name: &str, what: impl FnOnce(&Limits, LimitedLogin<'_>) -> T) -> T {
            let client = Client {
                clientid: "c",
                username: name,
                peerhost: Peerhost::parse("10.0.0.1"),
                sockport: 1883,
                protocol: "mqtt",
                mountpoint: "",
                node: "n",
                is_superuser: false,
                anonymous: false,
                extra: Extra::NONE,
            };
            let (defs, mode, lists) = (self.policy.limits(), self.policy.mode(), Lists::none());
            what(&self.exchange.limits, LimitedLogin { defs, mode, client: &client, lists: &lists })
        }

        fn bans(&mut self, name: &str, now: Moment) {
            let fails = |limits: &Limits, login: LimitedLogin<'_>| {
                limits.concluded(login, None, true, now);
                limits.concluded(login, None, true, now).begun
            };
            let begun = self.with(name, fails);
            assert_eq!(begun.len(), 1);
            self.exchange.pending.extend(begun);
        }

        fn refuses(&self, name: &str, now: Moment) -> bool {
            self.with(name, |limits, login| limits.asked(login, now).refused.is_some())
        }

        fn rows(&self) -> Vec<String> {
            let sql =
                format!("SELECT concat_ws(' ', username, (since - {NOON}) / 1000, (until - {NOON}) / 1000) FROM bans");
            self.store.db.prepare(&sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        }
    }

    fn two(folder: &Path) -> (Process, Process) {
        let path = folder.join("history.db");
        (Process::new(&path), Process::new(&path))
    }

    #[test]
    fn what_one_bans_another_refuses_until_it_is_lifted_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = two(folder.path());
        one.read(at(0, 0));
        other.read(at(0, 0));
        one.bans("alice", at(1, 0));
        // Both made it: it stands there once.
        other.bans("alice", at(2, 0));
        one.write(at(2, 0));
        other.write(at(2, 0));
        assert_eq!(one.rows(), ["alice 1 901"]);
        one.bans("bob", at(3, 0));
        one.write(at(3, 0));
        assert!(!other.refuses("bob", at(3, 0)));
        other.read(at(4, 0));
        assert!(other.refuses("bob", at(4, 0)));
        let whom = Whom { username: Some("alice"), ..Whom::default() };
        let lift = |whom| lift_at(&folder.path().join("history.db"), whom, at(5, 0).unix);
        assert_eq!((lift(whom), lift(whom)), (Ok(1), Ok(0)));
        one.read(at(6, 0));
        other.read(at(6, 0));
        for process in [&one, &other] {
            assert!(!process.refuses("alice", at(6, 0)) && process.refuses("bob", at(6, 0)));
        }
        // Lifted, and banned again before anyone looked.
        assert_eq!(lift(Whom::default()), Ok(1));
        one.bans("carol", at(7, 0));
        one.write(at(7, 0));
        one.read(at(8, 0));
        other.read(at(8, 0));
        for process in [&one, &other] {
            assert!(!process.refuses("bob", at(8, 0)) && process.refuses("carol", at(8, 0)));
        }
    }

    /// A row is found again by the next process, and by `lift`, though it does not hold the whole
    /// name.
    #[test]
    fn a_ban_on_a_long_name_holds_after_a_start_and_is_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = two(folder.path());
        let names = ["a", "b", "c"].map(|end| "x".repeat(65_534) + end);
        one.bans(&names[0], at(1, 0));
        one.write(at(1, 0));
        let row: (String, i64) = one
            .store
            .db
            .query_row("SELECT substr(username, 512), length(username) FROM bans", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert!(row.0.starts_with("x...(65535 bytes, ") && row.1 < 600, "{row:?}");
        // As it was written before long names were cut.
        one.store
            .db
            .execute(
                "INSERT INTO bans (why, mode, username, since, until) VALUES ('lockout', 'enforce', ?1, ?2, ?3)",
                params![names[1], NOON, NOON + LENGTH],
            )
            .unwrap();
        other.read(at(4, 0));
        let refused = |other: &Process| names.each_ref().map(|name| other.refuses(name, at(4, 0)));
        assert_eq!(refused(&other), [true, true, false]);
        for name in &names[..2] {
            let whom = Whom { username: Some(name), ..Whom::default() };
            assert_eq!(lift_at(&folder.path().join("history.db"), whom, at(5, 0).unix), Ok(1));
        }
        other.read(at(6, 0));
        assert_eq!(refused(&other), [false; 3]);
    }

    #[test]
    fn bans_that_a_minute_has_no_room_for_wait_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, _) = two(folder.path());
        let ban = |n: usize| Ban {
            why: Why::Lockout,
            mode: Mode::Enforce,
            key: LimitKey { clientid: None, username: Some(format!("{n:0500}").into()), peerhost: None },
            since: NOON,
            until: NOON + LENGTH,
        };
        one.exchange.pending = (0..5_000).map(ban).collect();
        let first = one.exchange.due(at(0, 0), false);
        assert!((3_000..4_500).contains(&first), "{first}");
        assert_eq!(one.exchange.due(at(0, 0), true), 5_000, "there is no later");
        one.write(at(0, 0));
        assert_eq!((one.exchange.pending.len(), one.exchange.due(at(59, 0), false)), (5_000 - first, 0));
        one.write(at(60, 0));
        assert_eq!((one.exchange.pending.len(), one.rows().len()), (0, 5_000));
        // What stood in another database is no stranger's.
        one.exchange.pending = (0..4_000).map(ban).collect();
        one.exchange.moved = 4_000;
        assert_eq!(one.exchange.due(at(61, 0), false), 4_000);
    }

    #[test]
    fn one_that_made_a_ban_sees_that_it_is_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, _) = two(folder.path());
        one.read(at(0, 0));
        one.bans("alice", at(1, 0));
        one.write(at(1, 0));
        one.read(at(2, 0));
        assert!(one.refuses("alice", at(2, 0)));
        assert_eq!(lift_at(&folder.path().join("history.db"), Whom::default(), at(3, 0).unix), Ok(1));
        one.read(at(4, 0));
        assert!(!one.refuses("alice", at(4, 0)));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_ban_last_through_every_start() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = two(folder.path());
        one.bans("alice", at(0, 0));
        one.write(at(0, 0));
        // An hour back: it begins now, for those that start now and for those after them.
        other.read(at(10, -3600));
        assert_eq!(one.rows(), ["alice -3590 -2690"]);
        assert!(other.refuses("alice", at(909, -3600)) && !other.refuses("alice", at(910, -3600)));
        let (mut late, _) = two(folder.path());
        late.read(at(911, -3600));
        assert!(!late.refuses("alice", at(911, -3600)));
        // For the one that made it nothing has changed.
        one.read(at(20, -3600));
        assert!(one.refuses("alice", at(899, -3600)) && !one.refuses("alice", at(900, -3600)));
    }

    #[test]
    fn a_clock_that_is_set_back_while_it_looks_is_seen_though_nobody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, _) = two(folder.path());
        one.read(at(0, 0));
        one.bans("alice", at(1, 0));
        one.write(at(1, 0));
        one.read(at(2, 0));
        one.read(at(3, -3600));
        assert_eq!(one.rows(), ["alice -3597 -2697"]);
        // Clocks of several machines differ a little.
        one.read(at(4, -3630));
        assert_eq!(one.rows(), ["alice -3597 -2697"]);
    }

    #[test]
    fn rows_that_are_no_bans_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, other) = two(folder.path());
        let insert = |values: &str| {
            let sql = format!(
                "INSERT INTO bans (why, mode, clientid, username, peerhost, since, until)
                 VALUES ({values}, {NOON}, {NOON} + {LENGTH})"
            );
            other.store.db.execute_batch(&sql).unwrap();
        };
        insert("'lockout', 'enforce', NULL, NULL, NULL");
        insert("'odd', 'enforce', NULL, 'alice', NULL");
        insert("'lockout', 'odd', NULL, 'alice', NULL");
        insert("'lockout', 'enforce', NULL, NULL, '10.0.0.0/8'");
        insert("'lockout', 'enforce', NULL, 'bob', NULL");
        one.read(at(1, 0));
        assert!(!one.refuses("alice", at(1, 0)) && one.refuses("bob", at(1, 0)));
    }
}
