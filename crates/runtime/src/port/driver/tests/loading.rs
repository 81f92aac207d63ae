//! The policy comes, comes late, or does not come.

use super::*;

#[test]
fn without_init_the_module_of_the_call_is_loaded() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&[login(1, "allow"), login(2, "later"), login(1, "deny")].concat());
    host.send(&call(9, "deinit", &[]));
    // What needs no policy does not wait for it.
    host.check(9, "'ok'");
    drop(gate);
    host.check(1, "{0,'true'}");
    host.check(1, "{0,'false'}");
    let (token, sink) = host.later();
    sink(&[(token, Answer::Allow)]);
    host.check(2, "{0,'true'}");
    assert_eq!(stage.loads.load(Ordering::SeqCst), 1);
    host.end_saying(READY);
}

#[test]
fn while_the_policy_is_loading_the_first_deadline_holds() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&[login(1, "allow"), login_with(2, "allow", state("audit")), created(3, "allow")].concat());
    host.send(&call(4, "init", &[]));
    host.check(1, "{0,'false'}");
    host.check(2, "'undefined'");
    host.check(3, "'undefined'");
    drop(gate);
    // It has no deadline of its own.
    assert_eq!(host.reply().0, 4.into());
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    host.end_counting(&[
        ("client_authenticate", "allow", 1),
        ("client_authenticate", "deny", 1),
        ("client_authenticate", "no opinion", 1),
        ("session_created", "no opinion", 1),
    ]);
}

#[test]
fn a_policy_that_does_not_load_denies() {
    let mut host = Host::start();
    host.stage.good.store(false, Ordering::SeqCst);
    host.send(&[call(1, "init", &[]), login(2, "allow")].concat());
    let (id, result) = host.reply();
    assert_eq!((id, result), (1.into(), tuple(&[Id::from(1).0, binary("line 1: wrong\nline 2: wrong")])));
    host.check(2, "{0,'false'}");
    host.send(&[login_with(3, "allow", state("audit")), login_with(4, "allow", state("x"))].concat());
    host.check(3, "'undefined'");
    host.check(4, "{0,'false'}");
    host.end_saying("line 1: wrong\nline 2: wrong\nthe policy rules is not in force\n");
}

#[test]
fn a_policy_that_did_not_load_is_tried_again() {
    let mut host = Host::start();
    host.stage.good.store(false, Ordering::SeqCst);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    thread::sleep(2 * SHORT);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    host.stage.good.store(true, Ordering::SeqCst);
    thread::sleep(2 * SHORT);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    // What is wrong is said once.
    host.end_saying(&format!("line 1: wrong\nline 2: wrong\nthe policy rules is not in force\n{READY}"));
}

#[test]
fn a_policy_that_has_changed_is_loaded_without_a_call() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    stage.good.store(false, Ordering::SeqCst);
    let changed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&changed);
    *stage.is_changed.lock().unwrap() = Some(Arc::new(move || asked.swap(false, Ordering::SeqCst)));
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    let loads = |count| {
        let end = Instant::now() + LONG;
        while stage.loads.load(Ordering::SeqCst) < count {
            assert!(Instant::now() < end, "it is not loaded");
            thread::sleep(SHORT / 10);
        }
    };
    // What has not changed is not loaded again, and what has changed may be wrong still.
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(stage.loads.load(Ordering::SeqCst), 1);
    changed.store(true, Ordering::SeqCst);
    loads(2);
    stage.good.store(true, Ordering::SeqCst);
    changed.store(true, Ordering::SeqCst);
    loads(3);
    host.send(&login(2, "allow"));
    host.check(2, "{0,'true'}");
    host.end_saying(&format!("line 1: wrong\nline 2: wrong\nthe policy rules is not in force\n{READY}"));
}

#[test]
fn a_disk_that_hangs_while_a_change_is_looked_for_holds_up_no_call() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    stage.good.store(false, Ordering::SeqCst);
    let (looks, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, ended) = (Arc::clone(&looks), Arc::clone(&end));
    *stage.is_changed.lock().unwrap() = Some(Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        while !ended.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        false
    }));
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    let late = Instant::now() + LONG;
    while looks.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < late, "nobody looks");
        thread::sleep(SHORT / 10);
    }
    // As long as it hangs calls are answered.
    for id in 2..8 {
        host.send(&login(id, "allow"));
        host.check(id, "{0,'false'}");
        thread::sleep(Duration::from_millis(100));
    }
    end.store(true, Ordering::SeqCst);
}

#[test]
fn a_fault_while_loading_is_a_policy_that_does_not_load() {
    let mut host = Host::start();
    host.send(&call_of("fault", Id::from(1).0, "init", &[]));
    let reason = binary("the driver failed while it loaded the policy");
    assert_eq!(host.reply(), (1.into(), tuple(&[Id::from(1).0, reason])));
    host.end_saying("the driver failed while it loaded the policy\nthe policy fault is not in force\n");
}

#[test]
fn init_again_loads_again() {
    let mut host = Host::ready();
    host.send(&login(5, "later"));
    let (token, sink) = host.later();
    host.send(&[call(6, "init", &[]), login(7, "allow")].concat());
    assert_eq!(host.reply().0, 6.into());
    host.check(7, "{0,'true'}");
    // Calls of the policy before are answered still.
    sink(&[(token, Answer::Deny)]);
    host.check(5, "{0,'false'}");
    assert_eq!(host.stage.loads.load(Ordering::SeqCst), 2);
    assert_eq!(host.stage.finished.load(Ordering::SeqCst), 1);
    host.end_saying(&READY.repeat(2));
}

#[test]
fn two_inits_at_once_are_both_answered() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&[call(1, "init", &[]), call(1, "init", &[])].concat());
    host.send(&call_of("other", Id::from(2).0, "init", &[]));
    let reason = binary("the policy rules is being loaded");
    assert_eq!(host.reply(), (2.into(), tuple(&[Id::from(1).0, reason])));
    drop(gate);
    assert_eq!((host.reply().0, host.reply().0), (1.into(), 1.into()));
    host.end_saying(READY);
}

#[test]
fn a_module_that_is_not_in_force_is_denied() {
    let mut host = Host::ready();
    let args = [clientinfo("allow"), atom("true"), state("audit")];
    host.send(&call_of("other", Id::from(1).0, "on_client_authenticate", &args));
    host.check(1, "{0,'false'}");
    host.end_saying(&format!(
        "{READY}a call of on_client_authenticate: the policy rules is in force, not other: denied\n"
    ));
}

#[test]
fn a_mode_that_came_into_force_after_init_is_kept_where_it_refuses() {
    for (was, state_of, expected) in [
        (None, "audit", "'undefined'"),
        (Some(Mode::Audit), "audit", "'undefined'"),
        (Some(Mode::Enforce), "audit", "{0,'false'}"),
        // Who can write a status must not be able to open the door.
        (Some(Mode::Audit), "enforce", "{0,'false'}"),
    ] {
        let mut host = Host::start();
        host.stage.good.store(false, Ordering::SeqCst);
        *host.stage.was.lock().unwrap() = was;
        host.send(&call(1, "init", &[]));
        host.reply();
        host.send(&login_with(2, "allow", state(state_of)));
        host.check(2, expected);
        host.end().0.unwrap();
    }
}

#[test]
fn what_the_broker_was_told_is_known_after_init_and_after_a_restart() {
    let told = |host: &Host| {
        let told = host.stage.told.lock().unwrap();
        told.iter().map(|told| (told.caller.broker.clone(), told.hooks.bits())).collect::<Vec<_>>()
    };
    let both = (BrokerId::Port, 1 << 4 | 1 << 15);
    let mut host = Host::ready();
    host.send(&login(1, "allow"));
    host.check(1, "{0,'true'}");
    assert_eq!(told(&host), [both]);
    host.end().0.unwrap();
    // Started anew, it has that from the broker, which may have been told by another version.
    for (state, expected) in [(2, Some(1 << 4)), (1, None)] {
        let mut host = Host::start();
        let mut elements = vec![atom("exhook_policy"), eetf::FixInteger::from(state).into(), atom("enforce")];
        elements.extend((state == 2).then(|| eetf::FixInteger::from(1 << 4).into()));
        host.send(&login_with(1, "allow", tuple(&elements)));
        host.check(1, "{0,'true'}");
        assert_eq!(told(&host).first().map(|(_, bits)| *bits), expected);
        host.end().0.unwrap();
    }
}

/// The state of a version that did not keep the hooks, and that of another driver.
#[test]
fn a_state_without_hooks_makes_the_broker_unknown() {
    for state in [tuple(&[atom("exhook_policy"), eetf::FixInteger::from(1).into(), atom("enforce")]), atom("other")] {
        let mut host = Host::start();
        host.send(&login_with(1, "allow", state));
        host.check(1, "{0,'true'}");
        let calls: Vec<BrokerId> =
            host.stage.calls.lock().unwrap().iter().map(|caller| caller.broker.clone()).collect();
        assert_eq!(calls, [BrokerId::Port]);
        host.end().0.unwrap();
    }
}

#[test]
fn what_was_answered_before_there_was_a_policy_is_counted_with_the_rest() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    stage.good.store(false, Ordering::SeqCst);
    host.send(&login(1, "allow"));
    host.check(1, "{0,'false'}");
    host.send(&login(2, "allow"));
    host.check(2, "{0,'false'}");
    stage.good.store(true, Ordering::SeqCst);
    thread::sleep(2 * SHORT);
    // These wait for it, the last one longer.
    let gate = stage.gate.lock().unwrap();
    host.send(&[login(3, "allow"), created(4, "allow"), login(5, "later")].concat());
    host.send(&call(9, "deinit", &[]));
    host.check(9, "'ok'");
    drop(gate);
    host.check(3, "{0,'true'}");
    host.check(4, "{0,'true'}");
    let (token, sink) = host.later();
    sink(&[(token, Answer::Allow)]);
    host.check(5, "{0,'true'}");
    host.send(&login(6, "deny"));
    host.check(6, "{0,'false'}");
    host.end_counting(&[
        ("client_authenticate", "allow", 2),
        ("client_authenticate", "deny", 3),
        ("session_created", "allow", 1),
    ]);
}
