//! From the YAML tree to the types of the file, with every problem collected.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::codes::Code;
use super::diag::{Diagnostic, Diagnostics, nearest, quote};
use super::span::Span;
use super::traps;
use super::yaml::{Node, Yaml};

/// A type of the file.
pub(crate) trait Decode: JsonSchema + Sized {
    /// What is expected, for messages: "a list of patterns".
    const WHAT: &'static str;

    /// Reads a value that is not null. `None` after a problem was reported.
    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self>;
}

/// A mapping that knows its place.
pub(crate) trait Placed {
    /// The mapping, or its first key.
    fn span(&self) -> Span;
}

/// Where problems go.
#[derive(Debug)]
pub(crate) struct Cx<'t> {
    /// The policy's text.
    pub(crate) text: &'t str,
    /// What was found so far.
    pub(crate) found: Diagnostics,
}

/// A value under a key.
#[derive(Debug)]
pub(crate) struct At<T> {
    pub(crate) key: Span,
    pub(crate) span: Span,
    pub(crate) value: T,
}

/// The keys of a mapping that were met.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    known: Vec<(&'static str, Span)>,
    /// What unknown keys were most likely meant to be.
    meant: Vec<&'static str>,
    /// Of an unknown key it was said why there is none.
    explained: bool,
}

impl Seen {
    pub(crate) fn get(&self, name: &str) -> Option<Span> {
        self.known.iter().find(|(seen, _)| *seen == name).map(|&(_, span)| span)
    }

    /// Those of the names that were met, in the order of the file.
    pub(crate) fn of(&self, names: &[&str]) -> Vec<(&'static str, Span)> {
        self.known.iter().copied().filter(|(seen, _)| names.contains(seen)).collect()
    }
}

impl Seen {
    /// Whether an unknown key was most likely one of these, so that it need not be called missing, too.
    fn was_meant(&self, names: &[&str]) -> bool {
        self.meant.iter().any(|meant| names.contains(meant))
    }
}

impl<'t> Cx<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Cx { text, found: Diagnostics::default() }
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds "did you mean" where one of the candidates is near.
    pub(crate) fn push_near<'a>(
        &mut self,
        diagnostic: Diagnostic,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
        otherwise: impl FnOnce() -> Option<String>,
    ) {
        if self.found.is_full() {
            return self.push(diagnostic);
        }
        let help = nearest(word, candidates).map(|near| format!("did you mean {}?", quote(near))).or_else(otherwise);
        self.push(match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }

    /// Reads a value, under a key or in a list.
    pub(crate) fn value<T: Decode>(&mut self, yaml: &Yaml, key: Option<Span>) -> Option<T> {
        if yaml.node == Node::Null {
            self.push(traps::null(self.text, yaml, key));
            return None;
        }
        T::decode(yaml, self)
    }

    /// The same, with the places of key and value.
    pub(crate) fn at<T: Decode>(&mut self, key: &Yaml, yaml: &Yaml) -> Option<At<T>> {
        self.value(yaml, Some(key.span)).map(|value| At { key: key.span, span: yaml.span, value })
    }

    pub(crate) fn wrong_type(&mut self, yaml: &Yaml, what: &str) {
        let message = format!("expected {what}, found {}", yaml.kind());
        self.push(Diagnostic::new(Code::WrongType, yaml.span, message));
    }

    /// The entries of a mapping.
    pub(crate) fn mapping<'y>(&mut self, yaml: &'y Yaml, what: &str) -> Option<&'y [(Yaml, Yaml)]> {
        if let Node::Map(entries) = &yaml.node {
            return Some(entries);
        }
        self.wrong_type(yaml, what);
        None
    }

    /// Which of the known keys this is. Unknown keys and those seen before are reported; `why` may say of an unknown one
    /// why there is none.
    pub(crate) fn key(
        &mut self,
        key: &Yaml,
        known: &[&'static str],
        seen: &mut Seen,
        why: fn(&str) -> Option<&'static str>,
    ) -> Option<&'static str> {
        let Node::Text(name) = &key.node else {
            let listed = format!("a key, {}", listed(known, "or"));
            self.wrong_type(key, &listed);
            return None;
        };
        let Some(known_name) = known.iter().copied().find(|known| *known == &**name) else {
            let diagnostic = Diagnostic::new(Code::UnknownKey, key.span, format!("unknown key {}", quote(name)));
            if let Some(why) = why(name) {
                seen.explained = true;
                self.push(diagnostic.help(why));
                return None;
            }
            seen.meant.extend(
                nearest(name, known.iter().copied()).and_then(|near| known.iter().find(|known| **known == near)),
            );
            let otherwise = || Some(format!("the keys here are {}", listed(known, "and")));
            self.push_near(diagnostic, name, known.iter().copied(), otherwise);
            return None;
        };
        if let Some(first) = seen.get(known_name) {
            self.duplicate(key.span, first, name);
            return None;
        }
        seen.known.push((known_name, key.span));
        Some(known_name)
    }

    /// Reports a word that is none of the words.
    pub(crate) fn unknown_word(&mut self, span: Span, word: &str, what: &str, words: &[&'static str]) {
        let message = format!("expected {what}, {}, found {}", listed(words, "or"), quote(word));
        let diagnostic = Diagnostic::new(Code::UnknownWord, span, message);
        self.push_near(diagnostic, word, words.iter().copied(), || None);
    }

    pub(crate) fn duplicate(&mut self, second: Span, first: Span, name: &str) {
        self.push(
            Diagnostic::new(Code::DuplicateKey, second, format!("{} stands twice", quote(name)))
                .related(first, "first here")
                .help("take one of the two away, or join what they say"),
        );
    }

    /// Reports a key that must be there and is not.
    pub(crate) fn require(&mut self, yaml: &Yaml, seen: &Seen, name: &str, what: &str) {
        if seen.get(name).is_none() && !seen.meant.contains(&name) {
            let message = format!("{what} needs {}", quote(name));
            self.push(Diagnostic::new(Code::MissingKey, yaml.span, message));
        }
    }

    /// Reports where not exactly one of the keys is there.
    pub(crate) fn exactly_one(&mut self, yaml: &Yaml, seen: &Seen, names: &[&'static str], what: &str, missing: Code) {
        match seen.of(names).as_slice() {
            [] if seen.was_meant(names) => {}
            [] => {
                let message = format!("{what} needs {}", listed(names, "or"));
                self.push(Diagnostic::new(missing, yaml.span, message));
            }
            [_] => {}
            [(first, at), (second, again), ..] => {
                let message = format!("{} and {} exclude each other", quote(first), quote(second));
                self.push(Diagnostic::new(Code::ConflictingKeys, *again, message).related(*at, "the other one"));
            }
        }
    }

    /// Reports where none of the keys is there.
    pub(crate) fn at_least_one(&mut self, yaml: &Yaml, seen: &Seen, names: &[&'static str], what: &str, missing: Code) {
        if seen.of(names).is_empty() && !seen.was_meant(names) && !seen.explained {
            let message = format!("{what} needs {}", listed(names, "or"));
            self.push(Diagnostic::new(missing, yaml.span, message));
        }
    }
}

/// `a`, `b` and `c`, or with another word before the last.
pub(crate) fn listed(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// A text and its place.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) span: Span,
    pub(crate) value: String,
    /// Where the text itself begins in the file, if it stands there byte for byte.
    verbatim: Option<usize>,
}

impl Text {
    /// The place of some bytes of the text; of the whole text where it is not written byte for byte.
    pub(crate) fn part(&self, part: Option<&std::ops::Range<usize>>) -> Span {
        match (self.verbatim, part) {
            (Some(start), Some(part)) if part.end <= self.value.len() => {
                Span::new(start.saturating_add(part.start), start.saturating_add(part.end))
            }
            (Some(_) | None, Some(_) | None) => self.span,
        }
    }
}

impl Decode for Text {
    const WHAT: &'static str = "a text";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        if let Node::Text(value) = &yaml.node {
            let source = yaml.span.of(cx.text);
            let inner = source.get(1..source.len().saturating_sub(1));
            let verbatim = if *source == **value {
                Some(yaml.span.start)
            } else if source.starts_with(['"', '\'']) && inner == Some(value) {
                Some(yaml.span.start.saturating_add(1))
            } else {
                None
            };
            return Some(Text { span: yaml.span, value: value.to_string(), verbatim });
        }
        match traps::not_a_string(cx.text, yaml) {
            Some(diagnostic) => cx.push(diagnostic),
            None => cx.wrong_type(yaml, Self::WHAT),
        }
        None
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Decode for bool {
    const WHAT: &'static str = "true or false";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        if let Node::Bool(value) = yaml.node {
            return Some(value);
        }
        cx.wrong_type(yaml, Self::WHAT);
        None
    }
}

impl<T: Decode> Decode for Box<T> {
    const WHAT: &'static str = T::WHAT;

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        T::decode(yaml, cx).map(Box::new)
    }
}

/// A value with all of its text, where [`Yaml::span`] may be its first token.
#[derive(Debug)]
pub(crate) struct Whole<T> {
    pub(crate) span: Span,
    pub(crate) value: T,
}

impl<T: Decode> Decode for Whole<T> {
    const WHAT: &'static str = T::WHAT;

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        T::decode(yaml, cx).map(|value| Whole { span: yaml.whole(cx.text), value })
    }
}

impl<T: JsonSchema> JsonSchema for Whole<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list, which may be empty. What could not be read of it is left out.
impl<T: Decode> Decode for Vec<T> {
    const WHAT: &'static str = "a list";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let Node::Seq(items) = &yaml.node else {
            let message = format!("expected a list, found {}", yaml.kind());
            let mut diagnostic = Diagnostic::new(Code::WrongType, yaml.span, message);
            if matches!(yaml.node, Node::Text(_)) {
                diagnostic = diagnostic.help(format!("write it in brackets: [{}]", yaml.span.of(cx.text)));
            }
            cx.push(diagnostic);
            return None;
        };
        Some(items.iter().filter_map(|item| cx.value(item, None)).collect())
    }
}

/// One, or a list of at least one.
#[derive(Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<T: Decode> Decode for OneOrMany<T> {
    const WHAT: &'static str = T::WHAT;

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let Node::Seq(items) = &yaml.node else { return Some(OneOrMany(vec![T::decode(yaml, cx)?])) };
        if items.is_empty() {
            let message = format!("expected {}, found an empty list", T::WHAT);
            cx.push(Diagnostic::new(Code::EmptyList, yaml.span, message));
        }
        Some(OneOrMany(items.iter().filter_map(|item| cx.value(item, None)).collect()))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A mapping from names of the operator's choice. A value that could not be read is `None`: its name is known.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(Text, Option<T>)>);

impl<T: Decode> Decode for Named<T> {
    const WHAT: &'static str = "a mapping of names";

    fn decode(yaml: &Yaml, cx: &mut Cx<'_>) -> Option<Self> {
        let entries = cx.mapping(yaml, Self::WHAT)?;
        let mut firsts = std::collections::HashMap::new();
        let mut named = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = cx.value::<Text>(key, None);
            if let Some(name) = &name
                && let Some(&first) = firsts.get(&name.value)
            {
                cx.duplicate(key.span, first, &name.value);
                continue;
            }
            let value = cx.value::<T>(value, Some(key.span));
            if let Some(name) = name {
                firsts.insert(name.value.clone(), key.span);
                named.push((name, value));
            }
        }
        Some(Named(named))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
