//! Frames: a length of 1, 2 or 4 bytes, and so many bytes.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::mem;
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};

/// The longest frame, in bytes.
///
/// An MQTT packet is at most 256 MiB, if the operator allows that much, and nothing in it more than triples
/// on its way into a term: of a SUBSCRIBE with nothing but empty filters, three bytes make nine, 768 MiB in
/// all; of empty user properties, five make twelve; a payload stays as long as it is. So no client can cause
/// a longer frame than this, and what announces one is no frame: text on the pipe, for one, if it begins with
/// a letter.
pub const FRAME_MAX: usize = 1 << 30;

/// How much room there is for one read, in bytes: as much as a pipe holds.
const READ: usize = 64 << 10;

/// A buffer that grew beyond this for one large frame is given back.
const KEEP: usize = 1 << 20;

/// How many bytes the length of a frame takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// `--packet=1`
    One,
    /// `--packet=2`
    Two,
    /// `--packet=4`
    Four,
}

impl Packet {
    /// How many bytes the length takes.
    pub fn width(self) -> usize {
        match self {
            Packet::One => 1,
            Packet::Two => 2,
            Packet::Four => 4,
        }
    }

    /// The longest frame that such a length can announce and that is read or written.
    pub fn longest(self) -> usize {
        match self {
            Packet::One => 0xFF,
            Packet::Two => 0xFFFF,
            Packet::Four => FRAME_MAX,
        }
    }

    /// Reads the length at the start of `bytes`, if it is there.
    fn length(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Packet::One => bytes.first().copied().map(usize::from),
            Packet::Two => bytes.first_chunk().map(|length| u16::from_be_bytes(*length).into()),
            Packet::Four => bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize),
        }
    }

    /// Appends the length of a frame.
    fn push_length(self, out: &mut Vec<u8>, length: usize) -> Result<(), FrameTooLong> {
        if length > self.longest() {
            return Err(FrameTooLong);
        }
        let bytes = u32::try_from(length).map_err(|_| FrameTooLong)?.to_be_bytes();
        out.extend(bytes.iter().skip(4 - self.width()));
        Ok(())
    }
}

/// A frame is longer than its length field can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTooLong;

/// Appends one frame made of parts.
///
/// # Errors
/// The frame is too long for the length field; nothing is appended then.
pub fn push(out: &mut Vec<u8>, packet: Packet, parts: &[&[u8]]) -> Result<(), FrameTooLong> {
    packet.push_length(out, parts.iter().map(|part| part.len()).sum())?;
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Input that cannot be split any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A length that no host sends.
    Length([u8; 4]),
    /// The input ended within a frame.
    CutOff {
        /// How many bytes of it there are, its length included.
        found: usize,
        /// How many there should be, if its length is whole.
        announced: Option<usize>,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Length(bytes) => {
                write!(f, "the input is no stream of frames: ")?;
                if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
                    write!(f, "it holds the text \"{}\" where a length should be", bytes.escape_ascii())
                } else {
                    let length = u32::from_be_bytes(*bytes);
                    write!(f, "it announces {length} bytes where {FRAME_MAX} are the most")
                }
            }
            Broken::CutOff { found, announced: Some(announced) } => {
                write!(f, "the input ended within a frame, {found} bytes into {announced}")
            }
            Broken::CutOff { found, announced: None } => {
                write!(f, "the input ended within a frame, {found} bytes into its length")
            }
        }
    }
}

/// Splits a stream of bytes into frames, which it lends without copying.
///
/// The buffer grows with the bytes that came, never with a length that was announced.
#[derive(Debug)]
pub struct Frames {
    packet: Packet,
    buffer: Vec<u8>,
    /// Where the frame that was lent last begins, with its length.
    last: usize,
    /// Where the first frame that was not lent yet begins.
    start: usize,
}

impl Frames {
    /// A splitter with nothing in it.
    pub fn new(packet: Packet) -> Self {
        Frames { packet, buffer: Vec::new(), last: 0, start: 0 }
    }

    /// Makes room for so many more behind the bytes that are left. Of these no second copy stays behind: they may be the
    /// beginning of a frame that has a password.
    fn make_room(&mut self, more: usize) {
        let left = self.buffer.len() - self.start;
        if self.start > 0 {
            self.buffer.copy_within(self.start.., 0);
            wipe(self.buffer.get_mut(left.max(self.start)..));
            self.buffer.truncate(left);
            (self.last, self.start) = (0, 0);
        }
        let needed = left.saturating_add(more);
        let capacity = self.buffer.capacity();
        if capacity < needed || (capacity > KEEP && needed < KEEP / 2) {
            let other = Vec::with_capacity(if capacity < needed { needed.max(2 * capacity) } else { KEEP / 2 });
            let mut old = mem::replace(&mut self.buffer, other);
            self.buffer.extend_from_slice(&old);
            wipe(Some(&mut old));
        }
    }

    /// Overwrites the frame that was lent last.
    pub fn wipe(&mut self) {
        wipe(self.buffer.get_mut(self.last..self.start));
    }

    /// Reads once from a descriptor; 0 is its end.
    ///
    /// # Errors
    /// Those of reading. An interrupted read is tried again.
    pub fn read_from(&mut self, input: impl AsFd) -> io::Result<usize> {
        self.make_room(READ);
        loop {
            match read(&input, spare_capacity(&mut self.buffer)) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Takes bytes that were read elsewhere.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length.
    ///
    /// # Errors
    /// The length is impossible. The stream is lost then: nobody knows where the next frame begins.
    #[expect(
        clippy::should_implement_trait,
        reason = "the frame borrows from the splitter, which an iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let Some(length) = self.packet.length(rest) else { return Ok(None) };
        if length > self.packet.longest() {
            return Err(Broken::Length(rest.first_chunk().copied().unwrap_or_default()));
        }
        let width = self.packet.width();
        let Some(frame) = rest.get(width..width + length) else { return Ok(None) };
        self.last = self.start;
        self.start += width + length;
        Ok(Some(frame))
    }

    /// Checks, at the end of the input, that no frame is left half.
    ///
    /// # Errors
    /// One is.
    pub fn finish(&self) -> Result<(), Broken> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let announced = self.packet.length(rest).map(|length| self.packet.width() + length);
        Err(Broken::CutOff { found: rest.len(), announced })
    }
}

/// Overwrites bytes that nobody reads again, at the speed of memory.
pub(super) fn wipe(bytes: Option<&mut [u8]>) {
    if let Some(bytes) = bytes {
        bytes.fill(0);
        // Whoever sees that nobody reads them might leave it out.
        black_box(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames_of(packet: Packet, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, Broken> {
        let mut frames = Frames::new(packet);
        let mut found = Vec::new();
        for chunk in chunks {
            frames.extend(chunk);
            while let Some(frame) = frames.next()? {
                found.push(frame.to_vec());
            }
        }
        frames.finish().map(|()| found)
    }

    #[track_caller]
    fn check_broken(packet: Packet, input: &[u8], expected: &str) {
        assert_eq!(frames_of(packet, &[input]).unwrap_err().to_string(), expected);
    }

    #[test]
    fn each_width_is_split() {
        let ab_and_c = vec![b"ab".to_vec(), b"".to_vec(), b"c".to_vec()];
        assert_eq!(frames_of(Packet::One, &[b"\x02ab\0\x01c"]), Ok(ab_and_c.clone()));
        assert_eq!(frames_of(Packet::Two, &[b"\0\x02ab\0\0\0\x01c"]), Ok(ab_and_c.clone()));
        assert_eq!(frames_of(Packet::Four, &[b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c"]), Ok(ab_and_c));
    }

    #[test]
    fn what_is_no_frame_is_said() {
        check_broken(
            Packet::Four,
            b"GET / HTTP/1.1\r\n",
            "the input is no stream of frames: it holds the text \"GET \" where a length should be",
        );
        check_broken(
            Packet::Four,
            b"\xFF\xFF\xFF\xFF",
            "the input is no stream of frames: it announces 4294967295 bytes where 1073741824 are the most",
        );
        check_broken(
            Packet::Four,
            b"\x40\0\0\x01",
            "the input is no stream of frames: it announces 1073741825 bytes where 1073741824 are the most",
        );
        check_broken(Packet::Four, b"\0\0\0\x05ab", "the input ended within a frame, 6 bytes into 9");
        check_broken(Packet::Four, b"\x40\0\0\0a", "the input ended within a frame, 5 bytes into 1073741828");
        check_broken(Packet::Four, b"\0\0", "the input ended within a frame, 2 bytes into its length");
        check_broken(Packet::One, b"\x05ab", "the input ended within a frame, 3 bytes into 6");
    }

    #[test]
    fn a_large_frame_is_whole_and_its_memory_goes() {
        let mut frames = Frames::new(Packet::Four);
        let body = vec![7; 20 << 20];
        let mut input = Vec::new();
        push(&mut input, Packet::Four, &[&body]).unwrap();
        for chunk in input.chunks(60_000) {
            frames.extend(chunk);
        }
        assert_eq!(frames.next().unwrap().map(<[u8]>::len), Some(body.len()));
        frames.extend(b"\0\0\0");
        assert!(frames.buffer.capacity() <= KEEP, "{} bytes are kept", frames.buffer.capacity());
    }

    #[test]
    fn a_long_length_takes_no_memory() {
        let mut frames = Frames::new(Packet::Four);
        frames.extend(b"\x40\0\0\0");
        assert_eq!(frames.next(), Ok(None));
        assert!(frames.buffer.capacity() < READ);
    }

    #[test]
    fn a_frame_too_long_for_its_width_is_not_written() {
        let mut out = Vec::new();
        assert_eq!(push(&mut out, Packet::One, &[&[0; 200], &[0; 56]]), Err(FrameTooLong));
        assert_eq!(push(&mut out, Packet::Two, &[&vec![0; 0x1_0000]]), Err(FrameTooLong));
        assert!(out.is_empty());
        assert_eq!(push(&mut out, Packet::One, &[&[1; 200], &[1; 55]]), Ok(()));
        assert_eq!((out.len(), out[0]), (256, 255));
    }

    /// Of frames that were wiped nothing is in the buffer, and no copy of a beginning that had to move.
    #[test]
    fn what_is_wiped_is_gone() {
        let mut frames = Frames::new(Packet::One);
        frames.extend(b"\x03one\x05sec");
        assert_eq!(frames.next(), Ok(Some(&b"one"[..])));
        frames.extend(b"re\x01x");
        assert_eq!(frames.next(), Ok(Some(&b"secre"[..])));
        frames.wipe();
        assert_eq!(frames.buffer, b"\0\0\0\0\0\0\x01x");
        assert_eq!(frames.next(), Ok(Some(&b"x"[..])));
        // Only the last is.
        frames.wipe();
        frames.wipe();
        assert_eq!(frames.buffer, [0; 8]);
        assert_eq!(frames.next(), Ok(None));
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1_usize..9, 1..200),
            packet in prop::sample::select(vec![Packet::One, Packet::Two, Packet::Four]),
        ) {
            let mut input = Vec::new();
            for body in &bodies {
                push(&mut input, packet, &[body]).unwrap();
            }
            let mut rest = &input[..];
            let mut chunks = Vec::new();
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, behind) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            prop_assert_eq!(frames_of(packet, &chunks), Ok(bodies));
        }
    }
}
