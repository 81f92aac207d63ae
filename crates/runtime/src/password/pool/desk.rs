//! The thread that looks users up in a source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::cache::CheckKey;
use super::super::hash::StoredHash;
use super::super::login::{Failure, PasswordOutcome};
use super::super::source::{Source, SourceAnswer};
use super::super::state::{AskingLogin, Bounds, Check, Lane, Meaning, Outcomes};
use super::{PoolShared, give_way};
use exhook_policy_core::policy::model::PasswordId;

/// How often a source that stays unreadable is logged.
const REPEAT: Duration = Duration::from_secs(60);
/// How much nicer than the rest of the program who looks users up is: on a core that another thread wants all the time
/// it still gets a quarter.
pub(super) const LOOK_UP: i32 = 5;

/// Looks users up in one source.
pub(super) struct Desk {
    id: PasswordId,
    source: Box<dyn Source>,
    bounds: Bounds,
    /// Stands in for the hashes of a source of which none is known. `None` if its check is long.
    stand_in: Option<Arc<StoredHash>>,
    /// Since when the source cannot be read and was logged to be so, and why.
    trouble: Option<(Instant, Arc<str>)>,
}

impl Desk {
    pub(super) fn new(id: PasswordId, source: Box<dyn Source>, bounds: Bounds) -> Self {
        let stand_in = Some(StoredHash::stand_in()).filter(|hash| bounds.lane(hash) == Lane::Short);
        Desk { id, source, bounds, stand_in: stand_in.map(Arc::new), trouble: None }
    }

    /// Looks up whoever asks, until the pool stops.
    pub(super) fn serve(&mut self, shared: &PoolShared) {
        give_way(LOOK_UP);
        let prepared = catch_unwind(AssertUnwindSafe(|| self.source.prepare()));
        if prepared.is_ok() {
            self.log_bad_entries(shared);
        }
        let mut state = shared.lock();
        while !state.stopping {
            let Some(asking) = state.next_asking(Instant::now(), self.id) else {
                state = match shared.asked.get(self.id.0) {
                    Some(asked) => asked.wait(state).unwrap_or_else(PoisonError::into_inner),
                    None => return,
                };
                continue;
            };
            drop(state);
            let ticket = asking.ticket;
            let served = catch_unwind(AssertUnwindSafe(|| self.look_up(shared, asking)));
            if served.is_err() {
                let mut told = Outcomes::new();
                shared.lock().answer(ticket, PasswordOutcome::Failed(Failure::Internal), &mut told);
                shared.tell(told);
            }
            state = shared.lock();
        }
    }

    fn look_up(&mut self, shared: &PoolShared, asking: AskingLogin) {
        let found = match self.source.look_up(&asking.who.user, asking.ticket.0) {
            Ok(found) => found,
            Err(reason) => {
                let reason: Arc<str> = reason.into();
                // What was interrupted at its deadline has its answer already.
                self.unreadable(shared, &reason);
                let failure = Failure::Source { source: shared.name(self.id), reason };
                let mut told = Outcomes::new();
                shared.lock().answer(asking.ticket, PasswordOutcome::Failed(failure), &mut told);
                shared.tell(told);
                return;
            }
        };
        let source = shared.name(self.id);
        if !matches!(found, SourceAnswer::Unsure(_)) {
            self.readable(shared);
            self.log_bad_entries(shared);
        }
        match found {
            SourceAnswer::Nobody => self.nobody(shared, asking),
            SourceAnswer::Unsure(reason) => {
                let reason: Arc<str> = reason.into();
                self.unreadable(shared, &reason);
                self.spend(shared, asking, Failure::Source { source, reason });
            }
            // A client that gives no username has an empty one, and no entry is meant for it.
            SourceAnswer::Several | SourceAnswer::NoText | SourceAnswer::Hash(_) if asking.who.user.is_empty() => {
                self.spend(shared, asking, Failure::NoUser { source });
            }
            SourceAnswer::Several => self.spend(shared, asking, Failure::Several { source }),
            SourceAnswer::NoText => self.spend(shared, asking, Failure::NoText { source }),
            SourceAnswer::Hash(text) => match StoredHash::parse(&text) {
                Err(reason) => self.spend(shared, asking, Failure::Hash { source, reason }),
                Ok(hash) => self.check(shared, asking, &text, Arc::new(hash)),
            },
        }
    }

    /// The source has a hash of the user.
    fn check(&mut self, shared: &PoolShared, asking: AskingLogin, text: &str, hash: Arc<StoredHash>) {
        let is_short = self.bounds.lane(&hash) == Lane::Short;
        if self.bounds.may_pad(&hash) {
            self.source.note(&hash);
        }
        let pad = self.costliest(&asking).filter(|pad| is_short && is_much_shorter(&hash, pad));
        let id = self.id.0.to_be_bytes();
        let parts: [&[u8]; 5] = [b"real", &id, asking.who.user.as_bytes(), text.as_bytes(), &asking.password];
        let key = shared.keys.key(&parts);
        let meaning = if asking.password.is_empty() {
            Meaning::Spent(PasswordOutcome::Wrong(self.id))
        } else {
            Meaning::Real(self.id)
        };
        queue_check(shared, asking, key, (hash, text), pad, meaning);
    }

    /// The source does not know the user: on to the next source, or to the end.
    fn nobody(&mut self, shared: &PoolShared, mut asking: AskingLogin) {
        if !shared.lock().waits(&asking.ticket) {
            return;
        }
        let costliest = self.costliest(&asking);
        if let Some(next) = asking.caller.unknown() {
            asking.costliest = costliest;
            let mut told = Outcomes::new();
            let there_is_one = shared.lock().ask(Instant::now(), next, asking, &mut told);
            if there_is_one {
                shared.wake([next]);
            }
            shared.tell(told);
        } else {
            let key = shared.keys.key(&[b"unknown", asking.who.user.as_bytes(), &asking.password]);
            spend_on(shared, asking, key, costliest, PasswordOutcome::Unknown);
        }
    }

    /// The user is denied, but not sooner than others.
    fn spend(&mut self, shared: &PoolShared, asking: AskingLogin, failure: Failure) {
        let id = self.id.0.to_be_bytes();
        let key = shared.keys.key(&[b"failed", &id, asking.who.user.as_bytes(), &asking.password]);
        let costliest = self.costliest(&asking);
        spend_on(shared, asking, key, costliest, PasswordOutcome::Failed(failure));
    }

    /// The hash that takes longest of this source and of the sources that the login asked before.
    ///
    /// Without a known hash of this source it is a stand-in. Hashes that take more than a quarter of
    /// the deadline do not count: otherwise a few guesses a second at any user would keep the workers
    /// busy, and right logins would be denied. `None` if even the stand-in is long.
    fn costliest(&self, asking: &AskingLogin) -> Option<Arc<StoredHash>> {
        let known = self.source.costliest().filter(|hash| self.bounds.may_pad(hash));
        let here = known.or_else(|| self.stand_in.clone());
        asking.costliest.clone().into_iter().chain(here).max_by_key(|hash| hash.time())
    }

    /// Logs the entries that let no one in, when the source was read and has others than before.
    fn log_bad_entries(&mut self, shared: &PoolShared) {
        if let Some(bad) = self.source.bad_entries() {
            let name = shared.name(self.id);
            shared.log.line(format_args!(
                "password source `{name}` has entries that let no one in, and their users are denied \
                 (`exhook-policy check` says what to do): {bad}"
            ));
        }
    }

    fn unreadable(&mut self, shared: &PoolShared, reason: &Arc<str>) {
        let now = Instant::now();
        let told = self.trouble.as_ref().is_some_and(|(at, known)| known == reason && now - *at < REPEAT);
        if !told {
            let name = shared.name(self.id);
            shared.log.line(format_args!(
                "password source `{name}` cannot be read, so that logins that need it are denied: {reason}"
            ));
            self.trouble = Some((now, Arc::clone(reason)));
        }
    }

    fn readable(&mut self, shared: &PoolShared) {
        if self.trouble.take().is_some() {
            let name = shared.name(self.id);
            shared.log.line(format_args!("password source `{name}` can be read again"));
        }
    }
}

/// Gives the outcome once the password was verified against the hash, where there is one.
fn spend_on(
    shared: &PoolShared,
    asking: AskingLogin,
    key: CheckKey,
    hash: Option<Arc<StoredHash>>,
    outcome: PasswordOutcome,
) {
    if let Some(hash) = hash {
        queue_check(shared, asking, key, (hash, ""), None, Meaning::Spent(outcome));
        return;
    }
    let mut told = Outcomes::new();
    shared.lock().answer(asking.ticket, outcome, &mut told);
    shared.tell(told);
}

/// Whether a check takes so much less time than another that a client can see it. Both together
/// then take nearer to the other's time than this one alone.
fn is_much_shorter(hash: &StoredHash, other: &StoredHash) -> bool {
    hash.time() * 8 < other.time() * 5
}

fn queue_check(
    shared: &PoolShared,
    asking: AskingLogin,
    key: CheckKey,
    (hash, stored): (Arc<StoredHash>, &str),
    pad: Option<Arc<StoredHash>>,
    meaning: Meaning,
) {
    let AskingLogin { ticket, who, password, .. } = asking;
    let mut told = Outcomes::new();
    let mut state = shared.lock();
    let check = Check { key, hash, pad, password, meaning };
    state.check(Instant::now(), ticket, &who, (check, stored), &mut told);
    let idle = state.idle > 0;
    drop(state);
    // To wake nobody costs a system call as well.
    if idle {
        shared.checkable.notify_one();
    }
    shared.tell(told);
}
