//! Texts with placeholders, and globs and regexes over whole values.
//!
//! Shared by conditions on a client's fields and by topic patterns.

pub(crate) mod glob;
pub(crate) mod hir;
pub(crate) mod machine;
mod matcher;
mod pattern;
mod template;
mod work;

use std::ops::Range;

pub use matcher::Matcher;
pub(crate) use pattern::Automaton;
pub use template::Template;
// Public for the analysis and the conversion, which take texts apart.
#[doc(hidden)]
pub use template::{Piece, pieces};
pub use work::{Doubt, Work};

/// What placeholders stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The value of `${clientid}`.
    pub clientid: &'a str,
    /// The value of `${username}`.
    pub username: &'a str,
}

impl<'a> Identity<'a> {
    /// What the placeholder stands for.
    pub fn value(self, placeholder: Placeholder) -> &'a str {
        match placeholder {
            Placeholder::Clientid => self.clientid,
            Placeholder::Username => self.username,
        }
    }
}

/// A placeholder of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// `${clientid}`
    Clientid,
    /// `${username}`
    Username,
}

impl Placeholder {
    /// Both of them.
    pub const ALL: [Placeholder; 2] = [Placeholder::Clientid, Placeholder::Username];

    /// The placeholder's name, as it stands between `${` and `}`.
    pub fn name(self) -> &'static str {
        match self {
            Placeholder::Clientid => "clientid",
            Placeholder::Username => "username",
        }
    }

    /// What stands for it while a glob or a regex is parsed: noncharacters, which no policy may contain.
    /// Two of them, so that no simplification makes a character class of it.
    pub(crate) fn stand_in(self) -> &'static str {
        match self {
            Placeholder::Clientid => "\u{FDD0}\u{FDD2}",
            Placeholder::Username => "\u{FDD1}\u{FDD2}",
        }
    }
}

/// Whether the character is one of those that stand for placeholders inside.
pub(crate) fn is_reserved(c: char) -> bool {
    ('\u{FDD0}'..='\u{FDD3}').contains(&c)
}

/// Why a pattern or a text with placeholders is refused, for a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The offending bytes of the text, where they can be told.
    pub span: Option<Range<usize>>,
}

impl TextError {
    /// An error about the text as a whole.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        TextError { message: message.into(), help: None, span: None }
    }

    /// Says what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where it is.
    pub(crate) fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }
}
