//! Texts with placeholders, and globs and regexes over whole values.
//!
//! Shared by conditions on a client's fields and by topic patterns.

/// What placeholders stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The value of `${clientid}`.
    pub clientid: &'a str,
    /// The value of `${username}`.
    pub username: &'a str,
}

/// Why a pattern or a text with placeholders is refused, for a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The offending bytes of the text, where they can be told.
    pub span: Option<std::ops::Range<usize>>,
}

/// A text in which `${clientid}` and `${username}` stand for the client's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {}

impl Template {
    /// Reads the text. Any other `${...}`, and EMQX's `%c` and `%u`, is an error.
    pub fn parse(_text: &str) -> Result<Self, TextError> {
        todo!()
    }

    /// Whether `value` is the text with the placeholders filled in. False where the value of a
    /// placeholder that stands in the text is empty.
    pub fn equals(&self, _identity: Identity<'_>, _value: &str) -> bool {
        todo!()
    }

    /// The text itself where it has no placeholder.
    pub fn as_literal(&self) -> Option<&str> {
        todo!()
    }
}

/// A glob or a regex over a whole value, without placeholders.
#[derive(Debug, Clone)]
pub struct Matcher {}

impl Matcher {
    /// Compiles a glob in which nothing is a separator.
    pub fn glob(_text: &str) -> Result<Self, TextError> {
        todo!()
    }

    /// Compiles a regex that must match the whole value.
    pub fn regex(_text: &str) -> Result<Self, TextError> {
        todo!()
    }

    /// Whether the whole value matches.
    pub fn is_match(&self, _value: &str) -> bool {
        todo!()
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        todo!()
    }
}
