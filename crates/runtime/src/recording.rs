//! Recorded events of a file: JSON lines, or frames as a broker writes them to its port.

use std::fmt;
use std::io::{self, BufRead, Chain, Cursor, Read};
use std::sync::Arc;

use crate::port::call::Incoming;
use crate::port::frame::{Frames, Packet};
use crate::port::term::{Reader, VERSION, unpack};
use exhook_policy_core::event::json::{self, Line, Told};
use exhook_policy_core::event::owned::OwnedEvent;

/// Of a line that is no event's, so much is skipped; one that goes on has no end.
const MOST_SKIPPED: usize = 64 << 20;

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPlace {
    /// The file, as it was named by the caller.
    pub file: Arc<str>,
    /// The line or the frame, from 1.
    pub number: u64,
    /// The file holds frames.
    pub is_frame: bool,
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.is_frame { ": frame " } else { ":" };
        write!(f, "{}{between}{}", self.file, self.number)
    }
}

/// One line or frame.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayItem {
    /// Where it stands.
    pub place: EventPlace,
    /// What it says.
    pub entry: Entry,
}

/// What a line or frame says.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// An event.
    Told(Box<Told>),
    /// So many lines are missing here.
    Dropped(u64),
    /// A frame that is no call of a hook: `init`, a message, an answer of the driver.
    Other,
    /// Why it cannot be read. No password is in it.
    Unreadable(String),
}

/// The events of one file, in its order. Nothing is kept but the line or frame that is read.
pub struct Events<R> {
    input: Chain<Cursor<Vec<u8>>, R>,
    file: Arc<str>,
    number: u64,
    form: InputForm,
}

enum InputForm {
    Lines,
    Frames(Box<Frames>),
    Ended { is_frame: bool },
}

impl<R: BufRead> Events<R> {
    /// Looks at the first bytes to tell frames from lines. `file` is the name that places show.
    ///
    /// # Errors
    /// Those of reading.
    pub fn new(file: &str, mut input: R) -> io::Result<Self> {
        let mut head = Vec::new();
        input.by_ref().take(5).read_to_end(&mut head)?;
        // Behind the length of a frame stands the version of its term, which is the beginning of no character.
        let form = match head.get(4) {
            Some(&VERSION) => InputForm::Frames(Box::new(Frames::new(Packet::Four))),
            Some(_) | None => InputForm::Lines,
        };
        Ok(Events { input: Cursor::new(head).chain(input), file: file.into(), number: 0, form })
    }

    fn entry(&mut self) -> io::Result<Option<Entry>> {
        match &mut self.form {
            InputForm::Lines => loop {
                self.number += 1;
                match next_line(&mut self.input)? {
                    None => return Ok(None),
                    Some(Ok(line)) if line.iter().all(u8::is_ascii_whitespace) => {}
                    Some(Ok(line)) => return Ok(Some(of_line(&line, self.number == 1))),
                    Some(Err(LineTooLong)) => {
                        let message = format!("it has more than {} bytes", json::LONGEST);
                        return Ok(Some(Entry::Unreadable(message)));
                    }
                }
            },
            InputForm::Frames(frames) => {
                self.number += 1;
                loop {
                    match frames.next() {
                        Ok(Some(frame)) => return Ok(Some(of_frame(frame))),
                        Ok(None) => {}
                        Err(broken) => return Ok(Some(self.end(broken))),
                    }
                    let bytes = self.input.fill_buf()?;
                    if bytes.is_empty() {
                        let broken = frames.finish().err();
                        return Ok(broken.map(|broken| self.end(broken)));
                    }
                    frames.extend(bytes);
                    let count = bytes.len();
                    self.input.consume(count);
                }
            }
            InputForm::Ended { .. } => Ok(None),
        }
    }

    /// It is not known where the next frame begins.
    fn end(&mut self, why: impl fmt::Display) -> Entry {
        self.form = InputForm::Ended { is_frame: true };
        Entry::Unreadable(why.to_string())
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = io::Result<ReplayItem>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entry();
        let is_frame = match self.form {
            InputForm::Lines => false,
            InputForm::Frames(_) => true,
            InputForm::Ended { is_frame } => is_frame,
        };
        let place = EventPlace { file: Arc::clone(&self.file), number: self.number, is_frame };
        match entry {
            Ok(entry) => entry.map(|entry| Ok(ReplayItem { place, entry })),
            Err(error) => {
                self.form = InputForm::Ended { is_frame };
                Some(Err(error))
            }
        }
    }
}

/// A line that no event needs.
struct LineTooLong;

/// The next line, without holding more of it than an event may have. `None` at the end.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, LineTooLong>>> {
    let most = json::LONGEST as u64 + 2;
    let mut line = Vec::new();
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 == most {
        skip_line(input)?;
        return Ok(Some(Err(LineTooLong)));
    }
    Ok(Some(Ok(line)))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    let mut skipped = 0;
    loop {
        let bytes = input.fill_buf()?;
        let (count, is_end) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (bytes.len(), bytes.is_empty()),
        };
        input.consume(count);
        if is_end {
            return Ok(());
        }
        skipped += count;
        if skipped > MOST_SKIPPED {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is larger than 64 MiB"));
        }
    }
}

fn of_line(line: &[u8], is_first: bool) -> Entry {
    let Ok(text) = std::str::from_utf8(line) else {
        return Entry::Unreadable("it is not UTF-8".to_owned());
    };
    let text = if is_first { text.trim_start_matches('\u{feff}') } else { text };
    match json::read_line(text) {
        Ok(Line::Told(told)) => Entry::Told(told),
        Ok(Line::Dropped(count)) => Entry::Dropped(count),
        Err(error) => Entry::Unreadable(error.to_string()),
    }
}

fn of_frame(frame: &[u8]) -> Entry {
    let mut room = Vec::new();
    let (frame, whole) = unpack(frame, &mut room);
    match whole.and_then(|()| Incoming::read(frame)) {
        Ok(Incoming::Call(call)) => match call.hook() {
            Some(hook) => match call.event(hook) {
                Ok(event) => Entry::Told(Box::new(Told { at: None, event: OwnedEvent::from(&event), decision: None })),
                Err(error) => Entry::Unreadable(format!("{}: {error}", hook.point())),
            },
            None => Entry::Other,
        },
        Ok(Incoming::Message) => Entry::Other,
        Err(_) if is_answer(frame) => Entry::Other,
        Err(error) => Entry::Unreadable(error.to_string()),
    }
}

/// Whether the frame is what a driver answers: recordings may hold both directions.
fn is_answer(frame: &[u8]) -> bool {
    let kind = Reader::versioned(frame).and_then(|mut term| {
        term.tuple()?;
        term.atom()
    });
    kind.is_ok_and(|kind| kind.is("r") || kind.is("e"))
}
