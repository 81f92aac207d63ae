//! Random frames, and recorded ones that were damaged: what can be answered is, and the driver stays well.

use std::fs;
use std::time::Duration;

use super::host::{Driver, frame};
use super::server::{Place, rules_in_silence};
use super::story::{Call, client};
use crate::support::random::Random;
use crate::support::recordings::{PARTS, for_each_frame, recording};
use crate::support::scale::times;
use crate::support::terms::framed;
use crate::support::wait::PATIENCE;

/// The calls of the recordings, without `init` and `deinit`, which replace the policy.
fn recorded_calls() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for version in ["4.1.5", "4.2.14"] {
        for_each_frame(&recording(version, PARTS[0]), |frame| {
            if frame.windows(3).any(|bytes| bytes == b"on_") {
                frames.push(frame.to_vec());
            }
        });
    }
    assert!(frames.len() > 400, "{}", frames.len());
    frames
}

/// Tags of terms, and lengths that are too large.
const NASTY: [&[u8]; 12] = [
    b"\x6c\xff\xff\xff\xff",
    b"\x69\xff\xff\xff\xff",
    b"\x74\xff\xff\xff\xff",
    b"\x6d\xff\xff\xff\xff",
    b"\x6b\xff\xff",
    b"\x64\xff\xff",
    b"\x6f\xff\xff\xff\xff\x00",
    b"\x50\xff\xff\xff\xff",
    b"\x68\xff",
    b"\x6a\x6a\x6a",
    b"\x77\xff",
    b"\x83",
];

fn damage(random: &mut Random, recorded: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = recorded[random.below(recorded.len())].clone();
    for _ in 0..=random.below(3) {
        let at = random.below(frame.len());
        match random.below(8) {
            0 => frame.truncate(at),
            1 => frame.append(&mut random.bytes(40)),
            2 => {
                let nasty = NASTY[random.below(NASTY.len())];
                frame.splice(at..at, nasty.iter().copied());
            }
            3 => {
                // A part of another call.
                let other = &recorded[random.below(recorded.len())];
                let from = random.below(other.len());
                frame.truncate(at);
                frame.extend_from_slice(&other[from..]);
            }
            4 => {
                let part = frame[at..].to_vec();
                frame.splice(at..at, part);
            }
            _ => frame[at] = random.byte(),
        }
        if frame.is_empty() {
            break;
        }
    }
    frame
}

#[test]
fn frames_that_nobody_sends_do_no_harm() {
    const BATCH: u32 = 500;
    let mut random = Random::new("frames");
    let recorded = recorded_calls();
    // The recordings call this module.
    let place = Place::new("");
    fs::write(place.path("allhooks.yaml"), rules_in_silence()).unwrap();
    let mut driver = Driver::start(&place);
    let ask = |driver: &mut Driver, call: &Call, id| driver.write(&frame(id, "allhooks", call));
    ask(&mut driver, &Call::Publish(client("dev-1"), "up/dev-1/t"), 1_000_000);
    driver.reply_to(1_000_000);
    for batch in 0..times(200, 2_000) {
        let mut bytes = Vec::new();
        for _ in 0..BATCH {
            let frame = match random.below(4) {
                0 => random.bytes(200),
                1 => {
                    let mut tail = random.bytes(100);
                    let mut call =
                        b"\x83h\x05d\x00\x01Ca\x01d\x00\x08allhooksd\x00\x16on_client_authenticatel\x00\x00\x00\x03"
                            .to_vec();
                    call.append(&mut tail);
                    call
                }
                _ => damage(&mut random, &recorded),
            };
            bytes.extend(framed(&frame));
        }
        driver.write(&bytes);
        // A call before all others has this id.
        let id = 2_000_000 + i32::try_from(batch).unwrap();
        for (call, expected) in [
            (Call::Publish(client("dev-1"), "up/dev-1/t"), Some(true)),
            (Call::Publish(client("dev-1"), "up/dev-2/t"), Some(false)),
            (Call::Authenticate(client("dev-1"), b"right"), Some(true)),
            (Call::Authenticate(client("dev-1"), b"wrong"), Some(false)),
            (Call::Connected(client("dev-1")), None),
        ] {
            ask(&mut driver, &call, id);
            assert_eq!(driver.reply_to(id).allowed, expected, "batch {batch}: {}", driver.console());
        }
        let memory = driver.memory_kib();
        assert!(memory > 0 && memory < 160 * 1024, "batch {batch}: {memory} KiB");
    }
    let (status, _, console) = driver.end();
    assert!(status.success() && !console.contains("a fault in the driver"), "{console}");
}

/// Recorded calls as they came are all answered, whatever is between them.
#[test]
fn what_can_be_answered_is_answered_between_what_cannot() {
    let mut random = Random::new("between");
    let recorded = recorded_calls();
    let place = Place::new("");
    fs::write(place.path("allhooks.yaml"), rules_in_silence()).unwrap();
    let mut driver = Driver::start(&place);
    let mut sent = 0;
    for call in &recorded {
        // Every recorded id is 1 or 2; this has no id at all.
        driver.write(&framed(&call[..random.below(20)]));
        driver.write(&framed(call));
        sent += 1;
    }
    let end = std::time::Instant::now() + PATIENCE;
    for _ in 0..sent {
        let reply = driver.reply_by(end).unwrap_or_else(|_| panic!("{}", driver.console()));
        assert!([1, 2].contains(&reply.id), "{reply:?}");
    }
    assert!(driver.reply_by(std::time::Instant::now() + Duration::from_millis(300)).is_err(), "one too many");
    assert!(driver.end().0.success());
}
