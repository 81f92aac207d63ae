//! Where logins arrive.
//!
//! Whoever brings a login must not be held up, neither by the work of finding it a place nor by the lock that this
//! work needs: a login is put down here, and a thread of the pool takes it from here. While many come, that thread
//! is not woken for each.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::login::Login;
use super::state::places;

/// How long whoever takes logins looks away before it goes to sleep. To wake it costs whoever brings the next one
/// more than all the rest.
const NAP: Duration = Duration::from_micros(250);
/// Room for more logins than this is given back once they are gone.
const KEEP: usize = 1024;

pub(super) struct Intake {
    arrived: Mutex<Arrived>,
    bell: Condvar,
    /// How many places may be taken before whoever brings a login has to help.
    most: usize,
}

#[derive(Default)]
struct Arrived {
    /// In the order of arrival.
    logins: VecDeque<Login>,
    /// How many places they take.
    places: usize,
    /// Nobody listens until the bell rings.
    asleep: bool,
    stopped: bool,
}

impl Intake {
    pub(super) fn new(most: usize) -> Self {
        Intake { arrived: Mutex::default(), bell: Condvar::new(), most }
    }

    /// Puts a login down. False where more lie here than should: then some have to be taken.
    pub(super) fn put(&self, login: Login) -> bool {
        let mut arrived = self.lock();
        arrived.places += places_of(&login);
        arrived.logins.push_back(login);
        let fits = arrived.places <= self.most;
        let asleep = std::mem::take(&mut arrived.asleep);
        drop(arrived);
        if asleep {
            self.bell.notify_one();
        }
        fits
    }

    /// Takes the first logins, `most` of them at most.
    pub(super) fn take(&self, most: usize) -> Vec<Login> {
        let mut arrived = self.lock();
        let count = most.min(arrived.logins.len());
        let taken: Vec<Login> = arrived.logins.drain(..count).collect();
        arrived.places -= taken.iter().map(places_of).sum::<usize>();
        if arrived.logins.is_empty() && arrived.logins.capacity() > KEEP {
            let room = std::mem::take(&mut arrived.logins);
            drop(arrived);
            drop(room);
        }
        taken
    }

    /// Waits for a login, or until `end`.
    pub(super) fn wait(&self, end: Option<Instant>) {
        if self.lock().is_quiet() {
            thread::sleep(NAP);
        }
        let mut arrived = self.lock();
        if !arrived.is_quiet() {
            return;
        }
        arrived.asleep = true;
        // Woken for nothing, it comes again.
        arrived = match end.map(|end| end.saturating_duration_since(Instant::now())) {
            None => self.bell.wait(arrived).unwrap_or_else(PoisonError::into_inner),
            Some(left) => self.bell.wait_timeout(arrived, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        arrived.asleep = false;
    }

    /// Ends the waiting for good, and gives what lies here still.
    pub(super) fn stop(&self) -> VecDeque<Login> {
        let mut arrived = self.lock();
        arrived.stopped = true;
        let left = std::mem::take(&mut arrived.logins);
        drop(arrived);
        self.bell.notify_all();
        left
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrived {
    fn is_quiet(&self) -> bool {
        self.logins.is_empty() && !self.stopped
    }
}

fn places_of(login: &Login) -> usize {
    places(login.caller.username(), &login.password)
}

#[cfg(test)]
impl Intake {
    pub(super) fn len(&self) -> usize {
        self.lock().logins.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use zeroize::Zeroizing;

    use super::super::login::{Caller, Outcome};
    use super::*;
    use crate::policy::model::PasswordId;

    const LONG: Duration = Duration::from_secs(60);

    struct Nobody;

    impl Caller for Nobody {
        fn username(&self) -> &'static str {
            "u"
        }

        fn unknown(&self) -> Option<PasswordId> {
            None
        }

        fn done(&self, _: Outcome) {}
    }

    fn login(password: &str) -> Login {
        Login {
            caller: Arc::new(Nobody),
            password: Zeroizing::new(password.as_bytes().to_owned()),
            peerhost: None,
            arrived: Instant::now(),
            source: PasswordId(0),
        }
    }

    fn passwords(logins: impl IntoIterator<Item = Login>) -> Vec<Vec<u8>> {
        logins.into_iter().map(|login| login.password.to_vec()).collect()
    }

    #[test]
    fn logins_are_taken_in_their_order() {
        let intake = Intake::new(9);
        for password in ["a", "b", "c"] {
            assert!(intake.put(login(password)));
        }
        assert_eq!(passwords(intake.take(2)), [b"a", b"b"]);
        assert_eq!(passwords(intake.take(2)), [b"c"]);
        assert_eq!(passwords(intake.take(2)), [b""; 0]);
    }

    #[test]
    fn places_are_counted_as_logins_come_and_go() {
        let intake = Intake::new(3);
        assert!(intake.put(login("small")));
        assert!(!intake.put(login(&"large".repeat(512))), "three places more");
        assert_eq!(intake.take(1).len(), 1);
        assert!(!intake.put(login("small")));
        assert_eq!(intake.take(1).len(), 1);
        assert!(intake.put(login("small")));
    }

    #[test]
    fn whoever_waits_is_woken() {
        let intake = Arc::new(Intake::new(9));
        let (report, taken) = mpsc::channel();
        let there = Arc::clone(&intake);
        let waiting = thread::spawn(move || {
            loop {
                there.wait(None);
                let logins = there.take(9);
                if logins.is_empty() && there.lock().stopped {
                    return;
                }
                report.send(passwords(logins)).unwrap();
            }
        });
        for _ in 0..2 {
            while !intake.lock().asleep {
                thread::sleep(Duration::from_millis(1));
            }
            intake.put(login("one"));
            assert_eq!(taken.recv_timeout(LONG).unwrap(), [b"one"]);
        }
        while !intake.lock().asleep {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(intake.stop().is_empty());
        waiting.join().unwrap();
    }

    #[test]
    fn nobody_waits_beyond_the_end() {
        let intake = Intake::new(9);
        intake.wait(Some(Instant::now() + Duration::from_millis(5)));
        intake.wait(Some(Instant::now()));
        assert!(!intake.lock().asleep, "a bell that nobody hears costs a system call");
    }
}
