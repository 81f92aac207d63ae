//! YAML text as a tree in which every node knows its place.
//!
//! The text may be hostile: its size, depth, number of nodes and the growth by aliases are bounded,
//! and what is refused is refused with one located diagnostic.

use std::panic::catch_unwind;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{DefaultMessageFormatter, Error, Location, MessageFormatter, Options, Spanned};

use super::codes::Code;
use super::diag::Diagnostic;
use super::span::Span;
use super::traps;

/// The largest policy file, in bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How deep lists and mappings may be nested. A level takes some 40 KiB of stack in a build without optimisation, so that
/// the deepest text fits the 2 MiB that a thread has if nothing else is said.
const MAX_DEPTH: usize = 32;
/// Scalars, lists and mappings of one file, before aliases are followed.
const MAX_NODES: usize = 10_000_000;
/// Nodes that aliases may add.
const MAX_ALIASED: usize = 100_000;

/// One value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Yaml {
    /// The source text of a scalar, quotes included. For a list or mapping in brackets on one line all
    /// of it, else its first token.
    pub(crate) span: Span,
    pub(crate) node: Node,
}

/// What YAML makes of a piece of text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// Any other number, in the usual decimal form.
    Number(Box<str>),
    Text(Box<str>),
    Seq(Vec<Yaml>),
    Map(Vec<(Yaml, Yaml)>),
}

impl Yaml {
    /// What stands there, for "expected ..., found ...".
    pub(crate) fn kind(&self) -> &'static str {
        match &self.node {
            Node::Null => "nothing",
            Node::Bool(_) => "true or false",
            Node::Int(_) | Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::Seq(_) => "a list",
            Node::Map(_) => "a mapping",
        }
    }

    /// Where a key of a mapping stands.
    pub(crate) fn key(&self, name: &str) -> Option<Span> {
        let Node::Map(entries) = &self.node else { return None };
        let mut keys = entries.iter().map(|(key, _)| key);
        keys.find(|key| matches!(&key.node, Node::Text(text) if **text == *name)).map(|key| key.span)
    }
}

impl Yaml {
    /// From the first token to the end of the last, with a comment that follows in its line.
    pub(crate) fn whole(&self, text: &str) -> Span {
        let end = self.end();
        Span::new(self.span.start, traps::comment_after(text, end).map_or(end, |comment| comment.end))
    }

    fn end(&self) -> usize {
        let inner = match &self.node {
            Node::Seq(items) => items.iter().map(Yaml::end).max(),
            Node::Map(entries) => entries.iter().map(|(key, value)| key.end().max(value.end())).max(),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => None,
        };
        inner.unwrap_or_default().max(self.span.end)
    }
}

/// Reads one YAML document.
pub(crate) fn read(text: &str) -> Result<Yaml, Diagnostic> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, and {MAX_BYTES} is the most", text.len());
        return Err(Diagnostic::new(Code::TooLarge, Span::new(0, 0), message));
    }
    catch_unwind(|| read_tree(text))
        .unwrap_or_else(|_| Err(Diagnostic::unplaced(Code::YamlSyntax, "the YAML reader failed on this text")))
}

fn read_tree(text: &str) -> Result<Yaml, Diagnostic> {
    match serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options()) {
        Ok(tree) => {
            let mut tree = Yaml::from(tree);
            settle(text, &mut tree);
            Ok(tree)
        }
        Err(error) => Err(diagnose(text, &error)),
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES.saturating_mul(2),
            max_documents: 2,
            enforce_alias_anchor_ratio: false,
        },
    }
}

impl From<Spanned<Node>> for Yaml {
    fn from(spanned: Spanned<Node>) -> Self {
        Yaml { span: bytes_of(spanned.defined).unwrap_or(Span::new(0, 0)), node: spanned.value }
    }
}

fn bytes_of(location: Location) -> Option<Span> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let len = usize::try_from(location.span().byte_len()?).ok()?;
    Some(Span::new(start, start.saturating_add(len)))
}

/// Where an error lies in the text. The library gives bytes for values, but characters for most errors.
fn span_of(text: &str, location: Location) -> Span {
    if let Some(span) = bytes_of(location) {
        return span;
    }
    let start = usize::try_from(location.span().offset()).unwrap_or(usize::MAX);
    let mut bytes = text.char_indices().map(|(at, _)| at).skip(start);
    let start = bytes.next().unwrap_or(text.len());
    Span::new(start, bytes.next().unwrap_or(text.len()))
}

/// Gives every list and mapping the span that [`Yaml::span`] describes, and takes the line end off block texts.
fn settle(text: &str, yaml: &mut Yaml) {
    match &mut yaml.node {
        Node::Seq(items) => items.iter_mut().for_each(|item| settle(text, item)),
        Node::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            settle(text, key);
            settle(text, value);
        }),
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {}
    }
    widen(text, yaml);
}

fn widen(text: &str, yaml: &mut Yaml) {
    let (first, last) = match &yaml.node {
        Node::Seq(items) => (items.first(), items.last()),
        Node::Map(entries) => (entries.first().map(|(key, _)| key), entries.last().map(|(_, value)| value)),
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Number(_) | Node::Text(_) => {
            let trimmed = yaml.span.of(text).trim_end().len();
            yaml.span = Span::new(yaml.span.start, yaml.span.start.saturating_add(trimmed));
            return;
        }
    };
    let close = match yaml.span.of(text) {
        "[" => ']',
        "{" => '}',
        _ => {
            if let Some(first) = first.filter(|first| first.span.start >= yaml.span.start) {
                yaml.span = first.span;
            }
            return;
        }
    };
    let inside = last.map_or(yaml.span.end, |last| last.span.end).max(yaml.span.end);
    let rest = text.get(inside..).unwrap_or_default();
    let end = inside.saturating_add(rest.len()).saturating_sub(rest.trim_start_matches([' ', ',']).len());
    let closed = text.get(end..).is_some_and(|rest| rest.starts_with(close));
    if closed && !Span::new(yaml.span.start, end).of(text).contains('\n') {
        yaml.span.end = end.saturating_add(1);
    }
}

/// One diagnostic for a text that is no YAML, or too much of it.
fn diagnose(text: &str, error: &Error) -> Diagnostic {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let span = error.location().map_or(Span::new(0, 0), |location| span_of(text, location));
    let message = DefaultMessageFormatter.format_message(error).escape_debug().to_string().replace("\\'", "'");
    if message.contains("recursion limit") {
        return traps::explain_syntax(text, span).unwrap_or_else(|| too_large(span));
    }
    if let Error::Budget { .. }
    | Error::AliasReplayLimitExceeded { .. }
    | Error::AliasReplayStackDepthExceeded { .. }
    | Error::AliasExpansionLimitExceeded { .. } = error
    {
        return too_large(span);
    }
    if let Error::MultipleDocuments { .. } = error {
        return Diagnostic::new(Code::YamlSyntax, span, "a second YAML document begins here")
            .help("a policy is one document: take the line `---` away");
    }
    if let Some(diagnostic) = traps::explain_syntax(text, span) {
        return diagnostic;
    }
    let diagnostic = Diagnostic::new(Code::YamlSyntax, span, format!("this is no YAML: {message}"));
    match traps::syntax_help(text, span) {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

fn too_large(span: Span) -> Diagnostic {
    let message = "the file is nested too deeply, holds too many values, or grows too much by its aliases";
    Diagnostic::new(Code::TooLarge, span, message)
        .help(format!("at most {MAX_DEPTH} levels, {MAX_NODES} values, and {MAX_ALIASED} more by aliases"))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// What the tree is made of while the library reads: nodes whose own children already have places.
struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or_else(|_| Node::Number(value.to_string().into()), Node::Int))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value.into()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _value: &[u8]) -> Result<Node, E> {
        Err(E::custom("binary data"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Node>>()? {
            items.push(Yaml::from(item));
        }
        Ok(Node::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<Node>, Spanned<Node>>()? {
            entries.push((Yaml::from(key), Yaml::from(value)));
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_text_fits_the_stack_of_a_thread() {
        let nested = |open: &str, close: &str| {
            let levels = MAX_DEPTH - 1;
            format!("{}x{}", open.repeat(levels), close.repeat(levels))
        };
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
            let text = nested(open, close);
            let reader = std::thread::Builder::new().stack_size(2 << 20);
            let read = reader.spawn(move || read(&text).is_ok()).unwrap().join();
            assert!(read.unwrap(), "{open}");
        }
        let deeper = format!("{}x{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert_eq!(read(&deeper).unwrap_err().code(), Code::TooLarge);
    }
}
