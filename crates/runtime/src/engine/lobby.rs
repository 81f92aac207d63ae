//! Logins whose answers may have to wait for one another, by their numbers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::login::Waiting;
use crate::limits::Number;

/// Whichever policy they are of.
#[derive(Default)]
pub(super) struct Lobby {
    seats: Mutex<HashMap<Number, Seat>>,
}

enum Seat {
    /// Its password is being checked. The pool has it, and drops it in the end, whatever happens.
    Checking(Weak<Waiting>),
    /// It is decided, and only its answer waits.
    Decided(Arc<Waiting>),
}

impl Lobby {
    /// A login whose password is about to be checked.
    pub(super) fn enter(&self, number: Number, waiting: &Arc<Waiting>) {
        self.seats().insert(number, Seat::Checking(Arc::downgrade(waiting)));
    }

    /// The login is decided, and its answer waits.
    pub(super) fn stay(&self, number: Number, waiting: Arc<Waiting>) {
        self.seats().insert(number, Seat::Decided(waiting));
    }

    /// The login has its answer, or gets it from the caller.
    pub(super) fn leave(&self, number: Number) -> Option<Arc<Waiting>> {
        let seat = self.seats().remove(&number)?;
        match seat {
            Seat::Checking(waiting) => waiting.upgrade(),
            Seat::Decided(waiting) => Some(waiting),
        }
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<Number, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lobby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lobby")
    }
}

#[cfg(test)]
mod tests {
    use super::super::login::Way;
    use super::super::{Engine, Setup};
    use crate::clock::Moment;
    use crate::log::Log;
    use crate::password::PasswordOutcome;
    use crate::process::Recorder;
    use exhook_policy_core::answer_sink::Sink;
    use exhook_policy_core::decision::Answer;
    use exhook_policy_core::event::{Client, Extra, Password, Peerhost};
    use exhook_policy_core::policy::model::PasswordId;

    use super::*;

    const POLICY: &str = "
version: 1
passwords: { people: { file: people.passwd } }
auth:
  lockout: { by: username, failures: 1, within: 5m, ban: 15m }
  rules: [{ allow: everyone, password: people }]
";

    #[test]
    fn a_login_dropped_without_an_outcome_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, POLICY).unwrap();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let sink: Sink = {
            let answers = Arc::clone(&answers);
            Arc::new(move |more| answers.lock().unwrap().extend_from_slice(more))
        };
        let setup = Setup::new(&file, Recorder::of_this_process("python3"), sink, Log::to(std::io::sink()));
        let engine = Engine::load(setup).unwrap();
        let core = engine.shared.core.load_full().unwrap();
        let client = Client {
            clientid: "c",
            username: "alice",
            peerhost: Peerhost::parse("10.0.0.1"),
            sockport: 1883,
            protocol: "mqtt",
            mountpoint: "",
            node: "n",
            is_superuser: false,
            anonymous: false,
            extra: Extra::NONE,
        };
        let begin = |token| {
            let lists = core.sources.lists();
            let number = core.begin(&client, &lists);
            assert!(number.is_some());
            core.verification(&client, Password::new(b"x"), token, number, Way::at(0, PasswordId(0), lists))
        };
        let (first, second) = (begin(1), begin(2));
        second.caller.done(PasswordOutcome::Right(PasswordId(0)));
        // The pool has no use for it any more.
        drop(second);
        core.outlet.tell();
        assert_eq!(*answers.lock().unwrap(), []);
        assert_eq!(core.limits.under_way(Moment::now()), 2);
        drop(first);
        core.outlet.tell();
        assert_eq!(*answers.lock().unwrap(), [(2, Answer::Allow)]);
        assert!(core.lobby.seats().is_empty() && core.limits.under_way(Moment::now()) == 0);
    }
}
