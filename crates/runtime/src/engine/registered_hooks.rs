//! Which hooks each broker registered, beside those that the policy needs now.
//!
//! A broker that calls without a record here is not known: it loaded the provider from another
//! server, or before such records were kept. It may lack the hook that guards the door, so it is
//! never taken for one that has all hooks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::log::Log;
use crate::state::brokers::{BrokerRecord, LONGEST_VERSION, MOST, Presence, cut, shown};
use crate::state::status::HookMismatch;
use exhook_policy_core::broker_id::BrokerId;
use exhook_policy_core::decision::Mode;
use exhook_policy_core::handler::{CallingBroker, RegisteredHooks, Whereabouts};
use exhook_policy_core::hook::HookSet;

/// A broker that is not connected is forgotten so long after it was last seen: milliseconds.
const FORGOTTEN: i64 = 7 * 24 * 3_600_000;
/// The time at which a connected broker was last seen is written down so often: milliseconds.
const SEEN: i64 = 3_600_000;

/// By broker.
#[derive(Debug, Default)]
pub(super) struct HookRegistry {
    state: Mutex<HookRegistryState>,
}

#[derive(Debug, Default)]
struct HookRegistryState {
    known: BTreeMap<BrokerId, RegisteredBroker>,
    /// Whether there was no place for a broker, and whether that was said.
    overflow: Overflow,
    /// What was written down cannot be used, and no broker has called or loaded the provider since.
    is_lost: bool,
    /// Something is not written down yet.
    is_changed: bool,
    /// When all of it was written down, Unix milliseconds.
    written: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Overflow {
    #[default]
    None,
    New,
    Said,
}

#[derive(Debug)]
struct RegisteredBroker {
    record: BrokerRecord,
    /// It called, or loaded the provider, since this process started.
    is_heard: bool,
    /// This process heard of a load or an unload that is not compared with the file yet. Whatever
    /// the file says is older, even where its time is later: clocks can be set back.
    is_new: bool,
    /// What was said of it last.
    said: Option<HookMismatch>,
}

impl RegisteredBroker {
    /// It calls, or could, as far as is known.
    fn is_here(&self) -> bool {
        self.record.presence == Presence::Here
    }

    fn wrong(&self, needed: HookSet, mode: Mode) -> Option<HookMismatch> {
        let BrokerRecord { caller, hooks, seen, .. } = &self.record;
        let names = |hooks: HookSet| hooks.iter().map(|hook| hook.point().to_owned()).collect();
        let (missing, unwanted) = hooks.map_or((HookSet::EMPTY, HookSet::EMPTY), |hooks| {
            let refused = caller.refused_if_ignored;
            // In audit mode the broker must not ask where it takes the answer for a refusal.
            let wanted = match mode {
                Mode::Enforce => needed,
                Mode::Audit => needed.without(refused),
            };
            (wanted.without(hooks), hooks.and(refused).without(wanted))
        });
        let wrong = HookMismatch {
            broker: shown(&caller.broker),
            missing: names(missing),
            unwanted: names(unwanted),
            unknown: hooks.is_none(),
            last_seen: (!self.is_heard).then_some(*seen),
            mend: caller.mend.clone(),
        };
        (wrong.count() > 0).then_some(wrong)
    }
}

impl HookRegistryState {
    /// Whether there is a place for this broker, if need be that of one which is not connected.
    fn has_place(&mut self, broker: &BrokerId) -> bool {
        if self.known.len() >= MOST && !self.known.contains_key(broker) {
            self.known.retain(|_, known| known.is_here() && known.is_heard);
        }
        let has_place = self.known.len() < MOST || self.known.contains_key(broker);
        if !has_place && self.overflow == Overflow::None {
            self.overflow = Overflow::New;
        }
        has_place
    }

    fn put(&mut self, record: BrokerRecord, is_new: bool) {
        self.is_lost = false;
        let broker = record.caller.broker.clone();
        if self.has_place(&broker) {
            self.known.insert(broker, RegisteredBroker { record, is_heard: true, is_new, said: None });
            self.is_changed = true;
        }
    }
}

/// The time of a load or an unload that came after one of the time `before`. The clock may have
/// been set back between them.
fn after(before: i64, now: i64) -> i64 {
    now.max(before.saturating_add(1))
}

impl HookRegistry {
    /// With what was written down before this process started.
    pub(super) fn recalled(records: Vec<BrokerRecord>) -> Self {
        let brokers = HookRegistry::default();
        brokers.merge(records);
        brokers
    }

    /// Where what was written down before this process started cannot be used.
    pub(super) fn lost() -> Self {
        let brokers = HookRegistry::default();
        brokers.state().is_lost = true;
        brokers
    }

    /// A broker loaded the provider.
    pub(super) fn put(&self, registered: RegisteredHooks, now: i64) {
        let caller = bounded(registered.caller);
        let state = &mut *self.state();
        let at = state.known.get(&caller.broker).map_or(now, |known| after(known.record.at, now));
        state
            .put(BrokerRecord { caller, hooks: Some(registered.hooks), presence: Presence::Here, at, seen: now }, true);
    }

    /// A broker calls. Where its load is not on record, or another version loaded the provider, its
    /// hooks are not known.
    pub(super) fn calls(&self, caller: CallingBroker, now: i64) {
        let caller = bounded(caller);
        let state = &mut *self.state();
        let Some(known) = state.known.get_mut(&caller.broker) else {
            let record = BrokerRecord { caller, hooks: None, presence: Presence::Here, at: 0, seen: now };
            return state.put(record, false);
        };
        state.is_lost = false;
        let BrokerRecord { caller: before, hooks, presence, seen, .. } = &mut known.record;
        let is_other = matches!((&before.version, &caller.version), (Some(before), Some(now)) if before != now);
        if is_other || *presence == Presence::Unloaded {
            *hooks = None;
        }
        let version = caller.version.or(before.version.take());
        *before = CallingBroker { version, ..caller };
        (*presence, *seen, known.is_heard) = (Presence::Here, now, true);
        state.is_changed = true;
    }

    /// Takes note of what became of a broker.
    pub(super) fn mark(&self, broker: &BrokerId, whereabouts: Whereabouts, now: i64) {
        let state = &mut *self.state();
        let Some(known) = state.known.get_mut(broker) else { return };
        let record = &mut known.record;
        match whereabouts {
            // One that unloaded the provider lets go of its connections then.
            Whereabouts::Away if record.presence == Presence::Unloaded => return,
            Whereabouts::Away => record.presence = Presence::Away,
            Whereabouts::Unloaded => {
                (record.presence, record.at) = (Presence::Unloaded, after(record.at, now));
                known.is_new = true;
            }
        }
        known.record.seen = now;
        state.is_changed = true;
    }

    fn state(&self) -> MutexGuard<'_, HookRegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what was written down, by this process or another of the same policy, where that
    /// is newer. What this process heard since the last time is newer than all that is written down.
    pub(super) fn merge(&self, records: Vec<BrokerRecord>) {
        let HookRegistryState { known: all, .. } = &mut *self.state();
        for record in records {
            let has_place = all.len() < MOST;
            match all.get_mut(&record.caller.broker) {
                Some(known) if known.is_new => known.record.at = after(record.at, known.record.at),
                // Where the broker is now, this process knows itself.
                Some(known) if record.at > known.record.at => {
                    (known.record.hooks, known.record.at) = (record.hooks, record.at);
                }
                None if has_place => {
                    let known = RegisteredBroker { is_heard: false, is_new: false, said: None, record };
                    all.insert(known.record.caller.broker.clone(), known);
                }
                Some(_) | None => {}
            }
        }
        for known in all.values_mut() {
            known.is_new = false;
        }
    }

    /// Forgets brokers that were not seen for long, and tells whether there is something to write
    /// down. At the end that includes when the connected brokers were last seen, which is written
    /// every hour otherwise.
    pub(super) fn is_changed(&self, now: i64, at_end: bool) -> bool {
        let HookRegistryState { known: all, is_changed, written, .. } = &mut *self.state();
        let before = all.len();
        all.retain(|_, known| {
            (known.is_here() && known.is_heard) || now.saturating_sub(known.record.seen) <= FORGOTTEN
        });
        *is_changed |= all.len() < before;
        let is_due = at_end || now.saturating_sub(*written) >= SEEN;
        *is_changed || (is_due && all.values().any(|known| known.is_here() && known.is_heard))
    }

    /// All that is to be written down. It is taken to be, unless [`unwritten`](Self::unwritten) is
    /// called.
    pub(super) fn to_write(&self, now: i64) -> Vec<BrokerRecord> {
        let HookRegistryState { known: all, is_changed, written, .. } = &mut *self.state();
        (*is_changed, *written) = (false, now);
        let current = |known: &mut RegisteredBroker| {
            if known.is_here() && known.is_heard {
                known.record.seen = now;
            }
            known.record.clone()
        };
        all.values_mut().map(current).collect()
    }

    /// What was to be written down could not be.
    pub(super) fn unwritten(&self) {
        self.state().is_changed = true;
    }

    /// Says which brokers do not call the hooks that the policy in force wants, or may not: once
    /// for each broker and change.
    pub(super) fn compare(&self, needed: HookSet, mode: Mode, log: &Log) -> Vec<HookMismatch> {
        let HookRegistryState { known: all, overflow, is_lost, .. } = &mut *self.state();
        let (mut mistold, mut unsaid) = (Vec::new(), Vec::new());
        for known in all.values_mut().filter(|known| known.is_here()) {
            let wrong = known.wrong(needed, mode);
            if known.said != wrong {
                unsaid.extend(wrong.clone());
                known.said.clone_from(&wrong);
            }
            mistold.extend(wrong);
        }
        // As people look them up.
        for wrong in [&mut mistold, &mut unsaid] {
            wrong.sort_by(|one, other| one.broker.cmp(&other.broker));
        }
        for wrong in &unsaid {
            say(wrong, mode, log);
        }
        if *is_lost {
            // The log says at the start that the record is not used.
            mistold.push(HookMismatch {
                broker: "a broker that loaded the provider before this start of the server".to_owned(),
                unknown: true,
                mend: "disable and enable this server in the broker".to_owned(),
                ..HookMismatch::default()
            });
        }
        if *overflow != Overflow::None {
            let beyond = HookMismatch {
                broker: format!("a broker beyond the {MOST} that this server keeps in mind"),
                unknown: true,
                mend: "let fewer brokers call it, and restart it".to_owned(),
                ..HookMismatch::default()
            };
            if *overflow == Overflow::New {
                *overflow = Overflow::Said;
                say(&beyond, mode, log);
            }
            mistold.push(beyond);
        }
        mistold
    }
}

fn say(wrong: &HookMismatch, mode: Mode, log: &Log) {
    for (word, problem) in wrong.problems(mode == Mode::Audit) {
        log.line(format_args!("{word}: {problem}"));
    }
}

/// Without more bytes than are kept. No broker has such a version.
fn bounded(caller: CallingBroker) -> CallingBroker {
    let version = caller.version.map(|version| cut(&version, LONGEST_VERSION).to_owned());
    CallingBroker { version, ..caller }
}

#[cfg(test)]
mod tests;
