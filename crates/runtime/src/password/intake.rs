//! Where logins arrive.
//!
//! Whoever brings a login must not be held up, neither by the work of finding it a place nor by the lock that this
//! work needs: a login is put down here, and a thread of the pool takes it from here. While many come, that thread
//! is not woken for each.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::login::PasswordLogin;

/// How long whoever takes logins looks away before it goes to sleep. To wake it costs whoever brings the next one
/// more than all the rest.
const NAP: Duration = Duration::from_micros(250);
/// How many logins are taken together. Whoever holds a lock while it finds a place for each does not hold it long.
const LOT: usize = 32;

pub(super) struct Intake {
    arrived: Mutex<Arrived>,
    bell: Condvar,
    /// How many places may be taken.
    most: usize,
}

#[derive(Default)]
struct Arrived {
    /// In the order of arrival.
    lots: VecDeque<Lot>,
    /// How many places they take.
    places: usize,
    /// Nobody listens until the bell rings.
    asleep: bool,
    stopped: bool,
}

#[derive(Default)]
struct Lot {
    logins: Vec<PasswordLogin>,
    places: usize,
}

impl Intake {
    pub(super) fn new(most: usize) -> Self {
        Intake { arrived: Mutex::default(), bell: Condvar::new(), most }
    }

    /// Puts a login down. False where more lie here than may: then some have to be taken.
    pub(super) fn put(&self, login: PasswordLogin) -> bool {
        let places = login.places();
        let mut arrived = self.lock();
        arrived.places += places;
        if arrived.lots.back().is_none_or(|lot| lot.logins.len() >= LOT) {
            arrived.lots.push_back(Lot { logins: Vec::with_capacity(LOT), places: 0 });
        }
        if let Some(lot) = arrived.lots.back_mut() {
            lot.places += places;
            lot.logins.push(login);
        }
        let fits = arrived.places <= self.most;
        let asleep = mem::take(&mut arrived.asleep);
        drop(arrived);
        if asleep {
            self.bell.notify_one();
        }
        fits
    }

    /// How many logins lie here.
    pub(super) fn len(&self) -> usize {
        self.lock().lots.iter().map(|lot| lot.logins.len()).sum()
    }

    /// Whether more lie here than may.
    pub(super) fn is_too_full(&self) -> bool {
        self.lock().places > self.most
    }

    /// Takes the first logins, some at a time.
    pub(super) fn take(&self) -> Vec<PasswordLogin> {
        let mut arrived = self.lock();
        let Lot { logins, places } = arrived.lots.pop_front().unwrap_or_default();
        arrived.places -= places;
        logins
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
    pub(super) fn stop(&self) -> impl Iterator<Item = PasswordLogin> + use<> {
        let mut arrived = self.lock();
        arrived.stopped = true;
        arrived.places = 0;
        let left = mem::take(&mut arrived.lots);
        drop(arrived);
        self.bell.notify_all();
        left.into_iter().flat_map(|lot| lot.logins)
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrived {
    fn is_quiet(&self) -> bool {
        self.lots.is_empty() && !self.stopped
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use zeroize::Zeroizing;

    use super::super::login::{Caller, PasswordOutcome};
    use super::*;
    use exhook_policy_core::policy::model::PasswordId;

    const LONG: Duration = Duration::from_secs(60);

    struct Nobody;

    impl Caller for Nobody {
        fn username(&self) -> &'static str {
            "u"
        }

        fn bytes(&self) -> usize {
            0
        }

        fn unknown(&self) -> Option<PasswordId> {
            None
        }

        fn is_counted(&self) -> bool {
            false
        }

        fn done(&self, _: PasswordOutcome) {}
    }

    fn login(password: &str) -> PasswordLogin {
        PasswordLogin {
            caller: Arc::new(Nobody),
            password: Zeroizing::new(password.as_bytes().to_owned()),
            peerhost: None,
            arrived: Instant::now(),
            source: PasswordId(0),
        }
    }

    fn passwords(logins: impl IntoIterator<Item = PasswordLogin>) -> Vec<Vec<u8>> {
        logins.into_iter().map(|login| login.password.to_vec()).collect()
    }

    #[test]
    fn logins_are_taken_in_their_order() {
        let intake = Intake::new(LOT * 2);
        let all: Vec<Vec<u8>> = (0..=LOT).map(|n| n.to_string().into_bytes()).collect();
        for password in &all {
            assert!(intake.put(login(str::from_utf8(password).unwrap())));
        }
        assert_eq!(passwords(intake.take()), all[..LOT]);
        assert_eq!(passwords(intake.take()), all[LOT..]);
        assert_eq!(passwords(intake.take()), [b""; 0]);
        assert!(intake.put(login("left")));
        assert_eq!(passwords(intake.stop()), [b"left"]);
    }

    #[test]
    fn places_are_counted_as_logins_come_and_go() {
        let intake = Intake::new(3);
        for _ in 0..2 {
            assert!(intake.put(login("small")));
            assert!(!intake.put(login(&"large".repeat(512))), "three places more");
            assert!(intake.is_too_full());
            assert_eq!(intake.take().len(), 2);
            assert!(!intake.is_too_full());
        }
    }

    #[test]
    fn whoever_waits_is_woken() {
        let intake = Arc::new(Intake::new(9));
        let (report, taken) = mpsc::channel();
        let there = Arc::clone(&intake);
        let waiting = thread::spawn(move || {
            loop {
                there.wait(None);
                let logins = there.take();
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
        assert!(intake.stop().next().is_none());
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
