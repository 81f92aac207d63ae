//! A driver at a pair of pipes, where an Erlang VM would measure itself.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use exhook_policy_runtime::port::frame::{Frames, Packet};

use crate::place::{Driver, console};

pub struct Piped {
    pub child: Child,
    pub input: ChildStdin,
    pub replies: Replies,
}

/// What the driver sends.
pub struct Replies {
    output: ChildStdout,
    frames: Frames,
    buffer: Vec<u8>,
}

/// The answer to a call, as far as anyone here wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub id: u32,
    pub allows: bool,
}

impl Piped {
    pub fn start(driver: &Driver) -> Self {
        let mut child = Command::new(&driver.program)
            .args(driver.args())
            .env("PYTHONPATH", &driver.search_path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(console())
            .spawn()
            .expect("a driver");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let replies = Replies { output, frames: Frames::new(Packet::Four), buffer: vec![0; 64 << 10] };
        Piped { child, input, replies }
    }

    /// Sends one call and waits for its answer.
    pub fn ask(&mut self, call: &[u8]) -> Reply {
        self.input.write_all(call).expect("the driver reads");
        self.replies.next()
    }

    /// Ends the driver's input and waits for its end.
    pub fn finish(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("a driver").success());
    }
}

impl Replies {
    pub fn next(&mut self) -> Reply {
        loop {
            if let Some(frame) = self.frames.next().expect("frames") {
                return reply(frame);
            }
            let count = self.output.read(&mut self.buffer).expect("the driver writes");
            assert!(count > 0, "the driver is gone");
            self.frames.extend(&self.buffer[..count]);
        }
    }
}

/// Reads `{r, Id, Result}`.
fn reply(frame: &[u8]) -> Reply {
    // Version, tuple of three, the atom `r` with a length of one byte.
    let id = match &frame[1 + 2 + 3..] {
        [97, id, ..] => u32::from(*id),
        [98, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        other => panic!("an id {other:?}"),
    };
    Reply { id, allows: frame.ends_with(b"true") }
}
