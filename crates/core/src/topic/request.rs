//! What a client asks for.

use super::levels::Levels;
use super::{PREFIXES, TOPIC_MAX};
use crate::event::Action;
use crate::text::Work;

/// What a client asks for, checked and split once: a topic name or the set that a filter receives.
#[derive(Debug)]
pub struct Request<'t> {
    text: &'t str,
    /// The levels, without a trailing `#`.
    levels: Levels<'t>,
    hash: bool,
    wildcard: bool,
    /// What all its topics begin with.
    beginning: &'t str,
    /// What is left of the work that may go into deciding it.
    work: Work,
}

impl<'t> Request<'t> {
    /// Takes one prefix (`$share/<group>/`, ...) off and checks the rest. `None` where it is no valid
    /// topic name (publish) or topic filter (subscribe).
    pub fn parse(action: Action, topic: &'t str) -> Option<Self> {
        if topic.len() > TOPIC_MAX {
            return None;
        }
        // Every prefix begins with `$`.
        let text = match action {
            _ if !topic.starts_with('$') => topic,
            Action::Publish => behind_delay(topic)?,
            Action::Subscribe => behind_group(topic)?,
        };
        if text.is_empty() {
            return None;
        }
        let mut request = Request {
            text,
            levels: Levels::of(text),
            hash: false,
            wildcard: false,
            beginning: text,
            work: Work::of_question(),
        };
        let mut special = false;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'/' => request.levels.push_end(at),
                b'+' | b'#' => special = true,
                b'\0' => return None,
                _ => {}
            }
        }
        request.levels.push_end(text.len());
        if special {
            request.read_wildcards(action)?;
        }
        Some(request)
    }

    /// Takes account of the `+` and `#` in it. `None` where they do not stand for whole levels, or must not stand there.
    fn read_wildcards(&mut self, action: Action) -> Option<()> {
        self.hash = self.text == "#" || self.text.ends_with("/#");
        if self.hash {
            self.levels.pop();
        }
        self.wildcard = true;
        let stray = self.levels.iter().any(|level| level.contains(['+', '#']) && level != "+");
        if stray || action == Action::Publish {
            return None;
        }
        let beginning = if self.hash { self.text.strip_suffix("/#").unwrap_or_default() } else { self.text };
        self.beginning = beginning.split_once('+').map_or(beginning, |(before, _)| before);
        Some(())
    }

    /// The topic name or filter, without the prefix.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The levels, without a trailing `#`.
    pub fn levels(&self) -> &Levels<'t> {
        &self.levels
    }

    /// How many levels its shortest topics have.
    pub(super) fn least_depth(&self) -> usize {
        // One empty level is the empty topic, which is none.
        let only_empty = self.levels.len() == 1 && self.levels.get(0) == Some("");
        if only_empty { 2 } else { self.levels.len().max(1) }
    }

    /// Whether a `#` stands behind the levels.
    pub fn ends_in_hash(&self) -> bool {
        self.hash
    }

    /// What all its topics begin with.
    pub(super) fn beginning(&self) -> &'t str {
        self.beginning
    }

    /// What is left of the work that may go into deciding it.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Takes steps out of the work that may go into deciding it. False where that is used up.
    pub(super) fn spend(&self, steps: usize) -> bool {
        self.work.spend(steps)
    }

    /// How much work went into deciding it.
    pub(super) fn spent(&self) -> usize {
        self.work.spent()
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
