//! The thread that looks users up in a source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::cache::Key;
use super::super::hash::StoredHash;
use super::super::login::{Failure, Outcome};
use super::super::source::{Found, Source};
use super::super::state::{Asking, Bounds, Check, Lane, Meaning, Outcomes};
use super::{Shared, give_way};
use crate::policy::model::PasswordId;

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
    /// The hash that was seen last, but for long ones: whoever knows one user who has such a hash could otherwise have every
    /// user denied whom the source does not know.
    typical: Option<Arc<StoredHash>>,
    /// Since when the source cannot be read and was logged to be so, and why.
    trouble: Option<(Instant, Arc<str>)>,
}

impl Desk {
    pub(super) fn new(id: PasswordId, source: Box<dyn Source>, bounds: Bounds) -> Self {
        Desk { id, source, bounds, typical: None, trouble: None }
    }

    /// Looks up whoever asks, until the pool stops.
    pub(super) fn serve(&mut self, shared: &Shared) {
        give_way(LOOK_UP);
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
                shared.lock().answer(ticket, Outcome::Failed(Failure::Internal), &mut told);
                shared.tell(told);
            }
            state = shared.lock();
        }
    }

    fn look_up(&mut self, shared: &Shared, asking: Asking) {
        let found = match self.source.look_up(&asking.who.user, asking.ticket.0) {
            Ok(found) => {
                self.readable(shared);
                found
            }
            Err(reason) => {
                let reason: Arc<str> = reason.into();
                // What was interrupted at its deadline has its answer already.
                self.unreadable(shared, &reason);
                let failure = Failure::Source { source: shared.name(self.id), reason };
                let mut told = Outcomes::new();
                shared.lock().answer(asking.ticket, Outcome::Failed(failure), &mut told);
                shared.tell(told);
                return;
            }
        };
        let source = shared.name(self.id);
        match found {
            Found::Nobody => self.nobody(shared, asking),
            Found::Several => self.spend(shared, asking, Failure::Several { source }),
            Found::NoText => self.spend(shared, asking, Failure::NoText { source }),
            Found::Hash(text) => match StoredHash::parse(&text) {
                Err(reason) => self.spend(shared, asking, Failure::Hash { source, reason }),
                Ok(hash) => {
                    let hash = Arc::new(hash);
                    if self.is_short(&hash) {
                        self.typical = Some(Arc::clone(&hash));
                    }
                    let id = self.id.0.to_be_bytes();
                    let parts: [&[u8]; 5] =
                        [b"real", &id, asking.who.user.as_bytes(), text.as_bytes(), &asking.password];
                    let key = shared.keys.key(&parts);
                    let meaning = if asking.password.is_empty() {
                        Meaning::Spent(Outcome::Wrong(self.id))
                    } else {
                        Meaning::Real(self.id)
                    };
                    queue_check(shared, asking, key, (hash, &text), meaning);
                }
            },
        }
    }

    /// The source does not know the user: on to the next source, or to the end.
    fn nobody(&mut self, shared: &Shared, mut asking: Asking) {
        if !shared.lock().waits(&asking.ticket) {
            return;
        }
        let here = self.typical_hash();
        let costliest = asking.costliest.take().into_iter().chain(here).max_by_key(|hash| hash.work());
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
            spend_on(shared, asking, key, costliest, Outcome::Unknown);
        }
    }

    /// The user is denied, but not sooner than others.
    fn spend(&mut self, shared: &Shared, asking: Asking, failure: Failure) {
        let id = self.id.0.to_be_bytes();
        let key = shared.keys.key(&[b"failed", &id, asking.who.user.as_bytes(), &asking.password]);
        spend_on(shared, asking, key, self.typical_hash(), Outcome::Failed(failure));
    }

    /// A hash like those of the source's users that are not long; `None` where even the stand-in for one is.
    fn typical_hash(&mut self) -> Option<Arc<StoredHash>> {
        if self.typical.is_none() {
            let sample = self.source.sample().and_then(|text| StoredHash::parse(text).ok());
            self.typical = sample.filter(|hash| self.is_short(hash)).map(Arc::new);
        }
        let stand_in = || Some(StoredHash::stand_in()).filter(|hash| self.is_short(hash)).map(Arc::new);
        self.typical.clone().or_else(stand_in)
    }

    fn is_short(&self, hash: &StoredHash) -> bool {
        self.bounds.lane(hash) == Lane::Short
    }

    fn unreadable(&mut self, shared: &Shared, reason: &Arc<str>) {
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

    fn readable(&mut self, shared: &Shared) {
        if self.trouble.take().is_some() {
            let name = shared.name(self.id);
            shared.log.line(format_args!("password source `{name}` can be read again"));
        }
    }
}

/// Gives the outcome once the password was verified against the hash, where there is one.
fn spend_on(shared: &Shared, asking: Asking, key: Key, hash: Option<Arc<StoredHash>>, outcome: Outcome) {
    if let Some(hash) = hash {
        queue_check(shared, asking, key, (hash, ""), Meaning::Spent(outcome));
        return;
    }
    let mut told = Outcomes::new();
    shared.lock().answer(asking.ticket, outcome, &mut told);
    shared.tell(told);
}

fn queue_check(shared: &Shared, asking: Asking, key: Key, (hash, stored): (Arc<StoredHash>, &str), meaning: Meaning) {
    let Asking { ticket, who, password, .. } = asking;
    let mut told = Outcomes::new();
    let mut state = shared.lock();
    state.check(Instant::now(), ticket, &who, (Check { key, hash, password, meaning }, stored), &mut told);
    let idle = state.idle > 0;
    drop(state);
    // To wake nobody costs a system call as well.
    if idle {
        shared.checkable.notify_one();
    }
    shared.tell(told);
}
