use super::*;
use crate::state::brokers::LONGEST_NAME;
use exhook_policy_core::event::Origin;
use exhook_policy_core::hook::Hook::{self, ClientAuthenticate as Login, ClientCheckAcl as Topic, ClientConnected};

const DAY: i64 = 24 * 3_600_000;

fn set(hooks: &[Hook]) -> HookSet {
    hooks.iter().copied().collect()
}

fn named(node: &str) -> BrokerId {
    BrokerId::of(Origin { cluster: None, node }).unwrap()
}

fn caller(broker: &str) -> CallingBroker {
    let version = Some("5.8.8".to_owned());
    CallingBroker { broker: named(broker), version, refused_if_ignored: set(&[Login]), mend: "mend it".to_owned() }
}

fn registered(broker: &str, hooks: &[Hook]) -> RegisteredHooks {
    RegisteredHooks { caller: caller(broker), hooks: set(hooks) }
}

fn record(broker: &str, hooks: &[Hook], at: i64) -> BrokerRecord {
    BrokerRecord { caller: caller(broker), hooks: Some(set(hooks)), presence: Presence::Here, at, seen: at }
}

/// How a broker's name, missing, unwanted and unknown hooks are reported, and when it was last
/// seen.
fn report(brokers: &HookRegistry, needed: &[Hook], mode: Mode) -> Vec<String> {
    let all = brokers.compare(set(needed), mode, &Log::stderr());
    let text = |wrong: HookMismatch| {
        let HookMismatch { broker, missing, unwanted, unknown, last_seen, .. } = wrong;
        let broker = broker.trim_start_matches("node=").trim_matches('"');
        let unknown = if unknown { " unknown" } else { "" };
        let seen = last_seen.map(|at| format!(" seen {at}")).unwrap_or_default();
        format!("{broker} -{} +{}{unknown}{seen}", missing.join(","), unwanted.join(","))
    };
    all.into_iter().map(text).collect()
}

struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn check(hooks: &[Hook], needed: &[Hook], mode: Mode, expected: Option<&str>) {
    let brokers = HookRegistry::default();
    brokers.put(registered("b", hooks), 1);
    assert_eq!(report(&brokers, needed, mode).first().map(String::as_str), expected);
}

#[test]
fn registered_hooks_are_compared_with_those_that_are_needed() {
    check(&[Login], &[Login], Mode::Enforce, None);
    check(&[Login, Topic], &[Login], Mode::Enforce, None);
    check(&[Login], &[Login, Topic], Mode::Enforce, Some("b -client.check_acl +"));
    // Registered while the policy was in audit mode.
    check(&[Topic], &[Login, Topic], Mode::Audit, None);
    check(&[Topic], &[Login, Topic], Mode::Enforce, Some("b -client.authenticate +"));
    // And the other way.
    check(&[Login, Topic], &[Login, Topic], Mode::Audit, Some("b - +client.authenticate"));
    // A section that the policy no longer has, where "no opinion" is a refusal.
    check(&[Login, Topic], &[Topic], Mode::Enforce, Some("b - +client.authenticate"));
    check(&[Login, Topic], &[Topic], Mode::Audit, Some("b - +client.authenticate"));
    check(&[Login], &[Topic], Mode::Enforce, Some("b -client.check_acl +client.authenticate"));
    check(&[Topic, ClientConnected], &[Topic], Mode::Enforce, None);
}

#[test]
fn each_problem_of_a_broker_is_logged_once() {
    let brokers = HookRegistry::recalled(vec![record("three", &[Login], 0)]);
    brokers.put(registered("one", &[Login]), 1);
    brokers.put(registered("two", &[Login, ClientConnected]), 1);
    let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = Log::to(Lines(std::sync::Arc::clone(&lines)));
    let compare = |needed: &[Hook]| {
        for _ in 0..2 {
            brokers.compare(set(needed), Mode::Enforce, &log);
        }
    };
    compare(&[Login, ClientConnected]);
    brokers.put(registered("one", &[Login, ClientConnected]), 2);
    brokers.calls(caller("three"), 2);
    brokers.calls(caller("four"), 2);
    compare(&[Login, ClientConnected]);
    brokers.put(registered("three", &[ClientConnected]), 3);
    brokers.put(registered("four", &[ClientConnected]), 3);
    compare(&[ClientConnected]);
    log.flush(std::time::Duration::from_secs(30));
    let said = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(
        said,
        "exhook-policy: NOT IN FORCE: node=\"one\" did not register client.connected, which the policy needs now, and does not call it \
         until: mend it\n\
         exhook-policy: NOT IN FORCE: node=\"three\" (as last seen at 1970-01-01T00:00:00Z; it has not called since this start of the \
         server) did not register client.connected, which the policy needs now, and does not call it until: mend it\n\
         exhook-policy: NOT KNOWN: it is not known which hooks node=\"four\" registered: there is no valid record of them. What the \
         broker does not call, the policy does not decide, until: mend it\n\
         exhook-policy: NOT IN FORCE: node=\"three\" did not register client.connected, which the policy needs now, and does not call \
         it until: mend it\n\
         exhook-policy: REFUSED: node=\"one\" calls client.authenticate, which the policy does not decide, as it has no such section: \
         the broker refuses every login that none of its own authenticators lets in, until: mend it\n\
         exhook-policy: REFUSED: node=\"two\" calls client.authenticate, which the policy does not decide, as it has no such section: \
         the broker refuses every login that none of its own authenticators lets in, until: mend it\n"
    );
}

#[test]
fn a_broker_that_never_loaded_the_provider_is_unknown() {
    let brokers = HookRegistry::default();
    brokers.calls(caller("one"), 1);
    // Whatever the policy needs.
    assert_eq!(report(&brokers, &[], Mode::Enforce), ["one - + unknown"]);
    assert_eq!(report(&brokers, &[Login], Mode::Audit), ["one - + unknown"]);
    brokers.put(registered("one", &[Login]), 2);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), [""; 0]);
    brokers.calls(caller("one"), 3);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), [""; 0]);
    // It says no version, as the oldest do.
    brokers.calls(CallingBroker { version: None, ..caller("one") }, 4);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), [""; 0]);
}

#[test]
fn a_broker_of_another_version_than_the_record_is_unknown() {
    let brokers = HookRegistry::recalled(vec![record("one", &[Login], 5)]);
    let upgraded = CallingBroker { version: Some("5.10.3".to_owned()), ..caller("one") };
    brokers.calls(upgraded.clone(), 6);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), ["one - + unknown"]);
    // What was written down of the version before makes it no better.
    brokers.merge(vec![record("one", &[Login], 5)]);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), ["one - + unknown"]);
    brokers.put(RegisteredHooks { caller: upgraded, hooks: set(&[Login]) }, 7);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), [""; 0]);
}

#[test]
fn a_broker_that_is_not_connected_is_left_out() {
    let brokers = HookRegistry::default();
    let wrong = || report(&brokers, &[ClientConnected], Mode::Enforce).len();
    brokers.put(registered("one", &[]), 1);
    assert_eq!(wrong(), 1);
    brokers.mark(&named("one"), Whereabouts::Away, 2);
    brokers.mark(&named("two"), Whereabouts::Away, 2);
    assert_eq!(wrong(), 0);
    // It asks what it asked before.
    brokers.calls(caller("one"), 3);
    assert_eq!(report(&brokers, &[ClientConnected], Mode::Enforce), ["one -client.connected +"]);
    brokers.mark(&named("one"), Whereabouts::Unloaded, 4);
    brokers.mark(&named("one"), Whereabouts::Away, 5);
    assert_eq!(wrong(), 0);
    // Another server may have given it its hooks since.
    brokers.calls(caller("one"), 6);
    assert_eq!(report(&brokers, &[ClientConnected], Mode::Enforce), ["one - + unknown"]);
}

#[test]
fn a_broker_is_compared_by_the_record_before_it_calls() {
    let away = BrokerRecord { presence: Presence::Away, ..record("away", &[Topic], 5) };
    let brokers = HookRegistry::recalled(vec![record("quiet", &[Topic], 5), away]);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), ["quiet -client.authenticate + seen 5"]);
    assert_eq!(report(&brokers, &[Topic], Mode::Enforce), [""; 0]);
    brokers.calls(caller("quiet"), 6);
    brokers.calls(caller("away"), 6);
    let expected = ["away -client.authenticate +", "quiet -client.authenticate +"];
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), expected);
}

#[test]
fn brokers_are_written_down_when_they_change_and_each_hour() {
    let brokers = HookRegistry::recalled(vec![record("one", &[Topic], 5)]);
    let hour = SEEN + DAY;
    assert!(!brokers.is_changed(DAY, false));
    assert!(!brokers.is_changed(DAY, true));
    brokers.put(registered("two", &[Login]), DAY);
    assert!(brokers.is_changed(DAY, false));
    let written = brokers.to_write(DAY);
    assert_eq!(written, [record("one", &[Topic], 5), record("two", &[Login], DAY)]);
    assert!(!brokers.is_changed(DAY + 1, false) && brokers.is_changed(DAY + 1, true));
    brokers.unwritten();
    assert!(brokers.is_changed(DAY + 1, false));
    brokers.to_write(DAY);
    assert!(!brokers.is_changed(hour - 1, false) && brokers.is_changed(hour, false));
    // Only of one that is connected.
    let seen = brokers.to_write(hour).iter().map(|record| record.seen).collect::<Vec<_>>();
    assert_eq!(seen, [5, hour]);
    brokers.mark(&named("two"), Whereabouts::Away, hour);
    brokers.to_write(hour);
    assert!(!brokers.is_changed(hour + SEEN, false));
    // A week later.
    assert!(brokers.is_changed(hour + FORGOTTEN, false));
    assert_eq!(brokers.to_write(hour + FORGOTTEN).len(), 1);
    assert!(brokers.is_changed(hour + FORGOTTEN + 1, false));
    assert_eq!(brokers.to_write(hour + FORGOTTEN + 1), []);
}

#[test]
fn the_later_of_two_servers_records_counts() {
    let brokers = HookRegistry::default();
    brokers.put(registered("mine", &[Login]), 10);
    brokers.put(registered("ours", &[Login]), 10);
    brokers.calls(caller("unknown"), 10);
    // From here on the file has what this server heard.
    brokers.merge(Vec::new());
    brokers.merge(vec![
        record("mine", &[Topic], 9),
        record("ours", &[Topic], 11),
        record("theirs", &[Topic], 3),
        record("unknown", &[Login], 4),
    ]);
    let expected = ["ours -client.authenticate +", "theirs -client.authenticate + seen 3"];
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), expected);
}

/// What each is written down with: when it loaded, and whether it registered the hook of logins.
fn written(brokers: &HookRegistry, now: i64) -> Vec<(BrokerId, i64, Option<bool>)> {
    let of = |record: BrokerRecord| {
        let asks = record.hooks.map(|hooks| hooks.iter().any(|hook| hook == Login));
        (record.caller.broker, record.at, asks)
    };
    brokers.to_write(now).into_iter().map(of).collect()
}

#[test]
fn a_load_that_was_heard_is_not_undone_by_an_older_record() {
    let hour = 3_600_000;
    let ahead = || vec![record("one", &[Login, Topic], hour + 10)];
    // The clock was set back by an hour: the record was there at the start, or another server wrote
    // it meanwhile.
    for brokers in [HookRegistry::recalled(ahead()), HookRegistry::default()] {
        brokers.put(registered("one", &[Topic]), 10);
        for _ in 0..2 {
            assert_eq!(report(&brokers, &[Login, Topic], Mode::Enforce), ["one -client.authenticate +"]);
            brokers.merge(ahead());
        }
        // What is written is newer for another server too, and so is what that one hears later.
        let at = hour + 11;
        assert_eq!(written(&brokers, 20), [(named("one"), at, Some(false))]);
        let other = HookRegistry::recalled(ahead());
        other.merge(brokers.to_write(20));
        assert_eq!(report(&other, &[Login], Mode::Enforce).len(), 1);
        other.put(registered("one", &[Login]), 30);
        other.merge(brokers.to_write(30));
        assert_eq!(written(&other, 30), [(named("one"), at + 1, Some(true))]);
        brokers.merge(other.to_write(30));
        assert_eq!(report(&brokers, &[Login], Mode::Enforce), [""; 0]);
    }
}

#[test]
fn an_unload_that_was_heard_is_not_undone_by_an_older_record() {
    let brokers = HookRegistry::default();
    brokers.put(registered("one", &[Login]), 10);
    brokers.merge(Vec::new());
    brokers.mark(&named("one"), Whereabouts::Unloaded, 11);
    brokers.merge(vec![record("one", &[Login], 50)]);
    brokers.calls(caller("one"), 12);
    brokers.merge(vec![record("one", &[Login], 50)]);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), ["one - + unknown"]);
    assert_eq!(written(&brokers, 13), [(named("one"), 51, None)]);
}

#[test]
fn a_lost_record_is_reported_until_a_broker_is_heard() {
    let expected = "it is not known which hooks a broker that loaded the provider before this start of the server registered: \
                    there is no valid record of them. What the broker does not call, the policy does not decide, until: disable \
                    and enable this server in the broker";
    let hear: [&dyn Fn(&HookRegistry); 2] =
        [&|brokers| brokers.put(registered("one", &[Login]), 1), &|brokers| brokers.calls(caller("two"), 1)];
    for (hear, left) in hear.into_iter().zip([&[][..], &["two - + unknown"]]) {
        let brokers = HookRegistry::lost();
        for _ in 0..2 {
            let wrong = brokers.compare(set(&[Login]), Mode::Enforce, &Log::stderr());
            let problems: Vec<_> = wrong.iter().flat_map(|wrong| wrong.problems(false)).collect();
            assert_eq!(problems, [("NOT KNOWN", expected.to_owned())]);
        }
        assert!(!brokers.is_changed(1, true));
        hear(&brokers);
        assert_eq!(report(&brokers, &[Login], Mode::Enforce), left);
    }
}

#[test]
fn a_full_table_is_reported_and_drops_brokers_that_are_away() {
    let brokers = HookRegistry::recalled(vec![record("quiet", &[], 1)]);
    let put = |number: usize| brokers.put(registered(&format!("{number:05}"), &[]), 2);
    let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = Log::to(Lines(std::sync::Arc::clone(&lines)));
    let wrong = || brokers.compare(set(&[ClientConnected]), Mode::Audit, &log);
    let said = || {
        log.flush(std::time::Duration::from_secs(30));
        String::from_utf8(lines.lock().unwrap().clone()).unwrap().matches("beyond the 1024").count()
    };
    (1..MOST).for_each(put);
    assert_eq!(wrong().len(), MOST);
    // The first place is that of the one that has not called, the second of one that went.
    put(MOST);
    brokers.mark(&named("00007"), Whereabouts::Away, 3);
    put(MOST + 1);
    assert_eq!((wrong().len(), said()), (MOST, 0));
    for number in [MOST + 2, MOST + 3] {
        put(number);
        brokers.calls(caller(&format!("{number:05}")), 4);
        brokers.merge(vec![record(&format!("{number:05}"), &[], 4)]);
        assert_eq!((wrong().len(), said()), (MOST + 1, 1));
    }
    assert_eq!(wrong().last().map(HookMismatch::count), Some(1));
    assert_eq!(brokers.to_write(5).len(), MOST);
}

#[test]
fn names_and_versions_without_end_are_cut() {
    let brokers = HookRegistry::default();
    let long = CallingBroker { version: Some("9".repeat(1 << 20)), ..caller(&"é".repeat(Origin::LONGEST / 2)) };
    brokers.calls(long.clone(), 1);
    let wrong = brokers.compare(set(&[Login]), Mode::Enforce, &Log::stderr());
    assert_eq!(wrong.first().map(|wrong| wrong.broker.len()), Some(LONGEST_NAME));
    brokers.put(RegisteredHooks { caller: long.clone(), hooks: set(&[Login]) }, 2);
    let written = brokers.to_write(3);
    let length = |record: &BrokerRecord| record.caller.version.as_ref().map(String::len);
    assert_eq!(written.iter().map(length).collect::<Vec<_>>(), [Some(LONGEST_VERSION)]);
    assert_eq!(report(&brokers, &[Login], Mode::Enforce), [""; 0]);
    brokers.mark(&long.broker, Whereabouts::Unloaded, 4);
    assert_eq!(brokers.to_write(5).first().map(|record| record.presence), Some(Presence::Unloaded));
}

/// As they were sorted when the texts were what told them apart.
#[test]
fn brokers_are_reported_in_the_order_of_their_texts() {
    let brokers = HookRegistry::default();
    let of = |cluster, node| BrokerId::of(Origin { cluster, node }).unwrap();
    let mut expected = Vec::new();
    for address in [[10, 0, 0, 9], [10, 0, 0, 10]] {
        expected.push(BrokerId::At(address.into()));
    }
    expected.extend([of(None, "b"), of(Some("c"), "a"), of(Some("a"), "b"), of(None, "a!"), BrokerId::Port]);
    for broker in &expected {
        brokers.calls(CallingBroker { broker: broker.clone(), ..caller("") }, 1);
    }
    let mut expected: Vec<String> = expected.iter().map(BrokerId::to_string).collect();
    expected.sort();
    let reported = brokers.compare(set(&[]), Mode::Enforce, &Log::stderr());
    assert_eq!(reported.into_iter().map(|wrong| wrong.broker).collect::<Vec<_>>(), expected);
}
