//! Who is kept out for a while: clients whose logins fail too often, and clients that log in too often.
//!
//! It is told of logins and says which to refuse. It reads no clock and writes nothing: the [`Moment`] is handed in, and the
//! bans that begin are handed out, for whoever logs and stores them. What counts as too much is the policy's, and comes with
//! each question, so that counts and bans outlive the policy that they began under.
//!
//! - [`key`]: what is the same of clients that are counted together.
//! - `counts`: how often something was seen of each name within the last while.
//! - `bans`: who is kept out, and for how long.
//! - `tries`: logins whose passwords are being checked, and which of them have to wait for which.
//! - `turn`: when each of them gets its answer.
//!
//! Names are kept as digests, so that a client that makes up long ones takes no more memory than another. All time here is
//! by the clock that is never set; the other is what people read, and what restarts and drivers have in common.

mod bans;
mod counts;
pub mod key;
mod tries;
mod turn;

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Moment;
use bans::{BanTable, HeldBan};
use counts::{LimitCounts, Room};
use exhook_policy_core::decision::{Decision, FLAPPING, LOCKOUT, Mode, Verdict};
use exhook_policy_core::event::Client;
use exhook_policy_core::policy::lists::Lists;
use exhook_policy_core::policy::model::{Counted, LimitDef, LimitDefs};
use exhook_policy_core::policy::show_duration;
use exhook_policy_core::policy::who::Holds;
pub use key::{LimitKey, Peer};
pub use tries::Number;
use tries::Tries;

/// Names that are counted at once, by one kind of limit and one entry of `by`; and the times that are kept of them.
const COUNTED: Room = Room { names: 50_000, times: 400_000 };
/// Bans that hold at once, likewise.
const BANS: usize = 100_000;
/// The places of logins that are decided and whose answers wait for other logins. A login takes one, and one more for
/// every KiB. The next one is denied at once.
const WAITING: usize = 65_536;

/// Stands for a name. It is made with keys of this process, so that no client can look for two names of one digest.
type NameDigest = [u64; 2];

/// The limits that a policy may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Too many logins failed.
    Lockout,
    /// Too many logins.
    Flapping,
}

impl Why {
    /// Both.
    pub const ALL: [Why; 2] = [Why::Lockout, Why::Flapping];

    /// The key of the policy, and the id in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Lockout => LOCKOUT,
            Why::Flapping => FLAPPING,
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Why::ALL.into_iter().find(|why| why.as_str() == name)
    }

    /// What is said of a login that it refuses.
    pub fn decision(self) -> Decision<'static> {
        Decision { verdict: Verdict::Deny, rule: self.as_str() }
    }

    fn of(self, defs: &LimitDefs) -> Option<&LimitDef> {
        match self {
            Why::Lockout => defs.lockout.as_ref(),
            Why::Flapping => defs.flapping.as_ref(),
        }
    }
}

/// Somebody is kept out for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// By which limit.
    pub why: Why,
    /// Whether it is carried out. Where it is not, it refuses nobody after the policy has left audit mode.
    pub mode: Mode,
    /// Whom.
    pub key: LimitKey<Box<str>>,
    /// When it began, Unix milliseconds.
    pub since: i64,
    /// When it ends, Unix milliseconds.
    pub until: i64,
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = Duration::from_millis(self.until.saturating_sub(self.since).try_into().unwrap_or(0));
        let word = match self.mode {
            Mode::Enforce => "keeps",
            Mode::Audit => "would keep",
        };
        write!(f, "{} {word}", self.why.as_str())?;
        // The names are short already.
        let LimitKey { clientid, username, peerhost } = self.key.as_ref();
        if let Some((clientid, cluster)) = clientid {
            write!(f, " clientid {clientid:?}")?;
            if !cluster.is_empty() {
                write!(f, " of the cluster {cluster:?}")?;
            }
        }
        if let Some(username) = username {
            write!(f, " username {username:?}")?;
        }
        if let Some(peerhost) = peerhost {
            write!(f, " peerhost {peerhost}")?;
        }
        write!(f, " out for {}", show_duration(length))
    }
}

/// A table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitFull {
    /// So many names were forgotten before their time, since others came.
    Counts(u64),
    /// So many were not kept out, since as many as there is place for are.
    Bans(u64),
}

impl fmt::Display for LimitFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitFull::Counts(count) => {
                write!(f, "too many names to count at once: so far {count} were forgotten before their time")
            }
            LimitFull::Bans(count) => {
                write!(f, "{BANS} are kept out, and no more can be: so far {count} were let go on")
            }
        }
    }
}

/// What comes of a login.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LimitOutcome {
    /// It is refused.
    pub refused: Option<Why>,
    /// Bans that begin with it, and refuse those that come after it.
    pub begun: Vec<Ban>,
    /// Worth a line: said the first time, and then whenever there are ten times as many.
    pub full: Option<(Why, LimitFull)>,
    /// When the login gets its answer.
    pub turn: Turn,
    /// Answers to other logins may be ready, see [`Limits::ready`].
    pub others: bool,
}

/// When a login gets its answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    #[default]
    Now,
    /// When enough of the logins before it are decided. [`Limits::ready`] gives its number then.
    Later,
    /// It would have to wait and cannot: it is denied now.
    Never,
}

/// A login whose answer is ready, and whether it is refused whatever was decided.
pub type Ready = (Number, Option<Why>);

/// A login, for whoever counts it.
#[derive(Debug, Clone, Copy)]
pub struct LimitedLogin<'a> {
    /// What is too much.
    pub defs: &'a LimitDefs,
    /// Whether the policy's decisions are carried out.
    pub mode: Mode,
    /// Who logs in.
    pub client: &'a Client<'a>,
    /// The lists of the policy, for those that are exempt.
    pub lists: &'a Lists,
}

/// The counts, and who is kept out. Shared by all that decide.
pub struct Limits {
    state: Mutex<LimitsState>,
    digests: [RandomState; 2],
    room: Room,
    bans: usize,
    waiting: usize,
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
struct LimitsState {
    /// Clocks are read before the lock is had.
    now: u64,
    tables: [[LimitTable; COMBINATIONS]; 2],
    tries: Tries,
}

/// How many bans are taken over at once, and how many waiting logins are looked at.
const AT_ONCE: usize = 512;

/// All combinations of three fields.
const COMBINATIONS: usize = 8;

/// One kind of limit, and one entry of `by`.
#[derive(Debug, Default)]
struct LimitTable {
    counts: LimitCounts,
    bans: BanTable,
    given_up: u64,
    let_go: u64,
}

/// A client under one limit, by each entry of `by`.
type Subjects<'a> = SmallVec<[(LimitKey<&'a str>, NameDigest); 4]>;

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::with_room(COUNTED, BANS, WAITING)
    }
}

impl Limits {
    fn with_room(room: Room, bans: usize, waiting: usize) -> Self {
        Limits {
            state: Mutex::default(),
            digests: [RandomState::new(), RandomState::new()],
            room,
            bans,
            waiting,
            is_used: AtomicBool::new(false),
        }
    }

    /// Says whether the policy that is in force has limits, so that bans of others are looked for. Whatever was counted
    /// stays, and so does who is kept out: a policy that has the same limit again finds it as it was.
    pub fn take(&self, defs: &LimitDefs) {
        self.is_used.store(!defs.is_empty(), Ordering::Relaxed);
    }

    /// Whether the policy that is in force has limits.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// A login is asked for: whether it is refused. Where it is not, it counts for `flapping`.
    pub fn asked(&self, login: LimitedLogin<'_>, now: Moment) -> LimitOutcome {
        let lockout = self.subjects(login, Why::Lockout);
        let flapping = self.subjects(login, Why::Flapping);
        let mut outcome = LimitOutcome::default();
        if lockout.is_empty() && flapping.is_empty() {
            return outcome;
        }
        let mut state = self.state(now);
        outcome.refused = [(Why::Lockout, &lockout), (Why::Flapping, &flapping)]
            .into_iter()
            .find_map(|(why, subjects)| state.holds(why, subjects).then_some(why));
        if outcome.refused.is_none() {
            self.count(&mut state, login, Why::Flapping, &flapping, now, &mut outcome);
        }
        outcome
    }

    /// A login is decided for which a password source was asked. If a ban began since it was asked
    /// for, it is refused, whatever was decided. If not, and it failed, it counts for `lockout`.
    /// Its answer may have to wait until enough of the logins before it are decided: a hundred
    /// guesses at once are not a hundred tries.
    pub fn concluded(
        &self,
        login: LimitedLogin<'_>,
        number: Option<Number>,
        failed: bool,
        now: Moment,
    ) -> LimitOutcome {
        let lockout = self.subjects(login, Why::Lockout);
        let mut outcome = LimitOutcome::default();
        if lockout.is_empty() && number.is_none() {
            return outcome;
        }
        let mut state = self.state(now);
        outcome.refused = state.holds(Why::Lockout, &lockout).then_some(Why::Lockout);
        if failed && outcome.refused.is_none() {
            self.count(&mut state, login, Why::Lockout, &lockout, now, &mut outcome);
        }
        for ban in &outcome.begun {
            state.tries.banned(ban.key.counted(), self.digest_of(ban));
        }
        if let Some(number) = number {
            let is_kept_out = outcome.refused.is_some() || !outcome.begun.is_empty();
            outcome.turn = if is_kept_out { state.end(number) } else { state.turn(number, self.waiting) };
        }
        outcome.others = state.tries.due().is_some();
        outcome
    }

    /// Takes over all bans that stand in a database and are not over by its clock. Those that stood there and do no longer
    /// are lifted.
    /// Returns how many there is no place for.
    pub fn take_up(&self, stored: &[Ban], now: Moment) -> usize {
        let digests: Vec<(NameDigest, &Ban)> = stored.iter().map(|ban| (self.digest_of(ban), ban)).collect();
        let there: HashSet<NameDigest> = digests.iter().map(|(digest, _)| *digest).collect();
        let mut no_place = 0;
        // Some at a time: logins want the lock.
        for some in digests.chunks(AT_ONCE) {
            let mut state = self.state(now);
            let steady = state.now;
            for (digest, ban) in some {
                let table = state.table(ban.why, ban.key.counted());
                let held =
                    HeldBan { ends: steady.saturating_add(ban.left(now.unix)), until: ban.until, is_stored: true };
                let added = table.bans.add(*digest, held, steady, self.bans);
                no_place += usize::from(!added);
            }
        }
        for kind in 0..2 {
            for combination in 0..COMBINATIONS {
                let mut state = self.state(now);
                let steady = state.now;
                if let Some(table) = state.tables.get_mut(kind).and_then(|tables| tables.get_mut(combination)) {
                    table.bans.keep_stored(steady, now.unix, |digest| there.contains(digest));
                }
            }
        }
        no_place
    }

    /// From now on another database is looked at: what does not stand there was not lifted.
    pub fn moved(&self, now: Moment) {
        let mut state = self.state(now);
        state.tables.iter_mut().flatten().for_each(|table| table.bans.moved());
    }

    /// Takes note that these stand in the database now.
    pub fn stored(&self, bans: &[Ban], now: Moment) {
        let digests: Vec<(NameDigest, &Ban)> = bans.iter().map(|ban| (self.digest_of(ban), ban)).collect();
        let mut state = self.state(now);
        for (digest, ban) in digests {
            state.table(ban.why, ban.key.counted()).bans.stored(&digest);
        }
    }

    /// How many bans hold, of each kind.
    pub fn bans(&self, now: Moment) -> [(Why, usize); 2] {
        let state = self.state(now);
        [Why::Lockout, Why::Flapping].map(|why| {
            let tables = state.tables.get(why as usize).into_iter().flatten();
            (why, tables.map(|table| table.bans.count(state.now)).sum())
        })
    }

    fn state(&self, now: Moment) -> MutexGuard<'_, LimitsState> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.max(now.steady);
        state
    }

    /// Empty where the policy has no such limit, or the client is exempt. Where that cannot be told it is not.
    fn subjects<'a>(&self, login: LimitedLogin<'a>, why: Why) -> Subjects<'a> {
        let Some(def) = why.of(login.defs) else { return Subjects::new() };
        let exempt = def.exempt.as_ref().map_or(Holds::No, |who| who.holds(login.client, login.lists));
        if exempt == Holds::Yes {
            return Subjects::new();
        }
        let keys = def.by.iter().filter_map(|counted| LimitKey::of(*counted, login.client));
        keys.map(|key| (key.clone(), self.digest_of_client(login.mode, &key))).collect()
    }

    fn digest_of(&self, ban: &Ban) -> NameDigest {
        self.digest(ban.mode, &ban.key.as_ref())
    }

    fn digest(&self, mode: Mode, key: &LimitKey<&str>) -> NameDigest {
        self.digests.each_ref().map(|keys| keys.hash_one((mode == Mode::Audit, key)))
    }

    /// The client is known by what stands of it in the database, where long names are cut.
    fn digest_of_client(&self, mode: Mode, key: &LimitKey<&str>) -> NameDigest {
        if key.is_short() { self.digest(mode, key) } else { self.digest(mode, &key.to_owned().as_ref()) }
    }

    fn count(
        &self,
        state: &mut LimitsState,
        login: LimitedLogin<'_>,
        why: Why,
        subjects: &Subjects<'_>,
        now: Moment,
        outcome: &mut LimitOutcome,
    ) {
        let Some(def) = why.of(login.defs) else { return };
        let steady = state.now;
        let ban = millis(def.ban);
        for (key, digest) in subjects {
            let table = state.table(why, key.counted());
            let seen = table.counts.see(*digest, steady, millis(def.within), usize::from(def.most), self.room);
            if seen.given_up > 0 {
                let before = table.given_up;
                table.given_up += seen.given_up;
                if is_worth_a_line(before, table.given_up) {
                    outcome.full = Some((why, LimitFull::Counts(table.given_up)));
                }
            }
            if !seen.too_often {
                continue;
            }
            let until = now.unix.saturating_add_unsigned(ban);
            let held = HeldBan { ends: steady.saturating_add(ban), until, is_stored: false };
            if table.bans.add(*digest, held, steady, self.bans) {
                outcome.begun.push(Ban { why, mode: login.mode, key: key.to_owned(), since: now.unix, until });
            } else {
                table.let_go += 1;
                if is_worth_a_line(table.let_go - 1, table.let_go) {
                    outcome.full = Some((why, LimitFull::Bans(table.let_go)));
                }
            }
        }
    }
}

impl LimitsState {
    #[expect(clippy::indexing_slicing, reason = "the numbers of a kind and of a combination are within the tables")]
    fn table(&mut self, why: Why, counted: Counted) -> &mut LimitTable {
        let combination =
            usize::from(counted.clientid) | usize::from(counted.username) << 1 | usize::from(counted.peerhost) << 2;
        &mut self.tables[why as usize][combination]
    }

    fn holds(&mut self, why: Why, subjects: &Subjects<'_>) -> bool {
        subjects.iter().any(|(key, digest)| self.is_banned(why, key.counted(), digest))
    }

    fn is_banned(&mut self, why: Why, counted: Counted, digest: &NameDigest) -> bool {
        let now = self.now;
        self.table(why, counted).bans.holds(digest, now)
    }
}

impl Ban {
    /// How long it lasts yet, in milliseconds. The clock may have been set since it began: it ends when the clock says so, but
    /// it never lasts longer than it was meant to from now on.
    fn left(&self, unix: i64) -> u64 {
        let length = u64::try_from(self.until.saturating_sub(self.since)).unwrap_or(0);
        u64::try_from(self.until.saturating_sub(unix)).unwrap_or(0).min(length)
    }
}

/// The first time, and then whenever there are ten times as many.
fn is_worth_a_line(before: u64, after: u64) -> bool {
    let magnitude = |count: u64| count.checked_ilog10().map_or(0, |log| log + 1);
    magnitude(before) < magnitude(after)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
