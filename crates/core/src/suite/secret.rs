//! Passwords of test files, which are shown nowhere, and where in a file they stand.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::policy::decode::{Cx, Decode, Text};
use crate::policy::model::ClientField;
use crate::policy::span::Span;
use crate::policy::traps::{comment_after, comment_instead};
use crate::policy::yaml::{Node, Yaml};

/// A password of a test file. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// A password that comes from elsewhere.
    pub fn new(password: impl Into<String>) -> Self {
        Secret(password.into())
    }

    /// The password, for whoever compares it or logs in with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is the empty text, which stands for none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Decode for Secret {
    const WHAT: &'static str = "a password";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        Text::decode(yaml, cx).map(|text| Secret(text.value))
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// The places of a test file that hold passwords, or may: what stands under a key that is not known may be one, too.
#[derive(Debug, Default)]
pub(super) struct SecretPlaces {
    /// Values, exactly.
    values: Vec<Span>,
    /// Pieces of text that hold more than a password.
    pieces: Vec<Span>,
}

impl SecretPlaces {
    /// Of a file that could be read.
    pub(super) fn of_tree(text: &str, tree: &Yaml) -> Self {
        let mut found = SecretFinder { text, places: Vec::new() };
        found.file(tree);
        SecretPlaces {
            values: found.places,
            pieces: lines(text).filter_map(|(start, line)| in_comment(start, line)).collect(),
        }
    }

    /// Of a file that could not be read: every line but those that surely have none.
    pub(super) fn of_text(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut in_passwords = false;
        for (start, line) in lines(text) {
            in_passwords &= line.starts_with([' ', '\t', '\r', '\n', '#', '}', ']', '-']);
            if in_passwords || !is_public(line) {
                pieces.push(Span::new(start, start.saturating_add(line.len())));
            }
            in_passwords |= line.to_ascii_lowercase().contains("passw");
        }
        SecretPlaces { values: Vec::new(), pieces }
    }

    /// Whether what is said of this place may quote a password. Of a mapping or list that holds one nothing is quoted.
    pub(super) fn touch(&self, span: Span) -> bool {
        let meets = |place: &&Span| span.start < place.end && place.start < span.end.max(span.start.saturating_add(1));
        let holds = |place: &Span| span != *place && span.start <= place.start && place.end <= span.end;
        self.pieces.iter().any(|place| meets(&place)) || self.values.iter().filter(meets).any(|place| !holds(place))
    }

    /// The text with every password covered. Whatever else stands in it stays where it is.
    pub(super) fn cover(&self, text: &str) -> String {
        let mut covered: Vec<&Span> = self.values.iter().chain(&self.pieces).collect();
        covered.sort_unstable();
        let mut out = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            let passed = covered.iter().take_while(|span| span.end <= at).count();
            covered.drain(..passed);
            let hidden = covered.first().is_some_and(|span| span.start <= at) && !c.is_whitespace();
            out.push(if hidden { cover(c) } else { c });
        }
        out
    }
}

/// The lines of a text, each with where it begins.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0_usize, |next, line| {
        let start = *next;
        *next = start.saturating_add(line.len());
        Some((start, line))
    })
}

/// Whether the line has keys, and every one is known to have no password behind it.
fn is_public(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    if ["auth", "passw"].iter().any(|word| lower.contains(word)) {
        return false;
    }
    let mut keys = line.match_indices(':').filter_map(|(at, _)| {
        let (before, behind) = (line.get(..at)?, line.get(at..)?.chars().nth(1));
        let key = before.rsplit([' ', '\t', '{', '[', ',']).next()?;
        behind.is_none_or(char::is_whitespace).then(|| key.trim_matches(['"', '\'']))
    });
    let mut any = false;
    keys.all(|key| {
        any = true;
        is_public_key(key) || ["policy", "lists", "clients", "tests", "name", "expect"].contains(&key)
    }) && any
}

/// What stands behind a word that looks like a key of passwords.
fn behind_key(start: usize, line: &str) -> Option<Span> {
    let lower = line.to_ascii_lowercase();
    let word = lower.find("passw").or_else(|| lower.find("auth"))?;
    let rest = lower.get(word..)?;
    let key = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
    Some(Span::new(start.saturating_add(word).saturating_add(key), start.saturating_add(line.len())))
}

/// The same in a comment: an expectation that was taken out, say.
fn in_comment(start: usize, line: &str) -> Option<Span> {
    let at = if line.starts_with('#') { 0 } else { line.find(" #").or_else(|| line.find("\t#"))? };
    behind_key(start.saturating_add(at), line.get(at..)?)
}

/// A character of the same size, so that every place stays where it is.
fn cover(c: char) -> char {
    match c.len_utf8() {
        1 => '*',
        2 => '\u{b7}',
        3 => '\u{2022}',
        _ => '\u{1f512}',
    }
}

struct SecretFinder<'t> {
    text: &'t str,
    places: Vec<Span>,
}

impl SecretFinder<'_> {
    fn file(&mut self, tree: &Yaml) {
        self.each(tree, |found, key, value| match key {
            "policy" | "lists" | "clients" | "at" => {}
            "passwords" => found.each(value, |found, _, users| {
                found.each(users, |found, _, password| found.secret(password));
                found.keys_without_value(users);
            }),
            "tests" => found.items(value, Self::test),
            _ => found.secret(value),
        });
    }

    fn test(&mut self, test: &Yaml) {
        self.each(test, |found, key, value| match key {
            "name" | "client" => {}
            "expect" => found.items(value, Self::expectation),
            _ => found.secret(value),
        });
    }

    fn expectation(&mut self, line: &Yaml) {
        let Node::Map(entries) = &line.node else { return self.secret(line) };
        for (key, value) in entries {
            let known = matches!(&key.node, Node::Text(name) if is_public_key(name));
            if !known {
                self.secret(value);
            }
            if !matches!(key.node, Node::Text(_)) {
                self.secret(key);
            }
        }
        self.keys_without_value(line);
    }

    /// In `{ authenticate: a,b }` the second half is read as a key.
    fn keys_without_value(&mut self, yaml: &Yaml) {
        let Node::Map(entries) = &yaml.node else { return };
        entries.iter().filter(|(_, value)| value.node == Node::Null).for_each(|(key, _)| self.secret(key));
    }

    /// The entries of a mapping; whatever else it is may be a password.
    fn each(&mut self, yaml: &Yaml, mut entry: impl FnMut(&mut Self, &str, &Yaml)) {
        let Node::Map(entries) = &yaml.node else { return self.secret(yaml) };
        for (key, value) in entries {
            match &key.node {
                Node::Text(name) => entry(self, name, value),
                Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Seq(_) | Node::Map(_) => {
                    self.secret(key);
                    self.secret(value);
                }
            }
        }
    }

    fn items(&mut self, yaml: &Yaml, item: fn(&mut Self, &Yaml)) {
        match &yaml.node {
            Node::Seq(items) => items.iter().for_each(|one| item(self, one)),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) | Node::Map(_) => {
                item(self, yaml);
            }
        }
    }

    /// All of a value, with the comment that was perhaps meant to be the end of it.
    fn secret(&mut self, yaml: &Yaml) {
        match &yaml.node {
            Node::Seq(items) => items.iter().for_each(|item| self.secret(item)),
            Node::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.secret(key);
                self.secret(value);
            }),
            Node::Null => self.places.extend(comment_instead(self.text, yaml.span.end)),
            Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => self.places.push(yaml.span),
        }
        self.places.extend(comment_after(self.text, yaml.span.end));
    }
}

/// The keys of an expectation, beside those of a client's fields, whose values are no passwords.
const PUBLIC: &[&str] = &["publish", "subscribe", "allow", "deny", "ignore", "would", "client", "at"];

fn is_public_key(key: &str) -> bool {
    PUBLIC.contains(&key) || ClientField::NAMES.contains(&key)
}
