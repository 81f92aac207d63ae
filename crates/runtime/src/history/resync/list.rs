//! A broker's list of its clients, in the forms that it gives out.

mod ctl;
mod json;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::iter;
use std::net::IpAddr;
use std::ops::Range;

use super::names;

/// In which form a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `emqx_ctl clients list`.
    Ctl,
    /// The REST API's, one page or several behind each other; or objects with a `clientid` alone.
    Json,
    /// A clientid a line.
    Plain,
}

/// The clients of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// All names, as they stand in the list. A line that may be read in many ways names each part
    /// of it that may be a name, and has no copies of them.
    names: Vec<u8>,
    clients: Vec<Listed>,
    is_paged: bool,
    /// A name may be several lines of it.
    is_by_line: bool,
}

/// One client of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Where its clientid stands among the names: all that may be it.
    ids: Vec<Range<usize>>,
    /// Whether there is one, and no other name would stand there so.
    pub(super) is_exact: bool,
    /// Whether parts of it may be lines of other clients: its name has line breaks, or the list has
    /// lines that are no clients.
    pub(super) is_joined: bool,
    /// Where it connected from, as the broker says.
    pub(super) peer: Option<(IpAddr, u16)>,
    pub(super) node: Option<String>,
    /// A session whose client is away is listed too.
    pub(super) connected: bool,
}

impl Listed {
    /// Whether it may be connected to that node.
    pub(super) fn is_at(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|of| of == node)
    }

    pub(super) fn is_of(&self, nodes: &BTreeSet<String>) -> bool {
        self.node.as_ref().is_none_or(|node| nodes.contains(node))
    }
}

impl List {
    /// Reads a list. Without a form, that of `emqx_ctl` and JSON are told apart; a clientid a line is never guessed, since
    /// every error message would pass for one.
    ///
    /// # Errors
    /// What is wrong with it, for people: a list of which a part is missing or not understood is none.
    pub fn parse(bytes: &[u8], form: Option<Form>) -> Result<Self, String> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let is_ctl = |line: &[u8]| line.starts_with(ctl::CLIENT) || line.trim_ascii() == ctl::NONE;
        let form = match form {
            Some(form) => form,
            None if bytes.trim_ascii().is_empty() => return Ok(List::default()),
            None if bytes.trim_ascii_start().starts_with(b"{") || bytes.trim_ascii_start().starts_with(b"[") => {
                Form::Json
            }
            None if bytes.split(|byte| *byte == b'\n').any(is_ctl) => Form::Ctl,
            None => {
                let help =
                    "it is neither JSON nor what `emqx_ctl clients list` prints; --form plain reads a clientid a line";
                return Err(help.to_owned());
            }
        };
        match form {
            Form::Ctl => ctl::read(bytes),
            // Where it is not UTF-8, no more is lost than the name: that then has a mark in it.
            Form::Json => json::read(&String::from_utf8_lossy(bytes)),
            Form::Plain => Ok(plain(bytes)),
        }
    }

    /// Whether it was fetched in several answers, or in one that does not tell whether it is all of them: whoever came or
    /// went meanwhile moved others between them, so that some may be missing.
    pub fn is_paged(&self) -> bool {
        self.is_paged
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether a name with line breaks is several lines of it.
    pub(super) fn is_by_line(&self) -> bool {
        self.is_by_line
    }

    pub(super) fn clients(&self) -> &[Listed] {
        &self.clients
    }

    /// All that may be the name of a client of this list.
    pub(super) fn ids<'l>(&'l self, listed: &'l Listed) -> impl Iterator<Item = &'l [u8]> {
        listed.ids.iter().filter_map(|id| self.names.get(id.clone()))
    }

    /// Adds a client of one name.
    fn push(&mut self, id: &[u8], is_exact: bool, node: Option<String>, connected: bool) {
        let begin = self.names.len();
        self.names.extend_from_slice(id);
        let ids = iter::once(begin..self.names.len()).collect();
        self.clients.push(Listed { ids, is_exact, is_joined: false, peer: None, node, connected });
    }
}

fn plain(bytes: &[u8]) -> List {
    let mut list = List { is_by_line: true, ..List::default() };
    for line in bytes.split(|byte| *byte == b'\n') {
        let id = line.strip_suffix(b"\r").unwrap_or(line);
        if !id.is_empty() {
            list.push(id, !names::is_damaged(id) && !names::has_escape(id), None, true);
        }
    }
    list
}
