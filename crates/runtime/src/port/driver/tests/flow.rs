//! Pipes that are full, closed, broken or at their end.

use super::*;

#[test]
fn calls_are_taken_while_nobody_takes_the_replies() {
    let mut host = Host::ready_unread();
    let calls = 20_000;
    let some: Vec<u8> = (1..=100).flat_map(|id| login(id, "deny")).collect();
    for _ in 0..calls / 100 {
        // Far more than fits into the pipes.
        host.send(&some);
    }
    assert_eq!(host.reply().0, 1.into());
    for _ in 0..calls / 100 {
        for id in 1..=100 {
            host.check(id, "{0,'false'}");
        }
    }
    host.end_saying(READY);
}

#[test]
fn calls_are_taken_when_the_replies_have_nowhere_to_go() {
    let mut host = Host::start();
    drop(host.output.take());
    let some: Vec<u8> = (1..=100).flat_map(|id| login(id, "deny")).collect();
    for _ in 0..100 {
        host.send(&some);
    }
    let (ended, said) = host.end();
    assert_eq!(ended, Ok(()));
    assert_eq!(said.matches("the broker takes no more replies: Broken pipe").count(), 1, "{said}");
}

#[test]
fn an_end_with_nothing_owed_is_at_once() {
    let host = Host::ready();
    let stage = Arc::clone(&host.stage);
    let start = Instant::now();
    host.end_saying(READY);
    assert!(start.elapsed() < LAST_WRITE);
    assert_eq!(stage.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_owed_at_the_end_is_answered() {
    let mut host = Host::ready();
    host.send(&[login(1, "later"), login(2, "allow")].concat());
    host.check(2, "{0,'true'}");
    let (token, sink) = host.later();
    drop(host.input.take());
    thread::sleep(SHORT);
    assert!(!host.driver.is_finished());
    sink(&[(token, Answer::Allow)]);
    host.check(1, "{0,'true'}");
    host.end_saying(READY);
}

#[test]
fn nothing_is_owed_to_a_broker_that_is_gone() {
    let mut host = Host::start();
    host.send(&login(1, "later"));
    host.later();
    drop(host.output.take());
    let start = Instant::now();
    assert_eq!(host.end().0, Ok(()));
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn an_init_is_answered_after_the_end() {
    let mut host = Host::start();
    let stage = Arc::clone(&host.stage);
    let gate = stage.gate.lock().unwrap();
    host.send(&call(1, "init", &[]));
    drop(host.input.take());
    thread::sleep(SHORT);
    drop(gate);
    assert_eq!(host.reply().0, 1.into());
    host.end_saying(READY);
}

#[test]
fn input_that_is_no_stream_of_frames_ends_the_driver() {
    let mut host = Host::ready();
    host.send(&login(1, "later"));
    let (token, sink) = host.later();
    host.send(b"\xFF\xFF\xFF\xFF");
    // What comes behind is taken off the broker's hands.
    host.send(&vec![0; 1 << 20]);
    sink(&[(token, Answer::Allow)]);
    host.check(1, "{0,'true'}");
    let (ended, said) = host.end();
    assert_eq!(
        ended.unwrap_err(),
        "the input is no stream of frames: it announces 4294967295 bytes where 1073741824 are the most"
    );
    assert_eq!(said, READY);
}

#[test]
fn input_that_ends_within_a_frame_ends_the_driver() {
    let mut host = Host::ready();
    host.send(&[&login(1, "allow")[..], &[0, 0, 1, 0, 131]].concat());
    host.check(1, "{0,'true'}");
    assert_eq!(host.end().0.unwrap_err(), "the input ended within a frame, 5 bytes into 260");
}
