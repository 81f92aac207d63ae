use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use exhook_policy_core::event::{Extra, Peerhost};
use exhook_policy_core::policy::Policy;
use exhook_policy_core::policy::lists::List;

/// Limits as a policy says them.
fn defs(auth: &str) -> LimitDefs {
    let text = format!(
        "version: 1\nlists: {{ offices: {{ file: offices.txt }} }}\nclients: {{ staff: {{ peerhost: {{ in: offices }} }} }}\n\
         passwords: {{ people: {{ file: people.passwd }} }}\n\
         auth:\n  rules: [{{ allow: staff }}, {{ allow: everyone, password: people }}]\n{auth}"
    );
    let loaded = exhook_policy_core::policy::parse(&text, "rules.yaml", Path::new("")).unwrap();
    Policy::compile(loaded.model).limits().clone()
}

fn client<'a>(clientid: &'a str, username: &'a str, peerhost: &'a str) -> Client<'a> {
    Client {
        clientid,
        username,
        peerhost: Peerhost::parse(peerhost),
        sockport: 1883,
        protocol: "mqtt",
        mountpoint: "",
        node: "n",
        is_superuser: false,
        anonymous: false,
        extra: Extra::NONE,
    }
}

/// Both clocks, at so many seconds.
fn at(seconds: u64) -> Moment {
    Moment { unix: 1_700_000_000_000_i64.saturating_add_unsigned(seconds * 1000), steady: seconds * 1000 }
}

struct Bench {
    limits: Limits,
    defs: LimitDefs,
    lists: Lists,
    mode: Mode,
}

impl Bench {
    fn new(auth: &str) -> Self {
        Bench {
            limits: Limits::default(),
            defs: defs(auth),
            lists: Lists::new(vec![Some(Arc::new(List::default()))]),
            mode: Mode::Enforce,
        }
    }

    fn login<'a>(&'a self, client: &'a Client<'a>) -> LimitedLogin<'a> {
        LimitedLogin { defs: &self.defs, mode: self.mode, client, lists: &self.lists }
    }

    /// A login with a wrong password; true where it is refused before anyone looks.
    fn fails(&self, client: &Client<'_>, now: Moment) -> bool {
        let login = self.login(client);
        let refused = self.limits.asked(login, now).refused.is_some();
        if !refused {
            let concluded = self.limits.concluded(login, None, true, now);
            assert_eq!(concluded.refused, None);
        }
        refused
    }

    fn asks(&self, client: &Client<'_>, now: Moment) -> Option<Why> {
        self.limits.asked(self.login(client), now).refused
    }
}

const LOCKOUT_BY_NAME: &str = "  lockout: { by: username, failures: 3, within: 60s, ban: 15m, exempt: staff }\n";

#[test]
fn so_many_failures_keep_a_name_out_for_so_long() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    assert!(!bench.fails(&alice, at(0)) && !bench.fails(&alice, at(10)) && !bench.fails(&alice, at(20)));
    assert_eq!(bench.asks(&alice, at(20)), Some(Why::Lockout));
    assert_eq!(bench.asks(&client("d", "alice", "10.9.9.9"), at(21)), Some(Why::Lockout));
    assert_eq!(bench.asks(&client("c", "bob", "10.0.0.1"), at(21)), None);
    assert_eq!(bench.asks(&alice, at(20 + 899)), Some(Why::Lockout));
    assert_eq!(bench.asks(&alice, at(20 + 900)), None);
    // It begins anew: what was refused did not count.
    assert!(!bench.fails(&alice, at(921)) && !bench.fails(&alice, at(922)) && !bench.fails(&alice, at(923)));
    assert!(bench.fails(&alice, at(924)));
}

#[test]
fn failures_that_are_far_apart_do_not_add_up() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    for turn in 0..50 {
        assert!(!bench.fails(&alice, at(turn * 30)), "{turn}");
    }
    // The window slides: the first of these is not forgotten because another has begun since.
    assert!(!bench.fails(&alice, at(1500)) && !bench.fails(&alice, at(1501)) && bench.fails(&alice, at(1502)));
}

#[test]
fn guesses_that_come_at_once_are_not_all_tried() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    for _ in 0..10 {
        assert_eq!(bench.asks(&alice, at(0)), None);
    }
    let failed = |failed| bench.limits.concluded(bench.login(&alice), None, failed, at(1)).refused;
    assert_eq!([failed(true), failed(false), failed(true), failed(true)], [None; 4]);
    assert_eq!([failed(true), failed(false)], [Some(Why::Lockout); 2]);
}

const PATIENCE: Duration = Duration::from_secs(2);

impl Bench {
    fn begin(&self, client: &Client<'_>) -> Number {
        self.limits.begin(self.login(client), PATIENCE, at(0)).unwrap()
    }

    fn concludes(&self, client: &Client<'_>, number: Number, failed: bool) -> LimitOutcome {
        self.limits.concluded(self.login(client), Some(number), failed, at(0))
    }

    /// All that are ready.
    fn ready(&self) -> Vec<Ready> {
        let (mut all, mut there_may_be_more) = (Vec::new(), true);
        while there_may_be_more {
            let ready;
            (ready, there_may_be_more) = self.limits.ready(at(0));
            all.extend(ready);
        }
        all
    }

    fn is_idle(&self) -> bool {
        self.limits.state(at(0)).tries.is_empty()
    }
}

#[test]
fn a_right_password_waits_for_guesses_before_it() {
    for last_fails in [false, true] {
        let bench = Bench::new(LOCKOUT_BY_NAME);
        let alice = client("c", "alice", "10.0.0.1");
        let numbers: Vec<Number> = (0..5).map(|_| bench.begin(&alice)).collect();
        let turn = |at: usize, failed| bench.concludes(&alice, numbers[at], failed).turn;
        assert_eq!(turn(4, false), Turn::Later);
        assert_eq!([turn(0, true), turn(1, true), turn(2, false)], [Turn::Now; 3]);
        // Two failed, and one could still fail.
        assert_eq!(bench.ready(), []);
        assert_eq!(turn(3, last_fails), Turn::Now);
        assert_eq!(bench.ready(), [(numbers[4], last_fails.then_some(Why::Lockout))]);
        assert_eq!(bench.asks(&alice, at(1)), last_fails.then_some(Why::Lockout));
        assert!(bench.is_idle());
    }
}

#[test]
fn wrong_passwords_wait_like_right_ones() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    let numbers: Vec<Number> = (0..5).map(|_| bench.begin(&alice)).collect();
    assert_eq!(bench.concludes(&alice, numbers[4], true).turn, Turn::Later);
    assert_eq!(bench.concludes(&alice, numbers[3], true).turn, Turn::Later);
    assert_eq!(bench.concludes(&alice, numbers[0], true).turn, Turn::Now);
    // All at once, whether they are decided or not.
    let mut ready = bench.ready();
    ready.sort_unstable_by_key(|(number, _)| *number);
    assert_eq!(ready, [1, 2, 3, 4].map(|at: usize| (numbers[at], Some(Why::Lockout))));
    assert!(bench.is_idle());
    // What comes of them later changes nothing.
    let late = bench.concludes(&alice, numbers[1], true);
    assert_eq!((late.refused, late.turn, late.begun.len()), (Some(Why::Lockout), Turn::Now, 0));
}

#[test]
fn logins_that_cannot_begin_a_ban_make_no_other_wait() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let (alice, bob) = (client("c", "alice", "10.0.0.1"), client("c", "bob", "10.0.0.1"));
    let (first, second) = (bench.begin(&alice), bench.begin(&alice));
    let others: Vec<Number> = (0..9).map(|_| bench.begin(&bob)).collect();
    // Two before it cannot begin a ban.
    let third = bench.begin(&alice);
    for number in [third, second, first] {
        assert_eq!(bench.concludes(&alice, number, false).turn, Turn::Now);
    }
    // A hundred right ones wait for one another at most until the last of them is known to be
    // right.
    for number in others.iter().rev() {
        let turn = bench.concludes(&bob, *number, false).turn;
        assert_eq!(turn, if *number > others[2] { Turn::Later } else { Turn::Now });
    }
    assert_eq!(bench.ready(), others[3..].iter().map(|number| (*number, None)).collect::<Vec<_>>());
    assert!(bench.is_idle());
}

#[test]
fn no_login_waits_in_audit_mode_or_without_lockout() {
    let mut bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    bench.mode = Mode::Audit;
    assert_eq!(bench.limits.begin(bench.login(&alice), PATIENCE, at(0)), None);
    bench.mode = Mode::Enforce;
    bench.defs = defs("  flapping: { by: clientid, logins: 1, within: 60s, ban: 5m }\n");
    assert_eq!(bench.limits.begin(bench.login(&alice), PATIENCE, at(0)), None);
}

#[test]
fn a_dropped_login_lets_the_others_go_on() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    let numbers: Vec<Number> = (0..4).map(|_| bench.begin(&alice)).collect();
    assert_eq!(bench.concludes(&alice, numbers[3], false).turn, Turn::Later);
    assert!(bench.limits.abandoned(numbers[1], at(0)));
    assert_eq!(bench.ready(), [(numbers[3], None)]);
    assert!(!bench.limits.abandoned(numbers[0], at(0)) && !bench.limits.abandoned(numbers[2], at(0)));
    assert!(bench.is_idle());
}

#[test]
fn a_login_that_cannot_wait_long_enough_is_denied() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    // Under a policy with a longer deadline.
    let before: Vec<Number> =
        (0..3).map(|_| bench.limits.begin(bench.login(&alice), PATIENCE * 5, at(0)).unwrap()).collect();
    let number = bench.begin(&alice);
    assert_eq!(bench.concludes(&alice, number, false).turn, Turn::Never);
    for number in &before {
        assert_eq!(bench.concludes(&alice, *number, false).turn, Turn::Now);
    }
    assert!(bench.is_idle());
}

#[test]
fn as_many_answers_wait_as_there_is_room_for() {
    let mut bench = Bench::new(LOCKOUT_BY_NAME);
    bench.limits = Limits::with_room(COUNTED, BANS, 2);
    let alice = client("c", "alice", "10.0.0.1");
    let numbers: Vec<Number> = (0..7).map(|_| bench.begin(&alice)).collect();
    let turns = [4, 5, 6].map(|at: usize| bench.concludes(&alice, numbers[at], false).turn);
    assert_eq!(turns, [Turn::Later, Turn::Later, Turn::Never]);
    assert_eq!(bench.limits.under_way(at(0)), 6);
}

#[test]
fn long_names_take_several_of_the_waiting_places() {
    let mut bench = Bench::new(LOCKOUT_BY_NAME);
    bench.limits = Limits::with_room(COUNTED, BANS, 6);
    let long = "c".repeat(2048);
    let alice = client(&long, "alice", "10.0.0.1");
    let numbers: Vec<Number> = (0..7).map(|_| bench.begin(&alice)).collect();
    let turns = [4, 5, 6].map(|at: usize| bench.concludes(&alice, numbers[at], false).turn);
    assert_eq!(turns, [Turn::Later, Turn::Later, Turn::Never]);
    assert_eq!(bench.limits.under_way(at(0)), 6);
}

#[test]
fn a_ban_ends_a_flood_some_logins_at_a_time() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    let numbers: Vec<Number> = (0..1200).map(|_| bench.begin(&alice)).collect();
    for number in &numbers[..3] {
        assert_eq!(bench.concludes(&alice, *number, true).turn, Turn::Now);
    }
    assert_eq!([0; 4].map(|_| bench.limits.ready(at(0)).0.len()), [512, 512, 173, 0]);
    assert!(bench.is_idle());
}

#[test]
fn logins_begin_to_wait_for_others_some_at_a_time() {
    let bench = Bench::new("  lockout: { by: [username, peerhost], failures: 1, within: 60s, ban: 15m }\n");
    let (alice, bob) = (client("c", "alice", "10.0.0.1"), client("c", "bob", "10.0.0.2"));
    let both = client("c", "alice", "10.0.0.2");
    let (first, second) = (bench.begin(&alice), bench.begin(&bob));
    let numbers: Vec<Number> = (0..600).map(|_| bench.begin(&both)).collect();
    for number in &numbers {
        assert_eq!(bench.concludes(&both, *number, false).turn, Turn::Later);
    }
    assert_eq!(bench.ready(), []);
    // They wait for the user, and after that for the address.
    assert!(bench.concludes(&alice, first, false).others);
    assert_eq!(bench.limits.ready(at(0)), (vec![], true));
    assert_eq!(bench.ready(), []);
    assert!(bench.concludes(&bob, second, false).others);
    assert_eq!(bench.ready().len(), 600);
    assert!(bench.is_idle());
}

#[test]
fn nobody_without_a_name_or_an_address_is_counted_and_a_combination_needs_both() {
    let bench = Bench::new("  lockout: { by: [username, [clientid, peerhost]], failures: 1, within: 60s, ban: 15m }\n");
    let odd = client("c", "", "a-socket");
    assert!(!bench.fails(&odd, at(0)) && !bench.fails(&odd, at(1)));
    let nameless = client("c", "", "10.0.0.1");
    assert!(!bench.fails(&nameless, at(2)) && bench.fails(&nameless, at(3)));
    assert!(!bench.fails(&client("c", "", "10.0.0.2"), at(4)));
    assert!(!bench.fails(&client("d", "", "10.0.0.1"), at(4)));
}

#[track_caller]
fn same_peer(one: &str, other: &str, expected: bool) {
    let peer = |text| Peer::parse(text).unwrap();
    assert_eq!(peer(one) == peer(other), expected, "{one} {other}");
    assert_eq!(Peer::parse(&peer(one).to_string()), Some(peer(one)));
}

#[test]
fn an_address_counts_by_what_one_subscriber_has() {
    same_peer("10.0.0.1", "::ffff:10.0.0.1", true);
    same_peer("10.0.0.1", "10.0.0.2", false);
    same_peer("2001:db8:1:2::7", "2001:db8:1:2:ffff::8", true);
    same_peer("2001:db8:1:2::7", "2001:db8:1:3::7", false);
    assert_eq!(Peer::parse("2001:db8:1:2:3::7").unwrap().to_string(), "2001:db8:1:2::/64");
    assert_eq!(Peer::parse("10.0.0.1").unwrap().to_string(), "10.0.0.1");
    assert_eq!(Peer::parse("10.0.0.0/8"), None);
}

#[test]
fn a_clientid_is_another_in_another_cluster() {
    let bench = Bench::new("  flapping: { by: clientid, logins: 1, within: 60s, ban: 5m }\n");
    let of = |cluster| Client { extra: Extra { cluster, ..Extra::NONE }, ..client("c", "", "10.0.0.1") };
    assert_eq!(bench.asks(&of(Some("eu")), at(0)), None);
    assert_eq!(bench.asks(&of(Some("us")), at(0)), None);
    assert_eq!(bench.asks(&of(None), at(0)), None);
    assert_eq!(bench.asks(&of(Some("eu")), at(1)), Some(Why::Flapping));
}

#[test]
fn who_is_exempt_is_neither_counted_nor_refused_unless_that_cannot_be_told() {
    let mut bench = Bench::new(LOCKOUT_BY_NAME);
    let office =
        List::build(exhook_policy_core::policy::lists::Uses { text: false, networks: true }, [(1, "10.0.0.0/8")])
            .unwrap();
    bench.lists = Lists::new(vec![Some(Arc::new(office))]);
    let (inside, outside) = (client("c", "alice", "10.0.0.1"), client("c", "alice", "192.0.2.1"));
    for second in 0..9 {
        assert!(!bench.fails(&inside, at(second)));
    }
    for second in 9..12 {
        assert!(!bench.fails(&outside, at(second)));
    }
    assert!(bench.fails(&outside, at(12)) && !bench.fails(&inside, at(12)));
    bench.lists = Lists::new(vec![None]);
    assert!(bench.fails(&inside, at(13)));
}

#[test]
fn flapping_counts_every_login_and_lets_the_last_one_through() {
    let bench = Bench::new("  flapping: { by: clientid, logins: 3, within: 10s, ban: 60s }\n");
    let c = client("c", "", "10.0.0.1");
    assert_eq!([0, 1, 2].map(|second| bench.asks(&c, at(second))), [None; 3]);
    assert_eq!([3, 30, 61].map(|second| bench.asks(&c, at(second))), [Some(Why::Flapping); 3]);
    // It knocked all the while, and is let in when its time is over.
    assert_eq!(bench.asks(&c, at(62)), None);
    // What ended as its own ban began is not refused for it.
    assert_eq!(bench.limits.concluded(bench.login(&c), None, true, at(62)).refused, None);
}

#[test]
fn what_is_refused_in_audit_mode_is_not_refused_after_it() {
    let mut bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    bench.mode = Mode::Audit;
    for second in 0..3 {
        assert!(!bench.fails(&alice, at(second)));
    }
    assert_eq!(bench.asks(&alice, at(3)), Some(Why::Lockout));
    bench.mode = Mode::Enforce;
    assert_eq!(bench.asks(&alice, at(3)), None);
}

#[test]
fn counts_and_bans_outlive_the_policy_that_they_began_under() {
    let mut bench = Bench::new(LOCKOUT_BY_NAME);
    let (alice, bob) = (client("c", "alice", "10.0.0.1"), client("c", "bob", "10.0.0.1"));
    for second in 0..3 {
        assert!(!bench.fails(&alice, at(second)));
    }
    assert!(!bench.fails(&bob, at(3)) && !bench.fails(&bob, at(4)));
    bench.defs = defs("");
    assert!(!bench.fails(&alice, at(5)));
    bench.defs = defs("  lockout: { by: [peerhost, username], failures: 3, within: 50s, ban: 1m }\n");
    assert!(bench.fails(&alice, at(6)));
    assert!(!bench.fails(&bob, at(7)) && bench.fails(&bob, at(8)));
}

fn stored(bench: &Bench, name: &str, since: Moment) -> Ban {
    let key = LimitKey { clientid: None, username: Some(name.into()), peerhost: None };
    Ban { why: Why::Lockout, mode: bench.mode, key, since: since.unix, until: since.unix + 900_000 }
}

#[test]
fn bans_of_others_are_taken_up_and_those_that_are_lifted_are_let_go() {
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let (alice, bob) = (client("c", "alice", "10.0.0.1"), client("c", "bob", "10.0.0.1"));
    assert_eq!(bench.limits.take_up(&[stored(&bench, "alice", at(0))], at(100)), 0);
    assert_eq!(bench.asks(&alice, at(899)), Some(Why::Lockout));
    assert_eq!(bench.asks(&alice, at(900)), None);
    // One that is not written yet is not lifted because it is not there.
    for second in 910..913 {
        assert!(!bench.fails(&bob, at(second)));
    }
    bench.limits.take_up(&[], at(913));
    assert_eq!(bench.asks(&bob, at(914)), Some(Why::Lockout));
    bench.limits.stored(&[stored(&bench, "bob", at(912))], at(914));
    bench.limits.take_up(&[stored(&bench, "bob", at(912))], at(915));
    assert_eq!(bench.asks(&bob, at(915)), Some(Why::Lockout));
    bench.limits.take_up(&[], at(916));
    assert_eq!(bench.asks(&bob, at(916)), None);
}

/// Hours by which the clock of the day is set.
fn set(moment: Moment, hours: i64) -> Moment {
    Moment { unix: moment.unix + hours * 3_600_000, ..moment }
}

#[test]
fn a_clock_that_is_set_neither_lifts_a_ban_nor_makes_it_last() {
    for hours in [-20_000, -1, 1, 20_000] {
        let bench = Bench::new(LOCKOUT_BY_NAME);
        let alice = client("c", "alice", "10.0.0.1");
        assert!(!bench.fails(&alice, at(0)) && !bench.fails(&alice, set(at(1), hours)));
        assert!(!bench.fails(&alice, set(at(2), hours)));
        assert_eq!(bench.asks(&alice, set(at(901), -hours)), Some(Why::Lockout), "{hours}");
        assert_eq!(bench.asks(&alice, set(at(902), hours)), None, "{hours}");
    }
    // One that is stored is over for the database when the clock was set forward, and is not there: that is not lifted.
    let bench = Bench::new(LOCKOUT_BY_NAME);
    let alice = client("c", "alice", "10.0.0.1");
    bench.limits.take_up(&[stored(&bench, "alice", at(0))], at(1));
    bench.limits.take_up(&[], set(at(2), 1));
    assert_eq!(bench.asks(&alice, set(at(899), 1)), Some(Why::Lockout));
    // Read back when the clock was set back, it lasts as long as it was meant to from then on.
    let bench = Bench::new(LOCKOUT_BY_NAME);
    bench.limits.take_up(&[stored(&bench, "alice", at(0))], set(at(0), -5000));
    assert_eq!(bench.asks(&alice, set(at(899), -5000)), Some(Why::Lockout));
    assert_eq!(bench.asks(&alice, set(at(900), -5000)), None);
}

#[test]
fn a_flood_of_names_lifts_no_ban_and_takes_no_more_memory() {
    let mut bench = Bench::new("  lockout: { by: username, failures: 2, within: 60s, ban: 15m }\n");
    let room = Room { names: 100, times: 150 };
    bench.limits = Limits::with_room(room, 3, 10);
    let fails = |name: &str, now| {
        let client = client("c", name, "10.0.0.1");
        bench.limits.concluded(bench.login(&client), None, true, now)
    };
    let banned = |name: &str, now| bench.asks(&client("c", name, "10.0.0.1"), now).is_some();
    let mut full = Vec::new();
    for name in ["a", "b", "c", "d"] {
        fails(name, at(0));
        full.extend(fails(name, at(0)).full);
    }
    // The fourth is let go on, and none of the three gives way.
    assert_eq!(full, [(Why::Lockout, LimitFull::Bans(1))]);
    assert_eq!(["a", "b", "c", "d"].map(|name| banned(name, at(1))), [true, true, true, false]);
    fails("guessed", at(1));
    full.clear();
    for n in 0..2000 {
        full.extend(fails(&format!("flood-{n}"), at(2)).full);
    }
    let said: Vec<_> = [1, 10, 100, 1000].map(|count| (Why::Lockout, LimitFull::Counts(count))).into();
    assert_eq!(full, said);
    assert!(["a", "b", "c"].iter().all(|name| banned(name, at(3))));
    let by_name = Counted { clientid: false, username: true, peerhost: false };
    let mut state = bench.limits.state(at(3));
    let table = state.table(Why::Lockout, by_name);
    let (names, times, order) = table.counts.size();
    assert!(names <= 100 && times <= 150 && order <= 300 && table.bans.len() == 3, "{names} {times} {order}");
    drop(state);
    // Places that are free again are had again.
    assert!(fails("e", at(901)).begun.is_empty() && fails("e", at(901)).begun.len() == 1);
}

#[test]
fn a_ban_says_whom_it_keeps_out() {
    let key =
        LimitKey { clientid: Some(("dev 1", "eu")), username: Some("al\nice"), peerhost: Peer::parse("2001:db8::7") };
    let ban = Ban { why: Why::Flapping, mode: Mode::Enforce, key: key.to_owned(), since: 0, until: 300_000 };
    assert_eq!(
        ban.to_string(),
        "flapping keeps clientid \"dev 1\" of the cluster \"eu\" username \"al\\nice\" peerhost 2001:db8::/64 out for 5m"
    );
    assert_eq!(ban.key.counted(), key.counted());
}

/// What happens in a random history.
#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    SetClock(i64),
    LimitedLogin { name: usize, peer: usize, failed: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_000_u64).prop_map(Step::Pass),
        1 => (-90_000_000..90_000_000_i64).prop_map(Step::SetClock),
        8 => (0..3_usize, 0..2_usize, any::<bool>()).prop_map(|(name, peer, failed)| Step::LimitedLogin { name, peer, failed }),
    ]
}

/// All that ever happened, looked through for each answer.
#[derive(Default)]
struct Oracle {
    events: HashMap<(Why, String), Vec<u64>>,
    bans: HashMap<(Why, String), Vec<u64>>,
}

impl Oracle {
    fn is_banned(&self, why: Why, name: &str, now: u64, ban: u64) -> bool {
        let begun = self.bans.get(&(why, name.to_owned()));
        begun.is_some_and(|begun| begun.iter().any(|begin| (*begin..begin + ban).contains(&now)))
    }

    fn see(&mut self, why: Why, name: &str, now: u64, within: u64, most: usize) {
        let key = (why, name.to_owned());
        let events = self.events.entry(key.clone()).or_default();
        events.push(now);
        if events.iter().filter(|time| now - **time < within).count() >= most {
            events.clear();
            self.bans.entry(key).or_default().push(now);
        }
    }
}

/// What happens to logins that are under way together.
#[derive(Debug, Clone)]
enum Move {
    Arrives { name: usize, peer: usize },
    Ends { which: usize, end: End },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Right,
    Wrong,
    /// It could not be checked.
    Unchecked,
    Dropped,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let end =
        prop_oneof![4 => Just(End::Right), 4 => Just(End::Wrong), 1 => Just(End::Unchecked), 1 => Just(End::Dropped)];
    let one = prop_oneof![
        (0..2_usize, 0..2_usize).prop_map(|(name, peer)| Move::Arrives { name, peer }),
        (any::<usize>(), end).prop_map(|(which, end)| Move::Ends { which, end }),
    ];
    prop::collection::vec(one, 1..80)
}

/// A login as a search through all of them sees it.
struct CountSeen {
    number: Number,
    names: [String; 2],
    end: Option<End>,
    /// Whether it was refused by the limit.
    answer: Option<bool>,
}

/// All logins, looked through for each answer. No time passes.
#[derive(Default)]
struct Logins {
    all: Vec<CountSeen>,
    failures: HashMap<String, usize>,
    banned: HashSet<String>,
}

impl Logins {
    fn is_banned(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.banned.contains(name))
    }

    /// Whether the logins that came before it may still begin a ban.
    fn waits(&self, at: usize) -> bool {
        self.all[at].names.iter().any(|name| {
            let before = self.all[..at].iter();
            let undecided =
                before.filter(|other| other.names.contains(name) && other.end.is_none() && other.answer.is_none());
            let undecided = undecided.count();
            undecided > 0 && undecided + self.failures.get(name).unwrap_or(&0) >= 3
        })
    }

    /// Those that get their answers without a decision of their own.
    fn ready(&mut self) -> Vec<Ready> {
        let mut ready = Vec::new();
        for refused in [true, false] {
            for at in 0..self.all.len() {
                let seen = &self.all[at];
                let is_ready =
                    if refused { self.is_banned(&seen.names) } else { seen.end.is_some() && !self.waits(at) };
                if seen.answer.is_none() && is_ready {
                    self.all[at].answer = Some(refused);
                    ready.push((self.all[at].number, refused.then_some(Why::Lockout)));
                }
            }
        }
        ready
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In whatever order logins are decided, none is let in that failures before it could have kept
    /// out, and each is answered as soon as that is known.
    #[test]
    fn answers_wait_as_a_search_through_all_logins_says(moves in moves()) {
        let bench = Bench::new("  lockout: { by: [username, peerhost], failures: 3, within: 20s, ban: 45s }\n");
        let mut logins = Logins::default();
        // In the end all are decided.
        let last = std::iter::repeat_n(Move::Ends { which: 0, end: End::Right }, moves.len());
        for step in moves.into_iter().chain(last) {
            match step {
                Move::Arrives { name, peer } => {
                    let (name, peer) = (["alice", "bob"][name], ["10.0.0.1", "10.0.0.2"][peer]);
                    let (client, names) = (client("c", name, peer), [name.to_owned(), peer.to_owned()]);
                    let refused = bench.asks(&client, at(0)).is_some();
                    prop_assert_eq!(refused, logins.is_banned(&names));
                    if !refused {
                        let number = bench.begin(&client);
                        logins.all.push(CountSeen { number, names, end: None, answer: None });
                    }
                }
                Move::Ends { which, end } => {
                    let open: Vec<usize> = (0..logins.all.len())
                        .filter(|at| logins.all[*at].end.is_none() && logins.all[*at].answer.is_none())
                        .collect();
                    if open.is_empty() {
                        continue;
                    }
                    let place = open[which % open.len()];
                    let CountSeen { number, names, .. } = &logins.all[place];
                    let (number, names) = (*number, names.clone());
                    let client = client("c", &names[0], &names[1]);
                    logins.all[place].end = Some(end);
                    if end == End::Dropped {
                        bench.limits.abandoned(number, at(0));
                        logins.all[place].answer = Some(true);
                    } else {
                        let outcome = bench.concludes(&client, number, end == End::Wrong);
                        prop_assert_eq!(outcome.refused, None);
                        if end == End::Wrong {
                            for name in &names {
                                let failures = logins.failures.entry(name.clone()).or_default();
                                *failures += 1;
                                if *failures == 3 {
                                    *failures = 0;
                                    logins.banned.insert(name.clone());
                                }
                            }
                        }
                        let waits = !logins.is_banned(&names) && logins.waits(place);
                        prop_assert_eq!(outcome.turn, if waits { Turn::Later } else { Turn::Now });
                        if !waits {
                            logins.all[place].answer = Some(false);
                        }
                    }
                    let (mut expected, mut ready) = (logins.ready(), bench.ready());
                    expected.sort_unstable_by_key(|(number, _)| *number);
                    ready.sort_unstable_by_key(|(number, _)| *number);
                    prop_assert_eq!(ready, expected);
                }
            }
        }
        prop_assert!(bench.is_idle());
        // No one was let in after three guesses that came before and were answered as guesses.
        for (place, seen) in logins.all.iter().enumerate() {
            if (seen.end, seen.answer) == (Some(End::Right), Some(false)) {
                for name in &seen.names {
                    let before = logins.all[..place].iter().filter(|other| {
                        other.names.contains(name) && other.end == Some(End::Wrong) && other.answer == Some(false)
                    });
                    prop_assert!(before.count() < 3);
                }
            }
        }
    }

    #[test]
    fn limits_do_what_a_search_through_all_that_happened_says(steps in prop::collection::vec(step(), 1..120)) {
        let bench = Bench::new(
            "  lockout: { by: [username, peerhost], failures: 3, within: 20s, ban: 45s }\n  flapping: { by: [[username, peerhost]], logins: 5, within: 15s, ban: 30s }\n",
        );
        let mut oracle = Oracle::default();
        let mut now = at(0);
        for step in steps {
            let (name, peer, failed) = match step {
                Step::Pass(millis) => {
                    now = Moment { unix: now.unix + i64::try_from(millis).unwrap(), steady: now.steady + millis };
                    continue;
                }
                Step::SetClock(millis) => {
                    now.unix += millis;
                    continue;
                }
                Step::LimitedLogin { name, peer, failed } => (["", "alice", "bob"][name], ["10.0.0.1", "10.0.0.2"][peer], failed),
            };
            let client = client("c", name, peer);
            let by_one: Vec<&str> = [name, peer].into_iter().filter(|name| !name.is_empty()).collect();
            let by_both: Vec<String> = (!name.is_empty()).then(|| format!("{name} {peer}")).into_iter().collect();
            let steady = now.steady;
            let locked_out = by_one.iter().any(|name| oracle.is_banned(Why::Lockout, name, steady, 45_000));
            let flaps = by_both.iter().any(|name| oracle.is_banned(Why::Flapping, name, steady, 30_000));
            let expected = if locked_out { Some(Why::Lockout) } else { flaps.then_some(Why::Flapping) };
            prop_assert_eq!(bench.asks(&client, now), expected);
            if expected.is_some() {
                continue;
            }
            for name in &by_both {
                oracle.see(Why::Flapping, name, steady, 15_000, 5);
            }
            prop_assert_eq!(bench.limits.concluded(bench.login(&client), None, failed, now).refused, None);
            if failed {
                for name in &by_one {
                    oracle.see(Why::Lockout, name, steady, 20_000, 3);
                }
            }
        }
    }

    /// Names that stand in one another's way are never counted too often, and those that were seen last keep their places.
    #[test]
    fn a_full_table_forgets_who_was_seen_longest_ago(names in prop::collection::vec(0..40_u64, 1..400)) {
        let room = Room { names: 8, times: 20 };
        let mut counts = LimitCounts::default();
        let mut seen: Vec<u64> = Vec::new();
        for (now, name) in (0..).zip(names) {
            let too_often = counts.see([name, 0], now, 1_000, 4, room).too_often;
            seen.push(name);
            let (places, times, _) = counts.size();
            prop_assert!(places <= 8 && times <= 20);
            // With five names or fewer since it was seen before last, nothing was forgotten of it.
            let mine: Vec<usize> = seen.iter().enumerate().filter(|(_, other)| **other == name).map(|(at, _)| at).collect();
            if let Some(begin) = mine.len().checked_sub(4).and_then(|at| mine.get(at)) {
                let others: HashSet<u64> = seen[*begin..].iter().copied().collect();
                if others.len() <= 5 {
                    prop_assert!(too_often);
                }
            }
            if too_often {
                prop_assert!(mine.len() >= 4);
                seen.retain(|other| *other != name);
            }
        }
    }
}
