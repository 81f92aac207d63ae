//! The entries of a password file: `username:hash` a line.
//!
//! A line that begins with `#` is a comment, a blank one nothing; line ends and a byte order mark are
//! taken off, and every other character counts. The username goes up to the first `:`. A line without
//! one names a user whose hash is unreadable: such a user must not pass for unknown, since for unknown
//! users the policy's next rule is asked.
//!
//! Every entry is looked at when the file is read, so that an entry that lets no one in is reported
//! before its user tries to log in. Hashes are read for that, and not computed. What stands in
//! place of a hash may be a password in plain text: no message shows any of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::edit::check_username;
use super::hash::{StoredHash, UnreadableHash};
use exhook_policy_core::event::short::LONGEST_OF_MQTT;
use exhook_policy_core::policy::diag::quote;
use exhook_policy_core::policy::show_duration;

/// Files of more entries are refused, so that a file of many short lines does not fill the memory.
const MAX_ENTRIES: usize = 5_000_000;
/// Bad entries of which each is kept and reported; the others are counted.
const MAX_BAD: usize = 20;
/// Bad entries that one line of the log shows.
const LOGGED: usize = 3;
/// Characters of the longest username that a proposed command holds.
const LONGEST_TYPED: usize = 100;
/// No machine is more times as fast as the one on which [`StoredHash::time`] was measured.
const FASTER: u32 = 2;

pub(super) type Users = HashMap<Box<[u8]>, EntryUser>;

/// What a password file holds.
pub(super) struct Entries {
    pub(super) users: Users,
    /// The hash that takes longest of those that guesses at other users may cost.
    pub(super) costliest: Option<Arc<StoredHash>>,
    pub(super) bad: BadPasswordEntries,
}

pub(super) enum EntryUser {
    One {
        hash: Box<[u8]>,
        /// The line of the entry, from 1.
        line: usize,
        /// How long the hash takes, if guesses at other users may cost it.
        time: Option<Duration>,
    },
    Several {
        /// The line of the first of them.
        line: usize,
    },
}

/// The entries that let no one in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BadPasswordEntries {
    /// The first of them, in the order of the file.
    pub(super) first: Vec<BadPasswordEntry>,
    /// How many there are beyond those.
    pub(super) more: usize,
}

/// An entry that lets no one in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadPasswordEntry {
    /// Its line, from 1.
    pub(super) line: usize,
    fault: EntryFault,
}

/// Why an entry lets no one in. Where there is a text, it is the username.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EntryFault {
    NoColon,
    NoUser,
    UserNotText,
    /// MQTT has no such username.
    NoUsername(String, &'static str),
    /// The user has an entry in this line already.
    Again(String, usize),
    Unreadable(String, UnreadableHash),
    /// No machine verifies the hash within this deadline.
    TooLong(String, Duration),
}

impl Entries {
    /// Reads the entries of a file. `deadline` is the time that a login has.
    ///
    /// # Errors
    /// There are more than 5,000,000.
    pub(super) fn read(bytes: &[u8], deadline: Duration) -> io::Result<Self> {
        Self::read_up_to(MAX_ENTRIES, bytes, deadline)
    }

    fn read_up_to(most: usize, bytes: &[u8], deadline: Duration) -> io::Result<Self> {
        let mut users = Users::new();
        let mut bad = BadPasswordEntries::default();
        for (count, (line, entry)) in lines(bytes).enumerate() {
            if count == most {
                return Err(io::Error::other(format!("more than {} entries", grouped(most))));
            }
            let (user, hash) = entry.split();
            let read = hash.map(|hash| match std::str::from_utf8(hash) {
                Ok(text) => StoredHash::parse(text),
                Err(_) => Err(UnreadableHash::NOT_TEXT),
            });
            let first = match users.entry(user.into()) {
                Entry::Vacant(place) => {
                    let pad = read.as_ref().and_then(|read| read.as_ref().ok()).filter(|hash| hash.may_pad(deadline));
                    let time = pad.map(StoredHash::time);
                    place.insert(EntryUser::One { hash: hash.unwrap_or_default().into(), line, time });
                    None
                }
                Entry::Occupied(mut place) => {
                    let (EntryUser::One { line: first, .. } | EntryUser::Several { line: first }) = *place.get();
                    *place.get_mut() = EntryUser::Several { line: first };
                    Some(first)
                }
            };
            if let Some(fault) = fault(user, first, read, deadline) {
                bad.push(BadPasswordEntry { line, fault });
            }
        }
        let costliest = users.values().filter_map(EntryUser::pad).max_by_key(|(_, time)| *time);
        let costliest = costliest.and_then(|(text, _)| StoredHash::parse(text).ok()).map(Arc::new);
        Ok(Entries { users, costliest, bad })
    }
}

impl EntryUser {
    /// The hash, if guesses at other users may cost it, and how long it takes.
    fn pad(&self) -> Option<(&str, Duration)> {
        match self {
            EntryUser::One { hash, time: Some(time), .. } => Some((std::str::from_utf8(hash).ok()?, *time)),
            EntryUser::One { time: None, .. } | EntryUser::Several { .. } => None,
        }
    }
}

/// Why an entry lets no one in, if that is so. `first` is the line of an earlier entry of the user.
fn fault(
    user: &[u8],
    first: Option<usize>,
    read: Option<Result<StoredHash, UnreadableHash>>,
    deadline: Duration,
) -> Option<EntryFault> {
    let Some(read) = read else { return Some(EntryFault::NoColon) };
    let Ok(user) = std::str::from_utf8(user) else { return Some(EntryFault::UserNotText) };
    if user.is_empty() {
        return Some(EntryFault::NoUser);
    }
    let user = user.to_owned();
    if let Some(why) = not_of_mqtt(&user) {
        return Some(EntryFault::NoUsername(user, why));
    }
    match (first, read) {
        (Some(first), _) => Some(EntryFault::Again(user, first)),
        (None, Err(why)) => Some(EntryFault::Unreadable(user, why)),
        (None, Ok(hash)) if hash.time() / FASTER > deadline => Some(EntryFault::TooLong(user, deadline)),
        (None, Ok(_)) => None,
    }
}

/// Why no client can give this username, if that is so.
fn not_of_mqtt(user: &str) -> Option<&'static str> {
    if user.contains('\0') {
        Some("MQTT allows no NUL character in a username")
    } else if user.len() > LONGEST_OF_MQTT {
        Some("a username in MQTT has at most 65,535 bytes")
    } else {
        None
    }
}

impl BadPasswordEntries {
    fn push(&mut self, entry: BadPasswordEntry) {
        if self.first.len() < MAX_BAD {
            self.first.push(entry);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// For a line of the log.
impl fmt::Display for BadPasswordEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, entry) in self.first.iter().take(LOGGED).enumerate() {
            let separator = if n > 0 { "; " } else { "" };
            write!(f, "{separator}line {}: {entry}", entry.line)?;
        }
        match self.first.len().saturating_sub(LOGGED) + self.more {
            0 => Ok(()),
            more => write!(f, "; and {} more", grouped(more)),
        }
    }
}

/// What is wrong, without the line.
impl fmt::Display for BadPasswordEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            // The text may be a lost hash or a password.
            EntryFault::NoColon => f.write_str("there is no `:` between username and hash"),
            EntryFault::NoUser => f.write_str("there is no username before the `:`"),
            EntryFault::UserNotText => f.write_str("the username is not UTF-8 text"),
            EntryFault::NoUsername(user, why) => write!(f, "user {} can never log in, since {why}", quote(user)),
            EntryFault::Again(user, first) => {
                write!(f, "user {} is denied, since line {first} is an entry of this user too", quote(user))
            }
            EntryFault::Unreadable(user, why) => {
                write!(f, "user {} is denied, since the hash cannot be read: {why}", quote(user))
            }
            EntryFault::TooLong(user, deadline) => write!(
                f,
                "user {} is denied, since no check of this hash ends within the deadline of {}",
                quote(user),
                show_duration(*deadline)
            ),
        }
    }
}

impl BadPasswordEntry {
    /// What to do about it.
    pub(super) fn help(&self, file: &Path) -> String {
        match &self.fault {
            EntryFault::NoColon => "write `USER:HASH`, or remove the line".to_owned(),
            EntryFault::NoUser => "remove the line: no password lets a client in that gives no username".to_owned(),
            EntryFault::UserNotText | EntryFault::NoUsername(..) => {
                "remove the line: no client can give this username".to_owned()
            }
            EntryFault::Again(..) => "remove one of the two lines".to_owned(),
            EntryFault::Unreadable(user, _) | EntryFault::TooLong(user, _) => match check_username(user) {
                Ok(()) if user.chars().nth(LONGEST_TYPED).is_some() => {
                    "set the password again with `exhook-policy passwd`, or remove the line".to_owned()
                }
                Ok(()) => format!("set the password again: exhook-policy passwd {}", words(file, user)),
                Err(_) => "remove the line".to_owned(),
            },
        }
    }
}

/// The arguments of `passwd`, for a shell. None that begins with `-` passes for an option.
fn words(file: &Path, user: &str) -> String {
    let file = file.to_string_lossy();
    let (before_file, before_user) = match (file.starts_with('-'), user.starts_with('-')) {
        (true, _) => ("-- ", ""),
        (false, true) => ("", "-- "),
        (false, false) => ("", ""),
    };
    format!("{before_file}{} {before_user}{}", word(&file), word(user))
}

/// A word of a command line for a shell.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./@%+=,-".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A number with a comma between thousands.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A line that is about a user.
#[derive(Clone, Copy)]
struct EntryLine<'a>(&'a [u8]);

impl<'a> EntryLine<'a> {
    /// The username, and the hash if there is a `:`.
    fn split(self) -> (&'a [u8], Option<&'a [u8]>) {
        let mut parts = self.0.splitn(2, |byte| *byte == b':');
        (parts.next().unwrap_or_default(), parts.next())
    }
}

/// A line of the file in its parts.
pub(super) struct SplitLine<'a> {
    /// The byte order mark at the beginning of the file.
    pub(super) mark: &'a [u8],
    /// What stands between the mark and the end.
    text: &'a [u8],
    /// The user whom the line is about, unless it is blank or a comment.
    pub(super) user: Option<&'a [u8]>,
    /// The line end; empty at the end of a file without one.
    pub(super) end: &'a [u8],
}

/// Splits a line that may have its line end.
pub(super) fn split_line(line: &[u8], first: bool) -> SplitLine<'_> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let (mark, text) = if first && line.starts_with(MARK) { line.split_at(MARK.len()) } else { line.split_at(0) };
    let bare = text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    let (text, end) = text.split_at(bare.len());
    let about_a_user = !text.is_empty() && !text.starts_with(b"#");
    let user = about_a_user.then(|| EntryLine(text).split().0);
    SplitLine { mark, text, user, end }
}

/// The lines that are about a user, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, EntryLine<'_>)> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, split_line(line, index == 0)))
        .filter(|(_, line)| line.user.is_some())
        .map(|(number, line)| (number, EntryLine(line.text)))
}

#[cfg(test)]
#[path = "entries_tests.rs"]
mod tests;
