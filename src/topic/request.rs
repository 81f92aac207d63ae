//! What a client asks for.

use std::cell::Cell;

use smallvec::SmallVec;

use super::{PREFIXES, TOPIC_MAX};
use crate::event::Action;

/// What a client asks for, checked and split once: a topic name or the set that a filter receives.
#[derive(Debug)]
pub struct Request<'t> {
    text: &'t str,
    /// The levels, without a trailing `#`.
    levels: SmallVec<[&'t str; 16]>,
    hash: bool,
    wildcard: bool,
    /// What all its topics begin with.
    beginning: &'t str,
    /// What is left of the work that may go into deciding it.
    work: Cell<usize>,
}

/// How many steps of walks over automata one decision may take, over all rules; a step takes some ten nanoseconds.
const WORK: usize = 400_000;

impl<'t> Request<'t> {
    /// Takes one prefix (`$share/<group>/`, ...) off and checks the rest. `None` where it is no valid
    /// topic name (publish) or topic filter (subscribe).
    pub fn parse(action: Action, topic: &'t str) -> Option<Self> {
        if topic.len() > TOPIC_MAX {
            return None;
        }
        let text = match action {
            Action::Publish => behind_delay(topic)?,
            Action::Subscribe => behind_group(topic)?,
        };
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        let mut levels: SmallVec<[&str; 16]> = text.split('/').collect();
        let hash = levels.last() == Some(&"#");
        if hash {
            levels.pop();
        }
        let wildcard = hash || levels.contains(&"+");
        let stray = levels.iter().any(|level| level.contains(['+', '#']) && *level != "+");
        if stray || (wildcard && action == Action::Publish) {
            return None;
        }
        let beginning = if hash { text.strip_suffix("/#").unwrap_or_default() } else { text };
        let beginning = beginning.split_once('+').map_or(beginning, |(before, _)| before);
        Some(Request { text, levels, hash, wildcard, beginning, work: Cell::new(WORK) })
    }

    /// The topic name or filter, without the prefix.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The levels, without a trailing `#`.
    pub fn levels(&self) -> &[&'t str] {
        &self.levels
    }

    /// Whether a `#` stands behind the levels.
    pub fn ends_in_hash(&self) -> bool {
        self.hash
    }

    /// What all its topics begin with.
    pub(super) fn beginning(&self) -> &'t str {
        self.beginning
    }

    /// Takes steps out of the work that may go into deciding the request. False where that is used up: clients
    /// choose the filters, and each client's question holds up all the others.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.work.get().checked_sub(steps);
        self.work.set(left.unwrap_or(0));
        left.is_some()
    }

    /// How much work went into deciding it.
    pub(super) fn spent(&self) -> usize {
        WORK - self.work.get()
    }

    /// Whether it stands for more than one topic.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether its topics begin with `$`: all of them do, or none.
    pub fn begins_with_dollar(&self) -> bool {
        self.text.starts_with('$')
    }
}

fn begins_with_prefix(topic: &str) -> bool {
    PREFIXES.into_iter().any(|prefix| topic.starts_with(prefix))
}

/// The topic name behind `$delayed/<seconds>/`.
fn behind_delay(topic: &str) -> Option<&str> {
    let Some(rest) = topic.strip_prefix("$delayed/") else {
        return Some(topic);
    };
    let (seconds, name) = rest.split_once('/')?;
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !begins_with_prefix(name)).then_some(name)
}

/// The filter behind `$share/<group>/`, `$queue/` or `$exclusive/`.
fn behind_group(topic: &str) -> Option<&str> {
    let filter = if let Some(rest) = topic.strip_prefix("$share/") {
        let (group, filter) = rest.split_once('/')?;
        if group.is_empty() || group.contains(['+', '#']) {
            return None;
        }
        filter
    } else if let Some(filter) = topic.strip_prefix("$queue/").or_else(|| topic.strip_prefix("$exclusive/")) {
        filter
    } else {
        return Some(topic);
    };
    (!begins_with_prefix(filter)).then_some(filter)
}
