//! Replies on their way to the broker, in the order of their calls.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, write};

use exhook_policy_core::answer_sink::Token;

use super::frame::{FrameTooLong, Packet};
use super::reply::{self, ReplyOutcome};

/// A buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 1 << 20;

/// What is written when the pipe takes it.
#[derive(Debug)]
pub(super) struct PortOutput {
    to: OwnedFd,
    packet: Packet,
    /// Replies that became ready in this round, with their calls' places in the order of arrival.
    batch: Vec<u8>,
    replies: Vec<(Token, Range<usize>)>,
    /// Bytes in their final order, of which those before `written` are gone.
    buffer: Vec<u8>,
    written: usize,
    closed: Option<Errno>,
}

impl PortOutput {
    pub(super) fn new(to: OwnedFd, packet: Packet) -> Self {
        PortOutput { to, packet, batch: Vec::new(), replies: Vec::new(), buffer: Vec::new(), written: 0, closed: None }
    }

    /// Takes one reply. It goes out with the next [`PortOutput::send`].
    pub(super) fn reply(&mut self, token: Token, id: &[u8], outcome: ReplyOutcome<'_>) -> Result<(), FrameTooLong> {
        let start = self.batch.len();
        reply::push(&mut self.batch, self.packet, id, outcome)?;
        self.replies.push((token, start..self.batch.len()));
        Ok(())
    }

    /// Puts the round's replies behind those that wait already, oldest call first, and writes what the
    /// pipe takes.
    pub(super) fn send(&mut self) {
        if self.closed.is_some() {
            self.batch.clear();
            self.replies.clear();
            return;
        }
        if self.replies.is_sorted_by_key(|(token, _)| *token) {
            self.buffer.append(&mut self.batch);
        } else {
            self.replies.sort_unstable_by_key(|(token, _)| *token);
            for (_, range) in &self.replies {
                self.buffer.extend_from_slice(self.batch.get(range.clone()).unwrap_or_default());
            }
            self.batch.clear();
        }
        self.replies.clear();
        self.write();
    }

    fn write(&mut self) {
        while let Some(rest) = self.buffer.get(self.written..)
            && !rest.is_empty()
        {
            match write(&self.to, rest) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => {
                    self.closed = Some(error);
                    self.written = self.buffer.len();
                }
            }
        }
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEEP);
            self.written = 0;
        } else if self.written > KEEP {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
    }

    /// Whether bytes wait for the pipe.
    pub(super) fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether nobody reads the replies any more, and how that was noticed.
    pub(super) fn closed(&self) -> Option<Errno> {
        self.closed
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.to.as_fd()
    }
}
