//! Which hooks each broker was told to call, beside those that the policy needs now.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::decision::Mode;
use crate::handler::{Told, Whereabouts};
use crate::hook::{Hook, HookSet};
use crate::log::Log;
use crate::state::status::Mistold;

/// Brokers that are kept in mind. There are a few of them; what would be more is no broker.
const MOST: usize = 1024;

/// By broker.
#[derive(Debug, Default)]
pub(super) struct Brokers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: BTreeMap<String, Known>,
    overflow: Overflow,
}

/// Whether there was no place for a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Overflow {
    #[default]
    None,
    New,
    Said,
}

#[derive(Debug)]
struct Known {
    told: Told,
    /// It calls nothing now.
    is_away: bool,
    /// What was said of it last.
    said: Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Wrong {
    missing: HookSet,
    unwanted: HookSet,
}

impl Wrong {
    fn of(told: &Told, needed: HookSet, mode: Mode) -> Self {
        let barred = match mode {
            Mode::Enforce => HookSet::EMPTY,
            Mode::Audit => told.not_in_audit,
        };
        Wrong { missing: needed.without(barred).without(told.hooks), unwanted: told.hooks.and(barred) }
    }
}

impl Brokers {
    /// Takes note of what a broker was told.
    pub(super) fn put(&self, told: Told) {
        let State { told: all, overflow } = &mut *self.state();
        if all.len() >= MOST && !all.contains_key(&told.broker) {
            all.retain(|_, known| !known.is_away);
        }
        if all.len() >= MOST && !all.contains_key(&told.broker) {
            if *overflow == Overflow::None {
                *overflow = Overflow::New;
            }
            return;
        }
        all.insert(told.broker.clone(), Known { told, is_away: false, said: Wrong::default() });
    }

    /// Takes note of what became of a broker that was told.
    pub(super) fn mark(&self, broker: &str, whereabouts: Whereabouts) {
        let all = &mut self.state().told;
        let is_away = match whereabouts {
            Whereabouts::Back => false,
            Whereabouts::Away => true,
            Whereabouts::Unloaded => {
                all.remove(broker);
                return;
            }
        };
        if let Some(known) = all.get_mut(broker) {
            known.is_away = is_away;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which brokers call other hooks than a policy wants that has come into force, once each.
    pub(super) fn compare(&self, needed: HookSet, mode: Mode, log: &Log) -> Vec<Mistold> {
        let State { told: all, overflow } = &mut *self.state();
        if *overflow == Overflow::New {
            *overflow = Overflow::Said;
            log.line(format_args!(
                "more than {MOST} brokers have asked for their hooks: whether a new policy needs others is not said of those beyond"
            ));
        }
        let mut mistold = Vec::new();
        for Known { told, said, .. } in all.values_mut().filter(|known| !known.is_away) {
            let wrong = Wrong::of(told, needed, mode);
            if wrong == Wrong::default() {
                *said = wrong;
                continue;
            }
            if *said != wrong {
                *said = wrong;
                say(told, wrong, log);
            }
            let names = |hooks: HookSet| hooks.iter().map(|hook| hook.point().to_owned()).collect();
            mistold.push(Mistold {
                broker: told.broker.clone(),
                missing: names(wrong.missing),
                unwanted: names(wrong.unwanted),
                mend: told.mend.clone(),
            });
        }
        mistold
    }
}

fn say(told: &Told, wrong: Wrong, log: &Log) {
    let names = |hooks: HookSet| hooks.iter().map(Hook::point).collect::<Vec<_>>().join(", ");
    let Told { broker, mend, .. } = told;
    if !wrong.missing.is_empty() {
        log.line(format_args!(
            "NOT IN FORCE: {broker} was not told of {}, which the policy needs now, and does not call it until: {mend}",
            names(wrong.missing)
        ));
    }
    if !wrong.unwanted.is_empty() {
        log.line(format_args!(
            "REFUSED: {broker} calls {}, and takes the answers of a policy in audit mode for refusals, until: {mend}",
            names(wrong.unwanted)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(hooks: &[Hook]) -> HookSet {
        hooks.iter().copied().collect()
    }

    #[track_caller]
    fn check(told: &[Hook], needed: &[Hook], mode: Mode, missing: &[Hook], unwanted: &[Hook]) {
        let not_in_audit = set(&[Hook::ClientAuthenticate]);
        let told = Told { broker: "b".to_owned(), hooks: set(told), not_in_audit, mend: "m".to_owned() };
        let wrong = Wrong { missing: set(missing), unwanted: set(unwanted) };
        assert_eq!(Wrong::of(&told, set(needed), mode), wrong);
    }

    #[test]
    fn what_a_broker_was_told_is_compared_with_what_is_needed() {
        use Hook::{ClientAuthenticate as Login, ClientCheckAcl as Topic};
        check(&[Login], &[Login], Mode::Enforce, &[], &[]);
        check(&[Login, Topic], &[Login], Mode::Enforce, &[], &[]);
        check(&[Login], &[Login, Topic], Mode::Enforce, &[Topic], &[]);
        // Told while the policy was in audit mode.
        check(&[Topic], &[Login, Topic], Mode::Audit, &[], &[]);
        check(&[Topic], &[Login, Topic], Mode::Enforce, &[Login], &[]);
        // And the other way.
        check(&[Login, Topic], &[Login, Topic], Mode::Audit, &[], &[Login]);
    }

    #[test]
    fn each_broker_is_spoken_of_once() {
        let brokers = Brokers::default();
        let put = |broker: &str, hooks: &[Hook]| {
            let mend = "mend it".to_owned();
            brokers.put(Told { broker: broker.to_owned(), hooks: set(hooks), not_in_audit: HookSet::EMPTY, mend });
        };
        put("one", &[Hook::ClientAuthenticate]);
        put("two", &[Hook::ClientAuthenticate, Hook::ClientConnected]);
        let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = Log::to(Lines(std::sync::Arc::clone(&lines)));
        let needed = set(&[Hook::ClientAuthenticate, Hook::ClientConnected]);
        for _ in 0..2 {
            let mistold = brokers.compare(needed, Mode::Enforce, &log);
            assert_eq!(mistold.len(), 1);
            assert_eq!((&*mistold[0].broker, &*mistold[0].missing[0]), ("one", "client.connected"));
        }
        put("one", &[Hook::ClientAuthenticate, Hook::ClientConnected]);
        assert!(brokers.compare(needed, Mode::Enforce, &log).is_empty());
        log.flush(std::time::Duration::from_secs(30));
        let said = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        assert_eq!(
            said,
            "exhook-policy: NOT IN FORCE: one was not told of client.connected, which the policy needs now, and does not call \
             it until: mend it\n"
        );
    }

    #[test]
    fn a_broker_that_calls_nothing_is_not_spoken_of() {
        let brokers = Brokers::default();
        let put = || {
            let (hooks, not_in_audit) = (HookSet::EMPTY, HookSet::EMPTY);
            brokers.put(Told { broker: "one".to_owned(), hooks, not_in_audit, mend: "mend it".to_owned() });
        };
        let log = Log::stderr();
        let mistold = || brokers.compare(set(&[Hook::ClientConnected]), Mode::Enforce, &log).len();
        put();
        assert_eq!(mistold(), 1);
        brokers.mark("one", Whereabouts::Away);
        brokers.mark("two", Whereabouts::Back);
        assert_eq!(mistold(), 0);
        // It asks what it asked before.
        brokers.mark("one", Whereabouts::Back);
        assert_eq!(mistold(), 1);
        brokers.mark("one", Whereabouts::Unloaded);
        brokers.mark("one", Whereabouts::Back);
        assert_eq!(mistold(), 0);
        put();
        assert_eq!(mistold(), 1);
    }

    #[test]
    fn a_full_table_is_said_once_and_has_no_place_for_those_that_are_away() {
        let brokers = Brokers::default();
        let put = |number: usize| {
            let (hooks, not_in_audit) = (HookSet::EMPTY, HookSet::EMPTY);
            brokers.put(Told { broker: format!("{number:05}"), hooks, not_in_audit, mend: "mend it".to_owned() });
        };
        let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = Log::to(Lines(std::sync::Arc::clone(&lines)));
        let mistold = || brokers.compare(set(&[Hook::ClientConnected]), Mode::Audit, &log);
        let last = |mistold: Vec<Mistold>| mistold.last().map(|one| one.broker.clone());
        (0..MOST).for_each(put);
        brokers.mark("00007", Whereabouts::Away);
        put(MOST);
        assert_eq!(last(mistold()), Some(format!("{MOST:05}")));
        let said = || {
            log.flush(std::time::Duration::from_secs(30));
            String::from_utf8(lines.lock().unwrap().clone()).unwrap().matches("more than 1024 brokers").count()
        };
        assert_eq!(said(), 0);
        for number in [MOST + 1, MOST + 2] {
            put(number);
            assert_eq!(last(mistold()), Some(format!("{MOST:05}")));
            assert_eq!(said(), 1);
        }
    }

    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
