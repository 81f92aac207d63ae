//! A policy that is being written.

use std::fmt::{self, Write as _};

use exhook_policy_core::decision::Verdict;

/// A policy made from another broker's rules, not yet text.
#[derive(Debug, Default)]
pub struct PolicyDraft {
    /// Comment lines at the head.
    pub(super) about: Vec<String>,
    /// The file of the one password source.
    pub(super) passwords: Option<String>,
    pub(super) auth: Option<DraftSection>,
    pub(super) acl: Option<DraftSection>,
}

#[derive(Debug)]
pub(super) struct DraftSection {
    pub(super) notes: Vec<String>,
    pub(super) default: Verdict,
    pub(super) items: Vec<DraftItem>,
}

#[derive(Debug)]
pub(super) enum DraftItem {
    Rule(DraftRule),
    /// A rule that is not carried over, and why.
    Left(Vec<String>),
}

#[derive(Debug)]
pub(super) struct DraftRule {
    /// How its meaning changes.
    pub(super) notes: Vec<String>,
    pub(super) id: String,
    pub(super) verdict: Verdict,
    pub(super) who: DraftWho,
    /// Whether it asks for a password.
    pub(super) password: bool,
    pub(super) topics: DraftTopics,
}

#[derive(Debug, Default)]
pub(super) struct DraftTopics {
    pub(super) both: Vec<DraftPattern>,
    pub(super) publish: Vec<DraftPattern>,
    pub(super) subscribe: Vec<DraftPattern>,
}

/// A pattern for topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DraftPattern {
    Filter(String),
    Regex(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DraftWho {
    Everyone,
    /// Any of these, of each of which every condition holds.
    Any(Vec<Vec<DraftCondition>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DraftCondition {
    pub(super) field: Field,
    pub(super) value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Clientid,
    Username,
    Peerhost,
}

/// The name of the password source.
const SOURCE: &str = "users";

impl PolicyDraft {
    /// How many rules mean something else here, or were not carried over.
    pub fn changes(&self) -> usize {
        let items = self.auth.iter().chain(&self.acl).flat_map(|section| &section.items);
        let changed = items.filter(|item| match item {
            DraftItem::Rule(rule) => !rule.notes.is_empty(),
            DraftItem::Left(_) => true,
        });
        changed.count()
    }
}

impl fmt::Display for PolicyDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        comment(f, "", &self.about)?;
        f.write_str("version: 1\n")?;
        if let Some(file) = &self.passwords {
            writeln!(f, "\npasswords:\n  {SOURCE}: {{ file: {} }}", text(file))?;
        }
        for (name, section) in [("auth", &self.auth), ("acl", &self.acl)] {
            if let Some(section) = section {
                section.write(f, name)?;
            }
        }
        Ok(())
    }
}

impl DraftSection {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        writeln!(f, "\n{name}:")?;
        comment(f, "  ", &self.notes)?;
        writeln!(f, "  default: {}", self.default.as_str())?;
        let any = self.items.iter().any(|item| matches!(item, DraftItem::Rule(_)));
        writeln!(f, "  rules:{}", if any { "" } else { " []" })?;
        self.items.iter().try_for_each(|item| match item {
            DraftItem::Left(notes) => comment(f, "    ", notes),
            DraftItem::Rule(rule) => rule.write(f),
        })
    }
}

impl DraftRule {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        comment(f, "    ", &self.notes)?;
        writeln!(f, "    - id: {}", text(&self.id))?;
        writeln!(f, "      {}: {}", self.verdict.as_str(), self.who)?;
        if self.password {
            writeln!(f, "      password: {SOURCE}")?;
        }
        let topics = &self.topics;
        for (key, patterns) in
            [("topics", &topics.both), ("publish", &topics.publish), ("subscribe", &topics.subscribe)]
        {
            if !patterns.is_empty() {
                let patterns: Vec<String> = patterns.iter().map(DraftPattern::to_string).collect();
                writeln!(f, "      {key}: [{}]", patterns.join(", "))?;
            }
        }
        Ok(())
    }
}

impl DraftTopics {
    pub(super) fn is_empty(&self) -> bool {
        self.both.is_empty() && self.publish.is_empty() && self.subscribe.is_empty()
    }
}

impl fmt::Display for DraftPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DraftPattern::Filter(filter) => f.write_str(&text(filter)),
            DraftPattern::Regex(regex) => write!(f, "{{ regex: {} }}", text(regex)),
        }
    }
}

impl fmt::Display for DraftWho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DraftWho::Everyone => f.write_str("everyone"),
            DraftWho::Any(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| all(kind)).collect();
                match kinds.as_slice() {
                    [kind] => f.write_str(kind),
                    kinds => write!(f, "[{}]", kinds.join(", ")),
                }
            }
        }
    }
}

fn all(conditions: &[DraftCondition]) -> String {
    let conditions: Vec<String> = conditions
        .iter()
        .map(|condition| format!("{}: {}", condition.field.as_str(), text(&condition.value)))
        .collect();
    format!("{{ {} }}", conditions.join(", "))
}

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Field::Clientid => "clientid",
            Field::Username => "username",
            Field::Peerhost => "peerhost",
        }
    }
}

/// A text in double quotes; what YAML could read otherwise, it does not read in them.
fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || is_invisible(c) => {
                // Writing to a `String` cannot fail.
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Line ends and marks that a YAML reader may take for more than text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Each text as a comment, wrapped.
fn comment(f: &mut fmt::Formatter<'_>, indent: &str, texts: &[String]) -> fmt::Result {
    const WIDTH: usize = 100;
    for text in texts {
        let mut line = String::new();
        // What a comment quotes comes from the other file, and must not end it.
        let text: String = text.chars().map(|c| if c.is_control() || is_invisible(c) { '?' } else { c }).collect();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                writeln!(f, "{indent}# {line}")?;
                line.replace_range(.., "  ");
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        writeln!(f, "{indent}# {line}")?;
    }
    Ok(())
}
