//! The recorded traffic of two broker versions over the port and two over gRPC,
//! `examples/captures`.

use std::fs;
use std::path::{Path, PathBuf};

use exhook_policy_runtime::port::frame::{Frames, Packet};

/// What was recorded of ordinary clients, and of those with long names.
pub(crate) const PARTS: [&str; 2] = ["ordinary.bin", "long.bin"];

pub(crate) fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/captures").join(name)
}

/// The bytes of a part.
pub(crate) fn recording(version: &str, part: &str) -> Vec<u8> {
    fs::read(recorded(version).join(part)).unwrap()
}

/// Calls `each` with every frame, which come in pieces.
pub(crate) fn for_each_frame(recording: &[u8], mut each: impl FnMut(&[u8])) {
    let mut frames = Frames::new(Packet::Four);
    for piece in recording.chunks(10_000) {
        frames.extend(piece);
        while let Some(frame) = frames.next().unwrap() {
            each(frame);
        }
    }
    frames.finish().unwrap();
}
