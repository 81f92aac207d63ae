//! What `emqx_ctl clients list` prints:
//! `Client(ID, username=NAME, peername=..., connected=true, created_at=...)` a line.
//!
//! Nothing in it is quoted. A name may hold what looks like the end of it, and line breaks. What
//! stands behind the names was written by the broker, so it is looked for from the end.

use std::net::IpAddr;
use std::ops::Range;

use super::{List, Listed, names};

pub(super) const CLIENT: &[u8] = b"Client(";
/// What EMQX 5 and later say where there are none.
pub(super) const NONE: &[u8] = b"No clients.";

const USERNAME: &[u8] = b", username=";
const PEERNAME: &[u8] = b", peername=";
const CONNECTED: &[u8] = b", connected=";

pub(super) fn read(bytes: &[u8]) -> Result<List, String> {
    let mut list = List { names: bytes.to_vec(), is_by_line: true, ..List::default() };
    // Begins with `Client(`, and is not whole yet: where, and in which line what is missing began.
    let mut open: Option<(usize, usize)> = None;
    // The client before, which a line that is none may be a part of.
    let mut before: Option<usize> = None;
    let mut begin = 0;
    for (number, line) in (1_usize..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let place = begin..begin + line.len();
        begin = place.end;
        let is_client = line.starts_with(CLIENT);
        if open.is_none() && !is_client && (line.trim_ascii().is_empty() || line.trim_ascii() == NONE) {
            continue;
        }
        let (from, first) = match (open, before) {
            (Some(open), _) => open,
            (None, _) if is_client => (place.start, number),
            (None, Some(before)) => {
                // Its name has a line break behind what looks like a whole line.
                list.clients.pop();
                (before, number)
            }
            (None, None) => return Err(broken(number)),
        };
        // The broker wrote the end of it, without a line break.
        let is_end = line.trim_ascii_end().ends_with(b")") && last(line, CONNECTED).is_some();
        let whole = if is_end { client(bytes, from..place.end) } else { None };
        match whole {
            Some(listed) => {
                list.clients.push(listed);
                (open, before) = (None, Some(from));
            }
            None => open = Some((from, first)),
        }
    }
    match open {
        Some((_, number)) => Err(broken(number)),
        None => Ok(list),
    }
}

fn broken(number: usize) -> String {
    format!(
        "line {number} is not a line of a whole list of `emqx_ctl clients list`: take out what is no client, or use JSON"
    )
}

/// The client that stands there; `None` where that is not the whole of one.
fn client(bytes: &[u8], place: Range<usize>) -> Option<Listed> {
    let line = bytes.get(place.clone())?.trim_ascii_end();
    let names_end = last(line, CONNECTED)?;
    let value = line.strip_suffix(b")")?.get(names_end + CONNECTED.len()..)?;
    let connected = match value.split(|byte| *byte == b',').next()? {
        b"true" => true,
        b"false" => false,
        _ => return None,
    };
    let is_joined = line.contains(&b'\n');
    let mut ids = Vec::new();
    // Where a name may begin, of this client or of another one that was taken for a part of it.
    let mut begins: Option<usize> = None;
    let mut is_first = true;
    for at in 0..line.len() {
        let rest = line.get(at..)?;
        if rest.starts_with(CLIENT) && (at == 0 || line.get(at - 1) == Some(&b'\n')) {
            is_first = at == 0;
            begins = Some(at + CLIENT.len());
        } else if rest.starts_with(USERNAME) {
            // The first name may have any number of such ends.
            ids.push(place.start + CLIENT.len()..place.start + at);
            if let Some(begin) = begins.take().filter(|_| !is_first) {
                ids.push(place.start + begin..place.start + at);
            }
        }
    }
    let is_exact = match &ids[..] {
        [id] => !is_joined && names::is_plain(bytes.get(id.clone())?),
        _ => false,
    };
    let peer = line.get(..names_end).and_then(|line| line.get(last(line, PEERNAME)? + PEERNAME.len()..)).and_then(peer);
    (!ids.is_empty()).then_some(Listed { ids, is_exact, is_joined, peer, node: None, connected })
}

/// `127.0.0.1:50123`, `::1:50123` or `[::1]:50123`, up to the comma behind it.
fn peer(bytes: &[u8]) -> Option<(IpAddr, u16)> {
    let text = bytes.split(|byte| *byte == b',').next().and_then(|text| std::str::from_utf8(text).ok())?;
    let (host, port) = text.rsplit_once(':')?;
    let host: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some((host.to_canonical(), port.parse().ok()?))
}

/// Where this stands last.
fn last(line: &[u8], what: &[u8]) -> Option<usize> {
    (0..line.len()).rev().find(|at| line.get(*at..).is_some_and(|rest| rest.starts_with(what)))
}
