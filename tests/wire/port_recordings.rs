//! Every frame of the recorded traffic is read: as many events of each hook as were recorded.

use std::collections::BTreeMap;

use crate::support::recordings::{PARTS, for_each_frame, recording};
use exhook_policy_core::event::{Action, Event};
use exhook_policy_core::hook::Hook;
use exhook_policy_runtime::port::call::Incoming;
use exhook_policy_runtime::port::term::{Reader, Shown};

/// How many calls of each hook were recorded, the same in both: in the ordinary part and in the long one.
const RECORDED: [(Hook, usize, usize); 15] = [
    (Hook::ClientConnect, 32, 1),
    (Hook::ClientConnack, 32, 1),
    (Hook::ClientConnected, 27, 1),
    (Hook::ClientDisconnected, 23, 1),
    (Hook::ClientAuthenticate, 29, 1),
    (Hook::ClientCheckAcl, 24, 300),
    (Hook::ClientSubscribe, 12, 1),
    (Hook::ClientUnsubscribe, 4, 0),
    (Hook::SessionCreated, 24, 1),
    (Hook::SessionResumed, 3, 0),
    (Hook::SessionDiscarded, 3, 0),
    (Hook::SessionTakenOver, 3, 0),
    (Hook::SessionSubscribed, 17, 300),
    (Hook::SessionUnsubscribed, 5, 0),
    (Hook::SessionTerminated, 21, 1),
];

#[track_caller]
fn check(version: &str) {
    let mut counts: BTreeMap<Hook, [usize; 2]> = BTreeMap::new();
    let mut others = Vec::new();
    let (mut logins, mut assigned, mut subscribes, mut longest) = (Vec::new(), 0, 0, 0);
    for (part, file) in PARTS.into_iter().enumerate() {
        for_each_frame(&recording(version, file), |frame| {
            let Ok(Incoming::Call(call)) = Incoming::read(frame) else { panic!("no call: {frame:?}") };
            assert!(call.module.is("allhooks"));
            let Some(hook) = call.hook() else {
                others.push(call.function.to_text().into_owned());
                return;
            };
            let event = call.event(hook).unwrap_or_else(|error| panic!("{hook:?}: {error}"));
            assert_eq!(event.hook(), hook);
            counts.entry(hook).or_default()[part] += 1;
            longest = longest.max(event.clientid().len());
            if let Event::Authenticate { client, password } = event {
                logins.push((client.username.to_owned(), password.expose().to_vec()));
            } else if let Event::Connack { assigned: Some(_), .. } = event {
                assigned += 1;
            } else if let Event::CheckAcl { action: Action::Subscribe, .. } = event {
                subscribes += 1;
            }
        });
    }
    let counts: Vec<_> = counts.into_iter().map(|(hook, [ordinary, long])| (hook, ordinary, long)).collect();
    assert_eq!(counts, RECORDED);
    assert_eq!(others, ["init", "deinit"]);
    assert!(logins.contains(&("alice".to_owned(), b"s3cret".to_vec())));
    assert!(logins.iter().any(|(_, password)| std::str::from_utf8(password).is_err()), "no binary password");
    assert!(assigned > 0 && subscribes > 0 && longest > 200, "{assigned} {subscribes} {longest}");
}

#[test]
fn each_call_of_4_1_is_read() {
    check("4.1.5");
}

#[test]
fn each_call_of_4_2_is_read() {
    check("4.2.14");
}

/// What is printed of a frame names everything in it but the password.
#[test]
fn no_password_is_shown() {
    let mut hidden = 0;
    for version in ["4.1.5", "4.2.14"] {
        for_each_frame(&recording(version, PARTS[0]), |frame| {
            let shown = Shown(Reader::versioned(frame).unwrap()).to_string();
            assert!(shown.starts_with("{'C', 1, allhooks, ") || shown.starts_with("{'C', 2, allhooks, "), "{shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
            hidden += shown.matches("{password, ...}").count();
        });
    }
    assert!(hidden > 100);
}

/// Wherever a recorded frame is cut off or damaged, it is read or refused, and never more than that.
#[test]
fn damaged_calls_are_read_or_refused() {
    for_each_frame(&recording("4.2.14", PARTS[0]), |frame| {
        if frame.len() > 600 {
            return;
        }
        for at in 0..frame.len() {
            let mut damaged = frame.to_vec();
            damaged[at] ^= 0x81;
            for bytes in [&frame[..at], &damaged] {
                if let Ok(Incoming::Call(call)) = Incoming::read(bytes)
                    && let Some(hook) = call.hook()
                {
                    let read = call.event(hook).is_ok();
                    assert!(bytes.len() == frame.len() || !read, "cut off at {at}, and still read");
                }
            }
        }
    });
}
