//! What EMQX 4.x makes of `acl.conf` where the topic is a single one, for the converter to be held against.

use std::fmt;

/// Whom a rule is about.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    All,
    Client(&'static str),
    User(&'static str),
    /// As it is written, and the beginning of the addresses in it.
    Inside(&'static str, &'static str),
    And(Vec<Who>),
    Or(Vec<Who>),
}

/// What a rule names as a topic.
#[derive(Debug, Clone)]
pub(crate) enum Topic {
    Filter(&'static str),
    Eq(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) allow: bool,
    pub(crate) who: Who,
    /// `publish`, `subscribe` or `pubsub`.
    pub(crate) access: &'static str,
    pub(crate) topics: Vec<Topic>,
}

/// A client, who has a clientid; without a username it is empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) clientid: &'static str,
    pub(crate) username: &'static str,
    pub(crate) peerhost: &'static str,
}

impl Who {
    fn is(&self, asker: Asker) -> bool {
        match self {
            Who::All => true,
            Who::Client(name) => asker.clientid == *name,
            Who::User(name) => asker.username == *name,
            Who::Inside(_, beginning) => asker.peerhost.starts_with(beginning),
            Who::And(all) => all.iter().all(|who| who.is(asker)),
            Who::Or(any) => any.iter().any(|who| who.is(asker)),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::All => f.write_str("all"),
            Who::Client(name) => write!(f, "{{client, \"{name}\"}}"),
            Who::User(name) => write!(f, "{{user, <<\"{name}\">>}}"),
            Who::Inside(network, _) => write!(f, "{{ipaddr, \"{network}\"}}"),
            Who::And(of) | Who::Or(of) => {
                let word = if matches!(self, Who::And(_)) { "and" } else { "or" };
                let of: Vec<String> = of.iter().map(Who::to_string).collect();
                write!(f, "{{'{word}', [{}]}}", of.join(", "))
            }
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.iter().map(|topic| match topic {
            Topic::Filter(filter) => format!("\"{filter}\""),
            Topic::Eq(filter) => format!("{{eq, \"{filter}\"}}"),
        });
        let effect = if self.allow { "allow" } else { "deny" };
        let topics: Vec<String> = topics.collect();
        write!(f, "{{{effect}, {}, {}, [{}]}}.", self.who, self.access, topics.join(", "))
    }
}

impl Topic {
    /// Level by level, topics that begin with `$` like all others. A placeholder is a whole level; without a
    /// name, `%u` is left as it is.
    fn matches(&self, name: &str, asker: Asker) -> bool {
        let filter = match self {
            Topic::Eq(filter) => return *filter == name,
            Topic::Filter(filter) => filter,
        };
        let mut names = name.split('/');
        for level in filter.split('/') {
            let level = match level {
                "#" => return true,
                "%c" => asker.clientid,
                "%u" if !asker.username.is_empty() => asker.username,
                level => level,
            };
            match names.next() {
                Some(name) if level == "+" || level == name => {}
                Some(_) | None => return false,
            }
        }
        names.next().is_none()
    }
}

/// What the first rule that matches says of one topic name. `action` is `publish` or `subscribe`.
pub(crate) fn decided(lines: &[Line], asker: Asker, action: &str, name: &str) -> Option<bool> {
    let about = |line: &&Line| line.access == "pubsub" || line.access == action;
    let decides = |line: &&Line| line.who.is(asker) && line.topics.iter().any(|topic| topic.matches(name, asker));
    lines.iter().filter(about).find(decides).map(|line| line.allow)
}
