use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(2);

fn peer(n: u8) -> QueuePeer {
    QueuePeer::V4([10, 0, 0, n])
}

fn queue(size: usize, user: usize) -> LoginQueue<&'static str> {
    LoginQueue::new(QueueLimits { size, user, window: WINDOW })
}

/// Takes everything out within one instant.
fn drain(queue: &mut LoginQueue<&'static str>, now: Instant) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.pop(now)).collect()
}

#[test]
fn the_newest_goes_first() {
    let (mut queue, now) = (queue(100, 100), Instant::now());
    for item in ["a", "b", "c"] {
        assert_eq!(queue.push(now, peer(1), &"u".into(), 1, item), []);
    }
    assert_eq!(queue.pop(now), Some("c"));
    queue.push(now, peer(1), &"u".into(), 1, "d");
    assert_eq!(drain(&mut queue, now), ["d", "b", "a"]);
}

#[test]
fn a_peer_that_never_stops_does_not_starve_another() {
    let (mut queue, now) = (queue(100, 1000), Instant::now());
    queue.push(now, peer(1), &"busy".into(), 1, "busy");
    assert_eq!(queue.pop(now), Some("busy"));
    queue.push(now, peer(2), &"quiet".into(), 1, "quiet");
    // The busy peer's login is newer, but one of its logins was taken lately.
    queue.push(now, peer(1), &"busy".into(), 1, "busy");
    assert_eq!(drain(&mut queue, now), ["quiet", "busy"]);
    // Once the takings are forgotten, the newest goes first again.
    let later = now + WINDOW;
    queue.push(later, peer(2), &"quiet".into(), 1, "quiet");
    queue.push(later, peer(1), &"busy".into(), 1, "busy");
    assert_eq!(drain(&mut queue, later), ["busy", "quiet"]);
}

#[test]
fn a_gateway_may_fill_the_queue_until_others_come() {
    let (mut queue, now) = (queue(4, 100), Instant::now());
    for item in ["g1", "g2", "g3", "g4"] {
        assert_eq!(queue.push(now, peer(1), &"u".into(), 1, item), []);
    }
    assert_eq!(queue.push(now, peer(2), &"u".into(), 1, "a1"), [("g1", UsedUpShare::Peer)]);
    assert_eq!(queue.push(now, peer(3), &"u".into(), 1, "b1"), [("g2", UsedUpShare::Peer)]);
    // Among equals the oldest falls out.
    assert_eq!(queue.push(now, peer(2), &"u".into(), 1, "a2"), [("g3", UsedUpShare::Peer)]);
    assert_eq!(queue.push(now, peer(1), &"u".into(), 1, "g5"), [("g4", UsedUpShare::Peer)]);
    assert_eq!(
        queue.push(now, peer(1), &"u".into(), 3, "big"),
        [("g5", UsedUpShare::Peer), ("big", UsedUpShare::Peer)]
    );
    assert_eq!(drain(&mut queue, now), ["a2", "b1", "a1"]);
}

#[test]
fn a_user_has_a_share_from_wherever_it_comes() {
    let (mut queue, now) = (queue(100, 2), Instant::now());
    assert_eq!(queue.push(now, peer(1), &"u".into(), 1, "a"), []);
    assert_eq!(queue.push(now, peer(2), &"u".into(), 1, "b"), []);
    assert_eq!(queue.push(now, peer(3), &"u".into(), 1, "c"), [("a", UsedUpShare::User)]);
    assert_eq!(queue.push(now, peer(3), &"other".into(), 1, "d"), []);
    assert_eq!(drain(&mut queue, now), ["d", "b", "c"]);
    // Who guesses the user's password from one address makes room for the user.
    assert_eq!(queue.push(now, peer(1), &"u".into(), 1, "user"), []);
    assert_eq!(queue.push(now, peer(2), &"u".into(), 1, "guess1"), []);
    assert_eq!(queue.push(now, peer(2), &"u".into(), 1, "guess2"), [("guess1", UsedUpShare::User)]);
    assert_eq!(queue.push(now, peer(2), &"u".into(), 1, "guess3"), [("guess2", UsedUpShare::User)]);
}

#[test]
fn users_without_a_limit_are_not_kept_track_of() {
    let (mut queue, now) = (queue(100, usize::MAX), Instant::now());
    queue.push(now, peer(1), &"u".into(), 1, "a");
    assert!(queue.users.is_empty());
    assert_eq!(queue.pop(now), Some("a"));
}

#[test]
fn an_item_can_leave_and_become_the_newest() {
    let (mut queue, now) = (queue(100, 100), Instant::now());
    let mut seqs = Vec::new();
    for item in ["a", "b", "c"] {
        seqs.push(queue.next());
        queue.push(now, peer(1), &"u".into(), 1, item);
    }
    assert_eq!(queue.remove(seqs[2]), Some("c"));
    assert_eq!(queue.remove(seqs[2]), None);
    let renewed = queue.renew(seqs[0]).unwrap();
    assert_eq!(queue.renew(seqs[0]), None);
    assert_eq!(drain(&mut queue, now), ["a", "b"]);
    assert_eq!(queue.remove(renewed), None);
}

#[test]
fn peers_are_addresses_and_sites() {
    let of = |text: &str| QueuePeer::of(Some(text.parse().unwrap()));
    assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(QueuePeer::of(None), QueuePeer::Unknown);
}

/// The rules of the module's doc, by search through a list.
#[derive(Default)]
struct Plain {
    waiting: Vec<(Seq, QueuePeer, &'static str, usize)>,
    taken: Vec<(u64, QueuePeer)>,
}

impl Plain {
    fn push(&mut self, limits: QueueLimits, item: (Seq, QueuePeer, &'static str, usize)) -> Vec<(Seq, UsedUpShare)> {
        let user = item.2;
        let mut fallen = Vec::new();
        self.waiting.push(item);
        if self.waiting.iter().filter(|w| w.2 == user).count() > limits.user {
            let of = |peer| self.waiting.iter().filter(|w| w.2 == user && w.1 == peer).count();
            let most = self.waiting.iter().map(|w| of(w.1)).max().unwrap();
            let at = self.waiting.iter().position(|w| w.2 == user && of(w.1) == most).unwrap();
            fallen.push((self.waiting.remove(at).0, UsedUpShare::User));
        }
        while self.waiting.iter().map(|w| w.3).sum::<usize>() > limits.size {
            let size = |peer| self.waiting.iter().filter(|w| w.1 == peer).map(|w| w.3).sum::<usize>();
            let most = self.waiting.iter().map(|w| size(w.1)).max().unwrap();
            let at = self.waiting.iter().position(|w| size(w.1) == most).unwrap();
            fallen.push((self.waiting.remove(at).0, UsedUpShare::Peer));
        }
        fallen
    }

    fn pop(&mut self, now: u64) -> Option<Seq> {
        let taken = |peer| self.taken.iter().filter(|t| t.1 == peer).count();
        let fewest = self.waiting.iter().map(|w| taken(w.1)).min()?;
        let at = self.waiting.iter().rposition(|w| taken(w.1) == fewest)?;
        let (seq, peer, _, _) = self.waiting.remove(at);
        self.taken.push((now, peer));
        Some(seq)
    }
}

proptest! {
    #[test]
    fn the_indexes_say_what_a_search_says(
        steps in prop::collection::vec((0u8..8, 0u8..4, 0usize..3, 1usize..4, 0u64..40), 1..200)
    ) {
        let limits = QueueLimits { size: 12, user: 5, window: Duration::from_millis(100) };
        let start = Instant::now();
        let mut clock = 0;
        let mut queue = LoginQueue::new(limits);
        let mut plain = Plain::default();
        for (what, n, user, size, pause) in steps {
            clock += pause;
            let now = start + Duration::from_millis(clock);
            plain.taken.retain(|t| clock - t.0 < 100);
            match what {
                0..=3 => {
                    let seq = queue.next();
                    let user = ["u", "v", "w"][user];
                    let fallen = queue.push(now, peer(n), &user.into(), size, seq);
                    prop_assert_eq!(fallen, plain.push(limits, (seq, peer(n), user, size)));
                }
                4..=5 => prop_assert_eq!(queue.pop(now), plain.pop(clock)),
                6 => {
                    if let Some(at) = plain.waiting.len().checked_sub(1 + size) {
                        let seq = plain.waiting.remove(at).0;
                        prop_assert_eq!(queue.jobs.get(&seq).map(|job| job.peer).is_some(), true);
                        prop_assert!(queue.remove(seq).is_some());
                    }
                }
                _ => prop_assert_eq!(queue.remove(u64::MAX), None),
            }
            prop_assert_eq!(queue.size, plain.waiting.iter().map(|w| w.3).sum::<usize>());
        }
        while queue.pop(start + Duration::from_secs(9)).is_some() {}
        queue.forget(start + Duration::from_secs(99));
        prop_assert!(queue.peers.is_empty() && queue.users.is_empty() && queue.turns.is_empty() && queue.sizes.is_empty());
    }
}
