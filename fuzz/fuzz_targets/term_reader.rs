//! Any bytes on the pipe: as a stream of frames, and as one frame.

#![no_main]

use exhook_policy_core::hook::Hook;
use exhook_policy_runtime::port::call::Incoming;
use exhook_policy_runtime::port::frame::{Frames, Packet};
use exhook_policy_runtime::port::term::{INFLATED_MAX, Reader, Shown, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    frame(bytes);
    let mut frames = Frames::new(Packet::Four);
    frames.extend(bytes);
    let mut split = 0;
    while let Ok(Some(found)) = frames.next() {
        split += 4 + found.len();
        frame(found);
    }
    assert!(split <= bytes.len());
});

fn frame(bytes: &[u8]) {
    let mut room = Vec::new();
    let (term, _) = unpack(bytes, &mut room);
    assert!(term.len() <= bytes.len().max(INFLATED_MAX + 2));

    let Ok(reader) = Reader::versioned(term) else { return };
    let _ = Shown(reader).to_string();
    if let Ok(whole) = { reader }.skip() {
        assert!(term[1..].starts_with(whole));
        // Nothing shorter is whole.
        if whole.len() > 1 {
            assert!(Reader::new(&whole[..whole.len() - 1]).skip().is_err());
        }
    }
    if let Ok(Incoming::Call(call)) = Incoming::read(term) {
        let _ = call.state();
        for &hook in Hook::ALL {
            if let Ok(event) = call.event(hook) {
                assert_eq!(event.hook(), hook);
                assert!(!format!("{event:?}").contains("Password(["));
            }
        }
    }
}
