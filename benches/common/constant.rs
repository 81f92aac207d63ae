//! The ceiling: a driver that reads frames and answers every call with the same term, whatever is asked.
//!
//! What a broker's end of the port leaves to a driver is what this one reaches; everything else is measured
//! beside it, in the same run.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use exhook_policy_core::decision::{Answer, Mode};
use exhook_policy_core::hook::Hook;
use exhook_policy_runtime::port::frame::{Frames, Packet};
use exhook_policy_runtime::port::reply::{self, ReplyOutcome};

/// What stands before the id in `{'C', Id, Module, Function, Args}`: version, tuple of five, the atom `C`.
const BEFORE_ID: usize = 1 + 2 + 4;

/// Answers calls on stdin and stdout until the input ends.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("constant driver: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let hooks = reply::hooks("rules", Hook::ALL, Mode::Enforce);
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // `Stdout` writes twice where there is a line's end among the bytes.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut frames = Frames::new(Packet::Four);
    let mut buffer = vec![0; 64 << 10];
    let mut replies = Vec::new();
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        frames.extend(&buffer[..count]);
        while let Some(frame) = frames.next().map_err(|broken| io::Error::other(broken.to_string()))? {
            // The functions' names stand whole in the frame, and no other call has no arguments.
            let is_init = frame.ends_with(b"\0\x04initj");
            let outcome = if is_init { ReplyOutcome::Term(&hooks) } else { ReplyOutcome::Answer(Answer::Allow) };
            let pushed = reply::push(&mut replies, Packet::Four, id(frame), outcome);
            pushed.map_err(|_| io::Error::other("an answer is too long"))?;
        }
        output.write_all(&replies)?;
        replies.clear();
    }
}

/// The id's term: a small integer, or one of four bytes.
fn id(frame: &[u8]) -> &[u8] {
    let rest = &frame[BEFORE_ID..];
    &rest[..if rest[0] == 97 { 2 } else { 5 }]
}
