//! Any bytes as a file of captured events: what can be read comes back as it was, and nothing that is written holds a
//! password or a payload.

#![no_main]

use exhook_policy_core::decision::Decision;
use exhook_policy_core::event::json::{self, DecisionLine, Line, Told};
use exhook_policy_core::event::owned::OwnedEvent;
use exhook_policy_core::event::{Event, Password, Payload};
use exhook_policy_runtime::recording::{Entry, Events};
use libfuzzer_sys::fuzz_target;

/// Made so that no input comes by it.
const SECRET: &str = "\u{1}s3cr3t\u{2}";
const SHOWN: &str = "s3cr3t";

fuzz_target!(|bytes: &[u8]| {
    for item in Events::new("events.jsonl", bytes).expect("a slice can be read") {
        match item.expect("a slice can be read").entry {
            Entry::Told(told) => {
                comes_back(&told);
                if !bytes.windows(SHOWN.len()).any(|part| part == SHOWN.as_bytes()) {
                    hides(&told.event);
                }
            }
            Entry::Dropped(count) => {
                assert_eq!(json::read_line(&json::write_dropped(count, 5)), Ok(Line::Dropped(count)));
            }
            Entry::Other => {}
            Entry::Unreadable(why) => assert!(!why.is_empty() && why.chars().count() < 400, "{why}"),
        }
    }
});

fn comes_back(told: &Told) {
    let Told { at, event, decision } = told;
    let at = at.unwrap_or(7);
    let line = match decision {
        None => json::write(&event.as_event(), at),
        Some(decided) => {
            let decision = Decision { verdict: decided.verdict, rule: &decided.rule };
            let decision = DecisionLine { decision, reason: decided.reason, policy: decided.policy.as_deref() };
            let passwords = decided.passwords.iter().map(|(source, found)| (&**source, *found));
            json::write_decided(&event.as_event(), at, decision, passwords)
        }
    };
    assert!(!line.contains(['\n', '\r']), "{line}");
    let again = Told { at: Some(at), event: event.clone(), decision: decision.clone() };
    assert_eq!(json::read_line(&line), Ok(Line::Told(Box::new(again))), "{line}");
}

/// Of the same event with a password and a payload nothing of these is written or kept.
fn hides(event: &OwnedEvent) {
    let event = match event.as_event() {
        Event::Authenticate { client, .. } => {
            Event::Authenticate { client, password: Password::new(SECRET.as_bytes()) }
        }
        Event::MessagePublish(mut message) => {
            message.payload = Payload::new(SECRET.as_bytes());
            Event::MessagePublish(message)
        }
        event => event,
    };
    for shown in [json::write(&event, 0), format!("{event:?}"), format!("{:?}", OwnedEvent::from(&event))] {
        assert!(!shown.contains(SHOWN), "{shown}");
    }
}
